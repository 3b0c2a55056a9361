"""Experiments: grouped cross-validation of recipes on the train and development parts. The test part stays shut."""

from __future__ import annotations

import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from annotation.codebook import Codebook

if TYPE_CHECKING:
    from models.dataset import Example
    from models.evaluation import Evaluation
    from models.metrics import Decisions, Interval
    from models.recipe import Recipe

_REPORTED = (
    *("stance_macro_f1", "stance_polar_f1", "stance_accuracy", "concern_macro_f1", "concern_micro_f1", "stance_ece"),
    *("accuracy_at_70", "holder_overlap_f1", "holder_type_accuracy"),
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment: what was tried, what it scored with 95 % intervals, and what it cost.

    ``recipe`` has what differs from the default recipe, None for the linear baseline. ``seconds`` is the mean wall time of
    one training, ``memory_mb`` the peak of one process.
    """

    name: str
    recipe: dict[str, object] | None
    folds: int
    seeds: tuple[int, ...]
    statements: int
    split_hash: str
    figures: dict[str, Interval]
    spread: dict[str, float]
    seconds: float
    memory_mb: int
    threads: int


@dataclass(frozen=True)
class Fold:
    """One turn of cross-validation: train, choose epoch and thresholds, and measure, on three parts with no common group."""

    training: tuple[Example, ...]
    development: tuple[Example, ...]
    held_out: tuple[Example, ...]


def make_folds(examples: Sequence[Example], *, folds: int, seed: int) -> Iterator[Fold]:
    """Yield folds that keep documents, addresses and near-copies together; each statement is held out once.

    Args:
        examples: The train and development parts, nothing of the test part.
        folds: Three or more: one is held out, the next one is the development part.
        seed: Of the shuffle.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    from models.splits import group_examples

    stances = np.array([e.gold.stance for e in examples])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    parts = [part for _, part in splitter.split(stances, stances, group_examples(examples))]
    for i in range(folds):
        rest = [j for k in range(folds) if k not in (i, (i + 1) % folds) for j in parts[k]]
        development, held_out = parts[(i + 1) % folds], parts[i]
        yield Fold(*(tuple(examples[j] for j in sorted(p)) for p in (rest, development, held_out)))


def cross_validate(
    examples: Sequence[Example],
    codebook: Codebook,
    name: str,
    recipe: Recipe | None,
    *,
    folds: int,
    seeds: Sequence[int],
    split_hash: str,
    turns: int | None = None,
    prepare: Callable[[Fold], Fold] | None = None,
    jobs: int = 1,
    threads: int | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Row:
    """Train and measure a recipe on every fold and seed; figures are taken over all held-out statements together.

    Intervals are a bootstrap by document over the decisions of the first seed; ``spread`` is the standard deviation of each
    figure over seeds (0 for one seed).

    Args:
        examples: The train and development parts.
        codebook: Its labels.
        name: Of the experiment.
        recipe: What to try; None is the linear baseline.
        folds: See :func:`make_folds`. The folds are the same for every seed.
        seeds: Of the recipe.
        split_hash: Which split the examples are of, for the record.
        turns: How many of the folds are held out, the first ones; None is all of them. Fewer is a quicker, wider figure.
        prepare: Is given each fold in the process that trains on it; a module's function.
        jobs: Processes that train side by side. They share the cores.
        threads: Of each process; None divides the cores among them.
        say: Is told of each training.
    """
    from models.evaluation import evaluate
    from models.metrics import join_decisions

    per_job = threads or max(1, (os.cpu_count() or 1) // jobs)
    parts = list(make_folds(examples, folds=folds, seed=0))[:turns]
    done: list[tuple[Decisions, float, int]] = []
    tasks = [(fold, codebook, recipe, seed, per_job, prepare) for seed in seeds for fold in parts]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for i, result in enumerate(pool.map(_task, tasks)):
            done.append(result)
            say(f"{name}: seed {seeds[i // len(parts)]}, fold {i % len(parts) + 1} of {len(parts)}, {result[1]:.0f} s")
    gold = [e for fold in parts for e in fold.held_out]
    evaluations: list[Evaluation] = []
    for i in range(len(seeds)):
        decided = join_decisions([d for d, _, _ in done[i * len(parts) : (i + 1) * len(parts)]])
        evaluations.append(evaluate(gold, decided, None, codebook, part="cross-validation", model_id=name))
    return row_of(
        name,
        recipe,
        evaluations,
        folds=folds,
        seeds=tuple(seeds),
        split_hash=split_hash,
        seconds=round(float(np.mean([s for _, s, _ in done])), 1),
        memory_mb=max(m for _, _, m in done),
        threads=per_job,
    )


def row_of(name: str, recipe: Recipe | None, evaluations: Sequence[Evaluation], **facts: Any) -> Row:
    """Return the row of an experiment: figures of the first evaluation, spread over all of them.

    Args:
        name: Of the experiment.
        recipe: What was tried; None is the linear baseline.
        evaluations: One a seed, on the same statements.
        facts: The row's other fields.
    """
    from models.recipe import Recipe as RecipeType

    names = [f for f in _REPORTED if any((m.name, m.label) == (f, None) for m in evaluations[0].metrics)]
    values = {f: [_value(e, f) for e in evaluations] for f in names}
    intervals = {f: evaluations[0].figure(f).model for f in names}
    default = msgspec.to_builtins(RecipeType())
    tried = None if recipe is None else msgspec.to_builtins(recipe)
    return Row(
        name=name,
        recipe=None if tried is None else {k: v for k, v in tried.items() if v != default[k]},
        statements=evaluations[0].statements,
        figures={f: v for f, v in intervals.items() if v is not None},
        spread={f: float(np.std(v)) for f, v in values.items()},
        **facts,
    )


def _task(
    task: tuple[Fold, Codebook, Recipe | None, int, int, Callable[[Fold], Fold] | None],
) -> tuple[Decisions, float, int]:
    """Train and decide in a process of its own; return decisions, seconds, and the process's peak memory in megabytes."""
    import torch

    fold, codebook, recipe, seed, threads, prepare = task
    torch.set_num_threads(threads)
    fold = prepare(fold) if prepare else fold
    begun = time.perf_counter()
    decided = _decide(fold, codebook, recipe, seed)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return decided, time.perf_counter() - begun, memory


def _decide(fold: Fold, codebook: Codebook, recipe: Recipe | None, seed: int) -> Decisions:
    from models.baseline import fit_baseline
    from models.encoding import encode
    from models.evaluation import decide
    from models.inference import run_network
    from models.training import fine_tune

    if recipe is None:
        return fit_baseline(fold.training, fold.development, codebook).decide(fold.held_out, codebook)
    recipe = msgspec.structs.replace(recipe, seed=seed)
    trained = fine_tune(fold.training, fold.development, codebook, recipe)
    passages = [e.passage for e in fold.held_out]
    encoded = encode(trained.tokenizer, passages, context=recipe.context, max_length=recipe.max_length)
    scores = run_network(trained.network, encoded, pad=trained.tokenizer.pad_token_id)
    return decide(fold.held_out, scores, trained.calibration, codebook)


def _value(evaluation: Evaluation, name: str) -> float:
    found = evaluation.figure(name).model
    return float("nan") if found is None else found.value
