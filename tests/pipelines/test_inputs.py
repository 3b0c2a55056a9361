from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import RecordError, UsageError
from pipelines.inputs import find_sources, read_rows, read_table
from pipelines.rows import COLUMNS, InputRow

ROWS = [
    {"id": "a", "text": "We welcome it.", "published": "2024-08-09", "url": "https://example.org/1", "holder": "Ms A"},
    {
        "id": "b",
        "text": 'Lines\nand "quotes", commas; ümlaut 🙂',
        "title": "A, title",
        "publisher": "Die Zeitung",
        "voice": "reported",
    },
    {"id": "c", "text": "", "holder_type": "state"},
    {"id": "7", "text": "Last one.", "extra": "ignored"},
]


def jsonl(rows: list[dict[str, object]] | list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_csv(rows: list[dict[str, str]]) -> bytes:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, sorted({name for row in rows for name in row}))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def parquet(columns: dict[str, object]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def rows_parquet(rows: list[dict[str, str]]) -> bytes:
    names = sorted({name for row in rows for name in row})
    return parquet({name: [row.get(name) for row in rows] for name in names})


def read(tmp_path: Path, name: str, data: bytes) -> list[InputRow]:
    path = tmp_path / name
    path.write_bytes(data)
    return list(read_rows([str(path)]))


def fields(rows: list[InputRow]) -> list[tuple[str | None, ...]]:
    return [(*(getattr(row, name) for name in COLUMNS), row.reason) for row in rows]


def plain(data: bytes) -> bytes:
    return data


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


EXPECTED = [
    ("a", "We welcome it.", None, "2024-08-09", None, "https://example.org/1", "Ms A", None, None, None),
    ("b", ROWS[1]["text"], "A, title", None, "Die Zeitung", None, None, None, "reported", None),
    ("c", None, None, None, None, None, None, "state", None, "text is empty"),
    ("7", "Last one.", None, None, None, None, None, None, None, None),
]


@pytest.mark.parametrize("form", [jsonl, as_csv, rows_parquet])
@pytest.mark.parametrize("pack", [plain, gzip.compress, zstd])
@pytest.mark.parametrize("name", ["rows", "rows.csv", "rows.csv.gz", "rows.tsv"])
def test_content_decides_the_form_and_the_compression_whatever_the_name(
    tmp_path: Path,
    form: Callable[[list[dict[str, str]]], bytes],
    pack: Callable[[bytes], bytes],
    name: str,
) -> None:
    assert fields(read(tmp_path, name, pack(form(ROWS)))) == EXPECTED


@pytest.mark.parametrize("form", [jsonl, as_csv, rows_parquet])
@pytest.mark.parametrize("pack", [plain, gzip.compress, zstd])
def test_standard_input_takes_every_form(
    form: Callable[[list[dict[str, str]]], bytes], pack: Callable[[bytes], bytes]
) -> None:
    rows = list(read_rows(["-"], stdin=io.BytesIO(pack(form(ROWS)))))
    assert fields(rows) == EXPECTED
    assert rows[0].source.startswith("standard input, ")


def test_a_pipe_is_read_once_and_for_all(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(jsonl(ROWS),))
    writer.start()
    sources, _ = find_sources([str(path)])
    writer.join()
    assert sources[0].data == jsonl(ROWS)
    assert fields(list(read_table(sources[0], longest=100, ignored=set()))) == EXPECTED


def test_several_inputs_follow_one_another(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").write_bytes(jsonl(ROWS[:2]))
    (tmp_path / "2.csv").write_bytes(as_csv(ROWS[2:]))
    assert fields(list(read_rows([str(tmp_path / "1.jsonl"), str(tmp_path / "2.csv")]))) == EXPECTED


@pytest.mark.parametrize(("form", "name"), [(jsonl, "r.jsonl"), (as_csv, "r.csv"), (rows_parquet, "r.parquet")])
def test_columns_without_a_meaning_are_named(
    tmp_path: Path, form: Callable[[list[dict[str, str]]], bytes], name: str
) -> None:
    (tmp_path / name).write_bytes(form(ROWS))
    ignored: set[str] = set()
    list(read_table(find_sources([str(tmp_path / name)])[0][0], longest=100, ignored=ignored))
    assert ignored == {"extra"}


def test_sources_name_the_line_on_which_a_record_starts(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfid,text\r\n1,"two\r\nlines"\r\n\r\n2,\xc3\xa4\r\n'
    rows = read(tmp_path, "r.csv", data)
    assert [(row.source.removeprefix(f"{tmp_path}/"), row.id, row.text) for row in rows] == [
        ("r.csv, line 2", "1", "two\nlines"),
        ("r.csv, line 5", "2", "ä"),
    ]


def test_blank_lines_of_jsonl_are_no_rows_but_count_as_lines(tmp_path: Path) -> None:
    rows = read(tmp_path, "r.jsonl", b'\xef\xbb\xbf\n{"text":"one"}\r\n\n{"text":"two"}')
    assert [(row.source[-6:], row.text) for row in rows] == [("line 2", "one"), ("line 4", "two")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{}", "text is missing"),
        ('{"text": null}', "text is missing"),
        ('{"text": NaN}', "text is missing"),
        ('{"text": " \\n\\t\\u00a0\\u200b"}', "text is empty"),
        ('{"text": 5}', "text is a number, expected text"),
        ('{"text": 1e999}', "text is missing"),
        ('{"text": true}', "text is true or false, expected text"),
        ('{"text": ["a"]}', "text is a list, expected text"),
        ('{"text": {"a": 1}}', "text is an object, expected text"),
        ('{"text": "half \\ud83d"}', "text has half of a surrogate pair, which is no character"),
        ('{"text": "a\\u0000b"}', "text has a NUL character"),
        ('{"text": "good", "title": ["a"]}', "title is a list, expected text"),
        ('{"text": "good", "holder": "\\udc00"}', "holder has half of a surrogate pair, which is no character"),
        ('{"text": "good", "id": false}', "id is true or false, expected text"),
        ("[1]", "row is a list, expected a JSON object"),
        ("3", "row is a number, expected a JSON object"),
        ("null", "row is null, expected a JSON object"),
    ],
)
def test_a_faulty_row_keeps_its_place_with_the_reason(tmp_path: Path, line: str, reason: str) -> None:
    data = f'{{"text":"before"}}\n{line}\n{{"text":"after"}}\n'.encode()
    rows = read(tmp_path, "r.jsonl", data)
    assert [(row.text, row.reason) for row in rows] == [("before", None), (None, reason), ("after", None)]


def test_a_text_may_be_as_long_as_the_limit_and_no_longer(tmp_path: Path) -> None:
    rows = read(tmp_path, "r.jsonl", jsonl([{"text": "x" * 20_000}, {"text": "x" * 20_001}]))
    assert [len(row.text or "") for row in rows] == [20_000, 0]
    assert rows[1].reason == "text is longer than 20,000 characters"


def test_a_csv_field_may_be_longer_than_the_csv_module_allows_and_its_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = tmp_path / "r.csv"
    path.write_bytes(as_csv([{"text": "y" * 200_000}]))
    assert [len(row.text or "") for row in read_rows([str(path)], longest=300_000)] == [200_000]
    assert csv.field_size_limit() == before


def test_text_is_stored_in_one_form(tmp_path: Path) -> None:
    rows = read(tmp_path, "r.jsonl", jsonl([{"text": "cafe\u0301\r\nbar\rbaz", "title": "e\u0301"}]))
    assert (rows[0].text, rows[0].title) == ("caf\u00e9\nbar\nbaz", "\u00e9")


def test_numbers_and_dates_in_parquet_become_text(tmp_path: Path) -> None:
    data = parquet(
        {
            "text": ["a", "b", "c"],
            "id": pa.array([12.0, None, 1.5]),
            "published": pa.array([datetime(2024, 8, 9), datetime(2024, 8, 9, 14, 30), None], pa.timestamp("us")),  # noqa: DTZ001
            "holder": pa.array(["x", "y", None]).dictionary_encode(),
        }
    )
    rows = read(tmp_path, "r.parquet", data)
    assert [(r.id, r.published, r.holder) for r in rows] == [
        ("12", "2024-08-09", "x"),
        (None, "2024-08-09T14:30:00", "y"),
        ("1.5", None, None),
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([date(2024, 12, 24)]), "2024-12-24"),
        (pa.array([datetime(2024, 12, 24, tzinfo=UTC)], pa.timestamp("ns", "UTC")), "2024-12-24T00:00:00+00:00"),
        (pa.array([Decimal("3.50")]), "3.50"),
        (pa.array([2024]), "2024"),
        (pa.array([float("nan")]), None),
        (pa.array([b"2024"]), "2024"),
        (pa.array(["2024"], pa.large_string()), "2024"),
        (pa.nulls(1), None),
    ],
)
def test_every_parquet_type_of_a_date_becomes_text(tmp_path: Path, values: pa.Array, expected: str | None) -> None:
    rows = read(tmp_path, "r.parquet", parquet({"text": ["a"], "published": values}))
    assert [(row.published, row.reason) for row in rows] == [(expected, None)]


def test_parquet_values_that_python_cannot_hold_are_faults_of_their_row_alone(tmp_path: Path) -> None:
    torn = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"\xffok"))
    days = pa.array([4_000_000, 0], pa.int32()).cast(pa.date32())
    rows = read(tmp_path, "r.parquet", parquet({"text": torn}))
    assert [(row.text, row.reason) for row in rows] == [(None, "text is not UTF-8, expected text"), ("ok", None)]
    rows = read(tmp_path, "d.parquet", parquet({"text": ["a", "b"], "published": days}))
    assert [(row.published, row.reason) for row in rows] == [
        (None, "published is a value that cannot be read, expected text"),
        ("1970-01-01", None),
    ]


def test_a_parquet_column_of_numbers_is_no_text(tmp_path: Path) -> None:
    rows = read(tmp_path, "r.parquet", parquet({"text": [1, 2]}))
    assert [row.reason for row in rows] == ["text is a number, expected text"] * 2


def test_a_short_csv_row_is_invalid_rather_than_half_a_statement(tmp_path: Path) -> None:
    rows = read(tmp_path, "r.csv", b"text,id\nwhole,1\ntorn of\n")
    assert [(row.text, row.reason) for row in rows] == [
        ("whole", None),
        (None, "row has fewer fields than the header"),
    ]


GOOD = jsonl([{"text": f"Statement {i} says something."} for i in range(300)])


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("r.jsonl", b"", "r.jsonl: expected rows, found an empty file"),
        ("r.csv", b"\xef\xbb\xbf \n", "r.csv: expected rows, found an empty file"),
        ("r.parquet", b"", "r.parquet: expected rows, found an empty file"),
        ("r.jsonl.gz", gzip.compress(b"", mtime=0), "expected rows, found an empty file"),
        ("r.jsonl", b'{"text":"a"}\n{"text":"b"\n', "r.jsonl, line 2: expected one JSON object, found broken JSON"),
        ("r.jsonl", b"text\na\n", "r.jsonl, line 1: expected one JSON object, found broken JSON"),
        ("r.jsonl", b'[{"text":"a"},\n', "r.jsonl, line 1: expected one JSON object, found broken JSON"),
        ("r.jsonl", b'{"text":' + b"[" * 100_000, "line 1: expected one JSON object, but"),
        ("r.jsonl", b'{"text":"a"}\n{"text":"\xff"}\n', "r.jsonl, line 2: expected UTF-8, found byte 0xff"),
        ("r.csv", b"id,body\n1,a\n", "expected a CSV table with a column 'text', found the columns id, body"),
        ("r.csv", b"text,text\na,b\n", "expected one column 'text', found 2"),
        ("r.csv", b"text,id\na,1\nb,c,2\n", "r.csv, line 3: expected 2 fields as in the header, found 3"),
        ("r.csv", b'text,id\na,1\n"never closed,2\nx,3\n', "r.csv, line 3: expected a CSV record, but"),
        ("r.csv", b"text\ngr\xfcn\n", "r.csv, line 2: expected a table in UTF-8, found byte 0xfc"),
        ("r.csv", "text\na\n".encode("utf-16"), "line 1: expected a table in UTF-8, found byte 0xff"),
        ("r.parquet", parquet({"text": ["a"] * 99})[:-20], "r.parquet: expected a whole Parquet file, but"),
        ("r.parquet", b"PAR1", "r.parquet: expected a whole Parquet file, but"),
        ("r.parquet", b"no such thing", "r.parquet: expected a whole Parquet file, but"),
        ("r.parquet", parquet({"body": ["a"]}), "expected a Parquet table with a column 'text', found the columns body"),
        ("r.jsonl.gz", gzip.compress(GOOD, mtime=0)[:-12], "expected a whole gzip file, but Truncated"),
        ("r.jsonl.zst", zstd(GOOD)[:-12], "expected a whole zstd file, but Truncated"),
    ],
)
def test_a_file_of_a_wrong_form_is_refused_in_one_sentence(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    with pytest.raises(RecordError) as caught:
        read(tmp_path, name, data)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(tmp_path / name))
    assert "\n" not in message


def test_a_parquet_file_torn_in_the_middle_is_refused(tmp_path: Path) -> None:
    data = bytearray(parquet({"text": [f"statement {i}" for i in range(5000)]}))
    data[4:2000] = bytes(1996)
    with pytest.raises(RecordError, match="expected a whole Parquet file"):
        read(tmp_path, "r.parquet", bytes(data))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("absent.jsonl", "no such file or folder"),
        ("a.txt/absent.csv", "no such file or folder"),
        ("x" * 300, "expected a file that can be read, but File name too long"),
        ("crawl.warc.gz", "no such file or folder"),
        ("one.warc", "found an archive; `treaty-stance label` makes one"),
        ("page.html.gz", "unpack it first"),
        ("empty-folder", "expected a folder with .txt, .html or .pdf documents, found 0 files of other kinds"),
        ("scan", "found a PDF document; give its name the suffix .pdf"),
        ("archive", "found a WARC archive; give its name the suffix .warc"),
        ("a.txt", "found a document; `treaty-stance label` makes one"),
    ],
)
def test_what_cannot_be_meant_is_refused_as_wrong_usage(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "a.txt").write_text("A document.")
    (tmp_path / "empty-folder").mkdir()
    (tmp_path / "scan").write_bytes(b"%PDF-1.7\n")
    (tmp_path / "archive").write_bytes(b"WARC/1.1\r\n")
    (tmp_path / "one.warc").write_bytes(b"WARC/1.1\r\n")
    with pytest.raises(UsageError, match=words):
        list(read_rows([str(tmp_path / name)]))


def test_standard_input_is_named_once_and_connected() -> None:
    with pytest.raises(UsageError, match="more than once"):
        find_sources(["-", "-"], stdin=io.BytesIO(GOOD))
    with pytest.raises(UsageError, match="nothing is connected"):
        find_sources(["-"])
    with pytest.raises(UsageError, match="no input was given"):
        find_sources([])


def test_a_folder_stands_for_its_documents_and_names_what_it_passes_over(tmp_path: Path) -> None:
    for name in ("b.txt", "a.html", "sub/c.md", "data.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    sources, skipped = find_sources([str(tmp_path)])
    assert sorted(s.name for s in sources) == [str(tmp_path / n) for n in ("a.html", "b.txt", "sub/c.md")]
    assert {(s.kind, s.root) for s in sources} == {("document", tmp_path)}
    assert skipped == (str(tmp_path / "data.jsonl"),)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from([*COLUMNS, "other"]), json_values), min_size=1, max_size=8))
def test_n_objects_give_n_rows_in_order_each_with_a_text_or_a_reason(objects: list[dict[str, object]]) -> None:
    rows = list(read_rows(["-"], stdin=io.BytesIO(jsonl(objects))))
    assert [row.source for row in rows] == [f"standard input, line {i}" for i in range(1, len(objects) + 1)]
    for row in rows:
        assert (row.text is None) != (row.reason is None)
        for name in COLUMNS:
            value = getattr(row, name)
            assert value is None or (isinstance(value, str) and value.encode())


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)


@settings(deadline=None)
@given(st.lists(texts, min_size=1, max_size=8))
def test_csv_jsonl_and_parquet_give_equal_rows(values: list[str]) -> None:
    rows = [{"text": text, "id": str(i)} for i, text in enumerate(values)]
    read = [fields(list(read_rows(["-"], stdin=io.BytesIO(form(rows))))) for form in (jsonl, as_csv, rows_parquet)]
    assert read[0] == read[1] == read[2]
    assert len(read[0]) == len(values)
