"""Embeddings: what an encoder makes of texts as it is, without having learned from labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from models.passage import Passage

_LONGEST = 256  # tokens that an embedding reads
_TOKENS = 2048  # padded ones in a batch


def embedder(name: str) -> Callable[[Sequence[Passage]], NDArray[np.float32]]:
    """Return what embeds passages, shape (passages, width): the mean of their own tokens' vectors, as the network pools.

    Args:
        name: Of an encoder: the packaged one's, a folder, or a Hugging Face name.

    Raises:
        UsageError: when there is no such encoder.
    """
    import torch

    from models.encoding import collate, encode, length_batches
    from models.network import load_encoder

    encoder, tokenizer = load_encoder(name)
    encoder.eval()
    longest = min(_LONGEST, int(encoder.config.max_position_embeddings))  # type: ignore[union-attr, arg-type]  # every encoder has it

    def embed(passages: Sequence[Passage]) -> NDArray[np.float32]:
        encoded = encode(tokenizer, passages, context="none", max_length=longest)
        out: dict[int, NDArray[np.float32]] = {}
        with torch.inference_mode():
            for batch in length_batches([len(e.ids) for e in encoded], tokens=_TOKENS):
                ids, mask, own = collate([encoded[i] for i in batch], tokenizer.pad_token_id)
                hidden = encoder(input_ids=ids, attention_mask=mask).last_hidden_state
                weight = own.unsqueeze(-1).to(hidden.dtype)
                pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
                out.update(zip(batch, pooled.numpy(), strict=True))
        return np.stack([out[i] for i in range(len(encoded))])

    return embed
