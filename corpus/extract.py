"""Extraction: a file on disk read into a Document, and the files of a folder that can be read."""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

from corpus.clutter import furniture, is_heading
from corpus.errors import RecordError, UsageError
from corpus.identity import canonical_url, document_id, normalise
from corpus.records import Document
from corpus.segment import wrapped_lines

MAX_CHARACTERS = 4_000_000  # ten times a long book of treaty records; more is a data dump, not a document
MAX_BYTES = 100_000_000  # a scanned report with pictures stays below

_SUFFIXES = {".txt": "text", ".md": "text", ".html": "html", ".htm": "html", ".pdf": "pdf"}
_WIDEST_PDF_LINE = 200  # small print on a landscape page
_NO_TITLE = re.compile(r"untitled|\(.*\)|microsoft word\b.*|.*\.(?:docx?|pdf|odt|indd|tex|dvi)", re.IGNORECASE)
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*")
_CANONICAL = "//link[translate(@rel, 'CANOIL', 'canoil') = 'canonical']/@href | //meta[@property = 'og:url']/@content"
# A page's own statement of when it first appeared: a date found in its sentences is as likely the one of the signing.
_DATES = {"original_date": True, "extensive_search": False}


@dataclass(frozen=True, slots=True)
class _Extract:
    """What a file's format offers of a document."""

    text: str
    title: str | None = None
    url: str | None = None
    publisher: str | None = None
    published: str | None = None
    language: str | None = None


def document_paths(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the files below a folder that can be read, and those that are passed over: hidden, or of another suffix.

    Both are in the order of their paths relative to the folder.

    Raises:
        UsageError: when there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder with documents, found none; check the path")
    readable: list[Path] = []
    skipped: list[Path] = []
    files = (path for path in folder.rglob("*") if path.is_file())
    for path in sorted(files, key=lambda p: p.relative_to(folder).as_posix()):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        (skipped if hidden or path.suffix.lower() not in _SUFFIXES else readable).append(path)
    return readable, skipped


def read_document(path: Path, *, root: Path | None = None) -> Document:
    """Read a ``.txt``, ``.md``, ``.html``, ``.htm`` or ``.pdf`` file into a Document.

    The URL is the page's canonical link where it names one, else ``file:`` and the path relative to ``root``, or the file's
    name where no root is given. ``retrieved`` is None: a file does not say when it was fetched.

    Raises:
        UsageError: when there is no such file, it cannot be opened, or its suffix is none of those.
        RecordError: when the file is too large, or no text can be had from it.
    """
    try:
        if not path.is_file():
            raise UsageError(f"{path}: expected a file, found none; check the path")
        kind = _SUFFIXES.get(path.suffix.lower())
        if kind is None:
            known, found = ", ".join(_SUFFIXES), path.suffix or "no suffix"
            raise UsageError(f"{path}: expected a file of type {known}, found {found}; convert the file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise RecordError(f"{path}: expected at most {MAX_BYTES:,} bytes, found {size:,}; split the file")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, but {error.strerror}; check its permissions") from error
    if not data.strip():
        raise RecordError(f"{path}: expected a document, found an empty file; remove it or fetch it again")
    extract = {"text": _from_text, "html": _from_html, "pdf": _from_pdf}[kind](path, data)
    text = normalise(extract.text)
    _check_length(path, len(text))
    if not text.strip():
        raise RecordError(f"{path}: expected a document, found white space only; remove it or fetch it again")
    url = canonical_url(extract.url) if extract.url else f"file:{_relative(path, root)}"
    return Document(
        id=document_id(url, text),
        url=url,
        text=text,
        title=extract.title or _first_line_title(text),
        publisher=extract.publisher,
        published=extract.published,
        language=extract.language,
    )


def _relative(path: Path, root: Path | None) -> str:
    name = path.name
    if root is not None and path.resolve().is_relative_to(root.resolve()):
        name = path.resolve().relative_to(root.resolve()).as_posix()
    return os.fsencode(name).decode("utf-8", errors="replace")  # a name in another encoding still makes a URL


def _check_length(path: Path, length: int) -> None:
    if length > MAX_CHARACTERS:
        raise RecordError(
            f"{path}: expected a text of at most {MAX_CHARACTERS:,} characters, found {length:,}; split the file"
        )


def _first_line_title(text: str) -> str | None:
    """Return the first line where it is plainly a headline: of that form, and apart from the text below it."""
    first, _, rest = text.lstrip().partition("\n")
    line = first.strip()
    below, _, body = rest.partition("\n")
    if below.strip() or not body.strip() or not is_heading(line) or furniture(line) is not None:
        return None
    return line.lstrip("#").strip()


def _from_text(path: Path, data: bytes) -> _Extract:
    nul = data.find(b"\0")
    if nul >= 0:
        raise RecordError(f"{path}: expected text, found binary data (a NUL at byte {nul}); convert the file to UTF-8 text")
    try:
        return _Extract(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecordError(
            f"{path}: expected UTF-8 text, found byte 0x{data[error.start]:02x} at byte {error.start}, which is none; "
            "convert the file to UTF-8"
        ) from error


def _from_html(path: Path, data: bytes) -> _Extract:
    from trafilatura import bare_extraction, load_html
    from trafilatura.settings import Document as Page

    try:
        tree = load_html(data)
        links = [] if tree is None else [str(link).strip() for link in tree.xpath(_CANONICAL)]
        language = None if tree is None else next((str(v) for v in tree.xpath("/html/@lang")), None)
        page = (
            None
            if tree is None
            else bare_extraction(tree, with_metadata=True, include_comments=False, date_extraction_params=dict(_DATES))
        )
    except Exception as error:  # the parsers promise no type of exception for pages that they cannot read
        raise RecordError(f"{path}: expected an HTML page, but {_in_a_line(error)}; fetch the page again") from error
    if not isinstance(page, Page) or not page.text or not page.text.strip():
        raise RecordError(f"{path}: expected an HTML page with an article, found no article text; save the article as text")
    return _Extract(
        page.text,
        title=page.title or None,
        url=next((link for link in links if link.lower().startswith(("http://", "https://"))), None),
        publisher=page.sitename or None,
        published=page.date or None,
        language=language.lower().replace("_", "-") if language and _LANGUAGE.fullmatch(language) else None,
    )


def _from_pdf(path: Path, data: bytes) -> _Extract:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise RecordError(f"{path}: expected an open PDF, found one that asks for a password; save it without")
        pages: list[str] = []
        length = 0
        for page in reader.pages:
            pages.append(page.extract_text())
            length += len(pages[-1])
            _check_length(path, length)
        title = reader.metadata.title if reader.metadata else None
    except RecordError:
        raise
    except DependencyError as error:  # pypdf reads AES only where a cryptographic library is installed
        raise RecordError(f"{path}: expected an open PDF, found one encrypted with AES; save it without") from error
    except Exception as error:  # a broken PDF raises whatever its bytes lead to, not only pypdf's own errors
        raise RecordError(f"{path}: expected a whole PDF, but {_in_a_line(error)}; fetch the file again") from error
    if not any(page.strip() for page in pages):
        raise RecordError(
            f"{path}: expected a PDF with text, found {len(pages)} pages of pictures only; run text recognition on it first"
        )
    plain_title = isinstance(title, str) and title.strip() and not _NO_TITLE.fullmatch(title.strip())
    return _Extract(_joined_pages(pages), title=title.strip() if title and plain_title else None)


def _joined_pages(pages: list[str]) -> str:
    """Return the text of a PDF's pages, one paragraph a line, blank lines between pages.

    Lines are joined where the setter broke them. A page that ends within a sentence is joined to the next one.
    """
    words = set(re.findall(r"\w+(?:-\w+)*", normalise("\n".join(pages)).lower()))
    out: list[str] = []  # lines and the separators between them
    for page in pages:
        lines = [line for line in (" ".join(raw.split()) for raw in normalise(page).split("\n")) if line]
        joins = wrapped_lines(lines, widest=_WIDEST_PDF_LINE)
        for number, line in enumerate(lines):
            if number:
                joined, gap = joins[number - 1], "\n"
            else:
                joined, gap = bool(out) and wrapped_lines([out[-1], line], widest=0)[0], "\n\n"
            if joined:
                out[-1], gap = _hyphenation(out[-1], line, words)
            out += [gap, line] if out else [line]
    return "".join(out)


def _hyphenation(line: str, following: str, words: set[str]) -> tuple[str, str]:
    """Return a line without the hyphen that the setter added, if it is plain that he did, and what joins it to the next.

    It is plain at a soft hyphen, and where the document has the word in one piece elsewhere and nowhere with the hyphen.
    """
    if line.endswith("\u00ad"):
        return line[:-1], ""
    head, tail = re.search(r"\w+(?=-$)", line[-60:]), re.match(r"\w+", following)
    if head is None or tail is None or not following[0].islower():
        return line, " "
    first, second = head.group().lower(), tail.group().lower()
    plain = first + second in words and f"{first}-{second}" not in words
    return line[:-1] if plain else line, ""


def _in_a_line(error: Exception) -> str:
    message = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {message[:160]}" if message else type(error).__name__
