"""Labels read back: what their dates and names mean, and which folders are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.codebook import load_codebook
from corpus.errors import CodebookError, RecordError, UsageError
from pipelines.labels import holder_key, iso_date, read_labels, spelling

WriteLabels = Callable[..., Path]


def rows_of(table: pd.DataFrame) -> list[list[Any]]:
    return [[None if pd.isna(cell) else cell for cell in row] for row in table.to_numpy(dtype=object)]


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ("2024", "2024"),
        ("2024-08", "2024-08"),
        (" 2024-08-09 ", "2024-08-09"),
        ("2024-08-09T10:00:00Z", "2024-08-09"),
        ("2024-08-09 10:00:00", "2024-08-09"),
        ("2024-02-30", None),
        ("2024-00", None),
        ("0999", None),
        ("2101-01-01", None),
        ("9 August 2024", None),
        ("٢٠٢٤", None),
        ("", None),
        (None, None),
        (float("nan"), None),
    ],
)
def test_a_date_is_kept_as_far_as_it_is_known(published: object, expected: str | None) -> None:
    assert iso_date(published) == expected


@given(st.dates(min_value=pd.Timestamp("1900-01-01").date(), max_value=pd.Timestamp("2100-12-31").date()))
def test_every_date_written_in_iso_form_is_read_back(date: Any) -> None:
    assert iso_date(date.isoformat()) == date.isoformat()


def test_a_name_is_one_whatever_the_case_the_blanks_and_the_article() -> None:
    for names in (("RIVER CLUB", " River Club", "the River Club "), ("Straße", "STRASSE")):
        assert len({holder_key(name) for name in names}) == 1
    assert holder_key("Theodor") == "theodor"
    assert [spelling(name) for name in (" A b ", "  ", None, float("nan"))] == ["A b", None, None, None]


def test_invalid_and_abstained_rows_are_told_apart_and_carry_no_decision(write_labels: WriteLabels) -> None:
    abstained = {"abstained": True, "stance": None, "holder": "Somebody", "published": "2024-01-01", "concerns": ["cost"]}
    frame = read_labels(write_labels([{"holder": "Anna"}, abstained, "text is empty", "text is missing"])).frame
    assert list(frame["status"]) == ["ok", "ok", "invalid", "invalid"]
    assert list(frame["abstained"]) == [False, True, False, False]
    assert list(frame[frame["stance"].notna()]["holder"]) == ["Anna"]


def test_labels_older_than_the_fuller_name_are_counted_by_the_holder(write_labels: WriteLabels) -> None:
    folder = write_labels([{"holder": "Anna", "holder_name": "Anna Poe"}, {"holder": None}])
    path = folder / "labels-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["holder_name"]), path)
    assert rows_of(read_labels(folder).frame[["holder_name"]]) == [["Anna"], [None]]


def test_several_files_are_read_in_the_order_of_their_names(write_labels: WriteLabels) -> None:
    labels = read_labels(write_labels([{} for _ in range(7)], files=3))
    assert list(labels.frame["text"]) == [f"Text {i}" for i in range(7)]


def test_columns_of_other_arrow_types_with_the_same_meaning_are_read(write_labels: WriteLabels) -> None:
    folder = write_labels([{"published": "2024", "holder": "Anna"}, {"published": "2023", "holder": "Anna"}])
    path = folder / "labels-00000.parquet"
    table = pq.read_table(path)
    for name, column in (
        ("published", pa.array([2024, 2023])),
        ("holder", pa.array(["Anna", "Anna"]).dictionary_encode()),
        ("text", pa.array(["a", "b"], pa.large_string())),
    ):
        table = table.set_column(table.column_names.index(name), name, column)
    pq.write_table(table, path)
    found = read_labels(folder).frame[["text", "holder", "published"]]
    assert rows_of(found) == [["a", "Anna", "2024"], ["b", "Anna", "2023"]]


def test_a_missing_folder_or_file_is_named(tmp_path: Path, write_labels: WriteLabels) -> None:
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        read_labels(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"expected labels-\*.parquet, found none"):
        read_labels(tmp_path)
    folder = write_labels([{}])
    (folder / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"manifest.json: no such file"):
        read_labels(folder)


def test_rows_of_two_codebooks_or_two_models_are_refused(tmp_path: Path, write_labels: WriteLabels) -> None:
    folder = write_labels([{}, {"codebook_version": "bypass/2@ffff"}])
    with pytest.raises(RecordError, match=r"labels-00000.parquet: column codebook_version has bypass/2@ffff"):
        read_labels(folder)
    folder.rename(tmp_path / "first")
    with pytest.raises(RecordError, match=r"column model_id has another, .* two jobs' results are mixed"):
        read_labels(write_labels([{}, {"model_id": "another"}]))


def test_a_manifest_whose_codebook_was_altered_is_refused(write_labels: WriteLabels) -> None:
    folder = write_labels([{}])
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["codebook"]["stances"][0]["definition"] = "Something else."
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RecordError, match=r"manifest.json: codebook_id is bypass/3@\w+, but the codebook in it is"):
        read_labels(folder)


def test_a_manifest_of_another_job_is_refused(write_labels: WriteLabels) -> None:
    with pytest.raises(RecordError, match=r"manifest.json: expected the manifest of a label job, .*reasons"):
        read_labels(write_labels([{}], reasons=["many"]))


@pytest.mark.parametrize("dropped", [("holder",), ("stance_refuse", "concern_cost")])
def test_missing_columns_are_named(write_labels: WriteLabels, dropped: tuple[str, ...]) -> None:
    folder = write_labels([{}])
    path = folder / "labels-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(list(dropped)), path)
    with pytest.raises(RecordError, match=f"found no {', '.join(dropped)};"):
        read_labels(folder)


def test_a_truncated_file_is_named(write_labels: WriteLabels) -> None:
    folder = write_labels([{}])
    path = folder / "labels-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match=r"labels-00000.parquet: expected a whole Parquet file"):
        read_labels(folder)


def test_a_column_that_cannot_be_of_its_type_is_refused(write_labels: WriteLabels) -> None:
    with pytest.raises(RecordError, match="a column is not of its type"):
        read_labels(write_labels([{"confidence": "very"}]))


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"stance": "hates"}, "stance 'hates' is not in codebook bypass version 3; it has welcome, refuse, silent"),
        ({"holder_type": "queen"}, "holder type 'queen' is not in codebook bypass"),
        ({"concerns": ["cost", "smell"]}, "concern 'smell' is not in codebook bypass"),
    ],
)
def test_labels_that_the_codebook_does_not_have_are_refused(
    write_labels: WriteLabels, row: dict[str, Any], fault: str
) -> None:
    with pytest.raises(CodebookError, match=fault):
        read_labels(write_labels([row]))


def test_a_row_is_ok_with_a_stance_or_invalid_and_nothing_else(tmp_path: Path, write_labels: WriteLabels) -> None:
    folder = write_labels([{}, {"stance": None}])
    with pytest.raises(RecordError, match=r"row 2: expected a stance where status is 'ok'"):
        read_labels(folder)
    folder.rename(tmp_path / "first")
    with pytest.raises(RecordError, match=r"column status has 'maybe', expected 'ok' or 'invalid'"):
        read_labels(write_labels([{"status": "maybe"}]))


def test_the_shipped_codebook_survives_the_manifest(write_labels: WriteLabels) -> None:
    codebook = load_codebook()
    assert read_labels(write_labels([{}], codebook=codebook)).codebook == codebook
