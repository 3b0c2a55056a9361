"""Compare training recipes without opening the test part, and keep one row an experiment in ``results/recipes.jsonl``.

    python benchmarks/recipes.py baseline
    python benchmarks/recipes.py no-lexicon lexicon=0
    python benchmarks/recipes.py slow learning_rate=1e-4 epochs=14 --seeds 0 1
    python benchmarks/recipes.py mpnet encoder=/models/all-mpnet-base-v2 freeze_layers=6 --development --keep bundles/mpnet
    python benchmarks/recipes.py pupil --development --teacher bundles/mpnet

The first word names the experiment; the others change fields of ``models.recipe.Recipe``. By default this is grouped
cross-validation on the train and development parts of the reference corpus. ``--development`` trains once on the train part
and measures on the development part instead (``folds`` is 1 in the row): for what takes too long, or needs a bundle. That
part also chose epoch and calibration, so such figures flatter, and compare only with each other.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from annotation import load_codebook
from models.recipe import Recipe
from models.splits import make_split, read_split, take
from pipelines.evaluation import evaluate_bundle
from pipelines.experiment import Fold, Row, cross_validate, row_of
from pipelines.labelled import read_labelled
from pipelines.training import TrainJob, train

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"


def main() -> None:
    """Run one experiment and print its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the experiment; `baseline` is TF-IDF with logistic regression")
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE", help="what differs from the default recipe")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--turns", type=int, help="folds that are held out, the first ones; fewer for a quicker look")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=1, help="processes that train side by side, a share of the cores each")
    parser.add_argument("--variant", help="of `variants.py`, beyond what the recipe offers")
    parser.add_argument("--threads", type=int, help="of each process; default: the cores, shared out")
    parser.add_argument("--development", action="store_true", help="train once, measure on the development part")
    parser.add_argument("--teacher", type=Path, action="append", default=[], help="bundle to learn from (--development)")
    parser.add_argument("--warm-start", type=Path, action="append", default=[], help="outside data first (--development)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (--development)")
    parser.add_argument("--keep", type=Path, help="where to keep the bundle (--development)")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    row = _development(arguments) if arguments.development else _cross_validated(arguments)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("ab") as stream:
        stream.write(msgspec.json.encode(row) + b"\n")
    for name, figure in row.figures.items():
        print(f"{name:20} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")
    print(f"{row.seconds} s a training, {row.memory_mb} MB, {row.threads} threads")


def _cross_validated(arguments: argparse.Namespace) -> Row:
    codebook = load_codebook()
    examples = read_labelled(None, codebook).examples
    split = make_split(examples, seed=0)
    known = (*take(examples, split, "train"), *take(examples, split, "development"))
    row = cross_validate(
        known,
        codebook,
        arguments.name,
        None if arguments.name == "baseline" else _recipe(arguments.changes),
        folds=arguments.folds,
        seeds=arguments.seeds,
        split_hash=split.hashes["train"],
        turns=arguments.turns,
        prepare=_variant(arguments.variant),
        jobs=arguments.jobs,
        threads=arguments.threads,
        say=print,
    )
    return (
        msgspec.structs.replace(row, recipe={**(row.recipe or {}), "variant": arguments.variant})
        if arguments.variant
        else row
    )


def _development(arguments: argparse.Namespace) -> Row:
    import torch

    recipe = _recipe(arguments.changes)
    with tempfile.TemporaryDirectory() as folder:
        job = TrainJob(
            arguments.keep or Path(folder) / "bundle",
            method="fine-tune",
            teachers=tuple(arguments.teacher),
            warm_start=tuple(arguments.warm_start),
            device=arguments.device,
        )
        begun = time.perf_counter()
        train(job, recipe, created=datetime.datetime.now(datetime.UTC).date().isoformat(), say=print)
        seconds = time.perf_counter() - begun
        evaluation = evaluate_bundle(job.output, part="development")
        split = read_split(job.output / "split.json")
    row = row_of(
        arguments.name,
        recipe,
        [evaluation],
        folds=1,
        seeds=(recipe.seed,),
        split_hash=split.hashes["train"],
        seconds=round(seconds, 1),
        memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        threads=torch.get_num_threads(),
    )
    given = {
        "teachers": [path.name for path in arguments.teacher],
        "warm_start": [f"{path.parent.name}/{path.name}" for path in arguments.warm_start],
    }
    return msgspec.structs.replace(row, recipe={**(row.recipe or {}), **{k: v for k, v in given.items() if v}})


def _variant(name: str | None) -> Callable[[Fold], Fold] | None:
    if name is None:
        return None
    from variants import VARIANTS

    return VARIANTS[name]


def _recipe(changes: list[str]) -> Recipe:
    fields: dict[str, object] = {}
    weights: dict[str, object] = {}
    for change in changes:
        name, _, value = change.partition("=")
        head, _, inner = name.partition(".")
        parsed: object = value  # a word, such as context=title
        with contextlib.suppress(json.JSONDecodeError):
            parsed = json.loads(value)
        if inner:
            weights[inner] = parsed
        else:
            fields[head] = parsed
    return msgspec.convert({**fields, "weights": weights}, Recipe)


if __name__ == "__main__":
    main()
