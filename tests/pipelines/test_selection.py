"""Which way of training is taken: what was asked for, or what held-out data prefer; and what the record says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from annotation.codebook import Codebook
from corpus.errors import RecordError, TreatyStanceError, UsageError
from models.calibration import Calibration
from models.dataset import Example, targets
from models.frozen import blank_network
from models.metrics import Decisions
from models.splits import group_examples, make_split, take
from models.training import Listener, Recipe, Trained
from pipelines import selection
from pipelines.experiment import Fold, make_folds
from pipelines.labelled import read_labelled
from pipelines.selection import FINE_TUNE, FROZEN, GENTLE, Decide, frozen_decider, gentle, select, tuned_decider
from pipelines.training import TrainJob, train

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute


@dataclass(frozen=True)
class Data:
    """The invented statements' train and development part."""

    training: tuple[Example, ...]
    development: tuple[Example, ...]
    codebook: Codebook
    recipe: Recipe


@pytest.fixture(scope="module")
def data(lines_path: Path, invented: Codebook, tiny_encoder: str) -> Data:
    examples = read_labelled(lines_path, invented).examples
    split = make_split(examples, seed=0)
    return Data(take(examples, split, "train"), take(examples, split, "development"), invented, Recipe(encoder=tiny_encoder))


@dataclass
class Bench:
    """Ways of training that only keep a record: each scores what it is told to, and nothing is learned."""

    scores: dict[str, float | Exception]
    recipe: Recipe
    calls: list[tuple[str, int]] = field(default_factory=list)

    def way(self, recipe: Recipe) -> str:
        return FINE_TUNE if recipe.epochs == self.recipe.epochs else GENTLE

    def trained(self, name: str, training: Sequence[Example], recipe: Recipe) -> Trained:
        self.calls.append((name, len(training)))
        score = self.scores[name]
        if isinstance(score, Exception):
            raise score
        row = {"epoch": 1.0, "stance_macro_f1": score + 0.1, "concern_macro_f1": score - 0.1}
        anything: Any = name
        return Trained(anything, None, recipe, Calibration(), (row,), 1)

    def tune(
        self, training: Sequence[Example], development: Sequence[Example], codebook: Codebook, recipe: Recipe, listener: Any
    ) -> Trained:
        return self.trained(self.way(recipe), training, recipe)

    def frozen(
        self, training: Sequence[Example], development: Sequence[Example], codebook: Codebook, recipe: Recipe, listener: Any
    ) -> Trained:
        return self.trained(FROZEN, training, recipe)

    def decider(self, name: str, codebook: Codebook) -> Decide:
        """Decide stance and concerns rightly in that share of the statements which is the score, wrongly elsewhere."""

        def decide(fold: Fold, seed: int) -> Decisions:
            score = self.scores[name]
            if isinstance(score, Exception):
                raise score
            self.calls.append((name, len(fold.held_out)))
            y = targets(fold.held_out, codebook)
            right = np.arange(len(y.stance)) < score * len(y.stance)
            stance = np.where(right, y.stance, (y.stance + 1) % len(codebook.stances))
            return Decisions(y.stance, stance, y.concerns > 0, (y.concerns > 0) == right[:, None], np.ones(len(right)))

        return decide


@pytest.fixture
def bench(data: Data, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Bench]:
    """Return a function that puts the record-keepers where training would be: scores of frozen, fine-tune, gentle."""

    def make(*scores: float | Exception) -> Bench:
        made = Bench(dict(zip((FROZEN, FINE_TUNE, GENTLE), scores, strict=True)), data.recipe)

        def tuned(codebook: Codebook, recipe: Recipe, tune: Any, listener: Any) -> Decide:
            return made.decider(made.way(recipe), codebook)

        monkeypatch.setattr("models.frozen.fit_frozen", made.frozen)
        monkeypatch.setattr(selection, "tuned_decider", tuned)
        monkeypatch.setattr(selection, "frozen_decider", lambda _, codebook, *a, **k: made.decider(FROZEN, codebook))
        return made

    return make


def few(data: Data) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """A train part of 120 statements, and a development part too small to decide anything."""
    return data.training[:120], data.development[:30]


def test_what_is_asked_for_is_done(data: Data, bench: Callable[..., Bench]) -> None:
    for method in (FINE_TUNE, FROZEN):
        made = bench(0.5, 0.5, 0.5)
        found = select(*few(data), data.codebook, data.recipe, method=method, tune=made.tune)
        assert made.calls == [(method, 120)]
        assert (found.selection.chosen, found.selection.basis, found.selection.candidates) == (method, "asked", ())
        assert (found.trained.recipe.lexicon > 0) == (method == FINE_TUNE), "150 labels are too few for the lexicon"
    with pytest.raises(UsageError, match="recipe 'guess': expected one of auto, fine-tune, frozen"):
        select(*few(data), data.codebook, data.recipe, method="guess")


def test_many_labels_take_the_recipe_untried(
    data: Data, bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "MANY", 150)
    made = bench(0.9, 0.5, 0.9)
    found = select(*few(data), data.codebook, data.recipe, tune=made.tune)
    assert made.calls == [(FINE_TUNE, 120)]
    assert (found.selection.chosen, found.selection.basis) == (FINE_TUNE, "size")
    assert "150 labels" in found.selection.why


def test_the_candidate_that_development_data_prefer_is_kept_and_trained_once(
    data: Data, bench: Callable[..., Bench]
) -> None:
    assert len(data.development) >= selection.ENOUGH
    for scores, winner in (
        ((0.4, 0.6, 0.5), FINE_TUNE),
        ((0.4, 0.5, 0.6), GENTLE),
        ((0.6, 0.5, 0.4), FROZEN),
        ((0.5, 0.5, 0.5), FROZEN),
    ):
        made, said = bench(*scores), []
        found = select(data.training, data.development, data.codebook, data.recipe, tune=made.tune, say=said.append)
        assert [name for name, _ in made.calls] == [FROZEN, FINE_TUNE, GENTLE], "each once, the cheapest first"
        assert found.trained.network == winner
        record = found.selection
        assert (record.chosen, record.basis) == (winner, "development")
        assert [c.score for c in record.candidates] == pytest.approx(scores)
        assert record.candidates[0].stance_macro_f1 == pytest.approx(scores[0] + 0.1)
        assert record.candidates[0].recipe == record.candidates[1].recipe == {}, "enough labels for the lexicon"
        assert record.candidates[2].recipe["epochs"] == 2 * data.recipe.epochs
        assert winner in said[-1]
        assert f"{winner} is best" in record.why


def test_a_small_development_part_gives_way_to_cross_validation(data: Data, bench: Callable[..., Bench]) -> None:
    training, development = few(data)
    made = bench(0.5, 1.0, 0.75)
    found = select(training, development, data.codebook, data.recipe, tune=made.tune)
    record = found.selection
    assert (record.chosen, record.basis) == (FINE_TUNE, "cross-validation")
    assert record.candidates[0].recipe == {"lexicon": 0.0}, "150 labels are too few for the lexicon"
    assert record.candidates[1].score == 1.0
    assert record.candidates[0].score is not None
    assert 0.2 < record.candidates[0].score < 0.8
    for name in (FROZEN, GENTLE):
        assert sum(n for called, n in made.calls if called == name) == 150, "each statement is held out once"
    assert made.calls[-1] == (FINE_TUNE, 120), "the winner is trained on the train part in the end"
    assert found.trained.network == FINE_TUNE


def test_fine_tuning_is_no_candidate_where_a_concern_is_absent(data: Data, bench: Callable[..., Bench]) -> None:
    training, development = few(data)
    bare = [
        replace(e, gold=msgspec.structs.replace(e.gold, concerns=tuple(c for c in e.gold.concerns if c != "fish")))
        for e in training
    ]
    for part in (development, data.development):
        made = bench(0.1, 0.9, 0.9)
        found = select(bare, part, data.codebook, data.recipe, tune=made.tune)
        assert found.selection.chosen == FROZEN
        assert {name for name, _ in made.calls} == {FROZEN}
        assert [c.reason for c in found.selection.candidates[1:]] == ["there is no training example for fish"] * 2
        assert [c.score for c in found.selection.candidates[1:]] == [None, None]


def test_a_candidate_that_fails_is_told_with_its_reason(data: Data, bench: Callable[..., Bench]) -> None:
    broken = TreatyStanceError("epoch 1: the loss is nan")
    for training, development in ((data.training, data.development), few(data)):
        found = select(training, development, data.codebook, data.recipe, tune=(made := bench(0.4, broken, 0.3)).tune)
        assert found.selection.chosen == FROZEN
        assert found.selection.candidates[1].reason == "epoch 1: the loss is nan"
        assert "fine-tune none, since epoch 1: the loss is nan" in found.selection.why
        made = bench(broken, broken, broken)
        with pytest.raises(RecordError, match="no way of training could be scored"):
            select(training, development, data.codebook, data.recipe, tune=made.tune)
        made = bench(UsageError("encoder x: no such folder"), 0.5, 0.5)
        with pytest.raises(UsageError, match="encoder x"):
            select(training, development, data.codebook, data.recipe, tune=made.tune)


def test_a_stance_without_an_example_is_refused_before_anything_is_tried(data: Data, bench: Callable[..., Bench]) -> None:
    made = bench(0.5, 0.5, 0.5)
    training = [e for e in data.training if e.gold.stance != "silent"]
    with pytest.raises(RecordError, match="no training example for silent:"):
        select(training, data.development[:30], data.codebook, data.recipe, tune=made.tune)
    assert made.calls == []


def test_one_document_cannot_be_cross_validated_and_development_decides(data: Data, bench: Callable[..., Bench]) -> None:
    training, development = ([replace(e, document=data.training[0].document) for e in part] for part in few(data))
    assert len(set(group_examples([*training, *development]))) == 1
    made = bench(0.5, 0.7, 0.6)
    found = select(training, development, data.codebook, data.recipe, tune=made.tune)
    assert (found.selection.chosen, found.selection.basis) == (FINE_TUNE, "development")


def test_a_gentler_recipe_makes_more_and_smaller_steps() -> None:
    plain = Recipe(epochs=5, batch_size=32, learning_rate=2e-4, patience=2)
    found = gentle(plain)
    assert (found.epochs, found.batch_size, found.learning_rate, found.patience) == (10, 16, 1e-4, 4)
    assert gentle(Recipe(batch_size=1)).batch_size == 1


def test_fine_tuning_on_a_fold_learns_the_concerns_that_occur_and_never_raises_the_others(data: Data) -> None:
    def without(example: Example) -> Example:
        kept = tuple(c for c in example.gold.concerns if c != "fish")
        return replace(example, gold=msgspec.structs.replace(example.gold, concerns=kept))

    fold = Fold(tuple(map(without, data.training[:60])), data.development[:30], data.development[30:])
    seen: list[tuple[str, ...]] = []

    def tune(
        training: Sequence[Example],
        development: Sequence[Example],
        codebook: Codebook,
        recipe: Recipe,
        listener: Listener | None,
    ) -> Trained:
        assert recipe.seed == 7
        seen.append(codebook.concern_ids)
        targets([*training, *development], codebook)  # refuses what the narrowed codebook does not have
        network, tokenizer = blank_network(codebook, recipe)
        always = Calibration(thresholds=(0.0,) * len(codebook.concerns))
        return Trained(network, tokenizer, recipe, always, (), 1)

    decided = tuned_decider(data.codebook, data.recipe, tune)(fold, 7)
    gold = targets(fold.held_out, data.codebook)
    assert seen == [("money",)]
    np.testing.assert_array_equal(decided.gold_concerns, gold.concerns > 0)
    assert gold.concerns[:, 0].any(), "there would be fish to find"
    assert not decided.concerns[:, 0].any()
    assert decided.concerns[:, 1].all()
    bare = tuple(replace(e, gold=msgspec.structs.replace(e.gold, concerns=())) for e in fold.training)
    with pytest.raises(RecordError, match="no training example for any concern"):
        tuned_decider(data.codebook, data.recipe, tune)(replace(fold, training=bare), 7)


def test_a_frozen_encoder_is_read_once_for_all_folds(data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    known = (*data.training[:90], *data.development[:30])
    read: list[int] = []
    decide = frozen_decider(known, data.codebook, data.recipe, advance=read.append)
    assert sum(read) == len(known)
    monkeypatch.setattr("models.frozen.read_features", lambda *a, **k: pytest.fail("read again"))
    fold = next(make_folds(known, folds=4, seed=0))
    decided = decide(fold, 0)
    assert (decided.stance == decided.gold_stance).mean() > 0.6, "random weights tell the words apart"


def test_the_manifest_says_how_it_was_learned(
    lines_path: Path, invented_path: Path, tiny_encoder: str, tmp_path: Path
) -> None:
    job = TrainJob(output=tmp_path / "bundle", corpus=lines_path, codebook=invented_path, method=FROZEN)
    found = train(job, Recipe(encoder=tiny_encoder), created="2025-01-01")
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["selection"] == {"chosen": FROZEN, "basis": "asked", "why": "as asked", "candidates": []}
    assert found.selection.chosen == FROZEN
