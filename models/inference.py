"""Running the network over many passages: sorted by length, in batches of a bounded number of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from models.calibration import stable
from models.encoding import Encoded, collate, length_batches
from models.network import StanceNetwork
from models.scores import Scores, decode_span, empty_scores

__all__ = ["Scores", "decode_span", "run_network"]


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
        network: Is put into evaluation mode. On a GPU its products are taken in bfloat16.
        encoded: The passages as tokens.
        pad: The padding token's id.
        tokens: At most so many padded tokens a batch.
        advance: Called with the number of passages done, batch by batch.
    """
    network.eval()
    device = next(network.parameters()).device
    scores = empty_scores(
        len(encoded), *(int(h.out_features) for h in (network.stance, network.concerns, network.holder_type))
    )
    with torch.inference_mode(), torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        for batch in length_batches([len(e.ids) for e in encoded], tokens=tokens):
            logits = network(*(t.to(device) for t in collate([encoded[i] for i in batch], pad)))
            scores.stance[batch] = logits.stance.double().cpu().numpy()
            scores.concerns[batch] = logits.concerns.double().cpu().numpy()
            scores.holder_type[batch] = logits.holder_type.double().cpu().numpy()
            span = stable(logits.span.double().cpu().numpy())
            for row, i in enumerate(batch):
                scores.holder[i] = decode_span(span[row], encoded[i])
            advance(len(batch))
    return scores
