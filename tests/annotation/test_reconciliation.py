"""What a pull makes of a project, without a server."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.campaign import Answer, Project
from annotation.codebook import Codebook
from annotation.reconciliation import User, compare, moment, read_draft, read_project, who_codes

AT = "2026-11-22T10:00:00Z"
TEXT = "Upperton wants it."
UID = f"d:0-{len(TEXT)}"


def project(**fields: Any) -> Project:
    values = {
        "server": "http://h", "number": 1, "title": "t", "round": "r", "role": "coding", "codebook_version": "c",
        "codebook": "{}", "made": AT, "coder": "anna",
    }  # fmt: skip
    return msgspec.convert(values | fields, Project)


ANNA = User(1, "a.miller@ngo.example", "Anna", "")
BEN = User(2, "ben@ngo.example", "", "bb")
CLEO = User(3, "x@ngo.example", "", "Cleo")
USERS = [ANNA, BEN, CLEO]


@pytest.mark.parametrize(
    ("coder", "email", "answering", "who"),
    [
        ("anna", None, {1, 2}, 1),  # by first name
        ("ben", None, {1, 2}, 2),  # by the e-mail's local part
        ("cleo", None, {1}, 3),  # by username, also before they have answered
        ("anna", "X@ngo.example", {1, 3}, 3),  # by the e-mail that was said, whatever they are called
        ("anna", "none@ngo.example", {1}, None),
        ("dora", None, {3}, 3),  # the only one who answered
        ("dora", None, {1, 3}, None),
        ("dora", None, set(), None),
    ],
)
def test_whose_answers_count_in_a_coders_project(
    coder: str, email: str | None, answering: set[int], who: int | None
) -> None:
    mine = project(coder=coder, email=email)
    _, names = who_codes(mine, [mine], USERS, answering)
    assert names == ({} if who is None else {who: coder})


def test_the_only_one_who_answered_is_remembered_when_somebody_else_answers_too() -> None:
    dora = project(coder="dora")
    dora, _ = who_codes(dora, [dora], USERS, {3})
    assert dora.email == "x@ngo.example"
    assert who_codes(dora, [dora], USERS, {1, 3})[1] == {3: "dora"}
    again = project(coder="dora", number=2)
    assert who_codes(again, [dora, again], USERS, {1, 2})[1] == {3: "dora"}


def test_nobody_is_two_coders() -> None:
    dora, emil = project(coder="dora", email="x@ngo.example"), project(coder="emil", number=2)
    assert who_codes(emil, [dora, emil], USERS, {3})[1] == {}
    ben = project(coder="ben", number=3)
    assert who_codes(emil, [ben, emil], USERS, {2})[1] == {}  # who is called like another coder is that one


def test_of_two_who_are_called_alike_the_one_who_answered_codes() -> None:
    twins = [ANNA, User(4, "anna@ngo.example")]
    anna = project()
    assert who_codes(anna, [anna], twins, {4})[1] == {4: "anna"}
    assert who_codes(anna, [anna], twins, {1, 4})[1] == {}


def test_in_adjudication_everybody_counts_under_one_name_and_in_nobodys_project_under_their_own() -> None:
    assert who_codes(project(role="adjudication", coder=None), [], USERS, {1, 3})[1] == {1: "adjudicator", 3: "adjudicator"}
    assert who_codes(project(role="adjudication"), [], USERS, {3})[1] == {3: "anna"}
    assert who_codes(project(coder=None), [], USERS, {3})[1] is None


def raw(number: int, stance: str = "silent", **fields: Any) -> dict[str, Any]:
    result = [{"from_name": "stance", "to_name": "text", "type": "choices", "value": {"choices": [stance]}}]
    return {
        "id": number, "completed_by": 1, "updated_by": 1, "updated_at": f"2026-11-22T09:00:{number:02d}Z", "result": result,
        "created_ago": "1 minute", "created_username": "Anna",
    } | fields  # fmt: skip


def task(number: int, *answers: dict[str, Any], text: str = TEXT, uid: str = UID, **fields: Any) -> dict[str, Any]:
    return {"id": number, "data": {"uid": uid, "text": text}, "annotations": list(answers)} | fields


def read(codebook: Codebook, tasks: list[Any], kept: Any = (), **fields: Any) -> dict[int, Answer]:
    values = {"texts": {UID: TEXT}, "names": {1: "anna"}, "predictions_shown": False, "at": AT}
    return read_project(project(), codebook, tasks, list(kept), **(values | fields))


STANCES = st.sampled_from(["silent", "no_thanks", "lukewarm"])


@given(st.lists(st.tuples(STANCES, st.sampled_from([1, 2]), st.booleans(), st.booleans()), max_size=6), st.data())
def test_an_incremental_pull_gives_what_a_full_one_gives(
    invented: Codebook, answers: list[tuple[str, int, bool, bool]], data: st.DataObject
) -> None:
    tasks = [task(5, total_predictions=1), task(6), task(7, text="Lowerton wants it."), task(8, uid="foreign")]
    for number, (stance, user, edited, skipped) in enumerate(answers, start=1):
        one = raw(number, stance, completed_by=user, updated_by=9 if edited else user, was_cancelled=skipped)
        data.draw(st.sampled_from(tasks))["annotations"].append(one)
    whole = read(invented, tasks, predictions_shown=True)
    changed = data.draw(st.sets(st.sampled_from([5, 6, 7, 8])))
    kept = [a for a in whole.values() if a.task not in changed]
    part = read(invented, [t for t in tasks if t["id"] in changed], kept, predictions_shown=True)
    assert part == whole
    assert compare(whole, part, None, at=AT).notes == ()


def test_a_newer_answer_in_another_task_supersedes_one_that_was_kept(invented: Codebook) -> None:
    known = read(invented, [task(5, raw(1))])
    now = read(invented, [task(6, raw(2, "no_thanks"))], known.values())
    assert {n: a.state for n, a in now.items()} == {1: "superseded", 2: "counted"}
    changes = compare(known, now, None, at=AT)
    assert (changes.new, changes.changed, changes.gone) == (1, 1, 0)


def test_what_the_server_says_is_kept_without_what_names_a_person_or_ages(invented: Codebook) -> None:
    (one,) = read(invented, [task(5, raw(1))]).values()
    (later,) = read(invented, [task(5, raw(1, created_ago="2 days"))]).values()
    assert one == later
    assert json.loads(one.raw) == {k: v for k, v in raw(1).items() if not k.startswith("created_")}
    assert (one.updated, one.annotation is not None) == ("2026-11-22T09:00:01.000000Z", True)


def test_an_answer_once_assisted_stays_so(invented: Codebook) -> None:
    (one,) = read(invented, [task(5, raw(1))], assisted={1}).values()
    assert one.annotation is not None
    assert one.annotation.blind is False


def test_a_draft_is_told_apart_from_an_answer_and_from_a_change_of_one() -> None:
    begun = {"id": 7, "user": "A.Miller@ngo.example", "annotation": None, "updated_at": "2026-11-22T09:00:00Z"}
    draft = read_draft(project(), task(5), begun, users=USERS, names={1: "anna"}, at=AT)
    assert (draft.number, draft.state, draft.annotator, draft.statement) == (-7, "draft", "anna", UID)
    assert "ngo.example" not in draft.raw
    change = read_draft(project(), task(5), begun | {"annotation": 3}, users=USERS, names={2: "ben"}, at=AT)
    assert (change.reason, change.annotator) == ("a change of annotation 3, begun and not submitted", "label-studio-1")


def test_comparing_tells_new_changed_and_gone_apart_and_leaves_drafts_out(invented: Codebook) -> None:
    draft = read_draft(project(), task(5), {"id": 7, "user": "", "annotation": None}, users=USERS, names=None, at=AT)
    known = {**read(invented, [task(5, raw(1)), task(6, raw(2))], names=None), -7: draft}
    found = read(invented, [task(5, raw(1, "no_thanks"), raw(3))], names=None)
    changes = compare(known, found, {5}, at=AT)
    assert (changes.new, changes.changed, changes.gone) == (1, 1, 1)
    noted = {a.number: (a.state, a.current) for a in changes.notes}
    assert noted[-7] == ("draft", False)
    assert noted[2] == ("deleted", True)
    gone = next(a for a in changes.notes if a.number == 2)
    assert (gone.annotation, gone.raw, gone.reason) == (
        None,
        "{}",
        "its task is no longer on the server; it was 'counted'",
    )
    after = {n: a for n, a in {**known, **{a.number: a for a in changes.notes}}.items() if a.current}
    assert compare(after, found, {5}, at=AT).notes == ()


@pytest.mark.parametrize(
    ("said", "one_form"),
    [
        ("2026-11-22T10:00:00Z", "2026-11-22T10:00:00.000000Z"),
        ("2026-11-22T12:00:00.5+02:00", "2026-11-22T10:00:00.500000Z"),
        ("2026-11-22T10:00:00", "2026-11-22T10:00:00.000000Z"),
        ("soon", None),
        (None, None),
    ],
)
def test_moments_have_one_form_that_sorts_by_time(said: object, one_form: str | None) -> None:
    assert moment(said) == one_form
