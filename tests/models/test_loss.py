"""The joint loss, against sums done by hand and its gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from models.dataset import IGNORE, Targets
from models.loss import Batch, JointLoss, LossWeights, disagreement
from models.network import Logits


def gold(stance: list[int], concerns: list[list[float]], kinds: list[int]) -> Targets:
    n = len(stance)
    return Targets(np.array(stance), np.array(concerns, dtype=np.float32), np.array(kinds), np.full((n, 2), -1))


def batch(y: Targets) -> Batch:
    return Batch(
        torch.from_numpy(y.stance),
        torch.from_numpy(y.concerns),
        torch.from_numpy(y.holder_type),
        torch.zeros((len(y.stance), 2), dtype=torch.long),
    )


def logits(n: int, *, seed: int = 0, tokens: int = 5) -> Logits:
    g = torch.Generator().manual_seed(seed)
    shapes = ((n, 2), (n, 1), (n, 3), (n, tokens, 2))
    return Logits(*(torch.randn(s, generator=g, requires_grad=True) for s in shapes))


def test_the_loss_of_indifferent_logits_by_hand() -> None:
    y = gold([0, 1], [[1.0], [0.0]], [0, 2])
    flat = Logits(torch.zeros(2, 2), torch.zeros(2, 1), torch.zeros(2, 3), torch.zeros(2, 5, 2))
    loss = JointLoss(y, (2, 1), LossWeights(concerns=2.0, holder=0.5))(flat, batch(y))
    # stance ln 2, one concern 2 ln 2, holder type ln 3 / 2, span (ln 5 + ln 5) / 4; all weights are one for balanced data
    assert loss.item() == pytest.approx(math.log(2) + 2 * math.log(2) + math.log(3) / 2 + math.log(5) / 2)


def test_rare_classes_weigh_more_and_the_mean_weight_is_one() -> None:
    y = gold([0, 0, 0, 1], [[1.0], [0.0], [0.0], [0.0]], [0, 0, 0, 0])
    full = JointLoss(y, (2, 1), LossWeights(balance=1.0, positive=1.0))
    assert full.stance_weights.tolist() == pytest.approx([4 / 6, 4 / 2])
    assert full.positive_weights.tolist() == pytest.approx([3.0])
    none = JointLoss(y, (2, 1), LossWeights(balance=0.0, positive=0.0))
    assert none.stance_weights.tolist() == [1.0, 1.0]
    assert none.positive_weights.tolist() == [1.0]


def test_the_loss_of_two_halves_is_the_loss_of_the_whole() -> None:
    y = gold([0, 1, 1, 0], [[1.0], [0.0], [1.0], [1.0]], [0, 1, 2, 0])
    z = logits(4)
    loss_of = JointLoss(y, (2, 1), LossWeights())

    def part(rows: slice) -> torch.Tensor:
        whole = batch(y)
        return loss_of(
            Logits(z.stance[rows], z.concerns[rows], z.holder_type[rows], z.span[rows]),
            Batch(whole.stance[rows], whole.concerns[rows], whole.holder_type[rows], whole.span[rows]),
        )

    torch.testing.assert_close((part(slice(0, 2)) + part(slice(2, 4))) / 2, part(slice(0, 4)))


def test_an_unknown_holder_type_and_a_switched_off_head_give_no_gradient() -> None:
    y = gold([0, 1], [[1.0], [0.0]], [IGNORE, IGNORE])
    z = logits(2)
    JointLoss(y, (2, 1), LossWeights())(z, batch(y)).backward()
    assert z.holder_type.grad is not None
    assert not z.holder_type.grad.any()
    assert z.stance.grad is not None
    assert z.stance.grad.any()
    z = logits(2)
    JointLoss(y, (2, 1), LossWeights(concerns=0.0, holder=0.0))(z, batch(y)).backward()
    assert z.span.grad is None
    assert z.concerns.grad is not None
    assert not z.concerns.grad.any()


def test_a_holder_that_is_not_known_gives_no_gradient() -> None:
    y = gold([0, 1], [[1.0], [0.0]], [0, 1])
    z, known = logits(2), batch(y)
    span = torch.tensor([[2, 3], [IGNORE, IGNORE]])
    JointLoss(y, (2, 1), LossWeights())(z, Batch(known.stance, known.concerns, known.holder_type, span)).backward()
    assert z.span.grad is not None
    assert z.span.grad[0].any()
    assert not z.span.grad[1].any()


def test_shares_that_are_all_on_one_label_are_that_label() -> None:
    y = gold([0, 1, 1], [[1.0], [0.0], [0.0]], [0, 1, 2])
    z = logits(3)
    loss_of = JointLoss(y, (2, 1), LossWeights(balance=1.0))
    hard = batch(y)
    shares = Batch(torch.eye(2)[hard.stance], hard.concerns, hard.holder_type, hard.span)
    assert loss_of(z, shares).item() == pytest.approx(loss_of(z, hard).item(), rel=1e-6)


def test_disagreement_by_hand() -> None:
    def of(stance: list[float], concern: float) -> Logits:
        return Logits(torch.tensor([stance]).log(), torch.tensor([[concern]]), torch.zeros(1, 3), torch.zeros(1, 2, 2))

    a, b = of([0.5, 0.5], 0.0), of([0.8, 0.2], 1.0)
    assert disagreement(a, a).item() == 0.0
    p = 1 / (1 + math.exp(-1.0))

    def divergence(q: list[float], r: list[float]) -> float:
        return sum(x * math.log(x / y) for x, y in zip(q, r, strict=True))

    pairs = (([0.5, 0.5], [0.8, 0.2]), ([0.5, 0.5], [p, 1 - p]))
    expected = sum(divergence(q, r) + divergence(r, q) for q, r in pairs) / 2
    assert disagreement(a, b).item() == pytest.approx(expected, rel=1e-5)
    assert disagreement(b, a).item() == pytest.approx(expected, rel=1e-5)
