"""Rows: how records become rows of the store's tables and rows become records, and the statements that ask for them.

The statements are made once: to put one together takes longer than to execute it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, Select, bindparam, func, or_, select

from corpus import tables
from corpus.errors import RecordError
from corpus.records import Document
from corpus.runs import Outcome

if TYPE_CHECKING:
    from corpus.snapshot import Snapshot

_SURROGATE = re.compile("[\ud800-\udfff]")

# The story of a document stands beside its signature.
DOCUMENTS: Select[Any] = select(
    *(tables.documents.c[name] for name in Document.__struct_fields__ if name not in {"version", "story"}),
    tables.signatures.c.story,
).join(tables.signatures, tables.signatures.c.document == tables.documents.c.id)


# What ``put_document`` asks: the document of a text, how many stand at an address, a location, an outcome.
KNOWN = select(tables.documents.c.id, tables.documents.c.text).where(tables.documents.c.content == bindparam("content"))
EARLIER = (
    select(func.count())
    .select_from(tables.documents)
    .where(
        or_(
            tables.documents.c.address == bindparam("own"),
            tables.documents.c.id.in_(
                select(tables.locations.c.document).where(tables.locations.c.address == bindparam("place"))
            ),
        )
    )
)
LOCATION = select(tables.locations).where(
    tables.locations.c.document == bindparam("document"), tables.locations.c.address == bindparam("address")
)
OUTCOME = select(*(tables.outcomes.c[name] for name in Outcome.__struct_fields__)).where(
    *(tables.outcomes.c[name] == bindparam(name) for name in ("run", "source", "address"))
)


def to_document(row: Row[Any]) -> Document:
    """Return the document of a row of DOCUMENTS."""
    return Document(**{**row._mapping, "pages": tuple(json.loads(row.pages))})


def to_snapshot(row: Row[Any]) -> Snapshot:
    """Return the snapshot of a row of its table."""
    from corpus.snapshot import Snapshot

    fields = {name: row._mapping[name] for name in Snapshot.__struct_fields__}
    return Snapshot(**{**fields, "hints": json.loads(row.hints)})


def to_row(what: str, record: msgspec.Struct) -> dict[str, Any]:
    """Return a record's fields, after making sure that both databases can hold them.

    Raises:
        RecordError: when a field has a NUL character, which PostgreSQL cannot hold, or half a surrogate pair.
    """
    row = msgspec.structs.asdict(record)
    for name, value in row.items():
        if isinstance(value, str) and ("\x00" in value or _SURROGATE.search(value)):
            bad = "a NUL character" if "\x00" in value else "half a surrogate pair"
            label = ascii(row.get("url") or row.get("id"))[:200]
            raise RecordError(f"{what} {label}: {name} has {bad}, which no text may have; clean it where it is extracted")
    return row


def storable(text: str) -> str:
    """Return a text with what no database can hold replaced by U+FFFD: for remarks, never for a document's text."""
    return _SURROGATE.sub("\ufffd", text.replace("\x00", "\ufffd"))
