"""The evaluation page as a reader has it: opened from disk in a browser, on a wide screen, a phone and paper."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from playwright.sync_api import expect

from annotation.codebook import Codebook, parse_codebook
from models.evaluation import Evaluation
from pipelines.evaluation_page import render_evaluation_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PATIENCE = 20_000  # milliseconds, for a busy machine
ATTACK = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>{{7*7}}'
Open = Callable[..., "Page"]


def around(value: float, half: float = 0.05) -> dict[str, float]:
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half)}


def figure(name: str, value: float, label: str | None = None, **given: Any) -> dict[str, Any]:
    everyone = {"model": around(value), "baseline": around(value / 2), "annotators": around(0.95), "difference": around(0.1)}
    return {"name": name, "label": label, "title": name, "definition": f"what {name} is", "support": 9} | everyone | given


def evaluation_of(codebook: Codebook, **given: Any) -> Evaluation:
    """Made-up figures of every kind; ``given`` replaces parts."""
    stances, n = codebook.stance_ids, len(codebook.stances)
    measures = ("precision", "recall", "f1")
    slices = [{"name": "stance_accuracy", "model": around(0.7), "baseline": around(0.5)}]
    bins = [
        {"low": i / 10, "high": i / 10 + 0.1, "statements": 40, "confidence": i / 10 + 0.05, "accuracy": around(i / 10)}
        for i in range(2, 10)
    ]
    wrong = {
        "id": "s", "document": "d", "url": "https://example.org/news", "title": "News", "text": "Nobody minds the road.",
        "gold": stances[1], "decided": stances[0], "confidence": 0.9, "probabilities": [0.9, 0.1] + [0.0] * (n - 2),
        "holder": None, "gold_concerns": [], "concerns": [],
    }  # fmt: skip
    value = {
        "part": "test", "model_id": "bypass-1", "codebook_id": codebook.id, "statements": 100, "documents": 25,
        "doubly_annotated": 90, "bootstrap": {"resamples": 2000, "seed": 0, "cluster": "document"},
        "metrics": [
            figure("quarter", 0.25), figure("stance_accuracy", 0.5), figure("three_quarters", 0.75),
            *(figure(f"stance_{m}", 0.1 * i, s) for i, s in enumerate(stances, start=1) for m in measures),
        ],
        "stances": stances,
        "confusion": [[1000 if i == j else 0 for j in range(n)] for i in range(n)],
        "slices": [
            {"dimension": "kind", "value": value, "statements": 40, "documents": 9, "figures": slices}
            for value in ("news", "report")
        ],
        "reliability": bins,
        "concern_reliability": bins,
        "risk_coverage": [
            {"coverage": c / 10, "threshold": 1 - c / 20, "accuracy": around(1 - c / 30)} for c in range(1, 11)
        ],
        "mistakes": [wrong | more for more in given.pop("mistakes", [{}])],
    }  # fmt: skip
    return msgspec.convert(value | given, Evaluation)


def codebook_of(names: list[str]) -> Codebook:
    polarity = ["positive", "negative", "both", "neutral"]
    stances = [{"id": f"s{i}", "name": n, "definition": "d", "polarity": polarity[i % 4]} for i, n in enumerate(names)]
    value = {
        "format": 1, "name": "bypass", "version": 3, "target": {"name": "Bypass Road Accord"}, "stances": stances,
        "concerns": [{"id": "cost", "name": "Cost", "definition": "d"}], "holder_types": [{"id": "town", "name": "Town"}],
    }  # fmt: skip
    return parse_codebook(json.dumps(value), where="made")


@pytest.fixture
def open_page(chromium: Browser, bypass: Codebook, tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the page of an evaluation; whatever goes wrong in the page fails the test."""
    contexts, faults = [], []

    def open_(codebook: Codebook = bypass, *, figures: dict[str, Any] | None = None, **context: Any) -> Page:
        evaluation = evaluation_of(codebook, **(figures or {}))
        html = render_evaluation_page(evaluation, codebook, manifest={}, recipe={}, generated="2026-11-22")
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        contexts.append(chromium.new_context(**context))
        page = contexts[-1].new_page()
        address = (tmp_path / "page.html").as_uri()
        page.on("request", lambda request: None if request.url == address else faults.append(f"asked {request.url}"))
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(address)
        if context.get("java_script_enabled", True):
            expect(page.locator(".chart svg")).to_have_count(page.locator(".chart").count(), timeout=PATIENCE)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def dots(page: Page, chart: str) -> list[tuple[str, float, float]]:
    """Return colour and middle of each dot of a chart."""
    found = page.locator(f"#chart-{chart} .mark-symbol path").evaluate_all(
        "paths => paths.map(p => { const b = p.getBoundingClientRect();"
        " return [getComputedStyle(p).fill, b.x + b.width / 2, b.y + b.height / 2]; })"
    )
    return [tuple(dot) for dot in found]


def test_the_page_opens_from_disk_draws_every_chart_and_keeps_its_description(open_page: Open) -> None:
    page = open_page()
    described = page.locator(".chart").evaluate_all("charts => charts.map(chart => chart.getAttribute('aria-label'))")
    assert all("stand in the table" in description for description in described)
    assert page.locator(".chart svg").count() == 6
    assert page.locator("h1").inner_text() == "Bypass Road Accord"


def test_dots_stand_where_their_figures_are(open_page: Open) -> None:
    found = dots(open_page(), "overall")
    model = [(x, y) for fill, x, y in found if fill == "rgb(91, 58, 158)"]
    baseline = [(x, y) for fill, x, y in found if fill == "rgb(130, 127, 119)"]
    people = [(x, y) for fill, x, y in found if fill == "rgb(11, 122, 107)"]
    assert len(model) == len(baseline) == len(people) == 3
    (quarter, _), (half, _), (three, _) = model
    assert half - quarter == pytest.approx(three - half, abs=0.5)
    width = (three - quarter) * 2
    assert [x for x, _ in baseline] == pytest.approx([quarter - 0.125 * width, quarter, quarter + 0.125 * width], abs=0.5)
    assert [x for x, _ in people] == pytest.approx([quarter + 0.7 * width] * 3, abs=0.5)
    for (_, first), (_, second), (_, third) in zip(model, baseline, people, strict=True):
        assert first < second < third


def test_the_reliability_dots_of_a_calibrated_model_lie_on_the_diagonal(open_page: Open) -> None:
    bins = [
        {"low": p - 0.05, "high": p + 0.05, "statements": 9, "confidence": p, "accuracy": around(p)}
        for p in (0.15, 0.55, 0.95)
    ]
    page = open_page(figures={"reliability": bins})
    diagonal = page.locator("#chart-reliability .mark-line path").first.bounding_box()
    assert diagonal is not None
    for (_, x, y), bin_ in zip(dots(page, "reliability"), bins, strict=True):
        share = bin_["confidence"]
        assert x == pytest.approx(diagonal["x"] + share * diagonal["width"], abs=2)
        assert y == pytest.approx(diagonal["y"] + (1 - share) * diagonal["height"], abs=2)


def test_the_curve_says_what_share_is_right_among_the_surest_seventy_percent(open_page: Open) -> None:
    page = open_page()
    assert page.locator("#chart-coverage text", has_text="77% right among the surest 70%").count() == 1
    assert "77 % are right among the surest 70 %" in (page.locator("#chart-coverage").get_attribute("aria-label") or "")


def test_an_evaluation_of_the_first_format_opens_without_a_fault(open_page: Open) -> None:
    empty = dict.fromkeys(("stances", "confusion", "slices", "reliability", "concern_reliability", "risk_coverage"), ())
    page = open_page(figures={**empty, "mistakes": [], "format": 1})
    assert page.locator(".chart svg").count() == 2
    assert page.locator(".cards").count() == 0


def test_hostile_strings_run_nothing_and_are_shown_as_they_are(open_page: Open) -> None:
    hostile = {"text": ATTACK, "title": ATTACK, "holder": ATTACK, "gold_concerns": [ATTACK]}
    links = ["javascript:alert(3)", "https://example.org/'onclick='alert(4)"]
    page = open_page(codebook_of([ATTACK, "No"]), figures={"mistakes": [hostile | {"url": url} for url in links]})
    assert page.locator(".card .text").all_inner_texts() == [ATTACK, ATTACK]
    assert page.locator(".card a").count() == 1
    assert page.locator(".card a").get_attribute("href") == links[1]
    assert page.locator("img").count() == 0


def test_a_keyboard_reaches_tables_and_opens_what_is_folded(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#confidence").scroll_into_view_if_needed()
    summary = page.locator("#chart-coverage + details summary")
    summary.focus()
    table = page.get_by_role("table", name="Accuracy of the most confident decisions")
    assert not table.is_visible()
    page.keyboard.press("Enter")
    assert table.is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Risk and coverage"


def test_on_paper_everything_is_unfolded_and_afterwards_as_it_was(open_page: Open) -> None:
    page = open_page()
    page.locator("details summary").first.click()
    folded, opened = page.locator("details:not([open])").count(), page.locator("details[open]").count()
    assert folded > 3
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details:not([open])").count() == folded
    assert page.locator("details[open]").count() == opened == 1


def test_without_scripts_the_figures_can_be_read(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.get_by_role("row", name="three_quarters 0.75 0.70 to 0.80").is_visible()


def luminance(colour: list[float]) -> float:
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: list[float], other: list[float]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_cells_and_dots_stand_out_in_both_themes(open_page: Open, scheme: str) -> None:
    page = open_page(color_scheme=scheme)

    def colour(selector: str, name: str) -> list[float]:
        text = page.locator(selector).first.evaluate(f"node => getComputedStyle(node).{name}")
        return [float(part) for part in text.strip("rgba()").split(",")]

    paper = colour("body", "backgroundColor")
    assert (luminance(paper) < 0.1) == (scheme == "dark")
    assert contrast(colour("body", "color"), paper) > 7  # WCAG 2.2, AAA
    assert contrast(colour(".range", "color"), paper) > 4.5  # AA
    *shade, alpha = colour(".confusion .level-10", "backgroundColor")
    deepest = [s * alpha + p * (1 - alpha) for s, p in zip(shade, paper, strict=True)]
    assert contrast(colour(".confusion .level-10", "color"), deepest) > 4.5
    for who in ("model", "baseline", "annotators"):
        assert contrast(colour(f".who-{who} .mark", "fill"), paper) > 3  # AA, graphical objects


@pytest.mark.parametrize("stances", [2, 9])
def test_a_phone_needs_no_sideways_scrolling(open_page: Open, stances: int) -> None:
    codebook = codebook_of([f"{'Unbreakable' * 6} {i}" for i in range(stances)])
    hostile = {"text": "y" * 500, "title": "x" * 300}
    page = open_page(codebook, figures={"mistakes": [hostile]}, viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
