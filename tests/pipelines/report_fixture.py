"""Reports made by hand: invented labels through the real joins, with shares that anyone can count again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.audit_sample import AuditSample
from pipelines.coverage import Coverage, read_coverage
from pipelines.events import Event
from pipelines.labels import read_labels
from pipelines.report import Report
from pipelines.report_tables import build_tables
from pipelines.shares import DIFFERENCE_COLUMNS, SHARE_COLUMNS, Shares

COPIED = "The accord will cost every town on the river more than it can ever earn from it."
NEUTRAL = ("silent",)
_COLUMNS = {
    "holder_type": "resolved_type",
    "publisher": "publisher",
    "country": "country",
    "month": "month",
    "quarter": "quarter",
}

_CLUB = {"holder": "River Club", "holder_type": "club"}
_TOWN = {"holder": "Oldtown", "holder_type": "town", "concerns": ["cost"]}
_NIGHT = {"document_id": "a", "title": "Noise night", "publisher": "Valley Herald", "url": "https://example.org/a"}
_DEAR = {**_TOWN, "text": COPIED, "stance": "refuse"}
ROWS: list[dict[str, Any] | str] = [
    {**_NIGHT, **_CLUB, "text": "The road is loud.", "stance": "refuse", "concerns": ["noise"], "published": "2024-03-01"},
    {**_NIGHT, **_CLUB, "text": "We want none of it.", "holder": "RIVER CLUB", "stance": "refuse",
     "published": "2024-03-01"},
    {**_CLUB, "text": "A quiet road is fine.", "concerns": ["noise"], "document_id": "b", "title": "The club turns",
     "publisher": "Hill Post", "published": "2024-05-02"},
    {**_TOWN, "text": "Étienne paid for it.", "title": "Budget", "document_id": "c", "publisher": "Hill Post",
     "published": "2024-05-09"},
    {"text": "The vote is in May.", "stance": "silent", "publisher": "Valley Herald", "url": "https://example.org/vote",
     "document_id": "d"},
    {**_DEAR, "document_id": "e", "title": "Too dear", "publisher": "Hill Post", "published": "2024-06-01"},
    {**_DEAR, "document_id": "f", "title": "Dear road", "publisher": "Valley Herald", "published": "2024-06-02"},
    {**_DEAR, "document_id": "g", "title": "A road too dear", "publisher": "Radio Ford", "published": "2024-06-02"},
    {**_CLUB, "text": "Nobody knows.", "abstained": True, "stance": None, "concerns": ["noise"], "document_id": "h",
     "published": "2024-06-05", "publisher": "Radio Ford"},
    "text is empty",
]  # fmt: skip
"""Six decided opinions and an undecided one; one of them in three outlets. The club turns, and the fourth is undated."""


def report_of(
    labels: Path,
    *,
    columns: Path | None = None,
    audited: Sequence[tuple[str, str, list[str]]] = (),
    estimated: bool = True,
    reason: str = "too few gold labels",
    **given: Any,
) -> Report:
    """Return the report of a folder of labels.

    Args:
        labels: The folder.
        columns: A table with further columns.
        audited: Id, stance and concerns of statements that people have settled.
        estimated: Whether the shares of all coverage and of the months from the second on have an estimate: what was counted
            and a tenth of the rest, within a tenth either way.
        reason: Why the other cells have none.
        given: Fields of the report that are to be otherwise.
    """
    coverage = read_coverage(read_labels(labels), columns=columns)
    frame = pd.DataFrame([
        {"id": i, "stance": s, "concerns": c, "stratum": "all", "inclusion_probability": 0.5} for i, s, c in audited
    ])  # fmt: skip
    audit = AuditSample(frame, "draw 1", drawn="2024-07-01", frame_size=8) if audited else None
    shares = shares_of(coverage, estimated=estimated, reason=reason)
    made = Report(
        coverage=coverage,
        tables=build_tables(coverage, shares, audit),
        shares=shares,
        audit=audit,
        evaluation=None,
        events=(Event(date="2024-04-15", name="The accord is signed"),),
        agreement=None,
        comparison=None,
        notes=(),
        generated="2026-11-22",
        title=coverage.labels.codebook.target.name,
        quality=None,
    )
    return replace(made, **given)


def shares_of(coverage: Coverage, *, estimated: bool, reason: str) -> Shares:
    """Return shares counted with pandas, group by group, some of them made into an estimate."""
    units = coverage.frame.loc[coverage.frame["first"].astype(bool)]
    rows = list(_rows(coverage, units, estimated, reason))
    table = pd.DataFrame(rows, columns=list(SHARE_COLUMNS))
    time = table["dimension"].isin(["month", "quarter"])
    concern = table["measure"].isin(["concern", "concern_given_stance"])
    return Shares(
        table[~time & ~concern], table[time], table[~time & concern], pd.DataFrame(columns=list(DIFFERENCE_COLUMNS)), ()
    )


def _rows(coverage: Coverage, units: pd.DataFrame, estimated: bool, reason: str) -> Iterator[dict[str, Any]]:
    book = coverage.labels.codebook
    places = {"overall": None, **_COLUMNS, **{c: c for c in coverage.columns}}
    for dimension, column in places.items():
        groups: list[str] = ["all"] if column is None else sorted(units[column].dropna().unique())
        for group in groups if len(units) else []:
            part = units if column is None else units[units[column] == group]
            known = estimated and (dimension == "overall" or (dimension in ("month", "quarter") and group != groups[0]))
            for counting in ("opinions", "statements"):
                weight = part["copies"] if counting == "statements" else pd.Series(1, index=part.index)
                decided = ~part["abstained"]
                positions = decided & ~part["stance"].isin(NEUTRAL)
                asked: list[tuple[str, str, str | None, pd.Series, pd.Series]] = []
                for s in book.stance_ids:
                    asked.append(("stance", s, None, decided & (part["stance"] == s), decided))
                    if s not in NEUTRAL:
                        asked.append(("position", s, None, decided & (part["stance"] == s), positions))
                for c in book.concern_ids:
                    raised = part["concerns"].map(_raises(c)).astype(bool)
                    asked.append(("concern", c, None, raised, pd.Series(True, index=part.index)))
                    for s in book.stance_ids:
                        held = decided & (part["stance"] == s)
                        asked.append(("concern_given_stance", c, s, raised & held, held))
                for measure, label, given, hit, among in asked:
                    whole = weight[among].sum()
                    plain = weight[hit].sum() / whole if whole else None
                    row = dict.fromkeys(SHARE_COLUMNS) | {
                        "dimension": dimension, "group": group, "counting": counting, "measure": measure, "label": label,
                        "given": given, "units": int(weight.sum()), "documents": 1, "gold": 0, "abstained": 0,
                        "uncorrected": plain, "reason": reason,
                    }  # fmt: skip
                    if known and plain is not None:
                        share = 0.9 * plain + 0.1 * (1 - plain)
                        low, high = max(0.0, share - 0.1), min(1.0, share + 0.1)
                        row |= {"share": share, "low": low, "high": high, "method": "ppi", "reason": None}
                    yield row


def _raises(concern: str) -> Callable[[list[str]], bool]:
    return lambda raised: concern in raised
