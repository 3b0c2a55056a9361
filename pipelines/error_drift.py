"""Drift of error: whether gold lies beside the model's probabilities on new statements as it does on old ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEVEL = 0.05
FEWEST = 10
"""Documents on a side below which nothing is tested."""
PERMUTATIONS = 999
DRIFT, SLIGHT, NONE, TOO_FEW, TOO_LITTLE_GOLD = (
    "drift", "slight", "no drift found", "too few documents", "too few gold labels",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gold:
    """Statements that have gold: gold less the probability of each label (n, labels), weights, and numbers of clusters."""

    errors: Floats
    weights: Floats
    clusters: Ints


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure of drift.

    ``low`` to ``high`` is the 95 % interval of ``value`` where it has one, ``threshold`` what its size must exceed to be
    called drift, ``p`` the chance of such a value without any drift, adjusted for the number of measures.
    """

    measure: str
    value: float | None
    threshold: float | None
    p: float | None
    verdict: str
    meaning: str
    low: float | None = None
    high: float | None = None


def error_drift(
    old: Gold,
    new: Gold,
    labels: Sequence[str],
    *,
    seed: int,
    families: int = 1,
    permutations: int = PERMUTATIONS,
    level: float = LEVEL,
) -> list[Measure]:
    """Test whether the model errs on the new part as it does on the old, for labels jointly.

    The weighted means of the two parts' errors are compared by t statistics with variances by cluster; the largest of these
    is held against its distribution under shuffles of clusters (Westfall & Young 1993, single step; studentised, so that it
    holds though the parts differ in spread, Chung & Romano 2013). The p values are adjusted for the number of labels.

    Args:
        old: Gold of the earlier part.
        new: Gold of the new one.
        labels: Names of the columns of ``errors``.
        seed: Of the shuffles.
        families: In how many such families of labels drift is looked for; the level is shared among them.
        permutations: How many shuffles.
        level: How often drift may be called anywhere where there is none.

    Returns:
        A measure a label, named ``error of <label>``: by how much gold less prediction has changed. With fewer than ten
        clusters on a side they have no value.
    """
    names = [f"error of {label}" for label in labels]
    meanings = [f"change of gold less prediction for {label}, as a share of statements" for label in labels]
    sums = [by_cluster(gold.errors, gold.clusters, gold.weights) for gold in (old, new)]
    if min(len(weights) for _, weights in sums) < FEWEST:
        return [Measure(n, None, None, None, TOO_LITTLE_GOLD, m) for n, m in zip(names, meanings, strict=True)]
    errors, weights = (np.concatenate(parts) for parts in zip(*sums, strict=True))
    true = np.arange(len(weights)) >= len(sums[0][1])
    rows = np.vstack([true, shuffles(true, permutations, np.random.default_rng(seed))]).astype(np.float64)
    difference, error = compared(errors, weights, rows)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(np.where(difference == 0, 0.0, difference / error))
    largest = t[1:].max(axis=1)
    critical = float(np.quantile(largest, 1 - level / families, method="higher"))
    wide = t_quantile(min(len(w) for _, w in sums) - 1)
    measures = []
    for j, (name, meaning) in enumerate(zip(names, meanings, strict=True)):
        d, e = float(difference[0, j]), float(error[0, j])
        p = min(1.0, families * float((1 + np.count_nonzero(largest >= t[0, j] - 1e-12)) / (1 + len(largest))))
        verdict = DRIFT if p <= level else NONE
        measures.append(Measure(name, d, critical * e, p, verdict, meaning, d - wide * e, d + wide * e))
    return measures


def shuffles(new: NDArray[np.bool_], permutations: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return so many shuffles of which clusters are new: (permutations, clusters)."""
    return rng.permuted(np.tile(new, (permutations, 1)), axis=1)


def by_cluster(values: Floats, clusters: Ints, weights: Floats) -> tuple[Floats, Floats]:
    """Return each cluster's weighted values (clusters, columns) and weights (clusters,), added up."""
    number = np.unique(clusters, return_inverse=True)[1]
    count = int(number.max()) + 1 if len(number) else 0
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, number, values * weights[:, None])
    return sums, np.bincount(number, weights, minlength=count).astype(np.float64)


def compared(sums: Floats, weights: Floats, sides: Floats) -> tuple[Floats, Floats]:
    """Return differences of the two sides' weighted means, and their standard errors by cluster: (shuffles, columns) each.

    A side's mean is the ratio of its totals; its variance that of the linearised ratio, c / (c - 1) times the sum of squares
    over its c clusters (Sarndal, Swensson & Wretman 1992, section 5.7).

    Args:
        sums: Each cluster's weighted values, (clusters, columns).
        weights: Each cluster's weight, (clusters,).
        sides: Which clusters are new, 1 or 0: (shuffles, clusters).
    """
    means, variances = [], []
    for side in (1 - sides, sides):
        count, total = side.sum(axis=1)[:, None], (side @ weights)[:, None]
        mean = (side @ sums) / total
        squares = side @ sums**2 - 2 * mean * (side @ (sums * weights[:, None])) + mean**2 * (side @ weights**2)[:, None]
        variances.append(count / (count - 1) * np.clip(squares, 0, None) / total**2)
        means.append(mean)
    return means[1] - means[0], np.sqrt(variances[0] + variances[1])


def t_quantile(freedom: int, confidence: float = 0.95) -> float:
    """Return the two-sided quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf((1 + confidence) / 2, freedom))
