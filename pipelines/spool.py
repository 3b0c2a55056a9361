"""The spool: copies of inputs that cannot be read twice where they are: standard input, pipes, and files elsewhere."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from corpus.errors import RecordError, UsageError

PREFIX = "input-"
"""How the names of the copies begin."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*(?:::|://)")
_PIECE = 1 << 20
_SILENCE = 60  # seconds without a byte after which a server is given up


def is_address(name: str) -> bool:
    """Say whether an input's name is an address that fsspec can open, and no file here."""
    return _ADDRESS.match(name) is not None and not Path(name).exists()


def address_shown(address: str) -> str:
    """Return an address as it may be shown and kept: without user, password and query, which may be secrets."""
    parts = urlsplit(address)
    return (
        parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl() if parts.netloc else address
    )


def copy_stream(stream: BinaryIO, folder: Path, number: int) -> Path:
    """Copy a stream into the spool, as the input of this number, and return its path.

    Raises:
        RecordError: when there is no room for it.
    """
    path = folder / f"{PREFIX}{number}"
    try:
        with path.open("wb") as copy:
            shutil.copyfileobj(stream, copy, _PIECE)
    except OSError as error:
        raise RecordError(
            f"{path}: expected to copy an input that can be read only once, but {error.strerror or error}; make room and "
            "run it again"
        ) from error
    return path


def fetch(address: str, folder: Path, number: int, *, suffixes: str = "") -> Path:
    """Fetch a file by fsspec into the spool, as the input of this number, and return its path.

    Raises:
        UsageError: naming the address, when it cannot be had or is a folder.
    """
    path = folder / f"{PREFIX}{number}{suffixes}"
    name = address_shown(address)
    try:
        from fsspec.core import url_to_fs  # type: ignore[import-untyped]

        options: dict[str, Any] = {}
        if address.startswith(("http://", "https://")):
            import aiohttp

            # by default the whole of a file has five minutes
            options["client_kwargs"] = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=_SILENCE)}
        system, place = url_to_fs(address, **options)
        system.get_file(place, str(path))
    except ImportError as error:
        raise UsageError(f"{name}: expected a file that fsspec can open, but {_line(error, address)}") from error
    except Exception as error:  # what a storage's driver raises is its own
        raise UsageError(
            f"{name}: expected a file that can be read, but {_line(error, address)}; check the address and its credentials"
        ) from error
    if not path.is_file():
        raise UsageError(f"{name}: expected a file, found a folder; name its files one by one")
    return path


def _line(error: Exception, address: str) -> str:
    said = " ".join(str(error).split()).replace(address, address_shown(address)).rstrip(". ")
    return f"{type(error).__name__}: {said[:300]}" if said else type(error).__name__
