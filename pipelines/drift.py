"""Drift: whether new coverage reads like the old.

Every test shuffles documents between the two sides, never statements, since statements of one document resemble each other.
Documents that stand on both sides count as two; as they resemble each other, that makes a test more careful, never less.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.error_drift import (
    DRIFT,
    FEWEST,
    LEVEL,
    NONE,
    PERMUTATIONS,
    SLIGHT,
    TOO_FEW,
    Floats,
    Ints,
    Measure,
    by_cluster,
    compared,
    shuffles,
    t_quantile,
)

Embed = Callable[[Sequence[str]], NDArray[Any]]
"""Texts to vectors, (n, width)."""

_WORD = re.compile(r"\w+")
_DOCUMENTS = 600  # a side, drawn at random: enough to find what moves a share, and a test of 100,000 takes seconds
_STATEMENTS = 800
_TOGETHER = 50  # permutations worked on at once, which bounds memory
_FOLDS = 5
_Z = 1.96
_FEATURES = 2**18
_RIDGE = 1.0  # on rows of length one; anything from 0.1 to 10 orders statements alike


@dataclass(frozen=True, slots=True)
class Side:
    """Statements of one side: their texts, the number of each one's cluster, and what the model says of them.

    ``probabilities`` (n, stances) and ``confidence`` (n,) are None where the two sides were labelled by different models.
    """

    texts: Sequence[str]
    clusters: Ints
    probabilities: Floats | None = None
    confidence: Floats | None = None


@dataclass(frozen=True, slots=True)
class _Tested:
    """A measure as found: the value, its size under each shuffle, and the size below which it does not matter."""

    measure: str
    meaning: str
    value: float
    shuffled: Floats
    least: float
    interval: tuple[float, float] | None = None
    base: bool = False  # whether ``least`` is counted from what chance alone gives, as for distances that are never nought

    @property
    def p(self) -> float:
        """The share of shuffles, the real one among them, that come as far."""
        return float((1 + np.count_nonzero(self.shuffled >= abs(self.value) - 1e-12)) / (1 + len(self.shuffled)))


@dataclass(frozen=True, slots=True)
class _Both:
    """Two sides together: rows of the old one first. ``cluster`` numbers clusters from 0, those of the new side last."""

    texts: list[str]
    cluster: Ints
    new: NDArray[np.bool_]  # one a cluster
    probabilities: Floats | None
    confidence: Floats | None
    shuffles: NDArray[np.bool_] = field(repr=False)  # (permutations, clusters)

    def sides(self) -> Iterator[Floats]:
        """Yield which clusters are new, a few shuffles at once: (some, clusters), the true sides as the very first row."""
        rows = np.vstack([self.new[None], self.shuffles])
        for i in range(0, len(rows), _TOGETHER):
            yield rows[i : i + _TOGETHER].astype(np.float64)


def input_drift(
    old: Side, new: Side, *, seed: int, permutations: int = PERMUTATIONS, level: float = LEVEL, embed: Embed | None = None
) -> list[Measure]:
    """Measure how new statements differ from old ones.

    Lengths (two-sample Kolmogorov-Smirnov), words (Jensen-Shannon distance, and the share of words that the old side lacks),
    a classifier that is to tell the sides apart (Lopez-Paz & Oquab 2017, its AUC on documents that it has not seen, fitted
    anew for each shuffle), mean predictions, and with ``embed`` the energy distance of embeddings (Szekely & Rizzo 2013).

    Args:
        old: Statements of the earlier run; from 600 documents or 800 statements on, a random sample of them is compared.
        new: Statements that it did not have.
        seed: Of the samples, the shuffles and the folds.
        permutations: How often documents are shuffled between the sides.
        level: How often any measure may call a drift where there is none; kept by Holm's procedure (1979).
        embed: What turns texts into vectors.

    Returns:
        A measure each, in this order. With fewer than ten documents on a side they have neither value nor threshold.
    """
    both = _join(old, new, np.random.default_rng(seed), permutations)
    kept = [m for m in _MEASURES if _has(m, old, new, embed)]
    if both is None:
        return [Measure(name, None, None, None, TOO_FEW, meaning) for name, meaning in kept]
    tested = [_length(both), *_words(both), _classifier(both, seed)]
    if embed is not None:
        tested.append(_embedding(both, embed))
    if both.probabilities is not None:
        tested.append(_predictions(both))
    if both.confidence is not None:
        tested.append(_confidence(both))
    return _judge(tested, level)


_LENGTH = ("length", "largest gap between the two distributions of words a statement (Kolmogorov-Smirnov), 0 to 1")
_VOCABULARY = ("vocabulary", "distance between the frequencies of words (Jensen-Shannon, base 2), 0 to 1")
_UNSEEN = ("unseen words", "share of the new statements' words that no old one has")
_TOLD = ("told apart", "how well a classifier tells new from old statements (AUC): 0.5 not at all, 1 always")
_EMBEDDING = ("embedding", "energy distance between the embeddings, as a share of their mean distance, 0 to 1")
_SHARES = ("predicted stances", "share of predicted probability that lies on other stances than before")
_SURE = ("confidence", "change of the model's mean confidence")
PREDICTED = (_SHARES[0], _SURE[0])
"""Names of the measures of predictions; the others are of texts."""
_MEASURES = (_LENGTH, _VOCABULARY, _UNSEEN, _TOLD, _EMBEDDING, _SHARES, _SURE)


def _has(measure: tuple[str, str], old: Side, new: Side, embed: Embed | None) -> bool:
    if measure is _EMBEDDING:
        return embed is not None
    if measure is _SHARES:
        return old.probabilities is not None and new.probabilities is not None
    if measure is _SURE:
        return old.confidence is not None and new.confidence is not None
    return True


def _join(old: Side, new: Side, rng: np.random.Generator, permutations: int) -> _Both | None:
    """Put both sides together, sampled where they are large; None where a side has too few clusters."""
    taken = [_sample(side.clusters, rng) for side in (old, new)]
    numbers = [np.unique(side.clusters[rows], return_inverse=True)[1] for side, rows in zip((old, new), taken, strict=True)]
    sizes = [int(n.max()) + 1 if len(n) else 0 for n in numbers]
    if min(sizes) < FEWEST:
        return None
    true = np.arange(sum(sizes)) >= sizes[0]

    def together(name: str) -> Floats | None:
        values = [getattr(side, name) for side in (old, new)]
        if any(v is None for v in values):
            return None
        joined: Floats = np.concatenate([v[rows] for v, rows in zip(values, taken, strict=True)]).astype(np.float64)
        return joined

    return _Both(
        texts=[side.texts[i] for side, rows in zip((old, new), taken, strict=True) for i in rows],
        cluster=np.concatenate([numbers[0], numbers[1] + sizes[0]]),
        new=true,
        probabilities=together("probabilities"),
        confidence=together("confidence"),
        shuffles=shuffles(true, permutations, rng),
    )


def _sample(clusters: Ints, rng: np.random.Generator) -> Ints:
    """Return the rows of at most so many clusters, and of these at most so many, in their order."""
    known = np.unique(clusters)
    if len(known) > _DOCUMENTS:
        known = rng.choice(known, _DOCUMENTS, replace=False)
    rows = np.flatnonzero(np.isin(clusters, known))
    return np.sort(rng.choice(rows, _STATEMENTS, replace=False)) if len(rows) > _STATEMENTS else rows


def _length(both: _Both) -> _Tested:
    words = np.array([len(text.split()) for text in both.texts])
    order = np.argsort(words, kind="stable")
    last = np.append(np.diff(words[order]) > 0, True)  # of equal lengths the step counts as one
    found = []
    for sides in both.sides():
        new = sides[:, both.cluster[order]]
        above = np.cumsum(new, axis=1) / new.sum(axis=1, keepdims=True)
        below = np.cumsum(1 - new, axis=1) / (1 - new).sum(axis=1, keepdims=True)
        found.append(np.abs(above - below)[:, last].max(axis=1))
    values = np.concatenate(found)
    return _Tested(*_LENGTH, float(values[0]), values[1:], least=0.1)


def _words(both: _Both) -> list[_Tested]:
    from scipy.special import entr

    counts = _word_counts(both)
    whole = np.asarray(counts.sum(axis=0), dtype=np.float64).ravel()
    distances, unseen = [], []
    for sides in both.sides():
        new = np.asarray((counts.T @ sides.T).T)
        old = whole - new
        total = np.maximum(new.sum(axis=1, keepdims=True), 1)
        unseen.append((new * (old == 0)).sum(axis=1) / total[:, 0])
        p, q = new / total, old / np.maximum(old.sum(axis=1, keepdims=True), 1)
        # the divergence is the entropy of the mean less the mean entropy (Lin 1991); the distance is its root
        divergence = entr((p + q) / 2).sum(axis=1) - (entr(p).sum(axis=1) + entr(q).sum(axis=1)) / 2
        distances.append(np.sqrt(np.clip(divergence / math.log(2), 0, 1)))
    distance, share = np.concatenate(distances), np.concatenate(unseen)
    return [
        _Tested(*_VOCABULARY, float(distance[0]), distance[1:], least=0.03, base=True),
        _Tested(*_UNSEEN, float(share[0]), share[1:], least=0.02, base=True),
    ]


def _word_counts(both: _Both) -> Any:
    """Return how often each cluster has each word: sparse, (clusters, words)."""
    from scipy.sparse import csr_array
    from sklearn.feature_extraction.text import CountVectorizer

    try:
        rows = CountVectorizer(analyzer=_WORD.findall).fit_transform(text.casefold() for text in both.texts)
    except ValueError:  # not one word in all the texts
        return csr_array((len(both.new), 1))
    n = len(both.texts)
    member = csr_array((np.ones(n), (both.cluster, np.arange(n))), shape=(len(both.new), n))
    return csr_array(member @ rows)


def _classifier(both: _Both, seed: int) -> _Tested:
    """Regress the side on word n-grams by ridge regression: its out-of-fold scores are linear in the sides, so that fitting
    it anew for a thousand shuffles is one matrix product.
    """
    from scipy.stats import rankdata
    from sklearn.feature_extraction.text import HashingVectorizer

    rows = HashingVectorizer(n_features=_FEATURES, ngram_range=(1, 2), alternate_sign=False).transform(both.texts)
    gram = np.asarray((rows @ rows.T).todense(), dtype=np.float64)
    scorer = _out_of_fold(gram, _folds(both, seed))
    areas, scores = [], None
    for sides in both.sides():
        new = sides[:, both.cluster].T
        found = scorer @ new
        scores = found[:, 0] if scores is None else scores
        ranks = rankdata(found, axis=0)
        n = new.sum(axis=0)
        # Mann & Whitney's U over the number of pairs
        areas.append(((ranks * new).sum(axis=0) - n * (n + 1) / 2) / (n * (len(new) - n)))
    area = np.concatenate(areas)
    assert scores is not None  # noqa: S101 - the true sides come first
    interval = _area_interval(scores, both, np.random.default_rng(seed))
    # no narrower than the spread under shuffles: resampling leaves out that the classifier would be another one
    half = _Z * float(area[1:].std())
    interval = (max(0.0, min(interval[0], float(area[0]) - half)), min(1.0, max(interval[1], float(area[0]) + half)))
    return _Tested(*_TOLD, float(area[0]), area[1:], least=0.6, interval=interval)


def _folds(both: _Both, seed: int) -> Ints:
    """Give each statement the fold of its cluster. Folds know nothing of the sides, so that shuffles leave them alone."""
    place = np.random.default_rng(seed).permutation(len(both.new))
    folds: Ints = (place % _FOLDS)[both.cluster]
    return folds


def _out_of_fold(gram: Floats, fold: Ints) -> Floats:
    """Return the matrix that turns targets into scores by ridge regressions that have not seen the score's own fold."""
    from scipy.linalg import cho_factor, cho_solve

    n = len(gram)
    matrix = np.zeros((n, n))
    for k in range(_FOLDS):
        seen, held = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
        if not len(held) or not len(seen):
            continue
        inner = gram[np.ix_(seen, seen)]
        mean = inner.mean(axis=0)
        centred = inner - mean[:, None] - mean[None] + mean.mean()
        other = gram[np.ix_(held, seen)]
        outer = other - other.mean(axis=1, keepdims=True) - mean[None] + mean.mean()
        factor = cho_factor(centred + _RIDGE * np.eye(len(seen)), check_finite=False)
        weights = cho_solve(factor, outer.T, check_finite=False).T
        # Targets are centred too, and the mean is left out: folds differ in it, and scores of all folds are ranked together.
        matrix[np.ix_(held, seen)] = weights - weights.mean(axis=1, keepdims=True)
    return matrix


def _area_interval(scores: Floats, both: _Both, rng: np.random.Generator, resamples: int = 200) -> tuple[float, float]:
    """Return the 95 % interval of the AUC by resampling the clusters of each side."""
    order = np.argsort(scores, kind="stable")
    ties = np.unique(scores[order], return_inverse=True)[1]
    cluster, new = both.cluster[order], both.new[both.cluster[order]]
    sizes = (int((~both.new).sum()), int(both.new.sum()))
    areas = []
    for _ in range(resamples):
        drawn = np.concatenate([rng.multinomial(n, np.full(n, 1 / n)) for n in sizes]).astype(np.float64)[cluster]
        old = np.bincount(ties, drawn * ~new)
        fresh = np.bincount(ties, drawn * new)
        below = np.cumsum(old) - old / 2
        areas.append(float((fresh * below).sum() / (fresh.sum() * old.sum())))
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


def _embedding(both: _Both, embed: Embed) -> _Tested:
    """Energy distance, 2 E|X - Y| - E|X - X'| - E|Y - Y'| over 2 E|X - Y|: nought where the two are one distribution."""
    from scipy.spatial.distance import cdist

    vectors = np.asarray(embed(both.texts), dtype=np.float64)
    distances = cdist(vectors, vectors)
    found = []
    for sides in both.sides():
        new = sides[:, both.cluster]
        p, q = (w / w.sum(axis=1, keepdims=True) for w in (new, 1 - new))
        to_new, to_old = p @ distances, q @ distances
        between = 2 * (to_new * q).sum(axis=1)
        within = (to_new * p).sum(axis=1) + (to_old * q).sum(axis=1)
        found.append(np.divide(between - within, between, out=np.zeros_like(between), where=between > 0))
    values = np.concatenate(found)
    return _Tested(*_EMBEDDING, float(values[0]), values[1:], least=0.01, base=True)


def _predictions(both: _Both) -> _Tested:
    assert both.probabilities is not None  # noqa: S101 - asked before
    means = _means(both, both.probabilities)
    values = np.abs(means).sum(axis=1) / 2
    return _Tested(*_SHARES, float(values[0]), values[1:], least=0.05)


def _confidence(both: _Both) -> _Tested:
    assert both.confidence is not None  # noqa: S101 - asked before
    values = _means(both, both.confidence[:, None])[:, 0]
    errors, weights = by_cluster(both.confidence[:, None], both.cluster, np.ones(len(both.texts)))
    difference, error = compared(errors, weights, both.new[None].astype(np.float64))
    wide = t_quantile(min(int(both.new.sum()), int((~both.new).sum())) - 1) * float(error[0, 0])
    value = float(difference[0, 0])
    return _Tested(*_SURE, value, np.abs(values[1:]), least=0.02, interval=(value - wide, value + wide))


def _means(both: _Both, values: Floats) -> Floats:
    """Return new means less old ones of statements' values, (1 + permutations, columns)."""
    sums, sizes = by_cluster(values, both.cluster, np.ones(len(values)))
    found = []
    for sides in both.sides():
        new, old = ((w @ sums) / (w @ sizes)[:, None] for w in (sides, 1 - sides))
        found.append(new - old)
    return np.concatenate(found)


def _judge(tested: Sequence[_Tested], level: float) -> list[Measure]:
    """Judge measures by Holm's procedure; the threshold is the size that would be called drift at the step where it ends."""
    m = len(tested)
    order = sorted(range(m), key=lambda i: tested[i].p)
    adjusted: dict[int, float] = {}
    highest = 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (m - rank) * tested[i].p))
        adjusted[i] = highest
    left = m - sum(p <= level for p in adjusted.values())
    quantile = 1 - level / max(1, left)
    measures = []
    for i, t in enumerate(tested):
        matters = t.least + (float(t.shuffled.mean()) if t.base else 0.0)
        threshold = max(matters, float(np.quantile(t.shuffled, quantile, method="higher")))
        found = adjusted[i] <= level
        verdict = NONE if not found else DRIFT if abs(t.value) > matters else SLIGHT
        low, high = t.interval or (None, None)
        measures.append(Measure(t.measure, t.value, threshold, adjusted[i], verdict, t.meaning, low, high))
    return measures
