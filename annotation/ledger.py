"""The ledger: everything that a campaign did and brought, kept in the workspace's database. Nothing is overwritten silently.

Answers, pulls and gold labels are only ever added; what a newer one supersedes stays, marked as not current.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, select, update

from annotation import tables
from annotation.campaign import Answer, Case, Draw, Item, Project, Pull, Recheck, Role, Sampled, Task
from corpus.database import Held, open_database
from corpus.errors import RecordError
from corpus.identity import digest
from corpus.records import Annotation, GoldLabel, Record
from corpus.tables import meta

_R = TypeVar("_R", bound=Record)

VERSION = 1
_SCHEMA = "annotation_schema"  # of the table meta, which the corpus has made
_TOGETHER = 500


class Ledger(Held):
    """A campaign's records in a database. Use it as a context manager, or close it."""

    @staticmethod
    def open(url: str) -> Ledger:
        """Open the ledger in a workspace's database, made where need be.

        Args:
            url: The store's address, as ``corpus.store.Store.open`` takes it.

        Raises:
            UsageError: when the address is no address of a SQLite or PostgreSQL database.
            RecordError: when the database cannot be reached, is not ours, or is of a newer version.
        """
        database = open_database(url)
        try:
            with database.read() as c:
                found = _version(c)
            if found is None:
                database.write(_make)
            elif found != str(VERSION):
                raise RecordError(
                    f"{database.where}: the annotations have schema version {found}, and this program knows {VERSION}; "
                    "install a newer treaty-stance"
                )
        except BaseException:
            database.close()
            raise
        return Ledger(database)

    # What was drawn and pushed

    def add_items(self, items: Iterable[Item]) -> None:
        """Keep statements with their documents; one that is there already stays as it is."""
        self._put(tables.items, (({"statement": i.statement.id}, i) for i in items))

    def items(self, statements: Sequence[str] | None = None) -> dict[str, Item]:
        """Return the kept statements, all or those of some ids, by id; an id that is not there is left out."""
        t = tables.items
        if statements is None:
            found = self._get(t, Item)
        else:
            found = [
                item
                for start in range(0, len(statements), _TOGETHER)
                for item in self._get(t, Item, t.c.statement.in_(statements[start : start + _TOGETHER]))
            ]
        return {item.statement.id: item for item in found}

    def add_project(self, project: Project) -> None:
        """Note a project; for one that is known, note what is said of it now."""
        self._put(tables.projects, [({"key": project.key}, project)], update=("record",))

    def projects(self, *, round: str | None = None, role: Role | None = None) -> list[Project]:
        """Return the projects, all or those of a round or role, in the order in which they were made."""
        found = self._get(tables.projects, Project)
        chosen = [p for p in found if round in (None, p.round) and role in (None, p.role)]
        return sorted(chosen, key=lambda p: (p.made, p.title, p.key))

    def add_draw(
        self, draw: Draw, sampled: Iterable[Sampled] = (), *, items: Iterable[Item] = (), tasks: Iterable[Task] = ()
    ) -> None:
        """Note a draw with its audit sample, its statements and their places, all or nothing.

        What is there already stays as it is: a draw of that id, a statement, a statement's place in a project.
        """
        rows: list[tuple[Table, Mapping[str, Any], Record]] = [
            *((tables.items, {"statement": i.statement.id}, i) for i in items),
            *((tables.sampled, {"draw": s.draw, "statement": s.statement}, s) for s in sampled),
            *((tables.tasks, _place(t), t) for t in tasks),
            (tables.draws, {"id": draw.id}, draw),
        ]

        def work(c: Connection) -> None:
            for table, key, record in rows:
                self._upsert(c, table, key, record)

        self._database.write(work)

    def draws(self) -> list[Draw]:
        """Return the draws in the order in which they were made."""
        return sorted(self._get(tables.draws, Draw), key=lambda d: (d.made, d.id))

    def sampled(self, draw: str | None = None) -> list[Sampled]:
        """Return the audit samples, all or that of one draw, by draw and statement."""
        where = () if draw is None else (tables.sampled.c.draw == draw,)
        return sorted(self._get(tables.sampled, Sampled, *where), key=lambda s: (s.draw, s.statement))

    def add_tasks(self, tasks: Iterable[Task]) -> None:
        """Note the places of statements in projects; a statement that a project has already keeps its place there."""
        self._put(tables.tasks, ((_place(t), t) for t in tasks))

    def tasks(self, project: str | None = None) -> list[Task]:
        """Return the tasks, all or those of one project, by project and position."""
        where = () if project is None else (tables.tasks.c.project == project,)
        return sorted(self._get(tables.tasks, Task, *where), key=lambda t: (t.project, t.position, t.statement))

    # What came back

    def note_pull(self, pull: Pull, answers: Iterable[Answer]) -> None:
        """Note what a pull of one project found, in one transaction.

        ``answers`` are those states that are new, changed or gone since the last pull. Earlier states of the same answers
        stay and are no longer current.
        """
        t = tables.answers
        states = list(answers)  # the work may be done again
        projects = {a.project for a in states}

        def work(c: Connection) -> None:
            now = select(t.c.record).where(t.c.project.in_(projects), t.c.current)
            before = {(a.project, a.number): a for a in _decoded(c.execute(now).scalars(), Answer)}
            for answer in states:
                old = before.get((answer.project, answer.number))
                if old is not None:
                    at = and_(t.c.project == old.project, t.c.number == old.number, t.c.stamp == old.stamp)
                    over = _json(msgspec.structs.replace(old, current=False))
                    c.execute(update(t).where(at).values(current=False, record=over))
                key = {"project": answer.project, "number": answer.number, "stamp": answer.stamp, "current": answer.current}
                self._upsert(c, t, key, answer, update=("current", "record"))
                before[answer.project, answer.number] = answer
            self._upsert(c, tables.pulls, {"project": pull.project, "at": pull.at}, pull, update=("record",))

        self._database.write(work)

    def answers(self, project: str | None = None, *, current: bool | None = True) -> list[Answer]:
        """Return answers by project, number and time of the pull: the current ones, those superseded, or with None all."""
        t = tables.answers
        where: list[ColumnElement[bool]] = [] if project is None else [t.c.project == project]
        if current is not None:
            where.append(t.c.current.is_(current))
        return sorted(self._get(t, Answer, *where), key=lambda a: (a.project, a.number, a.seen, a.stamp))

    def pulls(self, project: str | None = None) -> list[Pull]:
        """Return the pulls, all or those of one project, in their order."""
        where = () if project is None else (tables.pulls.c.project == project,)
        return sorted(self._get(tables.pulls, Pull, *where), key=lambda p: (p.at, p.project))

    def annotations(
        self,
        *,
        round: str | None = None,
        codebook_version: str | None = None,
        roles: Sequence[Role] = ("coding", "recoding"),
    ) -> list[Annotation]:
        """Return the readings that count, by statement and annotator: of a round, of a codebook, of projects of some roles.

        Where one coder has read one statement in two projects, the newer reading counts.
        """
        projects = {p.key: p for p in self.projects(round=round) if p.role in roles}
        newest: dict[tuple[str, str, str], tuple[str, Annotation]] = {}
        for answer in self.answers():
            a = answer.annotation
            if a is None or answer.project not in projects or codebook_version not in (None, a.codebook_version):
                continue
            key, age = (a.statement, a.annotator, a.codebook_version), answer.updated or answer.seen
            if key not in newest or newest[key][0] <= age:
                newest[key] = (age, a)
        return [newest[key][1] for key in sorted(newest)]

    # What was settled

    def add_gold(self, labels: Iterable[GoldLabel], made: str) -> dict[str, int]:
        """Note settled labels; an equal one that is current stays, a different one is kept and no longer current.

        Returns:
            How many were ``new``, ``changed`` or ``same``.
        """
        t = tables.gold
        counts = {"new": 0, "changed": 0, "same": 0}

        def work(c: Connection) -> None:
            counts.update(new=0, changed=0, same=0)  # the work may be done again
            for label in labels:
                here = and_(t.c.statement == label.statement, t.c.codebook_version == label.codebook_version, t.c.current)
                before = c.execute(select(t.c.record).where(here)).scalar_one_or_none()
                if before is not None and msgspec.json.decode(before, type=GoldLabel) == label:
                    counts["same"] += 1
                    continue
                counts["new" if before is None else "changed"] += 1
                c.execute(update(t).where(here).values(current=False))
                key = {
                    "statement": label.statement,
                    "codebook_version": label.codebook_version,
                    "made": made,
                    "stamp": digest(_json(label)),
                    "current": True,
                }
                self._upsert(c, t, key, label, update=("current", "record"))

        labels = list(labels)
        self._database.write(work)
        return counts

    def gold(self, codebook_version: str | None = None) -> list[GoldLabel]:
        """Return the current settled labels, all or those of one codebook, by statement."""
        t = tables.gold
        where: list[ColumnElement[bool]] = [t.c.current.is_(True)]
        if codebook_version is not None:
            where.append(t.c.codebook_version == codebook_version)
        return sorted(self._get(t, GoldLabel, *where), key=lambda g: (g.statement, g.codebook_version))

    def drop_gold(self, keys: Iterable[tuple[str, str]]) -> None:
        """Mark the labels of some (statement, codebook version) as no longer current: they are open again."""
        t = tables.gold
        wanted = list(keys)

        def work(c: Connection) -> None:
            for statement, codebook_version in wanted:
                here = and_(t.c.statement == statement, t.c.codebook_version == codebook_version)
                c.execute(update(t).where(here).values(current=False))

        self._database.write(work)

    def put_cases(self, cases: Iterable[Case]) -> None:
        """Note cases for the adjudicator; for one that is known, note how it stands now."""
        rows = (({"statement": x.statement, "codebook_version": x.codebook_version}, x) for x in cases)
        self._put(tables.cases, rows, update=("record",))

    def cases(self, *, round: str | None = None) -> list[Case]:
        """Return the cases, all or those of a round, in the order in which they were opened."""
        found = [x for x in self._get(tables.cases, Case) if round in (None, x.round)]
        return sorted(found, key=lambda x: (x.opened, x.statement, x.codebook_version))

    def put_rechecks(self, rechecks: Iterable[Recheck]) -> None:
        """Note labels that are looked at again; for one that is known, note how it stands now."""
        rows = (({"audit": r.audit, "statement": r.statement}, r) for r in rechecks)
        self._put(tables.rechecks, rows, update=("record",))

    def rechecks(self, audit: str | None = None) -> list[Recheck]:
        """Return the rechecks, all or those of one audit, in their order."""
        where = () if audit is None else (tables.rechecks.c.audit == audit,)
        return sorted(self._get(tables.rechecks, Recheck, *where), key=lambda r: (r.audit, r.position))

    # Rows

    def _put(self, table: Table, rows: Iterable[tuple[Mapping[str, Any], Record]], *, update: Sequence[str] = ()) -> None:
        self._database.write_each(rows, lambda c, row: self._upsert(c, table, *row, update=update))

    def _upsert(
        self, c: Connection, table: Table, key: Mapping[str, Any], record: Record, *, update: Sequence[str] = ()
    ) -> None:
        self._database.upsert(c, table, {**key, "record": _json(record)}, update=update)

    def _get(self, table: Table, kind: type[_R], *where: ColumnElement[bool]) -> list[_R]:
        with self._database.read() as c:
            return list(_decoded(c.execute(select(table.c.record).where(*where)).scalars(), kind))


def _place(task: Task) -> dict[str, Any]:
    return {"project": task.project, "statement": task.statement, "position": task.position}


def _decoded(rows: Iterable[str], kind: type[_R]) -> Iterator[_R]:
    decode: Callable[[str], _R] = msgspec.json.Decoder(kind).decode
    return map(decode, rows)


def _json(record: Record) -> str:
    return msgspec.json.encode(record).decode("utf-8")


def _version(c: Connection) -> str | None:
    return c.execute(select(meta.c.value).where(meta.c.name == _SCHEMA)).scalar_one_or_none()


def _make(c: Connection) -> None:
    if _version(c) is None:
        tables.metadata.create_all(c)
        c.execute(meta.insert().values(name=_SCHEMA, value=str(VERSION)))
