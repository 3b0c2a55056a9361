"""The report page as a file: what it says, what it carries, and what it must not contain."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from annotation.codebook import Codebook, load_codebook, parse_codebook
from corpus.errors import RecordError, UsageError
from models.passage import Judgement, Passage
from pipelines.charts import concern_chart, holder_type_chart, stance_colours, time_chart
from pipelines.label import label
from pipelines.report import read_evaluation, render_page, write_report
from pipelines.tables import read_labels, stance_by_holder_type

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

WriteLabels = Callable[..., Path]
MODEL = "invented@0123456789abcdef"
HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & <b onclick=x>'\""


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
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> dict[str, Any]:
        return dict(json.loads(self.scripts[0]))


def page_of(folder: Path, **options: Any) -> Page:
    return Page(render_page(read_labels(folder), **({"evaluation": None, "generated": "2026-11-22"} | options)))


def write_evaluation(path: Path, **changes: Any) -> Path:
    interval = {"value": 0.612, "low": 0.55, "high": 0.671}
    metric = {
        "name": "stance_macro_f1", "label": None, "title": "Stance, macro-F1", "definition": "A mean of F1.",
        "support": 331, "model": interval, "baseline": None, "annotators": None, "difference": None,
    }  # fmt: skip
    value = {
        "format": 1, "part": "test", "model_id": MODEL, "codebook_id": "bypass/3@0", "statements": 331, "documents": 80,
        "doubly_annotated": 331, "bootstrap": {"resamples": 1000, "seed": 0, "cluster": "document"},
        "metrics": [metric, metric | {"name": "f1", "label": "refuse", "title": "Refuses it, F1"}],
    }  # fmt: skip
    path.write_text(json.dumps(value | changes), encoding="utf-8")
    return path


def test_the_report_is_four_tables_and_one_page(write_labels: WriteLabels, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "out"
    written = write_report(read_labels(write_labels([{}])), output, generated="2026-11-22")
    assert sorted(output.iterdir()) == sorted(written)
    assert [path.suffix for path in written] == [".csv"] * 4 + [".html"]


def test_the_same_labels_give_the_same_page(write_labels: WriteLabels) -> None:
    labels = read_labels(write_labels([{"holder": "Anna", "concerns": ["cost", "noise"], "published": "2024-01-01"}]))
    first, second = (render_page(labels, evaluation=None, generated="2026-11-22") for _ in range(2))
    assert first == second


def test_nothing_is_loaded_from_anywhere(write_labels: WriteLabels) -> None:
    page = page_of(write_labels([{"url": "https://example.org/a", "title": "A title"}]))
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base")]
    for _, attributes in page.elements:
        assert not {"src", "srcset", "style"} & set(attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert all("url(" not in style and "@import" not in style for style in page.styles)


def test_only_the_pages_own_scripts_are_allowed_to_run(write_labels: WriteLabels) -> None:
    page = page_of(write_labels([{"text": HOSTILE}]))
    policy = next(a["content"] or "" for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    kinds = [attributes.get("type") for tag, attributes in page.elements if tag == "script"]
    assert kinds == ["application/json", None, None]
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]]
    assert re.findall(r"'sha256-([^']+)'", policy) == hashes
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy


def test_hostile_texts_are_data_and_no_markup(write_labels: WriteLabels) -> None:
    row = dict.fromkeys(("text", "title", "publisher", "holder", "url"), HOSTILE)
    page = page_of(write_labels([row, HOSTILE], clutter={HOSTILE: 3}, skipped=[HOSTILE]), title=HOSTILE)
    assert len(page.scripts) == 3
    assert page.data["statements"][0][1] == HOSTILE
    assert page.data["documents"] == [[HOSTILE, HOSTILE, None, None, HOSTILE]]
    assert page.data["names"] == [[HOSTILE, 0]]
    assert not [tag for tag, _ in page.elements if tag == "b"]
    assert "<" not in page.scripts[0]
    assert "\u2028" not in page.scripts[0]


def test_only_web_addresses_become_links(write_labels: WriteLabels) -> None:
    linked = ["https://example.org/a?b=c", "HTTP://example.org"]
    shown = [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)//https://example.org", " https://example.org", "data:text/html,x",
        "file:notes.txt", "//example.org",
    ]  # fmt: skip
    data = page_of(write_labels([{"url": url} for url in linked + shown])).data
    assert [row[3:] for row in data["documents"]] == [[url, None] for url in linked] + [[None, url] for url in shown]


def test_the_page_carries_every_decided_statement_with_what_belongs_to_it(write_labels: WriteLabels) -> None:
    document = {"title": "T", "publisher": "P", "published": "2024-08-09T10:00:00Z", "url": "https://example.org/"}
    rows = [
        {"text": "One", "holder": " Anna", "holder_type": "club", "stance": "refuse", "concerns": ["noise"], **document},
        {"text": "Two", "holder": "ANNA", "confidence": 0.98765, **document},
        {"text": "Three", "abstained": True},
        "text is empty",
    ]
    data = page_of(write_labels(rows)).data
    assert data["documents"] == [["T", "P", "2024-08-09", "https://example.org/", None]]
    assert data["names"] == [["Anna", 0], ["ANNA", 0]]
    assert data["statements"] == [[0, "One", 0, 1, 1, 0.8, [1]], [0, "Two", 1, 3, 0, 0.988, []]]
    assert data["positions"] == [["Anna", 1, 2, [1, 1, 0], 2, "2024-08-09", "2024-08-09"]]
    assert data["types"] == ["Town", "Club", "No one", "Not known"]


def test_a_holder_is_shown_as_written_with_the_fuller_name_and_leads_to_its_position(write_labels: WriteLabels) -> None:
    rows = [
        {"holder": "Anna Poe", "holder_name": "Anna Poe"},
        {"holder": "she", "holder_name": "Anna Poe"},
        {"holder": "the River Club", "holder_name": "River Club"},
        {"holder": "she", "holder_name": "she"},
    ]
    data = page_of(write_labels(rows)).data
    assert [row[0] for row in data["positions"]] == ["Anna Poe", "River Club", "she"]
    assert data["names"] == [["Anna Poe", 0], ["she (Anna Poe)", 0], ["the River Club", 1], ["she", 2]]
    assert [row[2] for row in data["statements"]] == [0, 1, 2, 3]


def test_the_page_says_what_it_is_and_what_was_left_out(write_labels: WriteLabels) -> None:
    rows = [{}, {"abstained": True}, "text is empty", "text is empty", "text is missing"]
    page = page_of(write_labels(rows, clutter={"related_articles": 77, "byline": 1200}, skipped=["a.zip"]))
    assert "Bypass Road Accord" in page.text
    assert "Read the figures as counts." in page.text
    assert "None is corrected into an estimate" in page.text
    assert "Statements 1 Left undecided 1 Invalid rows 3 Clutter set aside 1,277" in page.text
    assert f"Model {MODEL} Codebook bypass, version 3 Made on 2026-11-22" in page.text
    assert "by reason. 2 text is empty 1 text is missing" in page.text
    assert "77 related articles" in page.text
    assert "The model left 1 statement undecided." in page.text
    assert "1 file was passed over" in page.text
    assert "5 rows were given to the model" in page.text


def test_like_reasons_stand_together_as_the_label_job_put_them(write_labels: WriteLabels) -> None:
    rows = [{}, "text has a fault at position 7", "text has a fault at position 9"]
    page = page_of(write_labels(rows, reasons={"text has a fault at position …": 2}))
    assert "by reason. 2 text has a fault at position …" in page.text


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["text is empty"], "No statement in these labels carries a decision"),
        ([{"abstained": True}], "No statement in these labels carries a decision"),
        ([], "0 rows were given to the model"),
        ([{}], "What 1 statement in 1 document say"),
        ([{}], "These rows name no holders"),
        ([{}], "These rows do not say what kind of holder speaks"),
        ([{}], "None of these statements has a date of publication"),
        ([{}], "None of these statements raises a concern"),
        ([{"published": "2024-08-09"}, {"published": "2024-08-01"}], "fall into one period"),
        ([{"published": f"2024-0{m}"} for m in (1, 2)] + [{"published": "x"}], "1 statement has no date that can be read"),
        ([{"published": f"2024-0{m}"} for m in (1, 2)] + [{"published": "2023"}], "Of 1 statement the year alone is known"),
        ([{"holder": "Anna"}, {}], "1 statement names no holder and is in no row"),
    ],
)
def test_what_is_missing_is_said(write_labels: WriteLabels, rows: list[Any], said: str) -> None:
    assert said in page_of(write_labels(rows)).text


def test_the_metrics_stand_beside_the_labels_with_their_intervals(write_labels: WriteLabels, tmp_path: Path) -> None:
    labels = read_labels(write_labels([{}]))
    evaluation = read_evaluation(write_evaluation(tmp_path / "evaluation.json"), model_id=MODEL)
    page = Page(render_page(labels, evaluation=evaluation, generated="2026-11-22"))
    assert "Stance, macro-F1 A mean of F1. 0.61 0.55 to 0.67 – – 331" in page.text
    assert page.text.index("Label by label") < page.text.index("Refuses it, F1")
    assert "Measured on 331 statements of 80 documents, the part “test”." in page.text


def test_without_metrics_the_page_has_no_section_for_them(write_labels: WriteLabels) -> None:
    assert "How good the labels are" not in page_of(write_labels([{}])).text


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"format": 3}, "format is 3, this release reads formats 1 and 2"),
        ({"model_id": "other"}, "these are the metrics of model other, but the labels are those of invented@"),
        ({"metrics": "none"}, "expected the metrics of an evaluation, but .*metrics"),
    ],
)
def test_metrics_that_do_not_belong_here_are_refused_before_anything_is_written(
    write_labels: WriteLabels, tmp_path: Path, changes: dict[str, Any], fault: str
) -> None:
    evaluation = write_evaluation(tmp_path / "evaluation.json", **changes)
    with pytest.raises(RecordError, match=fault):
        write_report(read_labels(write_labels([{}])), tmp_path / "out", evaluation=evaluation, generated="2026-11-22")
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused(write_labels: WriteLabels, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="out: expected a folder, found a file"):
        write_report(read_labels(write_labels([{}])), tmp_path / "out", generated="2026-11-22")
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"


def test_long_corpora_are_cut_with_a_note_and_the_page_stays_under_five_megabytes(write_labels: WriteLabels) -> None:
    texts = [f"{i:05} " + "Люди, дорога и шум. " * 9 for i in range(10_001)]
    rows = [{"text": t, "title": t[:60], "url": f"https://example.org/{i}", "holder": t[:20]} for i, t in enumerate(texts)]
    html = render_page(read_labels(write_labels(rows)), evaluation=None, generated="2026-11-22")
    page = Page(html)
    shown = len(page.data["statements"])
    assert len(html.encode("utf-8")) < 5_000_000
    assert 1_000 < shown < 10_000
    assert f"carries the first {shown:,} of 10,001 statements" in page.text
    assert "labels-*.parquet" in page.text
    assert "lists the first 2,000 of 10,001 holders; all are in positions.csv" in page.text
    assert max(statement[0] for statement in page.data["statements"]) == len(page.data["documents"]) - 1


def test_ten_thousand_statements_of_usual_length_are_carried_whole(write_labels: WriteLabels) -> None:
    rows = [
        {
            "text": f"{i:05} " + "x" * 180,
            "title": f"Title {i // 4}",
            "url": f"https://example.org/news/{i // 4}",
            "holder": "Anna",
        }
        for i in range(10_000)
    ]
    html = render_page(read_labels(write_labels(rows)), evaluation=None, generated="2026-11-22")
    assert len(html.encode("utf-8")) < 5_000_000
    assert len(Page(html).data["statements"]) == 10_000


def test_a_chart_draws_the_counts_of_its_table(write_labels: WriteLabels, bypass: Codebook) -> None:
    labels = read_labels(
        write_labels(
            [
                {"stance": "refuse", "holder_type": "club", "concerns": ["noise"], "published": "2024-01-05"},
                {"stance": "silent", "holder_type": "club", "concerns": ["noise", "cost"], "published": "2024-03-05"},
                {"stance": "welcome"},
            ]
        )
    )

    def values(chart: dict[str, Any] | None) -> dict[tuple[str, str], tuple[int, float]]:
        assert chart is not None
        [rows] = chart["datasets"].values()
        return {(row["bar"], row["stance"]): (row["count"], row["share"]) for row in rows}

    types = values(holder_type_chart(labels))
    assert {bar for bar, _ in types} == {"All statements", "Club", "Not known"}
    assert types["Club", "Refuses it"] == (1, 0.5)
    assert types["All statements", "Welcomes it"] == (1, pytest.approx(1 / 3))
    assert sum(n for (bar, _), (n, _) in types.items() if bar != "All statements") == 3
    assert sum(stance_by_holder_type(labels)["n"]) == 3

    concerns = values(concern_chart(labels))
    assert list(dict.fromkeys(bar for bar, _ in concerns)) == ["Noise", "What it costs"]
    assert concerns["Noise", "Says nothing"] == (1, 0.5)

    months = values(time_chart(labels))
    assert {bar for bar, _ in months} == {"2024-01", "2024-03"}
    assert months["2024-01", "Refuses it"] == (1, 1.0)
    assert {stance for _, stance in months} == {stance.name for stance in bypass.stances}


@pytest.mark.parametrize(
    ("dates", "bars"),
    [
        (["2024-01-01", "2024-02-01", "2023"], ["2024-01", "2024-02"]),
        (["2024-01-01", "2023", "2022", "2022"], ["2022", "2023", "2024"]),
        (["2010-01-01", "2020-01-01", "2020-05-01"], ["2010", "2020"]),
        (["2010-02-01", "2020-01-01"], ["2010-02", "2020-01"]),
    ],
)
def test_time_runs_in_months_or_in_years_where_months_are_many_or_mostly_unknown(
    write_labels: WriteLabels, dates: list[str], bars: list[str]
) -> None:
    chart = time_chart(read_labels(write_labels([{"published": date} for date in dates])))
    assert chart is not None
    [values] = chart["datasets"].values()
    assert sorted({value["bar"] for value in values}) == bars
    assert sum(value["count"] for value in values) == len([d for d in dates if len(d) > 4 or len(bars[0]) == 4])


def test_a_colour_follows_from_the_polarity_and_not_from_the_name(bypass: Codebook) -> None:
    shipped = {c.name: c for c in stance_colours(load_codebook())}
    invented = {c.id: c for c in stance_colours(bypass)}
    for one, other in (("In favour", "welcome"), ("Against", "refuse"), ("No position", "silent")):
        assert (shipped[one].light, shipped[one].dark) == (invented[other].light, invented[other].dark)


def test_two_stances_of_one_polarity_have_two_colours(bypass_text: str) -> None:
    codebook = parse_codebook(bypass_text.replace("polarity: neutral", "polarity: negative"), where="bypass.yaml")
    drawn = stance_colours(codebook)
    assert [colour.id for colour in drawn] == ["welcome", "refuse", "silent"]
    assert len({colour.light for colour in drawn}) == len({colour.dark for colour in drawn}) == 3


# Machado, Oliveira and Fernandes (2009), severity 1.0: linear RGB as red-blind, green-blind and blue-blind readers see it.
MACHADO = {
    "nobody": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("reader", list(MACHADO))
def test_every_two_stances_can_be_told_apart_by_colour_blind_readers(theme: str, reader: str) -> None:
    def lab(colour: str) -> np.ndarray[Any, Any]:
        srgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        seen = np.clip(MACHADO[reader] @ linear, 0, 1)
        matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
        ratio = np.array(matrix) @ seen / np.array([0.95047, 1.0, 1.08883])
        f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    colours = [lab(getattr(colour, theme)) for colour in stance_colours(load_codebook())]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(colours) for b in colours[i + 1 :]]
    assert min(distances) > 20  # CIE 1976; about 2.3 is just noticeable


def test_another_codebook_works_and_no_label_of_the_shipped_one_appears(write_labels: WriteLabels) -> None:
    html = render_page(read_labels(write_labels([{"concerns": ["cost"]}])), evaluation=None, generated="2026-11-22")
    page = Page(html)
    visible = page.text + msgspec.json.encode(page.data).decode()
    for part in (*load_codebook().stances, *load_codebook().concerns):
        assert part.name not in visible
    assert "What it costs" in visible


class Undecided:
    """A judge that welcomes everything, or cannot decide where a question is asked."""

    model_id = "undecided-1"

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        """Return the same shares for every passage."""
        return [
            Judgement("welcome", (0.7, 0.2, 0.1), ("cost",), (0.9, 0.1), 0.7, abstained="?" in passage.text)
            for passage in passages
        ]


def test_what_the_label_job_writes_is_what_the_report_reads(tmp_path: Path, bypass: Codebook) -> None:
    (tmp_path / "rows.csv").write_text(
        "text,holder,holder_type,published\nA road at last.,Anna,club,2024-05-06\nWho pays?,Anna,,\n,Bertha,town,2024\n",
        encoding="utf-8",
    )
    label([str(tmp_path / "rows.csv")], Undecided(bypass), tmp_path / "labels", created="2026-11-22T12:00:00Z")
    page = page_of(tmp_path / "labels")
    assert page.data["statements"] == [[0, "A road at last.", 0, 1, 0, 0.7, [0]]]
    assert page.data["positions"] == [["Anna", 1, 1, [1, 0, 0], 1, "2024-05-06", "2024-05-06"]]
    assert "Statements 1 Left undecided 1 Invalid rows 1" in page.text
    assert "by reason. 1 text is empty" in page.text
