"""The frame of a draw: every statement that can be drawn, what is known of it, and what was left out, by reason."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from annotation.campaign import Item
from annotation.codebook import Codebook
from annotation.interface import task
from annotation.sampling import PREDICTED, Candidate, with_room
from corpus.errors import RecordError, UsageError
from corpus.extract import document_paths, read_document
from corpus.identity import digest
from corpus.records import Document, Statement
from corpus.segment import segment
from corpus.stories import THRESHOLD, band_keys, signature, similarities
from pipelines.inputs import MAX_STATEMENT
from pipelines.queue import read_queue

if TYPE_CHECKING:
    from corpus.store import Store
    from models.passage import Judge, Passage

NEAR_COPY = "near-copy of a document that is in"
TOO_LONG = f"longer than {MAX_STATEMENT:,} characters"
UNFIT = "cannot be shown to coders"

_TRAITS = ("publisher", "kind", "language", "source", "relevance")  # of the document
_MONTH = re.compile(r"\d{4}-\d{2}")
_BATCH = 1024  # statements judged or embedded at once

Pairs = Iterator[tuple[Document, list[Statement]]]
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Frame:
    """What can be drawn.

    ``items`` fetches statements with their documents by id. ``left_out`` counts statements by reason, ``problems`` are
    sentences on what could not be read at all. ``hash`` covers the statements, their traits and the model: with the same
    hash and seed, a draw is the same. ``model_id`` names the model behind uncertainties and predicted stances.
    """

    candidates: tuple[Candidate, ...]
    items: Callable[[Sequence[str]], dict[str, Item]]
    left_out: dict[str, int]
    hash: str
    model_id: str | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderRead:
    """What a folder holds: statements with their documents, the documents read, files passed over, problems as sentences."""

    statements: list[tuple[Statement, Document]]
    documents: int
    passed_over: int
    problems: list[str]


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to be found out about the statements."""

    judge: Judge | None
    encoder: str | None
    advance: Advance


def corpus_frame(
    store: Store,
    *,
    model: Judge | Path | None = None,
    vectors: bool = False,
    prefer: Collection[str] = (),
    encoder: str | None = None,
    advance: Advance = lambda n: None,
) -> Frame:
    """Return the statements of a workspace's corpus: of each story those of one document.

    That is the document published first, then the one with the smallest id; a document without a date comes after those
    that have one, and one without a statement that could be drawn is passed over. Texts are read twice and not kept.

    Args:
        store: Must be open when ``items`` of the frame is called.
        model: A bundle's folder, or whatever judges: gives each statement an uncertainty, 1 less the margin between the two
            likeliest stances ("breaking ties", Luo et al. 2005), and its likeliest stance as the trait ``stance``.
        vectors: Embed the statements, ``annotation.sampling.MOST_VECTORS`` of them at most.
        prefer: Ids of documents that go before the others of their story, such as those that coders have seen.
        encoder: For the vectors; default: the packaged one.
        advance: Called with the number of statements judged or embedded, batch by batch.

    Raises:
        UsageError: when there is no statement to draw, or no such model or encoder.
        BundleError: when the model is incomplete or altered.
    """

    def items(statements: Sequence[str]) -> dict[str, Item]:
        found = {}
        for document_id in dict.fromkeys(s.partition(":")[0] for s in statements):
            document = store.document(document_id)
            if document is not None:
                found.update({s.id: Item(statement=s, document=document) for s in store.statements(document_id)})
        return _wanted(found, statements)

    asked = _Asked(_judge(model), _encoder(encoder) if vectors else None, advance)
    frame = _frame(lambda: _stored(store), items, asked, prefer)
    if not frame.candidates:
        raise UsageError(
            f"expected statements to draw from in the corpus, found none ({_counts(frame.left_out)}); collect some first"
        )
    return frame


def source_frame(
    source: Path,
    codebook: Codebook,
    *,
    model: Judge | Path | None = None,
    vectors: bool = False,
    prefer: Collection[str] = (),
    encoder: str | None = None,
    advance: Advance = lambda n: None,
) -> Frame:
    """Return the statements of a folder of documents, or of a queue that ``label`` wrote, as :func:`corpus_frame` does.

    Near-copies are found as the corpus finds them.

    Raises:
        UsageError: when there is nothing to read or to draw, or no such model or encoder.
        BundleError: when the model is incomplete or altered.
    """
    if source.is_file():
        statements, problems = read_queue(source, codebook)
    else:
        read = read_folder(source)
        statements, problems = read.statements, read.problems
    found = {s.id: Item(statement=s, document=d) for s, d in statements}
    documents = _with_stories({i.document.id: i.document for i in found.values()})
    by_document: defaultdict[str, list[Statement]] = defaultdict(list)
    for i in found.values():
        by_document[i.document.id].append(i.statement)

    def pairs() -> Pairs:
        for name in sorted(by_document):
            yield documents[name], sorted(by_document[name], key=lambda s: (s.start, s.end))

    asked = _Asked(_judge(model), _encoder(encoder) if vectors else None, advance)
    frame = _frame(pairs, lambda wanted: _wanted(found, wanted), asked, prefer)
    if not frame.candidates:
        why = f"; the first problem: {problems[0]}" if problems else ""
        raise UsageError(f"{source}: expected statements to draw from, found none ({_counts(frame.left_out)}){why}")
    return replace(frame, problems=tuple(problems))


def read_folder(folder: Path) -> FolderRead:
    """Read the documents of a folder and cut them into statements; one that cannot be read is named in ``problems``.

    Raises:
        UsageError: when there is no such folder.
    """
    paths, skipped = document_paths(folder)
    statements: list[tuple[Statement, Document]] = []
    problems: list[str] = []
    for path in paths:
        try:
            document = read_document(path, root=folder)
        except (RecordError, UsageError) as error:
            problems.append(str(error))
            continue
        statements.extend((statement, document) for statement in segment(document).statements)
    return FolderRead(statements, len(paths) - len(problems), len(skipped), problems)


def _frame(
    pairs: Callable[[], Pairs],
    items: Callable[[Sequence[str]], dict[str, Item]],
    asked: _Asked,
    prefer: Collection[str],
) -> Frame:
    chosen, passed_over = _choose(pairs(), frozenset(prefer))
    left_out: Counter[str] = Counter()
    found: dict[str, Candidate] = {}
    for document, statements in pairs():
        if document.id not in chosen and document.id not in passed_over:
            continue  # came in while we read
        for s in statements:
            reason = _against(s, document) or (None if document.id in chosen else NEAR_COPY)
            if reason is None:
                found[s.id] = Candidate(s.id, document.id, _traits(s, document))
            else:
                left_out[reason] += 1
    if asked.judge is not None:
        for batch in _batches(_passages(pairs(), found)):
            for (name, _), j in zip(batch, asked.judge.judge([p for _, p in batch]), strict=True):
                second, first = sorted(j.probabilities)[-2:]
                said = {**found[name].traits, PREDICTED: j.stance}
                found[name] = replace(found[name], traits=said, uncertainty=round(1 - (first - second), 6))
            asked.advance(len(batch))
    if asked.encoder is not None:
        from models.embedding import embedder

        embed = embedder(asked.encoder)
        for batch in _batches(_passages(pairs(), with_room(found))):
            for (name, _), vector in zip(batch, embed([p for _, p in batch]), strict=True):
                found[name] = replace(found[name], vector=vector)
            asked.advance(len(batch))
    candidates = tuple(found[name] for name in sorted(found))
    model_id = asked.judge.model_id if asked.judge is not None else None
    return Frame(candidates, items, dict(sorted(left_out.items())), _hash(candidates, asked, model_id), model_id)


def _choose(pairs: Pairs, prefer: frozenset[str]) -> tuple[set[str], set[str]]:
    """Return the ids of the documents that stand for their stories, and those of the others."""
    best: dict[str, tuple[bool, str, str]] = {}
    every = set()
    for document, statements in pairs:
        every.add(document.id)
        if all(_against(s, document) for s in statements):
            continue
        story = document.story or document.id
        rank = (document.id not in prefer, _last_moment(document.published), document.id)
        best[story] = min(best.get(story, rank), rank)
    chosen = {name for _, _, name in best.values()}
    return chosen, every - chosen


def _against(statement: Statement, document: Document) -> str | None:
    """Return why a statement cannot be drawn, None where it can."""
    if len(statement.text) > MAX_STATEMENT:
        return TOO_LONG
    try:
        task(statement, document)
    except RecordError:
        return UNFIT
    return None


def _traits(statement: Statement, document: Document) -> dict[str, str]:
    """Return what is known of a statement's document and voice; what is not known is left out."""
    known = {name: getattr(document, name) for name in _TRAITS} | {"voice": statement.voice}
    month = _MONTH.match(document.published or "")
    return {name: value for name, value in known.items() if value} | ({"month": month.group()} if month else {})


def _last_moment(published: str | None) -> str:
    """Return a date that sorts: one that names only a year or month comes after its days, none at all after everything."""
    return f"{published}~" if published else "~"


def _passages(pairs: Pairs, wanted: Collection[str]) -> Iterator[tuple[str, Passage]]:
    from models.passage import Passage

    for document, statements in pairs:
        for s in statements:
            if s.id in wanted:
                yield s.id, Passage(s.text, document.title, s.before)


def _batches(passages: Iterator[tuple[str, Passage]]) -> Iterator[list[tuple[str, Passage]]]:
    while batch := list(islice(passages, _BATCH)):
        yield batch


def _judge(model: Judge | Path | None) -> Judge | None:
    if not isinstance(model, Path):
        return model
    from models.predictor import Predictor

    return Predictor.load(model)


def _encoder(name: str | None) -> str:
    from models.network import PACKAGED

    return name or PACKAGED


def _hash(candidates: Sequence[Candidate], asked: _Asked, model_id: str | None) -> str:
    lines = ("\t".join((c.statement, *(f"{k}={v}" for k, v in sorted(c.traits.items())))) for c in candidates)
    return digest(model_id or "", asked.encoder or "", *lines)


def _stored(store: Store) -> Pairs:
    """Yield a store's documents that have statements, with these; both come in the order of the documents' ids."""
    documents = store.documents()
    document = next(documents, None)
    for name, statements in groupby(store.statements(), key=attrgetter("document")):
        while document is not None and document.id < name:
            document = next(documents, None)
        if document is not None and document.id == name:  # another one came in while we read
            yield document, list(statements)


def _wanted(found: Mapping[str, Item], statements: Sequence[str]) -> dict[str, Item]:
    lost = next((s for s in statements if s not in found), None)
    if lost is not None:
        raise RecordError(f"statement {lost}: expected it where it was drawn from, found it gone; draw again")
    return {s: found[s] for s in statements}


def _with_stories(documents: Mapping[str, Document]) -> dict[str, Document]:
    """Return documents with their stories: connected by near-copies or the same text, named by the smallest id."""
    parent = {name: name for name in documents}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    buckets: defaultdict[object, list[str]] = defaultdict(list)
    signatures: dict[str, bytes] = {}
    for name in sorted(documents):
        near = list(buckets[documents[name].text])
        sketch = signature(documents[name].text)
        keys = [] if sketch is None else band_keys(sketch)
        if sketch is not None:
            others = sorted({other for key in keys for other in buckets[key]})
            same = similarities(sketch, [signatures[other] for other in others]) >= THRESHOLD
            near += [other for other, is_near in zip(others, same, strict=True) if is_near]
            signatures[name] = sketch
        for other in near:
            low, high = sorted((root(other), root(name)))
            parent[high] = low
        for key in (documents[name].text, *keys):
            buckets[key].append(name)
    return {name: msgspec.structs.replace(document, story=root(name)) for name, document in documents.items()}


def _counts(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {reason}" for reason, n in left_out.items()) or "nothing was left out"
