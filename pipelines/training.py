"""The training job: labelled statements to a bundle."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from annotation.codebook import Codebook, load_codebook
from corpus.errors import UsageError
from corpus.sources import Project
from pipelines.labelled import Labelled, read_gold
from pipelines.manifest import package_version
from pipelines.workspace import workspace_codebook

if TYPE_CHECKING:
    from models.pairs import PairSet
    from models.training import Listener, Recipe, Trained
    from pipelines.selection import Selection, Tune

_VERSIONS = ("torch", "transformers", "datasets", "scikit-learn", "numpy", "tokenizers", "safetensors")


@dataclass(frozen=True)
class TrainJob:
    """What to train on and where to write. ``corpus`` and ``codebook`` None mean the shipped ones.

    With a ``workspace`` it is that workspace's gold, under its own codebook where none is named; ``corpus`` is then None.
    ``method`` is ``fine-tune``, ``frozen`` or ``auto`` (:func:`pipelines.selection.select`). ``warm_start`` names files of
    outside stance data on which the encoder is fine-tuned first (:mod:`models.pairs`), ``teachers`` bundles whose
    probabilities are mixed into the targets (:mod:`pipelines.teacher`), ``unlabelled`` tables of statements that are learned
    as the teachers see them. ``device`` is ``cpu`` or ``cuda``, for fine-tuning.
    """

    output: Path
    corpus: Path | None = None
    codebook: Path | None = None
    split: Literal["grouped", "time"] = "grouped"
    split_seed: int = 0
    method: str = "fine-tune"
    warm_start: tuple[Path, ...] = ()
    teachers: tuple[Path, ...] = ()
    unlabelled: tuple[Path, ...] = ()
    device: str = "cpu"
    workspace: Project | None = None

    @property
    def checkpoint(self) -> Path:
        """Where a run that is stopped leaves what the next one goes on from."""
        return self.output.with_name(f".{self.output.name}.training")


@dataclass(frozen=True)
class TrainResult:
    """The bundle that was written, and how training went."""

    folder: Path
    model_id: str
    trained: Trained
    sizes: dict[str, int]
    selection: Selection


def train(
    job: TrainJob,
    recipe: Recipe,
    *,
    created: str,
    listener: Listener | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> TrainResult:
    """Train on the train part, choose and calibrate on the development part, and write a bundle. The test part stays shut.

    A run that is stopped goes on from its last epoch when it is started again with the same job and recipe.

    Args:
        job: Inputs and output.
        recipe: How to train.
        created: ISO date for the manifest.
        listener: Is told of progress.
        say: Is told, a line each, what is being done.

    Raises:
        UsageError: when an input or the device does not exist or the output is taken.
        RecordError: when the labelled statements are malformed or too few.
        CodebookError: when codebook and labels do not fit.
    """
    from models.bundle import check_target, save_bundle
    from models.checkpoint import drop_checkpoint
    from models.device import CPU, check_device, device_name
    from models.splits import make_split, make_time_split, take
    from models.training import Extras, fine_tune
    from models.warm_start import WarmStart, pair_recipe
    from pipelines.selection import FINE_TUNE, FROZEN, select
    from pipelines.teacher import ask_teachers
    from pipelines.unlabelled import read_unlabelled

    check_target(job.output)
    check_device(job.device)
    codebook = _codebook(job)
    outside = _outside(job, say)
    warm = WarmStart(outside, pair_recipe(recipe), listener) if outside else None
    labelled = read_gold(job.corpus, job.workspace, codebook)
    known = labelled.examples
    split = make_time_split(known) if job.split == "time" else make_split(known, seed=job.split_seed)
    sizes = {part: len(ids) for part, ids in split.parts.items()}
    say(f"{len(labelled.examples)} labelled statements: " + ", ".join(f"{n} {part}" for part, n in sizes.items()))
    if labelled.audited:
        say(f"{labelled.audited} labels of audit samples left out: shares are corrected by them")
    if split.kind == "time":
        cuts = f"development from {split.development_from}, test from {split.test_from}"
        say(f"split by time: {cuts}; {split.undated} undated statements to train on")
    training, development = (take(labelled.examples, split, part) for part in ("train", "development"))
    others = read_unlabelled(job.unlabelled, [e.statement.text for e in known]) if job.unlabelled else None
    if others:
        say(str(others))
    lesson = None
    if job.teachers:
        passages = others.passages if others else ()
        lesson = ask_teachers(job.teachers, training, codebook, split, passages, share=recipe.distil)
        training = (*training, *lesson.guessed)
    extras = Extras(
        warm=warm,
        taught=lesson.taught if lesson else None,
        checkpoint=job.checkpoint,
        key=" ".join([*((warm.key,) if warm else ()), *(lesson.model_ids if lesson else ())]),
        device=job.device,
    )
    method = FINE_TUNE if lesson else job.method  # what a teacher says belongs to these examples, not to parts of them
    tune: Tune = partial(fine_tune, extras=extras)
    selected = select(training, development, codebook, recipe, method=method, listener=listener, say=say, tune=tune)
    facts = {**_facts(labelled, sizes, recipe.seed, created), "selection": msgspec.to_builtins(selected.selection)}
    if outside:  # where the frozen encoder won, it won unwarmed
        used = "warm_start" if selected.selection.chosen != FROZEN else "warm_start_unused"
        facts[used] = [s.facts() for s in outside]
        facts["warm_start_recipe"] = msgspec.to_builtins(pair_recipe(recipe))
    facts |= {"teacher": {"model_ids": lesson.model_ids, "share": recipe.distil}} if lesson else {}
    facts |= {"unlabelled": others.facts()} if others else {}
    if job.device != CPU and selected.selection.chosen != FROZEN:
        facts["device"] = device_name(job.device)
    say("writing the bundle, with the graph for fast labelling")
    model_id = save_bundle(job.output, selected.trained, codebook, split, facts=facts, development=development)
    drop_checkpoint(job.checkpoint)
    return TrainResult(job.output, model_id, selected.trained, sizes, selected.selection)


def _codebook(job: TrainJob) -> Codebook:
    if job.workspace is not None and job.codebook is None:
        return workspace_codebook(job.workspace.root)
    return load_codebook(job.codebook)


def _outside(job: TrainJob, say: Callable[[str], object]) -> tuple[PairSet, ...]:
    """Read the outside stance data that the job names."""
    from models.pairs import read_pairs
    from pipelines.selection import FROZEN

    if job.warm_start and job.method == FROZEN:
        raise UsageError("a warm start changes the encoder, which the frozen recipe keeps as it is; leave one of them out")
    if job.teachers and job.method == FROZEN:
        raise UsageError("a teacher is for fine-tuning, the frozen recipe has none; leave one of them out")
    if job.unlabelled and not job.teachers:
        raise UsageError(
            f"{job.unlabelled[0]}: unlabelled statements are learned as a teacher sees them, but no teacher was named; name "
            "a bundle with --teacher, or leave them out"
        )
    sets = []
    for path in job.warm_start:
        found = read_pairs(path)
        left = [f"{n} rows refused, {reason}" for reason, n in found.refused.items()]
        left += [f"{found.left_out} rows of other parts left out"] if found.left_out else []
        say("; ".join([f"{path}: {len(found.pairs)} pairs to start from, labelled {', '.join(found.labels)}", *left]))
        sets.append(found)
    return tuple(sets)


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
            **({"workspace": True, "audited": labelled.audited} if labelled.workspace else {}),
            "statements": len(labelled.examples),
            "without_gold": labelled.without_gold,
            "parts": sizes,
            "languages": sorted({e.document.language for e in labelled.examples if e.document.language}),
        },
    }
