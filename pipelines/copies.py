"""Copies: which statements of a coverage are one opinion that several outlets carry.

A story counts once. Statements with the same words in documents of one story are one opinion; so are statements whose words
differ by less than :data:`ALIKE` there, since outlets edit. Where stories are not known, statements of eight words or more
that are the same word for word are taken as copies; shorter ones ("We welcome this.") may well be two people's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

ALIKE = 92.0
"""Similarity of two texts in one story from which they are one, in hundredths: the share of characters that both have in
order (rapidfuzz's ``ratio``, after indel distance). A changed word in a sentence of twenty leaves about 95."""

_LONG = 8  # words from which the same words are a copy though no story says so
_MOST_COMPARED = (
    400  # statements of one story that are compared with one another; a longer story is a live blog's, not a wire text
)
_SPACE = re.compile(r"\s+")
_EDGES = "\"'“”‘’«»„.,;:!?…()[] \t\n"


@dataclass(frozen=True, slots=True)
class Copies:
    """Of each statement, in their order: the number of its ``opinion``, from 0, and whether it stands for it (``first``)."""

    opinion: list[int]
    first: list[bool]


def find_copies(
    texts: Sequence[str], documents: Sequence[str], stories: Sequence[str | None], days: Sequence[str | None]
) -> Copies:
    """Find out which statements are one opinion.

    Args:
        texts: One a statement.
        documents: The id of the document in which it stands.
        stories: What near-copies of that document share; None where that is not known.
        days: When it was published, ISO 8601; None where that is not known. Of copies, the one published first stands for
            all; of these the one that comes first.
    """
    plain = [_SPACE.sub(" ", text).strip(_EDGES).casefold() for text in texts]
    keys: list[tuple[str, str]] = [
        (_place(text, document, story), text) for text, document, story in zip(plain, documents, stories, strict=True)
    ]
    same = _alike(keys, documents, stories)
    numbers: dict[tuple[str, str], int] = {}
    opinion = [numbers.setdefault(same.get(key, key), len(numbers)) for key in keys]
    standing: dict[int, int] = {}
    for i, number in enumerate(opinion):
        other = standing.get(number)
        if other is None or (days[i] or "9") < (days[other] or "9"):
            standing[number] = i
    return Copies(opinion, [standing[number] == i for i, number in enumerate(opinion)])


def _place(text: str, document: str, story: str | None) -> str:
    """Return within what the same words are one opinion: a story, everything, or a document."""
    if story is not None:
        return f"story {story}"
    return "" if text.count(" ") >= _LONG - 1 else f"document {document}"


def _alike(
    keys: Sequence[tuple[str, str]], documents: Sequence[str], stories: Sequence[str | None]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Map the text of an edited copy to the text that it is a copy of: in stories of several documents, never within one."""
    whose: dict[str, dict[str, dict[str, str]]] = defaultdict(lambda: defaultdict(dict))
    for (place, text), document, story in zip(keys, documents, stories, strict=True):
        if story is not None:
            whose[place][document].setdefault(text, text)
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for place, by_document in whose.items():
        if len(by_document) > 1 and sum(map(len, by_document.values())) <= _MOST_COMPARED:
            found |= {(place, copy): (place, text) for copy, text in _edited(list(by_document.values())).items()}
    return found


def _edited(documents: Sequence[dict[str, str]]) -> dict[str, str]:
    """Return edited copies with the earlier document's text: each text of a document is given to one copy at most."""
    from rapidfuzz import fuzz, process

    known: list[str] = list(documents[0])
    found: dict[str, str] = {}
    for texts in documents[1:]:
        taken = set(texts).intersection(known)
        fresh = []
        for text in texts:
            if text in taken:
                continue
            free = [t for t in known if t not in taken]
            best = process.extractOne(text, free, scorer=fuzz.ratio, score_cutoff=ALIKE)
            if best is None:
                fresh.append(text)
            else:
                found[text] = found.get(best[0], best[0])
                taken.add(best[0])
        known += fresh
    return found
