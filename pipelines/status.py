"""How a campaign stands, as a table for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from annotation.ledger import Ledger
from annotation.status import WINDOW, Progress, Status, measure_status
from corpus.errors import UsageError
from corpus.files import write_text
from corpus.sources import load_project

FORMAT = 1
_HEADING = (
    "project", "assigned", "done", "cannot judge", "skipped", "unusable", "open", "seconds", "a day", "end",
)  # fmt: skip
_APART = ("read by others, too", "statements", "stance differs", "anything differs")


def campaign_status(workspace: Path, *, round: str | None = None, output: Path | None = None) -> Status:
    """Count how a workspace's campaign stands as of the last pulls; ``output`` also gets it as JSON.

    Raises:
        UsageError: when there is no workspace, nothing was pushed (in that round), or the output is a folder.
    """
    if output is not None and output.is_dir():
        raise UsageError(f"{output}: expected the name of a file to write, found a folder; give a name in it")
    with Ledger.open(load_project(workspace).store_url) as ledger:
        status = measure_status(ledger, round=round)
        if not status.projects:
            rounds = ", ".join(dict.fromkeys(repr(p.round) for p in ledger.projects()))
            what = f"round {round!r}" if round else "campaign"
            raise UsageError(
                f"{workspace}: expected a {what} that was pushed, found {rounds or 'none'}; push statements first"
            )
    if output is not None:
        content = {"format": FORMAT, "window_days": WINDOW, **_builtins(status)}
        write_text(output, msgspec.json.format(msgspec.json.encode(content), indent=2).decode("utf-8") + "\n")
    return status


def status_lines(status: Status) -> list[str]:
    """Return the lines that show a campaign's status to people."""
    lines = []
    for r in status.rounds:
        if not r.statements:  # labels are checked again there; they have a line of their own
            continue
        drawn = f", drawn {' and '.join(r.strategies)}" if r.strategies else ""
        lines.append(
            f"{r.name}: {r.statements} statements{drawn}; {r.coded} read, {r.shared} of them by two coders or more; "
            f"codebook {', '.join(r.codebooks)}"
        )
    lines += ["", *columns([_HEADING, *map(_row, status.projects)])]
    shared = [p for p in status.projects if p.shared]
    if shared:
        lines += ["", *columns([_APART, *map(_apart, shared)])]
    for p in status.projects:
        if p.refused:
            lines.append(f"  {p.title}: answers that gave no label: {_counts(p.refused)}")
        if p.assisted:
            lines.append(f"  {p.title}: {p.assisted} coded with a model's suggestion in sight, which never settle a label")
        if p.pulled is None:
            lines.append(f"  {p.title}: never pulled")
    lines.append("")
    for a in status.audits:
        lines.append(f"audit sample of {a.round} ({a.draw}): {a.coded} of {a.size} read, {a.gold} with a gold label")
        if len(a.strata) > 1:
            lines += [f"  {name}: {coded} of {size}" for name, (size, coded) in sorted(a.strata.items())]
    decided = sum(status.cases_closed.values())
    by_cause = f" ({_counts(status.cases_closed)})" if decided else ""
    lines.append(f"cases: {status.cases_open} open, {decided} decided{by_cause}")
    for version, how in status.gold.items():
        lines.append(f"gold under {version}: {sum(how.values())} labels ({_counts(how)})")
    if not status.gold:
        lines.append("gold: none yet; see `treaty-stance annotate gold`")
    lines += [f"recheck {name}: {done} of {n} answered" for name, (n, done) in status.rechecks.items()]
    return lines


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines of columns: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip()
        for row in rows
    ]


def _row(p: Progress) -> tuple[str, ...]:
    numbers = (p.assigned, p.done, p.cannot_judge, p.skipped, p.unusable, p.open)
    end = p.end or ("-" if p.open + p.skipped else "done")
    shown = (
        "-" if p.seconds is None else f"{p.seconds:.0f}",
        "-" if p.pace is None else f"{p.pace:.1f}",
        end,
    )
    return (p.title, *map(str, numbers), *shown)


def _apart(p: Progress) -> tuple[str, ...]:
    return (p.title, str(p.shared), *(f"{n} ({n / p.shared:.0%})" for n in (p.stance_differs, p.differs)))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counts.items())


def _builtins(status: Status) -> dict[str, Any]:
    return dataclasses.asdict(status)
