"""What the report page carries as JSON: statements, documents, names and holders, as many as its size allows.

Texts of the corpus reach the page here and nowhere else as a whole; the page shows them as text nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.charts import UNKNOWN_NAME, display_names, stance_colours
from pipelines.page import inline_json, web_link

if TYPE_CHECKING:
    import pandas as pd

    from annotation.codebook import Codebook
    from pipelines.report import Report

MOST_STATEMENTS = 10_000
MOST_HOLDERS = 2_000
_SINCE = "*since"  # a column beside the coverage's, among which are analysts' own
_MOST_OUTLETS = 30  # named below a statement; its reach counts them all


@dataclass(frozen=True, slots=True)
class Carried:
    """The page's data, and how much of the whole it is.

    ``opinions`` and ``statements`` are what the page carries, copies among the latter; ``holders`` how many are listed.
    ``contexts`` tells whether the sentences around a statement are there, as far as they are known.
    """

    data: dict[str, Any]
    opinions: int
    statements: int
    holders: int
    contexts: bool


def carry(report: Report, *, budget: int) -> Carried:
    """Return what the page carries within a number of bytes.

    Opinions come in the order of the labels, each with all its copies. Where not everything fits, the sentences around
    statements go first, then the last statements.
    """
    codebook = report.coverage.labels.codebook
    holders = _holders(report, codebook)
    size = len(inline_json(holders).encode("utf-8"))
    gold = _gold(report)
    rows = _Rows(report, codebook, gold, contexts=True)
    rows.fill(budget - size)
    if rows.tight and report.coverage.frame[["before", "after"]].notna().any(axis=None):
        rows = _Rows(report, codebook, gold, contexts=False)
        rows.fill(budget - size)
    rows.sort()
    for holder in holders:
        rows.names.setdefault(holder[0], len(rows.names))
    data = {
        "stances": [
            {"id": c.id, "name": c.name, "polarity": c.polarity}
            for c in sorted(stance_colours(codebook), key=lambda c: c.index)
        ],
        "order": [c.index for c in stance_colours(codebook)],
        "concerns": [[i, name] for i, name in display_names(codebook.concerns).items()],
        "types": [*([i, name] for i, name in display_names(codebook.holder_types).items()), ["", UNKNOWN_NAME]],
        "columns": list(report.coverage.columns),
        "values": [list(values) for values in rows.values],
        "documents": [document[1:] for document in rows.documents],
        "names": list(rows.names),
        "countries": rows.countries,
        "statements": rows.rows,
        "holders": [[rows.names[name], *rest] for name, *rest in holders],
        "places": rows.places,
        "cut": rows.full,
    }
    return Carried(data, rows.opinions, len(rows.rows), len(holders), rows.contexts)


class _Rows:
    """Statements as short lists, with what several share (documents, names, values of columns) listed once.

    A row: document, text, name of its holder or -1, holder type, stance or -1 where undecided, probabilities of the stances
    in percent, concerns, their probabilities in percent, and what only some have by one letter: ``o`` place of the row
    that it is a copy of, ``n`` copies, ``r`` reach, ``u`` outlets, ``b`` and ``a`` sentences before and after, ``g`` gold
    stance, ``k`` gold concerns, ``h`` holder as written, ``c`` values of the joined columns, ``e`` what has changed since an
    earlier run.
    """

    def __init__(
        self, report: Report, codebook: Codebook, gold: Mapping[str, tuple[str, list[str]]], *, contexts: bool
    ) -> None:
        self.rows: list[list[Any]] = []
        self.places: dict[str, int] = {}  # ids of statements that others refer to, to the row that stands for the opinion
        self.documents: dict[tuple[Any, ...], int] = {}
        self.names: dict[str, int] = {}
        self.countries: dict[str, str] = {}
        self.columns = report.coverage.columns
        self.values: list[dict[str, int]] = [{} for _ in self.columns]
        self.opinions = 0
        self.full = False  # whether something was left out, and whether it was for want of room
        self.tight = False
        self.contexts = contexts
        self._indices: list[int] = []  # of the rows, in the frame
        self._gold = gold
        self._frame = report.coverage.frame
        if report.comparison is not None and report.comparison.marks is not None:
            self._frame = self._frame.assign(**{_SINCE: report.comparison.marks})
        self._shares = [f"stance_{i}" for i in codebook.stance_ids]
        self._stances = {name: i for i, name in enumerate(codebook.stance_ids)}
        self._concerns = {name: i for i, name in enumerate(codebook.concern_ids)}
        self._types = {name: i for i, name in enumerate(codebook.holder_type_ids)}
        self._wanted = _referred(report)

    def fill(self, budget: int) -> None:
        """Add opinions in order until the budget or the greatest number of statements is reached."""
        groups = self._groups()
        records = iter(self._frame.loc[[index for group in groups for index in group]].to_dict("records"))
        for indices in groups:
            budget -= self._add([next(records) for _ in indices], indices, budget)
            if self.tight:
                self.full = True
                return

    def _groups(self) -> list[list[int]]:
        """Return the places of each opinion's rows, the one that stands for it first, as many as there may be in all."""
        first = self._frame["first"].astype(bool)
        rows = zip(self._frame.index, self._frame["opinion"], first, strict=True)
        copies: dict[int, list[int]] = {}
        firsts: list[tuple[int, int]] = []
        for index, opinion, stands in rows:
            if stands:
                firsts.append((int(index), int(opinion)))
            else:
                copies.setdefault(int(opinion), []).append(int(index))
        groups: list[list[int]] = []
        room = MOST_STATEMENTS
        for index, opinion in firsts:
            group = [index, *copies.get(opinion, [])]
            room -= len(group)
            if groups and room < 0:
                self.full = True
                break
            groups.append(group)
        return groups

    def sort(self) -> None:
        """Bring the rows, which were added opinion by opinion, into the order of the labels."""
        order = sorted(range(len(self.rows)), key=self._indices.__getitem__)
        now = {old: new for new, old in enumerate(order)}
        for row in self.rows:
            if isinstance(row[-1], dict) and "o" in row[-1]:
                row[-1]["o"] = now[row[-1]["o"]]
        self.rows = [self.rows[old] for old in order]
        self.places = {i: now[place] for i, place in self.places.items()}

    def _add(self, group: list[dict[str, Any]], indices: list[int], budget: int) -> int:
        first = len(self.rows)
        fresh: list[Any] = []
        made = []
        for record in group:
            document = self._document(record)
            if document not in self.documents:
                fresh.append(document)
                self.documents[document] = len(self.documents)
            made.append(self._row(record, self.documents[document], None if record is group[0] else first, fresh))
        size = len(inline_json([made, fresh]).encode("utf-8"))
        if first and size > budget:
            self.tight = True
            return 0
        self.rows += made
        self._indices += indices
        self.opinions += 1
        for record in group:
            if record["id"] in self._wanted:
                self.places[record["id"]] = first
        return size

    def _row(self, record: dict[str, Any], document: int, first: int | None, fresh: list[Any]) -> list[Any]:
        name = text(record["resolved"])
        if name is not None and name not in self.names:
            self.names[name] = len(self.names)
            fresh.append(name)
        if name is not None and (country := text(record["country"])) is not None:
            self.countries.setdefault(name, country)
        raised = [c for c in self._concerns if c in set(record["concerns"])]
        row = [
            document,
            text(record["text"]) or "",
            -1 if name is None else self.names[name],
            self._types.get(text(record["resolved_type"]) or "", len(self._types)),
            -1 if record["abstained"] else self._stances[record["stance"]],
            [percent(record[share]) for share in self._shares],
            [self._concerns[c] for c in raised],
            [percent(record[f"concern_{c}"]) for c in raised],
        ]
        some = self._some(record, name, first)
        return [*row, some] if some else row

    def _some(self, record: dict[str, Any], name: str | None, first: int | None) -> dict[str, Any]:
        some: dict[str, Any] = {}
        if first is not None:
            some["o"] = first
        else:
            some |= {"n": int(record["copies"])} if record["copies"] > 1 else {}
            some |= {"e": int(record[_SINCE])} if record.get(_SINCE) else {}
            if record["reach"] > 1:
                some |= {"r": int(record["reach"]), "u": list(record["outlets"])[:_MOST_OUTLETS]}
        if self.contexts:
            some |= {key: around for key, side in (("b", "before"), ("a", "after")) if (around := text(record[side]))}
        gold = self._gold.get(record["id"])
        if gold is not None:
            some |= {"g": self._stances[gold[0]], "k": [self._concerns[c] for c in gold[1]]}
        written = text(record["holder_name"])
        if written is not None and written.strip() != name:
            some["h"] = written.strip()
        if self.columns:
            places = [
                -1 if value is None else self.values[i].setdefault(value, len(self.values[i]))
                for i, value in enumerate(text(record[column]) for column in self.columns)
            ]
            some["c"] = places
        return some

    def _document(self, record: dict[str, Any]) -> tuple[Any, ...]:
        link = web_link(record["url"])
        fields = (text(record[name]) for name in ("title", "publisher", "kind"))
        day = text(record["day"])
        odd = None if day else text(record["published"])  # a date that is none is shown as it was given
        other = None if link else text(record["url"])
        return (text(record["document_id"]), *fields, day, link, other, odd)


def _holders(report: Report, codebook: Codebook) -> list[list[Any]]:
    """Return the holders of the positions table, the most often quoted first, with what the page does not count itself."""
    table = report.tables["positions"]
    stances = {name: i for i, name in enumerate(codebook.stance_ids)}
    types = {name: i for i, name in enumerate(codebook.holder_type_ids)}
    concerns = {name: i for i, name in enumerate(codebook.concern_ids)}
    frame = report.coverage.frame
    counted = tally_by(standing(frame), "resolved", codebook)
    found = []
    for row in table.head(MOST_HOLDERS).to_dict("records"):
        name = row["holder"]
        counts = [[counted.get((name, s), (0, 0))[way] for s in (*codebook.stance_ids, "*undecided")] for way in (0, 1)]
        found.append(
            [
                name,
                types.get(text(row["holder_type"]) or "", len(types)),
                text(row["country"]),
                int(row["resolution"] == "alias"),
                stances.get(text(row["stance"]) or "", -1),
                percent(row["probability"]),
                *counts,
                int(row["sources"]),
                text(row["first"]),
                text(row["last"]),
                [concerns[c] for c in listed(row["main_concerns"]) if c in concerns],
                int(row["changes"]),
            ]
        )
    return found


Counted = dict[tuple[str, str], tuple[int, int]]
"""Opinions and statements by (group, label)."""


def tally_by(units: pd.DataFrame, column: str | None, codebook: Codebook) -> Counted:
    """Count opinions and statements by the values of a column; None counts all as one group "".

    Labels: each stance, ``*all``, ``*decided``, ``*undecided``, ``*position`` (decided, for a stance that is not neutral),
    ``concern:C`` among all, since abstention is about the stance, and ``STANCE:C``.
    """
    neutral = {s.id for s in codebook.stances if s.polarity == "neutral"}
    groups = [""] * len(units) if column is None else units[column].tolist()
    counts: dict[tuple[str, str], list[int]] = {}
    for group, stance, undecided, concerns, weight in zip(
        groups, units["stance"].tolist(), units["abstained"].tolist(), units["concerns"].tolist(), units["copies"].tolist(),
        strict=True,
    ):  # fmt: skip
        if not isinstance(group, str):
            continue
        labels = ["*all", *(f"concern:{concern}" for concern in set(concerns))]
        if undecided:
            labels.append("*undecided")
        else:
            labels += ["*decided", stance]
            labels += [] if stance in neutral else ["*position"]
            labels += [f"{stance}:{concern}" for concern in set(concerns)]
        for label in labels:
            both = counts.setdefault((group, label), [0, 0])
            both[0] += 1
            both[1] += weight
    return {key: (both[0], both[1]) for key, both in counts.items()}


def _gold(report: Report) -> dict[str, tuple[str, list[str]]]:
    table = report.tables["statements"]
    known = table[table["gold_stance"].notna()]
    return {
        i: (stance, listed(concerns))
        for i, stance, concerns in zip(known["id"], known["gold_stance"], known["gold_concerns"], strict=True)
    }


def _referred(report: Report) -> set[str]:
    """Return the ids of statements that other tables name."""
    named = [
        *(report.tables["changes"][name] for name in ("from_id", "to_id")),
        *(report.tables["positions"][name] for name in ("statement_first", "statement_last")),
    ]
    return {i for column in named for i in column if isinstance(i, str)}


def standing(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a coverage's frame that stand for their opinions; of an empty frame its columns too."""
    return frame.loc[frame["first"].astype(bool)]


def text(value: object) -> str | None:
    """Return a cell's text, None where there is none; pandas has NaN there."""
    return value if isinstance(value, str) and value else None


def percent(value: object) -> int | None:
    """Return a probability in whole percent, None where there is none."""
    found = number(value)
    return None if found is None else round(100 * found)


def number(value: object) -> float | None:
    """Return a cell's number, None where there is none; NaN is none."""
    if value is None or isinstance(value, str | bool):
        return None
    found = float(value)  # type: ignore[arg-type]  # what pandas holds in a column of numbers
    return found if math.isfinite(found) else None


def listed(value: object) -> list[str]:
    """Return a cell's list; Parquet gives arrays back, and NaN where there is none."""
    return [str(v) for v in value] if isinstance(value, Iterable) and not isinstance(value, str) else []
