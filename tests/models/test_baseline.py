"""The baseline: what it learns from text alone, and the rule that names holders."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from sklearn.metrics import f1_score

from annotation.codebook import load_codebook
from corpus.reference_corpus import load_reference
from models.baseline import NameRule, fit_baseline, fit_names
from models.dataset import Example, build_examples


@pytest.fixture(scope="module")
def examples() -> tuple[Example, ...]:
    c = load_reference()
    return build_examples(c.statements, {d.id: d for d in c.documents}, c.gold, c.annotations)[:400]


def test_without_training_data_the_first_name_that_does_not_open_a_sentence_is_taken() -> None:
    rule = NameRule(None, frozenset())
    assert rule.name("Yesterday the town was told by Ann Gler of Upperton that it rains.") == "Ann Gler of Upperton"
    assert rule.name("Governments were warned, Moscow replied.") == "Moscow"
    assert rule.name("Human Rights Watch objected.") == "Human Rights Watch", "more than one word"
    assert rule.name("Nobody spoke. Everyone left.") is None
    assert rule.name("nothing but small letters") is None
    assert rule.name("") is None


def test_one_word_that_opens_a_sentence_is_a_name_if_training_has_it_within_one() -> None:
    rule = NameRule(None, frozenset({"Russia"}))
    assert rule.name("Russia has begun.") == "Russia"
    assert rule.name("Britain has begun.") is None


def test_holders_of_the_training_data_are_found_first_and_the_longest_one_at_a_place(examples: tuple[Example, ...]) -> None:
    e = examples[0]
    golds = ["the chair", "the chair of the committee", "Ann (Gler)"]
    training = [replace(e, gold=msgspec.structs.replace(e.gold, holder=h)) for h in golds]
    rule = fit_names(training)
    assert rule.name("Today the chair of the committee met Tom Trout.") == "the chair of the committee"
    assert rule.name("Upperton heard the chairwoman and Ann (Gler) speak.") == "Ann (Gler)", "no part of a longer word"


@pytest.mark.slow
def test_the_baseline_learns_from_text_alone_and_repeats_itself(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    train, held = examples[:300], examples[300:]
    fitted = fit_baseline(train, held, codebook)
    one, two = fitted.decide(held, codebook), fit_baseline(train, held, codebook).decide(held, codebook)
    np.testing.assert_array_equal(one.probabilities, two.probabilities)
    np.testing.assert_array_equal(one.concerns, two.concerns)
    assert one.holders is not None
    assert two.holders is not None
    assert one.holders.decided == two.holders.decided
    assert set(fitted.chosen) == {"stance", "concern", "holder_type"}
    for gold, decided in ((one.gold_stance, one.stance), (one.holders.gold_kind, one.holders.kind)):
        commonest = np.full(len(gold), np.bincount(gold).argmax())
        assert f1_score(gold, decided, average="macro") > 1.3 * f1_score(gold, commonest, average="macro")
    assert one.probabilities is not None
    assert one.probabilities.sum(1) == pytest.approx(1)
    # Words are the gold holder's more often than chance: naming nobody would find none.
    assert sum(a == b for a, b in zip(one.holders.gold, one.holders.decided, strict=True) if a is not None) > 5


@pytest.mark.slow
def test_without_holder_types_the_baseline_decides_none(examples: tuple[Example, ...]) -> None:
    codebook = load_codebook()
    bare = [replace(e, gold=msgspec.structs.replace(e.gold, holder_type=None)) for e in examples]
    fitted = fit_baseline(bare[:300], bare[300:], codebook)
    assert fitted.kind_model is None
    decided = fitted.decide(bare[300:], codebook)
    assert decided.holders is not None
    assert (decided.holders.kind < 0).all()
