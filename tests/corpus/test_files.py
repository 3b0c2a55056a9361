"""Records come back from a file as they went in, and a file that lies is refused by name, line and field."""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpus import Annotation, Document, GoldLabel, Prediction, RecordError, Statement, UsageError
from corpus.files import (
    atomic_path,
    read_json,
    read_jsonl,
    read_parquet,
    write_json,
    write_jsonl,
    write_parquet,
    write_text,
)
from corpus.identity import document_id, statement_id
from corpus.records import Record
from corpus.schemas import arrow_schema

KINDS: list[type[Record]] = [Document, Statement, Annotation, GoldLabel, Prediction]

# What breaks naive writers: an emoji, a letter beyond the 16-bit plane, NUL, quotes, line ends of every kind, a byte
# order mark, a combining accent.
HARD = ["😀", "𠮷野", "a\x00b", "\"'`,;\\", "one\r\ntwo\rthree\n", "\u2028\u2029\x85", "\ufeffx", "e\u0301", " ", ""]
TEXT = st.sampled_from(HARD) | st.text()
SHARE = st.floats(0, 1)
MAYBE = st.none() | TEXT
WHOLE = st.integers(-(2**63), 2**63 - 1)
NAMES = st.lists(TEXT, unique=True, max_size=4).map(tuple)


@st.composite
def _documents(draw: st.DrawFn) -> Document:
    url, text = draw(st.sampled_from(["https://example.org/a", "file:x"]) | TEXT), draw(TEXT)
    optional = ("publisher", "published", "retrieved", "title", "language", "kind", "snapshot", "story")
    return Document(
        id=document_id(url, text),
        url=url,
        text=text,
        revision=draw(st.integers(1, 2**63 - 1)),
        **{name: draw(MAYBE) for name in optional},
    )


@st.composite
def _statements(draw: st.DrawFn) -> Statement:
    document, start, text = draw(TEXT), draw(st.integers(0, 2**40)), draw(TEXT)
    end = start + len(text)
    return Statement(
        id=statement_id(document, start, end),
        document=document,
        start=start,
        end=end,
        text=text,
        before=draw(TEXT),
        after=draw(TEXT),
        voice=draw(MAYBE),
    )


@st.composite
def _shares(draw: st.DrawFn) -> dict[str, float]:
    names = draw(st.lists(TEXT, unique=True, min_size=1, max_size=4))
    weights = draw(st.lists(st.integers(1, 9), min_size=len(names), max_size=len(names)))
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


@st.composite
def _predictions(draw: st.DrawFn) -> Prediction:
    probabilities = draw(_shares())
    concerns = draw(NAMES)
    span = draw(st.none() | st.tuples(TEXT, WHOLE, WHOLE))
    return Prediction(
        statement=draw(TEXT),
        model_id=draw(TEXT),
        codebook_version=draw(TEXT),
        stance=draw(st.sampled_from(sorted(probabilities))),
        probabilities=probabilities,
        concerns=concerns,
        concern_probabilities={name: draw(SHARE) for name in concerns},
        confidence=draw(SHARE),
        abstained=draw(st.booleans()),
        holder=span[0] if span else None,
        holder_start=span[1] if span else None,
        holder_end=span[2] if span else None,
        holder_type=draw(MAYBE),
    )


_annotations = st.builds(
    Annotation,
    statement=TEXT,
    annotator=TEXT,
    codebook_version=TEXT,
    stance=TEXT,
    concerns=NAMES,
    holder=MAYBE,
    holder_type=MAYBE,
    voice=MAYBE,
    blind=st.booleans(),
    certainty=st.none() | st.integers(1, 3),
    seconds=st.none() | st.floats(0, allow_infinity=False),
    comment=MAYBE,
)
_gold = st.builds(
    GoldLabel,
    statement=TEXT,
    codebook_version=TEXT,
    stance=TEXT,
    concerns=NAMES,
    holder=MAYBE,
    holder_type=MAYBE,
    distribution=st.just({}) | _shares(),
    settled=TEXT,
    inclusion_probability=st.none() | st.floats(0, 1, exclude_min=True),
)
BATCHES = st.one_of(
    *(st.lists(kind, max_size=4) for kind in (_documents(), _statements(), _annotations, _gold, _predictions()))
)
ANNOTATION = Annotation(statement="s", annotator="ann", codebook_version="1", stance="pro", concerns=("fish",))


@settings(deadline=None, max_examples=60)
@given(BATCHES)
def test_records_come_back_from_jsonl_as_they_went_in(records: list[Any]):
    kind = type(records[0]) if records else Document
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.jsonl"
        assert write_jsonl(path, records) == len(records)
        assert list(read_jsonl(path, kind)) == records


@settings(deadline=None, max_examples=60)
@given(BATCHES)
@example([ANNOTATION, ANNOTATION])
def test_records_come_back_from_parquet_as_they_went_in(records: list[Any]):
    kind = type(records[0]) if records else Document
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.parquet"
        assert write_parquet(path, records, kind) == len(records)
        assert list(read_parquet(path, kind)) == records


@pytest.mark.parametrize("kind", KINDS)
def test_the_arrow_schema_has_the_fields_of_the_record_in_their_order(kind: type[Record]):
    assert arrow_schema(kind).names == list(kind.__struct_fields__)


@pytest.mark.parametrize("kind", KINDS)
def test_no_records_make_an_empty_file_that_reads_as_no_records(kind: type[Record], tmp_path: Path):
    write_jsonl(tmp_path / "none.jsonl", [])
    write_parquet(tmp_path / "none.parquet", [], kind)
    assert (tmp_path / "none.jsonl").read_bytes() == b""
    assert list(read_jsonl(tmp_path / "none.jsonl", kind)) == []
    assert list(read_parquet(tmp_path / "none.parquet", kind)) == []


def test_blank_lines_and_a_missing_last_line_end_are_passed_over_but_counted(tmp_path: Path):
    good = json.dumps({"statement": "s", "annotator": "ann", "codebook_version": "1", "stance": "pro"})
    path = tmp_path / "a.jsonl"
    path.write_text(f"\n{good}\n  \n\n{good}", encoding="utf-8")
    assert len(list(read_jsonl(path, Annotation))) == 2
    path.write_text(f"\n{good}\n  \n\n{{", encoding="utf-8")
    with pytest.raises(RecordError, match=r"a\.jsonl, line 5: "):
        list(read_jsonl(path, Annotation))


def test_records_before_the_bad_line_are_still_yielded(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [ANNOTATION])
    with path.open("a", encoding="utf-8") as stream:
        stream.write("not json\n")
    records = read_jsonl(path, Annotation)
    assert next(records) == ANNOTATION
    with pytest.raises(RecordError, match="line 2"):
        next(records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version is 2, but this release reads Annotation version 1"),
        ({"version": "1"}, "version is '1', but this release reads Annotation version 1"),
        ({"version": None}, "version is None"),
        ({"version": True}, "field 'version': Expected `int`, got `bool`"),
        ({"mood": "glad"}, "Object contains unknown field `mood`"),
        ({"stance": 3}, "field 'stance': Expected `str`, got `int`"),
        ({"stance": None}, "field 'stance': Expected `str`, got `null`"),
        ({"concerns": "fish"}, "field 'concerns': Expected `array`, got `str`"),
        ({"concerns": ["fish", 1]}, "field 'concerns[1]': Expected `str`, got `int`"),
        ({"concerns": ["fish", "fish"]}, "concerns has a label twice: fish, fish"),
        ({"certainty": 9}, "certainty is 9, expected 1, 2 or 3"),
        ({"blind": "yes"}, "field 'blind': Expected `bool`, got `str`"),
    ],
)
def test_a_bad_field_is_refused_by_file_line_and_field(tmp_path: Path, change: dict[str, Any], message: str):
    good = {"statement": "s", "annotator": "ann", "codebook_version": "1", "stance": "pro"}
    path = tmp_path / "in.jsonl"
    path.write_text(f"{json.dumps(good)}\n{json.dumps({**good, **change})}\n", encoding="utf-8")
    with pytest.raises(RecordError) as caught:
        list(read_jsonl(path, Annotation))
    assert str(caught.value).startswith(f"{path}, line 2: ")
    assert message in str(caught.value)


@pytest.mark.parametrize("field", ["statement", "annotator", "codebook_version", "stance"])
def test_a_missing_field_is_named(tmp_path: Path, field: str):
    value = {"statement": "s", "annotator": "ann", "codebook_version": "1", "stance": "pro"}
    del value[field]
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(RecordError, match=f"in.jsonl, line 1: .*missing required field `{field}`"):
        list(read_jsonl(path, Annotation))


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"nonsense",
        b'{"statement": "s"',
        b"[1, 2]",
        b'"text"',
        b"\xff\xfe",
        b'{"statement": "\xff"}',
        b'{"statement": "\\ud800"}',
        b"[" * 100_000,
    ],
    ids=["open", "word", "cut", "list", "string", "utf-16", "not utf-8", "half a surrogate pair", "nested"],
)
def test_a_line_that_is_no_json_object_is_refused_by_file_and_line(tmp_path: Path, line: bytes):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n" + line + b"\n")
    with pytest.raises(RecordError, match=r"in\.jsonl, line 2: expected a JSON object"):
        list(read_jsonl(path, Annotation))


def test_a_record_whose_id_or_offsets_lie_is_refused_on_reading(tmp_path: Path):
    path = tmp_path / "in.jsonl"
    lying = {"id": "d:0-4", "document": "d", "start": 0, "end": 4, "text": "abc"}
    path.write_text(json.dumps(lying), encoding="utf-8")
    with pytest.raises(RecordError, match=r"line 1: .*offsets 0 to 4 do not span a text of 3 characters"):
        list(read_jsonl(path, Statement))
    path.write_text(json.dumps({"id": "0-0", "url": "https://example.org", "text": "abc"}), encoding="utf-8")
    with pytest.raises(RecordError, match=r"line 1: .*id is '0-0', but url and text make it"):
        list(read_jsonl(path, Document))


@pytest.mark.parametrize("reader", [read_jsonl, read_parquet])
def test_a_file_that_is_not_there_is_the_callers_mistake(tmp_path: Path, reader: Any):
    with pytest.raises(UsageError, match=r"absent: no such file"):
        list(reader(tmp_path / "absent", Annotation))


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A Parquet file of 3,000 annotations, none like another."""
    path = tmp_path / "in.parquet"
    write_parquet(
        path,
        [
            Annotation(statement=f"s{i}", annotator="ann", codebook_version="1", stance="pro", comment=f"{i * 7919}")
            for i in range(3000)
        ],
        Annotation,
    )
    return path


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_parquet_file_is_refused_by_name(parquet: Path, share: float):
    data = parquet.read_bytes()
    parquet.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(RecordError, match=r"in\.parquet: expected a whole Parquet file"):
        list(read_parquet(parquet, Annotation))


def test_a_parquet_file_with_a_damaged_page_is_refused_by_name(parquet: Path):
    data = bytearray(parquet.read_bytes())
    data[200 : len(data) // 2] = bytes(len(data) // 2 - 200)
    parquet.write_bytes(data)
    with pytest.raises(RecordError, match=r"in\.parquet: expected a whole Parquet file"):
        list(read_parquet(parquet, Annotation))


def test_a_text_file_named_parquet_is_refused_by_name(tmp_path: Path):
    path = tmp_path / "in.parquet"
    path.write_text("id,text\n1,hello\n" * 10, encoding="utf-8")
    with pytest.raises(RecordError, match=r"in\.parquet: expected a whole Parquet file"):
        list(read_parquet(path, Annotation))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("version", [1, 2], "row 2: version is 2"),
        ("mood", ["a", "b"], "row 1: .*unknown field `mood`"),
        ("stance", ["pro", None], "row 2: .*field 'stance'"),
        ("stance", [1, 2], "row 1: .*field 'stance'"),
        ("stance", None, "row 1: .*missing required field `stance`"),
    ],
)
def test_a_bad_column_is_refused_by_file_row_and_field(tmp_path: Path, column: str, values: list[Any] | None, message: str):
    path = tmp_path / "in.parquet"
    write_parquet(path, [ANNOTATION, ANNOTATION], Annotation)
    table = pq.read_table(path)
    if column in table.column_names:
        table = table.drop_columns(column)
    if values is not None:
        table = table.append_column(column, pa.array(values))
    pq.write_table(table, path)
    with pytest.raises(RecordError, match=rf"in\.parquet, {message}"):
        list(read_parquet(path, Annotation))


def _failing() -> Iterator[Annotation]:
    yield ANNOTATION
    raise RuntimeError("half way")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path):
    path = tmp_path / "out.jsonl"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError, match="half way"):
        write_jsonl(path, _failing())
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_no_file_where_none_was(tmp_path: Path):
    with pytest.raises(RuntimeError, match="half way"):
        write_jsonl(tmp_path / "out.jsonl", _failing())
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_there_until_it_is_whole(tmp_path: Path):
    path = tmp_path / "deep" / "er" / "out.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("whole", encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(UsageError, match="taken: expected a folder that can be written to"):
        write_text(tmp_path / "taken" / "out.txt", "x")


def test_a_folder_in_the_place_of_the_output_is_one_sentence(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UsageError, match="taken: expected a file that can be replaced"):
        write_text(tmp_path / "taken", "x")
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_text_is_written_with_the_line_ends_that_it_has(tmp_path: Path):
    write_text(tmp_path / "t", "a\nb 😀\n")
    assert (tmp_path / "t").read_bytes() == "a\nb 😀\n".encode()


def test_json_comes_back_in_the_order_given(tmp_path: Path):
    value = {"b": [1, 2.5, None, True], "a": {"ü": "😀\x00"}}
    write_json(tmp_path / "v.json", value)
    assert read_json(tmp_path / "v.json") == value == json.loads((tmp_path / "v.json").read_text(encoding="utf-8"))
    assert list(read_json(tmp_path / "v.json")) == ["b", "a"]


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000], ids=["empty", "open", "bytes", "nested"])
def test_a_file_that_is_not_json_is_refused_by_name(tmp_path: Path, data: bytes):
    (tmp_path / "v.json").write_bytes(data)
    with pytest.raises(RecordError, match=r"v\.json: expected JSON"):
        read_json(tmp_path / "v.json")


def test_a_json_file_that_is_not_there_is_the_callers_mistake(tmp_path: Path):
    with pytest.raises(UsageError, match=r"v\.json: no such file"):
        read_json(tmp_path / "v.json")
