"""The way to a real Label Studio server and back. Tests without a marker use a stand-in for what a server seldom does."""

from __future__ import annotations

import json
import secrets
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from label_studio_sdk.core.api_error import ApiError

from annotation.answers import holder_span
from annotation.codebook import Codebook, load_codebook
from annotation.interface import labeling_config
from annotation.label_studio import Client, connect, pull, push, server_version
from corpus.errors import CodebookError, TreatyStanceError, UsageError
from corpus.files import read_jsonl
from corpus.identity import document_id, statement_id
from corpus.records import Annotation, Document, Statement
from pipelines.annotate import pull_project, push_folder, push_queue
from pipelines.cli import main
from pipelines.queue import write_queue

if TYPE_CHECKING:
    pass

PART = "😀 Critics of Microsoft are loud.\nStill, Microsoft called the treaty a <gift> to spies."
TEXT = f"Delegates met on Saturday.\n\n{PART}\n\nA vote is not expected."
SECOND_MICROSOFT = PART.index("Microsoft called")


def statements(text: str = TEXT, *parts: str) -> list[tuple[Statement, Document]]:
    document = Document(
        id=document_id("file:a", text), url="file:a", text=text, title="Firms & the treaty", published="2025-10-25"
    )
    found = []
    for part in parts or (PART, "A vote is not expected."):
        start = text.index(part)
        end = start + len(part)
        name = statement_id(document.id, start, end)
        found.append((Statement(id=name, document=document.id, start=start, end=end, text=part), document))
    return found


def choice(control: str, *labels: str) -> dict[str, Any]:
    return {"from_name": control, "to_name": "text", "type": "choices", "value": {"choices": list(labels)}}


def mark(start: int, end: int, text: str) -> dict[str, Any]:
    value = {"start": start, "end": end, "text": text, "labels": ["holder"]}
    return {"id": "region", "from_name": "holder", "to_name": "text", "type": "labels", "value": value}


def tasks(client: Client, project: int) -> list[dict[str, Any]]:
    return [json.loads(task.json()) for task in client.tasks.list(project=project)]


@pytest.fixture
def codebook() -> Codebook:
    return load_codebook()


@pytest.fixture
def title(request: pytest.FixtureRequest) -> str:
    return f"{request.node.name.removeprefix('test_')[:40]} {secrets.token_hex(4)}"  # the server may be an older one


@pytest.fixture(scope="session")
def client(label_studio: Any) -> Client:
    return connect(label_studio.url, label_studio.key)


class TestConnect:
    @pytest.mark.label_studio
    def test_a_personal_access_token_opens_the_server(self, label_studio: Any) -> None:
        assert server_version(connect(label_studio.url + "/", label_studio.key)) == "Label Studio 1.23.2 (Community)"

    @pytest.mark.label_studio
    @pytest.mark.parametrize("kind", ["no token", "altered", "legacy"])
    def test_a_wrong_key_is_answered_with_advice_and_not_shown(self, label_studio: Any, kind: str) -> None:
        keys = {"no token": "abc123", "altered": label_studio.key[:-4] + "AAAA"}
        key = keys.get(kind) or label_studio.login().send("GET", "/api/current-user/token")["token"]
        with pytest.raises(
            UsageError, match=r"refuses the key \(.+\); expected a personal access token, .* legacy token"
        ) as caught:
            connect(label_studio.url, key)
        assert key not in str(caught.value)
        assert "set-cookie" not in str(caught.value).lower()

    @pytest.mark.label_studio
    def test_an_address_below_the_server_is_not_label_studio(self, label_studio: Any) -> None:
        with pytest.raises(UsageError, match="expected a Label Studio server"):
            connect(f"{label_studio.url}/nowhere", label_studio.key)

    @pytest.mark.parametrize(
        ("url", "key", "message"),
        [
            ("http://127.0.0.1:1", "abc", "no Label Studio server answers"),
            ("localhost:8080", "abc", "expected the address"),
            ("http://127.0.0.1:1", " ", "expected a key, found none"),
        ],
    )
    def test_nothing_to_connect_to_is_one_sentence(self, url: str, key: str, message: str) -> None:
        with pytest.raises(UsageError, match=message):
            connect(url, key)


@pytest.mark.label_studio
class TestPush:
    def test_pushing_twice_adds_nothing(self, client: Client, codebook: Codebook, title: str) -> None:
        first = push(client, title, statements(), codebook)
        assert (first.created, first.added, first.present, first.repeated) == (True, 2, 0, 0)
        second = push(client, title, statements(), codebook)
        assert (second.created, second.added, second.present, second.repeated) == (False, 0, 2, 0)
        assert second.project == first.project
        assert [t["data"]["uid"] for t in tasks(client, first.project)] == [s.id for s, _ in statements()]

    def test_a_push_completes_what_is_there(self, client: Client, codebook: Codebook, title: str) -> None:
        push(client, title, statements()[1:], codebook)
        both = statements()
        result = push(client, title, [*both, *both], codebook)
        assert (result.added, result.present) == (1, 1)

    def test_tasks_put_in_twice_are_reported(self, client: Client, codebook: Codebook, title: str) -> None:
        project = push(client, title, statements(), codebook).project
        client.projects.import_tasks(id=project, request=[{"data": tasks(client, project)[0]["data"]}])
        result = push(client, title, statements(), codebook)
        assert (result.added, result.repeated) == (0, 1)
        assert "holds 1 tasks twice" in result.problems[0]

    def test_a_statement_that_cannot_be_shown_is_named(self, client: Client, codebook: Codebook, title: str) -> None:
        result = push(client, title, [*statements(), *statements("a \n b", " \n ")], codebook)
        assert result.added == 2
        assert "white space only" in result.problems[0]

    def test_the_project_codes_blind_with_form_and_instructions(
        self, client: Client, codebook: Codebook, title: str
    ) -> None:
        project = client.projects.get(id=push(client, title, statements(), codebook).project)
        assert project.show_collab_predictions is False
        assert project.label_config == labeling_config(codebook)
        assert project.show_instruction is True
        assert codebook.rules[0] in project.expert_instruction
        assert codebook.id in project.description

    def test_another_codebook_is_refused_both_ways(self, client: Client, codebook: Codebook, title: str) -> None:
        push(client, title, statements(), codebook)
        other = msgspec.structs.replace(codebook, version=codebook.version + 1)
        with pytest.raises(CodebookError, match=f"expected codebook {other.id}, found {codebook.id}"):
            push(client, title, statements(), other)
        with pytest.raises(CodebookError, match=f"expected codebook {other.id}, found {codebook.id}"):
            pull(client, title, other)

    def test_a_project_not_made_here_is_refused(self, client: Client, codebook: Codebook, title: str) -> None:
        client.projects.create(title=title)
        with pytest.raises(CodebookError, match="found none in its labeling interface"):
            push(client, title, statements(), codebook)

    def test_another_choice_of_what_coders_see_is_refused(self, client: Client, codebook: Codebook, title: str) -> None:
        push(client, title, statements(), codebook)
        with pytest.raises(UsageError, match="its coders do not see the publisher"):
            push(client, title, statements(), codebook, show_publisher=True)

    def test_two_projects_of_one_title_are_refused(self, client: Client, codebook: Codebook, title: str) -> None:
        for _ in range(2):
            client.projects.create(title=title)
        with pytest.raises(UsageError, match="2 projects bear that title"):
            push(client, title, statements(), codebook)


@pytest.mark.label_studio
class TestPull:
    def test_a_coders_answer_comes_back_exactly(self, client: Client, codebook: Codebook, title: str) -> None:
        project = push(client, title, statements(), codebook).project
        first, second = tasks(client, project)
        start = len(PART[:SECOND_MICROSOFT].encode("utf-16-le")) // 2
        assert start == SECOND_MICROSOFT + 1  # one character before it takes two UTF-16 units
        result = [
            mark(start, start + 9, "Microsoft"),
            choice("stance", "against"),
            choice("concerns", "surveillance", "scope"),
            choice("holder_type", "industry"),
        ]
        client.annotations.create(id=first["id"], result=result, lead_time=7.25)
        pulled = pull(client, title, codebook)
        assert pulled.annotations == (
            Annotation(
                statement=statements()[0][0].id,
                annotator=pulled.annotations[0].annotator,
                codebook_version=codebook.id,
                stance="against",
                concerns=("surveillance", "scope"),
                holder="Microsoft",
                holder_start=SECOND_MICROSOFT,
                holder_end=SECOND_MICROSOFT + 9,
                holder_type="industry",
                blind=True,
                seconds=7.25,
            ),
        )
        assert holder_span(PART, {"result": result}) == (SECOND_MICROSOFT, SECOND_MICROSOFT + 9)
        assert (pulled.tasks, pulled.unanswered, pulled.refusals) == (2, 1, ())
        assert second["data"]["uid"] == statements()[1][0].id

    def test_an_unknown_label_is_listed_and_gives_no_annotation(
        self, client: Client, codebook: Codebook, title: str
    ) -> None:
        project = push(client, title, statements(), codebook).project
        first, second = tasks(client, project)
        client.annotations.create(id=first["id"], result=[choice("stance", "perhaps")])
        client.annotations.create(id=second["id"], result=[choice("stance", "none"), choice("mood", "grim")])
        pulled = pull(client, title, codebook)
        assert pulled.annotations == ()
        assert pulled.counts == {"invalid": 2}
        assert "stance 'perhaps' is not in codebook" in pulled.refusals[0].reason
        assert "does not ask: mood" in pulled.refusals[1].reason

    def test_of_two_answers_by_one_coder_the_newer_counts(self, client: Client, codebook: Codebook, title: str) -> None:
        project = push(client, title, statements(), codebook).project
        first, second = tasks(client, project)
        for stance in ("favor", "mixed"):
            client.annotations.create(id=first["id"], result=[choice("stance", stance)])
        client.annotations.create(id=second["id"], result=[], was_cancelled=True)
        pulled = pull(client, title, codebook)
        assert [a.stance for a in pulled.annotations] == ["mixed"]
        assert pulled.counts == {"skipped": 1, "superseded": 1}

    def test_an_answer_changed_by_another_user_is_found(
        self, label_studio: Any, client: Client, codebook: Codebook, title: str
    ) -> None:
        project = push(client, title, statements(), codebook).project
        first, second = tasks(client, project)
        answer = client.annotations.create(id=first["id"], result=[choice("stance", "favor")])
        colleague = label_studio.login(label_studio.second_account())
        colleague.send("PATCH", f"/api/annotations/{answer.id}/", {"result": [choice("stance", "against")]})
        colleague.send("POST", f"/api/tasks/{second['id']}/annotations/", {"result": [choice("stance", "none")]})
        pulled = pull(client, title, codebook)
        assert pulled.counts == {"edited": 1}
        assert [(a.statement, a.stance) for a in pulled.annotations] == [(statements()[1][0].id, "none")]
        assert pulled.annotations[0].annotator != pulled.refusals[0].annotator

    def test_a_project_that_is_not_there_is_a_wrong_use(self, client: Client, codebook: Codebook, title: str) -> None:
        with pytest.raises(UsageError, match="the server has none of that title"):
            pull(client, title, codebook)


@pytest.mark.label_studio
class TestCommandLineFunctions:
    def test_a_folder_goes_in_and_a_file_comes_out(
        self, label_studio: Any, client: Client, codebook: Codebook, title: str, tmp_path: Path
    ) -> None:
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "a.txt").write_text("The minister said on Monday that Chile will sign the treaty.\n", encoding="utf-8")
        (folder / "b.txt").write_bytes(b"\x00\x01\x02")
        (folder / "c.csv").write_text("x", encoding="utf-8")
        environ = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.key}
        pushed = push_folder(folder, project=title, codebook=codebook, environ=environ)
        assert (pushed.documents, pushed.passed_over, pushed.statements, pushed.push.added) == (1, 1, 1, 1)
        assert "b.txt" in pushed.problems[0]
        client.annotations.create(id=tasks(client, pushed.push.project)[0]["id"], result=[choice("stance", "favor")])
        output = tmp_path / "out" / "annotations.jsonl"
        pulled = pull_project(title, output, codebook=codebook, environ=environ)
        assert (pulled.annotations, pulled.unanswered, pulled.counts) == (1, 0, {})
        assert [a.stance for a in read_jsonl(output, Annotation)] == ["favor"]
        first = output.read_bytes()
        pull_project(title, output, codebook=codebook, environ=environ)
        assert output.read_bytes() == first

    def test_the_commands_say_what_they_did(
        self,
        label_studio: Any,
        client: Client,
        title: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "a.txt").write_text(
            "The minister said on Monday that Chile will sign the treaty.\n", encoding="utf-8"
        )
        (tmp_path / "in" / "b.txt").write_bytes(b"\x00\x01\x02")
        monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.key)

        def run(*arguments: object) -> list[str]:
            monkeypatch.setattr(sys, "argv", ["treaty-stance", "annotate", *map(str, arguments), "--project", title])
            with pytest.raises(SystemExit) as stop:
                main()
            printed = capsys.readouterr()
            assert (stop.value.code, printed.err) == (0, "")
            assert label_studio.key not in printed.out
            return printed.out.splitlines()

        said = run("push", tmp_path / "in")
        assert (
            said[0] == f"project {title!r}: 1 statements added, 0 there before; 1 documents read, 0 other files passed over"
        )
        assert "b.txt" in said[1]
        assert run("push", tmp_path / "in")[0].startswith(f"project {title!r}: 0 statements added, 1 there before;")
        (project,) = [p for p in client.projects.list() if p.title == title]
        task = tasks(client, project.id)[0]["id"]
        client.annotations.create(id=task, result=[choice("stance", "elated")])
        said = run("pull", "--output", tmp_path / "out.jsonl")
        assert said[0] == f"{tmp_path / 'out.jsonl'}: 0 annotations from 1 tasks, 0 not yet coded"
        assert said[1].startswith("  invalid: ")
        assert "elated" in said[1]

    def test_a_queue_of_abstentions_goes_in_once_in_its_order_and_without_predictions(
        self, label_studio: Any, client: Client, codebook: Codebook, title: str, tmp_path: Path
    ) -> None:
        sources = statements()
        shares = {f"stance_{s}": 0.1 for s in codebook.stance_ids}
        rows: list[dict[str, object]] = [
            {**shares, "id": s.id, "document_id": s.document, "text": s.text, "abstained": True} for s, _ in sources
        ]
        rows[0] |= {f"stance_{codebook.stance_ids[0]}": 0.7}  # the clearer of the two, so it comes second
        queue = write_queue(tmp_path / "queue.jsonl", rows, sources, codebook)
        environ = {"LABEL_STUDIO_URL": label_studio.url, "LABEL_STUDIO_API_KEY": label_studio.key}
        first = push_queue(queue.path, project=title, codebook=codebook, environ=environ)
        assert (first.statements, first.push.added, first.push.present, first.problems) == (2, 2, 0, ())
        second = push_queue(queue.path, project=title, codebook=codebook, environ=environ)
        assert (second.push.added, second.push.present) == (0, 2)
        found = tasks(client, first.push.project)
        assert [t["data"]["uid"] for t in found] == [sources[1][0].id, sources[0][0].id]
        assert all(set(t["data"]) == {"uid", "text", "title", "published", "before", "after"} for t in found)
        assert all(t["total_predictions"] == 0 and not t["predictions"] for t in found)
        client.annotations.create(id=found[0]["id"], result=[choice("stance", "none")])
        (only,) = pull(client, title, codebook).annotations
        assert (only.statement, only.blind) == (rows[1]["id"], True)


def test_a_missing_environment_is_named(tmp_path: Path, codebook: Codebook) -> None:
    with pytest.raises(UsageError, match="expected LABEL_STUDIO_API_KEY in the environment"):
        pull_project("any", tmp_path / "a.jsonl", codebook=codebook, environ={"LABEL_STUDIO_URL": "http://h"})
    with pytest.raises(UsageError, match="LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"):
        pull_project("any", tmp_path / "a.jsonl", codebook=codebook, environ={})


def test_a_folder_without_statements_names_the_first_problem(tmp_path: Path, codebook: Codebook) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x00")
    with pytest.raises(UsageError, match=r"found none in 1 files; the first problem: .*a\.txt"):
        push_folder(tmp_path, project="any", codebook=codebook, environ={})


class StandIn:
    """A client whose project says that it has ``task_number`` tasks and lists ``listed``; it records what is sent."""

    def __init__(self, codebook: Codebook, *, listed: list[Any], task_number: int, failure: Exception | None = None) -> None:
        project = SimpleNamespace(
            id=1, title="stand-in", label_config=labeling_config(codebook), show_collab_predictions=False,
            task_number=task_number,
        )  # fmt: skip
        self.sent: list[dict[str, Any]] = []
        self.projects = SimpleNamespace(list=lambda **_: [project], get=lambda **_: project, import_tasks=self._import)
        self.tasks = SimpleNamespace(list=lambda **_: [SimpleNamespace(json=lambda t=t: json.dumps(t)) for t in listed])
        self._failure = failure

    def _import(self, **arguments: Any) -> None:
        self.sent.append(arguments)
        if self._failure is not None:
            raise self._failure


def test_a_list_of_tasks_cut_short_is_refused(codebook: Codebook) -> None:
    short = StandIn(codebook, listed=[{"id": 1, "data": {}}], task_number=2)
    with pytest.raises(TreatyStanceError, match="expected 2 tasks, found 1"):
        pull(short, "stand-in", codebook)
    with pytest.raises(TreatyStanceError, match="expected 2 tasks, found 1"):
        push(short, "stand-in", statements(), codebook)
    assert short.sent == []


def test_statements_that_the_server_swallowed_are_noticed(codebook: Codebook) -> None:
    swallows = StandIn(codebook, listed=[], task_number=0)
    with pytest.raises(TreatyStanceError, match=r"expected 2 statements, but the server lacks 2"):
        push(swallows, "stand-in", statements(), codebook)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            ApiError(status_code=500, headers={"set-cookie": "s3cret"}, body={"detail": "out of space"}),
            r"answers 500 \(out of",
        ),
        (ApiError(status_code=502, headers={"set-cookie": "s3cret"}, body="s3cret page"), r"answers 502 \(no explanation"),
        (httpx.ReadTimeout("slow"), r"does not answer \(ReadTimeout\)"),
    ],
)
def test_a_failing_import_is_sent_once_and_told_without_headers(
    codebook: Codebook, failure: Exception, message: str
) -> None:
    fails = StandIn(codebook, listed=[], task_number=0, failure=failure)
    with pytest.raises(TreatyStanceError, match=message) as caught:
        push(fails, "stand-in", statements(), codebook)
    assert "push again" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__
    assert [s["request_options"] for s in fails.sent] == [{"max_retries": 0}]


@pytest.mark.parametrize("title", ["ab", "x" * 51, " padded "])
def test_a_title_that_label_studio_would_not_take_is_refused(codebook: Codebook, title: str) -> None:
    with pytest.raises(UsageError, match="expected a title of 3 to 50 characters"):
        push(StandIn(codebook, listed=[], task_number=0), title, statements(), codebook)
