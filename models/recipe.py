"""The recipe: all that training depends on besides the data."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from models.encoding import CONTEXTS

PACKAGED = "packaged-minilm"
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True)
class LossWeights:
    """How much each head counts, and how far rare labels are lifted.

    ``concerns`` multiplies the sum over concerns, ``holder`` the holder type and span. ``balance`` is the exponent b of a
    stance weight (n / (k n_c))^b: 0 leaves classes as they are, 1 makes them count the same. ``positive`` is the
    exponent of a concern's ratio of negatives to positives, the weight of its positive cases.
    """

    concerns: float = 1.0
    holder: float = 1.0
    balance: float = 0.5
    positive: float = 0.5


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that training depends on besides the data. The defaults are for the packaged encoder.

    ``batch_size`` passages make one step; ``accumulation`` computes them in that many parts, for less memory and, dropout
    aside, the same step. ``layer_decay`` multiplies the learning rate once for each layer further from the heads (Howard &
    Ruder 2018, section 3.2); the lowest ``freeze_layers`` layers stay as they are. ``patience`` is the number of epochs
    without a better development score after which training stops. ``precision`` is that of the network's matrix products
    while it learns (weights, loss and everything after training are 32-bit floats): ``fp32``, ``bf16``, or ``auto``, which
    takes bf16 where the processor computes it natively.

    ``average`` is the decay per step of a running mean of the weights, which then is the network that is kept; 0 keeps the
    weights themselves. ``soft_labels`` is the share of the annotators' own readings in the target, the rest is gold.
    ``distil`` is the share of a teacher's probabilities in the target where there is a teacher (Hinton et al. 2015).
    ``agreement`` weighs the disagreement of two passes with different dropout (Liang et al. 2021, equation 4), at twice
    the cost. ``mask`` hides that share of a statement's word pieces in training.

    ``lexicon`` is the inverse regularisation of linear heads over the statement's word pieces
    (:mod:`models.lexicon`) that are blended with the network's own; 0 leaves them out.
    """

    encoder: str = PACKAGED
    context: str = "none"
    max_length: int = 128
    epochs: int = 10
    batch_size: int = 32
    accumulation: int = 1
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float = 0.1
    patience: int = 4
    freeze_word_embeddings: bool = True
    freeze_layers: int = 0
    clip: float = 1.0
    precision: str = "auto"
    weights: LossWeights = msgspec.field(default_factory=LossWeights)
    average: float = 0.0
    soft_labels: float = 0.0
    distil: float = 0.5
    agreement: float = 0.0
    mask: float = 0.0
    lexicon: float = 5.0
    seed: int = 0

    def __post_init__(self) -> None:
        for field, known in (("context", CONTEXTS), ("precision", PRECISIONS)):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} is {getattr(self, field)!r}, expected one of {', '.join(known)}")
        for field in ("epochs", "batch_size", "accumulation"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}, expected 1 or more")
        for field in ("average", "soft_labels", "distil", "mask", "dropout"):
            if not 0 <= getattr(self, field) <= 1:
                raise ValueError(f"{field} is {getattr(self, field)}, expected a share between 0 and 1")
