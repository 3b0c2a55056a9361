"""Two runs matched: each row of the new one is told what has changed, and the counts are those of the marks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.coverage import Coverage, read_coverage
from pipelines.labels import read_labels
from pipelines.run_match import CONCERNS, NEW, STANCE, count_changes, mark_rows, match_runs

LONG = "Every town on the river will pay far more for the accord than it can ever hope to earn from it."


def test_each_row_is_told_what_has_changed(write_labels: Callable[..., Path], tmp_path: Path) -> None:
    def coverage(rows: list[dict[str, Any]]) -> Coverage:
        folder = write_labels(rows)
        return read_coverage(read_labels(folder.rename(tmp_path / f"run {len(list(tmp_path.iterdir()))}")))

    then: list[dict[str, Any]] = [
        {"id": "same", "text": "It is loud.", "stance": "refuse", "concerns": ["noise", "cost"]},
        {"id": "other stance", "text": "It is dear.", "stance": "refuse"},
        {"id": "other concerns", "text": "It is wide.", "concerns": ["noise"]},
        {"id": "no longer sure", "text": "It is odd.", "stance": "refuse", "concerns": ["noise"]},
        {"id": "gone", "text": "It is gone."},
        {"id": "wire", "text": LONG, "document_id": "w1"},
    ]
    now: list[dict[str, Any]] = [
        {"id": "same", "text": "It is loud.", "stance": "refuse", "concerns": ["cost", "noise"]},
        {"id": "other stance", "text": "It is dear.", "stance": "silent"},
        {"id": "other concerns", "text": "It is wide.", "concerns": ["cost"]},
        {"id": "no longer sure", "text": "It is odd.", "stance": None, "abstained": True, "concerns": []},
        {"id": "wire", "text": LONG, "document_id": "w1"},
        {"id": "copy of the wire", "text": LONG, "document_id": "w2"},
        {"id": "new", "text": "It is new."},
    ]
    old, new = coverage(then), coverage(now)
    overlap = match_runs(old, new)
    marks = mark_rows(old, new, overlap)
    assert dict(zip(new.frame["id"], marks, strict=True)) == {
        "same": 0, "other stance": STANCE, "other concerns": CONCERNS, "no longer sure": STANCE | CONCERNS, "wire": 0,
        "copy of the wire": 0, "new": NEW,
    }  # fmt: skip
    assert count_changes(old, new, overlap, marks) == {
        "statements": {
            "old": 6, "new": 7, "both": 5, "added": 2, "gone": 1, "stance_changed": 2, "concerns_changed": 2,
        },
        "documents": {"old": 6, "new": 7, "both": 5, "added": 2, "gone": 1},
        "opinions": {"old": 6, "new": 6, "both": 5, "added": 1, "gone": 1},
    }  # fmt: skip
