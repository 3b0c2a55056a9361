"""Evaluation: the figures beside one another, and the ceiling."""

from __future__ import annotations

import functools
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from sklearn.metrics import f1_score

from annotation.codebook import load_codebook
from corpus.errors import RecordError
from corpus.reference_corpus import load_reference
from models.calibration import Calibration
from models.dataset import Example, build_examples, targets
from models.evaluation import Bootstrap, Evaluation, annotator_decisions, decide, evaluate, gold_holders
from models.inference import Scores
from models.metrics import Decisions, Holders, word_overlap


@functools.cache
def all_examples() -> tuple[Example, ...]:
    c = load_reference()
    return build_examples(c.statements, {d.id: d for d in c.documents}, c.gold, c.annotations)


@pytest.fixture(scope="module")
def examples() -> tuple[Example, ...]:
    return all_examples()[:400]


def perfect(examples: tuple[Example, ...], *, holders: bool = True) -> Decisions:
    y = targets(examples, load_codebook())
    names = gold_holders(examples, y)
    return Decisions(
        gold_stance=y.stance,
        stance=y.stance,
        gold_concerns=y.concerns > 0,
        concerns=y.concerns > 0,
        confidence=np.ones(len(examples)),
        holders=Holders(names, names, y.holder_type, y.holder_type) if holders else None,
    )


def test_a_perfect_model_scores_one_everywhere_and_has_no_calibration_error(examples: tuple[Example, ...]) -> None:
    found = evaluate(examples, perfect(examples), None, load_codebook(), part="made up", model_id="m")
    for figure in found.metrics:
        if figure.model is not None:
            expected = 0.0 if figure.name in ("stance_ece", "aurc") else 1.0
            assert (figure.model.value, figure.model.low, figure.model.high) == (expected,) * 3, figure.title
        assert figure.baseline is None
        assert figure.difference is None


def test_the_annotators_figure_is_the_second_reading_against_the_first(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    found = evaluate(examples, perfect(examples), None, codebook, part="made up", model_id="m")
    first = [e.readings[0].stance for e in examples]
    second = [e.readings[1].stance for e in examples]
    expected = f1_score(first, second, average="macro", labels=list(codebook.stance_ids))
    ceiling = found.figure("stance_macro_f1").annotators
    assert ceiling is not None
    assert ceiling.value == pytest.approx(expected)
    assert ceiling.low < ceiling.value < ceiling.high
    for name in ("stance_ece", "aurc", "accuracy_at_70"):
        assert found.figure(name).annotators is None, "people give no probabilities"
    assert found.doubly_annotated == len(examples)


def test_unread_statements_are_left_out_of_the_ceiling(examples: tuple[Example, ...]) -> None:
    few = tuple(replace(e, readings=()) if i % 2 else e for i, e in enumerate(examples))
    read, _ = annotator_decisions(few, load_codebook())
    assert read.tolist() == list(range(0, len(few), 2))
    alone = tuple(replace(e, readings=e.readings[:1]) for e in examples)
    found = evaluate(alone, perfect(alone), None, load_codebook(), part="made up", model_id="m")
    assert found.figure("stance_macro_f1").annotators is None


def test_the_lead_over_an_equal_rival_is_exactly_nothing(examples: tuple[Example, ...]) -> None:
    model = perfect(examples)
    found = evaluate(examples, model, model, load_codebook(), part="made up", model_id="m", bootstrap=Bootstrap(200, 1))
    lead = found.figure("stance_macro_f1").difference
    assert lead is not None
    assert (lead.value, lead.low, lead.high) == (0, 0, 0)


def test_intervals_are_wider_where_statements_come_in_documents(examples: tuple[Example, ...]) -> None:
    """Errors that come a document at a time leave less information than the same errors spread out."""
    y = targets(examples, load_codebook())
    documents = sorted({e.document.id for e in examples})
    wrong = {d for i, d in enumerate(documents) if i % 3 == 0}
    stance = np.where([e.document.id in wrong for e in examples], (y.stance + 1) % 4, y.stance)
    clustered = Decisions(y.stance, stance, y.concerns > 0, y.concerns > 0, None)
    found = evaluate(examples, clustered, None, load_codebook(), part="p", model_id="m").figure("stance_accuracy").model
    assert found is not None
    share = found.value
    independent = 2 * 1.96 * np.sqrt(share * (1 - share) / len(examples))
    assert found.high - found.low > 1.3 * independent


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(RecordError, match="nothing to evaluate"):
        evaluate((), perfect(()), None, load_codebook(), part="test", model_id="m")


def test_the_annotators_holders_are_those_of_the_second_reading_against_the_first(examples: tuple[Example, ...]) -> None:
    found = evaluate(examples, perfect(examples), None, load_codebook(), part="made up", model_id="m")
    names = [(e.readings[0].holder, e.readings[1].holder) for e in examples]
    total = sum((a is not None) + (b is not None) for a, b in names)
    shared = sum(word_overlap(a, b) for a, b in names if a is not None and b is not None)
    overlap, exact = found.figure("holder_overlap_f1").annotators, found.figure("holder_exact_f1").annotators
    assert overlap is not None
    assert exact is not None
    assert overlap.value == pytest.approx(2 * shared / total)
    assert exact.value == pytest.approx(2 * sum(a == b for a, b in names if a is not None) / total)
    kinds = [(e.readings[0].holder_type, e.readings[1].holder_type) for e in examples]
    same = found.figure("holder_type_accuracy").annotators
    assert same is not None
    assert same.value == pytest.approx(sum(a == b for a, b in kinds) / len(kinds))


def test_without_holders_there_are_no_figures_of_holders(examples: tuple[Example, ...]) -> None:
    found = evaluate(examples, perfect(examples, holders=False), None, load_codebook(), part="p", model_id="m")
    assert not [f.name for f in found.metrics if f.name.startswith("holder_")]
    assert found.figure("accuracy_at_70").model is not None


def test_each_figure_has_its_definition_and_the_cases_it_rests_on(examples: tuple[Example, ...]) -> None:
    found = evaluate(examples, perfect(examples), None, load_codebook(), part="p", model_id="m", bootstrap=Bootstrap(100, 0))
    assert all(f.definition and f.title for f in found.metrics)
    assert len({(f.name, f.label) for f in found.metrics}) == len(found.metrics)
    assert found.figure("holder_overlap_f1").support == sum(e.gold.holder is not None for e in examples)
    assert found.figure("holder_type_accuracy").support == sum(e.gold.holder_type is not None for e in examples)
    assert found.figure("accuracy_at_70").support == 280
    with pytest.raises(KeyError):
        found.figure("unheard_of")


def scores_of(examples: tuple[Example, ...], spans: list[tuple[int, int]]) -> Scores:
    codebook = load_codebook()
    rng = np.random.default_rng(3)
    n = len(examples)
    sizes = (len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
    return Scores(*(rng.normal(size=(n, size)) for size in sizes), np.array(spans))


def test_scores_become_calibrated_decisions_with_the_words_that_name_the_holder(examples: tuple[Example, ...]) -> None:
    codebook, few = load_codebook(), examples[:3]
    scores = scores_of(few, [(0, 4), (-1, -1), (2, 5)])
    calibration = Calibration(temperature=2.0, thresholds=(0.5,) * len(codebook.concerns))
    found = decide(few, scores, calibration, codebook)
    e = np.exp(scores.stance / 2)
    np.testing.assert_allclose(found.probabilities, e / e.sum(1, keepdims=True), atol=1e-4)
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.confidence, found.probabilities.max(1))
    np.testing.assert_array_equal(found.stance, scores.stance.argmax(1))
    np.testing.assert_array_equal(found.concerns, scores.concerns >= 0)
    assert found.holders is not None
    assert found.holders.decided == (few[0].statement.text[:4], None, few[2].statement.text[2:5])
    assert found.holders.gold == tuple(e.gold.holder for e in few)
    np.testing.assert_array_equal(found.holders.kind, scores.holder_type.argmax(1))


def test_any_place_where_gold_s_holder_stands_is_right(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    twice = next(e for e in all_examples() if e.gold.holder and e.statement.text.count(e.gold.holder) > 1)
    holder = twice.gold.holder
    assert holder is not None
    start = twice.statement.text.rfind(holder)
    scores = scores_of((twice,), [(start, start + len(holder))])
    thresholds = Calibration(thresholds=(0.5,) * len(codebook.concerns))
    found = evaluate((twice,), decide((twice,), scores, thresholds, codebook), None, codebook, part="p", model_id="m")
    exact = found.figure("holder_exact_f1").model
    assert exact is not None
    assert exact.value == 1


def test_where_nobody_annotated_holders_there_are_none_to_find(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    bare = tuple(
        replace(e, gold=msgspec.structs.replace(e.gold, holder=None, holder_type=None), readings=()) for e in examples[:5]
    )
    thresholds = Calibration(thresholds=(0.5,) * len(codebook.concerns))
    assert decide(bare, scores_of(bare, [(0, 3)] * 5), thresholds, codebook).holders is None


def test_an_evaluation_comes_back_from_its_file_and_one_of_format_1_is_still_read(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    found = evaluate(
        examples, perfect(examples), None, codebook, part="p", model_id="m", bootstrap=Bootstrap(100, 0),
        split={"kind": "grouped", "seed": 0},
    )  # fmt: skip
    data = msgspec.json.encode(found)
    assert msgspec.json.decode(data, type=Evaluation) == found
    assert found.format == 2
    assert found.split == {"kind": "grouped", "seed": 0}
    old = msgspec.json.decode(data)
    kept = ("part", "model_id", "codebook_id", "statements", "documents", "doubly_annotated", "bootstrap", "metrics")
    read = msgspec.convert({"format": 1, **{k: old[k] for k in kept}}, Evaluation)
    assert read.metrics == found.metrics
    assert (read.slices, read.confusion, read.spread, read.against) == ((), (), (), None)
