"""The report's methods section: how the figures were made and what they do not say, written from what the run recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.page_data import number, standing

if TYPE_CHECKING:
    from pipelines.report import Report

_METHODS = {
    "ppi": "Shares were corrected by prediction-powered inference with a tuned weight (PPI++; Angelopoulos, Duchi and Zrnic "
    "2023): the mean of the model's calibrated probabilities over all statements, plus what the settled labels of the audit "
    "sample show it to be off by, weighted by the probabilities with which its statements were drawn.",
    "confusion": "There was no audit sample of this coverage. Shares were corrected by the errors that the model made on "
    "its test part (its confusion matrix). That holds only if the model confuses stances here as often as it did there; "
    "where this coverage speaks otherwise, the corrected shares are off, and their intervals do not show it.",
}


@dataclass(frozen=True, slots=True)
class Passage:
    """A heading with its paragraphs."""

    heading: str
    paragraphs: list[str]


def methods(report: Report) -> list[Passage]:
    """Return the methods section as passages of plain text."""
    return [
        Passage("Corpus", _corpus(report)),
        Passage("Labels", _labels(report)),
        Passage("Audit sample", _audit(report)),
        Passage("Estimates", _estimates(report)),
        Passage("Counting", _counting(report)),
        Passage("Holders", _holders(report)),
        Passage("Limits", _limits(report)),
    ]


def definitions(report: Report) -> list[tuple[str, str]]:
    """Return the terms of the page with what each means."""
    neutral = [s.name for s in report.coverage.labels.codebook.stances if s.polarity == "neutral"]
    words = f" other than “{'” and “'.join(neutral)}”" if neutral else ""
    return [
        ("Statement", "One to three sentences of a document that carry one position or one piece of reporting."),
        ("Opinion", "Statements that are copies of one text in one story, counted once."),
        ("Reach", "The number of different outlets in which an opinion was found."),
        ("Corrected share", "An estimate of the share that people would find if they read and labelled every statement."),
        (
            "95 % interval",
            "The range that the method puts around an estimate. Of many such ranges, made from many such samples, 95 in 100 "
            "hold the true share.",
        ),
        (
            "Uncorrected",
            "The decisions of the model, counted: as many as were decided so, of all that were decided. It carries the "
            "model's errors and has no interval that would show them.",
        ),
        ("Takes a position", f"Decided for a stance{words}."),
        ("Undecided", "The model abstained: such a statement is in no count of a stance, but in the corrected shares."),
        ("Probability", "How probable the model finds the decided stance, calibrated on statements it did not learn from."),
        ("Current stance", "What a holder's newest dated statements with a position say, and their mean probability."),
        ("Change of position", "Two dated statements of one holder with different positions, and how probable that is."),
        (
            "Holm p",
            "How often chance alone would give a difference at least as large, raised for the number of differences that "
            "were tested (Holm 1979). Below 0.05 counts as sure here.",
        ),
    ]  # fmt: skip


def _corpus(report: Report) -> list[str]:
    frame, labels = report.coverage.frame, report.coverage.labels
    days = sorted(d for d in frame["day"] if isinstance(d, str))
    undated = int(frame["day"].isna().sum())
    span = f", published between {days[0]} and {days[-1]}" if days else ""
    opinions = int(frame["first"].sum())
    said = [
        f"{_plural(len(labels.frame), 'row was', 'rows were')} read: {_plural(len(frame), 'statement', 'statements')} with "
        f"labels, of {_plural(int(frame['document_id'].nunique()), 'document', 'documents')}{span}; "
        f"{_plural(len(labels.frame) - len(frame), 'row', 'rows')} could not be labelled. "
        f"The statements are {_plural(opinions, 'opinion', 'opinions')}."
    ]
    if undated and len(frame):
        said.append(
            f"{_plural(undated, 'statement has', 'statements have')} no date that could be read and "
            f"{'is' if undated == 1 else 'are'} in no figure over time."
        )
    inputs = [i for i in report.manifest.get("inputs", []) if isinstance(i, dict) and "path" in i]
    if inputs:
        files = "; ".join(
            f"{str(i['path']).rsplit('/', 1)[-1]} (SHA-256 {str(i.get('sha256', ''))[:16]}…)" for i in inputs[:5]
        )
        more = f" and {len(inputs) - 5} more" if len(inputs) > 5 else ""
        said.append(f"Input of the label job: {files}{more}.")
    return said


def _labels(report: Report) -> list[str]:
    codebook, manifest = report.coverage.labels.codebook, report.manifest
    version = manifest.get("treaty_stance")
    made = f" with treaty-stance {version}" if version else ""
    on = f" on {str(manifest['created'])[:10]}" if manifest.get("created") else ""
    frame = report.coverage.frame
    undecided = int(frame["abstained"].sum())
    options = manifest.get("options")
    said = [
        f"Model {manifest['model_id']} labelled the statements{on}{made}. It gives each a probability for each of "
        f"{len(codebook.stances)} stances and {_plural(len(codebook.concerns), 'concern', 'concerns')}, as codebook "
        f"{codebook.name}, version {codebook.version} (content hash {codebook.content_hash}), defines them. "
        "The stance is the holder's, never the reporter's.",
    ]
    if codebook.unit:
        said.append(codebook.unit)
    said.append(
        f"It left {_plural(undecided, 'statement', 'statements')} undecided, because no stance was probable enough."
        if undecided
        else "It left no statement undecided."
    )
    if isinstance(options, dict) and options:
        said.append("Options of the label job: " + ", ".join(f"{k} {_word(v)}" for k, v in options.items() if v) + ".")
    return said


def _audit(report: Report) -> list[str]:
    audit = report.audit
    if audit is None:
        return ["There is none: nobody has read a random part of these statements, so no figure is checked against people."]
    frame = audit.frame
    strata = frame["stratum"].nunique()
    drawn = f", drawn on {audit.drawn}" if audit.drawn else ""
    of = f" of {audit.frame_size:,} that could be drawn" if audit.frame_size else ""
    said = [
        f"{_plural(len(frame), 'statement', 'statements')}{of} have gold labels ({audit.source}{drawn}), in "
        f"{_plural(strata, 'stratum', 'strata')}, with inclusion probabilities from "
        f"{frame['inclusion_probability'].min():.3g} to {frame['inclusion_probability'].max():.3g}."
        if len(frame)
        else f"No statement of the sample has a settled label yet ({audit.source})."
    ]
    if audit.missing:
        said.append(
            f"{_plural(audit.missing, 'drawn statement has', 'drawn statements have')} no settled label; those that have "
            "one stand for them, which takes the missing ones for a random part."
        )
    if audit.settings:
        said.append("Settings of the draw: " + ", ".join(f"{k} {_word(v)}" for k, v in audit.settings.items()) + ".")
    return said


def _estimates(report: Report) -> list[str]:
    tables = (report.shares.shares, report.shares.trend, report.shares.concerns)
    used = {m for table in tables for m in table["method"].dropna().unique()}
    said = [sentence for method, sentence in _METHODS.items() if method in used]
    if not used:
        said.append(
            "No share could be estimated. What is shown are counts of the model's decisions, which carry its errors: a "
            "share counted from them can be off by more than any sampling error."
        )
        return said
    said.append(
        "Statements of one story, or else of one document, are not independent and are taken together in the variance. "
        "Stances sum to one. Cells with too few settled labels have no estimate, and say so. Intervals hold for one figure "
        "each: of many figures looked at together, one in twenty is expected to miss. The files hold the audit sample's own "
        "share and a design-based estimate beside each, as a cross-check."
    )
    tested = report.shares.differences
    if len(tested) and number(tested["p_holm"].notna().sum()):
        said.append(
            f"{_plural(int(tested['p_holm'].notna().sum()), 'difference was', 'differences were')} tested between groups "
            "and between periods; p values are given after Holm's adjustment."
        )
    return said


def _counting(report: Report) -> list[str]:
    frame = report.coverage.frame
    firsts = standing(frame)
    several = int((firsts["copies"] > 1).sum())
    if not several:
        return ["No text was found to be a copy of another, so opinions and statements are the same numbers."]
    places = int(firsts["copies"].sum())
    return [
        f"{_plural(several, 'opinion was', 'opinions were')} found in more than one place: {places:,} statements are "
        f"{len(firsts):,} opinions. Where statements are counted, each copy counts under the labels of the text that stands "
        "for all of them: the one published first."
    ]


def _holders(report: Report) -> list[str]:
    frame = report.coverage.frame
    known, written = (int((frame["resolution"] == r).sum()) for r in ("alias", "as written"))
    described = int(frame["resolution"].notna().sum()) - known - written
    if not known + written + described:
        return ["No statement names a holder."]
    nobody = len(frame) - known - written - described
    said = [
        f"Holders are named by a table of names where it has them ({_plural(known, 'statement', 'statements')}), else as "
        f"they are written ({_plural(written, 'statement', 'statements')}; names that differ in case or a “the” alone are "
        f"taken together). {_plural(nobody, 'statement names', 'statements name')} no holder. Names that the table lacks "
        "are in unresolved.csv, with suggestions; nothing is merged silently."
    ]
    if described:
        said.append(
            f"In {_plural(described, 'statement', 'statements')} a holder is described and not named (“the author”); who "
            "that is differs from text to text, so these are in no row of the holders."
        )
    return said


def _limits(report: Report) -> list[str]:
    said = [
        "The figures tell of the documents that were collected, not of all that was said, nor of what a holder thinks.",
        "Who is quoted, and how often, is the outlets' choice; a share of statements is no share of states or of people.",
    ]
    if report.audit is None:
        said.append("Without an audit sample of this coverage no error of the model on it is known.")
    if report.evaluation is None:
        said.append("No evaluation of the model was given to this report.")
    return [" ".join(said)]


def _plural(n: int, one: str, many: str) -> str:
    return f"{n:,} {one if n == 1 else many}"


def _word(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value))
    return str(value)
