"""How a document is cut: what is one statement, what is not, and that nothing is lost or counted twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import sentencex
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.extract import read_document
from corpus.identity import document_id, normalise
from corpus.records import Document
from corpus.segment import Segmentation, segment, wrapped_lines

DATA = Path(__file__).parent / "data"
LONG = "The delegation of Saint Orla asked the chair to put off the vote until the clause on secrecy has been settled"
LATER = (
    "in the afternoon, after a break of two hours that nobody had planned, and by then the interpreters had left the hall"
)


def make(text: str, *, language: str | None = None, title: str | None = None) -> Document:
    text = normalise(text)
    return Document(id=document_id("file:a.txt", text), url="file:a.txt", text=text, language=language, title=title)


def cut(text: str, **limits: int) -> list[str]:
    return [s.text for s in segment(make(text), **limits).statements]


def check(segmentation: Segmentation) -> None:
    """Every character that is not white space is in exactly one piece, and each piece slices the text."""
    text = segmentation.document.text
    pieces = [(s.start, s.end, s.text) for s in segmentation.statements]
    pieces = sorted(pieces + [(c.start, c.end, c.text) for c in segmentation.clutter])
    reached = 0
    for start, end, piece in pieces:
        assert start >= reached
        assert text[reached:start].strip() == ""
        assert text[start:end] == piece
        assert piece == piece.strip() != ""
        reached = end
    assert text[reached:].strip() == ""
    assert sum(segmentation.counts.values()) == len(segmentation.clutter)


# Documents made of what the rules look for, in any order, and of anything at all.
FRAGMENTS = st.sampled_from(
    ["The envoy said no.", "It failed.", "But they agreed.", "“It is bad,” she said.", "“It is bad. It", "must go.”",
     '"No."', "‘We object,’", "«Nous refusons. »", "„Nein. Nie.“", "»", "®", "[…]", "...", "1.", "(a)", "- ", "•", "U.N.",
     "Dr. Lee", "Why?", "so be it!", "As X says:", "Related articles", "Share post:", "By Ada Quill", "# Title",
     "🙂", "条約は危険だ。", "هذه جملة أولى.", "\u00a0", "\u200b", "\n", "\n\n", "\r\n", "\u2028", "\t", "\x00",
     "the clause on secrecy, which", "2023"]
)  # fmt: skip
DOCUMENTS = st.one_of(
    st.lists(st.tuples(FRAGMENTS, st.sampled_from([" ", "", "\n", "\n\n"])), max_size=40).map(
        lambda parts: "".join(text + gap for text, gap in parts)
    ),
    st.text(max_size=200),
)


@settings(deadline=None)
@given(DOCUMENTS)
def test_every_character_is_in_exactly_one_statement_or_piece_of_clutter(text: str) -> None:
    check(segment(make(text)))


@settings(deadline=None)
@given(DOCUMENTS, st.integers(1, 3), st.integers(1, 300))
def test_statements_are_whole_runs_of_sentences_within_the_limits(text: str, most: int, characters: int) -> None:
    document = make(text)
    alone = {(s.start, s.end) for s in segment(document, max_sentences=1).statements}
    starts, ends = {start for start, _ in alone}, {end for _, end in alone}
    for s in segment(document, max_sentences=most, max_characters=characters).statements:
        inside = [span for span in alone if s.start <= span[0] and span[1] <= s.end]
        assert s.start in starts
        assert s.end in ends
        assert 1 <= len(inside) <= most
        assert len(inside) == 1 or s.end - s.start <= characters
        assert "\n\n" not in s.text


@settings(deadline=None)
@given(DOCUMENTS)
def test_the_same_document_is_always_cut_in_the_same_way(text: str) -> None:
    assert segment(make(text)) == segment(make(text))


def test_an_article_is_cut_as_a_careful_reader_would() -> None:
    segmentation = segment(read_document(DATA / "harbour.txt"))
    pieces = [(s.start, "statement", s.text) for s in segmentation.statements]
    pieces += [(c.start, c.kind, c.text) for c in segmentation.clutter]
    expected = json.loads((DATA / "harbour.expected.json").read_text(encoding="utf-8"))
    assert [[kind, text] for _, kind, text in sorted(pieces)] == expected
    assert segmentation.counts == dict(sorted(Counter(kind for kind, _ in expected if kind != "statement").items()))
    assert all(s.voice is None for s in segmentation.statements)
    check(segmentation)


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        pytest.param(
            '"The draft is too vague," she wrote in a post. "It could jail anyone who tests a lock."',
            ['"The draft is too vague," she wrote in a post. "It could jail anyone who tests a lock."'],
            id="a quotation goes with its second half",
        ),
        pytest.param(
            "“The draft is too vague.” Ms Ito said.",
            ["“The draft is too vague.” Ms Ito said."],
            id="a quotation goes with the attribution behind it",
        ),
        pytest.param(
            "“Is it too vague?” she asked. “No!” he cried.",
            ["“Is it too vague?” she asked. “No!” he cried."],
            id="a question within a quotation does not end the sentence",
        ),
        pytest.param(
            "According to Kite Watch, “the draft is vague. The clause must go. Nobody wants it.” The vote is on Friday.",
            ["According to Kite Watch, “the draft is vague. The clause must go. Nobody wants it.”",
             "The vote is on Friday."],
            id="a quotation of several sentences is kept together",
        ),
        pytest.param(
            "“The draft is vague,” said Ms Ito of Kite Watch. “It is a fair text,” said Mr Reyl of Norland.",
            ["“The draft is vague,” said Ms Ito of Kite Watch.", "“It is a fair text,” said Mr Reyl of Norland."],
            id="two speakers are two statements",
        ),
        pytest.param(
            "Norland wants the treaty. Saint Orla rejects it.",
            ["Norland wants the treaty.", "Saint Orla rejects it."],
            id="two holders are two statements",
        ),
        pytest.param(
            f"{LONG}. It was heard {LATER}.",
            [f"{LONG}. It was heard {LATER}."],
            id="a sentence that begins with a pronoun goes with the one before",
        ),
        pytest.param(
            f"{LONG}. IT experts were heard {LATER}.",
            [f"{LONG}.", f"IT experts were heard {LATER}."],
            id="an abbreviation in capitals is no pronoun; two long sentences are two statements",
        ),
        pytest.param(
            "The judge said that losses doubled. But there's more at play here.",
            ["The judge said that losses doubled. But there's more at play here."],
            id="a contrast without a speaker goes with the one before",
        ),
        pytest.param(
            "Norland said that losses doubled. But critics say that the figures are old.",
            ["Norland said that losses doubled.", "But critics say that the figures are old."],
            id="a contrast with another speaker stands apart",
        ),
        pytest.param(
            "The vote is on Friday. The hall is open.",
            ["The vote is on Friday. The hall is open."],
            id="two short plain sentences share a statement",
        ),
        pytest.param(
            "The vote is on Friday. The hall is open. It seats ninety.",
            ["The vote is on Friday.", "The hall is open. It seats ninety."],
            id="a sentence is not taken from the one that leans on it",
        ),
        pytest.param(
            "Dr. Lee met U.N. envoys on Nov. 4 at 3.30 p.m. in Hanoi.",
            ["Dr. Lee met U.N. envoys on Nov. 4 at 3.30 p.m. in Hanoi."],
            id="abbreviations do not end sentences",
        ),
        pytest.param(
            "1. The text is open to all states for signature.",
            ["1. The text is open to all states for signature."],
            id="a number goes with what it numbers",
        ),
        pytest.param(
            "« Nous refusons ce texte. » Le vote est vendredi.",
            ["« Nous refusons ce texte. » Le vote est vendredi."],
            id="a guillemet that closes a quotation is no end sign",
        ),
    ],
)  # fmt: skip
def test_what_belongs_together_is_one_statement_and_what_does_not_is_two(paragraph: str, expected: list[str]) -> None:
    assert cut(paragraph) == expected


def test_a_statement_never_crosses_a_paragraph() -> None:
    for gap in ("\n\n", "\n", "\r\n", "\n \n", "\u2029"):
        assert cut(f"It failed.{gap}It was bad.") == ["It failed.", "It was bad."]


def test_three_sentences_at_most_and_the_fourth_has_them_as_its_context() -> None:
    four = segment(make("The draft is long. It is vague. It is late. It is lost."))
    assert [s.text for s in four.statements] == ["The draft is long. It is vague. It is late.", "It is lost."]
    assert four.statements[1].before == "The draft is long. It is vague. It is late."
    assert four.statements[0].after == "It is lost."


@pytest.mark.parametrize(
    "sentence",
    ["1. The text is open to all states.", "“Is it vague?” she asked.", "« Nous refusons ce texte. »", "“No!” he cried."],
)
def test_numbers_questions_and_closing_marks_do_not_stand_alone(sentence: str) -> None:
    assert cut(f"{sentence} Nobody came.", max_sentences=1) == [sentence, "Nobody came."]


def test_a_statement_may_be_as_long_as_the_limit_and_not_longer() -> None:
    text = "It failed. It fell."
    assert cut(text, max_characters=len(text)) == [text]
    assert cut(text, max_characters=len(text) - 1) == ["It failed.", "It fell."]


def test_a_single_sentence_longer_than_the_limit_stays_whole() -> None:
    long = "The draft, " + "which was late, " * 100 + "failed."
    assert cut(f"{long} It is lost.", max_characters=600) == [long, "It is lost."]


@pytest.mark.parametrize("limits", [{"max_sentences": 0}, {"max_characters": 0}])
def test_a_limit_below_one_is_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected 1 or more"):
        segment(make("It failed."), **limits)


def test_hard_wrapped_text_is_not_cut_within_sentences() -> None:
    wrapped = (
        "The delegation of Saint Orla asked the chair to put off the vote until the\n"
        "clause on secrecy has been settled. Norland, which had drafted the clause,\n"
        "objected.\n"
        "The next session opens on Friday."
    )
    assert cut(wrapped) == [
        "The delegation of Saint Orla asked the chair to put off the vote until the\nclause on secrecy has been settled.",
        "Norland, which had drafted the clause,\nobjected.",
        "The next session opens on Friday.",
    ]


def test_a_wrapped_line_may_end_with_a_stop_or_be_followed_by_a_capital() -> None:
    lines = [
        "The envoys of four islands met in the old custom house by the sea.",
        "Norland came late and heard the first speech from the door of",
        "Hall B, where the secretariat had put a chair, a lamp and a",
        "jug of water.",
    ]
    assert wrapped_lines(lines) == [True, True, True]


def test_short_paragraphs_on_lines_of_their_own_are_not_taken_for_wrapped_text() -> None:
    lines = [
        "The envoys of four islands met in the old house by the sea.",
        "Norland came late and heard the speeches from the door.",
        "The next session will be opened on Friday by the chairman.",
    ]
    assert wrapped_lines(lines) == [False, False]
    assert wrapped_lines([]) == []
    assert wrapped_lines(["one"]) == []


def test_a_list_within_a_wrapped_block_keeps_its_items_apart() -> None:
    lines = [
        "The draft obliges each state party to do the following at home within",
        "two years:",
        "- to store the traffic data of every customer for at least ninety days",
        "- to name a contact point",
    ]
    assert wrapped_lines(lines) == [True, False, False]


def test_a_lead_in_stands_before_the_statements_that_it_introduces_until_the_next() -> None:
    text = f"According to Kite Watch:\n{LONG}.\nThe hall is open.\nThe Courier reports:\nThe vote is on Friday.\n"
    text += "Read more at The Courier.\nNobody came."
    statements = segment(make(text)).statements
    assert [s.before for s in statements] == [
        "According to Kite Watch:",
        f"According to Kite Watch:\n{LONG}.",
        "The Courier reports:",
        "",
    ]
    assert [s.after for s in statements] == ["The hall is open.", "", "", ""]
    assert segment(make(text)).attributions == {s.id: "Kite Watch" for s in statements[:2]}


def test_a_heading_ends_the_reach_of_a_lead_in() -> None:
    text = "According to Kite Watch:\n\nThe hall is open.\n\nAn empty hall\n\nThe vote is on Friday."
    assert [s.before for s in segment(make(text)).statements] == ["According to Kite Watch:", ""]


def test_context_is_cut_to_about_300_characters_at_a_sentence() -> None:
    sentences = [
        f"Delegation number {n:02d} took the floor and spoke about the clause on secrecy for {n} minutes."
        for n in range(10, 20)
    ]
    middle = segment(make(" ".join(sentences)), max_sentences=1).statements[5]
    assert middle.before == " ".join(sentences[2:5])
    assert middle.after == " ".join(sentences[6:9])
    assert 200 < len(middle.before) <= 300


def test_of_a_neighbour_without_end_only_the_nearer_part_is_context() -> None:
    endless = "so " * 1000
    first, second = segment(make(f"It failed.\n\nIt was {endless}bad.")).statements
    assert first.after.startswith("It was so so")
    assert len(first.after) <= 300
    assert second.before == "It failed."
    last = segment(make(f"It was {endless}bad.\n\nIt failed.")).statements[1]
    assert last.before.endswith("so so bad.")
    assert len(last.before) <= 300


@pytest.mark.parametrize("mark", ["®", "»", "[…]", "[...]", "■"])
def test_an_end_sign_behind_a_sentence_is_a_mark(mark: str) -> None:
    segmentation = segment(make(f"The vote is on Friday. {mark}"))
    assert [s.text for s in segmentation.statements] == ["The vote is on Friday."]
    assert [(c.kind, c.text) for c in segmentation.clutter] == [("mark", mark)]


def test_a_mark_between_two_sentences_keeps_them_apart() -> None:
    assert cut("The vote is on Friday. […] It was moved.") == ["The vote is on Friday.", "It was moved."]
    assert cut("The […] vote is on Friday.") == ["The […] vote is on Friday."]
    assert cut("It failed." + " ®" * 50_000 + " Why?")[-1] == "Why?"


@pytest.mark.parametrize("text", ["", " \n\t\u00a0\n", "\n" * 100_000])
def test_a_document_without_words_has_neither_statements_nor_clutter(text: str) -> None:
    segmentation = segment(make(text))
    assert (segmentation.statements, segmentation.clutter, segmentation.counts) == ((), (), {})


def test_a_document_of_one_word_is_one_statement() -> None:
    assert cut("Shame") == ["Shame"]


def test_a_document_of_clutter_alone_has_no_statement() -> None:
    segmentation = segment(make("Share post:\n\nAccept all cookies\n\nRelated articles\n\nPort fees rise"))
    assert segmentation.statements == ()
    assert segmentation.counts == {"cookie": 1, "related": 2, "share": 1}


@pytest.mark.parametrize("language", ["en", "en-GB", "ar", "ja", "zxx", None])
def test_offsets_are_code_points_in_every_script_and_language(language: str | None) -> None:
    text = "🙂 Good news from Hanoi.\n\n条約は危険だ。廃止せよ。\n\n"
    text += "هذه جملة أولى. هذه جملة ثانية؟\n\nThe e\u0301tat said 👩‍🚀 no."
    segmentation = segment(make(text, language=language))
    check(segmentation)
    assert [s.text for s in segmentation.statements] == [
        "🙂 Good news from Hanoi.",
        "条約は危険だ。廃止せよ。",
        "هذه جملة أولى. هذه جملة ثانية؟",
        "The \u00e9tat said 👩‍🚀 no.",
    ]


def test_a_nul_within_the_text_is_kept_and_does_no_harm() -> None:
    segmentation = segment(make("The vo\x00te is on Friday. \x00"))
    check(segmentation)
    assert segmentation.statements[0].text.startswith("The vo\x00te")


@pytest.mark.parametrize("unit", [f"{LONG}. It failed. ", "‘It is bad. ", '"It is bad. ', f"{LONG}.\n", "No. ", "Why? so "])
def test_the_work_grows_with_the_length_of_the_document_and_not_faster(unit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The splitter sees each character once, or twice in a short line, and contexts are bounded for each statement."""
    seen = 0
    splitter = sentencex.get_sentence_boundaries

    def counting(language: str, text: str) -> list[dict[str, int]]:
        nonlocal seen
        assert not set(text) & set('“”‘"«»„')  # on marks that are never closed the splitter takes quadratic time
        seen += len(text)
        return list(splitter(language, text))

    monkeypatch.setattr(sentencex, "get_sentence_boundaries", counting)
    text = unit * (60_000 // len(unit))
    segmentation = segment(make(text))
    assert len(text) / 2 < seen <= 2 * len(text)
    assert all(len(s.before) <= 600 and len(s.after) <= 600 for s in segmentation.statements)


def test_a_line_of_four_million_characters_is_one_statement() -> None:
    assert cut("a" * 4_000_000) == ["a" * 4_000_000]
