"""Where a network computes: the processor, or a GPU where torch has one, and with which products."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import UsageError

if TYPE_CHECKING:
    import torch

CPU, CUDA = "cpu", "cuda"
DEVICES = (CPU, CUDA)


def has_gpu() -> bool:
    """Return whether torch has a GPU. Asked without torch's import, which takes seconds, where no driver is there."""
    if not (Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists()):
        return False
    import torch

    return torch.cuda.is_available()


def check_device(name: str) -> None:
    """Refuse a device that is not there.

    Raises:
        UsageError: for an unknown name, and for ``cuda`` where torch has no GPU.
    """
    if name not in DEVICES:
        raise UsageError(f"device {name!r}: expected one of {', '.join(DEVICES)}")
    if name == CUDA and not has_gpu():
        raise UsageError("device 'cuda': torch found no GPU here; check driver and torch's build, or train on the processor")


def device_name(name: str) -> str:
    """Return what a device is called by its maker, where torch knows."""
    import torch

    return torch.cuda.get_device_name() if name == CUDA else name


def native_bf16() -> bool:
    """Return whether the processor has instructions for bf16 products; without them bf16 is slower than 32-bit floats."""
    import torch

    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def products(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context in which matrix products have a recipe's ``precision`` (:class:`models.recipe.Recipe`)."""
    import torch

    native = torch.cuda.is_bf16_supported() if device.type == CUDA else native_bf16()
    half = precision == "bf16" or (precision == "auto" and native)
    return torch.autocast(device.type, dtype=torch.bfloat16) if half else nullcontext()


def own_randomness(device: torch.device) -> AbstractContextManager[Any]:
    """Return a context that leaves torch's generators, the device's too, as they were before."""
    import torch

    return torch.random.fork_rng(devices=[device] if device.type == CUDA else [])
