"""Acquisition of what lies on disk: files and folders, and the pages of web archives that name the target."""

from __future__ import annotations

import html
import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from corpus.archive import read_archive
from corpus.charset import declared_charset, decode
from corpus.errors import RecordError, UsageError
from corpus.extract import document_paths
from corpus.runs import Outcome, Run
from corpus.snapshot import Payload, Snapshot, SnapshotWriter
from corpus.sources import PROJECT, Project, Source

_MEDIA_TYPES = {
    ".html": "text/html", ".htm": "text/html", ".pdf": "application/pdf", ".txt": "text/plain", ".md": "text/markdown",
}  # fmt: skip
_ARCHIVES = (".warc", ".warc.gz")
_MARKUP = ("text/html", "application/xhtml+xml")
_PAGES = (*_MARKUP, "application/pdf", "application/x-pdf", "text/plain", "text/markdown", "text/x-markdown")
_UNSAID = (None, "application/octet-stream", "binary/octet-stream")  # the bytes have to say what they are
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))  # may stand within a word
_UNPACKED = ("content-encoding", "content-length")  # describe the body as it was sent


@dataclass(frozen=True)
class _Desk:
    """What one source of one run works with."""

    project: Project
    source: Source
    run: Run
    writer: SnapshotWriter
    register: Callable[[Snapshot], None]
    tell: Callable[[Outcome], None]
    seen: set[str]
    advance: Callable[[], None]
    limit: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", self.project.fetching.max_bytes)

    def note(self, url: str, outcome: str, reason: str) -> None:
        """Say what became of an address that gives no snapshot."""
        self.tell(Outcome(run=self.run.id, source=self.source.name, url=url, outcome=outcome, reason=reason))
        self.done(url)

    def done(self, url: str) -> None:
        self.seen.add(url)
        self.advance()


def acquire_files(
    project: Project,
    source: Source,
    run: Run,
    *,
    writer: SnapshotWriter,
    register: Callable[[Snapshot], None],
    note: Callable[[Outcome], None],
    seen: set[str],
    advance: Callable[[], None],
) -> None:
    """Make a snapshot of each HTML, PDF, text and Markdown file that a source's ``paths`` name, folders with all below them.

    A file's address is ``file:`` and its path in the workspace, or below the folder that was named; addresses in ``seen``
    are passed over, and those done are added. A file that cannot be read or is larger than the project's limit is noted as
    ``failed``; the hidden files of a folder and those of other types are counted in one note for the folder. ``advance``
    is called for each address.

    Raises:
        UsageError: when a named path is not there, or a snapshot cannot be written.
    """
    desk = _Desk(project, source, run, writer, register, note, seen, advance)
    paths = _named(project, source)
    addresses = _Addresses(project.root)
    for path in paths:
        files, skipped = document_paths(path) if path.is_dir() else ([path], [])
        for file in files:
            address = addresses.of(file, path)
            if address is not None and address not in seen:
                _acquire_file(desk, file, address)
        if skipped:
            address = addresses.of(path, path)
            if address is not None and address not in seen:
                known = ", ".join(_MEDIA_TYPES)
                desk.note(address, "irrelevant", f"files passed over, being hidden or none of {known}: {len(skipped)}")


def acquire_archives(
    project: Project,
    source: Source,
    run: Run,
    *,
    writer: SnapshotWriter,
    register: Callable[[Snapshot], None],
    note: Callable[[Outcome], None],
    seen: set[str],
    advance: Callable[[], None],
    keep_all: bool = False,
) -> None:
    """Copy from WARC files those pages that may be about the target; ``paths`` name archives, or folders of them.

    A page is a response with status 200, or a resource, that is HTML, PDF or text. It is copied, its content coding undone,
    where each word of one of the target's aliases stands somewhere in it, and with ``keep_all`` in any case; whether it is
    about the target is for ingest to judge, which reads the text. A PDF is always copied, since its text is packed. The
    other records are noted as ``irrelevant``, broken ones as ``failed``. Of several captures of an address the first counts,
    in the order of the archives. The snapshot's hints ``archive`` and ``archived`` give the archive's name and the date of
    the capture. One record is in memory at a time; ``note`` is called for each that is not copied and may gather them.

    Raises:
        UsageError: when a named path is not there, or a snapshot cannot be written.
    """
    desk = _Desk(project, source, run, writer, register, note, seen, advance)
    words = [_words(alias) for alias in project.target.aliases]
    addresses = _Addresses(project.root)
    for path in _named(project, source):
        for archive in _archives(path):
            address = addresses.of(archive, path)
            if address is not None:
                _acquire_archive(desk, archive, address, words, keep_all=keep_all)


def _named(project: Project, source: Source) -> list[Path]:
    """Return a source's paths, each of which is there."""
    paths = [project.root / path for path in source.paths]
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path}: source {source.name!r} expects a file or folder there, found none; check {PROJECT}")
    return paths


class _Addresses:
    """Gives each file one address that no other file of the source has."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.abspath(root)
        self._files: set[str] = set()
        self._given: set[str] = set()

    def of(self, file: Path, named: Path) -> str | None:
        """Return a file's address, None where it has one already; ``named`` is the path through which it was found.

        The address is relative to the workspace or, outside it, to what holds the named path; it is the whole path where
        that address has been given to another file.
        """
        path = os.path.abspath(file)
        if path in self._files:
            return None
        self._files.add(path)
        base = self._root if Path(path).is_relative_to(self._root) else os.path.dirname(os.path.abspath(named))
        address = f"file:{_readable(os.path.relpath(path, base))}"
        if address in self._given:
            address = f"file:{_readable(path)}"
        self._given.add(address)
        return address


def _readable(name: str) -> str:
    """Return a file's name with each byte that is no UTF-8 as % and its hexadecimal digits."""
    return re.sub("[\udc80-\udcff]", lambda byte: f"%{ord(byte[0]) - 0xDC00:02X}", name)


def _acquire_file(desk: _Desk, file: Path, address: str) -> None:
    if not file.is_file():
        return desk.note(address, "failed", f"{file}: expected a file, found something else; name a file or a folder")
    mime = _MEDIA_TYPES.get(file.suffix.lower())
    if mime is None:
        known, found = ", ".join(_MEDIA_TYPES), file.suffix or "no suffix"
        return desk.note(address, "failed", f"{file}: expected a file of type {known}, found {found}; convert the file")
    try:
        with file.open("rb") as stream:
            body = stream.read(desk.limit + 1)
    except OSError as error:
        reason = f"{file}: expected a file that can be read, but {error.strerror}; check its permissions"
        return desk.note(address, "failed", reason)
    if len(body) > desk.limit:
        reason = f"{file}: expected at most {desk.limit:,} bytes, found more; raise max_bytes in {PROJECT} or split the file"
        return desk.note(address, "failed", reason)
    desk.register(desk.writer.write_resource(address, source=desk.source.name, role="document", mime=mime, body=body))
    return desk.done(address)


def _archives(path: Path) -> list[Path]:
    """Return a named archive, or the archives below a folder in the order of their paths."""
    if not path.is_dir():
        return [path]
    return sorted(
        (p for p in path.rglob("*") if p.name.lower().endswith(_ARCHIVES) and p.is_file()),
        key=lambda p: p.relative_to(path).as_posix(),
    )


def _acquire_archive(desk: _Desk, archive: Path, address: str, words: Sequence[Sequence[str]], *, keep_all: bool) -> None:
    def fault(where: str, error: RecordError) -> None:
        url = address if where == str(archive) else where
        if url not in desk.seen:
            desk.note(url, "failed", str(error))

    if not archive.is_file():
        return desk.note(
            address, "failed", f"{archive}: expected a WARC file, found something else; name a file or a folder"
        )
    try:
        archive.open("rb").close()
    except OSError as error:
        reason = f"{archive}: expected a file that can be read, but {error.strerror}; check its permissions"
        return desk.note(address, "failed", reason)
    try:
        for payload in read_archive(archive, limit=desk.limit, fault=fault):
            url = payload.snapshot.url or f"{address}#{payload.snapshot.offset}"
            if url in desk.seen:
                continue
            against = _no_page(payload)
            if against is None and not keep_all and not _may_name(payload, words):
                against = "no alias of the target stands in it"
            if against is None:
                desk.register(_copied(desk, payload, url, archive.name))
                desk.done(url)
            else:
                desk.note(url, "irrelevant", against)
    except RecordError as error:  # no archive at all
        fault(str(archive), error)


def _no_page(payload: Payload) -> str | None:
    """Return why a record is no page that could be read, None where it may be one."""
    snapshot = payload.snapshot
    if snapshot.status not in (200, None):
        return f"the archived response has the status {snapshot.status}"
    if snapshot.status is None and urlsplit(snapshot.url).scheme not in ("http", "https", "file"):
        return "the archived resource has no address of a page"
    if snapshot.mime in _PAGES or snapshot.mime in _UNSAID:
        return None
    return f"the archived response is of type {snapshot.mime}"


def _may_name(payload: Payload, names: Sequence[Sequence[str]]) -> bool:
    """Return whether each word of some name stands in a page, at least as part of other words or of the markup.

    It is quick and lets too much through, never too little: what cannot be read here is left to ingest.
    """
    if payload.body[:1024].lstrip().startswith(b"%PDF-"):
        return True
    markup = payload.snapshot.mime in _MARKUP or payload.body[:1024].lstrip().startswith(b"<")
    text = decode(payload.body, header=declared_charset(payload.headers), markup=markup)
    if text is None:
        return True
    text = _folded(html.unescape(text) if markup and "&" in text else text)
    return any(all(word in text for word in words) for words in names)


def _words(name: str) -> list[str]:
    folded = _folded(name)
    return re.findall(r"\w+", folded) or [folded.strip()]


def _folded(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text).translate(_UNSEEN)
    return text.casefold()


def _copied(desk: _Desk, payload: Payload, url: str, archive: str) -> Snapshot:
    archived = payload.snapshot
    hints = {"archive": archive, **({"archived": archived.date} if archived.date else {})}
    if archived.status is None:
        return desk.writer.write_resource(
            url, source=desk.source.name, role="document", mime=archived.mime, body=payload.body, hints=hints
        )
    headers = [(f"X-Archived-{key}" if key.lower() in _UNPACKED else key, value) for key, value in payload.headers]
    return desk.writer.write_response(
        url,
        source=desk.source.name,
        role="document",
        status=archived.status,
        reason="OK",
        headers=headers,
        body=payload.body,
        hints=hints,
    )
