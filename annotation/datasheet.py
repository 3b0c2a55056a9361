"""The figures of the reference corpus's datasheet: counted by code, so that the text cannot drift from the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from annotation.agreement import agreement_table, measure_agreement, paired_readings
from annotation.codebook import Codebook
from annotation.gold import check_labels
from corpus.errors import RecordError
from corpus.identity import canonical_url
from corpus.records import GoldLabel
from corpus.reference_corpus import ReferenceCorpus

START = "<!-- figures: made by annotation/datasheet.py, do not edit -->"
END = "<!-- end of figures -->"


def datasheet_figures(corpus: ReferenceCorpus, codebook: Codebook) -> str:
    """Return the counts and the agreement of a corpus as Markdown tables.

    Raises:
        CodebookError: when an annotation or a gold label uses a label that the codebook does not have.
        RecordError: when a statement has not exactly two readings.
    """
    check_labels((), corpus.gold, codebook)  # an unknown label would vanish from the tables
    readings = paired_readings(corpus.annotations)
    agreement = measure_agreement(readings, codebook)
    table = agreement_table(agreement)
    stances = codebook.stance_ids
    slices = {statement: name.split("-")[0] for statement, name in corpus.reference_id.items()}
    slice_of = {corpus.document_of[s.id].id: slices[s.id] for s in corpus.statements}
    types = {g.statement: g.holder_type or "unknown" for g in corpus.gold}
    parts = [
        "### Size",
        _table(("what", "count"), _size(corpus)),
        "### Documents by kind",
        _table(("kind", "documents"), _counts(d.kind or "unknown" for d in corpus.documents)),
        "### Documents by year",
        _table(
            ("year", "documents"),
            sorted(Counter((d.published or "unknown").split("-")[0] for d in corpus.documents).items()),
        ),
        "### Gold stance by slice",
        _table(
            ("slice", "documents", "statements", *stances),
            _stances(corpus.gold, slices, stances, Counter(slice_of.values())),
        ),
        "### Gold stance by holder type",
        _table(
            ("holder type", "statements", *stances),
            _stances(corpus.gold, types, stances),
        ),
        "### Gold concerns by stance",
        _table(("concern", "statements", *stances), _concerns(corpus.gold, codebook)),
        "### Agreement of the two passes",
        f"{agreement.statements} statements, each read twice. F1 over every pair of statement and concern (micro): "
        f"{agreement.concerns_micro_f1}.",
        _table(table[0], table[1:]),
    ]
    return "\n\n".join(parts) + "\n"


def fill_datasheet(text: str, figures: str) -> str:
    """Return a datasheet's text with the part between the two markers replaced by these figures.

    Raises:
        RecordError: when the text has not exactly one of each marker, in their order.
    """
    if text.count(START) != 1 or text.count(END) != 1 or text.index(START) > text.index(END):
        raise RecordError(f"datasheet: expected one {START!r} and after it one {END!r}; put the two lines back")
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    return f"{before}{START}\n\n{figures}\n{END}{after}"


def _size(corpus: ReferenceCorpus) -> list[tuple[str, int]]:
    addresses = Counter(canonical_url(d.url) for d in corpus.documents)
    versions = Counter(a.codebook_version for a in corpus.annotations)
    certainty = Counter(a.certainty for a in corpus.annotations)
    settled = Counter(g.settled for g in corpus.gold)
    return [
        ("documents", len(corpus.documents)),
        ("addresses", len(addresses)),
        ("addresses that stand under more than one document", sum(n > 1 for n in addresses.values())),
        ("documents without a date", sum(d.published is None for d in corpus.documents)),
        ("statements", len(corpus.statements)),
        ("annotations", len(corpus.annotations)),
        ("annotator names", len({a.annotator for a in corpus.annotations})),
        *((f"annotations under codebook version {v}", n) for v, n in sorted(versions.items())),
        *((f"annotations of certainty {c}", n) for c, n in sorted((c or 0, n) for c, n in certainty.items())),
        *((f"gold labels {how}", n) for how, n in sorted(settled.items())),
        ("gold labels whose stance neither reading gave", sum(g.stance not in g.distribution for g in corpus.gold)),
        ("gold labels with a holder named in the statement", sum(g.holder is not None for g in corpus.gold)),
    ]


def _stances(
    gold: Sequence[GoldLabel], group: dict[str, str], stances: Sequence[str], documents: Counter[str] | None = None
) -> list[tuple[str | int, ...]]:
    """One row a group, in alphabetical order, and a total."""
    cells = Counter((group[g.statement], g.stance) for g in gold)
    rows: list[tuple[str | int, ...]] = []
    for name in sorted(set(group.values())):
        counts = [cells[name, s] for s in stances]
        rows.append((name, *((documents[name],) if documents is not None else ()), sum(counts), *counts))
    totals = [sum(cells[name, s] for name in set(group.values())) for s in stances]
    rows.append(("all", *((documents.total(),) if documents is not None else ()), sum(totals), *totals))
    return rows


def _concerns(gold: Sequence[GoldLabel], codebook: Codebook) -> list[tuple[str | int, ...]]:
    """One row a concern, in the codebook's order, and one for statements that raise none."""
    cells = Counter((c, g.stance) for g in gold for c in g.concerns or ("no concern",))
    rows: list[tuple[str | int, ...]] = []
    for name in (*codebook.concern_ids, "no concern"):
        counts = [cells[name, s] for s in codebook.stance_ids]
        rows.append((name, sum(counts), *counts))
    return rows


def _counts(values: Iterable[str]) -> list[tuple[str, int]]:
    """Counts, the largest first, equal ones by name."""
    return sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))


def _table(header: Sequence[str], rows: Sequence[Sequence[str | int]]) -> str:
    """A Markdown table, its first column to the left and the others to the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
