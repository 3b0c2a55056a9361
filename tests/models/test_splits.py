"""Splits keep together what belongs together, and notice when the data has changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from corpus.errors import RecordError
from corpus.identity import document_id, statement_id
from corpus.records import Document, GoldLabel, Statement
from models.dataset import Example, build_examples
from models.splits import (
    PARTS,
    NearCopies,
    Split,
    group_examples,
    make_split,
    make_time_split,
    read_split,
    take,
    write_split,
)


def example(text: str, url: str, *, stance: str = "favor", title: str = "", published: str | None = None) -> Example:
    document = Document(id=document_id(url, text + title), url=url, text=text + title, published=published)
    statement = Statement(
        id=statement_id(document.id, 0, len(text)), document=document.id, start=0, end=len(text), text=text
    )
    return Example(statement, document, GoldLabel(statement=statement.id, codebook_version="1", stance=stance))


LONG = "the delegates agreed after a long night that the text should be sent to the assembly for a vote in the winter"


def test_statements_of_one_document_one_address_and_near_copies_are_one_group() -> None:
    examples = [
        example(LONG, "https://a.example/1"),
        example("something else entirely was said here by others", "https://a.example/1/?utm_source=x#top"),
        example(LONG.replace("winter", "spring"), "https://b.example/wire"),
        example("fishing rights were discussed by the two towns at great length", "https://c.example/"),
    ]
    groups = group_examples(examples)
    assert groups[0] == groups[1], "one canonical address"
    assert groups[0] == groups[2], "a light edit"
    assert groups[3] != groups[0]


def test_a_chain_of_near_copies_is_one_group_although_its_ends_differ() -> None:
    words = [f"word{i}" for i in range(60)]
    chain = [" ".join(words[i : i + 40]) for i in (0, 5, 10, 15, 20)]
    groups = group_examples(
        [example(text, f"https://{i}.example/") for i, text in enumerate(chain)], NearCopies(threshold=0.6)
    )
    assert len(set(groups)) == 1


def many(n: int) -> list[Example]:
    stances = ("favor", "against", "none")
    return [
        example(
            f"statement {i} says thing {i * i} about matter {i * 7}",
            f"https://{i // 2}.example/",
            stance=stances[i % 3],
            title=str(i),
        )
        for i in range(n)
    ]


def test_parts_are_disjoint_cover_everything_and_never_share_a_group() -> None:
    examples = many(300)
    split = make_split(examples, seed=3)
    ids = [i for part in PARTS for i in split.parts[part]]
    assert sorted(ids) == sorted(e.statement.id for e in examples)
    part_of = {i: part for part in PARTS for i in split.parts[part]}
    groups: dict[int, set[str]] = {}
    for e, g in zip(examples, group_examples(examples), strict=True):
        groups.setdefault(g, set()).add(part_of[e.statement.id])
    assert all(len(parts) == 1 for parts in groups.values())
    for part, share in (("train", 0.65), ("development", 0.15), ("test", 0.20)):
        assert len(split.parts[part]) / 300 == pytest.approx(share, abs=0.04)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    examples = many(120)
    assert make_split(examples, seed=3) == make_split(examples, seed=3)
    assert make_split(examples, seed=3).parts != make_split(examples, seed=4).parts


@pytest.mark.parametrize("change", [{"stance": "against"}, {"concerns": ("scope",)}])
def test_a_changed_gold_label_is_noticed(change: dict[str, Any]) -> None:
    examples = many(120)
    split = make_split(examples, seed=0)
    first = split.parts["test"][0]
    altered = [
        replace(e, gold=msgspec.structs.replace(e.gold, **change))
        if e.statement.id == first and e.gold.stance != "against"
        else e
        for e in examples
    ]
    if altered == examples:  # the first one happened to be against already
        altered = [
            replace(e, gold=msgspec.structs.replace(e.gold, stance="none")) if e.statement.id == first else e
            for e in examples
        ]
    with pytest.raises(RecordError, match="the test part has hash"):
        take(altered, split, "test")
    assert take(altered, split, "train") == take(examples, split, "train")


def test_a_missing_statement_is_noticed() -> None:
    examples = many(120)
    split = make_split(examples, seed=0)
    with pytest.raises(RecordError, match="train again"):
        take([e for e in examples if e.statement.id != split.parts["test"][0]], split, "test")


def test_too_few_documents_are_refused_with_their_number() -> None:
    with pytest.raises(RecordError, match=r"^5 independent documents"):
        make_split(many(10), seed=0)


def test_a_split_file_comes_back_as_it_was(tmp_path: Path) -> None:
    split = make_split(many(120), seed=0)
    write_split(tmp_path / "split.json", split)
    assert read_split(tmp_path / "split.json") == split
    (tmp_path / "other.json").write_text('{"format": 1}')
    with pytest.raises(RecordError, match="not a split file"):
        read_split(tmp_path / "other.json")


def dated(dates: list[str | None]) -> list[Example]:
    """Three statements, one of each stance, for each date."""
    stances = ("favor", "against", "none")
    return [
        example(
            f"statement {i} {j} says thing {(3 * i + j) ** 2} about matter {i * 7} and {j * 11}",
            f"https://{i}-{j}.example/",
            stance=stances[j],
            published=date,
        )
        for i, date in enumerate(dates)
        for j in range(3)
    ]


def dates_of(examples: list[Example], split: Split, part: str) -> list[str]:
    return sorted(e.document.published or "" for e in take(examples, split, part))


def test_a_split_by_time_learns_from_the_past_and_is_tested_on_the_latest() -> None:
    days = [f"2025-{1 + i // 10:02d}-{1 + i % 10:02d}" for i in range(100)]
    examples = dated(days[::-1])
    split = make_time_split(examples)
    assert split.kind == "time"
    train, development, test = (dates_of(examples, split, part) for part in PARTS)
    assert train[-1] < split.development_from == development[0]  # type: ignore[operator]
    assert development[-1] < split.test_from == test[0]  # type: ignore[operator]
    assert (len(train), len(development), len(test)) == (195, 45, 60)
    assert sorted(i for part in PARTS for i in split.parts[part]) == sorted(e.statement.id for e in examples)
    assert make_time_split(examples) == split
    assert split.record == {"kind": "time", "development_from": "2025-07-06", "test_from": "2025-09-01", "undated": 0}


def test_a_day_is_in_one_part_and_the_shares_are_as_near_as_days_allow() -> None:
    examples = dated(["2025-01-01"] * 30 + ["2025-01-02"] * 25 + ["2025-01-03"] * 15 + ["2025-01-04"] * 30)
    split = make_time_split(examples)
    assert (split.development_from, split.test_from) == ("2025-01-03", "2025-01-04")
    assert [len(split.parts[p]) for p in PARTS] == [165, 45, 90]


def test_undated_documents_are_for_training_and_are_counted() -> None:
    days: list[str | None] = [f"2025-01-{1 + i:02d}" for i in range(20)]
    examples = dated([*days, None, "spring 2025", "2025-13-01", None])
    split = make_time_split(examples)
    assert split.undated == 12
    undated = {e.statement.id for e in examples if e.document.published not in days}
    assert undated <= set(split.parts["train"])


def test_a_group_goes_by_its_latest_date_so_that_no_test_statement_has_a_copy_in_training() -> None:
    days: list[str | None] = [f"2025-01-{1 + i:02d}" for i in range(20)]
    examples = dated(days)
    wire = [
        example(LONG, "https://a.example/", published="2025-01-01"),
        example(LONG.replace("winter", "spring"), "https://b.example/", published="2025-01-20"),
        example(LONG.replace("winter", "summer"), "https://c.example/", published=None),
    ]
    examples += wire
    split = make_time_split(examples)
    assert {e.statement.id for e in wire} <= set(split.parts["test"])
    assert split.undated == 0, "the undated copy goes by the others' dates"


def test_a_month_or_a_year_alone_counts_as_its_last_day() -> None:
    days: list[str | None] = [f"2025-{m:02d}-15" for m in range(1, 11)]
    examples = dated([*days, "2025", "2025-01", "2025-10-15T23:59:00+02:00"])
    split = make_time_split(examples)
    assert split.test_from == "2025-10-15"
    test = dates_of(examples, split, "test")
    assert set(test) == {"2025", "2025-10-15", "2025-10-15T23:59:00+02:00"}
    assert "2025-01" in dates_of(examples, split, "train")


@pytest.mark.parametrize(
    ("dates", "said"),
    [
        ([None] * 20, "0 different dates of publication among 60 statements, expected 3 or more"),
        (["2025-01-01"] * 20 + ["2025-01-02"] * 20, "2 different dates"),
    ],
)
def test_too_few_dates_are_refused(dates: list[str | None], said: str) -> None:
    with pytest.raises(RecordError, match=said):
        make_time_split(dated(dates))


def test_a_part_without_a_stance_is_refused_with_its_name() -> None:
    examples = dated([f"2025-01-{1 + i:02d}" for i in range(20)])
    late = [e for e in examples if e.gold.stance != "against" or (e.document.published or "") < "2025-01-10"]
    with pytest.raises(RecordError, match=r"the (development|test) part has no statement of against"):
        make_time_split(late)


def test_the_split_files_of_earlier_releases_are_grouped_splits(tmp_path: Path) -> None:
    split = make_split(many(120), seed=4)
    old = {k: v for k, v in msgspec.to_builtins(split).items() if k in ("format", "seed", "near_copy", "parts", "hashes")}
    (tmp_path / "split.json").write_bytes(msgspec.json.encode(old))
    assert read_split(tmp_path / "split.json") == split
    assert split.record == {"kind": "grouped", "seed": 4}
    by_time = make_time_split(dated([f"2025-01-{1 + i:02d}" for i in range(20)]))
    write_split(tmp_path / "time.json", by_time)
    assert read_split(tmp_path / "time.json") == by_time


def test_two_gold_labels_for_one_statement_are_refused() -> None:
    e = example(LONG, "https://a.example/")
    with pytest.raises(RecordError, match="two gold labels"):
        build_examples([e.statement], {e.document.id: e.document}, [e.gold, e.gold])
