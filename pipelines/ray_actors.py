"""What runs in Ray's actors and what travels to and from them: parts of passages there, verdicts back."""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import msgspec

from corpus.errors import BundleError, CodebookError, RecordError, TreatyStanceError, UsageError
from models.passage import Judge, Judgement, Passage
from pipelines.engine import Unjudged, Verdict, judge_each

_DEATHS = 5  # processes that one part may take along before the job is given up
_KINDS: dict[str, type[Exception]] = {
    of.__name__: of for of in (BundleError, CodebookError, MemoryError, RecordError, TreatyStanceError, UsageError)
}


@dataclass(frozen=True, slots=True)
class Failed:
    """What an actor answers where the job must end: Ray would bury an exception in its own, or try again for ever.

    ``kind`` is one of those that the driver raises as they are.
    """

    kind: str
    words: str

    def error(self) -> Exception:
        """Return what the driver shall raise."""
        return _KINDS.get(self.kind, BundleError)(self.words)


class _Answer(msgspec.Struct, frozen=True):
    """What travels from an actor: for each passage a judgement or the reason why there is none; or why the job ends."""

    verdicts: list[tuple[Judgement | None, str]] = []
    failed: Failed | None = None


def pack_part(part: Sequence[Passage]) -> bytes:
    """Pack passages as bytes, since a text may hold half of a surrogate pair, which no packed text may."""

    def raw(text: str | None) -> bytes | None:
        return None if text is None else text.encode("utf-8", "surrogatepass")

    return msgspec.msgpack.encode([(raw(p.text), raw(p.title), raw(p.before)) for p in part])


def unpack_part(data: bytes) -> list[Passage]:
    """Return the passages that were packed."""

    def text(raw: bytes) -> str:
        return raw.decode("utf-8", "surrogatepass")

    rows = msgspec.msgpack.decode(data, type=list[tuple[bytes, bytes | None, bytes]])
    return [Passage(text(a), None if b is None else text(b), text(c)) for a, b, c in rows]


def pack(answer: list[Verdict] | Failed) -> bytes:
    """Pack what became of a part."""
    if isinstance(answer, Failed):
        return msgspec.msgpack.encode(_Answer(failed=answer))
    pairs: list[tuple[Judgement | None, str]] = [(None, v.reason) if isinstance(v, Unjudged) else (v, "") for v in answer]
    return msgspec.msgpack.encode(_Answer(verdicts=pairs))


def unpack(data: bytes) -> list[Verdict] | Failed:
    """Return what became of a part."""
    answer = msgspec.msgpack.decode(data, type=_Answer)
    if answer.failed is not None:
        return answer.failed
    return [Unjudged(reason) if judgement is None else judgement for judgement, reason in answer.verdicts]


class Feeder:
    """Holds the parts that were handed out and not answered yet, and lets actors wait for those to come."""

    def __init__(self) -> None:
        self._parts: dict[int, bytes] = {}
        self._asked: dict[int, int] = {}
        self._done = 0  # parts answered
        self._news = asyncio.Condition()

    async def put(self, number: int, part: bytes) -> None:
        """Take a part, and wake the actor that waits for it."""
        async with self._news:
            self._parts[number] = part
            self._news.notify_all()

    async def get(self, number: int) -> tuple[bytes, int] | None:
        """Return the part, as soon as it is there, and how often it was asked for; None where it was answered.

        An actor that dies takes along its word that an earlier part is done: Ray gives that to the next one again, and
        drops what it says.
        """
        async with self._news:
            await self._news.wait_for(lambda: number in self._parts or number < self._done)
        if number < self._done:
            return None
        self._asked[number] = self._asked.get(number, 0) + 1
        return self._parts[number], self._asked[number]

    async def drop(self, number: int) -> None:
        """Take note that the part was answered, as all before it."""
        async with self._news:
            self._done = number + 1
            self._parts.pop(number, None)
            self._asked.pop(number, None)
            self._news.notify_all()


class Worker:
    """What an actor runs: one judge, loaded once."""

    def __init__(self, load: Callable[[], Judge], feeder: Any, expected: str) -> None:
        self._feeder = feeder
        self._one = threading.Lock()  # only waiting is done side by side
        self._failed: Failed | None = None
        try:
            if (found := version("treaty-stance")) != expected:
                raise UsageError(
                    f"a machine of the Ray cluster has treaty-stance {found}, expected {expected} as here; install the same"
                )
            self._judge = load()
        except Exception as error:
            self._failed = _failed(error)

    def __call__(self, batch: Any) -> Any:
        """Judge the parts whose numbers the batch has."""
        import pyarrow as pa

        numbers = batch.column("part").to_pylist()
        answers = [pack(self._answer(number)) for number in numbers]
        return pa.table({"part": pa.array(numbers, pa.int64()), "answer": pa.array(answers, pa.large_binary())})

    def _answer(self, number: int) -> list[Verdict] | Failed:
        got = importlib.import_module("ray").get(self._feeder.get.remote(number))
        if got is None:
            return []
        part, times = got
        if self._failed is not None:
            return self._failed
        if times > _DEATHS:
            return _failed(
                RecordError(
                    f"{times - 1} processes ended one after the other while they judged the same passages; expected one "
                    "at most; give Ray more memory, or run it with the local engine to see why"
                )
            )
        try:
            with self._one:
                return judge_each(self._judge, unpack_part(part))
        except Exception as error:
            return _failed(error)


def _failed(error: Exception) -> Failed:
    """Wrap an error as the driver shall raise it: ours and those of the machine as they are, a stranger with its name."""
    for kind, of in _KINDS.items():
        if type(error) is of:
            return Failed(kind, str(error))
    if isinstance(error, TreatyStanceError):
        return Failed(BundleError.__name__, str(error))
    return Failed(BundleError.__name__, f"the model cannot be loaded by a Ray actor ({type(error).__name__}: {error})")
