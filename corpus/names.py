"""Names that stand in an English text: persons, bodies and acronyms, and which of them a shorter form means.

No model and no list of the world's names: capitals, titles, roles and brackets decide, so that an invented person is found
as well as a famous one. What is not plain is not found.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from corpus.acronyms import find_expansions, letters
from corpus.capitals import POSSESSIVE, Capitals, Token, Words, tokens, words
from corpus.lexicon import BODIES, COMPLEMENTS, HONORIFICS, IMPERSONAL, OPENERS, ROLES, TITLES, gender

_PLACE = frozenset({"in", "across", "inside", "outside", "near", "throughout", "within"})
_CAMEL = re.compile(r"(?<!^Mc)(?<!^Mac)(?<=[a-z])[A-Z]")
_CLAUSE = 80  # characters in which a role belongs to a name
_CLAUSE_BREAK = re.compile(r"[.;!?\n(]\s")
_CLAUSE_END = re.compile(r"[,.;()\n]")
_ROLE = r"(?P<role>(?:[\w'’-]+\s){0,6}?[\w-]*?(?:" + "|".join(sorted(ROLES, key=len, reverse=True)) + "))"
_FOLLOWED_BY_ROLE = re.compile(
    r"\s?[,(]\s?(?!(?:who|whose|which|where|when|and|but|as)\b)(?:(?:an?|the|its|his|her|their|then)\s)?"
    + _ROLE
    + r"(?=\s?[,.;)]|\s(?:of|for|at|to|from|in|with|on|and|who|based)\b)",
    re.IGNORECASE,
)
_PRECEDED_BY_ROLE = re.compile(rf"(?:^|[\s(]){_ROLE}(?:\s(?:of|for|at|on|in|to)\s[^.;,()]{{1,60}})?,\s$", re.IGNORECASE)
_BELONGS = re.compile(r",? who\b|\s(?:of|from|at)\s(?:the\s)?[^\W\d_a-z]")


@dataclass(slots=True)
class Person:
    """A person whose name of two words or more stands in the text.

    ``sure`` where a title, a role or an affiliation stands beside the name, which otherwise has only the form of one;
    ``role`` has the words that say what the person is, ``places`` the offsets at which name or surname stand, in order.
    """

    name: str
    words: Words
    sure: bool = False
    role: set[str] = field(default_factory=set)
    gender: str | None = None
    places: list[int] = field(default_factory=list)

    def same(self, other: Words) -> bool:
        """Say whether a name of two words or more is a shorter or a longer form of this one."""
        short, long = sorted((self.words, other), key=len)
        return long[-len(short) :] == short or long[: len(short)] == short or (short[0], short[-1]) == (long[0], long[-1])


@dataclass(frozen=True, slots=True)
class Body:
    """A body's name in the text: ``head`` has its words up to the first "of" or "for", ``words`` all of them."""

    name: str
    words: Words
    head: Words
    start: int

    def shortened(self, short: Words) -> bool:
        """Say whether a shorter form may mean this body: the Chamber, the Global Initiative."""
        n = len(short)
        if not short or short[-1] not in BODIES or len(self.words) <= n:
            return False
        return self.head[-n:] == short or (self.head[:n] == short and not COMPLEMENTS.isdisjoint(self.head[n : n + 1]))


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one document. Those of its title and its publisher stand before all of the text, at offset -1.

    ``capitals`` has the folded words that have a capital where no sentence begins, ``places`` those that stand where places
    do ("in Paris").
    """

    persons: tuple[Person, ...]
    bodies: tuple[Body, ...]
    expansions: Mapping[str, tuple[str, ...]]
    tokens: tuple[Token, ...]
    capitals: frozenset[str]
    places: frozenset[str]

    def person(self, short: Words, *, titled: bool = False) -> Person | None:
        """Return the one person whom a surname, or another part of the name, means; None for nobody and for several.

        A first name alone counts only after a title, as in "President Xi".
        """
        if not short or (len(short) == 1 and short[0] in self.places and not titled):
            return None
        found = [p for p in self.persons if _means(short, p, titled=titled)]
        return found[0] if len(found) == 1 else None

    def body(self, short: Words, *, before: int | None = None) -> str | None:
        """Return the one body whose longer name the short form begins or ends; None for none and for several.

        ``before`` leaves out names that stand at this offset or behind it.
        """
        found = [b for b in self.bodies if (before is None or b.start < before) and b.shortened(short)]
        forms = Counter(b.words for b in found)
        longest = max(forms, key=len, default=())
        if any(form not in (longest[: len(form)], longest[-len(form) :]) for form in forms):
            return None
        commonest = max(forms, key=lambda form: forms[form], default=None)
        return next((b.name for b in found if b.words == commonest), None)

    def expansion(self, acronym: str) -> str | None:
        """Return the one name that an acronym stands for; None for none and for several."""
        found = self.expansions.get(letters(acronym), ())
        return found[0] if len(found) == 1 else None

    def between(self, start: int, end: int) -> Iterator[Token]:
        """Yield the words that begin in a stretch of the text."""
        for i in range(bisect_left(self.tokens, start, key=lambda t: t.start), len(self.tokens)):
            if self.tokens[i].start >= end:
                return
            yield self.tokens[i]


def find_names(text: str, *, title: str | None = None, publisher: str | None = None) -> Names:
    """Find the names of a document in its text, its title and its publisher's name, in time linear in their length."""
    own = Capitals(text)
    outside = [Capitals(title)] if title else []
    named = [Capitals(publisher, headlines=True)] if publisher else []
    capitals: set[str] = set()
    placed: set[str] = set()
    for part in (own, *outside, *named):
        for run in part.runs:
            capitals.update(t.folded for t in part.tokens[run.start : run.stop] if part.headlines or not t.opens)
            if _is_placed(part, run):
                placed.update(part.words(run))
    persons = _merge(
        person
        for part in (*named, *outside, own)
        for run in part.runs
        if (person := _person(part, run, placed, inside=part is own))
    )
    _add_surnames(persons, own.tokens)
    bodies = tuple(body for part in (*named, *outside, own) for body in _bodies(part, inside=part is own))
    expansions = find_expansions((*named, *outside, own))
    return Names(tuple(persons), bodies, expansions, own.tokens, frozenset(capitals), frozenset(placed))


def untitled(name: str) -> str:
    """Return a name without the titles and roles before it: ``Minister of State Maryam Al Misnad`` is Maryam Al Misnad.

    A name that is nothing but titles, or that something else follows, is returned whole.
    """
    parts = list(tokens(name))
    cut = _titles([t.folded for t in parts])
    if not cut or any(c in name for c in ",()") or not parts[cut].text[0].isupper():
        return name
    return name[parts[cut].start :]


def _titles(folded: Sequence[str]) -> int:
    """Return how many words at the head of a name are titles. One that ends the name is a surname: Stephen King."""
    cut = 0
    if folded and folded[-1] in ROLES:
        return 0
    for i, word in enumerate(folded[:-1]):
        if word in ROLES or (word in HONORIFICS and i == cut):
            cut = i + 1
        elif word == "of" and i == cut and i and folded[i + 1] == "state" and i + 2 < len(folded):
            cut = i + 2
    return cut


def _is_placed(part: Capitals, run: range) -> bool:
    """Say whether a run stands where places stand ("in Paris"), and not as in "in Bird's view"."""
    before = run.start - 1
    if before > 0 and part.tokens[before].folded == "the":
        before -= 1
    owns = POSSESSIVE.match(part.text, part.tokens[run.stop - 1].end)
    return before >= 0 and part.follows(run.start) and part.tokens[before].folded in _PLACE and owns is None


def _bodies(part: Capitals, *, inside: bool) -> Iterator[Body]:
    """Yield the runs that name a body, with the owner and the complement that belong to the name."""
    ends = {run.stop: run for run in part.runs}
    for run in part.runs:
        head = part.words(run)
        if BODIES.isdisjoint(head):
            continue
        owner = ends.get(run.start) if POSSESSIVE.fullmatch(part.gap(run.start)) else None
        start = part.tokens[(owner or run).start].start
        name = part.text[start : part.tokens[(_complement(part, run) if head[-1] in BODIES else run.stop) - 1].end]
        yield Body(name, words(name), head, start if inside else -1)


def _complement(part: Capitals, run: range) -> int:
    """Return the index behind a body's name: Chamber of Commerce, Center for Family and Human Rights."""
    stop = run.stop
    while part.follows(stop):
        word, after = part.tokens[stop].folded, stop + 1
        if word in COMPLEMENTS:
            after += part.follows(after) and part.tokens[after].folded == "the"
        elif word != "and" or stop == run.stop:
            break
        more = part.run_at.get(after)
        if more is None or not part.follows(after) or (word == "and" and not BODIES.isdisjoint(part.words(more))):
            break
        stop = more.stop
    return stop


def _person(part: Capitals, run: range, placed: set[str], *, inside: bool) -> Person | None:
    """Return the person whom a run names, or None where it has not the form of a person's name."""
    folded = part.words(run)
    cut = _titles(folded)
    before = [t.folded for t in part.tokens[max(0, run.start - 2) : run.start]] if _touches(part, run.start) else []
    titles = set(folded[:cut])
    if not cut and folded[0] == "state" and before[-1:] == ["of"]:  # Minister of State Maryam Al Misnad
        cut, titles = 1, set(TITLES.intersection(before))
    if before and before[-1] in TITLES:
        titles |= {before[-1], *_narrowing(part, run.start - 1)}
    named = part.tokens[run.start + cut : run.stop]
    name = folded[cut:]
    if not _is_personal(named, name):
        return None
    if not titles and (
        name[0] in placed
        or name[-1] in placed
        or before[-1:] == ["the"]
        or (before[-1:] in (["of"], ["for"]) and run.start > 1 and part.tokens[run.start - 2].text[0].isupper())
    ):
        return None
    start, end = named[0].start, named[-1].end
    role = titles | _apposition(part.text, start, end)
    sure = not role.isdisjoint(TITLES) or _BELONGS.match(part.text, end) is not None
    if named[0].opens and not sure and name[0].endswith(("ing", "ly")):  # Speaking, Recently
        return None
    return Person(part.text[start:end], name, sure, role, gender(role), [start if inside else -1])


def _touches(part: Capitals, i: int) -> bool:
    return part.follows(i) or (part.gap(i) == ". " and not part.tokens[i].opens)


def _narrowing(part: Capitals, i: int) -> Iterator[str]:
    """Yield the words that narrow the role at index i: "deputy public security" before "minister"."""
    for k in range(i - 1, max(-1, i - 5), -1):
        if not part.follows(k + 1) or part.tokens[k].folded in OPENERS:
            return
        yield part.tokens[k].folded


def _is_personal(named: Sequence[Token], name: Words) -> bool:
    """Say whether words have the form of a person's name: two to five, none of them at home in other names."""
    return (
        2 <= len(name) <= 5
        and IMPERSONAL.isdisjoint(name)
        and ROLES.keys().isdisjoint(name if len(name) > 2 else name[:1])
        and not any(len(t.text) > 1 and t.text.isupper() for t in named)
        and not any(c.isdigit() for t in named for c in t.text)
        and not _CAMEL.search(named[0].text)
    )


def _apposition(text: str, start: int, end: int) -> set[str]:
    """Return the words beside a name that say what the person is, none where there is no role among them."""
    found: set[str] = set()
    if match := _FOLLOWED_BY_ROLE.match(text, end):
        rest = _CLAUSE_END.search(text, match.end(), match.end() + _CLAUSE)
        found.update(words(text[match.start("role") : rest.start() if rest else match.end()]))
    if text[end : end + 1] == ",":
        clause = _CLAUSE_BREAK.split(text[max(0, start - _CLAUSE) : start])[-1]
        if match := _PRECEDED_BY_ROLE.search(clause):
            found.update(words(match.group()))
    return found


def _merge(found: Iterable[Person]) -> list[Person]:
    """Return each person once, with all that is said of her, and under the longest form of her name.

    A form that fits two persons stays apart, and so do two of different gender.
    """
    persons: list[Person] = []
    by_end: dict[str, list[Person]] = {}  # a shorter form shares the first word of a name or the last
    for person in found:
        ends = {person.words[0], person.words[-1]}
        same = {id(p): p for end in ends for p in by_end.get(end, ()) if p.same(person.words)}
        known = next(iter(same.values()), person)
        if len(same) != 1 or {known.gender, person.gender} == {"he", "she"}:
            known = person
            persons.append(person)
        for end in ends:
            if not any(p is known for p in by_end.setdefault(end, [])):
                by_end[end].append(known)
        if known is person:
            continue
        if len(person.words) > len(known.words):
            known.name, known.words = person.name, person.words
        known.gender = known.gender or person.gender
        known.sure |= person.sure
        known.role |= person.role
        known.places += person.places
    return persons


def _add_surnames(persons: Sequence[Person], found: Iterable[Token]) -> None:
    """Add the places at which a surname stands that only one person bears."""
    bearers: dict[str, list[Person]] = {}
    for person in persons:
        bearers.setdefault(person.words[-1], []).append(person)
    for token in found:
        if len(named := bearers.get(token.folded, [])) == 1 and token.text[0].isupper():
            named[0].places.append(token.start)
    for person in persons:
        person.places.sort()


def _means(short: Words, person: Person, *, titled: bool) -> bool:
    if len(short) > 1:
        return len(short) <= len(person.words) and person.same(short)
    inner = person.words[1:] if person.sure else person.words[-1:]
    return short[0] in inner or (titled and person.sure and short[0] == person.words[0])
