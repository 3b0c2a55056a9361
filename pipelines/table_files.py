"""Files of the report's tables: Parquet, CSV, one workbook, one DuckDB file. Each is whole or absent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.codebook import Codebook
from corpus.errors import UsageError
from corpus.files import atomic_path
from pipelines.cells import RUNS
from pipelines.table_columns import Column, TableSchema, without_links
from pipelines.table_schema import arrow_schema, conform, joined_columns, table_schemas
from pipelines.workbook import CONTROL, LIST_JOINT, write_workbook

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

WORKBOOK, DATABASE = "tables.xlsx", "tables.duckdb"
_FORMULA = f"^[{''.join(c for c in RUNS if c != '-')}-]"  # the hyphen last, where it means itself
_SETTINGS: dict[str, Any] = {"autoinstall_known_extensions": False, "threads": 2, "memory_limit": "512MB"}
_BATCH = 20_000
_SURROGATE = re.compile("[\ud800-\udfff]")


def write_files(
    tables: Mapping[str, pd.DataFrame],
    output: Path,
    *,
    codebook: Codebook,
    bom: bool = False,
    separator: str = ",",
    workbook: bool = True,
    duckdb: bool = True,
    about: Sequence[tuple[str, str]] = (),
    created: datetime | None = None,
) -> list[Path]:
    """Write tables into a folder in every form and return the paths.

    The same tables give the same bytes, DuckDB excepted.

    Args:
        tables: As :func:`pipelines.report_tables.build_tables` returns them, or some of them.
        output: The folder, made if need be; files of these names in it are replaced.
        codebook: Of the labels; the schema follows it.
        bom: Begin CSV files with a byte order mark, by which Excel knows them for UTF-8.
        separator: Between the columns of CSV; Excel expects ";" where the comma is the decimal sign.
        workbook: Whether to write ``tables.xlsx``.
        duckdb: Whether to write ``tables.duckdb``.
        about: What else the workbook's first sheet says, as pairs of a word and a sentence.
        created: The workbook's date; default: 1 January 2000, lest two runs differ.

    Raises:
        UsageError: when the folder cannot be written to, or the separator is not one character.
    """
    if len(separator.encode()) != 1 or separator in '"\r\n':
        raise UsageError(f"separator is {separator!r}, expected one character such as , or ; or a tabulator; give another")
    joined = joined_columns(list(tables["statements"].columns), codebook) if "statements" in tables else ()
    schemas = {name: schema for name, schema in table_schemas(codebook, joined).items() if name in tables}
    written = []
    arrows: dict[str, pa.Table] = {}
    for name, schema in schemas.items():
        arrows[name] = to_arrow(tables[name], schema)
        written += [output / f"{name}.parquet", output / f"{name}.csv"]
        write_parquet(written[-2], arrows[name])
        write_csv(written[-1], arrows[name], bom=bom, separator=separator)
    if duckdb:
        written.append(output / DATABASE)
        write_duckdb(written[-1], arrows, schemas)
    if workbook:
        written.append(output / WORKBOOK)
        write_workbook(written[-1], arrows, schemas, about=about, created=created)
    return written


def to_arrow(frame: pd.DataFrame, schema: TableSchema) -> pa.Table:
    """Return a frame as an Arrow table of the schema; lone surrogates, which are no text, become U+FFFD."""
    import pyarrow as pa

    frame = conform(frame, schema)
    fields = arrow_schema(schema)
    arrays = []
    for field in fields:
        values = frame[field.name]
        try:
            arrays.append(pa.array(values, type=field.type, from_pandas=True))
        except (UnicodeEncodeError, pa.ArrowInvalid):
            arrays.append(pa.array([_encodable(v) for v in values], type=field.type, from_pandas=True))
    return pa.Table.from_arrays(arrays, schema=fields)


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table as Parquet, values as they are."""
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def write_csv(path: Path, table: pa.Table, *, bom: bool = False, separator: str = ",") -> None:
    """Write a table as CSV: UTF-8, lists joined, texts quoted, numbers bare, nothing that a spreadsheet would run."""
    import pyarrow as pa
    from pyarrow import csv

    options = csv.WriteOptions(include_header=False, delimiter=separator, quoting_style="needed")
    header = pa.table([pa.array([name]) for name in table.column_names], names=_numbers(table))
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        stream.write(b"\xef\xbb\xbf" if bom else b"")
        csv.write_csv(_defused(header), stream, options)
        for at in range(0, table.num_rows, _BATCH):
            csv.write_csv(_defused(table.slice(at, _BATCH)), stream, options)


def write_duckdb(path: Path, tables: Mapping[str, pa.Table], schemas: Mapping[str, TableSchema]) -> None:
    """Write tables into one DuckDB file, with comments on tables and columns."""
    import duckdb

    with atomic_path(path) as temporary:
        temporary.unlink()  # DuckDB takes an empty file for a damaged one
        log = temporary.with_name(f"{temporary.name}.wal")
        try:
            with duckdb.connect(str(temporary), config=_SETTINGS) as database:
                database.begin()  # one transaction: nothing is written twice, to the log and to the file
                for name, table in tables.items():
                    _create(database, name, table, schemas[name])
                database.commit()
        finally:
            log.unlink(missing_ok=True)


def _create(database: Any, name: str, table: pa.Table, schema: TableSchema) -> None:
    """Create one table from Arrow, with its comments."""
    columns = ", ".join(f"{_quoted(c.name)} {_sql_type(c)}{'' if c.nullable else ' NOT NULL'}" for c in schema.columns)
    database.execute(f"CREATE TABLE {_quoted(name)} ({columns})")
    for at in range(0, table.num_rows, _BATCH):
        database.register("_incoming", table.slice(at, _BATCH))
        database.execute(f"INSERT INTO {_quoted(name)} SELECT * FROM _incoming")  # noqa: S608 - quoted, and our own name
        database.unregister("_incoming")
    comment = f"One row: {without_links(schema.row)}."
    database.execute(f"COMMENT ON TABLE {_quoted(name)} IS {_literal(comment)}")
    for c in schema.columns:
        meaning = without_links(c.meaning) + (f" Null when: {c.null}." if c.nullable else "")
        database.execute(f"COMMENT ON COLUMN {_quoted(name)}.{_quoted(c.name)} IS {_literal(meaning)}")


def _sql_type(column: Column) -> str:
    types = {"text": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "list": "VARCHAR[]"}
    return types[column.type]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _defused(table: pa.Table) -> pa.Table:
    """Return a table with lists joined, and with an apostrophe before texts that a spreadsheet would run as formulas."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for column in table.columns:
        values = pc.binary_join(column, LIST_JOINT) if pa.types.is_list(column.type) else column
        if pa.types.is_string(values.type):
            values = pc.replace_substring_regex(values, CONTROL, "\ufffd")
            runs = pc.match_substring_regex(values, _FORMULA)
            values = pc.if_else(runs, pc.binary_join_element_wise("'", values, ""), values)
        columns.append(values)
    return pa.table(columns, names=_numbers(table))


def _numbers(table: pa.Table) -> list[str]:
    return [str(number) for number in range(table.num_columns)]


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    return [_encodable(part) for part in value] if isinstance(value, list) else value
