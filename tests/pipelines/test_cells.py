"""Cells are what a reader expects, and none is run by a spreadsheet."""

from __future__ import annotations

import pytest

from pipelines.cells import RUNS, cell


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("-5 degrees", "'-5 degrees"),
        ("\tindented", "'\tindented"),
        ("＝SUM(A1)", "'＝SUM(A1)"),
        ("plain = text", "plain = text"),
        (["@a", "b"], "'@a;b"),
        ([], ""),
        ("", ""),
        (True, "true"),
        (False, "false"),
        (-5, -5),
        (-0.5, -0.5),
        (None, None),
    ],
)
def test_a_cell_is_a_text_a_number_or_nothing(value: object, written: object) -> None:
    assert cell(value) == written
    assert type(cell(value)) is type(written)


@pytest.mark.parametrize("opening", RUNS)
def test_no_text_runs(opening: str) -> None:
    assert cell(f"{opening}x") == f"'{opening}x"
