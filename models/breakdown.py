"""What lies behind the overall figures: slices, reliability, risk and coverage, the confusion matrix, mistakes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from models.dataset import Example
from models.metrics import (
    ECE_BINS,
    Counter,
    Decisions,
    Floats,
    Interval,
    Resampling,
    bin_of,
    confidence_steps,
    interval,
)

UNKNOWN = "unknown"
SLICED = ("stance_macro_f1", "stance_accuracy", "concern_micro_f1", "holder_overlap_f1")  # the figures of a slice
COVERAGES = np.arange(1, 21) / 20
MISTAKES = 30
_SMALLEST = 10  # statements: below this a figure of a slice says next to nothing
_YEAR = re.compile(r"[0-9]{4}")
_FEWEST = 5  # documents: below this resampling them says next to nothing of how sure the figure is


class SliceFigure(msgspec.Struct, frozen=True, kw_only=True):
    """One metric within a slice; None where it is undefined or there is no baseline."""

    name: str
    model: Interval | None
    baseline: Interval | None


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The statements of a part that share a value of one dimension, such as kind of document."""

    dimension: str
    value: str
    statements: int
    documents: int
    figures: tuple[SliceFigure, ...]


class ReliabilityBin(msgspec.Struct, frozen=True, kw_only=True):
    """Probabilities in [low, high), 1 in the last: their mean (``confidence``) and the share of them that came true.

    ``statements`` is their number: of decisions for stance, of pairs of a statement and a concern for concerns.
    """

    low: float
    high: float
    statements: int
    confidence: float
    accuracy: Interval


class CoveragePoint(msgspec.Struct, frozen=True, kw_only=True):
    """Accuracy of the most confident share ``coverage``: ``statements`` with a confidence of ``threshold`` or more.

    Equal confidences are kept together, so that a few statements more than the share may be kept.
    """

    coverage: float
    threshold: float
    accuracy: Interval
    statements: int = 0


class Mistake(msgspec.Struct, frozen=True, kw_only=True):
    """A statement whose stance was decided wrongly. ``holder`` and ``concerns`` are decided, ``gold_…`` are gold.

    ``probabilities`` follow the codebook's stances.
    """

    id: str
    document: str
    url: str
    title: str | None
    text: str
    gold: str
    decided: str
    confidence: float
    probabilities: tuple[float, ...]
    holder: str | None
    gold_holder: str | None = None
    gold_concerns: tuple[str, ...]
    concerns: tuple[str, ...]


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One metric over bundles that differ in their seed alone; ``sd`` is the sample standard deviation (n - 1)."""

    name: str
    values: tuple[float, ...]
    mean: float
    sd: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of two bundles on the same statements; ``difference`` is first minus second, ``p`` two-sided."""

    name: str
    label: str | None
    title: str
    first: Interval | None
    second: Interval | None
    difference: Interval | None
    p: float | None


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two bundles measured on the same statements, with the same documents drawn for both."""

    part: str
    first: str
    second: str
    codebook_id: str
    statements: int
    documents: int
    bootstrap: dict[str, int | str]
    figures: tuple[Difference, ...]


def confusion(d: Decisions, stances: int) -> tuple[tuple[int, ...], ...]:
    """Return how often each gold stance (rows) was decided as each stance (columns)."""
    cells = np.zeros((stances, stances), dtype=np.int64)
    np.add.at(cells, (d.gold_stance, d.stance), 1)
    return tuple(tuple(row) for row in cells.tolist())


def slices(
    examples: Sequence[Example],
    model: Decisions,
    baseline: Decisions | None,
    codebook: Codebook,
    counter: Counter,
    draws: Resampling,
) -> tuple[Slice, ...]:
    """Measure a part by holder type, kind of document, length, year of publication and voice.

    A dimension that is unknown for every statement is left out. Slices of fewer than ten statements, or from fewer than five
    documents, are one slice ``other``. Intervals come from the draws of the whole part's documents.
    """
    counts = [None if d is None else counter.counts(d) for d in (model, baseline)]
    found = []
    for dimension, (value_of, order) in _dimensions(examples, codebook).items():
        values = [value_of(e) or UNKNOWN for e in examples]
        if set(values) == {UNKNOWN}:
            continue
        for value, rows in _pooled(values, order, draws.cluster).items():
            drawn = draws.rows(rows)
            sides = [_figures(counter, drawn, None if c is None else c[rows]) for c in counts]
            found.append(
                Slice(
                    dimension=dimension,
                    value=value,
                    statements=len(rows),
                    documents=len(np.unique(drawn.cluster)),
                    figures=tuple(
                        SliceFigure(name=name, model=sides[0][name], baseline=sides[1][name])
                        for name in SLICED
                        if not name.startswith("holder_") or model.holders is not None
                    ),
                )
            )
    return tuple(found)


def stance_reliability(d: Decisions, draws: Resampling) -> tuple[ReliabilityBin, ...]:
    """Return confidence against accuracy of stance in ten bins; nothing where the decider gives no confidence."""
    return () if d.confidence is None else _reliability(d.confidence, d.stance == d.gold_stance, draws)


def concern_reliability(d: Decisions, draws: Resampling) -> tuple[ReliabilityBin, ...]:
    """Return probability against observed share in ten bins, over all pairs of a statement and a concern."""
    if d.concern_probabilities is None:
        return ()
    concerns = d.concern_probabilities.shape[1]
    pairs = draws.rows(np.repeat(np.arange(len(d.stance)), concerns))
    return _reliability(d.concern_probabilities.ravel(), d.gold_concerns.ravel(), pairs)


def risk_coverage(d: Decisions, draws: Resampling) -> tuple[CoveragePoint, ...]:
    """Return accuracy of the most confident 5 %, 10 % and so on to all; nothing where the decider gives no confidence."""
    found = draws.rank(d, COVERAGES)
    if found is None or d.confidence is None:
        return ()
    value, resampled = found
    order, ends = confidence_steps(d.confidence)
    points = []
    for i, share in enumerate(COVERAGES.tolist()):
        end = int(ends[np.searchsorted(ends + 1, share * len(order) - 1e-9)])
        accuracy = interval(value.accuracy[0, i], resampled.accuracy[:, i])
        if accuracy is not None:
            threshold = float(d.confidence[order[end]])
            points.append(CoveragePoint(coverage=share, threshold=threshold, accuracy=accuracy, statements=end + 1))
    return tuple(points)


def mistakes(examples: Sequence[Example], d: Decisions, codebook: Codebook, *, most: int = MISTAKES) -> tuple[Mistake, ...]:
    """Return the most confident wrong stances, the surest first; nothing where the decider gives no confidence."""
    if d.confidence is None:
        return ()
    wrong = np.flatnonzero(d.stance != d.gold_stance)
    confidence = d.confidence
    ranked = sorted(wrong.tolist(), key=lambda i: (-confidence[i], examples[i].statement.id))
    stances, concerns = codebook.stance_ids, codebook.concern_ids
    return tuple(
        Mistake(
            id=examples[i].statement.id,
            document=examples[i].document.id,
            url=examples[i].document.url,
            title=examples[i].document.title,
            text=examples[i].statement.text,
            gold=stances[d.gold_stance[i]],
            decided=stances[d.stance[i]],
            confidence=float(confidence[i]),
            probabilities=() if d.probabilities is None else tuple(d.probabilities[i].tolist()),
            holder=None if d.holders is None else d.holders.decided[i],
            gold_holder=None if d.holders is None else d.holders.gold[i],
            gold_concerns=tuple(concerns[j] for j in np.flatnonzero(d.gold_concerns[i])),
            concerns=tuple(concerns[j] for j in np.flatnonzero(d.concerns[i])),
        )
        for i in ranked[:most]
    )


def _reliability(probability: Floats, true: NDArray[np.bool_], draws: Resampling) -> tuple[ReliabilityBin, ...]:
    n, of = len(probability), bin_of(probability)
    counts = np.zeros((n, 2 * ECE_BINS))
    counts[np.arange(n), of] = 1
    counts[np.arange(n), ECE_BINS + of] = true
    value, resampled = draws.sums(counts)
    bins = []
    for b in range(ECE_BINS):
        if not value[b]:
            continue
        drawn = resampled[resampled[:, b] > 0]
        accuracy = interval(value[ECE_BINS + b] / value[b], drawn[:, ECE_BINS + b] / drawn[:, b])
        if accuracy is not None:  # no resample holds a bin at all: too few documents to say how sure it is
            bins.append(
                ReliabilityBin(
                    low=b / ECE_BINS,
                    high=(b + 1) / ECE_BINS,
                    statements=int(value[b]),
                    confidence=float(probability[of == b].mean()),
                    accuracy=accuracy,
                )
            )
    return tuple(bins)


def _figures(counter: Counter, draws: Resampling, counts: Floats | None) -> dict[str, Interval | None]:
    if counts is None:
        return dict.fromkeys(SLICED)
    value, resampled = (counter.metrics(sums) for sums in draws.sums(counts))
    return {name: interval(value[name, None], resampled[name, None]) for name in SLICED}


_Dimension = tuple[Callable[[Example], str | None], tuple[str, ...]]


def _dimensions(examples: Sequence[Example], codebook: Codebook) -> Mapping[str, _Dimension]:
    """Return how each dimension's value is read, and its values in order where that is not the alphabet's."""
    lengths = _lengths([_words(e) for e in examples])
    return {
        "holder_type": (lambda e: e.gold.holder_type, codebook.holder_type_ids),
        "kind": (lambda e: e.document.kind, ()),
        "length": (lambda e: next(name for most, name in lengths if _words(e) <= most), tuple(name for _, name in lengths)),
        "year": (lambda e: (m := _YEAR.match(e.document.published or "")) and m.group(), ()),
        "voice": (lambda e: e.statement.voice, ("own", "reported", "editorial")),
    }


def _words(example: Example) -> int:
    return len(example.statement.text.split())


def _lengths(words: Sequence[int]) -> list[tuple[float, str]]:
    """Return three classes of length, cut at the thirds of the part: the most words that each holds, and its name."""
    low, high = (int(q) for q in np.quantile(words, [1 / 3, 2 / 3], method="inverted_cdf"))
    middle = f"{low + 1} to {high} words" if high > low + 1 else f"{high} words"
    return [(low, f"short (up to {low} words)"), (high, f"middle ({middle})"), (math.inf, f"long (over {high} words)")]


def _pooled(values: Sequence[str], order: Sequence[str], cluster: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each value, in order, values too small for a figure pooled into one at the end."""
    array = np.array(values, dtype=object)
    place = {value: i for i, value in enumerate(order)}
    ordered = sorted(set(values), key=lambda v: (v == UNKNOWN, place.get(v, len(place)), v))
    rows = {v: np.flatnonzero(array == v) for v in ordered}
    small = [v for v, r in rows.items() if len(r) < _SMALLEST or len(np.unique(cluster[r])) < _FEWEST]
    kept = {v: r for v, r in rows.items() if v not in small}
    if small:
        name = f"other ({len(small)} {'value' if len(small) == 1 else 'values'})"
        kept[name] = np.sort(np.concatenate([rows[v] for v in small]))
    return kept
