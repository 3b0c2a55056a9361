"""Content hashes: how a document, a statement and a file are named."""

from __future__ import annotations

import hashlib
import unicodedata
from pathlib import Path
from urllib.parse import urldefrag

_HEX = 16  # 64 bits: one chance in 10^7 of any clash among a million documents


def digest(*parts: str) -> str:
    """Return 16 hex digits of SHA-256 over the parts, each preceded by its length so that no two lists collide."""
    h = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8")
        h.update(str(len(data)).encode("ascii") + b":" + data)
    return h.hexdigest()[:_HEX]


def file_sha256(path: Path) -> str:
    """Return the full SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def normalise(text: str) -> str:
    """Return text in the one form that is stored: Unicode NFC, line feeds as line ends. Offsets refer to this form."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def canonical_url(url: str) -> str:
    """Return the address without what does not identify a page: tracking parameters, fragment, host case, final slash.

    The slash goes only where it ends the address; before a query it stays. Addresses that are not http(s) (``file:…``)
    and those that cannot be parsed are returned as they are.
    """
    if not url.lower().startswith(("http://", "https://")):
        return url
    from courlan import normalize_url  # deferred: pulls in a table of top-level domains

    try:
        canonical = str(normalize_url(urldefrag(url).url, strict=False, trailing_slash=False))
    except ValueError:  # a bracket that belongs to no IPv6 address, for example
        return url
    return canonical if "?" in canonical else canonical.rstrip("/")


def document_id(url: str, text: str) -> str:
    """Return a document's identity: hash of its canonical URL, a hyphen, hash of its text."""
    return f"{digest(canonical_url(url))}-{digest(text)}"


def statement_id(document: str, start: int, end: int) -> str:
    """Return a statement's identity: its document's id and its character offsets."""
    return f"{document}:{start}-{end}"
