"""The form in a real browser on a real server: coders who never touch the mouse, and one who does."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from annotation.answers import Refusal, to_annotation
from annotation.campaign import Item
from annotation.codebook import Codebook, load_codebook
from annotation.interface import adjudication_task, cause_of, instructions, labeling_config, prediction, task
from annotation.label_studio import connect
from corpus.records import Annotation, Prediction

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.label_studio, pytest.mark.browser]


@pytest.fixture(scope="session")
def client(label_studio: Any) -> Any:
    return connect(label_studio.url, label_studio.key)


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return load_codebook()


@pytest.fixture
def page(label_studio: Any, chromium: Browser, coding: Any) -> Iterator[Page]:
    """A new coder's page."""
    email = f"coder-{secrets.token_hex(4)}@example.org"
    with coding.signed_up(chromium, label_studio, email, secrets.token_urlsafe(12)) as page:
        yield page


def project(client: Any, codebook: Codebook, tasks: list[dict[str, Any]], **form: bool) -> int:
    made = client.projects.create(
        title=f"Form {secrets.token_hex(4)}",
        label_config=labeling_config(codebook, **form),
        expert_instruction=instructions(codebook, adjudication=form.get("adjudication", False)),
        show_instruction=True,
        show_collab_predictions=form.get("assisted", False),
        model_version=tasks[0]["predictions"][0]["model_version"] if form.get("assisted") else None,
        sampling="Sequential sampling",
    )
    client.projects.import_tasks(id=made.id, request=tasks)
    return int(made.id)


def answered(client: Any, number: int) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return each statement's task and its only answer."""
    tasks = [json.loads(t.json()) for t in client.tasks.list(project=number, fields="all")]
    return {t["data"]["uid"]: (t, t["annotations"][0]) for t in tasks if t["annotations"]}


def test_two_coders_sign_up_and_code_ten_statements_each_by_keyboard_alone(
    label_studio: Any, chromium: Browser, client: Any, codebook: Codebook, coding: Any
) -> None:
    statements = coding.items()
    for name, readings in coding.READINGS.items():
        number = project(client, codebook, [task(i.statement, i.document) for i in statements])
        email = f"{name}-{secrets.token_hex(4)}@example.org"
        with coding.signed_up(chromium, label_studio, email, secrets.token_urlsafe(12)) as page:
            coder = coding.Coder(page, label_studio.url, codebook)
            coder.open_stream(number)
            coder.code(coding.by_text(statements, readings))
        found = answered(client, number)
        assert len(found) == 10
        for item, reading in zip(statements, readings, strict=True):
            shown, answer = found[item.statement.id]
            read = to_annotation(shown, answer, codebook)
            if reading.stance is None:
                assert isinstance(read, Refusal)
                assert (read.state, read.reason) == ("cannot judge", reading.comment)
                continue
            assert isinstance(read, Annotation), read
            assert (read.stance, read.concerns, read.holder_type, read.voice, read.comment, read.blind) == (
                reading.stance, reading.concerns, reading.holder_type, reading.voice, reading.comment, True,
            )  # fmt: skip
            # The statement's own apostrophe, whichever was typed.
            typed = reading.holder and reading.holder.replace("'", "’")
            assert read.holder == typed
            assert read.holder is None or item.statement.text[read.holder_start : read.holder_end] == read.holder


def test_the_statement_stands_between_its_dimmed_context_without_its_publisher(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    number = project(client, codebook, [task(item.statement, item.document)])
    coder = coding.Coder(page, label_studio.url, codebook)
    coder.open_stream(number)
    assert coder.statement() == item.statement.text
    before, after = page.locator(".context").all_inner_texts()
    assert before.split() == item.statement.before.split()
    assert after.split() == item.statement.after.split()
    dimmed, clear = (
        page.locator(look).first.evaluate("e => getComputedStyle(e).opacity") for look in (".context", ".statement")
    )
    assert (float(dimmed) < 1, clear) == (True, "1")
    shown = page.locator(".source").inner_text()
    assert item.document.title in shown
    assert item.document.published in shown
    assert item.document.publisher not in page.locator(".form").inner_text().split()
    headings = page.locator(".concerns .group h4").all_inner_texts()
    assert headings == list(dict.fromkeys(c.group for c in codebook.concerns))


def test_a_typed_holder_can_be_corrected_and_a_field_left_without_the_mouse(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    number = project(client, codebook, [task(item.statement, item.document)])
    coder = coding.Coder(page, label_studio.url, codebook)
    coder.open_stream(number)
    coder.type("holder_words", "Mikrosoft")
    coder.correct("holder_words", "Microsoft")
    coder.enter("comment")
    page.keyboard.press("Tab")  # nothing to say after all
    coder.press("stance", "against")
    coder.submit()
    ((_, answer),) = answered(client, number).values()
    assert {r["from_name"]: r["value"] for r in answer["result"]} == {
        "holder_words": {"text": ["Microsoft"]},
        "stance": {"choices": ["against"]},
    }


def test_words_left_in_a_field_are_kept_when_the_answer_is_submitted(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    number = project(client, codebook, [task(item.statement, item.document)])
    coder = coding.Coder(page, label_studio.url, codebook)
    coder.open_stream(number)
    coder.press("stance", "against")
    coder.enter("holder_words")
    page.keyboard.type("Microsoft")
    for _ in range(2):
        page.keyboard.press("Shift+Tab")
    coder.submit()
    ((_, answer),) = answered(client, number).values()
    assert {"text": ["Microsoft"]} in [r["value"] for r in answer["result"] if r["from_name"] == "holder_words"]


def test_a_statement_without_a_stance_is_not_taken(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    number = project(client, codebook, [task(item.statement, item.document)])
    coder = coding.Coder(page, label_studio.url, codebook)
    coder.open_stream(number)
    coder.press("concerns", "scope")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Choose a stance, or say that you cannot judge.").wait_for()
    assert answered(client, number) == {}


def test_a_holder_marked_with_the_mouse_behind_an_emoji_comes_back_in_its_place(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    number = project(client, codebook, [task(item.statement, item.document)])
    coder = coding.Coder(page, label_studio.url, codebook)
    coder.open_stream(number)
    box = page.evaluate(
        """() => {
            const walker = document.createTreeWalker(document.querySelector('.statement'), NodeFilter.SHOW_TEXT);
            while (walker.nextNode()) {
                const at = walker.currentNode.data.indexOf('Microsoft');
                if (at < 0) continue;
                const range = document.createRange();
                range.setStart(walker.currentNode, at + 1);
                range.setEnd(walker.currentNode, at + 8);
                const {left, right, top, bottom} = range.getBoundingClientRect();
                return {left, right, middle: (top + bottom) / 2};
            }
        }"""
    )
    page.keyboard.press("h")
    page.mouse.move(box["left"], box["middle"])
    page.mouse.down()
    page.mouse.move(box["right"], box["middle"], steps=6)
    page.mouse.up()
    page.wait_for_selector(".statement .htx-highlight")
    coder.press("stance", "against")
    coder.submit()
    ((shown, answer),) = answered(client, number).values()
    read = to_annotation(shown, answer, codebook)
    assert isinstance(read, Annotation)
    assert read.holder is not None
    assert read.holder.startswith("Microsoft")
    assert item.statement.text[read.holder_start : read.holder_end] == read.holder


def test_an_adjudicator_sees_the_readings_side_by_side_and_records_why_they_differ(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    made = [reading(item, codebook, name, r[0]) for name, r in coding.READINGS.items()]
    number = project(client, codebook, [adjudication_task(item, made, codebook)], adjudication=True)
    coder = coding.Coder(page, label_studio.url, codebook, adjudication=True)
    coder.open_stream(number)
    rows = [row.split("\t") for row in page.locator(".readings table").inner_text().splitlines()]
    assert [cell.strip() for cell in rows[0]][-2:] == ["A", "B"]
    assert ["Concerns", "Surveillance, Access to data", "Access to data"] in rows
    assert page.locator(".readings .differs").count() == 1
    assert "anna" not in page.locator(".form").inner_text()
    coder.press("stance", "against")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Say why the readings differ.").wait_for()
    page.keyboard.press("Space")
    page.get_by_text("Say why the readings differ.").wait_for(state="hidden")
    coder.press("cause", "gap")
    coder.submit()
    ((_, answer),) = answered(client, number).values()
    assert cause_of(answer) == "gap"


def test_a_suggested_holder_behind_an_emoji_is_marked_where_it_stands(
    label_studio: Any, client: Any, codebook: Codebook, coding: Any, page: Page
) -> None:
    item = coding.items()[0]
    start = item.statement.text.index("Microsoft")
    said = Prediction(
        statement=item.statement.id, model_id="model-1", codebook_version=codebook.id, stance="against",
        probabilities={"favor": 0.1, "against": 0.7, "mixed": 0.1, "none": 0.1}, concerns=("data_access", "surveillance"),
        concern_probabilities={}, confidence=0.7, holder="Microsoft’s counsel", holder_start=start, holder_end=start + 19,
        holder_type="industry",
    )  # fmt: skip
    suggested = {**task(item.statement, item.document), "predictions": [prediction(codebook, item, said)]}
    number = project(client, codebook, [suggested], assisted=True)
    coder = coding.Coder(page, label_studio.url, codebook)
    coder.open_stream(number)
    assert page.locator(".statement .htx-highlight").all_inner_texts() == ["Microsoft’s counsel"]
    assert "model" in page.locator(".notice").inner_text()
    coder.submit()
    ((shown, answer),) = answered(client, number).values()
    read = to_annotation(shown, answer, codebook)
    assert isinstance(read, Annotation)
    assert (read.stance, read.concerns, read.holder, read.holder_type, read.blind) == (
        "against", ("surveillance", "data_access"), "Microsoft’s counsel", "industry", False,
    )  # fmt: skip


def reading(item: Item, codebook: Codebook, name: str, said: Any) -> Annotation:
    """A coder's reading as a record."""
    return Annotation(
        statement=item.statement.id, annotator=name, codebook_version=codebook.id, stance=said.stance,
        concerns=said.concerns, holder=said.holder.replace("'", "’"), holder_type=said.holder_type, voice=said.voice,
    )  # fmt: skip
