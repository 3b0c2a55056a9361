"""Differences between two groups' shares, and p values adjusted for how many were looked at."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.intervals import shrink
from models.prevalence import Estimate

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences of two groups' shares of a question's labels: value, interval and p value, each (L,)."""

    value: Floats
    low: Floats
    high: Floats
    p: Floats


def difference(a: Estimate, b: Estimate, cross: Floats, *, level: float = 0.95) -> Difference:
    """Compare two groups of one coverage and one audit sample.

    A cluster with units in both groups moves both shares, so that the variance is that of the difference of the two
    influence values, cluster by cluster. Before, each group's shares are given their pseudo-observations, as Agresti & Caffo
    (2000, The American Statistician 54) do for two samples. Degrees of freedom are Welch's.

    Args:
        a: The first group's shares.
        b: The second group's, of the same question.
        cross: Sum over clusters of the outer product of the first group's total and the second's, (K, K).
        level: Of the intervals.
    """
    from scipy.special import stdtr, stdtrit

    first, second = a.influence, b.influence
    shared = ((first.form @ cross) * second.form).sum(1)
    shared += (first.auxiliary * second.rest + first.rest * second.auxiliary + first.rest * second.rest).sum(0)
    pa, va, fa = shrink(a.raw, a.variance, a.units, a.pseudo)
    pb, vb, fb = shrink(b.raw, b.variance, b.units, b.pseudo)
    variance = np.maximum(va + vb - 2 * shared * fa * fb, 1e-12 * (va + vb))
    freedom = (va + vb) ** 2 / (va**2 / a.freedom + vb**2 / b.freedom)
    middle, error = pa - pb, np.sqrt(variance)
    half = stdtrit(freedom, 0.5 + level / 2) * error
    value = a.share - b.share
    return Difference(
        value=value,
        low=np.minimum(np.maximum(middle - half, -1), value),
        high=np.maximum(np.minimum(middle + half, 1), value),
        p=2 * stdtr(freedom, -np.abs(middle) / error),
    )


def holm(p: Floats) -> Floats:
    """Adjust p values of one family by Holm's step-down method (1979, Scandinavian Journal of Statistics 6).

    NaN stays NaN and does not count. The chance of any false finding in the family is at most the level held against them.
    """
    out = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1) if len(order) else steps
    return out
