from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import numpy as np
import pytest
from datasketch import MinHashLSH
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from corpus import stories, tables
from corpus.database import open_database
from corpus.identity import document_id
from corpus.records import Document
from corpus.runs import Location, Outcome
from corpus.store import Store
from corpus.stories import band_keys, signature, similarities

WORDS = [f"word{i}" for i in range(60)]


def _text(seed: int, words: int = 120) -> list[str]:
    rng = random.Random(seed)  # noqa: S311  # invented text, not a secret
    return ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(words)]


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def _jaccard(a: str, b: str) -> float:
    return len(_shingles(a) & _shingles(b)) / len(_shingles(a) | _shingles(b))


def _similarity(a: str, b: str) -> float:
    one, other = signature(a), signature(b)
    assert one is not None
    assert other is not None
    return float(similarities(one, [other])[0])


def _put(store: Store, text: str, n: int = 0) -> str:
    url = f"https://{n}.example/{len(text)}"
    document = Document(id=document_id(url, text), url=url, text=text)
    seen = "2026-01-01T00:00:00Z"
    store.put_document(
        document,
        [],
        location=Location(document=document.id, url=url, source="s", snapshot=None, first_seen=seen, last_seen=seen),
        outcome=Outcome(run="r", source="s", url=url, outcome="new"),
        signature=signature(text),
    )
    return document.id


def _stories(url: str, texts: list[str], order: tuple[int, ...]) -> dict[str, str | None]:
    """Store texts in an order and return the story of each."""
    with Store.open(url) as store:
        for i in order:
            _put(store, texts[i], i)
        return {d.text: d.story for d in store.documents()}


def test_a_text_of_fewer_than_twenty_words_has_no_signature() -> None:
    assert signature(" ".join(WORDS[:19])) is None
    assert signature(" ".join(WORDS[:20])) is not None
    assert signature("") is None


def test_a_signature_is_128_numbers_of_32_bits_and_never_changes() -> None:
    made = signature(" ".join(WORDS))
    assert made is not None
    assert len(made) == 128 * 4
    # Stored signatures are compared with new ones: another value here needs a migration.
    assert np.frombuffer(made, "<u4")[:3].tolist() == [56806, 163758532, 11266198]
    assert band_keys(made)[:2] == [1257852134191744436, 5803251828687865697]


def test_case_punctuation_and_white_space_do_not_count() -> None:
    assert signature(" ".join(WORDS)) == signature(",\n\n".join(w.upper() for w in WORDS) + "!")


def test_the_words_of_a_long_text_all_count_although_they_are_taken_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(_text(1, 300))
    whole = signature(text)
    for size in (1, 7, 296, 297):
        monkeypatch.setattr(stories, "_BATCH", size)
        assert signature(text) == whole


@pytest.mark.parametrize("changed", [0, 3, 10, 30])
def test_the_estimate_is_near_the_exact_jaccard_similarity_of_the_shingles(changed: int) -> None:
    words = _text(changed, 400)
    a = " ".join(words)
    b = " ".join(["other" + str(i) if i % (400 // changed) == 0 else w for i, w in enumerate(words)] if changed else words)
    exact = _jaccard(a, b)
    # standard error sqrt(J (1 - J) / 128) is at most 0.044; four of them
    assert _similarity(a, b) == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 128) ** 0.5)


def test_chinese_is_compared_by_characters_since_it_has_no_spaces() -> None:
    text = "联合国打击网络犯罪公约是第一个关于网络犯罪的全球性条约旨在加强国际合作并保护人权各国代表团在河内签署了该公约"
    assert _similarity(text, text[:-1]) > 0.9
    assert _similarity(text, text[::-1]) < 0.2


def test_the_bands_are_those_that_datasketch_chooses_for_the_threshold_where_misses_weigh_nine_times_as_much() -> None:
    index = MinHashLSH(threshold=stories.THRESHOLD, num_perm=stories.PERMUTATIONS, weights=(0.1, 0.9))
    assert (index.b, index.r) == (stories.BANDS, stories.ROWS)


def test_two_signatures_share_a_key_exactly_where_six_numbers_of_a_band_are_equal() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(0, 2**32, 128, dtype=np.uint32)
    b = rng.integers(0, 2**32, 128, dtype=np.uint32)
    b[12:18] = a[12:18]  # the third band
    b[20:25] = a[20:25]  # five of the fourth
    keys, others = band_keys(a.astype("<u4").tobytes()), band_keys(b.astype("<u4").tobytes())
    assert [i for i in range(stories.BANDS) if keys[i] == others[i]] == [2]
    assert len(set(keys) & set(others)) == 1
    assert all(-(2**63) <= key < 2**63 for key in keys)


def test_equal_numbers_in_two_bands_are_no_match() -> None:
    keys = band_keys(np.zeros(128, "<u4").tobytes())
    assert len(set(keys)) == stories.BANDS


def test_a_lightly_edited_wire_text_joins_its_story_and_another_report_does_not(store_url: str) -> None:
    wire = _text(1, 300)
    edited = [w if i % 60 else "changed" for i, w in enumerate(wire)]
    with Store.open(store_url) as store:
        a, b, c = (_put(store, " ".join(words), n) for n, words in enumerate((wire, edited, _text(2, 300))))
        story = {d.id: d.story for d in store.documents()}
        assert story == {a: min(a, b), b: min(a, b), c: c}


def test_a_document_that_bridges_two_stories_merges_them_whole(new_store_url: Callable[[], str]) -> None:
    words = _text(3, 200)
    # Each step drops twelve words at the front and adds twelve at the end: neighbours are near, the ends are not.
    chain = [" ".join(words[i * 12 : i * 12 + 100]) for i in range(5)]
    assert all(_similarity(a, b) >= stories.THRESHOLD for a, b in itertools.pairwise(chain))
    assert _similarity(chain[1], chain[3]) < stories.THRESHOLD
    with Store.open(new_store_url()) as store:
        ids = [_put(store, chain[i], i) for i in (0, 1, 3, 4)]
        assert len({d.story for d in store.documents()}) == 2
        ids.append(_put(store, chain[2], 2))
        assert {d.story for d in store.documents()} == {min(ids)}
        assert store.stats().by_story_size == {5: 1}


def test_every_order_of_arrival_gives_the_same_stories(new_store_url: Callable[[], str]) -> None:
    words = _text(4, 200)
    texts = [" ".join(words[i * 12 : i * 12 + 100]) for i in range(3)] + [" ".join(_text(5, 100))]
    orders = list(itertools.permutations(range(4)))[::4]
    found = [_stories(new_store_url(), texts, order) for order in orders]
    assert len(set(found[0].values())) == 2
    assert all(f == found[0] for f in found)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_stories_are_the_connected_components_of_the_near_copies(
    new_sqlite_url: Callable[[], str], data: st.DataObject
) -> None:
    base = _text(6, 400)
    spans = data.draw(st.lists(st.tuples(st.integers(0, 30), st.integers(60, 90)), min_size=2, max_size=9, unique=True))
    texts = [" ".join(base[a * 10 : a * 10 + n]) for a, n in spans]
    order = tuple(data.draw(st.permutations(range(len(texts)))))
    found = _stories(new_sqlite_url(), texts, order)

    sketches = {t: signature(t) or b"" for t in texts}
    component = {t: {t} for t in texts}
    for a, b in itertools.combinations(texts, 2):
        near = similarities(sketches[a], [sketches[b]])[0] >= stories.THRESHOLD
        if near and set(band_keys(sketches[a])) & set(band_keys(sketches[b])):
            merged = component[a] | component[b]
            for t in merged:
                component[t] = merged
    ids = {t: document_id(f"https://{i}.example/{len(t)}", t) for i, t in enumerate(texts)}
    assert found == {t: min(ids[m] for m in component[t]) for t in texts}


def test_short_texts_that_differ_are_stories_of_their_own(store_url: str) -> None:
    with Store.open(store_url) as store:
        a, b = _put(store, "The pact was signed on Monday.", 1), _put(store, "The pact was signed on Tuesday.", 2)
        assert {d.id: d.story for d in store.documents()} == {a: a, b: b}


def test_a_passage_that_thousands_share_costs_each_look_up_the_same_and_hides_no_copy(
    new_sqlite_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stories, "CANDIDATES", 3)
    compared: list[int] = []
    real = stories.similarities

    def count(one: bytes, others: list[bytes]) -> object:
        compared.append(len(others))
        return real(one, others)

    monkeypatch.setattr(stories, "similarities", count)
    template = _text(7, 150)
    pages = [" ".join(template + _text(100 + n, 40)) for n in range(60)]
    assert 0.4 < _jaccard(pages[0], pages[1]) < 0.7
    copy = pages[30] + " and a word"
    url = new_sqlite_url()
    with Store.open(url) as store:
        ids = [_put(store, page, n) for n, page in enumerate([*pages, copy])]
        story = {d.id: d.story for d in store.documents()}
    assert story[ids[30]] == story[ids[-1]] == min(ids[30], ids[-1])
    database = open_database(url)
    with database.read() as connection:
        per_key = select(func.count().label("n")).select_from(tables.bands).group_by(tables.bands.c.key).subquery()
        assert connection.execute(select(func.max(per_key.c.n))).scalar_one() > 20  # the passage fills keys indeed
    database.close()
    assert max(compared) <= stories.BANDS * stories.CANDIDATES
    assert sum(compared[-20:]) / 20 < 30
