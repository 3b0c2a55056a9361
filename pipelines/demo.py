"""The demo: the whole road on the reference corpus, from gold labels to a report page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from corpus.errors import UsageError
from corpus.files import atomic_path
from pipelines.evaluation import evaluate_bundle, evaluation_table, write_evaluation
from pipelines.labelled import read_labelled
from pipelines.training import TrainJob, train

if TYPE_CHECKING:
    from models.dataset import Example
    from models.evaluation import Evaluation
    from models.training import Listener, Recipe


@dataclass(frozen=True)
class DemoResult:
    """Where everything lies, and the figures."""

    bundle: Path
    labels: Path
    report: Path
    page: Path
    evaluation: Evaluation
    files: tuple[Path, ...]


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

    Args:
        output: A folder; the demo's own folders in it (``bundle``, ``labels``, ``report``) are made anew.
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
    from pipelines.evaluation_page import PAGE, write_evaluation_page
    from pipelines.folder import remove_result
    from pipelines.label import LabelOptions, label
    from pipelines.report import write_report
    from pipelines.tables import read_labels

    for path in extra:
        if not path.exists():
            raise UsageError(f"{path}: no such file or folder; expected texts to label")
    bundle, unseen, labels = output / "bundle", output / "unseen.jsonl", output / "labels"
    check_target(bundle)
    remove_result(labels)  # an earlier demo's: a label job by itself never replaces another job's result
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
    _write_unseen(unseen, take(known.examples, read_split(bundle / "split.json"), "test"), known.names)
    result = label(
        [str(unseen), *(str(path) for path in extra)],
        predictor,
        labels,
        created=created,
        options=LabelOptions(formats=("csv",), quiet=quiet),
        bundle={"path": str(bundle), "model_id": predictor.model_id},
    )
    counts = result.counts
    say(f"    {counts['ok']} statements labelled, {counts['invalid']} rows invalid")

    say("4/4 Writing tables, the report page and the evaluation page (a few seconds)")
    page, report, day = output / PAGE, output / "report.html", created[:10]
    files = write_report(
        read_labels(labels), output, evaluation=output / "evaluation.json", generated=day, quality=page.name
    )
    write_evaluation_page(page, evaluation, bundle, generated=day, report=report.name)
    return DemoResult(bundle, labels, report, page, evaluation, (*result.files, *files, page))


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
            }
            stream.write(msgspec.json.encode(row) + b"\n")
