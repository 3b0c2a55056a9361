"""The commands of the annotation room: declare arguments, call a job, print what came of it."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.terminal import FOLDER, quiet_option, say_to


@click.group()
def annotate() -> None:
    """Coding in Label Studio: push statements, pull annotations, measure agreement.

    The server is named by LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.
    """


@annotate.command()
@click.argument("source", type=FOLDER)
@click.option("--project", required=True, help="Title of the project in Label Studio; made where there is none.")
@click.option("--codebook", type=FOLDER, default=None, help="Codebook file; default: the shipped one.")
@quiet_option
def push(source: Path, project: str, codebook: Path | None, quiet: bool) -> None:
    """Push the statements of SOURCE that the project does not have yet.

    SOURCE is a folder of documents, which are cut into statements, or a queue of abstentions that `label` wrote.

    Example: treaty-stance annotate push articles/ --project "Round 1, Anna"
    """
    from annotation.codebook import load_codebook
    from pipelines.annotate import FolderPush, QueuePush, push_folder, push_queue

    job = push_queue if source.is_file() else push_folder
    result: FolderPush | QueuePush = job(source, project=project, codebook=load_codebook(codebook))
    read = f"{result.statements} statements in the queue"
    if isinstance(result, FolderPush):
        read = f"{result.documents} documents read, {result.passed_over} other files passed over"
    say = say_to(quiet)
    say(f"project {project!r}: {result.push.added} statements added, {result.push.present} there before; {read}")
    for problem in result.problems:
        say(f"  not pushed: {problem}")


@annotate.command()
@click.option("--project", required=True, help="Title of the project in Label Studio.")
@click.option("--output", type=FOLDER, required=True, help="JSON Lines file for the annotations.")
@click.option("--codebook", type=FOLDER, default=None, help="Codebook file; default: the shipped one.")
@quiet_option
def pull(project: str, output: Path, codebook: Path | None, quiet: bool) -> None:
    """Pull the annotations of a project into a JSON Lines file.

    Example: treaty-stance annotate pull --project "Round 1, Anna" --output anna.jsonl
    """
    from annotation.codebook import load_codebook
    from pipelines.annotate import pull_project

    result = pull_project(project, output, codebook=load_codebook(codebook))
    say = say_to(quiet)
    say(f"{output}: {result.annotations} annotations from {result.tasks} tasks, {result.unanswered} not yet coded")
    for refusal in result.refusals:
        say(f"  {refusal.state}: {refusal.reason} ({refusal.source})")


@annotate.command()
@click.option("--corpus", type=FOLDER, default=None, help="Corpus folder; default: the reference corpus.")
@click.option("--codebook", type=FOLDER, default=None, help="Codebook file; default: the shipped one.")
def agreement(corpus: Path | None, codebook: Path | None) -> None:
    """Print how far two readings of the same statements agree: Krippendorff's alpha, raw agreement and F1, per label.

    Example: treaty-stance annotate agreement
    """
    from annotation.agreement import agreement_table, measure_agreement, paired_readings
    from annotation.codebook import load_codebook
    from corpus.reference_corpus import load_reference

    rows = agreement_table(measure_agreement(paired_readings(load_reference(corpus).annotations), load_codebook(codebook)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip())
