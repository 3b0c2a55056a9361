"""Calibration: from logits to probabilities that mean what they say, and to decisions.

A form with more numbers always fits its own cases better, so it has to prove itself on others: the development data are cut
into stretches, and each stretch is judged by a fit on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_DECIMALS = 4  # of a logit: far above what batch composition changes (1e-6), far below what matters to a reader
_TINY = 1e-12  # the least probability that enters a log loss
_FEW = 8  # fewer positives than this do not support a threshold or a scale of their own
_FOLDS = 5
_LEAST_SCALE = 0.1  # a class's scale relative to the common one; at zero or below its ranking would turn round
# Forms from the simplest to the richest: whether each class has its own scale, and the weight of the Gaussian prior that
# holds the fit to the simplest form (1 / variance; 32 is a standard deviation of 0.18 logits). None is the simplest form.
_Form = tuple[bool, float] | None
_STANCE_FORMS: tuple[_Form, ...] = (None, *((own, prior) for own in (False, True) for prior in (32.0, 8.0, 2.0)))
_CONCERN_FORMS: tuple[_Form, ...] = (None, *((own, prior) for own in (False, True) for prior in (64.0, 16.0, 4.0)))


class Calibration(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How logits become probabilities and decisions; fitted on development data.

    Stance: softmax(logits / ``temperature`` * ``stance_scale`` + ``stance_bias``). Without the last two, which have one
    number a stance, it is temperature scaling (Guo et al. 2017, equation 9); with a common scale it is bias-corrected
    temperature scaling (Alexandari et al. 2020), otherwise vector scaling (Guo et al. 2017, section 4.2).

    Concerns: sigmoid(scale * logit + shift), Platt (1999). ``concern_scales`` and ``concern_shifts`` have one number a
    concern; where they are empty, ``concern_scale`` and ``concern_shift`` hold for all. A concern is raised at or above its
    own number in ``thresholds``. All follow the codebook's order.

    ``pairs`` has, for each development statement, the confidence of the stance decision and whether it is the gold one, both
    from a fit that had not seen the statement where there were enough of them: what abstention is derived from.
    """

    temperature: float = 1.0
    concern_scale: float = 1.0
    concern_shift: float = 0.0
    thresholds: tuple[float, ...] = ()
    stance_scale: tuple[float, ...] = ()
    stance_bias: tuple[float, ...] = ()
    concern_scales: tuple[float, ...] = ()
    concern_shifts: tuple[float, ...] = ()
    pairs: tuple[tuple[float, bool], ...] = ()

    def stance(self, logits: NDArray[Any]) -> Floats:
        """Return stance probabilities (n, stances) that sum to one a row, from logits of the same shape."""
        z = stable(logits) / np.float64(self.temperature)
        return softmax(z * np.array(self.stance_scale) + np.array(self.stance_bias) if self.stance_scale else z)

    def concerns(self, logits: NDArray[Any]) -> Floats:
        """Return concern probabilities (n, concerns), each on its own, from logits of the same shape."""
        scale = np.array(self.concern_scales or self.concern_scale)
        return sigmoid(scale * stable(logits) + np.array(self.concern_shifts or self.concern_shift))

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
    """Fit the calibration of stance and concerns, and the concerns' thresholds, on development data.

    The form is chosen by cross-validated log loss: the simplest one within a standard error of the best (Hastie et al. 2009,
    section 7.10, here the standard error of the paired difference). A form of the stance whose decisions have a lower
    macro-F1 than those of temperature scaling is passed over: a bias would undo what training with weighted classes did to
    find the rare ones. The parts of cross-validation are stretches of consecutive rows: the statements of a document,
    which follow one another, stay together except at the borders.

    Args:
        stance_logits: (n, stances).
        stance: (n,) gold label indices.
        concern_logits: (n, concerns).
        concerns: (n, concerns) of 0 and 1.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    # For matrices as small as these, threads of the linear algebra cost more than they bring: seconds on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"):
        return _fit(
            stable(stance_logits), np.asarray(stance), stable(concern_logits), np.asarray(concerns, dtype=np.float64)
        )


def _fit(z: Floats, y: NDArray[np.int64], w: Floats, c: Floats) -> Calibration:
    stance_form, concern_form, held_out = None, None, None
    if len(y) >= 2 * _FOLDS:
        stance_form, held_out = _choose_stance_form(z, y)
        concern_form = _choose_concern_form(w, c)
    (form,), (fitted,) = _fit_stance(z, y, [stance_form]), _fit_concerns(w, c, [concern_form])
    of_stance = {name: getattr(form, name) for name in ("temperature", "stance_scale", "stance_bias")}
    fitted = msgspec.structs.replace(fitted, **of_stance)
    thresholds = choose_thresholds(fitted.concerns(w), c)
    p = fitted.stance(z) if held_out is None else held_out
    return msgspec.structs.replace(
        fitted,
        thresholds=tuple(float(t) for t in thresholds),
        pairs=tuple((round(float(q.max()), 6), bool(q.argmax() == gold)) for q, gold in zip(p, y, strict=True)),
    )


def _stretches(n: int) -> NDArray[np.int64]:
    """Return the number of the part (0 to ``_FOLDS`` - 1) of each of n rows: consecutive, of like length."""
    return np.arange(n) * _FOLDS // n


def _simplest(losses: Sequence[Floats]) -> int:
    """Return the first of the forms, given their losses (n,) case by case, that is within a standard error of the best."""
    best = losses[int(np.argmin([loss.mean() for loss in losses]))]
    for i, loss in enumerate(losses):
        worse = loss - best
        if worse.mean() <= worse.std(ddof=1) / np.sqrt(len(worse)):
            return i
    raise AssertionError("the best is within its own error")


def _choose_stance_form(z: Floats, y: NDArray[np.int64]) -> tuple[_Form, Floats]:
    """Return the form for the stance and the probabilities (n, stances) that it gives to cases held out."""
    from sklearn.metrics import f1_score

    part = _stretches(len(y))
    held_out = [np.empty_like(z) for _ in _STANCE_FORMS]
    for k in range(_FOLDS):
        for p, fitted in zip(held_out, _fit_stance(z[part != k], y[part != k], _STANCE_FORMS), strict=True):
            p[part == k] = fitted.stance(z[part == k])
    f1 = [f1_score(y, p.argmax(1), average="macro", zero_division=0.0) for p in held_out]
    kept = [i for i in range(len(held_out)) if f1[i] >= f1[0]]
    losses = [-np.log(np.clip(held_out[i][np.arange(len(y)), y], _TINY, None)) for i in kept]
    chosen = kept[_simplest(losses)]
    return _STANCE_FORMS[chosen], held_out[chosen]


def _choose_concern_form(z: Floats, y: Floats) -> _Form:
    part = _stretches(len(y))
    held_out = [np.empty_like(z) for _ in _CONCERN_FORMS]
    for k in range(_FOLDS):
        for p, fitted in zip(held_out, _fit_concerns(z[part != k], y[part != k], _CONCERN_FORMS), strict=True):
            p[part == k] = fitted.concerns(z[part == k])
    losses = [-np.log(np.clip(np.where(y > 0, p, 1 - p), _TINY, None)).sum(1) for p in held_out]
    return _CONCERN_FORMS[_simplest(losses)]


def _fit_stance(z: Floats, y: NDArray[np.int64], forms: Sequence[_Form]) -> list[Calibration]:
    """Fit the stance in each of the forms; all but the simplest minimise log loss plus prior, starting from temperature."""
    simplest = Calibration(temperature=fit_temperature(z, y))
    u, gold, labels = z / simplest.temperature, np.eye(z.shape[1])[y], z.shape[1]

    def fit(own: bool, prior: float) -> Calibration:
        scales = labels if own else 1

        def loss(x: Floats) -> tuple[float, Floats]:
            e = u * (1 + x[:scales]) + x[scales:]
            error = softmax(e) - gold
            slope = (error * u).sum(0) if own else np.array([(error * u).sum()])
            return float((_log_sum_exp(e) - (e * gold).sum(1)).sum()), np.concatenate([slope, error.sum(0)])

        x = _minimise(loss, scales, labels, prior)
        scale = np.broadcast_to(1 + x[:scales], labels)
        return msgspec.structs.replace(simplest, stance_scale=_rounded(scale), stance_bias=_rounded(x[scales:]))

    return [simplest if form is None else fit(*form) for form in forms]


def _fit_concerns(z: Floats, y: Floats, forms: Sequence[_Form]) -> list[Calibration]:
    """Fit the concerns in each of the forms; concerns with too few cases of one kind keep the common scale and shift."""
    scale, shift = _fit_platt(z.ravel(), y.ravel())
    simplest = Calibration(concern_scale=scale, concern_shift=shift)
    positives = y.sum(0)
    enough = np.flatnonzero(np.minimum(positives, len(y) - positives) >= _FEW)
    m, gold = (scale * z + shift)[:, enough], y[:, enough]

    def fit(own: bool, prior: float) -> Calibration:
        scales = len(enough) if own else 0

        def loss(x: Floats) -> tuple[float, Floats]:
            e = m * (1 + x[:scales]) + x[scales:] if own else m + x
            error = sigmoid(e) - gold
            slope = (error * m).sum(0) if own else np.empty(0)
            return float((np.logaddexp(0.0, e) - e * gold).sum()), np.concatenate([slope, error.sum(0)])

        x = _minimise(loss, scales, len(enough), prior)
        factor, offset = np.ones(z.shape[1]), np.zeros(z.shape[1])
        factor[enough] += x[:scales] if own else 0.0
        offset[enough] = x[scales:]
        own_scales, own_shifts = _rounded(factor * scale), _rounded(factor * shift + offset)
        return msgspec.structs.replace(simplest, concern_scales=own_scales, concern_shifts=own_shifts)

    return [simplest if form is None or not len(enough) else fit(*form) for form in forms]


def _minimise(loss: Callable[[Floats], tuple[float, Floats]], scales: int, shifts: int, prior: float) -> Floats:
    """Return the scales (less one) and shifts that minimise a convex loss with a Gaussian prior around zero."""
    from scipy.optimize import minimize

    def penalised(x: Floats) -> tuple[float, Floats]:
        value, gradient = loss(x)
        return value + prior / 2 * float(x @ x), gradient + prior * x

    bounds = [(_LEAST_SCALE - 1, None)] * scales + [(None, None)] * shifts
    found = minimize(penalised, np.zeros(scales + shifts), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x)


def _log_sum_exp(z: Floats) -> Floats:
    top = z.max(axis=-1)
    return np.asarray(top + np.log(np.exp(z - top[..., None]).sum(axis=-1)))


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


def fit_temperature(logits: NDArray[Any], gold: NDArray[np.int64]) -> float:
    """Return the temperature in [0.05, 20] that minimises the log loss of softmax(logits / T)."""
    from scipy.optimize import minimize_scalar

    z = stable(logits)
    rows = np.arange(len(gold))

    def loss(log_t: float) -> float:
        p = softmax(z / np.exp(log_t))[rows, gold]
        return float(-np.log(np.clip(p, _TINY, None)).mean())

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
