"""Charts of the evaluation page, as Vega-Lite specifications: intervals, reliability, risk and coverage.

Who a figure belongs to is told by shape, place and colour together; colours are CSS variables, as in the report's charts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from models.metrics import SHARE_KEPT
from pipelines.charts import finish

if TYPE_CHECKING:
    import altair as alt

    from models.breakdown import CoveragePoint, ReliabilityBin
    from models.metrics import Interval

_LABEL, _LANE, _GAP = 22, 13, 12  # pixels: a row's name, one interval, the space to the next row
_N_LINE = -0.07  # where in a reliability diagram the numbers of cases stand, below the share of nought
_BESIDE = 34  # pixels to the right of the plot, for the number beside the longest interval
_TICKS = [0, 0.25, 0.5, 0.75, 1]


@dataclass(frozen=True, slots=True)
class Series:
    """Whose figure it is, and how it is drawn."""

    id: str
    name: str
    shape: str

    @property
    def variable(self) -> str:
        """The CSS variable that holds the colour of the theme in use."""
        return f"var(--{self.id})"


SERIES = (
    Series("model", "Model", "circle"),
    Series("baseline", "Linear baseline", "diamond"),
    Series("annotators", "Second annotator", "square"),
)


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A row of an interval chart: its name, and the figures by the id of their series; None and missing are not drawn."""

    label: str
    figures: Mapping[str, Interval | None]


def drawn_series(rows: Sequence[IntervalRow]) -> tuple[Series, ...]:
    """Return the series of which the rows have a figure, in the order in which they are drawn."""
    return tuple(series for series in SERIES if any(row.figures.get(series.id) is not None for row in rows))


def interval_chart(rows: Sequence[IntervalRow]) -> dict[str, Any] | None:
    """Return dots with 95 % intervals, a row a figure and a lane a series, over an axis from 0 to 1.

    The row's name stands above its lanes, so that long names take no width from the plot. None where there is nothing
    to draw.
    """
    import altair as alt

    series = drawn_series(rows)
    if not series:
        return None
    step = _LABEL + _LANE * len(series) + _GAP
    values = []
    names = []
    for i, row in enumerate(rows):
        names.append({"y": i * step + _LABEL // 2, "label": row.label})
        for lane, one in enumerate(series):
            figure = row.figures.get(one.id)
            if figure is not None:
                place = i * step + _LABEL + _LANE * lane + _LANE // 2
                values.append({"y": place, "label": row.label, "who": one.name, **_figure(figure)})
    height = step * len(rows) - _GAP // 2
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False, zero=False))
    axis = alt.Axis(orient="top", values=_TICKS, labelExpr="datum.value")  # as written: a format drops digits on a phone
    x = alt.X("value:Q", title=None, scale=_unit(), axis=axis)
    domain = [one.name for one in series]
    colour = alt.Color("who:N", scale=alt.Scale(domain=domain, range=[one.variable for one in series]), legend=None)
    base = alt.Chart(alt.NamedData("figures")).encode(y=y, color=colour)
    tooltip = [alt.Tooltip("label:N", title="Figure"), alt.Tooltip("who:N", title="Whose"), *_interval_tooltip()]
    title = alt.Chart(alt.NamedData("names")).encode(x=alt.value(0), y=y, text="label:N")
    name = partial(title.mark_text, align="left", fontSize=12, fontWeight=600, limit=alt.ExprRef(f"width + {_BESIDE}"))
    layers = [
        name(color="var(--paper)", stroke="var(--paper)", strokeWidth=5),  # keeps grid lines off the name
        name(color="var(--ink)"),
        base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=_unit()), x2="high:Q", tooltip=tooltip),
        base.mark_point(filled=True, size=64, opacity=1, stroke="var(--paper)", strokeWidth=1).encode(
            x=x,
            shape=alt.Shape("who:N", scale=alt.Scale(domain=domain, range=[one.shape for one in series]), legend=None),
            tooltip=tooltip,
        ),
        base.mark_text(align="left", dx=7, fontSize=11).encode(
            x=alt.X("high:Q"), text=alt.Text("value:Q", format=".2f"), color=alt.value("var(--soft)")
        ),
    ]
    spec = finish(alt.layer(*layers).properties(width="container", height=height), right=_BESIDE)
    return spec | {"datasets": {"figures": values, "names": names}}


def reliability_chart(bins: Sequence[ReliabilityBin], *, shown: str, right: str) -> dict[str, Any] | None:
    """Return the share that was right by the probability that the model gave, with the diagonal of a calibrated model.

    The number of cases stands below each bin. None where there is no bin.

    Args:
        bins: Those that hold a case.
        shown: Title of the horizontal axis.
        right: Title of the vertical axis.
    """
    import altair as alt

    if not bins:
        return None
    values = [
        {
            "confidence": b.confidence,
            "middle": (b.low + b.high) / 2,
            "bin": f"{b.low:.1f} to {b.high:.1f}",
            "n": b.statements,
            "short": _short(b.statements),
            **_figure(b.accuracy),
        }
        for b in bins
    ]
    axis = alt.Axis(values=_TICKS, format="%")
    x = alt.X("confidence:Q", title=shown, scale=_unit(), axis=axis)
    scale = alt.Scale(domain=[2 * _N_LINE, 1], nice=False)
    y = alt.Y("value:Q", title=right, scale=scale, axis=axis)
    tooltip = [
        alt.Tooltip("bin:N", title="Given"),
        alt.Tooltip("confidence:Q", title="On average", format=".2f"),
        *_interval_tooltip("Right"),
        alt.Tooltip("n:Q", title="Cases", format=",d"),
    ]
    base = alt.Chart(alt.NamedData("figures"))
    layers = [
        alt.Chart(alt.NamedData("corners"))
        .mark_line(strokeDash=[4, 4], strokeWidth=1.5, color="var(--soft)")
        .encode(x=alt.X("at:Q"), y=alt.Y("at:Q", scale=scale)),
        base.mark_line(strokeWidth=1.5, color="var(--model)", opacity=0.55).encode(x=x, y=y),
        base.mark_rule(strokeWidth=2, color="var(--model)").encode(x=x, y=alt.Y("low:Q"), y2="high:Q", tooltip=tooltip),
        base.mark_point(filled=True, size=64, opacity=1, color="var(--model)", stroke="var(--paper)", strokeWidth=1).encode(
            x=x, y=y, tooltip=tooltip
        ),
        base.mark_text(fontSize=10, color="var(--soft)").encode(x=alt.X("middle:Q"), y=alt.datum(_N_LINE), text="short:N"),
    ]
    spec = _titled(alt.layer(*layers).properties(width="container", height=320), right=10)
    return spec | {"datasets": {"figures": values, "corners": [{"at": 0}, {"at": 1}]}}


def coverage_chart(points: Sequence[CoveragePoint], *, annotators: Interval | None) -> dict[str, Any] | None:
    """Return the accuracy of the most confident decisions by the share that is kept, with its interval as a band.

    The point nearest to the coverage that ``SHARE_KEPT`` names is marked, and ``annotators`` drawn as a line across. None
    where there are fewer than two points.
    """
    import altair as alt

    if len(points) < 2:
        return None
    values = [{"coverage": p.coverage, "threshold": p.threshold, **_figure(p.accuracy)} for p in points]
    datasets: dict[str, list[dict[str, Any]]] = {"figures": values}
    lowest = min(p.accuracy.low for p in points)
    floor = max(0, int(lowest * 10 - 0.5) / 10)  # a tenth's line at least half a tenth below what is drawn
    scale = alt.Scale(domain=[floor, 1], nice=False, zero=False)
    x = alt.X("coverage:Q", title="Statements decided", scale=_unit(), axis=alt.Axis(format="%", tickCount=6))
    y = alt.Y("value:Q", title="Of these right", scale=scale, axis=alt.Axis(format="%", tickCount=5))
    tooltip = [
        alt.Tooltip("coverage:Q", title="Decided", format=".0%"),
        *_interval_tooltip("Right"),
        alt.Tooltip("threshold:Q", title="Confidence at least", format=".2f"),
    ]
    base = alt.Chart(alt.NamedData("figures"))
    layers: list[alt.Chart] = [
        base.mark_area(color="var(--model)", opacity=0.18).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_line(strokeWidth=2, color="var(--model)").encode(x=x, y=y),
        base.mark_point(filled=True, size=18, opacity=1, color="var(--model)").encode(x=x, y=y, tooltip=tooltip),
    ]
    if annotators is not None and annotators.value >= floor:
        datasets["people"] = [{"value": annotators.value, "name": SERIES[-1].name}]
        people = alt.Chart(alt.NamedData("people"))
        layers += [
            people.mark_rule(strokeDash=[6, 3], strokeWidth=1.5, color=SERIES[-1].variable).encode(y=y),
            people.mark_text(align="right", dy=12, fontSize=11, color="var(--soft)").encode(
                x=alt.datum(1), y=y, text="name:N"
            ),
        ]
    marked = marked_point(points)
    if marked is not None:
        datasets["marked"] = [{"coverage": marked.coverage, "floor": floor, **_figure(marked.accuracy)}]
        one = alt.Chart(alt.NamedData("marked"))
        layers += [
            one.mark_rule(strokeWidth=1, color="var(--ink)").encode(x=x, y=alt.Y("floor:Q", scale=scale), y2="value:Q"),
            one.mark_point(filled=True, size=90, opacity=1, color="var(--ink)").encode(x=x, y=y, tooltip=tooltip[:-1]),
            one.transform_calculate(
                text="format(datum.value, '.0%') + ' right among the surest ' + format(datum.coverage, '.0%')"
            )
            .mark_text(align="right", dx=-9, fontSize=12, fontWeight=600, color="var(--ink)")
            .encode(x=x, y=alt.datum(floor + (1 - floor) * 0.06), text="text:N"),
        ]
    spec = _titled(alt.layer(*layers).properties(width="container", height=340), right=14)
    return spec | {"datasets": datasets}


def marked_point(points: Sequence[CoveragePoint]) -> CoveragePoint | None:
    """Return the point nearest to a coverage of ``SHARE_KEPT``, None where none is within five points of it."""
    nearest = min(points, key=lambda p: abs(p.coverage - SHARE_KEPT), default=None)
    return nearest if nearest is not None and abs(nearest.coverage - SHARE_KEPT) <= 0.05 else None


def _titled(chart: alt.LayerChart | alt.FacetChart, *, right: int) -> dict[str, Any]:
    """Finish a chart whose axes have titles."""
    spec = finish(chart, right=right)
    spec["config"]["axis"] |= {
        "titleColor": "var(--soft)",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    }
    spec["padding"]["bottom"] = 6  # the fitted height cuts the tails of the title's letters
    return spec


def _unit() -> alt.Scale:
    import altair as alt

    return alt.Scale(domain=[0, 1], nice=False)


def _interval_tooltip(value: str = "Value") -> list[alt.Tooltip]:
    import altair as alt

    return [
        alt.Tooltip("value:Q", title=value, format=".2f"),
        alt.Tooltip("low:Q", title="95 % from", format=".2f"),
        alt.Tooltip("high:Q", title="to", format=".2f"),
    ]


def _figure(figure: Interval) -> dict[str, float]:
    return {"value": round(figure.value, 4), "low": round(figure.low, 4), "high": round(figure.high, 4)}


def _short(n: int) -> str:
    return str(n) if n < 1000 else f"{n / 1000:.1f}k" if n < 10_000 else f"{n / 1000:.0f}k"
