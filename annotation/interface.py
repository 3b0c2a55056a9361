"""What a coder sees in Label Studio: the codebook as a form and as instructions, a statement as a task.

Plain data in, plain data out; ``annotation.answers`` reads what comes back, ``annotation.exchange`` talks to the server.
"""

from __future__ import annotations

import string
import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotation.campaign import Item
from annotation.codebook import Codebook
from annotation.controls import (
    CAUSE,
    CAUSE_ANSWERS,
    CAUSES,
    COMMENT,
    CONCERNS,
    HOLDER,
    HOLDER_TYPE,
    HOLDER_WORDS,
    STANCE,
    UNJUDGED,
    VOICE,
    VOICE_ANSWERS,
    Answers,
    hotkeys,
)
from annotation.suggestions import check_prediction, prediction
from corpus.errors import CodebookError, RecordError
from corpus.records import Annotation, Document, Statement

__all__ = [
    "CAUSE", "CAUSES", "COMMENT", "CONCERNS", "HOLDER", "HOLDER_TYPE", "HOLDER_WORDS", "STANCE", "UNJUDGED", "VOICE",
    "adjudication_task", "cause_of", "check_prediction", "hotkeys", "instructions", "labeling_config", "prediction", "task",
]  # fmt: skip

# Label Studio has a light and a dark look, so colours are shades over either.
_STYLE = """
.htx-text, .lsf-richtext__line { white-space: pre-wrap; }
.source, .context, .statement, .readings { max-width: 64em; }
.published, .context, .group h4 { opacity: 0.7; }
.context { padding: 0 16px; }
.context .lsf-richtext__line { font-size: 14px; line-height: 1.5; }
.statement { padding: 8px 12px; margin: 4px 0; border-left: 4px solid #3b6fd6; background: rgba(59, 111, 214, 0.08); }
.statement .lsf-richtext__line { font-size: 18px; line-height: 1.5; }
.question { display: grid; grid-template-columns: 8.5em 1fr; align-items: baseline; padding: 5px 0; }
.question + .question { border-top: 1px solid rgba(128, 128, 128, 0.2); }
.questions { margin-top: 8px; }
.answers { display: flex; flex-wrap: wrap; align-items: center; column-gap: 12px; }
.answers > .lsf-choices { flex: 1; }
.field { flex: 1; max-width: 34em; }
.field .lsf-text-area, .field .ant-form-item, .field .lsf-row { width: 100%; margin: 0 !important; }
.field .lsf-text-area div { margin: 0 !important; }
.answers .lsf-labels { margin: 0; }
.answers .lsf-choices { margin: 0; display: flex; flex-wrap: wrap; gap: 2px 18px; }
.answers .lsf-choice { margin: 0; max-width: none; }
.answers .lsf-choice__checkbox, .answers .lsf-choice__checkbox span { line-height: 1.3; }
.answers .lsf-choice__item { min-height: 26px; }
.concerns .lsf-choices { display: grid; grid-template-columns: repeat(auto-fill, minmax(13.5em, 1fr)); }
.jump { width: 0; margin-left: -12px; overflow: hidden; }
.jump:focus-within { width: 13em; margin: 0; }
.notice { padding: 4px 12px; background: rgba(224, 138, 0, 0.2); }
.readings { margin-top: 8px; }
.readings th, .readings td { padding: 1px 16px 1px 0; text-align: left; vertical-align: top; }
.readings th, .readings td { font-size: 14px; line-height: 1.4; font-weight: normal; }
.readings th { white-space: nowrap; }
.readings .differs { background: rgba(224, 138, 0, 0.15); }
.readings tr:first-child th, .readings .differs td { font-weight: bold; }
"""


def labeling_config(
    codebook: Codebook, *, show_publisher: bool = False, assisted: bool = False, adjudication: bool = False
) -> str:
    """Return Label Studio's labeling config for a codebook: the form that coders see.

    Answers are stored under the codebook's ids (``alias``) and read under its names, so wording can change without
    touching data. The codebook's id stands in the root element, where ``annotation.exchange`` looks for it, with
    ``assisted`` and ``adjudication`` where they apply. An adjudicator sees the coders' readings and is asked for the cause.

    Raises:
        CodebookError: when keys clash, or two answers to one question would read the same.
    """
    keys = hotkeys(codebook)
    flags = {name: "true" for name, on in (("assisted", assisted), ("adjudication", adjudication)) if on}
    root = ET.Element("View", {"codebook": codebook.id, "className": "form", **flags})
    ET.SubElement(root, "Style").text = _STYLE
    source = _box(root, "source")
    _header(source, "$title", 16)
    _header(_box(source, "published"), "$publisher · $published" if show_publisher else "$published", 13)
    _text(root, "before", "context", selectionEnabled="false")
    _text(root, "text", "statement", granularity="word")
    _text(root, "after", "context", selectionEnabled="false")
    if adjudication:
        ET.SubElement(
            _box(root, "readings"), "HyperText", name="readings", value="$readings", inline="true", selectionEnabled="false"
        )
    if assisted:
        _header(_box(root, "notice"), "A model has filled in these answers. Check every one of them.", 14)

    # A hidden question is not required, so "cannot judge" frees the coder from the rest. What was answered before it was
    # hidden arrives all the same; annotation.answers passes over it.
    rest = ET.SubElement(
        root, "View", className="questions", visibleWhen="choice-unselected", whenTagName=UNJUDGED, whenChoiceValue=UNJUDGED,
    )  # fmt: skip
    holder = _question(rest, HOLDER, "Holder")
    labels = ET.SubElement(holder, "Labels", name=HOLDER, toName="text", showInline="true")
    ET.SubElement(
        labels, "Label", value="Holder", alias=HOLDER, hotkey=keys[HOLDER, HOLDER],
        maxUsages="1", background="#e08a00", hint=codebook.holder,
    )  # fmt: skip
    _field(holder, HOLDER_WORDS, "Mark the name in the text, or type it as it stands there", keys)
    _choices(_question(rest, HOLDER_TYPE, "Kind of holder"), HOLDER_TYPE, _holder_types(codebook), keys, choice="single")
    _choices(_question(rest, VOICE, "Whose words"), VOICE, VOICE_ANSWERS, keys, choice="single")
    _choices(
        _question(rest, STANCE, "Stance"), STANCE,
        [(s.id, s.name, s.definition) for s in codebook.stances], keys,
        choice="single-radio", required="true", requiredMessage="Choose a stance, or say that you cannot judge.",
    )  # fmt: skip
    concerns = _question(rest, CONCERNS, "Concerns raised")
    _choices(
        concerns, CONCERNS, [(c.id, c.name, c.definition) for c in codebook.concerns], keys,
        groups=[c.group for c in codebook.concerns], choice="multiple",
    )  # fmt: skip
    if adjudication:
        _choices(
            _question(rest, CAUSE, "Why they differ"), CAUSE, CAUSE_ANSWERS, keys,
            choice="single-radio", required="true", requiredMessage="Say why the readings differ.",
        )  # fmt: skip
    unjudged = [(UNJUDGED, "I cannot judge this statement", "Say why in the comment.")]
    _choices(_question(root, UNJUDGED, "Or"), UNJUDGED, unjudged, keys, choice="multiple")
    _field(_question(root, COMMENT, "Comment"), COMMENT, "If there is something to say", keys)
    return ET.tostring(root, encoding="unicode")


def instructions(codebook: Codebook, *, adjudication: bool = False) -> str:
    """Return the coder's instructions as HTML: unit, holder, stances, concerns, kinds of holder, rules, keys."""
    keys = hotkeys(codebook)
    root = ET.Element("div")

    def section(title: str, text: str = "") -> None:
        if len(root):
            ET.SubElement(root, "br")
        ET.SubElement(root, "h3").text = title
        if text:
            ET.SubElement(root, "p").text = text

    # Paragraphs, because Label Studio's page takes the marks and margins off lists, and style attributes out.
    def listing(control: str, labels: Iterable[tuple[str, str, str, tuple[str, ...]]]) -> None:
        for label, name, definition, examples in labels:
            item = ET.SubElement(root, "p")
            bold = ET.SubElement(item, "b")
            bold.text = f"{name} [{keys[control, label]}]"
            bold.tail = f" {definition}"
            for example in examples:
                ET.SubElement(item, "i").text = f" “{example}”"

    if adjudication:
        section(
            "What you decide",
            "Coders have read this statement differently; their readings stand below it as A, B and so on, in an order "
            "that says nothing. Give the reading that the codebook asks for, which may be none of theirs, and say why they "
            "differ.",
        )
        listing(CAUSE, ((*cause, ()) for cause in CAUSE_ANSWERS))
    section("About what", f"{codebook.target.name}. {codebook.target.description}".strip())
    section("What is coded", codebook.unit)
    section("Whose position", codebook.holder)
    section("Stance: exactly one")
    listing(STANCE, ((s.id, s.name, s.definition, s.examples) for s in codebook.stances))
    section("Concerns: any number, or none at all")
    listing(CONCERNS, ((c.id, c.name, c.definition, c.examples) for c in codebook.concerns))
    section("Kind of holder")
    listing(HOLDER_TYPE, ((*kind, ()) for kind in _holder_types(codebook)))
    section("Whose words")
    listing(VOICE, ((*voice, ()) for voice in VOICE_ANSWERS))
    if codebook.rules:
        section("Rules, in this order")
        for number, rule in enumerate(codebook.rules, start=1):
            ET.SubElement(root, "p").text = f"{number}. {rule}"
    section(
        "Keys",
        f"The holder without the mouse: {keys[HOLDER_WORDS, HOLDER_WORDS]}, Tab, type the name as it stands in the "
        f"statement, Enter. With the mouse: {keys[HOLDER, HOLDER]} and drag over the name. Comment: "
        f"{keys[COMMENT, COMMENT]}, Tab, type, Enter. Press {keys[UNJUDGED, UNJUDGED]} if you cannot judge. "
        "Ctrl+Enter submits, unless your account has another key for that.",
    )
    return ET.tostring(root, encoding="unicode", method="html")


def task(statement: Statement, document: Document, *, show_publisher: bool = False) -> dict[str, Any]:
    """Return the task that shows a statement, with its title, date and context; ``uid`` is the statement's id.

    The publisher is put in only where coders are to see it: Label Studio shows every field in its list of tasks.

    Raises:
        RecordError: when the statement is not a slice of the document, or is not in Unicode NFC with line feeds: offsets
            of what a coder marks would not fit the stored text.
    """
    if statement.document != document.id or document.text[statement.start : statement.end] != statement.text:
        raise RecordError(
            f"statement {statement.id}: expected a slice of document {document.id}, found other text; segment it again"
        )
    if not unicodedata.is_normalized("NFC", statement.text) or "\r" in statement.text:
        raise RecordError(f"statement {statement.id}: expected Unicode NFC with \\n line ends; read the document again")
    if not statement.text.strip():
        raise RecordError(f"statement {statement.id}: expected words, found white space only; leave the statement out")
    data = {
        "uid": statement.id,
        "text": statement.text,
        "title": document.title or "Untitled",
        "published": document.published or "undated",
        "before": statement.before.strip(),
        "after": statement.after.strip(),
    }
    if show_publisher:
        data["publisher"] = document.publisher or "unknown publisher"
    return {"data": data}


def adjudication_task(item: Item, readings: Sequence[Annotation], codebook: Codebook) -> dict[str, Any]:
    """Return the task that shows a statement with its readings, named A, B, … in the order given, and nobody's name.

    Raises:
        RecordError: when a reading is of another statement, when there are none or more than the alphabet has letters, or
            as :func:`task` does.
        CodebookError: when a reading has a label that the codebook does not have.
    """
    if not 0 < len(readings) <= len(string.ascii_uppercase):
        raise RecordError(f"statement {item.statement.id}: expected 1 to 26 readings to settle, found {len(readings)}")
    for reading in readings:
        if reading.statement != item.statement.id:
            raise RecordError(
                f"statement {item.statement.id}: found a reading of {reading.statement} among its own; give each its own"
            )
        codebook.check(
            stance=reading.stance, concerns=reading.concerns, holder_type=reading.holder_type,
            where=f"a reading of statement {item.statement.id}",
        )  # fmt: skip
    stances = {s.id: s.name for s in codebook.stances}
    concerns = {c.id: c.name for c in codebook.concerns}
    types = {t.id: t.name for t in codebook.holder_types}
    voices = {label: name for label, name, _ in VOICE_ANSWERS}
    rows = {
        "Stance": [stances[r.stance] for r in readings],
        "Concerns": [", ".join(concerns[c] for c in codebook.concern_ids if c in r.concerns) or "none" for r in readings],
        "Holder": [_named(r, item.statement.text) for r in readings],
        "Kind of holder": [types[r.holder_type] if r.holder_type else "not said" for r in readings],
        "Whose words": [voices.get(r.voice or "", "not said") for r in readings],
        "Comment": [r.comment or "" for r in readings],
    }
    table = ET.Element("table")
    head = ET.SubElement(table, "tr")
    for cell in ("", *string.ascii_uppercase[: len(readings)]):
        ET.SubElement(head, "th").text = cell
    for title, cells in rows.items():
        if not any(cells):
            continue
        differs = title != "Comment" and len(set(cells)) > 1
        row = ET.SubElement(table, "tr", {"class": "differs"} if differs else {})
        ET.SubElement(row, "th").text = title
        for cell in cells:
            ET.SubElement(row, "td").text = cell
    shown = task(item.statement, item.document)
    shown["data"]["readings"] = ET.tostring(table, encoding="unicode", method="html")
    return shown


def cause_of(answer: Mapping[str, Any]) -> str | None:
    """Return the cause that an adjudicator's answer (Label Studio's JSON) gives, None where it gives none that we know."""
    chosen = [
        choice
        for part in answer.get("result") or ()
        if isinstance(part, Mapping) and part.get("from_name") == CAUSE and isinstance(part.get("value"), Mapping)
        for choice in part["value"].get("choices") or ()
    ]
    return chosen[0] if len(chosen) == 1 and chosen[0] in CAUSES else None


def _named(reading: Annotation, text: str) -> str:
    """A reading's holder in words; of a name that stands in the text more than once, which mention is meant."""
    if not reading.holder:
        return "nobody named"
    mention = text[: reading.holder_start or 0].count(reading.holder) + 1
    return f"“{reading.holder}”" + (f" (mention {mention})" if mention > 1 else "")


def _holder_types(codebook: Codebook) -> Answers:
    return [(t.id, t.name, t.definition) for t in codebook.holder_types]


def _box(parent: ET.Element, look: str) -> ET.Element:
    return ET.SubElement(parent, "View", className=look)


def _header(parent: ET.Element, words: str, pixels: int) -> None:
    ET.SubElement(parent, "Header", value=words, size="5", style=f"margin: 0; font-size: {pixels}px; line-height: 1.5")


def _question(parent: ET.Element, name: str, title: str) -> ET.Element:
    """A line of the form: what is asked on the left; what is returned stands to its right."""
    box = _box(parent, f"question {name}")
    _header(box, title, 14)
    return _box(box, "answers")


def _text(parent: ET.Element, name: str, look: str, **attributes: str) -> None:
    # valueType: a text that looks like an address must not be fetched.
    ET.SubElement(_box(parent, look), "Text", {"name": name, "value": f"${name}", "valueType": "text", **attributes})


def _field(parent: ET.Element, name: str, what: str, keys: Mapping[tuple[str, str], str]) -> None:
    """A line to type in, and its key.

    Label Studio gives no text field a key, but gives one to a filter of labels. An invisible filter stands before the field,
    so its key and Tab lead there. It filters nothing: nobody types a thousand characters into it.
    """
    key = keys[name, name]
    ET.SubElement(
        _box(parent, "jump"), "Filter", name=f"jump_{name}", toName=HOLDER, hotkey=key, minlength="1000",
        placeholder="Now press Tab, then type",
    )  # fmt: skip
    ET.SubElement(
        _box(parent, "field"), "TextArea", name=name, toName="text", placeholder=f"{what} [{key}, Tab]", rows="1",
        maxSubmissions="1", editable="true",
    )  # fmt: skip


def _choices(
    parent: ET.Element,
    name: str,
    labels: Answers,
    keys: Mapping[tuple[str, str], str],
    *,
    groups: Sequence[str | None] = (),
    **attributes: str,
) -> None:
    """One question's answers; ``groups`` are the headings under which they stand, if any of them has one."""
    for label, shown, _ in labels:
        if [n for _, n, _ in labels].count(shown) > 1:
            raise CodebookError(f"{name} {label!r}: another label reads {shown!r} as well; give each its own name")
    control = ET.SubElement(parent, "Choices", {"name": name, "toName": "text", "showInline": "true", **attributes})
    boxes: dict[str | None, ET.Element] = {}
    for (label, shown, hint), group in zip(labels, groups or [None] * len(labels), strict=True):
        if group not in boxes:
            boxes[group] = _box(control, "group") if any(groups) else control
            if any(groups):
                _header(boxes[group], group or "Other", 12)
        ET.SubElement(boxes[group], "Choice", value=shown, alias=label, hotkey=keys[name, label], hint=hint)
