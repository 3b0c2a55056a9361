"""Page: the bytes of a response or a file, read into a text and what it says of itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from corpus.charset import declared_charset, decode, storable
from corpus.clutter import furniture, is_heading
from corpus.errors import RecordError
from corpus.html import read_html
from corpus.identity import canonical_url, document_id, normalise
from corpus.language import choose_language
from corpus.pdf import LockedPdfError, read_pdf
from corpus.records import Document

MAX_BYTES = 20_000_000  # of a response: a scanned report; a page of markup is a hundredth of it
MAX_HTML_BYTES = 10_000_000  # extraction takes seconds a megabyte; articles with all their scripts stay below five
MAX_CHARACTERS = 4_000_000  # ten times a long book of treaty records; more is a data dump, not a document

_KINDS = {
    "text/html": "html", "application/xhtml+xml": "html", "application/pdf": "pdf", "application/x-pdf": "pdf",
    "text/plain": "text", "text/markdown": "text", "text/x-markdown": "text",
}  # fmt: skip
_SUFFIXES = {".txt": "text", ".md": "text", ".html": "html", ".htm": "html", ".pdf": "pdf"}
_UNSAID = (None, "", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown")
_MARKUP = re.compile(rb"<(?:!doctype\s+html|html|head|body|article|div|p|meta)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Page:
    """A page's text (NFC, line feeds, no NUL) and what it says of itself.

    ``url`` is the address that the page gives as its own, as it stands there; ``pages`` are the code points at which a PDF's
    pages begin.
    """

    text: str
    title: str | None = None
    author: str | None = None
    published: str | None = None
    language: str | None = None
    url: str | None = None
    publisher: str | None = None
    pages: tuple[int, ...] = ()


class PageError(RecordError):
    """A page of which no document can be made: ``outcome`` is ``blocked``, ``empty`` or ``failed``; ``reason`` is short."""

    def __init__(self, name: str, outcome: str, reason: str, sentence: str) -> None:
        super().__init__(f"{name}: {sentence}")
        self.name = name
        self.outcome = outcome
        self.reason = reason
        self.sentence = sentence

    def __reduce__(self) -> tuple[type[PageError], tuple[str, str, str, str]]:
        """Come whole through a process pool."""
        return type(self), (self.name, self.outcome, self.reason, self.sentence)


def read_page(
    body: bytes,
    *,
    url: str,
    mime: str | None,
    headers: Sequence[tuple[str, str]] = (),
    name: str | None = None,
    latest: str | None = None,
    max_bytes: int = MAX_BYTES,
    max_characters: int = MAX_CHARACTERS,
) -> Page:
    """Read HTML, PDF, plain text or Markdown.

    Args:
        body: the bytes, with no content coding.
        url: where they were fetched; ``file:…`` for a file.
        mime: the media type without parameters; None where nothing says it.
        headers: those of the response. Plain text without a ``Content-Type`` is a file's, and must be UTF-8.
        name: what errors call the page; its address where None.
        latest: a day (ISO 8601), that of the retrieval: a later date of publication is not believed. None believes all.
        max_bytes: the longest body that is read.
        max_characters: the longest text.

    Raises:
        PageError: when the page is a wall (``blocked``), holds no text (``empty``) or cannot be read (``failed``).
    """
    name = name or url
    if len(body) > max_bytes:
        found = f"expected at most {max_bytes:,} bytes, found {len(body):,}; split the file"
        raise PageError(name, "failed", "too large", found)
    if not body.strip():
        found = "expected a document, found an empty file; remove it or fetch it again"
        raise PageError(name, "empty", "no bytes", found)
    kind = _kind(body, url, mime)
    if kind is None:
        found = f"expected HTML, PDF or text, found {mime or 'an unknown type'}; convert it"
        raise PageError(name, "failed", "unsupported type", found)
    read = {"text": _text_page, "html": _html_page, "pdf": _pdf_page}[kind]
    return read(body, _Context(name, url, tuple(headers), latest, max_characters))


def to_document(page: Page, place: str, **facts: Any) -> Document:
    """Return the document that a page is, under its own canonical address or else that of the place where it was found.

    ``facts`` are further fields of the document, or better ones than the page gives.
    """
    url = canonical_url(page.url or place)
    fields = {name: getattr(page, name) for name in ("title", "author", "publisher", "published", "language", "pages")}
    return Document(id=document_id(url, page.text), url=url, text=page.text, **{**fields, **facts})


@dataclass(frozen=True, slots=True)
class _Context:
    """What is known of a page besides its bytes."""

    name: str
    url: str
    headers: tuple[tuple[str, str], ...]
    latest: str | None
    max_characters: int

    def error(self, outcome: str, reason: str, sentence: str) -> PageError:
        return PageError(self.name, outcome, reason, sentence)

    def check_length(self, length: int) -> None:
        if length > self.max_characters:
            found = f"expected a text of at most {self.max_characters:,} characters, found {length:,}; split the file"
            raise self.error("failed", "too long", found)


def _kind(body: bytes, url: str, mime: str | None) -> str | None:
    """Return how to read the bytes: by the media type, unless they plainly begin as something else."""
    start = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    kind = _KINDS.get((mime or "").strip().lower())
    if start.startswith(b"%PDF-"):
        return "pdf"
    if kind is None and mime in ("application/xml", "text/xml") and re.search(rb"<html\b", start, re.IGNORECASE):
        return "html"
    if kind == "pdf" and _MARKUP.match(start):
        return "html"  # an error page sent in the report's place
    if kind is None and mime in _UNSAID:
        kind = "html" if _MARKUP.match(start) else _SUFFIXES.get(PurePosixPath(urlsplit(url).path).suffix.lower(), "text")
    return kind


def _finished(
    context: _Context,
    text: str,
    *,
    title: str | None = None,
    language: str | None = None,
    author: str | None = None,
    published: str | None = None,
    url: str | None = None,
    publisher: str | None = None,
    pages: tuple[int, ...] = (),
) -> Page:
    text = normalise(text)
    context.check_length(len(text))
    if not text.strip():
        found = "expected a document, found white space only; remove it or fetch it again"
        raise context.error("empty", "white space", found)
    return Page(
        text,
        title=normalise(title) if title else _first_line_title(text),
        author=normalise(author) if author else None,
        published=published,
        language=choose_language(text, language),
        url=url,
        publisher=normalise(publisher) if publisher else None,
        pages=pages,
    )


def _first_line_title(text: str) -> str | None:
    """Return the first line where it is plainly a headline: of that form, and apart from the text below it."""
    first, _, rest = text.lstrip().partition("\n")
    line = first.strip()
    below, _, body = rest.partition("\n")
    if below.strip() or not body.strip() or not is_heading(line) or furniture(line) is not None:
        return None
    return line.lstrip("#").strip()


def _text_page(body: bytes, context: _Context) -> Page:
    if not any(key.lower() == "content-type" for key, _ in context.headers):
        return _finished(context, _utf8(body, context))
    text = decode(body, header=declared_charset(context.headers), markup=False)
    if text is None or "\0" in text:
        found = "expected text, found bytes in no charset that can be told; convert it to UTF-8 text"
        raise context.error("failed", "charset" if text is None else "binary", found)
    return _finished(context, storable(text))


def _utf8(body: bytes, context: _Context) -> str:
    nul = body.find(b"\0")
    if nul >= 0:
        found = f"expected text, found binary data (a NUL at byte {nul}); convert the file to UTF-8 text"
        raise context.error("failed", "binary", found)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = (
            f"expected UTF-8 text, found byte 0x{body[error.start]:02x} at byte {error.start}, which is none; "
            "convert the file to UTF-8"
        )
        raise context.error("failed", "charset", found) from error


def _html_page(body: bytes, context: _Context) -> Page:
    if len(body) > MAX_HTML_BYTES:
        found = f"expected an HTML page of at most {MAX_HTML_BYTES:,} bytes, found {len(body):,}; save the article as text"
        raise context.error("failed", "too large", found)
    source = decode(body, header=declared_charset(context.headers))
    if source is None:
        found = "expected an HTML page, found bytes in no charset that can be told; save the article as UTF-8 text"
        raise context.error("failed", "charset", found)
    address = context.url if context.url.lower().startswith(("http://", "https://")) else None
    try:
        article = read_html(source, address=address, headers=context.headers, latest=context.latest)
    except Exception as error:  # the parsers promise no type of exception for pages that they cannot read
        found = f"expected an HTML page, but {_in_a_line(error)}; fetch the page again"
        raise context.error("failed", "broken HTML", found) from error
    if article.wall is not None:
        shown = " ".join(article.wall.evidence.split())[:120]
        found = f"expected an HTML page with an article, found “{shown}” ({article.wall.reason}); open it in a browser"
        raise context.error(article.wall.outcome, article.wall.reason, found)
    if not any(map(str.isalpha, article.text)):
        found = "expected an HTML page with an article, found no article text; save the article as text"
        raise context.error("empty", "no article", found)
    return _finished(
        context,
        article.text,
        title=article.title,
        language=article.language,
        author=article.author,
        published=article.published,
        url=article.url,
        publisher=article.publisher,
    )


def _pdf_page(body: bytes, context: _Context) -> Page:
    try:
        pdf = read_pdf(body, check_length=context.check_length)
    except PageError:
        raise
    except LockedPdfError as error:
        found = f"expected an open PDF, found {error}; save it without"
        raise context.error("failed", "encrypted PDF", found) from error
    except Exception as error:  # a broken PDF raises whatever its bytes lead to, not only pypdf's own errors
        found = f"expected a whole PDF, but {_in_a_line(error)}; fetch the file again"
        raise context.error("failed", "broken PDF", found) from error
    if not pdf.text.strip():
        found = f"expected a PDF with text, found {len(pdf.pages)} pages of pictures only; run text recognition on it first"
        raise context.error("empty", "pictures only", found)
    return _finished(context, pdf.text, title=pdf.title, pages=pdf.pages)


def _in_a_line(error: Exception) -> str:
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {message[:160]}" if message else type(error).__name__
