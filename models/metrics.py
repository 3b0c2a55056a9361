"""Metrics as functions of additive counts, so that a clustered bootstrap costs one matrix product."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ECE_BINS = 10


@dataclass(frozen=True)
class Decisions:
    """Gold and decided labels of n statements.

    ``stance`` and ``gold_stance`` (n,) indices; ``concerns`` and ``gold_concerns`` (n, concerns) booleans; ``confidence``
    (n,) probability of the decided stance, None where the decider gave none (people do not).
    """

    gold_stance: NDArray[np.int64]
    stance: NDArray[np.int64]
    gold_concerns: NDArray[np.bool_]
    concerns: NDArray[np.bool_]
    confidence: Floats | None = None


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Counter:
    """Which metrics to take: the numbers of labels, the polar stances, and the concerns that are frequent enough."""

    stances: int
    concerns: int
    polar: tuple[int, ...]
    frequent: tuple[int, ...]

    def counts(self, d: Decisions) -> Floats:
        """Return additive counts (n, columns): confusion cells, concern hits and misses, calibration bins."""
        n = len(d.gold_stance)
        confusion = np.zeros((n, self.stances * self.stances))
        confusion[np.arange(n), d.gold_stance * self.stances + d.stance] = 1
        hit, false, missed = (
            d.concerns & d.gold_concerns,
            d.concerns & ~d.gold_concerns,
            ~d.concerns & d.gold_concerns,
        )
        bins = np.zeros((n, 3 * ECE_BINS))
        if d.confidence is not None:
            b = np.minimum((d.confidence * ECE_BINS).astype(int), ECE_BINS - 1)
            rows = np.arange(n)
            bins[rows, b] = 1
            bins[rows, ECE_BINS + b] = d.confidence
            bins[rows, 2 * ECE_BINS + b] = d.stance == d.gold_stance
        return np.concatenate([confusion, hit, false, missed, bins], axis=1)

    def metrics(self, counts: Floats) -> dict[tuple[str, int | None], Floats]:
        """Return each metric, keyed by name and label index, from summed counts (..., columns).

        F1 of a label that is neither gold nor decided is undefined (NaN) and left out of means, as scikit-learn does with
        ``zero_division=np.nan``; so is precision without a decision and recall without a gold case.
        """
        s, c = self.stances, self.concerns
        confusion = counts[..., : s * s].reshape(*counts.shape[:-1], s, s)
        rest = counts[..., s * s :]
        hit, false, missed = rest[..., :c], rest[..., c : 2 * c], rest[..., 2 * c : 3 * c]
        diagonal = np.diagonal(confusion, axis1=-2, axis2=-1)
        gold, decided = confusion.sum(-1), confusion.sum(-2)
        f1 = _ratio(2 * diagonal, gold + decided)
        concern_f1 = _ratio(2 * hit, 2 * hit + false + missed)
        out: dict[tuple[str, int | None], Floats] = {
            ("stance_macro_f1", None): _mean(f1),
            ("stance_polar_f1", None): _mean(f1[..., list(self.polar)]),
            ("stance_accuracy", None): _ratio(diagonal.sum(-1), confusion.sum((-2, -1))),
            ("concern_macro_f1", None): _mean(concern_f1),
            ("concern_macro_f1_frequent", None): _mean(concern_f1[..., list(self.frequent)]),
            ("concern_micro_f1", None): _ratio(2 * hit.sum(-1), (2 * hit + false + missed).sum(-1)),
            ("stance_ece", None): self._ece(rest[..., 3 * c :]),
        }
        for i in range(s):
            out["stance_precision", i] = _ratio(diagonal[..., i], decided[..., i])
            out["stance_recall", i] = _ratio(diagonal[..., i], gold[..., i])
            out["stance_f1", i] = f1[..., i]
        for j in range(c):
            out["concern_precision", j] = _ratio(hit[..., j], hit[..., j] + false[..., j])
            out["concern_recall", j] = _ratio(hit[..., j], hit[..., j] + missed[..., j])
            out["concern_f1", j] = concern_f1[..., j]
        return out

    @staticmethod
    def _ece(bins: Floats) -> Floats:
        """Expected calibration error: mean gap of confidence and accuracy over ten equal bins (Guo et al. 2017, eq. 5)."""
        size = bins[..., :ECE_BINS]
        gap = np.abs(bins[..., ECE_BINS : 2 * ECE_BINS] - bins[..., 2 * ECE_BINS :])
        return _ratio(gap.sum(-1), size.sum(-1))


def bootstrap_weights(clusters: int, *, resamples: int, seed: int) -> Floats:
    """Return how often each cluster is drawn in each resample: (resamples, clusters), rows sum to ``clusters``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(np.float64)


def cluster_sums(counts: Floats, cluster: NDArray[np.int64], clusters: int) -> Floats:
    """Sum rows of counts by cluster: counts (n, columns) and cluster numbers (n,) give (clusters, columns)."""
    out = np.zeros((clusters, counts.shape[1]))
    np.add.at(out, cluster, counts)
    return out


def interval(value: Floats, resampled: Floats) -> Interval | None:
    """Return a figure with its percentile interval (Efron & Tibshirani 1993, section 13.3), None where undefined."""
    if not np.isfinite(value):
        return None
    kept = resampled[np.isfinite(resampled)]
    if not len(kept):
        return None
    low, high = np.quantile(kept, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b > 0))


def _mean(a: Floats) -> Floats:
    """Mean over the last axis of what is defined; NaN where nothing is."""
    known = np.isfinite(a)
    return _ratio(np.where(known, a, 0.0).sum(-1), known.sum(-1).astype(np.float64))
