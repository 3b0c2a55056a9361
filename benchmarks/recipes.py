"""Compare training recipes by grouped cross-validation, and keep one row an experiment in ``results/recipes.jsonl``.

    python benchmarks/recipes.py baseline
    python benchmarks/recipes.py plain
    python benchmarks/recipes.py title context=title
    python benchmarks/recipes.py slow learning_rate=1e-4 epochs=14 --seeds 0 1

The first word names the experiment; the others change fields of ``models.training.Recipe``. Only the train and development
parts of the reference corpus are read.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from pathlib import Path

import msgspec

from annotation import load_codebook
from models.splits import make_split, take
from models.training import Recipe
from pipelines.experiment import cross_validate
from pipelines.labelled import read_labelled

RESULTS = Path(__file__).parent / "results" / "recipes.jsonl"


def main() -> None:
    """Run one experiment and print its row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of the experiment; `baseline` is TF-IDF with logistic regression")
    parser.add_argument("changes", nargs="*", metavar="FIELD=VALUE", help="what differs from the default recipe")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes that train side by side, a share of the cores each")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
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
        jobs=arguments.jobs,
        say=print,
    )
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("ab") as stream:
        stream.write(msgspec.json.encode(row) + b"\n")
    for name, figure in row.figures.items():
        print(f"{name:20} {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]")
    print(f"{row.seconds} s a training, {row.memory_mb} MB, {row.threads} threads")


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
