"""What an audit found: shares counted by hand, the effect on development figures, and labels taken into gold on request."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from annotation.adjudication import decisions
from annotation.aggregation import settle
from annotation.codebook import Codebook
from corpus.errors import UsageError
from corpus.files import read_json
from models.label_errors import wilson
from models.recipe import Recipe
from pipelines import cli_audit
from pipelines.audit_report import accept_audit, report_audit, report_table
from pipelines.label_errors import note_answers

if TYPE_CHECKING:
    from tests.pipelines.conftest import Audit, SettledCampaign

ANSWERED, DECIDED, LATER = ("2026-03-02T00:00:00+00:00", "2026-03-03T00:00:00+00:00", "2026-03-04T00:00:00+00:00")

pytestmark = pytest.mark.slow  # measures twice


def note(settled: SettledCampaign) -> None:
    with settled.open() as ledger:
        note_answers(ledger, settled.codebook, at=ANSWERED)


def adjudicate(settled: SettledCampaign, statement: str, **changes: Any) -> None:
    """Let the adjudicator decide a case: what gold says, but for the changes."""
    decision = settled.reading(settled.gold()[statement], "adjudicator", **changes)
    with settled.open() as ledger:
        (case,) = [c for c in ledger.cases() if c.statement == statement]
        ledger.put_cases([msgspec.structs.replace(case, decision=decision, cause="slip", closed=DECIDED)])


def test_the_shares_are_those_counted_by_hand(audit: Audit, settled: SettledCampaign, tiny_encoder: str) -> None:
    rechecks = audit.plan(n=5, controls=5)
    gold = settled.gold()
    a, b, c, d, _ = (r.statement for r in rechecks if not r.control)
    control = next(r.statement for r in rechecks if r.control)
    said: dict[str, dict[str, Any] | None] = {
        a: {"stance": audit.other_stance(a)},
        b: {"concerns": () if gold[b].concerns else ("fish",)},
        c: {"holder": None, "holder_type": "nobody"},
        d: None,
        control: {"stance": audit.other_stance(control)},
    }
    audit.answer(rechecks, said)
    note(settled)
    adjudicate(settled, control)  # gold was right, and here too
    adjudicate(settled, b)
    found = report_audit(settled.workspace, settled.codebook, Recipe(encoder=tiny_encoder))
    suspects, controls = found.rows
    assert (suspects.kind, suspects.sent, suspects.answered, suspects.unjudged) == ("suspects", 5, 4, 1)
    assert (suspects.changed, suspects.stance) == (wilson(2, 4), wilson(1, 4))
    assert (suspects.concerns, suspects.holder) == (wilson(1, 4), wilson(1, 4))
    assert (controls.sent, controls.answered, controls.changed, controls.holder) == (5, 5, wilson(1, 5), wilson(0, 5))
    assert (found.decided, found.upheld) == (2, 2)
    assert (found.statements, found.replaced) == (480, 1), "a label that the adjudicator upheld is not replaced"
    text = report_table(found)
    assert "2 of the changed labels have been decided since, 2 of them as gold had it" in text
    assert "with 1 of 480 labels replaced" in text


def test_without_a_changed_label_there_is_no_effect(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan(n=2, controls=0)
    audit.answer(rechecks, {})
    note(settled)
    found = report_audit(settled.workspace, settled.codebook, Recipe(encoder="not looked for"))
    assert (found.effect, found.why_none) == ((), "no label changed")
    assert found.rows[0].changed == wilson(0, 2)
    assert found.rows[1].changed is None, "no control, no share"
    assert "none, no label changed" in report_table(found)


def test_accepted_labels_become_decisions_that_settling_keeps(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan()
    before = settled.gold()
    first, second = rechecks[0].statement, rechecks[1].statement
    other = audit.other_stance(first)
    audit.answer(rechecks, {first: {"stance": other}, second: {"stance": audit.other_stance(second)}})
    note(settled)
    adjudicate(settled, second)
    assert accept_audit(settled.workspace, settled.codebook, at=LATER) == 1
    now = settled.gold()
    assert {s for s in now if now[s] != before[s]} == {first}
    assert (now[first].stance, now[first].settled) == (other, "adjudicated")
    assert now[first].distribution[before[first].stance] == 1.0, "what the coders said stays"
    assert accept_audit(settled.workspace, settled.codebook, at=LATER) == 0, "it is decided by now"
    with settled.open() as ledger:
        (case,) = [c for c in ledger.cases() if c.statement == first]
        readings = ledger.annotations(codebook_version=settled.codebook.id)
        texts = {s: i.statement.text for s, i in ledger.items().items()}
        everything = decisions(ledger.cases(), settled.codebook.id)
        again = {g.statement: g for g in settle(readings, everything, settled.codebook, texts=texts).gold}
    assert (case.closed, case.cause, len(case.readings)) == (LATER, None, 3)
    assert again[first] == now[first], "settling anew gives the same label"


def test_a_label_that_was_adjudicated_before_the_audit_is_not_taken_over(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan()
    statement = rechecks[0].statement
    before = settled.gold()
    audit.answer(rechecks, {statement: {"stance": audit.other_stance(statement)}})
    note(settled)
    adjudicate(settled, statement)
    with settled.open() as ledger:
        (case,) = [c for c in ledger.cases() if c.statement == statement]
        ledger.put_cases([msgspec.structs.replace(case, closed="2026-01-01T00:00:00+00:00")])
    assert accept_audit(settled.workspace, settled.codebook, at=LATER) == 0
    assert settled.gold() == before


def test_an_inclusion_probability_survives_accepting(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan()
    statement = rechecks[0].statement
    with settled.open() as ledger:
        label = msgspec.structs.replace(settled.gold()[statement], inclusion_probability=0.25)
        ledger.add_gold([label], "2026-02-01T00:00:00+00:00")
    audit.answer(rechecks, {statement: {"stance": audit.other_stance(statement)}})
    note(settled)
    accept_audit(settled.workspace, settled.codebook, at=LATER)
    assert settled.gold()[statement].inclusion_probability == 0.25


def test_an_audit_that_is_not_there_is_named(settled: SettledCampaign, audit: Audit) -> None:
    with pytest.raises(UsageError, match=r"expected an audit of gold under codebook river-pact/1@.*annotate audit push"):
        report_audit(settled.workspace, settled.codebook, Recipe())
    audit.plan()
    with pytest.raises(UsageError, match="expected audit deadbeef of gold"):
        report_audit(settled.workspace, settled.codebook, Recipe(), audit="deadbeef")


def test_mending_planted_errors_is_seen_in_the_development_figures_before_and_after_accepting(
    audit: Audit, settled: SettledCampaign, tiny_encoder: str, invented: Codebook
) -> None:
    right = settled.gold()
    planted = sorted(right)[:150]
    wrong = [msgspec.structs.replace(right[s], stance=audit.other_stance(s)) for s in planted]
    with settled.open() as ledger:
        ledger.add_gold(wrong, "2026-02-01T00:00:00+00:00")
    rechecks = audit.plan(n=150, controls=30)
    audit.answer(rechecks, {s: {"stance": right[s].stance} for s in planted})
    note(settled)
    found = report_audit(settled.workspace, invented, Recipe(encoder=tiny_encoder))
    assert [r.changed for r in found.rows] == [wilson(150, 150), wilson(0, 30)]
    assert found.replaced == 150
    stance = next(e for e in found.effect if e.name == "stance_macro_f1")
    assert stance.difference is not None
    assert stance.difference.value > 0.05
    assert accept_audit(settled.workspace, invented, at=LATER) == 150
    assert {s: g.stance for s, g in settled.gold().items()} == {s: g.stance for s, g in right.items()}
    after = report_audit(settled.workspace, invented, Recipe(encoder=tiny_encoder))
    assert after.effect == found.effect, "it is about gold as it was when the audit was sent"


def test_the_command_prints_the_report_writes_it_and_accepts_only_when_told(
    audit: Audit, settled: SettledCampaign, tiny_encoder: str, tmp_path: Path
) -> None:
    rechecks = audit.plan()
    audit.answer(rechecks, {})
    note(settled)
    before = settled.gold()
    command = ["report", "--workspace", str(settled.folder), "--encoder", tiny_encoder, "--threads", "1"]
    found = CliRunner().invoke(cli_audit.audit, [*command, "--output", str(tmp_path / "audit.json")])
    assert found.exit_code == 0, found.output
    assert "suspects" in found.output
    assert "taken into gold" not in found.output
    assert read_json(tmp_path / "audit.json")["audit"] == rechecks[0].audit
    statement = rechecks[0].statement
    other = audit.other_stance(statement)
    audit.answer(rechecks, {statement: {"stance": other}}, at=DECIDED)
    note(settled)
    assert settled.gold() == before
    found = CliRunner().invoke(cli_audit.audit, [*command, "--accept"])
    assert found.exit_code == 0, found.output
    assert "1 changed labels taken into gold" in found.output
    assert settled.gold()[statement].stance == other
