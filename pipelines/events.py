"""Events of a workspace's `project.toml`: what the charts over time are marked with."""

from __future__ import annotations

import tomllib

import msgspec

from corpus.errors import UsageError
from corpus.sources import PROJECT, Project
from pipelines.labels import iso_date

_LONGEST = 60  # characters of a name: more would not fit beside a line in a chart


class Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Something that happened on a day: ``date`` is ISO 8601, a month or a year will do."""

    date: str
    name: str

    def __post_init__(self) -> None:
        if iso_date(self.date) is None:
            raise ValueError(f"date is {self.date!r}, expected one such as 2025-10-25 in quotation marks")
        if not self.name.strip() or len(self.name) > _LONGEST:
            raise ValueError(f"name is {self.name!r}, expected 1 to {_LONGEST} characters")


class _File(msgspec.Struct, frozen=True):
    events: tuple[Event, ...] = ()


def read_events(project: Project) -> tuple[Event, ...]:
    """Return a workspace's events in the order of their dates.

    Raises:
        UsageError: when an entry of ``[[events]]`` is malformed.
    """
    path = project.root / PROJECT
    try:
        file = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: expected events with a date and a name, but {error}; mend it") from error
    return tuple(sorted(file.events, key=lambda e: (e.date, e.name)))
