"""The audit sample: read from a file or a campaign, and laid beside the statements that stand for opinions."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annotation.campaign import Draw, Sampled
from annotation.codebook import Codebook
from corpus.errors import RecordError, UsageError
from pipelines.audit_sample import matched, read_audit, workspace_audit
from pipelines.coverage import read_coverage
from pipelines.labels import read_labels

if TYPE_CHECKING:
    from tests.pipelines.conftest import SettledCampaign

WriteLabels = Callable[..., Path]
LINE = {"id": "statement-1", "stance": "refuse", "concerns": ["cost"], "inclusion_probability": 0.5, "stratum": "a"}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_file_is_laid_beside_the_statements_it_names(write_labels: WriteLabels, tmp_path: Path, bypass: Codebook) -> None:
    path = write(tmp_path / "audit.jsonl", LINE, {"id": "gone", "stance": "silent", "inclusion_probability": 1})
    audit = read_audit(path, bypass)
    assert (len(audit.frame), audit.source, audit.missing) == (2, "audit.jsonl", 0)
    found = matched(read_coverage(read_labels(write_labels([{}, {}, {}]))), audit)
    assert list(found.index) == [0, 1, 2]
    assert list(found["inclusion_probability"].fillna(0)) == [0, 0.5, 0]
    assert list(found["gold_stance"]) == [None, "refuse", None]
    assert list(found["gold_concerns"]) == [None, ["cost"], None]
    assert list(found["stratum"]) == [None, "a", None]


def test_an_audited_copy_speaks_for_its_opinion_and_only_one_does(
    write_labels: WriteLabels, tmp_path: Path, bypass: Codebook
) -> None:
    words = "The accord will bring noise to every village along the road."
    coverage = read_coverage(read_labels(write_labels([{"text": words}, {"text": words}, {"text": words}, {}])))
    lines = [{**LINE, "id": "statement-2", "stance": "welcome"}, LINE]
    found = matched(coverage, read_audit(write(tmp_path / "audit.jsonl", *lines), bypass))
    assert list(found.index) == [0, 3]
    assert list(found["gold_stance"]) == ["refuse", None], "of two copies the one with the smaller id"


def test_without_a_sample_nothing_is_gold(write_labels: WriteLabels) -> None:
    found = matched(read_coverage(read_labels(write_labels([{}]))), None)
    assert found.isna().all().all()
    assert found["inclusion_probability"].dtype == float


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([{**LINE, "stance": "perhaps"}], "line 1: expected a label of codebook bypass version 3 .* found 'perhaps'"),
        ([{**LINE, "concerns": ["fish"]}], "found 'fish'"),
        ([{**LINE, "inclusion_probability": 0}], r"inclusion_probability is 0\.0, expected a number in \(0, 1\]"),
        ([LINE, LINE], "expected each statement once, found 'statement-1' twice"),
        ([{"id": "a"}], "line 1: expected a line of an audit sample"),
        ([], "found no line"),
    ],
)
def test_a_malformed_sample_is_refused(
    tmp_path: Path, bypass: Codebook, lines: Sequence[dict[str, Any]], words: str
) -> None:
    with pytest.raises(RecordError, match=words):
        read_audit(write(tmp_path / "audit.jsonl", *lines), bypass)
    with pytest.raises(UsageError, match="no such file"):
        read_audit(tmp_path / "none.jsonl", bypass)


def draw(settled: SettledCampaign, name: str, made: str, statements: Sequence[str], probability: float) -> None:
    made_so = Draw(
        id=name, made=made, round="Round 1", strategy="random", seed=3, frame=480, frame_hash="h", strata={"all": 480}
    )
    with settled.open() as ledger:
        ledger.add_draw(
            made_so,
            [Sampled(draw=name, statement=s, stratum="all", inclusion_probability=probability) for s in statements],
        )


def test_a_workspace_gives_its_newest_sample_that_has_gold(settled: SettledCampaign) -> None:
    ids = sorted(settled.gold())
    assert workspace_audit(settled.workspace, settled.codebook) is None
    draw(settled, "old", "2026-01-01T00:00:00+00:00", ids[:50], 0.1)
    draw(settled, "new", "2026-02-01T00:00:00+00:00", ids[40:60], 0.2)
    draw(settled, "uncoded", "2026-03-01T00:00:00+00:00", ["elsewhere:0-5"], 0.3)
    found = workspace_audit(settled.workspace, settled.codebook)
    assert found is not None
    assert sorted(found.frame["id"]) == ids[40:60]
    assert set(found.frame["inclusion_probability"]) == {0.2}
    assert (found.drawn, found.frame_size, found.missing) == ("2026-02-01", 480, 0)
    gold = settled.gold()[ids[40]]
    row = found.frame.set_index("id").loc[ids[40]]
    assert (row["stance"], row["concerns"]) == (gold.stance, list(gold.concerns))


def test_what_has_no_gold_yet_and_what_the_model_learned_lowers_the_probability_of_the_rest(
    settled: SettledCampaign,
) -> None:
    ids = sorted(settled.gold())
    draw(settled, "new", "2026-02-01T00:00:00+00:00", [*ids[:15], *(f"elsewhere:0-{n}" for n in range(1, 6))], 0.2)
    bundle = settled.folder / "bundles" / "b"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text(json.dumps({"model_id": "m"}))
    (bundle / "split.json").write_text(json.dumps({"parts": {"train": ids[:3], "development": ids[3:5], "test": ids[5:]}}))
    found = workspace_audit(settled.workspace, settled.codebook)
    assert found is not None
    assert (len(found.frame), found.missing) == (15, 5)
    assert found.frame["inclusion_probability"].tolist() == pytest.approx([0.2 * 15 / 20] * 15)
    learned = workspace_audit(settled.workspace, settled.codebook, model_id="m")
    assert learned is not None
    assert sorted(learned.frame["id"]) == ids[5:15]
    assert learned.frame["inclusion_probability"].tolist() == pytest.approx([0.1] * 10)
