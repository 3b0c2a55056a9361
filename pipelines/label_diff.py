"""What changed between two folders of labels: a table of the statements that both have, and counts of each change."""

from __future__ import annotations

import contextlib
import csv
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpus.errors import RecordError, UsageError
from corpus.files import atomic_path
from pipelines import manifest as manifests
from pipelines.cells import cell
from pipelines.label_runs import complete_runs, label_batches

if TYPE_CHECKING:
    import pyarrow as pa

COMMAND = "label diff"
ABSTAINED = "(abstained)"
"""Stands for the stance of a row on which the model abstained, in counts."""

_NAMES = ("diff.parquet", "diff.csv", manifests.NAME)
_TEXTS = ("id", "document_id", "text", "url")
_READ = (*_TEXTS, "stance", "confidence", "concerns", "holder", "holder_type", "status")
_ROWS = 1000  # held at once


@dataclass(slots=True)
class LabelDiff:
    """Counts of a comparison. ``both == same + changed``; a changed statement differs in one of the three respects or more.

    Rows are those with labels; ``invalid`` counts the others of each side. ``stances`` counts the statements in both by
    their stance in A and in B, :data:`ABSTAINED` where there is none; ``models`` and ``codebooks`` are what each side's
    rows were made with.
    """

    both: int = 0
    changed: int = 0
    stance: int = 0
    concerns: int = 0
    holder: int = 0
    only_a: int = 0
    only_b: int = 0
    invalid: tuple[int, int] = (0, 0)
    stances: Counter[tuple[str, str]] = field(default_factory=Counter)
    models: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    codebooks: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    files: tuple[Path, ...] = ()

    @property
    def same(self) -> int:
        """Statements in both with the same stance, concerns, holder and kind of holder."""
        return self.both - self.changed


def diff_labels(a: Path, b: Path, output: Path | None = None, *, created: str) -> LabelDiff:
    """Compare two folders of labels statement by statement, by id.

    Each is a folder that ``label`` wrote, or one of numbered runs (``labels/<model id>``), of which the latest that has a
    statement counts. An id that stands more than once is compared in turn: the first with the first. Rows are not held in
    memory.

    Args:
        a: The earlier labels.
        b: The later ones, in whose order the table is.
        output: Folder for ``diff.parquet``, ``diff.csv`` and ``manifest.json``; None writes nothing.
        created: Time of the comparison (ISO 8601), for the manifest.

    Raises:
        UsageError: when a folder has no finished labels, or the output is taken or cannot be written to.
        RecordError: when a file of labels is missing, altered or damaged, or there is no room.
    """
    sides = [_runs(a), _runs(b)]
    if output is not None:
        _check_output(output)
    diff = LabelDiff()
    try:
        with contextlib.closing(_Pairs()) as pairs:
            told = [pairs.load(side, runs) for side, runs in zip("ab", sides, strict=True)]
            diff.invalid = (told[0].invalid, told[1].invalid)
            diff.models = (told[0].models, told[1].models)
            diff.codebooks = (told[0].codebooks, told[1].codebooks)
            diff.only_a, diff.only_b = pairs.alone("a", "b"), pairs.alone("b", "a")
            changes = _changes(pairs, diff)
            if output is None:
                for _ in changes:
                    pass
            else:
                _write(output, changes, diff, (a, b), sides, created)
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or error
        raise RecordError(
            f"{output or 'label diff'}: expected room to compare in, but {said}; make room and run it again"
        ) from error
    return diff


def diff_lines(diff: LabelDiff, a: Path, b: Path) -> list[str]:
    """Return the comparison for people: how much is the same, and each change of stance, the commonest first."""
    share = f" ({diff.changed / diff.both:.1%})" if diff.both else ""
    lines = [
        f"{diff.both} statements in both, {diff.changed} changed{share}: "
        f"stance of {diff.stance}, concerns of {diff.concerns}, holder of {diff.holder}"
    ]
    moved = [(pair, n) for pair, n in diff.stances.items() if pair[0] != pair[1]]
    width = max((len(str(n)) for _, n in moved), default=0)
    for (before, after), n in sorted(moved, key=lambda item: (-item[1], item[0])):
        lines.append(f"  {n:{width}} x {before} -> {after}")
    for path, alone, invalid in ((a, diff.only_a, diff.invalid[0]), (b, diff.only_b, diff.invalid[1])):
        lines.append(f"only in {path}: {alone}" + (f"; invalid there: {invalid}" if invalid else ""))
    for name, (one, two) in (("models", diff.models), ("codebooks", diff.codebooks)):
        if one != two:
            lines.append(f"{name}: {', '.join(one)} -> {', '.join(two)}")
    return lines


def diff_schema() -> pa.Schema:
    """Return the Arrow schema of the table, its columns in their order."""
    import pyarrow as pa

    text, number, names = pa.string(), pa.float64(), pa.list_(pa.string())
    return pa.schema(
        [
            *((name, text) for name in (*_TEXTS, "stance_a", "stance_b")),
            *(("confidence_a", number), ("confidence_b", number)),
            *((name, names) for name in ("concerns_added", "concerns_removed")),
            *((name, text) for name in ("holder_a", "holder_b", "holder_type_a", "holder_type_b")),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Told:
    """What one side's runs tell beside their rows."""

    invalid: int
    models: tuple[str, ...]
    codebooks: tuple[str, ...]


def _runs(folder: Path) -> list[Path]:
    """Return the folders of labels that are meant: the folder itself, or the finished runs in it."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder; expected labels that `treaty-stance label` wrote")
    runs = [] if (folder / manifests.NAME).is_file() else complete_runs(folder)
    for run in runs or [folder]:
        manifests.verify_outputs(run)
    return runs or [folder]


class _Pairs:
    """Both sides' rows in a temporary file of SQLite's; ``turn`` tells rows of one id in one run apart."""

    _COLUMNS = "id, turn, run, document_id, text, url, stance, confidence, concerns, holder, holder_type"

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for side in "ab":
            self._database.execute(f"CREATE TABLE {side} (seq INTEGER PRIMARY KEY, {self._COLUMNS})")
            self._database.execute(f"CREATE INDEX {side}_by_id ON {side} (id, run, turn)")

    def close(self) -> None:
        """Close and drop the file."""
        self._database.close()

    def load(self, side: str, runs: Sequence[Path]) -> _Told:
        """Take in the rows that have labels; of several runs the latest that has a statement keeps it."""
        invalid = 0
        models: dict[str, None] = {}
        codebooks: dict[str, None] = {}
        turn = f"(SELECT COUNT(*) FROM {side} WHERE id = ?1 AND run = ?2)"  # noqa: S608 - a or b
        insert = f"INSERT INTO {side} ({self._COLUMNS}) VALUES (?1, {turn}, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"  # noqa: S608
        for number, run in enumerate(runs):
            manifest = manifests.read_manifest(run)
            models[str(manifest.get("model_id"))] = codebooks[str(manifest.get("codebook_id"))] = None
            for batch in label_batches(run, _READ):
                rows = [row for row in _rows(batch) if row["status"] == "ok"]
                invalid += len(batch["status"]) - len(rows)
                self._database.execute("BEGIN")
                self._database.executemany(insert, (_values(row, number, whole=side == "b") for row in rows))
                self._database.execute("COMMIT")
        if len(runs) > 1:
            latest = f"SELECT MAX(run) FROM {side} AS other WHERE other.id = {side}.id"  # noqa: S608
            self._database.execute(f"DELETE FROM {side} WHERE run < ({latest})")  # noqa: S608
        return _Told(invalid, tuple(models), tuple(codebooks))

    def alone(self, side: str, other: str) -> int:
        """Return how many of one side's rows have none on the other."""
        pair = f"SELECT 1 FROM {other} WHERE {other}.id = {side}.id AND {other}.turn = {side}.turn"  # noqa: S608
        (n,) = self._database.execute(f"SELECT COUNT(*) FROM {side} WHERE NOT EXISTS ({pair})").fetchone()  # noqa: S608
        return int(n)

    def both(self) -> Iterator[dict[str, Any]]:
        """Yield each pair of rows in the order of B: B's texts, and the labels of both under their names and side."""
        labels = ("stance", "confidence", "concerns", "holder", "holder_type")
        names = [*(f"b.{c}" for c in _TEXTS), *(f"{side}.{c} AS {c}_{side}" for c in labels for side in "ab")]
        query = f"SELECT {', '.join(names)} FROM b JOIN a ON a.id = b.id AND a.turn = b.turn ORDER BY b.seq"  # noqa: S608
        found = self._database.execute(query)
        columns = [c[0] for c in found.description]
        for row in found:
            yield dict(zip(columns, row, strict=True))


def _rows(batch: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for values in zip(*batch.values(), strict=True):
        yield dict(zip(batch, values, strict=True))


def _values(row: Mapping[str, Any], run: int, *, whole: bool) -> tuple[object, ...]:
    """Return a row as the table's values; A's texts are not needed."""
    about = (row["document_id"], row["text"], row["url"]) if whole else (None, None, None)
    concerns = json.dumps(row["concerns"] or [])
    return (row["id"], run, *about, row["stance"], row["confidence"], concerns, row["holder"], row["holder_type"])


def _changes(pairs: _Pairs, diff: LabelDiff) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table, and count on the way."""
    for row in pairs.both():
        before, after = json.loads(row.pop("concerns_a")), json.loads(row.pop("concerns_b"))
        row["concerns_added"] = [c for c in after if c not in before]
        row["concerns_removed"] = [c for c in before if c not in after]
        stance = row["stance_a"] != row["stance_b"]
        concerns = bool(row["concerns_added"] or row["concerns_removed"])
        holder = (row["holder_a"], row["holder_type_a"]) != (row["holder_b"], row["holder_type_b"])
        diff.both += 1
        diff.stances[row["stance_a"] or ABSTAINED, row["stance_b"] or ABSTAINED] += 1
        diff.stance, diff.concerns, diff.holder = diff.stance + stance, diff.concerns + concerns, diff.holder + holder
        if stance or concerns or holder:
            diff.changed += 1
            yield row


def _check_output(folder: Path) -> None:
    """Refuse a folder with anything but an earlier comparison in it."""
    if not folder.exists():
        return
    names = sorted(p.name for p in folder.iterdir()) if folder.is_dir() else [folder.name]
    ours = manifests.NAME not in names or manifests.read_manifest(folder).get("command") == COMMAND
    others = [n for n in names if n not in _NAMES and not n.endswith(".part")] or ([] if ours else [manifests.NAME])
    if others:
        raise UsageError(
            f"{folder}: expected a new folder or an earlier comparison, found {others[0]}; choose another folder"
        )


def _write(
    output: Path,
    changes: Iterator[dict[str, Any]],
    diff: LabelDiff,
    names: tuple[Path, Path],
    sides: Sequence[Sequence[Path]],
    created: str,
) -> None:
    """Write the table in both forms and the manifest, the manifest last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = diff_schema()
    (output / manifests.NAME).unlink(missing_ok=True)
    parquet, sheet = output / _NAMES[0], output / _NAMES[1]
    with (
        atomic_path(parquet) as one,
        atomic_path(sheet) as two,
        pq.ParquetWriter(one, schema, compression="zstd") as table,
        two.open("w", encoding="utf-8", newline="") as stream,
    ):
        # All text is quoted: the csv module leaves a lone carriage return bare, and readers take it for a line's end.
        writer = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerow(schema.names)
        while piece := list(islice(changes, _ROWS)):
            table.write_table(pa.Table.from_pylist(piece, schema=schema))
            writer.writerows([cell(row[name]) for name in schema.names] for row in piece)
    files = [manifests.describe_output(path, folder=output, rows=diff.changed) for path in (parquet, sheet)]
    read = [manifests.describe_file(run / manifests.NAME) for runs in sides for run in runs]
    manifests.write_manifest(
        output / manifests.NAME,
        command=COMMAND,
        inputs=read,
        created=created,
        **{side: _side(names[i], i, diff) for i, side in enumerate("ab")},
        counts={
            **{name: getattr(diff, name) for name in ("both", "same", "changed", "stance", "concerns", "holder")},
            **{name: getattr(diff, name) for name in ("only_a", "only_b")},
            **{"invalid_a": diff.invalid[0], "invalid_b": diff.invalid[1]},
        },
        stances=[{"a": a, "b": b, "n": n} for (a, b), n in sorted(diff.stances.items())],
        outputs=files,
    )
    diff.files = (parquet, sheet, output / manifests.NAME)


def _side(path: Path, i: int, diff: LabelDiff) -> dict[str, object]:
    return {"path": str(path), "model_ids": list(diff.models[i]), "codebook_ids": list(diff.codebooks[i])}
