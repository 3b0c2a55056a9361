"""Label Studio: statements pushed into a project, coders' answers pulled out of it.

The only module that imports ``label_studio_sdk``, and only inside functions: the import takes seconds. An error of the
SDK is never shown or chained, because its text holds response headers with the session cookie.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from annotation.answers import Refusal, State, read_tasks, tally
from annotation.codebook import Codebook
from annotation.interface import instructions, labeling_config, task
from corpus.errors import CodebookError, RecordError, TreatyStanceError, UsageError
from corpus.records import Annotation, Document, Statement

Client: TypeAlias = Any  # label_studio_sdk.LabelStudio, which cannot be named without importing it

_PAGE = 500
_BATCH = 1000  # tasks a request: far below the server's limits, and a time-out leaves little unknown
_ONCE: dict[str, Any] = {"max_retries": 0}  # the server does not notice that a request is a repetition
_TITLE = range(3, 51)  # lengths that Label Studio accepts


@dataclass(frozen=True, slots=True)
class PushResult:
    """What a push did. ``repeated`` counts tasks beyond the first that the server holds for a statement."""

    project: int
    created: bool
    added: int
    present: int
    repeated: int
    problems: tuple[str, ...] = ()


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


def connect(url: str, key: str, *, timeout: float = 60.0) -> Client:
    """Return a client of the server at ``url`` that has proved its key. ``timeout`` is in seconds, per request.

    ``key`` is a personal access token, or a legacy token where the server still allows them.

    Raises:
        UsageError: when nothing answers there, something else than Label Studio does, or the key is refused.
    """
    import httpx
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.core.api_error import ApiError

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r}: expected the address of a Label Studio server, as in http://localhost:8080")
    if not key.strip():
        raise UsageError(f"{url}: expected a key, found none; make a personal access token under Account & Settings")
    # Without the slash, a server under a path (http://host/ls) would be asked for its token at http://host.
    base = url.rstrip("/") + "/"
    try:
        client = LabelStudio(base_url=base, api_key=key.strip(), timeout=timeout)  # type: ignore[no-untyped-call]
        client.users.whoami()
    except ApiError as error:
        if error.status_code in (401, 403):
            raise UsageError(
                f"{base}: the server refuses the key ({_detail(error)}); expected a personal access token, copied "
                "whole from Account & Settings, or a legacy token where an administrator has allowed them"
            ) from None
        raise UsageError(
            f"{base}: expected a Label Studio server, found answer {error.status_code} ({_detail(error)}); check it"
        ) from None
    except httpx.HTTPError as error:
        raise UsageError(
            f"{base}: no Label Studio server answers ({type(error).__name__}); start it or check the address"
        ) from None
    except ValueError:  # an answer that is not JSON, or a key that cannot stand in a header
        raise UsageError(
            f"{base}: expected a Label Studio server, found an answer that it would not give; check address and key"
        ) from None
    return client


def server_version(client: Client) -> str:
    """Return edition and version of the server, for manifests: ``Label Studio 1.23.2 (Community)``."""
    with _calls("the server's version"):
        found = client.versions.get()
    return f"Label Studio {found.release} ({found.edition})"


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
    config = labeling_config(codebook, show_publisher=show_publisher)
    project = find_project(client, title)
    created = project is None
    if project is None:
        with _calls(f"project {title!r}"):
            project = client.projects.create(
                title=title,
                label_config=config,
                description=f"Made by treaty-stance with codebook {codebook.id}.",
                expert_instruction=instructions(codebook),
                show_instruction=True,
                show_collab_predictions=False,
                sampling="Sequential sampling",
                request_options=_ONCE,
            )
    _check_codebook(project, codebook, show_publisher=show_publisher)
    if project.show_collab_predictions:
        problems.append(f"project {title!r} shows predictions to coders; switch that off to code blind")

    before = _uids(client, project.id)
    new = [data for uid, data in tasks.items() if uid not in before]
    for start in range(0, len(new), _BATCH):
        with _calls(f"project {title!r}, after {start} of {len(new)} new statements; push again, none is put in twice"):
            client.projects.import_tasks(id=project.id, request=new[start : start + _BATCH], request_options=_ONCE)

    after = _uids(client, project.id) if new else before
    missing = [uid for uid in tasks if uid not in after]
    if missing:
        raise TreatyStanceError(
            f"project {title!r}: expected {len(tasks)} statements, but the server lacks {len(missing)}, first "
            f"{missing[0]}; push again"
        )
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
    _check_codebook(project, codebook)
    tasks = list(_all_tasks(client, project.id, fields="all"))
    readings = read_tasks(tasks, codebook, predictions_shown=bool(project.show_collab_predictions))
    return PullResult(
        project=project.id,
        tasks=len(tasks),
        unanswered=sum(not t.get("annotations") for t in tasks),
        annotations=readings.annotations,
        refusals=readings.refusals,
    )


def find_project(client: Client, title: str) -> Any | None:
    """Return the project of exactly that title, None if there is none.

    Raises:
        UsageError: when Label Studio would not take the title, or several projects bear it.
    """
    if len(title) not in _TITLE or title != title.strip():
        raise UsageError(
            f"project {title!r}: expected a title of {_TITLE[0]} to {_TITLE[-1]} characters without spaces around it, "
            f"found {len(title)}; choose another"
        )
    with _calls("the list of projects"):
        found = [p.id for p in client.projects.list(title=title) if p.title == title]
    if len(found) > 1:
        raise UsageError(f"project {title!r}: {len(found)} projects bear that title ({found}); rename all but one")
    if not found:
        return None
    with _calls(f"project {title!r}"):
        return client.projects.get(id=found[0])


def _check_codebook(project: Any, codebook: Codebook, *, show_publisher: bool | None = None) -> None:
    """Refuse a project that was made with another codebook, or with another choice of what coders see."""
    try:
        root = ET.fromstring(project.label_config or "<View/>")  # noqa: S314 - the server we log in to
        found = root.get("codebook")
    except ET.ParseError:
        root, found = ET.Element("View"), None
    if found != codebook.id:
        raise CodebookError(
            f"project {project.title!r}: expected codebook {codebook.id}, found {found or 'none'} in its labeling "
            "interface; use that codebook, or another project for this one"
        )
    shows = any("$publisher" in (e.get("value") or "") for e in root.iter("Header"))
    if show_publisher is not None and shows != show_publisher:
        raise UsageError(
            f"project {project.title!r}: its coders {'see' if shows else 'do not see'} the publisher, and this push "
            "asks for the opposite; use another project"
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
    found = (t.get("data") or {} for t in _all_tasks(client, project, fields="task_only"))
    return Counter(str(data["uid"]) for data in found if "uid" in data)


def _all_tasks(client: Client, project: int, *, fields: str) -> Sequence[dict[str, Any]]:
    """Return all tasks as JSON values.

    The SDK's pager takes an error 404 for the end of the list, so the number is compared with the project's own.
    """
    with _calls(f"project {project}"):
        pages = client.tasks.list(project=project, fields=fields, page_size=_PAGE)
        tasks = {t["id"]: t for t in (json.loads(item.json()) for item in pages)}
        expected = client.projects.get(id=project).task_number or 0
    if len(tasks) != expected:
        raise TreatyStanceError(
            f"project {project}: expected {expected} tasks, found {len(tasks)} in the server's list; nothing was read, "
            "try again"
        )
    return list(tasks.values())


@contextmanager
def _calls(what: str) -> Iterator[None]:
    """Turn what can go wrong in a call to the server into one sentence without headers."""
    import httpx
    from label_studio_sdk.core.api_error import ApiError

    try:
        yield
    except ApiError as error:
        raise TreatyStanceError(f"{what}: Label Studio answers {error.status_code} ({_detail(error)})") from None
    except httpx.HTTPError as error:
        raise TreatyStanceError(f"{what}: Label Studio does not answer ({type(error).__name__})") from None


def _detail(error: Any) -> str:
    """Return what the server says of an error, in one line and without headers."""
    body = error.body
    if not isinstance(body, dict):
        return "no explanation"
    return " ".join(str(body.get("validation_errors") or body.get("detail") or "no explanation").split())[:300]
