"""Looking up, seeing again, and emptying: what a store does beside putting documents, on SQLite and PostgreSQL."""

from collections.abc import Iterator

import pytest

from corpus.identity import document_id
from corpus.records import Document
from corpus.segment import segment
from corpus.snapshot import Snapshot
from corpus.store import Location, Outcome, Run, Store
from corpus.stories import signature

WORDS = "the council of Upperton met on Monday and rejected the pact for the third time because of its cost for ferries "


def put(store: Store, url: str, text: str, *, run: str = "one", snapshot: str | None = None) -> Document:
    document = Document(id=document_id(url, text), url=url, text=text)
    store.put_document(
        document,
        segment(document).statements,
        location=Location(
            document=document.id, url=url, source="s", snapshot=snapshot, first_seen="2026-03-01", last_seen="2026-03-01"
        ),
        outcome=Outcome(run=run, source="s", url=url, outcome="new", snapshot=snapshot),
        signature=signature(text),
    )
    return document


def shot(name: str, run: str, date: str, refers_to: str | None = None) -> Snapshot:
    return Snapshot(
        id=name, run=run, source="s", role="document", url="https://a.test/1", date=date, status=200, digest="sha256:0",
        refers_to=refers_to, file="f.warc.gz", offset=0, length=1,
    )  # fmt: skip


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store.open(store_url) as opened:
        yield opened


def test_a_document_is_found_by_its_id_a_statements_the_beginning_of_one_and_its_address(store: Store) -> None:
    one, two = put(store, "https://a.test/1", "One text."), put(store, "https://a.test/2", "Another text.")
    statement = next(iter(store.statements(one.id)))
    for name in (one.id, one.id[:20], statement.id, "https://a.test/1", "http://a.test/1?utm_source=x"):
        assert store.find(name) == [one.id]
    assert store.find("") == sorted([one.id, two.id])
    assert store.find("https://a.test/3") == store.find("zz") == store.find("%") == []


def test_an_address_finds_its_latest_revision(store: Store) -> None:
    put(store, "https://a.test/1", "One text.")
    later = put(store, "https://a.test/1", "Another text.")
    assert store.find("https://a.test/1") == [later.id]


def test_siblings_share_the_story_or_the_address(store: Store) -> None:
    one = put(store, "https://a.test/1", WORDS * 4)
    near = put(store, "https://b.test/1", WORDS * 4 + "says a second paper")
    revised = put(store, "https://a.test/1", "Something else altogether.")
    put(store, "https://c.test/1", "Nothing to do with it.")
    whole = {d.id: d for d in store.documents()}
    assert store.siblings(whole[one.id]) == sorted([near.id, revised.id])
    assert store.siblings(whole[near.id]) == [one.id]


def test_a_repeated_payload_is_seen_again_and_unchanged(store: Store) -> None:
    first, again = shot("a", "one", "2026-03-01"), shot("b", "two", "2026-03-05", refers_to="a")
    for run in ("one", "two"):
        store.start_run(Run(id=run, started="2026", sources=("s",)))
    store.add_snapshots([first, again])
    document = put(store, "https://a.test/1", "One text.", snapshot="a")
    for _ in range(2):
        assert store.touch(again, "two")
    assert [(o.outcome, o.document, o.snapshot) for o in store.outcomes("two")] == [("unchanged", document.id, "b")]
    assert [(p.first_seen, p.last_seen) for p in store.locations(document.id)] == [("2026-03-01", "2026-03-05")]


def test_a_repeated_payload_that_gave_no_document_is_left_to_be_judged(store: Store) -> None:
    first, again = shot("a", "one", "2026-03-01"), shot("b", "two", "2026-03-05", refers_to="a")
    store.add_snapshots([first, again])
    assert not store.touch(again, "two"), "the first has no outcome yet"
    store.add_outcome(Outcome(run="one", source="s", url=first.url, outcome="irrelevant", snapshot="a"))
    assert not store.touch(again, "two")
    assert not store.touch(shot("c", "two", "2026-03-05"), "two"), "it repeats nothing"
    assert not store.touch(shot("d", "two", "2026-03-05", refers_to="gone"), "two")
    assert store.outcomes("two") == []


def test_a_cleared_store_is_empty_and_not_whole_until_it_is_filled(store: Store, store_url: str) -> None:
    assert store.whole
    put(store, "https://a.test/1", WORDS * 4)
    store.start_run(Run(id="one", started="2026"))
    store.add_snapshot(shot("a", "one", "2026"))
    store.clear()
    assert list(store.documents()) == list(store.statements()) == store.runs() == store.outcomes("one") == []
    assert store.snapshot("a") is None
    store.clear()
    with Store.open(store_url) as other:
        assert not other.whole
    put(store, "https://a.test/1", WORDS * 4)
    store.filled()
    assert store.whole
