"""Suspected errors in gold labels: what a model that has not seen a label says of it, and what mending labels brings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from corpus.errors import RecordError
from models.dataset import Example, targets
from models.metrics import Interval
from models.recipe import Recipe

Floats = NDArray[np.float64]
Parts = tuple[Sequence[Example], Sequence[Example], Sequence[Example]]  # to fit on, to calibrate on, and held out

STANCE, CONCERNS = "stance", "concerns"
_FIGURES = ("stance_macro_f1", "concern_macro_f1")


@dataclass(frozen=True)
class HeldOut:
    """What models that had not seen them say of n statements, in the codebook's order.

    ``stance`` (n, stances) sums to one a row, ``concerns`` (n, concerns) are each on their own. ``judged`` (n,) is False
    where the model has not learned the stance that gold has: it can say nothing about that label.
    """

    stance: Floats
    concerns: Floats
    judged: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How well a statement's gold label fits what the model says of it.

    ``score`` is a label quality score in [0, 1], low is suspicious, of the ``question`` on which the label stands out more
    against the other statements' labels.
    """

    statement: str
    score: float
    question: str


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """A figure on the development part, for training on gold as it was and as it is with changed labels.

    ``before`` and ``after`` are trained on gold as it was and as it is; both have a figure against each of the two golds,
    ``was`` and ``now``. ``difference`` is ``after`` - ``before``, both against gold as it is now.
    """

    name: str
    before_was: Interval | None
    before_now: Interval | None
    after_was: Interval | None
    after_now: Interval | None
    difference: Interval | None


def held_out_probabilities(
    examples: Sequence[Example],
    folds: Iterable[Parts],
    codebook: Codebook,
    recipe: Recipe,
    *,
    advance: Callable[[int], object] = lambda n: None,
) -> HeldOut:
    """Return calibrated probabilities for every statement from a model that was fitted without it.

    The encoder stays as it is and reads each statement once; on each fold the heads of :mod:`models.frozen` are fitted.

    Args:
        examples: The statements, n of them.
        folds: Parts without a common group; each statement is held out once.
        codebook: Its labels.
        recipe: ``encoder``, ``context``, ``max_length``, ``lexicon`` and ``seed`` count.
        advance: Called with the number of statements read, batch by batch.

    Raises:
        RecordError: when a fold has fewer than two stances to learn, or some statements are never held out.
    """
    from models.frozen import blank_network, fit_heads, read_features

    network, tokenizer = blank_network(codebook, recipe)
    features = read_features(network, tokenizer, examples, recipe, advance=advance)
    place = {e.statement.id: i for i, e in enumerate(examples)}
    stance = np.zeros((len(examples), len(codebook.stances)))
    concerns = np.zeros((len(examples), len(codebook.concerns)))
    judged, seen = np.zeros(len(examples), dtype=bool), np.zeros(len(examples), dtype=bool)
    for training, development, held in folds:
        learned = {e.gold.stance for e in training}
        columns = [i for i, s in enumerate(codebook.stance_ids) if s in learned]
        if len(columns) < 2:
            raise RecordError(
                f"{len(columns)} stances to learn among {len(training)} statements, expected two or more; label more "
                "documents before looking for errors"
            )
        narrow = msgspec.structs.replace(codebook, stances=tuple(codebook.stances[i] for i in columns))
        parts = (training, [e for e in development if e.gold.stance in learned])
        rows = [[place[e.statement.id] for e in part] for part in (*parts, held)]
        heads = fit_heads((features.rows(rows[0]), features.rows(rows[1])), parts, narrow, recipe)
        scores = heads.scores(features.rows(rows[2]))
        stance[np.ix_(rows[2], columns)] = heads.calibration.stance(scores.stance)
        concerns[rows[2]] = heads.calibration.concerns(scores.concerns)
        judged[rows[2]] = [e.gold.stance in learned for e in held]
        seen[rows[2]] = True
    if not seen.all():
        raise RecordError(f"{int((~seen).sum())} of {len(examples)} statements are in no fold; give folds that hold out all")
    return HeldOut(stance, concerns, judged)


def rank_labels(examples: Sequence[Example], held_out: HeldOut, codebook: Codebook) -> tuple[Suspicion, ...]:
    """Rank gold labels, the most suspicious first; labels that the model could not judge are left out.

    Stances and sets of concerns are scored and ranked apart, since their scores do not compare; a statement takes the better
    of its two places. Equal places go to the stance. The scores are cleanlab's: self-confidence, the probability that the
    model gives to the label (Northcutt, Jiang & Chuang 2021), for a set of concerns averaged so that the least sure ones
    count most. Its verdicts on which labels are errors are not used: with a model that is often wrong itself they name far
    too many (docs/label-errors.md).

    Args:
        examples: n statements.
        held_out: What the model says of them.
        codebook: Its labels.

    Raises:
        CodebookError: on a label that the codebook does not have.
    """
    from scipy.stats import rankdata

    rows = np.flatnonzero(held_out.judged)
    if not len(rows):
        return ()
    kept = [examples[i] for i in rows]
    y = targets(kept, codebook)
    scores = np.stack(
        [_class_quality(y.stance, held_out.stance[rows]), _set_quality(y.concerns > 0, held_out.concerns[rows])]
    )
    # Equal scores take the last of their places: a label that fits like many others is none to suspect.
    places = rankdata(scores, method="max", axis=1)
    chosen = places.argmin(0)  # the first of equals: the stance
    order = np.lexsort((chosen, places.min(0)))
    return tuple(
        Suspicion(
            statement=kept[i].statement.id,
            score=float(np.clip(scores[chosen[i], i], 0.0, 1.0)),
            question=(STANCE, CONCERNS)[chosen[i]],
        )
        for i in order
    )


def development_effect(
    before: tuple[Sequence[Example], Sequence[Example]],
    after: tuple[Sequence[Example], Sequence[Example]],
    codebook: Codebook,
    recipe: Recipe,
) -> tuple[Effect, ...]:
    """Train on gold as it was and as it is, and measure both on the development part, against both.

    Intervals are a bootstrap by document; the difference is taken within each resample.

    Args:
        before: Train and development part as they were.
        after: The same statements in the same order, with the labels that they have now.
        codebook: Its labels.
        recipe: As for :func:`held_out_probabilities`.

    Raises:
        RecordError: when a part is empty, or a stance has no training example before or after.
    """
    from models.evaluation import Bootstrap, counter_of, measure, resampling
    from models.frozen import blank_network, fit_heads, read_features
    from models.training import decisions

    network, tokenizer = blank_network(codebook, recipe)
    x, held = (read_features(network, tokenizer, part, recipe) for part in before)
    draws = resampling(before[1], Bootstrap())
    measured = {}
    for trained, parts in (("before", before), ("after", after)):
        heads = fit_heads((x, held), parts, codebook, recipe)
        scores = heads.scores(held)
        for gold, development in (("was", before[1]), ("now", after[1])):
            decided = decisions(scores, targets(development, codebook), heads.calibration)
            measured[trained, gold] = measure(counter_of(decided, codebook), draws, decided)
    return tuple(
        Effect(
            name=name,
            **{f"{trained}_{gold}": m.interval((name, None)) for (trained, gold), m in measured.items()},
            difference=measured["after", "now"].lead(measured["before", "now"], (name, None)),
        )
        for name in _FIGURES
    )


def wilson(successes: int, trials: int) -> Interval | None:
    """Return a share with its 95 % score interval (Wilson 1927), None for no trials. It takes trials as independent."""
    from scipy.stats import binomtest

    if not trials:
        return None
    found = binomtest(successes, trials).proportion_ci(confidence_level=0.95, method="wilson")
    return Interval(successes / trials, float(found.low), float(found.high))


def _class_quality(y: NDArray[np.int64], probability: Floats) -> Floats:
    """Return quality scores (n,) of one label each; all are 1 where all labels are the same."""
    from cleanlab.rank import get_label_quality_scores

    present, labels = np.unique(y, return_inverse=True)
    if len(present) < 2:
        return np.ones(len(y))
    p = probability[:, present]  # cleanlab numbers classes without a gap
    p = p / np.clip(p.sum(1, keepdims=True), 1e-12, None)
    return np.asarray(get_label_quality_scores(labels, p))


def _set_quality(y: NDArray[np.bool_], probability: Floats) -> Floats:
    """Return quality scores (n,) of sets of concerns; a concern that all sets have, or none, is left out."""
    from cleanlab.multilabel_classification import get_label_quality_scores

    varies = y.any(0) & ~y.all(0)
    y, probability = y[:, varies], probability[:, varies]
    if not y.shape[1]:
        return np.ones(len(y))
    if y.shape[1] == 1:  # cleanlab does not take a single column for sets
        return _class_quality(y[:, 0].astype(np.int64), np.column_stack([1 - probability, probability]))
    return np.asarray(get_label_quality_scores([np.flatnonzero(row).tolist() for row in y], probability))
