"""A judgement depends on its passage alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle import load_bundle
from models.passage import Judgement, Passage
from models.predictor import Predictor


@pytest.fixture(scope="session")
def predictor(small_bundle: Path) -> Predictor:
    return Predictor.load(small_bundle)


def assert_same(a: Judgement, b: Judgement) -> None:
    """The same decisions, and probabilities that differ by no more than the rounding of a logit."""
    assert (a.stance, a.concerns, a.holder_start, a.holder_end) == (b.stance, b.concerns, b.holder_start, b.holder_end)
    assert a.holder_type == b.holder_type
    assert a.probabilities == pytest.approx(b.probabilities, abs=2e-4)
    assert a.concern_probabilities == pytest.approx(b.concern_probabilities, abs=2e-4)


words = st.lists(
    st.sampled_from(["Upperton", "rejects", "welcomes", "the", "pact", "fish", "price", "\U0001f41f", "Ünïcode"]),
    min_size=1,
    max_size=40,
)


@settings(max_examples=30)
@given(texts=st.lists(words.map(" ".join), min_size=1, max_size=25), order=st.randoms(use_true_random=False))
@pytest.mark.slow
def test_batch_composition_never_changes_a_decision(predictor: Predictor, texts: list[str], order: object) -> None:
    passages = [Passage(t) for t in texts]
    shuffled = list(range(len(passages)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    together = predictor.judge(passages)
    mixed = predictor.judge([passages[i] for i in shuffled])
    for place, i in enumerate(shuffled):
        assert_same(mixed[place], together[i])
    for a, b in zip([predictor.judge([p])[0] for p in passages[:3]], together, strict=False):
        assert_same(a, b)


def test_token_budget_and_threads_change_no_judgement(small_bundle: Path, predictor: Predictor) -> None:
    passages = [Passage(f"Lowerton {'really ' * (i % 17)}rejects the pact. {'Fish. ' * (i % 5)}") for i in range(60)]
    small_batches = Predictor(load_bundle(small_bundle), tokens=64)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = predictor.judge(passages)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(one, small_batches.judge(passages), strict=True):
        assert_same(a, b)


def test_judgements_follow_the_codebook(predictor: Predictor) -> None:
    text = "Ann Gler rejects the pact in year 7. The price is high."
    found = predictor.judge([Passage(text)])[0]
    assert found.stance == "no_thanks"
    assert found.concerns == ("money",)
    assert sum(found.probabilities) == pytest.approx(1)
    assert found.confidence == max(found.probabilities)
    assert found.holder_type == "angler"
    assert text[found.holder_start : found.holder_end] == "Ann Gler"


def test_nothing_in_nothing_out(predictor: Predictor) -> None:
    assert predictor.judge([]) == []
