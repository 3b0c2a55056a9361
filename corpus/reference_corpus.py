"""The reference corpus that ships with the package: its three files, checked line by line and turned into records."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from corpus.errors import RecordError
from corpus.files import read_jsonl
from corpus.identity import document_id, normalise, statement_id
from corpus.records import Annotation, Document, GoldLabel, Record, Statement

__all__ = ["SHIPPED", "ReferenceCorpus", "load_reference"]

SHIPPED = Path(__file__).parent / "reference"

_SEPARATOR = "\n\n"  # between the statements of a document: each is a paragraph of its own
_Filled = Annotated[str, msgspec.Meta(min_length=1)]
_Version = Annotated[int, msgspec.Meta(ge=1)]


class StatementLine(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement within a line of ``documents.jsonl``; holder and type as its writer saw them."""

    id: _Filled
    text: _Filled
    holder: _Filled | None
    holder_type: _Filled

    def __post_init__(self) -> None:
        if normalise(self.text) != self.text or self.text.strip() != self.text:
            raise ValueError(f"text of {self.id!r} is not in stored form: NFC, line ends \\n, no white space around it")


class DocumentLine(Record, frozen=True, kw_only=True):
    """A line of ``documents.jsonl``."""

    id: _Filled
    url: _Filled
    publisher: _Filled
    published: str | None
    title: _Filled
    kind: _Filled
    language: _Filled
    statements: Annotated[tuple[StatementLine, ...], msgspec.Meta(min_length=1)]

    def __post_init__(self) -> None:
        if self.published is not None:
            try:
                day = datetime.date.fromisoformat(self.published).isoformat()
            except ValueError:
                day = None
            if day != self.published:
                raise ValueError(f"published is {self.published!r}, expected a date as YYYY-MM-DD, or null")


class AnnotationLine(Record, frozen=True, kw_only=True):
    """A line of ``annotations.jsonl``; ``statement`` is the id that ``documents.jsonl`` uses."""

    statement: str
    annotator: _Filled
    codebook_version: _Version
    stance: str
    concerns: tuple[str, ...]
    holder: _Filled | None
    holder_type: str
    certainty: Annotated[int, msgspec.Meta(ge=1, le=3)]


class GoldLine(Record, frozen=True, kw_only=True):
    """A line of ``gold.jsonl``; ``statement`` is the id that ``documents.jsonl`` uses."""

    statement: str
    codebook_version: _Version
    stance: str
    concerns: tuple[str, ...]
    holder: _Filled | None
    holder_type: str
    settled: Literal["agreed", "adjudicated"]


@dataclass(frozen=True)
class ReferenceCorpus:
    """The reference corpus as records, in the order of its files.

    The mappings are keyed by the id of a :class:`Statement` record: ``document_of`` gives the document,
    ``reference_id`` the id in the files (``aft-001-s1``: slice, document, statement), ``written`` the holder and holder
    type as the writer of the statement saw them. Labels are names only: whoever has the codebook checks them.
    """

    documents: tuple[Document, ...]
    statements: tuple[Statement, ...]
    document_of: Mapping[str, Document]
    reference_id: Mapping[str, str]
    written: Mapping[str, tuple[str | None, str]]
    annotations: tuple[Annotation, ...]
    gold: tuple[GoldLabel, ...]


def load_reference(folder: Path | None = None) -> ReferenceCorpus:
    """Load and check ``documents.jsonl``, ``annotations.jsonl`` and ``gold.jsonl``; by default the shipped ones.

    A document's text is its statements joined by blank lines. ``codebook_version`` is the files' number as text, since
    the files know no content hash. Each gold label's ``distribution`` is the shares of the stances of its two readings.

    Raises:
        UsageError: when a file does not exist.
        RecordError: when a line is malformed (file, line and field are named), a document stands twice, a holder is not
            in its statement's text, or a statement lacks its gold label or two readings by different annotators.
    """
    folder = SHIPPED if folder is None else folder
    path = folder / "documents.jsonl"
    documents: dict[str, Document] = {}
    statements: dict[str, Statement] = {}  # by the files' id
    document_of: dict[str, Document] = {}
    written: dict[str, tuple[str | None, str]] = {}
    names: dict[str, str] = {}  # document id -> id in the file
    for line in read_jsonl(path, DocumentLine):
        document = _document(line)
        if document.id in names:
            raise RecordError(
                f"{path}: documents {names[document.id]!r} and {line.id!r} have the same address and text; remove one"
            )
        if line.id in names.values():
            raise RecordError(f"{path}: document id {line.id!r} stands twice; give each document its own id")
        names[document.id] = line.id
        documents[document.id] = document
        for item, statement in zip(line.statements, _statements(line, document), strict=True):
            if item.id in statements:
                raise RecordError(f"{path}: statement id {item.id!r} stands twice; give each statement its own id")
            statements[item.id] = statement
            document_of[statement.id] = document
            written[statement.id] = (item.holder, item.holder_type)
    annotations = _annotations(folder / "annotations.jsonl", statements)
    gold = _gold(folder / "gold.jsonl", statements, annotations)
    return ReferenceCorpus(
        documents=tuple(documents.values()),
        statements=tuple(statements.values()),
        document_of=document_of,
        reference_id={statement.id: name for name, statement in statements.items()},
        written=written,
        annotations=tuple(annotation for pair in annotations.values() for annotation in pair),
        gold=gold,
    )


def _document(line: DocumentLine) -> Document:
    text = _SEPARATOR.join(item.text for item in line.statements)
    return Document(
        id=document_id(line.url, text),
        url=line.url,
        text=text,
        publisher=line.publisher,
        published=line.published,
        title=line.title,
        language=line.language,
        kind=line.kind,
    )


def _statements(line: DocumentLine, document: Document) -> list[Statement]:
    texts = [item.text for item in line.statements]
    made: list[Statement] = []
    start = 0
    for i, text in enumerate(texts):
        end = start + len(text)
        made.append(
            Statement(
                id=statement_id(document.id, start, end),
                document=document.id,
                start=start,
                end=end,
                text=document.text[start:end],
                before=texts[i - 1] if i else "",
                after=texts[i + 1] if i + 1 < len(texts) else "",
            )
        )
        start = end + len(_SEPARATOR)
    return made


def _annotations(path: Path, statements: Mapping[str, Statement]) -> dict[str, list[Annotation]]:
    """Return the readings by the files' statement id, in the order of the file."""
    readings: dict[str, list[Annotation]] = {}
    for line in read_jsonl(path, AnnotationLine):
        where = f"{path}: annotation of {line.statement!r} by {line.annotator!r}"
        statement = _statement(line.statement, line.holder, statements, where)
        try:
            made = Annotation(
                statement=statement.id,
                annotator=line.annotator,
                codebook_version=str(line.codebook_version),
                stance=line.stance,
                concerns=line.concerns,
                holder=line.holder,
                holder_type=line.holder_type,
                blind=True,
                certainty=line.certainty,
            )
        except ValueError as error:
            raise RecordError(f"{where}: {error}") from error
        readings.setdefault(line.statement, []).append(made)
    for name in statements:
        annotators = [a.annotator for a in readings.get(name, [])]
        if len(annotators) != 2 or annotators[0] == annotators[1]:
            raise RecordError(
                f"{path}: statement {name!r} has {len(annotators)} readings ({', '.join(annotators) or 'none'}), "
                "expected two by different annotators; add or remove lines"
            )
    return readings


def _gold(
    path: Path, statements: Mapping[str, Statement], readings: Mapping[str, list[Annotation]]
) -> tuple[GoldLabel, ...]:
    made: dict[str, GoldLabel] = {}
    for line in read_jsonl(path, GoldLine):
        where = f"{path}: gold label of {line.statement!r}"
        statement = _statement(line.statement, line.holder, statements, where)
        if line.statement in made:
            raise RecordError(f"{where} stands twice, expected one a statement; remove one")
        given = Counter(annotation.stance for annotation in readings[line.statement])
        try:
            made[line.statement] = GoldLabel(
                statement=statement.id,
                codebook_version=str(line.codebook_version),
                stance=line.stance,
                concerns=line.concerns,
                holder=line.holder,
                holder_type=line.holder_type,
                distribution={stance: n / given.total() for stance, n in given.items()},
                settled=line.settled,
            )
        except ValueError as error:
            raise RecordError(f"{where}: {error}") from error
    missing = [name for name in statements if name not in made]
    if missing:
        raise RecordError(f"{path}: statement {missing[0]!r} has no gold label ({len(missing)} lack one); add it")
    return tuple(made.values())


def _statement(name: str, holder: str | None, statements: Mapping[str, Statement], where: str) -> Statement:
    """Return the statement of that name, of which the holder must be a part."""
    if name not in statements:
        raise RecordError(f"{where}: documents.jsonl has no such statement; mend the id or remove the line")
    if holder is not None and holder not in statements[name].text:
        raise RecordError(f"{where}: holder is {holder!r}, expected words of the statement exactly as they stand there")
    return statements[name]
