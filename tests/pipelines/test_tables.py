"""Tables: what is counted, where a row goes, and which folders are refused."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebook import Codebook, load_codebook, parse_codebook
from corpus.errors import CodebookError, RecordError, UsageError
from pipelines.tables import (
    Labels,
    concerns_by_stance,
    iso_date,
    positions,
    read_labels,
    row_counts,
    stance_by_holder_type,
    stance_by_month,
    write_tables,
)

WriteLabels = Callable[..., Path]


def rows_of(table: pd.DataFrame) -> list[list[Any]]:
    return [[None if pd.isna(cell) else cell for cell in row] for row in table.to_numpy(dtype=object)]


def test_holder_types_stand_in_the_codebooks_order_with_zeros_and_the_unknown_last(write_labels: WriteLabels) -> None:
    folder = write_labels(
        [
            {"stance": "refuse", "holder_type": "club"},
            {"stance": "refuse", "holder_type": "club"},
            {"stance": "silent", "holder_type": "no_one"},
            {"stance": "welcome"},
        ]
    )
    table = stance_by_holder_type(read_labels(folder))
    assert list(table.columns) == ["holder_type", "n", "welcome", "refuse", "silent"]
    assert rows_of(table) == [
        ["town", 0, 0, 0, 0],
        ["club", 2, 0, 2, 0],
        ["no_one", 1, 0, 0, 1],
        ["unknown", 1, 1, 0, 0],
    ]


def test_months_ascend_a_bare_year_is_its_own_bucket_and_the_undated_come_last(write_labels: WriteLabels) -> None:
    dates = ["2024-08-09", "2024-08-31T23:59:00-05:00", "2024", "2023-12", "n/a", "2999-99-99", None, "2024-13"]
    table = stance_by_month(read_labels(write_labels([{"published": date} for date in dates])))
    assert rows_of(table[["month", "n"]]) == [["2023-12", 1], ["2024", 1], ["2024-08", 2], ["undated", 4]]


def test_no_undated_row_stands_where_every_date_is_known(write_labels: WriteLabels) -> None:
    table = stance_by_month(read_labels(write_labels([{"published": "2024-08-09"}])))
    assert list(table["month"]) == ["2024-08"]


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


def test_a_statement_counts_once_under_each_concern_that_it_raises(write_labels: WriteLabels) -> None:
    folder = write_labels(
        [
            {"stance": "refuse", "concerns": ["noise", "cost"]},
            {"stance": "welcome", "concerns": ["noise", "noise"]},
            {"stance": "welcome", "concerns": []},
        ]
    )
    assert rows_of(concerns_by_stance(read_labels(folder))) == [["cost", 1, 0, 1, 0], ["noise", 2, 1, 1, 0]]


def test_concerns_that_nobody_raises_are_rows_of_zeros(write_labels: WriteLabels) -> None:
    assert rows_of(concerns_by_stance(read_labels(write_labels([{}])))) == [["cost", 0, 0, 0, 0], ["noise", 0, 0, 0, 0]]


def test_a_holder_is_one_whatever_the_case_and_the_blanks(write_labels: WriteLabels) -> None:
    folder = write_labels(
        [
            {"holder": "RIVER CLUB", "holder_type": "town", "stance": "refuse", "published": "2024-03-02"},
            {"holder": " River Club", "holder_type": "club", "stance": "refuse", "document_id": "a"},
            {"holder": "River Club ", "holder_type": "club", "document_id": "a", "published": "2023"},
            {"holder": "Straße", "stance": "silent"},
            {"holder": "STRASSE", "stance": "silent"},
            {"holder": "River  Club"},
            {"holder": "   "},
            {"holder": None},
        ]
    )
    table = positions(read_labels(folder))
    assert list(table.columns) == [
        "holder", "holder_type", "n", "welcome", "refuse", "silent", "documents", "first", "last"
    ]  # fmt: skip
    assert rows_of(table) == [
        ["River Club", "club", 3, 1, 2, 0, 2, "2023", "2024-03-02"],
        ["Straße", None, 2, 0, 0, 2, 2, None, None],
        ["River  Club", None, 1, 1, 0, 0, 1, None, None],
    ]


def test_invalid_and_abstained_rows_are_counted_apart_and_stand_in_no_table(write_labels: WriteLabels) -> None:
    abstained = {"abstained": True, "stance": None, "holder": "Somebody", "published": "2024-01-01", "concerns": ["cost"]}
    labels = read_labels(write_labels([{"holder": "Anna"}, abstained, "text is empty", "text is missing"]))
    counts = row_counts(labels)
    assert (counts.total, counts.ok, counts.invalid, counts.abstained, counts.decided) == (4, 2, 2, 1, 1)
    assert stance_by_holder_type(labels)["n"].sum() == 1
    assert list(stance_by_month(labels)["month"]) == ["undated"]
    assert concerns_by_stance(labels)["n"].sum() == 0
    assert list(positions(labels)["holder"]) == ["Anna"]


@pytest.mark.parametrize("rows", [[], ["text is empty"], [{"abstained": True, "stance": None, "concerns": None}]])
def test_without_a_decision_the_tables_keep_their_columns(write_labels: WriteLabels, rows: list[Any]) -> None:
    labels = read_labels(write_labels(rows))
    assert rows_of(stance_by_holder_type(labels))[0] == ["town", 0, 0, 0, 0]
    assert rows_of(concerns_by_stance(labels))[0] == ["cost", 0, 0, 0, 0]
    for table in (stance_by_month(labels), positions(labels)):
        assert len(table) == 0
        assert {"n", "welcome", "refuse", "silent"} < set(table.columns)


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "holder": st.sampled_from([None, "", " Anna", "anna", "ANNA ", "Bertha", "berthA", "ß", "SS"]),
            "stance": st.sampled_from(["welcome", "refuse", "silent"]),
            "holder_type": st.sampled_from([None, "town", "club"]),
            "published": st.sampled_from([None, "2024", "2024-05-06", "2023-01", "soon"]),
            "concerns": st.lists(st.sampled_from(["cost", "noise"]), max_size=3),
            "document_id": st.sampled_from(["a", "b"]),
            "status": st.sampled_from(["ok", "ok", "ok", "invalid"]),
            "abstained": st.booleans(),
        }
    ),
    max_size=30,
)


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_every_table_agrees_with_a_plain_count_of_the_rows(bypass: Codebook, rows: list[dict[str, Any]]) -> None:
    columns = ["holder", "stance", "holder_type", "published", "concerns", "document_id", "status", "abstained"]
    frame = pd.DataFrame(rows, columns=columns).astype({"abstained": bool})
    labels = Labels(frame.assign(holder_name=frame["holder"]), bypass, {})
    kept = [row for row in rows if row["status"] == "ok" and not row["abstained"]]

    by_type = Counter((row["holder_type"] or "unknown", row["stance"]) for row in kept)
    by_month = Counter(((iso_date(row["published"]) or "undated")[:7], row["stance"]) for row in kept)
    by_concern = Counter((c, row["stance"]) for row in kept for c in set(row["concerns"]))
    for table, expected in (
        (stance_by_holder_type(labels), by_type),
        (stance_by_month(labels), by_month),
        (concerns_by_stance(labels), by_concern),
    ):
        found = {
            (row[0], stance): n for row in rows_of(table) for stance, n in zip(bypass.stance_ids, row[2:], strict=True) if n
        }
        assert found == expected
        assert all(row[1] == sum(row[2:]) for row in rows_of(table))

    by_holder = Counter(row["holder"].strip().casefold() for row in kept if row["holder"] and row["holder"].strip())
    assert {row[0].casefold(): row[2] for row in rows_of(positions(labels))} == by_holder


def test_positions_are_counted_by_the_fuller_name_and_without_the_article(write_labels: WriteLabels) -> None:
    rows = [
        {"holder": "she", "holder_name": "Anna Poe"},
        {"holder": "Poe", "holder_name": "Anna Poe", "stance": "refuse"},
        {"holder": "The River Club", "holder_name": "The River Club"},
        {"holder": "River Club", "holder_name": "River Club"},
        {"holder": "the club", "holder_name": "River Club"},
    ]
    found = positions(read_labels(write_labels(rows)))
    assert rows_of(found[["holder", "n", "welcome", "refuse"]]) == [["River Club", 3, 3, 0], ["Anna Poe", 2, 1, 1]]


def test_labels_older_than_the_fuller_name_are_counted_by_the_holder(write_labels: WriteLabels) -> None:
    folder = write_labels([{"holder": "Anna", "holder_name": "Anna Poe"}, {"holder": None}])
    path = folder / "labels-00000.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["holder_name"]), path)
    assert rows_of(positions(read_labels(folder))[["holder", "n"]]) == [["Anna", 1]]


def test_the_order_of_positions_is_by_number_then_by_name(write_labels: WriteLabels) -> None:
    folder = write_labels([{"holder": name} for name in ("b", "C", "a", "C")])
    assert list(positions(read_labels(folder))["holder"]) == ["C", "a", "b"]


def test_the_written_tables_are_read_back_by_the_csv_module(write_labels: WriteLabels, tmp_path: Path) -> None:
    names = ["=1+1", "+49", "-5", "@sum", "a,b", 'says "no"', "two\nlines", "cr\rinside", "Ελλάς 🙂", "plain"]
    labels = read_labels(write_labels([{"holder": name} for name in names]))
    written = write_tables(labels, tmp_path / "out")
    assert [path.name for path in written] == [
        "stance_by_holder_type.csv", "stance_by_month.csv", "concerns_by_stance.csv", "positions.csv"
    ]  # fmt: skip
    with written[3].open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert {row["holder"] for row in read} == {"'=1+1", "'+49", "'-5", "'@sum", *names[4:]}
    assert {(row["n"], row["first"]) for row in read} == {("1", "")}
    assert written[0].read_bytes() == (
        b'"holder_type","n","welcome","refuse","silent"\n"town",0,0,0,0\n"club",0,0,0,0\n"no_one",0,0,0,0\n'
        b'"unknown",10,10,0,0\n'
    )


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
    assert rows_of(positions(read_labels(folder))[["holder", "n", "first", "last"]]) == [["Anna", 2, "2023", "2024"]]


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


def test_a_stance_named_like_a_column_of_the_tables_is_refused(write_labels: WriteLabels, bypass_text: str) -> None:
    codebook = parse_codebook(bypass_text.replace("id: refuse", "id: n"), where="bypass.yaml")
    with pytest.raises(CodebookError, match="stance label 'n' is also the name of a column"):
        read_labels(write_labels([{}], codebook=codebook))


def test_the_shipped_codebook_survives_the_manifest(write_labels: WriteLabels) -> None:
    codebook = load_codebook()
    assert read_labels(write_labels([{}], codebook=codebook)).codebook == codebook
