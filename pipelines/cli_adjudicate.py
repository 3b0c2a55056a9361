"""The commands of whoever runs a campaign: `adjudicate`, `status` and `recode`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from pipelines.cli_collect import workspace_option
from pipelines.terminal import FOLDER, now, quiet_option, say_to

_ROUND = "Round 1"
_round = click.option("--round", default=_ROUND, show_default=True, help="The round's name.")


@click.group()
def adjudicate() -> None:
    """Settle what coders' votes cannot: push the cases, pull the decisions."""


@adjudicate.command("push")
@workspace_option
@_round
@click.option("--all-differences", is_flag=True, help="Cases also of what coders differ on and a majority settled.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the order in which answers are shown as A and B.")
@quiet_option
def push(workspace: Path, round: str, all_differences: bool, seed: int, quiet: bool) -> None:
    """Put the statements on which blind coders differ, and which no majority settles, into a project for the adjudicator.

    Pull the coders' answers first. A case that was pushed before is not put in again.

    Example: treaty-stance annotate adjudicate push --workspace hanoi
    """
    from pipelines.adjudicate import push_cases

    result = push_cases(workspace, round=round, at=now(), environ=os.environ, seed=seed, all_differences=all_differences)
    say = say_to(quiet)
    say(f"{round}: {result.found} new cases, {result.waiting} open, {result.decided} decided")
    for reason, n in result.reasons.items():
        say(f"  {n}: {reason}")
    if result.project is not None and result.push is not None:
        say(f"project {result.project.title!r}: {result.push.added} cases added, {result.push.present} there before")
        for problem in result.push.problems:
            say(f"  {problem}")
    for statement in result.outdated:
        say(f"  {statement}: coders have changed their answers since; the adjudicator sees those of the time it was opened")


@adjudicate.command("pull")
@workspace_option
@_round
@click.option("--adjudicator", default=None, help="The name that the decisions bear; default: adjudicator.")
@click.option("--full", is_flag=True, help="Compare everything, not only what is newer.")
@quiet_option
def pull(workspace: Path, round: str, adjudicator: str | None, full: bool, quiet: bool) -> None:
    """Read the adjudicator's decisions and close the cases. They win over votes when `annotate gold` settles the labels.

    Example: treaty-stance annotate adjudicate pull --workspace hanoi --adjudicator zoe
    """
    from annotation.adjudication import ADJUDICATOR
    from pipelines.adjudicate import pull_cases

    result = pull_cases(
        workspace, round=round, at=now(), environ=os.environ, adjudicator=adjudicator or ADJUDICATOR, full=full
    )
    say = say_to(quiet)
    say(
        f"{round}: {result.closed} cases closed, {result.changed} decided otherwise than before, {result.reopened} open "
        f"again, {result.waiting} open"
    )
    for cause, n in result.causes.items():
        say(f"  {n}: {cause}")
    for report in result.reports:
        for answer in report.listed:
            say(f"  {answer.state}: {answer.reason} (answer {answer.number}, statement {answer.statement})")
    for problem in result.problems:
        say(f"  {problem}")


@click.command()
@workspace_option
@click.option("--round", default=None, help="One round; default: the whole campaign.")
@click.option("--output", type=FOLDER, default=None, help="Write it as JSON, too.")
@quiet_option
def status(workspace: Path, round: str | None, output: Path | None, quiet: bool) -> None:
    """Show how the campaign stands as of the last pull: each coder's progress and pace, the audit sample, cases, gold.

    Example: treaty-stance annotate status --workspace hanoi --output status.json
    """
    from pipelines.status import campaign_status, status_lines

    say_to(quiet)("\n".join(status_lines(campaign_status(workspace, round=round, output=output))))


@click.command()
@workspace_option
@click.option("--round", required=True, help="Name of the new round.")
@click.option("--from", "source", required=True, help="The round that was coded with an earlier codebook.")
@click.option(
    "--all", "everything", is_flag=True, help="Code all of its statements anew, not only those with changed labels."
)
@quiet_option
def recode(workspace: Path, round: str, source: str, everything: bool, quiet: bool) -> None:
    """Give statements back to their coders whose labels the workspace's codebook has removed or redefined.

    The other statements keep their gold labels, under the new codebook.

    Example: treaty-stance annotate recode --workspace hanoi --round "Round 2" --from "Round 1"
    """
    from pipelines.recode import recode as run

    result = run(workspace, round=round, source=source, at=now(), environ=os.environ, everything=everything)
    say = say_to(quiet)
    for line in result.notes:
        say(line)
    for found in result.used:
        for use in found.uses:
            say(f"  {use.change}: used by {use.readings} readings and {use.gold} gold labels")
    say(f"{len(result.statements)} statements to code anew; {sum(result.carried.values())} gold labels carried over")
    for project, pushed in result.projects.values():
        say(f"project {project.title!r}: {pushed.added} statements added, {pushed.present} there before")
        for problem in pushed.problems:
            say(f"  {problem}")
