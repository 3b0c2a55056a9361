"""The commands of collection: `init`, `collect` and `corpus`."""

from __future__ import annotations

import contextlib
import datetime
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipelines.terminal import FOLDER, now, quiet_option, say_to

if TYPE_CHECKING:
    from corpus.store import Store
    from pipelines.collect import Collected, Progress

_WORKSPACE_HELP = "The workspace's folder; default: the one you are in."
workspace_option = click.option("--workspace", type=FOLDER, default=Path(), help=_WORKSPACE_HELP)
_COLUMNS = ("fetched", "unchanged", "new", "revised", "copy", "blocked", "empty", "irrelevant", "opted_out", "failed")


@click.command()
@click.argument("folder", type=FOLDER)
@quiet_option
def init(folder: Path, quiet: bool) -> None:
    """Make a workspace: a folder for one treaty, its sources and its corpus.

    Example: treaty-stance init hanoi
    """
    from pipelines.workspace import init_workspace

    written = init_workspace(folder)
    say = say_to(quiet)
    for path in written:
        say(f"wrote {path}")
    say(f"Next: name your sources in {folder / 'project.toml'}, then: treaty-stance collect --workspace {folder}")


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@workspace_option
@click.option("--keep-all", is_flag=True, help="Keep documents that do not name the target, too.")
@click.option("--from-snapshots", is_flag=True, help="Make the corpus anew from the snapshots; nothing is fetched.")
@click.option("--jobs", type=click.IntRange(1), default=None, help="Processes that extract; default: one a core.")
@quiet_option
def collect(
    sources: tuple[str, ...], workspace: Path, keep_all: bool, from_snapshots: bool, jobs: int | None, quiet: bool
) -> None:
    """Fill the workspace's corpus from its sources (all of them, or those named), without losing or doubling anything.

    A run that was stopped is gone on with. Exit code 1: a source failed as a whole.

    Example: treaty-stance collect --workspace hanoi
    """
    from corpus.sources import load_project
    from pipelines.collect import KEPT
    from pipelines.collect import collect as run
    from pipelines.rebuild import rebuild

    if from_snapshots and sources:
        raise click.UsageError("--from-snapshots makes the whole corpus anew; name no sources with it")
    project = load_project(workspace)
    with _progress(quiet) as progress:
        if from_snapshots:
            result = rebuild(project, clock=_clock, keep_all=keep_all, jobs=jobs, progress=progress)
        else:
            result = run(project, sources, clock=_clock, keep_all=keep_all, jobs=jobs, progress=progress)
    say = say_to(quiet)
    say("\n".join(_table(result)) if result.counts else "no address was found; put files into the inbox, or name a source")
    for name, n in result.beyond.items():
        say(f"{name}: at least {n} addresses more were listed than [fetching] max_pages lets in; raise it to fetch them")
    if any(outcome not in KEPT for counts in result.counts.values() for outcome in counts):
        say(f"Addresses that gave no document, with reasons: {result.manifest}")
    for name, reason in result.failed.items():
        click.echo(f"Error: source {name!r} failed as a whole: {reason}", err=True)
    if result.failed:
        sys.exit(1)


@click.group()
def corpus() -> None:
    """Look at the workspace's corpus, or take it elsewhere."""


@corpus.command()
@workspace_option
def stats(workspace: Path) -> None:
    """Print counts by source, month, language, kind and story size.

    Example: treaty-stance corpus stats --workspace hanoi
    """
    from pipelines.corpus_show import stats_lines

    with _store(workspace) as store:
        click.echo("\n".join(stats_lines(store.stats())))


@corpus.command()
@workspace_option
@click.option("--output", type=FOLDER, required=True, help="Folder for documents, statements and locations.")
@click.option("--format", "formats", type=click.Choice(["jsonl", "parquet"]), multiple=True, help="Default: both.")
@quiet_option
def export(workspace: Path, output: Path, formats: tuple[str, ...], quiet: bool) -> None:
    """Write the corpus as JSON Lines and Parquet. `statements` can be labelled as it is.

    Example: treaty-stance corpus export --workspace hanoi --output export
    """
    from pipelines.corpus_export import FORMATS, export_corpus

    with _store(workspace) as store:
        done = export_corpus(store, output, formats=formats or FORMATS, created=now(), database=str(workspace))
    say_to(quiet)(f"{output}: " + ", ".join(f"{n} {table}" for table, n in done.rows.items()))


@corpus.command()
@workspace_option
@click.argument("name", metavar="ID")
def show(workspace: Path, name: str) -> None:
    """Print a document with its statements, locations and the snapshot that it came from.

    ID is a document's or a statement's id, the beginning of one, or an address.

    Example: treaty-stance corpus show 3f2a --workspace hanoi
    """
    from pipelines.corpus_show import document_lines

    with _store(workspace) as store:
        click.echo("\n".join(document_lines(store, name)))


@contextlib.contextmanager
def _store(workspace: Path) -> Iterator[Store]:
    from corpus.sources import load_project
    from pipelines.collect import open_corpus

    with contextlib.closing(open_corpus(load_project(workspace))) as store:
        yield store


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    """Show how many pages were fetched and judged, where standard error is a terminal."""
    from tqdm import tqdm

    from pipelines.collect import Progress

    bar = tqdm(unit=" pages", desc="collecting", disable=True if quiet else None, leave=False)
    counts: dict[str, int] = {}

    def advance(stage: str) -> None:
        counts[stage] = counts.get(stage, 0) + 1
        bar.set_postfix({name: n for name, n in counts.items() if name != "fetched"}, refresh=False)
        bar.update(stage == "fetched")

    try:
        yield Progress(say=say_to(quiet), advance=advance)
    finally:
        bar.close()


def _table(result: Collected) -> list[str]:
    """Return the outcomes by source as lines of a table; `fetched` counts the addresses that gave something."""
    rows = []
    for source, counts in sorted(result.counts.items()):
        fetched = sum(counts.values()) - counts.get("failed", 0)
        rows.append([source, *(str(n) for n in (fetched, *(counts.get(c, 0) for c in _COLUMNS[1:])))])
    if len(rows) > 1:
        rows.append(["all", *(str(sum(int(r[i]) for r in rows)) for i in range(1, len(_COLUMNS) + 1))])
    header = ["source", *(c.replace("_", " ") for c in _COLUMNS)]
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    return [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths, strict=True)))
        for r in [header, *rows]
    ]


def _clock() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
