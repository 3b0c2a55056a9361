"""Manners of the fetching process: robots.txt that cannot be read, sites' reservations, waiting when asked to, redirects.

Downloader middlewares around Scrapy's own.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

from scrapy import Request, signals
from scrapy.downloadermiddlewares.redirect import RedirectMiddleware
from scrapy.downloadermiddlewares.retry import RetryMiddleware
from scrapy.downloadermiddlewares.robotstxt import RobotsTxtMiddleware
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK
from scrapy.utils.asyncio import call_later
from scrapy.utils.httpobj import urlparse_cached

from corpus.errors import RecordError, TreatyStanceError
from corpus.guard import RefusedError
from corpus.reasons import why
from corpus.recorder import OptedOutError, UnusableError, errand_of
from corpus.reservations import POLICY_PATH, Rule, parse_tdmrep, reserved_by

if TYPE_CHECKING:
    from scrapy.crawler import Crawler
    from scrapy.robotstxt import RobotParser

_SHUT = b"User-agent: *\nDisallow: /\n"
_MOVED = (301, 302, 303, 307, 308)
_BUSY = (429, 503)  # the statuses with which a server may say when to come back


class Robots(RobotsTxtMiddleware):
    """Scrapy's robots.txt, where one that cannot be read shuts the host (RFC 9309, 2.3.1.4)."""

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self._read: dict[str, asyncio.Future[RobotParser | None]] = {}
        self._unread: dict[str, str] = {}

    async def process_request(self, request: Request) -> None:  # type: ignore[override]
        """Note for which source a host is asked, and ask its robots.txt."""
        if "source" in request.meta:
            errand_of(self.crawler).owners.setdefault(urlparse_cached(request).netloc, request.meta["source"])
        await super().process_request(request)

    async def robot_parser(self, request: Request) -> RobotParser | None:
        """Return a host's rules. Asked of Scrapy 2.19 by several requests at once, all but two would be given none."""
        netloc = urlparse_cached(request).netloc
        if netloc not in self._read:
            self._read[netloc] = asyncio.ensure_future(super().robot_parser(request))
        return await asyncio.shield(self._read[netloc])

    def process_response(self, request: Request, response: Response) -> Response:
        """Take a server's failure to give its robots.txt for one that forbids everything."""
        if "role" in request.meta or not (response.status >= 500 or response.status == 429):
            return response
        self._unread.setdefault(urlparse_cached(request).netloc, f"status {response.status}")
        return response.replace(body=_SHUT)

    def process_exception(self, request: Request, exception: Exception) -> Response | None:
        """Do the same where there is no answer at all, and tell why a page is forbidden.

        Raises:
            OptedOutError: for a page that robots.txt forbids.
            UnusableError: where robots.txt could not be read.
        """
        netloc = urlparse_cached(request).netloc
        if "role" in request.meta:
            if type(exception) is IgnoreRequest and "robots.txt" in str(exception):
                unread = self._unread.get(netloc)
                if unread:
                    raise UnusableError(f"robots.txt could not be read: {unread}")
                raise OptedOutError("robots.txt forbids it")
            return None
        if isinstance(exception, IgnoreRequest | TreatyStanceError):
            return None  # what is refused here will be refused for the page, with its own reason
        self._unread[netloc] = why(exception)
        return Response(request.url, status=503, body=_SHUT)


class Policies:
    """Asks each site once for its ``tdmrep.json``, and does not ask for the pages that it reserves."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._rules: dict[str, asyncio.Task[tuple[Rule, ...]]] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build it as Scrapy does."""
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        """Refuse a reserved page.

        Raises:
            OptedOutError: with the rule.
        """
        source = errand_of(self._crawler).source(request.meta.get("source", ""))
        if source is None or not source.reservations or request.meta["role"] != "document":
            return
        parts = urlparse_cached(request)
        site = f"{parts.scheme}://{parts.netloc}"
        if site not in self._rules:
            self._rules[site] = asyncio.ensure_future(self._read(site, source.name))
        reason = reserved_by(await asyncio.shield(self._rules[site]), request.url)
        if reason is not None:
            raise OptedOutError(reason)

    async def _read(self, site: str, source: str) -> tuple[Rule, ...]:
        meta = {"role": "policy", "source": source}
        policy = Request(f"{site}{POLICY_PATH}", meta=meta, callback=NO_CALLBACK, priority=100, dont_filter=True)
        try:
            response = await self._crawler.engine.download_async(policy)
            return parse_tdmrep(response.body) if response.status == 200 else ()
        except RecordError:
            return ()
        except TreatyStanceError:
            raise
        except Exception:  # no answer: the page's own headers and HTML are still read
            return ()


class Patience(RetryMiddleware):
    """Scrapy's retries, with waiting: as long as the server asks, else twice as long each time. The whole host waits.

    A host that asks for more than the limit, or is busy after all retries, is left alone for the rest of the run.
    """

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._left: dict[str, str] = {}
        self._until: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Build it as Scrapy does."""
        made = super().from_crawler(crawler)
        # Told before the next request of the host leaves its queue; process_response comes after that.
        crawler.signals.connect(made.downloaded, signal=signals.response_downloaded)
        return made

    def downloaded(self, response: Response, request: Request) -> None:
        """Make a host wait whose server is busy or failing."""
        if response.status in self.retry_http_codes:
            self._wait(request, retry_after(response) if response.status in _BUSY else None)

    def process_request(self, request: Request) -> None:
        """Refuse to ask a host that is left alone.

        Raises:
            UnusableError: with the reason.
        """
        reason = self._left.get(urlparse_cached(request).hostname or "")
        if reason is not None:
            raise UnusableError(reason)

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """Try again what a server could not give, after a while."""
        if response.status not in self.retry_http_codes:
            return response
        host = urlparse_cached(request).hostname or ""
        fetching = errand_of(self.crawler).fetching
        asked = retry_after(response) if response.status in _BUSY else None
        if asked is not None and asked > fetching.max_retry_after:
            self._left[host] = (
                f"{host} asked with status {response.status} to be left for {asked:.0f} seconds, more than the "
                f"{fetching.max_retry_after:g} of max_retry_after"
            )
            raise UnusableError(self._left[host])
        again = super().process_response(request, response)
        if again is response and (response.status == 429 or asked is not None):
            self._left[host] = f"{host} was busy (status {response.status}) after {self._tries(request)}"
        return again

    def process_exception(self, request: Request, exception: Exception) -> Request | Response | None:  # type: ignore[override]
        """Try again after a failure of the network, after a while."""
        again = super().process_exception(request, exception)
        if isinstance(again, Request):
            self._wait(request, None)
        return again

    def _tries(self, request: Request) -> str:
        n = request.meta.get("retry_times", 0) + 1
        return f"{n} attempts" if n > 1 else "1 attempt"

    def _wait(self, request: Request, asked: float | None) -> None:
        """Hold back the host's queue: no request of it leaves before the time is over."""
        fetching = errand_of(self.crawler).fetching
        seconds = asked if asked is not None else fetching.delay * 2 ** (1 + request.meta.get("retry_times", 0))
        if asked is not None and asked > fetching.max_retry_after:
            return  # the host is left alone
        downloader = self.crawler.engine.downloader
        key = downloader.get_slot_key(request)
        slot = downloader.slots.get(key)
        now = time.monotonic()
        until = max(self._until.get(key, 0.0), now + min(seconds, fetching.max_retry_after))
        if slot is None or until <= now:
            return
        self._until[key] = until
        if slot.latercall is not None:
            slot.latercall.cancel()
        # The way in which the downloader itself makes a queue wait. A slot last seen in the future is not cleared away.
        slot.latercall = call_later(until - now, downloader._latercall, slot)
        slot.lastseen = until


class Redirects(RedirectMiddleware):
    """Scrapy's redirects; one that leads back to an address of the same chain ends it with that reason."""

    def process_response(self, request: Request, response: Response) -> Request | Response:  # type: ignore[override]
        """Follow a redirect.

        Raises:
            UnusableError: at a loop, and where there are too many.
        """
        try:
            target = super().process_response(request, response)
        except RefusedError:
            raise
        except IgnoreRequest as error:
            most = errand_of(self.crawler).fetching.max_redirects
            raise UnusableError(f"more than {most} redirects, the last to {_location(response)}") from error
        except ValueError as error:
            raise UnusableError(f"a redirect to {_location(response)}, which is no address") from error
        if target is response and response.status in _MOVED and b"Location" in response.headers:
            raise UnusableError(f"a redirect to {_location(response)}, whose scheme is not fetched")
        if isinstance(target, Request) and target.url in target.meta.get("redirect_urls", ()):
            raise UnusableError(f"a redirect loop, back to {target.url}")
        return target

    def handle_referer(self, request: Request, response: Response) -> None:
        """Send no referer."""
        request.headers.pop("Referer", None)


def retry_after(response: Response) -> float | None:
    """Return the seconds that a response's ``Retry-After`` asks for, at least 0; None where it has none in due form.

    A date is counted from the response's own ``Date``, so that clocks need not agree.
    """
    value = (response.headers.get("Retry-After") or b"").decode("latin-1").strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    try:
        until = parsedate_to_datetime(value).timestamp()
    except ValueError:
        return None
    try:
        now = parsedate_to_datetime((response.headers.get("Date") or b"").decode("latin-1")).timestamp()
    except ValueError:
        now = time.time()
    return max(0.0, until - now)


def _location(response: Response) -> str:
    return (response.headers.get("Location") or b"").decode("latin-1")[:200]
