"""The schema of the report's tables: what it says of them, and that the data dictionary says the same."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from annotation.codebook import Codebook, load_codebook
from corpus.errors import RecordError, UsageError
from pipelines.table_columns import TABLES, Column, TableSchema, without_links
from pipelines.table_schema import (
    MARKER,
    MARKER_END,
    arrow_schema,
    conform,
    dictionary,
    joined_columns,
    main,
    table_schemas,
    with_section,
)

DICTIONARY = Path(__file__).parents[2] / "docs" / "data-dictionary.md"


def test_the_data_dictionary_is_what_the_schema_says() -> None:
    text = DICTIONARY.read_text(encoding="utf-8")
    assert with_section(text, "data-dictionary.md") == text, "run: python -m pipelines.table_schema"


def test_links_of_the_dictionary_lead_to_headings() -> None:
    headings = [line[3:] for line in (DICTIONARY.parent / "holders.md").read_text(encoding="utf-8").splitlines()
                if line.startswith(("## ", "###"))]  # fmt: skip
    anchors = {heading.strip(" #").lower().replace(" ", "-") for heading in headings}
    linked = {part.split(")")[0] for part in dictionary().split("(holders.md#")[1:]}
    assert linked
    assert linked <= anchors


def test_the_section_is_rewritten_in_place(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Before\n{MARKER}\nof yesterday\n{MARKER_END}\nAfter\n", encoding="utf-8")
    assert main([str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert text == f"# Before\n{dictionary()}\nAfter\n"
    assert "of yesterday" not in text
    for table in TABLES:
        assert f"### `{table.name}`" in text


@pytest.mark.parametrize("text", ["", MARKER, f"{MARKER_END}{MARKER}", f"{MARKER}{MARKER}{MARKER_END}"])
def test_a_page_without_both_markers_is_refused(text: str) -> None:
    with pytest.raises(RecordError, match=r"page\.md: expected .* put them in"):
        with_section(text, "page.md")


def test_labels_and_joined_columns_become_columns(bypass: Codebook) -> None:
    names = [c.name for c in table_schemas(bypass, ["region"])["statements"].columns]
    assert [n for n in names if n.startswith("stance_")] == ["stance_welcome", "stance_refuse", "stance_silent"]
    assert [n for n in names if n.startswith("concern_")] == ["concern_cost", "concern_noise"]
    assert names[-1] == "region"
    assert not any("<" in c.name for t in table_schemas(bypass, ["region"]).values() for c in t.columns)
    meanings = {c.name: c.meaning for c in table_schemas(bypass)["statements"].columns}
    assert meanings["stance_refuse"] == "Calibrated probability of the stance `refuse`."
    assert joined_columns(names, bypass) == ("region",)


@pytest.mark.parametrize("name", ["counted", "TEXT", "gold_stance", "Stance_Welcome"])
def test_a_joined_column_with_a_name_of_ours_is_refused(bypass: Codebook, name: str) -> None:
    with pytest.raises(UsageError, match=f"column '{name}' that was joined"):
        table_schemas(bypass, [name])


def test_two_joined_columns_that_differ_in_capitals_are_refused(bypass: Codebook) -> None:
    with pytest.raises(UsageError, match="column 'Region' that was joined"):
        table_schemas(bypass, ["region", "Region"])


def test_every_column_has_a_known_type_a_sentence_and_no_bar_that_would_break_its_row() -> None:
    for table in table_schemas(load_codebook()).values():
        for column in table.columns:
            assert column.type in ("text", "integer", "number", "boolean", "list")
            assert column.meaning.endswith(".")
            assert "|" not in column.meaning + column.null
        assert len({c.name for c in table.columns}) == len(table.columns)


def test_arrow_knows_types_nulls_and_meanings() -> None:
    table = TableSchema(
        "t", "a thing", (Column("a", "integer", "How many."), Column("b", "list", "Which.", "there are none"))
    )
    schema = arrow_schema(table)
    assert schema.types == [pa.int64(), pa.list_(pa.string())]
    assert [f.nullable for f in schema] == [False, True]
    assert schema.field("a").metadata == {b"comment": b"How many."}


def test_conforming_orders_types_and_fills() -> None:
    table = TableSchema(
        "t",
        "a thing",
        (
            Column("text", "text", "T.", "x"),
            Column("whole", "integer", "W.", "x"),
            Column("sure", "integer", "S."),
            Column("number", "number", "N.", "x"),
            Column("flag", "boolean", "F."),
            Column("some", "list", "L.", "x"),
        ),
    )
    frame = pd.DataFrame(
        {
            "other": [1, 2],
            "some": [["a"], None],
            "flag": [True, False],
            "number": [None, 2],
            "sure": [1.0, 2.0],
            "whole": [None, 3.0],
            "text": ["a", None],
        },
        index=[7, 9],
    )
    found = conform(frame, table)
    assert list(found.columns) == ["text", "whole", "sure", "number", "flag", "some"]
    assert [str(t) for t in found.dtypes] == ["object", "Int64", "int64", "float64", "bool", "object"]
    assert list(found.index) == [0, 1]
    assert list(found["text"]) == ["a", None]
    assert list(found["some"]) == [["a"], None]
    assert found["whole"].isna().tolist() == [True, False]
    assert conform(frame.iloc[:0], table).dtypes.equals(found.dtypes)


def test_a_missing_column_or_value_is_named() -> None:
    table = TableSchema("t", "a thing", (Column("a", "integer", "How many."),))
    with pytest.raises(ValueError, match="table t: column 'a' is missing"):
        conform(pd.DataFrame({"b": [1]}), table)
    with pytest.raises(RecordError, match="table t, row 2: expected a value of 'a'"):
        conform(pd.DataFrame({"a": [1.0, None]}), table)


def test_descriptions_lose_their_links_and_nothing_else() -> None:
    assert without_links("A holder. [Rules](holders.md#x) More [sic].") == "A holder. More [sic]."
