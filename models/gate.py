"""The cascade's first stage: the lexicon alone, which may settle a statement that it is sure says nothing.

The lexicon costs a table lookup a token, the encoder a thousand times as much. Where its own calibrated decision is "no
position, no concern, nobody", clearly enough that development data had no such decision changed by the encoder beyond the
bound, the statement is settled; all others go on to the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from models.calibration import Calibration, stable
from models.encoding import Encoded
from models.scores import Floats, Scores, empty_scores

BOUND = 0.005
"""Greatest expected share of decisions that the cascade changes."""


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the lexicon settles a statement: at a clearance of ``threshold`` or more, by its own ``calibration``.

    ``bound`` is what was promised of the share of changed decisions, ``development`` the statements it was chosen on, of
    which ``settled`` were settled and ``changed`` differ from the encoder's decision.
    """

    threshold: float
    calibration: Calibration
    bound: float
    development: int
    settled: int
    changed: int


@dataclass(frozen=True)
class Words:
    """The lexicon's tables: ``idf`` (pieces,), ``weight`` (pieces, labels), ``bias`` (labels,)."""

    idf: NDArray[np.float32]
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    @classmethod
    def read(cls, weights: Path) -> Words:
        """Read them from a bundle's ``model.safetensors``."""
        from safetensors import safe_open

        with safe_open(weights, "np") as tensors:
            return cls(*(tensors.get_tensor(f"lexicon.{name}") for name in ("idf", "weight", "bias")))

    def scores(self, encoded: Sequence[Encoded], sizes: tuple[int, int, int]) -> Scores:
        """Return the lexicon's scores for passages, holders left out: as :class:`models.network.Lexicon` gives them."""
        found = empty_scores(len(encoded), *sizes)
        pieces = [[i for i, mine in zip(e.ids, e.own, strict=True) if mine] for e in encoded]
        rows = np.repeat(np.arange(len(pieces)), [len(p) for p in pieces])
        places, counts = np.unique(
            rows * len(self.idf) + np.concatenate([np.array(p, dtype=np.int64) for p in pieces]), return_counts=True
        )
        row, piece = np.divmod(places, len(self.idf))
        value = (1 + np.log(counts)) * self.idf[piece].astype(np.float64)
        length = np.sqrt(np.bincount(row, value * value, minlength=len(pieces))).clip(min=1e-12)
        products = self.weight[piece] * (value / length[row])[:, None]
        filled, first = np.unique(row, return_index=True)
        z = np.tile(self.bias.astype(np.float64), (len(pieces), 1))
        if len(filled):
            z[filled] += np.add.reduceat(products, first, axis=0)
        s, c = sizes[0], sizes[1]
        found.stance[:], found.concerns[:], found.holder_type[:] = z[:, :s], z[:, s : s + c], z[:, s + c :]
        return found


def clearance(scores: Scores, calibration: Calibration, codebook: Codebook) -> Floats:
    """Return (n,) how clearly scores say "no position, no concern": negative or zero where they say something else.

    The least of two distances in log odds: from the likeliest position up to the likeliest stance without one, and from the
    concern closest to being raised to its threshold.
    """
    silent = np.array([s.polarity == "neutral" for s in codebook.stances])
    if not silent.any() or silent.all():
        return np.full(len(scores.stance), -np.inf)
    p = np.log(calibration.stance(scores.stance).clip(1e-12))
    lead = p[:, silent].max(1) - p[:, ~silent].max(1)
    return np.asarray(np.minimum(lead, (-concern_distance(scores, calibration)).min(1, initial=np.inf)))


def concern_distance(scores: Scores, calibration: Calibration) -> Floats:
    """Return (n, concerns) how far each concern's log odds lie above its threshold; below zero it is not raised."""
    raised = calibration.concerns(scores.concerns)
    return np.asarray(_log_odds(raised) - _log_odds(np.array(calibration.thresholds)))


def stance_lead(scores: Scores, calibration: Calibration) -> Floats:
    """Return (n,) by how much log probability the likeliest stance leads the next."""
    p = np.sort(np.log(calibration.stance(scores.stance).clip(1e-12)), axis=1)
    return np.asarray(p[:, -1] - p[:, -2])


def changed(a: Scores, of_a: Calibration, b: Scores, of_b: Calibration) -> NDArray[np.bool_]:
    """Return (n,) whether two sets of scores decide the stance or any concern differently."""
    stance = of_a.stance(a.stance).argmax(1) != of_b.stance(b.stance).argmax(1)
    concerns = of_a.decide_concerns(of_a.concerns(a.concerns)) != of_b.decide_concerns(of_b.concerns(b.concerns))
    return np.asarray(stance | concerns.any(1))


def choose_threshold(clear: Floats, wrong: NDArray[np.bool_], bound: float) -> float | None:
    """Return the lowest threshold at which the expected share of changed decisions stays within the bound, None without one.

    Conformal risk control (Angelopoulos et al. 2024, equation 4) for the loss "settled and changed" of n exchangeable
    statements: (changed + 1) / (n + 1) <= bound. Only clearances above zero count.

    Args:
        clear: (n,) clearances.
        wrong: (n,) whether settling would change the decision.
        bound: Of the share of all statements.
    """
    allowed = int(np.floor(bound * (len(clear) + 1) - 1 + 1e-9))
    if allowed < 0:
        return None
    bad = np.sort(clear[wrong & (clear > 0)])[::-1]
    low = float(bad[allowed]) if len(bad) > allowed else 0.0
    above = clear[clear > low]
    return float(np.ceil(above.min() * 1e4) / 1e4) if len(above) else None


def fit_gate(
    words: Scores, own: Scores, calibration: Calibration, gold: tuple[NDArray[np.int64], NDArray[Any]], codebook: Codebook
) -> Gate | None:
    """Choose when the lexicon may settle a statement, None where development data do not support it.

    Args:
        words: The lexicon's scores of the development statements.
        own: The whole network's.
        calibration: The whole network's.
        gold: Gold stances (n,) and concerns (n, concerns) of them, to calibrate the lexicon on.
        codebook: Whose stances they are.
    """
    from models.calibration import fit_calibration

    of_words = fit_calibration(words.stance, gold[0], words.concerns, gold[1])
    of_words = msgspec.structs.replace(of_words, pairs=())
    clear, wrong = clearance(words, of_words, codebook), changed(words, of_words, own, calibration)
    threshold = choose_threshold(stable(clear), wrong, BOUND)
    if threshold is None:
        return None
    settled = stable(clear) >= threshold
    return Gate(
        threshold=threshold,
        calibration=of_words,
        bound=BOUND,
        development=len(clear),
        settled=int(settled.sum()),
        changed=int((settled & wrong).sum()),
    )


def _log_odds(p: Floats) -> Floats:
    p = p.clip(1e-12, 1 - 1e-12)
    return np.asarray(np.log(p / (1 - p)))
