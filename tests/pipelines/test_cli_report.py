"""The command `report`: what it reads and writes, and how it says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from annotation.codebook import Codebook, load_codebook
from pipelines.manifest import verify_outputs
from pipelines.report import make_report
from pipelines.workspace import init_workspace

pytestmark = pytest.mark.slow  # each writes a whole report: together half a minute

WriteLabels = Callable[..., Path]
Run = Callable[..., tuple[int, str, str]]
TABLES = (
    "statements", "documents", "positions", "shares", "trend", "concerns", "changes", "differences", "unresolved"
)  # fmt: skip


def rows(n: int = 40) -> list[dict[str, Any]]:
    stances = ("welcome", "refuse", "silent")
    return [
        {
            "stance": stances[i % 3],
            "document_id": f"d{i // 2}",
            "published": f"2025-{1 + i % 6:02}-01",
            "publisher": f"Paper {i % 4}",
            "holder": ("River Club", "Upperton", None)[i % 3],
            "holder_type": ("club", "town", "no_one")[i % 3],
            "concerns": ["noise"] if i % 3 == 1 else [],
        }
        for i in range(n)
    ]


def write_audit(path: Path, n: int, of: int = 40) -> Path:
    stances = ("welcome", "refuse", "silent")
    lines = [
        {"id": f"statement-{i}", "stance": stances[i % 3], "concerns": [], "inclusion_probability": n / of} for i in range(n)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_tables_page_and_manifest_are_written_and_the_same_again(
    run: Run, write_labels: WriteLabels, tmp_path: Path
) -> None:
    labels, audit = write_labels(rows(), format=1), write_audit(tmp_path / "audit.jsonl", 40)
    code, out, err = run("report", labels, "--output", tmp_path / "report", "--audit", audit)
    assert (code, err) == (0, "")
    written = {path.name for path in (tmp_path / "report").iterdir()}
    forms = {f"{table}.{form}" for table in TABLES for form in ("csv", "parquet")}
    assert written == forms | {"tables.xlsx", "tables.duckdb", "report.html", "manifest.json"}
    assert str(tmp_path / "report" / "report.html") in out
    manifest = verify_outputs(tmp_path / "report")
    assert manifest["command"] == "report"
    assert [entry["role"] for entry in manifest["inputs"]] == ["labels", "audit"]
    before = {p.name: p.read_bytes() for p in (tmp_path / "report").iterdir() if p.suffix in (".csv", ".parquet", ".html")}
    assert run("report", labels, "--output", tmp_path / "report", "--audit", audit)[0] == 0
    assert before == {name: (tmp_path / "report" / name).read_bytes() for name in before}


def test_everything_audited_gives_the_gold_shares(write_labels: WriteLabels, tmp_path: Path) -> None:
    report = make_report(write_labels(rows()), audit=write_audit(tmp_path / "audit.jsonl", 40))
    shares = report.tables["shares"]
    cells = shares[(shares["dimension"] == "overall") & (shares["measure"] == "stance") & (shares["counting"] == "opinions")]
    assert cells.set_index("label")["share"].to_dict() == pytest.approx(
        {"welcome": 14 / 40, "refuse": 13 / 40, "silent": 13 / 40}
    )


def test_without_an_audit_sample_counts_stand_alone_and_a_note_says_so(
    run: Run, write_labels: WriteLabels, tmp_path: Path
) -> None:
    code, out, _ = run("report", write_labels(rows(), format=1), "--output", tmp_path / "report")
    assert code == 0
    assert "Note: " in out
    shares = pd.read_parquet(tmp_path / "report" / "shares.parquet")
    assert shares["share"].isna().all()
    assert shares["reason"].notna().all()
    assert shares["uncorrected"].notna().any()


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([{}], id="one statement"),
        pytest.param([{"abstained": True, "stance": None} for _ in range(5)], id="all abstained"),
        pytest.param([{"holder": None, "holder_type": None} for _ in range(12)], id="no holder"),
        pytest.param([{"published": d} for d in (None, "soon", "9999-01-01", "1066-10-14", "2025-13-40")] * 3, id="dates"),
        pytest.param([{"url": "http://[", "publisher": "\u202eP", "holder": "=1+1", "title": "<b>"}] * 3, id="odd values"),
        pytest.param(["text is empty", "text is missing"], id="nothing labelled"),
    ],
)
def test_odd_labels_have_a_sensible_page(run: Run, write_labels: WriteLabels, tmp_path: Path, given: list[Any]) -> None:
    code, _, err = run("report", write_labels(given, format=1), "--output", tmp_path / "report", "--quiet")
    assert (code, err) == (0, "")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Bypass Road Accord" in page
    assert len(pd.read_parquet(tmp_path / "report" / "statements.parquet")) == sum(isinstance(g, dict) for g in given)


def test_what_is_wrong_is_one_sentence(run: Run, write_labels: WriteLabels, tmp_path: Path, bypass: Codebook) -> None:
    labels = write_labels(rows(), format=1)
    other = load_codebook()
    (tmp_path / "file").write_text("x")
    (tmp_path / "evaluation.json").write_text("{}")
    out = ("--output", tmp_path / "report")
    for arguments, code, words in (
        ((labels,), 2, "--output is missing"),
        ((), 2, "name a folder of labels, or call it in a workspace"),
        ((tmp_path / "none", *out), 2, "no such folder"),
        ((labels, "--output", tmp_path / "file"), 2, "expected a folder, found a file"),
        ((labels, *out, "--audit", tmp_path / "none"), 2, "no such file; expected an audit sample"),
        ((labels, *out, "--evaluation", tmp_path / "evaluation.json"), 1, "expected the metrics of an evaluation"),
        ((labels, *out, "--columns", tmp_path / "file"), 2, "to join by"),
        ((labels, *out, "--aliases", tmp_path / "none"), 2, "none"),
        ((labels, *out, "--old-audit", tmp_path / "file"), 2, "--old-audit is the audit sample of what --against names"),
        ((labels, *out, "--workspace", tmp_path), 2, "expected a workspace"),
    ):
        found, said, err = run("report", *arguments)
        assert (found, said) == (code, ""), err
        assert words in err
        assert "Traceback" not in err
    mixed = json.loads((labels / "manifest.json").read_text()) | {"codebook_id": other.id}
    (labels / "manifest.json").write_text(json.dumps(mixed))
    code, _, err = run("report", labels, *out)
    assert code == 1
    assert "codebook" in err
    assert not (tmp_path / "report").exists()
    assert bypass.id in err


def test_in_a_workspace_it_takes_the_labels_of_the_bundle_that_labelled_last(
    run: Run, write_labels: WriteLabels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_workspace(tmp_path / "ws")
    code, _, err = run("report", "--workspace", tmp_path / "ws")
    assert code == 2
    assert "expected labels of the corpus, found none" in err
    for bundle, created in (("b-2", "2025-01-01"), ("a-1", "2026-01-01")):
        place = tmp_path / "ws" / "labels" / bundle
        place.mkdir()
        write_labels(rows(3 if bundle == "a-1" else 5), format=1, created=created).rename(place / "0001")
    monkeypatch.chdir(tmp_path / "ws")
    assert run("report", "--quiet")[0] == 0
    (made,) = (tmp_path / "ws" / "reports").iterdir()
    assert len(pd.read_parquet(made / "statements.parquet")) == 3


def test_an_earlier_run_is_compared_with(run: Run, write_labels: WriteLabels, tmp_path: Path) -> None:
    audit = write_audit(tmp_path / "audit.jsonl", 40)
    given = [{**row, "document_id": f"d{i}"} for i, row in enumerate(rows(40))]
    write_labels(given[:30], format=1).rename(tmp_path / "old")
    labels = write_labels(given, format=1)
    earlier = ("--against", tmp_path / "old", "--embeddings")
    code, _, err = run("report", labels, "--output", tmp_path / "r", "--audit", audit, *earlier, "-q")
    assert code == 0, err
    verify_outputs(tmp_path / "r")
    compared = pd.read_csv(tmp_path / "r" / "comparison.csv")
    cell = compared[(compared["measure"] == "stance") & (compared["label"] == "welcome")].iloc[0]
    assert (cell["old_share"], cell["new_share"]) == pytest.approx((10 / 30, 14 / 40))
    assert cell["difference"] == pytest.approx(14 / 40 - 10 / 30)
    assert {"length", "vocabulary", "embedding", "confidence"} <= set(pd.read_csv(tmp_path / "r" / "drift.csv")["measure"])
    assert "Since the earlier run" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    code, _, err = run("report", labels, "--output", tmp_path / "s", "--embeddings")
    assert code == 2
    assert "--embeddings belongs to --against" in err


def test_what_rests_on_gold_that_does_not_speak_for_new_statements_is_withdrawn(
    run: Run, write_labels: WriteLabels, tmp_path: Path
) -> None:
    audit = write_audit(tmp_path / "audit.jsonl", 60, of=60)
    words = ("The river road will be loud, said the mayor of Upperton on Monday", "A toll on lorries is dear")
    old = [{**row, "text": f"{words[i % 2]}, number {i}.", "document_id": f"d{i}"} for i, row in enumerate(rows(60))]
    other = "Entirely different stuff concerns submarine telescopes, quarks, violins and parliamentary gastronomy"
    new = [
        {**row, "text": f"{other}, {other.upper()}, {i} {i}.", "document_id": f"n{i}", "id": f"n{i}"}
        for i, row in enumerate(rows(60))
    ]
    write_labels(old, format=1).rename(tmp_path / "old")
    labels = write_labels([*old, *new], format=1)
    arguments = ("report", labels, "--output", tmp_path / "r", "--audit", audit, "--against", tmp_path / "old")
    code, said, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "the input has drifted and no gold label is newer" in said
    shares = pd.read_parquet(tmp_path / "r" / "shares.parquet")
    overall = shares[shares["dimension"] == "overall"]
    assert overall["share"].isna().all()
    assert set(overall["reason"]) == {"the input has drifted and no gold label is newer"}
    assert overall["uncorrected"].notna().any()
    page = (tmp_path / "r" / "report.html").read_text(encoding="utf-8")
    assert "Withdrawn: " in page
