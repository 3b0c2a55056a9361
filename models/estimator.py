"""Training and prediction behind scikit-learn's interface: texts in, stances out. A leaf: nothing of ours imports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold, train_test_split
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, check_is_fitted, column_or_1d

from annotation.codebook import FORMAT, Codebook, ConcernLabel, HolderType, StanceLabel, Target
from corpus.errors import RecordError, UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Document, GoldLabel, Statement
from models.passage import Passage

if TYPE_CHECKING:
    from models.dataset import Example
    from models.recipe import Recipe

_FROM_RECIPE = (
    "encoder",
    "context",
    "max_length",
    "epochs",
    "batch_size",
    "learning_rate",
    "head_learning_rate",
    "patience",
    "seed",
)
_ALWAYS = "always"  # the one concern of the internal codebook, see _examples


class SampleError(RecordError, ValueError):
    """What was given cannot be learned from or judged; a ValueError as well, since scikit-learn's callers expect one."""


class StanceClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn ships no types
    """Fine-tunes an encoder on texts and their stances, as ``treaty-stance train`` does, without concerns and holders.

    Probabilities are calibrated on the part of the training data that is held back to choose the epoch. Sample weights are
    not supported and not in ``fit``'s signature, so that whoever asks for them is told.

    Args:
        recipe: How to train; None for the default :class:`models.recipe.Recipe`.
        encoder: This and the following take the place of the recipe's field of that name; None leaves the recipe's.
        context: See the recipe.
        max_length: See the recipe.
        epochs: See the recipe.
        batch_size: See the recipe.
        learning_rate: See the recipe.
        head_learning_rate: See the recipe.
        patience: See the recipe.
        seed: See the recipe; also of the part that is held back.
        validation_fraction: Share of the training data that is held back, stances in like shares.

    Attributes:
        classes_: The stances, sorted; the order of ``predict_proba``'s columns.
        recipe_: The recipe as used.
        history_: One row an epoch, as in a bundle's ``history.json``.
        network_: The fitted network.
        tokenizer_: Its tokenizer.
        calibration_: From logits to probabilities.
    """

    def __init__(
        self,
        *,
        recipe: Recipe | None = None,
        encoder: str | None = None,
        context: str | None = None,
        max_length: int | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        head_learning_rate: float | None = None,
        patience: int | None = None,
        seed: int | None = None,
        validation_fraction: float = 0.15,
    ) -> None:
        self.recipe = recipe
        self.encoder = encoder
        self.context = context
        self.max_length = max_length
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.patience = patience
        self.seed = seed
        self.validation_fraction = validation_fraction

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        return tags

    def fit(self, X: Any, y: Any, groups: Any = None) -> StanceClassifier:  # noqa: N803  # scikit-learn's name
        """Train.

        Args:
            X: n texts or :class:`models.passage.Passage`, in a list, array or Series.
            y: n stances: strings, integers or booleans.
            groups: n group labels; a group, such as a document, is not divided between training and held-back part.

        Raises:
            SampleError: when a text is missing or empty, there is one stance only, or a stance is too rare to divide.
            UsageError: when a parameter has no meaning.
            ValueError: when lengths differ, or ``y`` has not the form of classes.
        """
        from models.training import fine_tune

        recipe = self._recipe()
        passages = _passages(X)
        y = column_or_1d(y)
        check_consistent_length(passages, y, groups)
        check_classification_targets(y)
        classes, index = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            found = repr(classes.tolist()[0]) if len(classes) else "nothing"
            raise SampleError(f"y: expected two stances or more, found {found} alone; there is nothing to tell apart")
        held_back = _held_back(index, groups, self.validation_fraction, recipe.seed)
        rest = np.setdiff1d(np.arange(len(index)), held_back)
        lost = np.setdiff1d(np.arange(len(classes)), index[rest])
        if len(lost):
            raise SampleError(
                f"stance {classes.tolist()[lost[0]]!r} is in the held-back part only, expected it in more groups; "
                "give more examples or finer groups"
            )
        codebook = _codebook(len(classes))
        examples = _examples(passages, [codebook.stance_ids[i] for i in index])
        trained = fine_tune([examples[i] for i in rest], [examples[i] for i in held_back], codebook, recipe)
        self.classes_ = classes
        self.recipe_ = trained.recipe
        self.history_ = trained.history
        self.network_ = trained.network
        self.tokenizer_ = trained.tokenizer
        self.calibration_ = trained.calibration
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:  # noqa: N803  # scikit-learn's name
        """Return calibrated probabilities (n, classes), columns in the order of ``classes_``; each row sums to one.

        Raises:
            NotFittedError: before ``fit``.
            SampleError: when a text is missing or empty.
        """
        from models.encoding import encode
        from models.inference import run_network

        check_is_fitted(self)
        encoded = encode(self.tokenizer_, _passages(X), context=self.recipe_.context, max_length=self.recipe_.max_length)
        scores = run_network(self.network_, encoded, pad=self.tokenizer_.pad_token_id)
        return np.asarray(self.calibration_.stance(scores.stance))

    def predict(self, X: Any) -> NDArray[Any]:  # noqa: N803  # scikit-learn's name
        """Return the most probable stance of each of n texts, in ``y``'s own words.

        Raises:
            NotFittedError: before ``fit``.
            SampleError: when a text is missing or empty.
        """
        probability = self.predict_proba(X)
        return np.asarray(self.classes_[probability.argmax(1)])

    def _recipe(self) -> Recipe:
        from models.recipe import Recipe

        fields = msgspec.to_builtins(self.recipe or Recipe())
        fields |= {name: getattr(self, name) for name in _FROM_RECIPE if getattr(self, name) is not None}
        # Labels that there are none of weigh nothing: their heads get no gradient.
        fields["weights"] |= {"concerns": 0.0, "holder": 0.0}
        try:
            return msgspec.convert(fields, Recipe)
        except msgspec.ValidationError as error:
            raise UsageError(f"StanceClassifier: {error}; give another value") from error


def _passages(texts: Any) -> list[Passage]:
    """Return texts as passages.

    Raises:
        SampleError: naming the first that is no text, or is empty.
    """
    if isinstance(texts, str):
        raise SampleError("X is one string, expected a list or array of texts; put it into a list")
    out = []
    for i, text in enumerate(texts):
        passage = text if isinstance(text, Passage) else Passage(text)
        if not isinstance(passage.text, str) or not passage.text.strip():
            raise SampleError(f"X[{i}]: expected a text, found {passage.text!r}; take the row out, with its label")
        out.append(passage)
    return out


def _held_back(index: NDArray[np.intp], groups: Any, fraction: float, seed: int) -> NDArray[np.intp]:
    """Return which of n samples choose the epoch and the calibration instead of being learned from.

    Their order is random, members of a group side by side: calibration judges itself on stretches of consecutive samples.
    """
    if not 0 < fraction <= 0.5:
        raise UsageError(
            f"validation_fraction is {fraction!r}, expected a share above 0 and at most 0.5; give another value"
        )
    try:
        if groups is None:
            part = train_test_split(np.arange(len(index)), test_size=fraction, stratify=index, random_state=seed)[1]
            return np.asarray(part)
        folds = StratifiedGroupKFold(round(1 / fraction), shuffle=True, random_state=seed)
        part = next(folds.split(index, index, groups))[1]
    except ValueError as error:
        raise SampleError(f"y: the training data cannot be divided, {error}; give more examples") from error
    _, number = np.unique(np.asarray(groups)[part], return_inverse=True)
    place = np.random.default_rng(seed).permutation(number.max() + 1)
    return np.asarray(part[np.argsort(place[number], kind="stable")])


def _codebook(classes: int) -> Codebook:
    """Return a codebook for k classes: what training wants to know of labels, under names that no label can clash with."""
    stances = tuple(
        StanceLabel(id=f"class_{i}", name=f"Class {i}", definition="", polarity="neutral") for i in range(classes)
    )
    return Codebook(
        format=FORMAT,
        name="classes",
        version=1,
        target=Target(name="unknown"),
        stances=stances,
        concerns=(ConcernLabel(id=_ALWAYS, name="Always", definition=""),),
        holder_types=(HolderType(id="unknown", name="Unknown", nobody=True),),
    )


def _examples(passages: Sequence[Passage], stances: Sequence[str]) -> list[Example]:
    """Return examples that all raise the same one concern: its F1 is always 1, so that stance chooses the epoch."""
    from models.dataset import Example

    out = []
    for i, (passage, stance) in enumerate(zip(passages, stances, strict=True)):
        url = f"sample:{i}"
        document = Document(id=document_id(url, passage.text), url=url, text=passage.text, title=passage.title)
        statement = Statement(
            id=statement_id(document.id, 0, len(passage.text)),
            document=document.id,
            start=0,
            end=len(passage.text),
            text=passage.text,
            before=passage.before,
        )
        gold = GoldLabel(statement=statement.id, codebook_version="1", stance=stance, concerns=(_ALWAYS,))
        out.append(Example(statement, document, gold))
    return out
