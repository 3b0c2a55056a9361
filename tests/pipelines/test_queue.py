"""Abstention in the label job, and the queue that takes what it leaves to people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow.parquet as pq
import pytest

from annotation.codebook import Codebook
from annotation.interface import task
from corpus.errors import UsageError
from corpus.records import Document, Statement
from models.passage import Judgement, Passage
from models.selective import Selection
from pipelines.annotate import push_queue
from pipelines.label import LabelOptions, LabelResult, label
from pipelines.labels import read_labels
from pipelines.manifest import read_manifest, verify_outputs
from pipelines.queue import NAME, Abstention, QueueItem, Source, read_queue, write_queue

if TYPE_CHECKING:
    from tests.conftest import Small

Run = Callable[..., tuple[int, str, str]]
CREATED = "2026-11-22T12:00:00Z"
KEEP_07 = Selection(target=0.9, assurance=None, threshold=0.7, statements=100, kept=60, correct=56)
ARTICLE = (
    "The mayor of Upperton said on Monday that the town wants the pact 0.9 and will sign it.\n\n"
    "Lowerton's mayor said on Tuesday that nobody knows 0.4 what the pact will cost the town.\n\n"
    "Ann Gler, an angler of long standing, told the Gazette that she is not sure 0.5 about the salmon."
)


class ReadsItsShare:
    """A judge as sure of the first stance as the first number in the text says; the rest goes to the second."""

    model_id = "reader-1"

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        return [self._one(p) for p in passages]

    def _one(self, passage: Passage) -> Judgement:
        found = re.search(r"0\.\d+", passage.text)
        first = float(found[0]) if found else 0.8
        shares = (first, 1 - first, 0.0)
        best = int(shares[1] > shares[0])
        return Judgement(self.codebook.stance_ids[best], shares, (), (0.1, 0.1), shares[best])


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return str(path)


@pytest.fixture
def job(bypass: Codebook) -> Callable[..., LabelResult]:
    def run(source: object, output: Path, *, selection: Selection | None = KEEP_07, **queue: Any) -> LabelResult:
        abstention = None if selection is None else Abstention(selection, **queue)
        options = LabelOptions(abstention=abstention, formats=("csv",), quiet=True)
        return label([str(source)], ReadsItsShare(bypass), output, created=CREATED, options=options)

    return run


def table(folder: Path) -> list[dict[str, Any]]:
    return pq.read_table(folder / "labels-00000.parquet").to_pylist()


def items(path: Path) -> list[QueueItem]:
    return [msgspec.json.decode(line, type=QueueItem) for line in path.read_bytes().splitlines()]


ROWS = [
    {"id": "sure", "text": "Yes 0.9."},
    {"id": "edge", "text": "Just enough 0.7."},
    {"id": "close", "text": "Perhaps 0.52.", "title": "T", "url": "https://x.example/1", "published": "2025-01-02"},
    {"id": "bad", "text": None},
    {"id": "far", "text": "Rather 0.65.", "publisher": "Gazette"},
]


def test_decisions_below_the_threshold_are_no_labels_and_the_rest_stay_as_they_were(
    job: Callable[..., LabelResult], bypass: Codebook, tmp_path: Path
) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    result = job(source, tmp_path / "out")
    plain = job(source, tmp_path / "plain", selection=None)
    rows, before = table(tmp_path / "out"), table(tmp_path / "plain")
    assert [row["abstained"] for row in rows] == [False, False, True, None, True]
    assert [row["stance"] for row in rows] == ["welcome", "welcome", None, None, None]
    for row, was in zip(rows, before, strict=True):
        changed = {"abstained", "stance"} if row["abstained"] else set()
        assert {k: v for k, v in row.items() if k not in changed} == {k: v for k, v in was.items() if k not in changed}
    assert rows[2]["stance_welcome"] == 0.52
    assert rows[2]["confidence"] == 0.52
    assert (result.counts["ok"], result.counts["abstained"], plain.counts["abstained"]) == (4, 2, 0)
    assert plain.queue is None
    assert not (tmp_path / "plain" / NAME).exists()

    frame = read_labels(tmp_path / "out").frame
    assert list(frame[frame["stance"].notna()]["id"]) == ["sure", "edge"]
    csv_rows = (tmp_path / "out" / "labels.csv").read_text().splitlines()
    assert '"Perhaps 0.52."' in csv_rows[3]
    assert '"welcome"' not in csv_rows[3], "a spreadsheet cannot count it by mistake"


def test_the_manifest_says_what_was_promised_and_what_came_of_it(job: Callable[..., LabelResult], tmp_path: Path) -> None:
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out")
    manifest = verify_outputs(tmp_path / "out")
    low, high = KEEP_07.coverage_interval
    assert manifest["selection"] == {
        "target_accuracy": 0.9,
        "assurance": None,
        "guarantee": KEEP_07.guarantee,
        "threshold": 0.7,
        "development": {"statements": 100, "kept": 60, "correct": 56},
        "expected_accuracy": round(1 - 5 / 60, 6),
        "coverage": {"expected": 0.6, "low": round(low, 6), "high": round(high, 6), "observed": 0.5},
    }
    queue = manifest["queue"]
    assert (queue["rows"], queue["repeated"], queue["left_out"]) == (2, 0, 0)
    assert [entry["path"] for entry in manifest["outputs"]] == ["labels-00000.parquet", "labels.csv", NAME]
    assert queue["sha256"] == manifest["outputs"][-1]["sha256"]
    assert manifest["options"]["target_accuracy"] == 0.9
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "plain", selection=None)
    plain = read_manifest(tmp_path / "plain")
    assert not {"selection", "queue"} & plain.keys()
    assert plain["options"].keys() == {"unit", "formats", "rows_per_file"}


def test_the_same_job_again_gives_the_same_bytes_and_another_target_is_another_job(
    job: Callable[..., LabelResult], tmp_path: Path
) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    job(source, tmp_path / "out")
    first = (tmp_path / "out" / NAME).read_bytes()
    job(source, tmp_path / "out")
    assert (tmp_path / "out" / NAME).read_bytes() == first
    other = msgspec.structs.replace(KEEP_07, target=0.8)
    with pytest.raises(UsageError, match="another job's result with other options"):
        job(source, tmp_path / "out", selection=other)
    assert (tmp_path / "out" / NAME).read_bytes() == first


def test_where_everything_is_decided_the_queue_is_empty(job: Callable[..., LabelResult], tmp_path: Path) -> None:
    job(write(tmp_path / "in.jsonl", ROWS[:2]), tmp_path / "out")
    assert (tmp_path / "out" / NAME).read_bytes() == b""


def test_statements_of_a_document_wait_with_their_context_under_the_ids_of_their_rows(
    job: Callable[..., LabelResult], bypass: Codebook, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(ARTICLE)
    job(tmp_path / "docs", tmp_path / "out")
    rows = {row["id"]: row for row in table(tmp_path / "out")}
    found = items(tmp_path / "out" / NAME)
    assert [i.statement.text[:8] for i in found] == ["Ann Gler", "Lowerton"], "0.5 is a closer call than 0.4"
    for item in found:
        row = rows[item.id]
        assert row["abstained"]
        assert (item.statement.id, item.document.id) == (row["id"], row["document_id"])
        assert (item.statement.start, item.statement.end, item.statement.text) == (row["start"], row["end"], row["text"])
        assert item.document.text == ARTICLE
        shown = task(item.statement, item.document)["data"]
        assert shown["before"].startswith("The mayor of Upperton said"), "coders see what stands before"


def test_a_row_by_itself_is_its_own_document_and_keeps_what_is_known_of_it(
    job: Callable[..., LabelResult], bypass: Codebook, tmp_path: Path
) -> None:
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out")
    close, far = items(tmp_path / "out" / NAME)
    assert (close.id, far.id) == ("close", "far")
    assert close.codebook_version == bypass.id
    assert (close.document.url, close.document.title, close.document.published) == ("https://x.example/1", "T", "2025-01-02")
    assert (far.document.url, far.document.publisher) == ("row:far", "Gazette")
    assert task(close.statement, close.document)["data"] == {
        "uid": close.statement.id, "text": "Perhaps 0.52.", "title": "T", "published": "2025-01-02", "before": "",
        "after": "",
    }  # fmt: skip


def test_nothing_that_the_model_said_stands_in_the_queue(job: Callable[..., LabelResult], tmp_path: Path) -> None:
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out")
    records = set(Statement.__struct_fields__) | set(Document.__struct_fields__)
    for line in (tmp_path / "out" / NAME).read_bytes().splitlines():
        value = json.loads(line)
        assert set(value) == {"version", "id", "codebook_version", "statement", "document"}
        assert set(value["statement"]) | set(value["document"]) == records
        for word in ("welcome", "refuse", "confidence", "abstained", "reader-1"):
            assert word not in line.decode()


def abstained(codebook: Codebook, identity: str, document: str, first: float, text: str | None = None) -> dict[str, object]:
    shares = (first, 1 - first, 0.0)
    return {
        "id": identity, "document_id": document, "text": text or f"Text of {identity}", "abstained": True, "status": "ok",
        **{f"stance_{s}": share for s, share in zip(codebook.stance_ids, shares, strict=True)},
    }  # fmt: skip


def test_each_document_has_its_closest_call_first_then_its_second(bypass: Codebook, tmp_path: Path) -> None:
    rows = [
        abstained(bypass, "a1", "a", 0.50),
        abstained(bypass, "a2", "a", 0.51),
        abstained(bypass, "a3", "a", 0.52),
        abstained(bypass, "b1", "b", 0.69),
        abstained(bypass, "c1", "c", 0.40),
        abstained(bypass, "c2", "c", 0.35),
        abstained(bypass, "kept", "d", 0.50) | {"abstained": False},
        {"id": None, "status": "invalid"},
    ]
    queue = write_queue(tmp_path / "q.jsonl", rows, [None] * len(rows), bypass)
    assert [i.id for i in items(queue.path)] == ["a1", "c1", "b1", "a2", "c2", "a3"]
    assert (queue.written, queue.repeated, queue.left_out) == (6, 0, 0)
    backwards = write_queue(tmp_path / "r.jsonl", rows[::-1], [None] * len(rows), bypass)
    assert backwards.path.read_bytes() == queue.path.read_bytes()


def test_the_size_bounds_the_queue_and_what_is_beyond_it_is_counted(bypass: Codebook, tmp_path: Path) -> None:
    rows = [abstained(bypass, f"r{i}", f"d{i}", 0.5 + i / 100) for i in range(10)]
    queue = write_queue(tmp_path / "q.jsonl", rows, [None] * 10, bypass, size=4)
    assert [i.id for i in items(queue.path)] == ["r0", "r1", "r2", "r3"]
    assert (queue.written, queue.left_out) == (4, 6)


def test_the_same_words_in_forty_outlets_are_coded_once(bypass: Codebook, tmp_path: Path) -> None:
    rows = [abstained(bypass, f"r{i}", f"d{i}", 0.5, "A wire  text.") for i in range(40)]
    rows.append(abstained(bypass, "other", "d99", 0.6, "Another TEXT."))
    rows.append(abstained(bypass, "shout", "d98", 0.55, "another text."))
    queue = write_queue(tmp_path / "q.jsonl", rows, [None] * len(rows), bypass)
    assert [i.id for i in items(queue.path)] == ["r0", "shout"]
    assert (queue.written, queue.repeated, queue.left_out) == (2, 40, 0)


def test_a_place_that_cannot_be_meant_is_refused_before_any_work(job: Callable[..., LabelResult], tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    for path, words in (
        (tmp_path, "found a folder"),
        (tmp_path / "in.jsonl", "expected a new file or an earlier queue"),
        (tmp_path / "out" / "labels.jsonl", "or a place outside the folder of the labels"),
    ):
        with pytest.raises(UsageError, match=words):
            job(source, tmp_path / "out", path=path)
    with pytest.raises(UsageError, match="queue size is 0"):
        job(source, tmp_path / "out", size=0)
    assert not (tmp_path / "out").exists()
    assert (tmp_path / "in.jsonl").read_text().count("\n") == len(ROWS)


def test_a_queue_elsewhere_is_replaced_by_the_next_one(job: Callable[..., LabelResult], tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "round2.jsonl"
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out", path=path)
    assert len(items(path)) == 2
    assert not (tmp_path / "out" / NAME).exists()
    assert read_manifest(tmp_path / "out")["queue"]["path"] == str(path)
    job(write(tmp_path / "less.jsonl", ROWS[:3]), tmp_path / "out2", path=path)
    assert [i.id for i in items(path)] == ["close"]


def test_a_line_that_is_no_item_is_named_and_the_others_are_read(
    job: Callable[..., LabelResult], bypass: Codebook, invented: Codebook, tmp_path: Path
) -> None:
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out")
    good = (tmp_path / "out" / NAME).read_bytes().splitlines()
    moved = good[0].replace(b'"start":0', b'"start":1')
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\n".join([good[0], b"{", b"[1]", moved, b"", good[1]]) + b"\n")
    found, problems = read_queue(path, bypass)
    assert [s.text for s, _ in found] == ["Perhaps 0.52.", "Rather 0.65."]
    assert [p.split(": ")[0] for p in problems] == [f"{path}, line {n}" for n in (2, 3, 4)]
    assert "QueueItem refused" in problems[2]
    found, problems = read_queue(tmp_path / "out" / NAME, invented)
    assert found == []
    assert "expected codebook river-pact, found bypass; give the codebook of the labels" in problems[0]
    with pytest.raises(UsageError, match="no such file"):
        read_queue(tmp_path / "nowhere.jsonl", bypass)


def test_a_queue_with_nothing_to_push_is_a_wrong_use(
    job: Callable[..., LabelResult], bypass: Codebook, tmp_path: Path
) -> None:
    (tmp_path / "empty.jsonl").touch()
    with pytest.raises(UsageError, match=r"expected statements that wait for a coder, found none$"):
        push_queue(tmp_path / "empty.jsonl", project="any", codebook=bypass, environ={})
    with pytest.raises(UsageError, match=r"found none; the first problem: .*in\.jsonl, line 1"):
        push_queue(Path(write(tmp_path / "in.jsonl", ROWS)), project="any", codebook=bypass, environ={})


def test_a_queue_is_pushed_in_its_order_and_as_blind_as_a_folder(
    job: Callable[..., LabelResult], bypass: Codebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out")
    seen: list[Source] = []

    def stand_in(client: object, title: str, statements: list[Source], codebook: Codebook) -> Any:
        from annotation.label_studio import PushResult

        seen.extend(statements)
        return PushResult(project=1, created=True, added=len(statements), present=0, repeated=0)

    monkeypatch.setattr("pipelines.annotate.server", lambda environ, workspace=None: None)
    monkeypatch.setattr("pipelines.annotate.push", stand_in)
    result = push_queue(tmp_path / "out" / NAME, project="Round 2", codebook=bypass)
    assert (result.statements, result.push.added, result.problems) == (2, 2, ())
    assert [s.text for s, _ in seen] == ["Perhaps 0.52.", "Rather 0.65."]
    assert set(task(*seen[0])["data"]) == {"uid", "text", "title", "published", "before", "after"}


def test_the_data_dictionary_lists_the_fields_of_a_selection_and_of_a_queue(
    job: Callable[..., LabelResult], tmp_path: Path
) -> None:
    job(write(tmp_path / "in.jsonl", ROWS), tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    page = (Path(__file__).parents[2] / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    section = page.split("### Where a target accuracy was asked for")[1].split("\n#")[0].partition("A second run")[0]
    listed = [
        name
        for line in section.splitlines()
        if line.startswith("| `")
        for name in re.findall(r"`([^`]+)`", line.split("|")[1])
    ]
    assert listed == [f"{part}.{field}" for part in ("selection", "queue") for field in manifest[part]]
    assert list(manifest)[list(manifest).index("counts") + 1 :][:2] == ["selection", "queue"]
    section = page.split("## Queue of abstentions")[1].split("\n#")[0]
    listed = [line.split("`")[1] for line in section.splitlines() if line.startswith("| `")]
    assert listed == list(json.loads((tmp_path / "out" / NAME).read_text().splitlines()[0]))


STATEMENTS = [{"text": t} for t in ("Upperton rejects the pact.", "Tom Trout welcomes it.", "Salmon. Who, whom, perhaps?")]


def test_label_with_a_target_keeps_what_reaches_it_and_says_so(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", STATEMENTS)
    out = tmp_path / "labels"
    code, said, err = run("label", source, "--model", small_bundle, "--output", out, "--target-accuracy", "0.8")
    assert (code, err) == (0, "")
    manifest = verify_outputs(out)
    selection = manifest["selection"]
    for row in table(out):
        assert row["abstained"] == (row["confidence"] < selection["threshold"])
        assert (row["stance"] is None) == row["abstained"]
    kept = manifest["counts"]["ok"] - manifest["counts"]["abstained"]
    lines = said.splitlines()
    assert lines[0].startswith(f"{out}: stance decided on {kept} of 3 statements ({kept / 3:.0%})")
    assert lines[2].strip() == selection["guarantee"]
    assert lines[3].startswith(f"{out / NAME}: {manifest['counts']['abstained']} of {manifest['counts']['abstained']}")


def test_a_target_out_of_reach_is_refused_with_the_one_that_is_not(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    source = write(tmp_path / "a.jsonl", STATEMENTS)
    arguments = ("label", source, "--model", small_bundle, "--output", tmp_path / "labels", "--target-accuracy")
    code, out, err = run(*arguments, "0.9999")
    assert (code, out) == (2, "")
    assert re.match(r"Error: no threshold promises an accuracy of 0\.9999 on \d+ development statements, the highest", err)
    assert err.count("\n") == 1
    assert not (tmp_path / "labels").exists()
    code, _, err = run(*arguments, "0.9999", "--assurance", "0.9")
    assert "with assurance 0.9 on" in err
    code, _, err = run(*arguments, "90")
    assert code == 2
    assert "0<x<1" in err


@pytest.mark.parametrize("option", [("--assurance", "0.9"), ("--queue", "q.jsonl"), ("--queue-size", "5")])
def test_what_serves_a_target_alone_is_refused_without_one(
    run: Run, small_bundle: Path, tmp_path: Path, option: tuple[str, str]
) -> None:
    source = write(tmp_path / "a.jsonl", STATEMENTS)
    code, _, err = run("label", source, "--model", small_bundle, "--output", tmp_path / "labels", *option)
    assert code == 2
    assert "need --target-accuracy" in err


def test_a_bundle_of_an_earlier_release_labels_but_cannot_choose_a_threshold(run: Run, small: Small, tmp_path: Path) -> None:
    from models.bundle import save_bundle

    calibration = msgspec.structs.replace(small.trained.calibration, pairs=())
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    bundle = tmp_path / "bundle"
    save_bundle(bundle, replace(small.trained, calibration=calibration), small.codebook, small.split, facts=facts)
    source = write(tmp_path / "a.jsonl", STATEMENTS)
    assert run("label", source, "--model", bundle, "--output", tmp_path / "labels", "--quiet")[0] == 0
    code, _, err = run("label", source, "--model", bundle, "--output", tmp_path / "more", "--target-accuracy", "0.8")
    assert code == 1
    assert "expected development decisions in calibration.json" in err
    assert "train again" in err
    assert err.count("\n") == 1
