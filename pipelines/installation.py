"""Label Studio's installation: a pinned release in an environment of its own, since its needs and ours have clashed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path

from annotation.server import VERSION
from corpus.errors import TreatyStanceError, UsageError

ENVIRONMENT = ".venv-label-studio"
"""Name of the folder of such an environment, in a workspace or beside this program."""


def find_command(workspace: Path, environ: Mapping[str, str], *, say: Callable[[str], None]) -> list[str]:
    """Return the command of Label Studio: what ``LABEL_STUDIO_BIN`` names, the workspace's environment, one beside this
    program, or one that is installed now into the workspace.

    Raises:
        UsageError: when ``LABEL_STUDIO_BIN`` names no program.
        TreatyStanceError: when the installation fails.
    """
    named = environ.get("LABEL_STUDIO_BIN", "").strip()
    if named:
        if not os.access(named, os.X_OK) or Path(named).is_dir():
            raise UsageError(f"LABEL_STUDIO_BIN: expected a program that can be run, found {named!r}; mend or unset it")
        return [str(Path(named).absolute())]
    beside = Path(__file__).absolute().parents[1]
    for place in (workspace, beside):
        if _is_whole(place / ENVIRONMENT):
            return _command(place / ENVIRONMENT)
    install(workspace / ENVIRONMENT, environ=environ, say=say)
    return _command(workspace / ENVIRONMENT)


def install(
    environment: Path, *, environ: Mapping[str, str], say: Callable[[str], None], python: str = sys.executable
) -> None:
    """Install the pinned Label Studio, with the packaged versions of all that it needs, into an environment of its own.

    An installation that was interrupted is thrown away and made anew.

    Raises:
        TreatyStanceError: when making the environment or pip fails, with the last lines of what it said.
    """
    unfinished = environment / ".unfinished"
    if unfinished.exists():
        say(f"The last installation was interrupted: making {environment} anew")
        shutil.rmtree(environment)
    say(f"Installing Label Studio {VERSION} into {environment} (once; some minutes)")
    environment.mkdir(exist_ok=True)
    unfinished.touch()
    # what is ours to know of servers is not pip's
    passed = {name: value for name, value in environ.items() if not name.startswith("LABEL_STUDIO_")}
    inner = str(environment / "bin" / "python")
    options = ("--disable-pip-version-check", "--no-input", "--quiet")
    with resources.as_file(resources.files("annotation") / "label-studio" / "constraints.txt") as constraints:
        if not os.access(inner, os.X_OK):
            _run([python, "-m", "venv", "--clear", str(environment)], passed, environment)
            unfinished.touch()  # which --clear has taken away
        _run(
            [inner, "-m", "pip", "install", *options, "-c", str(constraints), f"label-studio=={VERSION}"],
            passed,
            environment,
        )
    (environment / ".installed").touch()
    unfinished.unlink()
    if not _is_whole(environment):
        raise TreatyStanceError(
            f"{environment}: expected Label Studio {VERSION} after its installation, found no such program; remove the "
            "folder and run it again"
        )


def _is_whole(environment: Path) -> bool:
    """Return whether an installation was completed, of the release that is pinned, with a Python that is still there."""
    return (
        (environment / ".installed").exists()
        and not (environment / ".unfinished").exists()
        and all((environment / "bin" / name).exists() for name in ("python", "label-studio"))
        and any(environment.glob(f"lib/python3*/site-packages/label_studio-{VERSION}.dist-info"))
    )


def _command(environment: Path) -> list[str]:
    # by the environment's Python, since the first line of the script would name another place after the folder was moved
    return [str(environment / "bin" / "python"), str(environment / "bin" / "label-studio")]


def _run(command: Sequence[str], environ: Mapping[str, str], environment: Path) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - our own command
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    except OSError as error:
        raise TreatyStanceError(f"{command[0]}: cannot be run ({error.strerror}); see whether Python is whole") from error
    if done.returncode:
        said = " ".join(done.stdout.decode("utf-8", "replace").split())[-600:]
        raise TreatyStanceError(
            f"{environment}: expected Label Studio {VERSION} to be installed, but `{' '.join(command[1:4])}` failed: "
            f"{said or 'it said nothing'}; see to the cause and run it again"
        )
