"""Learning from few labels: the encoder stays as it is, and logistic regressions become the heads of the network."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeVar

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from annotation.codebook import Codebook
from corpus.errors import RecordError
from models.calibration import Calibration, fit_calibration, softmax
from models.dataset import Example, Targets, targets
from models.encoding import Encoded, collate, encode, length_batches
from models.inference import Scores
from models.lexicon import Blend, blended, fit_blend, fit_lexicon, lexicon_scores
from models.metrics import Counter
from models.network import Lexicon, Sizes, StanceNetwork, load_encoder
from models.regression import Fold, Head, binary, choose_head, class_score, label_score, multinomial
from models.splits import group_examples
from models.training import Listener, Recipe, Trained, _development

Floats = NDArray[np.float64]

_FOLDS = 5
_TOKENS = 2048  # padded ones in a batch of the encoder


@dataclass(frozen=True)
class Features:
    """What a network reads of n statements: tokens, and what the heads read: ``label`` and ``holder_type`` (n, width each).

    ``vocabulary`` is the number of different tokens that the encoder knows.
    """

    encoded: tuple[Encoded, ...]
    label: Floats
    holder_type: Floats
    vocabulary: int

    def rows(self, rows: Sequence[int] | NDArray[np.int64]) -> Features:
        """Return the features of some of the statements."""
        return Features(tuple(self.encoded[i] for i in rows), self.label[rows], self.holder_type[rows], self.vocabulary)


@dataclass(frozen=True)
class Heads:
    """The three label heads, the lexicon blended with them, if any, their calibration, and their development figures."""

    stance: Head
    concerns: Head
    holder_type: Head
    lexicon: Lexicon | None
    calibration: Calibration
    row: dict[str, float]

    def scores(self, features: Features) -> Scores:
        """Return the raw scores that a network with these heads and this lexicon gives; nobody is named."""
        own = _scores(self.stance(features.label), self.concerns(features.label), self.holder_type(features.holder_type))
        if self.lexicon is None:
            return own
        halves = Blend(own, lexicon_scores(self.lexicon, features.encoded, own))
        return blended(halves, self.lexicon.blend.double().tolist())


_Arrays = TypeVar("_Arrays", Scores, Targets)  # records of arrays over the same statements


def fit_frozen(
    training: Sequence[Example],
    development: Sequence[Example],
    codebook: Codebook,
    recipe: Recipe,
    listener: Listener | None = None,
) -> Trained:
    """Fit the heads by logistic regression on an encoder that is left as it is; each statement is read once.

    Takes what :func:`models.training.fine_tune` takes and returns what it returns: a network that a bundle can hold. Of the
    recipe, ``encoder``, ``context``, ``max_length``, ``lexicon`` and ``seed`` count; the one in the result has one epoch and
    learning rates of zero. The span head says that nobody is named: a linear pointer into the unchanged encoder, fitted on
    100 labels of the reference corpus, was right no more often. The same data, recipe and versions give the same network.

    Raises:
        RecordError: when a stance of the codebook has no training example, or a part is empty. A concern without one is
            no error: its regression is constant.
    """
    listener = listener or Listener()
    network, tokenizer = blank_network(codebook, recipe)
    sides = [read_features(network, tokenizer, part, recipe, advance=listener.advance) for part in (training, development)]
    heads = fit_heads((sides[0], sides[1]), (training, development), codebook, recipe)
    for name in ("stance", "concerns", "holder_type"):
        head, layer = getattr(heads, name), getattr(network, name)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(head.weight))
            layer.bias.copy_(torch.from_numpy(head.bias))
    network.lexicon = heads.lexicon
    unchanged = msgspec.structs.replace(recipe, epochs=1, learning_rate=0.0, head_learning_rate=0.0)
    listener.epoch(heads.row)
    return Trained(network, tokenizer, unchanged, heads.calibration, (heads.row,), 1)


def blank_network(codebook: Codebook, recipe: Recipe) -> tuple[StanceNetwork, Any]:
    """Return a network whose heads are all zero over the recipe's encoder, and the tokenizer.

    Zero span scores name nobody, since "nobody" wins a tie (:func:`models.inference.decode_span`).

    Raises:
        UsageError: when there is no such encoder.
    """
    encoder, tokenizer = load_encoder(recipe.encoder)
    sizes = Sizes(len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
    with torch.random.fork_rng(devices=[]):  # new layers draw random weights, which the next lines overwrite
        network = StanceNetwork(encoder, sizes, recipe.dropout)
    for head in (network.stance, network.concerns, network.holder_type, network.span):
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    network.eval()
    return network, tokenizer


def read_features(
    network: StanceNetwork,
    tokenizer: Any,
    examples: Sequence[Example],
    recipe: Recipe,
    *,
    advance: Callable[[int], object] = lambda n: None,
) -> Features:
    """Run statements through the network and return what its label heads read, in their order.

    Args:
        network: In evaluation mode; its span head decides which tokens the holder type is read from.
        tokenizer: The encoder's.
        examples: The statements.
        recipe: ``context`` and ``max_length`` count.
        advance: Called with the number of statements done, batch by batch.
    """
    heads = {"label": network.stance, "holder_type": network.holder_type}
    out = {name: np.zeros((len(examples), head.in_features)) for name, head in heads.items()}
    read: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        return lambda _, inputs: read.update({name: inputs[0]})

    hooks = [head.register_forward_pre_hook(keep(name)) for name, head in heads.items()]
    encoded = encode(tokenizer, [e.passage for e in examples], context=recipe.context, max_length=recipe.max_length)
    try:
        with torch.inference_mode():
            for batch in length_batches([len(e.ids) for e in encoded], tokens=_TOKENS):
                network(*collate([encoded[i] for i in batch], tokenizer.pad_token_id))
                for name, values in out.items():
                    values[batch] = read[name].double().numpy()
                advance(len(batch))
    finally:
        for hook in hooks:
            hook.remove()
    vocabulary = int(network.encoder.config.vocab_size)  # type: ignore[union-attr, arg-type]  # every encoder has it
    return Features(tuple(encoded), out["label"], out["holder_type"], vocabulary)


def fit_heads(
    features: tuple[Features, Features],
    parts: tuple[Sequence[Example], Sequence[Example]],
    codebook: Codebook,
    recipe: Recipe,
) -> Heads:
    """Fit the heads, blend them with a lexicon, and calibrate.

    Stance and holder type are multinomial, each concern is a regression of its own. Strength and class weights (none, or
    inverse frequency) are those with the best macro-F1 in grouped cross-validation within the training part. Blend and
    calibration are fitted on the logits of that cross-validation together with those of the development part, since a
    small development part alone says little.

    Args:
        features: Of the training and the development part.
        parts: The statements of both, in the same order.
        codebook: Its labels.
        recipe: ``lexicon`` and ``seed`` (of the folds) count.

    Raises:
        RecordError: when a stance of the codebook has no training example, or a part is empty.
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    training, development = parts
    check_parts(training, development, codebook)
    with threadpool_limits(limits=1, user_api="blas"):  # small matrices: threads only cost
        return _fit(features, (targets(training, codebook), targets(development, codebook)), training, codebook, recipe)


def _fit(
    features: tuple[Features, Features],
    gold: tuple[Targets, Targets],
    training: Sequence[Example],
    codebook: Codebook,
    recipe: Recipe,
) -> Heads:
    (x, held), (y, y_held) = features, gold
    s, c, k = len(codebook.stances), len(codebook.concerns), len(codebook.holder_types)
    folds = tuple(_folds(training, y.stance, recipe.seed))
    stance, out_stance = choose_head(x.label, y.stance, folds, multinomial(s), class_score)
    concerns, out_concerns = choose_head(x.label, y.concerns, folds, binary, label_score)
    kinds, out_kinds = choose_head(x.holder_type, y.holder_type, folds, multinomial(k), class_score)
    here = _scores(stance(held.label), concerns(held.label), kinds(held.holder_type))
    scores = _joined(_scores(out_stance, out_concerns, out_kinds), here)
    known = _joined(_some(y, np.arange(len(out_stance))), y_held)  # of training all, or none where there are no folds
    lexicon = None
    if recipe.lexicon:
        lexicon = fit_lexicon(x.encoded, y, (s, c, k), x.vocabulary, recipe.lexicon)
        words = lexicon_scores(lexicon, held.encoded, here)
        if folds:
            words = _joined(_lexicon_held_out(x, y, folds, (s, c, k), recipe.lexicon), words)
        halves = Blend(scores, words)
        weights = fit_blend(halves, known)
        lexicon.blend.copy_(torch.tensor(weights))
        scores = blended(halves, weights)
    calibration = fit_calibration(scores.stance, known.stance, scores.concerns, known.concerns)
    on_development = _some(scores, np.arange(len(out_stance), len(scores.stance)))
    probability = softmax(stance(x.label))[np.arange(len(training)), y.stance]
    row = {
        "epoch": 1.0,
        "loss": float(-np.log(np.clip(probability, 1e-12, None)).mean()),
        **_development(on_development, y_held, calibration, Counter(s, c, (), ())),
        **{f"{name}_strength": head.strength for name, head in (("stance", stance), ("concern", concerns))},
        **{f"{name}_balanced": float(head.balanced) for name, head in (("stance", stance), ("concern", concerns))},
    }
    return Heads(stance, concerns, kinds, lexicon, calibration, row)


def _lexicon_held_out(
    x: Features, y: Targets, folds: Sequence[Fold], sizes: tuple[int, int, int], strength: float
) -> Scores:
    """Return the scores that lexicons fitted without them give the training statements."""
    out = _scores(*(np.zeros((len(x.encoded), size)) for size in sizes))
    for fitted, held in folds:
        lexicon = fit_lexicon(x.rows(fitted).encoded, _some(y, fitted), sizes, x.vocabulary, strength)
        found = lexicon_scores(lexicon, x.rows(held).encoded, _some(out, held))
        for name in ("stance", "concerns", "holder_type"):
            getattr(out, name)[held] = getattr(found, name)
    return out


def check_parts(training: Sequence[Example], development: Sequence[Example], codebook: Codebook) -> None:
    """Refuse parts that no method can learn from.

    Raises:
        RecordError: when a part is empty, or a stance of the codebook has no training example.
    """
    if not training or not development:
        raise RecordError("training needs labelled statements in the train and the development part; one of them is empty")
    seen = {e.gold.stance for e in training}
    absent = [stance for stance in codebook.stance_ids if stance not in seen]
    if absent:
        raise RecordError(
            f"no training example for {', '.join(absent)}: a model cannot learn a stance without one; "
            "annotate some, or take the stance out of the codebook"
        )


def _folds(examples: Sequence[Example], y: NDArray[np.int64], seed: int) -> Iterator[Fold]:
    """Yield positions to fit on and to hold out, by group; nothing where there are too few groups or cases for two folds."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = group_examples(examples)
    folds = min(_FOLDS, len(set(groups)), int(np.bincount(y).max()))
    if folds < 2:
        return
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")  # few labels are what this is for
        yield from [(fitted, held) for fitted, held in splitter.split(y, y, groups) if len(fitted) and len(held)]


def _scores(stance: Floats, concerns: Floats, holder_type: Floats) -> Scores:
    return Scores(stance, concerns, holder_type, np.full((len(stance), 2), -1, dtype=np.int64))


def _some(arrays: _Arrays, rows: NDArray[np.int64]) -> _Arrays:
    """Return a record with the rows of some of the statements."""
    return type(arrays)(*(getattr(arrays, f.name)[rows] for f in fields(arrays)))


def _joined(a: _Arrays, b: _Arrays) -> _Arrays:
    """Return a record of two lots of statements."""
    return type(a)(*(np.concatenate([getattr(a, f.name), getattr(b, f.name)]) for f in fields(a)))
