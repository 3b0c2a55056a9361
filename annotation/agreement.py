"""Agreement between two readings of the same statements: Krippendorff's alpha, raw agreement, F1.

Two readings of a statement are ordered by the annotators' names and called first and second; who made them changes from
statement to statement. In the reference corpus the names begin with the letter of the pass, so first and second are the
passes. Alpha does not depend on which annotator made which reading, nor does F1 on which reading is called first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation.codebook import Codebook
from annotation.gold import check_labels
from corpus.errors import RecordError
from corpus.records import Annotation

Readings = Mapping[str, tuple[Annotation, Annotation]]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, or None with the reason why there is none. ``low`` and ``high`` bound its 95 % interval, if it has one."""

    value: float | None
    reason: str = ""
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.value is None:
            return f"none ({self.reason})"
        interval = "" if self.low is None or self.high is None else f" [{self.low:.2f}, {self.high:.2f}]"
        return f"{self.value:.3f}{interval}"


@dataclass(frozen=True, slots=True)
class Agreed:
    """How two readings agree on one question or on one label.

    ``first`` and ``second`` count the readings that gave an answer or have the label, ``same`` is the share of
    statements on which the two readings say the same, ``alpha`` is Krippendorff's alpha, and ``f1`` takes one reading
    as truth and the other as guess. For a question ``f1`` is the mean over its labels that occur in any reading
    (macro-F1); for a label, ``same`` and ``alpha`` are those of the yes-or-no question whether the reading has it.
    """

    name: str
    first: int
    second: int
    same: Figure
    alpha: Figure
    f1: Figure


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on a set of statements. Labels stand in the codebook's order.

    ``stance`` and ``holder_type`` use nominal alpha. ``concerns`` compares whole sets: ``same`` is the share of
    identical sets and ``alpha`` uses the MASI distance; ``concerns_micro_f1`` counts every pair of statement and
    concern alike.
    """

    statements: int
    stance: Agreed
    stances: tuple[Agreed, ...]
    concerns: Agreed
    concern_labels: tuple[Agreed, ...]
    concerns_micro_f1: Figure
    holder_type: Agreed


def paired_readings(annotations: Iterable[Annotation]) -> dict[str, tuple[Annotation, Annotation]]:
    """Return the two readings of each statement, sorted by annotator's name, in the order of the statements.

    Raises:
        RecordError: when a statement has not exactly two readings, or both are by one annotator.
    """
    groups: dict[str, list[Annotation]] = {}
    for annotation in annotations:
        groups.setdefault(annotation.statement, []).append(annotation)
    pairs: dict[str, tuple[Annotation, Annotation]] = {}
    for statement, group in groups.items():
        names = sorted(annotation.annotator for annotation in group)
        if len(set(names)) != 2 or len(names) != 2:
            raise RecordError(
                f"statement {statement}: expected two readings by different annotators, found {len(names)} "
                f"({', '.join(names)}); leave out what cannot be paired"
            )
        first, second = sorted(group, key=lambda annotation: annotation.annotator)
        pairs[statement] = (first, second)
    return pairs


def measure_agreement(readings: Readings, codebook: Codebook) -> Agreement:
    """Compare the two readings of every statement; for part of the statements, pass part of ``paired_readings``.

    Statements where a reading has no holder type are left out of the figures for holder types.

    Raises:
        CodebookError: when a reading uses a label that the codebook does not have.
    """
    check_labels((annotation for pair in readings.values() for annotation in pair), (), codebook)
    pairs = list(readings.values())
    typed = [(a, b) for a, b in pairs if a.holder_type is not None and b.holder_type is not None]
    stances = tuple(_label(s, [(a.stance == s, b.stance == s) for a, b in pairs]) for s in codebook.stance_ids)
    concerns = tuple(_label(c, [(c in a.concerns, c in b.concerns) for a, b in pairs]) for c in codebook.concern_ids)
    types = [_label(t, [(a.holder_type == t, b.holder_type == t) for a, b in typed]) for t in codebook.holder_type_ids]
    sets = [(frozenset(a.concerns), frozenset(b.concerns)) for a, b in pairs]
    cells = [(c in a, c in b) for a, b in sets for c in codebook.concern_ids]
    return Agreement(
        statements=len(pairs),
        stance=_question("stance", [(a.stance, b.stance) for a, b in pairs], stances),
        stances=stances,
        concerns=_question("concerns", sets, concerns, distance=masi),
        concern_labels=concerns,
        concerns_micro_f1=_f1(cells),
        holder_type=_question("holder type", [(a.holder_type, b.holder_type) for a, b in typed], types),
    )


def agreement_table(agreement: Agreement) -> list[tuple[str, ...]]:
    """Return the figures as rows of text, the heading first: one row a question, below it one a label."""
    rows: list[tuple[str, ...]] = [("what", "first", "second", "same", "alpha", "F1")]
    for question, labels in (
        (agreement.stance, agreement.stances),
        (agreement.concerns, agreement.concern_labels),
        (agreement.holder_type, ()),
    ):
        rows.append(_row(question, question.name))
        rows.extend(_row(label, f"{question.name}: {label.name}") for label in labels)
    return rows


def _row(agreed: Agreed, name: str) -> tuple[str, ...]:
    return (name, str(agreed.first), str(agreed.second), str(agreed.same), str(agreed.alpha), str(agreed.f1))


def _question(
    name: str,
    answers: Sequence[tuple[Hashable, Hashable]],
    labels: Sequence[Agreed],
    distance: Callable[[Any, Any], float] | None = None,
) -> Agreed:
    values = [label.f1.value for label in labels if label.f1.value is not None]
    f1 = Figure(sum(values) / len(values)) if values else Figure(None, "no reading has any of the labels")
    return Agreed(name, len(answers), len(answers), _same(answers), _alpha(answers, distance), f1)


def _label(name: str, answers: Sequence[tuple[bool, bool]]) -> Agreed:
    first, second = sum(a for a, _ in answers), sum(b for _, b in answers)
    return Agreed(name, first, second, _same(answers), _alpha(answers), _f1(answers))


def _same(answers: Sequence[tuple[Hashable, Hashable]]) -> Figure:
    if not answers:
        return Figure(None, "no statement")
    return Figure(sum(a == b for a, b in answers) / len(answers))


def _alpha(answers: Sequence[tuple[Hashable, Hashable]], distance: Callable[[Any, Any], float] | None = None) -> Figure:
    """Krippendorff's alpha of two readings a statement; nominal without a distance.

    Krippendorff (2004), Content Analysis, 2nd edition, chapter 11: 1 - observed / expected disagreement, which is 0 / 0
    where all readings are alike. The library answers 1 there; agreement on a constant shows nothing, so we answer None.
    """
    from nltk.metrics.agreement import AnnotationTask
    from nltk.metrics.distance import binary_distance

    if not answers:
        return Figure(None, "no statement")
    if len({answer for pair in answers for answer in pair}) == 1:
        return Figure(None, "all readings are alike")
    data = [
        (coder, number, answer)
        for number, pair in enumerate(answers)
        for coder, answer in zip(("first", "second"), pair, strict=True)
    ]
    return Figure(float(AnnotationTask(data=data, distance=distance or binary_distance).alpha()))


def masi(first: frozenset[str], second: frozenset[str]) -> float:
    """MASI distance of two sets (Passonneau 2006), in [0, 1]; 0 for two empty sets, where the library divides by 0."""
    from nltk.metrics.distance import masi_distance

    return 0.0 if first == second else float(masi_distance(first, second))


def _f1(answers: Sequence[tuple[bool, bool]]) -> Figure:
    """F1 of one reading against the other: 2 * both / (first + second)."""
    from sklearn.metrics import f1_score

    if not any(a or b for a, b in answers):
        return Figure(None, "no reading has it")
    return Figure(float(f1_score([int(a) for a, _ in answers], [int(b) for _, b in answers])))
