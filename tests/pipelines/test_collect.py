"""Collection as a whole, over real HTTP on loopback: what becomes of pages, day after day, killed and resumed."""

import contextlib
import datetime
import functools
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import UsageError
from corpus.sources import load_project
from corpus.store import Store
from pipelines.collect import collect
from pipelines.rebuild import rebuild

# clocks that can be sent to another process
DAYS = [functools.partial(datetime.datetime, 2026, 3, d, 6, tzinfo=datetime.UTC) for d in (1, 2, 3)]
PAGES = 36


def article(number: int, edition: str = "") -> str:
    """Return a page: every sixth the same text as the one before, every seventh about something else."""
    if number % 6 == 5:
        number -= 1
    subject = "harbour fees" if number % 7 == 6 else "cybercrime treaty"
    body = "".join(
        f"<p>On day {number} the council of Upperton discussed the {subject} for the {i}th time, and its speaker number "
        f"{number * i} said that ferry number {number + i} would leave at {i} o'clock whatever came of it. {edition}</p>"
        for i in range(1, 9)
    )
    return (
        f"<html lang=en><head><title>Report {number}</title></head><body><article><h1>Report {number}</h1>{body}</article>"
    )


class Site:
    """A small site: a feed, a sitemap and pages, which tests change between runs."""

    def __init__(self) -> None:
        self.pages = {f"/{i}": article(i) for i in range(PAGES)}
        self.requests: list[tuple[str, int]] = []
        self.delay = 0.0
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                time.sleep(site.delay)
                body, kind = site.answer(self.path)
                tag = f'"{hash(body)}"'
                status = 404 if body is None else 304 if self.headers.get("If-None-Match") == tag else 200
                site.requests.append((self.path, status))
                data = b"" if body is None or status == 304 else body.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if body is not None:
                    self.send_header("Content-Type", kind)
                    self.send_header("ETag", tag)
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str) -> tuple[str | None, str]:
        half = PAGES // 2
        if path == "/feed.xml":
            items = "".join(f"<item><link>{self.url}/{i}</link><title>Report {i}</title></item>" for i in range(half))
            return f"<rss version='2.0'><channel><title>f</title>{items}</channel></rss>", "application/rss+xml"
        if path == "/sitemap.xml":
            urls = "".join(f"<url><loc>{self.url}/{i}</loc></url>" for i in range(half - 4, PAGES))
            return f"<urlset xmlns='http://www.sitemaps.org/schemas/sitemap/0.9'>{urls}</urlset>", "application/xml"
        return self.pages.get(path), "text/html; charset=utf-8"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def workspace(tmp_path: Path, site: Site) -> Path:
    return make_workspace(tmp_path / "ws", site)


def make_workspace(folder: Path, site: Site) -> Path:
    folder.mkdir()
    (folder / "inbox").mkdir()
    (folder / "inbox" / "note.txt").write_text(
        "The cybercrime treaty is dear to us, said the mayor.\n" * 3, encoding="utf-8"
    )
    (folder / "project.toml").write_text(
        f"""
[target]
name = "A treaty"
aliases = ["cybercrime treaty"]
[fetching]
contact = "test@upperton.test"
delay = 0
[[sources]]
name = "feed"
type = "feed"
urls = ["{site.url}/feed.xml"]
private = true
publisher = "Upperton Post"
rights = "quotations"
[[sources]]
name = "map"
type = "sitemap"
urls = ["{site.url}/sitemap.xml"]
private = true
[[sources]]
name = "inbox"
type = "files"
paths = ["inbox"]
""",
        encoding="utf-8",
    )
    return folder


def run(folder: Path, day: int = 0, *names: str, **options: Any) -> dict[str, dict[str, int]]:
    return collect(load_project(folder), names, clock=DAYS[day], jobs=1, **options).counts


def rows(folder: Path) -> dict[str, list[Any]]:
    """Return the corpus row for row: documents with their stories, statements, locations."""
    with Store.open(load_project(folder).store_url) as store:
        documents = list(store.documents())
        return {
            "documents": documents,
            "statements": list(store.statements()),
            "locations": [place for d in documents for place in store.locations(d.id)],
        }


@pytest.mark.slow
def test_three_days_of_one_workspace(site: Site, workspace: Path) -> None:
    first = run(workspace)
    # Of pages 0 to 17, those with 5, 11, 17 repeat the page before; 6 and 13 are about harbour fees.
    assert first["feed"] == {"new": 13, "copy": 3, "irrelevant": 2}
    # 14 to 17 came by the feed; 20, 27 and 34 are irrelevant, and 35 repeats 34; 23, 29 repeat the page before.
    assert first["map"] == {"unchanged": 4, "new": 12, "copy": 2, "irrelevant": 4}
    assert first["inbox"] == {"new": 1}
    corpus = rows(workspace)
    assert len(corpus["documents"]) == 26
    known = {d.url: d for d in corpus["documents"]}
    one = known[site.url + "/0"]
    assert (one.publisher, one.rights, one.source, one.title) == ("Upperton Post", "quotations", "feed", "Report 0")
    assert one.retrieved == "2026-03-01T06:00:00Z"

    site.requests.clear()
    site.pages["/0"] = article(0, "Second edition.")
    second = run(workspace, 1)
    assert second["feed"] == {"revised": 1, "unchanged": 15, "irrelevant": 2}
    assert {"new", "copy", "failed"}.isdisjoint(second["map"])
    assert {status for path, status in site.requests if path.lstrip("/").isdigit() and path != "/0"} == {304}
    again = rows(workspace)
    assert len(again["documents"]) == 27
    revised = [d for d in again["documents"] if d.url == one.url]
    assert sorted(d.revision for d in revised) == [1, 2]
    assert len({d.story for d in revised}) == 1, "an edition is a near-copy of the one before"

    site.requests.clear()
    with Store.open(load_project(workspace).store_url) as store:
        store.clear()
    rebuild(load_project(workspace), clock=DAYS[2], jobs=1)
    assert rows(workspace) == again
    assert site.requests == []


@pytest.mark.slow
def test_a_source_that_fails_as_a_whole_leaves_the_others_alone(site: Site, workspace: Path) -> None:
    path = workspace / "project.toml"
    path.write_text(path.read_text().replace("/feed.xml", "/gone.xml").replace('paths = ["inbox"]', 'paths = ["nowhere"]'))
    result = collect(load_project(workspace), clock=DAYS[0], jobs=1)
    assert set(result.failed) == {"feed", "inbox"}
    assert result.counts["map"]["new"] > 10
    assert "nowhere" in result.failed["inbox"]
    assert "/gone.xml" in result.manifest.read_text()


@pytest.mark.slow
def test_killed_at_twenty_moments_and_resumed_the_corpus_is_that_of_an_undisturbed_run(site: Site, tmp_path: Path) -> None:
    calm, rough = make_workspace(tmp_path / "calm", site), make_workspace(tmp_path / "rough", site)
    site.delay = 0.05
    begun = time.monotonic()
    assert start(calm).wait() == 0
    length = time.monotonic() - begun
    rng = random.Random(20260301)  # noqa: S311  # moments, not secrets
    kills, span = 0, length
    for _ in range(80):  # a run that ended before its moment does not count, and the next moment comes sooner
        process = start(rough)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.1, 1.0) * span)
        killed = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += killed
        span = min(length, 1.1 * span) if killed else max(0.2 * length, 0.8 * span)
        if kills == 20:
            break
    assert start(rough).wait() == 0
    assert kills == 20, "the process was hardly ever killed at work"
    assert rows(rough) == rows(calm)
    with Store.open(load_project(rough).store_url) as store:
        assert store.unfinished_runs() == []
    for path in (rough / "snapshots").glob("*.warc.gz"):
        assert subprocess.run([sys.executable, "-m", "warcio.cli", "check", str(path)], check=False).returncode == 0
    shutil.copytree(rough, tmp_path / "copy")
    rebuild(load_project(tmp_path / "copy"), clock=DAYS[0], jobs=1)
    assert rows(tmp_path / "copy") == rows(calm)


@pytest.mark.slow
def test_two_collectors_at_once_give_the_corpus_of_one(site: Site, tmp_path: Path) -> None:
    alone, both = make_workspace(tmp_path / "alone", site), make_workspace(tmp_path / "both", site)
    assert start(alone).wait() == 0
    processes = [start(both), start(both)]
    assert [p.wait() for p in processes] == [0, 0]

    def texts(folder: Path) -> set[tuple[str, str]]:
        return {(d.url, d.text) for d in rows(folder)["documents"]}

    assert len(rows(both)["documents"]) == len(rows(alone)["documents"])
    assert {t for _, t in texts(both)} == {t for _, t in texts(alone)}


def test_a_workspace_without_sources_or_with_a_wrong_name_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "project.toml").write_text('[target]\nname = "a"\naliases = ["a"]\n')
    with pytest.raises(UsageError, match=r"expected a source in project\.toml, found none"):
        collect(load_project(tmp_path), clock=DAYS[0])
    with pytest.raises(UsageError, match="expected a source named 'x', found none"):
        collect(load_project(tmp_path), ["x"], clock=DAYS[0])
    with pytest.raises(UsageError, match="expected snapshots to rebuild from, found none"):
        rebuild(load_project(tmp_path), clock=DAYS[0])


def test_files_alone_need_no_network(tmp_path: Path) -> None:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.txt").write_text("The treaty is good.", encoding="utf-8")
    (tmp_path / "inbox" / "b.txt").write_text("Nothing of that kind is written here at all.", encoding="utf-8")
    (tmp_path / "inbox" / "c.txt").write_bytes(b"\x00\x01\x02")
    (tmp_path / "inbox" / "d.html").write_text("<html><body></body></html>", encoding="utf-8")
    (tmp_path / "project.toml").write_text(
        '[target]\nname = "a"\naliases = ["treaty"]\n[[sources]]\nname = "in"\ntype = "files"\npaths = ["inbox"]\n'
    )
    result = collect(load_project(tmp_path), clock=DAYS[0], jobs=1)
    assert result.counts == {"in": {"new": 1, "irrelevant": 1, "failed": 1, "empty": 1}}
    again = collect(load_project(tmp_path), clock=DAYS[0], keep_all=True, jobs=1)
    assert again.counts["in"]["new"] == 1


def start(folder: Path) -> subprocess.Popen[bytes]:
    """Start a collector in a process group of its own, with the clock of the first day."""
    code = (
        "import datetime, functools, sys; from pathlib import Path; from corpus.sources import load_project\n"
        "from pipelines.collect import collect\n"
        "if __name__ == '__main__':\n"
        "    day = functools.partial(datetime.datetime, 2026, 3, 1, 6, tzinfo=datetime.UTC)\n"
        "    collect(load_project(Path(sys.argv[1])), clock=day, jobs=1)\n"
    )
    script = folder.parent / "collector.py"
    script.write_text(code, encoding="utf-8")
    return subprocess.Popen([sys.executable, str(script), str(folder)])
