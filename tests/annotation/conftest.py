"""A real Label Studio server for the tests that need one: started once, on a free local port, with its own data."""

from __future__ import annotations

import importlib.util
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
READY_SECONDS = 240  # a first start migrates its database, which took 45 to 100 s where it was measured


@dataclass(frozen=True)
class Account:
    email: str
    password: str = field(repr=False)


class Session:
    """A person logged in with a browser's cookies, as opposed to a program with a key."""

    def __init__(self, url: str, account: Account) -> None:
        self.http = httpx.Client(base_url=url, timeout=60, trust_env=False)
        self.http.get("/user/login/")
        form = {"email": account.email, "password": account.password}
        assert self._post_form("/user/login/", form).status_code == 302, "the login was refused"

    def send(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"X-CSRFToken": self.http.cookies["csrftoken"], "Referer": str(self.http.base_url)}
        response = self.http.request(method, path, json=body, headers=headers)
        assert response.is_success, f"{method} {path}: {response.status_code}"
        return response.json()

    def _post_form(self, path: str, form: dict[str, str]) -> httpx.Response:
        form = form | {"csrfmiddlewaretoken": self.http.cookies["csrftoken"]}
        return self.http.post(path, data=form, headers={"Referer": f"{self.http.base_url}{path}"})


@dataclass(frozen=True)
class LabelStudioServer:
    url: str
    key: str = field(repr=False)
    owner: Account = field(repr=False)

    def login(self, account: Account | None = None) -> Session:
        return Session(self.url, account or self.owner)

    def second_account(self) -> Account:
        """Invite somebody and sign them up by the form, as a colleague would."""
        account = Account(f"coder-{secrets.token_hex(4)}@example.org", secrets.token_urlsafe(12))
        invitation = self.login().send("GET", "/api/invite")["invite_url"]
        with httpx.Client(base_url=self.url, timeout=60, trust_env=False) as http:
            http.get(invitation)
            form = {
                "email": account.email,
                "password": account.password,
                "csrfmiddlewaretoken": http.cookies["csrftoken"],
            }
            http.post(invitation, data=form, headers={"Referer": self.url})
        return account


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    # URL, e-mail and password of a server that runs, with spaces between: no start of another, while you develop
    running = os.environ.get("TEST_LABEL_STUDIO")
    if running:
        url, *account = running.split()
        owner = Account(*account)
        # A person has one token at a time, and its text is shown once: each run signs somebody up for a fresh one.
        guest = LabelStudioServer(url, "", owner).second_account()
        yield LabelStudioServer(url, Session(url, guest).send("POST", "/api/token/")["token"], owner)
        return
    command = Path(os.environ.get("LABEL_STUDIO_BIN") or ROOT / ".venv-label-studio" / "bin" / "label-studio")
    if not command.is_file():
        pytest.fail(f"{command}: expected the Label Studio server, found none; `make test` installs it", pytrace=False)
    folder = tmp_path_factory.mktemp("label-studio")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, owner = f"http://127.0.0.1:{port}", Account("owner@example.org", secrets.token_urlsafe(12))
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO_", "DJANGO_"))} | {
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "LABEL_STUDIO_USERNAME": owner.email,
        "LABEL_STUDIO_PASSWORD": owner.password,
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
        "FRONTEND_SENTRY_DSN": "",
        "SENTRY_DSN": "",
    }
    arguments = ["start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(command), *arguments], env=environment, stdout=output, stderr=output, cwd=folder, start_new_session=True
        )
    try:
        _await(process, url, log)
        yield LabelStudioServer(url, Session(url, owner).send("POST", "/api/token/")["token"], owner)
    finally:
        _stop(process)


@pytest.fixture(scope="session")
def coding() -> ModuleType:
    """The module ``coding.py`` beside this file: a person at a browser, and what two coders make of ten statements."""
    spec = importlib.util.spec_from_file_location("coding", Path(__file__).with_name("coding.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["coding"] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


def _await(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    for _ in range(READY_SECONDS):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(1)
    tail = re.sub(r"\s+", " ", log.read_text(errors="replace")[-1500:])
    pytest.fail(f"Label Studio was not ready within {READY_SECONDS} s, exit code {process.poll()}: …{tail}", pytrace=False)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=15)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue
        else:
            return
