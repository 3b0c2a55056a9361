"""Attribution: the words of an English sentence that say whose position it reports, by verbs of saying and of position.

No parser: a subject is a name, or a noun for people, bodies or texts, that stands where a subject stands. What is not plain
is not found.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from corpus.capitals import POSSESSIVE, SPACES, Token
from corpus.lexicon import COMPLEMENTS, DATES, IMPERSONAL, OPENERS, PARTICLES
from corpus.quotations import Quotations
from corpus.verbs import (
    ADVERBS,
    AGENTS,
    BE,
    CLAUSES,
    COMMON,
    DETERMINERS,
    DO,
    FIRST,
    HAVE,
    HEADS,
    NEGATIONS,
    NEVER_BEFORE,
    NO_ADVERBS,
    NO_REPORT,
    NOBODY,
    NOT_IN_NAMES,
    NUMBERS,
    ONLY_BEFORE,
    PLAIN,
    PREPOSITIONS,
    PRONOUNS,
    REPORTING,
    SAYS,
    TEXTS,
    VAGUE,
    VERBS,
    VIEWS,
)

__all__ = ["Attribution", "Reader"]


_LONGEST_NAME = 14  # words of a subject
_LONGEST_ASIDE = 24  # words between the commas behind a name


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who is said to say or hold something, as offsets in the document.

    ``pronoun`` where the words are one; ``named`` is False where the words name nobody: "the report says", "some say".
    """

    start: int
    end: int
    pronoun: bool = False
    named: bool = True


class Reader:
    """Reads the attributions of one document, whose words, quotations and capitalised words are known."""

    def __init__(self, text: str, tokens: Sequence[Token], quotations: Quotations, capitals: frozenset[str]) -> None:
        self._text = text
        self._tokens = tokens
        self._starts = [t.start for t in tokens]
        self._quotations = quotations
        self._capitals = capitals

    def read(self, start: int, end: int) -> list[Attribution]:
        """Return the attributions in a stretch of the text, in the order in which the holders stand."""
        low, high = bisect_left(self._starts, start), bisect_left(self._starts, end)
        found: dict[tuple[int, int], Attribution] = {}
        for i in range(low, high):
            if self._quotations.at(self._tokens[i].start) is None:
                for a in self._at(i, low, high):
                    found.setdefault((a.start, a.end), a)
        return [found[key] for key in sorted(found)]

    def _at(self, i: int, low: int, high: int) -> Iterator[Attribution]:
        word = self._tokens[i].folded
        if word in VERBS and self._tokens[i].text.islower():
            yield from _some(self._subject(i, low) or self._inverted(i, low, high) or self._somebody(i, low))
        if word == "according" and i + 2 < high and self._tokens[i + 1].folded == "to":
            yield from _some(self._ahead(i + 2, high))
        if word in VIEWS and i > low:
            yield from _some(self._view(i, low, high))
        if AGENTS.fullmatch(word) and i + 2 < high and self._tokens[i + 1].folded == "by":
            yield from _some(self._ahead(i + 2, high))

    def _gap(self, i: int) -> str:
        """Return what stands before word i."""
        return self._text[self._tokens[i - 1].end if i else 0 : self._tokens[i].start]

    def _subject(self, i: int, low: int) -> Attribution | None:
        """Return the subject of the verb at index i that stands before it."""
        verb = self._tokens[i].folded
        form, j, be, do, would = VERBS[verb], i - 1, False, False, False
        follower = self._tokens[i + 1].folded if i + 1 < len(self._tokens) else ""
        while j >= low and self._gap(j + 1) in SPACES:
            word = self._tokens[j].folded
            if word == "would" and verb in ("like", "prefer", "welcome"):
                would = True
            elif word in BE:
                be = True
            elif word in DO:
                do = True
            elif word in NEGATIONS and self._tokens[i].folded in SAYS:
                return None
            elif not self._tokens[j].text.islower() or not (
                word in HAVE or word in ADVERBS or word in NEGATIONS or (word.endswith("ly") and word not in NO_ADVERBS)
            ):
                if word in DATES and j > low and self._tokens[j - 1].folded in ("on", "last", "this", "in"):
                    j -= 1
                else:
                    break
            j -= 1
        if not follower or self._gap(i + 1) not in SPACES:
            follower = "."
        if follower == NEVER_BEFORE.get(verb) or (verb in ONLY_BEFORE and follower not in ONLY_BEFORE[verb]):
            return None
        if (verb == "like" and not would) or (would and form != "base"):
            return None
        if be != (form == "ing") or j < low or (form == "past" and follower == "by") or (do and form != "base"):
            return None
        gap = self._gap(j + 1)
        if gap in SPACES:
            return self._behind(j, low, form, modal=do or would, reporting=verb in REPORTING, saying=verb in SAYS)
        if gap.strip() == ",":
            return self._before_aside(j, low)
        return None

    def _somebody(self, i: int, low: int) -> Attribution | None:
        """Return a verb that always reports as an attribution to nobody known."""
        verb = self._tokens[i]
        if verb.folded not in PLAIN or i <= low or self._tokens[i - 1].folded in NO_REPORT:
            return None
        follower = self._tokens[i + 1].folded if i + 1 < len(self._tokens) else ""
        return None if follower == NEVER_BEFORE.get(verb.folded) else Attribution(verb.start, verb.end, named=False)

    def _before_aside(self, j: int, low: int) -> Attribution | None:
        """Return the name before an aside in commas that ends with word j: "Ann Bird, its director, said"."""
        k = j
        while k > low and j - k < _LONGEST_ASIDE and self._joins(k):
            k -= 1
        if k <= low or self._gap(k).strip() not in (",", "("):
            return None
        aside = self._tokens[k : j + 1]
        if all(t.text[0].isupper() or t.folded in PARTICLES for t in aside) and 1 < len(aside) <= 5:
            return Attribution(aside[0].start, aside[-1].end)  # the head of the agency, Ann Bird, said
        opens = aside[0].folded
        turns = opens == "for" and aside[-1].folded in ("part", "one")  # the union, for its part, said
        if turns or opens in DETERMINERS or opens in ("who", "which", "speaking") or any(self._head(t) for t in aside):
            return self._behind(k - 1, low, "past")
        return None

    def _behind(
        self, j: int, low: int, form: str, *, modal: bool = False, reporting: bool = False, saying: bool = True
    ) -> Attribution | None:
        """Return the subject that ends with word j."""
        last = self._tokens[j]
        if last.folded in ("we", "i"):  # the text's own voice
            return None
        if last.folded in PRONOUNS:
            return Attribution(last.start, last.end, pronoun=True) if self._clause(j, low) else None
        if last.folded in ("who", "which"):
            if j == low or self._gap(j).strip() not in ("", ",") or self._tokens[j - 1].folded in ("who", "which"):
                return None
            return self._behind(j - 1, low, "past")
        k = j
        while k > low and j - k < _LONGEST_NAME and self._joins(k) and not self._ends(k - 1):
            k -= 1
        if not self._clause(k, low):
            return None
        if any(t.folded == "and" for t in self._tokens[k + 1 : j]):
            k = self._list(k, low)
        found = self._name(k, j, "any" if modal else form, saying=saying)
        return replace(found, named=False) if found and reporting else found  # who reports holds no position

    def _list(self, k: int, low: int) -> int:
        """Return where a list of names begins of which the last two begin with word k: "A, B and C"."""
        while k > low and self._gap(k) == ", " and self._tokens[k - 1].text[0].isupper():
            k -= 1
            while k > low and self._gap(k) in SPACES and self._tokens[k - 1].text[0].isupper():
                k -= 1
            if k > low and self._gap(k) in SPACES and self._tokens[k - 1].folded == "the":
                k -= 1
        return k

    def _clause(self, k: int, low: int) -> bool:
        """Say whether a clause begins with word k, and not one that only describes something."""
        return k <= low or not self._joins(k) or self._tokens[k - 1].folded in CLAUSES

    def _joins(self, k: int) -> bool:
        gap = self._gap(k)
        return gap in SPACES or POSSESSIVE.fullmatch(gap) is not None or (gap == ". " and not self._tokens[k].opens)

    def _ends(self, k: int) -> bool:
        """Say whether word k cannot be part of a name, so that a subject begins behind it at the latest."""
        word = self._tokens[k]
        if word.folded == "than" and k and self._tokens[k - 1].folded == "more":
            return False
        return word.folded in NOT_IN_NAMES or (word.folded in VERBS and word.text[0].islower())

    def _name(self, k: int, j: int, form: str = "", *, saying: bool = True) -> Attribution | None:
        """Return the words k to j as a holder if they have the form of one.

        ``form`` is the verb's where they are its subject, ``saying`` whether it is a verb of speaking: where sixty states
        "back" something, they vote.
        """
        if not NOBODY.isdisjoint(t.folded for t in self._tokens[k : j + 1]):
            return None
        while k < j and (
            self._tokens[k].folded in OPENERS - DETERMINERS or self._tokens[k].folded in (*ADVERBS, "and", "only", "or")
        ):
            k += 1
        core = k
        while core < j and self._tokens[core + 1].folded not in PREPOSITIONS:
            core += 1
        first = max(m for m in range(k, core + 1) if m == k or self._determines(m))
        while first > k and self._tokens[first - 1].folded in DETERMINERS:
            first -= 1  # the two
        k = first
        head = self._tokens[core]
        opening = self._tokens[k]
        if opening.text in FIRST:
            return None
        counted = opening.text[0].isdigit() or opening.folded.split("-")[0] in NUMBERS
        named = opening.folded not in VAGUE and head.folded not in TEXTS and (not counted or saying)
        if POSSESSIVE.match(self._text, self._tokens[j].end):
            return None
        if not (self._head(head) or self._capital(head) or (form in ("s", "past", "any") and k == j and self._opens(head))):
            return None
        plural = head.folded.endswith("s") or any(t.folded == "and" for t in self._tokens[k:core])
        if form == "base" and not plural and head.folded not in ("people", "police", "eff"):
            return None
        inside = self._tokens[k : j + 1]
        if not self._complements(core + 1, j):
            return None
        if any(self._quotations.at(t.start) for t in inside):
            return None
        start = self._cut(k, core)
        if start is None:
            return None
        owner = next((m for m in range(start, core) if POSSESSIVE.fullmatch(self._gap(m + 1))), None)
        if owner is not None and core - owner > 1 and _personal(self._tokens[owner + 1 : core + 1]):
            start = owner + 1  # Nepal's Shivani Basnet
        words = self._tokens[start : core + 1]
        if len(words) > 1 and words[0].folded not in DETERMINERS and _personal(words):
            return Attribution(words[0].start, words[-1].end)  # without "of the university"
        return Attribution(self._tokens[start].start, inside[-1].end, named=named)

    def _complements(self, k: int, j: int) -> bool:
        """Say whether words k to j may follow a name's head: "of the Union", "for the State Department", and no verb."""
        for m in range(k, j + 1):
            word, before = self._tokens[m], self._tokens[m - 1]
            small = before.folded in PREPOSITIONS or before.folded in ("and", "more", "than")
            joined = small or before.folded in DETERMINERS
            if word.folded in PREPOSITIONS or word.folded in ("and", "more", "than") or word.folded in PARTICLES:
                continue
            if word.folded in DETERMINERS and not small:
                return False  # "delivered the …"
            if word.text[0].isupper() and not (joined or before.text[0].isupper() or before.folded in PARTICLES):
                return False  # "of 2022 New Delhi"
            if word.text.islower() and before.text[0].isupper() and not POSSESSIVE.fullmatch(self._gap(m)):
                return False  # "in New York handle …"
            if word.text.islower() and word.folded.endswith("ing") and small:
                return False  # "in holding"
        return True

    def _determines(self, m: int) -> bool:
        """Say whether a name begins with word m, a small determiner: "at the start the Commission"."""
        word = self._tokens[m]
        return word.text.islower() and word.folded in DETERMINERS and self._tokens[m - 1].folded != "and"

    def _cut(self, k: int, core: int) -> int | None:
        """Return where a name begins, behind its description if any ("the lawyer Larry Arroyo"); None for no plain name."""
        first = core + 1
        while first > k and (self._tokens[first - 1].text[0].isupper() or self._tokens[first - 1].folded in PARTICLES):
            first -= 1
        if first in (k, core + 1) or self._tokens[first - 1].folded in DETERMINERS | {"and"}:
            return k
        if self._head(self._tokens[first - 1]):
            return first
        return k if self._tokens[first - 1].folded in ("former", "then", "senior") else None

    def _head(self, token: Token) -> bool:
        """Say whether a word is a noun for those who hold positions, in the singular or the plural."""
        word = token.folded.rsplit("-", 1)[-1]
        singular = word[:-3] + "y" if word.endswith("ies") else word[:-1] if word.endswith("s") else word
        return word in HEADS or singular in HEADS

    def _capital(self, token: Token) -> bool:
        """Say whether a word is part of a name: its capital is no sentence's."""
        if not token.text[0].isupper() or token.folded in DATES or token.text == "I":
            return False
        return not token.opens or (token.folded not in OPENERS and token.folded in self._capitals)

    def _opens(self, token: Token) -> bool:
        """Say whether a capital word that opens a sentence, and stands nowhere else, may still be a name: "Berlin says"."""
        word = token.folded
        return token.opens and token.text[0].isupper() and word not in OPENERS and not COMMON.search(word)

    def _inverted(self, i: int, low: int, high: int) -> Attribution | None:
        """Return the subject behind a verb of saying: "…, says the Foreign Office"."""
        verb = self._tokens[i]
        if verb.folded not in SAYS or VERBS[verb.folded] == "ing" or i <= low or i + 1 >= high:
            return None
        gap = self._gap(i)
        if "," not in gap and not re.search('["”»’?!]', gap):
            return None
        return self._ahead(i + 1, high)

    def _ahead(self, k: int, high: int) -> Attribution | None:
        """Return the name that begins with word k."""
        first = self._tokens[k]
        if k >= high or self._gap(k) not in SPACES:
            return None
        if first.folded in ("he", "she", "they", "him", "her", "them"):
            return Attribution(first.start, first.end, pronoun=True)
        j = k
        while j + 1 < high and j - k < _LONGEST_NAME and self._joins(j + 1) and not self._stops(j + 1):
            j += 1
        if j + 1 < high and self._joins(j + 1) and VERBS.get(self._tokens[j + 1].text) == "base":
            return None  # "according to a ministry comment"
        while j > k and (self._tokens[j].folded in PREPOSITIONS or self._tokens[j].folded in ("and", "the", "a")):
            j -= 1
        return self._name(k, j)

    def _stops(self, j: int) -> bool:
        word = self._tokens[j]
        if word.folded in COMPLEMENTS and j + 1 < len(self._tokens) and self._tokens[j + 1].text[0].isupper():
            return False  # the Office on Drugs and Crime
        return self._ends(j) or word.folded in PREPOSITIONS - {"of", "for"} or word.folded in DATES or word.text in ADVERBS

    def _view(self, i: int, low: int, high: int) -> Attribution | None:
        """Return whose view it is: "in the Commission's view", "in the view of the Commission"."""
        before = self._tokens[i - 1]
        if POSSESSIVE.fullmatch(self._gap(i)):
            k = i - 1
            while k > low and self._gap(k) in SPACES and self._tokens[k - 1].folded not in ("in", "on", "to", "from", "by"):
                k -= 1
                if i - k > _LONGEST_NAME:
                    return None
            if k == low or self._gap(k) not in SPACES:
                return None
            return self._owner(k, i - 1)
        if before.folded == "the" and i + 2 < high and self._tokens[i + 1].folded == "of":
            return self._ahead(i + 2, high)
        return None

    def _owner(self, k: int, j: int) -> Attribution | None:
        head = self._tokens[j]
        if any(self._ends(m) for m in range(k, j + 1)) or not (self._head(head) or self._capital(head)):
            return None
        return Attribution(self._tokens[k].start, head.end)


def _personal(named: Sequence[Token]) -> bool:
    """Say whether capitalised words have the form of a person's name."""
    folded = {t.folded for t in named}
    return (
        len(named) <= 5
        and IMPERSONAL.isdisjoint(folded)
        and all(t.text[0].isupper() or t.folded in PARTICLES for t in named)
        and not any(len(t.text) > 1 and t.text.isupper() for t in named)
    )


def _some(found: Attribution | None) -> Iterator[Attribution]:
    if found is not None:
        yield found
