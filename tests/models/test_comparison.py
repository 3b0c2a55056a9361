"""Two bundles beside one another, and several seeds."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.codebook import Codebook
from corpus.errors import RecordError
from corpus.identity import document_id, statement_id
from corpus.records import Document, GoldLabel, Statement
from models.comparison import check_same_split, compare, sign_test, spread
from models.dataset import Example
from models.evaluation import Bootstrap
from models.metrics import Decisions
from models.splits import PARTS, Split

IDS = ("first", "second")


def examples_of(n: int) -> list[Example]:
    out = []
    for i in range(n):
        text, url = f"statement {i}", f"https://river.example/{i // 2}"
        document = Document(id=document_id(url, url), url=url, text=url)
        start = 100 * i
        statement = Statement(
            id=statement_id(document.id, start, start + len(text)),
            document=document.id,
            start=start,
            end=start + len(text),
            text=text,
        )
        out.append(Example(statement, document, GoldLabel(statement=statement.id, codebook_version="1", stance="silent")))
    return out


def decisions(n: int, *, right: float, seed: int) -> Decisions:
    rng = np.random.default_rng(seed)
    gold = np.arange(n) % 3
    stance = np.where(rng.random(n) < right, gold, (gold + 1) % 3)
    concerns = np.random.default_rng(0).random((n, 2)) < 0.5
    return Decisions(gold, stance, concerns, concerns ^ (rng.random((n, 2)) > right), rng.random(n))


def test_a_bundle_against_itself_differs_by_exactly_nothing(invented: Codebook) -> None:
    d = decisions(60, right=0.7, seed=1)
    found = compare(examples_of(60), d, d, invented, part="test", model_ids=IDS)
    assert found.figures
    for f in found.figures:
        assert f.difference is not None
        assert (f.difference.value, f.difference.low, f.difference.high, f.p) == (0, 0, 0, 1)
        assert f.first == f.second
    assert (found.statements, found.documents) == (60, 30)


def test_figures_are_each_bundles_own_and_the_difference_is_first_minus_second(invented: Codebook) -> None:
    one, two = decisions(200, right=0.9, seed=1), decisions(200, right=0.5, seed=2)
    found = compare(examples_of(200), one, two, invented, part="test", model_ids=IDS, bootstrap=Bootstrap(500, 0))
    accuracy = next(f for f in found.figures if f.name == "stance_accuracy")
    assert accuracy.first is not None
    assert accuracy.second is not None
    assert accuracy.difference is not None
    right = [float((d.stance == d.gold_stance).mean()) for d in (one, two)]
    assert [accuracy.first.value, accuracy.second.value] == pytest.approx(right)
    assert accuracy.difference.value == pytest.approx(right[0] - right[1])
    assert 0 < accuracy.difference.low < accuracy.difference.value < accuracy.difference.high
    assert accuracy.p == pytest.approx(2 / 501), "never zero: one in so many resamples, twice"
    turned = compare(examples_of(200), two, one, invented, part="test", model_ids=IDS, bootstrap=Bootstrap(500, 0))
    back = next(f for f in turned.figures if f.name == "stance_accuracy")
    assert back.difference is not None
    assert back.difference.value == -accuracy.difference.value
    assert (back.difference.low, back.difference.high) == pytest.approx(
        (-accuracy.difference.high, -accuracy.difference.low)
    )
    assert back.p == accuracy.p


def test_pairing_sees_what_two_separate_intervals_hide(invented: Codebook) -> None:
    """Where both err on the same documents, the difference is far surer than either figure."""
    gold = np.arange(300) % 3
    hard = np.arange(300) // 2 % 2 == 0
    one = np.where(hard, (gold + 1) % 3, gold)
    two = one.copy()
    two[np.arange(300) % 20 == 2] = (gold[np.arange(300) % 20 == 2] + 1) % 3
    none = np.zeros((300, 2), bool)
    found = compare(
        examples_of(300), Decisions(gold, one, none, none), Decisions(gold, two, none, none), invented,
        part="test", model_ids=IDS, bootstrap=Bootstrap(1000, 0),
    )  # fmt: skip
    f = next(f for f in found.figures if f.name == "stance_accuracy")
    assert f.first is not None
    assert f.second is not None
    assert f.difference is not None
    assert f.first.low < f.second.high, "the intervals overlap"
    assert f.difference.low > 0
    assert f.p is not None
    assert f.p < 0.01


def test_figures_that_neither_has_are_left_out(invented: Codebook) -> None:
    d = replace(decisions(40, right=0.5, seed=1), confidence=None)
    found = compare(examples_of(40), d, d, invented, part="test", model_ids=IDS)
    assert not {f.name for f in found.figures} & {"aurc", "stance_ece", "accuracy_at_70", "holder_overlap_f1"}


def test_the_share_of_resamples_with_the_other_sign_by_hand() -> None:
    # One of nine at or below zero: 2 * (1 + 1) / (9 + 1).
    assert sign_test(np.array([1.0, 2, 3, 4, 5, 6, 7, 8, -1])) == pytest.approx(0.4)
    assert sign_test(np.array([-1.0, -2, -3, np.nan])) == pytest.approx(2 / 4)
    assert sign_test(np.zeros(10)) == 1
    assert sign_test(np.array([np.nan])) is None


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=30))
def test_the_test_does_not_ask_which_of_two_comes_first(values: list[float]) -> None:
    p = sign_test(np.array(values))
    assert p is not None
    assert 0 < p <= 1
    assert sign_test(-np.array(values)) == p


def test_nothing_to_compare_is_refused(invented: Codebook) -> None:
    d = decisions(0, right=1, seed=0)
    with pytest.raises(RecordError, match="nothing to compare"):
        compare([], d, d, invented, part="test", model_ids=IDS)


def test_the_spread_is_mean_and_sample_standard_deviation_of_each_overall_figure(invented: Codebook) -> None:
    runs = [decisions(90, right=r, seed=i) for i, r in enumerate((0.6, 0.7, 0.8))]
    found = {s.name: s for s in spread(examples_of(90), runs, invented)}
    accuracy = [float((d.stance == d.gold_stance).mean()) for d in runs]
    assert found["stance_accuracy"].values == pytest.approx(tuple(accuracy))
    assert found["stance_accuracy"].mean == pytest.approx(sum(accuracy) / 3)
    assert found["stance_accuracy"].sd == pytest.approx(np.std(accuracy, ddof=1))
    assert {"stance_macro_f1", "concern_macro_f1", "aurc", "stance_ece"} <= set(found)
    assert "stance_f1" not in found, "only figures over all labels"
    assert "holder_overlap_f1" not in found, "no holders were decided"


def test_one_bundle_has_no_spread(invented: Codebook) -> None:
    with pytest.raises(RecordError, match="two or more"):
        spread(examples_of(6), [decisions(6, right=1, seed=0)], invented)


def split_of(train: list[str], test: list[str], mark: str = "h") -> Split:
    parts = dict(zip(PARTS, (tuple(train), (), tuple(test)), strict=True))
    return Split(seed=0, near_copy=0.6, parts=parts, hashes=dict.fromkeys(PARTS, mark))


def test_bundles_of_different_splits_are_refused_with_a_statement_that_moved() -> None:
    one = split_of(["a", "b"], ["c"])
    check_same_split(one, msgspec.structs.replace(one, seed=7), IDS)
    with pytest.raises(RecordError, match="statements in other parts: 2, the first is b, in train and in test"):
        check_same_split(one, split_of(["a", "c"], ["b"]), IDS)
    with pytest.raises(RecordError, match="statements in other parts: 1, the first is c, in test and in none"):
        check_same_split(one, split_of(["a", "b"], []), IDS)
    with pytest.raises(RecordError, match=r"first and second were trained on different splits \(their texts or gold labels"):
        check_same_split(one, split_of(["a", "b"], ["c"], "other"), IDS)
