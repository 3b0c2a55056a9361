"""The learning curve's subsets lie within one another and leave no stance out; its figures are means over seeds."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest

from annotation.codebook import Codebook
from models.metrics import Decisions


@pytest.fixture(scope="module")
def curve() -> ModuleType:
    """The script as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "learning_curve.py"
    spec = importlib.util.spec_from_file_location("learning_curve", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["learning_curve"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def corpus(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Stances and groups of 400 statements in 100 documents; the last stance has one statement in twenty."""
    rng = np.random.default_rng(seed)
    return rng.choice(4, size=400, p=[0.3, 0.3, 0.35, 0.05]), np.repeat(np.arange(100), 4)


@pytest.mark.parametrize("seed", range(5))
def test_a_smaller_set_lies_within_a_larger_one_and_has_every_stance(curve: ModuleType, seed: int) -> None:
    stances, groups = corpus(seed)
    held: list[int] = []
    for turn in curve.turns(stances, groups, folds=4, seed=seed):
        held += turn.held.tolist()
        assert set(groups[turn.held]).isdisjoint(groups[turn.order])
        assert sorted([*turn.held, *turn.order]) == list(range(400))
        ends = np.flatnonzero(np.diff(groups[turn.order]))
        assert len(ends) + 1 == len(set(groups[turn.order])), "a document is labelled in one go"
        for size in (50, 100, 200, None):
            training, development = curve.parted(turn.order[:size], stances, groups, seed)
            assert set(stances[training]) == {0, 1, 2, 3}
            assert set(groups[training]).isdisjoint(groups[development])
            assert sorted([*training, *development]) == sorted(turn.order[:size])
            assert 0 < len(development) < len(training)
    assert sorted(held) == list(range(400)), "each statement is held out once"


def test_other_seeds_label_in_another_order(curve: ModuleType) -> None:
    stances, groups = corpus(0)
    one, two = (next(curve.turns(stances, groups, folds=4, seed=0)).order for _ in range(2))
    np.testing.assert_array_equal(one, two)
    rest = np.sort(one)
    other = curve.labelling_order(rest, stances, groups, np.random.default_rng(9))
    assert sorted(other) == sorted(one)
    assert list(other) != list(one)


def decisions(codebook: Codebook, right: int, n: int) -> Decisions:
    """The first ``right`` of n statements decided rightly; stances take turns."""
    gold = np.arange(n) % len(codebook.stances)
    stance = np.where(np.arange(n) < right, gold, (gold + 1) % len(codebook.stances))
    none = np.zeros((n, len(codebook.concerns)), dtype=bool)
    return Decisions(gold, stance, none, none, np.ones(n))


def test_figures_are_means_over_seeds_with_an_interval_by_document(curve: ModuleType, invented: Codebook) -> None:
    half, whole = np.arange(30), np.arange(30, 60)
    groups = np.repeat(np.arange(20), 3)
    first = [(half, decisions(invented, 30, 30)), (whole, decisions(invented, 0, 30))]
    second = [(whole, decisions(invented, 30, 30)), (half, decisions(invented, 30, 30))]
    found = curve.summary([first, second], groups, invented, resamples=500)
    assert found["values"]["stance_accuracy"] == (0.5, 1.0)
    accuracy = found["figures"]["stance_accuracy"]
    assert accuracy.value == 0.75
    assert found["spread"]["stance_accuracy"] == pytest.approx(np.std([0.5, 1.0], ddof=1))
    # ten of twenty documents are wrong for the first seed: binomial, halved by the mean with a perfect second seed
    assert accuracy.high - accuracy.low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 20) / 2, rel=0.15)
    assert "concern_macro_f1" not in found["figures"], "no concern is gold or decided: undefined"


def test_the_last_row_counts_and_the_chart_shows_each_method(curve: ModuleType, invented: Codebook, tmp_path: Path) -> None:
    groups = np.repeat(np.arange(20), 3)
    rows = []
    for method, labels, right in (("frozen", 50, 10), ("tf-idf", None, 40), ("tf-idf", 50, 20), ("frozen", 50, 60)):
        made = decisions(invented, right, 60)
        made.concerns[:, 0] = made.gold_concerns[:, 0] = True
        summary = curve.summary([[(np.arange(60), made)]], groups, invented, resamples=100)
        rows.append(
            curve.Row(
                method=method, labels=labels, used=labels or 45.0, folds=4, seeds=(0,), statements=60, split_hash="h",
                recipe={}, seconds=1.0, threads=1, **summary,
            )
        )  # fmt: skip
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    read = curve.read_rows(path)
    assert [(r.method, r.labels) for r in read] == [("tf-idf", 50), ("tf-idf", None), ("frozen", 50)]
    assert read[2].figures["stance_accuracy"].value == 1.0
    assert "| frozen encoder | 50 (50) | 1.000 [1.000, 1.000] ± 0.000 |" in curve.table(read)
    curve.draw(read, tmp_path / "chart.svg")
    svg = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    for words in ("TF-IDF", "frozen encoder", "Stance, macro-F1", "labelled statements"):
        assert words in svg
    assert curve.read_rows(tmp_path / "none.jsonl") == []
    curve.draw([], tmp_path / "empty.svg")
    assert not (tmp_path / "empty.svg").exists()
