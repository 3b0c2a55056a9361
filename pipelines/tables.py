"""Tables: a folder of labels read back, and the counts that are made of it.

Every figure here is a count of labels as the model decided them. It is not an estimate of what the coverage says: no
error of the model is corrected, and a wire text in forty outlets is counted forty times.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook, parse_codebook
from corpus.errors import CodebookError, RecordError, UsageError
from corpus.files import read_json, write_text

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

UNKNOWN = "unknown"
UNDATED = "undated"
_TEXTS = (
    "id", "document_id", "text", "title", "published", "publisher", "url", "holder", "holder_name", "holder_type",
    "voice", "stance", "model_id", "codebook_version", "status", "reason",
)  # fmt: skip
_OWN_COLUMNS = frozenset({"holder_type", "month", "concern", "holder", "n", "documents", "first", "last"})
_YEARS = range(1900, 2101)  # a date outside is a slip of the source, and one such row would stretch the time axis
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Labels:
    """A folder of labels: one row a statement in ``frame``, the codebook they follow, and the job's manifest."""

    frame: pd.DataFrame
    codebook: Codebook
    manifest: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowCounts:
    """Rows by what became of them: ``total == ok + invalid``, the abstained among the ok.

    ``documents`` counts the documents that the ok rows come from.
    """

    total: int
    ok: int
    invalid: int
    abstained: int
    documents: int

    @property
    def decided(self) -> int:
        """Rows that carry a decision: the ones that every table counts."""
        return self.ok - self.abstained


def read_labels(folder: Path) -> Labels:
    """Read ``labels-*.parquet``, in the order of their names, and ``manifest.json``.

    Raises:
        UsageError: when the folder, the label files or the manifest are missing.
        RecordError: when a file is damaged, lacks a column, or contradicts the manifest; the file is named.
        CodebookError: when the manifest's codebook is malformed or a row carries a label that it does not have.
    """
    import pandas as pd

    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected one that `treaty-stance label` wrote")
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


def row_counts(labels: Labels) -> RowCounts:
    """Count the rows by status."""
    ok = labels.frame[labels.frame["status"] == "ok"]
    return RowCounts(
        total=len(labels.frame),
        ok=len(ok),
        invalid=len(labels.frame) - len(ok),
        abstained=int(ok["abstained"].sum()),
        documents=int(ok["document_id"].nunique()),
    )


def decided(labels: Labels) -> pd.DataFrame:
    """Return the rows that carry a decision: status ok and not abstained, in input order."""
    frame = labels.frame
    return frame[(frame["status"] == "ok") & ~frame["abstained"]].reset_index(drop=True)


def stance_by_holder_type(labels: Labels) -> pd.DataFrame:
    """Count stances by holder type: ``holder_type, n, <one a stance>``, in the codebook's order, then ``unknown``."""
    rows = decided(labels)
    order = dict.fromkeys((*labels.codebook.holder_type_ids, UNKNOWN))
    return _count_stances(labels, "holder_type", rows["holder_type"].fillna(UNKNOWN), rows["stance"], list(order))


def stance_by_month(labels: Labels) -> pd.DataFrame:
    """Count stances by month of publication: ``month, n, <one a stance>``, ascending, then ``undated`` if need be.

    A date that gives the year alone is counted under that year; what is no date, or outside 1900 to 2100, is undated.
    """
    rows = decided(labels)
    months = rows["published"].map(_month).astype(object)
    order = sorted(set(months), key=lambda month: (month == UNDATED, month))
    return _count_stances(labels, "month", months, rows["stance"], order)


def concerns_by_stance(labels: Labels) -> pd.DataFrame:
    """Count the statements that raise each concern: ``concern, n, <one a stance>``, in the codebook's order.

    A statement that raises two concerns is counted in two rows.
    """
    rows = decided(labels)
    raised = rows["concerns"].map(lambda names: sorted(set(names))).explode()
    raised = raised[raised.notna()]
    return _count_stances(labels, "concern", raised, rows["stance"].loc[raised.index], list(labels.codebook.concern_ids))


def positions(labels: Labels) -> pd.DataFrame:
    """Count stances by holder: ``holder, holder_type, n, <one a stance>, documents, first, last``, most first.

    Holders count under their fuller names (``holder_name``). Names that differ in case, outer blanks or a "the" before them
    alone are one holder, shown in the commonest spelling and under the commonest type (ties: the one met first). Statements
    without a holder's name are in no row. ``first`` and ``last`` are dates of publication as far as they are known.
    """
    import pandas as pd

    groups: dict[str, list[dict[str, Any]]] = {}
    for row in decided(labels)[["holder_name", "holder_type", "stance", "document_id", "published"]].to_dict("records"):
        key = holder_key(row["holder_name"])
        if key is not None:
            groups.setdefault(key, []).append(row)
    stances = labels.codebook.stance_ids
    table: list[dict[str, Any]] = []
    for group in groups.values():
        counts = Counter(row["stance"] for row in group)
        dates = sorted(filter(None, (iso_date(row["published"]) for row in group)))
        table.append(
            {
                "holder": _commonest(spelling(row["holder_name"]) for row in group),
                "holder_type": _commonest(row["holder_type"] for row in group),
                "n": len(group),
                **{stance: counts[stance] for stance in stances},
                "documents": len({row["document_id"] for row in group if isinstance(row["document_id"], str)}),
                "first": dates[0] if dates else None,
                "last": dates[-1] if dates else None,
            }
        )
    table.sort(key=lambda row: (-row["n"], holder_key(row["holder"])))
    columns = ["holder", "holder_type", "n", *stances, "documents", "first", "last"]
    return pd.DataFrame(table, columns=columns).astype(dict.fromkeys(("n", *stances, "documents"), int))


def write_tables(labels: Labels, output: Path) -> list[Path]:
    """Write the four tables as CSV (UTF-8, Unix line ends, text quoted) into a folder and return the paths.

    A text that a spreadsheet would run as a formula gets an apostrophe in front of it.

    Raises:
        UsageError: when the folder cannot be written to.
    """
    written = []
    for make in (stance_by_holder_type, stance_by_month, concerns_by_stance, positions):
        table = make(labels).map(_defuse)
        path = output / f"{make.__name__}.csv"
        # Quoted, because the csv module leaves a lone carriage return bare, and readers take it for the end of a row.
        write_text(path, table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC))
        written.append(path)
    return written


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


def _month(published: object) -> str:
    return (iso_date(published) or UNDATED)[:7]


def _count_stances(labels: Labels, name: str, keys: pd.Series, stances: pd.Series, order: list[str]) -> pd.DataFrame:
    import pandas as pd

    table = pd.crosstab(keys.to_numpy(dtype=object), stances.to_numpy(dtype=object))
    table = table.reindex(index=order, columns=list(labels.codebook.stance_ids), fill_value=0).fillna(0).astype(int)
    table.insert(0, "n", table.sum(axis=1))
    return table.rename_axis(index=name, columns=None).reset_index()


def _commonest(values: Iterable[object]) -> str | None:
    counts = Counter(value for value in values if isinstance(value, str))  # pandas has NaN where there is none
    return counts.most_common(1)[0][0] if counts else None  # of a tie, the one met first


def _defuse(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


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
    if taken := _OWN_COLUMNS.intersection(codebook.stance_ids):
        raise CodebookError(
            f"{path}: stance label {min(taken)!r} is also the name of a column of the tables; rename it in the codebook"
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
