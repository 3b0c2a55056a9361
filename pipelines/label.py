"""The label job: reads statements or documents, has each judged, and writes one row a statement in input order."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import msgspec
from tqdm import tqdm

from annotation.codebook import Codebook
from corpus.errors import BundleError, CodebookError, RecordError, UsageError
from corpus.records import Prediction
from models.passage import Judge, Judgement, Passage
from pipelines import manifest as manifests
from pipelines.folder import FORMATS, check_folder, clear_folder, take_folder, write_rows
from pipelines.holders import name_holders
from pipelines.inputs import Source, find_sources
from pipelines.items import Item, Tally, read_items
from pipelines.queue import Abstention, Queue, abstain, write_queue
from pipelines.shares import millionths as _millionths

COMMAND = "label"


@dataclass(frozen=True, slots=True)
class LabelOptions:
    """How to label. ``unit`` None means: rows of tables are statements, files are documents.

    ``formats`` are written beside Parquet; ``chunk`` passages are given to the judge at once, which changes speed only.
    Without ``abstention`` every decision is kept.
    """

    unit: Literal["statement", "document"] | None = None
    formats: tuple[str, ...] = ()
    rows_per_file: int = 50_000
    chunk: int = 1024
    quiet: bool = False
    abstention: Abstention | None = None


@dataclass(frozen=True, slots=True)
class LabelResult:
    """What a label job did: counts and reasons as in the manifest, and the files that it wrote."""

    counts: dict[str, int]
    reasons: dict[str, int]
    files: tuple[Path, ...]
    manifest: Path
    queue: Queue | None = None


def label(
    inputs: Sequence[str],
    judge: Judge,
    output: Path,
    *,
    created: str,
    options: LabelOptions | None = None,
    bundle: Mapping[str, object] | None = None,
    stdin: BinaryIO | None = None,
) -> LabelResult:
    """Label inputs into ``output``: ``labels-*.parquet``, the extra formats, and ``manifest.json`` as the last file.

    The input is read whole before anything is judged, and judged whole before anything is written.

    Args:
        inputs: Tables, documents, folders of documents, or ``-`` for ``stdin``.
        judge: Gives the labels; its ``model_id`` and codebook stand on every row.
        output: A folder, made where there is none. It may hold the result of the same job, which is then replaced.
        created: Time of the job (ISO 8601), for the manifest only.
        options: See :class:`LabelOptions`.
        bundle: What the manifest shall say of the bundle (path, hashes).
        stdin: Standard input, where ``-`` is named.

    Raises:
        UsageError: for a missing input, wrong options, or an output folder that cannot be written to or is taken.
        RecordError: for a torn input; and, after the files are written, where not a single row could be labelled.
        BundleError: when the judge returns what is no judgement.
    """
    options = options or LabelOptions()
    _check_options(options)
    sources, skipped = find_sources(inputs, stdin=stdin)
    for source in sources:
        if source.kind != "table" and options.unit == "statement":
            raise UsageError(
                f"{source.name}: expected a table with one statement a row for the unit 'statement', "
                f"found {source.what}; "
                "leave the unit out or put the statements into a table"
            )
    read = [_describe(source) for source in sources]
    asked, place, formats = options.abstention, output, sorted(set(options.formats))
    settings: dict[str, object] = {"unit": options.unit, "formats": formats, "rows_per_file": options.rows_per_file}
    if asked is not None:
        settings, place = settings | asked.settings(), asked.place(output)
    job = {"model_id": judge.model_id, "codebook_id": judge.codebook.id, "options": settings}
    check_folder(output, {"command": COMMAND, "inputs": read, **job})
    tally = Tally()
    items = list(read_items(sources, options.unit, tally))
    if not items:
        raise RecordError(f"{', '.join(inputs)}: expected one row or more, found a header without rows; check the input")
    take_folder(output)
    rows = _rows(items, judge, options)
    abstain(rows, asked)
    reasons, counts = _reasons(items), _counts(items, rows, judge)
    try:
        clear_folder(output)
        written = write_rows(rows, judge.codebook, output, formats=options.formats, rows_per_file=options.rows_per_file)
        sources_of = [item.source for item in items]
        queue = None if asked is None else write_queue(place, rows, sources_of, judge.codebook, size=asked.size)
        written += [(queue.path, queue.written)] if queue and place.parent == output else []
    except OSError as error:
        raise RecordError(
            f"{output}: expected to write {len(rows)} rows, but {error.strerror or error}; "
            "make room, empty the folder and run it again"
        ) from error
    manifests.write_manifest(
        output / manifests.NAME,
        command=COMMAND,
        inputs=read,
        created=created,
        **job,
        bundle=dict(bundle) if bundle is not None else None,
        codebook=msgspec.to_builtins(judge.codebook),
        counts=counts,
        **(asked.sections(queue, counts) if asked and queue else {}),
        reasons=reasons,
        clutter=dict(sorted(tally.clutter.items())),
        skipped=[*skipped, *(f"{name}: {n} records that are no pages" for name, n in tally.passed_over.items())],
        ignored_columns=sorted(tally.ignored),
        outputs=[manifests.describe_output(path, folder=output, rows=n) for path, n in written],
    )
    if not counts["ok"]:
        first = next(item.reason for item in items if item.reason is not None)
        if len(items) == 1:
            raise RecordError(f"{', '.join(inputs)}: {first}; nothing else was given, so nothing is labelled")
        raise RecordError(
            f"{', '.join(inputs)}: none of {len(rows)} rows can be labelled, the first because {first}; "
            f"see the column reason in {output}"
        )
    return LabelResult(counts, reasons, tuple(path for path, _ in written), output / manifests.NAME, queue)


def _check_options(options: LabelOptions) -> None:
    unknown = [f for f in options.formats if f not in FORMATS]
    if unknown:
        raise UsageError(f"format {unknown[0]!r} is not known; expected {' or '.join(FORMATS)}")
    if options.unit not in (None, "statement", "document"):
        raise UsageError(f"unit {options.unit!r} is not known; expected statement or document")
    for name in ("rows_per_file", "chunk"):
        if getattr(options, name) < 1:
            raise UsageError(f"{name} is {getattr(options, name)}; expected 1 or more")


def _describe(source: Source) -> dict[str, object]:
    if source.path is None:
        return manifests.describe_bytes(source.data or b"", name=source.name)
    return manifests.describe_file(source.path, name=source.name)


def _rows(items: Sequence[Item], judge: Judge, options: LabelOptions) -> list[dict[str, object]]:
    """Return the output's rows in the items' order."""
    fixed = {"model_id": judge.model_id, "codebook_version": judge.codebook.id}
    rows = [
        {**item.columns, "holder_type": _holder_type(item, judge), **fixed, "status": "invalid", "reason": item.reason}
        for item in items
    ]
    valid = [i for i, item in enumerate(items) if item.reason is None]
    found: dict[int, int] = {}  # where the model found the holder
    # disable=None shows the bar on a terminal only
    with tqdm(total=len(valid), unit=" statements", desc="labelling", disable=True if options.quiet else None) as bar:
        for start in range(0, len(valid), options.chunk):
            chunk = valid[start : start + options.chunk]
            judgements = judge.judge([_passage(items[i]) for i in chunk])
            if len(judgements) != len(chunk):
                raise BundleError(
                    f"{judge.model_id}: expected {len(chunk)} judgements, found {len(judgements)}; the model is not usable"
                )
            for i, judgement in zip(chunk, judgements, strict=True):
                rows[i] |= _labels(items[i], judgement, judge)
                if judgement.holder_start is not None:
                    found[i] = judgement.holder_start
            bar.update(len(chunk))
    return name_holders(rows, [item.whole for item in items], found, nobody=judge.codebook.nobody)


def _passage(item: Item) -> Passage:
    title = item.columns.get("title")
    return Passage(text=str(item.columns["text"]), title=None if title is None else str(title), before=item.before)


def _labels(item: Item, judgement: Judgement, judge: Judge) -> dict[str, object]:
    """Return the label columns of one row.

    A holder that the input names goes before the one that was found; where the statement takes a position and names
    nobody, the speaker whom the lead-in above it names holds it.
    """
    codebook, text = judge.codebook, str(item.columns["text"])
    p = _prediction(str(item.columns["id"]), text, judgement, judge)
    shares = _millionths([p.probabilities[s] for s in codebook.stance_ids])
    holder, kind = item.columns.get("holder") or p.holder, _holder_type(item, judge) or p.holder_type
    if holder is None and item.speaker is not None and _takes_position(p.stance, codebook):
        holder, kind = item.speaker, None if kind == codebook.nobody else kind
    return {
        "holder": holder,
        "holder_type": kind,
        "stance": p.stance,
        **{f"stance_{s}": share for s, share in zip(codebook.stance_ids, shares, strict=True)},
        "concerns": [c for c in codebook.concern_ids if c in p.concerns],
        **{f"concern_{c}": round(p.concern_probabilities[c], 6) for c in codebook.concern_ids},
        "abstained": p.abstained,
        "confidence": shares[codebook.stance_ids.index(p.stance)],
        "status": "ok",
        "reason": None,
    }


def _takes_position(stance: str, codebook: Codebook) -> bool:
    return any(s.id == stance and s.polarity != "neutral" for s in codebook.stances)


def _holder_type(item: Item, judge: Judge) -> str | None:
    """Return the holder type that the input gives, if the codebook has it; others are counted in the manifest."""
    given = item.columns.get("holder_type")
    return given if isinstance(given, str) and given in judge.codebook.holder_type_ids else None


def _prediction(identity: str, text: str, judgement: Judgement, judge: Judge) -> Prediction:
    """Turn a judgement into the record, which refuses what is inconsistent."""
    codebook, j = judge.codebook, judgement
    spanned = j.holder_start is not None and j.holder_end is not None
    try:
        codebook.check(stance=j.stance, concerns=j.concerns, holder_type=j.holder_type, where=f"statement {identity}")
        if spanned and not 0 <= j.holder_start < j.holder_end <= len(text):  # type: ignore[operator]
            raise ValueError(f"holder {j.holder_start} to {j.holder_end} is not a span of {len(text)} characters")
        probabilities = dict(zip(codebook.stance_ids, j.probabilities, strict=True))
        if not math.isclose(j.confidence, probabilities[j.stance], abs_tol=1e-4):
            raise ValueError(f"confidence is {j.confidence}, the probability of {j.stance!r} {probabilities[j.stance]}")
        return Prediction(
            statement=identity,
            model_id=judge.model_id,
            codebook_version=codebook.id,
            stance=j.stance,
            probabilities=probabilities,
            concerns=j.concerns,
            concern_probabilities=dict(zip(codebook.concern_ids, j.concern_probabilities, strict=True)),
            confidence=j.confidence,
            abstained=j.abstained,
            holder=text[j.holder_start : j.holder_end] if spanned else None,
            holder_start=j.holder_start,
            holder_end=j.holder_end,
            holder_type=j.holder_type,
        )
    except (ValueError, CodebookError) as error:
        raise BundleError(
            f"{judge.model_id}: expected a judgement of statement {identity} by codebook {codebook.name}, "
            f"but {error}; the model is not usable"
        ) from error


def _reasons(items: Sequence[Item]) -> dict[str, int]:
    """Count the reasons in the order of their first row; numbers are left out, so that like reasons stand together."""
    return dict(Counter(re.sub(r"(?<![\w-])\d[\d.,]*", "…", item.reason) for item in items if item.reason is not None))


def _counts(items: Sequence[Item], rows: Sequence[Mapping[str, object]], judge: Judge) -> dict[str, int]:
    ok = [row for row in rows if row["status"] == "ok"]
    ids = [row["id"] for row in rows if row.get("id") is not None]
    types = [item.columns.get("holder_type") for item in items]
    return {
        "rows": len(rows),
        "ok": len(ok),
        "invalid": len(rows) - len(ok),
        "statements": len({row["id"] for row in ok}),
        "documents": len({row["document_id"] for row in ok}),
        "abstained": sum(row["abstained"] is True for row in ok),
        "duplicates": len(ids) - len(set(ids)),
        "unknown_holder_types": sum(t is not None and t not in judge.codebook.holder_type_ids for t in types),
    }
