"""Inputs of the label job: which files there are, of which form, and their rows as text, each row kept in its place.

A file of a wrong form (torn, without a ``text`` column, not UTF-8) is refused as a whole. A row with a fault inside a
good file is yielded with the reason, so that it stays in the table and is never labelled.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from corpus.errors import UsageError
from corpus.extract import document_paths
from pipelines.forms import records
from pipelines.rows import COLUMNS, InputRow, to_row
from pipelines.spool import address_shown, copy_stream, fetch, is_address

__all__ = [
    "MAX_STATEMENT",
    "STDIN",
    "Checked",
    "InputRow",
    "Source",
    "check_table",
    "find_sources",
    "read_rows",
    "read_table",
    "shown",
]

MAX_STATEMENT = 20_000
"""Longest statement in characters; a longer text is a document and wants segmenting first."""

STDIN = "-"

_DOCUMENT_SUFFIXES = frozenset({".txt", ".md", ".html", ".htm", ".pdf"})
_COMPRESSED_SUFFIXES = frozenset({".gz", ".zst", ".zstd"})
_FORMS = "expected a table (.jsonl, .csv, .parquet), a document (.txt, .html, .pdf), a folder of documents, a WARC or -"


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read. ``data`` holds what can be read only once (standard input, a pipe); then ``path`` is None.

    ``root`` is the folder to which a document's ``file:`` address is relative; ``address`` is where a file was fetched from.
    """

    name: str
    kind: Literal["table", "document", "archive"]
    path: Path | None = None
    data: bytes | None = None
    root: Path | None = None
    address: str | None = None

    @property
    def what(self) -> str:
        """What it is, for messages."""
        return "an archive" if self.kind == "archive" else f"a {self.kind}"

    def open(self) -> BinaryIO:
        """Open the bytes as they are.

        Raises:
            UsageError: when the file cannot be read.
        """
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.path is not None  # noqa: S101 - one of the two is always set by find_sources
        try:
            return self.path.open("rb")
        except OSError as error:
            raise _unreadable(self.name, error) from error


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check of a table found: the hash and size of its bytes as they are, and its number of rows."""

    sha256: str
    bytes: int
    rows: int


def find_sources(
    inputs: Sequence[str], *, stdin: BinaryIO | None = None, spool: Path | None = None
) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Return the files that the inputs stand for, in order, and the names of the files passed over in folders.

    ``-`` is standard input, read from ``stdin``. A folder stands for the documents below it, in sorted order. What can be
    read only once is copied into the folder ``spool``, or held in memory where none is given; addresses (``s3://``,
    ``https://`` and the like) are fetched into it, and need one. The folder that holds the spool is a job's output: where
    that is within a folder of documents, what lies in it is passed over in silence.

    Raises:
        UsageError: for no input, a missing file, a folder without documents, or a form that cannot be read.
    """
    if not inputs:
        raise UsageError(f"no input was given; {_FORMS}")
    if list(inputs).count(STDIN) > 1:
        raise UsageError("standard input (-) was named more than once, but it can be read only once; name it once")
    sources: list[Source] = []
    skipped: list[str] = []
    for name in inputs:
        path = Path(name)
        if name == STDIN:
            if stdin is None:
                raise UsageError("standard input (-) was named, but nothing is connected to it; name a file instead")
            sources.append(_once("standard input", stdin, spool, len(sources)))
            continue
        if spool is not None and is_address(name):
            sources.append(_fetched(name, spool, len(sources)))
            continue
        try:
            if not path.is_dir():
                sources.append(_file_source(name, path, spool, len(sources)))
                continue
            documents, others = (_not_below(found, path, spool) for found in document_paths(path))
        except OSError as error:
            raise _unreadable(name, error) from error
        if not documents:
            raise UsageError(
                f"{name}: expected a folder with .txt, .html or .pdf documents, found {len(others)} files of other "
                "kinds; name tables one by one"
            )
        sources.extend(Source(name=shown(p), kind="document", path=p, root=path) for p in documents)
        skipped.extend(shown(p) for p in others)
    return tuple(sources), tuple(skipped)


def read_rows(inputs: Sequence[str], *, stdin: BinaryIO | None = None, longest: int = MAX_STATEMENT) -> Iterator[InputRow]:
    """Yield the rows of tables (JSONL, CSV, Parquet; plain, gzip or zstd), in order.

    Raises:
        UsageError: for an input that does not exist or is a document.
        RecordError: for a file of a wrong form, naming file and line. Rows before that line may have been yielded.
    """
    for source in find_sources(inputs, stdin=stdin)[0]:
        if source.kind != "table":
            raise UsageError(
                f"{source.name}: expected a table with one text a row, found {source.what}; "
                "`treaty-stance label` makes one of it"
            )
        yield from read_table(source, longest=longest, ignored=set())


def read_table(source: Source, *, longest: int, ignored: set[str]) -> Iterator[InputRow]:
    """Yield the rows of one table; the names of columns that mean nothing here are added to ``ignored``.

    ``longest`` is the greatest length of a text in characters; a longer one makes the row invalid.

    Raises:
        UsageError: when the file cannot be read.
        RecordError: when it is empty, torn, not UTF-8, broken JSON at a line, or without a column ``text``.
    """
    for where, values in records(source):
        if isinstance(values, str):
            yield InputRow(source=where, reason=values)
            continue
        ignored.update(name.encode("utf-8", "replace").decode("utf-8") for name in values if name not in COLUMNS)
        yield to_row(where, values, longest=longest)


def check_table(source: Source) -> Checked:
    """Read a table to its end, and hash it on the way; nothing of it is kept.

    Raises:
        UsageError: when the file cannot be read.
        RecordError: as :func:`read_table`.
    """
    with source.open() as stream:
        hashed = _Hashed(stream)
        rows = sum(1 for _ in records(source, first=hashed))
        while hashed.read(1 << 20):  # what the form does not need: bytes after a packed end, all of Parquet
            pass
    return Checked(hashed.sha256.hexdigest(), hashed.size, rows)


class _Hashed(io.RawIOBase):
    """Hashes and counts the bytes that are read through it; closing it leaves the stream open for the rest."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.sha256 = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = int(cast("Any", self._stream).readinto(buffer))
        self.sha256.update(memoryview(buffer)[:n])
        self.size += n
        return n

    def close(self) -> None:
        pass


def _once(name: str, stream: BinaryIO, spool: Path | None, number: int) -> Source:
    """Take in what can be read only once."""
    if spool is None:
        return Source(name=name, kind="table", data=stream.read())
    return Source(name=name, kind="table", path=copy_stream(stream, spool, number))


def _fetched(name: str, spool: Path, number: int) -> Source:
    address = address_shown(name)
    kind = _kind(address, Path(address))
    path = fetch(name, spool, number, suffixes="".join(Path(address).suffixes[-2:]))
    return Source(name=address, kind=kind, path=path, root=spool, address=address)


def _file_source(name: str, path: Path, spool: Path | None, number: int) -> Source:
    kind = _kind(name, path)
    if not path.exists():
        raise UsageError(f"{name}: no such file or folder; {_FORMS}")
    if path.is_fifo():  # a shell's <(command): readable once, so it is taken in here
        with path.open("rb") as stream:
            return _once(shown(path), stream, spool, number)
    if not path.is_file():
        raise UsageError(f"{name}: neither a file nor a folder; {_FORMS}")
    return Source(name=shown(path), kind=kind, path=path, root=path.parent if kind == "document" else None)


def _not_below(found: list[Path], folder: Path, spool: Path | None) -> list[Path]:
    """Return the files of a folder that are not in the job's own output, of which some come and go."""
    if spool is None or not spool.resolve().is_relative_to(folder.resolve()):
        return found
    return [path for path in found if not path.resolve().is_relative_to(spool.parent.resolve())]


def _kind(name: str, path: Path) -> Literal["table", "document", "archive"]:
    suffixes = [s.lower() for s in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _COMPRESSED_SUFFIXES
    suffix = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
    if suffix[0] in _DOCUMENT_SUFFIXES and packed:
        raise UsageError(f"{name}: expected a document as it is, found a compressed one; unpack it first")
    if suffix[0] == ".warc":
        return "archive"
    return "document" if suffix[0] in _DOCUMENT_SUFFIXES else "table"


def shown(path: Path) -> str:
    """Return a path as text that can be written: names of files may be bytes in any encoding."""
    return os.fsencode(path.as_posix()).decode("utf-8", errors="replace")


def _unreadable(name: str, error: OSError) -> UsageError:
    return UsageError(f"{name}: expected a file that can be read, but {error.strerror or error}; check its permissions")
