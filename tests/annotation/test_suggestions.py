import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.campaign import Item
from annotation.codebook import Codebook
from annotation.interface import check_prediction, labeling_config, prediction, task
from corpus.errors import RecordError
from corpus.identity import document_id, statement_id
from corpus.records import Document, Prediction, Statement

TEXT = "😀 Upperton wants 鮭 and é."


def item(text: str = TEXT) -> Item:
    document = Document(id=document_id("file:a", text), url="file:a", text=text)
    name = statement_id(document.id, 0, len(text))
    return Item(statement=Statement(id=name, document=document.id, start=0, end=len(text), text=text), document=document)


def said(codebook: Codebook, **fields: Any) -> Prediction:
    given: dict[str, Any] = {
        "statement": item().statement.id,
        "model_id": "model-1",
        "codebook_version": codebook.id,
        "stance": "yes_please",
        "probabilities": {"yes_please": 0.75, "no_thanks": 0.25, "silent": 0.0},
        "concerns": ("money", "fish"),
        "concern_probabilities": {"fish": 0.8, "money": 0.6},
        "confidence": 0.75,
        "holder": "Upperton",
        "holder_start": 2,
        "holder_end": 10,
        "holder_type": "town",
    }
    return Prediction(**(given | fields))


def test_a_prediction_becomes_label_studios_json_with_offsets_in_code_points(invented: Codebook) -> None:
    made = prediction(invented, item(), said(invented))
    assert (made["model_version"], made["score"]) == ("model-1", 0.75)
    assert [(r["from_name"], r["to_name"], r["type"], r["value"]) for r in made["result"]] == [
        ("stance", "text", "choices", {"choices": ["yes_please"]}),
        ("concerns", "text", "choices", {"choices": ["fish", "money"]}),
        ("holder_type", "text", "choices", {"choices": ["town"]}),
        ("holder", "text", "labels", {"start": 2, "end": 10, "text": "Upperton", "labels": ["holder"]}),
    ]
    assert len({r["id"] for r in made["result"]}) == 4
    assert made == prediction(invented, item(), said(invented))


def test_what_is_made_passes_label_studios_own_check(invented: Codebook) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    form = LabelInterface(labeling_config(invented, assisted=True))
    bare = {"concerns": (), "holder": None, "holder_start": None, "holder_end": None, "holder_type": None}
    for given_ in (said(invented), said(invented, **bare)):
        assert form.validate_prediction(prediction(invented, item(), given_), return_errors=True) == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"statement": "another"}, "it is of statement another"),
        ({"codebook_version": "old/1@0"}, "found old/1@0; predict again"),
        ({"stance": "elated", "probabilities": {"elated": 1.0}}, "stance of yes_please, no_thanks, silent, found 'elated'"),
        ({"concerns": ("fish", "weather")}, "has no concern weather"),
        ({"holder_type": "ghost"}, "holder_type of town, angler, nobody, found 'ghost'"),
        ({"holder_start": 3, "holder_end": 11}, "the statement's words from 3 to 11, found 'Upperton'"),
    ],
)
def test_a_prediction_that_does_not_fit_is_refused(invented: Codebook, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecordError, match=message):
        prediction(invented, item(), said(invented, **fields))


def bent(made: dict[str, Any], path: list[Any], value: object) -> dict[str, Any]:
    """A copy with one value replaced, or taken out where ``value`` is None."""
    changed = copy.deepcopy(made)
    *way, last = path
    place: Any = changed
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


STANCE, CONCERNS, KIND, HOLDER = (["result", n] for n in range(4))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["score"], 1.5, "a score from 0 to 1, found 1.5"),
        (["score"], float("nan"), "a score from 0 to 1, found nan"),
        (["score"], None, "score"),
        (["model_version"], " ", "the model's name"),
        (["model_version"], None, "model_version"),
        ([*STANCE, "id"], None, "`id`"),
        ([*STANCE, "id"], "", "an id each"),
        (STANCE, None, "expected a stance"),
        ([*STANCE, "value", "choices"], ["yes_please", "silent"], "one stance"),
        ([*STANCE, "value", "choices"], [], "one stance"),
        ([*STANCE, "from_name"], "mood", "found 'mood"),
        ([*STANCE, "type"], "labels", r"found 'stance \(labels\)'"),
        ([*STANCE, "to_name"], "before", "found 'before'"),
        ([*CONCERNS, "value", "choices"], ["fish", "fish"], "each answer to concerns once"),
        ([*CONCERNS, "value", "choices"], ["weather"], "found 'weather'"),
        ([*CONCERNS, "from_name"], "stance", "one result a control"),
        ([*HOLDER, "value", "labels"], ["thief"], "label 'holder'"),
        ([*HOLDER, "value", "end"], 99, "words from 2 to 99"),
        ([*HOLDER, "value", "end"], 2, "words from 2 to 2"),
        ([*HOLDER, "value", "start"], -24, "words from -24 to 10"),
        ([*HOLDER, "value", "start"], "2", "start"),
        (["result"], "yes", "result"),
    ],
)
def test_what_the_server_would_swallow_is_refused(invented: Codebook, path: list[Any], value: object, message: str) -> None:
    shown = task(item().statement, item().document)
    made = prediction(invented, item(), said(invented))
    check_prediction(invented, shown, made)
    with pytest.raises(RecordError, match=message):
        check_prediction(invented, shown, bent(made, path, value))


def test_a_task_without_text_is_refused(invented: Codebook) -> None:
    made = prediction(invented, item(), said(invented))
    for broken in ({}, {"data": {"uid": "x"}}, {"data": "x"}):
        with pytest.raises(RecordError, match=r"expected a task|a task: not in"):
            check_prediction(invented, broken, made)


@given(st.text(alphabet="a😀é鮭 ", min_size=1, max_size=30), st.data())
def test_a_span_passes_exactly_where_the_text_has_its_words(invented: Codebook, text: str, data: st.DataObject) -> None:
    shown = item(f"x{text}y")
    whole = shown.statement.text
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start + 1, len(whole)))
    fields = {"statement": shown.statement.id, "holder": whole[start:end], "holder_start": start, "holder_end": end}
    made = prediction(invented, shown, said(invented, **fields))
    check_prediction(invented, {"data": {"uid": "u", "text": whole}}, made)
    later = f"z{whole}"
    if later[start:end] == whole[start:end]:
        check_prediction(invented, {"data": {"uid": "u", "text": later}}, made)
    else:
        with pytest.raises(RecordError, match="the statement's words"):
            check_prediction(invented, {"data": {"uid": "u", "text": later}}, made)
