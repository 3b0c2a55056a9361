"""The command `label`: what is meant where, and what it hands to the job. A judge without a network is the bundle."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import models.predictor
from annotation.codebook import Codebook
from corpus.errors import BundleError, TreatyStanceError, UsageError
from corpus.identity import document_id
from corpus.records import Document
from corpus.segment import segment
from corpus.sources import load_project
from corpus.store import Location, Outcome, Store
from models.passage import Judgement, Passage
from pipelines.cli_label import actor_judge, label, stopping
from pipelines.manifest import read_manifest
from pipelines.workspace import init_workspace


@dataclass
class Judge:
    """Says of each text the stance whose turn its length is; keeps how it was loaded."""

    codebook: Codebook
    model_id: str
    settings: dict[str, object] = field(default_factory=dict)
    judged: list[str] = field(default_factory=list)

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        self.judged += [p.text for p in passages]
        return [self._one(p) for p in passages]

    def _one(self, passage: Passage) -> Judgement:
        stances = self.codebook.stance_ids
        best = stances[len(passage.text) % len(stances)]
        return Judgement(
            stance=best,
            probabilities=tuple(0.8 if s == best else 0.2 / (len(stances) - 1) for s in stances),
            concerns=(),
            concern_probabilities=tuple(0.1 for _ in self.codebook.concern_ids),
            confidence=0.8,
            holder_type=self.codebook.holder_type_ids[0],
        )


@dataclass
class Loaded:
    """What the command loaded, in order; ``auto`` is what this machine takes for the fastest precision."""

    calls: list[tuple[Path, dict[str, Any]]] = field(default_factory=list)
    judges: list[Judge] = field(default_factory=list)
    auto: str = "int8"


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch, invented: Codebook) -> Loaded:
    seen = Loaded()

    def load(folder: Path, **given: Any) -> Judge:
        seen.calls.append((folder, given))
        model_id = json.loads((folder / "manifest.json").read_text())["model_id"]
        asked = given["precision"]
        precision, runtime = (
            (seen.auto if asked == "auto" else asked),
            "cuda" if (asked, seen.auto) == ("auto", "bf16") else "onnx",
        )
        settings = {"precision": precision, "runtime": runtime, "cascade": given["cascade"]}
        seen.judges.append(Judge(invented, model_id, settings))
        return seen.judges[-1]

    monkeypatch.setattr(models.predictor.Predictor, "load", load)
    return seen


def call(*words: object) -> Result:
    return CliRunner().invoke(label, [str(w) for w in words])


def bundle(folder: Path, model_id: str, created: str = "2026-01-01") -> Path:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "created": created, "model_id": model_id}))
    return folder


def put(folder: Path, n: int, *, cut: bool = True) -> None:
    url, text = f"https://a.test/{n}", f"The pact number {n} is bad, said Ann Berg in Upperton on Monday."
    new = Document(id=document_id(url, text), url=url, text=text, publisher="Gazette")
    with Store.open(load_project(folder).store_url) as store:
        store.put_document(
            new,
            segment(new).statements if cut else (),
            location=Location(document=new.id, url=url, source="s", snapshot=None, first_seen="2026", last_seen="2026"),
            outcome=Outcome(run="r", source="s", url=url, outcome="new"),
            signature=None,
        )


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A workspace with one bundle and three documents of one statement."""
    folder = tmp_path / "ws"
    init_workspace(folder)
    bundle(folder / "bundles" / "2026-01-01", "river-1")
    for n in range(3):
        put(folder, n)
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"id": str(i), "text": "Berg" * (i + 1)}) + "\n" for i in range(4)))
    return path


def texts(folder: Path) -> list[str]:
    return [t for p in sorted(folder.glob("labels-*.parquet")) for t in pq.read_table(p)["text"].to_pylist()]


def test_help_has_the_options_and_names_the_comparison() -> None:
    done = call("--help")
    assert done.exit_code == 0
    assert "Usage: label [OPTIONS] [INPUT]..." in done.output
    assert "Example: treaty-stance label articles/" in done.output
    assert "treaty-stance label diff A B" in done.output
    for option in (
        "--resume",
        "--engine [local|ray]",
        "--precision [fp32|int8|auto]",
        "--no-cascade",
        "--all",
        "--workspace",
    ):
        assert option in done.output
    assert "Usage: label diff [OPTIONS] A B" in call("diff", "--help").output


def test_nothing_heavy_is_imported_for_help_and_for_wrong_usage() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom pipelines.cli_label import label\n"
        "assert CliRunner().invoke(label, ['diff', '--help']).exit_code == 0\n"
        "assert CliRunner().invoke(label, ['x', '--all', '--model', 'm']).exit_code == 2\n"
        "print([m for m in ('torch', 'transformers', 'pyarrow', 'onnxruntime', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_files_are_labelled_with_what_was_asked_for(loaded: Loaded, table: Path, tmp_path: Path) -> None:
    model = bundle(tmp_path / "bundle", "river-1")
    options = ("--precision", "int8", "--no-cascade", "--threads", "1")
    done = call(table, "--model", model, "--output", tmp_path / "labels", *options, "--format", "csv")
    assert done.exit_code == 0, done.output
    assert f"{tmp_path / 'labels'}: 4 statements labelled, 0 rows invalid" in done.output
    assert loaded.calls == [(model, {"precision": "int8", "cascade": False, "threads": 1})]
    assert texts(tmp_path / "labels") == ["Berg" * n for n in range(1, 5)]
    assert (tmp_path / "labels" / "labels.csv").is_file()
    again = call(table, "--model", model, "--output", tmp_path / "labels", *options, "--format", "csv")
    assert again.exit_code == 0
    assert "nothing was done" in again.output
    assert loaded.judges[-1].judged == []


def test_a_file_of_the_name_of_the_comparison_can_be_labelled(
    loaded: Loaded, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = bundle(tmp_path / "bundle", "river-1")
    table.rename(tmp_path / "diff")
    for words in (("./diff", "--model", model), ("--model", model, "diff")):
        done = call(*words, "--output", f"labels-{len(loaded.calls)}")
        assert done.exit_code == 0, done.output
        assert "4 statements labelled" in done.output


def test_in_a_workspace_only_what_is_new_is_labelled_and_all_on_request(loaded: Loaded, workspace: Path) -> None:
    runs = workspace / "labels" / "river-1"
    done = call("--workspace", workspace)
    assert done.exit_code == 0, done.output
    assert "3 rows of 3 documents for river-1" in done.output
    assert "3 statements labelled, 0 rows invalid" in done.output
    assert loaded.calls == [(workspace / "bundles" / "2026-01-01", {"precision": "auto", "cascade": True, "threads": None})]
    done = call("--workspace", workspace)
    assert (done.exit_code, len(loaded.calls)) == (0, 1), "the bundle is not even loaded"
    assert "nothing new for river-1; its 3 statements are labelled" in done.output
    put(workspace, 3)
    done = call("--workspace", workspace, "--resume")
    assert "1 rows of 1 documents for river-1, 3 are labelled already" in done.output
    assert texts(runs / "0002") == ["The pact number 3 is bad, said Ann Berg in Upperton on Monday."]
    assert call("--workspace", workspace, "--all", "--quiet").output == ""
    assert sorted(texts(runs / "0003")) == sorted(texts(runs / "0001") + texts(runs / "0002"))
    (entry,) = read_manifest(runs / "0003")["inputs"]
    assert (entry["path"], entry["rows"], entry["all"]) == ("corpus", 4, True)
    assert not list(runs.glob(".*.plan"))


def test_a_new_bundle_labels_everything_and_can_be_compared(
    loaded: Loaded, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    assert call().exit_code == 0
    put(workspace, 3)
    assert call().exit_code == 0
    bundle(workspace / "bundles" / "2026-02-01", "river-2", created="2026-02-01")
    assert "4 rows of 4 documents for river-2" in call().output
    done = call("diff", "labels/river-1", "labels/river-2", "--output", tmp_path / "changes")
    assert done.exit_code == 0, done.output
    assert "4 statements in both, 0 changed (0.0%): stance of 0, concerns of 0, holder of 0" in done.output
    assert "models: river-1 -> river-2" in done.output
    assert pq.read_table(tmp_path / "changes" / "diff.parquet").num_rows == 0


def test_named_files_in_a_workspace_take_its_newest_bundle(
    loaded: Loaded, workspace: Path, table: Path, tmp_path: Path
) -> None:
    done = call(table, "--workspace", workspace, "--output", tmp_path / "labels")
    assert done.exit_code == 0, done.output
    assert [path for path, _ in loaded.calls] == [workspace / "bundles" / "2026-01-01"]
    assert not (workspace / "labels" / "river-1").exists()


def test_what_cannot_be_meant_is_refused(workspace: Path, table: Path, tmp_path: Path, loaded: Loaded) -> None:
    model = bundle(tmp_path / "bundle", "river-1")
    cases: list[tuple[Sequence[object], str]] = [
        ((), "--model is missing"),
        (("--model", model), "name what to label, or call it in a workspace"),
        ((table, "--output", "x"), "--model is missing"),
        ((table, "--model", model), "--output is missing"),
        ((table, "--model", model, "--output", "x", "--all"), "--all is for a workspace's corpus"),
        (("--workspace", workspace, "--unit", "document"), "--unit is for tables"),
        (("--workspace", workspace, "--actors", "2"), "belong to --engine ray"),
        (("--workspace", workspace, "--queue-size", "2"), "need --target-accuracy"),
        (("--workspace", workspace, "--precision", "fp16"), "'fp16' is not one of"),
    ]
    for words, said in cases:
        done = call(*words)
        assert done.exit_code == 2, words
        assert said in done.output
    done = call("--workspace", tmp_path)
    assert isinstance(done.exception, TreatyStanceError)
    assert "project.toml" in str(done.exception)
    assert loaded.calls == []
    assert not (workspace / "labels" / "river-1").exists()


@pytest.mark.slow
def test_a_stop_in_the_middle_is_resumed_to_the_same_labels(
    loaded: Loaded, workspace: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for n in range(3, 240):  # more than the first shard holds
        put(workspace, n)
    whole = call("--workspace", workspace, "--output", tmp_path / "whole")
    assert whole.exit_code == 0, whole.output
    judge = Judge.judge

    def interrupted(self: Judge, passages: Sequence[Passage]) -> list[Judgement]:
        os.kill(os.getpid(), signal.SIGTERM)
        return judge(self, passages)

    runs = workspace / "labels" / "river-1"
    with monkeypatch.context() as patched:
        patched.setattr(Judge, "judge", interrupted)
        done = call("--workspace", workspace)
    assert isinstance(done.exception, TreatyStanceError)
    assert "--resume" in str(done.exception)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert not (runs / "0001" / "manifest.json").exists()
    assert (runs / ".0001.plan").is_file()
    put(workspace, 240)
    refused = call("--workspace", workspace)
    assert "--resume" in str(refused.exception)
    done = call("--workspace", workspace, "--resume")
    assert done.exit_code == 0, done.output
    assert "going on with 240 rows that were begun before" in done.output
    for path in sorted((tmp_path / "whole").glob("labels-*.parquet")):
        assert (runs / "0001" / path.name).read_bytes() == path.read_bytes()
    assert not list(runs.glob(".*.plan"))
    assert "1 rows of 1 documents" in call("--workspace", workspace).output


@pytest.fixture
def signals() -> Iterator[None]:
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_and_the_second_is_as_without_us(number: signal.Signals, capfd: Any) -> None:
    got: list[int] = []
    signal.signal(number, lambda n, _: got.append(n))
    with stopping() as stop:
        assert not stop()
        signal.raise_signal(number)
        assert stop()
        assert got == []
        signal.raise_signal(number)
        assert got == [number]
    assert "once more stops at once" in capfd.readouterr().err
    signal.raise_signal(number)
    assert got == [number, number], "what was there before is there again"


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    said: list[bool] = []

    def work() -> None:
        with stopping() as stop:
            said.append(stop())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [False]


def test_auto_is_what_the_job_in_the_folder_chose(loaded: Loaded, table: Path, tmp_path: Path) -> None:
    words = (table, "--model", bundle(tmp_path / "bundle", "river-1"), "--output", tmp_path / "labels")
    assert call(*words).exit_code == 0
    loaded.auto = "fp32"  # another moment, another race
    again = call(*words)
    assert again.exit_code == 0, again.output
    assert "nothing was done" in again.output
    assert [given["precision"] for _, given in loaded.calls] == ["auto", "int8"]
    other = call(*words, "--precision", "fp32")
    assert isinstance(other.exception, UsageError), "another precision is another job"


def test_a_night_that_brought_nothing_to_label_is_no_failure(loaded: Loaded, workspace: Path) -> None:
    assert call("--workspace", workspace).exit_code == 0
    put(workspace, 3, cut=False)
    done = call("--workspace", workspace)
    assert done.exit_code == 0, done.output
    assert "document has no statement" in done.output
    (row,) = pq.read_table(workspace / "labels" / "river-1" / "0002" / "labels-00000.parquet").to_pylist()
    assert row["status"] == "invalid"
    assert "nothing new" in call("--workspace", workspace).output


def test_an_empty_corpus_is_no_failure(loaded: Loaded, tmp_path: Path) -> None:
    init_workspace(tmp_path / "ws")
    bundle(tmp_path / "ws" / "bundles" / "one", "river-1")
    done = call("--workspace", tmp_path / "ws")
    assert done.exit_code == 0
    assert "collect some first" in done.output
    assert loaded.calls == []


@dataclass
class Made:
    """The engines that were made: how each loads its judge, and with which settings."""

    engines: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Made:
    """An engine in this process in Ray's place, which loads its judge as an actor would."""
    import pipelines.ray_engine

    made = Made()

    class Engine:
        def __init__(self, load: Any, **given: Any) -> None:
            self.load = load
            made.engines.append((load, given))

        def judged(self, shards: Any) -> Iterator[list[Judgement]]:
            judge = self.load()
            for shard in shards:
                yield judge.judge(shard)

    monkeypatch.setattr(pipelines.ray_engine, "RayEngine", Engine)
    return made


def test_actors_judge_with_the_precision_that_was_chosen_here(
    loaded: Loaded, ray: Made, table: Path, tmp_path: Path
) -> None:
    model = bundle(tmp_path / "bundle", "river-1")
    words = (table, "--model", model, "--output")
    done = call(*words, tmp_path / "ray", "--engine", "ray", "--ray-address", "head:6379", "--actors", "2")
    assert done.exit_code == 0, done.output
    assert "4 statements labelled" in done.output
    ((load, settings),) = ray.engines
    assert settings == {"address": "head:6379", "actors": 2, "gpus": 0}
    assert pickle.loads(pickle.dumps(load)).args == load.args, "it can be sent to another process"  # noqa: S301
    assert loaded.calls[0][1] == {"precision": "auto", "cascade": True, "threads": None}
    assert loaded.calls[1] == (model.resolve(), {"precision": "int8", "cascade": True, "threads": 1})
    assert call(*words, tmp_path / "local").exit_code == 0
    one, two = ((tmp_path / name / "labels-00000.parquet").read_bytes() for name in ("ray", "local"))
    assert one == two
    assert read_manifest(tmp_path / "ray")["options"] == read_manifest(tmp_path / "local")["options"]


def test_actors_on_gpus_are_what_the_manifest_tells_of(loaded: Loaded, ray: Made, table: Path, tmp_path: Path) -> None:
    words = (table, "--model", bundle(tmp_path / "bundle", "river-1"), "--engine", "ray", "--output")
    alone = call(*words, tmp_path / "labels", "--gpus", "0.5")
    assert isinstance(alone.exception, BundleError), "the actor found no GPU"
    assert "expected a worker that judges with precision bf16" in str(alone.exception)
    loaded.auto = "bf16"
    assert isinstance(call(*words, tmp_path / "more").exception, UsageError), "a GPU here, and none there"
    done = call(*words, tmp_path / "labels", "--gpus", "0.5")
    assert done.exit_code == 0, done.output
    assert ray.engines[-1][1] == {"address": None, "actors": None, "gpus": 0.5}
    assert read_manifest(tmp_path / "labels")["options"]["precision"] == "bf16"


def test_an_actor_that_would_judge_otherwise_is_refused(loaded: Loaded, tmp_path: Path) -> None:
    model = bundle(tmp_path / "bundle", "river-1")
    settings = {"precision": "fp32", "runtime": "onnx", "cascade": True}
    assert actor_judge(model, settings, cascade=True, threads=1).model_id == "river-1"
    with pytest.raises(BundleError, match=r"runtime torch, .*found one with .*runtime onnx"):
        actor_judge(model, settings | {"runtime": "torch"}, cascade=True, threads=1)
