"""Forms of tables: JSON Lines, CSV and Parquet, plain or packed, and their records one after the other."""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, cast

from corpus.errors import RecordError, UsageError
from pipelines.rows import COLUMNS, kind_of

BUFFER = 1 << 18

Record = tuple[str, Mapping[str, object] | str]
"""Where a record stands, and its values by column, or the reason why there are none."""

_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_FIELD_LIMIT = 1 << 30  # the csv module refuses fields above 131,072 characters, which a document may well have
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_PARQUET_MAGIC = b"PAR1"
_HEAD = 1 << 16  # bytes by which the form is told
_BATCH = 1024  # rows of Parquet that become Python objects at a time


class Reopened(Protocol):
    """A file that can be opened again and again."""

    @property
    def name(self) -> str:
        """What messages call it; its suffix may tell the form."""

    def open(self) -> BinaryIO:
        """Open the bytes as they are.

        Raises:
            UsageError: when the file cannot be read.
        """


def records(
    source: Reopened, *, first: io.RawIOBase | None = None, columns: Sequence[str] | None = COLUMNS
) -> Iterator[Record]:
    """Yield a table's records one after the other; memory holds few of them.

    ``columns`` are those with a meaning, ``text`` the one that must be there; the values of others may be None. Without it
    all columns are read and none must be there.

    Where ``first`` is given, a table is read from there, but for Parquet, which is not read from front to end and is then
    read for its damages alone, without values.

    Raises:
        UsageError: when the file cannot be read.
        RecordError: when it is empty, torn, not UTF-8, broken JSON at a line, or without a column ``text``, or has
            one of ``columns`` (of all, without it) twice.
    """
    name = source.name
    with source.open() as stream:
        magic = stream.read(4)
    codec = next((c for m, c in _CODECS.items() if magic.startswith(m)), None)
    try:
        with _unpacked(source.open(), codec) as stream:
            form = _form(name, stream)
        if form == "parquet":
            with _seekable(source, codec) as stream:
                yield from _parquet_rows(name, stream, columns, values=first is None)
            return
        with _unpacked(first or source.open(), codec) as stream:
            yield from _jsonl_rows(name, stream) if form == "jsonl" else _csv_rows(name, stream, columns)
    except UnicodeDecodeError as error:  # a CSV table is decoded in pieces, so the line is looked for anew
        with _unpacked(source.open(), codec) as stream:
            line, byte = _not_utf8(stream, error)
        raise RecordError(
            f"{name}, line {line}: expected a table in UTF-8, found byte {byte:#04x}; save it as UTF-8"
        ) from error
    except OSError as error:
        if codec is not None:
            raise RecordError(
                f"{name}: expected a whole {codec} file, but {_sentence(error)}; copy or make it again"
            ) from error
        raise UsageError(
            f"{name}: expected a file that can be read, but {error.strerror or error}; check its permissions"
        ) from error


def _unpacked(stream: Any, codec: str | None) -> BinaryIO:
    if codec is None:
        return io.BufferedReader(stream, BUFFER)
    import pyarrow as pa

    return io.BufferedReader(cast("Any", pa.CompressedInputStream(stream, codec)), BUFFER)


def _seekable(source: Reopened, codec: str | None) -> BinaryIO:
    if codec is None:
        return source.open()
    with ExitStack() as held:  # packed Parquet is rare: Parquet is packed within
        stream = held.enter_context(tempfile.TemporaryFile())
        with _unpacked(source.open(), codec) as packed:
            shutil.copyfileobj(packed, stream, BUFFER)
        stream.seek(0)
        held.pop_all()
    return cast("BinaryIO", stream)


def _not_utf8(stream: BinaryIO, error: UnicodeDecodeError) -> tuple[int, int]:
    for number, line in enumerate(stream, start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as found:
            return number, line[found.start]
    return 1, error.object[error.start]


def _form(name: str, stream: BinaryIO) -> Literal["jsonl", "csv", "parquet"]:
    """Tell the form of a table: by what it holds, and only where that does not decide, by its name."""
    head = stream.read(_HEAD)
    if not head.removeprefix(b"\xef\xbb\xbf").strip() and not stream.read(1):
        raise RecordError(f"{name}: expected rows, found an empty file; check what wrote it")
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    if head.startswith(b"WARC/"):
        raise UsageError(f"{name}: expected a table, found a WARC archive; give its name the suffix .warc")
    if head.startswith(b"%PDF-"):
        raise UsageError(f"{name}: expected a table, found a PDF document; give its name the suffix .pdf")
    suffixes = {s.lower() for s in Path(name).suffixes}
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or suffixes & _JSONL_SUFFIXES:
        return "jsonl"
    if ".parquet" in suffixes:
        return "parquet"
    return "csv"


def _jsonl_rows(name: str, stream: BinaryIO) -> Iterator[Record]:
    found = False
    for number, line in enumerate(stream, start=1):
        where = f"{name}, line {number}"
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            if not text.strip():
                continue
            # NaN is what several writers leave where a value is missing; JSON has no such number.
            value = json.loads(text, parse_constant=lambda _: None)
        except UnicodeDecodeError as error:
            raise RecordError(
                f"{where}: expected UTF-8, found byte {error.object[error.start]:#04x}; save it as UTF-8"
            ) from error
        except json.JSONDecodeError as error:
            raise RecordError(
                f"{where}: expected one JSON object, found broken JSON ({error.msg} at column {error.colno}); "
                "mend or remove that line"
            ) from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets of thousands of levels
            raise RecordError(
                f"{where}: expected one JSON object, but {_sentence(error)}; mend or remove that line"
            ) from error
        found = True
        yield where, value if isinstance(value, dict) else f"row is {kind_of(value)}, expected a JSON object"
    if not found:
        raise RecordError(f"{name}: expected rows, found only blank lines; check what wrote it")


def _csv_rows(name: str, stream: BinaryIO, columns: Sequence[str] | None) -> Iterator[Record]:
    text = io.TextIOWrapper(cast("Any", stream), encoding="utf-8-sig", newline="")
    # strict: without it a quote that is never closed swallows the rest of the file in silence
    reader = csv.reader(text, strict=True)
    header: list[str] | None = None
    while (record := _next_record(name, reader)) is not None:
        line, fields = record
        where = f"{name}, line {line}"
        if not fields:
            continue
        if header is None:
            header = [f.strip() for f in fields]
            _check_header(name, "CSV", header, columns)
        elif len(fields) > len(header):
            raise RecordError(
                f"{where}: expected {len(header)} fields as in the header, found {len(fields)}; "
                "put quotation marks around texts that contain commas"
            )
        elif len(fields) < len(header):
            yield where, "row has fewer fields than the header"
        else:
            yield where, {key: value for key, value in zip(header, fields, strict=True) if key}
    if header is None:
        raise RecordError(f"{name}: expected rows, found only blank lines; check what wrote it")


def _next_record(name: str, reader: Any) -> tuple[int, list[str]] | None:
    """Return the next record with the line on which it starts, None at the end.

    The limit of a field's length belongs to the whole process, so it is raised for this one call and put back.
    """
    line = reader.line_num + 1
    limit = csv.field_size_limit(_FIELD_LIMIT)
    try:
        return line, next(reader)
    except StopIteration:
        return None
    except csv.Error as error:
        raise RecordError(
            f"{name}, line {line}: expected a CSV record, but {_sentence(error)}; mend the quotation marks"
        ) from error
    finally:
        csv.field_size_limit(limit)


def _parquet_rows(name: str, stream: BinaryIO, columns: Sequence[str] | None, *, values: bool) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(stream, buffer_size=1 << 20) as file:
            header = list(file.schema_arrow.names)
            _check_header(name, "Parquet", header, columns)
            read = header if columns is None else [c for c in header if c in columns]
            others = dict.fromkeys(c for c in header if c not in read)
            for batch in file.iter_batches(batch_size=_BATCH, columns=read):
                if not values:
                    yield from ((name, "") for _ in range(batch.num_rows))
                    continue
                cells = [_values(column) for column in batch.columns]
                for row in zip(*cells, strict=True):
                    number += 1
                    yield f"{name}, row {number}", {**dict(zip(batch.schema.names, row, strict=True)), **others}
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{name}: expected a whole Parquet file, but {_sentence(error)}; copy or make it again") from error


def _values(column: Any) -> list[object]:
    """Return a column's values; one that Python cannot hold (not UTF-8, a year above 9999) becomes its own error."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError) as error:
        return error


def _check_header(name: str, form: str, header: list[str], columns: Sequence[str] | None) -> None:
    twice = next((c for c in header if c and (columns is None or c in columns) and header.count(c) > 1), None)
    if twice is not None:
        raise RecordError(f"{name}: expected one column {twice!r}, found {header.count(twice)}; rename or remove the others")
    if columns is not None and "text" not in header:
        found = ", ".join(header[:12])[:200]
        raise RecordError(
            f"{name}: expected a {form} table with a column 'text', found the columns {found}; "
            "rename the one that holds the statements"
        )


def _sentence(error: BaseException) -> str:
    """Return the first line of a library's message, without its final stop, to stand inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
