"""Columns that analysts bring: any table with an ``id``, ``document_id`` or ``url``, joined to labels by it."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec

from corpus.errors import RecordError, UsageError

KEYS = ("id", "document_id", "url")
"""The columns by one of which a table is joined, the first of them that it has."""

_MOST = 20  # columns; a share is estimated for each value of each


def read_columns(path: Path, *, known: Sequence[str]) -> tuple[str, dict[str, dict[str, str | None]]]:
    """Read a table of JSON Lines (plain or gzip), CSV or Parquet.

    Args:
        path: The file. The very table that was labelled will do.
        known: Columns that the labels have already; they are passed over.

    Returns:
        The name of the key, and for each further column its values by key, as text.

    Raises:
        UsageError: when there is no such file, or it has no key, nothing but known columns, or more than twenty others.
        RecordError: when it is damaged, or gives one key two values.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected a table with further columns")
    try:
        rows = _rows(path)
    except (ValueError, OSError, msgspec.MsgspecError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
        raise RecordError(
            f"{path}: expected a table in JSON Lines, CSV or Parquet, but {said}; mend or make it again"
        ) from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    key = next((k for k in KEYS if k in names), None)
    if key is None:
        raise UsageError(
            f"{path}: expected a column {', '.join(KEYS[:-1])} or {KEYS[-1]} to join by, found "
            f"{', '.join(names[:12]) or 'none'}; rename the one that holds it"
        )
    wanted = [n for n in names if n not in known and n not in KEYS]
    if not wanted or len(wanted) > _MOST:
        raise UsageError(
            f"{path}: expected 1 to {_MOST} columns that the labels do not have, found {len(wanted)}; "
            f"{'take some out' if wanted else 'add one'}"
        )
    columns: dict[str, dict[str, str | None]] = {name: {} for name in wanted}
    for number, row in enumerate(rows, start=1):
        at = _text(row.get(key))
        if at is None:
            continue
        for name, values in columns.items():
            value = _text(row.get(name))
            if values.setdefault(at, value) != value:
                raise RecordError(
                    f"{path}, row {number}: expected one value of {name!r} for {key} {at!r}, found {values[at]!r} and "
                    f"{value!r}; keep one"
                )
    return key, columns


def _rows(path: Path) -> list[Mapping[str, Any]]:
    raw = path.read_bytes()
    if raw.startswith(b"PAR1"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return list(pq.read_table(pa.BufferReader(raw)).to_pylist())
        except pa.ArrowException as error:
            raise ValueError(error) from error
    text = (gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw).decode("utf-8-sig")
    if text.lstrip().startswith("{"):
        decoder = msgspec.json.Decoder(dict[str, Any])
        return [decoder.decode(line) for line in text.split("\n") if line.strip()]
    try:
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(error) from error


def _text(value: object) -> str | None:
    """Return a cell as text, whole numbers without a point, blanks and what is no single value as None."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, int | datetime | date):
        return value.isoformat() if isinstance(value, date) else str(value)
    return (value.strip() or None) if isinstance(value, str) else None
