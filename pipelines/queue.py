"""The queue: statements on which the model abstained, in a file that annotation can push to coders.

A line holds the statement, its document and nothing that the model said: what coders see of it is as blind as of any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook
from corpus.errors import RecordError, UsageError
from corpus.files import atomic_path, to_record
from corpus.identity import document_id, file_sha256, statement_id
from corpus.records import Document, Record, Statement

if TYPE_CHECKING:
    from models.selective import Selection

NAME = "queue.jsonl"
SIZE = 1000
"""Most statements in a queue unless told otherwise: some ten hours of one coder's work."""

Source = tuple[Statement, Document]

_TABLES = """
CREATE TABLE waiting (margin REAL, id TEXT, number INTEGER, words BLOB, document TEXT, PRIMARY KEY (margin, id, number))
WITHOUT ROWID;
CREATE TABLE seen (words BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE turns (document TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
CREATE TABLE lines (place INTEGER PRIMARY KEY, line BLOB);
"""
_TURN = "INSERT INTO turns VALUES (?, 0) ON CONFLICT DO UPDATE SET n = n + 1 RETURNING n"


class QueueItem(Record, frozen=True, kw_only=True):
    """A statement that waits for a coder. ``id`` is the row's in the labels; its annotation bears ``statement.id``."""

    id: str
    codebook_version: str
    statement: Statement
    document: Document


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue that was written: its statements, those whose words an earlier line has, and those beyond its size."""

    path: Path
    written: int
    repeated: int
    left_out: int


@dataclass(frozen=True, slots=True)
class Abstention:
    """What a label job is asked for: decisions to keep, and where the others wait for coders.

    ``path`` None means ``queue.jsonl`` in the output folder; ``size`` is the most statements in the queue.
    """

    selection: Selection
    path: Path | None = None
    size: int = SIZE

    def settings(self) -> dict[str, object]:
        """Return what makes two jobs different, for the manifest."""
        chosen = self.selection
        return {"target_accuracy": chosen.target, "assurance": chosen.assurance, "queue_size": self.size}

    def place(self, output: Path) -> Path:
        """Return where the queue goes, in a job that writes its labels into ``output``.

        Raises:
            UsageError: when it is a folder, a file that is no queue, or between the labels under another name, or the size
                is below one.
        """
        if self.size < 1:
            raise UsageError(f"queue size is {self.size}; expected 1 or more")
        if self.path is None:
            return output / NAME
        if self.path.is_dir():
            raise UsageError(f"{self.path}: expected the name of a file for the queue, found a folder; give a name in it")
        if self.path.name != NAME and self.path.resolve().parent == output.resolve():
            raise UsageError(
                f"{self.path}: expected {NAME}, or a place outside the folder of the labels; choose one of these"
            )
        if self.path.is_file():
            with self.path.open("rb") as stream:
                first = stream.readline()
            if first and not _is_item(first):
                raise UsageError(f"{self.path}: expected a new file or an earlier queue, found another file; choose a name")
        return output / NAME if self.path.resolve() == (output / NAME).resolve() else self.path

    def sections(self, queue: Queue, counts: Mapping[str, int]) -> dict[str, object]:
        """Return the manifest's sections on selection (target, promise, threshold, coverage) and queue."""
        chosen = self.selection
        low, high = chosen.coverage_interval
        kept = counts["ok"] - counts["abstained"]
        coverage = {
            "expected": round(chosen.expected_coverage, 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "observed": round(kept / counts["ok"], 6) if counts["ok"] else None,
        }
        selection = {
            "target_accuracy": chosen.target,
            "assurance": chosen.assurance,
            "guarantee": chosen.guarantee,
            "threshold": chosen.threshold,
            "development": {"statements": chosen.statements, "kept": chosen.kept, "correct": chosen.correct},
            "expected_accuracy": round(chosen.expected_accuracy, 6),
            "coverage": coverage,
        }
        waiting = {"rows": queue.written, "repeated": queue.repeated, "left_out": queue.left_out}
        return {
            "selection": selection,
            "queue": {"path": str(queue.path), "sha256": file_sha256(queue.path), **waiting},
        }


def abstention_lines(output: Path, asked: Abstention, queue: Queue, counts: Mapping[str, int]) -> list[str]:
    """Return, for people, what a job kept and left, whether that is what was expected, and where the rest waits."""
    kept, low, high = counts["ok"] - counts["abstained"], *asked.selection.coverage_interval
    share = f" ({kept / counts['ok']:.0%})" if counts["ok"] else ""
    beyond = f", {queue.repeated} repeat the words of another, {queue.left_out} are beyond the queue's size"
    return [
        f"{output}: stance decided on {kept} of {counts['ok']} statements{share}, {counts['invalid']} rows invalid",
        f"  expected: {asked.selection.expected_coverage:.0%} [{low:.0%} to {high:.0%}] decided at the threshold "
        f"{asked.selection.threshold:.3f}, {asked.selection.expected_accuracy:.0%} of them rightly",
        f"  {asked.selection.guarantee}",
        f"{queue.path}: {queue.written} of {counts['abstained']} abstentions for annotation"
        f"{beyond if queue.repeated or queue.left_out else ''}",
    ]


def abstain(rows: Iterable[dict[str, object]], asked: Abstention | None) -> None:
    """Mark the rows below the threshold as abstained, in place; a row on which the model abstained has no stance.

    The probabilities stay: they say what the model leaned to, and with them a lower target can be read off later.
    """
    for row in rows:
        if row["status"] == "ok":
            confidence = row["confidence"]
            if asked is not None and isinstance(confidence, float) and not asked.selection.keeps(confidence):
                row["abstained"] = True
            if row["abstained"]:
                row["stance"] = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """Rows by number, the most useful first; ``repeated`` and ``left_out`` as of a :class:`Queue`."""

    chosen: tuple[int, ...]
    repeated: int
    left_out: int


def rank(rows: Iterable[Mapping[str, object]], codebook: Codebook, size: int, scratch: sqlite3.Connection) -> Ranking:
    """Rank the abstained rows.

    First comes the statement of each document on which the two likeliest stances are closest together ("breaking ties", Luo
    et al. 2005), then the second of each document, and so on: close calls teach a model most, and statements of one document
    teach much the same. Of statements with the same words one is taken.

    Args:
        rows: The label job's rows in order, read once.
        codebook: Whose labels the rows have.
        size: Most statements to choose; so many numbers are held in memory.
        scratch: An empty database for what is known of the others.
    """
    scratch.executescript(_TABLES)
    scratch.executemany(
        "INSERT INTO waiting VALUES (?, ?, ?, ?, ?)",
        (
            (_margin(row, codebook), str(row["id"]), i, _words(row), str(row["document_id"]))
            for i, row in enumerate(rows)
            if row.get("abstained") is True
        ),
    )
    repeated = different = 0
    kept: list[tuple[int, int, int]] = []  # a heap with the last of the chosen on top: turn, rank and number, negated
    ranked = scratch.execute("SELECT number, words, document FROM waiting ORDER BY margin, id, number")
    for place, (number, words, document) in enumerate(ranked):
        if not scratch.execute("INSERT OR IGNORE INTO seen VALUES (?)", (words,)).rowcount:
            repeated += 1
            continue
        different += 1
        (turn,) = scratch.execute(_TURN, (document,)).fetchone()
        entry = (-turn, -place, -number)
        if len(kept) < size:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)
    chosen = tuple(-number for _, _, number in sorted(kept, reverse=True))
    return Ranking(chosen, repeated, different - len(chosen))


def write_ranked(
    path: Path,
    ranking: Ranking,
    rows: Iterable[tuple[Mapping[str, object], Source | None]],
    codebook: Codebook,
    scratch: sqlite3.Connection,
) -> Queue:
    """Write the chosen rows as JSON Lines in their order, atomically; the same rows give the same bytes.

    Args:
        path: A file, replaced if it is there.
        ranking: From :func:`rank`.
        rows: The same rows again, each with the statement and document that it was cut from, None where the row is a
            statement by itself. They are read no further than the last one chosen.
        codebook: Whose labels the rows have.
        scratch: The database of the ranking.
    """
    places = {number: place for place, number in enumerate(ranking.chosen)}
    last = max(places, default=-1)
    for number, (row, source) in zip(range(last + 1), rows, strict=False):
        if number in places:
            line = msgspec.json.encode(_to_item(row, source, codebook)) + b"\n"
            scratch.execute("INSERT INTO lines VALUES (?, ?)", (places[number], line))
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.writelines(line for (line,) in scratch.execute("SELECT line FROM lines ORDER BY place"))
    return Queue(path, len(places), ranking.repeated, ranking.left_out)


def write_queue(
    path: Path,
    rows: Sequence[Mapping[str, object]],
    sources: Sequence[Source | None],
    codebook: Codebook,
    *,
    size: int = SIZE,
) -> Queue:
    """Rank and write rows that are in memory. See :func:`rank` and :func:`write_ranked`."""
    with contextlib.closing(sqlite3.connect(":memory:")) as scratch:
        ranking = rank(rows, codebook, size, scratch)
        return write_ranked(path, ranking, zip(rows, sources, strict=True), codebook, scratch)


def read_queue(path: Path, codebook: Codebook) -> tuple[list[Source], list[str]]:
    """Return the statements of a queue with their documents, in order, and a sentence on each line that is no such item.

    Raises:
        UsageError: when there is no such file.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a queue that `treaty-stance label --target-accuracy` wrote")
    found: list[Source] = []
    problems: list[str] = []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                item = _item(line, where=where)
            except RecordError as error:
                problems.append(str(error))
                continue
            name = item.codebook_version.partition("/")[0]
            if name != codebook.name:
                problems.append(f"{where}: expected codebook {codebook.name}, found {name}; give the codebook of the labels")
            else:
                found.append((item.statement, item.document))
    return found, problems


def _is_item(line: bytes) -> bool:
    try:
        _item(line, where="")
    except RecordError:
        return False
    return True


def _item(line: bytes, *, where: str) -> QueueItem:
    try:
        value: Any = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"{where}: expected a JSON object, but {error}") from error
    return to_record(value, QueueItem, where=where)


def _to_item(row: Mapping[str, object], source: Source | None, codebook: Codebook) -> QueueItem:
    """Make an item; title, date and publisher are the row's, which have no character that a file cannot hold."""

    def column(name: str) -> str | None:
        value = row.get(name)
        return value if isinstance(value, str) else None

    identity, about = str(row["id"]), {name: column(name) for name in ("title", "published", "publisher")}
    if source is None:
        text, url = str(row["text"]), column("url") or f"row:{identity}"
        document = Document(id=document_id(url, text), url=url, text=text, **about)  # type: ignore[arg-type]
        name = statement_id(document.id, 0, len(text))
        statement = Statement(id=name, document=document.id, start=0, end=len(text), text=text)
    else:
        statement, document = source[0], msgspec.structs.replace(source[1], **about)
    return QueueItem(id=identity, codebook_version=codebook.id, statement=statement, document=document)


def _words(row: Mapping[str, object]) -> bytes:
    return hashlib.sha256(" ".join(str(row["text"]).split()).casefold().encode("utf-8", "surrogatepass")).digest()


def _margin(row: Mapping[str, object], codebook: Codebook) -> float:
    """Return how far the likeliest stance lies above the next, in probability."""
    shares: Iterable[float] = (float(str(row[f"stance_{s}"])) for s in codebook.stance_ids)
    first, second = sorted(shares, reverse=True)[:2]
    return round(first - second, 6)
