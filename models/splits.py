"""Splits that keep together what belongs together: a document, its address, and near-copies of its statements."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from corpus.errors import RecordError
from corpus.files import read_json, write_json
from corpus.identity import canonical_url, digest
from models.dataset import Example

PARTS = ("train", "development", "test")
_FOLDS = 20  # 5 % of the statements each
_FOLDS_OF = {"test": 4, "development": 3}
_WORD = re.compile(r"\w+")


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which statement is in which part. ``hashes`` has one per part, over its sorted ids and their texts and labels."""

    format: int = 1
    seed: int
    near_copy: float
    parts: dict[str, tuple[str, ...]]
    hashes: dict[str, str]


@dataclass(frozen=True)
class NearCopies:
    """How near-copies are found: Jaccard similarity of word shingles, estimated by MinHash (Broder 1997)."""

    threshold: float = 0.6
    shingle: int = 3
    permutations: int = 128
    seed: int = 1


def group_examples(examples: Sequence[Example], near: NearCopies | None = None) -> list[int]:
    """Return a group number for each example: equal for one document, one canonical URL, or a chain of near-copies.

    Raises:
        Nothing: any examples can be grouped.
    """
    from datasketch import MinHash, MinHashLSH

    near = near or NearCopies()
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    def join(a: str, b: str) -> None:
        parent[root(a)] = root(b)

    index = MinHashLSH(threshold=near.threshold, num_perm=near.permutations)
    for e in examples:
        document = f"document {e.document.id}"
        join(document, f"url {canonical_url(e.document.url)}")
        words = _WORD.findall(e.statement.text.casefold())
        sketch = MinHash(num_perm=near.permutations, seed=near.seed)
        sketch.update_batch(
            [" ".join(words[i : i + near.shingle]).encode() for i in range(max(1, len(words) - near.shingle + 1))]
        )
        for other in index.query(sketch):
            join(document, other.split("\t")[0])
        index.insert(f"{document}\t{e.statement.id}", sketch, check_duplication=False)
    roots = [root(f"document {e.document.id}") for e in examples]
    number = {r: i for i, r in enumerate(dict.fromkeys(roots))}
    return [number[r] for r in roots]


def make_split(examples: Sequence[Example], *, seed: int, near: NearCopies | None = None) -> Split:
    """Split examples into train (65 %), development (15 %) and test (20 %), by group, stances in like shares.

    Args:
        examples: All labelled statements.
        seed: Of the shuffle.
        near: What counts as a near-copy.

    Raises:
        RecordError: when there are fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    near = near or NearCopies()
    groups = group_examples(examples, near)
    if len(set(groups)) < _FOLDS:
        raise RecordError(
            f"{len(set(groups))} independent documents with gold labels, expected {_FOLDS} or more to split; "
            "label more documents"
        )
    names = sorted({e.gold.stance for e in examples})
    stances = np.array([names.index(e.gold.stance) for e in examples])
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=seed).split(stances, stances, groups)
    part_of: dict[int, str] = {}
    order = [p for p, n in _FOLDS_OF.items() for _ in range(n)]
    for i, (_, members) in enumerate(folds):
        for m in members:
            part_of[int(m)] = order[i] if i < len(order) else "train"
    parts = {part: tuple(sorted(e.statement.id for i, e in enumerate(examples) if part_of[i] == part)) for part in PARTS}
    return Split(seed=seed, near_copy=near.threshold, parts=parts, hashes=_hashes(examples, parts))


def take(examples: Sequence[Example], split: Split, part: str) -> tuple[Example, ...]:
    """Return the examples of one part, in their own order, after checking that they are the ones that were split.

    Raises:
        RecordError: when statements or labels have changed since the split was made.
    """
    found = _hashes(examples, {part: split.parts[part]})[part]
    if found != split.hashes[part]:
        raise RecordError(
            f"the {part} part has hash {found}, but the split was made with {split.hashes[part]}; "
            "texts or gold labels have changed since: use the corpus that the split belongs to, or train again"
        )
    members = set(split.parts[part])
    return tuple(e for e in examples if e.statement.id in members)


def write_split(path: Path, split: Split) -> None:
    """Write a split file (JSON)."""
    write_json(path, split)


def read_split(path: Path) -> Split:
    """Read a split file.

    Raises:
        RecordError: when it is not one.
    """
    try:
        return msgspec.convert(read_json(path), Split)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path}: not a split file, {error}; make the split again") from error


def _hashes(examples: Sequence[Example], parts: Mapping[str, Sequence[str]]) -> dict[str, str]:
    by_id = {e.statement.id: e for e in examples}
    return {
        part: digest(
            *(
                "\t".join((i, by_id[i].statement.text, by_id[i].gold.stance, *by_id[i].gold.concerns))
                if i in by_id
                else f"{i} is missing"
                for i in sorted(ids)
            )
        )
        for part, ids in parts.items()
    }
