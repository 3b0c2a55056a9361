"""Charts: Vega-Lite specifications of the report page, their colours, and the runtime that draws them offline.

A chart names colours as CSS variables (``var(--stance-0)``), so that the page's style sheet gives the same drawing its
light, dark and printed form. Which colour a stance has follows from its polarity, never from its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from annotation.codebook import Codebook
from pipelines.tables import UNDATED, Labels, concerns_by_stance, stance_by_holder_type, stance_by_month

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

UNKNOWN_NAME = "Not known"
_ORDER = (
    "positive",
    "both",
    "neutral",
    "negative",
)  # along a bar: the two sides at its ends, where lengths can be compared
# Blue against vermilion, with gold between them, keep apart for red-blind, green-blind and blue-blind readers.
_LIGHT = {"positive": "#1f6fb2", "both": "#e0a526", "neutral": "#c3c1ba", "negative": "#c4451c"}
_DARK = {"positive": "#62aeea", "both": "#f3d477", "neutral": "#5c6066", "negative": "#e2643a"}
_FADES = (0.0, 0.4, 0.65)  # shares of paper mixed in for a second and third stance of one polarity
_LONGEST_BY_MONTH = 120  # months on the axis, above which bars would be thinner than two pixels on a phone
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class StanceColour:
    """A stance as it is drawn: its place in the codebook, its name, its colours, and its place along a bar."""

    index: int
    id: str
    name: str
    light: str
    dark: str
    rank: int

    @property
    def variable(self) -> str:
        """The CSS variable that holds the colour of the theme in use."""
        return f"var(--stance-{self.index})"


def stance_colours(codebook: Codebook) -> list[StanceColour]:
    """Return the stances in the order in which they stand along a bar: for, both, none, against."""
    names = display_names(codebook.stances)
    drawn: list[StanceColour] = []
    for polarity in _ORDER:
        alike = [(i, stance) for i, stance in enumerate(codebook.stances) if stance.polarity == polarity]
        for nth, (index, stance) in enumerate(alike):
            fade = _FADES[min(nth, len(_FADES) - 1)]
            light, dark = _mix(_LIGHT[polarity], "#ffffff", fade), _mix(_DARK[polarity], "#000000", fade)
            drawn.append(StanceColour(index, stance.id, names[stance.id], light, dark, len(drawn)))
    return drawn


def display_names(parts: tuple[Any, ...]) -> dict[str, str]:
    """Return id to display name for labels of a codebook; labels that share a name get their id added."""
    names = [part.name for part in parts]
    return {part.id: part.name if names.count(part.name) == 1 else f"{part.name} ({part.id})" for part in parts}


def holder_type_chart(labels: Labels) -> dict[str, Any] | None:
    """Return the shares of stances over all statements and by holder type, as a Vega-Lite specification.

    None where no statement carries a decision.
    """
    names = display_names(labels.codebook.holder_types)
    table = stance_by_holder_type(labels)
    if not table["n"].sum():
        return None
    bars = [("All statements", _sums(labels.codebook, table))]
    known = table[table["n"] > 0]
    if known["holder_type"].isin(list(names)).any():
        bars += [(names.get(row["holder_type"], UNKNOWN_NAME), row) for row in known.to_dict("records")]
    return _bars(labels.codebook, bars, share=True, title="Holder")


def concern_chart(labels: Labels) -> dict[str, Any] | None:
    """Return the number of statements that raise each concern, most often raised first; None where none does."""
    names = display_names(labels.codebook.concerns)
    table = concerns_by_stance(labels).sort_values("n", ascending=False, kind="stable")
    bars = [(names[row["concern"]], row) for row in table.to_dict("records") if row["n"]]
    return _bars(labels.codebook, bars, share=False, title="Concern") if bars else None


def time_chart(labels: Labels) -> dict[str, Any] | None:
    """Return the number of statements by month of publication, by year where months are many or mostly unknown.

    None where the dates make fewer than two bars. What is not drawn is in the table: the undated, and among months the
    statements of which the year alone is known.
    """
    import altair as alt

    table = stance_by_month(labels)
    table = table[table["month"] != UNDATED]
    by_year = _by_year(table)
    if by_year:
        table = table.assign(month=table["month"].str[:4]).groupby("month", as_index=False).sum()
    else:
        table = table[table["month"].str.len() == 7]
    if len(table) < 2:
        return None
    unit: Literal["utcyear", "utcyearmonth"] = "utcyear" if by_year else "utcyearmonth"
    form = "%Y" if by_year else "%b %Y"
    values = [value for row in table.to_dict("records") for value in _segments(labels.codebook, row["month"], row)]
    chart = (
        alt.Chart(alt.InlineData(values=values))
        .mark_bar(binSpacing=1)
        .encode(
            x=alt.X(
                "bar:T",
                timeUnit=unit,
                title=None,
                axis=alt.Axis(format=form, grid=False, labelOverlap="greedy", labelSeparation=10, tickColor="var(--rule)"),
            ),
            y=alt.Y("count:Q", stack="zero", title=None, axis=alt.Axis(tickCount=4, format=",d", tickMinStep=1)),
            color=_colour(labels.codebook),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("bar:T", timeUnit=unit, format=form, title="Published"),
                alt.Tooltip("stance:N", title="Stance"),
                alt.Tooltip("count:Q", title="Statements", format=",d"),
            ],
        )
        .properties(width="container", height=220)
    )
    return finish(chart, right=24)  # room for half of the last label


@cache
def runtime() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one piece of JavaScript that sets ``vegaEmbed`` and loads nothing."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


def _by_year(table: pd.DataFrame) -> bool:
    months = table.loc[table["month"].str.len() == 7, "month"]
    if table.loc[table["month"].str.len() == 4, "n"].sum() > table.loc[months.index, "n"].sum():
        return True
    if months.empty:
        return False
    (first_year, first_month), (last_year, last_month) = (map(int, m.split("-")) for m in (months.min(), months.max()))
    return bool((last_year - first_year) * 12 + last_month - first_month >= _LONGEST_BY_MONTH)


def _bars(codebook: Codebook, bars: list[tuple[str, Any]], *, share: bool, title: str) -> dict[str, Any]:
    import altair as alt

    order = [name for name, _ in bars]
    values = [value for name, row in bars for value in _segments(codebook, name, row)]
    length, axis = ("share:Q", alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])) if share else ("count:Q", None)
    y = alt.Y("bar:N", sort=order, title=None, axis=alt.Axis(labelLimit=190, labelPadding=8))
    drawn = (
        alt.Chart()
        .mark_bar(height={"band": 0.72})
        .encode(
            x=alt.X(length, stack="zero", title=None, axis=axis, scale=alt.Scale(domain=[0, 1]) if share else alt.Scale()),
            y=y,
            color=_colour(codebook),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("bar:N", title=title),
                alt.Tooltip("stance:N", title="Stance"),
                alt.Tooltip("count:Q", title="Statements", format=",d"),
                alt.Tooltip("share:Q", title="Share", format=".0%"),
            ],
        )
    )
    # The total stands at the end of its bar: once a bar, so it is drawn for the first segment alone.
    total = (
        alt.Chart()
        .transform_filter("datum.rank === 0")
        .mark_text(align="left", baseline="middle", dx=6, fontSize=12, color="var(--soft)")
        .encode(x=alt.datum(1) if share else alt.X("n:Q"), y=y, text=alt.Text("n:Q", format=",d"))
    )
    chart = alt.layer(drawn, total, data=alt.InlineData(values=values)).properties(width="container", height=30 * len(bars))
    return finish(chart, right=0 if share else 40)  # the fitted width leaves out the number behind the longest bar


def _segments(codebook: Codebook, bar: str, row: Any) -> list[dict[str, Any]]:
    n = int(row["n"])
    return [
        {
            "bar": bar,
            "stance": colour.name,
            "rank": colour.rank,
            "count": int(row[colour.id]),
            "share": int(row[colour.id]) / n,
            "n": n,
        }
        for colour in stance_colours(codebook)
    ]


def _sums(codebook: Codebook, table: pd.DataFrame) -> dict[str, int]:
    return {name: int(table[name].sum()) for name in ("n", *codebook.stance_ids)}


def _colour(codebook: Codebook) -> alt.Color:
    import altair as alt

    drawn = stance_colours(codebook)
    scale = alt.Scale(domain=[c.name for c in drawn], range=[c.variable for c in drawn])
    return alt.Color("stance:N", scale=scale, legend=None)  # the page has one key for all charts


def finish(chart: alt.Chart | alt.LayerChart | alt.FacetChart, *, right: int = 0) -> dict[str, Any]:
    """Return a chart as a specification in the pages' type and colours, with room of ``right`` pixels beside the plot."""
    import altair as alt

    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    styled = (
        chart.properties(autosize=fit, padding={"left": 0, "right": right, "top": 0, "bottom": 0})
        .configure(background="transparent", font=_FONT)
        .configure_view(stroke=None)
        .configure_axis(
            domain=False,
            ticks=False,
            gridColor="var(--rule)",
            labelColor="var(--ink)",
            labelFontSize=12,
            labelPadding=6,
        )
    )
    return dict(styled.to_dict())


def _mix(colour: str, paper: str, share: float) -> str:
    pairs = zip(bytes.fromhex(colour[1:]), bytes.fromhex(paper[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in pairs).hex()
