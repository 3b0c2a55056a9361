"""Calibration on data whose truth is known, and decisions that do not hang on the last bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import f1_score

from models.calibration import Calibration, choose_thresholds, fit_calibration, fit_temperature, sigmoid, softmax

finite = st.floats(-700, 700)


@given(st.lists(finite, min_size=2, max_size=6))
def test_softmax_and_sigmoid_equal_scipys(values: list[float]) -> None:
    z = np.array(values)
    np.testing.assert_allclose(softmax(z), scipy_softmax(z), atol=1e-12)
    np.testing.assert_allclose(sigmoid(z), expit(z), atol=1e-12)


@pytest.mark.parametrize("truth", [0.5, 1.0, 2.5])
def test_temperature_is_found_where_labels_are_drawn_from_tempered_logits(truth: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (20_000, 4))
    gold = (softmax(logits / truth).cumsum(1) > rng.random((20_000, 1))).argmax(1)
    assert fit_temperature(logits, gold) == pytest.approx(truth, rel=0.06)


def test_concern_scaling_is_found_where_labels_are_drawn_from_it() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (6000, 3))
    concerns = (rng.random((6000, 3)) < sigmoid(0.5 * logits - 1)).astype(np.float32)
    found = fit_calibration(rng.normal(0, 1, (6000, 2)), rng.integers(0, 2, 6000), logits, concerns)
    assert found.concern_scale == pytest.approx(0.5, abs=0.05)
    assert found.concern_shift == pytest.approx(-1, abs=0.06)


def test_concerns_that_a_cut_separates_do_not_become_certainties() -> None:
    logits = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    found = fit_calibration(np.zeros((4, 2)), np.array([0, 1, 0, 1]), logits, (logits > 0).astype(np.float32))
    assert 0 < found.concern_scale < 3, "four cases cannot tell 95 % from 100 %"
    assert found.concerns(logits).max() < 0.99
    assert (found.decide_concerns(found.concerns(logits)) == (logits > 0)).all()


def test_logits_that_rank_the_wrong_way_round_are_left_alone() -> None:
    logits = np.array([[2.0], [1.0], [-1.0], [-2.0]])
    found = fit_calibration(np.zeros((4, 2)), np.array([0, 1, 0, 1]), logits, np.array([[0.0], [0.0], [1.0], [1.0]]))
    assert (found.concern_scale, found.concern_shift) == (1.0, 0.0)


@given(seed=st.integers(0, 2000))
def test_a_threshold_has_the_best_f1_of_all_cuts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.random((30, 1)).round(2)
    y = (rng.random((30, 1)) < p).astype(int)
    y[:8] = 1  # enough positives for a threshold of its own
    chosen = choose_thresholds(p, y)[0]
    best = max(f1_score(y[:, 0], p[:, 0] >= cut) for cut in np.concatenate([p[:, 0], [0.0]]))
    assert f1_score(y[:, 0], p[:, 0] >= chosen) == pytest.approx(best)


def test_a_concern_with_few_positives_takes_the_common_threshold() -> None:
    rng = np.random.default_rng(0)
    p = rng.random((200, 3))
    y = (p > 0.6).astype(int)
    y[:, 2] = 0
    y[3, 2] = 1  # one positive, with whatever probability it happens to have
    chosen = choose_thresholds(p, y)
    assert chosen[0] == pytest.approx(0.6, abs=0.02)
    common = choose_thresholds(p.reshape(-1, 1), y.reshape(-1, 1))[0]
    assert chosen[2] == pytest.approx(common)


def test_probabilities_sum_to_one_and_noise_below_rounding_changes_nothing() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (50, 4)).round(4)
    calibration = Calibration(temperature=1.7, thresholds=(0.5,) * 4)
    np.testing.assert_allclose(calibration.stance(logits).sum(1), 1)
    noisy = logits + rng.uniform(-2e-5, 2e-5, logits.shape)
    assert (calibration.stance(noisy) == calibration.stance(logits)).all()
    assert (calibration.concerns(noisy) == calibration.concerns(logits)).all()
