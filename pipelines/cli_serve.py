"""The command `annotate serve`: a Label Studio server in the foreground."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from pipelines.cli_collect import workspace_option
from pipelines.terminal import quiet_option, say_to


@click.command()
@workspace_option
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="Default: as the last time, at first 8080.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen; 0.0.0.0 lets other machines in.")
@quiet_option
def serve(workspace: Path, port: int | None, host: str, quiet: bool) -> None:
    """Run a Label Studio server for this workspace, until Ctrl-C.

    The first time it installs the tested release into an environment of its own and makes the owner's account. Other
    commands with the same workspace find the server by themselves. A team that has a server does not need this: set
    LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.

    Example: treaty-stance annotate serve --workspace hanoi
    """
    from pipelines.serve import serving

    say = say_to(quiet)
    try:
        with _stoppable(), serving(workspace, environ=os.environ, say=say, host=host, port=port) as served:
            say("\n".join(served.lines()))
            served.wait()
    except KeyboardInterrupt:
        say("stopped")


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let a polite end from outside (kill, a closed terminal) do what Ctrl-C does, so that the server is stopped too."""
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
