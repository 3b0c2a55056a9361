"""Ten thousand rows of everything: each keeps its place, and what becomes of it is what its kind says."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipelines.label import LabelOptions, label
from pipelines.manifest import verify_outputs

sys.path.insert(0, str(Path(__file__).parent))
from forking import HashJudge

Draw = Callable[[random.Random], Any]

pytestmark = pytest.mark.slow  # labels thousands of rows

OK = None
HALF = "half of a surrogate pair, which is no character"

# for each kind: how to make the row's line (an object, or the line itself), and the reason that the row must have
KINDS: dict[str, tuple[Draw, str | None]] = {
    "plain": (lambda r: {"text": f"Statement {r.random()} of it."}, OK),
    "right to left": (lambda r: {"text": f"הגשר ארוך מאוד، والجسر طويل {r.randrange(99)}."}, OK),
    "zero width": (lambda r: {"text": f"The\u200b bri\u200ddge\ufeff \u202eis {r.randrange(99)}\u2066 long."}, OK),
    "combining": (lambda r: {"text": "e\u0301" * r.randrange(1, 50)}, OK),
    "emoji": (lambda r: {"text": "👩‍👩‍👧‍👦 \U0001f600" * r.randrange(1, 9)}, OK),
    "escaped pair": (lambda r: '{"text": "\\ud83d\\ude00 is long"}', OK),
    "line ends": (lambda r: {"text": "one\r\ntwo\rthree\u2028four\x85five"}, OK),
    "controls": (lambda r: {"text": "a\x01b\x1b[31m\x7f"}, OK),
    "just fits": (lambda r: {"text": "x" * 20_000}, OK),
    "same id": (lambda r: {"id": "same", "text": f"Of one id {r.random()}."}, OK),
    "number as id": (lambda r: {"id": r.randrange(10**20), "text": "It is long."}, OK),
    "other columns": (lambda r: {"text": "It is long.", "note": {"deep": [1, {"er": None}]}, "": 1}, OK),
    "odd holder type": (lambda r: {"text": "It is long.", "holder_type": "alien"}, OK),
    "odd address": (lambda r: {"text": "It is long.", "url": r.choice(["http://[", "::", "https://x.test/%zz", "a b"])}, OK),
    "formula": (lambda r: {"text": "=1+1", "title": "@x", "publisher": "+1"}, OK),
    "a million characters": (lambda r: {"text": "y" * 1_000_000}, "text is longer than 20,000 characters"),
    "one too many": (lambda r: {"text": "x" * 20_001}, "text is longer than 20,000 characters"),
    "empty": (lambda r: {"text": r.choice(["", " ", "\n\t", "\u200b\u2060", "\u00a0\u3000"])}, "text is empty"),
    "missing": (
        lambda r: r.choice([{}, {"text": None}, {"id": "no text"}, '{"text": NaN}', '{"text": 1e999}']),
        "text is missing",
    ),
    "number": (lambda r: {"text": r.choice([0, -1, 3.5, 10**30])}, "text is a number, expected text"),
    "boolean": (lambda r: {"text": r.random() < 0.5}, "text is true or false, expected text"),
    "list": (lambda r: {"text": ["a"] * r.randrange(3)}, "text is a list, expected text"),
    "object": (lambda r: {"text": {"text": "a"}}, "text is an object, expected text"),
    "nested": (lambda r: '{"text": ' + "[" * 200 + "]" * 200 + "}", "text is a list, expected text"),
    "NUL": (lambda r: {"text": "a\0b"}, "text has a NUL character"),
    "half a character": (lambda r: {"text": "a \ud83d b"}, f"text has {HALF}"),
    "half a title": (lambda r: {"text": "It is long.", "title": "\udc00"}, f"title has {HALF}"),
    "NUL in an id": (lambda r: {"text": "It is long.", "id": "a\0"}, "id has a NUL character"),
    "list as a holder": (lambda r: {"text": "It is long.", "holder": ["Ms A"]}, "holder is a list, expected text"),
    "no object": (lambda r: r.choice(["[1]", "3", "null", '"text"', "true"]), "row is "),
}


@pytest.mark.parametrize("rows_per_file", [700, 5_000])
def test_each_of_ten_thousand_rows_comes_out_as_its_kind_must(tmp_path: Path, rows_per_file: int) -> None:
    draw = random.Random(rows_per_file)  # noqa: S311 - rows, no secrets
    weights = [0.2 if kind == "a million characters" else 1 for kind in KINDS]
    kinds = draw.choices(list(KINDS), weights, k=10_000)
    given: list[Any] = []
    with (tmp_path / "in.jsonl").open("w", encoding="utf-8") as stream:
        for kind in kinds:
            made = KINDS[kind][0](draw)
            line = made if isinstance(made, str) else json.dumps(made)
            given.append(json.loads(line))
            stream.write(line + "\n")
    options = LabelOptions(rows_per_file=rows_per_file, formats=("jsonl", "csv"), quiet=True)
    result = label([str(tmp_path / "in.jsonl")], HashJudge(), tmp_path / "out", created="2026-11-22", options=options)
    files = sorted((tmp_path / "out").glob("labels-*.parquet"))
    rows = [row for path in files for row in pq.read_table(path).to_pylist()]
    assert len(rows) == 10_000
    for kind, value, row in zip(kinds, given, rows, strict=True):
        reason = KINDS[kind][1]
        if reason is None:
            assert (row["status"], row["reason"]) == ("ok", None), kind
            assert row["stance"] in HashJudge.codebook.stance_ids
            assert row["end"] - row["start"] == len(row["text"])
            assert "\r" not in row["text"]
        else:
            assert row["status"] == "invalid", kind
            assert row["reason"].startswith(reason), kind
            assert (row["text"], row["stance"], row["confidence"], row["concerns"]) == (None,) * 4
        if isinstance(value, dict) and isinstance(value.get("id"), int | str) and "\0" not in str(value["id"]):
            assert row["id"] == str(value["id"])
    ok = sum(KINDS[kind][1] is None for kind in kinds)
    assert (result.counts["rows"], result.counts["ok"], result.counts["invalid"]) == (10_000, ok, 10_000 - ok)
    assert sum(result.reasons.values()) == 10_000 - ok
    ids = [row["id"] for row in rows if row["id"] is not None]
    assert result.counts["duplicates"] == len(ids) - len(set(ids))
    assert result.counts["statements"] == len({row["id"] for row in rows if row["status"] == "ok"})
    assert result.counts["documents"] == len({row["document_id"] for row in rows if row["status"] == "ok"})
    assert result.counts["unknown_holder_types"] == Counter(kinds)["odd holder type"]
    assert sum(1 for _ in (tmp_path / "out" / "labels.jsonl").open(encoding="utf-8")) == 10_000
    assert verify_outputs(tmp_path / "out")["ignored_columns"] == ["", "note"]
