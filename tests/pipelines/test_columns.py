"""Columns that analysts bring, from any form of table."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus.errors import RecordError, UsageError
from pipelines.columns import read_columns

ROWS = [{"id": "a", "region": "North", "n": 3}, {"id": "b", "region": " ", "n": 4.0}, {"id": "c", "region": None, "n": 2.5}]
EXPECTED = ("id", {"region": {"a": "North", "b": None, "c": None}, "n": {"a": "3", "b": "4", "c": "2.5"}})


def test_json_lines_and_parquet_give_the_same_texts(tmp_path: Path) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "a.gz").write_bytes(gzip.compress(lines))
    (tmp_path / "a.zst").write_bytes(pa.compress(lines, codec="zstd", asbytes=True))
    pq.write_table(pa.Table.from_pylist([{**row, "n": float(row["n"])} for row in ROWS]), tmp_path / "a.parquet")  # type: ignore[arg-type]
    for name in ("a.jsonl", "a.gz", "a.zst", "a.parquet"):
        assert read_columns(tmp_path / name, known=["text"]) == EXPECTED


def test_a_value_that_cannot_be_read_is_told_and_not_taken_for_none(tmp_path: Path) -> None:
    days = pa.array([0, 10**7], pa.date32())  # the second lies beyond the year 9999
    pq.write_table(pa.table({"id": ["a", "b"], "day": days}), tmp_path / "a.parquet")
    with pytest.raises(RecordError, match=r"row 2: expected a value of 'day' that can be read, but .*; mend"):
        read_columns(tmp_path / "a.parquet", known=[])


def test_csv_is_joined_by_the_first_key_that_it_has_and_known_columns_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(
        "\ufeffurl,document_id,text,region\nhttps://a.test,d1,x,North\nhttps://b.test,,y,South\n"
    )
    assert read_columns(tmp_path / "a.csv", known=["text"]) == ("document_id", {"region": {"d1": "North"}})


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        (b"name,region\nx,y\n", UsageError, "expected a column id, document_id or url to join by, found name, region"),
        (b"id,text\nx,y\n", UsageError, "expected 1 to 20 columns that the labels do not have, found 0; add one"),
        (b'{"id": "a", "r": 1}\n{"id": "a", "r": 2}\n', RecordError, "line 2: expected one value of 'r' for id 'a', found"),
        (b'{"id": "a"', RecordError, "line 1: expected one JSON object, found broken JSON"),
        (b"PAR1 torn", RecordError, "expected a whole Parquet file"),
        (b"id,r\n\xff,1\n", RecordError, "line 2: expected a table in UTF-8, found byte 0xff"),
        (b"id,r\na\n", RecordError, "line 2: expected a row of the table, but row has fewer fields than the header"),
        (b"id,r,r\na,1,2\n", RecordError, "expected one column 'r', found 2"),
        (b"\n", RecordError, "expected rows, found an empty file"),
    ],
)
def test_a_table_that_cannot_be_joined_is_told_in_a_sentence(
    tmp_path: Path, content: bytes, error: type[Exception], words: str
) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(error, match=words):
        read_columns(tmp_path / "t", known=["text"])
    with pytest.raises(UsageError, match="no such file"):
        read_columns(tmp_path / "none", known=[])
