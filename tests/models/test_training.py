"""Fine-tuning a tiny encoder: it learns, it repeats itself, it refuses what it cannot learn from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import torch

from corpus.errors import RecordError, TreatyStanceError, UsageError
from models.network import load_encoder
from models.splits import take
from models.training import Recipe, fine_tune

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

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


def test_a_step_in_two_parts_is_the_step_in_one(small: Small, tiny_encoder: str, tmp_path: Path) -> None:
    """Up to the last bits: a part pads to its own longest passage."""
    steady = shutil.copytree(tiny_encoder, tmp_path / "steady")
    config = json.loads((steady / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (steady / "config.json").write_text(json.dumps(config))
    recipe = msgspec.structs.replace(
        small.recipe, encoder=str(steady), epochs=1, dropout=0.0, batch_size=16, precision="fp32", lexicon=0.0
    )
    parts = [take(small.examples, small.split, p)[:32] for p in ("train", "development")]
    before = load_encoder(str(steady))[0].state_dict()
    whole, halves, smaller = (
        fine_tune(parts[0], parts[1], small.codebook, msgspec.structs.replace(recipe, **change)).network.encoder.state_dict()
        for change in ({}, {"accumulation": 2}, {"batch_size": 8})
    )

    def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
        return float(sum((a[k] - b[k]).float().square().sum() for k in a)) ** 0.5

    assert distance(whole, halves) < 0.01 * distance(whole, before)
    assert distance(whole, smaller) > 0.1 * distance(whole, before), "smaller steps are another thing"


def test_frozen_layers_stay_as_they_were_and_the_ones_above_learn(small: Small, tiny_encoder: str) -> None:
    from transformers import AutoModel

    recipe = msgspec.structs.replace(small.recipe, epochs=1, freeze_layers=1)
    parts = [take(small.examples, small.split, p)[:40] for p in ("train", "development")]
    trained = fine_tune(parts[0], parts[1], small.codebook, recipe).network.encoder.state_dict()
    original = AutoModel.from_pretrained(tiny_encoder).state_dict()
    kept = [k for k in trained if k.startswith("embeddings.") or ".layer.0." in k]
    moved = [k for k in trained if ".layer.1." in k]
    assert kept
    assert all(torch.equal(trained[k], original[k]) for k in kept)
    assert not moved or any(not torch.equal(trained[k], original[k]) for k in moved)


@pytest.mark.parametrize("change", [{"average": 0.9}, {"agreement": 1.0}, {"mask": 0.2}, {"soft_labels": 0.5}])
@pytest.mark.slow
def test_each_refinement_learns_and_gives_other_weights(small: Small, change: dict[str, float]) -> None:
    recipe = msgspec.structs.replace(small.recipe, epochs=3)
    parts = [take(small.examples, small.split, p)[:60] for p in ("train", "development")]
    plain, refined = (
        fine_tune(parts[0], parts[1], small.codebook, msgspec.structs.replace(recipe, **more)) for more in ({}, change)
    )
    assert refined.history[-1]["loss"] < refined.history[0]["loss"]
    same = all(torch.equal(plain.network.state_dict()[k], v) for k, v in refined.network.state_dict().items())
    assert same == ("soft_labels" in change), "invented readings say what gold says, so only soft labels change nothing"


def test_a_recipe_with_a_share_that_is_none_is_refused() -> None:
    for wrong in ({"mask": 1.5}, {"average": -0.1}, {"accumulation": 0}, {"epochs": 0}, {"context": "all"}):
        with pytest.raises(ValueError, match="expected"):
            Recipe(**wrong)  # type: ignore[arg-type]
