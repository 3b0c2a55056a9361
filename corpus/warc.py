"""WARC files packed record by record: one gzip member made, found, read; and the tail cut that a killed writer leaves."""

from __future__ import annotations

import fcntl
import io
import os
import re
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from corpus.errors import RecordError, UsageError

Headers = tuple[tuple[str, str], ...]
"""HTTP headers as received: name and value, in their order."""

_VERSIONS = ["WARC/1.1", "WARC/1.0"]
_MAGIC = b"\x1f\x8b\x08"  # gzip with the only method there is
# What may stand in a file whose first record was torn: its beginning, then nothing, zeros (the power failed) or another.
_TORN = re.compile(rb"(?:\x1f\x8b?)?(?:\x1f\x8b\x08|\0*\Z)")
_HEAD = 1 << 20  # bytes of a record within which its headers end
_BUFFER = 1 << 18


def member(kind: str, fields: Mapping[str, str], content_type: str, head: bytes | None, body: bytes) -> bytes:
    """Return a WARC record as one gzip member; ``head`` is the HTTP head, None for a record without one.

    ``fields`` are its headers but for type, lengths, content type and the block's digest.
    """
    from warcio.warcwriter import WARCWriter

    if head is None and kind == "revisit":
        head = b""  # without a head the library would announce the body that it leaves out
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True, warc_version="1.1")
    record = writer.create_warc_record(
        fields.get("WARC-Target-URI", ""),
        kind,
        payload=io.BytesIO(body),
        length=len(body),
        warc_content_type=content_type,
        warc_headers_dict=dict(fields),
        http_headers=None if head is None else _Head(head),
    )
    writer.write_record(record)
    return out.getvalue()


def warcinfo(name: str, *, run: str, date: str) -> bytes:
    """Return the record that a file begins with: which program wrote it, and for which run."""
    info = {
        "software": f"treaty-stance/{_version()}",
        "format": "WARC File Format 1.1",
        "conformsTo": "http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/",
        "isPartOf": line(run),
    }
    fields = {
        "WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}>",  # no other file has its name
        "WARC-Date": date,
        "WARC-Filename": name,
    }
    body = "".join(f"{key}: {value}\r\n" for key, value in info.items()).encode()
    return member("warcinfo", fields, "application/warc-fields", None, body)


class _Head:
    """An HTTP head for warcio with its bytes as they are: the library's own class rewrites what is not ASCII."""

    def __init__(self, data: bytes) -> None:
        self.headers_buff = data

    def compute_headers_buffer(self, header_filter: Any = None) -> None:
        """Do nothing: the bytes are there."""


def http_head(status: int, reason: str, headers: Sequence[tuple[str, str]]) -> bytes:
    """Return status line and headers as bytes: Latin-1 where that has the characters, else UTF-8.

    A line break within a value becomes a space. ``Transfer-Encoding`` is renamed, since the body is kept without it.
    """
    lines = [f"HTTP/1.1 {status} {reason}".rstrip()]
    for name, value in headers:
        token = re.sub(r"[^!#$%&'*+.^_`|~0-9A-Za-z-]", "-", name) or "-"
        lines.append(f"{'X-Crawler-' if token.lower() == 'transfer-encoding' else ''}{token}: {value}")
    out = []
    for line in lines:
        clean = re.sub(r"[\r\n\0]+", " ", line)
        try:
            out.append(clean.encode("latin-1"))
        except UnicodeEncodeError:
            out.append(clean.encode("utf-8", errors="replace"))
    return b"\r\n".join([*out, b"", b""])


def members(path: Path, start: int = 0) -> Iterator[tuple[int, int, dict[str, str]]]:
    """Yield offset, length and WARC headers of each whole record from an offset on, passing over whatever is none.

    Raises:
        UsageError: when the file cannot be opened.
    """
    try:
        stream = path.open("rb", buffering=_BUFFER)
    except OSError as error:
        raise UsageError(f"{path}: expected a WARC file, but {error.strerror}; check the path") from error
    with stream:
        yield from _members(stream, start)


def repair(path: Path) -> int:
    """Cut what stands behind a file's last whole record, as a writer leaves it that was killed; return the bytes cut.

    A file that is being written is left alone, and so is damage before the last whole record.

    Raises:
        UsageError: when the file cannot be opened for writing.
        RecordError: when nothing in the file is a record, and it is no torn first one: it is not ours to cut.
    """
    try:
        stream = path.open("r+b", buffering=_BUFFER)
    except OSError as error:
        raise UsageError(f"{path}: expected a WARC file to mend, but {error.strerror}; check the path") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 0
        end = max((offset + length for offset, length, _ in _members(stream, 0)), default=0)
        size = stream.seek(0, os.SEEK_END)
        if end == 0 and size:
            stream.seek(0)
            if size > 4096 or not _TORN.match(stream.read(4096)):
                raise RecordError(f"{path}: expected a WARC file packed record by record, found none; move it elsewhere")
        if end < size:
            stream.truncate(end)
            os.fsync(stream.fileno())
        return size - end


def read_record(path: Path, offset: int, length: int, *, name: str, limit: int) -> tuple[Headers, bytes]:
    """Return the HTTP headers and the payload, as received, of the record of this name that stands at an offset.

    Raises:
        RecordError: when it does not stand there whole, or is larger than ``limit`` bytes.
    """
    from warcio.recordloader import ArcWarcRecordLoader
    from warcio.statusandheaders import StatusAndHeadersParser

    where = f"{path}, byte {offset}"
    try:
        with path.open("rb") as stream:
            stream.seek(offset)
            packed = stream.read(length)
    except OSError as error:
        raise RecordError(f"{where}: expected a snapshot, but {error.strerror}; restore the WARC file") from error
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        data = decoder.decompress(packed, limit + _HEAD)
        if len(data) == limit + _HEAD:
            raise RecordError(f"{where}: expected at most {limit:,} bytes, found more; raise the limit if it is worth it")
        if not decoder.eof:
            raise EOFError
        record = ArcWarcRecordLoader().parse_record_stream(io.BytesIO(data), known_format="warc", no_record_parse=True)
        found = (record.rec_headers.get_header("WARC-Record-ID") or "").strip("<>")
        headers: Headers = ()
        if record.length and (record.content_type or "").startswith("application/http"):
            parsed = StatusAndHeadersParser([], verify=False).parse(record.raw_stream)
            headers = tuple((str(key), str(value)) for key, value in parsed.headers)
        body = record.raw_stream.read()
    except RecordError:
        raise
    except Exception as error:  # zlib's and warcio's own, and whatever else bytes that are no record lead to
        raise RecordError(f"{where}: expected a snapshot, found no whole record; restore the WARC file") from error
    if found != name:
        raise RecordError(f"{where}: expected the snapshot {name}, found {found or 'none'}; restore the WARC file")
    return headers, body


def line(value: str) -> str:
    """Return a value as it can stand in a header: itself, or JSON where it would not come back as it is."""
    if value and value.isprintable() and value == value.strip() and not value.startswith('"'):
        return value
    return msgspec.json.encode(value).decode()


def unline(value: str) -> str:
    """Return the value that ``line`` wrote."""
    return msgspec.json.decode(value, type=str) if value.startswith('"') else value


def _members(stream: BinaryIO, start: int) -> Iterator[tuple[int, int, dict[str, str]]]:
    from warcio.statusandheaders import StatusAndHeadersParser

    parser = StatusAndHeadersParser(_VERSIONS)
    offset: int | None = start
    while offset is not None:
        found = _whole(stream, offset)
        if found is None:
            offset = _next_magic(stream, offset + 1)
        else:
            length, head = found
            yield offset, length, dict(parser.parse(io.BytesIO(head)).headers)
            offset += length


def _whole(stream: BinaryIO, offset: int) -> tuple[int, bytes] | None:
    """Return the length of the record's member at an offset and the bytes that it begins with; None where none is whole."""
    stream.seek(offset)
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    head = bytearray()
    length = 0
    while not decoder.eof:
        data = stream.read(1 << 14)
        if not data:
            return None
        length += len(data)
        try:
            unpacked = decoder.decompress(data)
        except zlib.error:
            return None
        head += unpacked[: _HEAD - len(head)]
        if not head.startswith(tuple(v.encode()[: len(head)] for v in _VERSIONS)):
            return None
    return (length - len(decoder.unused_data), bytes(head)) if head else None


def _next_magic(stream: BinaryIO, start: int) -> int | None:
    """Return the offset of the next bytes that may begin a gzip member."""
    stream.seek(start)
    kept = b""
    while data := stream.read(_BUFFER):
        block = kept + data
        found = block.find(_MAGIC)
        if found >= 0:
            return start - len(kept) + found
        start += len(data)
        kept = block[-2:]
    return None


def _version() -> str:
    try:
        return metadata.version("treaty-stance")
    except metadata.PackageNotFoundError:
        return "unknown"
