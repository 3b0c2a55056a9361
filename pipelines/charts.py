"""What the charts of the pages share: colours of stances, the style of a specification, the runtime that draws it offline.

A chart names colours as CSS variables (``var(--stance-0)``), so that the page's style sheet gives the same drawing its
light, dark and printed form. Which colour a stance has follows from its polarity, never from its name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from annotation.codebook import Codebook

if TYPE_CHECKING:
    import altair as alt

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
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class StanceColour:
    """A stance as it is drawn: place in the codebook, name, colours, place along a bar, and which way it points."""

    index: int
    id: str
    name: str
    light: str
    dark: str
    rank: int
    polarity: str

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
            drawn.append(StanceColour(index, stance.id, names[stance.id], light, dark, len(drawn), polarity))
    return drawn


def display_names(parts: tuple[Any, ...]) -> dict[str, str]:
    """Return id to display name for labels of a codebook; labels that share a name get their id added."""
    names = [part.name for part in parts]
    return {part.id: part.name if names.count(part.name) == 1 else f"{part.name} ({part.id})" for part in parts}


@cache
def runtime() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one piece of JavaScript that sets ``vegaEmbed`` and loads nothing."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"))


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
