"""Collection: acquire what sources offer as snapshots, then make documents of them. Both halves can be stopped and resumed.

Ingest begins when a run's acquisition is over and goes by source and address, so that the corpus depends on what was
received and not on the order of arrival, nor on how often the run was stopped.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import TreatyStanceError, UsageError
from corpus.sources import NETWORK, Project, Source
from pipelines.judging import judged_in_order
from pipelines.manifest import describe_file, write_manifest
from pipelines.runlock import RunLock

if TYPE_CHECKING:
    from corpus.ingest import Judge, Judged
    from corpus.snapshot import Snapshot
    from corpus.store import Outcome, Run, Store

Clock = Callable[[], datetime.datetime]
_NOTES = 500  # outcomes in one transaction
KEPT = ("new", "unchanged", "revised", "copy")
"""Outcomes of an address that has a document."""


@dataclass(frozen=True)
class Progress:
    """What a run tells whoever watches: a line, and of each page what was done with it (``fetched``, ``judged``)."""

    say: Callable[[str], object] = lambda line: None
    advance: Callable[[str], object] = lambda stage: None


@dataclass(frozen=True)
class Collected:
    """What a run did: outcomes by source, sources that failed as a whole, addresses beyond the limit, and its manifest."""

    run: str
    counts: dict[str, dict[str, int]]
    failed: dict[str, str]
    beyond: dict[str, int]
    manifest: Path


@dataclass
class _Acquired:
    failed: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)


class _Notes:
    """Outcomes on their way to the store, hundreds in one transaction: an archive has tens of thousands."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: list[Outcome] = []

    def add(self, outcome: Outcome) -> None:
        self._waiting.append(outcome)
        if len(self._waiting) >= _NOTES:
            self.flush()

    def flush(self) -> None:
        self._store.add_outcomes(self._waiting)
        self._waiting = []


def collect(
    project: Project,
    names: Sequence[str] = (),
    *,
    clock: Clock,
    keep_all: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Fill the workspace's corpus from its sources.

    A run of the same sources that died is gone on with, under its own name and date.

    Args:
        project: The workspace.
        names: Of sources; all of them for none.
        clock: Says what time it is; stamps runs and snapshots.
        keep_all: Keep documents that do not name the target as well.
        jobs: Processes that extract; None takes one for each core.
        progress: Is told how far it is.

    Raises:
        UsageError: for an unknown source, no source at all, or network sources without a contact address.
        TreatyStanceError: when the store or the snapshots cannot be written to.
    """
    sources = project.chosen(list(names))
    if not sources:
        raise UsageError(f"{project.root}: expected a source in project.toml, found none; its comments show examples")
    project.check_contact(sources)
    progress = progress or Progress()
    project.snapshots.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(open_corpus(project)) as store:
        with _taken(project, store, sources, clock, progress) as run:
            acquired = _acquire(project, sources, run, store, keep_all=keep_all, clock=clock, progress=progress)
            judge = judge_of(project, keep_all)
            ingest(store, judge, run, [s.name for s in sources], jobs, progress)
            store.finish_run(run.id, iso(clock))
        return _result(project, store, run, acquired, iso(clock))


def open_corpus(project: Project) -> Store:
    """Open the workspace's store for reading and collecting.

    Raises:
        UsageError: when a rebuild has not come to its end, so that documents are missing.
        RecordError: when the database cannot be opened.
    """
    from corpus.store import Store

    store = Store.open(project.store_url)
    if not store.whole:
        store.close()
        raise UsageError(
            f"{project.root}: expected a whole corpus, found one that is being made anew or was left half made; wait, or "
            "run `treaty-stance collect --from-snapshots` again"
        )
    return store


@contextlib.contextmanager
def _taken(project: Project, store: Store, sources: Sequence[Source], clock: Clock, progress: Progress) -> Iterator[Run]:
    """Yield the run to go on with, locked: a dead one of the same sources, else a new one.

    Dead runs of other sources are brought to their end first: what they received is made into documents.
    """
    from corpus.store import Run

    names = tuple(s.name for s in sources)
    dead: list[tuple[Run, RunLock]] = []
    for run in store.unfinished_runs():
        lock = RunLock(project.snapshots, run.id)
        if not lock.take():
            continue  # its collector is alive
        if run.sources == names and not dead:
            dead.append((run, lock))
            continue
        with lock:
            _recover(project, store, run)
            ingest(store, judge_of(project, keep_all=False), run, list(run.sources), 1, progress)
            store.finish_run(run.id, iso(clock))
    if dead:
        run, lock = dead[0]
        with lock:
            progress.say(f"going on with the run {run.id}, which was stopped")
            _recover(project, store, run)
            yield run
        return
    started = iso(clock)
    base = started.replace("-", "").replace(":", "").replace("+0000", "Z")
    known = {r.id for r in store.runs()}
    for done in (r.id for r in store.runs() if r.finished is not None):
        RunLock(project.snapshots, done).drop()
    for number in range(1, 1000):
        name = base if number == 1 else f"{base}-{number}"
        lock = RunLock(project.snapshots, name)
        if name not in known and lock.take():
            with lock:
                run = Run(id=name, started=started, sources=names)
                store.start_run(run)
                yield run
            return
    raise TreatyStanceError(f"{project.snapshots}: expected a free name for a run, found {base} taken; run it again")


def _recover(project: Project, store: Store, run: Run) -> None:
    """Cut what a killed writer left half written, and register what it wrote without saying so."""
    from corpus.snapshot import repair, scan

    for path in sorted(project.snapshots.glob(f"{run.id}-*.warc.gz")):
        repair(path)
        store.add_snapshots(s for s in scan(path) if s.run == run.id)


def _acquire(
    project: Project,
    sources: Sequence[Source],
    run: Run,
    store: Store,
    *,
    keep_all: bool,
    clock: Clock,
    progress: Progress,
) -> _Acquired:
    from corpus.local import acquire_archives, acquire_files
    from corpus.snapshot import SnapshotWriter

    acquired, notes = _Acquired(), _Notes(store)
    local = [s for s in sources if s.type not in NETWORK]
    if local:
        with SnapshotWriter(
            project.snapshots, run=run.id, clock=clock, known=store.latest_snapshot, limit=project.fetching.max_bytes
        ) as writer:
            for source in local:
                take: Any = acquire_files if source.type == "files" else acquire_archives
                more = {} if source.type == "files" else {"keep_all": keep_all}
                try:
                    take(
                        project,
                        source,
                        run,
                        writer=writer,
                        register=store.add_snapshot,
                        note=notes.add,
                        seen=store.fetched(run.id, source.name),
                        advance=lambda: progress.advance("fetched"),
                        **more,
                    )
                except UsageError as error:  # a folder that is not there is this source's fault, not the run's
                    acquired.failed[source.name] = str(error)
                notes.flush()
    network = [s for s in sources if s.type in NETWORK]
    if network:
        from corpus.crawl import fetch

        fetched = fetch(
            project,
            network,
            run,
            store_url=project.store_url,
            folder=project.snapshots,
            clock=clock,
            progress=lambda event: progress.advance(str(event.get("event", "fetched"))),
        )
        acquired.failed.update(fetched.failed)
        acquired.beyond.update(fetched.beyond)
    return acquired


def judge_of(project: Project, keep_all: bool) -> Judge:
    """Return what turns the project's snapshots into documents."""
    from corpus.ingest import Judge

    return Judge(
        folder=project.snapshots,
        sources={s.name: s for s in project.sources},
        aliases=project.target.aliases,
        keep_all=keep_all,
        max_bytes=project.fetching.max_bytes,
    )


def ingest(store: Store, judge: Judge, run: Run, sources: Sequence[str], jobs: int | None, progress: Progress) -> None:
    """Judge the run's pending snapshots in their order and write what comes of each, one transaction a page."""
    for judged in judged_in_order(
        judge, _unknown(store, run, sources, progress), jobs or os.cpu_count() or 1, store.snapshot
    ):
        _put(store, run, judged)
        progress.advance("judged")


def _unknown(store: Store, run: Run, sources: Sequence[str], progress: Progress) -> Iterator[Snapshot]:
    """Yield pending snapshots but those that repeat the payload of a stored document: they are noted as unchanged."""
    for snapshot in store.pending(run.id, sources):
        if snapshot.refers_to is not None and store.touch(snapshot, run.id):
            progress.advance("judged")
        else:
            yield snapshot


def _put(store: Store, run: Run, judged: Judged) -> None:
    from corpus.store import Location, Outcome

    snapshot, document = judged.snapshot, judged.document
    outcome = Outcome(
        run=run.id,
        source=snapshot.source,
        url=snapshot.url,
        outcome="new" if document else judged.outcome,
        reason=judged.reason,
        document=document.id if document else None,
        snapshot=snapshot.id,
    )
    if document is None:
        store.add_outcome(outcome)
        return
    location = Location(
        document=document.id,
        url=document.url,
        source=snapshot.source,
        snapshot=snapshot.id,
        first_seen=snapshot.date,
        last_seen=snapshot.date,
    )
    store.put_document(document, judged.statements, location=location, outcome=outcome, signature=judged.signature)


def _result(project: Project, store: Store, run: Run, acquired: _Acquired, ended: str) -> Collected:
    counts = store.counts(run.id)
    outcomes = store.outcomes(run.id)
    path = write_run(project, "collect", ended, run.id, counts, acquired.failed, acquired.beyond, outcomes)
    return Collected(run.id, counts, acquired.failed, acquired.beyond, path)


def write_run(
    project: Project,
    command: str,
    ended: str,
    run: str,
    counts: dict[str, dict[str, int]],
    failed: dict[str, str],
    beyond: dict[str, int],
    outcomes: Sequence[Outcome],
) -> Path:
    """Write the run's manifest below `runs/`, and the same as the workspace's `manifest.json`: the latest run's."""
    sections: dict[str, Any] = {
        "run": run,
        "counts": counts,
        "failed_sources": failed,
        "beyond_limit": beyond,
        "not_kept": [
            {"source": o.source, "url": o.url, "outcome": o.outcome, "reason": o.reason}
            for o in outcomes
            if o.outcome not in KEPT
        ],
    }
    inputs = [describe_file(project.root / "project.toml", name="project.toml")]
    paths = [project.root / "runs" / run / "manifest.json", project.root / "manifest.json"]
    for path in paths:
        write_manifest(path, command=command, inputs=inputs, created=ended, **sections)
    return paths[1]


def iso(clock: Clock) -> str:
    """Return what the clock says in UTC, ISO 8601 to the second."""
    return clock().astimezone(datetime.UTC).isoformat(timespec="seconds")
