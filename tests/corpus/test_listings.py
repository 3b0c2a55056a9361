"""Feeds, sitemaps, link pages and search answers, read from bytes."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.listings import (
    Entry,
    ListingError,
    address,
    gdelt_address,
    read_feed,
    read_gdelt,
    read_links,
    read_sitemap,
)


def _module(path: Path) -> Any:
    """Import the server's module, which is no package's."""
    spec = importlib.util.spec_from_file_location(f"tests_corpus_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


web = _module(Path(__file__).with_name("web.py"))
NOW = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)
AT = "https://h.example/news/feed.xml"


def urls(listing: Any) -> list[str]:
    return [entry.url for entry in listing.entries]


# Addresses


@pytest.mark.parametrize(
    ("given_", "asked"),
    [
        ("/a b", "https://h.example/a%20b"),
        ("x?q=1#part", "https://h.example/news/x?q=1"),
        ("//other.example/x", "https://other.example/x"),
        ("  HTTP://H.example/%7Ex ", "http://h.example/%7Ex"),
        ("https://münchen.example/straße", "https://xn--mnchen-3ya.example/stra%C3%9Fe"),
    ],
)
def test_addresses_are_made_whole_and_safe(given_: str, asked: str) -> None:
    assert address(given_, AT).lower() == asked.lower()


@pytest.mark.parametrize(
    "url", ["ftp://h.example/x", "mailto:a@b.example", "javascript:void(0)", "http://", "http://[x/", "http://h:99999/"]
)
def test_addresses_that_cannot_be_asked_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        address(url, AT)


@given(st.text(max_size=60))
def test_an_address_once_made_safe_stays_as_it_is(text: str) -> None:
    try:
        once = address(text, AT)
    except ValueError:
        return
    assert once.isascii()
    assert address(once) == once


# Feeds


def test_rss_gives_addresses_with_titles_days_and_language() -> None:
    feed = web.rss(
        [web.item("/1", "One  &amp; two"), web.item("https://h.example/2", date="")], head="<language>en-GB</language>"
    )
    assert read_feed(feed.encode(), url=AT, now=NOW).entries == (
        Entry("https://h.example/1", {"title": "One & two", "published": "2026-11-20", "language": "en"}),
        Entry("https://h.example/2", {"title": "An item", "language": "en"}),
    )


def test_atom_takes_the_day_of_publication_and_not_that_of_a_change() -> None:
    feed = """<feed xmlns="http://www.w3.org/2005/Atom" xml:base="https://h.example/base/"><title>A</title>
      <entry><title>One</title><link href="one"/><published>2026-11-19T23:30:00-05:00</published>
        <updated>2026-11-21T00:00:00Z</updated><source><title>Elsewhere</title></source></entry>
      <entry><title>Two</title><link rel="alternate" href="/two"/><updated>2026-11-21T00:00:00Z</updated></entry></feed>"""
    one, two = read_feed(feed.encode(), url=AT, now=NOW).entries
    assert one == Entry("https://h.example/base/one", {"title": "One", "published": "2026-11-20", "publisher": "Elsewhere"})
    assert two == Entry("https://h.example/two", {"title": "Two"})


def test_rss_1_has_its_date_in_dublin_core() -> None:
    feed = """<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
      xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://h.example/"><title>T</title></channel>
      <item rdf:about="https://h.example/1"><title>One</title><link>https://h.example/1</link>
      <dc:date>2026-11-18</dc:date></item></rdf:RDF>"""
    assert read_feed(feed.encode(), url=AT, now=NOW).entries == (
        Entry("https://h.example/1", {"title": "One", "published": "2026-11-18"}),
    )


def test_a_date_in_the_future_is_not_believed() -> None:
    feed = web.rss(
        [web.item("/1", date="Tue, 01 Jan 2999 00:00:00 GMT"), web.item("/2", date="Mon, 23 Nov 2026 01:00:00 GMT")]
    )
    days = [e.hints.get("published") for e in read_feed(feed.encode(), url=AT, now=NOW).entries]
    assert days == [None, "2026-11-23"]


def test_entries_without_a_usable_link_are_named() -> None:
    feed = web.rss(["<title>Nowhere</title>", web.item("ftp://h.example/x"), web.item("/3")])
    listing = read_feed(feed.encode(), url=AT, now=NOW)
    assert urls(listing) == ["https://h.example/3"]
    assert [name for name, _ in listing.faults] == [f"{AT}#entry-1", f"{AT}#entry-2"]
    assert "Nowhere" in listing.faults[0][1]


def test_one_guid_for_two_links_are_two_addresses() -> None:
    feed = web.rss([web.item("/1", guid="same"), web.item("/2", guid="same")])
    assert urls(read_feed(feed.encode(), url=AT, now=NOW)) == ["https://h.example/1", "https://h.example/2"]


@pytest.mark.parametrize(
    "body", [b"", b"<html><body>No feed</body></html>", b"{}", b"\x00\x01\x02", b"<rss version='2.0'><channel>"]
)
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(ListingError, match="expected a feed"):
        read_feed(body, url=AT, now=NOW)


def test_an_empty_feed_is_a_feed() -> None:
    assert read_feed(web.rss([]).encode(), url=AT, now=NOW).entries == ()


@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_entities_of_a_feed_are_never_unfolded(coding: str) -> None:
    bomb = web.LAUGHS + web.rss([web.item("/1", "&a11;")]).partition("?>")[2]
    try:
        entries = read_feed(bomb.encode(coding), url=AT, now=NOW).entries
    except ListingError:
        return
    assert [len(e.hints["title"]) < 100 for e in entries] == [True]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reading_of_a_feed_or_sitemap(body: bytes) -> None:
    for data in (body, b"<rss version='2.0'><channel><item><link>" + body):
        with contextlib.suppress(ListingError):
            read_feed(data, url=AT, now=NOW)
        with contextlib.suppress(ListingError):
            read_sitemap(data, url=AT, now=NOW, limit=1000)


# Sitemaps


def test_a_news_sitemap_gives_title_day_language_and_name() -> None:
    body = """<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:n="http://www.google.com/schemas/sitemap-news/0.9"
      xmlns:i="http://www.google.com/schemas/sitemap-image/1.1"><url><loc> https://h.example/1 </loc>
      <lastmod>2026-11-22</lastmod><n:news>
      <n:publication><n:name>The Gazette</n:name><n:language>de</n:language></n:publication>
      <n:publication_date>2026-11-19T10:00:00+01:00</n:publication_date><n:title>Eins</n:title></n:news>
      <i:image><i:loc>https://h.example/p.png</i:loc><i:title>A picture</i:title></i:image></url></urlset>"""
    assert read_sitemap(body.encode(), url=AT, now=NOW, limit=10_000).entries == (
        Entry(
            "https://h.example/1",
            {"title": "Eins", "published": "2026-11-19", "language": "de", "publisher": "The Gazette"},
        ),
    )


def test_an_index_gives_further_sitemaps_each_once() -> None:
    body = web.index(["/1.xml", "/2.xml.gz", "/1.xml"])
    listing = read_sitemap(body.encode(), url=AT, now=NOW, limit=10_000)
    assert (listing.entries, listing.further) == ((), ("https://h.example/1.xml", "https://h.example/2.xml.gz"))


def test_a_packed_sitemap_is_unpacked_within_the_limit() -> None:
    body = gzip.compress(web.sitemap(["/1"]).encode())
    assert urls(read_sitemap(body, url=AT, now=NOW, limit=10_000)) == ["https://h.example/1"]
    with pytest.raises(ListingError, match="at most 10,000 bytes"):
        read_sitemap(web.bomb(1 << 20), url=AT, now=NOW, limit=10_000)


def test_a_sitemap_without_name_space_and_with_useless_entries() -> None:
    body = b"<urlset><url><loc>/1</loc></url><url><loc/></url><url><loc>ftp://h.example/</loc></url></urlset>"
    listing = read_sitemap(body, url=AT, now=NOW, limit=10_000)
    assert urls(listing) == ["https://h.example/1"]
    assert [name for name, _ in listing.faults] == [f"{AT}#entry-2", f"{AT}#entry-3"]


def test_entities_of_a_sitemap_are_never_unfolded_and_the_breach_is_named() -> None:
    bomb = web.LAUGHS.replace("rss", "urlset") + web.sitemap(["/1", "&a11;", "/3"]).partition("?>")[2]
    listing = read_sitemap(bomb.encode(), url=AT, now=NOW, limit=10_000)
    assert urls(listing)[0] == "https://h.example/1"
    assert all(len(url) < 100 for url in urls(listing))
    assert listing.faults


def test_a_file_of_the_machine_is_never_read_into_a_sitemap(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("https://h.example/secret")
    body = f'<!DOCTYPE urlset [<!ENTITY x SYSTEM "{secret.as_uri()}">]><urlset><url><loc>&x;</loc></url></urlset>'
    listing = read_sitemap(body.encode(), url=AT, now=NOW, limit=10_000)
    assert listing.entries == ()
    assert listing.faults


@pytest.mark.parametrize("body", [b"", b"plain", b"<html><body/></html>", web.rss([]).encode()])
def test_what_is_no_sitemap_is_refused(body: bytes) -> None:
    with pytest.raises(ListingError, match="expected a sitemap"):
        read_sitemap(body, url=AT, now=NOW, limit=10_000)


# Links


def test_links_of_a_page_stay_on_its_site_in_their_order() -> None:
    page = """<a href="/b">b</a><a href="a#part">a</a><a href="/b#x">again</a><a href="https://sub.h.example/c">c</a>
      <a href="https://nh.example/">no</a><a href="mailto:x@h.example">no</a><a href="/p.pdf">p</a><a href="/i.jpg">no</a>"""
    listing = read_links(page.encode(), url="https://www.h.example/s/", headers=[("Content-Type", "text/html")])
    assert urls(listing) == [
        "https://www.h.example/b",
        "https://www.h.example/s/a",
        "https://sub.h.example/c",
        "https://www.h.example/p.pdf",
    ]


def test_a_page_that_is_no_html_has_no_links() -> None:
    with pytest.raises(ListingError, match="expected an HTML page, found application/pdf"):
        read_links(b"%PDF-1.7", url=AT, headers=[("Content-Type", "application/pdf")])
    assert read_links(b"", url=AT).entries == ()


# GDELT


SEARCH = gdelt_address(
    "https://gdelt.example/doc", '"river pact" sourcelang:eng', since=NOW - datetime.timedelta(days=7), until=NOW
)


def article(n: int, seen: str) -> dict[str, str]:
    return {
        "url": f"https://h.example/{n}",
        "title": f"Title {n}",
        "seendate": seen,
        "domain": "h.example",
        "language": "English",
    }


def test_a_search_names_query_and_span() -> None:
    assert SEARCH == (
        "https://gdelt.example/doc?query=%22river+pact%22+sourcelang%3Aeng&mode=artlist&format=json&sort=datedesc"
        "&maxrecords=250&startdatetime=20261115120000&enddatetime=20261122120000"
    )


def test_articles_of_an_answer_and_none_of_an_empty_one() -> None:
    body = json.dumps({"articles": [article(1, "20261121T101500Z"), {"title": "no address"}]}).encode()
    listing = read_gdelt(body, url=SEARCH, now=NOW)
    assert listing.entries == (
        Entry("https://h.example/1", {"title": "Title 1", "published": "2026-11-21", "publisher": "h.example"}),
    )
    assert [name for name, _ in listing.faults] == [f"{SEARCH}#entry-2"]
    assert read_gdelt(b"{}", url=SEARCH, now=NOW).entries == ()
    assert read_gdelt(b'{"articles": [{"url": "https://h.example/1", "title": "a\nb"}]}', url=SEARCH, now=NOW).entries


def test_a_full_answer_leads_to_what_is_older_until_nothing_is() -> None:
    full = [article(n, f"202611{21 - n // 100:02d}T101500Z") for n in range(250)]
    listing = read_gdelt(json.dumps({"articles": full}).encode(), url=SEARCH, now=NOW)
    (older,) = listing.further
    assert older == SEARCH.replace("enddatetime=20261122120000", "enddatetime=20261119101500")
    same = [article(n, "20261119T101500Z") for n in range(250)]
    assert read_gdelt(json.dumps({"articles": same}).encode(), url=older, now=NOW).further == ()


@pytest.mark.parametrize("body", [b"Your query was too short or too long.", b"", b"[]", b'{"articles": 3}'])
def test_an_error_message_is_no_answer(body: bytes) -> None:
    with pytest.raises(ListingError, match="expected a list of articles"):
        read_gdelt(body, url=SEARCH, now=NOW)
