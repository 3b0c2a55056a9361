"""Bundles beside one another: two of them on the same statements, and several that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from annotation.codebook import Codebook
from corpus.errors import RecordError
from models.breakdown import Comparison, Difference, Spread
from models.dataset import Example
from models.evaluation import Bootstrap, counter_of, describe, measure, resampling
from models.metrics import Decisions, Floats
from models.splits import PARTS, Split


def compare(
    examples: Sequence[Example],
    first: Decisions,
    second: Decisions,
    codebook: Codebook,
    *,
    part: str,
    model_ids: tuple[str, str],
    bootstrap: Bootstrap | None = None,
) -> Comparison:
    """Compare two bundles by a paired bootstrap: each resample draws the same documents for both (Koehn 2004).

    Args:
        examples: The statements, in the order of both sets of decisions.
        first: Decisions of one bundle.
        second: Decisions of the other; differences are first minus second.
        codebook: Its labels name the figures.
        part: Name of the part, for the record.
        model_ids: Of the first and the second bundle, for the record.
        bootstrap: Resamples and seed.

    Raises:
        RecordError: when there are no examples.
    """
    if not examples:
        raise RecordError(f"the {part} part has no labelled statement; there is nothing to compare")
    bootstrap = bootstrap or Bootstrap()
    draws, counter = resampling(examples, bootstrap), counter_of(first, codebook)
    one, other = (measure(counter, draws, d) for d in (first, second))
    figures = []
    for key in one.value:
        sides = one.interval(key), other.interval(key)
        if sides == (None, None):
            continue
        label, title, _, _ = describe(key, codebook, first)
        figures.append(
            Difference(
                name=key[0],
                label=label,
                title=title,
                first=sides[0],
                second=sides[1],
                difference=one.lead(other, key),
                p=sign_test(one.resampled[key] - other.resampled[key]),
            )
        )
    return Comparison(
        part=part,
        first=model_ids[0],
        second=model_ids[1],
        codebook_id=codebook.id,
        statements=len(examples),
        documents=draws.weights.shape[1],
        bootstrap=bootstrap.record,
        figures=tuple(figures),
    )


def sign_test(differences: Floats) -> float | None:
    """Return how often resampled differences (resamples,) have the other sign, two-sided; None where none is defined.

    Twice the smaller share of differences at or below and at or above zero, one added to each count so that no finite number
    of resamples gives 0 (Davison & Hinkley 1997, chapter 4), and 1 at most.
    """
    known = differences[np.isfinite(differences)]
    if not len(known):
        return None
    fewer = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(known) + 1))


def spread(examples: Sequence[Example], runs: Sequence[Decisions], codebook: Codebook) -> tuple[Spread, ...]:
    """Return mean and standard deviation of each figure over all labels, over bundles of several seeds.

    Args:
        examples: The statements, in the order of all decisions.
        runs: Decisions of each bundle, two or more.
        codebook: Its labels name the figures.

    Raises:
        RecordError: when there are fewer than two runs, or no examples.
    """
    if len(runs) < 2 or not examples:
        raise RecordError(
            f"{len(runs)} bundles on {len(examples)} statements, expected two or more bundles and some statements to tell "
            "how far seeds lie apart; name more bundles"
        )
    draws, counter = resampling(examples, Bootstrap(resamples=1)), counter_of(runs[0], codebook)
    values = [measure(counter, draws, d).value for d in runs]
    found = []
    for key in values[0]:
        figures = np.array([float(v[key]) for v in values])
        if key[1] is None and np.isfinite(figures).all():
            mean, sd = float(figures.mean()), float(figures.std(ddof=1))
            found.append(Spread(name=key[0], values=tuple(figures.tolist()), mean=mean, sd=sd))
    return tuple(found)


def check_same_split(first: Split, second: Split, names: tuple[str, str]) -> None:
    """Refuse two bundles whose statements were not parted alike.

    Otherwise a statement that one is tested on may be one that the other was trained on.

    Raises:
        RecordError: naming the first statement that differs.
    """
    if (first.parts, first.hashes) == (second.parts, second.hashes):
        return
    place = {i: part for part in PARTS for i in first.parts[part]}
    other = {i: part for part in PARTS for i in second.parts[part]}
    moved = sorted(i for i in place.keys() | other.keys() if place.get(i) != other.get(i))
    what = (
        f"statements in other parts: {len(moved)}, the first is {moved[0]}, in {place.get(moved[0], 'none')} and in "
        f"{other.get(moved[0], 'none')}"
        if moved
        else "their texts or gold labels differ"
    )
    raise RecordError(
        f"{names[0]} and {names[1]} were trained on different splits ({what}); train both with the same corpus, "
        "split and split seed"
    )
