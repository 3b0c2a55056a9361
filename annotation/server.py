"""The Label Studio server that a workspace keeps for itself: where its files lie, who owns it, how to reach it.

Starting and stopping it is the work of ``pipelines.serve``. Passwords and keys stand in no message and no ``repr``.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from corpus.errors import RecordError, TreatyStanceError, UsageError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

VERSION = "1.23.2"
"""The release of Label Studio that this program is tested with."""

VARIABLES = ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY")
"""What names a server in the environment: its address and a token."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Credentials:
    """The owner's account on the workspace's server. ``token`` is a personal access token, None before there is one."""

    email: str
    password: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Local:
    """Where the workspace's server listens, as its last start noted it.

    ``process`` is the server's process number. ``ready`` says that the start was completed; whether the server still runs
    is told by the lock alone.
    """

    url: str
    port: int
    process: int | None = None
    ready: bool = False


@dataclass(frozen=True, slots=True)
class ServerFolder:
    """The folder of a workspace's own server: its data, its log, the owner's account."""

    workspace: Path

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.workspace / "label-studio"

    @property
    def credentials(self) -> Path:
        """The file with the owner's password and token."""
        return self.path / "credentials.json"

    @property
    def log(self) -> Path:
        """What the server has said since it was last started."""
        return self.path / "server.log"

    @property
    def _note(self) -> Path:
        return self.path / "server.json"

    def make(self) -> None:
        """Make the folder, which only its owner may look into: the server's database has everybody's answers."""
        self.path.mkdir(exist_ok=True)
        self.path.chmod(0o700)

    def read_credentials(self) -> Credentials | None:
        """Return the owner's account, None before the first start.

        Raises:
            RecordError: when the file is not what was written.
        """
        return _read(self.credentials, Credentials, "restore it from a copy; it holds the owner's password")

    def write_credentials(self, credentials: Credentials) -> None:
        """Keep the owner's account, readable by the file's owner alone."""
        _write(self.credentials, credentials)

    def read_local(self) -> Local | None:
        """Return where the server listens or listened last, None before the first start.

        Raises:
            RecordError: when the file is not what was written.
        """
        return _read(self._note, Local, "remove it; the next start makes it anew")

    def write_local(self, local: Local) -> None:
        """Note where the server listens."""
        _write(self._note, local)

    def lock(self) -> int | None:
        """Take the lock of the one server that a workspace has; None where it is held.

        Whoever inherits the returned file descriptor holds the lock as well: it is free when the last of them has ended.
        """
        return _lock(self.path / ".serve.lock", shared=False)

    def held(self) -> bool:
        """Return whether the workspace's server runs or is being started."""
        if not self.path.is_dir():
            return False
        handle = _lock(self.path / ".serve.lock", shared=True)
        if handle is not None:
            os.close(handle)
        return handle is None


def find_server(workspace: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """Return address and key of the server to use: the environment's, else the workspace's own one that runs.

    Raises:
        UsageError: when the environment has one of the two variables only, or it has none and no server runs.
        RecordError: when the files of the workspace's server are damaged.
    """
    found = {name: environ.get(name, "").strip() for name in VARIABLES}
    missing = [name for name, value in found.items() if not value]
    if not missing:
        return found[VARIABLES[0]], found[VARIABLES[1]]
    if len(missing) < len(VARIABLES):
        raise UsageError(
            f"expected {missing[0]} in the environment, found only the other of {' and '.join(VARIABLES)}; set both, or "
            "neither to use the workspace's own server"
        )
    folder = ServerFolder(workspace)
    start = f"treaty-stance annotate serve --workspace {workspace}"
    if not folder.held():
        raise UsageError(
            f"{workspace}: expected {' and '.join(VARIABLES)} in the environment or a server of the workspace that runs, "
            f"found neither; set the two, or start a server in another terminal with `{start}`"
        )
    local, credentials = folder.read_local(), folder.read_credentials()
    if local is None or not local.ready or credentials is None or credentials.token is None:
        raise UsageError(f"{workspace}: the workspace's server is still starting; wait until `{start}` prints its address")
    return local.url, credentials.token


def address(host: str, port: int) -> str:
    """Return the URL at which a server that listens on ``host`` answers programs of this machine."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if ip.is_unspecified:
        ip = ipaddress.ip_address("::1" if ip.version == 6 else LOOPBACK)
    return f"http://[{ip}]:{port}" if ip.version == 6 else f"http://{ip}:{port}"


def is_everywhere(host: str) -> bool:
    """Return whether ``host`` stands for all of this machine's addresses."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Return whether a server that listens on ``host`` is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def same_server(one: str, other: str) -> bool:
    """Return whether two addresses are one server: this machine's own names, such as ``localhost``, are one name."""
    return _place(one) == _place(other)


def _place(url: str) -> tuple[str, str, int | None, str]:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    return parts.scheme, LOOPBACK if is_loopback(host) else host, port, parts.path.rstrip("/")


def answers(url: str) -> bool:
    """Return whether a Label Studio server at ``url`` says that it is up."""
    import httpx

    try:
        return httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def claim(url: str, credentials: Credentials) -> Credentials:
    """Return the owner's account with a token that the server accepts: the one it has, else a new one.

    A token that the owner has, of which the whole is not known here, is revoked: the server gives each user one.

    Raises:
        UsageError: when the server accepts neither the token nor the password.
        TreatyStanceError: when the server fails.
    """
    with _client(url) as http:
        if credentials.token is not None and _access(http, credentials.token) is not None:
            return credentials
        http.get("/user/login/")
        form = {"email": credentials.email, "password": credentials.password, "csrfmiddlewaretoken": _csrf(http)}
        if http.post("/user/login/", data=form, headers={"Referer": f"{url}/user/login/"}).status_code != 302:
            raise UsageError(
                f"{url}: the server accepts neither the token nor the password of {credentials.email}; put the owner's "
                "present password into credentials.json, or restore that file from a copy"
            )
        headers = {"X-CSRFToken": _csrf(http), "Referer": f"{url}/"}
        made = http.post("/api/token/", headers=headers)
        if made.status_code == 409:
            for old in http.get("/api/token/").raise_for_status().json():
                http.post("/api/token/blacklist/", json={"refresh": old["token"]}, headers=headers).raise_for_status()
            made = http.post("/api/token/", headers=headers)
        return replace(credentials, token=str(made.raise_for_status().json()["token"]))


def invitation(url: str, credentials: Credentials) -> str:
    """Return the link by which coders sign up.

    Raises:
        UsageError: when the server refuses the owner's token.
        TreatyStanceError: when the server fails.
    """
    with _client(url) as http:
        access = None if credentials.token is None else _access(http, credentials.token)
        if access is None:
            raise UsageError(f"{url}: the server refuses the token in credentials.json; start `annotate serve` again")
        found = http.get("/api/invite", headers={"Authorization": f"Bearer {access}"}).raise_for_status().json()
    return url + str(found["invite_url"])


def release(url: str) -> str:
    """Return the server's version, as in ``1.23.2``.

    Raises:
        TreatyStanceError: when the server fails.
    """
    with _client(url) as http:
        return str(http.get("/api/version").raise_for_status().json()["release"])


@contextmanager
def _client(url: str) -> Iterator[httpx.Client]:
    """Yield a client of the server; whatever goes wrong is told without headers and bodies, which hold secrets."""
    import httpx

    try:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as http:
            yield http
    except httpx.HTTPStatusError as error:
        raise TreatyStanceError(
            f"{url}: Label Studio answers {error.response.status_code} to {error.request.url.path}; look into its log"
        ) from None
    except httpx.HTTPError as error:
        raise TreatyStanceError(f"{url}: Label Studio does not answer ({type(error).__name__}); look into its log") from None
    except (ValueError, KeyError, TypeError):
        raise TreatyStanceError(f"{url}: expected an answer of Label Studio {VERSION}, found another; check it") from None


def _access(http: httpx.Client, token: str) -> str | None:
    """Return the short-lived key that a personal access token gives, None where it is refused."""
    found = http.post("/api/token/refresh/", json={"refresh": token})
    return None if found.status_code in (400, 401) else str(found.raise_for_status().json()["access"])


def _csrf(http: httpx.Client) -> str:
    return http.cookies.get("csrftoken") or ""


def _read(path: Path, kind: type[T], advice: str) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # msgspec's own words may quote what stands there, and that may be a password
        raise RecordError(f"{path}: expected what `annotate serve` wrote, found something else; {advice}") from None


def _write(path: Path, value: object) -> None:
    """Write a file that only its owner may read, whole or not at all; it is never readable by others on the way."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def _lock(path: Path, *, shared: bool) -> int | None:
    import fcntl  # which Windows lacks; there, servers that the environment names can be used all the same

    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle
