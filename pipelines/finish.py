"""The end of a label job: counts over all shards, the extra formats and the queue, from shards alone, in little memory."""

from __future__ import annotations

import contextlib
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from annotation.codebook import Codebook
from pipelines.feed import Feed
from pipelines.folder import read_shards
from pipelines.items import Tally
from pipelines.journal import Entry
from pipelines.queue import Queue, rank, write_ranked

_SCRATCH = "scratch.sqlite"
_CACHE = 32 * 1024  # KiB of the scratch file that stay in memory


@dataclass(frozen=True, slots=True)
class Totals:
    """What the shards' entries say when they are put together. ``first`` is the first reason against a row."""

    counts: dict[str, int]
    reasons: dict[str, int]
    clutter: dict[str, int]
    skipped: list[str]
    ignored: list[str]
    first: str | None


def add_up(entries: Iterable[Entry]) -> Totals:
    """Put the entries of all shards together, in their order."""
    counts, reasons, clutter, passed_over = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    skipped: list[str] = []
    ignored: set[str] = set()
    first: str | None = None
    for entry in entries:
        counts.update(entry.counts)
        reasons.update(entry.reasons)
        clutter.update(entry.clutter)
        passed_over.update(entry.passed_over)
        skipped += entry.skipped
        ignored.update(entry.ignored)
        first = first if first is not None else entry.first
    skipped += [f"{name}: {n} records that are no pages" for name, n in passed_over.items()]
    return Totals(dict(counts), dict(reasons), dict(sorted(clutter.items())), skipped, sorted(ignored), first)


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[sqlite3.Connection]:
    """Yield an empty database in a file of this folder, which is removed at the end."""
    path = folder / _SCRATCH
    path.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            for setting in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE", f"cache_size=-{_CACHE}"):
                database.execute(f"PRAGMA {setting}").close()
            database.execute("BEGIN")
            yield database
    finally:
        path.unlink(missing_ok=True)


def count_distinct(folder: Path, files: Sequence[str], database: sqlite3.Connection) -> dict[str, int]:
    """Count different statements and documents among the rows with labels, and the rows whose id stood on an earlier one."""
    database.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, ok INTEGER) WITHOUT ROWID")
    database.execute("CREATE TABLE documents (id TEXT PRIMARY KEY) WITHOUT ROWID")
    with_id = 0
    for row in read_shards(folder, files, ("id", "document_id", "status")):
        ok = row["status"] == "ok"
        if row["id"] is not None:
            with_id += 1
            database.execute(
                "INSERT INTO ids VALUES (?, ?) ON CONFLICT DO UPDATE SET ok = max(ok, excluded.ok)", (row["id"], ok)
            )
        if ok:
            database.execute("INSERT OR IGNORE INTO documents VALUES (?)", (row["document_id"],))
    different, statements = database.execute("SELECT count(*), coalesce(sum(ok), 0) FROM ids").fetchone()
    (documents,) = database.execute("SELECT count(*) FROM documents").fetchone()
    return {"statements": statements, "documents": documents, "duplicates": with_id - different}


def make_queue(
    path: Path, feed: Feed, folder: Path, files: Sequence[str], codebook: Codebook, size: int, database: sqlite3.Connection
) -> Queue:
    """Rank the abstained rows of the shards and write them with their documents, for which the feed is read again."""
    columns = ("id", "document_id", "text", "abstained", *(f"stance_{s}" for s in codebook.stance_ids))
    ranking = rank(read_shards(folder, files, columns), codebook, size, database)
    again = ((item.columns, item.source) for item in feed.items(Tally()))
    return write_ranked(path, ranking, again, codebook, database)
