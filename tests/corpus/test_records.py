"""Records refuse to exist when they contradict themselves, and never change afterwards."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus import Annotation, Document, GoldLabel, Prediction, Statement
from corpus.identity import digest, document_id, statement_id

URL = "https://example.org/treaty"
TEXT = "Delegates met. 😀 They left."
DOCUMENT = document_id(URL, TEXT)


def _document(**changes: Any) -> Document:
    return Document(**{"id": DOCUMENT, "url": URL, "text": TEXT, **changes})


def _statement(**changes: Any) -> Statement:
    values = {"id": statement_id(DOCUMENT, 15, 27), "document": DOCUMENT, "start": 15, "end": 27, "text": TEXT[15:]}
    return Statement(**{**values, **changes})


def _annotation(**changes: Any) -> Annotation:
    return Annotation(**{"statement": "s", "annotator": "ann", "codebook_version": "1", "stance": "pro", **changes})


def _gold(**changes: Any) -> GoldLabel:
    return GoldLabel(**{"statement": "s", "codebook_version": "1", "stance": "pro", **changes})


def _prediction(**changes: Any) -> Prediction:
    values = {
        "statement": "s",
        "model_id": "m",
        "codebook_version": "1",
        "stance": "pro",
        "probabilities": {"pro": 0.75, "con": 0.25},
        "concerns": ("fish",),
        "concern_probabilities": {"fish": 0.9, "dams": 0.0},
        "confidence": 0.75,
    }
    return Prediction(**{**values, **changes})


def test_each_record_can_be_made():
    made = [_document(), _statement(), _annotation(), _gold(), _prediction()]
    assert [record.version for record in made] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("make", [_document, _statement, _annotation, _gold, _prediction])
def test_a_record_cannot_be_changed(make: Any):
    with pytest.raises(AttributeError):
        make().version = 2


@pytest.mark.parametrize(
    "changes", [{"id": "0" * 16 + "-" + "0" * 16}, {"text": TEXT + " "}, {"url": URL + "/2"}, {"id": ""}]
)
def test_a_document_whose_id_lies_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError, match="but url and text make it"):
        _document(**changes)


def test_a_document_keeps_its_id_when_only_tracking_is_added_to_its_address():
    assert _document(url=URL + "?utm_source=feed").id == DOCUMENT


@pytest.mark.parametrize("revision", [0, -1])
def test_a_revision_below_one_is_refused(revision: int):
    with pytest.raises(ValueError, match="revision"):
        _document(revision=revision)


def test_statement_offsets_count_code_points():
    statement = _statement()
    assert statement.text == "😀 They left."
    assert statement.end - statement.start == 12  # in UTF-16 it would be 13, in UTF-8 15


@pytest.mark.parametrize(
    "changes",
    [
        {"text": TEXT[15:26]},
        {"end": 28},
        {"start": 14},
        {"start": -1, "end": 11, "id": statement_id(DOCUMENT, -1, 11)},
        {"start": 27, "end": 15},
    ],
)
def test_a_statement_whose_offsets_lie_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError, match="do not span"):
        _statement(**changes)


@pytest.mark.parametrize("changes", [{"id": "x"}, {"document": "other"}, {"start": 16, "end": 28}])
def test_a_statement_whose_id_lies_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError, match="but document and offsets make it"):
        _statement(**changes)


@settings(deadline=None)
@given(st.text(), st.integers(0, 50), st.integers(0, 50))
def test_every_slice_of_a_document_is_a_statement(text: str, a: int, b: int):
    start, end = sorted((min(a, len(text)), min(b, len(text))))
    made = Statement(id=statement_id("d", start, end), document="d", start=start, end=end, text=text[start:end])
    assert made.text == text[made.start : made.end]


@pytest.mark.parametrize("make", [_annotation, _gold, _prediction])
def test_a_concern_that_stands_twice_is_refused(make: Any):
    with pytest.raises(ValueError, match="twice"):
        make(concerns=("fish", "dams", "fish"))


def test_an_annotation_is_known_by_statement_annotator_and_codebook():
    assert _annotation().id == digest("s", "ann", "1")
    assert _annotation(stance="con", comment="second thoughts").id == _annotation().id
    assert len({_annotation(**{f: "x"}).id for f in ("statement", "annotator", "codebook_version")}) == 3


@pytest.mark.parametrize("certainty", [0, 4, -1, 2.5])
def test_a_certainty_off_the_scale_is_refused(certainty: float):
    with pytest.raises(ValueError, match="certainty"):
        _annotation(certainty=certainty)


@pytest.mark.parametrize("seconds", [-0.1, math.inf, math.nan])
def test_seconds_that_no_clock_shows_are_refused(seconds: float):
    with pytest.raises(ValueError, match="seconds"):
        _annotation(seconds=seconds)


@pytest.mark.parametrize("shares", [{"pro": 0.5}, {"pro": 1.5, "con": -0.5}, {"pro": math.nan}, {"pro": 0.6, "con": 0.6}])
def test_shares_that_do_not_sum_to_one_are_refused(shares: dict[str, float]):
    with pytest.raises(ValueError, match="distribution sums to"):
        _gold(distribution=shares)
    with pytest.raises(ValueError, match="probabilities sums to"):
        _prediction(probabilities=shares)


def test_a_gold_label_may_have_no_distribution_but_a_prediction_must():
    assert _gold(distribution={}).distribution == {}
    with pytest.raises(ValueError, match="sum"):
        _prediction(probabilities={})


def test_gold_labels_do_not_share_their_default_distribution():
    assert _gold().distribution is not _gold().distribution


@pytest.mark.parametrize("probability", [0.0, -0.2, 1.01, math.nan])
def test_an_inclusion_probability_outside_zero_to_one_is_refused(probability: float):
    with pytest.raises(ValueError, match="inclusion_probability"):
        _gold(inclusion_probability=probability)


def test_a_decision_without_a_probability_is_refused():
    with pytest.raises(ValueError, match="'open' has no probability"):
        _prediction(stance="open")


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_a_concern_probability_outside_zero_to_one_is_refused(value: float):
    with pytest.raises(ValueError, match=r"concern_probabilities\['dams'\]"):
        _prediction(concern_probabilities={"fish": 0.2, "dams": value})


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan])
def test_a_confidence_outside_zero_to_one_is_refused(value: float):
    with pytest.raises(ValueError, match="confidence"):
        _prediction(confidence=value)


@pytest.mark.parametrize(
    "changes",
    [
        {"holder": "Norway"},
        {"holder_start": 0, "holder_end": 6},
        {"holder": "Norway", "holder_start": 0},
        {"holder": "Norway", "holder_end": 6},
    ],
)
def test_a_holder_with_half_of_its_offsets_is_refused(changes: dict[str, Any]):
    with pytest.raises(ValueError, match="go together"):
        _prediction(**changes)


def test_a_holder_with_both_offsets_is_kept():
    made = _prediction(holder="Norway", holder_start=0, holder_end=6)
    assert (made.holder, made.holder_start, made.holder_end) == ("Norway", 0, 6)


@pytest.mark.parametrize("make", [_document, _statement, _annotation, _gold, _prediction])
def test_equal_content_is_an_equal_record(make: Any):
    assert make() == make()
    assert msgspec.convert(msgspec.to_builtins(make()), type(make())) == make()
