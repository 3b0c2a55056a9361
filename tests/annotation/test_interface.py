import string
import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from annotation.codebook import Codebook, load_codebook, parse_codebook
from annotation.interface import hotkeys, instructions, labeling_config, task
from corpus.errors import CodebookError, RecordError
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement

TEXT = "Before it.\n\n😀 Acme says the <law> is “good”.\n\nAfter it."


@pytest.fixture
def codebook() -> Codebook:
    return parse_codebook(
        """
        format: 1
        name: whales
        version: 3
        target: {name: Whale & Dolphin Act, description: An invented law.}
        unit: One sentence.
        holder: Who <speaks>.
        stances:
          - {id: pro, name: For it, definition: 'Wants "it" & more.', polarity: positive, hotkey: h}
          - {id: con, name: Against <it>, definition: Does not., polarity: negative, examples: [no & never]}
          - {id: open, name: Open, definition: Neither., polarity: neutral}
        concerns:
          - {id: cost, name: Cost, definition: Money., hotkey: shift+y}
          - {id: noise, name: Noise, definition: Sound.}
        holder_types:
          - {id: some, name: Somebody}
          - {id: nobody, name: Nobody, nobody: true}
        rules: [First <rule>., Second rule.]
        """,
        where="test",
    )


def made(text: str = TEXT, part: str = "😀 Acme says the <law> is “good”.", **fields: str) -> tuple[Statement, Document]:
    document = Document(id=document_id("file:a", text), url="file:a", text=text, **fields)
    start = text.index(part)
    end = start + len(part)
    statement = Statement(
        id=statement_id(document.id, start, end), document=document.id, start=start, end=end, text=part,
        before=text[:start], after=text[end:],
    )  # fmt: skip
    return statement, document


def parsed(codebook: Codebook, **options: bool) -> ET.Element:
    return ET.fromstring(labeling_config(codebook, **options))  # noqa: S314 - our own


def test_config_stores_ids_and_shows_names_in_the_codebooks_order(codebook: Codebook) -> None:
    root = parsed(codebook)
    found = {c.get("name"): [(o.get("alias"), o.get("value"), o.get("hint")) for o in c] for c in root.iter("Choices")}
    assert found["stance"] == [
        ("pro", "For it", 'Wants "it" & more.'),
        ("con", "Against <it>", "Does not."),
        ("open", "Open", "Neither."),
    ]
    assert [alias for alias, *_ in found["concerns"]] == ["cost", "noise"]
    assert [alias for alias, *_ in found["holder_type"]] == ["some", "nobody"]
    assert root.get("codebook") == codebook.id


def test_config_asks_one_stance_any_concerns_and_one_holder(codebook: Codebook) -> None:
    controls = {c.get("name"): c for tag in ("Choices", "Labels") for c in parsed(codebook).iter(tag)}
    assert controls["stance"].get("choice") == "single-radio"
    assert controls["stance"].get("required") == "true"
    assert controls["concerns"].get("choice") == "multiple"
    assert controls["holder_type"].get("choice") == "single"
    assert [label.get("maxUsages") for label in controls["holder"]] == ["1"]


def test_config_of_every_codebook_passes_label_studios_own_check(codebook: Codebook) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    for book in (codebook, load_codebook()):
        interface = LabelInterface(labeling_config(book))
        interface.validate()
        assert set(interface.get_control("stance").labels) == set(book.stance_ids)


def test_publisher_is_hidden_unless_asked_for(codebook: Codebook) -> None:
    statement, document = made(publisher="The Daily Example", title="T", published="2026-01-02")
    assert "publisher" not in labeling_config(codebook)
    assert "publisher" not in task(statement, document)["data"]
    assert "$publisher" in labeling_config(codebook, show_publisher=True)
    assert task(statement, document, show_publisher=True)["data"]["publisher"] == "The Daily Example"


def test_every_answer_has_its_own_key_and_the_codebooks_keys_stay(codebook: Codebook) -> None:
    for book in (codebook, load_codebook()):
        keys = hotkeys(book)
        answers = len(book.stances) + len(book.concerns) + len(book.holder_types) + 2
        assert len(keys) == len(set(keys.values())) == answers
        assert all(keys["stance", s.id] == s.hotkey for s in book.stances if s.hotkey)
        assert all(keys["concerns", c.id] == c.hotkey for c in book.concerns if c.hotkey)


def test_added_keys_avoid_the_codebooks_and_label_studios_own(codebook: Codebook) -> None:
    keys = hotkeys(codebook)
    assert keys["stance", "pro"] == "h"
    assert keys["holder", "holder"] not in ("h", "u")
    assert "u" not in hotkeys(load_codebook()).values()


@pytest.mark.parametrize("key", ["u", "ctrl+z", "ctrl+shift+z", "shift+ctrl+z"])
def test_a_key_that_label_studio_uses_itself_is_refused_by_name(codebook: Codebook, key: str) -> None:
    first = msgspec.structs.replace(codebook.stances[0], hotkey=key)
    with pytest.raises(CodebookError, match=r"'pro' belongs to Label Studio"):
        labeling_config(msgspec.structs.replace(codebook, stances=(first, *codebook.stances[1:])))


def test_one_key_written_in_two_ways_is_refused(codebook: Codebook) -> None:
    first, second, third = codebook.stances
    twice = (
        msgspec.structs.replace(first, hotkey="ctrl+shift+k"),
        msgspec.structs.replace(second, hotkey="shift+ctrl+k"),
        third,
    )
    with pytest.raises(CodebookError, match="'con' belongs to stance 'pro'"):
        labeling_config(msgspec.structs.replace(codebook, stances=twice))


def test_more_answers_than_keys_are_refused(codebook: Codebook) -> None:
    letters = string.ascii_lowercase
    many = tuple(
        msgspec.structs.replace(codebook.concerns[1], id=f"c_{a}{b}", name=f"{a}{b}") for a in letters for b in letters[:4]
    )
    with pytest.raises(CodebookError, match="more keys than there are"):
        labeling_config(msgspec.structs.replace(codebook, concerns=many))


def test_two_answers_that_read_the_same_are_refused(codebook: Codebook) -> None:
    twin = msgspec.structs.replace(codebook.concerns[1], name="Cost")
    with pytest.raises(CodebookError, match="'cost': another label reads 'Cost'"):
        labeling_config(msgspec.structs.replace(codebook, concerns=(codebook.concerns[0], twin)))


def test_instructions_hold_every_word_of_the_codebook_escaped(codebook: Codebook) -> None:
    for book in (codebook, load_codebook()):
        page = instructions(book)
        text = html.fromstring(page).text_content()
        for label in (*book.stances, *book.concerns):
            assert label.name in text
            assert label.definition in text
            assert all(example in text for example in label.examples)
        assert all(t.name in text for t in book.holder_types)
        assert all(rule in text for rule in book.rules)
        assert book.unit in text
        assert book.holder in text


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1))
def test_words_of_a_codebook_never_become_markup(words: str) -> None:
    class Tags(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.found: set[str] = set()

        def handle_starttag(self, tag: str, attrs: object) -> None:
            self.found.add(tag)

    shipped = load_codebook()
    stance = msgspec.structs.replace(shipped.stances[0], name=f"<script>{words}", definition=words)
    book = msgspec.structs.replace(shipped, stances=(stance, *shipped.stances[1:]), rules=(f"<img {words}>",))
    tags = Tags()
    tags.feed(instructions(book))
    assert tags.found <= {"div", "h3", "p", "b", "i", "br"}
    choices = parsed(book).iter("Choice")
    assert next(choices).get("hint") == words


def test_task_carries_the_statement_with_its_context(codebook: Codebook) -> None:
    statement, document = made(title="A & B", published="2026-01-02")
    assert task(statement, document) == {
        "data": {
            "uid": statement.id,
            "text": "😀 Acme says the <law> is “good”.",
            "title": "A & B",
            "published": "2026-01-02",
            "before": "Before it.",
            "after": "After it.",
        }
    }


def test_task_fills_every_variable_of_the_config_even_for_a_bare_document(codebook: Codebook) -> None:
    for shown in (False, True):
        values = {
            e.get("value") or "" for tag in ("Header", "Text") for e in parsed(codebook, show_publisher=shown).iter(tag)
        }
        asked = {word[1:] for value in values for word in value.split() if word.startswith("$")}
        data = task(*made(), show_publisher=shown)["data"]
        assert asked == data.keys() - {"uid"}
        assert all(data[name] for name in asked)


def test_a_statement_of_another_document_is_refused() -> None:
    statement, _ = made()
    _, other = made(text="Something else, and long enough to hold those offsets, is here to be read by you.", part="else")
    with pytest.raises(RecordError, match="expected a slice of document"):
        task(statement, other)


@pytest.mark.parametrize("part", [unicodedata.normalize("NFD", "Café says no."), "One\r\ntwo."])
def test_a_text_in_another_form_than_the_stored_one_is_refused(part: str) -> None:
    with pytest.raises(RecordError, match="expected Unicode NFC"):
        task(*made(text=f"{part} End.", part=part))


def test_a_statement_of_white_space_is_refused() -> None:
    with pytest.raises(RecordError, match="white space only"):
        task(*made(text="a \n b", part=" \n "))
