"""Measure how often the intervals of shares hold, over simulated corpora of which the truth is known.

    python benchmarks/coverage.py
    python benchmarks/coverage.py --corpora 200 --only clusters

A population is made once for each kind of coverage and model: clusters of statements with labels, predictions, a group and
concerns. A corpus is a draw of clusters from it, an audit sample a draw of statements from the corpus, and the estimator is
the one that reports use. What is to be covered is the population's share. Of corpora of 100,000 statements only the sums and
cross products enter an estimate; these are drawn from their normal distribution instead of statement by statement.

Each setting adds a row for each label to ``results/coverage.jsonl``, which is made anew.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.differences import difference
from models.intervals import Pseudo, share_interval
from models.label_shift import corrected, draw_rates, unfit
from models.prevalence import Group, Question, Sample, Totals, estimate, expected_cases
from pipelines.shares import LEAST_BELOW, LEAST_CASES, LEAST_GOLD

Floats = NDArray[np.float64]

RESULTS = Path(__file__).parent / "results" / "coverage.jsonl"
SHARES = np.array([0.6, 0.2, 0.13, 0.05, 0.02])
MADE = 60_000  # clusters in a population
K = len(SHARES)
STANCE = Question(tuple(range(1, 1 + K)), exclusive=True)
GIVEN = Question((1 + K + 2,), 2)  # the first concern among statements of the second stance
CONCERN = Question((1 + K, 2 + K))


@dataclass(frozen=True)
class Setting:
    """One kind of simulated corpus and audit sample."""

    model: str  # one of MODELS
    clusters: bool
    design: str  # random, strata, equal strata, unequal
    n: int
    corpus: int


@dataclass(frozen=True)
class Population:
    """Units with column 0 of ones, and sums over clusters of all units and of those in group A."""

    x: Floats
    y: Floats
    group: NDArray[np.bool_]
    cluster: NDArray[np.int64]
    start: NDArray[np.int64]
    totals: Floats
    totals_a: Floats
    decided: NDArray[np.int64]


MODELS = {  # strength of the signal, noise of a statement, noise of a cluster, systematic bias, overconfidence
    "useless": (0.0, 1.0, 0.5, 0.0, 1.0),
    "biased": (2.0, 1.0, 0.8, 1.2, 2.0),
    "good": (3.0, 1.0, 0.5, 0.3, 1.0),
    "excellent": (6.0, 1.5, 0.7, 0.5, 3.0),
}


def populate(model: str, clusters: bool, *, seed: int = 0) -> Population:
    """Make a population: labels alike within clusters (intraclass correlation 0.25), errors of the model likewise."""
    rng = np.random.default_rng([seed, sorted(MODELS).index(model), int(clusters)])
    size = np.minimum(rng.geometric(0.35, MADE), 12) if clusters else np.ones(MADE, dtype=np.int64)
    cluster = np.repeat(np.arange(MADE), size)
    n = len(cluster)
    mix = rng.dirichlet(SHARES * 3, MADE) if clusters else np.tile(SHARES, (MADE, 1))
    label = (rng.random(n)[:, None] > mix.cumsum(1)[cluster]).sum(1).clip(0, K - 1)
    signal, noise, shared, bias, sharp = MODELS[model]
    logits = np.log(SHARES) * 0.5 + signal * np.eye(K)[label] + noise * rng.normal(size=(n, K))
    logits += (shared * rng.normal(size=(MADE, K)))[cluster] * clusters + bias * np.array([-1, 1, 0, 0.5, 0])
    f = np.exp(sharp * logits)
    f /= f.sum(1, keepdims=True)
    odds = np.array([0.1, 0.5, 0.3, 0.3, 0.2])[label]
    concern = np.stack([rng.random(n) < odds, rng.random(n) < 0.06], axis=1)
    tilt = signal * (concern - 0.5) + rng.normal(size=(n, 2)) - np.array([0.5, 1.0]) - bias / 2
    g = 1 / (1 + np.exp(-sharp * tilt))
    group = rng.random(n) < np.array([0.25, 0.45, 0.3, 0.4, 0.3])[label]
    x, y = _columns(f, g), _columns(np.eye(K)[label], concern.astype(float))
    start = np.concatenate([[0], size.cumsum()])
    sums = np.add.reduceat(x, start[:-1], axis=0)
    return Population(
        x, y, group, cluster, start, sums, np.add.reduceat(x * group[:, None], start[:-1], axis=0), f.argmax(1)
    )


def _columns(stance: Floats, concern: Floats) -> Floats:
    return np.concatenate([np.ones((len(stance), 1)), stance, concern, stance[:, 1:2] * concern[:, :1]], axis=1)


@dataclass(frozen=True)
class Corpus:
    """What the estimator is given of one simulated corpus."""

    groups: dict[str, Group]
    cross: Floats
    sample: Sample
    decided: Floats
    size: int


def corpora(population: Population, setting: Setting, count: int, *, seed: int) -> Iterator[Corpus]:
    """Draw corpora with an audit sample each."""
    rng = np.random.default_rng(seed)
    p = population
    chosen = round(setting.corpus * MADE / len(p.cluster))
    whole = setting.corpus <= 5000
    both = np.concatenate([p.totals, p.totals_a, np.add.reduceat(np.eye(K)[p.decided], p.start[:-1], axis=0)], axis=1)
    mean, spread = both.mean(0), np.cov(both.T)
    square, k = both.T @ both / MADE, p.x.shape[1]
    chance = _chance(p, setting)
    for _ in range(count):
        if whole:
            drawn = rng.integers(MADE, size=chosen)
            t = both[drawn]
            sums, gram = t.sum(0), t.T @ t
            sizes = p.start[drawn + 1] - p.start[drawn]
            own = np.repeat(np.arange(chosen), sizes)
            units = np.arange(len(own)) - np.repeat(sizes.cumsum() - sizes, sizes) + np.repeat(p.start[drawn], sizes)
        else:
            sums = rng.multivariate_normal(mean * chosen, spread * chosen, method="eigh")
            gram, units = square * chosen, rng.integers(len(p.cluster), size=20 * setting.n)
            own = p.cluster[units]
        n_all = len(units) if whole else setting.corpus
        take, weight, stratum = _draw(rng, p.decided[units], chance[units], setting, n_all)
        at = units[take]
        numbers, cluster = np.unique(own[take], return_inverse=True)
        totals = t[numbers] if whole else both[numbers]
        sample = Sample(p.x[at], p.y[at], weight, np.ones(len(at)), cluster, stratum)
        a = p.group[at]
        parts = (slice(0, k), slice(k, 2 * k))
        all_, a_ = (Totals(sums[s], gram[s, s], chosen) for s in parts)
        cross = gram[parts[1], parts[0]] - a_.gram
        rest = Totals(all_.sums - a_.sums, all_.gram - gram[parts[0], parts[1]] - cross, chosen)
        groups = {
            "all": Group(all_, np.ones(len(at), dtype=bool), totals[:, :k]),
            "a": Group(a_, a, totals[:, k : 2 * k]),
            "rest": Group(rest, ~a, totals[:, :k] - totals[:, k : 2 * k]),
        }
        yield Corpus(groups, cross, sample, sums[2 * k :] / sums[0], n_all)


def _chance(p: Population, setting: Setting) -> Floats:
    """Return what inclusion is proportional to where it is unequal: how unsure the model is, and never below a third."""
    top = np.sort(p.x[:, 1 : 1 + K], axis=1)
    return np.asarray(1.3 - (top[:, -1] - top[:, -2])) if setting.design == "unequal" else np.ones(len(p.cluster))


def _draw(
    rng: np.random.Generator, decided: NDArray[np.int64], chance: Floats, setting: Setting, size: int
) -> tuple[NDArray[np.int64], Floats, NDArray[np.int64]]:
    """Return places, weights and strata of an audit sample among units, which stand for ``size`` ones."""
    here, n = len(decided), min(setting.n, len(decided))
    blow = size / here
    if setting.design == "random":
        return rng.choice(here, n, replace=False), np.full(n, size / n), np.zeros(n, dtype=np.int64)
    if setting.design == "unequal":  # systematic along a random order: fixed size, probabilities as stated
        order = rng.permutation(here)
        pi = np.minimum(chance[order] * n / chance.sum(), 1)
        hits = np.floor(pi.cumsum() + rng.random())
        take = order[np.diff(hits, prepend=hits[0] - (pi[0] >= 1)) > 0]
        pi_of = np.minimum(chance[take] * n / chance.sum(), 1)
        return take, blow / pi_of, np.zeros(len(take), dtype=np.int64)
    counts = np.bincount(decided, minlength=K)
    if setting.design == "strata":
        share = np.minimum(np.maximum(np.round(n * counts / here), 2), counts)
    else:
        share = np.minimum(np.full(K, n // K), counts)
    takes, weights, strata = [], [], []
    for h in range(K):
        m = int(share[h])
        if m:
            takes.append(rng.choice(np.flatnonzero(decided == h), m, replace=False))
            weights.append(np.full(m, blow * counts[h] / m))
            strata.append(np.full(m, h))
    return np.concatenate(takes), np.concatenate(weights), np.concatenate(strata)


def measure(setting: Setting, count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Return a row for each label of each question in one setting."""
    population = populate(setting.model, setting.clusters)
    y, group = population.y, population.group
    every = y.mean(0)
    truth = {
        "stance": every[1 : 1 + K],
        "concern": every[1 + K : 3 + K],
        "concern given stance": every[[3 + K]] / every[2],
        "difference": (y[group].mean(0) - y[~group].mean(0))[1 : 1 + K],
    }
    found: dict[str, list[Floats]] = {name: [] for name in truth}
    for corpus in corpora(population, setting, count, seed=seed):
        g, s = corpus.groups, corpus.sample
        for name, question in (("stance", STANCE), ("concern", CONCERN), ("concern given stance", GIVEN)):
            below, cases = expected_cases(g["all"], s, question)
            ours = estimate(g["all"], s, question)
            shown = (cases >= LEAST_CASES) & (below >= LEAST_BELOW)
            others = [np.full_like(cases, np.nan)] * 4
            if name == "stance":
                alone = estimate(g["all"], s, question, power=0.0)
                others = [alone.low, alone.high, *_plain(corpus)]
            found[name].append(np.stack([ours.low, ours.high, *others, shown]))
        below = min(expected_cases(g[k], s, STANCE)[0] for k in ("a", "rest"))
        cases = np.minimum(*(expected_cases(g[k], s, STANCE)[1] for k in ("a", "rest")))
        enough = below >= LEAST_BELOW and min(g[k].inside.sum() for k in ("a", "rest")) >= LEAST_GOLD
        rows = [np.full(K, np.nan)] * 6
        if enough:
            a, b = (estimate(g[k], s, STANCE) for k in ("a", "rest"))
            ours_d = difference(a, b, corpus.cross)
            rows = [ours_d.low, ours_d.high, *rows[2:]]
        found["difference"].append(np.stack([*rows, (cases >= LEAST_CASES) & enough]))
    return [
        {
            **_named(setting),
            "question": name,
            "truth": round(float(truth[name][j]), 4),
            **_summary(values[:, :, j], truth[name][j]),
        }
        for name, values in ((name, np.array(v)) for name, v in found.items())
        for j in range(values.shape[2])
    ]


def _plain(corpus: Corpus) -> tuple[Floats, Floats]:
    """Return Wilson's interval of counted decisions, as somebody would give who takes them for truth."""
    share = corpus.decided
    return share_interval(share, share * (1 - share) / corpus.size, corpus.size, np.inf, Pseudo(0.0, 0.0), 0.95)


def _named(setting: Setting) -> dict[str, Any]:
    return {
        "model": setting.model, "clusters": setting.clusters, "design": setting.design, "gold": setting.n,
        "corpus": setting.corpus,
    }  # fmt: skip


def _summary(values: Floats, truth: float) -> dict[str, Any]:
    """Return coverage and mean width of three intervals over the corpora in which the share is shown."""
    shown = values[:, 6] > 0
    out: dict[str, Any] = {"corpora": len(values), "shown": round(float(shown.mean()), 4)}
    kept = values[shown]
    for name, at in (("ours", 0), ("gold", 2), ("uncorrected", 4)):
        low, high = kept[:, at], kept[:, at + 1]
        known = bool(len(kept)) and bool(np.isfinite(low).any())
        out[f"{name}_coverage"] = round(float(((low <= truth) & (truth <= high)).mean()), 4) if known else None
        out[f"{name}_width"] = round(float((high - low).mean()), 4) if known else None
    return out


def settings() -> list[Setting]:
    """Return all settings."""
    return [
        Setting(model, clusters, design, n, corpus)
        for model in MODELS
        for clusters, design, n, corpus in (
            (True, "random", 50, 5000),
            (True, "random", 100, 500),
            (True, "random", 200, 100_000),
            (True, "random", 500, 5000),
            (True, "strata", 200, 5000),
            (True, "unequal", 200, 500),
            (False, "random", 50, 500),
            (False, "random", 100, 100_000),
            (False, "strata", 100, 5000),
            (False, "equal strata", 200, 5000),
        )
    ]


def measure_label_shift(cases: int, corpus: int, count: int, *, seed: int = 1) -> list[dict[str, Any]]:
    """Measure the correction by a confusion matrix where its assumption holds, with four stances in clusters of three."""
    rng = np.random.default_rng([seed, cases, corpus])
    rates = np.array([[0.75, 0.1, 0.05, 0.1], [0.1, 0.75, 0.05, 0.1], [0.15, 0.15, 0.6, 0.1], [0.05, 0.1, 0.05, 0.8]])
    truth, tested = np.array([0.3, 0.15, 0.05, 0.5]), np.array([0.25, 0.25, 0.15, 0.35])
    found = []
    for _ in range(count):
        confusion = np.stack([rng.multinomial(n, row) for n, row in zip(rng.multinomial(cases, tested), rates, strict=True)])
        if unfit(confusion.astype(float)) is not None:
            continue
        labels = rng.multinomial(3, rng.dirichlet(truth * 3, corpus // 3))
        decided = sum(rng.multinomial(labels[:, k], rates[k]) for k in range(4))
        seed_ = int(rng.integers(2**31))
        drawn = draw_rates(confusion.astype(float), draws=500, seed=seed_)
        found.append(np.stack(corrected(np.asarray(decided, dtype=float), drawn, seed=seed_)))
    values = np.array(found)
    inside = ((values[:, 1] <= truth) & (truth <= values[:, 2])).mean(0)
    return [
        {
            "model": "confusion", "gold": cases, "corpus": corpus, "question": "stance", "truth": float(truth[j]),
            "corpora": count,
            "shown": round(len(values) / count, 4), "ours_coverage": round(float(inside[j]), 4),
            "ours_width": round(float((values[:, 2] - values[:, 1]).mean(0)[j]), 4),
        }
        for j in range(4)
    ]  # fmt: skip


def main() -> None:
    """Measure all settings and write a row for each label."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", type=int, default=2000, help="simulated corpora a setting (default: 2000)")
    parser.add_argument("--output", type=Path, default=RESULTS, help=f"default: {RESULTS.name} beside the others")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    began = time.process_time()
    for setting in settings():
        new = measure(setting, arguments.corpora)
        rows += new
        ours = [r["ours_coverage"] for r in new if r["shown"] >= 0.2]
        print(f"{setting}: coverage {min(ours):.3f} to {max(ours):.3f}, {time.process_time() - began:.0f} s", flush=True)
    for cases, corpus in ((150, 500), (340, 500), (340, 5000), (1000, 5000)):
        rows += measure_label_shift(cases, corpus, arguments.corpora)
    arguments.output.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


if __name__ == "__main__":
    main()
