"""Train and score an encoder on public stance sets, beside a linear floor and published figures.

    python benchmarks/stance_sets.py FOLDER
    python benchmarks/stance_sets.py FOLDER --sets gwsd --encoder ./all-mpnet-base-v2 --rates 3e-5 1e-4
    python benchmarks/stance_sets.py FOLDER --sets tweeteval --warm-start FOLDER/pstance/train.jsonl
    python benchmarks/stance_sets.py FOLDER --floor
    python benchmarks/stance_sets.py FOLDER --limit 300 --epochs 1 --seeds 0

FOLDER holds the sets as JSON Lines (docs/warm-start.md says where they come from and in which form). Learning rate, pooling
and epoch are chosen on development rows alone. With ``--warm-start`` the encoder learns from outside stance data first, as
``train`` has it. Each set adds one row to ``results/stance_sets.jsonl``; a trial with ``--limit`` adds none. A GPU is used
where there is one. No text of these sets is kept anywhere.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from public_sets import TASKS, Item, Parts, Task, pair_set, read_parts, sample
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from corpus.errors import TreatyStanceError
from corpus.files import read_json
from models.calibration import choose_thresholds
from models.network import PACKAGED, load_encoder
from models.pairs import PairSet, read_pairs
from models.warm_start import POOLINGS, PairNetwork, PairRecipe, WarmStart, fit_pairs, score_pairs
from pipelines.terminal import set_threads

RESULTS = Path(__file__).parent / "results" / "stance_sets.jsonl"
PUBLISHED = Path(__file__).parent / "stance_sets_published.json"
FEW_TARGETS = 10  # sets with no more targets than that let the linear floor learn a word's weight for each target
Decided = NDArray[Any]


def decision_rule(
    task: Task, scores: NDArray[np.float64], items: Sequence[Item]
) -> Callable[[NDArray[np.float64]], Decided]:
    """Return how scores become decisions: the highest, or, for several labels, thresholds on probabilities chosen on dev.

    Either one threshold for all labels or one for each, whichever gives these items the better headline figure.
    """
    if not task.multiple:
        return lambda other: other.argmax(1)
    each = choose_thresholds(scores, task.gold(items).astype(np.float32))
    candidates = [np.full(len(task.labels), t) for t in np.linspace(0.05, 0.95, 37)] + [each]
    best = max(candidates, key=lambda t: task.figures(items, scores >= t)[task.headline])
    return lambda other: other >= best


@dataclass(frozen=True)
class Fit:
    """A trained network at its best epoch, and how that epoch did on development rows."""

    network: PairNetwork
    tokenizer: Any
    recipe: PairRecipe
    rule: Callable[[NDArray[np.float64]], Decided]
    dev: float
    epoch: int


@dataclass(frozen=True)
class Start:
    """What training begins from: an encoder, warm-started or not, on a device."""

    encoder: str
    device: str
    outside: tuple[PairSet, ...] = ()
    warm: WarmStart | None = None

    def load(self) -> tuple[torch.nn.Module, Any]:
        """Return the encoder and its tokenizer."""
        body, tokenizer = load_encoder(self.encoder)
        body.to(self.device)
        if self.warm is not None:
            self.warm(body, tokenizer)
        return body, tokenizer


def fit(task: Task, train: Sequence[Item], dev: Sequence[Item], recipe: PairRecipe, start: Start) -> Fit:
    """Train on ``train``; keep the epoch with the best headline figure on ``dev``."""
    torch.manual_seed(recipe.seed)
    body, tokenizer = start.load()
    pairs = pair_set(task, train)
    network = PairNetwork(body, [pairs], pooling=recipe.pooling, dropout=recipe.dropout).to(start.device)
    best: list[tuple[float, int, Any, dict[str, Any]]] = []

    def score(epoch: int) -> None:
        scores = probabilities(task, network, tokenizer, dev, recipe)
        rule = decision_rule(task, scores, dev)
        value = task.figures(dev, rule(scores))[task.headline]
        print(f"    {recipe.learning_rate:g}, {recipe.pooling}, seed {recipe.seed}, epoch {epoch}: dev {100 * value:.1f}")
        if not best or value > best[0][0]:
            best[:] = [(value, epoch, rule, copy.deepcopy(network.state_dict()))]

    fit_pairs(network, tokenizer, [pairs], recipe, after_epoch=score)
    value, epoch, rule, state = best[0]
    network.load_state_dict(state)
    return Fit(network, tokenizer, recipe, rule, value, epoch)


def probabilities(
    task: Task, network: PairNetwork, tokenizer: Any, items: Sequence[Item], recipe: PairRecipe
) -> NDArray[np.float64]:
    """Return what a network says of items, (n, labels): logits of stances, or a probability for each of several labels."""
    logits = score_pairs(network, tokenizer, pair_set(task, items), recipe)
    return np.asarray(1 / (1 + np.exp(-logits))) if task.multiple else logits


def linear_floor(task: Task, parts: Parts) -> tuple[dict[str, float], str]:
    """Return the figures of TF-IDF with a linear model, and which features and strength development rows preferred.

    One label a text: a linear support-vector machine; several: logistic regressions with thresholds. The text alone, text
    and target side by side, and, where targets are few, words that weigh differently for each target.
    """
    words: dict[str, Any] = {"ngram_range": (1, 2), "sublinear_tf": True}
    features = {"words": lambda: TfidfVectorizer(**words)}
    if task.characters:
        shapes: dict[str, Any] = {"analyzer": "char_wb", "ngram_range": (2, 5), "sublinear_tf": True, "min_df": 2}
        features["words and characters"] = lambda: make_union(TfidfVectorizer(**words), TfidfVectorizer(**shapes))
    gold = task.gold(parts.train)
    best: tuple[float, dict[str, float], str] | None = None
    for name, make in features.items():
        for layout, (train, dev, test) in _layouts(parts, make).items():
            for strength in (1.0, 3.0, 10.0) if task.multiple else (0.1, 0.3, 1.0):
                if task.multiple:
                    liblinear = LogisticRegression(C=strength, class_weight="balanced", solver="liblinear")
                    model = OneVsRestClassifier(liblinear).fit(train, gold)
                    scores = [model.predict_proba(x) for x in (dev, test)]
                else:
                    machine = LinearSVC(C=strength, class_weight="balanced", random_state=0).fit(train, gold)
                    scores = [_all_columns(machine, x, len(task.labels)) for x in (dev, test)]
                rule = decision_rule(task, scores[0], parts.dev)
                value = task.figures(parts.dev, rule(scores[0]))[task.headline]
                if best is None or value > best[0]:
                    best = (value, task.figures(parts.test, rule(scores[1])), f"{name}, {layout}, C={strength:g}")
    assert best is not None  # noqa: S101  # there is always one set of features
    return best[1], best[2]


def _all_columns(machine: Any, matrix: Any, labels: int) -> NDArray[np.float64]:
    """Return the machine's scores with a column for every label, the lowest possible for one it has not seen."""
    scores = machine.decision_function(matrix)
    scores = np.column_stack([-scores, scores]) if scores.ndim == 1 else scores
    out = np.full((scores.shape[0], labels), -np.inf)
    out[:, machine.classes_] = scores
    return out


def _layouts(parts: Parts, make: Callable[[], Any]) -> dict[str, tuple[Any, Any, Any]]:
    from scipy.sparse import csr_matrix, diags, hstack

    all_parts = (parts.train, parts.dev, parts.test)
    targets = sorted({i.pair.target for i in parts.train})
    text = make()
    target = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")  # noqa: S106  # no password
    text.fit([i.pair.text for i in parts.train])
    target.fit([i.pair.target for i in parts.train])
    x = [text.transform([i.pair.text for i in part]).tocsr() for part in all_parts]
    t = [target.transform([i.pair.target for i in part]) for part in all_parts]
    out = {"text": tuple(x)}
    if len(targets) > 1:
        out["text and target"] = tuple(hstack([a, b]).tocsr() for a, b in zip(x, t, strict=True))
    if 1 < len(targets) <= FEW_TARGETS:
        crossed = []
        for part, matrix in zip(all_parts, x, strict=True):
            own = [diags([float(i.pair.target == name) for i in part]) @ matrix for name in targets]
            crossed.append(csr_matrix(hstack([matrix, *own])))
        out["text for each target"] = tuple(crossed)
    return out


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the results: what was trained on what, how it was chosen, and what it scored. Figures lie in [0, 1].

    ``figures`` has each seed's value with mean and standard deviation (n - 1; null for one seed); it is empty and
    ``encoder`` null where only the floor was measured. ``warm_start`` has the files of outside data, and
    ``warm_start_recipe`` how the encoder learned from them. ``learned_from`` is ``labels`` or, where the training rows have
    them, ``probabilities``. The oldest rows have none of the three: labels, and no outside data.
    """

    set: str
    encoder: str | None
    seeds: tuple[int, ...]
    recipe: PairRecipe | None
    warm_start: tuple[dict[str, object], ...] = ()
    warm_start_recipe: PairRecipe | None = None
    learned_from: str = "labels"
    tried: list[dict[str, Any]]
    screened_on: int
    epochs: tuple[int, ...]
    dev: tuple[float, ...]
    headline: str
    figures: dict[str, dict[str, Any]]
    floor: dict[str, float]
    floor_chosen: str
    reads: str
    rows: dict[str, int]
    files: dict[str, str]
    device: str
    threads: int
    seconds: float


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, standard deviation and the values themselves."""
    return {
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "values": [round(v, 5) for v in values],
    }


def run(name: str, folder: Path, arguments: argparse.Namespace, start: Start) -> Result:
    """Measure one set: the floor, and, unless it alone is wanted, the encoder with each seed."""
    task, started = TASKS[name], time.monotonic()
    parts = read_parts(task, folder, limit=arguments.limit)
    print(f"{name}: {len(parts.train)} train, {len(parts.dev)} dev, {len(parts.test)} test rows", flush=True)
    floor, chosen = linear_floor(task, parts)
    epochs: list[int] = []
    dev: list[float] = []
    tried: list[dict[str, Any]] = []
    measured: list[dict[str, float]] = []
    choices = list(itertools.product(arguments.rates, arguments.poolings))
    screen = sample(parts.train, arguments.screen) if len(choices) > 1 else parts.train  # nothing to choose from one
    best: PairRecipe | None = None
    if not arguments.floor:
        base = PairRecipe(epochs=arguments.epochs or task.epochs, seed=arguments.seeds[0])
        first: Fit | None = None
        for rate, pooling in choices:
            recipe = msgspec.structs.replace(base, learning_rate=rate, pooling=pooling)
            trial = fit(task, screen, parts.dev, recipe, start)
            tried.append({"learning_rate": rate, "pooling": pooling, "dev": round(trial.dev, 5), "epoch": trial.epoch})
            first = trial if first is None or trial.dev > first.dev else first
        assert first is not None  # noqa: S101  # argparse asks for at least one of each
        best = first.recipe
        for seed in arguments.seeds:
            recipe = msgspec.structs.replace(best, seed=seed)
            whole = recipe == best and len(screen) == len(parts.train)  # that one has been trained already
            one = first if whole else fit(task, parts.train, parts.dev, recipe, start)
            scores = probabilities(task, one.network, one.tokenizer, parts.test, recipe)
            measured.append(task.figures(parts.test, one.rule(scores)))
            epochs.append(one.epoch)
            dev.append(round(one.dev, 5))
    return Result(
        set=name,
        encoder=None if arguments.floor else Path(arguments.encoder).name,
        seeds=tuple(arguments.seeds) if measured else (),
        recipe=best,
        warm_start=tuple(s.facts() for s in start.outside) if measured else (),
        warm_start_recipe=warm_recipe(arguments) if start.outside and measured else None,
        learned_from="probabilities" if any(i.pair.shares for i in parts.train) and measured else "labels",
        tried=tried,
        screened_on=len(screen) if measured else 0,
        epochs=tuple(epochs),
        dev=tuple(dev),
        headline=task.headline,
        figures={figure: spread([m[figure] for m in measured]) for figure in (measured[0] if measured else ())},
        floor={figure: round(value, 5) for figure, value in floor.items()},
        floor_chosen=chosen,
        reads=task.reads,
        rows={"train": len(parts.train), "dev": len(parts.dev), "test": len(parts.test)},
        files=parts.files,
        device=torch.cuda.get_device_name() if start.device == "cuda" and measured else "cpu",
        threads=torch.get_num_threads(),
        seconds=round(time.monotonic() - started, 1),
    )


def warm_recipe(arguments: argparse.Namespace) -> PairRecipe:
    """Return how is learned from outside data."""
    return PairRecipe(epochs=arguments.warm_epochs, pooling=arguments.poolings[0])


def table(result: Result, published: Sequence[Mapping[str, Any]]) -> str:
    """Return a set's figures in per cent beside the floor and what was published; `unknown` where nothing was."""
    lines = [
        f"{result.set}: {result.encoder or 'linear floor alone'}, seeds {', '.join(map(str, result.seeds)) or '-'}, "
        f"{result.device}, {result.seconds:.0f} s; floor: {result.floor_chosen}",
        f"  {'figure':28}{'encoder':>14}{'floor':>8}  published",
    ]
    for figure, floor in result.floor.items():
        own = result.figures.get(figure)
        sd = "" if own is None or own["sd"] is None else f" ± {100 * own['sd']:.1f}"
        shown = "-" if own is None else f"{100 * own['mean']:.1f}{sd}"
        others = [f"{p['system']} {p['figures'][figure]} ({p['source']})" for p in published if figure in p["figures"]]
        mark = "*" if figure == result.headline else " "
        lines.append(f" {mark}{figure:28}{shown:>14}{100 * floor:8.1f}  {'; '.join(others) or 'unknown'}")
    return "\n".join(lines)


def main() -> int:
    """Measure the sets that are named, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with a folder a set")
    parser.add_argument("--sets", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--encoder", default=PACKAGED, help="Hugging Face folder or name; default: the packaged one")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="at most; default: what the set is given in this file")
    parser.add_argument("--rates", type=float, nargs="+", default=[1e-4, 3e-4], help="learning rates to choose from")
    parser.add_argument("--poolings", nargs="+", choices=POOLINGS, default=list(POOLINGS), help="to choose from")
    parser.add_argument("--screen", type=int, default=2000, help="training rows on which rate and pooling are chosen")
    parser.add_argument("--warm-start", type=Path, action="append", default=[], help="outside stance data to learn first")
    parser.add_argument("--warm-epochs", type=int, default=PairRecipe().epochs, help="on the outside data")
    parser.add_argument("--limit", type=int, help="rows of each part, for trying; no result is kept")
    parser.add_argument("--floor", action="store_true", help="the linear floor alone")
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    set_threads(arguments.threads)
    published = read_json(PUBLISHED)
    try:
        outside = tuple(read_pairs(path) for path in arguments.warm_start)
        warm = WarmStart(outside, warm_recipe(arguments)) if outside else None
        start = Start(arguments.encoder, "cuda" if torch.cuda.is_available() else "cpu", outside, warm)
        for name in arguments.sets:
            result = run(name, arguments.folder, arguments, start)
            if arguments.limit is None:
                arguments.output.parent.mkdir(parents=True, exist_ok=True)
                with arguments.output.open("ab") as stream:
                    stream.write(msgspec.json.encode(result) + b"\n")
            print(table(result, published.get(name, ())), flush=True)
    except TreatyStanceError as error:
        print(f"Error: {error}", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
