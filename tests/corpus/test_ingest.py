import datetime
from collections.abc import Callable
from pathlib import Path

import pytest

from corpus.ingest import KEPT, Judge, Judged, published
from corpus.snapshot import Snapshot, SnapshotWriter
from corpus.sources import Source

TEXT = "The pact is bad for Upperton, said Mayor Ann Berg on Monday. “We will not sign it,” she told the harbour council. "
PAGE = (
    "<html lang=en><head><title>Upperton and the pact</title><meta property='article:published_time' content='2026-02-27'>"
    "<meta name=author content='Cy Writer'></head><body><article><h1>Upperton and the pact</h1><p>{}</p></article></body>"
)
SOURCES = {
    "web": Source(name="web", type="urls", urls=("https://a.test/",), publisher="A paper", kind="news", rights="quotations"),
    "free": Source(name="free", type="urls", urls=("https://a.test/",), reservations=False),
}

Ask = Callable[..., Judged]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Return what judges one response."""

    def judged(body: bytes, *, keep_all: bool = False, status: int = 200, source: str = "web", **more: object) -> Judged:
        headers = [("Content-Type", "text/html; charset=utf-8"), *more.pop("headers", [])]  # type: ignore[misc]
        with SnapshotWriter(tmp_path, run="r", clock=clock, known=lambda url: None) as writer:
            snapshot = writer.write_response(
                "http://a.test/news?utm_source=x",
                source=source,
                role="document",
                status=status,
                reason="",
                headers=headers,
                body=body,
                hints=more.pop("hints", {}),  # type: ignore[arg-type]
            )
        return Judge(tmp_path, SOURCES, ("pact",), keep_all).judge([(snapshot, None)])[0]

    return judged


def clock() -> datetime.datetime:
    return datetime.datetime(2026, 3, 1, 6, tzinfo=datetime.UTC)


def page(text: str = TEXT * 8) -> bytes:
    return PAGE.format(text).encode()


def test_a_page_becomes_a_document_with_all_that_is_known_of_it(ask: Ask) -> None:
    found = ask(page())
    assert found.outcome == KEPT
    d = found.document
    assert d is not None
    assert (d.url, d.title, d.author) == ("https://a.test/news", "Upperton and the pact", "Cy Writer")
    assert (d.publisher, d.kind, d.rights, d.source) == ("A paper", "news", "quotations", "web")
    assert (d.published, d.retrieved, d.language, d.relevance) == ("2026-02-27", "2026-03-01T06:00:00Z", "en", "lead")
    assert d.snapshot == found.snapshot.id
    assert found.statements
    assert all(d.text[s.start : s.end] == s.text for s in found.statements)
    assert {"Mayor Ann Berg"} == {s.holder for s in found.statements if s.holder and s.text.startswith("The pact")}
    assert found.signature is not None


def test_what_a_listing_said_counts_where_the_page_is_silent(ask: Ask) -> None:
    bare = f"<html><body><p>{TEXT * 8}</p></body></html>".encode()
    found = ask(bare, source="free", hints={"title": "From the feed", "published": "2026-02-11T09:00:00Z"})
    assert found.document is not None
    assert (found.document.title, found.document.published) == ("From the feed", "2026-02-11")


def test_what_is_not_about_the_target_is_irrelevant_unless_all_is_kept(ask: Ask) -> None:
    other = page("The harbour fees of Upperton rise again, said Mayor Ann Berg on Monday. " * 8)
    other = other.replace(b"and the pact", b"and its fees")
    assert (ask(other).outcome, ask(other).document) == ("irrelevant", None)
    kept = ask(other, keep_all=True)
    assert kept.document is not None
    assert kept.document.relevance is None


def test_a_reservation_is_obeyed_unless_the_source_may_pass_over_it(ask: Ask) -> None:
    found = ask(page(), headers=[("X-Robots-Tag", "noai")])
    assert (found.outcome, found.document) == ("opted_out", None)
    assert "noai" in str(found.reason)
    assert ask(page(), headers=[("X-Robots-Tag", "noai")], source="free").outcome == KEPT


@pytest.mark.parametrize(
    ("body", "status", "outcome"),
    [
        (b"", 200, "empty"),
        (b"<html><head><title>Just a moment...</title></head><body>Checking your browser before accessing a.test."
         b"<script src=/cdn-cgi/challenge-platform/h/b/orchestrate></script></body></html>", 200, "blocked"),
        (b"%PDF-1.7 broken", 200, "failed"),
        (page(), 500, "failed"),
        (b"<" * 100_000, 200, "empty"),
    ],
)  # fmt: skip
def test_what_is_no_document_has_an_outcome_and_a_reason(ask: Ask, body: bytes, status: int, outcome: str) -> None:
    found = ask(body, status=status)
    assert (found.outcome, found.document) == (outcome, None)
    assert found.reason


def test_a_snapshot_that_is_gone_is_a_failure_and_no_crash(tmp_path: Path) -> None:
    lost = Snapshot(
        id="urn:uuid:1", run="r", source="web", role="document", url="https://a.test/", date="2026-03-01T06:00:00Z",
        digest="sha256:0", file="gone.warc.gz", offset=0, length=10, status=200,
    )  # fmt: skip
    repeat = Snapshot(**{name: getattr(lost, name) for name in lost.__struct_fields__} | {"refers_to": "urn:uuid:2"})
    found = Judge(tmp_path, SOURCES, ("pact",)).judge([(lost, None), (repeat, None)])
    assert [j.outcome for j in found] == ["failed", "failed"]
    assert "urn:uuid:2" in str(found[1].reason)


@pytest.mark.parametrize(
    ("hint", "own", "expected"),
    [
        ("2026-02-01", "2026-02-02", "2026-02-01"),
        (None, "2026-02-02", "2026-02-02"),
        ("2031-01-01", "2026-02-02", "2026-02-02"),
        ("2026-03-02", None, "2026-03-02"),
        ("2026-03-03", None, None),
        ("yesterday", None, None),
        (None, None, None),
    ],
)
def test_the_date_is_the_listings_then_the_pages_and_never_in_the_future(
    hint: str | None, own: str | None, expected: str | None
) -> None:
    assert published(hint, own, retrieved="2026-03-01T23:00:00Z") == expected
