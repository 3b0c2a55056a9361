"""What holds for the whole tree: who may import whom, what is light, and that no label of one treaty stands in the code."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from annotation.codebook import load_codebook

ROOT = Path(__file__).parents[1]
ROOMS = ("corpus", "annotation", "models", "pipelines")
HEAVY = (
    "torch",
    "transformers",
    "datasets",
    "label_studio_sdk",
    "sklearn",
    "pandas",
    "pyarrow",
    "altair",
    "trafilatura",
    "nltk",
)
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def test_rooms_import_one_way() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as f; f()", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Rooms import one way KEPT" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


HELP = "import sys; sys.argv = [{}]\nfrom pipelines.cli import main\ntry: main()\nexcept SystemExit: pass"


@pytest.mark.parametrize(
    "code",
    [
        HELP.format("'treaty-stance', '--help'"),
        HELP.format("'treaty-stance', 'label', '--help'"),
        *(f"import {room}" for room in ROOMS),
    ],
)
def test_nothing_heavy_is_imported_before_there_is_work(code: str) -> None:
    count = f"\nimport sys\nprint('HEAVY', [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code + count], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_no_source_file_names_a_stance_or_concern_of_the_shipped_codebook() -> None:
    codebook = load_codebook()
    # "none" and "process" are also plain words of Python and English; all other labels are only ever labels.
    labels = {*codebook.stance_ids, *codebook.concern_ids} - {"none", "process"}
    found = []
    for path in SOURCES:
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type == tokenize.STRING and token.string.strip("\"'rbfu") in labels:
                found.append(f"{path.relative_to(ROOT)}:{token.start[0]} {token.string}")
    assert found == []


def test_no_template_names_a_label_of_the_shipped_codebook() -> None:
    # labels that are not also words of HTML, CSS or everyday English
    labels = {"favor", "surveillance", "safeguards", "repression", "sovereignty", "security_research", "data_access"}
    assert labels <= {*load_codebook().stance_ids, *load_codebook().concern_ids}
    templates = [p for p in (ROOT / "pipelines" / "templates").iterdir() if p.is_file()]
    assert templates
    for path in templates:
        words = set(re.findall(r"[a-z_]+", path.read_text(encoding="utf-8").casefold()))
        assert words & labels == set(), path.name


def test_no_source_file_unpickles_or_runs_code_from_data() -> None:
    names = {"pickle", "joblib", "eval", "exec", "marshal", "shelve"}
    found = []
    for path in SOURCES:
        for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
            if token.type == tokenize.NAME and token.string in names and f".{token.string}(" not in token.line:
                found.append(f"{path.relative_to(ROOT)}:{token.start[0]} {token.line.strip()}")
    assert found == []


@pytest.mark.slow
def test_the_wheel_holds_the_four_rooms_and_their_data(tmp_path: Path) -> None:
    import shutil
    import zipfile

    tree = tmp_path / "tree"
    for room in ROOMS:
        shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(tree),
    ]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {path.relative_to(ROOT).as_posix() for path in SOURCES} | {
        "corpus/reference/gold.jsonl",
        "corpus/reference/DATASHEET.md",
        "annotation/codebooks/un-cybercrime.yaml",
        "pipelines/templates/report.html.j2",
        "models/py.typed",
    }
    assert expected - names == set()
    assert not [name for name in names if name.startswith("tests")]
