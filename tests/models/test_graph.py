"""The exported graph says what the network says, and holds no second copy of its weights."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
import torch

from models.bundle import Bundle, load_bundle
from models.encoding import encode
from models.fast_path import FP32, INT8
from models.graph import GraphError, _Exported, export, quantise, share_weights
from models.inference import run_network
from models.network import Sizes, StanceNetwork, new_encoder
from models.passage import Passage
from models.runtime import GraphRunner
from models.scores import Scores
from models.splits import take

if TYPE_CHECKING:
    from tests.conftest import Small

pytestmark = pytest.mark.slow  # exports the network

TEXTS = [
    "Upperton rejects the pact.",
    "Ann Gler welcomes the pact gladly at kebali. Salmon and fish matter. The price is high.",
    "Pact",
    "Lowerton " * 90,
    "\U0001f41f Ünïcode 漢字 and a tab\there",
]


@pytest.fixture(scope="module")
def bundle(fast_bundle: Path) -> Bundle:
    return load_bundle(fast_bundle)


def assert_close(a: Scores, b: Scores) -> None:
    for name in ("stance", "concerns", "holder_type"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=2e-5)
    assert (a.holder == b.holder).all()


@pytest.mark.parametrize("count", [1, 3, 17])
def test_graph_scores_as_the_network_whatever_the_batch_and_length(bundle: Bundle, count: int) -> None:
    passages = [Passage(f"{TEXTS[i % len(TEXTS)]} {'really ' * i}") for i in range(count)]
    encoded = encode(bundle.tokenizer, passages, context="none", max_length=bundle.recipe.max_length)
    found = GraphRunner(bundle.folder / FP32, bundle.sizes).scores(encoded)
    assert_close(found, run_network(bundle.network, encoded, pad=bundle.tokenizer.pad_token_id))


def test_exported_forward_pass_is_the_networks(bundle: Bundle) -> None:
    """Sums written as products, and logarithms from a table, are the same sums and logarithms."""
    ids = torch.tensor([[2, 9, 9, 9, 3], [2, 7, 8, 9, 3]])
    own = torch.tensor([[False, True, True, True, False], [False, True, False, True, False]])
    with torch.inference_mode():
        ours = _Exported(bundle.network)(ids, own)
        theirs = bundle.network(ids, torch.ones_like(ids), own)
    for a, b in zip(ours, (theirs.stance, theirs.concerns, theirs.holder_type, theirs.span), strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


def test_graph_points_into_the_weights_file_and_holds_none_itself(fast_bundle: Path) -> None:
    model = onnx.load(fast_bundle / FP32, load_external_data=False)
    outside = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {e.value for t in outside for e in t.external_data if e.key == "location"} == {"model.safetensors"}
    inside = sum(len(t.raw_data) for t in model.graph.initializer)
    assert inside < 40_000  # a table of logarithms and what is smaller than a kilobyte
    assert (fast_bundle / "model.safetensors").stat().st_size > 3 * inside
    domains = {node.domain for node in model.graph.node}
    assert domains == {"", "com.microsoft"}  # the latter for the fused attention


def test_graph_says_nothing_of_the_machine_it_was_made_on(fast_bundle: Path) -> None:
    words = (fast_bundle / FP32).read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in words
    assert b"site-packages" not in words


def test_the_same_network_gives_the_same_graphs(bundle: Bundle, small: Small, tmp_path: Path) -> None:
    weights = shutil.copy(bundle.folder / "model.safetensors", tmp_path)
    export(bundle.network, Path(weights), tmp_path / FP32)
    part = take(small.examples, small.split, "development")
    encoded = encode(bundle.tokenizer, [e.passage for e in part], context="none", max_length=bundle.recipe.max_length)
    quantise(tmp_path / FP32, Path(weights), tmp_path / INT8, encoded)
    for name in (FP32, INT8):
        assert (tmp_path / name).read_bytes() == (bundle.folder / name).read_bytes()


def test_weights_that_are_not_in_the_file_stay_in_the_graph(bundle: Bundle, tmp_path: Path) -> None:
    array = np.arange(800, dtype=np.float32).reshape(40, 20)
    tensor = onnx.numpy_helper.from_array(array, "w")
    graph = onnx.helper.make_graph([], "g", [], [], [tensor])
    model = onnx.helper.make_model(graph)
    assert share_weights(model, bundle.folder / "model.safetensors") == array.nbytes
    assert onnx.numpy_helper.to_array(model.graph.initializer[0]).tolist() == array.tolist()


def test_an_encoder_with_attention_of_its_own_is_exported_as_it_is(tmp_path: Path) -> None:
    """MPNet adds a position bias to attention, which cannot be replaced; its graph is as right."""
    from safetensors.torch import save_file

    config = {
        "model_type": "mpnet",
        "vocab_size": 60,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        network = StanceNetwork(new_encoder(tmp_path), Sizes(3, 2, 2), 0.1).eval()
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, tmp_path / "model.safetensors")
    made = export(network, tmp_path / "model.safetensors", tmp_path / FP32)
    assert made["attention"] == "as exported"
    from models.encoding import Encoded

    encoded = [Encoded(tuple(range(2, 2 + n)), (True,) * n, tuple((i, i + 1) for i in range(n))) for n in (3, 9, 9, 14)]
    assert_close(GraphRunner(tmp_path / FP32, (3, 2, 2)).scores(encoded), run_network(network, encoded, pad=1))


def test_a_network_that_cannot_be_exported_is_named_with_its_reason(bundle: Bundle, tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def __init__(self, inner: torch.nn.Module) -> None:
            super().__init__()
            self.inner, self.config = inner, inner.config

        def forward(self, **inputs: torch.Tensor) -> object:
            if inputs["input_ids"].sum().item() > 7:  # a decision on data, which no graph can hold
                raise ValueError("odd")
            return self.inner(**inputs)

    network = StanceNetwork(Odd(bundle.network.encoder), Sizes(*bundle.sizes), 0.1)
    with pytest.raises(GraphError, match=r"\w"):
        export(network, bundle.folder / "model.safetensors", tmp_path / FP32)


def test_a_graph_runs_without_torch(fast_bundle: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from models.passage import Passage
from models.predictor import Predictor
predictor = Predictor.load(Path({str(fast_bundle)!r}), precision="int8", cascade=True)
found = predictor.judge([Passage("Upperton rejects the pact.")])
assert found[0].stance == "no_thanks", found
heavy = [name for name in ("torch", "transformers", "onnx", "sklearn", "scipy", "pandas") if name in sys.modules]
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
