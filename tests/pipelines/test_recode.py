"""Recoding sends back exactly what a change of the codebook touches, and carries the other gold labels over."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from annotation.campaign import Answer, Item, Project, Pull, Role, Task
from annotation.changes import check_codebook
from annotation.codebook import Codebook, dump_codebook, load_codebook
from annotation.exchange import Plan
from annotation.label_studio import PushResult
from annotation.ledger import Ledger
from corpus.errors import CodebookError, UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Annotation, Document, GoldLabel, Statement
from corpus.sources import load_project
from pipelines import recode as job
from pipelines.cli_adjudicate import recode as command
from pipelines.recode import Recoded, recode
from pipelines.workspace import init_workspace

PARTS = ("Upperton welcomes the pact.", "Lowerton refuses it.", "Ann Gler counted the pages.", "Salmon like it.")
TEXT = " ".join(PARTS)
DOCUMENT = Document(id=document_id("file:a", TEXT), url="file:a", text=TEXT)
SPANS = [(TEXT.index(part), TEXT.index(part) + len(part)) for part in PARTS]
IDS = [statement_id(DOCUMENT.id, *span) for span in SPANS]

Run = Callable[..., Recoded]


class Server:
    """Takes projects and tasks."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.tasks: dict[str, list[str]] = {}

    def open(self, client: object, ledger: Ledger, plan: Plan, *, at: str) -> Project:
        self.plans.append(plan)
        titles = list(dict.fromkeys(p.title for p in self.plans))
        project = noted(
            plan.codebook, str(plan.coder), plan.round, plan.role, number=100 + titles.index(plan.title), made=at
        )
        ledger.add_project(project)
        return project

    def push(self, _: object, ledger: Ledger, project: Project, tasks: Sequence[tuple[str, dict[str, Any]]]) -> PushResult:
        there = self.tasks.setdefault(project.title, [])
        new = [s for s, _ in tasks if s not in there]
        there += new
        ledger.add_tasks(Task(project=project.key, position=i, statement=s) for i, s in enumerate(there))
        return PushResult(project.number, False, len(new), len(tasks) - len(new), 0)


def noted(codebook: Codebook, coder: str, round: str, role: Role, *, number: int, made: str) -> Project:
    return Project(
        server="http://here", number=number, title=f"{round}, {coder}", round=round, role=role, coder=coder,
        codebook_version=codebook.id, codebook=dump_codebook(codebook), made=made, email=f"{coder}@example.org",
        show_publisher=True,
    )  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, invented_path: Path) -> Path:
    folder = tmp_path / "ws"
    init_workspace(folder)
    (folder / "codebook.yaml").write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


@pytest.fixture
def change(workspace: Path) -> Callable[[str, str], Codebook]:
    def edit(before: str, after: str) -> Codebook:
        text = (workspace / "codebook.yaml").read_text(encoding="utf-8")
        assert before in text
        (workspace / "codebook.yaml").write_text(text.replace(before, after), encoding="utf-8")
        return load_codebook(workspace / "codebook.yaml")

    return edit


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    made = Server()
    monkeypatch.setattr(job, "open_project", made.open)
    monkeypatch.setattr(job, "push_tasks", made.push)
    monkeypatch.setattr(job, "workspace_client", lambda *_: made)
    return made


def code(ledger: Ledger, project: Project, readings: dict[int, tuple[str, ...]]) -> None:
    """Note what a project's coder read: (stance, concern, …) by the statement's number, in this order."""
    ledger.add_project(project)
    ledger.add_tasks(Task(project=project.key, position=i, statement=IDS[n]) for i, n in enumerate(readings))
    given = {"annotator": project.coder, "codebook_version": project.codebook_version}
    answers = [
        Answer(
            project=project.key, number=n, stamp="a", task=n, state="counted", seen=project.made, raw="{}", statement=IDS[n],
            annotator=project.coder,
            annotation=Annotation(statement=IDS[n], stance=said[0], concerns=said[1:], **given),  # type: ignore[arg-type]
        )
        for n, said in readings.items()
    ]  # fmt: skip
    ledger.note_pull(Pull(project=project.key, at=project.made, tasks=4, answers=len(answers), full=True), answers)


@pytest.fixture
def campaign(workspace: Path, invented: Codebook) -> Iterator[Ledger]:
    """Anna read all four statements, Ben the first three; the first two have a gold label."""
    with Ledger.open(load_project(workspace).store_url) as ledger:
        ledger.add_items(
            Item(
                statement=Statement(id=i, document=DOCUMENT.id, start=start, end=end, text=TEXT[start:end]),
                document=DOCUMENT,
            )
            for i, (start, end) in zip(IDS, SPANS, strict=True)
        )
        anna = noted(invented, "anna", "Round 1", "coding", number=1, made="2026-01-01")
        ben = noted(invented, "ben", "Round 1", "coding", number=2, made="2026-01-02")
        code(ledger, anna, {3: ("silent", "fish"), 0: ("yes_please",), 2: ("silent",), 1: ("no_thanks", "money")})
        code(ledger, ben, {1: ("no_thanks",), 2: ("silent", "fish"), 0: ("yes_please",)})
        labels = [
            GoldLabel(statement=IDS[0], codebook_version=invented.id, stance="yes_please"),
            GoldLabel(statement=IDS[1], codebook_version=invented.id, stance="no_thanks", concerns=("money",)),
        ]
        ledger.add_gold(labels, "2026-01-03")
        yield ledger


@pytest.fixture
def run(workspace: Path) -> Run:
    return lambda **given: recode(
        workspace, **{"round": "Round 2", "source": "Round 1", "at": "2026-02", "environ": {}} | given
    )


class TestRecode:
    def test_each_coder_gets_back_what_is_touched_and_no_more(
        self, campaign: Ledger, server: Server, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        """Anna raised fish at the fourth statement, Ben at the third: Anna has both, in her order, Ben has the third."""
        new = change("Fish and other animals.", "Fish.")
        with pytest.raises(CodebookError, match="concern 'fish' redefined"):
            check_codebook(campaign, "Round 2", new)
        result = run()
        assert server.tasks == {"Round 2, anna": [IDS[3], IDS[2]], "Round 2, ben": [IDS[2]]}
        assert result.statements == tuple(sorted([IDS[2], IDS[3]]))
        (found,) = result.used
        assert [(u.change.label, u.readings, u.gold) for u in found.uses] == [("fish", 2, 0)]
        for plan, coder in zip(server.plans, ("anna", "ben"), strict=True):
            assert (plan.title, plan.role, plan.coder) == (f"Round 2 recoding, {coder}", "recoding", coder)
            assert (plan.codebook.id, plan.email, plan.show_publisher) == (new.id, f"{coder}@example.org", True)
        check_codebook(campaign, "Round 2", new)

    def test_the_other_gold_labels_stand_under_the_new_codebook(
        self, campaign: Ledger, invented: Codebook, server: Server, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        new = change("Cost and price.", "Cost.")
        assert run().carried == {"new": 1, "changed": 0, "same": 0}
        (label,) = campaign.gold(new.id)
        assert (label.statement, label.stance, label.settled) == (IDS[0], "yes_please", "agreed")
        assert len(campaign.gold(invented.id)) == 2

    def test_once_more_changes_nothing(
        self, campaign: Ledger, server: Server, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        change("Fish and other animals.", "Fish.")
        first, second = run(), run(at="2026-03")
        assert second.statements == first.statements
        assert [pushed.added for _, pushed in second.projects.values()] == [0, 0]
        assert second.carried == {"new": 0, "changed": 0, "same": 2}

    def test_what_was_coded_anew_keeps_its_new_label(
        self, campaign: Ledger, server: Server, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        new = change("Fish and other animals.", "Fish.")
        run()
        code(campaign, noted(new, "cleo", "Round 2", "coding", number=50, made="2026-02-02"), {0: ("silent",)})
        label = GoldLabel(statement=IDS[0], codebook_version=new.id, stance="silent", settled="single")
        campaign.add_gold([label], "2026-02-03")
        run(at="2026-03")
        assert label in campaign.gold(new.id)

    def test_wording_alone_sends_nothing_and_carries_everything(
        self, campaign: Ledger, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        new = change("name: Fish,", "name: Fishes,")
        result = run()  # no server in reach
        assert (result.statements, dict(result.projects), result.carried["new"]) == ((), {}, 2)
        assert [g.codebook_version for g in campaign.gold(new.id)] == [new.id, new.id]

    def test_all_on_request(
        self, campaign: Ledger, server: Server, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        change("Judge the words.", "Judge the tone.")
        assert run().statements == ()
        assert run(everything=True).statements == tuple(sorted(IDS))
        assert server.tasks == {
            "Round 2, anna": [IDS[3], IDS[0], IDS[2], IDS[1]],
            "Round 2, ben": [IDS[1], IDS[2], IDS[0]],
        }

    def test_what_a_later_codebook_was_coded_with_is_not_sent_for_the_first(
        self, campaign: Ledger, server: Server, run: Run, change: Callable[[str, str], Codebook]
    ) -> None:
        second = change("Fish and other animals.", "Fish.")
        code(campaign, noted(second, "anna", "Round 2", "recoding", number=60, made="2026-02-02"), {3: ("silent",)})
        change("definition: Fish.", "definition: Trout.")
        assert run(round="Round 3").statements == (IDS[2],)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"source": "Round 9"}, "expected a round coded with an earlier codebook, found nothing; there are 'Round 1'"),
            ({}, "found the workspace's codebook, so nothing is to be coded anew"),
            ({"round": "Round 1"}, "expected another name than that of the round"),
        ],
    )
    def test_what_cannot_be_meant_is_refused(self, campaign: Ledger, run: Run, given: dict[str, str], message: str) -> None:
        with pytest.raises(UsageError, match=message):
            run(**given)


def test_the_command_shows_what_must_be_coded_anew(
    campaign: Ledger, workspace: Path, server: Server, change: Callable[[str, str], Codebook]
) -> None:
    change("Fish and other animals.", "Fish.")
    done = CliRunner().invoke(command, ["--workspace", str(workspace), "--round", "Round 2", "--from", "Round 1"])
    lines = done.output.splitlines()
    assert lines[1:] == [
        "  concern 'fish' redefined (definition): used by 2 readings and 0 gold labels",
        "2 statements to code anew; 2 gold labels carried over",
        "project 'Round 2, anna': 2 statements added, 0 there before",
        "project 'Round 2, ben': 1 statements added, 0 there before",
    ]
