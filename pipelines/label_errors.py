"""The audit of gold: suspected errors go back to coders, blind among controls, and what they change becomes a case."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from annotation.campaign import Case, Item, Project, Recheck
from annotation.codebook import Codebook
from corpus.errors import RecordError, UsageError
from corpus.identity import digest
from corpus.records import Annotation, GoldLabel
from corpus.sources import Project as Workspace
from pipelines.labelled import Labelled, read_workspace

if TYPE_CHECKING:
    from annotation.exchange import PullReport
    from annotation.ledger import Ledger
    from models.dataset import Example
    from models.label_errors import Suspicion
    from models.recipe import Recipe

GOLD = "gold"  # the annotator of a reading that is the settled label
_FOLDS = 5

Say = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class AuditRequest:
    """How many suspects and controls go to which coders, with their e-mails where known, in which round."""

    coders: Mapping[str, str | None]
    round: str
    n: int = 50
    controls: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.n < 1 or self.controls < 0 or not self.coders:
            raise UsageError(
                f"{self.n} suspects, {self.controls} controls and {len(self.coders)} coders: expected at least one suspect, "
                "no negative number and one coder; give others"
            )


@dataclass(frozen=True)
class AuditPush:
    """An audit as it was sent. ``known`` says that it was open already and was only completed on the server.

    ``added`` counts tasks by coder, ``titles`` are those of the coders' projects; ``notes`` are sentences for the user.
    """

    audit: str
    known: bool
    rechecks: tuple[Recheck, ...]
    added: dict[str, int]
    titles: dict[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class AuditPull:
    """What the coders have said so far: projects read, and rechecks ``answered``, not ``judged``, and still ``open``.

    ``cases`` were opened now for changed labels; ``settled_before`` are changed labels that an adjudicator had settled, of
    which no case is made.
    """

    projects: tuple[PullReport, ...]
    answered: int
    unjudged: int
    open: int
    cases: int
    settled_before: tuple[str, ...]


def push_audit(
    workspace: Workspace,
    codebook: Codebook,
    request: AuditRequest,
    recipe: Recipe,
    *,
    at: str,
    client: Callable[[], Any],
    anew: bool = False,
    say: Say = lambda line: None,
) -> AuditPush:
    """Rank the gold labels by suspicion and send the worst, among controls, to coders who do not see the label.

    An audit that is still open is completed on the server instead; the same call twice draws once.

    Args:
        workspace: Whose gold.
        codebook: Under which it was settled.
        request: How many, to whom.
        recipe: Of the model that suspects; see :func:`models.label_errors.held_out_probabilities`.
        at: This moment in UTC.
        client: Connects to the server; called after the ranking, so that a long wait does not outlive a token.
        anew: Draw another audit although one is open.
        say: Is told, a line each, what is being done.

    Raises:
        UsageError: when there is no gold, an open audit has other coders, or nothing is left to look at.
        RecordError: when the labels are too few to learn from.
        CodebookError: when labels, codebook and project do not fit.
        TreatyStanceError: when the server fails.
    """
    from annotation.ledger import Ledger

    with Ledger.open(workspace.store_url) as ledger:
        past = [r for r in ledger.rechecks() if r.before.codebook_version == codebook.id]
        waiting = [r for r in past if r.closed is None]
        known = bool(waiting) and not anew
        notes: list[str] = []
        if known:
            audit = max(waiting, key=lambda r: (r.opened, r.audit)).audit
            rechecks = ledger.rechecks(audit)
            others = {r.coder for r in rechecks} - request.coders.keys()
            if others:
                raise UsageError(
                    f"audit {audit}: expected its coders {', '.join(sorted(others))} too, found "
                    f"{', '.join(request.coders)}; name them, or draw another audit with --new"
                )
            notes.append(
                f"{sum(r.closed is None for r in rechecks)} of its statements have no answer yet; none are drawn anew"
            )
        else:
            labelled = read_workspace(workspace, codebook)
            ranked = rank_gold(labelled, codebook, recipe, say=say)
            if mute := len(labelled.examples) - len(ranked):
                notes.append(f"{mute} labels cannot be judged: too few independent documents have their stance")
            rechecks, more = plan_rechecks(
                labelled, ranked, request, done={r.statement for r in past}, at=at, codebook=codebook
            )
            notes += more
            ledger.put_rechecks(rechecks)  # before anything is sent: a push that fails is completed by the next one
        sent = _send(ledger, client(), rechecks, codebook, request, at=at)
    return AuditPush(
        audit=rechecks[0].audit,
        known=known,
        rechecks=tuple(rechecks),
        added={coder: added for coder, (_, added) in sent.items()},
        titles={coder: title for coder, (title, _) in sent.items()},
        notes=tuple(notes),
    )


def rank_gold(
    labelled: Labelled, codebook: Codebook, recipe: Recipe, *, say: Say = lambda line: None
) -> tuple[Suspicion, ...]:
    """Rank gold labels by what models that have not seen them say, in folds that keep documents and near-copies together.

    Raises:
        RecordError: when there are too few labels to learn from.
    """
    from models.label_errors import held_out_probabilities, rank_labels
    from models.splits import group_examples
    from pipelines.experiment import make_folds
    from pipelines.selection import frozen_recipe

    examples = labelled.examples
    groups = len(set(group_examples(examples)))
    if groups < 2 * _FOLDS:
        raise RecordError(
            f"{labelled.name}: {groups} independent documents with gold labels, expected {2 * _FOLDS} or more to find "
            "errors by what the others say; label more documents"
        )
    say(f"{len(examples)} gold labels: asking models that have not seen them")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            made = list(make_folds(examples, folds=_FOLDS, seed=recipe.seed))
    except ValueError as error:  # scikit-learn's word for fewer cases of every stance than folds
        raise RecordError(
            f"{labelled.name}: expected {_FOLDS} gold labels or more of some stance, found fewer; label more"
        ) from error
    folds = [(f.training, f.development, f.held_out) for f in made]
    plain = frozen_recipe(recipe, len(examples))
    return rank_labels(examples, held_out_probabilities(examples, folds, codebook, plain), codebook)


def plan_rechecks(
    labelled: Labelled,
    ranked: Sequence[Suspicion],
    request: AuditRequest,
    *,
    done: set[str],
    at: str,
    codebook: Codebook,
) -> tuple[list[Recheck], list[str]]:
    """Choose suspects and controls, shuffle them, and deal each to one coder, who has not read it where that can be.

    Controls are drawn at random from all other judged labels. What was looked at before is left out. Where there are fewer
    labels than were asked for, suspects and controls are cut in like proportion.

    Returns:
        The rechecks in the order of their positions, and notes for the user.

    Raises:
        UsageError: when nothing is left to look at.
    """
    examples = {e.statement.id: e for e in labelled.examples}
    left = [s for s in ranked if s.statement not in done]
    if not left:
        raise UsageError(
            f"{labelled.name}: expected gold labels that no audit has looked at, found none; there is no more to do"
        )
    n, controls, notes = request.n, request.controls, []
    if len(left) < n + controls:
        n = max(1, len(left) * request.n // (request.n + request.controls))
        controls = len(left) - n
        notes.append(f"{len(left)} labels are left to look at, so {n} suspects and {controls} controls are sent")
    rng = np.random.default_rng(request.seed)
    rest = sorted(left[n:], key=lambda s: s.statement)
    drawn = [(s, False) for s in left[:n]] + [(rest[i], True) for i in rng.choice(len(rest), controls, replace=False)]
    shuffled = [drawn[i] for i in rng.permutation(len(drawn))]
    gold = digest(*(f"{e.statement.id} {msgspec.json.encode(e.gold).decode()}" for e in labelled.examples))
    audit = digest("audit", codebook.id, gold, str(request.n), str(request.controls), str(request.seed), *sorted(done))
    coders = _deal([s.statement for s, _ in shuffled], examples, tuple(request.coders))
    again = sum(
        c in {a.annotator for a in examples[s.statement].readings} for (s, _), c in zip(shuffled, coders, strict=True)
    )
    if again:
        notes.append(f"{again} statements go to a coder who has read them before; another coder would be a better judge")
    return [
        Recheck(
            audit=audit,
            statement=s.statement,
            position=i,
            control=control,
            score=s.score,
            before=_reading(examples[s.statement].gold),
            opened=at,
            round=request.round,
            coder=coder,
            suspected=s.question,
        )
        for i, ((s, control), coder) in enumerate(zip(shuffled, coders, strict=True))
    ], notes


def pull_audit(
    workspace: Workspace,
    codebook: Codebook,
    client: Any,
    *,
    round: str,
    at: str,
    full: bool = False,
    emails: Mapping[str, str] | None = None,
) -> AuditPull:
    """Read the coders' answers, note them beside the labels that they were asked about, and open cases for changed labels.

    Raises:
        UsageError: when no audit was sent in that round.
        TreatyStanceError: when the server fails.
    """
    from annotation.exchange import pull_project
    from annotation.ledger import Ledger

    with Ledger.open(workspace.store_url) as ledger:
        projects = ledger.projects(round=round, role="recheck")
        if not projects:
            raise UsageError(
                f"{workspace.root}: expected an audit in {round!r}, found none; send one with "
                "`treaty-stance annotate audit push`"
            )
        reports = [pull_project(client, ledger, p, at=at, full=full, emails=emails or {}) for p in projects]
        return replace(note_answers(ledger, codebook, at=at), projects=tuple(reports))


def note_answers(ledger: Ledger, codebook: Codebook, *, at: str) -> AuditPull:
    """Put what the ledger's answers say beside the rechecks, and open a case for each label that they change.

    A recheck follows its coder's current answer: one that was withdrawn opens it again. A case that is known, open or
    decided, is not touched.
    """
    from annotation.adjudication import shown_order

    projects = {p.key: p for p in ledger.projects(role="recheck")}
    said = {
        (a.statement, a.annotator): a
        for a in ledger.annotations(codebook_version=codebook.id, roles=("recheck",))
        if a.blind
    }
    unjudged = {
        (answer.statement, projects[answer.project].coder)
        for answer in ledger.answers()
        if answer.project in projects and answer.state == "cannot judge"
    }
    rechecks = []
    for r in ledger.rechecks():
        if r.before.codebook_version == codebook.id:
            key = (r.statement, r.coder)
            after = said.get(key)
            closed = (r.closed if after == r.after and r.closed else at) if after or key in unjudged else None
            rechecks.append(msgspec.structs.replace(r, after=after, closed=closed))
    ledger.put_rechecks(rechecks)
    known = {c.statement: c for c in ledger.cases() if c.codebook_version == codebook.id}
    readings: dict[str, list[Annotation]] = {}
    for a in ledger.annotations(codebook_version=codebook.id):
        if a.blind:
            readings.setdefault(a.statement, []).append(a)
    changed = [r for r in rechecks if r.after is not None and differs(r.before, r.after)]
    new = [
        Case(
            statement=r.statement,
            codebook_version=codebook.id,
            round=r.round,
            readings=shown_order([*readings.get(r.statement, [r.before]), r.after]),
            opened=at,
        )
        for r in changed
        if r.after is not None and r.statement not in known
    ]
    ledger.put_cases(new)
    return AuditPull(
        projects=(),
        answered=sum(r.after is not None for r in rechecks),
        unjudged=sum(r.after is None and r.closed is not None for r in rechecks),
        open=sum(r.closed is None for r in rechecks),
        cases=len(new),
        settled_before=tuple(
            r.statement
            for r in changed
            if (c := known.get(r.statement)) is not None and c.closed is not None and c.closed <= r.opened
        ),
    )


def differs(one: Annotation, other: Annotation) -> bool:
    """Whether two readings differ in what a model learns most of: the stance, or a concern."""
    return one.stance != other.stance or set(one.concerns) != set(other.concerns)


def _send(
    ledger: Ledger, client: Any, rechecks: Sequence[Recheck], codebook: Codebook, request: AuditRequest, *, at: str
) -> dict[str, tuple[str, int]]:
    """Complete each coder's project; return its title and how many tasks were added, by coder."""
    from annotation.exchange import Plan, open_project, push_tasks
    from annotation.interface import task

    items: dict[str, Item] = ledger.items([r.statement for r in rechecks])
    sent = {}
    for coder in dict.fromkeys(r.coder for r in rechecks):
        mine = [r for r in rechecks if r.coder == coder]
        plan = Plan(
            title=f"{mine[0].round} recheck, {coder}",
            round=mine[0].round,
            role="recheck",
            codebook=codebook,
            coder=coder,
            email=request.coders.get(coder),
        )
        project: Project = open_project(client, ledger, plan, at=at)
        tasks = [(r.statement, task(items[r.statement].statement, items[r.statement].document)) for r in mine]
        sent[coder] = plan.title, push_tasks(client, ledger, project, tasks).added
    return sent


def _deal(statements: Sequence[str], examples: Mapping[str, Example], coders: Sequence[str]) -> list[str]:
    """Return who looks at each statement: of those who have not read it, or else of all, the one with the fewest so far."""
    load = dict.fromkeys(coders, 0)
    dealt = []
    for statement in statements:
        readers = {a.annotator for a in examples[statement].readings}
        coder = min([c for c in coders if c not in readers] or coders, key=lambda c: load[c])
        load[coder] += 1
        dealt.append(coder)
    return dealt


def _reading(gold: GoldLabel) -> Annotation:
    """Return a settled label in the form of a reading."""
    fields = (
        "statement",
        "codebook_version",
        "stance",
        "concerns",
        "holder",
        "holder_type",
        "holder_start",
        "holder_end",
        "voice",
    )
    return Annotation(annotator=GOLD, **{name: getattr(gold, name) for name in fields})
