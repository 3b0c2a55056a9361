"""Splits that keep together what belongs together: a document, its address, and near-copies of its statements."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
_DATE = re.compile(r"\s*(?P<year>[0-9]{4})(?:-(?P<month>0[1-9]|1[0-2])(?:-(?P<day>[0-3][0-9]))?)?(?![0-9-])")


class Split(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which statement is in which part. ``hashes`` has one per part, over its sorted ids and their texts and labels.

    ``kind`` is ``grouped`` (at random, with ``seed``) or ``time``: then the development part begins with the documents of
    ``development_from``, the test part with those of ``test_from``, and ``undated`` statements are in the train part.
    """

    format: int = 1
    kind: Literal["grouped", "time"] = "grouped"
    seed: int
    near_copy: float
    parts: dict[str, tuple[str, ...]]
    hashes: dict[str, str]
    development_from: str | None = None
    test_from: str | None = None
    undated: int = 0

    @property
    def record(self) -> dict[str, int | str]:
        """How the parts were made, as an evaluation tells it."""
        if self.kind == "grouped":
            return {"kind": self.kind, "seed": self.seed}
        return {
            "kind": self.kind,
            "development_from": self.development_from or "",
            "test_from": self.test_from or "",
            "undated": self.undated,
        }


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
    parts = _parts(examples, [part_of[i] for i in range(len(examples))])
    return Split(seed=seed, near_copy=near.threshold, parts=parts, hashes=_hashes(examples, parts))


def make_time_split(examples: Sequence[Example], *, near: NearCopies | None = None) -> Split:
    """Split examples by date of publication: the past to learn from, the latest 20 % of statements to be tested on.

    Documents that belong together (one address, near-copies of one another) are in one part, by the latest of their dates,
    so that nothing in the train part is dated after the cut and nothing in the test part has a copy there. A year or month
    alone counts as its last day. Documents without a date are in the train part. Parts are as near to 65, 15 and 20 % as
    whole days allow.

    Args:
        examples: All labelled statements.
        near: What counts as a near-copy.

    Raises:
        RecordError: when there are too few dates, or a part would have no statement of a stance.
    """
    near = near or NearCopies()
    latest: dict[int, str] = {}
    groups = group_examples(examples, near)
    dates = [_last_day(e.document.published) for e in examples]
    for group, date in zip(groups, dates, strict=True):
        if date is not None:
            latest[group] = max(date, latest.get(group, date))
    sizes = Counter(latest[g] for g in groups if g in latest)
    days = sorted(sizes)
    later = np.cumsum([sizes[d] for d in reversed(days)])[::-1]  # statements dated on that day or after it
    shares = {part: n / _FOLDS for part, n in _FOLDS_OF.items()}
    if len(days) < len(PARTS):
        raise RecordError(
            f"{len(days)} different dates of publication among {len(examples)} statements, expected {len(PARTS)} or more to "
            "split by time; add dates, or make a grouped split"
        )
    # The first day is left to the train part, the second one at least to the development part.
    test = 2 + int(np.abs(later[2:] - shares["test"] * len(examples)).argmin())
    development = 1 + int(np.abs(later[1:test] - (shares["test"] + shares["development"]) * len(examples)).argmin())
    development_from, test_from = days[development], days[test]

    def part_of(group: int) -> str:
        date = latest.get(group, "")
        return "test" if date >= test_from else "development" if date >= development_from else "train"

    placed = [part_of(g) for g in groups]
    _check_stances(examples, placed)
    parts = _parts(examples, placed)
    return Split(
        kind="time",
        seed=0,
        near_copy=near.threshold,
        parts=parts,
        hashes=_hashes(examples, parts),
        development_from=development_from,
        test_from=test_from,
        undated=sum(g not in latest for g in groups),
    )


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


def _last_day(published: str | None) -> str | None:
    """Return the last day that a date of publication can mean, None where it is not ISO 8601. All months have a 31st."""
    found = _DATE.match(published or "")
    return None if found is None else f"{found['year']}-{found['month'] or '12'}-{found['day'] or '31'}"


def _check_stances(examples: Sequence[Example], placed: Sequence[str]) -> None:
    stances = {e.gold.stance for e in examples}
    for part in PARTS:
        absent = stances - {e.gold.stance for e, p in zip(examples, placed, strict=True) if p == part}
        if absent:
            raise RecordError(
                f"split by time, the {part} part has no statement of {', '.join(sorted(absent))}, expected every stance in "
                "each part; label more dated documents, or make a grouped split"
            )


def _parts(examples: Sequence[Example], placed: Sequence[str]) -> dict[str, tuple[str, ...]]:
    ids = [e.statement.id for e in examples]
    return {part: tuple(sorted(i for i, p in zip(ids, placed, strict=True) if p == part)) for part in PARTS}


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
