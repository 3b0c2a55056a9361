"""Voice: whose words a statement gives, and who holds what it says, where quotation or a verb of saying makes it plain.

Rules over the stored text, for English. A wrong holder is worse than none, so that what is not plain stays None.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from corpus.attribution import Attribution, Reader
from corpus.capitals import Capitals
from corpus.holders import Mention, resolve_holders
from corpus.quotations import Quotations, find_quotations
from corpus.records import Document, Statement
from corpus.segment import Segmentation, paragraphs

__all__ = ["attribute"]

_WORD = re.compile(r"\w+")
_FIRST_PERSON = re.compile(r"\b(?:we|our|ours|us|my)\b", re.IGNORECASE)
_OWN_KINDS = frozenset({"statement", "press release", "submission", "letter", "open letter", "transcript", "speech"})
# Somebody's position is reported, without a name for who holds it.
_REPORTS = re.compile(
    r"\b(?:(?:was|were|is|are|been|being) (?:told|argued|said|claimed|warned|feared|alleged|criticised|criticized)"
    r"|(?:so|as) (?:goes |runs )?the (?:argument|concern|complaint|warning|reasoning|fear|objection)s?"
    r"|in (?:his|her|their|its) (?:view|opinion|eyes|words|reading|judgement|judgment)|by (?:his|her|their|its) own account"
    r"|reportedly|allegedly|critics|supporters|opponents|proponents)\b",
    re.IGNORECASE,
)
_WHOLE = 20_000  # characters up to which a document is searched for names as a whole: most are shorter
_PART = 8_000
_LEAD = 1_500  # characters before a part that are read with it; a pronoun looks back 500
_CONTINUES = re.compile(r"[\"“«„]")


@dataclass(slots=True)
class _Found:
    """What is known of a statement: its attributions, whether most of it is quoted, and what was concluded."""

    attributions: list[Attribution]
    quoted: bool
    voice: str | None = None
    holder: str | None = None


def attribute(segmentation: Segmentation) -> tuple[Statement, ...]:
    """Return the statements with ``voice`` and ``holder``.

    ``voice`` is ``own`` where at least half of a statement's words are quoted, or where a document of a kind that speaks
    for itself (a statement, a submission, a speech) speaks in the first person; ``reported`` where a verb of saying or of
    position, "according to" and the like give somebody's position; ``editorial`` for the rest, the author's own words; None
    where the document is not known to be English.

    ``holder`` is a slice of the document's text: the words that the first attribution of the statement names the holder
    with, or what "she" and "he" plainly stand for, or the name carried over to a quotation that goes on.
    """
    document = segmentation.document
    if re.split(r"[-_]", (document.language or "en").lower())[0] not in ("en", "eng"):
        return segmentation.statements
    text, statements = document.text, segmentation.statements
    quotations = find_quotations(text, paragraphs(text))
    found = _read(document, statements, quotations)
    _own_documents(document, statements, found, quotations)
    names = _pronouns(document, found)
    for i, (statement, f) in enumerate(zip(statements, found, strict=True)):
        _conclude(text, segmentation, statement, f, names)
        if f.quoted and not f.attributions and f.holder is None and i:
            f.holder = _carried(text, statements[i - 1], found[i - 1], statement, quotations)
    return tuple(msgspec.structs.replace(s, voice=f.voice, holder=f.holder) for s, f in zip(statements, found, strict=True))


def _read(document: Document, statements: Sequence[Statement], quotations: Quotations) -> list[_Found]:
    parts = [Capitals(document.text)]
    parts += [Capitals(document.title)] if document.title else []
    parts += [Capitals(document.publisher, headlines=True)] if document.publisher else []
    capitals = frozenset(
        t.folded
        for part in parts
        for run in part.runs
        for t in part.tokens[run.start : run.stop]
        if part.headlines or not t.opens
    )
    reader = Reader(document.text, parts[0].tokens, quotations, capitals)
    return [_Found(reader.read(s.start, s.end), _mostly_quoted(document.text, s, quotations)) for s in statements]


def _mostly_quoted(text: str, statement: Statement, quotations: Quotations) -> bool:
    """Say whether at least half of a statement's words are quoted."""
    words = len(_WORD.findall(statement.text))
    quoted = sum(
        len(_WORD.findall(text[max(q.start, statement.start) : min(q.end, statement.end)]))
        for q in quotations.within(statement.start, statement.end)
    )
    return quoted > 0 and 2 * quoted >= words


def _own_documents(
    document: Document, statements: Sequence[Statement], found: Sequence[_Found], quotations: Quotations
) -> None:
    """Mark the statements of a document that speaks for itself: its kind says so, and it says "we" outside quotations."""
    if re.sub(r"[\s_-]+", " ", (document.kind or "").casefold()) not in _OWN_KINDS:
        return
    spoken = any(
        quotations.at(match.start()) is None
        for s in statements
        for match in _FIRST_PERSON.finditer(document.text, s.start, s.end)
    )
    publisher = document.publisher if document.publisher and document.publisher in document.text else None
    for f in found:
        if spoken and not f.attributions and not f.quoted:
            f.voice, f.holder = "own", publisher


def _pronouns(document: Document, found: Sequence[_Found]) -> dict[int, str]:
    """Return by offset what the holders that are pronouns stand for, where it is plain and stands in the text.

    A long document is read in parts, each with some of the text before it, because the time that resolving takes grows
    with the square of a text's persons.
    """
    text = document.text
    attributions = sorted((a for f in found for a in f.attributions if a.named), key=lambda a: a.start)
    starts = [a.start for a in attributions]
    width = len(text) if len(text) <= _WHOLE else _PART
    names: dict[int, str] = {}
    for start in range(0, len(text), max(width, 1)):
        first = max(0, start - _LEAD)
        here = attributions[bisect_left(starts, first) : bisect_left(starts, start + width)]
        if not any(a.pronoun and a.start >= start for a in here):
            continue
        mentions = [Mention(text[a.start : a.end], a.start - first, "holder") for a in here]
        part = text[first : start + width]
        resolved = resolve_holders(part, mentions, title=document.title, publisher=document.publisher)
        for a, r in zip(here, resolved, strict=True):
            if a.pronoun and a.start >= start and r.how == "pronoun" and r.name in part:
                names[a.start] = r.name
    return names


def _conclude(text: str, segmentation: Segmentation, statement: Statement, f: _Found, names: dict[int, str]) -> None:
    """Set voice and holder of a statement by its own attributions or by its section's lead-in."""
    first = next((a for a in f.attributions if a.named), None)
    if first is not None:
        f.holder = names.get(first.start) if first.pronoun else text[first.start : first.end]
    lead_in = segmentation.attributions.get(statement.id)
    if f.holder is None and lead_in and lead_in in text:
        f.voice, f.holder = "own", lead_in
    elif f.quoted:
        f.voice = "own"
    elif f.attributions:
        told = f.holder or any(not a.pronoun or text[a.start : a.end].casefold() != "it" for a in f.attributions)
        f.voice = "reported" if told else None  # "It recognises that …" may be the treaty's text
    elif f.voice is None:
        f.voice = "reported" if _REPORTS.search(statement.text) else "editorial"


def _carried(text: str, previous: Statement, before: _Found, statement: Statement, quotations: Quotations) -> str | None:
    """Return who goes on speaking in a quotation without an attribution of its own."""
    if before.voice != "own" or before.holder is None or quotations.at(statement.start) is None:
        return None
    between = text[previous.end : statement.start]
    last = quotations.at(previous.end - 1)
    if "\n" not in between:
        return before.holder
    goes_on = last is not None and not last.closed and _CONTINUES.match(text, statement.start)
    return before.holder if goes_on and not between.strip() else None
