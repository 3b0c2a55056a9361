"""Statements without a label, which a network learns as its teachers see them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from corpus.errors import RecordError
from corpus.identity import digest, document_id, statement_id
from corpus.records import Document, GoldLabel, Statement
from models.passage import Passage
from pipelines.inputs import read_rows

if TYPE_CHECKING:
    from models.dataset import Example


@dataclass(frozen=True)
class Unlabelled:
    """Passages of unlabelled statements, each text once, in the files' order.

    ``labelled`` and ``repeated`` count the rows that were left out because a label says what they mean, or an earlier row
    has the same text; ``refused`` those that cannot be read, by reason. ``hash`` is one over the passages.
    """

    passages: tuple[Passage, ...]
    hash: str
    labelled: int
    repeated: int
    refused: Mapping[str, int]

    def facts(self) -> dict[str, object]:
        """Return what a manifest says of them."""
        return {
            "statements": len(self.passages),
            "hash": self.hash,
            "labelled": self.labelled,
            "repeated": self.repeated,
            "refused": dict(self.refused),
        }

    def __str__(self) -> str:
        """Say in a line what was read and what was left out."""
        left = [f"{n} rows refused, {reason}" for reason, n in self.refused.items()]
        left += [f"{self.labelled} left out that have a label"] if self.labelled else []
        left += [f"{self.repeated} repetitions left out"] if self.repeated else []
        return "; ".join([f"{len(self.passages)} unlabelled statements to learn from as the teacher sees them", *left])


def read_unlabelled(paths: Sequence[Path], labelled: Collection[str]) -> Unlabelled:
    """Read unlabelled statements from tables in the forms that ``label`` takes, one statement a row.

    Args:
        paths: JSON Lines, CSV or Parquet, plain or packed.
        labelled: The texts of all labelled statements, of every part: these are left out, so that nothing of a held-out part
            is learned, not even as a teacher sees it.

    Raises:
        UsageError: when a file does not exist or is no table.
        RecordError: when a file is broken, or no statement is left.
    """
    known = {_plain(text) for text in labelled}
    kept: dict[str, Passage] = {}
    refused: Counter[str] = Counter()
    already = repeated = 0
    for row in read_rows([str(path) for path in paths]):
        if row.text is None:
            refused[row.reason or "text is missing"] += 1
            continue
        text = _plain(row.text)
        if text in known:
            already += 1
        elif text in kept:
            repeated += 1
        else:
            kept[text] = Passage(row.text.strip(), row.title)
    found = Unlabelled(
        passages=tuple(kept.values()),
        hash=digest(*(part for p in kept.values() for part in (p.text, p.title or ""))),
        labelled=already,
        repeated=repeated,
        refused=dict(refused),
    )
    if not kept:
        names = ", ".join(map(str, paths))
        raise RecordError(f"{names}: expected statements without a label, found {found}; name others, or none")
    return found


def guessed(
    passage: Passage, *, stance: str, concerns: Sequence[str], span: tuple[int, int] | None, kind: str | None
) -> Example:
    """Return a passage as an example whose label is a teacher's guess; its document is the statement alone.

    ``span`` is where the holder stands in the passage's text, None where nobody is named; ``kind`` the holder type.
    """
    from models.dataset import Example

    url = f"unlabelled:{digest(passage.text, passage.title or '')}"
    document = Document(id=document_id(url, passage.text), url=url, text=passage.text, title=passage.title)
    statement = Statement(
        id=statement_id(document.id, 0, len(passage.text)),
        document=document.id,
        start=0,
        end=len(passage.text),
        text=passage.text,
        before=passage.before,
        after="",
    )
    gold = GoldLabel(
        statement=statement.id,
        codebook_version="guessed",
        stance=stance,
        concerns=tuple(concerns),
        holder=None if span is None else passage.text[span[0] : span[1]],
        holder_start=None if span is None else span[0],
        holder_end=None if span is None else span[1],
        holder_type=kind,
        settled="single",
    )
    return Example(statement, document, gold)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
