"""A text is about the target where one of its names stands there whole, and says how much by where it stands."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import UsageError
from corpus.relevance import Aliases

FILLER = "The delegates met in the old customs house and said so at length. "  # 13 words


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("Hanoi Convention", "The hanoi convention was signed."),
        ("Hanoi Convention", "THE HANOI\n\t CONVENTION"),
        ("Hanoi Convention", "the Hanoi\u00a0Convention’s text"),
        ("Hanoi Convention", "(Hanoi Convention)"),
        ("Hanoi Convention", "_Hanoi Convention_"),
        ("Hanoi Convention", "Han\u00adoi Con\u200bvention"),
        ("Convention de Hanoï", "la convention de Hanoi\u0308 est signée"),
        ("traité de l'ONU", "Le traité de l’ONU"),
        ("traité de l’ONU", "Le traité de l'ONU"),
        ("cyber-crime treaty", "a cyber\u2011crime treaty"),
        ("UN", "The UN's treaty"),
        ("UN", "UN-led talks"),
        ("UN", "联合国（UN）"),
        ("UN", "由UN主持"),
        ("U.N. treaty", "the U.N. treaty"),
        ("UNCYBER2", "the uncyber2 file"),  # seven letters: in any case
        ("联合国打击网络犯罪公约", "昨日联合国打击网络犯罪公约在河内签署"),
        ("条約", "国連サイバー犯罪条約に署名"),
        ("유엔 사이버범죄협약", "유엔 사이버범죄협약은 하노이에서"),
        ("Конвенция ООН", "конвенция оон принята"),
        ("ﬁle treaty", "the file treaty"),
        ("संधि", "यह संधि है"),
        ("a*b (x)", "on a*b (x) we"),
    ],
)
def test_a_name_is_found(alias: str, text: str) -> None:
    assert Aliases([alias]).relevance(None, text) == "lead"


@pytest.mark.parametrize(
    ("alias", "text"),
    [
        ("UN", "un traité"),
        ("UN", "UNIT UNO FUN éUN UN2"),
        ("Hanoi Convention", "Hanoi Conventions, NeoHanoi Convention"),
        ("Hanoi Convention", "HanoiConvention"),
        ("संध", "यह संधि है"),  # the vowel sign belongs to the word
        ("पक", "कपक पकी"),
        ("a.b", "axb"),
        ("UN", ""),
    ],
)
def test_parts_of_words_are_no_name(alias: str, text: str) -> None:
    assert Aliases([alias]).relevance(None, text) is None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0, 10, "lead"),
        (7, 0, "lead"),  # 91 words before it: within the first hundred
        (8, 0, "passing"),  # 104 words before it
        (15, 85, "lead"),  # 195 of some 1,300 words
        (19, 100, "lead"),  # 247
        (20, 500, "passing"),  # 260: beyond the longest lead, though within the first fifth
        (15, 20, "passing"),  # 195 of 457 words: beyond the first fifth
    ],
)
def test_a_name_in_the_first_fifth_is_in_the_lead_and_a_later_one_in_passing(before: int, after: int, expected: str) -> None:
    text = FILLER * before + "Treaty of Ambel. " + FILLER * after
    assert Aliases(["Treaty of Ambel"]).relevance("Quay reopens", text) == expected


def test_a_name_in_the_title_is_in_the_lead_wherever_else_it_stands() -> None:
    aliases = Aliases(["Treaty of Ambel", "Ambel accord"])
    assert aliases.relevance("Ministers sign Ambel Accord", "Nothing here.") == "lead"
    assert aliases.relevance("Ministers sign", FILLER * 50 + "the Ambel accord") == "passing"
    assert aliases.relevance(None, FILLER * 50) is None


def test_the_lead_of_a_text_without_spaces_is_counted_in_pairs_of_characters() -> None:
    assert Aliases(["公约"]).relevance(None, "会" * 190 + "公约" + "会" * 100) == "lead"
    assert Aliases(["公约"]).relevance(None, "会" * 210 + "公约" + "会" * 100) == "passing"


@pytest.mark.parametrize("aliases", [[], [""], ["—"], ["Treaty", " "]])
def test_names_without_letters_are_refused(aliases: list[str]) -> None:
    with pytest.raises(UsageError, match="aliases: expected"):
        Aliases(aliases)


_NAMES = st.lists(st.text("abUN é’-.*[x0", min_size=1, max_size=6).filter(lambda s: any(map(str.isalnum, s))), min_size=1)


@settings(deadline=None)
@given(_NAMES, st.text("abUN é’-.*[x0\n", max_size=40))
def test_one_pattern_finds_what_each_name_finds_alone(names: list[str], text: str) -> None:
    one_by_one = [Aliases([name]).relevance(None, text) for name in names]
    assert (Aliases(names).relevance(None, text) is not None) == any(one_by_one)


@settings(deadline=None)
@given(st.text("abcdé", min_size=7, max_size=9), st.text("abcdé .", max_size=30))
def test_a_plain_name_is_found_where_a_plain_search_with_borders_finds_it(name: str, text: str) -> None:
    expected = re.search(rf"\b{re.escape(name)}\b", unicodedata.normalize("NFKC", text), re.IGNORECASE)
    assert (Aliases([name]).relevance(None, text) is not None) == (expected is not None)
