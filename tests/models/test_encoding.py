"""Characters to tokens and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from corpus.errors import UsageError
from models.encoding import Encoded, collate, encode, length_batches, token_span
from models.inference import decode_span
from models.network import PACKAGED, encoder_folder
from models.passage import Passage


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(encoder_folder(PACKAGED), local_files_only=True)


TEXT = "\U0001f41f The Kōkako Trust, say its lawyers, will \U00020000 sue."


def test_a_holder_goes_to_tokens_and_comes_back_as_the_same_characters(tokenizer: Any) -> None:
    encoded = encode(tokenizer, [Passage(TEXT)], context="none", max_length=64)[0]
    start = TEXT.index("The Kōkako Trust")
    first, last = token_span(encoded, start, start + len("The Kōkako Trust"))
    scores = np.zeros((len(encoded.ids), 2))
    scores[first, 0] = scores[last, 1] = 5
    assert decode_span(scores, encoded) == (start, start + len("The Kōkako Trust"))


def test_nobody_is_named_where_the_start_token_scores_as_well_as_any_span(tokenizer: Any) -> None:
    encoded = encode(tokenizer, [Passage(TEXT)], context="none", max_length=64)[0]
    assert token_span(encoded, -1, -1) == (0, 0)
    scores = np.zeros((len(encoded.ids), 2))
    assert decode_span(scores, encoded) == (-1, -1)


@given(seed=st.integers(0, 5000))
def test_the_best_span_is_the_best_of_all_spans(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    encoded = Encoded(tuple(range(n + 2)), (False, *[True] * n, False), ((0, 0), *[(i, i + 1) for i in range(n)], (0, 0)))
    scores = rng.normal(0, 1, (n + 2, 2)).round(2)
    best = max((scores[i, 0] + scores[j, 1], -i, -j) for i in range(1, n + 1) for j in range(i, n + 1))
    found = decode_span(scores, encoded)
    if best[0] <= scores[0].sum():
        assert found == (-1, -1)
    else:
        assert scores[found[0] + 1, 0] + scores[found[1], 1] == pytest.approx(best[0])
        assert found[0] < found[1]


def test_context_is_read_as_a_second_segment_and_never_pointed_at(tokenizer: Any) -> None:
    passage = Passage("Short statement.", title="A title", before="What went before.")
    plain, title, before = (encode(tokenizer, [passage], context=c, max_length=64)[0] for c in ("none", "title", "before"))
    assert len(plain.ids) < len(title.ids) < len(before.ids)
    assert sum(plain.own) == sum(title.own) == sum(before.own)
    assert [i for i, own in zip(title.ids, title.own, strict=True) if own] == [
        i for i, own in zip(plain.ids, plain.own, strict=True) if own
    ]


def test_a_long_statement_is_cut_to_the_limit_and_its_context_gives_way_first(tokenizer: Any) -> None:
    long = Passage("word " * 500, title="title " * 50)
    for context in ("none", "title"):
        assert len(encode(tokenizer, [long], context=context, max_length=32)[0].ids) <= 32
    middling = Passage("word " * 20, title="title " * 50)
    found = encode(tokenizer, [middling], context="title", max_length=32)[0]
    assert sum(found.own) == 20
    assert len(found.ids) == 32


def test_an_unknown_context_is_refused_with_those_that_exist(tokenizer: Any) -> None:
    with pytest.raises(UsageError, match="none, title, before"):
        encode(tokenizer, [Passage("x")], context="weather", max_length=8)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(20, 200))
def test_batches_hold_each_index_once_within_the_budget(lengths: list[int], tokens: int) -> None:
    batches = length_batches(lengths, tokens=tokens)
    assert sorted(i for b in batches for i in b) == list(range(len(lengths)))
    for b in batches:
        assert len(b) == 1 or len(b) * max(lengths[i] for i in b) <= tokens


def test_padding_is_masked_and_never_own() -> None:
    a, b = Encoded((1, 5, 2), (False, True, False), ((0, 0),) * 3), Encoded((1, 2), (False, False), ((0, 0),) * 2)
    ids, mask, own = collate([a, b], pad=9)
    assert ids.tolist() == [[1, 5, 2], [1, 2, 9]]
    assert mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert own.tolist() == [[False, True, False], [False, False, False]]
