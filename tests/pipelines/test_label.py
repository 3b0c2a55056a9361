from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebook import Codebook, load_codebook, parse_codebook
from corpus.errors import BundleError, RecordError, UsageError
from corpus.extract import read_document
from corpus.identity import digest, document_id
from corpus.records import Document
from corpus.segment import segment
from models.passage import Judgement, Passage
from pipelines.folder import output_schema
from pipelines.label import LabelOptions, LabelResult, label
from pipelines.manifest import read_manifest, verify_outputs
from pipelines.rounding import millionths

CREATED = "2026-11-22T12:00:00Z"
TUNNEL = """
format: 1
name: tunnel
version: 3
target: {name: The tunnel}
stances:
  - {id: yes_please, name: For, definition: wants it, polarity: positive}
  - {id: no_thanks, name: Not for, definition: does not, polarity: negative}
  - {id: unsure, name: Unsure, definition: neither, polarity: neutral}
concerns:
  - {id: noise, name: Noise, definition: how loud it is}
  - {id: cost, name: Cost, definition: what it costs}
holder_types:
  - {id: town, name: Town}
  - {id: nobody, name: Nobody, nobody: true}
"""


@cache
def tunnel() -> Codebook:
    return parse_codebook(TUNNEL, where="tunnel.yaml")


@dataclass
class KeywordJudge:
    """Counts the labels' names among the words: plain enough to check by eye, and blind to the rest of the list."""

    codebook: Codebook
    model_id: str = "keywords-1"
    calls: int = 0

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        self.calls += 1
        return [self._one(p) for p in passages]

    def _one(self, passage: Passage) -> Judgement:
        words = re.findall(r"\w+", passage.text)
        weights = [1 + 4 * words.count(s) for s in self.codebook.stance_ids]
        shares = [w / sum(weights) for w in weights]
        best = shares.index(max(shares))
        raised = tuple(c for c in self.codebook.concern_ids if c in words)
        holder = re.search(r"M[rs] \w+", passage.text)
        return Judgement(
            stance=self.codebook.stance_ids[best],
            probabilities=tuple(shares),
            concerns=raised,
            concern_probabilities=tuple(0.75 if c in raised else 0.25 for c in self.codebook.concern_ids),
            confidence=shares[best],
            holder_start=holder.start() if holder else None,
            holder_end=holder.end() if holder else None,
            holder_type=self.codebook.holder_type_ids[0 if holder else -1],
        )


class Silent(KeywordJudge):
    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        raise AssertionError("nothing may be judged before the whole input has been read")


def judge() -> KeywordJudge:
    return KeywordJudge(tunnel())


def write(path: Path, rows: Sequence[object]) -> str:
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return str(path)


def run(inputs: Sequence[str], output: Path, *, by: KeywordJudge | None = None, **options: Any) -> LabelResult:
    return label(inputs, by or judge(), output, created=CREATED, options=LabelOptions(**options))


def table(output: Path) -> list[dict[str, Any]]:
    return [row for path in sorted(output.glob("labels-*.parquet")) for row in pq.read_table(path).to_pylist()]


ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "Ms Ode says yes_please, whatever the cost.", "url": "https://example.org/1", "title": "T"},
    {"id": "b", "text": None, "publisher": "The Gazette"},
    {"id": "c", "text": "no_thanks, says Mr Poe.", "holder": "Poe & Sons", "holder_type": "nobody"},
    {"id": "d", "text": "noise and cost", "holder_type": "alien", "published": "2024-08"},
]


def test_rows_come_out_with_the_values_worked_out_by_hand(tmp_path: Path) -> None:
    result = run([write(tmp_path / "in.jsonl", ROWS)], tmp_path / "out")
    by = {"model_id": "keywords-1", "codebook_version": tunnel().id}
    inputs = dict.fromkeys(("title", "published", "publisher", "url", "holder", "holder_name", "holder_type", "voice"))
    assert table(tmp_path / "out") == [
        {
            **inputs, **by, "id": "a", "document_id": digest("https://example.org/1"), "start": 0, "end": 42,
            "text": ROWS[0]["text"], "title": "T", "url": "https://example.org/1", "holder": "Ms Ode",
            "holder_name": "Ms Ode", "holder_type": "town", "stance": "yes_please", "stance_yes_please": 0.714286,
            "stance_no_thanks": 0.142857, "stance_unsure": 0.142857, "concerns": ["cost"], "concern_noise": 0.25,
            "concern_cost": 0.75, "abstained": False, "confidence": 0.714286, "status": "ok", "reason": None,
        },
        {
            **dict.fromkeys(output_schema(tunnel()).names), **by, "id": "b", "publisher": "The Gazette",
            "status": "invalid", "reason": "text is missing",
        },
        {
            **inputs, **by, "id": "c", "document_id": document_id("", ROWS[2]["text"]), "start": 0, "end": 23,
            "text": ROWS[2]["text"], "holder": "Poe & Sons", "holder_name": "Poe & Sons", "holder_type": "nobody",
            "stance": "no_thanks",
            "stance_yes_please": 0.142857, "stance_no_thanks": 0.714286, "stance_unsure": 0.142857, "concerns": [],
            "concern_noise": 0.25, "concern_cost": 0.25, "abstained": False, "confidence": 0.714286, "status": "ok",
            "reason": None,
        },
        {
            **inputs, **by, "id": "d", "document_id": document_id("", ROWS[3]["text"]), "start": 0, "end": 14,
            "text": ROWS[3]["text"], "published": "2024-08", "holder_type": "nobody", "stance": "yes_please",
            "stance_yes_please": 0.333334, "stance_no_thanks": 0.333333, "stance_unsure": 0.333333,
            "concerns": ["noise", "cost"], "concern_noise": 0.75, "concern_cost": 0.75, "abstained": False,
            "confidence": 0.333334, "status": "ok", "reason": None,
        },
    ]  # fmt: skip
    assert result.counts == {
        "rows": 4, "ok": 3, "invalid": 1, "statements": 3, "documents": 3, "abstained": 0, "duplicates": 0,
        "unknown_holder_types": 1,
    }  # fmt: skip
    assert result.reasons == {"text is missing": 1}


def test_columns_stand_in_the_order_of_the_contract() -> None:
    expected = """
        id document_id start end text title published publisher url holder holder_name holder_type voice stance
        stance_favor stance_against stance_mixed stance_none concerns concern_surveillance concern_scope concern_data_access
        concern_security_research concern_expression concern_repression concern_safeguards concern_transparency
        concern_sovereignty concern_legal_overlap concern_process concern_cooperation concern_capacity concern_victims
        abstained confidence model_id codebook_version status reason
    """
    schema = output_schema(load_codebook())
    assert schema.names == expected.split()
    assert schema.field("concerns").type == pa.list_(pa.string())
    assert schema.field("stance_favor").type == pa.float64()


def test_a_holder_gets_the_fuller_name_that_its_document_gives_anywhere(tmp_path: Path) -> None:
    article = (
        "The vote was put off, and nobody knows until when it will be held.\n\n"
        "Mr Poe, who wants no noise near the river, says no_thanks to the pact.\n\n"
        "The pact is a risk for every river in the land, whatever the cost, says Edgar Poe, the mayor of Upperton.\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "poe.txt").write_text(article, encoding="utf-8")
    run([str(tmp_path / "docs")], tmp_path / "out")
    found = {row["holder"]: row["holder_name"] for row in table(tmp_path / "out")}
    assert found == {None: None, "Mr Poe": "Edgar Poe"}


def test_rows_of_one_address_that_follow_each_other_share_their_names(tmp_path: Path) -> None:
    page = {"url": "https://example.org/poe"}
    rows = [
        {"text": "no_thanks, says Edgar Poe, the mayor.", **page},
        {"text": "noise, says Mr Poe.", **page},
        {"text": "noise, says Mr Poe.", "url": "https://example.org/other"},
        {"text": "noise, says Mr Poe.", **page},
        {"text": "noise, says somebody.", "holder": "the mayor", "holder_type": "town", **page},
        {"text": None, "holder": "Poe", **page},
    ]
    run([write(tmp_path / "in.jsonl", rows)], tmp_path / "out")
    assert [row["holder_name"] for row in table(tmp_path / "out")] == [
        None, "Edgar Poe", "Mr Poe", "Mr Poe", "the mayor", "Poe"
    ]  # fmt: skip


def test_the_shipped_codebook_takes_the_same_road(tmp_path: Path) -> None:
    rows = [{"text": "It is a risk for expression, says Mr Roe, who is against it."}]
    run([write(tmp_path / "in.jsonl", rows)], tmp_path / "out", by=KeywordJudge(load_codebook()))
    (row,) = table(tmp_path / "out")
    assert (row["stance"], row["concerns"], row["holder"], row["holder_type"]) == (
        "against", ["expression"], "Mr Roe", "state",
    )  # fmt: skip


def test_every_input_form_gives_the_same_table(tmp_path: Path) -> None:
    rows = [{**dict.fromkeys(("title", "published"), ""), "id": str(i), "text": f"noise {i},\nyes_please"} for i in range(9)]
    rows[4]["text"] = ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    (tmp_path / "r.jsonl").write_bytes(lines)
    (tmp_path / "r.jsonl.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "r.csv").write_text(stream.getvalue(), newline="")
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "r.parquet")
    files = []
    for name in ("r.jsonl", "r.jsonl.gz", "r.csv", "r.parquet"):
        run([str(tmp_path / name)], tmp_path / f"out-{name}")
        files.append((tmp_path / f"out-{name}" / "labels-00000.parquet").read_bytes())
    label(["-"], judge(), tmp_path / "out-stdin", created=CREATED, stdin=io.BytesIO(lines))
    files.append((tmp_path / "out-stdin" / "labels-00000.parquet").read_bytes())
    assert len(set(files)) == 1
    assert [row["status"] for row in table(tmp_path / "out-r.csv")] == ["ok"] * 4 + ["invalid"] + ["ok"] * 4


cells = st.none() | st.integers() | st.text(st.characters(), max_size=20) | st.lists(st.integers(), max_size=2)
names = st.sampled_from(["id", "text", "title", "url", "holder", "holder_type", "published", "other", "\ud800"])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.dictionaries(names, cells, max_size=4), min_size=1, max_size=12), st.integers(1, 5))
@pytest.mark.slow
def test_n_rows_in_are_n_rows_out_in_order_whatever_they_are(rows: list[dict[str, Any]], per_file: int) -> None:
    rows = [*rows, {"id": "last", "text": "yes_please"}]
    with TemporaryDirectory() as name:
        result = run([write(Path(name) / "in.jsonl", rows)], Path(name) / "out", rows_per_file=per_file, quiet=True)
        found = table(Path(name) / "out")
    assert len(found) == len(rows) == result.counts["rows"] == result.counts["ok"] + result.counts["invalid"]
    assert sum(result.reasons.values()) == result.counts["invalid"]
    # one file for so many rows, but for neighbours of one document, which stay together
    assert 1 <= len(result.files) <= -(-len(rows) // per_file)
    for before, after in zip(rows, found, strict=True):
        if isinstance(before.get("id"), int):
            assert after["id"] == str(before["id"])
        assert (after["status"] == "ok") == (after["stance"] is not None) == (after["reason"] is None)
        if after["status"] == "ok":
            assert sum(after[f"stance_{s}"] for s in tunnel().stance_ids) == pytest.approx(1, abs=1e-9)
            assert after["confidence"] == after[f"stance_{after['stance']}"]
            assert after["text"][after["start"] : after["end"]] == after["text"]
        else:
            assert after["text"] is None
            assert after["concerns"] is None
            assert after["model_id"] == "keywords-1"


@settings(deadline=None)
@given(st.lists(st.floats(1e-9, 1), min_size=2, max_size=9))
def test_rounded_probabilities_sum_to_one_stay_near_and_keep_their_order(weights: list[float]) -> None:
    shares = [w / sum(weights) for w in weights]
    rounded = millionths(shares)
    assert sum(round(r * 1_000_000) for r in rounded) == 1_000_000
    for share, result in zip(shares, rounded, strict=True):
        assert result == round(result, 6) == pytest.approx(share, abs=1.001e-6)
    for (share, result), (other, its_result) in combinations(zip(shares, rounded, strict=True), 2):
        assert share == other or (share > other) == (result > its_result) or result == its_result


def test_the_size_of_a_chunk_changes_no_byte(tmp_path: Path) -> None:
    rows = [{"text": f"{'yes_please ' * (i % 5)}Mr N{i} {'cost ' * (i % 2)}no_thanks"} for i in range(50)]
    source = write(tmp_path / "in.jsonl", rows)
    for chunk in (1, 7, 1000):
        run([source], tmp_path / str(chunk), chunk=chunk)
    one, seven, all_at_once = ((tmp_path / str(c) / "labels-00000.parquet").read_bytes() for c in (1, 7, 1000))
    assert one == seven == all_at_once


def test_the_same_job_again_into_the_same_folder_finds_it_done_wherever_its_input_has_moved(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    options = {"formats": ("jsonl", "csv"), "rows_per_file": 3}
    first = run([source], tmp_path / "out", **options)
    before = {path.name: path.read_bytes() for path in first.files}
    assert list(before) == ["labels-00000.parquet", "labels-00001.parquet", "labels.csv", "labels.jsonl"]
    (tmp_path / "moved.jsonl").write_bytes(Path(source).read_bytes())
    (tmp_path / "out" / "report.html").write_text("made from the labels")
    second = run([str(tmp_path / "moved.jsonl")], tmp_path / "out", by=Silent(tunnel()), **options)
    assert not second.fresh
    assert {path.name: path.read_bytes() for path in second.files} == before
    assert (tmp_path / "out" / "report.html").exists()
    verify_outputs(tmp_path / "out")


def test_the_manifest_tells_what_was_read_counted_and_written(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [*ROWS, {**ROWS[0], "note": "again"}, {"text": "x" * 20_001}])
    label([source], judge(), tmp_path / "out", created=CREATED, bundle={"path": "bundles/first"})
    manifest = verify_outputs(tmp_path / "out")
    assert (manifest["command"], manifest["created"], manifest["model_id"]) == ("label", CREATED, "keywords-1")
    assert manifest["inputs"][0]["path"] == source
    assert manifest["inputs"][0]["bytes"] == Path(source).stat().st_size
    assert parse_codebook(json.dumps(manifest["codebook"]), where="manifest") == tunnel()
    assert manifest["codebook_id"] == tunnel().id
    assert manifest["options"] == {"unit": None, "formats": [], "rows_per_file": 5_000}
    assert manifest["bundle"] == {"path": "bundles/first"}
    assert manifest["counts"] == {
        "rows": 6, "ok": 4, "invalid": 2, "statements": 3, "documents": 3, "abstained": 0, "duplicates": 1,
        "unknown_holder_types": 1,
    }  # fmt: skip
    assert manifest["reasons"] == {"text is missing": 1, "text is longer than … characters": 1}
    assert manifest["ignored_columns"] == ["note"]
    assert [(o["path"], o["rows"]) for o in manifest["outputs"]] == [("labels-00000.parquet", 6)]


def test_rows_without_an_id_are_named_by_their_content_alone(tmp_path: Path) -> None:
    rows = [{"text": "cost"}, {"text": "cost", "title": "T"}, {"text": "cost"}]
    run([write(tmp_path / "1.jsonl", rows)], tmp_path / "1")
    run([write(tmp_path / "2.jsonl", list(reversed(rows)))], tmp_path / "2")
    first, second = ([row["id"] for row in table(tmp_path / name)] for name in ("1", "2"))
    assert first == list(reversed(second))
    assert first[0] == first[2] != first[1]
    assert read_manifest(tmp_path / "1")["counts"]["duplicates"] == 1


def test_rows_of_one_address_belong_to_one_document(tmp_path: Path) -> None:
    urls = ["https://example.org/a", "https://EXAMPLE.org/a?utm_source=x", "https://example.org/b", "http://[", "http://["]
    run([write(tmp_path / "in.jsonl", [{"text": f"t{i}", "url": u} for i, u in enumerate(urls)])], tmp_path / "out")
    a, same, b, odd, odd_too = (row["document_id"] for row in table(tmp_path / "out"))
    assert a == same
    assert odd == odd_too
    assert len({a, b, odd}) == 3


def test_csv_and_jsonl_hold_the_same_rows_and_no_cell_is_a_formula(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "text": "=HYPERLINK(cost, noise)", "title": "+1", "publisher": "@x", "holder": "-2"},
        {"id": "2", "text": 'a "quoted",\nyes_please'},
        {"id": "3", "text": ""},
    ]
    run([write(tmp_path / "in.jsonl", rows)], tmp_path / "out", formats=("csv", "jsonl"))
    expected = table(tmp_path / "out")
    lines = (tmp_path / "out" / "labels.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == expected
    with (tmp_path / "out" / "labels.csv").open(encoding="utf-8", newline="") as stream:
        found = list(csv.DictReader(stream))
    assert list(found[0]) == output_schema(tunnel()).names
    assert [found[0][c] for c in ("text", "title", "publisher", "holder")] == [
        "'=HYPERLINK(cost, noise)", "'+1", "'@x", "'-2",
    ]  # fmt: skip
    assert (found[0]["concerns"], found[0]["abstained"]) == ("noise;cost", "false")
    assert found[1]["text"] == 'a "quoted",\nyes_please'
    assert float(found[1]["stance_yes_please"]) == expected[1]["stance_yes_please"]
    assert [found[2][c] for c in ("text", "stance", "stance_unsure", "concerns", "reason")] == [
        "", "", "", "", "text is empty",
    ]  # fmt: skip
    assert b"\r" not in (tmp_path / "out" / "labels.csv").read_bytes()


ARTICLE = """A town decides

The town of Ode has long argued about the tunnel and about who should pay for it. Ms Ode told the council that \
the answer was yes_please, whatever the cost.

Her neighbours see it in another way, and they have written to the newspaper. "We say no_thanks," said Mr Poe, \
who lives next to the planned entrance and fears the noise.
"""


def test_a_folder_of_documents_gives_each_statement_with_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "articles"
    (folder / "sub").mkdir(parents=True)
    (folder / "one.txt").write_text(ARTICLE, encoding="utf-8")
    (folder / "sub" / "two.md").write_text(ARTICLE.replace("Poe", "Roe"), encoding="utf-8")
    (folder / "table.xlsx").write_bytes(b"PK")
    result = run([str(folder)], tmp_path / "out")
    rows = table(tmp_path / "out")
    expected = []
    for name in ("one.txt", "sub/two.md"):
        document = read_document(folder / name, root=folder)
        statements = segment(document).statements
        assert statements
        expected += [(s.id, document.id, s.start, s.end, s.text, f"file:{name}") for s in statements]
        assert all(document.text[s.start : s.end] == s.text for s in statements)
    assert [tuple(r[c] for c in ("id", "document_id", "start", "end", "text", "url")) for r in rows] == expected
    assert {"yes_please", "no_thanks"} <= {row["stance"] for row in rows}
    assert result.counts["documents"] == 2
    manifest = read_manifest(tmp_path / "out")
    assert manifest["skipped"] == [str(folder / "table.xlsx")]
    assert manifest["clutter"]["heading"] == 2
    assert [entry["path"] for entry in manifest["inputs"]] == [str(folder / "one.txt"), str(folder / "sub" / "two.md")]


def test_a_lead_ins_speaker_holds_the_positions_below_it_that_name_nobody(tmp_path: Path) -> None:
    text = """According to Tunnel Watch:

It is yes_please, all things considered.

Ms Ode says no_thanks, and so do her friends.

Doors were open until nine, and people stayed unsure.

The Gazette reports:

It is no_thanks, all things considered, in the valley.
"""
    (tmp_path / "article.txt").write_text(text, encoding="utf-8")
    run([str(tmp_path / "article.txt")], tmp_path / "out")
    found = [(r["stance"], r["holder"], r["holder_type"]) for r in table(tmp_path / "out")]
    assert found == [
        ("yes_please", "Tunnel Watch", None),  # the judge's type was "nobody", which a named holder is not
        ("no_thanks", "Ms Ode", "town"),  # who is named in the statement goes before the speaker
        ("unsure", None, "nobody"),  # no position, so nobody holds one
        ("no_thanks", None, "nobody"),  # an outlet that reports holds nothing
    ]


def test_a_document_that_cannot_be_used_is_one_invalid_row_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "articles"
    folder.mkdir()
    (folder / "1-binary.txt").write_bytes(b"\x89PNG\r\n\0\0\0")
    (folder / "2-empty.txt").write_bytes(b"\n")
    (folder / "3-good.txt").write_text(ARTICLE, encoding="utf-8")
    (folder / "4-clutter.txt").write_text("Share this post\n", encoding="utf-8")
    (folder / "5-huge.txt").write_text("A sentence that stands here. " * 200_000, encoding="utf-8")
    result = run([str(folder)], tmp_path / "out")
    rows = table(tmp_path / "out")
    bad = [row for row in rows if row["status"] == "invalid"]
    assert [row["url"] for row in bad] == [
        "file:1-binary.txt", "file:2-empty.txt", "file:4-clutter.txt", "file:5-huge.txt",
    ]  # fmt: skip
    assert [row["url"] for row in rows][2:-2] == ["file:3-good.txt"] * (len(rows) - 4)
    assert all(row["text"] is None and row["stance"] is None and row["concerns"] is None for row in bad)
    assert not any(str(tmp_path) in row["reason"] for row in bad)
    assert bad[2]["reason"] == "document has no statement, only headings and page furniture"
    assert result.counts["invalid"] == 4
    assert sum(result.reasons.values()) == 4


@pytest.mark.parametrize(("text", "title"), [("A \ud83d sentence.", None), (ARTICLE, "A \ud83d title")])
def test_half_a_character_in_a_document_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, title: str | None
) -> None:
    def read(path: Path, *, root: Path | None = None) -> Document:
        return Document(id=document_id("file:a.pdf", text), url="file:a.pdf", text=text, title=title)

    (tmp_path / "a.pdf").write_bytes(b"%PDF-")
    monkeypatch.setattr("pipelines.items.read_document", read)
    run([str(tmp_path / "a.pdf"), write(tmp_path / "in.jsonl", ROWS)], tmp_path / "out")
    first = table(tmp_path / "out")[0]
    assert (first["reason"], first["title"]) in {
        ("text has half of a surrogate pair, which is no character", None),
        (None, "A ? title"),
    }
    assert (first["status"] == "ok") == (title is not None)


def test_rows_may_be_documents_named_by_address_id_or_content_and_never_by_their_line(tmp_path: Path) -> None:
    rows = [
        {"text": ARTICLE, "url": "https://example.org/a", "holder": "The Gazette", "title": "Given"},
        {"text": ARTICLE, "id": "x"},
        {"text": ARTICLE},
        {"text": ["no"], "id": "y"},
    ]
    run([write(tmp_path / "1.jsonl", rows)], tmp_path / "1", unit="document")
    run([write(tmp_path / "2.jsonl", list(reversed(rows)))], tmp_path / "2", unit="document")
    first, second = table(tmp_path / "1"), table(tmp_path / "2")
    assert {row["document_id"] for row in first} == {row["document_id"] for row in second}
    documents = list(dict.fromkeys(row["document_id"] for row in first if row["status"] == "ok"))
    assert documents[:2] == [document_id("https://example.org/a", ARTICLE), document_id("row:x", ARTICLE)]
    assert len(documents) == 3
    assert all(row["text"] == ARTICLE[row["start"] : row["end"]] for row in first if row["status"] == "ok")
    given = [row for row in first if row["url"] == "https://example.org/a"]
    assert {(row["holder"], row["title"]) for row in given} == {("The Gazette", "Given")}
    assert (first[-1]["id"], first[-1]["reason"]) == ("y", "text is a list, expected text")


def test_tables_and_documents_may_be_mixed_and_keep_their_order(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text(ARTICLE, encoding="utf-8")
    first, last = write(tmp_path / "a.jsonl", ROWS[:1]), write(tmp_path / "c.jsonl", ROWS[2:3])
    run([first, str(tmp_path / "b.txt"), last], tmp_path / "out")
    rows = table(tmp_path / "out")
    assert (rows[0]["id"], rows[-1]["id"]) == ("a", "c")
    assert {row["url"] for row in rows[1:-1]} == {"file:b.txt"}


def test_the_judge_sees_title_and_preceding_text_as_context(tmp_path: Path) -> None:
    seen: list[Passage] = []

    class Watching(KeywordJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            seen.extend(passages)
            return super().judge(passages)

    (tmp_path / "b.txt").write_text(ARTICLE, encoding="utf-8")
    run([write(tmp_path / "a.jsonl", ROWS[:1]), str(tmp_path / "b.txt")], tmp_path / "out", by=Watching(tunnel()))
    document = read_document(tmp_path / "b.txt", root=tmp_path)
    statements = segment(document).statements
    assert seen == [
        Passage(text=ROWS[0]["text"], title="T"),
        *(Passage(text=s.text, title=document.title, before=s.before) for s in statements),
    ]
    assert any(passage.before for passage in seen)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("in.jsonl", b'{"text":"yes_please"}\n{"text":\n', RecordError),
        ("in.csv", b"id,body\n1,yes_please\n", RecordError),
        ("in.jsonl", b"", RecordError),
        ("in.csv", b"text\n", RecordError),
        ("in.parquet", b"PAR1 and then nothing", RecordError),
        ("absent.jsonl", None, UsageError),
    ],
)
def test_a_bad_file_stops_the_job_before_anything_is_judged_or_written(
    tmp_path: Path, name: str, data: bytes | None, kind: type[Exception]
) -> None:
    good = write(tmp_path / "good.jsonl", ROWS)
    if data is not None:
        (tmp_path / name).write_bytes(data)
    inputs = [str(tmp_path / name)] if data == b"text\n" else [good, str(tmp_path / name)]
    with pytest.raises(kind) as caught:
        run(inputs, tmp_path / "out", by=Silent(tunnel()))
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_where_nothing_can_be_labelled_the_rows_are_written_and_the_job_fails(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": ""}, {"text": 3}, {"text": ""}])
    with pytest.raises(RecordError, match="none of 3 rows can be labelled, the first because text is empty") as caught:
        run([source], tmp_path / "out")
    assert caught.value.exit_code == 1
    assert [row["reason"] for row in table(tmp_path / "out")] == [
        "text is empty", "text is a number, expected text", "text is empty",
    ]  # fmt: skip
    assert read_manifest(tmp_path / "out")["reasons"] == {"text is empty": 2, "text is a number, expected text": 1}


def _other_input(tmp_path: Path) -> None:
    run([write(tmp_path / "other.jsonl", ROWS[:1])], tmp_path / "out")


def _other_model(tmp_path: Path) -> None:
    run([str(tmp_path / "in.jsonl")], tmp_path / "out", by=replace(judge(), model_id="keywords-2"))


def _other_options(tmp_path: Path) -> None:
    run([str(tmp_path / "in.jsonl")], tmp_path / "out", formats=("csv",))


def _other_codebook(tmp_path: Path) -> None:
    run([str(tmp_path / "in.jsonl")], tmp_path / "out", by=KeywordJudge(load_codebook()))


def _foreign_file(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.doc").write_text("mine")


def _other_command(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text('{"format": 1, "command": "train", "inputs": 3}')


def _a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_other_input, "found another job's result with other inputs;"),
        (_other_model, "found another job's result with other model_id;"),
        (_other_options, "found another job's result with other options;"),
        (_other_codebook, "found another job's result with other codebook_id;"),
        (_other_command, "found another job's result with other inputs, command, model_id, codebook_id, options;"),
        (_foreign_file, "found thesis.doc and no manifest.json"),
        (_a_file, "expected a folder that can be written to"),
    ],
)
def test_an_output_folder_that_holds_something_else_is_refused_and_left_alone(
    tmp_path: Path, prepare: Any, words: str
) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    prepare(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        run([source], tmp_path / "out", by=Silent(tunnel()))
    assert str(caught.value).startswith(str(tmp_path / "out"))
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_an_output_folder_that_cannot_be_made_is_refused_before_anything_is_judged(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    with pytest.raises(UsageError, match="expected a folder that can be written to, but Not a directory"):
        run([source], tmp_path / "in.jsonl" / "out", by=Silent(tunnel()))


def test_an_interrupted_job_leaves_no_folder_that_looks_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(KeywordJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            raise KeyboardInterrupt

    source = write(tmp_path / "in.jsonl", ROWS)
    with pytest.raises(KeyboardInterrupt):
        run([source], tmp_path / "out", by=Interrupted(tunnel()))
    assert list((tmp_path / "out").iterdir()) == []

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(RecordError, match=r"but No space left on device; make room or check the disk and run it again$"):
        run([source], tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_job_that_is_done_and_labelled_nothing_fails_again(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"text": ""}, {"text": None}])
    for _ in range(2):
        with pytest.raises(RecordError, match="none of 2 rows can be labelled, the first because text is empty"):
            run([source], tmp_path / "out")


def test_what_a_killed_job_left_half_written_does_not_stand_in_the_way(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl", ROWS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".labels-00000.parquet.abc.part").write_bytes(b"half")
    assert run([source], tmp_path / "out").counts["ok"] == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"probabilities": (0.5, 0.5)}, "argument 2 is shorter"),
        ({"probabilities": (0.9, 0.9, 0.9), "confidence": 0.9}, "sums to 2.7"),
        ({"probabilities": (float("nan"), 0.5, 0.5), "confidence": 0.5}, "confidence is 0.5"),
        ({"confidence": 0.1}, "confidence is 0.1"),
        ({"stance": "favor"}, "stance 'favor' is not in codebook tunnel"),
        ({"concerns": ("scope",)}, "concern 'scope' is not in codebook tunnel"),
        ({"holder_type": "state"}, "holder type 'state' is not in codebook tunnel"),
        ({"holder_start": 3, "holder_end": 99}, "holder 3 to 99 is not a span of 42 characters"),
        ({"holder_start": 3, "holder_end": None}, "go together"),
        ({"concern_probabilities": (0.1, 1.5)}, "expected a number in [0, 1]"),
    ],
)
def test_a_judge_that_gives_no_judgement_is_named_and_nothing_is_written(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    class Broken(KeywordJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            return [replace(j, **change) for j in super().judge(passages)]

    with pytest.raises(BundleError, match=re.escape(words)) as caught:
        run([write(tmp_path / "in.jsonl", ROWS)], tmp_path / "out", by=Broken(tunnel()))
    assert "keywords-1: expected a judgement of statement a" in str(caught.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_sentence_too_long_to_be_judged_keeps_its_place_in_its_document(tmp_path: Path) -> None:
    endless = "word and " * 3000 + "end."
    (tmp_path / "a.txt").write_text(f"{ARTICLE}\n{endless}\n", encoding="utf-8")
    run([str(tmp_path / "a.txt")], tmp_path / "out")
    last = table(tmp_path / "out")[-1]
    assert last["reason"] == "text is longer than 20,000 characters"
    assert last["end"] - last["start"] == len(endless)
    assert last["text"] is None


def test_a_judge_that_loses_a_passage_is_refused(tmp_path: Path) -> None:
    class Losing(KeywordJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            return super().judge(passages)[1:]

    with pytest.raises(BundleError, match="expected 3 judgements, found 2"):
        run([write(tmp_path / "in.jsonl", ROWS)], tmp_path / "out", by=Losing(tunnel()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"formats": ("xlsx",)}, "format 'xlsx' is not known; expected csv or jsonl"),
        ({"unit": "page"}, "unit 'page' is not known"),
        ({"rows_per_file": 0}, "rows_per_file is 0; expected 1 or more"),
        ({"chunk": 0}, "chunk is 0; expected 1 or more"),
        ({"unit": "statement"}, "expected a table with one statement a row"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    (tmp_path / "a.txt").write_text(ARTICLE)
    with pytest.raises(UsageError, match=words):
        run([str(tmp_path / "a.txt")], tmp_path / "out", **options)


def test_nothing_is_printed_where_nobody_watches(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run([write(tmp_path / "in.jsonl", ROWS)], tmp_path / "out")
    assert capfd.readouterr() == ("", "")


DICTIONARY = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


def documented(heading: str) -> list[str]:
    """Return the names in backticks in the first cells of the table below a heading of the data dictionary."""
    section = re.split(rf"^#+ {heading}.*$", DICTIONARY.read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    section = re.split(r"^#", section, flags=re.MULTILINE)[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


@pytest.mark.parametrize("codebook", [load_codebook(), tunnel()], ids=["shipped", "invented"])
def test_the_data_dictionary_lists_every_column_in_its_order(codebook: Codebook) -> None:
    columns: list[str] = []
    for name in documented("Columns of the labels"):
        ids = codebook.stance_ids if name.startswith("stance_") else codebook.concern_ids
        columns += [name.replace("<label>", i) for i in ids] if "<label>" in name else [name]
    assert columns == output_schema(codebook).names


def test_the_data_dictionary_lists_every_field_of_the_manifest(tmp_path: Path) -> None:
    run([write(tmp_path / "in.jsonl", ROWS)], tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    fields = documented("Fields of the manifest")
    assert [f for f in fields if "." not in f] == list(manifest)
    assert [f.removeprefix("counts.") for f in fields if f.startswith("counts.")] == list(manifest["counts"])


def test_a_document_alone_that_cannot_be_used_is_named_with_its_own_numbers(tmp_path: Path) -> None:
    path = tmp_path / "big.txt"
    path.write_text("A sentence that stands here. " * 200_000, encoding="utf-8")
    with pytest.raises(RecordError, match=r"big\.txt: expected a text of at most 4,000,000 characters, found 5,"):
        run([str(path)], tmp_path / "out")
