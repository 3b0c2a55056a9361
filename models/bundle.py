"""The bundle: a folder with all that labelling needs, sealed by hashes. Safetensors and JSON; loading executes nothing."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook, dump_codebook, parse_codebook
from corpus.errors import BundleError, RecordError, UsageError
from corpus.files import read_json, write_json, write_text
from corpus.identity import digest, file_sha256
from models.calibration import Calibration
from models.card import hub_config, model_card
from models.recipe import Recipe
from models.splits import Split, write_split

if TYPE_CHECKING:
    from models.dataset import Example
    from models.network import StanceNetwork
    from models.training import Trained

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
_ENCODER = "encoder.json"  # the encoder's configuration; config.json speaks of the whole


@dataclass(frozen=True)
class Bundle:
    """A bundle, verified against its manifest. Network and tokenizer are loaded when they are first asked for."""

    folder: Path
    model_id: str
    codebook: Codebook
    recipe: Recipe
    calibration: Calibration
    manifest: Mapping[str, Any]

    @property
    def sizes(self) -> tuple[int, int, int]:
        """How many stances, concerns and holder types there are."""
        return len(self.codebook.stances), len(self.codebook.concerns), len(self.codebook.holder_types)

    @cached_property
    def network(self) -> StanceNetwork:
        """The network with its weights, ready to judge.

        Raises:
            BundleError: when the weights are not those of such a network.
        """
        from safetensors.torch import load_file

        from models.network import Lexicon, Sizes, StanceNetwork, new_encoder

        encoder = new_encoder(self._encoder)
        network = StanceNetwork(encoder, Sizes(*self.sizes), self.recipe.dropout)
        weights = load_file(self.folder / WEIGHTS)
        if (words := weights.get("lexicon.weight")) is not None:
            network.lexicon = Lexicon(*words.shape)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise BundleError(
                f"{self.folder / WEIGHTS}: the weights do not fit the network, {reason}; train again"
            ) from error
        network.eval()
        return network

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer of transformers."""
        from transformers import AutoConfig, AutoTokenizer

        return AutoTokenizer.from_pretrained(
            self.folder,
            # config.json names no type that transformers knows
            config=AutoConfig.from_pretrained(self._encoder, local_files_only=True, trust_remote_code=False),
            local_files_only=True,
            trust_remote_code=False,
        )

    @property
    def _encoder(self) -> Path:
        return self.folder / (_ENCODER if _ENCODER in self.manifest["files"] else "config.json")


def save_bundle(
    folder: Path,
    trained: Trained,
    codebook: Codebook,
    split: Split,
    *,
    facts: Mapping[str, Any],
    development: Sequence[Example] = (),
) -> str:
    """Write a bundle and return its model id, a hash of all its files: the same training gives the same id.

    The bundle is written beside ``folder`` and moved there when it is whole; a bundle that lies there is replaced.

    Args:
        folder: Where to; a folder that holds something other than a bundle is refused.
        trained: Network, tokenizer, recipe, calibration, history.
        codebook: Travels along, word for word.
        split: Which statement was trained on.
        facts: What else the manifest shall say (corpus, versions, counts, creation date).
        development: With these statements, the graphs for fast labelling are made and measured (:mod:`models.fast_path`);
            without, the bundle labels on torch.

    Raises:
        UsageError: when ``folder`` holds something else or cannot be written.
        BundleError: when a graph's scores are not the network's.
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
        save_file(weights, partial / WEIGHTS, metadata={"format": "pt"})
        (partial / WEIGHTS).chmod(0o644)  # safetensors makes it readable by its owner only
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
        if development:
            from models import fast_path

            fast = fast_path.prepare(partial, trained, codebook, development)
            write_json(partial / fast_path.NAME, fast)
            facts = {**facts, "fast_path": msgspec.to_builtins(fast)}
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
    if not isinstance(files, dict) or WEIGHTS not in files:
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
    """Verify a bundle and load all of it. Nothing is executed or fetched.

    Raises:
        UsageError: when there is no such folder.
        BundleError: when it is incomplete, altered or of another version.
    """
    bundle = open_bundle(folder)
    assert bundle.network is not None and bundle.tokenizer is not None  # noqa: S101, PT018  # loads them
    return bundle


def open_bundle(folder: Path) -> Bundle:
    """Verify a bundle and read what it says of itself; the network is loaded when it is first asked for.

    Raises:
        UsageError: when there is no such folder.
        BundleError: when it is incomplete, altered or of another version.
    """
    manifest = verify_bundle(folder)
    codebook = load_bundle_codebook(folder)
    try:
        recipe = msgspec.convert(read_json(folder / "recipe.json"), Recipe)
        calibration = msgspec.convert(read_json(folder / "calibration.json"), Calibration)
    except msgspec.ValidationError as error:
        raise BundleError(f"{folder}: written by another release, {error}; train again with this one") from error
    return Bundle(folder, manifest["model_id"], codebook, recipe, calibration, manifest)


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
