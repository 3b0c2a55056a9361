"""What a model reads and what it says: the two small types between the jobs and the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from annotation.codebook import Codebook


@dataclass(frozen=True, slots=True)
class Passage:
    """A statement as the model reads it: its own words, and the document's title and preceding text as context."""

    text: str
    title: str | None = None
    before: str = ""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a model says of a passage.

    ``probabilities`` follow the codebook's stances and sum to one, ``concern_probabilities`` follow its concerns, each in
    [0, 1]. ``holder_start`` and ``holder_end`` are offsets in code points into the passage's text, None where nobody is
    named.
    """

    stance: str
    probabilities: tuple[float, ...]
    concerns: tuple[str, ...]
    concern_probabilities: tuple[float, ...]
    confidence: float
    abstained: bool = False
    holder_start: int | None = None
    holder_end: int | None = None
    holder_type: str | None = None


class Judge(Protocol):
    """Whatever can judge passages: the predictor of a bundle, or a stand-in in a test."""

    @property
    def model_id(self) -> str:
        """Identity of the bundle, written on every row."""

    @property
    def codebook(self) -> Codebook:
        """The codebook whose labels the judgements use."""

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        """Return one judgement a passage, in the order given; it does not depend on what else is in the list."""
