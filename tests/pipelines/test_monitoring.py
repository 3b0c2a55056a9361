"""Two runs compared: what is new, what changed, and what is withdrawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from annotation.codebook import Codebook
from corpus.errors import CodebookError
from models.evaluation import Evaluation
from pipelines.audit_sample import AuditSample
from pipelines.coverage import Coverage, read_coverage
from pipelines.labels import Labels
from pipelines.monitoring import Comparison, compare, withdraw, withdrawn_cells
from pipelines.share_changes import share_changes
from pipelines.shares import estimate_shares

pytestmark = pytest.mark.slow  # shuffles and resamples

WORDS = [f"word{i}" for i in range(200)]
EACH = 4


class World:
    """Invented coverage of one codebook: documents with predictions, and the truth about each statement."""

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook
        self.truth: dict[str, str] = {}

    def rows(
        self, documents: Sequence[int], *, month: str = "2025-01", wrong: float = 0.15, words: Sequence[str] = WORDS,
        mix: Sequence[float] = (0.3, 0.3, 0.4),
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return labelled statements of these documents; ``wrong`` is how often the model misses the first stance."""
        k = len(self.codebook.stances)
        out = []
        for d in documents:
            rng = np.random.default_rng(d)
            for i in range(EACH):
                name = f"s{d}-{i}"
                truth = int(rng.choice(k, p=mix))
                seen = int(rng.integers(1, k)) if truth == 0 and rng.random() < wrong else truth
                p = np.full(k, 0.1)
                p[seen] = 1 - 0.1 * (k - 1)
                self.truth[name] = self.codebook.stance_ids[truth]
                text = " ".join(rng.choice(words, size=rng.integers(9, 20)))
                out.append(self._row(name, f"d{d}", f"{text}.", month, seen, p))
        return out

    def _row(self, name: str, document: str, text: str, month: str, seen: int, p: np.ndarray) -> dict[str, Any]:
        return {
            "id": name, "document_id": document, "start": 0, "end": len(text), "text": text, "title": None,
            "published": f"{month}-03", "publisher": f"Gazette {int(document[1:]) % 2}", "url": None, "holder": None,
            "holder_name": None, "holder_type": "town", "voice": None, "stance": self.codebook.stance_ids[seen],
            **{f"stance_{s}": p[i] for i, s in enumerate(self.codebook.stance_ids)},
            "concerns": [], **{f"concern_{c}": 0.1 for c in self.codebook.concern_ids},
            "abstained": False, "confidence": float(p.max()), "model_id": "m", "codebook_version": self.codebook.id,
            "status": "ok", "reason": None,
        }  # fmt: skip

    def coverage(self, rows: Sequence[dict[str, Any]], *, model: str = "m") -> Coverage:
        frame = pd.DataFrame(list(rows))
        labels = Labels(frame, self.codebook, {"model_id": model, "codebook_id": self.codebook.id})
        return read_coverage(labels)

    def audit(self, rows: Sequence[dict[str, Any]], probability: float = 0.5, *, seed: int = 0) -> AuditSample:
        """Draw documents' statements and look up the truth."""
        rng = np.random.default_rng(seed)
        drawn = [row["id"] for row in rows if rng.random() < probability]
        return AuditSample(
            pd.DataFrame(
                {
                    "id": drawn,
                    "stance": [self.truth[i] for i in drawn],
                    "concerns": pd.Series([[] for _ in drawn], dtype=object),
                    "stratum": "all",
                    "inclusion_probability": probability,
                }
            ),
            "a test",
        )


@pytest.fixture
def world(bypass: Codebook) -> World:
    return World(bypass)


def stances(comparison: Comparison) -> pd.DataFrame:
    return comparison.table[comparison.table["measure"] == "stance"].set_index("label")


def test_a_run_compared_with_itself_has_nothing_new_and_no_difference(world: World) -> None:
    rows = world.rows(range(60))
    coverage, audit = world.coverage(rows), world.audit(rows)
    found = compare(coverage, coverage, old_audit=audit, new_audit=audit)
    table = stances(found)
    assert table["difference"].tolist() == [0, 0, 0]
    assert table["p"].tolist() == [1, 1, 1]
    assert found.counts["statements"] == {
        "old": 240, "new": 240, "both": 240, "added": 0, "gone": 0, "stance_changed": 0, "concerns_changed": 0,
    }  # fmt: skip
    assert found.drift.empty
    assert found.withdrawn == ()
    assert len(found.notes) == 1


def test_shares_are_those_of_the_report_and_differences_are_theirs(world: World) -> None:
    first, second = world.rows(range(60)), world.rows(range(60, 120))
    old, new = world.coverage(first), world.coverage([*first, *second])
    old_audit, new_audit = world.audit(first), world.audit([*first, *second], seed=1)
    table = compare(old, new, old_audit=old_audit, new_audit=new_audit).table
    for side, coverage, audit in (("old", old, old_audit), ("new", new, new_audit)):
        shares = estimate_shares(coverage, audit, counting="opinions", by=("overall",)).shares
        expected = shares[shares["measure"] == "stance"].set_index("label")["share"]
        assert table[table["measure"] == "stance"].set_index("label")[f"{side}_share"].to_dict() == expected.to_dict()
    sound = table[table["reason"].isna()]
    assert (sound["difference"] - (sound["new_share"] - sound["old_share"])).abs().max() < 1e-9
    assert ((sound["low"] <= sound["difference"]) & (sound["difference"] <= sound["high"])).all()


def test_what_both_runs_have_makes_the_difference_more_certain(world: World) -> None:
    first, more = world.rows(range(100)), world.rows(range(100, 120))
    apart = world.rows(range(200, 320))
    old, audit = world.coverage(first), world.audit([*first, *more, *apart], 0.9)
    grown, other = world.coverage([*first, *more]), world.coverage(apart)
    tables = [stances(compare(old, new, old_audit=audit, new_audit=audit)) for new in (grown, other)]
    widths = [table["high"] - table["low"] for table in tables]
    assert (widths[0] < 0.6 * widths[1]).all()


def test_a_change_of_opinion_is_a_difference_and_not_withdrawn_where_new_gold_speaks(world: World) -> None:
    first, second = world.rows(range(80)), world.rows(range(80, 160), mix=(0.7, 0.1, 0.2))
    old, new = world.coverage(first), world.coverage(second)
    found = compare(old, new, old_audit=world.audit(first), new_audit=world.audit(second))
    table = stances(found)
    assert table.loc["welcome", "low"] > 0.15
    assert table.loc["welcome", "p_holm"] < 0.01
    assert found.drift.set_index("measure").loc["predicted stances", "verdict"] == "drift"
    assert found.withdrawn == ()


def test_shares_that_rest_on_old_gold_alone_are_withdrawn_when_the_input_has_drifted(world: World) -> None:
    first = world.rows(range(60))
    second = world.rows(range(60, 120), words=[f"other{i}" for i in range(200)])
    audit = world.audit(first)
    found = compare(world.coverage(first), world.coverage([*first, *second]), old_audit=audit, new_audit=audit)
    table = found.table
    assert table["new_share"].isna().all()
    assert table[["new_low", "new_high", "difference", "low", "high", "p", "p_holm"]].isna().all(axis=None)
    assert set(table["reason"]) == {"the input has drifted and no gold label is newer"}
    assert stances(found)["old_share"].notna().all()
    assert set(found.stale) == {"stance", "position", "concern", "concern_given_stance"}
    assert len(found.withdrawn) == 1
    assert any("vocabulary" in note for note in found.notes)


def test_without_drift_old_gold_goes_on_speaking(world: World) -> None:
    first, second = world.rows(range(60)), world.rows(range(60, 120))
    audit = world.audit(first)
    found = compare(world.coverage(first), world.coverage([*first, *second]), old_audit=audit, new_audit=audit)
    assert found.withdrawn == ()
    assert stances(found)["new_share"].notna().all()
    assert any("cannot be told" in note for note in found.notes)


def test_a_drift_of_the_error_is_found_and_each_part_keeps_its_own_gold(world: World) -> None:
    first, second = world.rows(range(100), wrong=0.05), world.rows(range(100, 200), wrong=0.8)
    old, new = world.coverage(first), world.coverage([*first, *second])
    found = compare(old, new, old_audit=world.audit(first), new_audit=world.audit(second))
    verdicts = found.drift.set_index("measure")["verdict"]
    assert verdicts["error of welcome"] == "drift"
    assert found.audit is not None
    assert set(found.audit.frame["stratum"]) == {"new: all", "old: all"}
    table = stances(found)
    truth = np.mean([world.truth[row["id"]] == "welcome" for row in [*first, *second]])
    assert table.loc["welcome", "new_low"] < truth < table.loc["welcome", "new_high"]


def test_new_gold_does_not_speak_for_old_statements_when_the_error_has_drifted(world: World) -> None:
    first, second = world.rows(range(100), wrong=0.05), world.rows(range(100, 200), wrong=0.8)
    before = world.rows(range(300, 400), wrong=0.05)  # what the old audit sample is of is gone
    old, new = world.coverage([*before, *first]), world.coverage([*first, *second])
    found = compare(old, new, old_audit=world.audit(before), new_audit=world.audit(second))
    assert stances(found)["new_share"].isna().all()
    assert "no gold of the others" in found.stale["stance"]


def test_few_new_gold_labels_do_not_save_a_share(world: World) -> None:
    first = world.rows(range(60))
    second = world.rows(range(60, 120), words=[f"other{i}" for i in range(200)])
    audit = world.audit(first)
    few = replace(audit, frame=pd.concat([audit.frame, world.audit(second).frame.head(5)], ignore_index=True))
    found = compare(world.coverage(first), world.coverage([*first, *second]), old_audit=audit, new_audit=few)
    assert found.stale["stance"] == "the input has drifted and only 5 gold labels are newer"


def test_few_new_gold_labels_will_do_where_the_sample_was_drawn_from_new_statements_too(world: World) -> None:
    """Twelve new documents among many: a sample of the whole has a handful of labels there, as it should."""
    first = world.rows(range(100))
    second = world.rows(range(100, 112), words=[f"other{i}" for i in range(200)])
    audit = world.audit([*first, *second], 0.3)
    fresh = set(audit.frame["id"]) & {row["id"] for row in second}
    found = compare(world.coverage(first), world.coverage([*first, *second]), old_audit=audit, new_audit=audit)
    assert 0 < len(fresh) < 20
    assert "drift" in set(found.drift["verdict"])
    assert found.withdrawn == ()
    assert stances(found)["new_share"].notna().all()


def test_statements_that_came_went_and_changed_are_counted(world: World) -> None:
    rows = world.rows(range(10))
    changed = [dict(row) for row in rows[4:]] + world.rows([77])
    changed[0] |= {"stance": "refuse" if changed[0]["stance"] != "refuse" else "silent"}
    changed[1] |= {"concerns": ["cost"]}
    changed[2] |= {"abstained": True, "stance": None}
    found = compare(world.coverage(rows), world.coverage(changed))
    assert found.counts["statements"] == {
        "old": 40, "new": 40, "both": 36, "added": 4, "gone": 4, "stance_changed": 2, "concerns_changed": 1,
    }  # fmt: skip
    assert found.counts["documents"] == {"old": 10, "new": 10, "both": 9, "added": 1, "gone": 1}
    assert found.counts["opinions"] == {"old": 40, "new": 40, "both": 36, "added": 4, "gone": 4}


def test_a_new_copy_of_an_old_statement_is_no_new_opinion(world: World) -> None:
    rows = world.rows(range(3))
    copy = rows[0] | {"id": "copy", "document_id": "d900", "published": "2025-06-01"}
    found = compare(world.coverage(rows), world.coverage([*rows, copy]))
    assert found.counts["statements"]["added"] == 1
    assert found.counts["opinions"]["added"] == 0
    assert found.drift.empty


def test_an_id_that_stands_twice_is_matched_by_its_turn(world: World) -> None:
    rows = world.rows([1])
    twice = [*rows, rows[0] | {"text": "Something else entirely."}]
    counts = compare(world.coverage(twice), world.coverage(rows)).counts
    assert (counts["statements"]["both"], counts["statements"]["gone"]) == (4, 1)


def test_two_codebooks_are_refused_with_one_sentence(world: World, bypass: Codebook) -> None:
    other = msgspec.structs.replace(bypass, version=bypass.version + 1)
    rows = world.rows([1])
    with pytest.raises(CodebookError, match="expected two runs over one codebook") as refused:
        compare(world.coverage(rows), World(other).coverage(rows))
    assert bypass.id in str(refused.value)
    assert other.id in str(refused.value)


def test_two_models_are_compared_and_named(world: World) -> None:
    rows = world.rows(range(30))
    found = compare(world.coverage(rows), world.coverage([*rows, *world.rows(range(30, 60))], model="n"))
    assert "two models" in found.notes[0]
    assert "predicted stances" not in set(found.drift["measure"])


def test_without_gold_there_are_no_shares_and_nothing_to_withdraw(world: World) -> None:
    rows = world.rows(range(20))
    found = compare(world.coverage(rows), world.coverage(world.rows(range(20, 40), words=["a", "b", "c"])))
    assert set(found.table["reason"]) == {"no audit sample"}
    assert found.withdrawn == ()
    assert "drift" in set(found.drift["verdict"])


def test_the_whole_comparison_is_the_same_for_the_same_seed(world: World) -> None:
    rows, more = world.rows(range(30)), world.rows(range(30, 60))
    audit = world.audit([*rows, *more])
    old, new = world.coverage(rows), world.coverage([*rows, *more])
    one, two = (compare(old, new, old_audit=audit, new_audit=audit, seed=4) for _ in range(2))
    pd.testing.assert_frame_equal(one.drift, two.drift)
    pd.testing.assert_frame_equal(one.table, two.table)


def test_cells_are_withdrawn_where_their_group_has_new_statements(world: World) -> None:
    first = world.rows(range(80))
    second = world.rows(range(80, 160), words=[f"other{i}" for i in range(200)], month="2025-02")
    audit = world.audit(first)
    new = world.coverage([*first, *second])
    found = compare(world.coverage(first), new, old_audit=audit, new_audit=audit)
    shares = estimate_shares(new, audit, counting="opinions")
    trend = withdraw(shares.trend, withdrawn_cells(found, shares.trend), found.stale)
    months = trend[(trend["dimension"] == "month") & (trend["measure"] == "stance")].groupby("group")
    assert months["share"].count().to_dict() == {"2025-01": 3, "2025-02": 0}
    assert set(trend.loc[trend["group"] == "2025-02", "reason"]) == set(found.stale.values())
    assert trend["uncorrected"].equals(shares.trend["uncorrected"])
    whole = withdraw(shares.shares, withdrawn_cells(found, shares.shares), found.stale)
    assert whole["share"].isna().all()
    assert whole["lambda"].isna().all()
    assert shares.shares["share"].notna().any()  # the table given is left as it is


def test_differences_are_withdrawn_with_the_groups_they_compare(world: World) -> None:
    found = replace(_nothing(), stale={"stance": "so"}, touched=frozenset({("month", "2025-02"), ("publisher", "A")}))
    table = pd.DataFrame(
        [
            {"dimension": "month", "group": "2025-01", "other": "2024-12", "measure": "stance"},
            {"dimension": "month", "group": "2025-03", "other": "2025-02", "measure": "stance"},
            {"dimension": "publisher", "group": "B", "other": None, "measure": "stance"},
            {"dimension": "month", "group": "2025-02", "other": "2025-01", "measure": "concern"},
        ]
    )
    assert withdrawn_cells(found, table).tolist() == [False, True, True, False]


def _nothing() -> Comparison:
    return Comparison(pd.DataFrame(), pd.DataFrame(), {}, (), ())


def test_withdrawing_nothing_changes_nothing() -> None:
    table = pd.DataFrame({"measure": ["stance"], "share": [0.5], "method": ["ppi"], "reason": [None]})
    pd.testing.assert_frame_equal(withdraw(table, pd.Series([False]), "why"), table)


def test_withdrawn_cells_keep_counts_and_get_the_reason() -> None:
    table = pd.DataFrame(
        {"measure": ["stance", "stance"], "share": [0.5, 0.4], "method": "ppi", "reason": [None, None], "units": 9}
    )
    out = withdraw(table, pd.Series([True, False]), "why")
    assert out["share"].isna().tolist() == [True, False]
    assert out["reason"].tolist() == ["why", None]
    assert out["method"].isna().tolist() == [True, False]
    assert out["units"].tolist() == [9, 9]


def test_runs_without_anything_in_common_are_compared_as_two_groups_of_one_coverage_are(world: World) -> None:
    """Each document is one outlet's, so that the two outlets share nothing; the report gives their difference as well."""
    rows = world.rows(range(160))
    audit = world.audit(rows)
    outlets = [[row for row in rows if row["publisher"] == name] for name in ("Gazette 0", "Gazette 1")]
    table = share_changes(world.coverage(outlets[0]), world.coverage(outlets[1]), audit, audit, None)
    expected = estimate_shares(world.coverage(rows), audit, counting="opinions", by=("publisher",)).differences
    expected = expected[(expected["group"] == "Gazette 1") & expected["reason"].isna()].set_index(["measure", "label"])
    found = table[table["given"].isna()].set_index(["measure", "label"]).loc[expected.index]
    assert len(expected) == 7
    for name in ("difference", "low", "high", "p"):
        np.testing.assert_allclose(found[name].to_numpy(dtype=float), expected[name].to_numpy(dtype=float), rtol=1e-6)


@pytest.mark.slow
def test_intervals_of_differences_hold_where_runs_overlap_and_have_audits_of_their_own(bypass: Codebook) -> None:
    """Two runs from one source, half of each in both: the true difference is nought, and nineteen of twenty hold it."""
    held = []
    for trial in range(80):
        world = World(bypass)
        start = 1000 * (trial + 1)
        first, second = world.rows(range(start, start + 60)), world.rows(range(start + 30, start + 90))
        audits = (world.audit(first, 0.4, seed=trial), world.audit(second, 0.4, seed=trial + 500))
        table = share_changes(world.coverage(first), world.coverage(second), *audits, None)
        row = table[(table["measure"] == "stance") & (table["label"] == "welcome")].iloc[0]
        held.append(row["low"] <= 0 <= row["high"])
    assert binom.ppf(0.001, len(held), 0.95) <= sum(held) <= binom.ppf(0.9999, len(held), 0.95)


def test_shares_from_a_confusion_matrix_are_compared_as_independent(world: World) -> None:
    first, second = world.rows(range(60)), world.rows(range(60, 120), mix=(0.6, 0.2, 0.2))
    evaluation = Evaluation(
        part="test", model_id="m", codebook_id=world.codebook.id, statements=300, documents=90, doubly_annotated=0,
        bootstrap={}, metrics=(), stances=world.codebook.stance_ids, confusion=((85, 7, 8), (0, 100, 0), (0, 0, 100)),
    )  # fmt: skip
    table = stances(compare(world.coverage(first), world.coverage(second), evaluation=evaluation))
    row = table.loc["welcome"]
    assert row["method"] == "confusion"
    assert row["difference"] == pytest.approx(row["new_share"] - row["old_share"])
    widths = [row[f"{side}_high"] - row[f"{side}_low"] for side in ("old", "new")]
    assert row["high"] - row["low"] == pytest.approx(np.hypot(*widths))
    assert row["p"] < 0.01


def test_a_confusion_matrix_does_not_speak_for_other_texts(world: World) -> None:
    first, second = world.rows(range(60)), world.rows(range(60, 120), words=[f"other{i}" for i in range(200)])
    evaluation = Evaluation(
        part="test", model_id="m", codebook_id=world.codebook.id, statements=300, documents=90, doubly_annotated=0,
        bootstrap={}, metrics=(), stances=world.codebook.stance_ids, confusion=((85, 7, 8), (0, 100, 0), (0, 0, 100)),
    )  # fmt: skip
    found = compare(world.coverage(first), world.coverage([*first, *second]), evaluation=evaluation)
    assert stances(found)["new_share"].isna().all()
    assert stances(found)["old_share"].notna().all()
