"""The fast path: what a bundle carries so that it labels quickly, and what that changes, measured on development data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from annotation.codebook import Codebook
from corpus.errors import BundleError
from models.calibration import Calibration, stable
from models.gate import BOUND, Gate, Words, changed, choose_threshold, clearance, concern_distance, fit_gate, stance_lead
from models.scores import Floats, Scores

if TYPE_CHECKING:
    from models.dataset import Example
    from models.metrics import Decisions
    from models.training import Trained

NAME = "fast.json"
FP32 = "model.onnx"
INT8 = "model.int8.onnx"
TOLERANCE = 1e-3
"""Greatest difference of a logit between graph and network with which a bundle is published."""

_VERSIONS = ("torch", "onnx", "onnxscript", "onnxruntime")


class EightBit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The graph in 8-bit integers. Statements with a decision closer than ``margin`` (log odds) are computed in 32.

    Of the ``development`` statements ``flips`` would be decided otherwise by the 8-bit graph alone; with those ``again``
    computed, ``changed`` are. ``difference`` is the largest difference of a logit of the stance.
    """

    margin: float
    development: int
    flips: int
    again: int
    changed: int
    difference: float


class FastPath(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the bundle's graph is, how far it is from the network, and what 8-bit numbers and the cascade change.

    ``graph`` says how it was made; ``difference`` is the largest difference of any logit on the development statements.
    ``plain_tokenizer`` says whether ``tokenizer.json`` alone gives what transformers gives. ``metrics`` are those of the
    development part by way: ``fp32``, ``int8``, ``cascade`` (before int8). ``reason`` says why there is no graph.
    """

    graph: dict[str, Any] | None = None
    difference: float | None = None
    tolerance: float = TOLERANCE
    versions: dict[str, str] = msgspec.field(default_factory=dict)
    plain_tokenizer: bool = False
    int8: EightBit | None = None
    gate: Gate | None = None
    metrics: dict[str, dict[str, float]] = msgspec.field(default_factory=dict)
    reason: str | None = None


def prepare(folder: Path, trained: Trained, codebook: Codebook, examples: Sequence[Example]) -> FastPath:
    """Write the graphs into a bundle's folder that has its weights and tokenizer already, and measure them.

    Args:
        folder: Has ``model.safetensors`` and ``tokenizer.json``.
        trained: The network.
        codebook: Its labels.
        examples: The development part.

    Raises:
        BundleError: when the graph's scores are further from the network's than the tolerance, so that it is not published.
    """
    from models.bundle import WEIGHTS
    from models.dataset import targets
    from models.encoding import encode
    from models.evaluation import decide
    from models.graph import GraphError, export, quantise
    from models.inference import run_network
    from models.plain_tokenizer import PlainTokenizer
    from models.runtime import GraphRunner

    passages, recipe, y = [e.passage for e in examples], trained.recipe, targets(examples, codebook)
    encoded = encode(trained.tokenizer, passages, context=recipe.context, max_length=recipe.max_length)
    own = run_network(trained.network, encoded, pad=trained.tokenizer.pad_token_id)
    sizes = (len(codebook.stances), len(codebook.concerns), len(codebook.holder_types))
    weights = folder / WEIGHTS
    gate = None
    if trained.network.lexicon is not None:
        words = Words.read(weights).scores(encoded, sizes)
        gate = fit_gate(words, own, trained.calibration, (y.stance, y.concerns), codebook)
    decided = decide(examples, own, trained.calibration, codebook)
    metrics = {"fp32": _metrics(decided, examples, codebook)}
    if gate is not None:
        settled = stable(clearance(words, gate.calibration, codebook)) >= gate.threshold
        early = decide(examples, words, gate.calibration, codebook)
        metrics["cascade"] = _metrics(_cascaded(decided, early, settled, codebook), examples, codebook)
    versions = {name: metadata.version(name) for name in _VERSIONS}
    for fuse in (True, False):
        try:
            graph = export(trained.network, weights, folder / FP32, fuse=fuse)
        except GraphError as error:
            return FastPath(versions=versions, gate=gate, metrics=metrics, reason=str(error))
        exact = GraphRunner(folder / FP32, sizes).scores(encoded)
        difference = max(float(np.abs(a - b).max(initial=0)) for a, b in _logits(exact, own))
        if difference <= TOLERANCE:
            break
    else:
        raise BundleError(
            f"{folder.name.removeprefix('.').removesuffix('.part')}: expected the exported graph to score development "
            f"statements as the network does, to {TOLERANCE:g}, found a difference of {difference:.3g}; the bundle is not "
            "published: train with another encoder, or without the graph"
        )
    quantise(folder / FP32, weights, folder / INT8, encoded)
    try:
        plain = encode(PlainTokenizer(folder), passages, context=recipe.context, max_length=recipe.max_length) == encoded
    except Exception:  # a tokenizer of another kind; transformers' own is then taken
        plain = False
    coarse = GraphRunner(folder / INT8, sizes, tokens=0).scores(encoded)
    int8, mixed = _eight_bit(coarse, exact, trained.calibration)
    metrics["int8"] = _metrics(decide(examples, mixed, trained.calibration, codebook), examples, codebook)
    return FastPath(
        graph=graph,
        difference=difference,
        versions=versions,
        plain_tokenizer=plain,
        int8=int8,
        gate=gate,
        metrics=metrics,
    )


def closest(scores: Scores, calibration: Calibration) -> Floats:
    """Return (n,) how close the closest decision is to falling otherwise, in log odds: stance or any concern."""
    nearest = np.abs(concern_distance(scores, calibration)).min(1, initial=np.inf)
    return stable(np.minimum(stance_lead(scores, calibration), nearest))


def merge(into: Scores, rows: Any, scores: Scores) -> None:
    """Put the scores of some rows in place of what was there."""
    for name in ("stance", "concerns", "holder_type", "holder"):
        getattr(into, name)[rows] = getattr(scores, name)


def take(scores: Scores, rows: Any) -> Scores:
    """Return the scores of some rows, as a copy."""
    return Scores(*(getattr(scores, name)[rows].copy() for name in ("stance", "concerns", "holder_type", "holder")))


def _eight_bit(coarse: Scores, exact: Scores, calibration: Calibration) -> tuple[EightBit, Scores]:
    """Choose the margin within which statements are computed again, and return the scores that result."""
    wrong, close = changed(coarse, calibration, exact, calibration), closest(coarse, calibration)
    # what is clearer than the margin is settled, as the gate settles; so the same rule chooses it
    margin = choose_threshold(close, wrong, BOUND)
    if margin is None:  # too few statements to promise anything: twice the greatest change that was seen
        margin = float(2 * np.abs(close - closest(exact, calibration)).max(initial=0)) + 1e-4
    again = close < margin
    mixed = take(coarse, slice(None))
    merge(mixed, again, take(exact, again))
    return (
        EightBit(
            margin=margin,
            development=len(wrong),
            flips=int(wrong.sum()),
            again=int(again.sum()),
            changed=int((wrong & ~again).sum()),
            difference=float(np.abs(coarse.stance - exact.stance).max(initial=0)),
        ),
        mixed,
    )


def _logits(a: Scores, b: Scores) -> list[tuple[Floats, Floats]]:
    return [(a.stance, b.stance), (a.concerns, b.concerns), (a.holder_type, b.holder_type)]


def _metrics(found: Decisions, examples: Sequence[Example], codebook: Codebook) -> dict[str, float]:
    """Return every metric that the evaluation has for all labels together."""
    from models.evaluation import Bootstrap, counter_of, measure, resampling

    draws = resampling(examples, Bootstrap(resamples=1))  # the figures themselves; intervals belong to the evaluation
    value = measure(counter_of(found, codebook), draws, found).value
    return {name: round(float(v), 6) for (name, label), v in value.items() if label is None and np.isfinite(v)}


def _cascaded(own: Decisions, words: Decisions, settled: NDArray[np.bool_], codebook: Codebook) -> Decisions:
    """Return the lexicon's decisions where it settles a statement, which then nobody holds, and the network's elsewhere."""
    mixed = {
        name: np.where(settled[:, None] if values.ndim > 1 else settled, getattr(words, name), values)
        for name in ("stance", "concerns", "confidence", "probabilities", "concern_probabilities")
        if (values := getattr(own, name)) is not None
    }
    holders = own.holders
    if holders is not None:
        nobody = -1 if codebook.nobody is None else codebook.holder_type_ids.index(codebook.nobody)
        decided = tuple(None if early else name for name, early in zip(holders.decided, settled, strict=True))
        kind = holders.kind if nobody < 0 else np.where(settled, nobody, holders.kind)
        holders = replace(holders, decided=decided, kind=kind)
    return replace(own, holders=holders, **mixed)
