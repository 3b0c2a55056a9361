"""A web server on loopback with everything that goes wrong on the web: for tests that fetch over real HTTP."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Headers = dict[str, str]
Answer = Callable[["Handler"], None]

ROBOTS = "User-agent: *\nDisallow: /\n\nUser-agent: treaty-stance\nDisallow: /forbidden/\n"
CHANGED = "Sun, 01 Nov 2026 10:00:00 GMT"
HTML = "text/html; charset=utf-8"


class Handler(BaseHTTPRequestHandler):
    """Looks the path up in the site's answers; notes each request."""

    protocol_version = "HTTP/1.1"
    web: Web

    def do_GET(self) -> None:
        with self.web.lock:
            self.web.requests.append(
                Seen(self.headers["Host"].partition(":")[0], self.path, dict(self.headers.items()), time.monotonic())
            )
        answer = self.web.answers.get(self.path.partition("?")[0])
        if answer is None:
            self.give(b"<h1>Not found</h1>", status=404)
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answer(self)

    def give(self, body: bytes | str, *, status: int = 200, kind: str = HTML, headers: Headers | None = None) -> None:
        """Send a whole answer. Headers given with an empty value are left out."""
        data = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}.items():
            if value:
                self.send_header(name, value)
        self.end_headers()
        if status != 304:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    host: str
    path: str
    headers: Headers
    at: float


@dataclass
class Web:
    """A running site: its answers by path, and the requests that it has seen."""

    answers: dict[str, Answer]
    requests: list[Seen] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the address of a path."""
        return f"http://{host}:{self.port}{path}"

    def paths(self, host: str | None = None) -> list[str]:
        """Return the paths asked for, in the order of arrival."""
        return [r.path for r in self.requests if host is None or r.host == host]

    def seen(self, path: str) -> list[Seen]:
        """Return the requests for a path."""
        return [r for r in self.requests if r.path == path]


@contextlib.contextmanager
def serve(answers: dict[str, Answer], *, robots: str | int = ROBOTS) -> Iterator[Web]:
    """Serve a site on a free port of 127.0.0.1. ``robots`` is the text of robots.txt, or the status it fails with."""
    web = Web({"/robots.txt": page(robots, kind="text/plain") if isinstance(robots, str) else failing(robots), **answers})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"web": web}))
    server.daemon_threads = True
    server.block_on_close = False
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def article(title: str, *, head: str = "", links: str = "") -> str:
    """Return a page with some text under a title."""
    text = f"The council met about {title}. It decided nothing, and will meet again when the leaves have fallen."
    return f"<html><head><title>{title}</title>{head}</head><body><h1>{title}</h1><p>{text}</p>{links}</body></html>"


# Answers


def page(body: bytes | str, *, kind: str = HTML, **headers: str) -> Answer:
    """Give the same body each time. Header names are written with underscores."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.give(body, kind=kind, headers=named)


def failing(status: int, **headers: str) -> Answer:
    """Fail each time."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.give(f"status {status}", status=status, kind="text/plain", headers=named)


def then(*answers: Answer) -> Answer:
    """Give one answer after the other, and the last one ever after."""
    left = list(answers)

    def answer(handler: Handler) -> None:
        with handler.web.lock:
            now = left.pop(0) if len(left) > 1 else left[0]
        now(handler)

    return answer


def redirect(to: str, status: int = 302) -> Answer:
    """Send elsewhere."""
    return lambda handler: handler.give(b"", status=status, headers={"Location": to})


def conditional(body: str, *, etag: str = "", changed: str = "", **headers: str) -> Answer:
    """Give the body with its validators, and 304 to who has it."""
    named = {"ETag": etag, "Last-Modified": changed, **{n.replace("_", "-"): v for n, v in headers.items()}}

    def answer(handler: Handler) -> None:
        has = handler.headers.get("If-None-Match") if etag else handler.headers.get("If-Modified-Since")
        if has and has == (etag or changed):
            handler.give(b"", status=304, headers={**named, "Content-Type": "", "Content-Length": ""})
        else:
            handler.give(body, headers=named)

    return answer


def dripping(handler: Handler) -> None:
    """Send a byte now and then, for longer than anybody should wait."""
    handler.send_response(200)
    handler.send_header("Content-Type", HTML)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b".")
        handler.wfile.flush()
        time.sleep(0.1)


def resetting(handler: Handler) -> None:
    """Break the connection in the middle of the body."""
    handler.send_response(200)
    handler.send_header("Content-Type", HTML)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    handler.wfile.write(b"<html>" + b"." * 2000)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def lying(handler: Handler) -> None:
    """Announce a longer body than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Type", HTML)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(article("half a page").encode())
    handler.close_connection = True


def huge(size: int, *, announced: bool) -> Answer:
    """Send a page of many bytes in small pieces, never whole in memory, with its length in the header or chunked."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", HTML)
        handler.send_header(*("Content-Length", str(size)) if announced else ("Transfer-Encoding", "chunked"))
        handler.end_headers()
        piece = b"x" * 65536
        for _ in range(size // len(piece)):
            handler.wfile.write(piece if announced else b"10000\r\n" + piece + b"\r\n")
        if not announced:
            handler.wfile.write(b"0\r\n\r\n")

    return answer


def bomb(size: int) -> bytes:
    """Return gzip of many zeros, packed piece by piece."""
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    piece = bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range(size // len(piece))) + packer.flush()


# Documents of other kinds


def rss(items: list[str], *, head: str = "") -> str:
    """Return a feed of RSS 2.0 with items given as XML."""
    body = "".join(f"<item>{item}</item>" for item in items)
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{head}{body}</channel></rss>'


def item(link: str, title: str = "An item", date: str = "Fri, 20 Nov 2026 08:00:00 GMT", guid: str = "") -> str:
    """Return an item of RSS 2.0."""
    dated = f"<pubDate>{date}</pubDate>" if date else ""
    named = f"<guid isPermaLink='false'>{guid}</guid>" if guid else ""
    return f"<title>{title}</title><link>{link}</link>{dated}{named}"


def sitemap(locations: list[str]) -> str:
    """Return a sitemap."""
    body = "".join(f"<url><loc>{location}</loc></url>" for location in locations)
    return f'<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</urlset>'


def index(locations: list[str]) -> str:
    """Return an index of sitemaps."""
    body = "".join(f"<sitemap><loc>{location}</loc></sitemap>" for location in locations)
    return f'<?xml version="1.0"?><sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{body}</sitemapindex>'


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    + "]>"
)
"""A document type whose entity a11 stands for 200 thousand million letters."""


def troubled() -> dict[str, Answer]:
    """Return the answers of a site on which much goes wrong. Pages under ``/ok/`` are well."""
    answers: dict[str, Answer] = {f"/ok/{n}": page(article(f"matter {n}")) for n in range(1, 13)}
    answers |= {
        # Pages
        "/etag": conditional(article("an entity tag"), etag='"v1"'),
        "/modified": conditional(article("a date of change"), changed=CHANGED),
        "/moves": then(conditional(article("a move"), changed=CHANGED), redirect("/moved")),
        "/moved": conditional(article("a move"), changed=CHANGED),
        "/fresh": page(article("freshness"), Cache_Control="max-age=3600", Date=formatdate(usegmt=True)),
        "/packed": page(gzip.compress(article("packing").encode()), Content_Encoding="gzip"),
        "/forbidden/page": page(article("what robots.txt forbids")),
        "/busy": then(failing(429, Retry_After="1"), page(article("a busy hour"))),
        "/busy-date": then(
            lambda h: h.give("later", status=503, headers={"Retry-After": formatdate(time.time() + 1.5, usegmt=True)}),
            page(article("a busy day")),
        ),
        "/down-once": then(failing(500), page(article("a short fall"))),
        "/down": failing(503),
        "/gone": failing(410),
        "/chain/1": redirect("/chain/2"),
        "/chain/2": redirect("/chain/3", 301),
        "/chain/3": page(article("the end of a chain")),
        "/loop/1": redirect("/loop/2"),
        "/loop/2": redirect("/loop/1"),
        "/odd-scheme": redirect("file:///etc/passwd"),
        "/drip": dripping,
        "/charset": page(article("Müller").encode("latin-1"), kind="text/html; charset=utf-8"),
        "/bomb": page(bomb(64 << 20), Content_Encoding="gzip"),
        "/huge": huge(200 << 20, announced=True),
        "/huge-chunked": huge(200 << 20, announced=False),
        "/reset": resetting,
        "/lie": lying,
        "/empty": page(b""),
        "/noai": page(article("no machines"), X_Robots_Tag="noai"),
        "/noai-other": page(article("no other machines"), X_Robots_Tag="otherbot: noai"),
        "/noindex": page(article("no index", head='<meta name="robots" content="noindex">')),
        "/reserved/page": page(article("a reserved path")),
        "/.well-known/tdmrep.json": page(
            json.dumps([{"location": "/reserved/*", "tdm-reservation": 1}]), kind="application/json"
        ),
        # Listings
        "/feed": page(rss([item("/ok/1", guid="one"), item("ok/2", guid="one"), item("/ok/1?utm_source=feed")])),
        "/feed-odd": page(
            rss(
                [
                    item("/ok/3", date="Tue, 01 Jan 2999 00:00:00 GMT"),
                    item("/ok/4", date=""),
                    "<title>Nowhere to go</title>",
                    item("ftp://127.0.0.1/file"),
                ]
            ),
            kind="application/rss+xml",
        ),
        "/feed-laughs": page(LAUGHS + rss([item("/ok/5", title="&a11;")]).partition("?>")[2], kind="text/xml"),
        "/no-feed": page(article("no feed at all")),
        "/sitemap-index.xml": page(
            index(["/sitemap-index.xml", "/sitemap-1.xml", "/sitemap-2.xml.gz", "/sitemap-gone.xml"]), kind="text/xml"
        ),
        "/sitemap-1.xml": page(sitemap(["/ok/6", "/ok/7"]), kind="text/xml"),
        "/sitemap-2.xml.gz": page(gzip.compress(sitemap(["/ok/8", "/ok/7"]).encode()), kind="application/gzip"),
        "/sitemap-laughs.xml": page(
            LAUGHS.replace("rss", "urlset") + sitemap(["/ok/9", "&a11;"]).partition("?>")[2], kind="text/xml"
        ),
        "/section": page(
            article(
                "a section",
                links="<a href='/ok/10'>10</a><a href='/part/1'>more</a><a href='//elsewhere.invalid/ok/1'>x</a>",
            )
        ),
        "/part/1": page(article("its part", links="<a href='/ok/11'>11</a><a href='/ok/10'>10</a>")),
        "/gdelt-says-no": page("Your query was too short or too long.\n", kind="text/html"),
    }
    return answers
