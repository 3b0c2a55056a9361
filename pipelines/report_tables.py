"""Tables of the report: a coverage and its estimates as data frames that follow the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpus.aliases import AliasTable, load_aliases
from pipelines.audit_sample import AuditSample, matched
from pipelines.coverage import AS_WRITTEN, Coverage
from pipelines.positions import build_positions, commonest
from pipelines.table_columns import COMPARED
from pipelines.table_schema import conform, table_schemas

if TYPE_CHECKING:
    import pandas as pd

    from annotation.codebook import Codebook
    from pipelines.monitoring import Comparison
    from pipelines.shares import Shares

SUGGESTIONS = 3
_RENAMED = {"first": "counted", "resolved": "holder_resolved", "resolved_type": "holder_type"}


def build_tables(
    coverage: Coverage, shares: Shares, audit: AuditSample | None, *, aliases: AliasTable | None = None
) -> dict[str, pd.DataFrame]:
    """Return all tables of a report by name, in the schema's order and types.

    Args:
        coverage: Labelled statements with what is known of them.
        shares: Its estimates; they are passed through.
        audit: Gold to show beside the statements.
        aliases: The table of names that suggestions for unresolved holders come from; default: the shipped one.

    Raises:
        UsageError: when a joined column has a name that one of the tables' own columns has.
        RecordError: when a labelled statement lacks what every one has, such as an id.
    """
    schemas = table_schemas(coverage.labels.codebook, coverage.columns)
    positions, changes = build_positions(coverage)
    made: Mapping[str, pd.DataFrame] = {
        "statements": _statements(coverage, audit),
        "documents": _documents(coverage),
        "positions": positions,
        "shares": shares.shares,
        "trend": shares.trend,
        "concerns": shares.concerns,
        "changes": changes,
        "differences": shares.differences,
        "unresolved": _unresolved(coverage, load_aliases() if aliases is None else aliases),
    }
    return {name: conform(made[name], schema) for name, schema in schemas.items() if name not in COMPARED}


def comparison_tables(comparison: Comparison, codebook: Codebook) -> dict[str, pd.DataFrame]:
    """Return the tables that a report has where it compares two runs."""
    schemas = table_schemas(codebook)
    return {
        "comparison": conform(comparison.table, schemas["comparison"]),
        "drift": conform(comparison.drift, schemas["drift"]),
    }


def _statements(coverage: Coverage, audit: AuditSample | None) -> pd.DataFrame:
    gold = matched(coverage, audit)[["gold_stance", "gold_concerns"]]
    rows = coverage.frame.drop(columns="holder_type").rename(columns=_RENAMED)
    return rows.join(gold)


def _documents(coverage: Coverage) -> pd.DataFrame:
    frame = coverage.frame
    groups = frame.groupby("document_id", sort=False)
    counts: dict[str, Any] = {"reach": groups["reach"].max(), "statements": groups.size()}
    decided = ~frame["abstained"].astype(bool)
    for stance in coverage.labels.codebook.stance_ids:
        counts[f"n_{stance}"] = (decided & (frame["stance"] == stance)).groupby(frame["document_id"]).sum()
    counts["abstained"] = (~decided).groupby(frame["document_id"]).sum()
    result = coverage.documents.copy()
    for name, values in counts.items():
        result[name] = result["document_id"].map(values)
    return result


def _unresolved(coverage: Coverage, aliases: AliasTable) -> pd.DataFrame:
    import pandas as pd

    frame = coverage.frame
    rows = frame[frame["first"].astype(bool) & (frame["resolution"] == AS_WRITTEN)]
    counts = rows.groupby("resolved", sort=True).size().sort_values(ascending=False, kind="stable")
    names = [str(name) for name in counts.index]
    types = commonest(rows["resolved"], rows["resolved_type"])
    table: dict[str, Any] = {
        "holder": pd.Series(names, dtype=object),
        "n": counts.to_numpy(),
        "holder_type": pd.Series([types.get(name) for name in names], dtype=object),
    }
    found = aliases.suggest_all(names, SUGGESTIONS)
    for i in range(SUGGESTIONS):
        chosen = [suggestions[i] if i < len(suggestions) else (None, None) for suggestions in found]
        table[f"suggestion_{i + 1}"] = pd.Series([h.name if h else None for h, _ in chosen], dtype=object)
        table[f"score_{i + 1}"] = pd.Series([score for _, score in chosen], dtype=float)
    return pd.DataFrame(table)
