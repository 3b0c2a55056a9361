import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipelines.cli import cli


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(w) for w in words], catch_exceptions=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    assert call("init", folder).exit_code == 0
    (folder / "inbox" / "a.txt").write_text("The cybercrime treaty is bad for us, said Mayor Ann Berg.\n", encoding="utf-8")
    (folder / "inbox" / "b.txt").write_text("Nothing of that kind is written here at all.\n", encoding="utf-8")
    return folder


def test_from_an_empty_folder_to_an_export(workspace: Path, tmp_path: Path) -> None:
    done = call("collect", "--workspace", workspace)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    columns = ("unchanged", "new", "revised", "copy", "blocked", "empty", "irrelevant", "opted out", "failed")
    assert lines[0].split() == " ".join(("source", "fetched", *columns)).split()
    assert lines[1].split() == ["inbox", "2", "0", "1", "0", "0", "0", "0", "1", "0", "0"]
    manifest = json.loads((workspace / "manifest.json").read_text())
    assert manifest["counts"] == {"inbox": {"irrelevant": 1, "new": 1}}
    assert [(n["url"], n["outcome"]) for n in manifest["not_kept"]] == [("file:inbox/b.txt", "irrelevant")]

    stats = call("corpus", "stats", "--workspace", workspace)
    assert stats.output.startswith("1 documents")
    shown = call("corpus", "show", "file:inbox/a.txt", "--workspace", workspace)
    assert "holder: Mayor Ann Berg" in shown.output
    assert ".warc.gz, byte" in shown.output

    out = tmp_path / "export"
    assert (
        "1 documents, 1 statements, 1 locations"
        in call("corpus", "export", "--workspace", workspace, "--output", out).output
    )
    row = json.loads((out / "statements.jsonl").read_text(encoding="utf-8"))
    assert (row["voice"], row["holder"], row["rights"]) == ("reported", "Mayor Ann Berg", "for research within the team")

    again = call("collect", "--from-snapshots", "--workspace", workspace)
    assert again.exit_code == 0, again.output
    assert again.output.splitlines()[1].split()[:4] == ["inbox", "2", "0", "1"]


def test_an_empty_inbox_is_no_fault(tmp_path: Path) -> None:
    call("init", tmp_path / "ws")
    done = call("collect", "--workspace", tmp_path / "ws")
    assert done.exit_code == 0, done.output
    assert "no address was found" in done.output


def test_a_source_that_fails_as_a_whole_ends_with_one(workspace: Path) -> None:
    path = workspace / "project.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('paths = ["inbox"]', 'paths = ["nowhere"]'), encoding="utf-8")
    done = call("collect", "--workspace", workspace)
    assert done.exit_code == 1
    assert "source 'inbox' failed as a whole" in done.output


def test_quiet_says_nothing(workspace: Path) -> None:
    assert call("collect", "--workspace", workspace, "--quiet").output == ""


def test_sources_and_snapshots_do_not_go_together(workspace: Path) -> None:
    done = call("collect", "inbox", "--from-snapshots", "--workspace", workspace)
    assert done.exit_code == 2
    assert "name no sources with it" in done.output


def test_a_network_source_without_contact_starts_no_run(workspace: Path) -> None:
    path = workspace / "project.toml"
    source = '\n[[sources]]\nname = "f"\ntype = "feed"\nurls = ["https://a.test/feed"]\n'
    path.write_text(path.read_text(encoding="utf-8") + source, encoding="utf-8")
    for _ in range(2):
        done = call("collect", "f", "--workspace", workspace)
        assert "expected a contact in [fetching]" in str(done.exception)
        assert "going on" not in done.output


def test_a_rebuild_that_was_stopped_leaves_no_half_corpus_to_read_or_to_add_to(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("collect", "--workspace", workspace).exit_code == 0
    before = call("corpus", "stats", "--workspace", workspace).output
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.rebuild.ingest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert call("collect", "--from-snapshots", "--workspace", workspace).exit_code != 0
    for words in (
        ("collect",),
        ("corpus", "stats"),
        ("corpus", "export", "--output", tmp_path / "out"),
        ("corpus", "show", "a"),
    ):
        stopped = call(*words, "--workspace", workspace)
        assert "run `treaty-stance collect --from-snapshots` again" in str(stopped.exception)
    assert not (tmp_path / "out").exists()
    assert call("collect", "--from-snapshots", "--workspace", workspace).exit_code == 0
    assert call("corpus", "stats", "--workspace", workspace).output == before
