"""The audit of gold: suspects go out blind among controls, answers are set beside gold, and nothing changes by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import annotation.exchange
import pipelines.label_errors
import pipelines.workspace
from annotation.campaign import Case, Project
from annotation.codebook import Codebook
from annotation.label_studio import PushResult
from annotation.ledger import Ledger
from annotation.pulling import PullReport
from annotation.server import VARIABLES
from corpus.errors import RecordError, TreatyStanceError, UsageError
from corpus.identity import digest
from corpus.records import GoldLabel
from models.recipe import Recipe
from pipelines.label_errors import AuditRequest, note_answers, plan_rechecks, push_audit, rank_gold
from pipelines.labelled import read_workspace

if TYPE_CHECKING:
    from tests.pipelines.conftest import Audit, Run, SettledCampaign

pytestmark = pytest.mark.slow  # trains on folds

SENT = "2026-03-01T00:00:00+00:00"
ANSWERED = "2026-03-02T00:00:00+00:00"
LATER = "2026-03-03T00:00:00+00:00"


class Server:
    """Takes the place of Label Studio: keeps what each coder's project was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self.plans: dict[str, annotation.exchange.Plan] = {}
        self.down = False
        monkeypatch.setattr(annotation.exchange, "open_project", self._open)
        monkeypatch.setattr(annotation.exchange, "push_tasks", self._push)

    def _open(self, client: object, ledger: object, plan: annotation.exchange.Plan, *, at: str) -> annotation.exchange.Plan:
        self.plans[plan.title] = plan
        return plan

    def _push(self, client: object, ledger: object, project: Any, tasks: Sequence[tuple[str, dict[str, Any]]]) -> PushResult:
        if self.down:
            raise TreatyStanceError("the server is down")
        there = self.sent.setdefault(project.title, [])
        new = [t for t in tasks if t[0] not in {uid for uid, _ in there}]
        there += new
        return PushResult(1, False, len(new), len(tasks) - len(new), 0)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(monkeypatch)


def mixed_up(settled: SettledCampaign, count: int) -> dict[str, str]:
    """Settle another stance than everybody said for the first statements; return the right one by statement."""
    wrong: list[GoldLabel] = []
    right: dict[str, str] = {}
    for g in list(settled.gold().values())[:count]:
        right[g.statement] = g.stance
        wrong.append(msgspec.structs.replace(g, stance=next(s for s in settled.codebook.stance_ids if s != g.stance)))
    with settled.open() as ledger:
        ledger.add_gold(wrong, "2026-02-01T00:00:00+00:00")
    return right


def test_suspects_and_controls_are_shuffled_and_replayable(audit: Audit, settled: SettledCampaign) -> None:
    first = audit.plan(n=30, controls=30)
    assert [r.position for r in first] == list(range(60))
    assert len({r.statement for r in first}) == 60
    suspects = sorted(r.statement for r in first if not r.control)
    assert suspects == sorted(e.statement.id for e in read_workspace(settled.workspace, settled.codebook).examples)[:30]
    places = [r.position for r in first if r.control]
    assert len(places) == 30
    assert 20 < sum(places) / 30 < 40, "controls stand among the suspects, not behind them"
    assert first == audit.plan(n=30, controls=30)
    assert [r.statement for r in first] != [r.statement for r in audit.plan(n=30, controls=30, seed=1)]


def test_controls_are_drawn_alike_from_all_other_labels(audit: Audit, settled: SettledCampaign) -> None:
    """Over 400 seeds each of 20 labels is one of the 5 controls about a quarter of the time."""
    labelled = read_workspace(settled.workspace, settled.codebook)
    ranked = audit.ranked()[:23]
    drawn = dict.fromkeys((s.statement for s in ranked), 0)
    for seed in range(400):
        request = AuditRequest(coders={"carla": None}, round="Round 1", n=3, controls=5, seed=seed)
        for r in plan_rechecks(labelled, ranked, request, done=set(), at=SENT, codebook=settled.codebook)[0]:
            drawn[r.statement] += r.control
    assert [drawn[s.statement] for s in ranked[:3]] == [0, 0, 0]
    # Binomial(400, 1/4) has a standard deviation of 8.7; four of them, for 20 labels together.
    assert all(abs(drawn[s.statement] - 100) < 35 for s in ranked[3:])


def test_a_statement_goes_to_somebody_who_has_not_read_it(audit: Audit, settled: SettledCampaign) -> None:
    gold = settled.gold()
    labelled = read_workspace(settled.workspace, settled.codebook)
    ranked = audit.ranked()
    settled.answer("carla", {s.statement: settled.reading(gold[s.statement], "carla") for s in ranked[:10]})
    labelled = read_workspace(settled.workspace, settled.codebook)
    request = AuditRequest(coders={"carla": None, "dora": None, "anna": None}, round="Round 1", n=20, controls=0)
    found, notes = plan_rechecks(labelled, ranked, request, done=set(), at=SENT, codebook=settled.codebook)
    by = {r.statement: r.coder for r in found}
    assert {by[s.statement] for s in ranked[:10]} == {"dora"}
    assert sorted(by.values()).count("carla") >= 5
    assert "anna" not in by.values()
    assert notes == []
    alone = AuditRequest(coders={"anna": None}, round="Round 1", n=4, controls=0)
    _, notes = plan_rechecks(labelled, ranked, alone, done=set(), at=SENT, codebook=settled.codebook)
    assert notes == ["4 statements go to a coder who has read them before; another coder would be a better judge"]


def test_too_few_labels_cut_suspects_and_controls_alike(audit: Audit, settled: SettledCampaign) -> None:
    labelled = read_workspace(settled.workspace, settled.codebook)
    ranked = audit.ranked()
    done = {s.statement for s in ranked[:468]}
    request = AuditRequest(coders={"carla": None}, round="Round 1", n=50, controls=25)
    found, notes = plan_rechecks(labelled, ranked, request, done=done, at=SENT, codebook=settled.codebook)
    assert (sum(not r.control for r in found), sum(r.control for r in found)) == (8, 4)
    assert notes == ["12 labels are left to look at, so 8 suspects and 4 controls are sent"]
    assert done.isdisjoint(r.statement for r in found)
    everything = {s.statement for s in ranked}
    with pytest.raises(UsageError, match="that no audit has looked at, found none"):
        plan_rechecks(labelled, ranked, request, done=everything, at=SENT, codebook=settled.codebook)


@pytest.mark.parametrize(("n", "controls", "coders"), [(0, 5, ("a",)), (5, -1, ("a",)), (5, 5, ())])
def test_a_request_without_sense_is_refused(n: int, controls: int, coders: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=f"{n} suspects, {controls} controls and {len(coders)} coders"):
        AuditRequest(coders=dict.fromkeys(coders), round="Round 1", n=n, controls=controls)


@pytest.mark.slow
def test_planted_errors_are_sent_blind_and_a_failed_push_is_completed(
    settled: SettledCampaign, server: Server, tiny_encoder: str
) -> None:
    wrong = mixed_up(settled, 12)
    request = AuditRequest(coders={"carla": "carla@ngo.example"}, round="Round 1", n=15, controls=15)
    arguments: Any = (settled.workspace, settled.codebook, request, Recipe(encoder=tiny_encoder))
    server.down = True
    with pytest.raises(TreatyStanceError, match="the server is down"):
        push_audit(*arguments, at=SENT, client=lambda: None)
    server.down = False
    result = push_audit(*arguments, at=LATER, client=lambda: None)
    assert result.known, "what was drawn before the server failed is sent now"
    assert result.notes == ("30 of its statements have no answer yet; none are drawn anew",)
    assert result.added == {"carla": 30}
    suspects = {r.statement for r in result.rechecks if not r.control and r.suspected == "stance"}
    assert len(suspects & wrong.keys()) >= 6, "at least six of twelve errors among the suspects; by chance it would be 0.4"
    sent = server.sent["Round 1 recheck, carla"]
    assert [uid for uid, _ in sent] == [r.statement for r in result.rechecks]
    for _, task in sent:
        assert set(task) == {"data"}, "no prediction"
        assert set(task["data"]) == {"uid", "text", "title", "published", "before", "after"}, "nothing tells gold or control"
    plan = server.plans["Round 1 recheck, carla"]
    assert (plan.role, plan.coder, plan.email, plan.assisted) == ("recheck", "carla", "carla@ngo.example", False)

    other = replace(request, coders={"dora": None})
    with pytest.raises(UsageError, match="expected its coders carla too, found dora"):
        push_audit(settled.workspace, settled.codebook, other, Recipe(), at=LATER, client=lambda: None)
    anew = push_audit(*arguments[:2], other, arguments[3], at=LATER, client=lambda: None, anew=True)
    assert anew.audit != result.audit
    assert {r.statement for r in anew.rechecks}.isdisjoint(r.statement for r in result.rechecks)


def test_without_a_server_nothing_is_ranked_first(
    settled: SettledCampaign, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pipelines.label_errors, "rank_gold", lambda *_, **__: pytest.fail("minutes went by"))
    code, _, told = run("annotate", "audit", "push", "--workspace", settled.folder, "--coders", "carla")
    assert code == 2
    assert "`treaty-stance annotate serve" in told
    with settled.open() as ledger:
        assert ledger.rechecks() == []


def test_a_push_names_the_project_that_was_filled_and_a_pull_the_answers_that_give_no_label(
    audit: Audit, settled: SettledCampaign, server: Server, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    rechecks = audit.plan()
    for name in VARIABLES:
        monkeypatch.setenv(name, "http://server.example")
    monkeypatch.setattr(pipelines.workspace, "connect", lambda url, key: object())
    there = ("--workspace", settled.folder, "--round")
    code, told, _ = run("annotate", "audit", "push", *there, "Round 9", "--coders", "carla")
    assert code == 0
    assert "  carla: 12 statements added; project 'Round 1 recheck, carla'" in told.splitlines(), "the open audit's round"

    audit.answer(rechecks, {rechecks[0].statement: None})

    def pulled(client: object, ledger: Ledger, project: Project, **_: Any) -> PullReport:
        answers = ledger.answers(project.key)
        refused = tuple(msgspec.structs.replace(a, reason="cut") for a in answers if a.annotation is None)
        return PullReport(project, 12, 12, 12, 0, 0, True, 0, {"counted": 11, "cannot judge": 1}, refused, ())

    monkeypatch.setattr(annotation.exchange, "pull_project", pulled)
    code, told, _ = run("annotate", "audit", "pull", *there, "Round 1")
    number = int(digest(rechecks[0].statement)[:7], 16)
    assert code == 0
    assert f"  cannot judge: cut (answer {number} to task 1)" in told.splitlines()
    assert "11 answered, 1 could not be judged, 0 open; 0 new cases" in told.splitlines()


def test_too_few_documents_cannot_be_ranked(settled: SettledCampaign, invented: Codebook) -> None:
    labelled = read_workspace(settled.workspace, invented)
    with pytest.raises(RecordError, match="4 independent documents with gold labels, expected 10 or more"):
        rank_gold(replace(labelled, examples=labelled.examples[:12]), invented, Recipe())


def test_answers_are_set_beside_gold_and_changed_labels_become_cases(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan()
    gold = settled.gold()
    stance, concern, unjudged, waiting = (r.statement for r in rechecks[:4])
    other = next(s for s in settled.codebook.stance_ids if s != gold[stance].stance)
    concerns = tuple(c for c in settled.codebook.concern_ids if c not in gold[concern].concerns)
    said = {stance: {"stance": other}, concern: {"concerns": concerns}, unjudged: None}
    audit.answer([r for r in rechecks if r.statement != waiting], said)
    with settled.open() as ledger:
        found = note_answers(ledger, settled.codebook, at=ANSWERED)
        assert (found.answered, found.unjudged, found.open, found.cases) == (10, 1, 1, 2)
        again = note_answers(ledger, settled.codebook, at=LATER)
        assert (again.answered, again.cases) == (10, 0), "the same answers again open nothing"
        cases = {c.statement: c for c in ledger.cases()}
        now = {r.statement: r for r in ledger.rechecks()}
    assert set(cases) == {stance, concern}
    assert sorted(a.annotator for a in cases[stance].readings) == ["anna", "ben", "carla"]
    assert cases[stance].decision is None
    assert now[stance].after is not None
    assert now[stance].after.stance == other
    assert now[stance].closed == ANSWERED, "when it was answered, not when it was pulled again"
    assert (now[unjudged].after, now[unjudged].closed) == (None, ANSWERED)
    assert now[waiting].closed is None
    assert settled.gold() == gold, "nothing changes gold by itself"


def test_an_answer_that_was_withdrawn_opens_the_recheck_again(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan()
    audit.answer(rechecks, {})
    with settled.open() as ledger:
        assert note_answers(ledger, settled.codebook, at=ANSWERED).open == 0
    first = rechecks[0].statement
    with settled.open() as ledger:
        (project,) = ledger.projects(role="recheck")
        mine = next(a for a in ledger.answers(project.key) if a.statement == first)
        gone = msgspec.structs.replace(mine, stamp="gone", state="deleted", annotation=None, seen=LATER)
        pull = msgspec.structs.replace(ledger.pulls(project.key)[-1], at=LATER)
        ledger.note_pull(pull, [gone])
        found = note_answers(ledger, settled.codebook, at=LATER)
    assert (found.answered, found.open) == (11, 1)


def test_a_known_case_is_not_touched(audit: Audit, settled: SettledCampaign) -> None:
    rechecks = audit.plan()
    gold = settled.gold()
    decided, waiting = (r.statement for r in rechecks[:2])
    cases = []
    for s in (decided, waiting):
        case = Case(
            statement=s,
            codebook_version=settled.codebook.id,
            round="Round 1",
            opened="2026-01-05T00:00:00+00:00",
            readings=(),
        )
        cases.append(case)
    cases[0] = msgspec.structs.replace(
        cases[0], decision=settled.reading(gold[decided], "adjudicator"), cause="gap", closed="2026-01-06T00:00:00+00:00"
    )
    with settled.open() as ledger:
        ledger.put_cases(cases)
    said = {s: {"stance": next(x for x in settled.codebook.stance_ids if x != gold[s].stance)} for s in (decided, waiting)}
    audit.answer(rechecks, said)
    with settled.open() as ledger:
        found = note_answers(ledger, settled.codebook, at=ANSWERED)
        assert {c.statement: c for c in ledger.cases()} == {c.statement: c for c in cases}
    assert (found.cases, found.settled_before) == (0, (decided,))
