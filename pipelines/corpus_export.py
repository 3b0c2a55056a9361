"""Export of a workspace's corpus: documents, statements and locations as JSON Lines and Parquet, in one fixed order."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from corpus.errors import UsageError
from corpus.files import atomic_path
from pipelines.manifest import describe_output, write_manifest

if TYPE_CHECKING:
    import pyarrow as pa

    from corpus.store import Store

FORMATS = ("jsonl", "parquet")
_ROWS = 2000  # rows held in memory at a time


@dataclass(frozen=True)
class Exported:
    """Files written, and the number of rows of each table."""

    files: tuple[Path, ...]
    rows: dict[str, int]


def export_corpus(store: Store, folder: Path, *, formats: Iterable[str] = FORMATS, created: str, database: str) -> Exported:
    """Write `documents`, `statements` and `locations`, each in every format, and `manifest.json`.

    `statements` carries its document's title, date, publisher and address, so that `treaty-stance label` takes it as it is.

    Raises:
        UsageError: when the folder holds anything but an earlier export, or cannot be written to.
    """
    wanted = tuple(formats)
    tables = _tables()
    names = {f"{table}.{form}" for table in tables for form in FORMATS} | {"manifest.json"}
    if folder.exists():
        others = sorted({p.name for p in folder.iterdir()} - names) if folder.is_dir() else [folder.name]
        if others:
            raise UsageError(
                f"{folder}: expected a new folder or an earlier export, found {others[0]}; choose another folder"
            )
    rows: dict[str, int] = {}
    files: list[Path] = []
    sources: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "documents": lambda: (_document(d) for d in store.documents()),
        "statements": lambda: _statements(store),
        "locations": lambda: _locations(store),
    }
    for table, schema in tables.items():
        with contextlib.ExitStack() as stack:
            writers = [_Writer(stack, folder / f"{table}.{form}", form, schema) for form in wanted]
            count = 0
            for piece in _pieces(sources[table]()):
                count += len(piece)
                for writer in writers:
                    writer.write(piece)
        rows[table] = count
        files += [folder / f"{table}.{form}" for form in wanted]
    for form in set(FORMATS) - set(wanted):
        for table in tables:
            (folder / f"{table}.{form}").unlink(missing_ok=True)
    outputs = [describe_output(p, folder=folder, rows=rows[p.stem]) for p in files]
    write_manifest(
        folder / "manifest.json",
        command="corpus export",
        inputs=[{"path": database}],
        created=created,
        outputs=outputs,
    )
    return Exported((*files, folder / "manifest.json"), rows)


class _Writer:
    """One table in one format: open until its stack closes, then whole under its name."""

    def __init__(self, stack: contextlib.ExitStack, path: Path, form: str, schema: pa.Schema) -> None:
        self._schema = schema
        temporary = stack.enter_context(atomic_path(path))
        if form == "parquet":
            import pyarrow.parquet as pq

            self._table: Any = stack.enter_context(pq.ParquetWriter(temporary, schema, compression="zstd"))
        else:
            self._lines: Any = stack.enter_context(temporary.open("wb"))
        self._form = form

    def write(self, rows: list[dict[str, Any]]) -> None:
        """Write rows."""
        if self._form == "parquet":
            import pyarrow as pa

            self._table.write_table(pa.Table.from_pylist(rows, schema=self._schema))
        else:
            self._lines.write(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _pieces(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    piece: list[dict[str, Any]] = []
    for row in rows:
        piece.append(row)
        if len(piece) == _ROWS:
            yield piece
            piece = []
    if piece:
        yield piece


_FROM_DOCUMENT = (
    *("title", "published", "publisher", "url", "author", "language", "kind", "source", "rights", "relevance", "revision"),
    *("story", "retrieved", "snapshot"),
)


def _tables() -> Mapping[str, Any]:
    """Return each table's Arrow schema."""
    import pyarrow as pa

    from corpus.records import Document
    from corpus.schemas import arrow_schema

    text, whole = pa.string(), pa.int64()
    document = arrow_schema(Document).remove_metadata()
    statement = [
        *(("id", text), ("document_id", text), ("start", whole), ("end", whole), ("page", whole), ("text", text)),
        *(("before", text), ("after", text), ("voice", text), ("holder", text)),
        *((name, document.field(name).type) for name in _FROM_DOCUMENT),
    ]
    location = [(name, text) for name in ("document_id", "url", "source", "snapshot", "first_seen", "last_seen")]
    return {"documents": document, "statements": pa.schema(statement), "locations": pa.schema(location)}


def _document(document: Any) -> dict[str, Any]:
    return dict(msgspec.to_builtins(document))


def _statements(store: Store) -> Iterator[dict[str, Any]]:
    for document in store.documents():
        shared = {name: getattr(document, name) for name in _FROM_DOCUMENT}
        for s in store.statements(document.id):
            yield {
                "id": s.id,
                "document_id": s.document,
                "start": s.start,
                "end": s.end,
                "page": page_of(document.pages, s.start),
                "text": s.text,
                "before": s.before,
                "after": s.after,
                "voice": s.voice,
                "holder": s.holder,
                **shared,
            }


def page_of(pages: tuple[int, ...], start: int) -> int | None:
    """Return the number of the PDF page on which an offset lies, counted from 1; None for a document without pages."""
    return sum(1 for begin in pages if begin <= start) or None


def _locations(store: Store) -> Iterator[dict[str, Any]]:
    for document in store.documents():
        for location in store.locations(document.id):
            row = msgspec.to_builtins(location)
            yield {"document_id": row.pop("document"), **row}
