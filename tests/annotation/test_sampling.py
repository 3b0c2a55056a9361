"""Sampling: realised frequencies against recorded probabilities, and values worked out by hand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chisquare

from annotation import sampling
from annotation.sampling import UNKNOWN, Candidate, allocate, deal, draw_audit, draw_statements, with_room
from corpus.errors import RecordError, UsageError

DRAWS = 2000
ERROR = 0.001  # chance that a sound sampler is called unsound, over all statements of a test


def _frame(sizes: Mapping[str, int]) -> list[Candidate]:
    """So many statements of each publisher, three to a document."""
    return [
        Candidate(f"{publisher}{i // 3}:{i}-{i + 1}", f"{publisher}{i // 3}", {"publisher": publisher})
        for publisher, size in sizes.items()
        for i in range(size)
    ]


def _off(counts: Mapping[str, int], probabilities: Mapping[str, float]) -> list[str]:
    """The names whose count over DRAWS draws is too far from its probability, by an exact binomial test with Bonferroni."""
    each = ERROR / len(probabilities) / 2
    return [
        name
        for name, p in probabilities.items()
        if min(binom.cdf(counts[name], DRAWS, p), binom.sf(counts[name] - 1, DRAWS, p)) < each
    ]


def test_over_many_draws_an_audit_sample_has_each_statement_as_often_as_it_says() -> None:
    frame = _frame({"gazette": 40})
    draws = [draw_audit(frame, n=7, seed=seed) for seed in range(DRAWS)]
    assert {(len(d), stratum, p) for d in draws for _, stratum, p in d} == {(7, "all", 7 / 40)}
    counts = Counter(statement for d in draws for statement, _, _ in d)
    assert _off(counts, {c.statement: 7 / 40 for c in frame}) == []


def test_over_many_stratified_draws_each_statement_is_drawn_as_often_as_it_says() -> None:
    frame = _frame({"gazette": 24, "herald": 9, "post": 3, "echo": 1})
    recorded: dict[str, float] = {}
    counts: Counter[str] = Counter()
    for seed in range(DRAWS):
        for statement, stratum, probability in draw_audit(frame, n=12, seed=seed, by="publisher"):
            assert statement.startswith(stratum)
            assert recorded.setdefault(statement, probability) == probability
            counts[statement] += 1
    assert recorded == {
        c.statement: {"gazette": 7 / 24, "herald": 2 / 9, "post": 2 / 3, "echo": 1.0}[c.traits["publisher"]] for c in frame
    }
    assert _off(counts, recorded) == []
    # The same counts would give away a sample that ignores its strata.
    unlike = {c.statement for c in frame if c.traits["publisher"] != "gazette"}
    assert unlike <= set(_off(counts, {c.statement: 12 / 37 for c in frame}))


def test_over_many_draws_each_pair_of_statements_is_drawn_as_often_as_without_replacement() -> None:
    frame = _frame({"gazette": 12})
    counts: Counter[str] = Counter()
    for seed in range(DRAWS):
        drawn = [statement for statement, _, _ in draw_audit(frame, n=4, seed=seed)]
        counts.update(f"{a} {b}" for a in drawn for b in drawn if a < b)
    names = sorted(c.statement for c in frame)
    assert _off(counts, {f"{a} {b}": 4 * 3 / (12 * 11) for a in names for b in names if a < b}) == []


def test_over_many_draws_the_random_strategy_prefers_no_statement_and_never_takes_an_excluded_one() -> None:
    frame = _frame({"gazette": 30})
    barred = {frame[3].statement, frame[17].statement}
    counts = Counter(
        s
        for seed in range(DRAWS)
        for s in draw_statements(frame, strategy="random", n=5, seed=seed, exclude=[*barred, "elsewhere"])
    )
    assert barred.isdisjoint(counts)
    assert _off(counts, {c.statement: 5 / 28 for c in frame if c.statement not in barred}) == []


def test_the_audit_sample_and_the_random_one_of_a_seed_are_independent() -> None:
    frame = _frame({"gazette": 20})
    both = Counter(
        c.statement
        for seed in range(DRAWS)
        for audit in [{s for s, _, _ in draw_audit(frame, n=10, seed=seed)}]
        for drawn in [set(draw_statements(frame, strategy="random", n=10, seed=seed))]
        for c in frame
        if c.statement in audit and c.statement in drawn
    )
    assert _off(both, {c.statement: 0.25 for c in frame}) == []


@pytest.mark.parametrize(
    ("sizes", "n", "expected"),
    [
        ({"a": 50, "b": 30, "c": 20}, 10, {"a": 5, "b": 3, "c": 2}),
        ({"a": 90, "b": 9, "c": 1}, 10, {"a": 7, "b": 2, "c": 1}),  # two where there are two
        ({"a": 90, "b": 9, "c": 1}, 4, {"a": 2, "b": 1, "c": 1}),  # five would be needed for two each
        ({"a": 90, "b": 9, "c": 1}, 3, {"a": 1, "b": 1, "c": 1}),
        ({"a": 90, "b": 9, "c": 1}, 100, {"a": 90, "b": 9, "c": 1}),
        ({"b": 5, "a": 5}, 5, {"b": 2, "a": 3}),  # equal claims go by name
    ],
)
def test_a_sample_is_shared_among_strata_as_worked_out_by_hand(
    sizes: dict[str, int], n: int, expected: dict[str, int]
) -> None:
    assert allocate(sizes, n) == expected


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 60), min_size=1), st.data())
def test_no_place_moved_from_one_stratum_to_another_would_bring_a_sample_nearer_to_proportion(
    sizes: dict[str, int], data: st.DataObject
) -> None:
    n = data.draw(st.integers(len(sizes), sum(sizes.values())))
    given_ = allocate(sizes, n)
    least = 2 if sum(min(2, size) for size in sizes.values()) <= n else 1
    assert sum(given_.values()) == n
    assert all(min(least, size) <= given_[s] <= size for s, size in sizes.items())

    def distance(of: Mapping[str, int]) -> float:  # what Sainte-Laguë's method makes least
        return sum((of[s] - size * n / sum(sizes.values())) ** 2 / size for s, size in sizes.items())

    for a, b in permutations(sizes, 2):
        if given_[a] > least and given_[b] < sizes[b]:
            assert distance({**given_, a: given_[a] - 1, b: given_[b] + 1}) >= distance(given_) - 1e-9


def test_statements_without_the_trait_are_a_stratum_of_their_own() -> None:
    frame = [*_frame({"gazette": 6}), *(Candidate(f"x:{i}-{i + 1}", "x") for i in range(2))]
    drawn = draw_audit(frame, n=4, seed=1, by="publisher")
    assert {(stratum, p) for _, stratum, p in drawn} == {("gazette", 2 / 6), (UNKNOWN, 1.0)}


def test_a_larger_audit_sample_of_the_same_seed_contains_the_smaller() -> None:
    frame = _frame({"gazette": 60})
    small, large = ({s for s, _, _ in draw_audit(frame, n=n, seed=4)} for n in (10, 25))
    assert small < large


def _full_frame() -> list[Candidate]:
    rng = np.random.default_rng(7)
    return [
        Candidate(
            f"d{i // 3}:{i}-{i + 1}",
            f"d{i // 3}",
            {"publisher": "abc"[i % 3], "stance": "xy"[i % 2]},
            uncertainty=round(float(rng.random()), 1),
            vector=rng.normal(size=5).astype(np.float32),
        )
        for i in range(30)
    ]


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
@given(order=st.permutations(range(30)), seed=st.integers(-5, 10**9))
def test_a_draw_follows_from_seed_and_frame_whatever_the_order_of_the_frame(
    strategy: str, order: list[int], seed: int
) -> None:
    frame = _full_frame()
    out = [frame[2].statement, frame[11].statement]
    one = draw_statements(frame, strategy=strategy, n=12, seed=seed, exclude=out)
    other = draw_statements([frame[i] for i in order], strategy=strategy, n=12, seed=seed, exclude=out)
    assert one == other
    assert len(set(one)) == 12
    assert set(one) <= {c.statement for c in frame} - set(out)


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_another_seed_gives_another_draw(strategy: str) -> None:
    frame = _full_frame()
    assert len({tuple(draw_statements(frame, strategy=strategy, n=20, seed=seed)) for seed in range(20)}) > 10


@pytest.mark.parametrize("strategy", sampling.STRATEGIES)
def test_as_many_as_there_are_gives_all_and_none_gives_nothing(strategy: str) -> None:
    frame = _full_frame()
    assert sorted(draw_statements(frame, strategy=strategy, n=30, seed=1)) == sorted(c.statement for c in frame)
    assert draw_statements(frame, strategy=strategy, n=0, seed=1) == []


def test_the_least_certain_statement_of_each_document_comes_first_then_the_second_of_each() -> None:
    said = {"a:0-1": 0.9, "a:1-2": 0.8, "a:2-3": 0.1, "b:0-1": 0.5, "b:1-2": 0.7, "c:0-1": 0.2}
    frame = [Candidate(s, s[0], uncertainty=u) for s, u in said.items()]
    drawn = draw_statements(frame, strategy="uncertain", n=6, seed=0)
    assert drawn == ["a:0-1", "b:1-2", "c:0-1", "a:1-2", "b:0-1", "a:2-3"]
    assert draw_statements(frame, strategy="uncertain", n=2, seed=0, exclude=["a:0-1"]) == ["a:1-2", "b:1-2"]


def test_chance_decides_between_statements_that_are_equally_uncertain() -> None:
    frame = [Candidate(f"d{i}:0-1", f"d{i}", uncertainty=0.5) for i in range(4)]
    firsts = Counter(draw_statements(frame, strategy="uncertain", n=1, seed=seed)[0] for seed in range(DRAWS))
    assert _off(firsts, {c.statement: 1 / 4 for c in frame}) == []


def test_balanced_takes_equal_numbers_of_each_value_as_far_as_they_go() -> None:
    frame = _frame({"gazette": 50, "herald": 10, "post": 2})
    for seed in range(50):
        drawn = draw_statements(frame, strategy="balanced", n=16, seed=seed, by="publisher")
        assert Counter(s.rstrip("0123456789:-") for s in drawn) == {"gazette": 7, "herald": 7, "post": 2}


def test_balanced_goes_by_the_predicted_stance_where_nothing_is_named() -> None:
    frame = [Candidate(f"d:{i}-{i + 1}", "d", {"stance": "yes_please" if i < 8 else "silent"}) for i in range(10)]
    drawn = draw_statements(frame, strategy="balanced", n=4, seed=3)
    assert Counter(int(s[2]) < 8 for s in drawn) == {True: 2, False: 2}


def _at(name: str, degrees: float, length: float = 1.0) -> Candidate:
    angle = np.deg2rad(degrees)
    return Candidate(f"{name}:0-1", name, vector=np.array([np.cos(angle), np.sin(angle)], dtype=np.float32) * length)


def test_diverse_draws_one_of_each_lump_before_a_second_of_any() -> None:
    # Within a lump squared distances are below 1/1000 of those between lumps.
    frame = [
        _at(f"{lump}{i}", at + i / 5, length=1 + i) for lump, at in zip("abc", (0, 120, 240), strict=True) for i in range(4)
    ]
    drawn = [draw_statements(frame, strategy="diverse", n=3, seed=seed) for seed in range(200)]
    spread = sum(len({s[0] for s in d}) == 3 for d in drawn)
    assert spread >= 198
    assert len({d[0] for d in drawn}) == 12  # any statement can be the first


def test_diverse_draws_the_next_statement_in_proportion_to_its_squared_distance() -> None:
    # Half the squared distance from 0 degrees: 1 - cos 60 = 0.5, 1 - cos 180 = 2.
    frame = [_at("start", 0), _at("near", 60), _at("far", 180)]
    nexts = Counter(
        draw_statements(frame, strategy="diverse", n=1, seed=seed, exclude=["start:0-1"])[0] for seed in range(DRAWS)
    )
    assert _off(nexts, {"near:0-1": 0.2, "far:0-1": 0.8}) == []


def test_diverse_keeps_away_from_what_was_coded_before_and_takes_repetitions_last() -> None:
    frame = [_at("coded", 0), _at("same", 0), _at("same2", 0, length=3), _at("other", 90), _at("third", 180)]
    for seed in range(50):
        drawn = draw_statements(frame, strategy="diverse", n=4, seed=seed, exclude=["coded:0-1"])
        assert set(drawn[:2]) == {"other:0-1", "third:0-1"}
        assert set(drawn[2:]) == {"same:0-1", "same2:0-1"}


def test_diverse_chooses_among_a_fixed_part_of_a_frame_beyond_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = [_at(f"d{i}", i) for i in range(40)]
    monkeypatch.setattr(sampling, "with_room", lambda statements: with_room(statements, 10))
    room = with_room((c.statement for c in frame), 10)
    for seed in range(5):
        assert set(draw_statements(frame, strategy="diverse", n=10, seed=seed)) == room
    with pytest.raises(UsageError, match="expected 11 statements with a vector, found 10"):
        draw_statements(frame, strategy="diverse", n=11, seed=0)


@given(st.sets(st.text(min_size=1), max_size=30), st.integers(0, 40))
def test_those_that_get_a_vector_depend_on_nothing_but_their_ids(statements: set[str], most: int) -> None:
    room = with_room(sorted(statements), most)
    assert len(room) == min(most, len(statements))
    assert room <= statements
    assert with_room(sorted(statements, reverse=True), most) == room
    assert with_room(room, most) == room


@given(
    n=st.integers(0, 60),
    coders=st.lists(st.sampled_from(["anna", "ben", "cleo", "dan"]), min_size=1, unique=True),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_shared_statements_go_to_all_and_each_other_one_to_a_single_coder_evenly(
    n: int, coders: list[str], seed: int, data: st.DataObject
) -> None:
    statements = [f"d:{i}-{i + 1}" for i in range(n)]
    overlap = data.draw(st.integers(0, n))
    dealt = deal(statements, coders, overlap=overlap, seed=seed)
    assert list(dealt) == coders
    held = Counter(s for given_ in dealt.values() for s in given_)
    assert set(held) == set(statements)
    shared = overlap if len(coders) > 1 else 0
    assert Counter(held.values()) == Counter({len(coders): shared, 1: n - shared})
    sizes = [len(given_) for given_ in dealt.values()]
    assert max(sizes) - min(sizes) <= 1
    mixed = statements.copy()
    random.Random(seed).shuffle(mixed)  # noqa: S311  # an order, not a secret
    assert deal(mixed, coders, overlap=overlap, seed=seed) == dealt


def test_chance_decides_which_statements_are_shared_and_who_gets_one_more() -> None:
    statements = [f"d:{i}-{i + 1}" for i in range(12)]
    shared: Counter[str] = Counter()
    first: Counter[str] = Counter()
    for seed in range(DRAWS):
        dealt = deal(statements, ["anna", "ben"], overlap=3, seed=seed)
        both = set(dealt["anna"]) & set(dealt["ben"])
        shared.update(both)
        first[max(dealt, key=lambda coder: len(dealt[coder]))] += 1  # 9 are left: one coder gets a statement more
    assert _off(shared, dict.fromkeys(statements, 3 / 12)) == []
    assert _off(first, {"anna": 0.5, "ben": 0.5}) == []


def test_no_place_in_a_coders_order_gives_away_what_a_statement_is_there_for() -> None:
    statements = [f"d:{i}-{i + 1}" for i in range(10)]
    at = Counter(deal(statements, ["anna"], overlap=0, seed=seed)["anna"].index("d:0-1") for seed in range(DRAWS))
    assert chisquare([at[i] for i in range(10)]).pvalue > ERROR
    shared = Counter[int]()
    for seed in range(DRAWS):
        dealt = deal(statements, ["anna", "ben"], overlap=2, seed=seed)  # 2 shared and 4 of her own
        shared.update(i for i, s in enumerate(dealt["anna"]) if s in dealt["ben"])
    assert chisquare([shared[i] for i in range(6)]).pvalue > ERROR


def test_coders_see_what_they_share_in_different_orders() -> None:
    statements = [f"d:{i}-{i + 1}" for i in range(30)]
    dealt = deal(statements, ["anna", "ben"], overlap=30, seed=1)
    assert sorted(dealt["anna"]) == sorted(dealt["ben"])
    assert dealt["anna"] != dealt["ben"]


FRAME = _frame({"gazette": 4, "herald": 2})


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: draw_statements(FRAME, strategy="guess", n=1, seed=0), "expected one of random, uncertain"),
        (lambda: draw_statements(FRAME, strategy="random", n=7, seed=0), "a number from 0 to 6.*found 7"),
        (lambda: draw_statements(FRAME, strategy="random", n=6, seed=0, exclude=[FRAME[0].statement]), "0 to 5.* 1 others"),
        (lambda: draw_statements(FRAME, strategy="random", n=-1, seed=0), "found -1"),
        (lambda: draw_statements(FRAME, strategy="random", n=1, seed=0, by="publisher"), "only balanced takes one"),
        (lambda: draw_statements(FRAME, strategy="uncertain", n=1, seed=0), "uncertainty for statement .* name a model"),
        (lambda: draw_statements(FRAME, strategy="diverse", n=1, seed=0), "1 statements with a vector, found 0"),
        (lambda: draw_statements(FRAME, strategy="balanced", n=1, seed=0), r"name one \(publisher\)"),
        (lambda: draw_statements(FRAME, strategy="balanced", n=1, seed=0, by="mood"), r"'mood'.*\(publisher\)"),
        (lambda: draw_audit(FRAME, n=2, seed=0, by="mood"), r"'mood'.*\(publisher\)"),
        (lambda: draw_audit(FRAME, n=7, seed=0), "from 1 to 6.*found 7"),
        (lambda: draw_audit(FRAME, n=0, seed=0), "from 1 to 6.*found 0"),
        (lambda: draw_audit(FRAME, n=1, seed=0, by="publisher"), "2 or more, one for each stratum, found 1"),
        (lambda: deal(["a", "b"], ["anna"], overlap=3, seed=0), "0 to 2.*found 3"),
        (lambda: deal(["a", "b"], [], overlap=0, seed=0), "found none at all"),
        (lambda: deal(["a", "b"], ["anna", "anna"], overlap=0, seed=0), "anna, anna"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_a_sentence_that_says_why(call: object, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()  # type: ignore[operator]


def test_a_statement_that_stands_twice_is_refused() -> None:
    twice = [*FRAME, FRAME[0]]
    for call in (
        lambda: draw_statements(twice, strategy="random", n=1, seed=0),
        lambda: draw_audit(twice, n=1, seed=0),
        lambda: deal(["a", "b", "a"], ["anna"], overlap=0, seed=0),
    ):
        with pytest.raises(RecordError, match="expected once among those to draw from, found it twice"):
            call()


def test_vectors_of_different_lengths_are_refused() -> None:
    frame = [Candidate("a:0-1", "a", vector=np.ones(3, np.float32)), Candidate("b:0-1", "b", vector=np.ones(4, np.float32))]
    with pytest.raises(RecordError, match=r"expected one length, found \[3, 4\]"):
        draw_statements(frame, strategy="diverse", n=1, seed=0)
