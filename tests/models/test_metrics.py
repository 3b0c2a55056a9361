"""Metrics against scikit-learn and against sums done by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from models.metrics import (
    Counter,
    Decisions,
    Holders,
    Resampling,
    bootstrap_weights,
    cluster_sums,
    interval,
    join_decisions,
    rank,
    word_overlap,
)


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
@pytest.mark.slow
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


def test_shared_words_by_hand() -> None:
    assert word_overlap("the Commission", "Commission") == pytest.approx(2 * 1 / (2 + 1))
    assert word_overlap("Raman Jit Singh Chima", "CHIMA") == pytest.approx(2 * 1 / 5)
    assert word_overlap("Moscow", "Moscow's") == pytest.approx(2 / 3), "the s after the apostrophe is a word"
    assert word_overlap("New York, New York", "New York") == pytest.approx(2 * 2 / 6), "a word counts as often as it occurs"
    assert word_overlap("Ann", "Tom") == 0
    assert (word_overlap("—", "—"), word_overlap("—", "…")) == (1, 0), "no words at all"


@given(a=st.text("ab c", max_size=12), b=st.text("ab c", max_size=12))
def test_word_overlap_is_symmetric_and_lies_between_nothing_and_all(a: str, b: str) -> None:
    assert word_overlap(a, b) == word_overlap(b, a)
    assert 0 <= word_overlap(a, b) <= 1
    assert word_overlap(a, a) == 1


def _named(gold: tuple[str | None, ...], decided: tuple[str | None, ...], kinds: tuple[list[int], list[int]]) -> Decisions:
    n = len(gold)
    holders = Holders(gold, decided, np.array(kinds[0]), np.array(kinds[1]))
    nothing = np.zeros((n, 1), bool)
    return Decisions(np.zeros(n, int), np.zeros(n, int), nothing, nothing, holders=holders)


def test_holder_figures_by_hand() -> None:
    gold = ("Ann Gler", "the town", None, None, "Tom")
    decided = ("Ann Gler", "town", None, "Tom", None)
    counter = Counter(2, 1, (), (), holder_types=3)
    found = counter.metrics(counter.counts(_named(gold, decided, ([0, 1, 2, 2, -1], [0, 0, 2, 0, 0]))).sum(0))
    # Three holders in gold, three decided; one is exact, one shares one of two words with one: 2 * 1 / 3.
    assert found["holder_exact_f1", None] == pytest.approx(2 * 1 / 6)
    assert found["holder_overlap_f1", None] == pytest.approx(2 * (1 + 2 / 3) / 6)
    assert found["holder_named_accuracy", None] == pytest.approx(3 / 5)
    assert found["holder_type_accuracy", None] == pytest.approx(2 / 4), "the unknown type is left out"
    expected = f1_score([0, 1, 2, 2], [0, 0, 2, 0], average="macro", labels=range(3), zero_division=np.nan)
    assert found["holder_type_macro_f1", None] == pytest.approx(expected)


def test_decisions_without_holders_have_no_holder_figures() -> None:
    counter = Counter(4, 3, (0, 1), (), holder_types=3)
    found = counter.metrics(counter.counts(_random(20, 1)).sum(0))
    assert all(np.isnan(value) for (name, _), value in found.items() if name.startswith("holder_"))
    assert np.isfinite(found["stance_accuracy", None])


def _selective_by_hand(confidence: np.ndarray, correct: np.ndarray, share: float) -> float:
    """Accuracy of the decisions at or above the highest confidence that keeps the share."""
    for threshold in sorted(set(confidence), reverse=True):
        kept = confidence >= threshold
        if kept.sum() >= share * len(confidence) - 1e-9:
            return float(correct[kept].mean())
    raise AssertionError


@given(
    pairs=st.lists(st.tuples(st.sampled_from([0.3, 0.5, 0.6, 0.9, 1.0]), st.booleans()), min_size=1, max_size=30),
    share=st.sampled_from([0.05, 0.3, 0.7, 1.0]),
)
def test_ranked_accuracy_and_its_area_equal_those_by_thresholds(pairs: list[tuple[float, bool]], share: float) -> None:
    confidence, correct = np.array([p for p, _ in pairs]), np.array([c for _, c in pairs])
    found = rank(confidence, correct, np.ones((1, len(pairs))), np.array([share]))
    assert found.accuracy[0, 0] == pytest.approx(_selective_by_hand(confidence, correct, share))
    errors = [1 - correct[confidence >= c].mean() for c in confidence]
    assert found.area[0] == pytest.approx(np.mean(errors))


def test_area_by_hand() -> None:
    # Most confident right, then wrong, then right: error rates 0, 1/2 and 1/3 of what is kept; their mean is 5/18.
    found = rank(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), np.ones((1, 3)), np.array([1 / 3, 1.0]))
    assert found.area[0] == pytest.approx(5 / 18)
    assert found.accuracy[0].tolist() == pytest.approx([1, 2 / 3])


@given(seed=st.integers(0, 1000))
def test_at_full_coverage_ranked_accuracy_is_accuracy_in_each_resample(seed: int) -> None:
    d = _random(30, seed)
    draws = Resampling(np.arange(30) // 3, bootstrap_weights(10, resamples=20, seed=seed))
    ranked = draws.rank(d, np.array([1.0]))
    assert ranked is not None
    plain = draws.measure(Counter(4, 3, (), ()), d)
    np.testing.assert_allclose(ranked[0].accuracy[0, 0], plain.value["stance_accuracy", None])
    np.testing.assert_allclose(ranked[1].accuracy[:, 0], plain.resampled["stance_accuracy", None])


def test_ranked_figures_of_a_resample_equal_those_of_repeated_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    d = _random(30, 5)
    cluster = np.arange(30) // 3
    draws = Resampling(cluster, bootstrap_weights(10, resamples=7, seed=2))
    fast = draws.measure_ranked(d)
    for i, weights in enumerate(draws.weights):
        rows = np.repeat(np.arange(30), weights[cluster].astype(int))
        assert d.confidence is not None
        slow = rank(d.confidence[rows], (d.stance == d.gold_stance)[rows], np.ones((1, len(rows))), np.array([0.7]))
        assert fast.resampled["accuracy_at_70", None][i] == pytest.approx(slow.accuracy[0, 0])
        assert fast.resampled["aurc", None][i] == pytest.approx(slow.area[0])
    monkeypatch.setattr("models.metrics._BLOCK", 61)  # two resamples a block
    in_blocks = draws.measure_ranked(d)
    np.testing.assert_array_equal(in_blocks.resampled["aurc", None], fast.resampled["aurc", None])


def test_joined_decisions_are_those_of_all_lots_and_lose_what_one_lot_lacks() -> None:
    one, two = _random(5, 1), _random(4, 2)
    joined = join_decisions([one, two])
    np.testing.assert_array_equal(joined.stance, np.concatenate([one.stance, two.stance]))
    np.testing.assert_array_equal(joined.gold_concerns, np.concatenate([one.gold_concerns, two.gold_concerns]))
    assert joined.probabilities is None
    assert joined.holders is None
    named = _named(("Ann", None), ("Tom", None), ([0, 1], [0, 0]))
    both = join_decisions([named, named])
    assert both.holders is not None
    assert both.holders.gold == ("Ann", None, "Ann", None)
    assert both.holders.gold_kind.tolist() == [0, 1, 0, 1]
    assert both.confidence is None
    assert join_decisions([named, replace(named, holders=None)]).holders is None
