"""The pages of a PDF become one text, in which the start of each page can be found again."""

from __future__ import annotations

import io
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.page import PageError, read_page
from corpus.pdf import joined_pages


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        pytest.param(
            ["the negotia-", "tion, a negotiation of years"], "the negotiation, a negotiation of years", id="plain"
        ),
        pytest.param(["the nego\u00ad", "tiation"], "the negotiation", id="soft hyphen"),
        pytest.param(["across cross-", "border lines"], "across cross-border lines", id="never seen in one piece"),
        pytest.param(["a co-", "op and coop, co-op"], "a co-op and coop, co-op", id="seen with its hyphen"),
        pytest.param(["the dash -", "and more"], "the dash - and more", id="a dash"),
    ],
)
def test_hyphenation_is_undone_only_where_it_is_plain(lines: list[str], text: str) -> None:
    assert joined_pages(["\n".join(lines)])[0] == text


def test_the_start_of_each_page_is_known() -> None:
    text, starts = joined_pages(["The envoys met in", "", "the old customs house.\nIt rained.", "A vote.", " "])
    assert text == "The envoys met in the old customs house.\nIt rained.\n\nA vote."
    assert [text[start:][:7] for start in starts] == ["The env", "the old", "the old", "A vote.", ""]


def test_a_page_that_begins_within_a_word_begins_where_the_hyphen_was() -> None:
    text, starts = joined_pages(["A negotiation. The negotia-", "tion failed."])
    assert text == "A negotiation. The negotiation failed."
    assert text[starts[1] :] == "tion failed."


@settings(deadline=None)
@given(st.lists(st.text("aA \n-.\u00ade\u0301é", max_size=25), max_size=5))
def test_page_starts_rise_and_the_text_is_composed(pages: list[str]) -> None:
    text, starts = joined_pages(pages)
    assert len(starts) == len(pages)
    assert list(starts) == sorted(starts)
    assert all(0 <= start <= len(text) for start in starts)
    assert unicodedata.is_normalized("NFC", text)
    for page, start in zip(pages, starts, strict=True):
        words = unicodedata.normalize("NFC", page).split()
        if words and not words[0].endswith("\u00ad") and len(words[0]) > 1:
            assert text[start:].startswith(words[0][:-1])


def test_the_pages_of_a_pdf_are_kept_with_its_text() -> None:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    for line in (
        "The delegates met on Monday in the old customs house.",
        "",
        "A vote is expected on Friday, the chair said.",
    ):
        canvas.drawString(60, 700, line)
        canvas.showPage()
    canvas.save()
    page = read_page(out.getvalue(), url="https://un.example/a.pdf", mime="application/pdf")
    assert page.text == (
        "The delegates met on Monday in the old customs house.\n\nA vote is expected on Friday, the chair said."
    )
    assert page.pages == (0, 55, 55)
    assert page.language == "en"


def test_a_broken_pdf_fails_and_one_of_pictures_is_empty() -> None:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.rect(10, 10, 50, 50)
    canvas.showPage()
    canvas.save()
    with pytest.raises(PageError) as scan:
        read_page(out.getvalue(), url="https://un.example/a.pdf", mime=None)
    assert (scan.value.outcome, scan.value.reason) == ("empty", "pictures only")
    with pytest.raises(PageError) as broken:
        read_page(b"%PDF-1.7 and no more", url="https://un.example/a", mime="text/html")
    assert (broken.value.outcome, broken.value.reason) == ("failed", "broken PDF")
