from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from corpus.errors import RecordError, UsageError
from pipelines.manifest import (
    describe_bytes,
    describe_file,
    describe_output,
    package_version,
    read_manifest,
    verify_outputs,
    write_manifest,
)

CREATED = "2026-11-22T12:00:00Z"
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # SHA-256 of "abc", FIPS 180-4, example B.1


def finished(folder: Path) -> Path:
    (folder / "part").mkdir(parents=True)
    path = folder / "part" / "rows.txt"
    path.write_bytes(b"abc")
    write_manifest(
        folder / "manifest.json",
        command="try",
        inputs=[describe_bytes(b"abc", name="standard input")],
        created=CREATED,
        outputs=[describe_output(path, folder=folder, rows=1)],
        counts={"rows": 1},
        note="ü",
    )
    return folder


def test_a_manifest_is_read_back_as_written_with_its_fields_in_order(tmp_path: Path) -> None:
    manifest = read_manifest(finished(tmp_path))
    entry = {"sha256": ABC}
    assert manifest == {
        "format": 1,
        "command": "try",
        "treaty_stance": package_version(),
        "created": CREATED,
        "inputs": [{"path": "standard input", **entry, "bytes": 3}],
        "counts": {"rows": 1},
        "note": "ü",
        "outputs": [{"path": "part/rows.txt", **entry, "rows": 1}],
    }
    assert list(manifest) == [
        "format", "command", "treaty_stance", "created", "inputs", "counts", "note", "outputs",
    ]  # fmt: skip


def test_a_file_is_described_by_the_hash_and_size_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(b"\0\xff" * 100_000)
    expected = hashlib.sha256(b"\0\xff" * 100_000).hexdigest()
    assert describe_file(path) == {"path": str(path), "sha256": expected, "bytes": 200_000}
    assert describe_file(path, name="as given")["path"] == "as given"


def test_a_file_that_cannot_be_described_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent: expected a file that can be read, but No such file"):
        describe_file(tmp_path / "absent")


def test_whole_outputs_verify_and_give_the_manifest(tmp_path: Path) -> None:
    assert verify_outputs(finished(tmp_path))["command"] == "try"


def test_an_altered_and_a_missing_output_are_named(tmp_path: Path) -> None:
    path = finished(tmp_path) / "part" / "rows.txt"
    path.write_bytes(b"abd")
    with pytest.raises(RecordError, match=rf"{path}: expected the bytes that were written \(SHA-256 {ABC[:12]}"):
        verify_outputs(tmp_path)
    path.unlink()
    with pytest.raises(RecordError, match=f"{path}: expected the file that manifest.json lists, found none"):
        verify_outputs(tmp_path)


def test_a_folder_without_a_manifest_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"found no manifest\.json"):
        verify_outputs(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "expected JSON"),
        ("[]", "expected a manifest of format 1, found 'list'"),
        ("{}", "expected a manifest of format 1, found None"),
        (json.dumps({"format": 2}), "expected a manifest of format 1, found 2"),
    ],
)
def test_a_damaged_manifest_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(RecordError, match=words):
        read_manifest(tmp_path)


def test_a_section_may_not_take_the_name_of_a_fixed_field(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'treaty_stance' has the name of a fixed field"):
        write_manifest(tmp_path / "manifest.json", command="try", inputs=[], created=CREATED, treaty_stance="9")
