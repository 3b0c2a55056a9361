"""HTML: the article of a page, what the page says of itself, and what a wall would show in its place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from corpus.charset import storable
from corpus.walls import Sight, Wall, find_wall, may_be_wall

_LONGEST_FIELD = 1_000  # characters of a title or a name; what is longer is something else
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*")
_CANONICAL = "//link[translate(@rel, 'CANOIL', 'canoil') = 'canonical']/@href | //meta[@property = 'og:url']/@content"
_UNSEEN = frozenset({"script", "style", "template", "head", "svg"})
_INLINE = frozenset({  # text runs on through them
    "a", "abbr", "b", "bdi", "cite", "code", "em", "font", "i", "label", "mark", "q", "small", "span", "strong", "sub",
    "sup", "u",
})  # fmt: skip
_MOST_ATTRIBUTES = 2_000
_SMALL = 50_000  # characters: even a page of nothing but attributes takes a few seconds
# What a parser takes for one tag, up to its end; scripts and styles are passed over, since theirs are none.
_TAG = re.compile(
    r"<(?:script|style)\b(?:[^<]++|<(?!/(?:script|style)))*+"
    r"""|(?P<name><[A-Za-z][^\s/>]*+)(?:[^>=]++|=\s*+(?:"[^"]*+(?:"|$)|'[^']*+(?:'|$))?+)*+""",
    re.IGNORECASE,
)
_LONGEST_LOOK = 40_000  # characters of visible text: a wall shows what it is at once
# Character references to 128 … 159 mean Windows-1252, as browsers read them; XML has control characters there.
_WINDOWS_REFERENCE = re.compile(r"&#(?:(1(?:2[89]|[345]\d))|[xX]0*([89][0-9a-fA-F]));")


@dataclass(frozen=True, slots=True)
class Article:
    """What a page's markup offers of a document. ``text`` is empty where no article was found; ``wall`` says why not."""

    text: str
    title: str | None = None
    author: str | None = None
    published: str | None = None
    language: str | None = None
    publisher: str | None = None
    url: str | None = None
    wall: Wall | None = None


def read_html(
    source: str, *, address: str | None, headers: Sequence[tuple[str, str]] = (), latest: str | None = None
) -> Article:
    """Read a page. The tree is parsed once, and the article extracted once, by trafilatura.

    ``address`` is where the page was fetched, None for a file; a date of publication after the day ``latest`` (ISO 8601) is
    not believed. A page that cannot be parsed raises whatever it leads the parsers to, of no promised type.
    """
    from trafilatura import bare_extraction, load_html
    from trafilatura.settings import Document as Extract

    source = _uncrowded(_WINDOWS_REFERENCE.sub(_windows, source).lstrip())
    tree = load_html(source)
    if tree is None:
        return Article("")
    # A page's own statement of when it first appeared: a date found in its sentences is as likely the one of the signing.
    # The bound is far off, so that the result does not hang on the day of reading.
    dates: dict[str, Any] = {"original_date": True, "extensive_search": False, "max_date": "2100-01-01"}
    page = bare_extraction(tree, url=address, with_metadata=True, include_comments=False, date_extraction_params=dates)
    found = page if isinstance(page, Extract) else Extract()
    text = storable(found.text or "")
    language = next((str(value) for value in tree.xpath("/html/@lang | /html/@*[name() = 'xml:lang']")), "").strip()
    return Article(
        text,
        title=_field(found.title),
        author=_field(found.author),
        published=None if not found.date or (latest is not None and found.date > latest[:10]) else found.date,
        language=language.lower().replace("_", "-") if _LANGUAGE.fullmatch(language) else None,
        publisher=_field(found.sitename),
        url=_canonical([str(link).strip() for link in tree.xpath(_CANONICAL)], address),
        wall=_wall(tree, source, text, address or "", headers),
    )


def _wall(tree: Any, source: str, text: str, address: str, headers: Sequence[tuple[str, str]]) -> Wall | None:
    titles = tuple(
        " ".join(text.split())[:200]
        for text in (tree.findtext(".//title") or "", *(node.text_content() for node in tree.xpath("//h1[position() < 9]")))
    )
    if not may_be_wall(text, titles, address):
        return None
    names = {name.lower(): value for name, value in headers}
    return find_wall(Sight(text, lambda: _visible(tree), titles, source, address, names))


def _visible(tree: Any) -> str:
    """Return what a page shows, a block a line: menus and banners too, scripts not, ``noscript`` as if scripts were off."""
    from lxml.etree import iterwalk

    out: list[str] = []
    length = 0
    walk = iterwalk(tree, events=("start", "end"))
    for event, node in walk:
        tag = node.tag if isinstance(node.tag, str) else "script"  # comments and instructions
        said = node.text if event == "start" else node.tail
        if event == "start" and tag in _UNSEEN:
            walk.skip_subtree()
            continue
        if tag not in _INLINE:
            out.append("\n")
        if said:
            out.append(said)
            length += len(said)
            if length > _LONGEST_LOOK:
                break
    lines = (" ".join(line.split()) for line in _joined(out).split("\n"))
    return "\n".join(line for line in lines if line)


def _joined(parts: list[str]) -> str:
    # A line end within a text is white space; only blocks end lines.
    return "".join(part if part == "\n" else " ".join(part.split("\n")) for part in parts)


def _canonical(links: list[str], address: str | None) -> str | None:
    """Return the address that a page gives as its own, where it can be believed.

    A file's is believed as it stands. A fetched page speaks for its own site only, or anyone could write under another's
    address; and a link from an inner page to the front page is a template's mistake, which would make one page of a site.
    """
    for link in links:
        try:
            whole = urljoin(address, link) if address else link
            parts, here = urlsplit(whole), urlsplit(address or whole)
            host, home = _site(parts.hostname or ""), _site(here.hostname or "")
        except ValueError:
            continue
        if not link or parts.scheme.lower() not in ("http", "https") or not host:
            continue
        related = host == home or host.endswith("." + home) or home.endswith("." + host)
        fronted = parts.path in ("", "/") and not parts.query and (here.path not in ("", "/") or here.query)
        if related and not fronted:
            return whole
    return None


def _site(host: str) -> str:
    return re.sub(r"^(?:www|m|mobile|amp)\.", "", host.lower())


def _uncrowded(source: str) -> str:
    """Return markup without the attributes of tags that have thousands: the parser compares each with all before it."""
    if len(source) < _SMALL:
        return source
    out: list[str] = []
    done = 0
    for tag in _TAG.finditer(source):
        start, end = tag.span()
        if end - start > _MOST_ATTRIBUTES and tag["name"] and _parts(tag.group()) > _MOST_ATTRIBUTES:
            out += [source[done:start], tag["name"]]
            done = end
    return "".join([*out, source[done:]]) if out else source


def _parts(tag: str) -> int:
    return sum(map(tag.count, " \t\n\f/="))


def _windows(reference: re.Match[str]) -> str:
    code = int(reference[1]) if reference[1] else int(reference[2], 16)
    return bytes([code]).decode("cp1252", "ignore")


def _field(value: object) -> str | None:
    text = " ".join(storable(value).split()) if isinstance(value, str) else ""
    return text if 0 < len(text) <= _LONGEST_FIELD else None
