"""A bundle's tokenizer without transformers, whose import takes seconds that a short job does not have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


class Batch:
    """Tokenised texts, read as those of transformers are: by name, and ``sequence_ids`` by number."""

    def __init__(self, encodings: Sequence[Any]) -> None:
        self._encodings = encodings
        self._lists = {"input_ids": [e.ids for e in encodings], "offset_mapping": [e.offsets for e in encodings]}

    def __getitem__(self, name: str) -> list[Any]:
        return self._lists[name]

    def sequence_ids(self, i: int) -> list[int | None]:
        """Return for each token of text i the segment that it is from, None for special tokens."""
        return list(self._encodings[i].sequence_ids)


class PlainTokenizer:
    """Calls the tokenizers library as transformers does, for what :func:`models.encoding.encode` asks."""

    def __init__(self, folder: Path) -> None:
        """Read ``tokenizer.json`` from a bundle's folder."""
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()

    def num_special_tokens_to_add(self, *, pair: bool) -> int:
        """Return how many tokens are put around one text, or around a pair."""
        return int(self._tokenizer.num_special_tokens_to_add(pair))

    def __call__(
        self,
        texts: str | Sequence[str],
        pairs: Sequence[str] | None = None,
        *,
        max_length: int,
        add_special_tokens: bool = True,
        truncation: bool = True,
        return_offsets_mapping: bool = True,
    ) -> Any:
        """Tokenise a text, or several with or without second segments, the longer segment shortened first."""
        assert truncation and return_offsets_mapping  # noqa: S101, PT018  # all that encode asks
        self._tokenizer.enable_truncation(max_length, strategy="longest_first")
        if isinstance(texts, str):
            one = self._tokenizer.encode(texts, add_special_tokens=add_special_tokens)
            return {"input_ids": one.ids, "offset_mapping": one.offsets}
        inputs: list[Any] = list(texts) if pairs is None else list(zip(texts, pairs, strict=True))
        return Batch(self._tokenizer.encode_batch(inputs, add_special_tokens=add_special_tokens))
