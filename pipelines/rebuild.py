"""Rebuilding: the corpus made anew from its snapshots, without the network."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from corpus.errors import RecordError, UsageError
from corpus.sources import Project
from pipelines.collect import KEPT, Clock, Collected, Progress, ingest, iso, judge_of, write_run
from pipelines.runlock import RunLock, free_runs

if TYPE_CHECKING:
    from corpus.snapshot import Snapshot
    from corpus.store import Outcome


def rebuild(
    project: Project,
    *,
    clock: Clock,
    keep_all: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Collected:
    """Make the corpus anew from the snapshots alone, without the network, run by run in their order.

    Raises:
        UsageError: when there are no snapshots, or a collector is at work.
    """
    from corpus.snapshot import repair, scan
    from corpus.store import Run, Store

    progress = progress or Progress()
    files = sorted(project.snapshots.glob("*.warc.gz"))
    if not files:
        raise UsageError(f"{project.snapshots}: expected snapshots to rebuild from, found none; run collect first")
    with RunLock(project.snapshots, "rebuild"), contextlib.closing(Store.open(project.store_url)) as store:
        busy = [r.id for r in store.unfinished_runs() if r.id not in free_runs(project.snapshots, [r.id])]
        if busy:
            raise UsageError(
                f"{project.root}: expected no collector at work, found the run {busy[0]}; wait until it has ended"
            )
        kept = {run.id: run for run in store.runs()}
        store.clear()
        runs: dict[str, tuple[str, list[str]]] = {}
        for path in files:
            try:
                repair(path)
                store.add_snapshots(_noted(scan(path, damage=lambda error: _say(progress, error)), runs))
            except RecordError as error:  # a file of somebody else's, or one that is damaged beyond its end
                _say(progress, error)
        order = {s.name: i for i, s in enumerate(project.sources)}
        judge = judge_of(project, keep_all)
        counts: collections.Counter[tuple[str, str]] = collections.Counter()
        dropped: list[Outcome] = []
        last = ""
        for last in sorted(runs, key=lambda r: (kept[r].started if r in kept else runs[r][0], r)):
            started, names = runs[last]
            names.sort(key=lambda n: (order.get(n, len(order)), n))
            store.start_run(kept.get(last) or Run(id=last, started=started, sources=tuple(names)))
            ingest(store, judge, Run(id=last, started=started), names, jobs, progress)
            store.finish_run(last, (kept[last].finished if last in kept else None) or iso(clock))
            dropped += [o for o in store.outcomes(last) if o.outcome not in KEPT]
            for source, found in store.counts(last).items():
                counts.update({(source, outcome): n for outcome, n in found.items()})
        store.filled()
        by_source: dict[str, dict[str, int]] = {}
        for (source, outcome), n in counts.items():
            by_source.setdefault(source, {})[outcome] = n
        path = write_run(project, "collect --from-snapshots", iso(clock), last, by_source, {}, {}, dropped)
        return Collected(last, by_source, {}, {}, path)


def _say(progress: Progress, error: RecordError) -> None:
    progress.say(f"passed over: {error}")


def _noted(snapshots: Iterable[Snapshot], runs: dict[str, tuple[str, list[str]]]) -> Iterator[Snapshot]:
    """Pass snapshots on; note each run's first moment and its sources."""
    for snapshot in snapshots:
        started, names = runs.setdefault(snapshot.run, (snapshot.date, []))
        runs[snapshot.run] = (min(started, snapshot.date), names)
        if snapshot.source not in names:
            names.append(snapshot.source)
        yield snapshot
