import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation.server import VERSION
from corpus.errors import TreatyStanceError, UsageError
from pipelines import installation
from pipelines.installation import ENVIRONMENT, find_command, install

# A Python that plays venv and pip: it notes each call, and makes the files that the real ones would leave. It fails where
# a file `fail-venv` or `fail-pip` lies beside it.
STAND_IN = """#!{python}
import json, os, pathlib, shutil, sys
home = pathlib.Path({home!r})
with (home / "calls.jsonl").open("a") as stream:
    secrets = sorted(name for name in os.environ if name.startswith("LABEL_STUDIO_"))
    stream.write(json.dumps({{"arguments": sys.argv[1:], "secrets": secrets, "color": os.environ.get("COLOR")}}) + "\\n")
module = sys.argv[2]
if (home / ("fail-" + module)).exists():
    print("ERROR: no such\\n  network")
    sys.exit(7)
if module == "venv":
    environment = pathlib.Path(sys.argv[-1])
    shutil.rmtree(environment)
    (environment / "bin").mkdir(parents=True)
    shutil.copy(sys.argv[0], environment / "bin" / "python")
else:
    constraints = pathlib.Path(sys.argv[sys.argv.index("-c") + 1]).read_text()
    name, version = sys.argv[-1].split("==")
    assert f"{{name}}=={{version}}" in constraints.splitlines()
    environment = pathlib.Path(sys.argv[0]).parents[1]
    (environment / "bin" / "label-studio").write_text("")
    release = "0.0.1" if (home / "other-release").exists() else version
    (environment / f"lib/python3.11/site-packages/label_studio-{{release}}.dist-info").mkdir(parents=True)
"""


@pytest.fixture
def python(tmp_path: Path) -> Path:
    home = tmp_path / "stand-in"
    home.mkdir()
    path = home / "python"
    path.write_text(STAND_IN.format(python=sys.executable, home=str(home)), encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def calls(python: Path) -> Callable[[], list[dict[str, object]]]:
    log = python.with_name("calls.jsonl")
    return lambda: [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.exists() else []


@pytest.fixture
def put_in(python: Path, tmp_path: Path) -> Callable[[], list[str]]:
    """Install into the workspace and return what was said."""

    def call() -> list[str]:
        said: list[str] = []
        environ = {**os.environ, "LABEL_STUDIO_API_KEY": "open sesame", "COLOR": "blue"}
        install(tmp_path / ENVIRONMENT, environ=environ, say=said.append, python=str(python))
        return said

    return call


@pytest.fixture(autouse=True)
def _nothing_beside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let the program lie where no environment lies beside it."""
    monkeypatch.setattr(installation, "__file__", str(tmp_path / "elsewhere" / "pipelines" / "installation.py"))


def silent(line: str) -> None:
    pass


def test_the_pinned_release_is_installed_with_the_packaged_versions_and_without_our_secrets(
    put_in: Callable[[], list[str]], calls: Callable[[], list[dict[str, object]]], tmp_path: Path
) -> None:
    (said,) = put_in()
    assert said.startswith(f"Installing Label Studio {VERSION} into {tmp_path / ENVIRONMENT}")
    venv, pip = calls()
    assert venv["arguments"] == ["-m", "venv", "--clear", str(tmp_path / ENVIRONMENT)]
    arguments = pip["arguments"]
    assert isinstance(arguments, list)
    assert arguments[:3] == ["-m", "pip", "install"]
    assert arguments[-1] == f"label-studio=={VERSION}"
    assert [(c["secrets"], c["color"]) for c in (venv, pip)] == [([], "blue"), ([], "blue")]
    here = tmp_path / ENVIRONMENT
    assert (here / ".installed").exists()
    assert not (here / ".unfinished").exists()
    assert find_command(tmp_path, {}, say=silent) == [str(here / "bin" / "python"), str(here / "bin" / "label-studio")]
    assert len(calls()) == 2  # what is whole is not installed again


@pytest.mark.parametrize("step", ["venv", "pip"])
def test_what_fails_is_one_sentence_and_the_next_try_begins_anew(
    put_in: Callable[[], list[str]], python: Path, tmp_path: Path, step: str
) -> None:
    python.with_name(f"fail-{step}").touch()
    with pytest.raises(TreatyStanceError, match=rf"`-m {step} \S+` failed: ERROR: no such network; see to the cause"):
        put_in()
    half = tmp_path / ENVIRONMENT / "half"
    half.touch()
    python.with_name(f"fail-{step}").unlink()
    assert put_in()[0].startswith("The last installation was interrupted")
    assert not half.exists()
    assert find_command(tmp_path, {}, say=silent)


def test_an_installation_that_was_cut_off_is_not_used(
    put_in: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in()
    (tmp_path / ENVIRONMENT / ".unfinished").touch()
    again: list[Path] = []
    monkeypatch.setattr(installation, "install", lambda environment, **_: again.append(environment))
    find_command(tmp_path, {}, say=silent)
    assert again == [tmp_path / ENVIRONMENT]


def test_an_environment_without_a_stamp_is_completed_and_not_made_anew(
    put_in: Callable[[], list[str]], calls: Callable[[], list[dict[str, object]]], tmp_path: Path
) -> None:
    put_in()
    for path in (tmp_path / ENVIRONMENT).glob("lib/**/*.dist-info"):
        path.rmdir()  # as where the pinned release has changed
    put_in()
    modules = [c["arguments"][1] for c in calls() if isinstance(c["arguments"], list)]
    assert modules == ["venv", "pip", "pip"]


def test_another_release_than_the_pinned_one_is_refused(put_in: Callable[[], list[str]], python: Path) -> None:
    python.with_name("other-release").touch()
    with pytest.raises(TreatyStanceError, match=f"expected Label Studio {VERSION} after its installation"):
        put_in()


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TreatyStanceError, match=r"/no/python: cannot be run \(No such file"):
        install(tmp_path / ENVIRONMENT, environ={}, say=silent, python="/no/python")


def test_an_environment_beside_the_program_serves_every_workspace(
    put_in: Callable[[], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_in()
    monkeypatch.setattr(installation, "__file__", str(tmp_path / "pipelines" / "installation.py"))
    found = find_command(tmp_path / "another", {}, say=silent)
    assert found == [str(tmp_path / ENVIRONMENT / "bin" / name) for name in ("python", "label-studio")]


def test_a_program_that_the_environment_names_comes_first(tmp_path: Path, python: Path) -> None:
    assert find_command(tmp_path, {"LABEL_STUDIO_BIN": f" {python} "}, say=silent) == [str(python)]


@pytest.mark.parametrize("name", ["missing", ".", "plain"])
def test_a_named_program_that_cannot_be_run_is_a_wrong_use(tmp_path: Path, name: str) -> None:
    (tmp_path / "plain").touch(mode=0o644)
    with pytest.raises(UsageError, match="LABEL_STUDIO_BIN: expected a program that can be run"):
        find_command(tmp_path, {"LABEL_STUDIO_BIN": str(tmp_path / name)}, say=silent)
