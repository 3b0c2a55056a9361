"""What a campaign is made of: projects, draws, tasks, answers and cases, as the ledger keeps them."""

from __future__ import annotations

from typing import Literal

from corpus.identity import digest
from corpus.records import Annotation, Document, Record, Statement

Role = Literal["coding", "recoding", "adjudication", "recheck"]
"""What a project is for: first coding, coding anew after a change of the codebook, settling, or checking settled labels."""

Cause = Literal["ambiguous", "gap", "slip"]
"""Why coders differed: the text permits both, the codebook does not say, or one of them erred."""


class Item(Record, frozen=True, kw_only=True):
    """A statement that was drawn, with its document, as coders saw them. The corpus may change; this copy does not."""

    statement: Statement
    document: Document


class Project(Record, frozen=True, kw_only=True):
    """One project on a Label Studio server, made by a campaign.

    ``round`` is the campaign's name for the round of coding; ``coder`` is whose project it is (None where it is nobody's
    alone), ``email`` how the server knows them, where that was said. ``codebook`` is the whole codebook as JSON text.
    ``assisted`` projects show a model's suggestions. ``made`` is a moment in UTC.
    """

    server: str
    number: int
    title: str
    round: str
    role: Role
    codebook_version: str
    codebook: str
    made: str
    coder: str | None = None
    email: str | None = None
    assisted: bool = False
    show_publisher: bool = False

    @property
    def key(self) -> str:
        """Hash of server and number: what other records call the project."""
        return digest(self.server, str(self.number))


class Draw(Record, frozen=True, kw_only=True):
    """One sampling of statements from a frame. ``settings`` and ``frame_hash`` are all that is needed to draw it again.

    ``frame`` is the number of statements that could be drawn, ``left_out`` counts the others by reason. ``strata`` are the
    strata of the audit sample with their sizes in the frame.
    """

    id: str
    made: str
    round: str
    strategy: str
    seed: int
    frame: int
    frame_hash: str
    settings: dict[str, str | int | float | bool | list[str] | None] = {}
    left_out: dict[str, int] = {}
    strata: dict[str, int] = {}


class Task(Record, frozen=True, kw_only=True):
    """A statement's place in a project: ``position`` counts from 0 in the order in which its coder sees them."""

    project: str
    position: int
    statement: str
    draw: str | None = None


class Sampled(Record, frozen=True, kw_only=True):
    """A statement of an audit sample, with the probability that this draw would have it."""

    draw: str
    statement: str
    stratum: str
    inclusion_probability: float

    def __post_init__(self) -> None:
        if not 0 < self.inclusion_probability <= 1:
            raise ValueError(f"inclusion_probability is {self.inclusion_probability}, expected a number in (0, 1]")


class Answer(Record, frozen=True, kw_only=True):
    """One state of one answer on the server, as a pull found it.

    ``number`` is Label Studio's own, ``stamp`` a hash of what it said, so that every state that was ever pulled stays.
    ``state`` is ``counted`` where it gave ``annotation``, else the reason's kind (``annotation.answers.State``). ``current``
    says whether the newest pull still found it so. ``raw`` is the server's JSON, without what names a person.

    A draft has the negative of its own number; an answer that is gone has the state ``deleted`` and an empty ``raw``.
    ``text`` is what the server showed where the ledger has no such statement or another text for it, and ``suggestions``
    how many predictions the task had.
    """

    project: str
    number: int
    stamp: str
    task: int
    state: str
    seen: str
    raw: str
    reason: str = ""
    updated: str | None = None
    statement: str | None = None
    annotator: str | None = None
    annotation: Annotation | None = None
    current: bool = True
    text: str | None = None
    suggestions: int = 0


class Pull(Record, frozen=True, kw_only=True):
    """One reading of one project: when, how much was there, and when the server last changed one of the tasks read so far.

    ``full`` says that all tasks were read, not only those changed since the last pull. ``counts`` are current answers by
    state, and repeated tasks.
    """

    project: str
    at: str
    tasks: int
    answers: int
    full: bool
    newest: str | None = None
    counts: dict[str, int] = {}


class Case(Record, frozen=True, kw_only=True):
    """A statement on which coders differ, and how it was settled.

    ``readings`` stand in the order in which the adjudicator sees them as A, B and so on. ``decision`` is the adjudicator's
    own reading, None while the case is open.
    """

    statement: str
    codebook_version: str
    round: str
    readings: tuple[Annotation, ...]
    opened: str
    decision: Annotation | None = None
    cause: Cause | None = None
    closed: str | None = None


class Recheck(Record, frozen=True, kw_only=True):
    """A statement whose settled label is looked at again, blind: a suspected error, or a control among those.

    ``before`` is the label that gold had, ``score`` how well it fits what a model says of it (0 to 1, low is suspicious)
    and ``suspected`` the question, stance or concerns, on which it fits worst. ``coder`` is who looks at it in which
    ``round``. ``after`` is their blind reading; where ``closed`` is set without one, they could not judge.
    """

    audit: str
    statement: str
    position: int
    control: bool
    score: float
    before: Annotation
    opened: str
    after: Annotation | None = None
    closed: str | None = None
    round: str = ""
    coder: str = ""
    suspected: str = ""
