"""Prevalence: what share of a coverage has a label, from predictions for all of it and gold for a random part.

One estimator serves every question: a ratio of totals over clusters with known weights. Column 0 of all arrays is the
constant 1, the others are labels, so that the share of a label is its column over column 0, and the share of a concern
among statements of one stance is the column of both over the stance's column.

With predictions f and gold y, units of size m, and weights w = 1 / inclusion probability, a total per unit of size is

    T(lambda) = lambda * mean_all(f) + mean_gold(y - lambda * f)

where mean_all weighs by m and mean_gold by w m (a Hajek ratio). That is prediction-powered inference with power tuning
(Angelopoulos, Duchi & Zrnic 2023, "PPI++", arXiv 2311.01453) with labelled units among the unlabelled, which in turn is the
difference estimator of survey sampling (Sarndal, Swensson & Wretman 1992, "Model assisted survey sampling", chapter 6)
with the prediction as auxiliary. For lambda = 0 it is the Hajek estimator, for lambda = 1 that of Angelopoulos, Bates,
Fannjiang, Jordan & Zrnic (2023, Science 382, "Prediction-powered inference"). It is right on average for any predictions.

The variance is that of a sum over independent clusters, by linearisation (Binder 1983, Int. Stat. Review 51): each cluster
has one influence value for everything that its units add, as predicted and as gold. It includes the draw of the coverage
itself: the estimand is the share in coverage of this kind, of which this corpus is what happened to be published.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.intervals import Pseudo, project_to_simplex, pseudo_observations, share_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

_NONE = 1e-9  # a denominator that small, or negative, has no share


@dataclass(frozen=True, slots=True)
class Totals:
    """What the estimator needs of a group's units: sums of m x, and of their cross products over clusters.

    ``sums`` (K,) are totals over units of m times the predictions, ``gram`` (K, K) the sum over clusters of the outer
    product of a cluster's total, ``clusters`` their number. ``sums[0]`` is the group's size.
    """

    sums: Floats
    gram: Floats
    clusters: int


@dataclass(frozen=True, slots=True)
class Sample:
    """The gold units of a whole audit sample, whichever group they belong to.

    Attributes:
        x: Predictions, (n, K); column 0 is 1.
        y: Gold, (n, K), in the same columns.
        weight: 1 / inclusion probability, (n,).
        size: m, (n,): 1 where opinions count, the number of copies where statements do.
        cluster: Number of the cluster among those that have gold, (n,), from 0.
        stratum: Number of the stratum, (n,), from 0.
    """

    x: Floats
    y: Floats
    weight: Floats
    size: Floats
    cluster: Integers
    stratum: Integers

    @property
    def clusters(self) -> int:
        """Number of clusters with gold."""
        return int(self.cluster.max()) + 1 if len(self.cluster) else 0


@dataclass(frozen=True, slots=True)
class Group:
    """A part of a coverage: its totals, which gold units lie in it, and its totals in each cluster that has gold.

    ``inside`` is (n,) of booleans over the sample's units; ``at_gold`` is (clusters with gold, K), 0 where the group has no
    unit in that cluster.
    """

    totals: Totals
    inside: NDArray[np.bool_]
    at_gold: Floats


@dataclass(frozen=True, slots=True)
class Question:
    """Labels asked together: shares of the columns ``labels`` in the column ``given`` (0: among all).

    ``exclusive`` labels are all answers there are: their shares sum to one.
    """

    labels: tuple[int, ...]
    given: int = 0
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """Shares of a question's labels in one group, with what intervals and comparisons are made from.

    Attributes:
        share: (L,), within [0, 1]; exclusive ones sum to one. NaN where the denominator is not positive.
        low: Lower ends of the intervals, (L,).
        high: Upper ends, (L,).
        variance: Of the unprojected shares, (L,).
        raw: The shares before projection, (L,).
        lambda_: The weight given to the predictions, 0 to 1.
        units: Effective number of gold units behind the shares: Kish's, among the denominator's.
        freedom: Degrees of freedom: effective number of gold clusters less one.
        pseudo: Pseudo-observations in the intervals.
        influence: By which :func:`models.differences.difference` knows what two estimates share.
    """

    share: Floats
    low: Floats
    high: Floats
    variance: Floats
    raw: Floats
    lambda_: float
    units: float
    freedom: float
    pseudo: Pseudo
    influence: _Influence


@dataclass(frozen=True, slots=True)
class _Influence:
    """Influence values of a group's shares: at clusters with gold, and what gives the others'.

    ``auxiliary`` (G, L) is what the predictions add at clusters with gold, times lambda, ``rest`` (G, L) what the gold
    units add; ``form`` (L, K) are the coefficients by which a cluster's totals give its auxiliary part.
    """

    auxiliary: Floats
    rest: Floats
    form: Floats
    outside: Floats  # (L,): variance of what strata add outside the group and between them

    def scaled(self, by: float) -> _Influence:
        return _Influence(self.auxiliary * by, self.rest * by, self.form * by, self.outside * by**2)


def totals(x: Floats, size: Floats, cluster: Integers) -> Totals:
    """Add up units: predictions (N, K) with column 0 of ones, sizes (N,) and cluster numbers (N,), any integers."""
    by_cluster = cluster_totals(x, size, cluster)
    return Totals(by_cluster.sum(0), by_cluster.T @ by_cluster, len(by_cluster))


def cluster_totals(x: Floats, size: Floats, cluster: Integers) -> Floats:
    """Return the sums of m x by cluster, (number of clusters, K), in ascending order of the cluster's number."""
    if not len(cluster):
        return np.zeros((0, x.shape[1]))
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=cluster[order[0]] - 1))
    return np.asarray(np.add.reduceat((x * size[:, None])[order], starts, axis=0))


def estimate(
    group: Group, sample: Sample, question: Question, *, level: float = 0.95, power: float | None = None
) -> Estimate:
    """Estimate the shares of a question's labels in a group.

    Args:
        group: Where.
        sample: The audit sample.
        question: Which shares.
        level: Of the intervals.
        power: Lambda, where it is not to be tuned: 0 takes gold alone, 1 the difference estimator.

    Raises:
        ValueError: when no gold unit lies in the group.
    """
    if not group.inside.any():
        raise ValueError("the group has no gold unit")
    part = _Part(group, sample, question)
    tuned = power if power is not None else part.tune(np.zeros(len(question.labels)))
    ratios = part.ratios(tuned)
    if question.given:  # linearised about the ratios, which depend on lambda in turn: one step suffices
        tuned = power if power is not None else part.tune(np.clip(np.nan_to_num(ratios), 0, 1))
        ratios = part.ratios(tuned)
    influence = part.influence(tuned, ratios)
    variance = part.scale * _sum_squares(influence, group)
    units, freedom = part.units(tuned)
    return _finish(part, ratios, variance, tuned, units, freedom, influence.scaled(np.sqrt(part.scale)), level)


def design_based(group: Group, sample: Sample, question: Question, *, level: float = 0.95) -> Estimate:
    """Estimate the shares of this corpus alone by the difference estimator, with finite population correction.

    Lambda is 1, and the only chance is that of the draw: the residuals' variance times (1 - inclusion probability)
    (Sarndal, Swensson & Wretman 1992, chapter 6, with Hajek's denominator). A check of :func:`estimate` by other means.

    Raises:
        ValueError: when no gold unit lies in the group.
    """
    if not group.inside.any():
        raise ValueError("the group has no gold unit")
    part = _Part(group, sample, question)
    ratios = part.ratios(1.0)
    left = 1 - np.minimum(1 / sample.weight[group.inside], 1)
    rest = part.drawn(1.0, ratios, np.sqrt(left))
    units, freedom = part.units(1.0)
    variance = part.scale * (rest**2).sum(0)
    kept = float(part.v @ left)
    influence = _Influence(
        np.zeros_like(rest), rest * np.sqrt(part.scale), np.zeros((len(ratios), sample.x.shape[1])), np.zeros(len(ratios))
    )
    return _finish(part, ratios, variance, 1.0, units / kept if kept > 0 else np.inf, freedom, influence, level)


def _finish(
    part: _Part,
    ratios: Floats,
    variance: Floats,
    power: float,
    units: float,
    freedom: float,
    influence: _Influence,
    level: float,
) -> Estimate:
    share = project_to_simplex(ratios) if part.question.exclusive else np.clip(ratios, 0, 1)
    pseudo = pseudo_observations(ratios, variance, units, stratified=len(np.unique(part.sample.stratum)) > 1)
    low, high = share_interval(ratios, variance, units, freedom, pseudo, level)
    return Estimate(
        share=share,
        low=np.minimum(low, share),
        high=np.maximum(high, share),
        variance=variance,
        raw=ratios,
        lambda_=power,
        units=units,
        freedom=freedom,
        pseudo=pseudo,
        influence=influence,
    )


def expected_cases(group: Group, sample: Sample, question: Question) -> tuple[float, Floats]:
    """Return how many effective gold units the denominator can be expected to have, and how many cases of each label.

    Expected by the predictions for all units, not seen in gold: a rule on what gold happened to show would keep the samples
    in which a rare label came up by luck, and their intervals would not hold. Of a label's cases and its non-cases, the
    fewer are given.
    """
    raw = (sample.weight * sample.size)[group.inside]
    kish = float(raw.sum() ** 2 / (raw**2).sum()) if len(raw) else 0.0
    shares = group.totals.sums / max(group.totals.sums[0], 1e-12)
    below, cases = kish * float(shares[question.given]), kish * shares[list(question.labels)]
    return below, np.minimum(cases, below - cases)


def _sum_squares(influence: _Influence, group: Group) -> Floats:
    """Return the sum over all clusters of squared influence values: those with gold one by one, the others by the Gram."""
    known = ((influence.auxiliary + influence.rest) ** 2).sum(0) - (influence.auxiliary**2).sum(0)
    form = influence.form
    return np.asarray(np.maximum(np.einsum("lk,km,lm->l", form, group.totals.gram, form) + known, 0) + influence.outside)


class _Part:
    """A question in a group: means, residuals and their influence values, before lambda is chosen."""

    def __init__(self, group: Group, sample: Sample, question: Question) -> None:
        inside = group.inside
        self.group, self.sample, self.question = group, sample, question
        self.columns = list(question.labels)
        self.mean_all = group.totals.sums / group.totals.sums[0]
        raw = (sample.weight * sample.size)[inside]
        self.v = raw / raw.sum()
        self.x, self.y = sample.x[inside], sample.y[inside]
        self.cluster = sample.cluster[inside]
        self.mean_x, self.mean_y = self.v @ self.x, self.v @ self.y
        by_cluster = np.bincount(self.cluster, weights=self.v)
        self.gold_clusters = int((by_cluster > 0).sum())
        self.kish_units = 1 / float((self.v**2).sum())
        self.kish_clusters = 1 / float((by_cluster**2).sum())
        self.scale = self.gold_clusters / (self.gold_clusters - 1) if self.gold_clusters > 1 else np.inf

    def total(self, power: float) -> Floats:
        return np.asarray(power * self.mean_all + self.mean_y - power * self.mean_x)

    def ratios(self, power: float) -> Floats:
        t = self.total(power)
        below = t[self.question.given]
        return np.asarray(t[self.columns] / below) if below > _NONE else np.full(len(self.columns), np.nan)

    def units(self, power: float) -> tuple[float, float]:
        """Return the effective numbers of gold units and of degrees of freedom behind the denominator."""
        below = float(np.clip(self.total(power)[self.question.given], 0, 1))
        return self.kish_units * below, max(self.kish_clusters * below - 1, 1.0)

    def form(self, ratios: Floats) -> Floats:
        """Return what turns a cluster's totals into its influence as predicted: (L, K), before the denominator."""
        form = np.zeros((len(self.columns), len(self.mean_all)))
        form[np.arange(len(self.columns)), self.columns] = 1
        form[:, self.question.given] -= ratios
        form[:, 0] -= form @ self.mean_all
        return np.asarray(form / self.group.totals.sums[0])

    def residuals(self, values: Floats, mean: Floats, ratios: Floats) -> Floats:
        """Return v (z - mean z) of the gold units in the group for z = label - ratio * given, (n inside, L)."""
        given = self.question.given
        centred = values - mean
        return np.asarray(self.v[:, None] * (centred[:, self.columns] - np.outer(centred[:, given], ratios)))

    def by_cluster(self, values: Floats) -> Floats:
        out = np.zeros((self.sample.clusters, values.shape[1]))
        np.add.at(out, self.cluster, values)
        return out

    def tune(self, ratios: Floats) -> float:
        """Return the lambda of least total variance over the labels, within [0, 1].

        The variance is a quadratic form in lambda, so that three values give all of it. (Angelopoulos, Duchi & Zrnic 2023
        give the minimum in closed form, for one mean and independent units.)
        """
        v0, v1, v2 = (float(self.variance(power, ratios).sum()) for power in (0.0, 0.5, 1.0))
        curve = 2 * (v0 + v2 - 2 * v1)
        if curve <= 1e-9 * max(v0, v2):
            return 0.0
        return float(np.clip(0.5 - (v2 - v0) / (2 * curve), 0, 1))

    def variance(self, power: float, ratios: Floats) -> Floats:
        """Return the variance of the numerators about the ratios, (L,)."""
        return _sum_squares(self._influence(power, ratios), self.group)

    def influence(self, power: float, ratios: Floats) -> _Influence:
        """Return the influence values of the ratios."""
        below = self.total(power)[self.question.given]
        return self._influence(power, ratios).scaled(1 / below if below > _NONE else np.nan)

    def _influence(self, power: float, ratios: Floats) -> _Influence:
        form = self.form(ratios)
        both = self.residuals(self.y, self.mean_y, ratios) - power * self.residuals(self.x, self.mean_x, ratios)
        inner, strata = self._stratified(both)
        auxiliary = power * (self.group.at_gold @ form.T)
        return _Influence(auxiliary, self.by_cluster(inner), power * form, self._outside(strata, auxiliary))

    def drawn(self, power: float, ratios: Floats, factor: Floats) -> Floats:
        """Return the draw's part of the influence values alone, by cluster, each gold unit's times a factor."""
        both = self.residuals(self.y, self.mean_y, ratios) - power * self.residuals(self.x, self.mean_x, ratios)
        inner, _ = self._stratified(both)
        return np.asarray(self.by_cluster(inner * factor[:, None]) / self.total(power)[self.question.given])

    def _stratified(self, values: Floats) -> tuple[Floats, list[_Stratum]]:
        """Centre within strata of the whole sample, and scale so that each has its own k / (k - 1)."""
        stratum = self.sample.stratum
        names = np.unique(stratum)
        if len(names) < 2:
            return values, []
        values, found = values.copy(), []
        inside = stratum[self.group.inside]
        for h in names:
            rows, all_rows = inside == h, stratum == h
            clusters = len(np.unique(self.sample.cluster[all_rows]))
            if clusters < 2 or not rows.any():  # one draw says nothing of the spread within: left as it is, which is safe
                continue
            own = clusters / (clusters - 1) / (self.scale if np.isfinite(self.scale) else 1)
            total = values[rows].sum(0)
            n = int(all_rows.sum())
            found.append(_Stratum(rows, total, n, own))
            values[rows] = (values[rows] - total / n) * np.sqrt(own)
        return values, found

    def _outside(self, strata: list[_Stratum], auxiliary: Floats) -> Floats:
        """Return the variance that centring within strata took away and that belongs to the draw of the coverage.

        A stratum's mean residual is every unit's, drawn or not: it varies between clusters of the coverage, not with the
        draw. Its sum over a cluster is bounded by the cluster's number of units, as if all were of one stratum.
        """
        out = np.zeros(len(self.columns))
        weight = self.sample.weight[self.group.inside]
        for s in strata:
            inside = int(s.rows.sum())
            out += (s.n - inside) * (s.total / s.n) ** 2 * s.own
            mean = s.total / (weight[s.rows].mean() * s.n)  # of each unit of the stratum
            size = self.group.at_gold[self.cluster[s.rows], 0] / self.sample.size[self.group.inside][s.rows]
            out += (weight[s.rows] * np.maximum(size, 1)).sum() * mean**2
            out += 2 * mean * (weight[s.rows][:, None] * auxiliary[self.cluster[s.rows]]).sum(0)
        return out


@dataclass(frozen=True, slots=True)
class _Stratum:
    rows: NDArray[np.bool_]
    total: Floats
    n: int
    own: float
