"""Fetching: a project's network sources are read by Scrapy in a process of its own, which ends when its parent does."""

from __future__ import annotations

import contextlib
import datetime
import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from corpus.errors import TreatyStanceError
from corpus.runs import Run
from corpus.sources import NETWORK, Fetching, Project, Source

_GRACE = 10.0  # seconds in which the child closes its files before it is killed
_HOSTS = 32  # requests under way at once, waiting ones among them


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the run's manifest says beside outcomes: sources that failed as a whole, and why; addresses beyond the limit.

    ``beyond`` has, by source, how many addresses were found and not asked because of ``max_pages``; further listings are not
    read once there are enough, so there may be more.
    """

    failed: dict[str, str] = field(default_factory=dict)
    beyond: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Task:
    """What crosses to the child process."""

    fetching: Fetching
    sources: tuple[Source, ...]
    run: Run
    store_url: str
    folder: Path
    private: bool


def utc_now() -> datetime.datetime:
    """Return the time, in UTC."""
    return datetime.datetime.now(datetime.UTC)


def fetch(
    project: Project,
    sources: Sequence[Source],
    run: Run,
    *,
    store_url: str,
    folder: Path,
    clock: Callable[[], datetime.datetime] = utc_now,
    progress: Callable[[dict[str, Any]], object] = lambda event: None,
) -> Fetched:
    """Fetch what the network sources among ``sources`` have, as far as the run does not have it yet.

    Each answer becomes a WARC record in ``folder``, registered in the store; each page without a usable one an outcome.
    Calling it again with the same run goes on where it stopped. Sources that may ask private addresses are read after the
    others, in a process of their own, since what names resolve to is decided for a whole process.

    HTTP proxies are taken from the environment, as Scrapy does.

    Args:
        project: Its ``fetching`` says how politely.
        sources: Those to read; local ones are passed over.
        run: It must be noted in the store already; times of listings are counted from its start.
        store_url: The store's address; the child process opens its own connection.
        folder: Where the WARC files go.
        clock: What dates the snapshots. It stays in this process, which the child asks for the time.
        progress: Called with each event: ``source``, ``event`` ("listed" with ``found``, "fetched" with ``url``, "failed"
            and "opted_out" with ``url`` and ``reason``, "finished").

    Raises:
        UsageError: when network sources are to be read and the project names no contact.
        TreatyStanceError: when the child process fails as a whole.
    """
    chosen = [source for source in sources if source.type in NETWORK]
    project.check_contact(tuple(chosen))
    fetched = Fetched()
    for private in (False, True):
        group = tuple(source for source in chosen if source.private == private)
        if group:
            one = _run(_Task(project.fetching, group, run, store_url, folder, private), clock, progress)
            fetched = replace(fetched, failed=fetched.failed | one.failed, beyond=fetched.beyond | one.beyond)
    return fetched


def _run(task: _Task, clock: Callable[[], datetime.datetime], progress: Callable[[dict[str, Any]], object]) -> Fetched:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(task, theirs), name="treaty-stance fetching", daemon=True)
    child.start()
    theirs.close()  # so that ours ends when the child does
    try:
        while True:
            kind, content = ours.recv()
            if kind == "event":
                progress(content)
            elif kind == "time":
                ours.send(clock())
            elif kind == "done":
                return Fetched(*content)
            else:
                raise TreatyStanceError(str(content))
    except EOFError:
        child.join(_GRACE)
        raise TreatyStanceError(
            f"fetching: expected the process to finish its work, but it ended with code {child.exitcode}; "
            "start again, it goes on where it stopped"
        ) from None
    finally:
        ours.close()  # the child sees it and ends
        child.join(_GRACE)
        if child.is_alive():
            child.kill()
            child.join()


def settings(fetching: Fetching, *, private: bool) -> dict[str, Any]:
    """Return Scrapy's settings for a crawl."""
    from corpus.guard import PRIVATE
    from corpus.reservations import AGENT
    from corpus.spiders import slots

    f = fetching
    return {
        "USER_AGENT": f"{AGENT}/{version('treaty-stance')} (+{f.contact})",
        "DEFAULT_REQUEST_HEADERS": {
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Encoding": "gzip, deflate",  # what every reader of WARC files can undo; warcio fails on others
        },
        # Manners
        "ROBOTSTXT_OBEY": True,
        "ROBOTSTXT_USER_AGENT": AGENT,
        "CONCURRENT_REQUESTS": _HOSTS,
        "CONCURRENT_REQUESTS_PER_DOMAIN": f.per_host,
        "DOWNLOAD_DELAY": f.delay,
        "DOWNLOAD_DELAY_JITTER": 0,
        "DOWNLOAD_SLOTS": slots(f.delay),
        "AUTOTHROTTLE_ENABLED": True,
        "AUTOTHROTTLE_START_DELAY": f.delay,
        "AUTOTHROTTLE_TARGET_CONCURRENCY": float(f.per_host),
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",  # in the order of the listings
        "RETRY_TIMES": f.retries,
        "REDIRECT_MAX_TIMES": f.max_redirects,
        # Limits. A size of 0 would switch the limit off; Fetching has at least 1.
        "DOWNLOAD_TIMEOUT": f.timeout,
        "DOWNLOAD_MAXSIZE": f.max_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,  # a page is evidence of what its publisher said
        "DOWNLOAD_HANDLERS": {"data": None, "file": None, "ftp": None, "s3": None},
        "TWISTED_DNS_RESOLVER": "corpus.guard.Resolver",
        PRIVATE: private,
        # What is not wanted
        "COOKIES_ENABLED": False,
        "REFERER_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOG_ENABLED": False,
        "LOGSTATS_INTERVAL": 0,
        # What is kept
        "HTTPERROR_ALLOW_ALL": True,
        "HTTPCACHE_ENABLED": True,
        "HTTPCACHE_POLICY": "corpus.recorder.Freshness",
        "HTTPCACHE_STORAGE": "corpus.recorder.Snapshots",
        "DOWNLOADER_MIDDLEWARES": {
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            "corpus.manners.Robots": 100,
            "corpus.manners.Policies": 110,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "corpus.manners.Patience": 550,
            "scrapy.downloadermiddlewares.redirect.RedirectMiddleware": None,
            "corpus.manners.Redirects": 600,
            "scrapy.downloadermiddlewares.httpcache.HttpCacheMiddleware": None,
            "corpus.recorder.Cache": 900,
            # Next to the network: answers are kept as they come, 304 and redirects too, before anything reads them.
            "corpus.recorder.Recorder": 950,
            "corpus.guard.Guard": 960,
        },
    }


def _child(task: _Task, pipe: Connection) -> None:
    """Run one crawl and report through the pipe; end at once when nobody listens any more."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(1))  # each record and each row is written whole or not at all
    times: queue.SimpleQueue[datetime.datetime] = queue.SimpleQueue()
    threading.Thread(target=_watch, args=(pipe, times), daemon=True).start()

    def clock() -> datetime.datetime:
        pipe.send(("time", None))
        return times.get()

    try:
        pipe.send(("done", _crawl(task, pipe, clock)))
    except TreatyStanceError as error:
        _last_words(pipe, str(error))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        words = " ".join(str(error).split())
        _last_words(pipe, f"fetching: unexpected {type(error).__name__} in {where}: {words}; report it as a fault")


def _crawl(task: _Task, pipe: Connection, clock: Callable[[], datetime.datetime]) -> tuple[dict[str, str], dict[str, int]]:
    from scrapy.crawler import AsyncCrawlerProcess

    from corpus.errand import Errand
    from corpus.snapshot import SnapshotWriter
    from corpus.spiders import Collector
    from corpus.store import Store

    with (
        Store.open(task.store_url) as store,
        SnapshotWriter(
            task.folder, run=task.run.id, clock=clock, known=store.latest_snapshot, limit=task.fetching.max_bytes
        ) as writer,
    ):

        def send(event: dict[str, Any]) -> None:
            pipe.send(("event", event))

        def broken(error: BaseException) -> None:
            """End here and now: what failed is the store or the disk, and every further answer would be lost."""
            _last_words(pipe, str(error))
            with contextlib.suppress(Exception):
                writer.close()
            os._exit(1)

        errand = Errand(task.fetching, task.sources, task.run, task.folder, store, writer, send)
        process = AsyncCrawlerProcess(settings(task.fetching, private=task.private))
        process.crawl(Collector, errand=errand, broken=broken)
        process.start(install_signal_handlers=False)
        unfinished = [source.name for source in task.sources if source.name not in errand.finished]
        if unfinished:
            raise TreatyStanceError(
                f"fetching: expected all sources to be read, but the crawl ended before the end of {', '.join(unfinished)}; "
                "start again, it goes on where it stopped"
            )
        return errand.failed, errand.beyond


def _watch(pipe: Connection, times: queue.SimpleQueue[datetime.datetime]) -> None:
    """Hand on what the parent's clock says; end the process when the parent has been killed, or has given up."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            times.put(pipe.recv())
    os._exit(1)


def _last_words(pipe: Connection, message: str) -> None:
    with contextlib.suppress(OSError):
        pipe.send(("error", message))
