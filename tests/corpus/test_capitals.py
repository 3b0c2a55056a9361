"""Words and runs of capitals: what may be a name, and what only looks like one."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.capitals import Capitals, fold, tokens, words


def runs(text: str, *, headlines: bool = False) -> list[str]:
    found = Capitals(text, headlines=headlines)
    return [text[found.tokens[r.start].start : found.tokens[r.stop - 1].end] for r in found.runs]


def test_words_keep_hyphens_and_apostrophes_and_lose_possessive_endings() -> None:
    assert words("Hogan-Burney's and O’Neill’s U.S. friends") == ("hogan-burney", "and", "o’neill", "u.s.", "friends")


def test_folding_passes_over_case_accents_and_strokes() -> None:
    assert fold("Wiewiórowski") == fold("WIEWIOROWSKI")
    assert fold("Đặng Łukasz Øystein") == "dang lukasz oystein"


@given(st.text())
def test_words_stand_where_they_say_and_do_not_overlap(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert token.start >= end
        assert text[token.start : token.end] == token.text != ""
        end = token.end


@given(st.text(), st.booleans())
def test_runs_are_in_order_and_begin_and_end_with_a_capital(text: str, headlines: bool) -> None:
    found = Capitals(text, headlines=headlines)
    stop = 0
    for run in found.runs:
        assert stop <= run.start < run.stop
        assert all(found.tokens[i].text[0].isupper() for i in (run.start, run.stop - 1))
        stop = run.stop


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("However, Ludwig van Beethoven met Dr. Maryam Al Misnad there.", ["Ludwig van Beethoven", "Dr. Maryam Al Misnad"]),
        ("It was J. Edgar Poe who spoke on Monday. Then Bird spoke.", ["J. Edgar Poe", "Bird"]),
        ("The treaty pleased Anna Poe, Tom Trout and the European Union.", ["Anna Poe", "Tom Trout", "European Union"]),
        ("We heard Russia's Foreign Ministry and I agree.", ["Russia", "Foreign Ministry"]),
        ("Minister Praises Anna Poe in the Paper\nAnna Poe was praised.", ["Anna Poe"]),
    ],
)
def test_runs_of_capitals_are_found_outside_headlines(text: str, expected: list[str]) -> None:
    assert runs(text) == expected


def test_a_name_by_itself_is_no_headline_where_it_is_said_to_be_a_name() -> None:
    assert runs("Global Network Initiative") == []
    assert runs("Global Network Initiative", headlines=True) == ["Global Network Initiative"]


@given(st.text(alphabet="aàéßđŁøÑ ", max_size=20))
def test_folding_twice_changes_nothing_and_composition_does_not_matter(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(text)
