"""The report page: one HTML file with the charts, the positions and the statements of a folder of labels.

The file loads nothing: style, scripts, the charts' runtime and the data stand in it, and its content security policy allows
no other script and no connection. Texts reach the page as JSON and are shown as text alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from corpus.errors import RecordError, UsageError
from corpus.files import read_json, write_text
from pipelines.charts import (
    UNKNOWN_NAME,
    concern_chart,
    display_names,
    holder_type_chart,
    runtime,
    stance_colours,
    time_chart,
)
from pipelines.page import (
    inline_json,
    inline_script,
    inline_style,
    page_environment,
    script_hash,
    template_text,
    web_link,
)
from pipelines.tables import (
    UNDATED,
    UNKNOWN,
    Labels,
    concerns_by_stance,
    decided,
    holder_key,
    iso_date,
    positions,
    row_counts,
    spelling,
    stance_by_holder_type,
    stance_by_month,
    write_tables,
)

if TYPE_CHECKING:
    import pandas as pd

    from models.evaluation import Evaluation

PAGE = "report.html"
_EVALUATION_FORMATS = (1, 2)
_MOST_STATEMENTS = 10_000  # with the budget below, what a browser opens from disk without a pause
_MOST_BYTES = 3_400_000  # of statements; runtime, positions and tables come to about 1.3 MB more, 5 MB at most
_MOST_HOLDERS = 2_000


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of counts as the page prints it below a chart."""

    head: list[str]
    rows: list[list[Any]]


def read_evaluation(path: Path, *, model_id: str) -> Evaluation:
    """Read the metrics that ``treaty-stance evaluate`` saved of the model that made the labels.

    Raises:
        UsageError: when the file does not exist.
        RecordError: when it is not such a file, or of another format or model.
    """
    from models.evaluation import Evaluation

    value = read_json(path)
    try:
        evaluation = msgspec.convert(value, Evaluation)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path}: expected the metrics of an evaluation, but {error}; evaluate again") from error
    if evaluation.format not in _EVALUATION_FORMATS:
        raise RecordError(f"{path}: format is {evaluation.format}, this release reads formats 1 and 2; evaluate again")
    if evaluation.model_id != model_id:
        raise RecordError(
            f"{path}: these are the metrics of model {evaluation.model_id}, but the labels are those of {model_id}; "
            "evaluate the bundle that made the labels"
        )
    return evaluation


def write_report(
    labels: Labels,
    output: Path,
    *,
    evaluation: Path | None = None,
    generated: str,
    title: str | None = None,
    quality: str | None = None,
) -> list[Path]:
    """Write the four tables and ``report.html`` into a folder and return the paths.

    Args:
        labels: what :func:`pipelines.tables.read_labels` returned.
        output: the folder, made if need be; files of these names in it are replaced.
        evaluation: the metrics that ``treaty-stance evaluate`` saved, to be shown with the labels.
        generated: the date of the report, ISO 8601.
        title: the page's heading; the target's name by default.
        quality: the name of an evaluation page beside the report, to be linked to.

    Raises:
        UsageError: when the evaluation is missing or the folder cannot be written to.
        RecordError: when the evaluation is not one, or of another model.
    """
    metrics = None if evaluation is None else read_evaluation(evaluation, model_id=labels.manifest["model_id"])
    page = render_page(labels, evaluation=metrics, generated=generated, title=title, quality=quality)
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: expected a folder, found a file; choose another output")
    written = write_tables(labels, output)
    write_text(output / PAGE, page)
    return [*written, output / PAGE]


def render_page(
    labels: Labels,
    *,
    evaluation: Evaluation | None,
    generated: str,
    title: str | None = None,
    quality: str | None = None,
) -> str:
    """Return the page as HTML. The same arguments give the same text."""
    frame = decided(labels)
    holders = positions(labels)
    statements, shown = _statements(frame, holders, labels)
    names = {
        "stances": list(display_names(labels.codebook.stances).values()),
        "concerns": list(display_names(labels.codebook.concerns).values()),
        "types": [*display_names(labels.codebook.holder_types).values(), UNKNOWN_NAME],
    }
    charts = {
        "balance": holder_type_chart(labels),
        "time": time_chart(labels),
        "concern": concern_chart(labels),
    }
    undated = int(sum(iso_date(date) is None for date in frame["published"]))
    data = {
        **statements,
        **names,
        "order": [colour.index for colour in stance_colours(labels.codebook)],
        "positions": _positions(holders.head(_MOST_HOLDERS), labels),
        "charts": charts,
    }
    scripts = [inline_script(runtime()), inline_script(template_text("report.js"))]
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            title=title or labels.codebook.target.name,
            generated=generated,
            codebook=labels.codebook,
            model=labels.manifest["model_id"],
            counts=row_counts(labels),
            colours=stance_colours(labels.codebook),
            css=inline_style("report.css"),
            scripts=scripts,
            hashes=" ".join(script_hash(script) for script in scripts),
            data=inline_json(data),
            **names,
            charts=charts,
            tables=_count_tables(labels),
            holders=len(holders),
            holders_shown=min(len(holders), _MOST_HOLDERS),
            unnamed=len(frame) - int(holders["n"].sum()),
            types_known=bool(frame["holder_type"].notna().any()),
            undated=undated,
            year_only=_not_drawn(charts["time"], len(frame) - undated),
            shown=shown,
            dropped=_dropped(labels),
            clutter=labels.manifest.get("clutter", {}),
            skipped=len(labels.manifest.get("skipped", [])),
            evaluation=evaluation,
            quality=quality,
        )
    )


def _statements(frame: pd.DataFrame, holders: pd.DataFrame, labels: Labels) -> tuple[dict[str, Any], int]:
    """Return documents, names and statements as index lists, as many as the page carries, and how many these are."""
    codebook = labels.codebook
    group = {holder_key(name): i for i, name in enumerate(holders["holder"])}
    stance, concern = _index(codebook.stance_ids), _index(codebook.concern_ids)
    kind = _index((*codebook.holder_type_ids, UNKNOWN))
    documents: dict[tuple[str | None, ...], int] = {}
    names: dict[tuple[str, str], int] = {}  # as shown, and the key of the position that it stands for
    rows: list[list[Any]] = []
    size = 0
    for row in frame.head(_MOST_STATEMENTS).to_dict("records"):
        document = (*(_text(row[field]) for field in ("title", "publisher")), _date(row["published"]), *_link(row["url"]))
        name = _shown_holder(row["holder"], row["holder_name"])
        value = [
            documents.get(document, len(documents)),
            _text(row["text"]) or "",
            -1 if name is None else names.get(name, len(names)),
            kind[_text(row["holder_type"]) or UNKNOWN],
            stance[row["stance"]],
            _share(row["confidence"]),
            sorted(concern[label] for label in set(row["concerns"])),
        ]
        fresh = [part for part, known in ((document, documents), (name, names)) if part is not None and part not in known]
        size += len(inline_json([value, *fresh]).encode("utf-8"))
        if rows and size > _MOST_BYTES:
            break
        documents.setdefault(document, len(documents))
        if name is not None:
            names.setdefault(name, len(names))
        rows.append(value)
    table = {
        "documents": list(documents),
        "names": [[name, group[key]] for name, key in names],
        "statements": rows,
    }
    return table, len(rows)


def _shown_holder(holder: object, fuller: object) -> tuple[str, str] | None:
    """Return a holder as written, with the fuller name behind it if there is one, and the fuller name's key."""
    written, key = spelling(holder), holder_key(fuller)
    if written is None or key is None:
        return None
    return written if holder_key(written) == key else f"{written} ({spelling(fuller)})", key


def _positions(holders: pd.DataFrame, labels: Labels) -> list[list[Any]]:
    kind = _index((*labels.codebook.holder_type_ids, UNKNOWN))
    return [
        [
            row["holder"],
            kind[_text(row["holder_type"]) or UNKNOWN],
            row["n"],
            [row[stance] for stance in labels.codebook.stance_ids],
            row["documents"],
            _text(row["first"]),
            _text(row["last"]),
        ]
        for row in holders.to_dict("records")
    ]


def _count_tables(labels: Labels) -> dict[str, _Table]:
    codebook = labels.codebook
    types = display_names(codebook.holder_types) | {UNKNOWN: UNKNOWN_NAME}
    colours = stance_colours(codebook)

    def table(title: str, first: str, counts: pd.DataFrame, names: dict[str, str]) -> _Table:
        rows = [
            [names.get(row[first], row[first]), *(row[colour.id] for colour in colours), row["n"]]
            for row in counts.to_dict("records")
        ]
        return _Table([title, *(colour.name for colour in colours), "All"], rows)

    return {
        "balance": table("Holder", "holder_type", stance_by_holder_type(labels), types),
        "time": table("Published", "month", stance_by_month(labels), {UNDATED: "No date"}),
        "concern": table("Concern", "concern", concerns_by_stance(labels), display_names(codebook.concerns)),
    }


def _not_drawn(chart: dict[str, Any] | None, dated: int) -> int:
    """Return how many dated statements a chart of months leaves out, because the year alone is known."""
    if chart is None:
        return 0
    drawn: int = sum(value["count"] for values in chart["datasets"].values() for value in values)
    return dated - drawn


def _dropped(labels: Labels) -> list[tuple[str, int]]:
    """Return reasons and numbers of the invalid rows, most first."""
    invalid = labels.frame[labels.frame["status"] == "invalid"]
    reasons = labels.manifest.get("reasons", {})  # like reasons put together by the label job
    if sum(reasons.values()) != len(invalid):
        reasons = invalid["reason"].fillna("no reason given").value_counts(sort=False).to_dict()
    return sorted(((str(reason), int(n)) for reason, n in reasons.items()), key=lambda item: (-item[1], item[0]))


def _link(url: object) -> tuple[str | None, str | None]:
    """Return (address to link to, None) for http(s), (None, text to show) for any other source."""
    return (web_link(url), None) if web_link(url) else (None, _text(url))


def _date(published: object) -> str | None:
    return iso_date(published) or _text(published)


def _text(value: object) -> str | None:
    """Return a cell's text; pandas has NaN where there is none."""
    return value if isinstance(value, str) and value else None


def _share(value: float) -> float | None:
    return round(value, 3) if 0 <= value <= 1 else None  # NaN is neither


def _index(names: Iterable[str]) -> dict[str, int]:
    index: dict[str, int] = {}
    for place, name in enumerate(names):
        index.setdefault(name, place)
    return index
