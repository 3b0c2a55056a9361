"""The ledger on SQLite and on PostgreSQL."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from annotation.campaign import Answer, Case, Draw, Item, Project, Pull, Recheck, Sampled, Task
from annotation.ledger import Ledger
from corpus.database import open_database
from corpus.errors import RecordError
from corpus.identity import document_id, statement_id
from corpus.records import Annotation, Document, GoldLabel, Statement
from corpus.store import Store
from corpus.tables import meta

TEXT = "Upperton wants the pact. Lowerton does not."
AT = "2026-11-22T10:00:00Z"


_spec = importlib.util.spec_from_file_location("tests_databases", Path(__file__).parents[1] / "corpus" / "conftest.py")
assert _spec is not None
assert _spec.loader is not None
_databases = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_databases)
# The store's own fixtures, which pytest offers to the tests beside them only.
postgres_server = _databases.postgres_server
new_postgres_url = _databases.new_postgres_url
new_sqlite_url = _databases.new_sqlite_url
new_store_url = _databases.new_store_url


@pytest.fixture
def url(new_store_url: Callable[[], str]) -> str:
    return new_store_url()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger.open(url) as opened:
        yield opened


def item(start: int, end: int) -> Item:
    document = Document(id=document_id("https://river.example", TEXT), url="https://river.example", text=TEXT)
    name = statement_id(document.id, start, end)
    statement = Statement(id=name, document=document.id, start=start, end=end, text=TEXT[start:end])
    return Item(statement=statement, document=document)


def project(number: int = 1, **fields: object) -> Project:
    values: dict[str, object] = {
        "server": "http://h", "number": number, "title": f"Round 1, p{number}", "round": "Round 1", "role": "coding",
        "codebook_version": "river/1@0", "codebook": "{}", "made": AT, "coder": "anna",
    }  # fmt: skip
    return msgspec.convert(values | fields, Project)


def reading(statement: str = "s1", stance: str = "yes_please", **fields: object) -> Annotation:
    values = {"statement": statement, "annotator": "anna", "codebook_version": "river/1@0", "stance": stance}
    return msgspec.convert(values | fields, Annotation)


def answer(number: int, stamp: str, of: Project, **fields: object) -> Answer:
    values: dict[str, object] = {
        "project": of.key, "number": number, "stamp": stamp, "task": 10 + number, "state": "counted", "seen": AT,
        "raw": "{}", "statement": "s1", "annotator": "anna", "annotation": reading(),
    }  # fmt: skip
    return msgspec.convert(values | fields, Answer)


def pull(of: Project, at: str = AT, **fields: object) -> Pull:
    return msgspec.convert({"project": of.key, "at": at, "tasks": 2, "answers": 1, "full": True} | fields, Pull)


def gold(stance: str, statement: str = "s1", **fields: object) -> GoldLabel:
    values = {"statement": statement, "codebook_version": "river/1@0", "stance": stance}
    return msgspec.convert(values | fields, GoldLabel)


def test_everything_comes_back_as_it_was_noted_also_from_another_connection(url: str) -> None:
    one, two = item(0, 24), item(25, 43)
    draw = Draw(
        id="d1", made=AT, round="Round 1", strategy="random", seed=3, frame=9, frame_hash="f", settings={"n": 2, "by": None}
    )
    sampled = Sampled(draw="d1", statement=one.statement.id, stratum="all", inclusion_probability=0.25)
    anna = project()
    places = [Task(project=anna.key, position=n, statement=i.statement.id, draw="d1") for n, i in enumerate([two, one])]
    case = Case(statement="s1", codebook_version="c", round="Round 1", readings=(reading(),), opened=AT)
    recheck = Recheck(audit="a", statement="s1", position=0, control=True, score=0.5, before=reading(), opened=AT)
    with Ledger.open(url) as ledger:
        ledger.add_items([one, two])
        ledger.add_project(anna)
        ledger.add_draw(draw, [sampled])
        ledger.add_tasks(places)
        ledger.note_pull(pull(anna), [answer(1, "a", anna)])
        ledger.put_cases([case])
        ledger.put_rechecks([recheck])
    with Ledger.open(url) as ledger:
        assert ledger.items() == {one.statement.id: one, two.statement.id: two}
        assert ledger.items([two.statement.id, "none"]) == {two.statement.id: two}
        assert ledger.projects() == [anna]
        assert (ledger.draws(), ledger.sampled(), ledger.sampled("d2")) == ([draw], [sampled], [])
        assert ledger.tasks() == ledger.tasks(anna.key) == places
        assert (ledger.answers(), ledger.pulls()) == ([answer(1, "a", anna)], [pull(anna)])
        assert (ledger.cases(), ledger.rechecks("a")) == ([case], [recheck])


def test_a_ledger_stands_in_the_corpus_own_database_and_leaves_it_alone(url: str) -> None:
    Store.open(url).close()
    with Ledger.open(url) as ledger:
        ledger.add_project(project())
    Store.open(url).close()
    with Ledger.open(url) as ledger:
        assert len(ledger.projects()) == 1


def test_a_ledger_of_a_newer_release_is_refused(url: str) -> None:
    Ledger.open(url).close()
    database = open_database(url)
    database.write(lambda c: c.execute(meta.update().where(meta.c.name == "annotation_schema").values(value="2")))
    database.close()
    with pytest.raises(RecordError, match="schema version 2, and this program knows 1; install a newer"):
        Ledger.open(url)


def test_projects_are_found_by_round_and_role_in_the_order_in_which_they_were_made(ledger: Ledger) -> None:
    later = project(1, made="2026-11-23T10:00:00Z")
    first, other = project(2), project(3, role="recheck", round="Round 2")
    for p in (later, first, other):
        ledger.add_project(p)
    assert ledger.projects() == [first, other, later]
    assert ledger.projects(round="Round 1") == [first, later]
    assert ledger.projects(role="recheck") == [other]
    ledger.add_project(msgspec.structs.replace(other, email="anna@ngo.example"))
    assert [p.email for p in ledger.projects(role="recheck")] == ["anna@ngo.example"]


def test_a_statement_keeps_its_place_in_a_project(ledger: Ledger) -> None:
    ledger.add_tasks([Task(project="p", position=0, statement="s1"), Task(project="q", position=0, statement="s1")])
    ledger.add_tasks([Task(project="p", position=7, statement="s1"), Task(project="p", position=1, statement="s2")])
    assert [(t.position, t.statement) for t in ledger.tasks("p")] == [(0, "s1"), (1, "s2")]


def test_an_earlier_state_of_an_answer_stays_and_is_no_longer_current(ledger: Ledger) -> None:
    anna = project()
    first = answer(1, "a", anna)
    ledger.note_pull(pull(anna), (a for a in [first, answer(2, "z", anna)]))
    second = answer(1, "b", anna, state="skipped", annotation=None, seen="2026-11-23T10:00:00Z")
    ledger.note_pull(pull(anna, "2026-11-23T10:00:00Z"), [second])
    assert ledger.answers(anna.key) == [second, answer(2, "z", anna)]
    assert ledger.answers(anna.key, current=False) == [msgspec.structs.replace(first, current=False)]
    assert len(ledger.answers(current=None)) == 3
    assert [p.at for p in ledger.pulls(anna.key)] == [AT, "2026-11-23T10:00:00Z"]


def test_two_states_of_an_answer_in_one_pull_leave_the_last_current(ledger: Ledger) -> None:
    anna = project()
    ledger.note_pull(pull(anna), [answer(1, "a", anna), answer(1, "b", anna)])
    assert [a.stamp for a in ledger.answers()] == ["b"]
    assert [a.stamp for a in ledger.answers(current=False)] == ["a"]


def test_an_answer_noted_as_over_is_not_current_any_more(ledger: Ledger) -> None:
    anna = project()
    draft = answer(-4, "d", anna, state="draft", annotation=None)
    ledger.note_pull(pull(anna), [draft])
    ledger.note_pull(pull(anna, "2026-11-23T10:00:00Z"), [msgspec.structs.replace(draft, current=False)])
    assert ledger.answers() == []
    assert ledger.answers(current=False) == [msgspec.structs.replace(draft, current=False)]


def test_an_answer_of_one_project_does_not_touch_that_number_in_another(ledger: Ledger) -> None:
    anna, ben = project(1), project(2, coder="ben")
    ledger.note_pull(pull(anna), [answer(1, "a", anna)])
    ledger.note_pull(pull(ben), [answer(1, "b", ben)])
    assert {(a.project, a.stamp) for a in ledger.answers()} == {(anna.key, "a"), (ben.key, "b")}


def test_annotations_are_those_that_count_of_the_rounds_codebooks_and_roles_asked_for(ledger: Ledger) -> None:
    coding = project(1)
    recheck = project(2, role="recheck")
    second = project(3, round="Round 2", role="recoding")
    for p in (coding, recheck, second):
        ledger.add_project(p)
    ledger.note_pull(
        pull(coding),
        [answer(1, "a", coding), answer(2, "b", coding, state="skipped", annotation=None, statement="s2")],
    )
    ledger.note_pull(pull(recheck), [answer(1, "a", recheck, annotation=reading(stance="silent"))])
    new = reading(codebook_version="river/2@1", stance="no_thanks")
    ledger.note_pull(pull(second), [answer(1, "a", second, annotation=new)])
    assert ledger.annotations() == [reading(), new]
    assert ledger.annotations(round="Round 1") == [reading()]
    assert ledger.annotations(codebook_version="river/2@1") == [new]
    assert ledger.annotations(roles=("recheck",)) == [reading(stance="silent")]


@pytest.mark.parametrize("first", [1, 2])
def test_of_two_readings_by_one_coder_the_newer_counts_whichever_was_pulled_first(ledger: Ledger, first: int) -> None:
    old, new = project(1), project(2, role="recoding")
    answers = {
        1: answer(1, "a", old, updated="2026-11-22T09:00:00.000000Z"),
        2: answer(1, "a", new, updated="2026-11-22T09:00:00.500000Z", annotation=reading(stance="silent")),
    }
    for p in (old, new):
        ledger.add_project(p)
    for number in (first, 3 - first):
        ledger.note_pull(pull(old if number == 1 else new), [answers[number]])
    assert [a.stance for a in ledger.annotations()] == ["silent"]


def test_gold_that_changes_is_kept_and_only_the_newest_is_current(ledger: Ledger) -> None:
    assert ledger.add_gold([gold("silent"), gold("silent", "s2")], AT) == {"new": 2, "changed": 0, "same": 0}
    assert ledger.add_gold([gold("silent"), gold("no_thanks", "s2")], AT) == {"new": 0, "changed": 1, "same": 1}
    assert ledger.gold() == [gold("silent"), gold("no_thanks", "s2")]
    assert ledger.add_gold([gold("silent", "s2")], AT) == {"new": 0, "changed": 1, "same": 0}
    assert ledger.gold("river/1@0") == [gold("silent"), gold("silent", "s2")]
    assert ledger.gold("river/2@1") == []


def test_a_gold_label_whose_shares_stand_in_another_order_is_the_same(ledger: Ledger) -> None:
    ledger.add_gold([gold("silent", distribution={"silent": 0.75, "no_thanks": 0.25})], AT)
    again = gold("silent", distribution={"no_thanks": 0.25, "silent": 0.75})
    assert ledger.add_gold([again], "2026-11-23T10:00:00Z")["same"] == 1


def test_gold_that_is_dropped_is_open_and_can_be_settled_again(ledger: Ledger) -> None:
    ledger.add_gold([gold("silent"), gold("silent", "s2")], AT)
    ledger.drop_gold([("s1", "river/1@0"), ("s2", "another")])
    assert ledger.gold() == [gold("silent", "s2")]
    assert ledger.add_gold([gold("silent")], AT) == {"new": 1, "changed": 0, "same": 0}
    assert ledger.gold() == [gold("silent"), gold("silent", "s2")]


def test_a_case_and_a_recheck_stand_as_they_were_noted_last(ledger: Ledger) -> None:
    case = Case(statement="s1", codebook_version="c", round="Round 1", readings=(reading(),), opened=AT)
    closed = msgspec.structs.replace(case, decision=reading(), cause="slip", closed=AT)
    ledger.put_cases([case])
    ledger.put_cases([closed])
    assert ledger.cases() == ledger.cases(round="Round 1") == [closed]
    assert ledger.cases(round="Round 2") == []
    later = Recheck(audit="a", statement="s1", position=4, control=True, score=0.5, before=reading(), opened=AT)
    early = msgspec.structs.replace(later, statement="s2", position=1)
    ledger.put_rechecks([later, early])
    assert ledger.rechecks() == ledger.rechecks("a") == [early, later]


def test_a_pull_whose_write_is_done_again_is_noted_whole(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = project()
    ledger.note_pull(pull(anna), [answer(1, "a", anna)])
    database = ledger._database
    write = database.write

    def again(work: Callable[..., object]) -> object:  # as after a commit that another process got in the way of
        write(work)
        return write(work)

    monkeypatch.setattr(database, "write", again)
    ledger.note_pull(pull(anna, "2026-11-23T10:00:00Z"), (answer(n, "b", anna) for n in (1, 2)))
    assert [(a.number, a.stamp) for a in ledger.answers()] == [(1, "b"), (2, "b")]
    assert [(a.number, a.stamp) for a in ledger.answers(current=False)] == [(1, "a")]
