"""Checkpoints: a stopped run goes on as if it had never stopped, and only its own checkpoint is taken."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import torch

from models.checkpoint import Progress, load_checkpoint, save_checkpoint, shuffle_state
from models.splits import take
from models.training import Extras, Listener, Taught, fine_tune

if TYPE_CHECKING:
    from models.dataset import Example
    from tests.conftest import Small


pytestmark = pytest.mark.slow  # each of them trains


class StoppedError(Exception):
    """What a test raises in the place of a power cut."""


def parts(small: Small) -> tuple[list[Example], list[Example]]:
    one, two = (list(take(small.examples, small.split, p))[:60] for p in ("train", "development"))
    return one, two


def stop_after(epoch: int) -> Listener:
    def listen(row: dict[str, float]) -> None:
        if row["epoch"] == epoch:
            raise StoppedError

    return Listener(epoch=listen)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_run_that_is_stopped_and_resumed_gives_the_weights_of_one_that_is_not(
    small: Small, tmp_path: Path, average: float
) -> None:
    recipe = msgspec.structs.replace(small.recipe, epochs=4, average=average, dropout=0.2)
    training, development = parts(small)
    whole = fine_tune(training, development, small.codebook, recipe)
    folder = tmp_path / "checkpoint"
    extras = Extras(checkpoint=folder)
    for epoch in (1, 3):
        with pytest.raises(StoppedError):
            fine_tune(training, development, small.codebook, recipe, stop_after(epoch), extras)
        assert folder.is_dir()
    rows: list[dict[str, float]] = []
    resumed = fine_tune(training, development, small.codebook, recipe, Listener(epoch=rows.append), extras)
    assert [row["epoch"] for row in rows] == [4.0], "the first three epochs are not learned again"
    one, two = whole.network.state_dict(), resumed.network.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert whole.history == resumed.history
    assert whole.calibration == resumed.calibration
    assert not folder.exists(), "what is no longer needed is removed"


def test_a_checkpoint_of_other_data_another_recipe_or_another_teacher_is_not_taken(small: Small, tmp_path: Path) -> None:
    training, development = parts(small)
    recipe = msgspec.structs.replace(small.recipe, epochs=2)
    others = (
        (training[:-1], recipe, Extras(checkpoint=tmp_path / "c")),
        (training, msgspec.structs.replace(recipe, learning_rate=1e-5), Extras(checkpoint=tmp_path / "c")),
        (training, recipe, Extras(checkpoint=tmp_path / "c", key="another teacher")),
    )
    for data, changed, extras in others:
        with pytest.raises(StoppedError):
            fine_tune(training, development, small.codebook, recipe, stop_after(1), Extras(checkpoint=tmp_path / "c"))
        rows: list[dict[str, float]] = []
        fine_tune(data, development, small.codebook, changed, Listener(epoch=rows.append), extras)
        assert [row["epoch"] for row in rows] == [1.0, 2.0]


@pytest.mark.parametrize("damage", ["state.json", "state.safetensors"])
def test_a_damaged_checkpoint_counts_as_none(tmp_path: Path, damage: str) -> None:
    order = shuffle_state(random.Random(0))  # noqa: S311  # no secret
    progress = Progress(key="k", epoch=1, step=3, history=(), best_epoch=1, shuffle=order)
    save_checkpoint(tmp_path / "c", progress, {"network/w": torch.ones(2)})
    assert load_checkpoint(tmp_path / "c", "another") is None
    found = load_checkpoint(tmp_path / "c", "k")
    assert found is not None
    assert found[0] == progress
    assert torch.equal(found[1]["network/w"], torch.ones(2))
    with (tmp_path / "c" / damage).open("r+b") as stream:
        stream.truncate(20)
    assert load_checkpoint(tmp_path / "c", "k") is None
    assert load_checkpoint(tmp_path / "nowhere", "k") is None


def test_a_teacher_is_mixed_into_the_targets(small: Small) -> None:
    import numpy as np

    training, development = parts(small)
    s, c = len(small.codebook.stances), len(small.codebook.concerns)
    recipe = msgspec.structs.replace(small.recipe, epochs=3, distil=1.0, lexicon=0.0, learning_rate=1e-3)
    always = Taught(np.eye(s)[np.full(len(training), 1)], np.zeros((len(training), c)))
    trained = fine_tune(training, development, small.codebook, recipe, extras=Extras(taught=always))
    from models.encoding import encode
    from models.inference import run_network

    encoded = encode(trained.tokenizer, [e.passage for e in development], context="none", max_length=64)
    scores = run_network(trained.network, encoded, pad=trained.tokenizer.pad_token_id)
    assert (scores.stance.argmax(1) == 1).all(), "with gold's share at zero the network says what the teacher says"
    assert (scores.concerns < 0).all()


def test_a_teacher_may_count_in_some_targets_only_and_leave_holders_out(small: Small) -> None:
    import numpy as np

    training, development = parts(small)
    n, s, c = len(training), len(small.codebook.stances), len(small.codebook.concerns)
    recipe = msgspec.structs.replace(small.recipe, epochs=1, distil=1.0)
    said = (np.eye(s)[np.full(n, 1)], np.zeros((n, c)))
    plain = fine_tune(training, development, small.codebook, recipe)
    unheard = fine_tune(training, development, small.codebook, recipe, extras=Extras(taught=Taught(*said, np.zeros(n))))
    assert torch.equal(plain.network.stance.weight, unheard.network.stance.weight), "a share of zero is no teacher"
    nobody = [
        replace(e, gold=msgspec.structs.replace(e.gold, holder=None, holder_start=None, holder_end=None)) for e in training
    ]
    for known, same in ((False, True), (True, False)):
        extras = Extras(taught=Taught(*said, np.zeros(n), np.full(n, known)))
        one, other = (fine_tune(p, development, small.codebook, recipe, extras=extras) for p in (training, nobody))
        assert torch.equal(one.network.span.weight, other.network.span.weight) == same
