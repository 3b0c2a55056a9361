"""Acronyms: what looks like one, and the names that a text spells them out with."""

import pytest

from corpus.acronyms import find_expansions, is_acronym, letters, long_form
from corpus.capitals import Capitals


@pytest.mark.parametrize("word", ["EFF", "UNODC", "GI-TOC", "C-Fam", "US", "U.S.", "CoE"])
def test_these_look_like_acronyms(word: str) -> None:
    assert is_acronym(word)


@pytest.mark.parametrize("word", ["Bird", "she", "McCarthy", "European Union", "", "A", "INTERNATIONALLY", "TikTok"])
def test_these_do_not(word: str) -> None:
    assert not is_acronym(word)


@pytest.mark.parametrize(
    ("acronym", "candidate", "expected"),
    [  # worked out by hand with the published algorithm
        ("HMM", "we use a Hidden Markov Model", "Hidden Markov Model"),
        ("UNODC", "run by the United Nations Office on Drugs and Crime", "United Nations Office on Drugs and Crime"),
        ("C-Fam", "of the Center for Family and Human Rights", "Center for Family and Human Rights"),
        ("EFF", "nothing that fits", None),
        ("XY", "", None),
    ],
)
def test_the_long_form_before_a_bracket_is_found(acronym: str, candidate: str, expected: str | None) -> None:
    assert long_form(acronym, candidate) == expected


def expansions(text: str) -> dict[str, tuple[str, ...]]:
    return dict(find_expansions([Capitals(text)]))


def test_a_bracket_goes_before_other_names_with_the_same_initials() -> None:
    text = "We asked the Eastern Fishing Federation first. Later the Electronic Frontier Foundation (“EFF”) wrote to us."
    assert expansions(text)["eff"] == ("Electronic Frontier Foundation",)
    assert expansions(text.replace(" (“EFF”)", ""))["eff"] == (
        "Eastern Fishing Federation",
        "Electronic Frontier Foundation",
    )


def test_a_name_in_brackets_behind_its_acronym_is_found_and_other_brackets_are_not() -> None:
    assert expansions("they asked GPD (Global Partners Digital) about it")["gpd"] == ("Global Partners Digital",)
    assert letters("GPD") not in expansions("they asked GPD (a group in London) about it")


def test_initials_pass_over_small_words_or_count_them_and_take_acronyms_whole() -> None:
    found = expansions("the UN Office on Drugs and Crime wrote to the Council of Europe about some Organisation for Rules")
    assert found["unodc"] == ("UN Office on Drugs and Crime",)
    assert found["coe"] == ("Council of Europe",)


def test_two_letters_need_an_article() -> None:
    assert expansions("it pleased the European Union and it pleased Edgar Poe")["eu"] == ("European Union",)
    assert "ep" not in expansions("it pleased the European Union and it pleased Edgar Poe")
