"""Figures of agreement as functions of counts that add up over documents, and their intervals by resampling documents.

A resample of documents is then one row of a matrix product, whatever the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotation.agreement import Figure

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Blocks = Mapping[str, "Floats"]
"""Named blocks of columns, (rows, columns) each; rows are statements, sums over documents, or sums over resamples."""

_LEAST_DEFINED = 0.95  # of the resamples must define a figure, else its interval would be that of the lucky ones
_CELLS = 4_000_000  # of one block of resamples: about 30 MB


@dataclass(frozen=True, slots=True)
class Resampling:
    """How to get intervals: so many resamples of documents (none: no intervals), from this seed."""

    resamples: int = 1000
    seed: int = 0

    def figures(
        self,
        counts: Blocks,
        documents: Sequence[str],
        statistic: Callable[[Blocks], dict[str, Floats]],
        reasons: Mapping[str, str],
    ) -> dict[str, list[Figure]]:
        """Return figures with 95 % intervals: the 2.5 and 97.5 % quantiles over resamples of documents.

        A figure has no interval where there is but one document, or where too many resamples leave it undefined.

        Args:
            counts: One row a statement.
            documents: The document of each statement.
            statistic: From sums of the counts, one row a total, to arrays (rows, figures); NaN where not defined.
            reasons: Why a figure has no value, where there are statements and still it has none, by the statistic's names.
        """
        import numpy as np

        names, at = np.unique(np.asarray(documents, dtype=str), return_inverse=True)
        sums = {name: np.zeros((len(names), block.shape[1])) for name, block in counts.items()}
        for name, block in counts.items():
            np.add.at(sums[name], at, block)
        value = statistic({name: block.sum(axis=0, keepdims=True) for name, block in sums.items()})
        if not len(names):
            return {name: [Figure(None, "no statement")] * array.shape[1] for name, array in value.items()}
        resampled = self._resampled(sums, len(names), statistic)
        return {
            name: [
                _figure(array[0, i], resampled[name][:, i] if name in resampled else None, reasons.get(name, ""))
                for i in range(array.shape[1])
            ]
            for name, array in value.items()
        }

    def _resampled(self, sums: Blocks, n: int, statistic: Callable[[Blocks], dict[str, Floats]]) -> dict[str, Floats]:
        import numpy as np

        if n < 2 or self.resamples < 1:
            return {}
        rng = np.random.default_rng(self.seed)
        block = max(1, _CELLS // n)
        parts: list[dict[str, Floats]] = []
        for done in range(0, self.resamples, block):
            rows = min(block, self.resamples - done)
            drawn = rng.integers(0, n, size=(rows, n)) + n * np.arange(rows)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(float)
            parts.append(statistic({name: weights @ table for name, table in sums.items()}))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def agreement(sums: Blocks, distance: Floats) -> dict[str, Floats]:
    """Return observed agreement and Krippendorff's alpha, of whole answers and of each label as a yes or a no.

    Krippendorff (2004), Content Analysis, 2nd edition, chapter 11: alpha is 1 - (n - 1) * D / E over the n answers to
    statements with m > 1 of them, where D adds up the distances of all pairs of answers to one statement, divided by m - 1,
    and E those of all pairs of answers whatsoever.

    Args:
        sums: ``answers`` (rows, 1); ``kinds`` (rows, w) how many give each whole answer, ``has`` (rows, labels) how many
            have each label; ``apart``, ``unlike`` (rows, 1) and ``split`` (rows, labels), the D of whole answers by
            ``distance``, of whole answers as equal or not, and of each label.
        distance: (w, w) of whole answers.

    Returns:
        ``same``, ``alpha`` (rows, 1) and ``same_label``, ``alpha_label`` (rows, labels).
    """
    import numpy as np

    n, has = sums["answers"], sums["has"]
    far = ((sums["kinds"] @ distance) * sums["kinds"]).sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "same": 1 - sums["unlike"] / n,
            "alpha": 1 - (n - 1) * sums["apart"] / far,
            "same_label": 1 - sums["split"] / n,
            "alpha_label": 1 - (n - 1) * sums["split"] / (2 * has * (n - has)),
        }


def pair_agreement(sums: Blocks) -> dict[str, Floats]:
    """Return Cohen's kappa (1960) and F1 of two coders.

    Args:
        sums: ``statements`` (rows, 1); ``first``, ``second`` and ``both`` (rows, labels), on how many statements the first
            coder, the second and both have each label.

    Returns:
        ``kappa``, ``f1`` (mean over the labels that occur), ``micro_f1`` (rows, 1); ``kappa_label``, ``f1_label``
        (rows, labels). ``kappa`` is that of a question with one answer a statement.
    """
    import numpy as np

    n, first, second, both = sums["statements"], sums["first"], sums["second"], sums["both"]
    with np.errstate(divide="ignore", invalid="ignore"):
        f1 = 2 * both / (first + second)
        occurs = first + second > 0
        by_chance = (first * second + (n - first) * (n - second)) / n**2
        same = (n - first - second + 2 * both) / n
        chance = (first * second).sum(axis=1, keepdims=True) / n**2
        return {
            "kappa": _kappa(both.sum(axis=1, keepdims=True) / n, chance),
            "f1": np.where(occurs, f1, 0).sum(axis=1, keepdims=True) / occurs.sum(axis=1, keepdims=True),
            "micro_f1": 2 * both.sum(axis=1, keepdims=True) / (first + second).sum(axis=1, keepdims=True),
            "kappa_label": _kappa(same, by_chance),
            "f1_label": f1,
        }


def _kappa(same: Floats, chance: Floats) -> Floats:
    result: Floats = (same - chance) / (1 - chance)
    return result


def _figure(value: float, resampled: Floats | None, reason: str) -> Figure:
    import numpy as np

    if np.isnan(value):
        return Figure(None, reason)
    if resampled is None or np.isfinite(resampled).mean() < _LEAST_DEFINED:
        return Figure(float(value))
    low, high = np.nanquantile(resampled, [0.025, 0.975])
    return Figure(float(value), "", float(low), float(high))
