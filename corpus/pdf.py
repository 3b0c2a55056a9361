"""PDF: the text of its pages in one piece, and where each page begins in it."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

from corpus.charset import storable
from corpus.identity import normalise
from corpus.segment import wrapped_lines

_WIDEST_LINE = 200  # small print on a landscape page
_NO_TITLE = re.compile(r"untitled|\(.*\)|microsoft word\b.*|.*\.(?:docx?|pdf|odt|indd|tex|dvi)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PdfText:
    """What a PDF says: its text, its title unless a program made it up, and the code point at which each page begins."""

    text: str
    title: str | None
    pages: tuple[int, ...]


class LockedPdfError(Exception):
    """The PDF asks for a password, or is encrypted in a way that cannot be read here. The message says which."""


def read_pdf(data: bytes, *, check_length: Callable[[int], object]) -> PdfText:
    """Read a PDF. ``check_length`` is called with the number of characters after each page and may raise.

    A broken PDF raises whatever its bytes lead pypdf to, of no promised type.

    Raises:
        LockedPdfError: when it is encrypted.
    """
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise LockedPdfError("one that asks for a password")
        pages: list[str] = []
        length = 0
        for page in reader.pages:
            pages.append(storable(page.extract_text()))
            length += len(pages[-1])
            check_length(length)
        title = reader.metadata.title if reader.metadata else None
    except DependencyError as error:  # pypdf reads AES only where a cryptographic library is installed
        raise LockedPdfError("one encrypted with AES") from error
    title = storable(title).strip() if isinstance(title, str) else ""
    text, starts = joined_pages(pages)
    return PdfText(text, title if title and not _NO_TITLE.fullmatch(title) else None, starts)


def joined_pages(pages: list[str]) -> tuple[str, tuple[int, ...]]:
    """Return the text of a PDF's pages, one paragraph a line, blank lines between pages, and the start of each page in it.

    Lines are joined where the setter broke them. A page that ends within a sentence is joined to the next one. A page
    without text starts where the next one does, or where the text ends.
    """
    words = set(re.findall(r"\w+(?:-\w+)*", normalise("\n".join(pages)).lower()))
    out: list[str] = []  # lines and the separators between them
    starts: list[int | None] = []
    length = 0
    for page in pages:
        lines = [line for line in (" ".join(raw.split()) for raw in normalise(page).split("\n")) if line]
        joins = wrapped_lines(lines, widest=_WIDEST_LINE)
        if not lines:
            starts.append(None)
        for number, line in enumerate(lines):
            if number:
                joined, gap = joins[number - 1], "\n"
            else:
                joined, gap = bool(out) and wrapped_lines([out[-1], line], widest=0)[0], "\n\n"
            if joined:
                shortened, gap = _hyphenation(out[-1], line, words)
                length += len(shortened) - len(out[-1])
                out[-1] = shortened
            if out:
                out.append(gap)
                length += len(gap)
            if not number:
                starts.append(length)
            out.append(line)
            length += len(line)
    offsets: list[int] = []
    for start in reversed(starts):
        length = length if start is None else start
        offsets.append(length)
    return "".join(out), tuple(reversed(offsets))


def _hyphenation(line: str, following: str, words: set[str]) -> tuple[str, str]:
    """Return a line without the hyphen that the setter added, if it is plain that he did, and what joins it to the next.

    It is plain at a soft hyphen, and where the document has the word in one piece elsewhere and nowhere with the hyphen.
    """
    if line.endswith("\u00ad") and unicodedata.is_normalized("NFC", line[-2:-1] + following[:1]):
        return line[:-1], ""
    head, tail = re.search(r"\w+(?=-$)", line[-60:]), re.match(r"\w+", following)
    if head is None or tail is None or not following[0].islower():
        return line, " "
    first, second = head.group().lower(), tail.group().lower()
    plain = first + second in words and f"{first}-{second}" not in words
    return line[:-1] if plain else line, ""
