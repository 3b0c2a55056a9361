"""Identities depend on content alone, and on all of it."""

import hashlib
import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import corpus
from corpus.identity import canonical_url, digest, document_id, file_sha256, normalise, site, statement_id


def test_digest_is_sha256_over_length_prefixed_utf8_cut_to_16_hex_digits():
    # "é" has two bytes in UTF-8, so its length prefix is 2.
    assert digest("ab", "é") == hashlib.sha256(b"2:ab2:\xc3\xa9").hexdigest()[:16]
    assert digest() == hashlib.sha256(b"").hexdigest()[:16]


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))), st.lists(st.text()))
@example(["ab", "c"], ["a", "bc"])
@example(["1:a"], ["a"])
@example([], [""])
def test_two_lists_of_parts_share_a_digest_only_when_they_are_equal(left: list[str], right: list[str]):
    try:
        same = digest(*left) == digest(*right)
    except UnicodeEncodeError:
        return  # a lone surrogate is no text and has no identity
    assert same == (left == right)


def test_file_hash_is_the_full_sha256_of_the_bytes(tmp_path: Path):
    path = tmp_path / "bytes"
    path.write_bytes(b"\x00treaty\xff" * 100_000)
    assert file_sha256(path) == hashlib.sha256(b"\x00treaty\xff" * 100_000).hexdigest()


def test_stored_text_has_line_feeds_only_and_composed_letters():
    assert normalise("a\r\nb\rc\nd\r\r\ne") == "a\nb\nc\nd\n\ne"
    assert normalise("Vie\u0323\u0302t Nam") == "Vi\u1ec7t Nam"
    assert normalise("ﬁne 😀 𠮷 \x00") == "ﬁne 😀 𠮷 \x00"  # compatibility forms stay as the source has them


@settings(deadline=None)
@given(st.text())
def test_normalising_twice_changes_nothing_more(text: str):
    once = normalise(text)
    assert normalise(once) == once
    assert "\r" not in once
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://Example.ORG/Treaty/", "https://example.org/Treaty"),
        ("https://example.org/", "https://example.org"),
        ("https://example.org/a?utm_source=feed&utm_medium=rss", "https://example.org/a"),
        ("https://example.org/a?id=7&fbclid=xyz", "https://example.org/a?id=7"),
        ("https://example.org/a#section-2", "https://example.org/a"),
        ("https://example.org:443/a", "https://example.org/a"),
        ("http://example.org:80/a", "https://example.org/a"),
        ("http://example.org/a/", "https://example.org/a"),
        ("http://example.org:8080/a", "http://example.org:8080/a"),
        ("https://someone:secret@example.org./a", "https://example.org/a"),
        ("https://example.org/a/?page=2", "https://example.org/a?page=2"),
        ("https://example.org/?p=12", "https://example.org/?p=12"),
        ("https://example.org/index.html", "https://example.org"),
        ("https://example.org/a/index.php?id=7", "https://example.org/a?id=7"),
        ("https://example.org/a/../b/./c", "https://example.org/b/c"),
        ("https://example.org/a;jsessionid=4F2?PHPSESSID=9&id=7", "https://example.org/a?id=7"),
        ("https://example.org/a?ref=rss&at_medium=RSS&ns_campaign=x", "https://example.org/a"),
        ("https://example.org/a?b=2&a=1&b=1", "https://example.org/a?a=1&b=2&b=1"),
        ("https://example.org/a?gclid=1&mc_cid=2&mc_eid=3&_ga=4&utm=page", "https://example.org/a"),
        ("https://example.org/%7euser/%c3%a4", "https://example.org/~user/%C3%A4"),
        ("https://example.org/ä?q=ö+x", "https://example.org/%C3%A4?q=%C3%B6+x"),
        ("https://xn--mnchen-3ya.example/a", "https://münchen.example/a"),
        ("https://MÜNCHEN.example/a", "https://münchen.example/a"),
        ("https://www.example.org/a/amp", "https://www.example.org/a"),
        ("https://www.example.org/a/amp/?x=1", "https://www.example.org/a?x=1"),
        ("https://example.org/amp/2025/a", "https://example.org/2025/a"),
        ("https://example.org/a?amp=1", "https://example.org/a"),
        ("https://example.org/a?amp", "https://example.org/a"),
        ("https://example.org/a?outputType=amp", "https://example.org/a"),
        ("https://example.org/a.amp.html", "https://example.org/a.html"),
        ("https://example.org/a.amp", "https://example.org/a"),
        ("https://amp.example.org/a", "https://example.org/a"),
        ("https://m.example.org/a", "https://example.org/a"),
        ("https://mobile.example.org/a", "https://example.org/a"),
        ("https://en.m.wikipedia.org/wiki/Treaty", "https://en.wikipedia.org/wiki/Treaty"),
        ("https://leaf.blogspot.com/2024/06/a.html?m=1", "https://leaf.blogspot.com/2024/06/a.html"),
        ("https://www.google.co.uk/amp/s/www.example.org/a/amp/", "https://www.example.org/a"),
        ("https://www-example-org.cdn.ampproject.org/c/s/www.example.org/a?id=7&amp=1", "https://www.example.org/a?id=7"),
    ],
)
def test_an_address_loses_what_does_not_identify_a_page(url: str, canonical: str):
    assert canonical_url(url) == canonical


@pytest.mark.parametrize(
    "url", ["file:/A/b/#x", "", "mailto:Someone@Example.org", "http://[not-an-address/x", "http://", "http://x:port/"]
)
def test_an_address_that_is_not_of_the_web_or_cannot_be_parsed_stays_as_it_is(url: str):
    assert canonical_url(url) == url


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://example.org/a", "https://example.org/a?id=7"),
        ("https://example.org/a", "https://example.org/A"),
        ("https://example.org/a", "https://www.example.org/a"),
        ("https://example.org/a", "https://example.org:8443/a"),
        ("https://example.org/a?123", "https://example.org/a?124"),
        ("https://example.org/?cid=1", "https://example.org/?cid=2"),
        ("https://example.org/list?source=reuters.example", "https://example.org/list?source=afp.example"),
        ("https://example.org/docs?session=78", "https://example.org/docs?session=79"),
        ("https://example.org/a?q=%E9", "https://example.org/a?q=%E8"),  # Latin-1, no UTF-8
        ("https://example.org/a%2Fb", "https://example.org/a/b"),
        ("https://example.org/a?m=1", "https://example.org/a?m=2"),
        ("https://example.org/amp", "https://example.org"),
        ("https://m.co.uk/a", "https://co.uk/a"),
        ("https://mobile.de/a", "https://de/a"),
        ("https://example.org/lamp", "https://example.org/l"),
    ],
)
def test_addresses_that_may_be_other_pages_stay_apart(one: str, other: str):
    assert canonical_url(one) != canonical_url(other)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://www.Example.org/a", "example.org"),
        ("http://news.example.org:8080/", "news.example.org"),
        ("https://wwwhite.example/", "wwwhite.example"),
        ("file:///a/b.txt", None),
        ("https://[broken", None),
        ("", None),
    ],
)
def test_a_site_is_the_host_without_www(url: str, name: str | None):
    assert site(url) == name


def test_the_addresses_of_the_reference_corpus_stay_as_many_as_they_are():
    lines = (Path(corpus.__file__).parent / "reference" / "documents.jsonl").read_text("utf-8").splitlines()
    urls = {json.loads(line)["url"] for line in lines}
    assert len({canonical_url(url) for url in urls}) == len(urls)


@settings(deadline=None)
@given(
    st.builds(
        "https://{}/{}?{}#{}".format,
        st.sampled_from(
            [
                "example.org",
                "WWW.Example.org",
                "münchen.example",
                "example.org:8080",
                "m.amp.example.org",
                "STRASSE.example",
                "www.google.com/amp/s/m.example.org",
                "x.cdn.ampproject.org/c/s/amp.example.org/amp",
                "u:p@m.com",
                "[::1]:80",
            ]
        ),
        st.one_of(
            st.text("abÄ/.%20 +;", max_size=12),
            st.lists(
                st.sampled_from(
                    [
                        "amp",
                        "index.html",
                        "index.php",
                        "a.amp.html",
                        ".amp",
                        "..",
                        ".",
                        "%2e%2e",
                        "s",
                        "c",
                        "",
                        "%2F",
                        "b",
                        "é",
                    ]
                )
            ).map("/".join),
        ),
        st.one_of(
            st.text("ab=&utm_source?%;+", max_size=12),
            st.lists(
                st.sampled_from(["amp=1", "a=1", "a", "b=%E9", "utm_x=1", "ref=rss", "=", "a=b=c", "%26=1", "m=1"])
            ).map("&".join),
        ),
        st.text("abc/=", max_size=5),
    )
)
def test_a_canonical_address_is_its_own_canonical_form(url: str):
    assert canonical_url(canonical_url(url)) == canonical_url(url)


def test_a_document_is_its_canonical_address_and_its_text():
    first = document_id("https://example.org/a/?utm_source=x", "Text.")
    assert first == f"{digest('https://example.org/a')}-{digest('Text.')}"
    assert document_id("https://example.org/a", "Text.") != document_id("https://example.org/b", "Text.")
    assert document_id("https://example.org/a", "Text.") != document_id("https://example.org/a", "text.")


def test_a_statement_is_its_document_and_its_offsets():
    assert statement_id("0123-4567", 10, 25) == "0123-4567:10-25"
