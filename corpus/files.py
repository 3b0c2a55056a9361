"""Reading and writing records as JSON Lines and Parquet, and writing any file so that it is whole or absent."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import msgspec

from corpus.errors import RecordError, UsageError
from corpus.records import Record
from corpus.schemas import arrow_schema

R = TypeVar("R", bound=Record)

_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}

# What the decoder raises on bytes that are not JSON, or JSON nested deeper than the interpreter goes.
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it is flushed to disk and renamed, on failure removed.

    Raises:
        UsageError: when the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise UsageError(
            f"{path.parent}: expected a folder that can be written to, but {error.strerror or error}; choose another output"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.chmod(0o666 & ~_umask())
        try:
            temporary.replace(path)
        except OSError as error:
            raise UsageError(
                f"{path}: expected a file that can be replaced, but {error.strerror or error}; choose another output"
            ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically, with line feeds as line ends."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file atomically: sorted as given, indented, one line end at the end."""
    write_text(path, msgspec.json.format(msgspec.json.encode(value), indent=2).decode("utf-8") + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        UsageError: when the file does not exist.
        RecordError: when it is not JSON.
    """
    try:
        return msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file; check the path") from error
    except _NOT_JSON as error:
        raise RecordError(f"{path}: expected JSON, but {error}; restore the file or make it again") from error


def read_jsonl(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a JSON Lines file, one a line; blank lines are passed over.

    Raises:
        UsageError: when the file does not exist.
        RecordError: on the first line that is not a record of this kind and version, naming file, line and field.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a JSON Lines file of {kind.__name__} records")
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if line.strip():
                try:
                    value = msgspec.json.decode(line)
                except _NOT_JSON as error:
                    raise RecordError(f"{path}, line {number}: expected a JSON object, but {error}") from error
                yield to_record(value, kind, where=f"{path}, line {number}")


def write_jsonl(path: Path, records: Iterable[Record]) -> int:
    """Write records as JSON Lines, atomically; return how many."""
    count = 0
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for record in records:
            stream.write(msgspec.json.encode(record) + b"\n")
            count += 1
    return count


def read_parquet(path: Path, kind: type[R]) -> Iterator[R]:
    """Yield the records of a Parquet file, batch by batch.

    Raises:
        UsageError: when the file does not exist.
        RecordError: when it is not Parquet, or a row is not a record of this kind and version, naming file, row, field.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a Parquet file of {kind.__name__} records")
    maps = [f.name for f in arrow_schema(kind) if pa.types.is_map(f.type)]
    number = 0
    try:
        with pq.ParquetFile(path) as source:
            for batch in source.iter_batches():
                for row in batch.to_pylist():
                    number += 1
                    for name in maps:
                        if row.get(name) is not None:
                            row[name] = dict(row[name])
                    yield to_record(row, kind, where=f"{path}, row {number}")
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # a damaged page is an OSError to Arrow
        raise RecordError(f"{path}: expected a whole Parquet file, but {error}; copy or make it again") from error


def write_parquet(path: Path, records: Iterable[Record], kind: type[Record]) -> int:
    """Write records of one kind as Parquet, atomically; return how many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [msgspec.to_builtins(record) for record in records]
    with atomic_path(path) as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=arrow_schema(kind)), temporary)
    return len(rows)


def unpacked(stream: BinaryIO, *, name: str) -> BinaryIO:
    """Return a stream as it is, or, where its first bytes show gzip or zstd, what it holds, unpacked into memory.

    Raises:
        RecordError: when the packing is broken; ``name`` is what it calls the stream.
    """
    head = stream.read(4)
    stream.seek(0)
    codec = next((c for magic, c in _CODECS.items() if head.startswith(magic)), None)
    if codec is None:
        return stream
    import pyarrow as pa

    with stream:
        try:
            return io.BytesIO(pa.CompressedInputStream(stream, codec).read())
        except (OSError, pa.ArrowException) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
            raise RecordError(f"{name}: expected a whole {codec} file, but {said}; copy or make it again") from error


def to_record(value: Any, kind: type[R], *, where: str) -> R:
    """Turn plain values into a record.

    Raises:
        RecordError: naming ``where``, the field, what was expected and what was found.
    """
    if not isinstance(value, dict):
        raise RecordError(f"{where}: expected a JSON object with a {kind.__name__}, found {type(value).__name__}")
    version = value.get("version", kind.VERSION)
    if version != kind.VERSION:
        raise RecordError(
            f"{where}: version is {version!r}, but this release reads {kind.__name__} version {kind.VERSION}; "
            "convert the file or use the release that wrote it"
        )
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"{where}: {kind.__name__} refused, {_plain(str(error))}") from error


def _plain(message: str) -> str:
    """Turn msgspec's ``… - at `$.field```  into ``field `field`: …``."""
    text, _, path = message.partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    return f"field {field!r}: {text}" if field else text


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
