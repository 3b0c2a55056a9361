"""Recoding: after a change of the codebook, the statements that it touches go back to their coders; other labels stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from annotation.campaign import Project
from annotation.changes import Used, codebooks, compare, note, places, read_since, used
from annotation.codebook import Codebook
from annotation.exchange import Plan, open_project, push_tasks
from annotation.interface import task
from annotation.label_studio import Client, PushResult
from annotation.ledger import Ledger
from corpus.errors import RecordError, UsageError
from corpus.sources import load_project
from pipelines.workspace import workspace_client, workspace_codebook


@dataclass(frozen=True, slots=True)
class Recoded:
    """What recoding a round comes to: what changed and is used, the ``statements`` to code anew, each coder's project, and
    how many gold labels were carried over as they are (``new``, ``changed``, ``same``).
    """

    used: tuple[Used, ...]
    statements: tuple[str, ...]
    projects: Mapping[str, tuple[Project, PushResult]]
    carried: dict[str, int]
    notes: tuple[str, ...]


def recode(
    workspace: Path,
    *,
    round: str,
    source: str,
    at: str,
    environ: Mapping[str, str],
    everything: bool = False,
    client: Client | None = None,
) -> Recoded:
    """Open a project for each coder of the round ``source``, with those of its statements that must be coded anew.

    These are the statements with a reading, decision or gold label that uses a label which the workspace's codebook removes
    or redefines; with ``everything``, all that were given out. The gold labels of the others are noted under the new
    codebook as they are. Done a second time, it completes what is missing and nothing is put in twice.

    Args:
        workspace: The folder; its codebook is the new one.
        round: The new round's name.
        source: The round that was coded with an earlier codebook.
        at: This moment in UTC.
        environ: Where ``LABEL_STUDIO_URL`` and ``LABEL_STUDIO_API_KEY`` are looked for.
        everything: Code all statements of the round anew.
        client: A server that is connected already.

    Raises:
        UsageError: when there is no such round, it has the workspace's codebook already, both names are the same, or
            workspace, environment or server are not as expected.
        TreatyStanceError: when the server fails.
    """
    if round == source:
        raise UsageError(f"round {round!r}: expected another name than that of the round that is coded anew; choose one")
    store = load_project(workspace).store_url
    codebook = workspace_codebook(workspace)
    with Ledger.open(store) as ledger:
        known = codebooks(ledger, round=source)
        earlier = {version: found for version, found in known.items() if version != codebook.id}
        if not earlier:
            rounds = ", ".join(dict.fromkeys(repr(p.round) for p in ledger.projects())) or "none"
            what = "the workspace's codebook, so nothing is to be coded anew" if known else f"nothing; there are {rounds}"
            raise UsageError(f"round {source!r}: expected a round coded with an earlier codebook, found {what}")
        uses: list[Used] = []
        notes: list[str] = []
        again: set[str] = set()
        stay: dict[str, set[str]] = {}
        for version, (old, projects) in earlier.items():
            changes = compare(old, codebook)
            found = used(changes, ledger, round=source)
            given = set(places(ledger, projects=projects)) - read_since(ledger, version, but=codebook.id)
            touched = given if everything else given & set(found.statements)
            uses.append(found)
            notes.append(note(changes, [source]))
            again |= touched
            stay[version] = given - touched
        carried = _carry(ledger, stay, codebook, at)
        coders = _coders(ledger, [p for _, projects in earlier.values() for p in projects], again)
        pushed: dict[str, tuple[Project, PushResult]] = {}
        if coders:
            client = client or workspace_client(workspace, environ)
            items = ledger.items(sorted(again))
            for coder, (before, statements) in coders.items():
                plan = Plan(
                    title=f"{round} recoding, {coder}",
                    round=round,
                    role="recoding",
                    codebook=codebook,
                    coder=coder,
                    email=before.email,
                    show_publisher=before.show_publisher,
                )
                lost = next((s for s in statements if s not in items), None)
                if lost is not None:
                    raise RecordError(f"statement {lost}: it was given out and is not in the ledger; restore the database")
                project = open_project(client, ledger, plan, at=at)
                shown = [
                    (s, task(items[s].statement, items[s].document, show_publisher=before.show_publisher))
                    for s in statements
                ]
                pushed[coder] = project, push_tasks(client, ledger, project, shown)
    return Recoded(tuple(uses), tuple(sorted(again)), pushed, carried, tuple(notes))


def _coders(ledger: Ledger, projects: list[Project], again: set[str]) -> dict[str, tuple[Project, list[str]]]:
    """Return each coder's newest project and those of the statements that the coder had, in the order of first coding."""
    found: dict[str, tuple[Project, list[str]]] = {}
    for project in projects:
        if project.coder is None:
            continue
        had = found.get(project.coder, (project, []))[1]
        had += [t.statement for t in ledger.tasks(project.key) if t.statement in again and t.statement not in had]
        found[project.coder] = project, had
    return {coder: (project, statements) for coder, (project, statements) in sorted(found.items()) if statements}


def _carry(ledger: Ledger, stay: Mapping[str, set[str]], codebook: Codebook, at: str) -> dict[str, int]:
    """Note gold labels of earlier codebooks under the new one, where nothing was coded or decided under that."""
    done = {a.statement for a in ledger.annotations(codebook_version=codebook.id)}
    done |= {x.statement for x in ledger.cases() if x.codebook_version == codebook.id}
    labels = [
        msgspec.structs.replace(label, codebook_version=codebook.id)
        for version, statements in stay.items()
        for label in ledger.gold(version)
        if label.statement in statements - done
    ]
    return ledger.add_gold(labels, at)
