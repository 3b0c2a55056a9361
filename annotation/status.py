"""How a campaign stands: per coder what is done and at what pace, the audit sample, cases, gold. Counted from the ledger."""

from __future__ import annotations

import datetime
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.adjudication import causes, differences
from annotation.campaign import Answer, Draw, Project, Sampled, Task
from annotation.ledger import Ledger
from corpus.records import Annotation, GoldLabel

WINDOW = 14.0
"""Days before the last pull over which the pace is taken; a holiday in spring says nothing about May."""

_FINAL = ("counted", "cannot judge", "skipped")
_UNANSWERED = ("draft", "deleted", "superseded")  # nothing stands there that a coder submitted and that could count


@dataclass(frozen=True, slots=True)
class Progress:
    """One project. Each statement assigned to it is one of done, cannot be judged, skipped, unusable and open.

    ``unusable`` counts statements whose answers all gave no annotation for another reason; ``refused`` counts the answers
    (several may stand at one statement) that gave none, by state. ``assisted`` counts those done that saw a model's
    suggestion. ``seconds`` is the median time a statement, by Label Studio's clock. ``pace`` is statements answered a day
    over the last :data:`WINDOW` days before the last pull (since the first answer, if that is later), at least one day;
    None where there were none. ``end`` is the day on which the open and skipped ones are done at that pace.
    ``shared`` statements were read blind by another coder, too; on ``stance_differs`` of them the stance, on ``differs``
    anything is not what some other coder chose.
    """

    round: str
    role: str
    coder: str
    title: str
    assigned: int
    done: int
    cannot_judge: int
    skipped: int
    unusable: int
    open: int
    assisted: int
    refused: dict[str, int]
    seconds: float | None
    pace: float | None
    end: str | None
    pulled: str | None
    shared: int
    stance_differs: int
    differs: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit sample of a draw: its size, how many have a blind reading, how many a gold label; ``strata`` by stratum
    as (size, coded).
    """

    draw: str
    round: str
    made: str
    size: int
    coded: int
    gold: int
    strata: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Round:
    """A round: its codebooks' ids, how many statements were given out, how many of these have a blind reading, and how many
    blind readings by two coders or more.
    """

    name: str
    codebooks: tuple[str, ...]
    strategies: tuple[str, ...]
    statements: int
    coded: int
    shared: int


@dataclass(frozen=True, slots=True)
class Status:
    """A whole campaign. ``cases_closed`` counts by cause, ``gold`` by codebook and how settled, ``rechecks`` by audit as
    (number, answered).
    """

    rounds: tuple[Round, ...]
    projects: tuple[Progress, ...]
    audits: tuple[Audit, ...]
    cases_open: int
    cases_closed: dict[str, int]
    gold: dict[str, dict[str, int]]
    rechecks: dict[str, tuple[int, int]]


def measure_status(ledger: Ledger, *, round: str | None = None) -> Status:
    """Count how the campaign stands as of the last pulls: all of it, or one round.

    Gold labels have no round; those of a round are those of the statements that it gave out, under its codebooks.
    """
    projects = ledger.projects(round=round)
    tasks = {p.key: ledger.tasks(p.key) for p in projects}
    answers = {p.key: ledger.answers(p.key) for p in projects}
    newest = {p.key: max((x.at for x in ledger.pulls(p.key)), default=None) for p in projects}
    readings = [a for a in ledger.annotations(round=round) if a.blind]
    by_statement: dict[tuple[str, str], list[Annotation]] = {}
    for a in readings:
        by_statement.setdefault((a.statement, a.codebook_version), []).append(a)
    given = {t.statement for found in tasks.values() for t in found}
    versions = {p.codebook_version for p in projects}
    gold = [g for g in ledger.gold() if round is None or (g.statement in given and g.codebook_version in versions)]
    cases = ledger.cases(round=round)
    draws = [d for d in ledger.draws() if round in (None, d.round)]
    rechecks: dict[str, tuple[int, int]] = {}
    for r in ledger.rechecks():
        if round is None or r.statement in given:
            n, answered = rechecks.get(r.audit, (0, 0))
            rechecks[r.audit] = (n + 1, answered + (r.closed is not None))
    return Status(
        rounds=tuple(_rounds(projects, tasks, draws, readings)),
        projects=tuple(_progress(p, tasks[p.key], answers[p.key], newest[p.key], by_statement) for p in projects),
        audits=tuple(_audit(d, ledger.sampled(d.id), readings, gold) for d in draws if ledger.sampled(d.id)),
        cases_open=sum(x.decision is None for x in cases),
        cases_closed=causes(cases),
        gold=_gold(gold),
        rechecks=rechecks,
    )


def _progress(
    project: Project,
    tasks: Sequence[Task],
    answers: Sequence[Answer],
    pulled: str | None,
    readings: Mapping[tuple[str, str], Sequence[Annotation]],
) -> Progress:
    states: dict[str, set[str]] = {t.statement: set() for t in tasks}
    for answer in answers:
        if answer.statement in states:
            states[answer.statement].add(answer.state)
    place = {statement: _place(found) for statement, found in states.items()}
    counts = Counter(place.values())
    counted = [
        a for a in answers if a.state == "counted" and a.annotation is not None and place.get(a.statement or "") == "counted"
    ]
    seconds = [a.annotation.seconds for a in counted if a.annotation and a.annotation.seconds is not None]
    moments = {a.statement: a.updated or a.seen for a in answers if a.state in ("counted", "cannot judge")}
    pace = _pace([moments[s] for s in states if s in moments], pulled)
    shared = [
        group for s in states if (group := _with_others(readings.get((s, project.codebook_version), ()), project.coder))
    ]
    said = [_differs(group, project.coder) for group in shared]
    return Progress(
        round=project.round,
        role=project.role,
        coder=project.coder or "-",
        title=project.title,
        assigned=len(states),
        done=counts["counted"],
        cannot_judge=counts["cannot judge"],
        skipped=counts["skipped"],
        unusable=counts["unusable"],
        open=counts["open"],
        assisted=len({a.statement for a in counted if a.annotation and not a.annotation.blind}),
        refused=dict(sorted(Counter(a.state for a in answers if a.state != "counted").items())),
        seconds=round(statistics.median(seconds), 1) if seconds else None,
        pace=None if pace is None else round(pace, 2),
        end=_end(counts["open"] + counts["skipped"], pace, pulled),
        pulled=pulled,
        shared=len(shared),
        stance_differs=sum("stance" in d for d in said),
        differs=sum(bool(d) for d in said),
    )


def _place(states: Iterable[str]) -> str:
    """Return the one heading under which a statement with answers of these states is counted."""
    found = set(states)
    named = next((s for s in _FINAL if s in found), None)
    return named or ("unusable" if found - set(_UNANSWERED) else "open")


def _with_others(group: Sequence[Annotation], coder: str | None) -> Sequence[Annotation]:
    """Return the readings of a statement if the coder and somebody else are among them."""
    names = {a.annotator for a in group}
    return group if coder in names and len(names) > 1 else ()


def _differs(group: Sequence[Annotation], coder: str | None) -> set[str]:
    mine = next(a for a in group if a.annotator == coder)
    return {d for other in group if other.annotator != coder for d in differences(mine, other)}


def _pace(moments: Sequence[str], pulled: str | None) -> float | None:
    if pulled is None or not moments:
        return None
    end = _moment(pulled)
    found = sorted(map(_moment, moments))
    start = max(found[0], end - datetime.timedelta(days=WINDOW))
    recent = sum(start <= m for m in found)
    return recent / max(1.0, (end - start) / datetime.timedelta(days=1)) if recent else None


def _end(left: int, pace: float | None, pulled: str | None) -> str | None:
    if not left or pace is None or pulled is None:
        return None
    days = math.ceil(left / pace)
    try:
        return (_moment(pulled) + datetime.timedelta(days=days)).date().isoformat()
    except OverflowError:  # beyond the calendar
        return None


def _moment(text: str) -> datetime.datetime:
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def _rounds(
    projects: Sequence[Project], tasks: Mapping[str, Sequence[Task]], draws: Sequence[Draw], readings: Sequence[Annotation]
) -> Iterable[Round]:
    coders: dict[str, set[str]] = {}
    for a in readings:
        coders.setdefault(a.statement, set()).add(a.annotator)
    for name in dict.fromkeys(p.round for p in projects):
        here = [p for p in projects if p.round == name]
        statements = {t.statement for p in here for t in tasks[p.key] if p.role in ("coding", "recoding")}
        yield Round(
            name=name,
            codebooks=tuple(dict.fromkeys(p.codebook_version for p in here)),
            strategies=tuple(dict.fromkeys(d.strategy for d in draws if d.round == name)),
            statements=len(statements),
            coded=sum(s in coders for s in statements),
            shared=sum(len(coders.get(s, ())) > 1 for s in statements),
        )


def _audit(draw: Draw, sample: Sequence[Sampled], readings: Sequence[Annotation], gold: Sequence[GoldLabel]) -> Audit:
    coded, settled = {a.statement for a in readings}, {g.statement for g in gold}
    strata: dict[str, tuple[int, int]] = {}
    for s in sample:
        size, done = strata.get(s.stratum, (0, 0))
        strata[s.stratum] = (size + 1, done + (s.statement in coded))
    return Audit(
        draw=draw.id,
        round=draw.round,
        made=draw.made,
        size=len(sample),
        coded=sum(s.statement in coded for s in sample),
        gold=sum(s.statement in settled for s in sample),
        strata=strata,
    )


def _gold(labels: Iterable[GoldLabel]) -> dict[str, dict[str, int]]:
    counts: dict[str, Counter[str]] = {}
    for label in labels:
        counts.setdefault(label.codebook_version, Counter())[label.settled] += 1
    return {version: dict(sorted(found.items())) for version, found in counts.items()}
