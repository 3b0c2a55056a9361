"""Labels held against a codebook: what the corpus, which knows no codebook, cannot check by itself."""

from __future__ import annotations

from collections.abc import Iterable

from annotation.codebook import Codebook
from corpus.records import Annotation, GoldLabel


def check_labels(annotations: Iterable[Annotation], gold: Iterable[GoldLabel], codebook: Codebook) -> None:
    """Refuse records whose stance, concerns or holder type the codebook does not have.

    The records' ``codebook_version`` is not compared: versions of one codebook may share their labels.

    Raises:
        CodebookError: for the first such record, naming it, the label and the labels that there are.
    """
    for a in annotations:
        where = f"annotation of {a.statement} by {a.annotator}"
        codebook.check(stance=a.stance, concerns=a.concerns, holder_type=a.holder_type, where=where)
    for g in gold:
        where = f"gold label of {g.statement}"
        codebook.check(stance=g.stance, concerns=g.concerns, holder_type=g.holder_type, where=where)
