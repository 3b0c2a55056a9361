"""The collector: a Scrapy spider that reads a project's sources, each at its own pace, all at once."""

from __future__ import annotations

import asyncio
import datetime
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import scrapy
from scrapy.http import Request, Response

from corpus.errand import Errand, pairs, phrase
from corpus.errors import TreatyStanceError
from corpus.identity import canonical_url
from corpus.listings import (
    Entry,
    Listing,
    ListingError,
    address,
    gdelt_address,
    read_feed,
    read_gdelt,
    read_links,
    read_sitemap,
)
from corpus.reasons import why
from corpus.recorder import OptedOutError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from twisted.python.failure import Failure

    from corpus.sources import Source

_T = TypeVar("_T")

_ABREAST = 32  # pages of one source that are under way at a time, whatever their hosts
_MOST_LISTINGS = 1000  # listings that a source may lead to
_GDELT_HOST = "api.gdeltproject.org"
_GDELT_SECONDS = 5.0  # between two of its requests, as its error message asks


class Collector(scrapy.Spider):
    """Reads the sources of an errand. A source is a coroutine: its listings one after the other, then its pages.

    Requests go through Scrapy's scheduler; their callbacks wake the coroutine that waits for them.
    """

    name = "treaty-stance"

    def __init__(self, errand: Errand, broken: Callable[[BaseException], object], **fields: Any) -> None:
        super().__init__(self.name, **fields)
        self.errand = errand
        self._broken = broken
        self._outcomes = {(o.source, o.url): o for o in errand.store.outcomes(errand.run.id)}
        self._started = datetime.datetime.fromisoformat(errand.run.started)
        if self._started.tzinfo is None:
            self._started = self._started.replace(tzinfo=datetime.UTC)

    async def start(self) -> AsyncIterator[Any]:
        """Read all sources; nothing is yielded, requests are put in where they arise."""
        await asyncio.gather(*(self._guarded(source) for source in self.errand.sources))
        nothing: tuple[Any, ...] = ()
        for request in nothing:
            yield request

    async def _guarded(self, source: Source) -> None:
        """Read one source. What goes wrong in it is its own failure; only a store or a disk that fails ends the crawl."""
        try:
            await self._read(source)
        except TreatyStanceError as error:
            self._broken(error)
        except Exception as error:  # whatever a publisher sends, the other sources go on
            self.errand.failed[source.name] = f"unexpected {why(error)}"
        self.errand.finished.add(source.name)
        self.errand.tell(source.name, "finished")

    async def _read(self, source: Source) -> None:
        if source.type == "urls":
            entries, faults = [], []
            for url in source.urls:
                try:
                    entries.append(Entry(address(url)))
                except ValueError as error:
                    faults.append((url, str(error)))
            self._note_faults(source, faults)
            await self._pages(source, _unique(source, entries, {}).values())
        elif source.type == "crawl":
            await self._crawl(source)
        else:
            await self._pages(source, (await self._listed(source)).values())

    async def _listed(self, source: Source) -> dict[str, Entry]:
        """Read a source's listings and those that they lead to, in their order, until there are addresses enough."""
        queue = deque(dict.fromkeys(self._starts(source)))
        seen = set(queue)
        entries: dict[str, Entry] = {}
        reasons: list[str] = []
        leaves = 0
        while queue and len(entries) <= self.errand.fetching.max_pages:
            url = queue.popleft()
            listing = await self._listing(source, url, _ROLES[source.type], partial(self._understood, source))
            if isinstance(listing, str):
                reasons.append(listing)
                continue
            leaves += not listing.further or bool(listing.entries)
            self._note_faults(source, listing.faults)
            _unique(source, listing.entries, entries)
            for further in listing.further:
                if further in seen:
                    continue
                if len(seen) >= _MOST_LISTINGS:
                    self._fail(source, further, f"the source has led to {_MOST_LISTINGS:,} listings; no further one is read")
                    break
                seen.add(further)
                queue.append(further)
        if reasons and not leaves:
            self.errand.failed[source.name] = reasons[0]
        return entries

    def _starts(self, source: Source) -> Iterable[str]:
        if source.type == "gdelt":
            since = self._started - datetime.timedelta(days=source.days)
            return [gdelt_address(source.endpoint, source.query or "", since=since, until=self._started)]
        return [address(url) for url in source.urls]

    def _understood(self, source: Source, response: Response) -> Listing:
        now = self._started
        if source.type == "feed":
            return read_feed(response.body, url=response.url, now=now, headers=pairs(response.headers))
        if source.type == "gdelt":
            return read_gdelt(response.body, url=response.url, now=now)
        return read_sitemap(response.body, url=response.url, now=now, limit=self.errand.fetching.max_bytes)

    async def _crawl(self, source: Source) -> None:
        """Follow links from the start pages, level by level: which pages are read does not hang on which answers first.

        Pages that the source's patterns let in are documents, the others lead to them. Links count up to ``depth``.
        """
        starts = list(dict.fromkeys(address(url) for url in source.urls))
        seen = {canonical_url(url) for url in starts}
        level: list[tuple[Entry, bool]] = [(Entry(url), False) for url in starts]
        reasons: list[str] = []
        room = self.errand.fetching.max_pages
        beyond = 0
        for depth in range(source.depth + 1):
            found: dict[str, tuple[Entry, bool]] = {}
            for listing in await self._level(source, level, last=depth == source.depth):
                if isinstance(listing, str):
                    if depth == 0:
                        reasons.append(listing)
                        if len(reasons) == len(starts):
                            self.errand.failed[source.name] = reasons[0]
                    continue
                for link in listing.entries:
                    name = canonical_url(link.url)
                    page = source.takes(link.url)
                    # A page that is no document is only worth a request where its links will still be followed.
                    leads = not page and depth + 1 < source.depth and not _denied(source, link.url)
                    if (page or leads) and name not in seen:
                        seen.add(name)
                        found[name] = (link, page)
            level = list(found.values())[:room]
            room -= len(level)
            beyond += len(found) - len(level)
            self.errand.tell(source.name, "listed", found=len(level))
        if beyond:
            self.errand.beyond[source.name] = beyond

    async def _level(self, source: Source, level: list[tuple[Entry, bool]], *, last: bool) -> list[Listing | str]:
        """Fetch the pages of a level; return what each links to, or why it cannot be read, in the level's order."""
        done = self.errand.done(source.name)

        async def one(entry: Entry, page: bool) -> Listing | str:
            if not page:
                return await self._listing(source, entry.url, "listing", _links)
            # On the last level links do not matter, so a page that is there already need not be read again.
            if (last and entry.url in done) or (source.name, entry.url) in self._outcomes:
                return Listing()
            response = await self._page(source, entry)
            if response is None or last:
                return Listing()
            try:
                return _links(response)
            except ListingError:  # a PDF, for example: a document without links
                return Listing()

        return await _abreast([partial(one, entry, page) for entry, page in level])

    async def _pages(self, source: Source, entries: Iterable[Entry]) -> None:
        """Fetch the pages of a source that this run does not have yet."""
        entries = list(entries)
        most = self.errand.fetching.max_pages
        if len(entries) > most:
            self.errand.beyond[source.name] = len(entries) - most
        done = self.errand.done(source.name)
        wanted = [entry for entry in entries[:most] if entry.url not in done]
        self.errand.tell(source.name, "listed", found=len(entries[:most]), known=len(entries[:most]) - len(wanted))
        await _abreast([partial(self._page, source, entry) for entry in wanted])

    async def _page(self, source: Source, entry: Entry) -> Response | None:
        """Fetch one page; note an outcome where there is nothing to read."""
        try:
            response = await self._ask(source, entry.url, "document", entry.hints)
        except TreatyStanceError:
            raise
        except OptedOutError as refusal:
            self.errand.settle(source.name, entry.url, "opted_out", str(refusal))
        except Exception as error:  # any failure of this request is this page's alone
            self.errand.settle(source.name, entry.url, "failed", why(error))
        else:
            if response.request is not None and response.request.meta.get("kept"):
                self.errand.tell(source.name, "fetched", url=entry.url)
                return response
            self._fail(source, entry.url, _status(response))
        return None

    async def _listing(self, source: Source, url: str, role: str, read: Callable[[Response], Listing]) -> Listing | str:
        """Fetch and read a listing; return why not, noted as its outcome, where that cannot be done."""
        before = self._outcomes.get((source.name, url))
        if before is not None and before.outcome == "failed":
            return before.reason or "it failed before"
        try:
            response = await self._ask(source, url, role, {})
            if response.status != 200:
                reason = _status(response)
            else:
                return read(response)
        except ListingError as error:
            reason = str(error)
        except TreatyStanceError:
            raise
        except Exception as error:
            reason = why(error)
        self._fail(source, url, reason)
        return reason

    async def _ask(self, source: Source, url: str, role: str, hints: dict[str, str]) -> Response:
        """Put a request into the scheduler and wait for its answer.

        Raises:
            Exception: what Scrapy gives instead of a response.
        """
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()

        def arrived(response: Response) -> None:
            answer.set_result(response)

        def failed(failure: Failure) -> None:
            answer.set_exception(failure.value or RuntimeError(str(failure)))

        meta: dict[str, Any] = {"source": source.name, "role": role, "hints": hints, "asked": url}
        if urlsplit(url).hostname == _GDELT_HOST:
            meta["autothrottle_dont_adjust_delay"] = True
        self.crawler.engine.crawl(
            Request(
                url,
                callback=arrived,
                errback=failed,
                meta=meta,
                headers={"Accept-Language": source.language} if source.language else None,
                priority=0 if role == "document" else 10,
                dont_filter=True,  # a page may belong to two sources
            )
        )
        return await answer

    def _fail(self, source: Source, url: str, reason: str) -> None:
        self.errand.settle(source.name, url, "failed", reason)

    def _note_faults(self, source: Source, faults: Iterable[tuple[str, str]]) -> None:
        for name, reason in faults:
            self._fail(source, name, reason)


def slots(delay: float) -> dict[str, dict[str, float]]:
    """Return settings of hosts that ask for a longer pause than others."""
    return {_GDELT_HOST: {"delay": max(delay, _GDELT_SECONDS)}}


_ROLES = {"feed": "feed", "sitemap": "sitemap", "gdelt": "listing"}


def _links(response: Response) -> Listing:
    return read_links(response.body, url=response.url, headers=pairs(response.headers))


def _unique(source: Source, entries: Iterable[Entry], into: dict[str, Entry]) -> dict[str, Entry]:
    """Add the entries that the source's patterns let in, each page once, by its canonical address."""
    for entry in entries:
        if source.takes(entry.url):
            into.setdefault(canonical_url(entry.url), entry)
    return into


def _denied(source: Source, url: str) -> bool:
    return any(re.search(pattern, url) for pattern in source.deny)


def _status(response: Response) -> str:
    words = phrase(response.status)
    times = (response.request.meta.get("retry_times", 0) if response.request is not None else 0) + 1
    tries = f", {times} times" if times > 1 else ""
    return f"the server answered with status {response.status}{f' ({words})' if words else ''}{tries}"


async def _abreast(tasks: list[Callable[[], Coroutine[Any, Any, _T]]]) -> list[_T]:
    """Run tasks, a bounded number at a time; return their results in their order."""
    results: dict[int, _T] = {}
    waiting = iter(enumerate(tasks))

    async def work() -> None:
        for number, task in waiting:
            results[number] = await task()

    await asyncio.gather(*(work() for _ in range(min(_ABREAST, len(tasks)))))
    return [results[number] for number in range(len(tasks))]
