"""A new workspace: the folder that belongs to one treaty."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from corpus.errors import UsageError
from corpus.files import write_text
from corpus.sources import PROJECT

CODEBOOK = "codebook.yaml"
_FOLDERS = ("inbox", "snapshots", "bundles", "labels", "reports")
_IGNORE = "corpus.db*\nsnapshots/\nruns/\nbundles/\nlabels/\nreports/\ninbox/\nmanifest.json\n"


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
