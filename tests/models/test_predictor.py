"""A judgement depends on its passage alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.errors import BundleError, UsageError
from models.bundle import load_bundle, open_bundle, save_bundle
from models.encoding import Encoded
from models.gate import Gate, Words
from models.graph import GraphError
from models.passage import Judgement, Passage
from models.predictor import Precision, Predictor
from models.runtime import GraphRunner
from models.scores import Scores

if TYPE_CHECKING:
    from tests.conftest import Small


@pytest.fixture(scope="session")
def predictor(small_bundle: Path) -> Predictor:
    return Predictor.load(small_bundle)


def assert_same(a: Judgement, b: Judgement) -> None:
    """The same decisions, and probabilities that differ by no more than the rounding of a logit."""
    assert (a.stance, a.concerns, a.holder_start, a.holder_end) == (b.stance, b.concerns, b.holder_start, b.holder_end)
    assert a.holder_type == b.holder_type
    assert a.probabilities == pytest.approx(b.probabilities, abs=2e-4)
    assert a.concern_probabilities == pytest.approx(b.concern_probabilities, abs=2e-4)


words = st.lists(
    st.sampled_from(["Upperton", "rejects", "welcomes", "the", "pact", "fish", "price", "\U0001f41f", "Ünïcode"]),
    min_size=1,
    max_size=40,
)


@settings(max_examples=30)
@given(texts=st.lists(words.map(" ".join), min_size=1, max_size=25), order=st.randoms(use_true_random=False))
@pytest.mark.slow
def test_batch_composition_never_changes_a_decision(predictor: Predictor, texts: list[str], order: object) -> None:
    passages = [Passage(t) for t in texts]
    shuffled = list(range(len(passages)))
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    together = predictor.judge(passages)
    mixed = predictor.judge([passages[i] for i in shuffled])
    for place, i in enumerate(shuffled):
        assert_same(mixed[place], together[i])
    for a, b in zip([predictor.judge([p])[0] for p in passages[:3]], together, strict=False):
        assert_same(a, b)


def test_token_budget_and_threads_change_no_judgement(small_bundle: Path, predictor: Predictor) -> None:
    passages = [Passage(f"Lowerton {'really ' * (i % 17)}rejects the pact. {'Fish. ' * (i % 5)}") for i in range(60)]
    small_batches = Predictor(load_bundle(small_bundle), tokens=64)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = predictor.judge(passages)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(one, small_batches.judge(passages), strict=True):
        assert_same(a, b)


def test_judgements_follow_the_codebook(predictor: Predictor) -> None:
    text = "Ann Gler rejects the pact in year 7. The price is high."
    found = predictor.judge([Passage(text)])[0]
    assert found.stance == "no_thanks"
    assert found.concerns == ("money",)
    assert sum(found.probabilities) == pytest.approx(1)
    assert found.confidence == max(found.probabilities)
    assert found.holder_type == "angler"
    assert text[found.holder_start : found.holder_end] == "Ann Gler"


def test_nothing_in_nothing_out(predictor: Predictor) -> None:
    assert predictor.judge([]) == []


@pytest.mark.slow
class TestFastPath:
    """With a graph, a judgement is the same to the last bit."""

    @pytest.mark.parametrize(("precision", "cascade"), [("fp32", False), ("int8", False), ("int8", True)])
    @settings(max_examples=25)
    @given(texts=st.lists(words.map(" ".join), min_size=1, max_size=25), order=st.randoms(use_true_random=False))
    def test_batch_composition_changes_no_bit(
        self, fast_bundle: Path, texts: list[str], order: random.Random, precision: Precision, cascade: bool
    ) -> None:
        passages = [Passage(t) for t in texts]
        shuffled = order.sample(range(len(passages)), len(passages))
        together = Predictor.load(fast_bundle, precision=precision, cascade=cascade, threads=2).judge(passages)
        mixed = Predictor.load(fast_bundle, precision=precision, cascade=cascade, threads=1)
        assert mixed.judge([passages[i] for i in shuffled]) == [together[i] for i in shuffled]
        fresh = Predictor.load(fast_bundle, precision=precision, cascade=cascade)
        assert [fresh.judge([p])[0] for p in passages[:4]] == together[:4]

    def test_graph_and_torch_judge_alike(self, fast_bundle: Path, predictor: Predictor) -> None:
        passages = [Passage(f"Lowerton {'really ' * (i % 17)}rejects the pact. {'Fish. ' * (i % 5)}") for i in range(60)]
        for a, b in zip(Predictor.load(fast_bundle).judge(passages), predictor.judge(passages), strict=True):
            assert_same(a, b)

    def test_8_bit_numbers_decide_as_32_bits_do(self, fast_bundle: Path, small: Small) -> None:
        passages = [e.passage for e in small.examples]
        exact = Predictor.load(fast_bundle).judge(passages)
        coarse = Predictor.load(fast_bundle, precision="int8")
        found = coarse.judge(passages)
        assert coarse.settings == {"precision": "int8", "runtime": "onnx", "cascade": False}
        assert any(a.probabilities != b.probabilities for a, b in zip(exact, found, strict=True))
        flipped = sum((a.stance, a.concerns) != (b.stance, b.concerns) for a, b in zip(exact, found, strict=True))
        assert flipped <= 0.01 * len(passages)

    @pytest.mark.parametrize(("coarse", "chosen"), [(1.0, "int8"), (2.0, "fp32")])
    def test_auto_takes_8_bits_where_they_are_faster_with_the_repeats_counted(
        self, fast_bundle: Path, monkeypatch: pytest.MonkeyPatch, coarse: float, chosen: str
    ) -> None:
        """By a clock on which a 32-bit pass takes two seconds, and an 8-bit pass one or two."""
        now = [0.0]

        class Clocked(GraphRunner):
            def scores(self, encoded: Sequence[Encoded]) -> Scores:
                now[0] += coarse if self._tokens == 0 else 2.0
                return super().scores(encoded)

        monkeypatch.setattr("models.runtime.GraphRunner", Clocked)
        monkeypatch.setattr("models.predictor.time.perf_counter", lambda: now[0])
        found = Predictor.load(fast_bundle, precision="auto")
        assert found.settings == {"precision": chosen, "runtime": "onnx", "cascade": False}

    def test_copies_of_a_text_are_computed_once(self, fast_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        predictor = Predictor.load(fast_bundle)
        asked: list[int] = []
        inner = predictor._exact.scores
        monkeypatch.setattr(predictor._exact, "scores", lambda encoded: asked.append(len(encoded)) or inner(encoded))
        first = predictor.judge([Passage("Upperton signs."), Passage("Upperton signs.", title="Elsewhere"), Passage("No.")])
        again = predictor.judge([Passage("No."), Passage("New."), Passage("Upperton signs.", before="Said:")])
        assert asked == [2, 1]
        assert first[0] == first[1] == again[2]

    def test_what_was_forgotten_is_computed_again(self, fast_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("models.predictor._REMEMBERED", 2)
        predictor = Predictor.load(fast_bundle)
        passages = [Passage(f"Upperton signs {i}.") for i in range(5)]
        assert predictor.judge(passages) == predictor.judge(passages)

    def test_a_statement_that_the_cascade_settles_says_nothing(self, fast_bundle: Path, small: Small) -> None:
        """A gate that lets nearly everything through, to see what it writes."""
        passages = [e.passage for e in small.examples]
        exact = Predictor.load(fast_bundle)
        predictor = Predictor.load(fast_bundle, cascade=True)
        gate = predictor.fast.gate or Gate(
            threshold=0, calibration=exact.bundle.calibration, bound=0.005, development=1, settled=1, changed=0
        )
        predictor._gate = msgspec.structs.replace(gate, threshold=0.01)
        predictor._words = Words.read(fast_bundle / "model.safetensors")
        settled = [b for a, b in zip(exact.judge(passages), predictor.judge(passages), strict=True) if a != b]
        assert len(settled) > 20
        for judgement in settled:
            assert (judgement.stance, judgement.concerns, judgement.holder_type) == ("silent", (), "nobody")
            assert judgement.holder_start is None
            assert judgement.confidence == max(judgement.probabilities)
            assert sum(judgement.probabilities) == pytest.approx(1)

    def test_a_bundle_without_a_graph_refuses_8_bit_numbers_and_labels_without(self, small_bundle: Path) -> None:
        with pytest.raises(UsageError, match=r"small: precision int8 was asked for, but the bundle has no 8-bit graph"):
            Predictor.load(small_bundle, precision="int8")
        found = Predictor.load(small_bundle, precision="auto", cascade=True)
        assert found.settings == {"precision": "fp32", "runtime": "torch", "cascade": False}

    def test_an_unknown_precision_is_refused(self, fast_bundle: Path) -> None:
        with pytest.raises(UsageError, match="precision 'fp8': expected one of fp32, int8, auto"):
            Predictor.load(fast_bundle, precision="fp8")  # type: ignore[arg-type]

    def test_manifest_says_what_the_fast_path_changes(self, fast_bundle: Path) -> None:
        fast = open_bundle(fast_bundle).manifest["fast_path"]
        assert fast["difference"] < 1e-4
        assert fast["plain_tokenizer"] is True
        assert 0 <= fast["int8"]["changed"] <= fast["int8"]["flips"] <= fast["int8"]["development"]
        assert fast["metrics"]["fp32"].keys() == fast["metrics"]["int8"].keys()
        assert fast["metrics"]["fp32"].keys() >= {
            "stance_macro_f1",
            "concern_macro_f1",
            "holder_overlap_f1",
            "accuracy_at_70",
        }
        assert fast["graph"]["attention"] == "fused"


def test_a_network_that_cannot_be_exported_makes_a_bundle_that_says_why_and_labels_on_torch(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise GraphError("no such operation")

    monkeypatch.setattr("models.graph.export", refuse)
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    bundle = tmp_path / "bundle"
    save_bundle(bundle, small.trained, small.codebook, small.split, facts=facts, development=small.examples[:9])
    found = Predictor.load(bundle, precision="auto")
    assert (found.runtime, found.fast.reason) == ("torch", "no such operation")
    assert found.judge([Passage("Upperton rejects the pact.")])[0].stance == "no_thanks"
    with pytest.raises(UsageError, match=r"no 8-bit graph \(no such operation\)"):
        Predictor.load(bundle, precision="int8")


@pytest.mark.slow
def test_a_graph_that_is_not_the_network_is_not_published(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.fast_path.TOLERANCE", 0.0)
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    with pytest.raises(BundleError, match=r"bundle: expected the exported graph to score .* is not published"):
        save_bundle(
            tmp_path / "bundle", small.trained, small.codebook, small.split, facts=facts, development=small.examples[:9]
        )
    assert list(tmp_path.iterdir()) == []
