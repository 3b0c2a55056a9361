"""Machine-readable reservations: what a publisher says in a form made for programs about mining the text of a page.

Robots tags in a response's headers and in its HTML, and the TDM Reservation Protocol (W3C Community Group, final report of
10 May 2024): header, meta element, and rules for a whole site in ``/.well-known/tdmrep.json``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from corpus.errors import RecordError

AGENT = "treaty-stance"
"""The name under which robots.txt and robots tags may address us."""

POLICY_PATH = "/.well-known/tdmrep.json"

# noimageai reserves pictures alone, nosnippet and noarchive what is shown to others: none of them is about reading a text.
_RESERVED = ("noai", "noindex", "none")
_VALUED = ("unavailable_after", "max-snippet", "max-image-preview", "max-video-preview")  # a colon follows, and no agent
_HEAD = 200_000  # bytes of a page in which meta elements are looked for
_META = re.compile(rb"<meta\b[^>]*\b(?:robots|tdm-reservation|" + AGENT.encode() + rb")\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a site: a pattern for paths, as in robots.txt, and whether they are reserved."""

    location: str
    reserved: bool


def reserved(headers: Sequence[tuple[str, str]], html: bytes | None = None) -> str | None:
    """Return how a response reserves its text, in a few words, or None where it does not.

    Robots tags count when they address all agents or ours. A ``tdm-reservation`` in the HTML overrides that of the headers.

    Args:
        headers: Names and values of the response, in any case.
        html: The body, decoded; only its first 200,000 bytes are looked at. What is no HTML has no meta elements.
    """
    for name, value in headers:
        if name.lower() == "x-robots-tag":
            word = _robots(value)
            if word:
                return f"X-Robots-Tag says {word}"
    tdm = next((("header", v) for k, v in reversed(headers) if k.lower() == "tdm-reservation"), None)
    for name, content in _metas(html or b""):
        if name in ("robots", AGENT):
            word = _robots(content, prefixed=False)
            if word:
                return f"the page's {name} meta element says {word}"
        elif name == "tdm-reservation":
            tdm = ("meta element", content)
    if tdm is not None and tdm[1].strip() == "1":
        return f"tdm-reservation is 1 in the page's {tdm[0]}"
    return None


def parse_tdmrep(body: bytes) -> tuple[Rule, ...]:
    """Read the rules of a site's ``tdmrep.json``, in their order. Entries that are no rules are passed over.

    Raises:
        RecordError: when it is no JSON list.
    """
    try:
        entries = json.loads(body.decode("utf-8-sig"))
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RecordError(f"{POLICY_PATH}: expected JSON, but {error}; the site has no rules that can be read") from error
    if isinstance(entries, dict):  # one rule without its list is a common slip, and plain enough
        entries = [entries]
    if not isinstance(entries, list):
        raise RecordError(f"{POLICY_PATH}: expected a list of rules, found {type(entries).__name__}; it says nothing")
    rules = []
    for entry in entries:
        if not isinstance(entry, dict):
            continue
        location, value = entry.get("location"), entry.get("tdm-reservation")
        if isinstance(location, str) and str(value) in ("0", "1") and not isinstance(value, bool):
            rules.append(Rule(location, str(value) == "1"))
    return tuple(rules)


def reserved_by(rules: Iterable[Rule], url: str) -> str | None:
    """Return the reason when a site's rules reserve an address, else None. As in robots.txt the longest pattern decides.

    Of two that are equally long the one that does not reserve counts. ``*`` stands for anything, a final ``$`` for the end.
    """
    parts = urlsplit(url)
    path = unquote((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    matching = [rule for rule in rules if _matches(rule.location, path)]
    if not matching:
        return None
    rule = max(matching, key=lambda r: (len(r.location), not r.reserved))
    return f"{POLICY_PATH} reserves {rule.location}" if rule.reserved else None


def _matches(location: str, path: str) -> bool:
    pattern = unquote(location if location.startswith(("/", "*")) else f"/{location}")
    end = pattern.endswith("$")
    pieces = pattern.removesuffix("$").split("*")
    # Without a regular expression: a pattern of many stars must not cost more than one pass.
    if not path.startswith(pieces[0]):
        return False
    at = len(pieces[0])
    if len(pieces) == 1:
        return not end or at == len(path)
    for piece in pieces[1:-1]:
        at = path.find(piece, at)
        if at < 0:
            return False
        at += len(piece)
    last = pieces[-1]
    return path.endswith(last) and len(path) - len(last) >= at if end else path.find(last, at) >= 0


def _robots(value: str, *, prefixed: bool = True) -> str | None:
    """Return the word of a robots tag that reserves the page from us, or None. An agent's name rules what follows it."""
    agent = AGENT
    for part in value.split(","):
        word = part.strip().lower()
        name, colon, rest = word.partition(":")
        if prefixed and colon and name.strip() not in _VALUED:
            agent, word = name.strip(), rest.strip()
        if agent in (AGENT, "*") and word in _RESERVED:
            return word
    return None


def _metas(html: bytes) -> list[tuple[str, str]]:
    """Return name (in small letters) and content of a page's meta elements."""
    head = html[:_HEAD]
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not wide and not _META.search(head):  # most pages; PDFs too
        return []
    from lxml import etree

    text = head.decode("utf-16", errors="replace").encode() if wide else head
    parser = etree.HTMLParser(encoding="utf-8" if wide else "iso-8859-1", huge_tree=False)
    try:
        root = etree.fromstring(text, parser)
    except etree.LxmlError:
        return []
    if root is None:
        return []
    return [(str(e.get("name", "")).strip().lower(), str(e.get("content", ""))) for e in root.iter("meta")]
