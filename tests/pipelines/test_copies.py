"""Copies: what counts as one opinion, and which of its statements stands for it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.copies import find_copies

LONG = "The river pact goes too far and must not be signed, Mayor Ann Berg said."
EDITED = "The river pact goes far too far and must not be signed, Mayor Ann Berg said."
OTHER = "Anglers will lose their salmon if the dam is built, warned Tom Trout in Lowerton."


def test_copies_in_a_story_are_one_opinion_and_the_first_published_stands_for_it() -> None:
    found = find_copies(
        ["We are pleased.", "“We are  PLEASED.”", LONG, EDITED, OTHER],
        ["a", "b", "a", "b", "b"],
        ["s", "s", "s", "s", "s"],
        ["2025-02-01", "2025-01-01", None, "2025-01-01", "2025-01-01"],
    )
    assert found.opinion == [0, 0, 1, 1, 2]
    assert found.first == [False, True, False, True, True]


def test_without_stories_only_long_texts_are_copies_and_edited_ones_are_not() -> None:
    found = find_copies(
        ["We are pleased.", "We are pleased.", LONG, LONG, EDITED], ["a", "b", "a", "b", "c"], [None] * 5, [None] * 5
    )
    assert found.opinion == [0, 1, 2, 2, 3]
    assert found.first == [True, True, True, False, True]


def test_the_same_words_in_two_stories_are_two_opinions() -> None:
    assert find_copies([LONG, LONG], ["a", "b"], ["s", "t"], [None, None]).opinion == [0, 1]


def test_two_like_statements_of_one_document_are_no_copies_of_each_other() -> None:
    assert find_copies([LONG, EDITED, OTHER], ["a", "a", "b"], ["s"] * 3, [None] * 3).opinion == [0, 1, 2]


def test_an_edited_copy_takes_one_of_two_like_statements() -> None:
    found = find_copies([LONG, EDITED, LONG, EDITED], ["a", "a", "b", "b"], ["s"] * 4, [None] * 4)
    assert found.opinion == [0, 1, 0, 1]


@given(st.lists(st.tuples(st.sampled_from(["x", "y", LONG, EDITED, OTHER, ""]), st.sampled_from("abc")), max_size=12))
def test_each_opinion_has_one_statement_that_stands_for_it(rows: list[tuple[str, str]]) -> None:
    texts, documents = [t for t, _ in rows], [d for _, d in rows]
    found = find_copies(texts, documents, ["s" if d != "c" else None for d in documents], [None] * len(rows))
    assert sorted(set(found.opinion)) == list(range(len(set(found.opinion))))
    standing = [o for o, first in zip(found.opinion, found.first, strict=True) if first]
    assert sorted(standing) == sorted(set(found.opinion))
