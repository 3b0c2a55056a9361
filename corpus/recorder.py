"""The recorder: each answer is kept as it came from the network, and what is kept spares asking for it again."""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Self

from scrapy.downloadermiddlewares.httpcache import HttpCacheMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.extensions.httpcache import RFC2616Policy
from scrapy.http import Headers
from scrapy.responsetypes import responsetypes

from corpus.coding import decoded
from corpus.errand import ASIDE, Errand, pairs
from corpus.errors import RecordError
from corpus.reservations import reserved
from corpus.snapshot import Payload, read_payload

if TYPE_CHECKING:
    from scrapy import Request, Spider
    from scrapy.crawler import Crawler
    from scrapy.http import Response
    from scrapy.settings import BaseSettings

_STALE = "max-age=0"


class OptedOutError(IgnoreRequest):
    """The publisher has reserved a page. The message is the reason."""


class UnusableError(IgnoreRequest):
    """An answer cannot be used. The message is the reason."""


def errand_of(crawler: Crawler) -> Errand:
    """Return the errand that a crawl is on; its spider carries it."""
    errand: Errand = crawler.spider.errand  # type: ignore[union-attr]
    return errand


class Recorder:
    """Downloader middleware next to the network. It hands on a body unpacked, and notes in the request's meta whether
    it was ``kept`` as a whole page.

    A page that its publisher has reserved is not kept: the refusal is raised before anything is written.
    """

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build it as Scrapy does."""
        return cls(crawler)

    def process_response(self, request: Request, response: Response) -> Response:
        """Keep an answer, be it from the network or a fresh one from the cache.

        Raises:
            OptedOutError: for a page that is reserved.
            UnusableError: for a body that cannot be unpacked within the limit.
        """
        errand = errand_of(self._crawler)
        role = request.meta.get("role", "robots")
        name = request.meta.get("source") or errand.owners.get(_site(request), "")
        hints = dict(request.meta.get("hints", {}))
        if response.url != request.meta.get("asked", response.url):
            hints["requested"] = request.meta["asked"]
        stored: Payload | None = request.meta.pop("stored", None)
        if "cached" in response.flags and stored is not None:
            if role == "document":
                self._obey(errand, name, response, response.body)
                headers = _headers(stored.headers)
                errand.keep(response.replace(headers=headers, body=stored.body), source=name, role=role, hints=hints)
                request.meta["kept"] = True
            return response
        try:
            limit = errand.fetching.max_bytes
            body = decoded(response.body, pairs(response.headers), where=response.url, limit=limit)
        except RecordError as error:
            raise UnusableError(str(error).removeprefix(f"{response.url}: ")) from error
        whole = response.status == 200 or (response.status == 304 and "cached_response" in request.meta)
        if role == "document":
            if whole:
                self._obey(errand, name, response, body)
            else:
                role = ASIDE
        elif 300 <= response.status < 400 and b"Location" in response.headers:
            role = ASIDE
        errand.keep(response, source=name, role=role, hints=hints)
        request.meta["kept"] = whole
        return _unpacked(response, body)

    @staticmethod
    def _obey(errand: Errand, name: str, response: Response, body: bytes) -> None:
        source = errand.source(name)
        if source is not None and source.reservations:
            reason = reserved(pairs(response.headers), body)
            if reason is not None:
                raise OptedOutError(reason)


class Cache(HttpCacheMiddleware):
    """Scrapy's HTTP cache, but a server that fails is told as a failure: no older page is shown in its place."""

    DOWNLOAD_EXCEPTIONS = ()  # type: ignore[assignment]

    def process_request(self, request: Request) -> Request | Response | None:  # type: ignore[override]
        """Look an address up, without the conditions that a redirect has brought along from another address."""
        request.headers.pop(b"If-None-Match", None)
        request.headers.pop(b"If-Modified-Since", None)
        return super().process_request(request)


class Freshness(RFC2616Policy):
    """The standard's rules of what is fresh, without the use of an older page when the server fails."""

    def is_cached_response_valid(self, cachedresponse: Response, response: Response, request: Request) -> bool:
        """Return whether the server says that the page has not changed."""
        return response.status == 304


class Snapshots:
    """Storage of the HTTP cache: the WARC snapshots. They are written by the recorder, so nothing is stored here."""

    def __init__(self, settings: BaseSettings) -> None:
        self._errand: Errand | None = None

    def open_spider(self, spider: Spider) -> None:
        """Take the errand of the spider."""
        self._errand = spider.errand  # type: ignore[attr-defined]

    def close_spider(self, spider: Spider) -> None:
        """Do nothing: store and writer are closed by who opened them."""

    def retrieve_response(self, spider: Spider, request: Request) -> Response | None:
        """Return the latest whole payload of an address. What this run has already fetched counts as fresh.

        A page without ``max-age`` and ``Expires`` is stale: its age alone is no sign that it will not change.
        """
        errand = self._errand
        known = errand.store.latest_snapshot(request.url) if errand is not None else None
        if errand is None or known is None or known.status is None:
            return None
        try:
            payload = read_payload(errand.folder, known, find=errand.store.snapshot, limit=errand.fetching.max_bytes)
        except RecordError:
            return None  # a file that is gone or broken: the page is fetched again
        headers = _headers(payload.headers)
        if known.run == errand.run.id:
            headers[b"Cache-Control"] = b"max-age=86400"
            headers[b"Date"] = formatdate(usegmt=True)
            headers.pop(b"Age", None)
        elif b"Expires" not in headers and b"max-age" not in (headers.get(b"Cache-Control") or b""):
            headers.appendlist(b"Cache-Control", _STALE)
            headers[b"Cache-Control"] = b", ".join(headers.getlist(b"Cache-Control"))
        request.meta["stored"] = payload
        kind = responsetypes.from_args(headers=headers, url=request.url, body=payload.body)
        return kind(url=request.url, status=known.status, headers=headers, body=payload.body)

    def store_response(self, spider: Spider, request: Request, response: Response) -> None:
        """Do nothing: the recorder has kept it."""


def _site(request: Request) -> str:
    from scrapy.utils.httpobj import urlparse_cached

    return urlparse_cached(request).netloc


def _headers(headers: tuple[tuple[str, str], ...]) -> Headers:
    """Return a payload's headers, without the content coding that its body no longer has."""
    whole = Headers()
    for name, value in headers:
        if name.lower() != "content-encoding":
            whole.appendlist(name, value.encode("latin-1", errors="replace"))
    return whole


def _unpacked(response: Response, body: bytes) -> Response:
    """Return a response with its body as given and no content coding left to undo."""
    if b"Content-Encoding" not in response.headers:
        return response
    headers = response.headers.copy()
    del headers[b"Content-Encoding"]
    kind = responsetypes.from_args(headers=headers, url=response.url, body=body)
    fields: dict[str, Any] = {"headers": headers, "body": body}
    if hasattr(response, "encoding"):
        fields["encoding"] = None
    return response.replace(cls=kind, **fields)
