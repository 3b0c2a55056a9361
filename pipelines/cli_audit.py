"""The commands of the audit of gold: `audit push`, `audit pull` and `audit report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli_collect import workspace_option
from pipelines.terminal import FOLDER, F, now, quiet_option, say_to, set_threads

if TYPE_CHECKING:
    from models.recipe import Recipe

_round_option = click.option("--round", default="Round 1", show_default=True, help="The round of coding.")


def _model_options(command: F) -> F:
    options = (
        click.option("--encoder", default=None, help="A Hugging Face folder or name; default: the packaged MiniLM."),
        click.option("--seed", type=int, default=0, show_default=True, help="Of folds, controls and their order."),
        click.option("--threads", type=click.IntRange(1), default=None, help="Processor threads; default: all cores."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def audit() -> None:
    """Look for errors in gold: suspected labels go back to coders, blind among controls.

    What they say changes nothing by itself: changed labels become cases for the adjudicator.
    """


@audit.command()
@workspace_option
@_round_option
@click.option("--coders", required=True, help="Who looks again, as anna,ben or anna=anna@ngo.org; best not who coded.")
@click.option("--n", type=click.IntRange(1), default=50, show_default=True, help="Suspected labels to send.")
@click.option("--controls", type=click.IntRange(0), default=50, show_default=True, help="Other labels among them.")
@click.option("--new", "anew", is_flag=True, help="Draw another audit although one is open.")
@_model_options
@quiet_option
def push(workspace: Path, round: str, coders: str, n: int, controls: int, anew: bool, quiet: bool, **model: Any) -> None:
    """Rank the gold labels by suspicion, and send the worst among controls to coders who do not see the label.

    The same command again draws nothing new while answers are missing; it completes what the server lacks.

    Example: treaty-stance annotate audit push --coders carla --n 50 --controls 50
    """
    from annotation.server import find_server
    from corpus.sources import load_project
    from pipelines.campaign import read_coders
    from pipelines.label_errors import AuditRequest, push_audit
    from pipelines.workspace import workspace_client, workspace_codebook

    project, say = load_project(workspace), say_to(quiet)
    find_server(workspace, os.environ)  # the ranking takes minutes; that there is no server is told before it
    request = AuditRequest(coders=read_coders(coders), round=round, n=n, controls=controls, seed=model["seed"])
    result = push_audit(
        project,
        workspace_codebook(workspace),
        request,
        _recipe(**model),
        at=now(),
        client=lambda: workspace_client(workspace, os.environ),
        anew=anew,
        say=say,
    )
    suspects = sum(not r.control for r in result.rechecks)
    kind = "open, completed" if result.known else "sent"
    say(f"audit {result.audit} {kind}: {suspects} suspects and {len(result.rechecks) - suspects} controls")
    for coder, added in result.added.items():
        say(f"  {coder}: {added} statements added; project {result.titles[coder]!r}")
    for note in result.notes:
        say(f"  {note}")


@audit.command()
@workspace_option
@_round_option
@click.option("--coders", default=None, help="E-mails of coders whom the server does not tell apart: anna=anna@ngo.org.")
@click.option("--full", is_flag=True, help="Read every answer again, not only what is newer than the last pull.")
@quiet_option
def pull(workspace: Path, round: str, coders: str | None, full: bool, quiet: bool) -> None:
    """Read the coders' answers; a case is opened for each label that they change.

    Example: treaty-stance annotate audit pull
    """
    from corpus.sources import load_project
    from pipelines.campaign import read_coders
    from pipelines.label_errors import pull_audit
    from pipelines.workspace import workspace_client, workspace_codebook

    project, say = load_project(workspace), say_to(quiet)
    emails = {name: email for name, email in read_coders(coders).items() if email} if coders else {}
    client = workspace_client(workspace, os.environ)
    result = pull_audit(project, workspace_codebook(workspace), client, round=round, at=now(), full=full, emails=emails)
    for report in result.projects:
        say(f"{report.project.title}: {report.new} new answers, {report.changed} changed, {report.unanswered} tasks to do")
        for answer in report.listed:
            say(f"  {answer.state}: {answer.reason} (answer {answer.number} to task {answer.task})")
        for problem in report.problems:
            say(f"  {problem}")
    say(f"{result.answered} answered, {result.unjudged} could not be judged, {result.open} open; {result.cases} new cases")
    if result.settled_before:
        say(f"  {len(result.settled_before)} changed labels were adjudicated before; no case is made of them")


@audit.command()
@workspace_option
@click.option("--audit", "chosen", default=None, help="Its id; default: the newest.")
@click.option("--output", type=FOLDER, default=None, help="JSON file for the figures; default: none is written.")
@click.option("--accept", is_flag=True, help="Take the changed labels into gold without an adjudicator.")
@_model_options
@quiet_option
def report(workspace: Path, chosen: str | None, output: Path | None, accept: bool, quiet: bool, **model: Any) -> None:
    """Say how many suspects and controls changed, and what the changed labels do to the development figures.

    Example: treaty-stance annotate audit report --output audit.json
    """
    from corpus.files import write_json
    from corpus.sources import load_project
    from pipelines.audit_report import accept_audit, report_audit, report_table
    from pipelines.workspace import workspace_codebook

    project, say = load_project(workspace), say_to(quiet)
    codebook = workspace_codebook(workspace)
    found = report_audit(project, codebook, _recipe(**model), audit=chosen, say=say)
    if output is not None:
        write_json(output, found)
    say(report_table(found))
    if accept:
        say(f"{accept_audit(project, codebook, at=now(), audit=found.audit)} changed labels taken into gold")


def _recipe(*, encoder: str | None, seed: int, threads: int | None) -> Recipe:
    from models.recipe import Recipe

    set_threads(threads)
    return Recipe(seed=seed) if encoder is None else Recipe(seed=seed, encoder=encoder)
