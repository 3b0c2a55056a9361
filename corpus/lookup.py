"""Looking documents up in a store, as people name them, and what belongs with them."""

from __future__ import annotations

from sqlalchemy import Connection, or_, select

from corpus import tables
from corpus.identity import canonical_url, digest
from corpus.records import Document

_MOST_FOUND = 20
_MOST_SIBLINGS = 100
_SCHEMES = ("http:", "https:", "file:")


def find(connection: Connection, name: str) -> list[str]:
    """Return the ids of the documents that a name fits, ``_MOST_FOUND`` at most.

    The name is a document's or a statement's id, the beginning of one, or an address, of which the latest revision counts.
    """
    d, here = tables.documents, tables.locations
    if name.startswith(_SCHEMES):
        at = select(here.c.document).where(here.c.address == digest(canonical_url(name)))
        query = select(d.c.id).where(d.c.id.in_(at)).order_by(d.c.revision.desc(), d.c.id).limit(1)
    else:
        begins = d.c.id.startswith(name.partition(":")[0], autoescape=True)
        query = select(d.c.id).where(begins).order_by(d.c.id).limit(_MOST_FOUND)
    return list(connection.execute(query).scalars())


def siblings(connection: Connection, document: Document) -> list[str]:
    """Return the ids of the other documents of a document's story or address, ``_MOST_SIBLINGS`` at most."""
    d, g = tables.documents, tables.signatures
    same = or_(g.c.story == document.story, d.c.address == document.id.split("-")[0])
    query = select(d.c.id).join(g, g.c.document == d.c.id).where(same, d.c.id != document.id)
    return list(connection.execute(query.order_by(d.c.id).limit(_MOST_SIBLINGS)).scalars())
