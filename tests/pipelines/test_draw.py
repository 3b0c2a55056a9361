"""Draws: what goes to whom, what the ledger says of it, and what must not change it."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from annotation.campaign import Item, Project, Sampled, Task
from annotation.ledger import Ledger
from annotation.sampling import STRATEGIES, Candidate
from corpus.errors import UsageError
from corpus.identity import digest, document_id, statement_id
from corpus.records import Document, Statement
from pipelines.draw import Drawn, Request, plan_draw
from pipelines.frame import Frame

AT, LATER = "2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z"
REQUEST = Request(round="Round 1", coders=("anna", "ben"), n=20, overlap=6, audit=10)


def _items() -> dict[str, Item]:
    out = {}
    for d in range(30):
        text = "One says yes. Two says no."
        url = f"https://{d}.example/"
        document = Document(id=document_id(url, text), url=url, text=text, publisher="Gazette" if d < 20 else "Herald")
        for start, end in ((0, 13), (14, 26)):
            name = statement_id(document.id, start, end)
            statement = Statement(id=name, document=document.id, start=start, end=end, text=text[start:end])
            out[name] = Item(statement=statement, document=document)
    return out


ITEMS = _items()


def _frame(items: dict[str, Item] = ITEMS, *, model_id: str | None = None) -> Frame:
    rng = np.random.default_rng(1)
    candidates = tuple(
        Candidate(
            name,
            item.document.id,
            {"publisher": item.document.publisher or "", "stance": "silent"},
            uncertainty=float(rng.random()),
            vector=rng.normal(size=4).astype(np.float32),
        )
        for name, item in sorted(items.items())
    )
    made_of = digest(model_id or "", *(c.statement for c in candidates))
    return Frame(candidates, lambda wanted: {s: items[s] for s in wanted}, {"empty": 2}, made_of, model_id)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'corpus.db'}") as opened:
        yield opened


def _project(ledger: Ledger, number: int, statements: Sequence[str], draw: str | None = None, **fields: object) -> Project:
    said = {"title": f"P{number}", "round": "Round 0", "role": "coding", "codebook_version": "b/1", "codebook": "{}"}
    project = msgspec.convert({"server": "http://s/", "number": number, "made": AT, **said, **fields}, Project)
    ledger.add_project(project)
    ledger.add_tasks(Task(project=project.key, position=i, statement=s, draw=draw) for i, s in enumerate(statements))
    return project


def _push(ledger: Ledger, drawn: Drawn, first: int = 10) -> None:
    """Note a draw and its tasks as a campaign does."""
    ledger.add_draw(drawn.draw, drawn.sampled)
    for number, (coder, statements) in enumerate(drawn.order.items(), first):
        _project(ledger, number, statements, drawn.draw.id, coder=coder)


def test_a_draw_has_its_statements_its_audit_sample_and_the_words_of_both(ledger: Ledger) -> None:
    drawn = plan_draw(_frame(), ledger, REQUEST, made=AT)
    audit = {s.statement for s in drawn.sampled}
    dealt = Counter(s for statements in drawn.order.values() for s in statements)
    assert len(audit) == 10
    assert len(dealt) == 30
    assert audit < set(dealt)
    assert Counter(dealt.values()) == {2: 6, 1: 24}
    assert drawn.items == {s: ITEMS[s] for s in drawn.items}
    assert set(drawn.items) == set(dealt)
    assert {(s.draw, s.stratum, s.inclusion_probability) for s in drawn.sampled} == {(drawn.draw.id, "all", 10 / 60)}
    draw = drawn.draw
    assert (draw.round, draw.strategy, draw.seed, draw.made) == ("Round 1", "random", 0, AT)
    assert (draw.frame, draw.frame_hash, draw.left_out, draw.strata) == (60, _frame().hash, {"empty": 2}, {"all": 60})
    ledger.add_draw(draw, drawn.sampled)
    assert ledger.draws() == [draw]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_frame_and_request_give_the_same_draw(ledger: Ledger, strategy: str) -> None:
    request = dataclasses.replace(REQUEST, strategy=strategy)
    frame = _frame()
    turned = dataclasses.replace(frame, candidates=frame.candidates[::-1])
    one, two = plan_draw(frame, ledger, request, made=AT), plan_draw(turned, ledger, request, made=LATER)
    assert msgspec.structs.replace(two.draw, made=AT) == one.draw
    assert (two.order, two.sampled, two.items) == (one.order, one.sampled, one.items)


@pytest.mark.parametrize(
    "change",
    [
        {"round": "Round 2"},
        {"coders": ("anna", "cleo")},
        {"n": 21},
        {"overlap": 7},
        {"strategy": "diverse"},
        {"seed": 1},
        {"audit": 11},
        {"by": "publisher"},
        {"source": "articles"},
        {"model_id": "m@1"},
    ],
)
def test_any_change_of_the_request_is_another_draw(ledger: Ledger, change: dict[str, object]) -> None:
    request = dataclasses.replace(REQUEST, **change)  # type: ignore[arg-type]
    frame = _frame()
    if "model_id" in change:
        frame = dataclasses.replace(frame, model_id="m@1")
    draw = plan_draw(frame, ledger, request, made=AT).draw
    first = plan_draw(_frame(), ledger, REQUEST, made=AT).draw
    assert draw.id != first.id
    assert request.is_of(draw)
    assert REQUEST.is_of(first)
    assert not request.is_of(first)
    assert REQUEST.is_of(draw) == ("model_id" in change)  # a request that names no model is content with any


def test_a_request_knows_its_draw_whatever_the_frame_and_the_order_of_coders(ledger: Ledger) -> None:
    draw = plan_draw(_frame(), ledger, REQUEST, made=AT).draw
    assert dataclasses.replace(REQUEST, coders=("ben", "anna")).is_of(draw)
    fewer = _frame(dict(list(ITEMS.items())[:50]))
    other = plan_draw(fewer, ledger, REQUEST, made=AT).draw
    assert other.id != draw.id
    assert REQUEST.is_of(other)


def test_what_a_coding_project_has_is_not_drawn_again_but_for_the_audit_sample(ledger: Ledger) -> None:
    fresh = plan_draw(_frame(), ledger, REQUEST, made=AT)
    coded = sorted(ITEMS)[::2]
    _project(ledger, 1, coded[:20])
    _project(ledger, 2, coded[20:], role="coding", round="Round 1")
    drawn = plan_draw(_frame(), ledger, REQUEST, made=AT)
    assert drawn.sampled == fresh.sampled
    audit = {s.statement for s in drawn.sampled}
    assert audit & set(coded), "the test's seed draws no statement that was coded before"
    dealt = {s for statements in drawn.order.values() for s in statements}
    assert dealt.isdisjoint(coded)
    assert dealt >= audit - set(coded)
    assert len(dealt - audit) == 20
    assert audit <= set(drawn.items)
    assert drawn.draw.settings["coded_before"] == 30
    assert drawn.draw.settings["audit_coded_before"] == len(audit & set(coded))


def test_projects_that_are_not_for_coding_bar_nothing(ledger: Ledger) -> None:
    fresh = plan_draw(_frame(), ledger, REQUEST, made=AT)
    for number, role in enumerate(("recoding", "adjudication", "recheck")):
        _project(ledger, number, sorted(ITEMS), role=role)
    assert plan_draw(_frame(), ledger, REQUEST, made=AT).order == fresh.order


@pytest.mark.parametrize(("fields", "waiting"), [({}, 0), ({"assisted": True}, 10), ({"codebook_version": "b/0"}, 10)])
def test_an_audit_statement_is_spared_only_by_a_blind_reading_under_the_codebook(
    ledger: Ledger, fields: dict[str, object], waiting: int
) -> None:
    request = dataclasses.replace(REQUEST, n=0, overlap=0)
    audit = [s.statement for s in plan_draw(_frame(), ledger, request, made=AT).sampled]
    _project(ledger, 1, audit, **fields)
    drawn = plan_draw(_frame(), ledger, request, made=AT, codebook_version="b/1")
    assert [s.statement for s in drawn.sampled] == audit
    assert sum(map(len, drawn.order.values())) == waiting


def test_a_draw_that_was_pushed_is_planned_again_as_it_was_even_after_later_ones(ledger: Ledger) -> None:
    first = plan_draw(_frame(), ledger, REQUEST, made=AT)
    _push(ledger, first)
    second = plan_draw(_frame(), ledger, dataclasses.replace(REQUEST, round="Round 2", audit=0), made=LATER)
    _push(ledger, second, first=20)
    again = plan_draw(_frame(), ledger, REQUEST, made=LATER)
    assert again.draw.id == first.draw.id
    assert (again.order, again.sampled) == (first.order, first.sampled)
    dealt = [{s for statements in d.order.values() for s in statements} for d in (first, second)]
    assert dealt[0].isdisjoint(dealt[1])


def test_over_many_draws_an_audit_sample_keeps_its_probabilities_whatever_was_coded_before(ledger: Ledger) -> None:
    from scipy.stats import binom

    coded = sorted(ITEMS)[:45]
    _project(ledger, 1, coded)
    counts: Counter[str] = Counter()
    recorded: dict[str, float] = {}
    draws, request = 2000, dataclasses.replace(REQUEST, n=0, overlap=0, by="publisher")
    frame = _frame()
    state = _Still(ledger)
    for seed in range(draws):
        drawn = plan_draw(frame, state, dataclasses.replace(request, seed=seed), made=AT)  # type: ignore[arg-type]
        assert sum(map(len, drawn.order.values())) == 10 - len({s.statement for s in drawn.sampled} & set(coded))
        counts.update(s.statement for s in drawn.sampled)
        recorded.update({s.statement: s.inclusion_probability for s in drawn.sampled})
    # ten of sixty: of the Gazette's forty and the Herald's twenty, seven and three
    publishers = {name: item.document.publisher for name, item in ITEMS.items()}
    assert recorded == {name: 7 / 40 if publishers[name] == "Gazette" else 3 / 20 for name in ITEMS}
    error = 0.001 / len(ITEMS) / 2
    for name, p in recorded.items():
        assert min(binom.cdf(counts[name], draws, p), binom.sf(counts[name] - 1, draws, p)) >= error, name


class _Still:
    """A ledger's answers of one moment, so that 2,000 draws need not ask a database."""

    def __init__(self, ledger: Ledger) -> None:
        found = ledger.projects(role="coding")
        tasks = {p.key: ledger.tasks(p.key) for p in found}
        self.projects = lambda **_: found
        self.tasks = tasks.__getitem__
        self.draws = ledger.draws()[:0].copy


def test_strata_are_noted_with_their_sizes_and_probabilities(ledger: Ledger) -> None:
    drawn = plan_draw(_frame(), ledger, dataclasses.replace(REQUEST, by="publisher", audit=12), made=AT)
    assert drawn.draw.strata == {"Gazette": 40, "Herald": 20}
    assert Counter((s.stratum, s.inclusion_probability) for s in drawn.sampled) == {
        ("Gazette", 8 / 40): 8,
        ("Herald", 4 / 20): 4,
    }
    assert all(isinstance(s, Sampled) for s in drawn.sampled)


def test_balanced_takes_the_trait_and_the_audit_sample_its_strata(ledger: Ledger) -> None:
    request = dataclasses.replace(REQUEST, strategy="balanced", by="publisher", audit=0)
    drawn = plan_draw(_frame(), ledger, request, made=AT)
    assert Counter(i.document.publisher for i in drawn.items.values()) == {"Gazette": 10, "Herald": 10}
    assert drawn.draw.strata == {}
    assert drawn.sampled == ()


def test_the_model_of_the_frame_is_noted(ledger: Ledger) -> None:
    frame = _frame(model_id="m@1")
    draw = plan_draw(frame, ledger, dataclasses.replace(REQUEST, strategy="uncertain"), made=AT).draw
    assert draw.settings["model_id"] == "m@1"
    with pytest.raises(UsageError, match="judged by m@2, found m@1"):
        plan_draw(frame, ledger, dataclasses.replace(REQUEST, model_id="m@2"), made=AT)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n": 0, "audit": 0}, "expected a number of statements to draw, found 0"),
        ({"by": "publisher", "audit": 0}, "'publisher' with neither"),
        ({"n": 51}, "0 to 50, since so many statements can be drawn, 10 others being coded or drawn already, found 51"),
        ({"overlap": 31}, "0 to 30.*found 31"),
        ({"audit": 61}, "from 1 to 60.*found 61"),
        ({"coders": ()}, "one or more different names"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(ledger: Ledger, change: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan_draw(_frame(), ledger, dataclasses.replace(REQUEST, **change), made=AT)  # type: ignore[arg-type]
