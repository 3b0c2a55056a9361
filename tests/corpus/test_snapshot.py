"""What a WARC record of ours holds, how it is read again, and what a killed writer leaves."""

from __future__ import annotations

import datetime
import errno
import gzip
import hashlib
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import brotli
import msgspec
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator
from warcio.checker import Checker

from corpus.errors import RecordError, UsageError
from corpus.snapshot import Snapshot, SnapshotWriter, read_payload, repair, scan, sha256

URL = "https://example.org/news/1"
HTML = [("Content-Type", "Text/HTML; charset=UTF-8")]
PAGE = "<p>The Convention on Harbours was opened for signature. Ça va.</p>".encode()
DAY = datetime.datetime(2026, 11, 22, 9, 30, 15, 250_000, tzinfo=datetime.UTC)


class Shelf:
    """A folder of snapshots and the register that the store keeps of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.by_id: dict[str, Snapshot] = {}
        self.latest: dict[str, Snapshot] = {}

    def writer(self, run: str = "r1", **options: Any) -> SnapshotWriter:
        return SnapshotWriter(self.folder, run=run, clock=lambda: DAY, known=self.latest.get, **options)

    def add(self, snapshot: Snapshot) -> Snapshot:
        self.by_id[snapshot.id] = snapshot
        if snapshot.status in (200, None):
            self.latest[snapshot.url] = snapshot
        return snapshot

    def respond(self, writer: SnapshotWriter, url: str = URL, body: bytes = PAGE, **options: Any) -> Snapshot:
        given_options: dict[str, Any] = {
            "source": "news",
            "role": "document",
            "status": 200,
            "reason": "OK",
            "headers": HTML,
        }
        return self.add(writer.write_response(url, body=body, **(given_options | options)))

    def read(self, snapshot: Snapshot, **options: Any) -> Any:
        return read_payload(self.folder, snapshot, find=self.by_id.get, **options)

    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.warc.gz"))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "snapshots")


def accepted(path: Path) -> bool:
    """Return whether warcio's own checker finds the file sound, its digests among it."""
    return bool(Checker(SimpleNamespace(inputs=[str(path)], verbose=False)).process_all() == 0)


def records(path: Path) -> list[tuple[str, dict[str, str], bytes]]:
    """Return type, headers and raw payload of each record, as warcio reads them."""
    with path.open("rb") as stream:
        return [(r.rec_type, dict(r.rec_headers.headers), r.raw_stream.read()) for r in ArchiveIterator(stream)]


def test_a_response_comes_back_as_it_was_and_another_reader_finds_it_sound(shelf: Shelf) -> None:
    hints = {"title": "A vote\nin \u2028Hanoi \U0001f6a2", "published": "2026-11-21"}
    headers = [*HTML, ("X-Robots-Tag", "noindex"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, headers=headers, hints=hints)
    assert (snapshot.run, snapshot.source, snapshot.role, snapshot.url) == ("r1", "news", "document", URL)
    assert (snapshot.date, snapshot.status, snapshot.mime) == ("2026-11-22T09:30:15Z", 200, "text/html")
    assert snapshot.digest == "sha256:" + hashlib.sha256(PAGE).hexdigest()
    assert snapshot.hints == hints
    payload = shelf.read(snapshot)
    assert payload.body == PAGE
    assert payload.headers == tuple(headers)
    (path,) = shelf.files()
    assert accepted(path)
    (info_type, _, info), (kind, fields, body) = records(path)
    assert (info_type, kind, body) == ("warcinfo", "response", PAGE)
    assert b"isPartOf: r1\r\n" in info
    assert b"format: WARC File Format 1.1\r\n" in info
    assert fields["WARC-Record-ID"] == f"<{snapshot.id}>"
    assert fields["WARC-Target-URI"] == URL
    assert list(scan(path)) == [snapshot]


def test_a_files_bytes_become_a_resource_under_an_address_with_spaces_and_letters_of_all_kinds(shelf: Shelf) -> None:
    url = "file:Reden/Über uns, 100 %.txt"
    with shelf.writer() as writer:
        snapshot = shelf.add(
            writer.write_resource(url, source="own files", role="document", mime="text/plain", body=b"One.\r\n\r\n")
        )
    assert (snapshot.url, snapshot.status, snapshot.mime) == (url, None, "text/plain")
    payload = shelf.read(snapshot)
    assert (payload.body, payload.headers) == (b"One.\r\n\r\n", ())
    (path,) = shelf.files()
    kind, fields, _ = records(path)[1]
    assert (kind, fields["Content-Type"]) == ("resource", "text/plain")
    assert fields["WARC-Target-URI"].isascii()
    assert " " not in fields["WARC-Target-URI"]
    assert list(scan(path)) == [snapshot]
    assert accepted(path)


def test_an_identity_depends_on_run_source_role_address_digest_and_status_alone(shelf: Shelf, tmp_path: Path) -> None:
    with shelf.writer() as writer, Shelf(tmp_path / "other").writer() as other:
        first = shelf.respond(writer)
        again = Shelf(tmp_path / "x").respond(other, hints={"title": "x"}, headers=[])
        others = [
            shelf.respond(writer, source="b"),
            shelf.respond(writer, role="listing"),
            shelf.respond(writer, URL + "?2"),
            shelf.respond(writer, body=b"Other."),
            shelf.respond(writer, status=404),
        ]
    assert first.id == again.id
    assert len({s.id for s in [first, *others]}) == 6


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: bytes(brotli.compress(body, quality=4)),
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("name", CODERS)
def test_the_file_keeps_the_packed_body_and_the_payload_is_unpacked(shelf: Shelf, name: str) -> None:
    packed = CODERS[name](PAGE)
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, body=packed, headers=[*HTML, ("Content-Encoding", name.upper())])
    assert snapshot.digest == sha256(PAGE)
    assert shelf.read(snapshot).body == PAGE
    (path,) = shelf.files()
    assert records(path)[1][2] == packed
    if name != "br":  # the checker asks Brotli's decoder for an attribute that it no longer has
        assert accepted(path)


@pytest.mark.parametrize("name", CODERS)
@pytest.mark.parametrize("cut", [0.3, 0.8])
def test_a_packed_body_that_is_cut_off_is_kept_and_named_when_read(shelf: Shelf, name: str, cut: float) -> None:
    whole = CODERS[name](bytes(range(256)) * 40)
    body = whole[: int(len(whole) * cut)]
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, body=body, headers=[("Content-Encoding", name)])
    assert snapshot.digest == sha256(body)
    with pytest.raises(RecordError, match=rf"^{URL}: expected a body packed with {name}, but .*; fetch it again$"):
        shelf.read(snapshot)


@pytest.mark.parametrize("name", CODERS)
def test_a_body_that_unpacks_to_more_than_the_limit_is_refused_by_name(shelf: Shelf, name: str) -> None:
    body = CODERS[name](bytes(30_000_000))
    assert len(body) < 40_000
    with shelf.writer(limit=1_000_000) as writer:
        snapshot = shelf.respond(writer, body=body, headers=[("Content-Encoding", name)])
    with pytest.raises(RecordError, match=f"expected at most 1,000,000 bytes, found more once {name} was unpacked"):
        shelf.read(snapshot, limit=1_000_000)
    assert len(shelf.read(snapshot).body) == 30_000_000  # a reader with another limit still gets it


def test_the_limit_is_the_largest_body_that_is_read(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, body=bytes(2_000_000))
    assert len(shelf.read(snapshot, limit=2_000_000).body) == 2_000_000
    for limit in (1_999_999, 500_000):
        with pytest.raises(RecordError, match=f"expected at most {limit:,} bytes"):
            shelf.read(snapshot, limit=limit)


def test_two_codings_are_undone_last_first_and_members_in_a_row_are_one_body(shelf: Shelf) -> None:
    double = brotli.compress(gzip.compress(PAGE[:9]) + gzip.compress(PAGE[9:]) + b"\0\0padding")
    with shelf.writer() as writer:
        one = shelf.respond(writer, body=double, headers=[("Content-Encoding", "gzip, br")])
        two = shelf.respond(
            writer, URL + "/2", body=double, headers=[("content-encoding", "gzip"), ("Content-Encoding", "br")]
        )
        raw = zlib.compress(PAGE)[2:-4]
        frameless = shelf.respond(writer, URL + "/3", body=raw, headers=[("Content-Encoding", "deflate")])
    assert [shelf.read(s).body for s in (one, two, frameless)] == [PAGE] * 3


@pytest.mark.parametrize("name", ["identity", "UTF-8", "gzip", "zstd", "none", ""])
def test_a_plain_body_stands_whatever_coding_its_header_claims(shelf: Shelf, name: str) -> None:
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, headers=[("Content-Encoding", name)])
    assert shelf.read(snapshot).body == PAGE
    assert accepted(shelf.files()[0])


def test_the_transfer_coding_is_renamed_since_the_body_is_kept_without_it(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, headers=[("Transfer-Encoding", "chunked")])
    payload = shelf.read(snapshot)
    assert payload.headers == (("X-Crawler-Transfer-Encoding", "chunked"),)
    assert payload.body == PAGE
    assert accepted(shelf.files()[0])


def test_a_header_cannot_begin_another_header_or_the_body(shelf: Shelf) -> None:
    headers = [("X-A", "one\r\nX-Evil: two\r\n\r\n<script>"), ("X:B\n", "three"), ("", "four"), ("Ключ", "five")]
    with shelf.writer(run='run "1"\nX-Evil: yes') as writer:
        snapshot = shelf.respond(writer, reason="OK\r\nX-Evil: 0", headers=headers, source="a\r\nWARC-Role: feed")
    payload = shelf.read(snapshot)
    assert payload.headers == (("X-A", "one X-Evil: two <script>"), ("X-B-", "three"), ("-", "four"), ("----", "five"))
    assert payload.body == PAGE
    (path,) = shelf.files()
    assert list(scan(path)) == [snapshot]
    assert (snapshot.source, snapshot.role) == ("a\r\nWARC-Role: feed", "document")
    assert accepted(path)


def test_headers_beyond_ascii_come_back(shelf: Shelf) -> None:
    headers = [("X-Robots-Tag", "noindex, caf\xe9"), ("X-Title", "Гавань; a=ü"), ("X-Empty", "")]
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, headers=headers)
    assert shelf.read(snapshot).headers == tuple(headers)
    assert accepted(shelf.files()[0])


@pytest.mark.parametrize(
    ("content_type", "mime"), [(" Application/PDF ;x=1", "application/pdf"), ("nonsense", None), ("", None)]
)
def test_a_media_type_is_bare_and_small_or_absent(shelf: Shelf, content_type: str, mime: str | None) -> None:
    with shelf.writer() as writer:
        assert shelf.respond(writer, headers=[("content-type", content_type)]).mime == mime


def test_an_empty_body_and_an_empty_reason_are_a_record(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, body=b"", reason="", headers=[], status=204)
    assert (shelf.read(snapshot).body, snapshot.status) == (b"", 204)
    assert accepted(shelf.files()[0])
    assert list(scan(shelf.files()[0])) == [snapshot]


def test_an_unchanged_payload_is_kept_once_and_the_revisit_reads_as_the_first(shelf: Shelf) -> None:
    with shelf.writer("r1") as writer:
        first = shelf.respond(writer, body=gzip.compress(PAGE), headers=[*HTML, ("Content-Encoding", "gzip")])
    revisits = []
    for run in ("r2", "r3"):
        with shelf.writer(run) as writer:
            revisits.append(shelf.respond(writer, headers=[("Content-Type", "text/html"), ("ETag", run)]))
    for snapshot, run in zip(revisits, ("r2", "r3"), strict=True):
        assert (snapshot.refers_to, snapshot.digest) == (first.id, first.digest)  # of the first, never of a revisit
        payload = shelf.read(snapshot)
        assert (payload.body, payload.headers) == (PAGE, (("Content-Type", "text/html"), ("ETag", run)))
        path = shelf.folder / snapshot.file
        kind, fields, body = records(path)[1]
        assert (kind, body) == ("revisit", b"")
        assert fields["WARC-Profile"] == "http://netpreserve.org/warc/1.1/revisit/identical-payload-digest"
        assert fields["WARC-Refers-To"] == f"<{first.id}>"
        assert fields["WARC-Refers-To-Target-URI"] == URL
        assert accepted(path)
        assert list(scan(path)) == [snapshot]


def test_an_answer_of_not_modified_reads_as_the_first_response_with_what_the_answer_changed(shelf: Shelf) -> None:
    headers = [*HTML, ("ETag", "1"), ("X-Robots-Tag", "all"), ("Content-Length", str(len(PAGE)))]
    with shelf.writer("r1") as writer:
        first = shelf.respond(writer, headers=headers)
    with shelf.writer("r2") as writer:
        answer = [("X-Robots-Tag", "noai"), ("Content-Length", "0"), ("Content-Type", "text/plain")]
        snapshot = shelf.respond(writer, status=304, reason="Not Modified", body=b"", headers=answer)
    assert (snapshot.status, snapshot.digest, snapshot.mime) == (304, first.digest, "text/html")
    payload = shelf.read(snapshot)
    assert payload.body == PAGE
    assert payload.headers == (*HTML, ("ETag", "1"), ("Content-Length", str(len(PAGE))), ("X-Robots-Tag", "noai"))
    kind, fields, _ = records(shelf.folder / snapshot.file)[1]
    assert (kind, fields["WARC-Profile"]) == ("revisit", "http://netpreserve.org/warc/1.1/revisit/server-not-modified")
    assert fields["WARC-Refers-To-Date"] == first.date
    assert accepted(shelf.folder / snapshot.file)


def test_an_answer_of_not_modified_that_nobody_asked_for_is_a_response_without_a_body(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, status=304, body=b"", headers=[])
    assert (snapshot.refers_to, shelf.read(snapshot).body) == (None, b"")


def test_an_unchanged_file_is_kept_once(shelf: Shelf) -> None:
    options: dict[str, Any] = {"source": "f", "role": "document", "mime": "text/plain", "body": b"One."}
    with shelf.writer("r1") as writer:
        first = shelf.add(writer.write_resource("file:a.txt", **options))
    with shelf.writer("r2") as writer:
        second = shelf.add(writer.write_resource("file:a.txt", **options))
        third = shelf.add(writer.write_resource("file:a.txt", **(options | {"body": b"Two."})))
    assert (second.refers_to, second.mime, third.refers_to) == (first.id, "text/plain", None)
    assert [shelf.read(s).body for s in (first, second, third)] == [b"One.", b"One.", b"Two."]
    assert accepted(shelf.folder / second.file)
    assert list(scan(shelf.folder / second.file)) == [second, third]


def test_the_same_response_twice_in_a_run_is_one_record(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        first = shelf.respond(writer)
        assert shelf.respond(writer) == first
    assert list(scan(shelf.files()[0])) == [first]


def test_no_payload_is_left_out_for_one_whose_file_is_gone(shelf: Shelf) -> None:
    with shelf.writer("r1") as writer:
        first = shelf.respond(writer)
    (shelf.folder / first.file).unlink()
    with shelf.writer("r2") as writer:
        second = shelf.respond(writer)
    assert second.refers_to is None
    assert shelf.read(second).body == PAGE


def test_a_revisit_whose_first_record_is_unknown_is_an_error_that_names_it(shelf: Shelf) -> None:
    with shelf.writer("r1") as writer:
        first = shelf.respond(writer)
    with shelf.writer("r2") as writer:
        second = shelf.respond(writer)
    with pytest.raises(RecordError, match=f"{URL}: expected the snapshot {first.id} that {second.id} repeats, found none"):
        read_payload(shelf.folder, second, find=lambda _: None)
    with pytest.raises(RecordError, match="found one without that payload"):
        read_payload(shelf.folder, second, find=lambda _: second)


def test_files_are_rotated_by_size_and_each_is_sound_by_itself(shelf: Shelf) -> None:
    bodies = [hashlib.sha512(bytes([n])).digest() * 8 for n in range(30)]
    with shelf.writer(max_bytes=4000) as writer:
        snapshots = [shelf.respond(writer, f"{URL}/{n}", body=body) for n, body in enumerate(bodies)]
    files = shelf.files()
    assert len(files) > 3
    assert [f.name[-13:] for f in files] == [f"{n:05d}.warc.gz"[-13:] for n in range(len(files))]
    assert all(f.stat().st_size <= 4000 and accepted(f) for f in files)
    assert [s for f in files for s in scan(f)] == snapshots
    assert [shelf.read(s).body for s in snapshots] == bodies


def test_a_record_larger_than_a_file_may_be_gets_a_file_of_its_own(shelf: Shelf) -> None:
    with shelf.writer(max_bytes=10) as writer:
        snapshots = [shelf.respond(writer, f"{URL}/{n}") for n in range(3)]
    assert len({s.file for s in snapshots}) == len(shelf.files()) == 3


def test_two_writers_of_one_run_write_to_files_of_their_own(shelf: Shelf) -> None:
    with shelf.writer() as one, shelf.writer() as two:
        a, b = shelf.respond(one), shelf.respond(two, URL + "/2")
    assert a.file != b.file
    assert all(f.name.startswith("r1-") and accepted(f) for f in shelf.files())


def test_a_writer_that_writes_nothing_leaves_no_file_and_a_closed_one_writes_no_more(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        pass
    assert shelf.files() == []
    with pytest.raises(ValueError, match="closed"):
        shelf.respond(writer)
    with shelf.writer() as writer, pytest.raises(ValueError, match="role is 'page', expected one of document, feed"):
        shelf.respond(writer, role="page")


def test_each_record_is_there_before_the_writer_is_closed(shelf: Shelf) -> None:
    writer = shelf.writer()
    snapshot = shelf.respond(writer)
    assert list(scan(shelf.files()[0])) == [snapshot]
    writer.close()
    writer.close()


def test_a_record_in_the_making_is_not_taken_for_a_torn_one(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        shelf.respond(writer)
        (path,) = shelf.files()
        with path.open("ab") as half:
            half.write(b"\x1f\x8b\x08\0")
        assert repair(path) == 0
    assert repair(path) == 4


WRITE_ON = """
import datetime, sys, pathlib
from corpus.snapshot import SnapshotWriter
now = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
writer = SnapshotWriter(pathlib.Path(sys.argv[1]), run="r", clock=lambda: now, known=lambda url: None, max_bytes=400_000)
for n in range(100_000):
    body = bytes((n * i * i) % 251 for i in range(20_000))
    url = f"https://example.org/{n}"
    made = writer.write_response(url, source="s", role="document", status=200, reason="OK", headers=[], body=body)
    print(made.id, flush=True)
"""


@pytest.mark.parametrize("told", [1, 7, 40])
def test_every_record_that_a_killed_writer_told_of_is_there(shelf: Shelf, told: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITE_ON, str(shelf.folder)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        ids = [writer.stdout.readline().strip() for _ in range(told)]
        writer.kill()
        ids += writer.stdout.read().split()
    for path in shelf.files():
        repair(path)
    found = [snapshot for path in shelf.files() for snapshot in scan(path)]
    assert [s.id for s in found][: len(ids)] == ids
    assert len(found) <= len(ids) + 1
    assert all(shelf.read(s).body[:2] == bytes((0, n % 251)) for n, s in enumerate(found))
    assert all(accepted(path) for path in shelf.files())


class Full:
    """A file on a disk that fills up after some bytes."""

    def __init__(self, stream: Any, room: int) -> None:
        self._stream = stream
        self._room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, data: bytes) -> int:
        self._stream.write(data[: self._room])
        self._stream.flush()
        raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_the_file_ends_with_its_last_whole_record_and_writing_may_go_on(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        first = shelf.respond(writer)
        writer._file = Full(writer._file, 50)  # type: ignore[assignment]
        with pytest.raises(
            UsageError, match=rf"{first.file}: expected room for a snapshot, but No space left on device; free"
        ):
            shelf.respond(writer, URL + "/2")
        second = shelf.respond(writer, URL + "/2")
    assert first.file != second.file
    assert list(scan(shelf.folder / first.file)) == [first]
    assert all(accepted(f) for f in shelf.files())


def three_records(shelf: Shelf) -> tuple[bytes, list[Snapshot]]:
    with shelf.writer() as writer:
        snapshots = [
            shelf.respond(writer, hints={"title": "Ünï"}),
            shelf.respond(writer, URL + "/2", body=gzip.compress(PAGE), headers=[("Content-Encoding", "gzip")]),
            shelf.respond(writer, URL + "/3", body=b"The last record of the file."),
        ]
    return shelf.files()[0].read_bytes(), snapshots


@pytest.mark.slow
def test_a_file_cut_at_any_byte_of_its_last_record_keeps_the_others_and_is_mended(shelf: Shelf, tmp_path: Path) -> None:
    data, snapshots = three_records(shelf)
    path = tmp_path / snapshots[0].file
    for cut in range(snapshots[-1].offset, len(data) + 1):
        path.write_bytes(data[:cut])
        kept = snapshots if cut == len(data) else snapshots[:-1]
        assert list(scan(path)) == kept
        end = kept[-1].offset + kept[-1].length
        assert repair(path) == cut - end
        assert path.read_bytes() == data[:end]
        assert repair(path) == 0
    assert accepted(path)
    path.write_bytes(data[: snapshots[-1].offset])
    assert accepted(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)
@given(where=st.floats(0, 1), tail=st.sampled_from([b"", bytes(700), b"\x1f\x8b\x08\0\0", b"\x1f\x8b\x08" * 40]))
@pytest.mark.slow
def test_a_file_cut_anywhere_is_scanned_to_its_last_whole_record_and_mended(
    tmp_path_factory: pytest.TempPathFactory, where: float, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    data, snapshots = three_records(Shelf(folder))
    path = folder / snapshots[0].file
    cut = int(where * len(data))
    torn = data[:cut] + tail
    path.write_bytes(torn)
    kept = [s for s in snapshots if torn.startswith(data[: s.offset + s.length])]  # a record may end with zeros
    assert list(scan(path)) == kept
    removed = repair(path)
    assert path.read_bytes() == torn[: len(torn) - removed]
    assert data.startswith(path.read_bytes())
    assert list(scan(path)) == kept
    assert accepted(path)


@pytest.mark.parametrize("tail", [b"", bytes(700), b"\x1f\x8b\x08\0\0", b"\x1f\x8b\x08" * 40])
def test_a_first_record_torn_within_its_first_bytes_is_cut_away(shelf: Shelf, tmp_path: Path, tail: bytes) -> None:
    data, snapshots = three_records(shelf)
    path = tmp_path / snapshots[0].file
    for cut in range(12):
        path.write_bytes(data[:cut] + tail)
        assert list(scan(path)) == []
        assert repair(path) == cut + len(tail)
        assert path.read_bytes() == b""


@pytest.mark.parametrize("foreign", [b"\x1f\x9d\x90 packed otherwise", b"\0notes", b"\x1f\0\0notes", b"text", bytes(4097)])
def test_a_file_that_is_no_torn_archive_is_not_cut(tmp_path: Path, foreign: bytes) -> None:
    path = tmp_path / "r1-00000000-00000.warc.gz"
    path.write_bytes(foreign)
    with pytest.raises(RecordError, match="found none; move it elsewhere"):
        repair(path)
    assert path.read_bytes() == foreign


def test_a_scan_may_begin_at_a_record(shelf: Shelf) -> None:
    _, snapshots = three_records(shelf)
    assert list(scan(shelf.files()[0], snapshots[1].offset)) == snapshots[1:]
    assert list(scan(shelf.files()[0], snapshots[2].offset + snapshots[2].length)) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(spot=st.floats(0, 0.999), flip=st.integers(1, 255))
def test_damage_within_a_file_costs_only_the_record_that_it_hits(
    tmp_path_factory: pytest.TempPathFactory, spot: float, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    data, snapshots = three_records(Shelf(folder))
    path = folder / snapshots[0].file
    hit = snapshots[1]
    at = hit.offset + int(spot * hit.length)
    path.write_bytes(data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])
    told: list[RecordError] = []
    found = list(scan(path, damage=told.append))
    assert [s for s in found if s != hit] == [snapshots[0], snapshots[2]]
    if hit not in found:  # a flip in gzip's own header may leave the record whole
        (error,) = told
        assert str(error) == (
            f"{path}: expected a record at byte {hit.offset}, found {hit.length} bytes that are none; restore the file"
        )
    assert repair(path) == 0  # records stand behind it: nothing is cut


def test_a_record_that_is_not_where_it_was_registered_is_named(shelf: Shelf, tmp_path: Path) -> None:
    data, (first, second, third) = three_records(shelf)
    swapped = msgspec.structs.replace(first, offset=second.offset, length=second.length)
    with pytest.raises(RecordError, match=f"byte {second.offset}: expected the snapshot {first.id}, found {second.id}"):
        shelf.read(swapped)
    for wrong in (
        msgspec.structs.replace(first, offset=first.offset + 1),
        msgspec.structs.replace(third, length=third.length - 1),
        msgspec.structs.replace(third, offset=len(data) + 10),
    ):
        with pytest.raises(RecordError, match="found no whole record; restore the WARC file"):
            shelf.read(wrong)
    with pytest.raises(RecordError, match="expected a payload with the digest sha256:00, found another"):
        shelf.read(msgspec.structs.replace(first, digest="sha256:00"))
    with pytest.raises(RecordError, match="No such file or directory; restore the WARC file"):
        read_payload(tmp_path / "nowhere", first, find=shelf.by_id.get)


def test_a_file_of_another_kind_is_not_cut_and_a_missing_one_is_named(tmp_path: Path) -> None:
    for name, data in {"a": b"not an archive", "b": gzip.compress(bytes(range(256)) * 100, 0)[:-20]}.items():
        (tmp_path / name).write_bytes(data)
        assert list(scan(tmp_path / name)) == []
        with pytest.raises(RecordError, match=f"/{name}: expected a WARC file packed record by record, found none; move it"):
            repair(tmp_path / name)
        assert (tmp_path / name).read_bytes() == data
    for call in (repair, lambda path: list(scan(path))):
        with pytest.raises(UsageError, match=r"nowhere: expected a WARC file.*No such file"):
            call(tmp_path / "nowhere")


def test_a_clock_without_a_zone_is_refused(shelf: Shelf) -> None:
    writer = SnapshotWriter(shelf.folder, run="r", clock=lambda: DAY.replace(tzinfo=None), known=lambda _: None)
    with pytest.raises(ValueError, match="without a zone"):
        shelf.respond(writer)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=25)
TOKEN = st.text(st.sampled_from("ABCdef-09_"), min_size=1, max_size=8).filter(lambda t: t.lower() != "transfer-encoding")
VALUE = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(
    run=TEXT,
    source=TEXT,
    url=TEXT.map(lambda t: "https://example.org/" + t),
    headers=st.lists(st.tuples(TOKEN, VALUE), max_size=5),
    body=st.binary(max_size=300),
    hints=st.dictionaries(TEXT, TEXT, max_size=3),
    status=st.sampled_from([200, 404, 999]),
)
def test_whatever_is_written_is_scanned_and_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    run: str,
    source: str,
    url: str,
    headers: list[tuple[str, str]],
    body: bytes,
    hints: dict[str, str],
    status: int,
) -> None:
    shelf = Shelf(tmp_path_factory.mktemp("any"))
    with shelf.writer(run) as writer:
        snapshot = shelf.respond(writer, url, body, source=source, headers=headers, hints=hints, status=status)
    (path,) = shelf.files()
    assert list(scan(path)) == [snapshot]
    assert (snapshot.run, snapshot.source, snapshot.url, snapshot.hints) == (run, source, url, hints)
    payload = shelf.read(snapshot)
    assert (list(payload.headers), payload.body) == (headers, body)
    assert accepted(path)


def test_what_no_database_stores_is_not_written_either(shelf: Shelf) -> None:
    with shelf.writer() as writer:
        snapshot = shelf.respond(writer, URL + "/\udce9", hints={"title": "\ud800x\0"})
    assert (snapshot.url, snapshot.hints) == (URL + "/\ufffd", {"title": "\ufffdx"})
    assert list(scan(shelf.files()[0])) == [snapshot]
