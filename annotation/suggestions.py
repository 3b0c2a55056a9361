"""A model's suggestions for assisted coding, in Label Studio's form, and the checks that the server does not make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from annotation.campaign import Item
from annotation.codebook import Codebook
from annotation.controls import CONCERNS, HOLDER, HOLDER_TYPE, STANCE
from corpus.errors import RecordError
from corpus.identity import digest
from corpus.records import Prediction

_TYPES = {STANCE: "choices", CONCERNS: "choices", HOLDER_TYPE: "choices", HOLDER: "labels"}
_Kind = TypeVar("_Kind")


class _Task(msgspec.Struct):
    data: dict[str, Any]


class _Value(msgspec.Struct):
    choices: list[str] | None = None
    labels: list[str] | None = None
    text: str | None = None
    start: int | None = None
    end: int | None = None


class _Result(msgspec.Struct):
    id: str
    from_name: str
    to_name: str
    type: str
    value: _Value


class _Prediction(msgspec.Struct):
    model_version: str
    score: float
    result: list[_Result]


def prediction(codebook: Codebook, item: Item, said: Prediction) -> dict[str, Any]:
    """Return what a model says of a statement as a prediction for Label Studio: its answers, filled in beforehand.

    Offsets count code points, as Label Studio 1.23 does. Regions are named by a hash: same prediction, same JSON.

    Raises:
        RecordError: when the prediction is of another statement or codebook, or does not pass :func:`check_prediction`.
    """
    where = f"prediction of {said.model_id} for statement {item.statement.id}"
    if said.statement != item.statement.id:
        raise RecordError(f"{where}: it is of statement {said.statement}; give each statement its own")
    if said.codebook_version != codebook.id:
        raise RecordError(f"{where}: expected codebook {codebook.id}, found {said.codebook_version}; predict again")

    def part(control: str, **value: Any) -> dict[str, Any]:
        name = digest(said.model_id, said.statement, control)
        return {"id": name, "from_name": control, "to_name": "text", "type": _TYPES[control], "value": value}

    result = [part(STANCE, choices=[said.stance])]
    if said.concerns:
        result.append(part(CONCERNS, choices=[c for c in codebook.concern_ids if c in said.concerns]))
        if len(result[-1]["value"]["choices"]) < len(said.concerns):
            unknown = ", ".join(c for c in said.concerns if c not in codebook.concern_ids)
            raise RecordError(
                f"{where}: codebook {codebook.id} has no concern {unknown}; predict with this codebook's model"
            )
    if said.holder_type is not None:
        result.append(part(HOLDER_TYPE, choices=[said.holder_type]))
    if said.holder is not None:
        result.append(part(HOLDER, start=said.holder_start, end=said.holder_end, text=said.holder, labels=[HOLDER]))
    made = {"model_version": said.model_id, "score": said.confidence, "result": result}
    check_prediction(codebook, {"data": {"uid": item.statement.id, "text": item.statement.text}}, made)
    return made


def check_prediction(codebook: Codebook, task: Mapping[str, Any], prediction: Mapping[str, Any]) -> None:
    """Refuse a prediction that does not fit the form or the task's text: Label Studio would store it, or lose it silently.

    Raises:
        RecordError: naming the task's statement, what was expected and what was found.
    """
    data = _convert(task, _Task, "a task").data
    where, text = f"prediction for statement {data.get('uid')}", data.get("text")
    if not isinstance(text, str):
        raise RecordError(f"{where}: expected a task with a text, found none; make it with annotation.interface.task")
    read = _convert(prediction, _Prediction, where)

    def need(condition: bool, expected: str, found: object) -> None:
        if not condition:
            raise RecordError(f"{where}: expected {expected}, found {found!r}; it was not sent, make it again")

    need(bool(read.model_version.strip()), "the model's name as model_version", read.model_version)
    need(0 <= read.score <= 1, "a score from 0 to 1", read.score)
    ids = [r.id for r in read.result]
    need(all(ids) and len(set(ids)) == len(ids), "regions with an id each", ids)
    known = {STANCE: codebook.stance_ids, CONCERNS: codebook.concern_ids, HOLDER_TYPE: codebook.holder_type_ids}
    for part in read.result:
        need(_TYPES.get(part.from_name) == part.type, f"controls {', '.join(_TYPES)}", f"{part.from_name} ({part.type})")
        need(part.to_name == "text", "to_name 'text'", part.to_name)
        need([r.from_name for r in read.result].count(part.from_name) == 1, "one result a control", part.from_name)
        value = part.value
        if part.from_name == HOLDER:
            need(value.labels == [HOLDER], f"label {HOLDER!r} on the holder", value.labels)
            start, end = value.start, value.end
            fits = start is not None and end is not None and 0 <= start < end <= len(text)
            need(fits and text[start:end] == value.text, f"the statement's words from {start} to {end}", value.text)
            continue
        choices: Sequence[str] = value.choices or ()
        need(len(choices) == 1 or part.from_name == CONCERNS, f"one {part.from_name}", choices)
        need(bool(choices) and len(set(choices)) == len(choices), f"each answer to {part.from_name} once", choices)
        for choice in choices:
            need(choice in known[part.from_name], f"{part.from_name} of {', '.join(known[part.from_name])}", choice)
    need(any(r.from_name == STANCE for r in read.result), "a stance", [r.from_name for r in read.result])


def _convert(value: Any, kind: type[_Kind], where: str) -> _Kind:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise RecordError(f"{where}: not in Label Studio's form, {error}; it was not sent, make it again") from error
