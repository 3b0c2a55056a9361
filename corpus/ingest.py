"""Ingest: a snapshot judged, and made a document with its statements. A function of snapshot, source and target alone."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from corpus.errors import RecordError
from corpus.identity import canonical_url, document_id
from corpus.language import detect_language
from corpus.page import PageError, read_page
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
            payload.body, url=snapshot.url, mime=snapshot.mime, headers=payload.headers, max_bytes=self.max_bytes
        )
        title = page.title or snapshot.hints.get("title")
        relevance = aliases.relevance(title, page.text)
        if relevance is None and not self.keep_all:
            return Judged(snapshot, "irrelevant", "no alias of the target stands in it")
        url = document_url(snapshot.url, page.url)
        document = Document(
            id=document_id(url, page.text),
            url=url,
            text=page.text,
            title=title,
            author=page.author,
            publisher=source.publisher or page.publisher or snapshot.hints.get("publisher") or urlsplit(url).hostname,
            published=published(snapshot.hints.get("published"), page.published, retrieved=snapshot.date),
            retrieved=snapshot.date,
            language=detect_language(page.text) or page.language or snapshot.hints.get("language") or source.language,
            kind=source.kind,
            source=source.name,
            rights=source.rights,
            relevance=relevance,
            snapshot=snapshot.id,
            pages=page.pages,
        )
        return Judged(snapshot, KEPT, None, document, attribute(segment(document)), signature(document.text))


def document_url(fetched: str, own: str | None) -> str:
    """Return a document's address: the page's own canonical link where it can be believed, else the one fetched, canonical.

    A page from a file may name any http address. A page from the web is believed within its own site, and not where it
    points at the front page or anywhere else from a deeper address, a common fault of templates.
    """
    fetched = canonical_url(fetched)
    if not own:
        return fetched
    own = canonical_url(own)
    there, here = urlsplit(own), urlsplit(fetched)
    if here.scheme not in ("http", "https"):
        return own if there.scheme in ("http", "https") else fetched
    if _site(there.hostname or "") != _site(here.hostname or "") or (there.path in ("", "/") and here.path not in ("", "/")):
        return fetched
    return own


def published(hint: str | None, page: str | None, *, retrieved: str) -> str | None:
    """Return the day of publication, ISO 8601: the listing's date, else the page's; never one after the day of retrieval.

    A day's grace is given for time zones.
    """
    latest = (datetime.date.fromisoformat(retrieved[:10]) + datetime.timedelta(days=1)).isoformat()
    for date in (hint, page):
        if date and _DATE.match(date) and date[:10] <= latest:
            return date[:10]
    return None


def _site(host: str) -> str:
    from courlan import extract_domain

    return str(extract_domain(f"https://{host}", fast=True) or host)


def batches(
    pending: Sequence[Snapshot], find: Callable[[str], Snapshot | None], size: int
) -> list[list[tuple[Snapshot, Snapshot | None]]]:
    """Return snapshots in batches for worker processes, each with the snapshot that holds its payload."""
    pairs = [(s, find(s.refers_to) if s.refers_to else None) for s in pending]
    return [pairs[i : i + size] for i in range(0, len(pairs), size)]
