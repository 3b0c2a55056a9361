"""The report page as a reader has it: opened from disk in a browser, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from pipelines.report import PAGE, write_report
from pipelines.tables import read_labels

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

PATIENCE = 20_000  # milliseconds, for a busy machine
Open = Callable[..., "Page"]
ROWS: list[dict[str, Any] | str] = [
    {"text": "The road is loud.", "holder": "River Club", "holder_type": "club", "stance": "refuse", "concerns": ["noise"]},
    {"text": "We want none of it.", "holder": "RIVER CLUB", "holder_type": "club", "stance": "refuse"},
    {"text": "A quiet road is fine.", "holder": "River Club", "holder_type": "club", "concerns": ["noise"]},
    {"text": "Étienne paid for it.", "holder": "Oldtown", "holder_type": "town", "concerns": ["cost"], "title": "Budget"},
    {"text": "The vote is in May.", "stance": "silent", "publisher": "Valley Herald", "url": "https://example.org/vote"},
    {"text": "Nobody knows.", "holder": "River Club", "abstained": True, "stance": None},
    "text is empty",
]


@pytest.fixture
def open_page(chromium: Browser, write_labels: Callable[..., Path], tmp_path: Path) -> Iterator[Open]:
    """Return a function that writes a report of rows and opens it; whatever goes wrong in the page fails the test."""
    contexts, faults = [], []

    def open_(rows: list[dict[str, Any] | str], **context: Any) -> Page:
        write_report(read_labels(write_labels(rows)), tmp_path / "report", generated="2026-11-22")
        contexts.append(chromium.new_context(**context))
        page = contexts[-1].new_page()
        address = (tmp_path / "report" / PAGE).as_uri()
        page.on("request", lambda request: None if request.url == address else faults.append(f"asked {request.url}"))
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(address)
        expect(page.locator(".chart svg")).to_have_count(page.locator(".chart").count(), timeout=PATIENCE)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def texts(page: Page) -> list[str]:
    return page.locator("#statement-table .text").all_inner_texts()


def tab_to(page: Page, selector: str) -> None:
    """Press the tab key until the element has the focus, as someone without a mouse does."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} cannot be reached by keyboard")


def test_the_page_opens_from_disk_draws_its_charts_and_lists_what_was_decided(open_page: Open) -> None:
    page = open_page(
        [{**row, "published": f"2024-0{i + 1}-01"} if isinstance(row, dict) else row for i, row in enumerate(ROWS)]
    )
    assert page.locator(".chart svg").count() == 3
    assert page.locator("#result-count").inner_text() == "All 5 statements"
    assert texts(page) == [row["text"] for row in ROWS[:5] if isinstance(row, dict)]
    assert page.locator("#result-count").get_attribute("aria-live") == "polite"


def test_the_bars_are_as_long_as_the_shares(open_page: Open) -> None:
    page = open_page([{"stance": "refuse"}, {"stance": "refuse"}, {"stance": "refuse"}, {"stance": "welcome"}])
    widths = page.evaluate(
        "[...document.querySelectorAll('#chart-balance .mark-rect path')].map(p => [p.getBoundingClientRect().width,"
        " getComputedStyle(p).fill])"
    )
    drawn = {fill: width for width, fill in widths if width > 1}
    blue, vermilion = "rgb(31, 111, 178)", "rgb(196, 69, 28)"
    assert set(drawn) == {blue, vermilion}
    assert drawn[vermilion] / drawn[blue] == pytest.approx(3, rel=0.05)


def test_search_and_filters_work_by_keyboard_alone(open_page: Open) -> None:
    page = open_page(ROWS)
    tab_to(page, "#search")
    page.keyboard.type("etienne BUDGET")
    expect(page.locator("#result-count")).to_have_text("1 of 5 statements", timeout=PATIENCE)
    assert texts(page) == ["Étienne paid for it."]
    tab_to(page, "#clear")
    page.keyboard.press("Enter")
    assert len(texts(page)) == 5
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Tab")
    page.keyboard.type("Refuses")
    assert texts(page) == ["The road is loud.", "We want none of it."]
    page.keyboard.press("Tab")
    page.keyboard.type("Noise")
    assert texts(page) == ["The road is loud."]
    page.keyboard.press("Tab")
    page.keyboard.type("Town")
    assert texts(page) == []
    assert page.get_by_text("No statement fits these filters.").is_visible()
    assert page.locator("#result-count").inner_text() == "0 of 5 statements"


@pytest.mark.parametrize(("word", "found"), [("herald", 1), ("river", 3), ("budget", 1), ("road", 2), ("nobody", 0)])
def test_search_reads_text_holder_title_and_publisher(open_page: Open, word: str, found: int) -> None:
    page = open_page(ROWS)
    page.locator("#search").fill(word)
    expect(page.locator("#result-count")).to_have_text(f"{found} of 5 statements", timeout=PATIENCE)
    assert len(texts(page)) == found


def test_a_holder_shows_exactly_its_statements_and_a_number_those_of_one_stance(open_page: Open) -> None:
    page = open_page(ROWS)
    row = page.locator("#positions tbody tr").filter(has_text="River Club")
    assert row.locator("td.number").all_inner_texts() == ["1", "0", "2", "3", "3"]
    page.locator("#search").fill("nothing like this")
    row.locator("th button").click()
    assert texts(page) == ["The road is loud.", "We want none of it.", "A quiet road is fine."]
    assert page.locator("#search").input_value() == ""
    row.get_by_role("button", name="River Club, Refuses it: 2").click()
    assert texts(page) == ["The road is loud.", "We want none of it."]
    page.locator("#clear-holder").click()
    assert page.locator("#result-count").inner_text() == "2 of 5 statements"
    page.get_by_role("button", name="Clear all filters").click()
    assert len(texts(page)) == 5


def test_positions_can_be_sorted_by_every_column(open_page: Open) -> None:
    page = open_page([*ROWS, {"holder": "Anna", "published": "2025-01-01"}])
    names = page.locator("#positions tbody th button")
    assert names.all_inner_texts() == ["River Club", "Anna", "Oldtown"]
    head = page.locator("#positions thead")
    head.get_by_role("button", name="Holder").click()
    assert names.all_inner_texts() == ["Anna", "Oldtown", "River Club"]
    assert head.locator("[aria-sort]").all_inner_texts() == ["Holder"]
    assert head.locator("[aria-sort]").get_attribute("aria-sort") == "ascending"
    head.get_by_role("button", name="Holder").click()
    assert names.all_inner_texts() == ["River Club", "Oldtown", "Anna"]
    head.get_by_role("button", name="Published").click()
    assert names.all_inner_texts()[0] == "Anna"


def test_many_statements_come_in_pages_and_many_holders_on_demand(open_page: Open) -> None:
    page = open_page([{"holder": f"Holder {i:03}", "text": f"Statement {i:03}"} for i in range(120)])
    assert texts(page) == [f"Statement {i:03}" for i in range(50)]
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    assert texts(page) == [f"Statement {i:03}" for i in range(100, 120)]
    assert page.locator("#page-range").inner_text() == "101–120 of 120"
    assert page.get_by_role("button", name="Next").is_disabled()
    assert page.locator("#positions tbody tr").count() == 20
    page.get_by_role("button", name="Show all 120 holders").click()
    assert page.locator("#positions tbody tr").count() == 120


def test_hostile_strings_run_nothing_and_are_shown_as_they_are(open_page: Open) -> None:
    attack = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>{{7*7}}'
    row = {"text": attack, "holder": attack, "title": attack, "publisher": attack, "concerns": ["cost"]}
    page = open_page(
        [{**row, "url": "javascript:alert(3)"}, {**row, "url": "https://example.org/'onclick='alert(4)"}, attack]
    )
    assert texts(page) == [attack, attack]
    assert page.locator("#statement-table a").count() == 1
    assert page.locator("#statement-table a").get_attribute("href") == "https://example.org/'onclick='alert(4)"
    assert page.locator("#positions tbody th button").all_inner_texts() == [attack]
    page.locator("#positions tbody th button").click()
    assert page.locator("#clear-holder").inner_text() == f"Held by {attack}"
    assert page.locator("img").count() == 0


def test_a_link_goes_to_the_source_and_tells_it_nothing(open_page: Open) -> None:
    link = open_page(ROWS).locator("#statement-table a")
    assert link.get_attribute("href") == "https://example.org/vote"
    assert link.get_attribute("rel") == "noopener noreferrer"


@pytest.mark.parametrize("rows", [[], ["text is empty"], [{"abstained": True}], [{"text": "Alone"}]])
def test_a_page_with_little_or_nothing_opens_without_a_fault(open_page: Open, rows: list[Any]) -> None:
    assert open_page(rows).locator("h1").inner_text() == "Bypass Road Accord"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_paper_differ_enough_in_both_themes(open_page: Open, scheme: str) -> None:
    page = open_page(ROWS, color_scheme=scheme)
    ink, soft, paper = page.evaluate(
        "[getComputedStyle(document.body).color, getComputedStyle(document.querySelector('.lead')).color,"
        " getComputedStyle(document.body).backgroundColor]"
    )

    def luminance(colour: str) -> float:
        parts = [int(part) / 255 for part in colour[4:-1].split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted((luminance(one), luminance(other)))
        return (high + 0.05) / (low + 0.05)

    assert (luminance(paper) < luminance(ink)) == (scheme == "dark")
    assert contrast(ink, paper) > 7  # WCAG 2.2, AAA
    assert contrast(soft, paper) > 4.5  # AA


def test_a_phone_needs_no_sideways_scrolling(open_page: Open) -> None:
    rows = [{**row, "title": "x" * 300} if isinstance(row, dict) else row for row in ROWS]
    page = open_page([*rows, {"text": "y" * 500}], viewport={"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
