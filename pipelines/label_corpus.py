"""Label runs over a workspace's corpus: which statements one has to label, and these as the feed of the label job.

Runs of one bundle lie in ``labels/<model id>/0001`` and so on. What a run is to label is written into a plan beside its
folder before it begins, so that a run which was stopped can be finished though the corpus has grown since.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from corpus.errors import BundleError, RecordError, TreatyStanceError, UsageError
from corpus.files import atomic_path, read_json
from corpus.identity import digest
from corpus.records import Document, Statement
from corpus.sources import Project
from pipelines import manifest as manifests
from pipelines.journal import FOLDER as JOB
from pipelines.label_runs import RUN, complete_runs, label_batches

if TYPE_CHECKING:
    from corpus.database import Database
    from corpus.store import Store
    from pipelines.items import Item, Tally

_TOGETHER = 500  # documents asked for at once

_NO_STATEMENT = "document has no statement, only headings and page furniture"  # as a document file's row says


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a plan: whose it is, how much it names, and the hash of the lines that follow."""

    model_id: str
    all: bool
    documents: int
    rows: int
    sha256: str
    format: int = 1


class _Line(msgspec.Struct, frozen=True, array_like=True):
    """One document of a plan with the offsets of its statements to label; none of these: the document has no statement."""

    document: str
    spans: tuple[tuple[int, int], ...]


class CorpusFeed:
    """What a plan names, as the label job reads it: the same items in the order of documents' ids and offsets, each time."""

    def __init__(self, store: Store, plan: Path) -> None:
        """Take an open store, which has to stay open, and a plan.

        Raises:
            RecordError: when the plan is damaged.
        """
        self._store, self._plan = store, plan
        self._header = _check_plan(plan)

    @property
    def documents(self) -> int:
        """Number of documents with something to label."""
        return self._header.documents

    def check(self, model_id: str, everything: bool) -> None:
        """Refuse a plan that was made for another bundle, or for what was new where all is asked for.

        Raises:
            UsageError: saying which.
        """
        if self._header.model_id != model_id:
            raise UsageError(
                f"{self._plan}: expected a run with {model_id}, found one that was begun with {self._header.model_id}; "
                "finish it with that bundle, or remove plan and folder"
            )
        if everything and not self._header.all:
            raise UsageError(
                f"{self._plan}: expected a run over the whole corpus, found one that was begun over what was new; finish it "
                "without --all, or remove plan and folder"
            )

    def describe(self) -> list[dict[str, object]]:
        """Return the manifest's entry on the corpus; its hash is over the statements to label and their documents."""
        h = self._header
        return [{"path": "corpus", "sha256": h.sha256, "documents": h.documents, "rows": h.rows, "all": h.all}]

    def count(self) -> int:
        """Return the number of rows."""
        return self._header.rows

    def items(self, tally: Tally) -> Iterator[Item]:
        """Yield the statements as collection stored them; clutter is counted in the tally.

        Raises:
            RecordError: when the corpus no longer has what the plan names.
        """
        for line in _lines(self._plan):
            document = self._store.document(line.document)
            stored = {(s.start, s.end): s for s in self._store.statements(line.document)}
            if document is None or not stored.keys() >= set(line.spans):
                raise RecordError(
                    f"{self._plan}: expected the statements of document {line.document} in the corpus, found them gone, so "
                    "the corpus was made anew; remove this plan and its run, and run label again"
                )
            yield from _items(document, [stored[span] for span in line.spans], tally)


def _items(document: Document, statements: Sequence[Statement], tally: Tally) -> Iterator[Item]:
    """Yield the rows of one document. It is cut anew for what is not stored: speakers of lead-ins, and clutter."""
    from corpus.segment import segment
    from pipelines.inputs import MAX_STATEMENT
    from pipelines.items import Item

    columns: dict[str, object] = {name: getattr(document, name) for name in ("title", "published", "publisher", "url")}
    segmentation = segment(document)
    tally.clutter.update(segmentation.counts)
    for s in statements:
        place = {**columns, "id": s.id, "document_id": document.id, "start": s.start, "end": s.end, "voice": s.voice}
        if len(s.text) > MAX_STATEMENT:
            yield Item(place, reason=f"text is longer than {MAX_STATEMENT:,} characters", whole=document.text)
        else:
            yield Item(
                {**place, "text": s.text},
                before=s.before,
                speaker=segmentation.attributions.get(s.id),
                whole=document.text,
                source=(s, document),
            )
    if not statements:
        yield Item({**columns, "document_id": document.id}, reason=_NO_STATEMENT)


@dataclass(frozen=True, slots=True)
class CorpusRun:
    """A run that is to be made or finished. ``feed`` is None where nothing is new.

    ``known`` counts the statements of the corpus that earlier runs with this bundle have; ``resumed`` says that the run
    was begun before.
    """

    output: Path
    feed: CorpusFeed | None
    known: int = 0
    resumed: bool = False


@contextlib.contextmanager
def corpus_run(
    project: Project, model_id: str, *, everything: bool = False, output: Path | None = None, resume: bool = False
) -> Iterator[CorpusRun]:
    """Settle what a run has to label and where to, and hold the corpus open for it. One run a bundle at a time.

    When the block ends, the plan is removed, unless the run was stopped in the middle.

    Args:
        project: The workspace.
        model_id: The bundle that will judge.
        everything: Label the newest revisions of all documents, and not only what no finished run with this bundle has.
        output: Default: ``labels/<model id>/`` and the next number, or the number of the run that was stopped.
        resume: Finish a run that was stopped, where there is one.

    Raises:
        UsageError: when a run was stopped and ``resume`` is not said, or the stopped one was asked for something else.
        RecordError: when the corpus, a plan or an earlier run cannot be read.
        TreatyStanceError: when another process labels this corpus with this bundle.
    """
    from pipelines.collect import open_corpus
    from pipelines.runlock import RunLock

    runs = project.root / "labels" / model_id
    try:
        runs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{runs}: expected a folder that can be made, but {error.strerror or error}; choose another workspace"
        ) from error
    lock = RunLock(runs, "label")
    if not lock.take():
        raise TreatyStanceError(
            f"{project.root}: expected no other run that labels the corpus with {model_id}, found one at work; wait for it"
        )
    with lock, contextlib.closing(open_corpus(project)) as store:
        place = output or _place(runs)
        plan = _plan_of(runs, place)
        stopped = _stopped(place, plan)
        if stopped and not resume:
            raise UsageError(
                f"{place}: expected no unfinished run, found one that was stopped; finish it with --resume, or remove the "
                "folder"
            )
        try:
            known = 0 if stopped else _write_plan(plan, project, runs, model_id, everything)
            feed = CorpusFeed(store, plan)
            feed.check(model_id, everything)
            yield CorpusRun(place, feed if feed.count() else None, known, stopped)
        finally:
            if not _stopped(place, plan):
                plan.unlink(missing_ok=True)


def newest_bundle(project: Project) -> Path:
    """Return the workspace's newest bundle: by the day in its manifest, then by the number in its name.

    Raises:
        UsageError: when there is none.
    """
    folder = project.root / "bundles"
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.name.startswith(".") and (path / "manifest.json").is_file():
            numbers = tuple(int(n) for n in re.findall(r"\d+", path.name))
            found.append((str(_bundle_manifest(path).get("created", "")), numbers, path.name))
    if not found:
        raise UsageError(f"{folder}: expected a bundle, found none; train one with `treaty-stance train`, or give --model")
    return folder / max(found)[2]


def bundle_model_id(bundle: Path) -> str:
    """Return a bundle's model id as its manifest gives it, without loading the model.

    Raises:
        UsageError: when there is no such folder.
        BundleError: when it is no bundle.
    """
    if not bundle.is_dir():
        raise UsageError(f"{bundle}: no such folder; expected a bundle made by treaty-stance train")
    if not (bundle / "manifest.json").is_file():
        raise BundleError(f"{bundle}: no manifest.json, so this is not a bundle; give the folder that train wrote")
    found = _bundle_manifest(bundle).get("model_id")
    if not isinstance(found, str) or not found or Path(found).name != found or found.startswith("."):
        raise BundleError(f"{bundle / 'manifest.json'}: model_id is {found!r}, expected a name; copy the bundle again")
    return found


def _bundle_manifest(bundle: Path) -> dict[str, Any]:
    value = read_json(bundle / "manifest.json")
    return value if isinstance(value, dict) else {}


def _place(runs: Path) -> Path:
    """Return the folder of the run that was stopped, else the next one."""
    there = sorted((p for p in runs.iterdir() if RUN.fullmatch(p.name) and any(p.iterdir())), key=lambda p: int(p.name))
    following = runs / f"{int(there[-1].name) + 1 if there else 1:04}"
    return next((p for p in there if _stopped(p, _plan_of(runs, p))), following)


def _plan_of(runs: Path, place: Path) -> Path:
    """Return where a run's plan lies: in the workspace, for the folder around another place may not be writable."""
    name = place.name if place.parent == runs else digest(str(place.resolve()))
    return runs / f".{name}.plan"


def _stopped(place: Path, plan: Path) -> bool:
    """Whether a run has begun there and not come to its end. A plan by itself is of a run that never began."""
    return plan.is_file() and (place / JOB).is_dir() and not (place / manifests.NAME).is_file()


def _write_plan(plan: Path, project: Project, runs: Path, model_id: str, everything: bool) -> int:
    """Write the plan of a new run and return how many statements of the corpus need no labelling."""
    from corpus.database import open_database

    known = documents = rows = 0
    sha256 = hashlib.sha256()
    with contextlib.closing(open_database(project.store_url)) as database, contextlib.closing(_Done()) as done:
        if not everything:
            for run in complete_runs(runs):
                _plan_of(runs, run).unlink(missing_ok=True)  # left where a run was killed after its last step
                done.add(run)
        body = plan.with_name(f"{plan.name}.body.part")
        try:
            with body.open("wb") as stream:
                for document, spans in _newest(database):
                    had = done.of(document)
                    wanted = tuple((start, end) for start, end in spans if f"{document}:{start}-{end}" not in had)
                    known += len(spans) - len(wanted)
                    if wanted or (not spans and document not in had):
                        line = msgspec.json.encode(_Line(document, wanted)) + b"\n"
                        sha256.update(line)
                        stream.write(line)
                        documents, rows = documents + 1, rows + (len(wanted) or 1)
            header = _Header(model_id=model_id, all=everything, documents=documents, rows=rows, sha256=sha256.hexdigest())
            with atomic_path(plan) as temporary, temporary.open("wb") as stream, body.open("rb") as lines:
                stream.write(msgspec.json.encode(header) + b"\n")
                for chunk in iter(lambda: lines.read(1 << 20), b""):
                    stream.write(chunk)
        except OSError as error:
            raise RecordError(
                f"{plan}: expected to write what to label, but {error.strerror or error}; make room and run it again"
            ) from error
        finally:
            body.unlink(missing_ok=True)
    return known


def _newest(database: Database) -> Iterator[tuple[str, list[tuple[int, int]]]]:
    """Yield the id of each address's newest document with the offsets of its statements, by id; no text is read."""
    from sqlalchemy import and_, exists, select, tuple_

    from corpus import tables

    d, s = tables.documents, tables.statements
    later = d.alias()
    superseded = and_(later.c.address == d.c.address, tuple_(later.c.revision, later.c.id) > tuple_(d.c.revision, d.c.id))
    query = select(d.c.id).where(~exists().where(superseded)).order_by(d.c.id).limit(_TOGETHER)
    last = ""
    while True:
        with database.read() as c:
            ids = list(c.execute(query.where(d.c.id > last)).scalars())
            found: dict[str, list[tuple[int, int]]] = {i: [] for i in ids}
            if ids:
                spans = select(s.c.document, s.c.start, s.c.end).where(s.c.document.between(ids[0], ids[-1]))
                for document, start, end in c.execute(spans.order_by(s.c.document, s.c.start, s.c.end)):
                    if document in found:
                        found[document].append((start, end))
        yield from found.items()
        if len(ids) < _TOGETHER:
            return
        last = ids[-1]


class _Done:
    """The rows of earlier runs by id, in a temporary file of SQLite's, so that memory does not grow with them."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute("CREATE TABLE done (id TEXT PRIMARY KEY) WITHOUT ROWID")

    def close(self) -> None:
        """Close and drop the file."""
        self._database.close()

    def add(self, run: Path) -> None:
        """Add a finished run's rows, whatever became of them; one without an id stands for its document."""
        for batch in label_batches(run, ["id", "document_id"]):
            rows = [(i if i is not None else d,) for i, d in zip(batch["id"], batch["document_id"], strict=True)]
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR IGNORE INTO done VALUES (?)", (r for r in rows if r[0] is not None))
            self._database.execute("COMMIT")

    def of(self, document: str) -> set[str]:
        """Return the ids that a document's rows have: of its statements, or its own where it has none."""
        query = "SELECT id FROM done WHERE id = ? OR (id > ? AND id < ?)"  # ';' follows ':'
        return {row[0] for row in self._database.execute(query, (document, f"{document}:", f"{document};"))}


def _check_plan(plan: Path) -> _Header:
    """Return a plan's header, having checked that its lines are those that were written."""
    sha256 = hashlib.sha256()
    try:
        with plan.open("rb") as stream:
            header = msgspec.json.decode(stream.readline(), type=_Header)
            for line in stream:
                sha256.update(line)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _damaged(plan) from error
    if sha256.hexdigest() != header.sha256 or header.format != 1:
        raise _damaged(plan)
    return header


def _lines(plan: Path) -> Iterator[_Line]:
    with plan.open("rb") as stream:
        stream.readline()
        for line in stream:
            yield msgspec.json.decode(line, type=_Line)


def _damaged(plan: Path) -> RecordError:
    return RecordError(
        f"{plan}: expected the plan of a run as it was written, found it missing or altered; remove it and the run's folder"
    )
