"""Walls are told from articles, in both directions, and in articles that speak about walls.

The pages lie in data/walls; each file's name begins with what it is.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

import pytest

import corpus
from corpus import wall_signs
from corpus.page import PageError, read_page

PAGES = sorted((Path(__file__).parent / "data" / "walls").glob("*.html"))
OUTCOMES = {"soft 404": "empty", "no article": "empty"}
KINDS = {path.name.split("--")[0].replace("-", " ") for path in PAGES}


@pytest.mark.parametrize("path", [p for p in PAGES if not p.name.startswith("article--")], ids=lambda p: p.stem)
def test_a_wall_is_no_document_and_its_kind_is_named(path: Path) -> None:
    with pytest.raises(PageError) as caught:
        read_page(path.read_bytes(), url="https://gazette.example/2026/1", mime="text/html")
    reason = path.name.split("--")[0].replace("-", " ")
    assert (caught.value.reason, caught.value.outcome) == (reason, OUTCOMES.get(reason, "blocked"))
    assert str(caught.value).startswith("https://gazette.example/2026/1: expected an HTML page with an article, found ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", [p for p in PAGES if p.name.startswith("article--")], ids=lambda p: p.stem)
def test_an_article_is_read_even_where_it_speaks_of_walls(path: Path) -> None:
    page = read_page(path.read_bytes(), url="https://gazette.example/2026/1", mime="text/html")
    assert page.title is not None
    assert len(page.text) > 90


def test_every_kind_of_wall_has_pages() -> None:
    assert {"article", "bot check", "cookie wall", "paywall", "soft 404", "login wall", "region block", "needs JavaScript",
            "no article"} == KINDS  # fmt: skip


def test_no_text_of_the_reference_corpus_is_a_wall_when_set_as_a_page_with_a_banner_and_an_appeal() -> None:
    lines = (Path(corpus.__file__).parent / "reference" / "documents.jsonl").read_text("utf-8").splitlines()
    documents = [json.loads(line) for line in lines][::4]
    for document in documents:
        title = escape(document["title"] or "News")
        body = "".join(f"<p>{escape(s['text'])}</p>" for s in document["statements"])
        page = (
            f"<html><head><title>{title} | Gazette</title></head><body>"
            "<nav><a href='/login'>Log in</a> <a>Subscribe</a></nav>"
            "<div class='banner'><p>We and our partners use cookies. Manage your preferences.</p>"
            f"<button>Accept all</button></div><article><h1>{title}</h1>{body}</article>"
            "<p>Already a subscriber? Log in. Get our newsletter.</p></body></html>"
        )
        read_page(page.encode(), url=document["url"], mime="text/html")
    assert len(documents) > 100


def test_a_header_that_says_challenge_is_evidence() -> None:
    body = b"<html><head><title>Gazette</title></head><body><p>One moment while we look at your request.</p></body></html>"
    read_page(body, url="https://gazette.example/1", mime="text/html", headers=[("Content-Type", "text/html")])
    with pytest.raises(PageError, match="bot check"):
        read_page(body, url="https://gazette.example/1", mime="text/html", headers=[("CF-Mitigated", "challenge")])


@pytest.mark.parametrize(
    "name", [name for name in vars(wall_signs) if isinstance(getattr(wall_signs, name), wall_signs.Phrases)]
)
def test_the_stems_of_phrases_change_the_cost_and_not_the_result(name: str) -> None:
    phrases = getattr(wall_signs, name)
    found = 0
    for path in PAGES:
        for line in path.read_text("utf-8").splitlines():
            match = phrases.pattern.search(line)
            here = phrases.search(line)
            assert (match and (match.start(), match.group())) == (here and tuple(here))
            found += match is not None
    assert found > 0
