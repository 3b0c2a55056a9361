"""Answers pulled from a campaign's projects into the ledger: only what has changed, and all of it from time to time."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec

from annotation.answers import shown
from annotation.calls import Client, by_uid, check_project, get_project, list_tasks, list_users, read_drafts
from annotation.campaign import Answer, Project, Pull
from annotation.codebook import Codebook, parse_codebook
from annotation.ledger import Ledger
from annotation.reconciliation import User, compare, is_submitted, moment, parse_moment, read_draft, read_project, who_codes
from corpus.errors import UsageError

REPEATED = "repeated task"
# A task changed while an earlier pull was reading may bear an earlier time than what that pull has read.
_MARGIN = timedelta(minutes=5)
_FULL_EVERY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull of one project found.

    ``tasks`` and ``answers`` are what the server has now, drafts apart; ``unanswered`` are tasks without any answer.
    ``new``, ``changed`` and ``gone`` are answers as against the last pull. ``counts`` are the current answers by state
    (``counted`` and the refusals' states), and the tasks that the server holds beyond the first of a statement (``repeated
    task``). ``listed`` are the current answers that gave no annotation. ``problems`` are sentences on the rest.
    """

    project: Project
    tasks: int
    answers: int
    new: int
    changed: int
    gone: int
    full: bool
    unanswered: int
    counts: dict[str, int]
    listed: tuple[Answer, ...]
    problems: tuple[str, ...]


def pull_project(
    client: Client, ledger: Ledger, project: Project, *, at: str, full: bool = False, emails: Mapping[str, str] | None = None
) -> PullReport:
    """Read what coders answered in a project, and note in the ledger what is new, changed or gone since the last pull.

    Only tasks that the server has changed since then are read, unless ``full`` is asked for, the last full reading is a day
    old, or the number of tasks or answers does not fit what the ledger has.

    Args:
        client: A connection to the server.
        ledger: Where earlier pulls are, and this one is noted.
        project: One of the ledger's projects.
        at: This moment in UTC.
        full: Read all tasks.
        emails: How the server knows coders, by coder; noted with the project.

    Raises:
        UsageError: when the project is gone from the server.
        CodebookError: when the project's form was replaced on the server.
        TreatyStanceError: when the server fails or gives fewer tasks than it says it has.
    """
    if project.coder is not None and emails and project.coder in emails:
        project = msgspec.structs.replace(project, email=emails[project.coder])
    codebook = project_codebook(project)
    remote = remote_project(client, project)
    check_project(remote, codebook)
    history = ledger.answers(project.key, current=None)
    known = {a.number: a for a in history if a.current}
    pulls = sorted(ledger.pulls(project.key), key=lambda p: parse_moment(p.at))
    tasks = None if full else _changed_tasks(client, remote, pulls, known.values(), at)
    full = tasks is None
    if tasks is None:
        tasks = list_tasks(client, project.number, fields="all")
    read_now = {t["id"] for t in tasks}
    kept = [] if full else [a for a in known.values() if is_submitted(a) and a.task not in read_now]

    answering = {json.loads(a.raw).get("completed_by") for a in kept}
    answering |= {answer.get("completed_by") for task in tasks for answer in task.get("annotations") or ()}
    begun = [(task, draft) for task in tasks if task.get("draft_exists") for draft in read_drafts(client, task["id"])]
    users = [User(*fields) for fields in list_users(client)] if answering or begun else []
    project, names = who_codes(project, ledger.projects(), users, {u for u in answering if u is not None})
    statements = {a.statement for a in kept} | {(t.get("data") or {}).get("uid") for t in tasks if t.get("annotations")}
    items = ledger.items(sorted(s for s in statements if isinstance(s, str)))
    found = read_project(
        project,
        codebook,
        tasks,
        kept,
        texts={statement: item.statement.text for statement, item in items.items()},
        names=names,
        predictions_shown=project.assisted or bool(remote.show_collab_predictions),
        assisted={a.number for a in history if a.annotation is not None and not a.annotation.blind},
        at=at,
    )
    submitted = len(found)
    answered = {a.task for a in found.values()}
    drafts = [read_draft(project, task, draft, users=users, names=names, at=at) for task, draft in begun]
    found |= {draft.number: draft for draft in drafts}
    changes = compare(known, found, read_now if full else None, at=at)

    current = {**known, **found, **{a.number: a for a in changes.notes}}
    current = {n: a for n, a in current.items() if a.current}
    repeated = sum(len(c) - 1 for c in by_uid(tasks).values()) if full else pulls[-1].counts.get(REPEATED, 0)
    counts = Counter(a.state for a in current.values()) + Counter({REPEATED: repeated})
    total = len(tasks) if full else pulls[-1].tasks
    times = [*(m for t in tasks if (m := moment(t.get("updated_at")))), *(p.newest for p in pulls if p.newest)]
    pull = Pull(
        project=project.key,
        at=at,
        tasks=total,
        answers=submitted,
        full=full,
        newest=max(times, default=None),
        counts=dict(sorted(counts.items())),
    )
    ledger.add_project(project)
    ledger.note_pull(pull, changes.notes)
    return PullReport(
        project=project,
        tasks=total,
        answers=submitted,
        new=changes.new,
        changed=changes.changed,
        gone=changes.gone,
        full=full,
        unanswered=total - len(answered),
        counts=pull.counts,
        listed=tuple(sorted((a for a in current.values() if a.annotation is None), key=lambda a: a.number)),
        problems=tuple(_pull_problems(project, remote, tasks, current.values(), users, repeated)),
    )


def project_codebook(project: Project) -> Codebook:
    """Return the codebook that a project was made with.

    Raises:
        CodebookError: when the ledger's copy is none.
    """
    return parse_codebook(project.codebook, where=f"the codebook of project {project.title!r}")


def remote_project(client: Client, project: Project) -> Any:
    """Return a project as the server has it now.

    Raises:
        UsageError: when it is gone from there.
        TreatyStanceError: when the server fails.
    """
    remote = get_project(client, project.number)
    if remote is None:
        raise UsageError(
            f"project {project.title!r}: {project.server} has no project {project.number} any more; what was pulled of "
            "it is kept, use another name for the round to go on"
        )
    return remote


def _changed_tasks(
    client: Client, remote: Any, pulls: Sequence[Pull], known: Iterable[Answer], at: str
) -> list[dict[str, Any]] | None:
    """Return the tasks that were changed since the last pull or bear a draft; None where all have to be read."""
    whole = [p for p in pulls if p.full]
    if not whole or parse_moment(at) - parse_moment(whole[-1].at) > _FULL_EVERY:
        return None
    if pulls[-1].newest is None or remote.task_number != pulls[-1].tasks:
        return None
    since = moment((parse_moment(pulls[-1].newest) - _MARGIN).isoformat())
    tasks = list_tasks(
        client,
        remote.id,
        fields="all",
        filters={
            "conjunction": "or",
            "items": [
                {"filter": f"filter:tasks:{name}", "operator": operator, "type": kind, "value": value}
                for name, operator, kind, value in (
                    ("updated_at", "greater_or_equal", "Datetime", since),
                    ("draft_exists", "equal", "Boolean", True),
                )
            ],
        },
    )
    read_now = {t["id"] for t in tasks}
    there = sum(len(t.get("annotations") or ()) for t in tasks)
    there += sum(is_submitted(a) and a.task not in read_now for a in known)
    return tasks if there == remote.total_annotations_number + remote.skipped_annotations_number else None


def _pull_problems(
    project: Project,
    remote: Any,
    tasks: Iterable[Mapping[str, Any]],
    answers: Iterable[Answer],
    users: Sequence[User],
    repeated: int,
) -> Iterable[str]:
    strangers = Counter(a.annotator for a in answers if a.state == "stranger")
    emails = {f"label-studio-{u.number}": u.email for u in users}
    for name, number in strangers.most_common():
        email = emails.get(str(name), "unknown")
        yield (
            f"project {project.title!r}: {number} answers are those of {email}, who is not known as {project.coder}; if "
            f"that is the coder's account, pull again with --coders {project.coder}={email}"
        )
    for task in tasks:
        try:
            shown(task)
        except ValueError as error:
            yield f"project {project.title!r}, task {task.get('id')}: {error}"
    if repeated:
        yield told_twice(project, repeated)
    if remote.show_collab_predictions and not project.assisted:
        yield f"project {project.title!r} shows suggestions to coders; switch that off to code blind"


def told_twice(project: Project, repeated: int) -> str:
    """Say that the server holds statements twice."""
    return (
        f"project {project.title!r}: the server holds {repeated} tasks beyond the first of a statement; of the answers to "
        "them, each coder's newest counts"
    )
