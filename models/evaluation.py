"""Evaluation: every figure with its definition, interval, linear baseline and annotators' ceiling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from corpus.errors import RecordError
from corpus.records import Annotation
from models.breakdown import (
    Comparison,
    CoveragePoint,
    Mistake,
    ReliabilityBin,
    Slice,
    Spread,
    concern_reliability,
    confusion,
    mistakes,
    risk_coverage,
    slices,
    stance_reliability,
)
from models.calibration import Calibration
from models.dataset import IGNORE, Example, Targets, targets
from models.metrics import (
    SHARE_KEPT,
    Counter,
    Decisions,
    Holders,
    Interval,
    Key,
    Measured,
    Resampling,
    bootstrap_weights,
)

if TYPE_CHECKING:
    from models.inference import Scores

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
    """All figures of one bundle on one part, and what lies behind them.

    ``stances`` are the codebook's, in its order; ``confusion`` has a row for each gold stance and a column for each decided
    one. ``split`` says how the parts were made (``kind``, ``seed``, the dates of a cut by time). ``spread`` is empty unless
    bundles of other seeds were given, ``against`` is None unless another bundle was. What format 1 did not have is empty.
    """

    format: int = 2
    part: str
    model_id: str
    codebook_id: str
    statements: int
    documents: int
    doubly_annotated: int
    bootstrap: dict[str, int | str]
    metrics: tuple[Figure, ...]
    stances: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    slices: tuple[Slice, ...] = ()
    reliability: tuple[ReliabilityBin, ...] = ()
    concern_reliability: tuple[ReliabilityBin, ...] = ()
    risk_coverage: tuple[CoveragePoint, ...] = ()
    mistakes: tuple[Mistake, ...] = ()
    split: dict[str, int | str] = {}
    spread: tuple[Spread, ...] = ()
    against: Comparison | None = None

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

    @property
    def record(self) -> dict[str, int | str]:
        """The form in which a file tells it."""
        return {"resamples": self.resamples, "seed": self.seed, "cluster": "document"}


def evaluate(
    examples: Sequence[Example],
    model: Decisions,
    baseline: Decisions | None,
    codebook: Codebook,
    *,
    part: str,
    model_id: str,
    bootstrap: Bootstrap | None = None,
    split: Mapping[str, int | str] | None = None,
) -> Evaluation:
    """Compute all figures over one part, and what lies behind them.

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
        split: How the part was made, for the record.

    Raises:
        RecordError: when there are no examples.
    """
    if not examples:
        raise RecordError(f"the {part} part has no labelled statement; there is nothing to evaluate")
    bootstrap = bootstrap or Bootstrap()
    draws = resampling(examples, bootstrap)
    counter = counter_of(model, codebook)
    read, people = annotator_decisions(examples, codebook)
    measured = measure(counter, draws, model)
    linear = measure(counter, draws, baseline) if baseline is not None else None
    ceiling = measure(counter, draws.rows(read), people) if len(read) else None
    figures = []
    for key in measured.value:
        if key[0].startswith("holder_") and model.holders is None:
            continue
        label, title, definition, cases = describe(key, codebook, model)
        figures.append(
            Figure(
                name=key[0],
                label=label,
                title=title,
                definition=definition,
                support=cases,
                model=measured.interval(key),
                baseline=None if linear is None else linear.interval(key),
                annotators=None if ceiling is None else ceiling.interval(key),
                difference=None if linear is None else measured.lead(linear, key),
            )
        )
    return Evaluation(
        part=part,
        model_id=model_id,
        codebook_id=codebook.id,
        statements=len(examples),
        documents=draws.weights.shape[1],
        doubly_annotated=len(read),
        bootstrap=bootstrap.record,
        metrics=tuple(figures),
        stances=codebook.stance_ids,
        confusion=confusion(model, len(codebook.stances)),
        slices=slices(examples, model, baseline, codebook, counter, draws),
        reliability=stance_reliability(model, draws),
        concern_reliability=concern_reliability(model, draws),
        risk_coverage=risk_coverage(model, draws),
        mistakes=mistakes(examples, model, codebook),
        split=dict(split or {}),
    )


def decide(examples: Sequence[Example], scores: Scores, calibration: Calibration, codebook: Codebook) -> Decisions:
    """Turn a network's scores into calibrated decisions beside gold: stance, concerns and holders, with probabilities.

    A holder is compared by its words, so that each of several places where gold's holder stands is right.

    Args:
        examples: What was scored, in the scores' order.
        scores: Raw scores.
        calibration: The bundle's.
        codebook: Its labels give the order of all arrays.

    Raises:
        CodebookError: on a label that the codebook does not have.
    """
    y = targets(examples, codebook)
    stance = calibration.stance(scores.stance)
    concerns = calibration.concerns(scores.concerns)
    texts = [e.statement.text for e in examples]
    named = tuple(
        text[start:end] if start >= 0 else None for text, (start, end) in zip(texts, scores.holder.tolist(), strict=True)
    )
    return Decisions(
        gold_stance=y.stance,
        stance=stance.argmax(1),
        gold_concerns=y.concerns > 0,
        concerns=calibration.decide_concerns(concerns),
        confidence=stance.max(1),
        probabilities=stance,
        concern_probabilities=concerns,
        holders=_holders(gold_holders(examples, y), named, y.holder_type, scores.holder_type.argmax(1)),
    )


def resampling(examples: Sequence[Example], bootstrap: Bootstrap) -> Resampling:
    """Return the draws of documents for these examples: the same examples and seed give the same draws."""
    documents = {d: i for i, d in enumerate(sorted({e.document.id for e in examples}))}
    cluster = np.array([documents[e.document.id] for e in examples], dtype=np.int64)
    return Resampling(cluster, bootstrap_weights(len(documents), resamples=bootstrap.resamples, seed=bootstrap.seed))


def counter_of(gold: Decisions, codebook: Codebook) -> Counter:
    """Return what to count under a codebook; gold says which concerns are frequent enough."""
    frequent = tuple(int(j) for j in np.flatnonzero(gold.gold_concerns.sum(0) >= FREQUENT))
    polar = tuple(codebook.stance_ids.index(s) for s in codebook.polar_ids)
    return Counter(len(codebook.stances), len(codebook.concerns), polar, frequent, len(codebook.holder_types))


def measure(counter: Counter, draws: Resampling, d: Decisions) -> Measured:
    """Return all metrics of one decider, undefined where it names no holders or gives no confidence."""
    counted, ranked = draws.measure(counter, d), draws.measure_ranked(d)
    return Measured(counted.value | ranked.value, counted.resampled | ranked.resampled)


def annotator_decisions(examples: Sequence[Example], codebook: Codebook) -> tuple[NDArray[np.int64], Decisions]:
    """Return which examples have two blind readings or more, and the second reading as a decision against the first."""
    read, first, second = [], [], []
    for i, e in enumerate(examples):
        blind = [a for a in e.readings if a.blind]
        if len(blind) >= 2:
            read.append(i)
            first.append(blind[0])
            second.append(blind[1])
    names = [tuple(a.holder for a in readings) for readings in (first, second)]
    kinds = [_kinds(readings, codebook) for readings in (first, second)]
    people = Decisions(
        _stances(first, codebook),
        _stances(second, codebook),
        _concerns(first, codebook),
        _concerns(second, codebook),
        holders=_holders(names[0], names[1], kinds[0], kinds[1]),
    )
    return np.array(read, dtype=np.int64), people


def gold_holders(examples: Sequence[Example], y: Targets) -> tuple[str | None, ...]:
    """Return gold's holder of each example; one that does not stand in the text is taken as nobody, as in training."""
    return tuple(e.gold.holder if start >= 0 else None for e, start in zip(examples, y.holder[:, 0].tolist(), strict=True))


def _holders(
    gold: tuple[str | None, ...],
    decided: tuple[str | None, ...],
    gold_kind: NDArray[np.int64],
    kind: NDArray[np.int64],
) -> Holders | None:
    """Return holders, or None where gold names none and knows no type: then nobody has annotated holders."""
    if not any(gold) and (gold_kind < 0).all():
        return None
    return Holders(gold, decided, gold_kind, kind)


def _kinds(readings: Sequence[Annotation], codebook: Codebook) -> NDArray[np.int64]:
    kinds = [IGNORE if a.holder_type is None else codebook.holder_type_ids.index(a.holder_type) for a in readings]
    return np.array(kinds, dtype=np.int64)


def _stances(readings: Sequence[Annotation], codebook: Codebook) -> NDArray[np.int64]:
    return np.array([codebook.stance_ids.index(a.stance) for a in readings], dtype=np.int64)


def _concerns(readings: Sequence[Annotation], codebook: Codebook) -> NDArray[np.bool_]:
    rows = [[c in a.concerns for c in codebook.concern_ids] for a in readings]
    return np.array(rows, dtype=bool).reshape(len(readings), len(codebook.concerns))


def describe(key: Key, codebook: Codebook, gold: Decisions) -> tuple[str | None, str, str, int]:
    """Return label, title, definition and number of gold cases of a figure, named by metric and label index."""
    name, index = key
    if index is None:
        return None, *_overall(name, codebook, gold)
    kind, _, measured = name.partition("_")
    label = codebook.stance_ids[index] if kind == "stance" else codebook.concern_ids[index]
    cases = (gold.gold_stance == index).sum() if kind == "stance" else gold.gold_concerns[:, index].sum()
    definition = {
        "precision": "TP / (TP + FP): of the statements given this label, the share that has it in gold",
        "recall": "TP / (TP + FN): of the statements with this label in gold, the share that was given it",
        "f1": "2TP / (2TP + FP + FN)",
    }[measured]
    return label, f"{kind.capitalize()} {label}, {measured if measured != 'f1' else 'F1'}", definition, int(cases)


def _overall(name: str, codebook: Codebook, gold: Decisions) -> tuple[str, str, int]:
    """Return title, definition and number of gold cases of a figure over all labels."""
    n = len(gold.gold_stance)
    polar = " and ".join(codebook.polar_ids)
    support = gold.gold_concerns.sum(0)
    often = support[support >= FREQUENT]
    holders = gold.holders or Holders((), (), np.array([], dtype=np.int64), np.array([], dtype=np.int64))
    named, known = sum(h is not None for h in holders.gold), int((holders.gold_kind >= 0).sum())
    share = f"{SHARE_KEPT:.0%}".replace("%", " %")
    rows: dict[str, tuple[str, str, int]] = {
        "stance_macro_f1": ("Stance, macro-F1", _MEAN_OF.format("all stances"), n),
        "stance_polar_f1": (f"Stance, mean F1 of {polar}", _MEAN_OF.format(polar), n),
        "stance_accuracy": ("Stance, accuracy", "share of statements whose stance is the gold one", n),
        "concern_macro_f1": (
            "Concerns, macro-F1",
            _MEAN_OF.format(f"all {len(codebook.concerns)} concerns"),
            int(support.sum()),
        ),
        "concern_macro_f1_frequent": (
            f"Concerns, macro-F1 ({len(often)} with {FREQUENT}+ cases)",
            _MEAN_OF.format(f"the concerns with {FREQUENT} gold cases or more in this part"),
            int(often.sum()),
        ),
        "concern_micro_f1": (
            "Concerns, micro-F1",
            "2TP / (2TP + FP + FN) over all concerns together",
            int(support.sum()),
        ),
        "stance_ece": (
            "Stance, expected calibration error",
            "mean gap between confidence and accuracy over ten equal bins of confidence; lower is better",
            n,
        ),
        "accuracy_at_70": (
            f"Stance, accuracy of the {share} most confident",
            f"share of right stances among the {share} of statements with the highest confidence, equal ones together",
            math.ceil(SHARE_KEPT * n),
        ),
        "aurc": (
            "Stance, area under the risk-coverage curve",
            "mean over all statements of the error rate among those decided at least as confidently; lower is better",
            n,
        ),
        "holder_exact_f1": (
            "Holder, exact F1",
            "2 x hits / (statements with a decided holder + with a gold one); a hit is the same text, letter for letter",
            named,
        ),
        "holder_overlap_f1": (
            "Holder, overlap F1",
            "2 x S / (statements with a decided holder + with a gold one); S adds up, statement by statement, "
            "2 x shared words / (words of both names)",
            named,
        ),
        "holder_named_accuracy": (
            "Holder, named or not",
            "share of statements where decision and gold agree on whether a holder is named in the text",
            len(holders.gold),
        ),
        "holder_type_macro_f1": (
            "Holder type, macro-F1",
            _MEAN_OF.format(f"all {len(codebook.holder_types)} holder types"),
            known,
        ),
        "holder_type_accuracy": ("Holder type, accuracy", "share of statements whose holder type is the gold one", known),
    }
    return rows[name]
