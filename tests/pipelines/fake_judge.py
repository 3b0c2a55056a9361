"""A judge without a network that worker processes can import: verdicts made of hashes, and texts that break it."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from annotation.codebook import Codebook, parse_codebook
from corpus.errors import BundleError
from models.passage import Judgement, Passage

_CODEBOOK = """
format: 1
name: river-pact
version: 1
target: {name: The River Pact, aliases: [river treaty]}
stances:
  - {id: yes_please, name: Wants it, polarity: positive, hotkey: "1", definition: The holder wants the pact.}
  - {id: no_thanks, name: Does not want it, polarity: negative, hotkey: "2", definition: The holder refuses the pact.}
concerns:
  - {id: fish, name: Fish, hotkey: f, definition: Fish and other animals.}
holder_types:
  - {id: town, name: Town}
  - {id: nobody, name: Nobody, nobody: true}
rules: [Judge the words.]
"""


@dataclass
class FakeJudge:
    """Judges by the hash of what it reads.

    The text ``poison`` makes it fail, ``ruin`` is a bundle error, ``burn`` kills the process. ``rounds`` of hashing are the
    work of one passage, ``pause`` seconds its wait. In the folder ``log`` each process notes the passages that it judged.
    """

    rounds: int = 1
    pause: float = 0.0
    log: Path | None = None
    model_id: str = "fake"

    @cached_property
    def codebook(self) -> Codebook:
        return parse_codebook(_CODEBOOK, where="river-pact.yaml")

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        for passage in passages:
            if passage.text.startswith("poison"):
                raise ValueError(f"cannot read {passage.text!r} at 0x7f00{os.getpid():x}")
            if passage.text == "ruin":
                raise BundleError("fake: expected weights, found none; train again")
            if passage.text == "burn":
                os.kill(os.getpid(), signal.SIGKILL)
        out = [self._one(passage) for passage in passages]
        if self.log is not None:
            with (self.log / str(os.getpid())).open("a") as file:
                file.write(f"{len(passages)}\n")
        return out

    def _one(self, passage: Passage) -> Judgement:
        time.sleep(self.pause)
        digest = repr(passage).encode("utf-8", "backslashreplace")
        for _ in range(self.rounds):
            digest = hashlib.sha256(digest).digest()
        share = digest[0] / 256
        return Judgement(
            stance="yes_please" if share >= 0.5 else "no_thanks",
            probabilities=(share, 1 - share),
            concerns=("fish",) if digest[1] > 127 else (),
            concern_probabilities=(digest[1] / 256,),
            confidence=max(share, 1 - share),
        )


def broken() -> FakeJudge:
    """Fail as a bundle does that is not there."""
    raise BundleError("bundles/gone: expected a bundle, found no folder; give the path of one")


def odd() -> FakeJudge:
    """Fail as a library does."""
    raise RuntimeError("no kernel")
