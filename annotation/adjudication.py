"""Cases for the adjudicator: statements that votes cannot settle, what coders said of them, and the decision."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import msgspec

from annotation.aggregation import Settled
from annotation.campaign import Case, Cause
from corpus.errors import RecordError
from corpus.identity import digest
from corpus.records import Annotation

CAUSES: tuple[Cause, ...] = get_args(Cause)
ADJUDICATOR = "adjudicator"
NO_CAUSE = "no cause said"


def find_cases(
    readings: Iterable[Annotation],
    settled: Settled,
    *,
    round: str,
    opened: str,
    seed: int = 0,
    all_differences: bool = False,
) -> list[Case]:
    """Return an open case for each statement that is tied, sorted by statement; the settled ones need none.

    Args:
        readings: Of one codebook, one of each coder and statement; those that are not blind are left out.
        settled: What :func:`annotation.aggregation.settle` made of the same readings.
        round: The cases' round.
        opened: This moment in UTC.
        seed: Of the order in which the adjudicator sees the readings; see :func:`shown_order`.
        all_differences: Make a case also of what coders differ on and a vote or model of the coders settled.
    """
    wanted = {s for s, reason in settled.open.items() if reason.startswith("tie")}
    if all_differences:
        wanted |= {g.statement for g in settled.gold if g.settled not in ("agreed", "single", "adjudicated")}
    groups: dict[str, list[Annotation]] = {}
    for reading in readings:
        if reading.blind and reading.statement in wanted:
            groups.setdefault(reading.statement, []).append(reading)
    return [
        Case(
            statement=statement,
            codebook_version=group[0].codebook_version,
            round=round,
            readings=shown_order(group, seed),
            opened=opened,
        )
        for statement, group in sorted(groups.items())
    ]


def shown_order(readings: Sequence[Annotation], seed: int = 0) -> tuple[Annotation, ...]:
    """Return one statement's readings in the order of a hash of seed, statement and coder.

    Who is A changes from statement to statement, so that nobody can learn whose answers they read; the same seed gives the
    same order again.
    """
    return tuple(sorted(readings, key=lambda a: (digest(str(seed), a.statement, a.annotator), a.annotator)))


def differences(one: Annotation, other: Annotation) -> tuple[str, ...]:
    """Return what two readings of a statement differ on: ``stance``, ``concern fish``, ``holder``, ``holder type``.

    Marks of the holder that overlap are one answer; where no offsets are known, equal words are. Kinds of holder differ only
    where both readings give one.
    """
    found = ["stance"] if one.stance != other.stance else []
    found += [f"concern {c}" for c in sorted(set(one.concerns) ^ set(other.concerns))]
    if not _same_holder(one, other):
        found.append("holder")
    elif None not in (one.holder_type, other.holder_type) and one.holder_type != other.holder_type:
        found.append("holder type")
    return tuple(found)


def decide(case: Case, decision: Annotation, cause: str | None, *, at: str, adjudicator: str = ADJUDICATOR) -> Case:
    """Return a case as its adjudicator settled it; the same decision once more changes nothing, not even name and moment.

    Raises:
        RecordError: when the decision is of another statement or codebook, or the cause is none of :data:`CAUSES`.
    """
    if (decision.statement, decision.codebook_version) != (case.statement, case.codebook_version):
        raise RecordError(
            f"statement {case.statement}: expected a decision on it under codebook {case.codebook_version}, found one on "
            f"{decision.statement} under {decision.codebook_version}; adjudicate with the codebook of the round"
        )
    known = next((c for c in CAUSES if c == cause), None)
    if cause is not None and known is None:
        raise RecordError(
            f"statement {case.statement}: expected a cause of {', '.join(CAUSES)}, found {cause!r}; choose one on the form"
        )
    if same_reading(case.decision, decision) and case.cause == known:
        return case
    made = msgspec.structs.replace(decision, annotator=adjudicator)
    return msgspec.structs.replace(case, decision=made, cause=known, closed=at)


def same_reading(one: Annotation | None, other: Annotation | None) -> bool:
    """Whether two readings are one and the same but for the name that they bear."""
    return one is not None and other is not None and msgspec.structs.replace(one, annotator=other.annotator) == other


def reopen(case: Case) -> Case:
    """Return a case whose decision was withdrawn."""
    return msgspec.structs.replace(case, decision=None, cause=None, closed=None)


def decisions(cases: Iterable[Case], codebook_version: str) -> dict[str, Annotation]:
    """Return the adjudicators' readings under a codebook, by statement."""
    return {x.statement: x.decision for x in cases if x.decision is not None and x.codebook_version == codebook_version}


def causes(cases: Iterable[Case]) -> dict[str, int]:
    """Count the decided cases by cause, in the order of :data:`CAUSES`; where none was said, under :data:`NO_CAUSE`."""
    counts = Counter(x.cause or NO_CAUSE for x in cases if x.decision is not None)
    return {name: counts[name] for name in (*CAUSES, NO_CAUSE) if counts[name]}


def outdated(case: Case, readings: Mapping[str, Sequence[Annotation]]) -> bool:
    """Whether a coder says by now what the case does not show. ``readings`` are the current ones, by statement."""
    shown = set(map(_said, case.readings))
    now = (a for a in readings.get(case.statement, ()) if a.blind and a.codebook_version == case.codebook_version)
    return any(_said(a) not in shown for a in now)


def _said(reading: Annotation) -> tuple[str, ...]:
    return (
        reading.annotator,
        reading.stance,
        " ".join(sorted(reading.concerns)),
        reading.holder or "",
        reading.holder_type or "",
    )


def _same_holder(one: Annotation, other: Annotation) -> bool:
    if one.holder_start is None or one.holder_end is None or other.holder_start is None or other.holder_end is None:
        return one.holder == other.holder
    return one.holder_start < other.holder_end and other.holder_start < one.holder_end
