"""Variants of the network and its input that the recipe does not offer, to be tried by ``recipes.py --variant``.

A variant earns its place in ``models`` with a row in ``results/recipes.jsonl``; until then it lives here. It runs in the
process of one training: it may change the fold's examples, and put other parts in place of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import torch
from torch import Tensor

from models import training
from models.dataset import Example
from models.network import Logits, StanceNetwork
from pipelines.experiment import Fold

TARGET = "United Nations Convention against Cybercrime"
_EPSILON = 1.0  # length of the adversarial step, a passage (Miyato et al. 2017, section 5)
_TEMPERATURE = 0.1  # Khosla et al. 2020, section 4


def target_as_input(fold: Fold) -> Fold:
    """Read the target's name as a second segment; wants ``context=title``."""
    return _titled(fold, lambda e: TARGET)


def date_and_title(fold: Fold) -> Fold:
    """Read day and title as a second segment; wants ``context=title``."""
    return _titled(fold, lambda e: f"{e.document.published or ''} {e.document.title or ''}".strip())


def pooling_first(fold: Fold) -> Fold:
    """Pool by taking the first token, as BERT's own classifier does (Devlin et al. 2019, section 3.2)."""
    _pool(lambda hidden, own: hidden[:, 0])
    return fold


def pooling_max(fold: Fold) -> Fold:
    """Pool by the greatest value of each dimension over the statement's tokens."""
    _pool(lambda hidden, own: hidden.masked_fill(~own.unsqueeze(-1), -1e4).amax(1))
    return fold


def adversarial(fold: Fold) -> Fold:
    """Add the loss at embeddings moved along the gradient of the loss (Miyato et al. 2017, equation 6)."""
    plain = training._Run._loss  # the point of this file

    def loss(run: training._Run, batch: training.NDArray[training.np.int64]) -> Tensor:
        inner = run.network.encoder.embeddings
        kept: list[Tensor] = []

        def keep(module: object, given: object, out: Tensor) -> Tensor:
            kept.append(out.detach().requires_grad_())
            return kept[0]

        state = torch.get_rng_state()
        handle = inner.register_forward_hook(keep)
        (gradient,) = torch.autograd.grad(plain(run, batch), kept)
        handle.remove()
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-12)
        step = _EPSILON * gradient / length[:, None, None]
        torch.set_rng_state(state)
        first = plain(run, batch)
        handle = inner.register_forward_hook(lambda module, given, out: out + step)
        torch.set_rng_state(state)
        second = plain(run, batch)
        handle.remove()
        return (first + second) / 2

    training._Run._loss = loss  # type: ignore[method-assign]
    return fold


VARIANTS: dict[str, Callable[[Fold], Fold]] = {
    f.__name__: f for f in (target_as_input, date_and_title, pooling_first, pooling_max, adversarial)
}


def _titled(fold: Fold, title: Callable[[Example], str]) -> Fold:
    def change(e: Example) -> Example:
        return replace(e, document=msgspec.structs.replace(e.document, title=title(e)))

    parts = (fold.training, fold.development, fold.held_out)
    return Fold(*(tuple(change(e) for e in part) for part in parts))


def _pool(pool: Callable[[Tensor, Tensor], Tensor]) -> None:
    class Pooled(StanceNetwork):
        def forward(self, ids: Tensor, mask: Tensor, own: Tensor) -> Logits:
            hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
            pooled = self.dropout(pool(hidden, own))
            pointable = own.clone()
            pointable[:, 0] = True
            span = self.span(self.dropout(hidden)).masked_fill(~pointable.unsqueeze(-1), -1e4)
            named = self.dropout((hidden * span.softmax(dim=1).mean(-1, keepdim=True)).sum(1))
            kind = self.holder_type(torch.cat([pooled, named], dim=-1))
            logits = Logits(self.stance(pooled), self.concerns(pooled), kind, span)
            return logits if self.lexicon is None else self._blended(logits, self.lexicon, ids, own)

    training.StanceNetwork = Pooled  # type: ignore[misc]
