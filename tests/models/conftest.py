"""A small trained network, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from annotation.codebook import Codebook
from models.dataset import Example
from models.splits import Split, make_split, take
from models.training import Recipe, Trained, fine_tune
from pipelines.labelled import read_labelled


@dataclass(frozen=True)
class Small:
    """A trained network with the data that it was trained on."""

    trained: Trained
    examples: tuple[Example, ...]
    split: Split
    codebook: Codebook
    recipe: Recipe


@pytest.fixture(scope="session")
def small(lines_path: Path, invented: Codebook, tiny_encoder: str) -> Small:
    examples = read_labelled(lines_path, invented).examples
    split = make_split(examples, seed=0)
    recipe = Recipe(
        encoder=tiny_encoder, epochs=8, learning_rate=3e-3, head_learning_rate=1e-2, freeze_word_embeddings=False, patience=8
    )
    trained = fine_tune(take(examples, split, "train"), take(examples, split, "development"), invented, recipe)
    return Small(trained, examples, split, invented, recipe)
