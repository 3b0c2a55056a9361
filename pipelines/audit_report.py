"""What an audit of gold found: how many labels changed, what that does to the development figures, and taking them over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from annotation.campaign import Case, Recheck
from annotation.codebook import Codebook
from corpus.errors import TreatyStanceError, UsageError
from corpus.records import Annotation
from corpus.sources import Project as Workspace
from models.label_errors import Effect
from models.metrics import Interval
from pipelines.evaluation import aligned, cell
from pipelines.label_errors import differs
from pipelines.labelled import Labelled, read_workspace

if TYPE_CHECKING:
    from annotation.ledger import Ledger
    from models.dataset import Example
    from models.recipe import Recipe

AUDIT = "audit"  # the annotator of a decision that was taken from an audit

Say = Callable[[str], object]


class Changed(msgspec.Struct, frozen=True, kw_only=True):
    """How many rechecks of one kind changed the label: ``changed`` is the share whose stance or a concern differs.

    The intervals are Wilson's, 95 %; they take statements as independent.
    """

    kind: str
    sent: int
    answered: int
    unjudged: int
    changed: Interval | None
    stance: Interval | None
    concerns: Interval | None
    holder: Interval | None


class AuditReport(msgspec.Struct, frozen=True, kw_only=True):
    """What an audit found, and what it does to the figures on the development part; ``why_none`` where it cannot be said.

    ``decided`` counts changed labels that were adjudicated or accepted, ``upheld`` those of them where gold stayed.
    """

    format: int = 1
    audit: str
    codebook_id: str
    opened: str
    rows: tuple[Changed, ...]
    decided: int
    upheld: int
    statements: int
    replaced: int
    effect: tuple[Effect, ...] = ()
    why_none: str = ""


def report_audit(
    workspace: Workspace, codebook: Codebook, recipe: Recipe, *, audit: str | None = None, say: Say = lambda line: None
) -> AuditReport:
    """Count what an audit's rechecks changed, and measure what replacing gold by them does to the development figures.

    The same recipe is trained on the same split with gold as it was when the audit was sent, and with each changed label
    replaced: by the adjudicator's decision where there is one by now, else by the recheck's. The test part stays shut.

    Args:
        workspace: Whose audit.
        codebook: Under which the labels were settled.
        recipe: Of the model; the one that ranked them.
        audit: Its id; None is the newest.
        say: Is told, a line each, what is being done.

    Raises:
        UsageError: when there is no such audit.
    """
    from annotation.ledger import Ledger

    with Ledger.open(workspace.store_url) as ledger:
        rechecks = _audit(ledger, codebook, workspace, audit)
        cases = {c.statement: c for c in ledger.cases() if c.codebook_version == codebook.id}
    changed = {r.statement: r for r in rechecks if r.after is not None and differs(r.before, r.after)}
    decided = {s: d for s, r in changed.items() if (d := _decision(cases.get(s), r)) is not None}
    now = {s: decided.get(s, r.after) or r.before for s, r in changed.items()}
    replaced = {s: a for s, a in now.items() if differs(changed[s].before, a)}
    labelled = read_workspace(workspace, codebook)
    effect, why = _effect(labelled, {r.statement: r.before for r in rechecks}, replaced, codebook, recipe, say)
    return AuditReport(
        audit=rechecks[0].audit,
        codebook_id=codebook.id,
        opened=rechecks[0].opened,
        rows=tuple(
            _row(kind, [r for r in rechecks if r.control is control])
            for kind, control in (("suspects", False), ("controls", True))
        ),
        decided=len(decided),
        upheld=sum(not differs(changed[s].before, d) for s, d in decided.items()),
        statements=len(labelled.examples),
        replaced=len(replaced),
        effect=effect,
        why_none=why,
    )


def accept_audit(workspace: Workspace, codebook: Codebook, *, at: str, audit: str | None = None) -> int:
    """Take each changed label of an audit into gold, as a decision; return how many were taken.

    What an adjudicator has decided, before or since, stays: their answer on the server would come back at the next pull. The
    label that gold had stays in the ledger.

    Args:
        workspace: Whose gold.
        codebook: Under which it is settled.
        at: This moment in UTC.
        audit: Its id; None is the newest.

    Raises:
        UsageError: when there is no such audit.
    """
    from annotation.adjudication import decide, shown_order
    from annotation.aggregation import settle
    from annotation.ledger import Ledger

    with Ledger.open(workspace.store_url) as ledger:
        rechecks = _audit(ledger, codebook, workspace, audit)
        cases = {c.statement: c for c in ledger.cases() if c.codebook_version == codebook.id}
        read = [a for a in ledger.annotations(codebook_version=codebook.id) if a.blind]
        gold = {g.statement: g for g in ledger.gold(codebook.id)}
        taken = []
        for r in rechecks:
            before = cases.get(r.statement)
            if r.after is None or not differs(r.before, r.after) or (before is not None and before.decision is not None):
                continue
            earlier = [a for a in read if a.statement == r.statement] or [r.before]
            case = before or Case(
                statement=r.statement,
                codebook_version=codebook.id,
                round=r.round,
                readings=shown_order([*earlier, r.after]),
                opened=at,
            )
            taken.append(decide(case, r.after, None, at=at, adjudicator=AUDIT))
        decisions = {c.statement: c.decision for c in taken if c.decision is not None}
        settled = settle(
            [a for a in read if a.statement in decisions],
            decisions,
            codebook,
            probabilities={s: p for s in decisions if s in gold and (p := gold[s].inclusion_probability) is not None},
            texts={s: item.statement.text for s, item in ledger.items(list(decisions)).items()},
        )
        ledger.put_cases(taken)
        ledger.add_gold(settled.gold, at)
    return len(taken)


def report_table(report: AuditReport) -> str:
    """Return a report as plain text."""
    rows: list[tuple[str, ...]] = [("looked at again", "sent", "answered", "changed", "stance", "concerns", "holder")]
    for r in report.rows:
        shares = (r.changed, r.stance, r.concerns, r.holder)
        rows.append((r.kind, str(r.sent), str(r.answered), *map(cell, shares)))
    lines = [
        *aligned(rows),
        "",
        "changed: share of answers whose stance or a concern is not gold's; 95 % intervals (Wilson)",
        f"{report.decided} of the changed labels have been decided since, {report.upheld} of them as gold had it",
        "",
    ]
    if not report.effect:
        return "\n".join([*lines, f"effect on the development figures: none, {report.why_none}"])
    effect: list[tuple[str, ...]] = [
        ("trained on, measured against", "was, was", "was, now", "now, was", "now, now", "difference")
    ]
    for e in report.effect:
        values = (e.before_was, e.before_now, e.after_was, e.after_now)
        effect.append((e.name, *map(cell, values), cell(e.difference, signed=True)))
    note = (
        f"gold as it was, and as it is now with {report.replaced} of {report.statements} labels replaced; development part, "
        "95 % intervals (bootstrap by document); difference: trained on now less trained on was, both against now"
    )
    return "\n".join([*lines, *aligned(effect), "", note])


def _audit(ledger: Ledger, codebook: Codebook, workspace: Workspace, audit: str | None) -> list[Recheck]:
    """Return the rechecks of an audit, or of the newest one under a codebook."""
    known = [r for r in ledger.rechecks() if r.before.codebook_version == codebook.id and audit in (None, r.audit)]
    if not known:
        what = f"audit {audit}" if audit else "an audit"
        raise UsageError(
            f"{workspace.root}: expected {what} of gold under codebook {codebook.id}, found none; send one with "
            "`treaty-stance annotate audit push`"
        )
    newest = max(known, key=lambda r: (r.opened, r.audit)).audit
    return [r for r in known if r.audit == newest]


def _effect(
    labelled: Labelled,
    were: Mapping[str, Annotation],
    now: Mapping[str, Annotation],
    codebook: Codebook,
    recipe: Recipe,
    say: Say,
) -> tuple[tuple[Effect, ...], str]:
    from models.label_errors import development_effect
    from models.splits import make_split, take
    from pipelines.selection import frozen_recipe

    if not now:
        return (), "no label changed"
    before = [_relabelled(e, were.get(e.statement.id)) for e in labelled.examples]
    after = {e.statement.id: _relabelled(e, now.get(e.statement.id)) for e in before}
    try:
        split = make_split(before, seed=0)
        parts = take(before, split, "train"), take(before, split, "development")
        anew = tuple(tuple(after[e.statement.id] for e in part) for part in parts)
        say(f"training on {len(parts[0])} labels as they were, and with changed ones")
        plain = frozen_recipe(recipe, len(parts[0]) + len(parts[1]))
        return development_effect(parts, (anew[0], anew[1]), codebook, plain), ""
    except UsageError:  # an encoder that does not exist is the caller's mistake
        raise
    except TreatyStanceError as error:
        return (), str(error)


def _decision(case: Case | None, recheck: Recheck) -> Annotation | None:
    """Return what was decided of a changed label since it was sent out, if anything."""
    if case is None or case.decision is None or case.closed is None or case.closed <= recheck.opened:
        return None
    return case.decision


def _relabelled(example: Example, label: Annotation | None) -> Example:
    if label is None:
        return example
    gold = msgspec.structs.replace(example.gold, stance=label.stance, concerns=label.concerns)
    return replace(example, gold=gold)


def _row(kind: str, rechecks: Sequence[Recheck]) -> Changed:
    from annotation.adjudication import differences
    from models.label_errors import wilson

    found = [(differences(r.before, r.after), differs(r.before, r.after)) for r in rechecks if r.after is not None]
    n = len(found)
    return Changed(
        kind=kind,
        sent=len(rechecks),
        answered=n,
        unjudged=sum(r.after is None and r.closed is not None for r in rechecks),
        changed=wilson(sum(c for _, c in found), n),
        stance=wilson(sum("stance" in d for d, _ in found), n),
        concerns=wilson(sum(any(x.startswith("concern ") for x in d) for d, _ in found), n),
        holder=wilson(sum("holder" in d for d, _ in found), n),
    )
