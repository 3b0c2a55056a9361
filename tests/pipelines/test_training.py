"""Training and measuring in a workspace: from what a campaign has settled to a bundle and its figures, no file by hand."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from corpus.files import read_json
from pipelines.workspace import init_workspace

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

if TYPE_CHECKING:
    from tests.pipelines.conftest import SettledCampaign

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.slow
def test_the_gold_of_a_campaign_trains_a_bundle_and_measures_it_with_the_annotators_ceiling(
    settled: SettledCampaign, run: Run, tiny_encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = run(
        "train", "--workspace", settled.folder, "--recipe", "frozen", "--encoder", tiny_encoder, "--threads", 1
    )
    assert code == 0, err
    (bundle,) = [p for p in (settled.folder / "bundles").iterdir() if not p.name.startswith(".")]
    assert str(bundle) in out
    manifest = read_json(bundle / "manifest.json")
    assert manifest["codebook_id"] == settled.codebook.id, "the workspace's, not the shipped one"
    facts = manifest["corpus"]
    assert (facts["name"], facts["workspace"], facts["statements"]) == ("gold of river", True, 480)

    monkeypatch.chdir(tmp_path)  # outside the workspace: the bundle lies in it
    arguments = ("evaluate", bundle, "--part", "development", "--resamples", 100, "--threads", 1)
    code, _, err = run(*arguments, "--output", tmp_path / "first.json")
    assert code == 0, err
    figures = read_json(tmp_path / "first.json")
    assert figures["doubly_annotated"] == figures["statements"] > 50
    accuracy = next(f for f in figures["metrics"] if f["name"] == "stance_accuracy")
    assert accuracy["annotators"]["value"] == 1.0, "Anna and Ben agree on everything"

    moved = tmp_path / "elsewhere" / "bundle"
    shutil.move(bundle, moved)
    code, _, err = run("evaluate", moved, *arguments[2:])
    assert code == 2
    assert "name it with --workspace" in err
    assert err.count("\n") == 1
    code, _, _ = run("evaluate", moved, *arguments[2:], "--workspace", settled.folder, "--output", tmp_path / "second.json")
    monkeypatch.chdir(settled.folder)
    run("evaluate", moved, *arguments[2:], "--output", tmp_path / "third.json")
    assert figures == read_json(tmp_path / "second.json") == read_json(tmp_path / "third.json")

    # New statements leave the bundle's parts as they were; a label of the part that has changed since is refused.
    held = read_json(moved / "split.json")["parts"]["development"][0]
    label = settled.gold()[held]
    other = next(s for s in settled.codebook.stance_ids if s != label.stance)
    with settled.open() as ledger:
        ledger.add_gold([msgspec.structs.replace(label, stance=other)], "2026-02-01T00:00:00+00:00")
    code, _, err = run("evaluate", moved, *arguments[2:])
    assert code == 1
    assert "gold labels have changed since" in err


def test_train_in_a_workspace_without_gold_says_what_to_do(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_workspace(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, out, err = run("train", "--threads", 1)
    assert (code, out) == (2, "")
    assert "expected settled labels under codebook un-cybercrime/" in err
    assert "annotate push" in err
    assert err.count("\n") == 1


def test_train_takes_a_corpus_or_a_workspace(run: Run, tmp_path: Path, lines_path: Path) -> None:
    init_workspace(tmp_path)
    code, _, err = run("train", "--workspace", tmp_path, "--corpus", lines_path)
    assert code == 2
    assert "leave one of them out" in err


def test_a_named_corpus_is_taken_within_a_workspace_too(
    settled: SettledCampaign,
    run: Run,
    lines_path: Path,
    invented_path: Path,
    tiny_encoder: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(settled.folder)
    options = ("--codebook", invented_path, "--recipe", "frozen", "--encoder", tiny_encoder, "--threads", 1)
    code, _, err = run("train", "--corpus", lines_path, *options, "--quiet")
    assert code == 0, err
    facts = read_json(settled.folder / "bundle" / "manifest.json")["corpus"]
    assert facts["name"] == str(lines_path)
    assert "workspace" not in facts
