"""Label Studio without a campaign: statements pushed into a project of some title, coders' answers pulled out of it.

``annotation.exchange`` does the same for a campaign, with a ledger; ``annotation.calls`` talks to the server.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from annotation.answers import Refusal, State, read_tasks, tally
from annotation.calls import (
    Client,
    check_arrival,
    check_project,
    connect,
    create_project,
    find_project,
    list_tasks,
    send_tasks,
    server_version,
)
from annotation.codebook import Codebook
from annotation.interface import task
from corpus.errors import RecordError, UsageError
from corpus.records import Annotation, Document, Statement

__all__ = ["Client", "PullResult", "PushResult", "connect", "find_project", "pull", "push", "server_version"]


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did. ``repeated`` counts tasks beyond the first that the server holds for a statement.

    ``removed`` counts such tasks that the push has deleted, since nobody had begun to answer them.
    """

    project: int
    created: bool
    added: int
    present: int
    repeated: int
    problems: tuple[str, ...] = ()
    removed: int = 0


@dataclass(frozen=True, slots=True)
class PullResult:
    """What a pull brought: annotations, and every answer or task that gave none, with the reason.

    ``unanswered`` counts tasks without any answer; ``counts`` are the refusals by state.
    """

    project: int
    tasks: int
    unanswered: int
    annotations: tuple[Annotation, ...]
    refusals: tuple[Refusal, ...]

    @property
    def counts(self) -> dict[State, int]:
        """Number of refusals by state."""
        return tally(self.refusals)


def push(
    client: Client,
    title: str,
    statements: Iterable[tuple[Statement, Document]],
    codebook: Codebook,
    *,
    show_publisher: bool = False,
) -> PushResult:
    """Put statements, each with its document, into the project of that title, which is made if there is none.

    A statement that is there already is not put in again, so a push can be repeated, also one that failed halfway.
    A statement that cannot be shown is named in ``problems``.

    Raises:
        UsageError: when the title cannot be used or belongs to several projects.
        CodebookError: when the project was made with another codebook.
        TreatyStanceError: when the server fails, or does not hold every statement in the end.
    """
    tasks, problems = _tasks(statements, show_publisher=show_publisher)
    project = find_project(client, title)
    created = project is None
    if project is None:
        project = create_project(client, title, codebook, show_publisher=show_publisher)
    check_project(project, codebook, show_publisher=show_publisher)
    if project.show_collab_predictions:
        problems.append(f"project {title!r} shows predictions to coders; switch that off to code blind")

    before = _uids(client, project.id)
    new = {uid: data for uid, data in tasks.items() if uid not in before}
    send_tasks(client, project.id, title, list(new.values()))
    after = _uids(client, project.id) if new else before
    check_arrival(title, tasks, after)
    repeated = sum(n - 1 for n in after.values())
    if repeated:
        problems.append(f"project {title!r} holds {repeated} tasks twice; delete them with the action Remove duplicates")
    return PushResult(project.id, created, len(new), len(tasks) - len(new), repeated, tuple(problems))


def pull(client: Client, title: str, codebook: Codebook) -> PullResult:
    """Read every answer in the project of that title.

    Raises:
        UsageError: when there is no such project, or several.
        CodebookError: when the project was made with another codebook.
        TreatyStanceError: when the server fails or gives fewer tasks than it says it has.
    """
    project = find_project(client, title)
    if project is None:
        raise UsageError(f"project {title!r}: the server has none of that title; push statements first or check the title")
    check_project(project, codebook)
    tasks = list_tasks(client, project.id, fields="all")
    readings = read_tasks(tasks, codebook, predictions_shown=bool(project.show_collab_predictions))
    return PullResult(
        project=project.id,
        tasks=len(tasks),
        unanswered=sum(not t.get("annotations") for t in tasks),
        annotations=readings.annotations,
        refusals=readings.refusals,
    )


def _tasks(
    statements: Iterable[tuple[Statement, Document]], *, show_publisher: bool
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return tasks by uid, in order, and the reasons why some statements have none."""
    tasks: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    for statement, document in statements:
        try:
            tasks.setdefault(statement.id, task(statement, document, show_publisher=show_publisher))
        except RecordError as error:
            problems.append(str(error))
    return tasks, problems


def _uids(client: Client, project: int) -> Counter[str]:
    """Count the project's tasks by our uid; tasks that are not ours have none and are left out."""
    found = (t.get("data") or {} for t in list_tasks(client, project))
    return Counter(str(data["uid"]) for data in found if "uid" in data)
