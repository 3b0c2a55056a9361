"""Ingest: a snapshot judged, and made a document with its statements. A function of snapshot, source and target alone."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from corpus.errors import RecordError
from corpus.identity import canonical_url
from corpus.page import PageError, read_page, to_document
from corpus.records import Document, Statement
from corpus.relevance import Aliases
from corpus.reservations import reserved
from corpus.segment import segment
from corpus.snapshot import Payload, Snapshot, read_payload
from corpus.sources import Source
from corpus.stories import signature
from corpus.voice import attribute

KEPT = "kept"
"""The outcome of a judgement that made a document; the store says whether it is new."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_GOOD = range(200, 300)


@dataclass(frozen=True)
class Judged:
    """What became of a snapshot: a document, or an outcome with its reason."""

    snapshot: Snapshot
    outcome: str
    reason: str | None = None
    document: Document | None = None
    statements: tuple[Statement, ...] = ()
    signature: bytes | None = None


@dataclass(frozen=True)
class Judge:
    """Turns snapshots into documents. It crosses to worker processes, so it holds settings and nothing that is open.

    ``folder`` has the WARC files; ``sources`` are the project's by name; ``keep_all`` keeps what is not about the target.
    """

    folder: Path
    sources: Mapping[str, Source]
    aliases: tuple[str, ...]
    keep_all: bool = False
    max_bytes: int = 20_000_000

    def judge(self, snapshots: Sequence[tuple[Snapshot, Snapshot | None]]) -> list[Judged]:
        """Judge a batch; each snapshot comes with the one that holds its payload, None where that is itself."""
        aliases = Aliases(self.aliases)
        return [self._judge(snapshot, original, aliases) for snapshot, original in snapshots]

    def _judge(self, snapshot: Snapshot, original: Snapshot | None, aliases: Aliases) -> Judged:
        if snapshot.status is not None and snapshot.status != 304 and snapshot.status not in _GOOD:
            return Judged(snapshot, "failed", f"the server answered with status {snapshot.status}")
        if snapshot.refers_to is not None and original is None:
            return Judged(snapshot, "failed", f"the snapshot {snapshot.refers_to} that it repeats is not there")
        known = {original.id: original} if original else {}
        try:
            payload = read_payload(self.folder, snapshot, find=known.get, limit=self.max_bytes)
            return self._page(snapshot, payload, aliases)
        except PageError as error:
            return Judged(snapshot, error.outcome, error.reason)
        except RecordError as error:
            return Judged(snapshot, "failed", str(error))
        except Exception as error:  # a page may lead a parser anywhere; it must not end the run
            return Judged(snapshot, "failed", f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:200]}")

    def _page(self, snapshot: Snapshot, payload: Payload, aliases: Aliases) -> Judged:
        source = self.sources.get(snapshot.source) or Source(name=snapshot.source, type="files", paths=("?",))
        local = snapshot.status is None
        if source.reservations and not local:
            reason = reserved(payload.headers, payload.body)
            if reason is not None:
                return Judged(snapshot, "opted_out", reason)
        page = read_page(
            payload.body,
            url=snapshot.url,
            mime=snapshot.mime,
            headers=payload.headers,
            latest=_latest(snapshot.date),
            max_bytes=self.max_bytes,
        )
        title = page.title or snapshot.hints.get("title")
        relevance = aliases.relevance(title, page.text)
        if relevance is None and not self.keep_all:
            return Judged(snapshot, "irrelevant", "no alias of the target stands in it")
        listed = snapshot.hints
        document = to_document(
            page,
            snapshot.url,
            title=title,
            publisher=source.publisher or page.publisher or listed.get("publisher") or _host(page.url or snapshot.url),
            published=published(listed.get("published"), page.published, retrieved=snapshot.date),
            retrieved=snapshot.date,
            language=page.language or listed.get("language") or source.language,
            kind=source.kind,
            source=source.name,
            rights=source.rights,
            relevance=relevance,
            snapshot=snapshot.id,
        )
        return Judged(snapshot, KEPT, None, document, attribute(segment(document)), signature(document.text))


def published(hint: str | None, page: str | None, *, retrieved: str) -> str | None:
    """Return the day of publication, ISO 8601: the listing's date, else the page's; never one after the day of retrieval.

    A day's grace is given for time zones.
    """
    latest = _latest(retrieved)
    for date in (hint, page):
        if date and _DATE.match(date) and date[:10] <= latest:
            return date[:10]
    return None


def _host(url: str) -> str | None:
    return urlsplit(canonical_url(url)).hostname


def _latest(retrieved: str) -> str:
    return (datetime.date.fromisoformat(retrieved[:10]) + datetime.timedelta(days=1)).isoformat()
