"""Segmentation: a document cut into statements of one to three sentences, and the clutter that stands between them.

Sentences are found by ``sentencex``; what is ours is which lines are paragraphs, which paragraphs are clutter, and which
sentences belong together. Everything works on offsets into the stored text, which is never changed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from corpus.clutter import attributed_to, classify, has_stop
from corpus.identity import statement_id
from corpus.records import Document, Statement

_LINE = re.compile(r"[^\n\v\f\x85\u2028\u2029]+")
_NARROWEST_WRAP = 40  # a newspaper column; narrower lines are verses and lists
_WRAP_SLACK = 0.85  # a proportional font or a hyphen-free setter fills lines to about this share of the longest

# Quotation marks are hidden from the splitter, which does not cut inside quotations, and takes quadratic time on marks
# that are never closed. Single ones count only at a word's edge: within a word they are apostrophes.
_QUOTES = re.compile(r"[\"“”„«»]|(?<!\w)['‘’‚‹›]|['‘’›](?!\w)")
_OPENER_AT_END = re.compile(r"\s[\"“”„«»'‘’‚‹]")
_OPENS_WITH_QUOTE = re.compile(r"[\"“„«‘‚‹']")
_ENDS_WITH_QUOTE = re.compile(r"[\"”»’›]\s*$")
_QUOTED = re.compile(r"[\"“„«][^\"“”„«»]*(?:[\"”»“]|$)|(?<!\w)‘[^‘]*?(?:’(?!\w)|$)")
_MAY_GO_ON = re.compile(r"[?!…][\"”’»›)\]]*$")  # after these the sentence goes on if a small letter follows

# Bullets stand before a paragraph, end signs and elisions behind or between sentences.
_BULLET = re.compile(r"(?:[•▪‣·●○■□◦►▶→*+–—-]\s+)+")
_LEADING_MARK = re.compile(r"(?:(?:®|»|■|►|\[(?:…|\.\.\.)\])\s+)+")
_TRAILING_MARK = re.compile(r"(?:\s+(?:®|»|›|→|■|◼|∎|#{2,3}|\[(?:…|\.\.\.)\]))+$")

# English words that say whose words or position a sentence gives. Two sentences that both have one may have two holders.
_SPEAKS = re.compile(
    r"\b(?:said|says?|saying|told|tells?|wrote|writes?|warn(?:s|ed|ing)?|add(?:s|ed)|argu(?:es?|ed|ing)|claim(?:s|ed)?"
    r"|call(?:s|ed|ing)?|urg(?:es?|ed|ing)|ask(?:s|ed)?|demand(?:s|ed)?|insist(?:s|ed)?|believ(?:es?|ed)|think(?:s)?"
    r"|thought|criticis(?:es?|ed)|criticiz(?:es?|ed)|oppos(?:es?|ed)|reject(?:s|ed)?|support(?:s|ed)?|back(?:s|ed)"
    r"|prais(?:es?|ed)|welcom(?:es?|ed)|fear(?:s|ed)?|worr(?:y|ies|ied)|want(?:s|ed)?|propos(?:es?|ed)|dub(?:s|bed)"
    r"|describ(?:es?|ed)|announc(?:es?|ed)|stress(?:es|ed)|not(?:es|ed)|object(?:s|ed)|condemn(?:s|ed)|defend(?:s|ed)"
    r"|agree(?:s|d)?|disagree(?:s|d)?|declar(?:es?|ed)|maintain(?:s|ed)|suggest(?:s|ed)|according to)\b",
    re.IGNORECASE,
)
_SHORT_ATTRIBUTION = re.compile(rf"(?:[\w.’'-]+,?\s+){{1,6}}?{_SPEAKS.pattern}", re.IGNORECASE)
_SAME_SPEAKER = re.compile(
    r"\b(?:he|she|they|it|we|i|(?:his|her|their|its)\s+(?:letter|statement|report|post|paper|spokes(?:wo)?man))"
    rf"\s+(?:also\s+|then\s+)?{_SPEAKS.pattern}|{_SPEAKS.pattern}\s+(?:he|she|they)\b",
    re.IGNORECASE,
)
# Words with which a sentence leans on the one before it.
_LEANS = re.compile(
    r"(?:(?-i:[Ii]t(?:s|self)?)|he|his|him|she|her|they|their|them|this|that|these|those|such|both|so|and|or|nor|thus|hence|therefore"
    r"|consequently|accordingly|also|additionally|moreover|furthermore|likewise|similarly|instead|rather|otherwise|then"
    r"|in (?:addition|turn|other words|short)|as a (?:result|consequence)|for (?:example|instance)|that is|even so"
    r"|doing so|if so|if not)\b(?!-?\w)",
    re.IGNORECASE,
)
# These lean too, but often turn to somebody else: "But critics say …" is another holder.
_CONTRASTS = re.compile(r"(?:but|yet|however|still|though|nevertheless|nonetheless|by contrast)\b(?!-)", re.IGNORECASE)

_LONGEST_MARKS = 40  # characters of marks behind a sentence; bounded so that time stays linear
_LONGEST_QUOTATION = 1000  # characters in which a » looks for its «; bounded for the same reason
_PAIR_CHARACTERS = 240  # nine in ten statements of the reference corpus are shorter: two plain sentences pair up to here
_ATTRIBUTION_CHARACTERS = 90  # "the minister told reporters after the vote in Hanoi on Monday." and not much more
_CONTEXT_CHARACTERS = 300  # a paragraph of news; more would crowd out the statement in a model's window
_CONTEXT_SENTENCES = 8  # keeps the work bounded where sentences are a word long
_SECTION_ENDS = ("heading", "lead_in", "source_note")  # behind these somebody else may speak


@dataclass(frozen=True)
class Clutter:
    """A piece of a document that is nobody's statement: its kind, and ``text == document.text[start:end]``."""

    kind: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Segmentation:
    """A document's statements and clutter, each in order. Together they hold every character that is not white space.

    ``attributions`` has, by statement id, the name that the section's lead-in gives as speaker, where it gives one.
    """

    document: Document
    statements: tuple[Statement, ...]
    clutter: tuple[Clutter, ...]
    attributions: Mapping[str, str]

    @property
    def counts(self) -> dict[str, int]:
        """Number of clutter pieces by kind, in the order of the kinds' names."""
        return dict(sorted(Counter(piece.kind for piece in self.clutter).items()))


@dataclass(frozen=True, slots=True)
class _Sentence:
    """Offsets of a sentence in the document, and where it stands: paragraph, section and its section's lead-in."""

    start: int
    end: int
    paragraph: int
    section: int
    lead_in: str = ""
    after_mark: bool = False


def segment(document: Document, *, max_sentences: int = 3, max_characters: int = 600) -> Segmentation:
    """Cut a document into statements and clutter.

    A statement is one sentence, or up to ``max_sentences`` neighbours of one paragraph that belong together and span at
    most ``max_characters``. A single sentence that is longer stays whole. ``before`` and ``after`` hold the neighbouring
    sentences of the same section, about 300 characters each, and ``before`` begins with the lead-in line that governs the
    section, if any. ``voice`` is None.

    Raises:
        ValueError: when a limit is below one.
    """
    if max_sentences < 1 or max_characters < 1:
        raise ValueError(f"max_sentences is {max_sentences}, max_characters is {max_characters}, expected 1 or more")
    text = document.text
    language = re.split(r"[-_]", document.language or "en")[0].lower() or "en"
    spans = paragraphs(text)
    kinds = classify([text[start:end] for start, end in spans], title=document.title)
    sentences: list[_Sentence] = []
    clutter: list[Clutter] = []
    section, lead_in = 0, ""
    for number, ((start, end), kind) in enumerate(zip(spans, kinds, strict=True)):
        if kind is not None:
            clutter.append(Clutter(kind, start, end, text[start:end]))
            if kind in _SECTION_ENDS:
                section, lead_in = section + 1, text[start:end] if kind == "lead_in" else ""
            continue
        after_mark = False
        for from_, to, is_mark in _pieces(text, start, end, language):
            if is_mark:
                clutter.append(Clutter("mark", from_, to, text[from_:to]))
            else:
                sentences.append(_Sentence(from_, to, number, section, lead_in, after_mark))
            after_mark = is_mark
    groups = tuple(_groups(text, sentences, max_sentences, max_characters))
    statements = tuple(_statement(document, sentences, first, last) for first, last in groups)
    speakers = {s.id: attributed_to(sentences[first].lead_in) for s, (first, _) in zip(statements, groups, strict=True)}
    return Segmentation(document, statements, tuple(clutter), {i: name for i, name in speakers.items() if name})


def wrapped_lines(lines: Sequence[str], *, widest: int = 100) -> list[bool]:
    """Return for each line but the last whether the next one continues its paragraph: the text was wrapped to a width.

    A break is forced if the next line's first word would not have fitted. Forced breaks count only where at least one
    of them stands within a sentence, so that short paragraphs of one line each are not taken for a wrapped one. A line
    that ends without a stop and is followed by a small letter goes on in any case. ``widest`` is the longest line, in
    characters, that can be a wrapped one: plain text is set to 60 to 80 columns, longer lines are whole paragraphs.
    """
    width = max((len(line) for line in lines), default=0)
    within = [not has_stop(a) and a[-1:] not in (":", ";") and b[:1].islower() for a, b in pairwise(lines)]
    forced = [len(a) + 1 + len(b.split(maxsplit=1)[0]) > _WRAP_SLACK * width for a, b in pairwise(lines)]
    if not _NARROWEST_WRAP <= width <= widest or not any(f and w for f, w in zip(forced, within, strict=True)):
        return within
    bullets = [_BULLET.match(b) is not None for b in lines[1:]]
    return [w or (f and not bullet) for f, w, bullet in zip(forced, within, bullets, strict=True)]


def paragraphs(text: str) -> list[tuple[int, int]]:
    """Return the offsets of a text's paragraphs: lines, or wrapped lines together, without white space around them."""
    spans: list[tuple[int, int]] = []
    for block in _blocks(text):
        joins = wrapped_lines([text[start:end] for start, end in block])
        spans.append(block[0])
        for (start, end), joined in zip(block[1:], joins, strict=True):
            if joined:
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
    return spans


def _blocks(text: str) -> Iterator[list[tuple[int, int]]]:
    """Yield runs of lines between blank ones, each line as trimmed offsets."""
    block: list[tuple[int, int]] = []
    end_before = 0
    for match in _LINE.finditer(text):
        span = _trimmed(text, match.start(), match.end())
        if span is None:
            continue
        if block and text.count("\n", end_before, span[0]) > 1:
            yield block
            block = []
        block.append(span)
        end_before = span[1]
    if block:
        yield block


def _trimmed(text: str, start: int, end: int) -> tuple[int, int] | None:
    piece = text[start:end]
    left = len(piece) - len(piece.lstrip())
    right = len(piece.rstrip())
    return (start + left, start + right) if right > left else None


def _pieces(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int, bool]]:
    """Yield a paragraph's sentences and marks as offsets, with whether it is a mark."""
    bullet = _BULLET.match(text, start, end)
    if bullet:
        yield start, start + len(bullet.group().rstrip()), True
        start = bullet.end()
    for from_, to in _sentences(text, start, end, language):
        first, last = from_, to
        leading = _LEADING_MARK.match(text, first, last)
        if leading and not _closes_quotation(leading, text, start):
            yield first, first + len(leading.group().rstrip()), True
            first = leading.end()
        trailing = _TRAILING_MARK.search(text, max(first, last - _LONGEST_MARKS), last)
        if trailing and has_stop(text[first : trailing.start()]) and not _closes_quotation(trailing, text, first):
            last = trailing.start()
        if last > first:
            yield first, last, not any(c.isalnum() for c in text[first:last])
        if last < to:
            yield to - len(text[last:to].lstrip()), to, True


def _closes_quotation(mark: re.Match[str], text: str, start: int) -> bool:
    """Return whether a mark is the » of a quotation that was opened shortly before it."""
    return "»" in mark.group() and "«" in text[max(start, mark.start() - _LONGEST_QUOTATION) : mark.start()]


def _sentences(text: str, start: int, end: int, language: str) -> list[tuple[int, int]]:
    """Return a paragraph's sentences as trimmed offsets, as the splitter cuts them but for three corrections.

    A quotation mark that opens the next sentence is moved there; a number that stands alone ("1.") goes with what it
    numbers; and after ``?``, ``!`` or ``…`` a small letter goes on ("Why?" she asked).
    """
    from sentencex import get_sentence_boundaries

    masked = _QUOTES.sub(" ", text[start:end])
    cuts = [start + boundary["end_index"] for boundary in get_sentence_boundaries(language, masked)]
    spans: list[tuple[int, int]] = []
    begin, numbered = start, False
    for cut in [*cuts[:-1], end]:
        stop = cut - 1 if cut < end and _OPENER_AT_END.fullmatch(text, cut - 2, cut) and not text[cut].isspace() else cut
        span = _trimmed(text, begin, stop)
        begin = stop
        if span is None:
            continue
        piece = text[slice(*span)]
        tail = text[max(start, spans[-1][1] - 8) : spans[-1][1]] if spans else ""
        goes_on = piece.lstrip("\"“„«'‘‚‹ ")[:1].islower() and _MAY_GO_ON.search(tail) is not None
        if spans and (numbered or goes_on):
            spans[-1] = (spans[-1][0], span[1])
        else:
            spans.append(span)
        numbered = len(piece) <= 8 and not any(c.isalpha() for c in piece) and any(c.isdigit() for c in piece)
    return spans


def _groups(text: str, sentences: Sequence[_Sentence], most: int, characters: int) -> Iterator[tuple[int, int]]:
    """Yield the first and last sentence of each statement."""
    first = 0
    while first < len(sentences):
        last, bound = first, False
        while last + 1 < len(sentences) and last + 1 - first < most:
            here, following = sentences[last], sentences[last + 1]
            if following.paragraph != here.paragraph or following.after_mark:
                break
            length = following.end - sentences[first].start
            if length > characters:
                break
            if _belongs(text, sentences, first, last + 1):
                bound = True
            elif last > first or bound or length > _PAIR_CHARACTERS or not _pairs(text, sentences, last):
                break
            last += 1
        yield first, last
        first = last + 1


def _belongs(text: str, sentences: Sequence[_Sentence], first: int, following: int) -> bool:
    """Return whether a sentence cannot be read apart from those of the statement before it."""
    said = text[sentences[first].start : sentences[following - 1].end]
    previous = text[sentences[following - 1].start : sentences[following - 1].end]
    sentence = text[sentences[following].start : sentences[following].end]
    if _quotation_is_open(said):
        return True
    own_words = _QUOTED.sub(" ", sentence)
    speaks = _SPEAKS.search(own_words) is not None
    if _OPENS_WITH_QUOTE.match(sentence):  # the same speaker goes on, unless another one is named
        speaker_known = _SPEAKS.search(_QUOTED.sub(" ", said)) is not None or _QUOTED.search(said) is not None
        return speaker_known and (not speaks or _SAME_SPEAKER.search(own_words) is not None)
    if (
        _ENDS_WITH_QUOTE.search(previous[-8:])
        and len(sentence) <= _ATTRIBUTION_CHARACTERS
        and _SHORT_ATTRIBUTION.match(own_words)
        and not _SPEAKS.search(_QUOTED.sub(" ", previous))
    ):
        return True  # “It fails.” Ms Ito said.
    if _CONTRASTS.match(sentence):
        return not speaks or _SAME_SPEAKER.search(own_words) is not None
    return _LEANS.match(sentence) is not None


def _pairs(text: str, sentences: Sequence[_Sentence], here: int) -> bool:
    """Return whether two plain sentences may share a statement: one speaker at most, and no third leans on the second."""
    a, b = sentences[here], sentences[here + 1]
    if all(_SPEAKS.search(text, s.start, s.end) for s in (a, b)):
        return False
    third = sentences[here + 2] if here + 2 < len(sentences) else b
    follows = third is not b and third.paragraph == b.paragraph and not third.after_mark
    return not (follows and _belongs(text, sentences, here + 1, here + 2))


def _quotation_is_open(said: str) -> bool:
    """Return whether a quotation that begins in the text does not end in it."""
    low = said.count("„")  # German: „…“
    curly = low > said.count("“") if low else said.count("“") > said.count("”")
    return curly or said.count("«") > said.count("»") or said.count('"') % 2 == 1


def _statement(document: Document, sentences: Sequence[_Sentence], first: int, last: int) -> Statement:
    start, end = sentences[first].start, sentences[last].end
    before = _context(document.text, sentences, first, step=-1)
    lead_in = sentences[first].lead_in
    return Statement(
        id=statement_id(document.id, start, end),
        document=document.id,
        start=start,
        end=end,
        text=document.text[start:end],
        before="\n".join(part for part in (lead_in, before) if part),
        after=_context(document.text, sentences, last, step=1),
    )


def _context(text: str, sentences: Sequence[_Sentence], edge: int, *, step: int) -> str:
    """Return the sentences next to one, forwards or backwards within its section, up to the context's length.

    The nearest is taken even if it is longer; if more than twice as long, only its nearer part.
    """
    taken: list[_Sentence] = []
    length = 0
    at = edge + step
    while 0 <= at < len(sentences) and sentences[at].section == sentences[edge].section:
        neighbour = sentences[at]
        length += neighbour.end - neighbour.start + 1
        if taken and (length > _CONTEXT_CHARACTERS or len(taken) == _CONTEXT_SENTENCES):
            break
        if length > 2 * _CONTEXT_CHARACTERS:
            return _nearer_part(text, neighbour, step)
        taken.append(neighbour)
        at += step
    taken.sort(key=lambda s: s.start)
    parts = [text[s.start : s.end] for s in taken]
    gaps = ["" if not i else " " if s.paragraph == taken[i - 1].paragraph else "\n" for i, s in enumerate(taken)]
    return "".join(gap + part for gap, part in zip(gaps, parts, strict=True))


def _nearer_part(text: str, sentence: _Sentence, step: int) -> str:
    """Return about a context's length of a long sentence: its end before a statement, its beginning after one."""
    if step < 0:
        part = text[sentence.end - _CONTEXT_CHARACTERS : sentence.end]
        return part.split(maxsplit=1)[-1]
    part = text[sentence.start : sentence.start + _CONTEXT_CHARACTERS]
    return part.rsplit(maxsplit=1)[0]
