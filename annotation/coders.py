"""How far any number of coders agree: figures with intervals, for all of them and for each pair, and who confuses what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from annotation.agreement import Figure, masi
from annotation.codebook import Codebook
from annotation.gold import check_labels
from annotation.resampling import Blocks, Resampling, agreement, pair_agreement
from corpus.errors import RecordError
from corpus.records import VOICES, Annotation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ByCoder = Mapping[str, Mapping[str, Annotation]]
"""Coder to statement to reading."""

_Said = frozenset[str]
_SETS = "concerns"
_MANY = Figure(None, "not two coders; see the pairs")
_REASONS = {
    "alpha": "all readings are alike",
    "alpha_label": "all readings are alike",
    "kappa": "all readings are alike",
    "kappa_label": "all readings are alike",
    "f1": "no reading has any of the labels",
    "micro_f1": "no reading has any of the labels",
    "f1_label": "no reading has it",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """Agreement on one question, or on whether a reading has one label.

    ``statements`` have two or more answers; of those ``readings`` are counted (for a label: the readings that have it).
    ``same`` is the observed agreement, 1 minus alpha's observed disagreement: with two coders the share of statements on
    which both say the same. ``alpha`` is nominal, for whole sets of concerns with the MASI distance. ``kappa`` (Cohen's)
    and ``f1`` (one coder taken as truth; for a question the mean over the labels that occur) need two coders, as does
    ``micro_f1``, which counts every pair of statement and label alike.
    """

    name: str
    statements: int
    readings: int
    same: Figure
    alpha: Figure
    kappa: Figure
    f1: Figure
    micro_f1: Figure | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """A question as a whole, and each of its labels in the codebook's order."""

    whole: Measured
    labels: tuple[Measured, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two coders on the statements that both have read.

    ``confusion`` counts stances: a row for each stance of ``first``, in it a column for each stance of ``second``.
    """

    first: str
    second: str
    statements: int
    questions: tuple[Question, ...]
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Coders:
    """Agreement under one codebook. ``coders`` counts each one's readings; ``statements`` have two or more of them."""

    codebook_version: str
    stances: tuple[str, ...]
    coders: Mapping[str, int]
    statements: int
    documents: int
    questions: tuple[Question, ...]
    pairs: tuple[Pair, ...]


def by_coder(readings: Sequence[Annotation], documents: Mapping[str, str], codebook: Codebook) -> ByCoder:
    """Return the blind readings by coder and statement, each in alphabetical order, after checking them.

    Raises:
        CodebookError: when a reading uses a label that the codebook does not have.
        RecordError: when one coder has two readings of a statement, or a statement's document is not in ``documents``.
    """
    blind = [a for a in readings if a.blind]
    check_labels(blind, (), codebook)
    found: dict[str, dict[str, Annotation]] = {}
    for a in sorted(blind, key=lambda a: (a.annotator, a.statement)):
        if a.statement not in documents:
            raise RecordError(f"statement {a.statement}: expected to be told its document, found none; pass it too")
        own = found.setdefault(a.annotator, {})
        if a.statement in own:
            raise RecordError(f"statement {a.statement}: expected one reading a coder, found two by {a.annotator}; pass one")
        own[a.statement] = a
    return found


def measure_coders(
    readings: Sequence[Annotation],
    documents: Mapping[str, str],
    codebook: Codebook,
    *,
    draw: Resampling | None = None,
) -> Coders:
    """Measure how far the coders agree on stance, concerns, kind of holder and voice.

    What a reading does not answer (a kind of holder, a voice) is left out of that question.

    Args:
        readings: One of each coder and statement, all under one codebook; those that are not blind are left out.
        documents: The document of each statement, by statement id.
        codebook: Whose labels the readings use.
        draw: How to get the intervals; by default 1,000 resamples of documents.

    Raises:
        CodebookError: when a reading uses a label that the codebook does not have.
        RecordError: when one coder has two readings of a statement, or a statement's document is not given.
    """
    coded, draw = by_coder(readings, documents, codebook), draw or Resampling()
    shared = [s for s, n in Counter(s for own in coded.values() for s in own).items() if n > 1]
    return Coders(
        codebook_version=codebook.id,
        stances=codebook.stance_ids,
        coders={coder: len(own) for coder, own in coded.items()},
        statements=len(shared),
        documents=len({documents[s] for s in shared}),
        questions=measure_questions(coded, documents, codebook, draw),
        pairs=tuple(
            _pair(one, two, coded, documents, codebook, draw)
            for one, two in combinations(coded, 2)
            if coded[one].keys() & coded[two].keys()
        ),
    )


def _pair(one: str, two: str, coded: ByCoder, documents: Mapping[str, str], codebook: Codebook, draw: Resampling) -> Pair:
    common = sorted(coded[one].keys() & coded[two].keys())
    chosen = {coder: {s: coded[coder][s] for s in common} for coder in (one, two)}
    cells = Counter((chosen[one][s].stance, chosen[two][s].stance) for s in common)
    return Pair(
        one,
        two,
        len(common),
        measure_questions(chosen, documents, codebook, draw),
        tuple(tuple(cells[row, column] for column in codebook.stance_ids) for row in codebook.stance_ids),
    )


def measure_questions(
    coded: ByCoder, documents: Mapping[str, str], codebook: Codebook, draw: Resampling
) -> tuple[Question, ...]:
    """Measure stance, concerns, kind of holder and voice over all coders of :func:`by_coder`, without their pairs."""
    asked: tuple[tuple[str, tuple[str, ...], Callable[[Annotation], _Said | None]], ...] = (
        ("stance", codebook.stance_ids, lambda a: _one(a.stance)),
        (_SETS, codebook.concern_ids, lambda a: frozenset(a.concerns)),
        ("holder type", codebook.holder_type_ids, lambda a: _one(a.holder_type)),
        ("voice", VOICES, lambda a: _one(a.voice)),
    )
    found = []
    for name, labels, answer in asked:
        said: dict[str, dict[str, _Said]] = {}
        for coder, own in coded.items():
            for statement, reading in own.items():
                value = answer(reading)
                if value is not None:
                    said.setdefault(statement, {})[coder] = value
        kept = {s: said[s] for s in sorted(said) if len(said[s]) > 1}
        found.append(_question(name, labels, kept, [documents[s] for s in kept], tuple(coded), draw))
    return tuple(found)


def _one(value: str | None) -> _Said | None:
    return None if value is None else frozenset([value])


def _question(
    name: str,
    labels: tuple[str, ...],
    said: Mapping[str, Mapping[str, _Said]],
    documents: list[str],
    coders: tuple[str, ...],
    draw: Resampling,
) -> Question:
    """Measure one question from the answers of each statement's coders."""
    counts, distance = _counts(labels, said)
    two = len(coders) == 2
    if two:
        counts = {**counts, **_pair_counts(labels, said, coders)}

    def statistic(sums: Blocks) -> dict[str, Floats]:
        return agreement(sums, distance) | (pair_agreement(sums) if two else {})

    f = draw.figures(counts, documents, statistic, _REASONS)
    n, has = len(said), counts["has"].sum(axis=0)
    sets = Figure(None, "asked of each label") if two else _MANY
    whole = Measured(
        name,
        n,
        int(counts["answers"].sum()),
        f["same"][0],
        f["alpha"][0],
        sets if name == _SETS or not two else f["kappa"][0],
        f["f1"][0] if two else _MANY,
        f["micro_f1"][0] if two else _MANY,
    )
    return Question(
        whole,
        tuple(
            Measured(
                label,
                n,
                int(has[i]),
                f["same_label"][i],
                f["alpha_label"][i],
                f["kappa_label"][i] if two else _MANY,
                f["f1_label"][i] if two else _MANY,
            )
            for i, label in enumerate(labels)
        ),
    )


def _counts(labels: tuple[str, ...], said: Mapping[str, Mapping[str, _Said]]) -> tuple[dict[str, Floats], Floats]:
    """Return the blocks that :func:`annotation.resampling.agreement` asks for, a row a statement, and the distances."""
    import numpy as np

    whole = sorted({answer for answers in said.values() for answer in answers.values()}, key=sorted)
    column = {answer: i for i, answer in enumerate(whole)}
    has, kinds = np.zeros((len(said), len(labels))), np.zeros((len(said), len(whole)))
    for i, answers in enumerate(said.values()):
        for answer in answers.values():
            kinds[i, column[answer]] += 1
            has[i] += [label in answer for label in labels]
    # MASI of two sets of one label each is 0 or 1: the nominal distance.
    distance = np.array([[masi(a, b) for b in whole] for a in whole], dtype=float).reshape(len(whole), len(whole))
    answers_given = kinds.sum(axis=1, keepdims=True)
    others = answers_given - 1
    counts = {
        "answers": answers_given,
        "kinds": kinds,
        "has": has,
        "apart": ((kinds @ distance) * kinds).sum(axis=1, keepdims=True) / others,
        "unlike": (answers_given**2 - (kinds**2).sum(axis=1, keepdims=True)) / others,
        "split": 2 * has * (answers_given - has) / others,
    }
    return counts, distance


def _pair_counts(
    labels: tuple[str, ...], said: Mapping[str, Mapping[str, _Said]], coders: tuple[str, ...]
) -> dict[str, Floats]:
    import numpy as np

    first, second = (
        np.array([[label in answers[coder] for label in labels] for answers in said.values()], dtype=float).reshape(
            len(said), len(labels)
        )
        for coder in coders
    )
    return {"statements": np.ones((len(said), 1)), "first": first, "second": second, "both": first * second}
