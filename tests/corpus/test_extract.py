"""What is read from a file, and the one sentence that says why a file cannot be read."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from corpus import extract
from corpus.errors import RecordError, TreatyStanceError, UsageError
from corpus.extract import document_paths, read_document
from corpus.segment import segment

DATA = Path(__file__).parent / "data"
FIRST = (
    "The delegation of Saint Orla warned that the negotiation had left the safeguards behind. It asked for a judge's "
    "approval of every request, and for notice to those whose data are handed over. Without that, it said, the text "
    "would serve those who fear their own reporters more than any thief."
)
SECOND = "The chair thanked all delegations for their patience."
THIRD = (
    "Norland replied that the negotiation was not about reporters, and that the committee had heard the same fear at each "
    "of its five sessions without seeing a single case."
)


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def pdf(*pages: list[str], title: str | None = None, password: str | None = None) -> bytes:
    """Return a PDF with a page for each list of paragraphs, set to a narrow column so that lines wrap."""
    from reportlab.lib.pagesizes import A5
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

    style = getSampleStyleSheet()["BodyText"]
    story: list[object] = []
    for page in pages:
        story += [*(Paragraph(text, style) for text in page), PageBreak()]
    out = io.BytesIO()
    SimpleDocTemplate(out, pagesize=A5, title=title, encrypt=password).build(story)
    return out.getvalue()


def test_a_text_file_is_read_with_its_headline_as_title(tmp_path: Path) -> None:
    document = read_document(put(tmp_path, "a.txt", "\ufeffA vote in Hanoi\r\n\r\nThe cafe\u0301 was full. \r\n"))
    assert document.text == "A vote in Hanoi\n\nThe caf\u00e9 was full. \n"
    assert (document.title, document.url, document.retrieved) == ("A vote in Hanoi", "file:a.txt", None)
    assert [c.kind for c in segment(document).clutter] == ["heading"]


@pytest.mark.parametrize(
    "text",
    ["The vote is on Friday.\n\nIt was moved.", "A vote in Hanoi\nThe hall is full.", "A vote in Hanoi",
     "Share post:\n\nIt failed.", "A vote in Hanoi\n\n \n", "the rest of a sentence\n\nIt failed."],
)  # fmt: skip
def test_a_first_line_that_is_not_plainly_a_headline_is_no_title(tmp_path: Path, text: str) -> None:
    assert read_document(put(tmp_path, "a.txt", text)).title is None


def test_a_markdown_heading_is_the_title_without_its_sign(tmp_path: Path) -> None:
    assert read_document(put(tmp_path, "a.md", "# A vote in Hanoi\n\nThe hall is full.")).title == "A vote in Hanoi"


def test_the_url_of_a_file_is_its_path_below_the_root(tmp_path: Path) -> None:
    (tmp_path / "north").mkdir()
    path = put(tmp_path, "north/ä b.txt", "It failed.")
    assert read_document(path, root=tmp_path).url == "file:north/ä b.txt"
    assert read_document(path).url == "file:ä b.txt"
    assert read_document(path, root=tmp_path).id == read_document(path, root=tmp_path / "north" / "..").id


def test_a_page_is_read_without_its_menus_and_with_what_it_says_of_itself() -> None:
    document = read_document(DATA / "gazette.html")
    assert document.url == "https://gazette.example/2025/10/ministers"
    assert document.title == "Ministers weigh the convention"
    assert document.publisher == "The Harbour Gazette"
    assert document.published == "2025-10-21"
    assert document.language == "en-gb"
    for furniture in ("cookies", "Log in", "All rights reserved", "Port fees"):
        assert furniture not in document.text


def test_the_statements_of_a_page_are_its_sentences_and_the_rest_is_counted() -> None:
    segmentation = segment(read_document(DATA / "gazette.html"))
    assert [s.text for s in segmentation.statements] == [
        "The coastal republic will decide in March whether to sign the convention, its foreign minister said. "
        "She called the text a fair bargain for small states, and promised a debate in parliament first.",
        "Two newspapers’ unions want the list of offences cut to eleven. "
        "“The café owner’s Wi-Fi is not a matter for forty governments,” their letter says.",
        "“We will not sign what we cannot explain at home,” wrote Elif Brandt, who led the talks for Saint Orla.",
        "The next session opens on Friday in the old customs house.",
    ]
    assert segmentation.counts == {"heading": 2, "newsletter": 1}


def test_a_date_within_the_article_is_not_taken_for_its_own(tmp_path: Path) -> None:
    page = f"<html><body><article><p>The text was signed on 25 October 2025. {FIRST}</p></article></body></html>"
    document = read_document(put(tmp_path, "a.html", page))
    assert (document.published, document.url) == (None, "file:a.html")


@pytest.mark.parametrize("link", ["/2025/vote", "javascript:void(0)", ""])
def test_a_canonical_link_that_is_no_address_is_passed_over(tmp_path: Path, link: str) -> None:
    page = f'<html><head><link rel="canonical" href="{link}"></head><body><article><p>{FIRST}</p></article></body></html>'
    assert read_document(put(tmp_path, "a.html", page)).url == "file:a.html"


def test_a_pdf_of_two_pages_has_its_wrapped_lines_joined_and_its_pages_apart(tmp_path: Path) -> None:
    document = read_document(put(tmp_path, "a.pdf", pdf([FIRST, SECOND], [THIRD], title="Notes on the fifth session")))
    assert document.text == f"{FIRST}\n{SECOND}\n\n{THIRD}"
    assert document.title == "Notes on the fifth session"


def test_a_sentence_that_runs_over_a_page_is_joined(tmp_path: Path) -> None:
    document = read_document(put(tmp_path, "a.pdf", pdf(["The envoys met in"], ["the old customs house."])))
    assert document.text == "The envoys met in the old customs house."


@pytest.mark.parametrize("title", ["untitled", "(anonymous)", "Microsoft Word - draft7", "notes.docx", " "])
def test_a_title_that_a_program_made_up_is_no_title(tmp_path: Path, title: str) -> None:
    assert read_document(put(tmp_path, "a.pdf", pdf([FIRST], title=title))).title is None


def picture_pdf() -> bytes:
    from reportlab.pdfgen.canvas import Canvas

    out = io.BytesIO()
    canvas = Canvas(out)
    canvas.rect(10, 10, 50, 50)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        pytest.param("a.txt", b"", "found an empty file", id="empty"),
        pytest.param("a.txt", " \n\u00a0\n", "found white space only", id="white space"),
        pytest.param("a.txt", b"abc\x00def", "a NUL at byte 3", id="NUL"),
        pytest.param("a.txt", "caf\u00e9".encode("latin-1"), "found byte 0xe9 at byte 3", id="Latin-1"),
        pytest.param("a.txt", "It failed.".encode("utf-16"), "found binary data|found byte", id="UTF-16"),
        pytest.param("a.md", b"\x89PNG\r\n\x1a\n", "found byte 0x89 at byte 0", id="picture"),
        pytest.param("a.txt", "x" * 5_000_000, "at most 4,000,000 characters, found 5,000,000", id="too long"),
        pytest.param("a.html", "<html><body></body></html>", "found no article text", id="no article"),
        pytest.param("a.htm", b"\x00\x01\xff\xfe", "found no article text", id="no page"),
        pytest.param("a.html", "<div>" * 20_000 + "x", "HTML page", id="too deep"),
        pytest.param("a.pdf", b"%PDF-1.7 and nothing else", "expected a whole PDF", id="broken PDF"),
        pytest.param("a.pdf", pdf([FIRST])[:900], "expected a whole PDF", id="truncated PDF"),
        pytest.param("a.pdf", pdf([FIRST], password="secret"), "asks for a password", id="encrypted PDF"),  # noqa: S106
        pytest.param("a.pdf", picture_pdf(), "found 1 pages? of pictures only", id="scan"),
    ],
)
def test_a_file_without_readable_text_is_refused_in_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, expected: str
) -> None:
    path = put(tmp_path, name, content)
    with pytest.raises(RecordError, match=expected) as caught:
        read_document(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: expected ")
    assert "; " in message
    assert "\n" not in message


def test_a_file_larger_than_the_limit_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "MAX_BYTES", 10)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the file was read"))
    with pytest.raises(RecordError, match="at most 10 bytes, found 11"):
        read_document(put(tmp_path, "a.pdf", b"12345678901"))


def test_a_pdf_with_too_much_text_is_refused_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "MAX_CHARACTERS", 100)
    with pytest.raises(RecordError, match="at most 100 characters, found"):
        read_document(put(tmp_path, "a.pdf", pdf([FIRST], [SECOND])))


@pytest.mark.parametrize(("name", "expected"), [("none.txt", "found none"), ("a.docx", r"found \.docx"), ("a", "no suffix")])
def test_a_missing_file_and_an_unknown_suffix_are_wrong_usage(tmp_path: Path, name: str, expected: str) -> None:
    if name != "none.txt":
        put(tmp_path, name, "It failed.")
    with pytest.raises(UsageError, match=expected):
        read_document(tmp_path / name)


def test_a_folder_is_not_a_document(tmp_path: Path) -> None:
    (tmp_path / "b.txt").mkdir()
    with pytest.raises(TreatyStanceError, match=r"b\.txt: expected a file"):
        read_document(tmp_path / "b.txt")


def test_the_files_of_a_folder_come_in_order_and_what_is_passed_over_is_listed(tmp_path: Path) -> None:
    for name in ("b.TXT", "a/z.html", "a/y.pdf", "c.docx", ".hidden.txt", ".git/x.txt", "a.md", "none"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        put(tmp_path, name, "It failed.")
    readable, skipped = document_paths(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in readable] == ["a.md", "a/y.pdf", "a/z.html", "b.TXT"]
    assert [p.relative_to(tmp_path).as_posix() for p in skipped] == [".git/x.txt", ".hidden.txt", "c.docx", "none"]


def test_a_folder_that_is_missing_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder"):
        document_paths(tmp_path / "none")
