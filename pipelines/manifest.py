"""The manifest: what a stage read, with which versions it ran, what it counted and wrote. One per output folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from corpus.errors import RecordError, UsageError
from corpus.files import read_json, write_json
from corpus.identity import file_sha256

NAME = "manifest.json"
FORMAT = 1
_FIRST = ("format", "command", "treaty_stance", "created", "inputs")


def package_version() -> str:
    """Return the version of this package as installed, ``unknown`` where it is used without being installed."""
    try:
        return metadata.version("treaty-stance")
    except metadata.PackageNotFoundError:
        return "unknown"


def describe_file(path: Path, *, name: str | None = None) -> dict[str, object]:
    """Return path (or ``name``), SHA-256 and size of a file that was read, as an entry of ``inputs``.

    Raises:
        UsageError: when the file cannot be read.
    """
    try:
        return {"path": name or str(path), "sha256": file_sha256(path), "bytes": path.stat().st_size}
    except OSError as error:
        raise UsageError(
            f"{path}: expected a file that can be read, but {error.strerror or error}; check the path and its permissions"
        ) from error


def describe_bytes(data: bytes, *, name: str) -> dict[str, object]:
    """Return the same entry for bytes that came without a file, such as standard input."""
    return {"path": name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def describe_output(path: Path, *, folder: Path, rows: int | None = None) -> dict[str, object]:
    """Return path below ``folder``, SHA-256 and number of rows (None where there are none) of a file that was written."""
    return {"path": path.relative_to(folder).as_posix(), "sha256": file_sha256(path), "rows": rows}


def write_manifest(
    path: Path,
    *,
    command: str,
    inputs: Sequence[Mapping[str, object]],
    created: str,
    outputs: Sequence[Mapping[str, object]] = (),
    **sections: object,
) -> dict[str, Any]:
    """Write a manifest atomically and return it. It is a stage's last file: a folder without one is unfinished.

    ``created`` is an ISO 8601 time given by the caller; ``sections`` stand between inputs and outputs in their order.

    Raises:
        UsageError: when the file cannot be written.
        ValueError: when a section has the name of a fixed field.
    """
    clash = sorted(set(sections) & {*_FIRST, "outputs"})
    if clash:
        raise ValueError(f"section {clash[0]!r} has the name of a fixed field of the manifest")
    manifest: dict[str, Any] = {
        **dict(zip(_FIRST, (FORMAT, command, package_version(), created, list(inputs)), strict=True)),
        **sections,
        "outputs": list(outputs),
    }
    write_json(path, manifest)
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a stage's output folder.

    Raises:
        UsageError: when the folder has none.
        RecordError: when it is not JSON, not a manifest, or of another format.
    """
    path = folder / NAME
    if not path.is_file():
        raise UsageError(
            f"{folder}: expected the output of a finished command, found no {NAME}; name another folder or run it again"
        )
    value = read_json(path)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise RecordError(f"{path}: expected a manifest of format {FORMAT}, found {found!r}; run the command again")
    return value


def verify_outputs(folder: Path) -> dict[str, Any]:
    """Check that each file which the manifest lists as written is there with the same bytes; return the manifest.

    Raises:
        UsageError: when the folder has no manifest.
        RecordError: naming the first file that is missing or altered.
    """
    manifest = read_manifest(folder)
    for entry in manifest.get("outputs", []):
        path = folder / entry["path"]
        if not path.is_file():
            raise RecordError(f"{path}: expected the file that {NAME} lists, found none; run the command again")
        found = file_sha256(path)
        if found != entry["sha256"]:
            raise RecordError(
                f"{path}: expected the bytes that were written (SHA-256 {entry['sha256'][:12]}…), found others "
                f"({found[:12]}…); run the command again"
            )
    return manifest
