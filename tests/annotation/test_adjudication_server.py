"""Adjudication and recoding on a real server: two coders differ, somebody decides, the codebook changes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from annotation.adjudication import decisions
from annotation.aggregation import settle
from annotation.campaign import Item, Project
from annotation.changes import check_codebook
from annotation.codebook import Codebook, load_codebook
from annotation.exchange import Plan, open_project, pull_project, push_tasks
from annotation.interface import task
from annotation.label_studio import Client, connect
from annotation.ledger import Ledger
from annotation.status import measure_status
from corpus.errors import CodebookError
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement
from corpus.sources import load_project
from pipelines.adjudicate import pull_cases, push_cases
from pipelines.recode import recode
from pipelines.workspace import init_workspace

PARTS = ("Upperton welcomes the pact 😀.", "Lowerton refuses it.", "Ann Gler counted the pages.")
TEXT = " ".join(PARTS)
DOCUMENT = Document(id=document_id("file:a", TEXT), url="file:a", text=TEXT, title="Pact")
CODERS = ("anna", "ben")

pytestmark = pytest.mark.label_studio


def item(part: str) -> Item:
    start = TEXT.index(part)
    end = start + len(part)
    name = statement_id(DOCUMENT.id, start, end)
    return Item(statement=Statement(id=name, document=DOCUMENT.id, start=start, end=end, text=part), document=DOCUMENT)


def choice(control: str, *labels: str) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}


@dataclass
class Campaign:
    workspace: Path
    codebook: Codebook
    round: str
    ledger: Ledger
    client: Client
    sessions: dict[str, Any]
    projects: dict[str, Project]
    adjudicator: Any

    def tasks(self, number: int) -> dict[str, dict[str, Any]]:
        found = (json.loads(t.json()) for t in self.client.tasks.list(project=number, fields="all"))
        return {t["data"]["uid"]: t for t in found}

    def answer(self, session: Any, number: int, part: str, *results: dict[str, Any]) -> int:
        shown = self.tasks(number)[item(part).statement.id]
        made = session.send("POST", f"/api/tasks/{shown['id']}/annotations/", {"result": list(results), "lead_time": 5.0})
        return int(made["id"])

    def pull(self, at: str) -> None:
        for project in self.projects.values():
            pull_project(self.client, self.ledger, project, at=at)


@pytest.fixture
def campaign(label_studio: Any, tmp_path: Path, invented_path: Path) -> Iterator[Campaign]:
    """Anna and Ben, three statements each, coded: they differ on the stance of the first and a concern of the second."""
    client = connect(label_studio.url, label_studio.key)
    workspace = tmp_path / "ws"
    init_workspace(workspace)
    (workspace / "codebook.yaml").write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    codebook, name = load_codebook(workspace / "codebook.yaml"), f"Adj {secrets.token_hex(4)}"
    accounts = {coder: label_studio.second_account() for coder in CODERS}
    with Ledger.open(load_project(workspace).store_url) as ledger:
        ledger.add_items(map(item, PARTS))
        projects = {}
        for coder, account in accounts.items():
            plan = Plan(f"{name}, {coder}", name, "coding", codebook, coder=coder, email=account.email)
            projects[coder] = open_project(client, ledger, plan, at="2026-01-01T00:00:00+00:00")
            given = [(i.statement.id, task(i.statement, i.document)) for i in map(item, PARTS)]
            push_tasks(client, ledger, projects[coder], given)
        sessions = {coder: label_studio.login(account) for coder, account in accounts.items()}
        made = Campaign(workspace, codebook, name, ledger, client, sessions, projects, label_studio.login())
        said = {
            "anna": (("yes_please", ()), ("no_thanks", ("fish",)), ("silent", ())),
            "ben": (("no_thanks", ()), ("no_thanks", ()), ("silent", ())),
        }
        for coder, answers in said.items():
            for part, (stance, concerns) in zip(PARTS, answers, strict=True):
                results = [choice("stance", stance), *([choice("concerns", *concerns)] if concerns else [])]
                made.answer(sessions[coder], projects[coder].number, part, *results)
        made.pull("2026-01-02T00:00:00+00:00")
        yield made


def test_cases_go_to_one_project_and_decisions_come_back_to_gold(campaign: Campaign) -> None:
    given: dict[str, Any] = {"round": campaign.round, "environ": {}, "client": campaign.client}
    first = push_cases(campaign.workspace, at="2026-01-03T00:00:00+00:00", **given)
    assert first.project is not None
    assert (first.found, first.reasons) == (2, {"tie on concern fish": 1, "tie on stance": 1})
    shown = campaign.tasks(first.project.number)
    assert set(shown) == {item(part).statement.id for part in PARTS[:2]}
    for found in shown.values():
        assert not any(coder in json.dumps(found["data"]) for coder in CODERS)
    again = push_cases(campaign.workspace, at="2026-01-04T00:00:00+00:00", **given)
    assert again.push is not None
    assert (again.project, again.found, again.push.added) == (first.project, 0, 0)

    number = first.project.number
    decided = campaign.answer(
        campaign.adjudicator,
        number,
        PARTS[0],
        choice("stance", "silent"),
        choice("concerns", "money"),
        choice("cause", "gap"),
    )
    pulled = pull_cases(campaign.workspace, at="2026-01-05T00:00:00+00:00", adjudicator="zoe", **given)
    assert (pulled.closed, pulled.waiting, pulled.causes, pulled.problems) == (1, 1, {"gap": 1}, ())
    ledger, codebook = campaign.ledger, campaign.codebook
    settled = settle(
        ledger.annotations(codebook_version=codebook.id), decisions(ledger.cases(), codebook.id), codebook, texts={}
    )
    gold = {g.statement: g for g in settled.gold}
    label = gold[item(PARTS[0]).statement.id]
    assert (label.stance, label.concerns, label.settled) == ("silent", ("money",), "adjudicated")
    assert label.distribution == {"no_thanks": 0.5, "yes_please": 0.5}
    assert settled.open == {item(PARTS[1]).statement.id: "tie on concern fish"}

    status = measure_status(ledger)
    assert (status.cases_open, status.cases_closed) == (1, {"gap": 1})
    for progress in status.projects[:2]:
        assert (progress.assigned, progress.done, progress.seconds) == (3, 3, 5.0)
        assert (progress.shared, progress.stance_differs, progress.differs) == (3, 1, 2)

    # The adjudicator thinks again, then deletes the answer.
    results = [choice("stance", "no_thanks"), choice("cause", "slip")]
    campaign.adjudicator.send("PATCH", f"/api/annotations/{decided}/", {"result": results})
    pulled = pull_cases(campaign.workspace, at="2026-01-06T00:00:00+00:00", full=True, **given)
    assert (pulled.closed, pulled.changed, pulled.causes) == (0, 1, {"slip": 1})
    campaign.client.annotations.delete(id=decided)
    pulled = pull_cases(campaign.workspace, at="2026-01-07T00:00:00+00:00", full=True, **given)
    assert (pulled.reopened, pulled.waiting, pulled.causes) == (1, 2, {})


def test_a_changed_codebook_is_refused_until_what_it_touches_has_gone_back(campaign: Campaign) -> None:
    path = campaign.workspace / "codebook.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("Fish and other animals.", "Fish."), encoding="utf-8")
    new, after = load_codebook(path), f"{campaign.round} b"
    with pytest.raises(CodebookError, match=r"concern 'fish' redefined \(definition\), used by 1 readings"):
        check_codebook(campaign.ledger, after, new)
    given: dict[str, Any] = {"round": after, "source": campaign.round, "environ": {}, "client": campaign.client}
    done = recode(campaign.workspace, at="2026-01-03T00:00:00+00:00", **given)
    touched = item(PARTS[1]).statement.id
    assert done.statements == (touched,)
    for coder in CODERS:
        project, pushed = done.projects[coder]
        assert (project.title, pushed.added) == (f"{after} recoding, {coder}", 1)
        assert project.email == campaign.projects[coder].email
        assert list(campaign.tasks(project.number)) == [touched]
    check_codebook(campaign.ledger, after, new)
    again = recode(campaign.workspace, at="2026-01-04T00:00:00+00:00", **given)
    assert [(p.number, r.added) for p, r in again.projects.values()] == [(p.number, 0) for p, _ in done.projects.values()]

    project = done.projects["anna"][0]
    campaign.answer(campaign.sessions["anna"], project.number, PARTS[1], choice("stance", "no_thanks"))
    pull_project(campaign.client, campaign.ledger, project, at="2026-01-05T00:00:00+00:00")
    (reading,) = campaign.ledger.annotations(codebook_version=new.id)
    assert (reading.statement, reading.annotator, reading.stance, reading.concerns) == (touched, "anna", "no_thanks", ())
