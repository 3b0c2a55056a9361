"""Warm starts: the encoder learns from text and target, the heads go, and nothing else is touched."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from torch.nn import functional

from corpus.errors import RecordError, TreatyStanceError
from models.network import load_encoder
from models.pairs import Pair, PairSet
from models.recipe import Recipe
from models.training import Listener
from models.warm_start import (
    PairNetwork,
    PairRecipe,
    WarmStart,
    _SetLoss,
    encode_pairs,
    fit_pairs,
    pair_recipe,
    score_pairs,
    warm_start,
)

QUICK = PairRecipe(epochs=1, learning_rate=2e-3, head_learning_rate=1e-2, precision="fp32")


def made(labels: tuple[str, ...], pairs: list[Pair], *, multiple: bool = False, name: str = "pairs.jsonl") -> PairSet:
    return PairSet(name, f"hash of {name}", labels, multiple, tuple(pairs), {}, 0)


def towards(n: int, seed: int = 0) -> PairSet:
    """Pairs whose label depends on text and target together: who praises fish is for fish and against money."""
    rng = random.Random(seed)  # noqa: S311  # invented text, not a secret
    out = []
    for _ in range(n):
        liked, target = rng.choice(["fish", "money"]), rng.choice(["fish", "money"])
        town = rng.choice(["Upperton", "Lowerton", "Ann Gler", "Tom Trout"])
        out.append(Pair(f"{town} praises the {liked}.", target, ("yes" if liked == target else "no",)))
    return made(("no", "yes"), out)


def weights(encoder: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in encoder.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_the_target_is_read_together_with_the_text(tiny_encoder: str) -> None:
    encoder, tokenizer = load_encoder(tiny_encoder)
    pairs, recipe = towards(240), msgspec.structs.replace(QUICK, epochs=14, freeze_word_embeddings=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PairNetwork(encoder, [pairs], pooling="text", dropout=0.0)
        losses = fit_pairs(network, tokenizer, [pairs], recipe)
    others = towards(60, seed=1)
    decided = score_pairs(network, tokenizer, pairs, recipe, others.pairs).argmax(1)
    right = np.mean([pairs.labels[i] == p.labels[0] for i, p in zip(decided, others.pairs, strict=True)])
    assert right > 0.9, "neither text nor target alone says more than half"
    assert losses[-1] < losses[0] / 2


def test_a_warm_start_repeats_itself_and_leaves_randomness_and_gradients_alone(tiny_encoder: str) -> None:
    found = []
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    for seed in (0, 0, 1):
        encoder, tokenizer = load_encoder(tiny_encoder)
        original = weights(encoder)
        encoder.get_submodule("encoder.layer.0").requires_grad_(False)
        asked = {name: p.requires_grad for name, p in encoder.named_parameters()}
        losses = warm_start(encoder, tokenizer, [towards(64)], msgspec.structs.replace(QUICK, seed=seed))
        assert len(losses) == 1
        assert {name: p.requires_grad for name, p in encoder.named_parameters()} == asked
        assert all(p.grad is None for p in encoder.parameters())
        changed = {name for name, tensor in weights(encoder).items() if not torch.equal(tensor, original[name])}
        assert "embeddings.word_embeddings.weight" not in changed, "word embeddings are frozen by default"
        assert any(name.startswith("encoder.layer.0.") for name in changed)
        found.append(weights(encoder))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(found[0], found[1])
    assert not same(found[0], found[2])


def test_a_set_moves_no_label_that_only_other_sets_have(tiny_encoder: str) -> None:
    encoder, tokenizer = load_encoder(tiny_encoder)
    first = towards(8)
    second = made(("maybe", "no"), [Pair("a", "b", ("maybe",)), Pair("c", "d", ("no",))])
    third = made(("fish", "money"), [Pair("a", "b", ("fish",)), Pair("c", "d", ())], multiple=True)
    network = PairNetwork(encoder, [first, second, third], pooling="text", dropout=0.0)
    assert (network.names, network.several) == (("maybe", "no", "yes"), ("fish", "money"))
    assert (network.columns(first), network.columns(second), network.columns(third)) == ([1, 2], [0, 1], [0, 1])
    logits = torch.zeros(2, 3, requires_grad=True)
    _SetLoss(second, network, balance=0.0)(logits, [0, 1]).backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[:, 2], torch.zeros(2)), "the second set knows no `yes`"
    assert torch.allclose(logits.grad, torch.tensor([[-0.25, 0.25, 0.0], [0.25, -0.25, 0.0]]))
    tokens = encode_pairs(tokenizer, second.pairs, max_length=16)
    assert network.many is not None
    assert network.one is not None
    loss = _SetLoss(second, network, balance=0.0)(network(*batch_of(tokens, tokenizer), False), [0, 1])
    loss.backward()
    assert network.many.weight.grad is None, "the other head is not in the loss"
    assert network.one.weight.grad is not None
    assert network.one.weight.grad[2].abs().max() == 0


def batch_of(tokens: list[Any], tokenizer: Any) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    from models.warm_start import _collate

    return _collate(tokens, tokenizer.pad_token_id, torch.device("cpu"))


def test_rare_labels_weigh_more_and_the_mean_weight_of_a_pair_is_one(tiny_encoder: str) -> None:
    encoder, _ = load_encoder(tiny_encoder)
    pairs = made(("a", "b"), [Pair("t", "x", ("a",))] * 3 + [Pair("t", "x", ("b",))])
    network = PairNetwork(encoder, [pairs], pooling="text", dropout=0.0)
    # (n / (k n_c))^b is (4/6)^1 and (4/2)^1; three times 2/3 and once 2 is 4, so nothing is left to scale.
    loss = _SetLoss(pairs, network, balance=1.0)
    assert torch.allclose(loss.weight, torch.tensor([2 / 3, 2.0]))
    logits = torch.tensor([[0.5, -0.5]] * 4)
    p = math.exp(0.5) / (math.exp(0.5) + math.exp(-0.5))
    expected = -(3 * 2 / 3 * math.log(p) + 2 * math.log(1 - p)) / 4
    assert loss(logits, [0, 1, 2, 3]).item() == pytest.approx(expected, abs=1e-6)


def test_probabilities_are_learned_from_in_the_place_of_the_label(tiny_encoder: str) -> None:
    encoder, _ = load_encoder(tiny_encoder)
    sure = [Pair("t", "x", (label,)) for label in "aab"]
    pairs = made(("a", "b"), [Pair("t", "x", ("a",), (("a", 0.5), ("b", 0.5))), *sure])
    network = PairNetwork(encoder, [pairs], pooling="text", dropout=0.0)
    # 2.5 cases of a and 1.5 of b, so (n / (k n_c))^b is 4/5 and 4/3; 2.5 * 4/5 + 1.5 * 4/3 is 4, nothing is left to scale.
    loss = _SetLoss(pairs, network, balance=1.0)
    assert torch.allclose(loss.weight, torch.tensor([4 / 5, 4 / 3]))
    p = math.exp(0.5) / (math.exp(0.5) + math.exp(-0.5))
    soft = -(0.5 * 4 / 5 * math.log(p) + 0.5 * 4 / 3 * math.log(1 - p))
    logits = torch.tensor([[0.5, -0.5], [0.5, -0.5]])
    assert loss(logits, [0, 3]).item() == pytest.approx((soft - 4 / 3 * math.log(1 - p)) / 2, abs=1e-6)
    assert loss(logits[:1], [0]).item() == pytest.approx(soft, abs=1e-6)


def test_several_labels_a_text_take_the_summed_cross_entropy_of_each(tiny_encoder: str) -> None:
    encoder, _ = load_encoder(tiny_encoder)
    pairs = made(("f", "m"), [Pair("t", "x", ("f",)), Pair("t", "x", ("f", "m")), Pair("t", "x", ())], multiple=True)
    network = PairNetwork(encoder, [pairs], pooling="text", dropout=0.0)
    logits = torch.tensor([[1.0, -1.0], [0.5, 0.0], [-2.0, 0.3]])
    gold = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    expected = functional.binary_cross_entropy_with_logits(logits, gold, reduction="sum") / 3
    assert _SetLoss(pairs, network, balance=0.0)(logits, [0, 1, 2]).item() == pytest.approx(expected.item(), abs=1e-6)


def test_text_and_target_keep_their_own_tokens_and_the_longer_one_is_cut(tiny_encoder: str) -> None:
    _, tokenizer = load_encoder(tiny_encoder)
    short, long = encode_pairs(
        tokenizer, [Pair("fish", "money", ("a",)), Pair("fish " * 50, "money", ("a",))], max_length=12
    )
    for tokens in (short, long):
        assert len(tokens.ids) == len(tokens.part)
        target = [i for i, part in zip(tokens.ids, tokens.part, strict=True) if part == 1]
        assert target == tokenizer("money", add_special_tokens=False)["input_ids"], "the target is whole"
    assert [len(short.ids), len(long.ids)] == [short.part.count(0) + short.part.count(1) + 3, 12]
    assert encode_pairs(tokenizer, [], max_length=12) == []


@pytest.mark.parametrize("pooling", ["text", "both"])
def test_scores_do_not_depend_on_what_else_is_in_the_batch(tiny_encoder: str, pooling: str) -> None:
    encoder, tokenizer = load_encoder(tiny_encoder)
    pairs = towards(9)
    recipe = msgspec.structs.replace(QUICK, pooling=pooling)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PairNetwork(encoder, [pairs], pooling=pooling, dropout=0.5)
    odd = [Pair("Tom " * n, "fish", ("no",)) for n in (1, 7, 3)]
    together = score_pairs(network, tokenizer, pairs, recipe, odd)
    alone = np.vstack([score_pairs(network, tokenizer, pairs, recipe, [p]) for p in odd])
    assert np.allclose(together, alone, atol=1e-5)
    assert together.shape == (3, 2)
    assert len({tuple(row) for row in together.round(6)}) == 3


def test_sets_are_mixed_and_every_pair_is_read_once_an_epoch(tiny_encoder: str) -> None:
    encoder, tokenizer = load_encoder(tiny_encoder)
    done: list[int] = []
    sets = [towards(40), made(("fish", "money"), [Pair("a", "b", ("fish",)), Pair("c", "d", ("money",))], multiple=True)]
    recipe = msgspec.structs.replace(QUICK, epochs=3, batch_size=16)
    warm_start(encoder, tokenizer, sets, recipe, Listener(advance=done.append))
    assert sum(done) == 3 * 42
    assert sorted(done) == sorted([16, 16, 8, 2] * 3)


def test_an_encoder_given_later_gets_the_weights_that_were_learned_first(tiny_encoder: str) -> None:
    done: list[int] = []
    warm = WarmStart([towards(32)], QUICK, Listener(advance=done.append))
    encoders = []
    for _ in range(2):
        encoder, tokenizer = load_encoder(tiny_encoder)
        warm(encoder, tokenizer)
        encoders.append(weights(encoder))
        with torch.no_grad():  # what happens to an encoder afterwards is not what the next one gets
            for parameter in encoder.parameters():
                parameter.zero_()
    assert same(encoders[0], encoders[1])
    assert sum(done) == 32
    assert warm.key == WarmStart([towards(32)], QUICK).key
    assert warm.key != WarmStart([towards(32)], msgspec.structs.replace(QUICK, seed=1)).key
    assert warm.key != WarmStart([made(("no", "yes"), [], name="other")], QUICK).key


def test_rates_and_seed_come_from_the_recipe_of_the_training_that_follows() -> None:
    recipe = Recipe(seed=4, learning_rate=1e-5, batch_size=7, epochs=9, max_length=33, precision="fp32")
    found = pair_recipe(recipe)
    assert (found.seed, found.learning_rate, found.batch_size, found.precision) == (4, 1e-5, 7, "fp32")
    assert (found.epochs, found.max_length) == (PairRecipe().epochs, PairRecipe().max_length)


def test_a_loss_that_is_no_number_ends_the_warm_start_with_one_sentence(tiny_encoder: str) -> None:
    encoder, tokenizer = load_encoder(tiny_encoder)
    recipe = msgspec.structs.replace(QUICK, learning_rate=1e30, head_learning_rate=1e30, clip=1e30, batch_size=8, warmup=0)
    with pytest.raises(TreatyStanceError, match=r"pairs\.jsonl, epoch 1: the loss is (nan|inf), expected a number; lower"):
        warm_start(encoder, tokenizer, [towards(64)], recipe)


def test_what_cannot_be_meant_is_refused(tiny_encoder: str) -> None:
    encoder, tokenizer = load_encoder(tiny_encoder)
    with pytest.raises(RecordError, match="at least one file of stance data"):
        warm_start(encoder, tokenizer, [])
    with pytest.raises(ValueError, match="pooling is 'first', expected one of text, both"):
        PairRecipe(pooling="first")
    with pytest.raises(ValueError, match="expected 1 or more"):
        PairRecipe(epochs=0)


@pytest.mark.slow
def test_a_bundle_tells_what_its_encoder_was_warm_started_on(
    tmp_path: Path, tiny_encoder: str, lines_path: Path, invented_path: Path
) -> None:
    import hashlib

    from corpus.files import read_json
    from pipelines.training import TrainJob, train

    path = tmp_path / "outside.jsonl"
    rows = [{"text": p.text, "target": p.target, "label": p.labels[0]} for p in towards(40).pairs]
    rows += [{"text": "", "target": "fish", "label": "yes"}, {**rows[0], "split": "test"}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    recipe = Recipe(encoder=tiny_encoder, epochs=1, learning_rate=2e-3, freeze_word_embeddings=False)
    said: list[str] = []
    bundles = {}
    for name, files in (("cold", ()), ("warm", (path,))):
        job = TrainJob(tmp_path / name, lines_path, invented_path, method="fine-tune", warm_start=files)
        bundles[name] = train(job, recipe, created="2025-01-01", say=said.append).folder
    facts = read_json(bundles["warm"] / "manifest.json")
    assert facts["warm_start"] == [
        {
            "name": "outside.jsonl",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "labels": ["no", "yes"],
            "pairs": 40,
            "with_probabilities": 0,
            "refused": {"text is empty": 1},
            "left_out": 1,
        }
    ]
    assert facts["warm_start_recipe"]["learning_rate"] == 2e-3
    assert "outside.jsonl" in (bundles["warm"] / "README.md").read_text(encoding="utf-8")
    assert "warm_start" not in read_json(bundles["cold"] / "manifest.json")
    assert any("40 pairs to start from, labelled no, yes; 1 rows refused, text is empty; 1 rows of other" in s for s in said)
    first, second = ((bundles[name] / "model.safetensors").read_bytes() for name in ("cold", "warm"))
    assert first != second
