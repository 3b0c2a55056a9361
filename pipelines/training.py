"""The training job: labelled statements to a bundle."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from annotation.codebook import load_codebook
from pipelines.labelled import Labelled, read_labelled
from pipelines.manifest import package_version

if TYPE_CHECKING:
    from models.training import Listener, Recipe, Trained

_VERSIONS = ("torch", "transformers", "datasets", "scikit-learn", "numpy", "tokenizers", "safetensors")


@dataclass(frozen=True)
class TrainJob:
    """What to train on and where to write. ``corpus`` and ``codebook`` None mean the shipped ones."""

    output: Path
    corpus: Path | None = None
    codebook: Path | None = None
    split_seed: int = 0


@dataclass(frozen=True)
class TrainResult:
    """The bundle that was written, and how training went."""

    folder: Path
    model_id: str
    trained: Trained
    sizes: dict[str, int]


def train(
    job: TrainJob,
    recipe: Recipe,
    *,
    created: str,
    listener: Listener | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> TrainResult:
    """Train on the train part, choose and calibrate on the development part, and write a bundle. The test part stays shut.

    Args:
        job: Inputs and output.
        recipe: How to train.
        created: ISO date for the manifest.
        listener: Is told of progress.
        say: Is told, a line each, what is being done.

    Raises:
        UsageError: when an input does not exist or the output is taken.
        RecordError: when the labelled statements are malformed or too few.
        CodebookError: when codebook and labels do not fit.
    """
    from models.bundle import check_target, save_bundle
    from models.splits import make_split, take
    from models.training import fine_tune

    check_target(job.output)
    codebook = load_codebook(job.codebook)
    labelled = read_labelled(job.corpus, codebook)
    split = make_split(labelled.examples, seed=job.split_seed)
    sizes = {part: len(ids) for part, ids in split.parts.items()}
    say(f"{len(labelled.examples)} labelled statements: " + ", ".join(f"{n} {part}" for part, n in sizes.items()))
    training, development = (take(labelled.examples, split, part) for part in ("train", "development"))
    trained = fine_tune(training, development, codebook, recipe, listener)
    model_id = save_bundle(job.output, trained, codebook, split, facts=_facts(labelled, sizes, recipe.seed, created))
    return TrainResult(job.output, model_id, trained, sizes)


def _facts(labelled: Labelled, sizes: dict[str, int], seed: int, created: str) -> dict[str, object]:
    versions = {name: metadata.version(name) for name in _VERSIONS}
    return {
        "command": "train",
        "created": created,
        "seed": seed,
        "versions": {"treaty-stance": package_version(), "python": platform.python_version(), **versions},
        "corpus": {
            "name": labelled.name,
            "sha256": labelled.sha256,
            "statements": len(labelled.examples),
            "without_gold": labelled.without_gold,
            "parts": sizes,
        },
    }
