"""Judging snapshots by several processes, in the order given."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from pipelines.terminal import hush_extractors

if TYPE_CHECKING:
    from concurrent.futures import Future

    from corpus.ingest import Judged
    from corpus.snapshot import Snapshot

_BATCH = 16  # pages a worker takes at a time: long enough to outweigh the journey between processes
_INLINE = 24  # so few pages are done sooner than a second process starts


class Judging(Protocol):
    """What judges batches of snapshots, each with the one that holds its payload; it can be sent to another process."""

    def judge(self, snapshots: Sequence[tuple[Snapshot, Snapshot | None]]) -> list[Judged]:
        """Return what became of each, in the order given."""


def judged_in_order(
    judge: Judging, snapshots: Iterable[Snapshot], jobs: int, find: Callable[[str], Snapshot | None]
) -> Iterator[Judged]:
    """Yield what the judge says of each snapshot, in the order given, by several processes where that is worth while.

    Args:
        judge: What to do with each.
        snapshots: Read as far ahead as the processes need, so that memory stays flat.
        jobs: Processes.
        find: Looks up the snapshot that a repeated one refers to.
    """
    stream = ((s, find(s.refers_to) if s.refers_to else None) for s in snapshots)
    head = list(_next(stream, _INLINE))
    if jobs == 1 or len(head) < _INLINE:
        while head:
            yield from judge.judge(head)
            head = list(_next(stream, _BATCH))
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs - 1, mp_context=context, initializer=_end_with_parent) as pool:
        waiting: collections.deque[Future[list[Judged]] | list[Judged]] = collections.deque()
        away = 0  # batches that are with another process
        batch = head
        while batch or waiting:
            while batch and away < 2 * (jobs - 1):
                waiting.append(pool.submit(judge.judge, batch))
                away += 1
                batch = list(_next(stream, _BATCH))
            front = waiting[0]
            if batch and len(waiting) < 4 * jobs and not isinstance(front, list) and not front.done():
                waiting.append(judge.judge(batch))  # this process does its share rather than wait
                batch = list(_next(stream, _BATCH))
                continue
            waiting.popleft()
            if not isinstance(front, list):
                away -= 1
                front = front.result()
            yield from front


def _next(stream: Iterator[Any], size: int) -> Iterator[Any]:
    for _, item in zip(range(size), stream, strict=False):
        yield item


def _end_with_parent() -> None:
    """Let a worker end when its parent was killed: it would wait for work for ever."""
    import multiprocessing
    import threading

    hush_extractors()
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
