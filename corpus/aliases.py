"""Aliases: one holder, one name. A table of holders and of the names under which they appear."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from corpus.capitals import fold
from corpus.errors import RecordError, UsageError

SHIPPED = "holders.yaml"
LEAST_SCORE = 80.0
"""A suggestion below this likeness, in per cent, helps nobody."""

_BLOCK = 256  # names compared at once: memory stays small
_KEYS = ("name", "type", "country", "aliases", "adjectives")
_FORMS = ("government of {}", "{}'s government", "{} government", "delegation of {}", "{}'s delegation", "{} delegation")
_OF_ADJECTIVES = ("{} government", "{} delegation")
_BRACKETED = re.compile(r"(.+\S)\s*\(([^()]+)\)")
_TYPE = re.compile(r"[a-z][a-z0-9_]*")
_ABBREVIATED = re.compile(r"(?<=\b\w)\.")
_POSSESSIVE = re.compile(r"['’]s\b")
_APOSTROPHE = re.compile("['’ʼ`´]")
_OUTER = " \"'“”„‘’«».,;:"
_JOINTS = frozenset({"and", "for", "in", "of", "on"})
_INSIDE = 90.0
_SHORT = 4  # letters of a name in capitals that matches in capitals only: "us" and "who" are words


@dataclass(frozen=True, slots=True)
class Holder:
    """A holder by the name that tables show. ``country`` is ISO 3166-1 alpha-2, of states and those who act for one."""

    name: str
    type: str
    country: str | None = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Entry:
    """A holder of one file: its adjectives (None: no state), and what messages call the place."""

    holder: Holder
    adjectives: tuple[str, ...] | None
    where: str


@dataclass(frozen=True)
class AliasTable:
    """Holders in the order of the files. Names are compared whole: no name is found inside another."""

    holders: tuple[Holder, ...]
    _names: dict[str, Holder] = field(repr=False)

    def resolve(self, name: str | None) -> Holder | None:
        """Return the holder that bears a name, or None. Case, accents, punctuation and "the" do not matter.

        Names of up to four capitals match in capitals only. ``Name (Alias)`` is resolved where both are one holder's.
        """
        if name is None or not (key := _key(name)):
            return None
        if (found := self._names.get(key)) is not None:
            return found
        if len(key) <= _SHORT and (found := self._names.get(key.casefold())) is not None:
            return found  # "PERU" is no abbreviation
        if bracketed := _BRACKETED.fullmatch(name.strip()):
            outer, inner = (self.resolve(part) for part in bracketed.groups())
            return outer if outer is not None and outer == inner else None
        return None

    def suggest(self, name: str, limit: int = 3) -> list[tuple[Holder, float]]:
        """Return the holders with the names most like this one, most like first, with likeness from 80 to 100."""
        return self.suggest_all([name], limit)[0]

    def suggest_all(self, names: Sequence[str], limit: int = 3) -> list[list[tuple[Holder, float]]]:
        """Return the suggestions for each of many names, as :meth:`suggest` gives them.

        The likeness of two names, folded, is RapidFuzz's ``ratio`` (letters in common, in order) or ``token_sort_ratio``
        (the same with the words sorted), whichever is higher; 90 at least where all words of the one stand in the other, as
        in "Ann Lee, Iceland". A single word of the table's longer names ("the Union") suggests nothing. Of a holder its
        likest name counts.
        """
        import numpy as np
        from rapidfuzz import fuzz, process

        choices = self._choices
        found: list[list[tuple[Holder, float]]] = []
        for at in range(0, len(names), _BLOCK):
            block = [_key(_POSSESSIVE.sub("", name)).casefold() for name in names[at : at + _BLOCK]]
            scores = np.maximum(
                process.cdist(block, choices.keys, scorer=fuzz.ratio, dtype=np.float32),
                process.cdist(block, choices.keys, scorer=fuzz.token_sort_ratio, dtype=np.float32),
            )
            for name, row in zip(block, scores, strict=True):
                inside = list(choices.inside(name))
                row[inside] = np.maximum(row[inside], _INSIDE)
                best: dict[str, tuple[Holder, float]] = {}
                likely = np.flatnonzero(row >= LEAST_SCORE)
                for i in likely[np.argsort(-row[likely], kind="stable")]:
                    holder = choices.holders[i]
                    best.setdefault(holder.name, (holder, round(float(row[i]), 1)))
                found.append(list(best.values())[:limit])
        return found

    @cached_property
    def _choices(self) -> _Choices:
        """Names to compare with, without abbreviations: their two or three letters are in every second name."""
        pairs = [(key, h) for h in self.holders for name in (h.name, *h.aliases) if not (key := _key(name)).isupper()]
        keys = [key for key, _ in pairs]
        index: dict[str, list[int]] = {}
        for i, key in enumerate(keys):
            for word in _telling(key):
                index.setdefault(word, []).append(i)
        return _Choices(keys, [holder for _, holder in pairs], [len(_telling(key)) for key in keys], index)


@dataclass(frozen=True, slots=True)
class _Choices:
    """Folded names and their holders, how many telling words each has, and the names by such a word."""

    keys: list[str]
    holders: list[Holder]
    sizes: list[int]
    index: dict[str, list[int]]

    def inside(self, name: str) -> Iterator[int]:
        """Yield the names all of whose words are in this one, or that have all of its words, if those are two or more."""
        words = _telling(name)
        for i, shared in Counter(i for word in words for i in self.index.get(word, ())).items():
            if shared == self.sizes[i] or shared == len(words) > 1:
                yield i


def _telling(key: str) -> set[str]:
    return {word for word in key.split() if word not in _JOINTS}


def load_aliases(*paths: Path) -> AliasTable:
    """Load the shipped table, then the files given, in order; each adds to what came before and overrides it.

    An entry with a name that is already there changes that holder's type, and its country where it gives one, and adds
    aliases. An alias that is the name of an earlier file's holder takes that holder over, aliases included: so it gets
    another name. An alias that is an alias there moves alone.

    Raises:
        UsageError: when a file does not exist.
        RecordError: when a file is not of the form, or gives one name to two holders; file and entry are named.
    """
    shipped = resources.files("corpus") / "reference" / SHIPPED
    entries = _merged({}, _parse(shipped.read_text(encoding="utf-8"), SHIPPED))
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise UsageError(f"{path}: no such file; expected a table of holders") from error
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"{path}: expected a text file in UTF-8, but {error}; save it as such") from error
        entries = _merged(entries, _parse(text, str(path)))
    names = {key: entry.holder for entry in entries.values() for key in _form_keys(entry)}
    names |= {key: entry.holder for entry in entries.values() for key in _written_keys(entry)}
    return AliasTable(tuple(entry.holder for entry in entries.values()), names)


def _key(name: str) -> str:
    """Return what spellings of one name share: capitals where it is a short abbreviation, else its words, folded."""
    text = " ".join(word for word in name.strip(_OUTER).split() if word.lower() != "the")
    if len(short := text.replace(".", "")) <= _SHORT and short.isupper():
        return short
    plain = _ABBREVIATED.sub("", fold(text).replace("&", " and "))
    return " ".join(re.sub(r"[\W_]+", " ", _APOSTROPHE.sub("", plain)).split())


def _written_keys(entry: _Entry) -> Iterator[str]:
    yield from map(_key, (entry.holder.name, *entry.holder.aliases))


def _form_keys(entry: _Entry) -> Iterator[str]:
    """Yield the forms that a state's names and adjectives take: "government of …", "the … delegation"."""
    if entry.adjectives is None:
        return
    for name in (entry.holder.name, *entry.holder.aliases):
        yield from (_key(form.format(name)) for form in _FORMS)
    for adjective in entry.adjectives:
        yield from (_key(form.format(adjective)) for form in _OF_ADJECTIVES)


def _merged(entries: dict[str, _Entry], new: Sequence[_Entry]) -> dict[str, _Entry]:
    """Return the entries by the key of their name, with those of a further file added and put first in rank."""
    claimed: dict[str, str] = {}  # key of a name in the new file -> key of the holder that it is given to
    for keys in (_written_keys, _form_keys):
        taken: dict[str, _Entry] = {}
        for entry in new:
            for key in dict.fromkeys(keys(entry)):
                if (other := taken.setdefault(key, entry)) is not entry:
                    raise RecordError(
                        f"{entry.where}: {key!r} already means {other.holder.name!r}; leave the name with one of the two"
                    )
        if keys is _written_keys:
            claimed = {key: _key(entry.holder.name) for key, entry in taken.items()}
    result = {_key(entry.holder.name): entry for entry in new}
    kept: dict[str, _Entry] = {}
    for name, old in entries.items():
        heir = claimed.get(name)
        aliases = tuple(a for a in old.holder.aliases if claimed.get(_key(a), heir) == heir)
        if heir is None:
            kept[name] = replace(old, holder=replace(old.holder, aliases=aliases))
        else:
            result[heir] = _inherited(result[heir], replace(old.holder, aliases=aliases), old.adjectives)
    return kept | result


def _inherited(entry: _Entry, old: Holder, adjectives: tuple[str, ...] | None) -> _Entry:
    """Return an entry with the names, and where it has none the country and adjectives, of the holder that it replaces."""
    own = set(_written_keys(entry))
    further = tuple(name for name in (old.name, *old.aliases) if _key(name) not in own)
    new = entry.holder
    holder = replace(new, country=new.country or old.country, aliases=(*new.aliases, *further))
    return replace(entry, holder=holder, adjectives=adjectives if entry.adjectives is None else entry.adjectives)


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which a key that stands twice is an error; YAML's own rule would drop the first silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"key {twice!r} stands twice", node.start_mark)
        return dict(super().construct_mapping(node, deep=deep))


def _parse(text: str, where: str) -> list[_Entry]:
    try:
        content = yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise RecordError(f"{where}: expected YAML, but {' '.join(str(error).split())}; mend the file") from error
    if content is None:
        return []  # a file of comments
    if not isinstance(content, dict) or set(content) - {"holders"} or not isinstance(content.get("holders") or [], list):
        raise RecordError(f"{where}: expected the one key 'holders' with a list of entries; mend the file")
    return [_entry(value, f"{where}, entry {i}") for i, value in enumerate(content.get("holders") or [], start=1)]


def _entry(value: object, where: str) -> _Entry:
    if not isinstance(value, dict):
        raise RecordError(f"{where}: expected name, type and aliases, found {value!r}; write {{name: …, type: …}}")
    if unknown := [key for key in value if key not in _KEYS]:
        raise RecordError(f"{where}: key {unknown[0]!r} is not known; use {', '.join(_KEYS)}")
    for key in ("name", "type"):
        _check_text(value.get(key), key, where)
    where = f"{where} ({value['name']})"
    if not _TYPE.fullmatch(value["type"]):
        raise RecordError(f"{where}: type is {value['type']!r}; give the id of a holder type of the codebook")
    country = value.get("country")
    if country is not None and not (isinstance(country, str) and re.fullmatch("[A-Z]{2}", country)):
        raise RecordError(
            f"{where}: country is {country!r}, expected two capital letters as in ISO 3166-1; put them in quotes"
        )
    lists = {}
    for key in ("aliases", "adjectives"):
        names = value.get(key)
        if names is not None and not isinstance(names, list):
            raise RecordError(f"{where}: {key} is {names!r}; write a list, [like this, and this]")
        for name in names or ():
            _check_text(name, f"one of the {key}", where)
        lists[key] = None if names is None else tuple(names)
    holder = Holder(value["name"], value["type"], country, lists["aliases"] or ())
    return _Entry(holder, lists["adjectives"], where)


def _check_text(value: object, what: str, where: str) -> None:
    if not isinstance(value, str) or not _key(value):
        raise RecordError(f"{where}: {what} is {value!r}, expected a text with letters; put it in quotes or mend it")
