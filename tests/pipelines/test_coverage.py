"""Coverage: what is joined to labels, and what stands for what."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation.codebook import Codebook
from corpus.errors import TreatyStanceError, UsageError
from corpus.identity import document_id
from corpus.records import Document
from corpus.segment import segment
from corpus.sources import load_project
from corpus.store import Location, Outcome, Store
from corpus.stories import signature
from pipelines.coverage import is_description, read_coverage
from pipelines.labels import read_labels
from pipelines.workspace import init_workspace

WriteLabels = Callable[..., Path]
WORDS = "The accord will bring noise to every village along the road, and no mayor was asked, said Ann Berg of Upperton. "


def column(frame: Any, name: str) -> list[Any]:
    return [None if isinstance(v, float) and math.isnan(v) else v for v in frame[name]]


def test_abstained_rows_are_kept_and_invalid_ones_are_not(write_labels: WriteLabels) -> None:
    rows = [{}, {"abstained": True, "stance": None}, "text is empty"]
    frame = read_coverage(read_labels(write_labels(rows))).frame
    assert list(frame["id"]) == ["statement-0", "statement-1"]
    assert list(frame.index) == [0, 1]
    assert column(frame, "stance") == ["welcome", None]


def test_dates_give_months_and_quarters_as_far_as_they_are_known(write_labels: WriteLabels) -> None:
    dates = ["2024-08-09T10:00:00Z", "2024-12", "2024", "soon", None, "1066-10-14"]
    frame = read_coverage(read_labels(write_labels([{"published": d} for d in dates]))).frame
    assert column(frame, "day") == ["2024-08-09", "2024-12", "2024", None, None, None]
    assert column(frame, "month") == ["2024-08", "2024-12", None, None, None, None]
    assert column(frame, "quarter") == ["2024-Q3", "2024-Q4", None, None, None, None]


def test_holders_are_resolved_by_name_and_descriptions_name_nobody(write_labels: WriteLabels, tmp_path: Path) -> None:
    aliases = tmp_path / "holders.yaml"
    aliases.write_text(
        "holders:\n  - {name: Upperton, type: town, country: GB, aliases: [the town of Upperton]}\n"
        "  - {name: Anglers' League, type: elsewhere, aliases: []}\n"
    )
    given = [
        ("The Town of Upperton", "club"), ("anglers' league", "club"), ("River Club", "club"), ("the RIVER CLUB", None),
        ("River Club", None), ("the author", "club"), (None, None),
    ]  # fmt: skip
    rows = [{"holder": name, "holder_type": kind} for name, kind in given]
    frame = read_coverage(read_labels(write_labels(rows)), aliases=[aliases]).frame
    assert column(frame, "resolved") == ["Upperton", "Anglers' League", *["River Club"] * 3, None, None]
    assert column(frame, "resolved_type") == ["town", "club", "club", None, None, "club", None], (
        "an unknown type is not taken"
    )
    assert column(frame, "country") == ["GB", *[None] * 6]
    assert column(frame, "resolution") == ["alias", "alias", *["as written"] * 3, "description", None]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("the author", True), ("The author", True), ("several deputies", True), ("Several deputies", True),
        ("the deputy from Vinh", False), ("Human Rights Watch", False), ("eBay", False), ("中国", False),
        ("the Chair", True), ("The Committee", True), ("the Netherlands", False), ("Chair", False), ("An EU delegate", True),
    ],
)  # fmt: skip
def test_what_has_no_capital_is_a_description(name: str, expected: bool) -> None:
    assert is_description(name) is expected


def test_copies_count_once_with_their_outlets(write_labels: WriteLabels) -> None:
    rows = [
        {"text": WORDS, "publisher": "Gazette", "published": "2025-02-02"},
        {"text": WORDS, "publisher": "Herald", "published": "2025-01-01"},
        {"text": WORDS, "url": "https://www.wire.test/1"},
        {"text": "Short."},
        {"text": "Short."},
    ]
    frame = read_coverage(read_labels(write_labels(rows))).frame
    assert column(frame, "opinion") == [0, 0, 0, 1, 2]
    assert column(frame, "first") == [False, True, False, True, True]
    assert column(frame, "copies") == [3, 3, 3, 1, 1]
    assert column(frame, "reach") == [3, 3, 3, 1, 1]
    assert frame["outlets"][0] == ["Gazette", "Herald", "wire.test"]


def test_columns_are_joined_and_those_of_documents_fill_what_is_not_known(write_labels: WriteLabels, tmp_path: Path) -> None:
    table = tmp_path / "more.csv"
    table.write_text("id,region,kind,text\nstatement-0,North,news,x\nstatement-2,South,report,y\n")
    coverage = read_coverage(read_labels(write_labels([{}, {}, {}])), columns=table)
    assert coverage.columns == ("region",)
    assert column(coverage.frame, "region") == ["North", None, "South"]
    assert column(coverage.frame, "kind") == ["news", None, "report"]
    assert column(coverage.documents, "kind") == ["news", None, "report"]
    table.write_text("id,reach\nstatement-0,3\n")
    with pytest.raises(UsageError, match="column 'reach' has a name that the tables use themselves; rename it"):
        read_coverage(read_labels(tmp_path / "labels"), columns=table)


def test_a_workspace_tells_stories_kinds_contexts_and_other_addresses(
    write_labels: WriteLabels, tmp_path: Path, bypass: Codebook
) -> None:
    init_workspace(tmp_path / "ws")
    project = load_project(tmp_path / "ws")
    body = " ".join(f"Village {n} lies by the road and fears {n} lorries a day." for n in range(12))
    documents = []
    with Store.open(project.store_url) as store:
        for host, tail in (("one", ""), ("two", " Our own reporter was there on Monday.")):
            url, text = f"https://{host}.test/a", f"{WORDS}{body}{tail}"
            made = Document(id=document_id(url, text), url=url, text=text, kind="news", language="en", source="feed")
            for at in (url, f"https://www.mirror-{host}.test/b", f"{url}?page=1"):
                store.put_document(
                    made,
                    segment(made).statements,
                    location=Location(
                        document=made.id, url=at, source="s", snapshot=None, first_seen="2026", last_seen="2026"
                    ),
                    outcome=Outcome(run="r", source="s", url=at, outcome="new"),
                    signature=signature(text),
                )
            documents.append(made)
        statements = [next(iter(store.statements(d.id))) for d in documents]
        following = [list(store.statements(d.id))[1] for d in documents]
    rows = [
        {"id": s.id, "document_id": s.document, "text": s.text, "url": d.url}
        for some in (statements, following)
        for s, d in zip(some, documents, strict=True)
    ]
    coverage = read_coverage(read_labels(write_labels([*rows, {}])), workspace=project)
    frame = coverage.frame
    assert column(frame, "opinion") == [0, 0, 1, 1, 2]
    assert len(set(frame["story"][:4])) == 1
    assert column(frame, "story")[4] is None
    assert column(frame, "cluster") == [0, 0, 0, 0, 1]
    assert column(frame, "kind") == ["news"] * 4 + [None]
    assert column(frame, "before")[:2] == [None, None], "it is the first sentence"
    assert column(frame, "before")[2] == statements[0].text
    assert column(frame, "copies")[0] == 4, "two documents, each at one further address"
    assert frame["outlets"][0] == ["one.test", "mirror-one.test", "two.test", "mirror-two.test"]
    assert column(coverage.documents, "source") == ["feed", "feed", None]


def test_runs_of_a_workspace_are_read_as_one_and_the_latest_row_of_a_statement_counts(
    write_labels: WriteLabels, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    first: list[Any] = [{"stance": "refuse"}, {"stance": "refuse"}, "text is empty"]
    write_labels(first, format=1, reasons={"text is empty": 1}).rename(runs / "0001")
    write_labels([{}, {"id": "new"}], format=1).rename(runs / "0002")
    labels = read_labels(runs)
    kept = labels.frame[labels.frame["status"] == "ok"]
    assert dict(zip(kept["id"], kept["stance"], strict=True)) == {
        "statement-1": "refuse", "statement-0": "welcome", "new": "welcome"
    }  # fmt: skip
    assert labels.manifest["reasons"] == {"text is empty": 1}
    (runs / "0003").mkdir()
    assert len(read_labels(runs).frame) == len(labels.frame), "a run without a manifest is not finished"
    changed = json.loads((runs / "0001" / "manifest.json").read_text()) | {"codebook": {}}
    (runs / "0001" / "manifest.json").write_text(json.dumps(changed))
    with pytest.raises(TreatyStanceError, match="0001"):
        read_labels(runs)
