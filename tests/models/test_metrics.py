"""Metrics against scikit-learn and against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from models.metrics import Counter, Decisions, bootstrap_weights, cluster_sums, interval


def _random(n: int, seed: int, stances: int = 4, concerns: int = 3) -> Decisions:
    rng = np.random.default_rng(seed)
    return Decisions(
        rng.integers(0, stances, n),
        rng.integers(0, stances, n),
        rng.random((n, concerns)) < 0.3,
        rng.random((n, concerns)) < 0.3,
        rng.random(n),
    )


@given(n=st.integers(1, 40), seed=st.integers(0, 10_000))
def test_every_f1_precision_recall_and_accuracy_equals_scikit_learns(n: int, seed: int) -> None:
    d = _random(n, seed)
    found = Counter(4, 3, (0, 1), (0, 2)).metrics(Counter(4, 3, (0, 1), (0, 2)).counts(d).sum(0))
    options = {"average": None, "labels": range(4), "zero_division": np.nan}
    for name, score in (("f1", f1_score), ("precision", precision_score), ("recall", recall_score)):
        np.testing.assert_allclose(
            [found[f"stance_{name}", i] for i in range(4)], score(d.gold_stance, d.stance, **options), equal_nan=True
        )
        np.testing.assert_allclose(
            [found[f"concern_{name}", i] for i in range(3)],
            score(d.gold_concerns, d.concerns, average=None, zero_division=np.nan),
            equal_nan=True,
        )
    f1 = f1_score(d.gold_stance, d.stance, **options)
    np.testing.assert_allclose(found["stance_macro_f1", None], np.nanmean(f1))
    np.testing.assert_allclose(found["stance_accuracy", None], accuracy_score(d.gold_stance, d.stance))
    if np.isfinite(f1[:2]).any():
        np.testing.assert_allclose(found["stance_polar_f1", None], np.nanmean(f1[:2]))
    np.testing.assert_allclose(
        found["concern_micro_f1", None],
        f1_score(d.gold_concerns, d.concerns, average="micro", zero_division=np.nan),
        equal_nan=True,
    )


def test_calibration_error_by_hand() -> None:
    # Two statements at 0.85, one right: gap 2 * |0.85 - 0.5| = 0.70. One at 0.30, right: gap 0.70. Mean over three: 1.4 / 3.
    d = Decisions(
        np.array([0, 0, 1]), np.array([0, 1, 1]), np.zeros((3, 1), bool), np.zeros((3, 1), bool), np.array([0.85, 0.85, 0.3])
    )
    counter = Counter(2, 1, (), ())
    assert counter.metrics(counter.counts(d).sum(0))["stance_ece", None] == pytest.approx(1.4 / 3)


def test_a_confidence_of_one_lies_in_the_last_bin() -> None:
    d = Decisions(np.array([0]), np.array([0]), np.zeros((1, 1), bool), np.zeros((1, 1), bool), np.array([1.0]))
    counter = Counter(2, 1, (), ())
    assert counter.metrics(counter.counts(d).sum(0))["stance_ece", None] == 0


def test_each_resample_draws_as_many_clusters_as_there_are() -> None:
    weights = bootstrap_weights(7, resamples=50, seed=1)
    assert weights.shape == (50, 7)
    assert (weights.sum(1) == 7).all()
    assert (bootstrap_weights(7, resamples=50, seed=1) == weights).all()
    assert (bootstrap_weights(7, resamples=50, seed=2) != weights).any()


def test_resampling_sums_equals_repeating_statements() -> None:
    d = _random(30, 3)
    cluster = np.arange(30) // 3
    counter = Counter(4, 3, (0, 1), ())
    weights = bootstrap_weights(10, resamples=1, seed=0)
    fast = counter.metrics(weights @ cluster_sums(counter.counts(d), cluster, 10))
    rows = np.repeat(np.arange(30), weights[0].astype(int)[cluster])
    again = Decisions(d.gold_stance[rows], d.stance[rows], d.gold_concerns[rows], d.concerns[rows], d.confidence[rows])
    slow = counter.metrics(counter.counts(again).sum(0))
    for key, value in slow.items():
        np.testing.assert_allclose(fast[key][0], value, equal_nan=True)


def test_interval_covers_the_middle_and_leaves_out_what_is_undefined() -> None:
    resampled = np.concatenate([np.linspace(0, 1, 1001), [np.nan] * 5])
    found = interval(np.array(0.5), resampled)
    assert found is not None
    assert (found.value, found.low, found.high) == (0.5, pytest.approx(0.025), pytest.approx(0.975))
    assert interval(np.array(np.nan), resampled) is None
