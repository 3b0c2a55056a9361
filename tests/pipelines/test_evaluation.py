"""The evaluation job: a trained bundle measured, compared, and put beside bundles of other seeds."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from click.testing import CliRunner

from corpus.errors import RecordError
from models.bundle import save_bundle
from models.evaluation import Bootstrap, Evaluation
from models.splits import Split, make_split, make_time_split, read_split
from models.training import Recipe
from pipelines.cli import cli
from pipelines.evaluation import comparison_table, evaluate_bundle, evaluation_table, spread_table, write_evaluation
from pipelines.training import TrainJob, train

if TYPE_CHECKING:
    from tests.conftest import Small

pytestmark = pytest.mark.slow
FEW = Bootstrap(100, 0)


def save(
    folder: Path, small: Small, *, noise: float = 0.0, split: Split | None = None, sha256: str | None = None, **recipe: Any
) -> Path:
    """Save the small network under another recipe, its stance head shaken by noise: another seed in miniature."""
    import torch

    network = copy.deepcopy(small.trained.network)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network.stance.weight += noise * torch.randn_like(network.stance.weight)
    trained = replace(small.trained, network=network, recipe=msgspec.structs.replace(small.recipe, **recipe))
    corpus = {"parts": {"train": 1}} | ({} if sha256 is None else {"sha256": sha256})
    facts = {"created": "2025-01-01", "corpus": corpus, "versions": {"treaty-stance": "0"}}
    save_bundle(folder, trained, small.codebook, split or small.split, facts=facts)
    return folder


@pytest.fixture(scope="module")
def shaken(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("seeds") / "seed-1", small, noise=3.0, seed=1)


@pytest.fixture(scope="module")
def evaluation(small_bundle: Path, shaken: Path, lines_path: Path) -> Evaluation:
    return evaluate_bundle(shaken, corpus=lines_path, bootstrap=FEW, spread=[small_bundle], against=small_bundle)


def test_an_evaluation_says_how_it_was_split_and_what_lies_behind_its_figures(evaluation: Evaluation, small: Small) -> None:
    assert evaluation.split == {"kind": "grouped", "seed": 0}
    assert evaluation.statements == len(small.split.parts["test"])
    assert evaluation.stances == small.codebook.stance_ids
    assert sum(map(sum, evaluation.confusion)) == evaluation.statements
    for i, stance in enumerate(evaluation.stances):
        assert sum(evaluation.confusion[i]) == evaluation.figure("stance_f1", stance).support
    assert {s.dimension for s in evaluation.slices} == {"holder_type", "length", "year"}
    assert all(s.figures[0].baseline is not None for s in evaluation.slices if s.statements >= 10)
    accuracy = evaluation.figure("stance_accuracy").model
    assert accuracy is not None
    assert evaluation.risk_coverage[-1].accuracy == accuracy
    at_70 = evaluation.figure("accuracy_at_70").model
    assert next(p.accuracy for p in evaluation.risk_coverage if p.coverage == 0.7) == at_70
    assert sum(b.statements for b in evaluation.reliability) == evaluation.statements
    assert sum(b.statements for b in evaluation.concern_reliability) == 2 * evaluation.statements
    wrong = evaluation.statements - sum(evaluation.confusion[i][i] for i in range(3))
    assert 0 < len(evaluation.mistakes) == min(wrong, 30)


def test_holders_are_measured_beside_the_rule_that_needs_no_model(evaluation: Evaluation) -> None:
    for name in ("holder_exact_f1", "holder_overlap_f1", "holder_named_accuracy", "holder_type_macro_f1"):
        figure = evaluation.figure(name)
        assert figure.model is not None, name
        assert figure.baseline is not None, name
        assert figure.annotators is None, "a file of lines has no readings"
    overlap, exact = evaluation.figure("holder_overlap_f1").baseline, evaluation.figure("holder_exact_f1").baseline
    assert overlap is not None
    assert exact is not None
    assert overlap.value == exact.value == 1, "four names, all of them in training"


def test_the_spread_has_the_bundles_own_figure_first(evaluation: Evaluation) -> None:
    found = {s.name: s for s in evaluation.spread}
    accuracy = evaluation.figure("stance_accuracy").model
    assert accuracy is not None
    first, second = found["stance_accuracy"].values
    assert first == accuracy.value
    assert second > first, "the bundle that was not shaken"
    assert found["stance_accuracy"].sd == pytest.approx((second - first) / 2**0.5)
    assert evaluation.against is not None
    rival = next(f.second for f in evaluation.against.figures if f.name == "stance_accuracy")
    assert rival is not None
    assert rival.value == second


def test_the_tables_show_overall_figures_holders_spread_and_comparison(evaluation: Evaluation) -> None:
    table = evaluation_table(evaluation, labels=False)
    for title in ("Holder, overlap F1", "Holder type, macro-F1", "Stance, accuracy of the 70 % most confident"):
        assert title in table
    assert "Concern fish" not in table
    assert "Concern fish, F1" in evaluation_table(evaluation)
    assert "by time" not in table
    spread = spread_table(evaluation)
    assert spread.splitlines()[0].split() == ["figure", "mean", "sd", "values"]
    assert "2 bundles" in spread
    assert evaluation.against is not None
    comparison = comparison_table(evaluation.against)
    assert "first - second" in comparison
    assert evaluation.against.second in comparison


def test_an_evaluation_file_comes_back_whole(evaluation: Evaluation, tmp_path: Path) -> None:
    write_evaluation(tmp_path / "evaluation.json", evaluation)
    assert msgspec.json.decode((tmp_path / "evaluation.json").read_bytes(), type=Evaluation) == evaluation


def test_a_bundle_against_itself_differs_by_nothing(small_bundle: Path, lines_path: Path) -> None:
    found = evaluate_bundle(small_bundle, corpus=lines_path, bootstrap=FEW, against=small_bundle).against
    assert found is not None
    assert found.first == found.second
    differences = [f.difference for f in found.figures]
    assert all(d is not None and (d.value, d.low, d.high) == (0, 0, 0) for d in differences)
    assert {f.p for f in found.figures} == {1}


def test_a_bundle_trained_on_a_split_by_time_is_measured_on_the_latest_statements(
    small: Small, lines_path: Path, tmp_path: Path
) -> None:
    split = make_time_split(small.examples)
    bundle = save(tmp_path / "time", small, split=split)
    found = evaluate_bundle(bundle, corpus=lines_path, bootstrap=FEW)
    assert found.split == split.record
    assert found.statements == len(split.parts["test"])
    assert f"split by time, documents from {split.test_from}" in evaluation_table(found)
    assert {s.value for s in found.slices if s.dimension == "year"} == {"2025"}


def test_bundles_that_do_not_fit_are_refused_before_anything_is_measured(
    small: Small, small_bundle: Path, shaken: Path, lines_path: Path, tmp_path: Path
) -> None:
    def refused(match: str, **options: Any) -> None:
        with pytest.raises(RecordError, match=match):
            evaluate_bundle(small_bundle, corpus=lines_path, bootstrap=FEW, **options)

    refused("trained with seed 0, as was", spread=[small_bundle])
    refused("trained with seed 1, as was", spread=[shaken, shaken])
    other_recipe = save(tmp_path / "recipe", small, seed=2, epochs=3)
    refused("differs from that of .* in epochs, expected another seed and nothing else", spread=[other_recipe])
    other_split = save(tmp_path / "split", small, seed=3, split=make_split(small.examples, seed=9))
    for options in ({"spread": [other_split]}, {"against": other_split}):
        refused("were trained on different splits .statements in other parts", **options)
    other_corpus = save(tmp_path / "corpus", small, seed=4, sha256="0123")
    refused("its corpus has hash 0123, expected None", against=other_corpus)


def test_training_on_a_split_by_time_writes_it_into_the_bundle(
    lines_path: Path, invented_path: Path, tiny_encoder: str, tmp_path: Path
) -> None:
    said: list[str] = []
    job = TrainJob(output=tmp_path / "bundle", corpus=lines_path, codebook=invented_path, split="time")
    train(job, Recipe(encoder=tiny_encoder, epochs=1), created="2025-01-01", say=said.append)
    split = read_split(tmp_path / "bundle" / "split.json")
    assert split.kind == "time"
    assert any(f"test from {split.test_from}; 0 undated" in line for line in said)


def test_the_command_line_prints_comparison_and_spread_below_the_figures(
    small_bundle: Path, shaken: Path, lines_path: Path, tmp_path: Path
) -> None:
    options = ["--corpus", lines_path, "--against", shaken, "--spread", shaken, "--resamples", 100]
    result = CliRunner().invoke(cli, ["evaluate", str(small_bundle), *map(str, options)])
    assert result.exit_code == 0
    places = [result.output.index(word) for word in ("model - baseline", "sd", "first - second")]
    assert places == sorted(places)


def test_a_split_seed_means_nothing_in_a_split_by_time(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["train", "--split", "time", "--split-seed", "1", "--output", str(tmp_path / "b")])
    assert result.exit_code == 2
    assert "leave it out" in result.output
