"""The evaluation page: one HTML file that says how far a bundle's labels can be trusted, and where they go wrong.

Like the report it loads nothing, and its content security policy allows no script but its own. What comes from the corpus
stands in the markup escaped, and only http and https addresses become links. What an evaluation does not have, such as the
slices in a file of an earlier release, leaves no empty chart behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.codebook import Codebook
from corpus.errors import RecordError
from corpus.files import read_json, write_text
from pipelines.charts import display_names, stance_colours
from pipelines.evaluation_charts import (
    SERIES,
    IntervalRow,
    Series,
    coverage_chart,
    drawn_series,
    interval_chart,
    marked_point,
    reliability_chart,
)
from pipelines.page import inline_json, inline_script, inline_style, page_environment, script_hash, template_text, web_link

if TYPE_CHECKING:
    from models.breakdown import Mistake, Slice
    from models.evaluation import Evaluation, Figure
    from models.metrics import Interval

PAGE = "evaluation.html"
_MEASURES = ("precision", "recall", "f1")
_LOWER_IS_BETTER = ("_ece", "aurc")  # ends of names; such figures share no axis with shares of hits
_DRAWN = "stance_accuracy"  # of a slice's figures the one that keeps its meaning when a label is missing from the slice
_GROUPS = {"stance": "Stances", "concern": "Concerns", "holder_type": "Holder types"}
_DIMENSIONS = {
    "holder_type": "Who holds the position",
    "kind": "Kind of document",
    "length": "Length of the statement",
    "year": "Year of publication",
    "voice": "Voice",
}
_FIRST_MISTAKES = 6
_LEVELS = 10  # shades of the confusion matrix


@dataclass(frozen=True, slots=True)
class _Label:
    """A label's figures by measure."""

    name: str
    support: int
    figures: dict[str, Figure]


@dataclass(frozen=True, slots=True)
class _Group:
    """Labels of one kind, and whose figures they have besides the model's."""

    id: str
    title: str
    labels: list[_Label]
    others: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class _Cell:
    count: int
    share: float | None
    level: int
    right: bool


@dataclass(frozen=True, slots=True)
class _Dimension:
    """Slices along one dimension. A row: the slice, its name, the model's and the baseline's figure under each heading."""

    id: str
    title: str
    headings: list[str]
    rows: list[tuple[Slice, str, list[tuple[Interval | None, Interval | None]]]]
    drawn: str
    baseline: bool


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A mistake as a card shows it."""

    mistake: Mistake
    gold: str
    decided: str
    gold_index: int
    decided_index: int
    shares: list[tuple[int, str, float]]
    missed: list[str]
    invented: list[str]
    link: str | None
    source: str | None


def write_evaluation_page(
    path: Path, evaluation: Evaluation, bundle: Path, *, generated: str, report: str | None = None
) -> None:
    """Write the page of a bundle's evaluation.

    Args:
        path: The HTML file; one of that name is replaced.
        evaluation: The bundle's figures.
        bundle: Folder of the bundle that was measured: codebook, recipe and manifest are read.
        generated: The date of the page, ISO 8601.
        report: Relative address of the report page of the same bundle's labels, to be linked.

    Raises:
        UsageError: when the bundle's files are missing, or the page cannot be written.
        BundleError: when the bundle has no codebook.
        RecordError: when the figures are those of another bundle.
    """
    from models.bundle import MANIFEST, load_bundle_codebook

    manifest = read_json(bundle / MANIFEST)
    found = manifest.get("model_id") if isinstance(manifest, dict) else None
    if found != evaluation.model_id:
        raise RecordError(
            f"{bundle}: this is bundle {found}, but the figures are those of {evaluation.model_id}; "
            "evaluate this bundle, or give the one that was measured"
        )
    page = render_evaluation_page(
        evaluation,
        load_bundle_codebook(bundle),
        manifest=manifest,
        recipe=read_json(bundle / "recipe.json"),
        generated=generated,
        report=report,
    )
    write_text(path, page)


def render_evaluation_page(
    evaluation: Evaluation,
    codebook: Codebook,
    *,
    manifest: Mapping[str, Any],
    recipe: Mapping[str, Any],
    generated: str,
    report: str | None = None,
) -> str:
    """Return the page as HTML. The same arguments give the same text.

    Args:
        evaluation: The figures.
        codebook: Names the labels; its target is the heading.
        manifest: The bundle's: ``created``, ``corpus`` and ``versions`` are shown where they are known.
        recipe: The bundle's: ``encoder`` is shown.
        generated: The date of the page, ISO 8601.
        report: Relative address of a report page to link to.
    """
    from pipelines.charts import runtime

    overall = [figure for figure in evaluation.metrics if figure.label is None]
    groups = _groups(evaluation, codebook)
    dimensions = _dimensions(evaluation, codebook)
    figures = {figure.name: figure for figure in overall}
    accuracy = figures.get("stance_accuracy")
    chart_rows = [IntervalRow(f.title, _figures(f)) for f in overall if not lower_is_better(f.name)]
    charts = {
        "overall": interval_chart(chart_rows),
        "reliability": reliability_chart(
            evaluation.reliability, shown="Confidence in the decided stance", right="Of these right"
        ),
        "concern-reliability": reliability_chart(
            evaluation.concern_reliability, shown="Probability given to a concern", right="Of these raised"
        ),
        "coverage": coverage_chart(evaluation.risk_coverage, annotators=accuracy.annotators if accuracy else None),
    }
    for group in groups:
        rows = [IntervalRow(label.name, _figures(label.figures["f1"])) for label in group.labels if "f1" in label.figures]
        charts[f"labels-{group.id}"] = interval_chart(rows)
    for dimension in dimensions:
        place = dimension.headings.index(dimension.drawn)
        charts[f"slices-{dimension.id}"] = interval_chart(
            [
                IntervalRow(f"{name}, n = {part.statements:,}", dict(zip(("model", "baseline"), pairs[place], strict=True)))
                for part, name, pairs in dimension.rows
            ]
        )
    scripts = [inline_script(runtime()), inline_script(template_text("evaluation.js"))]
    mistakes = _mistakes(evaluation, codebook)
    return (
        page_environment()
        .get_template("evaluation.html.j2")
        .render(
            evaluation=evaluation,
            codebook=codebook,
            manifest=manifest,
            corpus=manifest.get("corpus") or {},
            recipe=recipe,
            generated=generated,
            report=report,
            overall=overall,
            figures=figures,
            lower_is_better=lower_is_better,
            overall_series=drawn_series(chart_rows),
            baseline=any(f.baseline for f in overall),
            annotators=any(f.annotators for f in overall),
            series=SERIES,
            groups=groups,
            confusion=_confusion(evaluation),
            stances=_stance_names(evaluation, codebook),
            marked=marked_point(evaluation.risk_coverage),
            dimensions=dimensions,
            mistakes=mistakes[:_FIRST_MISTAKES],
            more_mistakes=mistakes[_FIRST_MISTAKES:],
            colours=stance_colours(codebook),
            charts=charts,
            css=inline_style("report.css") + "\n" + inline_style("evaluation.css"),
            scripts=scripts,
            hashes=" ".join(map(script_hash, scripts)),
            data=inline_json({"charts": charts}),
        )
    )


def lower_is_better(name: str) -> bool:
    """Tell whether a figure is an error, so that less is better."""
    return name.endswith(_LOWER_IS_BETTER)


def _figures(figure: Figure) -> dict[str, Interval | None]:
    return {"model": figure.model, "baseline": figure.baseline, "annotators": figure.annotators}


def _stance_names(evaluation: Evaluation, codebook: Codebook) -> list[str]:
    names = display_names(codebook.stances)
    return [names.get(stance, stance) for stance in evaluation.stances]


def _groups(evaluation: Evaluation, codebook: Codebook) -> list[_Group]:
    """Return the labels by kind, in the order of the figures, with precision, recall and F1 as far as known."""
    names = {
        "stance": display_names(codebook.stances),
        "concern": display_names(codebook.concerns),
        "holder_type": display_names(codebook.holder_types),
    }
    groups: dict[str, dict[str, _Label]] = {}
    for figure in evaluation.metrics:
        kind, _, measure = figure.name.rpartition("_")
        if figure.label is None or measure not in _MEASURES:
            continue
        name = names.get(kind, {}).get(figure.label, figure.label)
        label = groups.setdefault(kind, {}).setdefault(figure.label, _Label(name, figure.support, {}))
        label.figures[measure] = figure
    found = []
    for kind, labels in groups.items():
        rows = [IntervalRow(label.name, _figures(label.figures["f1"])) for label in labels.values() if "f1" in label.figures]
        others = tuple(series for series in drawn_series(rows) if series.id != "model")
        title = _GROUPS.get(kind, kind.replace("_", " ").capitalize())
        found.append(_Group(kind.replace("_", "-"), title, list(labels.values()), others))
    return found


def _confusion(evaluation: Evaluation) -> list[list[_Cell]]:
    rows = []
    for i, counts in enumerate(evaluation.confusion):
        total = sum(counts)
        shares = [n / total if total else None for n in counts]
        rows.append(
            [
                _Cell(n, share, round((share or 0) * _LEVELS), i == j)
                for j, (n, share) in enumerate(zip(counts, shares, strict=True))
            ]
        )
    return rows


def _dimensions(evaluation: Evaluation, codebook: Codebook) -> list[_Dimension]:
    titles = {figure.name: figure.title for figure in evaluation.metrics if figure.label is None}
    types = display_names(codebook.holder_types)
    found: list[_Dimension] = []
    for dimension in dict.fromkeys(part.dimension for part in evaluation.slices):
        parts = [part for part in evaluation.slices if part.dimension == dimension]
        names = list(dict.fromkeys(figure.name for part in parts for figure in part.figures))
        if not names:
            continue
        rows = []
        for part in parts:
            known = {figure.name: (figure.model, figure.baseline) for figure in part.figures}
            name = types.get(part.value, part.value) if dimension == "holder_type" else part.value
            rows.append((part, _plain(name), [known.get(figure, (None, None)) for figure in names]))
        found.append(
            _Dimension(
                dimension.replace("_", "-"),
                _DIMENSIONS.get(dimension, _plain(dimension)),
                [titles.get(name, _plain(name)) for name in names],
                rows,
                titles.get(drawn := _DRAWN if _DRAWN in names else names[0], _plain(drawn)),
                any(baseline for _, _, pairs in rows for _, baseline in pairs),
            )
        )
    return found


def _mistakes(evaluation: Evaluation, codebook: Codebook) -> list[_Wrong]:
    stances, concerns = display_names(codebook.stances), display_names(codebook.concerns)
    index = {stance: i for i, stance in enumerate(codebook.stance_ids)}
    order = evaluation.stances or codebook.stance_ids
    found = []
    for mistake in evaluation.mistakes:
        link = web_link(mistake.url)
        found.append(
            _Wrong(
                mistake,
                stances.get(mistake.gold, mistake.gold),
                stances.get(mistake.decided, mistake.decided),
                index.get(mistake.gold, 0),
                index.get(mistake.decided, 0),
                [
                    (index.get(stance, 0), stances.get(stance, stance), share)
                    for stance, share in zip(order, mistake.probabilities, strict=False)
                ],
                [concerns.get(c, c) for c in mistake.gold_concerns if c not in mistake.concerns],
                [concerns.get(c, c) for c in mistake.concerns if c not in mistake.gold_concerns],
                link,
                mistake.title or mistake.url,
            )
        )
    return found


def _plain(name: str) -> str:
    """Return an identifier as words; "unknown" as the report calls it."""
    words = name.replace("_", " ")
    return "Not known" if words == "unknown" else words[:1].upper() + words[1:]
