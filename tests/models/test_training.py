"""Fine-tuning a tiny encoder: it learns, it repeats itself, it refuses what it cannot learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
import torch

from corpus.errors import RecordError, TreatyStanceError, UsageError
from models.splits import take
from models.training import Recipe, fine_tune

if TYPE_CHECKING:
    from tests.conftest import Small


def test_it_learns_words_that_give_the_label_away(small: Small) -> None:
    best = small.trained.history[small.trained.best_epoch - 1]
    assert best["stance_macro_f1"] > 0.9
    assert best["concern_macro_f1"] > 0.9
    assert best["score"] == max(row["score"] for row in small.trained.history)
    assert small.trained.history[-1]["loss"] < small.trained.history[0]["loss"]


def test_the_same_seed_gives_the_same_weights_and_leaves_the_callers_randomness_alone(small: Small) -> None:
    recipe = msgspec.structs.replace(small.recipe, epochs=1)
    parts = [take(small.examples, small.split, p)[:60] for p in ("train", "development")]
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two = (fine_tune(parts[0], parts[1], small.codebook, recipe) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    other = fine_tune(parts[0], parts[1], small.codebook, msgspec.structs.replace(recipe, seed=1))
    states = [t.network.state_dict() for t in (one, two, other)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert any(not torch.equal(states[0][k], states[2][k]) for k in states[0])
    assert one.calibration == two.calibration


def test_training_stops_when_development_data_no_longer_gain(small: Small) -> None:
    recipe = msgspec.structs.replace(small.recipe, epochs=30, patience=1, learning_rate=0.0, head_learning_rate=0.0)
    parts = [take(small.examples, small.split, p)[:40] for p in ("train", "development")]
    trained = fine_tune(parts[0], parts[1], small.codebook, recipe)
    assert len(trained.history) == 2, "the first epoch is kept, the second gains nothing"
    assert trained.best_epoch == 1


def test_frozen_word_embeddings_stay_as_they_were(small: Small, tiny_encoder: str) -> None:
    from transformers import AutoModel

    recipe = msgspec.structs.replace(small.recipe, epochs=1, freeze_word_embeddings=True)
    parts = [take(small.examples, small.split, p)[:40] for p in ("train", "development")]
    trained = fine_tune(parts[0], parts[1], small.codebook, recipe)
    original = AutoModel.from_pretrained(tiny_encoder).get_input_embeddings().weight
    assert torch.equal(trained.network.encoder.get_input_embeddings().weight, original)


def test_a_label_without_an_example_is_refused_by_name(small: Small) -> None:
    train, development = (take(small.examples, small.split, p) for p in ("train", "development"))
    without = [e for e in train if e.gold.stance != "silent"]
    with pytest.raises(RecordError, match="no training example for silent:"):
        fine_tune(without, development, small.codebook, small.recipe)
    bare = [replace(e, gold=msgspec.structs.replace(e.gold, concerns=())) for e in train]
    with pytest.raises(RecordError, match="no training example for fish, money:"):
        fine_tune(bare, development, small.codebook, small.recipe)
    with pytest.raises(RecordError, match="one of them is empty"):
        fine_tune(train, [], small.codebook, small.recipe)


def test_a_loss_that_is_no_number_ends_training_with_one_sentence(small: Small) -> None:
    recipe = msgspec.structs.replace(small.recipe, head_learning_rate=1e30, learning_rate=1e30, clip=1e30)
    parts = [take(small.examples, small.split, p)[:60] for p in ("train", "development")]
    with pytest.raises(TreatyStanceError, match=r"the loss is (nan|inf), expected a number; lower the learning rate"):
        fine_tune(parts[0], parts[1], small.codebook, recipe)


def test_an_encoder_folder_that_does_not_exist_is_refused(small: Small) -> None:
    parts = [take(small.examples, small.split, p)[:40] for p in ("train", "development")]
    for name in ("./nowhere", "/no/such/folder"):
        with pytest.raises(UsageError, match="no such folder"):
            fine_tune(parts[0], parts[1], small.codebook, Recipe(encoder=name))
