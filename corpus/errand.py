"""An errand: what one fetching process has to do, and where it puts what comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.runs import Outcome, Run
from corpus.snapshot import SnapshotWriter
from corpus.sources import Fetching, Source
from corpus.store import Store

if TYPE_CHECKING:
    from scrapy.http import Headers, Response

ASIDE = "redirect"
"""Role of an answer that came in a page's place: a redirect or an error. It is kept, and never becomes a document."""


@dataclass(frozen=True)
class Errand:
    """The sources of one fetching process, and the store and WARC writer that it alone uses.

    ``send`` takes what is told of the progress. ``owners`` says for which source a host was first asked, ``kept`` which
    pages (source, address) the run has, ``failed`` why a source failed as a whole, ``beyond`` how many addresses were too
    many for it, ``finished`` which sources have been read.
    """

    fetching: Fetching
    sources: tuple[Source, ...]
    run: Run
    folder: Path
    store: Store
    writer: SnapshotWriter
    send: Callable[[dict[str, Any]], object]
    owners: dict[str, str] = field(default_factory=dict)
    kept: set[tuple[str, str]] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)
    finished: set[str] = field(default_factory=set)

    def source(self, name: str) -> Source | None:
        """Return the source of a name."""
        return next((s for s in self.sources if s.name == name), None)

    def keep(self, response: Response, *, source: str, role: str, hints: Mapping[str, str]) -> None:
        """Write a response as received and register it. A page that this run already has for the source stays as it is."""
        if role == "document" and (source, response.url) in self.kept:
            return
        snapshot = self.writer.write_response(
            response.url,
            source=source,
            role=role,
            status=response.status,
            reason=phrase(response.status),
            headers=pairs(response.headers),
            body=response.body,
            hints=hints,
        )
        self.store.add_snapshot(snapshot)
        if role == "document":
            self.kept.add((source, response.url))

    def settle(self, source: str, url: str, outcome: str, reason: str) -> None:
        """Note what became of an address that gave nothing to read."""
        self.store.add_outcome(Outcome(run=self.run.id, source=source, url=url, outcome=outcome, reason=reason))
        self.tell(source, outcome, url=url, reason=reason)

    def tell(self, source: str, event: str, **facts: object) -> None:
        """Report an event of a source."""
        self.send({"source": source, "event": event, **facts})

    def done(self, source: str) -> set[str]:
        """Return the addresses of a source that need not be asked in this run: those with an outcome or a page."""
        outcomes = [o for o in self.store.outcomes(self.run.id) if o.source == source]
        pages = list(self.store.pending(self.run.id, [source]))
        self.kept.update((source, o.url) for o in outcomes if o.snapshot is not None)
        self.kept.update((source, s.url) for s in pages)
        return {o.url for o in outcomes} | {u for s in pages for u in (s.url, s.hints.get("requested", s.url))}


def pairs(headers: Headers) -> list[tuple[str, str]]:
    """Return a response's headers as names and values, one pair for each time that a header stands there."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, values in headers.items() for value in values or ()]


def phrase(status: int) -> str:
    """Return the words that go with a status by the standard; none for a number that it does not know."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
