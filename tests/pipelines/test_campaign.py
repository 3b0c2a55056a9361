"""A campaign's jobs without a server: what is asked for, what is noted before anything is sent, what a second push does."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from annotation.campaign import Project
from annotation.codebook import Codebook, dump_codebook
from annotation.coders import Coders, Measured, Pair
from annotation.exchange import Plan
from annotation.label_studio import PushResult
from annotation.leaning import Lean, Period
from annotation.ledger import Ledger
from annotation.status import Audit, Progress, Round, Status
from annotation.suggestions import check_prediction
from corpus.errors import TreatyStanceError, UsageError
from corpus.records import Annotation
from corpus.sources import load_project
from models.passage import Passage
from models.predictor import Predictor
from pipelines import campaign
from pipelines.agreement import Version
from pipelines.audit_report import AuditReport, Changed
from pipelines.campaign import Order, pull_campaign, push_campaign, read_coders
from pipelines.draw import Request
from pipelines.workspace import CODEBOOK, init_workspace

AT, LATER = "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"
DICTIONARY = Path(__file__).parents[2] / "docs" / "data-dictionary.md"
REQUEST = Request(round="Round 1", coders=("anna", "ben"), n=4, overlap=2, audit=2)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    init_workspace(tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def articles(tmp_path: Path) -> Path:
    """Six documents of one statement each."""
    folder = tmp_path / "articles"
    folder.mkdir()
    for n, name in enumerate(["Upperton", "Lowerton", "Eastham", "Westham", "Norfield", "Sudbury"]):
        words = f"{name} council debated for {n + 2} hours and said that it welcomes the Hanoi Convention very much."
        (folder / f"{n}.txt").write_text(words, encoding="utf-8")
    return folder


@dataclasses.dataclass
class Server:
    """Stands where Label Studio would, to fail on purpose: keeps what it was sent, and dies when it is told to."""

    dies_at: int | None = None
    kept: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    tasks: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def open_project(self, client: object, ledger: Ledger, plan: Plan, *, at: str) -> Project:
        known = [p for p in ledger.projects() if p.coder == plan.coder]
        project = Project(
            server="http://server.example/",
            number=1 + len(ledger.projects()) if not known else known[0].number,
            title=plan.title,
            round=plan.round,
            role=plan.role,
            codebook_version=plan.codebook.id,
            codebook=dump_codebook(plan.codebook),
            made=at,
            coder=plan.coder,
        )
        ledger.add_project(project)
        return project

    def push_tasks(
        self, client: object, ledger: Ledger, project: Project, tasks: Sequence[tuple[str, Any]], *, draw: str
    ) -> PushResult:
        there = self.kept.setdefault(str(project.coder), [])
        new = [uid for uid, _ in tasks if uid not in there]
        for uid in new:
            if self.dies_at is not None and sum(map(len, self.kept.values())) == self.dies_at:
                raise TreatyStanceError("the server died")
            there.append(uid)
        self.tasks |= dict(tasks)
        return PushResult(project.number, False, len(new), len(tasks) - len(new), 0)


def order(articles: Path, **changes: Any) -> Order:
    return Order(dataclasses.replace(REQUEST, **changes), {"anna": None, "ben": None}, source=articles)


@pytest.mark.parametrize("dies_at", range(9))
def test_a_push_that_broke_off_anywhere_is_finished_by_the_next_with_the_same_statements_in_the_same_order(
    workspace: Path, articles: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    server = Server()
    monkeypatch.setattr(campaign, "open_project", server.open_project)
    monkeypatch.setattr(campaign, "push_tasks", server.push_tasks)
    whole = push_campaign(workspace, order(articles), at=AT, environ={}, client=object())
    expected = {coder: list(found) for coder, found in server.kept.items()}
    assert not whole.known
    assert sum(map(len, expected.values())) == 8  # 6 statements, 2 of them twice
    assert len(set(expected["anna"]) & set(expected["ben"])) == 2
    assert whole.audit == 2

    other = workspace.with_name("other")
    init_workspace(other)
    server.kept, server.dies_at = {}, dies_at
    if dies_at < 8:
        with pytest.raises(TreatyStanceError, match="died"):
            push_campaign(other, order(articles), at=AT, environ={}, client=object())
    server.dies_at = None
    again = push_campaign(other, order(articles), at=LATER, environ={}, client=object())
    assert again.known == (dies_at < 8)
    assert server.kept == expected
    with Ledger.open(load_project(other).store_url) as ledger:
        (draw,) = ledger.draws()
        assert draw.id == whole.draw.id
        places = {p.coder: [t.statement for t in ledger.tasks(p.key)] for p in ledger.projects()}
    assert places == expected


def test_another_seed_draws_what_is_left(workspace: Path, articles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    monkeypatch.setattr(campaign, "open_project", server.open_project)
    monkeypatch.setattr(campaign, "push_tasks", server.push_tasks)
    push_campaign(workspace, order(articles, n=3, audit=0, overlap=0), at=AT, environ={}, client=object())
    first = {uid for uids in server.kept.values() for uid in uids}
    push_campaign(workspace, order(articles, n=3, audit=0, overlap=0, seed=1), at=LATER, environ={}, client=object())
    assert len({uid for uids in server.kept.values() for uid in uids} - first) == 3
    with pytest.raises(UsageError, match="expected"):
        push_campaign(workspace, order(articles, n=1, audit=0, overlap=0, seed=2), at=LATER, environ={}, client=object())


def test_suggestions_need_a_model(workspace: Path, articles: Path) -> None:
    with pytest.raises(UsageError, match="suggestions need a model"):
        push_campaign(workspace, dataclasses.replace(order(articles), assisted=True), at=AT, environ={}, client=object())


@pytest.fixture
def river(workspace: Path, invented_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """What a server is sent from the workspace, which codes with the invented codebook."""
    (workspace / CODEBOOK).write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    server = Server()
    monkeypatch.setattr(campaign, "open_project", server.open_project)
    monkeypatch.setattr(campaign, "push_tasks", server.push_tasks)
    return server


def test_assisted_coding_shows_one_sound_suggestion_of_the_bundle_on_every_task(
    workspace: Path, articles: Path, river: Server, small_bundle: Path, invented: Codebook
) -> None:
    asked = dataclasses.replace(order(articles, audit=0), model=small_bundle, assisted=True)
    result = push_campaign(workspace, asked, at=AT, environ={}, client=object())
    predictor = Predictor.load(small_bundle)
    assert result.draw.settings["model_id"] is None, "the draw was at random, whatever the model says"
    assert len(river.tasks) == 4
    for uid, shown in river.tasks.items():
        (suggestion,) = shown["predictions"]
        check_prediction(invented, shown, suggestion)
        assert (shown["data"]["uid"], suggestion["model_version"]) == (uid, predictor.model_id)
        (judged,) = predictor.judge([Passage(shown["data"]["text"])])
        (stance,) = [part["value"]["choices"] for part in suggestion["result"] if part["from_name"] == "stance"]
        assert (stance, suggestion["score"]) == ([judged.stance], pytest.approx(judged.confidence, abs=1e-5))


def test_a_model_may_choose_statements_that_are_then_coded_blind(
    workspace: Path, articles: Path, river: Server, small_bundle: Path
) -> None:
    for n, words in enumerate(["welcomes the pact", "rejects the pact", "read the pact and signs or refuses it"]):
        (articles / f"said-{n}.txt").write_text(f"The angler of Norfield {words} at the old river bridge.", encoding="utf-8")
    asked = dataclasses.replace(order(articles, n=1, overlap=0, audit=0, strategy="uncertain"), model=small_bundle)
    draw = push_campaign(workspace, asked, at=AT, environ={}, client=object()).draw
    predictor = Predictor.load(small_bundle)
    assert (draw.strategy, draw.settings["model_id"]) == ("uncertain", predictor.model_id)
    texts = [path.read_text(encoding="utf-8") for path in sorted(articles.iterdir())]
    ranked = [sorted(judged.probabilities) for judged in predictor.judge([Passage(text) for text in texts])]
    margins = {text: found[-1] - found[-2] for text, found in zip(texts, ranked, strict=True)}
    (sent,) = river.tasks.values()
    assert margins[sent["data"]["text"]] == pytest.approx(min(margins.values()), abs=1e-5)
    assert set(sent) == {"data"}, "no suggestion"


def test_a_bundle_of_another_codebook_suggests_nothing(workspace: Path, articles: Path, small_bundle: Path) -> None:
    asked = dataclasses.replace(order(articles), model=small_bundle, assisted=True)
    with pytest.raises(UsageError, match=r"its codebook is river-pact/1@.*, the workspace's is un-cybercrime/"):
        push_campaign(workspace, asked, at=AT, environ={}, client=object())
    with Ledger.open(load_project(workspace).store_url) as ledger:
        assert (ledger.draws(), ledger.projects()) == ([], [])


def test_there_is_nothing_to_pull_before_a_push(workspace: Path) -> None:
    with pytest.raises(UsageError, match="expected a campaign that was pushed, found none"):
        pull_campaign(workspace, at=AT, environ={}, client=object())
    with pytest.raises(UsageError, match="expected a round 'Pilot' that was pushed"):
        pull_campaign(workspace, at=AT, environ={}, round="Pilot", client=object())


def test_coders_have_names_and_may_have_addresses() -> None:
    assert read_coders("anna, ben=b.smith@ngo.org") == {"anna": None, "ben": "b.smith@ngo.org"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "coder '': expected a name"),
        ("Anna", "coder 'Anna': expected a name of small letters"),
        ("anna,anna", "coder 'anna': expected each name once"),
        ("anna=", "expected an e-mail address behind =, found ''"),
        ("anna=ngo.org", "found 'ngo.org'"),
        ("a" * 33, "expected a name"),
    ],
)
def test_what_is_no_list_of_coders_is_one_sentence(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        read_coders(text)


def section(title: str) -> str:
    page = DICTIONARY.read_text(encoding="utf-8")
    return page[page.index(f"## {title}") :].split("\n## ", 1)[0]


def test_the_data_dictionary_lists_the_fields_of_an_annotation() -> None:
    listed = re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.+?) \|", section("Annotations"), re.MULTILINE)))
    assert sorted(listed) == sorted(Annotation.__struct_fields__)


@pytest.mark.parametrize(
    "kind", [Version, Coders, Measured, Pair, Lean, Period, Status, Round, Progress, Audit, AuditReport, Changed]
)
def test_the_data_dictionary_names_the_fields_of_what_a_campaign_writes(kind: Any) -> None:
    said = set(re.findall(r"\w+", section("Campaign:")))
    fields = kind.__struct_fields__ if hasattr(kind, "__struct_fields__") else [f.name for f in dataclasses.fields(kind)]
    assert not [f for f in fields if f not in said]
