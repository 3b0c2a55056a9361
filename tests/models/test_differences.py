"""Differences of shares: against two-sample formulas, shared clusters, and Holm's adjustment."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from models.differences import difference, holm
from models.intervals import shrink
from models.prevalence import Group, Question, Sample, estimate, totals

YES = Question((1,))


def two_groups(shared: bool, n=60, seed=0):
    """Return two groups of n statements each, all gold, whose clusters are the same or not, and their cross products."""
    rng = np.random.default_rng(seed)
    common = rng.random(n)
    y = np.r_[common < 0.5, common < 0.6].astype(float)
    x = np.c_[np.ones(2 * n), np.full(2 * n, 0.5)]
    gold = np.c_[np.ones(2 * n), y]
    cluster = np.r_[np.arange(n), np.arange(n) + (0 if shared else n)]
    sample = Sample(x, gold, np.ones(2 * n), np.ones(2 * n), cluster, np.zeros(2 * n, dtype=int))
    groups, by_cluster = [], []
    for g in (0, 1):
        inside = np.repeat([g == 0, g == 1], n)
        at_gold = np.zeros((sample.clusters, 2))
        np.add.at(at_gold, cluster[inside], x[inside])
        groups.append(estimate(Group(totals(x[inside], np.ones(n), cluster[inside]), inside, at_gold), sample, YES, power=0))
        by_cluster.append(at_gold)
    return *groups, by_cluster[0].T @ by_cluster[1], y[:n], y[n:]


def test_groups_without_a_common_cluster_differ_with_the_sum_of_their_variances():
    a, b, cross, first, second = two_groups(shared=False)
    d = difference(a, b, cross)
    assert d.value[0] == pytest.approx(first.mean() - second.mean())
    (pa, va, _), (pb, vb, _) = (shrink(e.raw, e.variance, e.units, e.pseudo) for e in (a, b))
    freedom = (va + vb) ** 2 / (va**2 / 59 + vb**2 / 59)
    from scipy.stats import t

    half = t.ppf(0.975, freedom) * np.sqrt(va + vb)
    assert (d.low, d.high) == (pytest.approx(pa - pb - half), pytest.approx(pa - pb + half))


def test_paired_groups_differ_with_the_variance_of_the_pairs_differences():
    """Two groups with one statement each in every cluster are pairs: what both have in common cancels out."""
    a, b, cross, first, second = two_groups(shared=True, n=400)
    d = difference(a, b, cross)
    paired = (first - second).std(ddof=1) / np.sqrt(400)
    assert (d.high - d.low)[0] / 2 / 1.96 == pytest.approx(paired, rel=0.1)
    apart = difference(*two_groups(shared=False, n=400)[:3])
    assert apart.value == pytest.approx(d.value)
    assert (d.high - d.low)[0] < 0.6 * (apart.high - apart.low)[0]


def test_the_p_value_is_small_exactly_where_the_interval_excludes_nought():
    for seed in range(20):
        d = difference(*two_groups(shared=False, seed=seed)[:3])
        assert (d.p[0] < 0.05) == (d.low[0] > 0 or d.high[0] < 0)


def test_the_other_way_round_the_sign_changes_and_nothing_else():
    a, b, cross, *_ = two_groups(shared=True)
    there, back = difference(a, b, cross), difference(b, a, cross.T)
    assert back.value == pytest.approx(-there.value)
    assert (back.low, back.high) == (pytest.approx(-there.high), pytest.approx(-there.low))
    assert back.p == pytest.approx(there.p)


def test_holm_steps_down_as_in_a_worked_example():
    """Three p values: 0.01 x 3, then 0.02 x 2, then 0.03 x 1 but no smaller than the one before; a missing one is none."""
    assert holm(np.array([0.02, np.nan, 0.01, 0.03])) == pytest.approx([0.04, np.nan, 0.03, 0.04], nan_ok=True)
    assert np.isnan(holm(np.array([np.nan]))).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_lies_between_the_p_value_and_bonferroni_and_above_benjamini_hochberg(values):
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p - 1e-12).all()
    assert (adjusted <= np.minimum(p * len(p), 1) + 1e-12).all()
    assert (adjusted >= false_discovery_control(p) - 1e-12).all()
