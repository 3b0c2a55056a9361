"""Locks: one collector a run. The system frees a lock when its holder dies, so a run whose lock is free has died."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from corpus.errors import TreatyStanceError


class RunLock:
    """A lock on a name within a folder, for as long as the process lives or the block lasts."""

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / f".{name}.lock"
        self._handle: int | None = None

    def take(self) -> bool:
        """Take the lock; False where another process holds it."""
        if self._handle is not None:
            return True
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return False
        self._handle = handle
        return True

    def drop(self) -> None:
        """Remove the lock's file; for a run that has ended, which nobody will take up."""
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        """Take the lock.

        Raises:
            TreatyStanceError: when another process holds it.
        """
        if not self.take():
            raise TreatyStanceError(
                f"{self._path}: expected a lock that is free, found it held; wait for the other collector"
            )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def free_runs(folder: Path, names: Sequence[str]) -> list[str]:
    """Return those names whose lock nobody holds."""
    free = []
    for name in names:
        lock = RunLock(folder, name)
        if lock.take():
            lock.__exit__(None, None, None)
            free.append(name)
    return free
