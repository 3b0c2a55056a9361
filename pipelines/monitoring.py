"""Monitoring: what changed between two runs, and which figures no longer hold because the coverage changed under the model.

The audit sample of an earlier run tells how the model erred on that coverage. Where new statements read differently, or the
model is found to err differently on them, a figure that rests on it would be wrong without looking so; it is withdrawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from annotation.codebook import Codebook
from corpus.errors import CodebookError
from pipelines.audit_sample import AuditSample, matched
from pipelines.coverage import Coverage
from pipelines.drift import PREDICTED, Embed, Side, input_drift
from pipelines.error_drift import DRIFT, Gold, Measure, error_drift
from pipelines.run_match import TIMES, Overlap, count_changes, mark_rows, match_runs, touched_groups
from pipelines.share_arrays import many_hot, one_hot
from pipelines.share_changes import share_changes

if TYPE_CHECKING:
    import pandas as pd

    from models.evaluation import Evaluation

Counting = Literal["opinions", "statements"]

LEAST_FRESH = 20
"""Gold labels of new opinions from which these speak for themselves. Fewer will do where by their inclusion probabilities
they stand for half of the new opinions or more: then the sample was drawn from these as well, and they are few."""

_STANCE = ("stance", "position")
_CONCERN = ("concern", "concern_given_stance")
_WORDS = {
    "stance": "shares of stances",
    "position": "shares among positions",
    "concern": "shares of concerns",
    "concern_given_stance": "shares of concerns by stance",
}
_DRIFT = ("measure", "value", "low", "high", "threshold", "p", "verdict", "meaning")
_ESTIMATED = (
    "share", "low", "high", "method", "gold_share", "gold_low", "gold_high", "design_share", "design_low", "design_high",
    "lambda", "difference", "p", "p_holm",
)  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    ``table`` has one row a share of all coverage: in the old run, in the new one, and the difference. ``drift`` has one row
    a measure. ``counts`` tells what is new, gone, in both and labelled otherwise, of statements, documents and opinions.
    ``withdrawn`` says which cells are withdrawn and why, ``notes`` what else a reader must know.
    ``stale`` gives the reason by measure (``stance``, ``concern`` …) of the cells that are withdrawn, ``touched`` the groups
    (dimension, group) that have new statements. ``audit`` is the gold that the new run's shares rest on. ``marks`` tell of
    each row of the new run what changed (:func:`pipelines.run_match.mark_rows`).
    """

    table: pd.DataFrame
    drift: pd.DataFrame
    counts: dict[str, dict[str, int]]
    withdrawn: tuple[str, ...]
    notes: tuple[str, ...]
    stale: Mapping[str, str] = field(default_factory=dict)
    touched: frozenset[tuple[str, str]] = frozenset()
    audit: AuditSample | None = None
    marks: pd.Series | None = None


def compare(
    old: Coverage,
    new: Coverage,
    *,
    old_audit: AuditSample | None = None,
    new_audit: AuditSample | None = None,
    evaluation: Evaluation | None = None,
    counting: Counting = "opinions",
    seed: int = 0,
    embed: Embed | None = None,
) -> Comparison:
    """Compare two runs over one codebook.

    Statements are matched by their ids. The old statements are compared with those that the new run alone has, for drift of
    the input; and where both have gold, for drift of the error. If the input has drifted and the new statements have no
    gold labels that speak for them (:data:`LEAST_FRESH`), the new run's shares are withdrawn. If the error has drifted, gold
    of old statements does not speak for new ones.

    Args:
        old: Labels of the earlier run, joined as those of the new one were.
        new: Labels of the later run.
        old_audit: The earlier run's audit sample.
        new_audit: The later run's; it may be the same.
        evaluation: Figures of the model that made the new labels.
        counting: Whether a text in forty outlets counts once or forty times.
        seed: Of samples and shuffles.
        embed: Texts to vectors, to compare embeddings too.

    Raises:
        CodebookError: when the two runs do not follow one codebook.
    """
    if old.labels.codebook.id != new.labels.codebook.id:
        raise CodebookError(
            f"labels to compare: expected two runs over one codebook, found {old.labels.codebook.id} and "
            f"{new.labels.codebook.id}; label the older coverage again with the newer model"
        )
    same_model = old.labels.manifest["model_id"] == new.labels.manifest["model_id"]
    overlap = match_runs(old, new)
    measures = _input(old, new, overlap, same_model=same_model, seed=seed, embed=embed)
    drifted = [m.measure for m in measures if m.verdict == DRIFT]
    gold = _gold(old, new, overlap, old_audit, new_audit, counting, same_model=same_model)
    errors = _errors(gold, new.labels.codebook, seed)
    stale = _stale(overlap, drifted, errors, gold, evaluated=evaluation is not None)
    table = share_changes(old, new, old_audit, gold.audit, evaluation, counting=counting)
    marks = mark_rows(old, new, overlap)
    return Comparison(
        table=_without_new(table, stale),
        drift=_frame([*measures, *(m for family in errors.values() for m in family)]),
        counts=count_changes(old, new, overlap, marks),
        withdrawn=_sentences(stale),
        notes=tuple(_notes(old, new, overlap, drifted, errors, gold)),
        stale=stale,
        touched=touched_groups(new, overlap),
        audit=gold.audit,
        marks=marks,
    )


def withdrawn_cells(comparison: Comparison, table: pd.DataFrame) -> pd.Series:
    """Return which rows of a table of shares, trends, concerns or differences of the new run are withdrawn.

    These are the rows of stale measures whose group has new statements; a month that lies wholly in the old run keeps its
    figures.
    """
    import pandas as pd

    def is_withdrawn(row: Mapping[str, Any]) -> bool:
        if row["measure"] not in comparison.stale:
            return False
        dimension = row["dimension"]
        if dimension == "overall" or ("other" in row and dimension not in TIMES):
            return True  # differences are to the rest, which is all the other groups
        return any((dimension, row.get(name)) in comparison.touched for name in ("group", "other"))

    return pd.Series([is_withdrawn(row) for row in table.to_dict("records")], index=table.index, dtype=bool)


def withdraw(shares: pd.DataFrame, cells: pd.Series, reason: str | Mapping[str, str]) -> pd.DataFrame:
    """Return a table with the estimates of some rows null and a reason in their place; plain counts stay.

    Args:
        shares: A table of shares, trends, concerns or differences.
        cells: True where a row is withdrawn, by the table's index.
        reason: One for all, or by the row's ``measure``, as in ``Comparison.stale``.
    """
    table = shares.copy()
    if not cells.any():
        return table
    for name in _ESTIMATED:
        if name in table.columns:
            table.loc[cells, name] = None if table[name].dtype == object else np.nan
    reasons = table.loc[cells, "measure"].map(lambda m: reason if isinstance(reason, str) else reason[m])
    table["reason"] = table["reason"].astype(object)
    table.loc[cells, "reason"] = reasons.astype(object)
    return table


def _input(
    old: Coverage, new: Coverage, overlap: Overlap, *, same_model: bool, seed: int, embed: Embed | None
) -> list[Measure]:
    """Compare the old run's opinions with the new ones. Predictions of two models are not compared."""
    if not overlap.has_new:
        return []
    stances = [f"stance_{s}" for s in new.labels.codebook.stance_ids]

    def side(frame: pd.DataFrame) -> Side:
        return Side(
            frame["text"].tolist(),
            frame["cluster"].to_numpy(dtype=np.int64),
            frame[stances].to_numpy(dtype=float) if same_model else None,
            frame["confidence"].to_numpy(dtype=float) if same_model else None,
        )

    first = new.frame["first"].to_numpy(dtype=bool)
    return input_drift(side(old.frame[old.frame["first"]]), side(new.frame[first & overlap.added]), seed=seed, embed=embed)


@dataclass(frozen=True, slots=True)
class _Golden:
    """Gold of the old part and of the new one: errors with the stances first, then the concerns, and what estimates rest on.

    ``fresh`` is the number of gold labels among new opinions, ``speaks`` whether they speak for these, ``stands`` whether
    gold of the old part stands beside them.
    """

    old: Gold
    new: Gold
    audit: AuditSample | None
    fresh: int
    speaks: bool
    stands: bool


def _gold(
    old: Coverage,
    new: Coverage,
    overlap: Overlap,
    old_audit: AuditSample | None,
    new_audit: AuditSample | None,
    counting: Counting,
    *,
    same_model: bool,
) -> _Golden:
    """Sort gold by the part that it speaks for.

    A new audit sample that has gold in both parts, or that is the only one, was drawn from the whole and is used alone. One
    that has gold among the new opinions alone was drawn from these; the old part then keeps the gold of the old sample, each
    label with the probability with which it was drawn from its own part.
    """
    added = overlap.added
    new_audit = new_audit if new_audit is not None else old_audit
    drawn = matched(new, new_audit)
    has = drawn["gold_stance"].notna()
    among = added[drawn.index]
    fresh, known = drawn[has & among], drawn[has & ~among]
    # Errors are those of the model that made the new labels; where that is another one, it must have labelled the statement.
    whole, before = (old, matched(old, old_audit)) if same_model else (new, matched(new, old_audit)[~among])
    before = before[before["gold_stance"].notna()]
    if before.empty:
        whole, before = new, known
    audit, stands = new_audit, not known.empty
    if len(fresh) and known.empty and old_audit is not None:
        audit, stands = _beside(old_audit, new_audit, new, overlap)
    opinions = int((added & new.frame["first"].to_numpy(dtype=bool)).sum())
    represented = float((1 / fresh["inclusion_probability"]).sum())
    return _Golden(
        old=_residuals(whole, before, counting),
        new=_residuals(new, fresh, counting),
        audit=audit,
        fresh=len(fresh),
        speaks=len(fresh) >= LEAST_FRESH or (len(fresh) > 0 and represented >= opinions / 2),
        stands=stands,
    )


def _beside(
    old_audit: AuditSample, new_audit: AuditSample | None, new: Coverage, overlap: Overlap
) -> tuple[AuditSample | None, bool]:
    """Return the new sample with the old one's labels of statements that the old run had, in strata of their own."""
    import pandas as pd

    assert new_audit is not None  # noqa: S101 - it has fresh labels
    there = set(new.frame["id"][~overlap.added])
    left = old_audit.frame[old_audit.frame["id"].isin(there) & ~old_audit.frame["id"].isin(set(new_audit.frame["id"]))]
    if left.empty:
        return new_audit, False
    pieces = [new_audit.frame.assign(stratum="new: " + new_audit.frame["stratum"].astype(str))]
    pieces.append(left.assign(stratum="old: " + left["stratum"].astype(str)))
    joined = replace(
        new_audit,
        frame=pd.concat(pieces, ignore_index=True),
        source=f"{new_audit.source} for new statements, {old_audit.source} for the others",
    )
    return joined, True


def _residuals(coverage: Coverage, gold: pd.DataFrame, counting: Counting) -> Gold:
    codebook = coverage.labels.codebook
    rows = coverage.frame.loc[gold.index]
    stances, concerns = codebook.stance_ids, codebook.concern_ids
    predicted = rows[[*(f"stance_{s}" for s in stances), *(f"concern_{c}" for c in concerns)]].to_numpy(dtype=float)
    truth = np.hstack([one_hot(gold["gold_stance"], stances), many_hot(gold["gold_concerns"], concerns)])
    weight = 1 / gold["inclusion_probability"].to_numpy(dtype=float)
    if counting == "statements":
        weight = weight * rows["copies"].to_numpy(dtype=float)
    return Gold(truth - predicted, weight, rows["cluster"].to_numpy(dtype=np.int64))


def _errors(gold: _Golden, codebook: Codebook, seed: int) -> dict[tuple[str, ...], list[Measure]]:
    """Test for drift of the error of stances and of concerns: two families, by the measures that rest on them."""
    if not gold.fresh or not len(gold.old.errors):
        return {}
    k = len(codebook.stance_ids)
    found: dict[tuple[str, ...], list[Measure]] = {}
    for number, (measures, columns, labels) in enumerate(
        ((_STANCE, slice(0, k), codebook.stance_ids), (_CONCERN, slice(k, None), codebook.concern_ids))
    ):
        before, after = (Gold(g.errors[:, columns], g.weights, g.clusters) for g in (gold.old, gold.new))
        found[measures] = error_drift(before, after, labels, seed=seed + number, families=2)
    return found


def _stale(
    overlap: Overlap,
    drifted: Sequence[str],
    errors: Mapping[tuple[str, ...], Sequence[Measure]],
    gold: _Golden,
    *,
    evaluated: bool,
) -> dict[str, str]:
    """Return the measures whose figures for the new run would rest on gold that does not speak for it, with the reason."""
    if not overlap.has_new or not (gold.audit or evaluated):
        return {}
    if gold.audit is None:  # a confusion matrix allows for other shares of stances, but not for another kind of text
        drifted = [m for m in drifted if m not in PREDICTED]
    few = "no gold label is newer" if not gold.fresh else f"only {gold.fresh} gold labels are newer"
    stale: dict[str, str] = {}
    if drifted and not gold.speaks:
        stale = dict.fromkeys((*_STANCE, *_CONCERN), f"the input has drifted and {few}")
    for measures, family in errors.items():
        if not any(m.verdict == DRIFT for m in family):
            continue
        if not gold.speaks:
            stale |= dict.fromkeys(measures, f"the model errs differently on new statements and {few}")
        elif not gold.stands and not overlap.added.all():
            stale |= dict.fromkeys(
                measures, "the model errs differently on new statements and no gold of the others is left"
            )
    return stale


def _without_new(table: pd.DataFrame, stale: Mapping[str, str]) -> pd.DataFrame:
    """Return the table of changes without the new run's shares where these are withdrawn."""
    table = table.copy()
    rows = table["measure"].isin(list(stale))
    for name in ("new_share", "new_low", "new_high", "difference", "low", "high", "p", "p_holm"):
        table.loc[rows, name] = np.nan
    table["method"] = table["method"].where(~rows, None)
    table["reason"] = table["reason"].where(~rows, table["measure"].map(stale))
    return table


def _sentences(stale: Mapping[str, str]) -> tuple[str, ...]:
    """Say for each reason what is withdrawn."""
    said: dict[str, list[str]] = {}
    for measure, reason in stale.items():
        said.setdefault(reason, []).append(_WORDS[measure])
    return tuple(
        f"Withdrawn for all groups with new statements: {', '.join(words)}; {reason}. "
        "Code a fresh audit sample of the new statements."
        for reason, words in said.items()
    )


def _notes(
    old: Coverage,
    new: Coverage,
    overlap: Overlap,
    drifted: Sequence[str],
    errors: Mapping[tuple[str, ...], Sequence[Measure]],
    gold: _Golden,
) -> Iterator[str]:
    models = [c.labels.manifest["model_id"] for c in (old, new)]
    if models[0] != models[1]:
        yield (
            f"The runs were labelled by two models of one codebook ({models[0]}, {models[1]}): changes of single labels and "
            "of plain counts may be the model's, and predictions are not compared."
        )
    if not overlap.has_new:
        yield "The new run has no statement that the old one had not, so that nothing can have drifted."
        return
    if drifted:
        yield f"New statements differ from the old ones in {', '.join(drifted)}."
    erring = [m.measure.removeprefix("error of ") for family in errors.values() for m in family if m.verdict == DRIFT]
    if erring:
        yield (
            f"The model errs differently on new statements than on old ones ({', '.join(erring)}); gold of either part "
            "speaks for that part alone."
        )
    if gold.audit is not None and not gold.fresh:
        yield "No new statement has a gold label: whether the model errs on them as it did cannot be told."


def _frame(measures: Sequence[Measure]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame([asdict(m) for m in measures], columns=list(_DRIFT))
    return table.astype(dict.fromkeys(("value", "low", "high", "threshold", "p"), float))
