"""Where each coder leans against the others on the same statements, and whether that changes as the coding goes on."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from annotation.agreement import Figure
from annotation.codebook import Codebook
from annotation.coders import ByCoder, by_coder
from annotation.resampling import Blocks, Resampling
from corpus.errors import RecordError
from corpus.records import Annotation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

By = Literal["tenths", "weeks"]
_Labels = Callable[[Annotation], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Lean:
    """How often a coder uses a label, against the others on the statements that they share.

    ``own`` is the coder's share of statements, ``others`` the mean over these statements of the share of the other coders
    who use it, ``difference`` is own - others. ``question`` is ``stance`` or ``concerns``.
    """

    coder: str
    question: str
    label: str
    statements: int
    own: Figure
    others: Figure
    difference: Figure


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of one coder's work: a tenth of the readings in their order (``1`` to ``10``), or an ISO week.

    Of its ``readings``, ``statements`` are shared with other coders; on these ``same`` is the mean share of the others who
    give the same stance, and ``differences`` are the coder's share of each stance minus the others'.
    """

    coder: str
    period: str
    readings: int
    statements: int
    same: Figure
    differences: tuple[Figure, ...]


def measure_leaning(
    readings: Sequence[Annotation], documents: Mapping[str, str], codebook: Codebook, *, draw: Resampling | None = None
) -> tuple[Lean, ...]:
    """Measure each coder's leaning on each stance and concern; arguments and errors as :func:`coders.measure_coders`."""
    coded = by_coder(readings, documents, codebook)
    found: list[Lean] = []
    for coder in coded:
        shared = _shared(coded, coder)
        where = [documents[s] for s in shared]
        asked: tuple[tuple[str, tuple[str, ...], _Labels], ...] = (
            ("stance", codebook.stance_ids, _stance),
            ("concerns", codebook.concern_ids, _concerns),
        )
        for question, labels, said in asked:
            f = (draw or Resampling()).figures(_against(coded, coder, shared, labels, said), where, _shares, {})
            found += [
                Lean(coder, question, label, len(shared), f["own"][i], f["others"][i], f["difference"][i])
                for i, label in enumerate(labels)
            ]
    return tuple(found)


def measure_drift(
    readings: Sequence[Annotation],
    documents: Mapping[str, str],
    codebook: Codebook,
    moments: Mapping[tuple[str, str], str],
    *,
    by: By = "tenths",
    draw: Resampling | None = None,
) -> tuple[Period, ...]:
    """Measure each coder's agreement and leaning by stretches of the coder's own work.

    Args:
        readings: As for :func:`coders.measure_coders`.
        documents: The document of each statement.
        codebook: Whose stances.
        moments: When a reading was made, by (statement, coder): ISO 8601. Equal moments stand in the order of the ids.
        by: Tenths of the order of coding, or weeks.
        draw: How to get the intervals.

    Raises:
        CodebookError: when a reading uses a label that the codebook does not have.
        RecordError: when one coder has two readings of a statement, or document or moment of a reading are not given.
    """
    coded = by_coder(readings, documents, codebook)
    found: list[Period] = []
    for coder, own in coded.items():
        shared = set(_shared(coded, coder))
        for period, statements in _periods(coder, sorted(own), moments, by).items():
            common = [s for s in statements if s in shared]
            counts = _against(coded, coder, common, codebook.stance_ids, _stance)
            f = (draw or Resampling()).figures(counts, [documents[s] for s in common], _shares, {})
            found.append(Period(coder, period, len(statements), len(common), f["same"][0], tuple(f["difference"])))
    return tuple(found)


def _shared(coded: ByCoder, coder: str) -> list[str]:
    return [s for s in coded[coder] if any(s in own for other, own in coded.items() if other != coder)]


def _stance(reading: Annotation) -> tuple[str, ...]:
    return (reading.stance,)


def _concerns(reading: Annotation) -> tuple[str, ...]:
    return reading.concerns


def _against(
    coded: ByCoder, coder: str, statements: Sequence[str], labels: tuple[str, ...], said: _Labels
) -> dict[str, Floats]:
    """Return for each statement which labels the coder and which share of the others use; ``same`` is of the stance."""
    import numpy as np

    own, others = np.zeros((len(statements), len(labels))), np.zeros((len(statements), len(labels)))
    same = np.zeros((len(statements), 1))
    for i, statement in enumerate(statements):
        mine = coded[coder][statement]
        rest = [read[statement] for other, read in coded.items() if other != coder and statement in read]
        own[i] = [label in said(mine) for label in labels]
        others[i] = np.mean([[label in said(a) for label in labels] for a in rest], axis=0)
        same[i] = np.mean([a.stance == mine.stance for a in rest])
    return {"statements": np.ones((len(statements), 1)), "own": own, "others": others, "same": same}


def _shares(sums: Blocks) -> dict[str, Floats]:
    import numpy as np

    n = sums["statements"]
    with np.errstate(invalid="ignore"):
        own, others = sums["own"] / n, sums["others"] / n
        return {"own": own, "others": others, "difference": own - others, "same": sums["same"] / n}


def _periods(coder: str, statements: Sequence[str], moments: Mapping[tuple[str, str], str], by: By) -> dict[str, list[str]]:
    times: dict[str, datetime.datetime] = {}
    for s in statements:
        try:
            read = datetime.datetime.fromisoformat(moments[s, coder])
        except (KeyError, ValueError) as error:
            given = moments.get((s, coder), "none")
            raise RecordError(
                f"statement {s}: expected the moment of the reading by {coder} in ISO 8601, found {given}; pull it anew"
            ) from error
        times[s] = read.replace(tzinfo=datetime.UTC) if read.tzinfo is None else read.astimezone(datetime.UTC)
    ordered = sorted(statements, key=lambda s: (times[s], s))
    found: dict[str, list[str]] = {}
    for i, s in enumerate(ordered):
        year, week, _ = times[s].isocalendar()
        period = str(10 * i // len(ordered) + 1) if by == "tenths" else f"{year}-W{week:02d}"
        found.setdefault(period, []).append(s)
    return found
