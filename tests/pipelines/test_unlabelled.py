"""Unlabelled statements: what is read and left out, and what a network learns from them as its teachers see them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

from corpus.errors import RecordError, UsageError
from models.passage import Passage
from models.predictor import Predictor
from models.splits import take
from pipelines.teacher import ask_teachers
from pipelines.training import TrainJob, train
from pipelines.unlabelled import guessed, read_unlabelled

if TYPE_CHECKING:
    from collections.abc import Callable

    from annotation.codebook import Codebook
    from tests.conftest import Small


def table(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_each_text_is_kept_once_and_labelled_ones_are_left_out(tmp_path: Path) -> None:
    one = table(
        tmp_path / "one.jsonl",
        {"text": " We sign the pact. ", "title": "Pact"},
        {"text": "We  SIGN the\npact."},
        {"text": "It will cost us dear."},
        {"text": "  "},
    )
    two = tmp_path / "two.csv"
    two.write_text("text,title\nWe sign the pact.,Other\nRain on Tuesday.,\n", encoding="utf-8")
    found = read_unlabelled([one, two], ["It will cost  us dear. "])
    assert found.passages == (Passage("We sign the pact.", "Pact"), Passage("Rain on Tuesday."))
    assert (found.labelled, found.repeated, found.refused) == (1, 2, {"text is empty": 1})
    assert str(found) == (
        "2 unlabelled statements to learn from as the teacher sees them; 1 rows refused, text is empty; "
        "1 left out that have a label; 2 repetitions left out"
    )
    assert read_unlabelled([one], []).hash != found.hash


def test_a_file_without_an_unlabelled_statement_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "all.jsonl", {"text": "We sign."})
    with pytest.raises(
        RecordError, match=r"all\.jsonl: expected statements without a label, found 0 .*1 left out that have"
    ):
        read_unlabelled([path], ["we sign."])
    page = tmp_path / "page.txt"
    page.write_text("A page of text.", encoding="utf-8")
    with pytest.raises(UsageError, match="expected a table with one text a row"):
        read_unlabelled([page], [])


def test_a_guess_stands_where_the_teacher_saw_the_holder() -> None:
    found = guessed(Passage("Ann signs.", "Pact"), stance="favor", concerns=["cost"], span=(0, 3), kind="state")
    assert (found.gold.holder, found.gold.holder_start, found.gold.holder_end, found.gold.holder_type) == (
        "Ann",
        0,
        3,
        "state",
    )
    assert found.passage == Passage("Ann signs.", "Pact")
    assert guessed(found.passage, stance="none", concerns=[], span=None, kind=None).gold.holder is None


def others(make_lines: Callable[[int, int], list[dict[str, object]]]) -> list[Passage]:
    return [Passage(str(row["text"]), str(row["title"])) for row in make_lines(12, 9)]


def test_unlabelled_statements_are_taught_by_the_teacher_alone(
    small: Small, small_bundle: Path, make_lines: Callable[[int, int], list[dict[str, object]]]
) -> None:
    training, waiting = take(small.examples, small.split, "train")[:20], others(make_lines)
    lesson = ask_teachers([small_bundle], training, small.codebook, small.split, waiting, share=0.25)
    judged = Predictor.load(small_bundle).judge(waiting)
    assert lesson.taught.stance[20:] == pytest.approx(np.array([j.probabilities for j in judged]))
    assert lesson.taught.concerns[20:] == pytest.approx(np.array([j.concern_probabilities for j in judged]))
    assert lesson.taught.share is not None
    assert lesson.taught.share.tolist() == [0.25] * 20 + [1.0] * len(waiting)
    assert lesson.taught.named is None, "this teacher has learned who is a holder"
    for passage, example, j in zip(waiting, lesson.guessed, judged, strict=True):
        assert example.passage == passage
        assert example.gold.stance == small.codebook.stance_ids[int(np.argmax(j.probabilities))]
        assert (example.gold.holder_start, example.gold.holder_type) == (j.holder_start, j.holder_type)
    assert any(e.gold.holder for e in lesson.guessed)


def test_a_frozen_teacher_says_nothing_of_holders(
    small: Small, tmp_path: Path, make_lines: Callable[[int, int], list[dict[str, object]]]
) -> None:
    from models.bundle import save_bundle
    from models.frozen import fit_frozen

    training, development = (take(small.examples, small.split, part) for part in ("train", "development"))
    frozen = fit_frozen(training, development, small.codebook, small.recipe)
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    save_bundle(tmp_path / "frozen", frozen, small.codebook, small.split, facts=facts)
    waiting = others(make_lines)
    lesson = ask_teachers([tmp_path / "frozen"], training[:20], small.codebook, small.split, waiting)
    assert lesson.taught.named is not None
    assert lesson.taught.named.tolist() == [True] * 20 + [False] * len(waiting)
    assert {(e.gold.holder, e.gold.holder_type) for e in lesson.guessed} == {(None, None)}


@pytest.mark.slow
def test_a_bundle_names_the_unlabelled_statements_that_it_learned(
    tmp_path: Path,
    small: Small,
    lines_path: Path,
    invented: Codebook,
    make_lines: Callable[[int, int], list[dict[str, object]]],
) -> None:
    from annotation.codebook import dump_codebook

    codebook = tmp_path / "codebook.json"
    codebook.write_text(dump_codebook(invented), encoding="utf-8")
    recipe = msgspec.structs.replace(small.recipe, epochs=2)
    said: list[str] = []

    def trained(name: str, *, teachers: tuple[Path, ...] = (), unlabelled: tuple[Path, ...] = ()) -> Path:
        job = TrainJob(tmp_path / name, lines_path, codebook, method="fine-tune", teachers=teachers, unlabelled=unlabelled)
        return train(job, recipe, created="2025-01-01", say=said.append).folder

    rows = [{"text": row["text"], "title": row["title"]} for row in make_lines(12, 9)]
    path = table(tmp_path / "coverage.jsonl", *rows, {"text": small.examples[0].statement.text})
    teacher = trained("teacher")
    alone, pupil = trained("alone", teachers=(teacher,)), trained("pupil", teachers=(teacher,), unlabelled=(path,))
    facts = [json.loads((folder / "manifest.json").read_text(encoding="utf-8")) for folder in (alone, pupil)]
    learned = facts[1]["unlabelled"]
    assert learned["statements"] + learned["repeated"] + learned["labelled"] == len(rows) + 1
    assert learned["labelled"] >= 1
    assert "unlabelled" not in facts[0]
    assert facts[0]["corpus"]["parts"] == facts[1]["corpus"]["parts"], "the parts are those of the labelled statements"
    assert facts[0]["model_id"] != facts[1]["model_id"]
    assert any(line.startswith(f"{learned['statements']} unlabelled statements to learn from") for line in said)
    with pytest.raises(UsageError, match=r"coverage\.jsonl: .* no teacher was named; name a bundle with --teacher"):
        trained("orphan", unlabelled=(path,))
