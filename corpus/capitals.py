"""Capitals: an English text as words, and the runs of capitalised words in it that may be names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from corpus.lexicon import DATES, HONORIFICS, JOINTS, OPENERS, PARTICLES

Words = tuple[str, ...]
"""A name for comparison: its words, folded."""

SPACES = (" ", "\u00a0")
POSSESSIVE = re.compile(r"['’]s? ")
"""What stands between an owner and what it owns, the first letter of the latter excepted."""

_OWNER = ("'s", "’s")
_TOKEN = re.compile(r"(?:[^\W\d_]\.){2,}|\w+(?:[-'’&]\w+)*")
_OPENING = re.compile(r"[.!?…:;\n\"“”„«»(\[]")
_UNCOMPOSED = str.maketrans("đłøıðĐŁØ", "dloiddlo")  # letters with a stroke, which Unicode does not take apart


class Token(NamedTuple):
    """A word without a possessive ending, where it stands, and whether a sentence, quotation or bracket opens with it."""

    start: int
    end: int
    text: str
    folded: str
    opens: bool


def fold(text: str) -> str:
    """Return text for comparison: without accents, case folded."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.translate(_UNCOMPOSED))
    return "".join(c for c in plain if not unicodedata.combining(c)).casefold()


def words(name: str) -> Words:
    """Return a name's words for comparison."""
    return tuple(token.folded for token in tokens(name))


def tokens(text: str) -> Iterator[Token]:
    """Yield the words of a text in order. ``U.S.`` is one word, and so are ``Hogan-Burney`` and ``O'Neill``."""
    end, folded = 0, ""
    for match in _TOKEN.finditer(text):
        word, start = match.group(), match.start()
        if word[-2:] in _OWNER:
            word = word[:-2]
        gap = text[end:start]
        opens = not end or (gap != " " and _OPENING.search(gap) is not None)
        if opens and gap == ". " and (len(folded) == 1 or folded in HONORIFICS):
            opens = False
        end, folded = start + len(word), fold(word)
        yield Token(start, end, word, folded, opens)


class Capitals:
    """A text's words, and its runs of capitalised words as ranges of their indices.

    Small words such as "van" and "al" may stand inside a run. Words that merely open a sentence ("However") begin none.
    Lines in which every longer word has a capital are headlines: where a name ends in them cannot be told, so they have
    no runs, unless ``headlines`` says that the text is a name itself.
    """

    def __init__(self, text: str, *, headlines: bool = False) -> None:
        self.text = text
        self.tokens = tuple(tokens(text))
        self.headlines = headlines
        self.runs = tuple(self._runs())
        self.run_at = {run.start: run for run in self.runs}

    def gap(self, i: int) -> str:
        """Return what stands before word i; a line's end before the first word and behind the last."""
        if not 0 < i < len(self.tokens):
            return "\n"
        return self.text[self.tokens[i - 1].end : self.tokens[i].start]

    def follows(self, i: int) -> bool:
        """Say whether nothing but a space stands before word i."""
        return self.gap(i) in SPACES

    def words(self, run: range) -> Words:
        """Return a run's words, folded."""
        return tuple(t.folded for t in self.tokens[run.start : run.stop])

    def capital(self, i: int) -> bool:
        """Say whether word i has a capital that may be a name's."""
        token = self.tokens[i]
        return token.text[0].isupper() and token.folded not in DATES and token.text not in ("I", "The")

    def _runs(self) -> Iterator[range]:
        prose = [True] * len(self.tokens) if self.headlines else self._prose()
        i = 0
        while i < len(self.tokens):
            token = self.tokens[i]
            if not prose[i] or not self.capital(i) or (token.opens and token.folded in OPENERS):
                i += 1
                continue
            stop = i + 1
            while (ahead := self._next(stop)) is not None:
                stop = ahead + 1
            yield range(i, stop)
            i = stop

    def _next(self, i: int) -> int | None:
        """Return the next capitalised word of a run that has reached word i, or None where it ends."""
        while self._adjoins(i) and self.tokens[i].text in PARTICLES:
            i += 1
        return i if self._adjoins(i) and self.capital(i) else None

    def _adjoins(self, i: int) -> bool:
        return self.follows(i) or (self.gap(i) == ". " and not self.tokens[i].opens)

    def _prose(self) -> list[bool]:
        """Say of each word whether its line has a longer word in small letters, as no headline has."""
        prose: list[bool] = []
        first = 0
        for i in range(1, len(self.tokens) + 1):
            if "\n" in self.gap(i):
                prose += [_has_small(self.tokens[first:i])] * (i - first)
                first = i
        return prose


def _has_small(line: Sequence[Token]) -> bool:
    return any(t.text[0].islower() and len(t.text) > 3 and t.folded not in JOINTS for t in line)
