"""Which files and archived pages become snapshots, under which address, and what is said of the others."""

from __future__ import annotations

import datetime
import gzip
import io
import os
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from corpus import local
from corpus.errors import UsageError
from corpus.local import acquire_archives, acquire_files
from corpus.runs import Outcome, Run
from corpus.snapshot import Snapshot, SnapshotWriter, read_payload, scan
from corpus.sources import Fetching, Project, Source, Target

ALIASES = ("Convention on Harbours", "CoH-Übereinkommen", "港口公约")
PAGE = "<html><p>Norland signed the Convention on Harbours.</p></html>"
HTML = [("Content-Type", "text/html; charset=utf-8")]


@dataclass
class Desk:
    """A workspace, and what acquisition says."""

    root: Path
    max_bytes: int = 10_000
    seen: set[str] = field(default_factory=set)
    snapshots: list[Snapshot] = field(default_factory=list)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)
    advances: int = 0

    def acquire(self, kind: str, *paths: str, **options: Any) -> None:
        project = Project(
            root=self.root,
            target=Target(name="Harbours", aliases=ALIASES),
            fetching=Fetching(max_bytes=self.max_bytes),
        )
        source = Source(name="own", type=kind, paths=paths)

        def note(outcome: Outcome) -> None:
            assert (outcome.run, outcome.source) == ("r1", "own")
            self.outcomes[outcome.url] = (outcome.outcome, outcome.reason or "")

        def advance() -> None:
            self.advances += 1

        now = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
        with SnapshotWriter(project.snapshots, run="r1", clock=lambda: now, known=lambda _: None) as writer:
            (acquire_files if kind == "files" else acquire_archives)(
                project,
                source,
                Run(id="r1", started="2026-11-22T00:00:00Z"),
                writer=writer,
                register=self.snapshots.append,
                note=note,
                seen=self.seen,
                advance=advance,
                **options,
            )

    @property
    def urls(self) -> list[str]:
        return [s.url for s in self.snapshots]

    def body(self, snapshot: Snapshot) -> bytes:
        return read_payload(self.root / "snapshots", snapshot, find=lambda _: None).body


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    (tmp_path / "work").mkdir()
    return Desk(tmp_path / "work")


def put(path: Path, content: str | bytes = PAGE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_files_of_a_folder_become_resources_in_the_order_of_their_paths(desk: Desk) -> None:
    for name in ("b.HTM", "a/über uns.txt", "c.pdf", "d.md", "e.html"):
        put(desk.root / "texts" / name, name)
    desk.acquire("files", "texts")
    assert desk.urls == [f"file:texts/{n}" for n in ("a/über uns.txt", "b.HTM", "c.pdf", "d.md", "e.html")]
    assert [s.mime for s in desk.snapshots] == [
        "text/plain", "text/html", "application/pdf", "text/markdown", "text/html",
    ]  # fmt: skip
    assert [desk.body(s).decode() for s in desk.snapshots] == [u.removeprefix("file:texts/") for u in desk.urls]
    assert {(s.role, s.run, s.source, s.status) for s in desk.snapshots} == {("document", "r1", "own", None)}
    assert desk.advances == 5
    assert desk.outcomes == {}
    (path,) = (desk.root / "snapshots").glob("*.warc.gz")
    assert list(scan(path)) == desk.snapshots


def test_what_is_hidden_or_of_another_type_is_counted_and_has_not_failed(desk: Desk) -> None:
    for name in ("a.txt", ".hidden.txt", ".git/b.txt", "c.docx", "d"):
        put(desk.root / "texts" / name)
    desk.acquire("files", "texts")
    assert desk.urls == ["file:texts/a.txt"]
    (reason,) = desk.outcomes.values()
    assert reason == ("irrelevant", "files passed over, being hidden or none of .html, .htm, .pdf, .txt, .md: 4")
    assert set(desk.outcomes) == {"file:texts"}


def test_a_folder_outside_the_workspace_gives_addresses_below_its_own_name(desk: Desk, tmp_path: Path) -> None:
    put(tmp_path / "x" / "texts" / "a" / "one.txt")
    put(tmp_path / "x" / "two.txt")
    desk.acquire("files", str(tmp_path / "x" / "texts"), "../x/two.txt")
    assert desk.urls == ["file:texts/a/one.txt", "file:two.txt"]


def test_a_file_named_twice_is_one_and_two_files_never_share_an_address(desk: Desk, tmp_path: Path) -> None:
    put(desk.root / "texts" / "a.txt", "1")
    put(tmp_path / "x" / "texts" / "a.txt", "2")
    desk.acquire("files", "texts", "texts/a.txt", "./texts", str(tmp_path / "x" / "texts"))
    assert desk.urls == ["file:texts/a.txt", f"file:{tmp_path}/x/texts/a.txt"]
    assert [desk.body(s) for s in desk.snapshots] == [b"1", b"2"]


def test_names_that_are_no_utf_8_make_addresses_of_their_own(desk: Desk) -> None:
    folder = desk.root / "texts"
    folder.mkdir()
    for name in (b"caf\xe9.txt", b"caf\xe8.txt"):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    desk.acquire("files", "texts")
    assert desk.urls == ["file:texts/caf%E8.txt", "file:texts/caf%E9.txt"]


def test_a_file_that_cannot_be_taken_fails_with_a_sentence_and_the_next_is_taken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(desk.root / "large.txt", bytes(10_001))
    put(desk.root / "locked.txt")
    put(desk.root / "report.docx")
    put(desk.root / "whole.txt", bytes(10_000))
    os.mkfifo(desk.root / "pipe.txt")
    plain = Path.open

    def locked(path: Path, *args: Any, **options: Any) -> Any:
        if path.name == "locked.txt":
            raise PermissionError(13, "Permission denied")
        return plain(path, *args, **options)

    monkeypatch.setattr(local.Path, "open", locked)
    desk.acquire("files", "large.txt", "locked.txt", "report.docx", "pipe.txt", "whole.txt")
    assert desk.urls == ["file:whole.txt"]
    assert {outcome for outcome, _ in desk.outcomes.values()} == {"failed"}
    assert {url.removeprefix("file:"): reason.partition(": ")[2] for url, (_, reason) in desk.outcomes.items()} == {
        "large.txt": "expected at most 10,000 bytes, found more; raise max_bytes in project.toml or split the file",
        "locked.txt": "expected a file that can be read, but Permission denied; check its permissions",
        "report.docx": "expected a file of type .html, .htm, .pdf, .txt, .md, found .docx; convert the file",
        "pipe.txt": "expected a file, found something else; name a file or a folder",
    }


def test_a_path_that_is_not_there_fails_the_source_before_anything_is_taken(desk: Desk) -> None:
    put(desk.root / "a.txt")
    for kind in ("files", "warc"):
        with pytest.raises(UsageError, match=r"nowhere: source 'own' expects a file or folder there, found none"):
            desk.acquire(kind, "a.txt", "nowhere")
    assert desk.snapshots == []


def test_addresses_seen_are_passed_over_and_a_second_pass_takes_nothing(desk: Desk) -> None:
    for name in ("a.txt", "b.txt", "c.png"):
        put(desk.root / "texts" / name)
    desk.seen.add("file:texts/a.txt")
    desk.acquire("files", "texts")
    assert desk.urls == ["file:texts/b.txt"]
    desk.acquire("files", "texts")
    assert (len(desk.snapshots), desk.advances) == (1, 2)


def archive(path: Path, *pages: tuple[str, str | bytes, Sequence[tuple[str, str]], str], packed: bool = True) -> Path:
    """Write an archive with warcio: a record for each address, body, headers and status line; a resource for the line ''."""
    out = io.BytesIO()
    writer = WARCWriter(out, gzip=packed)
    for url, body, headers, line in pages:
        data = io.BytesIO(body.encode() if isinstance(body, str) else body)
        date = {"WARC-Date": "2020-02-03T04:05:06Z"}
        if line:
            http = StatusAndHeaders(line, list(headers), protocol="HTTP/1.1")
            record = writer.create_warc_record(url, "response", payload=data, http_headers=http, warc_headers_dict=date)
        else:
            record = writer.create_warc_record(
                url, "resource", payload=data, warc_content_type=headers[0][1], warc_headers_dict=date
            )
        writer.write_record(record)
    return put(path, out.getvalue())


def page(name: str, body: str | bytes = PAGE, headers: Sequence[tuple[str, str]] = HTML, line: str = "200 OK") -> Any:
    return f"https://a.example/{name}", body, headers, line


def names(urls: Sequence[str]) -> list[str]:
    return [u.removeprefix("https://a.example/") for u in urls]


def test_pages_that_may_name_the_target_are_copied_and_the_others_noted(desk: Desk) -> None:
    plain = [("Content-Type", "text/plain")]
    archive(
        desk.root / "news.warc.gz",
        page("named"),
        page("other", "<p>The harbour master of Norland resigned.</p>"),
        page("case", "<p>the CONVENTION\non&nbsp;<em>Harbours</em></p>"),
        page("packed", gzip.compress(PAGE.encode()), [*HTML, ("Content-Encoding", "gzip"), ("X-Robots-Tag", "noai")]),
        page("entity", "<p>Das CoH-&Uuml;bereinkommen</p>"),
        page("hyphen", "<p>Das CoH-\u00dcberein\u00adkommen</p>"),
        page("latin", "<p>Das CoH-Übereinkommen</p>".encode("latin-1"), [("Content-Type", "text/html; charset=latin1")]),
        page("wide", PAGE.encode("utf-16")),
        page("chinese", "<p>诺兰签署港口公约。</p>".encode("gb18030"), [("Content-Type", "text/html; charset=gb18030")]),
        page("text", "On the Convention on Harbours.", plain),
        page("pdf", b"%PDF-1.7 packed", [("Content-Type", "application/pdf")]),
        page("bytes", b"%PDF-1.7 packed", [("Content-Type", "application/octet-stream")]),
        page("missing", PAGE, line="404 Not Found"),
        page("picture", PAGE, [("Content-Type", "image/png")]),
        page("resource", "The Convention on Harbours.", plain, ""),
        ("metadata://log", "The Convention on Harbours.", plain, ""),
    )
    desk.acquire("warc", "news.warc.gz")
    assert names(desk.urls) == [
        "named", "case", "packed", "entity", "hyphen", "latin", "wide", "chinese", "text", "pdf", "bytes", "resource",
    ]  # fmt: skip
    assert desk.outcomes == {
        "https://a.example/other": ("irrelevant", "no alias of the target stands in it"),
        "https://a.example/missing": ("irrelevant", "the archived response has the status 404"),
        "https://a.example/picture": ("irrelevant", "the archived response is of type image/png"),
        "metadata://log": ("irrelevant", "the archived resource has no address of a page"),
    }
    assert desk.advances == 16
    assert {tuple(s.hints.items()) for s in desk.snapshots} == {
        (("archive", "news.warc.gz"), ("archived", "2020-02-03T04:05:06Z"))
    }
    assert {(s.run, s.source, s.role, s.date) for s in desk.snapshots} == {("r1", "own", "document", "2026-11-22T00:00:00Z")}
    assert [s.status for s in desk.snapshots] == [200] * 11 + [None]
    packed = read_payload(desk.root / "snapshots", desk.snapshots[2], find=lambda _: None)
    assert packed.body == PAGE.encode()
    assert packed.headers == (*HTML, ("X-Archived-Content-Encoding", "gzip"), ("X-Robots-Tag", "noai"))


def test_all_pages_are_copied_where_all_are_kept(desk: Desk) -> None:
    archive(desk.root / "a.warc", page("1", "Nothing."), page("2", "Nothing.", line="500 No"), packed=False)
    desk.acquire("warc", "a.warc", keep_all=True)
    assert (names(desk.urls), names(list(desk.outcomes))) == (["1"], ["2"])


def test_the_archives_of_a_folder_are_read_in_order_and_the_first_capture_of_an_address_counts(desk: Desk) -> None:
    archive(desk.root / "crawl" / "b" / "2.WARC.gz", page("x", PAGE + "later"), page("y"))
    archive(desk.root / "crawl" / "1.warc", page("x", PAGE + "first"), page("x", PAGE + "again"), packed=False)
    put(desk.root / "crawl" / "readme.txt")
    desk.acquire("warc", "crawl", "crawl/1.warc")
    assert names(desk.urls) == ["x", "y"]
    assert desk.body(desk.snapshots[0]).endswith(b"first")


def test_faults_of_an_archive_are_failures_by_name_and_the_next_archive_is_read(desk: Desk) -> None:
    whole = archive(desk.root / "c" / "1.warc.gz", page("x"), page("large", "x" * 10_001), page("z")).read_bytes()
    put(desk.root / "c" / "1.warc.gz", whole[:-20])
    put(desk.root / "c" / "2.warc.gz", b"no archive")
    archive(desk.root / "c" / "3.warc.gz", page("y"))
    desk.acquire("warc", "c")
    assert names(desk.urls) == ["x", "y"]
    assert {outcome for outcome, _ in desk.outcomes.values()} == {"failed"}
    reasons = {url: reason.partition(": ")[2] for url, (_, reason) in desk.outcomes.items()}
    assert reasons == {
        "https://a.example/large": "expected at most 10,000 bytes, found more; raise the limit if it is worth it",
        "file:c/1.warc.gz": "expected a whole WARC file, but it ends within a record; fetch the file again",
        "file:c/2.warc.gz": "expected a WARC file, found no record; check what the file is",
    }


def test_what_is_neither_file_nor_folder_is_no_archive(desk: Desk) -> None:
    os.mkfifo(desk.root / "a.warc")
    desk.acquire("warc", "a.warc")
    ((outcome, reason),) = desk.outcomes.values()
    assert outcome == "failed"
    assert reason.endswith("a.warc: expected a WARC file, found something else; name a file or a folder")


def test_a_stopped_reading_of_an_archive_goes_on_where_it_stopped(desk: Desk) -> None:
    pages = [page(str(n), PAGE if n % 2 else "Nothing.") for n in range(8)]
    archive(desk.root / "a.warc.gz", *pages)
    desk.seen |= {f"https://a.example/{n}" for n in range(5)}
    desk.acquire("warc", "a.warc.gz")
    assert (names(desk.urls), names(list(desk.outcomes)), desk.advances) == (["5", "7"], ["6"], 3)


def test_an_archive_of_many_records_is_read_in_flat_memory(desk: Desk) -> None:
    desk.max_bytes = 200_000
    sizes: Counter[str] = Counter()
    for count in (30, 300):
        pages = [page(str(n), "Nothing. " * 10_000) for n in range(count)]
        archive(desk.root / "a.warc.gz", *pages)
        desk.seen.clear()
        tracemalloc.start()
        try:
            desk.acquire("warc", "a.warc.gz")
            sizes[str(count)] = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert len(desk.outcomes) == 300
    assert sizes["300"] < sizes["30"] + 500_000
