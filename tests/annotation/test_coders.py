"""Agreement of any number of coders is what one computes by hand, what the libraries say, and what others have measured."""

import json
import math
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.agreement import Figure, masi, measure_agreement, paired_readings
from annotation.codebook import Codebook, load_codebook, parse_codebook
from annotation.coders import Coders, Question, by_coder, measure_coders, measure_questions
from annotation.resampling import Resampling
from corpus import Annotation, CodebookError, RecordError
from corpus.reference_corpus import load_reference

PLAIN = Resampling(resamples=0)


def book(*stances: str, concerns: tuple[str, ...] = ("fish", "dams")) -> Codebook:
    content = {
        "format": 1,
        "name": "river",
        "version": 1,
        "target": {"name": "River treaty"},
        "stances": [{"id": s, "name": s, "definition": "d", "polarity": "neutral"} for s in stances],
        "concerns": [{"id": c, "name": c, "definition": "d"} for c in concerns],
        "holder_types": [{"id": "state", "name": "State"}, {"id": "nobody", "name": "Nobody", "nobody": True}],
    }
    return parse_codebook(json.dumps(content), where="river.yaml")


PRO_CON = book("pro", "con", "open")


def said(statement: str, coder: str, stance: str, *concerns: str, **fields: object) -> Annotation:
    return Annotation(
        statement=statement,
        annotator=coder,
        codebook_version="1",
        stance=stance,
        concerns=concerns,
        **fields,  # type: ignore[arg-type]
    )


def rows(**by_coder: str) -> list[Annotation]:
    """Readings from one string a coder: p, c and o, a full stop where the coder has not read the statement."""
    stances = {"p": "pro", "c": "con", "o": "open"}
    return [
        said(f"s{i:02d}", coder, stances[letter])
        for coder, letters in by_coder.items()
        for i, letter in enumerate(letters)
        if letter != "."
    ]


def measure(readings: list[Annotation], codebook: Codebook = PRO_CON, draw: Resampling = PLAIN) -> Coders:
    """Each statement is a document of its own."""
    return measure_coders(readings, {a.statement: a.statement for a in readings}, codebook, draw=draw)


def question(coders: Coders, name: str) -> Question:
    return next(q for q in coders.questions if q.whole.name == name)


def library_alpha(data: list[tuple[str, str, frozenset[str]]]) -> float:
    """Krippendorff's alpha as nltk has it, of (coder, statement, answer); the distance is MASI."""
    from nltk.metrics.agreement import AnnotationTask

    return float(AnnotationTask(data=data, distance=masi).alpha())


def test_alpha_of_krippendorffs_own_example_with_four_observers_and_missing_answers():
    # "Computing Krippendorff's Alpha-Reliability" (2011), part C: twelve units, of which the last has one answer only.
    # Disagreeing ordered pairs / (m - 1): 6/3 in unit 2, 12/3 in unit 6, 6/3 in unit 8, so D = 8. The 40 answers are
    # 9, 13, 10, 5 and 3 of the five values: 40 * 40 - (81 + 169 + 100 + 25 + 9) = 1216.
    # alpha = 1 - 39 * 8 / 1216 = 904 / 1216 = 0.743.
    observers = {"a": "123321412...", "b": "1233224125.3", "c": ".3332342251.", "d": "12332441251."}
    readings = [
        said(f"u{i:02d}", coder, f"v{value}")
        for coder, values in observers.items()
        for i, value in enumerate(values)
        if value != "."
    ]
    found = measure(readings, book("v1", "v2", "v3", "v4", "v5"))
    whole = question(found, "stance").whole
    assert whole.alpha.value == pytest.approx(904 / 1216)
    assert round(904 / 1216, 3) == 0.743
    assert whole.same.value == pytest.approx(1 - 8 / 40)
    assert (found.statements, whole.readings) == (11, 40)
    assert found.coders == {"a": 9, "b": 11, "c": 10, "d": 11}


def test_kappa_and_f1_of_two_coders_are_what_one_computes_by_hand():
    # Both pro twice, both con once, one pro and con: same 3/4; chance (3*2 + 1*2) / 16 = 1/2; kappa 1/2.
    # F1: pro 2*2/(3+2) = 4/5, con 2*1/(1+2) = 2/3; their mean 11/15. Micro: 2*3/8.
    found = measure(rows(ann="ppcp", ben="ppcc"))
    whole = question(found, "stance").whole
    assert (whole.same.value, whole.kappa.value) == (0.75, 0.5)
    assert whole.f1.value == pytest.approx(11 / 15)
    assert whole.micro_f1 is not None
    assert whole.micro_f1.value == 0.75
    assert question(found, "stance").labels[0].kappa.value == 0.5
    assert found.pairs[0].confusion == ((2, 1, 0), (0, 1, 0), (0, 0, 0))


def test_masi_alpha_of_sets_is_what_one_computes_by_hand():
    # As in the test of two readings: observed 2/9, expected 20/30.
    sets = (("fish",), ("fish",)), (("fish", "dams"), ("fish",)), ((), ())
    readings = [
        said(f"s{i}", c, "pro", *one) for i, pair in enumerate(sets) for c, one in zip(("ann", "ben"), pair, strict=True)
    ]
    whole = question(measure(readings), "concerns").whole
    assert whole.alpha.value == pytest.approx(2 / 3)
    assert whole.same.value == pytest.approx(2 / 3)
    assert whole.kappa == Figure(None, "asked of each label")


ANSWERS = st.lists(
    st.dictionaries(
        st.sampled_from(["ann", "ben", "cas", "dee"]),
        st.tuples(st.sampled_from(["pro", "con", "open"]), st.sampled_from([(), ("fish",), ("dams",), ("fish", "dams")])),
        max_size=4,
    ),
    max_size=9,
)


@settings(max_examples=60)
@given(ANSWERS)
def test_alpha_of_any_coders_with_gaps_is_the_librarys(answers: list[dict[str, tuple[str, tuple[str, ...]]]]):
    readings = [said(f"s{i}", c, s, *cs) for i, one in enumerate(answers) for c, (s, cs) in one.items()]
    found = measure(readings)
    for name, answer in (
        ("stance", lambda a: frozenset([a.stance])),
        ("concerns", lambda a: frozenset(a.concerns)),
    ):
        kept = [(a.annotator, a.statement, answer(a)) for a in readings if len(answers[int(a.statement[1:])]) > 1]
        alpha = question(found, name).whole.alpha
        if not kept:
            assert alpha == Figure(None, "no statement")
        elif len({said for _, _, said in kept}) == 1:
            assert alpha == Figure(None, "all readings are alike")
        else:
            assert alpha.value == pytest.approx(library_alpha(kept))


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("pco"), st.sampled_from("pco")), min_size=1, max_size=12))
def test_kappa_and_f1_are_those_of_scikit_learn(pairs: list[tuple[str, str]]):
    from sklearn.metrics import cohen_kappa_score, f1_score

    one, two = zip(*pairs, strict=True)
    found = question(measure(rows(ann="".join(one), ben="".join(two))), "stance")
    occurring = sorted({*one, *two})
    if len(occurring) == 1:
        assert found.whole.kappa == Figure(None, "all readings are alike")
    else:
        assert found.whole.kappa.value == pytest.approx(cohen_kappa_score(one, two))
    assert found.whole.f1.value == pytest.approx(f1_score(one, two, labels=occurring, average="macro"))
    for letter, label in zip("pco", found.labels, strict=True):
        ours, theirs = [x == letter for x in one], [x == letter for x in two]
        assert label.readings == sum(ours) + sum(theirs)
        assert label.same.value == pytest.approx(np.mean(np.equal(ours, theirs)))
        if letter not in occurring:
            assert (label.f1, label.kappa.value) == (Figure(None, "no reading has it"), None)
        else:
            assert label.f1.value == pytest.approx(f1_score(ours, theirs))
            if len(set(ours) | set(theirs)) > 1:
                assert label.kappa.value == pytest.approx(cohen_kappa_score(ours, theirs))


@pytest.mark.parametrize("seed", range(5))
def test_a_resample_of_documents_gives_the_librarys_value_on_the_documents_drawn(seed: int):
    rng = np.random.default_rng(100 + seed)
    stances, sets = ["pro", "con", "open"], [(), ("fish",), ("dams",), ("fish", "dams")]
    documents = {f"s{i:02d}": f"d{i // 3}" for i in range(24)}
    readings = [
        said(s, c, stances[rng.integers(3)], *sets[rng.integers(4)])
        for s in documents
        for c in ("ann", "ben", "cas")
        if rng.random() < 0.8
    ]
    found = measure_coders(readings, documents, PRO_CON, draw=Resampling(resamples=1, seed=seed))
    counts = Counter(a.statement for a in readings)
    names = sorted({documents[s] for s, n in counts.items() if n > 1})
    drawn = [names[i] for i in np.random.default_rng(seed).integers(0, len(names), size=(1, len(names)))[0]]
    assert drawn != names
    for name, answer in (
        ("stance", lambda a: frozenset([a.stance])),
        ("concerns", lambda a: frozenset(a.concerns)),
    ):
        again = [
            (a.annotator, f"{k} {a.statement}", answer(a))
            for k, document in enumerate(drawn)
            for a in readings
            if documents[a.statement] == document and counts[a.statement] > 1
        ]
        figure = question(found, name).whole.alpha
        assert figure.low == figure.high == pytest.approx(library_alpha(again))


def test_crowd_kit_has_the_same_alpha():
    import pandas as pd
    from crowdkit.metrics.data import alpha_krippendorff

    readings = rows(ann="ppcopc.", ben="pcco.cp", cas="p.copcc")
    frame = pd.DataFrame([(a.statement, a.annotator, a.stance) for a in readings], columns=["task", "worker", "label"])
    assert question(measure(readings), "stance").whole.alpha.value == pytest.approx(alpha_krippendorff(frame))


def test_every_pair_that_shares_a_statement_is_measured_on_what_it_shares():
    found = measure(rows(ann="ppc...", ben="pcc.p.", cas="....pc", dee=".....p"))
    assert [(p.first, p.second, p.statements) for p in found.pairs] == [
        ("ann", "ben", 3),
        ("ben", "cas", 1),
        ("cas", "dee", 1),
    ]
    alone = measure(rows(ann="ppc", ben="pcc"))
    assert found.pairs[0].questions == alone.questions
    assert question(found, "stance").whole.kappa == Figure(None, "not two coders; see the pairs")


def test_a_coder_who_shares_nothing_changes_no_figure_but_the_reason_for_kappa():
    with_cas = measure(rows(ann="ppcp..", ben="ppcc..", cas="....pp"))
    without = measure(rows(ann="ppcp", ben="ppcc"))
    assert question(with_cas, "stance").whole.alpha == question(without, "stance").whole.alpha
    assert with_cas.pairs == without.pairs


def test_what_a_reading_does_not_answer_is_left_out_of_that_question_only():
    readings = [
        said("s1", "ann", "pro", holder_type="state", voice="own"),
        said("s1", "ben", "pro", holder_type="state"),
        said("s2", "ann", "con", holder_type="state"),
        said("s2", "ben", "con", holder_type="nobody"),
    ]
    found = measure(readings)
    assert [q.whole.statements for q in found.questions] == [2, 2, 2, 0]
    assert question(found, "holder type").whole.same.value == 0.5
    assert question(found, "voice").whole.alpha == Figure(None, "no statement")


def test_readings_with_a_suggestion_in_sight_are_left_out():
    blind = rows(ann="ppcp", ben="ppcc")
    assisted = [msgspec.structs.replace(a, annotator="cas", blind=False) for a in blind[:4]]
    assert measure(blind + assisted) == measure(blind)


def test_no_reading_at_all_gives_no_figure_and_no_error():
    found = measure([])
    assert (found.coders, found.statements, found.pairs) == ({}, 0, ())
    assert question(found, "stance").whole.alpha == Figure(None, "no statement")


def test_two_readings_by_one_coder_a_missing_document_and_an_unknown_label_are_refused_by_name():
    one = said("s1", "ann", "pro")
    with pytest.raises(RecordError, match="statement s1: expected one reading a coder, found two by ann"):
        measure([one, one])
    with pytest.raises(RecordError, match=r"statement s1: .*document"):
        measure_coders([one], {}, PRO_CON)
    with pytest.raises(CodebookError, match=r"annotation of s1 by ann: .*'maybe'"):
        measure([said("s1", "ann", "maybe")])


def test_intervals_need_two_documents_and_bound_the_figure():
    readings = rows(ann="ppcpcpcopp", ben="ppccppcopc")
    one = measure_coders(readings, dict.fromkeys((a.statement for a in readings), "d"), PRO_CON)
    assert question(one, "stance").whole.alpha.low is None
    for q in measure(readings, draw=Resampling()).questions[:2]:
        for figure in (q.whole.same, *(label.same for label in q.labels)):
            assert figure.low is not None
            assert figure.high is not None
            assert figure.value is not None
            assert 0 <= figure.low <= figure.value <= figure.high <= 1


def test_statements_of_one_document_make_intervals_wider():
    rng = np.random.default_rng(5)
    ann, ben = "", ""
    for _ in range(20):  # the ten statements of a document are all read alike, or all read differently
        agree = rng.random() < 0.7
        ann += "pcpcpcpcpc"
        ben += "pcpcpcpcpc" if agree else "cpcpcpcpcp"
    readings = [msgspec.structs.replace(a, statement=f"s{int(a.statement[1:]):03d}") for a in rows(ann=ann, ben=ben)]
    apart = measure(readings, draw=Resampling())
    together = measure_coders(
        readings, {a.statement: f"d{int(a.statement[1:]) // 10}" for a in readings}, PRO_CON, draw=Resampling()
    )

    def width(found: Coders) -> float:
        figure = question(found, "stance").whole.same
        assert figure.low is not None
        assert figure.high is not None
        return figure.high - figure.low

    assert width(together) > 2 * width(apart)


def test_a_figure_that_most_resamples_leave_undefined_has_no_interval():
    # The only reading that differs stands in one of three documents: 8 of 27 resamples lack it.
    found = measure(rows(ann="ppp", ben="ppc"), draw=Resampling())
    alpha = question(found, "stance").whole.alpha
    assert (alpha.value, alpha.low, alpha.high) == (0.0, None, None)


def test_the_same_seed_gives_the_same_intervals():
    readings = rows(ann="ppcpcpcopp", ben="ppccppcopc")
    assert measure(readings, draw=Resampling(50, 7)) == measure(readings, draw=Resampling(50, 7))
    assert measure(readings, draw=Resampling(50, 7)) != measure(readings, draw=Resampling(50, 8))


# The reference corpus


@pytest.fixture(scope="module")
def passes() -> Coders:
    """The two passes of the reference corpus, each taken as one coder."""
    corpus = load_reference()
    readings = [msgspec.structs.replace(a, annotator=a.annotator[0]) for a in corpus.annotations]
    documents = {s: d.id for s, d in corpus.document_of.items()}
    return measure_coders(readings, documents, load_codebook())


def test_the_passes_of_the_reference_corpus_agree_as_the_two_readings_do(passes: Coders):
    codebook = load_codebook()
    two = measure_agreement(paired_readings(load_reference().annotations), codebook)
    for agreed, name in ((two.stance, "stance"), (two.concerns, "concerns"), (two.holder_type, "holder type")):
        whole = question(passes, name).whole
        for one, other in ((whole.same, agreed.same), (whole.alpha, agreed.alpha), (whole.f1, agreed.f1)):
            assert one.value == pytest.approx(other.value)
    for agreed, label in zip(
        two.stances + two.concern_labels, passes.questions[0].labels + passes.questions[1].labels, strict=True
    ):
        assert (label.name, label.readings) == (agreed.name, agreed.first + agreed.second)
        assert label.alpha.value == pytest.approx(agreed.alpha.value)
        assert label.f1.value == pytest.approx(agreed.f1.value)


GOLDEN = """
stance | 3310 | 0.967 [0.96, 0.98] | 0.952 [0.94, 0.96] | 0.952 [0.94, 0.96] | 0.946 [0.93, 0.96]
favor | 822 | 0.988 [0.98, 0.99] | 0.968 [0.95, 0.98] | 0.968 [0.95, 0.98] | 0.976 [0.96, 0.99]
against | 863 | 0.984 [0.98, 0.99] | 0.958 [0.94, 0.97] | 0.958 [0.94, 0.97] | 0.969 [0.96, 0.98]
mixed | 171 | 0.986 [0.98, 0.99] | 0.858 [0.80, 0.92] | 0.858 [0.80, 0.92] | 0.865 [0.81, 0.92]
none | 1454 | 0.977 [0.97, 0.98] | 0.953 [0.94, 0.97] | 0.953 [0.94, 0.97] | 0.974 [0.97, 0.98]
concerns | 3310 | 0.878 [0.86, 0.89] | 0.890 [0.88, 0.90] | none (asked of each label) | 0.948 [0.94, 0.96]
holder type | 3310 | 0.932 [0.92, 0.95] | 0.915 [0.89, 0.93] | 0.915 [0.89, 0.93] | 0.924 [0.90, 0.94]
"""


def test_the_figures_of_the_reference_corpus_are_these(passes: Coders):
    table = [
        " | ".join((m.name, str(m.readings), *map(str, (m.same, m.alpha, m.kappa, m.f1))))
        for q in passes.questions[:3]
        for m in (q.whole, *(q.labels if q.whole.name == "stance" else ()))
    ]
    assert (passes.coders, passes.statements) == ({"a": 1655, "b": 1655}, 1655)
    assert table == GOLDEN.strip().splitlines()


# Public sets, read from where STANCE_BENCHMARKS says; no line of them stands in this repository


def crowd(name: str, *parts: str) -> list[dict[str, object]]:
    folder = os.environ.get("STANCE_BENCHMARKS")
    if not folder:
        pytest.skip("STANCE_BENCHMARKS names no folder with public crowd-labelled sets")
    return [json.loads(line) for part in parts for line in (Path(folder) / name / part).read_text("utf-8").splitlines()]


def labels_of(items: list[dict[str, object]], stance: Callable[[object], str]) -> list[Annotation]:
    return [
        said(str(item["id"]), str(coder), stance(label))
        for item in items
        for coder, label in zip(item["annotators"], item["labels"], strict=True)  # type: ignore[call-overload]
    ]


def overall(readings: list[Annotation], codebook: Codebook) -> tuple[Figure, Figure]:
    """Same and alpha of the stance, without the pairs: 400 coders make many."""
    documents = {a.statement: a.statement for a in readings}
    whole = measure_questions(by_coder(readings, documents, codebook), documents, codebook, PLAIN)[0].whole
    return whole.same, whole.alpha


def test_gwsd_has_the_alpha_that_was_measured():
    readings = labels_of(crowd("gwsd", "train.jsonl", "test.jsonl"), str)
    assert Counter(a.stance for a in readings) == {"none": 7050, "favor": 6261, "against": 3089}
    same, alpha = overall(readings, book("favor", "none", "against"))
    assert alpha.value == pytest.approx(0.330, abs=0.0005)
    assert same.value == pytest.approx(0.575, abs=0.0005)


@pytest.mark.parametrize(("binary", "expected"), [(True, 0.650), (False, 0.434)])
def test_convabuse_has_the_alpha_that_was_measured(binary: bool, expected: float):
    items = crowd("convabuse_labels", "train.jsonl", "dev.jsonl", "test.jsonl")
    severity = {1: "not", 0: "unclear", -1: "mild", -2: "strong", -3: "very"}
    if binary:
        readings = labels_of(items, lambda label: "abuse" if label < 0 else "not")  # type: ignore[operator]
        codebook = book("abuse", "not")
    else:
        readings = labels_of(items, lambda label: severity[label])  # type: ignore[index]
        codebook = book(*severity.values())
    _, alpha = overall(readings, codebook)
    assert alpha.value == pytest.approx(expected, abs=0.0005)


def test_rte_has_the_alpha_that_was_measured():
    readings = labels_of(crowd("rte_crowd", "all.jsonl"), lambda label: "yes" if label else "no")
    _, alpha = overall(readings, book("yes", "no"))
    assert alpha.value == pytest.approx(0.2415, abs=0.00005)


def test_a_kind_of_abuse_marked_by_several_coders_has_the_librarys_masi_alpha():
    items = [i for i in crowd("convabuse_labels", "dev.jsonl") if "types" in i]
    kinds = sorted({t for i in items for one in i["types"] for t in one})  # type: ignore[attr-defined]
    codebook = book("x", "y", concerns=tuple(k.replace(".", "_") for k in kinds))
    readings = [
        said(str(i["id"]), str(coder), "x", *(t.replace(".", "_") for t in dict.fromkeys(marked)))
        for i in items
        for coder, marked in zip(i["annotators"], i["types"], strict=True)  # type: ignore[call-overload]
    ]
    counts = Counter(a.statement for a in readings)
    data = [(a.annotator, a.statement, frozenset(a.concerns)) for a in readings if counts[a.statement] > 1]
    documents = {a.statement: a.statement for a in readings}
    found = measure_questions(by_coder(readings, documents, codebook), documents, codebook, PLAIN)[1]
    assert found.whole.alpha.value == pytest.approx(library_alpha(data))
    assert not math.isclose(found.whole.alpha.value or 0, 0, abs_tol=0.05)
