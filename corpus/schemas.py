"""Arrow schemas of the records: the only place where a record's Parquet form is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from corpus.records import Annotation, Document, GoldLabel, Prediction, Record, Statement

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_schema(kind: type[Record]) -> pa.Schema:
    """Return the Arrow schema of a record type.

    Raises:
        KeyError: for a type that has no Parquet form.
    """
    import pyarrow as pa  # deferred: reading records as JSONL does not need it

    text, number, whole, flag = pa.string(), pa.float64(), pa.int64(), pa.bool_()
    names, shares = pa.list_(text), pa.map_(text, number)
    fields: dict[type[Record], dict[str, pa.DataType]] = {
        Document: {
            "version": whole, "id": text, "url": text, "text": text, "publisher": text, "published": text,
            "retrieved": text, "title": text, "language": text, "kind": text, "snapshot": text, "revision": whole,
            "story": text, "author": text, "source": text, "rights": text, "relevance": text, "pages": pa.list_(whole),
        },
        Statement: {
            "version": whole, "id": text, "document": text, "start": whole, "end": whole, "text": text,
            "before": text, "after": text, "voice": text, "holder": text,
        },
        Annotation: {
            "version": whole, "statement": text, "annotator": text, "codebook_version": text, "stance": text,
            "concerns": names, "holder": text, "holder_type": text, "voice": text, "blind": flag, "certainty": whole,
            "seconds": number, "comment": text, "holder_start": whole, "holder_end": whole,
        },
        GoldLabel: {
            "version": whole, "statement": text, "codebook_version": text, "stance": text, "concerns": names,
            "holder": text, "holder_type": text, "distribution": shares, "settled": text,
            "inclusion_probability": number, "holder_start": whole, "holder_end": whole, "voice": text,
        },
        Prediction: {
            "version": whole, "statement": text, "model_id": text, "codebook_version": text, "stance": text,
            "probabilities": shares, "concerns": names, "concern_probabilities": shares, "confidence": number,
            "abstained": flag, "holder": text, "holder_start": whole, "holder_end": whole, "holder_type": text,
        },
    }  # fmt: skip
    return pa.schema(list(fields[kind].items()), metadata={"record": kind.__name__, "version": str(kind.VERSION)})
