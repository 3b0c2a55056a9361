"""The evaluation job: a bundle against gold labels, beside the linear baseline and the annotators."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from corpus.errors import RecordError, UsageError
from corpus.files import write_json
from corpus.sources import Project
from pipelines.labelled import read_gold, read_labelled
from pipelines.workspace import find_workspace

if TYPE_CHECKING:
    from models.breakdown import Comparison
    from models.dataset import Example
    from models.evaluation import Bootstrap, Evaluation, Figure
    from models.metrics import Decisions, Interval
    from models.predictor import Predictor

_HEADINGS = ("figure", "cases", "model", "TF-IDF baseline", "annotators", "model - baseline")


Part = Literal["test", "development"]


def evaluate_bundle(
    folder: Path,
    *,
    corpus: Path | None = None,
    workspace: Project | None = None,
    inputs: Path | None = None,
    part: Part = "test",
    bootstrap: Bootstrap | None = None,
    spread: Sequence[Path] = (),
    against: Path | None = None,
) -> Evaluation:
    """Measure a bundle on the part of its own split, whichever kind of split that is.

    Args:
        folder: The bundle.
        corpus: What it was trained on; one part of it is evaluated and the baseline is fitted on its train part. None: the
            reference corpus, or where the bundle was trained on a workspace's gold, that gold as it stands now.
        workspace: Whose gold it was trained on. None: the workspace that a bundle of that kind lies in, or else the one
            that the command was called in.
        inputs: Other labelled statements, evaluated whole; the baseline is the one of ``corpus`` all the same.
        part: ``test``, or ``development`` while a recipe is being chosen.
        bootstrap: Resamples and seed of the intervals.
        spread: Bundles that differ from this one in the seed of training alone, to tell how far seeds lie apart.
        against: Another bundle to compare it with, statement by statement.

    Raises:
        UsageError: when a file or folder does not exist.
        BundleError: when a bundle is incomplete or altered.
        RecordError: when the corpus is not the one that the bundle was trained on, ``inputs`` repeats its statements, or
            another bundle does not fit this one (split, corpus, codebook, recipe).
        CodebookError: when labels are not those of the bundle's codebook.
    """
    from models.baseline import fit_baseline
    from models.comparison import compare
    from models.comparison import spread as spread_over
    from models.evaluation import evaluate
    from models.predictor import Predictor
    from models.splits import read_split, take

    predictor = Predictor.load(folder)
    codebook = predictor.codebook
    split = read_split(folder / "split.json")
    if corpus is None and workspace is None and predictor.bundle.manifest.get("corpus", {}).get("workspace"):
        workspace = _workspace_of(folder)
    known = read_gold(corpus, workspace, codebook)
    examples: Sequence[Example] = take(known.examples, split, part)
    name: str = part
    if inputs is not None:
        examples, name = _unseen(read_labelled(inputs, codebook).examples, known.examples, inputs), str(inputs)
    runs = _seed_runs(predictor, spread)  # before the slow parts: what does not fit is told at once
    rival = None if against is None else _fitting(predictor, against)
    baseline = fit_baseline(take(known.examples, split, "train"), take(known.examples, split, "development"), codebook)
    model = _decided(predictor, examples)
    evaluation = evaluate(
        examples,
        model,
        baseline.decide(examples, codebook),
        codebook,
        part=name,
        model_id=predictor.model_id,
        bootstrap=bootstrap,
        split=split.record,
    )
    if runs:
        decided = [model, *(_decided(run, examples) for run in runs)]
        evaluation = msgspec.structs.replace(evaluation, spread=spread_over(examples, decided, codebook))
    if rival is not None:
        comparison = compare(
            examples,
            model,
            _decided(rival, examples),
            codebook,
            part=name,
            model_ids=(predictor.model_id, rival.model_id),
            bootstrap=bootstrap,
        )
        evaluation = msgspec.structs.replace(evaluation, against=comparison)
    return evaluation


def _workspace_of(bundle: Path) -> Project:
    """Return the workspace that a bundle lies in, as `train` puts it there, else the one around the command."""
    found = find_workspace(None, here=bundle.resolve().parent.parent) or find_workspace(None)
    if found is None:
        raise UsageError(
            f"{bundle}: expected the workspace on whose gold it was trained, found none around it; name it with --workspace"
        )
    return found


def _decided(predictor: Predictor, examples: Sequence[Example]) -> Decisions:
    from models.evaluation import decide

    scores = predictor.scores([e.passage for e in examples])
    return decide(examples, scores, predictor.bundle.calibration, predictor.codebook)


def _fitting(predictor: Predictor, folder: Path) -> Predictor:
    """Load another bundle, refused unless it was trained on the same parts of the same corpus under the same codebook."""
    from models.comparison import check_same_split
    from models.predictor import Predictor
    from models.splits import read_split

    own, other = predictor.bundle, Predictor.load(folder)
    if other.codebook.id != predictor.codebook.id:
        raise RecordError(
            f"{folder}: its codebook is {other.codebook.id}, expected {predictor.codebook.id} as in {own.folder}; "
            "train both with one codebook"
        )
    check_same_split(
        read_split(own.folder / "split.json"), read_split(folder / "split.json"), (str(own.folder), str(folder))
    )
    hashes = [b.manifest.get("corpus", {}).get("sha256") for b in (own, other.bundle)]
    if hashes[0] != hashes[1]:
        raise RecordError(
            f"{folder}: its corpus has hash {hashes[1]}, expected {hashes[0]} as in {own.folder}; train both on one corpus"
        )
    return other


def _seed_runs(predictor: Predictor, folders: Sequence[Path]) -> list[Predictor]:
    """Load bundles that differ in their seed alone, refused where they differ in more or not at all."""
    own = predictor.bundle
    seen = {own.recipe.seed: own.folder}
    runs = []
    for folder in folders:
        other = _fitting(predictor, folder)
        recipe = other.bundle.recipe
        differing = [f for f in recipe.__struct_fields__ if f != "seed" and getattr(recipe, f) != getattr(own.recipe, f)]
        if differing:
            raise RecordError(
                f"{folder}: its recipe differs from that of {own.folder} in {', '.join(differing)}, expected another seed "
                "and nothing else; compare the two with --against"
            )
        if recipe.seed in seen:
            raise RecordError(
                f"{folder}: trained with seed {recipe.seed}, as was {seen[recipe.seed]}, expected another seed; a bundle "
                "counted twice would make the spread too small"
            )
        seen[recipe.seed] = folder
        runs.append(other)
    return runs


def evaluation_table(evaluation: Evaluation, *, labels: bool = True) -> str:
    """Return an evaluation as a plain-text table; without ``labels`` only the figures over all labels."""
    rows: list[tuple[str, ...]] = [_HEADINGS]
    for figure in evaluation.metrics:
        if figure.label is None:
            rows.append(_row(figure))
    if labels:
        rows += [_row(f) for f in evaluation.metrics if f.label is not None]
    note = (
        f"{evaluation.statements} statements of {evaluation.documents} documents ({evaluation.part} part"
        f"{_cut(evaluation)}); in brackets 95 % intervals, bootstrap by document with {evaluation.bootstrap['resamples']} "
        f"resamples; annotators: second reading against first, on {evaluation.doubly_annotated} statements"
    )
    return "\n".join([*aligned(rows), "", note])


def spread_table(evaluation: Evaluation) -> str:
    """Return the figures over bundles of several seeds as a plain-text table."""
    titles = {f.name: f.title for f in evaluation.metrics if f.label is None}
    rows: list[tuple[str, ...]] = [("figure", "mean", "sd", "values")]
    for s in evaluation.spread:
        rows.append((titles.get(s.name, s.name), f"{s.mean:.3f}", f"{s.sd:.3f}", " ".join(f"{v:.3f}" for v in s.values)))
    count = len(evaluation.spread[0].values) if evaluation.spread else 0
    return "\n".join([*aligned(rows), "", f"{count} bundles that differ in their seed alone; sd: sample standard deviation"])


def comparison_table(comparison: Comparison) -> str:
    """Return a comparison of two bundles as a plain-text table of the figures over all labels."""
    rows: list[tuple[str, ...]] = [("figure", "first", "second", "first - second", "p")]
    for f in comparison.figures:
        if f.label is None:
            p = "-" if f.p is None else f"{f.p:.3f}"
            rows.append((f.title, cell(f.first), cell(f.second), cell(f.difference, signed=True), p))
    note = (
        f"first: {comparison.first}; second: {comparison.second}; {comparison.statements} statements of "
        f"{comparison.documents} documents ({comparison.part} part), the same documents drawn for both in each of "
        f"{comparison.bootstrap['resamples']} resamples; p: how often the difference has the other sign, two-sided"
    )
    return "\n".join([*aligned(rows), "", note])


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


def _cut(evaluation: Evaluation) -> str:
    """Say from which date on a part of a split by time is; nothing for other splits and for statements of one's own."""
    date = evaluation.split.get(f"{evaluation.part}_from")
    return f" of a split by time, documents from {date}" if date else ""


def _row(figure: Figure) -> tuple[str, ...]:
    sides = (figure.model, figure.baseline, figure.annotators)
    return figure.title, str(figure.support), *map(cell, sides), cell(figure.difference, signed=True)


def cell(value: Interval | None, *, signed: bool = False) -> str:
    """Return a figure with its interval as text, a dash where there is none."""
    if value is None:
        return "-"
    form = "+.2f" if signed else ".2f"
    return f"{value.value:{form}} [{value.low:{form}}, {value.high:{form}}]"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines of aligned columns, the first one to the left, with a rule below the headings."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    ]
    return [line.rstrip() for line in (lines[0], "  ".join("-" * w for w in widths), *lines[1:])]
