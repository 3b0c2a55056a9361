"""Engines: what carries shards of passages to a judge and brings the verdicts back in the order given."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from corpus.errors import BundleError
from models.passage import Judge, Judgement, Passage

_ADDRESS = re.compile(r"\b0x[0-9a-fA-F]+\b")  # differs from run to run, and a row must not
_NO_MEMORY = re.compile(r"out of memory|(?:allocate|allocation of) .*memory|bad_alloc|bad allocation", re.IGNORECASE)
_SAID = 200  # characters kept of what the model said when it failed


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A passage that the model failed on: its row becomes ``invalid`` with this reason."""

    reason: str


Verdict = Judgement | Unjudged


class Engine(Protocol):
    """What judges shards of passages, in this process or elsewhere."""

    def judged(self, shards: Iterable[Sequence[Passage]]) -> Iterator[list[Verdict]]:
        """Yield one list a shard, in the order given, one verdict a passage.

        Shards are read lazily and only a few ahead of what was yielded, possibly in another thread (always the same one).
        Closing the iterator ends the work and closes the shards where they come from a generator. What reading a shard
        raises comes through in its place, after all earlier shards.
        """


def judge_each(judge: Judge, passages: Sequence[Passage]) -> list[Verdict]:
    """Return one verdict a passage, in the order given; passages that the model fails on cost themselves only.

    All are judged at once; where that fails, each half is judged alone, until the poisoned passages stand by themselves.

    Raises:
        BundleError: when the number of judgements is not that of the passages; or as the judge raises it.
        MemoryError: where there is no room even for a single passage: that is the machine's doing, not the passage's, and
            another run would label it.
    """
    if not passages:
        return []
    try:
        judgements = judge.judge(passages)
    except (BundleError, MemoryError):
        raise
    except Exception as error:
        if len(passages) == 1:
            if _NO_MEMORY.search(str(error)):
                raise MemoryError(f"{judge.model_id}: no memory for a single passage ({_said(error)})") from error
            return [Unjudged(f"the model failed on this text ({_said(error)})")]
        half = len(passages) // 2
    else:
        if len(judgements) != len(passages):
            raise BundleError(
                f"{judge.model_id}: expected {len(passages)} judgements, found {len(judgements)}; the model is not usable"
            )
        return list(judgements)
    # outside the handler: what is raised below does not drag along the failure of the whole
    return judge_each(judge, passages[:half]) + judge_each(judge, passages[half:])


class LocalEngine:
    """Judges in this process, and reads the next shard in a thread meanwhile."""

    def __init__(self, judge: Judge) -> None:
        """Keep the judge; nothing is started."""
        self._judge = judge

    def judged(self, shards: Iterable[Sequence[Passage]]) -> Iterator[list[Verdict]]:
        """Yield one list a shard, in the order given; one shard is read ahead. See :class:`Engine`."""
        stream = iter(shards)
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            coming = reader.submit(next, stream, None)
            try:
                while (shard := coming.result()) is not None:
                    coming = reader.submit(next, stream, None)
                    yield judge_each(self._judge, shard)
            finally:
                if isinstance(stream, Generator):
                    reader.submit(stream.close)  # in the thread that ran it: a database it has open may insist on that


def _said(error: Exception) -> str:
    """Return an error as one short line that any file can hold, the same in every run."""
    words = " ".join(_ADDRESS.sub("0x…", str(error)).split()).encode("utf-8", "backslashreplace").decode()
    words = words if len(words) <= _SAID else words[: _SAID - 1] + "…"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
