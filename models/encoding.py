"""From passages to token ids: templates, truncation, holder spans between characters and tokens, batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from corpus.errors import UsageError
from models.passage import Passage

if TYPE_CHECKING:
    import torch

CONTEXTS = ("none", "title", "before")


@dataclass(frozen=True, slots=True)
class Encoded:
    """One passage as token ids. ``own`` marks the tokens of the statement itself; ``offsets`` are their code points."""

    ids: tuple[int, ...]
    own: tuple[bool, ...]
    offsets: tuple[tuple[int, int], ...]


def encode(tokenizer: Any, passages: Sequence[Passage], *, context: str, max_length: int) -> list[Encoded]:
    """Tokenise passages.

    Args:
        tokenizer: A fast tokenizer of transformers.
        passages: What to read.
        context: ``none``; ``title``; or ``before`` (title and preceding text), as a second segment.
        max_length: In tokens, special ones included. The context is shortened first, the statement only when alone too long.

    Raises:
        UsageError: on an unknown context.
    """
    if context not in CONTEXTS:
        raise UsageError(f"context {context!r}: expected one of {', '.join(CONTEXTS)}")
    if not passages:
        return []
    texts = [p.text for p in passages]
    if context == "none":
        batch = tokenizer(texts, truncation=True, max_length=max_length, return_offsets_mapping=True)
        return [_encoded(batch, i) for i in range(len(texts))]
    room = max_length - tokenizer.num_special_tokens_to_add(pair=True)
    own = [_cut(tokenizer, t, room) for t in texts]
    context_room = [room - n for _, n in own]
    around = [
        _cut(tokenizer, _context(p, context), n)[0] if n > 0 else "" for p, n in zip(passages, context_room, strict=True)
    ]
    # Cutting between characters can make a token more of it, so the tokenizer's own limit stays as a second wall.
    batch = tokenizer([t for t, _ in own], around, truncation=True, max_length=max_length, return_offsets_mapping=True)
    return [_encoded(batch, i) for i in range(len(texts))]


def token_span(encoded: Encoded, start: int, end: int) -> tuple[int, int]:
    """Return the first and last token of a span of characters; (0, 0), the start token, where there is none."""
    inside = [i for i, (a, b) in enumerate(encoded.offsets) if encoded.own[i] and a < end and b > start and start >= 0]
    return (inside[0], inside[-1]) if inside else (0, 0)


def collate(batch: Sequence[Encoded], pad: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return ids, attention mask and own-token mask, each of shape (batch, longest), ready for the network."""
    import torch

    longest = max(len(e.ids) for e in batch)
    ids = np.full((len(batch), longest), pad, dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.int64)
    own = np.zeros((len(batch), longest), dtype=bool)
    for row, e in enumerate(batch):
        n = len(e.ids)
        ids[row, :n], mask[row, :n], own[row, :n] = e.ids, 1, e.own
    return torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(own)


def length_batches(lengths: Sequence[int], *, tokens: int) -> list[list[int]]:
    """Group indices into batches of similar length, longest first, each of at most ``tokens`` padded tokens."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        if batches and (len(batches[-1]) + 1) * lengths[batches[-1][0]] <= tokens:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def _cut(tokenizer: Any, text: str, room: int) -> tuple[str, int]:
    """Return the beginning of a text that fills at most ``room`` tokens, and how many it fills."""
    batch = tokenizer(text, add_special_tokens=False, truncation=True, max_length=room, return_offsets_mapping=True)
    offsets = batch["offset_mapping"]
    return (text[: offsets[-1][1]], len(offsets)) if offsets else ("", 0)


def _context(passage: Passage, context: str) -> str:
    parts = [passage.title or ""] if context == "title" else [passage.title or "", passage.before]
    return " ".join(p for p in parts if p)


def _encoded(batch: Any, i: int) -> Encoded:
    sequence = batch.sequence_ids(i)
    return Encoded(
        tuple(batch["input_ids"][i]),
        tuple(s == 0 for s in sequence),
        tuple((a, b) for a, b in batch["offset_mapping"][i]),
    )
