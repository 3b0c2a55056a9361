import string
import unicodedata
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html

from annotation.campaign import Item
from annotation.codebook import Codebook, load_codebook, parse_codebook
from annotation.interface import CAUSES, adjudication_task, cause_of, hotkeys, instructions, labeling_config, task
from corpus.errors import CodebookError, RecordError
from corpus.identity import document_id, statement_id
from corpus.records import VOICES, Annotation, Document, Statement

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
    assert controls["voice"].get("choice") == "single"
    assert [c.get("alias") for c in controls["voice"]] == list(VOICES)
    assert "cause" not in controls


def test_concerns_stand_under_their_groups_in_one_control_and_in_the_codebooks_order(codebook: Codebook) -> None:
    def grouped(*groups: str | None) -> tuple[list[str | None], list[str | None]]:
        concerns = tuple(
            msgspec.structs.replace(codebook.concerns[1], id=f"c{n}", name=f"C{n}", group=g) for n, g in enumerate(groups)
        )
        root = parsed(msgspec.structs.replace(codebook, concerns=concerns))
        (control,) = [c for c in root.iter("Choices") if c.get("name") == "concerns"]
        return [h.get("value") for h in control.iter("Header")], [c.get("alias") for c in control.iter("Choice")]

    assert grouped("Law", "Money", "Law") == (["Law", "Money"], ["c0", "c2", "c1"])
    assert grouped("Law", None) == (["Law", "Other"], ["c0", "c1"])
    assert grouped(None, None) == ([], ["c0", "c1"])


def test_each_text_field_stands_right_behind_the_filter_whose_key_leads_to_it(codebook: Codebook) -> None:
    root = parsed(codebook)
    order = [e for e in root.iter() if e.tag in ("Filter", "TextArea")]
    assert [e.get("name") for e in order] == ["jump_holder_words", "holder_words", "jump_comment", "comment"]
    for leap, field in zip(order[::2], order[1::2], strict=True):
        name = str(field.get("name"))
        assert leap.get("hotkey") == hotkeys(codebook)[name, name]
        assert f"[{leap.get('hotkey')}, Tab]" in str(field.get("placeholder"))
        assert field.get("maxSubmissions") == "1"


def test_only_an_adjudicator_is_shown_readings_and_asked_for_the_cause(codebook: Codebook) -> None:
    plain, settling = labeling_config(codebook), labeling_config(codebook, adjudication=True)
    assert "$readings" not in plain
    assert "$readings" in settling
    root = parsed(codebook, adjudication=True)
    (control,) = [c for c in root.iter("Choices") if c.get("name") == "cause"]
    assert [c.get("alias") for c in control] == list(CAUSES)
    assert (control.get("choice"), control.get("required")) == ("single-radio", "true")
    assert root.get("adjudication") == "true"
    assert parsed(codebook).get("adjudication") is None


def test_an_assisted_form_says_so(codebook: Codebook) -> None:
    assert "A model has filled in" in labeling_config(codebook, assisted=True)
    assert parsed(codebook, assisted=True).get("assisted") == "true"
    assert "model" not in labeling_config(codebook)
    assert parsed(codebook).get("assisted") is None


def test_config_of_every_codebook_passes_label_studios_own_check(codebook: Codebook) -> None:
    from label_studio_sdk.label_interface import LabelInterface

    for book in (codebook, load_codebook()):
        for options in ({}, {"assisted": True}, {"adjudication": True}):
            interface = LabelInterface(labeling_config(book, **options))
            interface.validate()
            assert set(interface.get_control("stance").labels) == set(book.stance_ids)
            assert set(interface.get_control("concerns").labels) == set(book.concern_ids)
            asked = {"stance", "concerns", "holder", "holder_words", "holder_type", "voice", "cannot_judge", "comment"}
            assert {c.name for c in interface.controls} == asked | ({"cause"} if "adjudication" in options else set())


def test_publisher_is_hidden_unless_asked_for(codebook: Codebook) -> None:
    statement, document = made(publisher="The Daily Example", title="T", published="2026-01-02")
    assert "publisher" not in labeling_config(codebook)
    assert "publisher" not in task(statement, document)["data"]
    assert "$publisher" in labeling_config(codebook, show_publisher=True)
    assert task(statement, document, show_publisher=True)["data"]["publisher"] == "The Daily Example"


def test_every_answer_has_its_own_key_and_the_codebooks_keys_stay(codebook: Codebook) -> None:
    for book in (codebook, load_codebook()):
        keys = hotkeys(book)
        answers = len(book.stances) + len(book.concerns) + len(book.holder_types) + len(VOICES) + len(CAUSES) + 4
        assert len(keys) == len(set(keys.values())) == answers
        for adjudication in (False, True):
            shown = ET.fromstring(labeling_config(book, adjudication=adjudication)).iter()  # noqa: S314 - our own
            pressed = [e.get("hotkey") for e in shown if e.tag in ("Choice", "Label", "Filter")]
            assert len(pressed) == len(set(pressed)) == answers - (0 if adjudication else len(CAUSES))
            assert set(pressed) <= set(keys.values())
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
    (hint,) = [
        c.get("hint") for c in parsed(book).iter("Choice") if c.get("alias") == stance.id and c.get("value") == stance.name
    ]
    assert hint == words


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


def reading(statement: Statement, codebook: Codebook, **said: object) -> Annotation:
    fields: dict[str, object] = {"annotator": "anna", "stance": "pro", **said}
    return msgspec.convert({"statement": statement.id, "codebook_version": codebook.id, **fields}, Annotation)


def test_an_adjudicator_reads_in_words_what_each_coder_chose_and_no_name(codebook: Codebook) -> None:
    statement, document = made()
    first = reading(
        statement,
        codebook,
        concerns=["noise", "cost"],
        holder="Acme",
        holder_type="some",
        voice="own",
        comment="<b>sure</b>",
    )
    second = reading(statement, codebook, annotator="ben", stance="con", holder_type="some", voice="own")
    shown = adjudication_task(Item(statement=statement, document=document), [second, first], codebook)["data"]
    assert {k: v for k, v in shown.items() if k != "readings"} == task(statement, document)["data"]
    table = html.fromstring(shown["readings"])
    rows = {tr[0].text_content(): ([c.text_content() for c in tr[1:]], tr.get("class")) for tr in table.iter("tr")}
    assert rows == {
        "": (["A", "B"], None),
        "Stance": (["Against <it>", "For it"], "differs"),
        "Concerns": (["none", "Cost, Noise"], "differs"),
        "Holder": (["nobody named", "“Acme”"], "differs"),
        "Kind of holder": (["Somebody", "Somebody"], None),
        "Whose words": (["Holder's own words", "Holder's own words"], None),
        "Comment": (["", "<b>sure</b>"], None),
    }
    assert "anna" not in shown["readings"]
    assert "ben" not in shown["readings"]


def test_two_places_of_one_name_are_told_apart_for_the_adjudicator(codebook: Codebook) -> None:
    statement, document = made(text="Acme met Acme.", part="Acme met Acme.")
    spans = [(0, 4), (9, 13)]
    two = [reading(statement, codebook, holder="Acme", holder_start=a, holder_end=b) for a, b in spans]
    table = html.fromstring(
        adjudication_task(Item(statement=statement, document=document), two, codebook)["data"]["readings"]
    )
    (row,) = [tr for tr in table.iter("tr") if tr[0].text == "Holder"]
    assert [c.text for c in row[1:]] == ["“Acme”", "“Acme” (mention 2)"]
    assert row.get("class") == "differs"


def test_readings_that_do_not_belong_to_the_statement_are_refused(codebook: Codebook) -> None:
    statement, document = made()
    item = Item(statement=statement, document=document)
    other, _ = made(text="Something else is said here.", part="else")
    with pytest.raises(RecordError, match=f"a reading of {other.id} among its own"):
        adjudication_task(item, [reading(other, codebook)], codebook)
    with pytest.raises(RecordError, match="expected 1 to 26 readings to settle, found 0"):
        adjudication_task(item, [], codebook)
    with pytest.raises(CodebookError, match="stance 'elated' is not in codebook"):
        adjudication_task(item, [reading(statement, codebook, stance="elated")], codebook)


@pytest.mark.parametrize(
    ("result", "cause"),
    [
        ([{"from_name": "cause", "type": "choices", "value": {"choices": ["gap"]}}], "gap"),
        ([{"from_name": "cause", "type": "choices", "value": {"choices": ["gap", "slip"]}}], None),
        ([{"from_name": "cause", "type": "choices", "value": {"choices": ["weather"]}}], None),
        ([{"from_name": "stance", "type": "choices", "value": {"choices": ["slip"]}}], None),
        (["cause", {"from_name": "cause"}], None),
        ([], None),
        (None, None),
    ],
)
def test_a_cause_is_read_where_exactly_one_known_one_is_given(result: object, cause: str | None) -> None:
    assert cause_of({"result": result}) == cause


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
