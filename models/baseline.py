"""The baseline: TF-IDF and logistic regression, chosen on development data like the network; a rule for holders' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from models.calibration import choose_thresholds
from models.dataset import IGNORE, Example, targets
from models.evaluation import gold_holders
from models.metrics import Counter, Decisions, Holders

_STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # inverse regularisation, as scikit-learn counts it


# Capitalised words next to one another, with at most two small ones between: "Office of the Attorney General".
_CAPITALISED = re.compile(r"\b[A-ZÀ-ÖØ-Þ][\w&-]*(?:(?: (?:of|the|for|and|de|van|von|al)){0,2} [A-ZÀ-ÖØ-Þ][\w&-]*)*")
_SENTENCE_END = re.compile(r"[.!?:;]['\"”’)]?\s+$")


@dataclass(frozen=True)
class NameRule:
    """Names the holder without a model: the first holder of the training data that a text names, else its first name.

    A name is a run of capitalised words; one word that opens a sentence counts only if training has it within one.
    """

    holders: re.Pattern[str] | None
    inner: frozenset[str]

    def name(self, text: str) -> str | None:
        """Return the words that name the holder, None where there is none."""
        known = self.holders.search(text) if self.holders else None
        if known:
            return known.group()
        for run in _CAPITALISED.finditer(text):
            if " " in run.group() or run.group() in self.inner or not _opens(text, run.start()):
                return run.group()
        return None


def fit_names(training: Sequence[Example]) -> NameRule:
    """Collect the gold holders of training data, and the names that stand within a sentence there."""
    holders = sorted({e.gold.holder for e in training if e.gold.holder}, key=lambda h: (-len(h), h))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, holders))})(?!\w)") if holders else None
    return NameRule(pattern, frozenset(_inner(e.statement.text for e in training)))


def _inner(texts: Iterable[str]) -> Iterable[str]:
    for text in texts:
        yield from (run.group() for run in _CAPITALISED.finditer(text) if not _opens(text, run.start()))


def _opens(text: str, start: int) -> bool:
    return start == 0 or _SENTENCE_END.search(text, 0, start) is not None


@dataclass(frozen=True)
class Baseline:
    """Fitted vectorisers and classifiers; ``chosen`` says which features and strength development data preferred.

    ``kind_model`` is None where training knows fewer than two holder types.
    """

    stance_model: Any
    concern_model: Any
    kind_model: Any | None
    names: NameRule
    thresholds: NDArray[np.float64]
    chosen: dict[str, str]

    def decide(self, examples: Sequence[Example], codebook: Codebook) -> Decisions:
        """Return the baseline's decisions beside gold."""
        y = targets(examples, codebook)
        texts = _texts(examples)
        probability = _full(self.stance_model, texts, len(codebook.stances))
        concerns = np.asarray(self.concern_model.predict_proba(texts))
        kind = np.full(len(texts), IGNORE) if self.kind_model is None else self.kind_model.predict(texts)
        return Decisions(
            gold_stance=y.stance,
            stance=probability.argmax(1),
            gold_concerns=y.concerns > 0,
            concerns=concerns >= self.thresholds,
            confidence=probability.max(1),
            probabilities=probability,
            concern_probabilities=concerns,
            holders=Holders(gold_holders(examples, y), tuple(map(self.names.name, texts)), y.holder_type, kind),
        )


def fit_baseline(training: Sequence[Example], development: Sequence[Example], codebook: Codebook) -> Baseline:
    """Fit TF-IDF of words (1-2) alone or with characters within words (2-5), over logistic regression.

    Features and strength are chosen on development data: by macro-F1 for stance and holder type, by macro-F1 at chosen
    thresholds for concerns. Classes are weighted by inverse frequency. Holders are named by a rule (:class:`NameRule`).
    """
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    # Sums over sparse rows gain nothing from more threads, and lose much where threads wait for a busy core.
    with threadpool_limits(limits=1):
        return _fit(training, development, codebook)


def _fit(training: Sequence[Example], development: Sequence[Example], codebook: Codebook) -> Baseline:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    y, held = targets(training, codebook), targets(development, codebook)
    texts, held_texts = _texts(training), _texts(development)
    known = np.flatnonzero(y.holder_type >= 0)
    nobody = (None,) * len(held_texts)  # names are not learned: only holder types are scored here
    counter = Counter(len(codebook.stances), len(codebook.concerns), (), (), len(codebook.holder_types))
    best: dict[str, tuple[float, str, Any, NDArray[np.float64]]] = {}
    for name, union in _features().items():
        matrix = union.fit_transform(texts)
        held_matrix = union.transform(held_texts)
        for strength in _STRENGTHS:
            label = f"{name}, C={strength:g}"
            options = {"C": strength, "class_weight": "balanced", "max_iter": 2000}
            stance = LogisticRegression(**options).fit(matrix, y.stance)
            concern = OneVsRestClassifier(LogisticRegression(**options)).fit(matrix, y.concerns)
            fitted = {"stance": stance, "concern": concern}
            kinds = np.full(len(held_texts), IGNORE)
            if len(set(y.holder_type[known])) > 1:
                fitted["holder_type"] = LogisticRegression(**options).fit(matrix[known], y.holder_type[known])
                kinds = fitted["holder_type"].predict(held_matrix)
            probability = concern.predict_proba(held_matrix)
            thresholds = choose_thresholds(probability, held.concerns)
            decided = Decisions(
                held.stance,
                stance.predict(held_matrix),
                held.concerns > 0,
                probability >= thresholds,
                holders=Holders(nobody, nobody, held.holder_type, kinds),
            )
            figures = counter.metrics(counter.counts(decided).sum(0))
            for task, model in fitted.items():
                score = float(figures[f"{task}_macro_f1", None])
                if task not in best or score > best[task][0]:
                    best[task] = (score, label, make_pipeline(union, model), thresholds)
    return Baseline(
        best["stance"][2],
        best["concern"][2],
        best["holder_type"][2] if "holder_type" in best else None,
        fit_names(training),
        best["concern"][3],
        {task: label for task, (_, label, _, _) in best.items()},
    )


def _features() -> dict[str, Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_union

    words = {"ngram_range": (1, 2), "sublinear_tf": True}
    characters = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2}
    return {
        "words": make_union(TfidfVectorizer(**words)),
        "words and characters": make_union(TfidfVectorizer(**words), TfidfVectorizer(**characters)),
    }


def _texts(examples: Sequence[Example]) -> list[str]:
    return [e.statement.text for e in examples]


def _full(model: Any, texts: Sequence[str], stances: int) -> NDArray[np.float64]:
    """Return probabilities with a column for every stance, zero for one that training did not have."""
    out = np.zeros((len(texts), stances))
    out[:, model.classes_] = model.predict_proba(texts)
    return out
