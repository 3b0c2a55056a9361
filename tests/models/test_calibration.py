"""Calibration on data whose truth is known, and decisions that do not hang on the last bits."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit
from scipy.special import softmax as scipy_softmax
from sklearn.metrics import f1_score, log_loss

from models.calibration import Calibration, choose_thresholds, fit_calibration, fit_temperature, sigmoid, softmax
from models.metrics import Counter, Decisions

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
@pytest.mark.slow
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


def draw(probabilities: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.int64]:
    """One label a row, from the row's probabilities."""
    return (probabilities.cumsum(1) > rng.random((len(probabilities), 1))).argmax(1)


def no_concerns(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros((n, 1)), np.zeros((n, 1))


def stance_ece(calibration: Calibration, logits: NDArray[np.float64], gold: NDArray[np.int64]) -> float:
    p = calibration.stance(logits)
    none = np.zeros((len(gold), 0), dtype=bool)
    counter = Counter(p.shape[1], 0, (), ())
    counts = counter.counts(Decisions(gold, p.argmax(1), none, none, p.max(1)))
    return float(counter.metrics(counts.sum(0))["stance_ece", None])


def test_labels_drawn_from_tempered_logits_are_calibrated_by_temperature_alone() -> None:
    rng = np.random.default_rng(11)
    logits = rng.normal(0, 3, (1500, 4))
    found = fit_calibration(logits, draw(softmax(logits / 2.5), rng), *no_concerns(1500))
    assert found.temperature == pytest.approx(2.5, rel=0.12)
    assert (found.stance_scale, found.stance_bias) == ((), ()), "nothing was there to be won by a richer form"
    fresh = rng.normal(0, 3, (20_000, 4))
    gold = draw(softmax(fresh / 2.5), rng)
    assert stance_ece(found, fresh, gold) < 0.025
    assert stance_ece(Calibration(), fresh, gold) > 0.15, "before, the network was far too sure"


def test_a_bias_and_scales_of_the_stances_are_found_where_they_are_the_truth() -> None:
    rng = np.random.default_rng(12)
    scale, bias = np.array([0.9, 0.4, 0.6]), np.array([0.0, 1.2, -1.2])
    logits = rng.normal(0, 3, (3000, 3))
    found = fit_calibration(logits, draw(softmax(logits * scale + bias), rng), *no_concerns(3000))
    fresh = rng.normal(0, 3, (5000, 3))
    truth = softmax(fresh * scale + bias)
    assert len(set(found.stance_scale)) == 3
    assert np.abs(found.stance(fresh) - truth).mean() < 0.02
    alone = Calibration(temperature=found.temperature)
    assert np.abs(alone.stance(fresh) - truth).mean() > 0.08


def test_a_bias_that_would_cost_the_rare_stance_its_decisions_is_left_out() -> None:
    # What training with weighted classes gives: logits that suit stances of equal shares, while the last one is rarer.
    rng = np.random.default_rng(13)
    gold = rng.choice(3, size=600, p=[0.52, 0.33, 0.15])
    logits = rng.normal(0, 1, (600, 3)) + np.eye(3)[gold]
    found = fit_calibration(logits, gold, *no_concerns(600))
    assert found.stance_bias == ()
    shares = np.bincount(gold, minlength=3) / len(gold)
    biased = softmax(logits + np.log(shares))
    assert log_loss(gold, biased) < log_loss(gold, found.stance(logits)), "its log loss would have been better"
    f1 = [f1_score(gold, p.argmax(1), average="macro") for p in (biased, found.stance(logits))]
    assert f1[0] < f1[1]


def test_a_concern_that_is_off_by_itself_is_mended_and_one_with_few_cases_is_not() -> None:
    rng = np.random.default_rng(14)
    scale, shift = np.array([1.0, 1.0, 0.4, 1.0]), np.array([0.0, -2.0, 1.5, -9.0])
    logits = rng.normal(0, 2, (2500, 4))
    concerns = (rng.random(logits.shape) < sigmoid(scale * logits + shift)).astype(np.float64)
    assert concerns[:, 3].sum() < 8
    found = fit_calibration(np.zeros((2500, 2)), np.arange(2500) % 2, logits, concerns)
    fresh = rng.normal(0, 2, (5000, 4))
    error = np.abs(found.concerns(fresh) - sigmoid(scale * fresh + shift)).mean(0)
    common = Calibration(concern_scale=found.concern_scale, concern_shift=found.concern_shift)
    assert (error[:3] < 0.02).all()
    assert (np.abs(common.concerns(fresh) - sigmoid(scale * fresh + shift)).mean(0)[1:3] > 0.08).all()
    assert (found.concern_scales[3], found.concern_shifts[3]) == (found.concern_scale, found.concern_shift)


def test_concerns_that_are_all_alike_share_their_calibration() -> None:
    rng = np.random.default_rng(15)
    logits = rng.normal(0, 2, (400, 6))
    concerns = (rng.random(logits.shape) < sigmoid(0.7 * logits - 1)).astype(np.float64)
    found = fit_calibration(np.zeros((400, 2)), np.arange(400) % 2, logits, concerns)
    assert (found.concern_scales, found.concern_shifts) == ((), ())


@pytest.mark.parametrize("n", [4, 9, 10, 60, 300])
def test_separable_development_data_give_finite_numbers_twice_the_same(n: int) -> None:
    gold = np.arange(n) % 4
    logits = 50.0 * np.eye(4)[gold]
    concerns = np.eye(4)[gold]
    found = fit_calibration(logits, gold, 100 * concerns - 50, concerns)
    assert found == fit_calibration(logits, gold, 100 * concerns - 50, concerns)
    numbers = [found.temperature, found.concern_scale, found.concern_shift, *found.stance_scale, *found.stance_bias]
    assert np.isfinite([*numbers, *found.concern_scales, *found.concern_shifts, *found.thresholds]).all()
    assert found.temperature >= 0.05
    assert all(s > 0 for s in (*found.stance_scale, *found.concern_scales))
    assert (found.decide_concerns(found.concerns(100 * concerns - 50)) == concerns).all()
    assert all(right for _, right in found.pairs)


def test_pairs_are_confidences_of_fits_that_had_not_seen_the_statement() -> None:
    rng = np.random.default_rng(16)
    logits = rng.normal(0, 2, (100, 3)).round(3)
    gold = draw(softmax(logits), rng)
    found = fit_calibration(logits, gold, *no_concerns(100))
    assert (found.stance_scale, len(found.pairs)) == ((), 100)
    for start in (0, 80):  # the first and the last of five stretches of twenty
        rest = np.delete(np.arange(100), np.arange(start, start + 20))
        p = softmax(logits[start : start + 20] / fit_temperature(logits[rest], gold[rest]))
        for (confidence, right), row, label in zip(
            found.pairs[start : start + 20], p, gold[start : start + 20], strict=True
        ):
            assert confidence == pytest.approx(row.max(), abs=1e-6)
            assert right == (row.argmax() == label)


def test_richer_probabilities_sum_to_one_and_noise_below_rounding_changes_nothing() -> None:
    rng = np.random.default_rng(17)
    logits = rng.normal(0, 2, (50, 3)).round(4)
    calibration = Calibration(
        temperature=1.7, stance_scale=(1.0, 0.5, 1.5), stance_bias=(0.1, -0.3, 0.2), concern_scales=(1.0, 2.0, 0.3),
        concern_shifts=(0.5, 0.0, -0.5),
    )  # fmt: skip
    np.testing.assert_allclose(calibration.stance(logits).sum(1), 1)
    expected = scipy_softmax(logits[0] / 1.7 * np.array([1, 0.5, 1.5]) + np.array([0.1, -0.3, 0.2]))
    np.testing.assert_allclose(calibration.stance(logits)[0], expected)
    np.testing.assert_allclose(calibration.concerns(logits)[:, 2], expit(0.3 * logits[:, 2] - 0.5))
    noisy = logits + rng.uniform(-2e-5, 2e-5, logits.shape)
    assert (calibration.stance(noisy) == calibration.stance(logits)).all()
    assert (calibration.concerns(noisy) == calibration.concerns(logits)).all()
    assert (calibration.stance(logits[7:8]) == calibration.stance(logits)[7:8]).all()


def test_what_an_earlier_release_wrote_is_read_and_means_the_same() -> None:
    old = b'{"temperature": 1.5, "concern_scale": 0.9, "concern_shift": -0.8, "thresholds": [0.3, 0.2]}'
    read = msgspec.json.decode(old, type=Calibration)
    logits = np.array([[1.0, -0.5], [0.25, 2.0]])
    np.testing.assert_allclose(read.stance(logits), scipy_softmax(logits / 1.5, axis=1))
    np.testing.assert_allclose(read.concerns(logits), expit(0.9 * logits - 0.8))
    assert read.pairs == ()


def test_a_calibration_survives_the_journey_through_json() -> None:
    rng = np.random.default_rng(18)
    logits = rng.normal(0, 2, (40, 3))
    found = fit_calibration(logits, draw(softmax(logits), rng), logits, (logits > 0).astype(np.float64))
    assert msgspec.json.decode(msgspec.json.encode(found), type=Calibration) == found
