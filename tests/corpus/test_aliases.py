"""Names of holders: which are one holder's, which are not, and what a workspace may change."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.codebook import load_codebook
from corpus.aliases import AliasTable, Holder, load_aliases
from corpus.errors import RecordError, UsageError


@pytest.fixture(scope="module")
def table() -> AliasTable:
    return load_aliases()


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    return tmp_path / "holders.yaml"


def name_of(table: AliasTable, name: str | None) -> str | None:
    found = table.resolve(name)
    return None if found is None else found.name


@pytest.mark.parametrize(
    ("written", "holder"),
    [
        ("United States", "United States"),
        ("the United States of America", "United States"),
        ("US", "United States"),
        ("the U.S.", "United States"),
        ("U.S. Chamber of Commerce", "US Chamber of Commerce"),
        ("Cote d’Ivoire", "Côte d'Ivoire"),
        ("TÜRKIYE", "Türkiye"),
        ("PERU", "Peru"),
        ("Viet Nam", "Vietnam"),
        ("Iran (Islamic Republic of)", "Iran"),
        ("  the   Russian\nFederation ", "Russia"),
        ("Government of Mexico", "Mexico"),
        ("the Government of the Republic of Fiji", "Fiji"),
        ("Viet Nam's government", "Vietnam"),
        ("New Zealand’s delegation", "New Zealand"),
        ("the US government", "United States"),
        ("the Indian delegation", "India"),
        ("Electronic Frontier Foundation (EFF)", "Electronic Frontier Foundation"),
        ("Article 19", "ARTICLE 19"),
        ("Asean", "Association of Southeast Asian Nations"),
        ("WHO", "World Health Organization"),
    ],
)
def test_spellings_of_one_holder_resolve_to_it(table: AliasTable, written: str, holder: str) -> None:
    assert name_of(table, written) == holder


@pytest.mark.parametrize(
    "written",
    [
        "us", "Us", "who", "the pact", "eu", "Dmitry Bukin, Russia", "Kaja Ciglic, Microsoft", "!?", None,
        "Russia and China", "Ilona Cohen (HackerOne)", "Russia (China)", "Viet Nam's president", "Congo", "Korea", "ICC",
        "the author", "critics of the convention", "Moscow", "Government of Microsoft", "Microsoft's delegation", "", " ",
        "the",
    ],
)  # fmt: skip
def test_nothing_is_merged_that_is_not_in_the_table(table: AliasTable, written: str | None) -> None:
    assert table.resolve(written) is None


def test_a_person_of_the_table_is_nobody_else(table: AliasTable) -> None:
    assert name_of(table, "Artur Lyukmanov (Russia)") == name_of(table, "Artur Lyukmanov, Russia") == "Artur Lyukmanov"
    assert table.resolve("Deborah Brown") != table.resolve("Human Rights Watch")


def test_all_states_are_there_once_with_their_codes(table: AliasTable) -> None:
    text = (resources.files("corpus") / "reference" / "holders.yaml").read_text(encoding="utf-8")
    states, others = text.split("# Organs of states")[0], text.split("# Organs of states")[1]
    codes = re.findall(r'country: "([A-Z]{2})"', states)
    assert len(codes) == len(set(codes)) == 193 + 2
    assert set(re.findall(r'country: "([A-Z]{2})"', others)) <= set(codes)
    assert "adjectives" not in others
    known = {
        "Norway": "NO",
        "Switzerland": "CH",
        "South Africa": "ZA",
        "Democratic Republic of the Congo": "CD",
        "Chad": "TD",
    }
    assert {h.name: h.country for h in table.holders if h.name in known} == known


def test_every_name_of_the_table_resolves_to_its_own_holder(table: AliasTable) -> None:
    for holder in table.holders:
        for name in (holder.name, *holder.aliases, f"the {holder.name}", f" {holder.name}. "):
            assert table.resolve(name) == holder, name


def test_types_are_those_of_the_shipped_codebook_and_agree_with_the_reference_corpus(table: AliasTable) -> None:
    assert {h.type for h in table.holders} <= set(load_codebook().holder_type_ids)
    path = resources.files("corpus") / "reference" / "documents.jsonl"
    resolved = 0
    for line in path.read_text(encoding="utf-8").splitlines():
        for statement in json.loads(line)["statements"]:
            if statement["holder"] and (found := table.resolve(statement["holder"])):
                assert found.type == statement["holder_type"], statement["holder"]
                resolved += 1
    assert resolved > 500


@given(st.text(max_size=40))
def test_no_text_breaks_the_look_up(table: AliasTable, text: str) -> None:
    found = table.resolve(text)
    assert found is None or found in table.holders
    assert all(score >= 80 for _, score in table.suggest(text))


@given(
    st.sampled_from(load_aliases().holders),
    st.sampled_from([str.lower, str.title, lambda t: f"The {t}", lambda t: f"«{t}»"]),
)
def test_case_and_articles_of_longer_names_do_not_matter(table: AliasTable, holder: Holder, change: object) -> None:
    assert callable(change)
    if len(holder.name) > 4:
        assert table.resolve(change(holder.name)) == holder


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Electronic Fronteer Foundation", "Electronic Frontier Foundation"),
        ("Micosoft", "Microsoft"),
        ("Dmitry Bukin, Russia", "Russia"),
        ("Viet Nam's president", "Vietnam"),
        ("Alliance of NGOs", "Alliance of NGOs on Crime Prevention and Criminal Justice"),
    ],
)
def test_a_like_name_is_suggested_first(table: AliasTable, name: str, first: str) -> None:
    assert table.suggest(name)[0][0].name == first


def test_suggestions_are_different_holders_the_likest_first_and_as_many_as_asked(table: AliasTable) -> None:
    found = table.suggest("Russia, Russian Federation, China and India", limit=2)
    assert len({holder.name for holder, _ in found}) == 2
    scores = [score for _, score in table.suggest("United State of America")]
    assert scores == sorted(scores, reverse=True)
    assert table.suggest("the authors") == table.suggest("the Union") == table.suggest("") == []


def test_many_names_get_the_suggestions_that_each_gets_alone(table: AliasTable) -> None:
    names = [f"{holder.name} office" for holder in table.holders[::3]] * 3
    assert len(names) > 256
    assert table.suggest_all(names) == [table.suggest(name) for name in names[:133]] * 3
    assert table.suggest_all([]) == []


def test_a_workspace_adds_holders(workspace: Path) -> None:
    workspace.write_text("holders:\n  - {name: Norsk Data Forum, type: civil_society, aliases: [NDF]}\n", encoding="utf-8")
    table = load_aliases(workspace)
    assert table.resolve("NDF") == Holder("Norsk Data Forum", "civil_society", None, ("NDF",))
    assert name_of(table, "Norway") == "Norway"


def test_an_entry_of_a_known_name_overrides_type_and_adds_names(workspace: Path) -> None:
    workspace.write_text("holders:\n  - {name: norway, type: industry, aliases: [Oslo]}\n", encoding="utf-8")
    table = load_aliases(workspace)
    found = table.resolve("Kingdom of Norway")
    assert found is not None
    assert (found.name, found.type, found.country) == ("norway", "industry", "NO")
    assert found == table.resolve("Oslo") == table.resolve("the Norwegian government") == table.resolve("Government of Oslo")
    assert sum(holder.country == "NO" for holder in table.holders) == 1


def test_an_alias_that_is_a_holders_name_takes_the_holder_over(workspace: Path) -> None:
    workspace.write_text("holders:\n  - {name: Viet Nam, type: state, aliases: [Vietnam]}\n", encoding="utf-8")
    table = load_aliases(workspace)
    for name in ("Vietnam", "Viet Nam", "Socialist Republic of Vietnam", "the Vietnamese government"):
        assert name_of(table, name) == "Viet Nam"
    assert [h.country for h in table.holders if h.name in ("Viet Nam", "Vietnam")] == ["VN"]


def test_an_alias_that_is_an_alias_moves_alone(workspace: Path) -> None:
    text = "holders:\n  - {name: Human Rights Office, type: igo, aliases: [UN Human Rights Office]}\n"
    workspace.write_text(text, encoding="utf-8")
    table = load_aliases(workspace)
    assert name_of(table, "UN Human Rights Office") == "Human Rights Office"
    old = table.resolve("OHCHR")
    assert old is not None
    assert old.name == "OHCHR"
    assert "UN Human Rights Office" not in old.aliases


def test_later_files_override_earlier_ones(tmp_path: Path) -> None:
    first, second = tmp_path / "1.yaml", tmp_path / "2.yaml"
    first.write_text("holders:\n  - {name: A Forum, type: expert, aliases: [Forum A]}\n", encoding="utf-8")
    second.write_text("holders:\n  - {name: A Forum, type: media}\n", encoding="utf-8")
    assert load_aliases(first, second).resolve("Forum A") == Holder("A Forum", "media", None, ("Forum A",))


def test_a_file_without_entries_changes_nothing(workspace: Path, table: AliasTable) -> None:
    for text in ("", "# nothing yet\n", "holders:\n", "holders: []\n"):
        workspace.write_text(text, encoding="utf-8")
        assert load_aliases(workspace).holders == table.holders


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("holders: [{name: A Club, type: media, alias: [B]}]", "entry 1: key 'alias' is not known; use name, type"),
        ("holders: [{type: media}]", "entry 1: name is None"),
        ("holders: [{name: A Club}]", "entry 1: type is None"),
        ("holders: [{name: Norway, type: state, country: NO}]", "country is False, expected two capital letters"),
        ("holders: [{name: Norway, type: state, country: NOR}]", "country is 'NOR'"),
        ("holders: [{name: A Club, type: media, aliases: Klub}]", "aliases is 'Klub'; write a list"),
        ("holders: [{name: A Club, type: media, aliases: [1984]}]", "one of the aliases is 1984"),
        ("holders: [{name: '!?', type: media}]", "name is '!?', expected a text with letters"),
        ("holders: [{name: A Club, type: Media}]", "type is 'Media'; give the id"),
        ("holders: [A Club]", "entry 1: expected name, type and aliases, found 'A Club'"),
        ("holders: {A Club: media}", "expected the one key 'holders' with a list"),
        ("names: []", "expected the one key 'holders'"),
        ("- A Club", "expected the one key 'holders'"),
        ("holders: [", "expected YAML"),
        ("holders: [{name: A Club, name: B Club, type: media}]", "key 'name' stands twice"),
        ("holders: [{name: A Club, type: media}, {name: B Club, type: media, aliases: [the a club]}]", "'A Club'; leave"),
        (
            "holders: [{name: A, type: state, adjectives: [Aish]}, {name: B, type: state, adjectives: [Aish]}]",
            "entry 2 (B): ",
        ),
        (
            "holders: [{name: A Club, type: media}, {name: a club., type: media}]",
            "entry 2 (a club.): 'a club' already means",
        ),
    ],
)
def test_a_malformed_file_is_refused_in_one_sentence(workspace: Path, text: str, said: str) -> None:
    workspace.write_text(text, encoding="utf-8")
    with pytest.raises(RecordError, match=re.escape(said)) as caught:
        load_aliases(workspace)
    assert str(caught.value).startswith(str(workspace))
    assert "\n" not in str(caught.value)


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.yaml: no such file"):
        load_aliases(tmp_path / "gone.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"holders: [{name: \xe9, type: media}]")
    with pytest.raises(RecordError, match=r"latin\.yaml: expected a text file in UTF-8"):
        load_aliases(tmp_path / "latin.yaml")


def test_the_form_shown_in_the_documentation_is_read(workspace: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "holders.md"
    found = re.search(r"```yaml\n(holders:.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    workspace.write_text(found[1], encoding="utf-8")
    table = load_aliases(workspace)
    assert name_of(table, "Norwegian Data Forum") == "Norsk Data Forum"
    assert name_of(table, "Oslo") == "Norway"
    assert name_of(table, "Socialist Republic of Vietnam") == "Viet Nam"
