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
from models.calibration import Calibration, choose_thresholds, fit_calibration, sigmoid, softmax
from models.dataset import Example, Targets, targets
from models.encoding import Encoded, collate, encode, length_batches
from models.inference import Scores
from models.lexicon import Blend, blended, fit_blend, fit_lexicon, lexicon_scores
from models.metrics import Counter
from models.network import Lexicon, Sizes, StanceNetwork, load_encoder
from models.splits import group_examples
from models.training import Listener, Recipe, Trained, _development

Floats = NDArray[np.float64]

# Inverse regularisation on standardised features. In cross-validation on the train and development parts of the reference
# corpus, stance macro-F1 was best between 0.001 and 0.03 for 50 to 900 labels, and only fell beyond.
_STRENGTHS = (0.001, 0.003, 0.01, 0.03)
_MIDDLE = 0.003  # where there is nothing to choose by
_FEWEST = 2  # cases on either side of a label without which it gets no direction of its own
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
class Head:
    """A linear head for k labels: ``weight`` (k, width) and ``bias`` (k,), and how it was regularised."""

    weight: Floats
    bias: Floats
    strength: float
    balanced: bool

    def __call__(self, x: Floats) -> Floats:
        """Return logits (n, k) for features (n, width)."""
        return np.asarray(x @ self.weight.T + self.bias)


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


Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # positions to fit on, and to hold out
_Arrays = TypeVar("_Arrays", Scores, Targets)  # records of arrays over the same statements

# Fits a head: features (n, width), gold labels, inverse regularisation, balanced or not.
_Fit = Callable[[Floats, NDArray[Any], float, bool], Head]


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
    stance, out_stance = _choose(x.label, y.stance, folds, _multinomial(s), _class_score)
    concerns, out_concerns = _choose(x.label, y.concerns, folds, _binary, _label_score)
    kinds, out_kinds = _choose(x.holder_type, y.holder_type, folds, _multinomial(k), _class_score)
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


def _choose(
    x: Floats,
    y: NDArray[Any],
    folds: Sequence[Fold],
    fit: _Fit,
    score: Callable[[Floats, NDArray[Any]], float],
) -> tuple[Head, Floats]:
    """Return the head with the strength and weighting that score best on held-out folds, and its logits there.

    Of equals the stronger regularisation wins, and no weights before weights. Without folds the middle strength is taken,
    with weights, and there are no logits.
    """
    if not folds:
        head = fit(x, y, _MIDDLE, True)
        return head, np.zeros((0, len(head.bias)))
    best: tuple[float, float, bool, Floats] | None = None
    for balanced in (False, True):
        for strength in _STRENGTHS:
            logits = [(held, fit(x[fitted], y[fitted], strength, balanced)(x[held])) for fitted, held in folds]
            out = np.zeros((len(x), logits[0][1].shape[1]))
            for held, z in logits:
                out[held] = z
            found = score(out, y)
            if best is None or found > best[0] + 1e-9:
                best = (found, strength, balanced, out)
    assert best is not None  # noqa: S101  # there is a first strength
    return fit(x, y, best[1], best[2]), best[3]


def _multinomial(classes: int) -> _Fit:
    """Return what fits a multinomial regression; cases below zero are left out, labels without a case get a low constant."""

    def fit(x: Floats, y: NDArray[Any], strength: float, balanced: bool) -> Head:
        from sklearn.linear_model import LogisticRegression

        x, y = x[y >= 0], y[y >= 0]
        # A label that the data lack is as likely as half a case among them.
        weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, np.log(0.5 / (len(y) + 0.5)))
        present = np.unique(y)
        if len(present) == 1:
            bias[present] = 0.0
        elif len(present) > 1:
            z, mean, spread = _standardised(x)
            model = LogisticRegression(C=strength, class_weight=_weighting(balanced), max_iter=1000).fit(z, y)
            both = len(present) == 2  # scikit-learn gives one row for two classes: the second's log odds
            w = np.concatenate([-model.coef_, model.coef_]) / 2 if both else model.coef_
            b = np.concatenate([-model.intercept_, model.intercept_]) / 2 if both else model.intercept_
            weight[present], bias[present] = w / spread, b - (w / spread) @ mean
        return Head(weight, bias, strength, balanced)

    return fit


def _binary(x: Floats, y: NDArray[Any], strength: float, balanced: bool) -> Head:
    """Fit one regression a column of ``y`` (n, labels); a column with too few cases on a side gets its log odds alone."""
    from sklearn.linear_model import LogisticRegression

    n, labels = y.shape
    positives = y.sum(0)
    weight, bias = np.zeros((labels, x.shape[1])), np.log((positives + 0.5) / (n - positives + 0.5)).astype(np.float64)
    z, mean, spread = _standardised(x)
    for j in np.flatnonzero((positives >= _FEWEST) & (n - positives >= _FEWEST)):
        model = LogisticRegression(C=strength, class_weight=_weighting(balanced), max_iter=1000).fit(z, y[:, j])
        weight[j] = model.coef_[0] / spread
        bias[j] = model.intercept_[0] - weight[j] @ mean
    return Head(weight, bias, strength, balanced)


def _standardised(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Return features with mean 0 and standard deviation 1, and the mean and deviation that they had."""
    mean, spread = x.mean(0), x.std(0)
    spread = np.where(spread > 1e-9, spread, 1.0)  # a feature that never varies stays zero
    return (x - mean) / spread, mean, spread


def _weighting(balanced: bool) -> str | None:
    return "balanced" if balanced else None


def _class_score(logits: Floats, y: NDArray[Any]) -> float:
    from sklearn.metrics import f1_score

    known = y >= 0
    if not known.any():
        return 0.0
    return float(f1_score(y[known], logits[known].argmax(1), average="macro", zero_division=np.nan))


def _label_score(logits: Floats, y: NDArray[Any]) -> float:
    from sklearn.metrics import f1_score

    if not y.any():
        return 0.0
    probability = sigmoid(logits)
    decided = probability >= choose_thresholds(probability, y)
    return float(np.nanmean(f1_score(y > 0, decided, average=None, zero_division=np.nan)))


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
