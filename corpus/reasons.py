"""Reasons: what kept a response from coming, in a few words that stand in a manifest."""

from __future__ import annotations

import re

_LONGEST = 300


def why(error: BaseException) -> str:
    """Return the reason of a failed request in one line, without its address."""
    from scrapy import exceptions

    words = _line(str(error))
    if isinstance(error, exceptions.IgnoreRequest):
        return words or "refused"
    if isinstance(error, exceptions.CannotResolveHostError):
        return "the host's name has no address"
    if isinstance(error, exceptions.DownloadTimeoutError):
        seconds = re.search(r"longer than ([\d.]+) seconds", words)
        return f"no whole answer within {float(seconds[1]):g} seconds" if seconds else "no connection in time"
    if isinstance(error, exceptions.DownloadConnectionRefusedError):
        return "the connection was refused"
    if isinstance(error, exceptions.DownloadCancelledError):
        return "the body has more bytes than max_bytes allows"
    if isinstance(error, exceptions.ResponseDataLossError):
        return "the body ended before the length that was announced"
    if isinstance(error, exceptions.UnsupportedURLSchemeError | exceptions.NotSupported):
        return "the scheme of its address is not fetched"
    if "certificate verify failed" in words:
        return "the host's TLS certificate is not valid"
    if isinstance(error, exceptions.DownloadFailedError):
        return f"the connection broke before the answer was whole ({_inner(words)})"
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _inner(words: str) -> str:
    """Return the kind of error in Twisted's list of failures."""
    kinds = re.findall(r"Failure ([\w.]+)", words)
    return kinds[-1].rpartition(".")[2] if kinds else words[:80]


def _line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
