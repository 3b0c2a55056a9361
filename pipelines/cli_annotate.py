"""The commands of the annotation room: declare arguments, call a job, print what came of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.cli_adjudicate import adjudicate, recode, status
from pipelines.cli_agreement import agreement, gold
from pipelines.cli_audit import audit
from pipelines.cli_collect import workspace_option
from pipelines.cli_serve import serve
from pipelines.terminal import FOLDER, now, quiet_option, say_to

if TYPE_CHECKING:
    from annotation.exchange import PullReport

_ROUND = "Round 1"  # as pipelines.campaign has it, which is too heavy to import for --help
_STRATEGIES = ("random", "uncertain", "diverse", "balanced")  # as annotation.sampling has them
_LISTED = 20  # answers named one by one, a project


@click.group()
def annotate() -> None:
    """Coding in Label Studio: sample and push statements, pull answers, agreement, adjudication, gold.

    The server is the workspace's own (`annotate serve`), or the one that LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY name.
    """


@annotate.command()
@click.argument("source", type=FOLDER, required=False)
@workspace_option
@click.option("--coders", help="One project each: anna,ben, or with the e-mail they sign in with: anna=anna@ngo.org.")
@click.option("--n", type=click.IntRange(0), default=200, show_default=True, help="Statements to draw, beside the audit.")
@click.option("--overlap", type=click.IntRange(0), default=None, help="Of these, coded by everybody; default: a third.")
@click.option("--strategy", type=click.Choice(_STRATEGIES), default=_STRATEGIES[0], show_default=True)
@click.option("--by", default=None, help="Trait of strata or balance: publisher, kind, month, or stance (with --model).")
@click.option("--audit", type=click.IntRange(0), default=0, show_default=True, help="Size of a probability sample on top.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed draws other statements.")
@click.option("--round", "name", default=_ROUND, show_default=True, help="What this round of coding is called.")
@click.option("--model", type=FOLDER, default=None, help="Bundle that uncertainty, strata or suggestions come from.")
@click.option("--assisted", is_flag=True, help="Show the model's suggestions; such labels are flagged and never gold.")
@click.option("--show-publisher", is_flag=True, help="Let coders see the publisher.")
@click.option("--project", default=None, help="Instead of a campaign: put all of SOURCE into the project of this title.")
@click.option("--codebook", type=FOLDER, default=None, help="With --project: codebook file; default: the shipped one.")
@quiet_option
def push(
    source: Path | None,
    workspace: Path,
    coders: str | None,
    n: int,
    overlap: int | None,
    strategy: str,
    by: str | None,
    audit: int,
    seed: int,
    name: str,
    model: Path | None,
    assisted: bool,
    show_publisher: bool,
    project: str | None,
    codebook: Path | None,
    quiet: bool,
) -> None:
    """Draw statements and put them before coders, each in a project of their own; push again to finish what broke off.

    Statements come from the workspace's corpus, or from SOURCE: a folder of documents, or a queue of abstentions that
    `label` wrote.

    Example: treaty-stance annotate push --coders anna,ben --n 200 --overlap 60 --audit 100
    """
    if (project is None) == (coders is None):
        raise click.UsageError("give --coders for a campaign, or --project to fill one project by its title; one of them")
    if project is not None:
        if source is None:
            raise click.UsageError("--project needs SOURCE: a folder of documents, or a queue that `label` wrote")
        _push_all(source, project, workspace, codebook, quiet)
        return
    if codebook is not None:
        raise click.UsageError("--codebook goes with --project; a campaign uses the workspace's codebook.yaml")
    from pipelines.campaign import Order, push_campaign, read_coders
    from pipelines.draw import Request

    names = read_coders(coders or "")
    shared = (0 if len(names) == 1 else n // 3) if overlap is None else overlap
    request = Request(round=name, coders=tuple(names), n=n, overlap=shared, strategy=strategy, seed=seed, audit=audit, by=by)
    order = Order(request, names, model=model, assisted=assisted, show_publisher=show_publisher, source=source)
    result = push_campaign(workspace, order, at=now(), environ=os.environ)
    say = say_to(quiet)
    for note in result.notes:
        say(note)
    draw = result.draw
    if result.known:
        say("this draw was pushed before: nothing new was drawn, what was missing was put in; another --seed draws more")
    else:
        say(f"drawn from {draw.frame} statements: {draw.strategy}, seed {draw.seed}; audit sample of {result.audit}")
        for reason, number in draw.left_out.items():
            say(f"  {number} statements left out: {reason}")
    for coder, (found, pushed) in result.projects.items():
        say(f"{coder}: {pushed.added} statements added, {pushed.present} there before; project {found.title!r}")
        for problem in pushed.problems:
            say(f"  {problem}")


def _push_all(source: Path, project: str, workspace: Path, codebook: Path | None, quiet: bool) -> None:
    from annotation.codebook import load_codebook
    from pipelines.annotate import FolderPush, QueuePush, push_folder, push_queue

    job = push_queue if source.is_file() else push_folder
    result: FolderPush | QueuePush = job(source, project=project, codebook=load_codebook(codebook), workspace=workspace)
    read = f"{result.statements} statements in the queue"
    if isinstance(result, FolderPush):
        read = f"{result.documents} documents read, {result.passed_over} other files passed over"
    say = say_to(quiet)
    say(f"project {project!r}: {result.push.added} statements added, {result.push.present} there before; {read}")
    for problem in result.problems:
        say(f"  not pushed: {problem}")


@annotate.command()
@workspace_option
@click.option("--round", "name", default=None, help="Only the projects of this round.")
@click.option("--full", is_flag=True, help="Compare every answer, not only newer ones.")
@click.option("--coders", default=None, help="Whose answers count: anna=anna@ngo.org,ben=… where names do not tell.")
@click.option("--project", default=None, help="Instead of a campaign: read the project of this title.")
@click.option("--output", type=FOLDER, default=None, help="JSON Lines file for the annotations.")
@click.option("--codebook", type=FOLDER, default=None, help="With --project: codebook file; default: the shipped one.")
@quiet_option
def pull(
    workspace: Path,
    name: str | None,
    full: bool,
    coders: str | None,
    project: str | None,
    output: Path | None,
    codebook: Path | None,
    quiet: bool,
) -> None:
    """Read what coders answered since the last pull into the workspace; what gives no annotation is counted and named.

    Example: treaty-stance annotate pull
    """
    say = say_to(quiet)
    if project is not None:
        from annotation.codebook import load_codebook
        from pipelines.annotate import pull_project

        if output is None:
            raise click.UsageError("--project needs --output: a file for the annotations")
        result = pull_project(project, output, codebook=load_codebook(codebook), workspace=workspace)
        say(f"{output}: {result.annotations} annotations from {result.tasks} tasks, {result.unanswered} not yet coded")
        for refusal in result.refusals:
            say(f"  {refusal.state}: {refusal.reason} ({refusal.source})")
        return
    from pipelines.campaign import pull_campaign, read_coders

    reports = pull_campaign(
        workspace,
        at=now(),
        environ=os.environ,
        round=name,
        full=full,
        coders=read_coders(coders) if coders else None,
        export=output,
    )
    for report in reports:
        _say_pull(report, say)


def _say_pull(report: PullReport, say: Callable[[str], None]) -> None:
    counts = ", ".join(f"{n} {state}" for state, n in report.counts.items()) or "no answer yet"
    say(
        f"{report.project.title}: {counts}; {report.unanswered} of {report.tasks} statements open; since the last pull "
        f"{report.new} new, {report.changed} changed, {report.gone} gone"
    )
    for answer in report.listed[:_LISTED]:
        say(f"  {answer.state}: {answer.reason} (answer {answer.number} to task {answer.task})")
    if len(report.listed) > _LISTED:
        say(f"  and {len(report.listed) - _LISTED} more")
    for problem in report.problems:
        say(f"  {problem}")


for command in (serve, status, agreement, adjudicate, gold, recode, audit):
    annotate.add_command(command)
