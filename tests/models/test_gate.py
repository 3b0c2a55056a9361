"""The first stage settles only what it may, and counts what it would change."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from annotation.codebook import Codebook
from models.bundle import load_bundle
from models.calibration import Calibration
from models.encoding import Encoded
from models.gate import Words, changed, choose_threshold, clearance, concern_distance, fit_gate, stance_lead
from models.lexicon import lexicon_scores
from models.scores import Scores, empty_scores

PLAIN = Calibration(thresholds=(0.5, 0.5))


def scores(stance: list[list[float]], concerns: list[list[float]]) -> Scores:
    found = empty_scores(len(stance), 3, 2, 3)
    found.stance[:], found.concerns[:] = stance, concerns
    return found


@pytest.mark.slow
def test_words_score_as_the_lexicon_inside_the_network(fast_bundle: Path) -> None:
    bundle = load_bundle(fast_bundle)
    assert bundle.network.lexicon is not None
    rng = np.random.default_rng(1)
    encoded = []
    for n in (1, 4, 9, 30, 30):
        ids = tuple(rng.integers(5, 60, n).tolist())
        encoded.append(Encoded((2, *ids, 3), (False, *(True,) * n, False), ((0, 0),) * (n + 2)))
    encoded.append(Encoded((2, 3), (False, False), ((0, 0), (0, 0))))  # no word of its own: the bias alone
    ours = Words.read(fast_bundle / "model.safetensors").scores(encoded, bundle.sizes)
    with torch.inference_mode():
        theirs = lexicon_scores(bundle.network.lexicon, encoded, ours)
    for name in ("stance", "concerns", "holder_type"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5)
    alone = Words.read(fast_bundle / "model.safetensors").scores(encoded[2:3], bundle.sizes)
    assert np.array_equal(alone.stance[0], ours.stance[2])


def test_clearance_is_the_least_distance_to_saying_something(invented: Codebook) -> None:
    found = scores(
        [[0, 0, 3], [0, 0, 3], [2, 0, 0], [0, 0, 1]],
        [[-1, -9], [-5, -4], [-5, -4], [2, -9]],
    )
    # silent leads by 3; a concern is 1 below its threshold; a position leads by 2; a concern is raised by 2
    assert clearance(found, PLAIN, invented) == pytest.approx([1, 3, -2, -2])


def test_distances_in_log_odds_by_hand() -> None:
    found = scores([[1, 0, -1]], [[0, math.log(3)]])
    low = Calibration(thresholds=(0.5, 0.9))
    assert stance_lead(found, PLAIN) == pytest.approx([1])
    assert concern_distance(found, low)[0] == pytest.approx([0, math.log(3) - math.log(9)], abs=1e-4)  # logits are rounded


def test_a_decision_has_changed_where_stance_or_any_concern_has() -> None:
    a = scores([[1, 0, 0], [1, 0, 0], [1, 0, 0]], [[-1, -1], [-1, -1], [-1, -1]])
    b = scores([[5, 0, 0], [0, 1, 0], [1, 0, 0]], [[-2, -1], [-1, -1], [-1, 1]])
    assert changed(a, PLAIN, b, PLAIN).tolist() == [False, True, True]


class TestThreshold:
    def test_none_is_chosen_on_too_few_statements(self) -> None:
        assert choose_threshold(np.ones(198), np.zeros(198, bool), 0.005) is None
        assert choose_threshold(np.ones(199), np.zeros(199, bool), 0.005) == 1

    def test_it_lies_above_the_clearest_change_that_is_one_too_many(self) -> None:
        clear = np.arange(1, 400) / 100
        wrong = np.zeros(399, bool)
        wrong[[10, 200]] = True  # clearances 0.11 and 2.01; 399 statements allow one change
        assert choose_threshold(clear, wrong, 0.005) == pytest.approx(0.12)

    def test_what_is_not_clear_is_never_settled(self) -> None:
        assert choose_threshold(np.full(300, -1.0), np.zeros(300, bool), 0.005) is None

    @given(
        st.lists(st.tuples(st.floats(-3, 3).map(lambda x: round(x, 4)), st.booleans()), min_size=1, max_size=500),
        st.sampled_from([0.005, 0.02, 0.1]),
    )
    def test_the_promise_holds_on_the_statements_it_was_made_on(self, cases: list[tuple[float, bool]], bound: float) -> None:
        clear, wrong = np.array([c for c, _ in cases]), np.array([w for _, w in cases])
        threshold = choose_threshold(clear, wrong, bound)
        if threshold is not None:
            settled = clear >= threshold
            assert settled.any()
            assert ((settled & wrong).sum() + 1) / (len(cases) + 1) <= bound + 1e-9


def test_a_gate_that_development_data_do_not_support_is_not_made(invented: Codebook) -> None:
    few = scores([[0, 0, 3]] * 20, [[-3, -3]] * 20)
    gold = (np.full(20, 2), np.zeros((20, 2)))
    assert fit_gate(few, few, PLAIN, gold, invented) is None


def test_a_gate_settles_what_both_stages_call_silent(invented: Codebook) -> None:
    rng = np.random.default_rng(2)
    silent = rng.random(400) < 0.5
    z = np.where(silent[:, None], [[0, 0, 4]], [[4, 0, 0]]) + rng.normal(0, 0.5, (400, 3))
    words = scores(z.tolist(), (rng.normal(-4, 0.5, (400, 2))).tolist())
    gold = (np.where(silent, 2, 0), (rng.random((400, 2)) < 0.02).astype(float))
    gate = fit_gate(words, words, Calibration(thresholds=(0.5, 0.5)), gold, invented)
    assert gate is not None
    assert 100 < gate.settled <= silent.sum()
    assert (gate.changed + 1) / 401 <= gate.bound == 0.005
    assert gate.calibration.pairs == ()
