"""Clutter: what stands on a page and is nobody's statement. Each paragraph gets a kind of clutter, or None for prose.

The rules are the furniture of English web pages in general. Each demands the whole paragraph, because a statement may well
contain the words of a button. When in doubt a paragraph is prose: a labelled menu can be seen and reported, a statement that
vanished cannot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

# Sentence stops of the scripts that the splitter knows, with the closing quotes and brackets that may follow them.
STOPS = ".!?…。！？؟۔।॥"
_CLOSERS = r"\"'”’»›)\]"
_ENDS_WITH_STOP = re.compile(rf"[{STOPS}][{_CLOSERS}\s]*$")
_ENDS_WITH_ELLIPSIS = re.compile(r"(?:…|\.\.\.)\s*$")

_LONGEST_FURNITURE = 400  # a cookie notice of three sentences; longer paragraphs are read by somebody
_LONGEST_HEADING = 120  # headlines of news sites stay below; the first line of a paragraph rarely does
_LONGEST_LEAD_IN = 160  # names a source and what it did; longer ones say something themselves
_SHORTEST_PROSE = 80  # below it, a sentence after a list of links is as likely a caption or a button
_HEADINGS_TOGETHER = 2  # headline and deck: more unstopped lines in a row are a list, and a list may state something
_HEADINGS_AT_START = 4  # rubric, headline, deck and a line on the series

_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY = r"(?:(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?\.?,?\s+)?"
_DATE = (
    rf"{_DAY}(?:\d{{1,2}}(?:st|nd|rd|th)?\s+{_MONTH},?\s+\d{{4}}|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?,?\s+\d{{4}}"
    r"|\d{4}-\d{2}-\d{2}|\d{1,2}[./]\d{1,2}[./]\d{2,4})"
)
_TIME = r"(?:,?\s*(?:at\s+|[-–|•·]\s*)?\d{1,2}[:.]\d{2}(?::\d{2})?\s*(?:[ap]\.?m\.?)?\s*(?:[A-Z]{2,4})?)?"
_READING = r"(?:\d+\s*-?\s*min(?:ute)?s?\s+read|(?:estimated\s+)?read(?:ing)?\s+time:?\s*\d+\s*min(?:ute)?s?)"
_CAPITAL = r"(?-i:(?:[A-Z]\.)+|[A-Z][\w’'-]*)"
# Repetitions are bounded, so that a line made to confuse the pattern cannot keep it busy.
_NAME = rf"{_CAPITAL}(?:\s+(?:{_CAPITAL}|(?-i:de|van|von|der|al|bin|la))){{0,8}}"

_BUTTON = r"tweet|e-?mail|print|copy link|save|whatsapp|facebook|twitter|linkedin|telegram|reddit|bluesky|mastodon"
_MENU = (
    r"terms(?: and conditions| of (?:use|service))?|privacy(?: policy)?|contact(?: us)?|about(?: us)?|imprint|home|menu"
    r"|search|sitemap|careers|accessibility|cookies"
)

# (kind, reason, patterns). A pattern must match the whole paragraph; case is ignored.
_FURNITURE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "share",
        "buttons that send the page elsewhere, left behind as words",
        (
            r"share(?:\s+(?:this|the))?(?:\s+(?:post|article|story|page|news|link))?"
            r"(?:\s+(?:on|via|with (?:a )?friends?)\b[\w\s,/&()-]{0,60})?\s*:?",
            rf"(?:{_BUTTON}|like|pin it|x)(?:\s+(?:this|article|link|{_BUTTON}))*",
            r"(?:listen to this (?:article|story)|leave a comment|add a comment|(?:\d+|no)\s+comments?|comments?)\s*:?",
        ),
    ),
    (
        "byline",
        "who wrote or photographed it, when, and how long it takes: metadata, not a position",
        (
            rf"(?:(?:words|story|written|reported|posted|published)\s+)?by:?\s+{_NAME}"
            rf"(?:(?:,?\s+and\s+|\s*[|•·–—,&]\s*|\s+-\s+)(?:{_DATE}{_TIME}|{_READING}|{_NAME})){{0,5}}",
            rf"(?:(?:first\s+|last\s+)?(?:published|updated|posted|modified)(?:\s+(?:on|at))?:?\s*)?"
            rf"{_DATE}{_TIME}(?:\s*[|•·–-]\s*{_READING})?",
            _READING,
            r"reporting by\b[^.]{3,120};\s*editing by\b.{3,120}",
            r"\(?(?:photo(?:graph)?|image|picture|illustration)(?:\s+(?:by|credit|courtesy of))?:\s*[^:]{2,80}",
            rf"\(?(?:photo(?:graph)?|image|picture|illustration)\s+(?:by|courtesy of)\s+{_NAME}(?:\s*/\s*{_NAME})*\)?",
        ),
    ),
    (
        "cookie",
        "consent notices, which law puts on every page",
        (
            r"(?:we|we and our partners|this (?:web)?site|our (?:web)?site)\s+(?:may\s+)?uses?\s+cookies\b.*",
            r"by (?:continuing|using|browsing|clicking|closing)\b.{0,80}"
            r"\b(?:site|website|service|banner|button|browse|accept|ok)\b.{0,40}\byou\s+(?:\w+\s+)?(?:agree|consent|accept)\b.*",
            r"(?:accept|allow|reject|decline|manage)(?:\s+(?:all|only|necessary|optional|my))*\s+(?:cookies|preferences|consent)",
            r"(?:your\s+)?(?:cookies?|privacy|consent)\s+(?:settings|preferences|policy|notice|choices|consent)",
            r"(?:i accept|accept(?: all)?|got it!?|reject all|i agree)",
        ),
    ),
    (
        "newsletter",
        "requests to subscribe, join, pay or write in, addressed to the reader",
        (
            r"become a (?:free\s+|paid\s+|premium\s+)?(?:member|subscriber|supporter|patron)(?:\s+(?:today|now))?[.!]?",
            r"(?:subscribe|sign up|register|log ?in|sign in)(?:\s+(?:now|today|here|free|for free))*\s*[.!]?",
            r"(?:please\s+)?(?:subscribe|sign up|register)\s+(?:now\s+)?(?:to|for|and)\b.{0,120}"
            r"\b(?:newsletters?|inbox|e-?mails?|alerts|mailing list|updates|digest|briefing|podcast|channel)\b.{0,80}",
            r"(?:get|receive)\b.{0,160}\b(?:(?:in|to|into) your (?:inbox|e-?mail)|our (?:free\s+)?newsletters?)\b.{0,80}",
            r"(?:already a (?:subscriber|member)|not a (?:subscriber|member)(?: yet)?)\?.{0,80}",
            r"(?:our|the|daily|weekly|free|e-?mail)?\s*newsletters?(?:\s+sign-?\s?up)?",
            r"send us (?:news|a tip|your tips?|tips|feedback|your feedback|an? e-?mail)\b.{0,40}",
            r"(?:got|have) (?:a (?:news )?tip|a story|news)\b.{0,20}\?.{0,80}",
            r"follow (?:us|me)\s+on\s+(?:x|facebook|twitter|linkedin|instagram|bluesky|mastodon|telegram|youtube|threads"
            r"|tiktok|google|social media)\b[^.;:]{0,80}[.!]?",
            r"(?:support|donate to) (?:our|independent) (?:journalism|work|reporting)\b[^,;:]{0,60}",
            r"(?:donate|join us|join now|create (?:an|a free) account|start your free trial)\s*[.!]?",
            r"(?:enter\s+)?(?:your\s+)?e-?mail address\s*\*?",
        ),
    ),
    (
        "source_note",
        "where the text came from or can be had: names outlets, reports nothing",
        (
            r"(?:the\s+)?sources?\s+(?:for|of|used in)\s+this\s+(?:piece|article|story|report|post)"
            r"\s+(?:include|are|is|were|was)\b.*",
            r"sources?:\s*[^.;]{2,80}\.?",
            r"(?:read|see|find out|learn|discover)\s+(?:more|the (?:full|original|whole|complete) "
            r"(?:story|article|report|statement|text|post|interview|letter))"
            r"(?:\s+(?:at|on|in|from|here|about|via)\b[^,;:]{0,80})?\s*[.»›→>]*",
            r"(?:read (?:more|also|next)|also read|see also|related|watch|listen|further reading):\s*.{2,160}(?<![.!?])",
            r"(?:continue reading|click here)\b[^,;:]{0,80}[.»›→>]*",
            r"download\b.{0,120}\([^()]{0,40}\b(?:pdf|docx?|pp|pages?|[km]b)\b[^()]{0,40}\)\s*\.?",
            r"download\s+(?:the\s+|this\s+)?(?:full\s+|complete\s+|original\s+)?"
            r"(?:pdf|report|document|text|statement|letter)(?:\s+(?:here|as (?:a\s+)?pdf))?\s*\.?",
            r"(?:this|the)\s+(?:article|story|piece|post|interview)\s+(?:(?:was|is|has been)\s+)?"
            r"(?:originally|first|re)[ -]?(?:published|appeared|posted)\s+(?:in|on|by|at|from|with)\b.{2,120}",
            r"view (?:the )?(?:original|source|pdf|full text)\b.{0,60}",
        ),
    ),
    (
        "boilerplate",
        "notices, page numbers, menus and advertising labels that stand on every page of a site",
        (
            r"(?:©|\(c\)\s|copyright\s+(?:©|\(c\)|\d{4}\b)).{0,200}",
            r".{0,160}\ball rights reserved\b.{0,60}",
            rf"(?:{_MENU})(?:\s*[|•·/]\s*(?:{_MENU}))*",
            r"(?:advertisement|advertising|sponsored(?: content)?|promoted|ad)\.?",
            r"article continues below(?: this)?(?: advertisement)?\.?",
            r"(?:skip to (?:main )?content|back to top|scroll (?:down|to continue)|loading(?:…|\.\.\.)?|close)",
            r"(?:next|previous)(?: (?:page|article|story|post))?",
            r"(?:page\s+)?\d{1,4}(?:\s*(?:of|/)\s*\d{1,4})?",
            r"tags?:\s*.{2,160}|(?:filed under|topics?|categories|category):\s*.{2,160}",
        ),
    ),
)
_COMPILED = tuple(
    (kind, re.compile("|".join(f"(?:{p})" for p in patterns), re.IGNORECASE | re.DOTALL)) for kind, _, patterns in _FURNITURE
)

# Lines that open a list of other articles. What follows is furniture until prose resumes (see classify).
_RELATED = re.compile(
    r"(?:related|recommended|featured|popular|trending|latest|recent|similar|further|other|top)\s+(?:[\w&]+\s+)?"
    r"(?:articles?|stories|story|posts?|news|reading|topics?|content|coverage|jobs|videos?)"
    r"(?:\s+(?:you (?:might|may) (?:also )?(?:like|enjoy)|for you|from\b.{2,40}|on\b.{2,40}))?"
    r"|you (?:might|may) (?:also )?(?:like|enjoy|be interested in)|(?:related|trending|recommended)(?: now| for you)?"
    r"|more (?:about|like this|on this (?:story|topic|subject)|stories|news|articles)"
    r"|more (?:(?:stories|news|articles|coverage)\s+)?from\b.{2,40}"
    r"|most (?:read|popular|viewed|shared|commented)|read next|up next|what to read next|don[’']t miss|in case you missed it"
    r"|editor[’']?s[’']? (?:picks?|choice)",
    re.IGNORECASE,
)
_MARKDOWN_HEADING = re.compile(r"#{1,6}\s+\S")
_BULLET = re.compile(r"[•▪‣·●○◦*+–—-]\s")
# Who speaks in what follows. Verbs of reporting ("reports", "has", "covers") are left out on purpose.
_ATTRIBUTION = re.compile(
    r"(?:according to|in the words of)\s+([^:]{2,80}):"
    r"|([^:]{2,80}?)\s+(?:says?|said|writes?|wrote|argues?|argued|warns?|warned|states?|stated|explains?|explained|adds?|added"
    r"|comments?|commented|believes?|insists?|insisted|declares?|declared|concludes?|concluded)(?:\s[^:]{0,40})?:",
    re.IGNORECASE,
)


def has_stop(text: str) -> bool:
    """Return whether a text ends as a sentence does: a stop, perhaps with closing quotes or brackets behind it."""
    return _ENDS_WITH_STOP.search(text[-8:]) is not None


def furniture(line: str) -> str | None:
    """Return the kind of furniture that a whole line is by its own words, or None.

    The kinds are ``share``, ``byline``, ``cookie``, ``newsletter``, ``source_note``, ``boilerplate``, ``related`` (a line
    that opens a list of other articles) and ``mark`` (no letter and no digit in it).
    """
    if not any(character.isalnum() for character in line):
        return "mark"
    if len(line) > _LONGEST_FURNITURE:
        return None
    words = line.strip().lstrip("#>*•- ").rstrip("* ")
    if _RELATED.fullmatch(words.rstrip(" :")):
        return "related"
    return next((kind for kind, pattern in _COMPILED if pattern.fullmatch(words)), None)


def is_heading(line: str) -> bool:
    """Return whether a line has the form of a heading: short, no final stop, not a list item, not a sentence's rest."""
    if _MARKDOWN_HEADING.match(line):
        return True
    letters = next((character for character in line if character.isalpha()), "a")
    return (
        len(line) <= _LONGEST_HEADING
        and not has_stop(line)
        and not line.rstrip().endswith((":", ";", ","))
        and not letters.islower()
        and not _BULLET.match(line)
    )


def classify(paragraphs: Sequence[str], *, title: str | None = None) -> list[str | None]:
    """Return each paragraph's kind of clutter, or None for prose.

    Besides the kinds of ``furniture`` these are ``heading`` (headline, deck, subheading), ``lead_in`` (a line that ends in
    a colon and introduces what follows) and ``teaser`` (the text of a card below a line like "Related articles").

    Args:
        paragraphs: the document's paragraphs in order, without surrounding white space.
        title: the document's title; an early paragraph equal to it is a heading, whatever its form.
    """
    kinds = [furniture(p) for p in paragraphs]
    _mark_related(paragraphs, kinds)
    _mark_lead_ins(paragraphs, kinds)
    _mark_headings(paragraphs, kinds, title)
    return kinds


def _mark_related(paragraphs: Sequence[str], kinds: list[str | None]) -> None:
    """Mark what follows a related-articles line, up to the end or to where the article clearly resumes.

    It resumes with a paragraph of prose that follows the line at once (the links were lost), or with two paragraphs of
    prose in a row: in a list of cards a headline stands between them.
    """
    tail, after_link = False, False
    for i, text in enumerate(paragraphs):
        if kinds[i] == "related":
            tail, after_link = True, False
        elif tail and kinds[i] is not None:
            after_link = after_link or kinds[i] != "mark"
        elif tail:
            next_is_prose = i + 1 < len(paragraphs) and kinds[i + 1] is None and _is_clear_prose(paragraphs[i + 1])
            if _is_clear_prose(text) and (not after_link or next_is_prose):
                tail = False
                continue
            kinds[i] = "teaser" if has_stop(text) else "related"
            after_link = True


def _is_clear_prose(text: str) -> bool:
    return len(text) >= _SHORTEST_PROSE and has_stop(text) and not _ENDS_WITH_ELLIPSIS.search(text)


def attributed_to(lead_in: str) -> str | None:
    """Return who a lead-in says is about to speak: "the United Nations" in "According to the United Nations:".

    None for lead-ins that introduce a report of an outlet ("The Record reports:"): an outlet reports positions and holds
    none, so it is no holder of what follows.
    """
    match = _ATTRIBUTION.fullmatch(lead_in.strip())
    name = next((g for g in match.groups() if g), "") if match else ""
    return name.strip(" ,") or None


def _mark_lead_ins(paragraphs: Sequence[str], kinds: list[str | None]) -> None:
    for i, text in enumerate(paragraphs):
        if kinds[i] is None and text.endswith((":", "：")) and len(text) <= _LONGEST_LEAD_IN and _one_sentence(text):
            kinds[i] = "lead_in"


def _mark_headings(paragraphs: Sequence[str], kinds: list[str | None], title: str | None) -> None:
    """Mark headings: lines of that form directly above prose or a lead-in, and the document's title.

    A line of that form with nothing below it is prose: it may be all that somebody said.
    """
    wanted = " ".join(title.split()).casefold() if title else None
    prose = next((i for i, kind in enumerate(kinds) if kind is None and not is_heading(paragraphs[i])), len(kinds))
    first = next((i for i, kind in enumerate(kinds) if kind is None), None)
    run: list[int] = []
    for i, text in enumerate(paragraphs):
        if kinds[i] is None and _MARKDOWN_HEADING.match(text):
            kinds[i] = "heading"
        elif kinds[i] is None and is_heading(text):
            run.append(i)
        elif kinds[i] in (None, "lead_in"):
            if len(run) <= (_HEADINGS_AT_START if i <= prose else _HEADINGS_TOGETHER):
                for line in run:
                    kinds[line] = "heading"
            run = []
        elif i > prose and kinds[i] != "mark":
            run = []  # furniture below a line within the article: nothing that it could be the heading of
    for i in range(min(prose + 1, len(kinds) - 1)):
        same = wanted is not None and " ".join(paragraphs[i].split()).casefold() == wanted
        if kinds[i] is None and (same or (i == first == 0 and _is_question(paragraphs[i]))):
            kinds[i] = "heading"


def _is_question(text: str) -> bool:
    return len(text) <= _LONGEST_HEADING and text.endswith("?") and _one_sentence(text)


def _one_sentence(text: str) -> bool:
    from sentencex import get_sentence_boundaries

    return len(get_sentence_boundaries("en", text)) == 1
