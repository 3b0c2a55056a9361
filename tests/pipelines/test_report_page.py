"""The report page as a file: what it says, what it carries, and what it must not contain."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pandas as pd
import pytest

from annotation.codebook import Codebook, load_codebook
from models.evaluation import Evaluation
from pipelines import page_data
from pipelines.events import Event
from pipelines.monitoring import Comparison
from pipelines.page_data import tally_by
from pipelines.page_shares import Shares
from pipelines.report_charts import middle, trend_chart
from pipelines.report_page import render_page
from pipelines.run_match import CONCERNS, NEW, STANCE

sys.path.insert(0, str(Path(__file__).parent))
from report_fixture import COPIED, ROWS, report_of

pytestmark = pytest.mark.slow  # the charts' runtime takes a second or two to put together

WriteLabels = Callable[..., Path]
HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & <b onclick=x>'\""
AUDITED = [("statement-0", "refuse", ["noise"]), ("statement-3", "refuse", []), ("statement-6", "refuse", ["cost"])]


class Page(HTMLParser):
    """The page's elements with their attributes, its visible text, and the content of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.words: list[str] = []
        self._in = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in ("script", "style") else self._in
        if tag in ("script", "style"):
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = "" if tag == self._in else self._in

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif self._in == "style":
            self.styles[-1] += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u202f", " ").split())

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.scripts[0]))


def page_of(folder: Path, **options: Any) -> Page:
    return Page(render_page(report_of(folder, **options)))


def evaluation_of(**changes: Any) -> Evaluation:
    interval = {"value": 0.612, "low": 0.55, "high": 0.671}
    metric = {
        "name": "stance_accuracy", "label": None, "title": "Stance, accuracy", "definition": "Share of hits.",
        "support": 331, "model": interval, "baseline": None, "annotators": interval | {"value": 0.9}, "difference": None,
    }  # fmt: skip
    value = {
        "part": "test", "model_id": "m", "codebook_id": "bypass/3@0", "statements": 331, "documents": 80,
        "doubly_annotated": 331, "bootstrap": {"resamples": 1000, "seed": 0, "cluster": "document"},
        "metrics": [metric, metric | {"name": "f1", "label": "refuse", "title": "Refuses it, F1"}],
        "reliability": [{"low": 0.4, "high": 0.5, "statements": 40, "confidence": 0.45, "accuracy": interval}],
    }  # fmt: skip
    return msgspec.convert(value | changes, Evaluation)


def test_the_same_report_gives_the_same_page(write_labels: WriteLabels) -> None:
    report = report_of(write_labels(ROWS))
    assert render_page(report) == render_page(report)


def test_nothing_is_loaded_from_anywhere(write_labels: WriteLabels) -> None:
    page = page_of(write_labels(ROWS))
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base")]
    for _, attributes in page.elements:
        assert not {"src", "srcset"} & set(attributes)
    assert all("url(" not in style and "@import" not in style for style in page.styles)


def test_only_the_pages_own_scripts_are_allowed_to_run(write_labels: WriteLabels) -> None:
    page = page_of(write_labels(ROWS))
    [policy] = [a["content"] for tag, a in page.elements if tag == "meta" and a.get("http-equiv")]
    assert policy is not None
    allowed = re.findall(r"'sha256-([^']+)'", policy)
    digests = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in page.scripts[1:]]
    assert allowed == digests
    assert "default-src 'none'" in policy
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]


def test_hostile_texts_are_data_and_no_markup(write_labels: WriteLabels, tmp_path: Path) -> None:
    calm = page_of(write_labels([{"text": "x", "title": "x", "publisher": "x", "holder": "X y"}]))
    (tmp_path / "labels").rename(tmp_path / "calm")
    row = {"text": HOSTILE, "title": HOSTILE, "publisher": HOSTILE, "holder": f"X {HOSTILE}", "url": "javascript:alert(1)"}
    page = page_of(write_labels([row, HOSTILE]), notes=(HOSTILE,), title=HOSTILE)
    assert len(page.scripts) == len(calm.scripts)
    assert page.data["statements"][0][1] == HOSTILE
    assert "</script><script>alert(1)</script><!--" in page.text
    assert not [a for tag, a in page.elements if tag == "b"]
    assert not [a for _, a in page.elements if (a.get("href") or "").startswith("javascript")]


def test_a_statement_is_carried_with_what_belongs_to_it(write_labels: WriteLabels) -> None:
    data = page_of(write_labels(ROWS), audited=AUDITED).data
    rows = data["statements"]
    assert [row[1] for row in rows] == [row["text"] for row in ROWS[:9] if isinstance(row, dict)]
    assert rows[0][2:] == [0, 1, 1, [10, 80, 10], [1], [90], {"g": 1, "k": [1]}]
    assert data["names"][0] in ("River Club", "RIVER CLUB")
    assert data["documents"][rows[0][0]] == [
        "Noise night",
        "Valley Herald",
        None,
        "2024-03-01",
        "https://example.org/a",
        None,
        None,
    ]
    first, *copies = rows[5:8]
    assert (first[8]["n"], first[8]["r"], first[8]["u"]) == (3, 3, ["Hill Post", "Valley Herald", "Radio Ford"])
    assert [copy[8]["o"] for copy in copies] == [5, 5]
    assert rows[8][4] == -1
    assert data["cut"] is False


def test_a_copy_that_was_published_first_stands_for_the_others_in_the_order_of_the_labels(write_labels: WriteLabels) -> None:
    late = {"text": COPIED, "document_id": "late", "published": "2025-02-02"}
    early = {"text": COPIED, "document_id": "early", "published": "2025-01-01"}
    data = page_of(write_labels([late, {"text": "Between."}, early])).data
    assert [row[1] for row in data["statements"]] == [COPIED, "Between.", COPIED]
    assert data["statements"][0][8] == {"o": 2}
    assert data["statements"][2][8]["n"] == 2


def test_every_share_stands_with_interval_and_uncorrected_count(write_labels: WriteLabels) -> None:
    page = page_of(write_labels(ROWS))
    # Opinions: 3 of 6 refuse, 50 %; made into an estimate 0.9 * 0.5 + 0.1 * 0.5 within a tenth. Statements: 5 of 8.
    assert "Refuses it 50 % 40 to 60 % 60 % 50 to 70 % 3 of 6 , 50 % 5 of 8 , 62 %" in page.text.replace("%,", "% ,")


def test_the_counts_are_those_that_pandas_makes(write_labels: WriteLabels, tmp_path: Path) -> None:
    table = tmp_path / "columns.csv"
    table.write_text("id,region\n" + "".join(f"statement-{i},{'ns'[i % 2]}\n" for i in range(9)), encoding="utf-8")
    report = report_of(write_labels(ROWS), columns=table)
    shares = Shares(report)
    seen = 0
    for frame in (report.shares.shares, report.shares.trend, report.shares.concerns):
        for row in frame.to_dict("records"):
            given = row["given"] if isinstance(row["given"], str) else None
            cell = shares._cell(row["dimension"], row["group"], row["measure"], row["label"], given, row["counting"])
            plain = None if pd.isna(row["uncorrected"]) else row["uncorrected"]
            assert cell.plain == (None if plain is None else pytest.approx(plain)), row
            seen += cell.n > 0
    assert seen > 100


def test_opinions_and_statements_add_up(write_labels: WriteLabels, bypass: Codebook) -> None:
    frame = report_of(write_labels(ROWS)).coverage.frame
    counts = tally_by(frame[frame["first"]], None, bypass)
    assert counts["", "*all"] == (7, 9)
    for way in (0, 1):
        assert counts["", "*decided"][way] + counts["", "*undecided"][way] == counts["", "*all"][way]
        assert sum(counts.get(("", s), (0, 0))[way] for s in bypass.stance_ids) == counts["", "*decided"][way]
        assert counts["", "*position"][way] + counts["", "silent"][way] == counts["", "*decided"][way]
        assert counts["", "refuse:cost"][way] <= counts["", "concern:cost"][way]


def test_without_copies_there_is_one_counting_and_the_page_says_so(write_labels: WriteLabels) -> None:
    page = page_of(write_labels([{"text": "One."}, {"text": "Two."}]))
    assert page.data["countings"] == ["opinions"]
    assert "opinions and statements are the same here" in page.text
    assert not [a for tag, a in page.elements if tag == "input" and a.get("name") == "counting"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "These labels hold no statement that could be read"),
        (["text is empty"], "1 text is empty"),
        ([{}], "None of these statements has a date that could be read"),
        ([{}], "No statement names a holder"),
        ([{}], "None of these statements raises a concern"),
        ([{}], "No audit sample"),
        ([{}], "No evaluation of the model was given"),
        ([{"published": "2024-05-01"}], "The known dates fall into one period"),
        ([{"holder": "Anna Bell"}], "No holder’s dated statements take first one side and then another"),
        ([{"published": "2024-05-01"}, {"text": "b"}], "1 statement has no date"),
        ([{"abstained": True, "stance": None}], "It left 1 statement undecided"),
    ],
)
def test_what_is_missing_is_said(write_labels: WriteLabels, rows: list[Any], said: str) -> None:
    assert said in page_of(write_labels(rows), estimated=False).text


def test_where_there_is_no_estimate_the_reason_stands_in_its_place(write_labels: WriteLabels) -> None:
    page = page_of(write_labels(ROWS), estimated=False, reason="too few gold labels")
    assert "No share could be corrected" in page.text
    assert "Refuses it too few gold labels" in page.text
    assert "An estimated" not in page.text


def test_evaluation_agreement_and_audit_stand_in_the_section_on_quality(write_labels: WriteLabels, tmp_path: Path) -> None:
    agreement = {"coders": 3, "statements": 120, "alpha": 0.71, "low": 0.6, "high": 0.8}
    page = page_of(
        write_labels(ROWS), evaluation=evaluation_of(), agreement=agreement, audited=AUDITED, quality="evaluation.html"
    )
    assert "Stance, accuracy Share of hits. 0.61 0.55 to 0.67 – 0.90 0.55 to 0.67 331" in page.text
    assert "α = 0.71 0.60 to 0.80 3 coders, 120 statements" in page.text
    assert ("a", {"href": "evaluation.html"}) in page.elements
    assert "reliability" in page.data["charts"]
    # Audited: two decided as gold has it (the road, and the copied text), the one on Étienne otherwise.
    assert "Of these decided as gold has it 2 of 3 1 otherwise" in page.text
    (tmp_path / "labels").rename(tmp_path / "first")
    alone = page_of(write_labels(ROWS), evaluation=evaluation_of())
    assert "90 % 55 to 67 % same stance in a second reading of the test part" in alone.text


def test_a_comparison_stands_with_what_was_withdrawn(write_labels: WriteLabels) -> None:
    comparison = SimpleNamespace(
        table=pd.DataFrame(
            {
                "measure": ["stance", "concern", "concern_given_stance", "concern_given_stance"],
                "label": ["refuse", "cost", "cost", "noise"],
                "given": [None, None, "refuse", "refuse"],
                "old_share": [0.2, 0.1, 0.2, None],
                "old_low": [0.1, 0.05, 0.1, None],
                "old_high": [0.3, 0.2, 0.3, None],
                "new_share": [0.32, None, 0.32, None],
                "new_low": [0.25, None, 0.25, None],
                "new_high": [0.4, None, 0.4, None],
                "difference": [0.12, None, 0.12, None],
                "low": [-0.01, None, -0.01, None],
                "high": [0.24, None, 0.24, None],
                "p_holm": [0.06, None, 0.06, None],
                "reason": [None, "the coverage reads otherwise", None, "too rare"],
            }
        ),
        drift=pd.DataFrame({"measure": ["length"], "value": [0.5], "verdict": ["drift"]}),
        withdrawn=("Shares of stances: the coverage reads otherwise",),
        notes=("12 statements are new.",),
        counts={"statements": {"old": 9, "gone": 2}},
        # New are the first and the copied text in three outlets; the fourth has other labels, and so has a mere copy.
        marks=pd.Series([NEW, 0, 0, STANCE | CONCERNS, 0, NEW, STANCE, 0, 0]),
    )
    page = page_of(write_labels(ROWS), comparison=comparison)
    others = "; of the others the stance of 1 and the concerns of 1 were decided otherwise."
    assert f"Of 7 opinions 2 are new{others}" in page.text
    assert f"Of 9 statements 4 are new{others}" in page.text
    assert "2 statements of the earlier 9 are gone." in page.text
    assert "Concerns by stance: 1 share that both runs have" in page.text
    assert "Withdrawn: Shares of stances: the coverage reads otherwise" in page.text
    assert "Refuses it 20 (10 to 30) 32 (25 to 40) +12 (-1 to +24) 0.060" in page.text
    assert "What it costs 10 (5 to 20) – – – the coverage reads otherwise" in page.text
    assert "length 0.500 drift" in page.text


def test_without_any_share_a_comparison_says_why_once(write_labels: WriteLabels) -> None:
    shares = ["old_share", "new_share", "difference", "given"]
    table = pd.DataFrame({"label": ["refuse", "cost"], "reason": ["no audit sample"] * 2} | dict.fromkeys(shares))
    comparison = Comparison(table, pd.DataFrame(), {}, (), ())
    page = page_of(write_labels(ROWS), comparison=comparison)
    assert "No share could be compared: no audit sample." in page.text
    assert page.text.count("no audit sample") == 1


def test_a_column_of_the_users_is_shown_whatever_it_is_called(write_labels: WriteLabels, tmp_path: Path) -> None:
    table = tmp_path / "columns.csv"
    table.write_text("id,marks\nstatement-0,top\nstatement-2,poor\n", encoding="utf-8")
    comparison = Comparison(
        pd.DataFrame(columns=["given", "difference", "old_share", "new_share", "reason"]), pd.DataFrame(),
        {"statements": {"gone": 0, "old": 5}}, (), (), marks=pd.Series([NEW, 0, 0, 0, 0, 0, 0, 0, 0]),
    )  # fmt: skip
    data = page_of(write_labels(ROWS), columns=table, comparison=comparison).data
    assert (data["columns"], sorted(data["values"][0])) == (["marks"], ["poor", "top"])
    assert [row[-1].get("e") for row in data["statements"] if isinstance(row[-1], dict) and "e" in row[-1]] == [NEW]


def test_the_methods_are_written_from_the_manifest(write_labels: WriteLabels) -> None:
    labels = write_labels(
        ROWS, created="2026-11-20T10:00:00Z", treaty_stance="0.1.0", options={"precision": "int8"},
        inputs=[{"path": "far/rows.jsonl", "sha256": "ab" * 32}],
    )  # fmt: skip
    text = page_of(labels, audited=AUDITED).text
    for said in (
        "Input of the label job: rows.jsonl (SHA-256 abababababababab…)",
        "labelled the statements on 2026-11-20 with treaty-stance 0.1.0",
        "codebook bypass, version 3",
        "precision int8",
        "3 statements of 8 that could be drawn have gold labels (draw 1, drawn on 2024-07-01)",
        "PPI++",
        "9 statements are 7 opinions",
    ):
        assert said in text


def test_a_label_of_another_codebook_is_nowhere_on_the_page(write_labels: WriteLabels) -> None:
    page = page_of(write_labels(ROWS))
    visible = page.text + msgspec.json.encode(page.data).decode()
    shipped = load_codebook()
    for name in [*(s.name for s in shipped.stances), *(c.name for c in shipped.concerns)]:
        assert name not in visible
    assert "What it costs" in visible


def test_more_statements_than_the_page_carries_are_cut_with_a_note_and_a_link(
    write_labels: WriteLabels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_data, "MOST_STATEMENTS", 6)
    page = page_of(write_labels(ROWS))
    # The opinion in three outlets would make eight, and no opinion is torn apart.
    assert len(page.data["statements"]) == 5
    assert "this page carries the first 5 of 7 opinions" in page.text
    assert ("a", {"href": "statements.csv"}) in page.elements


def test_the_sentences_around_go_before_any_statement_does(write_labels: WriteLabels) -> None:
    report = report_of(write_labels([{"text": f"{i:04} " + "word " * 40} for i in range(60)]))
    report.coverage.frame["before"] = "before " * 40
    whole = page_data.carry(report, budget=10**6)
    assert whole.contexts
    assert whole.data["statements"][0][8]["b"].startswith("before")
    short = page_data.carry(report, budget=24_000)
    assert not short.contexts
    assert short.statements == 60
    least = page_data.carry(report, budget=5_000)
    assert 1 < least.statements < 60
    assert least.data["cut"]


def test_ten_thousand_statements_of_usual_length_are_carried_whole_in_less_than_five_megabytes(
    write_labels: WriteLabels,
) -> None:
    words = "the road to the valley is said to be a gain for towns and a loss for those who fish there"
    rows = [
        {
            "text": f"{i:05} {words[i % 40 :]} {words}",
            "title": f"What the council of the valley said on day {i // 5}",
            "url": f"https://example.org/2024/05/{i // 5}/road",
            "publisher": f"Herald {i % 50}", "document_id": f"document-{i // 5:05}", "holder": f"Person {i % 900}",
            "published": f"2024-{1 + i // 5 % 12:02}-01", "concerns": ["noise"] if i % 3 else [],
        }
        for i in range(10_000)
    ]  # fmt: skip
    html = render_page(report_of(write_labels(rows)))
    assert sum(len(str(row["text"])) for row in rows) / 10_000 > 150
    assert len(html.encode("utf-8")) < 5_000_000
    page = Page(html)
    assert len(page.data["statements"]) == 10_000
    assert "this page carries the first" not in page.text


def test_long_statements_in_another_script_are_cut_below_five_megabytes(write_labels: WriteLabels) -> None:
    rows = [{"text": f"{i:05} " + "Люди, дорога и шум. " * 20, "holder": f"Лицо {i}"} for i in range(9_000)]
    html = render_page(report_of(write_labels(rows)))
    assert 4_000_000 < len(html.encode("utf-8")) < 5_000_000
    assert "To stay quick, this page carries the first" in Page(html).text


@pytest.mark.parametrize(
    ("period", "day"),
    [("2024", "2024-07-01"), ("2024-08", "2024-08-15"), ("2024-Q3", "2024-08-15"), ("2024-08-08", "2024-08-08")],
)
def test_a_period_is_drawn_in_its_middle(period: str, day: str) -> None:
    assert middle(period) == day


def test_the_course_over_time_compiles_and_leaves_out_events_far_from_it() -> None:
    import vl_convert

    events = (Event(date="1999-01-01", name="Long before"), Event(date="2024-06", name="Within"))
    chart = trend_chart(events, ["2024-05", "2024-Q3"])
    assert [e["number"] for e in chart["datasets"]["events"]] == ["2"]
    assert vl_convert.vegalite_to_vega(chart)["marks"]
    assert vl_convert.vegalite_to_vega(trend_chart((), []))["marks"]
