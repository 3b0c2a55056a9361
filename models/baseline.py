"""The linear baseline: TF-IDF and logistic regression, chosen on development data like the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from models.calibration import choose_thresholds
from models.dataset import Example, targets
from models.metrics import Counter, Decisions

_STRENGTHS = (1.0, 3.0, 10.0, 30.0)  # inverse regularisation, as scikit-learn counts it


@dataclass(frozen=True)
class Baseline:
    """Fitted vectorisers and classifiers; ``chosen`` says which features and strength development data preferred."""

    stance_model: Any
    concern_model: Any
    thresholds: NDArray[np.float64]
    chosen: dict[str, str]

    def decide(self, examples: Sequence[Example], codebook: Codebook) -> Decisions:
        """Return the baseline's decisions beside gold."""
        y = targets(examples, codebook)
        texts = _texts(examples)
        probability = _full(self.stance_model, texts, len(codebook.stances))
        concerns = self.concern_model.predict_proba(texts) >= self.thresholds
        return Decisions(y.stance, probability.argmax(1), y.concerns > 0, concerns, probability.max(1))


def fit_baseline(training: Sequence[Example], development: Sequence[Example], codebook: Codebook) -> Baseline:
    """Fit TF-IDF of words (1-2) alone or with characters within words (2-5), over logistic regression.

    Features and strength are chosen on development data: by stance macro-F1 for stance, by concern macro-F1 at chosen
    thresholds for concerns. Classes are weighted by inverse frequency.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    y, held = targets(training, codebook), targets(development, codebook)
    texts, held_texts = _texts(training), _texts(development)
    counter = Counter(len(codebook.stances), len(codebook.concerns), (), ())
    best: dict[str, tuple[float, str, Any, NDArray[np.float64]]] = {}
    for name, union in _features().items():
        matrix = union.fit_transform(texts)
        held_matrix = union.transform(held_texts)
        for strength in _STRENGTHS:
            label = f"{name}, C={strength:g}"
            options = {"C": strength, "class_weight": "balanced", "max_iter": 2000}
            stance = LogisticRegression(**options).fit(matrix, y.stance)
            concern = OneVsRestClassifier(LogisticRegression(**options)).fit(matrix, y.concerns)
            probability = concern.predict_proba(held_matrix)
            thresholds = choose_thresholds(probability, held.concerns)
            decided = Decisions(held.stance, stance.predict(held_matrix), held.concerns > 0, probability >= thresholds)
            figures = counter.metrics(counter.counts(decided).sum(0))
            for task, model in (("stance", stance), ("concern", concern)):
                score = float(figures[f"{task}_macro_f1", None])
                if task not in best or score > best[task][0]:
                    best[task] = (score, label, make_pipeline(union, model), thresholds)
    return Baseline(
        best["stance"][2],
        best["concern"][2],
        best["concern"][3],
        {"stance": best["stance"][1], "concerns": best["concern"][1]},
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
