"""The journal of a label job, in ``.job`` beside the labels: what the job is, what is written, and who is at work."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from corpus.errors import RecordError, TreatyStanceError, UsageError
from corpus.files import atomic_path, write_json
from corpus.identity import file_sha256

FOLDER = ".job"
_JOB, _LINES, _LOCK = "job.json", "journal.jsonl", "lock"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A shard that is written: its file and rows, and all that the manifest needs to know of it.

    ``first`` is the first reason against a row, as the row has it.
    """

    number: int
    file: str
    sha256: str
    rows: int
    counts: dict[str, int]
    reasons: dict[str, int]
    first: str | None
    clutter: dict[str, int]
    passed_over: dict[str, int]
    ignored: list[str]
    skipped: list[str]
    last: bool


class Journal:
    """The journal of one output folder, locked against other jobs for as long as the block lasts.

    When the block ends a finished job's journal is removed, and so is one without a shard; what was spooled goes anyway.
    ``job`` is None where no job was begun; ``entries`` has the written shards by number, not yet verified.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.folder = output / FOLDER
        self.job: dict[str, Any] | None = None
        self.entries: dict[int, Entry] = {}
        self._made = False  # the output folder
        self._begun = False
        self._finished = False

    def __enter__(self) -> Self:
        """Make the folders and take the lock.

        Raises:
            UsageError: when that is not possible.
            TreatyStanceError: when another job is at work in the folder.
        """
        from filelock import FileLock, Timeout

        try:
            self._made = not self.output.exists()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.folder / _LOCK, timeout=0, thread_local=False)
            self._lock.acquire()
        except Timeout as error:
            raise TreatyStanceError(
                f"{self.output}: expected a folder in which no other job is at work, found one that is; wait for it or "
                "choose another output"
            ) from error
        except OSError as error:
            with contextlib.suppress(OSError):
                self.folder.rmdir()
                if self._made:
                    self.output.rmdir()
            raise not_writable(self.output, error) from error
        try:
            self._read()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # what is left over stands in nobody's way
            if self._finished or not self.entries:
                for path in sorted(self.folder.iterdir(), key=lambda p: p.name != _JOB):
                    if path.name != _LOCK:
                        path.unlink()
                # while it is locked, so that nobody waits at a lock without a name
                shutil.rmtree(self.folder)
                if self._made and not self._begun and not self._finished:
                    self.output.rmdir()
            else:
                for path in self.folder.iterdir():
                    if path.name not in (_JOB, _LINES, _LOCK):
                        path.unlink()
        self._lock.release()

    @property
    def complete(self) -> bool:
        """Whether all shards are written."""
        return any(e.last and len(self.entries) == e.number + 1 for e in self.entries.values())

    @property
    def rows(self) -> int:
        """Rows of the written shards."""
        return sum(e.rows for e in self.entries.values())

    def in_order(self) -> Iterator[Entry]:
        """Yield the entries by number."""
        for number in sorted(self.entries):
            yield self.entries[number]

    def begin(self, job: Mapping[str, Any]) -> None:
        """Write down what the job is, and with it the entries as they are now."""
        self.job = dict(job)
        with atomic_path(self.folder / _LINES) as temporary, temporary.open("wb") as stream:
            stream.writelines(msgspec.json.encode(entry) + b"\n" for entry in self.in_order())
        write_json(self.folder / _JOB, self.job)
        sync_folder(self.folder)
        sync_folder(self.output)
        self._begun = True

    def verify(self) -> list[str]:
        """Drop the entries whose files are missing or altered, and return the names of these files."""
        dropped = []
        for entry in list(self.in_order()):
            path = self.output / entry.file
            if not path.is_file() or file_sha256(path) != entry.sha256:
                dropped.append(entry.file)
                del self.entries[entry.number]
        return dropped

    def add(self, entry: Entry) -> None:
        """Write down a shard whose file is in its place, to last."""
        with (self.folder / _LINES).open("ab") as stream:
            stream.write(msgspec.json.encode(entry) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self.entries[entry.number] = entry

    def finish(self) -> None:
        """Say that the manifest is written, so that the journal is not needed any more."""
        self._finished = True

    def _read(self) -> None:
        """Read what an earlier job left; a line that was torn when its writer died counts as not written."""
        try:
            value = msgspec.json.decode((self.folder / _JOB).read_bytes())
            lines = (self.folder / _LINES).read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        except (msgspec.DecodeError, UnicodeDecodeError, OSError) as error:
            raise _damaged(self.folder, str(error)) from error
        if not isinstance(value, dict):
            raise _damaged(self.folder, f"{_JOB} holds no object")
        self.job = value
        for line in lines[:-1]:
            try:
                entry = msgspec.json.decode(line, type=Entry)
            except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
                continue
            self.entries[entry.number] = entry


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last: without it a rename may be lost when the power goes."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def not_writable(folder: Path, error: OSError) -> UsageError:
    """Return the error that a folder cannot be written to."""
    return UsageError(
        f"{folder}: expected a folder that can be written to, but {error.strerror or error}; choose another output"
    )


def _damaged(folder: Path, what: str) -> RecordError:
    return RecordError(
        f"{folder}: expected the journal of a label job, but {what}; remove the folder of the labels and run the job again"
    )
