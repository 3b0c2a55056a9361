"""The classifier keeps scikit-learn's contract: parameters, cloning, cross-validation, classes in their own words."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.utils import estimator_checks
from sklearn.utils.validation import has_fit_parameter

from corpus.errors import RecordError, UsageError
from models.estimator import SampleError, StanceClassifier, _held_back
from models.passage import Passage
from models.recipe import Recipe

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute


@pytest.fixture(scope="module")
def rows(make_lines: Callable[[int, int], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return make_lines(80, 3)


@pytest.fixture(scope="module")
def texts(rows: list[dict[str, Any]]) -> list[str]:
    return [row["text"] for row in rows]


@pytest.fixture(scope="module")
def stances(rows: list[dict[str, Any]]) -> list[str]:
    return [row["stance"] for row in rows]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return Recipe(freeze_word_embeddings=False, head_learning_rate=1e-2, patience=10, precision="fp32")


@pytest.fixture(scope="module")
def classifier(tiny_encoder: str, recipe: Recipe) -> StanceClassifier:
    return StanceClassifier(recipe=recipe, encoder=tiny_encoder, epochs=10, learning_rate=2e-3, seed=0)


@pytest.fixture(scope="module")
def fitted(classifier: StanceClassifier, texts: list[str], stances: list[str]) -> StanceClassifier:
    return clone(classifier).fit(texts, stances)


@pytest.mark.parametrize(
    "check",
    [
        "check_estimator_cloneable",
        "check_estimator_tags_renamed",
        "check_valid_tag_types",
        "check_estimator_repr",
        "check_no_attributes_set_in_init",
        "check_do_not_raise_errors_in_init_or_set_params",
        "check_mixin_order",
        "check_parameters_default_constructible",
        "check_get_params_invariance",
        "check_set_params",
        "check_estimators_unfitted",
    ],
)
def test_scikit_learns_own_checks_that_need_no_table_of_numbers(check: str) -> None:
    getattr(estimator_checks, check)("StanceClassifier", StanceClassifier())


def test_a_clone_has_the_same_parameters_and_no_memory(fitted: StanceClassifier) -> None:
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    assert is_classifier(again)
    with pytest.raises(NotFittedError):
        again.predict(["Upperton rejects the pact."])


def test_parameters_take_the_place_of_the_recipes_fields() -> None:
    given = StanceClassifier(recipe=Recipe(epochs=7, batch_size=5), epochs=2, seed=9)._recipe()
    assert (given.epochs, given.batch_size, given.seed) == (2, 5, 9)
    assert (given.weights.concerns, given.weights.holder) == (0.0, 0.0)
    assert given.weights.balance == Recipe().weights.balance


def test_it_learns_and_answers_in_the_words_of_y(fitted: StanceClassifier, texts: list[str], stances: list[str]) -> None:
    assert fitted.classes_.tolist() == ["no_thanks", "silent", "yes_please"]
    assert set(fitted.predict(texts[:9])) <= set(stances)
    assert fitted.score(texts, stances) == accuracy_score(stances, fitted.predict(texts)) > 0.9
    probability = fitted.predict_proba(texts)
    assert probability.shape == (len(texts), 3)
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-9)
    assert fitted.classes_[probability.argmax(1)].tolist() == fitted.predict(texts).tolist()


def test_heads_without_labels_get_no_gradient_and_do_not_choose_the_epoch(fitted: StanceClassifier) -> None:
    assert {row["concern_macro_f1"] for row in fitted.history_} == {1.0}
    best = max(fitted.history_, key=lambda row: row["stance_macro_f1"])
    assert best["score"] == max(row["score"] for row in fitted.history_)
    assert torch.count_nonzero(fitted.network_.holder_type.bias) > 0, "biases are not shrunk"
    again = clone(fitted).set_params(epochs=1, recipe=msgspec.structs.replace(fitted.recipe, weight_decay=0.0))
    torch.manual_seed(0)
    one, two = (copy.deepcopy(again).set_params(head_learning_rate=rate) for rate in (1e-2, 2e-2))
    data = (["it rejects", "it signs", "it reads", "it refuses", "it praises", "it counts"] * 4, [0, 1, 2] * 8)
    heads = [e.fit(*data).network_ for e in (one, two)]
    for name in ("concerns", "holder_type", "span"):
        assert torch.equal(getattr(heads[0], name).weight, getattr(heads[1], name).weight), name
    assert not torch.equal(heads[0].stance.weight, heads[1].stance.weight)


@pytest.mark.slow
def test_cross_validation_predicts_each_text_with_a_model_that_has_not_seen_it(
    classifier: StanceClassifier, rows: list[dict[str, Any]], texts: list[str], stances: list[str]
) -> None:
    documents = [row["url"] for row in rows]
    longer = clone(classifier).set_params(epochs=16)
    probability = cross_val_predict(longer, texts, stances, cv=GroupKFold(3), groups=documents, method="predict_proba")
    np.testing.assert_allclose(probability.sum(1), 1, atol=1e-9)
    decided = np.unique(stances)[probability.argmax(1)]
    assert accuracy_score(stances, decided) > 0.75


@pytest.mark.slow
def test_lists_arrays_series_and_passages_with_integer_classes_give_the_same_model(
    classifier: StanceClassifier, texts: list[str], stances: list[str]
) -> None:
    names = sorted(set(stances))
    numbers = [names.index(s) for s in stances]
    short = clone(classifier).set_params(epochs=1)
    forms: list[tuple[Any, Any]] = [
        (texts, numbers),
        (np.array(texts), np.array(numbers)),
        (pd.Series(texts, index=range(5, 5 + len(texts))), pd.Series(numbers)),
        ([Passage(t) for t in texts], np.array(numbers)[:, None][:, 0]),
    ]
    answers = [clone(short).fit(x, y).predict_proba(x) for x, y in forms]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])
    assert clone(short).fit(texts, numbers).classes_.tolist() == [0, 1, 2]


def test_a_fitted_classifier_survives_a_journey_to_another_process(fitted: StanceClassifier, texts: list[str]) -> None:
    there = pickle.loads(pickle.dumps(fitted))  # noqa: S301  # our own bytes, as joblib sends them to its workers
    np.testing.assert_array_equal(there.predict_proba(texts[:20]), fitted.predict_proba(texts[:20]))


def test_sample_weights_are_refused(classifier: StanceClassifier, texts: list[str], stances: list[str]) -> None:
    assert not has_fit_parameter(classifier, "sample_weight")
    with pytest.raises(TypeError, match="sample_weight"):
        clone(classifier).fit(texts, stances, sample_weight=[1.0] * len(texts))


def test_the_held_back_part_has_all_stances_in_like_shares_and_divides_no_group() -> None:
    index = np.array([0] * 60 + [1] * 30 + [2] * 10)
    part = _held_back(index, None, 0.2, 0)
    assert np.bincount(index[part]).tolist() == [12, 6, 2]
    assert _held_back(index, None, 0.2, 0).tolist() == part.tolist()
    assert _held_back(index, None, 0.2, 1).tolist() != part.tolist()
    assert part.tolist() != sorted(part), "calibration needs stances mixed, not one after the other"
    groups = np.array([f"document {i % 25}" for i in range(100)])
    part = _held_back(index, groups, 0.2, 0)
    assert len(part) == 20
    assert set(groups[part]).isdisjoint(np.delete(groups, part))
    assert (groups[part][1:] != groups[part][:-1]).sum() == len(set(groups[part])) - 1, "members of a group side by side"


@pytest.mark.parametrize(
    ("X", "y", "sentence"),
    [
        (["a pact", None], ["x", "y"], r"X\[1\]: expected a text, found None"),
        (["a pact", float("nan")], ["x", "y"], r"X\[1\]: expected a text, found nan"),
        (["a pact", " \n"], ["x", "y"], r"X\[1\]: expected a text, found ' \\n'; take the row out"),
        ("a pact", ["x"], "X is one string"),
        (["a pact"] * 4, ["x"] * 4, "expected two stances or more, found 'x' alone"),
        ([], [], "expected two stances or more, found nothing alone"),
        (["a pact"] * 4, ["x", "x", "x", "y"], "the training data cannot be divided"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(X: Any, y: Any, sentence: str) -> None:  # noqa: N803
    with pytest.raises(SampleError, match=sentence) as caught:
        StanceClassifier().fit(X, y)
    assert isinstance(caught.value, RecordError)
    assert isinstance(caught.value, ValueError)


def test_lengths_targets_and_parameters_without_meaning_are_refused(texts: list[str], stances: list[str]) -> None:
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        StanceClassifier().fit(texts, stances[:-1])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        StanceClassifier().fit(texts, stances, groups=[1, 2])
    with pytest.raises(ValueError, match="Unknown label type"):
        StanceClassifier().fit(texts, np.linspace(0, 1, len(texts)))
    with pytest.raises(UsageError, match="epochs is 0"):
        StanceClassifier(epochs=0).fit(texts, stances)
    with pytest.raises(UsageError, match="Expected `int`, got `str`"):
        StanceClassifier(epochs="ten").fit(texts, stances)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"validation_fraction is 1\.5"):
        StanceClassifier(validation_fraction=1.5).fit(texts, stances)


def test_a_stance_that_stands_in_one_group_only_is_named() -> None:
    texts = [f"Upperton reads page {i}" for i in range(40)]
    y = np.array(["plain"] * 20 + ["rare"] * 4 + ["plain"] * 16)
    groups = ["one" if label == "rare" else f"g{i}" for i, label in enumerate(y)]
    seeds = [s for s in range(40) if "rare" in y[_held_back((y == "rare").astype(int), groups, 0.25, s)]]
    assert seeds, "some seed holds the group back"
    with pytest.raises(SampleError, match="stance 'rare' is in the held-back part only"):
        StanceClassifier(validation_fraction=0.25, seed=seeds[0]).fit(texts, y, groups=groups)
