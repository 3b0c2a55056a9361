"""What a change of the codebook breaks is found and refused; what it does not break passes."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.campaign import Answer, Case, Project, Pull, Role, Task
from annotation.changes import Change, check_codebook, codebooks, compare, places, read_since, refuse, used
from annotation.codebook import Codebook, dump_codebook, parse_codebook
from annotation.ledger import Ledger
from corpus.errors import CodebookError
from corpus.records import Annotation, GoldLabel


def edited(codebook: Codebook, *edits: tuple[str, str]) -> Codebook:
    text = dump_codebook(codebook)
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    return parse_codebook(text, where="edited")


def without(codebook: Codebook, concern: str) -> Codebook:
    return msgspec.structs.replace(codebook, concerns=tuple(c for c in codebook.concerns if c.id != concern))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'corpus.db'}") as opened:
        yield opened


def code(
    ledger: Ledger,
    codebook: Codebook,
    readings: dict[str, tuple[str, ...]],
    *,
    coder: str = "anna",
    round: str = "Round 1",
    role: Role = "coding",
    day: int = 1,
    open_statements: tuple[str, ...] = (),
) -> Project:
    """Note a project whose coder read each statement as (stance, concern, …)."""
    made = f"2026-01-{day:02d}T00:00:00+00:00"
    project = Project(
        server="http://here", number=len(ledger.projects()) + 1, title=f"{round}, {coder}", round=round, role=role,
        codebook_version=codebook.id, codebook=dump_codebook(codebook), made=made, coder=coder,
    )  # fmt: skip
    ledger.add_project(project)
    ledger.add_tasks(Task(project=project.key, position=i, statement=s) for i, s in enumerate([*readings, *open_statements]))
    given = {"annotator": coder, "codebook_version": codebook.id, "holder_type": "town"}
    answers = [
        Answer(
            project=project.key, number=i, stamp="a", task=i, state="counted", seen=made, raw="{}", statement=s,
            annotator=coder, annotation=Annotation(statement=s, stance=said[0], concerns=said[1:], **given),
        )
        for i, (s, said) in enumerate(readings.items())
    ]  # fmt: skip
    ledger.note_pull(Pull(project=project.key, at=made, tasks=len(readings), answers=len(answers), full=True), answers)
    return project


class TestCompare:
    def test_equal_codebooks_have_no_changes(self, invented: Codebook) -> None:
        assert compare(invented, invented).changes == ()

    @pytest.mark.parametrize(
        ("before", "after", "expected"),
        [
            (
                '"definition": "Cost and price."',
                '"definition": "Cost."',
                Change("concern", "redefined", "money", ("definition",)),
            ),
            ('"polarity": "negative"', '"polarity": "both"', Change("stance", "redefined", "no_thanks", ("polarity",))),
            ('"name": "Wants it"', '"name": "In favour"', Change("stance", "reworded", "yes_please", ("name",))),
            ('"hotkey": "f"', '"hotkey": "g"', Change("concern", "reworded", "fish", ("hotkey",))),
            ('"Judge the words."', '"Judge the tone."', Change("rules", "changed")),
            ('"river treaty"', '"river accord"', Change("target", "changed")),
            # a kind of holder without a definition means what its name says
            ('"name": "Angler"', '"name": "Fisher"', Change("holder type", "redefined", "angler", ("name",))),
            # a line that was broken elsewhere means the same
            ("The holder wants", "The holder\\n  wants", Change("stance", "reworded", "yes_please", ("definition",))),
        ],
    )
    def test_each_edit_is_one_change_of_its_kind(
        self, invented: Codebook, before: str, after: str, expected: Change
    ) -> None:
        assert compare(invented, edited(invented, (before, after))).changes == (expected,)

    def test_another_id_is_one_label_removed_and_one_added(self, invented: Codebook) -> None:
        changes = compare(invented, edited(invented, ('"id": "fish"', '"id": "salmon"')))
        assert [str(c) for c in changes.changes] == ["concern 'fish' removed", "concern 'salmon' added"]
        assert [c.label for c in changes.breaking] == ["fish"]
        assert [c.label for c in changes.unasked] == ["salmon"]

    def test_the_order_of_labels_is_wording(self, invented: Codebook) -> None:
        turned = msgspec.structs.replace(invented, stances=invented.stances[::-1])
        assert compare(invented, turned).changes == (Change("stance", "reworded", fields=("order of the labels",)),)

    @given(data=st.data())
    def test_what_one_way_adds_the_other_way_removes(self, invented: Codebook, data: st.DataObject) -> None:
        subsets = st.lists(st.sampled_from(invented.holder_types), min_size=1, unique=True)
        one, two = (msgspec.structs.replace(invented, holder_types=tuple(data.draw(subsets))) for _ in range(2))
        there, back = compare(one, two).changes, compare(two, one).changes
        assert {c.label for c in there if c.what == "added"} == {c.label for c in back if c.what == "removed"}
        assert {c.label for c in there if c.what == "removed"} == {c.label for c in back if c.what == "added"}
        kept = {t.id for t in one.holder_types} - {c.label for c in there if c.what == "removed"}
        assert kept == {t.id for t in two.holder_types} - {c.label for c in there if c.what == "added"}


class TestUsed:
    def test_counts_readings_decisions_and_gold_and_names_the_statements(self, ledger: Ledger, invented: Codebook) -> None:
        code(ledger, invented, {"s1": ("silent", "fish"), "s2": ("silent", "money"), "s3": ("silent",)})
        code(ledger, invented, {"s1": ("silent", "fish")}, coder="ben")
        decision = Annotation(
            statement="s3", annotator="adjudicator", codebook_version=invented.id, stance="silent", concerns=("fish",)
        )
        case = Case(
            statement="s3", codebook_version=invented.id, round="Round 1", readings=(), opened="2026", decision=decision
        )
        ledger.put_cases([case])
        label = GoldLabel(statement="s4", codebook_version=invented.id, stance="silent", concerns=("fish", "money"))
        ledger.add_gold([label], "2026")
        found = used(compare(invented, without(invented, "fish")), ledger)
        assert [(u.change.label, u.readings, u.gold) for u in found.uses] == [("fish", 3, 1)]
        assert found.statements == ("s1", "s3", "s4")
        # s4 was never given out in the round
        assert used(found.changes, ledger, round="Round 1").statements == ("s1", "s3")

    def test_a_gold_label_uses_the_stances_of_its_distribution(self, ledger: Ledger, invented: Codebook) -> None:
        shares = {"silent": 0.75, "no_thanks": 0.25}
        label = GoldLabel(statement="s", codebook_version=invented.id, stance="silent", distribution=shares)
        ledger.add_gold([label], "2026")
        new = edited(invented, ("The holder refuses the pact.", "The holder hates the pact."))
        assert used(compare(invented, new), ledger).statements == ("s",)

    def test_a_changed_label_that_nobody_used_is_no_use(self, ledger: Ledger, invented: Codebook) -> None:
        code(ledger, invented, {"s1": ("silent", "money")})
        found = used(compare(invented, without(invented, "fish")), ledger)
        assert (found.uses, found.statements) == ((), ())
        refuse(found)


class TestCheckCodebook:
    def test_nothing_stands_in_the_way_of_a_first_push(self, ledger: Ledger, invented: Codebook) -> None:
        assert check_codebook(ledger, "Round 1", invented) == ()

    @pytest.mark.parametrize("round", ["Round 1", "Round 7"])
    def test_a_used_label_that_is_gone_is_refused_in_every_round(
        self, ledger: Ledger, invented: Codebook, round: str
    ) -> None:
        code(ledger, invented, {"s1": ("silent", "fish"), "s2": ("silent",)})
        target = "Round 2" if round == "Round 1" else round
        expected = (
            rf"found concern 'fish' removed, used by 1 readings and 0 gold labels; 1 statements must be coded anew \(s1\): "
            rf'run `treaty-stance annotate recode --round "{target}" --from "Round 1"`'
        )
        with pytest.raises(CodebookError, match=expected) as caught:
            check_codebook(ledger, round, without(invented, "fish"))
        assert "\n" not in str(caught.value)

    def test_a_used_stance_with_another_definition_is_refused(self, ledger: Ledger, invented: Codebook) -> None:
        code(ledger, invented, {"s1": ("no_thanks",)})
        with pytest.raises(CodebookError, match=r"stance 'no_thanks' redefined \(definition\)"):
            check_codebook(ledger, "Round 1", edited(invented, ("The holder refuses the pact.", "Any criticism.")))

    @pytest.mark.parametrize(
        ("before", "after", "said"),
        [
            ('"name": "Fish"', '"name": "Fishes"', "concern 'fish' reworded (name); labels without"),
            ('"Judge the words."', '"Judge the tone."', "rules changed; coders did not know that"),
        ],
    )
    def test_wording_and_rules_are_reported(
        self, ledger: Ledger, invented: Codebook, before: str, after: str, said: str
    ) -> None:
        code(ledger, invented, {"s1": ("silent", "fish")})
        notes = check_codebook(ledger, "Round 2", edited(invented, (before, after)))
        assert len(notes) == 1
        assert said in notes[0]

    def test_a_place_in_a_recoding_project_clears_the_way(self, ledger: Ledger, invented: Codebook) -> None:
        new = without(invented, "fish")
        code(ledger, invented, {"s1": ("silent", "fish"), "s2": ("silent", "fish")})
        code(ledger, new, {}, round="Round 2", role="recoding", day=2, open_statements=("s1",))
        with pytest.raises(CodebookError, match=r"1 statements must be coded anew \(s2\)"):
            check_codebook(ledger, "Round 2", new)
        code(ledger, new, {}, round="Round 2", role="recoding", day=3, coder="ben", open_statements=("s2",))
        assert len(check_codebook(ledger, "Round 2", new)) == 1

    def test_only_the_newest_reading_of_a_statement_can_be_broken(self, ledger: Ledger, invented: Codebook) -> None:
        """s1 was coded anew under a second codebook, without the label that the third one takes away."""
        second = without(invented, "fish")
        third = edited(second, ('"id": "silent"', '"id": "mute"'))
        code(ledger, invented, {"s1": ("silent", "fish")})
        code(ledger, second, {"s1": ("no_thanks",)}, round="Round 2", role="recoding", day=2)
        assert len(check_codebook(ledger, "Round 3", third)) == 1
        assert read_since(ledger, invented.id) == {"s1"}
        assert read_since(ledger, invented.id, but=second.id) == set()

    def test_a_carried_label_sends_its_statement_back_from_the_round_that_gave_it_out(
        self, ledger: Ledger, invented: Codebook
    ) -> None:
        """s1 keeps its gold label under a second codebook; the third takes away what s1 says."""
        second = without(invented, "fish")
        code(ledger, invented, {"s1": ("silent", "money"), "s2": ("silent", "fish")}, round="First")
        code(ledger, second, {"s2": ("no_thanks",)}, round="Second", role="recoding", day=2)
        label = GoldLabel(statement="s1", codebook_version=second.id, stance="silent", concerns=("money",))
        ledger.add_gold([label], "2026")
        third = edited(second, ('"id": "silent"', '"id": "mute"'))
        with pytest.raises(CodebookError, match=r'anew \(s1\): run .* --round "Third" --from "First"'):
            check_codebook(ledger, "Third", third)
        code(ledger, third, {}, round="Third", role="recoding", day=3, open_statements=("s1",))
        assert len(check_codebook(ledger, "Third", third)) == 1

    def test_what_was_coded_anew_goes_back_from_the_round_that_coded_it_last(
        self, ledger: Ledger, invented: Codebook
    ) -> None:
        second = without(invented, "fish")
        code(ledger, invented, {"s1": ("silent", "fish")}, round="First")
        code(ledger, second, {"s1": ("silent",)}, round="Second", role="recoding", day=2)
        with pytest.raises(CodebookError, match='--round "Third" --from "Second"'):
            check_codebook(ledger, "Third", edited(second, ('"id": "silent"', '"id": "mute"')))

    def test_gold_that_was_never_given_out_stands_in_nobodys_way(self, ledger: Ledger, invented: Codebook) -> None:
        code(ledger, invented, {"s1": ("silent",)})
        label = GoldLabel(statement="far", codebook_version=invented.id, stance="silent", concerns=("fish",))
        ledger.add_gold([label], "2026")
        assert len(check_codebook(ledger, "Round 2", without(invented, "fish"))) == 1

    def test_the_earlier_codebook_may_come_back(self, ledger: Ledger, invented: Codebook) -> None:
        code(ledger, invented, {"s1": ("silent", "fish")})
        code(ledger, without(invented, "fish"), {"s1": ("silent",)}, round="Round 2", role="recoding", day=2)
        assert len(check_codebook(ledger, "Round 3", invented)) == 1  # the label is added again

    def test_answers_that_were_taken_back_use_nothing(self, ledger: Ledger, invented: Codebook) -> None:
        project = code(ledger, invented, {"s1": ("silent", "fish")})
        gone = Answer(
            project=project.key, number=0, stamp="b", task=0, state="deleted", seen="2026-01-05", raw="{}", statement="s1"
        )
        ledger.note_pull(Pull(project=project.key, at="2026-01-05", tasks=1, answers=0, full=True), [gone])
        check_codebook(ledger, "Round 1", without(invented, "fish"))


def test_codebooks_and_places_leave_adjudication_aside(ledger: Ledger, invented: Codebook) -> None:
    new = without(invented, "fish")
    first = code(ledger, invented, {"s1": ("silent",)})
    second = code(ledger, invented, {}, coder="ben", open_statements=("s1", "s2"), day=2)
    code(ledger, new, {}, role="adjudication", open_statements=("s3",), day=3)
    assert codebooks(ledger) == {invented.id: (invented, (first, second))}
    assert places(ledger) == {"s1": (first, second), "s2": (second,)}
    assert places(ledger, round="Round 9") == {}
