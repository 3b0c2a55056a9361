from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from corpus.database import Database, open_database
from corpus.errors import RecordError, UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement
from corpus.snapshot import Snapshot
from corpus.store import OUTCOMES, Location, Outcome, Run, Store
from corpus.stories import signature
from corpus.tables import metadata

A, B, C = "The pact is good.", "The pact is bad.", "The pact is old."
ONE, TWO = "https://one.example/news", "https://two.example/news"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with Store.open(store_url) as opened:
        yield opened


def _document(url: str, text: str, **fields: object) -> Document:
    return msgspec.convert({"id": document_id(url, text), "url": url, "text": text, **fields}, Document)


def _statements(document: Document) -> list[Statement]:
    """Cut a text into its words."""
    out, start = [], 0
    for word in document.text.split(" "):
        end = start + len(word)
        out.append(
            Statement(
                id=statement_id(document.id, start, end),
                document=document.id,
                start=start,
                end=end,
                text=word,
                before=document.text[max(0, start - 3) : start],
                voice="own" if start == 0 else None,
                holder="Name" if start == 0 else None,
            )
        )
        start = end + 1
    return out


def _put(
    store: Store,
    url: str,
    text: str,
    *,
    run: str = "r1",
    source: str = "s",
    seen: str = "2026-01-01T00:00:00Z",
    snapshot: str | None = None,
    **fields: object,
) -> str:
    """Put a page and return its outcome's name."""
    document = _document(url, text, source=source, **fields)
    outcome = store.put_document(
        document,
        _statements(document),
        location=Location(document=document.id, url=url, source=source, snapshot=snapshot, first_seen=seen, last_seen=seen),
        outcome=Outcome(run=run, source=source, url=url, outcome="new", snapshot=snapshot),
        signature=signature(text),
    )
    assert outcome in store.outcomes(run)
    return outcome.outcome


def _snapshot(url: str, **fields: object) -> Snapshot:
    values = {
        "id": f"urn:{url}",
        "run": "r1",
        "source": "s",
        "role": "document",
        "url": url,
        "date": "2026-01-01T00:00:00Z",
        "digest": "sha256:00",
        "file": "a.warc.gz",
        "offset": 0,
        "length": 10,
        "status": 200,
        **fields,
    }
    return msgspec.convert(values, Snapshot)


def _everything(url: str) -> dict[str, list[str]]:
    """All rows of all tables, as text, sorted."""
    database = open_database(url)
    with database.read() as connection:
        rows = {
            name: sorted(repr(tuple(row)) for row in connection.execute(table.select()))
            for name, table in metadata.tables.items()
        }
    database.close()
    return rows


# Documents


def test_a_document_comes_back_as_it_was_put(store: Store) -> None:
    text = "Ölüm \u4e00 \U00020000 \U0002ceb0 \U0001f41f \u200d \ufeff e\u0301\n\ttab “quoted”  \x01 \x7f \uffff"
    document = _document(
        "https://one.example/α?q=ü",
        text,
        publisher="P",
        published="2026-01-02",
        retrieved="2026-01-03T04:05:06Z",
        title="T\U0001f41f",
        language="de",
        kind="news",
        snapshot="urn:uuid:1",
        author="A. Uthor",
        source="s",
        rights="quote",
        relevance="lead",
        pages=(0, 7),
    )
    seen = "2026-01-01T00:00:00Z"
    store.put_document(
        document,
        _statements(document),
        location=Location(
            document=document.id, url=document.url, source="s", snapshot=None, first_seen=seen, last_seen=seen
        ),
        outcome=Outcome(run="r1", source="s", url=document.url, outcome="new"),
        signature=None,
    )
    expected = msgspec.structs.replace(document, story=document.id)
    assert store.document(document.id) == expected
    assert list(store.documents()) == [expected]
    assert list(store.statements(document.id)) == _statements(document)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1))
def test_any_text_without_nul_makes_the_round_trip(store: Store, text: str) -> None:
    _put(store, ONE, text)
    found = store.document(document_id(ONE, text)) or next(d for d in store.documents() if d.text == text)
    assert found.text == text


def test_a_new_page_is_one_document_with_one_location_and_its_statements(store: Store) -> None:
    assert _put(store, ONE, A, snapshot="urn:1") == "new"
    [document] = store.documents()
    assert (document.id, document.revision, document.story) == (document_id(ONE, A), 1, document.id)
    assert store.locations(document.id) == [
        Location(
            document=document.id,
            url=ONE,
            source="s",
            snapshot="urn:1",
            first_seen="2026-01-01T00:00:00Z",
            last_seen="2026-01-01T00:00:00Z",
        )
    ]
    assert [s.text for s in store.statements()] == A.split()


def test_the_same_page_in_a_later_run_is_unchanged_and_seen_again(store: Store) -> None:
    _put(store, ONE, A)
    assert _put(store, ONE, A, run="r2", seen="2026-02-01T00:00:00Z") == "unchanged"
    [location] = store.locations(document_id(ONE, A))
    assert (location.first_seen, location.last_seen) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    assert store.stats().documents == 1


def test_a_replay_of_an_older_run_moves_the_first_sight_and_not_the_last(store: Store) -> None:
    _put(store, ONE, A, run="r2", seen="2026-02-01T00:00:00Z", source="late", snapshot="urn:2")
    _put(store, ONE, A, run="r1", seen="2026-01-01T00:00:00Z", source="early", snapshot="urn:1")
    [location] = store.locations(document_id(ONE, A))
    assert (location.first_seen, location.last_seen) == ("2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z")
    assert (location.source, location.snapshot) == ("early", "urn:1")


def test_the_same_text_under_two_addresses_is_one_document_with_two_locations(store: Store) -> None:
    assert [_put(store, ONE, A), _put(store, TWO, A)] == ["new", "copy"]
    [document] = store.documents()
    assert document.id == document_id(ONE, A)
    assert [location.url for location in store.locations(document.id)] == [ONE, TWO]
    assert {o.document for o in store.outcomes("r1")} == {document.id}
    assert len(list(store.statements())) == len(A.split())
    assert store.stats().locations == 2


def test_spellings_of_one_address_are_one_location(store: Store) -> None:
    _put(store, "https://one.example/news", A)
    assert _put(store, "https://ONE.example/news/#top", A, run="r2") == "unchanged"
    assert _put(store, "https://one.example/news/", B, run="r2") == "revised"


def test_a_changed_text_under_the_same_address_is_a_revision(store: Store) -> None:
    assert [_put(store, ONE, text, run=f"r{i}") for i, text in enumerate((A, B, C))] == ["new", "revised", "revised"]
    assert {d.text: d.revision for d in store.documents()} == {A: 1, B: 2, C: 3}
    assert store.stats().revisions == 2


def test_a_text_that_returns_is_unchanged_and_adds_no_document(store: Store) -> None:
    assert [_put(store, ONE, text, run=f"r{i}") for i, text in enumerate((A, B, A, B))] == [
        "new",
        "revised",
        "unchanged",
        "unchanged",
    ]
    assert {d.text: d.revision for d in store.documents()} == {A: 1, B: 2}
    assert _put(store, ONE, C, run="r9") == "revised"
    assert store.document(document_id(ONE, C)) is not None
    assert {d.text: d.revision for d in store.documents()}[C] == 3


def test_a_copy_whose_address_changes_its_text_is_revised_there_and_the_first_address_keeps_its_document(
    store: Store,
) -> None:
    _put(store, ONE, A)
    _put(store, TWO, A)
    assert _put(store, TWO, B, run="r2") == "revised"
    assert {(d.url, d.text): d.revision for d in store.documents()} == {(ONE, A): 1, (TWO, B): 2}
    assert _put(store, ONE, B, run="r3") == "copy"
    assert _put(store, ONE, C, run="r4") == "revised"
    assert {d.text: d.revision for d in store.documents()} == {A: 1, B: 2, C: 3}
    assert [location.url for location in store.locations(document_id(TWO, B))] == [ONE, TWO]


def test_one_page_in_two_sources_is_one_location_with_an_outcome_in_each(store: Store) -> None:
    assert [_put(store, ONE, A, source="feed"), _put(store, ONE, A, source="sitemap")] == ["new", "unchanged"]
    assert store.counts("r1") == {"feed": {"new": 1}, "sitemap": {"unchanged": 1}}
    assert len(store.locations(document_id(ONE, A))) == 1


def test_putting_everything_twice_changes_no_row(store: Store, store_url: str) -> None:
    def put() -> list[str]:
        store.start_run(Run(id="r1", started="1", sources=("s",)))
        store.add_snapshot(_snapshot(ONE))
        store.add_outcome(Outcome(run="r1", source="s", url="https://x.example", outcome="failed", reason="timeout"))
        return [_put(store, url, text, snapshot=f"{url}{text}") for url, text in ((ONE, A), (TWO, A))]

    assert put() == ["new", "copy"]
    before = _everything(store_url)
    assert put() == ["new", "copy"]
    assert _everything(store_url) == before


@pytest.mark.parametrize("bad", ["a\x00b", "a\ud800b"])
def test_what_no_database_can_hold_is_refused_in_one_sentence_and_leaves_no_row(
    store: Store, store_url: str, bad: str
) -> None:
    before = _everything(store_url)
    for url, title in ((ONE, bad), (f"https://one.example/{bad}", "T")):
        if "\ud800" in url:
            continue  # such an address has no hash, so no such record exists
        with pytest.raises(RecordError, match=r"(NUL character|surrogate pair), which no text may have"):
            _put(store, url, A, title=title)
    with pytest.raises(RecordError):
        store.add_snapshot(_snapshot(ONE, mime=bad))
    assert _everything(store_url) == before


def test_a_statement_of_another_text_is_refused(store: Store) -> None:
    document, other = _document(ONE, A), _document(ONE, B)
    location = Location(document=document.id, url=ONE, source="s", snapshot=None, first_seen="1", last_seen="1")
    outcome = Outcome(run="r", source="s", url=ONE, outcome="new")
    with pytest.raises(RecordError, match="is no part of document"):
        store.put_document(document, _statements(other), location=location, outcome=outcome, signature=None)
    wrong = msgspec.structs.replace(_statements(document)[0], text="xxx")
    with pytest.raises(RecordError, match="is no part of document"):
        store.put_document(document, [wrong], location=location, outcome=outcome, signature=None)
    assert store.stats().documents == 0


def test_another_text_with_the_same_hash_is_refused_and_not_taken_for_a_copy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.identity.digest", lambda *_: "0" * 16)
    _put(store, ONE, A)
    with pytest.raises(RecordError, match="has the same hash"):
        _put(store, ONE, B)
    assert [d.text for d in store.documents()] == [A]


def test_streams_come_in_order_across_their_pages(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus.store._PAGE", 20)
    texts = [f"Text number {i} of some" for i in range(25)]
    for i, text in enumerate(texts):
        _put(store, f"https://{i}.example", text)
    documents = list(store.documents())
    assert [d.id for d in documents] == sorted(document_id(f"https://{i}.example", t) for i, t in enumerate(texts))
    assert list(store.statements()) == list(itertools.chain.from_iterable(map(_statements, documents)))


def test_a_document_of_more_statements_than_a_page_keeps_them_all(store: Store) -> None:
    _put(store, ONE, " ".join(f"w{i}" for i in range(1200)))
    assert len(list(store.statements())) == 1200


def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    assert store.document("x") is None
    assert store.snapshot("x") is None
    assert store.latest_snapshot("x") is None
    assert list(store.documents()) == list(store.statements("x")) == store.locations("x") == store.runs() == []
    assert store.outcomes("x") == []
    assert store.counts("x") == {}
    assert list(store.pending("x", ["s"])) == []


def test_stats_count_by_hand(store: Store) -> None:
    wire = " ".join(f"word{i}" for i in range(100))
    _put(store, ONE, wire, published="2026-01-31", language="en", kind="news", relevance="lead", source="a")
    _put(store, TWO, wire + " more", published="2026-01-01T10:00:00Z", language="en", source="a")
    _put(store, "https://three.example", A, published="2025", language="fr", kind="news", relevance="passing", source="b")
    _put(store, "https://three.example", B, run="r2", source="b")
    _put(store, "https://four.example", A, source="b")
    stats = store.stats()
    assert msgspec.structs.asdict(stats) == {
        "documents": 4,
        "statements": 100 + 101 + 4 + 4,
        "locations": 5,
        "revisions": 1,
        "stories": 3,
        "shared_stories": 1,
        "by_source": {"a": 2, "b": 2},
        "by_month": {"(none)": 2, "2026-01": 2},
        "by_language": {"(none)": 1, "en": 2, "fr": 1},
        "by_kind": {"(none)": 2, "news": 2},
        "by_relevance": {"(none)": 2, "lead": 1, "passing": 1},
        "by_story_size": {1: 2, 2: 1},
    }


# Runs, snapshots, outcomes


def test_runs_are_noted_once_and_finished(store: Store) -> None:
    first, second = Run(id="r1", started="2026-01-01", sources=("b", "a")), Run(id="r0", started="2026-01-02")
    for run in (second, first, msgspec.structs.replace(first, started="2027")):
        store.start_run(run)
    assert store.runs() == [first, second] == store.unfinished_runs()
    store.finish_run("r1", "2026-01-03")
    assert store.runs()[0].finished == "2026-01-03"
    assert store.unfinished_runs() == [second]
    with pytest.raises(RecordError, match="no run 'r7'"):
        store.finish_run("r7", "2026")


def test_a_snapshot_comes_back_as_it_was_registered(store: Store) -> None:
    snapshot = _snapshot(
        "https://one.example/ü",
        status=None,
        mime="text/html",
        refers_to="urn:0",
        offset=2**40,
        hints={"title": "a\x00\ud800ü"},
    )
    store.add_snapshot(snapshot)
    assert store.snapshot(snapshot.id) == snapshot


def test_a_snapshot_that_moved_to_another_file_is_found_there(store: Store) -> None:
    store.add_snapshot(_snapshot(ONE))
    store.add_snapshot(_snapshot(ONE, file="b.warc.gz", offset=5))
    found = store.snapshot(f"urn:{ONE}")
    assert found is not None
    assert (found.file, found.offset) == ("b.warc.gz", 5)


def test_the_latest_snapshot_is_the_last_whole_payload_of_exactly_that_address(store: Store) -> None:
    for i, (url, status, role) in enumerate(
        [
            (ONE, 200, "feed"),
            (ONE, 200, "feed"),
            (ONE, 503, "feed"),
            (ONE, 304, "feed"),
            (ONE, 200, "redirect"),
            (TWO, 200, "feed"),
        ]
    ):
        store.add_snapshot(_snapshot(url, id=f"urn:{i}", date=f"2026-01-0{i + 1}", status=status, role=role))
    latest = store.latest_snapshot(ONE)
    assert latest is not None
    assert latest.id == "urn:1"
    assert store.latest_snapshot(ONE + "/") is None


def test_a_files_snapshot_has_no_status_and_counts_as_whole(store: Store) -> None:
    store.add_snapshot(_snapshot("file:a.txt", status=None))
    assert store.latest_snapshot("file:a.txt") == _snapshot("file:a.txt", status=None)


def _pending(store: Store, sources: Sequence[str]) -> list[tuple[str, str]]:
    return [(s.source, s.url) for s in store.pending("r1", sources)]


def test_pending_are_document_snapshots_without_outcome_by_source_then_address(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpus.store._PAGE", 2)
    urls = ["https://é.example", "https://Z.example", "https://a.example", "https://b.example", "https://c.example"]
    for source, url in itertools.product("ab", urls):
        store.add_snapshot(_snapshot(url, id=f"urn:{source}{url}", source=source))
    store.add_snapshot(_snapshot(ONE, id="urn:feed", role="feed", source="a"))
    store.add_snapshot(_snapshot(ONE, id="urn:other", run="r2", source="a"))
    store.add_outcome(Outcome(run="r1", source="a", url=urls[3], outcome="empty"))
    store.add_outcome(Outcome(run="r2", source="a", url=urls[4], outcome="empty"))
    in_order = sorted(urls)
    expected = [("b", u) for u in in_order] + [("a", u) for u in in_order if u != urls[3]]
    assert _pending(store, ["b", "a", "b"]) == expected
    assert _pending(store, ["c"]) == []


def test_pending_goes_on_while_its_outcomes_are_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("corpus.store._PAGE", 3)
    for i in range(10):
        store.add_snapshot(_snapshot(f"https://{i}.example"))
    taken = []
    for snapshot in store.pending("r1", ["s"]):
        taken.append(snapshot.url)
        store.add_outcome(Outcome(run="r1", source="s", url=snapshot.url, outcome="empty"))
    assert taken == [f"https://{i}.example" for i in range(10)]
    assert _pending(store, ["s"]) == []


def test_of_several_snapshots_of_one_address_the_latest_is_pending(store: Store) -> None:
    for i in (2, 0, 1):
        store.add_snapshot(_snapshot(ONE, id=f"urn:{i}", date=f"2026-01-0{i + 1}"))
    assert [s.id for s in store.pending("r1", ["s"])] == ["urn:2"]


def test_addresses_longer_than_an_index_entry_are_kept_apart(store: Store) -> None:
    long = [f"https://one.example/{'%E2%82' * 2000}{i}" for i in range(3)]
    for i, url in enumerate(long):
        store.add_snapshot(_snapshot(url, id=f"urn:{i}"))
        assert _put(store, url, f"Text {i}.") == "new"
    assert store.fetched("r1", "s") == set(long)
    assert _pending(store, ["s"]) == []
    assert store.stats().documents == 3


def test_fetched_are_the_addresses_with_a_snapshot_or_an_outcome(store: Store) -> None:
    store.add_snapshot(_snapshot(ONE, role="redirect"))
    store.add_outcome(Outcome(run="r1", source="s", url=TWO, outcome="failed"))
    store.add_outcome(Outcome(run="r1", source="other", url="https://x.example", outcome="failed"))
    store.add_outcome(Outcome(run="r2", source="s", url="https://y.example", outcome="failed"))
    assert store.fetched("r1", "s") == {ONE, TWO}


def test_an_outcome_is_replaced_by_a_later_one_of_the_same_address(store: Store) -> None:
    for outcome in ("failed", "blocked"):
        store.add_outcome(Outcome(run="r1", source="s", url=ONE, outcome=outcome, reason=outcome))
    assert store.outcomes("r1") == [Outcome(run="r1", source="s", url=ONE, outcome="blocked", reason="blocked")]
    assert store.counts("r1") == {"s": {"blocked": 1}}


def test_a_servers_odd_words_are_no_cause_to_lose_an_outcome(store: Store) -> None:
    store.add_outcome(Outcome(run="r1", source="s", url=ONE, outcome="failed", reason="a\x00b\ud800c"))
    assert [o.reason for o in store.outcomes("r1")] == ["a\ufffdb\ufffdc"]


def test_outcomes_have_their_names_and_no_others() -> None:
    assert OUTCOMES == ("unchanged", "new", "revised", "copy", "blocked", "empty", "irrelevant", "opted_out", "failed")
    with pytest.raises(ValueError, match="outcome is 'lost', expected one of unchanged, new"):
        Outcome(run="r", source="s", url=ONE, outcome="lost")


# The database


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://u@h/d", "begins with 'mysql', expected sqlite or postgresql"),
        ("corpus.db", "is no database URL"),
        ("postgresql+nosuch://h/d", "names the driver 'postgresql.nosuch', which is not installed"),
    ],
)
def test_an_address_of_no_known_database_is_wrong_usage(url: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Store.open(url)


def test_a_postgresql_address_without_a_driver_is_opened_by_pg8000_and_its_password_is_not_shown() -> None:
    with pytest.raises(RecordError, match=r"postgresql\+pg8000://u:\*\*\*@.*the database refuses") as caught:
        Store.open("postgresql://u:hidden@/none?unix_sock=/no/such/socket")
    assert "hidden" not in str(caught.value)


def test_a_file_that_is_no_database_and_a_folder_that_is_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"This is a text, not a database. " * 100)
    with pytest.raises(RecordError, match=r"a\.db: the database refuses \(file is not a database\)"):
        Store.open(f"sqlite:///{tmp_path}/a.db")
    with pytest.raises(RecordError, match=r"nowhere/a\.db: the database refuses \(unable to open database file\)"):
        Store.open(f"sqlite:///{tmp_path}/nowhere/a.db")


def test_sqlite_runs_with_a_write_ahead_log_and_foreign_keys(tmp_path: Path) -> None:
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    database.close()


def test_an_outcome_may_not_name_a_document_that_is_not_there(store: Store) -> None:
    with pytest.raises(RecordError, match=r"(?i)foreign key"):
        store.add_outcome(Outcome(run="r1", source="s", url=ONE, outcome="new", document="0-0"))


def _blocked(url: str, sleep: Callable[[float], object]) -> Database:
    return open_database(url, timeout=0.05, attempts=3, sleep=sleep)


def test_a_write_that_another_process_holds_up_for_too_long_is_given_up_in_one_sentence(store_url: str) -> None:
    holder = open_database(store_url)
    slept: list[float] = []

    def inside(_: object) -> None:
        waiting = _blocked(store_url, slept.append)
        with pytest.raises(RecordError, match="another process stood in the way of a write 3 times"):
            Store(waiting).add_outcome(Outcome(run="r1", source="s", url=ONE, outcome="empty"))
        waiting.close()

    holder.write(inside)
    holder.close()
    assert slept == [0.1, 0.2]
    with Store.open(store_url) as store:
        assert store.outcomes("r1") == []


def test_a_conflict_that_passes_is_tried_again_from_the_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    Store.open(f"sqlite:///{path}").close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            other.execute("COMMIT")

    store = Store(_blocked(f"sqlite:///{path}", sleep))
    store.add_outcome(Outcome(run="r1", source="s", url=ONE, outcome="empty"))
    assert store.counts("r1") == {"s": {"empty": 1}}
    assert slept == [0.1, 0.2]
    store.close()
    other.close()


_HAMMER = """
import json, sys
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement
from corpus.snapshot import Snapshot
from corpus.store import Location, Outcome, Run, Store
from corpus.stories import signature

url, order = sys.argv[1], json.loads(sys.argv[2])
seen = "2026-01-01T00:00:00Z"
with Store.open(url) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    store.start_run(Run(id="r", started=seen, sources=("s",)))
    for at, text in order:
        id = document_id(at, text)
        store.add_snapshot(Snapshot(
            id="urn:" + id, run="r", source="s", role="document", url=at, date=seen, status=200, digest="sha256:0",
            file="f", offset=0, length=1,
        ))
        store.put_document(
            Document(id=id, url=at, text=text, source="s"),
            [Statement(id=statement_id(id, 0, 4), document=id, start=0, end=4, text=text[:4])],
            location=Location(document=id, url=at, source="s", snapshot="urn:" + id, first_seen=seen, last_seen=seen),
            outcome=Outcome(run="r", source="s", url=at, outcome="new", snapshot="urn:" + id),
            signature=signature(text),
        )
"""


def _hammer(url: str, orders: Sequence[Sequence[tuple[str, str]]]) -> None:
    """Put the pages of each order in a process of its own, all at once."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", _HAMMER, url, json.dumps(order)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for order in orders
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in started:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


@pytest.mark.slow
def test_two_processes_that_put_the_same_pages_at_once_leave_the_rows_of_one_that_puts_them_alone(
    new_store_url: Callable[[], str],
) -> None:
    # Every fourth page is a light edit of the one before it: so stories are merged while both write.
    texts = [" ".join(f"w{i - i % 4 // 3}x{j}" for j in range(60)) + (" edited" if i % 4 == 3 else "") for i in range(60)]
    pages = [(f"https://{i}.example/page", text) for i, text in enumerate(texts)]
    alone, together = new_store_url(), new_store_url()
    _hammer(alone, [pages])
    _hammer(together, [pages, pages[20:] + pages[:20]])
    expected = _everything(alone)
    assert _everything(together) == expected
    assert {name: len(rows) for name, rows in expected.items()} == {
        "meta": 1,
        "runs": 1,
        "snapshots": 60,
        "outcomes": 60,
        "documents": 60,
        "locations": 60,
        "statements": 60,
        "signatures": 60,
        "bands": 60 * 20,
    }
    with Store.open(together) as store:
        assert store.stats().by_story_size == {1: 30, 2: 15}


def test_two_processes_with_the_same_text_and_address_in_other_hands_make_one_document_and_all_locations(
    store_url: str,
) -> None:
    pages = [(f"https://{i}.example/page", f"Text number {i % 5} of the five.") for i in range(40)]
    _hammer(store_url, [pages, pages[::-1]])
    with Store.open(store_url) as store:
        stats = store.stats()
        assert (stats.documents, stats.statements, stats.locations, stats.revisions) == (5, 5, 40, 0)
        assert store.counts("r") == {"s": {"copy": 35, "new": 5}}
        found = {d.text: sorted(location.url for location in store.locations(d.id)) for d in store.documents()}
    expected: dict[str, list[str]] = {}
    for url, text in pages:
        expected.setdefault(text, []).append(url)
    assert found == {text: sorted(urls) for text, urls in expected.items()}


def test_two_processes_that_revise_one_address_number_the_revisions_without_gap(store_url: str) -> None:
    pages = [(ONE, f"Text number {i} of the address.") for i in range(30)]
    _hammer(store_url, [pages, pages[::-1]])
    with Store.open(store_url) as store:
        assert sorted(d.revision for d in store.documents()) == list(range(1, 31))
