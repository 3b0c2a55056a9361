"""Columns of the report's tables: their names, types and meanings, and when each is null. Data, hardly any code."""

from __future__ import annotations

import re
from dataclasses import dataclass

NEVER = "never"


@dataclass(frozen=True, slots=True)
class Column:
    """A column: ``type`` is ``text``, ``integer``, ``number``, ``boolean`` or ``list`` (of text).

    ``null`` says when it has no value; ``never``: it always has one. ``per`` says that one column stands for several: for
    each ``stance`` or ``concern`` of the codebook, or each column that was ``joined``.
    """

    name: str
    type: str
    meaning: str
    null: str = NEVER
    per: str | None = None

    @property
    def nullable(self) -> bool:
        """Whether the column may have no value."""
        return self.null != NEVER


@dataclass(frozen=True, slots=True)
class TableSchema:
    """A table: what one row of it is, and its columns in order."""

    name: str
    row: str
    columns: tuple[Column, ...]


def without_links(text: str) -> str:
    """Return a description without its Markdown links, which lead nowhere outside the documentation."""
    return re.sub(r"\s*\[[^\]]*\]\([^)]*\)", "", text).strip()


def _c(name: str, type_: str, meaning: str, null: str = NEVER, per: str | None = None) -> Column:
    return Column(name, type_, meaning, null, per)


_UNKNOWN = "not known"
_NO_CORPUS = "not known: the workspace's corpus, or a joined column, tells it"
_ABSTAINED = "`abstained` is true"
_NO_SAMPLE = "not in the audit sample, or not settled"
_UNDATED = "no such statement has a date"
_NO_POSITION = "no statement of the holder takes a position"
_REASON = "`reason` says why there is no estimate"

_STATEMENTS = TableSchema(
    "statements",
    "a statement with labels, in their order, the abstained ones and copies too; `counted` picks one of each opinion",
    (
        _c("id", "text", "The statement's id, as in the labels."),
        _c("document_id", "text", "Its document."),
        _c("start", "integer", "First character of the statement in its document, in Unicode code points, from 0."),
        _c("end", "integer", "Character after the last."),
        _c("text", "text", "The statement as it was judged."),
        _c("before", "text", "Sentences before it.", "not known: the workspace's corpus tells it"),
        _c("after", "text", "Sentences after it.", "not known: the workspace's corpus tells it"),
        _c("title", "text", "Title of the document.", _UNKNOWN),
        _c("published", "text", "Date of publication as the labels have it.", _UNKNOWN),
        _c("publisher", "text", "Who published it.", _UNKNOWN),
        _c("url", "text", "Address of the page.", _UNKNOWN),
        _c("kind", "text", "Kind of document.", _NO_CORPUS),
        _c("language", "text", "ISO 639-1.", _NO_CORPUS),
        _c("source", "text", "Name of the source in `project.toml`.", _NO_CORPUS),
        _c("story", "text", "What near-copies of one text share.", _NO_CORPUS),
        _c("opinion", "integer", "Statements with one number are copies of one statement in one story."),
        _c("counted", "boolean", "Whether this row stands for its opinion; in countings of opinions, only these count."),
        _c("copies", "integer", "Places at which the opinion was found, this one included."),
        _c("reach", "integer", "Different outlets among them."),
        _c("outlets", "list", "Those outlets: publisher, else host of the address."),
        _c("holder", "text", "Whose position it is, as written.", "nobody is named"),
        _c("holder_name", "text", "The fuller name that the same document gives.", "nobody is named"),
        _c(
            "holder_resolved",
            "text",
            "The holder by the table of names, else as written.",
            "nobody is named, or only described",
        ),
        _c("holder_type", "text", "Kind of holder: of the table of names, else of the labels.", _UNKNOWN),
        _c("country", "text", "Of a state or one that acts for it: ISO 3166-1 alpha-2.", "the table of names gives none"),
        _c("voice", "text", "`own`, `reported` or `editorial` words.", _UNKNOWN),
        _c("stance", "text", "The stance decided on.", _ABSTAINED),
        _c("stance_<label>", "number", "Calibrated probability of the stance `<label>`.", per="stance"),
        _c("concerns", "list", "The concerns raised, in the codebook's order; may be empty."),
        _c("concern_<label>", "number", "Calibrated probability that the concern `<label>` is raised.", per="concern"),
        _c("abstained", "boolean", "Whether the model leaves the stance to people."),
        _c("confidence", "number", "Probability of the stance decided on, or of the likeliest."),
        _c("gold_stance", "text", "The stance that people settled on, in the audit sample.", _NO_SAMPLE),
        _c("gold_concerns", "list", "The concerns that people settled on.", _NO_SAMPLE),
        _c("model_id", "text", "The model that made the labels."),
        _c("codebook_version", "text", "The codebook, with its content hash."),
        _c("<column>", "text", "As joined by `--columns`.", "the file has no value", per="joined"),
    ),
)

_DOCUMENTS = TableSchema(
    "documents",
    "a document with statements",
    (
        _c("document_id", "text", "The document's id."),
        _c("title", "text", "Its title.", _UNKNOWN),
        _c("url", "text", "Its address.", _UNKNOWN),
        _c("publisher", "text", "Who published it.", _UNKNOWN),
        _c("published", "text", "Date of publication as the labels have it.", _UNKNOWN),
        _c("kind", "text", "Kind of document.", _NO_CORPUS),
        _c("language", "text", "ISO 639-1.", _NO_CORPUS),
        _c("source", "text", "Name of the source in `project.toml`.", _NO_CORPUS),
        _c("story", "text", "What near-copies of one text share.", _NO_CORPUS),
        _c("reach", "integer", "The widest reach of its statements, in outlets."),
        _c("statements", "integer", "Its statements with labels: `n_<label>` and `abstained` add up to it."),
        _c("n_<label>", "integer", "Of these, the ones decided as `<label>`. Uncorrected.", per="stance"),
        _c("abstained", "integer", "Of these, the ones on which the model abstained."),
    ),
)

_POSITIONS = TableSchema(
    "positions",
    "a holder by name, the most opinions first. Decisions of the model, not corrected. [Rules](holders.md#who-stands-where)",
    (
        _c("holder", "text", "The holder by the table of names, else as written."),
        _c("holder_type", "text", "Kind of holder, the commonest of its statements.", _UNKNOWN),
        _c("country", "text", "ISO 3166-1 alpha-2.", "the table of names gives none"),
        _c("resolution", "text", "`alias`: by the table of names; `as written`: the table lacks the name."),
        _c(
            "stance", "text", "Current stance: that of the newest date with a statement that takes a position.", _NO_POSITION
        ),
        _c("stance_share", "number", "Share of `stance` among the holder's opinions that take a position.", _NO_POSITION),
        _c(
            "probability",
            "number",
            "Mean calibrated probability of `stance` over that date's position-taking statements.",
            _NO_POSITION,
        ),
        _c("n", "integer", "Opinions with a decision: the `n_<label>` add up to it."),
        _c("n_<label>", "integer", "Of these, the ones decided as `<label>`.", per="stance"),
        _c("abstained", "integer", "Further opinions, on which the model abstained."),
        _c("documents", "integer", "Different documents that the `n` opinions stand in, copies aside."),
        _c("sources", "integer", "Different outlets that carried them, copies included."),
        _c("first", "text", "Date of the first statement that takes a position: a day, month or year.", _UNDATED),
        _c("last", "text", "Date of the last.", _UNDATED),
        _c("main_concerns", "list", "Up to three concerns that most of the `n` opinions raise, most first; may be empty."),
        _c("changes", "integer", "Changes of stance: the holder's rows in `changes`."),
        _c("statement_first", "text", "Id of a statement of the date `first` that shows its stance.", _UNDATED),
        _c("statement_last", "text", "Id of the statement that shows the current stance.", _NO_POSITION),
    ),
)

_SHARE_COLUMNS = (
    _c("dimension", "text", "By what the rows are grouped; `overall`: not at all."),
    _c("group", "text", "Which group of that dimension."),
    _c("counting", "text", "`opinions`: each once; `statements`: each as often as it was printed."),
    _c("measure", "text", "`stance`, `position` (stance among those that take one), `concern`, `concern_given_stance`."),
    _c("label", "text", "The stance or concern whose share it is."),
    _c("given", "text", "The stance among whose statements the share is taken.", "`measure` is another"),
    _c("share", "number", "The estimate, corrected for the model's errors.", _REASON),
    _c("low", "number", "Lower end of its 95 % interval.", _REASON),
    _c("high", "number", "Upper end of its 95 % interval.", _REASON),
    _c("method", "text", "`ppi`: by the audit sample; `confusion`: by an evaluation's confusion matrix.", _REASON),
    _c("reason", "text", "Why there is no estimate.", "there is one"),
    _c("units", "integer", "Opinions or statements in the group, the abstained ones included."),
    _c("documents", "integer", "Documents that they stand in."),
    _c("gold", "integer", "Of these opinions, those in the audit sample."),
    _c("expected", "number", "Mean calibrated probability: what the model itself expects.", "nothing to take it over"),
    _c("uncorrected", "number", "Share counted from the model's decisions: biased by its errors.", "nothing was decided"),
    _c("abstained", "integer", "Of `units`, those on which the model abstained."),
    _c("gold_share", "number", "Share by the audit sample alone.", "too few gold labels"),
    _c("gold_low", "number", "Lower end of its 95 % interval.", "too few gold labels"),
    _c("gold_high", "number", "Upper end of its 95 % interval.", "too few gold labels"),
    _c("design_share", "number", "The design-based cross-check.", "too few gold labels"),
    _c("design_low", "number", "Lower end of its 95 % interval.", "too few gold labels"),
    _c("design_high", "number", "Upper end of its 95 % interval.", "too few gold labels"),
    _c("lambda", "number", "Weight of the model's predictions in the estimate, 0 to 1.", "`method` is not `ppi`"),
)

_CHANGES = TableSchema(
    "changes",
    "a change of a holder's stance between two dates, by holder and date. [Rules](holders.md#changes-of-stance)",
    (
        _c("holder", "text", "As in `positions`."),
        _c("holder_type", "text", "As in `positions`.", _UNKNOWN),
        _c("from_stance", "text", "The stance before."),
        _c("to_stance", "text", "The stance after."),
        _c("from_date", "text", "The last date before the change: a day, month or year."),
        _c("to_date", "text", "The first date of the new stance."),
        _c("from_id", "text", "Id of the statement that shows the stance before."),
        _c("to_id", "text", "Id of the statement that shows the new one."),
        _c("from_text", "text", "Its words."),
        _c("to_text", "text", "Its words."),
        _c("from_url", "text", "Its address.", _UNKNOWN),
        _c("to_url", "text", "Its address.", _UNKNOWN),
        _c(
            "probability",
            "number",
            "Probability that both statements take a position and the two differ: from both statements' calibrated "
            "probabilities, taken as independent.",
        ),
    ),
)

_DIFFERENCES = TableSchema(
    "differences",
    "a difference between two groups: each group and the rest of its dimension, each month or quarter and the one before",
    (
        _c("dimension", "text", "By what the rows are grouped."),
        _c("group", "text", "One of its groups."),
        _c("other", "text", "Which group it is compared with.", "it is compared with all others together"),
        _c("counting", "text", "As in `shares`."),
        _c("measure", "text", "As in `shares`."),
        _c("label", "text", "As in `shares`."),
        _c("difference", "number", "Share in `group` less share in `other`.", _REASON),
        _c("low", "number", "Lower end of its 95 % interval.", _REASON),
        _c("high", "number", "Upper end of its 95 % interval.", _REASON),
        _c("p", "number", "P value of no difference.", _REASON),
        _c("p_holm", "number", "The same, adjusted for the number of comparisons (Holm).", _REASON),
        _c("reason", "text", "Why there is none.", "there is one"),
    ),
)

_UNRESOLVED = TableSchema(
    "unresolved",
    "a holder's name that the table of names lacks, the most opinions first. "
    "[What to do](holders.md#names-that-are-not-in-the-table)",
    (
        _c("holder", "text", "The name as written."),
        _c("n", "integer", "Its opinions, the abstained ones included."),
        _c("holder_type", "text", "Kind of holder, the commonest of its statements.", _UNKNOWN),
        *(
            column
            for i, which in ((1, "most like"), (2, "next"), (3, "next"))
            for column in (
                _c(f"suggestion_{i}", "text", f"Holder of the table with the name {which}.", "no further name is like it"),
                _c(f"score_{i}", "number", "How like, 80 to 100.", f"`suggestion_{i}` is null"),
            )
        ),
    ),
)

_OLD = "the old run has no estimate"
_NEW = "the new run has no estimate, or it is withdrawn"
_EITHER = "either run has no estimate, or it is withdrawn"
_COMPARISON = TableSchema(
    "comparison",
    "a share of all coverage in the run that `--against` names (old) and in this one (new). [How to read it](monitoring.md)",
    (
        _c("measure", "text", "As in `shares`."),
        _c("label", "text", "As in `shares`."),
        _c("given", "text", "As in `shares`.", "as in `shares`"),
        *(
            _c(f"{run}_{part}", "number", f"{words} the {run} run.", null)
            for run, null in (("old", _OLD), ("new", _NEW))
            for part, words in (
                ("share", "Share in"),
                ("low", "Lower end of its 95 % interval in"),
                ("high", "Upper end in"),
            )
        ),
        _c("difference", "number", "`new_share` less `old_share`.", _EITHER),
        _c("low", "number", "Lower end of its 95 % interval.", _EITHER),
        _c("high", "number", "Upper end of its 95 % interval.", _EITHER),
        _c("p", "number", "P value of no difference.", _EITHER),
        _c("p_holm", "number", "The same, adjusted for the number of comparisons within the measure (Holm).", _EITHER),
        _c("method", "text", "As in `shares`.", "there is no estimate"),
        _c("reason", "text", "Why there is no difference.", "there is one"),
    ),
)

_DRIFT = TableSchema(
    "drift",
    "a measure of drift between the old run's statements and the new ones. [What they are](monitoring.md)",
    (
        _c("measure", "text", "What is compared."),
        _c("value", "number", "What was found.", "it cannot be measured"),
        _c("low", "number", "Lower end of its 95 % interval.", "the measure is a distance, or cannot be measured"),
        _c("high", "number", "Upper end of its 95 % interval.", "the measure is a distance, or cannot be measured"),
        _c("threshold", "number", "From which value on it is taken for drift.", "it cannot be measured, or has none"),
        _c("p", "number", "P value of no drift, adjusted for the number of measures.", "it cannot be measured"),
        _c("verdict", "text", "The finding in words."),
        _c("meaning", "text", "What the measure is."),
    ),
)

COMPARED = ("comparison", "drift")
"""Tables that are there only where a report compares two runs."""

TABLES = (
    _STATEMENTS,
    _DOCUMENTS,
    _POSITIONS,
    TableSchema("shares", "an estimated share of a stance, overall or in a group", _SHARE_COLUMNS),
    TableSchema("trend", "an estimated share of a stance or concern in a month or quarter", _SHARE_COLUMNS),
    TableSchema("concerns", "an estimated share of a concern, overall or in a group", _SHARE_COLUMNS),
    _CHANGES,
    _DIFFERENCES,
    _UNRESOLVED,
    _COMPARISON,
    _DRIFT,
)
"""The tables in their order; columns that stand for several are not expanded."""
