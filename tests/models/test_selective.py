"""Promises of abstention and of prediction sets, checked against exact laws on data whose truth is known."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta, betabinom, binom

from corpus.errors import UsageError
from models.calibration import softmax
from models.selective import (
    Selection,
    _choose,
    choose_threshold,
    conformal_quantile,
    conformal_quantiles,
    conformal_scores,
    prediction_sets,
)

Pairs = list[tuple[float, bool]]


def steps(*right: bool) -> Pairs:
    """Decisions of falling confidence: 0.99, 0.98 and so on."""
    return [(round(0.99 - i / 100, 2), r) for i, r in enumerate(right)]


def test_ten_right_decisions_promise_nine_in_ten_and_nine_do_not() -> None:
    found = choose_threshold(steps(*[True] * 10, False, False), 0.9)
    assert (found.threshold, found.statements, found.kept, found.correct) == (0.9, 12, 10, 10)
    assert found.expected_accuracy == pytest.approx(0.9)
    assert found.expected_coverage == pytest.approx(10 / 12)
    with pytest.raises(UsageError, match=r"accuracy of 0\.9 on 11 development statements, the highest is 0\.88;"):
        choose_threshold(steps(*[True] * 9, False, False), 0.9)


def test_the_lowest_threshold_wins_though_one_above_it_falls_short() -> None:
    # After the error at 11 the corrected rate is 2/11; it is 2/20 again after nine more right ones.
    found = choose_threshold(steps(*[True] * 10, False, *[True] * 9, False, False), 0.9)
    assert (found.kept, found.correct, found.threshold) == (20, 19, 0.8)


def test_equal_confidences_are_kept_or_left_together() -> None:
    tied = [(0.9, True)] * 10 + [(0.8, True)] * 5 + [(0.8, False)] * 5
    assert choose_threshold(tied, 0.9).kept == 10
    assert choose_threshold(tied[::-1], 0.9) == choose_threshold(tied, 0.9)


def test_a_target_that_all_decisions_reach_keeps_everything() -> None:
    found = choose_threshold(steps(*[True] * 15, False), 0.8)
    assert (found.threshold, found.kept, found.coverage_interval) == (0.0, 16, (1.0, 1.0))
    assert found.keeps(0.0)


def test_the_threshold_itself_is_kept() -> None:
    found = choose_threshold(steps(*[True] * 10, *[False] * 5), 0.9)
    assert [found.keeps(c) for c in (0.91, 0.9, 0.899999)] == [True, True, False]


pairs = st.lists(st.tuples(st.integers(20, 100).map(lambda n: n / 100), st.booleans()), min_size=1, max_size=80)


@given(pairs, st.sampled_from([0.3, 0.5, 0.75, 0.9]))
def test_of_all_thresholds_the_lowest_with_one_error_to_spare_is_taken(given_pairs: Pairs, target: float) -> None:
    def spare(threshold: float) -> bool:
        kept = [right for c, right in given_pairs if c >= threshold]
        return round((1 - target) * len(kept) - (kept.count(False) + 1), 9) >= 0

    good = [t for t in sorted({c for c, _ in given_pairs}) if spare(t)]
    if not good:
        with pytest.raises(UsageError, match="no threshold promises"):
            choose_threshold(given_pairs, target)
        return
    found = choose_threshold(given_pairs, target)
    expected = [right for c, right in given_pairs if c >= good[0]]
    assert found.threshold == (0.0 if len(expected) == len(given_pairs) else good[0])
    assert (found.kept, found.correct) == (len(expected), sum(expected))


@settings(max_examples=25)
@given(pairs, st.sampled_from([None, 0.6, 0.9]))
def test_the_target_that_a_refusal_names_is_the_highest_that_is_granted(given_pairs: Pairs, assurance: float | None) -> None:
    with pytest.raises(UsageError) as refusal:
        choose_threshold(given_pairs, 0.999, assurance=assurance)
    named = re.search(r"the highest is ([\d.]+);", str(refusal.value))
    if named is None:
        assert "nor any other" in str(refusal.value)
        tried = [t / 100 for t in range(1, 100)]
    else:
        choose_threshold(given_pairs, float(named[1]), assurance=assurance)
        tried = [t / 100 for t in range(round(float(named[1]) * 100) + 1, 100)]
    assert all(_choose(given_pairs, target, assurance) is None for target in tried)


def test_a_refusal_offers_to_leave_the_assurance_out_only_where_that_helps() -> None:
    drawn = steps(*[True] * 12, False, False)
    with pytest.raises(UsageError, match=r"with assurance 0\.95 .* leave the assurance out"):
        choose_threshold(drawn, 0.9, assurance=0.95)
    with pytest.raises(UsageError) as refusal:
        choose_threshold(drawn, 0.97, assurance=0.95)
    assert "leave" not in str(refusal.value)


@pytest.mark.parametrize(("target", "assurance"), [(0.0, None), (1.0, None), (-1.0, None), (90.0, None), (0.9, 1.0)])
def test_numbers_out_of_range_are_refused(target: float, assurance: float | None) -> None:
    with pytest.raises(UsageError, match=r"expected a number between 0 and 1, as in 0\.9"):
        choose_threshold(steps(True), target, assurance=assurance)


def test_no_pairs_promise_nothing() -> None:
    with pytest.raises(UsageError, match="expected development decisions"):
        choose_threshold([], 0.9)


def draw_pairs(rng: np.random.Generator, n: int) -> Pairs:
    """Confidences that are uniform on [0, 1] and mean what they say: a decision of confidence c is right with chance c."""
    confidence = rng.random(n)
    right = rng.random(n) < confidence
    return list(zip(confidence.tolist(), right.tolist(), strict=True))


def lowest(pairs_: Pairs, risk: float, extra: int) -> tuple[float, int]:
    """The lowest threshold with (errors + extra) / kept at most ``risk`` and the number kept, or (1, 0)."""
    ranked = sorted(pairs_, reverse=True)
    best, wrong = (1.0, 0), 0
    for kept, (confidence, right) in enumerate(ranked, start=1):
        wrong += not right
        if wrong + extra <= risk * kept:
            best = (confidence, kept)
    return best


def test_the_promise_in_expectation_holds_and_the_naive_rule_breaks_it() -> None:
    # Of new statements, the share (1 - t)^2 / 2 is above t and wrong: the integral of 1 - c from t to 1.
    rng, n, risk = np.random.default_rng(1), 80, 0.2
    ours, naive = [], []
    for _ in range(3000):
        drawn = draw_pairs(rng, n)
        try:
            found = choose_threshold(drawn, 1 - risk)
            ours.append((1 - found.threshold) ** 2 / 2 / (found.kept / (n + 1)))
        except UsageError:
            ours.append(0.0)
        threshold, kept = lowest(drawn, risk, 0)
        naive.append((1 - threshold) ** 2 / 2 / (kept / (n + 1)) if kept else 0.0)
    error = np.std(ours) / math.sqrt(len(ours))
    assert np.mean(ours) < risk
    assert np.mean(ours) > 0.7 * risk, "the promise is not kept by keeping nothing"
    assert np.mean(naive) > risk + 4 * error


@pytest.mark.parametrize("assurance", [0.9, 0.75])
def test_an_assured_target_is_missed_no_more_often_than_said(assurance: float) -> None:
    # Of the decisions above t, (1 + t) / 2 are right.
    rng, target, draws = np.random.default_rng(2), 0.8, 500
    missed = kept = missed_in_expectation = 0
    for _ in range(draws):
        drawn = draw_pairs(rng, 300)
        missed_in_expectation += (1 + choose_threshold(drawn, target).threshold) / 2 < target
        try:
            found = choose_threshold(drawn, target, assurance=assurance)
        except UsageError:
            continue
        kept += 1
        missed += (1 + found.threshold) / 2 < target
    assert missed <= binom.ppf(0.999, draws, 1 - assurance)
    assert missed_in_expectation > binom.ppf(0.999, draws, 1 - assurance), "the plain promise is a weaker one"
    assert kept > 0.6 * draws, "and it is not kept by keeping nothing"


def test_an_assured_threshold_passes_the_binomial_test_and_the_next_one_does_not() -> None:
    drawn = sorted(draw_pairs(np.random.default_rng(3), 400), reverse=True)
    found = choose_threshold(drawn, 0.8, assurance=0.9)
    wrong = np.cumsum([not right for _, right in drawn])
    assert binom.cdf(wrong[found.kept - 1], found.kept, 0.2) <= 0.1
    assert binom.cdf(wrong[found.kept], found.kept + 1, 0.2) > 0.1
    assert found.threshold == drawn[found.kept - 1][0]
    # Clopper-Pearson: the upper bound of the error rate is at most 0.2.
    assert beta.ppf(0.9, wrong[found.kept - 1] + 1, found.kept - wrong[found.kept - 1]) <= 0.2 + 1e-9


def test_what_is_promised_is_said_in_words() -> None:
    plain = choose_threshold(steps(*[True] * 40, False), 0.9)
    assured = choose_threshold(steps(*[True] * 40, False), 0.9, assurance=0.8)
    assert plain.guarantee.startswith("On average")
    assert "0.9 or more" in plain.guarantee
    assert assured.guarantee.startswith("With probability 0.8")


def test_the_coverage_interval_has_the_quantiles_of_the_beta_law() -> None:
    found = Selection(target=0.9, assurance=None, threshold=0.7, statements=240, kept=100, correct=95)
    assert found.coverage_interval == pytest.approx(beta.ppf([0.025, 0.975], 100, 141))
    # A uniform confidence keeps 1 - t: what lies above the hundredth of 240.
    rng = np.random.default_rng(4)
    coverage = 1 - np.sort(rng.random((4000, 240)), axis=1)[:, -100]
    inside = ((coverage >= found.coverage_interval[0]) & (coverage <= found.coverage_interval[1])).sum()
    assert binom.ppf(0.001, 4000, 0.95) <= inside <= binom.ppf(0.999, 4000, 0.95)


def test_scores_worked_out_by_hand() -> None:
    p = np.array([[0.5, 0.2, 0.3]])
    np.testing.assert_allclose(conformal_scores(p), [[0.5, 0.8, 0.7]])
    np.testing.assert_allclose(conformal_scores(p, method="aps"), [[0.5, 1.0, 0.8]])
    np.testing.assert_allclose(conformal_scores(p, np.array([2]), method="aps"), [0.8])
    assert prediction_sets(p, np.array([0.7, 0.7, 0.7])).tolist() == [[True, False, True]]
    assert prediction_sets(p, np.array([0.4, 0.8, 0.4])).tolist() == [[False, True, False]]


def test_the_quantile_is_the_smallest_that_finite_samples_allow() -> None:
    assert conformal_quantile(np.arange(9.0), 0.1) == 8.0  # ceil(10 * 0.9) = 9th smallest
    assert conformal_quantile(np.arange(8.0), 0.1) == math.inf  # the 9th of 8
    assert conformal_quantile(np.arange(99.0), 0.05) == 94.0  # the 95th
    assert conformal_quantile(np.empty(0), 0.5) == math.inf


def sum_law(pmf: NDArray[np.float64], times: int) -> NDArray[np.float64]:
    """Distribution function of the sum of independent draws with the given probabilities of 0, 1 and so on."""
    size = (len(pmf) - 1) * times + 1
    return np.fft.irfft(np.fft.rfft(pmf, size) ** times, size).cumsum()


SPLITS, N, M = 500, 100, 40


def split(rng: np.random.Generator, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Labels from known probabilities, and a model's probabilities that are far too sure and lean to the first label."""
    z = rng.normal(0, 1, (n, 4))
    label = (softmax(z).cumsum(1) > rng.random((n, 1))).argmax(1)
    return softmax(2.5 * z + np.array([0.5, 0, 0, 0])), label


@pytest.mark.parametrize("alpha", [0.1, 0.25])
def test_sets_cover_the_true_label_as_often_as_the_beta_binomial_law_says(alpha: float) -> None:
    rng = np.random.default_rng(5)
    covered = {"lac": np.zeros(SPLITS, dtype=int), "aps": np.zeros(SPLITS, dtype=int)}
    for i in range(SPLITS):
        (p, y), (new, truth) = split(rng, N), split(rng, M)
        for method in ("lac", "aps"):
            quantiles = conformal_quantiles(conformal_scores(p, y, method=method), y, 4, alpha)
            covered[method][i] = prediction_sets(new, quantiles, method=method)[np.arange(M), truth].sum()
    # Given the calibration part, coverage is a draw of Beta(rank, n + 1 - rank); over M new statements it is beta-binomial.
    rank = math.ceil((N + 1) * (1 - alpha))
    law = betabinom(M, rank, N + 1 - rank)
    total = sum_law(law.pmf(np.arange(M + 1)), SPLITS)
    low, high = np.searchsorted(total, [1e-4, 1 - 1e-4])
    assert low >= (1 - alpha) * SPLITS * M * 0.98, "the bound itself is a narrow one"
    assert low <= covered["lac"].sum() <= high
    assert covered["aps"].sum() >= low, "equal scores (all labels in the set) can only add"
    poor = law.ppf(0.05)
    assert (
        binom.ppf(1e-4, SPLITS, law.cdf(poor))
        <= (covered["lac"] <= poor).sum()
        <= binom.ppf(1 - 1e-4, SPLITS, law.cdf(poor))
    )


def test_quantiles_by_class_cover_each_class_where_a_common_one_does_not() -> None:
    rng, alpha, per_class = np.random.default_rng(6), 0.2, 40
    easy_and_hard = np.array([2.5, 0.3])

    def drawn(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        y = np.repeat([0, 1], n)
        signal = np.where(y == 0, easy_and_hard[0], -easy_and_hard[1]) + rng.normal(0, 1, 2 * n)
        return softmax(np.stack([signal, -signal], axis=1)), y

    covered = {True: np.zeros(2), False: np.zeros(2)}
    for _ in range(SPLITS):
        (p, y), (new, truth) = drawn(per_class), drawn(20)
        for by_class in (True, False):
            quantiles = conformal_quantiles(conformal_scores(p, y), y, 2, alpha, by_class=by_class)
            hit = prediction_sets(new, quantiles)[np.arange(40), truth]
            covered[by_class] += [hit[:20].sum(), hit[20:].sum()]
    rank = math.ceil((per_class + 1) * (1 - alpha))
    law = sum_law(betabinom(20, rank, per_class + 1 - rank).pmf(np.arange(21)), SPLITS)
    low, high = np.searchsorted(law, [1e-4, 1 - 1e-4])
    assert ((covered[True] >= low) & (covered[True] <= high)).all()
    assert covered[False][1] < 0.75 * SPLITS * 20, "the hard class is short-changed by a common quantile"


def test_a_class_with_too_few_cases_is_in_every_set() -> None:
    labels = np.array([0] * 20 + [1] * 3)
    quantiles = conformal_quantiles(np.linspace(0, 0.5, 23), labels, 3, 0.1, by_class=True)
    assert np.isfinite(quantiles).tolist() == [True, False, False]
    sets = prediction_sets(np.array([[0.98, 0.01, 0.01]]), quantiles)
    assert sets.tolist() == [[True, True, True]]
