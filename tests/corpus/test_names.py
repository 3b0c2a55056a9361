"""Names in a text: persons with what is said of them, bodies, and which of them a shorter form means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpus.names import find_names, untitled


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Ambassador Gillian Bird", "Gillian Bird"),
        ("Minister of State Maryam Al Misnad", "Maryam Al Misnad"),
        ("deputy public security minister Pham The Tung", "Pham The Tung"),
        ("Dr. Vu Viet Anh", "Vu Viet Anh"),
        ("Mr Lee", "Lee"),
        ("Stephen King", "Stephen King"),
        ("Mike Judge", "Mike Judge"),
        ("Foreign Minister", "Foreign Minister"),
        ("President of the European Commission", "President of the European Commission"),
        ("Anna Poe, the director of Acme", "Anna Poe, the director of Acme"),
        ("", ""),
    ],
)
def test_titles_before_a_name_are_taken_off(name: str, expected: str) -> None:
    assert untitled(name) == expected


@pytest.mark.parametrize(
    ("text", "name", "role"),
    [
        ("It was welcomed by Anna Poe, a lawyer from Upperton.", "Anna Poe", "lawyer"),
        ("Ghana's chief of criminal investigations, Lydia Yaako Donkor, was glad.", "Lydia Yaako Donkor", "chief"),
        ("It was Deputy Foreign Minister Dang Hoang Giang who spoke.", "Dang Hoang Giang", "minister"),
        ("It was deputy security minister Luong Tam Quang who spoke.", "Luong Tam Quang", "security"),
        ("It was Minister of State Maryam Al Misnad who spoke.", "Maryam Al Misnad", "minister"),
        ("So said Isabella Wilkinson (a fellow at a think tank) on Friday.", "Isabella Wilkinson", "fellow"),
    ],
)
def test_a_title_or_an_apposition_makes_a_person(text: str, name: str, role: str) -> None:
    (person,) = find_names(text).persons
    assert (person.name, person.sure) == (name, True)
    assert role in person.role


@pytest.mark.parametrize(
    "text",
    [
        "They met in Costa Mesa, and Costa Mesa was glad.",
        "It was the Biden Administration that spoke.",
        "There were delegates of Burkina Faso, the European Union and Access Now.",
        "Speaking Bird was heard.",
        "It was Digital Watch that wrote it, said TikTok Vietnam.",
        "Minister Praises Anna Poe",
    ],
)
def test_places_bodies_and_headlines_have_no_persons(text: str) -> None:
    assert find_names(text).persons == ()


def test_forms_of_one_name_are_one_person_under_the_longest() -> None:
    text = "Later Arroyo Vargas spoke. It was Larry Hans Arroyo Vargas, a lawyer, and Larry Vargas again; Vargas was glad."
    (person,) = find_names(text).persons
    assert person.name == "Larry Hans Arroyo Vargas"
    assert person.places[-1] == text.index("Vargas was glad")


def test_persons_of_one_surname_and_of_different_gender_stay_apart() -> None:
    text = "Here spoke Mr Robin Lee, then Ms Robin Lee, then Tom Lee of Acme."
    found = find_names(text)
    assert [(p.name, p.gender) for p in found.persons] == [("Robin Lee", "he"), ("Robin Lee", "she"), ("Tom Lee", None)]
    assert found.person(("lee",)) is None


def test_a_surname_a_middle_name_and_a_titled_first_name_mean_the_one_person_who_bears_them() -> None:
    found = find_names("It was Cristopher Ballinas Valdés, a professor, who wrote it.")
    (person,) = found.persons
    for short in (("valdes",), ("ballinas",), ("cristopher", "ballinas")):
        assert found.person(short) is person
    assert found.person(("cristopher",)) is None
    assert found.person(("cristopher",), titled=True) is person
    assert found.person(()) is None


def test_a_word_that_stands_where_places_do_is_no_surname() -> None:
    spoke = "Here spoke Denzel Washington, an analyst. "
    assert find_names(spoke + "Later Washington spoke.").person(("washington",)) is not None
    assert find_names(spoke + "Nobody in Washington spoke.").person(("washington",)) is None
    assert find_names(spoke + "The rest is, in Washington's view, wrong.").person(("washington",)) is not None


@pytest.mark.parametrize(
    ("text", "short", "expected"),
    [
        ("by the International Chamber of Commerce on Monday", "chamber", "International Chamber of Commerce"),
        ("by the Center for Family and Human Rights here", "center", "Center for Family and Human Rights"),
        (
            "by the Global Initiative against Organized Crime",
            "global initiative",
            "Global Initiative against Organized Crime",
        ),
        ("by Brazil's Foreign Ministry last week", "foreign ministry", "Brazil's Foreign Ministry"),
        ("by the European Union and the Pirate Party too", "union", "European Union"),
        ("by the European Union and the African Union", "union", None),
        ("by the Union alone", "union", None),
        ("by Papua New Guinea", "guinea", None),
    ],
)
def test_a_short_form_means_the_one_body_whose_name_it_begins_or_ends(text: str, short: str, expected: str | None) -> None:
    assert find_names(f"It was welcomed {text}.").body(tuple(short.split())) == expected


def test_a_body_that_is_named_later_only_is_left_out_on_demand() -> None:
    text = "First the union spoke, then the European Union."
    assert find_names(text).body(("union",), before=text.index("union")) is None
    assert find_names(text).body(("union",)) == "European Union"


@given(st.text(alphabet="Aab. ,()'\n’éÉ1-", max_size=200), st.text(max_size=20), st.text(max_size=20))
def test_any_text_has_names_that_stand_in_it(text: str, title: str, publisher: str) -> None:
    found = find_names(text, title=title, publisher=publisher)
    for name in (*(p.name for p in found.persons), *(b.name for b in found.bodies)):
        assert name
        assert any(name in source for source in (text, title, publisher))
    for person in found.persons:
        assert person.places == sorted(person.places)
        assert len(person.words) >= 2
