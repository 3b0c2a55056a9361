"""Files of the report's tables, read back: by pandas, by the csv module, by DuckDB, and the workbook by its XML."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.codebook import Codebook
from corpus.errors import UsageError
from pipelines import workbook as workbook_module
from pipelines.table_columns import Column, TableSchema
from pipelines.table_files import DATABASE, WORKBOOK, to_arrow, write_csv, write_duckdb, write_files
from pipelines.table_schema import table_schemas
from pipelines.workbook import MOST_CHARACTERS, write_workbook

pytestmark = pytest.mark.slow  # writes workbooks and databases

SMALL = TableSchema(
    "small",
    "a thing",
    (
        Column("text", "text", "Words.", "there are none"),
        Column("many", "list", "Several.", "there are none"),
        Column("whole", "integer", "A count.", "unknown"),
        Column("share", "number", "A share.", "unknown"),
        Column("sure", "boolean", "Yes or no."),
    ),
)
HOSTILE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "plain", "a,b;c", 'say "no"', "two\nlines",
    "lone\rreturn", "<r><t>x</t></r>", "a & b < c > d", "http://example.org/a", "_x0041_", "nul\x00bell\x07", "\x00=1+1",
    "\ufffe\uffff", "שלום", "👪", "  blanks  ", "", "\u202eflip", "1e5", "{=1}", "TRUE",
]  # fmt: skip


def frame_of(texts: list[Any]) -> pd.DataFrame:
    """A frame of the small schema with these texts."""
    n = len(texts)
    return pd.DataFrame(
        {
            "text": pd.Series(texts, dtype=object),
            "many": pd.Series([[t, "b"] if t else [] for t in texts], dtype=object),
            "whole": pd.Series([None, *range(1, n)], dtype="Int64") if n else pd.Series([], dtype="Int64"),
            "share": [float("nan"), float("inf"), -0.25, *[0.1234567891] * max(n - 3, 0)][:n],
            "sure": [i % 2 == 0 for i in range(n)],
        }
    )


def read_csv(path: Path, delimiter: str = ",") -> list[list[str]]:
    text = path.read_bytes().decode("utf-8")
    return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))


def read_sheets(path: Path) -> dict[str, list[list[Any]]]:
    """Read a workbook's cells: numbers as float, booleans as bool, texts as text, empty ones as None."""
    space = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}
    sheets: dict[str, list[list[Any]]] = {}
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        book = ElementTree.fromstring(archive.read("xl/workbook.xml"))  # noqa: S314 - written a moment ago
        for number, sheet in enumerate(book.findall("m:sheets/m:sheet", space), start=1):
            tree = ElementTree.fromstring(archive.read(f"xl/worksheets/sheet{number}.xml"))  # noqa: S314
            assert not tree.findall(".//m:f", space), "a formula"
            assert not tree.findall(".//m:hyperlink", space), "a link"
            rows: list[list[Any]] = []
            for row in tree.findall("m:sheetData/m:row", space):
                while len(rows) < int(row.attrib["r"]):
                    rows.append([])
                cells = rows[-1]
                for cell in row.findall("m:c", space):
                    name = re.match("[A-Z]+", cell.attrib["r"])
                    assert name is not None
                    place = 0
                    for letter in name[0]:
                        place = 26 * place + ord(letter) - 64
                    cells += [None] * (place - 1 - len(cells))
                    cells.append(_value(cell, space))
            sheets[sheet.attrib["name"]] = rows
    return sheets


def _value(cell: ElementTree.Element, space: dict[str, str]) -> Any:
    kind = cell.attrib.get("t", "n")
    if kind == "inlineStr":
        text = cell.findtext("m:is/m:t", namespaces=space)
        assert text is not None
        return re.sub("_x([0-9A-Fa-f]{4})_", lambda m: chr(int(m[1], 16)), text)
    value = cell.findtext("m:v", namespaces=space)
    assert value is not None
    return bool(int(value)) if kind == "b" else float(value)


@pytest.fixture
def tables(bypass: Codebook) -> dict[str, pd.DataFrame]:
    """Every table with three rows, made from the schema, with a hostile joined column."""
    made = {}
    for name, schema in table_schemas(bypass, ["=cmd()"]).items():
        values = {"text": ["a", "b", "c"], "integer": [1, 2, 3], "number": [0.5, 0.25, 1.0], "boolean": [True, False, True]}
        values["list"] = [["x", "y"], [], ["z"]]
        made[name] = pd.DataFrame({c.name: pd.Series(values[c.type]) for c in schema.columns})
    return made


def test_every_table_is_in_every_file(tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path) -> None:
    out = tmp_path / "report"
    written = write_files(tables, out, codebook=bypass, about=[("Title", "What it is.")])
    assert sorted(written) == sorted(out.iterdir())
    assert {p.name for p in written} == {
        WORKBOOK, DATABASE, *(f"{t}.csv" for t in tables), *(f"{t}.parquet" for t in tables),
    }  # fmt: skip
    sheets = read_sheets(out / WORKBOOK)
    assert list(sheets) == ["readme", *tables]
    with duckdb.connect(str(out / DATABASE), read_only=True) as database:
        for name, frame in tables.items():
            assert pq.read_table(out / f"{name}.parquet").column_names == list(frame.columns)
            assert len(read_csv(out / f"{name}.csv")) == len(sheets[name]) == 4
            found = database.table(f'"{name}"').to_arrow_table()
            assert found.to_pylist() == pq.read_table(out / f"{name}.parquet").to_pylist()


def test_what_is_not_wanted_is_not_written(tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path) -> None:
    some = {name: tables[name] for name in ("changes", "shares")}
    written = write_files(some, tmp_path, codebook=bypass, workbook=False, duckdb=False)
    assert {p.name for p in written} == {"shares.parquet", "shares.csv", "changes.parquet", "changes.csv"}


def test_the_same_tables_give_the_same_bytes(tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_files(tables, tmp_path / folder, codebook=bypass, duckdb=False, about=[("Made on", "a day")])
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_the_workbook_bears_the_date_that_is_given(tmp_path: Path) -> None:
    arrow = to_arrow(frame_of(["a"]), SMALL)
    write_workbook(tmp_path / "a.xlsx", {"small": arrow}, {"small": SMALL}, created=datetime(2026, 11, 22))  # noqa: DTZ001
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        assert b"2026-11-22T00:00:00Z" in archive.read("docProps/core.xml")


def test_csv_has_no_cell_that_a_spreadsheet_would_run(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", to_arrow(frame_of(HOSTILE), SMALL))
    rows = read_csv(tmp_path / "a.csv")
    assert len(rows) == len(HOSTILE) + 1
    assert rows[0] == ["text", "many", "whole", "share", "sure"]
    for text, row in zip(HOSTILE, rows[1:], strict=True):
        safe = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", text)
        runs = safe[:1] in tuple("=+-@\t\r\n＝")
        assert row[0] == (f"'{safe}" if runs and safe else safe)
        assert row[1] == ((f"'{safe}; b" if runs else f"{safe}; b") if text else "")
    assert b",2,-0.25,true" in (tmp_path / "a.csv").read_bytes()  # a number stays one
    assert rows[1][2:4] == ["", ""]


def test_csv_headers_are_made_safe_too(tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path) -> None:
    write_files({"statements": tables["statements"]}, tmp_path, codebook=bypass, workbook=False, duckdb=False)
    assert read_csv(tmp_path / "statements.csv")[0][-1] == "'=cmd()"


def test_csv_tells_null_from_an_empty_text_and_begins_as_asked(tmp_path: Path) -> None:
    arrow = to_arrow(frame_of(["a;b", None, ""]), SMALL)
    write_csv(tmp_path / "a.csv", arrow, bom=True, separator=";")
    raw = (tmp_path / "a.csv").read_bytes()
    assert raw.startswith(b'\xef\xbb\xbf"text";"many"')
    assert read_csv(tmp_path / "a.csv", ";")[1][0] == "a;b"
    assert b'\n;"";' in raw
    assert b'\n"";"";' in raw
    write_csv(tmp_path / "b.csv", arrow)
    assert (tmp_path / "b.csv").read_bytes().startswith(b'"text","many"')


@pytest.mark.parametrize("separator", ["", ",,", '"', "\n", "→"])
def test_a_separator_that_cannot_separate_is_refused(separator: str, bypass: Codebook, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected one character"):
        write_files({}, tmp_path, codebook=bypass, separator=separator)


def test_the_workbook_holds_hostile_texts_as_texts(tmp_path: Path) -> None:
    write_workbook(tmp_path / "a.xlsx", {"small": to_arrow(frame_of(HOSTILE), SMALL)}, {"small": SMALL})
    rows = read_sheets(tmp_path / "a.xlsx")["small"]
    assert rows[0] == ["text", "many", "whole", "share", "sure"]
    for at, (text, row) in enumerate(zip(HOSTILE, rows[1:], strict=True)):
        safe = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]", "\ufffd", text).replace("\r", "\n")
        assert row[0] == safe
        assert row[4] is (at % 2 == 0)
    assert [row[2] for row in rows[1:4]] == [None, 1.0, 2.0]
    assert [row[3] for row in rows[1:5]] == [None, None, -0.25, 0.123457]


def test_hostile_names_and_sentences_stay_texts_in_the_workbook(
    tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path
) -> None:
    hostile = [("=1+1", "<r>x</r>"), ("Note", "http://example.org"), ("\x07", "a & b")]
    write_files(tables, tmp_path, codebook=bypass, duckdb=False, about=hostile)
    sheets = read_sheets(tmp_path / WORKBOOK)
    assert sheets["statements"][0][-1] == "=cmd()"
    assert [[row[0], row[3].strip()] for row in sheets["readme"][:3]] == [
        ["=1+1", "<r>x</r>"], ["Note", "http://example.org"], ["\ufffd", "a & b"],
    ]  # fmt: skip


def test_the_readme_explains_every_sheet_and_column(
    tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path
) -> None:
    write_files(tables, tmp_path, codebook=bypass, duckdb=False)
    readme = read_sheets(tmp_path / WORKBOOK)["readme"]
    described = {(row[0], row[1]): row[3] for row in readme if len(row) > 3}
    for name, schema in table_schemas(bypass, ["=cmd()"]).items():
        assert described[name, None]
        for column in schema.columns:
            assert described[name, column.name]
    assert not any("](" in str(cell) for row in readme for cell in row)


def test_headers_are_bold_frozen_and_filtered(tmp_path: Path) -> None:
    write_workbook(tmp_path / "a.xlsx", {"small": to_arrow(frame_of(["a", "b"]), SMALL)}, {"small": SMALL})
    with zipfile.ZipFile(tmp_path / "a.xlsx") as archive:
        sheet = archive.read("xl/worksheets/sheet2.xml").decode()
        styles = archive.read("xl/styles.xml").decode()
    assert 'state="frozen"' in sheet
    assert '<autoFilter ref="A1:E3"/>' in sheet
    assert '<dimension ref="A1:E3"/>' in sheet
    assert re.search(r'<c r="A1" s="1"', sheet)
    assert "<b/>" in styles


@pytest.mark.parametrize("text", ["x" * 50_000, "👪" * 20_000, "x" * (MOST_CHARACTERS + 1)])
def test_a_text_that_is_too_long_for_a_cell_is_cut_with_a_note(text: str, tmp_path: Path) -> None:
    fits = "y" * MOST_CHARACTERS
    write_workbook(tmp_path / "a.xlsx", {"small": to_arrow(frame_of([text, fits]), SMALL)}, {"small": SMALL})
    sheets = read_sheets(tmp_path / "a.xlsx")
    cut = sheets["small"][1][0]
    assert len(cut.encode("utf-16-le")) // 2 in (MOST_CHARACTERS, MOST_CHARACTERS - 1)
    assert cut.endswith(" […]")
    assert text.startswith(cut.removesuffix(" […]"))
    assert sheets["small"][2][0] == fits
    # the two texts, and the lists that hold them
    note = "Sheet small: 3 texts end after 32,767 characters; the other files have all."
    assert [cell for cell in sheets["readme"][0] if cell] == ["Note", note]


def test_a_sheet_that_is_too_long_is_cut_with_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook_module, "MOST_ROWS", 3)
    write_workbook(tmp_path / "a.xlsx", {"small": to_arrow(frame_of(["a", "b", "c"]), SMALL)}, {"small": SMALL})
    sheets = read_sheets(tmp_path / "a.xlsx")
    assert [row[0] for row in sheets["small"]] == ["text", "a", "b"]
    assert "the first 2 of 3 rows" in sheets["readme"][0][3]


@settings(max_examples=25)
@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8))
def test_any_texts_come_back_from_csv_and_workbook(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str | None]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    arrow = to_arrow(frame_of(texts), SMALL)
    assert arrow.column("text").to_pylist() == texts
    write_csv(folder / "a.csv", arrow)
    write_workbook(folder / "a.xlsx", {"small": arrow}, {"small": SMALL})
    plain = [re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", t or "") for t in texts]
    assert [row[0].removeprefix("'") for row in read_csv(folder / "a.csv")[1:]] == [t.removeprefix("'") for t in plain]
    found = [row[0] or "" for row in read_sheets(folder / "a.xlsx")["small"][1:]]
    assert found == [re.sub("[\ufffe\uffff]", "\ufffd", t).replace("\r\n", "\n").replace("\r", "\n") for t in plain]


def test_lone_surrogates_are_replaced_in_every_file(tmp_path: Path) -> None:
    arrow = to_arrow(frame_of(["a\ud800b", "c"]), SMALL)
    assert arrow.column("text").to_pylist() == ["a\ufffdb", "c"]
    assert arrow.column("many").to_pylist()[0] == ["a\ufffdb", "b"]


def test_many_rows_come_back_in_order_across_batches(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(4_500)]
    arrow = to_arrow(frame_of(texts), SMALL)
    write_workbook(tmp_path / "a.xlsx", {"small": arrow}, {"small": SMALL})
    assert [row[0] for row in read_sheets(tmp_path / "a.xlsx")["small"][1:]] == texts


def test_empty_tables_have_headers_and_types(bypass: Codebook, tmp_path: Path, tables: dict[str, pd.DataFrame]) -> None:
    write_files({name: frame.iloc[:0] for name, frame in tables.items()}, tmp_path, codebook=bypass)
    for name, frame in tables.items():
        assert read_sheets(tmp_path / WORKBOOK)[name] == [list(frame.columns)]
        assert len(read_csv(tmp_path / f"{name}.csv")) == 1
        assert pq.read_schema(tmp_path / f"{name}.parquet").names == list(frame.columns)


def test_duckdb_knows_what_tables_and_columns_mean(
    tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path
) -> None:
    write_files(tables, tmp_path, codebook=bypass, workbook=False)
    with duckdb.connect(str(tmp_path / DATABASE), read_only=True) as database:
        tables_said = dict(database.execute("SELECT table_name, comment FROM duckdb_tables()").fetchall())
        query = "SELECT table_name, column_name, comment, data_type, is_nullable FROM duckdb_columns() WHERE NOT internal"
        said = {(t, c): (comment, kind, null) for t, c, comment, kind, null in database.execute(query).fetchall()}
    schemas = table_schemas(bypass, ["=cmd()"])
    assert set(tables_said) == set(schemas)
    assert all(comment.startswith("One row: ") for comment in tables_said.values())
    assert set(said) == {(name, c.name) for name, schema in schemas.items() for c in schema.columns}
    assert said["statements", "concerns"][1] == "VARCHAR[]"
    assert said["statements", "id"][2] is False
    comment, _, nullable = said["statements", "stance"]
    assert comment == "The stance decided on. Null when: `abstained` is true."
    assert nullable is True


def test_nothing_is_left_beside_the_files_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrow = to_arrow(frame_of(["a"]), SMALL)
    old = tmp_path / "a.xlsx"
    old.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(workbook_module, "_append", fail)
    with pytest.raises(OSError, match="disk full"):
        write_workbook(old, {"small": arrow}, {"small": SMALL})
    broken = TableSchema("small", "a thing", (*SMALL.columns, Column("text", "text", "Twice.")))
    with pytest.raises(duckdb.Error):
        write_duckdb(tmp_path / "a.duckdb", {"small": arrow}, {"small": broken})
    assert [p.name for p in tmp_path.iterdir()] == ["a.xlsx"]
    assert old.read_bytes() == b"old"


def test_a_folder_that_cannot_be_written_to_is_named(
    tables: dict[str, pd.DataFrame], bypass: Codebook, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UsageError, match="expected a folder that can be written to"):
        write_files(tables, tmp_path / "file" / "x", codebook=bypass)
