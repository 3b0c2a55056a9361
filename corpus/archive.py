"""Archives: the responses and resources of WARC files that others wrote, read one at a time."""

from __future__ import annotations

import gzip
import io
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from corpus.coding import MAX_BODY, decoded
from corpus.errors import RecordError, UsageError
from corpus.snapshot import Payload, Snapshot, media_type, sha256
from corpus.warc import Headers

Fault = Callable[[str, RecordError], None]
"""Told of a record that cannot be had: its address, or the archive's where the record has none, and why."""

_Stream = gzip.GzipFile | io.BufferedReader
_VERSION = b"WARC/"
_HEAD = 1 << 20  # bytes within which the headers of a record end
_PIECE = 1 << 16
_WEB = ("http:", "https:")


def read_archive(path: Path, *, limit: int = MAX_BODY, fault: Fault | None = None) -> Iterator[Payload]:
    """Yield the responses and resources of a ``.warc`` or ``.warc.gz`` file, packed record by record or as a whole.

    Memory holds one record of at most ``limit`` bytes. Requests, metadata and revisits are passed over, and so are responses
    to DNS and the like. A payload's snapshot has no run and no source; its offset and length count unpacked bytes of the
    archive. A record that is broken or too large goes to ``fault``, and so does an archive that ends within a record or
    is damaged; what stands before is yielded. Without ``fault`` a broken record is raised and a torn end tolerated.

    Raises:
        UsageError: when the file cannot be opened.
        RecordError: when the file is no WARC, or, without ``fault``, on the first record that cannot be read.
    """
    try:
        with path.open("rb") as probe:
            packed = probe.read(2) == b"\x1f\x8b"
        stream: _Stream = gzip.GzipFile(path, "rb") if packed else path.open("rb")
    except OSError as error:
        raise UsageError(f"{path}: expected a WARC file, but {error.strerror}; check the path") from error
    with stream:
        yield from _records(path, stream, limit, fault)


def _records(path: Path, stream: _Stream, limit: int, fault: Fault | None) -> Iterator[Payload]:
    first = True
    while True:
        try:
            line, skipped = _next_record(stream)
            if not line.startswith(_VERSION) and first:
                raise RecordError(f"{path}: expected a WARC file, found no record; check what the file is")
            if skipped and fault is not None:
                fault(
                    str(path),
                    RecordError(f"{path}: expected a record, found {skipped} bytes that are none; fetch the file again"),
                )
            if not line:
                return
            first = False
            payload = _payload(path, stream, line, limit, fault)
        except (EOFError, OSError, zlib.error) as error:  # what gzip raises on a file that is cut off or damaged
            if first:
                raise RecordError(f"{path}: expected a WARC file, found no whole record; fetch the file again") from error
            if fault is not None:
                cut = isinstance(error, EOFError)
                found = "it ends within a record" if cut else f"its packing is damaged ({' '.join(str(error).split())})"
                fault(str(path), RecordError(f"{path}: expected a whole WARC file, but {found}; fetch the file again"))
            return
        if payload is not None:
            yield payload


def _next_record(stream: _Stream) -> tuple[bytes, int]:
    """Return a record's first line, empty at the end, and how many bytes before it are neither record nor line ends."""
    skipped = 0
    while line := stream.readline(_PIECE):
        if line.startswith(_VERSION):
            break
        skipped += len(line.strip(b"\r\n"))
    return line, skipped


def _payload(path: Path, stream: _Stream, line: bytes, limit: int, fault: Fault | None) -> Payload | None:
    """Read the record whose first line has been read; None where it is none to yield.

    Raises:
        EOFError: when the archive ends within the record.
        RecordError: when the record cannot be read and there is no ``fault`` to tell it to.
    """
    from warcio.limitreader import LimitReader
    from warcio.statusandheaders import StatusAndHeadersParser

    start = stream.tell() - len(line)
    fields = StatusAndHeadersParser([], verify=False).parse(LimitReader(stream, _HEAD), line)
    url = (fields.get_header("WARC-Target-URI") or "").strip().strip("<>")
    where = url or f"{path}, byte {start}"
    length = (fields.get_header("Content-Length") or "").strip()
    counted = length.isascii() and length.isdigit() and len(length) < 16
    block = LimitReader(stream, int(length) if counted else 0)
    kind = fields.get_header("WARC-Type")
    payload: Payload | None = None
    problem: RecordError | None = None
    if not counted:
        if not stream.peek(1):
            raise EOFError
        found = length[:20] or "none"
        problem = RecordError(f"{where}: expected a WARC record with its length, found {found}; fetch the file again")
    elif kind == "resource" or (kind == "response" and url.lower().startswith(_WEB)):
        try:
            payload = _read(path, fields, block, where=where, start=start, limit=limit)
        except RecordError as error:
            problem = error
    while block.read(_PIECE):
        pass  # the rest of a record that is not wanted
    if block.limit:
        raise EOFError
    if problem is not None and fault is None:
        raise problem
    if problem is not None and fault is not None:
        fault(url or str(path), problem)
    return payload


def _read(path: Path, fields: Any, block: Any, *, where: str, start: int, limit: int) -> Payload:
    from warcio.bufferedreaders import ChunkedDataReader
    from warcio.statusandheaders import StatusAndHeadersParser

    length = int(block.limit)
    too_large = RecordError(f"{where}: expected at most {limit:,} bytes, found more; raise the limit if it is worth it")
    if length > limit + _HEAD:
        raise too_large
    headers: Headers = ()
    status = None
    if fields.get_header("WARC-Type") == "response":
        try:
            parsed = StatusAndHeadersParser([], verify=False).parse(block)
            status = int(parsed.get_statuscode())
        except (EOFError, ValueError) as error:
            raise RecordError(f"{where}: expected an HTTP response in {path}, found no status; fetch it again") from error
        headers = tuple((str(key), str(value)) for key, value in parsed.headers)
        if (parsed.get_header("transfer-encoding") or "").strip().lower() == "chunked":
            block = ChunkedDataReader(block)
    raw = block.read(limit + 1)
    if len(raw) > limit:
        raise too_large
    body = decoded(raw, headers, where=where, limit=limit)
    name = fields.get_header("WARC-Record-ID") or f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{path.name} {start}')}"
    snapshot = Snapshot(
        id=name.strip().strip("<>"),
        run="",
        source="",
        role="document",
        url=(fields.get_header("WARC-Target-URI") or "").strip().strip("<>"),
        date=fields.get_header("WARC-Date") or "",
        status=status,
        mime=media_type(headers if status is not None else [("content-type", fields.get_header("Content-Type") or "")]),
        digest=sha256(body),
        file=path.name,
        offset=start,
        length=length,
    )
    return Payload(snapshot, headers, body)
