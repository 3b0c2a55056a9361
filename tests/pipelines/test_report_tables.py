"""The report's tables as a whole: each follows the schema, and each row can be found again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from corpus.aliases import load_aliases
from pipelines.audit_sample import AuditSample
from pipelines.coverage import Coverage, read_coverage
from pipelines.labels import read_labels
from pipelines.report_tables import build_tables
from pipelines.shares import DIFFERENCE_COLUMNS, SHARE_COLUMNS, Shares, estimate_shares
from pipelines.table_columns import COMPARED
from pipelines.table_schema import table_schemas

pytestmark = pytest.mark.slow  # estimates shares

LONG = "We shall never accept a road through the meadows, said the chair of the club on Monday."
_DTYPES = {
    ("text", True): "object", ("text", False): "object", ("list", True): "object", ("list", False): "object",
    ("integer", True): "Int64", ("integer", False): "int64", ("number", True): "float64", ("number", False): "float64",
    ("boolean", False): "bool",
}  # fmt: skip

ROWS: list[Any] = [
    {"text": LONG, "publisher": "A", "published": "2024-01-01", "document_id": "d1", "stance": "refuse",
     "concerns": ["noise"], "holder": "Anna Berg", "holder_type": "club"},
    {"text": LONG, "publisher": "B", "published": "2024-01-02", "document_id": "d2", "stance": "refuse",
     "holder": "Anna Berg"},
    "empty text",
    {"stance": None, "abstained": True, "document_id": "d2", "holder": "the United Nations"},
    {"stance": "welcome", "document_id": "d3", "holder": "Anna Berg", "published": "2025-01-01", "url": "https://a.example"},
    {"stance": "silent", "holder": "Anna Berg, Norway"},
    {"stance": "silent", "holder": "critics of the road"},
    {"stance": "silent"},
]  # fmt: skip
"""Of five kinds: copies, an invalid one, one abstained, a change, and holders of every sort of name."""


@pytest.fixture
def coverage(write_labels: Callable[..., Any]) -> Coverage:
    return read_coverage(read_labels(write_labels(ROWS)))


@pytest.fixture
def audit() -> AuditSample:
    lines = {"id": ["statement-1", "statement-4"], "stance": ["refuse", "silent"], "concerns": [["noise"], []]}
    return AuditSample(pd.DataFrame({**lines, "stratum": "all", "inclusion_probability": 0.5}), "a file")


def build(coverage: Coverage, audit: AuditSample | None = None) -> dict[str, pd.DataFrame]:
    return build_tables(coverage, estimate_shares(coverage, audit, least_units=1), audit)


def test_every_table_follows_the_schema(coverage: Coverage, audit: AuditSample) -> None:
    schemas = {k: v for k, v in table_schemas(coverage.labels.codebook).items() if k not in COMPARED}
    for tables in (build(coverage), build(coverage, audit)):
        assert list(tables) == list(schemas)
        for name, schema in schemas.items():
            table = tables[name]
            assert list(table.columns) == [c.name for c in schema.columns]
            for column in schema.columns:
                values = table[column.name]
                assert str(values.dtype) == _DTYPES[column.type, column.nullable], (name, column.name)
                assert column.nullable or not values.isna().any(), (name, column.name)
                if column.type in ("text", "list"):
                    kind = str if column.type == "text" else list
                    assert all(v is None or isinstance(v, kind) for v in values), (name, column.name)
        assert all(len(tables[name]) for name in ("statements", "documents", "positions", "changes", "shares", "unresolved"))


def test_statements_keep_every_labelled_row_in_order_and_count_opinions_once(coverage: Coverage, audit: AuditSample) -> None:
    table = build(coverage, audit)["statements"]
    assert list(table["id"]) == [f"statement-{i}" for i in (0, 1, 3, 4, 5, 6, 7)]
    assert list(table["counted"]) == [True, False, True, True, True, True, True]
    assert list(table["copies"][:2]) == [2, 2]
    assert list(table["outlets"][0]) == ["A", "B"]
    assert table["stance"][2] is None
    assert list(table["holder_resolved"]) == [
        "Anna Berg", "Anna Berg", "United Nations", "Anna Berg", "Anna Berg, Norway", None, None,
    ]  # fmt: skip
    assert list(table["country"]) == [None] * 7
    # the copy that was drawn speaks for its opinion
    assert list(table["gold_stance"]) == ["refuse", None, None, "silent", None, None, None]
    assert table["gold_concerns"][0] == ["noise"]
    assert table["gold_concerns"][3] == []


def test_documents_count_their_statements(coverage: Coverage) -> None:
    table = build(coverage)["documents"].set_index("document_id")
    counts = ["statements", "n_welcome", "n_refuse", "n_silent", "abstained"]
    assert table.loc["d2", counts].tolist() == [2, 0, 1, 0, 1]
    assert table.loc["d3", counts].tolist() == [1, 1, 0, 0, 0]
    assert (table[counts[1:]].sum(axis=1) == table["statements"]).all()
    assert table["statements"].sum() == 7
    assert table.loc["d1", "reach"] == 2


def test_changes_lead_back_to_statements(coverage: Coverage) -> None:
    tables = build(coverage)
    change = tables["changes"].iloc[0]
    texts = tables["statements"].set_index("id")["text"]
    assert texts[change["from_id"]] == change["from_text"] == LONG
    assert texts[change["to_id"]] == change["to_text"]
    assert change["from_url"] is None
    assert change["to_url"] == "https://a.example"


def test_counts_agree_between_tables(coverage: Coverage) -> None:
    tables = build(coverage)
    statements, positions = tables["statements"], tables["positions"].set_index("holder")
    counted = statements[statements["counted"] & ~statements["abstained"]]
    sizes = counted.groupby("holder_resolved").size()
    for holder, row in positions.iterrows():
        assert row["n"] == sizes.get(holder, 0)
        assert row["n"] == sum(row[f"n_{s}"] for s in coverage.labels.codebook.stance_ids)
    assert positions["changes"].sum() == len(tables["changes"])


def test_only_names_that_the_table_lacks_are_unresolved(coverage: Coverage) -> None:
    table = build(coverage)["unresolved"]
    assert list(table["holder"]) == ["Anna Berg", "Anna Berg, Norway"]
    assert list(table["n"]) == [2, 1]
    assert list(table["suggestion_1"]) == [None, "Norway"]
    assert table["score_1"][1] == 90
    assert table["suggestion_2"].isna().all()


def test_suggestions_come_from_the_table_of_names_that_is_given(coverage: Coverage, tmp_path: Any) -> None:
    path = tmp_path / "holders.yaml"
    path.write_text("holders: [{name: Anna Bergh, type: club}]", encoding="utf-8")
    table = build_tables(coverage, estimate_shares(coverage), None, aliases=load_aliases(path))["unresolved"]
    assert table["suggestion_1"][0] == "Anna Bergh"


def test_joined_columns_stand_at_the_end_as_text(coverage: Coverage) -> None:
    frame = coverage.frame.assign(region=pd.Series(["north", None, *["south"] * 5], dtype=object))
    joined = Coverage(frame, coverage.labels, ("region",), coverage.documents)
    table = build(joined)["statements"]
    assert table.columns[-1] == "region"
    assert list(table["region"][:3]) == ["north", None, "south"]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        ["empty text"],
        [{"stance": "welcome"}],
        [{"stance": None, "abstained": True, "holder": "Anna Berg"}] * 3,
        [{"published": "9999-99-99", "holder": "\x00", "url": "http://[", "text": "=1+1"}],
    ],
    ids=["no row", "all invalid", "one statement", "all abstained", "absurd"],
)
def test_poor_coverage_makes_tables_all_the_same(write_labels: Callable[..., Any], rows: list[Any]) -> None:
    coverage = read_coverage(read_labels(write_labels(rows)))
    none = pd.DataFrame(columns=list(SHARE_COLUMNS))
    shares = Shares(none, none, none, pd.DataFrame(columns=list(DIFFERENCE_COLUMNS)), ())
    tables = build_tables(coverage, shares, None)
    assert len(tables["statements"]) == sum(isinstance(row, dict) for row in rows)
    for name in tables:
        schema = table_schemas(coverage.labels.codebook)[name]
        assert [str(t) for t in tables[name].dtypes] == [_DTYPES[c.type, c.nullable] for c in schema.columns], name
