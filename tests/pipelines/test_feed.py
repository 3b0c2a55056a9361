"""Where shards are cut, what a feed of files says of itself, and files that are elsewhere."""

from __future__ import annotations

import gzip
import io
import json
import os
import threading
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.errors import RecordError, UsageError
from pipelines.feed import FileFeed, shards
from pipelines.items import Item, Tally

LINES = b"".join(json.dumps({"text": f"Statement {i}.", "extra": i}).encode() + b"\n" for i in range(250))


class Listed:
    """A feed of items that are there."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items

    def describe(self) -> list[dict[str, object]]:
        return []

    def count(self) -> int | None:
        return None

    def items(self, tally: Tally) -> Iterator[Item]:
        for item in self._items:
            tally.clutter["seen"] += 1
            yield item


def item(document: str | None, whole: str = "") -> Item:
    return Item({"document_id": document}, whole=whole)


def sizes(items: Sequence[Item], size: int) -> list[int]:
    return [len(shard.items) for shard in shards(Listed(items), size)]


def test_the_first_shard_is_small_and_the_others_are_full() -> None:
    alone = [item(str(i)) for i in range(12_000)]
    assert sizes(alone, 5_000) == [100, 5_000, 5_000, 1_900]
    assert sizes(alone[:100], 5_000) == [100]
    assert sizes(alone[:9], 3) == [3, 3, 3]
    assert sizes([item(None)] * 5, 2) == [2, 2, 1], "rows of no document are each alone"


def test_a_shard_waits_for_the_next_document_but_not_for_ever() -> None:
    rows = [item("a") for _ in range(7)] + [item("b") for _ in range(5)]
    assert sizes(rows, 3) == [7, 5]
    assert sizes([item("a", "whole") for _ in range(1_300)], 100) == [600, 600, 100]


def test_rows_of_one_address_are_cut_where_their_names_are_cut_anyway() -> None:
    rows = [item("x"), *(item("a") for _ in range(1_300))]
    assert sizes(rows, 400) == [501, 500, 300]


@given(st.lists(st.tuples(st.sampled_from([None, "a", "b", "c"]), st.integers(1, 700)), max_size=6), st.integers(1, 900))
def test_shards_hold_every_item_once_in_order_and_are_never_much_too_late(
    runs: list[tuple[str | None, int]], size: int
) -> None:
    items = [item(d) for d, n in runs for _ in range(n)]
    cut = list(shards(Listed(items), size))
    assert [i for shard in cut for i in shard.items] == items
    assert [shard.number for shard in cut] == list(range(len(cut)))
    assert [shard.last for shard in cut] == [False] * (len(cut) - 1) + [True] * bool(cut)
    assert sum(shard.tally.clutter["seen"] for shard in cut) == len(items)
    for shard in cut:
        least = min(100, size) if shard.number == 0 else size
        assert shard.last or least <= len(shard.items) <= least + 500


def read(feed: FileFeed) -> list[Any]:
    return [i.columns.get("text") for i in feed.items(Tally())]


def test_a_feed_describes_each_file_by_its_own_bytes_and_reads_the_same_twice(tmp_path: Path) -> None:
    files = {"a.jsonl": LINES, "b.jsonl.gz": gzip.compress(LINES, mtime=0), "d.csv": b"text\r\none\r\n"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    pq.write_table(pa.table({"text": ["x"] * 3000}), tmp_path / "c.parquet", row_group_size=1000)
    files["c.parquet"] = (tmp_path / "c.parquet").read_bytes()
    feed = FileFeed([str(tmp_path / name) for name in files])
    assert feed.describe() == [
        {"path": str(tmp_path / name), "sha256": sha256(data).hexdigest(), "bytes": len(data)}
        for name, data in files.items()
    ]
    assert feed.count() == 250 + 250 + 1 + 3000
    assert read(feed) == read(feed)
    assert len(read(feed)) == feed.count()


def test_a_file_that_changes_while_it_is_labelled_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    feed = FileFeed([str(path)])
    feed.describe()
    path.write_bytes(LINES + b'{"text": "more"}\n')
    with pytest.raises(RecordError, match=r"a\.jsonl: expected a file that stays as it is while it is labelled"):
        read(feed)


def test_pipes_and_standard_input_are_copied_into_the_spool(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(LINES,))
    writer.start()
    feed = FileFeed([str(tmp_path / "pipe"), "-"], stdin=io.BytesIO(gzip.compress(LINES)), spool=spool)
    assert [entry["path"] for entry in feed.describe()] == [str(tmp_path / "pipe"), "standard input"]
    writer.join()
    assert len(read(feed)) == len(read(feed)) == 500
    assert sorted(p.name for p in spool.iterdir()) == ["input-0", "input-1"]


def test_files_elsewhere_are_fetched_and_named_by_their_addresses(tmp_path: Path) -> None:
    article = "The bridge is long, said Ms Ode of Upperton on Monday.\n"
    for name, data in (("t.csv.gz", gzip.compress(b"text\none\ntwo\n")), ("a.txt", article.encode())):
        with fsspec.open(f"memory://feed/{name}", "wb") as stream:
            stream.write(data)
    feed = FileFeed(["memory://feed/t.csv.gz", "memory://feed/a.txt"], spool=tmp_path)
    assert [entry["path"] for entry in feed.describe()] == ["memory://feed/t.csv.gz", "memory://feed/a.txt"]
    items = list(feed.items(Tally()))
    assert [i.columns["text"] for i in items] == ["one", "two", article.strip()]
    assert items[2].columns["url"] == "memory://feed/a.txt"


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (
            "memory://feed/absent.jsonl",
            "memory://feed/absent.jsonl: expected a file that can be read, but FileNotFoundError",
        ),
        ("nosuch://me:secret@x/a.jsonl?key=secret", r"nosuch://x/a\.jsonl: expected .* but ValueError: Protocol not known"),
    ],
)
def test_an_address_that_gives_nothing_is_named_without_its_secrets(tmp_path: Path, address: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        FileFeed([address], spool=tmp_path).describe()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_that_is_none_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.warc").write_bytes(b"no archive")
    with pytest.raises(RecordError, match="expected a WARC file"):
        FileFeed([str(tmp_path / "a.warc")]).describe()
