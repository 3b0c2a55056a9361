"""What commands share: the quiet switch, the progress bar, the clock, threads."""

from __future__ import annotations

import datetime
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from models.training import Listener

F = TypeVar("F", bound=Callable[..., Any])
FOLDER = click.Path(path_type=Path)


def quiet_option(command: F) -> F:
    """Give a command the switch that silences it."""
    return click.option("--quiet", "-q", is_flag=True, help="No progress and no summary; errors only.")(command)


class TrainingBar:
    """A progress bar over training, silent where standard error is no terminal, and a line an epoch."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> Listener:
        from tqdm import tqdm

        from models.training import Listener

        self._bar = tqdm(unit=" statements", desc="training", disable=True if self._quiet else None, leave=False)
        return Listener(advance=self._bar.update, epoch=self._epoch)

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def _epoch(self, row: dict[str, float]) -> None:
        if not self._quiet:
            self._bar.clear()
            click.echo(
                f"    epoch {row['epoch']:.0f}: loss {row['loss']:.2f}; development stance macro-F1 "
                f"{row['stance_macro_f1']:.2f}, concern macro-F1 {row['concern_macro_f1']:.2f}"
            )


def hush_extractors() -> None:
    """Keep extraction libraries from remarks on odd pages: they would stand beside our one sentence."""
    for name in ("pypdf", "trafilatura", "htmldate"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def set_threads(threads: int | None) -> None:
    """Let torch use so many processor threads; None takes all cores."""
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)


def say_to(quiet: bool) -> Callable[[str], None]:
    """Return what prints a line, or nothing where the user asked for quiet."""
    return (lambda line: None) if quiet else click.echo


def now() -> str:
    """Return this moment in UTC, ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def today() -> str:
    """Return this day in UTC, ISO 8601."""
    return now()[:10]
