"""What counts as a reservation, and what does not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protego import Protego

from corpus.errors import RecordError
from corpus.reservations import Rule, parse_tdmrep, reserved, reserved_by


@pytest.mark.parametrize(
    "value",
    [
        "noai",
        "NoAI, noimageai",
        "max-snippet:20, noindex",
        "none",
        "treaty-stance: noindex",
        "otherbot: nofollow, treaty-stance: noai",
        "*: noindex",
        "unavailable_after: 25 Jun 2030 15:00:00 PST, noai",
    ],
)
def test_a_robots_header_for_everybody_or_for_us_reserves_the_page(value: str) -> None:
    assert reserved([("X-Robots-Tag", value)]) is not None


@pytest.mark.parametrize(
    "value",
    [
        "",
        "all",
        "nofollow",
        "noimageai",
        "otherbot: noai, noindex",
        "googlebot: noindex",
        "max-image-preview: none",
        "noaiming",
    ],
)
def test_a_robots_header_for_others_or_of_other_matters_does_not(value: str) -> None:
    assert reserved([("x-robots-tag", value)]) is None


def test_each_of_several_robots_headers_is_read() -> None:
    assert reserved([("X-Robots-Tag", "otherbot: noai"), ("X-Robots-Tag", "noindex")]) == "X-Robots-Tag says noindex"


@pytest.mark.parametrize(
    ("html", "is_reserved"),
    [
        ('<meta name="robots" content="noindex, follow">', True),
        ("<META CONTENT='noai' NAME=Robots>", True),
        ('<meta name="treaty-stance" content="noai">', True),
        ('<meta name="tdm-reservation" content="1">', True),
        ('<meta name="tdm-reservation" content="0">', False),
        ('<meta name="googlebot" content="noindex">', False),
        ('<meta name="robots" content="index, max-snippet:-1">', False),
        ('<meta name="description" content="noai robots">', False),
        ('<!-- <meta name="robots" content="noai"> -->', False),
        ("<p>robots: noai</p>", False),
        ("", False),
    ],
)
def test_meta_elements_of_a_page(html: str, is_reserved: bool) -> None:
    page = f"<!doctype html><html><head><title>Ä</title>{html}</head><body><p>Text.</p></body></html>"
    for coding in ("utf-8", "latin-1", "utf-16"):
        assert (reserved([], page.encode(coding)) is not None) == is_reserved


def test_the_page_overrides_the_header_in_the_tdm_protocol() -> None:
    open_page = b'<html><head><meta name="tdm-reservation" content="0"></head></html>'
    assert reserved([("TDM-Reservation", "1")]) == "tdm-reservation is 1 in the page's header"
    assert reserved([("tdm-reservation", "1")], open_page) is None
    assert reserved([("tdm-reservation", "0")], open_page.replace(b'"0"', b'"1"')) is not None


@given(st.binary(max_size=300))
def test_no_body_breaks_the_reading(body: bytes) -> None:
    assert reserved([], b'<meta name="robots" content="all">' + body) in (None, *_ALL)


_ALL = tuple(f"the page's robots meta element says {word}" for word in ("noai", "noindex", "none"))


def test_rules_of_a_site_are_read_and_what_is_no_rule_is_passed_over() -> None:
    rules = [
        {"location": "/", "tdm-reservation": 1, "tdm-policy": "https://h.example/policy.json"},
        {"location": "/open/*", "tdm-reservation": "0"},
        {"location": "/odd", "tdm-reservation": 2},
        {"tdm-reservation": 1},
        "a word",
    ]
    assert parse_tdmrep(json.dumps(rules).encode()) == (Rule("/", True), Rule("/open/*", False))
    assert parse_tdmrep(b'{"location": "/", "tdm-reservation": 1}') == (Rule("/", True),)


@pytest.mark.parametrize("body", [b"", b"<html>", b"3", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_no_list_of_rules_is_refused(body: bytes) -> None:
    with pytest.raises(RecordError, match="tdmrep"):
        parse_tdmrep(body)


def test_the_longest_matching_rule_decides() -> None:
    rules = parse_tdmrep(
        b'[{"location": "/", "tdm-reservation": 1}, {"location": "/open/", "tdm-reservation": 0},'
        b' {"location": "*.pdf$", "tdm-reservation": 1}, {"location": "/open/*.pdf$", "tdm-reservation": 0}]'
    )
    assert reserved_by(rules, "https://h.example/news/1") == "/.well-known/tdmrep.json reserves /"
    assert reserved_by(rules, "https://h.example") is not None
    assert reserved_by(rules, "https://h.example/open/page?x=1") is None
    assert reserved_by(rules, "https://h.example/open/a.pdf") is None
    assert reserved_by((), "https://h.example/") is None


@given(
    st.text("ab/*", min_size=1, max_size=8).map(lambda s: "/" + s),
    st.booleans(),
    st.text("ab/", max_size=10).map(lambda s: "/" + s),
)
def test_patterns_match_as_those_of_robots_txt_do(pattern: str, end: bool, path: str) -> None:
    pattern += "$" * end
    forbidden = not Protego.parse(f"User-agent: *\nDisallow: {pattern}").can_fetch(f"https://h.example{path}", "x")
    assert (reserved_by([Rule(pattern, True)], f"https://h.example{path}") is not None) == forbidden
