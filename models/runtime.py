"""Running a bundle's graph with ONNX Runtime. Needs neither torch nor transformers.

Scores of a statement are the same numbers, bit for bit, whatever else is asked: the 32-bit graph gets statements of the
same length together, so that nothing is padded, and the 8-bit graph, which takes the range of its numbers from what it is
given, gets each statement alone. Threads work on different statements, never on one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from corpus.errors import BundleError
from models.calibration import stable
from models.encoding import Encoded
from models.scores import Scores, decode_span, empty_scores

_SLOW = ["SkipLayerNormFusion", "BiasGeluFusion"]  # fused kernels of ONNX Runtime's that are slower than their parts


def available_threads() -> int:
    """Return how many processors this process may use: fewer than the machine has where a cluster says so."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


class GraphRunner:
    """Scores passages with one graph on so many threads."""

    def __init__(self, graph: Path, sizes: tuple[int, int, int], *, threads: int | None = None, tokens: int = 1024) -> None:
        """Load a graph.

        Args:
            graph: The file, beside the weights that it points to.
            sizes: The numbers of stances, concerns and holder types.
            threads: Default: as many as this process may use.
            tokens: At most so many tokens at once; 0 gives each passage alone. Changes speed, and for a graph of 32-bit
                floats nothing else.

        Raises:
            BundleError: when the graph cannot be loaded.
        """
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph), options, providers=["CPUExecutionProvider"], disabled_optimizers=_SLOW
            )
        except Exception as error:  # its own errors have no common base
            reason = " ".join(str(error).split())[:200]
            raise BundleError(f"{graph}: expected a graph that ONNX Runtime loads, but {reason}; train again") from error
        self._sizes, self._tokens = sizes, tokens
        self.threads = threads or available_threads()

    def scores(self, encoded: Sequence[Encoded]) -> Scores:
        """Return raw scores for passages, in their order."""
        found = empty_scores(len(encoded), *self._sizes)
        batches = same_length_batches([len(e.ids) for e in encoded], tokens=self._tokens)

        def run(batch: list[int]) -> None:
            self._fill(found, batch, encoded)

        if self.threads == 1 or len(batches) == 1:
            for batch in batches:
                run(batch)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                for done in [pool.submit(run, batch) for batch in batches]:
                    done.result()
        return found

    def _fill(self, found: Scores, batch: list[int], encoded: Sequence[Encoded]) -> None:
        ids = np.array([encoded[i].ids for i in batch], dtype=np.int64)
        own = np.array([encoded[i].own for i in batch], dtype=bool)
        out: list[Any] = self._session.run(None, {"ids": ids, "own": own})
        found.stance[batch], found.concerns[batch], found.holder_type[batch] = out[:3]
        spans = stable(out[3])
        for row, i in enumerate(batch):
            found.holder[i] = decode_span(spans[row], encoded[i])


def same_length_batches(lengths: Sequence[int], *, tokens: int) -> list[list[int]]:
    """Group indices of the same length, longest first, at most ``tokens`` tokens and at least one index a batch."""
    by: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by.setdefault(length, []).append(i)
    batches = []
    for length in sorted(by, reverse=True):
        size = max(1, tokens // length) if length else len(by[length])
        batches += [by[length][i : i + size] for i in range(0, len(by[length]), size)]
    return batches
