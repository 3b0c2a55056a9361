"""Metrics as functions of additive counts, so that a clustered bootstrap costs one matrix product."""

from __future__ import annotations

import collections
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ECE_BINS = 10
SHARE_KEPT = 0.7  # of the statements: the most confident ones, whose accuracy is a figure
_NAMES = 6  # columns of counts about holders' names
_BLOCK = 4_000_000  # cells of one block of resamples: about 30 MB an array
_WORD = re.compile(r"\w+")

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Holders:
    """Who holds the position, gold and decided, of n statements.

    ``gold`` and ``decided`` are the statement's words that name the holder, None where nobody is named; ``gold_kind`` and
    ``kind`` (n,) indices of holder types, negative where unknown.
    """

    gold: tuple[str | None, ...]
    decided: tuple[str | None, ...]
    gold_kind: NDArray[np.int64]
    kind: NDArray[np.int64]


@dataclass(frozen=True)
class Decisions:
    """Gold and decided labels of n statements.

    ``stance`` and ``gold_stance`` (n,) indices; ``concerns`` and ``gold_concerns`` (n, concerns) booleans; ``confidence``
    (n,) probability of the decided stance; ``probabilities`` (n, stances) and ``concern_probabilities`` (n, concerns);
    ``holders``. What the decider does not give is None (people give no probabilities).
    """

    gold_stance: NDArray[np.int64]
    stance: NDArray[np.int64]
    gold_concerns: NDArray[np.bool_]
    concerns: NDArray[np.bool_]
    confidence: Floats | None = None
    probabilities: Floats | None = None
    concern_probabilities: Floats | None = None
    holders: Holders | None = None


def join_decisions(parts: Sequence[Decisions]) -> Decisions:
    """Return decisions on several lots of statements as one, without what one of the lots lacks."""

    def joined(name: str) -> NDArray[Any] | None:
        arrays = [getattr(p, name) for p in parts]
        return None if any(a is None for a in arrays) else np.concatenate(arrays)

    given = [p.holders for p in parts if p.holders is not None]
    holders = None
    if len(given) == len(parts):
        holders = Holders(
            tuple(h for part in given for h in part.gold),
            tuple(h for part in given for h in part.decided),
            np.concatenate([part.gold_kind for part in given]),
            np.concatenate([part.kind for part in given]),
        )
    names = [f.name for f in fields(Decisions) if f.name != "holders"]
    return Decisions(**{name: joined(name) for name in names}, holders=holders)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Counter:
    """Which metrics to take: the numbers of labels, the polar stances, and the concerns that are frequent enough.

    Without ``holder_types`` the figures of holder types are undefined, whatever the decisions hold.
    """

    stances: int
    concerns: int
    polar: tuple[int, ...]
    frequent: tuple[int, ...]
    holder_types: int = 0

    def counts(self, d: Decisions) -> Floats:
        """Return additive counts (n, columns): confusion cells, concern hits and misses, calibration bins, holders."""
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
            b = bin_of(d.confidence)
            rows = np.arange(n)
            bins[rows, b] = 1
            bins[rows, ECE_BINS + b] = d.confidence
            bins[rows, 2 * ECE_BINS + b] = d.stance == d.gold_stance
        return np.concatenate([confusion, hit, false, missed, bins, *self._holders(d)], axis=1)

    def _holders(self, d: Decisions) -> tuple[Floats, Floats]:
        """Return counts of names (n, 6) and confusion cells of holder types (n, types squared), zero without holders."""
        n, h = len(d.gold_stance), d.holders
        names, kinds = np.zeros((n, _NAMES)), np.zeros((n, self.holder_types**2))
        if h is None:
            return names, kinds
        for i, (gold, decided) in enumerate(zip(h.gold, h.decided, strict=True)):
            both = gold is not None and decided is not None
            names[i] = (
                1,
                gold is not None,
                decided is not None,
                (gold is None) == (decided is None),
                both and gold == decided,
                word_overlap(gold, decided) if gold is not None and decided is not None else 0,
            )
        known = np.flatnonzero((h.gold_kind >= 0) & (h.kind >= 0) & (self.holder_types > 0))
        kinds[known, h.gold_kind[known] * self.holder_types + h.kind[known]] = 1
        return names, kinds

    def metrics(self, counts: Floats) -> dict[Key, Floats]:
        """Return each metric, keyed by name and label index, from summed counts (..., columns).

        F1 of a label that is neither gold nor decided is undefined (NaN) and left out of means, as scikit-learn does with
        ``zero_division=np.nan``; so is precision without a decision and recall without a gold case.
        """
        s, c, t = self.stances, self.concerns, self.holder_types
        widths = (s * s, c, c, c, 3 * ECE_BINS, _NAMES, t * t)
        cells, hit, false, missed, bins, names, kinds = np.split(counts, np.cumsum(widths)[:-1], axis=-1)
        diagonal, gold, decided = _margins(cells, s)
        f1 = _ratio(2 * diagonal, gold + decided)
        concern_f1 = _ratio(2 * hit, 2 * hit + false + missed)
        out: dict[Key, Floats] = {
            ("stance_macro_f1", None): _mean(f1),
            ("stance_polar_f1", None): _mean(f1[..., list(self.polar)]),
            ("stance_accuracy", None): _ratio(diagonal.sum(-1), cells.sum(-1)),
            ("concern_macro_f1", None): _mean(concern_f1),
            ("concern_macro_f1_frequent", None): _mean(concern_f1[..., list(self.frequent)]),
            ("concern_micro_f1", None): _ratio(2 * hit.sum(-1), (2 * hit + false + missed).sum(-1)),
            ("stance_ece", None): self._ece(bins),
        }
        statements, named, given, agreed, exact, overlap = np.moveaxis(names, -1, 0)
        right, gold_kind, kind = _margins(kinds, t)
        out |= {
            ("holder_exact_f1", None): _ratio(2 * exact, named + given),
            ("holder_overlap_f1", None): _ratio(2 * overlap, named + given),
            ("holder_named_accuracy", None): _ratio(agreed, statements),
            ("holder_type_macro_f1", None): _mean(_ratio(2 * right, gold_kind + kind)),
            ("holder_type_accuracy", None): _ratio(right.sum(-1), kinds.sum(-1)),
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


@dataclass(frozen=True)
class Measured:
    """Metrics by name and label index: the figure, and the same in each resample."""

    value: dict[Key, Floats]
    resampled: dict[Key, Floats]

    def interval(self, key: Key) -> Interval | None:
        """Return a figure with its 95 % interval, None where it is undefined."""
        return interval(self.value[key], self.resampled[key])

    def lead(self, other: Measured, key: Key) -> Interval | None:
        """Return the difference to another's figure in the same resamples."""
        return interval(self.value[key] - other.value[key], self.resampled[key] - other.resampled[key])


@dataclass(frozen=True)
class Resampling:
    """A clustered bootstrap over n statements: their cluster numbers (n,), and draws of clusters (resamples, clusters)."""

    cluster: NDArray[np.int64]
    weights: Floats

    def rows(self, rows: NDArray[np.int64]) -> Resampling:
        """Return the same draws for some of the statements."""
        return Resampling(self.cluster[rows], self.weights)

    def sums(self, counts: Floats) -> tuple[Floats, Floats]:
        """Return summed counts (columns,) of additive counts (n, columns), and the same in each resample."""
        by_cluster = cluster_sums(counts, self.cluster, self.weights.shape[1])
        return by_cluster.sum(0), self.weights @ by_cluster

    def measure(self, counter: Counter, d: Decisions) -> Measured:
        """Return all metrics that additive counts give."""
        value, resampled = self.sums(counter.counts(d))
        return Measured(counter.metrics(value), counter.metrics(resampled))

    def rank(self, d: Decisions, coverages: Floats) -> tuple[Ranking, Ranking] | None:
        """Return accuracy by coverage and its area: of these statements (one row), and in each resample.

        None where the decider gives no confidence.
        """
        if d.confidence is None:
            return None
        correct = d.stance == d.gold_stance
        value = rank(d.confidence, correct, np.ones((1, len(correct))), coverages)
        size = max(1, _BLOCK // len(correct))
        blocks = [
            rank(d.confidence, correct, self.weights[i : i + size, self.cluster], coverages)
            for i in range(0, len(self.weights), size)
        ]
        return value, Ranking(np.concatenate([b.accuracy for b in blocks]), np.concatenate([b.area for b in blocks]))

    def measure_ranked(self, d: Decisions) -> Measured:
        """Return the metrics that rest on the order of confidence, ``accuracy_at_70`` and ``aurc``; NaN without it."""
        names: tuple[Key, Key] = (("accuracy_at_70", None), ("aurc", None))
        found = self.rank(d, np.array([SHARE_KEPT]))
        if found is None:
            unknown = np.full(len(self.weights), np.nan)
            return Measured(dict.fromkeys(names, np.array(np.nan)), dict.fromkeys(names, unknown))
        value, resampled = found
        return Measured(
            dict(zip(names, (value.accuracy[0, 0], value.area[0]), strict=True)),
            dict(zip(names, (resampled.accuracy[:, 0], resampled.area), strict=True)),
        )


@dataclass(frozen=True)
class Ranking:
    """Accuracy of the most confident, (resamples, coverages), and the area under the risk-coverage curve, (resamples,)."""

    accuracy: Floats
    area: Floats


def rank(confidence: Floats, correct: NDArray[np.bool_], weights: Floats, coverages: Floats) -> Ranking:
    """Keep the most confident decisions, statements of one confidence together, and take their accuracy.

    The area is the mean, over all decisions, of the error rate among those at least as confident (Geifman, Uziel &
    El-Yaniv 2019, with equal confidences as one step).

    Args:
        confidence: (n,).
        correct: (n,).
        weights: (resamples, n) how often each decision counts.
        coverages: The shares of the weight to keep; as many steps are kept as reach the share.
    """
    order, ends = confidence_steps(confidence)
    weights = weights[:, order]
    kept = np.cumsum(weights, axis=1)[:, ends]
    accuracy = _ratio(np.cumsum(weights * correct[order], axis=1)[:, ends], kept)
    total = kept[:, -1]
    reached = [(kept >= share * total[:, None] - 1e-9).argmax(1) for share in coverages]
    step = np.diff(kept, axis=1, prepend=0)
    area = _ratio((step * np.where(step > 0, 1 - accuracy, 0)).sum(1), total)
    return Ranking(np.take_along_axis(accuracy, np.stack(reached, axis=1), axis=1), area)


def confidence_steps(confidence: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the order of falling confidence, and the place in it at which each run of equal confidences ends."""
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    return order, np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))


def bin_of(probability: Floats) -> NDArray[np.int64]:
    """Return the number of the equal-width bin, 0 to 9, in which each probability lies; 1 lies in the last."""
    return np.minimum((probability * ECE_BINS).astype(np.int64), ECE_BINS - 1)


def word_overlap(a: str, b: str) -> float:
    """Return F1 of the words that two texts share: 2 x shared / (words of a + words of b).

    Words are case folded and count as often as they occur (Rajpurkar et al. 2016, but articles are words too).
    Texts without words overlap where they are equal.
    """
    first, second = (collections.Counter(_WORD.findall(text.casefold())) for text in (a, b))
    words = first.total() + second.total()
    return 2 * (first & second).total() / words if words else float(a == b)


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


def _margins(cells: Floats, labels: int) -> tuple[Floats, Floats, Floats]:
    """Return hits, gold cases and decided cases of each label, (..., labels), from confusion cells (..., labels squared)."""
    confusion = cells.reshape(*cells.shape[:-1], labels, labels)
    return np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2)
