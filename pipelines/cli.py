"""The command line: declares arguments, calls a job, prints what came of it. Nothing heavy is imported before a job runs."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipelines.cli_annotate import annotate
from pipelines.cli_collect import collect, corpus, init
from pipelines.cli_label import label
from pipelines.cli_report import report
from pipelines.terminal import FOLDER, F, TrainingBar, hush_extractors, quiet_option, say_to, set_threads, today

if TYPE_CHECKING:
    from models.training import Recipe


_METHODS = ("auto", "fine-tune", "frozen")  # as pipelines.selection has them, which is too heavy to import for --help
_DEVICES = ("cpu", "cuda")  # as models.device has them
_DEVICE_HELP = "Where to fine-tune; cuda is a GPU, for larger encoders."
_RATE_HELP = "Of the encoder's uppermost layer; default: 3e-4, for the packaged one. Larger ones want half of that or less."
_RECIPE_HELP = "How to learn: frozen fits regressions on the encoder as it is; auto tries the ways where labels are few."
_SPLIT_HELP = "Parts at random, or test on the latest publications; documents that belong together stay together."
_WORKSPACE_HELP = "A workspace whose gold it is; default: the one you are in, if any."
_WARM_HELP = "Outside stance data (JSON Lines with text, target, label) to fine-tune the encoder on first."

_UNLABELLED_HELP = "Statements without labels (a table as `label` reads it) to learn as the teacher sees them."


def _training_options(command: F) -> F:
    options = (
        click.option("--encoder", default=None, help="A Hugging Face folder or name; default: the packaged MiniLM."),
        click.option("--epochs", type=click.IntRange(1), default=None, help="At most so many passes over the data."),
        click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=None, help=_RATE_HELP),
        click.option("--seed", type=int, default=0, show_default=True, help="Of weights and order of batches."),
        click.option("--threads", type=click.IntRange(1), default=None, help="Processor threads; default: all cores."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="treaty-stance", prog_name="treaty-stance")
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
def cli(debug: bool) -> None:
    """Who holds which position on a treaty, and why: annotate, learn, label, read.

    Try it: treaty-stance demo --output demo
    """


@cli.command()
@click.option("--output", type=FOLDER, default=Path("demo"), show_default=True, help="Folder for everything it makes.")
@click.option("--input", "extra", type=FOLDER, multiple=True, help="A file or folder of your own to label as well.")
@_training_options
@quiet_option
def demo(output: Path, extra: tuple[Path, ...], quiet: bool, **training: Any) -> None:
    """Run the whole road on the reference corpus: train, measure, label unseen coverage, tables and report page.

    Example: treaty-stance demo --output demo --input my-articles/
    """
    from pipelines.demo import demo as run

    say = say_to(quiet)
    with TrainingBar(quiet) as listener:
        result = run(
            output,
            _recipe(**training),
            created=today(),
            extra=extra,
            listener=listener,
            say=say,
            quiet=quiet,
        )
    say("")
    say(f"Report:  {result.report}   (open it in a browser)")
    say(f"Quality: {result.page}   (how good the labels are)")
    say(f"Labels:  {result.labels}/labels-*.parquet and labels.csv")
    say(f"Tables:  {result.report.parent}/*.csv, *.parquet, tables.xlsx and tables.duckdb")
    if result.yours is not None:
        say(f"Yours:   {result.yours}")
    say(f"Bundle:  {result.bundle}   (use it: treaty-stance label FILE --model {result.bundle} --output labels)")


@cli.command()
@click.option("--workspace", type=FOLDER, default=None, help=_WORKSPACE_HELP)
@click.option("--output", type=FOLDER, default=None, help="Folder of the bundle; default: bundle, or bundles/DATE there.")
@click.option(
    "--corpus",
    type=FOLDER,
    default=None,
    help="Labelled statements; default: the workspace's gold, or the reference corpus.",
)
@click.option("--codebook", type=FOLDER, default=None, help="Codebook file; default: the workspace's, or the shipped one.")
@click.option("--split", type=click.Choice(["grouped", "time"]), default="grouped", show_default=True, help=_SPLIT_HELP)
@click.option("--split-seed", type=int, default=None, help="Of a grouped split into parts; default: 0.")
@click.option("--recipe", "method", type=click.Choice(_METHODS), default=_METHODS[0], show_default=True, help=_RECIPE_HELP)
@click.option("--warm-start", type=FOLDER, multiple=True, help=_WARM_HELP)
@click.option("--teacher", type=FOLDER, multiple=True, help="A bundle whose probabilities to learn from as well.")
@click.option("--unlabelled", type=FOLDER, multiple=True, help=_UNLABELLED_HELP)
@click.option("--device", type=click.Choice(_DEVICES), default=_DEVICES[0], show_default=True, help=_DEVICE_HELP)
@_training_options
@quiet_option
def train(
    workspace: Path | None,
    output: Path | None,
    corpus: Path | None,
    codebook: Path | None,
    split: Any,
    split_seed: int | None,
    method: str,
    warm_start: tuple[Path, ...],
    teacher: tuple[Path, ...],
    unlabelled: tuple[Path, ...],
    device: str,
    quiet: bool,
    **training: Any,
) -> None:
    """Train on labelled statements and write a bundle.

    In a workspace, or with --workspace, it learns from the gold that the campaign there has settled. CORPUS is a folder with
    documents.jsonl, annotations.jsonl and gold.jsonl, or one JSON Lines file with text, stance and concerns on each line.

    Example: treaty-stance train --workspace hanoi
    """
    from pipelines.training import TrainJob
    from pipelines.training import train as run
    from pipelines.workspace import bundle_folder, find_workspace

    say = say_to(quiet)
    if split == "time" and split_seed is not None:
        raise click.UsageError("--split-seed: a split by time draws nothing at random; leave it out")
    if corpus is not None and workspace is not None:
        raise click.UsageError("--corpus and --workspace name two sets of labels; leave one of them out")
    project = None if corpus is not None else find_workspace(workspace)
    job = TrainJob(
        output=output or (Path("bundle") if project is None else bundle_folder(project, today())),
        corpus=corpus,
        workspace=project,
        codebook=codebook,
        split=split,
        split_seed=split_seed or 0,
        method=method,
        warm_start=warm_start,
        teachers=teacher,
        unlabelled=unlabelled,
        device=device,
    )
    with TrainingBar(quiet) as listener:
        result = run(job, _recipe(**training), created=today(), listener=listener, say=say)
    best = result.trained.history[result.trained.best_epoch - 1]
    say(
        f"{result.folder}: bundle {result.model_id}, {result.selection.chosen}, epoch {result.trained.best_epoch}; on "
        f"development data stance macro-F1 {best['stance_macro_f1']:.2f}, concern macro-F1 {best['concern_macro_f1']:.2f}"
    )


@cli.command()
@click.argument("bundle", type=FOLDER)
@click.option("--input", "inputs", type=FOLDER, default=None, help="Other labelled statements to measure it on.")
@click.option(
    "--corpus",
    type=FOLDER,
    default=None,
    help="What it was trained on; default: the workspace's gold, if it was that, or the reference corpus.",
)
@click.option("--workspace", type=FOLDER, default=None, help="Whose gold it was trained on; default: the one it lies in.")
@click.option("--part", type=click.Choice(["test", "development"]), default="test", show_default=True)
@click.option("--output", type=FOLDER, default=None, help="JSON file for the figures; default: none is written.")
@click.option("--page", type=FOLDER, default=None, help="HTML file for the figures, charts and mistakes; default: none.")
@click.option("--against", type=FOLDER, default=None, help="Another bundle, to compare statement by statement.")
@click.option("--spread", type=FOLDER, multiple=True, help="A bundle of another seed, to tell how far seeds lie apart.")
@click.option("--resamples", type=click.IntRange(100), default=2000, show_default=True, help="Of the bootstrap.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Processor threads; default: all cores.")
@quiet_option
def evaluate(
    bundle: Path,
    inputs: Path | None,
    corpus: Path | None,
    workspace: Path | None,
    part: str,
    output: Path | None,
    page: Path | None,
    against: Path | None,
    spread: tuple[Path, ...],
    resamples: int,
    threads: int | None,
    quiet: bool,
) -> None:
    """Measure a bundle: figures with intervals, beside the linear baseline and the annotators.

    Example: treaty-stance evaluate bundle --output evaluation.json --page evaluation.html
    """
    from models.evaluation import Bootstrap
    from pipelines.evaluation import comparison_table, evaluate_bundle, evaluation_table, spread_table, write_evaluation
    from pipelines.workspace import find_workspace

    if corpus is not None and workspace is not None:
        raise click.UsageError("--corpus and --workspace name two sets of labels; leave one of them out")
    set_threads(threads)
    chosen: Any = part
    evaluation = evaluate_bundle(
        bundle,
        corpus=corpus,
        workspace=None if workspace is None else find_workspace(workspace),
        inputs=inputs,
        part=chosen,
        bootstrap=Bootstrap(resamples=resamples),
        spread=spread,
        against=against,
    )
    if output is not None:
        write_evaluation(output, evaluation)
    if page is not None:
        from pipelines.evaluation_page import write_evaluation_page

        write_evaluation_page(page, evaluation, bundle, generated=today())
    say = say_to(quiet)
    say(evaluation_table(evaluation))
    if evaluation.spread:
        say("\n" + spread_table(evaluation))
    if evaluation.against is not None:
        say("\n" + comparison_table(evaluation.against))


for command in (init, collect, corpus, label, annotate, report):
    cli.add_command(command)


def main() -> None:
    """Run the command line; turn each error into one sentence and an exit code (1 the work failed, 2 wrong usage)."""
    from corpus.errors import TreatyStanceError

    debug = "--debug" in sys.argv[1:2]
    _hush_libraries()
    try:
        code = cli.main(prog_name="treaty-stance", standalone_mode=False)
    except TreatyStanceError as error:
        code = _fail(str(error), error.exit_code, debug)
    except click.exceptions.Abort:
        code = _fail("stopped", 130, debug)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        code = _fail(f"{what}{error.strerror or error}; free space or check permissions, then run it again", 1, debug)
    except Exception as error:  # the last wall: a fault of ours is told in one sentence too
        code = _fail(
            f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}; this is a fault in treaty-stance: "
            "run `treaty-stance --debug …` and report what it prints",
            1,
            debug,
        )
    sys.exit(code or 0)


def _hush_libraries() -> None:
    """Keep libraries from talking to users and to hubs; whoever sets these variables keeps what they set."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    hush_extractors()


def _fail(sentence: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    click.echo(f"Error: {sentence}", err=True)
    return code


def _recipe(
    *, encoder: str | None, epochs: int | None, learning_rate: float | None, seed: int, threads: int | None
) -> Recipe:
    from models.training import Recipe

    set_threads(threads)
    given = {"encoder": encoder, "epochs": epochs, "learning_rate": learning_rate, "seed": seed}
    return Recipe(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
