"""Labelled statements: the reference corpus and a JSON Lines file give examples of one form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from annotation.codebook import Codebook, load_codebook
from corpus.errors import RecordError
from pipelines.labelled import read_labelled


def lines(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_the_reference_corpus_is_read_whole_with_its_two_readings() -> None:
    found = read_labelled(None, load_codebook())
    assert (len(found.examples), found.without_gold) == (1655, 0)
    assert all(len(e.readings) == 2 for e in found.examples)
    first = found.examples[0]
    assert found.names[first.statement.id] == "aft-001-s1"
    assert (first.gold.stance, first.gold.concerns) == ("favor", ("cooperation", "victims"))
    assert first.document.text[first.statement.start : first.statement.end] == first.statement.text


def test_lines_of_one_address_are_one_document_in_their_order(tmp_path: Path, invented: Codebook) -> None:
    page = {"url": "https://a.example/", "title": "T", "published": "2025-01-02", "publisher": "P"}
    path = lines(
        tmp_path / "gold.jsonl",
        {"text": "Upperton wants it.", "stance": "yes_please", "concerns": ["fish"], "holder": "Upperton", **page},
        {"text": "Alone.", "stance": "silent"},
        {"text": " Lowerton \U0001f41f does not.\r\n", "stance": "no_thanks", "holder_type": "town", **page},
    )
    a, b, c = read_labelled(path, invented).examples
    assert a.document is b.document
    assert a.document.text == "Upperton wants it.\n\nLowerton \U0001f41f does not."
    assert (b.statement.text, b.statement.before, a.statement.after) == (
        "Lowerton \U0001f41f does not.",
        "Upperton wants it.",
        "Lowerton \U0001f41f does not.",
    )
    assert (a.gold.holder, a.gold.concerns, b.gold.holder_type) == ("Upperton", ("fish",), "town")
    assert (a.document.title, a.document.published) == ("T", "2025-01-02")
    assert c.document.id != a.document.id


def test_a_file_without_a_line_is_refused(tmp_path: Path, invented: Codebook) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text("\n \n")
    with pytest.raises(RecordError, match="no labelled statement in it"):
        read_labelled(path, invented)


def test_the_hash_follows_the_content(tmp_path: Path, invented: Codebook) -> None:
    row: dict[str, object] = {"text": "x", "stance": "silent"}
    one = read_labelled(lines(tmp_path / "a.jsonl", row), invented).sha256
    same = read_labelled(lines(tmp_path / "b.jsonl", row), invented).sha256
    other = read_labelled(lines(tmp_path / "c.jsonl", {**row, "stance": "no_thanks"}), invented).sha256
    assert one == same != other
