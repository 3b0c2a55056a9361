"""The column ``holder_name``: each row's holder by the fuller name that its document gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from corpus.holders import Mention, resolve_holders

_BLANK_LINE = "\n\n"
MOST = 500
"""Rows read together where only their own texts are known; more under one address are seldom one document."""


def name_holders(
    rows: Sequence[Mapping[str, object]], wholes: Sequence[str], starts: Mapping[int, int], *, nobody: str | None = None
) -> list[dict[str, object]]:
    """Return the rows with the column ``holder_name``: the holder itself where nothing fuller is found, null without one.

    Args:
        rows: The output's rows in order, with ``document_id``, ``start``, ``text``, ``title``, ``publisher``, ``holder`` and
            ``holder_type``.
        wholes: The whole document of each row, or an empty text where only the row's own text is known. Rows of the latter
            sort that follow each other and are of one document are read together, in their order.
        starts: For rows by number, where the holder was found in the row's text. For others it is looked for there; one that
            is not in the text counts as standing before it.
        nobody: The holder type that stands for no holder, and so says nothing of what sort one is.
    """
    names = [row.get("holder") for row in rows]
    for group in _groups(rows, wholes):
        held = [i for i in group if names[i] is not None and rows[i].get("text") is not None]
        if not held:
            continue
        text, places = _document(group, rows, wholes)
        mentions = [_mention(rows[i], places[i], starts.get(i), nobody) for i in held]
        first = rows[held[0]]
        resolved = resolve_holders(text, mentions, title=_text(first.get("title")), publisher=_text(first.get("publisher")))
        for i, found in zip(held, resolved, strict=True):
            names[i] = found.name
    return [{**row, "holder_name": name} for row, name in zip(rows, names, strict=True)]


def _groups(rows: Sequence[Mapping[str, object]], wholes: Sequence[str]) -> Iterator[list[int]]:
    """Yield the numbers of neighbouring rows of one document."""
    for (document, whole), numbers in groupby(range(len(rows)), lambda i: (rows[i].get("document_id"), bool(wholes[i]))):
        group = list(numbers)
        size = len(group) if whole else MOST if document is not None else 1
        yield from (group[at : at + size] for at in range(0, len(group), size))


def _document(
    group: Sequence[int], rows: Sequence[Mapping[str, object]], wholes: Sequence[str]
) -> tuple[str, dict[int, int]]:
    """Return the text that a group's rows share, and where in it each row's own text starts."""
    if wholes[group[0]]:
        return wholes[group[0]], {i: int(str(rows[i].get("start") or 0)) for i in group}
    places, parts, end = {}, [], 0
    for i in group:
        places[i] = end
        if (text := _text(rows[i].get("text"))) is not None:
            parts.append(text)
            end += len(text) + len(_BLANK_LINE)
    return _BLANK_LINE.join(parts), places


def _mention(row: Mapping[str, object], place: int, start: int | None, nobody: str | None) -> Mention:
    holder, text = str(row["holder"]), str(row["text"])
    if start is None or not text.startswith(holder, start):
        start = max(0, text.find(holder))
    kind = _text(row.get("holder_type"))
    return Mention(holder, place + start, None if kind == nobody else kind)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
