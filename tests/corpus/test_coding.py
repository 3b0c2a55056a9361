"""Content codings undone, with a second implementation of each as judge."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.coding import decoded
from corpus.errors import RecordError

CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": lambda body: bytes(brotli.compress(body, quality=4)),
    "zstd": zstandard.ZstdCompressor().compress,
}


def undo(body: bytes, *names: str, limit: int = 1_000_000) -> bytes:
    return decoded(body, [("Content-Encoding", name) for name in names], where="page", limit=limit)


@settings(max_examples=150, deadline=None)
@given(body=st.binary(max_size=2000), names=st.lists(st.sampled_from(sorted(CODERS)), max_size=3))
def test_whatever_is_packed_in_any_order_is_unpacked(body: bytes, names: list[str]) -> None:
    packed = body
    for name in names:
        packed = CODERS[name](packed)
    assert undo(packed, *names) == body
    assert undo(packed, ", ".join(names)) == body


@settings(max_examples=200, deadline=None)
@given(body=st.binary(min_size=1, max_size=500), name=st.sampled_from(sorted(CODERS)), share=st.floats(0.05, 0.999))
def test_a_part_of_a_packed_body_is_never_taken_for_the_whole(body: bytes, name: str, share: float) -> None:
    packed = CODERS[name](body)
    part = packed[: max(4, int(share * len(packed)))]  # shorter, it is not seen to be packed at all
    if part != packed:
        with pytest.raises(RecordError, match=f"^page: expected a body packed with {name}, but "):
            undo(part, name)


@settings(max_examples=200, deadline=None)
@given(junk=st.binary(max_size=300), name=st.sampled_from(sorted(CODERS)), start=st.booleans())
def test_junk_gives_bytes_or_the_projects_own_error(junk: bytes, name: str, start: bool) -> None:
    body = (CODERS[name](b"abc")[:10] if start else b"") + junk
    try:
        assert isinstance(undo(body, name), bytes)
    except RecordError as error:
        assert str(error).startswith("page: ")  # noqa: PT017 - the error is one of two outcomes


@pytest.mark.parametrize("name", CODERS)
def test_a_bomb_is_refused_before_it_is_unpacked(name: str) -> None:
    bomb = CODERS[name](bytes(100_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(RecordError, match=f"at most 1,000,000 bytes, found more once {name} was unpacked"):
            undo(bomb, name)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 25_000_000


@pytest.mark.parametrize("name", CODERS)
def test_a_body_of_just_the_limit_is_unpacked_and_one_byte_more_is_not(name: str) -> None:
    assert len(undo(CODERS[name](bytes(5000)), name, limit=5000)) == 5000
    with pytest.raises(RecordError, match="at most 5,000 bytes"):
        undo(CODERS[name](bytes(5001)), name, limit=5000)


def test_two_members_count_together_against_the_limit() -> None:
    for name in ("gzip", "zstd"):
        with pytest.raises(RecordError, match="at most 5,000 bytes"):
            undo(CODERS[name](bytes(3000)) * 2, name, limit=5000)
        assert undo(CODERS[name](bytes(2500)) * 2, name, limit=5000) == bytes(5000)


def test_zstandard_that_asks_for_a_window_beyond_the_standards_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = stream.compress(b"abc" * 1000) + stream.flush()
    with pytest.raises(RecordError, match="packed with zstd, but its bytes are not of that form"):
        undo(packed, "zstd")


def test_a_body_that_is_not_packed_is_held_to_the_limit_as_well() -> None:
    assert undo(b"12345", limit=5) == b"12345"
    with pytest.raises(RecordError, match="page: expected at most 5 bytes, found 6; raise the limit"):
        undo(b"123456", limit=5)
