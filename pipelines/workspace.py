"""A workspace: the folder that belongs to one treaty; made, found, and where things lie in it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from annotation.calls import Client, connect
from annotation.codebook import Codebook, load_codebook
from annotation.server import find_server
from corpus.errors import UsageError
from corpus.files import read_json, write_text
from corpus.sources import PROJECT, Project, load_project

CODEBOOK = "codebook.yaml"
_FOLDERS = ("inbox", "snapshots", "bundles", "labels", "reports")
_IGNORE = """corpus.db*
snapshots/
runs/
bundles/
labels/
reports/
inbox/
manifest.json
label-studio/
.venv-label-studio/
"""


def init_workspace(folder: Path) -> tuple[Path, ...]:
    """Make a workspace: `project.toml` with commented examples, the shipped codebook, and the folders that commands fill.

    What is there already stays as it is, so that a second call mends an incomplete workspace.

    Returns:
        The files that were written.

    Raises:
        UsageError: when the folder cannot be made, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder}: expected a folder or a name that is free, found a file; choose another name")
    shipped = resources.files("annotation") / "codebooks" / "un-cybercrime.yaml"
    texts = {
        PROJECT: (resources.files("pipelines") / "templates" / PROJECT).read_text(encoding="utf-8"),
        CODEBOOK: shipped.read_text(encoding="utf-8"),
        ".gitignore": _IGNORE,
    }
    written = []
    for name, text in texts.items():
        if not (folder / name).exists():
            write_text(folder / name, text)
            written.append(folder / name)
    for name in _FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    return tuple(written)


def find_workspace(given: Path | None, *, here: Path | None = None) -> Project | None:
    """Return the workspace that was named, else the one that a command was called in; None where it was called in none.

    Args:
        given: The folder that was named, if any.
        here: The folder that a command was called in; default: the current one.

    Raises:
        UsageError: when the named folder is no workspace, or its `project.toml` is malformed.
    """
    folder = given or here or Path()
    if given is None and not (folder / PROJECT).is_file():
        return None
    return load_project(folder)


def workspace_codebook(folder: Path) -> Codebook:
    """Return the codebook that the workspace in a folder codes with.

    Raises:
        UsageError: when it is missing.
        CodebookError: when it is none.
    """
    return load_codebook(folder / CODEBOOK)


def workspace_client(workspace: Path, environ: Mapping[str, str]) -> Client:
    """Connect to the server that the environment names, else to the workspace's own one that `annotate serve` runs.

    Raises:
        UsageError: when the environment names none or half of one and no server of the workspace runs, or the server
            refuses.
        RecordError: when the files of the workspace's server are damaged.
    """
    return connect(*find_server(workspace, environ))


def bundle_folder(project: Project, day: str) -> Path:
    """Return a free folder for a bundle that is made on an ISO day: `bundles/2026-01-31`, then `-2`, and so on."""
    folder, n = project.root / "bundles" / day, 1
    while folder.exists():
        n += 1
        folder = folder.with_name(f"{day}-{n}")
    return folder


def report_folder(project: Project, day: str) -> Path:
    """Return the folder of a report that is made on an ISO day: `reports/2026-01-31`; a second one replaces the first."""
    return project.root / "reports" / day


def newest_labels(project: Project) -> Path:
    """Return the folder of the runs with the bundle that labelled the workspace's corpus last.

    Raises:
        UsageError: when nothing is labelled yet.
    """
    runs = sorted((project.root / "labels").glob("*/*/manifest.json"))
    if not runs:
        raise UsageError(
            f"{project.root}: expected labels of the corpus, found none; make some with `treaty-stance label --workspace`"
        )
    return max(runs, key=lambda path: (str(read_json(path).get("created", "")), path)).parent.parent
