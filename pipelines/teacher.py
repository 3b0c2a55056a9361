"""Teachers: bundles whose probabilities a smaller or later network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from annotation.codebook import Codebook
from corpus.errors import UsageError

if TYPE_CHECKING:
    from models.dataset import Example
    from models.splits import Split
    from models.training import Taught


@dataclass(frozen=True)
class Lesson:
    """What teachers say of the training examples, and which bundles they are."""

    taught: Taught
    model_ids: tuple[str, ...]


def ask_teachers(folders: Sequence[Path], training: Sequence[Example], codebook: Codebook, split: Split) -> Lesson:
    """Return the mean of the teachers' calibrated probabilities of the training examples.

    A teacher that has seen statements which this training keeps apart would carry them over, so its split must be the same.

    Args:
        folders: One bundle or more.
        training: The train part.
        codebook: What is learned.
        split: The parts of this training.

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
    for folder in folders:
        teacher = Predictor.load(folder)
        if teacher.codebook.id != codebook.id:
            raise UsageError(
                f"teacher {folder}: its codebook is {teacher.codebook.id}, this training's is {codebook.id}; choose a "
                "teacher with the same codebook"
            )
        check_same_split(read_split(folder / "split.json"), split, (f"teacher {folder}", "this training"))
        judged = teacher.judge([e.passage for e in training])
        said.append(([j.probabilities for j in judged], [j.concern_probabilities for j in judged]))
        ids.append(teacher.model_id)
    stance, concerns = (np.mean([np.array(part[i], dtype=np.float64) for part in said], axis=0) for i in (0, 1))
    return Lesson(Taught(stance, concerns.reshape(len(training), len(codebook.concerns))), tuple(ids))
