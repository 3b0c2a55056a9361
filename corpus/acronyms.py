"""Acronyms and the names that a text spells them out with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from corpus.capitals import Capitals, Token, fold
from corpus.lexicon import JOINTS

_BRACKETED = re.compile(r"\(([^()]{2,80})\)")
_QUOTES = re.compile(r"[\"“”„«»'‘’]")
_CLAUSE_BREAK = re.compile(r"[.;!?\n(]\s")
_LONGEST = 12  # letters; longer words in capitals are shouting
_REACH = 200  # characters before a bracket in which the name is looked for
_RUNS = 6  # of capitalised words that one name may have: Office of the High Commissioner for Human Rights has three


def is_acronym(word: str) -> bool:
    """Say whether a word looks like an acronym: two capitals or more, which are half of its letters (C-Fam, UNODC)."""
    found = [c for c in word if c.isalpha()]
    capitals = sum(c.isupper() for c in found)
    return capitals >= 2 and capitals * 2 >= len(found) and len(found) <= _LONGEST and " " not in word


def letters(acronym: str) -> str:
    """Return what spellings of an acronym share: its letters and digits, folded."""
    return "".join(c for c in fold(acronym) if c.isalnum())


def find_expansions(texts: Iterable[Capitals]) -> Mapping[str, tuple[str, ...]]:
    """Return the names that may stand behind each acronym, by its letters.

    A name next to the acronym in brackets settles it. Otherwise any name counts whose initials are the acronym's letters;
    for two letters, only one that "the" stands before (the European Union).
    """
    defined: dict[str, dict[str, str]] = {}
    spelled: dict[str, dict[str, str]] = {}
    for text in texts:
        for found, pairs in ((defined, _definitions(text.text)), (spelled, _initials(text))):
            for acronym, name in pairs:
                found.setdefault(acronym, {}).setdefault(fold(name), name)
    return {acronym: tuple(names.values()) for acronym, names in (spelled | defined).items()}


def _definitions(text: str) -> Iterator[tuple[str, str]]:
    for match in _BRACKETED.finditer(text):
        inner = _QUOTES.sub("", re.split("[,;]", match.group(1))[0]).strip()
        before = _CLAUSE_BREAK.split(text[max(0, match.start() - _REACH) : match.start()])[-1].split()
        if is_acronym(inner):
            # as many words as Schwartz & Hearst allow
            name = long_form(inner, " ".join(before[-min(len(inner) + 5, len(inner) * 2) :]))
            acronym = inner
        else:
            acronym = before[-1] if before else ""
            name = long_form(acronym, inner) if is_acronym(acronym) else None
            name = inner if name == inner else None
        if name and name[0].isupper():
            yield letters(acronym), name


def long_form(acronym: str, candidate: str) -> str | None:
    """Return the end of the candidate that an acronym abbreviates, or None (Schwartz & Hearst 2003, figure 1).

    From the right, each letter of the acronym must occur in the candidate, and the first one at the beginning of a word.
    """
    at = len(candidate)
    for i in range(len(acronym) - 1, -1, -1):
        letter = acronym[i].casefold()
        if not letter.isalnum():
            continue
        at -= 1
        while at >= 0 and (candidate[at].casefold() != letter or (i == 0 and at > 0 and candidate[at - 1].isalnum())):
            at -= 1
        if at < 0:
            return None
    return candidate[candidate.rfind(" ", 0, at + 1) + 1 :]


def _initials(text: Capitals) -> Iterator[tuple[str, str]]:
    """Yield the names that one run makes up, or several with small words between them, by their initials."""
    for first, run in enumerate(text.runs):
        after_the = text.follows(run.start) and text.tokens[run.start - 1].folded == "the"
        stop = run.start
        for later in text.runs[first : first + _RUNS]:
            joints = range(stop, later.start)
            if later is not run and (not joints or any(text.tokens[k].folded not in JOINTS for k in joints)):
                break
            if later is not run and not all(text.follows(k) for k in range(stop, later.start + 1)):
                break
            stop = later.stop
            name = text.tokens[run.start : stop]
            for counted in ([t for t in name if t.text[0].isupper()], name):
                initials = "".join(map(_initial, counted))
                if len(counted) > 1 and (len(initials) > 2 or after_the):
                    yield initials, text.text[name[0].start : name[-1].end]


def _initial(token: Token) -> str:
    """Return what a word gives to an acronym: all of UN in the UN Office on Drugs and Crime."""
    return letters(token.text) if token.text.isupper() else token.folded[0]
