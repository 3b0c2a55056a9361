"""The campaign's status as a table and as JSON."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from annotation.campaign import Answer, Case, Draw, Project, Pull, Sampled, Task
from annotation.ledger import Ledger
from annotation.status import measure_status
from corpus.errors import UsageError
from corpus.records import Annotation, GoldLabel
from corpus.sources import load_project
from pipelines.cli_adjudicate import status as command
from pipelines.status import campaign_status, columns, status_lines
from pipelines.workspace import init_workspace

V = "pact/1@0"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    init_workspace(folder)
    return folder


@pytest.fixture
def campaign(workspace: Path) -> Path:
    """One coder with three statements: one done, one skipped, one open; a case, a gold label, an audit sample."""
    project = Project(
        server="http://here", number=1, title="Round 1, anna", round="Round 1", role="coding", codebook_version=V,
        codebook="{}", made="2026-03-01T00:00:00Z", coder="anna",
    )  # fmt: skip
    reading = Annotation(statement="s1", annotator="anna", codebook_version=V, stance="silent", seconds=12.0)
    noon = "2026-03-02T12:00:00+00:00"
    common = {"project": project.key, "stamp": "a", "seen": noon, "raw": "{}"}
    with Ledger.open(load_project(workspace).store_url) as ledger:
        ledger.add_project(project)
        ledger.add_tasks(Task(project=project.key, position=i, statement=f"s{i + 1}") for i in range(3))
        answers = [
            Answer(number=1, task=1, state="counted", statement="s1", annotation=reading, **common),
            Answer(number=2, task=2, state="skipped", statement="s2", **common),
        ]
        ledger.note_pull(Pull(project=project.key, at=noon, tasks=3, answers=2, full=True), answers)
        ledger.add_draw(
            Draw(id="d1", made=noon, round="Round 1", strategy="balanced", seed=0, frame=9, frame_hash="h"),
            [Sampled(draw="d1", statement=f"s{i}", stratum=s, inclusion_probability=0.5) for i, s in ((1, "a"), (3, "b"))],
        )
        ledger.put_cases([Case(statement="s1", codebook_version=V, round="Round 1", readings=(), opened=noon)])
        ledger.add_gold([GoldLabel(statement="s1", codebook_version=V, stance="silent", settled="single")], noon)
    return workspace


def test_the_table_names_coders_samples_cases_and_gold(campaign: Path) -> None:
    lines = status_lines(campaign_status(campaign))
    assert lines[0] == "Round 1: 3 statements, drawn balanced; 1 read, 0 of them by two coders or more; codebook pact/1@0"
    heading, row = lines[2], lines[3]
    assert heading.split() == [
        "project", "assigned", "done", "cannot", "judge", "skipped", "unusable", "open", "seconds", "a", "day", "end",
    ]  # fmt: skip
    assert row.split() == ["Round", "1,", "anna", "3", "1", "0", "1", "0", "1", "12", "1.0", "2026-03-04"]
    assert lines[4:] == [
        "  Round 1, anna: answers that gave no label: 1 skipped",
        "",
        "audit sample of Round 1 (d1): 1 of 2 read, 1 with a gold label",
        "  a: 1 of 1",
        "  b: 0 of 1",
        "cases: 1 open, 0 decided",
        "gold under pact/1@0: 1 labels (1 single)",
    ]


def test_a_round_that_only_checks_labels_again_is_not_told_as_an_empty_one(campaign: Path) -> None:
    again = Project(
        server="http://here", number=3, title="again", round="Labels again", role="recheck", codebook_version=V,
        codebook="{}", made="2026-03-05T00:00:00Z",
    )  # fmt: skip
    with Ledger.open(load_project(campaign).store_url) as ledger:
        ledger.add_project(again)
        ledger.add_tasks([Task(project=again.key, position=0, statement="s1")])
    status = campaign_status(campaign)
    assert [(r.name, r.statements) for r in status.rounds] == [("Round 1", 3), ("Labels again", 0)]
    lines = status_lines(status)
    assert not any(line.startswith("Labels again: ") for line in lines)
    assert any(line.startswith("again ") for line in lines), "its project has a row"


def test_disagreement_is_shown_for_those_who_share_statements(campaign: Path) -> None:
    ben = Project(
        server="http://here", number=2, title="Round 1, ben", round="Round 1", role="coding", codebook_version=V,
        codebook="{}", made="2026-03-01T00:00:01Z", coder="ben",
    )  # fmt: skip
    reading = Annotation(statement="s1", annotator="ben", codebook_version=V, stance="silent", concerns=("fish",))
    answer = Answer(
        project=ben.key, number=1, stamp="a", task=1, state="counted", seen="2026-03-02", raw="{}", annotation=reading,
        statement="s1",
    )  # fmt: skip
    with Ledger.open(load_project(campaign).store_url) as ledger:
        ledger.add_project(ben)
        ledger.add_tasks([Task(project=ben.key, position=0, statement="s1")])
        ledger.note_pull(Pull(project=ben.key, at="2026-03-02", tasks=1, answers=1, full=True), [answer])
    lines = status_lines(campaign_status(campaign))
    place = next(i for i, line in enumerate(lines) if line.startswith("read by others"))
    assert [" ".join(line.split()) for line in lines[place + 1 : place + 3]] == [
        "Round 1, anna 1 0 (0%) 1 (100%)",
        "Round 1, ben 1 0 (0%) 1 (100%)",
    ]


def test_the_json_has_the_same_figures(campaign: Path, tmp_path: Path) -> None:
    output = tmp_path / "status.json"
    done = CliRunner().invoke(command, ["--workspace", str(campaign), "--output", str(output)])
    assert done.exit_code == 0
    found = json.loads(output.read_text(encoding="utf-8"))
    assert (found["format"], found["window_days"]) == (1, 14.0)
    with Ledger.open(load_project(campaign).store_url) as ledger:
        status = measure_status(ledger)
    assert found["projects"][0]["done"] == status.projects[0].done == 1
    assert found["audits"][0]["strata"] == {"a": [1, 1], "b": [1, 0]}
    assert found["gold"] == {V: {"single": 1}}
    assert done.output.splitlines() == status_lines(status)


@pytest.mark.parametrize(
    ("round", "message"), [(None, "expected a campaign that was pushed, found none"), ("Round 9", "found none")]
)
def test_before_a_push_there_is_no_status(workspace: Path, round: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        campaign_status(workspace, round=round)


def test_an_unknown_round_is_answered_with_those_that_there_are(campaign: Path) -> None:
    with pytest.raises(UsageError, match=r"expected a round 'Round 9' that was pushed, found 'Round 1'"):
        campaign_status(campaign, round="Round 9")


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns([("a", "bb"), ("ccc", "d")]) == ["a    bb", "ccc   d"]
