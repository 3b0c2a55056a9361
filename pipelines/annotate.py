"""Annotation from the command line: documents or a queue of abstentions into Label Studio, coders' answers out of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annotation.answers import Refusal, State
from annotation.codebook import Codebook
from annotation.label_studio import Client, PushResult, pull, push
from corpus.errors import UsageError
from corpus.files import write_jsonl
from pipelines.frame import read_folder
from pipelines.queue import read_queue
from pipelines.workspace import workspace_client


@dataclass(frozen=True, slots=True)
class FolderPush:
    """What became of a folder: documents read, files passed over, statements cut and what the server made of them.

    ``problems`` are sentences on documents and statements that could not be pushed.
    """

    documents: int
    passed_over: int
    statements: int
    push: PushResult
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class QueuePush:
    """What became of a queue: statements read and what the server made of them, with ``problems`` as sentences."""

    statements: int
    push: PushResult
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProjectPull:
    """What a pull wrote to ``output``, and why other answers are not in it. ``counts`` are the refusals by state."""

    output: Path
    tasks: int
    unanswered: int
    annotations: int
    counts: Mapping[State, int]
    refusals: tuple[Refusal, ...]


def server(environ: Mapping[str, str] | None = None, *, workspace: Path | None = None) -> Client:
    """Connect as :func:`pipelines.workspace.workspace_client` does: default, this process's environment and folder.

    Raises:
        UsageError: when the environment names no server and none of the workspace runs, or the server refuses the key.
        RecordError: when the files of the workspace's server are damaged.
    """
    return workspace_client(workspace or Path(), os.environ if environ is None else environ)


def push_folder(
    folder: Path,
    *,
    project: str,
    codebook: Codebook,
    environ: Mapping[str, str] | None = None,
    workspace: Path | None = None,
) -> FolderPush:
    """Cut the documents of a folder into statements and put them into a Label Studio project.

    A document that cannot be read is named in ``problems``; the others go on.

    Raises:
        UsageError: when there is no such folder or no document in it, or the environment or the title is wrong.
        CodebookError: when the project was made with another codebook.
        TreatyStanceError: when the server fails.
    """
    read = read_folder(folder)
    if not read.statements:
        why = f"; the first problem: {read.problems[0]}" if read.problems else ""
        files = read.documents + len(read.problems)
        raise UsageError(f"{folder}: expected documents with statements, found none in {files} files{why}")
    result = push(server(environ, workspace=workspace), project, read.statements, codebook)
    return FolderPush(
        documents=read.documents,
        passed_over=read.passed_over,
        statements=len({statement.id for statement, _ in read.statements}),
        push=result,
        problems=(*read.problems, *result.problems),
    )


def push_queue(
    path: Path, *, project: str, codebook: Codebook, environ: Mapping[str, str] | None = None, workspace: Path | None = None
) -> QueuePush:
    """Put the statements of a queue that ``label`` wrote into a Label Studio project, in the queue's order.

    A line that is no queue item, or of another codebook, is named in ``problems``; the others go on.

    Raises:
        UsageError: when there is no such file or nothing in it to push, or the environment or the title is wrong.
        CodebookError: when the project was made with another codebook.
        TreatyStanceError: when the server fails.
    """
    statements, problems = read_queue(path, codebook)
    if not statements:
        why = f"; the first problem: {problems[0]}" if problems else ""
        raise UsageError(f"{path}: expected statements that wait for a coder, found none{why}")
    result = push(server(environ, workspace=workspace), project, statements, codebook)
    return QueuePush(len({s.id for s, _ in statements}), result, (*problems, *result.problems))


def pull_project(
    project: str,
    output: Path,
    *,
    codebook: Codebook,
    environ: Mapping[str, str] | None = None,
    workspace: Path | None = None,
) -> ProjectPull:
    """Write a project's annotations to a JSON Lines file, sorted by statement and annotator; an older file is replaced.

    Raises:
        UsageError: when there is no such project, the output is a folder, or the environment is wrong.
        CodebookError: when the project was made with another codebook.
        TreatyStanceError: when the server fails or gives fewer tasks than it has.
    """
    if output.is_dir():
        raise UsageError(f"{output}: expected the name of a file to write, found a folder; give a name in it")
    result = pull(server(environ, workspace=workspace), project, codebook)
    write_jsonl(output, result.annotations)
    return ProjectPull(
        output=output,
        tasks=result.tasks,
        unanswered=result.unanswered,
        annotations=len(result.annotations),
        counts=result.counts,
        refusals=result.refusals,
    )
