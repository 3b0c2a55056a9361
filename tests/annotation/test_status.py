"""How a campaign stands, counted by hand for a small one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.campaign import Answer, Case, Draw, Project, Pull, Recheck, Role, Sampled, Task
from annotation.ledger import Ledger
from annotation.status import Progress, Status, _end, _pace, _place, measure_status
from corpus.records import Annotation, GoldLabel

V = "pact/1@0"
STATES = ("counted", "cannot judge", "skipped", "draft", "deleted", "superseded", "invalid", "edited", "stranger")


def at(day: int, hour: int = 12) -> str:
    return f"2026-03-{day:02d}T{hour:02d}:00:00+00:00"


def project(coder: str | None, number: int, *, round: str = "Round 1", role: Role = "coding", version: str = V) -> Project:
    return Project(
        server="http://here", number=number, title=f"{round}, {coder}", round=round, role=role, codebook_version=version,
        codebook="{}", made=at(1, number), coder=coder,
    )  # fmt: skip


def answer(p: Project, number: int, statement: str, state: str = "counted", day: int = 1, **said: object) -> Answer:
    annotation = None
    if state == "counted":
        fields = {"stance": "silent", "annotator": p.coder, "codebook_version": p.codebook_version, **said}
        annotation = Annotation(statement=statement, **fields)  # type: ignore[arg-type]
    return Answer(
        project=p.key, number=number, stamp="a", task=number, state=state, seen=at(9), updated=at(day), raw="{}",
        statement=statement, annotator=p.coder, annotation=annotation,
    )  # fmt: skip


def put(ledger: Ledger, p: Project, statements: str, answers: list[Answer], pulled: str | None) -> None:
    ledger.add_project(p)
    ledger.add_tasks(Task(project=p.key, position=i, statement=s) for i, s in enumerate(statements.split()))
    if pulled is not None:
        ledger.note_pull(
            Pull(project=p.key, at=pulled, tasks=len(statements.split()), answers=len(answers), full=True), answers
        )


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'corpus.db'}") as opened:
        yield opened


@pytest.fixture
def campaign(ledger: Ledger) -> Ledger:
    """Anna has eight statements, four of them shared with Ben, who has seen a suggestion at one."""
    anna, ben = project("anna", 1), project("ben", 2)
    put(
        ledger, anna, "s1 s2 s3 s4 s5 s6 s7 s8",
        [
            answer(anna, 1, "s1", day=1, seconds=10.0),
            answer(anna, 2, "s2", day=2, seconds=20.0, concerns=("fish",)),
            answer(anna, 3, "s3", day=4, seconds=60.0),
            answer(anna, 4, "s3", "superseded", day=3),
            answer(anna, 5, "s4", "cannot judge", day=5),
            answer(anna, 6, "s5", "skipped", day=5),
            answer(anna, 7, "s6", "invalid", day=5),
            answer(anna, 8, "s7", "draft", day=5),
        ],
        at(5),
    )  # fmt: skip
    put(
        ledger, ben, "s1 s2 s3 s4",
        [
            answer(ben, 1, "s1", day=1, stance="no_thanks"),
            answer(ben, 2, "s2", day=1),
            answer(ben, 3, "s3", day=1, blind=False),
            answer(ben, 4, "s4", day=1),
        ],
        at(1, 13),
    )  # fmt: skip
    return ledger


def of(status: Status, coder: str) -> Progress:
    return next(p for p in status.projects if p.coder == coder)


class TestProgress:
    def test_every_statement_stands_under_one_heading(self, campaign: Ledger) -> None:
        p = of(measure_status(campaign), "anna")
        assert (p.assigned, p.done, p.cannot_judge, p.skipped, p.unusable, p.open) == (8, 3, 1, 1, 1, 2)
        assert p.refused == {"cannot judge": 1, "draft": 1, "invalid": 1, "skipped": 1, "superseded": 1}

    def test_pace_and_end_follow_from_what_was_answered_up_to_the_pull(self, campaign: Ledger) -> None:
        """Four answered from noon of the 1st to noon of the 5th: one a day. Two open and one skipped take three days."""
        p = of(measure_status(campaign), "anna")
        assert (p.seconds, p.pace, p.end, p.pulled) == (20.0, 1.0, "2026-03-08", at(5))

    def test_whoever_has_nothing_left_has_no_end(self, campaign: Ledger) -> None:
        """Four within an hour are four a day: a pace is never taken over less than a day."""
        p = of(measure_status(campaign), "ben")
        assert (p.open, p.pace, p.end, p.seconds) == (0, 4.0, None, None)

    def test_disagreement_counts_blind_readings_on_shared_statements(self, campaign: Ledger) -> None:
        """s3 was read by Ben with a suggestion in sight, and s4 could not be judged by Anna: two are shared."""
        status = measure_status(campaign)
        for coder in ("anna", "ben"):
            p = of(status, coder)
            assert (p.shared, p.stance_differs, p.differs) == (2, 1, 2)
        assert of(status, "ben").assisted == 1

    def test_readings_under_another_codebook_are_not_compared(self, campaign: Ledger) -> None:
        cleo = project("cleo", 3, version="pact/2@1")
        put(campaign, cleo, "s1 s2", [answer(cleo, 1, "s1", stance="no_thanks")], at(2))
        status = measure_status(campaign)
        assert of(status, "cleo").shared == 0
        assert of(status, "anna").shared == 2

    def test_a_project_that_was_never_pulled_is_open(self, ledger: Ledger) -> None:
        put(ledger, project("anna", 1), "s1 s2", [], None)
        p = of(measure_status(ledger), "anna")
        assert (p.assigned, p.open, p.pace, p.end, p.pulled) == (2, 2, None, None, None)

    @given(st.lists(st.sampled_from(STATES)))
    def test_a_counted_answer_beats_whatever_stands_beside_it(self, states: list[str]) -> None:
        assert _place([*states, "counted"]) == "counted"
        assert _place(["draft", "deleted", "superseded"]) == "open"
        assert _place(states) in ("counted", "cannot judge", "skipped", "unusable", "open")


class TestPace:
    def test_a_holiday_long_ago_does_not_count(self) -> None:
        """Of 30 answers on 1 January and 7 on 20 March, the last 14 days before the 24th have 7: half a one a day."""
        moments = ["2026-01-01T10:00:00+00:00"] * 30 + [at(20)] * 7
        assert _pace(moments, at(24)) == pytest.approx(0.5)

    def test_nothing_in_the_window_is_no_pace(self) -> None:
        assert _pace(["2026-01-01T10:00:00Z"], at(24)) is None

    @pytest.mark.parametrize(("left", "expected"), [(0, None), (1, "2026-03-25"), (4, "2026-03-25"), (5, "2026-03-26")])
    def test_the_end_is_a_whole_day(self, left: int, expected: str | None) -> None:
        assert _end(left, 4.0, at(24)) == expected

    def test_an_end_beyond_the_calendar_is_none(self) -> None:
        assert _end(10**9, 0.1, at(24)) is None


class TestCampaign:
    def test_rounds_count_statements_read_blind_and_by_several(self, campaign: Ledger) -> None:
        campaign.add_draw(
            Draw(id="d1", made=at(1), round="Round 1", strategy="random", seed=0, frame=100, frame_hash="h"),
            [
                Sampled(draw="d1", statement=s, stratum=stratum, inclusion_probability=0.1)
                for s, stratum in (("s1", "north"), ("s7", "north"), ("s8", "south"))
            ],
        )
        labels = [
            GoldLabel(statement="s1", codebook_version=V, stance="silent", settled="adjudicated"),
            GoldLabel(statement="s2", codebook_version=V, stance="silent", settled="single"),
            GoldLabel(statement="far", codebook_version=V, stance="silent", settled="single"),
        ]
        campaign.add_gold(labels, at(6))
        status = measure_status(campaign)
        (r,) = status.rounds
        assert (r.name, r.codebooks, r.strategies) == ("Round 1", (V,), ("random",))
        assert (r.statements, r.coded, r.shared) == (8, 4, 2)
        (audit,) = status.audits
        assert (audit.size, audit.coded, audit.gold) == (3, 1, 1)
        assert audit.strata == {"north": (2, 1), "south": (1, 0)}
        assert status.gold == {V: {"adjudicated": 1, "single": 2}}
        assert measure_status(campaign, round="Round 1").gold == {V: {"adjudicated": 1, "single": 1}}

    def test_cases_are_open_or_closed_by_cause(self, campaign: Ledger) -> None:
        decision = Annotation(statement="s1", annotator="zoe", codebook_version=V, stance="silent")
        closed = {"decision": decision, "cause": "gap", "closed": at(6)}
        campaign.put_cases(
            Case(statement=s, codebook_version=V, round=round, readings=(), opened=at(5), **given)  # type: ignore[arg-type]
            for s, round, given in (("s1", "Round 1", closed), ("s2", "Round 1", {}), ("s3", "Round 2", {}))
        )
        status = measure_status(campaign, round="Round 1")
        assert (status.cases_open, status.cases_closed) == (1, {"gap": 1})
        assert measure_status(campaign).cases_open == 2

    def test_rechecks_are_counted_by_audit(self, campaign: Ledger) -> None:
        before = Annotation(statement="s1", annotator="gold", codebook_version=V, stance="silent")
        campaign.put_rechecks(
            Recheck(audit="a", statement=s, position=i, control=False, score=0.1, before=before, opened=at(1), closed=closed)
            for i, (s, closed) in enumerate((("s1", at(2)), ("s2", None)))
        )
        assert measure_status(campaign).rechecks == {"a": (2, 1)}

    def test_an_empty_ledger_has_an_empty_status(self, ledger: Ledger) -> None:
        assert measure_status(ledger) == Status((), (), (), 0, {}, {}, {})
