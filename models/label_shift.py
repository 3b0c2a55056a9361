"""Label shift: shares corrected by a model's confusion matrix, where there is no audit sample.

If among statements of each true label the model decides as it did where it was evaluated, then the shares q of decisions
and the true shares s are tied by q_j = sum_k s_k C_kj, with C_kj the share of decisions j among true k. Solving for s is the
adjusted count (Gart & Buck 1966 for two classes; Forman 2008, Data Mining and Knowledge Discovery 17; Lipton, Wang & Smola
2018, ICML, for many). A solution outside the simplex is projected onto it. Saerens, Latinne & Decaestecker (2002, Neural
Computation 14) solve the same by maximum likelihood with probabilities in place of decisions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.intervals import project_to_simplex

Floats = NDArray[np.float64]

LEAST_CASES = 10
"""Gold cases of each label in the evaluation, below which its row of the confusion matrix is not known well enough."""

LEAST_SINGULAR = 0.1
"""Smallest singular value of the matrix, below which decisions hardly tell some labels apart."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How a model decides among statements of each true label: ``rates`` (k, k) with rows that sum to one, and ``draws``.

    ``draws`` (B, k, k) are the inverses of matrices that the evaluation's counts would bear out as well.
    """

    rates: Floats
    draws: Floats


def unfit(confusion: Floats) -> str | None:
    """Return why a confusion matrix (counts, rows true) cannot correct shares, or None."""
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1] or confusion.shape[0] < 2:
        return "the evaluation has no confusion matrix"
    if confusion.sum(1).min() < LEAST_CASES:
        return "the evaluation has too few cases of a stance"
    rates = confusion / confusion.sum(1, keepdims=True)
    if np.linalg.svd(rates, compute_uv=False)[-1] < LEAST_SINGULAR:
        return "the model hardly tells the stances apart"
    return None


def draw_rates(confusion: Floats, *, draws: int, seed: int) -> Rates:
    """Draw matrices from the Dirichlet distribution of each row's counts.

    Raises:
        ValueError: when :func:`unfit` has a reason.
    """
    if (reason := unfit(confusion)) is not None:
        raise ValueError(reason)
    rng = np.random.default_rng(seed)
    k = len(confusion)
    drawn = np.stack([rng.dirichlet(row + 1 / k, size=draws) for row in confusion], axis=1)
    smallest = np.linalg.svd(drawn, compute_uv=False)[:, -1]
    drawn[smallest < 1e-6] = confusion / confusion.sum(1, keepdims=True)  # nearly never; an inverse must exist
    return Rates(np.asarray(confusion / confusion.sum(1, keepdims=True)), np.asarray(np.linalg.inv(drawn), dtype=np.float64))


def corrected(
    decided: Floats, rates: Rates, *, members: tuple[int, ...] | None = None, level: float = 0.95, seed: int = 0
) -> tuple[Floats, Floats, Floats]:
    """Return corrected shares with their intervals, each (k,).

    The interval resamples both what was decided (clusters with replacement; where there are more than 500 of them, by the
    normal distribution that the sum then has) and the matrix.

    Args:
        decided: Decisions by cluster, (clusters, k): counts, or sums of the units' sizes.
        rates: Of the evaluation.
        members: Among which labels shares are taken; default: all. Others are NaN.
        level: Of the interval.
        seed: Of the resampling.
    """
    rng = np.random.default_rng(seed)
    total = decided.sum(0)
    n, b = len(decided), len(rates.draws)
    if n > 500:
        spread = (decided - total / n).T @ (decided - total / n) * n / (n - 1)
        drawn = rng.multivariate_normal(total, spread, size=b, method="eigh")
    else:
        drawn = rng.multinomial(n, np.full(n, 1 / n), size=b) @ decided
    drawn = drawn / drawn.sum(1, keepdims=True)
    raw = np.einsum("bj,bjk->bk", drawn, rates.draws)
    share = project_to_simplex((total / total.sum()) @ np.linalg.inv(rates.rates))
    inside = project_to_simplex(raw)
    if members is not None:
        share, inside = _among(share[None], members)[0], _among(inside, members)
    tail = (1 - level) / 2
    low, high = share.copy(), share.copy()
    defined = np.isfinite(share) & np.isfinite(inside).any(0)
    low[defined], high[defined] = np.nanquantile(inside[:, defined], [tail, 1 - tail], axis=0)
    return share, np.minimum(low, share), np.maximum(high, share)


def _among(shares: Floats, members: tuple[int, ...]) -> Floats:
    out = np.full(shares.shape, np.nan)
    own = list(members)
    below = shares[:, own].sum(1, keepdims=True)
    out[:, own] = np.divide(shares[:, own], below, out=np.full((len(shares), len(own)), np.nan), where=below > 1e-9)
    return out
