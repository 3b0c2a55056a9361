"""Verdicts as rows: what an item and its verdict become in the output, and what is counted of a shard."""

from __future__ import annotations

import math
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from annotation.codebook import Codebook
from corpus.errors import BundleError, CodebookError
from corpus.records import Prediction
from models.passage import Judge, Judgement, Passage
from pipelines.engine import Engine, Unjudged, Verdict
from pipelines.feed import Shard
from pipelines.holders import name_holders
from pipelines.items import Item
from pipelines.queue import Abstention, abstain
from pipelines.rounding import millionths

Row = dict[str, object]


def passages_of(items: Sequence[Item]) -> list[Passage]:
    """Return what the judge is to read: a passage for each item that has no reason against it."""
    return [_passage(item) for item in items if item.reason is None]


def judged(
    shards: Iterable[Shard], judge: Judge, engine: Engine, *, chunk: int, seen: Callable[[int], object] = lambda n: None
) -> Iterator[tuple[Shard, list[Verdict]]]:
    """Yield shards in order, each with one verdict for each of its :func:`passages_of`.

    Args:
        shards: Read a little ahead, possibly in another thread.
        judge: Whom the engine asks.
        engine: Gets ``chunk`` passages at once.
        chunk: Passages.
        seen: Told the number of passages of each chunk that has come back.

    Raises:
        BundleError: when the engine returns fewer or more verdicts than it got passages; or as it raises it.
    """
    away: deque[tuple[Shard, int, bool]] = deque()

    def pieces() -> Iterator[Sequence[Passage]]:
        for shard in shards:
            passages = passages_of(shard.items)
            starts = range(0, len(passages) or 1, chunk)  # a shard without a passage has an empty piece
            for start in starts:
                piece = passages[start : start + chunk]
                away.append((shard, len(piece), start == starts[-1]))
                yield piece

    stream = engine.judged(pieces())
    verdicts: list[Verdict] = []
    try:
        for some in stream:
            shard, n, whole = away.popleft()
            if len(some) != n:
                raise BundleError(f"{judge.model_id}: expected {n} verdicts, found {len(some)}; the engine lost some")
            verdicts += some
            seen(n)
            if whole:
                yield shard, verdicts
                verdicts = []
        if away:
            raise BundleError(
                f"{judge.model_id}: expected verdicts on {len(away)} more pieces; the engine ended before them"
            )
    finally:
        getattr(stream, "close", lambda: None)()


def rows_of(items: Sequence[Item], verdicts: Sequence[Verdict], judge: Judge, asked: Abstention | None = None) -> list[Row]:
    """Return the output's rows in the items' order.

    Args:
        items: All of a shard, so that the holders of a document are named together.
        verdicts: One for each of :func:`passages_of`.
        judge: Whose verdicts they are.
        asked: Which decisions to keep; None: all.

    Raises:
        BundleError: when a verdict is no judgement by the judge's codebook.
    """
    fixed = {"model_id": judge.model_id, "codebook_version": judge.codebook.id}
    rows: list[Row] = [
        {**item.columns, "holder_type": _holder_type(item, judge), **fixed, "status": "invalid", "reason": item.reason}
        for item in items
    ]
    valid = [i for i, item in enumerate(items) if item.reason is None]
    found: dict[int, int] = {}  # where the model found the holder
    for i, verdict in zip(valid, verdicts, strict=True):
        if isinstance(verdict, Unjudged):
            rows[i] |= {"text": None, "reason": verdict.reason}
            continue
        rows[i] |= _labels(items[i], verdict, judge)
        if verdict.holder_start is not None:
            found[i] = verdict.holder_start
    rows = name_holders(rows, [item.whole for item in items], found, nobody=judge.codebook.nobody)
    abstain(rows, asked)
    return rows


def count_reasons(rows: Sequence[Row]) -> dict[str, int]:
    """Count the reasons in the order of their first row; numbers are left out, so that like reasons stand together."""
    reasons = (row["reason"] for row in rows if row["reason"] is not None)
    return dict(Counter(re.sub(r"(?<![\w-])\d[\d.,]*", "…", str(reason)) for reason in reasons))


def count_rows(items: Sequence[Item], rows: Sequence[Row], codebook: Codebook) -> dict[str, int]:
    """Count what can be added up over shards."""
    ok = [row for row in rows if row["status"] == "ok"]
    types = [item.columns.get("holder_type") for item in items]
    return {
        "rows": len(rows),
        "ok": len(ok),
        "invalid": len(rows) - len(ok),
        "abstained": sum(row["abstained"] is True for row in ok),
        "unknown_holder_types": sum(t is not None and t not in codebook.holder_type_ids for t in types),
    }


def _passage(item: Item) -> Passage:
    title = item.columns.get("title")
    return Passage(text=str(item.columns["text"]), title=None if title is None else str(title), before=item.before)


def _labels(item: Item, judgement: Judgement, judge: Judge) -> dict[str, object]:
    """Return the label columns of one row.

    A holder that the input names goes before the one that was found; where the statement takes a position and names
    nobody, the speaker whom the lead-in above it names holds it.
    """
    codebook, text = judge.codebook, str(item.columns["text"])
    p = _prediction(str(item.columns["id"]), text, judgement, judge)
    shares = millionths([p.probabilities[s] for s in codebook.stance_ids])
    holder, kind = item.columns.get("holder") or p.holder, _holder_type(item, judge) or p.holder_type
    if holder is None and item.speaker is not None and _takes_position(p.stance, codebook):
        holder, kind = item.speaker, None if kind == codebook.nobody else kind
    return {
        "holder": holder,
        "holder_type": kind,
        "stance": p.stance,
        **{f"stance_{s}": share for s, share in zip(codebook.stance_ids, shares, strict=True)},
        "concerns": [c for c in codebook.concern_ids if c in p.concerns],
        **{f"concern_{c}": round(p.concern_probabilities[c], 6) for c in codebook.concern_ids},
        "abstained": p.abstained,
        "confidence": shares[codebook.stance_ids.index(p.stance)],
        "status": "ok",
        "reason": None,
    }


def _takes_position(stance: str, codebook: Codebook) -> bool:
    return any(s.id == stance and s.polarity != "neutral" for s in codebook.stances)


def _holder_type(item: Item, judge: Judge) -> str | None:
    """Return the holder type that the input gives, if the codebook has it; others are counted in the manifest."""
    given = item.columns.get("holder_type")
    return given if isinstance(given, str) and given in judge.codebook.holder_type_ids else None


def _prediction(identity: str, text: str, judgement: Judgement, judge: Judge) -> Prediction:
    """Turn a judgement into the record, which refuses what is inconsistent."""
    codebook, j = judge.codebook, judgement
    spanned = j.holder_start is not None and j.holder_end is not None
    try:
        codebook.check(stance=j.stance, concerns=j.concerns, holder_type=j.holder_type, where=f"statement {identity}")
        if spanned and not 0 <= j.holder_start < j.holder_end <= len(text):  # type: ignore[operator]
            raise ValueError(f"holder {j.holder_start} to {j.holder_end} is not a span of {len(text)} characters")
        probabilities = dict(zip(codebook.stance_ids, j.probabilities, strict=True))
        if not math.isclose(j.confidence, probabilities[j.stance], abs_tol=1e-4):
            raise ValueError(f"confidence is {j.confidence}, the probability of {j.stance!r} {probabilities[j.stance]}")
        return Prediction(
            statement=identity,
            model_id=judge.model_id,
            codebook_version=codebook.id,
            stance=j.stance,
            probabilities=probabilities,
            concerns=j.concerns,
            concern_probabilities=dict(zip(codebook.concern_ids, j.concern_probabilities, strict=True)),
            confidence=j.confidence,
            abstained=j.abstained,
            holder=text[j.holder_start : j.holder_end] if spanned else None,
            holder_start=j.holder_start,
            holder_end=j.holder_end,
            holder_type=j.holder_type,
        )
    except (ValueError, CodebookError) as error:
        raise BundleError(
            f"{judge.model_id}: expected a judgement of statement {identity} by codebook {codebook.name}, "
            f"but {error}; the model is not usable"
        ) from error
