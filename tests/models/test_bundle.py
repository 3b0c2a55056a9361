"""A bundle is whole or refused, and gives the same judgements after a journey through the disk."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from corpus.errors import BundleError, RecordError, UsageError
from models.bundle import load_bundle, save_bundle, verify_bundle
from models.passage import Passage
from models.predictor import Predictor

if TYPE_CHECKING:
    from tests.conftest import Small

FACTS = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}


@pytest.fixture(scope="session")
def saved(small_bundle: Path) -> Path:
    return small_bundle


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "copy"))


PASSAGES = [
    Passage(f"Upperton {verb} the pact.{tail}") for verb in ("rejects", "welcomes", "read") for tail in ("", " Fish!")
]


def test_a_loaded_bundle_judges_as_the_network_in_memory_did(small: Small, saved: Path) -> None:
    from models.encoding import encode
    from models.inference import run_network

    loaded = Predictor.load(saved)
    here = run_network(
        small.trained.network, encode(small.trained.tokenizer, PASSAGES, context="none", max_length=128), pad=0
    )
    there = loaded.scores(PASSAGES)
    np.testing.assert_array_equal(here.stance, there.stance)
    np.testing.assert_array_equal(here.holder, there.holder)
    assert loaded.codebook == small.codebook
    assert loaded.bundle.calibration == small.trained.calibration


def test_the_same_bundle_has_the_same_id_wherever_it_is_written(small: Small, saved: Path, tmp_path: Path) -> None:
    again = save_bundle(tmp_path / "elsewhere", small.trained, small.codebook, small.split, facts=FACTS)
    assert again == json.loads((saved / "manifest.json").read_text())["model_id"]


@pytest.mark.parametrize("name", ["model.safetensors", "codebook.json", "calibration.json", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"{name}: the bundle's manifest names this file, but it is missing"):
        load_bundle(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "codebook.json", "calibration.json", "tokenizer.json", "README.md"])
def test_one_altered_byte_is_noticed(copy: Path, name: str) -> None:
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: its SHA-256 is not the one in manifest.json"):
        load_bundle(copy)


def test_a_file_and_its_hash_altered_together_still_change_the_model_id(copy: Path) -> None:
    import hashlib

    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "README.md").write_text("Another card")
    manifest["files"]["README.md"]["sha256"] = hashlib.sha256(b"Another card").hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="but the files make it"):
        load_bundle(copy)


def test_a_manifest_that_points_outside_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["../elsewhere"] = manifest["files"]["README.md"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="points outside the bundle"):
        verify_bundle(copy)


@pytest.mark.parametrize(
    ("text", "sentence", "error"),
    [
        ('{"format": 9}', "format is 9", BundleError),
        ("[]", "format is 'list'", BundleError),
        ('{"format": 1}', "the list of files is missing", BundleError),
        ("{", "expected JSON", RecordError),
    ],
)
def test_another_manifest_is_refused(copy: Path, text: str, sentence: str, error: type[Exception]) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(error, match=sentence):
        verify_bundle(copy)


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        load_bundle(tmp_path / "nowhere")
    with pytest.raises(BundleError, match=r"no manifest\.json"):
        load_bundle(tmp_path)


def test_a_folder_with_other_things_is_not_overwritten(small: Small, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="not a bundle"):
        save_bundle(tmp_path, small.trained, small.codebook, small.split, facts=FACTS)
    with pytest.raises(UsageError, match="found a file"):
        save_bundle(tmp_path / "thesis.txt", small.trained, small.codebook, small.split, facts=FACTS)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_bundle_is_replaced_whole(small: Small, copy: Path) -> None:
    (copy / "stray.txt").write_text("from last time")
    save_bundle(copy, small.trained, small.codebook, small.split, facts=FACTS)
    assert not (copy / "stray.txt").exists()
    load_bundle(copy)
    assert [p.name for p in copy.parent.iterdir()] == ["copy"], "nothing half-written is left beside it"


def test_nothing_in_a_bundle_is_a_pickle_and_all_of_it_can_be_read(saved: Path) -> None:
    for path in saved.iterdir():
        assert path.suffix in {".json", ".safetensors", ".md"}, path.name
        assert os.stat(path).st_mode & 0o044 == 0o044, f"{path.name} can be read by others"
