"""Shares of two runs side by side, and their differences with intervals that know what the runs have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.differences import difference, holm
from models.prevalence import Group, Question, Sample, Totals, cluster_totals, estimate
from pipelines.audit_sample import AuditSample, matched
from pipelines.coverage import Coverage
from pipelines.share_arrays import Units, read_units
from pipelines.shares import COUNTINGS, OVERALL, PPI, estimate_shares

if TYPE_CHECKING:
    import pandas as pd

    from models.evaluation import Evaluation

Floats = NDArray[np.float64]

COLUMNS = (
    "measure", "label", "given", "old_share", "old_low", "old_high", "new_share", "new_low", "new_high",
    "difference", "low", "high", "p", "p_holm", "method", "reason",
)  # fmt: skip
_KEY = ["measure", "label", "given"]


def share_changes(
    old: Coverage,
    new: Coverage,
    old_audit: AuditSample | None,
    new_audit: AuditSample | None,
    evaluation: Evaluation | None,
    *,
    counting: str = COUNTINGS[0],
    level: float = 0.95,
) -> pd.DataFrame:
    """Return one row a share of all coverage, with the columns :data:`COLUMNS`.

    Shares are those of :func:`pipelines.shares.estimate_shares`. The interval of a difference is that of the difference of
    the two runs' influence values, cluster by cluster (:func:`models.differences.difference`): stories and gold labels that
    both runs have cancel out. Shares from a confusion matrix have none; the difference of two such is taken as one of
    independent groups, from the widths of their intervals. p values are adjusted by Holm's method within a measure.

    Args:
        old: The earlier run.
        new: The later run, over the same codebook.
        old_audit: Gold for the earlier run.
        new_audit: Gold for the later run.
        evaluation: Of the model that made a run; left aside for a run of another one.
        counting: ``opinions`` or ``statements``.
        level: Of the intervals.
    """
    import pandas as pd

    sides = {
        name: _overall(coverage, audit, evaluation, counting, level)
        for name, coverage, audit in (("old", old, old_audit), ("new", new, new_audit))
    }
    ends = ("share", "low", "high")
    table = sides["new"][[*_KEY, *ends, "method", "reason"]].rename(columns={end: f"new_{end}" for end in ends})
    for end in ends:
        table[f"old_{end}"] = sides["old"][end]
    methods = list(zip(sides["old"]["method"], sides["new"]["method"], strict=True))
    table["reason"] = _objects(
        after if after is not None else (None if before is None else f"in the old run: {before}")
        for before, after in zip(_texts(sides["old"]["reason"]), _texts(table["reason"]), strict=True)
    )
    alike = np.array([a == b and isinstance(a, str) for a, b in methods], dtype=bool)
    table["method"] = _objects(a if same else None for (a, _), same in zip(methods, alike, strict=True))
    table["reason"] = _objects(
        "the two runs' shares were not corrected by the same method" if reason is None and not same else reason
        for reason, same in zip(table["reason"], alike, strict=True)
    )
    for name in ("difference", "low", "high", "p", "p_holm"):
        table[name] = np.nan
    joint = _joint(old, new, old_audit, new_audit, counting)
    for _, rows in table.groupby(["measure", table["given"].fillna("")], sort=False).groups.items():
        _fill(table, rows, joint, level)
    for _, rows in table.groupby("measure", sort=False).groups.items():
        table.loc[rows, "p_holm"] = holm(table.loc[rows, "p"].to_numpy(dtype=float))
    return pd.DataFrame(table[list(COLUMNS)])


def _overall(
    coverage: Coverage, audit: AuditSample | None, evaluation: Evaluation | None, counting: str, level: float
) -> pd.DataFrame:
    """Return the overall rows of a run's shares, in the order of the codebook whatever the run holds."""
    import pandas as pd

    own = evaluation if evaluation is not None and evaluation.model_id == coverage.labels.manifest["model_id"] else None
    shares = estimate_shares(coverage, audit, own, counting=counting, by=(OVERALL,), level=level, least_units=1)
    return pd.concat([shares.shares, shares.concerns], ignore_index=True)


@dataclass(frozen=True, slots=True)
class _Joint:
    """Both runs under one numbering of clusters, the old one first: the gold of each, and each as a group."""

    samples: tuple[Sample, Sample]
    groups: tuple[Group, Group]
    cross: Floats
    questions: dict[tuple[str, str], Question]


def _joint(
    old: Coverage, new: Coverage, old_audit: AuditSample | None, new_audit: AuditSample | None, counting: str
) -> _Joint | None:
    """Put both runs' predictions and gold together; None where a run has no gold.

    A gold unit that both runs have is in both samples, with that run's prediction and weight, so that the audits may differ.
    """
    import pandas as pd

    codebook = new.labels.codebook
    runs = []
    for coverage, audit in ((old, old_audit), (new, new_audit)):
        rows = coverage.frame[coverage.frame["first"].astype(bool)]
        gold = None if audit is None else matched(coverage, audit).loc[rows.index]
        runs.append((rows, read_units(rows.reset_index(drop=True), codebook, gold)))
    if any(units.sample is None for _, units in runs):
        return None
    codes = pd.factorize(pd.concat([cluster_keys(rows) for rows, _ in runs], ignore_index=True))[0].astype(np.int64)
    clusters = np.split(codes, [len(runs[0][0])])
    golden = np.unique(np.concatenate([c[units.gold] for c, (_, units) in zip(clusters, runs, strict=True)]))
    samples, groups, sums, names = [], [], [], []
    for (_, units), cluster in zip(runs, clusters, strict=True):
        size = np.ones(len(units.x)) if counting == COUNTINGS[0] else units.copies
        sample, inside = _renumbered(units, size, np.searchsorted(golden, cluster[units.gold]), len(golden))
        by_cluster, name = cluster_totals(units.x, size, cluster), np.unique(cluster)
        whole = Totals(by_cluster.sum(0), by_cluster.T @ by_cluster, len(by_cluster))
        samples.append(sample)
        groups.append(Group(whole, inside, _look_up(by_cluster, name, golden)))
        sums.append(by_cluster)
        names.append(name)
    _, i, j = np.intersect1d(names[0], names[1], assume_unique=True, return_indices=True)
    questions = {(a.measure, a.given or ""): a.question for a in runs[1][1].layout.questions()}
    return _Joint((samples[0], samples[1]), (groups[0], groups[1]), sums[0][i].T @ sums[1][j], questions)


def _renumbered(units: Units, size: Floats, cluster: NDArray[np.int64], clusters: int) -> tuple[Sample, NDArray[np.bool_]]:
    """Return a run's sample under the common numbers of clusters, and which of its units are the run's.

    A sample knows the number of clusters by its last one. Where that is the other run's, a unit outside of the run holds the
    place; it is of a stratum that the sample has, if there is but one, and else of one of its own, so that no stratum grows.
    """
    s = units.weighted(size)
    assert s is not None  # noqa: S101 - asked before
    inside = np.ones(len(cluster), dtype=bool)
    if cluster.max() == clusters - 1:
        return replace(s, cluster=cluster), inside
    strata = int(s.stratum.max()) + 1
    held = Sample(
        x=np.vstack([s.x, s.x[:1]]),
        y=np.vstack([s.y, s.y[:1]]),
        weight=np.append(s.weight, 1.0),
        size=np.append(s.size, 1.0),
        cluster=np.append(cluster, clusters - 1),
        stratum=np.append(s.stratum, 0 if strata == 1 else strata),
    )
    return held, np.append(inside, False)


def cluster_keys(rows: pd.DataFrame) -> pd.Series:
    """Return what tells clusters of statements apart in any run: the story, else the document."""
    named = rows["story"].astype(object)
    found: pd.Series = named.where(named.notna(), rows["document_id"].astype(object))
    return found


def _look_up(sums: Floats, names: NDArray[np.int64], wanted: NDArray[np.int64]) -> Floats:
    """Return totals of the wanted clusters, zeros where a run does not have one; ``names`` ascend."""
    at = np.minimum(np.searchsorted(names, wanted), len(names) - 1)
    return np.where((names[at] == wanted)[:, None], sums[at], 0.0)


def _fill(table: pd.DataFrame, rows: Any, joint: _Joint | None, level: float) -> None:
    """Fill in the differences of one question's rows."""
    first = table.loc[rows[0]]
    sound = table.loc[rows, "reason"].isna().to_numpy()
    if not sound.any():
        return
    key = (first["measure"], first["given"] if isinstance(first["given"], str) else "")
    if joint is not None and (table.loc[rows, "method"][sound] == PPI).all() and key in joint.questions:
        question, sides = joint.questions[key], zip(joint.groups, joint.samples, strict=True)
        before, after = (estimate(group, sample, question, level=level) for group, sample in sides)
        found = difference(after, before, joint.cross.T, level=level)
        values = (found.value, found.low, found.high, found.p)
    else:
        values = _independent(table.loc[rows], level)
    for name, value in zip(("difference", "low", "high", "p"), values, strict=True):
        table.loc[rows, name] = np.where(sound, value, np.nan)


def _independent(rows: pd.DataFrame, level: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Take two shares as independent and normal; what both runs share makes this interval too wide."""
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    widths = [(rows[f"{side}_high"] - rows[f"{side}_low"]).to_numpy(dtype=float) / (2 * z) for side in ("old", "new")]
    value = (rows["new_share"] - rows["old_share"]).to_numpy(dtype=float)
    error = np.hypot(*widths)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = np.where(value == 0, 1.0, 2 * norm.sf(np.abs(value) / error))
    return value, np.maximum(value - z * error, -1), np.minimum(value + z * error, 1), p


def _texts(values: Sequence[Any]) -> list[str | None]:
    return [v if isinstance(v, str) else None for v in values]


def _objects(values: Any) -> pd.Series:
    import pandas as pd

    return pd.Series(list(values), dtype=object)
