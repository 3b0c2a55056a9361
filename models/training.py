"""Fine-tuning: one loop, fixed seeds, early stopping on development data."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from annotation.codebook import Codebook
from corpus.errors import RecordError, TreatyStanceError
from models.calibration import Calibration, fit_calibration
from models.dataset import Example, Targets, targets, training_table
from models.encoding import CONTEXTS, Encoded, collate, encode
from models.inference import Scores, run_network
from models.loss import Batch, JointLoss, LossWeights
from models.metrics import Counter, Decisions
from models.network import PACKAGED, Sizes, StanceNetwork, load_encoder


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that training depends on besides the data. The defaults are for the packaged encoder.

    ``layer_decay`` multiplies the learning rate once for each layer further from the heads (Howard & Ruder 2018, section
    3.2). ``patience`` is the number of epochs without a better development score after which training stops.
    ``precision`` is that of the network's matrix products while it learns (weights, loss and everything after training are
    32-bit floats): ``fp32``, ``bf16``, or ``auto``, which takes bf16 where the processor computes it natively.
    """

    encoder: str = PACKAGED
    context: str = "none"
    max_length: int = 128
    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 3e-4
    head_learning_rate: float = 1e-3
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float = 0.1
    patience: int = 4
    freeze_word_embeddings: bool = True
    clip: float = 1.0
    precision: str = "auto"
    weights: LossWeights = msgspec.field(default_factory=LossWeights)
    seed: int = 0

    def __post_init__(self) -> None:
        for field, known in (("context", CONTEXTS), ("precision", ("auto", "fp32", "bf16"))):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} is {getattr(self, field)!r}, expected one of {', '.join(known)}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(f"epochs is {self.epochs}, batch_size is {self.batch_size}, expected 1 or more")


@dataclass(frozen=True)
class Trained:
    """A fitted network with what is needed to use it, and one row an epoch of how it went."""

    network: StanceNetwork
    tokenizer: Any
    recipe: Recipe
    calibration: Calibration
    history: tuple[dict[str, float], ...]
    best_epoch: int


@dataclass(frozen=True)
class Listener:
    """What training tells whoever watches: the number of passages done, and each epoch's row."""

    advance: Callable[[int], object] = lambda n: None
    epoch: Callable[[dict[str, float]], object] = lambda row: None


def fine_tune(
    training: Sequence[Example],
    development: Sequence[Example],
    codebook: Codebook,
    recipe: Recipe,
    listener: Listener | None = None,
) -> Trained:
    """Fine-tune an encoder with four heads; keep the epoch that does best on development data, and calibrate it there.

    The score that chooses is the mean of stance macro-F1 and concern macro-F1, concerns decided at the thresholds that
    development data prefer. The same data, recipe, versions and number of threads give the same weights.

    Raises:
        RecordError: when a stance or concern of the codebook has no training example, or a part is empty.
        TreatyStanceError: when the loss is not a number.
    """
    listener = listener or Listener()
    _check_parts(training, development, codebook)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        encoder, tokenizer = load_encoder(recipe.encoder)
        sizes = Sizes(len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
        network = StanceNetwork(encoder, sizes, recipe.dropout)
        return _fit(network, tokenizer, (training, development), codebook, recipe, listener)


def _fit(
    network: StanceNetwork,
    tokenizer: Any,
    parts: tuple[Sequence[Example], Sequence[Example]],
    codebook: Codebook,
    recipe: Recipe,
    listener: Listener,
) -> Trained:
    encoded, held_out = (
        encode(tokenizer, [e.passage for e in part], context=recipe.context, max_length=recipe.max_length) for part in parts
    )
    table = training_table(parts[0], encoded, codebook)
    y = targets(parts[1], codebook)
    columns = {name: np.array(table[name][:]) for name in ("stance", "concerns", "holder_type", "span")}
    loss_of = JointLoss(targets(parts[0], codebook), (len(codebook.stances), len(codebook.concerns)), recipe.weights)
    steps = recipe.epochs * math.ceil(len(encoded) / recipe.batch_size)
    optimizer = torch.optim.AdamW(_groups(network, recipe))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: _warm_linear(s, steps, recipe.warmup))
    rng = random.Random(recipe.seed)  # noqa: S311  # an order of batches, not a secret
    counter = Counter(len(codebook.stances), len(codebook.concerns), (), ())
    half = recipe.precision == "bf16" or (recipe.precision == "auto" and native_bf16())

    history: list[dict[str, float]] = []
    best: tuple[float, int, dict[str, torch.Tensor], Calibration] | None = None
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        total = 0.0
        for batch in _shuffled(encoded, recipe.batch_size, rng):
            gold = Batch(*(torch.from_numpy(columns[n][batch]) for n in ("stance", "concerns", "holder_type", "span")))
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
                logits = network(*collate([encoded[i] for i in batch], tokenizer.pad_token_id))
            loss = loss_of(logits.float(), gold)
            if not torch.isfinite(loss):
                raise TreatyStanceError(
                    f"epoch {epoch}: the loss is {loss.item()}, expected a number; lower the learning rate "
                    f"(it is {recipe.learning_rate:g}) or use an encoder that works in 32-bit floats"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch)
            listener.advance(len(batch))
        scores = run_network(network, held_out, pad=tokenizer.pad_token_id)
        calibration = fit_calibration(scores.stance, y.stance, scores.concerns, y.concerns)
        row = {"epoch": float(epoch), "loss": total / len(encoded), **_development(scores, y, calibration, counter)}
        history.append(row)
        listener.epoch(row)
        if best is None or row["score"] > best[0]:
            best = (row["score"], epoch, copy.deepcopy(network.state_dict()), calibration)
        elif epoch - best[1] >= recipe.patience:
            break
    assert best is not None  # noqa: S101  # epochs is at least one
    network.load_state_dict(best[2])
    network.eval()
    return Trained(network, tokenizer, recipe, best[3], tuple(history), best[1])


def native_bf16() -> bool:
    """Return whether the processor has instructions for bf16 products; without them bf16 is slower than 32-bit floats."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def decisions(scores: Scores, y: Targets, calibration: Calibration) -> Decisions:
    """Turn scores into calibrated decisions beside their gold labels."""
    stance = calibration.stance(scores.stance)
    concerns = calibration.decide_concerns(calibration.concerns(scores.concerns))
    return Decisions(y.stance, stance.argmax(1), y.concerns > 0, concerns, stance.max(1))


def _development(scores: Scores, y: Targets, calibration: Calibration, counter: Counter) -> dict[str, float]:
    metrics = counter.metrics(counter.counts(decisions(scores, y, calibration)).sum(0))
    stance, concern = float(metrics["stance_macro_f1", None]), float(metrics["concern_macro_f1", None])
    probability = calibration.stance(scores.stance)[np.arange(len(y.stance)), y.stance]
    return {
        "stance_macro_f1": stance,
        "concern_macro_f1": concern,
        "log_loss": float(-np.log(np.clip(probability, 1e-12, None)).mean()),
        "holder_exact": float((scores.holder == y.holder).all(1).mean()),
        "holder_type_accuracy": float((scores.holder_type.argmax(1) == y.holder_type).mean()),
        "score": (stance + concern) / 2,
    }


def _groups(network: StanceNetwork, recipe: Recipe) -> list[dict[str, Any]]:
    """Give each parameter its learning rate: heads their own, encoder layers less the deeper they lie."""
    layers = int(network.encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    if recipe.freeze_word_embeddings:
        network.encoder.get_input_embeddings().weight.requires_grad_(False)  # type: ignore[operator]
    groups = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = recipe.head_learning_rate
        if name.startswith("encoder."):
            numbers = [int(part) for part in name.split(".") if part.isdigit()]
            depth = layers - 1 - numbers[0] if numbers else layers
            rate = recipe.learning_rate * recipe.layer_decay**depth
        decay = recipe.weight_decay if parameter.ndim > 1 else 0.0  # biases and norms are not shrunk
        groups.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return groups


def _warm_linear(step: int, steps: int, warmup: float) -> float:
    """Rise linearly over the first share ``warmup`` of the steps, then fall linearly to zero."""
    return min(1.0, (step + 1) / max(1.0, warmup * steps)) * max(0.0, (steps - step) / steps)


def _shuffled(encoded: Sequence[Encoded], size: int, rng: random.Random) -> Iterator[NDArray[np.int64]]:
    """Yield batches of indices in random order; within stretches of eight batches passages are sorted by length."""
    order = list(range(len(encoded)))
    rng.shuffle(order)
    batches = []
    for i in range(0, len(order), 8 * size):
        stretch = sorted(order[i : i + 8 * size], key=lambda j: len(encoded[j].ids))
        batches += [stretch[j : j + size] for j in range(0, len(stretch), size)]
    rng.shuffle(batches)
    for batch in batches:
        yield np.array(batch)


def _check_parts(training: Sequence[Example], development: Sequence[Example], codebook: Codebook) -> None:
    if not training or not development:
        raise RecordError("training needs labelled statements in the train and the development part; one of them is empty")
    seen = {e.gold.stance for e in training} | {c for e in training for c in e.gold.concerns}
    absent = [label for label in (*codebook.stance_ids, *codebook.concern_ids) if label not in seen]
    if absent:
        raise RecordError(
            f"no training example for {', '.join(absent)}: a model cannot learn a label without one; "
            "annotate some, or take the label out of the codebook"
        )
