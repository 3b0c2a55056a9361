"""The training job's extras: a run that was stopped goes on, and a network learns from a teacher."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from corpus.errors import RecordError, UsageError
from models.predictor import Predictor
from models.splits import make_split, take
from models.training import Listener
from pipelines.teacher import ask_teachers
from pipelines.training import TrainJob, train

if TYPE_CHECKING:
    from annotation.codebook import Codebook
    from tests.conftest import Small


@pytest.fixture
def job(tmp_path: Path, lines_path: Path, invented: Codebook) -> TrainJob:
    from annotation.codebook import dump_codebook

    path = tmp_path / "codebook.json"
    path.write_text(dump_codebook(invented), encoding="utf-8")
    return TrainJob(output=tmp_path / "bundle", corpus=lines_path, codebook=path, method="fine-tune")


class PowerCutError(Exception):
    """What stops a run in a test."""


@pytest.mark.slow
def test_a_training_that_was_stopped_goes_on_and_gives_the_same_bundle(job: TrainJob, small: Small, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(small.recipe, epochs=3)
    whole = train(replace(job, output=tmp_path / "whole"), recipe, created="2025-01-01")

    def cut(row: dict[str, float]) -> None:
        if row["epoch"] == 2:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        train(job, recipe, created="2025-01-01", listener=Listener(epoch=cut))
    assert job.checkpoint.is_dir()
    assert not job.output.exists(), "half a training is no bundle"
    rows: list[dict[str, float]] = []
    resumed = train(job, recipe, created="2025-01-01", listener=Listener(epoch=rows.append))
    assert [row["epoch"] for row in rows] == [3.0]
    assert resumed.model_id == whole.model_id
    assert not job.checkpoint.exists()


def test_a_teachers_probabilities_are_the_mean_over_teachers(small: Small, small_bundle: Path) -> None:
    training = take(small.examples, small.split, "train")[:20]
    one = ask_teachers([small_bundle], training, small.codebook, small.split)
    two = ask_teachers([small_bundle, small_bundle], training, small.codebook, small.split)
    judged = Predictor.load(small_bundle).judge([e.passage for e in training])
    assert one.taught.stance == pytest.approx(np.array([j.probabilities for j in judged]))
    assert one.taught.concerns == pytest.approx(np.array([j.concern_probabilities for j in judged]))
    assert two.taught.stance == pytest.approx(one.taught.stance)
    assert one.model_ids == (Predictor.load(small_bundle).model_id,)


def test_a_teacher_of_another_split_or_codebook_is_refused(small: Small, small_bundle: Path) -> None:
    training = take(small.examples, small.split, "train")[:20]
    with pytest.raises(RecordError, match="different splits"):
        ask_teachers([small_bundle], training, small.codebook, make_split(small.examples, seed=7))
    other = msgspec.structs.replace(small.codebook, concerns=small.codebook.concerns[:1])
    with pytest.raises(UsageError, match="choose a teacher with the same codebook"):
        ask_teachers([small_bundle], training, other, small.split)


@pytest.mark.slow
def test_a_bundle_names_its_teachers(job: TrainJob, small: Small, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(small.recipe, epochs=1)
    teacher = train(job, recipe, created="2025-01-01")
    pupil = train(replace(job, output=tmp_path / "pupil", teachers=(teacher.folder,)), recipe, created="2025-01-01")
    manifest = json.loads((pupil.folder / "manifest.json").read_text())
    assert manifest["teacher"] == {"model_ids": [teacher.model_id], "share": 0.5}
    assert pupil.model_id != teacher.model_id
    with pytest.raises(UsageError, match="a teacher is for fine-tuning"):
        train(replace(job, method="frozen", teachers=(teacher.folder,)), recipe, created="2025-01-01")
