"""What unlabelled statements are worth beside few labels: rows in ``results/unlabelled.jsonl``.

    python benchmarks/unlabelled.py teacher alone pupil --labels 200
    python benchmarks/unlabelled.py teacher pupil --labels 200 --teacher ./all-mpnet-base-v2

The draws are those of ``learning_curve.py``: of each fold's other statements the first n are labelled, a fifth of them to
choose by. Here the rest count as unlabelled. ``teacher`` is the frozen recipe over the encoder that ``--teacher`` names, and
learns from the n labels. ``pupil`` is the default encoder, fine-tuned on gold for the n and, for the unlabelled, on the
teacher's calibrated probabilities (Hinton et al. 2015, all weight on them). ``alone`` is fine-tuned on the n only. A frozen
teacher names no holder, so neither of the two learns holders. The test part is not read. With ``all`` nothing is left
unlabelled: that is for the teacher alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from learning_curve import Bench, keep
from numpy.typing import NDArray

from annotation.codebook import Codebook
from models.dataset import Example, targets
from models.frozen import Features, Heads, blank_network, fit_heads, read_features
from models.recipe import PACKAGED, LossWeights
from models.training import Extras, Recipe, Taught, Trained, decisions, fine_tune
from pipelines.experiment import Fold
from pipelines.selection import Decide, frozen_recipe, tuned_decider
from pipelines.unlabelled import guessed

RESULTS = Path(__file__).parent / "results" / "unlabelled.jsonl"
METHODS = ("teacher", "alone", "pupil")
Floats = NDArray[np.float64]


class Teacher:
    """The frozen recipe over one encoder; every statement is read once."""

    def __init__(self, examples: Sequence[Example], codebook: Codebook, recipe: Recipe) -> None:
        network, tokenizer = blank_network(codebook, recipe)
        self._codebook, self._recipe = codebook, recipe
        self._features = read_features(network, tokenizer, examples, recipe)
        self._place = {e.statement.id: i for i, e in enumerate(examples)}

    def decide(self, fold: Fold, seed: int) -> Any:
        """Return the decisions of a teacher that learned from a fold, on what the fold holds out."""
        heads = self._heads(fold, seed)
        return decisions(heads.scores(self._read(fold.held_out)), targets(fold.held_out, self._codebook), heads.calibration)

    def say(self, fold: Fold, seed: int, unlabelled: Sequence[Example]) -> tuple[Floats, Floats]:
        """Return the probabilities of stances (n, stances) and concerns (n, concerns) of unlabelled statements."""
        heads = self._heads(fold, seed)
        scores = heads.scores(self._read(unlabelled))
        return heads.calibration.stance(scores.stance), heads.calibration.concerns(scores.concerns)

    def _read(self, examples: Sequence[Example]) -> Features:
        return self._features.rows([self._place[e.statement.id] for e in examples])

    def _heads(self, fold: Fold, seed: int) -> Heads:
        parts = (fold.training, fold.development)
        recipe = msgspec.structs.replace(self._recipe, seed=seed)
        return fit_heads((self._read(parts[0]), self._read(parts[1])), parts, self._codebook, recipe)


def pupil(teacher: Teacher, everything: Sequence[Example], codebook: Codebook, recipe: Recipe) -> Decide:
    """Return what learns from a fold's labels and from the teacher's word on what is in none of its parts."""

    def decide(fold: Fold, seed: int) -> Any:
        known = {e.statement.id for part in (fold.training, fold.development, fold.held_out) for e in part}
        unlabelled = [e for e in everything if e.statement.id not in known]
        said = teacher.say(fold, seed, unlabelled)

        def tune(
            training: Sequence[Example], development: Sequence[Example], narrow: Codebook, recipe: Recipe, listener: Any
        ) -> Trained:
            kept = [codebook.concern_ids.index(c) for c in narrow.concern_ids]
            stance, concerns = said[0], said[1][:, kept]
            guesses = [
                guessed(
                    e.passage,
                    stance=narrow.stance_ids[int(s.argmax())],
                    concerns=[name for name, p in zip(narrow.concern_ids, c, strict=True) if p >= 0.5],
                    span=None,
                    kind=None,
                )
                for e, s, c in zip(unlabelled, stance, concerns, strict=True)
            ]
            n = len(training)
            stance, concerns = (np.vstack([np.zeros((n, part.shape[1])), part]) for part in (stance, concerns))
            taught = Taught(stance, concerns, np.repeat([0.0, 1.0], [n, len(guesses)]))
            return fine_tune([*training, *guesses], development, narrow, recipe, listener, Extras(taught=taught))

        return tuned_decider(codebook, recipe, tune)(fold, seed)

    return decide


def main() -> None:
    """Run what was asked for, append its rows, and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="+", choices=METHODS)
    parser.add_argument("--labels", nargs="+", default=["100", "200", "400"], help="numbers of labels, or all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--teacher", default=PACKAGED, help="encoder of the teacher: Hugging Face folder or name")
    parser.add_argument("--threads", type=int, default=None, help="of the processor; default: what torch takes")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bench = Bench.open(arguments.seeds, arguments.folds)
    for labels in (None if n == "all" else int(n) for n in arguments.labels):
        for method in arguments.methods:
            decide = _method(method, labels, bench.examples, bench.codebook, arguments.teacher)
            recipe: dict[str, object] = {} if method == "alone" else {"teacher": Path(arguments.teacher).name}
            row = bench.measure(method, labels, decide, recipe)
            keep(row, arguments.output)
            shown = {name: round(found.value, 3) for name, found in row.figures.items()}
            print(f"{method}, {labels or 'all'} labels, {row.recipe}: {shown}", flush=True)


def _method(name: str, labels: int | None, examples: Sequence[Example], codebook: Codebook, encoder: str) -> Decide:
    recipe = Recipe(weights=LossWeights(holder=0.0))
    if name == "alone":
        tune: Callable[..., Trained] = fine_tune
        return tuned_decider(codebook, recipe, tune)
    reading = frozen_recipe(msgspec.structs.replace(recipe, encoder=encoder), labels or len(examples))
    teacher = Teacher(examples, codebook, reading)
    if name == "teacher":
        return teacher.decide
    return pupil(teacher, examples, codebook, recipe)


if __name__ == "__main__":
    main()
