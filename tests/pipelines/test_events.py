"""Events that mark the charts over time."""

from __future__ import annotations

from pathlib import Path

import pytest

from corpus.errors import UsageError
from corpus.sources import PROJECT, load_project
from pipelines.events import Event, read_events
from pipelines.workspace import init_workspace


def project(folder: Path, events: str) -> object:
    init_workspace(folder)
    path = folder / PROJECT
    path.write_text(path.read_text(encoding="utf-8") + events, encoding="utf-8")
    return load_project(folder)


def test_events_come_in_the_order_of_their_dates(tmp_path: Path) -> None:
    text = '\n[[events]]\ndate = "2025-10-25"\nname = "Signature"\n[[events]]\ndate = "2024-12"\nname = "Adoption"\n'
    assert read_events(project(tmp_path, text)) == (  # type: ignore[arg-type]
        Event(date="2024-12", name="Adoption"),
        Event(date="2025-10-25", name="Signature"),
    )


def test_a_new_workspace_has_none(tmp_path: Path) -> None:
    assert read_events(project(tmp_path, "")) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('date = "25 October"\nname = "x"', "date is '25 October', expected one such as 2025-10-25"),
        ("date = 2025-10-25\nname = 'x'", "expected events with a date and a name"),
        ('date = "2025"\nname = " "', "name is ' ', expected 1 to 60 characters"),
        ('date = "2025"', "name"),
    ],
)
def test_a_malformed_event_is_told_in_a_sentence(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_events(project(tmp_path, f"\n[[events]]\n{entry}\n"))  # type: ignore[arg-type]
