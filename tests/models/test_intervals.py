"""Intervals of shares: against published values, and at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from models.intervals import Pseudo, project_to_simplex, pseudo_observations, share_interval, shrink

NONE = Pseudo(0.0, 0.0)


@pytest.mark.parametrize(("cases", "n"), [(3, 10), (1, 40), (50, 100), (199, 200)])
def test_without_pseudo_observations_it_is_wilsons_interval(cases, n):
    p = np.array([cases / n])
    low, high = share_interval(p, p * (1 - p) / n, n, np.inf, NONE, 0.95)
    known = binomtest(cases, n).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == (pytest.approx(known.low), pytest.approx(known.high))


def test_few_degrees_of_freedom_make_it_wider():
    p = np.array([0.3])
    narrow, wide = (share_interval(p, p * 0.7 / 50, 50, freedom, NONE, 0.95) for freedom in (np.inf, 5))
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


def test_an_unknown_variance_says_nothing():
    low, high = share_interval(np.array([0.3]), np.array([np.inf]), 5, 1, Pseudo(0.5, 0.5), 0.95)
    assert (low[0], high[0]) == (0, 1)


def test_pseudo_observations_are_those_of_a_sample_that_has_them():
    """Ten statements with two cases and half a case and half a non-case more: (2 + 0.5) / 11."""
    p, v, keep = shrink(np.array([0.2]), np.array([0.2 * 0.8 / 10]), 10, Pseudo(0.5, 0.5))
    assert p[0] == pytest.approx(2.5 / 11)
    assert v[0] == pytest.approx((10 * 0.16 + 0.5 * (0.64 + 0.04)) / 121)
    assert keep == pytest.approx(10 / 11)


def test_the_centre_moves_fully_without_predictions_and_hardly_with_good_ones():
    p = np.array([0.6, 0.3, 0.1])
    plain = p * (1 - p) / 80
    assert pseudo_observations(p, plain, 80).centre == pytest.approx(0.5)
    assert pseudo_observations(p, plain / 20, 80).centre == pytest.approx(0.025)
    assert pseudo_observations(p, plain * 3, 80).centre == pytest.approx(0.5)
    assert pseudo_observations(p, plain, 80, stratified=True).spread == 1
    assert pseudo_observations(p, plain, np.inf) == NONE


def test_the_projection_is_the_nearest_point_of_the_simplex():
    assert project_to_simplex(np.array([0.7, 0.4, -0.1])) == pytest.approx([0.65, 0.35, 0])
    assert project_to_simplex(np.array([[0.2, 0.8], [1.5, -0.5]])) == pytest.approx(np.array([[0.2, 0.8], [1.0, 0.0]]))


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=8))
def test_projected_shares_are_shares_and_stay_where_they_are(values):
    once = project_to_simplex(np.array(values))
    assert (once >= 0).all()
    assert once.sum() == pytest.approx(1)
    assert project_to_simplex(once) == pytest.approx(once)
