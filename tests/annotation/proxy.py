"""A reverse proxy of the standard library, which puts a server under a path and can lose what goes through it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

PREFIX = "/ls"


class Proxy:
    """Where it listens, what was asked of it, and what it does to a request.

    ``fault`` is asked with method, path and the number of times that pair was asked before. It answers ``before`` (the
    request is dropped), ``after`` (it is forwarded and the answer dropped), a status to answer without forwarding, or None.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self.seen: list[tuple[str, str]] = []
        self.fault: Callable[[str, str, int], str | int | None] = lambda _method, _path, _times: None
        self.url = ""


@contextmanager
def running(target: str) -> Iterator[Proxy]:
    """Start a proxy in front of a server, on a free port and under a path."""
    proxy = Proxy(target)
    forward = httpx.Client(base_url=target, timeout=120, trust_env=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path, _, query = self.path.partition("?")
            if not path.startswith(f"{PREFIX}/"):
                self.reply(404, b'{"detail": "outside the path"}')
                return
            path = path.removeprefix(PREFIX)
            fault = proxy.fault(self.command, path, proxy.seen.count((self.command, path)))
            proxy.seen.append((self.command, path))
            if isinstance(fault, int):
                self.reply(fault, b'{"detail": "lost on the way"}')
                return
            if fault == "before":
                self.close_connection = True
                self.connection.close()
                return
            kept = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "content-length", "connection")}
            answer = forward.request(self.command, f"{path}?{query}" if query else path, content=body, headers=kept)
            if fault == "after":
                self.close_connection = True
                self.connection.close()
                return
            self.reply(answer.status_code, answer.content, answer.headers.get("Content-Type", "application/json"))

        def reply(self, status: int, content: bytes, kind: str = "application/json") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = pass_on  # noqa: N815 - the names that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}{PREFIX}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        forward.close()
