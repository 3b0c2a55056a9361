"""Outside stance data: what is read, what is counted and left out, and what stops the reading."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import RecordError, UsageError
from models.pairs import Pair, read_objects, read_pairs

GOOD = [
    {"text": "Salmon first!", "target": "the river pact", "label": "favor"},
    {"text": "The price is high.", "target": "the river pact", "label": "against", "id": 7, "probs": {"favor": 0.1}},
]


def lines(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def write(folder: Path, *rows: object, name: str = "pairs.jsonl") -> Path:
    path = folder / name
    path.write_bytes(lines(*rows))
    return path


def zstd(data: bytes) -> bytes:
    import zstandard

    return zstandard.compress(data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_pairs_are_read_in_order_whatever_the_file_is_packed_in(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "any-name"
    path.write_bytes(pack(lines(*GOOD)))
    found = read_pairs(path)
    assert found.pairs == (
        Pair("Salmon first!", "the river pact", ("favor",)),
        Pair("The price is high.", "the river pact", ("against",)),
    )
    assert (found.labels, found.multiple, dict(found.refused), found.left_out) == (("against", "favor"), False, {}, 0)
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"text": None}, "text is missing"),
        ({"text": 3}, "text is not text"),
        ({"text": " \n "}, "text is empty"),
        ({"target": None}, "target is missing"),
        ({"target": ["a"]}, "target is not text"),
        ({"target": ""}, "target is empty"),
        ({"label": None}, "label is missing"),
        ({"label": 1}, "label is not a word"),
        ({"label": ["favor", 2]}, "label is not a word"),
        ({"label": "  "}, "label is empty"),
        ({"probabilities": [0.5, 0.5]}, "probabilities are not an object of labels and numbers"),
        ({"probabilities": {}}, "probabilities are not an object of labels and numbers"),
        ({"probabilities": {"favor": "1"}}, "a probability is not a number from 0 on"),
        ({"probabilities": {"favor": True}}, "a probability is not a number from 0 on"),
        ({"probabilities": {"favor": 1.5, "against": -0.5}}, "a probability is not a number from 0 on"),
        ({"probabilities": {"favor": 0.7, "against": 0.2}}, "probabilities do not sum to one"),
        ({"probabilities": {"favor": 70, "against": 30}}, "probabilities do not sum to one"),
        ({"probabilities": {"favor": 0.5, " ": 0.5}}, "a probability has no label"),
        ({"split": 4}, "split is not a word"),
        ({"split": ["train"]}, "split is not a word"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_under_its_reason(
    tmp_path: Path, change: dict[str, object], reason: str
) -> None:
    found = read_pairs(write(tmp_path, GOOD[0], {**GOOD[0], **change}, GOOD[1], {**GOOD[1], **change}))
    assert dict(found.refused) == {reason: 2}
    assert len(found.pairs) == 2


def test_probabilities_stand_beside_the_label_and_are_made_to_sum_to_one(tmp_path: Path) -> None:
    said = {"none": 0.495, " favor ": 0.495, "mixed": 0}
    found = read_pairs(write(tmp_path, *GOOD, {**GOOD[0], "probabilities": said}))
    assert [p.shares for p in found.pairs] == [(), (), (("none", 0.5), ("favor", 0.5))]
    assert found.pairs[2].labels == ("favor",)
    assert found.labels == ("against", "favor", "none"), "what only probabilities name is a label too"
    assert found.facts()["with_probabilities"] == 1
    with pytest.raises(RecordError, match="line 3: label 'none' is not known"):
        read_pairs(tmp_path / "pairs.jsonl", labels=("favor", "against"))


def test_rows_of_other_parts_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD, *({**GOOD[0], "split": s} for s in ("train", "test", "test", "dev", "", None)))
    found = read_pairs(path)
    assert (len(found.pairs), found.left_out) == (5, 3)
    assert len(read_pairs(path, parts=("test", "dev")).pairs) == 2 + 3 + 2
    assert read_pairs(path).facts() == {
        "name": "pairs.jsonl",
        "sha256": found.sha256,
        "labels": ["against", "favor"],
        "pairs": 5,
        "with_probabilities": 0,
        "refused": {},
        "left_out": 3,
    }


def test_a_list_of_labels_in_every_line_makes_a_set_with_several_labels_a_text(tmp_path: Path) -> None:
    rows = [{**GOOD[0], "label": ["fish", "money", "fish"]}, {**GOOD[1], "label": []}]
    found = read_pairs(write(tmp_path, *rows))
    assert found.multiple
    assert [p.labels for p in found.pairs] == [("fish", "money"), ()]
    assert found.labels == ("fish", "money")


def test_probabilities_are_for_texts_with_one_label(tmp_path: Path) -> None:
    rows = [{**GOOD[0], "label": ["fish", "money"]}, {**GOOD[1], "label": ["fish"], "probabilities": {"fish": 1.0}}]
    found = read_pairs(write(tmp_path, *rows))
    assert dict(found.refused) == {"probabilities stand beside a list of labels": 1}


def test_known_labels_keep_the_callers_order_and_an_unknown_one_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, *GOOD)
    assert read_pairs(path, labels=("none", "favor", "against")).labels == ("none", "favor", "against")
    with pytest.raises(
        RecordError, match=r"pairs\.jsonl, line 2: label 'against' is not known, expected one of favor, none;"
    ):
        read_pairs(path, labels=("favor", "none"))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b'{"text": "a"\n', "line 1: expected an object with text, target and label, but "),
        (lines(*GOOD) + b"[1]\n", "line 3: expected an object with text, target and label, found list"),
        (b"\xff\xfe\n", "line 1: expected an object"),
        (b'{"text": "\\ud800", "target": "a", "label": "b"}\n', "line 1: expected an object"),
        (b"[" * 100_000, "line 1: expected an object"),
        (gzip.compress(lines(*GOOD) * 99, mtime=0)[:-12], "expected a whole gzip file, but "),
        (b"", r"no usable row in it \(it is empty\)"),
        (lines({"text": "a"}, {}), r"no usable row in it \(1 rows where target is missing, 1 rows where text is missing\)"),
        (lines({**GOOD[0], "split": "test"}), r"no usable row in it \(1 rows of other parts\)"),
        (lines(GOOD[0], GOOD[0]), "expected different labels to tell apart, found only 'favor'"),
        (lines({**GOOD[0], "label": []}), "expected different labels to tell apart, found none"),
        (lines(*GOOD, {**GOOD[0], "label": ["favor"]}), "line 3: label is a list, but the lines before have one word"),
        (lines({**GOOD[0], "label": ["favor"]}, GOOD[0]), "line 2: label is one word, but the lines before have a list"),
        (
            lines(*({**GOOD[0], "label": f"free text {i:03}"} for i in range(200))),
            "line 101: more than 100 different labels up to here, the last one 'free text 100'",
        ),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_sentence(tmp_path: Path, data: bytes, sentence: str) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(data)
    with pytest.raises(RecordError, match=sentence) as caught:
        read_pairs(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_a_wrong_usage(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.jsonl", tmp_path):
        with pytest.raises(UsageError, match="expected a file of stance data that can be read"):
            read_pairs(path)


def test_a_byte_order_mark_and_blank_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "bom.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + lines(GOOD[0]) + b"\n  \n" + lines(GOOD[1]))
    assert [number for number, _ in read_objects(path)] == [1, 4]
    assert len(read_pairs(path).pairs) == 2


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=8))
def test_every_row_is_read_or_counted(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    folder = tmp_path_factory.mktemp("any")
    path = write(folder, *GOOD, *({"text": a, "target": b, "label": c} for a, b, c in rows))
    found = read_pairs(path)
    assert len(found.pairs) + sum(found.refused.values()) == 2 + len(rows)
    assert all(p.text.strip() and p.target.strip() and set(p.labels) <= set(found.labels) for p in found.pairs)
