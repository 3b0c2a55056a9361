from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pipelines.label_corpus as module
from corpus.errors import BundleError, RecordError, TreatyStanceError, UsageError
from corpus.extract import read_document
from corpus.identity import document_id
from corpus.records import Document, Statement
from corpus.segment import segment
from corpus.sources import Project, load_project
from corpus.store import Location, Outcome, Store
from corpus.voice import attribute
from pipelines.inputs import find_sources
from pipelines.items import Item, Tally, read_items
from pipelines.label_corpus import CorpusFeed, bundle_model_id, corpus_run, newest_bundle
from pipelines.workspace import init_workspace

pytestmark = pytest.mark.slow  # collects and labels

MODEL = "river-1"
TEXT = """Ministers meet in Upperton

The pact is bad for our rivers, said Mayor Ann Berg. It goes too far. Nobody signed \U0001f600 it on Monday.

According to the Anglers' League:

- It will empty the rivers of Lowerton.
- It must not be signed before the spring.

Share this article
"""


def document(url: str, text: str, **more: str) -> Document:
    return Document(id=document_id(url, text), url=url, text=text, title="River news", publisher="Gazette", **more)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    init_workspace(tmp_path / "ws")
    return load_project(tmp_path / "ws")


Put = Callable[..., Document]


@pytest.fixture
def store(project: Project) -> Iterator[Store]:
    with Store.open(project.store_url) as opened:
        yield opened


@pytest.fixture
def put(store: Store) -> Put:
    """Put a document into the corpus as collection does."""

    def put(url: str, text: str, statements: Sequence[Statement] | None = None) -> Document:
        new = document(url, text)
        store.put_document(
            new,
            attribute(segment(new)) if statements is None else statements,
            location=Location(document=new.id, url=url, source="s", snapshot=None, first_seen="2026", last_seen="2026"),
            outcome=Outcome(run="r", source="s", url=url, outcome="new"),
            signature=None,
        )
        return new

    return put


def finish(output: Path, items: Sequence[Item], *, model: str = MODEL) -> None:
    """What the label job leaves, as far as later runs read it."""
    output.mkdir(parents=True, exist_ok=True)
    rows = [{"id": i.columns.get("id"), "document_id": i.columns.get("document_id")} for i in items]
    schema = pa.schema([("id", pa.string()), ("document_id", pa.string())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), output / "labels-00000.parquet")
    begin(output).rmdir()
    manifest = {"format": 1, "command": "label", "model_id": model, "outputs": [{"path": "labels-00000.parquet"}]}
    (output / "manifest.json").write_text(json.dumps(manifest))


def begin(output: Path) -> Path:
    (output / ".job").mkdir(parents=True, exist_ok=True)
    return output / ".job"


def ids(items: Sequence[Item]) -> list[object]:
    return [i.columns.get("id") or i.columns.get("document_id") for i in items]


def label_new(project: Project, *, everything: bool = False, model: str = MODEL) -> list[object]:
    """Make a run as the command does, and return what it labelled."""
    with corpus_run(project, model, everything=everything) as run:
        if run.feed is None:
            return []
        items = list(run.feed.items(Tally()))
        finish(run.output, items, model=model)
    return ids(items)


def stored(store: Store, *documents: Document) -> list[object]:
    return [s.id for d in sorted(documents, key=lambda d: d.id) for s in store.statements(d.id)]


def test_a_document_gives_the_same_rows_from_the_corpus_as_from_its_file(
    project: Project, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(TEXT, encoding="utf-8")
    sources, _ = find_sources([str(tmp_path / "docs")])
    tally, other = Tally(), Tally()
    expected = list(read_items(sources, None, tally))
    read = read_document(tmp_path / "docs" / "a.txt", root=tmp_path / "docs")
    store.put_document(
        read,
        attribute(segment(read)),
        location=Location(document=read.id, url=read.url, source="s", snapshot=None, first_seen="2026", last_seen="2026"),
        outcome=Outcome(run="r", source="s", url=read.url, outcome="new"),
        signature=None,
    )
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None
        found = list(run.feed.items(other))
        assert run.feed.count() == len(found)
    assert [(i.columns, i.before, i.reason, i.speaker, i.whole) for i in found] == [
        (i.columns, i.before, i.reason, i.speaker, i.whole) for i in expected
    ]
    assert [i.source[0] for i in found if i.source] == [i.source[0] for i in expected if i.source]
    assert other.clutter == tally.clutter
    assert any(i.speaker for i in found), "a lead-in names a speaker"
    assert tally.clutter, "the text has clutter"


def test_a_second_run_labels_what_came_since_and_a_third_has_nothing(project: Project, store: Store, put: Put) -> None:
    first = [put(f"https://a.test/{i}", f"The pact number {i} is bad, said Ann. It goes too far.") for i in range(5)]
    assert label_new(project) == stored(store, *first)
    new = put("https://a.test/new", "The pact is good, said Tom. He signed it.")
    assert label_new(project) == stored(store, new)
    with corpus_run(project, MODEL) as run:
        assert run.feed is None
        assert run.known == len(stored(store, *first, new))
    runs = project.root / "labels" / MODEL
    assert sorted(p.name for p in runs.iterdir() if p.is_dir()) == ["0001", "0002"]
    assert not list(runs.glob(".*.plan"))


def test_another_bundle_and_all_label_everything_again(project: Project, store: Store, put: Put) -> None:
    known = [put(f"https://a.test/{i}", f"The pact number {i} is bad, said Ann.") for i in range(3)]
    assert label_new(project) == stored(store, *known)
    assert label_new(project, model="river-2") == stored(store, *known)
    assert label_new(project, everything=True) == stored(store, *known)
    assert (project.root / "labels" / MODEL / "0002" / "manifest.json").is_file()


def test_of_an_address_the_newest_revision_is_labelled(project: Project, store: Store, put: Put) -> None:
    put("https://a.test/1", "The pact is bad, said Ann.")
    put("https://a.test/1", "The pact is worse, said Ann.")
    newest = put("https://a.test/1", "The pact is fine, said Ann.")
    other = put("https://b.test/1", "The pact is long, said Tom.")
    assert label_new(project) == stored(store, newest, other)
    assert label_new(project) == []
    revised = put("https://b.test/1", "The pact is short, said Tom.")
    assert label_new(project) == stored(store, revised)


def test_a_document_without_a_statement_is_one_row_with_a_reason_and_not_met_twice(project: Project, put: Put) -> None:
    empty = put("https://a.test/1", "Share this article", [])
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None
        (item,) = run.feed.items(Tally())
        assert run.feed.count() == 1
    assert item.columns["document_id"] == empty.id
    assert item.reason == "document has no statement, only headings and page furniture"
    assert label_new(project) == [empty.id]
    assert label_new(project) == []


def test_a_statement_that_is_too_long_is_a_row_with_the_reason(project: Project, put: Put) -> None:
    put("https://a.test/1", "word " * 5000 + "end.")
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None
        (item,) = run.feed.items(Tally())
    assert item.reason == "text is longer than 20,000 characters"
    assert "text" not in item.columns


def test_statements_of_a_document_that_was_cut_otherwise_before_are_new(project: Project, put: Put) -> None:
    text = "The pact is bad, said Ann. The river is long, said Tom."
    known = put("https://a.test/1", text)
    statements = segment(known).statements
    assert len(statements) == 2
    finish(project.root / "labels" / MODEL / "0001", [Item({"id": statements[0].id, "document_id": known.id})])
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None
        assert (ids(list(run.feed.items(Tally()))), run.known) == ([statements[1].id], 1)


def test_the_hash_tells_what_is_to_be_labelled_and_nothing_else(project: Project, store: Store, put: Put) -> None:
    def described(everything: bool = False) -> dict[str, object]:
        with corpus_run(project, MODEL, everything=everything) as run:
            assert run.feed is not None
            (entry,) = run.feed.describe()
            return entry

    put("https://a.test/1", "The pact is bad, said Ann. It goes too far.")
    first = described()
    assert first == described()
    assert described(everything=True)["sha256"] == first["sha256"], "all of it is new"
    put("https://a.test/2", "The pact is good, said Tom.")
    second = described()
    assert second["sha256"] != first["sha256"]
    assert (second["documents"], second["rows"]) == (2, len(list(store.statements())))


def test_items_are_the_same_each_time_and_pages_lose_none(
    project: Project, store: Store, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOGETHER", 2)
    for n in range(1, 6):  # fewer than a page, a page, more than one
        put(f"https://a.test/{n}", f"The pact number {n} is bad, said Ann. It goes too far.")
        with corpus_run(project, MODEL) as run:
            assert run.feed is not None
            once, twice = ids(list(run.feed.items(Tally()))), ids(list(run.feed.items(Tally())))
        assert once == twice == [s.id for s in store.statements()]


def test_a_stopped_run_is_refused_without_resume_and_then_finished_as_it_was_planned(
    project: Project, store: Store, put: Put
) -> None:
    first = put("https://a.test/1", "The pact is bad, said Ann.")
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None
        planned = run.feed.describe()
        begin(run.output)
    later = put("https://a.test/2", "The pact is good, said Tom.")
    with pytest.raises(UsageError, match=r"0001: expected no unfinished run.*--resume"), corpus_run(project, MODEL):
        pass
    with pytest.raises(UsageError, match="without --all"), corpus_run(project, MODEL, everything=True, resume=True):
        pass
    with corpus_run(project, MODEL, resume=True) as run:
        assert run.resumed
        assert run.feed is not None
        assert run.feed.describe() == planned
        items = list(run.feed.items(Tally()))
        finish(run.output, items)
    assert ids(items) == stored(store, first)
    assert label_new(project) == stored(store, later)


def test_a_plan_whose_run_never_began_is_made_anew(project: Project, store: Store, put: Put) -> None:
    first = put("https://a.test/1", "The pact is bad, said Ann.")
    with corpus_run(project, MODEL) as run:
        kept = (plan := run.output.with_name(".0001.plan")).read_bytes()
    assert not plan.exists()
    plan.write_bytes(kept)  # as a kill before the job's first step leaves it
    second = put("https://a.test/2", "The pact is good, said Tom.")
    assert label_new(project) == stored(store, first, second)


def test_a_run_may_go_elsewhere_and_is_then_no_earlier_run(project: Project, store: Store, put: Put, tmp_path: Path) -> None:
    first = put("https://a.test/1", "The pact is bad, said Ann.")
    with corpus_run(project, MODEL, output=tmp_path / "mine") as run:
        assert run.output == tmp_path / "mine"
        assert run.feed is not None
        finish(run.output, list(run.feed.items(Tally())))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "ws"], "no plan is left"
    assert label_new(project) == stored(store, first)


def test_one_run_a_bundle_at_a_time(project: Project, put: Put) -> None:
    put("https://a.test/1", "The pact is bad, said Ann.")
    with corpus_run(project, MODEL):
        with pytest.raises(TreatyStanceError, match="found one at work"), corpus_run(project, MODEL):
            pass
        with corpus_run(project, "river-2") as run:
            assert run.feed is not None
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b"{}\n", lambda b: b.replace(b"[[0,", b"[[1,"), lambda b: b""]
)
def test_a_damaged_plan_is_refused(project: Project, store: Store, put: Put, damage: Callable[[bytes], bytes]) -> None:
    put("https://a.test/1", "The pact is bad, said Ann.")
    with corpus_run(project, MODEL) as run:
        plan = run.output.with_name(".0001.plan")
        sound = plan.read_bytes()
        assert damage(sound) != sound
        plan.write_bytes(damage(sound))
        with pytest.raises(RecordError, match="plan of a run as it was written"):
            CorpusFeed(store, plan)


def test_a_corpus_that_was_made_anew_no_longer_fits_the_plan(project: Project, store: Store, put: Put) -> None:
    put("https://a.test/1", "The pact is bad, said Ann.")
    with corpus_run(project, MODEL) as run:
        assert run.feed is not None
        store.clear()
        with pytest.raises(RecordError, match="found them gone"):
            list(run.feed.items(Tally()))


def test_a_damaged_earlier_run_is_named(project: Project, put: Put) -> None:
    put("https://a.test/1", "The pact is bad, said Ann.")
    label_new(project)
    path = project.root / "labels" / MODEL / "0001" / "labels-00000.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match=r"0001/labels-00000\.parquet: expected a whole file of labels"):
        label_new(project)
    path.unlink()
    with pytest.raises(RecordError, match=r"labels-00000\.parquet"):
        label_new(project)


def test_an_unfinished_folder_is_no_earlier_run(project: Project, store: Store, put: Put) -> None:
    first = put("https://a.test/1", "The pact is bad, said Ann.")
    label_new(project)
    (project.root / "labels" / MODEL / "0001" / "manifest.json").unlink()
    assert label_new(project) == stored(store, first)
    assert (project.root / "labels" / MODEL / "0002" / "manifest.json").is_file()


@settings(max_examples=25)
@given(st.lists(st.sets(st.integers(0, 12), max_size=6), max_size=6))
def test_runs_after_each_collection_label_each_statement_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, days: list[set[int]]
) -> None:
    folder = tmp_path_factory.mktemp("days")
    init_workspace(folder)
    here = load_project(folder)
    labelled: list[object] = []
    with Store.open(here.store_url) as opened:
        for day in days:
            for n in sorted(day):
                new = document(f"https://a.test/{n}", f"The pact number {n} is bad, said Ann. It goes too far.")
                opened.put_document(
                    new,
                    segment(new).statements,
                    location=Location(
                        document=new.id, url=new.url, source="s", snapshot=None, first_seen="2026", last_seen="2026"
                    ),
                    outcome=Outcome(run="r", source="s", url=new.url, outcome="new"),
                    signature=None,
                )
            labelled += label_new(here)
        everything = [s.id for s in opened.statements()]
    assert sorted(map(str, labelled)) == sorted(everything)


def bundle(folder: Path, created: str, model_id: object = MODEL) -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "created": created, "model_id": model_id}))
    return folder


def test_the_newest_bundle_goes_by_day_then_by_number(project: Project) -> None:
    bundles = project.root / "bundles"
    with pytest.raises(UsageError, match=r"found none; train one"):
        newest_bundle(project)
    bundle(bundles / "zuerst", "2026-01-30")
    bundle(bundles / "2026-01-31", "2026-01-31")
    bundle(bundles / "2026-01-31-10", "2026-01-31")
    bundle(bundles / "2026-01-31-9", "2026-01-31")
    bundle(bundles / ".2026-02-01.part", "2026-02-01")
    (bundles / "2026-03-01").mkdir()
    assert newest_bundle(project) == bundles / "2026-01-31-10"


def test_a_bundles_model_id_is_read_without_the_model_and_cannot_lead_elsewhere(tmp_path: Path) -> None:
    assert bundle_model_id(bundle(tmp_path / "good", "2026-01-01")) == MODEL
    with pytest.raises(UsageError, match="no such folder"):
        bundle_model_id(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        bundle_model_id(tmp_path)
    for i, bad in enumerate((None, 7, "../up", "a/b", "", "..")):
        with pytest.raises(BundleError, match="model_id is"):
            bundle_model_id(bundle(tmp_path / f"bad{i}", "2026-01-01", bad))
