"""Workbook: the report's tables as one file for spreadsheets, behind a sheet that explains them."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.files import atomic_path
from pipelines.table_columns import Column, TableSchema, without_links

if TYPE_CHECKING:
    import pyarrow as pa

MOST_CHARACTERS = 32_767
MOST_ROWS = 1_048_576
"""Excel's limits: UTF-16 units in a cell, and rows of a sheet, its header included."""

LIST_JOINT = "; "
"""What stands between the parts of a list where a cell can only hold text."""

CONTROL = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
_NO_TEXT = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x{fffe}\x{ffff}]"  # what XML refuses, in RE2's spelling
_CUT = " […]"
_DIGITS = 6  # after the point
_SAMPLE = 200  # rows by which the width of a column is chosen
_BATCH = 2_000


def write_workbook(
    path: Path,
    tables: Mapping[str, pa.Table],
    schemas: Mapping[str, TableSchema],
    *,
    about: Sequence[tuple[str, str]] = (),
    created: datetime | None = None,
) -> None:
    """Write tables as one workbook: a sheet ``readme`` that explains them, then a sheet each.

    Nothing becomes a formula or a link. Characters that a workbook cannot hold become U+FFFD; texts and sheets that are too
    long are cut, and the sheet ``readme`` says so. Numbers are rounded to six digits after the point.

    Args:
        path: The file.
        tables: By name, of their schemas.
        schemas: By name.
        about: What else the first sheet says, as pairs of a word and a sentence.
        created: The file's date; default: 1 January 2000, lest two runs differ.
    """
    import xlsxwriter

    with atomic_path(path) as temporary, tempfile.TemporaryDirectory(dir=path.parent, prefix=".sheets-") as folder:
        options = {
            "constant_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "use_zip64": True,
            "tmpdir": folder,
        }
        with temporary.open("wb") as stream, xlsxwriter.Workbook(stream, options) as book:
            day = created or datetime(2000, 1, 1)  # noqa: DTZ001 - the format knows no time zone
            book.set_properties({"created": day.replace(tzinfo=None)})
            bold = book.add_format({"bold": True})
            wrapped = book.add_format({"text_wrap": True, "valign": "top"})
            readme = book.add_worksheet("readme")
            notes = []
            for name, table in tables.items():
                notes += _write_sheet(book.add_worksheet(name), table, schemas[name], bold)
            _write_readme(readme, [*about, *(("Note", note) for note in notes)], schemas, (bold, wrapped))


def _write_sheet(sheet: Any, table: pa.Table, schema: TableSchema, bold: Any) -> list[str]:
    """Write one sheet and return notes on what did not fit."""
    last = min(table.num_rows, MOST_ROWS - 1)
    columns = schema.columns
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, last, max(len(columns) - 1, 0))
    for at, width in enumerate(_widths(table, columns)):
        sheet.set_column(at, at, width)
    for at, column in enumerate(columns):
        sheet.write_string(0, at, _plain(column.name), bold)
    cells = _Cells(columns)
    _append(sheet, last, cells.rows(table.slice(0, last)))
    notes = []
    if last < table.num_rows:
        notes.append(f"Sheet {schema.name} has the first {last:,} of {table.num_rows:,} rows; the other files have all.")
    if cells.cut:
        notes.append(
            f"Sheet {schema.name}: {cells.cut:,} texts end after {MOST_CHARACTERS:,} characters; the other files have all."
        )
    return notes


def _append(sheet: Any, last: int, rows: Iterator[str]) -> None:
    """Append rows of ready XML behind the header, as XlsxWriter's own constant-memory mode does cell by cell.

    A cell at a time through ``write_string`` takes four times as long, half a minute for 100,000 statements.
    """
    sheet._write_single_row(1)  # the header leaves the buffer before anything else goes to the file
    for row in rows:
        sheet.row_data_fh.write(row)
    sheet._check_dimensions(last, 0)


class _Cells:
    """Rows of a table as XML of a sheet; ``cut`` counts the texts that were too long."""

    def __init__(self, columns: Sequence[Column]) -> None:
        from xlsxwriter.utility import xl_col_to_name

        self.cut = 0
        self._letters = [xl_col_to_name(at) for at in range(len(columns))]
        self._kinds = [column.type for column in columns]

    def rows(self, table: pa.Table) -> Iterator[str]:
        """Yield each row's element, the first behind the header's; batch by batch, so that memory stays small."""
        row = 2
        for batch in table.to_batches(max_chunksize=_BATCH):
            numbers = range(row, row + batch.num_rows)
            columns = [
                self._column(values, letter, kind, numbers)
                for values, letter, kind in zip(batch.columns, self._letters, self._kinds, strict=True)
            ]
            for number, cells in zip(numbers, zip(*columns, strict=True), strict=True):
                yield f'<row r="{number}">{"".join(cells)}</row>'
            row += batch.num_rows

    def _column(self, values: pa.Array, letter: str, kind: str, numbers: range) -> list[str]:
        if kind in ("text", "list"):
            head, tail = '" t="inlineStr"><is><t xml:space="preserve">', "</t></is></c>"
            plain = self._texts(values)
        elif kind == "boolean":
            head, tail = '" t="b"><v>', "</v></c>"
            plain = [None if v is None else int(v) for v in values.to_pylist()]
        else:
            head, tail = '"><v>', "</v></c>"
            plain = _finite(values) if kind == "number" else values.to_pylist()
        start = f'<c r="{letter}'
        return ["" if v is None else f"{start}{n}{head}{v}{tail}" for v, n in zip(plain, numbers, strict=True)]

    def _texts(self, values: pa.Array) -> list[Any]:
        """Return texts as XML."""
        import pyarrow as pa
        import pyarrow.compute as pc

        texts = pc.binary_join(values, LIST_JOINT) if pa.types.is_list(values.type) else values
        texts = pc.replace_substring_regex(texts, _NO_TEXT, "\ufffd")
        texts = pc.replace_substring_regex(texts, r"\r\n?", "\n")
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
        if longest > MOST_CHARACTERS // 2:  # a code point has one unit or two
            parts = [None if t is None else _shortened(t) for t in texts.to_pylist()]
            self.cut += sum(p is not None and p[1] for p in parts)
            texts = pa.array([None if p is None else p[0] for p in parts], type=pa.string())
        texts = pc.replace_substring_regex(texts, "_(x[0-9A-Fa-f]{4}_)", r"_x005F_\1")  # else read as an escaped character
        for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            texts = pc.replace_substring(texts, sign, entity)
        return list(texts.to_pylist())


def _finite(values: pa.Array) -> list[Any]:
    """Return numbers rounded, None for what is not finite."""
    import pyarrow.compute as pc

    rounded = pc.round(values, ndigits=_DIGITS)
    return list(pc.if_else(pc.is_finite(rounded), rounded, None).to_pylist())


def _plain(text: str) -> str:
    """Return a text as XlsxWriter's own cells hold it; what it would take for markup of its own gets a blank behind it."""
    found, _ = _shortened(re.sub(CONTROL + "|[\ufffe\uffff]", "\ufffd", text))
    return f"{found} " if found.startswith("<r>") and found.endswith("</r>") else found


def _shortened(text: str) -> tuple[str, bool]:
    """Return a text as long as a cell can hold, and whether it was cut."""
    units = text.encode("utf-16-le")
    if len(units) <= 2 * MOST_CHARACTERS:
        return text, False
    return units[: 2 * (MOST_CHARACTERS - len(_CUT))].decode("utf-16-le", errors="ignore") + _CUT, True


def _widths(table: pa.Table, columns: Sequence[Column]) -> list[int]:
    """Return column widths in characters: by the header and the first rows, within limits."""
    widths = []
    for column, values in zip(columns, table.slice(0, _SAMPLE).columns, strict=True):
        most = 10
        if column.type in ("text", "list"):
            most = max((len(v if isinstance(v, str) else LIST_JOINT.join(v)) for v in values.to_pylist() if v), default=0)
        widths.append(min(max(len(column.name) + 3, most + 1, 8), 60))
    return widths


def _write_readme(
    sheet: Any, about: Sequence[tuple[str, str]], schemas: Mapping[str, TableSchema], formats: tuple[Any, Any]
) -> None:
    bold, wrapped = formats
    for at, width in enumerate((18, 26, 12, 90, 50)):
        sheet.set_column(at, at, width)
    rows: list[tuple[Sequence[str], Any]] = [((word, "", "", said), wrapped) for word, said in about]
    rows.append((("Table", "", "", "One row is"), bold))
    rows += [((schema.name, "", "", without_links(schema.row)), wrapped) for schema in schemas.values()]
    rows.append((("Table", "Column", "Type", "Meaning", "Empty when"), bold))
    for schema in schemas.values():
        rows += [
            ((schema.name, c.name, c.type, without_links(c.meaning), c.null if c.nullable else ""), wrapped)
            for c in schema.columns
        ]
    for row, (cells, style) in enumerate(rows):
        for at, text in enumerate(cells):
            if text:
                sheet.write_string(row, at, _plain(text), style)
