"""Shares of a coverage: which rows there are, that they agree with the estimator, and when there is a reason instead."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from annotation.codebook import load_codebook
from models.evaluation import Evaluation
from models.prevalence import Group, Question, Sample, cluster_totals, estimate, totals
from pipelines.audit_sample import AuditSample
from pipelines.coverage import Coverage
from pipelines.labels import Labels
from pipelines.shares import (
    CONFUSION,
    DIFFERENCE_COLUMNS,
    NO_AUDIT,
    NO_CONCERNS,
    PPI,
    SHARE_COLUMNS,
    TOO_FEW,
    TOO_RARE,
    estimate_shares,
)

CODEBOOK = load_codebook()
STANCES, CONCERNS = CODEBOOK.stance_ids, CODEBOOK.concern_ids
TRUE = np.array([0.35, 0.3, 0.1, 0.25])


def coverage(n=600, *, seed=0, columns=(), abstain=0.0):
    """Return a coverage of n opinions of three publishers and two quarters, and what is true of each."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, n, p=TRUE)
    logits = 2.5 * np.eye(4)[truth] + rng.normal(size=(n, 4)) + [0.8, 0, 0, 0]
    f = np.exp(logits)
    f /= f.sum(1, keepdims=True)
    raised = rng.random((n, len(CONCERNS))) < np.r_[0.4, 0.3, np.full(len(CONCERNS) - 2, 0.02)]
    g = np.clip(raised * 0.6 + 0.2 * rng.random(raised.shape), 0, 1)
    frame = pd.DataFrame(
        {f"stance_{s}": f[:, i] for i, s in enumerate(STANCES)} | {f"concern_{c}": g[:, i] for i, c in enumerate(CONCERNS)}
    )
    away = rng.random(n) < abstain
    frame["stance"] = pd.Series(np.where(away, None, np.array(STANCES, dtype=object)[f.argmax(1)]), dtype=object)
    frame["abstained"] = away
    frame["concerns"] = [[c for c, yes in zip(CONCERNS, row > 0.5, strict=True) if yes] for row in g]
    frame["id"] = [f"s{i}" for i in range(n)]
    frame["document_id"] = [f"d{i // 2}" for i in range(n)]
    frame["cluster"] = np.arange(n) // 2
    frame["opinion"], frame["first"], frame["copies"] = np.arange(n), True, rng.integers(1, 4, n)
    frame["publisher"] = np.array(["A", "B", "C"], dtype=object)[np.minimum(np.arange(n) // (n // 2 - 4), 2)]
    for empty in ("resolved", "resolved_type", "kind", "country"):
        frame[empty] = pd.Series([None] * n, dtype=object)
    frame["month"] = np.array(["2024-07", "2024-10"], dtype=object)[truth % 2]
    frame["quarter"] = np.array(["2024-Q3", "2024-Q4"], dtype=object)[truth % 2]
    for name in columns:
        frame[name] = np.array(["x", "y"], dtype=object)[np.arange(n) % 2]
    return Coverage(frame, Labels(frame, CODEBOOK, {}), tuple(columns), pd.DataFrame()), truth, raised


def audit(truth, raised, ids, probability):
    """Return the audit sample of these statements."""
    return AuditSample(
        pd.DataFrame(
            {
                "id": [f"s{i}" for i in ids],
                "stance": [STANCES[truth[i]] for i in ids],
                "concerns": [[c for c, yes in zip(CONCERNS, raised[i], strict=True) if yes] for i in ids],
                "stratum": "all",
                "inclusion_probability": probability,
            }
        ),
        "a test",
    )


@pytest.fixture(scope="module")
def estimated():
    """Return a coverage, the places of its gold, truth, concerns, and its shares."""
    given, truth, raised = coverage()
    ids = np.sort(np.random.default_rng(1).choice(600, 200, replace=False))
    return given, ids, truth, raised, estimate_shares(given, audit(truth, raised, ids, 1 / 3))


def rows(table, **wanted):
    """Return the rows with these values."""
    for name, value in wanted.items():
        table = table[table[name].isna() if value is None else table[name] == value]
    return table


def test_tables_have_the_columns_that_they_promise(estimated):
    shares = estimated[-1]
    for table in (shares.shares, shares.trend, shares.concerns):
        assert tuple(table.columns) == SHARE_COLUMNS
    assert tuple(shares.differences.columns) == DIFFERENCE_COLUMNS
    assert set(shares.shares["measure"]) == {"stance", "position"}
    assert set(shares.concerns["measure"]) == {"concern", "concern_given_stance"}
    assert set(shares.trend["dimension"]) == {"month", "quarter"}
    assert set(shares.shares["dimension"]) == {"overall", "publisher"}  # what is unknown throughout is left out


def test_the_overall_share_is_the_estimators(estimated):
    given, ids, truth, _, shares = estimated
    frame = given.frame
    x = np.c_[np.ones(600), frame[[f"stance_{s}" for s in STANCES]].to_numpy()]
    cluster = frame["cluster"].to_numpy()
    numbers, of = np.unique(cluster[ids], return_inverse=True)
    sample = Sample(
        x[ids], np.c_[np.ones(200), np.eye(4)[truth[ids]]], np.full(200, 3.0), np.ones(200), of, np.zeros(200, dtype=int)
    )
    group = Group(
        totals(x, np.ones(600), cluster), np.ones(200, dtype=bool), cluster_totals(x, np.ones(600), cluster)[numbers]
    )
    known = estimate(group, sample, Question((1, 2, 3, 4), exclusive=True))
    found = rows(shares.shares, dimension="overall", counting="opinions", measure="stance")
    assert list(found["label"]) == list(STANCES)
    assert found["share"].to_numpy() == pytest.approx(known.share)
    assert found["low"].to_numpy() == pytest.approx(known.low)
    assert found["high"].to_numpy() == pytest.approx(known.high)
    assert found["lambda"].to_numpy() == pytest.approx(known.lambda_)
    assert set(found["method"]) == {PPI}
    assert found["reason"].isna().all()


def test_shares_of_stances_and_of_positions_sum_to_one(estimated):
    shares = estimated[-1].shares
    shown = shares[shares["share"].notna()]
    for _, part in shown.groupby(["dimension", "group", "counting", "measure"]):
        whole = rows(shares, **{k: part.iloc[0][k] for k in ("dimension", "group", "counting", "measure")})
        if len(part) == len(whole):
            assert part["share"].sum() == pytest.approx(1)
        assert whole["expected"].sum() == pytest.approx(1)
        assert whole["uncorrected"].sum() == pytest.approx(1)


def test_the_uncorrected_count_is_a_count_of_decisions_and_expected_a_mean_of_probabilities(estimated):
    given, *_, shares = estimated
    frame = given.frame
    row = rows(shares.shares, dimension="publisher", group="A", counting="opinions", measure="stance").iloc[1]
    there = frame[frame["publisher"] == "A"]
    assert row["uncorrected"] == pytest.approx((there["stance"] == STANCES[1]).mean())
    assert row["expected"] == pytest.approx(there[f"stance_{STANCES[1]}"].mean())
    assert (row["units"], row["documents"]) == (len(there), there["document_id"].nunique())
    weighted = rows(shares.shares, dimension="publisher", group="A", counting="statements", measure="stance").iloc[1]
    assert weighted["units"] == there["copies"].sum()
    assert weighted["expected"] == pytest.approx(np.average(there[f"stance_{STANCES[1]}"], weights=there["copies"]))
    concern = rows(
        shares.concerns, group="A", counting="opinions", measure="concern_given_stance", given=STANCES[0], label=CONCERNS[0]
    ).iloc[0]
    held = there[there["stance"] == STANCES[0]]
    assert concern["uncorrected"] == pytest.approx(held["concerns"].map(lambda c: CONCERNS[0] in c).mean())


def test_a_small_group_has_a_reason_and_a_tiny_one_no_row(estimated):
    shares = estimated[-1]
    assert set(shares.shares["group"]) == {"all", "A", "B"}  # C has eight statements
    assert any("publisher: 1 group" in note for note in shares.notes)
    given, truth, raised = coverage()
    few = estimate_shares(given, audit(truth, raised, np.arange(0, 600, 15), 1 / 15))
    found = rows(few.shares, dimension="publisher", group="A")
    assert set(found["reason"]) == {TOO_FEW}
    assert found[["share", "low", "high", "gold_share", "design_share", "lambda"]].isna().all(axis=None)
    assert found["uncorrected"].notna().all()


def test_a_rare_label_is_refused_by_what_is_predicted_and_not_by_what_gold_shows():
    given, truth, raised = coverage()
    ids = np.arange(0, 600, 6)
    raised[:] = False
    raised[:, 0] = True
    found = rows(estimate_shares(given, audit(truth, raised, ids, 1 / 6)).concerns, dimension="overall", measure="concern")
    column = [f"concern_{c}" for c in CONCERNS]
    expected = 100 * given.frame[column].mean()
    for row in found[found["counting"] == "opinions"].itertuples():
        assert (row.reason == TOO_RARE) == (expected[f"concern_{row.label}"] < 5), row
    rare = found[found["label"] == CONCERNS[1]].iloc[0]
    assert rare["reason"] is None  # though gold shows no case of it
    assert rare["share"] < 0.1 < rare["expected"]


def test_groups_are_compared_with_the_rest_and_periods_with_the_one_before(estimated):
    differences = estimated[-1].differences
    assert rows(differences, dimension="overall").empty
    assert rows(differences, dimension="publisher")["other"].isna().all()
    assert set(rows(differences, dimension="month")["other"]) == {"2024-07"}
    assert set(rows(differences, dimension="month")["group"]) == {"2024-10"}
    shown = differences[differences["reason"].isna()]
    assert (shown["low"] <= shown["difference"]).all()
    assert (shown["difference"] <= shown["high"]).all()
    assert (shown["p_holm"] >= shown["p"]).all()
    share = estimated[-1].trend
    row = rows(differences, dimension="month", counting="opinions", measure="stance", label=STANCES[1]).iloc[0]
    month = {
        g: rows(share, group=g, counting="opinions", measure="stance", label=STANCES[1]).iloc[0]
        for g in row[["group", "other"]]
    }
    assert row["difference"] == pytest.approx(month["2024-10"]["share"] - month["2024-07"]["share"])
    assert row["p_holm"] < 0.001  # months were made of the true stances


def test_the_rest_is_what_an_estimate_without_the_group_says():
    """With two groups, the rest of one is the other: the difference is that of their shares, and symmetrical."""
    given, truth, raised = coverage(columns=("side",))
    shares = estimate_shares(given, audit(truth, raised, np.arange(0, 600, 3), 1 / 3), by=["side"])
    assert set(shares.shares["dimension"]) == {"side"}
    x, y = (rows(shares.shares, group=g, counting="opinions", measure="stance")["share"].to_numpy() for g in "xy")
    there, back = (rows(shares.differences, group=g, counting="opinions", measure="stance") for g in "xy")
    assert there["difference"].to_numpy() == pytest.approx(x - y)
    assert back["low"].to_numpy() == pytest.approx(-there["high"].to_numpy())
    assert back["p"].to_numpy() == pytest.approx(there["p"].to_numpy())


def test_one_counting_can_be_asked_for_and_is_the_same(estimated):
    given, ids, truth, raised, both = estimated
    one = estimate_shares(given, audit(truth, raised, ids, 1 / 3), counting="statements")
    assert set(one.shares["counting"]) == {"statements"}
    pd.testing.assert_frame_equal(one.shares, rows(both.shares, counting="statements").reset_index(drop=True))


def test_abstained_statements_count_by_their_probabilities_and_not_as_decisions():
    given, truth, raised = coverage(abstain=0.4)
    shares = estimate_shares(given, audit(truth, raised, np.arange(0, 600, 3), 1 / 3))
    found = rows(shares.shares, dimension="overall", counting="opinions", measure="stance")
    frame = given.frame
    assert (found["abstained"] == frame["abstained"].sum()).all()
    assert found["uncorrected"].to_numpy() == pytest.approx(
        [(frame.loc[~frame["abstained"], "stance"] == s).mean() for s in STANCES]
    )
    whole, *_ = coverage()
    other = estimate_shares(whole, audit(truth, raised, np.arange(0, 600, 3), 1 / 3))
    assert len(other.shares) == len(shares.shares)
    everything = coverage(abstain=1.1)[0]
    none = rows(estimate_shares(everything).shares, dimension="overall", measure="stance")
    assert none["uncorrected"].isna().all()
    assert none["expected"].notna().all()


def test_without_audit_and_evaluation_there_is_no_estimate_and_a_reason():
    shares = estimate_shares(coverage()[0])
    for table in (shares.shares, shares.trend, shares.concerns):
        assert set(table["reason"]) == {NO_AUDIT}
        assert table[["share", "low", "high"]].isna().all(axis=None)
    assert shares.differences.empty
    assert any("no estimate" in note for note in shares.notes)


def evaluation(confusion, stances=STANCES):
    """Return an evaluation with that confusion matrix and nothing else."""
    return Evaluation(
        part="test", model_id="m", codebook_id=CODEBOOK.id, statements=1, documents=1, doubly_annotated=0, bootstrap={},
        metrics=(), stances=tuple(stances), confusion=tuple(tuple(int(v) for v in row) for row in confusion),
    )  # fmt: skip


def test_with_an_evaluation_alone_stances_are_corrected_and_concerns_refused():
    given, truth, _ = coverage(2000)
    decided = given.frame[[f"stance_{s}" for s in STANCES]].to_numpy().argmax(1)
    confusion = np.zeros((4, 4))
    np.add.at(confusion, (truth, decided), 1)
    shares = estimate_shares(given, None, evaluation(confusion), by=["overall", "publisher"])
    found = rows(shares.shares, dimension="overall", counting="opinions", measure="stance")
    assert set(found["method"]) == {CONFUSION}
    assert found["share"].to_numpy() == pytest.approx(np.bincount(truth) / 2000)
    position = rows(shares.shares, dimension="overall", counting="opinions", measure="position")
    assert position["share"].sum() == pytest.approx(1)
    assert position["low"].notna().all()
    assert set(shares.concerns["reason"]) == {NO_CONCERNS}
    assert any("assumes" in note for note in shares.notes)
    again = estimate_shares(given, None, evaluation(confusion), by=["overall", "publisher"])
    pd.testing.assert_frame_equal(again.shares, shares.shares)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (evaluation(np.full((4, 4), 30)), "hardly tells"),
        (evaluation(np.eye(4) * 3), "too few cases"),
        (evaluation(np.eye(2) * 50, ("a", "b")), "other stances"),
        (evaluation(()), "no confusion matrix"),
    ],
)
def test_an_evaluation_that_says_little_gives_its_reason(given, reason):
    found = estimate_shares(coverage(100)[0], None, given)
    assert found.shares["reason"].str.contains(reason).all()
    assert found.shares["share"].isna().all()


def test_an_audit_sample_is_taken_rather_than_an_evaluation(estimated):
    given, ids, truth, raised, shares = estimated
    found = estimate_shares(given, audit(truth, raised, ids, 1 / 3), evaluation(np.eye(4) * 50))
    pd.testing.assert_frame_equal(found.shares, shares.shares)


def test_audited_statements_that_are_not_among_the_labels_are_counted_in_a_note():
    given, truth, raised = coverage()
    sample = audit(truth, raised, np.arange(0, 600, 3), 1 / 3)
    sample.frame.loc[0, "id"] = "elsewhere"
    assert any(note.startswith("1 audited statement") for note in estimate_shares(given, sample).notes)


def test_copies_are_no_units_of_their_own():
    given, truth, raised = coverage()
    frame = given.frame
    more = frame.iloc[:50].copy()
    more["id"], more["first"] = [f"copy{i}" for i in range(50)], False
    longer = pd.concat([frame, more], ignore_index=True)
    sample = audit(truth, raised, np.arange(0, 600, 3), 1 / 3)
    a = estimate_shares(given, sample, by=["overall"])
    b = estimate_shares(Coverage(longer, Labels(longer, CODEBOOK, {}), (), pd.DataFrame()), sample, by=["overall"])
    pd.testing.assert_frame_equal(a.shares, b.shares)


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_statement_gives_tables_without_estimates(n):
    given, *_ = coverage(100)
    frame = given.frame.iloc[:n].reset_index(drop=True)
    found = estimate_shares(Coverage(frame, Labels(frame, CODEBOOK, {}), (), pd.DataFrame()))
    assert tuple(found.shares.columns) == SHARE_COLUMNS
    assert len(rows(found.shares, measure="stance")) == 2 * 4 * n  # overall, both countings
    assert found.shares["share"].isna().all()
