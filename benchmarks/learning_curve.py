"""What labels are worth to TF-IDF, to a frozen encoder and to fine-tuning: rows in ``results/learning_curve.jsonl``.

    python benchmarks/learning_curve.py tf-idf frozen frozen-lexicon
    python benchmarks/learning_curve.py fine-tune --sizes 50 100 200 --seeds 0 1
    python benchmarks/learning_curve.py gentle --threads 2
    python benchmarks/learning_curve.py              (draws the chart from the rows that there are)

For each seed the train and development parts of the reference corpus are cut into folds by group. Each fold is held out
once. Of the other statements the first n count as labelled, in an order of whole documents in which every stance comes
early, so that a smaller set lies within each larger one. A fifth of the n is the development part: "n labels" is all that a
model may see. The test part is not read. Where the n have no example of a concern, fine-tuning learns the other concerns,
and the absent one counts as never raised.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation import load_codebook
from annotation.codebook import Codebook
from models.baseline import fit_baseline
from models.dataset import Example, targets
from models.metrics import Counter, Decisions, Interval, bootstrap_weights, cluster_sums, interval
from models.splits import group_examples, make_split, take
from models.training import Recipe, fine_tune
from pipelines.experiment import Fold
from pipelines.labelled import read_labelled
from pipelines.selection import Decide, changed, frozen_decider, gentle, tuned_decider

RESULTS = Path(__file__).parent / "results" / "learning_curve.jsonl"
CHART = Path(__file__).parents[1] / "docs" / "learning-curve.svg"
SIZES = (50, 100, 200, 400, 800)
FIGURES = ("stance_macro_f1", "stance_polar_f1", "stance_accuracy", "concern_macro_f1", "concern_micro_f1", "stance_ece")
TITLES = {"stance_macro_f1": "Stance, macro-F1", "concern_macro_f1": "Concerns, macro-F1"}
METHODS = {
    "tf-idf": "TF-IDF",
    "frozen": "frozen encoder",
    "frozen-lexicon": "frozen encoder with lexicon",
    "fine-tune": "fine-tuned",
    "gentle": "fine-tuned, gentler",
}


_COLOURS = ["#767676", "#7db3d8", "#1b6ca8", "#c4501b", "#7a3e9d"]
_HEADER = {"labelFontSize": 13, "labelFontWeight": "bold"}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One method at one number of labels.

    ``labels`` is the number asked for, None for all; ``used`` is the mean number of statements in train and development
    part. Each figure is a mean over seeds; its interval is a bootstrap by document over the held-out statements, all seeds
    drawn alike. ``values`` has the figure of each seed, ``spread`` their standard deviation (n - 1), 0 for one seed.
    ``recipe`` has what differs from the default one. ``seconds`` is the mean wall time of one training.
    """

    method: str
    labels: int | None
    used: float
    folds: int
    seeds: tuple[int, ...]
    statements: int
    split_hash: str
    figures: dict[str, Interval]
    values: dict[str, tuple[float, ...]]
    spread: dict[str, float]
    recipe: dict[str, object]
    seconds: float
    threads: int


@dataclass(frozen=True)
class Turn:
    """One held-out fold: the positions of what is held out, and of the rest in the order in which it is labelled."""

    held: NDArray[np.int64]
    order: NDArray[np.int64]


def turns(stances: NDArray[np.int64], groups: NDArray[np.int64], *, folds: int, seed: int) -> Iterator[Turn]:
    """Yield the folds of one seed, groups on one side each."""
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for i, (rest, held) in enumerate(splitter.split(stances, stances, groups)):
        yield Turn(held, labelling_order(rest, stances, groups, np.random.default_rng((seed, i))))


def labelling_order(
    rest: NDArray[np.int64], stances: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return positions group by group in random order, after two groups of each stance, the rarest stance first.

    Two, so that one of them can be learned from where the other is in the development part.
    """
    shuffled = rng.permutation(np.unique(groups[rest]))
    members = {g: rest[groups[rest] == g] for g in shuffled}
    first: list[int] = []
    for stance in sorted(set(stances[rest]), key=lambda s: (int((stances[rest] == s).sum()), s)):
        having = [g for g in shuffled if stance in stances[members[g]]]
        missing = 2 - sum(g in first for g in having)
        first += [g for g in having if g not in first][: max(0, missing)]
    return np.concatenate([members[g] for g in (*first, *(g for g in shuffled if g not in first))])


def parted(
    chosen: NDArray[np.int64], stances: NDArray[np.int64], groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split labelled positions by group into training (four fifths) and development, every stance in training."""
    from sklearn.model_selection import StratifiedGroupKFold

    y, g = stances[chosen], groups[chosen]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        splits = list(StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(y, y, g))
    training, development = next(s for s in splits if len(s[1]) and set(y[s[0]]) == set(y))
    return np.sort(chosen[training]), np.sort(chosen[development])


def main() -> None:
    """Run what was asked for, append its rows, and draw the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=", ".join(METHODS))
    parser.add_argument("--sizes", nargs="+", default=[*SIZES, "all"], help="numbers of labels, or all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--threads", type=int, default=None, help="of the processor; default: what torch takes")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--chart", type=Path, default=CHART)
    arguments = parser.parse_args()
    unknown = [m for m in arguments.methods if m not in METHODS]
    if unknown:
        parser.error(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}")
    sizes = [None if size == "all" else int(size) for size in arguments.sizes]
    if arguments.methods:
        _measure(arguments, sizes)
    rows = read_rows(arguments.output)
    print(table(rows))
    draw(rows, arguments.chart)


@dataclass(frozen=True)
class Bench:
    """What every method is measured on: the train and development parts of the reference corpus, and how they are drawn."""

    examples: tuple[Example, ...]
    codebook: Codebook
    stances: NDArray[np.int64]
    groups: NDArray[np.int64]
    split_hash: str
    seeds: tuple[int, ...]
    folds: int

    @classmethod
    def open(cls, seeds: Sequence[int], folds: int) -> Bench:
        """Read the reference corpus; its test part stays shut."""
        codebook = load_codebook()
        everything = read_labelled(None, codebook).examples
        split = make_split(everything, seed=0)
        examples = (*take(everything, split, "train"), *take(everything, split, "development"))
        stances, groups = targets(examples, codebook).stance, np.array(group_examples(examples))
        return cls(examples, codebook, stances, groups, split.hashes["train"], tuple(seeds), folds)

    def measure(self, method: str, labels: int | None, decide: Decide, recipe: dict[str, object]) -> Row:
        """Train and decide on every fold of every seed with so many labels, None for all, and return the row."""
        import torch

        begun, used = time.perf_counter(), []
        by_seed = []
        for seed in self.seeds:
            lots: list[tuple[NDArray[np.int64], Decisions]] = []
            for turn in turns(self.stances, self.groups, folds=self.folds, seed=seed):
                parts = (*parted(turn.order[:labels], self.stances, self.groups, seed), turn.held)
                used.append(len(parts[0]) + len(parts[1]))
                lots.append((turn.held, decide(Fold(*(tuple(self.examples[i] for i in part) for part in parts)), seed)))
                print(f"{method}, {labels or 'all'} labels, seed {seed}: {len(lots)} of {self.folds} folds", flush=True)
            by_seed.append(lots)
        return Row(
            method=method,
            labels=labels,
            used=float(np.mean(used)),
            folds=self.folds,
            seeds=self.seeds,
            statements=len(self.examples),
            split_hash=self.split_hash,
            **summary(by_seed, self.groups, self.codebook),
            recipe=recipe,
            seconds=round((time.perf_counter() - begun) / len(used), 1),
            threads=torch.get_num_threads(),
        )


def keep(row: Row, path: Path) -> None:
    """Append a row to a file of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as stream:
        stream.write(msgspec.json.encode(row) + b"\n")


def _measure(arguments: argparse.Namespace, sizes: Sequence[int | None]) -> None:
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    bench = Bench.open(arguments.seeds, arguments.folds)
    for method in arguments.methods:
        decide, recipe = _method(method, bench.examples, bench.codebook)
        for size in sizes:
            row = bench.measure(method, size, decide, recipe)
            keep(row, arguments.output)
            print(table([row]).splitlines()[-1], flush=True)


def _method(name: str, examples: Sequence[Example], codebook: Codebook) -> tuple[Decide, dict[str, object]]:
    """Return what trains and decides by a method, and what its recipe has that the default has not."""
    plain = Recipe()
    if name == "tf-idf":
        return _by_baseline(codebook), {}
    if name.startswith("frozen"):
        recipe = plain if name == "frozen-lexicon" else msgspec.structs.replace(plain, lexicon=0.0)
        return frozen_decider(examples, codebook, recipe), changed(recipe, plain)
    recipe = gentle(plain) if name == "gentle" else plain
    return tuned_decider(codebook, recipe, fine_tune), changed(recipe, plain)


def _by_baseline(codebook: Codebook) -> Decide:
    def decide(fold: Fold, seed: int) -> Decisions:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Label not .* is present in all training examples")
            return fit_baseline(fold.training, fold.development, codebook).decide(fold.held_out, codebook)

    return decide


def summary(
    by_seed: Sequence[Sequence[tuple[NDArray[np.int64], Decisions]]],
    groups: NDArray[np.int64],
    codebook: Codebook,
    *,
    resamples: int = 2000,
) -> dict[str, Any]:
    """Return ``figures``, ``values`` and ``spread`` of a row.

    Args:
        by_seed: For each seed the folds: positions held out, and the decisions on them.
        groups: The document group of each position, the clusters of the bootstrap.
        codebook: Its labels.
        resamples: Of the bootstrap.
    """
    polar = tuple(codebook.stance_ids.index(s) for s in codebook.polar_ids)
    counter = Counter(len(codebook.stances), len(codebook.concerns), polar, ())
    clusters = int(groups.max()) + 1
    weights = bootstrap_weights(clusters, resamples=resamples, seed=0)
    per_seed = []
    for lots in by_seed:
        counts = np.concatenate([counter.counts(d) for _, d in lots])
        summed = cluster_sums(counts, groups[np.concatenate([held for held, _ in lots])], clusters)
        per_seed.append((counter.metrics(summed.sum(0)), counter.metrics(weights @ summed)))
    figures, values = {}, {}
    for name in FIGURES:
        values[name] = tuple(float(value[name, None]) for value, _ in per_seed)
        resampled = np.mean([drawn[name, None] for _, drawn in per_seed], axis=0)
        found = interval(np.array(np.mean(values[name])), resampled)
        if found is not None:
            figures[name] = found
    spread = {name: float(np.std(v, ddof=1)) if len(v) > 1 else 0.0 for name, v in values.items()}
    return {"figures": figures, "values": values, "spread": spread}


def read_rows(path: Path) -> list[Row]:
    """Return the last row of each method and size, by method and size, all labels at the end."""
    last: dict[tuple[str, int | None], Row] = {}
    if path.exists():
        for line in path.read_bytes().splitlines():
            row = msgspec.json.decode(line, type=Row)
            last[row.method, row.labels] = row
    return sorted(last.values(), key=lambda r: (list(METHODS).index(r.method), r.labels or np.inf))


def table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table: mean over seeds, interval, spread over seeds."""
    titles = ("method", "labels", *TITLES.values(), "ECE of stance", "seconds a training")
    lines = [" | ".join(titles), " | ".join("-" * len(t) for t in titles)]
    for row in rows:
        cells = []
        for name in TITLES:
            figure = row.figures.get(name)
            cells.append(
                f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}] ± {row.spread[name]:.3f}"
                if figure
                else "undefined"
            )
        error = row.figures.get("stance_ece")
        labels = "all" if row.labels is None else str(row.labels)
        cells = [
            METHODS[row.method],
            f"{labels} ({row.used:.0f})",
            *cells,
            f"{error.value:.3f}" if error else "",
            f"{row.seconds}",
        ]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw both macro-F1 against the number of labels, with intervals, as SVG."""
    if not rows:
        return
    import altair as alt

    points: list[dict[str, Any]] = [
        {
            "method": METHODS[row.method],
            "labels": row.used,
            "task": title,
            "value": row.figures[name].value,
            "low": row.figures[name].low,
            "high": row.figures[name].high,
        }
        for row in rows
        for name, title in TITLES.items()
        if name in row.figures
    ]
    known = [METHODS[m] for m in METHODS if any(p["method"] == METHODS[m] for p in points)]
    colours = [_COLOURS[list(METHODS.values()).index(name)] for name in known]
    ticks = sorted({round(p["labels"]) for p in points})
    base = alt.Chart({"values": points}).encode(
        x=alt.X(
            "labels:Q", title="labelled statements", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(values=ticks)
        ),
        color=alt.Color("method:N", title=None, sort=known, scale=alt.Scale(domain=known, range=colours)),
    )
    shape = alt.Shape("method:N", title=None, sort=known, scale=alt.Scale(domain=known))
    value = alt.Y("value:Q", title="macro-F1", scale=alt.Scale(zero=False))
    layers = alt.layer(
        base.mark_area(fillOpacity=0.15).encode(y=alt.Y("low:Q", title="macro-F1"), y2="high:Q"),
        base.mark_line().encode(y=value),
        base.mark_point(filled=True, size=45).encode(y=value, shape=shape),
    ).properties(width=330, height=260)
    chart = layers.facet(column=alt.Column("task:N", title=None, sort=list(TITLES.values()), header=_HEADER))
    chart.configure_view(strokeOpacity=0.2).configure(background="white", font="sans-serif").save(path)


if __name__ == "__main__":
    main()
