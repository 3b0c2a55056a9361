"""What a store tells beside documents and statements: runs, outcomes, locations."""

from __future__ import annotations

import msgspec

OUTCOMES = ("unchanged", "new", "revised", "copy", "blocked", "empty", "irrelevant", "opted_out", "failed")


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One call of ``collect``: when it began and ended (ISO 8601), and the names of its sources in their order."""

    id: str
    started: str
    finished: str | None = None
    sources: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one address of one source in one run. ``outcome`` is one of OUTCOMES, ``reason`` a few words."""

    run: str
    source: str
    url: str
    outcome: str
    reason: str | None = None
    document: str | None = None
    snapshot: str | None = None

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome is {self.outcome!r}, expected one of {', '.join(OUTCOMES)}")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """An address at which a document stood, the source and snapshot that first told of it, and when it was seen there."""

    document: str
    url: str
    source: str
    snapshot: str | None
    first_seen: str
    last_seen: str
