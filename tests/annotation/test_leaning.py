"""Leaning and drift are counted by hand for a few statements, and found again where they were put."""

import numpy as np
import pytest

from annotation.agreement import Figure
from annotation.codebook import Codebook
from annotation.leaning import Lean, measure_drift, measure_leaning
from annotation.resampling import Resampling
from corpus import Annotation, RecordError

STANCES = {"y": "yes_please", "n": "no_thanks", "s": "silent"}
PLAIN = Resampling(resamples=0)


def rows(codebook: Codebook, **by_coder: str) -> list[Annotation]:
    """Readings from a string a coder: y, n, s, in capitals with the concern fish; a full stop where nothing was read."""
    return [
        Annotation(
            statement=f"s{i:03d}",
            annotator=coder,
            codebook_version=codebook.id,
            stance=STANCES[letter.lower()],
            concerns=("fish",) if letter.isupper() else (),
        )
        for coder, letters in by_coder.items()
        for i, letter in enumerate(letters)
        if letter != "."
    ]


def documents(readings: list[Annotation]) -> dict[str, str]:
    return {a.statement: a.statement for a in readings}


def lean(found: tuple[Lean, ...], coder: str, label: str) -> Lean:
    return next(x for x in found if (x.coder, x.label) == (coder, label))


def test_leaning_is_counted_on_shared_statements_against_the_mean_of_the_others(invented: Codebook):
    # Ann shares s000 to s003: with Ben all four, with Cas the first two.
    # yes_please: Ann 3 of 4; the others (1 + 0.5 + 0 + 0) / 4 = 0.375.
    readings = rows(invented, ann="yyynn", ben="ynns.", cas="yy...")
    found = measure_leaning(readings, documents(readings), invented, draw=PLAIN)
    ann = lean(found, "ann", "yes_please")
    assert ann.statements == 4
    assert (ann.own.value, ann.others.value, ann.difference.value) == (0.75, 0.375, 0.375)
    assert [x.label for x in found if x.coder == "ann"] == [*invented.stance_ids, *invented.concern_ids]


def test_concerns_lean_as_well(invented: Codebook):
    readings = rows(invented, ann="YYyn", ben="Yynn")
    fish = lean(measure_leaning(readings, documents(readings), invented, draw=PLAIN), "ann", "fish")
    assert (fish.question, fish.own.value, fish.others.value) == ("concerns", 0.5, 0.25)


def test_two_coders_lean_against_each_other_by_the_same_amount(invented: Codebook):
    readings = rows(invented, ann="yynsYnsy", ben="ynnsyysS")
    found = measure_leaning(readings, documents(readings), invented)
    for label in (*invented.stance_ids, *invented.concern_ids):
        one, other = lean(found, "ann", label).difference, lean(found, "ben", label).difference
        assert one.value == pytest.approx(-other.value)  # type: ignore[operator]
        assert (one.low, one.high) == (pytest.approx(-other.high), pytest.approx(-other.low))  # type: ignore[operator]


def test_a_coder_who_shares_nothing_has_no_leaning_and_a_reason(invented: Codebook):
    readings = rows(invented, ann="yy..", ben="..ny")
    found = measure_leaning(readings, documents(readings), invented)
    assert {(x.statements, x.difference) for x in found} == {(0, Figure(None, "no statement"))}


def test_a_leaning_that_was_put_in_is_found_and_others_are_not(invented: Codebook):
    rng = np.random.default_rng(2)
    truth = rng.choice(list("yns"), size=300)
    ann = "".join("y" if letter == "s" and rng.random() < 0.4 else letter for letter in truth)
    readings = rows(invented, ann=ann, ben="".join(truth), cas="".join(truth))
    found = measure_leaning(readings, documents(readings), invented)
    yes, no = lean(found, "ann", "yes_please").difference, lean(found, "ann", "no_thanks").difference
    assert yes.low is not None
    assert yes.low > 0.05
    assert no.value == 0


def moments(readings: list[Annotation], day: int = 2) -> dict[tuple[str, str], str]:
    """Every coder reads the statements in their order, one an hour from the day's start on."""
    return {
        (a.statement, a.annotator): f"2026-03-{day + i // 24:02d}T{i % 24:02d}:30:00+00:00"
        for a in readings
        for i in [int(a.statement[1:])]
    }


def test_drift_by_tenths_follows_each_coders_own_order(invented: Codebook):
    # Ann and Ben agree on the first ten of twenty statements and differ on the rest.
    readings = rows(invented, ann="y" * 10 + "n" * 10, ben="y" * 20)
    found = measure_drift(readings, documents(readings), invented, moments(readings))
    ann = [p for p in found if p.coder == "ann"]
    assert [p.period for p in ann] == [str(i) for i in range(1, 11)]
    assert [p.readings for p in ann] == [2] * 10
    assert [p.same.value for p in ann] == [1.0] * 5 + [0.0] * 5
    assert [p.differences[0].value for p in ann] == [0.0] * 5 + [-1.0] * 5
    back = {key: f"2026-03-0{9 - int(key[0][1:]) // 5}T00:00:00Z" for key in moments(readings)}
    turned = measure_drift(readings, documents(readings), invented, back)
    assert [p.same.value for p in turned if p.coder == "ann"] == [0.0] * 5 + [1.0] * 5


def test_fewer_than_ten_readings_fill_fewer_tenths_and_none_twice(invented: Codebook):
    readings = rows(invented, ann="yyy", ben="yyy")
    found = measure_drift(readings, documents(readings), invented, moments(readings))
    assert [p.period for p in found if p.coder == "ann"] == ["1", "4", "7"]


def test_drift_by_weeks_uses_the_weeks_of_utc(invented: Codebook):
    readings = rows(invented, ann="yy", ben="yy")
    times = {
        ("s000", "ann"): "2026-03-02T00:30:00+02:00",  # still Sunday in UTC
        ("s001", "ann"): "2026-03-02T00:30:00Z",
        ("s000", "ben"): "2026-03-02T00:30:00",
        ("s001", "ben"): "2026-03-09T00:00:00Z",
    }
    found = measure_drift(readings, documents(readings), invented, times, by="weeks")
    assert [(p.coder, p.period) for p in found] == [
        ("ann", "2026-W09"), ("ann", "2026-W10"), ("ben", "2026-W10"), ("ben", "2026-W11"),
    ]  # fmt: skip


def test_a_stretch_without_shared_statements_says_so(invented: Codebook):
    readings = rows(invented, ann="yyyyyyyyyy", ben="y.........")
    found = measure_drift(readings, documents(readings), invented, moments(readings))
    assert [p.same for p in found if p.coder == "ann"][1:] == [Figure(None, "no statement")] * 9


@pytest.mark.parametrize("moment", [None, "yesterday"])
def test_a_reading_without_a_moment_is_refused_by_name(invented: Codebook, moment: str | None):
    readings = rows(invented, ann="yy", ben="yy")
    times = moments(readings)
    if moment is None:
        del times["s001", "ben"]
    else:
        times["s001", "ben"] = moment
    with pytest.raises(RecordError, match=r"statement s001: .* by ben in ISO 8601, found (none|yesterday)"):
        measure_drift(readings, documents(readings), invented, times)
