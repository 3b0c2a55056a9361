"""The label job: reads statements or documents, has each judged, and writes one row a statement in input order.

What is written is written in shards, each whole and noted in a journal, so that a job that was stopped anywhere can go on.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
from tqdm import tqdm

from corpus.errors import RecordError, TreatyStanceError, UsageError
from corpus.identity import file_sha256
from models.passage import Judge
from pipelines import journal as journals
from pipelines import manifest as manifests
from pipelines.engine import Engine, LocalEngine, Verdict
from pipelines.feed import Feed, FileFeed, Shard, shards
from pipelines.finish import add_up, count_distinct, make_queue, scratch
from pipelines.folder import FORMATS, SHARD, check_folder, check_resumed, check_same, clear_folder, write_format, write_shard
from pipelines.journal import Entry, Journal
from pipelines.outcome import count_reasons, count_rows, judged, rows_of
from pipelines.queue import Abstention, Queue

COMMAND = "label"

_COUNTS = ("rows", "ok", "invalid", "statements", "documents", "abstained", "duplicates", "unknown_holder_types")


class Stopped(TreatyStanceError):  # noqa: N818 - not an error: what was asked for
    """The job was told to stop, and has done so after a whole shard; it can be resumed."""


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How to label. ``unit`` None means: rows of tables are statements, files are documents.

    ``formats`` are written beside Parquet. A shard has ``rows_per_file`` rows, the first one of a job at most 100.
    ``chunk`` passages are given to the engine at once, which changes speed only. Without ``abstention`` every decision is
    kept.
    """

    unit: Literal["statement", "document"] | None = None
    formats: tuple[str, ...] = ()
    rows_per_file: int = 5_000
    chunk: int = 2048
    quiet: bool = False
    abstention: Abstention | None = None


@dataclass(frozen=True, slots=True)
class LabelResult:
    """What a label job did: counts and reasons as in the manifest, and the files that it wrote.

    ``fresh`` is False where the job had been done before, so that nothing was judged.
    """

    counts: dict[str, int]
    reasons: dict[str, int]
    files: tuple[Path, ...]
    manifest: Path
    queue: Queue | None = None
    fresh: bool = True


def label(
    inputs: Sequence[str] | Feed,
    judge: Judge,
    output: Path,
    *,
    created: str,
    options: LabelOptions | None = None,
    bundle: Mapping[str, object] | None = None,
    stdin: BinaryIO | None = None,
    engine: Engine | None = None,
    resume: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> LabelResult:
    """Label inputs into ``output``: ``labels-*.parquet``, the extra formats, and ``manifest.json`` as the last file.

    The input is checked whole before anything is judged, and then read, judged and written shard by shard: memory does not
    depend on its size. A job that is done is not done again.

    Args:
        inputs: Tables, documents, folders of documents, archives, addresses, or ``-`` for ``stdin``; or another feed.
        judge: Gives the labels; its ``model_id`` and codebook stand on every row.
        output: A folder, made where there is none.
        created: Time of the job (ISO 8601), for the manifest only, which keeps that of the first start.
        options: See :class:`LabelOptions`.
        bundle: What the manifest shall say of the bundle (path, hashes).
        stdin: Standard input, where ``-`` is named.
        engine: Carries passages to the judge; default: in this process.
        resume: Finish a job that was stopped, and mend the result of one that is done.
        stop: Asked after each shard.

    Raises:
        UsageError: for a missing input, wrong options, or an output folder that cannot be written to, holds something else,
            or holds an unfinished job that is not to be resumed or is resumed as another job.
        RecordError: for a torn input, a full disk, and, after all is written, where not a single row could be labelled.
        BundleError: when the judge returns what is no judgement.
        Stopped: when ``stop`` said so and there is more to do.
        TreatyStanceError: when another job is at work in the folder.
    """
    options = options or LabelOptions()
    _check_options(options)
    asked = options.abstention
    place = None if asked is None else asked.place(output)
    feed = FileFeed(inputs, options.unit, stdin, output / journals.FOLDER) if isinstance(inputs, Sequence) else inputs
    check_folder(output)
    with Journal(output) as journal:
        read = feed.describe()
        names = ", ".join(inputs if isinstance(inputs, Sequence) else (str(entry.get("path")) for entry in read[:3]))
        job = _identity(judge, options) | {"inputs": read, "created": created}
        job["bundle"] = None if bundle is None else dict(bundle)
        work = _Work(feed, names, judge, options, place, journal, engine or LocalEngine(judge), stop)
        if (output / manifests.NAME).is_file():
            return work.complete(job, resume=resume)
        if feed.count() == 0:
            raise work.no_rows()
        return work.run(job, resume=resume)


@contextmanager
def _writing(journal: Journal) -> Iterator[None]:
    """Turn what a full disk or a lost one raises into one sentence; what is noted in the journal stays."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        found = re.search(r"\[errno \d+\] (.+)", str(error))  # Arrow's errors have the system's words in their own
        said = found[1].strip() if found else getattr(error, "strerror", None) or error
        done = f" with --resume; {journal.rows} rows are done" if journal.entries else ""
        raise RecordError(
            f"{journal.output}: expected to write the labels, but {said}; make room or check the disk and run it again{done}"
        ) from error


def _check_options(options: LabelOptions) -> None:
    unknown = [f for f in options.formats if f not in FORMATS]
    if unknown:
        raise UsageError(f"format {unknown[0]!r} is not known; expected {' or '.join(FORMATS)}")
    if options.unit not in (None, "statement", "document"):
        raise UsageError(f"unit {options.unit!r} is not known; expected statement or document")
    for name in ("rows_per_file", "chunk"):
        if getattr(options, name) < 1:
            raise UsageError(f"{name} is {getattr(options, name)}; expected 1 or more")


def _identity(judge: Judge, options: LabelOptions) -> dict[str, Any]:
    """Return what makes two jobs the same, but for their inputs."""
    import pyarrow as pa

    settings: dict[str, object] = {
        "unit": options.unit,
        "formats": sorted(set(options.formats)),
        "rows_per_file": options.rows_per_file,
    }
    if options.abstention is not None:
        settings |= options.abstention.settings()
    return {
        "command": COMMAND,
        "model_id": judge.model_id,
        "codebook_id": judge.codebook.id,
        "options": settings | dict(getattr(judge, "settings", {})),
        "versions": {"treaty_stance": manifests.package_version(), "pyarrow": pa.__version__},
    }


@dataclass(slots=True)
class _Work:
    """A label job at work: what it was given, and where it stands."""

    feed: Feed
    names: str
    judge: Judge
    options: LabelOptions
    place: Path | None
    journal: Journal
    engine: Engine
    stop: Callable[[], bool]

    @property
    def output(self) -> Path:
        return self.journal.output

    @property
    def formats(self) -> list[str]:
        return [f for f in FORMATS if f in self.options.formats]

    def run(self, job: dict[str, Any], *, resume: bool) -> LabelResult:
        """Do what is not done yet, and finish."""
        journal = self.journal
        if check_resumed(journal, job, resume=resume) and journal.job is not None:
            job |= {name: journal.job[name] for name in ("created", "inputs", "bundle") if name in journal.job}
            journal.verify()
        else:
            journal.entries.clear()
        with _writing(self.journal):
            clear_folder(self.output, keep=[entry.file for entry in journal.in_order()])
            journal.begin(job)
        if not journal.complete:
            self._judge_all()
        if not journal.entries:
            raise self.no_rows()
        with _writing(self.journal):
            return self._finish(job)

    def no_rows(self) -> RecordError:
        return RecordError(f"{self.names}: expected one row or more, found a header without rows; check the input")

    def _judge_all(self) -> None:
        """Write every shard that the journal does not have."""
        entries = self.journal.entries

        def wanted(shard: Shard) -> bool:
            entry = entries.get(shard.number)
            return entry is None or (entry.rows, entry.last) != (len(shard.items), shard.last)

        # disable=None shows the bar on a terminal only
        quiet = True if self.options.quiet else None
        done, total = self.journal.rows, self.feed.count()
        with tqdm(total=total, initial=done, unit=" rows", desc="labelling", disable=quiet) as bar:
            for shard, verdicts in self._judged(wanted, bar.update):
                with _writing(self.journal):
                    self._write(shard, verdicts)
                bar.update(len(shard.items) - len(verdicts))
                if self.stop() and not self.journal.complete:
                    raise Stopped(
                        f"{self.output}: stopped as asked, with {self.journal.rows} rows done; finish it with --resume"
                    )

    def _judged(
        self, wanted: Callable[[Shard], bool], seen: Callable[[int], object] = lambda n: None
    ) -> Iterator[tuple[Shard, list[Verdict]]]:
        cut = (shard for shard in shards(self.feed, self.options.rows_per_file) if wanted(shard))
        return judged(cut, self.judge, self.engine, chunk=self.options.chunk, seen=seen)

    def _write(self, shard: Shard, verdicts: Sequence[Verdict]) -> None:
        """Write a shard and note it: the file first, so that whatever is noted is there."""
        rows = rows_of(shard.items, verdicts, self.judge, self.options.abstention)
        path = self.output / _file(shard)
        tally = shard.tally
        try:
            write_shard(path, rows, self.judge.codebook)
            entry = Entry(
                number=shard.number,
                file=path.name,
                sha256=file_sha256(path),
                rows=len(rows),
                counts=count_rows(shard.items, rows, self.judge.codebook),
                reasons=count_reasons(rows),
                first=next((str(row["reason"]) for row in rows if row["reason"] is not None), None),
                clutter=dict(tally.clutter),
                passed_over=dict(tally.passed_over),
                ignored=sorted(tally.ignored),
                skipped=tally.skipped,
                last=shard.last,
            )
            self.journal.add(entry)
        except OSError:
            path.unlink(missing_ok=True)
            raise

    def _finish(self, job: Mapping[str, Any]) -> LabelResult:
        """Write what depends on all shards, the manifest last."""
        entries, output, asked = list(self.journal.in_order()), self.output, self.options.abstention
        files = [entry.file for entry in entries]
        totals = add_up(entries)
        outputs: list[dict[str, object]] = [{"path": e.file, "sha256": e.sha256, "rows": e.rows} for e in entries]
        for name in self.formats:
            path = write_format(output, name, files, self.judge.codebook)
            outputs.append(manifests.describe_output(path, folder=output, rows=totals.counts["rows"]))
        with scratch(self.journal.folder) as database:
            counts = _ordered(totals.counts | count_distinct(output, files, database))
        queue = self._queue(files)
        if queue is not None and queue.path.parent == output:
            outputs.append(manifests.describe_output(queue.path, folder=output, rows=queue.written))
        manifests.write_manifest(
            output / manifests.NAME,
            command=COMMAND,
            inputs=job["inputs"],
            created=job["created"],
            model_id=job["model_id"],
            codebook_id=job["codebook_id"],
            options=job["options"],
            bundle=job["bundle"],
            codebook=msgspec.to_builtins(self.judge.codebook),
            counts=counts,
            **(asked.sections(queue, counts) if asked and queue else {}),
            reasons=totals.reasons,
            clutter=totals.clutter,
            skipped=totals.skipped,
            ignored_columns=totals.ignored,
            outputs=outputs,
        )
        journals.sync_folder(output)
        self.journal.finish()
        self._check_any(counts, totals.first)
        paths = tuple(output / str(entry["path"]) for entry in outputs)
        return LabelResult(counts, totals.reasons, paths, output / manifests.NAME, queue)

    def _queue(self, files: Sequence[str]) -> Queue | None:
        asked, codebook = self.options.abstention, self.judge.codebook
        if asked is None or self.place is None:
            return None
        with scratch(self.journal.folder) as database:
            return make_queue(self.place, self.feed, self.output, files, codebook, asked.size, database)

    def _check_any(self, counts: Mapping[str, int], first: str | None) -> None:
        if counts["ok"]:
            return
        if counts["rows"] == 1:
            raise RecordError(f"{self.names}: {first}; nothing else was given, so nothing is labelled")
        raise RecordError(
            f"{self.names}: none of {counts['rows']} rows can be labelled, the first because {first}; "
            f"see the column reason in {self.output}"
        )

    def complete(self, job: Mapping[str, Any], *, resume: bool) -> LabelResult:
        """Return the result of the job that is done, mended where that is asked for and needed."""
        output = self.output
        manifest = manifests.read_manifest(output)
        check_same(output, job, manifest)
        self.journal.finish()
        damaged = self._damaged(manifest)
        if damaged and not resume:
            raise RecordError(
                f"{damaged[0]}: expected the bytes that {output / manifests.NAME} lists, found the file altered or missing; "
                "make it again with --resume, or choose another folder"
            )
        if damaged:
            with _writing(self.journal):
                self._mend(manifest, damaged)
        queue = None
        if self.place is not None:
            said = manifest["queue"]
            queue = Queue(self.place, said["rows"], said["repeated"], said["left_out"])
        self._check_any(manifest["counts"], next(iter(manifest["reasons"]), None))
        paths = tuple(output / entry["path"] for entry in manifest["outputs"])
        return LabelResult(
            manifest["counts"], manifest["reasons"], paths, output / manifests.NAME, queue, fresh=bool(damaged)
        )

    def _damaged(self, manifest: Mapping[str, Any]) -> list[Path]:
        """Return the files that are missing or not as the manifest says, the queue among them wherever it is."""
        listed = {self.output / entry["path"]: entry["sha256"] for entry in manifest["outputs"]}
        if self.place is not None:
            listed[self.place] = manifest["queue"]["sha256"]
        return [path for path, sha256 in listed.items() if not path.is_file() or file_sha256(path) != sha256]

    def _mend(self, manifest: Mapping[str, Any], damaged: Sequence[Path]) -> None:
        """Make files of a finished job again, and check that they are what they were."""
        output = self.output
        names = {path.name for path in damaged if path.parent == output}
        files = [entry["path"] for entry in manifest["outputs"] if SHARD.fullmatch(entry["path"])]
        if names & set(files):
            for shard, verdicts in self._judged(lambda shard: _file(shard) in names):
                rows = rows_of(shard.items, verdicts, self.judge, self.options.abstention)
                write_shard(output / _file(shard), rows, self.judge.codebook)
        for name in self.formats:
            if f"labels.{name}" in names:
                write_format(output, name, files, self.judge.codebook)
        if self.place in damaged:
            self._queue(files)
        still = self._damaged(manifest)
        if still:
            raise RecordError(
                f"{still[0]}: expected the bytes that {output / manifests.NAME} lists when it was made again, found others, "
                f"as where it was first made by another version ({manifest.get('treaty_stance')}, this is "
                f"{manifests.package_version()}); label into a new folder"
            )


def _file(shard: Shard) -> str:
    return f"labels-{shard.number:05}.parquet"


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: counts[name] for name in _COUNTS}
