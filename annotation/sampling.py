"""Sampling: which statements are coded, by whom, and in which order. Everything follows from a seed and the statements' ids.

Where chance decides, statements are ranked by a hash of seed, purpose and id, and the first ones are taken: a simple random
sample without replacement ("permanent random numbers", Ohlsson 1995), the same on any machine and in any order of the frame.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from corpus.errors import RecordError, UsageError
from corpus.identity import digest

STRATEGIES = ("random", "uncertain", "diverse", "balanced")
"""How statements are chosen for coding. None of them but the audit sample serves estimates."""

UNKNOWN = "unknown"
"""The group of statements that lack a trait."""

WHOLE = "all"
"""The one stratum of an audit sample that is not stratified."""

PREDICTED = "stance"
"""The trait that a model predicts."""

MOST_VECTORS = 100_000
"""Most statements among which ``diverse`` chooses: 384 numbers each take 150 MB, and as much again while it works."""

_BLOCK = 64  # statements coded before that are compared at a time
_SAME = 1e-6  # cosine distance below which two statements say the same


@dataclass(frozen=True, slots=True)
class Candidate:
    """A statement that can be drawn. ``traits`` are what it can be stratified and balanced by, in words.

    ``uncertainty`` is a model's, in [0, 1]; ``vector`` its embedding, of any length but that of the others in the frame.
    """

    statement: str
    document: str
    traits: Mapping[str, str] = field(default_factory=dict)
    uncertainty: float | None = None
    vector: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


def draw_statements(
    frame: Sequence[Candidate],
    *,
    strategy: str,
    n: int,
    seed: int,
    by: str | None = None,
    exclude: Collection[str] = (),
) -> list[str]:
    """Draw statements for coding.

    - ``random``: a simple random sample.
    - ``uncertain``: the least certain statement of each document, from the least certain on, then the second of each
      document, and so on: statements of one document teach a model much the same.
    - ``diverse``: k-means++ seeding (Arthur & Vassilvitskii 2007) on the vectors: each statement is drawn with a probability
      proportional to its squared distance from the nearest one that is drawn or excluded. Beyond ``MOST_VECTORS`` it chooses
      among those that :func:`with_room` keeps.
    - ``balanced``: equal numbers of each value of a trait, as far as there are so many.

    Args:
        frame: What can be drawn; its order does not matter.
        strategy: One of ``STRATEGIES``.
        n: How many.
        seed: Of chance.
        by: The trait of ``balanced``; default: the predicted one, where all have it.
        exclude: Statements not to draw, such as those coded before.

    Returns:
        Ids, in the order in which they were drawn.

    Raises:
        UsageError: on an unknown strategy, fewer than ``n`` statements, or candidates without what the strategy looks at.
        RecordError: when a statement is in the frame twice, or vectors differ in length.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"strategy {strategy!r}: expected one of {', '.join(STRATEGIES)}; choose one")
    if by is not None and strategy != "balanced":
        raise UsageError(f"strategy {strategy}: expected no trait to draw by, found {by!r}; only balanced takes one")
    left = set(exclude)
    free = sorted((c for c in _checked(frame) if c.statement not in left), key=lambda c: c.statement)
    if not 0 <= n <= len(free):
        aside = f", {len(frame) - len(free)} others being coded or drawn already" if len(frame) > len(free) else ""
        raise UsageError(
            f"strategy {strategy}: expected a number from 0 to {len(free)}, since so many statements can be drawn{aside}, "
            f"found {n}; ask for fewer, or collect more"
        )
    if strategy == "uncertain":
        return _uncertain(free, seed)[:n]
    if strategy == "balanced":
        return _balanced(free, by or _predicted(free), seed)[:n]
    if strategy == "diverse":
        return _diverse(free, [c for c in frame if c.statement in left], n, seed)
    return _shuffled((c.statement for c in free), seed, "random")[:n]


def draw_audit(frame: Sequence[Candidate], *, n: int, seed: int, by: str | None = None) -> list[tuple[str, str, float]]:
    """Draw a probability sample: stratified, simple random without replacement within each stratum.

    A stratum has its share of ``n``, but at least two statements where ``n`` allows that for all (a variance needs two), and
    at least one in any case. A statement's inclusion probability is its stratum's sample size by its stratum's size.

    Args:
        frame: The whole population: estimates hold for it and nothing else.
        n: How many.
        seed: Of chance.
        by: The trait whose values are the strata; None for one stratum.

    Returns:
        (statement, stratum, inclusion probability), sorted by statement.

    Raises:
        UsageError: when the frame has fewer statements, or more strata, or no statement with the trait.
        RecordError: when a statement is in the frame twice.
    """
    strata: defaultdict[str, list[str]] = defaultdict(list)
    for candidate in _checked(frame):
        strata[WHOLE if by is None else candidate.traits.get(by, UNKNOWN)].append(candidate.statement)
    if by is not None:
        _check_trait(frame, by)
    sizes = allocate({stratum: len(statements) for stratum, statements in strata.items()}, n)
    drawn = []
    for stratum, statements in strata.items():
        size = sizes[stratum]
        probability = size / len(statements)
        drawn += [(s, stratum, probability) for s in _shuffled(statements, seed, "audit")[:size]]
    return sorted(drawn)


def allocate(sizes: Mapping[str, int], n: int) -> dict[str, int]:
    """Share a sample among strata in proportion to their sizes, by Sainte-Laguë's method (Webster 1832) above the minimum.

    Raises:
        UsageError: when ``n`` is more than all, or fewer than there are strata.
    """
    whole = sum(sizes.values())
    if not 1 <= n <= whole:
        raise UsageError(
            f"audit sample: expected a number from 1 to {whole}, which is how many statements there are, found {n}; "
            "ask for another number, or collect more"
        )
    if n < len(sizes):
        raise UsageError(
            f"audit sample: expected {len(sizes)} or more, one for each stratum, found {n}; ask for more, or stratify by "
            "something coarser"
        )
    least = 2 if sum(min(2, size) for size in sizes.values()) <= n else 1
    given = {stratum: min(least, size) for stratum, size in sizes.items()}
    # The next place goes where it brings the sample nearest to proportion; equal claims go by the stratum's name.
    claims = [((2 * given[s] + 1) / size, s) for s, size in sizes.items() if given[s] < size]
    heapq.heapify(claims)
    for _ in range(n - sum(given.values())):
        _, stratum = heapq.heappop(claims)
        given[stratum] += 1
        if given[stratum] < sizes[stratum]:
            heapq.heappush(claims, ((2 * given[stratum] + 1) / sizes[stratum], stratum))
    return given


def deal(statements: Sequence[str], coders: Sequence[str], *, overlap: int, seed: int) -> dict[str, list[str]]:
    """Deal statements to coders: some to all of them, the others evenly, each to one.

    Which ones are shared is chance, and every coder has an order of their own, so that nothing tells a shared statement, or
    one of an audit sample, from another. The order of ``statements`` does not matter.

    Args:
        statements: Distinct ids.
        coders: Distinct names.
        overlap: How many statements go to all coders.
        seed: Of chance.

    Returns:
        Each coder's statements, in the order in which they are to see them.

    Raises:
        UsageError: when there is no coder, one stands twice, or ``overlap`` is more than there are statements.
        RecordError: when a statement stands twice.
    """
    if not coders or len(set(coders)) < len(coders):
        raise UsageError(
            f"coders: expected one or more different names, found {', '.join(coders) or 'none at all'}; mend it"
        )
    _once(statements)
    if not 0 <= overlap <= len(statements):
        raise UsageError(
            f"overlap: expected a number from 0 to {len(statements)}, which is how many statements are drawn, found "
            f"{overlap}; ask for a smaller overlap or more statements"
        )
    mixed = _shuffled(statements, seed, "deal")
    shared, rest = mixed[:overlap], mixed[overlap:]
    turns = _shuffled(coders, seed, "turn")  # not the first name, but chance says who gets one more
    own = {coder: rest[turns.index(coder) :: len(coders)] for coder in coders}
    return {coder: _shuffled([*shared, *own[coder]], seed, f"order of {coder}") for coder in coders}


def with_room(statements: Iterable[str], most: int = MOST_VECTORS) -> set[str]:
    """Return the statements that get a vector: all, or those ``most`` that a hash of their ids alone puts first."""
    return set(heapq.nsmallest(most, statements, key=lambda s: (digest("room", s), s)))


def _shuffled(names: Iterable[str], seed: int, purpose: str) -> list[str]:
    """Return names in an order that seed and purpose give; the order of no two purposes tells anything of the other."""
    return sorted(names, key=lambda name: (digest(str(seed), purpose, name), name))


def _checked(frame: Sequence[Candidate]) -> Sequence[Candidate]:
    _once([c.statement for c in frame])
    return frame


def _once(statements: Sequence[str]) -> None:
    if len(set(statements)) < len(statements):
        twice = Counter(statements).most_common(1)[0][0]
        raise RecordError(f"statement {twice}: expected once among those to draw from, found it twice; take one out")


def _check_trait(frame: Sequence[Candidate], by: str) -> None:
    known = sorted({trait for c in frame for trait in c.traits})
    if by not in known:
        raise UsageError(
            f"trait {by!r}: expected one that statements here have ({', '.join(known) or 'there is no trait'}), found none "
            "that has it; choose another"
        )


def _predicted(free: Sequence[Candidate]) -> str:
    if not all(PREDICTED in c.traits for c in free):
        known = sorted({trait for c in free for trait in c.traits})
        raise UsageError(
            "strategy balanced: expected a trait to balance by, found none; name one "
            f"({', '.join(known) or 'none is known'}), or a model that predicts the {PREDICTED}"
        )
    return PREDICTED


def _uncertain(free: Sequence[Candidate], seed: int) -> list[str]:
    bare = next((c.statement for c in free if c.uncertainty is None), None)
    if bare is not None:
        raise UsageError(
            f"strategy uncertain: expected a model's uncertainty for statement {bare}, found none; name a model"
        )
    place = {s: i for i, s in enumerate(_shuffled((c.statement for c in free), seed, "uncertain"))}
    turn: Counter[str] = Counter()
    ranked: list[tuple[int, int, str]] = []
    for c in sorted(free, key=lambda c: (-(c.uncertainty or 0.0), place[c.statement])):
        ranked.append((turn[c.document], len(ranked), c.statement))
        turn[c.document] += 1
    return [statement for _, _, statement in sorted(ranked)]


def _balanced(free: Sequence[Candidate], by: str, seed: int) -> list[str]:
    if free:
        _check_trait(free, by)
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for c in free:
        groups[c.traits.get(by, UNKNOWN)].append(c.statement)
    dealt = [
        (i, turn, statement)
        for turn, name in enumerate(_shuffled(groups, seed, "turn"))
        for i, statement in enumerate(_shuffled(groups[name], seed, "balanced"))
    ]
    return [statement for _, _, statement in sorted(dealt)]


def _diverse(free: Sequence[Candidate], before: Sequence[Candidate], n: int, seed: int) -> list[str]:
    seen = [c for c in free if c.vector is not None]
    room = with_room(c.statement for c in seen)
    seen = [c for c in seen if c.statement in room]
    if n > len(seen):
        raise UsageError(
            f"strategy diverse: expected {n} statements with a vector, found {len(seen)}, and at most {MOST_VECTORS:,} get "
            "one; ask for fewer, or draw otherwise"
        )
    if n == 0:
        return []
    points = _directions(seen)
    known = [c for c in before if c.vector is not None]
    distance = np.full(len(seen), np.inf, dtype=np.float32)  # half the squared distance from the nearest one, that is
    for start in range(0, len(known), _BLOCK):
        distance = np.minimum(distance, 1 - (points @ _directions(known[start : start + _BLOCK]).T).max(1))
    names = [c.statement for c in seen]
    place = {name: i for i, name in enumerate(names)}
    order = [place[name] for name in _shuffled(names, seed, "diverse")]
    chance = np.random.default_rng(int(digest(str(seed), "diverse"), 16))
    drawn: dict[int, None] = {}
    while len(drawn) < n:
        weight = np.where(distance > _SAME, distance, 0).astype(np.float64)
        if np.isinf(weight).any():
            new = order[0]
        elif weight.any():
            far = np.flatnonzero(weight)
            reach = weight[far].cumsum()
            new = int(far[min(np.searchsorted(reach, chance.random() * reach[-1], side="right"), len(far) - 1)])
        else:  # what is left repeats what is drawn
            new = next(i for i in order if i not in drawn)
        drawn[new] = None
        distance = np.minimum(distance, 1 - points @ points[new])
        distance[new] = 0
    return [names[i] for i in drawn]


def _directions(candidates: Sequence[Candidate]) -> NDArray[np.float32]:
    """Return the vectors, shape (candidates, width), each of length one unless it is zero."""
    widths = {len(c.vector) for c in candidates if c.vector is not None}
    if len(widths) > 1:
        raise RecordError(f"vectors: expected one length, found {sorted(widths)}; make all of them with the same encoder")
    points = np.stack([c.vector for c in candidates if c.vector is not None]).astype(np.float32, copy=False)
    lengths = np.sqrt(np.einsum("ij,ij->i", points, points))  # norm() would make another array of that size
    points /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]
    return points
