"""Quotations: which stretches of a document stand between quotation marks."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Quotation", "Quotations", "find_quotations"]

_MARKS = re.compile('["“”„«»‘’]')
_CLOSERS = {'"': '"', "“": "”", "„": "“”", "«": "»", "»": "«", "‘": "’"}


@dataclass(frozen=True, slots=True)
class Quotation:
    """A quotation's offsets, marks included. ``closed`` is False where its paragraph ends before it does."""

    start: int
    end: int
    closed: bool


@dataclass(frozen=True)
class Quotations:
    """A document's quotations in order; none overlaps another. A quotation within a quotation is part of it."""

    found: tuple[Quotation, ...]

    def at(self, offset: int) -> Quotation | None:
        """Return the quotation in which an offset lies, its marks included."""
        i = bisect_right(self.found, offset, key=lambda q: q.start) - 1
        return self.found[i] if i >= 0 and offset < self.found[i].end else None

    def within(self, start: int, end: int) -> tuple[Quotation, ...]:
        """Return the quotations that share a character with a stretch of the text."""
        first = max(0, bisect_right(self.found, start, key=lambda q: q.start) - 1)
        last = bisect_right(self.found, end - 1, key=lambda q: q.start)
        return tuple(q for q in self.found[first:last] if q.end > start)


def find_quotations(text: str, paragraphs: Iterable[tuple[int, int]]) -> Quotations:
    """Find the quotations of each paragraph, given as offsets in order, in time linear in the text's length.

    Marks are ``"…"``, ``“…”``, ``„…“``, ``«…»`` and, at a word's edge, ``‘…’``. Straight single marks are apostrophes as
    often as not, and are passed over. A mark that is never closed quotes up to the end of its paragraph.
    """
    found: list[Quotation] = []
    for start, end in paragraphs:
        opened, mark = -1, ""
        for match in _MARKS.finditer(text, start, end):
            at, sign = match.start(), match.group()
            if opened < 0:
                if _opens(sign, text, at, start):
                    opened, mark = at, sign
            elif sign in _CLOSERS[mark] and not (sign == "’" and text[at + 1 : at + 2].isalnum()):
                found.append(Quotation(opened, at + 1, True))
                opened = -1
        if opened >= 0:
            found.append(Quotation(opened, end, False))
    return Quotations(tuple(found))


def _opens(sign: str, text: str, at: int, start: int) -> bool:
    """Say whether a mark can begin a quotation: closing ones cannot, single ones and feet and inches not behind a word."""
    if sign in "”’»":
        return False
    return sign in "“„«" or at == start or not text[at - 1].isalnum()
