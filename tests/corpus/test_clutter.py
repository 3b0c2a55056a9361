"""Which paragraphs are clutter, of what kind, and which only look like it."""

from __future__ import annotations

import pytest

from corpus.clutter import attributed_to, classify, furniture, has_stop, is_heading

PROSE = "The delegation of Saint Orla asked the chair to put off the vote until the clause on secrecy has been settled."

FURNITURE = [
    ("share", "Share post:"),
    ("share", "Share this story on Facebook, X or by e-mail"),
    ("share", "Copy link"),
    ("share", "Facebook Twitter LinkedIn WhatsApp"),
    ("share", "12 comments"),
    ("byline", "By Ada Quill"),
    ("byline", "By Ada Quill and Tomas de Reyl | The Harbour Gazette"),
    ("byline", "By A. B. Quill, Senior Reporter — October 14, 2024"),
    ("byline", "Published on 14 October 2024 at 09:30 UTC"),
    ("byline", "Monday, 3 February 2025"),
    ("byline", "2024-12-24"),
    ("byline", "4 min read"),
    ("byline", "Reading time: 7 minutes"),
    ("byline", "Photo: Elif Brandt / Harbour Pictures"),
    ("byline", "Reporting by Ada Quill in Hanoi; Editing by Tomas Reyl"),
    ("cookie", "We use cookies to improve your visit. You can change this at any time."),
    ("cookie", "This website uses cookies."),
    ("cookie", "Accept all cookies"),
    ("cookie", "Cookie settings"),
    ("cookie", "By continuing to use this site, you agree to our use of cookies."),
    ("newsletter", "Become a member"),
    ("newsletter", "Send us news"),
    ("newsletter", "Subscribe now"),
    ("newsletter", "Sign up for our daily newsletter, free of charge."),
    ("newsletter", "Get the day's five stories delivered straight to your inbox."),
    ("newsletter", "Already a subscriber? Log in"),
    ("newsletter", "Follow us on LinkedIn and Bluesky"),
    ("source_note", "The sources for this piece include a letter seen by The Harbour Gazette."),
    ("source_note", "Read more at The Harbour Gazette."),
    ("source_note", "Read the full statement here"),
    ("source_note", "Download the draft text (47 pp, .pdf)"),
    ("source_note", "This article was originally published by The Harbour Gazette."),
    ("source_note", "Read also: Port fees rise for the third year"),
    ("boilerplate", "© 2024 The Harbour Gazette. All rights reserved."),
    ("boilerplate", "Copyright 2025 Kite Watch"),
    ("boilerplate", "Advertisement"),
    ("boilerplate", "Page 3 of 12"),
    ("boilerplate", "Home | About us | Contact | Privacy policy"),
    ("boilerplate", "Tags: treaty, cybercrime, Saint Orla"),
    ("related", "Related articles"),
    ("related", "Other stories you might like"),
    ("related", "More about"),
    ("related", "Featured Tech Jobs"),
    ("related", "You may also like:"),
    ("related", "Most read"),
    ("related", "More from The Harbour Gazette"),
    ("mark", "* * *"),
    ("mark", "[…]"),
    ("mark", "®"),
]

STATEMENTS = [
    "The convention says that members share data.",
    "Share the burden of proof between the parties, the chair proposed.",
    "Share of requests refused: one in three, according to the ministry.",
    "Subscribers' records could be read without a warrant.",
    "Subscribe to this treaty or be left behind, the minister told parliament.",
    "Sign up to the convention before the year ends, the envoy urged his neighbours.",
    "Become a member of the convention first and amend it later, he said.",
    "Follow us on this path, the delegate of Norland begged the room.",
    "Send us news of your ratification, the secretariat asked the parties.",
    "Cookies are evidence, the delegate said.",
    "Cookie banners prove nothing about consent, Kite Watch argued.",
    "By using such vague words, the draft lets a judge decide what you agree to.",
    "By Friday the committee must agree on article 12.",
    "By Norway.",
    "Related offences fall under article 4.",
    "Related articles of the draft define the duty to store data.",
    "More about power than about crime, the critics say of the draft.",
    "Most read the clause as a gag, the lawyers' guild reports.",
    "Recommended by no expert, the clause survived all the same.",
    "Read more closely, article 6 is harmless, Mr Reyl insisted.",
    "Download speeds matter less than who may listen, she said.",
    "Source code could be seized under article 28.",
    "Sources for this claim are three officials; none would give a name.",
    "This article was deleted from the second draft.",
    "Copyright infringement is covered by article 10.",
    "All rights are reserved to the state in this text, the union complained.",
    "Photo evidence may be handed over without a court's order.",
    "Image by image, the law would make platforms into police, he warned.",
    "Print and online media object to the clause on secrecy.",
    "Support our work on safeguards, the charity asked the delegates, or drop the clause.",
    "Get a warrant first, the judges' association demanded.",
    "Privacy was not on the table, the envoy admitted.",
    "In 2023 the talks stalled.",
    "Page 3 of the draft still speaks of content.",
    "Advertisement of stolen data is an offence under article 8.",
]


@pytest.mark.parametrize(("kind", "line"), FURNITURE)
def test_furniture_of_a_page_is_known_by_its_kind(kind: str, line: str) -> None:
    assert furniture(line) == kind


@pytest.mark.parametrize("line", STATEMENTS)
def test_statements_that_contain_the_words_of_furniture_stay_statements(line: str) -> None:
    assert furniture(line) is None
    assert classify([PROSE, line, PROSE]) == [None, None, None]


def test_a_paragraph_longer_than_any_notice_is_never_furniture() -> None:
    notice = "We use cookies to show you what you like. "
    assert furniture(notice.strip()) == "cookie"
    assert furniture((notice * 20).strip()) is None


@pytest.mark.parametrize(
    "repeated", ["A-", "Al ", "Al, ", "Mon, 3 May 2024, ", "Al and ", "A. ", "de ", "share, ", "- 3 min read "]
)
@pytest.mark.parametrize("start", ["By ", "Share on ", "Published ", "Copyright ", "Get ", "Home | ", "Read more: "])
def test_no_line_keeps_a_pattern_busy_for_ever(start: str, repeated: str) -> None:
    assert furniture((start + repeated * 400)[:390] + " §. no?") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("It ended.", True), ("“It ended.”", True), ("(It ended!)", True), ("终于结束了。", True), ("هل انتهى؟", True),
     ("It goes on…", True), ("It ended", False), ("What follows:", False), ("", False)],
)  # fmt: skip
def test_a_stop_counts_behind_quotes_and_in_other_scripts(text: str, expected: bool) -> None:
    assert has_stop(text) is expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [("Critics fear the worst", True), ("## Critics fear the worst.", True), ("Critics fear the worst.", False),
     ("critics fear the worst", False), ("– Critics fear the worst", False), ("Critics fear this:", False),
     ("Critics " * 20, False)],
)  # fmt: skip
def test_a_heading_is_short_and_unstopped_and_no_list_item(line: str, expected: bool) -> None:
    assert is_heading(line) is expected


def test_headline_and_deck_are_headings_with_the_byline_between_them_and_the_prose() -> None:
    lines = ["Envoys ask for less", "The draft goes too far for islands", "By Ada Quill", "Share post:", PROSE]
    assert classify(lines) == ["heading", "heading", "byline", "share", None]


def test_subheadings_are_headings_only_where_prose_follows() -> None:
    assert classify([PROSE, "What comes next", PROSE]) == [None, "heading", None]
    assert classify([PROSE, "What comes next"]) == [None, None]
    assert classify([PROSE, "What comes next", "Advertisement", PROSE]) == [None, None, "boilerplate", None]
    assert classify(["What comes next"]) == [None]


def test_many_unstopped_lines_in_a_row_are_a_list_and_stay_statements() -> None:
    lines = ["Judges must approve each request", "Providers may tell their users", "Researchers may test systems"]
    assert classify([PROSE, *lines, PROSE]) == [None] * 5


def test_the_title_is_a_heading_even_with_a_stop_but_not_where_it_is_quoted_later() -> None:
    title = "The treaty is signed. What now?"
    assert classify([title, PROSE, title], title=title) == ["heading", None, None]
    assert classify([title, PROSE])[0] is None


def test_a_question_above_the_article_is_its_headline() -> None:
    assert classify(["Will the treaty hold?", PROSE]) == ["heading", None]
    assert classify([PROSE, "Will the treaty hold?", PROSE]) == [None, None, None]


def test_a_line_with_a_colon_is_a_lead_in_unless_it_says_something_itself() -> None:
    assert classify(["According to Kite Watch:", PROSE]) == ["lead_in", None]
    says = "The islands rejected the text on Monday. They gave two reasons:"
    assert classify([says, PROSE]) == [None, None]
    assert classify(["The islands, " + "which had asked for less, " * 8 + "said:", PROSE]) == [None, None]


def test_after_related_articles_everything_is_clutter_to_the_end() -> None:
    lines = [PROSE, "Related articles", "Port fees rise", "The harbour office said on Tuesday that...", "Become a member"]
    assert classify(lines) == [None, "related", "related", "teaser", "newsletter"]
    cards = [PROSE, "Related articles", "Port fees rise", PROSE, "A museum opens", PROSE]
    assert classify(cards) == [None, "related", "related", "teaser", "related", "teaser"]


def test_an_article_resumes_after_a_box_of_links_within_it() -> None:
    box = ["Related articles", "Port fees rise", "A museum opens"]
    assert classify([PROSE, *box, PROSE, PROSE]) == [None, "related", "related", "related", None, None]
    assert classify([PROSE, "Related articles", PROSE]) == [None, "related", None]


def test_an_empty_document_has_no_kinds() -> None:
    assert classify([]) == []


@pytest.mark.parametrize(
    ("lead_in", "name"),
    [
        ("According to the United Nations:", "the United Nations"),
        ("In the words of its chair, Ms Ito:", "its chair, Ms Ito"),
        ("Harbour Watch writes:", "Harbour Watch"),
        ("The minister said on Monday:", "The minister"),
        ("The Harbour Times reports:", None),
        ("For more on this, read the Gazette, which reports:", None),
        ("Three points:", None),
        ("According to the United Nations", None),
        ("", None),
    ],
)
def test_a_lead_in_names_who_speaks_but_not_who_reports(lead_in: str, name: str | None) -> None:
    assert attributed_to(lead_in) == name
