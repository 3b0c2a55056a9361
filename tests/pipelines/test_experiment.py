"""Cross-validation holds each statement out once and never lets a group stand on two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from models.splits import group_examples, take
from pipelines.experiment import cross_validate, make_folds

if TYPE_CHECKING:
    from tests.conftest import Small


def test_each_statement_is_held_out_once_and_groups_stay_on_one_side(small: Small) -> None:
    group = {e.statement.id: g for e, g in zip(small.examples, group_examples(small.examples), strict=True)}
    held: list[str] = []
    for fold in make_folds(small.examples, folds=4, seed=0):
        sides = [{group[e.statement.id] for e in part} for part in (fold.training, fold.development, fold.held_out)]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert sides[i].isdisjoint(sides[j])
        assert sum(map(len, (fold.training, fold.development, fold.held_out))) == len(small.examples)
        held += [e.statement.id for e in fold.held_out]
    assert sorted(held) == sorted(e.statement.id for e in small.examples)


@pytest.mark.slow
def test_a_row_tells_what_was_tried_and_what_it_scored(small: Small) -> None:
    known = (*take(small.examples, small.split, "train"), *take(small.examples, small.split, "development"))
    recipe = msgspec.structs.replace(small.recipe, epochs=1)
    row = cross_validate(known, small.codebook, "tiny", recipe, folds=3, seeds=(0, 1), split_hash="h")
    assert row.statements == len(known)
    assert row.recipe is not None
    assert row.recipe["epochs"] == 1
    assert "batch_size" not in row.recipe, "as in the default recipe"
    figure = row.figures["stance_macro_f1"]
    assert 0 <= figure.low <= figure.value <= figure.high <= 1
    assert row.spread["stance_macro_f1"] > 0, "two seeds differ"
    linear = cross_validate(known, small.codebook, "linear", None, folds=3, seeds=(0,), split_hash="h")
    assert linear.recipe is None
    assert linear.figures["concern_macro_f1"].value > 0.9, "words alone give these concerns away"
