"""What was said: documents, statements, their records and the reference corpus. Imports none of the other rooms."""

from corpus.errors import BundleError, CodebookError, RecordError, TreatyStanceError, UsageError
from corpus.records import Annotation, Document, GoldLabel, Prediction, Statement

__all__ = [
    "Annotation",
    "BundleError",
    "CodebookError",
    "Document",
    "GoldLabel",
    "Prediction",
    "RecordError",
    "Statement",
    "TreatyStanceError",
    "UsageError",
]
