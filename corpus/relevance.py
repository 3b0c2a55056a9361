"""Relevance: whether a text is about the target, by the names that the workspace gives it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

from corpus.errors import UsageError
from corpus.language import UNSPACED, WORD

LEAD_SHARE = 0.2  # the opening of a report says what it is about; the rest may bring in anything
LEAD_LEAST, LEAD_MOST = 100, 250  # words: three paragraphs of a short report, the first page of a long one
_LONGEST_ABBREVIATION = 6  # letters: UNODC, UNCAC; longer words in capitals are shouted, not abbreviated

_FOLDED = {
    **dict.fromkeys("‘’ʼʹ′`´＇", "'"), **dict.fromkeys("“”„‟″", '"'), **dict.fromkeys("‐‑‒–−﹣－", "-"),
    **dict.fromkeys("\u00ad\u200b\u200c\u200d\u2060\ufeff", ""),
}  # fmt: skip
_SPACE = re.compile(r"\s+")


class Aliases:
    """The names of a target, compiled once into one pattern.

    A name stands in a text where its words stand there whole, in any case, parted by white space of any kind and length;
    typographic and plain apostrophes and hyphens are equal, as are the compatibility forms of letters (NFKC). A name of up
    to six letters, all capitals, must stand in capitals: UN is not un. Chinese, Japanese, Thai and other scripts that set
    no spaces have no word borders; Korean names may bear a particle.
    """

    def __init__(self, aliases: Sequence[str]) -> None:
        """Compile the names.

        Raises:
            UsageError: when there is none, or one has neither letter nor digit.
        """
        names = [_folded(alias).strip() for alias in aliases]
        for alias, name in zip(aliases, names, strict=True):
            if not any(map(str.isalnum, name)):
                raise UsageError(f"aliases: expected names with letters, found {alias!r}; remove it")
        if not names:
            raise UsageError("aliases: expected the names of the target, found none; give at least one")
        self._pattern = re.compile(_pattern(sorted(set(names))))

    def relevance(self, title: str | None, text: str) -> str | None:
        """Return ``lead`` where a name stands in the title or the lead, ``passing`` where it stands later, else None.

        The lead is the first fifth of the words, at least 100 and at most 250 of them: what a report opens with is what it
        is about, yet a short report has no later part, and nobody reads ten pages of opening.
        """
        if title and self._pattern.search(_folded(title)):
            return "lead"
        folded = _folded(text)
        found = self._pattern.search(folded)
        if found is None:
            return None
        return "lead" if found.start() < _lead_end(folded) else "passing"


def _lead_end(text: str) -> int:
    """Return the offset at which the lead ends."""
    least = LEAD_MOST / LEAD_SHARE  # beyond so many words the lead is as long as it gets
    words = [match.end() for match in islice(WORD.finditer(text), int(least))]
    lead = min(LEAD_MOST, max(LEAD_LEAST, -(-len(words) * LEAD_SHARE // 1)))
    return words[int(lead) - 1] if len(words) >= lead else len(text)


def _folded(text: str) -> str:
    text = unicodedata.normalize("NFKC", text)
    for char in _FOLDED.keys() & set(text):
        text = text.replace(char, _FOLDED[char])
    return text


def _is_abbreviation(name: str) -> bool:
    letters = [char for char in name if char.isalpha()]
    return 1 < len(letters) <= _LONGEST_ABBREVIATION and all(char.isupper() for char in letters)


def _pattern(names: Sequence[str]) -> str:
    """Return one pattern for all names: a set of first letters, which is looked for fast, then what follows each."""
    inner = rf"(?:[^\W_{UNSPACED}]|[{_marks()}])"  # what belongs to a word, in the scripts that part their words
    starts: set[str] = set()
    branches: dict[tuple[bool, bool], list[str]] = {}
    for name in names:
        exact = _is_abbreviation(name)
        first = {name[0]} if exact else {name[0], *(c for c in (name[0].lower(), name[0].upper()) if len(c) == 1)}
        starts |= first
        rest = r"\s+".join(re.escape(word) for word in _SPACE.split(name[1:]))
        bordered = not re.match(f"[{UNSPACED}]", name), not re.search(rf"[{UNSPACED}\uac00-\ud7a3]$", name)
        here = f"(?<=[{_set(first)}])"
        branches.setdefault(bordered, []).append(here + (rest if exact else f"(?i:{rest})"))
    groups = [
        rf"(?:(?<!{inner}[\s\S])" * before + "(?:" + "|".join(part) + ")" + f"(?!{inner})" * after + ")" * before
        for (before, after), part in sorted(branches.items())
    ]
    return f"[{_set(starts)}](?:{'|'.join(groups)})"


def _set(characters: set[str]) -> str:
    return "".join(re.escape(char) for char in sorted(characters))


@lru_cache(maxsize=1)
def _marks() -> str:
    r"""Return the combining marks of the scripts that part their words, as the inside of a character class.

    ``\w`` leaves them out, though a vowel sign belongs to its word.
    """
    unspaced = re.compile(f"[{UNSPACED}]")
    ranges: list[list[int]] = []
    for code in range(0x300, 0x1E000):
        if unicodedata.category(chr(code)) in ("Mn", "Mc") and not unspaced.match(chr(code)):
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(rf"\U{a:08x}-\U{b:08x}" for a, b in ranges)
