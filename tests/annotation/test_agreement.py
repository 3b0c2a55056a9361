"""Agreement figures are those that one gets by hand, and None with a reason where there is nothing to measure."""

import subprocess
import sys
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import Figure, agreement_table, measure_agreement, paired_readings
from annotation.codebook import parse_codebook
from corpus import Annotation, CodebookError, RecordError

CODEBOOK = parse_codebook(
    """
    format: 1
    name: river
    version: 1
    target: {name: River treaty}
    stances:
      - {id: pro, name: Pro, definition: For it., polarity: positive}
      - {id: con, name: Con, definition: Against it., polarity: negative}
      - {id: open, name: Open, definition: Neither., polarity: neutral}
    concerns:
      - {id: fish, name: Fish, definition: Of fish.}
      - {id: dams, name: Dams, definition: Of dams.}
    holder_types:
      - {id: state, name: State}
      - {id: nobody, name: Nobody, nobody: true}
    """,
    where="river.yaml",
)
Said = tuple[str, tuple[str, ...], str | None]
PRO: Said = ("pro", (), "state")
CON: Said = ("con", (), "state")


def _annotation(statement: str, annotator: str, said: Said) -> Annotation:
    stance, concerns, holder_type = said
    return Annotation(
        statement=statement,
        annotator=annotator,
        codebook_version="1",
        stance=stance,
        concerns=concerns,
        holder_type=holder_type,
    )


def _readings(*pairs: tuple[Said, Said]) -> dict[str, tuple[Annotation, Annotation]]:
    return {f"s{i}": (_annotation(f"s{i}", "a", a), _annotation(f"s{i}", "b", b)) for i, (a, b) in enumerate(pairs)}


def _stances(first: str, second: str) -> dict[str, tuple[Annotation, Annotation]]:
    """Readings from two strings of p and c."""
    said = {"p": PRO, "c": CON}
    return _readings(*((said[a], said[b]) for a, b in zip(first, second, strict=True)))


def _concerns(*pairs: tuple[str, str]) -> dict[str, tuple[Annotation, Annotation]]:
    """Readings from pairs of strings of f and d."""
    names = {"f": "fish", "d": "dams"}
    return _readings(
        *((("pro", tuple(names[x] for x in a), None), ("pro", tuple(names[x] for x in b), None)) for a, b in pairs)
    )


def test_alpha_of_four_statements_is_what_one_computes_by_hand():
    # Readings: p p, p p, c c, p c; so p stands 5 times, c 3 times, n = 8.
    # Observed disagreement: 1 of 4 pairs = 1/4. Expected: 2 * 5 * 3 / (8 * 7) = 30/56.
    # alpha = 1 - (1/4) / (30/56) = 1 - 14/30 = 16/30.
    agreement = measure_agreement(_stances("ppcp", "ppcc"), CODEBOOK)
    assert agreement.statements == 4
    assert agreement.stance.alpha.value == pytest.approx(16 / 30)
    assert agreement.stance.same.value == 0.75
    # With two labels the question and each label ask the same thing.
    assert agreement.stances[0].alpha.value == pytest.approx(16 / 30)
    assert agreement.stances[1].alpha.value == pytest.approx(16 / 30)


def test_alpha_of_krippendorffs_own_binary_example():
    # "Computing Krippendorff's Alpha-Reliability" (2011), part A: ten units, two observers, alpha = 0.095.
    agreement = measure_agreement(_stances("pcpppppp" + "cp", "cccppcpp" + "pp"), CODEBOOK)
    assert agreement.stance.alpha.value == pytest.approx(0.095, abs=0.0005)


def test_masi_alpha_of_three_statements_is_what_one_computes_by_hand():
    # Readings: {f} {f}, {f d} {f}, {} {}. Distance of {f d} and {f}: 1 - 1/2 * 2/3 = 2/3; of {} and any other set: 1.
    # Observed: (0 + 2/3 + 0) / 3 = 2/9. Sets in all: {f} 3 times, {f d} once, {} twice, n = 6.
    # Expected: 2 * (3*1 * 2/3 + 3*2 * 1 + 1*2 * 1) / (6 * 5) = 20/30. alpha = 1 - (2/9) / (2/3) = 2/3.
    agreement = measure_agreement(_concerns(("f", "f"), ("fd", "f"), ("", "")), CODEBOOK)
    assert agreement.concerns.alpha.value == pytest.approx(2 / 3)
    assert agreement.concerns.same.value == pytest.approx(2 / 3)


def test_the_order_of_concerns_in_a_reading_does_not_matter():
    assert measure_agreement(_concerns(("fd", "df"), ("f", "f")), CODEBOOK).concerns.alpha.value == 1.0


def test_f1_is_what_one_computes_by_hand():
    # fish: first on 3 statements, second on 2, both on 2: F1 = 2*2 / (3+2) = 0.8.
    # dams: first on 1, second on 2, both on 1: F1 = 2*1 / (1+2) = 2/3. Macro: (4/5 + 2/3) / 2 = 11/15.
    # Micro: both 3, first 4, second 4: 2*3 / 8 = 0.75.
    agreement = measure_agreement(_concerns(("f", "f"), ("f", "fd"), ("fd", "d")), CODEBOOK)
    fish, dams = agreement.concern_labels
    assert (fish.first, fish.second, dams.first, dams.second) == (3, 2, 1, 2)
    assert fish.f1.value == pytest.approx(0.8)
    assert dams.f1.value == pytest.approx(2 / 3)
    assert agreement.concerns.f1.value == pytest.approx(11 / 15)
    assert agreement.concerns_micro_f1.value == pytest.approx(0.75)


def test_a_label_that_no_reading_has_counts_neither_for_nor_against_macro_f1():
    # pro: 2*2 / (3+2) = 4/5; con: 2*1 / (1+2) = 2/3; open: no reading has it.
    agreement = measure_agreement(_stances("ppcp", "ppcc"), CODEBOOK)
    assert agreement.stances[2].f1 == Figure(None, "no reading has it")
    assert agreement.stances[2].alpha == Figure(None, "all readings are alike")
    assert agreement.stance.f1.value == pytest.approx((4 / 5 + 2 / 3) / 2)


def test_perfect_agreement_on_more_than_one_label_is_one():
    readings = _readings(
        (("pro", ("fish",), "state"), ("pro", ("fish",), "state")),
        (("con", ("dams",), "state"), ("con", ("dams",), "state")),
        (("open", (), "nobody"), ("open", (), "nobody")),
    )
    agreement = measure_agreement(readings, CODEBOOK)
    for agreed in (agreement.stance, agreement.concerns, agreement.holder_type, *agreement.stances):
        assert agreed.alpha.value == agreed.same.value == agreed.f1.value == 1.0
    assert agreement.concerns_micro_f1.value == 1.0


def test_without_variation_alpha_is_none_with_the_reason_and_raw_agreement_stands():
    agreement = measure_agreement(_stances("ppp", "ppp"), CODEBOOK)
    for agreed in (agreement.stance, agreement.concerns, agreement.holder_type):
        assert agreed.alpha == Figure(None, "all readings are alike")
        assert agreed.same.value == 1.0
    assert agreement.concerns.f1 == Figure(None, "no reading has any of the labels")
    assert agreement.concerns_micro_f1 == Figure(None, "no reading has it")


def test_systematic_disagreement_is_below_zero():
    # Observed 1; expected 2 * 2 * 2 / (4 * 3) = 2/3; alpha = 1 - 3/2.
    assert measure_agreement(_stances("pc", "cp"), CODEBOOK).stance.alpha.value == pytest.approx(-0.5)


def test_one_statement_read_in_two_ways_is_no_better_than_chance():
    # Observed 1, expected 2 * 1 * 1 / (2 * 1) = 1.
    assert measure_agreement(_stances("p", "c"), CODEBOOK).stance.alpha.value == 0.0


def test_no_statement_gives_no_figures_and_no_error():
    agreement = measure_agreement({}, CODEBOOK)
    assert agreement.statements == 0
    for agreed in (agreement.stance, agreement.concerns, agreement.holder_type, *agreement.concern_labels):
        assert agreed.alpha == agreed.same == Figure(None, "no statement")
        assert agreed.f1.value is None


def test_statements_without_a_holder_type_leave_only_the_figures_for_holder_types():
    readings = _readings(
        (("pro", (), "state"), ("pro", (), None)),
        (("con", (), "state"), ("con", (), "nobody")),
        (("pro", (), "state"), ("pro", (), "state")),
    )
    agreement = measure_agreement(readings, CODEBOOK)
    assert (agreement.stance.first, agreement.stance.same.value) == (3, 1.0)
    assert (agreement.holder_type.first, agreement.holder_type.same.value) == (2, 0.5)


@pytest.mark.parametrize("said", [("maybe", (), None), ("pro", ("frogs",), None), ("pro", (), "king")])
def test_a_label_that_the_codebook_lacks_is_refused_not_left_out(said: Said):
    with pytest.raises(CodebookError, match=r"annotation of s0 by b: .*(maybe|frogs|king)"):
        measure_agreement(_readings((PRO, said)), CODEBOOK)


def test_a_codebook_with_one_concern_is_measured_as_well():
    # fish: first on 2, second on 1, both on 1.
    one = parse_codebook(
        """
        {format: 1, name: one, version: 1, target: {name: T}, holder_types: [{id: state, name: S}],
         stances: [{id: pro, name: P, definition: d, polarity: positive},
                   {id: con, name: C, definition: d, polarity: negative}],
         concerns: [{id: fish, name: F, definition: d}]}
        """,
        where="one.yaml",
    )
    agreement = measure_agreement(_concerns(("f", "f"), ("f", ""), ("", "")), one)
    assert agreement.concern_labels[0].f1.value == agreement.concerns_micro_f1.value == pytest.approx(2 / 3)


SAID = st.tuples(
    st.sampled_from(["pro", "con", "open"]),
    st.sampled_from([(), ("fish",), ("dams",), ("fish", "dams")]),
    st.sampled_from(["state", "nobody", None]),
)
PAIRS = st.lists(st.tuples(SAID, SAID), max_size=8)


def _exact_alpha(pairs: list[tuple[str, str]]) -> Fraction | None:
    """Nominal alpha from the coincidence matrix, in fractions: 1 - (n - 1) * sum o_ck / sum n_c n_k over c != k."""
    coincidences = Counter(x for a, b in pairs for x in ((a, b), (b, a)))
    totals = Counter(x for pair in pairs for x in pair)
    expected = sum(totals[c] * totals[k] for c in totals for k in totals if c != k)
    if not expected:
        return None
    observed = sum(n for (c, k), n in coincidences.items() if c != k)
    return 1 - Fraction((totals.total() - 1) * observed, expected)


@settings(deadline=None, max_examples=30)
@given(PAIRS)
def test_alpha_equals_the_coincidence_matrix_formula(pairs: list[tuple[Said, Said]]):
    agreement = measure_agreement(_readings(*pairs), CODEBOOK)
    exact = _exact_alpha([(a[0], b[0]) for a, b in pairs])
    assert agreement.stance.alpha.value == (None if exact is None else pytest.approx(float(exact)))
    fish = _exact_alpha([(str("fish" in a[1]), str("fish" in b[1])) for a, b in pairs])
    assert agreement.concern_labels[0].alpha.value == (None if fish is None else pytest.approx(float(fish)))


@settings(deadline=None, max_examples=30)
@given(PAIRS, st.lists(st.booleans(), min_size=8, max_size=8), st.randoms(use_true_random=False))
def test_neither_who_made_a_reading_nor_the_order_of_statements_changes_a_figure(pairs, swaps, random):
    permuted = [(b, a) if swap else (a, b) for (a, b), swap in zip(pairs, swaps, strict=False)]
    random.shuffle(permuted)
    left = measure_agreement(_readings(*pairs), CODEBOOK)
    right = measure_agreement(_readings(*permuted), CODEBOOK)
    for one, other in zip(
        (left.stance, left.concerns, left.holder_type, *left.stances, *left.concern_labels),
        (right.stance, right.concerns, right.holder_type, *right.stances, *right.concern_labels),
        strict=True,
    ):
        for figure in ("same", "alpha", "f1"):
            value = getattr(one, figure).value
            assert getattr(other, figure).value == (None if value is None else pytest.approx(value))
        assert one.first + one.second == other.first + other.second


@settings(deadline=None, max_examples=30)
@given(PAIRS)
def test_every_figure_lies_where_it_can(pairs: list[tuple[Said, Said]]):
    agreement = measure_agreement(_readings(*pairs), CODEBOOK)
    for agreed in (agreement.stance, agreement.concerns, agreement.holder_type, *agreement.concern_labels):
        for figure, least in ((agreed.same, 0), (agreed.f1, 0), (agreed.alpha, -1)):
            assert (figure.value is None) == bool(figure.reason)
            assert figure.value is None or least <= figure.value <= 1 + 1e-12


def test_readings_are_paired_by_statement_and_sorted_by_annotator():
    annotations = [
        _annotation("s2", "b-9", PRO),
        _annotation("s1", "b-1", CON),
        _annotation("s2", "a-2", CON),
        _annotation("s1", "a-7", PRO),
    ]
    pairs = paired_readings(annotations)
    assert list(pairs) == ["s2", "s1"]
    assert [a.annotator for a in pairs["s1"]] == ["a-7", "b-1"]
    assert [a.annotator for a in pairs["s2"]] == ["a-2", "b-9"]


@pytest.mark.parametrize("annotators", [["ann"], ["ann", "ann"], ["ann", "ben", "cas"], ["ann", "ann", "ben"]])
def test_a_statement_that_two_people_did_not_read_once_each_is_refused_by_name(annotators: list[str]):
    with pytest.raises(RecordError, match=rf"statement s1: .*found {len(annotators)} \({', '.join(annotators)}\)"):
        paired_readings([_annotation("s1", name, PRO) for name in annotators])


def test_part_of_the_statements_is_measured_by_passing_part_of_the_readings():
    readings = _stances("ppcp", "ppcc")
    part = {statement: readings[statement] for statement in ("s0", "s2")}
    assert measure_agreement(part, CODEBOOK).stance.alpha.value == 1.0


def test_the_table_has_a_row_for_each_question_and_label_and_says_why_a_figure_is_missing():
    rows = agreement_table(measure_agreement(_stances("ppcp", "ppcc"), CODEBOOK))
    assert rows[0] == ("what", "first", "second", "same", "alpha", "F1")
    assert rows[1] == ("stance", "4", "4", "0.750", "0.533", "0.733")
    assert [row[0] for row in rows[1:]] == [
        "stance",
        "stance: pro",
        "stance: con",
        "stance: open",
        "concerns",
        "concerns: fish",
        "concerns: dams",
        "holder type",
    ]
    assert rows[4][4:] == ("none (all readings are alike)", "none (no reading has it)")


def test_a_figure_shows_its_interval_if_it_has_one():
    assert str(Figure(0.5)) == "0.500"
    assert str(Figure(0.5, "", 0.416, 0.584)) == "0.500 [0.42, 0.58]"
    assert str(Figure(None, "no statement")) == "none (no statement)"


def test_importing_the_modules_loads_no_heavy_package():
    heavy = {"nltk", "sklearn", "numpy", "pandas", "crowdkit"}
    code = f"import sys, annotation.leaning, annotation.aggregation; print(*{heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
