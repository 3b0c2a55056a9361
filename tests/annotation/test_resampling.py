"""Intervals by resampling documents cover what they should, and are honest where they cannot be had."""

import numpy as np
import pytest

from annotation.agreement import Figure
from annotation.resampling import Blocks, Resampling


def mean(sums: Blocks) -> dict[str, np.ndarray]:
    with np.errstate(invalid="ignore"):
        return {"mean": sums["sum"] / sums["n"]}


def counts(values: np.ndarray) -> dict[str, np.ndarray]:
    return {"sum": values[:, None].astype(float), "n": np.ones((len(values), 1))}


def test_nineteen_in_twenty_intervals_hold_the_truth_where_documents_are_clusters():
    rng = np.random.default_rng(11)
    held = 0
    for i in range(400):
        chances = rng.beta(6, 4, size=60)  # of 60 documents of four statements each; their mean is 0.6
        values = rng.random(240) < np.repeat(chances, 4)
        documents = [f"d{k // 4}" for k in range(240)]
        figure = Resampling(300, i).figures(counts(values), documents, mean, {})["mean"][0]
        assert figure.low is not None
        assert figure.high is not None
        held += figure.low <= 0.6 <= figure.high
    assert 0.91 <= held / 400 <= 0.98


def test_blocks_of_resamples_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch):
    values = np.arange(30.0)
    documents = [f"d{i % 7}" for i in range(30)]
    whole = Resampling(40, 3).figures(counts(values), documents, mean, {})
    monkeypatch.setattr("annotation.resampling._CELLS", 21)  # three resamples of seven documents at a time
    assert Resampling(40, 3).figures(counts(values), documents, mean, {}) == whole


def test_the_order_of_statements_does_not_matter():
    values = np.arange(30.0)
    documents = [f"d{i % 7}" for i in range(30)]
    back = Resampling(40, 3).figures(counts(values[::-1]), documents[::-1], mean, {})
    assert back["mean"][0].low == pytest.approx(
        Resampling(40, 3).figures(counts(values), documents, mean, {})["mean"][0].low
    )


def test_no_statement_one_document_and_no_resample_give_no_interval():
    empty = Resampling().figures(counts(np.zeros(0)), [], mean, {})
    assert empty["mean"] == [Figure(None, "no statement")]
    one = Resampling().figures(counts(np.array([1.0, 0.0])), ["d", "d"], mean, {})
    assert one["mean"] == [Figure(0.5)]
    none = Resampling(0).figures(counts(np.array([1.0, 0.0])), ["d", "e"], mean, {})
    assert none["mean"] == [Figure(0.5)]


def test_an_undefined_figure_says_why():
    zero = {"sum": np.zeros((2, 1)), "n": np.zeros((2, 1))}
    assert Resampling().figures(zero, ["d", "e"], mean, {"mean": "nothing to divide by"})["mean"] == [
        Figure(None, "nothing to divide by")
    ]
