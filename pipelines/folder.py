"""The output folder of a label job: whose it is, its columns, and its files, each whole or absent."""

from __future__ import annotations

import csv
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook
from corpus.errors import UsageError
from corpus.files import atomic_path
from pipelines import manifest as manifests

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "jsonl")
"""What can be written beside Parquet."""

_OURS = re.compile(r"labels-\d{5,}\.parquet|labels\.csv|labels\.jsonl|queue\.jsonl")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would run


def output_schema(codebook: Codebook) -> pa.Schema:
    """Return the Arrow schema of the output: the columns in their order, those of labels in the codebook's."""
    import pyarrow as pa

    text, whole, share = pa.string(), pa.int64(), pa.float64()
    fields: list[tuple[str, Any]] = [
        *(("id", text), ("document_id", text), ("start", whole), ("end", whole)),
        *((name, text) for name in ("text", "title", "published", "publisher", "url")),
        *((name, text) for name in ("holder", "holder_name", "holder_type", "voice", "stance")),
        *((f"stance_{s}", share) for s in codebook.stance_ids),
        ("concerns", pa.list_(text)),
        *((f"concern_{c}", share) for c in codebook.concern_ids),
        *(("abstained", pa.bool_()), ("confidence", share)),
        *((name, text) for name in ("model_id", "codebook_version", "status", "reason")),
    ]
    return pa.schema(fields)


def check_folder(folder: Path, job: Mapping[str, object]) -> None:
    """Refuse a folder that holds anything but the result of this very job.

    ``job`` has the fields of a label manifest that make two jobs the same: command, model_id, codebook_id, options and
    inputs, of which the hashes are compared and not the paths.

    Raises:
        UsageError: naming the folder and what differs.
        RecordError: when the folder's manifest cannot be read.
    """
    if not folder.is_dir():
        return
    try:
        names = sorted(p.name for p in folder.iterdir() if not (p.name.startswith(".") and p.name.endswith(".part")))
    except OSError as error:
        raise _not_writable(folder, error) from error
    if not names:
        return
    if manifests.NAME not in names:
        raise UsageError(
            f"{folder}: expected a new or an empty folder, found {names[0]} and no {manifests.NAME}, which is not the "
            "result of a finished job; choose another folder or empty this one"
        )
    found, wanted = _identity(manifests.read_manifest(folder)), _identity(job)
    differing = [name for name in wanted if found[name] != wanted[name]]
    if differing:
        raise UsageError(
            f"{folder}: expected a new folder or the result of the same job, found another job's result with other "
            f"{', '.join(differing)}; choose another folder or remove this one"
        )


def take_folder(folder: Path) -> None:
    """Make the folder and make sure that files can be written to it, before any work is done.

    Raises:
        UsageError: when that is not possible.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _not_writable(folder, error) from error


def clear_folder(folder: Path) -> None:
    """Remove an earlier result: the manifest first, so that from then on the folder does not look finished."""
    (folder / manifests.NAME).unlink(missing_ok=True)
    for path in [p for p in folder.iterdir() if _OURS.fullmatch(p.name)]:
        path.unlink()


def write_rows(
    rows: Sequence[Mapping[str, object]], codebook: Codebook, folder: Path, *, formats: Sequence[str], rows_per_file: int
) -> list[tuple[Path, int]]:
    """Write ``labels-00000.parquet`` and so on, then the extra formats; return each path with its number of rows.

    A column that a row lacks is null. The same rows give the same bytes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = output_schema(codebook)
    written: list[tuple[Path, int]] = []
    for number, start in enumerate(range(0, len(rows), rows_per_file)):
        part = rows[start : start + rows_per_file]
        path = folder / f"labels-{number:05}.parquet"
        with atomic_path(path) as temporary:
            pq.write_table(pa.Table.from_pylist(part, schema=schema), temporary, compression="zstd")
        written.append((path, len(part)))
    for name in (f for f in FORMATS if f in formats):
        path = folder / f"labels.{name}"
        with atomic_path(path) as temporary:
            (_write_csv if name == "csv" else _write_jsonl)(temporary, rows, schema.names)
        written.append((path, len(rows)))
    return written


def _write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        # All text is quoted: the csv module leaves a lone carriage return bare, and readers take it for a line's end.
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(columns)
        writer.writerows([_cell(row.get(name)) for name in columns] for row in rows)


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        value = ";".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _write_jsonl(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    with path.open("wb") as stream:
        for row in rows:
            stream.write(msgspec.json.encode({name: row.get(name) for name in columns}) + b"\n")


def _identity(manifest: Mapping[str, Any]) -> dict[str, object]:
    inputs = manifest.get("inputs")
    hashes = [e.get("sha256") for e in inputs if isinstance(e, dict)] if isinstance(inputs, list) else None
    return {"inputs": hashes} | {name: manifest.get(name) for name in ("command", "model_id", "codebook_id", "options")}


def _not_writable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        f"{folder}: expected a folder that can be written to, but {error.strerror or error}; choose another output"
    )
