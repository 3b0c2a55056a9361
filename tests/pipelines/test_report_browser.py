"""The report page as a reader has it: opened from disk in a browser, by mouse and by keyboard."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from playwright.sync_api import expect

from pipelines.events import Event
from pipelines.monitoring import Comparison
from pipelines.report_page import render_page
from pipelines.run_match import CONCERNS, NEW, STANCE

sys.path.insert(0, str(Path(__file__).parent))
from report_fixture import COPIED, ROWS, report_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Locator, Page

pytestmark = pytest.mark.browser

PATIENCE = 20_000  # milliseconds, for a busy machine
ATTACK = '<img src=x onerror="alert(1)"></script><script>alert(2)</script>{{7*7}}'
AUDITED = [("statement-0", "refuse", ["noise"]), ("statement-3", "refuse", []), ("statement-6", "refuse", ["cost"])]
Open = Callable[..., "Page"]
Make = Callable[..., Path]


@pytest.fixture
def make(write_labels: Callable[..., Path], tmp_path: Path) -> Make:
    """Return a function that writes the page of rows and returns its path."""

    def make_(rows: list[dict[str, Any] | str], columns: str | None = None, **given: Any) -> Path:
        table = None
        if columns is not None:
            table = tmp_path / "columns.csv"
            table.write_text(columns, encoding="utf-8")
        path = tmp_path / "report.html"
        path.write_text(render_page(report_of(write_labels(rows), columns=table, **given)), encoding="utf-8")
        return path

    return make_


@pytest.fixture
def open_page(chromium: Browser, make: Make) -> Iterator[Open]:
    """Return a function that writes a page of rows and opens it; whatever goes wrong in the page fails the test."""
    contexts = []
    faults: list[str] = []

    def refuse(dialog: Dialog) -> None:
        faults.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open_(
        rows: list[dict[str, Any] | str], *, browser: dict[str, Any] | None = None, at: str = "", **given: Any
    ) -> Page:
        address = make(rows, **given).as_uri()
        contexts.append(chromium.new_context(**(browser or {})))
        page = contexts[-1].new_page()
        page.route(re.compile("^(?!file:)"), lambda route: route.abort())
        page.on("request", lambda request: None if request.url.split("#")[0] == address else faults.append(request.url))
        page.on("console", lambda message: faults.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        page.on("dialog", refuse)
        page.goto(address + at)
        drawn(page)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def drawn(page: Page) -> None:
    expect(page.locator(".chart svg")).to_have_count(page.locator(".chart").count(), timeout=PATIENCE)


def texts(page: Page) -> list[str]:
    return page.locator("#statement-list .text").all_inner_texts()


def status(page: Page) -> Locator:
    return page.locator("#result-count")


def tab_to(page: Page, selector: str) -> None:
    """Press the tab key until the element has the focus, as someone without a mouse does."""
    for _ in range(300):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{selector} cannot be reached by keyboard")


def leading(number: str) -> int:
    found = re.match(r"[\d,]+", number)
    assert found is not None, number
    return int(found[0].replace(",", ""))


def test_the_page_opens_from_disk_without_a_network_and_lists_the_newest_first(open_page: Open) -> None:
    page = open_page(ROWS)
    assert page.locator("#trend-panels .chart svg").count() == 3
    assert status(page).inner_text() == "All 7 opinions"
    assert texts(page) == [
        "Nobody knows.", COPIED, "Étienne paid for it.", "A quiet road is fine.", "The road is loud.", "We want none of it.",
        "The vote is in May.",
    ]  # fmt: skip
    assert status(page).get_attribute("aria-live") == "polite"
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("counting", ["opinions", "statements"])
def test_every_number_leads_to_exactly_its_statements(open_page: Open, counting: str) -> None:
    regions = ["id,region"] + [f"statement-{i},{'north' if i % 2 else 'south'}" for i in range(9)]
    marks = pd.Series([NEW, 0, STANCE, STANCE | CONCERNS, 0, NEW, CONCERNS, 0, 0])
    since = Comparison(
        pd.DataFrame(columns=["given", "difference", "old_share", "new_share", "reason"]),
        pd.DataFrame(),
        {"statements": {"gone": 0, "old": 5}},
        (),
        (),
        marks=marks,
    )
    page = open_page(ROWS, columns="\n".join(regions), audited=AUDITED, comparison=since)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.locator(f"input[name=counting][value={counting}]").check()
    drawn(page)
    links = page.locator("main a.n:visible, .standfirst a:visible, .facts a:visible")
    found: set[tuple[int, str]] = set()
    for link in links.all():
        address = link.get_attribute("href") or ""
        words = link.inner_text()
        if address.startswith("#?") and re.match(r"[\d,]+(?! *%)", words) and not words.endswith("%"):
            found.add((leading(words), address))
    assert len(found) > 40
    checked: set[str] = set()
    for number, address in sorted(found):
        checked |= set(re.findall(r"[?&](\w+)=", address))
        page.evaluate("address => { location.hash = address; }", address)
        expect(status(page)).to_be_focused()
        page.wait_for_function("address => location.hash === address", arg=address)
        listed = page.locator("#statement-list .statement").count()
        assert (number, leading(status(page).inner_text().removeprefix("All "))) == (listed, listed), address
    asked = {"stance", "concern", "holder", "type", "publisher", "month", "quarter", "column", "value", "since"}
    assert asked <= checked | {"quarter", "month"}
    assert sum("count=statements" in address for _, address in found) > (40 if counting == "statements" else 0)


def test_a_click_and_the_enter_key_lead_there_and_the_way_back_works(open_page: Open) -> None:
    page = open_page(ROWS)
    page.locator("#shares .uncorrected a:visible", has_text=re.compile("^3$")).first.click()
    assert texts(page) == [COPIED, "The road is loud.", "We want none of it."]
    assert page.evaluate("document.activeElement.id") == "result-count"
    assert page.locator("#filter-stance").input_value() == "refuse"
    holder = page.locator("#holder-table tbody tr").filter(has_text="Oldtown")
    holder.get_by_role("link", name="1 Refuses it, Oldtown: show them").focus()
    page.keyboard.press("Enter")
    expect(status(page)).to_have_text("1 opinion of 7")
    assert texts(page) == [COPIED]
    assert "holder=Oldtown" in page.url
    page.go_back()
    expect(status(page)).to_have_text("3 opinions of 7")
    page.go_back()
    expect(status(page)).to_have_text("All 7 opinions")


def test_an_address_with_filters_opens_the_page_at_its_statements(open_page: Open) -> None:
    page = open_page(ROWS, at="#?stance=refuse&holder=Oldtown&count=statements")
    assert status(page).inner_text() == "3 statements (1 opinion) of 9"
    assert texts(page) == [COPIED] * 3
    assert page.locator("input[name=counting]:checked").input_value() == "statements"
    assert page.locator("#filter-holder").input_value() == "Oldtown"


def test_the_switch_changes_numbers_and_list_together(open_page: Open) -> None:
    page = open_page(ROWS)
    first = page.locator("#shares .uncorrected").filter(has=page.locator("a[href*='stance=refuse']")).first
    assert first.inner_text().startswith("3 of 6")
    page.locator("input[name=counting][value=statements]").check()
    assert first.inner_text().startswith("5 of 8")
    assert status(page).inner_text() == "All 9 statements (7 opinions)"


def test_the_intervals_are_as_long_as_they_say(open_page: Open) -> None:
    page = open_page(ROWS)
    bands = page.evaluate(
        "[...document.querySelectorAll('#shares .in-opinions .strip')].map(s => [s.querySelector('.band')"
        ".getBoundingClientRect().width / s.getBoundingClientRect().width,"
        " s.closest('tr').querySelector('.in-opinions .range').textContent])"
    )
    assert len(bands) == 5
    for width, words in bands:
        low, high = map(int, re.findall(r"\d+", words))
        assert width == pytest.approx((high - low) / 100, abs=0.011)


def test_search_and_filters_work_by_keyboard_alone(open_page: Open) -> None:
    page = open_page(ROWS)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("etienne BUDGET")
    expect(status(page)).to_have_text("1 opinion of 7", timeout=PATIENCE)
    assert texts(page) == ["Étienne paid for it."]
    assert "q=etienne" in page.url
    tab_to(page, "#clear")
    page.keyboard.press("Enter")
    assert len(texts(page)) == 7
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.press("Tab")
    page.keyboard.type("Refuses")
    assert len(texts(page)) == 3
    page.keyboard.press("Tab")
    page.keyboard.type("Noise")
    assert texts(page) == ["The road is loud."]
    page.keyboard.press("Tab")
    page.keyboard.type("oldtown")
    page.keyboard.press("Tab")
    assert texts(page) == []
    assert page.get_by_text("No statement fits these filters.").is_visible()
    assert page.evaluate("document.activeElement.id") == "filter-type"


@pytest.mark.parametrize(
    ("word", "found"), [("herald", 4), ("river", 5), ("budget", 1), ("road", 3), ("ford", 2), ("nobody here", 0)]
)
def test_search_reads_text_holder_title_and_outlet_of_every_copy(open_page: Open, word: str, found: int) -> None:
    page = open_page(ROWS)
    page.locator("#search").fill(word)
    expect(status(page)).to_have_text(f"{found} opinion{'' if found == 1 else 's'} of 7", timeout=PATIENCE)
    assert len(texts(page)) == found


def test_the_controls_narrow_the_list_together_and_chips_widen_it(open_page: Open) -> None:
    page = open_page(ROWS)
    page.locator("#filter-month").select_option("2024-06")
    assert texts(page) == ["Nobody knows.", COPIED]
    page.locator("#filter-type").select_option("town")
    assert texts(page) == [COPIED]
    page.locator("#filter-month").select_option("none")
    page.locator("#filter-type").select_option("")
    assert texts(page) == ["The vote is in May."]
    page.evaluate("location.hash = '#?publisher=Hill%20Post&stance=welcome'")
    expect(status(page)).to_have_text("2 opinions of 7")
    page.get_by_role("button", name="Remove the filter: Outlet: Hill Post").click()
    assert status(page).inner_text() == "2 opinions of 7"
    page.locator("#filter-stance").select_option("*undecided")
    assert texts(page) == ["Nobody knows."]
    page.locator("#filter-stance").select_option("")
    page.locator("#filter-sort").select_option("given")
    assert texts(page)[0] == "The road is loud."


def test_a_statement_shows_probability_holder_source_gold_copies_and_its_neighbours(open_page: Open) -> None:
    page = open_page(ROWS, audited=AUDITED)
    copied = page.locator(".statement").filter(has_text=COPIED)
    assert copied.locator(".stance").inner_text().split("\n")[:2] == ["Refuses it", "80 % probable"]
    assert "What it costs 90 %" in copied.inner_text()
    copied.get_by_text("In 3 outlets").click()
    assert "Hill Post, Valley Herald, Radio Ford" in copied.inner_text()
    paid = page.locator(".statement").filter(has_text="Étienne")
    assert "Gold: Refuses it" in paid.inner_text()
    assert "differs" in (paid.locator(".gold").get_attribute("class") or "")
    loud = page.locator(".statement").filter(has_text="The road is loud.")
    assert loud.locator(".source a").get_attribute("href") == "https://example.org/a"
    assert loud.locator(".source a").get_attribute("rel") == "noopener noreferrer"
    loud.get_by_role("button", name="Show in document").click()
    assert loud.locator(".context p").all_inner_texts()[:2] == ["The road is loud.", "We want none of it."]
    loud.get_by_role("link", name="All statements of this document").click()
    expect(status(page)).to_have_text("2 opinions of 7")
    assert texts(page) == ["The road is loud.", "We want none of it."]


def test_holders_are_sorted_and_filtered(open_page: Open) -> None:
    page = open_page([*ROWS, {"holder": "Anna", "published": "2025-01-01", "text": "Fine by me."}])
    names = page.locator("#holder-table tbody th > a")
    head = page.locator("#holder-table thead")
    assert names.all_inner_texts() == ["River Club", "Oldtown", "Anna"]
    head.get_by_role("button", name="Holder").click()
    assert names.all_inner_texts() == ["Anna", "Oldtown", "River Club"]
    assert head.locator("[aria-sort]").get_attribute("aria-sort") == "ascending"
    head.get_by_role("button", name="Holder").click()
    assert names.all_inner_texts() == ["River Club", "Oldtown", "Anna"]
    page.locator("#holder-type").select_option(label="Town")
    assert names.all_inner_texts() == ["Oldtown"]
    page.locator("#holder-type").select_option("")
    page.locator("#holder-stance").select_option(label="Welcomes it")
    assert set(names.all_inner_texts()) == {"Anna", "River Club"}
    page.locator("#holder-name").fill("aNNa")
    assert names.all_inner_texts() == ["Anna"]
    assert page.locator("#holder-count").inner_text() == "1 of 3 holders"


def test_a_change_of_position_leads_to_its_two_statements(open_page: Open) -> None:
    page = open_page(ROWS)
    change = page.locator(".changes > li").filter(has_text="River Club")
    assert "Refuses it 2024-03-01" in change.inner_text()
    assert "Welcomes it 2024-05-02" in change.inner_text()
    change.get_by_text("Show the two statements in the list").click()
    expect(status(page)).to_have_text("2 opinions of 7")
    assert texts(page)[0] == "A quiet road is fine."


def test_the_course_over_time_changes_with_what_is_asked_and_says_where_there_is_no_estimate(open_page: Open) -> None:
    page = open_page(ROWS)
    page.locator("#trend-figures summary").click()
    page.locator("input[name=period][value=month]").check()
    drawn(page)
    rows = page.locator("#trend-table tbody tr")
    assert rows.locator("th").all_inner_texts() == ["2024-03", "2024-05", "2024-06"]
    assert rows.first.locator(".reason").count() == 3
    assert rows.nth(1).locator(".reason").count() == 0
    page.locator("#trend-what").select_option("concern:cost")
    drawn(page)
    assert page.locator("#trend-panels .chart").count() == 1
    rows.nth(2).locator("a.n").click()
    expect(status(page)).to_have_text("1 opinion of 7")
    assert texts(page) == [COPIED]


def test_a_point_of_the_chart_leads_to_its_statements(open_page: Open) -> None:
    page = open_page(ROWS)
    page.locator("input[name=period][value=month]").check()
    drawn(page)
    point = page.locator("#trend-panels .panel").filter(has_text="Refuses it").locator(".mark-symbol path")
    expect(point).not_to_have_count(0, timeout=PATIENCE)
    point.last.dispatch_event("click")
    expect(status(page)).to_have_text("2 opinions of 7")


def test_many_statements_come_in_pages_and_many_holders_on_demand(open_page: Open) -> None:
    page = open_page([{"holder": f"Holder {i:03}", "text": f"Statement {i:03}"} for i in range(60)])
    assert texts(page) == [f"Statement {i:03}" for i in range(25)]
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    assert texts(page) == [f"Statement {i:03}" for i in range(50, 60)]
    assert page.locator("#page-range").inner_text() == "51–60 of 60"
    assert page.get_by_role("button", name="Next").is_disabled()
    assert page.locator("#holder-table tbody tr").count() == 25
    page.get_by_role("button", name="Show all 60").click()
    assert page.locator("#holder-table tbody tr").count() == 60


def test_hostile_strings_run_nothing_and_are_shown_as_they_are(open_page: Open) -> None:
    row = {"text": ATTACK, "holder": f"Mallory {ATTACK}", "title": ATTACK, "publisher": ATTACK, "concerns": ["cost"]}
    columns = (
        'id,"<b onclick=alert(6)>"\nstatement-0,"<img src=x onerror=alert(5)>"\nstatement-1,"<img src=x onerror=alert(5)>"\n'
    )
    page = open_page(
        [
            {**row, "url": "javascript:alert(3)", "published": "2024-01-01"},
            {**row, "url": "https://example.org/'onclick='alert(4)", "stance": "refuse", "published": "2024-02-01"},
            ATTACK,
        ],
        columns=columns,
        events=(Event(date="2024-01-20", name="<script>alert(7)</script>"),),
        notes=(ATTACK,),
        title=ATTACK,
        audited=[("statement-0", "refuse", [])],
        reason=ATTACK,
        estimated=False,
    )
    assert texts(page) == [ATTACK, ATTACK]
    hrefs = [a.get_attribute("href") for a in page.locator("a[target]").all()]
    assert set(hrefs) == {"https://example.org/'onclick='alert(4)"}
    assert page.locator("h1").inner_text() == ATTACK
    assert page.locator("#holder-table tbody th > a").all_inner_texts() == [f"Mallory {ATTACK}"]
    page.locator("#holder-table tbody th > a").click()
    expect(status(page)).to_have_text("All 2 statements")
    page.locator(".groups a.n").first.click()
    for button in page.locator("button.toggle").all():
        button.click()
    assert page.locator("img").count() == 0
    assert page.locator("b").count() == 0


@pytest.mark.parametrize(
    "rows",
    [
        [], ["text is empty"], [{"text": "Alone"}], [{"abstained": True, "stance": None}] * 3,
        [{"text": "Old.", "published": "yesterday"}, {"text": "Odd.", "published": "9999-99-99"}],
    ],
    ids=["nothing", "no statement", "one", "all abstained", "absurd dates"],
)  # fmt: skip
@pytest.mark.parametrize("estimated", [True, False])
def test_a_page_with_little_or_nothing_opens_and_says_why(open_page: Open, rows: list[Any], estimated: bool) -> None:
    page = open_page(rows, estimated=estimated)
    assert page.locator("h1").inner_text() == "Bypass Road Accord"
    for section in page.locator("main > section").all():
        assert len(section.inner_text().split()) > 6


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(open_page: Open, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    page = open_page(
        ROWS, browser={"color_scheme": scheme, "viewport": {"width": width, "height": 900}}, audited=AUDITED,
        columns="id,region\n" + "".join(f"statement-{i},north\n" for i in range(9)), notes=("One note.", "Two.", "Three."),
    )  # fmt: skip
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    for button in page.locator("button.toggle").all():
        button.click()
    page.evaluate("location.hash = '#?publisher=Hill%20Post'")
    found = Axe().run(page).response["violations"]
    serious = [(v["id"], [n["html"][:160] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")]
    assert serious == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_paper_differ_enough_in_both_themes(open_page: Open, scheme: str) -> None:
    page = open_page(ROWS, browser={"color_scheme": scheme})
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
    phone = {"viewport": {"width": 390, "height": 844}}
    page = open_page([*rows, {"text": "y" * 500, "holder": "z" * 200}], browser=phone)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_paper_has_no_controls_and_light_colours(open_page: Open) -> None:
    page = open_page(ROWS, browser={"color_scheme": "dark"})
    page.emulate_media(media="print")
    for selector in ("#filters", "#holder-filters", "#trend-controls", ".bar", ".pager", ".toggle >> nth=0"):
        assert not page.locator(selector).is_visible(), selector
    assert page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--paper').trim()") == "#fff"
    assert page.locator("#statement-list .text").count() == 7


@pytest.mark.parametrize("width", [390, 1280, 1920])
@pytest.mark.parametrize("look", ["light", "dark", "print"])
def test_pictures_of_the_page_can_be_taken_at_every_width(open_page: Open, tmp_path: Path, look: str, width: int) -> None:
    scheme = "dark" if look == "dark" else "light"
    page = open_page(ROWS, browser={"color_scheme": scheme, "viewport": {"width": width, "height": 900}})
    if look == "print":
        page.emulate_media(media="print")
    picture = page.screenshot(path=tmp_path / f"report-{look}-{width}.png", full_page=True)
    assert len(picture) > 50_000
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_nothing_on_the_page_moves_by_itself(open_page: Open) -> None:
    page = open_page(ROWS)
    moving = page.evaluate(
        "[...document.querySelectorAll('*')].map(e => getComputedStyle(e)).filter(s => s.scrollBehavior === 'smooth' ||"
        " s.animationName !== 'none' || parseFloat(s.transitionDuration) > 0).length"
    )
    assert moving == 0
