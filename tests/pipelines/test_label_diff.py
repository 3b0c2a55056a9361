from __future__ import annotations

import csv
import json
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebook import Codebook
from corpus.errors import RecordError, UsageError
from models.passage import Judgement, Passage
from pipelines.label import LabelOptions, label
from pipelines.label_diff import ABSTAINED, LabelDiff, diff_labels, diff_lines
from pipelines.manifest import read_manifest, verify_outputs

pytestmark = pytest.mark.slow  # writes thousands of labels

CREATED = "2026-11-22T12:00:00Z"


@dataclass
class Told:
    """Says of each text what it was told: a stance, concerns, a holder; of a text it was not told of, the last stance."""

    codebook: Codebook
    said: dict[str, dict[str, Any]] = field(default_factory=dict)
    model_id: str = "told-1"

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        return [self._one(p.text, **self.said.get(p.text, {})) for p in passages]

    def _one(
        self, text: str, stance: str = "silent", concerns: Sequence[str] = (), holder: str | None = None, **more: Any
    ) -> Judgement:
        share = more.get("confidence", 0.8)
        rest = (1 - share) / (len(self.codebook.stances) - 1)
        start = None if holder is None else text.index(holder)
        return Judgement(
            stance=stance,
            probabilities=tuple(share if s == stance else rest for s in self.codebook.stance_ids),
            concerns=tuple(concerns),
            concern_probabilities=tuple(0.75 if c in concerns else 0.25 for c in self.codebook.concern_ids),
            confidence=share,
            abstained=more.get("abstained", False),
            holder_start=start,
            holder_end=None if start is None else start + len(holder or ""),
            holder_type=more.get("kind", "town"),
        )


def make(
    folder: Path,
    codebook: Codebook,
    rows: Sequence[tuple[str, str | None, dict[str, Any]]],
    *,
    model: str = "told-1",
    rows_per_file: int = 3,
) -> Path:
    """Label rows of (id, text, what the model says of it) into a folder."""
    source = folder.with_name(f"{folder.name}.jsonl")
    source.parent.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"id": i, "text": text, "url": f"https://a.test/{i}"}) + "\n" for i, text, _ in rows)
    source.write_text("".join(lines), encoding="utf-8")
    judge = Told(codebook, {text: said for _, text, said in rows if text is not None}, model)
    label([str(source)], judge, folder, created=CREATED, options=LabelOptions(quiet=True, rows_per_file=rows_per_file))
    return folder


def table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "diff.parquet").to_pylist()
    return rows


YES, NO = {"stance": "yes_please"}, {"stance": "no_thanks"}


def test_each_kind_of_change_is_a_row_with_both_sides(invented: Codebook, tmp_path: Path) -> None:
    a = make(
        tmp_path / "a",
        invented,
        [
            ("same", "Nothing here.", {}),
            ("moved", "Upperton speaks.", {**YES, "concerns": ["fish"], "holder": "Upperton", "confidence": 0.6}),
            ("raised", "Fish and money.", {"concerns": ["fish"]}),
            ("held", "Upperton and Lowerton.", {"holder": "Upperton"}),
            ("kind", "Ann Gler came.", {"holder": "Ann Gler"}),
            ("gone", "An old one.", YES),
            ("unsure", "Who knows.", YES),
        ],
    )
    b = make(
        tmp_path / "b",
        invented,
        [
            ("new", "A new one.", NO),
            ("kind", "Ann Gler came.", {"holder": "Ann Gler", "kind": "angler"}),
            ("held", "Upperton and Lowerton.", {"holder": "Lowerton"}),
            ("raised", "Fish and money.", {"concerns": ["money"]}),
            ("moved", "Upperton speaks.", {**NO, "concerns": ["fish", "money"], "confidence": 0.9}),
            ("same", "Nothing here.", {"confidence": 0.7}),
            ("unsure", "Who knows.", {**YES, "abstained": True}),
        ],
        model="told-2",
    )
    diff = diff_labels(a, b, tmp_path / "out", created=CREATED)
    assert (diff.both, diff.same, diff.changed) == (6, 1, 5)
    assert (diff.stance, diff.concerns, diff.holder) == (2, 2, 3)
    assert (diff.only_a, diff.only_b, diff.invalid) == (1, 1, (0, 0))
    assert diff.stances == {
        ("silent", "silent"): 4,
        ("yes_please", "no_thanks"): 1,
        ("yes_please", ABSTAINED): 1,
    }
    rows = table(tmp_path / "out")
    assert [r["id"] for r in rows] == ["kind", "held", "raised", "moved", "unsure"], "in the order of B"
    moved = rows[3]
    assert moved.pop("document_id")
    assert moved == {
        **{"id": "moved", "text": "Upperton speaks.", "url": "https://a.test/moved"},
        **{"stance_a": "yes_please", "stance_b": "no_thanks", "confidence_a": 0.6, "confidence_b": 0.9},
        **{"concerns_added": ["money"], "concerns_removed": []},
        **{"holder_a": "Upperton", "holder_b": None, "holder_type_a": "town", "holder_type_b": "town"},
    }
    assert (rows[0]["holder_type_a"], rows[0]["holder_type_b"]) == ("town", "angler")
    assert (rows[2]["concerns_added"], rows[2]["concerns_removed"]) == (["money"], ["fish"])
    assert (rows[4]["stance_a"], rows[4]["stance_b"]) == ("yes_please", None)
    with (tmp_path / "out" / "diff.csv").open(encoding="utf-8", newline="") as stream:
        sheet = list(csv.DictReader(stream))
    assert [r["id"] for r in sheet] == [r["id"] for r in rows]
    assert sheet[3]["concerns_added"] == "money"
    assert sheet[3]["holder_b"] == ""

    manifest = verify_outputs(tmp_path / "out")
    assert manifest["counts"] == {
        **{"both": 6, "same": 1, "changed": 5, "stance": 2, "concerns": 2, "holder": 3},
        **{"only_a": 1, "only_b": 1, "invalid_a": 0, "invalid_b": 0},
    }
    assert {"a": "yes_please", "b": "no_thanks", "n": 1} in manifest["stances"]
    assert (manifest["a"]["model_ids"], manifest["b"]["model_ids"]) == (["told-1"], ["told-2"])

    lines = diff_lines(diff, a, b)
    assert lines[0] == "6 statements in both, 5 changed (83.3%): stance of 2, concerns of 2, holder of 3"
    assert lines[1:3] == ["  1 x yes_please -> (abstained)", "  1 x yes_please -> no_thanks"]
    assert f"only in {a}: 1" in lines
    assert "models: told-1 -> told-2" in lines


def test_labels_against_themselves_differ_in_nothing(invented: Codebook, tmp_path: Path) -> None:
    rows = [(f"s{i}", f"Text {i}.", [YES, NO, {}][i % 3]) for i in range(10)]
    a = make(tmp_path / "a", invented, rows)
    diff = diff_labels(a, a, tmp_path / "out", created=CREATED)
    assert (diff.both, diff.changed, diff.only_a, diff.only_b) == (10, 0, 0, 0)
    assert table(tmp_path / "out") == []
    assert diff.stances == {("yes_please", "yes_please"): 4, ("no_thanks", "no_thanks"): 3, ("silent", "silent"): 3}


def test_ids_that_stand_twice_are_compared_in_turn(invented: Codebook, tmp_path: Path) -> None:
    a = make(tmp_path / "a", invented, [("x", "One.", YES), ("x", "Two.", NO), ("x", "Three.", NO)])
    b = make(tmp_path / "b", invented, [("x", "One.", YES), ("x", "Two.", {})])
    diff = diff_labels(a, b, tmp_path / "out", created=CREATED)
    assert (diff.both, diff.changed, diff.only_a, diff.only_b) == (2, 1, 1, 0)
    assert [(r["text"], r["stance_a"], r["stance_b"]) for r in table(tmp_path / "out")] == [("Two.", "no_thanks", "silent")]


def test_rows_without_labels_are_counted_apart(invented: Codebook, tmp_path: Path) -> None:
    a = make(tmp_path / "a", invented, [("x", "One.", YES), ("y", None, {}), ("z", None, {})])
    b = make(tmp_path / "b", invented, [("x", None, {}), ("y", "Two.", YES), ("z", None, {})])
    diff = diff_labels(a, b, created=CREATED)
    assert (diff.both, diff.only_a, diff.only_b, diff.invalid) == (0, 1, 1, (2, 2))
    lines = diff_lines(diff, a, b)
    assert lines[0].startswith("0 statements in both, 0 changed:")
    assert f"only in {a}: 1; invalid there: 2" in lines


def test_of_a_folder_of_runs_the_latest_that_has_a_statement_counts(invented: Codebook, tmp_path: Path) -> None:
    runs = tmp_path / "labels" / "told-1"
    make(runs / "0001", invented, [("x", "One.", YES), ("y", "Two.", YES)])
    make(runs / "0002", invented, [("z", "Three.", YES)])
    make(runs / "0010", invented, [("x", "One.", NO)])
    (runs / "0011").mkdir()  # not finished
    b = make(tmp_path / "b", invented, [("x", "One.", NO), ("y", "Two.", NO), ("z", "Three.", YES)])
    for one, two in ((runs, b), (b, runs)):
        diff = diff_labels(one, two, tmp_path / "out", created=CREATED)
        assert (diff.both, diff.changed, diff.only_a, diff.only_b) == (3, 1, 0, 0)
        assert [r["id"] for r in table(tmp_path / "out")] == ["y"]
    assert len(read_manifest(tmp_path / "out")["inputs"]) == 4


def test_the_same_comparison_gives_the_same_bytes_and_replaces_an_earlier_one(invented: Codebook, tmp_path: Path) -> None:
    a = make(tmp_path / "a", invented, [(f"s{i}", f"=Text {i}.", YES) for i in range(5)])
    b = make(tmp_path / "b", invented, [(f"s{i}", f"=Text {i}.", NO) for i in range(5)])
    diff_labels(a, b, tmp_path / "out", created=CREATED)
    first = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    assert sorted(first) == ["diff.csv", "diff.parquet", "manifest.json"]
    diff_labels(a, b, tmp_path / "out", created=CREATED)
    assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == first
    assert b'"\'=Text 0."' in first["diff.csv"], "no spreadsheet runs it"
    assert table(tmp_path / "out")[0]["text"] == "=Text 0."
    diff_labels(a, a, tmp_path / "out", created=CREATED)
    assert table(tmp_path / "out") == []


def test_what_cannot_be_compared_is_one_sentence(invented: Codebook, tmp_path: Path) -> None:
    a = make(tmp_path / "a", invented, [("x", "One.", YES)])
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        diff_labels(a, tmp_path / "nowhere", created=CREATED)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"empty: .*found no manifest\.json"):
        diff_labels(a, tmp_path / "empty", created=CREATED)
    with pytest.raises(UsageError, match=r"a: expected a new folder or an earlier comparison"):
        diff_labels(a, a, a, created=CREATED)
    assert (a / "manifest.json").is_file()
    diff_labels(a, a, tmp_path / "out", created=CREATED)
    with pytest.raises(RecordError, match="expected labels, found the result of 'label diff'"):
        diff_labels(a, tmp_path / "out", created=CREATED)
    b = make(tmp_path / "b", invented, [("x", "One.", NO)])
    with (b / "labels-00000.parquet").open("ab") as stream:
        stream.write(b"more")
    with pytest.raises(RecordError, match=r"labels-00000\.parquet: expected the bytes that were written"):
        diff_labels(a, b, created=CREATED)


STANCES = ["yes_please", "no_thanks", "silent"]
SIDES = st.dictionaries(st.integers(0, 9), st.tuples(st.sampled_from(STANCES), st.sets(st.sampled_from(["fish", "money"]))))


@settings(max_examples=15)
@given(one=SIDES.filter(bool), two=SIDES.filter(bool))
def test_turned_round_it_is_the_same_comparison(
    one: dict[int, tuple[str, set[str]]],
    two: dict[int, tuple[str, set[str]]],
    invented: Codebook,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("sides")

    def side(name: str, rows: dict[int, tuple[str, set[str]]]) -> Path:
        said = [(str(i), f"Text {i}.", {"stance": s, "concerns": sorted(c)}) for i, (s, c) in rows.items()]
        return make(folder / name, invented, said)

    a, b = side("a", one), side("b", two)
    there: LabelDiff = diff_labels(a, b, folder / "out", created=CREATED)
    back = diff_labels(b, a, created=CREATED)
    shared = one.keys() & two.keys()
    assert there.both == back.both == len(shared)
    assert there.changed == back.changed == sum(one[i] != two[i] for i in shared)
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a) == (len(one) - len(shared), len(two) - len(shared))
    assert {(y, x): n for (x, y), n in there.stances.items()} == dict(back.stances)
    for row in table(folder / "out"):
        i = int(row["id"])
        assert set(row["concerns_added"]) == two[i][1] - one[i][1]
        assert set(row["concerns_removed"]) == one[i][1] - two[i][1]


def test_memory_does_not_grow_with_the_rows(invented: Codebook, tmp_path: Path) -> None:
    def peak(n: int) -> int:
        long = "word " * 40
        a, b = (
            make(tmp_path / f"{name}{n}", invented, [(f"s{i}", f"{i} {long}", said) for i in range(n)], rows_per_file=400)
            for name, said in (("a", YES), ("b", NO))
        )
        tracemalloc.start()
        diff_labels(a, b, tmp_path / f"out{n}", created=CREATED)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(10)
    assert peak(4000) < 1.5 * peak(2000)
