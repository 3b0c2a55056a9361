"""Schema of the report's tables: each column's name, type, meaning, and when it is null.

One description serves all: the frames' types, Parquet, the comments in DuckDB, the workbook's first sheet, and the section
of the data dictionary, which ``python -m pipelines.table_schema`` writes anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.codebook import Codebook
from corpus.errors import RecordError, UsageError
from corpus.files import write_text
from pipelines.table_columns import TABLES, Column, TableSchema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MARKER = "<!-- generated: tables -->"
MARKER_END = "<!-- end of generated: tables -->"
_DICTIONARY = Path("docs/data-dictionary.md")
_LABEL, _JOINED = "<label>", "<column>"
_TYPES = {
    "text": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "list": "list of text",
}


def table_schemas(codebook: Codebook, joined: Sequence[str] = ()) -> dict[str, TableSchema]:
    """Return the schema of each table by name, with a column for each of the codebook's labels and each joined column.

    Raises:
        UsageError: when a joined column has the name of one of ours; DuckDB and spreadsheets know no capitals there.
    """
    names = {"stance": codebook.stance_ids, "concern": codebook.concern_ids, "joined": tuple(joined)}
    schemas = {}
    for table in TABLES:
        columns = [column for c in table.columns for column in _expanded(c, names)]
        seen: set[str] = set()
        for column in columns:
            if column.name.lower() in seen:
                raise UsageError(
                    f"column {column.name!r} that was joined: table {table.name} has one of this name (capitals aside); "
                    "rename it"
                )
            seen.add(column.name.lower())
        schemas[table.name] = replace(table, columns=tuple(columns))
    return schemas


def joined_columns(statements: Sequence[str], codebook: Codebook) -> tuple[str, ...]:
    """Return which columns of the table of statements were joined: those that it does not have by itself."""
    own = {column.name for column in table_schemas(codebook)["statements"].columns}
    return tuple(name for name in statements if name not in own)


def arrow_schema(table: TableSchema) -> pa.Schema:
    """Return a table's schema as Parquet gets it, with meanings as metadata, and nulls only where they may be."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "list": pa.list_(pa.string()),
    }
    return pa.schema(
        [pa.field(c.name, types[c.type], c.nullable, {"comment": c.meaning}) for c in table.columns],
        metadata={"comment": f"One row: {table.row}."},
    )


def conform(frame: pd.DataFrame, table: TableSchema) -> pd.DataFrame:
    """Return a frame with the schema's columns in their order and types.

    Text and lists become objects with None where there is no value, numbers ``float64`` with NaN, integers and booleans
    numpy's types, or pandas' own with NA where they may be null.

    Raises:
        ValueError: when a column is missing.
        RecordError: when one has no value where the schema says that it always has one.
    """
    import pandas as pd

    columns = {}
    for column in table.columns:
        if column.name not in frame.columns:
            raise ValueError(f"table {table.name}: column {column.name!r} is missing")
        values = frame[column.name]
        if column.type in ("text", "list"):
            missing = values.isna()
            values = values.astype(object)
            if missing.any():
                values = values.where(~missing, None)
        elif column.type == "number":
            missing = values.isna()
            values = pd.to_numeric(values).astype("float64")
        else:
            missing = values.isna()
            kind = {"integer": ("int64", "Int64"), "boolean": ("bool", "boolean")}[column.type][column.nullable]
            values = values if missing.any() and not column.nullable else values.astype(kind)
        if not column.nullable and missing.any():
            row = int(missing.to_numpy().argmax()) + 1
            raise RecordError(f"table {table.name}, row {row}: expected a value of {column.name!r}, found none; label again")
        columns[column.name] = values.reset_index(drop=True)
    return pd.DataFrame(columns, columns=[c.name for c in table.columns])


def dictionary() -> str:
    """Return the section of the data dictionary on the tables, markers included, as Markdown."""
    parts = [MARKER, "## Tables of the report", "", _INTRODUCTION]
    shown: dict[tuple[Column, ...], str] = {}
    for table in TABLES:
        parts += ["", f"### `{table.name}`", "", f"One row: {table.row}."]
        if (like := shown.setdefault(table.columns, table.name)) != table.name:
            parts[-1] += f" Columns as in `{like}`."
            continue
        parts += ["", "| column | type | meaning | null when |", "|---|---|---|---|"]
        parts += [f"| `{c.name}` | {_TYPES[c.type]} | {c.meaning} | {c.null} |" for c in table.columns]
    return "\n".join([*parts, MARKER_END])


_INTRODUCTION = """\
`treaty-stance report` writes each table as `<table>.parquet` and `<table>.csv`, as a sheet of `tables.xlsx` behind a first
sheet `readme`, and as a table of `tables.duckdb`, with comments on tables and columns. `<label>` stands for each label of
the codebook, `<column>` for each joined column. Dates are text in ISO 8601, as precise as they are known.

Parquet and DuckDB have the values as they are. CSV and the workbook differ, for the sake of spreadsheets: parts of a list
are joined by "; ", and control characters become `\N{REPLACEMENT CHARACTER}`. In CSV, a text that a spreadsheet would run
as a formula gets an apostrophe in front. In the workbook, a text ends after 32,767 characters and a sheet after 1,048,576
rows; its sheet `readme` says where that happened."""


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite the section in ``docs/data-dictionary.md``, or in the file that is named."""
    given = sys.argv[1:] if argv is None else argv
    path = Path(given[0]) if given else _DICTIONARY
    write_text(path, with_section(path.read_text(encoding="utf-8"), str(path)))
    return 0


def with_section(text: str, where: str) -> str:
    """Return a document with the section between the markers written anew.

    Raises:
        RecordError: when the document does not have both markers once.
    """
    if text.count(MARKER) != 1 or text.count(MARKER_END) != 1 or text.index(MARKER) > text.index(MARKER_END):
        raise RecordError(f"{where}: expected {MARKER} and {MARKER_END} once each, in this order; put them in")
    return text[: text.index(MARKER)] + dictionary() + text[text.index(MARKER_END) + len(MARKER_END) :]


def _expanded(column: Column, names: dict[str, tuple[str, ...]]) -> list[Column]:
    if column.per is None:
        return [column]
    return [
        replace(
            column,
            name=column.name.replace(_LABEL, name).replace(_JOINED, name),
            meaning=column.meaning.replace(_LABEL, name),
            per=None,
        )
        for name in names[column.per]
    ]


if __name__ == "__main__":
    raise SystemExit(main())
