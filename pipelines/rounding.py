"""Rounding: probabilities as they are written, in whole millionths that add up."""

from __future__ import annotations

from collections.abc import Sequence

_MILLION = 1_000_000


def millionths(shares: Sequence[float]) -> list[float]:
    """Round probabilities to six decimals so that they still sum to one (method of the largest remainder).

    A greater probability never comes out smaller than a lesser one.
    """
    total = sum(shares)
    exact = [share / total * _MILLION for share in shares]
    units = [int(e) for e in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: units[i] - exact[i])
    for i in by_remainder[: _MILLION - sum(units)]:
        units[i] += 1
    return [unit / _MILLION for unit in units]
