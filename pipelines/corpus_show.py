"""The corpus on a terminal: its counts, and one document with the way back to the bytes that it came from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from corpus.errors import RecordError
from corpus.segment import segment
from pipelines.corpus_export import page_of

if TYPE_CHECKING:
    from corpus.records import Document, Statement
    from corpus.store import Stats, Store

_BAR = 30  # characters of the longest bar


def stats_lines(stats: Stats) -> list[str]:
    """Return the corpus's counts as lines, the months with a bar each."""
    lines = [
        f"{stats.documents} documents ({stats.revisions} of them revisions), {stats.statements} statements, "
        f"{stats.locations} locations",
        f"{stats.stories} stories, {stats.shared_stories} of them told by more than one document",
    ]
    for title, counts in (
        ("source", stats.by_source),
        ("month", stats.by_month),
        ("language", stats.by_language),
        ("kind", stats.by_kind),
        ("target stands in", stats.by_relevance),
        ("documents in a story", {str(size): n for size, n in stats.by_story_size.items()}),
    ):
        lines += ["", *_counted(title, counts)]
    return lines


def document_lines(store: Store, name: str) -> list[str]:
    """Return a document as lines: what is known of it, locations, snapshot, revisions, its story, statements.

    Args:
        store: Of the workspace.
        name: A document's or statement's id, the beginning of one, or an address.

    Raises:
        RecordError: when no document has that name, or several have.
    """
    document = find_document(store, name)
    snapshot = store.snapshot(document.snapshot) if document.snapshot else None
    lines = [
        document.title or "(no title)",
        f"id          {document.id}",
        f"address     {document.url}",
        *(
            f"{label:12}{value}"
            for label, value in (
                ("publisher", document.publisher),
                ("author", document.author),
                ("published", document.published),
                ("retrieved", document.retrieved),
                ("language", document.language),
                ("kind", document.kind),
                ("source", document.source),
                ("rights", document.rights),
                ("target in", document.relevance),
            )
            if value
        ),
        f"revision    {document.revision}",
        f"story       {document.story}",
    ]
    if snapshot is not None:
        lines.append(f"snapshot    {snapshot.id}, {snapshot.file}, byte {snapshot.offset}, {snapshot.length} bytes")
        lines.append(f"fetched     {snapshot.url}")
    if others := store.siblings(document):
        lines += ["", f"the same story or address: {', '.join(others)}"]
    lines += ["", "locations"]
    for place in store.locations(document.id):
        lines.append(f"  {place.url}   (source {place.source}, seen {place.first_seen} to {place.last_seen})")
    lines += ["", "statements"]
    for s in store.statements(document.id):
        lines += [f"  {_where(document, s)}", f"    {' '.join(s.text.split())}"]
    clutter = segment(document).clutter
    if clutter:
        lines += ["", "passed over"]
        lines += [f"  {piece.start}-{piece.end}, {piece.kind}: {' '.join(piece.text.split())}" for piece in clutter]
    return lines


def find_document(store: Store, name: str) -> Document:
    """Return the document of an id (its own or a statement's, whole or its beginning) or of an address.

    Raises:
        RecordError: when no document has that name, or several have.
    """
    found = store.find(name)
    if len(found) == 1:
        document = store.document(found[0])
        if document is not None:
            return document
    if found:
        raise RecordError(
            f"{name!r}: expected the name of one document, found {len(found)} that it fits ({', '.join(found[:5])}); "
            "give one of these ids"
        )
    raise RecordError(f"{name!r}: expected an id or an address of the corpus, found none; `corpus export` lists them")


def _where(document: Document, s: Statement) -> str:
    page = page_of(document.pages, s.start)
    parts = [f"{s.start}-{s.end}", f"page {page}" if page else None, s.voice, f"holder: {s.holder}" if s.holder else None]
    return ", ".join(p for p in parts if p)


def _counted(title: str, counts: Mapping[str, int]) -> list[str]:
    width = max((len(name) for name in counts), default=0)
    most = max(counts.values(), default=1)
    return [
        title,
        *(f"  {name.ljust(width)}  {n:>7}  {'#' * round(_BAR * n / most)}".rstrip() for name, n in counts.items()),
    ]
