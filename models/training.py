"""Fine-tuning: one loop, fixed seeds, early stopping on development data."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim.swa_utils import AveragedModel

from annotation.codebook import Codebook
from corpus.errors import RecordError, TreatyStanceError
from corpus.identity import digest
from models.calibration import Calibration, fit_calibration
from models.checkpoint import (
    Progress,
    drop_checkpoint,
    load_checkpoint,
    optimizer_tensors,
    pack,
    restore_optimizer,
    save_checkpoint,
    shuffle_state,
    unpack,
)
from models.dataset import IGNORE, Example, Targets, soft_targets, targets, training_table
from models.device import CPU, own_randomness, products
from models.encoding import Encoded, collate, encode
from models.inference import Scores, run_network
from models.lexicon import Blend, blended, fit_blend, fit_lexicon, lexicon_scores
from models.loss import Batch, JointLoss, disagreement
from models.metrics import Counter, Decisions
from models.network import Lexicon, Sizes, StanceNetwork, load_encoder
from models.parameters import freeze, parameter_groups
from models.recipe import Recipe

__all__ = ["Extras", "Listener", "Recipe", "Taught", "Trained", "decisions", "fine_tune"]

Floats = NDArray[np.float64]


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


@dataclass(frozen=True)
class Taught:
    """A teacher's calibrated probabilities of the training examples: ``stance`` (n, stances), ``concerns`` (n, concerns).

    ``share`` (n,) is their part in each example's target; None: ``recipe.distil`` in all of them. ``named`` (n,) says of
    which examples it is known where the holder stands, or that nobody is named; None: of all. The others teach the span
    head nothing.
    """

    stance: Floats
    concerns: Floats
    share: Floats | None = None
    named: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Extras:
    """What a training run may be given besides data and recipe.

    ``warm`` is called with the encoder and its tokenizer before fine-tuning and changes the encoder's weights. ``taught``
    is mixed into the targets, ``recipe.distil`` its share. ``checkpoint`` is a folder that is written after each epoch and
    removed in the end; a run that finds its own there goes on from it. ``key`` names what a checkpoint depends on besides
    data and recipe. ``device`` is where the network learns, one of :data:`models.device.DEVICES`; the network that comes
    out is on the processor, and is calibrated there.
    """

    warm: Callable[[nn.Module, Any], object] | None = None
    taught: Taught | None = None
    checkpoint: Path | None = None
    key: str = ""
    device: str = CPU


def fine_tune(
    training: Sequence[Example],
    development: Sequence[Example],
    codebook: Codebook,
    recipe: Recipe,
    listener: Listener | None = None,
    extras: Extras | None = None,
) -> Trained:
    """Fine-tune an encoder with four heads; keep the epoch that does best on development data, and calibrate it there.

    The score that chooses is the mean of stance macro-F1 and concern macro-F1, concerns decided at the thresholds that
    development data prefer. On the processor the same data, recipe, versions and number of threads give the same weights,
    and so does a run that was stopped and goes on from its checkpoint; on a GPU the last digits vary.

    Raises:
        RecordError: when a stance or concern of the codebook has no training example, or a part is empty.
        TreatyStanceError: when the loss is not a number.
    """
    listener, extras = listener or Listener(), extras or Extras()
    _check_parts(training, development, codebook)
    device = torch.device(extras.device)
    with own_randomness(device):
        torch.manual_seed(recipe.seed)
        encoder, tokenizer = load_encoder(recipe.encoder)
        sizes = Sizes(len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
        network = StanceNetwork(encoder, sizes, recipe.dropout).to(device)
        run = _Run(network, tokenizer, (training, development), codebook, recipe, extras)
        if not run.resumed() and extras.warm is not None:
            extras.warm(encoder, tokenizer)
        return run.finish(listener)


class _Run:
    """One run: material, network, optimizer, and how far it has come."""

    def __init__(
        self,
        network: StanceNetwork,
        tokenizer: Any,
        parts: tuple[Sequence[Example], Sequence[Example]],
        codebook: Codebook,
        recipe: Recipe,
        extras: Extras,
    ) -> None:
        self.network, self.tokenizer, self.recipe, self.extras = network, tokenizer, recipe, extras
        self.device = torch.device(extras.device)
        self.encoded, self.held_out = (
            encode(tokenizer, [e.passage for e in part], context=recipe.context, max_length=recipe.max_length)
            for part in parts
        )
        table = training_table(parts[0], self.encoded, codebook)
        self.columns = {name: np.array(table[name][:]) for name in ("holder_type", "span")}
        soft = soft_targets(parts[0], codebook, recipe.soft_labels)
        self.columns["stance"], self.columns["concerns"] = _taught(soft, extras.taught, recipe.distil)
        if extras.taught is not None and extras.taught.named is not None:
            self.columns["span"][~extras.taught.named] = IGNORE
        learned, self.y = targets(parts[0], codebook), targets(parts[1], codebook)
        sizes = (len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
        self.loss_of = JointLoss(learned, sizes[:2], recipe.weights, extras.device)
        self.counter = Counter(sizes[0], sizes[1], (), ())
        self.lexicon: Lexicon | None = None
        if recipe.lexicon:
            vocabulary = int(network.encoder.config.vocab_size)  # type: ignore[union-attr, arg-type]
            self.lexicon = fit_lexicon(self.encoded, learned, sizes, vocabulary, recipe.lexicon)
        freeze(network, word_embeddings=recipe.freeze_word_embeddings, layers=recipe.freeze_layers)
        groups = parameter_groups(
            network,
            learning_rate=recipe.learning_rate,
            head_learning_rate=recipe.head_learning_rate,
            layer_decay=recipe.layer_decay,
            weight_decay=recipe.weight_decay,
        )
        self.optimizer = torch.optim.AdamW(groups)
        self.average = AveragedModel(network, multi_avg_fn=_running_mean(recipe.average)) if recipe.average else None
        self.rng = random.Random(recipe.seed)  # noqa: S311  # an order of batches, not a secret
        self.steps = recipe.epochs * math.ceil(len(self.encoded) / recipe.batch_size)
        self.step = self.epoch = 0
        self.history: list[dict[str, float]] = []
        self.best: tuple[int, dict[str, torch.Tensor]] | None = None
        seen = [[e.statement.id, e.gold, e.readings if recipe.soft_labels else ()] for part in parts for e in part]
        sides = [len(part) for part in parts]
        key = [seen, sides, codebook.id, recipe, str(torch.__version__), extras.key]
        key += [] if extras.device == CPU else [extras.device]
        self.key = digest(msgspec.json.encode(key).decode())

    def finish(self, listener: Listener) -> Trained:
        """Train to the end; return the best epoch's network, calibrated."""
        if self.average is not None and not self.history:
            self.average.module.load_state_dict(self.network.state_dict())  # a warm start has changed it
        while self.epoch < self.recipe.epochs and not self._at_rest():
            loss = self._learn(listener)
            self.epoch += 1
            scores, _ = self._scores(self._kept())
            calibration = fit_calibration(scores.stance, self.y.stance, scores.concerns, self.y.concerns)
            row = {"epoch": float(self.epoch), "loss": loss, **_development(scores, self.y, calibration, self.counter)}
            if all(row["score"] > before["score"] for before in self.history):
                self.best = self.epoch, copy.deepcopy(self._kept().state_dict())
            self.history.append(row)
            self._save()
            listener.epoch(row)
        assert self.best is not None  # noqa: S101  # epochs is at least one
        self.network.load_state_dict(self.best[1])
        self.network.to(CPU).eval()
        scores, blend = self._scores(self.network)
        if self.lexicon is not None:
            self.lexicon.blend.copy_(torch.tensor(blend))
            self.network.lexicon = self.lexicon
        calibration = fit_calibration(scores.stance, self.y.stance, scores.concerns, self.y.concerns)
        if self.extras.checkpoint is not None:
            drop_checkpoint(self.extras.checkpoint)
        return Trained(self.network, self.tokenizer, self.recipe, calibration, tuple(self.history), self.best[0])

    def resumed(self) -> bool:
        """Take up this run's own checkpoint; False where there is none."""
        found = load_checkpoint(self.extras.checkpoint, self.key) if self.extras.checkpoint is not None else None
        if found is None:
            return False
        progress, tensors = found
        self.network.load_state_dict(unpack("network", tensors))
        if self.average is not None:
            self.average.load_state_dict(unpack("average", tensors))
        restore_optimizer(self.optimizer, unpack("optimizer", tensors))
        self.best = progress.best_epoch, unpack("best", tensors)
        self.history, self.epoch, self.step = list(progress.history), progress.epoch, progress.step
        self.rng.setstate(progress.shuffle)
        return True

    def _save(self) -> None:
        assert self.best is not None  # noqa: S101  # the first epoch is the best so far
        if self.extras.checkpoint is None:
            return
        tensors = {
            **pack("network", self.network.state_dict()),
            **pack("best", self.best[1]),
            **pack("optimizer", optimizer_tensors(self.optimizer)),
            **(pack("average", self.average.state_dict()) if self.average is not None else {}),
        }
        progress = Progress(
            key=self.key,
            epoch=self.epoch,
            step=self.step,
            history=tuple(self.history),
            best_epoch=self.best[0],
            shuffle=shuffle_state(self.rng),
        )
        save_checkpoint(self.extras.checkpoint, progress, tensors)

    def _at_rest(self) -> bool:
        return self.best is not None and self.epoch - self.best[0] >= self.recipe.patience

    def _kept(self) -> StanceNetwork:
        """Return the network whose scores count: the running mean where there is one."""
        return self.network if self.average is None else self.average.module  # type: ignore[return-value]  # a copy of it

    def _scores(self, network: StanceNetwork) -> tuple[Scores, tuple[tuple[float, float], ...]]:
        """Return development scores, blended with the lexicon's where there is one, and the weights of the blend."""
        own = run_network(network, self.held_out, pad=self.tokenizer.pad_token_id)
        if self.lexicon is None:
            return own, ()
        halves = Blend(own, lexicon_scores(self.lexicon, self.held_out, own))
        weights = fit_blend(halves, self.y)
        return blended(halves, weights), weights

    def _learn(self, listener: Listener) -> float:
        """Run one epoch; return its mean loss a passage."""
        self.network.train()
        total = 0.0
        for batch in _shuffled(self.encoded, self.recipe.batch_size, self.rng):
            rate = _warm_linear(self.step, self.steps, self.recipe.warmup)
            for group in self.optimizer.param_groups:
                group["lr"] = group["base"] * rate
            self.optimizer.zero_grad()
            for part in np.array_split(batch, min(self.recipe.accumulation, len(batch))):
                loss = self._loss(part)
                if not torch.isfinite(loss):
                    raise TreatyStanceError(
                        f"epoch {self.epoch + 1}: the loss is {loss.item()}, expected a number; lower the learning rate "
                        f"(it is {self.recipe.learning_rate:g}) or use an encoder that works in 32-bit floats"
                    )
                (loss * (len(part) / len(batch))).backward()  # type: ignore[no-untyped-call]
                total += loss.item() * len(part)
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
            self.optimizer.step()
            self.step += 1
            if self.average is not None:
                self.average.update_parameters(self.network)
            listener.advance(len(batch))
        return total / len(self.encoded)

    def _loss(self, batch: NDArray[np.int64]) -> torch.Tensor:
        gold = Batch(
            *(
                torch.from_numpy(self.columns[name][batch]).to(self.device)
                for name in ("stance", "concerns", "holder_type", "span")
            )
        )
        ids, mask, own = collate([self.encoded[i] for i in batch], self.tokenizer.pad_token_id)
        if self.recipe.mask:
            ids = ids.masked_fill((torch.rand(ids.shape) < self.recipe.mask) & own, self.tokenizer.mask_token_id)
        passages = [t.to(self.device) for t in (ids, mask, own)]
        with products(self.device, self.recipe.precision):
            logits = self.network(*passages)
        loss = self.loss_of(logits.float(), gold)
        if not self.recipe.agreement:
            return loss
        with products(self.device, self.recipe.precision):
            again = self.network(*passages)
        loss = (loss + self.loss_of(again.float(), gold)) / 2
        return loss + self.recipe.agreement * disagreement(logits.float(), again.float())


def _running_mean(decay: float) -> Callable[..., None]:
    """Return an update of running means whose memory grows up to the decay: short runs are not stuck at the start."""

    @torch.no_grad()
    def update(kept: Sequence[torch.Tensor], current: Sequence[torch.Tensor], count: torch.Tensor) -> None:
        n = float(count)
        torch._foreach_lerp_(list(kept), list(current), 1 - min(decay, (1 + n) / (10 + n)))

    return update


def _taught(
    soft: tuple[NDArray[np.float32], NDArray[np.float32]], taught: Taught | None, share: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    if taught is None:
        return soft
    part = share if taught.share is None else taught.share[:, None]
    mixed = [(1 - part) * a + part * b for a, b in ((soft[0], taught.stance), (soft[1], taught.concerns))]
    return mixed[0].astype(np.float32), mixed[1].astype(np.float32)


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
