"""Evaluation: the figures beside one another, and the ceiling."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from annotation.codebook import load_codebook
from corpus.errors import RecordError
from corpus.reference_corpus import load_reference
from models.baseline import fit_baseline
from models.dataset import Example, build_examples, targets
from models.evaluation import Bootstrap, annotator_decisions, evaluate
from models.metrics import Decisions


@pytest.fixture(scope="module")
def examples() -> tuple[Example, ...]:
    c = load_reference()
    return build_examples(c.statements, {d.id: d for d in c.documents}, c.gold, c.annotations)[:400]


def perfect(examples: tuple[Example, ...]) -> Decisions:
    y = targets(examples, load_codebook())
    return Decisions(y.stance, y.stance, y.concerns > 0, y.concerns > 0, np.ones(len(examples)))


def test_a_perfect_model_scores_one_everywhere_and_has_no_calibration_error(examples: tuple[Example, ...]) -> None:
    found = evaluate(examples, perfect(examples), None, load_codebook(), part="made up", model_id="m")
    for figure in found.metrics:
        if figure.model is not None:
            expected = 0.0 if figure.name == "stance_ece" else 1.0
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
    assert found.figure("stance_ece").annotators is None, "people give no probabilities"
    assert found.doubly_annotated == len(examples)


def test_unread_statements_are_left_out_of_the_ceiling(examples: tuple[Example, ...]) -> None:
    from dataclasses import replace

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


@pytest.mark.slow
def test_the_baseline_learns_from_text_alone_and_repeats_itself(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    train, held = examples[:300], examples[300:]
    one, two = (fit_baseline(train, held, codebook).decide(held, codebook) for _ in range(2))
    assert (one.stance == two.stance).all()
    assert (one.concerns == two.concerns).all()
    most_frequent = np.bincount(one.gold_stance).max() / len(held)
    assert (one.stance == one.gold_stance).mean() > most_frequent
