"""Calibration: from logits to probabilities that mean what they say, and to decisions."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DECIMALS = 4  # of a logit: far above what batch composition changes (1e-6), far below what matters to a reader
_FEW = 8  # fewer positives than this do not support a threshold of their own


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How logits become probabilities and decisions; fitted on development data.

    ``temperature`` divides stance logits (Guo et al. 2017, equation 9). Concern logits z become
    sigmoid(scale * z + shift), one scale and shift for all concerns (Platt 1999), and are decided by ``thresholds``, one per
    concern in the codebook's order.
    """

    temperature: float = 1.0
    concern_scale: float = 1.0
    concern_shift: float = 0.0
    thresholds: tuple[float, ...] = ()

    def stance(self, logits: NDArray[Any]) -> Floats:
        """Return stance probabilities (n, stances) that sum to one a row, from logits of the same shape."""
        return softmax(stable(logits) / np.float64(self.temperature))

    def concerns(self, logits: NDArray[Any]) -> Floats:
        """Return concern probabilities (n, concerns), each on its own, from logits of the same shape."""
        return sigmoid(self.concern_scale * stable(logits) + self.concern_shift)

    def decide_concerns(self, probabilities: Floats) -> NDArray[np.bool_]:
        """Return which concerns are raised: probability at or above the concern's threshold."""
        return np.asarray(probabilities >= np.array(self.thresholds))


def stable(logits: NDArray[Any]) -> Floats:
    """Round logits so that the same passage gets the same decision whatever it was batched with."""
    return np.asarray(logits, dtype=np.float64).round(_DECIMALS)


def softmax(z: Floats) -> Floats:
    """Return softmax over the last axis."""
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True))


def sigmoid(z: Floats) -> Floats:
    """Return the logistic function, without overflow for large negative numbers."""
    e = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1 / (1 + e), e / (1 + e)))


def fit_calibration(
    stance_logits: NDArray[Any], stance: NDArray[np.int64], concern_logits: NDArray[Any], concerns: NDArray[Any]
) -> Calibration:
    """Fit temperature, concern scaling and thresholds on development data.

    Args:
        stance_logits: (n, stances).
        stance: (n,) gold label indices.
        concern_logits: (n, concerns).
        concerns: (n, concerns) of 0 and 1.
    """
    temperature = fit_temperature(stance_logits, stance)
    scale, shift = _fit_platt(stable(concern_logits).ravel(), np.asarray(concerns).ravel())
    unthresholded = Calibration(temperature=temperature, concern_scale=scale, concern_shift=shift)
    thresholds = choose_thresholds(unthresholded.concerns(concern_logits), concerns)
    return msgspec.structs.replace(unthresholded, thresholds=tuple(float(t) for t in thresholds))


def fit_temperature(logits: NDArray[Any], gold: NDArray[np.int64]) -> float:
    """Return the temperature in [0.05, 20] that minimises the log loss of softmax(logits / T)."""
    from scipy.optimize import minimize_scalar

    z = stable(logits)
    rows = np.arange(len(gold))

    def loss(log_t: float) -> float:
        p = softmax(z / np.exp(log_t))[rows, gold]
        return float(-np.log(np.clip(p, 1e-12, None)).mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded", options={"xatol": 1e-6})
    return round(float(np.exp(best.x)), 6)


def choose_thresholds(probabilities: Floats, gold: NDArray[Any]) -> Floats:
    """Return one threshold per concern: the one with the best F1, or the common one where positives are too few.

    The common threshold is the one with the best micro-F1. Between equally good thresholds the one nearest to it wins, and
    a threshold lies halfway between two observed probabilities.

    Args:
        probabilities: (n, concerns).
        gold: (n, concerns) of 0 and 1.
    """
    y = np.asarray(gold, dtype=bool)
    common = _best_threshold(probabilities.ravel(), y.ravel(), 0.5)
    out = [
        _best_threshold(probabilities[:, j], y[:, j], common) if y[:, j].sum() >= _FEW else common for j in range(y.shape[1])
    ]
    return np.round(np.array(out), 6)


def _best_threshold(p: Floats, y: NDArray[np.bool_], near: float) -> float:
    if not y.any():
        return near
    values = np.unique(p)
    candidates = np.concatenate([(values[1:] + values[:-1]) / 2, values[:1] / 2, [near]])
    order = np.argsort(p)
    ranked, positives = p[order], np.concatenate([[0], np.cumsum(y[order])])
    below = np.searchsorted(ranked, candidates, side="left")
    hits = positives[-1] - positives[below]
    f1 = 2 * hits / (len(p) - below + positives[-1])
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(candidates[best[np.argmin(np.abs(candidates[best] - near))]])


def _fit_platt(z: Floats, y: NDArray[Any]) -> tuple[float, float]:
    from sklearn.linear_model import LogisticRegression

    if y.min() == y.max():
        return 1.0, 0.0
    # Where a cut separates the classes, likelihood grows with the scale without end: certainty that no small sample bears
    # out. A unit Gaussian prior (C = 1) keeps it finite there; elsewhere the fit is plain maximum likelihood.
    separated = z[y > 0].min() > z[y == 0].max()
    fit = LogisticRegression(C=1.0 if separated else np.inf, max_iter=1000).fit(z[:, None], y)
    scale = float(fit.coef_[0, 0])
    # A scale at or below zero would turn the ranking round: the logits say nothing, so they are left as they are.
    return (round(scale, 6), round(float(fit.intercept_[0]), 6)) if scale > 0 else (1.0, 0.0)
