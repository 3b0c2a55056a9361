"""A campaign's exchange with a real server; faults of the way there come from a proxy between."""

from __future__ import annotations

import importlib.util
import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from annotation import calls
from annotation.calls import connect, list_tasks, read_drafts, server_url
from annotation.campaign import Item, Project
from annotation.codebook import Codebook
from annotation.exchange import Plan, open_project, pull_project, push_tasks
from annotation.interface import adjudication_task, cause_of, prediction, task
from annotation.ledger import Ledger
from corpus.errors import CodebookError, RecordError, TreatyStanceError, UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Annotation, Document, Prediction, Statement

# Characters of one and two UTF-16 units, and a letter with an accent for which Unicode has no letter of its own.
HARD = "😀 Q̃uen Town and 𠮷野家 said: 漢字 Town rejects 👩‍👩‍👧 the “pact”."
AT = "2026-11-22T10:00:00Z"
LATER = "2026-11-22T11:00:00Z"
NEXT_WEEK = "2026-11-29T10:00:00Z"

pytestmark = pytest.mark.label_studio


def _proxy_module() -> Any:
    spec = importlib.util.spec_from_file_location("tests_proxy", Path(__file__).with_name("proxy.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def items_of(*texts: str) -> list[Item]:
    whole = "\n".join(texts)
    document = Document(
        id=document_id("https://river.example", whole), url="https://river.example", text=whole, title="News"
    )
    found, start = [], 0
    for text in texts:
        end = start + len(text)
        name = statement_id(document.id, start, end)
        statement = Statement(id=name, document=document.id, start=start, end=end, text=text)
        found.append(Item(statement=statement, document=document))
        start = end + 1
    return found


def tasks_of(items: list[Item]) -> list[tuple[str, dict[str, Any]]]:
    return [(i.statement.id, task(i.statement, i.document)) for i in items]


def choice(control: str, *labels: str) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}


def typed(control: str, words: str) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "textarea", "value": {"text": [words]}}


def mark(start: int, end: int, words: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": words, "labels": ["holder"]}
    return {"id": "r", "from_name": "holder", "to_name": "text", "type": "labels", "value": value}


class Campaign:
    """A ledger, a server, one project of it, and a coder who answers there in a browser's session."""

    def __init__(self, client: Any, ledger: Ledger, codebook: Codebook, coder: Any, name: str) -> None:
        self.client, self.ledger, self.codebook, self.coder, self.name = client, ledger, codebook, coder, name
        self.round = f"R {secrets.token_hex(5)}"
        self.items = items_of("Upperton wants the pact.", HARD, "Lowerton met on Monday.", "Nobody spoke of fish.")

    def plan(self, **fields: Any) -> Plan:
        values = {
            "title": f"{self.round}, a coder", "round": self.round, "role": "coding", "codebook": self.codebook,
            "coder": self.name,
        }  # fmt: skip
        return Plan(**(values | fields))

    def open(self, **fields: Any) -> Project:
        return open_project(self.client, self.ledger, self.plan(**fields), at=AT)

    def pushed(self, **fields: Any) -> Project:
        project = self.open(**fields)
        self.ledger.add_items(self.items)
        push_tasks(self.client, self.ledger, project, tasks_of(self.items))
        return project

    def pull(self, project: Project, at: str = AT, **fields: Any) -> Any:
        return pull_project(self.client, self.ledger, project, at=at, **fields)

    def on_server(self, project: Project) -> list[dict[str, Any]]:
        return list_tasks(self.client, project.number, fields="all")

    def numbers(self, project: Project) -> list[int]:
        return [t["id"] for t in self.on_server(project)]

    def answer(self, number: int, *results: dict[str, Any], by: Any = None, **fields: Any) -> int:
        body = {"result": list(results), "lead_time": 3.5} | fields
        return int((by or self.coder).send("POST", f"/api/tasks/{number}/annotations/", body)["id"])


@pytest.fixture(scope="session")
def proxies() -> Any:
    return _proxy_module()


@pytest.fixture(scope="session")
def client(label_studio: Any) -> Any:
    return connect(label_studio.url, label_studio.key)


@pytest.fixture(scope="session")
def people(label_studio: Any) -> list[tuple[str, str, Any]]:
    """Two colleagues: a coder's name, an e-mail and a session."""
    accounts = [label_studio.second_account() for _ in range(2)]
    return [(a.email.partition("@")[0], a.email, label_studio.login(a)) for a in accounts]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path}/ledger.db") as opened:
        yield opened


@pytest.fixture
def campaign(client: Any, ledger: Ledger, invented: Codebook, people: list[Any]) -> Campaign:
    name, _, session = people[0]
    return Campaign(client, ledger, invented, session, name)


@pytest.fixture
def proxy(proxies: Any, label_studio: Any) -> Iterator[Any]:
    with proxies.running(label_studio.url) as running:
        yield running


class TestTokensAndPaths:
    def test_a_personal_token_works_under_a_path(self, proxy: Any, campaign: Campaign, label_studio: Any) -> None:
        campaign.client = connect(proxy.url, label_studio.key)
        assert server_url(campaign.client) == proxy.url
        project = campaign.pushed()
        assert project.server == proxy.url
        campaign.answer(campaign.numbers(project)[0], choice("stance", "silent"))
        assert campaign.pull(project).counts == {"counted": 1}
        assert ("POST", "/api/token/refresh/") in proxy.seen

    def test_a_legacy_token_works_where_it_is_allowed_also_under_a_path(
        self, proxy: Any, campaign: Campaign, label_studio: Any
    ) -> None:
        owner = label_studio.login()
        legacy = owner.send("GET", "/api/current-user/token")["token"]
        before = owner.send("GET", "/api/jwt/settings")
        owner.send("POST", "/api/jwt/settings", before | {"legacy_api_tokens_enabled": True})
        try:
            for address in (label_studio.url, proxy.url):
                campaign.client = connect(address, legacy)
                project = campaign.pushed(round=f"{campaign.round} {address[-2:]}", title=f"{campaign.round} {address[-2:]}")
                campaign.answer(campaign.numbers(project)[0], choice("stance", "silent"))
                assert campaign.pull(project).counts == {"counted": 1}
        finally:
            owner.send("POST", "/api/jwt/settings", before)
        with pytest.raises(UsageError, match="the server refuses the key"):
            connect(label_studio.url, legacy)


class TestOpen:
    def test_a_project_is_made_once_and_found_again(self, campaign: Campaign) -> None:
        first = campaign.open()
        assert open_project(campaign.client, campaign.ledger, campaign.plan(), at=LATER) == first
        assert campaign.ledger.projects() == [first]
        assert (first.made, first.coder, first.codebook_version) == (AT, campaign.name, campaign.codebook.id)
        remote = campaign.client.projects.get(id=first.number)
        assert (remote.sampling, remote.show_collab_predictions) == ("Sequential sampling", False)

    def test_a_server_is_one_by_whichever_of_its_names(self, campaign: Campaign, label_studio: Any) -> None:
        project = campaign.pushed()
        elsewhere = connect(label_studio.url.replace("127.0.0.1", "localhost"), label_studio.key)
        assert server_url(elsewhere) != project.server
        assert open_project(elsewhere, campaign.ledger, campaign.plan(), at=LATER) == project
        assert campaign.ledger.projects() == [project]
        campaign.answer(campaign.numbers(project)[0], choice("stance", "silent"))
        assert pull_project(elsewhere, campaign.ledger, project, at=AT).counts == {"counted": 1}

    def test_a_project_that_the_ledger_did_not_come_to_note_is_taken_over(self, campaign: Campaign, tmp_path: Path) -> None:
        first = campaign.open()
        with Ledger.open(f"sqlite:///{tmp_path}/other.db") as empty:
            assert open_project(campaign.client, empty, campaign.plan(), at=AT).number == first.number

    def test_an_email_that_is_said_later_is_noted_and_kept(self, campaign: Campaign) -> None:
        campaign.open()
        assert campaign.open(email="anna@ngo.example").email == "anna@ngo.example"
        assert campaign.open().email == "anna@ngo.example"

    def test_another_codebook_or_another_view_is_refused(self, campaign: Campaign) -> None:
        campaign.open()
        other = msgspec.structs.replace(campaign.codebook, version=2)
        with pytest.raises(CodebookError, match=f"expected codebook {other.id}, found {campaign.codebook.id}"):
            campaign.open(codebook=other)
        with pytest.raises(UsageError, match="its coders do not see the publisher"):
            campaign.open(show_publisher=True)
        with pytest.raises(UsageError, match="its coders do not see a model's suggestions"):
            campaign.open(assisted=True)

    def test_a_project_serves_one_purpose(self, campaign: Campaign) -> None:
        campaign.open()
        with pytest.raises(UsageError, match=f"it serves the coding of {campaign.name} in '{campaign.round}'"):
            campaign.open(role="recheck")

    def test_somebody_elses_project_of_that_title_is_refused(self, campaign: Campaign) -> None:
        campaign.client.projects.create(title=campaign.plan().title)
        with pytest.raises(CodebookError, match="found none in its labeling interface"):
            campaign.open()

    def test_a_project_that_is_gone_is_told_and_not_replaced(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        campaign.client.projects.delete(id=project.number)
        for work in (campaign.open, campaign.pushed, lambda: campaign.pull(project)):
            with pytest.raises(UsageError, match=f"has no project {project.number} any more"):
                work()

    def test_an_adjudication_asks_for_the_cause_and_no_other_project_does(self, campaign: Campaign) -> None:
        project = campaign.open(role="adjudication", coder=None)
        assert 'name="cause"' in campaign.client.projects.get(id=project.number).label_config
        assert 'name="cause"' not in campaign.client.projects.get(id=campaign.open(title=campaign.round).number).label_config


class TestPush:
    def test_pushing_twice_adds_nothing_and_keeps_the_order(self, campaign: Campaign) -> None:
        project = campaign.open()
        some = tasks_of(campaign.items)
        first = push_tasks(campaign.client, campaign.ledger, project, [*some, *some], draw="d1")
        assert (first.added, first.present, first.repeated, first.removed, first.problems) == (4, 0, 0, 0, ())
        second = push_tasks(campaign.client, campaign.ledger, project, some, draw="d2")
        assert (second.added, second.present) == (0, 4)
        uids = [uid for uid, _ in some]
        assert [t["data"]["uid"] for t in campaign.on_server(project)] == uids
        places = campaign.ledger.tasks(project.key)
        assert [(t.position, t.statement, t.draw) for t in places] == [(n, uid, "d1") for n, uid in enumerate(uids)]

    def test_places_go_on_after_the_last(self, campaign: Campaign) -> None:
        project = campaign.open()
        some = tasks_of(campaign.items)
        push_tasks(campaign.client, campaign.ledger, project, some[2:])
        result = push_tasks(campaign.client, campaign.ledger, project, some)
        assert (result.added, result.present) == (2, 2)
        order = [some[n][0] for n in (2, 3, 0, 1)]
        assert [t.statement for t in campaign.ledger.tasks(project.key)] == order
        assert [t["data"]["uid"] for t in campaign.on_server(project)] == order

    @pytest.mark.parametrize("fault", ["before", "after"])
    @pytest.mark.parametrize("request_number", [0, 1])
    def test_a_connection_lost_in_mid_push_doubles_and_loses_nothing(
        self,
        campaign: Campaign,
        proxy: Any,
        label_studio: Any,
        monkeypatch: pytest.MonkeyPatch,
        fault: str,
        request_number: int,
    ) -> None:
        monkeypatch.setattr(calls, "_BATCH", 2)
        campaign.client = connect(proxy.url, label_studio.key)
        project = campaign.open()
        path = f"/api/projects/{project.number}/import"
        proxy.fault = lambda method, where, times: (
            fault if (method, where, times) == ("POST", path, request_number) else None
        )
        with pytest.raises(TreatyStanceError, match=r"after [02] of 4 new statements; push again, none is put in twice"):
            push_tasks(campaign.client, campaign.ledger, project, tasks_of(campaign.items))
        arrived = 2 * (request_number + (fault == "after"))
        assert len(campaign.on_server(project)) == arrived
        result = push_tasks(campaign.client, campaign.ledger, project, tasks_of(campaign.items))
        assert (result.added, result.present, result.repeated) == (4 - arrived, arrived, 0)
        uids = [i.statement.id for i in campaign.items]
        assert [t["data"]["uid"] for t in campaign.on_server(project)] == uids
        assert [(t.position, t.statement) for t in campaign.ledger.tasks(project.key)] == list(enumerate(uids))

    def test_copies_that_nobody_has_begun_go_and_begun_ones_stay_and_are_told(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        untouched, answered_twice, answered_late, _ = tasks_of(campaign.items)
        copies = [untouched[1], answered_twice[1], answered_late[1]]
        campaign.client.projects.import_tasks(id=project.number, request=copies)
        numbers = campaign.numbers(project)
        for number in (numbers[1], numbers[5], numbers[6]):
            campaign.answer(number, choice("stance", "silent"))
        result = push_tasks(campaign.client, campaign.ledger, project, tasks_of(campaign.items))
        assert (result.added, result.removed, result.repeated) == (0, 2, 1)
        assert "holds 1 tasks beyond the first" in result.problems[0]
        assert campaign.numbers(project) == [numbers[n] for n in (0, 1, 3, 5, 6)]
        report = campaign.pull(project)
        assert report.counts == {"counted": 2, "repeated task": 1, "superseded": 1}
        assert any("holds 1 tasks beyond the first" in p for p in report.problems)

    def test_a_task_that_is_not_its_statements_is_refused_before_anything_is_sent(self, campaign: Campaign) -> None:
        project = campaign.open()
        (one, first), (two, _), *_ = tasks_of(campaign.items)
        with pytest.raises(RecordError, match=f"statement {two}: expected its own task, found that of {one}"):
            push_tasks(campaign.client, campaign.ledger, project, [(one, first), (two, first)])
        altered = {"data": first["data"] | {"text": "Upperton."}}
        with pytest.raises(RecordError, match=f"statement {one}: the task's text has 9 characters"):
            push_tasks(campaign.client, campaign.ledger, project, [(one, altered)])
        assert campaign.on_server(project) == []

    def test_a_list_cut_short_is_noticed_by_push_and_pull(
        self, campaign: Campaign, proxy: Any, label_studio: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project = campaign.pushed()
        for number in campaign.numbers(project):
            campaign.answer(number, choice("stance", "silent"))
        campaign.client = connect(proxy.url, label_studio.key)
        monkeypatch.setattr(calls, "_PAGE", 2)
        # The SDK takes 404 on any page but the first for the end.
        proxy.fault = lambda method, path, times: 404 if (method, path) == ("GET", "/api/tasks/") and times % 2 else None
        with pytest.raises(TreatyStanceError, match="expected 4 tasks, found 2"):
            push_tasks(campaign.client, campaign.ledger, project, tasks_of(campaign.items))
        proxy.seen.clear()
        with pytest.raises(TreatyStanceError, match="expected 4 tasks, found 2"):
            campaign.pull(project)
        assert campaign.ledger.answers() == []
        proxy.fault = lambda *_: None
        assert campaign.pull(project).counts == {"counted": 4}
        proxy.seen.clear()
        proxy.fault = lambda method, path, times: 404 if (method, path) == ("GET", "/api/tasks/") and times % 2 else None
        with pytest.raises(TreatyStanceError, match="expected 4 tasks, found 2"):  # what has changed, which is all of it
            campaign.pull(project, LATER)


class TestSuggestions:
    def said(self, campaign: Campaign, item: Item, **fields: Any) -> Prediction:
        shares = dict(zip(campaign.codebook.stance_ids, (0.2, 0.7, 0.1), strict=True))
        values: dict[str, Any] = {
            "statement": item.statement.id, "model_id": "m-1", "codebook_version": campaign.codebook.id,
            "stance": "no_thanks", "probabilities": shares, "concerns": ("fish",),
            "concern_probabilities": {"fish": 0.9, "money": 0.1}, "confidence": 0.7,
        }  # fmt: skip
        return Prediction(**(values | fields))

    def with_suggestions(self, campaign: Campaign) -> list[tuple[str, dict[str, Any]]]:
        start = HARD.index("Town rejects")
        spans = {1: {"holder": "Town", "holder_start": start, "holder_end": start + 4}}
        return [
            (
                uid,
                shown
                | {"predictions": [prediction(campaign.codebook, item, self.said(campaign, item, **spans.get(n, {})))]},
            )
            for n, (item, (uid, shown)) in enumerate(zip(campaign.items, tasks_of(campaign.items), strict=True))
        ]

    def test_they_are_stored_shown_and_make_a_reading_that_is_not_blind(self, campaign: Campaign) -> None:
        project = campaign.open(assisted=True)
        campaign.ledger.add_items(campaign.items)
        pushed = push_tasks(campaign.client, campaign.ledger, project, self.with_suggestions(campaign))
        assert (pushed.added, pushed.problems) == (4, ())
        remote = campaign.client.projects.get(id=project.number)
        assert (remote.show_collab_predictions, remote.model_version) == (True, "m-1")
        found = campaign.on_server(project)
        assert [t["total_predictions"] for t in found] == [1, 1, 1, 1]
        again = push_tasks(campaign.client, campaign.ledger, project, self.with_suggestions(campaign))
        assert (again.added, [t["total_predictions"] for t in campaign.on_server(project)]) == (0, [1, 1, 1, 1])
        # What the server holds is what a coder who accepts it sends back.
        campaign.answer(found[1]["id"], *found[1]["predictions"][0]["result"])
        campaign.pull(project)
        (reading,) = campaign.ledger.annotations()
        assert (reading.stance, reading.concerns, reading.holder, reading.blind) == ("no_thanks", ("fish",), "Town", False)
        assert reading.holder_start == HARD.index("Town rejects")
        # Nor does it become blind when the suggestions are hidden later, whatever that pull reads.
        campaign.client.projects.update(id=project.number, show_collab_predictions=False)
        blind = msgspec.structs.replace(project, assisted=False)
        campaign.ledger.add_project(blind)
        campaign.pull(blind, LATER, full=True)
        assert [a.blind for a in campaign.ledger.annotations()] == [False]

    def test_those_that_the_server_has_not_kept_are_sent_again(self, campaign: Campaign) -> None:
        project = campaign.open(assisted=True)
        campaign.client.projects.import_tasks(id=project.number, request=[t for _, t in tasks_of(campaign.items)[:3]])
        result = push_tasks(campaign.client, campaign.ledger, project, self.with_suggestions(campaign))
        assert (result.added, result.present) == (1, 3)
        assert [t["total_predictions"] for t in campaign.on_server(project)] == [1, 1, 1, 1]

    def test_more_than_were_sent_are_refused(self, campaign: Campaign) -> None:
        project = campaign.open(assisted=True)
        wanted = self.with_suggestions(campaign)
        push_tasks(campaign.client, campaign.ledger, project, wanted)
        double = wanted[2][1]["predictions"][0] | {"task": campaign.numbers(project)[2]}
        campaign.client.projects.import_predictions(id=project.number, request=[double])
        with pytest.raises(TreatyStanceError, match=f"expected 1 suggestions on statement {wanted[2][0]}, the server has 2"):
            push_tasks(campaign.client, campaign.ledger, project, wanted)

    @pytest.mark.parametrize(
        "alter",
        [
            lambda p: p | {"score": 1.5},
            lambda p: {k: v for k, v in p.items() if k != "model_version"},
            lambda p: p | {"result": [p["result"][0] | {"value": {"choices": ["against", "no_thanks"]}}]},
            lambda p: p | {"result": [p["result"][0] | {"value": {"choices": ["lukewarm"]}}]},
            lambda p: p | {"result": [{k: v for k, v in p["result"][0].items() if k != "id"}]},
            lambda p: p | {"result": [*p["result"], mark(0, 4, "Town")]},
        ],
    )
    def test_a_bad_one_is_refused_before_anything_is_sent(
        self, campaign: Campaign, alter: Callable[[dict[str, Any]], dict[str, Any]]
    ) -> None:
        project = campaign.open(assisted=True)
        wanted = self.with_suggestions(campaign)
        wanted[3][1]["predictions"] = [alter(wanted[3][1]["predictions"][0])]
        with pytest.raises(RecordError, match=f"statement {wanted[3][0]}"):
            push_tasks(campaign.client, campaign.ledger, project, wanted)
        assert campaign.on_server(project) == []

    def test_a_project_that_is_coded_blind_takes_none(self, campaign: Campaign) -> None:
        project = campaign.open()
        with pytest.raises(UsageError, match="expected tasks without suggestions, since it is coded blind"):
            push_tasks(campaign.client, campaign.ledger, project, self.with_suggestions(campaign))
        assert campaign.on_server(project) == []


class TestPull:
    def test_offsets_are_exact_whatever_characters_stand_before(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        numbers = campaign.numbers(project)
        hard = campaign.items[1].statement.id
        for words in ("Q̃uen Town", "𠮷野家", "Town rejects 👩‍👩‍👧", "漢字 Town"):
            start = HARD.index(words)
            units = len(HARD[:start].encode("utf-16-le")) // 2
            for begin, width in ((start, len(words)), (units, len(words.encode("utf-16-le")) // 2)):
                campaign.answer(numbers[1], choice("stance", "no_thanks"), mark(begin, begin + width, words))
                campaign.pull(project)
                (reading,) = campaign.ledger.annotations()
                assert (reading.statement, reading.holder, reading.holder_start) == (hard, words, start)
                assert HARD[reading.holder_start : reading.holder_end] == words
        campaign.answer(numbers[1], choice("stance", "silent"), choice("voice", "reported"), typed("holder_words", "𠮷野家"))
        campaign.pull(project)
        (reading,) = campaign.ledger.annotations()
        assert (reading.holder, reading.holder_start, reading.voice) == ("𠮷野家", HARD.index("𠮷野家"), "reported")
        assert (reading.annotator, reading.blind, reading.seconds) == (campaign.name, True, 3.5)

    def test_every_state_is_found_counted_and_listed(self, campaign: Campaign, people: list[Any]) -> None:
        campaign.items = items_of(*(f"Town number {n} spoke of the pact." for n in range(10)))
        project = campaign.pushed()
        n = campaign.numbers(project)
        _, stranger_email, colleague = people[1]
        campaign.answer(n[0], choice("stance", "yes_please"))
        campaign.answer(n[1], was_cancelled=True)
        campaign.answer(n[2], choice("stance", "silent"), choice("cannot_judge", "cannot_judge"), typed("comment", "cut"))
        campaign.answer(n[3], choice("stance", "lukewarm"))
        campaign.answer(n[4], choice("stance", "silent"), choice("mood", "grim"))
        edited = campaign.answer(n[5], choice("stance", "silent"))
        colleague.send("PATCH", f"/api/annotations/{edited}/", {"result": [choice("stance", "no_thanks")]})
        first, second = (campaign.answer(n[6], choice("stance", s)) for s in ("silent", "no_thanks"))
        campaign.answer(n[7], choice("stance", "silent"), by=colleague)
        draft = campaign.coder.send("POST", f"/api/tasks/{n[8]}/drafts", {"result": [], "lead_time": 1})["id"]
        report = campaign.pull(project)
        assert (report.tasks, report.answers, report.unanswered, report.full) == (10, 9, 2, True)
        assert (report.new, report.changed, report.gone) == (9, 0, 0)
        assert report.counts == {
            "cannot judge": 1, "counted": 2, "draft": 1, "edited": 1, "invalid": 2, "skipped": 1, "stranger": 1,
            "superseded": 1,
        }  # fmt: skip
        listed = {a.task: (a.state, a.reason) for a in report.listed}
        assert listed[n[2]] == ("cannot judge", "cut")
        assert "stance 'lukewarm' is not in codebook" in listed[n[3]][1]
        assert listed[n[4]] == ("invalid", "it answers what this form does not ask: mood")
        assert "has changed it" in listed[n[5]][1]
        assert listed[n[6]] == ("superseded", f"annotation {second} by the same coder is newer")
        assert listed[n[8]] == ("draft", "begun and not submitted")
        assert {a.number for a in report.listed if a.task in (n[6], n[8])} == {first, -draft}
        assert all(a.annotator == campaign.name for a in report.listed if a.task != n[7])
        assert [p for p in report.problems if f"--coders {campaign.name}={stranger_email}" in p]
        assert {(a.statement, a.stance) for a in campaign.ledger.annotations()} == {
            (campaign.items[0].statement.id, "yes_please"),
            (campaign.items[6].statement.id, "no_thanks"),
        }
        assert all(stranger_email not in a.raw for a in campaign.ledger.answers())
        again = campaign.pull(project, LATER)
        assert (again.new, again.changed, again.gone, again.full) == (0, 0, 0, False)
        assert (again.counts, again.unanswered, len(again.listed)) == (report.counts, 2, len(report.listed))

    def test_only_what_has_changed_is_read_and_earlier_states_stay(
        self, campaign: Campaign, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from datetime import timedelta

        from annotation import pulling

        monkeypatch.setattr(pulling, "_MARGIN", timedelta(0))
        project = campaign.pushed()
        n = campaign.numbers(project)
        for number in n[:3]:
            campaign.answer(number, choice("stance", "silent"))
        assert campaign.pull(project).new == 3
        (mine,) = campaign.on_server(project)[1]["annotations"]
        campaign.coder.send("PATCH", f"/api/annotations/{mine['id']}/", {"result": [choice("stance", "no_thanks")]})
        campaign.answer(n[3], choice("stance", "yes_please"))
        read: list[int] = []
        whole = pulling.list_tasks

        def watched(*args: Any, **kwargs: Any) -> Any:
            found = whole(*args, **kwargs)
            read.append(len(found))
            return found

        monkeypatch.setattr(pulling, "list_tasks", watched)
        report = campaign.pull(project, LATER)
        assert (report.new, report.changed, report.gone, report.full) == (1, 1, 0, False)
        assert (report.answers, report.unanswered, report.counts) == (4, 0, {"counted": 4})
        assert read == [3]  # the two, and the one that was newest then: the same moment may hold another change
        (before,) = campaign.ledger.answers(current=False)
        assert before.annotation is not None
        assert (before.number, before.annotation.stance) == (mine["id"], "silent")
        assert sorted(a.stance for a in campaign.ledger.annotations()) == ["no_thanks", "silent", "silent", "yes_please"]
        nightly = campaign.pull(project, NEXT_WEEK)
        assert (nightly.full, nightly.new, nightly.changed, nightly.gone) == (True, 0, 0, 0)

    def test_what_is_deleted_on_the_server_is_gone_but_not_forgotten(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        n = campaign.numbers(project)
        numbers = [campaign.answer(number, choice("stance", "silent")) for number in n]
        campaign.pull(project)
        campaign.client.annotations.delete(id=numbers[0])
        report = campaign.pull(project, LATER)
        assert (report.gone, report.unanswered, report.full) == (1, 1, False)
        assert report.counts == {"counted": 3, "deleted": 1}
        campaign.client.tasks.delete(id=n[1])
        report = campaign.pull(project, LATER)
        assert (report.tasks, report.answers, report.unanswered, report.gone, report.full) == (3, 2, 1, 1, True)
        assert report.counts == {"counted": 2, "deleted": 2}
        assert [(a.number, a.state, a.reason) for a in report.listed] == [
            (numbers[0], "deleted", "it is no longer on the server; it was 'counted'"),
            (numbers[1], "deleted", "its task is no longer on the server; it was 'counted'"),
        ]
        assert {a.number for a in campaign.ledger.answers(current=False)} == set(numbers[:2])
        assert len(campaign.ledger.annotations()) == 2
        again = campaign.pull(project, LATER)
        assert (again.gone, again.new, again.changed) == (0, 0, 0)
        result = push_tasks(campaign.client, campaign.ledger, project, tasks_of(campaign.items))
        assert result.added == 1

    def test_an_answer_put_back_as_it_was_has_each_of_its_states_in_the_ledger(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        number = campaign.answer(campaign.numbers(project)[0], choice("stance", "silent"))
        campaign.pull(project)
        for stance in ("no_thanks", "silent"):
            campaign.coder.send("PATCH", f"/api/annotations/{number}/", {"result": [choice("stance", stance)]})
            campaign.pull(project, LATER)
        states = campaign.ledger.answers(current=None)
        assert [a.annotation.stance for a in states if a.annotation and a.current] == ["silent"]
        assert sorted(a.annotation.stance for a in states if a.annotation) == ["no_thanks", "silent", "silent"]

    def test_a_draft_that_is_submitted_is_a_draft_no_more(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        number = campaign.numbers(project)[0]
        draft = campaign.coder.send("POST", f"/api/tasks/{number}/drafts", {"result": [], "lead_time": 1})["id"]
        assert [d["id"] for d in read_drafts(campaign.client, number)] == [draft]
        assert campaign.pull(project).counts == {"draft": 1}
        campaign.answer(number, choice("stance", "silent"), draft_id=draft)
        report = campaign.pull(project, LATER)
        assert (report.counts, report.new, report.gone) == ({"counted": 1}, 1, 0)
        assert [a.state for a in campaign.ledger.answers(current=False)] == ["draft"]

    def test_a_text_altered_on_the_server_gives_no_reading_then_or_later(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        first = campaign.on_server(project)[0]
        data = first["data"] | {"text": first["data"]["text"].replace("Upper", "Lower")}
        campaign.client.tasks.update(id=first["id"], data=data)
        campaign.answer(first["id"], choice("stance", "silent"))
        for at, full in ((AT, True), (LATER, False), (LATER, True)):
            report = campaign.pull(project, at, full=full)
            assert report.counts == {"invalid": 1}
            assert "the task's text was altered" in report.listed[0].reason

    def test_a_task_that_is_not_ours_is_told(self, campaign: Campaign) -> None:
        project = campaign.pushed()
        body = [{"data": {"uid": "x", "text": "a", "title": "", "published": "", "before": "", "after": ""}}]
        campaign.client.projects.import_tasks(id=project.number, request=body)
        campaign.answer(campaign.numbers(project)[4], choice("stance", "silent"))
        report = campaign.pull(project)
        assert (report.tasks, report.counts) == (5, {"invalid": 1})
        assert any("which its uid x does not say" in p for p in report.problems)
        assert campaign.pull(project, LATER).counts == {"invalid": 1}

    def test_a_coder_is_known_by_the_email_that_is_given_later(self, campaign: Campaign, people: list[Any]) -> None:
        project = campaign.pushed(coder="anna")
        first, second = campaign.numbers(project)[:2]
        campaign.answer(first, choice("stance", "silent"))
        campaign.answer(second, choice("stance", "no_thanks"), by=people[1][2])
        report = campaign.pull(project)
        assert report.counts == {"stranger": 2}
        assert len(report.problems) == 2
        report = campaign.pull(project, LATER, emails={"anna": people[1][1].upper(), "ben": "b@ngo.example"})
        assert (report.counts, report.changed) == ({"counted": 1, "stranger": 1}, 1)
        assert [(a.annotator, a.stance) for a in campaign.ledger.annotations()] == [("anna", "no_thanks")]
        (noted,) = campaign.ledger.projects()
        assert noted.email == people[1][1].upper()
        assert campaign.pull(noted, LATER).counts == {"counted": 1, "stranger": 1}

    def test_an_adjudicators_decision_is_a_reading_with_its_cause_whoever_gives_it(
        self, campaign: Campaign, people: list[Any]
    ) -> None:
        project = campaign.open(role="adjudication", coder=None)
        votes = [
            Annotation(statement="", annotator=who, codebook_version=campaign.codebook.id, stance=stance)
            for who, stance in (("anna", "silent"), ("ben", "no_thanks"))
        ]
        cases = []
        for item in campaign.items[:2]:
            readings = [msgspec.structs.replace(vote, statement=item.statement.id) for vote in votes]
            cases.append((item.statement.id, adjudication_task(item, readings, campaign.codebook)))
        push_tasks(campaign.client, campaign.ledger, project, cases)
        first, second = campaign.numbers(project)[:2]
        campaign.answer(first, choice("stance", "silent"), choice("cause", "gap"))
        campaign.answer(second, choice("stance", "no_thanks"), choice("cause", "slip"), by=people[1][2])
        report = campaign.pull(project)
        assert (report.counts, report.problems) == ({"counted": 2}, ())
        answers = campaign.ledger.answers(project.key)
        assert [(a.annotator, cause_of(json.loads(a.raw))) for a in answers] == [
            ("adjudicator", "gap"),
            ("adjudicator", "slip"),
        ]
        assert campaign.ledger.annotations() == []  # a decision is no coder's vote
        assert len(campaign.ledger.annotations(roles=("adjudication",))) == 2

    def test_a_server_that_fails_is_told_without_its_headers_and_nothing_is_noted(
        self, campaign: Campaign, proxy: Any, label_studio: Any
    ) -> None:
        project = campaign.pushed()
        campaign.coder.send("POST", f"/api/tasks/{campaign.numbers(project)[0]}/drafts", {"result": [], "lead_time": 1})
        campaign.client = connect(proxy.url, label_studio.key)
        proxy.fault = lambda _method, path, _times: 400 if path.endswith("/drafts") else None
        with pytest.raises(TreatyStanceError, match=r"the drafts on task .*answers 400") as caught:
            campaign.pull(project)
        assert "cookie" not in str(caught.value).lower()
        assert (campaign.ledger.answers(), campaign.ledger.pulls()) == ([], [])


@pytest.mark.slow
def test_five_thousand_tasks_go_in_and_their_answers_come_out(
    campaign: Campaign, client: Any, record_property: Callable[[str, object], None]
) -> None:
    """Times are printed (pytest -s) and recorded in a JUnit report; none is asserted."""
    campaign.items = items_of(*(f"Town number {n} welcomes the pact because of 𠮷 and fish." for n in range(5000)))
    project = campaign.open()
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        found = work()
        times[name] = time.perf_counter() - start
        return found

    wanted = tasks_of(campaign.items)
    campaign.ledger.add_items(campaign.items)
    first = timed("push 5,000", lambda: push_tasks(client, campaign.ledger, project, wanted))
    second = timed("push them again", lambda: push_tasks(client, campaign.ledger, project, wanted))
    assert (first.added, second.added, second.present) == (5000, 0, 5000)
    assert [t.statement for t in campaign.ledger.tasks(project.key)] == [uid for uid, _ in wanted]
    # Answers come in with an import, as one by one they would take minutes; the server notes its user as their coder.
    me = client.users.whoami().id
    project = msgspec.structs.replace(project, email=client.users.whoami().email)
    campaign.ledger.add_project(project)
    copies = [t | {"annotations": [{"result": [choice("stance", "silent")], "completed_by": me}]} for _, t in wanted]
    other = open_project(client, campaign.ledger, campaign.plan(title=f"{campaign.round} all", role="recheck"), at=AT)
    other = msgspec.structs.replace(other, email=project.email)
    for start in range(0, 5000, 500):
        client.projects.import_tasks(
            id=other.number, request=copies[start : start + 500], request_options={"max_retries": 0}
        )
    # Under load the server was seen to take tasks of an import and leave out their answers: those are given one by one.
    lacking = [t["id"] for t in list_tasks(client, other.number) if not t["total_annotations"]]
    for number in lacking:
        client.annotations.create(id=number, result=[choice("stance", "silent")])
    record_property("answers that the import left out", len(lacking))
    whole = timed("pull the answers", lambda: campaign.pull(other))
    assert (whole.tasks, whole.answers, whole.unanswered, whole.full) == (5000, 5000, 0, True)
    assert whole.counts == {"counted": 5000}
    none = timed("pull 5,000 tasks without answers", lambda: campaign.pull(project))
    assert (none.tasks, none.answers, none.unanswered) == (5000, 0, 5000)
    for name, seconds in times.items():
        record_property(name, round(seconds, 1))
        print(f"{name}: {seconds:.1f} s")  # noqa: T201 - the times are what this test is asked for


def test_the_proxy_answers_outside_its_path_with_404(proxy: Any) -> None:
    assert httpx.get(proxy.url.removesuffix("/ls") + "/api/version", trust_env=False).status_code == 404
