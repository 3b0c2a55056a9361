import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from annotation.label_studio import connect
from annotation.server import (
    VARIABLES,
    VERSION,
    Credentials,
    Local,
    ServerFolder,
    address,
    answers,
    claim,
    find_server,
    invitation,
    is_everywhere,
    is_loopback,
    release,
    same_server,
)
from corpus.errors import RecordError, TreatyStanceError, UsageError

ROOT = Path(__file__).parents[2]
URL, KEY = VARIABLES
OWNER = Credentials("owner@localhost", "open sesame", "a-token")
OTHER = "no.such.word"


@pytest.fixture
def folder(tmp_path: Path) -> ServerFolder:
    made = ServerFolder(tmp_path)
    made.make()
    return made


@pytest.fixture
def taken(folder: ServerFolder) -> Iterator[ServerFolder]:
    """A folder whose lock is held, as while a server runs."""
    lock = folder.lock()
    assert lock is not None
    yield folder
    os.close(lock)


class TestFindServer:
    def test_the_environment_names_a_server_and_comes_before_the_workspaces_own(self, taken: ServerFolder) -> None:
        taken.write_credentials(OWNER)
        taken.write_local(Local("http://127.0.0.1:1", 1, 1, ready=True))
        assert find_server(taken.workspace, {URL: " http://h/ls ", KEY: " k\n"}) == ("http://h/ls", "k")

    @pytest.mark.parametrize(("named", "missing"), [(URL, KEY), (KEY, URL)])
    def test_half_an_environment_is_a_wrong_use_that_shows_no_key(self, tmp_path: Path, named: str, missing: str) -> None:
        with pytest.raises(UsageError, match=f"expected {missing} in the environment") as refused:
            find_server(tmp_path, {named: "what-stands-there", missing: "  "})
        assert "what-stands-there" not in str(refused.value)

    def test_without_a_server_it_says_how_to_come_by_one(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=rf"{URL} and {KEY}.*`treaty-stance annotate serve --workspace {tmp_path}`"):
            find_server(tmp_path, {})
        assert list(tmp_path.iterdir()) == []  # asking leaves nothing behind

    def test_a_server_that_has_ended_is_not_found_though_its_files_lie_there(self, folder: ServerFolder) -> None:
        folder.write_credentials(OWNER)
        folder.write_local(Local("http://127.0.0.1:1", 1, 1, ready=True))
        with pytest.raises(UsageError, match="found neither"):
            find_server(folder.workspace, {})

    def test_a_server_that_runs_is_found_with_its_token(self, taken: ServerFolder) -> None:
        taken.write_credentials(OWNER)
        taken.write_local(Local("http://127.0.0.1:8123", 8123, 1, ready=True))
        assert find_server(taken.workspace, {}) == ("http://127.0.0.1:8123", "a-token")

    @pytest.mark.parametrize("ready", [False, True])
    def test_a_server_that_is_starting_is_waited_for(self, taken: ServerFolder, ready: bool) -> None:
        taken.write_credentials(replace(OWNER, token=None))  # the token is there before the start is done
        taken.write_local(Local("http://127.0.0.1:8123", 8123, 1, ready=ready))
        with pytest.raises(UsageError, match="still starting"):
            find_server(taken.workspace, {})


class TestServerFolder:
    def test_nobody_else_may_look_into_it(self, folder: ServerFolder) -> None:
        folder.path.chmod(0o755)
        folder.make()
        folder.write_credentials(OWNER)
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert stat.S_IMODE(folder.credentials.stat().st_mode) == 0o600
        assert folder.read_credentials() == OWNER
        assert [p.name for p in folder.path.iterdir()] == ["credentials.json"]

    def test_neither_password_nor_token_is_shown(self) -> None:
        assert repr(OWNER) == "Credentials(email='owner@localhost')"

    def test_a_damaged_file_is_named_and_not_quoted(self, folder: ServerFolder) -> None:
        folder.credentials.write_text('{"email": "o", "password": ["open sesame"]}', encoding="utf-8")
        with pytest.raises(RecordError, match=r"credentials\.json: expected what `annotate serve` wrote") as refused:
            folder.read_credentials()
        assert "sesame" not in str(refused.value)
        assert refused.value.__cause__ is None
        (folder.path / "server.json").write_bytes(b"\xff{")
        with pytest.raises(RecordError, match=r"server\.json: .*remove it"):
            folder.read_local()

    def test_a_first_start_finds_nothing(self, folder: ServerFolder) -> None:
        assert (folder.read_credentials(), folder.read_local()) == (None, None)

    def test_one_process_holds_the_lock_and_to_ask_does_not_take_it(self, folder: ServerFolder) -> None:
        assert not folder.held()
        lock = folder.lock()
        assert lock is not None
        assert folder.held()
        assert folder.lock() is None
        os.close(lock)
        assert not folder.held()
        again = folder.lock()
        assert again is not None
        os.close(again)

    def test_a_child_that_was_handed_the_lock_holds_it_after_its_parent_has_gone(self, folder: ServerFolder) -> None:
        lock = folder.lock()
        assert lock is not None
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,)) as child:
            os.close(lock)
            assert folder.held()
            child.communicate(b"\n")
        assert not folder.held()


@pytest.mark.parametrize(
    ("host", "expected", "alone"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080", True),
        ("localhost", "http://localhost:8080", True),
        ("::1", "http://[::1]:8080", True),
        ("0.0.0.0", "http://127.0.0.1:8080", False),  # noqa: S104
        ("::", "http://[::1]:8080", False),
        ("10.0.0.7", "http://10.0.0.7:8080", False),
        ("coding.ngo.org", "http://coding.ngo.org:8080", False),
    ],
)
def test_the_address_is_one_that_this_machine_can_ask(host: str, expected: str, alone: bool) -> None:
    assert (address(host, 8080), is_loopback(host)) == (expected, alone)
    assert is_everywhere(host) == (host in {"0.0.0.0", "::"})  # noqa: S104


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:8080", "http://127.0.0.1:8080/", True),
        ("http://[::1]:8080", "http://127.0.0.1:8080", True),
        ("http://localhost", "http://localhost:80", True),
        ("http://localhost:8080", "http://localhost:8081", False),
        ("http://localhost:8080/a", "http://localhost:8080/b", False),
        ("https://labels.ngo.example", "http://labels.ngo.example", False),
        ("https://labels.ngo.example", "https://LABELS.ngo.example/", True),
    ],
)
def test_this_machines_names_are_one_server(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) == same_server(other, one) == same


def test_the_release_is_the_same_in_every_place() -> None:
    constraints = (ROOT / "annotation" / "label-studio" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert f"label-studio=={VERSION}" in constraints
    assert f"label-studio=={VERSION}\n" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.label_studio
class TestOwner:
    @pytest.fixture
    def person(self, label_studio: Any) -> Credentials:
        account = label_studio.second_account()
        return Credentials(account.email, account.password)

    def test_a_token_is_made_once_and_kept_while_the_server_takes_it(self, label_studio: Any, person: Credentials) -> None:
        first = claim(label_studio.url, person)
        assert first.token is not None
        assert connect(label_studio.url, first.token).users.whoami().email == person.email
        assert claim(label_studio.url, first) == first
        assert claim(label_studio.url, replace(first, password=OTHER)).token == first.token

    def test_a_token_that_was_lost_is_revoked_and_replaced(self, label_studio: Any, person: Credentials) -> None:
        first = claim(label_studio.url, person)
        second = claim(label_studio.url, replace(first, token=None))
        assert first.token is not None
        assert second.token is not None
        assert connect(label_studio.url, second.token).users.whoami().email == person.email
        with pytest.raises(UsageError, match="refuses the key"):
            connect(label_studio.url, first.token)
        assert claim(label_studio.url, first).token not in {first.token, second.token, None}

    def test_a_wrong_password_is_one_sentence_without_it(self, label_studio: Any, person: Credentials) -> None:
        with pytest.raises(UsageError, match=f"neither the token nor the password of {person.email}") as refused:
            claim(label_studio.url, replace(person, password=OTHER, token=OTHER))
        assert OTHER not in str(refused.value)

    def test_invitation_and_release_are_told(self, label_studio: Any, person: Credentials) -> None:
        link = invitation(label_studio.url, claim(label_studio.url, person))
        assert link.startswith(f"{label_studio.url}/user/signup/?token=")
        assert release(label_studio.url) == VERSION
        assert answers(label_studio.url)
        with pytest.raises(UsageError, match="refuses the token"):
            invitation(label_studio.url, replace(person, token=OTHER))


@pytest.fixture
def odd_server() -> Iterator[Callable[[int, bytes], str]]:
    """Servers that give one answer to everything, with a cookie that no message may show."""
    running: list[ThreadingHTTPServer] = []

    def start(status: int, body: bytes) -> str:
        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                self.send_header("Set-Cookie", "sessionid=cookie-secret")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        running.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [(500, b"cookie-secret", "answers 500 to /api/"), (200, b"<html>", "found another"), (200, b"[]", "found another")],
)
def test_a_server_that_fails_is_one_sentence_without_header_or_body(
    odd_server: Callable[[int, bytes], str], status: int, body: bytes, said: str
) -> None:
    url = odd_server(status, body)
    for job in (lambda: claim(url, OWNER), lambda: invitation(url, OWNER), lambda: release(url)):
        with pytest.raises(TreatyStanceError, match=said) as refused:
            job()
        assert "secret" not in str(refused.value)
        assert refused.value.__cause__ is None
        assert refused.value.__suppress_context__


def test_a_server_that_is_not_there_is_one_sentence(odd_server: Callable[[int, bytes], str]) -> None:
    assert answers(odd_server(200, b"{}"))
    assert not answers(odd_server(404, b"{}"))
    assert not answers("http://127.0.0.1:1")
    with pytest.raises(TreatyStanceError, match=r"does not answer \(ConnectError\)"):
        claim("http://127.0.0.1:1", OWNER)
