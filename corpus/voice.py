"""Voice: whose words a statement gives, and who holds what it says."""

from __future__ import annotations

from corpus.records import Statement
from corpus.segment import Segmentation

__all__ = ["attribute"]


def attribute(segmentation: Segmentation) -> tuple[Statement, ...]:
    """Return the statements with voice and holder, where the text makes them plain."""
    return segmentation.statements
