"""The lexicon: linear heads over a statement's word pieces, beside the transformer's and blended with them.

A small encoder that has seen a thousand statements and a linear model over their words err on different statements; their
blend is better than either. The word pieces are those that the encoder reads anyway, so the lexicon lives in the same
network and costs one table lookup a token.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import sigmoid, softmax
from models.dataset import IGNORE, Targets
from models.encoding import Encoded, collate
from models.network import Lexicon
from models.scores import Scores

Floats = NDArray[np.float64]

_PRIOR = 4.0  # statements' worth of belief that both halves of a blend count the same


@dataclass(frozen=True)
class Blend:
    """Scores of the two halves on the same passages: the network's own, and the lexicon's."""

    own: Scores
    lexicon: Scores


def fit_lexicon(
    encoded: Sequence[Encoded], y: Targets, sizes: tuple[int, int, int], vocabulary: int, strength: float
) -> Lexicon:
    """Fit TF-IDF weights and balanced logistic regressions, and put them into a module that computes the same from ids.

    Args:
        encoded: n passages.
        y: Their gold labels.
        sizes: The numbers of stances, concerns and holder types.
        vocabulary: How many word pieces the tokenizer has.
        strength: Inverse of the L2 penalty of every regression.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    tfidf = TfidfTransformer(sublinear_tf=True, norm="l2")
    x = tfidf.fit_transform(_counts(encoded, vocabulary))
    lexicon = Lexicon(vocabulary, sum(sizes))
    known = y.holder_type != IGNORE
    parts = [
        _multinomial(x, y.stance, sizes[0], strength),
        *(_binary(x, y.concerns[:, j] > 0, strength) for j in range(sizes[1])),
        _multinomial(x[known], y.holder_type[known], sizes[2], strength),
    ]
    seen = np.asarray(x.sum(0)).ravel() > 0  # an unseen piece has the highest idf, and nothing is known of it
    with torch.no_grad():
        lexicon.idf.copy_(torch.from_numpy(np.where(seen, tfidf.idf_, 0.0)))
        lexicon.weight.copy_(torch.from_numpy(np.concatenate([w for w, _ in parts]).T))
        lexicon.bias.copy_(torch.from_numpy(np.concatenate([b for _, b in parts])))
    return lexicon


def lexicon_scores(lexicon: Lexicon, encoded: Sequence[Encoded], own: Scores) -> Scores:
    """Return the lexicon's scores for passages; the holder span, of which it says nothing, is that of ``own``."""
    rows = []
    with torch.inference_mode():
        for i in range(0, len(encoded), 64):
            ids, _, mine = collate(encoded[i : i + 64], 0)
            rows.append(lexicon(ids, mine).double().numpy())
    z = np.concatenate(rows)
    s, c = own.stance.shape[1], own.concerns.shape[1]
    return Scores(z[:, :s], z[:, s : s + c], z[:, s + c :], own.holder)


def fit_blend(halves: Blend, y: Targets) -> tuple[tuple[float, float], ...]:
    """Return how much the network's own logits and the lexicon's count, for stance, concerns and holder type.

    The two weights, zero or more, minimise the development log loss of weighted sums of the logits, plus a penalty worth
    a few statements on the distance from an even blend, so that a tiny development part cannot silence either half.
    """
    rows = np.arange(len(y.stance))
    known = y.holder_type != IGNORE

    def stance(z: Floats) -> float:
        return _log_loss(softmax(z)[rows, y.stance])

    def kind(z: Floats) -> float:
        return _log_loss(softmax(z[known])[np.arange(known.sum()), y.holder_type[known]])

    def concerns(z: Floats) -> float:
        p = sigmoid(z - z.mean(0) + _log_odds(y.concerns.mean(0)))  # shifts are the calibration's business, not the blend's
        return _log_loss(np.where(y.concerns > 0, p, 1 - p)) * max(1, p.shape[1])

    n = len(y.stance)
    return (
        _two_weights(halves.own.stance, halves.lexicon.stance, stance, n),
        _two_weights(halves.own.concerns, halves.lexicon.concerns, concerns, n),
        _two_weights(halves.own.holder_type, halves.lexicon.holder_type, kind, int(known.sum())),
    )


def blended(halves: Blend, weights: Sequence[tuple[float, float]]) -> Scores:
    """Return the weighted sums of two sets of scores, as a network with this lexicon and these weights gives them."""
    names = ("stance", "concerns", "holder_type")
    mixed = [u * getattr(halves.own, k) + v * getattr(halves.lexicon, k) for k, (u, v) in zip(names, weights, strict=True)]
    return Scores(mixed[0], mixed[1], mixed[2], halves.own.holder)


def _two_weights(own: Floats, lexicon: Floats, loss: Any, n: int) -> tuple[float, float]:
    from scipy.optimize import minimize

    if not n or not own.shape[1]:
        return (0.5, 0.5)

    def penalised(w: Floats) -> float:
        return float(loss(w[0] * own + w[1] * lexicon) + _PRIOR / n * ((w - 0.5) ** 2).sum())

    found = minimize(penalised, np.array([0.5, 0.5]), bounds=[(0.0, 4.0)] * 2, method="L-BFGS-B")
    return (round(float(found.x[0]), 4), round(float(found.x[1]), 4))


def _log_loss(probability: Floats) -> float:
    return float(-np.log(np.clip(probability, 1e-12, None)).mean()) if probability.size else 0.0


def _log_odds(share: Floats) -> Floats:
    p = np.clip(share, 1e-3, 1 - 1e-3)
    return np.asarray(np.log(p / (1 - p)))


def _counts(encoded: Sequence[Encoded], vocabulary: int) -> Any:
    from scipy import sparse

    pieces = [[i for i, mine in zip(e.ids, e.own, strict=True) if mine] for e in encoded]
    rows = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
    columns = np.array([i for p in pieces for i in p], dtype=np.int64)
    return sparse.coo_matrix((np.ones(len(columns)), (rows, columns)), shape=(len(pieces), vocabulary)).tocsr()


def _multinomial(x: Any, y: NDArray[np.int64], classes: int, strength: float) -> tuple[Floats, Floats]:
    """Return weights (classes, pieces) and biases; a class without a case scores as low as the lowest that has some."""
    weight, bias = np.zeros((classes, x.shape[1])), np.zeros(classes)
    seen = np.unique(y)
    if len(seen) < 2:
        return weight, bias
    model = _regression(x, y, strength)
    if len(seen) == 2:  # scikit-learn keeps one row for two classes
        weight[seen[0]], weight[seen[1]] = -model.coef_[0] / 2, model.coef_[0] / 2
        bias[seen[0]], bias[seen[1]] = -model.intercept_[0] / 2, model.intercept_[0] / 2
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    bias[np.setdiff1d(np.arange(classes), seen)] = bias[seen].min()
    return weight, bias


def _binary(x: Any, y: NDArray[np.bool_], strength: float) -> tuple[Floats, Floats]:
    """Return weights (1, pieces) and the bias; without a case on both sides only the bias says which."""
    if y.all() or not y.any():
        return np.zeros((1, x.shape[1])), np.array([4.0 if y.all() else -4.0])
    model = _regression(x, y, strength)
    return model.coef_, model.intercept_


def _regression(x: Any, y: NDArray[Any], strength: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    with warnings.catch_warnings(), threadpool_limits(limits=1, user_api="blas"):  # small matrices: threads only cost
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=400, tol=1e-6).fit(x, y)
