"""The network: shapes, what it pools, what it points at, and where it gets its encoder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from corpus.errors import UsageError
from models.network import PACKAGED, Sizes, StanceNetwork, encoder_folder, load_encoder, new_encoder


@pytest.fixture
def network(tiny_encoder: str) -> StanceNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StanceNetwork(load_encoder(tiny_encoder)[0], Sizes(3, 2, 4), dropout=0.1).eval()


IDS = torch.tensor([[2, 10, 11, 12, 3, 20, 3], [2, 10, 3, 0, 0, 0, 0]])
MASK = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0]])
OWN = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0, 0]]).bool()


def test_heads_have_the_codebooks_sizes(network: StanceNetwork) -> None:
    found = network(IDS, MASK, OWN)
    assert found.stance.shape == (2, 3)
    assert found.concerns.shape == (2, 2)
    assert found.holder_type.shape == (2, 4)
    assert found.span.shape == (2, 7, 2)


def test_only_own_tokens_and_the_start_token_can_be_pointed_at(network: StanceNetwork) -> None:
    span = network(IDS, MASK, OWN).span
    pointable = OWN.clone()
    pointable[:, 0] = True
    assert (span[~pointable] == -1e4).all()
    assert (span[pointable] > -1e3).all()


def test_the_label_heads_read_the_mean_of_the_own_tokens(network: StanceNetwork) -> None:
    hidden = network.encoder(input_ids=IDS, attention_mask=MASK).last_hidden_state
    expected = network.stance(hidden[0, 1:4].mean(0))
    torch.testing.assert_close(network(IDS, MASK, OWN).stance[0], expected)


def test_padding_changes_nothing(network: StanceNetwork) -> None:
    alone = network(IDS[1:, :3], MASK[1:, :3], OWN[1:, :3])
    together = network(IDS, MASK, OWN)
    torch.testing.assert_close(alone.stance[0], together.stance[1])
    torch.testing.assert_close(alone.holder_type[0], together.holder_type[1])
    torch.testing.assert_close(alone.span[0], together.span[1, :3])


def test_the_packaged_encoder_is_a_folder_with_safetensors() -> None:
    folder = Path(encoder_folder(PACKAGED))
    assert (folder / "model.safetensors").is_file()
    assert new_encoder(folder).config.hidden_size == 384  # type: ignore[union-attr]


def test_a_name_that_no_hub_could_have_is_not_asked_for() -> None:
    for name in ("./here", "/there", "~/elsewhere", "a/b/c"):
        with pytest.raises(UsageError, match="no such folder"):
            load_encoder(name)


def test_a_name_that_no_hub_knows_is_refused_in_one_sentence() -> None:
    with pytest.raises(UsageError, match="no hub gave a model of that name"):  # the tests are offline, so none answers
        load_encoder("nobody/nothing")


def test_a_folder_that_holds_no_encoder_is_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder in Hugging Face form, but") as found:
        load_encoder(str(tmp_path))
    assert "\n" not in str(found.value)
