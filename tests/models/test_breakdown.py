"""What lies behind the figures: slices, reliability, risk and coverage, confusion, mistakes."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from annotation.codebook import Codebook
from corpus.identity import document_id, statement_id
from corpus.records import Document, GoldLabel, Statement
from models.breakdown import (
    MISTAKES,
    Slice,
    concern_reliability,
    confusion,
    mistakes,
    risk_coverage,
    slices,
    stance_reliability,
)
from models.dataset import Example
from models.evaluation import Bootstrap, counter_of, resampling
from models.metrics import Counter, Decisions, Holders, Resampling, bootstrap_weights

STANCES = ("yes_please", "no_thanks", "silent")


def example(number: int, *, document: int, words: int = 5, kind: str | None = None, published: str | None = None) -> Example:
    text = " ".join(["word"] * (words - 1) + [f"n{number}"])
    url = f"https://river.example/{document}"
    whole = f"{document} {kind} {published}"
    page = Document(
        id=document_id(url, whole), url=url, text=whole, kind=kind, published=published, title=f"Page {document}"
    )
    start = 10 * number
    statement = Statement(
        id=statement_id(page.id, start, start + len(text)), document=page.id, start=start, end=start + len(text), text=text
    )
    return Example(statement, page, GoldLabel(statement=statement.id, codebook_version="1", stance=STANCES[number % 3]))


def decisions(n: int, seed: int = 0) -> Decisions:
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(3), n)
    return Decisions(
        gold_stance=np.arange(n) % 3,
        stance=probability.argmax(1),
        gold_concerns=rng.random((n, 2)) < 0.4,
        concerns=rng.random((n, 2)) < 0.4,
        confidence=probability.max(1),
        probabilities=probability,
        concern_probabilities=rng.random((n, 2)),
    )


def draws_of(n: int, size: int = 2) -> Resampling:
    return Resampling(np.arange(n) // size, bootstrap_weights(-(-n // size), resamples=200, seed=0))


@given(n=st.integers(1, 60), seed=st.integers(0, 1000))
def test_confusion_is_scikit_learns_and_its_rows_are_the_gold_cases(n: int, seed: int) -> None:
    d = decisions(n, seed)
    found = confusion(d, 3)
    np.testing.assert_array_equal(found, confusion_matrix(d.gold_stance, d.stance, labels=range(3)))
    assert [sum(row) for row in found] == np.bincount(d.gold_stance, minlength=3).tolist()


def measured(examples: list[Example], d: Decisions, codebook: Codebook) -> tuple[Slice, ...]:
    draws = resampling(examples, Bootstrap(200, 0))
    return slices(examples, d, None, codebook, counter_of(d, codebook), draws)


def test_a_slice_has_the_figures_of_its_own_statements(invented: Codebook) -> None:
    examples = [example(i, document=i // 2, kind="news" if i // 2 % 2 else "blog") for i in range(60)]
    d = decisions(60)
    found = {s.value: s for s in measured(examples, d, invented) if s.dimension == "kind"}
    assert list(found) == ["blog", "news"]
    rows = np.array([e.document.kind == "news" for e in examples])
    news = found["news"]
    assert (news.statements, news.documents) == (30, 15)
    figures = {f.name: f.model for f in news.figures}
    accuracy, macro = figures["stance_accuracy"], figures["stance_macro_f1"]
    assert accuracy is not None
    assert macro is not None
    assert accuracy.value == pytest.approx(accuracy_score(d.gold_stance[rows], d.stance[rows]))
    assert macro.value == pytest.approx(f1_score(d.gold_stance[rows], d.stance[rows], average="macro"))
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert accuracy.low < accuracy.high
    assert all(f.baseline is None for f in news.figures)
    assert "holder_overlap_f1" not in figures, "no holders were decided"


def test_the_slices_of_a_dimension_hold_every_statement_once(invented: Codebook) -> None:
    kinds = ["news"] * 30 + ["blog"] * 12 + ["talk"] * 9 + ["poem"] * 4 + [None] * 11
    years = ["2025-03-01", "2024", None, "no date"]
    examples = [example(i, document=i, words=3 + i % 20, kind=kind, published=years[i % 4]) for i, kind in enumerate(kinds)]
    found = measured(examples, decisions(len(kinds)), invented)
    by_dimension: dict[str, list[tuple[str, int]]] = {}
    for s in found:
        by_dimension.setdefault(s.dimension, []).append((s.value, s.statements))
    assert all(sum(n for _, n in values) == len(kinds) for values in by_dimension.values())
    assert by_dimension["kind"] == [("blog", 12), ("news", 30), ("unknown", 11), ("other (2 values)", 13)]
    assert by_dimension["year"] == [("2024", 17), ("2025", 17), ("unknown", 32)], "what is no ISO date is unknown"
    assert list(by_dimension) == ["kind", "length", "year"], "holder type and voice are unknown for all"


def test_values_from_too_few_documents_are_pooled_however_many_statements_they_have(invented: Codebook) -> None:
    examples = [example(i, document=i if i < 20 else 99, kind="news" if i < 20 else "blog") for i in range(40)]
    found = [s for s in measured(examples, decisions(40), invented) if s.dimension == "kind"]
    assert [(s.value, s.statements, s.documents) for s in found] == [("news", 20, 20), ("other (1 value)", 20, 1)]


def test_lengths_are_cut_at_the_thirds_and_say_where(invented: Codebook) -> None:
    examples = [example(i, document=i, words=w) for i, w in enumerate([4] * 10 + [6] * 10 + [9] * 10)]
    found = [(s.value, s.statements) for s in measured(examples, decisions(30), invented) if s.dimension == "length"]
    assert found == [("short (up to 4 words)", 10), ("middle (5 to 6 words)", 10), ("long (over 6 words)", 10)]
    alike = [example(i, document=i, words=7) for i in range(12)]
    found = [(s.value, s.statements) for s in measured(alike, decisions(12), invented) if s.dimension == "length"]
    assert found == [("short (up to 7 words)", 12)]


def test_holder_types_stand_in_the_codebooks_order_and_voices_where_they_are_known(invented: Codebook) -> None:
    base = [example(i, document=i) for i in range(30)]
    examples = [
        replace(
            e,
            gold=msgspec.structs.replace(e.gold, holder_type=("nobody", "town", "angler")[i // 10]),
            statement=msgspec.structs.replace(e.statement, voice="reported" if i < 15 else None),
        )
        for i, e in enumerate(base)
    ]
    found = measured(examples, decisions(30), invented)
    assert [s.value for s in found if s.dimension == "holder_type"] == ["town", "angler", "nobody"]
    assert [(s.value, s.statements) for s in found if s.dimension == "voice"] == [("reported", 15), ("unknown", 15)]


def test_reliability_by_hand() -> None:
    n = 6
    d = Decisions(
        gold_stance=np.zeros(n, int),
        stance=np.array([0, 0, 0, 1, 0, 1]),
        gold_concerns=np.zeros((n, 1), bool),
        concerns=np.zeros((n, 1), bool),
        confidence=np.array([1.0, 0.92, 0.98, 0.94, 0.55, 0.45]),
    )
    found = stance_reliability(d, draws_of(n, 1))
    assert [(b.low, b.high, b.statements) for b in found] == [(0.4, 0.5, 1), (0.5, 0.6, 1), (0.9, 1.0, 4)]
    assert found[2].confidence == pytest.approx((1 + 0.92 + 0.98 + 0.94) / 4)
    assert found[2].accuracy.value == pytest.approx(0.75)
    assert found[2].accuracy.low < 0.75 < found[2].accuracy.high
    assert concern_reliability(d, draws_of(n, 1)) == ()
    assert stance_reliability(replace(d, confidence=None), draws_of(n, 1)) == ()


@given(n=st.integers(1, 60), seed=st.integers(0, 1000))
def test_bins_weighted_by_size_give_back_the_calibration_error(n: int, seed: int) -> None:
    d = decisions(n, seed)
    bins = stance_reliability(d, draws_of(n))
    assert sum(b.statements for b in bins) == n
    counter = Counter(3, 2, (), ())
    expected = counter.metrics(counter.counts(d).sum(0))["stance_ece", None]
    assert sum(b.statements * abs(b.confidence - b.accuracy.value) for b in bins) / n == pytest.approx(float(expected))


def test_concern_reliability_pools_all_pairs_of_statement_and_concern() -> None:
    d = decisions(40)
    found = concern_reliability(d, draws_of(40))
    assert d.concern_probabilities is not None
    inside = (d.concern_probabilities >= 0.3) & (d.concern_probabilities < 0.4)
    assert sum(b.statements for b in found) == 80
    assert found[3].low == 0.3
    assert found[3].statements == inside.sum()
    assert found[3].accuracy.value == pytest.approx(d.gold_concerns[inside].mean())
    assert found[3].confidence == pytest.approx(d.concern_probabilities[inside].mean())


@given(n=st.integers(1, 60), seed=st.integers(0, 1000))
def test_the_curve_ends_at_the_accuracy_of_all_and_each_point_holds_those_above_its_threshold(n: int, seed: int) -> None:
    d = decisions(n, seed)
    assert d.confidence is not None
    d = replace(d, confidence=d.confidence.round(1))  # with ties
    assert d.confidence is not None
    points = risk_coverage(d, draws_of(n))
    assert [p.coverage for p in points] == pytest.approx(np.arange(0.05, 1.01, 0.05))
    assert points[-1].accuracy.value == pytest.approx((d.stance == d.gold_stance).mean())
    assert points[-1].statements == n
    for p in points:
        kept = d.confidence >= p.threshold
        assert p.statements == kept.sum()
        assert p.statements >= p.coverage * n - 1e-9
        assert (d.confidence > p.threshold).sum() < p.coverage * n, "no more than the share needs"
        assert p.accuracy.value == pytest.approx((d.stance == d.gold_stance)[kept].mean())


def test_no_confidence_no_curve() -> None:
    d = replace(decisions(4), confidence=None)
    assert risk_coverage(d, draws_of(4)) == ()


def test_mistakes_are_the_wrong_stances_the_surest_first(invented: Codebook) -> None:
    examples = [example(i, document=i // 2) for i in range(90)]
    d = decisions(90)
    names = tuple("Ann" if i % 2 else None for i in range(90))
    d = replace(d, holders=Holders(names, names[::-1], np.zeros(90, int), np.zeros(90, int)))
    found = mistakes(examples, d, invented)
    assert d.confidence is not None
    wrong = d.stance != d.gold_stance
    assert len(found) == min(MISTAKES, wrong.sum()) == MISTAKES
    assert [m.confidence for m in found] == sorted(d.confidence[wrong], reverse=True)[:MISTAKES]
    by_id = {e.statement.id: i for i, e in enumerate(examples)}
    for m in found:
        i = by_id[m.id]
        assert (m.text, m.url, m.title) == (examples[i].statement.text, examples[i].document.url, f"Page {i // 2}")
        assert m.gold == STANCES[d.gold_stance[i]] != m.decided == STANCES[d.stance[i]]
        assert max(m.probabilities) == m.confidence
        assert (m.gold_holder, m.holder) == (names[i], names[::-1][i])
        assert m.concerns == tuple(c for c, yes in zip(("fish", "money"), d.concerns[i], strict=True) if yes)
        assert m.gold_concerns == tuple(c for c, yes in zip(("fish", "money"), d.gold_concerns[i], strict=True) if yes)


def test_without_a_wrong_stance_or_without_confidence_there_are_no_mistakes_to_show(invented: Codebook) -> None:
    examples = [example(i, document=i) for i in range(6)]
    d = decisions(6)
    assert mistakes(examples, replace(d, stance=d.gold_stance), invented) == ()
    assert mistakes(examples, replace(d, confidence=None), invented) == ()
