"""Holders: who is meant by a pronoun, a surname, an acronym or a description, by the fuller name that the document gives."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from corpus.acronyms import is_acronym
from corpus.capitals import Token, Words, fold, tokens, words
from corpus.lexicon import (
    BODIES,
    COMPLEMENTS,
    DATES,
    GENERIC,
    JOINTS,
    OPENERS,
    PARTICLES,
    ROLES,
    TEXTS_OWN,
    families,
    gender,
)
from corpus.names import Names, Person, find_names, untitled

__all__ = ["Mention", "Resolved", "resolve_holders"]

_ARTICLE = re.compile(r"(?:the|this|that)\s+", re.IGNORECASE)
_NOT_PLAIN = re.compile(r"['’]s\s|,|\s(?:of|for|and|or|in|from|at|who|that|which)\s", re.IGNORECASE)
_WITH_ACRONYM = re.compile(r"(?P<name>[^()]+?)\s\((?P<acronym>[^()]+)\)?")  # a span may end before the bracket does
_LIST = re.compile(r",|\sand\s")
_REACH = 500  # characters in which a pronoun looks for its name: the sentence before, or two
_BESIDE = 100  # characters around a name in which its bearer's country stands
_OTHER_GENDER = {
    **dict.fromkeys(("she", "her", "hers"), "he"),
    **dict.fromkeys(("he", "him", "his"), "she"),
}
_ACTS = re.compile(r"\s(?:[a-z]+ed|says?|told|wrote|writes?|is|was|has|had|thinks?)\b")


@dataclass(frozen=True, slots=True)
class Mention:
    """A holder as written, and where it starts in the document.

    ``kind`` is what sort of holder it is, in whatever words the caller has for it: kinds are only compared for equality.
    """

    holder: str
    start: int
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """The fuller name, and ``how`` it was found.

    ``how`` is ``as written`` (nothing fuller was found, and ``name`` is the holder itself), ``title`` (a full name, without
    the title before it), ``surname``, ``short name`` (of a body), ``acronym``, ``description`` or ``pronoun``.
    """

    name: str
    how: str


@dataclass(frozen=True, slots=True)
class _Earlier:
    """A holder further up: the name found for it, without an article, the person if it is one, and whether it is a name."""

    mention: Mention
    name: str
    words: Words
    person: Person | None
    named: bool


def resolve_holders(
    text: str, mentions: Sequence[Mention], *, title: str | None = None, publisher: str | None = None
) -> tuple[Resolved, ...]:
    """Give each holder of one document the fullest name that the document plainly gives it.

    A surname, an acronym or the short name of a body may be explained anywhere in the text, in the title or by the
    publisher's name. A pronoun or a description ("the company") means what stands before it; without kinds, only a person
    or a body with that very word in its name. Wherever two names would fit, or none, the holder stays as written.

    Args:
        text: The whole document, or as much of it as is known.
        mentions: Its holders, in any order; what stands before what is told by their offsets.
        title: The document's title.
        publisher: Who published it: on the page of an institute, the name behind "the Institute".

    Returns:
        One result a mention, in the order given.
    """
    names = find_names(text, title=title, publisher=publisher)
    resolved: dict[int, Resolved] = {}
    earlier: list[_Earlier] = []
    for i in sorted(range(len(mentions)), key=lambda i: mentions[i].start):
        mention = mentions[i]
        found, how = _resolve(text, names, mention, earlier)
        resolved[i] = Resolved(found, how) if found else Resolved(mention.holder, "as written")
        named = found is not None or _is_named(mention, names)
        name = _without_article(resolved[i].name)
        earlier.append(_Earlier(mention, name, words(name), _person_named(name, names), named))
    return tuple(resolved[i] for i in range(len(mentions)))


def _resolve(text: str, names: Names, mention: Mention, earlier: Sequence[_Earlier]) -> tuple[str | None, str]:
    """Return the fuller name, or None, and how it was found."""
    holder, folded = mention.holder, words(mention.holder)
    bare = _without_article(holder)
    short = words(bare)
    if folded in (("he",), ("she",)):
        return _he_or_she(text, names, mention, earlier), "pronoun"
    if folded == ("it",):
        return _it(names, mention, earlier), "pronoun"
    if (match := _WITH_ACRONYM.fullmatch(bare)) and is_acronym(match["acronym"]):
        return match["name"], "acronym"
    if is_acronym(bare) and (found := names.expansion(bare)):
        return found, "acronym"
    if bare == holder:
        return _named(holder, names)
    if not short or _NOT_PLAIN.search(bare):
        return None, ""
    if short[-1] in ROLES:
        return _by_role(text, names, mention, list(tokens(bare)), earlier), "description"
    if bare.split()[-1][:1].isupper():
        return names.body(short), "short name"
    if short[-1] in BODIES:
        return _by_kind(text, names, mention, short, earlier), "description"
    return None, ""


def _named(holder: str, names: Names) -> tuple[str | None, str]:
    """Resolve a holder without an article: a person's name, with or without a title, or a body's."""
    bare = untitled(holder)
    if not _is_name(bare):
        return None, ""
    short, titled = words(bare), bare != holder
    person = names.person(short, titled=titled)
    if person is not None and len(person.words) > len(short):
        return person.name, "surname"
    if titled and len(short) > 1:
        return bare, "title"
    return names.body(words(holder)), "short name"


def _by_role(text: str, names: Names, mention: Mention, said: Sequence[Token], earlier: Sequence[_Earlier]) -> str | None:
    """Return the one person before the mention who is what a description says.

    First whoever is called by these words, then by words of the same family, at last the only person there is, if the text
    does not say what that person is. The author of the text itself is somebody else, as a rule, whom no name tells.
    """
    spoken, role = {t.folded for t in said}, said[-1].folded
    kinds: dict[int, set[str]] = {}
    for e in earlier:
        if e.person and e.mention.kind:
            kinds.setdefault(id(e.person), set()).add(e.mention.kind)
    persons = [
        p
        for p in names.persons
        if p.sure
        and p.places[0] < mention.start
        and (p.gender is None or gender(spoken) in (None, p.gender))
        and (mention.kind is None or mention.kind in kinds.get(id(p), {mention.kind}))
    ]
    fitting = [p for p in persons if p.role >= spoken]
    if not fitting and role not in TEXTS_OWN:
        fitting = [p for p in persons if families([role]) & families(p.role)]
        if not fitting:
            persons += [e.person for e in earlier if e.person and _same_kind(e, mention)]
            fitting = persons[:1] if len({p.words for p in persons}) == 1 and not families(persons[0].role) else []
        fitting = [p for p in fitting if all(_is_from(t.folded, text, p) for t in said if t.text[0].isupper())]
    if len(fitting) != 1:
        return None
    last = _before(fitting[0].places, mention.start)
    return None if _another(names, last, mention.start, role, fitting[0]) else fitting[0].name


def _is_from(nation: str, text: str, person: Person) -> bool:
    """Say whether a country is named beside a person: the Israeli envoy is one whom the text brings up with Israel."""
    stem = nation[:4]
    beside = (text[max(0, place - _BESIDE) : place + _BESIDE] for place in person.places if place >= 0)
    return any(word.startswith(stem) for part in beside for word in words(part))


def _another(names: Names, start: int, end: int, role: str, person: Person) -> bool:
    """Say whether somebody else of the same role comes between: "a minister", "the Chinese minister"."""
    between = list(names.between(start, end))
    return any(
        token.folded == role
        and (before.folded in ("a", "an", "another") or (before.text[0].isupper() and before.folded not in person.words))
        for before, token in pairwise(between)
        if before.folded not in person.role
    )


def _he_or_she(text: str, names: Names, mention: Mention, earlier: Sequence[_Earlier]) -> str | None:
    """Return the one person named before in the paragraph, or else shortly before it, if nobody else can be meant."""
    pronoun, end = fold(mention.holder), mention.start
    shortly = [e for e in earlier if e.mention.start >= end - _REACH]
    last: dict[str, tuple[int, Person]] = {}
    for person in names.persons:
        meant = [e.mention for e in shortly if e.person is person]
        known = {person.gender, *(fold(m.holder) for m in meant)}.intersection(("he", "she"))
        place = max(_before(person.places, end), *(m.start for m in meant), -1)
        if place >= max(0, end - _REACH) and known <= {pronoun}:
            last[person.name] = place, person
    paragraph = text.rfind("\n", 0, end)
    near = {name: found for name, found in last.items() if found[0] > paragraph} or last
    if len(near) != 1:
        return None
    ((place, person),) = near.values()
    between = list(names.between(place, end))
    if not person.sure or any(_OTHER_GENDER.get(t.folded) == pronoun for t in between):
        return None
    return None if _someone_else(between, person) or _acts(text, between, person.words) else person.name


def _before(places: Sequence[int], end: int) -> int:
    """Return the last of some places, which are in order, before an offset; -1 for none."""
    i = bisect_left(places, end)
    return places[i - 1] if i else -1


def _someone_else(between: Sequence[Token], person: Person) -> bool:
    """Say whether words bring in a person without a name: "a minister", where the person named before is none."""
    return any(
        token.folded in ROLES
        and token.folded not in person.role
        and any(t.folded in ("a", "an", "the", "another", "one") for t in between[max(0, i - 4) : i])
        for i, token in enumerate(between)
    )


def _acts(text: str, between: Sequence[Token], name: Words) -> bool:
    """Say whether words have another name that does something: "Amnesty International agreed"."""
    return any(
        token.text[0].isupper()
        and token.folded not in OPENERS
        and token.folded not in DATES
        and token.folded not in name
        and _ACTS.match(text, token.end) is not None
        for token in between
    )


def _it(names: Names, mention: Mention, earlier: Sequence[_Earlier]) -> str | None:
    """Return the body that held the position before, if no other name stands between it and "it"."""
    if not earlier or earlier[-1].person or not earlier[-1].named or not _same_kind(earlier[-1], mention):
        return None
    end = earlier[-1].mention.start + len(earlier[-1].mention.holder)
    if mention.start - end > _REACH or any(t.text[0].isupper() and not t.opens for t in names.between(end, mention.start)):
        return None
    return earlier[-1].name


def _by_kind(text: str, names: Names, mention: Mention, said: Words, earlier: Sequence[_Earlier]) -> str | None:
    """Return the body before the mention whose name ends in the word, or that is the only holder of this kind so far."""
    by_head = names.body(said, before=mention.start)
    if by_head and said[-1] in GENERIC and not any(set(words(by_head)) <= set(e.words) for e in earlier):
        by_head = None
    held = [e for e in earlier if e.named and not e.person and _same_kind(e, mention)]
    by_kind = held[-1] if len({e.words for e in held}) == 1 else None
    if by_head:
        return by_head if by_kind is None or by_kind.words[-len(words(by_head)) :] == words(by_head) else None
    if by_kind is None:
        return None
    between = list(names.between(by_kind.mention.start, mention.start))
    surname = len(by_kind.words) == 1 and not is_acronym(by_kind.name) and any(t.folded in _OTHER_GENDER for t in between)
    return None if surname or _acts(text, between, by_kind.words) else by_kind.name


def _same_kind(earlier: _Earlier, mention: Mention) -> bool:
    return mention.kind is not None and earlier.mention.kind == mention.kind


def _without_article(holder: str) -> str:
    match = _ARTICLE.match(holder)
    return holder[match.end() :] if match else holder


def _is_name(text: str) -> bool:
    """Say whether all words but the small ones have a capital."""
    parts = text.split()
    return bool(parts) and all(p[0].isupper() or fold(p) in JOINTS or fold(p) in PARTICLES for p in parts)


def _person_named(name: str, names: Names) -> Person | None:
    """Return the person whose name this is, or begins: "Deborah Brown of Human Rights Watch"."""
    part = re.split(r"\s(?:of|from)\s|,|\s\(", name)[0]
    short = words(untitled(re.split(r"['’]s\s", part)[-1]))
    return names.person(short) if len(short) > 1 else None


def _is_named(mention: Mention, names: Names) -> bool:
    """Say whether a holder as written names one holder: it is no description, no list, no Mr Lee.

    It begins with a capital that is no sentence's (the Tech Accord), or has one and ends in a word for a body (the UN
    office).
    """
    said = list(names.between(mention.start, mention.start + len(mention.holder)))
    if said and said[0].folded == "the":
        said = said[1:]
    if not said or _LIST.search(mention.holder) or untitled(mention.holder) != mention.holder:
        return False
    real = [t.text[0].isupper() and (not t.opens or t.folded in names.capitals) for t in said]
    if any(t.folded in COMPLEMENTS for t in said):
        return real[0]
    return real[-1] or (said[-1].folded in BODIES and any(real))
