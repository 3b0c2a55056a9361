"""Records: the frozen, versioned types that cross a wall between rooms.

Every record knows its own consistency and refuses to exist without it; ``corpus.files`` reads and writes them.
"""

from __future__ import annotations

import math
from typing import ClassVar

import msgspec

from corpus.identity import digest, document_id, statement_id

VOICES = ("own", "reported", "editorial")
"""Whose words a statement is made of: the holder's own, a report of them, or the author's account."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of all records. ``version`` is the version of the record's form, not of its content."""

    VERSION: ClassVar[int] = 1
    version: int = 1


class Document(Record, frozen=True, kw_only=True):
    """A page, file or transcript, with its text as extracted and never altered afterwards (NFC, line feeds).

    ``source`` names the workspace's source that brought it, ``rights`` is that source's note on use. ``relevance`` is
    ``lead`` or ``passing`` as to the workspace's target. ``pages`` are the code points at which a PDF's pages begin.
    """

    id: str
    url: str
    text: str
    publisher: str | None = None
    published: str | None = None
    retrieved: str | None = None
    title: str | None = None
    language: str | None = None
    kind: str | None = None
    snapshot: str | None = None
    revision: int = 1
    story: str | None = None
    author: str | None = None
    source: str | None = None
    rights: str | None = None
    relevance: str | None = None
    pages: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        expected = document_id(self.url, self.text)
        if self.id != expected:
            raise ValueError(f"id is {self.id!r}, but url and text make it {expected!r}")
        if self.revision < 1:
            raise ValueError(f"revision is {self.revision}, expected 1 or more")


class Statement(Record, frozen=True, kw_only=True):
    """One to three sentences of a document: ``text == document.text[start:end]``, offsets in Unicode code points.

    ``voice`` is ``own``, ``reported`` or ``editorial``, or None where nobody has judged it. ``holder`` is the holder's name
    as the document gives it, where quotation or a verb of saying makes it plain.
    """

    id: str
    document: str
    start: int
    end: int
    text: str
    before: str = ""
    after: str = ""
    voice: str | None = None
    holder: str | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or self.end - self.start != len(self.text):
            raise ValueError(f"offsets {self.start} to {self.end} do not span a text of {len(self.text)} characters")
        expected = statement_id(self.document, self.start, self.end)
        if self.id != expected:
            raise ValueError(f"id is {self.id!r}, but document and offsets make it {expected!r}")


class Annotation(Record, frozen=True, kw_only=True):
    """One annotator's reading of one statement under one codebook version.

    ``holder`` is an exact slice of the statement, from ``holder_start`` to ``holder_end`` where these are known (a name may
    stand in it twice); ``certainty`` is 1 (a guess) to 3 (sure); ``blind`` is False where a model's suggestion was on the
    screen: such a reading never counts as gold by itself.
    """

    statement: str
    annotator: str
    codebook_version: str
    stance: str
    concerns: tuple[str, ...] = ()
    holder: str | None = None
    holder_type: str | None = None
    voice: str | None = None
    blind: bool = True
    certainty: int | None = None
    seconds: float | None = None
    comment: str | None = None
    holder_start: int | None = None
    holder_end: int | None = None

    def __post_init__(self) -> None:
        _no_duplicates(self.concerns)
        _spans(self.holder, self.holder_start, self.holder_end)
        if self.certainty is not None and self.certainty not in (1, 2, 3):
            raise ValueError(f"certainty is {self.certainty}, expected 1, 2 or 3")
        if self.seconds is not None and not 0 <= self.seconds < math.inf:
            raise ValueError(f"seconds is {self.seconds}, expected a number that is not negative")

    @property
    def id(self) -> str:
        """Content hash of statement, annotator and codebook version."""
        return digest(self.statement, self.annotator, self.codebook_version)


class GoldLabel(Record, frozen=True, kw_only=True):
    """The settled label of a statement, with the distribution of the readings behind it.

    ``settled`` says how: ``agreed``, ``adjudicated`` or ``single``; ``majority``, ``dawid-skene`` or ``mace`` where coders
    differed and that method decided. ``distribution`` gives each stance its share of the readings, or its probability where
    a model of the coders gave one. ``inclusion_probability`` is set for statements of a probability sample only.
    """

    statement: str
    codebook_version: str
    stance: str
    concerns: tuple[str, ...] = ()
    holder: str | None = None
    holder_type: str | None = None
    distribution: dict[str, float] = {}
    settled: str = "agreed"
    inclusion_probability: float | None = None
    holder_start: int | None = None
    holder_end: int | None = None
    voice: str | None = None

    def __post_init__(self) -> None:
        _no_duplicates(self.concerns)
        _spans(self.holder, self.holder_start, self.holder_end)
        if self.distribution:
            _sums_to_one("distribution", self.distribution)
        if self.inclusion_probability is not None and not 0 < self.inclusion_probability <= 1:
            raise ValueError(f"inclusion_probability is {self.inclusion_probability}, expected a number in (0, 1]")


class Prediction(Record, frozen=True, kw_only=True):
    """What a bundle says of one statement: calibrated probabilities, the decision, and who holds it.

    ``probabilities`` has one entry per stance label and sums to one; ``concern_probabilities`` one per concern label,
    each on its own. ``confidence`` is the probability of the decided stance. ``holder_start`` and ``holder_end`` are
    offsets into the statement's text.
    """

    statement: str
    model_id: str
    codebook_version: str
    stance: str
    probabilities: dict[str, float]
    concerns: tuple[str, ...]
    concern_probabilities: dict[str, float]
    confidence: float
    abstained: bool = False
    holder: str | None = None
    holder_start: int | None = None
    holder_end: int | None = None
    holder_type: str | None = None

    def __post_init__(self) -> None:
        _no_duplicates(self.concerns)
        _sums_to_one("probabilities", self.probabilities)
        if self.stance not in self.probabilities:
            raise ValueError(f"stance {self.stance!r} has no probability; there are {', '.join(self.probabilities)}")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"confidence is {self.confidence}, expected a number in [0, 1]")
        for name, value in self.concern_probabilities.items():
            if not 0 <= value <= 1:
                raise ValueError(f"concern_probabilities[{name!r}] is {value}, expected a number in [0, 1]")
        if (self.holder is None) != (self.holder_start is None) or (self.holder is None) != (self.holder_end is None):
            raise ValueError("holder, holder_start and holder_end go together: all set or all null")


def _no_duplicates(names: tuple[str, ...]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"concerns has a label twice: {', '.join(names)}")


def _spans(words: str | None, start: int | None, end: int | None) -> None:
    if start is None and end is None:
        return
    if words is None or start is None or end is None or start < 0 or end - start != len(words):
        raise ValueError(f"holder_start {start} and holder_end {end} do not span the holder {words!r}")


def _sums_to_one(field: str, values: dict[str, float]) -> None:
    if any(not 0 <= v <= 1 for v in values.values()) or not math.isclose(sum(values.values()), 1.0, abs_tol=1e-4):
        raise ValueError(f"{field} sums to {sum(values.values()):.6g}, expected probabilities that sum to 1")
