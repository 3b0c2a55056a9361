"""Columns that analysts bring: any table with an ``id``, ``document_id`` or ``url``, joined to labels by it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

from corpus.errors import RecordError, UsageError
from pipelines.forms import records
from pipelines.inputs import Source

KEYS = ("id", "document_id", "url")
"""The columns by one of which a table is joined, the first of them that it has."""

_MOST = 20  # columns; a share is estimated for each value of each


def read_columns(path: Path, *, known: Sequence[str]) -> tuple[str, dict[str, dict[str, str | None]]]:
    """Read a table of JSON Lines, CSV or Parquet, plain or packed.

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
    rows = _rows(path)
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
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
    for where, row in rows.items():
        at = _text(row.get(key))
        if at is None:
            continue
        for name, values in columns.items():
            value = _text(row.get(name))
            if values.setdefault(at, value) != value:
                raise RecordError(
                    f"{where}: expected one value of {name!r} for {key} {at!r}, found {values[at]!r} and {value!r}; keep one"
                )
    return key, columns


def _rows(path: Path) -> dict[str, Mapping[str, object]]:
    """Return a table's rows by where they stand."""
    rows: dict[str, Mapping[str, object]] = {}
    for where, row in records(Source(name=str(path), kind="table", path=path), columns=None):
        if isinstance(row, str):
            raise RecordError(f"{where}: expected a row of the table, but {row}; mend or remove it")
        odd = next((name for name, value in row.items() if isinstance(value, Exception)), None)
        if odd is not None:
            raise RecordError(f"{where}: expected a value of {odd!r} that can be read, but {row[odd]}; mend or remove it")
        rows[where] = row
    return rows


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
