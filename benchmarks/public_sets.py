"""Four public stance sets: where they lie, how their rows are read, and the figures exactly as their papers define them.

No row of them is part of this repository. Traps that the definitions below avoid: TweetEval pools the tweets of all targets,
and a mean over targets is about ten points lower; VAST's cleaned targets can lose a negation; ValueEval's F1 is taken from
mean precision and mean recall; GWSD has no development part.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score
from sklearn.model_selection import train_test_split

from corpus.errors import RecordError, UsageError
from corpus.identity import file_sha256
from models.pairs import Pair, PairSet, read_objects, shares

STANCES = ("against", "favor", "none")
VALUES = (
    "Achievement",
    "Benevolence: caring",
    "Benevolence: dependability",
    "Conformity: interpersonal",
    "Conformity: rules",
    "Face",
    "Hedonism",
    "Humility",
    "Power: dominance",
    "Power: resources",
    "Security: personal",
    "Security: societal",
    "Self-direction: action",
    "Self-direction: thought",
    "Stimulation",
    "Tradition",
    "Universalism: concern",
    "Universalism: nature",
    "Universalism: objectivity",
    "Universalism: tolerance",
)
GWSD_DEV_SHARE, GWSD_DEV_SEED = 0.15, 0
Decided = NDArray[Any]


@dataclass(frozen=True)
class Item:
    """A pair and the group (target, few- or zero-shot) that some figures are taken over."""

    pair: Pair
    group: str = ""


@dataclass(frozen=True)
class Parts:
    """The rows of a set, and the hashes of the files that they were read from."""

    train: list[Item]
    dev: list[Item]
    test: list[Item]
    files: dict[str, str]


@dataclass(frozen=True)
class Task:
    """A public set: where it lies, how a row is read, and the figures that its papers use.

    ``figures`` takes items and decisions: (n,) label numbers, or (n, labels) booleans where ``multiple``. The figure
    ``headline`` is the one that development rows choose by. ``reads`` says what the encoder is given.
    """

    folder: str
    item: Callable[[Mapping[str, Any]], Item]
    figures: Callable[[Sequence[Item], Decided], dict[str, float]]
    headline: str
    reads: str
    epochs: int
    labels: tuple[str, ...] = STANCES
    multiple: bool = False
    characters: bool = True
    more_test: tuple[str, ...] = ()

    def gold(self, items: Sequence[Item]) -> Decided:
        """Return gold in the form of decisions.

        Raises:
            RecordError: on a label that the set does not have.
        """
        named = {label for i in items for label in (*i.pair.labels, *(name for name, _ in i.pair.shares))}
        unknown = named - set(self.labels)
        if unknown:
            raise RecordError(f"{self.folder}: label {min(unknown)!r} is none of {', '.join(self.labels)}; restore the set")
        if self.multiple:
            return np.array([[label in i.pair.labels for label in self.labels] for i in items])
        return np.array([self.labels.index(i.pair.labels[0]) for i in items])


def pair_set(task: Task, items: Sequence[Item]) -> PairSet:
    """Return the pairs of items with the task's labels."""
    return PairSet(task.folder, "", task.labels, task.multiple, tuple(i.pair for i in items), {}, 0)


def _stances(items: Sequence[Item]) -> Decided:
    return np.array([STANCES.index(i.pair.labels[0]) for i in items])


def f_avg(gold: Decided, decided: Decided) -> float:
    """Mean of the F1 of favor and the F1 of against (SemEval-2016 Task 6); none counts through the errors it causes."""
    polar = [STANCES.index("favor"), STANCES.index("against")]
    return float(f1_score(gold, decided, labels=polar, average="macro", zero_division=0))


def macro_f1(gold: Decided, decided: Decided) -> float:
    """Mean of the three stances' F1."""
    return float(f1_score(gold, decided, labels=range(len(STANCES)), average="macro", zero_division=0))


def task_f1(gold: Decided, decided: Decided) -> float:
    """Harmonic mean of mean precision and mean recall over the labels (SemEval-2023 Task 4), not the mean of F1s."""
    precision = precision_score(gold, decided, average="macro", zero_division=0)
    recall = recall_score(gold, decided, average="macro", zero_division=0)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def tweeteval_figures(items: Sequence[Item], decided: Decided) -> dict[str, float]:
    """F_avg over the pooled tweets of all five targets, as TweetEval's script; the means over targets are other figures."""
    gold, group = _stances(items), np.array([i.group for i in items])
    task_a = group != "trump"
    out = {
        "f_avg_pooled": f_avg(gold[task_a], decided[task_a]),
        "macro_f1_pooled": macro_f1(gold[task_a], decided[task_a]),
    }
    targets = sorted(set(group[task_a]))
    for target in targets:
        out[f"f_avg_{target}"] = f_avg(gold[group == target], decided[group == target])
    out["f_avg_mean_of_targets"] = statistics.mean(out[f"f_avg_{t}"] for t in targets)
    out["f_avg_mean_without_climate"] = statistics.mean(
        out[f"f_avg_{t}"] for t in targets if t != "climate" or len(targets) == 1
    )
    if not task_a.all():
        out["f_avg_trump_unseen"] = f_avg(gold[~task_a], decided[~task_a])
    return out


def vast_figures(items: Sequence[Item], decided: Decided) -> dict[str, float]:
    """Macro-F1 of the three stances over all, zero-shot and few-shot rows, and each stance's F1 over all."""
    gold, group = _stances(items), np.array([i.group for i in items])
    out = {"macro_f1_all": macro_f1(gold, decided)}
    for shot in ("zero-shot", "few-shot"):
        if (group == shot).any():
            out[f"macro_f1_{shot.replace('-', '_')}"] = macro_f1(gold[group == shot], decided[group == shot])
    each = f1_score(gold, decided, labels=range(len(STANCES)), average=None, zero_division=0)
    return out | {f"f1_{name}": float(value) for name, value in zip(STANCES, each, strict=True)}


def gwsd_figures(items: Sequence[Item], decided: Decided) -> dict[str, float]:
    """Accuracy and macro-F1 against the authors' most probable label."""
    gold = _stances(items)
    return {"accuracy": float(accuracy_score(gold, decided)), "macro_f1": macro_f1(gold, decided)}


def valueeval_figures(items: Sequence[Item], decided: Decided) -> dict[str, float]:
    """The task's F1, the mean of the labels' F1, and micro-F1."""
    gold = np.array([[label in i.pair.labels for label in VALUES] for i in items])
    plain, micro = (float(f1_score(gold, decided, average=how, zero_division=0)) for how in ("macro", "micro"))
    return {"task_f1": task_f1(gold, decided), "macro_f1": plain, "micro_f1": micro}


def _plain(row: Mapping[str, Any], group: str = "", target: str | None = None) -> Item:
    label = row["label"]
    labels = tuple(label) if isinstance(label, list) else (label,)
    return Item(Pair(row["text"], row["target"] if target is None else target, labels), group)


def _gwsd(row: Mapping[str, Any]) -> Item:
    """The authors' probabilities are learned from, where a row has them; the most probable label is what is scored."""
    item = _plain(row)
    said = shares(row["probs"]) if "probs" in row else ()
    if isinstance(said, str):
        raise RecordError(f"gwsd, {row.get('id')}: {said}; restore the set")
    return replace(item, pair=replace(item.pair, shares=said))


TASKS = {
    "tweeteval": Task(
        "tweeteval_stance",
        lambda row: _plain(row, row["subset"]),
        tweeteval_figures,
        "f_avg_pooled",
        "text; target",
        epochs=6,
        more_test=("taskB_trump_test",),
    ),
    "vast": Task(
        "vast",
        # not target_raw: of the synthetic rows without a position it is the topic that a random one has replaced
        lambda row: _plain(row, row["shot"]),
        vast_figures,
        "macro_f1_all",
        "text; target",
        epochs=2,
        characters=False,
    ),
    "gwsd": Task("gwsd", _gwsd, gwsd_figures, "accuracy", "text; target", epochs=6),
    "valueeval": Task(
        "valueeval23",
        lambda row: _plain(row, target=f"{row['stance']}: {row['target']}"),
        valueeval_figures,
        "task_f1",
        "premise; stance and conclusion",
        epochs=5,
        multiple=True,
        labels=VALUES,
    ),
}


def read_parts(task: Task, folder: Path, *, limit: int | None = None) -> Parts:
    """Read a set. GWSD has no development part: a stratified, seeded share of its training rows is taken.

    Raises:
        UsageError: when a file is missing.
        RecordError: on a row without a field that the set's rows have.
    """
    files: dict[str, str] = {}

    def read(*stems: str) -> list[Item]:
        items = []
        for stem in stems:
            path = _find(folder / task.folder, stem)
            files[f"{task.folder}/{path.name}"] = file_sha256(path)
            for number, row in read_objects(path):
                try:
                    items.append(task.item(row))
                except KeyError as error:
                    raise RecordError(f"{path}, line {number}: no field {error}; restore the file") from error
        return items

    train, test = read("train"), read("test", *task.more_test)
    if task.folder == "gwsd":
        train, dev = train_test_split(
            train, test_size=GWSD_DEV_SHARE, random_state=GWSD_DEV_SEED, stratify=[i.pair.labels[0] for i in train]
        )
    else:
        dev = read("dev")
    if limit is not None:
        train, dev, test = (sample(part, limit) for part in (train, dev, test))
    return Parts(train, dev, test, files)


def _find(folder: Path, stem: str) -> Path:
    for suffix in (".jsonl", ".jsonl.gz", ".jsonl.zst"):
        if (folder / (stem + suffix)).is_file():
            return folder / (stem + suffix)
    raise UsageError(f"{folder / stem}.jsonl: no such file, packed or not; put the set there or leave it out with --sets")


def sample(items: list[Item], n: int) -> list[Item]:
    """Return at most ``n`` items, drawn with a fixed seed, in their order."""
    if n >= len(items):
        return items
    chosen = np.random.default_rng(0).choice(len(items), n, replace=False)
    return [items[i] for i in sorted(chosen)]
