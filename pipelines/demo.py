"""The demo: the whole road on the reference corpus, from gold labels to corrected shares and a report page.

The test part plays unseen coverage. A random sample of it plays the audit sample: of these statements alone the report is
told the gold labels. What all gold labels say is printed beside the estimates, which a user could not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from annotation.sampling import Candidate, draw_audit
from corpus.errors import UsageError
from corpus.files import atomic_path
from pipelines.audit_sample import AuditLine
from pipelines.evaluation import aligned, evaluate_bundle, evaluation_table, write_evaluation
from pipelines.labelled import read_labelled
from pipelines.training import TrainJob, train

if TYPE_CHECKING:
    from models.dataset import Example
    from models.evaluation import Evaluation
    from models.predictor import Predictor
    from models.training import Listener, Recipe
    from pipelines.report import Report

AUDIT = 200
"""Statements of the test part whose gold labels the report is told."""


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and the figures; ``yours`` is the report on inputs of the user's own."""

    bundle: Path
    labels: Path
    report: Path
    page: Path
    evaluation: Evaluation
    files: tuple[Path, ...]
    yours: Path | None = None


def demo(
    output: Path,
    recipe: Recipe,
    *,
    created: str,
    extra: Sequence[Path] = (),
    listener: Listener | None = None,
    say: Callable[[str], object] = lambda line: None,
    quiet: bool = False,
) -> DemoResult:
    """Train, evaluate, label the test part as unseen coverage (and ``extra`` inputs), and write tables and the two pages.

    What is labelled besides has a report of its own, in which shares are corrected by the evaluation alone: the audit sample
    says nothing of it.

    Args:
        output: A folder; the demo's own folders in it (``bundle``, ``labels``, ``report``, ``yours``) are made anew.
        recipe: How to train.
        created: ISO date, for manifests and the page.
        extra: Files and folders of the user's own to label as well.
        listener: Is told of training's progress.
        say: Is told, a line each, what is being done and how long it takes.
        quiet: No progress bars.

    Raises:
        UsageError: when ``extra`` names something that does not exist, or ``output`` cannot be written to.
    """
    from models.bundle import check_target
    from models.predictor import Predictor
    from models.splits import read_split, take
    from pipelines.evaluation_page import PAGE as QUALITY
    from pipelines.evaluation_page import write_evaluation_page
    from pipelines.folder import remove_result
    from pipelines.report import PAGE, make_report, write_report

    for path in extra:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder; expected texts to label")
    bundle, unseen, labels, yours = output / "bundle", output / "unseen.jsonl", output / "labels", output / "yours"
    check_target(bundle)
    for earlier in (labels, yours / "labels"):
        remove_result(earlier)  # an earlier demo's: a label job by itself never replaces another job's result
    say("1/4 Training on the reference corpus (about 5 minutes on two recent cores, 8 on older ones)")
    trained = train(TrainJob(output=bundle), recipe, created=created, listener=listener, say=lambda s: say(f"    {s}"))
    say(f"    kept epoch {trained.trained.best_epoch}; bundle {trained.model_id}")

    say("2/4 Measuring it on the test part, beside the linear baseline and the annotators (about 30 seconds)")
    evaluation = evaluate_bundle(bundle)
    write_evaluation(output / "evaluation.json", evaluation)
    for line in evaluation_table(evaluation, labels=False).splitlines():
        say(f"    {line}")

    say("3/4 Labelling the test part's documents as unseen coverage (a few seconds)")
    predictor = Predictor.load(bundle)
    known = read_labelled(None, predictor.codebook)
    unseen_part = take(known.examples, read_split(bundle / "split.json"), "test")
    _write_unseen(unseen, unseen_part, known.names)
    files = _label([unseen], predictor, labels, bundle, created=created, say=say, quiet=quiet)
    if extra:
        say("    and your own")
        files += _label(extra, predictor, yours / "labels", bundle, created=created, say=say, quiet=quiet)

    say(f"4/4 Estimating shares with an audit sample of {AUDIT}, writing tables and the two pages (a few seconds)")
    folder, day = output / "report", created[:10]
    audit = output / "audit.jsonl"
    _write_audit(audit, unseen_part, known.names)
    figures = output / "evaluation.json"
    report = make_report(labels, columns=unseen, audit=audit, evaluation=figures, generated=day, quality=QUALITY)
    files += write_report(report, folder, created=created)
    write_evaluation_page(folder / QUALITY, evaluation, bundle, generated=day, report=PAGE)
    for line in _shares(report, unseen_part):
        say(f"    {line}")
    if extra:
        own = make_report(yours / "labels", evaluation=figures, generated=day)
        files += write_report(own, yours / "report", created=created)
    return DemoResult(
        bundle, labels, folder / PAGE, folder / QUALITY, evaluation, tuple(files), yours / "report" / PAGE if extra else None
    )


def _label(
    inputs: Sequence[Path],
    predictor: Predictor,
    output: Path,
    bundle: Path,
    *,
    created: str,
    say: Callable[[str], object],
    quiet: bool,
) -> list[Path]:
    from pipelines.label import LabelOptions, label

    result = label(
        [str(path) for path in inputs],
        predictor,
        output,
        created=created,
        options=LabelOptions(formats=("csv",), quiet=quiet),
        bundle={"path": str(bundle), "model_id": predictor.model_id},
    )
    counts = result.counts
    say(f"    {counts['ok']} statements labelled, {counts['invalid']} rows invalid")
    return list(result.files)


def _write_unseen(path: Path, examples: Sequence[Example], names: Mapping[str, str]) -> None:
    """Write statements as input of the label job: text and source, not a word of their gold labels."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for e in examples:
            row = {
                "id": names[e.statement.id],
                "text": e.statement.text,
                "title": e.document.title,
                "published": e.document.published,
                "publisher": e.document.publisher,
                "url": e.document.url,
                "kind": e.document.kind,
            }
            stream.write(msgspec.json.encode(row) + b"\n")


def _write_audit(path: Path, examples: Sequence[Example], names: Mapping[str, str]) -> None:
    """Draw an audit sample and write it with the gold labels of its statements."""
    frame = [Candidate(e.statement.id, e.document.id) for e in examples]
    gold = {e.statement.id: e.gold for e in examples}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        for statement, stratum, probability in draw_audit(frame, n=min(AUDIT, len(frame)), seed=0):
            line = AuditLine(
                id=names[statement],
                stance=gold[statement].stance,
                concerns=gold[statement].concerns,
                inclusion_probability=probability,
                stratum=stratum,
            )
            stream.write(msgspec.json.encode(line) + b"\n")


def _shares(report: Report, examples: Sequence[Example]) -> list[str]:
    """Return each stance's share as counted, as estimated, and as the gold labels of all statements say."""
    shares = report.tables["shares"]
    cells = shares[(shares["dimension"] == "overall") & (shares["measure"] == "stance") & (shares["counting"] == "opinions")]
    names = {s.id: s.name for s in report.coverage.labels.codebook.stances}
    rows: list[tuple[str, ...]] = [("share of statements", "as counted", "estimate with interval", "by all gold labels")]
    for cell in cells.to_dict("records"):
        truth = sum(e.gold.stance == cell["label"] for e in examples) / len(examples)
        known = cell["reason"] is None
        estimate = f"{cell['share']:.2f} [{cell['low']:.2f}, {cell['high']:.2f}]" if known else str(cell["reason"])
        rows.append((names[cell["label"]], f"{cell['uncorrected']:.2f}", estimate, f"{truth:.2f}"))
    return aligned(rows)
