"""Identities depend on content alone, and on all of it."""

import hashlib
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpus.identity import canonical_url, digest, document_id, file_sha256, normalise, statement_id


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
    ],
)
def test_an_address_loses_what_does_not_identify_a_page(url: str, canonical: str):
    assert canonical_url(url) == canonical


@pytest.mark.parametrize("url", ["file:/A/b/#x", "", "mailto:Someone@Example.org", "http://[not-an-address/x"])
def test_an_address_that_is_not_of_the_web_or_cannot_be_parsed_stays_as_it_is(url: str):
    assert canonical_url(url) == url


@pytest.mark.parametrize("url", ["https://example.org/a?id=7", "https://example.org/A", "http://example.org/a"])
def test_addresses_that_may_be_other_pages_stay_apart(url: str):
    assert canonical_url(url) != canonical_url("https://example.org/a")


@settings(deadline=None)
@given(
    st.builds(
        "https://{}/{}?{}#{}".format,
        st.sampled_from(["example.org", "WWW.Example.org", "münchen.example", "example.org:8080"]),
        st.text("abÄ/.%20 ", max_size=12),
        st.text("ab=&utm_source?", max_size=12),
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
