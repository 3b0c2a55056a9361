"""What a pull makes of a project: whose answers count, what each gives now, and what has changed since the last time.

Plain data in, plain data out; ``annotation.exchange`` talks to the server and to the ledger.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from annotation.answers import Refusal, read_answers
from annotation.campaign import Answer, Project
from annotation.codebook import Codebook
from annotation.server import same_server
from corpus.identity import digest
from corpus.records import Annotation

COUNTED, DELETED, DRAFT = "counted", "deleted", "draft"
ADJUDICATOR = "adjudicator"
_UNSTABLE = frozenset({"created_username", "created_ago", "user"})  # the first and the last name people, the second ages


@dataclass(frozen=True, slots=True)
class User:
    """A person as the server knows them."""

    number: int
    email: str
    first_name: str = ""
    username: str = ""

    def is_called(self, name: str) -> bool:
        """Whether the first name, the username or the e-mail's local part is ``name``, in whatever case."""
        return name.casefold() in {n.casefold() for n in (self.first_name, self.username, self.email.partition("@")[0])}


@dataclass(frozen=True, slots=True)
class Changes:
    """How the answers of a pull differ from those of the last one. ``notes`` are the states that the ledger has to add."""

    new: int
    changed: int
    gone: int
    notes: tuple[Answer, ...]


def who_codes(
    project: Project, projects: Iterable[Project], users: Sequence[User], answering: Collection[int]
) -> tuple[Project, dict[int, str] | None]:
    """Say whose answers count in a project, by the server's number of the user; None where everybody's do.

    In a coder's project these are the answers of the user with the coder's e-mail; without one, of the user who is called
    like the coder; else of the only one who answered there. That one's e-mail is kept, so that a later answer of somebody
    else does not put the coder in doubt. Nobody who is another coder is taken. In adjudication everybody counts, under one
    name.

    Args:
        project: The project.
        projects: All projects of the ledger.
        users: The server's users.
        answering: Numbers of the users who have answered in the project.

    Returns:
        The project, with the e-mail where it was found out, and names by user.
    """
    if project.role == "adjudication":
        return project, dict.fromkeys(answering, project.coder or ADJUDICATOR)
    if project.coder is None:
        return project, None
    here = [p for p in projects if same_server(p.server, project.server) and p.coder is not None]
    own = [p.email for p in here if p.coder == project.coder and p.email]
    email = project.email or (own[-1] if own else None)
    if email is not None:
        known = [u.number for u in users if u.email.casefold() == email.casefold()]
        return msgspec.structs.replace(project, email=email), dict.fromkeys(known, project.coder)
    others = {p.coder for p in here if p.coder is not None and p.coder != project.coder}
    taken = {p.email.casefold() for p in here if p.email and p.coder != project.coder}
    free = [u for u in users if u.email.casefold() not in taken]
    called = [u for u in free if u.is_called(project.coder)]
    if len(called) > 1:
        called = [u for u in called if u.number in answering]
    if len(called) == 1:
        return project, {called[0].number: project.coder}
    only = [u for u in free if {u.number} == set(answering) and not any(u.is_called(other) for other in others)]
    if called or not only:
        return project, {}
    return msgspec.structs.replace(project, email=only[0].email), {only[0].number: project.coder}


def read_project(
    project: Project,
    codebook: Codebook,
    tasks: Sequence[Mapping[str, Any]],
    kept: Sequence[Answer],
    *,
    texts: Mapping[str, str],
    names: Mapping[int, str] | None,
    predictions_shown: bool,
    assisted: Collection[int] = (),
    at: str,
) -> dict[int, Answer]:
    """Return every submitted answer of a project as the ledger keeps it, by number.

    Args:
        project: The project.
        codebook: The codebook that it was made with.
        tasks: The tasks that were read now, with their answers.
        kept: Answers of other tasks, as an earlier pull found them.
        texts: The ledger's texts of statements. A task that shows another text gives no annotation.
        names: Who counts, as :func:`who_codes` says.
        predictions_shown: Whether coders see suggestions.
        assisted: Numbers of answers that were once read as not blind, and stay so.
        at: This moment.
    """
    raws = {a.number: json.loads(a.raw) for a in kept}
    shown = {a.task: (a.text, a.suggestions) for a in kept} | {t["id"]: _shown(t, texts) for t in tasks}
    by_task: dict[int, list[Answer]] = defaultdict(list)
    for answer in kept:
        if answer.statement is not None:
            by_task[answer.task].append(answer)
    earlier = [
        {
            "id": task,
            "data": {"uid": some[0].statement, "text": some[0].text or texts.get(some[0].statement or "", "")},
            "total_predictions": some[0].suggestions,
            "annotations": [raws[a.number] for a in some],
        }
        for task, some in by_task.items()
    ]
    found = {a.number: a for a in kept if a.statement is None}  # of no statement, so nothing else bears on them
    for read in read_answers(
        [*earlier, *tasks],
        codebook,
        predictions_shown=predictions_shown,
        adjudication=project.role == "adjudication",
        names=names,
    ):
        if read.number is None or read.task is None:
            continue
        outcome = read.outcome
        text, suggestions = shown[read.task]
        statement = outcome.statement
        if text is not None and statement is not None and texts.get(statement, text) != text:
            reason = "the task's text was altered on the server; it is not the statement's"
            source = f"annotation {read.number} of task {read.task}"
            outcome = Refusal("invalid", reason, source, statement, outcome.annotator)
        if isinstance(outcome, Annotation) and read.number in assisted:
            outcome = msgspec.structs.replace(outcome, blind=False)
        found[read.number] = _stamped(
            Answer(
                project=project.key,
                number=read.number,
                stamp="",
                task=read.task,
                state=outcome.state if isinstance(outcome, Refusal) else COUNTED,
                seen=at,
                raw=_raw(read.raw),
                reason=outcome.reason if isinstance(outcome, Refusal) else "",
                updated=moment(read.raw.get("updated_at")),
                statement=statement,
                annotator=outcome.annotator,
                annotation=outcome if isinstance(outcome, Annotation) else None,
                text=text,
                suggestions=suggestions,
            )
        )
    return found


def read_draft(
    project: Project,
    task: Mapping[str, Any],
    draft: Mapping[str, Any],
    *,
    users: Sequence[User],
    names: Mapping[int, str] | None,
    at: str,
) -> Answer:
    """Return what a coder has begun and not submitted, as the ledger keeps it."""
    email = str(draft.get("user") or "").casefold()
    number = next((u.number for u in users if u.email.casefold() == email), None)
    annotator = None if number is None else f"label-studio-{number}"
    if number is not None and names is not None:
        annotator = names.get(number, annotator)
    of = draft.get("annotation")
    uid = (task.get("data") or {}).get("uid")
    return _stamped(
        Answer(
            project=project.key,
            number=-int(draft["id"]),
            stamp="",
            task=task["id"],
            state=DRAFT,
            seen=at,
            raw=_raw(draft),
            reason="begun and not submitted" if of is None else f"a change of annotation {of}, begun and not submitted",
            updated=moment(draft.get("updated_at")),
            statement=uid if isinstance(uid, str) else None,
            annotator=annotator,
        )
    )


def compare(known: Mapping[int, Answer], found: Mapping[int, Answer], tasks: Collection[int] | None, *, at: str) -> Changes:
    """Compare the answers of a pull with the ledger's current ones, by number.

    An answer that is not there any more becomes one of state ``deleted``; a draft that is gone was submitted or thrown away
    and is no longer current. ``tasks`` are the numbers of all tasks, None where not all were read.
    """
    new = [a for n, a in found.items() if n not in known]
    changed = [a for n, a in found.items() if n in known and known[n].stamp != a.stamp]
    missing = [a for n, a in known.items() if n not in found and a.state != DELETED]
    over = [msgspec.structs.replace(a, current=False) for a in missing if a.state == DRAFT]
    gone = []
    for answer in missing:
        if answer.state != DRAFT:
            what = "its task" if tasks is not None and answer.task not in tasks else "it"
            reason = f"{what} is no longer on the server; it was {answer.state!r}"
            gone.append(
                _stamped(
                    msgspec.structs.replace(
                        answer, state=DELETED, reason=reason, seen=at, annotation=None, raw="{}", updated=None
                    )
                )
            )
    return Changes(
        new=sum(is_submitted(a) for a in new),
        changed=sum(is_submitted(a) for a in changed),
        gone=len(gone),
        notes=(*new, *changed, *over, *gone),
    )


def is_submitted(answer: Answer) -> bool:
    """Whether an answer is on the server and no draft."""
    return answer.state not in (DRAFT, DELETED)


def moment(value: object) -> str | None:
    """Return a moment of the server in one form, whose alphabetical order is that of time; None where it is none."""
    try:
        return parse_moment(str(value)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except ValueError:
        return None


def parse_moment(value: str) -> datetime:
    """Read a moment in ISO form; without an offset it is UTC.

    Raises:
        ValueError: when it is none.
    """
    found = datetime.fromisoformat(value)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _shown(task: Mapping[str, Any], texts: Mapping[str, str]) -> tuple[str | None, int]:
    """Return a task's text, None where it is the ledger's, and the number of its suggestions."""
    data = task.get("data") or {}
    text = data.get("text")
    if not isinstance(text, str) or texts.get(str(data.get("uid"))) == text:
        text = None
    return text, int(task.get("total_predictions") or 0)


def _raw(answer: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in answer.items() if k not in _UNSTABLE}, sort_keys=True)


def _stamped(answer: Answer) -> Answer:
    """Return the answer with a hash of what the server said and of what it was taken for."""
    said = msgspec.json.encode(answer.annotation).decode("utf-8")
    stamp = digest(answer.raw, answer.state, answer.reason, answer.annotator or "", answer.statement or "", said)
    return msgspec.structs.replace(answer, stamp=stamp)
