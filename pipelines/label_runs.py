"""Finished runs of the label job, read back a piece at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from corpus.errors import RecordError
from pipelines import manifest as manifests

RUN = re.compile(r"\d{4,}")
"""Names of the folders of a workspace's runs with one bundle."""


def complete_runs(folder: Path) -> list[Path]:
    """Return the finished runs in a folder of numbered runs, in the order of their numbers."""
    runs = [p for p in folder.iterdir() if RUN.fullmatch(p.name) and (p / manifests.NAME).is_file()]
    return sorted(runs, key=lambda p: int(p.name))


def label_batches(run: Path, columns: Sequence[str]) -> Iterator[Mapping[str, list[Any]]]:
    """Yield columns of a finished folder of labels, some thousand rows at a time, in the order of the rows.

    Raises:
        UsageError: when the folder has no manifest.
        RecordError: when it is not one of labels, or a file is missing, damaged or without such a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    manifest = manifests.read_manifest(run)
    if manifest.get("command") != "label":
        raise RecordError(f"{run}: expected labels, found the result of {manifest.get('command')!r}; name another folder")
    for entry in manifest.get("outputs", []):
        path = run / entry["path"]
        if path.suffix != ".parquet":
            continue
        try:
            with pq.ParquetFile(path) as source:
                missing = sorted(set(columns) - set(source.schema_arrow.names))
                if missing:
                    raise RecordError(f"{path}: expected the column {missing[0]!r}, found none; label again")
                for batch in source.iter_batches(batch_size=2000, columns=list(columns)):
                    yield batch.to_pydict()
        except (pa.ArrowException, OSError) as error:
            said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(". ")
            raise RecordError(
                f"{path}: expected a whole file of labels, but {said}; remove {run}, and what it had is labelled again"
            ) from error
