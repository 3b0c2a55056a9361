"""The bundle: a folder with all that labelling needs, sealed by hashes. Safetensors and JSON; loading executes nothing."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from annotation.codebook import Codebook, dump_codebook, parse_codebook
from corpus.errors import BundleError, RecordError, UsageError
from corpus.files import read_json, write_json, write_text
from corpus.identity import digest, file_sha256
from models.calibration import Calibration
from models.card import hub_config, model_card
from models.network import Lexicon, Sizes, StanceNetwork, new_encoder
from models.splits import Split, write_split
from models.training import Recipe, Trained

FORMAT = 1
MANIFEST = "manifest.json"
_WEIGHTS = "model.safetensors"
_ENCODER = "encoder.json"  # the encoder's configuration; config.json speaks of the whole


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle, verified against its manifest."""

    folder: Path
    model_id: str
    codebook: Codebook
    recipe: Recipe
    calibration: Calibration
    network: StanceNetwork
    tokenizer: Any
    manifest: Mapping[str, Any]


def save_bundle(
    folder: Path,
    trained: Trained,
    codebook: Codebook,
    split: Split,
    *,
    facts: Mapping[str, Any],
) -> str:
    """Write a bundle and return its model id, a hash of all its files: the same training gives the same id.

    The bundle is written beside ``folder`` and moved there when it is whole; a bundle that lies there is replaced.

    Args:
        folder: Where to; a folder that holds something other than a bundle is refused.
        trained: Network, tokenizer, recipe, calibration, history.
        codebook: Travels along, word for word.
        split: Which statement was trained on.
        facts: What else the manifest shall say (corpus, versions, counts, creation date).

    Raises:
        UsageError: when ``folder`` holds something else or cannot be written.
    """
    from safetensors.torch import save_file

    check_target(folder)
    partial = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{folder}: expected a place that can be written to, but {error.strerror}; choose another"
        ) from error
    try:
        weights = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
        save_file(weights, partial / _WEIGHTS, metadata={"format": "pt"})
        (partial / _WEIGHTS).chmod(0o644)  # safetensors makes it readable by its owner only
        trained.network.encoder.config.to_json_file(partial / _ENCODER)  # type: ignore[union-attr, operator]
        hub = hub_config(codebook, trained.calibration.thresholds, max_tokens=trained.recipe.max_length)
        write_json(partial / "config.json", hub)
        _save_tokenizer(trained, partial)
        write_text(partial / "codebook.json", dump_codebook(codebook))
        write_json(partial / "recipe.json", trained.recipe)
        write_json(partial / "calibration.json", trained.calibration)
        write_json(partial / "history.json", {"best_epoch": trained.best_epoch, "epochs": trained.history})
        write_json(partial / "metrics.json", {"part": "development", **trained.history[trained.best_epoch - 1]})
        write_split(partial / "split.json", split)
        write_text(partial / "README.md", model_card(codebook, trained.recipe, trained.history, facts))
        files: dict[str, dict[str, Any]] = {
            p.relative_to(partial).as_posix(): {"sha256": file_sha256(p), "bytes": p.stat().st_size}
            for p in sorted(partial.rglob("*"))
            if p.is_file()
        }
        model_id = _model_id(codebook, {name: entry["sha256"] for name, entry in files.items()})
        manifest = {"format": FORMAT, "model_id": model_id, "codebook_id": codebook.id, **facts, "files": files}
        write_json(partial / MANIFEST, manifest)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return model_id


def check_target(folder: Path) -> None:
    """Refuse to write a bundle over something that is not one.

    Raises:
        UsageError: when ``folder`` is a file, or a folder with other things in it.
    """
    if folder.is_file():
        raise UsageError(f"{folder}: expected a folder for the bundle, found a file; choose another name")
    if folder.is_dir() and any(folder.iterdir()):
        try:
            ours = "model_id" in read_json(folder / MANIFEST)
        except (RecordError, UsageError, TypeError):
            ours = False
        if not ours:
            raise UsageError(f"{folder}: the folder holds something that is not a bundle; choose an empty one or remove it")


def verify_bundle(folder: Path) -> dict[str, Any]:
    """Check every file of a bundle against the manifest, and return the manifest.

    Raises:
        UsageError: when there is no such folder.
        BundleError: when a file is missing or altered, or the manifest is of another form.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected a bundle made by treaty-stance train")
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: no {MANIFEST}, so this is not a bundle; give the folder that train wrote")
    manifest = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise BundleError(f"{folder / MANIFEST}: format is {found!r}, this release reads bundles of format {FORMAT}")
    files = manifest.get("files")
    if not isinstance(files, dict) or _WEIGHTS not in files:
        raise BundleError(f"{folder / MANIFEST}: the list of files is missing; copy the bundle again")
    for name, entry in files.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{folder / MANIFEST}: {name!r} points outside the bundle; do not use this bundle")
        if not path.is_file():
            raise BundleError(f"{path}: the bundle's manifest names this file, but it is missing; copy the bundle again")
        if file_sha256(path) != entry["sha256"]:
            raise BundleError(
                f"{path}: its SHA-256 is not the one in {MANIFEST}, so it was altered or cut short; copy the bundle again"
            )
    expected = _model_id(load_bundle_codebook(folder), {name: entry["sha256"] for name, entry in files.items()})
    if manifest.get("model_id") != expected:
        raise BundleError(
            f"{folder / MANIFEST}: model_id is {manifest.get('model_id')!r}, but the files make it {expected!r}; "
            "copy the bundle again"
        )
    return manifest


def load_bundle(folder: Path) -> Bundle:
    """Verify and load a bundle. Nothing is executed or fetched.

    Raises:
        UsageError: when there is no such folder.
        BundleError: when it is incomplete, altered or of another version.
    """
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    manifest = verify_bundle(folder)
    codebook = load_bundle_codebook(folder)
    try:
        recipe = msgspec.convert(read_json(folder / "recipe.json"), Recipe)
        calibration = msgspec.convert(read_json(folder / "calibration.json"), Calibration)
    except msgspec.ValidationError as error:
        raise BundleError(f"{folder}: written by another release, {error}; train again with this one") from error
    sizes = Sizes(len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
    encoder = new_encoder(folder / (_ENCODER if _ENCODER in manifest["files"] else "config.json"))
    network = StanceNetwork(encoder, sizes, recipe.dropout)
    weights = load_file(folder / _WEIGHTS)
    if (words := weights.get("lexicon.weight")) is not None:
        network.lexicon = Lexicon(*words.shape)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise BundleError(f"{folder / _WEIGHTS}: the weights do not fit the network, {reason}; train again") from error
    tokenizer = AutoTokenizer.from_pretrained(
        folder,
        config=encoder.config,  # config.json names no type that transformers knows
        local_files_only=True,
        trust_remote_code=False,
    )
    network.eval()
    return Bundle(folder, manifest["model_id"], codebook, recipe, calibration, network, tokenizer, manifest)


def load_bundle_codebook(folder: Path) -> Codebook:
    """Read a bundle's codebook.

    Raises:
        BundleError: when it is missing.
    """
    path = folder / "codebook.json"
    try:
        return parse_codebook(path.read_text(encoding="utf-8"), where=str(path))
    except FileNotFoundError as error:
        raise BundleError(f"{path}: the bundle has no codebook; copy the bundle again") from error


def _save_tokenizer(trained: Trained, folder: Path) -> None:
    """Save the tokenizer so that other tools cut passages where training did, without touching the one in use."""
    tokenizer = copy.deepcopy(trained.tokenizer)
    tokenizer.model_max_length = trained.recipe.max_length
    tokenizer.save_pretrained(folder)


def _model_id(codebook: Codebook, hashes: Mapping[str, str]) -> str:
    return f"{codebook.name}-{digest(*(f'{name} {hashes[name]}' for name in sorted(hashes)))}"
