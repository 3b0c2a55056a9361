"""The lexicon: the same numbers as scikit-learn's, inside the network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dataset import IGNORE, Targets
from models.encoding import Encoded, collate
from models.inference import Scores
from models.lexicon import Blend, blended, fit_blend, fit_lexicon, lexicon_scores
from models.network import Lexicon

PIECES = 12
SIZES = (2, 1, 2)


def passage(*ids: int) -> Encoded:
    """A passage between two special tokens, which are not its own."""
    return Encoded((0, *ids, 1), (False, *(True for _ in ids), False), tuple((i, i + 1) for i in range(len(ids) + 2)))


PASSAGES = [passage(2, 3, 3), passage(2, 4), passage(5, 3, 6), passage(5, 4, 4, 4), passage(2, 6), passage(5, 5, 6)]
GOLD = Targets(
    np.array([0, 0, 1, 1, 0, 1]),
    np.array([[1], [0], [1], [0], [0], [0]], dtype=np.float32),
    np.array([0, 0, 1, 1, IGNORE, 1]),
    np.full((6, 2), -1),
)


def nothing(n: int) -> Scores:
    return Scores(np.zeros((n, 2)), np.zeros((n, 1)), np.zeros((n, 2)), np.full((n, 2), -1))


def test_it_scores_as_scikit_learn_does_with_the_same_features() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [" ".join(str(i) for i in e.ids[1:-1]) for e in PASSAGES]
    vectorizer = TfidfVectorizer(sublinear_tf=True, token_pattern=r"\S+")  # noqa: S106  # a pattern, not a password
    x = vectorizer.fit_transform(texts)
    binary = LogisticRegression(C=3.0, class_weight="balanced", tol=1e-6, max_iter=400)
    ours = lexicon_scores(fit_lexicon(PASSAGES, GOLD, SIZES, PIECES, 3.0), PASSAGES, nothing(6))
    stance = binary.fit(x, GOLD.stance).decision_function(x)
    assert ours.stance[:, 1] - ours.stance[:, 0] == pytest.approx(stance, abs=1e-3)
    concern = binary.fit(x, GOLD.concerns[:, 0] > 0).decision_function(x)
    assert ours.concerns[:, 0] == pytest.approx(concern, abs=1e-3)
    known = GOLD.holder_type != IGNORE
    kind = binary.fit(x[known], GOLD.holder_type[known]).decision_function(x)
    assert ours.holder_type[:, 1] - ours.holder_type[:, 0] == pytest.approx(kind, abs=1e-3)


def test_a_piece_never_seen_and_a_passage_of_such_pieces_say_nothing_but_the_bias() -> None:
    lexicon = fit_lexicon(PASSAGES, GOLD, SIZES, PIECES, 3.0)
    scores = lexicon(*(t for i, t in enumerate(collate([passage(9, 9, 10), passage()], 0)) if i != 1))
    assert torch.allclose(scores, lexicon.bias.expand(2, -1))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.integers(2, PIECES - 1), min_size=1, max_size=9), min_size=1, max_size=6))
def test_a_passage_scores_the_same_alone_padded_and_in_another_order(rows: list[list[int]]) -> None:
    lexicon = fit_lexicon(PASSAGES, GOLD, SIZES, PIECES, 3.0)
    together = lexicon_scores(lexicon, [passage(*r) for r in rows], nothing(len(rows)))
    for i, row in enumerate(rows):
        alone = lexicon_scores(lexicon, [passage(*reversed(row))], nothing(1))
        assert together.stance[i] == pytest.approx(alone.stance[0], abs=1e-5)


def test_a_stance_or_concern_without_a_case_is_never_the_best_and_never_raised() -> None:
    kinds = np.array([0, 0, 0, 2, 2, 2])
    gold = Targets(np.zeros(6, dtype=np.int64), np.zeros((6, 1), dtype=np.float32), kinds, GOLD.holder)
    scores = lexicon_scores(fit_lexicon(PASSAGES, gold, (2, 1, 3), PIECES, 3.0), PASSAGES, nothing(6))
    assert (scores.concerns < 0).all()
    assert (scores.holder_type.argmax(1) != 1).all()


def test_a_blend_trusts_the_half_that_knows_and_splits_evenly_where_nobody_does() -> None:
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    gold = Targets(y, y[:, None].astype(np.float32), y, np.full((400, 2), -1))
    truth = np.stack([1.0 - y, y], axis=1) * 2 + rng.normal(size=(400, 2))
    noise = rng.normal(size=(400, 2))
    known = Scores(truth, truth[:, 1:] - truth[:, :1], truth, gold.holder)
    guess = Scores(noise, noise[:, 1:] - noise[:, :1], noise, gold.holder)
    for own, lexicon, knows in ((known, guess, 0), (guess, known, 1)):
        for pair in fit_blend(Blend(own, lexicon), gold):
            assert pair[knows] > 0.5
            assert pair[1 - knows] < 0.2
    nobody = Targets(y[:3], np.zeros((3, 0), np.float32), np.full(3, IGNORE), gold.holder[:3])
    tiny = Scores(truth[:3], np.zeros((3, 0)), truth[:3], gold.holder[:3])
    assert fit_blend(Blend(tiny, tiny), nobody)[1:] == ((0.5, 0.5), (0.5, 0.5))


def test_the_network_gives_the_blend_that_was_fitted() -> None:
    from transformers import BertConfig, BertModel

    from models.inference import run_network
    from models.network import Sizes, StanceNetwork

    torch.manual_seed(0)
    config = BertConfig(vocab_size=PIECES, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
    network = StanceNetwork(BertModel(config, add_pooling_layer=False), Sizes(*SIZES), 0.0)
    own = run_network(network, PASSAGES, pad=0)
    lexicon = fit_lexicon(PASSAGES, GOLD, SIZES, PIECES, 3.0)
    expected = blended(Blend(own, lexicon_scores(lexicon, PASSAGES, own)), ((1.0, 2.0), (0.5, 0.0), (0.0, 1.0)))
    lexicon.blend.copy_(torch.tensor([[1.0, 2.0], [0.5, 0.0], [0.0, 1.0]]))
    network.lexicon = lexicon
    found = run_network(network, PASSAGES, pad=0)
    for name in ("stance", "concerns", "holder_type"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-5)
    assert (found.holder == own.holder).all()


def test_an_untrained_lexicon_is_silent() -> None:
    ids, _, own = collate(PASSAGES, 0)
    assert torch.equal(Lexicon(PIECES, 5)(ids, own), torch.zeros(6, 5))
