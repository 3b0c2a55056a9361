"""Regressions as linear heads: the same probabilities as scikit-learn's, whatever the features' scale and labels' number."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler

from models.calibration import softmax
from models.regression import STRENGTHS, Fold, binary, choose_head, class_score, label_score, multinomial


def test_scaling_is_folded_into_the_weights() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(60, 4)) * [1, 10, 0.1, 3] + [5, -2, 0, 100]
    y = rng.integers(0, 3, 60)
    scaler = StandardScaler().fit(x)
    z = scaler.transform(x)
    head = multinomial(3)(x, y, 0.5, True)
    model = LogisticRegression(C=0.5, class_weight="balanced", max_iter=1000).fit(z, y)
    np.testing.assert_allclose(softmax(head(x)), model.predict_proba(z), atol=1e-8)
    several = binary(x, np.stack([y == 0, y == 1], axis=1).astype(float), 0.5, False)
    model = LogisticRegression(C=0.5, max_iter=1000).fit(z, y == 1)
    np.testing.assert_allclose(several(x)[:, 1], model.decision_function(z), atol=1e-8)


def test_two_labels_and_absent_ones_keep_their_probabilities() -> None:
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(80, 3)), rng.integers(0, 2, 80)
    z = StandardScaler().fit_transform(x)
    two = multinomial(2)(x, y, 1.0, False)
    model = LogisticRegression(C=1.0, max_iter=1000).fit(z, y)
    np.testing.assert_allclose(softmax(two(x)), model.predict_proba(z), atol=1e-8)
    four = multinomial(4)(x, np.where(y == 1, 3, 0), 1.0, False)(x)
    np.testing.assert_allclose(four[:, 3] - four[:, 0], two(x)[:, 1] - two(x)[:, 0], atol=1e-8)
    assert softmax(four)[:, [1, 2]].max() < 0.02, "a label without a case is all but ruled out"


def test_without_a_choice_there_is_only_a_constant() -> None:
    x = np.random.default_rng(5).normal(size=(20, 3))
    unknown = multinomial(2)(x, np.full(20, -100), 1.0, False)
    np.testing.assert_allclose(softmax(unknown(x)), 0.5)
    one = multinomial(2)(x, np.ones(20, dtype=np.int64), 1.0, True)
    np.testing.assert_allclose(softmax(one(x))[:, 1], 1 / (1 + 0.5 / 20.5))
    y = np.zeros((20, 3))
    y[0, 1] = 1
    y[:, 2] = 1
    constant = binary(x, y, 1.0, True)
    assert (constant.weight == 0).all()
    np.testing.assert_allclose(constant.bias, np.log([0.5 / 20.5, 1.5 / 19.5, 20.5 / 0.5]))


def test_a_feature_that_never_varies_has_no_weight() -> None:
    rng = np.random.default_rng(6)
    x = np.concatenate([rng.normal(size=(40, 2)), np.full((40, 1), 7.0)], axis=1)
    head = multinomial(2)(x, rng.integers(0, 2, 40), 1.0, False)
    assert (head.weight[:, 2] == 0).all()


def folds_of(n: int) -> tuple[Fold, ...]:
    """Three folds of every third case."""
    return tuple((np.flatnonzero(np.arange(n) % 3 != i), np.flatnonzero(np.arange(n) % 3 == i)) for i in range(3))


def test_the_head_that_scores_best_where_it_was_not_fitted_is_taken() -> None:
    rng = np.random.default_rng(7)
    x, y, folds = rng.normal(size=(90, 30)), rng.integers(0, 3, 90), folds_of(90)
    scored: list[float] = []

    def score(z: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
        scored.append(class_score(z, gold))
        return scored[-1]

    head, logits = choose_head(x, y, folds, multinomial(3), score)
    weighted, (plain,) = scored[: len(STRENGTHS)], scored[len(STRENGTHS) :]
    assert head.strength == STRENGTHS[weighted.index(max(weighted))]
    assert head.balanced == (plain <= max(weighted))
    assert class_score(logits, y) == max(scored)
    for fitted, held in folds:
        again = multinomial(3)(x[fitted], y[fitted], head.strength, head.balanced)
        np.testing.assert_allclose(logits[held], again(x[held]), atol=1e-12)
    whole = multinomial(3)(x, y, head.strength, head.balanced)
    np.testing.assert_array_equal(head.weight, whole.weight)


def test_of_equals_the_strongest_regularisation_is_taken_and_without_folds_a_middle_one() -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 2, 30)
    head, _ = choose_head(x, y, folds_of(30), multinomial(2), lambda z, gold: 0.5)
    assert (head.strength, head.balanced) == (min(STRENGTHS), True)
    head, logits = choose_head(x, y, (), multinomial(2), lambda z, gold: 0.5)
    assert min(STRENGTHS) < head.strength < max(STRENGTHS)
    assert logits.shape == (0, 2)


def test_weights_are_left_out_where_that_scores_better() -> None:
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(60, 4)), (np.arange(60) % 6 == 0).astype(np.int64)

    def few_positives(z: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
        return -float((z.argmax(1) == 1).mean())

    head, _ = choose_head(x, y, folds_of(60), multinomial(2), few_positives)
    assert not head.balanced, "weights make the rare label commoner"


def test_scores_are_macro_f1_over_known_labels() -> None:
    y = np.array([0, 0, 1, 2, -100])
    logits = np.eye(3)[[0, 1, 1, 2, 0]]
    assert class_score(logits, y) == pytest.approx(f1_score([0, 0, 1, 2], [0, 1, 1, 2], average="macro"))
    assert class_score(logits, np.full(5, -100)) == 0.0
    gold = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    assert label_score(np.array([[2.0, -1], [-2, -1], [1, -1], [-1, -1]]), gold) == 1.0, "told apart, and never raised"
    assert label_score(np.zeros((4, 2)), np.zeros((4, 2))) == 0.0
