"""Cases: what is tied goes to the adjudicator, in an order that tells nothing, and comes back with a cause."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.adjudication import (
    causes,
    decide,
    decisions,
    differences,
    find_cases,
    outdated,
    reopen,
    shown_order,
)
from annotation.aggregation import settle
from annotation.campaign import Case
from annotation.codebook import Codebook
from corpus.errors import RecordError
from corpus.records import Annotation

TEXT = "Ann Gler and the town of Upperton welcome the pact."
NOON = "2026-01-01T12:00:00+00:00"


def reading(
    statement: str = "s1",
    annotator: str = "anna",
    stance: str = "silent",
    *concerns: str,
    holder: str | None = None,
    kind: str | None = "angler",
    blind: bool = True,
    version: str = "v",
) -> Annotation:
    start = None if holder is None else TEXT.index(holder)
    return Annotation(
        statement=statement, annotator=annotator, codebook_version=version, stance=stance, concerns=concerns, holder=holder,
        holder_start=start, holder_end=None if start is None else start + len(holder or ""), holder_type=kind, blind=blind,
    )  # fmt: skip


def case(*readings: Annotation) -> Case:
    return Case(statement="s1", codebook_version="v", round="Round 1", readings=readings, opened=NOON)


class TestFindCases:
    @pytest.fixture
    def readings(self, invented: Codebook) -> list[Annotation]:
        said = [
            reading("agreed", "anna"), reading("agreed", "ben"),
            reading("stance", "anna"), reading("stance", "ben", "no_thanks"),
            reading("concern", "anna", "silent", "fish"), reading("concern", "ben"),
            reading("holder", "anna", holder="Ann Gler"), reading("holder", "ben", holder="Upperton"),
            reading("majority", "anna"), reading("majority", "ben"), reading("majority", "cleo", "no_thanks"),
            reading("assisted", "anna"), reading("assisted", "ben", "no_thanks", blind=False),
            reading("single", "anna"),
        ]  # fmt: skip
        return [msgspec.structs.replace(a, codebook_version=invented.id) for a in said]

    @pytest.mark.parametrize(
        ("everything", "expected"),
        [(False, ["concern", "holder", "stance"]), (True, ["concern", "holder", "majority", "stance"])],
    )
    def test_blind_ties_are_cases_and_what_a_majority_settled_on_request(
        self, readings: list[Annotation], invented: Codebook, everything: bool, expected: list[str]
    ) -> None:
        settled = settle(readings, {}, invented, texts={})
        found = find_cases(readings, settled, round="Round 1", opened=NOON, all_differences=everything)
        assert [x.statement for x in found] == expected
        for x in found:
            assert (
                sorted(a.annotator for a in x.readings) == ["anna", "ben", "cleo"][: 3 if x.statement == "majority" else 2]
            )
            assert (x.codebook_version, x.round, x.opened, x.decision) == (invented.id, "Round 1", NOON, None)

    def test_a_decided_statement_is_no_case_again(self, readings: list[Annotation], invented: Codebook) -> None:
        decision = reading("stance", "adjudicator", version=invented.id)
        settled = settle(readings, {"stance": decision}, invented, texts={})
        found = find_cases(readings, settled, round="Round 1", opened=NOON, all_differences=True)
        assert "stance" not in [x.statement for x in found]


class TestShownOrder:
    @given(st.permutations([reading(annotator=name) for name in ("anna", "ben", "cleo", "dora")]), st.integers())
    def test_the_order_depends_on_seed_and_statement_alone(self, group: list[Annotation], seed: int) -> None:
        assert shown_order(group, seed) == shown_order(sorted(group, key=lambda a: a.annotator), seed)

    def test_nobody_is_always_a(self) -> None:
        """Each of two coders stands first in half of 1,000 cases, within four standard deviations of chance (63)."""
        first = [shown_order([reading(f"s{i}", name) for name in ("anna", "ben")])[0].annotator for i in range(1000)]
        assert abs(first.count("anna") - 500) <= 63
        other = [shown_order([reading(f"s{i}", name) for name in ("anna", "ben")], 1)[0].annotator for i in range(1000)]
        assert first != other


class TestDifferences:
    @pytest.mark.parametrize(
        ("one", "other", "expected"),
        [
            (reading(), reading(annotator="ben"), ()),
            (reading(stance="silent"), reading(stance="no_thanks"), ("stance",)),
            (reading("s1", "anna", "silent", "fish", "money"), reading("s1", "ben", "silent", "money"), ("concern fish",)),
            (
                reading("s1", "anna", "silent", "money"),
                reading("s1", "ben", "silent", "fish"),
                ("concern fish", "concern money"),
            ),
            (reading(holder="Upperton"), reading(holder="town of Upperton"), ()),
            (reading(holder="Upperton"), reading(holder="Ann Gler"), ("holder",)),
            (reading(holder="Upperton"), reading(), ("holder",)),
            (reading(kind="town"), reading(kind="angler"), ("holder type",)),
            (reading(kind="town"), reading(kind=None), ()),
        ],
    )
    def test_each_question_counts_by_itself(self, one: Annotation, other: Annotation, expected: tuple[str, ...]) -> None:
        assert differences(one, other) == expected
        assert differences(other, one) == expected


class TestDecide:
    def test_a_decision_closes_the_case_under_the_adjudicators_name(self) -> None:
        made = decide(case(), reading(annotator="label-studio-3", stance="no_thanks"), "gap", at=NOON)
        assert made.decision is not None
        assert (made.decision.annotator, made.decision.stance) == ("adjudicator", "no_thanks")
        assert (made.cause, made.closed) == ("gap", NOON)

    def test_the_same_decision_changes_nothing(self) -> None:
        once = decide(case(), reading(), "slip", at=NOON, adjudicator="zoe")
        assert decide(once, reading(annotator="label-studio-3"), "slip", at="2027") is once

    @pytest.mark.parametrize(("stance", "cause"), [("no_thanks", "slip"), ("silent", "gap")])
    def test_another_decision_or_cause_is_noted(self, stance: str, cause: str) -> None:
        once = decide(case(), reading(), "slip", at=NOON)
        again = decide(once, reading(stance=stance), cause, at="2027")
        assert again.decision is not None
        assert (again.decision.stance, again.cause, again.closed) == (stance, cause, "2027")

    def test_a_withdrawn_decision_opens_the_case(self) -> None:
        assert reopen(decide(case(reading()), reading(), "slip", at=NOON)) == case(reading())

    @pytest.mark.parametrize(
        ("decision", "cause", "message"),
        [
            (reading("s2"), "slip", "expected a decision on it under codebook v, found one on s2 under v"),
            (reading(version="w"), "slip", "found one on s1 under w"),
            (reading(), "boredom", "expected a cause of ambiguous, gap, slip, found 'boredom'"),
        ],
    )
    def test_what_does_not_fit_the_case_is_refused(self, decision: Annotation, cause: str, message: str) -> None:
        with pytest.raises(RecordError, match=message):
            decide(case(), decision, cause, at=NOON)


def test_decisions_are_those_of_one_codebook_and_causes_are_counted_in_order() -> None:
    made = [
        decide(msgspec.structs.replace(case(), statement=s), reading(s), cause, at=NOON)
        for s, cause in (("s1", "slip"), ("s2", "ambiguous"), ("s3", "slip"), ("s4", None))
    ]
    cases = [*made, case()]
    assert sorted(decisions(cases, "v")) == ["s1", "s2", "s3", "s4"]
    assert decisions(cases, "w") == {}
    assert list(causes(cases).items()) == [("ambiguous", 1), ("slip", 2), ("no cause said", 1)]


def test_a_case_is_outdated_when_a_coder_says_what_it_does_not_show() -> None:
    shown = case(reading(), reading(annotator="ben", stance="no_thanks"))
    now = {"s1": list(shown.readings)}
    assert not outdated(shown, now)
    assert not outdated(shown, {})
    assert outdated(shown, {"s1": [reading(), reading(annotator="ben")]})
    assert not outdated(shown, {"s1": [reading(), reading(annotator="cleo", blind=False)]})
