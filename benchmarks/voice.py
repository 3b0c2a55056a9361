"""Measure voice and holder of statements on the reference corpus, without opening the test part.

    python benchmarks/voice.py

Holders: the gold labels' words, on the train and the development part; the rules were written on the train part alone but
for what ``docs/voice.md`` says. Voice: one coder's reading of 100 statements of the development part. Prints the figures
and writes them to ``results/voice.json``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation import load_codebook
from corpus.records import Statement
from corpus.reference_corpus import ReferenceCorpus, load_reference
from corpus.segment import Segmentation
from corpus.voice import attribute
from models.metrics import bootstrap_weights, cluster_sums, interval, word_overlap
from models.splits import make_split, take
from pipelines.labelled import read_labelled

RESULTS = Path(__file__).parent / "results" / "voice.json"
CODED = Path(__file__).parents[1] / "tests" / "corpus" / "data" / "voice.jsonl"
SAME = 0.5  # word overlap from which two names count as one
COLUMNS = ("gold", "given", "agrees", "exact", "disputed", "elsewhere", "elsewhere_agrees", "author_agrees")


def main() -> None:
    """Measure, print and write."""
    examples = read_labelled(None, load_codebook()).examples
    split = make_split(examples, seed=0)
    reference = load_reference()
    answers = attributed(reference)
    figures: dict[str, Any] = {
        part: holders(reference, answers, {e.statement.id for e in take(examples, split, part)})
        for part in ("train", "development")
    }
    figures["voice"] = voices(reference, answers)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(figures), indent=2) + b"\n")
    print(RESULTS.read_text(encoding="utf-8"))


def attributed(reference: ReferenceCorpus) -> dict[str, Statement]:
    """Return the corpus's statements with voice and holder, by statement id."""
    found: dict[str, Statement] = {}
    for document in reference.documents:
        own = tuple(s for s in reference.statements if s.document == document.id)
        found |= {s.id: s for s in attribute(Segmentation(document, own, (), {}))}
    return found


def holders(reference: ReferenceCorpus, answers: dict[str, Statement], part: set[str]) -> dict[str, Any]:
    """Compare the holders of a part's statements with gold.

    ``precision``: of the names given from a statement's own words where gold names a holder too, the share that agrees.
    ``precision_strict`` counts as wrong all names where gold has none, ``precision_either`` only those that the statement's
    writer did not have in mind. ``recall``: of the statements whose gold names a holder, the share with an agreeing name.
    """
    rows, documents = [], []
    for s in reference.statements:
        if s.id in part:
            gold = next(g.holder for g in reference.gold if g.statement == s.id)
            rows.append(_row(answers[s.id], gold, reference.written[s.id][0]))
            documents.append(s.document)
    counts = np.array(rows, dtype=np.float64)
    order = {d: i for i, d in enumerate(dict.fromkeys(documents))}
    sums = cluster_sums(counts, np.array([order[d] for d in documents]), len(order))
    draws = bootstrap_weights(len(order), resamples=2000, seed=0) @ sums
    total = counts.sum(0)
    figures: dict[str, Any] = {"statements": len(rows)} | {name: int(n) for name, n in zip(COLUMNS, total, strict=True)}
    for name, (hits, of) in {
        "precision": (("agrees",), ("given", "-disputed")),
        "precision_exact": (("exact",), ("given", "-disputed")),
        "precision_strict": (("agrees",), ("given",)),
        "precision_either": (("agrees", "author_agrees"), ("given",)),
        "recall": (("agrees",), ("gold",)),
    }.items():
        value, spread = (_sum(hits, x) / _sum(of, x) for x in (total, draws))
        found = interval(value, spread)
        figures[name] = [round(x, 3) for x in (found.value, found.low, found.high)] if found else None
    return figures


def _row(answer: Statement, gold: str | None, written: str | None) -> tuple[bool, ...]:
    name = answer.holder
    inside = name is not None and name in answer.text
    agrees = inside and gold is not None and word_overlap(name or "", gold) >= SAME
    by_writer = name is not None and written is not None and word_overlap(name, written) >= SAME
    return (
        gold is not None,
        inside,
        agrees,
        inside and name == gold,
        inside and gold is None,
        name is not None and not inside,
        not inside and by_writer,
        inside and not agrees and by_writer,
    )


def _sum(names: Sequence[str], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    signs = [-1.0 if name[0] == "-" else 1.0 for name in names]
    columns = [COLUMNS.index(name.lstrip("-")) for name in names]
    return np.asarray(counts[..., columns] @ np.array(signs))


def voices(reference: ReferenceCorpus, answers: dict[str, Statement]) -> dict[str, dict[str, int]]:
    """Return the confusion matrix of voice: rows as coded, columns as found."""
    voice = {reference.reference_id[i]: str(s.voice) for i, s in answers.items()}
    lines = [msgspec.json.decode(line) for line in CODED.read_bytes().splitlines()]
    cells = Counter((str(line["voice"]), voice[line["statement"]]) for line in lines)
    names = ("own", "reported", "editorial", "None")
    return {row: {column: cells[row, column] for column in names} for row in names[:3]}


if __name__ == "__main__":
    main()
