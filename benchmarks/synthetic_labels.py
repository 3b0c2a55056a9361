"""Labels of coverage that nobody wrote: as many as are asked for, in the form in which `label` writes them.

    python benchmarks/synthetic_labels.py FOLDER --statements 100000

Writes FOLDER/labels (Parquet and manifest), FOLDER/audit.jsonl and FOLDER/evaluation.json.

Documents have eight statements or so; one in seven is an outlet's copy of an earlier one. A few holders say most, most
holders little; each leans one way and some change their minds. Texts are halves of two statements of the reference corpus.
The model confuses stances at fixed rates, for no position first, and is surer than it is right, so that plain counts are
biased. The audit sample is drawn at random and has the truth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from annotation.codebook import Codebook, load_codebook
from corpus.aliases import load_aliases
from corpus.identity import digest
from corpus.reference_corpus import load_reference
from models.breakdown import ReliabilityBin
from models.evaluation import Evaluation, Figure
from models.metrics import Interval
from pipelines.folder import output_schema
from pipelines.manifest import describe_output, write_manifest

MODEL = "synthetic-0123456789abcdef"
PER_DOCUMENT = 8
COPIED = 1 / 7
FIRST, DAYS = date(2024, 1, 1), 730
SHARD = 5000
AUDITED = 500
EVALUATED = 400


def write_labels(folder: Path, statements: int, *, seed: int = 0, codebook: Codebook | None = None) -> Path:
    """Write labels, audit sample and evaluation into a folder, and return that of the labels."""
    codebook = codebook or load_codebook()
    rng = np.random.default_rng(seed)
    labels = folder / "labels"
    labels.mkdir(parents=True)
    schema = output_schema(codebook)
    world = _World(codebook, rng)
    truth: list[tuple[str, int, list[str]]] = []
    decided: list[tuple[int, float]] = []
    documents: set[str] = set()
    shard: list[dict[str, Any]] = []
    outputs: list[dict[str, object]] = []

    def write() -> None:
        path = labels / f"labels-{len(outputs):05}.parquet"
        pq.write_table(pa.Table.from_pylist(shard, schema=schema), path, compression="zstd")
        outputs.append(describe_output(path, folder=labels, rows=len(shard)))
        shard.clear()

    for row, stance, concerns, seen in world.rows(statements):
        truth.append((row["id"], stance, concerns))
        decided.append((seen, row["confidence"]))
        documents.add(row["document_id"])
        shard.append(row)
        if len(shard) == SHARD:
            write()
    if shard:
        write()
    write_manifest(
        labels / "manifest.json",
        command="label",
        inputs=[],
        created="2026-01-01",
        model_id=MODEL,
        codebook_id=codebook.id,
        codebook=msgspec.to_builtins(codebook),
        counts={"rows": statements, "ok": statements, "invalid": 0, "documents": len(documents)},
        reasons={},
        clutter={},
        skipped=[],
        outputs=outputs,
    )
    _write_audit(folder / "audit.jsonl", truth, codebook, rng)
    some = rng.permutation(len(truth))[:EVALUATED]
    evaluation = _evaluation([truth[i][1] for i in some], [decided[i] for i in some], codebook)
    (folder / "evaluation.json").write_bytes(msgspec.json.encode(evaluation))
    return labels


class _World:
    """Holders, outlets and the model, all invented but the names of holders and the words."""

    def __init__(self, codebook: Codebook, rng: np.random.Generator) -> None:
        self.codebook, self.rng = codebook, rng
        k = len(codebook.stances)
        names = sorted({h.name: h.type for h in load_aliases().holders}.items())
        known = set(codebook.holder_type_ids)
        others = [t for t in codebook.holder_type_ids if t != codebook.nobody]
        self.holders: list[tuple[str, str]] = [(n, t if t in known else others[0]) for n, t in names]
        self.holders += [(f"Institute No. {i}", others[i % len(others)]) for i in range(400)]
        self.often = _zipf(len(self.holders), rng)
        self.leaning = rng.dirichlet(np.full(k, 0.7), size=len(self.holders))
        self.later = np.where(rng.random((len(self.holders), 1)) < 0.1, rng.dirichlet(np.full(k, 0.7), size=1), self.leaning)
        self.outlets = [f"Gazette {i}" for i in range(120)]
        self.read = _zipf(len(self.outlets), rng)
        self.neutral = np.array([s.polarity == "neutral" for s in codebook.stances])
        self.raised = rng.dirichlet(np.full(len(codebook.concerns), 0.8), size=k) * 1.2
        texts = [s.text.split() for s in load_reference().statements]
        self.starts = [" ".join(words[: len(words) // 2]) for words in texts]
        self.ends = [" ".join(words[len(words) // 2 :]) for words in texts]
        # how each true stance is taken: mostly right, the rest for saying nothing first
        right = np.where(np.array([s.polarity == "both" for s in codebook.stances]), 0.45, 0.75)
        wrong = np.where(self.neutral, 3.0, 1.0)[None].repeat(k, axis=0)
        np.fill_diagonal(wrong, 0)
        self.taken = (1 - right)[:, None] * wrong / wrong.sum(axis=1, keepdims=True)
        self.taken[np.arange(k), np.arange(k)] = right

    def rows(self, statements: int) -> Iterator[tuple[dict[str, Any], int, list[str], int]]:
        """Yield rows with the true stance, the true concerns and the stance that the model would decide."""
        earlier: list[list[tuple[dict[str, Any], int, list[str], int]]] = []
        made, number = 0, 0
        while made < statements:
            copied = bool(earlier) and self.rng.random() < COPIED
            document = self._copy(earlier[self.rng.integers(len(earlier))], number) if copied else self._document(number)
            if not copied and len(earlier) < 500:
                earlier.append(document)
            yield from document[: statements - made]
            made += len(document)
            number += 1

    def _head(self, number: int, day: int) -> dict[str, Any]:
        outlet = self.outlets[self.rng.choice(len(self.outlets), p=self.read)]
        return {
            "document_id": digest(f"document {number}"),
            "title": f"Treaty talks, report {number}",
            "published": (FIRST + timedelta(days=day)).isoformat(),
            "publisher": outlet,
            "url": f"https://{outlet.lower().replace(' ', '-')}.example/{number}",
        }

    def _document(self, number: int) -> list[tuple[dict[str, Any], int, list[str], int]]:
        rng, k = self.rng, len(self.codebook.stances)
        day = int(rng.integers(DAYS))
        head, at = self._head(number, day), 0
        cast = rng.choice(len(self.holders), size=3, p=self.often)
        document = []
        for i in range(1 + rng.poisson(PER_DOCUMENT - 1)):
            holder = int(rng.choice(cast)) if rng.random() < 0.6 else None
            leaning = (
                self.neutral / self.neutral.sum() if holder is None else (self.leaning, self.later)[day > DAYS / 2][holder]
            )
            mixed = 0.85 * leaning + 0.15 / k
            stance = int(rng.choice(k, p=mixed / mixed.sum()))
            seen = int(rng.choice(k, p=self.taken[stance]))
            text = f"{self.starts[rng.integers(len(self.starts))]} {self.ends[rng.integers(len(self.ends))]}"
            concerns = [c for c, p in zip(self.codebook.concern_ids, self.raised[stance], strict=True) if rng.random() < p]
            row = head | {
                "id": digest(f"statement {number} {i}"), "start": at, "end": at + len(text), "text": text,
                "voice": "reported" if holder is not None else "editorial",
                "holder": None if holder is None else self.holders[holder][0],
                "holder_name": None if holder is None else self.holders[holder][0],
                "holder_type": self.codebook.nobody if holder is None else self.holders[holder][1],
            }  # fmt: skip
            document.append((row | self._verdict(seen, concerns), stance, concerns, seen))
            at += len(text) + 1
        return document

    def _copy(
        self, document: Sequence[tuple[dict[str, Any], int, list[str], int]], number: int
    ) -> list[tuple[dict[str, Any], int, list[str], int]]:
        """Return another outlet's copy of a document, printed within three days."""
        first = date.fromisoformat(document[0][0]["published"])
        head = self._head(number, (first - FIRST).days + int(self.rng.integers(3)))
        return [
            (row | head | {"id": digest(f"statement {number} {i}")}, stance, concerns, seen)
            for i, (row, stance, concerns, seen) in enumerate(document)
        ]

    def _verdict(self, seen: int, concerns: Sequence[str]) -> dict[str, Any]:
        rng, codebook = self.rng, self.codebook
        p = rng.dirichlet(np.where(np.arange(len(codebook.stances)) == seen, 6.0, 0.6))
        top = int(p.argmax())
        p[[top, seen]] = p[[seen, top]]
        p = np.round(p, 6)
        p[seen] += 1 - p.sum()
        abstained = bool(p[seen] < 0.45)
        chance = {
            c: float(np.round(rng.beta(6, 2) if (c in concerns) != (rng.random() < 0.1) else rng.beta(1, 12), 6))
            for c in codebook.concern_ids
        }
        return {
            "stance": None if abstained else codebook.stance_ids[seen],
            **{f"stance_{s}": float(p[i]) for i, s in enumerate(codebook.stance_ids)},
            "concerns": [c for c, share in chance.items() if share > 0.5],
            **{f"concern_{c}": share for c, share in chance.items()},
            "abstained": abstained, "confidence": float(p[seen]), "model_id": MODEL,
            "codebook_version": codebook.id, "status": "ok", "reason": None,
        }  # fmt: skip


def _zipf(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    weights = 1 / np.arange(1, n + 1)
    return rng.permutation(weights / weights.sum())


def _write_audit(
    path: Path, truth: Sequence[tuple[str, int, list[str]]], codebook: Codebook, rng: np.random.Generator
) -> None:
    n = min(AUDITED, len(truth))
    with path.open("w", encoding="utf-8") as stream:
        for i in np.sort(rng.permutation(len(truth))[:n]):
            name, stance, concerns = truth[i]
            line = {
                "id": name, "stance": codebook.stance_ids[stance], "concerns": concerns,
                "inclusion_probability": n / len(truth), "stratum": "all",
            }  # fmt: skip
            stream.write(json.dumps(line) + "\n")


def _evaluation(gold: Sequence[int], decided: Sequence[tuple[int, float]], codebook: Codebook) -> Evaluation:
    k = len(codebook.stances)
    seen, sure = [stance for stance, _ in decided], np.array([confidence for _, confidence in decided])
    right = np.array([a == b for a, b in zip(gold, seen, strict=True)])
    tenth = np.minimum((sure * 10).astype(int), 9)
    bins = tuple(
        ReliabilityBin(
            low=t / 10,
            high=(t + 1) / 10,
            statements=int((tenth == t).sum()),
            confidence=float(sure[tenth == t].mean()),
            accuracy=_interval(float(right[tenth == t].mean())),
        )
        for t in range(10)
        if (tenth == t).any()
    )
    confusion = np.zeros((k, k), dtype=int)
    np.add.at(confusion, (list(gold), list(seen)), 1)
    accuracy = float(np.trace(confusion) / confusion.sum())
    f1 = float(np.mean(2 * confusion.diagonal() / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)))
    figures = tuple(
        Figure(
            name=name, label=None, title=title, definition=definition, support=len(gold),
            model=_interval(value),
            baseline=None, annotators=None, difference=None,
        )
        for name, title, definition, value in (
            ("stance_macro_f1", "Stance, macro-F1", "unweighted mean over all stances of F1", f1),
            ("stance_accuracy", "Stance, accuracy", "share of statements whose stance is the gold one", accuracy),
        )
    )  # fmt: skip
    return Evaluation(
        part="test", model_id=MODEL, codebook_id=codebook.id, statements=len(gold), documents=len(gold), doubly_annotated=0,
        bootstrap={"resamples": 0, "seed": 0, "cluster": "document"}, metrics=figures, stances=codebook.stance_ids,
        confusion=tuple(tuple(int(n) for n in row) for row in confusion),
        reliability=bins,
    )  # fmt: skip


def _interval(value: float) -> Interval:
    return Interval(value, max(0.0, value - 0.05), min(1.0, value + 0.05))


def main() -> None:
    """Write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--statements", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(write_labels(args.folder, args.statements, seed=args.seed))


if __name__ == "__main__":
    main()
