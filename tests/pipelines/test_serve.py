import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from annotation import calls
from annotation.codebook import load_codebook
from annotation.exchange import Plan, open_project, push_tasks
from annotation.interface import task
from annotation.ledger import Ledger
from annotation.server import VERSION, ServerFolder, find_server
from corpus.errors import RecordError, TreatyStanceError, UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement
from corpus.store import Store
from pipelines.annotate import server
from pipelines.serve import OWNER, serving
from pipelines.workspace import init_workspace

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

ROOT = Path(__file__).parents[2]
# Signals as in a terminal, also where the tests themselves run in the background or under nohup.
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
from pipelines.cli import main
main()
"""

# A program that looks like Label Studio from outside: it has one account, gives a token and an invitation, and leaves what
# it was told beside its log. `{before}` runs before it listens.
STAND_IN = """#!{python}
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

environ = {{k.removeprefix("LABEL_STUDIO_"): v for k, v in os.environ.items()}}
with open("told.json", "w") as stream:
    json.dump({{"arguments": sys.argv[1:], "environ": dict(os.environ)}}, stream)
{before}

class Handler(BaseHTTPRequestHandler):
    def answer(self, body=b"{{}}", status=200, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        invitation = b'{{"invite_url": "/user/signup/?token=invited"}}'
        answers = {{"/health": b"{{}}", "/api/version": b'{{"release": "{release}"}}', "/api/invite": invitation}}
        self.answer(answers.get(self.path, b""), Set_Cookie="csrftoken=c")

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if self.path == "/user/login/":
            right = parse_qs(body).get("password") == [environ["PASSWORD"]]
            self.answer(status=302 if right else 200)
        else:
            answers = {{"/api/token/": b'{{"token": "the-token"}}', "/api/token/refresh/": b'{{"access": "a"}}'}}
            self.answer(answers[self.path])

    def log_message(self, *args):
        pass

host, port = sys.argv[sys.argv.index("--internal-host") + 1], int(sys.argv[-1])
listening = ThreadingHTTPServer((host, port), Handler)
print("Starting development server at", port)
listening.serve_forever()
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    init_workspace(tmp_path / "w")
    return tmp_path / "w"


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Make the stand-in, and return an environment that names it."""

    def make(before: str = "", release: str = VERSION) -> dict[str, str]:
        path = tmp_path / "label-studio-stand-in"
        path.write_text(STAND_IN.format(python=sys.executable, before=before, release=release), encoding="utf-8")
        path.chmod(0o755)
        return {
            "LABEL_STUDIO_BIN": str(path),
            "LABEL_STUDIO_API_KEY": "open sesame",
            "HOST": "elsewhere",
            "DATABASE_NAME": "/elsewhere",
            "PATH": os.environ["PATH"],
        }

    return make


class Command:
    """`annotate serve` as a user runs it, with what it has printed so far."""

    def __init__(self, workspace: Path, *arguments: str, environ: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", MAIN, "annotate", "serve", "--workspace", str(workspace), *arguments],
            env=os.environ | environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._up = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if "find the server by themselves" in line:
                self._up.set()
        self._up.set()

    def wait_until_up(self, seconds: float = 60) -> None:
        assert self._up.wait(seconds), self.lines
        assert self._process.poll() is None, self.lines

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self, seconds: float = 60) -> int:
        """Wait for the end, and return the exit code."""
        code = self._process.wait(seconds)
        self._reader.join(10)
        return code


@pytest.fixture
def start() -> Iterator[Callable[..., Command]]:
    """Start commands; none outlives the test, nor does a server."""
    running: list[tuple[Command, Path]] = []

    def call(workspace: Path, *arguments: str, environ: dict[str, str]) -> Command:
        command = Command(workspace, *arguments, environ=environ)
        running.append((command, workspace))
        return command

    yield call
    for command, workspace in running:
        if command._process.poll() is None:
            command.send(signal.SIGTERM)
            command.end()
        folder = ServerFolder(workspace)
        local = folder.read_local() if folder.held() else None
        if local and local.process:
            with contextlib.suppress(ProcessLookupError):  # it may have ended since the note was read
                os.kill(local.process, signal.SIGKILL)


def told(workspace: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workspace / "label-studio" / "told.json").read_text(encoding="utf-8"))
    return found


def silent(line: str) -> None:
    pass


class TestServing:
    def test_a_first_start_makes_owner_token_and_invitation(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        folder = ServerFolder(workspace)
        with serving(workspace, environ=program(), say=silent, port=port) as served:
            credentials = folder.read_credentials()
            assert credentials is not None
            assert (credentials.email, credentials.token) == (OWNER, "the-token")
            assert len(credentials.password) >= 24
            assert find_server(workspace, {}) == (f"http://127.0.0.1:{port}", "the-token")
            printed = "\n".join(served.lines())
        assert f"runs at http://127.0.0.1:{port}; " in printed
        assert f"http://127.0.0.1:{port}/user/signup/?token=invited" in printed
        assert str(workspace / "label-studio" / "credentials.json") in printed
        for secret in (credentials.password, "the-token"):
            assert secret not in printed + repr(served)
        assert not folder.held()
        with pytest.raises(UsageError, match="found neither"):
            find_server(workspace, {})

    def test_the_server_is_told_what_it_needs_and_nothing_from_outside(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        with serving(workspace, environ=program(), say=silent, port=port):
            found = told(workspace)
        credentials = ServerFolder(workspace).read_credentials()
        assert credentials is not None
        environ = found["environ"]
        ours = {k.removeprefix("LABEL_STUDIO_"): v for k, v in environ.items() if k.startswith("LABEL_STUDIO_")}
        assert ours == {
            "USERNAME": OWNER,
            "PASSWORD": credentials.password,
            "BASE_DATA_DIR": str(workspace / "label-studio" / "data"),
            "DJANGO_DB": "sqlite",
            "HOST": "",
            "DEBUG": "false",
            "LOG_LEVEL": "WARNING",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "ALLOWED_HOSTS": "127.0.0.1,localhost,[::1]",
        }
        assert environ["HOME"] == str(workspace / "label-studio")
        assert not {"HOST", "DATABASE_NAME"} & set(environ)
        assert "open sesame" not in environ.values()
        # a password among the arguments would be seen by everybody on the machine
        assert found["arguments"] == [
            *("start", "--no-browser", "--debug", "--internal-host", "127.0.0.1", "--port", str(port))
        ]

    def test_its_files_are_the_owners_alone_and_kept_out_of_version_control(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        (workspace / ".gitignore").write_text("corpus.db*\n*.tmp", encoding="utf-8")
        for _ in range(2):
            with serving(workspace, environ=program(), say=silent, port=port):
                pass
        folder = workspace / "label-studio"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("credentials.json", "server.json", "server.log", "server.old.log"):
            assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
        lines = (workspace / ".gitignore").read_text(encoding="utf-8").splitlines()
        assert lines == ["corpus.db*", "*.tmp", "label-studio/", ".venv-label-studio/"]

    def test_the_next_start_keeps_account_and_address_and_tells_of_another(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        environ = program()
        with serving(workspace, environ=environ, say=silent, port=port) as first:
            before = ServerFolder(workspace).read_credentials()
        with serving(workspace, environ=environ, say=silent) as second:
            assert ServerFolder(workspace).read_credentials() == before
        assert (first.url, first.moved, second.url, second.moved) == (first.url, None, first.url, None)
        assert not any("until now" in line for line in second.lines())
        with serving(workspace, environ=environ, say=silent, host="localhost", port=port) as third:
            pass
        assert (third.url, third.moved) == (f"http://localhost:{port}", first.url)
        assert any(f"was {first.url} until now" in line for line in third.lines())

    def test_who_lets_other_machines_in_is_told_what_that_means(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        with serving(workspace, environ=program(), say=silent, host="0.0.0.0", port=port) as served:  # noqa: S104
            assert served.url == f"http://127.0.0.1:{port}"
            assert served.invitation == f"http://{socket.gethostname()}:{port}/user/signup/?token=invited"
            assert any("nothing is encrypted" in line for line in served.lines())
            assert told(workspace)["environ"]["LABEL_STUDIO_ALLOWED_HOSTS"] == "*"

    @pytest.mark.skipif(sys.platform == "darwin", reason="macOS has one loopback address until others are set up")
    def test_it_answers_at_any_loopback_address_that_was_asked_for(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        with serving(workspace, environ=program(), say=silent, host="127.0.0.2", port=port) as served:
            allowed = told(workspace)["environ"]["LABEL_STUDIO_ALLOWED_HOSTS"]
        assert (served.url, served.shared) == (f"http://127.0.0.2:{port}", None)
        assert allowed == "127.0.0.1,localhost,[::1],127.0.0.2"

    def test_another_release_is_named(self, workspace: Path, port: int, program: Callable[..., dict[str, str]]) -> None:
        with serving(workspace, environ=program(release="9.9.9"), say=silent, port=port) as served:
            assert served.lines()[-1].endswith(f"tested with Label Studio {VERSION}")

    def test_a_second_server_of_a_workspace_is_refused_with_the_address_of_the_first(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        environ = program()
        with serving(workspace, environ=environ, say=silent, port=port) as served:
            with (
                pytest.raises(UsageError, match=f"found one that runs at {served.url}"),
                serving(workspace, environ=environ, say=silent),
            ):
                pass
            assert httpx.get(f"{served.url}/health", trust_env=False).is_success

    def test_a_port_in_use_is_one_sentence_and_no_server_is_begun(
        self, workspace: Path, program: Callable[..., dict[str, str]]
    ) -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = other.getsockname()[1]
            with (
                pytest.raises(UsageError, match=f"port {taken} of 127.0.0.1: expected one that is free.*--port"),
                serving(workspace, environ=program(), say=silent, port=taken),
            ):
                pass
        assert not (workspace / "label-studio" / "server.log").exists()
        assert not ServerFolder(workspace).held()

    @pytest.mark.parametrize("host", ["nowhere.invalid", "203.0.113.9"])
    def test_a_host_that_is_not_this_machine_is_named(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]], host: str
    ) -> None:
        with (
            pytest.raises(UsageError, match=rf"--host {host}: expected a name or address of this machine"),
            serving(workspace, environ=program(), say=silent, host=host, port=port),
        ):
            pass

    def test_a_server_that_dies_says_why_without_its_secrets(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        dying = (
            "print('[django.server::log_message] GET /user/signup/?token=invited')\n"
            "print('disk is full;\\n  the word is', environ['PASSWORD'], '/?token=abc1')\n"
            "sys.exit(3)"
        )
        with (
            pytest.raises(TreatyStanceError, match=r"has ended \(exit code 3\)") as refused,
            serving(workspace, environ=program(dying), say=silent, port=port),
        ):
            pass
        assert str(refused.value).endswith("server.log: disk is full; | the word is … /?token=…")
        assert not ServerFolder(workspace).held()

    def test_a_server_that_is_killed_while_it_runs_is_reported(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        with serving(workspace, environ=program(), say=silent, port=port) as served:
            local = ServerFolder(workspace).read_local()
            assert local is not None
            assert local.process is not None
            os.kill(local.process, signal.SIGKILL)
            with pytest.raises(TreatyStanceError, match=r"killed by signal 9.*Starting development server"):
                served.wait()

    def test_a_start_that_fails_keeps_the_address_that_was(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        with serving(workspace, environ=program(), say=silent, port=port):
            pass
        with (
            pytest.raises(TreatyStanceError, match="exit code 1"),
            serving(workspace, environ=program("sys.exit(1)"), say=silent, host="localhost", port=port),
        ):
            pass
        with serving(workspace, environ=program(), say=silent) as again:
            assert (again.url, again.moved) == (f"http://127.0.0.1:{port}", None)

    def test_what_answers_at_the_port_before_the_server_has_it_is_not_told_the_password(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipelines.serve.answers", lambda url: True)  # a stranger answers at once
        monkeypatch.setattr("pipelines.serve._READY_SECONDS", 1.0)
        with (
            pytest.raises(TreatyStanceError, match="expected Label Studio to answer within 1 s"),
            serving(workspace, environ=program("time.sleep(60)"), say=silent, port=port),
        ):
            pass
        assert not ServerFolder(workspace).held()  # and the server that did not get ready was stopped

    def test_a_server_that_ignores_the_polite_end_is_killed(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("pipelines.serve._STOP_SECONDS", 0.5)
        deaf = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)"
        with serving(workspace, environ=program(deaf), say=silent, port=port) as served:
            pass
        with pytest.raises(TreatyStanceError, match="killed by signal 9"):
            served.wait()

    def test_a_folder_that_is_no_workspace_gets_no_server(
        self, tmp_path: Path, program: Callable[..., dict[str, str]]
    ) -> None:
        (tmp_path / "plain").mkdir()
        with pytest.raises(UsageError, match=r"project\.toml"), serving(tmp_path / "plain", environ={}, say=silent):
            pass
        assert list((tmp_path / "plain").iterdir()) == []

    def test_damaged_credentials_are_named_and_not_replaced(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        (workspace / "label-studio").mkdir()
        damaged = workspace / "label-studio" / "credentials.json"
        damaged.write_text("{", encoding="utf-8")
        with (
            pytest.raises(RecordError, match=r"credentials\.json: "),
            serving(workspace, environ=program(), say=silent, port=port),
        ):
            pass
        assert damaged.read_text(encoding="utf-8") == "{"

    def test_a_password_that_is_not_the_accounts_is_told_with_what_to_do(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]]
    ) -> None:
        changed = program("environ['PASSWORD'] = 'changed in the browser'")
        with (
            pytest.raises(
                UsageError, match=r"neither the token nor the password of owner@localhost; put .*credentials\.json"
            ),
            serving(workspace, environ=changed, say=silent, port=port),
        ):
            pass
        assert not ServerFolder(workspace).held()


class TestCommand:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_a_polite_end_stops_the_server_too(
        self,
        workspace: Path,
        port: int,
        program: Callable[..., dict[str, str]],
        start: Callable[..., Command],
        number: signal.Signals,
    ) -> None:
        command = start(workspace, "--port", str(port), environ=program())
        command.wait_until_up()
        assert ServerFolder(workspace).held()
        command.send(number)
        assert (command.end(), command.lines[-1]) == (0, "stopped")
        assert not ServerFolder(workspace).held()
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))

    def test_a_server_whose_starter_was_killed_is_found_used_and_named(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]], start: Callable[..., Command]
    ) -> None:
        environ = program()
        command = start(workspace, "--port", str(port), environ=environ)
        command.wait_until_up()
        command.send(signal.SIGKILL)
        command.end()
        url, _ = find_server(workspace, {})
        assert httpx.get(f"{url}/health", trust_env=False).is_success
        second = start(workspace, environ=environ)
        assert second.end() == 2
        found = re.search(rf"found one that runs at {url}; .*kill (\d+) where", second.lines[-1])
        assert found is not None
        os.kill(int(found[1]), signal.SIGTERM)
        third = start(workspace, environ=environ)
        third.wait_until_up()

    def test_a_death_is_exit_code_1_and_one_sentence(
        self, workspace: Path, port: int, program: Callable[..., dict[str, str]], start: Callable[..., Command]
    ) -> None:
        command = start(workspace, "--port", str(port), "--quiet", environ=program("sys.exit('no room')"))
        assert command.end() == 1
        (line,) = command.lines
        assert line.startswith("Error: Label Studio has ended (exit code 1)")
        assert line.endswith("no room")


@pytest.fixture
def real_program() -> dict[str, str]:
    path = Path(os.environ.get("LABEL_STUDIO_BIN") or ROOT / ".venv-label-studio" / "bin" / "label-studio")
    if not path.is_file():
        pytest.fail(f"{path}: expected the Label Studio server, found none; `make test` installs it", pytrace=False)
    return {"LABEL_STUDIO_BIN": str(path)}


def drawn(count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return tasks as a push takes them, one a statement."""
    lines = [f"Minister number {n} said on Monday that Chile will sign the treaty." for n in range(count)]
    text = "\n".join(lines)
    document = Document(id=document_id("file:a", text), url="file:a", text=text, title="A day in parliament")
    tasks = []
    for line in lines:
        start = text.index(line)
        name = statement_id(document.id, start, start + len(line))
        statement = Statement(id=name, document=document.id, start=start, end=start + len(line), text=line)
        tasks.append((name, task(statement, document)))
    return tasks


def sign_up(link: str, email: str) -> int:
    """Send the sign-up form as a browser does, and return the answer's status: 302 is a new account."""
    with httpx.Client(timeout=60, trust_env=False) as http:
        http.get(link)
        form = {"email": email, "password": "a long password", "csrfmiddlewaretoken": http.cookies["csrftoken"]}
        return http.post(link, data=form, headers={"Referer": link}).status_code


def kill_server_during(call: Callable[..., Any], workspace: Path, *, time: int) -> Callable[..., Any]:
    """Return a call that lets the server be killed while it is under way for the n-th time."""
    local = ServerFolder(workspace).read_local()
    assert local is not None
    assert local.process is not None
    process, calls = local.process, 0

    def made(**given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == time:
            threading.Timer(0.02, os.kill, (process, signal.SIGKILL)).start()
        return call(**given)

    return made


def check_first_start(command: Command, workspace: Path, url: str) -> None:
    credentials = ServerFolder(workspace).read_credentials()
    assert credentials is not None
    assert credentials.token
    printed = "\n".join(command.lines)
    log = (workspace / "label-studio" / "server.log").read_text(encoding="utf-8")
    assert f"Label Studio {VERSION} runs at {url}; " in printed
    for secret in (credentials.password, credentials.token):
        assert secret not in printed + log
    # Coders come in by the invitation, and by nothing else.
    link = next(line for line in command.lines if "/user/signup/?token=" in line).rsplit(" ", 1)[1]
    assert sign_up(link, "anna@ngo.org") == 302
    assert sign_up(f"{url}/user/signup/", "mallory@ngo.org") == 403


@pytest.mark.label_studio
@pytest.mark.slow
def test_a_real_server_killed_in_mid_push_and_started_again_has_every_statement_once(
    workspace: Path,
    port: int,
    real_program: dict[str, str],
    start: Callable[..., Command],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, tasks = f"http://127.0.0.1:{port}", drawn(300)
    plan = Plan(title="Round 1, anna", round="Round 1", role="coding", codebook=load_codebook(None), coder="anna")
    monkeypatch.setattr(calls, "_BATCH", 50)
    first = start(workspace, "--port", str(port), environ=real_program)
    first.wait_until_up(600)
    check_first_start(first, workspace, url)

    store = f"sqlite:///{(workspace / 'corpus.db').as_posix()}"
    Store.open(store).close()
    with Ledger.open(store) as ledger:
        client = server({}, workspace=workspace)
        project = open_project(client, ledger, plan, at="2026-11-22T10:00:00+00:00")
        send = kill_server_during(client.projects.import_tasks, workspace, time=3)
        monkeypatch.setattr(client.projects, "import_tasks", send)
        with pytest.raises(TreatyStanceError, match="push again"):
            push_tasks(client, ledger, project, tasks)
        assert first.end() == 1
        assert "has ended (killed by signal 9)" in first.lines[-1]
        with pytest.raises(UsageError, match="found neither"):
            find_server(workspace, {})

        again = start(workspace, environ=real_program)  # the port is remembered, so projects keep their address
        again.wait_until_up(600)
        client = server({}, workspace=workspace)
        assert open_project(client, ledger, plan, at="2026-11-22T11:00:00+00:00") == project
        result = push_tasks(client, ledger, project, tasks)
        assert result.added + result.present == 300
        assert 100 <= result.present < 300
        assert result.repeated == 0
        found = sorted(client.tasks.list(project=project.number, page_size=500), key=lambda t: t.id)
        assert [t.data["uid"] for t in found] == [uid for uid, _ in tasks]
        assert [t.statement for t in ledger.tasks(project.key)] == [uid for uid, _ in tasks]

    # The owner's account is still there, with the token that was noted.
    assert client.users.whoami().email == OWNER
    again.send(signal.SIGTERM)
    assert again.end() == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/health", trust_env=False)
