"""The calls to a Label Studio server: connecting, projects, tasks, users, and what an error there means.

The only module that imports ``label_studio_sdk``, and only inside functions: the import takes seconds. An error of the
SDK is never shown or chained, because its text holds response headers with the session cookie.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from annotation.codebook import Codebook
from annotation.interface import CAUSE, instructions, labeling_config
from corpus.errors import CodebookError, TreatyStanceError, UsageError

Client: TypeAlias = Any  # label_studio_sdk.LabelStudio, which cannot be named without importing it

_PAGE = 500
_BATCH = 500  # tasks a request: far below the server's limits, and a time-out leaves little unknown
_ONCE: dict[str, Any] = {"max_retries": 0}  # the server does not notice that a request is a repetition
_TITLE = range(3, 51)  # lengths that Label Studio accepts


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
    with calls("the server's version"):
        found = client.versions.get()
    return f"Label Studio {found.release} ({found.edition})"


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
    with calls("the list of projects"):
        found = [p.id for p in client.projects.list(title=title) if p.title == title]
    if len(found) > 1:
        raise UsageError(f"project {title!r}: {len(found)} projects bear that title ({found}); rename all but one")
    if not found:
        return None
    with calls(f"project {title!r}"):
        return client.projects.get(id=found[0])


def get_project(client: Client, number: int) -> Any | None:
    """Return the project of that number, None where the server has none.

    Raises:
        TreatyStanceError: when the server fails.
    """
    from label_studio_sdk.core.api_error import ApiError

    with calls(f"project {number}"):
        try:
            return client.projects.get(id=number)
        except ApiError as error:
            if error.status_code == 404:
                return None
            raise


def create_project(
    client: Client,
    title: str,
    codebook: Codebook,
    *,
    show_publisher: bool = False,
    assisted: bool = False,
    adjudication: bool = False,
) -> Any:
    """Make a project whose form is the codebook's and whose order is that of its tasks.

    Raises:
        CodebookError: when the codebook's keys clash.
        TreatyStanceError: when the server fails.
    """
    config = labeling_config(codebook, show_publisher=show_publisher, assisted=assisted, adjudication=adjudication)
    with calls(f"project {title!r}"):
        return client.projects.create(
            title=title,
            label_config=config,
            description=f"Made by treaty-stance with codebook {codebook.id}.",
            expert_instruction=instructions(codebook, adjudication=adjudication),
            show_instruction=True,
            show_collab_predictions=assisted,
            sampling="Sequential sampling",
            request_options=_ONCE,
        )


def check_project(
    project: Any,
    codebook: Codebook,
    *,
    show_publisher: bool | None = None,
    assisted: bool | None = None,
    adjudication: bool | None = None,
) -> None:
    """Refuse a project that was made with another codebook, or with another choice of what coders see; None asks nothing.

    Raises:
        CodebookError: when it was made with another codebook, or not by us.
        UsageError: when its coders see what they should not, or do not see what they should.
    """
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
    for what, wanted, shows in (
        ("the publisher", show_publisher, any("$publisher" in (e.get("value") or "") for e in root.iter("Header"))),
        ("a model's suggestions", assisted, bool(project.show_collab_predictions)),
        ("the adjudicator's question", adjudication, any(e.get("name") == CAUSE for e in root.iter())),
    ):
        if wanted is not None and shows != wanted:
            raise UsageError(
                f"project {project.title!r}: its coders {'see' if shows else 'do not see'} {what}, and this push asks for "
                "the opposite; use another project"
            )


def list_tasks(
    client: Client, project: int, *, fields: str = "task_only", filters: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return a project's tasks, all or those that pass Label Studio's filters, as JSON values in the order of their numbers.

    The SDK's pager takes an error 404 for the end of the list, so the number is compared with what the server says.

    Raises:
        TreatyStanceError: when the server fails or gives fewer tasks than it has.
    """
    query = {} if filters is None else {"query": json.dumps({"filters": filters})}
    with calls(f"project {project}"):
        pages = client.tasks.list(project=project, fields=fields, page_size=_PAGE, **query)
        tasks = {t["id"]: t for t in (json.loads(item.json()) for item in pages)}
        expected = pages.response.total if filters is not None else client.projects.get(id=project).task_number or 0
    if len(tasks) < expected or (filters is None and len(tasks) != expected):
        raise TreatyStanceError(
            f"project {project}: expected {expected} tasks, found {len(tasks)} in the server's list; nothing was read, "
            "try again"
        )
    return [tasks[number] for number in sorted(tasks)]


def send_tasks(client: Client, project: int, title: str, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Put tasks into a project, in order, some hundreds a request and none of these sent twice.

    Raises:
        TreatyStanceError: when the server fails; it may have taken the tasks all the same.
    """
    for start in range(0, len(tasks), _BATCH):
        what = f"project {title!r}, after {start} of {len(tasks)} new statements; push again, none is put in twice"
        with calls(what):
            client.projects.import_tasks(id=project, request=tasks[start : start + _BATCH], request_options=_ONCE)


def send_predictions(client: Client, project: int, title: str, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Put suggestions on tasks, each naming its ``task``, none of them sent twice.

    Raises:
        TreatyStanceError: when the server fails, or keeps fewer than it was sent.
    """
    for start in range(0, len(predictions), _BATCH):
        some = predictions[start : start + _BATCH]
        with calls(f"project {title!r}, after {start} of {len(predictions)} suggestions; push again"):
            kept = client.projects.import_predictions(id=project, request=some, request_options=_ONCE).created
        if kept != len(some):
            raise TreatyStanceError(f"project {title!r}: sent {len(some)} suggestions, the server kept {kept}; push again")


def show_predictions(client: Client, project: Any, predictions: Sequence[Mapping[str, Any]]) -> None:
    """Let coders begin from the suggestions of the model of the last one; without its name the server shows none.

    Raises:
        TreatyStanceError: when the server fails.
    """
    version = next((p["model_version"] for p in reversed(predictions)), project.model_version)
    if version != project.model_version:
        with calls(f"project {project.title!r}"):
            client.projects.update(id=project.id, model_version=version, request_options=_ONCE)


def remove_task(client: Client, task: int) -> None:
    """Delete a task.

    Raises:
        TreatyStanceError: when the server fails.
    """
    with calls(f"task {task}"):
        client.tasks.delete(id=task, request_options=_ONCE)


def list_users(client: Client) -> list[tuple[int, str, str, str]]:
    """Return number, e-mail, first name and username of everybody whom the server knows.

    Raises:
        TreatyStanceError: when the server fails.
    """
    with calls("the list of users"):
        return [(u.id, u.email or "", u.first_name or "", u.username or "") for u in client.users.list()]


def check_arrival(title: str, sent: Iterable[str], there: Mapping[str, Any]) -> None:
    """Compare the uids that were sent with those that the server has.

    Raises:
        TreatyStanceError: when one is missing.
    """
    sent = list(sent)
    missing = [uid for uid in sent if uid not in there]
    if missing:
        raise TreatyStanceError(
            f"project {title!r}: expected {len(sent)} statements, but the server lacks {len(missing)}, first "
            f"{missing[0]}; push again"
        )


def server_url(client: Client) -> str:
    """Return the server's address, with its path and without a slash at the end: what a ledger knows it by."""
    return str(client._client_wrapper.get_base_url()).rstrip("/")


def read_drafts(client: Client, task: int) -> list[dict[str, Any]]:
    """Return all coders' unsubmitted drafts on a task. In its list of tasks the server gives the caller's own only.

    Raises:
        TreatyStanceError: when the server fails.
    """
    # The SDK has no method for this address; what it sends all others with also renews the access token.
    with calls(f"the drafts on task {task}"):
        response = client._client_wrapper.httpx_client.request(f"api/tasks/{task}/drafts", method="GET")
        response.raise_for_status()
        found: list[dict[str, Any]] = response.json()
    return found


def by_uid(tasks: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Group tasks by our uid, in the order of their numbers; tasks that are not ours have none and are left out."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in tasks:
        uid = (task.get("data") or {}).get("uid")
        if isinstance(uid, str):
            found[uid].append(task)
    return dict(found)


@contextmanager
def calls(what: str) -> Iterator[None]:
    """Turn what can go wrong in a call to the server into one sentence without headers.

    Raises:
        TreatyStanceError: in the place of any error of the SDK or of the connection.
    """
    import httpx
    from label_studio_sdk.core.api_error import ApiError

    try:
        yield
    except ApiError as error:
        raise TreatyStanceError(f"{what}: Label Studio answers {error.status_code} ({_detail(error)})") from None
    except httpx.HTTPStatusError as error:
        raise TreatyStanceError(f"{what}: Label Studio answers {error.response.status_code} (no explanation)") from None
    except httpx.HTTPError as error:
        raise TreatyStanceError(f"{what}: Label Studio does not answer ({type(error).__name__})") from None


def _detail(error: Any) -> str:
    """Return what the server says of an error, in one line and without headers."""
    body = error.body
    if not isinstance(body, dict):
        return "no explanation"
    return " ".join(str(body.get("validation_errors") or body.get("detail") or "no explanation").split())[:300]
