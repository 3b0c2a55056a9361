"""The command line: exit codes, one sentence for each fault, help for each command."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from pipelines.cli import cli

Run = Callable[..., tuple[int, str, str]]


def write(path: Path, data: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def parquet(path: Path) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["Upperton rejects the pact."] * 50}), path)
    path.write_bytes(path.read_bytes()[:-40])
    return path


GOOD = '{"text": "Upperton rejects the pact."}\n'
BAD_INPUTS: list[tuple[str, Callable[[Path], Path], int, str]] = [
    ("a missing file", lambda d: d / "nowhere.jsonl", 2, "nowhere.jsonl"),
    ("an empty file", lambda d: write(d / "empty.jsonl", ""), 1, "empty"),
    ("a CSV without text", lambda d: write(d / "a.csv", "id,body\n1,hello\n"), 1, "text"),
    ("broken JSON at line 3", lambda d: write(d / "a.jsonl", GOOD * 2 + '{"text": \n'), 1, "line 3"),
    ("a truncated Parquet file", lambda d: parquet(d / "a.parquet"), 1, "a.parquet"),
    ("a truncated gzip file", lambda d: write(d / "a.jsonl.gz", gzip.compress(GOOD.encode() * 99)[:-12]), 1, "a.jsonl.gz"),
    ("a document of 5 MB", lambda d: write(d / "big.txt", "A sentence of words. " * 260_000), 1, "big.txt"),
    ("an empty document", lambda d: write(d / "empty.txt", " \n "), 1, "empty.txt"),
    ("binary data named .txt", lambda d: write(d / "photo.txt", bytes(range(256)) * 9), 1, "photo.txt"),
    ("a folder without documents", lambda d: write(d / "docs" / "photo.png", b"x").parent, 2, "docs"),
]


@pytest.mark.parametrize(("make", "code", "named"), [b[1:] for b in BAD_INPUTS], ids=[b[0] for b in BAD_INPUTS])
def test_bad_input_is_one_sentence(
    run: Run, small_bundle: Path, tmp_path: Path, make: Callable[[Path], Path], code: int, named: str
) -> None:
    found, out, err = run("label", make(tmp_path), "--model", small_bundle, "--output", tmp_path / "labels", "--quiet")
    assert (found, out) == (code, "")
    assert named in err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1, "one line"
    assert "Traceback" not in err


def test_a_bad_document_among_good_ones_is_a_row_with_a_reason(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    write(folder / "a.txt", "Upperton rejects the pact, its mayor said on Monday in the town hall.")
    write(folder / "b.txt", bytes(range(256)))
    code, out, err = run("label", folder, "--model", small_bundle, "--output", tmp_path / "labels")
    assert (code, err) == (0, "")
    assert "1 statements labelled, 1 rows invalid" in out
    assert "1 x expected text, found binary data (a NUL at byte …); convert the file to UTF-8 text" in out


def test_a_bundle_with_a_missing_or_altered_file_is_refused(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    inputs = write(tmp_path / "a.jsonl", GOOD)
    for name, damage in (
        ("tokenizer.json", Path.unlink),
        ("model.safetensors", lambda p: p.write_bytes(b"x" + p.read_bytes())),
    ):
        bundle = Path(shutil.copytree(small_bundle, tmp_path / name))
        damage(bundle / name)
        code, _, err = run("label", inputs, "--model", bundle, "--output", tmp_path / "labels")
        assert code == 1
        assert name in err
        assert "copy the bundle again" in err
        assert err.count("\n") == 1
    code, _, err = run("label", inputs, "--model", tmp_path / "nowhere", "--output", tmp_path / "labels")
    assert code == 2
    assert "no such folder" in err


def test_a_codebook_with_duplicate_labels_is_refused(
    run: Run, invented_path: Path, lines_path: Path, tmp_path: Path
) -> None:
    twice = write(tmp_path / "twice.yaml", invented_path.read_text().replace("id: money", "id: fish"))
    code, _, err = run("train", "--corpus", lines_path, "--codebook", twice, "--output", tmp_path / "bundle")
    assert code == 1
    assert "twice.yaml" in err
    assert "'fish'" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "bundle").exists()


def test_an_output_that_cannot_be_written_is_refused(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    inputs = write(tmp_path / "a.jsonl", GOOD)
    for place in (inputs / "labels", Path("/proc/labels")):
        code, _, err = run("label", inputs, "--model", small_bundle, "--output", place)
        assert code == 2
        assert str(place.parent) in err
        assert err.count("\n") == 1


def test_an_output_folder_with_another_jobs_result_is_refused_and_kept(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.jsonl", GOOD), write(tmp_path / "b.jsonl", GOOD * 2)
    assert run("label", first, "--model", small_bundle, "--output", tmp_path / "labels")[0] == 0
    before = (tmp_path / "labels" / "labels-00000.parquet").read_bytes()
    code, _, err = run("label", second, "--model", small_bundle, "--output", tmp_path / "labels")
    assert code == 2
    assert "another job" in err
    assert (tmp_path / "labels" / "labels-00000.parquet").read_bytes() == before


def test_labelling_the_same_input_twice_gives_the_same_bytes(run: Run, small_bundle: Path, tmp_path: Path) -> None:
    rows = [{"text": f"Ann Gler warns against the pact at place {i}. Fish matter."} for i in range(40)]
    inputs = write(tmp_path / "a.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    for name in ("one", "two"):
        assert run("label", inputs, "--model", small_bundle, "--output", tmp_path / name)[0] == 0
    one, two = ((tmp_path / name / "labels-00000.parquet").read_bytes() for name in ("one", "two"))
    assert one == two


def test_labelled_lines_that_are_wrong_are_named(run: Run, invented_path: Path, tmp_path: Path) -> None:
    cases = {
        '{"text": "x", "stance": "maybe"}': "stance 'maybe' is not in codebook river-pact",
        '{"text": "x"}': "missing required field `stance`",
        '{"text": " ", "stance": "silent"}': "text is empty",
        '{"text": "x", "stance": "silent", "holder": "y"}': "holder 'y' is not a part of the text",
        "{": "expected a labelled statement",
    }
    for line, sentence in cases.items():
        corpus = write(tmp_path / "gold.jsonl", '{"text": "y", "stance": "silent"}\n' + line + "\n")
        code, _, err = run("train", "--corpus", corpus, "--codebook", invented_path, "--output", tmp_path / "bundle")
        assert code == 1
        assert "gold.jsonl, line 2" in err
        assert sentence in err
        assert err.count("\n") == 1
    code, _, err = run("train", "--corpus", tmp_path / "nowhere", "--output", tmp_path / "bundle")
    assert code == 2
    assert "no such file or folder" in err


def test_options_of_training_are_fields_of_the_recipe() -> None:
    from models.recipe import Recipe
    from pipelines.cli import _recipe

    given = _recipe(encoder="large", epochs=3, learning_rate=5e-5, seed=1, threads=None)
    assert given == Recipe(encoder="large", epochs=3, learning_rate=5e-5, seed=1)
    assert _recipe(encoder=None, epochs=None, learning_rate=None, seed=0, threads=None) == Recipe()


def test_wrong_usage_is_exit_code_2(run: Run) -> None:
    for arguments in (
        ["label"],
        ["fly"],
        ["label", "x", "--model", "m", "--output", "o", "--unit", "page"],
        ["train", "--epochs", "0"],
        ["train", "--device", "tpu"],
        ["train", "--learning-rate", "0"],
    ):
        code, _, err = run(*arguments)
        assert code == 2
        assert "Error: " in err


def test_an_unexpected_fault_is_one_sentence_and_a_traceback_only_on_request(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import pipelines.report

    def broken(folder: Path, **options: object) -> None:
        raise ZeroDivisionError("integer division")

    monkeypatch.setattr(pipelines.report, "make_report", broken)
    code, _, err = run("report", tmp_path, "--output", tmp_path)
    assert code == 1
    assert err.startswith("Error: unexpected ZeroDivisionError: integer division")
    assert err.count("\n") == 1
    code, _, err = run("--debug", "report", tmp_path, "--output", tmp_path)
    assert "Traceback" in err


def commands(group: click.Group, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, (*prefix, name))
        else:
            found.append((*prefix, name))
    return found


@pytest.mark.parametrize("command", commands(cli), ids=" ".join)
def test_every_command_has_help_with_an_example_and_is_documented(run: Run, command: tuple[str, ...]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert f"Example: treaty-stance {' '.join(command)}" in out
    docs = Path(__file__).parents[2]
    text = "".join(p.read_text(encoding="utf-8") for p in [docs / "README.md", *(docs / "docs").glob("*.md")])
    assert f"treaty-stance {' '.join(command)}" in text


def test_the_installed_command_answers() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "treaty-stance", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("treaty-stance, version ")


def test_agreement_is_printed_for_the_reference_corpus(run: Run) -> None:
    code, out, _ = run("annotate", "agreement")
    assert code == 0
    stance = next(line for line in out.splitlines() if line.startswith("stance "))
    assert "0.952" in stance, "Krippendorff's alpha, as in the datasheet"


def test_annotation_without_a_server_says_what_to_set(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LABEL_STUDIO_URL", raising=False)
    monkeypatch.delenv("LABEL_STUDIO_API_KEY", raising=False)
    code, _, err = run("annotate", "pull", "--project", "Round 1", "--output", tmp_path / "a.jsonl")
    assert code == 2
    assert "LABEL_STUDIO_URL" in err


def test_evaluation_refuses_statements_that_the_bundle_was_trained_on(
    run: Run, small_bundle: Path, lines_path: Path
) -> None:
    code, _, err = run("evaluate", small_bundle, "--corpus", lines_path, "--input", lines_path)
    assert code == 1
    assert "480 of 480 statements also stand in the corpus" in err
    assert err.count("\n") == 1


def test_evaluation_refuses_a_corpus_that_is_not_the_bundles(
    run: Run, small_bundle: Path, lines_path: Path, tmp_path: Path
) -> None:
    code, _, err = run("evaluate", small_bundle)
    assert code == 1
    assert "is not in codebook river-pact" in err, "the reference corpus has other labels"
    lines = lines_path.read_text(encoding="utf-8").splitlines(keepends=True)
    other = write(tmp_path / "other.jsonl", "".join(lines[:-30]))
    code, _, err = run("evaluate", small_bundle, "--corpus", other)
    assert code == 1
    assert "train again" in err
    assert err.count("\n") == 1
