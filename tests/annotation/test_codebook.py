"""A codebook is read as written, refused when it contradicts itself, and known by every word in it."""

import copy
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from annotation.codebook import Codebook, dump_codebook, load_codebook, parse_codebook
from corpus import CodebookError, UsageError

RIVER: dict[str, Any] = {
    "format": 1,
    "name": "river",
    "version": 3,
    "target": {"name": "River treaty", "aliases": ["the water accord"], "description": "All drafts."},
    "unit": "A sentence or three.",
    "holder": "Whoever holds it.",
    "stances": [
        {"id": "pro", "name": "For", "definition": "For it.", "polarity": "positive", "hotkey": "1"},
        {"id": "con", "name": "Against", "definition": "Against it.", "polarity": "negative", "examples": ["never"]},
        {"id": "open", "name": "Open", "definition": "Neither.", "polarity": "neutral"},
    ],
    "concerns": [
        {"id": "fish", "name": "Fish", "definition": "Of fish.", "hotkey": "f", "examples": ["no salmon"]},
        {"id": "dams", "name": "Dams", "definition": "Of dams.", "hotkey": "shift+d"},
    ],
    "holder_types": [
        {"id": "state", "name": "State", "definition": "A government."},
        {"id": "nobody", "name": "Nobody", "nobody": True},
    ],
    "rules": ["More dams alone is open.", "A river is not a lake."],
}


def _parse(value: Any) -> Codebook:
    return parse_codebook(yaml.safe_dump(value, allow_unicode=True), where="river.yaml")


def _changed(*path: Any, to: Any) -> dict[str, Any]:
    """The river codebook with one value replaced."""
    value = copy.deepcopy(RIVER)
    place: Any = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return value


def test_the_shipped_codebook_loads_and_has_what_annotators_were_given():
    codebook = load_codebook()
    assert (codebook.name, codebook.version) == ("un-cybercrime", 2)
    assert codebook.stance_ids == ("favor", "against", "mixed", "none")
    assert codebook.polar_ids == ("favor", "against")
    assert len(codebook.concern_ids) == 14
    assert codebook.holder_type_ids == ("state", "igo", "civil_society", "industry", "expert", "media", "none")
    assert codebook.nobody == "none"
    assert "Hanoi Convention" in codebook.target.aliases
    assert codebook.rules
    for label in (*codebook.stances, *codebook.concerns):
        assert label.name
        assert label.definition
        assert label.examples
        assert label.hotkey


def test_an_invented_codebook_with_three_stances_and_two_concerns_loads():
    codebook = _parse(RIVER)
    assert codebook.stance_ids == ("pro", "con", "open")
    assert codebook.concern_ids == ("fish", "dams")
    assert codebook.polar_ids == ("pro", "con")
    assert codebook.nobody == "nobody"
    assert codebook.id == f"river/3@{codebook.content_hash}"
    assert codebook.stances[1].examples == ("never",)
    assert codebook.concerns[1].hotkey == "shift+d"


def test_a_codebook_need_not_have_a_type_for_nobody():
    assert _parse(_changed("holder_types", to=[{"id": "state", "name": "State"}])).nobody is None


def test_a_file_of_ones_own_loads(tmp_path: Path):
    path = tmp_path / "river.yaml"
    path.write_text(yaml.safe_dump(RIVER), encoding="utf-8")
    assert load_codebook(path) == _parse(RIVER)


STANCE = RIVER["stances"][0]
CONCERN = RIVER["concerns"][0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (_changed("format", to=2), "format is 2, this release reads format 1"),
        (_changed("format", to="one"), "Expected `int`, got `str` - at `$.format`"),
        (_changed("version", to=0), "version is 0, expected 1 or more"),
        (_changed("stances", to=RIVER["stances"][:1]), "there are 1 stance labels, expected 2 or more"),
        (_changed("concerns", to=[]), "there are 0 concern labels, expected 1 or more"),
        (_changed("holder_types", to=[]), "there are 0 holder type labels, expected 1 or more"),
        (_changed("stances", 1, "id", to="pro"), "stance label 'pro' stands 2 times"),
        (_changed("concerns", 1, "id", to="fish"), "concern label 'fish' stands 2 times"),
        (_changed("holder_types", 1, "id", to="state"), "holder type label 'state' stands 2 times"),
        (_changed("concerns", 0, "id", to="Fish"), "concern label 'Fish': expected lower-case"),
        (_changed("concerns", 0, "id", to="fish and chips"), "expected lower-case"),
        (_changed("concerns", 0, "id", to="1fish"), "expected lower-case"),
        (_changed("concerns", 0, "id", to=""), "expected lower-case"),
        (_changed("concerns", 0, "id", to="fish\n"), "expected lower-case"),
        (_changed("concerns", 0, "id", to=False), "Expected `str`, got `bool` - at `$.concerns[0].id`"),
        (_changed("stances", 0, "polarity", to="good"), "stance label 'pro': polarity is 'good', expected positive"),
        (_changed("concerns", 0, "hotkey", to="1"), "hotkey '1' belongs to 'pro' and to 'fish'"),
        (_changed("concerns", 1, "hotkey", to="f"), "hotkey 'f' belongs to 'fish' and to 'dams'"),
        (_changed("concerns", 1, "hotkey", to="F"), "label 'dams': hotkey 'F' is not a letter or digit"),
        (_changed("concerns", 1, "hotkey", to="esc"), "hotkey 'esc' is not a letter or digit"),
        (_changed("concerns", 1, "hotkey", to=7), "Expected `str | null`, got `int` - at `$.concerns[1].hotkey`"),
        (_changed("holder_types", 0, "nobody", to=True), "more than one holder type is marked nobody"),
        (_changed("colour", to="red"), "unknown field `colour`"),
        (_changed("stances", 0, "colour", to="red"), "unknown field `colour` - at `$.stances[0]`"),
        (_changed("target", to="River treaty"), "Expected `object`, got `str` - at `$.target`"),
        (_changed("rules", to="none"), "Expected `array`, got `str` - at `$.rules`"),
        ({k: v for k, v in RIVER.items() if k != "stances"}, "missing required field `stances`"),
        (_changed("stances", 0, to={"id": "pro", "name": "For", "polarity": "positive"}), "required field `definition`"),
        ([RIVER], "Expected `object`, got `array`"),
        (None, "Expected `object`, got `null`"),
        ("river", "Expected `object`, got `str`"),
    ],
)
def test_a_codebook_that_contradicts_its_form_is_refused_by_file_and_fault(value: Any, message: str):
    with pytest.raises(CodebookError) as caught:
        _parse(value)
    assert str(caught.value).startswith("river.yaml: not a codebook, ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "stances: [",
        "a: b: c",
        "a: \x00",
        "!!python/object/apply:os.getcwd []",
        "format: 1\nformat: 1",
        "target: {name: a, name: b}",
        "published: 2025-13-45",
        "[" * 3_000,
    ],
    ids=["open", "colons", "control", "code", "key twice", "inner key twice", "no such day", "nested"],
)
def test_text_that_is_not_yaml_is_refused_in_one_line(text: str):
    with pytest.raises(CodebookError, match=r"^river\.yaml: expected YAML, but ") as caught:
        parse_codebook(text, where="river.yaml")
    assert "\n" not in str(caught.value)


def test_yaml_cannot_run_code(tmp_path: Path):
    witness = tmp_path / "witness"
    with pytest.raises(CodebookError):
        parse_codebook(
            f"!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{witness}']]", where="x"
        )
    assert not witness.exists()


def test_a_file_that_is_not_utf8_is_refused_with_the_position(tmp_path: Path):
    path = tmp_path / "latin.yaml"
    path.write_bytes("name: Überfluß".encode("latin-1"))
    with pytest.raises(CodebookError, match=r"latin\.yaml: expected UTF-8 text, .*position 6"):
        load_codebook(path)


@pytest.mark.parametrize("name", ["absent.yaml", "."])
def test_a_path_that_is_no_file_is_the_callers_mistake(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match="no such file; expected a codebook in YAML"):
        load_codebook(tmp_path / name)


def _words(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of all texts that may be changed without breaking the form."""
    if isinstance(value, dict):
        keys = [k for k in value if k not in {"id", "polarity", "hotkey", "format"}]
        return [found for k in keys for found in _words(value[k], (*path, k))]
    if isinstance(value, list):
        return [found for i, item in enumerate(value) for found in _words(item, (*path, i))]
    return [path] if isinstance(value, str) else []


def test_there_are_words_in_every_part_of_the_example():
    assert {path[0] for path in _words(RIVER)} == set(RIVER) - {"format", "version"}


@pytest.mark.parametrize("path", _words(RIVER), ids=lambda path: ".".join(map(str, path)))
def test_another_word_anywhere_is_another_hash(path: tuple[Any, ...]):
    assert _parse(_changed(*path, to="Other words.")).content_hash != _parse(RIVER).content_hash


@pytest.mark.parametrize(
    "value",
    [
        _changed("version", to=4),
        _changed("concerns", 0, "id", to="eel"),
        _changed("concerns", 0, "hotkey", to="e"),
        _changed("stances", 0, "polarity", to="both"),
        _changed("holder_types", 1, "nobody", to=False),
        _changed("rules", to=RIVER["rules"][:1]),
        _changed("rules", to=RIVER["rules"][::-1]),
        _changed("stances", to=RIVER["stances"][::-1]),
    ],
    ids=["version", "id", "hotkey", "polarity", "nobody", "rule gone", "rules turned", "labels turned"],
)
def test_another_form_or_order_is_another_hash(value: dict[str, Any]):
    assert _parse(value).content_hash != _parse(RIVER).content_hash


def _shuffled(value: Any, source: random.Random) -> Any:
    """The same value with the keys of every mapping in another order."""
    if isinstance(value, dict):
        keys = list(value)
        source.shuffle(keys)
        return {k: _shuffled(value[k], source) for k in keys}
    return [_shuffled(item, source) for item in value] if isinstance(value, list) else value


@settings(deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_keys_does_not_change_the_hash(source: random.Random):
    text = yaml.safe_dump(_shuffled(RIVER, source), sort_keys=False)
    assert parse_codebook(text, where="x").content_hash == _parse(RIVER).content_hash


def test_layout_comments_and_empty_optional_fields_do_not_change_the_hash():
    text = "# a comment\n" + yaml.safe_dump(_changed("concerns", 1, "examples", to=[]), default_flow_style=True, width=40)
    assert parse_codebook(text, where="x").content_hash == _parse(RIVER).content_hash


@pytest.mark.parametrize("codebook", [load_codebook(), _parse(RIVER)], ids=["shipped", "river"])
def test_a_dumped_codebook_reads_back_to_an_equal_one_with_the_same_identity(codebook: Codebook):
    again = parse_codebook(dump_codebook(codebook), where="x")
    assert again == codebook
    assert again.id == codebook.id


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("\x00\t\n\r\x7f\x84\x85\u2028\ufeff\uffff 😀𠮷 \"'\\")
def test_any_words_survive_the_dump(words: str):
    codebook = _parse(RIVER)
    changed = Codebook(**{**{f: getattr(codebook, f) for f in codebook.__struct_fields__}, "rules": (words,)})
    assert parse_codebook(dump_codebook(changed), where="x") == changed


def test_labels_of_the_codebook_pass_the_check_and_others_are_named():
    codebook = _parse(RIVER)
    codebook.check(stance="pro", concerns=("fish", "dams"), holder_type="state", where="row 1")
    codebook.check(stance="open", concerns=(), holder_type=None, where="row 2")
    with pytest.raises(
        CodebookError, match=r"^row 3: stance 'maybe' is not in codebook river version 3; it has pro, con, open$"
    ):
        codebook.check(stance="maybe", concerns=(), holder_type=None, where="row 3")
    with pytest.raises(CodebookError, match=r"row 4: concern 'frogs' .* it has fish, dams"):
        codebook.check(stance="pro", concerns=("fish", "frogs"), holder_type=None, where="row 4")
    with pytest.raises(CodebookError, match=r"row 5: holder type 'king' .* it has state, nobody"):
        codebook.check(stance="pro", concerns=(), holder_type="king", where="row 5")


def test_the_example_in_the_documentation_is_a_codebook():
    page = (Path(__file__).parents[2] / "docs" / "codebook.md").read_text(encoding="utf-8")
    codebook = parse_codebook(page.split("```yaml\n")[1].split("```")[0], where="docs/codebook.md")
    assert (len(codebook.stances), len(codebook.concerns)) == (3, 2)
    fields = {
        *codebook.__struct_fields__,
        *(f for part in (codebook.target, codebook.stances[0], codebook.holder_types[0]) for f in part.__struct_fields__),
    }
    assert [field for field in sorted(fields) if f"`{field}`" not in page] == []
