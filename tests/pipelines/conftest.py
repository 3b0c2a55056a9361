"""Fixtures for the tables and the page: folders of labels made of invented rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotation.codebook import Codebook, parse_codebook
from pipelines.cli import main

MODEL = "invented@0123456789abcdef"
_BYPASS = """
format: 1
name: bypass
version: 3
target: {name: Bypass Road Accord}
stances:
  - {id: welcome, name: Welcomes it, definition: Wants the road., polarity: positive}
  - {id: refuse, name: Refuses it, definition: Does not want the road., polarity: negative}
  - {id: silent, name: Says nothing, definition: Takes no side., polarity: neutral}
concerns:
  - {id: cost, name: What it costs, definition: Money.}
  - {id: noise, name: Noise, definition: Sound.}
holder_types:
  - {id: town, name: Town}
  - {id: club, name: Club}
  - {id: no_one, name: No one, nobody: true}
"""

WriteLabels = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def bypass_text() -> str:
    """A small codebook that shares no label with the shipped one, as YAML."""
    return _BYPASS


@pytest.fixture(scope="session")
def bypass(bypass_text: str) -> Codebook:
    """The small codebook."""
    return parse_codebook(bypass_text, where="bypass.yaml")


def row_of(codebook: Codebook, index: int, **given: Any) -> dict[str, Any]:
    """A row of the label job's output: sound where ``given`` does not say otherwise."""
    stance = given.get("stance", codebook.stance_ids[0])
    concerns = given.get("concerns", [])
    rest = 0.2 / (len(codebook.stance_ids) - 1)
    return {
        "id": f"statement-{index}",
        "document_id": f"document-{index}",
        "start": 0,
        "end": 5,
        "text": f"Text {index}",
        **dict.fromkeys(("title", "published", "publisher", "url", "holder", "holder_type", "voice")),
        "holder_name": given.get("holder"),
        "stance": stance,
        **{f"stance_{s}": 0.8 if s == stance else rest for s in codebook.stance_ids},
        "concerns": concerns,
        **{f"concern_{c}": 0.9 if concerns and c in concerns else 0.1 for c in codebook.concern_ids},
        "abstained": False,
        "confidence": 0.8,
        "model_id": MODEL,
        "codebook_version": codebook.id,
        "status": "ok",
        "reason": None,
        **given,
    }


def invalid_row(codebook: Codebook, index: int, reason: str) -> dict[str, Any]:
    """A row that could not be labelled: its label columns are null."""
    row = row_of(codebook, index, status="invalid", reason=reason, text=None)
    kept = ("id", "document_id", "status", "reason", "model_id", "codebook_version")
    return {name: value if name in kept else None for name, value in row.items()}


@pytest.fixture
def write_labels(tmp_path: Path, bypass: Codebook) -> WriteLabels:
    """Return a function that writes a folder of labels and returns its path.

    Each item of ``rows`` gives what differs from a sound row, or is a text: the reason of an invalid row.
    """

    def write(
        rows: Sequence[dict[str, Any] | str],
        *,
        codebook: Codebook = bypass,
        files: int = 1,
        **manifest: Any,
    ) -> Path:
        folder = tmp_path / "labels"
        folder.mkdir()
        whole = [
            invalid_row(codebook, i, row) if isinstance(row, str) else row_of(codebook, i, **row)
            for i, row in enumerate(rows)
        ]
        schema = pa.Table.from_pylist(whole or [row_of(codebook, 0)]).schema
        size = -(-len(whole) // files)
        for part in range(files):
            table = pa.Table.from_pylist(whole[part * size : (part + 1) * size], schema=schema)
            pq.write_table(table, folder / f"labels-{part:05}.parquet")
        sound = {
            "command": "label",
            "codebook": msgspec.to_builtins(codebook),
            "codebook_id": codebook.id,
            "model_id": MODEL,
            "counts": {"rows": len(whole)},
        }
        (folder / "manifest.json").write_bytes(msgspec.json.encode(sound | manifest))
        return folder

    return write


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: arguments in, exit code, output and errors out."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["treaty-stance", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return code, printed.out, printed.err

    return call
