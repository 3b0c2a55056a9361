"""The shipped corpus uses the shipped codebook's labels, and its datasheet says what the code counts."""

import dataclasses
from collections import Counter

import msgspec
import pytest

from annotation.agreement import Agreement, measure_agreement, paired_readings
from annotation.codebook import Codebook, load_codebook
from annotation.datasheet import END, START, datasheet_figures, fill_datasheet
from annotation.gold import check_labels
from corpus import CodebookError, RecordError
from corpus.reference_corpus import SHIPPED, ReferenceCorpus, load_reference


@pytest.fixture(scope="module")
def corpus() -> ReferenceCorpus:
    return load_reference()


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return load_codebook()


@pytest.fixture(scope="module")
def agreement(corpus: ReferenceCorpus, codebook: Codebook) -> Agreement:
    return measure_agreement(paired_readings(corpus.annotations), codebook)


@pytest.fixture(scope="module")
def figures(corpus: ReferenceCorpus, codebook: Codebook) -> str:
    return datasheet_figures(corpus, codebook)


def test_every_label_of_the_shipped_corpus_is_in_the_shipped_codebook(corpus: ReferenceCorpus, codebook: Codebook):
    check_labels(corpus.annotations, corpus.gold, codebook)
    assert {t for _, t in corpus.written.values()} <= set(codebook.holder_type_ids)


def test_every_label_of_the_shipped_codebook_occurs_in_the_gold_labels(corpus: ReferenceCorpus, codebook: Codebook):
    assert {g.stance for g in corpus.gold} == set(codebook.stance_ids)
    assert {c for g in corpus.gold for c in g.concerns} == set(codebook.concern_ids)
    assert {g.holder_type for g in corpus.gold} == set(codebook.holder_type_ids)


def test_gold_labels_were_settled_under_the_shipped_version(corpus: ReferenceCorpus, codebook: Codebook):
    assert {g.codebook_version for g in corpus.gold} == {str(codebook.version)}


@pytest.mark.parametrize("change", [{"stance": "maybe"}, {"concerns": ("frogs",)}, {"holder_type": "king"}])
def test_a_record_with_an_unknown_label_is_refused_by_name(
    corpus: ReferenceCorpus, codebook: Codebook, change: dict[str, str]
):
    annotation = msgspec.structs.replace(corpus.annotations[0], **change)
    with pytest.raises(CodebookError, match=f"annotation of {annotation.statement} by {annotation.annotator}: "):
        check_labels([*corpus.annotations[:3], annotation], [], codebook)
    gold = msgspec.structs.replace(corpus.gold[0], **change)
    with pytest.raises(CodebookError, match=f"gold label of {gold.statement}: "):
        check_labels([], [*corpus.gold[:3], gold], codebook)


def test_the_first_reading_is_the_first_pass(corpus: ReferenceCorpus):
    pairs = paired_readings(corpus.annotations)
    assert len(pairs) == 1655
    assert {(a.annotator[:2], b.annotator[:2]) for a, b in pairs.values()} == {("a-", "b-")}


def test_stance_agreement_of_the_shipped_corpus(corpus: ReferenceCorpus, agreement: Agreement):
    # Scott's pi in its two-coder form is alpha without the correction for small samples: alpha = 1 - (1 - pi)(N - 1) / N
    # over N = 3310 readings. Counted here from the records.
    pairs = [(a.stance, b.stance) for a, b in paired_readings(corpus.annotations).values()]
    observed = sum(a == b for a, b in pairs) / len(pairs)
    totals = Counter(x for pair in pairs for x in pair)
    by_chance = sum((n / totals.total()) ** 2 for n in totals.values())
    pi = (observed - by_chance) / (1 - by_chance)
    assert agreement.stance.same.value == pytest.approx(observed)
    assert agreement.stance.alpha.value == pytest.approx(1 - (1 - pi) * (totals.total() - 1) / totals.total())
    assert agreement.stance.alpha.value == pytest.approx(0.952, abs=0.0005)
    assert agreement.stance.f1.value == pytest.approx(0.946, abs=0.0005)
    assert agreement.concerns.f1.value == pytest.approx(0.948, abs=0.0005)


def test_the_datasheet_holds_the_figures_that_the_code_makes(figures: str):
    # When this fails because the corpus changed, write fill_datasheet(text, datasheet_figures(...)) to the file.
    text = (SHIPPED / "DATASHEET.md").read_text(encoding="utf-8")
    assert fill_datasheet(text, figures) == text


def test_the_figures_count_what_the_records_hold(corpus: ReferenceCorpus, codebook: Codebook, figures: str):
    stances = Counter(g.stance for g in corpus.gold)
    in_order = " | ".join(str(stances[s]) for s in codebook.stance_ids)
    assert f"| all | 405 | 1655 | {in_order} |" in figures
    assert f"| all | 1655 | {in_order} |" in figures
    concerns = Counter(c for g in corpus.gold for c in g.concerns)
    for concern in codebook.concern_ids:
        assert f"| {concern} | {concerns[concern]} |" in figures
    kinds = Counter(d.kind for d in corpus.documents)
    for kind, count in kinds.items():
        assert f"| {kind} | {count} |" in figures
    types = Counter(g.holder_type for g in corpus.gold)
    for holder_type, count in types.items():
        assert f"| {holder_type} | {count} |" in figures
    assert "| documents without a date | 238 |" in figures
    assert "| unknown | 238 |" in figures
    years = [int(line.split("|")[2]) for line in figures.splitlines() if line.startswith(("| 20", "| unknown |"))]
    assert sum(years) == 405


def test_figures_are_refused_where_a_gold_label_would_vanish_from_them(corpus: ReferenceCorpus, codebook: Codebook):
    odd = dataclasses.replace(corpus, gold=(msgspec.structs.replace(corpus.gold[0], stance="maybe"), *corpus.gold[1:]))
    with pytest.raises(CodebookError, match=r"gold label of .*'maybe'"):
        datasheet_figures(odd, codebook)


def test_every_slice_of_the_corpus_is_explained_in_the_datasheet(corpus: ReferenceCorpus):
    prose = (SHIPPED / "DATASHEET.md").read_text(encoding="utf-8").split(START)[0]
    slices = {name.split("-")[0] for name in corpus.reference_id.values()}
    assert len(slices) == 12
    assert [name for name in sorted(slices) if f"| `{name}` |" not in prose] == []


def test_the_datasheet_names_the_rare_labels_that_there_are(corpus: ReferenceCorpus, codebook: Codebook):
    limits = (SHIPPED / "DATASHEET.md").read_text(encoding="utf-8").split("## Limits")[1]
    stances = Counter(g.stance for g in corpus.gold)
    concerns = Counter(c for g in corpus.gold for c in g.concerns)
    rarest = {min(stances, key=lambda s: stances[s]), *sorted(concerns, key=lambda c: concerns[c])[:3]}
    assert [label for label in sorted(rarest) if f"`{label}`" not in limits] == []


def test_filling_a_datasheet_changes_only_what_stands_between_the_markers():
    text = f"before\n\n{START}\n\nold\n\n{END}\n\nafter\n"
    filled = fill_datasheet(text, "new\n")
    assert filled == f"before\n\n{START}\n\nnew\n\n{END}\n\nafter\n"
    assert fill_datasheet(filled, "new\n") == filled


@pytest.mark.parametrize("text", ["", START, END, f"{END}{START}", f"{START}{START}{END}"])
def test_a_datasheet_without_its_markers_is_refused(text: str):
    with pytest.raises(RecordError, match="datasheet: expected one"):
        fill_datasheet(text, "new\n")
