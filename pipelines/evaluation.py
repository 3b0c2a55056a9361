"""The evaluation job: a bundle against gold labels, beside the linear baseline and the annotators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from corpus.errors import RecordError
from corpus.files import write_json
from pipelines.labelled import read_labelled

if TYPE_CHECKING:
    from models.dataset import Example
    from models.evaluation import Bootstrap, Evaluation, Figure

_HEADINGS = ("figure", "cases", "model", "TF-IDF baseline", "annotators", "model - baseline")


def evaluate_bundle(
    folder: Path,
    *,
    corpus: Path | None = None,
    inputs: Path | None = None,
    part: Literal["test", "development"] = "test",
    bootstrap: Bootstrap | None = None,
) -> Evaluation:
    """Measure a bundle.

    Args:
        folder: The bundle.
        corpus: What it was trained on (None: the reference corpus); one part of it is evaluated and the baseline is fitted
            on its train part.
        inputs: Other labelled statements, evaluated whole; the baseline is the one of ``corpus`` all the same.
        part: ``test``, or ``development`` while a recipe is being chosen.
        bootstrap: Resamples and seed of the intervals.

    Raises:
        UsageError: when a file or folder does not exist.
        BundleError: when the bundle is incomplete or altered.
        RecordError: when the corpus is not the one that the bundle was trained on, or ``inputs`` repeats its statements.
        CodebookError: when labels are not those of the bundle's codebook.
    """
    from models.baseline import fit_baseline
    from models.dataset import targets
    from models.evaluation import evaluate
    from models.predictor import Predictor
    from models.splits import read_split, take
    from models.training import decisions

    predictor = Predictor.load(folder)
    codebook = predictor.codebook
    split = read_split(folder / "split.json")
    known = read_labelled(corpus, codebook)
    examples: Sequence[Example] = take(known.examples, split, part)
    name: str = part
    if inputs is not None:
        examples, name = _unseen(read_labelled(inputs, codebook).examples, known.examples, inputs), str(inputs)
    baseline = fit_baseline(take(known.examples, split, "train"), take(known.examples, split, "development"), codebook)
    model = decisions(
        predictor.scores([e.passage for e in examples]), targets(examples, codebook), predictor.bundle.calibration
    )
    return evaluate(
        examples,
        model,
        baseline.decide(examples, codebook),
        codebook,
        part=name,
        model_id=predictor.model_id,
        bootstrap=bootstrap,
    )


def evaluation_table(evaluation: Evaluation, *, labels: bool = True) -> str:
    """Return an evaluation as a plain-text table; without ``labels`` only the figures over all labels."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for figure in evaluation.metrics:
        if figure.label is None:
            rows.append(_row(figure))
    if labels:
        rows += [_row(f) for f in evaluation.metrics if f.label is not None]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    note = (
        f"{evaluation.statements} statements of {evaluation.documents} documents ({evaluation.part} part); in brackets 95 % "
        f"intervals, bootstrap by document with {evaluation.bootstrap['resamples']} resamples; annotators: second reading "
        f"against first, on {evaluation.doubly_annotated} statements"
    )
    return "\n".join([*(line.rstrip() for line in lines), "", note])


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write an evaluation as JSON, the form that the report reads."""
    write_json(path, evaluation)


def _unseen(examples: Sequence[Example], known: Sequence[Example], path: Path) -> Sequence[Example]:
    """Refuse statements that the bundle may have been trained on."""
    seen = {e.statement.text for e in known}
    shared = [e for e in examples if e.statement.text in seen]
    if shared:
        raise RecordError(
            f"{path}: {len(shared)} of {len(examples)} statements also stand in the corpus that the bundle was trained on, "
            f"the first is {shared[0].statement.text[:60]!r}; a figure on them would be too good: take them out"
        )
    return examples


def _row(figure: Figure) -> tuple[str, ...]:
    cells = []
    for value in (figure.model, figure.baseline, figure.annotators):
        cells.append("-" if value is None else f"{value.value:.2f} [{value.low:.2f}, {value.high:.2f}]")
    lead = figure.difference
    cells.append("-" if lead is None else f"{lead.value:+.2f} [{lead.low:+.2f}, {lead.high:+.2f}]")
    return figure.title, str(figure.support), *cells
