"""The report page: one HTML file that leads from each figure to the statements behind it.

The file loads nothing: style, scripts, the charts' runtime and the data stand in it, and its content security policy allows
no other script and no connection. What is filled into the markup is escaped; texts of statements reach it as JSON alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.charts import UNKNOWN_NAME, display_names, runtime, stance_colours
from pipelines.evaluation_charts import reliability_chart
from pipelines.methods import definitions, methods
from pipelines.page import (
    inline_json,
    inline_script,
    inline_style,
    page_environment,
    script_hash,
    template_text,
    web_link,
)
from pipelines.page_data import carry, number, percent, standing, tally_by, text
from pipelines.page_shares import Shares, headings, link
from pipelines.report_charts import numbered, trend_chart
from pipelines.run_match import CONCERNS, NEW, STANCE
from pipelines.shares import COUNTINGS

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.charts import StanceColour
    from pipelines.report import Report

_MOST_BYTES = 4_900_000  # of the whole page, but for some links and names: what opens from disk without a pause
_LEAST = 300_000  # of statements and holders, whatever the rest takes
_MOST_CHANGES = 60
_SCRIPTS = ("report.js", "report_charts.js", "report_holders.js", "report_statements.js")


@dataclass(frozen=True, slots=True)
class Numbers:
    """How much the labels are of: what the head of the page says."""

    statements: int
    opinions: int
    places: int
    documents: int
    outlets: int
    undecided: int
    undecided_places: int
    invalid: int
    first: str | None
    last: str | None
    undated: int
    audited: int


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two statements that show a change: stance, day, text and source."""

    stance: StanceColour | None
    day: str | None
    text: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a holder's position, with the link to the two statements where the page carries both."""

    holder: str
    kind: str
    before: Side
    after: Side
    probability: int | None
    link: str | None
    link_holder: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """A small table of words and numbers as the page prints it."""

    head: list[str]
    rows: list[list[str]]


def render_page(report: Report) -> str:
    """Return the page as HTML. The same report gives the same text."""
    codebook = report.coverage.labels.codebook
    shares = Shares(report)
    colours = stance_colours(codebook)
    trend = shares.trend()
    charts = {"trend": trend_chart(report.events, _periods(trend))}
    charts |= _reliability(report)
    scripts = [inline_script(runtime()), *(inline_script(template_text(name)) for name in _SCRIPTS)]
    drawn = {"charts": charts, "trend": _packed(trend), "countings": shares.countings}
    numbers = _numbers(report)
    given = {
        "title": report.title,
        "generated": report.generated,
        "codebook": codebook,
        "model": report.manifest["model_id"],
        "numbers": numbers,
        "notes": _notes(report),
        "colours": colours,
        "stances": sorted(colours, key=lambda c: c.index),
        "concerns": display_names(codebook.concerns),
        "types": {**display_names(codebook.holder_types), "": UNKNOWN_NAME},
        "css": inline_style("report.css") + "\n" + inline_style("report_page.css"),
        "scripts": scripts,
        "hashes": " ".join(script_hash(script) for script in scripts),
        "countings": shares.countings,
        "headline": shares.headline() if numbers.statements else [],
        "positions": shares.positions(),
        "trend": {p: _count_periods(rows) for p, rows in trend.items()},
        "trend_estimated": bool(report.shares.trend["share"].notna().any()),
        "time_differences": shares.differences("month", "quarter"),
        "events": numbered(report.events),
        "concern_rows": shares.concerns_by_stance(),
        "dimensions": shares.dimensions(),
        "charts": charts,
        "months": sorted({m for m in report.coverage.frame["month"] if isinstance(m, str)}, reverse=True),
        "no_type": bool(report.coverage.frame["resolved_type"].isna().any()),
        "evaluation": report.evaluation,
        "agreement": report.agreement,
        "audit": report.audit,
        "audit_check": _audit_check(report),
        "quality": report.quality,
        "comparison": _comparison(report),
        "dropped": _dropped(report),
        "clutter": report.manifest.get("clutter") or {},
        "skipped": len(report.manifest.get("skipped") or []),
        "methods": methods(report),
        "definitions": definitions(report),
        "ticks": range(5),
        "all_holders": len(report.tables["positions"]),
        "estimated": any(c.share is not None for row in shares.headline() for c in row.cells.values()),
    }
    template = page_environment().get_template("report.html.j2")
    every = {"all_changes": len(report.tables["changes"])}
    bare = template.render(**given, **every, data="", carried=None, changes=_changes(report, shares, {}))
    rest = len(bare.encode("utf-8")) + len(inline_json(drawn).encode("utf-8"))
    carried = carry(report, budget=max(_LEAST, _MOST_BYTES - rest))
    data = inline_json({**carried.data, **drawn})
    changes = _changes(report, shares, carried.data["places"])
    return template.render(**given, **every, data=data, carried=carried, changes=changes)


def _numbers(report: Report) -> Numbers:
    frame = report.coverage.frame
    firsts = standing(frame)
    counts = tally_by(firsts, None, report.coverage.labels.codebook)
    undecided = counts.get(("", "*undecided"), (0, 0))
    days = sorted(d for d in frame["day"] if isinstance(d, str))
    return Numbers(
        statements=len(frame),
        opinions=len(firsts),
        places=int(firsts["copies"].sum()),
        documents=int(frame["document_id"].nunique()),
        outlets=len({outlet for outlets in frame["outlets"] for outlet in outlets}),
        undecided=undecided[0],
        undecided_places=undecided[1],
        invalid=len(report.coverage.labels.frame) - len(frame),
        first=days[0] if days else None,
        last=days[-1] if days else None,
        undated=int(firsts["day"].isna().sum()),
        audited=int(frame.loc[frame["id"].isin(_audited(report)), "opinion"].nunique()),
    )


def _audited(report: Report) -> set[str]:
    table = report.tables["statements"]
    return set(table.loc[table["gold_stance"].notna(), "id"])


def _notes(report: Report) -> list[str]:
    """Return the report's notes, after what the page itself must say of its figures."""
    notes = []
    if report.audit is None:
        notes.append(
            "No audit sample: shares are corrected by the errors that the model made on its test part."
            if report.shares.shares["share"].notna().any()
            else "No audit sample: nobody has read a random part of these statements, so the counts are uncorrected."
        )
    return list(dict.fromkeys([*notes, *report.notes]))


def _periods(trend: dict[str, dict[str, list[list[Any]]]]) -> list[str]:
    return sorted({row[0] for countings in trend.values() for rows in countings.values() for row in rows})


def _packed(trend: dict[str, dict[str, list[list[Any]]]]) -> dict[str, Any]:
    """Return rows over time with what they share, their labels and their reasons, as places in lists."""
    labels: dict[str, int] = {}
    reasons: dict[str, int] = {}

    def pack(row: list[Any]) -> list[Any]:
        period, label, share, low, high, reason, n, of = row
        why = None if reason is None else reasons.setdefault(reason, len(reasons))
        return [period, labels.setdefault(label, len(labels)), share, low, high, why, n, of]

    rows = {p: {c: [pack(row) for row in found] for c, found in ways.items()} for p, ways in trend.items()}
    return {"labels": list(labels), "reasons": list(reasons), **rows}


def _count_periods(countings: dict[str, list[list[Any]]]) -> int:
    return len({row[0] for rows in countings.values() for row in rows})


def _changes(report: Report, shares: Shares, places: dict[str, int]) -> list[Change]:
    stances = {c.id: c for c in shares.stances}
    types = display_names(shares.codebook.holder_types)

    def side(row: dict[str, Any], name: str) -> Side:
        day = text(row[f"{name}_date"])
        return Side(stances.get(row[f"{name}_stance"]), day, text(row[f"{name}_text"]) or "", web_link(row[f"{name}_url"]))

    found = []
    for row in report.tables["changes"].head(_MOST_CHANGES).to_dict("records"):
        shown = [places[i] for i in (row["from_id"], row["to_id"]) if i in places]
        found.append(
            Change(
                holder=row["holder"],
                kind=types.get(text(row["holder_type"]) or "", UNKNOWN_NAME),
                before=side(row, "from"),
                after=side(row, "to"),
                probability=percent(row["probability"]),
                link="#?rows=" + "+".join(map(str, shown)) if len(set(shown)) == 2 else None,
                link_holder=shares_link(shares, row["holder"]),
            )
        )
    return found


def shares_link(shares: Shares, holder: str) -> str:
    """Return the address of a holder's statements."""
    from pipelines.page_shares import link

    return link("opinions", **shares.narrowed("holder", holder))


def _reliability(report: Report) -> dict[str, Any]:
    if report.evaluation is None:
        return {}
    chart = reliability_chart(
        report.evaluation.reliability, shown="Probability of the decided stance", right="Of these right"
    )
    return {} if chart is None else {"reliability": chart}


def _audit_check(report: Report) -> tuple[int, int] | None:
    """Return how many audited opinions were decided as people settled them, and how many were decided at all."""
    table = report.tables["statements"].sort_values("counted", ascending=False, kind="stable")
    gold = table[table["gold_stance"].notna()].drop_duplicates("opinion").set_index("opinion")["gold_stance"]
    stances = table[table["counted"] & ~table["abstained"]].set_index("opinion")["stance"]
    both = stances.index.intersection(gold.index)
    return (int((stances[both] == gold[both]).sum()), len(both)) if len(both) else None


def _comparison(report: Report) -> dict[str, Any] | None:
    """Return what changed since an earlier run, as tables of words."""
    found = report.comparison
    if found is None:
        return None
    codebook = report.coverage.labels.codebook
    names = display_names((*codebook.stances, *codebook.concerns))
    given = found.table["given"].notna()
    overall = found.table[~given]
    known = overall[["old_share", "new_share"]].notna().any(axis=None)
    return {
        "table": _then_and_now(overall if known else overall[:0], names),
        "reasons": [] if known else [r for r in overall["reason"].unique() if text(r)],
        "further": _then_and_now(found.table[given & found.table["difference"].notna()], names),
        "drift": _sheet(found.drift, {}),
        "counts": found.counts,
        "changed": {} if found.marks is None else _changed(standing(report.coverage.frame), found.marks),
        "withdrawn": list(found.withdrawn),
        "notes": list(found.notes),
    }


def _changed(units: pd.DataFrame, marks: pd.Series) -> dict[str, dict[str, Any]]:
    """Return, for each counting, how many opinions or statements are new or decided otherwise, with links to them."""
    marks = marks.loc[units.index]
    found: dict[str, dict[str, Any]] = {}
    for counting in COUNTINGS:
        weight = units["copies"] if counting != COUNTINGS[0] else units["copies"].clip(upper=1)
        found[counting] = {"all": int(weight.sum())} | {
            name: {
                "n": int(weight[marks & mark > 0].sum()),
                "counting": counting,
                "link": link(counting, since=name),
            }
            for name, mark in (("new", NEW), ("stance", STANCE), ("concerns", CONCERNS))
        }
    return found


def _then_and_now(table: pd.DataFrame, names: dict[str, str]) -> Sheet:
    """Return the shares of two runs side by side, in percent, and their differences in points."""

    def span(row: dict[str, Any], value: str, low: str, high: str, sign: str = "") -> str:
        found = [number(row.get(name)) for name in (value, low, high)]
        if found[0] is None:
            return "–"
        middle, *ends = (f"{100 * f:{sign}.0f}" for f in found if f is not None)
        return f"{middle} ({' to '.join(ends)})" if len(ends) == 2 else middle

    rows = []
    for row in table.to_dict("records"):
        label, given = (text(row.get(name)) for name in ("label", "given"))
        what = names.get(label or "", label or "")
        what += f", given “{names.get(given, given)}”" if given else ""
        what += ", of positions" if row.get("measure") == "position" else ""
        p = number(row.get("p_holm"))
        old = span(row, "old_share", "old_low", "old_high")
        new = span(row, "new_share", "new_low", "new_high")
        rows.append([what, old, new, span(row, "difference", "low", "high", "+"), "–" if p is None else f"{p:.3f}"])
        rows[-1].append(text(row.get("reason")) or "")
    return Sheet(["Share", "Then, %", "Now, %", "Difference, points", "Holm p", "Why there is none"], rows)


def _sheet(table: pd.DataFrame, names: dict[str, str]) -> Sheet:
    columns = [c for c in table.columns if table[c].notna().any()]
    rows = [[_cell(row[c], names) for c in columns] for row in table.to_dict("records")]
    return Sheet(headings(map(str, columns)), rows)


def _cell(value: Any, names: dict[str, str]) -> str:
    if isinstance(value, str):
        return names.get(value, value.replace("_", " "))
    found = number(value)
    if found is None:
        return "–"
    return f"{int(found):,}" if isinstance(value, int) else f"{found:.3f}"


def _dropped(report: Report) -> list[tuple[str, int]]:
    """Return reasons and numbers of the rows without labels, most first."""
    rows = report.coverage.labels.frame
    invalid = rows[rows["status"] == "invalid"]
    reasons = report.manifest.get("reasons") or {}  # like reasons put together by the label job
    if sum(reasons.values()) != len(invalid):
        reasons = Counter(text(reason) or "no reason given" for reason in invalid["reason"])
    return sorted(((str(reason), int(n)) for reason, n in reasons.items()), key=lambda item: (-item[1], item[0]))
