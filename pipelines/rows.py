"""Rows of the tables that are labelled: whatever a cell holds becomes text, or the reason why it cannot."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from corpus.identity import normalise

COLUMNS = ("id", "text", "title", "published", "publisher", "url", "holder", "holder_type", "voice")
"""The columns of a table that mean something to the label job; all but ``text`` are optional."""


@dataclass(frozen=True, slots=True)
class InputRow:
    r"""One row of a table. Where ``reason`` is set the row is invalid and ``text`` is None.

    ``source`` names file and line (or row) for messages. ``text`` is in the stored form: NFC, line ends ``\n``.
    """

    source: str
    id: str | None = None
    text: str | None = None
    title: str | None = None
    published: str | None = None
    publisher: str | None = None
    url: str | None = None
    holder: str | None = None
    holder_type: str | None = None
    voice: str | None = None
    reason: str | None = None


def to_row(where: str, values: Mapping[str, object], *, longest: int) -> InputRow:
    """Make a row of a table's values; a fault of the text, or else of another field, becomes the row's reason.

    ``where`` names file and line; ``longest`` is the greatest length of the text in characters.
    """
    text, reason = _text(values.get("text"), longest)
    fields: dict[str, str | None] = {}
    for name in COLUMNS:
        if name != "text":
            fields[name], fault = _optional(name, values.get(name))
            reason = reason or fault
    return InputRow(source=where, text=None if reason else text, reason=reason, **fields)


def _text(value: object, longest: int) -> tuple[str | None, str | None]:
    value = _present(value)
    if value is None:
        return None, "text is missing"
    if not isinstance(value, str):
        return None, f"text is {kind_of(value)}, expected text"
    fault = _character_fault("text", value)
    if fault:
        return None, fault
    if not any(not c.isspace() and unicodedata.category(c) not in ("Cc", "Cf") for c in value):
        return None, "text is empty"
    value = normalise(value)
    if len(value) > longest:
        return None, f"text is longer than {longest:,} characters"
    return value, None


def _optional(name: str, value: object) -> tuple[str | None, str | None]:
    """Return an optional field as text, and what is wrong with it. Numbers and dates become text, blanks None."""
    value = _present(value)
    if isinstance(value, bool):
        return None, f"{name} is {kind_of(value)}, expected text"
    if isinstance(value, datetime):
        midnight = value.tzinfo is None and (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return (value.date() if midnight else value).isoformat(), None
    if isinstance(value, date):
        return value.isoformat(), None
    if isinstance(value, float):
        # A column of whole numbers with gaps is one of floats in many tables: 12.0 was 12.
        return (str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)), None
    if isinstance(value, (int, Decimal)):
        return str(value), None
    if value is None or (isinstance(value, str) and not value.strip()):
        return None, None
    if not isinstance(value, str):
        return None, f"{name} is {kind_of(value)}, expected text"
    fault = _character_fault(name, value)
    return (None, fault) if fault else (normalise(value), None)


def _present(value: object) -> object:
    """Return None for the number that stands for a missing value, and text for bytes that are text.

    Several Parquet writers do not mark their columns of text as text.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError as error:
            return error
    return value


def _character_fault(name: str, value: str) -> str | None:
    if "\0" in value:
        return f"{name} has a NUL character"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return f"{name} has half of a surrogate pair, which is no character"
    return None


def kind_of(value: object) -> str:
    """Return what a value is, in words for a reason: ``a number``, ``a list``."""
    if isinstance(value, bool):
        return "true or false"
    for types, words in (
        ((int, float, Decimal), "a number"),
        (str, "a text"),
        (list, "a list"),
        (dict, "an object"),
        (UnicodeDecodeError, "not UTF-8"),
        (date, "a date"),
    ):
        if isinstance(value, types):
            return words
    return "null" if value is None else "a value that cannot be read"
