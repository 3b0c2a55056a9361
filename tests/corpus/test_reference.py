"""Every line of the shipped corpus is sound, and a corpus that is not is refused by name."""

import copy
import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from corpus import RecordError, UsageError
from corpus.identity import normalise
from corpus.reference_corpus import SHIPPED, ReferenceCorpus, load_reference

Files = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def corpus() -> ReferenceCorpus:
    return load_reference()


@pytest.fixture(scope="module")
def files() -> Files:
    """The shipped lines, read with another library than the loader's."""
    return {
        name: [json.loads(line) for line in (SHIPPED / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("documents", "annotations", "gold")
    }


def test_the_shipped_corpus_has_the_size_that_its_owner_states(corpus: ReferenceCorpus):
    assert len(corpus.documents) == 405
    assert len(corpus.statements) == len(corpus.gold) == 1655
    assert len(corpus.annotations) == 3310
    assert len({a.annotator for a in corpus.annotations}) == 18
    assert sum(d.published is None for d in corpus.documents) == 238


def test_every_document_line_becomes_one_document_with_its_statements(corpus: ReferenceCorpus, files: Files):
    statements = iter(corpus.statements)
    for line, document in zip(files["documents"], corpus.documents, strict=True):
        for field in ("url", "publisher", "published", "title", "kind", "language"):
            assert getattr(document, field) == line[field], line["id"]
        texts = [item["text"] for item in line["statements"]]
        assert document.text == "\n\n".join(texts) == normalise(document.text)
        for number, item in enumerate(line["statements"]):
            statement = next(statements)
            assert statement.text == item["text"] == document.text[statement.start : statement.end]
            assert statement.before == (texts[number - 1] if number else "")
            assert statement.after == (texts[number + 1] if number + 1 < len(texts) else "")
            assert corpus.document_of[statement.id] is document
            assert statement.document == document.id
            assert corpus.reference_id[statement.id] == item["id"]
            assert corpus.written[statement.id] == (item["holder"], item["holder_type"])
    assert next(statements, None) is None


def test_ids_are_unique_and_say_slice_document_and_statement(corpus: ReferenceCorpus, files: Files):
    assert len({d.id for d in corpus.documents}) == len({line["id"] for line in files["documents"]}) == 405
    assert len({s.id for s in corpus.statements}) == len(set(corpus.reference_id.values())) == 1655
    for line in files["documents"]:
        assert re.fullmatch(r"[a-z]{3}-\d{3}", line["id"])
        assert [item["id"] for item in line["statements"]] == [
            f"{line['id']}-s{n}" for n in range(1, len(line["statements"]) + 1)
        ]


def test_statements_of_a_document_follow_each_other_without_overlap(corpus: ReferenceCorpus):
    for left, right in pairwise(corpus.statements):
        if left.document == right.document:
            assert right.start == left.end + 2


def test_every_annotation_line_becomes_one_blind_annotation(corpus: ReferenceCorpus, files: Files):
    names = corpus.reference_id
    made = {(names[a.statement], a.annotator): a for a in corpus.annotations}
    assert len(made) == len(files["annotations"])
    for line in files["annotations"]:
        record = made[line["statement"], line["annotator"]]
        assert record.codebook_version == str(line["codebook_version"])
        assert (record.stance, list(record.concerns)) == (line["stance"], line["concerns"])
        assert (record.holder, record.holder_type) == (line["holder"], line["holder_type"])
        assert record.certainty == line["certainty"]
        assert record.blind


def test_every_gold_line_becomes_one_gold_label_with_the_shares_of_its_readings(corpus: ReferenceCorpus, files: Files):
    stances: dict[str, list[str]] = {}
    for line in files["annotations"]:
        stances.setdefault(line["statement"], []).append(line["stance"])
    for line, record in zip(files["gold"], corpus.gold, strict=True):
        assert corpus.reference_id[record.statement] == line["statement"]
        assert record.codebook_version == str(line["codebook_version"]) == "2"
        assert (record.stance, list(record.concerns)) == (line["stance"], line["concerns"])
        assert (record.holder, record.holder_type, record.settled) == (
            line["holder"],
            line["holder_type"],
            line["settled"],
        )
        first, second = stances[line["statement"]]
        assert record.distribution == ({first: 1.0} if first == second else {first: 0.5, second: 0.5})


def test_every_holder_stands_in_its_statement(corpus: ReferenceCorpus):
    text = {s.id: s.text for s in corpus.statements}
    named = [record for record in (*corpus.annotations, *corpus.gold) if record.holder is not None]
    assert len(named) > 800
    assert all(record.holder in text[record.statement] for record in named)


def test_each_statement_is_read_once_in_each_pass_under_one_codebook_version(corpus: ReferenceCorpus):
    passes: dict[str, list[tuple[str, str]]] = {}
    for annotation in corpus.annotations:
        passes.setdefault(annotation.statement, []).append((annotation.annotator.split("-")[0], annotation.codebook_version))
    assert set(passes) == set(corpus.reference_id)
    assert {tuple(sorted(p)) for p in passes.values()} == {
        (("a", "1"), ("b", "1")),
        (("a", "2"), ("b", "2")),
    }


def test_an_agreed_gold_label_keeps_what_both_readings_say(corpus: ReferenceCorpus):
    readings: dict[str, list[tuple[str, frozenset[str], int | None]]] = {}
    for a in corpus.annotations:
        readings.setdefault(a.statement, []).append((a.stance, frozenset(a.concerns), a.certainty))
    for g in corpus.gold:
        first, second = readings[g.statement]
        agreed = first[:2] == second[:2] and 1 not in {first[2], second[2]} and 3 in {first[2], second[2]}
        assert (g.settled == "agreed") == agreed
        if agreed:
            assert (g.stance, frozenset(g.concerns)) == first[:2]


def test_loading_twice_gives_the_same_records(corpus: ReferenceCorpus):
    assert load_reference() == corpus


MINI: Files = {
    "documents": [
        {
            "id": "aaa-001",
            "url": "https://example.org/a",
            "publisher": "Example",
            "published": "2025-01-31",
            "title": "A",
            "kind": "news",
            "language": "en",
            "statements": [
                {"id": "aaa-001-s1", "text": "Norway 😀 signed.", "holder": "Norway", "holder_type": "state"},
                {"id": "aaa-001-s2", "text": "It rained.", "holder": None, "holder_type": "none"},
            ],
        },
        {
            "id": "aaa-002",
            "url": "https://example.org/a/?utm_source=feed",
            "publisher": "Example",
            "published": None,
            "title": "B",
            "kind": "news",
            "language": "en",
            "statements": [{"id": "aaa-002-s1", "text": "It snowed.", "holder": None, "holder_type": "none"}],
        },
    ],
    "annotations": [
        {
            "statement": statement,
            "annotator": annotator,
            "codebook_version": 1,
            "stance": "open" if annotator == "a-1" else "pro",
            "concerns": [],
            "holder": None,
            "holder_type": "none",
            "certainty": 3,
        }
        for statement in ("aaa-001-s1", "aaa-001-s2", "aaa-002-s1")
        for annotator in ("a-1", "b-1")
    ],
    "gold": [
        {
            "statement": statement,
            "codebook_version": 2,
            "stance": "open",
            "concerns": ["fish"],
            "holder": None,
            "holder_type": "none",
            "settled": "adjudicated",
        }
        for statement in ("aaa-001-s1", "aaa-001-s2", "aaa-002-s1")
    ],
}


def _write(folder: Path, change: Callable[[Files], Any] | None = None) -> Path:
    files = copy.deepcopy(MINI)
    if change is not None:
        change(files)
    for name, lines in files.items():
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return folder


def test_a_corpus_of_ones_own_loads_from_its_folder(tmp_path: Path):
    corpus = load_reference(_write(tmp_path))
    first, second, third = corpus.statements
    assert corpus.documents[0].text == "Norway 😀 signed.\n\nIt rained."
    assert (first.start, first.end, second.start, second.end, third.start) == (0, 16, 18, 28, 0)
    assert (first.before, first.after, second.before, second.after) == ("", second.text, first.text, "")
    assert corpus.gold[0].distribution == {"open": 0.5, "pro": 0.5}
    assert corpus.gold[0].concerns == ("fish",)


def test_two_documents_at_one_address_with_different_texts_are_two_documents(tmp_path: Path):
    one, other = load_reference(_write(tmp_path)).documents
    assert one.id.split("-")[0] == other.id.split("-")[0]
    assert one.id != other.id


def _same_page(files: Files) -> None:
    again = copy.deepcopy(files["documents"][1])
    again["id"], again["url"] = "aaa-003", "https://example.org/a"
    again["statements"][0]["id"] = "aaa-003-s1"
    files["documents"].append(again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_same_page, r"documents\.jsonl: documents 'aaa-002' and 'aaa-003' have the same address and text"),
        (lambda f: f["documents"][1].update(id="aaa-001"), r"documents\.jsonl: document id 'aaa-001' stands twice"),
        (
            lambda f: f["documents"][1]["statements"][0].update(id="aaa-001-s2"),
            r"documents\.jsonl: statement id 'aaa-001-s2' stands twice",
        ),
        (lambda f: f["documents"][1].update(statements=[]), r"documents\.jsonl, line 2: .*field 'statements'"),
        (lambda f: f["documents"][1].update(published="31.1.2025"), r"line 2: .*published is '31\.1\.2025'"),
        (lambda f: f["documents"][1].update(published="20250131"), r"line 2: .*published is '20250131'"),
        (lambda f: f["documents"][1].pop("url"), r"documents\.jsonl, line 2: .*required field `url`"),
        (lambda f: f["documents"][1].update(colour="red"), r"documents\.jsonl, line 2: .*unknown field `colour`"),
        (
            lambda f: f["documents"][0]["statements"][1].update(text=7),
            r"documents\.jsonl, line 1: .*field 'statements\[1\]\.text'",
        ),
        (lambda f: f["documents"][0]["statements"][1].update(text=""), r"line 1: .*field 'statements\[1\]\.text'"),
        (lambda f: f["documents"][0]["statements"][1].update(text="a\r\nb"), r"line 1: .*'aaa-001-s2' is not in stored"),
        (lambda f: f["documents"][0]["statements"][1].update(text="e\u0301"), r"line 1: .*'aaa-001-s2' is not in stored"),
        (lambda f: f["documents"][0]["statements"][1].update(text=" a"), r"line 1: .*'aaa-001-s2' is not in stored"),
        (
            lambda f: f["annotations"].pop(),
            r"annotations\.jsonl: statement 'aaa-002-s1' has 1 readings \(a-1\), expected two by different",
        ),
        (lambda f: f["annotations"][1].update(annotator="a-1"), r"'aaa-001-s1' has 2 readings \(a-1, a-1\)"),
        (
            lambda f: f["annotations"].append({**f["annotations"][0], "annotator": "c-1"}),
            r"'aaa-001-s1' has 3 readings \(a-1, b-1, c-1\)",
        ),
        (lambda f: f["annotations"].clear(), r"'aaa-001-s1' has 0 readings \(none\)"),
        (
            lambda f: f["annotations"][2].update(statement="zzz-001-s1"),
            r"annotations\.jsonl: annotation of 'zzz-001-s1' by 'a-1': documents\.jsonl has no such statement",
        ),
        (
            lambda f: f["annotations"][0].update(holder="norway"),
            r"annotation of 'aaa-001-s1' by 'a-1': holder is 'norway', expected words of the statement",
        ),
        (lambda f: f["annotations"][0].update(holder=""), r"annotations\.jsonl, line 1: .*field 'holder'"),
        (lambda f: f["annotations"][3].update(certainty=4), r"annotations\.jsonl, line 4: .*field 'certainty'"),
        (lambda f: f["annotations"][0].update(concerns=["fish", "fish"]), r"'aaa-001-s1' by 'a-1': concerns has a label"),
        (lambda f: f["gold"].pop(0), r"gold\.jsonl: statement 'aaa-001-s1' has no gold label \(1 lack one\)"),
        (lambda f: f["gold"].append(f["gold"][0]), r"gold\.jsonl: gold label of 'aaa-001-s1' stands twice"),
        (lambda f: f["gold"][0].update(holder="Sweden"), r"gold label of 'aaa-001-s1': holder is 'Sweden'"),
        (lambda f: f["gold"][0].update(statement="x"), r"gold label of 'x': documents\.jsonl has no such statement"),
        (lambda f: f["gold"][1].update(settled="guessed"), r"gold\.jsonl, line 2: .*field 'settled'"),
        (lambda f: f["gold"][1].update(codebook_version="2"), r"gold\.jsonl, line 2: .*field 'codebook_version'"),
        (lambda f: f["gold"][1].update(concerns=["fish", "fish"]), r"gold label of 'aaa-001-s2': concerns has a label"),
    ],
)
def test_an_unsound_corpus_is_refused_by_file_and_record(tmp_path: Path, change: Callable[[Files], Any], message: str):
    with pytest.raises(RecordError, match=message):
        load_reference(_write(tmp_path, change))


@pytest.mark.parametrize("name", ["documents", "annotations", "gold"])
def test_a_missing_file_is_named(tmp_path: Path, name: str):
    (_write(tmp_path) / f"{name}.jsonl").unlink()
    with pytest.raises(UsageError, match=rf"{name}\.jsonl: no such file"):
        load_reference(tmp_path)
