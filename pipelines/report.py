"""The report: labels of a coverage made into corrected shares, tables, files and one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from corpus.errors import RecordError, UsageError
from corpus.files import read_json, write_text
from corpus.sources import Project, load_project
from pipelines.audit_sample import AuditSample, read_audit, workspace_audit
from pipelines.coverage import Coverage, read_coverage
from pipelines.events import Event, read_events
from pipelines.labels import Labels, read_labels
from pipelines.manifest import NAME as MANIFEST
from pipelines.manifest import describe_file, describe_output, write_manifest

if TYPE_CHECKING:
    import pandas as pd

    from models.evaluation import Evaluation
    from pipelines.drift import Embed
    from pipelines.monitoring import Comparison
    from pipelines.shares import Shares

PAGE = "report.html"
_EVALUATION_FORMATS = (1, 2)


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report says.

    ``tables`` are data frames by name (:mod:`pipelines.table_schema` tells their columns). ``agreement`` is that of the
    workspace's coders on the stance, ``comparison`` what changed since an earlier run; each is None where there is none.
    ``notes`` are sentences that a reader must not miss. ``generated`` is a day, ISO 8601; ``quality`` the name of an
    evaluation page beside the report.
    """

    coverage: Coverage
    tables: dict[str, pd.DataFrame]
    shares: Shares
    audit: AuditSample | None
    evaluation: Evaluation | None
    events: tuple[Event, ...]
    agreement: dict[str, Any] | None
    comparison: Comparison | None
    notes: tuple[str, ...]
    generated: str
    title: str
    quality: str | None
    inputs: tuple[dict[str, object], ...] = ()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest of the labels."""
        return self.coverage.labels.manifest


def make_report(
    labels: Path | str,
    *,
    workspace: Path | str | Project | None = None,
    columns: Path | str | None = None,
    audit: Path | str | None = None,
    evaluation: Path | str | None = None,
    aliases: Sequence[Path | str] = (),
    against: Path | str | None = None,
    old_audit: Path | str | None = None,
    embeddings: bool = False,
    title: str | None = None,
    generated: str = "",
    quality: str | None = None,
    seed: int = 0,
) -> Report:
    """Read labels and make every table of the report; nothing is written.

    Args:
        labels: A folder of labels, or one of a workspace's numbered runs with one bundle.
        workspace: Whose corpus tells of the documents (stories, kinds, contexts), whose campaign has the audit sample, and
            whose `project.toml` the events.
        columns: A table with further columns to give shares by, joined by ``id``, ``document_id`` or ``url``.
        audit: An audit sample in a file, instead of the workspace's.
        evaluation: Figures that ``evaluate --output`` wrote of the bundle that made the labels.
        aliases: Files with holders' names, beside the shipped and the workspace's own.
        against: Labels of an earlier run to compare with.
        old_audit: The audit sample of that run; default: ``audit``.
        embeddings: Whether the texts of the two runs are compared by the packaged encoder's embeddings, too; half a minute.
        title: Of the page; default: the target's name.
        generated: The day, ISO 8601.
        quality: Name of an evaluation page beside the report.
        seed: Of resampling where a method needs some.

    Raises:
        UsageError: when a file or folder does not exist, or two things do not go together.
        RecordError: when a file is damaged, or is of another model or codebook.
        CodebookError: when labels do not follow the codebook.
    """
    from pipelines.report_tables import build_tables, comparison_tables
    from pipelines.shares import estimate_shares

    project = workspace if isinstance(workspace, Project) or workspace is None else load_project(Path(workspace))
    names = tuple(Path(path) for path in aliases)
    read = read_labels(Path(labels))
    coverage = read_coverage(read, workspace=project, columns=_path(columns), aliases=names)
    sample = _audit(_path(audit), project, read)
    metrics = None if evaluation is None else read_evaluation(Path(evaluation), model_id=read.manifest["model_id"])
    comparison = None
    if against is not None:
        from pipelines.monitoring import compare

        old = read_coverage(read_labels(Path(against)), workspace=project, columns=_path(columns), aliases=names)
        before = read_audit(Path(old_audit), read.codebook) if old_audit is not None else sample
        comparison = compare(
            old,
            coverage,
            old_audit=before,
            new_audit=sample,
            evaluation=metrics,
            seed=seed,
            embed=_embed() if embeddings else None,
        )
    # Where only new statements were audited, the old sample goes on speaking for the old ones.
    speaking = sample if comparison is None or comparison.audit is None else comparison.audit
    shares = estimate_shares(coverage, speaking, metrics)
    tables = build_tables(coverage, shares, speaking, aliases=coverage.names)
    notes = list(shares.notes)
    if comparison is not None:
        tables, shares = _withdrawn(tables, shares, comparison)
        tables |= comparison_tables(comparison, read.codebook)
        notes = [*comparison.withdrawn, *comparison.notes, *notes]
    given = [(name, _path(path)) for name, path in (("columns", columns), ("audit", audit), ("evaluation", evaluation))]
    return Report(
        coverage=coverage,
        tables=tables,
        shares=shares,
        audit=speaking,
        evaluation=metrics,
        events=() if project is None else read_events(project),
        agreement=None if project is None else _agreement(project, read),
        comparison=comparison,
        notes=tuple(notes),
        generated=generated,
        title=title or read.codebook.target.name,
        quality=quality,
        inputs=(
            *({**describe_file(path / MANIFEST), "role": "labels"} for path in _runs(Path(labels))),
            *({**describe_file(path), "role": name} for name, path in given if path is not None),
        ),
    )


def write_report(report: Report, output: Path, *, created: str | None = None, bom: bool = False) -> list[Path]:
    """Write the tables in every form, the page and a manifest into a folder, and return the paths.

    Args:
        report: What :func:`make_report` returned.
        output: The folder, made if need be; files of these names in it are replaced.
        created: Time for the manifest (ISO 8601); default: the report's day.
        bom: Begin CSV files with a byte order mark, by which Excel knows them for UTF-8.

    Raises:
        UsageError: when the folder cannot be written to.
    """
    from pipelines.report_page import render_page
    from pipelines.table_files import write_files

    check_output(output)
    written = write_files(
        report.tables,
        output,
        codebook=report.coverage.labels.codebook,
        bom=bom,
        about=about(report),
        created=datetime.fromisoformat(report.generated) if report.generated else None,
    )
    write_text(output / PAGE, render_page(report))
    written.append(output / PAGE)
    rows = {name: len(table) for name, table in report.tables.items()}
    manifest = output / MANIFEST
    write_manifest(
        manifest,
        command="report",
        inputs=report.inputs,
        created=created or report.generated,
        model_id=report.manifest["model_id"],
        codebook_id=report.manifest["codebook_id"],
        rows=rows,
        notes=list(report.notes),
        outputs=[describe_output(path, folder=output, rows=rows.get(path.stem)) for path in written],
    )
    return [*written, manifest]


def check_output(output: Path) -> None:
    """Refuse an output that is a file.

    Raises:
        UsageError: when it is.
    """
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output}: expected a folder, found a file; choose another output")


def about(report: Report) -> list[tuple[str, str]]:
    """Return what a reader of the tables alone must know, as pairs of a word and a sentence."""
    labels = report.coverage.labels
    audit = report.audit
    return [
        ("Report", report.title),
        ("Made on", report.generated),
        ("Codebook", str(report.manifest["codebook_id"])),
        ("Model", str(report.manifest["model_id"])),
        (
            "Statements",
            f"{len(report.coverage.frame):,} with labels, {len(labels.frame) - len(report.coverage.frame):,} without",
        ),
        ("Audit sample", "none" if audit is None else f"{len(audit.frame)} statements with gold ({audit.source})"),
        *(("Note", note) for note in report.notes),
    ]


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


def _withdrawn(
    tables: dict[str, pd.DataFrame], shares: Shares, comparison: Comparison
) -> tuple[dict[str, pd.DataFrame], Shares]:
    """Take out the shares that no longer hold, from the tables and from what the page draws."""
    from pipelines.monitoring import withdraw, withdrawn_cells

    def kept(table: pd.DataFrame) -> pd.DataFrame:
        return withdraw(table, withdrawn_cells(comparison, table), comparison.stale)

    names = ("shares", "trend", "concerns", "differences")
    return (
        tables | {name: kept(tables[name]) for name in names},
        replace(shares, **{name: kept(getattr(shares, name)) for name in names}),
    )


def _embed() -> Embed:
    """Return what turns texts into vectors by the packaged encoder."""
    from models.embedding import embedder
    from models.passage import Passage
    from models.recipe import PACKAGED

    embed = embedder(PACKAGED)
    return lambda texts: embed([Passage(text) for text in texts])


def _path(value: Path | str | None) -> Path | None:
    return None if value is None else Path(value)


def _runs(labels: Path) -> list[Path]:
    from pipelines.label_runs import complete_runs

    return [labels] if (labels / MANIFEST).is_file() else complete_runs(labels)


def _audit(path: Path | None, project: Project | None, labels: Labels) -> AuditSample | None:
    if path is not None:
        return read_audit(path, labels.codebook)
    if project is None:
        return None
    return workspace_audit(project, labels.codebook, model_id=labels.manifest["model_id"])


def _agreement(project: Project, labels: Labels) -> dict[str, Any] | None:
    """Return how far the workspace's coders agree on the stance under the labels' codebook; None where nobody can tell."""
    from pipelines.agreement import workspace_agreement

    try:
        versions = workspace_agreement(project.root)
    except UsageError:  # no campaign, or no statement that two have read
        return None
    for version in versions:
        measured = version.agreement
        if measured.codebook_version == labels.codebook.id and measured.questions:
            whole = measured.questions[0].whole
            figure = whole.alpha
            return {
                "coders": len(measured.coders),
                "statements": measured.statements,
                "alpha": figure.value,
                "low": figure.low,
                "high": figure.high,
            }
    return None
