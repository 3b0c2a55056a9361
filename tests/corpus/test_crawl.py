"""Fetching over real HTTP, from a server on loopback on which everything goes wrong that may."""

from __future__ import annotations

import datetime
import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from corpus.crawl import Fetched, fetch
from corpus.errors import TreatyStanceError, UsageError
from corpus.snapshot import Snapshot, read_payload
from corpus.sources import Fetching, Project, Source, Target
from corpus.store import Outcome, Run, Store


def _module(path: Path) -> Any:
    """Import the server's module, which is no package's."""
    spec = importlib.util.spec_from_file_location(f"tests_corpus_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


web = _module(Path(__file__).with_name("web.py"))

pytestmark = pytest.mark.slow

FETCHING = Fetching(
    contact="tests@river-pact.invalid", delay=0.0, timeout=1.0, max_bytes=1_000_000, retries=2, max_retry_after=5.0
)
DAY = datetime.datetime(2026, 11, 22, 12, tzinfo=datetime.UTC)


def clock() -> datetime.datetime:
    return DAY


@pytest.fixture(autouse=True, scope="module")
def _no_proxy() -> Iterator[None]:
    """A proxy of the environment has no part in these tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        yield


@dataclass
class Workspace:
    """A folder with a store, and what fetching into it gives."""

    root: Path

    @property
    def store_url(self) -> str:
        return f"sqlite:///{self.root / 'corpus.db'}"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    def fetch(
        self, *sources: Source, run: str = "one", fetching: Fetching = FETCHING, progress: Any = lambda e: None
    ) -> Fetched:
        project = Project(
            root=self.root, target=Target(name="The Pact", aliases=("pact",)), fetching=fetching, sources=sources
        )
        noted = Run(id=run, started="2026-11-22T12:00:00Z", sources=tuple(s.name for s in sources))
        with Store.open(self.store_url) as store:
            store.start_run(noted)
        return fetch(
            project, sources, noted, store_url=self.store_url, folder=self.snapshots, clock=clock, progress=progress
        )

    def outcomes(self, source: str, run: str = "one") -> dict[str, Outcome]:
        with Store.open(self.store_url) as store:
            return {o.url: o for o in store.outcomes(run) if o.source == source}

    def pages(self, source: str, run: str = "one") -> dict[str, Snapshot]:
        with Store.open(self.store_url) as store:
            return {s.url: s for s in store.pending(run, [source])}

    def body(self, snapshot: Snapshot) -> bytes:
        with Store.open(self.store_url) as store:
            return read_payload(self.snapshots, snapshot, find=store.snapshot).body


def source(name: str, **fields: Any) -> Source:
    return Source(name=name, **{"private": True, "type": "urls", **fields})


# One crawl with everything in it

PAGES = (
    "/etag", "/modified", "/fresh", "/packed", "/forbidden/page", "/busy", "/busy-date", "/down-once", "/down", "/gone",
    "/chain/1", "/loop/1", "/odd-scheme", "/drip", "/charset", "/bomb", "/huge", "/huge-chunked", "/reset", "/lie", "/empty",
    "/noai", "/noai-other", "/noindex", "/reserved/page", "/missing", "/moves",
)  # fmt: skip


@dataclass
class Crawled:
    """What the great crawl gave."""

    web: Any
    shut: Any
    workspace: Workspace
    fetched: Fetched
    events: list[dict[str, Any]]
    sources: tuple[Source, ...]
    requests: list[Any]

    def seen(self, path: str) -> list[Any]:
        """Return the great crawl's requests for a path, and none of a later one's."""
        return [r for r in self.requests if r.path == path]

    def failed(self, path: str, name: str = "pages") -> str:
        outcome = self.workspace.outcomes(name)[self.web.url(path)]
        assert outcome.outcome == "failed"
        return outcome.reason or ""

    def hints(self, name: str, path: str) -> dict[str, str]:
        return self.workspace.pages(name)[self.web.url(path)].hints


def gdelt(handler: Any) -> None:
    """Answer a search with one article."""
    article = {"url": handler.web.url("/ok/12"), "title": "Found", "seendate": "20261121T101500Z", "domain": "h.example"}
    handler.give(json.dumps({"articles": [article]}), kind="application/json")


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crawled]:
    answers = web.troubled() | {"/gdelt": gdelt}
    with web.serve(answers) as site, web.serve({"/page": web.page("x")}, robots=500) as shut:
        sources = (
            source("pages", urls=tuple(site.url(path) for path in PAGES)),
            source("free", urls=(site.url("/noai"), site.url("/reserved/page")), reservations=False),
            source("feeds", type="feed", urls=tuple(map(site.url, ("/feed", "/feed-odd", "/feed-laughs", "/gone-feed")))),
            source("no-feed", type="feed", urls=(site.url("/no-feed"),)),
            source("down-feed", type="feed", urls=(site.url("/down"),)),
            source("maps", type="sitemap", urls=(site.url("/sitemap-index.xml"), site.url("/sitemap-laughs.xml"))),
            source("section", type="crawl", urls=(site.url("/section"),), allow=("/ok/",), deny=("/ok/11",)),
            source("search", type="gdelt", query="pact", endpoint=site.url("/gdelt")),
            source("no-search", type="gdelt", query="a", endpoint=site.url("/gdelt-says-no")),
            source("shut", urls=(shut.url("/page", "localhost"),)),
            source(
                "outside",
                urls=tuple(site.url("/ok/1", host) for host in ("127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]")),
                private=False,
            ),
        )
        workspace = Workspace(tmp_path_factory.mktemp("crawl"))
        events: list[dict[str, Any]] = []
        fetched = workspace.fetch(*sources, progress=events.append)
        yield Crawled(site, shut, workspace, fetched, events, sources, list(site.requests))


def test_every_address_has_a_page_or_an_outcome(crawled: Crawled) -> None:
    for path in PAGES:
        url = crawled.web.url(path)
        outcomes, pages = crawled.workspace.outcomes("pages"), crawled.workspace.pages("pages")
        named = {s.hints.get("requested", s.url) for s in pages.values()}
        assert (url in outcomes) + (url in named) == 1, path


def test_no_trouble_ends_a_source_early(crawled: Crawled) -> None:
    finished = [e["source"] for e in crawled.events if e["event"] == "finished"]
    assert sorted(finished) == sorted(s.name for s in crawled.sources)


def test_sources_fail_as_a_whole_when_no_listing_of_theirs_is_one(crawled: Crawled) -> None:
    failed = crawled.fetched.failed
    assert sorted(failed) == ["down-feed", "no-feed", "no-search"]
    assert failed["no-feed"] == crawled.failed("/no-feed", "no-feed") == "expected a feed, found none in the answer"
    assert "503" in failed["down-feed"]
    assert "too short" in failed["no-search"]
    assert crawled.fetched.beyond == {}


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/down", "status 503 (Service Unavailable), 3 times"),
        ("/gone", "status 410 (Gone)"),
        ("/missing", "status 404 (Not Found)"),
        ("/loop/1", "a redirect loop"),
        ("/odd-scheme", "file:///etc/passwd"),
        ("/drip", "no whole answer within 1 seconds"),
        ("/bomb", "at most 1,000,000 bytes"),
        ("/huge", "more bytes than max_bytes"),
        ("/huge-chunked", "more bytes than max_bytes"),
        ("/reset", "ended before the length"),
        ("/lie", "ended before the length"),
    ],
)
def test_what_cannot_be_had_fails_with_its_reason(crawled: Crawled, path: str, words: str) -> None:
    assert words in crawled.failed(path)


@pytest.mark.parametrize(
    "path", ["/busy", "/busy-date", "/down-once", "/packed", "/charset", "/empty", "/noai-other", "/etag"]
)
def test_what_can_be_had_is_kept_as_a_page(crawled: Crawled, path: str) -> None:
    snapshot = crawled.workspace.pages("pages")[crawled.web.url(path)]
    assert (snapshot.status, snapshot.role, snapshot.source, snapshot.date) == (
        200,
        "document",
        "pages",
        "2026-11-22T12:00:00Z",
    )


def test_a_packed_page_is_kept_as_it_came_and_read_unpacked(crawled: Crawled) -> None:
    snapshot = crawled.workspace.pages("pages")[crawled.web.url("/packed")]
    assert crawled.workspace.body(snapshot) == web.article("packing").encode()


def test_a_redirected_page_stands_under_its_own_address_and_names_the_one_asked(crawled: Crawled) -> None:
    end = crawled.web.url("/chain/3")
    assert crawled.workspace.pages("pages")[end].hints == {"requested": crawled.web.url("/chain/1")}


def test_nothing_forbidden_by_robots_is_asked_and_rules_for_others_do_not_bind_us(crawled: Crawled) -> None:
    assert crawled.seen("/forbidden/page") == []
    outcome = crawled.workspace.outcomes("pages")[crawled.web.url("/forbidden/page")]
    assert (outcome.outcome, outcome.reason) == ("opted_out", "robots.txt forbids it")
    assert len(crawled.seen("/robots.txt")) == 1


def test_a_robots_txt_that_fails_shuts_the_host(crawled: Crawled) -> None:
    outcome = crawled.workspace.outcomes("shut")[crawled.shut.url("/page", "localhost")]
    assert (outcome.outcome, outcome.reason) == ("failed", "robots.txt could not be read: status 500")
    assert crawled.shut.seen("/page") == []


def test_reserved_pages_are_opted_out_and_no_body_of_theirs_is_kept(crawled: Crawled) -> None:
    outcomes = crawled.workspace.outcomes("pages")
    reasons = {path: outcomes[crawled.web.url(path)] for path in ("/noai", "/noindex", "/reserved/page")}
    assert {o.outcome for o in reasons.values()} == {"opted_out"}
    assert reasons["/noai"].reason == "X-Robots-Tag says noai"
    assert reasons["/reserved/page"].reason == "/.well-known/tdmrep.json reserves /reserved/*"
    with Store.open(crawled.workspace.store_url) as store:
        assert not {crawled.web.url(path) for path in reasons} & store.fetched("one", "pages") - outcomes.keys()
    assert len(crawled.seen("/.well-known/tdmrep.json")) == 1


def test_a_source_may_leave_reservations_aside(crawled: Crawled) -> None:
    assert sorted(crawled.workspace.pages("free")) == sorted([crawled.web.url("/noai"), crawled.web.url("/reserved/page")])


def test_loopback_in_any_spelling_is_refused_to_a_source_that_is_not_private(crawled: Crawled) -> None:
    outcomes = crawled.workspace.outcomes("outside")
    assert len(outcomes) == 5
    for outcome in outcomes.values():
        assert outcome.outcome == "failed"
        assert "is a loopback address; the source does not allow private addresses" in (outcome.reason or "")
    assert crawled.workspace.pages("outside") == {}


def test_feeds_give_pages_with_hints_and_each_page_once(crawled: Crawled) -> None:
    pages = crawled.workspace.pages("feeds")
    assert sorted(pages) == sorted(crawled.web.url(f"/ok/{n}") for n in (1, 2, 3, 4, 5))
    assert crawled.hints("feeds", "/ok/1") == {"title": "An item", "published": "2026-11-20"}
    assert crawled.hints("feeds", "/ok/3") == {"title": "An item"}  # dated in the future
    assert crawled.hints("feeds", "/ok/4") == {"title": "An item"}  # not dated
    assert {url.rpartition("/")[2] for url in crawled.workspace.outcomes("feeds")} == {
        "feed-odd#entry-3", "feed-odd#entry-4", "gone-feed",
    }  # fmt: skip


def test_sitemaps_lead_to_sitemaps_each_read_once(crawled: Crawled) -> None:
    assert sorted(crawled.workspace.pages("maps")) == sorted(crawled.web.url(f"/ok/{n}") for n in (6, 7, 8, 9))
    assert len(crawled.seen("/sitemap-index.xml")) == 1
    assert "404" in crawled.failed("/sitemap-gone.xml", "maps")
    assert "the XML is broken" in crawled.failed("/sitemap-laughs.xml#line-1", "maps")


def test_a_crawl_follows_allowed_links_of_its_site_to_its_depth(crawled: Crawled) -> None:
    assert list(crawled.workspace.pages("section")) == [crawled.web.url("/ok/10")]
    assert crawled.seen("/part/1")
    assert crawled.seen("/ok/11") == []


def test_a_search_gives_its_articles(crawled: Crawled) -> None:
    hints = {"title": "Found", "published": "2026-11-21", "publisher": "h.example"}
    assert crawled.hints("search", "/ok/12") == hints
    (asked,) = crawled.seen(
        "/gdelt?query=pact&mode=artlist&format=json&sort=datedesc&maxrecords=250"
        "&startdatetime=20261115120000&enddatetime=20261122120000"
    )
    assert asked.host == "127.0.0.1"


def test_a_host_that_asks_for_time_is_left_alone_meanwhile(crawled: Crawled) -> None:
    for path, seconds in (("/busy", 1.0), ("/busy-date", 0.4)):
        first, second = crawled.seen(path)
        between = [r for r in crawled.requests if first.at < r.at < first.at + seconds]
        assert between == []
        assert second.at >= first.at + seconds


def test_each_request_says_who_asks(crawled: Crawled) -> None:
    agents = {r.headers["User-Agent"] for r in crawled.web.requests}
    assert [a.startswith("treaty-stance/") and a.endswith(" (+tests@river-pact.invalid)") for a in agents] == [True]
    assert not any({"Cookie", "Referer"} & r.headers.keys() for r in crawled.web.requests)


def test_events_tell_each_page(crawled: Crawled) -> None:
    kinds = Counter(e["event"] for e in crawled.events if e["source"] == "pages")
    assert kinds == {"listed": 1, "fetched": 12, "failed": 11, "opted_out": 4, "finished": 1}


def test_the_same_run_a_second_time_asks_for_nothing_again(crawled: Crawled) -> None:
    before = len(crawled.web.requests)
    pages = crawled.workspace.pages("pages")
    again = crawled.workspace.fetch(*crawled.sources)
    assert again == crawled.fetched
    # what is left are robots.txt, fetched anew by each process, and rules of sites
    assert {r.path for r in crawled.web.requests[before:]} <= {"/robots.txt", "/.well-known/tdmrep.json"}
    assert crawled.workspace.pages("pages") == pages


def test_the_next_run_asks_on_condition_and_keeps_what_is_unchanged_as_revisits(crawled: Crawled) -> None:
    before = len(crawled.web.requests)
    paths = ("/etag", "/modified", "/fresh", "/packed")
    crawled.workspace.fetch(source("pages", urls=tuple(map(crawled.web.url, paths))), run="two")
    first, second = crawled.workspace.pages("pages"), crawled.workspace.pages("pages", "two")
    asked = {r.path: r.headers for r in crawled.web.requests[before:]}
    assert asked["/etag"]["If-None-Match"] == '"v1"'
    assert asked["/modified"]["If-Modified-Since"] == web.CHANGED
    assert "/fresh" not in asked
    statuses = {path: second[crawled.web.url(path)].status for path in paths}
    assert statuses == {"/etag": 304, "/modified": 304, "/fresh": 200, "/packed": 200}
    for path in paths:
        url = crawled.web.url(path)
        assert second[url].refers_to == first[url].id
        assert second[url].digest == first[url].digest
        assert crawled.workspace.body(second[url]) == crawled.workspace.body(first[url])


def test_a_condition_for_one_address_is_not_sent_to_another(crawled: Crawled) -> None:
    crawled.workspace.fetch(source("moved", urls=(crawled.web.url("/moves"),)), run="three")
    (moved,) = crawled.workspace.pages("moved", "three").values()
    assert (moved.url, moved.status) == (crawled.web.url("/moved"), 200)
    assert moved.hints == {"requested": crawled.web.url("/moves")}


# Small crawls


def test_a_host_that_stays_busy_or_asks_for_too_much_is_left_alone(tmp_path: Path) -> None:
    always, tomorrow = web.failing(429, Retry_After="1"), web.failing(503, Retry_After="86400")
    rest = web.page(web.sitemap(["/page"]), kind="text/xml")
    with web.serve({"/always": always, "/tomorrow": tomorrow, "/map": rest}) as site:
        # listings of a source are read one after the other
        busy = source("busy", type="sitemap", urls=(site.url("/always"), site.url("/map")))
        asking = source("asking", urls=(site.url("/tomorrow", "localhost"),))
        workspace = Workspace(tmp_path)
        fetched = workspace.fetch(busy, asking)
        assert list(fetched.failed) == ["busy"]
        assert {url: o.reason for name in ("busy", "asking") for url, o in workspace.outcomes(name).items()} == {
            site.url("/always"): "the server answered with status 429 (Too Many Requests), 3 times",
            site.url("/map"): "127.0.0.1 was busy (status 429) after 3 attempts",
            site.url("/tomorrow", "localhost"): "localhost asked with status 503 to be left for 86400 seconds, "
            "more than the 5 of max_retry_after",
        }
        assert [r.path for r in site.requests if r.path != "/robots.txt" and r.host == "127.0.0.1"] == ["/always"] * 3
        assert len(site.seen("/tomorrow")) == 1


def test_one_request_at_a_time_and_no_more_pages_than_the_limit(tmp_path: Path) -> None:
    under_way: list[int] = []
    most: list[int] = []

    def slow(handler: Any) -> None:
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.05)
        under_way.pop()
        handler.give(web.article("patience"))

    answers = {f"/p/{n}": slow for n in range(8)}
    with web.serve({**answers, "/map": web.page(web.sitemap(list(answers)), kind="text/xml")}) as site:
        fetching = Fetching(contact=FETCHING.contact, delay=0.0, max_pages=5)
        workspace = Workspace(tmp_path)
        fetched = workspace.fetch(source("map", type="sitemap", urls=(site.url("/map"),)), fetching=fetching)
        assert fetched == Fetched({}, {"map": 3})
        assert sorted(workspace.pages("map")) == [site.url(f"/p/{n}") for n in range(5)]
        assert max(most) == 1


def test_a_redirect_to_a_private_address_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A proxy stands for the world outside: it gives a page of a public name that sends to loopback.
    with web.serve({"/secret": web.page("secret")}) as inside:
        world = {
            "http://public.invalid/robots.txt": web.failing(404),
            "http://public.invalid/page": web.redirect(inside.url("/secret")),
        }
        with web.serve(world) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url(""))
            workspace = Workspace(tmp_path)
            workspace.fetch(source("public", urls=("http://public.invalid/page",), private=False))
            (outcome,) = workspace.outcomes("public").values()
            assert outcome.outcome == "failed"
            assert outcome.reason == "127.0.0.1 is a loopback address; the source does not allow private addresses"
            assert "http://public.invalid/page" in proxy.paths()
            assert inside.requests == []


def test_without_a_contact_nobody_is_asked(tmp_path: Path) -> None:
    with web.serve({}) as site:
        with pytest.raises(UsageError, match="expected a contact"):
            Workspace(tmp_path).fetch(source("pages", urls=(site.url("/x"),)), fetching=Fetching())
        assert site.requests == []
        local = Source(name="folder", type="files", paths=("x",))
        assert Workspace(tmp_path).fetch(local, fetching=Fetching()) == Fetched()


def test_a_disk_that_cannot_be_written_ends_the_crawl_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("a file where a folder should be")
    with web.serve({"/ok": web.page("x")}) as site, pytest.raises(TreatyStanceError, match="expected room for a snapshot"):
        Workspace(tmp_path).fetch(source("pages", urls=(site.url("/ok"),)))


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    answers = {f"/p/{n}": web.page(web.article(f"matter {n}")) for n in range(12)}
    listing = web.page(web.rss([web.item(path) for path in answers]))
    with web.serve({**answers, "/feed": listing}) as site:
        feed = source("feed", type="feed", urls=(site.url("/feed"),))
        workspace = Workspace(tmp_path)
        fetched = 0

        def stop(event: dict[str, Any]) -> None:
            nonlocal fetched
            fetched += event["event"] == "fetched"
            if fetched == 4:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            workspace.fetch(feed, progress=stop)
        had = set(workspace.pages("feed"))
        before = len(site.requests)
        assert workspace.fetch(feed) == Fetched()
        assert sorted(workspace.pages("feed")) == sorted(map(site.url, answers))
        asked = [site.url(r.path) for r in site.requests[before:]]
        assert len(had) >= 4
        assert not had & set(asked)
        assert site.url("/feed") not in asked


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_fetching_process_ends_with_its_parent(tmp_path: Path, number: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent("""
            import sys
            from pathlib import Path
            from corpus.crawl import fetch
            from corpus.sources import Fetching, Project, Source, Target
            from corpus.store import Run, Store
            if __name__ == "__main__":
                root, url = Path(sys.argv[1]), sys.argv[2]
                source = Source(name="s", type="urls", urls=(url,), private=True)
                project = Project(root=root, target=Target(name="P", aliases=("p",)), sources=(source,),
                                  fetching=Fetching(contact="tests@river-pact.invalid", timeout=600.0))
                store_url, run = f"sqlite:///{root / 'corpus.db'}", Run(id="one", started="2026-11-22T12:00:00Z")
                with Store.open(store_url) as store:
                    store.start_run(run)
                fetch(project, [source], run, store_url=store_url, folder=root / "snapshots")
        """)
    )
    with web.serve({"/drip": web.dripping}) as site:
        parent = subprocess.Popen([sys.executable, script, tmp_path, site.url("/drip")], cwd=Path(__file__).parents[2])
        try:
            _until(lambda: site.seen("/drip"))
        finally:
            os.kill(parent.pid, number)
            parent.wait()
    # The child holds a lock on its WARC file, which the system takes back when it ends.
    (file,) = (tmp_path / "snapshots").iterdir()
    with file.open("rb") as stream:
        _until(lambda: _locked(stream))


def _locked(stream: Any) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _until(condition: Any) -> None:
    """Wait for what must happen soon; far longer than it takes."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it did not happen within a minute")
