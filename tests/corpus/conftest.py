"""Fresh databases for the store's tests: SQLite files, and databases of a throwaway PostgreSQL server."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def _postgres_binaries() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]  # where Debian puts them, off the path
    return max(folders, key=lambda p: int("0" + "".join(filter(str.isdigit, p.parent.name))), default=None)


def _unprivileged() -> str | None:
    """A user who may run the server, which refuses to run as root; None where that is the present one."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The folder of the socket of a throwaway PostgreSQL server, stopped and removed when the tests are over.

    Without the server's binaries the tests are skipped; with TREATY_STANCE_REQUIRE_POSTGRES=1 they fail.
    """
    binaries = _postgres_binaries()
    if binaries is None:
        reason = "PostgreSQL's server (initdb, pg_ctl) is neither on the path nor in /usr/lib/postgresql"
        if os.environ.get("TREATY_STANCE_REQUIRE_POSTGRES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    user = _unprivileged()
    folder = Path(tempfile.mkdtemp(prefix="ts-pg-", dir="/tmp"))  # a socket's path has 107 bytes at most
    if user is not None:
        shutil.chown(folder, user)

    def run(program: str, *args: str) -> None:
        done = subprocess.run(
            [str(binaries / program), *args],
            user=user,
            extra_groups=[] if user is not None else None,
            cwd=folder,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=log,  # a pipe would be held open by the server
            stderr=log,
            timeout=120,
            check=False,
        )
        if done.returncode:
            pytest.fail(f"{program} failed: {(folder / 'set-up.log').read_text()[-2000:]}")

    data = folder / "data"
    with (folder / "set-up.log").open("w") as log:
        try:
            run("initdb", "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync")
            # No port on any network, no fsync: the data need not outlive the tests.
            options = f"-F -k {folder} -c listen_addresses= -c max_connections=30 -c shared_buffers=16MB"
            run("pg_ctl", "-D", str(data), "-w", "-t", "60", "-l", str(folder / "server.log"), "-o", options, "start")
            yield str(folder)
        finally:
            if (data / "postmaster.pid").exists():
                run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgres_url(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Make an empty PostgreSQL database and return its address; all are dropped after the test."""
    from pg8000.native import Connection

    socket = f"{postgres_server}/.s.PGSQL.5432"
    made: list[str] = []
    with Connection("tester", database="postgres", unix_sock=socket) as admin:

        def make() -> str:
            name = f"t{uuid.uuid4().hex}"
            admin.run(f"CREATE DATABASE {name}")
            made.append(name)
            return f"postgresql://tester@/{name}?unix_sock={socket}"

        yield make
        for name in made:
            admin.run(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def new_sqlite_url(tmp_path: Path) -> Callable[[], str]:
    """Return the address of a SQLite database that does not exist yet."""
    return lambda: f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def new_store_url(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Return the address of a fresh database at each call: SQLite in every run, PostgreSQL in a full one."""
    made: Callable[[], str] = request.getfixturevalue(f"new_{'postgres' if request.param == 'postgresql' else 'sqlite'}_url")
    return made


@pytest.fixture
def store_url(new_store_url: Callable[[], str]) -> str:
    """The address of one fresh database, on SQLite and on PostgreSQL."""
    return new_store_url()
