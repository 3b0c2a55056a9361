"""Raw scores of passages, and the span that they point at. Needs no network library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.encoding import Encoded

Floats = NDArray[np.float64]
_LONGEST_HOLDER = 16  # tokens; the longest of the 824 in the reference corpus has 14


@dataclass(frozen=True)
class Scores:
    """Raw outputs for n passages: logits of the label heads, and the holder as offsets (n, 2), -1 where nobody is named."""

    stance: Floats
    concerns: Floats
    holder_type: Floats
    holder: NDArray[np.int64]


def empty_scores(passages: int, stances: int, concerns: int, holder_types: int) -> Scores:
    """Return room for the scores of so many passages: zeros, and no holder."""
    stance, concern, kind = (np.zeros((passages, n)) for n in (stances, concerns, holder_types))
    return Scores(stance, concern, kind, np.full((passages, 2), -1, dtype=np.int64))


def decode_span(scores: NDArray[Any], encoded: Encoded) -> tuple[int, int]:
    """Return the best-scored span as offsets in code points, (-1, -1) where "nobody" scores at least as well.

    Args:
        scores: (tokens or more, 2) start and end scores; position 0 stands for nobody.
        encoded: The passage; a span lies within the statement's own tokens.
    """
    own = [i for i, mine in enumerate(encoded.own) if mine and encoded.offsets[i][1] > encoded.offsets[i][0]]
    if not own:
        return (-1, -1)
    total = scores[own, 0][:, None] + scores[own, 1][None, :]
    length = np.subtract.outer(np.arange(len(own)), np.arange(len(own))).T  # end minus start, in tokens
    total = np.where((length >= 0) & (length < _LONGEST_HOLDER), total, -np.inf)
    best = int(total.argmax())
    first, last = divmod(best, len(own))
    if total[first, last] <= scores[0].sum():
        return (-1, -1)
    return encoded.offsets[own[first]][0], encoded.offsets[own[last]][1]
