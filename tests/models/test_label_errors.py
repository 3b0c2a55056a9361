"""Suspected label errors: probabilities come from models that have not seen a label, and planted errors rank first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from annotation.codebook import Codebook
from corpus.errors import RecordError
from models.dataset import Example
from models.label_errors import CONCERNS, STANCE, HeldOut, development_effect, held_out_probabilities, rank_labels, wilson
from models.recipe import Recipe
from models.splits import take
from pipelines.experiment import make_folds

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

if TYPE_CHECKING:
    from tests.conftest import Small


def relabelled(example: Example, **changes: object) -> Example:
    return replace(example, gold=msgspec.structs.replace(example.gold, **changes))


def certain(examples: tuple[Example, ...], codebook: Codebook, sure: float = 0.9) -> HeldOut:
    """A model that gives every label of the examples the same high probability."""
    stance = np.full((len(examples), len(codebook.stances)), (1 - sure) / (len(codebook.stances) - 1))
    concerns = np.full((len(examples), len(codebook.concerns)), 1 - sure)
    for i, e in enumerate(examples):
        stance[i, codebook.stance_ids.index(e.gold.stance)] = sure
        concerns[i, [codebook.concern_ids.index(c) for c in e.gold.concerns]] = sure
    return HeldOut(stance, concerns, np.ones(len(examples), dtype=bool))


def other_stance(example: Example, codebook: Codebook) -> str:
    return next(s for s in codebook.stance_ids if s != example.gold.stance)


def test_scores_are_what_the_model_gives_to_the_label(small: Small) -> None:
    found = rank_labels(small.examples, certain(small.examples, small.codebook), small.codebook)
    assert len(found) == len(small.examples)
    assert {round(s.score, 9) for s in found} == {0.9}
    assert {s.statement for s in found} == {e.statement.id for e in small.examples}


def test_a_planted_error_of_either_question_leads_the_ranking(small: Small) -> None:
    model = certain(small.examples, small.codebook)
    labels = list(small.examples)
    labels[7] = relabelled(labels[7], stance=other_stance(labels[7], small.codebook))
    with_concern = next(i for i, e in enumerate(labels) if e.gold.concerns and i != 7)
    labels[with_concern] = relabelled(labels[with_concern], concerns=())
    found = rank_labels(labels, model, small.codebook)
    assert [(s.statement, s.question) for s in found[:2]] == [
        (labels[7].statement.id, STANCE),
        (labels[with_concern].statement.id, CONCERNS),
    ]
    assert found[0].score == pytest.approx(0.05), "(1 - 0.9) / 2, the model's probability of the planted stance"
    assert found[1].score < 0.5 < found[2].score


def test_a_label_that_the_model_could_not_learn_is_left_out(small: Small) -> None:
    model = certain(small.examples, small.codebook)
    judged = model.judged.copy()
    judged[3] = False
    found = rank_labels(small.examples, replace(model, judged=judged), small.codebook)
    assert {e.statement.id for e in small.examples} - {s.statement for s in found} == {small.examples[3].statement.id}
    assert rank_labels(small.examples, replace(model, judged=np.zeros_like(judged)), small.codebook) == ()


@pytest.mark.parametrize("concerns", [(), ("fish",), ("fish", "money")])
def test_gold_without_variety_has_no_suspects(small: Small, concerns: tuple[str, ...]) -> None:
    labels = tuple(relabelled(e, stance=small.codebook.stance_ids[0], concerns=concerns) for e in small.examples[:5])
    model = certain(labels, small.codebook, sure=0.6)
    assert {s.score for s in rank_labels(labels, model, small.codebook)} == {1.0}


def test_a_codebook_with_one_concern_can_be_ranked(small: Small) -> None:
    narrow = msgspec.structs.replace(small.codebook, concerns=small.codebook.concerns[:1])
    labels = [relabelled(e, concerns=tuple(c for c in e.gold.concerns if c == "fish")) for e in small.examples[:20]]
    model = certain(tuple(labels), narrow)
    wrong = next(i for i, e in enumerate(labels) if e.gold.concerns)
    labels[wrong] = relabelled(labels[wrong], concerns=())
    first = rank_labels(labels, model, narrow)[0]
    assert (first.statement, first.question, round(first.score, 9)) == (labels[wrong].statement.id, CONCERNS, 0.1)


def test_no_probability_comes_from_a_model_that_saw_the_label(small: Small, tiny_encoder: str) -> None:
    """Another label for one statement leaves that statement's own probabilities as they were."""
    recipe = Recipe(encoder=tiny_encoder, lexicon=0.0)
    examples = small.examples[:150]
    folds = [(f.training, f.development, f.held_out) for f in make_folds(examples, folds=3, seed=0)]
    changed = folds[0][2][0]
    place = [e.statement.id for e in examples].index(changed.statement.id)
    wrong = relabelled(changed, stance=other_stance(changed, small.codebook), concerns=())

    def swap(part: tuple[Example, ...]) -> tuple[Example, ...]:
        return tuple(wrong if e is changed else e for e in part)

    anew = [(swap(a), swap(b), swap(c)) for a, b, c in folds]
    one = held_out_probabilities(examples, folds, small.codebook, recipe)
    two = held_out_probabilities(swap(examples), anew, small.codebook, recipe)
    np.testing.assert_array_equal(one.stance[place], two.stance[place])
    np.testing.assert_array_equal(one.concerns[place], two.concerns[place])
    assert not np.array_equal(one.stance, two.stance), "the other folds learned from it"
    np.testing.assert_allclose(one.stance.sum(1), 1)
    assert one.judged.all()


def test_a_stance_that_a_fold_does_not_teach_cannot_be_judged_there(small: Small, tiny_encoder: str) -> None:
    recipe = Recipe(encoder=tiny_encoder, lexicon=0.0)
    rare = small.codebook.stance_ids[2]
    plain = [relabelled(e, stance=small.codebook.stance_ids[i % 2]) for i, e in enumerate(small.examples[:60])]
    plain[0] = relabelled(plain[0], stance=rare)
    parts = [plain[0:20], plain[20:40], plain[40:60]]
    folds = [(parts[(i + 2) % 3], parts[(i + 1) % 3], parts[i]) for i in range(3)]
    found = held_out_probabilities(plain, folds, small.codebook, recipe)
    assert not found.judged[0]
    assert found.judged[1:].all()
    assert found.stance[0, 2] == 0
    np.testing.assert_allclose(found.stance.sum(1), 1)


def test_folds_that_hold_not_everything_out_or_teach_one_stance_are_refused(small: Small, tiny_encoder: str) -> None:
    recipe = Recipe(encoder=tiny_encoder, lexicon=0.0)
    some = small.examples[:40]
    fold = (some[:20], some[20:30], some[30:])
    with pytest.raises(RecordError, match="30 of 40 statements are in no fold"):
        held_out_probabilities(some, [fold], small.codebook, recipe)
    one = [relabelled(e, stance=small.codebook.stance_ids[0]) for e in some]
    with pytest.raises(RecordError, match="1 stances to learn among 20 statements"):
        held_out_probabilities(one, [(one[:20], one[20:30], one[30:])], small.codebook, recipe)


@pytest.mark.slow
def test_flipped_labels_are_found_where_words_give_a_label_away(small: Small, tiny_encoder: str) -> None:
    rng = np.random.default_rng(3)
    labels = list(small.examples)
    flipped = rng.choice(len(labels), len(labels) // 20, replace=False)
    for i in flipped:
        labels[i] = relabelled(labels[i], stance=other_stance(labels[i], small.codebook))
    folds = [(f.training, f.development, f.held_out) for f in make_folds(labels, folds=5, seed=0)]
    found = rank_labels(
        labels, held_out_probabilities(labels, folds, small.codebook, Recipe(encoder=tiny_encoder)), small.codebook
    )
    wrong = {labels[i].statement.id for i in flipped}
    by_stance = [s.statement for s in found if s.question == STANCE][: len(wrong)]
    assert len(wrong & set(by_stance)) / len(wrong) > 0.8, "random labels would give 0.05"


@pytest.mark.slow
def test_the_effect_compares_both_trainings_against_both_golds(small: Small, tiny_encoder: str) -> None:
    recipe = Recipe(encoder=tiny_encoder)
    parts = (take(small.examples, small.split, "train"), take(small.examples, small.split, "development"))
    rng = np.random.default_rng(4)
    noisy = tuple(
        tuple(
            relabelled(e, stance=other_stance(e, small.codebook)) if rng.random() < 0.3 else e for e in part
        )
        for part in parts
    )  # fmt: skip
    same = {e.name: e for e in development_effect(parts, parts, small.codebook, recipe)}
    mended = {e.name: e for e in development_effect((noisy[0], noisy[1]), parts, small.codebook, recipe)}
    stance = same["stance_macro_f1"]
    assert stance.before_was == stance.before_now == stance.after_was == stance.after_now
    assert stance.difference is not None
    assert (stance.difference.value, stance.difference.low, stance.difference.high) == (0, 0, 0)
    better = mended["stance_macro_f1"]
    assert better.difference is not None
    assert better.before_now is not None
    assert better.after_now is not None
    assert better.after_now == stance.after_now, "the same labels give the same training"
    assert better.difference.value == pytest.approx(better.after_now.value - better.before_now.value)
    assert better.difference.value > 0, "three labels in ten were wrong"
    concerns = mended["concern_macro_f1"]
    assert concerns.before_was == concerns.before_now, "the concerns' gold did not change"


def test_a_share_has_wilsons_interval() -> None:
    found = wilson(5, 50)
    assert found is not None
    z, n, p = 1.959963984540054, 50, 0.1  # Wilson (1927), by hand
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    assert (found.value, found.low, found.high) == pytest.approx((p, middle - half, middle + half))
    nothing = wilson(0, 10)
    assert nothing is not None
    assert (nothing.value, nothing.low) == (0, 0)
    assert nothing.high > 0.2
    assert wilson(0, 0) is None
