"""A campaign's exchange with Label Studio: projects opened, tasks pushed, answers pulled, all of it noted in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.answers import shown
from annotation.calls import (
    Client,
    by_uid,
    check_arrival,
    check_project,
    create_project,
    find_project,
    list_tasks,
    read_drafts,
    remove_task,
    send_predictions,
    send_tasks,
    server_url,
    show_predictions,
)
from annotation.campaign import Project, Role, Task
from annotation.codebook import Codebook, dump_codebook
from annotation.interface import check_prediction
from annotation.label_studio import PushResult
from annotation.ledger import Ledger
from annotation.pulling import PullReport, project_codebook, pull_project, remote_project, told_twice
from annotation.server import same_server
from corpus.errors import RecordError, TreatyStanceError, UsageError

__all__ = ["Plan", "PullReport", "open_project", "pull_project", "push_tasks"]


@dataclass(frozen=True, slots=True)
class Plan:
    """A project as it is wanted: whose, what for, and what its coders see.

    ``email`` is how the server knows the coder, where that was said; an earlier project's is taken otherwise.
    """

    title: str
    round: str
    role: Role
    codebook: Codebook
    coder: str | None = None
    email: str | None = None
    assisted: bool = False
    show_publisher: bool = False


def open_project(client: Client, ledger: Ledger, plan: Plan, *, at: str) -> Project:
    """Return the project of a plan: the ledger's, else the server's of that title if it is ours, else a new one.

    Args:
        client: A connection to the server.
        ledger: Where the project is looked for and noted.
        plan: What is wanted.
        at: This moment in UTC, noted for a project that the ledger does not have.

    Raises:
        UsageError: when the project's coders see what the plan does not want, the project has another purpose, it is gone
            from the server, or the title cannot be used.
        CodebookError: when it was made with another codebook.
        TreatyStanceError: when the server fails.
    """
    server, adjudication = server_url(client), plan.role == "adjudication"
    here = [p for p in ledger.projects() if same_server(p.server, server)]
    noted = next((p for p in here if (p.round, p.role, p.coder) == (plan.round, plan.role, plan.coder)), None)
    remote = remote_project(client, noted) if noted else find_project(client, plan.title)
    if remote is None:
        remote = create_project(
            client,
            plan.title,
            plan.codebook,
            show_publisher=plan.show_publisher,
            assisted=plan.assisted,
            adjudication=adjudication,
        )
    check_project(
        remote, plan.codebook, show_publisher=plan.show_publisher, assisted=plan.assisted, adjudication=adjudication
    )
    other = next((p for p in here if p.number == remote.id and p != noted), None)
    if other is not None:
        raise UsageError(
            f"project {plan.title!r}: it serves the {other.role} of {other.coder or 'nobody alone'} in {other.round!r}; "
            "choose another name for the round"
        )
    project = Project(
        server=noted.server if noted else server,  # a project keeps its key
        number=remote.id,
        title=remote.title,
        round=plan.round,
        role=plan.role,
        codebook_version=plan.codebook.id,
        codebook=dump_codebook(plan.codebook),
        made=noted.made if noted else at,
        coder=plan.coder,
        email=plan.email or (noted.email if noted else None),
        assisted=plan.assisted,
        show_publisher=plan.show_publisher,
    )
    ledger.add_project(project)
    return project


def push_tasks(
    client: Client, ledger: Ledger, project: Project, tasks: Sequence[tuple[str, dict[str, Any]]], *, draw: str | None = None
) -> PushResult:
    """Put tasks into a project in this order, and note their places in the ledger, after those that it has.

    What is there already is not put in again, so that a push can be repeated, also one during which the server died. Where
    the server holds a statement twice, since it took a request that seemed lost, copies go that nobody has begun to answer.
    Suggestions are checked before anything is sent, and counted afterwards.

    Args:
        client: A connection to the server.
        ledger: Where the places are noted.
        project: What :func:`open_project` returned.
        tasks: Statement id and Label Studio task (``data``, and ``predictions`` in an assisted project).
        draw: The draw that brought them, noted with each place.

    Raises:
        UsageError: when a task has suggestions and the project is to be coded blind, or the project is gone.
        RecordError: when a task or a suggestion does not have the right form.
        CodebookError: when the project's form was replaced on the server.
        TreatyStanceError: when the server fails, or does not hold everything in the end.
    """
    codebook = project_codebook(project)
    wanted = _checked(project, codebook, tasks)
    remote = remote_project(client, project)
    check_project(remote, codebook, assisted=project.assisted)
    before, removed = _without_repeats(client, by_uid(list_tasks(client, project.number)))
    new = [task for uid, task in wanted.items() if uid not in before]
    send_tasks(client, project.number, project.title, new)
    after = by_uid(list_tasks(client, project.number)) if new else before
    check_arrival(project.title, wanted, after)
    if project.assisted:
        _complete_suggestions(client, project, wanted, after)
        show_predictions(client, remote, [p for task in wanted.values() for p in task.get("predictions") or ()])
    _note_places(ledger, project, wanted, after, draw)
    repeated = sum(len(copies) - 1 for copies in after.values())
    problems = (told_twice(project, repeated),) if repeated else ()
    return PushResult(project.number, False, len(new), len(wanted) - len(new), repeated, problems, removed)


def _checked(project: Project, codebook: Codebook, tasks: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the tasks by uid, each once, after checking that each is what it should be."""
    wanted: dict[str, dict[str, Any]] = {}
    for uid, task in tasks:
        try:
            found, _ = shown(task)
        except ValueError as error:
            raise RecordError(f"statement {uid}: {error}") from error
        if found != uid:
            raise RecordError(f"statement {uid}: expected its own task, found that of {found}; make the task anew")
        predictions = task.get("predictions") or ()
        if predictions and not project.assisted:
            raise UsageError(
                f"project {project.title!r}: expected tasks without suggestions, since it is coded blind, found "
                f"{len(predictions)} on statement {uid}; push them into an assisted project"
            )
        for prediction in predictions:
            check_prediction(codebook, task, prediction)
        wanted.setdefault(uid, task)
    return wanted


def _without_repeats(client: Client, there: dict[str, list[dict[str, Any]]]) -> tuple[dict[str, list[dict[str, Any]]], int]:
    """Delete copies of tasks that nobody has begun to answer, down to one; return what is left and how many went."""
    left = dict(there)
    for uid, copies in there.items():
        if len(copies) > 1:
            begun = [
                t for t in copies if t["total_annotations"] or t["cancelled_annotations"] or read_drafts(client, t["id"])
            ]
            left[uid] = begun or copies[:1]
            for task in copies:
                if task not in left[uid]:
                    remove_task(client, task["id"])
    return left, sum(map(len, there.values())) - sum(map(len, left.values()))


def _complete_suggestions(
    client: Client, project: Project, wanted: Mapping[str, Mapping[str, Any]], there: Mapping[str, list[dict[str, Any]]]
) -> None:
    """Send suggestions that the server has not kept, and refuse to go on where their number is not what was sent."""
    lacking = [
        {**prediction, "task": there[uid][0]["id"]}
        for uid, task in wanted.items()
        if not there[uid][0]["total_predictions"]
        for prediction in task.get("predictions") or ()
    ]
    if lacking:
        send_predictions(client, project.number, project.title, lacking)
        there = by_uid(list_tasks(client, project.number))
    for uid, task in wanted.items():
        expected, found = len(task.get("predictions") or ()), there[uid][0]["total_predictions"]
        if expected and found != expected:
            raise TreatyStanceError(
                f"project {project.title!r}: expected {expected} suggestions on statement {uid}, the server has {found}; "
                f"delete those of task {there[uid][0]['id']} on the server and push again"
            )


def _note_places(
    ledger: Ledger,
    project: Project,
    wanted: Mapping[str, object],
    there: Mapping[str, list[dict[str, Any]]],
    draw: str | None,
) -> None:
    """Note the places of tasks that the ledger does not have, in the order in which coders see them."""
    noted = ledger.tasks(project.key)
    known = {t.statement for t in noted}
    start = max((t.position for t in noted), default=-1) + 1
    new = [uid for uid, copies in sorted(there.items(), key=lambda pair: int(pair[1][0]["id"])) if uid not in known]
    ledger.add_tasks(
        Task(project=project.key, position=start + n, statement=uid, draw=draw if uid in wanted else None)
        for n, uid in enumerate(new)
    )
