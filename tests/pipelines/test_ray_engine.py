"""The engine on Ray, with a real Ray on this machine where it is installed."""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import BundleError, RecordError, UsageError
from models.passage import Passage
from pipelines import ray_actors, ray_engine
from pipelines.engine import LocalEngine, Unjudged, Verdict
from pipelines.ray_engine import RayEngine

sys.path.insert(0, str(Path(__file__).parent))
import fake_judge
from fake_judge import FakeJudge

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra ray is not installed")


def _shards(*sizes: int, poison: tuple[int, ...] = ()) -> list[list[Passage]]:
    """Shards of so many passages; those whose running number is in ``poison`` make the judge fail."""
    out, number = [], 0
    for size in sizes:
        out.append([Passage("poison" if n in poison else f"text {n}") for n in range(number, number + size)])
        number += size
    return out


def _local(shards: list[list[Passage]]) -> list[list[Verdict]]:
    return list(LocalEngine(FakeJudge()).judged(shards))


@pytest.fixture
def workers_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let worker processes find the fake judge."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(scope="class")
def running() -> Iterator[None]:
    """One Ray for the tests that do not care about its start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))
        with ray_engine._session(None, 2, 0):
            yield


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def absent(name: str) -> Any:
        if name == "ray":
            raise ModuleNotFoundError("No module named 'ray'", name="ray")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(UsageError, match=r"pip install 'treaty-stance\[ray\]'"):
        RayEngine(FakeJudge)


@pytest.mark.parametrize("wrong", [{"actors": 0}, {"rows": 0}, {"gpus": -1}, {"gpus": float("nan")}])
def test_numbers_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is .*; expected"):
        RayEngine(FakeJudge, **wrong)


def test_a_part_that_was_answered_is_not_waited_for() -> None:
    """Ray may ask again for what the driver has already: an actor that waited for it would wait for ever."""

    async def story() -> None:
        feeder = ray_actors.Feeder()
        await feeder.put(0, b"a")
        await feeder.put(1, b"b")
        assert await feeder.get(0) == (b"a", 1)
        assert await feeder.get(0) == (b"a", 2)
        waiting = asyncio.ensure_future(feeder.get(2))
        await feeder.drop(0)
        assert await feeder.get(0) is None
        assert await feeder.get(1) == (b"b", 1)
        assert not waiting.done()
        await feeder.put(2, b"c")
        assert await waiting == (b"c", 1)

    asyncio.run(story())


def test_a_shard_is_cut_by_rows_and_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "_CHARACTERS", 10)
    passages = [Passage("a" * n) for n in (1, 1, 1, 10, 4, 6, 1)]
    parts = list(ray_engine._parts(passages, 2))
    assert [[len(p.text) for p in part] for part in parts] == [[1, 1], [1, 10], [4, 6], [1]]
    assert list(ray_engine._parts([], 2)) == []


@needs_ray
@pytest.mark.slow
@pytest.mark.usefixtures("running")
class TestRunning:
    """With one Ray of two cores that runs already."""

    def test_ray_equals_local_and_uses_both_actors(self, tmp_path: Path) -> None:
        """Two actors, parts that do not divide the shards, empty shards, poisoned passages, and every sort of text."""
        shards = _shards(7, 0, 95, 30, 0, poison=(3, 50, 51, 131))
        shards.append([Passage("\ud800 lone"), Passage("", "title", "before"), Passage("x" * 1_000_000), Passage("\0")])
        load = functools.partial(FakeJudge, log=tmp_path, pause=0.005)
        out = list(RayEngine(load, actors=2, rows=10).judged(iter(shards)))
        assert out == _local(shards)
        assert [isinstance(v, Unjudged) for v in out[0]] == [n == 3 for n in range(7)]
        assert len(list(tmp_path.iterdir())) == 2

    def test_a_killed_actor_costs_nothing_but_time(self, tmp_path: Path) -> None:
        shards = _shards(20, 60, 60, 60)
        load = functools.partial(FakeJudge, log=tmp_path, pause=0.02)
        out = []
        for verdicts in RayEngine(load, actors=2, rows=10).judged(shards):
            if not out:
                for process in tmp_path.iterdir():
                    os.kill(int(process.name), signal.SIGKILL)
            out.append(verdicts)
        assert out == _local(shards)
        assert len(list(tmp_path.iterdir())) > 2

    def test_a_passage_that_kills_every_process_ends_the_job(self) -> None:
        """The limit itself is read in the actors, so it is the real one."""
        with pytest.raises(RecordError, match="processes ended one after the other"):
            list(RayEngine(FakeJudge, actors=1).judged([[Passage("fine")], [Passage("burn")]]))

    def test_a_job_longer_than_a_dataset_goes_on_in_the_next(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ray_engine, "_SLOTS", (3, 4))
        shards = _shards(5, 20, 3)
        assert list(RayEngine(FakeJudge, actors=1, rows=5).judged(shards)) == _local(shards)

    def test_shards_are_read_a_few_ahead_only(self) -> None:
        read = 0

        def shards() -> Iterator[list[Passage]]:
            nonlocal read
            for read in range(1, 41):
                yield [Passage(f"{read} {n}") for n in range(4)]

        ahead = []
        for number, _ in enumerate(RayEngine(FakeJudge, actors=1, rows=2).judged(shards()), 1):
            ahead.append(read - number)
        assert len(ahead) == 40
        assert max(ahead) <= 2

    @pytest.mark.parametrize(
        ("load", "said"),
        [
            (fake_judge.broken, "expected a bundle, found no folder"),
            (fake_judge.odd, r"cannot be loaded by a Ray actor \(RuntimeError: no kernel\)"),
        ],
    )
    def test_a_bundle_that_cannot_be_loaded_ends_the_job(self, load: Callable[[], FakeJudge], said: str) -> None:
        with pytest.raises(BundleError, match=said):
            list(RayEngine(load, actors=1).judged(_shards(3)))

    def test_a_bundle_error_comes_after_the_shards_before_it(self) -> None:
        out = RayEngine(FakeJudge, actors=1).judged([[Passage("fine")], [Passage("ruin")]])
        assert next(out) == FakeJudge().judge([Passage("fine")])
        with pytest.raises(BundleError, match="expected weights, found none"):
            next(out)

    def test_what_reading_raises_comes_through_and_the_shards_are_closed(self) -> None:
        closed = []

        def shards() -> Iterator[list[Passage]]:
            try:
                yield [Passage("a")]
                raise OSError("torn")
            finally:
                closed.append(True)

        with pytest.raises(OSError, match="torn"):
            list(RayEngine(FakeJudge, actors=1).judged(shards()))
        assert closed

    def test_no_shards_give_none(self) -> None:
        assert list(RayEngine(FakeJudge, actors=1).judged([])) == []

    def test_a_gpu_that_is_not_there_is_refused_instead_of_waited_for(self) -> None:
        with pytest.raises(UsageError, match="0 GPUs; expected one core and 1 GPUs"):
            list(RayEngine(FakeJudge, gpus=1).judged(_shards(1)))


@needs_ray
@pytest.mark.slow
@pytest.mark.usefixtures("workers_path")
def test_a_session_of_its_own_leaves_nothing_behind(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM still does what it did, standard output is the caller's, no folder and no Ray is left."""
    made: list[Path] = []
    real = tempfile.mkdtemp

    def note(**names: Any) -> str:
        made.append(Path(real(**names)))
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", note)
    caught: list[int] = []
    ray = ray_engine._ray(alone=True)
    before = signal.signal(signal.SIGTERM, lambda number, _: caught.append(number))
    try:
        out = RayEngine(functools.partial(FakeJudge, pause=0.01), actors=1, rows=5).judged(_shards(10, 10, 200, 200))
        first = next(out)
        assert ray.is_initialized()
        assert ray.util.get_node_ip_address() == "127.0.0.1"
        os.kill(os.getpid(), signal.SIGTERM)
        assert caught == [signal.SIGTERM]
        assert len(next(out)) == len(first) == 10
        out.close()  # type: ignore[attr-defined]  # as a job does that stops
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not ray.is_initialized()
    assert len(made) == 1
    assert not made[0].exists()
    assert capfd.readouterr().out == ""


@needs_ray
@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_named() -> None:
    ray_engine._ray(alone=True)  # an import for a cluster would let a later test listen to the network
    with pytest.raises(UsageError, match=r"the Ray cluster at 127\.0\.0\.1:1 cannot be reached"):
        list(RayEngine(FakeJudge, address="127.0.0.1:1").judged(_shards(1)))
