"""Listings: the addresses that a feed, a sitemap, a page or a search names, with what is said there of each.

Functions of bytes; nothing is fetched here.
"""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urldefrag, urlencode, urljoin, urlsplit

from corpus.coding import decoded
from corpus.errors import RecordError

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_GZIP = b"\x1f\x8b"
_GDELT_MOST = 250  # articles that one answer of GDELT's DOC 2.0 interface can have
_NEWS = "sitemap-news"  # stands in the name space of Google's news sitemaps, whatever their version
_SHOWN = 80  # characters of a title or an answer that a message repeats


class ListingError(RecordError):
    """What was fetched as a listing is none. The message is the reason, in a few words."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An address that a listing names. ``hints`` are title, published (a day, ISO 8601), language, publisher."""

    url: str
    hints: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a listing names: pages, ``further`` listings, and ``faults``, a name for each useless entry with the reason."""

    entries: tuple[Entry, ...] = ()
    further: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()


def address(url: str, base: str = "") -> str:
    """Return an address as it is asked for: absolute, escaped, without fragment.

    Raises:
        ValueError: when it is no http or https address; the message is the reason.
    """
    from w3lib.url import safe_url_string

    whole = urldefrag(urljoin(base, url.strip())).url
    parts = urlsplit(whole)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"expected an address with http or https, found the scheme {parts.scheme!r}")
    if not parts.hostname or parts.port == 0 or "\x00" in whole:
        raise ValueError("expected an address with a host, found none that can be asked")
    return str(safe_url_string(whole))


def read_feed(body: bytes, *, url: str, now: datetime.datetime, headers: Sequence[tuple[str, str]] = ()) -> Listing:
    """Read RSS of any version or Atom. Links may be relative; of dates only days up to tomorrow are believed.

    Raises:
        ListingError: when it is no feed, or is broken before its first entry.
    """
    import feedparser

    for coding in ("ascii", "utf-16-le", "utf-16-be"):
        # No feed needs entities of its own. Spelt like this they define nothing, and the forgiving parser reads the rest.
        body = body.replace("<!ENTITY".encode(coding), "<!entity".encode(coding))
    known = {name.lower(): value for name, value in headers if name.lower() == "content-type"}
    # As a stream: bytes might be taken for a file's name or an address.
    parsed: Any = feedparser.parse(io.BytesIO(body), response_headers={**known, "content-location": url})
    version = str(parsed.get("version", ""))
    if not version and not parsed.entries:
        raise ListingError("expected a feed, found none in the answer")
    if not parsed.entries and type(parsed.get("bozo_exception")).__name__ == "SAXParseException":
        raise ListingError(f"expected a feed, but it is broken: {_short(str(parsed.bozo_exception))}")
    language = _language(parsed.feed.get("language"))
    entries, faults = [], []
    for number, item in enumerate(parsed.entries, 1):
        title = _clean(item.get("title"))
        date = item.get("published_parsed") or (item.get("updated_parsed") if version.startswith("rss") else None)
        hints = {
            "title": title,
            "published": _day(f"{date.tm_year:04d}-{date.tm_mon:02d}-{date.tm_mday:02d}" if date else "", now),
            "language": _language(item.get("language")) or language,
            "publisher": _clean(item.get("source", {}).get("title")),
        }
        name = f"{url}#entry-{number}"
        if not item.get("link"):
            faults.append((name, f"expected a link, found none in the entry {_short(title or '')!r}"))
            continue
        try:
            entries.append(Entry(address(item.link, url), _without_none(hints)))
        except ValueError as error:
            faults.append((name, str(error)))
    return Listing(tuple(entries), (), tuple(faults))


def read_sitemap(body: bytes, *, url: str, now: datetime.datetime, limit: int) -> Listing:
    """Read a sitemap or an index of sitemaps, gzip or not; a news sitemap's title, day, language and name become hints.

    Raises:
        ListingError: when it is no sitemap, or has more than ``limit`` bytes once unpacked.
    """
    from lxml import etree

    if body.startswith(_GZIP):
        try:
            body = decoded(body, [("content-encoding", "gzip")], where=url, limit=limit)
        except RecordError as error:
            raise ListingError(str(error).removeprefix(f"{url}: ")) from error
    # Entities stay unresolved and nothing is loaded from elsewhere; what is broken is read as far as it goes.
    events = etree.iterparse(
        io.BytesIO(body),
        events=("end",),
        tag=("{*}url", "{*}sitemap"),
        recover=True,
        resolve_entities=False,
        no_network=True,
    )
    entries: list[Entry] = []
    further: list[str] = []
    faults: list[tuple[str, str]] = []
    try:
        for number, (_, element) in enumerate(events, 1):
            fields = {_local(e): (e.text or "").strip() for e in element if isinstance(e.tag, str)}
            news = {_local(e): _clean(e.text) for e in element.iter() if isinstance(e.tag, str) and _NEWS in e.tag}
            inner = _local(element)
            element.clear()
            while element.getprevious() is not None:
                del element.getparent()[0]
            try:
                if not fields.get("loc"):
                    raise ValueError("expected an address in <loc>, found none")
                there = address(fields["loc"], url)
            except ValueError as error:
                faults.append((f"{url}#entry-{number}", str(error)))
                continue
            if inner == "sitemap":
                further.append(there)
                continue
            hints = {
                "title": news.get("title"),
                "published": _day(news.get("publication_date") or "", now),
                "language": _language(news.get("language")),
                "publisher": news.get("name"),
            }
            entries.append(Entry(there, _without_none(hints)))
        root = events.root
        broken = next((e for e in events.error_log if e.level_name == "FATAL"), None)
        if broken is not None and entries + further:
            faults.append((f"{url}#line-{broken.line}", f"the XML is broken: {_short(broken.message)}"))
    except etree.XMLSyntaxError as error:
        raise ListingError(f"expected a sitemap, but it is no XML: {_short(str(error))}") from error
    if root is None or _local(root) not in ("urlset", "sitemapindex"):
        found = "nothing" if root is None else f"<{_local(root)}>"
        raise ListingError(f"expected a sitemap, found {found}")
    return Listing(tuple(entries), tuple(dict.fromkeys(further)), tuple(faults))


def read_links(body: bytes, *, url: str, headers: Sequence[tuple[str, str]] = ()) -> Listing:
    """Read the links of an HTML page to the same site and its subdomains, in the page's order, each once.

    Raises:
        ListingError: when the page is not HTML.
    """
    from scrapy.http import HtmlResponse
    from scrapy.linkextractors import IGNORED_EXTENSIONS, LinkExtractor

    kind = next((v.lower() for k, v in headers if k.lower() == "content-type"), "text/html")
    if "html" not in kind:
        raise ListingError(f"expected an HTML page, found {_short(kind)}")
    extractor = LinkExtractor(deny_extensions=[e for e in IGNORED_EXTENSIONS if e not in ("pdf", "txt")])
    page = HtmlResponse(url, body=body, headers=dict(headers))
    found = dict.fromkeys(urldefrag(link.url).url for link in extractor.extract_links(page) if _same_site(link.url, url))
    entries, faults = [], []
    for number, link in enumerate(found, 1):
        try:
            entries.append(Entry(address(link, url)))
        except ValueError as error:
            faults.append((f"{url}#link-{number}", str(error)))
    return Listing(tuple(entries), (), tuple(faults))


def gdelt_address(endpoint: str, query: str, *, since: datetime.datetime, until: datetime.datetime) -> str:
    """Return the address of a search in GDELT's DOC 2.0 article list, newest first, for a span of UTC time."""
    fields = {
        "query": query,
        "mode": "artlist",
        "format": "json",
        "sort": "datedesc",
        "maxrecords": str(_GDELT_MOST),
        "startdatetime": since.strftime("%Y%m%d%H%M%S"),
        "enddatetime": until.strftime("%Y%m%d%H%M%S"),
    }
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(fields)}"


def read_gdelt(body: bytes, *, url: str, now: datetime.datetime) -> Listing:
    """Read an answer of GDELT's article list. A full one has as its ``further`` listing the search up to its oldest article.

    ``published`` is the day on which GDELT saw the article, at most a few hours later; ``publisher`` its domain.

    Raises:
        ListingError: when it is an error message, which GDELT sends as text with status 200.
    """
    try:
        # strict=False: titles with line feeds in them occur
        answer = json.loads(body.decode("utf-8", errors="replace"), strict=False)
    except (ValueError, RecursionError) as error:
        words = _short(body.decode("utf-8", errors="replace")) or "nothing"
        raise ListingError(f"expected a list of articles, found: {words}") from error
    articles = answer.get("articles", []) if isinstance(answer, dict) else None
    if not isinstance(articles, list):
        raise ListingError("expected a list of articles, found another kind of JSON")
    entries, faults, seen = [], [], []
    for number, article in enumerate(articles, 1):
        fields = {k: v for k, v in article.items() if isinstance(v, str)} if isinstance(article, dict) else {}
        when = re.sub(r"\D", "", fields.get("seendate", ""))
        if len(when) == 14:
            seen.append(when)
        hints = {
            "title": _clean(fields.get("title")),
            "published": _day(f"{when[:4]}-{when[4:6]}-{when[6:8]}", now),
            "publisher": _clean(fields.get("domain")),
        }
        try:
            entries.append(Entry(address(fields.get("url", "")), _without_none(hints)))
        except ValueError as error:
            faults.append((f"{url}#entry-{number}", str(error)))
    further: tuple[str, ...] = ()
    if len(articles) >= _GDELT_MOST and seen:
        parts = urlsplit(url)
        fields = dict(parse_qsl(parts.query))
        if min(seen) < fields.get("enddatetime", ""):
            further = (parts._replace(query=urlencode({**fields, "enddatetime": min(seen)})).geturl(),)
    return Listing(tuple(entries), further, tuple(faults))


def _same_site(link: str, page: str) -> bool:
    """Return whether a link leads to the page's host or below it; ``www`` makes no difference."""
    try:
        there, here = urlsplit(link).hostname or "", (urlsplit(page).hostname or "").removeprefix("www.")
    except ValueError:
        return False
    return there == here or there.endswith(f".{here}")


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2] if isinstance(element.tag, str) else ""


def _day(value: str, now: datetime.datetime) -> str | None:
    """Return the day of a date, or None where there is none or it lies further ahead than the earth's time zones allow."""
    match = _DAY.match(value.strip())
    if match is None:
        return None
    try:
        day = datetime.date.fromisoformat(match[0])
    except ValueError:
        return None
    return day.isoformat() if day <= now.date() + datetime.timedelta(days=1) else None


def _language(value: object) -> str | None:
    """Return a language's code without its region, or None for what is no code."""
    match = re.match(r"[a-z]{2,3}(?![a-z])", value.strip().lower()) if isinstance(value, str) else None
    return match[0] if match else None


def _clean(value: object) -> str | None:
    text = " ".join(value.replace("\x00", " ").split()) if isinstance(value, str) else ""
    return text or None


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _without_none(hints: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in hints.items() if value}
