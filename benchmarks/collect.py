"""What collecting costs a document, at several sizes of a corpus, from pages that are made here out of templates.

    python benchmarks/collect.py                              # 1,000 and 10,000 pages
    python benchmarks/collect.py --sizes 1000 10000 100000    # takes about half an hour on two cores

Three questions, each answered by a ratio within one run:

- *extraction*: pages a second of our extraction (read the snapshot, tell walls from texts, extract, detect the language) and
  of the whole ingest (judge, cut into statements, name holders, sign for near-copies as well) against a loop over
  ``trafilatura.bare_extraction`` with the same options, by one process and by two;
- *store and near-copies*: processor time a document while the corpus grows; n log n would multiply it by log n / log m;
- *memory*: the peak of the collecting process at each size.

One page in ten is a light edit of an earlier one, one in fifty the same text at another address.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from synthetic_pages import page, texts, write_archive

if TYPE_CHECKING:
    from corpus.ingest import Judged
    from corpus.snapshot import Snapshot

RESULTS = Path(__file__).parent / "results" / "collect.jsonl"


class Extraction:
    """Stands where a judge stands, and does no more than read the snapshot and extract the page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def judge(self, snapshots: Sequence[tuple[Snapshot, Snapshot | None]]) -> list[Judged]:
        """Extract a batch."""
        from corpus.ingest import Judged
        from corpus.page import read_page
        from corpus.snapshot import read_payload

        done = []
        for snapshot, _ in snapshots:
            payload = read_payload(self._folder, snapshot, find=lambda snapshot_id: None)
            page = read_page(payload.body, url=snapshot.url, mime=snapshot.mime, headers=payload.headers)
            done.append(Judged(snapshot, "kept" if page.text else "empty"))
        return done


def extraction(pages: int, seed: int) -> dict[str, float]:
    """Return pages a second: trafilatura alone, our extraction, and our whole ingest, with one process and with two."""
    import trafilatura

    from corpus.ingest import Judge
    from corpus.snapshot import SnapshotWriter
    from corpus.sources import Source
    from pipelines.judging import judged_in_order

    dates = {"original_date": True, "extensive_search": False}  # as we call it
    made = [(url, page(url, paragraphs)) for url, paragraphs in texts(pages, seed)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SnapshotWriter(folder, run="bench", clock=_now, known=lambda url: None) as writer:
            snapshots = [
                writer.write_response(
                    url,
                    source="s",
                    role="document",
                    status=200,
                    reason="OK",
                    headers=[("Content-Type", "text/html")],
                    body=body,
                )
                for url, body in made
            ]
        whole = Judge(folder, {"s": Source(name="s", type="urls", urls=("https://site.test/",))}, ("cybercrime treaty",))
        found: dict[str, float] = {}
        for some in (range(20), range(pages)):  # the first round warms up
            begun = time.perf_counter()
            for i in some:
                trafilatura.bare_extraction(
                    made[i][1], with_metadata=True, include_comments=False, date_extraction_params=dict(dates)
                )
            found["trafilatura"] = len(some) / (time.perf_counter() - begun)
            for what, judge in (("extraction", Extraction(folder)), ("whole ingest", whole)):
                for jobs in (1, 2):
                    begun = time.perf_counter()
                    judged = judged_in_order(judge, [snapshots[i] for i in some], jobs, lambda snapshot_id: None)
                    outcomes = [j.outcome for j in judged]
                    found[f"{what}, {jobs} processes"] = len(some) / (time.perf_counter() - begun)
                    assert outcomes.count("kept") == len(some), outcomes  # noqa: S101  # a page lost would be speed won
    return found


def collecting(size: int, seed: int, light: bool) -> dict[str, float]:
    """Collect a WARC archive of so many pages into a new workspace; return what a page took, and the peak memory in MB."""
    from corpus.sources import Project, Source, Target
    from corpus.store import Store
    from pipelines.collect import collect

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        (root / "project.toml").write_text("", encoding="utf-8")
        write_archive(root / "pages.warc.gz", size, seed, light=light)
        project = Project(
            root=root,
            target=Target(name="a treaty", aliases=("cybercrime treaty",)),
            sources=(Source(name="s", type="warc", paths=("pages.warc.gz",)),),
        )
        stages: dict[str, float] = {}
        begun = time.perf_counter()
        collect(project, clock=_now, progress=_Stages(stages, begun).progress())
        seconds = time.perf_counter() - begun
        with Store.open(project.store_url) as store:
            stats = store.stats()
    return {
        "pages": size,
        "documents": stats.documents,
        "stories": stats.stories,
        "acquire_ms": 1000 * stages.get("fetched", 0.0) / size,
        "ingest_ms": 1000 * (seconds - stages.get("fetched", 0.0)) / size,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def storing(size: int, seed: int) -> dict[str, float]:
    """Put so many documents into a new store; return processor milliseconds a document, of the last tenth too, and MB."""
    from corpus.identity import document_id
    from corpus.records import Document
    from corpus.segment import segment
    from corpus.store import Location, Outcome, Store
    from corpus.stories import signature

    with tempfile.TemporaryDirectory() as name, Store.open(f"sqlite:///{name}/corpus.db") as store:
        spent = last = 0.0
        for i, (url, paragraphs) in enumerate(texts(size, seed)):
            text = "\n".join(paragraphs)
            document = Document(id=document_id(url, text), url=url, text=text)
            statements, mark = segment(document).statements, signature(text)
            begun = time.process_time()
            store.put_document(
                document,
                statements,
                location=Location(
                    document=document.id, url=url, source="s", first_seen="2026", last_seen="2026", snapshot=None
                ),
                outcome=Outcome(run="r", source="s", url=url, outcome="new"),
                signature=mark,
            )
            spent += time.process_time() - begun
            if i >= size * 9 // 10:
                last += time.process_time() - begun
        stories = store.stats().stories
    tail = size - size * 9 // 10
    return {
        "pages": size,
        "stories": stories,
        "mean_ms": 1000 * spent / size,
        "last_tenth_ms": 1000 * last / tail,
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


class _Stages:
    """Notes when the last page was acquired."""

    def __init__(self, into: dict[str, float], begun: float) -> None:
        self._into, self._begun = into, begun

    def progress(self) -> object:
        from pipelines.collect import Progress

        return Progress(advance=self._advance)

    def _advance(self, stage: str) -> None:
        if stage == "fetched":
            self._into[stage] = time.perf_counter() - self._begun


def _now() -> datetime.datetime:
    return datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def _alone(work: Callable[..., dict[str, float]], *arguments: object) -> dict[str, float]:
    """Do the work in a process of its own, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return dict(pool.submit(work, *arguments).result())


def main() -> None:
    """Measure, print, and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1000, 10_000], help="pages put into the store")
    parser.add_argument(
        "--whole", type=int, nargs="*", default=[1000], help="pages collected from a WARC archive, end to end"
    )
    parser.add_argument("--light", action="store_true", help="collect pages of 6 kB instead of 100 kB")
    parser.add_argument("--pages", type=int, default=400, help="for the comparison of extraction")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[dict[str, object]] = []
    if arguments.pages:
        speeds = extraction(arguments.pages, arguments.seed)
        base = speeds["trafilatura"]
        for name, speed in speeds.items():
            print(f"{name:25} {speed:7.1f} pages/s   {speed / base:.2f} of trafilatura alone")
        rows.append({"what": "extraction", "pages": arguments.pages, "cores": os.cpu_count(), **speeds})
    before: dict[str, float] | None = None
    for size in arguments.sizes:
        row = _alone(storing, size, arguments.seed)
        print(
            f"store, {size:>7} pages: {row['mean_ms']:.2f} ms a document, {row['last_tenth_ms']:.2f} ms in the last tenth,",
            end=" ",
        )
        print(f"{row['stories']:.0f} stories, {row['memory_mb']:.0f} MB")
        if before is not None:
            grown = row["mean_ms"] / before["mean_ms"]
            allowed = math.log(row["pages"]) / math.log(before["pages"])
            print(f"    grew by {grown:.2f} a document; n log n would be {allowed:.2f}")
        rows.append({"what": "store", **row})
        before = row
    for size in arguments.whole:
        row = _alone(collecting, size, arguments.seed, arguments.light)
        print(
            f"collect, {size:>6} pages: acquire {row['acquire_ms']:.1f} ms, ingest {row['ingest_ms']:.1f} ms a page,",
            end=" ",
        )
        print(f"{row['documents']:.0f} documents, {row['memory_mb']:.0f} MB")
        rows.append({"what": "collect, light pages" if arguments.light else "collect", **row})
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("a", encoding="utf-8") as stream:
        for row in rows:  # type: ignore[assignment]
            stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
