"""Snapshots: what was fetched, kept as WARC records whose own headers suffice to rebuild the corpus without a network.

A record's gzip member is built in memory and written in one piece, so a process that is killed leaves whole records and
at most one torn tail. Besides the standard's headers each record has ``WARC-Run``, ``WARC-Source-Name``, ``WARC-Role``,
``WARC-Content-Digest``, ``WARC-Media-Type``, ``WARC-Status`` and ``WARC-Hints``, and ``WARC-Address`` where the address is
no URI. The standard lets readers pass over headers that they do not know.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import hashlib
import os
import re
import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import quote

import msgspec

from corpus.charset import storable
from corpus.coding import MAX_BODY, decoded
from corpus.errors import RecordError, UsageError
from corpus.warc import Headers, http_head, line, member, members, read_record, repair, unline, warcinfo

__all__ = [
    "ROLES", "Payload", "Snapshot", "SnapshotWriter", "media_type", "read_payload", "repair", "scan", "sha256",
]  # fmt: skip

ROLES = ("document", "feed", "sitemap", "listing", "robots", "policy", "redirect")
"""What a response is fetched for. Only those of role ``document`` may become documents."""

_NAMESPACE = uuid.UUID("6f1c1a52-9d0e-5d0b-8a39-4b8f1e6b7c11")
_SUFFIX = ".warc.gz"
_PROFILE = "http://netpreserve.org/warc/1.1/revisit/"
_OF_THE_BODY = ("content-length", "content-encoding", "content-type")
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+-]+")
_URI = "/:?#[]@!$&'()*+,;=%~"  # what may stand in a URI besides letters, digits and _.-


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One WARC record, as registered: what was fetched, and where in ``snapshots/`` it stands.

    ``digest`` is SHA-256 of the payload with its content coding undone, or as received where that cannot be done. ``offset``
    and ``length`` are bytes of the record's gzip member. ``refers_to`` is the snapshot that holds the same payload in full.
    ``hints`` is what a listing said of the page: title, published, language, publisher, requested.
    """

    id: str
    run: str
    source: str
    role: str
    url: str
    date: str
    digest: str
    file: str
    offset: int
    length: int
    status: int | None = None
    mime: str | None = None
    refers_to: str | None = None
    hints: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Payload:
    """What a snapshot holds: the response's headers as received, and its body with the content coding undone."""

    snapshot: Snapshot
    headers: Headers
    body: bytes


def sha256(body: bytes) -> str:
    """Return a payload's digest: ``sha256:`` and 64 hexadecimal digits."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def media_type(headers: Sequence[tuple[str, str]]) -> str | None:
    """Return the first ``Content-Type`` in small letters and without parameters; None where there is none in due form."""
    value = next((v for name, v in headers if name.lower() == "content-type"), "")
    bare = value.partition(";")[0].strip().lower()
    return bare if _MEDIA_TYPE.fullmatch(bare) else None


class SnapshotWriter:
    """Writes one run's records into new files of its own; a context manager, for one thread.

    ``known`` returns the latest snapshot of an address, by which an unchanged payload is kept as a ``revisit``.
    ``max_bytes`` is where the next file begins, ``limit`` the size of a decoded body. Nobody else writes to these files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        run: str,
        clock: Callable[[], datetime.datetime],
        known: Callable[[str], Snapshot | None],
        max_bytes: int = 1_000_000_000,
        limit: int = MAX_BODY,
    ) -> None:
        self._folder = folder
        self._run = run
        self._clock = clock
        self._known = known
        self._max_bytes = max_bytes
        self._limit = limit
        self._stem = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', run)}-{secrets.token_hex(4)}"  # two writers of a run keep apart
        self._number = 0
        self._file: BinaryIO | None = None
        self._name = ""
        self._size = 0
        self._closed = False

    def write_response(
        self,
        url: str,
        *,
        source: str,
        role: str,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]],
        body: bytes,
        hints: Mapping[str, str] = {},
    ) -> Snapshot:
        """Write an HTTP response as received, content coding and all, only without the transfer coding.

        A response with the payload of ``known(url)``, and one with status 304, becomes a ``revisit``. The same response
        written a second time in one run is the snapshot that it already is, and nothing is written.

        Raises:
            UsageError: when the file cannot be written.
        """
        try:
            content = decoded(body, headers, where=url, limit=self._limit)
        except RecordError:
            content = body  # kept as evidence; whoever reads it is told again
        head = http_head(status, reason, headers)
        mime = media_type(headers)
        return self._write("response", url, source, role, content, body, head, status=status, mime=mime, hints=hints)

    def write_resource(
        self, url: str, *, source: str, role: str, mime: str | None, body: bytes, hints: Mapping[str, str] = {}
    ) -> Snapshot:
        """Write a file's bytes as a ``resource`` record, or a ``revisit`` where they are those of ``known(url)``.

        Raises:
            UsageError: when the file cannot be written.
        """
        mime = media_type([("content-type", mime or "")])
        return self._write("resource", url, source, role, body, body, None, status=None, mime=mime, hints=hints)

    def close(self) -> None:
        """Flush the last file to disk and close it. Closing twice does nothing."""
        self._closed = True
        self._finish_file()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _write(
        self,
        kind: str,
        url: str,
        source: str,
        role: str,
        content: bytes,
        body: bytes,
        head: bytes | None,
        *,
        status: int | None,
        mime: str | None,
        hints: Mapping[str, str],
    ) -> Snapshot:
        if role not in ROLES:
            raise ValueError(f"role is {role!r}, expected one of {', '.join(ROLES)}")
        url, source = storable(url), storable(source)
        known = self._known(url)
        digest = known.digest if known and status == 304 else sha256(content)
        # 304 and 200 say the same of a page: which of two sources asked for it first must not change its record's name
        as_known = known.status if known and status == 304 else status
        identity = msgspec.json.encode([self._run, source, role, url, digest, as_known]).decode()
        snapshot_id = f"urn:uuid:{uuid.uuid5(_NAMESPACE, identity)}"
        if known and known.id == snapshot_id and self._stands(known):
            return known
        repeats = known is not None and known.digest == digest and (status == 304 or self._stands(known))
        original = (known.refers_to or known.id) if known and repeats else None
        snapshot = Snapshot(
            id=snapshot_id,
            run=self._run,
            source=source,
            role=role,
            url=url,
            date=_stamp(self._clock()),
            status=status,
            mime=known.mime if known and status == 304 else mime,
            digest=digest,
            refers_to=original,
            file="",
            offset=0,
            length=0,
            hints={storable(k): storable(v) for k, v in hints.items()},
        )
        fields = _fields(snapshot)
        if known and original:
            kind = "revisit"
            fields["WARC-Profile"] = _PROFILE + ("server-not-modified" if status == 304 else "identical-payload-digest")
            fields["WARC-Refers-To"] = f"<{original}>"
            fields["WARC-Refers-To-Target-URI"] = fields["WARC-Target-URI"]
            if known.id == original:
                fields["WARC-Refers-To-Date"] = known.date
        if status != 304 or not original:
            fields["WARC-Payload-Digest"] = sha256(body)
        content_type = (mime or "application/octet-stream") if head is None else "application/http; msgtype=response"
        packed = member(kind, fields, content_type, head, b"" if original else body)
        offset = self._append(packed)
        return msgspec.structs.replace(snapshot, file=self._name, offset=offset, length=len(packed))

    def _stands(self, known: Snapshot) -> bool:
        """Return whether a record's file is still there: no payload is left out in favour of one that is gone."""
        try:
            return (self._folder / known.file).stat().st_size >= known.offset + known.length
        except OSError:
            return False

    def _append(self, packed: bytes) -> int:
        """Write a member to the current file, or the next one where it is full; return the member's offset."""
        if self._closed:
            raise ValueError("the writer is closed")
        if self._size + len(packed) > self._max_bytes:
            self._finish_file()
        try:
            if self._file is None:
                self._start_file()
            offset = self._size
            self._put(packed)
        except OSError as error:
            raise self._fault(error) from error
        return offset

    def _put(self, packed: bytes) -> None:
        assert self._file is not None  # noqa: S101 - for the type checker
        try:
            self._file.write(packed)
            self._file.flush()
        except OSError:  # a full disk: the file ends again where its last whole record ends, and is not written to again
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                os.truncate(file.fileno(), self._size)
            with contextlib.suppress(OSError):
                file.close()
            raise
        self._size += len(packed)

    def _start_file(self) -> None:
        self._name = f"{self._stem}-{self._number:05d}{_SUFFIX}"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file = (self._folder / self._name).open("xb")
        self._number += 1
        self._size = 0
        fcntl.flock(self._file, fcntl.LOCK_EX)  # while it is held, nobody takes a record in the making for a torn one
        self._put(warcinfo(self._name, run=self._run, date=_stamp(self._clock())))

    def _finish_file(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            try:
                with file:
                    os.fsync(file.fileno())
            except OSError as error:
                raise self._fault(error) from error

    def _fault(self, error: OSError) -> UsageError:
        return UsageError(
            f"{self._folder / self._name}: expected room for a snapshot, but {error.strerror or error}; "
            "free space or mend the folder's permissions"
        )


def read_payload(
    folder: Path, snapshot: Snapshot, *, find: Callable[[str], Snapshot | None], limit: int = MAX_BODY
) -> Payload:
    """Read a snapshot's payload from where it stands; for a ``revisit`` the body is that of ``find(refers_to)``.

    After a 304 the headers are those of the first response, each replaced where the 304 sent it again (RFC 9111, 3.2), but
    for those that describe the body.

    Raises:
        RecordError: when the record is not there, is not the registered one, refers to one that is not there, or its body
            is broken or larger than ``limit``.
    """
    headers, raw = read_record(folder / snapshot.file, snapshot.offset, snapshot.length, name=snapshot.id, limit=limit)
    if snapshot.refers_to is None:
        body = decoded(raw, headers, where=snapshot.url, limit=limit)
        if snapshot.digest != sha256(body) and snapshot.digest != sha256(raw):  # raw: larger than the writer unpacked
            raise RecordError(
                f"{folder / snapshot.file}, byte {snapshot.offset}: expected a payload with the digest {snapshot.digest}, "
                "found another; restore the file"
            )
        return Payload(snapshot, headers, body)
    original = find(snapshot.refers_to)
    if original is None or original.refers_to is not None or original.digest != snapshot.digest:
        found = "none" if original is None else "one without that payload"
        raise RecordError(
            f"{snapshot.url}: expected the snapshot {snapshot.refers_to} that {snapshot.id} repeats, found {found}; "
            "restore the WARC file that holds it"
        )
    whole = read_payload(folder, original, find=find, limit=limit)
    if snapshot.status == 304:
        headers = tuple(h for h in headers if h[0].lower() not in _OF_THE_BODY)
        sent = {name.lower() for name, _ in headers}
        headers = (*(h for h in whole.headers if h[0].lower() not in sent), *headers)
    return Payload(snapshot, headers, whole.body)


def scan(path: Path, start: int = 0, *, damage: Callable[[RecordError], None] | None = None) -> Iterator[Snapshot]:
    """Yield the snapshots of a file's whole records from an offset on, in their order; a torn tail ends it.

    Damage within the file is passed over up to the next whole record, and told to ``damage``. Records without our headers
    (warcinfo, another program's) are passed over.

    Raises:
        UsageError: when the file cannot be opened.
    """
    end = start
    for offset, length, fields in members(path, start):
        if offset != end and damage is not None:
            gap = f"found {offset - end} bytes that are none"
            damage(RecordError(f"{path}: expected a record at byte {end}, {gap}; restore the file"))
        end = offset + length
        snapshot = _registered(fields, file=path.name, offset=offset, length=length)
        if snapshot is not None:
            yield snapshot


def _fields(snapshot: Snapshot) -> dict[str, str]:
    """Return a snapshot as WARC headers."""
    uri = quote(snapshot.url, safe=_URI)
    fields = {
        "WARC-Record-ID": f"<{snapshot.id}>",
        "WARC-Date": snapshot.date,
        "WARC-Target-URI": uri,
        "WARC-Run": line(snapshot.run),
        "WARC-Source-Name": line(snapshot.source),
        "WARC-Role": snapshot.role,
        "WARC-Content-Digest": snapshot.digest,
    }
    if uri != snapshot.url:
        fields["WARC-Address"] = line(snapshot.url)
    if snapshot.status is not None:
        fields["WARC-Status"] = str(snapshot.status)
    if snapshot.mime is not None:
        fields["WARC-Media-Type"] = snapshot.mime
    if snapshot.hints:
        fields["WARC-Hints"] = msgspec.json.encode(snapshot.hints).decode()
    return fields


def _registered(fields: Mapping[str, str], *, file: str, offset: int, length: int) -> Snapshot | None:
    """Return a snapshot from its WARC headers, None where they are not ours."""
    try:
        return Snapshot(
            id=fields["WARC-Record-ID"].strip("<>"),
            run=unline(fields["WARC-Run"]),
            source=unline(fields["WARC-Source-Name"]),
            role=fields["WARC-Role"],
            url=unline(fields.get("WARC-Address") or fields["WARC-Target-URI"]),
            date=fields["WARC-Date"],
            status=int(fields["WARC-Status"]) if "WARC-Status" in fields else None,
            mime=fields.get("WARC-Media-Type"),
            digest=fields["WARC-Content-Digest"],
            refers_to=fields["WARC-Refers-To"].strip("<>") if "WARC-Refers-To" in fields else None,
            file=file,
            offset=offset,
            length=length,
            hints=msgspec.json.decode(fields.get("WARC-Hints", "{}"), type=dict[str, str]),
        )
    except (KeyError, ValueError):  # msgspec's errors are ValueErrors
        return None


def _stamp(now: datetime.datetime) -> str:
    if now.tzinfo is None:
        raise ValueError("the clock gives a time without a zone, expected one with")
    return now.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
