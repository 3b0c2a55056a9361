"""The command `label`: labels files or a workspace's corpus, and compares labels."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from corpus.errors import BundleError, RecordError, TreatyStanceError, UsageError
from pipelines.terminal import FOLDER, now, quiet_option, say_to

if TYPE_CHECKING:
    from annotation.codebook import Codebook
    from models.passage import Judge, Judgement, Passage
    from models.predictor import Predictor
    from pipelines.engine import Engine
    from pipelines.feed import Feed
    from pipelines.queue import Abstention

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_SETTLED = ("fp32", "int8")  # precisions that are no matter of choice
_ON_GPU = {"precision": "bf16", "runtime": "cuda"}  # as models.predictor says of a GPU
_STOPPING = b"\nfinishing what is under way, then stopping; once more stops at once\n"


class LabelGroup(click.Group):
    """A group whose first word is a command of its own, or else the beginning of what the default command takes."""

    def __init__(self, default: click.Command, **settings: Any) -> None:
        """Take the command that is meant where no other is named."""
        super().__init__(help=default.help, short_help=default.get_short_help_str(80), **settings)
        self._default = default

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Make the context of the command that is meant; click goes on with that one."""
        named = self.commands.get(args[0]) if args else None
        if named is None:
            return self._default.make_context(info_name, args, parent, **extra)
        return named.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that the context was made for; only where the group itself is the program does click ask this."""
        return ctx.command.invoke(ctx)


@click.command(epilog="Compare two folders of labels: treaty-stance label diff A B")
@click.argument("inputs", nargs=-1, metavar="[INPUT]...")
@click.option("--model", type=FOLDER, default=None, help="Bundle, made by train or demo; default: the workspace's newest.")
@click.option("--output", type=FOLDER, default=None, help="Folder for labels-*.parquet and manifest.json.")
@click.option("--resume", is_flag=True, help="Finish a job that was stopped, or repair its result.")
@click.option("--workspace", type=FOLDER, default=None, help="A workspace's folder; default: the one you are in, if any.")
@click.option("--all", "everything", is_flag=True, help="Of the workspace's corpus, what is labelled already as well.")
@click.option("--unit", type=click.Choice(["statement", "document"]), default=None, help="What a row of a table is.")
@click.option("--format", "formats", type=click.Choice(["csv", "jsonl"]), multiple=True, help="Written as well.")
@click.option("--target-accuracy", "target", type=_SHARE, default=None, help="Of stances kept; abstain on the others.")
@click.option("--assurance", type=_SHARE, default=None, help="Reach the target with this probability; default: on average.")
@click.option("--queue", type=FOLDER, default=None, help="File for abstentions; default: queue.jsonl in the output folder.")
@click.option("--queue-size", type=click.IntRange(1), default=None, help="Most statements in the queue; default: 1000.")
@click.option("--precision", type=click.Choice(["fp32", "int8", "auto"]), default="auto", show_default=True)
@click.option("--no-cascade", is_flag=True, help="Give every statement to the encoder, the easy ones too.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Processor threads; default: all cores.")
@click.option("--engine", type=click.Choice(["local", "ray"]), default="local", show_default=True, help="What carries it.")
@click.option("--ray-address", default=None, help="Of a Ray cluster; default: Ray on this machine.")
@click.option("--actors", type=click.IntRange(1), default=None, help="Ray actors that each hold the model.")
@click.option("--gpus", type=click.FloatRange(0), default=None, help="GPUs of each Ray actor; half of one is 0.5.")
@quiet_option
def _label(inputs: tuple[str, ...], quiet: bool, **options: Any) -> None:
    """Label files with a bundle, or what is new in a workspace's corpus.

    INPUTS are JSONL, CSV or Parquet with a column `text` (gzip and zstd too), texts, HTML pages and PDFs, folders of them,
    WARC archives, addresses of such files (s3://, https://), or - for standard input. Without INPUT, in a workspace, it
    labels what no earlier run with this bundle has, into labels/MODEL/NUMBER there.

    Example: treaty-stance label articles/ --model bundle --output labels --format csv
    """
    _check(inputs, options)
    from pipelines.workspace import find_workspace

    needed = not inputs or options["model"] is None or options["workspace"] is not None
    project = find_workspace(options["workspace"]) if needed else None
    if options["model"] is None:
        if project is None:
            raise click.UsageError("--model is missing, and this folder is no workspace with a bundle; name a bundle")
        from pipelines.label_corpus import newest_bundle

        options["model"] = newest_bundle(project)
    if inputs:
        if options["output"] is None:
            raise click.UsageError("--output is missing: the folder that the labels go to; name one")
        _run(inputs, options["output"], quiet, options)
        return
    if project is None:
        raise click.UsageError("name what to label, or call it in a workspace (--workspace) to label its corpus")
    from pipelines.label_corpus import bundle_model_id, corpus_run

    model_id, say = bundle_model_id(options["model"]), say_to(quiet)
    with corpus_run(
        project, model_id, everything=options["everything"], output=options["output"], resume=options["resume"]
    ) as run:
        if run.feed is None and not run.known:
            say(f"{project.root}: nothing to label, the corpus has no statement; collect some first")
        elif run.feed is None:
            say(f"{project.root}: nothing new for {model_id}; its {run.known} statements are labelled, --all does so again")
        else:
            if run.resumed:
                say(f"{run.output}: going on with {run.feed.count()} rows that were begun before")
            else:
                beside = f", {run.known} are labelled already" if run.known else ""
                say(f"{run.output}: {run.feed.count()} rows of {run.feed.documents} documents for {model_id}{beside}")
            done = run.output / "manifest.json"
            before = done.is_file()
            try:
                _run(run.feed, run.output, quiet, options)
            except RecordError as error:
                # Of what is new in a night there may be nothing that can be labelled, and yet the run is finished.
                if before or not done.is_file():
                    raise
                say(str(error))


def _check(inputs: Sequence[str], options: dict[str, Any]) -> None:
    """Refuse options that cannot be meant together."""
    given = {name for name in ("assurance", "queue", "queue_size") if options[name] is not None}
    if given and options["target"] is None:
        raise click.UsageError("--assurance, --queue and --queue-size need --target-accuracy, without which all is decided")
    if options["engine"] == "local" and any(options[name] is not None for name in ("ray_address", "actors", "gpus")):
        raise click.UsageError("--ray-address, --actors and --gpus belong to --engine ray; add that or leave them out")
    if inputs and options["everything"]:
        raise click.UsageError("--all is for a workspace's corpus; inputs that are named are labelled in any case")
    if not inputs and options["unit"] is not None:
        raise click.UsageError("--unit is for tables; the corpus of a workspace has its statements already")


def _run(inputs: Sequence[str] | Feed, output: Path, quiet: bool, options: dict[str, Any]) -> None:
    """Load the bundle, label, and say what came of it."""
    from models.predictor import Predictor
    from pipelines.label import LabelOptions, label
    from pipelines.queue import SIZE, Abstention, abstention_lines

    model, say = options["model"], say_to(quiet)
    predictor = Predictor.load(
        model,
        precision=_precision(options["precision"], output),
        cascade=not options["no_cascade"],
        threads=options["threads"],
    )
    asked: Abstention | None = None
    if options["target"] is not None:
        selection = predictor.select(options["target"], assurance=options["assurance"])
        asked = Abstention(selection, options["queue"], options["queue_size"] or SIZE)
    judge, engine = (predictor, None) if options["engine"] == "local" else _on_ray(predictor, model, options)
    with stopping() as stop:
        result = label(
            inputs,
            judge,
            output,
            created=now(),
            options=LabelOptions(unit=options["unit"], formats=options["formats"], quiet=quiet, abstention=asked),
            bundle={"path": str(model), "model_id": predictor.model_id},
            stdin=sys.stdin.buffer if isinstance(inputs, tuple) and "-" in inputs else None,
            engine=engine,
            resume=options["resume"],
            stop=stop,
        )
    if not result.fresh:
        say(f"{output}: this very job is finished, its files are whole, and nothing was done")
    if asked and result.queue:
        say("\n".join(abstention_lines(output, asked, result.queue, result.counts)))
    else:
        say(f"{output}: {result.counts['ok']} statements labelled, {result.counts['invalid']} rows invalid")
    for reason, n in result.reasons.items():
        say(f"  {n} x {reason}")


def _precision(asked: str, output: Path) -> Any:
    """Return the precision to load with. ``auto`` is what the job in the output folder chose, if one was begun there.

    The choice rests on a race of a moment, which another time may end otherwise: the same job would be another one.
    """
    from corpus.files import read_json
    from pipelines.journal import FOLDER as JOB

    for path in (output / JOB / "job.json", output / "manifest.json") if asked == "auto" else ():
        with contextlib.suppress(TreatyStanceError, OSError, AttributeError):
            found = read_json(path).get("options", {}).get("precision")
            if found in _SETTLED:
                return found
    return asked


def _on_ray(predictor: Predictor, model: Path, options: dict[str, Any]) -> tuple[Judge, Engine]:
    """Return the engine on Ray, and the judge that the job is told of: all actors judge as its settings say.

    Raises:
        UsageError: when this machine would judge on its GPU and the actors have none.
    """
    from pipelines.ray_engine import RayEngine

    settings = dict(predictor.settings)
    if options["gpus"]:
        settings |= _ON_GPU
    elif settings["precision"] == _ON_GPU["precision"]:
        raise UsageError(
            "--engine ray: expected actors that compute as this machine does, on a GPU, but they have none; give each one "
            "with --gpus 1, or choose --precision fp32"
        )
    load = functools.partial(
        actor_judge,
        model.resolve(),
        settings,
        cascade=not options["no_cascade"],
        threads=options["threads"] or 1,  # an actor has one core
    )
    engine = RayEngine(load, address=options["ray_address"], actors=options["actors"], gpus=options["gpus"] or 0)
    return RemoteJudge(predictor.model_id, predictor.codebook, settings), engine


@dataclass(frozen=True)
class RemoteJudge:
    """What a job is told of a judge that works elsewhere."""

    model_id: str
    codebook: Codebook
    settings: Mapping[str, object]

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        """Not here.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(f"{len(passages)} passages were to be judged by the engine")


def actor_judge(folder: Path, settings: Mapping[str, object], *, cascade: bool, threads: int) -> Judge:
    """Load a bundle in an actor.

    Raises:
        BundleError: when it would judge there otherwise than the job's settings say.
    """
    from models.predictor import Predictor

    asked: Any = settings["precision"] if settings["precision"] in _SETTLED else "auto"
    judge = Predictor.load(folder, precision=asked, cascade=cascade, threads=threads)
    if dict(judge.settings) != dict(settings):
        raise BundleError(
            f"{folder}: expected a worker that judges with {_shown(settings)}, found one with {_shown(judge.settings)}; "
            "install the same packages on all machines, or choose --precision fp32"
        )
    return judge


def _shown(settings: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


@contextlib.contextmanager
def stopping() -> Iterator[Callable[[], bool]]:
    """Let SIGTERM and SIGINT ask for a stop, and yield what says whether one did. The second signal stops at once."""
    asked = False
    before: dict[signal.Signals, Any] = {}

    def ask(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        for which, handler in before.items():
            signal.signal(which, handler)
        os.write(2, _STOPPING)  # a handler may not use buffered streams

    try:
        for which in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError):  # not in the main thread: signals are somebody else's there
                before[which] = signal.signal(which, ask)
        yield lambda: asked
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


label = LabelGroup(_label, name="label")


@label.command()
@click.argument("a", type=FOLDER)
@click.argument("b", type=FOLDER)
@click.option("--output", type=FOLDER, default=None, help="Folder for diff.parquet and diff.csv; default: the summary only.")
@quiet_option
def diff(a: Path, b: Path, output: Path | None, quiet: bool) -> None:
    """Show what changed from labels A to labels B for the statements that both have.

    A and B are folders that label wrote, or folders of a workspace's runs with one bundle (labels/MODEL).

    Example: treaty-stance label diff labels/OLD labels/NEW --output changes
    """
    from pipelines.label_diff import diff_labels, diff_lines

    result = diff_labels(a, b, output, created=now())
    say = say_to(quiet)
    say("\n".join(diff_lines(result, a, b)))
    if output is not None:
        say(f"{output}: {result.changed} rows in diff.parquet and diff.csv")
