"""Teachers: bundles whose probabilities a smaller or later network learns from, on labelled statements and on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotation.codebook import Codebook
from corpus.errors import UsageError
from pipelines.unlabelled import guessed

if TYPE_CHECKING:
    from models.dataset import Example
    from models.passage import Judgement, Passage
    from models.splits import Split
    from models.training import Taught

_RAISED = 0.5  # a guess for the classes' weights and the lexicon; the network itself learns the probabilities


@dataclass(frozen=True)
class Lesson:
    """What teachers say of the training examples and of unlabelled passages, and which bundles they are.

    ``guessed`` are the unlabelled passages as examples; ``taught`` is about the training examples followed by these.
    """

    taught: Taught
    model_ids: tuple[str, ...]
    guessed: tuple[Example, ...] = ()


def ask_teachers(
    folders: Sequence[Path],
    training: Sequence[Example],
    codebook: Codebook,
    split: Split,
    unlabelled: Sequence[Passage] = (),
    *,
    share: float = 0.5,
) -> Lesson:
    """Return the mean of the teachers' calibrated probabilities of the training examples and of unlabelled passages.

    In the target of a labelled example they count ``share``; an unlabelled passage has nothing else to be learned from. Its
    holder is the one that the first teacher with a span head of its own names. Teachers of the frozen recipe have none, and
    where there is no other, such passages teach nothing about holders.

    A teacher that has seen statements which this training keeps apart would carry them over, so its split must be the same.

    Args:
        folders: One bundle or more.
        training: The train part.
        codebook: What is learned.
        split: The parts of this training.
        unlabelled: Passages that are in no part.
        share: ``distil`` of the recipe.

    Raises:
        UsageError: when a teacher has another codebook.
        RecordError: when it was trained on another split.
        BundleError: when it is incomplete or altered.
    """
    from models.comparison import check_same_split
    from models.predictor import Predictor
    from models.splits import read_split
    from models.training import Taught

    said = []
    ids = []
    pointer: list[Judgement] | None = None
    passages = [*(e.passage for e in training), *unlabelled]
    for folder in folders:
        teacher = Predictor.load(folder)
        if teacher.codebook.id != codebook.id:
            raise UsageError(
                f"teacher {folder}: its codebook is {teacher.codebook.id}, this training's is {codebook.id}; choose a "
                "teacher with the same codebook"
            )
        check_same_split(read_split(folder / "split.json"), split, (f"teacher {folder}", "this training"))
        judged = teacher.judge(passages)
        if pointer is None and teacher.bundle.recipe.head_learning_rate:
            pointer = judged[len(training) :]
        said.append(([j.probabilities for j in judged], [j.concern_probabilities for j in judged]))
        ids.append(teacher.model_id)
    stance, concerns = (np.mean([np.array(part[i], dtype=np.float64) for part in said], axis=0) for i in (0, 1))
    concerns = concerns.reshape(len(passages), len(codebook.concerns))
    if not unlabelled:
        return Lesson(Taught(stance, concerns), tuple(ids))
    known = np.arange(len(passages)) < len(training)
    guesses = tuple(
        guessed(
            passage,
            stance=codebook.stance_ids[int(p.argmax())],
            concerns=[name for name, q in zip(codebook.concern_ids, raised, strict=True) if q >= _RAISED],
            span=None if pointer is None else _span(pointer[i]),
            kind=None if pointer is None else pointer[i].holder_type,
        )
        for i, (passage, p, raised) in enumerate(zip(unlabelled, stance[~known], concerns[~known], strict=True))
    )
    taught = Taught(stance, concerns, np.where(known, share, 1.0), known if pointer is None else None)
    return Lesson(taught, tuple(ids), guesses)


def _span(judged: Judgement) -> tuple[int, int] | None:
    if judged.holder_start is None or judged.holder_end is None:
        return None
    return judged.holder_start, judged.holder_end
