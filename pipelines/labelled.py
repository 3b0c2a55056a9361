"""Labelled statements to learn from: a workspace's gold, a folder in the reference corpus's form, or a JSON Lines file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from annotation.codebook import Codebook
from annotation.gold import check_labels
from corpus.errors import RecordError, UsageError
from corpus.identity import digest, document_id, file_sha256, normalise, statement_id
from corpus.records import Document, GoldLabel, Statement
from corpus.reference_corpus import load_reference
from corpus.sources import Project

if TYPE_CHECKING:
    from annotation.ledger import Ledger
    from models.dataset import Example


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One labelled statement of a JSON Lines file. Lines with the same ``url`` are one document, in the file's order."""

    text: str
    stance: str
    concerns: tuple[str, ...] = ()
    holder: str | None = None
    holder_type: str | None = None
    url: str | None = None
    title: str | None = None
    published: str | None = None
    publisher: str | None = None


@dataclass(frozen=True)
class Labelled:
    """Labelled statements with where they come from. ``names`` gives each statement the id that its source uses.

    ``workspace`` says that they are the gold of a workspace, and not of files; ``audited`` counts its gold labels of audit
    samples that were left out.
    """

    name: str
    sha256: str
    examples: tuple[Example, ...]
    names: Mapping[str, str]
    without_gold: int = 0
    workspace: bool = False
    audited: int = 0


def read_labelled(path: Path | None, codebook: Codebook) -> Labelled:
    """Read labelled statements.

    Args:
        path: A folder with ``documents.jsonl``, ``annotations.jsonl`` and ``gold.jsonl``; or a JSON Lines file with one
            :class:`Line` a line; None for the shipped reference corpus.
        codebook: Whose labels are allowed.

    Raises:
        UsageError: when there is no such file or folder.
        RecordError: on a malformed line, naming file, line and field.
        CodebookError: on a label that the codebook does not have.
    """
    from models.dataset import build_examples

    if path is not None and path.is_file():
        return _from_lines(path, codebook)
    if path is not None and not path.is_dir():
        raise UsageError(f"{path}: no such file or folder; expected labelled statements")
    reference = load_reference(path)
    check_labels(reference.annotations, reference.gold, codebook)
    examples = build_examples(
        reference.statements, {d.id: d for d in reference.documents}, reference.gold, reference.annotations
    )
    sha256 = digest(*(s.text + g.stance for s, g in zip(reference.statements, reference.gold, strict=False)))
    if path is not None:
        sha256 = digest(*(file_sha256(p) for p in sorted(path.glob("*.jsonl"))))
    return Labelled(
        str(path) if path else "reference corpus",
        sha256,
        examples,
        reference.reference_id,
        len(reference.statements) - len(examples),
    )


def read_gold(path: Path | None, workspace: Project | None, codebook: Codebook) -> Labelled:
    """Read the gold of a workspace where there is one, else labelled statements as :func:`read_labelled` does.

    Of a workspace's gold the audit samples are left out: a model that has learned from them would seem to make no errors
    there, and shares are corrected by just these errors.

    Raises:
        UsageError: when both are given, and as the two functions do.
        RecordError: as they do.
        CodebookError: as they do.
    """
    if workspace is None:
        return read_labelled(path, codebook)
    if path is not None:
        raise UsageError(f"{path}: expected labelled statements or a workspace, found both; leave one of them out")
    return read_workspace(workspace, codebook, audited=False)


def read_workspace(project: Project, codebook: Codebook, *, audited: bool = True) -> Labelled:
    """Read the gold of a workspace, as it stands under one codebook, with the blind readings behind it.

    ``audited`` says whether statements of audit samples are among them.

    Readings that were made with a model's suggestion in sight are left out: they are no second opinion on that model.
    Statements that coders have read and nobody has settled are counted in ``without_gold``.

    Raises:
        UsageError: when there is no gold under this codebook.
        RecordError: when the database cannot be read, or a gold label's statement is not in it.
        CodebookError: on a label that the codebook does not have.
    """
    from annotation.ledger import Ledger
    from models.dataset import build_examples

    with Ledger.open(project.store_url) as ledger:
        everything = ledger.gold(codebook.id)
        gold = [g for g in everything if audited or g.inclusion_probability is None]
        if not gold and everything:
            raise UsageError(
                f"{project.root}: expected settled labels to learn from, found {len(everything)} that are all of an audit "
                "sample, which is for estimates; code others too: `treaty-stance annotate push --n`"
            )
        if not gold:
            raise UsageError(_no_gold(project, codebook, ledger))
        items = ledger.items([g.statement for g in gold])
        everyone = ledger.annotations(codebook_version=codebook.id)
    readings = [a for a in everyone if a.blind]
    lost = [g.statement for g in gold if g.statement not in items]
    if lost:
        raise RecordError(
            f"{project.root}: expected the text of every statement with a gold label, found none of {lost[0]} "
            f"({len(lost)} of {len(gold)} lack it); take the database back from a copy"
        )
    check_labels(readings, gold, codebook)
    kept = sorted(items.values(), key=lambda i: (i.document.id, i.statement.start, i.statement.end))
    statements = [i.statement for i in kept]
    return Labelled(
        name=f"gold of {project.root.resolve().name}",
        sha256=digest(*(msgspec.json.encode((g, items[g.statement].statement.text)).decode() for g in gold)),
        examples=build_examples(statements, {i.document.id: i.document for i in kept}, gold, readings),
        names={s.id: s.id for s in statements},
        without_gold=len({a.statement for a in everyone} - {g.statement for g in everything}),
        workspace=True,
        audited=len(everything) - len(gold),
    )


def _no_gold(project: Project, codebook: Codebook, ledger: Ledger) -> str:
    """Say in one sentence that there is no gold, and how to come by some."""
    expected = f"{project.root}: expected settled labels under codebook {codebook.id}, found none"
    others = Counter(g.codebook_version for g in ledger.gold())
    if others:
        version, n = others.most_common(1)[0]
        return f"{expected} but {n} under {version}; take that codebook, or code anew: `treaty-stance annotate recode`"
    read = len({a.statement for a in ledger.annotations(codebook_version=codebook.id)})
    if read:
        return f"{expected} while {read} statements have been read; settle them: `treaty-stance annotate gold`"
    return f"{expected} and no reading either; begin with `treaty-stance annotate push`"


def _from_lines(path: Path, codebook: Codebook) -> Labelled:
    from models.dataset import build_examples

    documents: dict[str, list[tuple[int, Line]]] = {}
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            if not raw.strip():
                continue
            try:
                line = msgspec.json.decode(raw, type=Line)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise RecordError(f"{path}, line {number}: expected a labelled statement, but {error}") from error
            where = f"{path}, line {number}"
            codebook.check(stance=line.stance, concerns=line.concerns, holder_type=line.holder_type, where=where)
            if not line.text.strip():
                raise RecordError(f"{where}: text is empty; take the line out")
            documents.setdefault(line.url or f"line:{number}", []).append((number, line))
    if not documents:
        raise RecordError(f"{path}: no labelled statement in it; expected one a line, with text and stance")
    built = [_document(url, lines, codebook, path) for url, lines in documents.items()]
    statements = [s for _, group, _ in built for s in group]
    examples = build_examples(statements, {d.id: d for d, _, _ in built}, [g for _, _, golds in built for g in golds])
    return Labelled(str(path), file_sha256(path), examples, {s.id: s.id for s in statements})


def _document(
    url: str, lines: Sequence[tuple[int, Line]], codebook: Codebook, path: Path
) -> tuple[Document, list[Statement], list[GoldLabel]]:
    texts = [normalise(line.text).strip() for _, line in lines]
    text = "\n\n".join(texts)
    first = lines[0][1]
    document = Document(
        id=document_id(url, text),
        url=url,
        text=text,
        title=first.title,
        published=first.published,
        publisher=first.publisher,
    )
    statements, gold, start = [], [], 0
    for i, (number, line) in enumerate(lines):
        end = start + len(texts[i])
        holder = normalise(line.holder) if line.holder else None
        if holder is not None and holder not in texts[i]:
            raise RecordError(f"{path}, line {number}: holder {line.holder!r} is not a part of the text; copy it exactly")
        statement = Statement(
            id=statement_id(document.id, start, end),
            document=document.id,
            start=start,
            end=end,
            text=texts[i],
            before=texts[i - 1] if i else "",
            after=texts[i + 1] if i + 1 < len(texts) else "",
        )
        statements.append(statement)
        gold.append(
            GoldLabel(
                statement=statement.id,
                codebook_version=str(codebook.version),
                stance=line.stance,
                concerns=line.concerns,
                holder=holder,
                holder_type=line.holder_type,
                settled="single",
            )
        )
        start = end + 2
    return document, statements, gold
