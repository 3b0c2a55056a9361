"""From gold labels to what the network trains on: examples, target arrays, a ``datasets`` table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from corpus.errors import RecordError
from corpus.records import Annotation, Document, GoldLabel, Statement
from models.encoding import Encoded, token_span
from models.passage import Passage

if TYPE_CHECKING:
    import datasets

IGNORE = -100  # the index that torch's cross-entropy leaves out of the loss


@dataclass(frozen=True, slots=True)
class Example:
    """A statement with its gold label and the readings behind it."""

    statement: Statement
    document: Document
    gold: GoldLabel
    readings: tuple[Annotation, ...] = ()

    @property
    def passage(self) -> Passage:
        """The statement as the network reads it."""
        return Passage(self.statement.text, self.document.title, self.statement.before)


@dataclass(frozen=True)
class Targets:
    """Gold as arrays over n examples, in the codebook's order.

    ``stance`` (n,) label indices; ``concerns`` (n, concerns) of 0 and 1; ``holder_type`` (n,) indices, IGNORE where unknown;
    ``holder`` (n, 2) start and end in code points, -1 where nobody is named.
    """

    stance: NDArray[np.int64]
    concerns: NDArray[np.float32]
    holder_type: NDArray[np.int64]
    holder: NDArray[np.int64]


def build_examples(
    statements: Iterable[Statement],
    documents: Mapping[str, Document],
    gold: Iterable[GoldLabel],
    annotations: Iterable[Annotation] = (),
) -> tuple[Example, ...]:
    """Join statements with their documents, gold labels and readings; statements without gold are left out.

    Args:
        statements: In any order; the examples keep it.
        documents: Document by document id.
        gold: At most one label a statement.
        annotations: Readings, any number a statement, sorted by annotator in the result.

    Raises:
        RecordError: when a statement has two gold labels.
    """
    label: dict[str, GoldLabel] = {}
    for g in gold:
        if g.statement in label:
            raise RecordError(f"statement {g.statement}: two gold labels, expected one; settle them first")
        label[g.statement] = g
    readings: dict[str, list[Annotation]] = {}
    for a in annotations:
        readings.setdefault(a.statement, []).append(a)
    return tuple(
        Example(
            s,
            documents[s.document],
            label[s.id],
            tuple(sorted(readings.get(s.id, ()), key=lambda a: a.annotator)),
        )
        for s in statements
        if s.id in label
    )


def targets(examples: Sequence[Example], codebook: Codebook) -> Targets:
    """Return gold as arrays.

    Raises:
        CodebookError: on a label that the codebook does not have.
    """
    stance, concerns, types, spans = [], [], [], []
    for e in examples:
        g = e.gold
        codebook.check(stance=g.stance, concerns=g.concerns, holder_type=g.holder_type, where=f"statement {e.statement.id}")
        stance.append(codebook.stance_ids.index(g.stance))
        concerns.append([c in g.concerns for c in codebook.concern_ids])
        types.append(IGNORE if g.holder_type is None else codebook.holder_type_ids.index(g.holder_type))
        start = -1 if g.holder is None else e.statement.text.find(g.holder) if g.holder_start is None else g.holder_start
        spans.append((start, start + len(g.holder)) if g.holder and start >= 0 else (-1, -1))
    return Targets(
        np.array(stance, dtype=np.int64),
        np.array(concerns, dtype=np.float32).reshape(len(examples), len(codebook.concerns)),
        np.array(types, dtype=np.int64),
        np.array(spans, dtype=np.int64).reshape(len(examples), 2),
    )


def soft_targets(
    examples: Sequence[Example], codebook: Codebook, share: float
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return targets as shares: stance (n, stances), rows that sum to one, and concerns (n, concerns).

    Gold counts 1 - ``share`` and the mean of the annotators' readings ``share``; a statement without readings is all gold.

    Raises:
        CodebookError: on a label that the codebook does not have.
    """
    y = targets(examples, codebook)
    stance = np.eye(len(codebook.stances), dtype=np.float32)[y.stance]
    concerns = y.concerns.copy()
    for i, e in enumerate(examples):
        if share and e.readings:
            said = np.mean([[s == a.stance for s in codebook.stance_ids] for a in e.readings], axis=0)
            raised = np.mean([[c in a.concerns for c in codebook.concern_ids] for a in e.readings], axis=0)
            stance[i] = (1 - share) * stance[i] + share * said
            concerns[i] = (1 - share) * concerns[i] + share * raised
    return stance, concerns


def training_table(examples: Sequence[Example], encoded: Sequence[Encoded], codebook: Codebook) -> datasets.Dataset:
    """Return what the network trains on as an in-memory ``datasets`` table, labels declared in the codebook's order.

    Columns: ``id``; ``input_ids`` and ``own`` of the tokens; ``stance``, ``concerns``, ``holder_type``; ``span``, the first
    and last token of the holder, (0, 0) where nobody is named.

    Raises:
        CodebookError: on a label that the codebook does not have.
    """
    import datasets

    y = targets(examples, codebook)
    rows: dict[str, Any] = {
        "id": [e.statement.id for e in examples],
        "input_ids": [e.ids for e in encoded],
        "own": [e.own for e in encoded],
        "stance": y.stance,
        "concerns": y.concerns,
        "holder_type": y.holder_type,
        "span": [token_span(e, int(a), int(b)) for e, (a, b) in zip(encoded, y.holder, strict=True)],
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "input_ids": datasets.List(datasets.Value("int32")),
            "own": datasets.List(datasets.Value("bool")),
            "stance": datasets.ClassLabel(names=list(codebook.stance_ids)),
            "concerns": datasets.List(datasets.Value("float32"), length=len(codebook.concerns)),
            "holder_type": datasets.Value("int64"),
            "span": datasets.List(datasets.Value("int64"), length=2),
        }
    )
    return datasets.Dataset.from_dict(rows, features=features)
