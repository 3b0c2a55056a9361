"""The commands `agreement` and `gold`: how far coders agree, and what their readings settle."""

from __future__ import annotations

from pathlib import Path

import click

from pipelines.terminal import FOLDER, now, quiet_option, say_to

_workspace = click.option(
    "--workspace", type=FOLDER, default=None, help="The workspace's folder; default: the one you are in."
)
_round = click.option("--round", default=None, help="Of the statements of this round only; default: of all rounds.")


@click.command()
@_workspace
@_round
@click.option(
    "--corpus", type=FOLDER, default=None, help="A corpus folder, each statement read twice, instead of a workspace."
)
@click.option("--codebook", type=FOLDER, default=None, help="The corpus's codebook file; default: the shipped one.")
@click.option("--output", type=FOLDER, default=None, help="A file for all figures as JSON.")
@click.option(
    "--by", type=click.Choice(["tenths", "weeks"]), default="tenths", show_default=True, help="How drift is divided."
)
@click.option("--resamples", type=click.IntRange(min=0), default=1000, show_default=True, help="Resamples of documents.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the resampling.")
def agreement(
    workspace: Path | None,
    round: str | None,
    corpus: Path | None,
    codebook: Path | None,
    output: Path | None,
    by: str,
    resamples: int,
    seed: int,
) -> None:
    """Print how far coders agree: Krippendorff's alpha, raw agreement, Cohen's kappa and F1, per label and pair of coders.

    In a workspace, of its coders, with intervals, who confuses what, where each one leans, and drift. Elsewhere, or with
    --corpus, of the two readings of each statement of a corpus, by default the reference corpus.

    Example: treaty-stance annotate agreement --workspace hanoi --output agreement.json
    """
    from annotation.agreement import agreement_table
    from annotation.codebook import load_codebook
    from annotation.resampling import Resampling
    from corpus.errors import UsageError
    from pipelines.agreement import agreement_lines, aligned, corpus_agreement, workspace_agreement
    from pipelines.workspace import find_workspace

    if workspace is not None and (corpus is not None or codebook is not None):
        raise UsageError("expected --workspace, or --corpus and --codebook, found both; a workspace has its own codebook")
    project = None if corpus is not None or codebook is not None else find_workspace(workspace)
    if project is None:
        if round is not None:
            raise UsageError(f"round {round!r}: expected a workspace that has it, found none; name one with --workspace")
        measured = corpus_agreement(corpus, load_codebook(codebook), output=output)
        click.echo("\n".join(aligned(agreement_table(measured))))
        return
    draw = Resampling(resamples, seed)
    versions = workspace_agreement(
        project.root, round=round, by="weeks" if by == "weeks" else "tenths", draw=draw, output=output
    )
    click.echo("\n\n".join("\n".join(agreement_lines(version)) for version in versions))


@click.command()
@_workspace
@_round
@click.option("--method", default="majority", show_default=True, help="Where coders differ: majority, dawid-skene or mace.")
@click.option(
    "--least", type=click.IntRange(min=1), default=1, show_default=True, help="Blind readings that a statement must have."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the method mace.")
@quiet_option
def gold(workspace: Path | None, round: str | None, method: str, least: int, seed: int, quiet: bool) -> None:
    """Settle what coders and adjudicator said into gold labels, and keep them in the workspace.

    A decision of the adjudicator wins over votes; a tie stays open, and `annotate adjudicate push` takes it to the
    adjudicator. Readings made with a model's suggestion in sight do not vote.

    Example: treaty-stance annotate gold --workspace hanoi
    """
    from pipelines.agreement import settle_workspace
    from pipelines.workspace import workspace_codebook

    folder = workspace or Path()
    results = settle_workspace(folder, at=now(), round=round, method=method, least=least, seed=seed)
    say = say_to(quiet)
    for r in results:
        how = ", ".join(f"{n} {name}" for name, n in r.settled.items()) or "none"
        written = ", ".join(f"{n} {name}" for name, n in r.written.items())
        say(f"codebook {r.codebook_version}: {sum(r.settled.values())} gold labels ({how}); {written}")
        say(f"  open: {r.left} statements")
        for reason, n in r.open.items():
            say(f"    {n}: {reason}")
        if r.dropped:
            say(f"  no longer gold: {r.dropped} statements that are open now, or whose answers are gone")
        if r.assisted:
            say(f"  not counted: {r.assisted} readings made with a model's suggestion in sight")
    current = workspace_codebook(folder).id
    if current not in {r.codebook_version for r in results}:
        say(
            f"nothing was coded with the workspace's codebook {current}; `treaty-stance annotate recode` carries labels over"
        )
