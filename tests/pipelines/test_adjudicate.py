"""Cases go out and decisions come back; what a server would do stands in here for what one seldom does."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from annotation.campaign import Answer, Case, Item, Project, Pull, Task
from annotation.codebook import Codebook, dump_codebook
from annotation.exchange import Plan, PullReport
from annotation.label_studio import PushResult
from annotation.ledger import Ledger
from corpus.errors import UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Annotation, Document, Statement
from corpus.sources import load_project
from pipelines import adjudicate
from pipelines.adjudicate import CasesPulled, CasesPushed, pull_cases, push_cases
from pipelines.cli_adjudicate import adjudicate as commands
from pipelines.workspace import init_workspace

PARTS = ("Upperton welcomes the pact.", "Lowerton refuses it.", "Ann Gler counted the pages.")
TEXT = " ".join(PARTS)
DOCUMENT = Document(id=document_id("file:a", TEXT), url="file:a", text=TEXT)


def statement(number: int) -> Statement:
    start = TEXT.index(PARTS[number])
    end = start + len(PARTS[number])
    return Statement(
        id=statement_id(DOCUMENT.id, start, end), document=DOCUMENT.id, start=start, end=end, text=PARTS[number]
    )


IDS = [statement(n).id for n in range(len(PARTS))]


class Server:
    """Takes projects and tasks, and has the answers that a test gives it."""

    def __init__(self) -> None:
        self.tasks: dict[str, list[str]] = {}
        self.shown: dict[str, dict[str, Any]] = {}
        self.answers: dict[int, Answer] = {}

    def open(self, client: object, ledger: Ledger, plan: Plan, *, at: str) -> Project:
        assert client is self
        project = Project(
            server="http://here", number=9, title=plan.title, round=plan.round, role=plan.role, made=at,
            codebook_version=plan.codebook.id, codebook=dump_codebook(plan.codebook),
        )  # fmt: skip
        ledger.add_project(project)
        return project

    def push(self, _: object, ledger: Ledger, project: Project, tasks: Sequence[tuple[str, dict[str, Any]]]) -> PushResult:
        there = self.tasks.setdefault(project.title, [])
        new = [s for s, _ in tasks if s not in there]
        there += new
        self.shown |= dict(tasks)
        ledger.add_tasks(Task(project=project.key, position=i, statement=s) for i, s in enumerate(there))
        return PushResult(project.number, False, len(new), len(tasks) - len(new), 0)

    def answer(self, number: int, statement: str, codebook: Codebook, stance: str, cause: str, **given: Any) -> None:
        result = [{"from_name": "cause", "to_name": "text", "type": "choices", "value": {"choices": [cause]}}]
        self.answers[number] = Answer(
            project="", number=number, stamp=f"{stance}{cause}{given}", task=number, state="counted", seen="",
            raw=msgspec.json.encode({"id": number, "result": result}).decode(), statement=statement,
            annotation=Annotation(
                statement=statement, annotator="label-studio-4", codebook_version=codebook.id, stance=stance
            ),
            **given,
        )  # fmt: skip

    def withdraw(self, number: int) -> None:
        gone = self.answers[number]
        self.answers[number] = msgspec.structs.replace(gone, stamp="gone", state="deleted", annotation=None)

    def pull(self, _: object, ledger: Ledger, project: Project, *, at: str, full: bool) -> PullReport:
        found = [msgspec.structs.replace(a, project=project.key, seen=at) for a in self.answers.values()]
        ledger.note_pull(Pull(project=project.key, at=at, tasks=0, answers=len(found), full=full), found)
        return PullReport(project, 0, len(found), 0, 0, 0, full, 0, {}, (), ())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(adjudicate, "open_project", made.open)
    monkeypatch.setattr(adjudicate, "push_tasks", made.push)
    monkeypatch.setattr(adjudicate, "pull_project", made.pull)
    return made


@pytest.fixture
def workspace(tmp_path: Path, invented_path: Path) -> Path:
    folder = tmp_path / "ws"
    init_workspace(folder)
    (folder / "codebook.yaml").write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture
def ledger(workspace: Path) -> Iterator[Ledger]:
    with Ledger.open(load_project(workspace).store_url) as opened:
        opened.add_items(Item(statement=statement(n), document=DOCUMENT) for n in range(len(PARTS)))
        yield opened


def code(
    ledger: Ledger, codebook: Codebook, coder: str, stances: Sequence[str], at: str = "2026-01-01", **given: Any
) -> None:
    """Note that a coder read the first statements with these stances."""
    project = Project(
        server="http://here", number=len(ledger.projects()) + 1, title=f"Round 1, {coder}", round="Round 1", role="coding",
        codebook_version=codebook.id, codebook=dump_codebook(codebook), made=at, coder=coder,
    )  # fmt: skip
    known = next((p for p in ledger.projects() if p.coder == coder), None)
    project = known or project
    ledger.add_project(project)
    ledger.add_tasks(Task(project=project.key, position=i, statement=IDS[i]) for i in range(len(stances)))
    answers = [
        Answer(
            project=project.key, number=i, stamp=stance, task=i, state="counted", seen=at, raw="{}", statement=IDS[i],
            annotator=coder,
            annotation=Annotation(statement=IDS[i], annotator=coder, codebook_version=codebook.id, stance=stance, **given),
        )
        for i, stance in enumerate(stances)
    ]  # fmt: skip
    ledger.note_pull(Pull(project=project.key, at=at, tasks=len(answers), answers=len(answers), full=True), answers)


@pytest.fixture
def campaign(ledger: Ledger, invented: Codebook) -> Ledger:
    """Two coders differ on the first and the last of three statements."""
    code(ledger, invented, "anna", ["yes_please", "no_thanks", "silent"])
    code(ledger, invented, "ben", ["no_thanks", "no_thanks", "yes_please"])
    return ledger


@pytest.fixture
def push(workspace: Path, server: Server) -> Callable[..., CasesPushed]:
    return lambda **given: push_cases(
        workspace, round="Round 1", **{"at": "2026-02", "environ": {}, "client": server} | given
    )


@pytest.fixture
def pull(workspace: Path, server: Server) -> Callable[..., CasesPulled]:
    return lambda **given: pull_cases(
        workspace, round="Round 1", **{"at": "2026-03", "environ": {}, "client": server} | given
    )


Push = Callable[..., CasesPushed]
Pulling = Callable[..., CasesPulled]


class TestPush:
    def test_ties_are_sent_once_with_their_readings_and_without_names(
        self, campaign: Ledger, server: Server, push: Push
    ) -> None:
        first = push()
        assert (first.found, first.waiting, first.decided, first.reasons) == (2, 2, 0, {"tie on stance": 2})
        assert server.tasks == {"Round 1 adjudication": sorted([IDS[0], IDS[2]])}
        assert "anna" not in str(server.shown)
        assert "Does not want it" in server.shown[IDS[0]]["data"]["readings"]
        second = push(at="2026-04")
        assert second.push is not None
        assert (second.found, second.waiting, second.push.added, second.push.present) == (0, 2, 0, 2)
        assert {x.opened for x in campaign.cases()} == {"2026-02"}

    def test_without_a_tie_nobody_is_asked(self, ledger: Ledger, invented: Codebook, workspace: Path) -> None:
        for coder in ("anna", "ben"):
            code(ledger, invented, coder, ["silent"])
        result = push_cases(workspace, round="Round 1", at="2026-02", environ={})  # no server in reach
        assert (result.found, result.waiting, result.project, result.push) == (0, 0, None, None)

    def test_a_majority_is_sent_on_request(self, campaign: Ledger, invented: Codebook, push: Push) -> None:
        code(campaign, invented, "cleo", ["no_thanks", "no_thanks"])
        assert push().found == 1
        result = push(all_differences=True)
        assert (result.found, result.reasons) == (1, {"settled by a majority": 1})
        assert {x.statement: len(x.readings) for x in campaign.cases()} == {IDS[0]: 3, IDS[2]: 2}

    def test_a_case_that_somebody_else_opened_is_sent_as_it_is(
        self, campaign: Ledger, invented: Codebook, server: Server, push: Push
    ) -> None:
        readings = tuple(
            Annotation(statement=IDS[1], annotator="anna", codebook_version=invented.id, stance=s)
            for s in ("silent", "no_thanks")
        )
        case = Case(statement=IDS[1], codebook_version=invented.id, round="Round 1", readings=readings, opened="2026-01")
        campaign.put_cases([case])
        result = push()
        assert (result.found, result.waiting) == (2, 3)
        assert case in campaign.cases()
        assert IDS[1] in server.tasks["Round 1 adjudication"]

    def test_a_coder_who_thinks_again_is_named_with_the_case(self, campaign: Ledger, invented: Codebook, push: Push) -> None:
        assert push().outdated == ()
        code(campaign, invented, "ben", ["yes_please"], at="2026-02-02")
        result = push()
        assert (result.found, result.waiting, result.outdated) == (0, 2, (IDS[0],))

    def test_a_round_that_is_not_there_is_one_sentence(self, campaign: Ledger, workspace: Path) -> None:
        with pytest.raises(
            UsageError, match="round 'Round 2': expected a round that was pushed, found none; there are 'Round 1'"
        ):
            push_cases(workspace, round="Round 2", at="", environ={})

    def test_of_two_codebooks_in_a_round_the_workspaces_is_taken(
        self, campaign: Ledger, invented: Codebook, workspace: Path, push: Push
    ) -> None:
        code(campaign, msgspec.structs.replace(invented, version=2), "dora", ["silent"])
        assert push().found == 2
        changed = (workspace / "codebook.yaml").read_text(encoding="utf-8").replace("version: 1", "version: 3")
        (workspace / "codebook.yaml").write_text(changed, encoding="utf-8")
        with pytest.raises(UsageError, match="found river-pact/3@"):
            push()


class TestPull:
    def test_decisions_close_cases_with_cause_and_name(
        self, campaign: Ledger, invented: Codebook, server: Server, push: Push, pull: Pulling
    ) -> None:
        push()
        server.answer(1, IDS[0], invented, "silent", "gap")
        result = pull(adjudicator="zoe")
        assert (result.closed, result.changed, result.reopened, result.waiting) == (1, 0, 0, 1)
        assert result.causes == {"gap": 1}
        case = next(x for x in campaign.cases() if x.statement == IDS[0])
        assert case.decision is not None
        assert (case.decision.annotator, case.decision.stance, case.closed) == ("zoe", "silent", "2026-03")
        again = pull(at="2026-04")
        assert (again.closed, again.changed) == (0, 0)
        assert case in campaign.cases()
        assert (push().waiting, push().decided) == (1, 1)

    def test_a_changed_answer_changes_the_decision_and_one_that_is_gone_opens_the_case(
        self, campaign: Ledger, invented: Codebook, server: Server, push: Push, pull: Pulling
    ) -> None:
        push()
        server.answer(1, IDS[0], invented, "silent", "gap")
        pull()
        server.answer(1, IDS[0], invented, "yes_please", "slip", updated="2026-04")
        assert pull(at="2026-05").changed == 1
        case = next(x for x in campaign.cases() if x.statement == IDS[0])
        assert (case.cause, case.closed) == ("slip", "2026-05")
        server.withdraw(1)
        result = pull(at="2026-06")
        assert (result.reopened, result.waiting, result.causes) == (1, 2, {})

    def test_the_newest_of_several_answers_counts(
        self, campaign: Ledger, invented: Codebook, server: Server, push: Push, pull: Pulling
    ) -> None:
        push()
        server.answer(1, IDS[0], invented, "silent", "gap", updated="2026-03-02")
        server.answer(2, IDS[0], invented, "yes_please", "slip", updated="2026-03-01")
        assert pull().causes == {"gap": 1}

    def test_a_decision_that_was_made_elsewhere_stays(
        self, campaign: Ledger, invented: Codebook, push: Push, pull: Pulling
    ) -> None:
        push()
        decision = Annotation(statement=IDS[0], annotator="audit", codebook_version=invented.id, stance="silent")
        case = next(x for x in campaign.cases() if x.statement == IDS[0])
        decided = msgspec.structs.replace(case, decision=decision, closed="2026-02-03")
        campaign.put_cases([decided])
        assert (pull().reopened, pull().waiting) == (0, 1)
        assert decided in campaign.cases()

    def test_an_answer_under_another_codebook_is_named_and_closes_nothing(
        self, campaign: Ledger, invented: Codebook, server: Server, push: Push, pull: Pulling
    ) -> None:
        push()
        server.answer(1, IDS[0], msgspec.structs.replace(invented, version=2), "silent", "gap")
        result = pull()
        assert (result.closed, result.waiting) == (0, 2)
        assert "expected a decision on it under codebook river-pact/1@" in result.problems[0]

    def test_before_a_push_there_is_nothing_to_pull(self, campaign: Ledger, workspace: Path) -> None:
        with pytest.raises(UsageError, match=r"round 'Round 1': expected a project of cases, found none; .*adjudicate push"):
            pull_cases(workspace, round="Round 1", at="", environ={})


def test_the_commands_tell_what_became_of_the_cases(
    campaign: Ledger, invented: Codebook, workspace: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adjudicate, "workspace_client", lambda *_: server)
    pushed = CliRunner().invoke(commands, ["push", "--workspace", str(workspace)])
    assert pushed.output.splitlines() == [
        "Round 1: 2 new cases, 2 open, 0 decided",
        "  2: tie on stance",
        "project 'Round 1 adjudication': 2 cases added, 0 there before",
    ]
    server.answer(1, IDS[0], invented, "silent", "gap")
    pulled = CliRunner().invoke(commands, ["pull", "--workspace", str(workspace)])
    assert pulled.output.splitlines() == [
        "Round 1: 1 cases closed, 0 decided otherwise than before, 0 open again, 1 open",
        "  1: gap",
    ]
