"""The jobs behind `annotate agreement` and `annotate gold`: coders' readings measured, and settled into gold labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from annotation.adjudication import decisions
from annotation.aggregation import Settled, settle
from annotation.agreement import Agreement, Figure, measure_agreement, paired_readings
from annotation.changes import codebooks, places
from annotation.codebook import Codebook
from annotation.coders import Coders, Measured, Question, measure_coders
from annotation.leaning import By, Lean, Period, measure_drift, measure_leaning
from annotation.ledger import Ledger
from annotation.resampling import Resampling
from corpus.errors import UsageError
from corpus.files import write_text
from corpus.records import Annotation
from corpus.reference_corpus import load_reference
from corpus.sources import load_project

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Version:
    """What was measured under one codebook; ``assisted`` readings, made with a suggestion in sight, were left out."""

    agreement: Coders
    leaning: tuple[Lean, ...]
    drift: tuple[Period, ...]
    assisted: int


@dataclass(frozen=True, slots=True)
class SettledUnder:
    """What `gold` did under one codebook.

    ``settled`` counts gold labels by how they were settled, ``written`` those that are new, changed or the same as before.
    ``open`` counts statements by reason (a statement with several ties under each of them), ``left`` how many these are.
    ``dropped`` gold labels stood before and have no longer enough readings behind them.
    """

    codebook_version: str
    settled: dict[str, int]
    written: dict[str, int]
    left: int
    open: dict[str, int]
    dropped: int
    assisted: int


def corpus_agreement(corpus: Path | None, codebook: Codebook, *, output: Path | None = None) -> Agreement:
    """Measure the two readings of each statement of a corpus folder (None: the reference corpus); ``output`` gets JSON.

    Raises:
        UsageError: when a file of the corpus does not exist, or the output is a folder.
        RecordError: when the corpus is malformed or a statement has not two readings.
        CodebookError: when a reading uses a label that the codebook does not have.
    """
    _check_output(output)
    agreement = measure_agreement(paired_readings(load_reference(corpus).annotations), codebook)
    if output is not None:
        _save(output, {"format": FORMAT, "corpus": str(corpus or "reference corpus"), "agreement": agreement})
    return agreement


def workspace_agreement(
    workspace: Path,
    *,
    round: str | None = None,
    by: By = "tenths",
    draw: Resampling | None = None,
    output: Path | None = None,
) -> tuple[Version, ...]:
    """Measure the agreement of a workspace's coders under each codebook that they coded with, the newest last.

    Args:
        workspace: The folder.
        round: Of the statements of this round only.
        by: How the drift is divided.
        draw: How to get intervals.
        output: A file that gets everything as JSON.

    Raises:
        UsageError: when there is no workspace, nothing was pushed (in that round) or pulled, or the output is a folder.
    """
    _check_output(output)
    with Ledger.open(load_project(workspace).store_url) as ledger:
        moments = _moments(ledger)
        found = []
        for codebook, readings in _readings(ledger, workspace, round):
            documents = {a.statement: a.statement.rpartition(":")[0] or a.statement for a in readings}
            found.append(
                Version(
                    measure_coders(readings, documents, codebook, draw=draw),
                    measure_leaning(readings, documents, codebook, draw=draw),
                    measure_drift(readings, documents, codebook, moments[codebook.id], by=by, draw=draw),
                    sum(not a.blind for a in readings),
                )
            )
    if output is not None:
        _save(output, {"format": FORMAT, "round": round, "drift_by": by, "codebooks": found})
    return tuple(found)


def settle_workspace(
    workspace: Path,
    *,
    at: str,
    round: str | None = None,
    method: str = "majority",
    least: int = 1,
    seed: int = 0,
) -> tuple[SettledUnder, ...]:
    """Settle a workspace's readings into gold labels and note them in the ledger, under each codebook, the newest last.

    Adjudicated decisions win over votes. A gold label whose statement is open by now, or whose readings are all gone, is
    no longer current; a label carried over from an earlier codebook stays until its statement is read again.

    Args:
        workspace: The folder.
        at: This moment in UTC.
        round: The statements of this round only.
        method: One of :data:`annotation.aggregation.METHODS`.
        least: How many blind readings a statement must have, if nobody decided it.
        seed: Of the MACE model.

    Raises:
        UsageError: when there is no workspace, nothing was pushed (in that round) or pulled, or the method is unknown.
    """
    found = []
    with Ledger.open(load_project(workspace).store_url) as ledger:
        cases = ledger.cases()
        inclusion = _inclusion(ledger)
        scope = None if round is None else set(places(ledger, round=round))
        for codebook, readings in _readings(ledger, workspace, round):
            decided = {s: d for s, d in decisions(cases, codebook.id).items() if scope is None or s in scope}
            items = ledger.items(sorted({a.statement for a in readings} | set(decided)))
            settled = settle(
                readings,
                decided,
                codebook,
                method=method,
                least=least,
                seed=seed,
                probabilities=inclusion,
                texts={s: item.statement.text for s, item in items.items()},
            )
            stale = _stale(ledger, codebook.id, settled, scope)
            ledger.drop_gold(stale)
            found.append(
                SettledUnder(
                    codebook_version=codebook.id,
                    settled=dict(sorted(Counter(g.settled for g in settled.gold).items())),
                    written=ledger.add_gold(settled.gold, at),
                    left=len(settled.open),
                    open=dict(sorted(Counter(r for reasons in settled.open.values() for r in reasons.split("; ")).items())),
                    dropped=len(stale),
                    assisted=sum(not a.blind for a in readings),
                )
            )
    return tuple(found)


def agreement_lines(version: Version) -> list[str]:
    """Return what was measured under one codebook as lines for people; labels of single pairs are in the JSON only."""
    a = version.agreement
    coders = ", ".join(f"{name} {n}" for name, n in a.coders.items()) or "nobody"
    lines = [
        f"codebook {a.codebook_version}: {a.statements} statements of {a.documents} documents read by two coders or more "
        f"(readings: {coders})"
    ]
    if version.assisted:
        lines.append(f"left out: {version.assisted} readings made with a model's suggestion in sight")
    if not a.statements:
        return [*lines, "no statement was read by two coders, so there is no agreement to measure"]
    two = len(a.coders) == 2
    lines += ["", *aligned([_heading("what", two), *(_row(n, m, two) for q in a.questions for n, m in _named(q))])]
    if not two:
        rows = [
            _row(f"{p.first}, {p.second}: {q.whole.name}", q.whole, True)
            for p in a.pairs
            for q in p.questions
            if q.whole.statements
        ]
        lines += ["", *aligned([_heading("pair", True), *rows])]
    for p in a.pairs:
        rows = [(f"{p.first} \\ {p.second}", *a.stances)]
        rows += [(stance, *map(str, counts)) for stance, counts in zip(a.stances, p.confusion, strict=True)]
        lines += ["", *aligned(rows)]
    leans = [x for x in version.leaning if x.question == "stance" or _apart(x.difference)]
    rows = [("leaning", "statements", "own share", "others' share", "difference")]
    rows += [(f"{x.coder}: {x.label}", str(x.statements), *map(str, (x.own, x.others, x.difference))) for x in leans]
    lines += ["", *aligned(rows), "(all stances, and the concerns whose difference is not 0 by its interval)"]
    rows = [("drift", "readings", "shared", "same stance", *(f"{s}, own - others" for s in a.stances))]
    rows += [
        (f"{x.coder}: {x.period}", str(x.readings), str(x.statements), *map(str, (x.same, *x.differences)))
        for x in version.drift
    ]
    return [*lines, "", *aligned(rows)]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of text as lines of columns, to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _heading(name: str, two: bool) -> tuple[str, ...]:
    return (name, "statements", "readings", "same", "alpha", *(("kappa", "F1") if two else ()))


def _named(question: Question) -> list[tuple[str, Measured]]:
    if not question.whole.statements:
        return []
    whole = question.whole
    return [(whole.name, whole), *((f"{whole.name}: {label.name}", label) for label in question.labels)]


def _row(name: str, m: Measured, two: bool) -> tuple[str, ...]:
    figures = (m.same, m.alpha, *((m.kappa, m.f1) if two else ()))
    return (name, str(m.statements), str(m.readings), *map(str, figures))


def _apart(difference: Figure) -> bool:
    return difference.low is not None and difference.high is not None and not difference.low <= 0 <= difference.high


def _readings(ledger: Ledger, workspace: Path, round: str | None) -> list[tuple[Codebook, list[Annotation]]]:
    """Return the readings that count under each codebook that has some, oldest first."""
    known = {p.round for p in ledger.projects()}
    if not known or round not in (None, *known):
        what = "a campaign that was pushed" if round is None else f"round {round!r}"
        raise UsageError(f"{workspace}: expected {what}, found {', '.join(sorted(known)) or 'none'}; push statements first")
    scope = None if round is None else set(places(ledger, round=round))
    found = []
    for version, (codebook, _) in codebooks(ledger).items():
        readings = [a for a in ledger.annotations(codebook_version=version) if scope is None or a.statement in scope]
        if readings:
            found.append((codebook, readings))
    if not found:
        raise UsageError(f"{workspace}: expected answers of coders, found none; run `treaty-stance annotate pull` first")
    return found


def _moments(ledger: Ledger) -> dict[str, dict[tuple[str, str], str]]:
    """Return when each reading was last changed, by codebook, and by statement and coder."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for answer in ledger.answers():
        if (a := answer.annotation) is not None:
            moments, key = found.setdefault(a.codebook_version, {}), (a.statement, a.annotator)
            moments[key] = max(moments.get(key, ""), answer.updated or answer.seen)
    return found


def _inclusion(ledger: Ledger) -> dict[str, float]:
    """Return the inclusion probabilities of audit samples; where a statement is in several, that of the newest draw."""
    by_draw: dict[str, dict[str, float]] = {}
    for s in ledger.sampled():
        by_draw.setdefault(s.draw, {})[s.statement] = s.inclusion_probability
    return {statement: p for draw in ledger.draws() for statement, p in by_draw.get(draw.id, {}).items()}


def _stale(ledger: Ledger, version: str, settled: Settled, scope: set[str] | None) -> list[tuple[str, str]]:
    """Return the gold labels that have lost what they rested on: open by now, or once read and now without a reading.

    A label of a statement that coders never read under this codebook was carried over from an earlier one, and stays.
    """
    coding = {p.key for p in ledger.projects() if p.role in ("coding", "recoding")}
    ever = {
        a.annotation.statement
        for a in ledger.answers(current=None)
        if a.annotation is not None and a.annotation.codebook_version == version and a.project in coding
    }
    lost = (ever | settled.open.keys()) - {g.statement for g in settled.gold}
    return [
        (g.statement, version)
        for g in ledger.gold(version)
        if g.statement in lost and (scope is None or g.statement in scope)
    ]


def _check_output(output: Path | None) -> None:
    if output is not None and output.is_dir():
        raise UsageError(f"{output}: expected the name of a file to write, found a folder; give a name in it")


def _save(output: Path, content: dict[str, Any]) -> None:
    write_text(output, msgspec.json.format(msgspec.json.encode(content), indent=2).decode("utf-8") + "\n")
