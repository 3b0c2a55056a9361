"""What changed between two codebooks, what coded before uses it, and when a change must be refused.

A label that is gone or means something else makes the readings that use it worthless until they are coded anew. Another
wording of the same meaning (a name, a key, a heading) costs nothing, and a rule concerns whatever people say it concerns.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from annotation.campaign import Project
from annotation.codebook import Codebook, ConcernLabel, HolderType, StanceLabel, parse_codebook
from annotation.ledger import Ledger
from corpus.errors import CodebookError
from corpus.records import Annotation, GoldLabel

What = Literal["added", "removed", "redefined", "reworded", "changed"]
"""What happened to a label, or (``changed``) to a part of the codebook that concerns no label in particular."""

_Label: TypeAlias = StanceLabel | ConcernLabel | HolderType
_MEANING = ("definition", "polarity", "examples", "nobody")
_WORDING = ("name", "hotkey", "group")
_AT_MOST = 5  # statements that a sentence names


@dataclass(frozen=True, slots=True)
class Change:
    """One change. ``part`` is ``stance``, ``concern`` or ``holder type`` with the ``label``'s id, or a part without labels.

    ``fields`` are what differs of a label that both codebooks have.
    """

    part: str
    what: What
    label: str | None = None
    fields: tuple[str, ...] = ()

    @property
    def breaks(self) -> bool:
        """Whether readings that use the label are worthless under the new codebook."""
        return self.what in ("removed", "redefined")

    def __str__(self) -> str:
        fields = f" ({', '.join(self.fields)})" if self.fields else ""
        return f"{self.part}{f' {self.label!r}' if self.label else ''} {self.what}{fields}"


@dataclass(frozen=True, slots=True)
class Changes:
    """All changes from the codebook of id ``old`` to that of id ``new``, in the order of the parts and labels."""

    old: str
    new: str
    changes: tuple[Change, ...]

    @property
    def breaking(self) -> tuple[Change, ...]:
        """Labels removed and redefined."""
        return tuple(c for c in self.changes if c.breaks)

    @property
    def unasked(self) -> tuple[Change, ...]:
        """Labels added, and rules and other parts changed: what was coded before may be wrong, and no label tells where."""
        return tuple(c for c in self.changes if c.what in ("added", "changed"))

    def uses(self, record: Annotation | GoldLabel) -> tuple[Change, ...]:
        """Return the removed and redefined labels that a reading or gold label uses."""
        found: dict[str, tuple[str, ...]] = {
            "stance": (record.stance, *(record.distribution if isinstance(record, GoldLabel) else ())),
            "concern": record.concerns,
            "holder type": (record.holder_type,) if record.holder_type is not None else (),
        }
        return tuple(c for c in self.breaking if c.label in found[c.part])


@dataclass(frozen=True, slots=True)
class Use:
    """How many readings (decisions of adjudicators among them) and gold labels use a removed or redefined label."""

    change: Change
    readings: int
    gold: int


@dataclass(frozen=True, slots=True)
class Used:
    """The used ones among the changed labels, and the ``statements`` that must be coded anew, sorted."""

    changes: Changes
    uses: tuple[Use, ...]
    statements: tuple[str, ...]


def compare(old: Codebook, new: Codebook) -> Changes:
    """Return what is different in ``new``.

    A label is redefined where its definition, polarity or examples differ, white space aside; where it has no definition,
    its name is all the meaning that it has. A label under another id is one removed and one added.
    """
    changes: list[Change] = []
    parts: tuple[tuple[str, tuple[_Label, ...], tuple[_Label, ...]], ...] = (
        ("stance", old.stances, new.stances),
        ("concern", old.concerns, new.concerns),
        ("holder type", old.holder_types, new.holder_types),
    )
    for part, before, after in parts:
        there, here = {x.id: x for x in before}, {x.id: x for x in after}
        changes.extend(Change(part, "removed", i) for i in there if i not in here)
        changes.extend(Change(part, "added", i) for i in here if i not in there)
        changes.extend(c for i in here if i in there for c in _label_changes(part, there[i], here[i]))
        if [i for i in there if i in here] != [i for i in here if i in there]:
            changes.append(Change(part, "reworded", fields=("order of the labels",)))
    for name in ("target", "unit", "holder", "rules"):
        if _words(getattr(old, name)) != _words(getattr(new, name)):
            changes.append(Change(name, "changed"))
    return Changes(old.id, new.id, tuple(changes))


def used(changes: Changes, ledger: Ledger, *, round: str | None = None) -> Used:
    """Return which removed and redefined labels are in use, by how much, and on which statements.

    Counted are the readings that count now (blind or not), the decisions of adjudicators and the current gold labels of
    the old codebook: of all rounds, or those of one round and of the statements that it had.
    """
    readings = ledger.annotations(round=round, codebook_version=changes.old)
    readings += [
        x.decision for x in ledger.cases(round=round) if x.decision is not None and x.codebook_version == changes.old
    ]
    gold = ledger.gold(changes.old)
    if round is not None:
        coded = places(ledger, round=round)
        gold = [g for g in gold if g.statement in coded]
    by_reading = {c: [a.statement for a in readings if c in changes.uses(a)] for c in changes.breaking}
    by_gold = {c: [g.statement for g in gold if c in changes.uses(g)] for c in changes.breaking}
    uses = tuple(Use(c, len(by_reading[c]), len(by_gold[c])) for c in changes.breaking if by_reading[c] or by_gold[c])
    statements = {s for found in (by_reading, by_gold) for group in found.values() for s in group}
    return Used(changes, uses, tuple(sorted(statements)))


def refuse(found: Used, *, waiting: Iterable[str] | None = None, advice: str = "keep the earlier codebook") -> None:
    """Refuse a change that would break what was coded.

    Args:
        found: What the change touches.
        waiting: Those of its statements that are still to be coded anew; None for all of them.
        advice: What to do, as a clause.

    Raises:
        CodebookError: when a statement must be coded anew; the sentence lists labels, readings and statements.
    """
    statements = sorted(found.statements if waiting is None else waiting)
    if not statements:
        return
    uses = "; ".join(f"{u.change}, used by {u.readings} readings and {u.gold} gold labels" for u in found.uses)
    named = ", ".join(statements[:_AT_MOST]) + (", …" if len(statements) > _AT_MOST else "")
    raise CodebookError(
        f"codebook {found.changes.new}: expected the labels that {found.changes.old} was coded with, found {uses}; "
        f"{len(statements)} statements must be coded anew ({named}): {advice}"
    )


def check_codebook(ledger: Ledger, round: str, codebook: Codebook) -> tuple[str, ...]:
    """Refuse to push a codebook that removes or redefines a label in use anywhere in the campaign.

    A statement that has a place under a codebook of the new meaning already (``annotate recode`` gives it one) or was
    coded since under another one does not stand in the way.

    Args:
        ledger: What was pushed and coded so far.
        round: The round that is to be pushed; named in the advice.
        codebook: What it is to be coded with.

    Returns:
        A sentence on the last codebook before this one, if it differs without breaking anything: what was reworded, added or
        changed.

    Raises:
        CodebookError: when statements must be coded anew first, listing the labels and what uses them.
    """
    earlier = codebooks(ledger)
    given = places(ledger)
    notes: list[str] = []
    ready = {
        statement
        for old, projects in earlier.values()
        if not compare(old, codebook).breaking
        for statement in places(ledger, projects=projects)
    }
    for old, projects in reversed(earlier.values()):
        if old.id == codebook.id:
            continue
        changes = compare(old, codebook)
        found = used(changes, ledger)
        waiting = (set(found.statements) & given.keys()) - ready - read_since(ledger, old.id)
        # Where a statement has a label of this codebook that was carried over, an earlier round has given it out.
        last = [max(given[s], key=lambda p: (p.codebook_version == old.id, p.made)) for s in sorted(waiting)]
        source = last[0].round if last else round
        target = round if round != source else _free(round, {p.round for p in ledger.projects()})
        recode = f'`treaty-stance annotate recode --round "{target}" --from "{source}"`'
        refuse(found, waiting=waiting, advice=f"run {recode}, or keep the earlier codebook")
        notes = notes or [note(changes, sorted({p.round for p in projects}))]
    return tuple(notes)


def read_since(ledger: Ledger, version: str, *, but: str | None = None) -> set[str]:
    """Return the statements that were read under codebooks which came after the one of this id, passing over ``but``."""
    known = list(codebooks(ledger))
    after = known[known.index(version) + 1 :] if version in known else []
    return {a.statement for later in after if later != but for a in ledger.annotations(codebook_version=later)}


def note(changes: Changes, rounds: Iterable[str]) -> str:
    """Return a sentence on what differs from the codebook of some rounds, and what that means for their labels."""
    what = "; ".join(map(str, changes.changes)) or "nothing but its version"
    tail = (
        "labels without a removed or redefined one stay as they are, and `annotate recode` notes them under the new codebook"
    )
    if changes.unasked:
        tail = "coders did not know that, so where it matters, code everything anew with `annotate recode --all`"
    return f"codebook {changes.new} differs from that of {', '.join(rounds)}: {what}; {tail}"


def codebooks(ledger: Ledger, *, round: str | None = None) -> dict[str, tuple[Codebook, tuple[Project, ...]]]:
    """Return the codebooks that statements were given out with, by id, oldest first, with their coding projects.

    Raises:
        CodebookError: when the ledger's copy is no codebook.
    """
    found: dict[str, list[Project]] = {}
    for project in _coding(ledger, round):
        found.setdefault(project.codebook_version, []).append(project)
    return {
        version: (parse_codebook(projects[0].codebook, where=f"project {projects[0].title!r}"), tuple(projects))
        for version, projects in found.items()
    }


def places(
    ledger: Ledger, *, round: str | None = None, projects: Iterable[Project] | None = None
) -> dict[str, tuple[Project, ...]]:
    """Return the coding projects that have each statement: of all rounds, of one, or of some projects."""
    found: dict[str, tuple[Project, ...]] = {}
    for project in _coding(ledger, round) if projects is None else projects:
        for task in ledger.tasks(project.key):
            found[task.statement] = (*found.get(task.statement, ()), project)
    return found


def _coding(ledger: Ledger, round: str | None) -> list[Project]:
    return [p for p in ledger.projects(round=round) if p.role in ("coding", "recoding")]


def _free(round: str, taken: set[str]) -> str:
    """Return a name for the next round: the number at the end counted up."""
    number = re.search(r"\d+$", round)
    stem, count = (round[: number.start()], int(number[0])) if number else (f"{round} ", 1)
    while (name := f"{stem}{count + 1}") in taken:
        count += 1
    return name


def _label_changes(part: str, old: _Label, new: _Label) -> Iterable[Change]:
    meaning: list[str] = []
    wording: list[str] = []
    for field in (*_MEANING, *_WORDING):
        before, after = getattr(old, field, None), getattr(new, field, None)
        if before == after:
            continue
        means = field in _MEANING or (field == "name" and not old.definition)
        (meaning if means and _words(before) != _words(after) else wording).append(field)
    if meaning:
        yield Change(part, "redefined", new.id, tuple(meaning))
    if wording:
        yield Change(part, "reworded", new.id, tuple(wording))


def _words(value: object) -> object:
    """Return a value in which white space of texts counts as one space."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, tuple):
        return tuple(map(_words, value))
    if isinstance(value, Mapping) or value is None or isinstance(value, bool):
        return value
    return tuple(_words(getattr(value, name)) for name in getattr(value, "__struct_fields__", ()))
