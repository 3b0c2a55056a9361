"""Inputs of the label job: which files there are, of which form, and their rows as text, each row kept in its place.

A file of a wrong form (torn, without a ``text`` column, not UTF-8) is refused as a whole. A row with a fault inside a
good file is yielded with the reason, so that it stays in the table and is never labelled.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from corpus.errors import RecordError, UsageError
from corpus.extract import document_paths
from corpus.files import unpacked
from pipelines.rows import COLUMNS, InputRow, kind_of, to_row

__all__ = ["MAX_STATEMENT", "STDIN", "InputRow", "Source", "find_sources", "read_rows", "read_table", "shown"]

MAX_STATEMENT = 20_000
"""Longest statement in characters; a longer text is a document and wants segmenting first."""

STDIN = "-"

_DOCUMENT_SUFFIXES = frozenset({".txt", ".md", ".html", ".htm", ".pdf"})
_JSONL_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})
_COMPRESSED_SUFFIXES = frozenset({".gz", ".zst", ".zstd"})
_PARQUET_MAGIC = b"PAR1"
_FIELD_LIMIT = 1 << 30  # the csv module refuses fields above 131,072 characters, which a document may well have
_FORMS = "expected a table (.jsonl, .csv, .parquet), a document (.txt, .html, .pdf), a folder of documents, a WARC or -"


@dataclass(frozen=True, slots=True)
class Source:
    """One file to read. ``data`` holds what can be read only once (standard input, a pipe); then ``path`` is None.

    ``root`` is the folder to which a document's ``file:`` address is relative.
    """

    name: str
    kind: Literal["table", "document", "archive"]
    path: Path | None = None
    data: bytes | None = None
    root: Path | None = None

    @property
    def what(self) -> str:
        """What it is, for messages."""
        return "an archive" if self.kind == "archive" else f"a {self.kind}"

    def open(self) -> BinaryIO:
        """Open the bytes as they are.

        Raises:
            UsageError: when the file cannot be read.
        """
        if self.data is not None:
            return io.BytesIO(self.data)
        assert self.path is not None  # noqa: S101 - one of the two is always set by find_sources
        try:
            return self.path.open("rb")
        except OSError as error:
            raise _unreadable(self.name, error) from error


def find_sources(inputs: Sequence[str], *, stdin: BinaryIO | None = None) -> tuple[tuple[Source, ...], tuple[str, ...]]:
    """Return the files that the inputs stand for, in order, and the names of the files passed over in folders.

    ``-`` is standard input, read from ``stdin``. A folder stands for the documents below it, in sorted order.

    Raises:
        UsageError: for no input, a missing file, a folder without documents, or a form that cannot be read.
    """
    if not inputs:
        raise UsageError(f"no input was given; {_FORMS}")
    if list(inputs).count(STDIN) > 1:
        raise UsageError("standard input (-) was named more than once, but it can be read only once; name it once")
    sources: list[Source] = []
    skipped: list[str] = []
    for name in inputs:
        path = Path(name)
        if name == STDIN:
            if stdin is None:
                raise UsageError("standard input (-) was named, but nothing is connected to it; name a file instead")
            sources.append(Source(name="standard input", kind="table", data=stdin.read()))
            continue
        try:
            if not path.is_dir():
                sources.append(_file_source(name, path))
                continue
            documents, others = document_paths(path)
        except OSError as error:
            raise _unreadable(name, error) from error
        if not documents:
            raise UsageError(
                f"{name}: expected a folder with .txt, .html or .pdf documents, found {len(others)} files of other "
                "kinds; name tables one by one"
            )
        sources.extend(Source(name=shown(p), kind="document", path=p, root=path) for p in documents)
        skipped.extend(shown(p) for p in others)
    return tuple(sources), tuple(skipped)


def read_rows(inputs: Sequence[str], *, stdin: BinaryIO | None = None, longest: int = MAX_STATEMENT) -> Iterator[InputRow]:
    """Yield the rows of tables (JSONL, CSV, Parquet; plain, gzip or zstd), in order.

    Raises:
        UsageError: for an input that does not exist or is a document.
        RecordError: for a file of a wrong form, naming file and line. Rows before that line may have been yielded.
    """
    for source in find_sources(inputs, stdin=stdin)[0]:
        if source.kind != "table":
            raise UsageError(f"{source.name}: expected a table with one text a row, found {source.what}; segment it first")
        yield from read_table(source, longest=longest, ignored=set())


def read_table(source: Source, *, longest: int, ignored: set[str]) -> Iterator[InputRow]:
    """Yield the rows of one table; the names of columns that mean nothing here are added to ``ignored``.

    ``longest`` is the greatest length of a text in characters; a longer one makes the row invalid.

    Raises:
        UsageError: when the file cannot be read.
        RecordError: when it is empty, torn, not UTF-8, broken JSON at a line, or without a column ``text``.
    """
    with unpacked(source.open(), name=source.name) as stream:
        form = _form(source, stream)
        rows = {"jsonl": _jsonl_rows, "csv": _csv_rows, "parquet": _parquet_rows}[form](source.name, stream)
        for where, values in rows:
            if isinstance(values, str):
                yield InputRow(source=where, reason=values)
                continue
            ignored.update(name.encode("utf-8", "replace").decode("utf-8") for name in values if name not in COLUMNS)
            yield to_row(where, values, longest=longest)


def _file_source(name: str, path: Path) -> Source:
    suffixes = [s.lower() for s in path.suffixes]
    packed = bool(suffixes) and suffixes[-1] in _COMPRESSED_SUFFIXES
    suffix = (suffixes[-2:-1] if packed else suffixes[-1:]) or [""]
    if suffix[0] in _DOCUMENT_SUFFIXES and packed:
        raise UsageError(f"{name}: expected a document as it is, found a compressed one; unpack it first")
    if not path.exists():
        raise UsageError(f"{name}: no such file or folder; {_FORMS}")
    if path.is_fifo():  # a shell's <(command): readable once, so it is taken in here
        return Source(name=shown(path), kind="table", data=path.read_bytes())
    if not path.is_file():
        raise UsageError(f"{name}: neither a file nor a folder; {_FORMS}")
    if suffix[0] == ".warc":
        return Source(name=shown(path), kind="archive", path=path)
    if suffix[0] in _DOCUMENT_SUFFIXES:
        return Source(name=shown(path), kind="document", path=path, root=path.parent)
    return Source(name=shown(path), kind="table", path=path)


def _form(source: Source, stream: BinaryIO) -> Literal["jsonl", "csv", "parquet"]:
    """Tell the form of a table: by what it holds, and only where that does not decide, by its name."""
    head = stream.read(1 << 16)
    stream.seek(0)
    if not head.removeprefix(b"\xef\xbb\xbf").strip():
        if stream.seek(0, io.SEEK_END) <= len(head):
            raise RecordError(f"{source.name}: expected rows, found an empty file; check what wrote it")
        stream.seek(0)
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    if head.startswith(b"WARC/"):
        raise UsageError(f"{source.name}: expected a table, found a WARC archive; give its name the suffix .warc")
    if head.startswith(b"%PDF-"):
        raise UsageError(f"{source.name}: expected a table, found a PDF document; give its name the suffix .pdf")
    suffixes = {s.lower() for s in Path(source.name).suffixes}
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or suffixes & _JSONL_SUFFIXES:
        return "jsonl"
    if ".parquet" in suffixes:
        return "parquet"
    return "csv"


def _jsonl_rows(name: str, stream: BinaryIO) -> Iterator[tuple[str, Mapping[str, object] | str]]:
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


def _csv_rows(name: str, stream: BinaryIO) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    data = stream.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise RecordError(
            f"{name}, line {line}: expected a table in UTF-8, found byte {data[error.start]:#04x}; save it as UTF-8"
        ) from error
    # strict: without it a quote that is never closed swallows the rest of the file in silence
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] | None = None
    while (record := _next_record(name, reader)) is not None:
        line, fields = record
        where = f"{name}, line {line}"
        if not fields:
            continue
        if header is None:
            header = [f.strip() for f in fields]
            _check_header(name, "CSV", header)
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


def _parquet_rows(name: str, stream: BinaryIO) -> Iterator[tuple[str, Mapping[str, object] | str]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = 0
    try:
        with pq.ParquetFile(stream) as file:
            header = list(file.schema_arrow.names)
            _check_header(name, "Parquet", header)
            others = dict.fromkeys(c for c in header if c not in COLUMNS)
            for batch in file.iter_batches(columns=[c for c in header if c in COLUMNS]):
                columns = [_values(column) for column in batch.columns]
                for values in zip(*columns, strict=True):
                    number += 1
                    yield f"{name}, row {number}", {**dict(zip(batch.schema.names, values, strict=True)), **others}
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


def _check_header(name: str, form: str, header: list[str]) -> None:
    twice = next((c for c in header if c in COLUMNS and header.count(c) > 1), None)
    if twice is not None:
        raise RecordError(f"{name}: expected one column {twice!r}, found {header.count(twice)}; rename or remove the others")
    if "text" not in header:
        found = ", ".join(header[:12])[:200]
        raise RecordError(
            f"{name}: expected a {form} table with a column 'text', found the columns {found}; "
            "rename the one that holds the statements"
        )


def shown(path: Path) -> str:
    """Return a path as text that can be written: names of files may be bytes in any encoding."""
    return os.fsencode(path.as_posix()).decode("utf-8", errors="replace")


def _sentence(error: BaseException) -> str:
    """Return the first line of a library's message, without its final stop, to stand inside a sentence."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")


def _unreadable(name: str, error: OSError) -> UsageError:
    return UsageError(f"{name}: expected a file that can be read, but {error.strerror or error}; check its permissions")
