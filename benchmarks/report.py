"""What a report costs: seconds, memory and bytes by number of statements, each report made by a process of its own.

    python benchmarks/report.py                                  # 1,000, 10,000 and 100,000 statements
    python benchmarks/report.py --statements 1000 10000 --repeats 3
    python benchmarks/report.py --against                        # compare with the labels of the first half as well

Labels are invented (``synthetic_labels.py``), with an audit sample and an evaluation. *Seconds* are those from the command
to its end, *of CPU* those that processors spent, which other work on the machine lengthens less; both are medians of
``--repeats`` runs. *Peak* is the most memory that the command and its children held at once, sampled fifty times a second;
the *growth of cost* is the processors' time for one statement more, between one size and the next, over that between the
sizes before: 1 is linear. A row is added to ``results/report.jsonl``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from machine import processor
from synthetic_labels import write_labels

RESULTS = Path(__file__).parent / "results" / "report.jsonl"
VERSIONS = ("treaty-stance", "pandas", "pyarrow", "duckdb", "XlsxWriter", "RapidFuzz", "altair", "numpy")
PAGE = "report.html"


def memory(pid: int) -> int:
    """Return the bytes that a process and its descendants hold: proportional set sizes, what they share counted once."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines()
        own = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    except (OSError, StopIteration, ValueError):  # it has ended meanwhile
        return 0
    return own + sum(memory(int(child)) for child in children)


def run(command: list[str]) -> tuple[float, float, int]:
    """Run a command; return the seconds it took, those of processors, and the most memory it held."""
    begun, used = time.perf_counter(), processor_seconds()
    job = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603  # our own
    peak = 0
    while job.poll() is None:
        peak = max(peak, memory(job.pid))
        time.sleep(0.02)
    seconds = time.perf_counter() - begun
    if job.returncode:
        raise SystemExit(f"the command ended with {job.returncode}: {' '.join(command)}")
    return seconds, processor_seconds() - used, peak


def processor_seconds() -> float:
    """Return the time that all processors have spent for this process's ended children and theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def command(folder: Path, output: Path, *, against: Path | None = None) -> list[str]:
    """Return the command of a report on invented labels."""
    code = "from pipelines.cli import main; main()"
    given = ["--audit", str(folder / "audit.jsonl"), "--evaluation", str(folder / "evaluation.json")]
    if against is not None:
        given += ["--against", str(against)]
    return [sys.executable, "-c", code, "report", str(folder / "labels"), "--output", str(output), *given, "--quiet"]


def half(labels: Path, folder: Path) -> Path:
    """Write the first half of labels as labels of their own, and return their folder."""
    folder.mkdir()
    table = pq.read_table(sorted(labels.glob("*.parquet")))
    pq.write_table(table.slice(0, len(table) // 2), folder / "labels-00000.parquet")
    (folder / "manifest.json").write_bytes((labels / "manifest.json").read_bytes())
    return folder


def measure(statements: int, repeats: int, *, against: bool) -> dict[str, float]:
    """Measure the report on so many statements."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        labels = write_labels(folder, statements)
        other = half(labels, folder / "earlier") if against else None
        runs = [run(command(folder, folder / f"report-{i}", against=other)) for i in range(repeats)]
        files = {p.name: p.stat().st_size for p in (folder / "report-0").iterdir() if p.is_file()}
    return {
        "statements": statements,
        "seconds": statistics.median(seconds for seconds, _, _ in runs),
        "processor seconds": statistics.median(used for _, used, _ in runs),
        "peak MB": max(peak for _, _, peak in runs) / 2**20,
        "page MB": files.get(PAGE, 0) / 2**20,
        "all files MB": sum(files.values()) / 2**20,
    }


def growth(rows: list[dict[str, float]]) -> list[float]:
    """Return the cost of one statement more from size to size, each over that of the step before; 1 is linear."""
    steps = [(b["seconds"] - a["seconds"]) / (b["statements"] - a["statements"]) for a, b in pairwise(rows)]
    return [after / before for before, after in pairwise(steps) if before > 0]


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--statements", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--against", action="store_true", help="compare with the first half of the labels")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    row: dict[str, Any] = {
        "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": {n: metadata.version(n) for n in VERSIONS},
        "repeats": args.repeats,
        "against": args.against,
        "sizes": [],
    }
    print(json.dumps(row, indent=1))
    print(f"{'statements':>12}{'seconds':>10}{'of CPU':>10}{'ms each':>10}{'peak MB':>10}{'page MB':>10}{'files MB':>10}")
    for statements in sorted(args.statements):
        found = measure(statements, args.repeats, against=args.against)
        row["sizes"].append(found)
        each = found["processor seconds"] / statements * 1000
        seconds = f"{found['seconds']:10.1f}{found['processor seconds']:10.1f}{each:10.2f}"
        sizes = f"{found['peak MB']:10.0f}{found['page MB']:10.2f}{found['all files MB']:10.1f}"
        print(f"{statements:12,}{seconds}{sizes}", flush=True)
    row["growth of cost"] = growth(row["sizes"])
    if row["growth of cost"]:
        print(f"growth of cost (1 is linear): {', '.join(f'{g:.2f}' for g in row['growth of cost'])}")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
