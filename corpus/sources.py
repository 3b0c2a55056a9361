"""The workspace's `project.toml`: the target, where its coverage comes from, and how politely it is fetched."""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from corpus.errors import UsageError

PROJECT = "project.toml"
NETWORK = ("feed", "sitemap", "urls", "crawl", "gdelt")
LOCAL = ("files", "warc")
TYPES = (*NETWORK, *LOCAL)
"""Kinds of source: what is fetched over the network, and what lies on disk."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_CONTACT = re.compile(r"(?:mailto:)?[^\s@]+@[^\s@]+\.[^\s@]+|https?://\S+")
_PLACEHOLDER = re.compile(r"@example\.(?:org|com|net)\b|//(?:www\.)?example\.(?:org|com|net)\b")
_GDELT = "https://api.gdeltproject.org/api/v2/doc/doc"


class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What positions are about: its name, and the aliases by which a text shows that it is about it."""

    name: str
    aliases: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError("name is empty, expected the treaty's name")
        if not self.aliases or not all(a.strip() for a in self.aliases):
            raise ValueError(
                "aliases is empty or has an empty word, expected the names under which texts speak of the target"
            )


class Fetching(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How network sources are read.

    ``contact`` is an e-mail address or web page that stands in the user agent. ``delay`` and ``timeout`` are seconds,
    ``max_bytes`` counts a response's body, unpacked, ``max_pages`` the addresses asked for a source and run.
    """

    contact: str | None = None
    delay: float = 1.0
    per_host: int = 1
    timeout: float = 60.0
    max_bytes: int = 20_000_000
    max_redirects: int = 5
    retries: int = 3
    max_retry_after: float = 300.0
    max_pages: int = 2000

    def __post_init__(self) -> None:
        if self.contact is not None and not _CONTACT.fullmatch(self.contact):
            raise ValueError(f"contact is {self.contact!r}, expected an e-mail address or a web page")
        if self.contact is not None and _PLACEHOLDER.search(self.contact):
            raise ValueError(f"contact is the placeholder {self.contact!r}, expected an address at which you can be reached")
        for field in ("per_host", "max_bytes", "max_pages"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}, expected 1 or more")
        for field in ("delay", "max_redirects", "retries", "max_retry_after"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field} is {getattr(self, field)}, expected 0 or more")
        if not self.timeout > 0:
            raise ValueError(f"timeout is {self.timeout}, expected more than 0 seconds")


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source, and what travels with its documents: ``publisher``, ``kind`` and ``rights``.

    ``urls`` are feeds, sitemaps, pages or starting points, as ``type`` says; ``paths`` are files and folders relative to
    the workspace. ``allow`` and ``deny`` are regular expressions searched in a page's address; ``depth`` is how many links
    a crawl follows from its start. ``query`` is a search for GDELT, ``days`` how far back it looks; ``endpoint`` is where.
    ``private`` lets a source name addresses of private networks. ``reservations`` set to false fetches what a publisher
    has reserved from text mining; only whoever has the right to may do that.
    """

    name: str
    type: str
    publisher: str | None = None
    kind: str | None = None
    rights: str | None = None
    language: str | None = None
    urls: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    depth: int = 2
    query: str | None = None
    days: int = 7
    endpoint: str = _GDELT
    private: bool = False
    reservations: bool = True

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name is {self.name!r}, expected small letters, digits, - and _, at most 64")
        if self.type not in TYPES:
            raise ValueError(f"type of {self.name!r} is {self.type!r}, expected one of {', '.join(TYPES)}")
        wanted = {"gdelt": "query", "files": "paths", "warc": "paths"}.get(self.type, "urls")
        if not getattr(self, wanted):
            raise ValueError(f"source {self.name!r} of type {self.type} has no {wanted}")
        for url in (*self.urls, self.endpoint):
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ValueError(f"source {self.name!r} has the address {url!r}, expected one with http:// or https://")
        for pattern in (*self.allow, *self.deny):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"source {self.name!r} has the pattern {pattern!r}, which is no regular expression"
                ) from error
        if self.type == "crawl" and not self.allow:
            raise ValueError(f"source {self.name!r} of type crawl has no allow; without a pattern a crawl has no bounds")
        if self.depth < 0 or self.days < 1:
            raise ValueError(f"source {self.name!r} has depth {self.depth} and days {self.days}, expected 0 and 1 or more")

    def takes(self, url: str) -> bool:
        """Return whether the source's patterns let an address in."""
        allowed = not self.allow or any(re.search(p, url) for p in self.allow)
        return allowed and not any(re.search(p, url) for p in self.deny)


class Store(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the corpus lies: a database address, or None for ``corpus.db`` in the workspace."""

    url: str | None = None


class _File(msgspec.Struct, frozen=True, kw_only=True):
    """What collection reads of the file. Tables that other commands read are left to them."""

    target: Target
    fetching: Fetching = msgspec.field(default_factory=Fetching)
    store: Store = msgspec.field(default_factory=Store)
    sources: tuple[Source, ...] = ()


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """A workspace: its folder, and what its `project.toml` says."""

    root: Path
    target: Target
    fetching: Fetching = msgspec.field(default_factory=Fetching)
    store: Store = msgspec.field(default_factory=Store)
    sources: tuple[Source, ...] = ()

    @property
    def snapshots(self) -> Path:
        """The folder of WARC files."""
        return self.root / "snapshots"

    @property
    def store_url(self) -> str:
        """The database's address, as SQLAlchemy takes it."""
        return self.store.url or f"sqlite:///{(self.root / 'corpus.db').as_posix()}"

    def check_contact(self, sources: tuple[Source, ...]) -> None:
        """Make sure that whoever runs a server can tell who asks.

        Raises:
            UsageError: when one of the sources is fetched over the network and no contact is set.
        """
        asking = next((s.name for s in sources if s.type in NETWORK), None)
        if asking is not None and self.fetching.contact is None:
            raise UsageError(
                f"{self.root / PROJECT}: expected a contact in [fetching], which stands in the user agent, found none while "
                f"{asking!r} is to be fetched; set it before asking other people's servers"
            )

    def chosen(self, names: tuple[str, ...] | list[str]) -> tuple[Source, ...]:
        """Return the sources of these names in the file's order; all of them for no names.

        Raises:
            UsageError: on a name that no source has.
        """
        known = [s.name for s in self.sources]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}" if near else f"there are {', '.join(known) or 'none'}"
                raise UsageError(f"{self.root / PROJECT}: expected a source named {name!r}, found none; {hint}")
        return tuple(s for s in self.sources if not names or s.name in names)


def load_project(folder: Path) -> Project:
    """Read a workspace's `project.toml`.

    Raises:
        UsageError: when there is none, it is not TOML, or a value is not what is expected; one sentence that names it.
    """
    path = folder / PROJECT
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder}: expected a workspace with a {PROJECT}, found none; make one with `treaty-stance init {folder}`"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: expected a file that can be read, but {error.strerror}; check its permissions") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8, found a byte that is none; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: expected TOML, but {_lower(error)}; mend that line") from error
    try:
        file = msgspec.convert(raw, _File)
    except msgspec.ValidationError as error:
        raise UsageError(f"{path}: {_place(error, raw)}; mend it, the comments of a new workspace show how") from error
    names = [s.name for s in file.sources]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise UsageError(f"{path}: expected each source's name once, found {twice!r} twice; rename one")
    return Project(root=folder, target=file.target, fetching=file.fetching, store=file.store, sources=file.sources)


def _lower(error: Exception) -> str:
    message = str(error).rstrip(".")
    return message[:1].lower() + message[1:]


def _place(error: msgspec.ValidationError, raw: dict[str, Any]) -> str:
    """Return a library's message with the place in the file: a source is called by its name where it has one."""
    message, _, place = str(error).partition(" - at `$")
    place = place.rstrip("`").lstrip(".")
    number = re.match(r"sources\[(\d+)\]", place)
    entries = raw.get("sources")
    if number and isinstance(entries, list) and isinstance(entries[int(number[1])], dict):
        name = entries[int(number[1])].get("name", f"number {int(number[1]) + 1}")
        place = f"source {name!r}{place[number.end() :]}"
    return f"{place or 'the file'}: {_lower(Exception(message))}"
