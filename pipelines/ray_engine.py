"""The engine on Ray Data: a pool of actors, on this machine or on a cluster, each with a judge of its own.

Ray Data starts an actor pool anew for every dataset, which loads the model anew, and it wants to know all of a dataset's
blocks when it starts, which a stream cannot tell. So the datasets here hold the numbers of parts only, and the passages come
from a *feeder*, a small actor that the driver fills as far ahead as the pool needs. The models stay loaded, memory
depends on neither the length of the input nor that of a dataset, and the first shard is out as soon as it is judged.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import math
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, TypeVar

from corpus.errors import RecordError, UsageError
from models.passage import Judge, Passage
from pipelines.engine import Verdict
from pipelines.ray_actors import Failed, Feeder, Worker, pack_part, unpack

_SLOTS = (256, 2048)  # parts of the first dataset, soon set up, and of each later one: half a million passages
_CALLS = 2  # parts that an actor has: one that it judges and one that waits
_AHEAD = 4  # parts an actor: two that it has, and two while the driver writes
_STORE = 256 * 1024**2  # bytes of shared memory, of which parts and verdicts need a few
_CHARACTERS = 4_000_000  # of a part: a few texts of a megabyte are as much work as hundreds of statements
_PATH = 40  # characters of a folder that leave room for the names of Ray's sockets, which may have 107
_SAID = 300  # characters kept of what Ray said
_WAIT = 10.0  # seconds for a cluster to answer
_NEEDED = "2.60"
_T = TypeVar("_T")


class RayEngine:
    """Judges by a pool of Ray actors; the verdicts are those of :class:`pipelines.engine.LocalEngine`.

    A passage that the model fails on costs itself only. An actor that is killed is replaced, and its part is judged again.
    """

    def __init__(
        self,
        load: Callable[[], Judge],
        *,
        address: str | None = None,
        actors: int | None = None,
        gpus: float = 0,
        rows: int = 256,
    ) -> None:
        """Keep the settings; Ray is started by :meth:`judged`.

        Args:
            load: Loads the judge; it is sent to the actors, so what it refers to must be there: the package, the bundle.
            address: A running cluster as Ray writes it (``auto``, ``host:6379``). Without it Ray is started for the job, on
                this machine.
            actors: Processes, of one core each. Without it as many as there are cores, or as share the GPUs.
            gpus: GPUs of each actor; a fraction shares one.
            rows: Passages that are sent to an actor at once, which changes speed only.

        Raises:
            UsageError: for numbers that cannot be meant, or where Ray is not installed.
        """
        if actors is not None and actors < 1:
            raise UsageError(f"actors is {actors}; expected 1 or more")
        if rows < 1:
            raise UsageError(f"rows is {rows}; expected 1 or more")
        if not (math.isfinite(gpus) and gpus >= 0):
            raise UsageError(f"gpus is {gpus}; expected 0 or more")
        self._load, self._address, self._actors, self._gpus, self._rows = load, address, actors, gpus, rows
        _ray(alone=address is None)

    def judged(self, shards: Iterable[Sequence[Passage]]) -> Iterator[list[Verdict]]:
        """Yield one list a shard, in the order given. See :class:`pipelines.engine.Engine`.

        Raises:
            UsageError: where the cluster cannot be reached or has no room for an actor.
            BundleError, MemoryError: as the judge raises them.
            RecordError: where Ray gave up, or a part took one process after the other with it.
        """
        stream = iter(shards)
        work = self._work(stream)
        try:
            while (verdicts := _aside(lambda: next(work, None))) is not None:
                yield verdicts
        finally:
            _aside(work.close)
            if isinstance(stream, Generator):
                stream.close()

    def _work(self, stream: Iterator[Sequence[Passage]]) -> Generator[list[Verdict]]:
        with _session(self._address, self._actors, self._gpus) as ray:
            try:
                yield from self._run(ray, stream)
            except ray.exceptions.RayError as error:
                said = " ".join(str(error).split())[:_SAID]
                raise RecordError(
                    f"Ray gave up ({type(error).__name__}: {said}); what is written stays, run it again with --resume"
                ) from error

    def _run(self, ray: Any, stream: Iterator[Sequence[Passage]]) -> Iterator[list[Verdict]]:
        room = _room(ray, self._gpus)
        actors = self._actors or room
        feeder = ray.remote(num_cpus=0)(Feeder).remote()
        answers = self._answers(ray, feeder, actors)
        shards: deque[tuple[int, int]] = deque()  # parts and passages of each shard that is with the actors
        given = taken = 0
        try:
            while True:
                while given - taken < _AHEAD * actors and (shard := next(stream, None)) is not None:
                    parts = list(_parts(shard, self._rows))
                    ray.get([feeder.put.remote(given + i, pack_part(part)) for i, part in enumerate(parts)])
                    given += len(parts)
                    shards.append((len(parts), len(shard)))
                if not shards:
                    return
                verdicts: list[Verdict] = []
                count, passages = shards.popleft()
                for _ in range(count):
                    number, answer = next(answers)
                    if number != taken:
                        raise RecordError(f"Ray: expected part {taken}, found part {number}; please report this")
                    taken += 1
                    feeder.drop.remote(number)
                    if isinstance(answer, Failed):
                        raise answer.error()
                    verdicts += answer
                if len(verdicts) != passages:
                    raise RecordError(f"Ray: expected {passages} verdicts, found {len(verdicts)}; please report this")
                yield verdicts
        finally:
            answers.close()
            ray.kill(feeder)

    def _answers(self, ray: Any, feeder: Any, actors: int) -> Generator[tuple[int, list[Verdict] | Failed]]:
        """Yield the number of each part with what became of it, in order and without an end."""
        import pyarrow as pa

        data = _data()
        context = data.DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = context.print_on_execution_start = False
        first, slots = 0, _SLOTS[0]
        while True:
            with data.DataContext.current(context):
                numbers = data.from_arrow([pa.table({"part": [number]}) for number in range(first, first + slots)])
                dataset = numbers.map_batches(
                    Worker,
                    batch_size=1,
                    batch_format="pyarrow",
                    # as many calls at once as tasks in flight: the part of an actor that died comes again behind one that
                    # may wait for a part not yet given, and must be able to overtake it
                    compute=data.ActorPoolStrategy(
                        size=actors,
                        max_tasks_in_flight_per_actor=_CALLS,
                        max_concurrent_calls_per_actor=_CALLS,
                        enable_true_multi_threading=True,
                    ),
                    num_cpus=1,
                    num_gpus=self._gpus or None,
                    fn_constructor_args=(self._load, feeder, version("treaty-stance")),
                )
            # one block at a time: a batch that waited for later parts would wait for ever for those not yet given
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                for row in batch.to_pylist():
                    yield row["part"], unpack(row["answer"])
            first, slots = first + slots, _SLOTS[1]


def _parts(shard: Sequence[Passage], rows: int) -> Iterator[list[Passage]]:
    """Cut a shard into what is sent to an actor at once: so many passages, fewer where they are long."""
    part: list[Passage] = []
    size = 0
    for passage in shard:
        part.append(passage)
        size += len(passage.text) + len(passage.before)
        if len(part) == rows or size >= _CHARACTERS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _ray(*, alone: bool) -> Any:
    """Import Ray, which is an extra; it reads these settings then and nowhere else.

    Raises:
        UsageError: where it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # else it warns on every start of a pool
    if alone:  # Ray's switch for machines without a cluster, on any system: it listens on the loopback address only
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the ray engine needs Ray {_NEEDED} or later, which is not installed; pip install 'treaty-stance[ray]'"
        ) from error


@contextlib.contextmanager
def _session(address: str | None, actors: int | None, gpus: float) -> Iterator[Any]:
    """Give Ray, connected: to what the process is connected to already, to a cluster, or to one started for the job.

    Raises:
        UsageError: where that fails.
    """
    ray = _ray(alone=address is None)
    if ray.is_initialized():
        yield ray
        return
    asked: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with contextlib.ExitStack() as stack:
        if address is None:
            asked |= {"num_cpus": actors, "include_dashboard": False, "object_store_memory": _STORE}
            asked |= {} if gpus else {"num_gpus": 0}
            folder = tempfile.mkdtemp(prefix="ray-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            if len(folder) <= _PATH:
                asked["_temp_dir"] = folder
        stack.callback(ray.shutdown)
        try:
            _knock(address)
            with _signals_kept():
                ray.init(address=address or "local", **asked)
        except (ValueError, RuntimeError, OSError) as error:
            where = f"the Ray cluster at {address}" if address else "Ray on this machine"
            said = " ".join(str(error).split())[:_SAID]
            raise UsageError(f"{where} cannot be reached or started ({said}); check the address and the machine") from error
        yield ray


def _knock(address: str | None) -> None:
    """Ask whether anybody listens at ``host:port``: Ray asks for minutes.

    Raises:
        OSError: where nobody does.
    """
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_WAIT).close()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Put back what the process does on SIGTERM: Ray takes the signal for itself when it starts."""
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if kept is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, kept)


def _aside(work: Callable[[], _T]) -> _T:
    """Do the work with what is printed going to standard error: Ray prints its notices among a command's own output."""
    with contextlib.redirect_stdout(sys.stderr):
        return work()


def _data() -> Any:
    """Import Ray Data, and keep what it logs off the terminal; its own file has it all."""
    data = importlib.import_module("ray.data")
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setLevel(logging.CRITICAL)
    return data


def _room(ray: Any, gpus: float) -> int:
    """Return how many actors there is room for.

    Raises:
        UsageError: where it is none; Ray would wait for ever.
    """
    there = ray.cluster_resources()
    cores, devices = there.get("CPU", 0), there.get("GPU", 0)
    room = int(cores if not gpus else min(cores, devices / gpus))
    if room < 1:
        needed = f"one core and {gpus:g} GPUs" if gpus else "one core"
        raise UsageError(f"Ray has {cores:g} cores and {devices:g} GPUs; expected {needed} for at least one actor")
    return room
