"""Outside stance data: texts with a target and a label, one JSON object a line, to warm-start an encoder on."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from corpus.errors import RecordError, UsageError
from corpus.files import unpacked
from corpus.identity import normalise

_MOST_LABELS = 100  # more different words than that are no labels but a column of something else
_ROUNDED = (0.98, 1.02)  # where a sum of probabilities lies that were one before somebody rounded them
_WANTED = "expected an object with text, target and label"


@dataclass(frozen=True, slots=True)
class Pair:
    """A text, what it is judged towards, and its label; any number of labels where the set has several a text.

    ``shares`` says how likely each label is, where annotators differed: numbers above zero that sum to one. It is what is
    learned from; the label is what counts in a score.
    """

    text: str
    target: str
    labels: tuple[str, ...]
    shares: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class PairSet:
    """The usable pairs of one file, in its order.

    ``labels`` are the names in use, sorted, or those that the caller knows, in the caller's order. ``multiple`` says
    whether a text has a list of labels rather than one. ``refused`` counts the rows that could not be used, by reason;
    ``left_out`` those of other parts of a split.
    """

    name: str
    sha256: str
    labels: tuple[str, ...]
    multiple: bool
    pairs: tuple[Pair, ...]
    refused: Mapping[str, int]
    left_out: int

    def facts(self) -> dict[str, object]:
        """Return what a manifest says of the set: the file's name and hash, its labels, and what was counted."""
        return {
            "name": self.name,
            "sha256": self.sha256,
            "labels": list(self.labels),
            "pairs": len(self.pairs),
            "with_probabilities": sum(bool(p.shares) for p in self.pairs),
            "refused": dict(self.refused),
            "left_out": self.left_out,
        }


def read_pairs(path: Path, *, labels: Sequence[str] | None = None, parts: Collection[str] = ("train",)) -> PairSet:
    """Read a file of outside stance data: JSON Lines, plain, gzip or zstd, told apart by content.

    Each line has ``text``, ``target`` and ``label`` (a word, or in all lines a list of words); ``probabilities`` and
    ``split`` are optional and further fields are passed over. A row with a field that is missing or unusable is counted and
    left out.

    Args:
        path: The file.
        labels: The labels that are known; None takes whatever words the file has.
        parts: Rows that name another ``split`` are left out, so that nobody learns from a test part by oversight; rows
            that name none are always taken.

    Raises:
        UsageError: when the file cannot be read.
        RecordError: on a line that is not a JSON object, a label that is not known (naming file and line), one label here
            and a list there, more than a hundred different labels, or no more than one, and where no row is left.
    """
    data = _bytes(path)
    known = None if labels is None else frozenset(labels)
    pairs: list[Pair] = []
    refused: Counter[str] = Counter()
    seen: dict[str, None] = {}
    multiple: bool | None = None
    left_out = 0
    for number, row in _objects(data, path):
        split = row.get("split")
        if isinstance(split, str) and split and split not in parts:
            left_out += 1
            continue
        found = "split is not a word" if split is not None and not isinstance(split, str) else _pair(row)
        if isinstance(found, str):
            refused[found] += 1
            continue
        several = isinstance(row["label"], list)
        if multiple is not None and several != multiple:
            raise RecordError(
                f"{path}, line {number}: label is {'a list' if several else 'one word'}, but the lines before have "
                f"{'one word' if several else 'a list'}; expected the same form in all lines of a file"
            )
        multiple = several
        for label in (*found.labels, *(name for name, _ in found.shares)):
            if known is not None and label not in known:
                raise RecordError(
                    f"{path}, line {number}: label {label!r} is not known, expected one of {', '.join(labels or ())}; "
                    "rename it or take the line out"
                )
            seen[label] = None
        if len(seen) > _MOST_LABELS:
            raise RecordError(
                f"{path}, line {number}: more than {_MOST_LABELS} different labels up to here, the last one {label!r}; "
                "expected a handful of words, check what the field label holds"
            )
        pairs.append(found)
    names = tuple(sorted(seen)) if labels is None else tuple(labels)
    _check_enough(path, pairs, seen, bool(multiple), refused, left_out)
    return PairSet(path.name, sha256(data).hexdigest(), names, bool(multiple), tuple(pairs), dict(refused), left_out)


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and object of each line of a JSON Lines file, plain, gzip or zstd; blank lines are passed over.

    Raises:
        UsageError: when the file cannot be read.
        RecordError: when it is torn, or on a line that is not a JSON object.
    """
    yield from _objects(_bytes(path), path)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: expected a file of stance data that can be read, but {error.strerror or error}; check the path"
        ) from error


def _objects(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(unpacked(io.BytesIO(data), name=str(path)), start=1):
        if not line.strip():
            continue
        try:
            row = msgspec.json.decode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RecordError(f"{path}, line {number}: {_WANTED}, but {error}; mend the line or take it out") from error
        if not isinstance(row, dict):
            raise RecordError(f"{path}, line {number}: {_WANTED}, found {type(row).__name__}; mend the line or take it out")
        yield number, row


def _pair(row: Mapping[str, Any]) -> Pair | str:
    """Return the pair of a row, or the reason why there is none."""
    words = {}
    for field in ("text", "target"):
        value = row.get(field)
        if value is None:
            return f"{field} is missing"
        if not isinstance(value, str):
            return f"{field} is not text"
        words[field] = normalise(value).strip()
        if not words[field]:
            return f"{field} is empty"
    label = row.get("label")
    if label is None:
        return "label is missing"
    listed = label if isinstance(label, list) else [label]
    if not all(isinstance(x, str) for x in listed):
        return "label is not a word"
    names = tuple(dict.fromkeys(normalise(x).strip() for x in listed))
    if not all(names):
        return "label is empty"
    said = row.get("probabilities")
    if said is None:
        return Pair(words["text"], words["target"], names)
    if isinstance(label, list):
        return "probabilities stand beside a list of labels"
    found = shares(said)
    return found if isinstance(found, str) else Pair(words["text"], words["target"], names, found)


def shares(said: object) -> tuple[tuple[str, float], ...] | str:
    """Return labels with their probabilities, those above zero, or the reason why an object of them cannot be used.

    Probabilities that were rounded may sum to 0.99 or 1.01; what is returned sums to one.
    """
    if not isinstance(said, dict) or not said:
        return "probabilities are not an object of labels and numbers"
    if not all(isinstance(p, int | float) and not isinstance(p, bool) and p >= 0 for p in said.values()):
        return "a probability is not a number from 0 on"
    total = sum(said.values())
    if not _ROUNDED[0] <= total <= _ROUNDED[1]:
        return "probabilities do not sum to one"
    out: dict[str, float] = {}
    for name, p in said.items():
        out[normalise(name).strip()] = out.get(normalise(name).strip(), 0.0) + p / total
    return tuple((name, p) for name, p in out.items() if p) if all(out) else "a probability has no label"


def _check_enough(
    path: Path, pairs: Sequence[Pair], seen: Collection[str], multiple: bool, refused: Mapping[str, int], left_out: int
) -> None:
    if not pairs:
        reasons = [f"{n} rows where {reason}" for reason, n in refused.items()]
        reasons += [f"{left_out} rows of other parts"] if left_out else []
        raise RecordError(
            f"{path}: no usable row in it ({', '.join(reasons) or 'it is empty'}); expected one a line, with text, target "
            "and label"
        )
    if len(seen) < (1 if multiple else 2):
        found = f"only {next(iter(seen))!r}" if seen else "none"
        raise RecordError(f"{path}: expected different labels to tell apart, found {found}; nothing can be learned from it")
