"""A whole campaign as its people see it: commands, a real server, coders in a real browser, and a bundle in the end."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pandas as pd
import pytest

from annotation.campaign import Item
from annotation.codebook import load_codebook
from annotation.ledger import Ledger
from corpus.records import GoldLabel
from corpus.reference_corpus import load_reference
from corpus.runs import Location, Outcome, Run
from corpus.sources import load_project
from corpus.store import Store
from corpus.stories import signature
from pipelines.workspace import init_workspace

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NOW = "2026-01-01T00:00:00+00:00"
EARLIER = 320  # gold labels of an earlier campaign; ten statements alone teach nothing
COMMAND = Path(sys.executable).with_name("treaty-stance")


@pytest.fixture
def workspace(tmp_path: Path, coding: Any) -> Path:
    """A workspace with the ten statements in its corpus, and settled labels of an earlier round in its ledger."""
    folder = tmp_path / "hanoi"
    init_workspace(folder)
    address = load_project(folder).store_url
    by_document: dict[str, list[Item]] = {}
    for item in coding.items():
        by_document.setdefault(item.document.id, []).append(item)
    with Store.open(address) as store:
        store.start_run(Run(id="r1", started=NOW, sources=("inbox",)))
        for items in by_document.values():
            document = items[0].document
            store.put_document(
                document,
                [i.statement for i in items],
                location=Location(
                    document=document.id, url=document.url, source="inbox", snapshot=None, first_seen=NOW, last_seen=NOW
                ),
                outcome=Outcome(run="r1", source="inbox", url=document.url, outcome="new"),
                signature=signature(document.text),
            )
        store.finish_run("r1", NOW)
    reference, codebook = load_reference(None), load_codebook()
    documents = {d.id: d for d in reference.documents}
    kept = reference.gold[:EARLIER]
    wanted = {g.statement for g in kept}
    with Ledger.open(address) as ledger:
        ledger.add_items(Item(statement=s, document=documents[s.document]) for s in reference.statements if s.id in wanted)
        ledger.add_gold((msgspec.structs.replace(g, codebook_version=codebook.id) for g in kept), NOW)
    return folder


@pytest.fixture
def run(label_studio: Any, workspace: Path) -> Callable[..., str]:
    """Run a command in the workspace and return what it printed."""

    def command(*words: str) -> str:
        environment = os.environ | {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.key}
        done = subprocess.run(
            [str(COMMAND), *words], env=environment, cwd=workspace, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert label_studio.key not in done.stdout + done.stderr
        return done.stdout

    return command


def pushed(workspace: Path, name: str, run: Callable[..., str], coders: str) -> dict[str, tuple[int, list[str]]]:
    """Push the ten statements, twice; return each coder's project and their statements in the order planned."""
    asked = ("annotate", "push", "--coders", coders, "--n", "7", "--audit", "3", "--overlap", "10", "--round", name)
    assert "drawn from 10 statements: random, seed 0; audit sample of 3" in run(*asked)
    again = run(*asked)
    assert "nothing new was drawn" in again
    assert again.count(": 0 statements added, 10 there before") == 2
    with Ledger.open(load_project(workspace).store_url) as ledger:
        assert {s.inclusion_probability for s in ledger.sampled()} == {0.3}
        projects = ledger.projects(round=name)
        return {str(p.coder): (p.number, [t.statement for t in ledger.tasks(p.key)]) for p in projects}


def check_gold(gold: dict[str, GoldLabel], cases: set[str], statements: list[Item], decided: Sequence[Any]) -> None:
    """The adjudicator always decided as anna had; where the coders agreed, that is what anna had as well."""
    assert sum(g.inclusion_probability == 0.3 for g in gold.values()) == 3
    for item, reading in zip(statements, decided, strict=True):
        label = gold[item.statement.id]
        assert label.stance == reading.stance
        assert (label.settled == "adjudicated") == (item.statement.id in cases)
        if item.statement.id in cases:
            assert set(label.concerns) == set(reading.concerns)
            assert (label.holder is None) == (reading.holder is None)
        if label.holder is not None:
            assert item.statement.text[label.holder_start : label.holder_end] == label.holder


@pytest.mark.label_studio
@pytest.mark.browser
@pytest.mark.slow
def test_what_two_coders_do_in_the_browser_becomes_gold_and_trains_a_model(
    label_studio: Any, chromium: Browser, coding: Any, workspace: Path, run: Callable[..., str]
) -> None:
    mark = secrets.token_hex(3)
    name, statements, codebook = f"Hanoi {mark}", coding.items(), load_codebook()
    text = {i.statement.id: i.statement.text for i in statements}
    emails = {coder: f"{coder}-{mark}@example.org" for coder in coding.READINGS}
    plan = pushed(workspace, name, run, ",".join(f"{coder}={email}" for coder, email in emails.items()))
    (numbers, orders) = ({c: n for c, (n, _) in plan.items()}, {c: o for c, (_, o) in plan.items()})
    assert sorted(orders["anna"]) == sorted(orders["ben"]) == sorted(text)
    assert orders["anna"] != orders["ben"], "each coder has an order of their own"

    for coder, readings in coding.READINGS.items():
        with coding.signed_up(chromium, label_studio, emails[coder], secrets.token_urlsafe(12)) as page:
            browser = coding.Coder(page, label_studio.url, codebook)
            browser.open_stream(numbers[coder])
            assert browser.statement() == text[orders[coder][0]], "the order is ours"
            browser.code(coding.by_text(statements, readings))

    pulled = run("annotate", "pull", "--round", name)
    assert f"{name}, anna: 10 counted; 0 of 10 statements open" in pulled
    assert f"{name}, ben: 1 cannot judge, 9 counted" in pulled
    assert "I do not know what the bank is about." in pulled
    assert "0 new, 0 changed, 0 gone" in run("annotate", "pull", "--round", name), "a second pull finds nothing"

    # of the nine statements that both judged they differ on two stances: the researcher's, and Brazil's
    printed = run("annotate", "agreement", "--round", name, "--output", "agreement.json")
    assert re.search(r"stance\s+.*0\.778", printed), printed
    assert json.loads((workspace / "agreement.json").read_bytes())
    assert re.search(r"anna\s", run("annotate", "status", "--round", name))

    opened = run("annotate", "adjudicate", "push", "--round", name)
    with Ledger.open(load_project(workspace).store_url) as ledger:
        (court,) = ledger.projects(round=name, role="adjudication")
        cases = {case.statement for case in ledger.cases(round=name)}
    for part in ("flaws in good faith", "Brazil"):
        assert any(part in text[c] for c in cases), opened
    with coding.signed_up(chromium, label_studio, f"judge-{mark}@example.org", secrets.token_urlsafe(12)) as page:
        judge = coding.Coder(page, label_studio.url, codebook, adjudication=True)
        judge.open_stream(court.number)
        anna = coding.by_text(statements, coding.READINGS["anna"])
        judge.code({text[c]: replace(anna[text[c]], cause="slip") for c in cases})
    assert str(len(cases)) in run("annotate", "adjudicate", "pull", "--round", name)

    assert "adjudicated" in run("annotate", "gold", "--round", name)
    with Ledger.open(load_project(workspace).store_url) as ledger:
        gold = {g.statement: g for g in ledger.gold(codebook.id)}
    check_gold(gold, cases, statements, coding.READINGS["anna"])
    trained = run("train", "--recipe", "frozen", "--output", "bundles/first")
    assert f"{EARLIER + 7} labelled statements" in trained
    assert "3 labels of audit samples left out" in trained
    assert "macro-F1" in run("evaluate", "bundles/first", "--part", "development", "--resamples", "100")

    run("label", "--model", "bundles/first")
    assert "report.html" in run("report")
    check_report(workspace, text, gold)


def check_report(workspace: Path, text: dict[str, str], gold: dict[str, GoldLabel]) -> None:
    """The report knows the corpus and the audit sample, and that three are none to speak of."""
    with Ledger.open(load_project(workspace).store_url) as ledger:
        sampled = {s.statement for s in ledger.sampled()}
    (made,) = (workspace / "reports").iterdir()
    told = pd.read_parquet(made / "statements.parquet").set_index("id")
    assert set(told.index) == set(text)
    assert told["gold_stance"].dropna().to_dict() == {s: gold[s].stance for s in sampled}
    assert told["story"].notna().all(), "the corpus knows the stories"
    shares = pd.read_parquet(made / "shares.parquet")
    assert set(shares["reason"]) == {"too few gold labels"}
