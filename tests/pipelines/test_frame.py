"""Frames: which statements can be drawn, what is known of them, and why others cannot."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from annotation.codebook import Codebook
from annotation.sampling import draw_audit, draw_statements, with_room
from corpus.errors import RecordError, UsageError
from corpus.identity import document_id, statement_id
from corpus.records import Document, Statement
from corpus.runs import Location, Outcome
from corpus.store import Store
from corpus.stories import signature
from models.passage import Judgement, Passage
from pipelines import frame as module
from pipelines.frame import NEAR_COPY, TOO_LONG, UNFIT, Frame, corpus_frame, read_folder, source_frame

_SEEN = "2026-01-01T00:00:00Z"


def _text(lead: str, *, changed: int = 0) -> str:
    """Three sentences, the last of three hundred words, the first few of which are ``changed``."""
    tail = " ".join(f"{'changed' if i < changed else 'word'}{i}" for i in range(300))
    return f"{lead} wants the pact. {lead} says so. In {lead} {tail}."


def _document(url: str, text: str, **fields: object) -> Document:
    return msgspec.convert({"id": document_id(url, text), "url": url, "text": text, **fields}, Document)


def _sentences(document: Document) -> list[Statement]:
    """Cut a text at its full stops."""
    out, start = [], 0
    for part in document.text.split(". "):
        end = min(start + len(part) + 1, len(document.text))
        out.append(
            Statement(
                id=statement_id(document.id, start, end),
                document=document.id,
                start=start,
                end=end,
                text=document.text[start:end],
                voice="own" if start == 0 else None,
            )
        )
        start = end + 1
    return out


def _put(store: Store, url: str, text: str, **fields: object) -> Document:
    document = _document(url, text, **{"source": "s", **fields})
    store.put_document(
        document,
        _sentences(document),
        location=Location(document=document.id, url=url, source="s", snapshot=None, first_seen=_SEEN, last_seen=_SEEN),
        outcome=Outcome(run="r", source="s", url=url, outcome="new"),
        signature=signature(text),
    )
    return document


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"sqlite:///{tmp_path / 'corpus.db'}") as opened:
        yield opened


def _documents(frame: Frame) -> list[str]:
    return sorted({c.document for c in frame.candidates})


class Fake:
    """Judges by a statement's length: the longer, the surer of the first stance."""

    def __init__(self, codebook: Codebook) -> None:
        self.codebook = codebook
        self.model_id = "fake@1"
        self.asked: list[int] = []

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        self.asked.append(len(passages))
        return [self._of(len(p.text) % 10 / 10) for p in passages]

    def _of(self, p: float) -> Judgement:
        shares = (p, 1 - p, 0.0)
        best = max(range(3), key=shares.__getitem__)
        return Judgement(self.codebook.stance_ids[best], shares, (), (0.0, 0.0), shares[best])


def test_a_corpus_frame_has_every_statement_with_what_is_known_of_it(store: Store) -> None:
    known = {"publisher": "Gazette", "kind": "news", "language": "en", "relevance": "lead"}
    full = _put(store, "https://a.example/1", "Ann wants it. Tom does not.", published="2026-03-05", **known)
    bare = _put(store, "https://a.example/2", "Nobody knows.")
    frame = corpus_frame(store)
    by_id = {c.statement: c for c in frame.candidates}
    assert list(by_id) == sorted(s.id for s in store.statements())
    first, second = _sentences(full)
    assert dict(by_id[first.id].traits) == {**known, "source": "s", "month": "2026-03", "voice": "own"}
    assert dict(by_id[second.id].traits) == {**known, "source": "s", "month": "2026-03"}
    assert dict(by_id[_sentences(bare)[0].id].traits) == {"source": "s", "voice": "own"}
    assert {c.uncertainty for c in frame.candidates} == {None}
    assert frame.left_out == {}
    assert frame.model_id is None


def test_items_are_fetched_with_their_documents_and_a_lost_one_is_an_error(store: Store) -> None:
    document = _put(store, "https://a.example/1", _text("Upperton"), title="River news")
    frame = corpus_frame(store)
    wanted = [frame.candidates[2].statement, frame.candidates[0].statement]
    found = frame.items(wanted)
    assert list(found) == wanted
    assert [i.statement for i in found.values()] == [s for w in wanted for s in store.statements() if s.id == w]
    assert {i.document for i in found.values()} == {store.document(document.id)}
    with pytest.raises(RecordError, match="expected it where it was drawn from, found it gone"):
        frame.items([*wanted, statement_id(document.id, 0, 1)])


COPIES = [
    ("https://c.example/late", {"published": "2026-03-02"}, 0),
    ("https://b.example/first", {"published": "2026-03-01T23:59:00Z"}, 2),
    ("https://a.example/same-day", {"published": "2026-03-01"}, 4),
    ("https://e.example/month", {"published": "2026-03"}, 6),
    ("https://d.example/undated", {}, 8),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(5)))[::17])
def test_of_a_story_the_document_published_first_stands_for_all_in_whatever_order_they_came(
    store: Store, order: tuple[int, ...]
) -> None:
    made = {}
    for i in order:
        url, fields, changed = COPIES[i]
        made[url] = _put(store, url, _text("Upperton", changed=changed), **fields)
    other = _put(store, "https://a.example/other", "Lowerton refuses the pact. It always did.")
    assert len({d.story for d in store.documents()}) == 2, "the near-copies are no story: the test's texts are wrong"
    frame = corpus_frame(store)
    assert _documents(frame) == sorted([made["https://b.example/first"].id, other.id])
    assert frame.left_out == {NEAR_COPY: 4 * 3}
    assert len(frame.candidates) + sum(frame.left_out.values()) == len(list(store.statements()))


def test_dates_that_name_no_day_come_after_the_days_that_they_may_mean(store: Store) -> None:
    ids = [_put(store, url, _text("Upperton", changed=c), **f).id for url, f, c in COPIES]
    # first, same day, late, month, undated: take away the best one each time
    expected = [ids[1], ids[2], ids[0], ids[3], ids[4]]
    documents = {d.id: d for d in store.documents()}
    ranked = sorted(documents, key=lambda i: (module._last_moment(documents[i].published), i))
    assert ranked == expected


def test_the_smallest_id_decides_between_documents_of_one_day(store: Store) -> None:
    ids = [_put(store, f"https://{i}.example/", _text("Upperton", changed=i), published="2026-03-01").id for i in range(5)]
    assert _documents(corpus_frame(store)) == [min(ids)]


def test_a_document_that_coders_have_seen_goes_before_the_others_of_its_story(store: Store) -> None:
    first = _put(store, "https://a.example/", _text("Upperton"), published="2026-03-01")
    seen = _put(store, "https://b.example/", _text("Upperton", changed=3), published="2026-03-09")
    assert _documents(corpus_frame(store)) == [first.id]
    assert _documents(corpus_frame(store, prefer=[seen.id])) == [seen.id]


def test_no_draw_has_two_copies_of_a_story(store: Store) -> None:
    for town in ("Upperton", "Lowerton", "Middleton"):
        for i in range(4):
            _put(store, f"https://{town}{i}.example/", _text(town, changed=2 * i).replace("word", town))
    stories = {d.id: d.story for d in store.documents()}
    assert Counter(stories.values()).most_common(1)[0][1] == 4
    frame = corpus_frame(store)
    for seed in range(50):
        drawn = draw_statements(frame.candidates, strategy="random", n=9, seed=seed)
        audit = [s for s, _, _ in draw_audit(frame.candidates, n=9, seed=seed)]
        for sample in (drawn, audit):
            documents = {s.partition(":")[0] for s in sample}
            assert len({stories[d] for d in documents}) == len(documents)


def test_statements_that_nobody_could_code_are_counted_by_reason(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STATEMENT", 60)
    _put(store, "https://a.example/", f"Short. {'Long ' * 20}end. Decomposed e\u0301. \u00a0 . Fine.")
    frame = corpus_frame(store)
    texts = [frame.items([c.statement])[c.statement].statement.text for c in frame.candidates]
    assert sorted(texts) == ["Fine.", "Short.", "\u00a0 ."]
    assert frame.left_out == {TOO_LONG: 1, UNFIT: 1}


def test_a_document_without_a_statement_to_draw_leaves_its_place_to_the_next_of_its_story(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _put(store, "https://a.example/", _text("Upperton").replace(". ", "; "), published="2026-03-01")
    second = _put(store, "https://b.example/", _text("Upperton"), published="2026-03-02")
    assert len({d.story for d in store.documents()}) == 1
    assert _documents(corpus_frame(store)) == [first.id]
    monkeypatch.setattr(module, "MAX_STATEMENT", len(first.text) - 5)
    frame = corpus_frame(store)
    assert _documents(frame) == [second.id]
    assert frame.left_out == {TOO_LONG: 1}


def test_an_empty_corpus_is_refused_with_what_was_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"found none \(nothing was left out\); collect some first"):
        corpus_frame(store)
    _put(store, "https://a.example/", "Short one.")
    monkeypatch.setattr(module, "MAX_STATEMENT", 3)
    with pytest.raises(UsageError, match=r"found none \(1 longer than"):
        corpus_frame(store)


def test_the_hash_covers_statements_traits_and_model_and_nothing_else(tmp_path: Path, invented: Codebook) -> None:
    def frame(name: str, *pages: tuple[str, str, dict[str, object]], model: Fake | None = None) -> Frame:
        with Store.open(f"sqlite:///{tmp_path / name}.db") as opened:
            for url, text, fields in pages:
                _put(opened, url, text, **fields)
            return corpus_frame(opened, model=model)

    one, two = ("https://a.example/", "Ann wants it.", {}), ("https://b.example/", "Tom does not. Never.", {})
    base = frame("base", one, two)
    assert frame("turned", two, one).hash == base.hash
    other = [
        frame("fewer", one),
        frame("trait", one, (*two[:2], {"publisher": "Gazette"})),
        frame("model", one, two, model=Fake(invented)),
    ]
    assert len({base.hash, *(f.hash for f in other)}) == 4


def test_a_model_gives_each_statement_an_uncertainty_and_a_predicted_stance(
    store: Store, invented: Codebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    _put(store, "https://a.example/", "Four. Sixty. Thirteen now.")  # 5, 6 and 13 characters
    done: list[int] = []
    fake = Fake(invented)
    frame = corpus_frame(store, model=fake, advance=done.append)
    found = {c.statement.rpartition(":")[2]: (c.traits["stance"], c.uncertainty) for c in frame.candidates}
    # 0.5 against 0.5, 0.6 against 0.4, 0.3 against 0.7: 1 less the margin
    assert found == {"0-5": ("yes_please", 1.0), "6-12": ("yes_please", 0.8), "13-26": ("no_thanks", 0.6)}
    assert fake.asked == done == [2, 1]
    assert frame.model_id == "fake@1"


@pytest.mark.slow
def test_a_bundle_judges_with_the_title_and_the_words_before(store: Store, small_bundle: Path) -> None:
    from models.predictor import Predictor

    _put(store, "https://a.example/", "Ann Gler rejects the pact in year 7. The price is high.", title="River news")
    frame = corpus_frame(store, model=small_bundle)
    predictor = Predictor.load(small_bundle)
    assert frame.model_id == predictor.model_id
    for c in frame.candidates:
        item = frame.items([c.statement])[c.statement]
        said = predictor.judge([Passage(item.statement.text, "River news", item.statement.before)])[0]
        first, second = sorted(said.probabilities, reverse=True)[:2]
        assert c.uncertainty == pytest.approx(1 - first + second, abs=1e-5)
        assert c.traits["stance"] == said.stance


def test_vectors_are_the_mean_of_the_encoders_vectors_over_a_statements_own_tokens(store: Store, tiny_encoder: str) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    _put(store, "https://a.example/", f"Ann Gler signs. {_text('Lowerton')} The price is high.")
    done: list[int] = []
    frame = corpus_frame(store, vectors=True, encoder=tiny_encoder, advance=done.append)
    assert done == [len(frame.candidates)]
    model, tokenizer = AutoModel.from_pretrained(tiny_encoder), AutoTokenizer.from_pretrained(tiny_encoder)
    for c in frame.candidates:
        text = frame.items([c.statement])[c.statement].statement.text
        batch = tokenizer(text, return_tensors="pt", truncation=True, max_length=128)
        with torch.inference_mode():
            hidden = model(**batch).last_hidden_state[0]
        assert c.vector is not None
        assert c.vector == pytest.approx(hidden[1:-1].mean(0).numpy(), abs=1e-5)  # without start and end tokens
    assert len({c.vector.tobytes() for c in frame.candidates if c.vector is not None}) == len(frame.candidates)


def test_beyond_the_limit_a_fixed_part_of_the_statements_is_embedded(
    store: Store, tiny_encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put(store, "https://a.example/", " ".join(f"Town {i} signs." for i in range(9)))
    monkeypatch.setattr(module, "with_room", lambda statements: with_room(statements, 4))
    frame = corpus_frame(store, vectors=True, encoder=tiny_encoder)
    room = with_room((c.statement for c in frame.candidates), 4)
    assert {c.statement for c in frame.candidates if c.vector is not None} == room
    assert len(room) == 4


def _folder(root: Path, pages: dict[str, str]) -> Path:
    root.mkdir()
    for name, text in pages.items():
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_folder_gives_the_statements_of_its_documents_and_names_those_that_cannot_be_read(
    tmp_path: Path, invented: Codebook
) -> None:
    folder = _folder(tmp_path / "in", {"a.txt": "Upperton wants the pact.", "b.txt": "", "c.jpg": "x"})
    read = read_folder(folder)
    assert (read.documents, read.passed_over, len(read.problems)) == (1, 1, 1)
    frame = source_frame(folder, invented)
    assert [c.statement for c in frame.candidates] == [s.id for s, _ in read.statements]
    assert frame.items([c.statement for c in frame.candidates])[read.statements[0][0].id].statement.text.startswith(
        "Upperton"
    )
    assert "b.txt" in frame.problems[0]


def test_a_folders_stories_are_those_that_the_corpus_finds(store: Store, tmp_path: Path, invented: Codebook) -> None:
    pages = {f"{i}.txt": _text("Upperton", changed=2 * i) for i in range(5)}
    pages |= {"short.txt": "Lowerton refuses.", "again.txt": "Lowerton refuses.", "other.txt": "Lowerton refuses it."}
    frame = source_frame(_folder(tmp_path / "in", pages), invented)
    documents = {d.id: d for _, d in read_folder(tmp_path / "in").statements}
    for d in documents.values():
        _put(store, d.url, d.text)
    in_store = Counter(d.story for d in store.documents())
    assert sorted(in_store.values()) == [1, 1, 5]  # the second copy of a text is no document of its own there
    assert len(_documents(frame)) == 3
    assert _documents(frame) == sorted(
        min(i for i, d in documents.items() if d.text in texts)
        for texts in ([p for n, p in pages.items() if n[0].isdigit()], ["Lowerton refuses."], ["Lowerton refuses it."])
    )


def test_a_queue_gives_its_statements(tmp_path: Path, invented: Codebook) -> None:
    from pipelines.queue import QueueItem

    document = _document("https://a.example/", "Ann wants it. Tom does not.", publisher="Gazette")
    items = [QueueItem(id=s.id, codebook_version=invented.id, statement=s, document=document) for s in _sentences(document)]
    path = tmp_path / "queue.jsonl"
    path.write_bytes(b"".join(msgspec.json.encode(i) + b"\n" for i in reversed(items)) + b"{}\n")
    frame = source_frame(path, invented, model=Fake(invented))
    assert [c.statement for c in frame.candidates] == sorted(i.statement.id for i in items)
    assert {c.traits["publisher"] for c in frame.candidates} == {"Gazette"}
    assert {c.uncertainty for c in frame.candidates} != {None}
    assert len(frame.problems) == 1
    assert json.loads(path.read_text().splitlines()[0])["statement"]["id"] in frame.items([items[1].statement.id])


def test_a_source_without_statements_is_refused_with_the_first_problem(tmp_path: Path, invented: Codebook) -> None:
    folder = _folder(tmp_path / "in", {"b.txt": ""})
    with pytest.raises(UsageError, match=r"in: expected statements to draw from.*the first problem: .*b\.txt"):
        source_frame(folder, invented)
    with pytest.raises(UsageError, match="expected a folder with documents"):
        source_frame(tmp_path / "absent", invented)


def test_an_embedding_is_an_array_of_32_bit_numbers(store: Store, tiny_encoder: str) -> None:
    _put(store, "https://a.example/", "Ann wants it.")
    vector = corpus_frame(store, vectors=True, encoder=tiny_encoder).candidates[0].vector
    assert vector is not None
    assert vector.dtype == np.float32
    assert vector.shape == (32,)


def test_a_document_that_comes_in_while_the_corpus_is_read_is_left_for_the_next_draw() -> None:
    documents = sorted(
        (_document(f"https://{i}.example/", "Ann wants it. Tom does not.") for i in range(5)), key=lambda d: d.id
    )

    class Growing:
        """Its second document has no statement yet, its third came when the list of documents had been passed."""

        def documents(self) -> Iterator[Document]:
            return iter([documents[0], documents[1], documents[3], documents[4]])

        def statements(self) -> Iterator[Statement]:
            return (s for i in (0, 2, 3) for s in _sentences(documents[i]))

    found = list(module._stored(Growing()))  # type: ignore[arg-type]
    assert found == [(documents[i], _sentences(documents[i])) for i in (0, 3)]
