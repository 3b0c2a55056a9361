"""A person who codes in a real browser, by keyboard alone. Given to tests by the fixture ``coding``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from annotation.campaign import Item
from annotation.codebook import Codebook
from annotation.interface import (
    CAUSE,
    COMMENT,
    CONCERNS,
    HOLDER_TYPE,
    HOLDER_WORDS,
    STANCE,
    UNJUDGED,
    VOICE,
    hotkeys,
    labeling_config,
)
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass(frozen=True)
class Reading:
    """What a coder decides about one statement; ``holder`` is typed as it stands here."""

    stance: str | None = None
    concerns: tuple[str, ...] = ()
    holder: str | None = None
    holder_type: str | None = None
    voice: str | None = None
    comment: str | None = None
    cause: str | None = None


# Ten statements of five invented pages: the title, then two paragraphs that are coded, with a line before and after them.
PAGES = [
    (
        "Firms warn of secret demands",
        "😀 Microsoft’s counsel said the draft would let governments demand data in secret and urged states to reject it.",
        "Talks go on in Vienna until Friday; sixty delegations have asked for the floor.",
    ),
    (
        "Ministers sign in Hanoi",
        "Viet Nam praised the convention as a decisive step forward for cooperation between states.",
        "Human Rights Watch warned that rulers will use the treaty against their critics in exile.",
    ),
    (
        "A researcher's view",
        "“People who report flaws in good faith risk prison,” said Dr. Zoë Müller, who wants the text rejected.",
        "The convention enters into force ninety days after the fortieth ratification.",
    ),
    (
        "Brazil sets out its terms",
        "Brazil will sign, and will insist on safeguards when the treaty is implemented.",
        "Small states need training and equipment, said Jamaica, and the treaty brings both.",
    ),
    (
        "日本と条約",
        "日本 (Japan) welcomed the treaty because it closes safe havens.",
        "Fraud costs pensioners their savings, the bank noted, without a word on the treaty.",
    ),
]

READINGS: Mapping[str, tuple[Reading, ...]] = {
    "anna": (
        Reading("against", ("surveillance", "data_access"), "Microsoft's counsel", "industry", "reported"),
        Reading("none", ("process",), None, "none", "editorial"),
        Reading("favor", ("cooperation",), "Viet Nam", "state", "reported"),
        Reading("against", ("repression",), "Human Rights Watch", "civil_society", "reported"),
        Reading("against", ("security_research",), "Zoë Müller", "expert", "own"),
        Reading("none", (), None, "none", "editorial"),
        Reading("mixed", ("safeguards",), "Brazil", "state", "reported"),
        Reading("favor", ("capacity",), "Jamaica", "state", "reported"),
        Reading("favor", ("cooperation",), "日本", "state", "reported"),
        Reading("none", ("victims",), "the bank", "industry", "reported", comment="Not about the treaty."),
    ),
    "ben": (
        Reading("against", ("data_access",), "Microsoft’s counsel", "industry", "reported"),
        Reading("none", (), None, "none", "editorial"),
        Reading("favor", ("cooperation",), "Viet Nam", "state", "reported"),
        Reading("against", ("repression",), "Human Rights Watch", "civil_society", "reported"),
        Reading("mixed", ("security_research",), "Dr. Zoë Müller", "expert", "own"),
        Reading("none", (), None, "none", "editorial"),
        Reading("favor", ("safeguards",), "Brazil", "state", "reported"),
        Reading("favor", ("capacity",), "Jamaica", "state", "reported"),
        Reading("favor", ("cooperation",), "Japan", "state", "reported"),
        Reading(comment="I do not know what the bank is about."),
    ),
}
"""What two coders make of the ten statements: they differ on stances, concerns and a holder; one cannot judge the last."""


def items() -> list[Item]:
    """Return the ten statements with their documents, in the order of ``READINGS``."""
    made: list[Item] = []
    for number, (title, *parts) in enumerate(PAGES, start=1):
        text = "\n\n".join(["It is the second week of the talks.", *parts, "More follows tomorrow."])
        url = f"https://news.example/{number}"
        document = Document(
            id=document_id(url, text), url=url, text=text, title=title, published=f"2024-08-{number:02d}", publisher="News"
        )
        for part in parts:
            start = text.index(part)
            end = start + len(part)
            statement = Statement(
                id=statement_id(document.id, start, end), document=document.id, start=start, end=end, text=part,
                before=text[:start], after=text[end:],
            )  # fmt: skip
            made.append(Item(statement=statement, document=document))
    return made


class Coder:
    """Somebody at a browser of their own, signed in to a Label Studio server."""

    def __init__(self, page: Page, url: str, codebook: Codebook, *, adjudication: bool = False) -> None:
        self.page = page
        self.url = url
        self._keys = hotkeys(codebook)
        # What a choice is called on the screen, so that the right box is seen to be ticked.
        self._names = _names(labeling_config(codebook, adjudication=adjudication))

    def open_stream(self, project: int) -> None:
        """Open a project's stream of statements; the instructions come up first, and Escape closes them."""
        self.page.goto(f"{self.url}/projects/{project}/data?labeling=1")
        self.page.wait_for_selector(".statement .lsf-richtext__line")
        shown = self.page.locator(".lsf-modal-ls_visible")
        shown.wait_for()
        self.page.keyboard.press("Escape")
        shown.wait_for(state="detached")

    def statement(self) -> str:
        """Return the words that stand on the screen as the statement."""
        return self.page.locator(".statement").inner_text().strip()

    def press(self, control: str, *answers: str) -> None:
        """Press the keys of some answers, and see that their boxes are ticked."""
        for answer in answers:
            self.page.keyboard.press(_spelled(self._keys[control, answer]))
            self.page.wait_for_selector(f'.{control} input[name="{self._names[control, answer]}"]:checked', state="attached")

    def jump(self, control: str) -> None:
        """Press the key of a text field, which leads to the place before it."""
        self.page.keyboard.press(_spelled(self._keys[control, control]))
        self.page.wait_for_function("document.activeElement.closest('.jump')")

    def enter(self, control: str) -> None:
        """Go into an empty text field by its key and Tab."""
        self.jump(control)
        self.page.keyboard.press("Tab")
        self.page.wait_for_function("name => document.activeElement.name === name", arg=control)

    def type(self, control: str, words: str) -> None:
        """Go into an empty text field, type, and leave it by Enter."""
        self.enter(control)
        self.page.keyboard.type(words)
        self.leave()

    def correct(self, control: str, words: str) -> None:
        """Go to the words that were typed, open them by Space, and type others over them."""
        self.jump(control)
        self.page.keyboard.press("Tab")
        self.page.keyboard.press("Space")
        self.page.wait_for_function("document.activeElement.matches('input, textarea')")
        # Label Studio puts the cursor behind the words in a timer of its own, which would undo a selection made before it.
        self.page.evaluate("() => new Promise(done => setTimeout(done, 100))")
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(words)
        self.leave()

    def leave(self) -> None:
        """Leave a text field by Enter."""
        self.page.keyboard.press("Enter")
        self.page.wait_for_function("document.activeElement === document.body")

    def fill_in(self, reading: Reading) -> None:
        """Answer every question that a reading answers, without the mouse."""
        if reading.stance is None:
            self.press(UNJUDGED, UNJUDGED)
        else:
            if reading.holder is not None:
                self.type(HOLDER_WORDS, reading.holder)
            self.press(STANCE, reading.stance)
            self.press(CONCERNS, *reading.concerns)
            for control, answer in ((HOLDER_TYPE, reading.holder_type), (VOICE, reading.voice), (CAUSE, reading.cause)):
                if answer is not None:
                    self.press(control, answer)
        if reading.comment is not None:
            self.type(COMMENT, reading.comment)

    def submit(self) -> None:
        """Submit by keyboard; wait until the server has it and the statement has left the screen."""
        before = self.statement()
        with self.page.expect_response(lambda r: r.request.method == "POST" and "/annotations" in r.url) as sent:
            self.page.keyboard.press("Control+Enter")
        assert sent.value.ok
        self.page.wait_for_function("text => document.querySelector('.statement')?.innerText.trim() !== text", arg=before)

    def code(self, readings: Mapping[str, Reading]) -> None:
        """Code as many statements as there are readings, by statement text, in whatever order they come."""
        left = dict(readings)
        while left:
            reading = left.pop(self.statement())
            self.fill_in(reading)
            self.submit()


@contextmanager
def signed_up(chromium: Browser, server: Any, email: str, password: str) -> Iterator[Page]:
    """A page of somebody who followed the server's invitation link and filled in the sign-up form."""
    invitation = server.login().send("GET", "/api/invite")["invite_url"]
    context = chromium.new_context(viewport={"width": 1366, "height": 820})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(urljoin(server.url, invitation))
    page.fill("input[name=email]", email)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(lambda url: "/user/signup" not in url)
    yield page
    context.close()


def by_text(statements: Iterable[Item], readings: Iterable[Reading]) -> dict[str, Reading]:
    """Return readings by the text of their statement, for :meth:`Coder.code`."""
    return {item.statement.text: reading for item, reading in zip(statements, readings, strict=True)}


def _spelled(key: str) -> str:
    """A key of the form as the browser's driver spells it: shift+h is Shift+H."""
    *modifiers, last = key.split("+")
    names = [{"ctrl": "Control", "alt": "Alt", "shift": "Shift"}[m] for m in modifiers]
    return "+".join([*names, last.upper() if "Shift" in names else last])


def _names(config: str) -> dict[tuple[str, str], Any]:
    import xml.etree.ElementTree as ET

    return {
        (str(control.get("name")), str(choice.get("alias"))): choice.get("value")
        for control in ET.fromstring(config).iter("Choices")  # noqa: S314 - our own
        for choice in control.iter("Choice")
    }
