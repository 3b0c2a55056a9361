"""Running the network over many passages: sorted by length, in batches of a bounded number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.calibration import stable
from models.encoding import Encoded, collate, length_batches
from models.network import StanceNetwork

Floats = NDArray[np.float64]
_LONGEST_HOLDER = 16  # tokens; the longest of the 824 in the reference corpus has 14


@dataclass(frozen=True)
class Scores:
    """Raw outputs for n passages: logits of the label heads, and the holder as offsets (n, 2), -1 where nobody is named."""

    stance: Floats
    concerns: Floats
    holder_type: Floats
    holder: NDArray[np.int64]


def run_network(
    network: StanceNetwork,
    encoded: Sequence[Encoded],
    *,
    pad: int,
    tokens: int = 2048,
    advance: Callable[[int], object] = lambda n: None,
) -> Scores:
    """Score passages, in the order given.

    Args:
        network: Is put into evaluation mode.
        encoded: The passages as tokens.
        pad: The padding token's id.
        tokens: At most so many padded tokens a batch.
        advance: Called with the number of passages done, batch by batch.
    """
    network.eval()
    sizes = [int(head.out_features) for head in (network.stance, network.concerns, network.holder_type)]
    stance, concerns, holder_type = (np.zeros((len(encoded), size)) for size in sizes)
    holder = np.full((len(encoded), 2), -1, dtype=np.int64)
    with torch.inference_mode():
        for batch in length_batches([len(e.ids) for e in encoded], tokens=tokens):
            logits = network(*collate([encoded[i] for i in batch], pad))
            stance[batch] = logits.stance.double().numpy()
            concerns[batch] = logits.concerns.double().numpy()
            holder_type[batch] = logits.holder_type.double().numpy()
            span = stable(logits.span.double().numpy())
            for row, i in enumerate(batch):
                holder[i] = decode_span(span[row], encoded[i])
            advance(len(batch))
    return Scores(stance, concerns, holder_type, holder)


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
