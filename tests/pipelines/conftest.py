"""Fixtures for the tables and the page: folders of labels made of invented rows."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from annotation.campaign import Answer, Item, Pull, Recheck, Role
from annotation.campaign import Project as CoderProject
from annotation.codebook import Codebook, dump_codebook, parse_codebook
from annotation.ledger import Ledger
from corpus.identity import digest
from corpus.records import Annotation, GoldLabel
from corpus.sources import Project as Workspace
from corpus.sources import load_project
from models.label_errors import Suspicion
from pipelines.cli import main
from pipelines.label_errors import AuditRequest, plan_rechecks
from pipelines.labelled import read_labelled, read_workspace
from pipelines.workspace import CODEBOOK, init_workspace

MODEL = "invented@0123456789abcdef"
_BYPASS = """
format: 1
name: bypass
version: 3
target: {name: Bypass Road Accord}
stances:
  - {id: welcome, name: Welcomes it, definition: Wants the road., polarity: positive}
  - {id: refuse, name: Refuses it, definition: Does not want the road., polarity: negative}
  - {id: silent, name: Says nothing, definition: Takes no side., polarity: neutral}
concerns:
  - {id: cost, name: What it costs, definition: Money.}
  - {id: noise, name: Noise, definition: Sound.}
holder_types:
  - {id: town, name: Town}
  - {id: club, name: Club}
  - {id: no_one, name: No one, nobody: true}
"""

WriteLabels = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def bypass_text() -> str:
    """A small codebook that shares no label with the shipped one, as YAML."""
    return _BYPASS


@pytest.fixture(scope="session")
def bypass(bypass_text: str) -> Codebook:
    """The small codebook."""
    return parse_codebook(bypass_text, where="bypass.yaml")


def row_of(codebook: Codebook, index: int, **given: Any) -> dict[str, Any]:
    """A row of the label job's output: sound where ``given`` does not say otherwise."""
    stance = given.get("stance", codebook.stance_ids[0])
    concerns = given.get("concerns", [])
    rest = 0.2 / (len(codebook.stance_ids) - 1)
    return {
        "id": f"statement-{index}",
        "document_id": f"document-{index}",
        "start": 0,
        "end": 5,
        "text": f"Text {index}",
        **dict.fromkeys(("title", "published", "publisher", "url", "holder", "holder_type", "voice")),
        "holder_name": given.get("holder"),
        "stance": stance,
        **{f"stance_{s}": 0.8 if s == stance else rest for s in codebook.stance_ids},
        "concerns": concerns,
        **{f"concern_{c}": 0.9 if concerns and c in concerns else 0.1 for c in codebook.concern_ids},
        "abstained": False,
        "confidence": 0.8,
        "model_id": MODEL,
        "codebook_version": codebook.id,
        "status": "ok",
        "reason": None,
        **given,
    }


def invalid_row(codebook: Codebook, index: int, reason: str) -> dict[str, Any]:
    """A row that could not be labelled: its label columns are null."""
    row = row_of(codebook, index, status="invalid", reason=reason, text=None)
    kept = ("id", "document_id", "status", "reason", "model_id", "codebook_version")
    return {name: value if name in kept else None for name, value in row.items()}


@pytest.fixture
def write_labels(tmp_path: Path, bypass: Codebook) -> WriteLabels:
    """Return a function that writes a folder of labels and returns its path.

    Each item of ``rows`` gives what differs from a sound row, or is a text: the reason of an invalid row.
    """

    def write(
        rows: Sequence[dict[str, Any] | str],
        *,
        codebook: Codebook = bypass,
        files: int = 1,
        **manifest: Any,
    ) -> Path:
        folder = tmp_path / "labels"
        folder.mkdir()
        whole = [
            invalid_row(codebook, i, row) if isinstance(row, str) else row_of(codebook, i, **row)
            for i, row in enumerate(rows)
        ]
        schema = pa.Table.from_pylist(whole or [row_of(codebook, 0)]).schema
        size = -(-len(whole) // files)
        for part in range(files):
            table = pa.Table.from_pylist(whole[part * size : (part + 1) * size], schema=schema)
            pq.write_table(table, folder / f"labels-{part:05}.parquet")
        sound = {
            "command": "label",
            "codebook": msgspec.to_builtins(codebook),
            "codebook_id": codebook.id,
            "model_id": MODEL,
            "counts": {"rows": len(whole)},
        }
        (folder / "manifest.json").write_bytes(msgspec.json.encode(sound | manifest))
        return folder

    return write


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: arguments in, exit code, output and errors out."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["treaty-stance", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        printed = capsys.readouterr()
        code = stop.value.code
        assert isinstance(code, int)
        return code, printed.out, printed.err

    return call


@dataclass(frozen=True)
class SettledCampaign:
    """A workspace whose campaign is done, and what its coders go on to say."""

    workspace: Workspace
    codebook: Codebook

    @property
    def folder(self) -> Path:
        return self.workspace.root

    def open(self) -> Ledger:
        return Ledger.open(self.workspace.store_url)

    def gold(self) -> dict[str, GoldLabel]:
        with self.open() as ledger:
            return {g.statement: g for g in ledger.gold(self.codebook.id)}

    def reading(self, gold: GoldLabel, coder: str, **changes: Any) -> Annotation:
        """A reading that says what a gold label says, but for the changes."""
        given = {"stance": gold.stance, "concerns": gold.concerns, "holder": gold.holder, "holder_type": gold.holder_type}
        return Annotation(statement=gold.statement, annotator=coder, codebook_version=self.codebook.id, **(given | changes))

    def answer(
        self,
        coder: str,
        readings: Mapping[str, Annotation | None],
        *,
        role: Role = "coding",
        at: str = "2026-01-02T00:00:00+00:00",
    ) -> None:
        """Note readings by statement as if they had been pulled from a coder's project; None: it cannot be judged."""
        project = CoderProject(
            server="http://127.0.0.1:1/",
            number=sum(map(ord, coder + role)),
            title=f"Round 1 {role}, {coder}",
            round="Round 1",
            role=role,
            codebook_version=self.codebook.id,
            codebook=dump_codebook(self.codebook),
            made="2026-01-01T00:00:00+00:00",
            coder=coder,
        )
        answers = [
            Answer(
                project=project.key,
                number=int(digest(statement)[:7], 16),
                stamp=digest(statement, at),
                task=1,
                state="cannot judge" if reading is None else "counted",
                seen=at,
                raw="{}",
                statement=statement,
                annotator=coder,
                annotation=reading,
            )
            for statement, reading in readings.items()
        ]
        with self.open() as ledger:
            ledger.add_project(project)
            pull = Pull(project=project.key, at=at, tasks=len(answers), answers=len(answers), full=True)
            ledger.note_pull(pull, answers)


@pytest.fixture
def settled(tmp_path: Path, lines_path: Path, invented: Codebook, invented_path: Path) -> SettledCampaign:
    """480 statements on the invented pact, read by Anna and Ben, who agree on everything, and settled."""
    folder = tmp_path / "river"
    init_workspace(folder)
    (folder / CODEBOOK).write_text(invented_path.read_text(encoding="utf-8"), encoding="utf-8")
    made = SettledCampaign(load_project(folder), invented)
    examples = read_labelled(lines_path, invented).examples
    gold = [msgspec.structs.replace(e.gold, codebook_version=invented.id, settled="agreed") for e in examples]
    with made.open() as ledger:
        ledger.add_items([Item(statement=e.statement, document=e.document) for e in examples])
        ledger.add_gold(gold, "2026-01-01T00:00:00+00:00")
    for coder in ("anna", "ben"):
        made.answer(coder, {g.statement: made.reading(g, coder) for g in gold})
    return made


@dataclass(frozen=True)
class Audit:
    """Audits of a settled campaign without a server and without a model: labels are suspected in the order of their ids."""

    campaign: SettledCampaign

    def ranked(self) -> list[Suspicion]:
        ids = sorted(self.campaign.gold())
        return [Suspicion(statement=s, score=i / len(ids), question="stance") for i, s in enumerate(ids)]

    def plan(self, n: int = 6, controls: int = 6, *, seed: int = 0, at: str = "2026-03-01T00:00:00+00:00") -> list[Recheck]:
        """Choose statements for Carla, and put them into the ledger."""
        book = self.campaign.codebook
        request = AuditRequest(coders={"carla": None}, round="Round 1", n=n, controls=controls, seed=seed)
        labelled = read_workspace(self.campaign.workspace, book)
        rechecks, _ = plan_rechecks(labelled, self.ranked(), request, done=set(), at=at, codebook=book)
        with self.campaign.open() as ledger:
            ledger.put_rechecks(rechecks)
        return rechecks

    def answer(
        self,
        rechecks: Sequence[Recheck],
        changed: Mapping[str, dict[str, Any] | None],
        *,
        at: str = "2026-03-02T00:00:00+00:00",
    ) -> None:
        """Let Carla say what gold says, but for what she says otherwise; None is what she cannot judge."""
        said: dict[str, Annotation | None] = {}
        gold = self.campaign.gold()
        for r in rechecks:
            change = changed.get(r.statement, {})
            said[r.statement] = None if change is None else self.campaign.reading(gold[r.statement], "carla", **change)
        self.campaign.answer("carla", said, role="recheck", at=at)

    def other_stance(self, statement: str) -> str:
        stance = self.campaign.gold()[statement].stance
        return next(s for s in self.campaign.codebook.stance_ids if s != stance)


@pytest.fixture
def audit(settled: SettledCampaign) -> Audit:
    """Audits of the settled campaign."""
    return Audit(settled)
