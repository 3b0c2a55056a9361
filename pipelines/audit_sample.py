"""The audit sample: settled labels of statements that were drawn with known probabilities, on which estimates rest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from annotation.codebook import Codebook
from annotation.sampling import WHOLE
from corpus.errors import RecordError, UsageError
from corpus.files import read_json

if TYPE_CHECKING:
    import pandas as pd

    from corpus.sources import Project
    from pipelines.coverage import Coverage

COLUMNS = ("gold_stance", "gold_concerns", "inclusion_probability", "stratum")


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an audit sample's file: a statement by its id in the labels, its gold, and its chance of being drawn."""

    id: str
    stance: str
    concerns: tuple[str, ...] = ()
    inclusion_probability: float
    stratum: str = WHOLE

    def __post_init__(self) -> None:
        if not 0 < self.inclusion_probability <= 1:
            raise ValueError(f"inclusion_probability is {self.inclusion_probability}, expected a number in (0, 1]")
        if len(set(self.concerns)) < len(self.concerns):
            raise ValueError(f"concerns has a label twice: {', '.join(self.concerns)}")


@dataclass(frozen=True, slots=True)
class AuditSample:
    """Statements of a probability sample that have gold.

    ``frame`` has the columns ``id, stance, concerns, stratum, inclusion_probability``, one row a statement. ``source`` says
    in words where it is from, ``drawn`` when it was (ISO 8601), ``frame_size`` how many statements could have been drawn,
    ``missing`` how many were and have no gold yet; the probabilities of the others are lowered by their stratum's share of
    such, which takes those that have gold for a random part of it.
    """

    frame: pd.DataFrame
    source: str
    drawn: str | None = None
    frame_size: int | None = None
    missing: int = 0
    settings: Mapping[str, object] = field(default_factory=dict)


def read_audit(path: Path, codebook: Codebook) -> AuditSample:
    """Read an audit sample from JSON Lines, an :class:`AuditLine` each.

    Raises:
        UsageError: when there is no such file.
        RecordError: on a malformed line, a label that the codebook does not have, or a statement that stands twice.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file; expected an audit sample, a statement a line")
    lines: list[AuditLine] = []
    decoder = msgspec.json.Decoder(AuditLine)
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        if line.strip():
            try:
                lines.append(decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise RecordError(
                    f"{path}, line {number}: expected a line of an audit sample, but {error}; mend it"
                ) from error
            _check(lines[-1], codebook, f"{path}, line {number}")
    twice = next((i for i, n in Counter(line.id for line in lines).items() if n > 1), None)
    if twice is not None:
        raise RecordError(f"{path}: expected each statement once, found {twice!r} twice; keep one line")
    if not lines:
        raise RecordError(f"{path}: expected an audit sample, found no line; leave the option out where there is none")
    return AuditSample(_frame(lines), path.name)


def workspace_audit(project: Project, codebook: Codebook, *, model_id: str | None = None) -> AuditSample | None:
    """Return the newest audit sample of a workspace's campaign that has gold under a codebook; None where there is none.

    Earlier samples are left aside: each holds for the corpus as it was when it was drawn. Statements that the model has
    learned from, as a bundle of an earlier release may have, count as those without gold: its errors there are no measure.

    Args:
        project: The workspace.
        codebook: Under which gold was settled.
        model_id: The model whose labels are to be corrected.

    Raises:
        RecordError: when the database is damaged.
    """
    from annotation.ledger import Ledger

    learned = set() if model_id is None else _learned(project, model_id)
    with Ledger.open(project.store_url) as ledger:
        gold = {g.statement: g for g in ledger.gold(codebook.id) if g.statement not in learned}
        for draw in sorted(ledger.draws(), key=lambda d: (d.made, d.id), reverse=True):
            sampled = ledger.sampled(draw.id)
            if not any(s.statement in gold for s in sampled):
                continue
            share = _answered([(s.stratum, s.statement in gold) for s in sampled])
            lines = [
                AuditLine(
                    id=s.statement,
                    stance=gold[s.statement].stance,
                    concerns=gold[s.statement].concerns,
                    inclusion_probability=s.inclusion_probability * share[s.stratum],
                    stratum=s.stratum,
                )
                for s in sampled
                if s.statement in gold
            ]
            return AuditSample(
                _frame(lines),
                f"audit sample of round {draw.round!r}, draw {draw.id[:12]}",
                drawn=draw.made[:10],
                frame_size=draw.frame,
                missing=len(sampled) - len(lines),
                settings={"seed": draw.seed, "strata": json.dumps(draw.strata, sort_keys=True)},
            )
    return None


def matched(coverage: Coverage, audit: AuditSample | None) -> pd.DataFrame:
    """Return gold and design for each statement that stands for an opinion: :data:`COLUMNS`, null where it was not drawn.

    Rows are those of the coverage's frame with ``first``, under its index. A copy that was drawn speaks for its opinion; of
    several copies, the one with the smallest id.
    """
    import pandas as pd

    rows = coverage.frame.loc[coverage.frame["first"], ["opinion"]]
    empty: dict[str, pd.Series] = {name: pd.Series([None] * len(rows), index=rows.index, dtype=object) for name in COLUMNS}
    empty["inclusion_probability"] = empty["inclusion_probability"].astype(float)
    result = pd.DataFrame(empty, index=rows.index)
    if audit is None or audit.frame.empty:
        return result
    place = {number: index for index, number in rows["opinion"].items()}
    wanted = set(audit.frame["id"])
    known = coverage.frame.loc[coverage.frame["id"].isin(wanted), ["id", "opinion"]]
    opinion_of: dict[str, int] = {}
    for i, number in zip(known["id"], known["opinion"], strict=True):
        opinion_of.setdefault(i, number)
    taken: set[int] = set()
    values: dict[str, list[Any]] = {name: list(result[name]) for name in COLUMNS}
    at = {index: n for n, index in enumerate(rows.index)}
    for line in audit.frame.sort_values("id").to_dict("records"):
        number = opinion_of.get(line["id"])
        if number is None or number in taken:
            continue
        taken.add(number)
        n = at[place[number]]
        row = (line["stance"], list(line["concerns"]), line["inclusion_probability"], line["stratum"])
        for name, value in zip(COLUMNS, row, strict=True):
            values[name][n] = value
    for name in COLUMNS:
        dtype = float if name == "inclusion_probability" else object
        result[name] = pd.Series(values[name], index=rows.index, dtype=dtype)
    return result


def _learned(project: Project, model_id: str) -> set[str]:
    """Return the statements on which the workspace's bundle of this model was trained and tuned."""
    for path in sorted((project.root / "bundles").glob("*/manifest.json")):
        split = path.with_name("split.json")
        manifest = read_json(path)
        if isinstance(manifest, dict) and manifest.get("model_id") == model_id and split.is_file():
            parts = read_json(split).get("parts", {})
            return {s for part in ("train", "development") for s in parts.get(part, [])}
    return set()


def _answered(drawn: Sequence[tuple[str, bool]]) -> dict[str, float]:
    """Return of each stratum the share of what was drawn that has gold."""
    whole = Counter(stratum for stratum, _ in drawn)
    given = Counter(stratum for stratum, has in drawn if has)
    return {stratum: given[stratum] / n for stratum, n in whole.items()}


def _frame(lines: Sequence[AuditLine]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            "id": [line.id for line in lines],
            "stance": [line.stance for line in lines],
            "concerns": pd.Series([list(line.concerns) for line in lines], dtype=object),
            "stratum": [line.stratum for line in lines],
            "inclusion_probability": [line.inclusion_probability for line in lines],
        }
    )


def _check(line: AuditLine, codebook: Codebook, where: str) -> None:
    for label, known in ((line.stance, codebook.stance_ids), *((c, codebook.concern_ids) for c in line.concerns)):
        if label not in known:
            raise RecordError(
                f"{where}: expected a label of codebook {codebook.name} version {codebook.version} "
                f"({', '.join(known)}), found {label!r}; mend it"
            )
