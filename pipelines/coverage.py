"""Coverage: labels with everything that shares are given by, one row a statement, and which statements are one opinion."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation.codebook import Codebook
from corpus.errors import UsageError
from corpus.identity import site
from corpus.lexicon import BODIES, ROLES
from pipelines.copies import find_copies
from pipelines.labels import Labels, holder_key, iso_date, spelling
from pipelines.table_schema import table_schemas

if TYPE_CHECKING:
    import pandas as pd

    from corpus.aliases import AliasTable
    from corpus.lookup import Described
    from corpus.sources import Project

ALIASES = "holders.yaml"
"""A workspace's own names of holders, beside the shipped ones."""

ALIAS, AS_WRITTEN, DESCRIPTION = "alias", "as written", "description"
_INDEFINITE = re.compile(r"(?:an?|some|several|many) ", re.IGNORECASE)
_OPENER = re.compile(r"^(?:The|A|An|Some|Several|Many|One|Two|Three|Our|His|Her|Their|Its|Other|Both|All)\b")

DOCUMENT = ("kind", "language", "source", "story")
DERIVED = (
    *DOCUMENT, "before", "after", "day", "month", "quarter", "resolved", "resolved_type", "country", "resolution", "opinion",
    "first", "copies", "reach", "outlets", "cluster",
)  # fmt: skip
"""Columns of the frame that the labels do not have."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Labelled statements as tables and estimates see them.

    ``frame`` has one row for each row of the labels with status ok, the abstained ones too, in their order: the columns of
    the labels and :data:`DERIVED`.

    - ``kind``, ``language``, ``source``, ``story``, ``before``, ``after``: of the workspace's corpus; null where not known.
    - ``day``, ``month`` (``2024-08``), ``quarter`` (``2024-Q3``): as far as the date of publication is known.
    - ``resolved``, ``resolved_type``, ``country``: the holder by the table of names; else as written. ``resolution`` says
      which: :data:`ALIAS` or :data:`AS_WRITTEN`; :data:`DESCRIPTION` is nobody's name and resolves to null.
    - ``opinion``: statements with the same number are copies of one; ``first`` marks the one that stands for them.
      ``copies`` counts the places at which it was found, ``reach`` its outlets, which ``outlets`` names.
    - ``cluster``: statements of one cluster (a story, else a document) are not independent.

    ``documents`` has one row a document; ``columns`` are further ones that were joined. ``names`` is the table by which
    holders were resolved.
    """

    frame: pd.DataFrame
    labels: Labels
    columns: tuple[str, ...]
    documents: pd.DataFrame
    names: AliasTable | None = None


def read_coverage(
    labels: Labels,
    *,
    workspace: Project | None = None,
    columns: Path | None = None,
    aliases: Sequence[Path] = (),
) -> Coverage:
    """Join what is known of labelled statements.

    Args:
        labels: As :func:`pipelines.labels.read_labels` returns them.
        workspace: Whose corpus tells of the documents, and whose ``holders.yaml`` names holders.
        columns: A table with further columns, as :mod:`pipelines.columns` reads it.
        aliases: Further files of holders' names.

    Raises:
        UsageError: when a file does not exist, has no column to join by, or one with a name of ours.
        RecordError: when a file or the workspace's database is damaged.
    """
    from corpus.aliases import load_aliases

    own = () if workspace is None or not (workspace.root / ALIASES).is_file() else (workspace.root / ALIASES,)
    frame = labels.frame[labels.frame["status"] == "ok"].drop(columns=["status", "reason"]).reset_index(drop=True)
    described = _described(workspace, frame)
    for name in DOCUMENT:
        values = {d: getattr(seen, name) for d, seen in described.items()}
        frame[name] = _each(frame["document_id"], values.get)
    joined = _join(frame, columns, labels.codebook)
    _add_contexts(frame, workspace)
    _add_dates(frame)
    names = load_aliases(*own, *aliases)
    _add_holders(frame, names, set(labels.codebook.holder_type_ids))
    _add_copies(frame, described)
    return Coverage(frame, labels, joined, _documents(frame), names)


def _described(workspace: Project | None, frame: pd.DataFrame) -> Mapping[str, Described]:
    if workspace is None:
        return {}
    from corpus.database import open_database
    from corpus.lookup import describe

    with contextlib.closing(open_database(workspace.store_url)) as database:
        return describe(database, list(frame["document_id"].dropna().unique()))


def _add_contexts(frame: pd.DataFrame, workspace: Project | None) -> None:
    found: Mapping[str, tuple[str, str]] = {}
    if workspace is not None:
        from corpus.database import open_database
        from corpus.lookup import contexts

        with contextlib.closing(open_database(workspace.store_url)) as database:
            found = contexts(database, list(frame["id"]))
    for side, name in enumerate(("before", "after")):
        values = {i: context[side] or None for i, context in found.items()}
        frame[name] = _each(frame["id"], values.get)


def _add_dates(frame: pd.DataFrame) -> None:
    days = {p: iso_date(p) for p in frame["published"].unique()}
    frame["day"] = _each(frame["published"], days.get)
    frame["month"] = _each(frame["day"], lambda d: d[:7] if d and len(d) >= 7 else None)
    frame["quarter"] = _each(frame["month"], lambda m: f"{m[:4]}-Q{(int(m[5:]) + 2) // 3}" if m else None)


def _add_holders(frame: pd.DataFrame, table: AliasTable, types: set[str]) -> None:
    """Resolve each holder's name; names that differ in case or a "the" alone have one spelling, the commonest.

    "The author" of one document is not that of another, so that a description makes no holder.
    """
    written = Counter(name for name in map(spelling, frame["holder_name"]) if name is not None)
    known = {name: table.resolve(name) for name in written}
    common: dict[str, str] = {}
    for name, _ in written.most_common():
        common.setdefault(holder_key(name) or name, name)
    resolved: dict[str | None, tuple[str | None, str | None]] = {None: (None, None)}
    for name, holder in known.items():
        if holder is not None:
            resolved[name] = (holder.name, ALIAS)
        elif is_description(name):
            resolved[name] = (None, DESCRIPTION)
        else:
            resolved[name] = (common[holder_key(name) or name], AS_WRITTEN)
    names = [spelling(name) for name in frame["holder_name"]]
    holders = [None if name is None else known[name] for name in names]
    frame["resolved"] = _objects(resolved[name][0] for name in names)
    frame["resolved_type"] = _objects(
        h.type if h and h.type in types else (t if isinstance(t, str) else None)
        for h, t in zip(holders, frame["holder_type"], strict=True)
    )
    frame["country"] = _objects(h.country if h else None for h in holders)
    frame["resolution"] = _objects(resolved[name][1] for name in names)


def is_description(name: str) -> bool:
    """Return whether words describe a holder instead of naming one ("the author", "several deputies", "the Chair").

    They do where they begin with "a", "some" or the like, where none of them but the first has a capital letter, or where
    "the" and a single word for a role or a body is all there is. Where a script has no capitals there is no telling, and the
    words are taken for a name.
    """
    rest = _OPENER.sub("", name.strip())
    if _INDEFINITE.match(name.strip()):
        return True
    if rest.lower() != rest.upper() and not any(c.isupper() or c.istitle() for c in rest):
        return True
    article, _, noun = name.strip().casefold().partition(" ")
    return article == "the" and noun in ROLES.keys() | BODIES


def _add_copies(frame: pd.DataFrame, described: Mapping[str, Described]) -> None:
    import pandas as pd

    documents = list(frame["document_id"])
    copies = find_copies(list(frame["text"]), documents, _none(frame["story"]), _none(frame["day"]))
    frame["opinion"] = pd.Series(copies.opinion, dtype="int64")
    frame["first"] = pd.Series(copies.first, dtype=bool)  # an empty frame would have a column of objects
    places: dict[int, int] = Counter()
    outlets: dict[int, dict[str, None]] = {}
    for number, document, publisher, url in zip(copies.opinion, documents, frame["publisher"], frame["url"], strict=True):
        at = described.get(document)
        others = at.hosts if at else ()
        places[number] += 1 + len(others)
        outlet = publisher if isinstance(publisher, str) and publisher else (isinstance(url, str) and site(url)) or document
        outlets.setdefault(number, {})[outlet] = None
        outlets[number].update(dict.fromkeys(others))
    frame["copies"] = pd.Series([places[number] for number in copies.opinion], dtype="int64")
    frame["reach"] = pd.Series([len(outlets[number]) for number in copies.opinion], dtype="int64")
    frame["outlets"] = _objects(list(outlets[number]) for number in copies.opinion)
    story = [s or d for s, d in zip(_none(frame["story"]), documents, strict=True)]
    frame["cluster"] = pd.factorize(pd.Series(story, dtype=object))[0]


def _join(frame: pd.DataFrame, path: Path | None, codebook: Codebook) -> tuple[str, ...]:
    """Join a table's columns; one that tells of documents (:data:`DOCUMENT`) fills in what the corpus did not tell."""
    if path is None:
        return ()
    from pipelines.columns import read_columns

    key, columns = read_columns(path, known=[*(c for c in frame.columns if c not in DOCUMENT), "status", "reason"])
    further = tuple(name for name in columns if name not in DOCUMENT)
    for name in further:
        if not name.strip() or name in DERIVED:
            raise UsageError(f"{path}: column {name!r} has a name that the tables use themselves; rename it")
    table_schemas(codebook, further)  # refuses names that differ from ours by their capitals alone
    for name, values in columns.items():
        joined = _each(frame[key], values.get)
        frame[name] = joined if name in further else frame[name].where(frame[name].notna(), joined)
    return further


def _documents(frame: pd.DataFrame) -> pd.DataFrame:
    names = ["document_id", "title", "url", "publisher", "published", *DOCUMENT]
    return frame[names].drop_duplicates("document_id").reset_index(drop=True)


def _each(values: pd.Series, of: Callable[[Any], Any]) -> pd.Series:
    """Return a column of what each value gives, None where it gives none."""
    return _objects(of(v) for v in _none(values))


def _objects(values: Any) -> pd.Series:
    import pandas as pd

    return pd.Series(list(values), dtype=object)


def _none(values: pd.Series) -> list[Any]:
    """Return a column's values with None where pandas has NaN."""
    return [v if isinstance(v, str) else None for v in values]
