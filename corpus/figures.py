"""Figures of a store: how many documents, by what."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, func, select

from corpus import tables

NONE = "(none)"
_MONTH = re.compile(r"\d{4}-\d{2}")


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of a store. A document without a value (no date, no language) is counted under NONE.

    ``revisions`` are documents that replaced another under its address; ``shared_stories`` are stories of two documents or
    more. ``by_month`` goes by the date of publication; ``by_story_size`` says how many stories have so many documents.
    """

    documents: int
    statements: int
    locations: int
    revisions: int
    stories: int
    shared_stories: int
    by_source: dict[str, int]
    by_month: dict[str, int]
    by_language: dict[str, int]
    by_kind: dict[str, int]
    by_relevance: dict[str, int]
    by_story_size: dict[int, int]


def count(connection: Connection) -> Stats:
    """Count what a transaction sees."""
    d, g = tables.documents, tables.signatures

    def total(query: Any) -> int:
        return int(connection.execute(select(func.count()).select_from(query)).scalar_one())

    def by(column: ColumnElement[Any]) -> dict[str, int]:
        values = select(column.label("value")).subquery()
        found = connection.execute(select(values.c.value, func.count()).group_by(values.c.value))
        return dict(sorted((NONE if value is None else str(value), n) for value, n in found))

    months: Counter[str] = Counter()
    for month, n in by(func.substr(d.c.published, 1, 7)).items():
        months[month if _MONTH.fullmatch(month) else NONE] += n
    sizes = select(func.count().label("size")).select_from(g).group_by(g.c.story).subquery()
    by_size = {
        int(size): int(n) for size, n in connection.execute(select(sizes.c.size, func.count()).group_by(sizes.c.size))
    }
    return Stats(
        documents=total(d),
        statements=total(tables.statements),
        locations=total(tables.locations),
        revisions=total(select(d.c.id).where(d.c.revision > 1).subquery()),
        stories=sum(by_size.values()),
        shared_stories=sum(n for size, n in by_size.items() if size > 1),
        by_source=by(d.c.source),
        by_month=dict(sorted(months.items())),
        by_language=by(d.c.language),
        by_kind=by(d.c.kind),
        by_relevance=by(d.c.relevance),
        by_story_size=dict(sorted(by_size.items())),
    )
