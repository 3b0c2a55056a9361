"""What a coder sees in Label Studio: the codebook as a form and as instructions, a statement as a task.

Plain data in, plain data out; ``annotation.answers`` reads what comes back, ``annotation.label_studio`` talks to the
server.
"""

from __future__ import annotations

import unicodedata
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from annotation.codebook import Codebook
from corpus.errors import CodebookError, RecordError
from corpus.records import Document, Statement

STANCE, CONCERNS, HOLDER, HOLDER_TYPE, UNJUDGED, COMMENT = (
    "stance", "concerns", "holder", "holder_type", "cannot_judge", "comment",
)  # fmt: skip
# Keys for what the codebook gives none: first those a right hand reaches without moving, then with shift.
_POOL = [prefix + key for prefix in ("", "shift+") for key in "hyiopjklbnm567890123qwertasdfgzxcv4"]
# Label Studio 1.23 listens to these while a text is coded: unselect, undo, redo, duplicate, hide, relation, lock, note.
_RESERVED = frozenset(
    frozenset(key.split("+"))
    for key in ["u", "ctrl+z", "ctrl+shift+z", "ctrl+d", "ctrl+h", "alt+h", "alt+r", "alt+l", "alt+m", "ctrl+shift+a"]
)
_STYLE = """
.htx-text, .lsf-richtext__line { white-space: pre-wrap; }
.source, .context, .statement { max-width: 60em; }
.published, .context { color: #6b6b6b; }
.context { padding: 2px 16px; }
.context .lsf-richtext__line { font-size: 14px; line-height: 1.5; }
.statement { padding: 10px 12px; margin: 6px 0; border-left: 4px solid #3b6fd6; background: #f5f8fe; }
.statement .lsf-richtext__line { font-size: 18px; line-height: 1.6; }
.question { margin-top: 10px; }
.concerns .lsf-choices { column-width: 220px; column-gap: 24px; }
.concerns .lsf-choice { width: 100%; break-inside: avoid; }
"""


def hotkeys(codebook: Codebook) -> dict[tuple[str, str], str]:
    """Return the key of every answer, by control and id: the codebook's own, and free ones for the rest.

    Raises:
        CodebookError: when a label's key is one that Label Studio keeps for itself, or when no key is left.
    """
    given = {(STANCE, s.id): s.hotkey for s in codebook.stances}
    given |= {(CONCERNS, c.id): c.hotkey for c in codebook.concerns}
    given |= {(HOLDER, HOLDER): None, (UNJUDGED, UNJUDGED): None}
    given |= {(HOLDER_TYPE, t): None for t in codebook.holder_type_ids}
    taken: dict[frozenset[str], str] = {}
    for (control, label), key in given.items():
        if key is None:
            continue
        owner = "Label Studio itself" if _combination(key) in _RESERVED else taken.get(_combination(key))
        if owner is not None:
            raise CodebookError(
                f"codebook {codebook.name}: hotkey {key!r} of {control} {label!r} belongs to {owner}; give it another key"
            )
        taken[_combination(key)] = f"{control} {label!r}"
    free = (key for key in _POOL if _combination(key) not in taken)
    keys: dict[tuple[str, str], str] = {}
    for answer, key in given.items():
        found = key if key is not None else next(free, None)
        if found is None:
            raise CodebookError(
                f"codebook {codebook.name}: {len(given)} answers need more keys than there are; use fewer labels"
            )
        keys[answer] = found
    return keys


def labeling_config(codebook: Codebook, *, show_publisher: bool = False) -> str:
    """Return Label Studio's labeling config for a codebook: the form that coders see.

    Answers are stored under the codebook's ids (``alias``) and read under its names, so wording can change without
    touching data. The codebook's id stands in the root element, where ``annotation.label_studio`` looks for it.

    Raises:
        CodebookError: when keys clash, or two answers to one question would read the same.
    """
    keys = hotkeys(codebook)
    root = ET.Element("View", codebook=codebook.id)
    ET.SubElement(root, "Style").text = _STYLE
    source = ET.SubElement(root, "View", className="source")
    ET.SubElement(source, "Header", value="$title", size="5")
    dated = ET.SubElement(source, "View", className="published")
    ET.SubElement(dated, "Header", value="$publisher · $published" if show_publisher else "$published", size="6")
    _text(root, "before", "context", selectionEnabled="false")
    labels = ET.SubElement(
        ET.SubElement(root, "View", className="question"), "Labels", name=HOLDER, toName="text", showInline="true"
    )
    ET.SubElement(
        labels, "Label", value="Holder", alias=HOLDER, hotkey=keys[HOLDER, HOLDER],
        maxUsages="1", background="#e08a00", hint=codebook.holder,
    )  # fmt: skip
    _text(root, "text", "statement", granularity="word")
    _text(root, "after", "context", selectionEnabled="false")

    # A hidden question is not required, so "cannot judge" frees the coder from the rest. What was answered before it was
    # hidden arrives all the same; annotation.answers passes over it.
    rest = ET.SubElement(
        root, "View", visibleWhen="choice-unselected", whenTagName=UNJUDGED, whenChoiceValue=UNJUDGED,
    )  # fmt: skip
    _choices(
        rest, STANCE, "Stance of the holder", [(s.id, s.name, s.definition) for s in codebook.stances], keys,
        choice="single-radio", required="true", requiredMessage="Choose a stance, or say that you cannot judge.",
    )  # fmt: skip
    _choices(
        rest, CONCERNS, "Concerns raised, any number", [(c.id, c.name, c.definition) for c in codebook.concerns], keys,
        choice="multiple",
    )  # fmt: skip
    _choices(
        rest, HOLDER_TYPE, "Kind of holder", [(t.id, t.name, t.definition) for t in codebook.holder_types], keys,
        choice="single",
    )  # fmt: skip
    _choices(
        root, UNJUDGED, "", [(UNJUDGED, "I cannot judge this statement", "Say why in the comment.")], keys,
        choice="multiple",
    )  # fmt: skip
    ET.SubElement(
        ET.SubElement(root, "View", className="question"), "TextArea", name=COMMENT, toName="text",
        placeholder="Comment, if there is something to say", rows="1", maxSubmissions="1", editable="true",
    )  # fmt: skip
    return ET.tostring(root, encoding="unicode")


def instructions(codebook: Codebook) -> str:
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

    section("About what", f"{codebook.target.name}. {codebook.target.description}".strip())
    section("What is coded", codebook.unit)
    section("Whose position", codebook.holder)
    section("Stance: exactly one")
    listing(STANCE, ((s.id, s.name, s.definition, s.examples) for s in codebook.stances))
    section("Concerns: any number, or none at all")
    listing(CONCERNS, ((c.id, c.name, c.definition, c.examples) for c in codebook.concerns))
    section("Kind of holder")
    listing(HOLDER_TYPE, ((t.id, t.name, t.definition, ()) for t in codebook.holder_types))
    if codebook.rules:
        section("Rules, in this order")
        for number, rule in enumerate(codebook.rules, start=1):
            ET.SubElement(root, "p").text = f"{number}. {rule}"
    section(
        "Keys",
        f"Press {keys[HOLDER, HOLDER]} and mark the holder's name in the statement; press {keys[UNJUDGED, UNJUDGED]} "
        "if you cannot judge. Ctrl+Enter submits. These are the keys as delivered; your account may have its own.",
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


def _combination(key: str) -> frozenset[str]:
    """A key with its modifiers, in whatever order they are written."""
    return frozenset(key.split("+"))


def _text(parent: ET.Element, name: str, look: str, **attributes: str) -> None:
    box = ET.SubElement(parent, "View", className=look)
    # valueType: a text that looks like an address must not be fetched.
    ET.SubElement(box, "Text", {"name": name, "value": f"${name}", "valueType": "text", **attributes})


def _choices(
    parent: ET.Element,
    name: str,
    title: str,
    labels: Sequence[tuple[str, str, str]],
    keys: Mapping[tuple[str, str], str],
    **attributes: str,
) -> None:
    for label, shown, _ in labels:
        if [n for _, n, _ in labels].count(shown) > 1:
            raise CodebookError(f"{name} {label!r}: another label reads {shown!r} as well; give each its own name")
    box = ET.SubElement(parent, "View", className=f"question {name}")
    if title:
        ET.SubElement(box, "Header", value=title, size="6")
    group = ET.SubElement(box, "Choices", {"name": name, "toName": "text", "showInline": "true", **attributes})
    for label, shown, hint in labels:
        ET.SubElement(group, "Choice", value=shown, alias=label, hotkey=keys[name, label], hint=hint)
