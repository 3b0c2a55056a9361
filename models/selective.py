"""Selective prediction: which decisions to keep and which to leave to people, and sets of labels that hold the true one.

Everything rests on development statements that were not trained on. What is promised holds for statements drawn as they
were; for a source, a time or a language of another kind nothing is promised.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from corpus.errors import UsageError

Floats = NDArray[np.float64]
Pairs = Sequence[tuple[float, bool]]

_SLACK = 1e-9  # so that 1 error of 10 is not more than 1 - 0.9
_TARGETS = [percent / 100 for percent in range(99, 0, -1)]


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold of confidence and what is known of it: decisions at or above it are kept, the others are abstentions.

    ``statements`` calibration statements chose it, of which ``kept`` reached it and ``correct`` of these were right.
    ``assurance`` is None where the target is promised in expectation, otherwise the probability with which it is reached.
    """

    target: float
    assurance: float | None
    threshold: float
    statements: int
    kept: int
    correct: int

    @property
    def expected_accuracy(self) -> float:
        """Accuracy of the kept decisions, with one error more than was seen: choosing a threshold flatters it."""
        return 1 - (self.kept - self.correct + 1) / self.kept

    @property
    def expected_coverage(self) -> float:
        """Share of the calibration statements that was kept."""
        return self.kept / self.statements

    @property
    def coverage_interval(self) -> tuple[float, float]:
        """95 % interval of the share of all new statements that is kept: quantiles of Beta(kept, statements + 1 - kept).

        That is the distribution of the coverage at an order statistic of the calibration confidences (Vovk 2012). It is
        exact for a rank fixed beforehand; here the rank was chosen on the same statements.
        """
        from scipy.special import betaincinv

        if self.kept == self.statements:
            return (1.0, 1.0)
        low, high = betaincinv(self.kept, self.statements + 1 - self.kept, [0.025, 0.975])
        return float(low), float(high)

    @property
    def guarantee(self) -> str:
        """What is promised, in a sentence for people."""
        if self.assurance is None:
            return (
                f"On average over draws of the development statements, {self.target:.4g} or more of the kept stance "
                "decisions are right; a single threshold may fall short."
            )
        return (
            f"With probability {self.assurance:.4g} over draws of the development statements, {self.target:.4g} or more of "
            "the kept stance decisions are right."
        )

    def keeps(self, confidence: float) -> bool:
        """Return whether a decision of this confidence is kept."""
        return confidence >= self.threshold


def choose_threshold(pairs: Pairs, target: float, *, assurance: float | None = None) -> Selection:
    """Choose the lowest threshold of confidence at which the kept decisions reach an accuracy.

    Of the calibration statements at or above a threshold t, let K(t) be the number and W(t) the number of wrong ones.

    Without ``assurance`` the lowest t with (W(t) + 1) / K(t) <= 1 - target is taken, a promise in expectation: with n
    calibration statements and w the share of all new statements that is kept and wrong, E[w / (K / (n + 1))] <= 1 - target.
    As t rises the choice is a stopping time, and of all wrong statements, old and new, each is as likely as any other to be
    the next one dropped, hence E[w / (W + 1)] <= 1 / (n + 1) (the argument of Barber and Candès 2015, theorem 2, and of Jin
    and Candès 2023). Without the 1 the kept fall short of the target on average. Draws without such a t count as no error.

    With ``assurance`` the target is reached with that probability over draws of the calibration statements. Thresholds are
    tested from the highest down by the binomial test of "the accuracy above it is below the target", the Clopper-Pearson
    bound, and the first failure ends it: a fixed sequence needs no correction for many tests (Angelopoulos et al. 2021,
    Learn then Test). It starts where a fifth of the statements is kept, or more where that is needed for the test to forgive
    one error: chance slips at the very top would end it at once. This supposes that accuracy does not rise as confidence
    falls.

    Both suppose independent statements. A threshold that keeps every calibration statement is zero and keeps everything.

    Args:
        pairs: Confidence and correctness of decisions on statements that were not trained on.
        target: Wanted accuracy of the kept decisions, in (0, 1).
        assurance: Probability in (0, 1), or None.

    Raises:
        UsageError: when a number is out of range, there are no pairs, or no threshold reaches the target; the sentence
            names the highest target that is reached.
    """
    for name, value in (("target", target), ("assurance", assurance)):
        if value is not None and not 0 < value < 1:
            raise UsageError(f"{name} is {value:g}, expected a number between 0 and 1, as in 0.9")
    if not pairs:
        raise UsageError("expected development decisions to choose a threshold on, found none; train the bundle again")
    found = _choose(pairs, target, assurance)
    if found is None:
        raise UsageError(f"no threshold promises an accuracy of {target:g}{_refusal(pairs, target, assurance)}")
    return found


def _choose(pairs: Pairs, target: float, assurance: float | None) -> Selection | None:
    thresholds, kept, wrong = _levels(pairs)
    if assurance is None:
        good = np.flatnonzero(wrong + 1 <= (1 - target) * kept + _SLACK)
        last = int(good[-1]) if len(good) else None
    else:
        last = _last_assured(kept, wrong, 1 - target, 1 - assurance)
    if last is None:
        return None
    return Selection(
        target=target,
        assurance=assurance,
        threshold=float(thresholds[last]),
        statements=len(pairs),
        kept=int(kept[last]),
        correct=int(kept[last] - wrong[last]),
    )


def _levels(pairs: Pairs) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Return thresholds from the highest to zero, and for each how many pairs are kept and how many of them are wrong."""
    confidence = np.array([c for c, _ in pairs])
    order = np.argsort(-confidence, kind="stable")
    wrong = np.cumsum([not pairs[i][1] for i in order])
    ranked = confidence[order]
    ends = np.append(np.flatnonzero(ranked[1:] < ranked[:-1]), len(ranked) - 1)  # equal confidences stay together
    thresholds = ranked[ends]
    thresholds[-1] = 0.0  # what keeps all of these keeps everything
    return thresholds, ends + 1, wrong[ends]


def _last_assured(kept: NDArray[np.int64], wrong: NDArray[np.int64], risk: float, doubt: float) -> int | None:
    """Return the last level of the fixed sequence of tests before one fails, None where the first one does."""
    from scipy.special import bdtr

    start = -(-int(kept[-1]) // 5)
    while start <= kept[-1] and bdtr(1, start, risk) > doubt:
        start += 1
    last = None
    for i in np.flatnonzero(kept >= start):
        if bdtr(wrong[i], kept[i], risk) > doubt:
            break
        last = int(i)
    return last


def _refusal(pairs: Pairs, target: float, assurance: float | None) -> str:
    """Return the end of the sentence of refusal: the highest target that some threshold promises."""
    base = f"{'' if assurance is None else f' with assurance {assurance:g}'} on {len(pairs)} development statements"
    highest = next((t for t in _TARGETS if _choose(pairs, t, assurance) is not None), None)
    if highest is None:
        return f"{base}, nor any other; annotate more statements and train again"
    plain = assurance is not None and _choose(pairs, target, None) is not None
    ways = f"ask for that{', leave the assurance out' if plain else ''}, or annotate more statements and train again"
    return f"{base}, the highest is {highest:g}; {ways}"


def conformal_scores(
    probabilities: NDArray[Any], labels: NDArray[np.int64] | None = None, *, method: Literal["lac", "aps"] = "lac"
) -> Floats:
    """Return how badly labels fit the probabilities (n, classes): (n,) for the given labels, (n, classes) for all.

    ``lac``: one minus the label's probability, which gives the smallest sets (Sadinle et al. 2019). ``aps``: the probability
    of the label and of all that are more probable, which spreads coverage over easy and hard statements (Romano et al. 2020,
    without its random part, so that coverage may exceed what was asked for).
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if method == "lac":
        scores = 1 - p
    else:
        above = p[:, None, :] >= p[:, :, None]
        scores = (above * p[:, None, :]).sum(-1)
    return scores if labels is None else scores[np.arange(len(p)), labels]


def conformal_quantile(scores: NDArray[Any], alpha: float) -> float:
    """Return the ceil((n + 1)(1 - alpha))-th smallest of n scores, infinity where n is too small for that.

    A new score, exchangeable with these, is at most this with probability 1 - alpha or more (Vovk et al. 2005), and less
    than 1 - alpha + 1 / (n + 1) where no two scores are equal.
    """
    rank = math.ceil((len(scores) + 1) * (1 - alpha) - _SLACK)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


def conformal_quantiles(
    scores: NDArray[Any], labels: NDArray[np.int64], classes: int, alpha: float, *, by_class: bool = False
) -> Floats:
    """Return the quantile of each class: one for all, or each class its own, which promises coverage within each class.

    Args:
        scores: (n,) scores of the true labels.
        labels: (n,) the true labels.
        classes: How many there are.
        alpha: Share of sets that may miss the true label.
        by_class: Each class its own quantile (Vovk 2012); a class with too few cases gets infinity, which puts it
            into every set.
    """
    if not by_class:
        return np.full(classes, conformal_quantile(scores, alpha))
    return np.array([conformal_quantile(scores[labels == k], alpha) for k in range(classes)])


def prediction_sets(
    probabilities: NDArray[Any], quantiles: Floats, *, method: Literal["lac", "aps"] = "lac"
) -> NDArray[np.bool_]:
    """Return which labels are in each statement's set (n, classes); a set can be empty where no label fits well enough."""
    return np.asarray(conformal_scores(probabilities, method=method) <= quantiles)
