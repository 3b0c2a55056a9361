"""What a label job reads, as the rows of its output before they are judged: statements, each in its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from corpus.errors import RecordError
from corpus.extract import MAX_CHARACTERS, read_document
from corpus.identity import canonical_url, digest, document_id
from corpus.records import VOICES, Document, Statement
from corpus.segment import segment
from corpus.voice import attribute
from pipelines.inputs import MAX_STATEMENT, Source, read_table, shown
from pipelines.rows import InputRow

_PAGES = ("text/html", "application/xhtml+xml", "application/pdf", "text/plain", "text/markdown")
_STATEMENT = re.compile(r"(?P<document>[0-9a-f]{16}-[0-9a-f]{16}):(?P<start>\d{1,9})-(?P<end>\d{1,9})")
_SURROGATE = "text has half of a surrogate pair, which is no character"  # what some PDF files give for an emoji


@dataclass(frozen=True, slots=True)
class Item:
    """A row of the output before it is judged: its input columns, the context for the judge, or why it is invalid.

    ``speaker`` is the name that a lead-in above the statement gives, ``whole`` the text of the document it was cut from
    and ``source`` the records of both.
    """

    columns: dict[str, object]
    before: str = ""
    reason: str | None = None
    speaker: str | None = None
    whole: str = ""
    source: tuple[Statement, Document] | None = None


@dataclass(slots=True)
class Tally:
    """What is counted while reading: clutter by kind, columns without meaning, records of archives that are no documents.

    ``skipped`` names the files that are not read at all.
    """

    clutter: Counter[str] = field(default_factory=Counter)
    ignored: set[str] = field(default_factory=set)
    passed_over: Counter[str] = field(default_factory=Counter)
    skipped: list[str] = field(default_factory=list)

    def take(self) -> Tally:
        """Return what has been counted since the last time, and begin anew."""
        taken = Tally(Counter(self.clutter), set(self.ignored), Counter(self.passed_over), list(self.skipped))
        for part in (self.clutter, self.ignored, self.passed_over, self.skipped):
            part.clear()
        return taken


def read_items(sources: Sequence[Source], unit: str | None, tally: Tally) -> Iterator[Item]:
    """Yield the rows of all sources, in order; what is counted on the way goes into the tally.

    Raises:
        UsageError: when a file cannot be read.
        RecordError: when a table or an archive is of a wrong form.
    """
    for source in sources:
        if source.kind == "document":
            yield from _file_items(source, tally)
        elif source.kind == "archive":
            yield from _archive_items(source, tally)
        elif unit == "document":
            for row in read_table(source, longest=MAX_CHARACTERS, ignored=tally.ignored):
                yield from _document_row_items(row, tally)
        else:
            for row in read_table(source, longest=MAX_STATEMENT, ignored=tally.ignored):
                yield _statement_item(row)


def _statement_item(row: InputRow) -> Item:
    """Make an item of a row that is one statement.

    Without an id of its own the row is named by a hash of its content. A statement's id, as the corpus has it, says which
    document it is from and where it stands there. Other rows of one address belong to one document; a row without an
    address is a document by itself.
    """
    columns = _input_columns(row)
    if row.text is None:
        return Item(columns, reason=row.reason)
    if row.id is None:
        parts = (row.text, row.url, row.title, row.published, row.publisher, row.holder, row.holder_type)
        columns["id"] = digest(*(part or "" for part in parts))
    columns["document_id"] = digest(canonical_url(row.url)) if row.url else document_id("", row.text)
    start = 0
    place = _STATEMENT.fullmatch(row.id or "")
    if place and int(place["end"]) - int(place["start"]) == len(row.text):
        columns["document_id"], start = place["document"], int(place["start"])
    voice = row.voice if row.voice in VOICES else None
    return Item({**columns, "start": start, "end": start + len(row.text), "text": row.text, "voice": voice})


def _input_columns(row: InputRow) -> dict[str, object]:
    names = ("id", "title", "published", "publisher", "url", "holder", "holder_type")
    return {name: getattr(row, name) for name in names}


def _document_row_items(row: InputRow, tally: Tally) -> Iterator[Item]:
    """Cut a row that is a document. Without an address it is named by its id, or by its content."""
    columns = _input_columns(row)
    if row.text is None:
        yield Item(columns, reason=row.reason)
        return
    url = row.url or f"row:{row.id or digest(row.text, row.title or '', row.published or '', row.publisher or '')}"
    document = Document(
        id=document_id(url, row.text),
        url=url,
        text=row.text,
        title=row.title,
        published=row.published,
        publisher=row.publisher,
    )
    yield from _document_items(document, columns, tally)


def _file_items(source: Source, tally: Tally) -> Iterator[Item]:
    path = source.path
    assert path is not None  # noqa: S101 - documents always come from files
    root = source.root or path.parent
    try:
        document = read_document(path, root=root)
    except (RecordError, UnicodeEncodeError) as error:
        broken = isinstance(error, UnicodeEncodeError)
        reason = _SURROGATE if broken else str(error).removeprefix(str(path)).lstrip(":, ")
        yield Item({"url": source.address or f"file:{shown(path.relative_to(root))}"}, reason=reason)
        return
    if source.address is not None and document.url.startswith("file:"):  # a page that names its own address keeps that
        name = document_id(source.address, document.text)
        document = msgspec.structs.replace(document, id=name, url=source.address)
    yield from _document_items(document, _document_columns(document), tally)


def _archive_items(source: Source, tally: Tally) -> Iterator[Item]:
    """Read the pages of a WARC archive; answers that are no pages (errors, pictures, scripts) are counted, not read."""
    from corpus.archive import read_archive
    from corpus.page import PageError, read_page, to_document

    assert source.path is not None  # noqa: S101 - archives always come from files
    faults: list[tuple[str, str]] = []
    payloads = read_archive(source.path, fault=lambda where, error: faults.append((where, str(error))))
    for payload in payloads:
        yield from _faulty(faults)
        found = payload.snapshot
        if found.status not in (200, None) or (found.mime or "text/html") not in _PAGES:
            tally.passed_over[source.name] += 1
            continue
        try:
            page = read_page(payload.body, url=found.url, mime=found.mime, headers=payload.headers, latest=found.date[:10])
        except PageError as error:
            yield Item({"url": found.url}, reason=str(error).removeprefix(found.url).lstrip(":, "))
            continue
        document = to_document(page, found.url)
        yield from _document_items(document, _document_columns(document), tally)
    yield from _faulty(faults)


def _faulty(faults: list[tuple[str, str]]) -> Iterator[Item]:
    for where, reason in faults:
        yield Item({"url": where}, reason=reason.removeprefix(where).lstrip(":, "))
    faults.clear()


def _document_columns(document: Document) -> dict[str, object]:
    columns: dict[str, object] = {}
    for name in ("title", "published", "publisher", "url"):
        value = getattr(document, name)
        columns[name] = None if value is None else value.encode("utf-8", "replace").decode("utf-8")
    return columns


def _document_items(document: Document, columns: Mapping[str, object], tally: Tally) -> Iterator[Item]:
    segmentation = segment(document)
    tally.clutter.update(segmentation.counts)
    for s in attribute(segmentation):
        place = {"id": s.id, "document_id": document.id, "start": s.start, "end": s.end, "voice": s.voice}
        if len(s.text) > MAX_STATEMENT:  # a text without stops, such as a table or a listing
            reason = f"text is longer than {MAX_STATEMENT:,} characters"
            yield Item({**columns, **place}, reason=reason, whole=document.text)
        else:
            speaker = segmentation.attributions.get(s.id)
            columns_of = {**columns, **place, "text": s.text}
            yield Item(columns_of, before=s.before, speaker=speaker, whole=document.text, source=(s, document))
    if not segmentation.statements:
        yield Item(
            {**columns, "document_id": document.id}, reason="document has no statement, only headings and page furniture"
        )
