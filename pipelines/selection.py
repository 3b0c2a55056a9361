"""Which way of training for so many labels: the candidates are tried, and data held out from them decide."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from annotation.codebook import Codebook
from corpus.errors import RecordError, TreatyStanceError, UsageError
from pipelines.experiment import Fold, make_folds

if TYPE_CHECKING:
    from models.dataset import Example
    from models.metrics import Decisions
    from models.training import Listener, Recipe, Trained

AUTO, FINE_TUNE, FROZEN, GENTLE = "auto", "fine-tune", "frozen", "fine-tune gently"
METHODS = (AUTO, FINE_TUNE, FROZEN)

MANY = 600  # labels from which the recipe is taken untried: fine-tuning leads there, and trying three ways takes long
WORDS = 300  # labels from which the lexicon helps a frozen encoder: the learning curve has it behind at 200, ahead at 400
ENOUGH = 60  # statements in a development part below which a difference between candidates is mostly noise
_FOLDS = 4

Tune = Callable[["Sequence[Example]", "Sequence[Example]", Codebook, "Recipe", "Listener | None"], "Trained"]
Decide = Callable[[Fold, int], "Decisions"]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How one candidate did. ``score`` is the mean of stance and concern macro-F1, None where ``reason`` says why not.

    ``recipe`` has what differs from the recipe that was asked for.
    """

    name: str
    recipe: dict[str, object]
    score: float | None = None
    stance_macro_f1: float | None = None
    concern_macro_f1: float | None = None
    reason: str | None = None


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """Which candidate was taken and why; ``basis`` is ``asked``, ``size``, ``development`` or ``cross-validation``."""

    chosen: str
    basis: str
    why: str
    candidates: tuple[Score, ...] = ()


@dataclass(frozen=True)
class Selected:
    """The network of the candidate that was taken, and the record of the choice."""

    trained: Trained
    selection: Selection


def select(
    training: Sequence[Example],
    development: Sequence[Example],
    codebook: Codebook,
    recipe: Recipe,
    *,
    method: str = AUTO,
    listener: Listener | None = None,
    say: Callable[[str], object] = lambda line: None,
    tune: Tune | None = None,
) -> Selected:
    """Train by the method that was asked for, or by the one that held-out data prefer.

    With ``auto`` and fewer than 600 labels, three candidates are tried, the cheapest first: logistic regression on the
    frozen encoder, fine-tuning with the recipe, and fine-tuning with smaller steps. Each is scored on the development part;
    where that has fewer than 60 statements, in grouped cross-validation over both parts, and the winner is then trained on
    them. Of equals the cheaper one is taken. Fine-tuning is no candidate where a concern has no training example.

    Args:
        training: The train part.
        development: The development part.
        codebook: Its labels.
        recipe: For fine-tuning; of it the frozen encoder uses what it can.
        method: ``auto``, ``fine-tune`` or ``frozen``.
        listener: Is told of progress.
        say: Is told, a line each, what is tried and what came of it.
        tune: What fine-tunes; default: :func:`models.training.fine_tune`.

    Raises:
        UsageError: when there is no such method.
        RecordError: when a label has no training example and the method needs one, or a part is empty.
    """
    from models.frozen import check_parts, fit_frozen
    from models.training import fine_tune

    tune = tune or fine_tune
    if method not in METHODS:
        raise UsageError(f"recipe {method!r}: expected one of {', '.join(METHODS)}")
    if method == FINE_TUNE:
        trained = tune(training, development, codebook, recipe, listener)
        return Selected(trained, Selection(chosen=FINE_TUNE, basis="asked", why="as asked"))
    labels = len(training) + len(development)
    if method == FROZEN:
        trained = fit_frozen(training, development, codebook, frozen_recipe(recipe, labels), listener)
        return Selected(trained, Selection(chosen=FROZEN, basis="asked", why="as asked"))
    if labels >= MANY:
        why = f"{labels} labels, and from {MANY} on the recipe is taken as it is"
        trained = tune(training, development, codebook, recipe, listener)
        return Selected(trained, Selection(chosen=FINE_TUNE, basis="size", why=why))
    check_parts(training, development, codebook)
    trial = _Trial(training, development, codebook, recipe, listener, tune)
    folds = () if len(development) >= ENOUGH else trial.folds()
    basis = "cross-validation" if folds else "development"
    say(f"{labels} labels are few: trying {', '.join(trial.recipes)} ({basis})")
    scores: list[Score] = []
    best: Score | None = None
    kept: Trained | None = None
    for name in trial.recipes:
        score, trained_now = trial.cross_validated(name, folds) if folds else trial.on_development(name)
        scores.append(score)
        say(f"    {brief(score)}")
        if score.score is not None and (best is None or best.score is None or score.score > best.score):
            best, kept = score, trained_now
    if best is None:
        raise RecordError(
            f"no way of training could be scored on {labels} labels: {'; '.join(map(brief, scores))}; label more"
        )
    why = f"{best.name} is best by the mean of stance and concern macro-F1 ({basis}): {'; '.join(map(brief, scores))}"
    say(f"taken: {best.name}, with the best mean of stance and concern macro-F1")
    selection = Selection(chosen=best.name, basis=basis, why=why, candidates=tuple(scores))
    return Selected(kept or trial.train(best.name), selection)


def frozen_recipe(recipe: Recipe, labels: int) -> Recipe:
    """Return the recipe for a frozen encoder: with fewer than 300 labels, without the lexicon."""
    return recipe if labels >= WORDS else msgspec.structs.replace(recipe, lexicon=0.0)


def gentle(recipe: Recipe) -> Recipe:
    """Return the recipe with smaller steps and more of them: half the batch and learning rate, twice the epochs."""
    return msgspec.structs.replace(
        recipe,
        batch_size=max(1, recipe.batch_size // 2),
        learning_rate=recipe.learning_rate / 2,
        epochs=2 * recipe.epochs,
        patience=2 * recipe.patience,
    )


def changed(recipe: Recipe, plain: Recipe) -> dict[str, object]:
    """Return the fields of a recipe that differ from those of another, as plain values."""
    fields, before = msgspec.to_builtins(recipe), msgspec.to_builtins(plain)
    return {name: value for name, value in fields.items() if value != before[name]}


def brief(score: Score) -> str:
    """Return a candidate's score in a few words."""
    if score.score is None:
        return f"{score.name} none, since {score.reason}"
    parts = (("stance", score.stance_macro_f1), ("concerns", score.concern_macro_f1))
    return f"{score.name} {score.score:.3f} (" + ", ".join(f"{n} {v:.3f}" for n, v in parts if v is not None) + ")"


def frozen_decider(
    examples: Sequence[Example],
    codebook: Codebook,
    recipe: Recipe,
    *,
    advance: Callable[[int], object] = lambda n: None,
) -> Decide:
    """Read statements once with the unchanged encoder, and return what trains and decides on any fold of them."""
    from models.dataset import targets
    from models.frozen import blank_network, fit_heads, read_features
    from models.training import decisions

    network, tokenizer = blank_network(codebook, recipe)
    features = read_features(network, tokenizer, examples, recipe, advance=advance)
    place = {e.statement.id: i for i, e in enumerate(examples)}

    def decide(fold: Fold, seed: int) -> Decisions:
        parts = (fold.training, fold.development, fold.held_out)
        read = [features.rows([place[e.statement.id] for e in part]) for part in parts]
        plain = msgspec.structs.replace(recipe, seed=seed)
        heads = fit_heads((read[0], read[1]), (fold.training, fold.development), codebook, plain)
        return decisions(heads.scores(read[2]), targets(fold.held_out, codebook), heads.calibration)

    return decide


def tuned_decider(codebook: Codebook, recipe: Recipe, tune: Tune, listener: Listener | None = None) -> Decide:
    """Return what fine-tunes and decides on a fold; a concern that its training lacks is not learned and never raised."""
    from models.dataset import targets
    from models.encoding import encode
    from models.inference import run_network
    from models.metrics import Decisions
    from models.training import decisions

    def decide(fold: Fold, seed: int) -> Decisions:
        known = [j for j, c in enumerate(codebook.concern_ids) if c not in absent_concerns(fold.training, codebook)]
        if not known:
            raise RecordError("no training example for any concern, so fine-tuning has nothing to learn; label more")
        narrow = msgspec.structs.replace(codebook, concerns=tuple(codebook.concerns[j] for j in known))
        training, development, held_out = (
            [_narrowed(e, narrow) for e in part] for part in (fold.training, fold.development, fold.held_out)
        )
        trained = tune(training, development, narrow, msgspec.structs.replace(recipe, seed=seed), listener)
        passages = [e.passage for e in held_out]
        encoded = encode(trained.tokenizer, passages, context=recipe.context, max_length=recipe.max_length)
        scores = run_network(trained.network, encoded, pad=trained.tokenizer.pad_token_id)
        narrowly = decisions(scores, targets(held_out, narrow), trained.calibration)
        y = targets(fold.held_out, codebook)
        raised = np.zeros((len(held_out), len(codebook.concerns)), dtype=bool)
        raised[:, known] = narrowly.concerns
        return Decisions(y.stance, narrowly.stance, y.concerns > 0, raised, narrowly.confidence)

    return decide


def absent_concerns(training: Sequence[Example], codebook: Codebook) -> tuple[str, ...]:
    """Return the concerns of the codebook without a training example."""
    seen = {c for e in training for c in e.gold.concerns}
    return tuple(c for c in codebook.concern_ids if c not in seen)


@dataclass(frozen=True)
class _Trial:
    """The data, and each candidate's way of training on them."""

    training: Sequence[Example]
    development: Sequence[Example]
    codebook: Codebook
    recipe: Recipe
    listener: Listener | None
    tune: Tune

    @property
    def recipes(self) -> dict[str, Recipe]:
        """The candidates, the cheapest first."""
        labels = len(self.training) + len(self.development)
        return {FROZEN: frozen_recipe(self.recipe, labels), FINE_TUNE: self.recipe, GENTLE: gentle(self.recipe)}

    def folds(self) -> tuple[Fold, ...]:
        """Return folds over both parts whose training has every stance; none where there are too few labels."""
        known = (*self.training, *self.development)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class")
            try:
                found = tuple(make_folds(known, folds=_FOLDS, seed=self.recipe.seed))
            except ValueError:  # scikit-learn's word for fewer cases than folds
                return ()
        stances = {e.gold.stance for e in known}
        return tuple(f for f in found if {e.gold.stance for e in f.training} == stances and f.development and f.held_out)

    def train(self, name: str) -> Trained:
        """Train a candidate on the two parts."""
        from models.frozen import fit_frozen

        run = fit_frozen if name == FROZEN else self.tune
        return run(self.training, self.development, self.codebook, self.recipes[name], self.listener)

    def on_development(self, name: str) -> tuple[Score, Trained | None]:
        """Train a candidate and score it on the development part."""
        refused = self._refused(name)
        if refused is not None:
            return refused, None
        try:
            trained = self.train(name)
        except UsageError:  # an encoder that does not exist is the caller's mistake, not the candidate's
            raise
        except TreatyStanceError as error:
            return self._score(name, reason=str(error)), None
        row = trained.history[trained.best_epoch - 1]
        return self._score(name, row["stance_macro_f1"], row["concern_macro_f1"]), trained

    def cross_validated(self, name: str, folds: Sequence[Fold]) -> tuple[Score, None]:
        """Score a candidate on the held-out statements of all folds together."""
        from models.metrics import Counter, join_decisions

        refused = self._refused(name)
        if refused is not None:
            return refused, None
        quiet = None if self.listener is None else replace(self.listener, epoch=lambda row: None)
        try:
            if name == FROZEN:
                known = (*self.training, *self.development)
                decide = frozen_decider(known, self.codebook, self.recipes[name])
            else:
                decide = tuned_decider(self.codebook, self.recipes[name], self.tune, quiet)
            decided = join_decisions([decide(fold, self.recipe.seed) for fold in folds])
        except UsageError:  # an encoder that does not exist is the caller's mistake, not the candidate's
            raise
        except TreatyStanceError as error:
            return self._score(name, reason=str(error)), None
        counter = Counter(len(self.codebook.stances), len(self.codebook.concerns), (), ())
        figures = counter.metrics(counter.counts(decided).sum(0))
        stance, concern = (float(figures[f"{task}_macro_f1", None]) for task in ("stance", "concern"))
        return self._score(name, stance, concern), None

    def _refused(self, name: str) -> Score | None:
        absent = absent_concerns(self.training, self.codebook)
        if name == FROZEN or not absent:
            return None
        return self._score(name, reason=f"there is no training example for {', '.join(absent)}")

    def _score(self, name: str, stance: float = np.nan, concern: float = np.nan, reason: str | None = None) -> Score:
        """Return the record; a figure that is undefined (no such label in gold and decisions) is left out of the mean."""
        recipe = changed(self.recipes[name], self.recipe)
        known = [v for v in (stance, concern) if np.isfinite(v)]
        return Score(
            name=name,
            recipe=recipe,
            score=float(np.mean(known)) if known else None,
            stance_macro_f1=stance if np.isfinite(stance) else None,
            concern_macro_f1=concern if np.isfinite(concern) else None,
            reason=reason or (None if known else "no figure is defined on what was held out"),
        )


def _narrowed(example: Example, codebook: Codebook) -> Example:
    """Return an example without the concerns that a codebook does not have, in gold and readings."""

    def kept(concerns: Sequence[str]) -> tuple[str, ...]:
        return tuple(c for c in concerns if c in codebook.concern_ids)

    gold = msgspec.structs.replace(example.gold, concerns=kept(example.gold.concerns))
    readings = tuple(msgspec.structs.replace(r, concerns=kept(r.concerns)) for r in example.readings)
    return replace(example, gold=gold, readings=readings)
