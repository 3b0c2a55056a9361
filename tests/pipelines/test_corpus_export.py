import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from corpus.errors import RecordError, UsageError
from corpus.identity import document_id
from corpus.records import Document
from corpus.segment import segment
from corpus.store import Location, Outcome, Store
from corpus.stories import signature
from pipelines.corpus_export import export_corpus, page_of
from pipelines.corpus_show import document_lines, find_document, stats_lines
from pipelines.inputs import read_rows

WORDS = "the council of Upperton met on Monday and rejected the pact for the third time because of its cost ferries "
TEXTS = {
    "https://a.test/1": "The pact is bad, said the mayor of Upperton. It goes.\nNobody signed \U0001f600 it on 𠀀 Monday.",
    "https://a.test/2": WORDS * 4,
    "https://b.test/2": WORDS * 4 + "says a second paper",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path}/corpus.db") as opened:
        for i, (url, text) in enumerate(TEXTS.items()):
            document = Document(
                id=document_id(url, text),
                url=url,
                text=text,
                title=f"Title {i}",
                published=f"2025-0{i + 1}-01",
                publisher="A paper",
                source="s",
                language="en",
                pages=(0, 54) if i == 0 else (),
            )
            opened.put_document(
                document,
                segment(document).statements,
                location=Location(
                    document=document.id, url=url, source="s", snapshot=None, first_seen="2026", last_seen="2026"
                ),
                outcome=Outcome(run="r", source="s", url=url, outcome="new"),
                signature=signature(text),
            )
        yield opened


def export(store: Store, folder: Path, *formats: str) -> dict[str, int]:
    return export_corpus(store, folder, formats=formats or ("jsonl", "parquet"), created="2026-01-01", database="db").rows


def test_both_formats_hold_the_same_rows(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    rows = export(store, folder)
    assert rows["documents"] == rows["locations"] == 3
    for table, n in rows.items():
        lines = [json.loads(line) for line in (folder / f"{table}.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(lines) == n
        assert pq.read_table(folder / f"{table}.parquet").to_pylist() == lines


def test_statements_are_exact_slices_and_carry_what_labelling_reads(store: Store, tmp_path: Path) -> None:
    export(store, tmp_path / "out", "jsonl")
    documents = {d.id: d for d in store.documents()}
    path = tmp_path / "out" / "statements.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert {r["document_id"] for r in rows} == set(documents)
    for row in rows:
        assert documents[row["document_id"]].text[row["start"] : row["end"]] == row["text"]
        assert row["title"] == documents[row["document_id"]].title
    read = list(read_rows([str(path)]))
    assert [r.id for r in read] == [r["id"] for r in rows]
    assert {r.publisher for r in read} == {"A paper"}


def test_an_export_written_twice_is_the_same_to_the_byte(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(store, folder)
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    export(store, folder)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == first
    export(store, folder, "jsonl")
    assert {p.suffix for p in folder.iterdir()} == {".jsonl", ".json"}, "files of a form that was not asked for are stale"


def test_a_folder_with_something_else_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"found notes\.txt; choose another folder"):
        export(store, tmp_path / "out")


def test_a_page_is_the_last_one_that_began() -> None:
    assert [page_of((0, 10, 20), at) for at in (0, 9, 10, 25)] == [1, 1, 2, 3]
    assert page_of((), 5) is None


def test_a_document_is_found_by_id_by_its_beginning_by_a_statement_and_by_address(store: Store) -> None:
    wanted = next(d for d in store.documents() if d.url == "https://a.test/1")
    statement = next(iter(store.statements(wanted.id)))
    for name in (wanted.id, wanted.id[:20], statement.id, "https://a.test/1", "http://a.test/1?utm_source=x"):
        assert find_document(store, name).id == wanted.id
    with pytest.raises(RecordError, match="expected an id or an address of the corpus, found none"):
        find_document(store, "nothing")
    with pytest.raises(RecordError, match="found 3 that it fits"):
        find_document(store, "")


def test_a_document_shows_its_statements_pages_story_and_places(store: Store) -> None:
    lines = document_lines(store, "https://a.test/1")
    assert lines[0] == "Title 0"
    assert any("https://a.test/1" in line and "seen 2026" in line for line in lines)
    assert any("page 1" in line for line in lines)
    assert any("page 2" in line for line in lines)
    near = document_lines(store, "https://a.test/2")
    other = next(d.id for d in store.documents() if d.url == "https://b.test/2")
    assert f"the same story or address: {other}" in near


def test_the_counts_are_those_of_the_corpus(store: Store) -> None:
    text = "\n".join(stats_lines(store.stats()))
    assert text.startswith("3 documents (0 of them revisions)")
    assert "2 stories, 1 of them told by more than one document" in text
    assert "2025-02" in text
