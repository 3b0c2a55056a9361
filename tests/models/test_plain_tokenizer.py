"""The tokenizer read without transformers gives what transformers gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from models.encoding import encode
from models.network import PACKAGED, encoder_folder
from models.passage import Passage
from models.plain_tokenizer import PlainTokenizer

FOLDER = Path(encoder_folder(PACKAGED))
THEIRS = AutoTokenizer.from_pretrained(FOLDER, local_files_only=True)
OURS = PlainTokenizer(FOLDER)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(
    ["the treaty " * 90, "\U0001f41f 漢字"]
)


@pytest.mark.parametrize("context", ["none", "title", "before"])
@given(passages=st.lists(st.builds(Passage, texts, st.none() | texts, texts), min_size=1, max_size=5))
def test_tokens_and_offsets_are_those_of_transformers(context: str, passages: list[Passage]) -> None:
    theirs = encode(THEIRS, passages, context=context, max_length=48)
    assert encode(OURS, passages, context=context, max_length=48) == theirs
