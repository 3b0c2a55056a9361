"""Cells of CSV tables, of which a spreadsheet runs none."""

from __future__ import annotations

RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet may run as a formula. Some read the full-width signs as the plain ones."""


def cell(value: object) -> object:
    """Return a value as a cell: a list joined, ``true`` or ``false``, an apostrophe before what :data:`RUNS` begins."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        value = ";".join(value)
    return f"'{value}" if isinstance(value, str) and value.startswith(RUNS) else value
