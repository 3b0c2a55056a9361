"""Graphs score each passage as if it were alone, on any number of threads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import BundleError
from models.bundle import open_bundle
from models.encoding import Encoded, encode
from models.fast_path import FP32, INT8
from models.passage import Passage
from models.plain_tokenizer import PlainTokenizer
from models.runtime import GraphRunner, available_threads, same_length_batches
from models.scores import Scores

pytestmark = pytest.mark.slow  # exports the network


def assert_same_bits(a: Scores, b: Scores) -> None:
    for name in ("stance", "concerns", "holder_type", "holder"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name


@pytest.fixture(scope="module")
def encoded(fast_bundle: Path) -> list[Encoded]:
    texts = [f"Lowerton {'really ' * (i % 13)}rejects the pact. {'Fish. ' * (i % 4)}" for i in range(70)]
    return encode(PlainTokenizer(fast_bundle), [Passage(t) for t in texts], context="none", max_length=128)


@pytest.mark.parametrize("graph", [FP32, INT8])
def test_scores_are_the_same_bits_on_any_number_of_threads(fast_bundle: Path, encoded: list[Encoded], graph: str) -> None:
    sizes, tokens = open_bundle(fast_bundle).sizes, 0 if graph == INT8 else 200
    one = GraphRunner(fast_bundle / graph, sizes, threads=1, tokens=tokens).scores(encoded)
    assert_same_bits(one, GraphRunner(fast_bundle / graph, sizes, threads=3, tokens=tokens).scores(encoded))


def test_scores_in_32_bits_are_the_same_whatever_the_batch(fast_bundle: Path, encoded: list[Encoded]) -> None:
    sizes = open_bundle(fast_bundle).sizes
    alone = GraphRunner(fast_bundle / FP32, sizes, threads=1, tokens=0).scores(encoded)
    for tokens in (50, 1024):
        assert_same_bits(alone, GraphRunner(fast_bundle / FP32, sizes, threads=2, tokens=tokens).scores(encoded))


def test_8_bit_scores_do_depend_on_the_batch_which_is_why_they_are_computed_alone(
    fast_bundle: Path, encoded: list[Encoded]
) -> None:
    sizes = open_bundle(fast_bundle).sizes
    alone = GraphRunner(fast_bundle / INT8, sizes, tokens=0).scores(encoded)
    together = GraphRunner(fast_bundle / INT8, sizes, tokens=1024).scores(encoded)
    assert not np.array_equal(alone.stance, together.stance)


def test_no_passage_gives_no_scores(fast_bundle: Path) -> None:
    found = GraphRunner(fast_bundle / FP32, (3, 2, 3)).scores([])
    assert (found.stance.shape, found.concerns.shape, found.holder.shape) == ((0, 3), (0, 2), (0, 2))


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx: expected a graph that ONNX Runtime loads, but .*; train again"):
        GraphRunner(tmp_path / "model.onnx", (3, 2, 3))


@given(lengths=st.lists(st.integers(1, 30), max_size=60), tokens=st.integers(0, 100))
def test_batches_hold_each_passage_once_and_one_length_each(lengths: list[int], tokens: int) -> None:
    batches = same_length_batches(lengths, tokens=tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len({lengths[i] for i in batch}) == 1
        assert len(batch) == 1 or sum(lengths[i] for i in batch) <= tokens


def test_batches_of_a_budget_by_hand() -> None:
    assert same_length_batches([3, 5, 3, 3, 5], tokens=6) == [[1], [4], [0, 2], [3]]


def test_threads_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 7}, raising=False)
    assert available_threads() == 3
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert available_threads() == 1
