"""Content codings: the body of an HTTP response as its author wrote it, with gzip, deflate, Brotli and Zstandard undone."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

from corpus.errors import RecordError

MAX_BODY = 50_000_000
"""Bytes of a decoded body unless the caller says otherwise: a long report with pictures stays below."""

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW = 1 << 23  # RFC 9659: what a sender of Zstandard over HTTP may ask a reader to hold
_STEP = 256  # bytes given to the Zstandard decoder at once: a block of 4 bytes may stand for 128 KiB


class _BrokenError(Exception):
    """A coded body that does not follow its coding, or ends early."""


class _TooLargeError(Exception):
    """A body that is larger than the limit, found out before it was all unpacked."""


def decoded(body: bytes, headers: Sequence[tuple[str, str]], *, where: str, limit: int = MAX_BODY) -> bytes:
    """Return a body without the codings that its ``Content-Encoding`` headers name, the last one undone first.

    A coding of another name than those above is passed by, since servers put character sets and worse into that header; so
    is gzip or Zstandard over a body that does not begin as one, which a proxy has unpacked already.

    Raises:
        RecordError: when the coding is broken or cut off, or the body has more than ``limit`` bytes; it names ``where``.
    """
    names = [n.strip().lower() for key, value in headers if key.lower() == "content-encoding" for n in value.split(",")]
    for name in reversed(names):
        undo = _DECODERS.get(name)
        if undo is None or not body:
            continue
        try:
            body = undo(body, limit)
        except _TooLargeError:
            raise RecordError(
                f"{where}: expected at most {limit:,} bytes, found more once {name} was unpacked; "
                "raise the limit if it is worth it"
            ) from None
        except _BrokenError as error:
            raise RecordError(f"{where}: expected a body packed with {name}, but {error}; fetch it again") from error
    if len(body) > limit:
        raise RecordError(
            f"{where}: expected at most {limit:,} bytes, found {len(body):,}; raise the limit if it is worth it"
        )
    return body


def _inflated(body: bytes, limit: int, window: int) -> tuple[bytes, bytes]:
    """Return what a stream unpacks to, and the bytes behind its end."""
    decoder = zlib.decompressobj(window)
    try:
        data = decoder.decompress(body, limit + 1)
    except zlib.error as error:
        raise _BrokenError(str(error)) from error
    if len(data) > limit:
        raise _TooLargeError
    if not decoder.eof:
        raise _BrokenError("it is cut off")
    return data, decoder.unused_data


def _gunzip(body: bytes, limit: int) -> bytes:
    out = bytearray()
    while body.startswith(_GZIP):  # several members are one body; whatever else follows the last one is padding
        data, body = _inflated(body, limit - len(out), 16 + zlib.MAX_WBITS)
        out += data
    return bytes(out) if out or not body else body


def _inflate(body: bytes, limit: int) -> bytes:
    try:
        return _inflated(body, limit, zlib.MAX_WBITS)[0]
    except _BrokenError:  # some servers send the stream without zlib's frame
        return _inflated(body, limit, -zlib.MAX_WBITS)[0]


def _unbrotli(body: bytes, limit: int) -> bytes:
    import brotli

    decoder = brotli.Decompressor()
    out = bytearray()
    try:
        out += decoder.process(body, output_buffer_limit=limit + 1)
        while len(out) <= limit and not decoder.is_finished():
            data = decoder.process(b"", output_buffer_limit=limit + 1 - len(out))
            if not data:
                raise _BrokenError("it is cut off")
            out += data
    except brotli.error as error:
        raise _BrokenError("its bytes are not of that form") from error
    if len(out) > limit:
        raise _TooLargeError
    return bytes(out)


def _unzstd(body: bytes, limit: int) -> bytes:
    import zstandard

    if not body.startswith(_ZSTD):
        return body
    out = bytearray()
    while body.startswith(_ZSTD):
        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
        start = 0
        try:
            while start < len(body) and not decoder.eof:
                out += decoder.decompress(body[start : start + _STEP])
                start += _STEP
                if len(out) > limit:
                    raise _TooLargeError
        except zstandard.ZstdError as error:
            raise _BrokenError("its bytes are not of that form") from error
        if not decoder.eof:
            raise _BrokenError("it is cut off")
        body = decoder.unused_data + body[start:]
    return bytes(out)


_DECODERS: dict[str, Callable[[bytes, int], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
