"""Warm start: fine-tune an encoder on outside stance data first, with heads that are thrown away afterwards.

The target is the second segment, so that the encoder learns to read a text towards something. Nothing of the sets stays but
the encoder's weights.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from corpus.errors import RecordError, TreatyStanceError
from corpus.identity import digest
from models.device import own_randomness, products
from models.encoding import length_batches
from models.pairs import Pair, PairSet
from models.parameters import freeze, parameter_groups
from models.recipe import PRECISIONS, Recipe

if TYPE_CHECKING:
    from models.training import Listener

POOLINGS = ("text", "both")
_MASKED = -1e4  # a logit that no softmax notices, finite in half precision too
_TEXT, _TARGET = 0, 1
_SCORED_TOKENS = 4096  # padded tokens a batch when nothing is learned


class PairRecipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to learn from pairs. The defaults are for the packaged encoder.

    ``pooling`` is what the heads read: ``text``, the mean of the text's own tokens as the network of this project has it,
    or ``both``, that mean, the target's and their product. ``balance`` is the exponent b of a label's weight
    (n / (k n_c))^b; where a text has several labels, that of a label's ratio of negatives to positives. ``max_length`` is
    in tokens, both segments and special tokens included; the longer segment is shortened first. ``precision`` is ``fp32``,
    ``bf16``, or ``auto``: bf16 where the device computes it natively.
    """

    epochs: int = 2
    batch_size: int = 32
    learning_rate: float = 2e-4
    head_learning_rate: float = 1e-3
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    warmup: float = 0.1
    dropout: float = 0.1
    balance: float = 0.5
    pooling: str = "text"
    max_length: int = 160
    freeze_word_embeddings: bool = True
    clip: float = 1.0
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for field, known in (("pooling", POOLINGS), ("precision", PRECISIONS)):
            if getattr(self, field) not in known:
                raise ValueError(f"{field} is {getattr(self, field)!r}, expected one of {', '.join(known)}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(f"epochs is {self.epochs}, batch_size is {self.batch_size}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class PairTokens:
    """A pair as token ids; ``part`` is 0 for the text's own tokens, 1 for the target's, -1 for special ones."""

    ids: tuple[int, ...]
    part: tuple[int, ...]


class PairNetwork(nn.Module):
    """An encoder under one linear head for all sets with one label a text, and one for all sets with several.

    Sets share a label by its name. ``names`` and ``several`` are the two heads' labels, sorted.
    """

    def __init__(self, encoder: nn.Module, sets: Sequence[PairSet], *, pooling: str, dropout: float) -> None:
        super().__init__()
        width = int(encoder.config.hidden_size) * (1 if pooling == "text" else 3)  # type: ignore[union-attr, arg-type]
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.names, self.several = (
            tuple(sorted({label for s in sets if s.multiple == multiple for label in s.labels}))
            for multiple in (False, True)
        )
        self.one = nn.Linear(width, len(self.names)) if self.names else None
        self.many = nn.Linear(width, len(self.several)) if self.several else None

    def columns(self, pairs: PairSet) -> list[int]:
        """Return where the labels of a set stand in its head, in the set's order."""
        head = self.several if pairs.multiple else self.names
        return [head.index(label) for label in pairs.labels]

    def forward(self, ids: Tensor, mask: Tensor, part: Tensor, multiple: bool) -> Tensor:
        """Score a batch: ``ids``, ``mask``, ``part`` (b, t) integers; returns logits (b, labels of that head)."""
        hidden: Tensor = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = _mean(hidden, part == _TEXT)
        if self.pooling == "both":
            target = _mean(hidden, part == _TARGET)
            pooled = torch.cat([pooled, target, pooled * target], dim=-1)
        head = self.many if multiple else self.one
        assert head is not None  # noqa: S101  # a batch comes from one of the sets that the heads were made for
        logits: Tensor = head(self.dropout(pooled))
        return logits


def warm_start(
    encoder: nn.Module,
    tokenizer: Any,
    sets: Sequence[PairSet],
    recipe: PairRecipe | None = None,
    listener: Listener | None = None,
) -> tuple[float, ...]:
    """Fine-tune an encoder on outside stance data, in place; the heads are thrown away. Return the mean loss of each epoch.

    Several sets are mixed batch by batch, each as often as it has pairs. The same encoder, sets, recipe, versions and number
    of threads give the same weights. The caller's random state is left alone, and so is which parameters ask for gradients.

    Args:
        encoder: An encoder of transformers, as ``models.network.load_encoder`` gives it.
        tokenizer: The encoder's fast tokenizer.
        sets: As ``models.pairs.read_pairs`` gives them, one a file.
        recipe: How to learn; None for the defaults.
        listener: Is told of the pairs done. It is not told of epochs: they have no development figures.

    Raises:
        RecordError: when there is no set.
        TreatyStanceError: when the loss is not a number.
    """
    recipe = recipe or PairRecipe()
    device = next(encoder.parameters()).device
    learned = {name: parameter.requires_grad for name, parameter in encoder.named_parameters()}
    encoder.requires_grad_(True)  # what the recipe of the training that follows keeps fixed is another matter
    with own_randomness(device):
        torch.manual_seed(recipe.seed)
        network = PairNetwork(encoder, sets, pooling=recipe.pooling, dropout=recipe.dropout).to(device)
        losses = fit_pairs(network, tokenizer, sets, recipe, listener)
    for name, parameter in encoder.named_parameters():
        parameter.requires_grad_(learned[name])
        parameter.grad = None
    encoder.eval()
    return losses


class WarmStart:
    """What warm-starts one encoder after another on the same sets: it learns once, and hands out the same weights again.

    Made for ``models.training.Extras``: the object is its ``warm``, its ``key`` names the sets and the recipe.
    """

    def __init__(self, sets: Sequence[PairSet], recipe: PairRecipe, listener: Listener | None = None) -> None:
        self.key = digest(*(s.sha256 for s in sets), msgspec.json.encode(recipe).decode())
        self._sets, self._recipe, self._listener = sets, recipe, listener
        self._weights: dict[str, Tensor] | None = None

    def __call__(self, encoder: nn.Module, tokenizer: Any) -> None:
        """Change an encoder's weights. Encoders given later must be of the form of the first, and start where it did.

        Raises:
            RecordError: when there is no set.
            TreatyStanceError: when the loss is not a number.
        """
        if self._weights is None:
            warm_start(encoder, tokenizer, self._sets, self._recipe, self._listener)
            self._weights = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        else:
            encoder.load_state_dict(self._weights)


def pair_recipe(recipe: Recipe) -> PairRecipe:
    """Return how to learn from pairs before learning with a recipe: its rates, batches, precision and seed."""
    shared = set(PairRecipe.__struct_fields__) & set(Recipe.__struct_fields__) - {"epochs", "max_length"}
    return PairRecipe(**{name: getattr(recipe, name) for name in shared})


def fit_pairs(
    network: PairNetwork,
    tokenizer: Any,
    sets: Sequence[PairSet],
    recipe: PairRecipe,
    listener: Listener | None = None,
    after_epoch: Callable[[int], object] = lambda epoch: None,
) -> tuple[float, ...]:
    """Train encoder and heads on the network's device; return the mean loss of each epoch. Randomness is torch's own.

    Args:
        network: Made for these sets.
        tokenizer: The encoder's.
        sets: The pairs; batches are of one set each.
        recipe: How to learn; the order of batches follows its seed.
        listener: Is told of the pairs done.
        after_epoch: Called with the number of the epoch that has ended, counted from one.

    Raises:
        RecordError: when there is no set.
        TreatyStanceError: when the loss is not a number.
    """
    from transformers import get_linear_schedule_with_warmup

    if not sets:
        raise RecordError("a warm start needs at least one file of stance data; name one or leave it out")
    encoded = [encode_pairs(tokenizer, s.pairs, max_length=recipe.max_length) for s in sets]
    losses_of = [_SetLoss(s, network, recipe.balance) for s in sets]
    device = next(network.parameters()).device
    freeze(network, word_embeddings=recipe.freeze_word_embeddings)
    groups = parameter_groups(
        network,
        learning_rate=recipe.learning_rate,
        head_learning_rate=recipe.head_learning_rate,
        layer_decay=recipe.layer_decay,
        weight_decay=recipe.weight_decay,
    )
    optimizer = torch.optim.AdamW(groups)
    sizes = [len(e) for e in encoded]
    steps = recipe.epochs * sum(-(-n // recipe.batch_size) for n in sizes)
    schedule = get_linear_schedule_with_warmup(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        optimizer, round(recipe.warmup * steps), steps
    )
    rng = random.Random(recipe.seed)  # noqa: S311  # an order of batches, not a secret
    history = []
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        total = 0.0
        for number, batch in _shuffled(encoded, recipe.batch_size, rng):
            tensors = _collate([encoded[number][i] for i in batch], tokenizer.pad_token_id, device)
            with products(device, recipe.precision):
                logits = network(*tensors, sets[number].multiple)
            loss = losses_of[number](logits.float(), batch)
            value = loss.item()
            if not np.isfinite(value):
                raise TreatyStanceError(
                    f"{sets[number].name}, epoch {epoch}: the loss is {value}, expected a number; lower the learning rate "
                    f"(it is {recipe.learning_rate:g}) or use an encoder that works in 32-bit floats"
                )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
            optimizer.step()
            schedule.step()
            total += value * len(batch)
            if listener is not None:
                listener.advance(len(batch))
        history.append(total / sum(sizes))
        after_epoch(epoch)
    return tuple(history)


def score_pairs(
    network: PairNetwork, tokenizer: Any, pairs: PairSet, recipe: PairRecipe, rows: Sequence[Pair] | None = None
) -> NDArray[np.float64]:
    """Return the logits (n, labels) of a set's pairs, or of other ``rows`` with its labels, columns in the set's order."""
    encoded = encode_pairs(tokenizer, pairs.pairs if rows is None else rows, max_length=recipe.max_length)
    device = next(network.parameters()).device
    columns = network.columns(pairs)
    out = np.zeros((len(encoded), len(columns)))
    network.eval()
    with torch.inference_mode():
        for batch in length_batches([len(e.ids) for e in encoded], tokens=_SCORED_TOKENS):
            tensors = _collate([encoded[i] for i in batch], tokenizer.pad_token_id, device)
            with products(device, recipe.precision):
                logits = network(*tensors, pairs.multiple)
            out[batch] = logits[:, columns].double().cpu().numpy()
    return out


def encode_pairs(tokenizer: Any, pairs: Sequence[Pair], *, max_length: int) -> list[PairTokens]:
    """Tokenise pairs, the target as second segment; the longer segment is shortened first."""
    if not pairs:
        return []
    batch = tokenizer([p.text for p in pairs], [p.target for p in pairs], truncation="longest_first", max_length=max_length)
    out = []
    for i in range(len(pairs)):
        parts = tuple(-1 if s is None else s for s in batch.sequence_ids(i))
        out.append(PairTokens(tuple(batch["input_ids"][i]), parts))
    return out


class _SetLoss:
    """The mean loss a pair of one set; labels that other sets brought into the head take no part in it."""

    def __init__(self, pairs: PairSet, network: PairNetwork, balance: float) -> None:
        device = next(network.parameters()).device
        columns = network.columns(pairs)
        place = dict(zip(pairs.labels, columns, strict=True))
        gold = np.zeros((len(pairs.pairs), len(network.several if pairs.multiple else network.names)), dtype=np.float32)
        for row, pair in enumerate(pairs.pairs):
            for label, share in pair.shares or [(label, 1.0) for label in pair.labels]:
                gold[row, place[label]] = share
        count, n = gold.sum(0), len(gold)
        self.multiple = pairs.multiple
        self.columns = torch.tensor(columns, device=device)
        if pairs.multiple:
            weight = np.clip((n - count) / np.maximum(count, 1), 1, 20) ** balance
        else:
            weight = (n / (len(columns) * np.maximum(count, 1))) ** balance
            weight *= n / (weight * count).sum()  # the mean weight of a pair is one
        self.gold = torch.from_numpy(gold).to(device)
        self.weight = torch.from_numpy(weight.astype(np.float32)).to(device)

    def __call__(self, logits: Tensor, batch: Sequence[int]) -> Tensor:
        gold = self.gold[list(batch)]
        if self.multiple:
            chosen, wanted = logits[:, self.columns], gold[:, self.columns]
            weight = self.weight[self.columns]
            loss = functional.binary_cross_entropy_with_logits(chosen, wanted, pos_weight=weight, reduction="sum")
        else:
            known = torch.full_like(logits, _MASKED).index_fill(1, self.columns, 0.0)
            loss = functional.cross_entropy(logits + known, gold, weight=self.weight, reduction="sum")
        return loss / len(batch)


def _mean(hidden: Tensor, chosen: Tensor) -> Tensor:
    weight = chosen.unsqueeze(-1).to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


def _collate(batch: Sequence[PairTokens], pad: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, attention mask and parts, each of shape (batch, longest)."""
    longest = max(len(e.ids) for e in batch)
    ids = np.full((len(batch), longest), pad, dtype=np.int64)
    mask = np.zeros((len(batch), longest), dtype=np.int64)
    part = np.full((len(batch), longest), -1, dtype=np.int64)
    for row, e in enumerate(batch):
        n = len(e.ids)
        ids[row, :n], mask[row, :n], part[row, :n] = e.ids, 1, e.part
    a, b, c = (torch.from_numpy(x).to(device) for x in (ids, mask, part))
    return a, b, c


def _shuffled(encoded: Sequence[Sequence[PairTokens]], size: int, rng: random.Random) -> Iterator[tuple[int, list[int]]]:
    """Yield set number and indices of batches in random order; in stretches of eight batches pairs are sorted by length."""
    batches = []
    for number, tokens in enumerate(encoded):
        order = list(range(len(tokens)))
        rng.shuffle(order)
        for i in range(0, len(order), 8 * size):
            stretch = sorted(order[i : i + 8 * size], key=lambda j: len(tokens[j].ids))
            batches += [(number, stretch[j : j + size]) for j in range(0, len(stretch), size)]
    rng.shuffle(batches)
    yield from batches
