"""Looking documents up in a store, as people name them, and what belongs with them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, or_, select

from corpus import tables
from corpus.database import Database
from corpus.identity import canonical_url, digest, site
from corpus.records import Document

_MOST_FOUND = 20
_MOST_SIBLINGS = 100
_SCHEMES = ("http:", "https:", "file:")
_TOGETHER = 500  # names asked for at once


class Described(NamedTuple):
    """What a store knows of a document beside its text. ``hosts`` are those of the other addresses at which it was found."""

    kind: str | None
    language: str | None
    source: str | None
    story: str
    hosts: tuple[str, ...] = ()


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


def describe(database: Database, documents: Sequence[str]) -> dict[str, Described]:
    """Return what a store knows of documents, by id; ids that it does not have are left out."""
    d, g, here = tables.documents, tables.signatures, tables.locations
    found: dict[str, Described] = {}
    hosts: dict[str, dict[str, None]] = defaultdict(dict)
    with database.read() as c:
        for some in _some(documents):
            wanted = (d.c.id, d.c.url, d.c.kind, d.c.language, d.c.source, g.c.story)
            query = select(*wanted).outerjoin(g, g.c.document == d.c.id).where(d.c.id.in_(some))
            own = {}
            for i, url, kind, language, source, story in c.execute(query):
                own[i] = site(url)
                found[i] = Described(kind, language, source, story or i)
            places = select(here.c.document, here.c.url).where(here.c.document.in_(some))
            for i, url in c.execute(places.order_by(here.c.document, here.c.first_seen, here.c.url)):
                host = site(url)
                if host and host != own.get(i):
                    hosts[i][host] = None
    return {i: seen._replace(hosts=tuple(hosts.get(i, ()))) for i, seen in found.items()}


def contexts(database: Database, statements: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the sentences before and after statements, by id; ids that the store does not have are left out."""
    s = tables.statements
    found: dict[str, tuple[str, str]] = {}
    with database.read() as c:
        for some in _some(statements):
            query = select(s.c.id, s.c.before, s.c.after).where(s.c.id.in_(some))
            found.update({i: (before, after) for i, before, after in c.execute(query)})
    return found


def _some(names: Sequence[str]) -> Iterator[Sequence[str]]:
    yield from (names[i : i + _TOGETHER] for i in range(0, len(names), _TOGETHER))
