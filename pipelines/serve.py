"""A Label Studio server for a workspace: started, run in the foreground, stopped."""

from __future__ import annotations

import errno
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from annotation.server import (
    LOOPBACK,
    VERSION,
    Credentials,
    Local,
    ServerFolder,
    address,
    answers,
    claim,
    invitation,
    is_everywhere,
    is_loopback,
    release,
)
from corpus.errors import TreatyStanceError, UsageError
from corpus.files import write_text
from corpus.sources import load_project
from pipelines.installation import ENVIRONMENT, find_command

PORT = 8080
OWNER = "owner@localhost"
_IGNORED = ("label-studio/", f"{ENVIRONMENT}/")
_READY_SECONDS = 600.0  # a first start makes the database: 45 to 100 s on two idle cores, and cores are not always idle
_STOP_SECONDS = 15.0
_BOUND = "Starting development server at"  # Django says so once it has the port
_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_TAIL = 12


@dataclass(frozen=True, slots=True)
class Served:
    """A server that runs.

    ``url`` is its address for programs and browsers of this machine, ``invitation`` the link by which coders sign up,
    ``email`` the owner's name there and ``credentials`` the file with the owner's password. ``shared`` is the address for
    other machines, None where they do not reach it. ``moved`` is the address that it had until now, if that was another.
    """

    url: str
    version: str
    invitation: str
    email: str
    credentials: Path
    shared: str | None
    moved: str | None
    _process: subprocess.Popen[bytes] = field(repr=False)
    _folder: ServerFolder = field(repr=False)

    def lines(self) -> tuple[str, ...]:
        """Return what whoever runs the coding needs to know. It names the place of the password, never the password."""
        told = [
            f"Label Studio {self.version} runs at {self.url}; Ctrl-C stops it",
            f"  Coders sign up with this link, and sign in at the address: {self.invitation}",
            f"  The owner signs in as {self.email}; the password lies in {self.credentials}",
            "  Other commands with this workspace find the server by themselves",
        ]
        if self.shared:
            told.append(
                f"  Other machines reach it by this machine's name or address, as in {self.shared}; nothing is encrypted on "
                "the way, passwords neither, so let in only a network that you trust"
            )
        if self.moved:
            told.append(
                f"  Its address was {self.moved} until now; what was pushed there is noted under that: to go on with "
                "it, serve there again"
            )
        if self.version != VERSION:
            told.append(f"  This program is tested with Label Studio {VERSION}")
        return tuple(told)

    def wait(self) -> None:
        """Wait until the server ends by itself, which it should not.

        Raises:
            TreatyStanceError: when it does, with the last lines of its log.
        """
        self._process.wait()
        raise _died(self._process, self._folder)


@contextmanager
def serving(
    workspace: Path,
    *,
    environ: Mapping[str, str],
    say: Callable[[str], None],
    host: str = LOOPBACK,
    port: int | None = None,
) -> Iterator[Served]:
    """Run the workspace's Label Studio server for as long as the block lasts; where need be, install it first.

    The first start makes the owner's account and token and keeps them in the workspace. Without ``port``, the server
    listens where it did the last time, at first on 8080.

    Raises:
        UsageError: when the folder is no workspace, its server runs already, the port is taken, or ``LABEL_STUDIO_BIN``
            names no program.
        TreatyStanceError: when Label Studio cannot be installed, dies, or does not get ready.
        RecordError: when the files of the workspace's server are damaged.
    """
    load_project(workspace)
    folder = ServerFolder(workspace.absolute())
    folder.make()
    _ignore(workspace / ".gitignore")
    lock = _take_lock(folder)
    process: subprocess.Popen[bytes] | None = None
    try:
        before = folder.read_local()
        port = port or (before.port if before else PORT)
        _check_port(host, port)
        local = Local(url=address(host, port), port=port)
        known = replace(before or local, process=None, ready=False)  # a start that fails moves nothing
        folder.write_local(known)
        credentials = folder.read_credentials() or Credentials(OWNER, secrets.token_urlsafe(18))
        folder.write_credentials(credentials)
        command = find_command(workspace.absolute(), environ, say=say)
        say("Starting Label Studio (the first start makes its database, which takes a minute or two)")
        process = _start(command, folder, host, port, _environment(credentials, folder, host, environ), lock)
        folder.write_local(replace(known, process=process.pid))
        _await(process, local.url, folder)
        credentials = claim(local.url, credentials)
        folder.write_credentials(credentials)
        shared = None if is_loopback(host) else address(socket.gethostname() if is_everywhere(host) else host, port)
        served = Served(
            url=local.url,
            version=release(local.url),
            invitation=invitation(local.url, credentials).replace(local.url, shared or local.url, 1),
            email=credentials.email,
            credentials=workspace / folder.credentials.relative_to(folder.workspace),
            shared=shared,
            moved=before.url if before and before.url != local.url else None,
            _process=process,
            _folder=folder,
        )
        folder.write_local(replace(local, process=process.pid, ready=True))
        yield served
    finally:
        if process is not None:
            _stop(process)
        os.close(lock)


def _ignore(path: Path) -> None:
    """Keep the server's files out of version control: they hold the password and everybody's answers."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    missing = [line for line in _IGNORED if line not in text.splitlines()]
    if missing:
        write_text(path, text + ("\n" if text and not text.endswith("\n") else "") + "".join(f"{m}\n" for m in missing))


def _take_lock(folder: ServerFolder) -> int:
    for _ in range(5):  # whoever asks whether the server runs holds the lock for a blink
        lock = folder.lock()
        if lock is not None:
            return lock
        time.sleep(0.2)
    local = folder.read_local()
    state = f"runs at {local.url}" if local and local.ready else "is starting"
    process = f" (kill {local.process} where that is gone)" if local and local.process else ""
    raise UsageError(
        f"{folder.workspace}: expected no server of this workspace yet, found one that {state}; use that one, or stop it "
        f"first with Ctrl-C in its terminal{process}"
    )


def _check_port(host: str, port: int) -> None:
    try:
        family, kind, proto, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(where)
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                f"--host {host}: expected a name or address of this machine, which it is not; use {LOOPBACK}"
            ) from None
        raise UsageError(
            f"port {port} of {host}: expected one that is free, but {(error.strerror or str(error)).lower()}; choose "
            f"another with --port, as in --port {port + 1 if port < 65535 else PORT}"
        ) from None


def _environment(credentials: Credentials, folder: ServerFolder, host: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return all that the server is told. Of the outer environment it gets only what programs need to run.

    The names with a prefix come before those without, which Label Studio reads as well.
    """
    names = (LOOPBACK, "localhost", "[::1]", _bracketed(host))
    ours = {
        "USERNAME": credentials.email,  # an account that is there stays as it is
        "PASSWORD": credentials.password,
        "BASE_DATA_DIR": str(folder.path / "data"),
        "DJANGO_DB": "sqlite",
        "HOST": "",
        "DEBUG": "false",
        "LOG_LEVEL": "WARNING",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "ALLOWED_HOSTS": ",".join(dict.fromkeys(names)) if is_loopback(host) else "*",
    }
    return (
        {name: environ[name] for name in _KEPT if name in environ}
        | {"HOME": str(folder.path), "PYTHONUNBUFFERED": "1"}
        | {f"LABEL_STUDIO_{name}": value for name, value in ours.items()}
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _start(
    command: Sequence[str], folder: ServerFolder, host: str, port: int, environment: Mapping[str, str], lock: int
) -> subprocess.Popen[bytes]:
    """Start the server. It holds the lock too, so that one whose starter was killed is known to run."""
    # --debug does one thing here: a port that is taken is an error, where Label Studio would go on to the next
    arguments = ("start", "--no-browser", "--debug", "--internal-host", _bracketed(host), "--port", str(port))
    if folder.log.exists():
        folder.log.replace(folder.log.with_suffix(".old.log"))
    handle = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        return subprocess.Popen(  # noqa: S603 - our own command
            [*command, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd=folder.path,
            start_new_session=True,  # Ctrl-C reaches us alone, and we stop it
            pass_fds=(lock,),
        )
    except OSError as error:
        raise TreatyStanceError(f"{command[0]}: cannot be run ({error.strerror}); install Label Studio anew") from error
    finally:
        os.close(handle)


def _await(process: subprocess.Popen[bytes], url: str, folder: ServerFolder) -> None:
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise _died(process, folder)
        # Another program may have taken the port meanwhile; it must not be told the password.
        if _BOUND in folder.log.read_text(encoding="utf-8", errors="replace") and answers(url):
            return
        time.sleep(0.3)
    raise TreatyStanceError(
        f"{url}: expected Label Studio to answer within {_READY_SECONDS:.0f} s, found silence; see {folder.log}, try again"
    )


def _died(process: subprocess.Popen[bytes], folder: ServerFolder) -> TreatyStanceError:
    code = process.returncode
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    lines = folder.log.read_text(encoding="utf-8", errors="replace").splitlines()
    # requests are no cause, and their addresses may hold an invitation
    tail = " | ".join([" ".join(line.split()) for line in lines if line.strip() and "[django.server::" not in line][-_TAIL:])
    credentials = folder.read_credentials()
    for secret in filter(None, (credentials.password, credentials.token) if credentials else ()):
        tail = tail.replace(secret, "…")
    said = re.sub(r"token=\w+", "token=…", tail)[-1500:]
    return TreatyStanceError(f"Label Studio has ended ({how}); the last lines of {folder.log}: {said or 'none'}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the server and what it may have started; SQLite loses nothing that was answered."""
    if process.poll() is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=_STOP_SECONDS)
    except ProcessLookupError:
        process.wait()
    except BaseException as error:  # too slow, or a second Ctrl-C: it must not outlive us
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
