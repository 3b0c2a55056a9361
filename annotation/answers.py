"""What a coder's answer in Label Studio means: answers to tasks as annotations, or as refusals with a reason."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from annotation.codebook import Codebook
from annotation.interface import CAUSE, COMMENT, CONCERNS, HOLDER, HOLDER_TYPE, HOLDER_WORDS, STANCE, UNJUDGED, VOICE
from corpus.errors import CodebookError
from corpus.identity import statement_id
from corpus.records import VOICES, Annotation

State = Literal["skipped", "cannot judge", "invalid", "edited", "superseded", "stranger", "draft", "deleted"]
"""Why there is no annotation. The last two are states of the server, told by ``annotation.exchange``: an answer that was
begun and not submitted, and one that was pulled earlier and is gone."""

_TYPES = {
    STANCE: "choices", CONCERNS: "choices", HOLDER_TYPE: "choices", UNJUDGED: "choices",
    VOICE: "choices", HOLDER: "labels", HOLDER_WORDS: "textarea", COMMENT: "textarea",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refusal:
    """One answer, or one task, that gave no annotation, and why.

    ``statement`` and ``annotator`` are None where the server's data does not say; ``source`` is Label Studio's
    own number.
    """

    state: State
    reason: str
    source: str
    statement: str | None = None
    annotator: str | None = None


@dataclass(frozen=True, slots=True)
class Readings:
    """The annotations found in some tasks, and every answer that gave none."""

    annotations: tuple[Annotation, ...]
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """One answer with what it gave. ``number`` is None where the server's data has none; ``raw`` is the answer's JSON."""

    task: int | None
    number: int | None
    outcome: Annotation | Refusal
    raw: Mapping[str, Any]


class _Value(msgspec.Struct):
    choices: list[str] | None = None
    labels: list[str] | None = None
    text: str | list[str] | None = None
    start: int | None = None
    end: int | None = None


class _Result(msgspec.Struct):
    from_name: str
    type: str
    value: _Value
    origin: str | None = None


class _Answer(msgspec.Struct):
    id: int
    result: list[_Result]
    completed_by: int | None = None
    updated_by: int | None = None
    was_cancelled: bool = False
    lead_time: float | None = None
    parent_prediction: int | None = None
    updated_at: datetime | None = None


# What keyboards have for what print has: one character for one, so that places stay.
_PLAIN = str.maketrans("’‘ʼ“”„‐‑–—", "'''\"\"\"----")


class _InvalidAnswerError(ValueError):
    """An answer that cannot be read; caught in this module and turned into a refusal."""


def utf16_to_index(text: str, units: int) -> int:
    """Turn an offset in UTF-16 code units, as JavaScript counts, into one in code points, as Python counts.

    Raises:
        ValueError: when the offset lies outside the text or inside a character.
    """
    encoded = text.encode("utf-16-le")
    if not 0 <= 2 * units <= len(encoded):
        raise ValueError(f"offset {units} lies outside a text of {len(encoded) // 2} UTF-16 units")
    try:
        return len(encoded[: 2 * units].decode("utf-16-le"))
    except UnicodeDecodeError as error:
        raise ValueError(f"offset {units} lies inside a character of two UTF-16 units") from error


def index_to_utf16(text: str, index: int) -> int:
    """Turn an offset in code points into one in UTF-16 code units.

    Raises:
        ValueError: when the offset lies outside the text.
    """
    if not 0 <= index <= len(text):
        raise ValueError(f"offset {index} lies outside a text of {len(text)} characters")
    return len(text[:index].encode("utf-16-le")) // 2


def holder_span(text: str, answer: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return where in ``text`` an answer puts the holder, in code points; None where it names nobody.

    A mark in the text wins over words that were typed. Typed words count where they first stand in the text as whole words,
    else where they first stand at all; how they are spaced does not matter.

    Label Studio 1.23 counts code points in a text, older releases and scripts that build answers count UTF-16 units. The
    words stored with the mark tell which it was. Surrounding white space, which a mouse easily catches, is left out.

    Raises:
        ValueError: when the mark does not fit the text, there are several, or the words are not in the text.
    """
    return _span(text, [_convert(item, _Result) for item in answer.get("result") or ()])


def to_annotation(
    task: Mapping[str, Any],
    answer: Mapping[str, Any],
    codebook: Codebook,
    *,
    predictions_shown: bool = False,
    adjudication: bool = False,
    names: Mapping[int, str] | None = None,
) -> Annotation | Refusal:
    """Turn one answer ("annotation" in Label Studio's JSON) to one task into a record, or say why it gives none.

    Nothing of it is trusted: Label Studio stores answers unchecked, so labels, offsets and controls are compared with
    the codebook and the task's text. An answer that somebody else than its coder has changed is nobody's reading.

    Args:
        task: The task as Label Studio lists it.
        answer: One of its answers.
        codebook: The codebook that the project was made with.
        predictions_shown: Whether the project shows a model's suggestions.
        adjudication: Whether the form also asks why coders differed.
        names: Who counts, by Label Studio's number of the user; everybody else is a stranger. None lets everybody count
            under the name ``label-studio-NUMBER``.
    """
    source = f"annotation {answer.get('id')} of task {task.get('id')}"
    statement = annotator = None
    try:
        statement, text = shown(task)
        read = _convert(answer, _Answer)
        if read.completed_by is None:
            raise _InvalidAnswerError("it has no coder")
        annotator = f"label-studio-{read.completed_by}"
        if names is not None:
            if read.completed_by not in names:
                return Refusal("stranger", f"user {read.completed_by} is not who codes here", source, statement, annotator)
            annotator = names[read.completed_by]
        if read.updated_by is not None and read.updated_by != read.completed_by:
            return Refusal("edited", f"user {read.updated_by} has changed it", source, statement, annotator)
        if read.was_cancelled:
            return Refusal("skipped", "the coder has skipped it", source, statement, annotator)
        types = _TYPES | {CAUSE: "choices"} if adjudication else _TYPES
        foreign = sorted({r.from_name for r in read.result if types.get(r.from_name) != r.type})
        if foreign:
            raise _InvalidAnswerError(f"it answers what this form does not ask: {', '.join(foreign)}")
        comment = _comment(read.result)
        if _chosen(read.result, UNJUDGED):
            return Refusal("cannot judge", comment or "no comment", source, statement, annotator)
        return _annotation(
            read, statement, text, annotator, codebook, blind=not _suggested(task, read, predictions_shown), comment=comment
        )
    except (ValueError, CodebookError) as error:
        return Refusal("invalid", _storable(str(error)), source, statement, annotator)


def _annotation(
    read: _Answer, statement: str, text: str, annotator: str, codebook: Codebook, *, blind: bool, comment: str | None
) -> Annotation:
    """Return what a submitted answer says, after checking it against codebook and text."""
    stances, types, voices = (_chosen(read.result, control) for control in (STANCE, HOLDER_TYPE, VOICE))
    if len(stances) != 1 or len(types) > 1:
        raise _InvalidAnswerError(
            f"expected one stance and at most one kind of holder, found {len(stances)} and {len(types)}"
        )
    if len(voices) > 1 or not set(voices) <= set(VOICES):
        raise _InvalidAnswerError(f"expected at most one voice of {', '.join(VOICES)}, found {', '.join(voices)}")
    chosen = _chosen(read.result, CONCERNS)
    kind = types[0] if types else None
    codebook.check(stance=stances[0], concerns=chosen, holder_type=kind, where="its answers")
    span = _span(text, read.result)
    return Annotation(
        statement=statement,
        annotator=annotator,
        codebook_version=codebook.id,
        stance=stances[0],
        concerns=tuple(c for c in codebook.concern_ids if c in chosen),
        holder=text[slice(*span)] if span else None,
        holder_start=span[0] if span else None,
        holder_end=span[1] if span else None,
        holder_type=kind,
        voice=voices[0] if voices else None,
        blind=blind,
        seconds=read.lead_time,
        comment=comment,
    )


def read_answers(
    tasks: Iterable[Mapping[str, Any]],
    codebook: Codebook,
    *,
    predictions_shown: bool = False,
    adjudication: bool = False,
    names: Mapping[int, str] | None = None,
) -> list[Read]:
    """Read all answers to some tasks, in their order; the arguments are those of :func:`to_annotation`.

    Of several by one coder to one statement, also in two tasks, the newest counts, whatever it says. An older answer never
    stands in for a newer one that is skipped or invalid: the coder has withdrawn it.
    """
    reads: list[Read] = []
    rivals: dict[tuple[str, str], list[tuple[tuple[float, int], int]]] = {}  # when and which number, and where in the list
    for task in tasks:
        for answer in task.get("annotations") or ():
            outcome = to_annotation(
                task, answer, codebook, predictions_shown=predictions_shown, adjudication=adjudication, names=names
            )
            stranger = isinstance(outcome, Refusal) and outcome.state == "stranger"
            if outcome.statement is not None and outcome.annotator is not None and not stranger:
                key = (outcome.statement, outcome.annotator)
                rivals.setdefault(key, []).append((_age(answer), len(reads)))
            reads.append(Read(_number(task), _number(answer), outcome, answer))
    for key, some in rivals.items():
        (_, newest), _ = max(some)
        for (_, number), place in some:
            if number != newest:
                old = reads[place]
                reason = f"annotation {newest} by the same coder is newer"
                refusal = Refusal("superseded", reason, f"annotation {number} of task {old.task}", *key)
                reads[place] = Read(old.task, old.number, refusal, old.raw)
    return reads


def read_tasks(tasks: Iterable[Mapping[str, Any]], codebook: Codebook, *, predictions_shown: bool = False) -> Readings:
    """Read all answers to some tasks, as :func:`read_answers` does, apart by whether they gave an annotation."""
    ours: list[Mapping[str, Any]] = []
    refusals: list[Refusal] = []
    for task in tasks:
        try:
            shown(task)
            ours.append(task)
        except ValueError as error:
            refusals.append(Refusal("invalid", str(error), f"task {task.get('id')}"))
    outcomes = [read.outcome for read in read_answers(ours, codebook, predictions_shown=predictions_shown)]
    return Readings(
        tuple(sorted((o for o in outcomes if isinstance(o, Annotation)), key=lambda a: (a.statement, a.annotator))),
        (*refusals, *(o for o in outcomes if isinstance(o, Refusal))),
    )


def tally(refusals: Iterable[Refusal]) -> dict[State, int]:
    """Count refusals by state, in alphabetical order."""
    return dict(sorted(Counter(r.state for r in refusals).items()))


def _convert(value: Any, kind: Any) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _InvalidAnswerError(f"it is not an answer of Label Studio: {error}") from error


def _number(value: Mapping[str, Any]) -> int | None:
    """Return Label Studio's own number of a task or an answer."""
    number = value.get("id")
    return number if type(number) is int else None


def _age(answer: Mapping[str, Any]) -> tuple[float, int]:
    """Return when an answer was last changed, in seconds, and its number, which settles ties."""
    read = _convert(answer, _Answer)
    return (read.updated_at.timestamp() if read.updated_at else 0.0, read.id)


def shown(task: Mapping[str, Any]) -> tuple[str, str]:
    """Return a task's statement id and text, after checking that the one fits the other.

    Raises:
        ValueError: when the task is none of ours, or its text has another length than its statement.
    """
    data = task.get("data")
    uid, text = (data.get("uid"), data.get("text")) if isinstance(data, Mapping) else (None, None)
    if not isinstance(uid, str) or not isinstance(text, str):
        raise _InvalidAnswerError("the task was not pushed by treaty-stance: its data has no uid and text")
    document, _, offsets = uid.rpartition(":")
    start, _, _ = offsets.partition("-")
    if not start.isdecimal() or uid != statement_id(document, int(start), int(start) + len(text)):
        raise _InvalidAnswerError(
            f"the task's text has {len(text)} characters, which its uid {uid} does not say; push it again"
        )
    return uid, text


def _chosen(results: Sequence[_Result], control: str) -> tuple[str, ...]:
    return tuple(choice for r in results if r.from_name == control for choice in r.value.choices or ())


def _comment(results: Sequence[_Result]) -> str | None:
    return "\n".join(_written(results, COMMENT)).strip() or None


def _written(results: Sequence[_Result], control: str) -> list[str]:
    parts: list[str] = []
    for result in results:
        if result.from_name == control and result.value.text:
            parts.extend([result.value.text] if isinstance(result.value.text, str) else result.value.text)
    return [_storable(part) for part in parts]


def _storable(text: str) -> str:
    """Put a question mark for half a character of two UTF-16 units, which JSON may hold and UTF-8 may not."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _span(text: str, results: Sequence[_Result]) -> tuple[int, int] | None:
    typed = [line for line in _written(results, HOLDER_WORDS) if line.strip()]
    # Words that a coder types correct what a model had marked; beside a coder's own mark they are a leftover.
    regions = [
        r.value for r in results if r.from_name == HOLDER and not (typed and (r.origin or "").startswith("prediction"))
    ]
    if not regions:
        return _typed(text, typed)
    if len(regions) > 1:
        raise _InvalidAnswerError(f"it marks {len(regions)} holders, expected one at most")
    region = regions[0]
    if region.labels != [HOLDER] or region.start is None or region.end is None:
        raise _InvalidAnswerError(
            f"its mark has labels {region.labels} from {region.start} to {region.end}, expected one holder"
        )
    marked = region.text if isinstance(region.text, str) else ""
    if not marked.strip():
        raise _InvalidAnswerError("it marks no word as holder")
    start = _fitting(text, region.start, region.end, marked)
    return start + len(marked) - len(marked.lstrip()), start + len(marked.rstrip())


def _typed(text: str, lines: Sequence[str]) -> tuple[int, int] | None:
    """Return where the words that a coder has typed first stand in the text."""
    if not lines:
        return None
    if len(lines) > 1:
        raise _InvalidAnswerError(f"it names {len(lines)} holders, expected one at most")
    words = unicodedata.normalize("NFC", lines[0]).split()
    exact, plain = (r"\s+".join(map(re.escape, parts)) for parts in (words, [w.translate(_PLAIN) for w in words]))
    # "Iran" is looked for outside "Iranian" first, then as a keyboard without curly quotes gives it.
    found = (
        re.search(rf"(?<!\w){exact}(?!\w)", text)
        or re.search(rf"(?<!\w){plain}(?!\w)", text.translate(_PLAIN), re.IGNORECASE)
        or re.search(exact, text)
    )
    if found is None:
        raise _InvalidAnswerError(f"it names the holder {' '.join(words)!r}, which the statement does not have")
    return found.span()


def _fitting(text: str, start: int, end: int, marked: str) -> int:
    """Return the index at which the marked words stand, reading the offsets as code points or else as UTF-16 units."""
    if start >= 0 and end <= len(text) and text[start:end] == marked:
        return start
    try:
        index = utf16_to_index(text, start)
        if text[index : utf16_to_index(text, end)] == marked:
            return index
    except ValueError:
        pass
    raise _InvalidAnswerError(f"its mark reads {marked!r}, which the statement does not have from {start} to {end}")


def _suggested(task: Mapping[str, Any], answer: _Answer, predictions_shown: bool) -> bool:
    """Whether a model's suggestion may have been on the screen; doubt counts against blindness."""
    copied = answer.parent_prediction is not None or any("prediction" in (r.origin or "") for r in answer.result)
    return copied or (predictions_shown and bool(task.get("total_predictions") or task.get("predictions")))
