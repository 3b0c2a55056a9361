"""The evaluation page as a file: the figures it shows, what it must not contain, and how it does without missing parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from annotation.codebook import Codebook, dump_codebook, load_codebook, parse_codebook
from corpus.errors import RecordError, UsageError
from models.breakdown import Comparison, CoveragePoint, Difference, Mistake, ReliabilityBin, Slice, SliceFigure, Spread
from models.evaluation import Evaluation, Figure
from models.metrics import Interval
from pipelines.cli import main
from pipelines.evaluation_page import lower_is_better, render_evaluation_page, write_evaluation_page
from pipelines.page import script_hash

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & <b onclick=x>'\""
VOID = {"meta", "link", "img", "br", "input", "circle", "rect", "path", "hr"}


class Page(HTMLParser):
    """The page's elements in order, the text of each table's rows, the visible text, and the content of its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[str] = []
        self._rows: list[list[list[str]]] = []
        self._caption: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "script":
            self.scripts.append("")
        elif tag == "table":
            self._rows, self._caption = [], []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("td", "th"):
            self._rows[-1].append([])

    def handle_endtag(self, tag: str) -> None:
        assert tag in VOID or self._open.pop() == tag, f"{tag} ends where another element is open"
        if tag == "table":
            rows = [[" ".join(" ".join(cell).split()) for cell in row] for row in self._rows]
            self.tables.setdefault(" ".join("".join(self._caption).split()), rows)

    def handle_data(self, data: str) -> None:
        if "script" in self._open:
            self.scripts[-1] += data
        elif "style" not in self._open:
            self.words.append(data)
            if "caption" in self._open:
                self._caption.append(data)
            elif {"td", "th"} & set(self._open):
                self._rows[-1][-1].append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def having(self, name: str) -> list[str]:
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]

    @property
    def charts(self) -> dict[str, Any]:
        return dict(json.loads(self.scripts[0])["charts"])


def around(value: float, half: float = 0.05) -> Interval:
    return Interval(value, value - half, value + half)


def figure(name: str, value: float, *, label: str | None = None, others: bool = True, **given: Any) -> Figure:
    facts: dict[str, Any] = {
        "title": f"Title of {name}",
        "definition": f"definition of {name}",
        "support": 100,
        "model": around(value),
        "baseline": around(value - 0.1) if others else None,
        "annotators": around(value + 0.1) if others else None,
        "difference": Interval(0.1, 0.02, 0.18) if others else None,
    }
    return Figure(name=name, label=label, **(facts | given))


def mistake(codebook: Codebook, **given: Any) -> Mistake:
    facts: dict[str, Any] = {
        "id": "s-1",
        "document": "d-1",
        "url": "https://example.org/a?b=1&c=2",
        "title": "A title",
        "text": "Nobody minds the road.",
        "gold": codebook.stance_ids[1],
        "decided": codebook.stance_ids[0],
        "confidence": 0.91,
        "probabilities": (0.91, 0.09) + (0.0,) * (len(codebook.stances) - 2),
        "holder": None,
        "gold_concerns": (),
        "concerns": (),
    }
    return Mistake(**(facts | given))


def evaluation_of(codebook: Codebook, **given: Any) -> Evaluation:
    """An evaluation with every part that there is, of made-up figures; ``given`` replaces parts."""
    n = len(codebook.stances)
    by_label = [
        figure(f"{kind}_{measure}", 0.3 + 0.05 * i, label=label)
        for kind, labels in (("stance", codebook.stance_ids), ("concern", codebook.concern_ids))
        for i, label in enumerate(labels)
        for measure in ("precision", "recall", "f1")
    ]
    bins = (ReliabilityBin(low=0.6, high=0.7, statements=40, confidence=0.66, accuracy=around(0.61)),)
    figures = tuple(
        SliceFigure(name=name, model=around(v), baseline=around(v - 0.2))
        for name, v in (("stance_macro_f1", 0.5), ("stance_accuracy", 0.72))
    )
    parts = (("kind", "town_news"), ("kind", "other (2 values)"), ("holder_type", codebook.holder_type_ids[0]))
    facts: dict[str, Any] = {
        "part": "test",
        "model_id": "bypass-1",
        "codebook_id": codebook.id,
        "statements": 100,
        "documents": 25,
        "doubly_annotated": 90,
        "bootstrap": {"resamples": 2000, "seed": 7, "cluster": "document"},
        "metrics": (
            figure("stance_macro_f1", 0.612),
            figure("stance_accuracy", 0.7, difference=Interval(-0.004, -0.1, 0.1)),
            figure("stance_ece", 0.08, baseline=around(0.14), annotators=None),
            *by_label,
        ),
        "stances": codebook.stance_ids,
        "confusion": tuple(tuple(30 if i == j else i + j for j in range(n)) for i in range(n)),
        "slices": tuple(Slice(dimension=d, value=v, statements=40, documents=9, figures=figures) for d, v in parts),
        "reliability": bins,
        "concern_reliability": bins,
        "risk_coverage": tuple(
            CoveragePoint(coverage=c, threshold=1 - c / 2, accuracy=around(a), statements=int(100 * c))
            for c, a in ((0.35, 0.94), (0.7, 0.83), (1.0, 0.7))
        ),
        "mistakes": (mistake(codebook),),
        "split": {"kind": "grouped", "seed": 3},
        "spread": (Spread(name="stance_accuracy", values=(0.7, 0.71, 0.66), mean=0.69, sd=0.0265),),
        "against": Comparison(
            part="test",
            first="bypass-1",
            second="bypass-2",
            codebook_id=codebook.id,
            statements=100,
            documents=25,
            bootstrap={"resamples": 2000, "seed": 7},
            figures=(
                Difference(
                    name="stance_accuracy",
                    label=None,
                    title="Stance, accuracy",
                    first=around(0.7),
                    second=around(0.75),
                    difference=Interval(-0.05, -0.09, -0.01),
                    p=0.014,
                ),
            ),
        ),
    }
    return Evaluation(**(facts | given))


NEW = frozenset(
    ("stances", "confusion", "slices", "reliability", "concern_reliability", "risk_coverage", "mistakes", "split", "spread")
)


def format_1(codebook: Codebook) -> Evaluation:
    """What a file of the first release holds."""
    known = msgspec.to_builtins(evaluation_of(codebook))
    return msgspec.convert({k: v for k, v in known.items() if k not in NEW | {"against"}} | {"format": 1}, Evaluation)


def html_of(evaluation: Evaluation, codebook: Codebook, **given: Any) -> str:
    facts: dict[str, Any] = {
        "manifest": {
            "created": "2026-11-20",
            "corpus": {"name": "gold.jsonl", "sha256": "abc", "parts": {"train": 1075, "test": 100}},
            "versions": {"torch": "2.13"},
        },
        "recipe": {"encoder": "tiny-encoder"},
        "generated": "2026-11-22",
    }
    return render_evaluation_page(evaluation, codebook, **(facts | given))


def page_of(evaluation: Evaluation, codebook: Codebook, **given: Any) -> Page:
    return Page(html_of(evaluation, codebook, **given))


@pytest.fixture(scope="module")
def whole(bypass: Codebook) -> Page:
    """The page of an evaluation that has every part."""
    return page_of(evaluation_of(bypass), bypass)


def codebook_of(stances: list[str], holder: str = "Town") -> Codebook:
    polarity = ["positive", "negative", "both", "neutral"]
    return parse_codebook(
        json.dumps(
            {
                "format": 1, "name": "bypass", "version": 3, "target": {"name": "Bypass Road Accord"},
                "stances": [
                    {"id": f"s{i}", "name": name, "definition": "d", "polarity": polarity[i % 4]}
                    for i, name in enumerate(stances)
                ],
                "concerns": [{"id": "cost", "name": "What it costs", "definition": "Money."}],
                "holder_types": [{"id": "town", "name": holder}],
            }
        ),
        where="made",
    )  # fmt: skip


def test_the_page_says_what_was_measured(whole: Page) -> None:
    assert "Bypass Road Accord" in whole.text
    assert (
        "Of 100 statements that it had not seen, the model gives 70 the right stance. A linear baseline gets 60 right, "
        "a second annotator 80. Among the 70 % of which it is surest, 83 in 100 are right."
    ) in whole.text
    assert "Bundle bypass-1 Encoder tiny-encoder Codebook bypass, version 3 Trained on 2026-11-20" in whole.text
    assert "Part test Split grouped Split: seed 3 Statements 100 Documents 25 Read twice 90" in whole.text
    assert "2,000 bootstrap resamples (seed 7)" in whole.text
    assert "train 1,075, test 100" in whole.text
    assert "Made with treaty-stance on 2026-11-22" in whole.text
    assert "Every figure stands in a table as well." in whole.text, "for readers without scripts"


def test_each_overall_figure_has_interval_baseline_lead_annotators_and_cases(whole: Page) -> None:
    rows = whole.tables["Overall figures"]
    assert rows[0] == ["Figure", "Model", "Linear baseline", "Model’s lead", "Second annotator", "Cases"]
    name, *cells = rows[1]
    assert name == "Title of stance_macro_f1"
    assert cells == ["0.61 0.56 to 0.66", "0.51 0.46 to 0.56", "+0.10 +0.02 to +0.18", "0.71 0.66 to 0.76", "100"]
    assert rows[2][3] == "0.00 −0.10 to +0.10", "no sign before a difference that rounds to nothing"
    name, *cells = rows[3]
    assert name == "Title of stance_ece lower is better"
    assert cells == ["0.08 0.03 to 0.13", "0.14 0.09 to 0.19", "+0.10 +0.02 to +0.18", "–", "100"]


def test_a_lead_is_bold_only_where_its_interval_leaves_out_zero(whole: Page) -> None:
    assert '<span class="value">+0.10</span>' in whole.html
    assert '<span class="plain">0.00</span>' in whole.html


def test_a_definition_is_there_on_hover_and_without(whole: Page, bypass: Codebook) -> None:
    for f in evaluation_of(bypass).metrics[:3]:
        assert f.definition in whole.having("title")
        assert f"{f.title} {f.definition}" in whole.text


def test_figures_of_which_less_is_better_share_no_axis_with_the_others(whole: Page) -> None:
    names = ("stance_ece", "aurc", "stance_macro_f1", "accuracy_at_70")
    assert [name for name in names if lower_is_better(name)] == ["stance_ece", "aurc"]
    drawn = json.dumps(whole.charts["overall"])
    assert "Title of stance_macro_f1" in drawn
    assert "stance_ece" not in drawn


def test_the_confusion_matrix_has_counts_row_shares_and_sums(bypass: Codebook) -> None:
    evaluation = evaluation_of(bypass, confusion=((6, 2, 0), (1, 9, 0), (0, 0, 0)))
    page = page_of(evaluation, bypass)
    assert page.tables["Statements by gold and decided stance"] == [
        ["Gold ↓ Decided →", "Welcomes it", "Refuses it", "Says nothing", "All"],
        ["Welcomes it", "6 75 %", "2 25 %", "0 0 %", "8"],
        ["Refuses it", "1 10 %", "9 90 %", "0 0 %", "10"],
        ["Says nothing", "0", "0", "0", "0"],  # no share of nothing
        ["All", "7", "11", "0", "18"],
    ]
    classes = [c for c in page.having("class") if c.startswith("level-")]
    assert classes[:6] == ["level-8 right", "level-2", "level-0", "level-1", "level-9 right", "level-0"]


def test_labels_have_precision_recall_f1_and_cases_under_their_names(whole: Page) -> None:
    head, *rows = whole.tables["Stances: figures by label"]
    assert head == ["Label", "Cases", "Precision", "Recall", "F1", "F1, linear baseline", "F1, second annotator"]
    assert [row[0] for row in rows] == ["Welcomes it", "Refuses it", "Says nothing"]
    assert rows[1] == ["Refuses it", "100", *["0.35 0.30 to 0.40"] * 3, "0.25 0.20 to 0.30", "0.45 0.40 to 0.50"]
    assert [row[0] for row in whole.tables["Concerns: figures by label"][1:]] == ["What it costs", "Noise"]


def test_slices_are_drawn_by_accuracy_and_listed_with_all_figures(whole: Page) -> None:
    kinds = whole.tables["Kind of document"]
    assert kinds[0] == ["Value", "Statements", "Documents", "Title of stance_macro_f1", "Title of stance_accuracy"]
    assert kinds[1] == ["Town news", "40", "9", "0.50 0.45 to 0.55 0.30 0.25 to 0.35", "0.72 0.67 to 0.77 0.52 0.47 to 0.57"]
    assert [row[0] for row in kinds[2:]] == ["Other (2 values)"]
    assert whole.tables["Who holds the position"][1][0] == "Town"
    values = [row for rows in whole.charts["slices-kind"]["datasets"].values() for row in rows if row.get("who") == "Model"]
    assert [(row["label"], row["value"]) for row in values] == [
        ("Town news, n = 40", 0.72),
        ("Other (2 values), n = 40", 0.72),
    ]


def test_a_dimension_that_the_page_does_not_know_is_shown_under_its_own_name(bypass: Codebook) -> None:
    parts = (Slice(dimension="word_order", value="unknown", statements=4, documents=2, figures=(
        SliceFigure(name="stance_macro_f1", model=None, baseline=None),
    )),)  # fmt: skip
    page = page_of(evaluation_of(bypass, slices=parts), bypass)
    assert page.tables["Word order"][1] == ["Not known", "4", "2", "–"]
    assert page.charts["slices-word-order"] is None
    assert "chart-slices-word-order" not in page.having("id")


def test_seeds_and_another_bundle_have_their_tables(whole: Page) -> None:
    assert whole.tables["Figures of 3 bundles that differ in their seed"][1] == [
        "Title of stance_accuracy", "0.690", "0.026", "0.700 0.710 0.660",
    ]  # fmt: skip
    assert whole.tables["Two bundles on the same statements"][1] == [
        "Stance, accuracy", "0.70 0.65 to 0.75", "0.75 0.70 to 0.80", "−0.05 −0.09 to −0.01", "0.014",
    ]  # fmt: skip


def test_a_mistake_shows_text_labels_probabilities_holder_and_concerns(bypass: Codebook) -> None:
    wrong = mistake(
        bypass, holder="the mayor", gold_holder=None, gold_concerns=("cost", "noise"), concerns=("cost",),
        probabilities=(0.91, 0.06, 0.03),
    )  # fmt: skip
    page = page_of(evaluation_of(bypass, mistakes=(wrong,)), bypass)
    assert "Nobody minds the road. Decided Welcomes it 91 % sure Gold Refuses it" in page.text
    assert page.tables["Probability of each stance"] == [
        ["Welcomes it", "", "91 %"], ["Refuses it", "", "6 %"], ["Says nothing", "", "3 %"],
    ]  # fmt: skip
    assert "Holder: the mayor , gold nobody" in page.text
    assert "Concerns missed: Noise" in page.text
    assert "Concerns added" not in page.text
    [link] = [a for a in page.all("a") if a.get("target")]
    assert link == {"href": "https://example.org/a?b=1&c=2", "target": "_blank", "rel": "noopener noreferrer"}


def test_the_first_mistakes_are_open_and_the_rest_folded(bypass: Codebook) -> None:
    wrong = tuple(mistake(bypass, text=f"Number {i}.", confidence=0.9 - i / 100) for i in range(30))
    page = page_of(evaluation_of(bypass, mistakes=wrong), bypass)
    assert page.text.index("Number 5.") < page.text.index("24 more mistakes") < page.text.index("Number 6.")
    assert "Number 29." in page.text


def test_an_address_that_is_not_of_the_web_is_shown_and_not_linked(bypass: Codebook) -> None:
    urls = ["javascript:alert(1)", "JaVaScRiPt:alert(1)//https://x", " https://x", "data:text/html,x", "//x"]
    page = page_of(evaluation_of(bypass, mistakes=tuple(mistake(bypass, url=url, title=None) for url in urls)), bypass)
    assert all((a["href"] or "").startswith("#") for a in page.all("a"))
    assert all(url in page.text for url in urls)


def test_hostile_texts_are_text_and_no_markup() -> None:
    codebook = codebook_of([HOSTILE, "No"], holder=HOSTILE)
    wrong = mistake(
        codebook, text=HOSTILE, title=HOSTILE, url=f"https://x/{HOSTILE}", holder=HOSTILE, gold_concerns=(HOSTILE,)
    )
    given = {"mistakes": (wrong,), "part": HOSTILE, "model_id": HOSTILE, "split": {"kind": HOSTILE, HOSTILE: HOSTILE}}
    hostile = {"created": HOSTILE, "corpus": {"name": HOSTILE, "parts": {HOSTILE: 1}}, "versions": {HOSTILE: HOSTILE}}
    page = page_of(
        evaluation_of(codebook, **given), codebook, manifest=hostile, recipe={"encoder": HOSTILE}, generated=HOSTILE
    )
    assert len(page.scripts) == 3
    assert not page.all("b")
    assert not page.having("onclick")
    assert "<" not in page.scripts[0]
    assert page.text.count(" ".join(HOSTILE.split())) > 12


def test_nothing_is_loaded_from_anywhere(bypass: Codebook) -> None:
    page = page_of(evaluation_of(bypass), bypass, report="report.html")
    assert not [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "object", "embed", "base", "form")]
    assert not page.having("src")
    assert not page.having("style")
    assert "report.html" in [a["href"] for a in page.all("a")]


def test_only_the_pages_own_scripts_are_allowed_to_run(whole: Page) -> None:
    policy = next(a["content"] or "" for a in whole.all("meta") if a.get("http-equiv"))
    assert [a.get("type") for a in whole.all("script")] == ["application/json", None, None]
    hashes = " ".join(script_hash(script) for script in whole.scripts[1:])
    assert policy.startswith(f"default-src 'none'; script-src {hashes}; ")
    assert "unsafe-eval" not in policy


def test_the_page_can_be_read_by_ear(whole: Page) -> None:
    levels = [int(tag[1]) for tag, _ in whole.elements if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no level of heading is left out"
    assert len(whole.all("caption")) == len(whole.all("table"))
    assert all(th.get("scope") in ("col", "row") for th in whole.all("th"))
    charts = [a for a in whole.all("div") if a.get("class") == "chart"]
    assert charts
    assert all(a.get("role") == "img" and "stand in the table" in (a.get("aria-label") or "") for a in charts)
    ids = whole.having("id")
    assert len(ids) == len(set(ids))
    targets = [a["href"] or "" for a in whole.all("a") if not a.get("target")]
    assert {href[1:] for href in targets} <= set(ids)
    assert set(whole.having("aria-labelledby")) <= set(ids)


MISSING: list[Mapping[str, Any]] = [
    {"confusion": (), "slices": (), "reliability": (), "mistakes": (), "spread": (), "against": None},
    {"concern_reliability": (), "risk_coverage": (), "split": {}},
    {"reliability": (), "concern_reliability": (), "risk_coverage": ()},
    {"metrics": ()},
]


@pytest.mark.parametrize("missing", MISSING)
def test_what_is_missing_leaves_no_chart_and_no_link_behind(bypass: Codebook, missing: Mapping[str, Any]) -> None:
    page = page_of(evaluation_of(bypass, **missing), bypass)
    ids = page.having("id")
    assert {f"chart-{name}" for name, spec in page.charts.items() if spec} == {i for i in ids if i.startswith("chart-")}
    targets = [a["href"] or "" for a in page.all("a") if not a.get("target")]
    assert {href[1:] for href in targets} <= set(ids)


def test_an_evaluation_of_the_first_format_shows_its_figures_and_nothing_else(bypass: Codebook) -> None:
    page = page_of(format_1(bypass), bypass)
    assert [name for name, spec in page.charts.items() if spec] == ["overall", "labels-stance", "labels-concern"]
    assert set(page.tables) == {"Overall figures", "Stances: figures by label", "Concerns: figures by label"}
    for heading in ("What is taken for what", "Does it know", "Kinds of statements", "Other seeds", "sure and wrong"):
        assert heading not in page.text


def test_without_baseline_and_annotators_their_columns_and_words_are_left_out(bypass: Codebook) -> None:
    alone = tuple(
        msgspec.structs.replace(f, baseline=None, annotators=None, difference=None) for f in evaluation_of(bypass).metrics
    )
    page = page_of(evaluation_of(bypass, metrics=alone, slices=(), against=None), bypass)
    assert page.tables["Overall figures"][0] == ["Figure", "Model", "Cases"]
    assert page.tables["Stances: figures by label"][0] == ["Label", "Cases", "Precision", "Recall", "F1"]
    assert "aseline" not in page.text
    assert "nnotator" not in page.text


def test_figures_of_the_development_part_are_not_praised(bypass: Codebook) -> None:
    page = page_of(evaluation_of(bypass, part="development"), bypass)
    assert "These figures flatter the model." in page.text
    assert "had not seen" not in page.text


def test_a_bundle_that_says_little_about_itself_has_a_page_too(bypass: Codebook) -> None:
    page = page_of(evaluation_of(bypass), bypass, manifest={}, recipe={})
    assert "Encoder not known" in page.text
    assert "Trained on" not in page.text


@pytest.mark.parametrize("stances", [2, 9])
def test_codebooks_with_few_and_many_stances_of_long_names_work(stances: int) -> None:
    codebook = codebook_of([f"Number {i} " + "of the ways to say so " * 4 for i in range(stances)])
    page = page_of(evaluation_of(codebook), codebook)
    matrix = page.tables["Statements by gold and decided stance"]
    assert len(matrix) == stances + 2
    assert {len(row) for row in matrix} == {stances + 2}
    assert len(page.tables["Stances: figures by label"]) == stances + 1


def test_no_label_of_the_shipped_codebook_appears_on_the_page_of_another(whole: Page) -> None:
    shipped = load_codebook()
    for part in (*shipped.stances, *shipped.concerns):
        assert part.name not in whole.text + whole.scripts[0]


def test_the_same_figures_give_the_same_page_and_it_is_small(bypass: Codebook) -> None:
    wrong = tuple(mistake(bypass, text="Long. " * 100) for _ in range(30))
    first, second = (html_of(evaluation_of(bypass, mistakes=wrong), bypass) for _ in range(2))
    assert first == second
    assert len(first.encode("utf-8")) < 1_500_000


@pytest.fixture
def bundle(tmp_path: Path, bypass: Codebook) -> Path:
    """A folder with what the page reads of a bundle."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "codebook.json").write_text(dump_codebook(bypass), encoding="utf-8")
    (folder / "manifest.json").write_text(json.dumps({"model_id": "bypass-1", "created": "2026-11-20"}), encoding="utf-8")
    (folder / "recipe.json").write_text(json.dumps({"encoder": "tiny-encoder"}), encoding="utf-8")
    return folder


def test_the_page_of_a_bundle_is_written_with_what_the_bundle_says(tmp_path: Path, bundle: Path, bypass: Codebook) -> None:
    target = tmp_path / "deep" / "page.html"
    write_evaluation_page(target, evaluation_of(bypass), bundle, generated="2026-11-22", report="report.html")
    page = Page(target.read_text(encoding="utf-8"))
    assert "Encoder tiny-encoder Codebook bypass, version 3 Trained on 2026-11-20" in page.text
    assert "The labels themselves" in page.text


def test_figures_of_another_bundle_are_refused_and_nothing_is_written(
    tmp_path: Path, bundle: Path, bypass: Codebook
) -> None:
    with pytest.raises(RecordError, match="this is bundle bypass-1, but the figures are those of bypass-9"):
        write_evaluation_page(
            tmp_path / "page.html", evaluation_of(bypass, model_id="bypass-9"), bundle, generated="2026-11-22"
        )
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_is_no_bundle_is_refused(tmp_path: Path, bypass: Codebook) -> None:
    with pytest.raises(UsageError, match=r"manifest\.json: no such file"):
        write_evaluation_page(tmp_path / "page.html", evaluation_of(bypass), tmp_path / "none", generated="2026-11-22")


def test_the_evaluate_command_writes_the_page_of_what_it_measured(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    small_bundle: Path,
    lines_path: Path,
    make_lines: Callable[[int, int], list[dict[str, object]]],
) -> None:
    arguments = ["evaluate", small_bundle, "--corpus", lines_path, "--output", tmp_path / "e.json", "--resamples", 100]
    monkeypatch.setattr(sys, "argv", ["treaty-stance", *map(str, arguments), "--page", str(tmp_path / "e.html")])
    with pytest.raises(SystemExit) as stop:
        main()
    assert (stop.value.code, capsys.readouterr().err) == (0, "")
    page = Page((tmp_path / "e.html").read_text(encoding="utf-8"))
    measured = json.loads((tmp_path / "e.json").read_text(encoding="utf-8"))
    overall = [m for m in measured["metrics"] if m["label"] is None]
    assert [row[0].removesuffix(" lower is better") for row in page.tables["Overall figures"][1:]] == [
        m["title"] for m in overall
    ]
    assert page.tables["Overall figures"][1][1].startswith(f"{overall[0]['model']['value']:.2f} ")
    matrix = page.tables["Statements by gold and decided stance"]
    assert matrix[-1][-1] == str(measured["statements"])
    assert [row[0] for row in matrix[1:-1]] == ["Wants it", "Does not want it", "Says nothing"]
    assert page.charts["coverage"]
    assert page.charts["reliability"]
    assert page.charts["concern-reliability"]
