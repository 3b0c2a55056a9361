"""Labelled statements: the reference corpus and a JSON Lines file give examples of one form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from annotation.codebook import Codebook, load_codebook
from corpus.errors import RecordError, UsageError
from pipelines.labelled import read_gold, read_labelled, read_workspace

if TYPE_CHECKING:
    from tests.pipelines.conftest import SettledCampaign


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


def test_the_gold_of_a_workspace_is_what_was_settled_with_the_blind_readings(
    settled: SettledCampaign, lines_path: Path, invented: Codebook
) -> None:
    some = next(iter(settled.gold().values()))
    settled.answer("carla", {some.statement: settled.reading(some, "carla", blind=False)})
    found = read_workspace(settled.workspace, invented)
    lines = {e.statement.id: e for e in read_labelled(lines_path, invented).examples}
    assert {e.statement.id for e in found.examples} == set(lines)
    for e in found.examples:
        other = lines[e.statement.id]
        assert (e.statement, e.document, e.passage) == (other.statement, other.document, other.passage)
        assert (e.gold.stance, e.gold.concerns, e.gold.holder) == (other.gold.stance, other.gold.concerns, other.gold.holder)
        assert [a.annotator for a in e.readings] == ["anna", "ben"], "what was said in sight of a suggestion is left out"
    assert (found.name, found.workspace, found.without_gold) == ("gold of river", True, 0)


def test_the_hash_of_a_workspaces_gold_follows_its_labels(settled: SettledCampaign, invented: Codebook) -> None:
    before = read_workspace(settled.workspace, invented)
    assert read_workspace(settled.workspace, invented).sha256 == before.sha256
    first = before.examples[0].gold
    other = next(s for s in invented.stance_ids if s != first.stance)
    with settled.open() as ledger:
        ledger.add_gold([msgspec.structs.replace(first, stance=other)], "2026-02-01T00:00:00+00:00")
    assert read_workspace(settled.workspace, invented).sha256 != before.sha256


def test_what_was_read_and_not_settled_is_counted(settled: SettledCampaign, invented: Codebook) -> None:
    some = next(iter(settled.gold().values()))
    with settled.open() as ledger:
        ledger.drop_gold([(some.statement, invented.id)])
    found = read_workspace(settled.workspace, invented)
    assert (len(found.examples), found.without_gold) == (479, 1)


def test_a_workspace_without_gold_is_refused_with_what_to_do_next(settled: SettledCampaign, invented: Codebook) -> None:
    other = msgspec.structs.replace(invented, version=2)
    with pytest.raises(UsageError, match=r"river-pact/2@.*found none but 480 under river-pact/1@.*annotate recode"):
        read_workspace(settled.workspace, other)
    with settled.open() as ledger:
        ledger.drop_gold([(s, invented.id) for s in settled.gold()])
    with pytest.raises(UsageError, match="480 statements have been read; settle them: `treaty-stance annotate gold`"):
        read_workspace(settled.workspace, invented)
    with pytest.raises(UsageError, match="no reading either; begin with `treaty-stance annotate push`"):
        read_workspace(settled.workspace, other)


def test_gold_whose_text_is_lost_is_refused(settled: SettledCampaign, invented: Codebook) -> None:
    some = next(iter(settled.gold().values()))
    with settled.open() as ledger:
        ledger.add_gold([msgspec.structs.replace(some, statement="unknown")], "2026-02-01T00:00:00+00:00")
    with pytest.raises(RecordError, match=r"found none of unknown \(1 of 481 lack it\)"):
        read_workspace(settled.workspace, invented)


def test_a_file_and_a_workspace_together_are_refused(settled: SettledCampaign, lines_path: Path, invented: Codebook) -> None:
    with pytest.raises(UsageError, match="found both"):
        read_gold(lines_path, settled.workspace, invented)


def test_nothing_is_learned_from_an_audit_sample(settled: SettledCampaign, invented: Codebook) -> None:
    everything = sorted(settled.gold().values(), key=lambda g: g.statement)
    sampled = [msgspec.structs.replace(g, inclusion_probability=0.1) for g in everything[:48]]
    with settled.open() as ledger:
        ledger.add_gold(sampled, "2026-02-01T00:00:00+00:00")
    found = read_gold(None, settled.workspace, invented)
    assert {e.statement.id for e in found.examples} == {g.statement for g in everything[48:]}
    assert (found.audited, found.without_gold) == (48, 0)
    whole = read_workspace(settled.workspace, invented)
    assert (len(whole.examples), whole.audited) == (480, 0)
    assert found.sha256 != whole.sha256
    with settled.open() as ledger:
        ledger.drop_gold([(g.statement, invented.id) for g in everything[48:]])
    with pytest.raises(
        UsageError, match="found 48 that are all of an audit sample, which is for estimates; code others too"
    ):
        read_gold(None, settled.workspace, invented)
