"""Shares as the report page prints them: estimate, interval and plain count of a cell, with the links to its statements."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from pipelines.charts import UNKNOWN_NAME, display_names, stance_colours
from pipelines.page_data import Counted, number, standing, tally_by, text
from pipelines.shares import COUNTINGS

if TYPE_CHECKING:
    from annotation.codebook import Codebook
    from pipelines.charts import StanceColour
    from pipelines.report import Report

MEASURES = {
    "stance": "Stance",
    "position": "Stance among those that take a position",
    "concern": "Concern",
    "concern_given_stance": "Concern among those of a stance",
}
MOST_GROUPS = 30  # of a dimension; the tables have all
_MOST_DIFFERENCES = 12
_SURE = 0.05
_OURS = {
    "holder_type": ("Kind of holder", "resolved_type", "type"),
    "publisher": ("Outlet", "publisher", "publisher"),
    "kind": ("Kind of document", "kind", "kind"),
    "country": ("Country of the holder", "country", "country"),
    "month": ("Month", "month", "month"),
    "quarter": ("Quarter", "quarter", "quarter"),
}
_ELSEWHERE = ("overall", "holder", "month", "quarter")  # dimensions that have sections of their own


@dataclass(frozen=True, slots=True)
class Cell:
    """One share in one counting.

    ``share``, ``low`` and ``high`` are None where ``reason`` says why; ``plain`` is the uncorrected share: ``n`` of ``of``.
    ``link`` leads to the n, ``link_of`` to the others that they are a part of.
    """

    counting: str
    share: float | None
    low: float | None
    high: float | None
    reason: str | None
    method: str | None
    gold: int
    plain: float | None
    n: int
    of: int
    link: str
    link_of: str


@dataclass(frozen=True, slots=True)
class Row:
    """A label with its cells by counting; ``stance`` gives colour and sign where the label is one."""

    name: str
    stance: StanceColour | None
    cells: dict[str, Cell]


@dataclass(frozen=True, slots=True)
class Group:
    """A value of a dimension: its statements by counting, and a row a stance."""

    name: str
    counts: dict[str, tuple[int, str]]
    rows: list[Row]


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference between two groups or periods, in points of a share, with the links to both sides."""

    label: str
    measure: str
    stance: StanceColour | None
    group: str
    other: str
    counting: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    link: str
    link_other: str | None

    @property
    def sure(self) -> bool:
        """Whether chance alone would make such a difference less often than once in twenty, over all that were tested."""
        return self.p_holm < _SURE


@dataclass(frozen=True, slots=True)
class Dimension:
    """Groups of one dimension, how many there are in all, and the differences that were tested, surest first."""

    id: str
    title: str
    groups: list[Group]
    all: int
    differences: list[Difference]
    tested: int


@dataclass
class Shares:
    """The cells of a report's shares, and what was counted for each."""

    report: Report
    countings: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        frame = self.report.coverage.frame
        self.codebook: Codebook = self.report.coverage.labels.codebook
        self.units = standing(frame)
        self.countings = COUNTINGS if bool((self.units["copies"] > 1).any()) else COUNTINGS[:1]
        self.stances = stance_colours(self.codebook)
        self._positions = [c for c in self.stances if c.polarity != "neutral"]
        self._concerns = display_names(self.codebook.concerns)
        self._types = display_names(self.codebook.holder_types)
        self._counts: dict[str, Counted] = {}
        made = self.report.shares
        self._rows = {
            (*(r[k] for k in ("dimension", "group", "counting", "measure", "label")), text(r["given"])): r
            for table in (made.shares, made.trend, made.concerns)
            for r in table.to_dict("records")
        }
        self._overall = next((key[1] for key in self._rows if key[0] == "overall"), None)

    def counted(self, dimension: str, group: object, label: str, counting: str) -> int:
        """Return how many opinions or statements of a group have a label of :func:`pipelines.page_data.tally_by`."""
        if dimension not in self._counts:
            self._counts[dimension] = tally_by(self.units, self._column(dimension), self.codebook)
        key = ("" if dimension == "overall" else str(group), label)
        return self._counts[dimension].get(key, (0, 0))[COUNTINGS.index(counting)]

    def headline(self) -> list[Row]:
        """Return the overall share of each stance, in the order of a bar."""
        return [self._stance_row("overall", self._overall, "stance", c) for c in self.stances]

    def positions(self) -> list[Row]:
        """Return the stances among the statements that take a position; none where there are no two such stances."""
        if len(self._positions) < 2 or not self.counted("overall", None, "*position", COUNTINGS[0]):
            return []
        return [self._stance_row("overall", self._overall, "position", c) for c in self._positions]

    def concerns(self) -> list[Row]:
        """Return the overall share of each concern that is raised or estimated, the most common first."""
        rows = [
            Row(name, None, {c: self._cell("overall", self._overall, "concern", i, None, c) for c in self.countings})
            for i, name in self._concerns.items()
        ]

        def size(row: Row) -> float:
            cell = row.cells[COUNTINGS[0]]
            return -(cell.share if cell.share is not None else cell.plain or 0)

        return sorted((r for r in rows if any(c.n or c.share for c in r.cells.values())), key=size)

    def concerns_by_stance(self) -> list[tuple[Row, list[Row]]]:
        """Return for each row of :meth:`concerns` its shares among the statements of each stance."""
        ids = {name: i for i, name in self._concerns.items()}
        return [
            (
                row,
                [
                    Row(
                        stance.name,
                        stance,
                        {
                            c: self._cell("overall", self._overall, "concern_given_stance", ids[row.name], stance.id, c)
                            for c in self.countings
                        },
                    )
                    for stance in self.stances
                ],
            )
            for row in self.concerns()
        ]

    def dimensions(self) -> list[Dimension]:
        """Return the shares of stances by group of every dimension but holders and time, larger groups first."""
        table = self.report.shares.shares
        found = []
        for dimension in dict.fromkeys(table["dimension"]):
            if dimension in _ELSEWHERE:
                continue
            groups = list(dict.fromkeys(table.loc[table["dimension"] == dimension, "group"]))
            groups.sort(key=lambda g: -self.counted(dimension, g, "*all", COUNTINGS[0]))
            shown = [
                Group(
                    self.group_name(dimension, group),
                    {
                        c: (self.counted(dimension, group, "*all", c), link(c, **self.narrowed(dimension, group)))
                        for c in self.countings
                    },
                    [self._stance_row(dimension, group, "stance", c) for c in self.stances],
                )
                for group in groups[:MOST_GROUPS]
            ]
            differences = self.differences(dimension)
            title = _OURS[dimension][0] if dimension in _OURS else dimension
            found.append(Dimension(dimension, title, shown, len(groups), differences[:_MOST_DIFFERENCES], len(differences)))
        return found

    def differences(self, *dimensions: str) -> list[Difference]:
        """Return what was tested, in opinions, of some dimensions; the surest first."""
        table = self.report.shares.differences
        names = {c.id: c for c in self.stances}
        found = []
        for row in table[table["dimension"].isin(dimensions) & (table["counting"] == COUNTINGS[0])].to_dict("records"):
            values = [number(row[name]) for name in ("difference", "low", "high", "p", "p_holm")]
            difference, low, high, p, holm = values
            if difference is None or low is None or high is None or p is None or holm is None:
                continue
            dimension, stance = row["dimension"], names.get(row["label"])
            wanted = {"stance": row["label"]} if stance else {"concern": row["label"]}
            other = text(row["other"])
            period = dimension in ("month", "quarter")
            found.append(
                Difference(
                    stance.name if stance else self._concerns.get(row["label"], row["label"]),
                    row["measure"],
                    stance,
                    self.group_name(dimension, row["group"]),
                    str(other) if period and other else "the rest",
                    COUNTINGS[0],
                    difference,
                    low,
                    high,
                    p,
                    holm,
                    link(COUNTINGS[0], **wanted, **self.narrowed(dimension, row["group"])),
                    link(COUNTINGS[0], **wanted, **self.narrowed(dimension, other)) if period and other else None,
                )
            )
        return sorted(found, key=lambda d: (d.p_holm, d.p, -abs(d.difference)))

    def trend(self) -> dict[str, dict[str, list[list[Any]]]]:
        """Return by period ("month", "quarter") and counting the rows that charts and tables over time are drawn from.

        A row: period, measure and label with a colon between them, share, low, high, reason, n and of.
        """
        found: dict[str, dict[str, list[list[Any]]]] = {}
        for row in self.report.shares.trend.to_dict("records"):
            dimension, group, counting = row["dimension"], row["group"], row["counting"]
            if counting not in self.countings or row["measure"] not in ("stance", "position", "concern"):
                continue
            cell = self._cell(dimension, group, row["measure"], row["label"], None, counting)
            rows = found.setdefault(dimension, {c: [] for c in self.countings})[counting]
            shares = [_short(v) for v in (cell.share, cell.low, cell.high)]
            rows.append([group, f"{row['measure']}:{row['label']}", *shares, cell.reason, cell.n, cell.of])
        return found

    def group_name(self, dimension: str, group: object) -> str:
        """Return a group's name as a reader knows it."""
        name = str(group)
        return self._types.get(name, name) if dimension == "holder_type" else name or UNKNOWN_NAME

    def narrowed(self, dimension: str, group: object) -> dict[str, str]:
        """Return the filter that lists a group's statements."""
        if dimension == "overall" or group is None:
            return {}
        if dimension in _OURS:
            return {_OURS[dimension][2]: str(group)}
        if dimension == "holder":
            return {"holder": str(group)}
        return {"column": dimension, "value": str(group)}

    def _column(self, dimension: str) -> str | None:
        if dimension == "overall":
            return None
        if dimension == "holder":
            return "resolved"
        return _OURS[dimension][1] if dimension in _OURS else dimension

    def _stance_row(self, dimension: str, group: object, measure: str, stance: StanceColour) -> Row:
        cells = {c: self._cell(dimension, group, measure, stance.id, None, c) for c in self.countings}
        return Row(stance.name, stance, cells)

    def _cell(self, dimension: str, group: object, measure: str, label: str, given: str | None, counting: str) -> Cell:
        row: Mapping[str, Any] = self._rows.get((dimension, group, counting, measure, label, given), {})
        wanted = {"concern": label} if measure.startswith("concern") else {"stance": label}
        among, part = {
            "stance": ("*decided", label),
            "position": ("*position", label),
            "concern": ("*all", f"concern:{label}"),
            "concern_given_stance": (given or "", f"{given}:{label}"),
        }[measure]
        n, of = (self.counted(dimension, group, name, counting) for name in (part, among))
        where = self.narrowed(dimension, group)
        share = number(row.get("share"))
        return Cell(
            counting=counting,
            share=share,
            low=number(row.get("low")),
            high=number(row.get("high")),
            reason=None if share is not None else text(row.get("reason")) or "not estimated",
            method=text(row.get("method")),
            gold=int(number(row.get("gold")) or 0),
            plain=n / of if of else None,
            n=n,
            of=of,
            link=link(counting, **({} if among == "*all" else {"stance": among}) | wanted, **where),
            link_of=link(counting, **({} if among == "*all" else {"stance": among}), **where),
        )


def link(counting: str, **filters: str) -> str:
    """Return the address, within the page, of the statements that filters leave."""
    asked = filters | ({"count": counting} if counting != COUNTINGS[0] else {})
    return "#?" + urlencode(asked, quote_via=quote, safe="*:")


def headings(names: Iterable[str]) -> list[str]:
    """Return names of columns as headings."""
    words = [name.replace("_", " ") for name in names]
    return [word[:1].upper() + word[1:] for word in words]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
