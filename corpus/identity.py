"""Content hashes: how a document, a statement and a file are named."""

from __future__ import annotations

import contextlib
import hashlib
import re
import unicodedata
from pathlib import Path
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_to_bytes, urlsplit

_HEX = 16  # 64 bits: one chance in 10^7 of any clash among a million documents
_MOST_WRAPPERS = 8

# Parameters that say how a reader came, not what he reads. Names that some sites use for pages (id, cid, uid, source,
# session) are none: two addresses of one page are found by their equal texts, two pages taken for one are not.
_TRACKER = re.compile(
    r"(?:utm|mtm|piwik|matomo|hsa|vero|oly)_\w+|utm|_hs(?:enc|mi|fp)|__hs\w+"
    r"|(?:ga|pk|itm|fb_action|at|ns)_(?:source|medium|campaign|term|content|place|kwd|keyword|types|ids)"
    r"|at_(?:link\w*|bbc\w*|ptr\w*|format|custom\d+|creation|variant)|ns_(?:mchannel|linkname|fee)"
    r"|(?:fbc|gc|dc|twc|ttc|yc|ysc)lid|sccid|rdt_cid|gclsrc|msclkid|srsltid|[gw]braid|igsh(?:id)?|li_fat_id|mc_[ce]id|mkt_tok|mibextid"
    r"|_g[al]|_openstat|xtor|cmpid|icid|ncid|ocid|ftag|ito|smid|smtyp|emc|sr_share|spm|s_cid|trk|elqtrack(?:id)?|wt[._]mc(?:_\w+)?"
    r"|_branch_match_id|guccounter|guce_referrer(?:_\w+)?|__twitter_impression|amp_(?:js_v|gsa|markup)|usqp|ref_?src|ref_url|cndid|taid"
    r"|replytocom|phpsessid|jsessionid|aspsessionid\w*",
    re.IGNORECASE,
)
_ORIGIN = re.compile(r"ref|referr?er|source|src|from|via|partner|share", re.IGNORECASE)
_CHANNEL = re.compile(
    r"rss|feeds?|atom|home(?:page)?|newsletter|e?mail|twitter|facebook|fb|linkedin|whatsapp|telegram|reddit|instagram|bluesky"
    r"|share|social|push|app|widget",
    re.IGNORECASE,
)
_REFERRING = re.compile(r"ref|referr?er", re.IGNORECASE)  # newsletters put the name of their host here
_HOST_NAME = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}", re.IGNORECASE)
_EDITION = re.compile(r"^(?:amp|m|mobile)\.")
_PUBLIC_SUFFIX = re.compile(r"(?:ac|co|com|edu|go|gob|gov|mil|ne|net|or|org)\.[a-z]{2}")
_WIKI_MOBILE = re.compile(r"^([a-z-]+)\.m\.(?=wik\w+\.org$)")
_AMP_VIEWER = re.compile(r"(?:www\.)?(?:google(?:\.[a-z]{2,3}){1,2}|bing\.com)")
_AMP_SUFFIX = re.compile(r"\.amp(\.html?)?$", re.IGNORECASE)
_INDEX = re.compile(r"index\.(?:html?|php)", re.IGNORECASE)
_SESSION = re.compile(r";jsessionid=[^/;?]*", re.IGNORECASE)


def digest(*parts: str) -> str:
    """Return 16 hex digits of SHA-256 over the parts, each preceded by its length so that no two lists collide."""
    h = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8")
        h.update(str(len(data)).encode("ascii") + b":" + data)
    return h.hexdigest()[:_HEX]


def file_sha256(path: Path) -> str:
    """Return the full SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def normalise(text: str) -> str:
    """Return text in the one form that is stored: Unicode NFC, line feeds as line ends. Offsets refer to this form."""
    return unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))


def canonical_url(url: str) -> str:
    """Return the one form of a web address that stands for all that lead to the same page.

    Gone are scheme and default port (``https`` stays), credentials, fragment, tracking parameters, the marks of AMP and
    mobile editions and of their caches, ``index.html``, the final slash. Case of the host, percent-encoding, international
    names and the order of parameters are settled; ``www.`` stays, since a site may answer under one form only. What may
    name another page is kept: any other parameter, the case of the path, a port. An address that is not http(s)
    (``file:…``), or cannot be parsed, is returned as it is. The canonical form of a canonical address is itself.
    """
    if not url.strip().lower().startswith(("http://", "https://")):
        return url
    try:
        canonical = _canonical(url.strip())
        for _ in range(_MOST_WRAPPERS):  # a cache within a cache, an AMP page of a mobile host
            again = _canonical(canonical)
            if again == canonical:
                break
            canonical = again
    except ValueError:  # a bracket that belongs to no IPv6 address, a port that is no number
        return url
    return canonical


def site(url: str) -> str | None:
    """Return an address's host without ``www.``, by which outlets are told apart, or None where it names no host."""
    try:
        host = urlsplit(url).hostname
    except ValueError:  # a bracket that belongs to no IPv6 address
        return None
    return host.removeprefix("www.") if host else None


def _canonical(url: str) -> str:
    parts = urlsplit(url)
    host = _host(parts.hostname or "")
    if not host:
        raise ValueError("no host")
    segments = _segments(parts.path)
    query = [(key, value) for key, value in _parameters(parts.query) if not _is_tracker(key.lower(), value, host)]
    cached = _within_cache(host, segments)
    if cached is not None:
        inner, rest = cached
        return _canonical(f"https://{inner}/{rest}" + (f"?{parts.query}" if parts.query else ""))
    scheme, port = parts.scheme.lower(), parts.port
    if port is None or (scheme, port) in (("http", 80), ("https", 443)):
        scheme, port = "https", None
    path = _path(segments)
    ordered = "&".join(
        key + (f"={value}" if value else "") for key, value in sorted(_encoded(query), key=lambda pair: pair[0])
    )
    place = (f"[{host}]" if ":" in host else host) + (f":{port}" if port is not None else "")
    return f"{scheme}://{place}{path or ('/' if ordered else '')}{'?' if ordered else ''}{ordered}"


def _host(host: str) -> str:
    """Return a host's name without the final dot and the prefix of an AMP or mobile edition, in Unicode."""
    host = host.lower().rstrip(".")
    if not host.isascii() or "xn--" in host:
        import idna

        with contextlib.suppress(idna.IDNAError):  # an underscore, an emoji: the name as it stands
            host = idna.decode(idna.encode(host, uts46=True))
    host = _WIKI_MOBILE.sub(r"\1.", host)
    while (bare := _EDITION.sub("", host, count=1)) != host and "." in bare and not _PUBLIC_SUFFIX.fullmatch(bare):
        host = bare
    return host


def _segments(path: str) -> list[str]:
    """Return a path's parts, percent-encoded in one way, without empty ones and dots."""
    out: list[str] = []
    for raw in _SESSION.sub("", path).split("/"):
        part = unquote_to_bytes(raw)
        if part == b"..":
            del out[-1:]
        elif part not in (b"", b"."):
            out.append(quote(part, safe="!=:,-"))
    return out


def _path(segments: list[str]) -> str:
    if segments and _INDEX.fullmatch(segments[-1]):
        segments = segments[:-1]
    if len(segments) > 1 and segments[-1].lower() == "amp":
        segments = segments[:-1]
    elif len(segments) > 2 and segments[0].lower() == "amp":
        segments = segments[1:]
    if segments:
        segments = [*segments[:-1], _AMP_SUFFIX.sub(r"\1", segments[-1])]
    return "".join(f"/{segment}" for segment in segments)


def _within_cache(host: str, segments: list[str]) -> tuple[str, str] | None:
    """Return the host and path of the page that an AMP cache's address holds, or None where it holds none."""
    viewer = _AMP_VIEWER.fullmatch(host) is not None and segments[:1] == ["amp"]
    cache = host.endswith(".cdn.ampproject.org") and segments[:1] in (["c"], ["v"], ["i"], ["wp"])
    rest = segments[1:]
    if not rest or not (viewer or cache):
        return None
    rest = rest[1:] if rest[0] == "s" else rest
    return (unquote(rest[0]), "/".join(rest[1:])) if rest and "." in rest[0] else None


def _parameters(query: str) -> list[tuple[str, str]]:
    # Bytes that are no UTF-8 survive, so that two addresses in an old encoding stay two.
    return parse_qsl(query, keep_blank_values=True, errors="surrogateescape")


def _encoded(query: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(quote_plus(k, errors="surrogateescape"), quote_plus(v, errors="surrogateescape")) for k, v in query]


def _is_tracker(key: str, value: str, host: str) -> bool:
    if _TRACKER.fullmatch(key):
        return True
    if _ORIGIN.fullmatch(key) and _CHANNEL.fullmatch(value):
        return True
    if _REFERRING.fullmatch(key) and _HOST_NAME.fullmatch(value):
        return True
    if key in ("amp", "_amp", "isamp"):
        return value.lower() in ("", "1", "true", "yes", "amp")
    if key == "outputtype":
        return value.lower() == "amp"
    return key == "m" and value in ("0", "1") and ".blogspot." in host


def document_id(url: str, text: str) -> str:
    """Return a document's identity: hash of its canonical URL, a hyphen, hash of its text."""
    return f"{digest(canonical_url(url))}-{digest(text)}"


def statement_id(document: str, start: int, end: int) -> str:
    """Return a statement's identity: its document's id and its character offsets."""
    return f"{document}:{start}-{end}"
