"""Labels: folders of them read back and checked, and what their dates and holders' names mean."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook, parse_codebook
from corpus.errors import CodebookError, RecordError, UsageError
from corpus.files import read_json
from pipelines.label_runs import complete_runs

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_TEXTS = (
    "id", "document_id", "text", "title", "published", "publisher", "url", "holder", "holder_name", "holder_type",
    "voice", "stance", "model_id", "codebook_version", "status", "reason",
)  # fmt: skip
_YEARS = range(1900, 2101)  # a date outside is a slip of the source, and one such row would stretch the time axis


@dataclass(frozen=True, slots=True)
class Labels:
    """A folder of labels: one row a statement in ``frame``, the codebook they follow, and the job's manifest."""

    frame: pd.DataFrame
    codebook: Codebook
    manifest: dict[str, Any]


def read_labels(folder: Path) -> Labels:
    """Read ``labels-*.parquet``, in the order of their names, and ``manifest.json``.

    A folder of a workspace's numbered runs with one bundle (``labels/<model id>``) is read as one: of a statement that
    several runs have, the latest row counts, and the manifest is that of the latest run, with what was counted added up.

    Raises:
        UsageError: when the folder, the label files or the manifest are missing.
        RecordError: when a file is damaged, lacks a column, or contradicts the manifest; the file is named.
        CodebookError: when the manifest's codebook is malformed or a row carries a label that it does not have.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected one that `treaty-stance label` wrote")
    runs = complete_runs(folder)
    if not runs or (folder / "manifest.json").is_file():
        return _read_run(folder)
    import pandas as pd

    read = [_read_run(run) for run in runs]
    for run, labels in zip(runs, read, strict=True):
        if labels.codebook.id != read[-1].codebook.id:
            raise RecordError(
                f"{run}: expected labels under codebook {read[-1].codebook.id}, as in {runs[-1].name}, found "
                f"{labels.codebook.id}; name one run"
            )
    frame = pd.concat([labels.frame for labels in read], ignore_index=True)
    later = frame["id"].notna() & frame.duplicated("id", keep="last")
    manifest = dict(read[-1].manifest)
    for name in ("reasons", "clutter"):
        total: Counter[str] = Counter()
        for labels in read:
            total.update(labels.manifest.get(name, {}))
        manifest[name] = dict(total)
    return Labels(frame[~later].reset_index(drop=True), read[-1].codebook, manifest)


def _read_run(folder: Path) -> Labels:
    import pandas as pd

    files = sorted(folder.glob("labels-*.parquet"))
    if not files:
        raise UsageError(
            f"{folder}: expected labels-*.parquet, found none; run `treaty-stance label` with this output folder"
        )
    manifest, codebook = _read_manifest(folder / "manifest.json")
    schema = _schema(codebook)
    frames = []
    for path in files:
        frame = _read_file(path, schema)
        _check(frame, codebook, manifest, path)
        frames.append(frame)
    return Labels(pd.concat(frames, ignore_index=True), codebook, manifest)


def spelling(holder: object) -> str | None:
    """Return a holder's name without outer blanks, or None where there is no name."""
    return (holder.strip() or None) if isinstance(holder, str) else None


def holder_key(holder: object) -> str | None:
    """Return what names of one holder share: the trimmed name without "the" before it, case folded."""
    name = spelling(holder)
    return None if name is None else re.sub(r"^the\s+", "", name.casefold())


def iso_date(published: object) -> str | None:
    """Return ``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD`` for a date in ISO 8601, with or without a time, else None.

    A time is dropped as written, without a change of time zone: the day is the publisher's.
    """
    if not isinstance(published, str):
        return None
    text = published.strip()
    try:
        if re.fullmatch(r"[0-9]{4}", text):
            found, width = datetime(int(text), 1, 1), 4  # noqa: DTZ001 - a day, not a moment
        elif re.fullmatch(r"[0-9]{4}-[0-9]{2}", text):
            found, width = datetime.fromisoformat(f"{text}-01"), 7
        else:
            found, width = datetime.fromisoformat(text), 10
    except ValueError:
        return None
    return found.date().isoformat()[:width] if found.year in _YEARS else None


class _Manifest(msgspec.Struct):
    """What the tables and the page need of a label job's manifest; it holds more."""

    codebook: dict[str, Any]
    codebook_id: str
    model_id: str
    reasons: dict[str, int] = {}
    clutter: dict[str, int] = {}
    skipped: list[str] = []


def _read_manifest(path: Path) -> tuple[dict[str, Any], Codebook]:
    value = read_json(path)
    try:
        manifest = msgspec.convert(value, _Manifest)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path}: expected the manifest of a label job, but {error}; label again") from error
    codebook = parse_codebook(msgspec.json.encode(manifest.codebook).decode("utf-8"), where=str(path))
    if codebook.id != manifest.codebook_id:
        raise RecordError(
            f"{path}: codebook_id is {manifest.codebook_id}, but the codebook in it is {codebook.id}; "
            "restore the file or label again"
        )
    return dict(value), codebook


def _schema(codebook: Codebook) -> pa.Schema:
    import pyarrow as pa

    fields = dict.fromkeys(_TEXTS, pa.string())
    fields |= {"start": pa.int64(), "end": pa.int64(), "abstained": pa.bool_(), "concerns": pa.list_(pa.string())}
    shares = (
        "confidence",
        *(f"stance_{s}" for s in codebook.stance_ids),
        *(f"concern_{c}" for c in codebook.concern_ids),
    )
    return pa.schema(list((fields | dict.fromkeys(shares, pa.float64())).items()))


def _read_file(path: Path, schema: pa.Schema) -> pd.DataFrame:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RecordError(f"{path}: expected a whole Parquet file, but {error}; copy or make it again") from error
    if "holder_name" not in table.column_names and "holder" in table.column_names:  # labels older than the column
        table = table.append_column("holder_name", table["holder"])
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise RecordError(f"{path}: expected the columns of a label job, found no {', '.join(missing)}; label again")
    try:
        frame = table.select(schema.names).cast(schema).to_pandas()
    except pa.ArrowException as error:
        raise RecordError(f"{path}: a column is not of its type, {error}; label again") from error
    frame["abstained"] = frame["abstained"].fillna(False).astype(bool)
    frame["concerns"] = frame["concerns"].map(lambda names: [] if names is None else list(names))
    return frame


def _check(frame: pd.DataFrame, codebook: Codebook, manifest: dict[str, Any], path: Path) -> None:
    """Refuse rows of another codebook or model, of an unknown status or label, and decisions without a stance."""
    for column, name in (("codebook_version", "codebook_id"), ("model_id", "model_id")):
        for found in frame[column].dropna().unique():
            if found != manifest[name]:
                raise RecordError(
                    f"{path}: column {column} has {found}, but the manifest's {name} is {manifest[name]}; "
                    "two jobs' results are mixed, label again into an empty folder"
                )
    for found in frame["status"].unique():
        if found not in ("ok", "invalid"):
            raise RecordError(f"{path}: column status has {found!r}, expected 'ok' or 'invalid'; label again")
    ok = frame[frame["status"] == "ok"]
    if (without := ok["stance"].isna() & ~ok["abstained"]).any():
        row = ok.index[without][0] + 1
        raise RecordError(f"{path}, row {row}: expected a stance where status is 'ok', found none; label again")
    kinds = (
        ("stance", ok["stance"].dropna().unique(), codebook.stance_ids),
        ("holder type", ok["holder_type"].dropna().unique(), codebook.holder_type_ids),
        ("concern", ok["concerns"].explode().dropna().unique(), codebook.concern_ids),
    )
    for kind, values, known in kinds:
        for value in values:
            if value not in known:
                raise CodebookError(
                    f"{path}: {kind} {value!r} is not in codebook {codebook.name} version {codebook.version}; "
                    f"it has {', '.join(known)}"
                )
