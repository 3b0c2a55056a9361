"""Feeds: what a label job reads, item after item, and the shards into which its items are cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

from corpus.errors import RecordError, UsageError
from pipelines import manifest as manifests
from pipelines.holders import MOST
from pipelines.inputs import Source, check_table, find_sources
from pipelines.items import Item, Tally, read_items

FIRST = 100
"""Rows of a job's first shard, so that its first labels are soon there."""

_LATE = 500  # most rows that a shard waits for a change of document
_Stamp = tuple[int, int]


class Feed(Protocol):
    """Where a label job's items come from."""

    def describe(self) -> list[dict[str, object]]:
        """Return the manifest's ``inputs``, checked; the entries' ``sha256`` say whether another run reads the same.

        Raises:
            UsageError: when something cannot be read or cannot be meant.
            RecordError: when something is of a wrong form.
        """

    def items(self, tally: Tally) -> Iterator[Item]:
        """Yield the items, the same in the same order each time; what is counted on the way goes into the tally."""

    def count(self) -> int | None:
        """Return the number of rows where it is known without reading."""


class FileFeed:
    """Files, folders, archives, addresses and standard input, as named on the command line."""

    def __init__(
        self,
        inputs: Sequence[str],
        unit: Literal["statement", "document"] | None = None,
        stdin: BinaryIO | None = None,
        spool: Path | None = None,
    ) -> None:
        """Keep the names; nothing is read before :meth:`describe`.

        Args:
            inputs: Tables, documents, folders of documents, archives, addresses that fsspec opens, or ``-``.
            unit: What a row of a table is; None: a statement.
            stdin: Standard input, where ``-`` is named.
            spool: An existing folder in the job's output, for copies of what can be read only once or lies elsewhere.
        """
        self._inputs, self._unit, self._stdin, self._spool = list(inputs), unit, stdin, spool
        self._sources: tuple[Source, ...] | None = None
        self._skipped: tuple[str, ...] = ()
        self._stamps: list[_Stamp | None] = []
        self._rows: int | None = None

    def describe(self) -> list[dict[str, object]]:
        """Find and hash every file; tables are read to their ends on the way, so that a torn one is refused now."""
        sources = self._found()
        stamps, entries, rows, known = [], [], 0, True
        for source in sources:
            stamps.append(_stamp(source))
            if source.kind == "table":
                checked = check_table(source)
                entries.append({"path": source.name, "sha256": checked.sha256, "bytes": checked.bytes})
                rows += checked.rows
            else:
                assert source.path is not None  # noqa: S101 - only tables come without a file
                if source.kind == "archive":
                    _check_archive(source.path)
                entries.append(manifests.describe_file(source.path, name=source.name))
            known = known and source.kind == "table" and self._unit != "document"
        self._stamps, self._rows = stamps, rows if known else None
        return entries

    def items(self, tally: Tally) -> Iterator[Item]:
        """Yield the rows of all files in order.

        Raises:
            RecordError: also when a file is no longer what was described.
        """
        sources = self._found()
        tally.skipped += self._skipped
        for source, stamp in zip(sources, self._stamps or [None] * len(sources), strict=True):
            yield from read_items([source], self._unit, tally)
            if stamp is not None and stamp != _stamp(source):
                raise RecordError(
                    f"{source.name}: expected a file that stays as it is while it is labelled, found it changed; "
                    "run it again on a copy, into a new folder"
                )

    def count(self) -> int | None:
        """Return the number of rows of the tables, None where documents are to be cut."""
        return self._rows

    def _found(self) -> tuple[Source, ...]:
        if self._sources is None:
            sources, self._skipped = find_sources(self._inputs, stdin=self._stdin, spool=self._spool)
            for source in sources:
                if source.kind != "table" and self._unit == "statement":
                    raise UsageError(
                        f"{source.name}: expected a table with one statement a row for the unit 'statement', "
                        f"found {source.what}; leave the unit out or put the statements into a table"
                    )
            self._sources = sources
        return self._sources


@dataclass(frozen=True, slots=True)
class Shard:
    """Neighbouring items that are written into one file, with what was counted while they were read."""

    number: int
    items: tuple[Item, ...]
    tally: Tally
    last: bool


def shards(feed: Feed, size: int) -> Iterator[Shard]:
    """Cut a feed's items into shards of ``size`` rows, the first one of at most 100.

    A shard waits for the next change of document, so that a document's holders are named together, but for no more than 500
    rows. The same feed is cut in the same places each time.
    """
    tally = Tally()
    number, held = 0, list[Item]()
    run = 0  # rows since the last change of document
    for item in feed.items(tally):
        if held:
            run = run + 1 if _document(item) == _document(held[-1]) is not None else 0
            rows = len(held) - (min(FIRST, size) if number == 0 else size)
            # rows of tables are named by 500 of a document: between these is a place to cut as well
            if rows >= 0 and (run == 0 or (run % MOST == 0 and not item.whole) or rows >= _LATE):
                yield Shard(number, tuple(held), tally.take(), last=False)
                number, held, run = number + 1, [], 0
        held.append(item)
    if held:
        yield Shard(number, tuple(held), tally.take(), last=True)


def _document(item: Item) -> tuple[object, bool] | None:
    document = item.columns.get("document_id")
    return None if document is None else (document, bool(item.whole))


def _stamp(source: Source) -> _Stamp | None:
    if source.path is None:
        return None
    try:
        found = source.path.stat()
    except OSError:
        return (-1, -1)
    return (found.st_size, found.st_mtime_ns)


def _check_archive(path: Path) -> None:
    """Read an archive's first record: what is no archive is refused before anything is judged."""
    from corpus.archive import read_archive

    next(read_archive(path, fault=lambda where, error: None), None)
