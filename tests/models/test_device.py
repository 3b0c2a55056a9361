"""Where a network computes: refused where it is not there, and everything of a training step in one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
import torch

from corpus.errors import UsageError
from models.device import check_device, device_name, has_gpu, own_randomness, products
from models.network import Sizes, StanceNetwork, load_encoder
from models.splits import take
from models.training import Extras, _Run

if TYPE_CHECKING:
    from tests.conftest import Small

PROCESSOR = torch.device("cpu")


def test_a_device_that_is_not_there_is_refused() -> None:
    check_device("cpu")
    assert device_name("cpu") == "cpu"
    with pytest.raises(UsageError, match="device 'tpu': expected one of cpu, cuda"):
        check_device("tpu")


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_the_sentence_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"found no GPU here; .* or train on the processor"):
        check_device("cuda")


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_have_the_precision_that_is_asked_for(precision: str, dtype: torch.dtype) -> None:
    with products(PROCESSOR, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
    assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_randomness_is_left_as_it_was() -> None:
    before = torch.random.get_rng_state()
    with own_randomness(PROCESSOR):
        torch.manual_seed(3)
        torch.rand(2)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("change", [{}, {"agreement": 1.0, "mask": 0.2}, {"average": 0.9}])
def test_everything_of_a_training_step_is_on_the_device_of_the_network(
    small: Small, change: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On ``meta``, a device without numbers that every torch has: as on a GPU, what lies elsewhere is an error there."""
    recipe = msgspec.structs.replace(small.recipe, precision="fp32", **change)
    encoder, tokenizer = load_encoder(recipe.encoder)
    # a look at the mask's numbers, by which transformers saves work
    monkeypatch.setattr("transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *_: False)
    sizes = (len(small.codebook.stances), len(small.codebook.concerns), len(small.codebook.holder_types))
    parts = (take(small.examples, small.split, "train")[:12], take(small.examples, small.split, "development")[:12])
    network = StanceNetwork(encoder, Sizes(*sizes), recipe.dropout).to("meta")
    run = _Run(network, tokenizer, parts, small.codebook, recipe, Extras(device="meta"))
    loss = run._loss(np.arange(8))
    assert loss.device.type == "meta"
    loss.backward()  # type: ignore[no-untyped-call]
    run.optimizer.step()
    grads = [p.grad for p in network.parameters() if p.requires_grad]
    assert grads
    assert all(g is not None and g.device.type == "meta" for g in grads)
    if run.average is not None:
        run.average.update_parameters(network)
