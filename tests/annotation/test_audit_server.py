"""An audit of gold on a real server: statements go out without their label, blind answers come back and become cases."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from annotation.campaign import Item, Recheck
from annotation.codebook import load_codebook
from annotation.label_studio import connect
from annotation.ledger import Ledger
from corpus.identity import document_id, statement_id
from corpus.records import Annotation, Document, GoldLabel, Statement
from corpus.sources import load_project
from models.recipe import Recipe
from pipelines.label_errors import AuditRequest, pull_audit, push_audit
from pipelines.workspace import init_workspace

PARTS = ("Upperton welcomes the pact 😀.", "Lowerton refuses it.", "Ann Gler counted the pages.")
TEXT = " ".join(PARTS)
DOCUMENT = Document(id=document_id("file:a", TEXT), url="file:a", text=TEXT, title="Pact")
SENT, ANSWERED = "2026-03-01T00:00:00+00:00", "2026-03-02T00:00:00+00:00"

pytestmark = pytest.mark.label_studio


def item(part: str) -> Item:
    start = TEXT.index(part)
    end = start + len(part)
    name = statement_id(DOCUMENT.id, start, end)
    return Item(statement=Statement(id=name, document=DOCUMENT.id, start=start, end=end, text=part), document=DOCUMENT)


def choice(control: str, label: str) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": [label]}}


def test_suspects_are_coded_blind_and_a_changed_label_becomes_a_case(
    label_studio: Any, tmp_path: Path, invented_path: Path
) -> None:
    workspace, round_ = tmp_path / "ws", f"Audit {secrets.token_hex(4)}"
    init_workspace(workspace)
    (workspace / "codebook.yaml").write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    project, codebook = load_project(workspace), load_codebook(workspace / "codebook.yaml")
    ids = [item(part).statement.id for part in PARTS]
    before = [Annotation(statement=s, annotator="gold", codebook_version=codebook.id, stance="silent") for s in ids]
    gold = [GoldLabel(statement=s, codebook_version=codebook.id, stance="silent") for s in ids]
    with Ledger.open(project.store_url) as ledger:
        ledger.add_items(map(item, PARTS))
        ledger.add_gold(gold, SENT)
        ledger.put_rechecks(
            Recheck(
                audit="a", statement=b.statement, position=i, control=i == 1, score=0.1, before=b, opened=SENT,
                round=round_, coder="carla", suspected="stance",
            )
            for i, b in enumerate(before)
        )  # fmt: skip
    account = label_studio.second_account()
    client = connect(label_studio.url, label_studio.key)
    request = AuditRequest(coders={"carla": account.email}, round=round_)

    def push() -> int:
        sent = push_audit(project, codebook, request, Recipe(encoder="not asked"), at=SENT, client=lambda: client)
        assert sent.known
        return sent.added["carla"]

    assert (push(), push()) == (3, 0), "the second push adds nothing"
    with Ledger.open(project.store_url) as ledger:
        (made,) = ledger.projects(round=round_, role="recheck")
    shown = [json.loads(t.json()) for t in client.tasks.list(project=made.number, fields="all")]
    tasks = {t["data"]["uid"]: t for t in shown}
    assert set(tasks) == set(ids)
    for t in shown:
        assert set(t["data"]) == {"uid", "text", "title", "published", "before", "after"}, "no label, no mark of a control"
        assert t["predictions"] == []
    carla = label_studio.login(account)
    for statement, answer in zip(
        ids,
        (choice("stance", "yes_please"), choice("stance", "silent"), choice("cannot_judge", "cannot_judge")),
        strict=True,
    ):
        carla.send("POST", f"/api/tasks/{tasks[statement]['id']}/annotations/", {"result": [answer], "lead_time": 4.0})

    found = pull_audit(project, codebook, client, round=round_, at=ANSWERED)
    assert (found.answered, found.unjudged, found.open, found.cases) == (2, 1, 0, 1)
    with Ledger.open(project.store_url) as ledger:
        (case,) = ledger.cases()
        after = [r.after for r in ledger.rechecks("a")]
        assert ledger.gold(codebook.id) == sorted(gold, key=lambda g: g.statement), "gold is as it was"
        assert ledger.annotations() == [], "a recheck is no vote"
    assert (case.statement, case.decision) == (ids[0], None)
    assert [a and (a.annotator, a.stance, a.blind) for a in after] == [
        ("carla", "yes_please", True),
        ("carla", "silent", True),
        None,
    ]
