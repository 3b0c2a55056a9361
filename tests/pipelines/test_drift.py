"""Drift of the input and of the error: calm where nothing changed, loud where something did, by documents."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import binom, ks_2samp, mannwhitneyu
from sklearn.feature_extraction.text import HashingVectorizer

from pipelines import drift
from pipelines.drift import Side, input_drift
from pipelines.error_drift import Gold, Measure, compared, error_drift

WORDS = [f"word{i}" for i in range(300)]
RANKS = 1 / np.arange(1, len(WORDS) + 1)
PLENTY = 199  # permutations: enough to come below a level of 0.05 shared among seven measures


def side(rng: np.random.Generator, documents: int, *, each: int = 6, longer: int = 0, topic: float = 0.0) -> Side:
    """Documents with a favourite word and a leaning each, so that their statements resemble one another."""
    weights = RANKS / RANKS.sum()
    texts: list[str] = []
    probabilities = []
    for _ in range(documents):
        own = weights.copy()
        own[rng.integers(len(WORDS), size=3)] += 0.05
        if topic:
            own[200:220] += topic / 20
        leaning = rng.dirichlet([2.0, 2.0, 2.0])
        for _ in range(each):
            texts.append(" ".join(rng.choice(WORDS, size=rng.integers(6 + longer, 18 + longer), p=own / own.sum())))
            probabilities.append(rng.dirichlet(5 * leaning + 0.2))
    shares = np.array(probabilities)
    return Side(texts, np.repeat(np.arange(documents), each), shares, shares.max(axis=1))


def found(measures: list[Measure]) -> dict[str, str]:
    return {m.measure: m.verdict for m in measures}


def test_two_draws_from_one_source_show_no_drift() -> None:
    rng = np.random.default_rng(1)
    measures = input_drift(side(rng, 40), side(rng, 30), seed=0, permutations=PLENTY)
    assert set(found(measures).values()) == {"no drift found"}
    assert all(m.value is not None and m.threshold is not None and abs(m.value) <= m.threshold for m in measures)


def test_longer_statements_are_a_drift_of_length() -> None:
    rng = np.random.default_rng(2)
    verdicts = found(input_drift(side(rng, 40), side(rng, 40, longer=8), seed=0, permutations=PLENTY))
    assert verdicts["length"] == "drift"
    assert verdicts["confidence"] == "no drift found"


def test_another_topic_is_a_drift_of_vocabulary_that_a_classifier_tells_too() -> None:
    rng = np.random.default_rng(3)
    verdicts = found(input_drift(side(rng, 40), side(rng, 40, topic=0.4), seed=0, permutations=PLENTY))
    assert verdicts["vocabulary"] == verdicts["told apart"] == "drift"
    assert verdicts["length"] == verdicts["predicted stances"] == "no drift found"


def test_words_that_no_old_statement_has_are_found() -> None:
    rng = np.random.default_rng(4)
    old, new = side(rng, 40), side(rng, 40)
    new = replace(new, texts=[f"{text} quantum" if i % 2 else text for i, text in enumerate(new.texts)])
    measures = {m.measure: m for m in input_drift(old, new, seed=0, permutations=PLENTY)}
    assert measures["unseen words"].verdict == "drift"
    known = {word for text in old.texts for word in text.split()}
    words = [word for text in new.texts for word in text.split()]
    assert measures["unseen words"].value == pytest.approx(sum(w not in known for w in words) / len(words))


def test_other_stances_are_a_drift_of_predictions_though_the_words_are_the_same() -> None:
    rng = np.random.default_rng(5)
    old, new = side(rng, 40), side(rng, 40)
    assert new.probabilities is not None
    moved = np.clip(new.probabilities + np.array([0.4, 0.0, 0.0]), 0, None)
    moved /= moved.sum(axis=1, keepdims=True)
    verdicts = found(input_drift(old, replace(new, probabilities=moved), seed=0, permutations=PLENTY))
    assert verdicts["predicted stances"] == "drift"
    assert verdicts["told apart"] == "no drift found"


def test_embeddings_that_lie_elsewhere_are_found_and_asked_for_once_all_texts() -> None:
    rng = np.random.default_rng(6)
    old, new = side(rng, 30), side(rng, 30)
    asked: list[int] = []

    def embed(texts: object) -> NDArray[np.float64]:
        assert isinstance(texts, list)
        asked.append(len(texts))
        vectors = np.random.default_rng(0).normal(size=(len(texts), 4))
        vectors[len(old.texts) :] += 0.8
        return vectors

    assert found(input_drift(old, new, seed=0, permutations=PLENTY, embed=embed))["embedding"] == "drift"
    assert asked == [len(old.texts) + len(new.texts)]


def test_a_favourite_word_of_one_document_is_not_taken_for_drift_of_many_statements() -> None:
    """Twelve documents a side, each about something else. Were statements shuffled instead, that would look like drift."""
    rng = np.random.default_rng(7)
    whole = np.repeat(np.arange(12), 20)
    alarms, alone = 0, 0
    for seed in range(8):
        texts = [
            [f"about {topic} again and again" for topic in rng.integers(1e9, size=12) for _ in range(20)] for _ in range(2)
        ]
        for clusters in (whole, np.arange(240)):
            old, new = (Side(side, clusters) for side in texts)
            found_drift = any(m.verdict == "drift" for m in input_drift(old, new, seed=seed, permutations=99))
            alarms += found_drift and clusters is whole
            alone += found_drift and clusters is not whole
    assert alarms <= 2
    assert alone == 8


def test_with_under_ten_documents_on_a_side_nothing_is_said() -> None:
    rng = np.random.default_rng(8)
    measures = input_drift(side(rng, 40), side(rng, 9), seed=0)
    assert {m.verdict for m in measures} == {"too few documents"}
    assert all(m.value is None and m.threshold is None for m in measures)


def test_predictions_of_two_models_are_not_compared() -> None:
    rng = np.random.default_rng(9)
    old = replace(side(rng, 12), probabilities=None, confidence=None)
    names = set(found(input_drift(old, side(rng, 12), seed=0, permutations=49)))
    assert names == {"length", "vocabulary", "unseen words", "told apart"}


def test_the_same_seed_gives_the_same_figures() -> None:
    rng = np.random.default_rng(10)
    old, new = side(rng, 12), side(rng, 12)
    once, again = (input_drift(old, new, seed=3, permutations=99) for _ in range(2))
    assert once == again


def test_texts_without_a_single_word_are_compared_all_the_same() -> None:
    blank = Side(["…"] * 12, np.arange(12))
    assert {m.verdict for m in input_drift(blank, blank, seed=0, permutations=19)} == {"no drift found"}


def test_values_are_those_of_scipy() -> None:
    rng = np.random.default_rng(11)
    old, new = side(rng, 15), side(rng, 20, longer=2)
    measures = {m.measure: m.value for m in input_drift(old, new, seed=0, permutations=19)}
    lengths = [[len(text.split()) for text in s.texts] for s in (old, new)]
    assert measures["length"] == pytest.approx(ks_2samp(*lengths).statistic)
    counts = [np.array([" ".join(s.texts).split().count(w) for w in WORDS]) for s in (old, new)]
    assert measures["vocabulary"] == pytest.approx(jensenshannon(*counts, base=2))
    assert old.confidence is not None
    assert new.confidence is not None
    assert measures["confidence"] == pytest.approx(new.confidence.mean() - old.confidence.mean())


def test_scores_are_those_of_ridge_regressions_that_have_not_seen_the_document() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(12)
    texts = side(rng, 10, each=3).texts
    rows = HashingVectorizer(n_features=64, ngram_range=(1, 2), alternate_sign=False).transform(texts).toarray()
    fold = np.repeat(np.arange(10), 3) % 5
    target = rng.integers(2, size=len(texts)).astype(float)
    expected = np.zeros(len(texts))
    for k in range(5):
        model = Ridge(alpha=1.0).fit(rows[fold != k], target[fold != k])
        expected[fold == k] = rows[fold == k] @ model.coef_ - rows[fold != k].mean(axis=0) @ model.coef_
    assert drift._out_of_fold(rows @ rows.T, fold) @ target == pytest.approx(expected)


def test_the_area_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(13)
    both = drift._join(side(rng, 12), side(rng, 14), rng, 19)
    assert both is not None
    tested = drift._classifier(both, 0)
    rows = HashingVectorizer(n_features=2**18, ngram_range=(1, 2), alternate_sign=False).transform(both.texts)
    scores = drift._out_of_fold((rows @ rows.T).toarray(), drift._folds(both, 0)) @ both.new[both.cluster]
    new = both.new[both.cluster]
    expected = mannwhitneyu(scores[new], scores[~new]).statistic / (new.sum() * (~new).sum())
    assert tested.value == pytest.approx(expected)
    assert tested.interval is not None
    assert tested.interval[0] < expected < tested.interval[1]


def test_large_sides_are_sampled_by_documents() -> None:
    clusters = np.repeat(np.arange(5000), 4)
    rows = drift._sample(clusters, np.random.default_rng(0))
    assert len(rows) == 800
    assert len(np.unique(clusters[rows])) <= 600
    assert (np.diff(rows) > 0).all()


@pytest.mark.slow
def test_false_alarms_come_as_seldom_as_is_said() -> None:
    """Over 200 pairs of one source, of seven measures with a level of five per cent for all of them."""
    rng = np.random.default_rng(14)
    alarms = 0
    for seed in range(200):
        measures = input_drift(side(rng, 25, each=4), side(rng, 25, each=4), seed=seed, permutations=PLENTY)
        alarms += any(m.verdict in ("drift", "slight") for m in measures)
    assert alarms <= binom.ppf(0.999, 200, 0.05)


def gold(rng: np.random.Generator, documents: int, shift: float = 0.0) -> Gold:
    """Errors of three labels that sum to nought, alike within a document."""
    own = rng.normal(0, 0.1, size=(documents, 3)).repeat(4, axis=0)
    errors = own + rng.normal(0, 0.3, size=own.shape) + [shift, -shift, 0]
    return Gold(errors - errors.mean(axis=1, keepdims=True), rng.choice([1.0, 5.0], len(own)), np.arange(len(own)) // 4)


def test_an_error_that_moved_is_found_for_the_labels_that_moved() -> None:
    rng = np.random.default_rng(15)
    measures = error_drift(gold(rng, 40), gold(rng, 40, shift=0.25), ["a", "b", "c"], seed=0)
    assert found(measures) == {"error of a": "drift", "error of b": "drift", "error of c": "no drift found"}
    first = measures[0]
    assert first.low is not None
    assert first.high is not None
    assert 0 < first.low < 0.25 < first.high


@pytest.mark.slow
def test_false_alarms_about_the_error_come_as_often_as_is_said() -> None:
    rng = np.random.default_rng(16)
    alarms = sum(
        any(
            m.verdict == "drift"
            for m in error_drift(gold(rng, 20), gold(rng, 14), ["a", "b", "c"], seed=seed, permutations=199)
        )
        for seed in range(400)
    )
    assert binom.ppf(0.001, 400, 0.05) <= alarms <= binom.ppf(0.999, 400, 0.05)


def test_a_level_shared_among_families_doubles_the_p_values() -> None:
    rng = np.random.default_rng(17)
    old, new = gold(rng, 20), gold(rng, 20, shift=0.1)
    one, two = (error_drift(old, new, ["a", "b", "c"], seed=0, families=n) for n in (1, 2))
    assert [m.p for m in two] == pytest.approx([min(1.0, 2 * m.p) for m in one if m.p is not None])


def test_with_gold_from_few_documents_nothing_is_said_of_the_error() -> None:
    rng = np.random.default_rng(18)
    measures = error_drift(gold(rng, 40), gold(rng, 9), ["a", "b", "c"], seed=0)
    assert {m.verdict for m in measures} == {"too few gold labels"}


def test_without_clusters_and_weights_the_difference_is_that_of_two_means() -> None:
    rng = np.random.default_rng(19)
    old, new = rng.normal(size=30), rng.normal(1, 2, size=20)
    values = np.concatenate([old, new])[:, None]
    difference, error = compared(values, np.ones(50), (np.arange(50) >= 30)[None].astype(float))
    assert difference[0, 0] == pytest.approx(new.mean() - old.mean())
    assert error[0, 0] == pytest.approx(math.hypot(old.std(ddof=1) / math.sqrt(30), new.std(ddof=1) / math.sqrt(20)))
