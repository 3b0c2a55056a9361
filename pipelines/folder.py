"""The output folder of a label job: whose it is, its columns, and its files, each whole or absent."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook
from corpus.errors import UsageError
from corpus.files import atomic_path
from pipelines import journal as journals
from pipelines import manifest as manifests
from pipelines.cells import cell
from pipelines.journal import Journal, not_writable, sync_folder

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "jsonl")
"""What can be written beside Parquet."""

SHARD = re.compile(r"labels-\d{5,}\.parquet")
"""How the files of the labels are named."""

_IDENTITY = ("command", "model_id", "codebook_id", "options")
_OURS = re.compile(r"labels-\d{5,}\.parquet|labels\.csv|labels\.jsonl|queue\.jsonl")
_HALF = re.compile(r"\.(?:labels[-.]|queue\.|manifest\.).*\.part")  # what a job that was killed had not finished
_PIECE = 1000  # rows in memory while a shard is read


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


def check_folder(folder: Path) -> None:
    """Refuse a folder that holds anything but a label job's result, finished or not, before any work is done.

    Raises:
        UsageError: naming the folder and what is in it.
    """
    if not folder.is_dir():
        return
    try:
        names = sorted(p.name for p in folder.iterdir() if not (p.name.startswith(".") and p.name.endswith(".part")))
    except OSError as error:
        raise not_writable(folder, error) from error
    if names and manifests.NAME not in names and journals.FOLDER not in names:
        raise UsageError(
            f"{folder}: expected a new or an empty folder, found {names[0]} and no {manifests.NAME}, which is not the "
            "result of a finished job; choose another folder or empty this one"
        )


def check_same(folder: Path, job: Mapping[str, object], found: Mapping[str, Any]) -> None:
    """Refuse another job than the one whose finished result the folder holds.

    Args:
        folder: The output folder.
        job: What makes two jobs the same: command, model_id, codebook_id, options, and inputs, of which the hashes are
            compared and not the paths.
        found: The folder's manifest.

    Raises:
        UsageError: naming the folder and what differs.
    """
    said = _differences(found, job, ("inputs", *_IDENTITY))
    if said:
        raise UsageError(
            f"{folder}: expected a new folder or the result of the same job, found another job's result with other "
            f"{', '.join(dict.fromkeys(name.partition('.')[0] for name, _ in said))}; choose another folder or remove this "
            f"one ({_short(said)})"
        )


def check_resumed(journal: Journal, job: Mapping[str, object], *, resume: bool) -> bool:
    """Say whether the folder's journal is of this very job, so that its shards are this job's.

    A job that was stopped before its first shard stands in nobody's way.

    Raises:
        UsageError: when a job was stopped and is not to be resumed, or was another one: then with both values.
    """
    if journal.job is None:
        return False
    said = _differences(journal.job, job, ("inputs", *_IDENTITY, "versions"))
    if said and (journal.entries or resume):
        raise UsageError(
            f"{journal.output}: expected the job that was begun there, with {journal.rows} rows done, found another one: "
            f"{_short(said)}; finish it as it was begun, choose another folder or remove this one"
        )
    if journal.entries and not resume:
        raise UsageError(
            f"{journal.output}: expected a new folder or a finished job, found one that was stopped with {journal.rows} "
            "rows done; finish it with --resume, or choose another folder"
        )
    return not said


def remove_result(folder: Path) -> None:
    """Remove a label job's result, finished or not, and nothing else; without one, nothing happens."""
    if (folder / manifests.NAME).is_file() or (folder / journals.FOLDER).is_dir():
        clear_folder(folder)
        shutil.rmtree(folder / journals.FOLDER, ignore_errors=True)


def clear_folder(folder: Path, *, keep: Sequence[str] = ()) -> None:
    """Remove an earlier result but for the files to ``keep``.

    The manifest goes first, so that from then on the folder does not look finished.
    """
    (folder / manifests.NAME).unlink(missing_ok=True)
    for path in list(folder.iterdir()):
        if (_OURS.fullmatch(path.name) or _HALF.fullmatch(path.name)) and path.name not in keep:
            path.unlink()


def write_shard(path: Path, rows: Sequence[Mapping[str, object]], codebook: Codebook) -> None:
    """Write rows as Parquet, whole or not at all, to last. A column that a row lacks is null; same rows, same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with atomic_path(path) as temporary:
        table = pa.Table.from_pylist(list(rows), schema=output_schema(codebook))
        pq.write_table(table, temporary, compression="zstd")
    sync_folder(path.parent)


def read_shards(folder: Path, files: Sequence[str], columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of shards in order; memory holds few of them."""
    import pyarrow.parquet as pq

    for name in files:
        with pq.ParquetFile(folder / name) as file:
            for batch in file.iter_batches(batch_size=_PIECE, columns=None if columns is None else list(columns)):
                yield from batch.to_pylist()


def write_format(folder: Path, name: str, files: Sequence[str], codebook: Codebook) -> Path:
    """Write the rows of shards as ``labels.csv`` or ``labels.jsonl`` beside them, and return the path."""
    write: Callable[..., None] = _write_csv if name == "csv" else _write_jsonl
    path = folder / f"labels.{name}"
    with atomic_path(path) as temporary:
        write(temporary, read_shards(folder, files), output_schema(codebook).names)
    return path


def _write_csv(path: Path, rows: Iterator[Mapping[str, object]], columns: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        # All text is quoted: the csv module leaves a lone carriage return bare, and readers take it for a line's end.
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(columns)
        writer.writerows([cell(row.get(name)) for name in columns] for row in rows)


def _write_jsonl(path: Path, rows: Iterator[Mapping[str, object]], columns: Sequence[str]) -> None:
    with path.open("wb") as stream:
        for row in rows:
            stream.write(msgspec.json.encode({name: row.get(name) for name in columns}) + b"\n")


def _differences(
    found: Mapping[str, Any], wanted: Mapping[str, Any], fields: Sequence[str]
) -> list[tuple[str, tuple[object, object]]]:
    """Return what differs, as the name of a field (``options.precision``) with what it was and what it is now."""
    said: list[tuple[str, tuple[object, object]]] = []
    for field in fields:
        was, now = _value(found, field), _value(wanted, field)
        if was == now:
            continue
        if field == "inputs":
            said.append((field, _inputs(found.get(field), wanted.get(field))))
        elif isinstance(was, dict) and isinstance(now, dict):
            said += [(f"{field}.{k}", (was.get(k), now.get(k))) for k in {**was, **now} if was.get(k) != now.get(k)]
        else:
            said.append((field, (was, now)))
    return said


def _value(job: Mapping[str, Any], field: str) -> Any:
    """Return a field as it is when it has been written and read; of the inputs, their hashes."""
    value = job.get(field)
    if field == "inputs" and isinstance(value, list):
        value = [entry.get("sha256") for entry in value if isinstance(entry, dict)]
    return msgspec.json.decode(msgspec.json.encode(value))


def _inputs(was: object, now: object) -> tuple[object, object]:
    """Return the first entries that differ, in words."""
    if not isinstance(was, list) or not isinstance(now, list):
        return was, now
    if len(was) != len(now):
        return f"{len(was)} files", f"{len(now)} files"
    pairs = ((_entry(a), _entry(b)) for a, b in zip(was, now, strict=True) if a.get("sha256") != b.get("sha256"))
    return next(pairs, (was, now))


def _entry(entry: Mapping[str, Any]) -> str:
    return f"SHA-256 {str(entry.get('sha256'))[:12]}… of {Path(str(entry.get('path'))).name}"


def _short(said: Sequence[tuple[str, tuple[object, object]]]) -> str:
    parts = [f"{name} was {_brief(was)}, is {_brief(now)}" for name, (was, now) in said[:4]]
    return "; ".join(parts) + (f"; and {len(said) - 4} more" if len(said) > 4 else "")


def _brief(value: object) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
