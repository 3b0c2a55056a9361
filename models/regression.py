"""Linear heads fitted by logistic regression, as strongly regularised as held-out folds prefer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.calibration import choose_thresholds, sigmoid

Floats = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # positions to fit on, and to hold out

# Inverse regularisation on standardised features. In cross-validation on the train and development parts of the reference
# corpus, stance macro-F1 was best between 0.001 and 0.01 for 50 to 900 labels (with weights), and only fell beyond.
STRENGTHS = (0.001, 0.004, 0.016)
_FEWEST = 2  # cases on either side of a label without which it gets no direction of its own


@dataclass(frozen=True)
class Head:
    """A linear head for k labels: ``weight`` (k, width) and ``bias`` (k,), and how it was regularised."""

    weight: Floats
    bias: Floats
    strength: float
    balanced: bool

    def __call__(self, x: Floats) -> Floats:
        """Return logits (n, k) for features (n, width)."""
        return np.asarray(x @ self.weight.T + self.bias)


# Fits a head: features (n, width), gold labels, inverse regularisation, balanced or not.
Fit = Callable[[Floats, NDArray[Any], float, bool], Head]


def choose_head(
    x: Floats,
    y: NDArray[Any],
    folds: Sequence[Fold],
    fit: Fit,
    score: Callable[[Floats, NDArray[Any]], float],
) -> tuple[Head, Floats]:
    """Return the head with the strength and weighting that score best on held-out folds, and its logits there.

    The strength is chosen with classes weighted by inverse frequency; then the head without weights is tried at that
    strength, and taken if it scores better. Of equal strengths the stronger regularisation wins. Without folds the middle
    strength is taken, with weights, and there are no logits.

    Args:
        x: (n, width).
        y: (n,) or (n, labels), as ``fit`` and ``score`` take it.
        folds: Each case is held out once.
        fit: What fits a head.
        score: Higher is better; takes logits and gold.
    """
    if not folds:
        head = fit(x, y, STRENGTHS[1], True)
        return head, np.zeros((0, len(head.bias)))

    def tried(strength: float, balanced: bool) -> tuple[float, float, bool, Floats]:
        logits = [fit(x[fitted], y[fitted], strength, balanced)(x[held]) for fitted, held in folds]
        out = np.zeros((len(x), logits[0].shape[1]))
        for (_, held), z in zip(folds, logits, strict=True):
            out[held] = z
        return score(out, y), strength, balanced, out

    weighted = max((tried(strength, True) for strength in STRENGTHS), key=lambda found: found[0])  # the first of equals
    plain = tried(weighted[1], False)
    _, strength, balanced, out = plain if plain[0] > weighted[0] else weighted
    return fit(x, y, strength, balanced), out


def multinomial(classes: int) -> Fit:
    """Return what fits a multinomial regression; cases below zero are left out, labels without a case get a low constant."""

    def fit(x: Floats, y: NDArray[Any], strength: float, balanced: bool) -> Head:
        from sklearn.linear_model import LogisticRegression

        x, y = x[y >= 0], y[y >= 0]
        # A label that the data lack is as likely as half a case among them.
        weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, np.log(0.5 / (len(y) + 0.5)))
        present = np.unique(y)
        if len(present) == 1:
            bias[present] = 0.0
        elif len(present) > 1:
            z, mean, spread = _standardised(x)
            model = LogisticRegression(C=strength, class_weight=_weighting(balanced), max_iter=1000).fit(z, y)
            both = len(present) == 2  # scikit-learn gives one row for two classes: the second's log odds
            w = np.concatenate([-model.coef_, model.coef_]) / 2 if both else model.coef_
            b = np.concatenate([-model.intercept_, model.intercept_]) / 2 if both else model.intercept_
            weight[present], bias[present] = w / spread, b - (w / spread) @ mean
        return Head(weight, bias, strength, balanced)

    return fit


def binary(x: Floats, y: NDArray[Any], strength: float, balanced: bool) -> Head:
    """Fit one regression a column of ``y`` (n, labels); a column with too few cases on a side gets its log odds alone."""
    from sklearn.linear_model import LogisticRegression

    n, labels = y.shape
    positives = y.sum(0)
    weight, bias = np.zeros((labels, x.shape[1])), np.log((positives + 0.5) / (n - positives + 0.5)).astype(np.float64)
    z, mean, spread = _standardised(x)
    for j in np.flatnonzero((positives >= _FEWEST) & (n - positives >= _FEWEST)):
        model = LogisticRegression(C=strength, class_weight=_weighting(balanced), max_iter=1000).fit(z, y[:, j])
        weight[j] = model.coef_[0] / spread
        bias[j] = model.intercept_[0] - weight[j] @ mean
    return Head(weight, bias, strength, balanced)


def _standardised(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return features with mean 0 and standard deviation 1, and the mean and deviation that they had."""
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)  # a feature that never varies stays zero
    return (x - mean) / spread, mean, spread


def _weighting(balanced: bool) -> str | None:
    return "balanced" if balanced else None


def class_score(logits: Floats, y: NDArray[Any]) -> float:
    """Return macro-F1 of the highest logit, over the cases whose label is known (zero or above); 0 where there is none."""
    from sklearn.metrics import f1_score

    known = y >= 0
    if not known.any():
        return 0.0
    return float(f1_score(y[known], logits[known].argmax(1), average="macro", zero_division=np.nan))


def label_score(logits: Floats, y: NDArray[Any]) -> float:
    """Return macro-F1 over columns, decided at the thresholds that suit these cases best; 0 where no label occurs."""
    from sklearn.metrics import f1_score

    if not y.any():
        return 0.0
    probability = sigmoid(logits)
    decided = probability >= choose_thresholds(probability, y)
    return float(np.nanmean(f1_score(y > 0, decided, average=None, zero_division=np.nan)))
