"""The predictor: a bundle that judges passages, each as if it were alone."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec
import numpy as np

from annotation.codebook import Codebook
from corpus.errors import BundleError, UsageError
from corpus.files import read_json
from models.bundle import WEIGHTS, Bundle, open_bundle
from models.calibration import Calibration, stable
from models.device import has_gpu
from models.encoding import Encoded, encode
from models.fast_path import NAME as FAST
from models.fast_path import FastPath, closest, merge
from models.gate import Gate, Words, clearance
from models.passage import Judgement, Passage
from models.scores import Scores, empty_scores
from models.selective import Selection, choose_threshold

Precision = Literal["fp32", "int8", "auto"]
PRECISIONS = ("fp32", "int8", "auto")

_REMEMBERED = 20_000  # judgements kept for copies of a text that come later: some 40 MB
_GPU_TOKENS = 65_536
_GAIN = 1.05  # how much faster 8-bit numbers have to be in the self-test before they are taken
_TRIAL = (24, 32, 40, 48, 32, 40)  # lengths of the self-test's passages in tokens


class Runner(Protocol):
    """What scores tokenised passages: a graph, or the network."""

    def scores(self, encoded: Sequence[Encoded]) -> Scores:
        """Return raw scores, in the order given."""


class Predictor:
    """Judges passages with a bundle. Each distinct text is computed once, and a judgement depends on its passage alone."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        tokens: int = 2048,
        precision: Precision = "fp32",
        cascade: bool = False,
        threads: int | None = None,
        graph: bool = True,
    ) -> None:
        """Take a bundle.

        Args:
            bundle: Opened or loaded.
            tokens: Bounds a batch on torch; changes speed and memory, but no decision.
            precision: ``fp32``; ``int8``, which computes close decisions again in 32 bits; or ``auto``, which takes the
                faster by a self-test of a fraction of a second.
            cascade: Let the lexicon settle what says nothing (:mod:`models.gate`).
            threads: Default: as many as this process may use.
            graph: Without it, or where the bundle has no graph, torch computes; on a GPU where there is one.

        Raises:
            UsageError: on an unknown precision, or 8-bit numbers of a bundle that has none.
            BundleError: when a file of the bundle does not fit it.
        """
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r}: expected one of {', '.join(PRECISIONS)}")
        self.bundle = bundle
        self.fast = _read_fast(bundle)
        self._seen: OrderedDict[Passage, Judgement] = OrderedDict()
        sizes = bundle.sizes
        self._gate: Gate | None = self.fast.gate if cascade else None
        self._words = Words.read(bundle.folder / WEIGHTS) if self._gate else None
        self._coarse: Runner | None = None
        self._exact: Runner
        gpu = graph and precision == "auto" and has_gpu()
        if graph and self.fast.graph is not None and not gpu:
            from models.fast_path import FP32, INT8
            from models.runtime import GraphRunner

            self._exact = exact = GraphRunner(bundle.folder / FP32, sizes, threads=threads)
            self.runtime = "onnx"
            if precision != "fp32" and self.fast.int8 is not None:
                coarse = GraphRunner(bundle.folder / INT8, sizes, threads=threads, tokens=0)
                share = self.fast.int8.again / self.fast.int8.development
                if precision == "int8" or _faster(coarse, exact, share, bundle):
                    self._coarse = coarse
        else:
            self._exact = _TorchRunner(bundle, tokens=_GPU_TOKENS if gpu else tokens, gpu=gpu)
            self.runtime = "cuda" if gpu else "torch"
        if precision == "int8" and self._coarse is None:
            raise UsageError(
                f"{bundle.folder}: precision int8 was asked for, but the bundle has no 8-bit graph"
                f"{' (' + self.fast.reason + ')' if self.fast.reason else ''}; leave the option out or train again"
            )
        self._tokenizer: Any = None

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        tokens: int = 2048,
        precision: Precision = "fp32",
        cascade: bool = False,
        threads: int | None = None,
    ) -> Predictor:
        """Verify and open a bundle from its folder; see the constructor.

        Raises:
            UsageError: when there is no such folder, or as the constructor says.
            BundleError: when it is incomplete or altered.
        """
        return cls(open_bundle(folder), tokens=tokens, precision=precision, cascade=cascade, threads=threads)

    @property
    def model_id(self) -> str:
        """Identity of the bundle."""
        return self.bundle.model_id

    @property
    def codebook(self) -> Codebook:
        """The bundle's codebook."""
        return self.bundle.codebook

    @property
    def precision(self) -> Literal["fp32", "int8", "bf16"]:
        """The numbers that are computed with: what ``auto`` chose."""
        return "bf16" if self.runtime == "cuda" else "fp32" if self._coarse is None else "int8"

    @property
    def settings(self) -> Mapping[str, object]:
        """What beside the bundle decides the labels, to the last digit."""
        return {"precision": self.precision, "runtime": self.runtime, "cascade": self._gate is not None}

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
        """Return the network's raw scores for passages, in their order; the cascade has no part in them."""
        return self._network_scores(self._encode(passages))

    def judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        """Return one judgement a passage, in the order given; it does not depend on what else is in the list."""
        keys = [self._read(p) for p in passages]
        # This call's own judgements are kept apart, so that what is forgotten meanwhile is still there.
        judged = {key: self._seen[key] for key in keys if key in self._seen}
        new = [key for key in dict.fromkeys(keys) if key not in judged]
        judged |= dict(zip(new, self._judge(new), strict=True))
        if self.runtime != "cuda":  # there, batches differ in the last digit, and so would a copy
            for key in new:
                self._seen[key] = judged[key]
            while len(self._seen) > _REMEMBERED:
                self._seen.popitem(last=False)
        return [judged[key] for key in keys]

    def _read(self, passage: Passage) -> Passage:
        """Return what of the passage the network reads, so that copies with other titles are computed once."""
        context = self.bundle.recipe.context
        if context == "none":
            return Passage(passage.text)
        return Passage(passage.text, passage.title) if context == "title" else passage

    def _encode(self, passages: Sequence[Passage]) -> list[Encoded]:
        if self._tokenizer is None:
            if self.fast.plain_tokenizer and self.runtime == "onnx":
                from models.plain_tokenizer import PlainTokenizer

                self._tokenizer = PlainTokenizer(self.bundle.folder)
            else:
                self._tokenizer = self.bundle.tokenizer
        recipe = self.bundle.recipe
        return encode(self._tokenizer, passages, context=recipe.context, max_length=recipe.max_length)

    def _network_scores(self, encoded: Sequence[Encoded]) -> Scores:
        if self._coarse is None or self.fast.int8 is None:
            return self._exact.scores(encoded)
        scores = self._coarse.scores(encoded)
        again = np.flatnonzero(closest(scores, self.bundle.calibration) < self.fast.int8.margin)
        if len(again):
            merge(scores, again, self._exact.scores([encoded[i] for i in again]))
        return scores

    def _judge(self, passages: Sequence[Passage]) -> list[Judgement]:
        if not passages:
            return []
        encoded = self._encode(passages)
        if self._gate is None or self._words is None:
            return self._judgements(self._network_scores(encoded), self.bundle.calibration)
        words = self._words.scores(encoded, self.bundle.sizes)
        settled = stable(clearance(words, self._gate.calibration, self.codebook)) >= self._gate.threshold
        rest = np.flatnonzero(~settled)
        own = empty_scores(len(encoded), *self.bundle.sizes)
        if len(rest):
            merge(own, rest, self._network_scores([encoded[i] for i in rest]))
        first = self._judgements(words, self._gate.calibration, nobody=True)
        second = self._judgements(own, self.bundle.calibration)
        return [a if early else b for a, b, early in zip(first, second, settled, strict=True)]

    def _judgements(self, scores: Scores, calibration: Calibration, *, nobody: bool = False) -> list[Judgement]:
        codebook = self.codebook
        stance, concerns = calibration.stance(scores.stance), calibration.concerns(scores.concerns)
        raised = calibration.decide_concerns(concerns)
        best, kinds = stance.argmax(1), scores.holder_type.argmax(1)
        judged = []
        for i in range(len(stance)):
            start, end = (int(v) for v in scores.holder[i])
            judged.append(
                Judgement(
                    stance=codebook.stance_ids[best[i]],
                    probabilities=tuple(stance[i].tolist()),
                    concerns=tuple(codebook.concern_ids[j] for j in np.flatnonzero(raised[i])),
                    concern_probabilities=tuple(concerns[i].tolist()),
                    confidence=float(stance[i, best[i]]),
                    holder_start=start if start >= 0 else None,
                    holder_end=end if start >= 0 else None,
                    holder_type=codebook.nobody if nobody and codebook.nobody else codebook.holder_type_ids[kinds[i]],
                )
            )
        return judged


class _TorchRunner:
    """The network itself; on a GPU in bf16 and larger batches."""

    def __init__(self, bundle: Bundle, *, tokens: int, gpu: bool) -> None:
        self._network, self._tokens = bundle.network, tokens
        self._pad = bundle.tokenizer.pad_token_id
        if gpu:
            self._network.to("cuda")

    def scores(self, encoded: Sequence[Encoded]) -> Scores:
        from models.inference import run_network

        return run_network(self._network, encoded, pad=self._pad, tokens=self._tokens)


def _read_fast(bundle: Bundle) -> FastPath:
    if FAST not in bundle.manifest["files"]:
        return FastPath(reason="an earlier release wrote it")
    try:
        return msgspec.convert(read_json(bundle.folder / FAST), FastPath)
    except msgspec.ValidationError as error:
        raise BundleError(
            f"{bundle.folder / FAST}: written by another release, {error}; train again with this one"
        ) from error


def _faster(coarse: Runner, exact: Runner, again: float, bundle: Bundle) -> bool:
    """Return whether 8-bit numbers pay on this machine, with a share ``again`` computed twice.

    The passages are invented; how long they take depends on their lengths alone.
    """
    vocabulary = np.random.default_rng(0).integers(5, 400, size=(len(_TRIAL), max(_TRIAL)))
    passages = []
    for row, length in zip(vocabulary.tolist(), _TRIAL, strict=True):
        ids = tuple(row[: min(length, bundle.recipe.max_length)])
        passages.append(Encoded(ids, (True,) * len(ids), tuple((i, i + 1) for i in range(len(ids)))))

    def seconds(runner: Runner) -> float:
        runner.scores(passages[:1])
        best = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            runner.scores(passages)
            best = min(best, time.perf_counter() - start)
        return best

    slow = seconds(exact)
    return slow > _GAIN * (seconds(coarse) + again * slow)
