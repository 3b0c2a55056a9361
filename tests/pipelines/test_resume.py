"""Jobs that are killed, stopped, starved of room, started twice or tampered with, and what resuming them gives."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpus.errors import RecordError, TreatyStanceError, UsageError
from models.passage import Judgement, Passage
from pipelines.journal import FOLDER, Journal
from pipelines.label import LabelOptions, LabelResult, Stopped, label
from pipelines.manifest import read_manifest, verify_outputs
from pipelines.queue import Abstention

sys.path.insert(0, str(Path(__file__).parent))
from forking import KEEP, HashJudge

pytestmark = pytest.mark.slow  # starts, stops and kills jobs

HELPER = Path(__file__).with_name("forking.py")


class Jobs:
    """The process that forks label jobs."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HELPER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def start(self, **job: Any) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()

    def run(self, **job: Any) -> tuple[int, dict[str, Any]]:
        """Run a job; return its exit code (negative: the signal) and what it said."""
        self.start(**job)
        return self.end()

    def end(self) -> tuple[int, dict[str, Any]]:
        said: dict[str, Any] = {}
        while not (line := self._line()).startswith("end "):
            with contextlib.suppress(json.JSONDecodeError):  # killed while it was speaking
                said = json.loads(line)
        return int(line.split()[1]), said

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait(timeout=30)

    def _line(self) -> str:
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the process that starts jobs has died"
        return line.rstrip("\n")


@pytest.fixture(scope="module")
def jobs() -> Iterator[Jobs]:
    with contextlib.closing(Jobs()) as made:
        yield made


def statements(n: int) -> list[dict[str, object]]:
    return [
        {
            "id": f"s{i % (n - 3)}",
            "text": f"Statement {i} of the bridge." if i % 9 else "",
            "url": f"https://x.test/{i // 7}",
        }
        for i in range(n)
    ]


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A table, a CSV file and a folder of documents: some 560 rows."""
    folder = tmp_path_factory.mktemp("inputs")
    rows = statements(400)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, ["id", "text"], extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows[:100])
    (folder / "t.csv").write_text(stream.getvalue())
    (folder / "docs").mkdir()
    for i in range(10):
        text = "\n\n".join(f"The bridge number {i} was said to be {j} metres long by Ms Ode of Upperton." for j in range(6))
        (folder / "docs" / f"{i:02}.txt").write_text(text)
    return [write(folder / "t.jsonl", rows), str(folder / "t.csv"), str(folder / "docs")]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_killed_at_twenty_five_moments_it_ends_as_if_it_had_not_been(jobs: Jobs, inputs: list[str], tmp_path: Path) -> None:
    output = tmp_path / "out"
    job: dict[str, Any] = {"inputs": inputs, "rows": 30, "seconds": 0.0004, "output": str(output)}
    jobs.run(**job)
    shutil.rmtree(output)
    started = time.monotonic()
    assert jobs.run(**job)[0] == 0
    lasted = time.monotonic() - started
    expected = snapshot(output)
    assert {"labels-00000.parquet", "labels.csv", "labels.jsonl", "queue.jsonl", "manifest.json"} <= expected.keys()
    shards = len([name for name in expected if name.endswith(".parquet")])
    assert shards > 15
    draw = random.Random(6)  # noqa: S311 - moments, no secrets
    seen, kills = set(), 0
    while kills < 25:
        shutil.rmtree(output)
        for again in range(1 + kills % 4):  # some are killed again while they are resumed
            moment = {"shards": draw.randrange(shards), "after": draw.uniform(0, 2 * lasted / shards)}
            code, _ = jobs.run(**job, resume=bool(again), signal=signal.SIGKILL, **moment)
            kills += code == -signal.SIGKILL
            seen.add(len(list(output.glob("labels-*.parquet"))))
        code, said = jobs.run(**job, resume=True)
        assert code == 0, said
        assert snapshot(output) == expected
        verify_outputs(output)
    assert len(seen) > 4, "the kills fell on different shards"


@dataclass
class Counting(HashJudge):
    """Counts what it judges; the words of a poisoned passage make it fail."""

    seen: int = 0
    poison: str | None = None
    settings: dict[str, object] = field(default_factory=dict)

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        if self.poison is not None and any(self.poison in p.text for p in passages):
            raise RuntimeError("a number is not finite")
        self.seen += len(passages)
        return [self._one(p) for p in passages]

    def _one(self, p: Passage) -> Judgement:
        self._seconds = 0.0
        return super()._one(p)


def run(inputs: Sequence[str], output: Path, *, by: HashJudge | None = None, **given: Any) -> LabelResult:
    options = {
        "formats": ("csv", "jsonl"), "rows_per_file": 30, "quiet": True, "abstention": Abstention(KEEP, size=50),
        **given.pop("options", {}),
    }  # fmt: skip
    given = {"created": "2026-11-22", "bundle": {"path": "b"}, **given}
    return label(inputs, by or HashJudge(), output, options=LabelOptions(**options), **given)


class After:
    """Says stop once it has been asked so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def stopped(inputs: Sequence[str], output: Path, shards: int = 5, **given: Any) -> None:
    with pytest.raises(Stopped):
        run(inputs, output, stop=After(shards), **given)


@pytest.fixture
def expected(inputs: list[str], tmp_path: Path) -> dict[str, bytes]:
    """What an undisturbed run leaves in the folder ``out``."""
    run(inputs, tmp_path / "out")
    found = snapshot(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    return found


def test_a_job_that_is_told_to_stop_ends_after_a_whole_shard_and_is_finished_from_there(
    inputs: list[str], tmp_path: Path, expected: dict[str, bytes]
) -> None:
    output = tmp_path / "out"
    with pytest.raises(Stopped, match=r"out: stopped as asked, with \d+ rows done; finish it with --resume$"):
        run(inputs, output, stop=After(4))
    done = sum(pq.read_metadata(p).num_rows for p in output.glob("labels-*.parquet"))
    assert len(list(output.glob("labels-*.parquet"))) == 4
    assert {p.name for p in output.iterdir()} - {f"labels-0000{i}.parquet" for i in range(4)} == {FOLDER}
    with pytest.raises(UsageError, match=f"found one that was stopped with {done} rows done; finish it with --resume"):
        run(inputs, output)
    judge, all_of_it = Counting(), Counting()
    result = run(inputs, output, by=judge, resume=True, created="2031-01-01", bundle={"path": "moved"})
    assert snapshot(output) == expected
    assert result.fresh
    run(inputs, tmp_path / "other", by=all_of_it)
    assert judge.seen < all_of_it.seen
    texts = [
        row["text"]
        for p in sorted(output.glob("labels-*"))
        if p.suffix == ".parquet"
        for row in pq.read_table(p).to_pylist()
    ]
    assert texts[:100] == [(s["text"] or None) for s in statements(400)][:100]


def test_stop_after_the_last_shard_stops_nothing(inputs: list[str], tmp_path: Path, expected: dict[str, bytes]) -> None:
    n = sum(name.endswith(".parquet") for name in expected)
    run(inputs, tmp_path / "out", stop=After(n))
    assert snapshot(tmp_path / "out") == expected


def test_a_signal_ends_a_job_after_its_shard_with_a_sentence(jobs: Jobs, inputs: list[str], tmp_path: Path) -> None:
    job: dict[str, Any] = {"inputs": inputs, "rows": 20, "seconds": 0.01, "output": str(tmp_path / "out")}
    code, said = jobs.run(**job, signal=signal.SIGTERM, after=2.0)
    assert code == 1
    assert "stopped as asked, with" in said["said"]
    assert jobs.run(**{**job, "seconds": 0}, resume=True)[0] == 0
    verify_outputs(tmp_path / "out")


def _nothing(out: Path) -> None:
    pass


def _altered(out: Path) -> None:
    path = out / "labels-00002.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")


def _missing(out: Path) -> None:
    (out / "labels-00000.parquet").unlink()


def _torn_line(out: Path) -> None:
    path = out / FOLDER / "journal.jsonl"
    path.write_bytes(path.read_bytes()[:-40])


def _bad_line(out: Path) -> None:
    path = out / FOLDER / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], b"\xff{", *lines[2:]]))


def _not_yet_noted(out: Path) -> None:
    (out / "labels-00007.parquet").write_bytes(b"whole, but the power went")
    (out / ".labels-00008.parquet.x.part").write_bytes(b"half")
    (out / FOLDER / "input-0").write_bytes(b"a copy")


def _all_but_the_end(out: Path) -> None:
    (out / "labels.csv").write_bytes(b"of another day")
    (out / FOLDER / "scratch.sqlite").write_bytes(b"half")


@pytest.mark.parametrize("change", [_nothing, _altered, _missing, _torn_line, _bad_line, _not_yet_noted, _all_but_the_end])
def test_what_is_damaged_or_missing_is_made_again(
    inputs: list[str], tmp_path: Path, expected: dict[str, bytes], change: Any
) -> None:
    stopped(inputs, tmp_path / "out")
    change(tmp_path / "out")
    run(inputs, tmp_path / "out", resume=True)
    assert snapshot(tmp_path / "out") == expected


def test_a_job_that_never_began_is_begun_by_resuming_it(
    inputs: list[str], tmp_path: Path, expected: dict[str, bytes]
) -> None:
    run(inputs, tmp_path / "out", resume=True)
    assert snapshot(tmp_path / "out") == expected


def test_a_job_killed_before_its_first_shard_stands_in_nobodys_way(inputs: list[str], tmp_path: Path) -> None:
    stopped(inputs, tmp_path / "out")
    (tmp_path / "out" / FOLDER / "journal.jsonl").write_bytes(b"")
    run(inputs[:1], tmp_path / "out")
    assert [e["path"] for e in read_manifest(tmp_path / "out")["inputs"]] == inputs[:1]
    verify_outputs(tmp_path / "out")


def test_another_job_is_not_taken_for_the_one_that_was_begun(inputs: list[str], tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", statements(200))
    out = tmp_path / "out"
    stopped([source], out, 2)
    before = snapshot(out)

    class Other(HashJudge):
        model_id = "hash-2"

    for given, words in (
        ({"by": Other()}, "model_id was hash-1, is hash-2;"),
        ({"options": {"rows_per_file": 31}}, "options.rows_per_file was 30, is 31;"),
        ({"by": Counting(settings={"precision": "int8"})}, "options.precision was null, is int8;"),
        ({"options": {"formats": ()}}, 'options.formats was ["csv","jsonl"], is [];'),
        ({"options": {"abstention": Abstention(KEEP, size=7)}}, "options.queue_size was 50, is 7;"),
    ):
        with pytest.raises(UsageError) as caught:
            run([source], out, resume=True, **given)
        assert words in str(caught.value)
        assert "rows done, found another one" in str(caught.value)
    with pytest.raises(UsageError, match="inputs was 1 files, is 12 files"):
        run(inputs, out, resume=True)
    write(tmp_path / "in.jsonl", statements(201))
    with pytest.raises(UsageError, match=r"inputs was SHA-256 \w{12}… of in\.jsonl, is SHA-256 \w{12}… of in\.jsonl;"):
        run([source], out, resume=True)
    after = snapshot(out)
    assert after == before


def test_a_judges_settings_make_another_job_and_stand_in_the_manifest(inputs: list[str], tmp_path: Path) -> None:
    run(inputs[:1], tmp_path / "out", by=Counting(settings={"precision": "fp32"}))
    assert read_manifest(tmp_path / "out")["options"]["precision"] == "fp32"
    with pytest.raises(UsageError, match=r"other options; .*options\.precision was fp32, is int8"):
        run(inputs[:1], tmp_path / "out", by=Counting(settings={"precision": "int8"}))


@pytest.mark.parametrize("resume", [False, True])
def test_a_job_that_is_done_is_not_done_again(
    inputs: list[str], tmp_path: Path, expected: dict[str, bytes], resume: bool
) -> None:
    first = run(inputs, tmp_path / "out")
    judge = Counting()
    again = run(inputs, tmp_path / "out", by=judge, resume=resume, created="2031-01-01")
    assert judge.seen == 0
    assert (first.fresh, again.fresh) == (True, False)
    assert (again.counts, again.reasons, again.files, again.queue) == (first.counts, first.reasons, first.files, first.queue)
    assert snapshot(tmp_path / "out") == expected


@pytest.mark.parametrize(
    "name", ["labels-00000.parquet", "labels-00003.parquet", "labels.csv", "labels.jsonl", "queue.jsonl"]
)
@pytest.mark.parametrize("gone", [False, True])
def test_a_finished_job_with_a_damaged_file_is_refused_and_mended_when_asked(
    inputs: list[str], tmp_path: Path, expected: dict[str, bytes], name: str, gone: bool
) -> None:
    out, judge = tmp_path / "out", Counting()
    run(inputs, out)
    if gone:
        (out / name).unlink()
    else:
        (out / name).write_bytes(b"damaged")
    with pytest.raises(RecordError, match=rf"{name}: expected the bytes .* altered or missing; make it again with --resume"):
        run(inputs, out)
    assert run(inputs, out, by=judge, resume=True).fresh
    assert snapshot(out) == expected
    assert judge.seen <= 100


def test_a_result_that_cannot_be_made_again_as_it_was_is_not_passed_off_as_it(inputs: list[str], tmp_path: Path) -> None:
    class Changed(HashJudge):
        def _one(self, p: Passage) -> Judgement:
            return super()._one(Passage(p.text + "!"))

    run(inputs, tmp_path / "out")
    _altered(tmp_path / "out")
    with pytest.raises(RecordError, match=r"labels-00002\.parquet: expected the bytes .* found others"):
        run(inputs, tmp_path / "out", by=Changed(), resume=True)


def test_two_jobs_in_one_folder_are_one_too_many(jobs: Jobs, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    jobs.start(inputs=inputs, rows=30, seconds=0.01, output=str(out), signal=signal.SIGTERM, after=3.0)
    limit = time.monotonic() + 60
    while not (out / FOLDER / "journal.jsonl").is_file() and time.monotonic() < limit:
        time.sleep(0.02)
    for resume in (False, True):
        with pytest.raises(TreatyStanceError, match="out: expected a folder in which no other job is at work, found one"):
            run(inputs, out, resume=resume)
    assert "stopped as asked" in jobs.end()[1]["said"]
    with Journal(out), pytest.raises(TreatyStanceError, match="no other job is at work"):
        run(inputs, out, resume=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 160 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is refused here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_keeps_what_is_noted_and_room_lets_it_finish(inputs: list[str], small_disk: Path) -> None:
    run(inputs, small_disk.parent / "reference")
    out = small_disk / "out"
    with pytest.raises(RecordError, match=r"but No space left on device; .* run it again with --resume; \d+ rows are done"):
        run(inputs, out)
    noted = (out / FOLDER / "journal.jsonl").read_bytes().count(b"\n")
    assert noted > 1
    with pytest.raises(TreatyStanceError, match="No space left"):
        run(inputs, out, resume=True)
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    judge = Counting()
    run(inputs, out, by=judge, resume=True)
    found, wanted = snapshot(out), snapshot(small_disk.parent / "reference")
    assert found.pop("manifest.json").replace(b"disk/out", b"reference") == wanted.pop("manifest.json")
    assert found == wanted


def test_an_output_that_can_only_be_read_is_refused_in_a_sentence(inputs: list[str], small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    stopped(inputs, small_disk / "out")
    before = snapshot(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for output in (small_disk / "out", small_disk / "new"):
        with pytest.raises(UsageError, match="expected a folder that can be written to, but Read-only file system; choose"):
            run(inputs, output, resume=True)
    assert snapshot(small_disk) == before


def test_standard_input_is_copied_for_the_job_alone_and_given_again_when_it_is_resumed(tmp_path: Path) -> None:
    lines = "".join(json.dumps(s) + "\n" for s in statements(200)).encode()
    stopped(["-"], tmp_path / "out", 2, stdin=io.BytesIO(lines))
    assert {p.name for p in (tmp_path / "out" / FOLDER).iterdir()} == {"job.json", "journal.jsonl", "lock"}
    with pytest.raises(UsageError, match=r"inputs was SHA-256 .* of standard input, is"):
        run(["-"], tmp_path / "out", resume=True, stdin=io.BytesIO(lines + b'{"text": "one more"}\n'))
    run(["-"], tmp_path / "out", resume=True, stdin=io.BytesIO(lines))
    found = snapshot(tmp_path / "out")
    assert not any(name.startswith(FOLDER) for name in found)
    run(["-"], tmp_path / "whole", stdin=io.BytesIO(lines))
    assert found["labels.jsonl"] == snapshot(tmp_path / "whole")["labels.jsonl"]


def test_an_output_within_the_folder_that_is_read_is_no_part_of_it(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"{i:02}.txt").write_text(f"The bridge is {i} metres long, said Ms Ode of Upperton on Monday.")
    (tmp_path / "notes.xlsx").write_bytes(b"PK")
    run([str(tmp_path)], tmp_path / "labels")
    expected = snapshot(tmp_path / "labels")
    assert read_manifest(tmp_path / "labels")["skipped"] == [str(tmp_path / "notes.xlsx")]
    assert not run([str(tmp_path)], tmp_path / "labels").fresh
    shutil.rmtree(tmp_path / "labels")
    stopped([str(tmp_path)], tmp_path / "labels", 1)
    run([str(tmp_path)], tmp_path / "labels", resume=True)
    assert snapshot(tmp_path / "labels") == expected


def test_a_passage_that_the_model_fails_on_costs_its_own_row(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": f"Text {i}."} for i in range(60)])
    result = run([source], tmp_path / "out", by=Counting(poison="Text 41."))
    rows = [row for p in sorted((tmp_path / "out").glob("*.parquet")) for row in pq.read_table(p).to_pylist()]
    assert [i for i, row in enumerate(rows) if row["status"] == "invalid"] == [41]
    assert "a number is not finite" in rows[41]["reason"]
    assert (rows[41]["text"], rows[41]["stance"], rows[41]["end"]) == (None, None, 8)
    assert result.counts["invalid"] == 1


def test_twenty_times_the_rows_take_no_more_memory(jobs: Jobs, tmp_path: Path) -> None:
    peaks = []
    for n in (2_000, 40_000):
        source = tmp_path / f"{n}.jsonl"
        with source.open("w") as stream:
            for i in range(n):
                stream.write(json.dumps({"text": f"Statement {i} of the bridge. " + "It is long. " * 40}) + "\n")
        code, said = jobs.run(inputs=[str(source)], rows=500, chunk=500, output=str(tmp_path / f"out-{n}"))
        assert code == 0, said
        peaks.append(said["peak"])
    assert peaks[1] < 1.1 * peaks[0], peaks
