"""Label jobs in processes that tests may kill: a line of JSON on standard input starts one, how it ended is printed.

Everything is imported once and each job is forked, so that a hundred of them take seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from annotation.codebook import Codebook, parse_codebook
from corpus.errors import TreatyStanceError
from corpus.identity import document_id
from corpus.records import Document
from models.passage import Judgement, Passage
from models.selective import Selection
from pipelines.label import LabelOptions, label
from pipelines.queue import Abstention

BOOK = """
format: 1
name: bridge
version: 1
target: {name: The bridge}
stances:
  - {id: build, name: Build, definition: wants it, polarity: positive}
  - {id: leave, name: Leave, definition: does not, polarity: negative}
  - {id: silent, name: Silent, definition: neither, polarity: neutral}
concerns:
  - {id: toll, name: Toll, definition: what it costs}
holder_types:
  - {id: town, name: Town}
  - {id: nobody, name: Nobody, nobody: true}
"""
KEEP = Selection(target=0.9, assurance=None, threshold=0.6, statements=100, kept=60, correct=56)


class HashJudge:
    """Judges by the hash of a passage: quick, without a meaning, and blind to everything else."""

    model_id = "hash-1"
    codebook: Codebook = parse_codebook(BOOK, where="bridge.yaml")

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds = seconds

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        return [self._one(p) for p in passages]

    def _one(self, p: Passage) -> Judgement:
        time.sleep(self._seconds)
        key = "\0".join((p.text, p.title or "", p.before)).encode("utf-8", "surrogatepass")
        weights = [1 + byte for byte in hashlib.sha256(key).digest()[:3]]
        shares = tuple(w / sum(weights) for w in weights)
        best = shares.index(max(shares))
        toll = (weights[0] % 2) / 2 + 0.25
        return Judgement(self.codebook.stance_ids[best], shares, ("toll",) if toll > 0.5 else (), (toll,), shares[best])


def run(job: dict[str, Any]) -> None:
    """Run one job as its line says."""
    flag = [False]
    if job.get("signal") == signal.SIGTERM:
        signal.signal(signal.SIGTERM, lambda *_: flag.__setitem__(0, True))
    options = LabelOptions(
        formats=("csv", "jsonl"), rows_per_file=job["rows"], chunk=job.get("chunk", 16), quiet=True,
        abstention=Abstention(KEEP, size=50),
    )  # fmt: skip
    label(
        job["inputs"], HashJudge(job.get("seconds", 0.0)), Path(job["output"]), created=job.get("created", "2026-11-22"),
        options=options, bundle={"path": "b"}, resume=job.get("resume", False), stop=lambda: flag[0],
    )  # fmt: skip


def wait_for_shards(pid: int, output: Path, shards: int) -> None:
    """Return when the job has written so many shards, or has ended."""
    ended = os.WEXITED | os.WNOHANG | os.WNOWAIT
    while len(list(output.glob("labels-*.parquet"))) < shards and os.waitid(os.P_PID, pid, ended) is None:
        time.sleep(0.0005)


def warm_up() -> None:
    """Import what jobs import when they first need it, without a thread, which a fork would lose."""
    import filelock
    import pyarrow.parquet

    from corpus.segment import segment

    assert filelock
    assert pyarrow.parquet
    text = "The bridge was said to be long by Ms Ode of Upperton, who has seen it."
    segment(Document(id=document_id("file:a", text), url="file:a", text=text))


def main() -> None:
    """Fork a job for each line and say how it ended."""
    warm_up()
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if pid == 0:
            code, said = 0, ""
            try:
                run(job)
            except TreatyStanceError as error:
                code, said = error.exit_code, f"{type(error).__name__}: {error}"
            except BaseException:
                code, said = 70, traceback.format_exc()
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(json.dumps({"said": said, "peak": peak}), flush=True)  # noqa: T201 - how the test is answered
            os._exit(code)
        if "signal" in job:  # it is not yet waited for, so that the pid is the job's even when that has ended
            wait_for_shards(pid, Path(job["output"]), job.get("shards", 0))
            time.sleep(job["after"])
            os.kill(pid, job["signal"])
        _, status = os.waitpid(pid, 0)
        print(f"end {os.waitstatus_to_exitcode(status)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
