"""A campaign's jobs: statements drawn from the corpus go to coders' projects, their answers come back into the ledger."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.campaign import Draw, Item, Project, Task
from annotation.changes import check_codebook
from annotation.codebook import Codebook
from annotation.exchange import Plan, PullReport, open_project, pull_project, push_tasks
from annotation.interface import prediction, task
from annotation.label_studio import Client, PushResult
from annotation.ledger import Ledger
from annotation.sampling import PREDICTED
from corpus.errors import RecordError, UsageError
from corpus.files import write_jsonl
from corpus.records import Prediction
from corpus.sources import load_project
from corpus.store import Store
from pipelines.collect import open_corpus
from pipelines.draw import Request, plan_draw
from pipelines.frame import Frame, corpus_frame, source_frame
from pipelines.workspace import workspace_client, workspace_codebook

if TYPE_CHECKING:
    from models.predictor import Predictor

ROUND = "Round 1"
_CODER = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")


@dataclass(frozen=True, slots=True)
class Order:
    """What a push is asked for. ``coders`` are names, with the e-mail by which the server knows them where it was given.

    ``source`` is a folder of documents or a queue instead of the workspace's corpus. ``model`` is a bundle: for the
    strategies that ask a model, and for suggestions where ``assisted``.
    """

    request: Request
    coders: Mapping[str, str | None]
    model: Path | None = None
    assisted: bool = False
    show_publisher: bool = False
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class CampaignPush:
    """What a push did: its draw, whether an earlier push had made that (``known``), and what each coder's project holds."""

    draw: Draw
    known: bool
    projects: Mapping[str, tuple[Project, PushResult]]
    audit: int
    notes: tuple[str, ...]


def read_coders(text: str) -> dict[str, str | None]:
    """Read ``anna,ben=ben@ngo.org``: coders by name, with the e-mail by which the server knows them.

    Raises:
        UsageError: on a name that is none, stands twice, or an e-mail that is none.
    """
    coders: dict[str, str | None] = {}
    for part in text.split(","):
        name, given, email = (s.strip() for s in part.partition("="))
        if not _CODER.fullmatch(name):
            raise UsageError(
                f"coder {name!r}: expected a name of small letters, digits, - and _, as in anna,ben; write it so"
            )
        if given and not _EMAIL.fullmatch(email):
            raise UsageError(f"coder {name!r}: expected an e-mail address behind =, found {email!r}; write it whole")
        if name in coders:
            raise UsageError(f"coder {name!r}: expected each name once, found it twice; take one out")
        coders[name] = email or None
    return coders


def push_campaign(
    workspace: Path, order: Order, *, at: str, environ: Mapping[str, str], client: Client | None = None
) -> CampaignPush:
    """Draw statements and put them into one project a coder, in an order of ours; finish what an earlier push began.

    The draw is noted in the ledger before anything is sent. The same request a second time draws nothing new: it completes
    what the server lacks of it.

    Args:
        workspace: The folder.
        order: What to draw, and for whom.
        at: This moment in UTC.
        environ: Where ``LABEL_STUDIO_URL`` and ``LABEL_STUDIO_API_KEY`` are looked for.
        client: A server that is connected already.

    Raises:
        UsageError: when workspace, order, environment or server are not as expected, or nothing can be drawn.
        CodebookError: when the codebook changed in a way that would break what was coded.
        TreatyStanceError: when the server fails.
    """
    if order.assisted and order.model is None:
        raise UsageError("suggestions need a model; name a bundle with --model, or code without suggestions")
    project = load_project(workspace)
    codebook = workspace_codebook(workspace)
    with Ledger.open(project.store_url) as ledger:
        notes = list(check_codebook(ledger, order.request.round, codebook) or ())
        client = client or workspace_client(workspace, environ)
        predictor = _predictor(order, codebook)
        source = str(order.source.resolve()) if order.source else None
        # To judge a whole corpus takes long, and suggestions need only what was drawn.
        judge = predictor if _asks_model(order.request) else None
        request = replace(order.request, source=source, model_id=judge.model_id if judge else None)
        draw = next((d for d in ledger.draws() if request.is_of(d)), None)
        known = draw is not None
        if draw is None:
            with open_corpus(project) as store:
                frame = _frame(order, store, codebook, judge, seen={s.partition(":")[0] for s in ledger.items()})
                drawn = plan_draw(frame, ledger, request, made=at, codebook_version=codebook.id)
                notes += frame.problems
        opened = {coder: open_project(client, ledger, _plan(order, codebook, coder), at=at) for coder in order.coders}
        if draw is None:
            draw = drawn.draw
            tasks = [
                Task(project=opened[coder].key, position=position, statement=statement, draw=draw.id)
                for coder, statements in drawn.order.items()
                for position, statement in enumerate(_new(ledger, opened[coder], statements), _next(ledger, opened[coder]))
            ]
            ledger.add_draw(draw, drawn.sampled, items=drawn.items.values(), tasks=tasks)
        pushed = {
            coder: (found, _complete(client, ledger, found, codebook, predictor if order.assisted else None, draw.id))
            for coder, found in opened.items()
        }
        audit = len(ledger.sampled(draw.id))
    return CampaignPush(draw, known, pushed, audit, tuple(notes))


def pull_campaign(
    workspace: Path,
    *,
    at: str,
    environ: Mapping[str, str],
    round: str | None = None,
    full: bool = False,
    coders: Mapping[str, str | None] | None = None,
    export: Path | None = None,
    client: Client | None = None,
) -> tuple[PullReport, ...]:
    """Read what coders did since the last pull into the ledger; ``export`` also writes the readings that count, a line each.

    Args:
        workspace: The folder.
        at: This moment in UTC.
        environ: Where the server is named.
        round: Of these projects only.
        full: Compare everything, not only what is newer.
        coders: E-mails that the projects' coders turn out to have.
        export: A file, replaced if it is there.
        client: A server that is connected already.

    Raises:
        UsageError: when nothing was pushed yet, or workspace, environment or server are not as expected.
        TreatyStanceError: when the server fails or gives fewer tasks than it has.
    """
    project = load_project(workspace)
    with Ledger.open(project.store_url) as ledger:
        projects = [p for role in ("coding", "recoding") for p in ledger.projects(round=round, role=role)]
        if not projects:
            what = "round " + repr(round) if round else "campaign"
            raise UsageError(f"{workspace}: expected a {what} that was pushed, found none; push statements first")
        client = client or workspace_client(workspace, environ)
        emails = {coder: email for coder, email in (coders or {}).items() if email}
        reports = tuple(pull_project(client, ledger, p, at=at, full=full, emails=emails) for p in projects)
        if export is not None:
            write_jsonl(export, ledger.annotations(round=round))
    return reports


def _plan(order: Order, codebook: Codebook, coder: str) -> Plan:
    return Plan(
        title=f"{order.request.round}, {coder}",
        round=order.request.round,
        role="coding",
        codebook=codebook,
        coder=coder,
        email=order.coders[coder],
        assisted=order.assisted,
        show_publisher=order.show_publisher,
    )


def _predictor(order: Order, codebook: Codebook) -> Predictor | None:
    if order.model is None:
        return None
    from models.predictor import Predictor

    predictor = Predictor.load(order.model)
    if predictor.codebook.id != codebook.id:
        raise UsageError(
            f"{order.model}: its codebook is {predictor.codebook.id}, the workspace's is {codebook.id}; train a bundle with "
            "the workspace's codebook"
        )
    return predictor


def _frame(order: Order, store: Store, codebook: Codebook, judge: Predictor | None, seen: set[str]) -> Frame:
    """Return what can be drawn; of a story, a document that coders have seen goes before one that they have not."""
    vectors = order.request.strategy == "diverse"
    if order.source is not None:
        return source_frame(order.source, codebook, model=judge, vectors=vectors, prefer=seen)
    return corpus_frame(store, model=judge, vectors=vectors, prefer=seen)


def _asks_model(request: Request) -> bool:
    """Return whether a draw depends on what a model says of the statements."""
    balanced = request.strategy == "balanced" and request.by is None
    return balanced or request.strategy == "uncertain" or request.by == PREDICTED


def _new(ledger: Ledger, project: Project, statements: Sequence[str]) -> list[str]:
    """Return the statements that a project has no place for yet, in their order."""
    there = {t.statement for t in ledger.tasks(project.key)}
    return [s for s in statements if s not in there]


def _next(ledger: Ledger, project: Project) -> int:
    return 1 + max((t.position for t in ledger.tasks(project.key)), default=-1)


def _complete(
    client: Client, ledger: Ledger, project: Project, codebook: Codebook, predictor: Predictor | None, draw: str
) -> PushResult:
    """Put into a project whatever the ledger has planned for it and the server lacks."""
    planned = [t.statement for t in ledger.tasks(project.key)]
    items = ledger.items(planned)
    lost = [s for s in planned if s not in items]
    if lost:
        raise RecordError(f"project {project.title!r}: statement {lost[0]} is planned but not kept; restore the database")
    suggestions = _suggestions(predictor, codebook, [items[s] for s in planned])
    made = []
    for statement in planned:
        item = items[statement]
        shown = task(item.statement, item.document, show_publisher=project.show_publisher)
        if suggestions is not None:
            shown["predictions"] = [prediction(codebook, item, suggestions[statement])]
        made.append((statement, shown))
    return push_tasks(client, ledger, project, made, draw=draw)


def _suggestions(predictor: Predictor | None, codebook: Codebook, items: Sequence[Item]) -> dict[str, Prediction] | None:
    if predictor is None:
        return None
    from models.passage import Passage

    judged = predictor.judge([Passage(i.statement.text, i.document.title, i.statement.before) for i in items])
    return {
        i.statement.id: Prediction(
            statement=i.statement.id,
            model_id=predictor.model_id,
            codebook_version=codebook.id,
            stance=j.stance,
            probabilities=dict(zip(codebook.stance_ids, j.probabilities, strict=True)),
            concerns=j.concerns,
            concern_probabilities=dict(zip(codebook.concern_ids, j.concern_probabilities, strict=True)),
            confidence=j.confidence,
            holder=None if j.holder_start is None else i.statement.text[j.holder_start : j.holder_end],
            holder_start=j.holder_start,
            holder_end=j.holder_end,
            holder_type=j.holder_type,
        )
        for i, j in zip(items, judged, strict=True)
    }
