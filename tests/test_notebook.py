"""The example notebook runs from the top, and each of its cells shows what the text around it promises."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow  # starts a kernel and makes a report

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs" / "example.ipynb"
STATEMENTS = 1500


def load(name: str) -> ModuleType:
    """Import a script of the benchmarks, whose folder is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The notebook's code cells, run on invented labels."""
    folder = tmp_path_factory.mktemp("demo")
    load("synthetic_labels").write_labels(folder, STATEMENTS)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TREATY_STANCE_DEMO", str(folder))
        patch.setenv("IPYTHONDIR", str(tmp_path_factory.mktemp("ipython")))
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cells: list[Any], source: str) -> str:
    """Return as text what the one cell with these words shows."""
    (cell,) = [c for c in cells if source in c.source]
    texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
    assert not any(o.output_type == "error" for o in cell.outputs)
    return "\n".join(texts)


def test_three_lines_give_the_shares_as_a_data_frame(cells: list[Any]) -> None:
    (cell,) = [c for c in cells if "import make_report" in c.source]
    assert len([line for line in cell.source.splitlines() if line.strip()]) == 3
    text = shown(cells, "import make_report")
    assert "dimension" in text
    assert "ppi" in text
    assert "rows" in text


def test_the_notes_tell_of_the_audit_sample(cells: list[Any]) -> None:
    assert "audited statements" in shown(cells, "report.notes")


def test_each_stance_has_a_share_between_its_ends(cells: list[Any]) -> None:
    lines = [line.split() for line in shown(cells, "overall = shares").splitlines()]
    rows = {line[0]: [float(x) for x in line[1:5]] for line in lines if len(line) > 6}
    assert set(rows) == {"favor", "against", "mixed", "none"}
    assert all(low <= share <= high for share, low, high, _ in rows.values())
    assert sum(share for share, *_ in rows.values()) == pytest.approx(1, abs=0.005)


def test_the_chart_is_a_picture_with_an_interval_a_point_and_a_count_for_each_stance(cells: list[Any]) -> None:
    (cell,) = [c for c in cells if "mark_rule" in c.source]
    pictures = [o.data["image/svg+xml"] for o in cell.outputs if "image/svg+xml" in o.get("data", {})]
    assert len(pictures) == 1
    for mark in ("mark-rule role-mark layer_0", "mark-symbol role-mark layer_1", "mark-rect role-mark layer_2"):
        group = pictures[0].split(mark)[1].split("</g>")[0]
        assert group.count("<path") + group.count("<line") == 4
    assert "Share of opinions" in pictures[0]


def test_the_commonest_concern_is_given_by_stance(cells: list[Any]) -> None:
    text = shown(cells, "commonest =")
    assert all(stance in text for stance in ("favor", "against", "mixed", "none"))


def test_changes_show_two_dates_and_two_stances(cells: list[Any]) -> None:
    text = shown(cells, "changes =")
    assert "from_stance" in text
    assert "Empty DataFrame" not in text


def test_statements_behind_a_figure_have_their_words_and_address(cells: list[Any]) -> None:
    text = shown(cells, "behind =")
    assert "text" in text
    assert "Empty DataFrame" not in text


def test_the_files_are_written(cells: list[Any]) -> None:
    text = shown(cells, "write_report(report, folder)")
    assert all(
        f"'{name}'" in text for name in ("report.html", "shares.parquet", "shares.csv", "tables.xlsx", "tables.duckdb")
    )


def test_the_database_answers_and_explains_its_columns(cells: list[Any]) -> None:
    assert "Gazette" in shown(cells, "outlets =")
    (cell,) = [c for c in cells if c.source.strip() == "meanings"]
    table = cell.outputs[0].data["text/plain"]
    assert "id" in table
    assert "None" not in table


def test_the_notebook_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert not any(cell.outputs or cell.execution_count for cell in code)
