"""A response becomes a page or an error with an outcome and a reason, whatever its bytes."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import RecordError
from corpus.page import PageError, read_page

URL = "https://www.gazette.example/2025/10/21/ministers"
PROSE = (
    "Delegates from thirty coastal states met in the old customs house on Monday to settle which offences the new "
    "convention should list. The envoy of Norland said her government could live with a shorter list. "
)
ARTICLE = f"<article><h1>Ministers weigh the convention</h1><p>{PROSE}</p><p>{PROSE[::-1]}</p></article>"


def html(body: str = ARTICLE, head: str = "", lang: str = "en") -> bytes:
    return f'<!doctype html><html lang="{lang}"><head>{head}</head><body>{body}</body></html>'.encode()


def failure(body: bytes, mime: str | None = "text/html", url: str = URL, **options: object) -> tuple[str, str]:
    with pytest.raises(PageError) as caught:
        read_page(body, url=url, mime=mime, **options)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"{url}: expected ")
    assert "\n" not in str(caught.value)
    return caught.value.outcome, caught.value.reason


def test_a_page_says_what_it_is() -> None:
    head = (
        '<title>Ministers weigh the convention | Gazette</title><meta name="author" content="Elif Brandt">'
        '<meta property="og:site_name" content="The Harbour Gazette"><link rel="canonical" href="/2025/10/ministers">'
        '<meta property="article:published_time" content="2025-10-21T08:00:00Z">'
    )
    page = read_page(html(head=head, lang="en-GB"), url=URL, mime="text/html")
    assert page.title == "Ministers weigh the convention"
    assert page.author == "Elif Brandt"
    assert page.publisher == "The Harbour Gazette"
    assert page.published == "2025-10-21"
    assert page.language == "en-gb"
    assert page.url == "https://www.gazette.example/2025/10/ministers"
    assert PROSE.strip() in page.text
    assert page.pages == ()


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://gazette.example/a", "https://gazette.example/a"),
        ("//amp.gazette.example/a", "https://amp.gazette.example/a"),
        ("https://news.gazette.example/a", "https://news.gazette.example/a"),
        ("https://rival.example/a", None),
        ("https://notgazette.example/a", None),
        ("https://www.gazette.example/", None),
        ("/", None),
        ("", None),
        ("javascript:void(0)", None),
        ("http://[", None),
    ],
)
def test_a_page_speaks_for_its_own_site_and_not_for_the_front_page(link: str, url: str | None) -> None:
    assert read_page(html(head=f'<link rel="canonical" href="{link}">'), url=URL, mime="text/html").url == url


def test_a_file_is_believed_about_its_address() -> None:
    body = html(head='<link rel="canonical" href="https://rival.example/a">')
    assert read_page(body, url="file:a.html", mime="text/html").url == "https://rival.example/a"


def test_a_date_after_the_page_was_fetched_is_no_date_of_publication() -> None:
    body = html(head='<meta property="article:published_time" content="2025-10-21">')
    assert read_page(body, url="file:a", mime="text/html", latest="2025-10-22").published == "2025-10-21"
    assert read_page(body, url="file:a", mime="text/html", latest="2025-10-20").published is None


def test_the_language_of_the_letters_wins_over_a_template() -> None:
    french = "<p>" + "Les délégués de trente États se sont retrouvés lundi dans l’ancienne douane. " * 3 + "</p>"
    assert read_page(html(f"<article>{french}</article>"), url=URL, mime="text/html").language == "fr"


@pytest.mark.parametrize(
    ("body", "mime", "url", "start"),
    [
        (html(), None, URL, "Ministers weigh"),
        (html(), "application/octet-stream", URL, "Ministers weigh"),
        (html(), "application/xhtml+xml", URL, "Ministers weigh"),
        (html(), "application/xml", URL, "Ministers weigh"),
        (html(), "application/pdf", URL, "Ministers weigh"),  # an error page in the report's place
        (b"# A vote\n\nIt failed.", "text/markdown", URL, "# A vote"),
        (b"A vote\n\nIt failed.", None, "https://un.example/a.txt?x=1", "A vote"),
        (b"A vote\n\nIt failed.", None, URL, "A vote"),
    ],
)
def test_bytes_are_read_as_what_they_are(body: bytes, mime: str | None, url: str, start: str) -> None:
    assert read_page(body, url=url, mime=mime).text.startswith(start)


@pytest.mark.parametrize(
    ("body", "mime", "expected"),
    [
        (b"", "text/html", ("empty", "no bytes")),
        (b" \r\n", "text/plain", ("empty", "no bytes")),
        (b"\xc2\xa0\n", "text/plain", ("empty", "white space")),
        (html(""), "text/html", ("empty", "no article")),
        (html("<p>12 &mdash; 44</p>"), "text/html", ("empty", "no article")),
        (b"a\x00b", "text/plain", ("failed", "binary")),
        (b"caf\xe9", "text/plain", ("failed", "charset")),
        (b"\x89PNG\r\n\x1a\n", "image/png", ("failed", "unsupported type")),
        (b"{}", "application/json", ("failed", "unsupported type")),
        (b"<rss></rss>", "application/xml", ("failed", "unsupported type")),
    ],
)
def test_a_body_without_a_document_has_an_outcome_and_a_reason(body: bytes, mime: str, expected: tuple[str, str]) -> None:
    assert failure(body, mime) == expected


def test_text_of_a_server_may_be_in_another_charset_and_a_file_may_not() -> None:
    text = "Le délégué a signé à Hanoï. " * 5
    said = [("Content-Type", "text/plain; charset=iso-8859-1")]
    assert read_page(text.encode("latin-1"), url=URL, mime="text/plain", headers=said).text == text
    assert failure(text.encode("latin-1"), "text/plain") == ("failed", "charset")
    assert failure(b"a\x00b", "text/plain", headers=said) == ("failed", "binary")


@pytest.mark.parametrize(
    ("body", "options", "expected"),
    [
        (b"x" * 101, {"max_bytes": 100}, ("failed", "too large")),
        (html("<p>" + PROSE * 3 + "</p>"), {"max_characters": 100}, ("failed", "too long")),
        (b"<p>" + b"x" * 10_000_001, {}, ("failed", "too large")),
    ],
)
def test_what_is_too_large_fails(body: bytes, options: dict[str, int], expected: tuple[str, str]) -> None:
    assert failure(body, **options) == expected


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("<div>" * 100_000 + "x" + "</div>" * 100_000, id="nested"),
        pytest.param("<span>" * 100_000 + "x", id="nested and open"),
        pytest.param("<table><tr><td>" * 30_000 + "x", id="tables"),
        pytest.param("<" * 100_000, id="brackets"),
        pytest.param("<script>" * 50_000, id="scripts"),
    ],
)
def test_a_page_made_to_break_parsers_ends_in_an_outcome(body: str) -> None:
    assert failure(html(body)) == ("empty", "no article")


@pytest.mark.parametrize("made", ['a{}="x"', "a{}", 'a{}="<>"', "a{}<b", "a{}='\">'"])
def test_a_tag_with_a_hundred_thousand_attributes_is_read_without_them(made: str) -> None:
    attributes = " ".join(made.format(i) for i in range(100_000))
    page = read_page(html(f"<article><p {attributes}>{PROSE}</p></article>"), url=URL, mime="text/html")
    assert page.text == PROSE.strip()


def test_scripts_are_not_taken_for_crowded_tags() -> None:
    script = "<script>if(a<b){c='" + "x = y " * 3_000 + "</script>"
    body = html(f"{script}<article><p>{PROSE}</p><p>If a <b and don't</b> " + PROSE * 20 + "</p></article>" + script)
    assert read_page(body, url=URL, mime="text/html").text.count("Norland") >= 20


def test_entities_that_a_page_declares_are_not_expanded() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;">]>'
    page = read_page(bomb.encode() + f"<html><body><p>&c; {PROSE}</p></body></html>".encode(), url=URL, mime="text/html")
    assert "lol" not in page.text
    assert "Delegates" in page.text


def test_nothing_that_a_database_refuses_is_kept() -> None:
    body = html(
        ARTICLE.replace("Delegates", "Dele\x00gates &#150; &#x92;"),
        head='<meta name="publisher" content="The\x00 Gazette"><meta name="author" content="Ann\x00 &#xd83d;Lee">',
    )
    page = read_page(body, url=URL, mime="text/html")
    assert (page.title, page.publisher) == ("Ministers weigh the convention", "The Gazette")
    assert (page.author or "").replace("\ufffd", "") == "Ann Lee"
    assert "\0" not in page.text
    assert "Delegates – ’ from" in page.text  # references to Windows-1252 mean its signs


def test_an_error_comes_whole_through_a_process_pool() -> None:
    error = PageError("https://a.example", "blocked", "paywall", "expected an article, found none; go away")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert isinstance(again, RecordError)
    assert (str(again), again.outcome, again.reason) == (str(error), "blocked", "paywall")


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [
                    b"<p>",
                    b"</p>",
                    b"<html>",
                    b"\x00",
                    b"\xff",
                    b"&#xd800;",
                    b"<!--",
                    b"<script>",
                    b"%PDF-1.4",
                    b"text ",
                    b"<article>",
                    b'<a href="',
                    b"<![CDATA[",
                    b"&#150;",
                    b"<title>",
                    b"\xc3\xa9",
                    b"<frameset>",
                    b"<svg>",
                ]
            )
        ).map(b"".join),
    ),
    st.sampled_from(["text/html", "text/plain", "application/pdf", None, "application/xml"]),
    st.sampled_from([(), (("Content-Type", "text/html; charset=utf-16"),), (("content-type", "text/plain"),)]),
)
def test_any_bytes_give_a_storable_page_or_a_page_error(
    body: bytes, mime: str | None, headers: tuple[tuple[str, str], ...]
) -> None:
    try:
        page = read_page(body, url=URL, mime=mime, headers=headers)
    except PageError:
        return
    assert page.text.strip()
    assert "\0" not in page.text
    assert "\r" not in page.text
    page.text.encode("utf-8")
