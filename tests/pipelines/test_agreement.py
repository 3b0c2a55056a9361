"""A workspace's readings are measured and settled, and gold follows what coders and adjudicator say by now."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from annotation.campaign import Answer, Case, Draw, Project, Pull, Sampled, Task
from annotation.codebook import Codebook, dump_codebook
from annotation.ledger import Ledger
from corpus.errors import UsageError
from corpus.records import Annotation, GoldLabel
from corpus.sources import load_project
from pipelines.agreement import agreement_lines, corpus_agreement, settle_workspace, workspace_agreement
from pipelines.cli_agreement import agreement, gold
from pipelines.workspace import CODEBOOK, init_workspace

NOW = "2026-05-01T00:00:00+00:00"
STANCES = {"y": "yes_please", "n": "no_thanks", "s": "silent"}


class Campaign:
    """A workspace with coders' answers, as pulls would have noted them. Statements: d0:0-9, d0:10-19, d1:0-9 …"""

    def __init__(self, folder: Path, codebook: Codebook) -> None:
        self.folder, self.codebook = folder, codebook
        self.url = load_project(folder).store_url

    def open(self) -> Ledger:
        return Ledger.open(self.url)

    def project(self, coder: str, round: str = "Round 1", codebook: Codebook | None = None) -> Project:
        used = codebook or self.codebook
        return Project(
            server="http://here", number=sum(map(ord, coder + round)), title=f"{round}, {coder}", round=round, role="coding",
            codebook_version=used.id, codebook=dump_codebook(used), made="2026-04-01T00:00:00+00:00", coder=coder,
        )  # fmt: skip

    def code(self, coder: str, letters: str, *, day: int = 2, state: str = "counted", **fields: Any) -> None:
        """Note one answer a letter: y, n, s, a full stop for none; later calls supersede."""
        round, codebook, first = fields.pop("round", "Round 1"), fields.pop("codebook", None), fields.pop("first", 0)
        project = msgspec.structs.replace(self.project(coder, round, codebook), role=fields.pop("role", "coding"))
        answers = []
        for i, letter in enumerate(letters, first):
            if letter == ".":
                continue
            version = project.codebook_version
            reading = Annotation(
                statement=statement(i), annotator=coder, codebook_version=version, stance=STANCES[letter], **fields
            )
            answers.append(
                Answer(
                    project=project.key, number=i, stamp=f"{day} {state} {letter}", task=i, state=state, raw="{}",
                    seen=f"2026-04-{day:02d}T00:00:00+00:00", updated=f"2026-04-{day:02d}T{i % 24:02d}:00:00+00:00",
                    statement=statement(i), annotator=coder, annotation=reading if state == "counted" else None,
                )
            )  # fmt: skip
        with self.open() as ledger:
            ledger.add_project(project)
            ledger.add_tasks(
                Task(project=project.key, position=i, statement=a.statement or "") for i, a in enumerate(answers)
            )
            pull = Pull(project=project.key, at=f"2026-04-{day:02d}T00:00:00", tasks=9, answers=len(answers), full=True)
            ledger.note_pull(pull, answers)

    def decide(self, i: int, letter: str) -> None:
        decision = Annotation(
            statement=statement(i), annotator="zoe", codebook_version=self.codebook.id, stance=STANCES[letter]
        )
        case = Case(
            statement=statement(i), codebook_version=self.codebook.id, round="Round 1", readings=(), opened=NOW,
            decision=decision, closed=NOW,
        )  # fmt: skip
        with self.open() as ledger:
            ledger.put_cases([case])

    def gold(self) -> dict[str, GoldLabel]:
        with self.open() as ledger:
            return {g.statement: g for g in ledger.gold(self.codebook.id)}


def statement(i: int) -> str:
    return f"d{i // 2}:{i % 2 * 10}-{i % 2 * 10 + 9}"


@pytest.fixture
def campaign(tmp_path: Path, invented: Codebook, invented_path: Path) -> Campaign:
    folder = tmp_path / "river"
    init_workspace(folder)
    (folder / CODEBOOK).write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    return Campaign(folder, invented)


# Gold


def test_gold_is_written_with_what_is_open_and_why(campaign: Campaign):
    campaign.code("anna", "yyn.s")
    campaign.code("ben", "ynns.")
    campaign.code("cas", "..y..", blind=False)
    (result,) = settle_workspace(campaign.folder, at=NOW)
    assert result.settled == {"agreed": 2, "single": 2}
    assert (result.written, result.left, result.open) == ({"new": 4, "changed": 0, "same": 0}, 1, {"tie on stance": 1})
    assert (result.dropped, result.assisted) == (0, 1)
    assert {s: g.stance for s, g in campaign.gold().items()} == {
        statement(0): "yes_please", statement(2): "no_thanks", statement(3): "silent", statement(4): "silent",
    }  # fmt: skip


def test_settling_twice_changes_nothing(campaign: Campaign):
    campaign.code("anna", "yyn")
    campaign.code("ben", "yny")
    settle_workspace(campaign.folder, at=NOW)
    (again,) = settle_workspace(campaign.folder, at="2026-05-02T00:00:00+00:00")
    assert again.written == {"new": 0, "changed": 0, "same": 1}


def test_a_decision_closes_what_was_tied_and_wins_over_what_was_not(campaign: Campaign):
    campaign.code("anna", "yy")
    campaign.code("ben", "ny")
    campaign.decide(0, "s")
    campaign.decide(1, "n")
    (result,) = settle_workspace(campaign.folder, at=NOW)
    assert (result.settled, result.left) == ({"adjudicated": 2}, 0)
    assert campaign.gold()[statement(0)].distribution == {"yes_please": 0.5, "no_thanks": 0.5}


def test_a_label_is_dropped_when_its_readings_come_to_differ_or_are_gone_and_kept_in_the_history(campaign: Campaign):
    campaign.code("anna", "yys")
    campaign.code("ben", "yy.")
    settle_workspace(campaign.folder, at=NOW)
    assert set(campaign.gold()) == {statement(0), statement(1), statement(2)}
    campaign.code("ben", "n", day=3)
    campaign.code("anna", "s", day=3, first=2, state="deleted")
    (result,) = settle_workspace(campaign.folder, at="2026-05-02T00:00:00+00:00")
    assert (result.dropped, result.open) == (2, {"tie on stance": 1})
    assert set(campaign.gold()) == {statement(1)}


def test_a_label_carried_over_from_an_earlier_codebook_stays_until_its_statement_is_read(campaign: Campaign):
    campaign.code("anna", "yy")
    carried = GoldLabel(statement=statement(5), codebook_version=campaign.codebook.id, stance="silent")
    with campaign.open() as ledger:
        ledger.add_gold([carried], NOW)
    campaign.code("ben", "n", first=5, round="check", role="recheck")
    (result,) = settle_workspace(campaign.folder, at=NOW)
    assert result.dropped == 0
    assert campaign.gold()[statement(5)] == carried


def test_labels_under_two_codebooks_stand_side_by_side(campaign: Campaign, invented: Codebook):
    later = msgspec.structs.replace(invented, version=2)
    campaign.code("anna", "yn")
    campaign.code("anna", "s", round="Round 2", codebook=later)
    results = settle_workspace(campaign.folder, at=NOW)
    assert [(r.codebook_version, sum(r.settled.values())) for r in results] == [(invented.id, 2), (later.id, 1)]


def test_a_round_settles_its_own_statements_with_the_readings_of_all_rounds(campaign: Campaign):
    campaign.code("anna", "yy")
    campaign.code("ben", "n", round="Round 2")
    (result,) = settle_workspace(campaign.folder, at=NOW, round="Round 2")
    assert (result.settled, result.open) == ({}, {"tie on stance": 1})
    assert campaign.gold() == {}
    (result,) = settle_workspace(campaign.folder, at=NOW)
    assert result.settled == {"single": 1}


def test_an_audit_sample_lends_its_probability_to_the_label_the_newest_draw_last(campaign: Campaign):
    campaign.code("anna", "yy")
    with campaign.open() as ledger:
        for name, made, p in (("b", "2026-01-01", 0.5), ("a", "2026-01-02", 0.25)):
            draw = Draw(id=name, made=made, round="Round 1", strategy="random", seed=0, frame=9, frame_hash="x")
            ledger.add_draw(draw, [Sampled(draw=name, statement=statement(1), stratum="all", inclusion_probability=p)])
    settle_workspace(campaign.folder, at=NOW)
    assert [campaign.gold()[statement(i)].inclusion_probability for i in (0, 1)] == [None, 0.25]


@pytest.mark.parametrize("job", [workspace_agreement, lambda folder, **given: settle_workspace(folder, at=NOW, **given)])
def test_what_is_not_there_is_said_in_one_sentence(campaign: Campaign, job: Callable[..., object]):
    with pytest.raises(UsageError, match="expected a campaign that was pushed, found none"):
        job(campaign.folder)
    campaign.code("anna", "y", state="skipped")
    with pytest.raises(UsageError, match="expected answers of coders, found none"):
        job(campaign.folder)
    with pytest.raises(UsageError, match="expected round 'Round 9', found Round 1"):
        job(campaign.folder, round="Round 9")


# Agreement


def test_a_workspaces_agreement_is_measured_by_codebook_and_saved(campaign: Campaign, tmp_path: Path, invented: Codebook):
    later = msgspec.structs.replace(invented, version=2)
    campaign.code("anna", "yyny")
    campaign.code("ben", "yynn")
    campaign.code("cas", "y", blind=False)
    campaign.code("anna", "ys", round="Round 2", codebook=later)
    output = tmp_path / "agreement.json"
    first, second = workspace_agreement(campaign.folder, output=output)
    stance = first.agreement.questions[0].whole
    assert (first.agreement.statements, first.agreement.documents, first.assisted) == (4, 2, 1)
    assert stance.alpha.value == pytest.approx(16 / 30)  # as in the test of two readings
    assert (stance.same.value, stance.kappa.value) == (0.75, 0.5)
    assert (second.agreement.codebook_version, second.agreement.statements) == (later.id, 0)
    saved = json.loads(output.read_text(encoding="utf-8"))
    assert saved["format"] == 1
    figures = saved["codebooks"][0]["agreement"]["questions"][0]["whole"]
    assert figures["alpha"]["value"] == stance.alpha.value
    assert figures["alpha"]["low"] == stance.alpha.low
    assert saved["codebooks"][0]["agreement"]["pairs"][0]["confusion"] == [[2, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert saved["codebooks"][1]["agreement"]["questions"][0]["whole"]["alpha"]["reason"] == "no statement"


def test_the_table_shows_figures_confusion_leaning_and_drift(campaign: Campaign):
    campaign.code("anna", "yyny")
    campaign.code("ben", "yynn")
    (version,) = workspace_agreement(campaign.folder)
    lines = agreement_lines(version)
    assert lines[0].endswith("4 statements of 2 documents read by two coders or more (readings: anna 4, ben 4)")
    stance = next(line for line in lines if line.startswith("stance  "))
    assert stance.split()[1:4] == ["4", "8", "0.750"]
    at = next(i for i, line in enumerate(lines) if line.startswith("anna \\ ben"))
    assert [line.split() for line in lines[at : at + 3]] == [
        ["anna", "\\", "ben", "yes_please", "no_thanks", "silent"],
        ["yes_please", "2", "1", "0"],
        ["no_thanks", "0", "1", "0"],
    ]
    assert any(line.startswith("anna: yes_please  4 ") for line in lines)
    assert any(line.startswith("ben: 10") or line.startswith("ben: 1 ") for line in lines)
    assert not any(line.startswith("voice") for line in lines), "nobody was asked"


def test_three_coders_get_a_table_of_pairs(campaign: Campaign):
    for coder, letters in (("anna", "yyny"), ("ben", "yynn"), ("cas", "yyyy")):
        campaign.code(coder, letters)
    (version,) = workspace_agreement(campaign.folder)
    lines = agreement_lines(version)
    assert [line.split("  ")[0] for line in lines if ": stance  " in line] == [
        "anna, ben: stance", "anna, cas: stance", "ben, cas: stance",
    ]  # fmt: skip


def test_coders_who_share_nothing_are_told_so(campaign: Campaign):
    campaign.code("anna", "yy..")
    campaign.code("ben", "..yy")
    (version,) = workspace_agreement(campaign.folder)
    assert agreement_lines(version)[-1] == "no statement was read by two coders, so there is no agreement to measure"


def test_an_output_that_is_a_folder_is_refused_before_anything_is_read(tmp_path: Path, invented: Codebook):
    for job in (
        lambda: workspace_agreement(tmp_path, output=tmp_path),
        lambda: corpus_agreement(None, invented, output=tmp_path),
    ):
        with pytest.raises(UsageError, match="found a folder"):
            job()


# Commands


def test_the_commands_print_and_save_what_the_jobs_found(campaign: Campaign, tmp_path: Path):
    campaign.code("anna", "yyn")
    campaign.code("ben", "yyy")
    output = tmp_path / "figures.json"
    shown = CliRunner().invoke(agreement, ["--workspace", str(campaign.folder), "--output", str(output), "--by", "weeks"])
    assert shown.exit_code == 0, shown.output
    assert "anna: 2026-W14" in shown.output
    assert json.loads(output.read_text(encoding="utf-8"))["drift_by"] == "weeks"
    shown = CliRunner().invoke(gold, ["--workspace", str(campaign.folder)])
    assert shown.exit_code == 0, shown.output
    assert "2 gold labels (2 agreed); 2 new, 0 changed, 0 same" in shown.output
    assert "    1: tie on stance" in shown.output
    assert "recode" not in shown.output


def test_gold_says_where_nothing_was_coded_with_the_workspaces_codebook(campaign: Campaign, invented: Codebook):
    campaign.code("anna", "y")
    later = msgspec.structs.replace(invented, version=2)
    (campaign.folder / CODEBOOK).write_text(dump_codebook(later), encoding="utf-8")
    shown = CliRunner().invoke(gold, ["--workspace", str(campaign.folder)])
    assert f"nothing was coded with the workspace's codebook {later.id}" in shown.output


def test_agreement_in_a_workspace_is_the_workspaces_and_elsewhere_the_reference_corpus(
    campaign: Campaign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    campaign.code("anna", "y")
    monkeypatch.chdir(campaign.folder)
    assert "(readings: anna 1)" in CliRunner().invoke(agreement, []).output
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(agreement, ["--output", "reference.json"])
    stance = next(line for line in shown.output.splitlines() if line.startswith("stance "))
    assert stance.split() == ["stance", "1655", "1655", "0.967", "0.952", "0.946"]
    saved = json.loads((tmp_path / "reference.json").read_text(encoding="utf-8"))
    assert round(saved["agreement"]["stance"]["alpha"]["value"], 3) == 0.952


def test_a_workspace_and_a_corpus_together_and_a_round_of_neither_are_refused(
    campaign: Campaign, tmp_path: Path, monkeypatch
):
    both = CliRunner().invoke(agreement, ["--workspace", str(campaign.folder), "--corpus", str(tmp_path)])
    assert isinstance(both.exception, UsageError)
    monkeypatch.chdir(tmp_path)
    alone = CliRunner().invoke(agreement, ["--round", "Round 1"])
    assert isinstance(alone.exception, UsageError)
