"""A coverage as arrays: predictions and decisions of every opinion in the columns that shares are taken of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from models.prevalence import Group, Question, Sample, Totals

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its names: ``labels`` in the order of the question's columns, ``given`` a stance or None."""

    measure: str
    given: str | None
    labels: tuple[str, ...]
    question: Question


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column of the arrays is what: 0 is the constant 1, then stances, taking a position, concerns, both jointly."""

    codebook: Codebook

    @property
    def taking(self) -> tuple[int, ...]:
        """Places, among the stances, of those that take a position."""
        return tuple(i for i, s in enumerate(self.codebook.stances) if s.polarity != NEUTRAL)

    @property
    def width(self) -> int:
        """Number of columns."""
        k, c = len(self.codebook.stances), len(self.codebook.concerns)
        return 2 + k + c + k * c

    def questions(self) -> tuple[Asked, ...]:
        """Return what is asked of every group."""
        k, c = len(self.codebook.stances), len(self.codebook.concerns)
        stances, concerns = self.codebook.stance_ids, self.codebook.concern_ids
        asked = [Asked("stance", None, stances, Question(tuple(range(1, 1 + k)), exclusive=True))]
        if len(self.taking) > 1:
            columns = tuple(1 + i for i in self.taking)
            asked.append(Asked("position", None, tuple(stances[i] for i in self.taking), Question(columns, 1 + k, True)))
        asked.append(Asked("concern", None, concerns, Question(tuple(range(2 + k, 2 + k + c)))))
        for i, stance in enumerate(stances):
            start = 2 + k + c + i * c
            asked.append(Asked("concern_given_stance", stance, concerns, Question(tuple(range(start, start + c)), 1 + i)))
        return tuple(asked)

    def columns(self, stance: Floats, concerns: Floats) -> Floats:
        """Return all columns of units with these stances (n, k) and concerns (n, c), probabilities or zeros and ones."""
        joint = (stance[:, :, None] * concerns[:, None, :]).reshape(len(stance), stance.shape[1] * concerns.shape[1])
        taking = stance[:, list(self.taking)].sum(1, keepdims=True)
        return np.concatenate([np.ones((len(stance), 1)), stance, taking, concerns, joint], axis=1)


@dataclass(frozen=True, slots=True)
class Units:
    """All opinions of a coverage. ``x`` are predictions and ``decided`` decisions, (N, width); ``likeliest`` is (N,).

    ``decided[:, 0]`` tells which stances were decided: the model abstained on the others. ``gold`` are the places of the
    units that have gold, and ``sample`` holds these, for sizes of one.
    """

    layout: Layout
    x: Floats
    decided: NDArray[np.bool_]
    likeliest: Integers
    copies: Floats
    cluster: Integers
    document: Integers
    gold: Integers
    sample: Sample | None

    def weighted(self, size: Floats) -> Sample | None:
        """Return the sample with units of these sizes, (N,)."""
        s = self.sample
        return None if s is None else Sample(s.x, s.y, s.weight, size[self.gold], s.cluster, s.stratum)


def read_units(frame: pd.DataFrame, codebook: Codebook, audit: pd.DataFrame | None) -> Units:
    """Turn a coverage's rows that stand for their opinions into arrays.

    Args:
        frame: Those rows.
        codebook: Names the columns.
        audit: ``gold_stance, gold_concerns, inclusion_probability, stratum`` for them, in the same order.
    """
    import pandas as pd

    layout = Layout(codebook)
    stance = frame[[f"stance_{s}" for s in codebook.stance_ids]].to_numpy(dtype=np.float64)
    total = stance.sum(1, keepdims=True)
    stance = np.divide(stance, total, out=np.full_like(stance, 1 / stance.shape[1]), where=total > 0)
    concerns = frame[[f"concern_{c}" for c in codebook.concern_ids]].to_numpy(dtype=np.float64)
    abstained = frame["abstained"].to_numpy(dtype=bool)
    decided_stance = one_hot(frame["stance"].where(~frame["abstained"]), codebook.stance_ids)
    decided = layout.columns(decided_stance, many_hot(frame["concerns"], codebook.concern_ids)) > 0
    decided[:, 0] = ~abstained
    cluster = pd.factorize(frame["cluster"])[0].astype(np.int64)
    gold: Integers = np.empty(0, dtype=np.int64)
    sample = None
    x = layout.columns(stance, concerns)
    if audit is not None:
        known = audit["gold_stance"].notna().to_numpy() & (audit["inclusion_probability"].to_numpy(dtype=float) > 0)
        gold = np.flatnonzero(known)
        if len(gold):
            rows = audit.iloc[gold]
            sample = Sample(
                x=x[gold],
                y=layout.columns(
                    one_hot(rows["gold_stance"], codebook.stance_ids), many_hot(rows["gold_concerns"], codebook.concern_ids)
                ),
                weight=1 / rows["inclusion_probability"].to_numpy(dtype=float),
                size=np.ones(len(gold)),
                cluster=pd.factorize(cluster[gold])[0].astype(np.int64),
                stratum=pd.factorize(rows["stratum"].fillna(""))[0].astype(np.int64),
            )
    return Units(
        layout=layout,
        x=x,
        decided=decided,
        likeliest=stance.argmax(1).astype(np.int64),
        copies=frame["copies"].to_numpy(dtype=np.float64),
        cluster=cluster,
        document=pd.factorize(frame["document_id"])[0].astype(np.int64),
        gold=gold,
        sample=sample,
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """One dimension's groups under one counting, by cluster.

    ``by_cluster`` (P, width) are totals of each group in each of its clusters, group after group; ``starts`` (G + 1,) tells
    where a group begins there, ``cluster`` (P,) whose totals they are. ``decided`` (G, width) are decisions,
    ``likeliest`` (P, stances) the likeliest stances by cluster, decided or not.
    """

    sample: Sample | None
    gold_group: Integers
    gold_cluster: Integers
    by_cluster: Floats
    cluster: Integers
    starts: Integers
    decided: Floats
    likeliest: Floats

    def sums(self, g: int) -> Floats:
        """Return one group's totals, (width,)."""
        return np.asarray(self.by_cluster[self.starts[g] : self.starts[g + 1]].sum(0))

    def group(self, g: int) -> Group:
        """Return one group, as the estimator wants it."""
        rows = slice(self.starts[g], self.starts[g + 1])
        return self._group(self.by_cluster[rows], self.cluster[rows], self.gold_group == g)

    def rest(self, g: int, whole: Whole) -> tuple[Group, Floats]:
        """Return all other groups together, and the cross products of the group and those."""
        rows = slice(self.starts[g], self.starts[g + 1])
        own, at = self.by_cluster[rows], np.searchsorted(whole.cluster, self.cluster[rows])
        there = whole.by_cluster[at]
        left = there - own
        gram = whole.gram - there.T @ there + left.T @ left
        totals = Totals(whole.sums - own.sum(0), gram, len(whole.cluster) - int((left[:, 0] <= 0).sum()))
        at_gold = _look_up(whole.by_cluster, whole.cluster, self.gold_cluster)
        at_gold = at_gold - _look_up(own, self.cluster[rows], self.gold_cluster)
        return Group(totals, (self.gold_group != g) & (self.gold_group >= 0), at_gold), own.T @ left

    def cross(self, a: int, b: int) -> Floats:
        """Return the cross products of two groups."""
        first, second = (slice(self.starts[g], self.starts[g + 1]) for g in (a, b))
        _, i, j = np.intersect1d(self.cluster[first], self.cluster[second], assume_unique=True, return_indices=True)
        return np.asarray(self.by_cluster[first][i].T @ self.by_cluster[second][j])

    def whole(self) -> Whole:
        """Return all groups together, by cluster."""
        order = np.argsort(self.cluster, kind="stable")
        cluster = self.cluster[order]
        starts = np.flatnonzero(np.diff(cluster, prepend=-1))
        by_cluster = np.add.reduceat(self.by_cluster[order], starts, axis=0)
        return Whole(by_cluster, cluster[starts], by_cluster.sum(0), by_cluster.T @ by_cluster)

    def _group(self, by_cluster: Floats, cluster: Integers, inside: NDArray[np.bool_]) -> Group:
        totals = Totals(by_cluster.sum(0), by_cluster.T @ by_cluster, len(by_cluster))
        return Group(totals, inside, _look_up(by_cluster, cluster, self.gold_cluster))


@dataclass(frozen=True, slots=True)
class Whole:
    """All groups of a dimension together: totals by cluster, with the clusters' numbers, their sums and Gram matrix."""

    by_cluster: Floats
    cluster: Integers
    sums: Floats
    gram: Floats


def split(units: Units, codes: Integers, groups: int, size: Floats) -> Parts:
    """Split units (N,) by the number of their group (-1: in none), with a size for each."""
    from scipy.sparse import csr_array

    inside = np.flatnonzero(codes >= 0)
    order = inside[np.lexsort((units.cluster[inside], codes[inside]))]
    code, cluster, m = codes[order], units.cluster[order], size[order]
    first = np.flatnonzero((np.diff(code, prepend=-1) != 0) | (np.diff(cluster, prepend=-1) != 0))
    shape = (len(first), len(codes))
    adding = csr_array((m, order, np.append(first, len(order))), shape=shape)  # adds up units by group and cluster
    starts = np.searchsorted(code, np.arange(groups + 1))
    # Whole numbers are exact in single precision up to 16 million.
    by_group = csr_array((m.astype(np.float32), order, starts), shape=(groups, len(codes)))
    likeliest = (units.likeliest[:, None] == np.arange(len(units.layout.codebook.stances))).astype(np.float64)
    return Parts(
        sample=units.weighted(size),
        gold_group=codes[units.gold],
        gold_cluster=_gold_clusters(units),
        by_cluster=adding @ units.x,
        cluster=cluster[first],
        starts=np.searchsorted(code[first], np.arange(groups + 1)),
        decided=(by_group @ units.decided.astype(np.float32)).astype(np.float64),
        likeliest=adding @ likeliest,
    )


def one_hot(values: pd.Series, known: Sequence[str]) -> Floats:
    """Return (n, labels) of zeros and ones; a row of zeros where there is no label."""
    place = {label: i for i, label in enumerate(known)}
    codes = np.array([place.get(v, -1) if isinstance(v, str) else -1 for v in values], dtype=np.int64)
    return np.asarray((codes[:, None] == np.arange(len(known))).astype(np.float64))


def many_hot(values: pd.Series, known: Sequence[str]) -> Floats:
    """Return (n, labels) of zeros and ones for lists of labels."""
    place = {label: i for i, label in enumerate(known)}
    out = np.zeros((len(values), len(known)))
    for row, labels in enumerate(values):
        for label in _listed(labels):
            out[row, place[label]] = 1
    return out


def _listed(labels: Any) -> Sequence[str]:
    return () if labels is None or isinstance(labels, float) else labels


def _gold_clusters(units: Units) -> Integers:
    """Return the clusters that have gold, in the order in which the sample numbers them."""
    out = np.empty(0 if units.sample is None else units.sample.clusters, dtype=np.int64)
    if units.sample is not None:
        out[units.sample.cluster] = units.cluster[units.gold]
    return out


def _look_up(by_cluster: Floats, cluster: Integers, wanted: Integers) -> Floats:
    """Return rows of totals for the wanted clusters, zeros where there is none; ``cluster`` ascends."""
    out = np.zeros((len(wanted), by_cluster.shape[1]))
    if len(cluster):
        at = np.minimum(np.searchsorted(cluster, wanted), len(cluster) - 1)
        found = cluster[at] == wanted
        out[found] = by_cluster[at[found]]
    return out
