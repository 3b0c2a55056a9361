"""The column ``holder_name``: which rows are read together, and where their holders stand."""

from typing import Any

from pipelines.holders import name_holders


def row(text: str | None, holder: str | None, document: str | None = "d", **given: Any) -> dict[str, Any]:
    return {"document_id": document, "start": 0, "text": text, "holder": holder, **given}


def names(rows: list[dict[str, Any]], *, starts: dict[int, int] | None = None, **options: Any) -> list[object]:
    found = name_holders(rows, [str(r.get("whole", "")) for r in rows], starts or {}, **options)
    assert [{k: v for k, v in r.items() if k != "holder_name"} for r in found] == rows
    return [r["holder_name"] for r in found]


def test_rows_without_a_text_or_a_holder_keep_what_they_have() -> None:
    assert names([]) == []
    assert names([row(None, "Poe"), row("Edgar Poe spoke.", None), row("Poe spoke.", "Poe")]) == ["Poe", None, "Edgar Poe"]


def test_rows_of_no_document_are_each_read_alone() -> None:
    rows = [row("Edgar Poe spoke.", None, None), row("Poe spoke.", "Poe", None)]
    assert names(rows) == [None, "Poe"]


def test_a_whole_document_is_read_where_it_is_known_with_its_own_offsets() -> None:
    whole = "Edgar Poe, the mayor, spoke. Later he left. She stayed, as Anna Poe, a lawyer, had told her."
    start = whole.index("Later")
    rows = [row("Later he left.", "he", start=start, whole=whole)]
    assert names(rows, starts={0: 6}) == ["Edgar Poe"]


def test_a_holder_stands_where_the_model_found_it_and_not_where_its_letters_come_first() -> None:
    text = "The sheriff was there. Edgar Poe, the mayor, spoke. Later he left."
    assert names([row(text, "he")]) == ["he"]  # looked for, it is found in "The"
    assert names([row(text, "he")], starts={0: text.index("he left")}) == ["Edgar Poe"]
    assert names([row(text, "Poe")], starts={0: 3}) == ["Edgar Poe"]  # a start that is not the holder's is passed over


def test_the_type_for_nobody_says_nothing_of_the_kind() -> None:
    rows = [
        row("To Human Rights Watch it is bad.", "Human Rights Watch", holder_type="none"),
        row("The group hopes.", "The group", holder_type="none"),
    ]
    assert names(rows) == ["Human Rights Watch"] * 2
    assert names(rows, nobody="none") == ["Human Rights Watch", "The group"]


def test_at_most_five_hundred_rows_are_read_together() -> None:
    rows = [row("Edgar Poe spoke.", None), *(row("Poe spoke.", "Poe") for _ in range(600))]
    assert names(rows) == [None, *["Edgar Poe"] * 499, *["Poe"] * 101]


def test_title_and_publisher_are_the_documents() -> None:
    assert names([row("The GPD hopes.", "The GPD", publisher="Global Partners Digital")]) == ["Global Partners Digital"]
    assert names([row("Poe hopes.", "Poe", title="What Edgar Poe thinks of it")]) == ["Edgar Poe"]
