"""Charts of the report page, as Vega-Lite specifications: a share over time, with its interval, its gaps and the events.

The page gives each drawing its figures by name (``figures``, ``events``), so that one specification serves every label, both
countings and both periods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.charts import finish

if TYPE_CHECKING:
    from pipelines.events import Event

_MIDDLE = {"1": "02", "2": "05", "3": "08", "4": "11"}  # month of a quarter


def trend_chart(events: Sequence[Event], periods: Iterable[str]) -> dict[str, Any]:
    """Return a panel that draws one label's share over time.

    ``figures`` has rows of ``at`` (a day), ``period``, ``share``, ``low``, ``high`` (null where there is no estimate),
    ``plain`` (null where there is one), ``count``. Estimates are a line with a band; where there is none, the plain share
    is a hollow diamond on a broken line. Events are numbered lines, and stand in the page's list by their numbers.

    Args:
        events: In the order of their dates.
        periods: Months (``2024-08``) and quarters (``2024-Q3``) that are drawn, which the time axis spans.
    """
    import altair as alt

    days = sorted(middle(p) for p in periods)
    marks = [{"at": middle(e.date), "number": str(i), "name": e.name} for i, e in enumerate(events, start=1)]
    inside = [m for m in marks if days and _month(days[0], -2) <= str(m["at"])[:7] <= _month(days[-1], 2)]
    span = sorted([*days, *(str(m["at"]) for m in inside)])
    scale = alt.Scale(type="utc", domain=[span[0], span[-1]], padding=12) if span else alt.Scale(type="utc")
    axis = alt.Axis(format="%b %Y", grid=False, labelOverlap="greedy", labelSeparation=8, tickCount=5, labelFlush=False)
    x = alt.X("at:T", title=None, scale=scale, axis=axis)
    percent = alt.Axis(format="%", tickCount=4)
    y = alt.Y("share:Q", title=None, axis=percent, scale=alt.Scale(domain=[0, alt.ExprRef("top")], nice=False))
    base = alt.Chart(alt.NamedData("figures"))
    tooltip = [
        alt.Tooltip("period:N", title="Published"),
        alt.Tooltip("share:Q", title="Estimate", format=".0%"),
        alt.Tooltip("low:Q", title="95 % from", format=".0%"),
        alt.Tooltip("high:Q", title="to", format=".0%"),
        alt.Tooltip("counted:N", title="Counted"),
    ]
    plain = [
        alt.Tooltip("period:N", title="Published"),
        alt.Tooltip("plain:Q", title="Uncorrected", format=".0%"),
        tooltip[-1],
    ]
    ours = alt.Chart(alt.NamedData("events"))
    hue = "var(--panel)"
    estimated = base.transform_filter("datum.share !== null")
    layers = [
        ours.mark_rule(color="var(--soft)", strokeWidth=1, strokeDash=[2, 2]).encode(
            x=x, tooltip=[alt.Tooltip("number:N", title="Event"), alt.Tooltip("name:N", title="Name")]
        ),
        ours.mark_text(color="var(--soft)", fontSize=11, fontWeight=600, baseline="bottom", dy=-3).encode(
            x=x, y=alt.value(0), text="number:N"
        ),
        base.mark_area(color=hue, opacity=0.22, line=False).encode(x=x, y=alt.Y("low:Q", axis=percent), y2="high:Q"),
        base.mark_line(color=hue, strokeWidth=1.5, strokeDash=[4, 4], opacity=0.7).encode(x=x, y="joined:Q"),
        base.mark_line(color=hue, strokeWidth=2).encode(x=x, y=y),
        estimated.mark_rule(color=hue, strokeWidth=1.5).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", tooltip=tooltip),
        estimated.mark_point(color=hue, filled=True, size=46, opacity=1, cursor="pointer").encode(x=x, y=y, tooltip=tooltip),
        base.transform_filter("datum.plain !== null")
        .mark_point(shape="diamond", filled=False, fill="var(--paper)", stroke=hue, size=46, opacity=1, cursor="pointer")
        .encode(x=x, y="plain:Q", tooltip=plain),
    ]
    chart = alt.layer(*layers).add_params(alt.param(name="top", value=1)).properties(width="container", height=150)
    spec = finish(chart, right=14)
    spec["padding"] |= {"top": 16, "left": 2}
    return spec | {"datasets": {"figures": [], "events": inside}}


def numbered(events: Sequence[Event]) -> list[tuple[int, str, str]]:
    """Return number, date and name of the events, as the panels mark them."""
    return [(i, e.date, e.name) for i, e in enumerate(events, start=1)]


def middle(period: str) -> str:
    """Return the day at which a year, a month, a quarter or a day is drawn: its middle."""
    if "-Q" in period:
        year, quarter = period.split("-Q")
        return f"{year}-{_MIDDLE[quarter]}-15"
    return {4: f"{period}-07-01", 7: f"{period}-15"}.get(len(period), period[:10])


def _month(day: str, by: int) -> str:
    """Return the month that many months from a day's."""
    count = int(day[:4]) * 12 + int(day[5:7]) - 1 + by
    return f"{count // 12:04}-{count % 12 + 1:02}"
