"""The command `report`: labels to corrected shares, tables and one page."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.terminal import FOLDER, now, quiet_option, say_to


@click.command()
@click.argument("labels", type=FOLDER, required=False)
@click.option("--output", type=FOLDER, default=None, help="Folder for tables and report.html; default: reports/DATE there.")
@click.option("--workspace", type=FOLDER, default=None, help="A workspace's folder; default: the one you are in, if any.")
@click.option("--audit", type=FOLDER, default=None, help="Audit sample (JSON Lines); default: the workspace's newest.")
@click.option("--evaluation", type=FOLDER, default=None, help="Figures written by `evaluate --output`.")
@click.option("--columns", type=FOLDER, default=None, help="Table with further columns to give shares by.")
@click.option("--aliases", type=FOLDER, multiple=True, help="File with names of holders, beside the shipped ones.")
@click.option("--against", type=FOLDER, default=None, help="Labels of an earlier run, to tell what changed.")
@click.option("--old-audit", type=FOLDER, default=None, help="Audit sample of that run; default: the same.")
@click.option("--embeddings", is_flag=True, help="With --against: compare the texts by the encoder's embeddings, too.")
@click.option("--title", default=None, help="Of the page.")
@click.option("--bom", is_flag=True, help="Begin CSV files with a byte order mark, for Excel.")
@quiet_option
def report(
    labels: Path | None,
    output: Path | None,
    workspace: Path | None,
    audit: Path | None,
    evaluation: Path | None,
    columns: Path | None,
    aliases: tuple[Path, ...],
    against: Path | None,
    old_audit: Path | None,
    embeddings: bool,
    title: str | None,
    bom: bool,
    quiet: bool,
) -> None:
    """Make corrected shares, tables and one self-contained page from labels.

    LABELS is a folder that label wrote. Without it, in a workspace, it is the labels of the bundle that labelled last.

    Example: treaty-stance report labels --output report --audit audit.jsonl --evaluation evaluation.json
    """
    from pipelines.report import check_output, make_report, write_report
    from pipelines.workspace import find_workspace, newest_labels, report_folder

    if old_audit is not None and against is None:
        raise click.UsageError("--old-audit is the audit sample of what --against names; name that too, or leave it out")
    if embeddings and against is None:
        raise click.UsageError("--embeddings belongs to --against, which names what to compare with; name that too")
    project = find_workspace(workspace)
    if labels is None and project is None:
        raise click.UsageError("name a folder of labels, or call it in a workspace (--workspace)")
    if output is None and project is None:
        raise click.UsageError("--output is missing: the folder for tables and page; name one")
    moment = now()
    if project is not None:
        labels = labels or newest_labels(project)
        output = output or report_folder(project, moment[:10])
    assert labels is not None  # noqa: S101 - as is checked above
    assert output is not None  # noqa: S101
    check_output(output)
    made = make_report(
        labels,
        workspace=project,
        columns=columns,
        audit=audit,
        evaluation=evaluation,
        aliases=aliases,
        against=against,
        old_audit=old_audit,
        embeddings=embeddings,
        title=title,
        generated=moment[:10],
    )
    say = say_to(quiet)
    for note in made.notes:
        say(f"Note: {note}")
    say("\n".join(str(path) for path in write_report(made, output, created=moment, bom=bom)))
