"""The evaluation page's charts: each draws the numbers that it was given, and Vega-Lite takes it."""

from __future__ import annotations

from typing import Any

import pytest
import vl_convert

from models.breakdown import CoveragePoint, ReliabilityBin
from models.metrics import Interval
from pipelines.evaluation_charts import (
    IntervalRow,
    coverage_chart,
    drawn_series,
    interval_chart,
    marked_point,
    reliability_chart,
)


def interval(value: float, half: float = 0.05) -> Interval:
    return Interval(value, value - half, value + half)


def points(*pairs: tuple[float, float]) -> list[CoveragePoint]:
    return [CoveragePoint(coverage=c, threshold=1 - c, accuracy=interval(a)) for c, a in pairs]


def rows_with(chart: dict[str, Any] | None, field: str) -> list[dict[str, Any]]:
    """Return the data rows of a chart that have a field, each once."""
    assert chart is not None
    return [row for values in chart["datasets"].values() for row in values if field in row]


def scales(chart: dict[str, Any] | None, axis: str) -> list[list[float]]:
    assert chart is not None
    encodings = [layer["encoding"] for layer in chart["layer"]]
    return [e[axis]["scale"]["domain"] for e in encodings if "scale" in e.get(axis, {})]


def test_an_interval_chart_draws_each_figure_once_under_its_owner() -> None:
    chart = interval_chart(
        [
            IntervalRow("First", {"model": interval(0.6), "baseline": None, "annotators": interval(0.9)}),
            IntervalRow("Second", {"model": Interval(0.123456, 0.1, 0.2)}),
        ]
    )
    assert [(r["label"], r["who"], r["value"], r["low"], r["high"]) for r in rows_with(chart, "who")] == [
        ("First", "Model", 0.6, 0.55, 0.65),
        ("First", "Second annotator", 0.9, 0.85, 0.95),
        ("Second", "Model", 0.1235, 0.1, 0.2),
    ]


def test_no_two_figures_of_an_interval_chart_lie_on_one_another_and_all_lie_within_it() -> None:
    everyone = {"model": interval(0.5), "baseline": interval(0.5), "annotators": interval(0.5)}
    chart = interval_chart([IntervalRow(str(i), everyone) for i in range(5)])
    assert chart is not None
    heights = [row["y"] for row in rows_with(chart, "y")]  # names and figures
    assert len(set(heights)) == len(heights) == 20
    assert all(0 < height < chart["height"] for height in heights)


def test_a_series_that_has_no_figure_takes_no_lane() -> None:
    rows = [IntervalRow("a", {"model": interval(0.5), "baseline": None}), IntervalRow("b", {"annotators": interval(0.5)})]
    assert [series.id for series in drawn_series(rows)] == ["model", "annotators"]
    alone, both = interval_chart(rows[:1]), interval_chart(rows)
    assert alone is not None
    assert both is not None
    assert both["height"] > 2 * alone["height"]


def test_there_is_no_chart_of_nothing() -> None:
    assert interval_chart([]) is None
    assert interval_chart([IntervalRow("a", {"model": None})]) is None
    assert reliability_chart([], shown="p", right="share") is None
    assert coverage_chart([], annotators=None) is None
    assert coverage_chart(points((1.0, 0.5)), annotators=None) is None


def test_a_reliability_chart_sets_the_share_against_the_mean_probability_of_its_bin() -> None:
    bins = [
        ReliabilityBin(low=low, high=low + 0.1, statements=n, confidence=low + 0.04, accuracy=interval(0.3))
        for low, n in ((0.0, 12_345), (0.4, 4_321), (0.9, 7))
    ]
    found = rows_with(reliability_chart(bins, shown="p", right="share"), "confidence")
    assert [row["confidence"] for row in found] == pytest.approx([0.04, 0.44, 0.94])
    assert [row["middle"] for row in found] == pytest.approx([0.05, 0.45, 0.95])
    assert [(row["n"], row["short"]) for row in found] == [(12_345, "12k"), (4_321, "4.3k"), (7, "7")]


def test_both_axes_of_a_reliability_chart_run_to_one_and_its_diagonal_from_corner_to_corner() -> None:
    bins = [ReliabilityBin(low=0.4, high=0.5, statements=3, confidence=0.45, accuracy=interval(0.3))]
    chart = reliability_chart(bins, shown="p", right="share")
    assert {tuple(domain) for domain in scales(chart, "x")} == {(0, 1)}
    assert {domain[1] for domain in scales(chart, "y")} == {1}
    assert [row["at"] for row in rows_with(chart, "at")] == [0, 1]


def test_a_coverage_chart_shows_its_points_and_keeps_the_band_within_its_axis() -> None:
    chart = coverage_chart(points((0.1, 0.95), (0.7, 0.8), (1.0, 0.62)), annotators=interval(0.96))
    drawn = rows_with(chart, "threshold")
    assert [(row["coverage"], row["value"]) for row in drawn] == [(0.1, 0.95), (0.7, 0.8), (1.0, 0.62)]
    [(low, high)] = {tuple(domain) for domain in scales(chart, "y")}
    assert low <= min(row["low"] for row in drawn)
    assert high == 1
    assert [row["value"] for row in rows_with(chart, "name")] == [0.96]


@pytest.mark.parametrize(("lowest", "floor"), [(0.62, 0.5), (0.55, 0.4), (0.05, 0.0), (0.5, 0.4)])
def test_the_accuracy_axis_begins_a_little_below_what_is_drawn(lowest: float, floor: float) -> None:
    chart = coverage_chart(points((0.5, 0.9), (1.0, lowest)), annotators=None)
    assert {domain[0] for domain in scales(chart, "y")} == {floor}


def test_the_point_near_seventy_percent_is_marked_and_no_other_takes_its_place() -> None:
    near = marked_point(points((0.6, 0.9), (0.72, 0.8), (1.0, 0.7)))
    assert near is not None
    assert near.coverage == 0.72
    assert marked_point(points((0.5, 0.9), (1.0, 0.7))) is None
    assert marked_point([]) is None
    assert rows_with(coverage_chart(points((0.5, 0.9), (1.0, 0.7)), annotators=None), "floor") == []


def test_annotators_below_the_axis_are_left_out_rather_than_drawn_outside_it() -> None:
    assert rows_with(coverage_chart(points((0.5, 0.95), (1.0, 0.9)), annotators=interval(0.3)), "name") == []


@pytest.mark.parametrize(
    "chart",
    [
        interval_chart([IntervalRow("a", {"model": interval(0.5), "baseline": interval(0.4)})]),
        reliability_chart(
            [ReliabilityBin(low=0.4, high=0.5, statements=3, confidence=0.45, accuracy=interval(0.3))], shown="p", right="q"
        ),
        coverage_chart(points((0.5, 0.9), (0.7, 0.8), (1.0, 0.7)), annotators=interval(0.96)),
        coverage_chart(points((0.5, 0.9), (1.0, 0.7)), annotators=None),
    ],
)
def test_every_chart_compiles(chart: dict[str, Any]) -> None:
    assert vl_convert.vegalite_to_vega(chart)["marks"]
