"""Adjudication: what coders' votes cannot settle goes to a project for the adjudicator, the decisions come back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annotation.adjudication import ADJUDICATOR, causes, decide, decisions, find_cases, outdated, reopen, same_reading
from annotation.aggregation import settle
from annotation.campaign import Answer, Case, Project
from annotation.changes import codebooks, places
from annotation.codebook import Codebook, parse_codebook
from annotation.exchange import Plan, PullReport, open_project, pull_project, push_tasks
from annotation.interface import adjudication_task, cause_of
from annotation.label_studio import Client, PushResult
from annotation.ledger import Ledger
from corpus.errors import RecordError, UsageError
from corpus.records import Annotation
from corpus.sources import load_project
from pipelines.workspace import workspace_client, workspace_codebook


@dataclass(frozen=True, slots=True)
class CasesPushed:
    """What a push of cases did. ``project`` and ``push`` are None where no case is open.

    ``found`` cases are new, ``waiting`` ones are open (the new ones among them), ``decided`` ones closed. ``reasons`` counts
    the new ones by what the vote could not settle. ``outdated`` are open ones whose coders have changed their answers since.
    """

    project: Project | None
    push: PushResult | None
    found: int
    waiting: int
    decided: int
    reasons: dict[str, int]
    outdated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CasesPulled:
    """What a pull of decisions brought: cases newly ``closed``, decided otherwise than before (``changed``), ``reopened``
    because the answer is gone, still ``waiting``; all decided ones of the round by cause; and ``problems`` as sentences.
    """

    reports: tuple[PullReport, ...]
    closed: int
    changed: int
    reopened: int
    waiting: int
    causes: dict[str, int]
    problems: tuple[str, ...]


def push_cases(
    workspace: Path,
    *,
    round: str,
    at: str,
    environ: Mapping[str, str],
    seed: int = 0,
    all_differences: bool = False,
    client: Client | None = None,
) -> CasesPushed:
    """Open a case for every statement of a round that is tied, and put the open cases into the round's adjudication project.

    A case that is known stays as it was opened, and a statement that the project has is not put in again.

    Args:
        workspace: The folder.
        round: Whose statements; the readings are those of all rounds under the same codebook, as they are for gold.
        at: This moment in UTC.
        environ: Where ``LABEL_STUDIO_URL`` and ``LABEL_STUDIO_API_KEY`` are looked for.
        seed: Of the order of the readings on the form.
        all_differences: Also what a majority settled.
        client: A server that is connected already.

    Raises:
        UsageError: when the round was not pushed, has several codebooks, or workspace, environment or server are not as
            expected.
        RecordError: when a case's statement is not in the ledger.
        TreatyStanceError: when the server fails.
    """
    store = load_project(workspace).store_url
    with Ledger.open(store) as ledger:
        codebook = _codebook(ledger, round, workspace)
        given = places(ledger, round=round)
        readings = [a for a in ledger.annotations(codebook_version=codebook.id) if a.statement in given]
        earlier = [x for x in ledger.cases() if x.codebook_version == codebook.id]
        items = ledger.items(sorted({a.statement for a in readings} | {x.statement for x in earlier}))
        decided = {s: d for s, d in decisions(earlier, codebook.id).items() if s in given}
        texts = {i: item.statement.text for i, item in items.items()}
        settled = settle(readings, decided, codebook, texts=texts)
        known = {x.statement for x in earlier}
        found = find_cases(readings, settled, round=round, opened=at, seed=seed, all_differences=all_differences)
        new = [x for x in found if x.statement not in known]
        ledger.put_cases(new)
        cases = [x for x in ledger.cases(round=round) if x.codebook_version == codebook.id]
        waiting = [x for x in cases if x.decision is None]
        project = push = None
        if waiting:
            lost = next((x.statement for x in waiting if x.statement not in items), None)
            if lost is not None:
                raise RecordError(
                    f"statement {lost}: it has a case and is not in the ledger; restore the workspace's database"
                )
            client = client or workspace_client(workspace, environ)
            plan = Plan(title=f"{round} adjudication", round=round, role="adjudication", codebook=codebook)
            project = open_project(client, ledger, plan, at=at)
            tasks = [(x.statement, adjudication_task(items[x.statement], x.readings, codebook)) for x in waiting]
            push = push_tasks(client, ledger, project, tasks)
    now = _by_statement(readings)
    reasons: dict[str, int] = {}
    for case in new:
        for reason in settled.open.get(case.statement, "settled by a majority").split("; "):
            reasons[reason] = reasons.get(reason, 0) + 1
    return CasesPushed(
        project=project,
        push=push,
        found=len(new),
        waiting=len(waiting),
        decided=len(cases) - len(waiting),
        reasons=dict(sorted(reasons.items())),
        outdated=tuple(x.statement for x in waiting if outdated(x, now)),
    )


def pull_cases(
    workspace: Path,
    *,
    round: str,
    at: str,
    environ: Mapping[str, str],
    adjudicator: str = ADJUDICATOR,
    full: bool = False,
    client: Client | None = None,
) -> CasesPulled:
    """Read the adjudicator's answers and close the cases that they decide; a case whose answer is gone is open again.

    Of several answers to one case the newest counts. ``adjudicator`` is the name that the decisions bear.

    Raises:
        UsageError: when no cases of the round were pushed, or workspace, environment or server are not as expected.
        TreatyStanceError: when the server fails or gives fewer tasks than it has.
    """
    with Ledger.open(load_project(workspace).store_url) as ledger:
        projects = ledger.projects(round=round, role="adjudication")
        if not projects:
            raise UsageError(
                f"round {round!r}: expected a project of cases, found none; run `treaty-stance annotate adjudicate push`"
            )
        client = client or workspace_client(workspace, environ)
        reports = tuple(pull_project(client, ledger, p, at=at, full=full) for p in projects)
        problems = [problem for report in reports for problem in report.problems]
        before = ledger.cases(round=round)
        ever = [a for p in projects for a in ledger.answers(p.key, current=None)]
        answers = _newest([a for a in ever if a.current])
        after: list[Case] = []
        for case in before:
            answer = answers.get(case.statement)
            if answer is not None and answer.annotation is not None:
                try:
                    cause = cause_of(json.loads(answer.raw))
                    after.append(decide(case, answer.annotation, cause, at=at, adjudicator=adjudicator))
                except RecordError as error:
                    after.append(case)
                    problems.append(str(error))
                continue
            # A decision that never stood in this project was made elsewhere, and stays.
            withdrawn = any(a.statement == case.statement and same_reading(a.annotation, case.decision) for a in ever)
            after.append(reopen(case) if withdrawn else case)
        ledger.put_cases(new for old, new in zip(before, after, strict=True) if new != old)
    pairs = list(zip(before, after, strict=True))
    return CasesPulled(
        reports=reports,
        closed=sum(old.decision is None and new.decision is not None for old, new in pairs),
        changed=sum(old.decision is not None and new.decision is not None and old != new for old, new in pairs),
        reopened=sum(old.decision is not None and new.decision is None for old, new in pairs),
        waiting=sum(x.decision is None for x in after),
        causes=causes(after),
        problems=tuple(problems),
    )


def _codebook(ledger: Ledger, round: str, workspace: Path) -> Codebook:
    """Return the codebook of a round's readings and cases; of several the workspace's."""
    found = {version: codebook for version, (codebook, _) in codebooks(ledger, round=round).items()}
    for case in ledger.cases(round=round):  # a check of settled labels opens cases under a round's name of its own
        if case.codebook_version not in found:
            texts = (p.codebook for p in ledger.projects() if p.codebook_version == case.codebook_version)
            found |= {c.id: c for c in (parse_codebook(text, where=f"round {round!r}") for text in texts)}
    if not found:
        rounds = ", ".join(dict.fromkeys(repr(p.round) for p in ledger.projects())) or "none"
        raise UsageError(f"round {round!r}: expected a round that was pushed, found none; there are {rounds}")
    if len(found) == 1:
        return next(iter(found.values()))
    mine = workspace_codebook(workspace)
    if mine.id not in found:
        raise UsageError(
            f"round {round!r}: expected a codebook that it was coded with ({', '.join(found)}), found {mine.id} in the "
            "workspace; put the one that is meant there"
        )
    return mine


def _newest(answers: list[Answer]) -> dict[str, Answer]:
    """Return the newest answer that counts of each statement."""
    counted = [a for a in answers if a.state == "counted" and a.annotation is not None and a.statement is not None]
    return {a.statement: a for a in sorted(counted, key=lambda a: (a.updated or a.seen, a.number)) if a.statement}


def _by_statement(readings: list[Annotation]) -> dict[str, list[Annotation]]:
    found: dict[str, list[Annotation]] = {}
    for a in readings:
        found.setdefault(a.statement, []).append(a)
    return found
