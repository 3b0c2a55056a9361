"""A draw: which statements of a frame go to which coder, in which order, and the audit sample among them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass

from annotation.campaign import Draw, Item, Sampled
from annotation.ledger import Ledger
from annotation.sampling import UNKNOWN, WHOLE, deal, draw_audit, draw_statements
from corpus.errors import UsageError
from corpus.identity import digest
from pipelines.frame import Frame

Settings = dict[str, str | int | float | bool | list[str] | None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be drawn: ``n`` statements by ``strategy``, and an audit sample of ``audit`` statements beside them.

    ``overlap`` of all these go to every coder. ``by`` is the trait of the audit sample's strata, and of ``balanced``.
    ``model_id`` and ``source`` (a folder or a queue instead of the corpus) are noted, so that the same request with another
    model or of another source is another one.
    """

    round: str
    coders: tuple[str, ...]
    n: int
    overlap: int = 0
    strategy: str = "random"
    seed: int = 0
    audit: int = 0
    by: str | None = None
    model_id: str | None = None
    source: str | None = None

    def settings(self) -> Settings:
        """Return what a draw notes of the request, beside round, strategy and seed, for which it has fields."""
        return {
            "n": self.n,
            "overlap": self.overlap,
            "audit": self.audit,
            "by": self.by,
            "coders": sorted(self.coders),
            "model_id": self.model_id,
            "source": self.source,
        }

    def is_of(self, draw: Draw) -> bool:
        """Return whether a draw was made on such a request, from whatever frame. Any model fits where none is named."""
        same = (draw.round, draw.strategy, draw.seed) == (self.round, self.strategy, self.seed)
        wanted = {k: v for k, v in self.settings().items() if k != "model_id" or v is not None}
        return same and all(draw.settings.get(name) == value for name, value in wanted.items())


@dataclass(frozen=True)
class Drawn:
    """A draw, its audit sample, each coder's statements in the order in which they are to see them, and all of these."""

    draw: Draw
    sampled: tuple[Sampled, ...]
    order: dict[str, list[str]]
    items: dict[str, Item]


def plan_draw(frame: Frame, ledger: Ledger, request: Request, *, made: str, codebook_version: str | None = None) -> Drawn:
    """Draw statements and deal them to coders; nothing is written.

    The audit sample comes from the whole frame, whatever was coded before, so that its probabilities are those of the
    design. Those of its statements that a blind coding project has already are not dealt a second time: their readings are
    there, or will be. The other statements are drawn from what no coding project has and the audit sample has not.

    The draw's id is a hash of frame and request. A ledger that knows the draw already gives the same one again.

    Args:
        frame: What can be drawn.
        ledger: What was drawn and coded before.
        request: What is wanted.
        made: This moment in UTC.
        codebook_version: Readings of other codebooks do not spare an audit statement its coding; None: any do.

    Raises:
        UsageError: when nothing is asked for, or the frame does not have what is asked for.
    """
    if request.n + request.audit < 1:
        raise UsageError("expected a number of statements to draw, found 0; ask for some, or for an audit sample")
    if request.by is not None and request.strategy != "balanced" and not request.audit:
        raise UsageError(
            f"expected a trait for the strategy balanced or for an audit sample, found {request.by!r} with neither; leave "
            "it out, or ask for an audit sample"
        )
    if request.model_id not in (None, frame.model_id):
        raise UsageError(f"expected statements judged by {request.model_id}, found {frame.model_id}; judge them with it")
    model_id = request.model_id or frame.model_id
    settings = request.settings() | {"model_id": model_id}
    said = json.dumps([request.round, request.strategy, request.seed, settings], sort_keys=True)
    identity = digest("draw", frame.hash, said)
    coded, blind = _coded(ledger, identity, codebook_version)
    candidates, by = frame.candidates, request.by
    audit = draw_audit(candidates, n=request.audit, seed=request.seed, by=by) if request.audit else []
    chosen = draw_statements(
        candidates,
        strategy=request.strategy,
        n=request.n,
        seed=request.seed,
        by=by if request.strategy == "balanced" else None,
        exclude=coded | {statement for statement, _, _ in audit},
    )
    waiting = [statement for statement, _, _ in audit if statement not in blind]
    order = deal([*waiting, *chosen], request.coders, overlap=request.overlap, seed=request.seed)
    strata = Counter(WHOLE if by is None else c.traits.get(by, UNKNOWN) for c in candidates) if audit else {}
    here = {c.statement for c in candidates}
    draw = Draw(
        id=identity,
        made=made,
        round=request.round,
        strategy=request.strategy,
        seed=request.seed,
        frame=len(candidates),
        frame_hash=frame.hash,
        settings=settings | {"coded_before": len(here & coded), "audit_coded_before": len(audit) - len(waiting)},
        left_out=dict(frame.left_out),
        strata=dict(sorted(strata.items())),
    )
    sampled = tuple(
        Sampled(draw=identity, statement=statement, stratum=stratum, inclusion_probability=probability)
        for statement, stratum, probability in audit
    )
    return Drawn(draw, sampled, order, frame.items([*(s.statement for s in sampled), *chosen]))


def _coded(ledger: Ledger, identity: str, codebook_version: str | None) -> tuple[set[str], set[str]]:
    """Return the statements of coding projects, and those of blind ones under a codebook, but this and later draws."""
    draws = {d.id: d.made for d in ledger.draws()}
    own = draws.get(identity)
    passed = {i for i, made in draws.items() if i == identity or (own is not None and made > own)}
    coded: set[str] = set()
    blind: set[str] = set()
    for project in ledger.projects(role="coding"):
        found = {t.statement for t in ledger.tasks(project.key) if t.draw not in passed}
        coded |= found
        if not project.assisted and codebook_version in (None, project.codebook_version):
            blind |= found
    return coded, blind
