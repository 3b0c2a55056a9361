"""Archives that others wrote: in every packing, whole and torn, with the faults that they have."""

from __future__ import annotations

import gzip
import io
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import brotli
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from corpus.archive import read_archive
from corpus.errors import RecordError, UsageError
from corpus.snapshot import Payload, sha256

PAGE = b"<p>The Convention on Harbours was opened for signature.</p>"
HTML = [("Content-Type", "text/html; charset=utf-8")]


class Archive:
    """An archive in the making, written by warcio."""

    def __init__(self, *, packed: bool = False) -> None:
        self.out = io.BytesIO()
        self._writer = WARCWriter(self.out, gzip=packed)
        self.starts = [0]
        self._put(self._writer.create_warcinfo_record("news.warc", {"software": "another"}))

    def _put(self, record: Any) -> None:
        self._writer.write_record(record)
        self.starts.append(self.out.tell())

    def response(
        self, url: str, body: bytes = PAGE, *, headers: Sequence[tuple[str, str]] = HTML, line: str = "200 OK"
    ) -> None:
        record = self._writer.create_warc_record(
            url,
            "response",
            payload=io.BytesIO(body),
            http_headers=StatusAndHeaders(line, list(headers), protocol="HTTP/1.1"),
            warc_headers_dict={"WARC-Date": "2020-02-03T04:05:06Z"},
        )
        self._put(record)

    def other(self, kind: str, url: str, body: bytes, content_type: str) -> None:
        record = self._writer.create_warc_record(url, kind, payload=io.BytesIO(body), warc_content_type=content_type)
        self._put(record)

    def raw(self, data: bytes) -> None:
        self.out.write(data)
        self.starts.append(self.out.tell())

    def save(self, path: Path) -> Path:
        path.write_bytes(self.out.getvalue())
        return path


def news(*, packed: bool = False) -> Archive:
    """Return an archive as a news crawl leaves it, with requests, metadata and name look-ups between the pages."""
    archive = Archive(packed=packed)
    archive.other("request", "https://a.example/1", b"GET /1 HTTP/1.1\r\nHost: a.example\r\n\r\n", "application/http")
    archive.response("https://a.example/1")
    archive.other("metadata", "https://a.example/1", b"fetchTimeMs: 3\r\n", "application/warc-fields")
    archive.other("response", "dns:a.example", b"20200203\na.example. 300 IN A 192.0.2.1\n", "text/dns")
    archive.response("https://a.example/2", b"", line="404 Not Found")
    archive.other("resource", "https://a.example/3", b"A plain text.", "text/plain; charset=utf-8")
    archive.response("https://a.example/4", gzip.compress(PAGE), headers=[*HTML, ("Content-Encoding", "gzip")])
    return archive


def read(path: Path, **options: Any) -> tuple[list[Payload], list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    found = list(read_archive(path, fault=lambda where, error: told.append((where, str(error))), **options))
    return found, told


def gist(found: list[Payload]) -> list[tuple[str, int | None, str | None, bytes]]:
    return [(p.snapshot.url, p.snapshot.status, p.snapshot.mime, p.body) for p in found]


EXPECTED = [
    ("https://a.example/1", 200, "text/html", PAGE),
    ("https://a.example/2", 404, "text/html", b""),
    ("https://a.example/3", None, "text/plain", b"A plain text."),
    ("https://a.example/4", 200, "text/html", PAGE),
]


@pytest.mark.parametrize("packing", ["none", "by record", "as a whole", "in two members"])
def test_responses_and_resources_come_out_of_every_packing(tmp_path: Path, packing: str) -> None:
    plain = news().out.getvalue()
    data = {
        "none": plain,
        "by record": news(packed=True).out.getvalue(),
        "as a whole": gzip.compress(plain),
        "in two members": gzip.compress(plain[:1000]) + gzip.compress(plain[1000:]),
    }[packing]
    path = tmp_path / "news"  # the packing is seen from the bytes, whatever the name
    path.write_bytes(data)
    found, told = read(path)
    assert gist(found) == EXPECTED
    assert told == []
    first = found[0]
    assert first.headers == tuple(HTML)
    assert (first.snapshot.date, first.snapshot.digest) == ("2020-02-03T04:05:06Z", sha256(PAGE))
    assert (first.snapshot.run, first.snapshot.source, first.snapshot.role) == ("", "", "document")
    for payload in found:
        assert plain[payload.snapshot.offset :].startswith(b"WARC/1.0\r\n")  # counted in unpacked bytes


def test_an_id_is_the_records_own(tmp_path: Path) -> None:
    path = news().save(tmp_path / "a.warc")
    with path.open("rb") as stream:
        own = [r.rec_headers["WARC-Record-ID"].strip("<>") for r in ArchiveIterator(stream)]
    assert [p.snapshot.id for p in read(path)[0]] == [own[i] for i in (2, 5, 6, 7)]


def test_a_chunked_body_is_joined_and_one_that_only_claims_to_be_stands(tmp_path: Path) -> None:
    archive = Archive(packed=True)
    chunked = [*HTML, ("Transfer-Encoding", "chunked")]
    packed = gzip.compress(PAGE)
    body = b"%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (10, packed[:10], len(packed) - 10, packed[10:])
    archive.response("https://a.example/1", body, headers=[*chunked, ("Content-Encoding", "gzip")])
    archive.response("https://a.example/2", PAGE, headers=chunked)
    archive.response("https://a.example/3")
    found, told = read(archive.save(tmp_path / "a.warc.gz"))
    assert ([p.body for p in found], told) == ([PAGE] * 3, [])


def test_a_record_that_cannot_be_read_is_told_and_the_next_one_is_read(tmp_path: Path) -> None:
    archive = Archive()
    good = "https://a.example/good"
    archive.response("https://a.example/cut", brotli.compress(PAGE)[:-9], headers=[("Content-Encoding", "br")])
    archive.response(good)
    archive.response("https://a.example/large", bytes(60_000))
    archive.response("https://a.example/huge", bytes(2_000_000))
    archive.response("https://a.example/bomb", gzip.compress(bytes(9_000_000)), headers=[("Content-Encoding", "gzip")])
    archive.response(good)
    archive.response("https://a.example/status", line="what is this")
    archive.raw(b"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://a.example/length\r\n\r\nbody\r\n\r\n")
    archive.response(good)
    archive.raw(b"\r\n\r\nthese bytes\nbelong to nothing\r\n")
    archive.raw(b"WARC/1.0\r\nContent-Length: -5\r\n\r\n")
    archive.raw(b"WARC/1.0\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")
    archive.response(good)
    path = archive.save(tmp_path / "a.warc")
    found, told = read(path, limit=50_000)
    assert gist(found) == [(good, 200, "text/html", PAGE)] * 4
    names = ["cut", "large", "huge", "bomb", "status", "length"]
    assert [where for where, _ in told][:6] == [f"https://a.example/{name}" for name in names]
    expected = [
        "cut off",
        "found more",
        "found more",
        "found more once gzip",
        "found no status",
        "with its length, found none",
    ]
    assert all(part in message for part, (_, message) in zip(expected, told, strict=False))
    assert [message.partition(": ")[2] for where, message in told if where == str(path)] == [
        "expected a record, found 4 bytes that are none; fetch the file again",
        "expected a record, found 28 bytes that are none; fetch the file again",
        "expected a WARC record with its length, found -5; fetch the file again",
        "expected a WARC record with its length, found 99999999999999999999; fetch the file again",
    ]


def test_without_a_listener_the_first_broken_record_is_raised(tmp_path: Path) -> None:
    archive = Archive()
    archive.response("https://a.example/1")
    archive.response("https://a.example/2", b"\x1f\x8b\x08", headers=[("Content-Encoding", "gzip")])
    records = read_archive(archive.save(tmp_path / "a.warc"))
    assert next(records).snapshot.url == "https://a.example/1"
    with pytest.raises(RecordError, match=r"^https://a\.example/2: expected a body packed with gzip, but it is cut off"):
        next(records)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.slow
def test_an_archive_cut_at_any_byte_of_its_last_record_gives_the_others_and_says_so(tmp_path: Path, packed: bool) -> None:
    archive = news(packed=packed)
    data = archive.out.getvalue()
    path = tmp_path / "cut.warc"
    start = archive.starts[-2]
    end = len(data) if packed else len(data) - 4  # without the empty lines behind it a plain record is whole
    for cut in range(start + 1, len(data) + 1):
        path.write_bytes(data[:cut])
        found, told = read(path)
        if cut >= end:
            assert (gist(found), told) == (EXPECTED, [])
        elif packed and len(found) == 4:
            assert gist(found) == EXPECTED  # only gzip's check sum is missing
            assert [where for where, _ in told] == [str(path)]
        else:
            assert gist(found) == EXPECTED[:3]
            assert len(told) == 1
            assert told[0][0] == str(path)
        assert gist(list(read_archive(path))) == gist(found)  # a torn end is tolerated where nobody listens


def test_damage_in_the_packing_ends_the_archive_by_name(tmp_path: Path) -> None:
    archive = news(packed=True)
    data = bytearray(archive.out.getvalue())
    middle = (archive.starts[-2] + archive.starts[-1]) // 2
    data[middle : middle + 8] = b"\xff" * 8
    path = tmp_path / "a.warc.gz"
    path.write_bytes(data)
    found, told = read(path)
    assert gist(found) == EXPECTED[:3]
    # Record ids differ from run to run, and with them where unpacking fails: at once, or at the check sum behind the record.
    assert told[-1][1].startswith(f"{path}: expected a whole WARC file, but its packing is damaged (")
    assert [where for where, _ in told[:-1]] in ([], ["https://a.example/4"])


@pytest.mark.parametrize(
    "data", [b"", b"\x1f\x8b\x08", b"<html>no archive</html>\n" * 9000, gzip.compress(b"x\n" * 99, mtime=0)]
)
def test_a_file_that_is_no_archive_is_an_error_that_names_it(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.warc.gz"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=r"a\.warc\.gz: expected a WARC file, found no"):
        read(path)
    with pytest.raises(UsageError, match=r"nowhere: expected a WARC file, but No such file or directory; check the path"):
        read(tmp_path / "nowhere")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(edits=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=12), packed=st.booleans())
def test_no_damage_raises_anything_but_the_projects_own_error(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[float, int]], packed: bool
) -> None:
    data = bytearray(news(packed=packed).out.getvalue())
    for where, value in edits:
        data[int(where * len(data))] = value
    path = tmp_path_factory.mktemp("fuzz") / "a.warc"
    path.write_bytes(data)
    try:
        found, _ = read(path)
    except RecordError as error:
        assert str(path) in str(error)  # noqa: PT017 - the error is one of two outcomes
    else:
        assert edits or gist(found) == EXPECTED


def test_memory_holds_one_record_at_a_time(tmp_path: Path) -> None:
    archive = Archive(packed=True)
    for n in range(60):
        archive.response(f"https://a.example/{n}", random.Random(n).randbytes(400_000))  # noqa: S311
    path = archive.save(tmp_path / "a.warc.gz")
    tracemalloc.start()
    try:
        size = sum(len(p.body) for p in read_archive(path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == 60 * 400_000
    assert peak < 4_000_000
