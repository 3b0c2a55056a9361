"""The quality gate: the shipped recipe's figures against floors that only a stated reason can lower.

Run from the repository's root, where floors and pinned versions lie:

    python -m pipelines.gate                    train the shipped recipe, measure it, compare
    python -m pipelines.gate --bundle BUNDLE    compare a bundle that was trained with it
    python -m pipelines.gate --update           write floors from what was measured
"""

from __future__ import annotations

import hashlib
import math
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from annotation.codebook import dump_codebook, load_codebook
from corpus.errors import RecordError, TreatyStanceError, UsageError
from corpus.files import read_json, write_json
from corpus.identity import file_sha256
from corpus.reference_corpus import SHIPPED
from pipelines.terminal import FOLDER, TrainingBar, quiet_option, say_to, set_threads, today

if TYPE_CHECKING:
    from annotation.codebook import Codebook
    from models.evaluation import Evaluation, Figure
    from models.recipe import Recipe

FORMAT = 1
FLOORS = Path("benchmarks") / "gate.json"
CONSTRAINTS = Path("constraints.txt")
MARGIN = (
    "half the distance from the measured figure to the worse end of its 95 % interval, 0.01 at least: about one standard "
    "error; the inputs are pinned, so what may differ is training on another processor or with another number of threads"
)
_LEAST_MARGIN = 0.01
_INGREDIENTS = ("warm_start", "teacher")  # fields of a bundle's manifest that the shipped way of training leaves out
_LOWER_IS_BETTER = {"stance_ece", "aurc"}


class Bound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one overall figure has to reach: at least ``floor``, or at most ``ceiling``. ``measured`` is what it was."""

    name: str
    measured: float
    floor: float | None = None
    ceiling: float | None = None

    def __post_init__(self) -> None:
        if (self.floor is None) == (self.ceiling is None):
            raise ValueError(f"{self.name}: expected a floor or a ceiling, one of the two")

    @property
    def limit(self) -> float:
        """The floor or ceiling, whichever there is."""
        limit = self.ceiling if self.floor is None else self.floor
        assert limit is not None  # noqa: S101  # checked on construction
        return limit

    def holds(self, value: float) -> bool:
        """Return whether a figure keeps the bound; one that is not a number does not."""
        return value >= self.limit if self.ceiling is None else value <= self.limit

    def slack(self, other: Bound) -> float:
        """Return by how much ``other`` asks for less than this bound; negative where it asks for more."""
        return self.limit - other.limit if self.ceiling is None else other.limit - self.limit


class Lowering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One bound that was made easier to keep, or dropped (``to`` None), with date and reason."""

    date: str
    name: str
    before: float
    after: float | None
    because: str


class Floors(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The pinned state: which inputs, what was measured on how many statements, what has to be kept."""

    format: int = FORMAT
    measured_on: str
    model_id: str
    part: str
    statements: int
    split: dict[str, int | str] = {}
    margin: str = MARGIN
    inputs: dict[str, str]
    bounds: tuple[Bound, ...]
    lowered: tuple[Lowering, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """One figure beside its bound; ``sentence`` says what is wrong, None where the bound is kept."""

    name: str
    value: float | None
    bound: Bound | None
    sentence: str | None


def gate_inputs(recipe: Recipe, codebook: Codebook, *, constraints: Path = CONSTRAINTS) -> dict[str, str]:
    """Return the SHA-256 of everything that the shipped recipe's figures depend on, by name.

    Raises:
        UsageError: when a file is missing, or the recipe's encoder is not on this machine.
    """
    from models.network import encoder_folder

    folder = Path(encoder_folder(recipe.encoder))
    files = [SHIPPED / f"{name}.jsonl" for name in ("documents", "annotations", "gold")]
    named = {**{f"reference corpus, {path.name}": path for path in files}, constraints.name: constraints}
    named |= {f"encoder, {path.name}": path for path in sorted(folder.glob("*.safetensors"))}
    if not folder.is_dir():
        raise UsageError(f"encoder {recipe.encoder}: expected a folder on this machine, to hash its weights; name one")
    missing = [path for path in named.values() if not path.is_file()]
    if missing:
        raise UsageError(f"{missing[0]}: no such file; run the gate from the repository's root")
    out = {name: file_sha256(path) for name, path in named.items()}
    out["codebook"] = hashlib.sha256(dump_codebook(codebook).encode("utf-8")).hexdigest()
    out["recipe"] = hashlib.sha256(msgspec.json.encode(recipe, order="sorted")).hexdigest()
    return dict(sorted(out.items()))


def check_inputs(floors: Floors, inputs: Mapping[str, str]) -> None:
    """Refuse to compare what was made from other inputs.

    Raises:
        RecordError: naming those that differ.
    """
    changed = sorted(name for name in {*inputs, *floors.inputs} if inputs.get(name) != floors.inputs.get(name))
    if changed:
        raise RecordError(
            f"the floors were measured with other inputs than those found here ({'; '.join(changed)} differ), so nothing is "
            "compared; renew the floors with --update"
        )


def compare(evaluation: Evaluation, floors: Floors, inputs: Mapping[str, str]) -> tuple[Verdict, ...]:
    """Return a verdict for each pinned figure, and for each overall figure that is not pinned yet.

    Raises:
        RecordError: when inputs, part or split are not those that the floors were measured with: figures of different
            things are not compared.
    """
    check_inputs(floors, inputs)
    measured = (evaluation.part, evaluation.statements, evaluation.split)
    if measured != (floors.part, floors.statements, floors.split):
        raise RecordError(
            f"the floors are for {floors.statements} statements of the {floors.part} part of split {floors.split}, found "
            f"{evaluation.statements} of {evaluation.part}, split {evaluation.split}; evaluate the same part, or renew the "
            "floors with --update"
        )
    values = {figure.name: figure.model.value for figure in _overall(evaluation) if figure.model}
    verdicts = [_verdict(bound, values.get(bound.name)) for bound in floors.bounds]
    new = sorted(set(values) - {bound.name for bound in floors.bounds})
    sentence = "{} is not pinned, expected a floor for each overall figure; add it with --update"
    return (*verdicts, *(Verdict(name=n, value=values[n], bound=None, sentence=sentence.format(n)) for n in new))


def renew(
    evaluation: Evaluation,
    old: Floors | None,
    inputs: Mapping[str, str],
    *,
    date: str,
    because: str | None = None,
) -> Floors:
    """Return floors for what was measured: each as strict as before or stricter, unless a reason is given.

    A bound is the measured figure with a margin (see ``MARGIN``), rounded to three decimals in the figure's favour. Where
    the pinned one is stricter and the figure keeps it, it stays.

    Args:
        evaluation: The measured run.
        old: What is pinned now, None for the first time.
        inputs: What the run was made from.
        date: ISO date of the run.
        because: Why bounds that the figures no longer keep may be lowered, and figures that no longer exist dropped; None
            where they may not.

    Raises:
        RecordError: when a bound would be lowered or dropped without a reason.
    """
    fresh = {figure.name: bound for figure in _overall(evaluation) if (bound := _bound(figure)) is not None}
    bounds, lowered = dict(fresh), []
    for pinned in old.bounds if old else ():
        found = fresh.get(pinned.name)
        if found is not None and (pinned.floor is None) == (found.floor is None) and pinned.holds(found.measured):
            if pinned.slack(found) > 0:
                bounds[pinned.name] = msgspec.structs.replace(pinned, measured=found.measured)
            continue
        after = None if found is None else found.limit
        lowered.append(Lowering(date=date, name=pinned.name, before=pinned.limit, after=after, because=because or ""))
    if lowered and not (because and because.strip()):
        easier = ", ".join(f"{low.name} from {low.before:g} to {_number(low.after)}" for low in lowered)
        raise RecordError(
            f"{easier}: a floor is not lowered without a reason; mend what made the figure worse, or give --allow-lower and "
            "--because with the reason"
        )
    return Floors(
        measured_on=date,
        model_id=evaluation.model_id,
        part=evaluation.part,
        statements=evaluation.statements,
        split=evaluation.split,
        inputs=dict(inputs),
        bounds=tuple(bounds.values()),
        lowered=(*(old.lowered if old else ()), *lowered),
    )


def read_floors(path: Path) -> Floors:
    """Read a floors file.

    Raises:
        UsageError: when there is none.
        RecordError: when it is not one, or of another format.
    """
    try:
        floors = msgspec.convert(read_json(path), Floors)
    except msgspec.ValidationError as error:
        raise RecordError(f"{path}: expected the gate's floors, but {error}; restore the file") from error
    if floors.format != FORMAT:
        raise RecordError(f"{path}: format is {floors.format}, this release reads format {FORMAT}; restore the file")
    return floors


def gate_table(verdicts: tuple[Verdict, ...]) -> str:
    """Return the verdicts as a plain-text table."""
    rows = []
    for v in verdicts:
        limit = "" if v.bound is None else f"{'at most ' if v.bound.floor is None else 'at least'} {v.bound.limit:.3f}"
        rows.append(f"{v.name:28} {_number(v.value):>6}  {limit:15}  {'ok' if v.sentence is None else 'NO'}")
    return "\n".join(rows)


def check_shipped(manifest: Mapping[str, Any], recipe: Recipe, shipped: Recipe, codebook_id: str, *, where: str) -> None:
    """Refuse a bundle that was not trained in the shipped way.

    Args:
        manifest: The bundle's.
        recipe: The bundle's.
        shipped: The recipe that the floors are for.
        codebook_id: Of the codebook that the floors are for.
        where: Names the bundle.

    Raises:
        UsageError: naming the first thing that differs.
    """
    from pipelines.selection import FINE_TUNE

    found, expected = msgspec.structs.asdict(recipe), msgspec.structs.asdict(shipped)
    pairs = [
        ("codebook", manifest["codebook_id"], codebook_id),
        ("way of training", manifest.get("selection", {}).get("chosen", FINE_TUNE), FINE_TUNE),
        *((name, manifest.get(name) or None, None) for name in _INGREDIENTS),
        *((f"recipe field {name}", found.get(name), expected[name]) for name in expected),
    ]
    for what, value, wanted in pairs:
        if value != wanted:
            raise UsageError(f"{where}: {what} is {value}, expected the shipped {wanted}; train as shipped, without options")


def _overall(evaluation: Evaluation) -> list[Figure]:
    return [figure for figure in evaluation.metrics if figure.label is None and figure.model is not None]


def _bound(figure: Figure) -> Bound | None:
    if figure.model is None:
        return None
    value = figure.model.value
    if figure.name in _LOWER_IS_BETTER:
        limit = value + max(_LEAST_MARGIN, (figure.model.high - value) / 2)
        return Bound(name=figure.name, measured=round(value, 4), ceiling=math.ceil(round(limit * 1000, 6)) / 1000)
    limit = value - max(_LEAST_MARGIN, (value - figure.model.low) / 2)
    return Bound(name=figure.name, measured=round(value, 4), floor=math.floor(round(limit * 1000, 6)) / 1000)


def _verdict(bound: Bound, value: float | None) -> Verdict:
    sentence = None
    if value is None:
        sentence = f"{bound.name} is pinned, but the evaluation has no such figure; bring it back, or drop it with --update"
    elif not bound.holds(value):
        word = "at least" if bound.ceiling is None else "at most"
        sentence = (
            f"{bound.name} is {value:.4f}, expected {word} {bound.limit:.3f} (it was {bound.measured:.4f}); "
            "find what made it worse"
        )
    return Verdict(name=bound.name, value=value, bound=bound, sentence=sentence)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"


@click.command()
@click.option("--bundle", type=FOLDER, default=None, help="Compare this bundle; default: train the shipped recipe anew.")
@click.option("--floors", "path", type=FOLDER, default=FLOORS, show_default=True, help="File of the floors.")
@click.option("--update", is_flag=True, help="Write floors from what is measured; none becomes lower.")
@click.option("--allow-lower", is_flag=True, help="With --update: lower floors that the figures no longer reach.")
@click.option("--because", default=None, help="With --allow-lower: the reason, kept in the file.")
@click.option("--threads", type=click.IntRange(1), default=None, help="Processor threads; default: all cores.")
@quiet_option
def gate(
    bundle: Path | None,
    path: Path,
    update: bool,
    allow_lower: bool,
    because: str | None,
    threads: int | None,
    quiet: bool,
) -> None:
    """Compare the shipped recipe's figures on the test part with their floors.

    Exit code 0: all kept; 1: a figure is below, or the floors belong to other inputs; 2: wrong usage.
    """
    from models.bundle import load_bundle
    from models.recipe import Recipe
    from pipelines.evaluation import evaluate_bundle

    reason = (because or "").strip()
    if (allow_lower or because is not None) and not (allow_lower and update and reason):
        raise UsageError("--allow-lower: expected together with --update and --because REASON; give all three or none")
    set_threads(threads)
    say = say_to(quiet)
    codebook, recipe = load_codebook(), Recipe()
    inputs = gate_inputs(recipe, codebook)
    old = None if update and not path.exists() else read_floors(path)
    if old is not None and not update:
        check_inputs(old, inputs)  # before the minutes of training
    with tempfile.TemporaryDirectory() as folder:
        if bundle is None:
            bundle = Path(folder) / "bundle"
            _train(bundle, recipe, quiet)
        loaded = load_bundle(bundle)
        check_shipped(loaded.manifest, loaded.recipe, recipe, codebook.id, where=str(bundle))
        evaluation = evaluate_bundle(bundle)
    if update:
        old = renew(evaluation, old, inputs, date=today(), because=reason or None)
        write_json(path, old)
        say(f"{path}: {len(old.bounds)} floors written")
    assert old is not None  # noqa: S101  # read or just written
    verdicts = compare(evaluation, old, inputs)
    say(gate_table(verdicts))
    wrong = [v.sentence for v in verdicts if v.sentence is not None]
    for sentence in wrong:
        click.echo(f"Error: {sentence}", err=True)
    if wrong:
        sys.exit(1)


def _train(folder: Path, recipe: Recipe, quiet: bool) -> None:
    from pipelines.training import TrainJob, train

    with TrainingBar(quiet) as listener:
        train(TrainJob(folder), recipe, created=today(), listener=listener, say=say_to(quiet))


def main() -> None:
    """Run the gate; turn each error into one sentence and an exit code."""
    try:
        gate(standalone_mode=False)
    except TreatyStanceError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Abort:
        click.echo("Error: stopped", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
