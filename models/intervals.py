"""Intervals of shares that hold where gold is little and labels are rare.

Wilson's interval (1927, Journal of the American Statistical Association 22), with an effective sample size in place of n and
Student's t in place of z, after Korn & Graubard (1998, Survey Methodology 24): p (1 - p) / variance is the number of
independent statements that would estimate the share as well. A sample that shows no case of a label, or a model that made no
mistake in it, has a variance near 0 that promises too much; before, every share is therefore given pseudo-observations of
either kind (:func:`pseudo_observations`). ``benchmarks/coverage.py``
measures how often the intervals hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PSEUDO = 0.5
"""Pseudo-observations of either kind: Jeffreys' prior of a binomial share. In a stratified sample there are two halves,
since each stratum's spread is known from fewer statements and a mistake that is rare in a large one is easily missed."""


def project_to_simplex(values: Floats) -> Floats:
    """Return the nearest shares, along the last axis, that are not negative and sum to one.

    The Euclidean projection (Held, Wolfe & Crowder 1974): subtract from all what makes the positive rest sum to one.
    """
    ordered = -np.sort(-values, axis=-1)
    excess = ordered.cumsum(-1) - 1
    k = np.arange(1, values.shape[-1] + 1)
    count = np.maximum((ordered - excess / k > 0).sum(-1, keepdims=True), 1)
    return np.asarray(np.maximum(values - np.take_along_axis(excess, count - 1, -1) / count, 0))


@dataclass(frozen=True, slots=True)
class Pseudo:
    """Pseudo-observations of either kind: as many for the ``spread`` of an estimate, so many for its ``centre``."""

    centre: float
    spread: float


def pseudo_observations(share: Floats, variance: Floats, units: float, *, stratified: bool = False) -> Pseudo:
    """Return what the shares of one question are given before their intervals are made.

    The centre moves by a part of :data:`PSEUDO`: the ratio of the summed variances to those of a simple random sample
    without predictions. Summed, since the variance of one rare label is exactly what cannot be relied upon; and a ratio,
    since where predictions are good, an observation moves the estimate little.
    """
    if not np.isfinite(units):
        return Pseudo(0.0, 0.0)
    p = np.clip(share, 0, 1)
    plain = float(np.nansum(p * (1 - p)))
    ratio = float(np.clip(units * np.nansum(variance) / plain, 0, 1)) if plain > 0 else 1.0
    return Pseudo(PSEUDO * ratio, PSEUDO * (1 + stratified))


def shrink(share: Floats, variance: Floats, units: float, pseudo: Pseudo) -> tuple[Floats, Floats, float]:
    """Add pseudo-observations to shares that rest on so many units.

    Returns:
        Shares, variances, and the factor by which the shares' own part in the variance has become smaller.
    """
    if not pseudo.spread:
        return share, variance, 1.0
    p, n = np.clip(share, 0, 1), units + 2 * pseudo.spread
    keep = units / n
    centre = (units * share + pseudo.centre) / (units + 2 * pseudo.centre)
    return centre, keep**2 * variance + pseudo.spread * ((1 - p) ** 2 + p**2) / n**2, keep


def share_interval(
    share: Floats, variance: Floats, units: float, freedom: float, pseudo: Pseudo, level: float
) -> tuple[Floats, Floats]:
    """Return the ends of intervals of shares, within [0, 1].

    Args:
        share: Estimates, which may lie outside [0, 1].
        variance: Theirs.
        units: Effective number of gold units behind them.
        freedom: Degrees of freedom of the variance.
        pseudo: Of :func:`pseudo_observations`.
        level: 0.95, say.
    """
    from scipy.special import stdtrit

    centre, spread, _ = shrink(share, variance, units, pseudo)
    edge = max(min(0.25 / max(units, 1.0), 0.5), 1e-12)
    p = np.clip(centre, edge, 1 - edge)
    q = float(stdtrit(freedom, 0.5 + level / 2)) ** 2
    small = spread / (p * (1 - p)) * q  # q / effective sample size
    known = np.isfinite(small)  # a single cluster leaves the variance infinite
    small = np.where(known, small, 0.0)
    middle = (p + small / 2) / (1 + small)
    half = np.sqrt(small * p * (1 - p) + small**2 / 4) / (1 + small)
    return np.where(known, np.clip(middle - half, 0, 1), 0.0), np.where(known, np.clip(middle + half, 0, 1), 1.0)
