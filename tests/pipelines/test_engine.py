"""The local engine and the search for poisoned passages."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import BundleError
from models.passage import Judgement, Passage
from pipelines.engine import LocalEngine, Unjudged, judge_each

sys.path.insert(0, str(Path(__file__).parent))
from fake_judge import FakeJudge


def _passages(*texts: str) -> list[Passage]:
    return [Passage(text) for text in texts]


class _Picky(FakeJudge):
    """Fails on whatever the test says."""

    def __init__(self, error: BaseException, at_least: int = 1) -> None:
        super().__init__()
        self.error, self.at_least = error, at_least

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        if len(passages) >= self.at_least:
            raise self.error
        return super().judge(passages)


@given(st.lists(st.sampled_from(["one", "two", "three", "poison"]), max_size=40))
def test_a_poisoned_passage_costs_itself_only(texts: list[str]) -> None:
    judge = FakeJudge()
    verdicts = judge_each(judge, _passages(*texts))
    assert len(verdicts) == len(texts)
    for text, verdict in zip(texts, verdicts, strict=True):
        if text == "poison":
            assert isinstance(verdict, Unjudged)
        else:
            assert [verdict] == judge.judge(_passages(text))


def test_one_poisoned_passage_among_many_is_found_by_halving() -> None:
    """256 passages: the whole, then two halves on each of eight levels."""
    calls: list[int] = []

    class Counting(FakeJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            calls.append(len(passages))
            return super().judge(passages)

    judge_each(Counting(), _passages(*["fine"] * 100, "poison", *["fine"] * 155))
    assert len(calls) == 1 + 2 * 8


def test_the_reason_names_the_failure_in_one_line_without_what_differs_between_runs() -> None:
    (verdict,) = judge_each(FakeJudge(), _passages("poison\n\ud800" + "y" * 400))
    assert isinstance(verdict, Unjudged)
    assert verdict.reason.startswith(r"the model failed on this text (ValueError: cannot read 'poison\n\ud800yyy")
    assert len(verdict.reason) < 300
    verdict.reason.encode()
    judge = _Picky(RuntimeError("bad\n  tensor \ud800 at 0x7ffe12ab"))
    assert judge_each(judge, _passages("x")) == [
        Unjudged(r"the model failed on this text (RuntimeError: bad tensor \ud800 at 0x…)")
    ]


def test_a_failure_without_words_is_named_by_its_kind() -> None:
    assert judge_each(_Picky(IndexError()), _passages("x")) == [Unjudged("the model failed on this text (IndexError)")]


@pytest.mark.parametrize("error", [BundleError("no weights"), MemoryError("none left"), KeyboardInterrupt()])
def test_what_is_no_passages_fault_ends_the_job(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        judge_each(_Picky(error), _passages("a", "b"))
    assert caught.value is error


def test_a_batch_too_large_for_memory_is_judged_in_smaller_ones() -> None:
    judge = _Picky(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), at_least=3)
    passages = _passages(*"abcdefg")
    assert judge_each(judge, passages) == FakeJudge().judge(passages)


@pytest.mark.parametrize(
    "said",
    [
        "CUDA out of memory. Tried to allocate 2 GiB",
        "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "std::bad_alloc",
    ],
)
def test_no_memory_for_a_single_passage_is_the_machines_fault_and_no_label(said: str) -> None:
    with pytest.raises(MemoryError, match="no memory for a single passage"):
        judge_each(_Picky(RuntimeError(said)), _passages("a", "b"))


def test_too_few_judgements_are_refused() -> None:
    class Short(FakeJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            return super().judge(passages)[1:]

    with pytest.raises(BundleError, match="expected 2 judgements, found 1"):
        judge_each(Short(), _passages("a", "b"))


def test_shards_come_back_in_order_with_their_lengths() -> None:
    shards = [_passages("a", "b"), [], _passages("c"), _passages("d", "poison", "e")]
    judge = FakeJudge()
    out = list(LocalEngine(judge).judged(iter(shards)))
    assert out == [judge_each(judge, shard) for shard in shards]
    assert [len(shard) for shard in out] == [2, 0, 1, 3]


def test_no_shards_give_none() -> None:
    assert list(LocalEngine(FakeJudge()).judged([])) == []


def test_one_shard_is_read_ahead_and_not_more() -> None:
    read = 0

    def shards() -> Iterator[list[Passage]]:
        nonlocal read
        for read in range(1, 21):
            yield _passages(str(read))

    for number, _ in enumerate(LocalEngine(FakeJudge()).judged(shards()), 1):
        assert read <= number + 1


def test_the_next_shard_is_read_while_this_one_is_judged() -> None:
    reading = threading.Event()

    class Waiting(FakeJudge):
        def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
            if passages[0].text == "first":
                assert reading.wait(30), "the second shard was not read meanwhile"
            return super().judge(passages)

    def shards() -> Iterator[list[Passage]]:
        yield _passages("first")
        reading.set()
        yield _passages("second")

    verdicts = list(LocalEngine(Waiting()).judged(shards()))
    assert verdicts == [FakeJudge().judge(_passages("first")), FakeJudge().judge(_passages("second"))]


def test_what_reading_raises_comes_after_the_shards_before_it() -> None:
    def shards() -> Iterator[list[Passage]]:
        yield _passages("a")
        yield _passages("b")
        raise OSError("torn")

    out = LocalEngine(FakeJudge()).judged(shards())
    assert len(next(out)) == len(next(out)) == 1
    with pytest.raises(OSError, match="torn"):
        next(out)


def test_closing_ends_the_reader_and_closes_the_shards_in_the_thread_that_read_them() -> None:
    threads: list[threading.Thread] = []

    def shards() -> Iterator[list[Passage]]:
        threads.append(threading.current_thread())
        try:
            while True:
                yield _passages("a")
        finally:
            threads.append(threading.current_thread())

    out = LocalEngine(FakeJudge()).judged(shards())
    next(out)
    out.close()  # type: ignore[attr-defined]
    assert threads[0] is threads[1] is not threading.current_thread()
    assert not threads[0].is_alive()
