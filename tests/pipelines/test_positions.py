"""Where holders stand, and when they changed: rules by rows whose outcome is worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

from pipelines.coverage import read_coverage
from pipelines.labels import read_labels
from pipelines.positions import build_positions, position_ids

Made = Callable[..., tuple[pd.DataFrame, pd.DataFrame]]

HER = "Anna Berg"


def said(stance: str | None, day: str | None, /, **given: Any) -> dict[str, Any]:
    """A statement of Anna Berg; its probabilities are 0.8 for its stance, 0.1 for the others, unless given."""
    return {"holder": HER, "holder_type": "club", "stance": stance, "published": day, "abstained": stance is None} | given


def shares(welcome: float, refuse: float, silent: float) -> dict[str, float]:
    return {"stance_welcome": welcome, "stance_refuse": refuse, "stance_silent": silent}


@pytest.fixture
def made(write_labels: Callable[..., Any]) -> Made:
    """Return a function from rows to the tables of positions and changes; every row has its own text and document."""

    def build(*rows: dict[str, Any]) -> tuple[pd.DataFrame, pd.DataFrame]:
        return build_positions(read_coverage(read_labels(write_labels(rows))))

    return build


def only(table: pd.DataFrame) -> dict[str, Any]:
    assert len(table) == 1
    row = table.iloc[0].to_dict()
    return {str(name): None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


def test_positions_are_taken_by_all_stances_but_neutral_ones(bypass: Any) -> None:
    assert position_ids(bypass) == ("welcome", "refuse")


def test_a_stance_that_differs_from_the_one_before_is_a_change_shown_by_two_statements(made: Made) -> None:
    positions, changes = made(
        said("refuse", "2024-06-01", url="https://a.example/2", **shares(0.2, 0.7, 0.1)),
        said("welcome", "2024-01-01", url="https://a.example/1", **shares(0.6, 0.1, 0.3)),
    )
    change = only(changes)
    assert change | {
        "from_stance": "welcome", "to_stance": "refuse", "from_date": "2024-01-01", "to_date": "2024-06-01",
        "from_id": "statement-1", "to_id": "statement-0", "from_text": "Text 1", "to_text": "Text 0",
        "from_url": "https://a.example/1", "to_url": "https://a.example/2", "holder": HER, "holder_type": "club",
    } == change  # fmt: skip
    # welcome then refuse, or refuse then welcome: 0.6 * 0.7 + 0.1 * 0.2
    assert change["probability"] == pytest.approx(0.44)
    row = only(positions)
    assert (row["stance"], row["first"], row["last"], row["changes"]) == ("refuse", "2024-01-01", "2024-06-01", 1)
    assert (row["statement_first"], row["statement_last"]) == ("statement-1", "statement-0")
    assert row["probability"] == pytest.approx(0.7)
    assert row["stance_share"] == pytest.approx(0.5)


def test_statements_of_one_day_make_one_stance_and_no_change(made: Made) -> None:
    positions, changes = made(
        said("welcome", "2024-01-01T09:00:00Z", **shares(0.5, 0.45, 0.05)),
        said("refuse", "2024-01-01T17:00:00Z", **shares(0.05, 0.9, 0.05)),
        said("refuse", "2024-02-01", **shares(0.1, 0.6, 0.3)),
    )
    row = only(positions)
    assert len(changes) == 0
    assert (row["stance"], row["changes"], row["statement_first"]) == ("refuse", 0, "statement-1")


def test_the_probability_is_the_mean_over_the_newest_date(made: Made) -> None:
    positions, _ = made(
        said("refuse", "2024-02-01", **shares(0.1, 0.7, 0.2)),
        said("welcome", "2024-02-01", **shares(0.5, 0.3, 0.2)),
        said("silent", "2024-02-01", **shares(0.1, 0.1, 0.8)),
        said("welcome", "2024-01-01"),
    )
    row = only(positions)
    assert row["stance"] == "refuse"
    assert row["probability"] == pytest.approx((0.7 + 0.3) / 2)
    assert row["stance_share"] == pytest.approx(1 / 3)


def test_there_and_back_are_two_changes_in_order(made: Made) -> None:
    positions, changes = made(
        said("welcome", "2024-01-01"), said("refuse", "2024-01-02"), said("silent", "2024-01-03"),
        said("refuse", "2024-01-04"), said("welcome", "2024-01-05"),
    )  # fmt: skip
    assert list(changes["to_date"]) == ["2024-01-02", "2024-01-05"]
    assert list(changes["from_id"]) == ["statement-0", "statement-3"]
    assert only(positions)["changes"] == 2


def test_undated_and_abstained_statements_take_no_part(made: Made) -> None:
    positions, changes = made(
        said("welcome", "2024-01-01"), said("refuse", None), said("refuse", "no date"), said("refuse", "0001-01-01"),
        said(None, "2024-05-01"),
    )  # fmt: skip
    row = only(positions)
    assert len(changes) == 0
    assert (row["stance"], row["first"], row["last"]) == ("welcome", "2024-01-01", "2024-01-01")
    assert (row["n"], row["n_welcome"], row["n_refuse"], row["n_silent"], row["abstained"]) == (4, 1, 3, 0, 1)


def test_without_any_date_all_statements_together_make_the_stance(made: Made) -> None:
    positions, changes = made(said("welcome", None), said("refuse", None), said("refuse", None))
    row = only(positions)
    assert (row["stance"], row["first"], row["last"], row["statement_first"]) == ("refuse", None, None, None)
    assert row["statement_last"] == "statement-1"
    assert row["probability"] == pytest.approx((0.1 + 0.8 + 0.8) / 3)
    assert len(changes) == 0


@pytest.mark.parametrize(
    ("days", "number"),
    [
        (("2024", "2024-08-01"), 0),  # the year may be before or after
        (("2024-08", "2024-08-01"), 0),
        (("2023", "2024-08-01"), 1),
        (("2024-07", "2024-08"), 1),
        (("2024", "2024-08"), 0),
        (("2023", "2024"), 1),
    ],
)
def test_a_vague_date_counts_unless_a_better_one_falls_into_it(made: Made, days: tuple[str, str], number: int) -> None:
    positions, changes = made(said("welcome", days[0]), said("refuse", days[1]))
    assert len(changes) == number
    assert only(positions)["stance"] == "refuse"


def test_a_holder_without_a_position_has_none(made: Made) -> None:
    positions, changes = made(said("silent", "2024-01-01"), said(None, "2024-01-02"))
    row = only(positions)
    nulls = ("stance", "probability", "stance_share", "first", "last", "statement_first", "statement_last")
    assert [row[name] for name in nulls] == [None] * 7
    assert (row["n"], row["abstained"], row["documents"], row["changes"]) == (1, 1, 1, 0)
    assert len(changes) == 0


def test_copies_count_once_and_their_outlets_are_sources(made: Made) -> None:
    words = "We shall never accept a road through the meadows, said the chair of the club on Monday."
    positions, _ = made(
        said("refuse", "2024-01-01", text=words, publisher="A"),
        said("refuse", "2024-01-02", text=words, publisher="B"),
        said("refuse", "2024-01-03", text="Nor shall we.", publisher="B"),
    )
    row = only(positions)
    assert (row["n"], row["n_refuse"], row["documents"], row["sources"]) == (2, 2, 2, 2)


def test_names_of_one_holder_are_one_row_and_nobody_has_none(made: Made) -> None:
    positions, _ = made(
        said("welcome", None, holder="EFF"), said("refuse", None, holder="the Electronic Frontier Foundation"),
        said("welcome", None, holder="Anna Berg, Electronic Frontier Foundation"), said("welcome", None, holder=None),
    )  # fmt: skip
    assert list(positions["holder"]) == ["Electronic Frontier Foundation", "Anna Berg, Electronic Frontier Foundation"]
    assert list(positions["resolution"]) == ["alias", "as written"]


def test_main_concerns_are_the_commonest_in_the_codebooks_order(made: Made) -> None:
    positions, _ = made(
        said("refuse", None, concerns=["noise"]), said("refuse", None, concerns=["noise", "cost"]),
        said("welcome", None, holder="Bo Dahl", concerns=["noise", "cost"]),
        said(None, None, holder="Bo Dahl", concerns=["noise"]),
        said("welcome", None, holder="Cy Ek"),
    )  # fmt: skip
    found = dict(zip(positions["holder"], positions["main_concerns"], strict=True))
    assert found == {HER: ["noise", "cost"], "Bo Dahl": ["cost", "noise"], "Cy Ek": []}


def test_the_commonest_type_counts_and_the_most_opinions_come_first(made: Made) -> None:
    positions, _ = made(
        said("welcome", None, holder="Bo Dahl", holder_type=None),
        said("welcome", None, holder_type="town"), said("welcome", None), said("welcome", None),
    )  # fmt: skip
    assert list(positions["holder"]) == [HER, "Bo Dahl"]
    assert list(positions["n"]) == [3, 1]
    assert positions["holder_type"][0] == "club"
    assert pd.isna(positions["holder_type"][1])


def test_changes_come_in_the_order_of_positions(made: Made) -> None:
    rows = [said(s, d, holder=h) for h in ("Bo Dahl", HER) for s, d in (("welcome", "2024-01-01"), ("refuse", "2024-01-02"))]
    positions, changes = made(*rows, said("refuse", "2024-01-03"))
    assert list(changes["holder"]) == list(positions["holder"]) == [HER, "Bo Dahl"]


def test_no_statement_at_all_makes_empty_tables(made: Made) -> None:
    positions, changes = made("empty text")
    assert len(positions) == len(changes) == 0
    assert "stance_share" in positions
    assert "probability" in changes
