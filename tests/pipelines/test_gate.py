"""The gate passes what keeps its floors, names what does not, and lowers nothing without a reason."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.codebook import load_codebook
from corpus.errors import RecordError, UsageError
from corpus.files import read_json, write_json
from corpus.identity import file_sha256
from models.evaluation import Evaluation, Figure
from models.metrics import Interval
from models.network import encoder_folder
from models.recipe import Recipe
from pipelines.gate import (
    _LOWER_IS_BETTER,
    Bound,
    Floors,
    check_shipped,
    compare,
    gate,
    gate_inputs,
    gate_table,
    read_floors,
    renew,
)

ROOT = Path(__file__).parents[2]
INPUTS = {"recipe": "aa", "codebook": "bb"}


def figure(name: str, value: float, low: float, high: float, label: str | None = None) -> Figure:
    return Figure(
        name=name,
        label=label,
        title=name,
        definition=name,
        support=10,
        model=Interval(value, low, high),
        baseline=None,
        annotators=None,
        difference=None,
    )


def measured(*figures: Figure, **fields: Any) -> Evaluation:
    given: dict[str, Any] = {"part": "test", "statements": 300, "split": {"kind": "grouped", "seed": 0}, **fields}
    return Evaluation(
        model_id="pact-1", codebook_id="pact/1@0", documents=9, doubly_annotated=0, bootstrap={}, metrics=figures, **given
    )


F1 = figure("stance_macro_f1", 0.6, 0.5, 0.68)
ECE = figure("stance_ece", 0.05, 0.03, 0.09)
RUN = measured(F1, ECE, figure("stance_f1", 0.1, 0.0, 0.2, label="yes_please"))


@pytest.fixture
def floors() -> Floors:
    return renew(RUN, None, INPUTS, date="2026-01-02")


def failures(evaluation: Evaluation, floors: Floors) -> list[str]:
    return [v.sentence for v in compare(evaluation, floors, INPUTS) if v.sentence is not None]


def test_a_floor_is_the_figure_less_half_its_interval_and_a_ceiling_is_the_other_way_round(floors: Floors) -> None:
    assert [(b.name, b.floor, b.ceiling) for b in floors.bounds] == [
        ("stance_macro_f1", 0.55, None),  # 0.6 - (0.6 - 0.5) / 2
        ("stance_ece", None, 0.07),  # 0.05 + (0.09 - 0.05) / 2
    ]
    assert floors.measured_on == "2026-01-02"
    narrow = renew(measured(figure("stance_accuracy", 0.7, 0.699, 0.701)), None, INPUTS, date="2026-01-02")
    assert narrow.bounds[0].floor == pytest.approx(0.69), "a margin of 0.01 at least"


@given(
    value=st.floats(0, 1),
    below=st.floats(0, 0.3),
    above=st.floats(0, 0.3),
    name=st.sampled_from(["stance_macro_f1", "stance_ece"]),
)
def test_what_was_measured_always_keeps_its_own_floors(value: float, below: float, above: float, name: str) -> None:
    evaluation = measured(figure(name, value, value - below, value + above))
    once = renew(evaluation, None, INPUTS, date="2026-01-02")
    assert failures(evaluation, once) == []
    assert renew(evaluation, once, INPUTS, date="2026-01-02") == once


@pytest.mark.parametrize(
    ("evaluation", "sentences"),
    [
        (RUN, []),
        (measured(figure("stance_macro_f1", 0.55, 0.5, 0.6), ECE), []),
        (
            measured(figure("stance_macro_f1", 0.5499, 0.5, 0.6), ECE),
            ["stance_macro_f1 is 0.5499, expected at least 0.550 (it was 0.6000); find what made it worse"],
        ),
        (
            measured(figure("stance_macro_f1", 0.3, 0.2, 0.4), figure("stance_ece", 0.0701, 0.0, 0.1)),
            [
                "stance_macro_f1 is 0.3000, expected at least 0.550 (it was 0.6000); find what made it worse",
                "stance_ece is 0.0701, expected at most 0.070 (it was 0.0500); find what made it worse",
            ],
        ),
        (
            measured(F1),
            ["stance_ece is pinned, but the evaluation has no such figure; bring it back, or drop it with --update"],
        ),
        (
            measured(F1, ECE, figure("holder_exact_f1", 0.8, 0.7, 0.9)),
            ["holder_exact_f1 is not pinned, expected a floor for each overall figure; add it with --update"],
        ),
        (
            measured(figure("stance_macro_f1", math.nan, math.nan, math.nan), ECE),
            ["stance_macro_f1 is nan, expected at least 0.550 (it was 0.6000); find what made it worse"],
        ),
    ],
)
def test_each_figure_that_breaks_its_bound_is_one_sentence(
    evaluation: Evaluation, sentences: list[str], floors: Floors
) -> None:
    assert failures(evaluation, floors) == sentences
    assert gate_table(compare(evaluation, floors, INPUTS)).count("NO") == len(sentences)


def test_figures_of_other_inputs_or_another_part_are_not_compared(floors: Floors) -> None:
    with pytest.raises(RecordError, match=r"other inputs than those found here \(recipe differ\), so nothing is compared"):
        compare(RUN, floors, {**INPUTS, "recipe": "cc"})
    with pytest.raises(RecordError, match=r"\(codebook; encoder differ\)"):
        compare(RUN, floors, {"recipe": "aa", "encoder": "dd"})
    for other in (
        measured(F1, ECE, part="development"),
        measured(F1, ECE, statements=299),
        measured(F1, ECE, split={"kind": "time", "seed": 0}),
    ):
        with pytest.raises(RecordError, match="the floors are for 300 statements of the test part"):
            compare(other, floors, INPUTS)


def test_renewing_raises_floors_and_never_lowers_one_silently(floors: Floors) -> None:
    better = renew(measured(figure("stance_macro_f1", 0.7, 0.6, 0.8), ECE), floors, INPUTS, date="2026-02-02")
    assert better.bounds[0] == Bound(name="stance_macro_f1", measured=0.7, floor=0.65)
    # a little worse than before, but above the floor: the floor stays
    worse = renew(measured(figure("stance_macro_f1", 0.56, 0.46, 0.66), ECE), floors, {"recipe": "new"}, date="2026-02-02")
    assert worse.bounds[0] == Bound(name="stance_macro_f1", measured=0.56, floor=0.55)
    assert worse.inputs == {"recipe": "new"}
    assert worse.lowered == ()
    with pytest.raises(RecordError, match=r"^stance_macro_f1 from 0\.55 to 0\.450: a floor is not lowered without a reason"):
        renew(measured(figure("stance_macro_f1", 0.5, 0.4, 0.6), ECE), floors, INPUTS, date="2026-02-02")
    with pytest.raises(RecordError, match=r"stance_ece from 0\.07 to 0\.100"):
        renew(measured(F1, figure("stance_ece", 0.08, 0.0, 0.12)), floors, INPUTS, date="2026-02-02")
    with pytest.raises(RecordError, match=r"stance_ece from 0\.07 to none"):
        renew(measured(F1), floors, INPUTS, date="2026-02-02", because="  ")


def test_a_reason_lowers_only_what_is_no_longer_reached_and_is_kept(floors: Floors) -> None:
    run = measured(figure("stance_macro_f1", 0.5, 0.4, 0.6), figure("stance_ece", 0.06, 0.0, 0.12))
    once = renew(run, floors, INPUTS, date="2026-02-02", because="smaller encoder")
    assert [(b.name, b.limit) for b in once.bounds] == [("stance_macro_f1", 0.45), ("stance_ece", 0.07)]
    assert [msgspec.to_builtins(low) for low in once.lowered] == [
        {"date": "2026-02-02", "name": "stance_macro_f1", "before": 0.55, "after": 0.45, "because": "smaller encoder"}
    ]
    twice = renew(measured(figure("stance_macro_f1", 0.5, 0.4, 0.6)), once, INPUTS, date="2026-03-03", because="no ECE")
    assert [low.because for low in twice.lowered] == ["smaller encoder", "no ECE"]
    assert twice.lowered[1].after is None


def test_every_input_is_hashed(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("torch==1\n")
    recipe, codebook = Recipe(), load_codebook()
    inputs = gate_inputs(recipe, codebook, constraints=constraints)
    weights = Path(encoder_folder(recipe.encoder)) / "model.safetensors"
    assert inputs["encoder, model.safetensors"] == file_sha256(weights)
    assert inputs["reference corpus, gold.jsonl"] == file_sha256(ROOT / "corpus" / "reference" / "gold.jsonl")
    assert len(inputs) == 7
    assert all(len(h) == 64 for h in inputs.values())
    other_book = msgspec.structs.replace(codebook, rules=(*codebook.rules, "One rule more."))
    changed = {
        "recipe": gate_inputs(msgspec.structs.replace(recipe, epochs=recipe.epochs + 1), codebook, constraints=constraints),
        "codebook": gate_inputs(recipe, other_book, constraints=constraints),
    }
    constraints.write_text("torch==2\n")
    changed["constraints.txt"] = gate_inputs(recipe, codebook, constraints=constraints)
    for name, found in changed.items():
        assert [key for key in inputs if inputs[key] != found[key]] == [name]


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"constraints\.txt: no such file; run the gate from the repository's root"):
        gate_inputs(Recipe(), load_codebook(), constraints=tmp_path / "constraints.txt")
    with pytest.raises(UsageError, match="encoder someone/some-model: expected a folder on this machine"):
        gate_inputs(Recipe(encoder="someone/some-model"), load_codebook(), constraints=ROOT / "constraints.txt")


@pytest.mark.parametrize(
    ("manifest", "recipe", "sentence"),
    [
        ({}, Recipe(seed=4), "bundle: recipe field seed is 4, expected the shipped 0; train as shipped"),
        ({"codebook_id": "other/1@0"}, Recipe(), "bundle: codebook is other/1@0, expected the shipped pact/1@0"),
        ({"selection": {"chosen": "frozen"}}, Recipe(), "bundle: way of training is frozen, expected the shipped fine-tune"),
        ({"warm_start": [{"path": "a.jsonl"}]}, Recipe(), "bundle: warm_start is .*a.jsonl.*, expected the shipped None"),
    ],
)
def test_only_what_was_trained_as_shipped_is_gated(manifest: dict[str, Any], recipe: Recipe, sentence: str) -> None:
    plain = {"codebook_id": "pact/1@0", "selection": {"chosen": "fine-tune"}, "warm_start": []}
    check_shipped(plain, Recipe(), Recipe(), "pact/1@0", where="bundle")
    check_shipped({"codebook_id": "pact/1@0"}, Recipe(), Recipe(), "pact/1@0", where="bundle")
    with pytest.raises(UsageError, match=sentence):
        check_shipped({**plain, **manifest}, recipe, Recipe(), "pact/1@0", where="bundle")


def test_a_floors_file_is_read_back_and_another_refused(floors: Floors, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    write_json(path, floors)
    assert read_floors(path) == floors
    write_json(path, {**read_json(path), "format": 9})
    with pytest.raises(RecordError, match="format is 9, this release reads format 1"):
        read_floors(path)
    write_json(path, {"bounds": []})
    with pytest.raises(RecordError, match=r"gate\.json: expected the gate's floors"):
        read_floors(path)
    with pytest.raises(UsageError, match="no such file"):
        read_floors(tmp_path / "none.json")


def test_a_bundle_of_another_recipe_is_refused_by_the_command(small_bundle: Path, tmp_path: Path) -> None:
    arguments = ["--bundle", str(small_bundle), "--floors", str(tmp_path / "gate.json"), "--update", "--threads", "1"]
    with pytest.raises(UsageError, match="codebook is river-pact/1@"):
        gate.main(arguments, standalone_mode=False)
    assert not (tmp_path / "gate.json").exists()


def test_floors_of_other_inputs_stop_the_command_before_it_trains(floors: Floors, tmp_path: Path) -> None:
    write_json(tmp_path / "gate.json", floors)
    with pytest.raises(RecordError, match="so nothing is compared"):
        gate.main(["--floors", str(tmp_path / "gate.json"), "--threads", "1"], standalone_mode=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--allow-lower"],
        ["--update", "--allow-lower"],
        ["--update", "--because", "why"],
        ["--allow-lower", "--because", "why"],
        ["--update", "--allow-lower", "--because", " "],
    ],
)
def test_lowering_needs_all_three_options(arguments: list[str]) -> None:
    with pytest.raises(UsageError, match="give all three or none"):
        gate.main(arguments, standalone_mode=False)


def test_each_figure_that_calls_lower_better_has_a_ceiling() -> None:
    source = (ROOT / "models" / "evaluation.py").read_text(encoding="utf-8")
    assert source.count("lower is better") == len(_LOWER_IS_BETTER)


def test_the_committed_floors_can_be_read() -> None:
    floors = read_floors(ROOT / "benchmarks" / "gate.json")
    assert floors.part == "test"
    assert {b.name for b in floors.bounds} >= {"stance_macro_f1", "concern_macro_f1", "stance_ece"}
    assert {b.name for b in floors.bounds if b.ceiling is not None} <= _LOWER_IS_BETTER
