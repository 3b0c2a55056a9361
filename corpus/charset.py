"""Charset: bytes into text, by what they are before what they are said to be."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence

from corpus.language import detect_language

_STATEFUL = ("iso2022", "hz")  # seven-bit encodings whose bytes are all ASCII, and so valid UTF-8
_UNSAFE = ("utf-7", "utf7", "punycode", "idna", "unicode_escape", "raw_unicode_escape")  # hide markup, or are none of pages
_LATIN = ("cp1252", "latin-1", "iso8859-1", "iso8859-15")
_WESTERN = frozenset(
    ("ca", "da", "de", "en", "es", "eu", "fi", "fr", "ga", "gl", "is", "it", "nl", "no", "pt", "sv")
)  # languages that Windows-1252 is made for
_STRAY = "treaty-stance-stray-bytes"
_SAMPLE = 60_000  # bytes that the detector sees
_SEQUENCE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_MARKUP = r"<(?:script|style)\b(?:[^<]++|<(?!/(?:script|style)))*+|<[^<>]*>"
_TAG, _TAG_IN_BYTES = re.compile(_MARKUP, re.IGNORECASE), re.compile(_MARKUP.encode(), re.IGNORECASE)
_DOUBLED = re.compile(
    r"[\u00c2-\u00f4][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# What Windows-1252 has where Latin-1 has control characters.
_TO_LATIN = {ord(bytes([b]).decode("cp1252")): b for b in range(0x80, 0xA0) if b not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}


def declared_charset(headers: Sequence[tuple[str, str]]) -> str | None:
    """Return the codec that the last ``Content-Type`` header names, or None where it names none that is known."""
    from w3lib.encoding import http_content_type_encoding

    values = [value for name, value in headers if name.lower() == "content-type"]
    return http_content_type_encoding(values[-1]) if values else None


def decode(body: bytes, *, header: str | None = None, markup: bool = True) -> str | None:
    """Return the text of a response, or None where no charset can be told from its bytes.

    In this order: a byte order mark; UTF-8 where the bytes are valid UTF-8, whatever is declared (text in another charset is
    next to never); the header's charset and then, in ``markup``, the page's own, where the bytes are valid in it and the
    letters are those of some language; UTF-8 with a few stray bytes, which are read as Windows-1252; detection.
    """
    from w3lib.encoding import html_body_declared_encoding, read_bom

    bom, mark = read_bom(body)
    if bom is not None and mark is not None:
        body = body[len(mark) :]
        marked = _attempt(body, bom)
        if marked is not None:
            return marked
    text = _attempt(body, "utf-8")
    if text is not None and b"\x1b" not in body and b"~{" not in body:
        return _undoubled(text)
    inside = html_body_declared_encoding(body[:8192]) if markup else None
    declared = [name for name in (header, inside) if name is not None and not name.lower().startswith(_UNSAFE)]
    for name in declared:
        if name.lower().startswith(_STATEFUL) and (stateful := _attempt(body, name)) is not None:
            return stateful
    if text is not None:
        return _undoubled(text)
    for name in declared:
        text = _attempt(body, name)
        if text is not None and _plausible(text, name):
            return text
    return _mended(body) or _detected(body, markup=markup)


def _attempt(body: bytes, name: str) -> str | None:
    try:
        return body.decode(name)
    except (UnicodeDecodeError, LookupError):
        return None


def _plausible(text: str, name: str) -> bool:
    """Tell whether letters are mixed as in a language: in the Latin charsets, accented ones are the minority of any word.

    Cyrillic or Greek bytes read as Latin-1 give words of accented letters only.
    """
    if name.lower() not in _LATIN:
        return True
    plain = _TAG.sub(" ", text[: 10 * _SAMPLE])
    foreign = len(re.findall(r"[\u00c0-\u00ff]{3,}", plain))
    words = len(re.findall(r"[A-Za-z\u00c0-\u00ff]*[\u00c0-\u00ff][A-Za-z\u00c0-\u00ff]*", plain))
    return not (words >= 3 and foreign > 0.3 * words)


def _mended(body: bytes) -> str | None:
    """Return UTF-8 text in which a few bytes are stray, those read as Windows-1252; None where they are not a few."""
    good = _SEQUENCE.findall(body)
    stray = sum(byte >= 0x80 for byte in body) - sum(map(len, good))
    return body.decode("utf-8", _STRAY) if stray <= len(good) // 10 else None


def _as_windows(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.start + 1].decode("cp1252", "replace"), error.start + 1


codecs.register_error(_STRAY, _as_windows)


def _detected(body: bytes, *, markup: bool) -> str | None:
    from charset_normalizer import from_bytes

    sample = (_TAG_IN_BYTES.sub(b" ", body[: 4 * _SAMPLE]) if markup else body)[:_SAMPLE]
    best = from_bytes(sample).best()
    if best is None or best.encoding.lower().startswith(_UNSAFE):
        return None
    # Charsets of Latin letters differ in a few signs, which the detector weighs badly; the language says which is meant.
    western = _attempt(sample, "cp1252")
    if western is not None and _plausible(western, "cp1252") and detect_language(western) in _WESTERN:
        return _attempt(body, "cp1252") or _attempt(body, best.encoding)
    return _attempt(body, best.encoding)


def _undoubled(text: str) -> str:
    """Return text that was UTF-8 read as Latin-1 and written as UTF-8 again, as it was before; other text as it is.

    It is plain only where every character outside ASCII belongs to such a pair, and there are three at least.
    """
    try:
        text.encode("ascii")
        return text
    except UnicodeEncodeError as error:  # the quickest way to the first sign outside ASCII, which settles most pages
        if not _DOUBLED.match(text, error.start):
            return text
    if len(_DOUBLED.findall(text)) < 3:
        return text
    try:
        return text.translate(_TO_LATIN).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def storable(text: str) -> str:
    """Return text without NUL, which no database stores, its surrogate pairs joined and lone surrogates as U+FFFD."""
    if "\0" in text:
        text = text.replace("\0", "")
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
