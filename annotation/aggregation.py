"""From readings to gold: what several coders say of a statement becomes one label, or stays open for the adjudicator.

Only blind readings vote; an adjudicator's decision goes before every vote. Stance, each concern and the holder are settled
each by itself, and a statement on which one of them stays tied has no gold label at all.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation.codebook import Codebook
from annotation.gold import check_labels
from corpus.errors import RecordError, UsageError
from corpus.records import Annotation, GoldLabel

METHODS = ("majority", "dawid-skene", "mace")
MARGIN = 0.05
"""How far above one half a model's probability must lie before it decides; below that, the statement stays open."""

Vote = tuple[str, str, str]
"""Statement, coder, label."""

_ITERATIONS = 100  # at most; Dawid-Skene stops before, when its bound grows by less than 1e-5 a reading
_Mark = tuple[int | None, str]  # where the holder stands, None where that is not known, and the words


@dataclass(frozen=True)
class Settled:
    """What a round of coding has settled, by statement id, and what it has not: statement to reason.

    A reason is ``assisted only``, ``too few readings``, or ``tie on stance``, ``tie on concern fish``, ``tie on holder``,
    ``tie on holder type``; several ties of one statement are joined by ``; ``.
    """

    gold: tuple[GoldLabel, ...]
    open: dict[str, str]


def settle(
    readings: Sequence[Annotation],
    decisions: Mapping[str, Annotation],
    codebook: Codebook,
    *,
    method: str = "majority",
    least: int = 1,
    seed: int = 0,
    probabilities: Mapping[str, float] | None = None,
    texts: Mapping[str, str],
) -> Settled:
    """Settle every statement that has a reading or a decision.

    Where all readings say the same, that is the label (``agreed``, or ``single`` where there is but one); where they differ,
    ``method`` decides. ``majority``: the stance of more than half of the readings; a concern that more than half raise.
    ``dawid-skene`` and ``mace``: what a model of all coders gives a probability of at least one half and :data:`MARGIN`,
    the stance as one question and each concern as another. The holder is always put to the vote: marks that overlap are
    one answer, nobody is another, and of the marks of the winning answer the most frequent is taken, then the longest.
    The voice is that of more than half of the readings that give one, else None.

    Args:
        readings: One of each coder and statement; those that are not blind do not vote.
        decisions: The adjudicator's reading of a statement, by statement id.
        codebook: Whose labels are allowed, and under whose id the gold labels stand.
        method: One of :data:`METHODS`.
        least: How many blind readings a statement must have.
        seed: Of the MACE model's start; the other methods use no chance.
        probabilities: The inclusion probability of the statements of an audit sample, by statement id.
        texts: The statements' texts, by statement id; they tell where a holder stands that has no offsets.

    Raises:
        UsageError: when there is no such method or ``least`` is below 1.
        CodebookError: when a reading or a decision uses a label that the codebook does not have.
        RecordError: when one coder has two readings of a statement.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}")
    if least < 1:
        raise UsageError(f"least is {least}, expected 1 or more readings a statement")
    check_labels((*readings, *decisions.values()), (), codebook)
    groups = _by_statement(readings)
    blind = {s: [a for a in group if a.blind] for s, group in groups.items()}
    decide = _Majority(blind) if method == "majority" else _Model(blind, codebook, method, seed)
    inclusion = probabilities or {}
    gold: list[GoldLabel] = []
    left: dict[str, str] = {}
    for statement in sorted({*groups, *decisions}):
        votes, decision = blind.get(statement, []), decisions.get(statement)
        chance = inclusion.get(statement)
        if decision is not None:
            gold.append(_decided(decision, votes, codebook, chance))
        elif not votes:
            left[statement] = "assisted only"
        elif len(votes) < least:
            left[statement] = "too few readings"
        else:
            label = _settled(votes, codebook, decide, method, texts.get(statement, ""), chance)
            if isinstance(label, str):
                left[statement] = label
            else:
                gold.append(label)
    return Settled(tuple(gold), left)


def label_probabilities(votes: Iterable[Vote], *, method: str = "majority", seed: int = 0) -> dict[str, dict[str, float]]:
    """Return for each statement the probability of each label that occurs in any vote; they sum to 1.

    ``majority`` gives the shares of the votes; ``dawid-skene`` the posterior of Dawid and Skene (1979), in which each coder
    has a table of errors; ``mace`` that of Hovy et al. (2013), in which each coder now and then answers without looking.
    Both are fitted by crowd-kit to all votes.

    Raises:
        UsageError: when there is no such method.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not known; choose one of {', '.join(METHODS)}")
    ordered = sorted(votes)
    labels = sorted({label for _, _, label in ordered})
    if method == "majority" or len(labels) < 2:
        counts: dict[str, Counter[str]] = {}
        for statement, _, label in ordered:
            counts.setdefault(statement, Counter())[label] += 1
        return {s: {label: c[label] / c.total() for label in labels} for s, c in counts.items()}
    return _fitted(ordered, method, seed)


def _fitted(votes: Sequence[Vote], method: str, seed: int) -> dict[str, dict[str, float]]:
    import pandas as pd
    from crowdkit.aggregation.classification.dawid_skene import DawidSkene
    from crowdkit.aggregation.classification.mace import MACE

    # Numbers in the order of appearance, because crowd-kit's MACE looks some tables up in that order and keeps others
    # sorted: with names it would read one coder's habits as another's.
    names = [list(dict.fromkeys(column)) for column in zip(*votes, strict=True)]
    code = [{name: i for i, name in enumerate(column)} for column in names]
    frame = pd.DataFrame(
        [[code[i][name] for i, name in enumerate(vote)] for vote in votes], columns=["task", "worker", "label"]
    )
    # One start of MACE: with a number as its seed, all of its restarts are the same.
    model = DawidSkene(n_iter=_ITERATIONS) if method == "dawid-skene" else MACE(n_restarts=1, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pandas on how crowd-kit calls it
        posterior = model.fit_predict_proba(frame)
    return {
        names[0][task]: {names[2][label]: float(p) for label, p in sorted(row.items())}
        for task, row in posterior.to_dict("index").items()
    }


class _Majority:
    """More than half of the readings decides."""

    def __init__(self, blind: Mapping[str, Sequence[Annotation]]) -> None:
        self._blind = blind

    def stance(self, statement: str) -> str | None:
        return _most([a.stance for a in self._blind[statement]])

    def concern(self, statement: str, concern: str) -> bool | None:
        group = self._blind[statement]
        twice = 2 * sum(concern in a.concerns for a in group)
        return None if twice == len(group) else twice > len(group)

    def shares(self, statement: str) -> dict[str, float]:
        return _shares(self._blind[statement])


class _Model:
    """A model of all coders decides, where its probability is well above one half."""

    def __init__(self, blind: Mapping[str, Sequence[Annotation]], codebook: Codebook, method: str, seed: int) -> None:
        read = [a for group in blind.values() for a in group]
        self._stances = label_probabilities(((a.statement, a.annotator, a.stance) for a in read), method=method, seed=seed)
        self._concerns = {
            c: label_probabilities(
                ((a.statement, a.annotator, "yes" if c in a.concerns else "no") for a in read), method=method, seed=seed
            )
            for c in codebook.concern_ids
        }

    def stance(self, statement: str) -> str | None:
        label, most = max(self._stances[statement].items(), key=lambda item: item[1])
        return label if most >= 0.5 + MARGIN else None

    def concern(self, statement: str, concern: str) -> bool | None:
        yes = self._concerns[concern][statement].get("yes", 0.0)
        return yes > 0.5 if abs(yes - 0.5) >= MARGIN else None

    def shares(self, statement: str) -> dict[str, float]:
        return self._stances[statement]


def _by_statement(readings: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    groups: dict[str, list[Annotation]] = {}
    for a in sorted(readings, key=lambda a: (a.statement, a.annotator)):
        group = groups.setdefault(a.statement, [])
        if group and group[-1].annotator == a.annotator:
            raise RecordError(f"statement {a.statement}: expected one reading a coder, found two by {a.annotator}; pass one")
        group.append(a)
    return groups


def _decided(decision: Annotation, votes: Sequence[Annotation], codebook: Codebook, chance: float | None) -> GoldLabel:
    return GoldLabel(
        statement=decision.statement,
        codebook_version=codebook.id,
        stance=decision.stance,
        concerns=_ordered(decision.concerns, codebook),
        holder=decision.holder,
        holder_type=decision.holder_type,
        distribution=_shares(votes),
        settled="adjudicated",
        inclusion_probability=chance,
        holder_start=decision.holder_start,
        holder_end=decision.holder_end,
        voice=decision.voice or _most([a.voice for a in votes if a.voice is not None]),
    )


def _settled(
    votes: Sequence[Annotation],
    codebook: Codebook,
    decide: _Majority | _Model,
    method: str,
    text: str,
    chance: float | None,
) -> GoldLabel | str:
    """Return the label of one statement, or the ties that keep it open."""
    statement, ties = votes[0].statement, []
    one_stance = len({a.stance for a in votes}) == 1
    stance = votes[0].stance if one_stance else decide.stance(statement)
    if stance is None:
        ties.append("tie on stance")
    concerns: list[str] = []
    one_set = True
    for concern in codebook.concern_ids:
        raised = sum(concern in a.concerns for a in votes)
        all_say = raised in (0, len(votes))
        one_set &= all_say
        has = raised > 0 if all_say else decide.concern(statement, concern)
        if has is None:
            ties.append(f"tie on concern {concern}")
        elif has:
            concerns.append(concern)
    holder = _holder(votes, text)
    if holder.tie:
        ties.append(holder.tie)
    if ties or stance is None:
        return "; ".join(ties)
    alike = one_stance and one_set and holder.alike
    how = "single" if len(votes) == 1 else "agreed" if alike else method
    return GoldLabel(
        statement=statement,
        codebook_version=codebook.id,
        stance=stance,
        concerns=tuple(concerns),
        holder=holder.words,
        holder_type=holder.kind,
        distribution=_shares(votes) if one_stance else decide.shares(statement),
        settled=how,
        inclusion_probability=chance,
        holder_start=holder.start,
        holder_end=None if holder.start is None else holder.start + len(holder.words or ""),
        voice=_most([a.voice for a in votes if a.voice is not None]),
    )


@dataclass(frozen=True, slots=True)
class _Holder:
    words: str | None = None
    start: int | None = None
    kind: str | None = None
    alike: bool = True
    tie: str = ""


def _holder(votes: Sequence[Annotation], text: str) -> _Holder:
    """Return who holds the position by more than half of the readings, and of what kind by more than half of those."""
    answers = _answers(votes, text)
    won = next((group for group in answers if 2 * len(group) > len(votes)), None)
    if won is None:
        return _Holder(alike=False, tie="tie on holder")
    kinds = [a.holder_type for a, _ in won if a.holder_type is not None]
    kind = _most(kinds)
    alike = len(answers) == 1 and len(set(kinds)) < 2
    if kinds and kind is None:
        return _Holder(alike=False, tie="tie on holder type")
    marks = Counter(mark for _, mark in won if mark is not None)
    if not marks:
        return _Holder(kind=kind, alike=alike)
    start, words = min(marks, key=lambda m: (-marks[m], -len(m[1]), m[0] is None, m))
    return _Holder(words, start, kind, alike)


def _answers(votes: Sequence[Annotation], text: str) -> list[list[tuple[Annotation, _Mark | None]]]:
    """Group readings by whom they name: marks that overlap, directly or through others, are one answer, nobody is one."""
    groups: list[list[tuple[Annotation, _Mark | None]]] = []
    for vote in votes:
        mark = _place(vote, text)
        near = [g for g in groups if any(_same(mark, other) for _, other in g)]
        groups = [g for g in groups if g not in near]
        groups.append([*(member for g in near for member in g), (vote, mark)])
    return groups


def _place(reading: Annotation, text: str) -> _Mark | None:
    """Return a reading's holder with its place: as marked, else where the words stand if they do so only once."""
    words, start = reading.holder, reading.holder_start
    if words is None:
        return None
    if start is None and text.count(words) == 1:
        start = text.index(words)
    return start, words


def _same(one: _Mark | None, other: _Mark | None) -> bool:
    """Whether two marks name one holder: equal words, wherever they stand, or marks that overlap."""
    if one is None or other is None:
        return one is None and other is None
    if one[0] is None or other[0] is None:
        return one[1] in other[1] or other[1] in one[1]
    return one[1] == other[1] or (one[0] < other[0] + len(other[1]) and other[0] < one[0] + len(one[1]))


def _most(answers: Sequence[str]) -> str | None:
    """Return the answer that more than half give."""
    label, count = Counter(answers).most_common(1)[0] if answers else ("", 0)
    return label if 2 * count > len(answers) else None


def _shares(votes: Sequence[Annotation]) -> dict[str, float]:
    counts = Counter(a.stance for a in votes)
    return {stance: n / len(votes) for stance, n in counts.items()}


def _ordered(concerns: Iterable[str], codebook: Codebook) -> tuple[str, ...]:
    chosen = set(concerns)
    return tuple(c for c in codebook.concern_ids if c in chosen)
