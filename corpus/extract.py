"""Extraction: a file on disk read into a Document, and the files of a folder that can be read."""

from __future__ import annotations

import os
from pathlib import Path

from corpus.errors import RecordError, UsageError
from corpus.page import MAX_CHARACTERS, read_page, to_document
from corpus.records import Document

__all__ = ["MAX_BYTES", "MAX_CHARACTERS", "document_paths", "read_document"]

MAX_BYTES = 100_000_000  # a scanned report with pictures stays below

_TYPES = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".pdf": "application/pdf",
}


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
        (skipped if hidden or path.suffix.lower() not in _TYPES else readable).append(path)
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
        mime = _TYPES.get(path.suffix.lower())
        if mime is None:
            known, found = ", ".join(_TYPES), path.suffix or "no suffix"
            raise UsageError(f"{path}: expected a file of type {known}, found {found}; convert the file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise RecordError(f"{path}: expected at most {MAX_BYTES:,} bytes, found {size:,}; split the file")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, but {error.strerror}; check its permissions") from error
    place = f"file:{_relative(path, root)}"
    page = read_page(data, url=place, mime=mime, name=str(path), max_bytes=MAX_BYTES, max_characters=MAX_CHARACTERS)
    return to_document(page, place)


def _relative(path: Path, root: Path | None) -> str:
    name = path.name
    if root is not None and path.resolve().is_relative_to(root.resolve()):
        name = path.resolve().relative_to(root.resolve()).as_posix()
    return os.fsencode(name).decode("utf-8", errors="replace")  # a name in another encoding still makes a URL
