"""The frozen encoder: heads fitted by regression are the network's heads, few labels suffice, nobody is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from annotation.codebook import Codebook
from corpus.errors import RecordError
from models.bundle import load_bundle, save_bundle
from models.dataset import Example, targets
from models.encoding import encode
from models.frozen import Features, blank_network, fit_frozen, fit_heads, read_features
from models.inference import run_network
from models.predictor import Predictor
from models.splits import Split, group_examples, make_split, take
from models.training import Recipe, Trained
from pipelines.labelled import read_labelled

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

Parts = tuple[tuple[Example, ...], tuple[Example, ...]]


@dataclass(frozen=True)
class Data:
    """The invented statements, split, with a recipe that names the tiny encoder."""

    examples: tuple[Example, ...]
    split: Split
    codebook: Codebook
    recipe: Recipe


@pytest.fixture(scope="module")
def data(lines_path: Path, invented: Codebook, tiny_encoder: str) -> Data:
    examples = read_labelled(lines_path, invented).examples
    return Data(examples, make_split(examples, seed=0), invented, Recipe(encoder=tiny_encoder))


@pytest.fixture(scope="module")
def parts(data: Data) -> Parts:
    """The train and the development part."""
    return take(data.examples, data.split, "train"), take(data.examples, data.split, "development")


@pytest.fixture(scope="module")
def trained(data: Data, parts: Parts) -> Trained:
    """Heads on the tiny encoder's random weights: even those tell words apart."""
    return fit_frozen(*parts, data.codebook, data.recipe)


def gaussian(parts: Sequence[Sequence[Example]], codebook: Codebook, *, separation: float, seed: int = 0) -> list[Features]:
    """Features of 6 dimensions, drawn around a centre for each stance; the first two shift with the concerns."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(len(codebook.stances), 6)) * separation
    out = []
    for part in parts:
        y = targets(part, codebook)
        x = rng.normal(size=(len(part), 6)) + centres[y.stance]
        x[:, : len(codebook.concerns)] += separation * y.concerns
        out.append(Features((), x, x, 0))
    return out


def test_the_encoder_stays_as_it_was(trained: Trained, tiny_encoder: str) -> None:
    from transformers import AutoModel

    before = AutoModel.from_pretrained(tiny_encoder).state_dict()
    after = trained.network.encoder.state_dict()
    assert set(after) <= set(before)
    assert all(torch.equal(after[name], before[name]) for name in after)
    assert (trained.recipe.learning_rate, trained.recipe.head_learning_rate) == (0.0, 0.0)


def test_it_learns_words_that_give_the_label_away(trained: Trained) -> None:
    row = trained.history[trained.best_epoch - 1]
    assert row["stance_macro_f1"] > 0.8
    assert row["concern_macro_f1"] > 0.8
    assert row["score"] == pytest.approx((row["stance_macro_f1"] + row["concern_macro_f1"]) / 2)


def test_the_network_scores_as_the_regressions_do(data: Data, trained: Trained, parts: Parts) -> None:
    network, tokenizer = blank_network(data.codebook, data.recipe)
    features = [read_features(network, tokenizer, part, data.recipe) for part in parts]
    heads = fit_heads((features[0], features[1]), parts, data.codebook, data.recipe)
    expected = heads.scores(features[1])
    encoded = encode(tokenizer, [e.passage for e in parts[1]], context="none", max_length=128)
    found = run_network(trained.network, encoded, pad=tokenizer.pad_token_id)
    for name in ("stance", "concerns", "holder_type"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=2e-3)
    assert heads.calibration == trained.calibration


def test_a_recipe_without_lexicon_gives_the_regressions_alone(data: Data, parts: Parts, trained: Trained) -> None:
    assert trained.network.lexicon is not None
    some = parts[0][:60], parts[1][:30]
    plain = fit_frozen(*some, data.codebook, msgspec.structs.replace(data.recipe, lexicon=0))
    assert plain.network.lexicon is None
    network, tokenizer = blank_network(data.codebook, data.recipe)
    features = [read_features(network, tokenizer, part, data.recipe) for part in some]
    blended = fit_heads((features[0], features[1]), some, data.codebook, data.recipe)
    assert torch.equal(plain.network.stance.weight, torch.from_numpy(blended.stance.weight).float())
    assert blended.lexicon is not None


def test_features_are_the_mean_of_the_statements_own_tokens(data: Data) -> None:
    network, tokenizer = blank_network(data.codebook, data.recipe)
    some = data.examples[:5]
    recipe = msgspec.structs.replace(data.recipe, context="title")
    features = read_features(network, tokenizer, some, recipe)
    for i, example in enumerate(some):
        title = example.document.title or ""
        batch = tokenizer(example.statement.text, title, return_tensors="pt")
        own = [j for j, s in enumerate(batch.sequence_ids(0)) if s == 0]
        with torch.no_grad():
            hidden = network.encoder(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state[
                0
            ]
        np.testing.assert_allclose(features.label[i], hidden[own].mean(0).numpy(), atol=1e-5)


def test_nobody_is_named_while_the_span_head_is_untrained(trained: Trained, parts: Parts) -> None:
    encoded = encode(trained.tokenizer, [e.passage for e in parts[1]], context="none", max_length=128)
    scores = run_network(trained.network, encoded, pad=trained.tokenizer.pad_token_id)
    assert (scores.holder == -1).all()
    assert any(e.gold.holder for e in parts[1]), "there would be somebody to name"


def test_a_bundle_holds_it_and_the_predictor_judges_with_it(data: Data, trained: Trained, tmp_path: Path) -> None:
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    save_bundle(tmp_path / "bundle", trained, data.codebook, data.split, facts=facts)
    loaded = load_bundle(tmp_path / "bundle")
    assert loaded.recipe == trained.recipe
    test = take(data.examples, data.split, "test")
    judged = Predictor(loaded).judge([e.passage for e in test])
    right = np.mean([j.stance == e.gold.stance for j, e in zip(judged, test, strict=True)])
    assert right > 0.8
    assert {j.holder_start for j in judged} == {None}


def test_the_same_seed_gives_the_same_network(data: Data, trained: Trained, parts: Parts) -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    again = fit_frozen(*parts, data.codebook, data.recipe)
    assert torch.equal(before, torch.random.get_rng_state())
    one, two = trained.network.state_dict(), again.network.state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert again.calibration == trained.calibration


def test_a_stance_without_an_example_is_refused_by_name(data: Data, parts: Parts) -> None:
    train, development = parts
    without = [e for e in train if e.gold.stance != "silent"]
    with pytest.raises(RecordError, match="no training example for silent:"):
        fit_frozen(without, development, data.codebook, data.recipe)
    with pytest.raises(RecordError, match="one of them is empty"):
        fit_frozen(train, [], data.codebook, data.recipe)


def test_a_concern_that_training_has_once_or_never_gets_its_log_odds_as_a_constant(data: Data, parts: Parts) -> None:
    j = data.codebook.concern_ids.index("fish")
    for cases in (0, 1):
        train = [
            e
            if i < cases
            else replace(e, gold=msgspec.structs.replace(e.gold, concerns=tuple(c for c in e.gold.concerns if c != "fish")))
            for i, e in enumerate(sorted(parts[0], key=lambda e: "fish" not in e.gold.concerns))
        ]
        features = gaussian((train, parts[1]), data.codebook, separation=2)
        heads = fit_heads((features[0], features[1]), (train, parts[1]), data.codebook, Recipe(lexicon=0))
        assert (heads.concerns.weight[j] == 0).all()
        assert heads.concerns.bias[j] == pytest.approx(np.log((cases + 0.5) / (len(train) - cases + 0.5)))
        assert (heads.concerns.weight[1 - j] != 0).any()


def test_fifty_labels_are_enough(data: Data, parts: Parts) -> None:
    train, development = parts[0][:40], parts[1][:10]
    features = gaussian((train, development, parts[0][40:]), data.codebook, separation=3)
    heads = fit_heads((features[0], features[1]), (train, development), data.codebook, Recipe(lexicon=0))
    unseen = targets(parts[0][40:], data.codebook)
    assert (heads.scores(features[2]).stance.argmax(1) == unseen.stance).mean() > 0.9


def test_one_document_leaves_nothing_to_hold_out_and_still_trains(data: Data, parts: Parts) -> None:
    first = parts[0][0].document
    train = [replace(e, document=first) for e in parts[0][:30]]
    assert len(set(group_examples(train))) == 1
    features = gaussian((train, parts[1]), data.codebook, separation=3)
    heads = fit_heads((features[0], features[1]), (train, parts[1]), data.codebook, Recipe(lexicon=0))
    assert heads.row["stance_macro_f1"] > 0.9
