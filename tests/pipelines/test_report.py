"""The report as a whole: what it refuses before anything is written, and what it writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from corpus.errors import RecordError, UsageError
from pipelines.report import PAGE, make_report, read_evaluation, write_report

WriteLabels = Callable[..., Path]
MODEL = "invented@0123456789abcdef"


def write_evaluation(path: Path, **changes: Any) -> Path:
    interval = {"value": 0.612, "low": 0.55, "high": 0.671}
    metric = {
        "name": "stance_macro_f1", "label": None, "title": "Stance, macro-F1", "definition": "A mean of F1.",
        "support": 331, "model": interval, "baseline": None, "annotators": None, "difference": None,
    }  # fmt: skip
    value = {
        "format": 1, "part": "test", "model_id": MODEL, "codebook_id": "bypass/3@0", "statements": 331, "documents": 80,
        "doubly_annotated": 331, "bootstrap": {"resamples": 1000, "seed": 0, "cluster": "document"},
        "metrics": [metric, metric | {"name": "f1", "label": "refuse", "title": "Refuses it, F1"}],
    }  # fmt: skip
    path.write_text(json.dumps(value | changes), encoding="utf-8")
    return path


def test_metrics_are_read_as_they_were_saved(tmp_path: Path) -> None:
    evaluation = read_evaluation(write_evaluation(tmp_path / "evaluation.json"), model_id=MODEL)
    assert (evaluation.statements, evaluation.documents) == (331, 80)
    assert evaluation.figure("stance_macro_f1").model is not None
    assert evaluation.figure("f1", "refuse").support == 331


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"format": 3}, "format is 3, this release reads formats 1 and 2"),
        ({"model_id": "other"}, "these are the metrics of model other, but the labels are those of invented@"),
        ({"metrics": "none"}, "expected the metrics of an evaluation, but .*metrics"),
    ],
)
def test_metrics_that_do_not_belong_here_are_refused(
    write_labels: WriteLabels, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation.json", **changes)
    with pytest.raises(RecordError, match=fault):
        make_report(write_labels([{}]), evaluation=evaluation, generated="2026-11-22")


def test_an_output_that_is_a_file_is_refused(write_labels: WriteLabels, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    report = make_report(write_labels([{}]), generated="2026-11-22")
    with pytest.raises(UsageError, match="out: expected a folder, found a file"):
        write_report(report, tmp_path / "out")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


@pytest.mark.slow
def test_the_page_stands_beside_the_tables(write_labels: WriteLabels, tmp_path: Path) -> None:
    report = make_report(write_labels([{}]), generated="2026-11-22")
    written = write_report(report, tmp_path / "deep" / "out")
    assert sorted((tmp_path / "deep" / "out").iterdir()) == sorted(written)
    page = (tmp_path / "deep" / "out" / PAGE).read_text(encoding="utf-8")
    for name in ("statements.csv", "shares.csv", "positions.csv"):
        assert tmp_path / "deep" / "out" / name in written
    assert page.startswith("<!doctype html>")
