"""Checkpoints of a training run: what a stopped run needs to go on as if it had never stopped."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from corpus.files import read_json, write_json

_TENSORS = "state.safetensors"
_FACTS = "state.json"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a run has come: its key, epochs done, steps done, and what the epochs so far were like.

    ``key`` is a hash of data, recipe and versions: a checkpoint of another run is not taken. ``shuffle`` is the state of
    the generator that orders batches.
    """

    key: str
    epoch: int
    step: int
    history: tuple[dict[str, float], ...]
    best_epoch: int
    shuffle: tuple[int, tuple[int, ...], float | None]
    extra: dict[str, Any] = {}


def save_checkpoint(folder: Path, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    """Write a checkpoint; the one before it stays whole until the new one is."""
    from safetensors.torch import save_file

    new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    own = {name: t.detach().clone().contiguous() for name, t in tensors.items()}  # shared storage is refused
    random = {"random": torch.random.get_rng_state()}
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # dropout on a GPU draws from the GPU's own generator
        random["random on the GPU"] = torch.cuda.get_rng_state()
    save_file({**own, **random}, new / _TENSORS)
    write_json(new / _FACTS, progress)
    if folder.exists():
        os.replace(folder, old)
    os.replace(new, folder)
    shutil.rmtree(old, ignore_errors=True)


def load_checkpoint(folder: Path, key: str) -> tuple[Progress, dict[str, Tensor]] | None:
    """Return the checkpoint of the run with this key and set torch's generator to its state; None where there is none.

    A checkpoint that cannot be read or belongs to another run counts as none: training then begins anew.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from corpus.errors import TreatyStanceError

    try:
        progress = msgspec.convert(read_json(folder / _FACTS), Progress)
        if progress.key != key:
            return None
        tensors = load_file(folder / _TENSORS)
    except (TreatyStanceError, OSError, msgspec.ValidationError, SafetensorError):
        return None
    torch.random.set_rng_state(tensors.pop("random"))
    on_gpu = tensors.pop("random on the GPU", None)
    if on_gpu is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(on_gpu)
    return progress, tensors


def drop_checkpoint(folder: Path) -> None:
    """Remove a checkpoint that is no longer needed."""
    for path in (folder, folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")):
        shutil.rmtree(path, ignore_errors=True)


def pack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put a prefix before every name."""
    return {f"{prefix}/{name}": t for name, t in tensors.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with a prefix, without it."""
    return {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(prefix + "/")}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimizer's memory as tensors named ``parameter number.name``."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{name}": torch.as_tensor(value) for number, row in state.items() for name, value in row.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimizer over the same parameters the memory that :func:`optimizer_tensors` returned."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def shuffle_state(rng: random.Random) -> tuple[int, tuple[int, ...], float | None]:
    """Return a generator's state in a form that JSON keeps."""
    version, internal, gauss = rng.getstate()
    return version, internal, gauss
