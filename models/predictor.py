"""The predictor: a bundle that judges passages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from annotation.codebook import Codebook
from corpus.errors import BundleError
from models.bundle import Bundle, load_bundle
from models.encoding import encode
from models.inference import Scores, run_network
from models.passage import Judgement, Passage
from models.selective import Selection, choose_threshold


class Predictor:
    """Judges passages with a bundle: each distinct passage once, in batches of like length, each as if it were alone."""

    def __init__(self, bundle: Bundle, *, tokens: int = 2048) -> None:
        """Take a loaded bundle; ``tokens`` bounds a batch, and changes speed and memory but no decision."""
        self.bundle = bundle
        self._tokens = tokens

    @classmethod
    def load(cls, folder: Path, *, tokens: int = 2048) -> Predictor:
        """Verify and load a bundle from its folder.

        Raises:
            UsageError: when there is no such folder.
            BundleError: when it is incomplete or altered.
        """
        return cls(load_bundle(folder), tokens=tokens)

    @property
    def model_id(self) -> str:
        """Identity of the bundle."""
        return self.bundle.model_id

    @property
    def codebook(self) -> Codebook:
        """The bundle's codebook."""
        return self.bundle.codebook

    def select(self, target: float, *, assurance: float | None = None) -> Selection:
        """Choose the threshold of confidence at which kept decisions reach an accuracy, on the bundle's development pairs.

        Raises:
            BundleError: when the bundle has no such pairs.
            UsageError: when no threshold promises the target; see :func:`models.selective.choose_threshold`.
        """
        pairs = self.bundle.calibration.pairs
        if not pairs:
            raise BundleError(
                f"{self.bundle.folder}: expected development decisions in calibration.json to choose a threshold on, found "
                "none, so an earlier release wrote it; train again with this one"
            )
        return choose_threshold(pairs, target, assurance=assurance)

    def scores(self, passages: Sequence[Passage]) -> Scores:
        """Return raw scores for passages, in their order."""
        encoded = encode(
            self.bundle.tokenizer,
            passages,
            context=self.bundle.recipe.context,
            max_length=self.bundle.recipe.max_length,
        )
        return run_network(self.bundle.network, encoded, pad=self.bundle.tokenizer.pad_token_id, tokens=self._tokens)

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        """Return one judgement a passage, in the order given; it does not depend on what else is in the list."""
        if not passages:
            return []
        distinct = list(dict.fromkeys(passages))
        scores = self.scores(distinct)
        calibration, codebook = self.bundle.calibration, self.codebook
        stance = calibration.stance(scores.stance)
        concerns = calibration.concerns(scores.concerns)
        raised = calibration.decide_concerns(concerns)
        best, kinds = stance.argmax(1), scores.holder_type.argmax(1)
        judged = {}
        for i, passage in enumerate(distinct):
            start, end = (int(v) for v in scores.holder[i])
            judged[passage] = Judgement(
                stance=codebook.stance_ids[best[i]],
                probabilities=tuple(stance[i].tolist()),
                concerns=tuple(codebook.concern_ids[j] for j in np.flatnonzero(raised[i])),
                concern_probabilities=tuple(concerns[i].tolist()),
                confidence=float(stance[i, best[i]]),
                holder_start=start if start >= 0 else None,
                holder_end=end if start >= 0 else None,
                holder_type=codebook.holder_type_ids[kinds[i]],
            )
        return [judged[p] for p in passages]
