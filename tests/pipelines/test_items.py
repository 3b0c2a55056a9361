"""What a label job reads of archives; tables, files and documents are tested with the job itself."""

import io
import json
from pathlib import Path

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from corpus.identity import digest
from pipelines.inputs import Source, find_sources
from pipelines.items import Item, Tally, read_items

TEXT = "The pact is bad for Upperton, said Mayor Ann Berg on Monday. “We will not sign it,” she told the harbour council. "
HTML = f"<html lang=en><head><title>Upperton</title></head><body><article><p>{TEXT * 6}</p></article></body></html>".encode()


def archive(path: Path, *answers: tuple[str, str, str, bytes]) -> Path:
    with path.open("wb") as stream:
        writer = WARCWriter(stream, gzip=path.suffix == ".gz")
        for url, status, mime, body in answers:
            head = StatusAndHeaders(status, [("Content-Type", mime)], protocol="HTTP/1.1")
            writer.write_record(writer.create_warc_record(url, "response", payload=io.BytesIO(body), http_headers=head))
    return path


def read(path: Path) -> tuple[list[Item], Tally]:
    tally = Tally()
    return list(read_items(find_sources([str(path)])[0], None, tally)), tally


def test_the_pages_of_an_archive_are_documents_and_its_other_answers_are_counted(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "crawl.warc.gz",
        ("https://a.test/1?utm_source=x", "200 OK", "text/html; charset=utf-8", HTML),
        ("https://a.test/gone", "404 Not Found", "text/html", b"<p>gone</p>"),
        ("https://a.test/i.png", "200 OK", "image/png", b"\x89PNG"),
        ("https://a.test/empty", "200 OK", "text/html", b""),
        ("https://a.test/2.txt", "200 OK", "text/plain", TEXT.encode()),
    )
    items, tally = read(path)
    assert tally.passed_over == {str(path): 2}
    good = [i for i in items if i.reason is None]
    assert {i.columns["url"] for i in good} == {"https://a.test/1", "https://a.test/2.txt"}
    for item in good:
        assert item.whole[item.columns["start"] : item.columns["end"]] == item.columns["text"]  # type: ignore[misc]
    assert {i.columns["voice"] for i in good} <= {"own", "reported"}
    assert [(i.columns["url"], i.reason) for i in items if i.reason] == [
        ("https://a.test/empty", "expected a document, found an empty file; remove it or fetch it again")
    ]


def test_an_archive_that_ends_within_a_record_gives_what_stands_before_and_a_row_that_says_so(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "crawl.warc",
        ("https://a.test/1", "200 OK", "text/plain", TEXT.encode()),
        ("https://a.test/2", "200 OK", "text/plain", TEXT.encode()),
    )
    path.write_bytes(path.read_bytes()[:-40])
    items, _ = read(path)
    assert [i.columns["url"] for i in items if i.reason is None] == ["https://a.test/1"] * len(items[:-1])
    assert "ends within a record" in str(items[-1].reason)


def statement(**columns: object) -> Item:
    tally = Tally()
    source = Source(name="in.jsonl", kind="table", data=json.dumps(columns).encode())
    return next(iter(read_items([source], None, tally)))


def test_a_statement_of_the_corpus_keeps_its_document_its_place_and_its_voice() -> None:
    document = "472ab4c07495a1a6-95528c85f782d280"
    found = statement(id=f"{document}:120-129", text="A scandal", url="https://a.test/1", voice="own").columns
    assert [found[name] for name in ("document_id", "start", "end", "voice")] == [document, 120, 129, "own"]


def test_an_id_that_does_not_fit_the_text_says_nothing_of_its_place() -> None:
    document = "472ab4c07495a1a6-95528c85f782d280"
    for name in (f"{document}:120-128", f"{document}:129-120", "120-129", f"{document[:-1]}:120-129"):
        found = statement(id=name, text="A scandal", url="https://a.test/1", voice="loud").columns
        assert found["id"] == name
        assert found["document_id"] == digest("https://a.test/1")
        assert [found[field] for field in ("start", "end", "voice")] == [0, 9, None]
