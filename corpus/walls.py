"""Walls: pages that stand where an article should, such as consent notices, paywalls, bot checks and soft 404s.

Each rule asks for two kinds of evidence (the page's title, sentences addressed to the reader, marks in the markup, headers,
the address) or for a text too short to be an article. A long text is no wall, whatever it mentions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from corpus import wall_signs as signs
from corpus.language import count_words

SHORT = 250  # words; walls say less, and so do few articles
_BRIEF = 60  # words: a paragraph. A page of so few needs less evidence
_SCRAP = 25  # words: a sentence or two
_STUB = 600  # words: the longest opening that a paywall lets through
_LONGEST_APPEAL = 30  # words
_CLOSE = 200  # characters: a line or two
_LONGEST_LOOK = 12_000  # characters of a page's visible text that are looked at


@dataclass(frozen=True, slots=True)
class Wall:
    """What stands in the article's place: the outcome of the page, the kind of wall, and what gave it away."""

    outcome: str
    reason: str
    evidence: str


@dataclass(frozen=True)
class Sight:
    """A page as a visitor meets it: the extracted article, all that shows, title and headings, markup, headers."""

    article: str
    show: Callable[[], str]
    titles: tuple[str, ...]
    source: str
    address: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def visible(self) -> str:
        """What the page shows, a block a line; seldom needed, and not cheap."""
        return self.show()


def may_be_wall(article: str, titles: tuple[str, ...], address: str) -> bool:
    """Tell cheaply whether it is worth looking for a wall: the article is not long, or title or address speak of consent."""
    return (
        (len(article) < 10 * _STUB and article.count(" ") < _STUB)
        or _titled(titles, signs.CONSENT_TITLE)
        or signs.CONSENT_ADDRESS.search(address) is not None
    )


def find_wall(sight: Sight) -> Wall | None:
    """Return the wall that a page is, or None where it may well be an article."""
    spaces = sight.article.count(" ")
    words = spaces if spaces >= SHORT else count_words(sight.article)  # near enough where there are many
    for rule in (_bot_check, _consent, _soft_404, _paywall, _other):
        wall = rule(sight, words)
        if wall is not None:
            return wall
    return None


def _titled(titles: tuple[str, ...], pattern: re.Pattern[str]) -> bool:
    """Tell whether a title, or a part of it between dashes and bars, is one of those of a wall, whole."""
    return any(pattern.fullmatch(part.strip()) for title in titles for part in (title, *signs.SEGMENT.split(title)))


def _bot_check(sight: Sight, words: int) -> Wall | None:
    if words >= SHORT:
        return None
    title, phrase = _titled(sight.titles, signs.BOT_TITLE), signs.BOT_PHRASE.search(sight.visible)
    header = any(sight.headers.get(name, "").lower().startswith(value) for name, value in signs.BOT_HEADER.items())
    nameless = all(signs.BARE_HOST.fullmatch(text.strip()) for text in sight.titles)
    seen = phrase is not None
    if not (title or seen or header):
        return None
    mark = signs.BOT_MARK.search(sight.source)
    # Marks alone say little: a page may ask for a captcha in its comment form only.
    if (
        title + seen + header >= 2
        or (words < _BRIEF and mark is not None)
        or (nameless and seen and mark is not None)
        or words < _SCRAP
    ):
        shown = phrase.words if phrase else next((text for text in sight.titles if text), "its headers")
        return Wall("blocked", "bot check", shown)
    return None


def _soft_404(sight: Sight, words: int) -> Wall | None:
    if words >= SHORT:
        return None
    title, phrase = _titled(sight.titles, signs.GONE_TITLE), signs.GONE_PHRASE.search(sight.visible)
    if title and (phrase is not None or words < _BRIEF):
        return Wall("empty", "soft 404", next(t for t in sight.titles if _titled((t,), signs.GONE_TITLE)))
    if phrase is not None and words < _BRIEF and count_words(sight.visible) < SHORT:
        return Wall("empty", "soft 404", phrase.words)
    return None


def _consent(sight: Sight, words: int) -> Wall | None:
    text = sight.article if words >= _SCRAP else sight.visible
    titled = _titled(sight.titles, signs.CONSENT_TITLE)
    addressed = signs.CONSENT_ADDRESS.search(sight.address) is not None
    if words >= SHORT and not (titled or addressed):
        return None
    if not signs.CONSENT_SENTENCE.likely(text):
        return None
    sentences = [part for part in re.split(r"(?<=[.!?。])\s+|\n+", text[:_LONGEST_LOOK]) if part.strip()]
    consenting = [part for part in sentences if signs.CONSENT_SENTENCE.search(part)]
    inside, total = sum(map(count_words, consenting)), sum(map(count_words, sentences))
    button = signs.CONSENT_BUTTON.search(sight.visible)
    kinds = titled + addressed + (button is not None) + (len(consenting) >= 2)
    dominant = inside >= 0.3 * total if titled or addressed else inside >= 0.5 * total and total - inside < _SCRAP
    if kinds >= 2 and consenting and dominant:
        return Wall("blocked", "cookie wall", max(consenting, key=count_words))
    return None


def _paywall(sight: Sight, words: int) -> Wall | None:
    if words >= _STUB:
        return None
    stated = signs.WORD_COUNT.search(sight.source) if "wordCount" in sight.source else None
    whole = int(stated[1]) if stated else None
    missing = whole is not None and words < 0.5 * whole
    if (whole is not None and words >= 0.8 * whole) or (words >= SHORT and not missing):
        return None
    locked = signs.NOT_FREE.search(sight.source) is not None
    lines = [line.strip() for line in sight.article.split("\n") if line.strip()]
    body = [line for line in lines if not signs.PAY_PHRASE.search(line)]
    cut = bool(body) and signs.ELLIPSIS.search(body[-1]) is not None
    phrase = signs.PAY_PHRASE.search(sight.visible)
    if phrase is None:
        if locked and (missing or (cut and words < SHORT)):
            return Wall("blocked", "paywall", f"{words} of {whole} words" if missing else body[-1][-60:])
        return None
    marked = locked or signs.PAY_MARK.search(sight.source) is not None
    if missing or (words < SHORT and (marked or cut or _follows(phrase, sight, body))) or words < _SCRAP:
        return Wall("blocked", "paywall", phrase.words)
    return None


def _follows(phrase: signs.Found, sight: Sight, body: list[str]) -> bool:
    """Tell whether an appeal to subscribe, no longer paragraph, stands right below the article's last words."""
    line = sight.visible[sight.visible.rfind("\n", 0, phrase.start) + 1 :].partition("\n")[0]
    if count_words(line) > _LONGEST_APPEAL:
        return False
    if not body:
        return True
    last = " ".join(body[-1].split())[-40:]
    end = sight.visible.rfind(last, 0, phrase.start)
    return end >= 0 and phrase.start - end - len(last) < _CLOSE


def _other(sight: Sight, words: int) -> Wall | None:
    if words < 2 * _BRIEF and _titled(sight.titles[:1], signs.LOGIN_TITLE) and signs.PASSWORD.search(sight.source):
        return Wall("blocked", "login wall", sight.titles[0])
    if words >= 2 * _BRIEF:
        return None
    region = signs.REGION_PHRASE.search(sight.visible)
    if region is not None and count_words(sight.visible) < SHORT:
        return Wall("blocked", "region block", region.words)
    script = signs.SCRIPT_PHRASE.search(sight.visible) if words < _SCRAP else None
    return None if script is None else Wall("blocked", "needs JavaScript", script.words)
