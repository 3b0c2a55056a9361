"""Two runs matched: which statements, documents and opinions they share, and which groups have something new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.coverage import Coverage

if TYPE_CHECKING:
    import pandas as pd

NEW, STANCE, CONCERNS = 1, 2, 4
"""Marks of a row: of an opinion that is new, decided otherwise in its stance, in its concerns. They can be added."""

TIMES = ("month", "quarter")
_DIMENSIONS = ("holder", "holder_type", "publisher", "kind", "country")
_COLUMNS = {"holder": "resolved", "holder_type": "resolved_type"}  # of the frame, where they are not named as dimensions are


@dataclass(frozen=True, slots=True)
class Overlap:
    """Which rows of either frame the other run has as well, and which rows stand for opinions that are new.

    ``old_kept`` is over the old frame; ``new_known`` (the old run has the statement) and ``added`` (it has no statement of
    the same opinion) are over the new one. ``pairs`` are the places of the statements in both, in either frame.
    """

    old_kept: NDArray[np.bool_]
    new_known: NDArray[np.bool_]
    added: NDArray[np.bool_]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]

    @property
    def has_new(self) -> bool:
        """Whether the new run has an opinion that the old one had not."""
        return bool(self.added.any())


def match_runs(old: Coverage, new: Coverage) -> Overlap:
    """Match statements by id; where an id stands several times, by its turn too."""
    import pandas as pd

    keys = [pd.MultiIndex.from_arrays([f["id"], f.groupby("id").cumcount()]) for f in (old.frame, new.frame)]
    at = keys[0].get_indexer(keys[1])
    known = at >= 0
    kept = np.zeros(len(old.frame), dtype=bool)
    kept[at[known]] = True
    opinion = new.frame["opinion"]
    added = ~opinion.isin(opinion[known]).to_numpy()
    return Overlap(kept, known, added, (at[known].astype(np.int64), np.flatnonzero(known)))


def mark_rows(old: Coverage, new: Coverage, overlap: Overlap) -> pd.Series:
    """Return the marks of each row of the new run, 0 where it is as it was; rows that are copies have marks of their own."""
    import pandas as pd

    marks = np.where(overlap.added, NEW, 0).astype(np.int8)
    stances = [_texts(c.frame["stance"].where(~c.frame["abstained"])) for c in (old, new)]
    concerns = [c.frame["concerns"].tolist() for c in (old, new)]
    for a, b in zip(*overlap.pairs, strict=True):
        marks[b] |= STANCE * (stances[0][a] != stances[1][b]) | CONCERNS * (set(concerns[0][a]) != set(concerns[1][b]))
    return pd.Series(marks, index=new.frame.index)


def count_changes(old: Coverage, new: Coverage, overlap: Overlap, marks: pd.Series) -> dict[str, dict[str, int]]:
    """Count statements, documents and opinions: in each run, in both, added, gone; and statements labelled otherwise."""
    old_opinion, new_opinion = old.frame["opinion"], new.frame["opinion"]
    documents = [set(c.frame["document_id"].dropna()) for c in (old, new)]
    both = int(overlap.new_known.sum())
    opinions = [int(o.nunique()) for o in (old_opinion, new_opinion)]
    kept = int(old_opinion[overlap.old_kept].nunique())
    added = int(new_opinion[overlap.added].nunique())
    return {
        "statements": {
            "old": len(old.frame), "new": len(new.frame), "both": both, "added": len(new.frame) - both,
            "gone": len(old.frame) - both,
            "stance_changed": int((marks & STANCE > 0).sum()), "concerns_changed": int((marks & CONCERNS > 0).sum()),
        },
        "documents": {
            "old": len(documents[0]), "new": len(documents[1]), "both": len(documents[0] & documents[1]),
            "added": len(documents[1] - documents[0]), "gone": len(documents[0] - documents[1]),
        },
        "opinions": {
            "old": opinions[0], "new": opinions[1], "both": opinions[1] - added, "added": added, "gone": opinions[0] - kept,
        },
    }  # fmt: skip


def touched_groups(new: Coverage, overlap: Overlap) -> frozenset[tuple[str, str]]:
    """Return the groups, by dimension, with an opinion that is new."""
    rows = new.frame[overlap.added]
    found: set[tuple[str, str]] = set()
    for dimension in (*_DIMENSIONS, *TIMES, *new.columns):
        column = _COLUMNS.get(dimension, dimension)
        if column in rows:
            found.update((dimension, str(value)) for value in rows[column].dropna().unique())
    return frozenset(found)


def _texts(values: Sequence[Any]) -> list[str | None]:
    return [v if isinstance(v, str) else None for v in values]
