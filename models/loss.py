"""The joint loss of the four heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.dataset import IGNORE, Targets
from models.network import Logits
from models.recipe import LossWeights

__all__ = ["Batch", "JointLoss", "LossWeights", "disagreement"]


@dataclass(frozen=True)
class Batch:
    """Targets of b passages as tensors.

    Stance (b,) label indices or (b, stances) shares that sum to one; concerns (b, c) shares; holder type (b,) indices;
    span (b, 2) token positions. Holder types and positions that are IGNORE cost nothing.
    """

    stance: Tensor
    concerns: Tensor
    holder_type: Tensor
    span: Tensor


class JointLoss:
    """Cross-entropy for stance, holder type, span start and end; binary cross-entropy, summed, for concerns."""

    def __init__(self, training: Targets, sizes: tuple[int, int], weights: LossWeights, device: str = "cpu") -> None:
        """Take class weights from the training targets; ``sizes`` are the numbers of stances and concerns.

        ``device`` is where logits and targets will lie.
        """
        count = np.bincount(training.stance, minlength=sizes[0]).astype(np.float64)
        stance = (len(training.stance) / (sizes[0] * np.maximum(count, 1))) ** weights.balance
        stance /= (stance * count).sum() / count.sum()  # the mean weight of a training statement is one
        positives = training.concerns.sum(0)
        ratio = np.clip((len(training.concerns) - positives) / np.maximum(positives, 1), 1, 20)
        self.stance_weights = _tensor(stance).to(device)
        self.positive_weights = _tensor(ratio**weights.positive).to(device)
        self.weights = weights

    def __call__(self, logits: Logits, gold: Batch) -> Tensor:
        """Return the mean loss a passage: each passage counts the same, whatever batch it is in."""
        n = gold.stance.shape[0]
        loss = functional.cross_entropy(logits.stance, gold.stance, weight=self.stance_weights, reduction="sum")
        concerns = functional.binary_cross_entropy_with_logits(
            logits.concerns, gold.concerns, pos_weight=self.positive_weights, reduction="sum"
        )
        loss = loss + self.weights.concerns * concerns
        if self.weights.holder:
            kind = functional.cross_entropy(logits.holder_type, gold.holder_type, reduction="sum", ignore_index=IGNORE)
            ends = logits.span.transpose(1, 2).reshape(2 * n, -1)
            span = functional.cross_entropy(ends, gold.span.reshape(2 * n), reduction="sum", ignore_index=IGNORE)
            loss = loss + self.weights.holder * (kind + span / 2)
        return loss / n


def disagreement(a: Logits, b: Logits) -> Tensor:
    """Return how far two passes over the same passages disagree: the symmetric Kullback-Leibler divergence a passage.

    Half of KL(a, b) + KL(b, a) for stance, and summed over concerns (Liang et al. 2021, equation 2).
    """
    p, q = a.stance.log_softmax(-1), b.stance.log_softmax(-1)
    stance = ((p.exp() - q.exp()) * (p - q)).sum(-1)
    # for a Bernoulli, the difference of log odds times the difference of probabilities is the sum of both divergences
    concerns = ((a.concerns.sigmoid() - b.concerns.sigmoid()) * (a.concerns - b.concerns)).sum(-1)
    return (stance + concerns).mean() / 2


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
