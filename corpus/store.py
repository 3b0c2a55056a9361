"""The store: what was fetched, what became of it, and the documents and statements that it holds.

Every write can be repeated without effect, and any number of processes may write at once. Ids are content hashes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, or_, select, tuple_

from corpus import stories, tables
from corpus.database import Held, open_database
from corpus.errors import RecordError
from corpus.figures import NONE, Stats, count
from corpus.identity import canonical_url, digest
from corpus.lookup import find, siblings
from corpus.records import Document, Statement
from corpus.rows import DOCUMENTS, EARLIER, KNOWN, LOCATION, OUTCOME, storable, to_document, to_row, to_snapshot
from corpus.runs import OUTCOMES, Location, Outcome, Run

if TYPE_CHECKING:
    from corpus.snapshot import Snapshot

__all__ = ["NONE", "OUTCOMES", "Location", "Outcome", "Run", "Stats", "Store"]

_PLACE = 256  # characters of an address that are sorted by
_REFILLING = "refilling"  # of the table meta
_PAGE = 500  # rows held at once while reading; texts are read by a tenth of it


class Store(Held):
    """A corpus in a database. Use it as a context manager, or close it."""

    @staticmethod
    def open(url: str) -> Store:
        """Open a store, made or migrated where need be.

        Args:
            url: ``sqlite:///PATH`` or ``postgresql://USER@HOST/NAME`` (with pg8000, unless the address names a driver).

        Raises:
            UsageError: when the address is no address of a SQLite or PostgreSQL database.
            RecordError: when the database cannot be reached, is not ours, or is of a newer version.
        """
        return Store(open_database(url))

    # Runs

    def start_run(self, run: Run) -> None:
        """Note a run; one of that id which is there already stays as it is."""
        row = {**to_row("run", run), "sources": json.dumps(run.sources)}
        self._database.write(lambda c: self._database.upsert(c, tables.runs, row))

    def finish_run(self, run_id: str, finished: str) -> None:
        """Note when a run ended.

        Raises:
            RecordError: when there is no such run.
        """

        def work(c: Connection) -> None:
            if not c.execute(tables.runs.update().where(tables.runs.c.id == run_id).values(finished=finished)).rowcount:
                raise RecordError(f"the store has no run {run_id!r} that could be finished; start it first")

        self._database.write(work)

    def runs(self) -> list[Run]:
        """Return all runs, in the order in which they started."""
        t = tables.runs
        with self._database.read() as c:
            rows = c.execute(select(t).order_by(t.c.started, t.c.id)).mappings().all()
        return [Run(**{**row, "sources": tuple(json.loads(row["sources"]))}) for row in rows]

    def unfinished_runs(self) -> list[Run]:
        """Return the runs that have no end, in the order in which they started."""
        return [run for run in self.runs() if run.finished is None]

    # Snapshots

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Register a WARC record; for one that is known, note where it stands now.

        Raises:
            RecordError: when a field cannot be stored.
        """
        self.add_snapshots([snapshot])

    def add_snapshots(self, snapshots: Iterable[Snapshot]) -> None:
        """Register WARC records, many in one transaction.

        Raises:
            RecordError: when a field cannot be stored.
        """

        def put(c: Connection, snapshot: Snapshot) -> None:
            row = to_row("snapshot", snapshot)
            row |= {"address": digest(snapshot.url), "place": snapshot.url[:_PLACE], "hints": json.dumps(snapshot.hints)}
            self._database.upsert(c, tables.snapshots, row, update=("file", "offset", "length"))

        self._database.write_each(snapshots, put)

    def snapshot(self, snapshot_id: str) -> Snapshot | None:
        """Return a snapshot by its id, or None."""
        return self._snapshot(select(tables.snapshots).where(tables.snapshots.c.id == snapshot_id))

    def latest_snapshot(self, url: str) -> Snapshot | None:
        """Return the latest whole payload fetched from exactly this address (status 200, or none for a file), or None."""
        t = tables.snapshots
        whole = and_(t.c.address == digest(url), t.c.role != "redirect", or_(t.c.status == 200, t.c.status.is_(None)))
        return self._snapshot(select(t).where(whole).order_by(t.c.date.desc(), t.c.id.desc()).limit(1))

    def pending(self, run_id: str, sources: Sequence[str]) -> Iterator[Snapshot]:
        """Yield a run's document snapshots whose address has no outcome yet: by source as given, then by address.

        Addresses are sorted by code point, by their first 256 characters. Of several snapshots of one address in one
        source, the latest counts. Outcomes may be written while the iterator runs.
        """
        s, o = tables.snapshots, tables.outcomes
        later = s.alias()
        same = and_(
            later.c.run == s.c.run, later.c.source == s.c.source, later.c.role == s.c.role, later.c.place == s.c.place
        )
        same = and_(same, later.c.address == s.c.address, tuple_(later.c.date, later.c.id) > tuple_(s.c.date, s.c.id))
        done = and_(o.c.run == s.c.run, o.c.source == s.c.source, o.c.address == s.c.address)
        for source in dict.fromkeys(sources):
            query = select(s).where(s.c.run == run_id, s.c.source == source, s.c.role == "document")
            query = query.where(~exists().where(done), ~exists().where(same))
            for row in self._pages(query, s.c.place, s.c.address):
                yield to_snapshot(row)

    def fetched(self, run_id: str, source: str) -> set[str]:
        """Return the addresses of a source that have a snapshot of any role, or an outcome, in a run."""
        with self._database.read() as c:
            return {
                url
                for t in (tables.snapshots, tables.outcomes)
                for url in c.execute(select(t.c.url).where(t.c.run == run_id, t.c.source == source)).scalars()
            }

    # Outcomes

    def add_outcome(self, outcome: Outcome) -> None:
        """Note what became of an address; an earlier outcome of it in the same run and source is replaced.

        Raises:
            RecordError: when a field cannot be stored.
        """
        self.add_outcomes([outcome])

    def add_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """Note what became of addresses, many in one transaction.

        Raises:
            RecordError: when a field cannot be stored.
        """
        self._database.write_each(outcomes, self._put_outcome)

    def outcomes(self, run_id: str) -> list[Outcome]:
        """Return a run's outcomes, by source and address."""
        t = tables.outcomes
        columns = [t.c[name] for name in Outcome.__struct_fields__]
        with self._database.read() as c:
            rows = c.execute(select(*columns).where(t.c.run == run_id).order_by(t.c.source, t.c.url)).mappings().all()
        return [Outcome(**row) for row in rows]

    def counts(self, run_id: str) -> dict[str, dict[str, int]]:
        """Return how many addresses of a run had which outcome, by source; what did not occur is left out."""
        t = tables.outcomes
        query = select(t.c.source, t.c.outcome, func.count()).where(t.c.run == run_id).group_by(t.c.source, t.c.outcome)
        counts: dict[str, dict[str, int]] = {}
        with self._database.read() as c:
            for source, outcome, n in c.execute(query.order_by(t.c.source, t.c.outcome)):
                counts.setdefault(source, {})[outcome] = n
        return counts

    # Documents

    def put_document(
        self,
        document: Document,
        statements: Sequence[Statement],
        *,
        location: Location,
        outcome: Outcome,
        signature: bytes | None,
    ) -> Outcome:
        """Store a page with its statements, location, story and outcome, in one transaction.

        A text is stored once. Known at this address, it is ``unchanged``: it was seen again. Known elsewhere, it is a
        ``copy``: the known document has one location more. A text not known is ``revised`` where other documents stand
        at the address, with 1 plus their number as its revision, else ``new``. Addresses are compared in canonical form.

        Args:
            document: Its revision and story are found here, whatever they say.
            statements: Of the document; stored only with a text that was not known.
            location: Where the page was found; its document is set here.
            outcome: Of the page; its ``outcome`` and ``document`` are set here.
            signature: What ``corpus.stories.signature`` makes of the text.

        Returns:
            The outcome as stored. The same page, put a second time in the same run, keeps its first outcome.

        Raises:
            RecordError: when a field cannot be stored, a statement is not the document's, or another text has its hash.
        """
        row = to_row("document", document)
        row |= {
            "address": document.id.split("-")[0],
            "content": document.id.split("-")[1],
            "pages": json.dumps(document.pages),
        }
        del row["version"], row["story"]
        said = []
        for s in statements:
            if s.document != document.id or document.text[s.start : s.end] != s.text:
                raise RecordError(f"statement {s.id} is no part of document {document.id}; segment that document's own text")
            said.append({k: v for k, v in to_row("statement", s).items() if k != "version"})
        place = to_row("location", location)
        place["address"] = digest(canonical_url(location.url))
        return self._database.write(lambda c: self._put(c, row, said, place, outcome, signature))

    def _put(
        self,
        c: Connection,
        row: dict[str, Any],
        said: list[dict[str, Any]],
        place: dict[str, Any],
        outcome: Outcome,
        signature: bytes | None,
    ) -> Outcome:
        known = c.execute(KNOWN, {"content": row["content"]}).one_or_none()
        if known is not None and known.text != row["text"]:
            raise RecordError(
                f"{row['url']}: another text, that of document {known.id}, has the same hash; leave one of them out"
            )
        if known is not None:
            before = self._outcome(c, outcome)
            here = {"document": known.id, "address": place["address"]}
            known_here = c.execute(LOCATION, here).one_or_none() is not None
            # The same page once more, after a kill or by a second process: what it was the first time is what it is.
            again = known_here and before is not None and (before.document, before.snapshot) == (known.id, outcome.snapshot)
            kind = before.outcome if before is not None and again else "unchanged" if known_here else "copy"
            document_id = known.id
        else:
            row["revision"] = 1 + c.execute(EARLIER, {"own": row["address"], "place": place["address"]}).scalar_one()
            kind = "new" if row["revision"] == 1 else "revised"
            document_id = row["id"]
            story = stories.join_story(c, document_id, signature)
            self._database.insert(c, tables.documents, [row])
            self._database.insert(c, tables.statements, said)
            found = {"document": document_id, "story": story, "signature": signature}
            self._database.insert(c, tables.signatures, [found])
            keys = stories.band_keys(signature) if signature is not None else []
            self._database.insert(c, tables.bands, [{"key": key, "document": document_id} for key in keys])
        self._put_location(c, {**place, "document": document_id})
        settled = msgspec.structs.replace(outcome, outcome=kind, document=document_id)
        self._put_outcome(c, settled)
        return settled

    def touch(self, snapshot: Snapshot, run_id: str) -> bool:
        """Note that a snapshot repeats the payload of a stored document, which then is ``unchanged`` and was seen again.

        Returns:
            False, and nothing is noted, where no document was made of that payload.
        """
        original = self.snapshot(snapshot.refers_to) if snapshot.refers_to else None
        if original is None:
            return False

        def work(c: Connection) -> bool:
            first = self._outcome(
                c, Outcome(run=original.run, source=original.source, url=original.url, outcome="unchanged")
            )
            if first is None or first.document is None or first.snapshot != original.id:
                return False
            t = tables.locations
            here = or_(t.c.snapshot == original.id, t.c.address == digest(canonical_url(snapshot.url)))
            seen = t.update().where(t.c.document == first.document, here, t.c.last_seen < snapshot.date)
            c.execute(seen.values(last_seen=snapshot.date))
            before = self._outcome(c, Outcome(run=run_id, source=snapshot.source, url=snapshot.url, outcome="unchanged"))
            if before is None:
                unchanged = Outcome(
                    run=run_id,
                    source=snapshot.source,
                    url=snapshot.url,
                    outcome="unchanged",
                    document=first.document,
                    snapshot=snapshot.id,
                )
                self._put_outcome(c, unchanged)
            return True

        return self._database.write(work)

    def clear(self) -> None:
        """Empty the store, to be filled anew from the snapshots; until :meth:`filled` is called it is not ``whole``."""

        def work(c: Connection) -> None:
            for table in reversed(tables.metadata.sorted_tables):
                if table is not tables.meta:
                    c.execute(table.delete())
            self._database.upsert(c, tables.meta, {"name": _REFILLING, "value": "1"})

        self._database.write(work)

    def filled(self) -> None:
        """Note that what was cleared is there again."""
        t = tables.meta
        self._database.write(lambda c: c.execute(t.delete().where(t.c.name == _REFILLING)))

    @property
    def whole(self) -> bool:
        """Whether nothing is missing: False from :meth:`clear` until :meth:`filled`, and so after a kill in between."""
        with self._database.read() as c:
            return c.execute(select(tables.meta).where(tables.meta.c.name == _REFILLING)).one_or_none() is None

    def find(self, name: str) -> list[str]:
        """Return the ids of the documents that a name fits; see :func:`corpus.lookup.find`."""
        with self._database.read() as c:
            return find(c, name)

    def siblings(self, document: Document) -> list[str]:
        """Return the ids of the other documents of a document's story or address."""
        with self._database.read() as c:
            return siblings(c, document)

    def document(self, document_id: str) -> Document | None:
        """Return a document by its id, or None."""
        with self._database.read() as c:
            row = c.execute(DOCUMENTS.where(tables.documents.c.id == document_id)).one_or_none()
        return None if row is None else to_document(row)

    def documents(self) -> Iterator[Document]:
        """Yield all documents in the order of their ids; few are held at once."""
        return map(to_document, self._pages(DOCUMENTS, tables.documents.c.id, size=_PAGE // 10))

    def statements(self, document: str | None = None) -> Iterator[Statement]:
        """Yield the statements of one document, or all, in the order of documents' ids and offsets."""
        t = tables.statements
        query = select(t) if document is None else select(t).where(t.c.document == document)
        for row in self._pages(query, t.c.document, t.c.start, t.c.end):
            yield Statement(**row._mapping)

    def locations(self, document: str) -> list[Location]:
        """Return where a document was found, by first sight, then by address."""
        t = tables.locations
        columns = [t.c[name] for name in Location.__struct_fields__]
        with self._database.read() as c:
            query = select(*columns).where(t.c.document == document).order_by(t.c.first_seen, t.c.url)
            return [Location(**row) for row in c.execute(query).mappings()]

    def stats(self) -> Stats:
        """Count the corpus, in one moment of it."""
        with self._database.read() as c:
            return count(c)

    # Rows

    def _pages(self, query: Select[Any], *keys: ColumnElement[Any], size: int = _PAGE) -> Iterator[Row[Any]]:
        """Yield a query's rows in the order of keys (columns of it, unique together), each page in its own transaction."""
        ordered = query.order_by(*keys).limit(size)
        page = ordered
        while True:
            with self._database.read() as c:
                rows = c.execute(page).all()
            yield from rows
            if len(rows) < size:
                return
            last = [rows[-1]._mapping[key] for key in keys]
            page = ordered.where(tuple_(*keys) > tuple_(*last))

    def _snapshot(self, query: Select[Any]) -> Snapshot | None:
        with self._database.read() as c:
            row = c.execute(query).one_or_none()
        return None if row is None else to_snapshot(row)

    def _outcome(self, c: Connection, outcome: Outcome) -> Outcome | None:
        key = {"run": outcome.run, "source": outcome.source, "address": digest(outcome.url)}
        row = c.execute(OUTCOME, key).one_or_none()
        return None if row is None else Outcome(**row._mapping)

    def _put_outcome(self, c: Connection, outcome: Outcome) -> None:
        if outcome.reason is not None:  # a server's words, or an error's: never a cause to lose the outcome
            outcome = msgspec.structs.replace(outcome, reason=storable(outcome.reason))
        row = {**to_row("outcome", outcome), "address": digest(outcome.url)}
        self._database.upsert(c, tables.outcomes, row, update=("outcome", "reason", "document", "snapshot"))

    def _put_location(self, c: Connection, row: dict[str, Any]) -> None:
        """Store a location, or widen the time in which it was seen; the earliest sight keeps its source and snapshot."""
        found = c.execute(LOCATION, {"document": row["document"], "address": row["address"]}).one_or_none()
        if found is None:
            self._database.insert(c, tables.locations, [row])
            return
        known = dict(found._mapping)
        first = row if row["first_seen"] < known["first_seen"] else known
        merged = {**first, "last_seen": max(known["last_seen"], row["last_seen"])}
        if merged != known:
            self._database.upsert(
                c, tables.locations, merged, update=("url", "source", "snapshot", "first_seen", "last_seen")
            )
