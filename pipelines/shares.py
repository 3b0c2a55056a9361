"""Shares: what part of a coverage takes which stance and raises which concern, group by group, with intervals that hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.differences import difference, holm
from models.label_shift import Rates, corrected, draw_rates, unfit
from models.prevalence import Estimate, Group, Sample, design_based, estimate, expected_cases
from pipelines.audit_sample import AuditSample, matched
from pipelines.coverage import Coverage
from pipelines.share_arrays import Asked, Parts, Units, Whole, read_units, split

if TYPE_CHECKING:
    import pandas as pd

    from models.evaluation import Evaluation

Floats = NDArray[np.float64]

COUNTINGS = ("opinions", "statements")
OVERALL, ALL = "overall", "all"
PPI, CONFUSION = "ppi", "confusion"
LEAST_GOLD = 30
"""Gold units that a group must have for an estimate."""
LEAST_CLUSTERS = 20
"""Stories or documents from which they must be."""
LEAST_BELOW = 25.0
"""Effective gold units that the denominator can be expected to have."""
LEAST_CASES = 5.0
"""Effective gold cases that a label, and its absence, can be expected to have by the predictions for all units."""
LEAST_UNITS = 10
"""Opinions that a group must have to be shown at all."""

NO_AUDIT = "no audit sample"
TOO_FEW = "too few gold labels"
TOO_RARE = "too rare for the gold labels"
NO_CONCERNS = "the evaluation has no confusion matrix of concerns"

SHARE_COLUMNS = (
    "dimension", "group", "counting", "measure", "label", "given", "share", "low", "high", "method", "reason", "units",
    "documents", "gold", "expected", "uncorrected", "abstained", "gold_share", "gold_low", "gold_high", "design_share",
    "design_low", "design_high", "lambda",
)  # fmt: skip
DIFFERENCE_COLUMNS = (
    "dimension",
    "group",
    "other",
    "counting",
    "measure",
    "label",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "reason",
)
_DIMENSIONS = (
    ("holder", "resolved"), ("holder_type", "resolved_type"), ("publisher", "publisher"), ("kind", "kind"),
    ("country", "country"),
)  # fmt: skip
_PERIODS = ("month", "quarter")
_DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Shares:
    """Tables of shares; the columns of the first three are :data:`SHARE_COLUMNS`, of the last :data:`DIFFERENCE_COLUMNS`.

    ``shares`` has stances and positions and ``concerns`` concerns by all dimensions but time, ``trend`` both by time.
    ``notes`` say what a reader must know of all of them.
    """

    shares: pd.DataFrame
    trend: pd.DataFrame
    concerns: pd.DataFrame
    differences: pd.DataFrame
    notes: tuple[str, ...]


def estimate_shares(
    coverage: Coverage,
    audit: AuditSample | None = None,
    evaluation: Evaluation | None = None,
    *,
    counting: str | Sequence[str] = COUNTINGS,
    by: Sequence[str] | None = None,
    level: float = 0.95,
    least_gold: int = LEAST_GOLD,
    least_units: int = LEAST_UNITS,
    seed: int = 0,
) -> Shares:
    """Estimate all shares of a coverage.

    Args:
        coverage: What was labelled.
        audit: Gold of statements drawn with known probabilities; shares are corrected by it.
        evaluation: Where there is no audit sample, its confusion matrix corrects the stances, on an assumption.
        counting: ``opinions`` (each opinion once), ``statements`` (each as often as it was found), or both.
        by: Dimensions; default: all that are known.
        level: Of the intervals.
        least_gold: Gold units that a group must have.
        least_units: Opinions that a group must have to be shown.
        seed: Of the resampling where there is no audit sample.
    """
    from threadpoolctl import threadpool_limits

    countings = (counting,) if isinstance(counting, str) else tuple(counting)
    with threadpool_limits(
        1
    ):  # the products are small: on busy cores, threads wait for one another far longer than they help
        work = _Work(coverage, audit, evaluation, level=level, least_gold=least_gold, least_units=least_units, seed=seed)
        for name, codes, groups in work.dimensions(by):
            work.dimension(name, codes, groups, countings)
        return work.result()


@dataclass(slots=True)
class _Work:
    """One run over a coverage: units as arrays, and the blocks of rows made so far."""

    coverage: Coverage
    audit: AuditSample | None
    evaluation: Evaluation | None
    level: float
    least_gold: int
    least_units: int
    seed: int
    frame: pd.DataFrame = field(init=False)
    units: Units = field(init=False)
    asked: tuple[Asked, ...] = field(init=False)
    rates: Rates | None = field(init=False, default=None)
    without: str = field(init=False, default=NO_AUDIT)
    blocks: list[dict[str, Any]] = field(init=False, default_factory=list)
    compared: list[dict[str, Any]] = field(init=False, default_factory=list)
    small: dict[str, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.coverage.frame[self.coverage.frame["first"].astype(bool)]
        gold = matched(self.coverage, self.audit) if self.audit is not None else None
        codebook = self.coverage.labels.codebook
        self.frame = rows.reset_index(drop=True)
        self.units = read_units(self.frame, codebook, None if gold is None else gold.loc[rows.index])
        self.asked = self.units.layout.questions()
        if self.units.sample is None and self.evaluation is not None:
            confusion = np.array(self.evaluation.confusion, dtype=np.float64)
            same = tuple(self.evaluation.stances) == codebook.stance_ids
            reason = unfit(confusion) if same else "the evaluation has other stances"
            self.without = reason or NO_AUDIT
            self.rates = draw_rates(confusion, draws=_DRAWS, seed=self.seed) if reason is None else None

    def dimensions(self, by: Sequence[str] | None) -> Iterator[tuple[str, NDArray[np.int64], list[str]]]:
        """Yield each dimension's name, the number of each unit's group (-1: unknown, or too small) and the groups' names."""
        import pandas as pd

        if by is None or OVERALL in by:
            yield OVERALL, np.zeros(len(self.frame), dtype=np.int64), [ALL] if len(self.frame) else []
        known = (*_DIMENSIONS, *((p, p) for p in _PERIODS), *((c, c) for c in self.coverage.columns))
        for name, column in known:
            if column not in self.frame or (by is not None and name not in by):
                continue
            values = self.frame[column].astype(object)
            codes, names = pd.factorize(values.where(values.notna(), None), sort=True)
            counts = np.bincount(codes[codes >= 0], minlength=len(names))
            large = counts >= self.least_units
            if len(names) > int(large.sum()):
                self.small[name] = len(names) - int(large.sum())
            if large.any():
                renumber = np.append(np.where(large, large.cumsum() - 1, -1), -1)
                yield name, renumber[codes].astype(np.int64), [str(n) for n, kept in zip(names, large, strict=True) if kept]

    def dimension(self, name: str, codes: NDArray[np.int64], groups: list[str], countings: Sequence[str]) -> None:
        """Add the rows of one dimension."""
        if not groups:
            return
        inside = codes >= 0
        counted = [np.bincount(codes[inside], minlength=len(groups)), *_spread(codes, self.units, len(groups))]
        for counting in countings:
            size = np.ones(len(codes)) if counting == COUNTINGS[0] else self.units.copies
            parts = split(self.units, codes, len(groups), size)
            abstained = np.bincount(codes[inside], weights=(~self.units.decided[:, 0] * size)[inside], minlength=len(groups))
            found: list[dict[int, Estimate]] = []
            for g, group in enumerate(groups):
                estimates: dict[int, Estimate] = {}
                sums = parts.sums(g)
                own = parts.group(g) if self._enough(parts.sample, parts.gold_group == g) else None
                head = {
                    "dimension": name, "group": group, "counting": counting, "units": round(sums[0]),
                    "documents": int(counted[1][g]), "abstained": round(abstained[g]),
                }  # fmt: skip
                for number, asked in enumerate(self.asked):
                    if name in _PERIODS and asked.given is not None:
                        continue
                    cells = (
                        head
                        | self._plain(asked, sums, parts.decided[g])
                        | self._cells(asked, parts, g, own, estimates, number)
                    )
                    self.blocks.append(cells)
                found.append(estimates)
            if self.units.sample is not None:
                self._compare(name, groups, counting, parts, found)

    def _plain(self, asked: Asked, sums: Floats, decided: Floats) -> dict[str, Any]:
        """Return what takes no gold: mean probabilities and counted decisions."""
        q = asked.question
        labels = list(q.labels)
        below = sums[0] if asked.measure == "concern" else decided[q.given]  # abstaining is about stances alone
        return {
            "measure": asked.measure,
            "given": asked.given,
            "label": asked.labels,
            "expected": sums[labels] / sums[q.given] if sums[q.given] > 0 else np.nan,
            "uncorrected": decided[labels] / below if below > 0 else np.nan,
        }

    def _enough(self, sample: Sample | None, inside: NDArray[np.bool_]) -> bool:
        """Return whether a group has the gold units and clusters that an estimate needs."""
        if sample is None or inside.sum() < self.least_gold:
            return False
        return len(np.unique(sample.cluster[inside])) >= LEAST_CLUSTERS

    def _cells(
        self, asked: Asked, parts: Parts, g: int, group: Group | None, estimates: dict[int, Estimate], number: int
    ) -> dict[str, Any]:
        """Return estimates of one question in one group, or the reasons why there are none."""
        sample, q = parts.sample, asked.question
        if sample is None:
            return self._without_audit(asked, parts, g)
        gold = int(sample.y[parts.gold_group == g, q.given].sum())
        if group is None:
            return {"gold": gold, "reason": TOO_FEW}
        below, cases = expected_cases(group, sample, q)
        if below < LEAST_BELOW:
            return {"gold": gold, "reason": TOO_FEW}
        best = estimate(group, sample, q, level=self.level)
        alone = estimate(group, sample, q, level=self.level, power=0.0)
        check = design_based(group, sample, q, level=self.level)
        estimates[number] = best
        shown = (cases >= LEAST_CASES) & np.isfinite(best.share)
        cells: dict[str, Any] = {
            "gold": gold,
            "method": _either(shown, PPI, None),
            "reason": _either(shown, None, TOO_RARE),
            "lambda": np.where(shown, best.lambda_, np.nan),
        }
        for prefix, e in (("", best), ("gold_", alone), ("design_", check)):
            for end, value in (("share", e.share), ("low", e.low), ("high", e.high)):
                cells[prefix + end] = np.where(shown, value, np.nan)
        return cells

    def _without_audit(self, asked: Asked, parts: Parts, g: int) -> dict[str, Any]:
        if self.rates is None:
            return {"gold": 0, "reason": self.without}
        if asked.measure not in ("stance", "position"):
            return {"gold": 0, "reason": NO_CONCERNS}
        members = None if asked.measure == "stance" else self.units.layout.taking
        rows = slice(parts.starts[g], parts.starts[g + 1])
        result = corrected(parts.likeliest[rows], self.rates, members=members, level=self.level, seed=self.seed)
        kept = [self.units.layout.codebook.stance_ids.index(label) for label in asked.labels]
        share, low, high = (values[kept] for values in result)
        known = np.isfinite(share) & np.isfinite(low)
        return {
            "gold": 0, "method": _either(known, CONFUSION, None), "reason": _either(known, None, TOO_RARE),
            "share": share, "low": low, "high": high,
        }  # fmt: skip

    def _compare(self, name: str, groups: list[str], counting: str, parts: Parts, found: list[dict[int, Estimate]]) -> None:
        """Add differences: each group against the rest of its dimension, each period against the one before."""
        whole: Whole | None = None
        for g, group in enumerate(groups):
            if len(groups) < 2 or not found[g] or (name in _PERIODS and not g):
                continue
            if name in _PERIODS:
                other, others, cross, rest = groups[g - 1], found[g - 1], parts.cross(g, g - 1), parts.group(g - 1)
            else:
                whole = whole or parts.whole()
                other, others = None, {}
                rest, cross = parts.rest(g, whole)
            self._compare_pair(name, group, other, counting, parts, g, found[g], others, rest, cross)

    def _compare_pair(
        self, name: str, group: str, other: str | None, counting: str, parts: Parts, g: int,
        own: dict[int, Estimate], others: dict[int, Estimate], rest: Group, cross: Floats,
    ) -> None:  # fmt: skip
        sample = parts.sample
        assert sample is not None  # noqa: S101 - the caller has estimates
        enough, mine = self._enough(sample, rest.inside), parts.group(g)
        for number, asked in enumerate(self.asked):
            if asked.given is not None or number not in own:
                continue
            block: dict[str, Any] = {
                "dimension": name, "group": group, "other": other, "counting": counting, "measure": asked.measure,
                "label": asked.labels,
            }  # fmt: skip
            below, cases = expected_cases(rest, sample, asked.question)
            if not enough or below < LEAST_BELOW:
                self.compared.append(block | {"reason": TOO_FEW})
                continue
            second = others.get(number) or estimate(rest, sample, asked.question, level=self.level)
            result = difference(own[number], second, cross, level=self.level)
            cases = np.minimum(cases, expected_cases(mine, sample, asked.question)[1])
            shown = (cases >= LEAST_CASES) & np.isfinite(result.value) & np.isfinite(result.p)
            self.compared.append(
                block
                | {"reason": _either(shown, None, TOO_RARE), "difference": np.where(shown, result.value, np.nan)}
                | {"low": np.where(shown, result.low, np.nan), "high": np.where(shown, result.high, np.nan)}
                | {"p": np.where(shown, result.p, np.nan)}
            )

    def result(self) -> Shares:
        """Return the tables."""
        table = _table(self.blocks, SHARE_COLUMNS)
        differences = _table(self.compared, DIFFERENCE_COLUMNS)
        differences["p_holm"] = differences["p_holm"].astype(float)
        for _, rows in differences.groupby(["dimension", "measure", "counting"], sort=False).groups.items():
            differences.loc[rows, "p_holm"] = holm(differences.loc[rows, "p"].to_numpy(dtype=float))
        time = table["dimension"].isin(_PERIODS)
        concern = table["measure"].isin(["concern", "concern_given_stance"])
        return Shares(
            shares=table[~time & ~concern].reset_index(drop=True),
            trend=table[time].reset_index(drop=True),
            concerns=table[~time & concern].reset_index(drop=True),
            differences=differences,
            notes=self._notes(),
        )

    def _notes(self) -> tuple[str, ...]:
        sample, notes = self.units.sample, []
        if sample is not None:
            n, strata = len(sample.weight), int(sample.stratum.max()) + 1
            of = "" if strata == 1 else f" in {strata} strata"
            notes.append(
                f"Shares are corrected by {n} audited statements{of}; the intervals are for one share at a time, "
                "so that of twenty shares one is expected to lie outside its own."
            )
            if self.compared:
                notes.append(
                    "p values of differences are adjusted by Holm's method within each dimension, measure and counting."
                )
            if self.audit is not None and (lost := len(self.audit.frame) - n) > 0:
                notes.append(
                    f"{lost} audited statements are left out: not among these labels, or a copy was audited as well."
                )
        elif self.rates is not None:
            notes.append(
                "There is no audit sample: shares of stances are corrected by the evaluation's confusion matrix. "
                "That assumes that among statements of each true stance the model decides here, in every group, "
                "as it did on the evaluated part."
            )
        else:
            notes.append(
                f"There is no estimate ({self.without}); plain counts of the model's decisions are biased by its errors."
            )
        for name, number in self.small.items():
            groups = "1 group has" if number == 1 else f"{number} groups have"
            notes.append(f"{name}: {groups} fewer than {self.least_units} opinions and no row.")
        return tuple(notes)


def _spread(codes: NDArray[np.int64], units: Units, groups: int) -> list[NDArray[np.int64]]:
    """Return how many documents each group's units are from."""
    inside = codes >= 0
    pairs = np.unique(np.stack([codes[inside], units.document[inside]]), axis=1)
    return [np.bincount(pairs[0], minlength=groups)]


def _table(blocks: list[dict[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Put blocks of rows together: values that are not arrays or tuples hold for all rows of their block."""
    import pandas as pd

    texts = {"dimension", "group", "other", "counting", "measure", "label", "given", "method", "reason"}
    whole = {"units", "documents", "gold", "abstained"}
    out: dict[str, Any] = {}
    lengths = [len(b["label"]) for b in blocks]
    for name in columns:
        missing = None if name in texts else np.nan
        pieces = [_stretch(b.get(name, missing), n, name in texts) for b, n in zip(blocks, lengths, strict=True)]
        dtype = object if name in texts else float
        values = np.concatenate(pieces) if pieces else np.empty(0, dtype=dtype)
        out[name] = pd.Series(values.astype("int64") if name in whole else values, dtype="int64" if name in whole else dtype)
    return pd.DataFrame(out)


def _either(shown: NDArray[np.bool_], then: str | None, otherwise: str | None) -> tuple[str | None, ...]:
    return tuple(then if yes else otherwise for yes in shown)


def _stretch(value: Any, n: int, text: bool) -> NDArray[Any]:
    dtype = object if text else np.float64
    if isinstance(value, (tuple, np.ndarray)):
        return np.array(value, dtype=dtype)
    return np.full(n, value, dtype=dtype)
