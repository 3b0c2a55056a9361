"""Correction by a confusion matrix: exact where rates are known, refused where they say little."""

from __future__ import annotations

import numpy as np
import pytest

from models.label_shift import corrected, draw_rates, unfit

COUNTS = np.array([[80.0, 10, 10], [20, 70, 10], [5, 15, 80]])


def decisions(shares, n=3000):
    """Return decisions of n clusters of one statement in the proportions that the rates would give."""
    expected = np.array(shares) @ (COUNTS / COUNTS.sum(1, keepdims=True)) * n
    return np.repeat(np.eye(3), np.round(expected).astype(int), axis=0)


def test_decisions_in_the_expected_proportions_give_back_the_true_shares():
    share, low, high = corrected(decisions([0.5, 0.2, 0.3]), draw_rates(COUNTS, draws=500, seed=0))
    assert share == pytest.approx([0.5, 0.2, 0.3], abs=0.001)
    assert (low < share).all()
    assert (share < high).all()


def test_with_two_labels_it_is_the_adjusted_count():
    """Forman 2008: (share decided positive - false positive rate) / (true positive rate - false positive rate)."""
    counts = np.array([[90.0, 10], [30, 70]])
    share, *_ = corrected(np.repeat(np.eye(2), [400, 600], axis=0), draw_rates(counts, draws=50, seed=0))
    assert share[1] == pytest.approx((0.6 - 0.1) / (0.7 - 0.1))


def test_a_solution_outside_the_simplex_is_brought_back():
    share, low, high = corrected(np.repeat(np.eye(3), [900, 50, 50], axis=0), draw_rates(COUNTS, draws=200, seed=0))
    assert share.sum() == pytest.approx(1)
    assert (share >= 0).all()
    assert ((low >= 0) & (high <= 1)).all()


def test_shares_among_some_labels_sum_to_one_and_others_have_none():
    share, _, _ = corrected(decisions([0.5, 0.2, 0.3]), draw_rates(COUNTS, draws=100, seed=0), members=(0, 2))
    assert share[[0, 2]] == pytest.approx([5 / 8, 3 / 8], abs=0.002)
    assert np.isnan(share[1])


def test_the_same_seed_gives_the_same_interval_and_the_normal_form_agrees_with_resampling():
    rates = draw_rates(COUNTS, draws=2000, seed=1)
    small = decisions([0.5, 0.2, 0.3], n=500)[:500]
    a, b = (corrected(small, rates, seed=4) for _ in range(2))
    assert all((x == y).all() for x, y in zip(a, b, strict=True))
    many = corrected(np.concatenate([small, np.zeros((1, 3))]), rates, seed=4)  # one cluster more: the other way of drawing
    assert many[1] == pytest.approx(a[1], abs=0.02)
    assert many[2] == pytest.approx(a[2], abs=0.02)


def test_larger_evaluations_give_narrower_intervals():
    widths = []
    for times in (1, 10):
        _, low, high = corrected(decisions([0.5, 0.2, 0.3]), draw_rates(COUNTS * times, draws=1000, seed=0))
        widths.append((high - low).sum())
    assert widths[1] < 0.7 * widths[0]


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        (np.empty((0,)), "no confusion matrix"),
        (np.array([[50.0, 5], [3, 4]]), "too few cases"),
        (np.array([[50.0, 50], [48, 52]]), "hardly tells"),
        (COUNTS, None),
    ],
)
def test_a_matrix_that_says_little_is_refused_with_a_reason(counts, reason):
    found = unfit(counts)
    assert (found is None) if reason is None else (reason in found)
    if reason is not None:
        with pytest.raises(ValueError, match=reason):
            draw_rates(counts, draws=10, seed=0)


@pytest.mark.slow
def test_its_intervals_hold_where_the_assumption_does():
    import importlib.util
    import sys
    from pathlib import Path

    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark_shift", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    for row in module.measure_label_shift(340, 3000, 400, seed=3):
        assert row["ours_coverage"] > 0.91, row
