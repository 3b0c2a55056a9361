"""The whole road: with an invented codebook and corpus, and the demo with a tiny encoder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipelines.cli import main
from pipelines.demo import AUDIT

pytestmark = pytest.mark.slow


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["treaty-stance", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 0


def test_another_codebook_works_through_the_whole_road(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    tiny_encoder: str,
    invented_path: Path,
    lines_path: Path,
    make_lines: Callable[[int, int], list[dict[str, object]]],
) -> None:
    bundle, labels, page = tmp_path / "bundle", tmp_path / "labels", tmp_path / "page"
    run(
        monkeypatch, "train", "--corpus", lines_path, "--codebook", invented_path, "--encoder", tiny_encoder,
        "--epochs", 6, "--output", bundle,
    )  # fmt: skip
    run(
        monkeypatch, "evaluate", bundle, "--corpus", lines_path, "--output", tmp_path / "evaluation.json", "--resamples", 200
    )
    table = capsys.readouterr().out
    assert "mean F1 of yes_please and no_thanks" in table
    assert "Concern fish, F1" in table

    unseen = make_lines(10, 99)
    kept = ("text", "url", "title", "published", "publisher")
    (tmp_path / "unseen.jsonl").write_text("".join(json.dumps({k: r[k] for k in kept}) + "\n" for r in unseen))
    run(monkeypatch, "label", tmp_path / "unseen.jsonl", "--model", bundle, "--output", labels, "--format", "csv")
    frame = pd.read_parquet(labels / "labels-00000.parquet")
    assert len(frame) == len(unseen)
    assert frame["text"].tolist() == [r["text"] for r in unseen]
    shares = frame[["stance_yes_please", "stance_no_thanks", "stance_silent"]]
    assert shares.sum(axis=1).to_numpy() == pytest.approx(1)
    assert {"concern_fish", "concern_money"} <= set(frame.columns)
    assert not [c for c in frame.columns if "favor" in c or "surveillance" in c]
    assert frame["codebook_version"].str.startswith("river-pact/1@").all()

    run(monkeypatch, "report", labels, "--output", page, "--evaluation", tmp_path / "evaluation.json")
    html = (page / "report.html").read_text(encoding="utf-8")
    assert "The River Pact" in html
    assert "Wants it" in html
    assert "ybercrime" not in html
    statements = pd.read_csv(page / "statements.csv")
    assert statements["id"].tolist() == frame["id"].tolist()
    shares_table = pd.read_parquet(page / "shares.parquet")
    overall = shares_table[(shares_table["dimension"] == "overall") & (shares_table["measure"] == "stance")]
    assert set(overall["label"]) == {"yes_please", "no_thanks", "silent"}
    assert set(overall["method"]) == {"confusion"}, "no audit sample, but an evaluation"


def test_the_demo_leaves_a_bundle_labels_tables_and_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, tiny_encoder: str
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    (own / "news.txt").write_text(
        "Harbour council speaks\n\nThe council rejects the treaty because it would let governments spy on fishermen. "
        "It asked the assembly to vote against the text.\n",
        encoding="utf-8",
    )
    out = tmp_path / "demo"
    for _ in range(2):  # a second run replaces the first
        run(monkeypatch, "demo", "--output", out, "--input", own, "--encoder", tiny_encoder, "--epochs", 1)
    said = capsys.readouterr().out
    for step in ("1/4 Training", "2/4 Measuring", "3/4 Labelling", "4/4 Estimating", "by all gold labels", "Yours:"):
        assert step in said
    frame = pd.concat([pd.read_parquet(path) for path in sorted((out / "labels").glob("labels-*.parquet"))])
    unseen = [json.loads(line) for line in (out / "unseen.jsonl").read_text(encoding="utf-8").splitlines()]
    split = json.loads((out / "bundle" / "split.json").read_text())
    assert len(unseen) == len(split["parts"]["test"])
    assert frame["id"].tolist() == [row["id"] for row in unseen], "the test part, in order"
    assert set(unseen[0]) == {"id", "text", "title", "published", "publisher", "url", "kind"}, "no gold label is handed on"
    evaluation = json.loads((out / "evaluation.json").read_text())
    assert (evaluation["part"], evaluation["statements"]) == ("test", len(unseen))
    figure = next(m for m in evaluation["metrics"] if m["name"] == "stance_macro_f1")
    for who in ("model", "baseline", "annotators", "difference"):
        assert figure[who]["low"] <= figure[who]["value"] <= figure[who]["high"]
    assert (out / "labels" / "labels.csv").is_file()
    audit = [json.loads(line) for line in (out / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(audit) == AUDIT
    statements = pd.read_parquet(out / "report" / "statements.parquet").set_index("id")
    assert statements["gold_stance"].dropna().to_dict() == {line["id"]: line["stance"] for line in audit}
    shares = pd.read_parquet(out / "report" / "shares.parquet")
    overall = shares[
        (shares["dimension"] == "overall") & (shares["measure"] == "stance") & (shares["counting"] == "opinions")
    ]
    assert overall["share"].sum() == pytest.approx(1)
    assert set(overall["method"]) == {"ppi"}
    assert (overall["gold"] == AUDIT).all()
    for name in ("report.html", "evaluation.html", "tables.xlsx", "tables.duckdb", "manifest.json"):
        assert (out / "report" / name).is_file()
    own_statements = pd.read_csv(out / "yours" / "report" / "statements.csv")
    assert own_statements["url"].unique().tolist() == ["file:news.txt"]
    assert "Harbour council speaks" in (out / "yours" / "report" / "report.html").read_text(encoding="utf-8")
