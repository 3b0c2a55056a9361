"""Evaluation: every figure with its definition, interval, linear baseline and annotators' ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from corpus.errors import RecordError
from corpus.records import Annotation
from models.dataset import Example
from models.metrics import Counter, Decisions, Floats, Interval, bootstrap_weights, cluster_sums, interval

FREQUENT = 10  # gold cases in the part, from which a concern's F1 is steady enough to enter the second macro mean
_MEAN_OF = "unweighted mean over {} of F1 = 2TP / (2TP + FP + FN)"


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: the model's, the baseline's and the annotators', and the model's lead over the baseline.

    ``label`` is a codebook id, or None for a metric over all labels; ``support`` is the number of gold cases.
    """

    name: str
    label: str | None
    title: str
    definition: str
    support: int
    model: Interval | None
    baseline: Interval | None
    annotators: Interval | None
    difference: Interval | None


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """All figures of one bundle on one part."""

    format: int = 1
    part: str
    model_id: str
    codebook_id: str
    statements: int
    documents: int
    doubly_annotated: int
    bootstrap: dict[str, int | str]
    metrics: tuple[Figure, ...]

    def figure(self, name: str, label: str | None = None) -> Figure:
        """Return one figure.

        Raises:
            KeyError: when there is none of that name and label.
        """
        for f in self.metrics:
            if (f.name, f.label) == (name, label):
                return f
        raise KeyError((name, label))


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are made: documents are drawn with replacement, all their statements with them."""

    resamples: int = 2000
    seed: int = 0


def evaluate(
    examples: Sequence[Example],
    model: Decisions,
    baseline: Decisions | None,
    codebook: Codebook,
    *,
    part: str,
    model_id: str,
    bootstrap: Bootstrap | None = None,
) -> Evaluation:
    """Compute all figures over one part.

    The annotators' figure takes the first reading of each doubly read statement as gold and the second as decision; F1 and
    accuracy do not change when the two are swapped.

    Args:
        examples: The statements, in the order of both sets of decisions.
        model: The model's decisions.
        baseline: The linear baseline's decisions on the same statements, if there are any.
        codebook: Its labels name the figures.
        part: Name of the part, for the record.
        model_id: For the record.
        bootstrap: Resamples and seed.

    Raises:
        RecordError: when there are no examples.
    """
    if not examples:
        raise RecordError(f"the {part} part has no labelled statement; there is nothing to evaluate")
    bootstrap = bootstrap or Bootstrap()
    documents = {d: i for i, d in enumerate(sorted({e.document.id for e in examples}))}
    cluster = np.array([documents[e.document.id] for e in examples])
    support = model.gold_concerns.sum(0)
    frequent = tuple(int(j) for j in np.flatnonzero(support >= FREQUENT))
    polar = tuple(codebook.stance_ids.index(s) for s in codebook.polar_ids)
    counter = Counter(len(codebook.stances), len(codebook.concerns), polar, frequent)
    weights = bootstrap_weights(len(documents), resamples=bootstrap.resamples, seed=bootstrap.seed)

    def measure(d: Decisions, of: NDArray[np.int64]) -> _Measured:
        sums = cluster_sums(counter.counts(d), of, len(documents))
        return counter.metrics(sums.sum(0)), counter.metrics(weights @ sums)

    read, people = annotator_decisions(examples, codebook)
    measured = measure(model, cluster)
    linear = measure(baseline, cluster) if baseline is not None else None
    ceiling = measure(people, cluster[read]) if len(read) else None
    figures = []
    for name, index in measured[0]:
        label, title, definition, cases = _describe(name, index, codebook, model, frequent)
        with_confidence = name != "stance_ece"
        figures.append(
            Figure(
                name=name,
                label=label,
                title=title,
                definition=definition,
                support=cases,
                model=_interval(measured, name, index),
                baseline=_interval(linear, name, index),
                annotators=_interval(ceiling, name, index) if with_confidence else None,
                difference=_difference(measured, linear, name, index),
            )
        )
    return Evaluation(
        part=part,
        model_id=model_id,
        codebook_id=codebook.id,
        statements=len(examples),
        documents=len(documents),
        doubly_annotated=len(read),
        bootstrap={"resamples": bootstrap.resamples, "seed": bootstrap.seed, "cluster": "document"},
        metrics=tuple(figures),
    )


_Measured = tuple[dict[tuple[str, int | None], Floats], dict[tuple[str, int | None], Floats]]


def annotator_decisions(examples: Sequence[Example], codebook: Codebook) -> tuple[NDArray[np.int64], Decisions]:
    """Return which examples have two blind readings or more, and the second reading as a decision against the first."""
    read, first, second = [], [], []
    for i, e in enumerate(examples):
        blind = [a for a in e.readings if a.blind]
        if len(blind) >= 2:
            read.append(i)
            first.append(blind[0])
            second.append(blind[1])
    return np.array(read, dtype=np.int64), Decisions(
        _stances(first, codebook), _stances(second, codebook), _concerns(first, codebook), _concerns(second, codebook)
    )


def _stances(readings: Sequence[Annotation], codebook: Codebook) -> NDArray[np.int64]:
    return np.array([codebook.stance_ids.index(a.stance) for a in readings], dtype=np.int64)


def _concerns(readings: Sequence[Annotation], codebook: Codebook) -> NDArray[np.bool_]:
    rows = [[c in a.concerns for c in codebook.concern_ids] for a in readings]
    return np.array(rows, dtype=bool).reshape(len(readings), len(codebook.concerns))


def _interval(measured: _Measured | None, name: str, index: int | None) -> Interval | None:
    if measured is None:
        return None
    return interval(measured[0][name, index], measured[1][name, index])


def _difference(model: _Measured, baseline: _Measured | None, name: str, index: int | None) -> Interval | None:
    if baseline is None:
        return None
    key = (name, index)
    return interval(model[0][key] - baseline[0][key], model[1][key] - baseline[1][key])


def _describe(
    name: str, index: int | None, codebook: Codebook, gold: Decisions, frequent: Sequence[int]
) -> tuple[str | None, str, str, int]:
    """Return label, title, definition and number of gold cases of a figure."""
    n = len(gold.gold_stance)
    if index is not None:
        kind, _, measure = name.partition("_")
        label = codebook.stance_ids[index] if kind == "stance" else codebook.concern_ids[index]
        cases = (gold.gold_stance == index).sum() if kind == "stance" else gold.gold_concerns[:, index].sum()
        definition = {
            "precision": "TP / (TP + FP): of the statements given this label, the share that has it in gold",
            "recall": "TP / (TP + FN): of the statements with this label in gold, the share that was given it",
            "f1": "2TP / (2TP + FP + FN)",
        }[measure]
        return label, f"{kind.capitalize()} {label}, {measure if measure != 'f1' else 'F1'}", definition, int(cases)
    polar = " and ".join(codebook.polar_ids)
    raised = int(gold.gold_concerns.sum())
    often = int(gold.gold_concerns[:, list(frequent)].sum())
    title, definition, cases = {
        "stance_macro_f1": ("Stance, macro-F1", _MEAN_OF.format("all stances"), n),
        "stance_polar_f1": (f"Stance, mean F1 of {polar}", _MEAN_OF.format(polar), n),
        "stance_accuracy": ("Stance, accuracy", "share of statements whose stance is the gold one", n),
        "concern_macro_f1": (
            "Concerns, macro-F1",
            _MEAN_OF.format(f"all {len(codebook.concerns)} concerns"),
            raised,
        ),
        "concern_macro_f1_frequent": (
            f"Concerns, macro-F1 ({len(frequent)} with {FREQUENT}+ cases)",
            _MEAN_OF.format(f"the concerns with {FREQUENT} gold cases or more in this part"),
            often,
        ),
        "concern_micro_f1": ("Concerns, micro-F1", "2TP / (2TP + FP + FN) over all concerns together", raised),
        "stance_ece": (
            "Stance, expected calibration error",
            "mean gap between confidence and accuracy over ten equal bins of confidence; lower is better",
            n,
        ),
    }[name]
    return None, title, definition, cases
