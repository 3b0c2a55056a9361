from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.answers import (
    Refusal,
    holder_span,
    index_to_utf16,
    read_answers,
    read_tasks,
    tally,
    to_annotation,
    utf16_to_index,
)
from annotation.codebook import Codebook, parse_codebook
from corpus.records import Annotation

TEXT = "😀 They like Acme, but Acme says 𠮷 no."
UID = f"doc:7-{7 + len(TEXT)}"
SECOND_ACME = TEXT.index("Acme says")  # 22 code points, 23 UTF-16 units


@pytest.fixture
def codebook() -> Codebook:
    return parse_codebook(
        """
        format: 1
        name: whales
        version: 1
        target: {name: Whale Act}
        stances:
          - {id: pro, name: For, definition: Wants it., polarity: positive}
          - {id: con, name: Against, definition: Does not., polarity: negative}
          - {id: open, name: Open, definition: Neither., polarity: neutral}
        concerns:
          - {id: cost, name: Cost, definition: Money.}
          - {id: noise, name: Noise, definition: Sound.}
        holder_types:
          - {id: firm, name: Firm}
        """,
        where="test",
    )


def shown(*answers: dict[str, Any], text: str = TEXT, uid: str = UID, **fields: Any) -> dict[str, Any]:
    return {"id": 5, "data": {"uid": uid, "text": text}, "annotations": list(answers)} | fields


def choice(control: str, *labels: str, **fields: Any) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}} | fields


def mark(start: Any, end: Any, text: str, label: str = "holder") -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text, "labels": [label]}
    return {"id": "r1", "from_name": "holder", "to_name": "text", "type": "labels", "value": value}


def comment(*lines: str) -> dict[str, Any]:
    return {"from_name": "comment", "to_name": "text", "type": "textarea", "value": {"text": list(lines)}}


def words(*lines: str) -> dict[str, Any]:
    return {"from_name": "holder_words", "to_name": "text", "type": "textarea", "value": {"text": list(lines)}}


def answer(*results: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "id": 9,
        "completed_by": 2,
        "updated_by": 2,
        "updated_at": "2026-11-22T06:00:00.000000Z",
        "was_cancelled": False,
        "lead_time": 4.5,
        "parent_prediction": None,
        "result": list(results),
    } | fields


def refused(codebook: Codebook, *results: Any, **fields: Any) -> Refusal:
    outcome = to_annotation(shown(), answer(*results, **fields), codebook)
    assert isinstance(outcome, Refusal)
    return outcome


def test_a_whole_answer_becomes_an_annotation_with_concerns_in_the_codebooks_order(codebook: Codebook) -> None:
    given_answer = answer(
        mark(SECOND_ACME, SECOND_ACME + 4, "Acme"),
        choice("stance", "con"),
        choice("concerns", "noise", "cost"),
        choice("holder_type", "firm"),
        choice("voice", "reported"),
        comment("Not sure of the ", "second sentence."),
    )
    assert to_annotation(shown(), given_answer, codebook) == Annotation(
        statement=UID,
        annotator="label-studio-2",
        codebook_version=codebook.id,
        stance="con",
        concerns=("cost", "noise"),
        holder="Acme",
        holder_start=SECOND_ACME,
        holder_end=SECOND_ACME + 4,
        holder_type="firm",
        voice="reported",
        blind=True,
        seconds=4.5,
        comment="Not sure of the \nsecond sentence.",
    )


def test_a_stance_alone_is_a_whole_answer(codebook: Codebook) -> None:
    outcome = to_annotation(shown(), answer(choice("stance", "open")), codebook)
    assert isinstance(outcome, Annotation)
    assert (outcome.stance, outcome.concerns, outcome.holder, outcome.holder_type) == ("open", (), None, None)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_mark_is_found_whether_its_offsets_are_code_points_or_utf16_units(shift: int) -> None:
    start = 22 + shift
    span = holder_span(TEXT, {"result": [mark(start, start + 4, "Acme")]})
    assert span == (22, 26)
    assert TEXT[slice(*span)] == "Acme"


def test_a_mark_loses_the_white_space_around_it() -> None:
    assert holder_span(TEXT, {"result": [mark(21, 27, " Acme ")]}) == (22, 26)


def test_a_mark_with_characters_of_two_units_inside_keeps_its_end() -> None:
    start = TEXT.index("Acme says")
    end = TEXT.index(" no.")
    in_units = (len(TEXT[:start].encode("utf-16-le")) // 2, len(TEXT[:end].encode("utf-16-le")) // 2)
    assert holder_span(TEXT, {"result": [mark(*in_units, "Acme says 𠮷")]}) == (start, end)
    assert holder_span(TEXT, {"result": [mark(start, end, "Acme says 𠮷")]}) == (start, end)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (mark(3, 7, "Acme"), "reads 'Acme', which the statement does not have from 3 to 7"),
        (mark(-4, 4, "Acme"), "does not have"),
        (mark(22, 4000, "Acme"), "does not have"),
        (mark(1, 2, " "), "no word"),
        (mark(None, 4, "They"), "expected one holder"),
        (mark(2, 6, "They", label="firm"), "expected one holder"),
        (mark("2", 6, "They"), "Expected `int | null`, got `str`"),
    ],
)
def test_a_mark_that_does_not_fit_the_text_is_invalid(codebook: Codebook, region: dict[str, Any], reason: str) -> None:
    outcome = refused(codebook, choice("stance", "con"), region)
    assert outcome.state == "invalid"
    assert reason in outcome.reason


@pytest.mark.parametrize(
    ("typed", "span"),
    [
        ("Acme", (12, 16)),  # the first of the two
        (" Acme\n", (12, 16)),
        ("Acme  says", (22, 31)),
        ("𠮷", (32, 33)),
        ("no", (34, 36)),
        ("cme", (13, 16)),
        ("  ", None),
    ],
)
def test_typed_words_are_the_holder_where_they_first_stand(typed: str, span: tuple[int, int] | None) -> None:
    assert holder_span(TEXT, {"result": [words(typed)]}) == span
    assert span is None or TEXT[slice(*span)] == " ".join(typed.split())


def test_typed_words_stand_as_whole_words_first_and_with_any_white_space_between_them() -> None:
    text = "Iranians asked the European\nUnion, and Iran answered in Ame\u0301rica, in América."
    start = text.index("Iran answered")
    assert holder_span(text, {"result": [words("Iran")]}) == (start, start + 4)
    assert holder_span(text, {"result": [words("European Union")]}) == (19, 33)
    start = text.index("América")  # what is typed with a combining accent is the same word
    assert holder_span(text, {"result": [words("Ame\u0301rica")]}) == (start, start + 7)


def test_a_mark_wins_over_typed_words() -> None:
    assert holder_span(TEXT, {"result": [words("They"), mark(22, 26, "Acme")]}) == (22, 26)


def test_typed_words_correct_what_a_model_has_marked() -> None:
    suggested = {**mark(22, 26, "Acme"), "origin": "prediction"}
    changed = {**suggested, "origin": "prediction-changed"}
    start = TEXT.index("They")
    for region in (suggested, changed):
        assert holder_span(TEXT, {"result": [words("They"), region]}) == (start, start + 4)
        assert holder_span(TEXT, {"result": [words(" "), region]}) == (22, 26)


@pytest.mark.parametrize("typed", ["Zoe's 'aide'", "zoe’s “aide”", 'ZOE\'S "aide"'])
def test_typed_words_need_no_curly_quotes_nor_capitals(typed: str) -> None:
    text = "The zoe’s “aide”–Zoe’s ‘aide’ – spoke."
    found = holder_span(text, {"result": [words(typed)]})
    assert found is not None
    assert text[slice(*found)].casefold().translate(str.maketrans("’‘“”", "''\"\"")) == typed.casefold().translate(
        str.maketrans("’‘“”", "''\"\"")
    )


def test_a_cause_is_part_of_an_adjudicators_answer_only(codebook: Codebook) -> None:
    given_answer = answer(choice("stance", "pro"), choice("cause", "slip"))
    outcome = to_annotation(shown(), given_answer, codebook, adjudication=True)
    assert isinstance(outcome, Annotation)
    assert outcome.stance == "pro"


def test_half_a_character_in_a_comment_is_kept_as_a_question_mark(codebook: Codebook) -> None:
    outcome = to_annotation(shown(), answer(choice("stance", "pro"), comment("a \ud83d b")), codebook)
    assert isinstance(outcome, Annotation)
    assert outcome.comment == "a ? b"


def test_where_names_are_given_everybody_else_is_a_stranger(codebook: Codebook) -> None:
    old = answer(choice("stance", "pro"), id=1)
    strange = answer(choice("stance", "con"), id=2, completed_by=4, updated_by=4, updated_at="2026-11-23T06:00:00Z")
    reads = read_answers([shown(old, strange)], codebook, names={2: "anna"})
    assert [(r.number, r.task, r.outcome.annotator) for r in reads] == [(1, 5, "anna"), (2, 5, "label-studio-4")]
    assert isinstance(reads[0].outcome, Annotation)
    assert isinstance(reads[1].outcome, Refusal)
    assert reads[1].outcome.state == "stranger"


def test_two_marks_are_invalid(codebook: Codebook) -> None:
    outcome = refused(codebook, choice("stance", "con"), mark(2, 6, "They"), mark(22, 26, "Acme"))
    assert outcome == Refusal(
        "invalid", "it marks 2 holders, expected one at most", "annotation 9 of task 5", UID, "label-studio-2"
    )


@pytest.mark.parametrize(
    ("results", "reason"),
    [
        ([choice("stance", "maybe")], "stance 'maybe' is not in codebook whales version 1"),
        ([choice("stance", "For")], "stance 'For' is not in codebook"),
        ([choice("stance", "pro"), choice("concerns", "cost", "weather")], "concern 'weather' is not in codebook"),
        ([choice("stance", "pro"), choice("holder_type", "king")], "holder type 'king' is not in codebook"),
        ([], "found 0 and 0"),
        ([choice("stance", "pro", "con")], "found 2 and 0"),
        ([choice("stance", "pro"), choice("stance", "con")], "found 2 and 0"),
        ([choice("stance", "pro"), choice("mood", "x"), choice("tone", "y")], "does not ask: mood, tone"),
        ([choice("stance", "pro", type="labels")], "does not ask: stance"),
        ([choice("stance", "pro"), choice("cause", "slip")], "does not ask: cause"),
        ([choice("stance", "pro"), choice("voice", "loud")], "at most one voice of own, reported, editorial, found loud"),
        ([choice("stance", "pro"), choice("voice", "own", "reported")], "found own, reported"),
        ([choice("stance", "pro"), words("Acma")], "the holder 'Acma', which the statement does not have"),
        ([choice("stance", "pro"), words("They", "Acme")], "names 2 holders"),
        ([{"type": "relation", "from_id": "a", "to_id": "b"}], "missing required field `from_name`"),
    ],
)
def test_an_answer_that_the_form_cannot_give_is_invalid(codebook: Codebook, results: list[Any], reason: str) -> None:
    outcome = refused(codebook, *results)
    assert outcome.state == "invalid"
    assert reason in outcome.reason


@pytest.mark.parametrize(
    "broken",
    [{"result": None}, {"result": "x"}, {"completed_by": None}, {"lead_time": "long"}, {"id": "z"}, {"updated_at": "soon"}],
)
def test_broken_json_is_refused_and_never_raises(codebook: Codebook, broken: dict[str, Any]) -> None:
    assert refused(codebook, choice("stance", "pro"), **broken).state == "invalid"


def test_skipped_and_cannot_judge_are_states_and_not_labels(codebook: Codebook) -> None:
    assert refused(codebook, was_cancelled=True).state == "skipped"
    # What was chosen before the questions were hidden arrives with the answer and must not count.
    outcome = refused(codebook, choice("stance", "pro"), choice("cannot_judge", "cannot_judge"), comment("cut in half"))
    assert (outcome.state, outcome.reason) == ("cannot judge", "cut in half")


def test_an_answer_changed_by_another_user_is_nobodys_reading(codebook: Codebook) -> None:
    outcome = refused(codebook, choice("stance", "pro"), updated_by=3)
    assert (outcome.state, outcome.annotator) == ("edited", "label-studio-2")
    assert "user 3" in outcome.reason


@pytest.mark.parametrize(
    ("task_fields", "answer_fields", "predictions_shown", "blind"),
    [
        ({"total_predictions": 1}, {}, False, True),
        ({"total_predictions": 1}, {}, True, False),
        ({"total_predictions": 0}, {}, True, True),
        ({}, {"parent_prediction": 4}, False, False),
        ({}, {"result": [choice("stance", "pro", origin="prediction-changed")]}, False, False),
        ({}, {"result": [choice("stance", "pro", origin="manual")]}, False, True),
    ],
)
def test_blind_is_false_where_a_suggestion_may_have_been_seen(
    codebook: Codebook, task_fields: Any, answer_fields: Any, predictions_shown: bool, blind: bool
) -> None:
    given_answer = answer(choice("stance", "pro")) | answer_fields
    outcome = to_annotation(shown(**task_fields), given_answer, codebook, predictions_shown=predictions_shown)
    assert isinstance(outcome, Annotation)
    assert outcome.blind is blind


def test_of_several_answers_by_one_coder_the_newest_counts_in_whatever_order(codebook: Codebook) -> None:
    # As text the first of these would sort behind the second: the server leaves out a fraction that is zero.
    old = answer(choice("stance", "pro"), id=1, updated_at="2026-11-22T06:00:01Z")
    new = answer(choice("stance", "con"), id=2, updated_at="2026-11-22T06:00:01.500000Z")
    other = answer(choice("stance", "open"), id=3, completed_by=4, updated_by=4)
    for order in ([old, new, other], [other, new, old]):
        readings = read_tasks([shown(*order)], codebook)
        assert [(a.annotator, a.stance) for a in readings.annotations] == [
            ("label-studio-2", "con"),
            ("label-studio-4", "open"),
        ]
        assert [(r.state, r.source) for r in readings.refusals] == [("superseded", "annotation 1 of task 5")]


def test_the_newest_answer_counts_over_two_copies_of_a_task(codebook: Codebook) -> None:
    old = answer(choice("stance", "pro"), id=1)
    new = answer(choice("stance", "con"), id=2)
    readings = read_tasks([shown(new, id=8), shown(old, id=7)], codebook)
    assert [a.stance for a in readings.annotations] == ["con"]


def test_an_older_answer_does_not_stand_in_for_a_newer_one_that_is_skipped(codebook: Codebook) -> None:
    old = answer(choice("stance", "pro"), id=1)
    skip = answer(id=2, was_cancelled=True)
    readings = read_tasks([shown(old, skip)], codebook)
    assert readings.annotations == ()
    assert tally(readings.refusals) == {"skipped": 1, "superseded": 1}


@pytest.mark.parametrize(
    "foreign",
    [
        {"id": 1, "data": {"text": "not ours"}},
        {"id": 1, "data": None},
        shown(uid="doc:0-3"),
        shown(uid="doc:a-b"),
        shown(uid="nothing"),
        shown(text=TEXT + " And more."),
    ],
)
def test_a_task_that_is_not_ours_or_was_altered_is_listed_once(codebook: Codebook, foreign: dict[str, Any]) -> None:
    readings = read_tasks([foreign | {"annotations": [answer(choice("stance", "pro"))]}], codebook)
    assert readings.annotations == ()
    assert [r.state for r in readings.refusals] == ["invalid"]
    assert to_annotation(foreign, answer(choice("stance", "pro")), codebook) == Refusal(
        "invalid", readings.refusals[0].reason, f"annotation 9 of task {foreign['id']}"
    )


@given(st.lists(st.sampled_from(["pro", "con", "maybe", None]), max_size=8), st.integers(1, 3))
def test_every_answer_is_either_an_annotation_or_a_refusal(labels: list[str | None], coders: int) -> None:
    book = parse_codebook(
        "{format: 1, name: w, version: 1, target: {name: t}, concerns: [{id: c, name: C, definition: d}], "
        "holder_types: [{id: h, name: H}], stances: [{id: pro, name: P, definition: d, polarity: positive}, "
        "{id: con, name: Q, definition: d, polarity: negative}]}",
        where="test",
    )
    answers = [
        answer(*([choice("stance", s)] if s else []), id=n, completed_by=n % coders, updated_by=n % coders)
        for n, s in enumerate(labels)
    ]
    readings = read_tasks([shown(*answers)], book)
    assert len(readings.annotations) + len(readings.refusals) == len(labels)


@given(st.text(), st.data())
def test_offsets_survive_the_way_to_utf16_and_back(text: str, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(text)))
    units = index_to_utf16(text, index)
    assert utf16_to_index(text, units) == index
    # JavaScript's length counts two units for a character above U+FFFF, one for any other.
    assert units == sum(2 if ord(c) > 0xFFFF else 1 for c in text[:index])


@given(st.text(alphabet="a😀𠮷é", min_size=1), st.data())
def test_a_mark_given_in_either_unit_yields_the_marked_words(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    for offsets in ((start, end), (index_to_utf16(text, start), index_to_utf16(text, end))):
        span = holder_span(text, {"result": [mark(*offsets, text[start:end])]})
        assert span is not None
        assert text[slice(*span)] == text[start:end]


@pytest.mark.parametrize(("units", "message"), [(-1, "outside"), (3, "outside"), (1, "inside a character")])
def test_an_offset_that_no_character_starts_at_is_refused(units: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        utf16_to_index("😀", units)


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_the_text_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        index_to_utf16("😀", index)
