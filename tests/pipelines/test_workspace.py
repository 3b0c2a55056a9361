from pathlib import Path

import pytest

from annotation import load_codebook
from corpus.errors import UsageError
from corpus.sources import TYPES, load_project
from pipelines.workspace import bundle_folder, find_workspace, init_workspace, workspace_codebook


def test_a_new_workspace_can_be_read_and_has_the_shipped_codebook(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "hanoi"
    written = init_workspace(folder)
    assert {p.name for p in written} == {"project.toml", "codebook.yaml", ".gitignore"}
    found = load_project(folder)
    assert [s.name for s in found.sources] == ["inbox"]
    assert (folder / "inbox").is_dir()
    assert load_codebook(folder / "codebook.yaml") == load_codebook()


def test_each_commented_example_is_a_source_once_the_marks_are_taken_away(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    path = tmp_path / "project.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("# [[sources]]"))
    opened = [line.removeprefix("# ") if i >= start else line for i, line in enumerate(lines)]
    path.write_text("\n".join(opened), encoding="utf-8")
    assert {s.type for s in load_project(tmp_path).sources} == set(TYPES)


def test_what_is_there_stays_as_it_is(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    mine = '[target]\nname = "Mine"\naliases = ["mine"]\n'
    (tmp_path / "project.toml").write_text(mine, encoding="utf-8")
    (tmp_path / "codebook.yaml").unlink()
    assert [p.name for p in init_workspace(tmp_path)] == ["codebook.yaml"]
    assert load_project(tmp_path).target.name == "Mine"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(UsageError, match="expected a folder or a name that is free, found a file"):
        init_workspace(tmp_path / "x")


def test_the_named_workspace_goes_before_the_one_around(tmp_path: Path) -> None:
    for name in ("a", "b"):
        init_workspace(tmp_path / name)
    found = [find_workspace(given, here=tmp_path / "b") for given in (tmp_path / "a", None)]
    assert [p.root.name for p in found if p] == ["a", "b"]
    assert find_workspace(None, here=tmp_path) is None
    with pytest.raises(UsageError, match=r"expected a workspace with a project\.toml, found none"):
        find_workspace(tmp_path, here=tmp_path / "b")


def test_a_workspaces_codebook_is_its_own(tmp_path: Path, invented_path: Path) -> None:
    init_workspace(tmp_path)
    assert workspace_codebook(tmp_path) == load_codebook()
    (tmp_path / "codebook.yaml").write_bytes(invented_path.read_bytes())
    assert workspace_codebook(tmp_path).name == "river-pact"


def test_bundles_of_one_day_are_numbered(tmp_path: Path) -> None:
    init_workspace(tmp_path)
    project = load_project(tmp_path)
    names = []
    for _ in range(3):
        folder = bundle_folder(project, "2026-01-31")
        folder.mkdir()
        names.append(folder.relative_to(tmp_path).as_posix())
    assert names == ["bundles/2026-01-31", "bundles/2026-01-31-2", "bundles/2026-01-31-3"]
