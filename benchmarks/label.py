"""What labelling costs, against what a user would write with transformers, as ratios within one run.

    python benchmarks/label.py BUNDLE                   # all of it: an hour on two cores
    python benchmarks/label.py BUNDLE --only speed start --repeats 3
    python benchmarks/label.py BUNDLE --only memory --rows 10000 1000000

- *speed*: statements a second of ``transformers.pipeline("text-classification", batch_size=32)`` on the bundle's own
  weights, and of each step from there to the predictor; statements of the reference corpus in random order;
- *gemm*: the machine's rate of 32-bit matrix products, and the share of it that the 32-bit graph reaches, counting the
  encoder's operations alone;
- *coverage*: documents a second of a whole label job on pages with menus, links and notices, where nine statements of ten
  take no position, against the pipeline over the same statements, already cut;
- *parity*: what 8-bit numbers and the cascade change on the test part, against the network on torch;
- *start*: seconds from the command to the first shard;
- *memory*: peak memory of the job at several lengths of the input, made of texts that come again and again;
- *ray*: two actors of one core each against one.

Each figure is the median of ``--repeats`` runs. A row is added to ``results/label.jsonl``.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from machine import processor

from corpus.files import read_json
from corpus.reference_corpus import load_reference
from models.bundle import open_bundle
from models.encoding import Encoded, encode
from models.passage import Passage
from models.predictor import Predictor
from models.runtime import GraphRunner

RESULTS = Path(__file__).parent / "results" / "label.jsonl"
PARTS = ("speed", "gemm", "coverage", "parity", "start", "memory", "ray")
_ROOM = "\n".join(
    f'<li><a href="/{w}">{w.title()}</a></li>' for w in ("home", "world", "politics", "law", "sport", "video", "about us")
)


def rate(work: Callable[[], object], count: int, repeats: int) -> float:
    """Return things a second, the median of so many runs after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return count / statistics.median(times)


def reference_texts() -> tuple[list[str], list[str]]:
    """Return the reference corpus's statements, those with a position and those without."""
    corpus = load_reference()
    neutral = {"none"}
    texts = {s.id: s.text for s in corpus.statements}
    polar = [texts[g.statement] for g in corpus.gold if g.stance not in neutral]
    silent = [texts[g.statement] for g in corpus.gold if g.stance in neutral]
    return polar, silent


def flops(lengths: Sequence[int], config: Any) -> float:
    """Return the encoder's operations on passages of so many tokens: its matrix products and those of attention."""
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    weights = layers * (4 * width * width + 2 * width * inner)
    return float(sum(2 * weights * n + layers * 4 * n * n * width for n in lengths))


def the_pipeline(bundle: Path, texts: Sequence[str]) -> Callable[[], object]:
    """Return what a user would write, with the bundle's weights."""
    from transformers import AutoTokenizer, pipeline

    from models.huggingface import StanceForSequenceClassification, register

    register()
    model = StanceForSequenceClassification.from_pretrained(bundle)
    tokenizer = AutoTokenizer.from_pretrained(bundle)
    longest = open_bundle(bundle).recipe.max_length
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True, max_length=longest)
    return lambda: classify(list(texts), batch_size=32, top_k=None)


def gemm_rate(threads: int, seconds: float = 2.0) -> float:
    """Return 32-bit operations a second of torch's matrix product at the encoder's own shapes, the best of a few."""
    import torch

    torch.set_num_threads(threads)
    best = 0.0
    for m, k, n in ((1024, 384, 1536), (2048, 1536, 384), (2048, 2048, 2048)):
        a, b = torch.randn(m, k), torch.randn(k, n)
        a @ b
        start, runs = time.perf_counter(), 0
        while time.perf_counter() - start < seconds / 3:
            a @ b
            runs += 1
        best = max(best, runs * 2 * m * k * n / (time.perf_counter() - start))
    return best


def speed(bundle: Path, texts: list[str], repeats: int, threads: int) -> dict[str, float]:
    """Measure each step between the pipeline and the predictor, in statements a second."""
    import torch

    from models.inference import run_network

    torch.set_num_threads(threads)
    opened = open_bundle(bundle)
    passages = [Passage(t) for t in texts]
    n = len(texts)
    encoded = encode(opened.tokenizer, passages, context="none", max_length=opened.recipe.max_length)
    pad = opened.tokenizer.pad_token_id
    fp32, int8 = bundle / "model.onnx", bundle / "model.int8.onnx"
    found = {
        "pipeline, batches of 32 in random order": rate(the_pipeline(bundle, texts), n, repeats),
        "torch, sorted by length": rate(lambda: run_network(opened.network, encoded, pad=pad), n, repeats),
        "graph, each statement alone": rate(
            lambda: GraphRunner(fp32, opened.sizes, threads=threads, tokens=0).scores(encoded), n, repeats
        ),
        "graph, statements of one length together": rate(
            lambda: GraphRunner(fp32, opened.sizes, threads=threads).scores(encoded), n, repeats
        ),
        "graph, the same on one thread": rate(
            lambda: GraphRunner(fp32, opened.sizes, threads=1).scores(encoded), n, repeats
        ),
        "8-bit graph, each statement alone": rate(
            lambda: GraphRunner(int8, opened.sizes, threads=threads, tokens=0).scores(encoded), n, repeats
        ),
        "tokenising alone": rate(lambda: Predictor(opened)._encode(passages), n, repeats),
    }
    for name, settings in {
        "predictor fp32": {"precision": "fp32"},
        "predictor int8, close decisions again in fp32": {"precision": "int8"},
        "predictor int8 and cascade": {"precision": "int8", "cascade": True},
        "predictor as label runs it": {"precision": "auto", "cascade": True},
    }.items():
        predictor = Predictor(opened, threads=threads, **settings)  # type: ignore[arg-type]
        found[name] = rate(lambda p=predictor: _anew(p, passages), n, repeats)  # type: ignore[misc]
    predictor = Predictor(opened, precision="auto", cascade=True, threads=threads)
    copies = [Passage(t) for t in texts for _ in range(3)]
    found["predictor, each statement three times over"] = rate(lambda: _anew(predictor, copies), 3 * n, repeats)
    return found


def _anew(predictor: Predictor, passages: Sequence[Passage]) -> None:
    """Judge with nothing remembered."""
    predictor._seen.clear()
    predictor.judge(passages)


def page(texts: Sequence[str], number: int) -> str:
    """Return a page with an article of these statements between menus, notices and links."""
    body = "\n".join(f"<p>{html.escape(t)}</p>" for t in texts)
    return (
        f"<!doctype html><html lang=en><head><title>Report {number} on the convention</title></head><body>"
        f"<header><nav><ul>{_ROOM}</ul></nav></header><main>"
        f"<article><h1>Report {number} on the convention</h1>{body}</article>"
        "<aside><h2>Most read</h2><ul><li><a href=/a>Ten things to know</a></li><li><a href=/b>Live: the vote</a></li></ul>"
        "<p>Sign up for our newsletter.</p></aside></main><footer><p>We use cookies to improve your experience.</p>"
        "<p>All rights reserved.</p></footer></body></html>"
    )


def coverage(bundle: Path, documents: int, repeats: int, threads: int) -> dict[str, float]:
    """Measure documents a second of the whole job, and of the pipeline over the statements that the job found."""
    import pyarrow.parquet as pq

    from pipelines.label import LabelOptions, label

    polar, silent = reference_texts()
    rng = random.Random(1)  # noqa: S311  # an order of texts
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        pages.mkdir()
        for d in range(documents):
            texts = [*rng.sample(silent, 18), *rng.sample(polar, 2)]
            rng.shuffle(texts)
            # a name of its own in each statement, so that nothing is a copy of anything
            (pages / f"{d:05}.html").write_text(page([f"{t} ({d}-{i})" for i, t in enumerate(texts)], d), encoding="utf-8")
        runs: list[Path] = []

        def job() -> None:
            predictor = Predictor.load(bundle, precision="auto", cascade=True, threads=threads)
            output = Path(folder) / f"labels-{len(runs)}"
            runs.append(output)
            label([str(pages)], predictor, output, created="2025-01-01", options=LabelOptions(quiet=True))

        ours = rate(job, documents, repeats)
        files = sorted(runs[-1].glob("labels-*.parquet"))
        texts = [text for path in files for text in pq.read_table(path, columns=["text"])["text"].to_pylist() if text]
        theirs = rate(the_pipeline(bundle, texts), documents, max(1, repeats - 2))
    return {
        "documents": documents,
        "statements": len(texts),
        "job, documents a second": ours,
        "pipeline, documents a second": theirs,
        "ratio": ours / theirs,
    }


def parity(bundle: Path) -> dict[str, float]:
    """Compare decisions on the test part with those of the network on torch, as differences of figures alone."""
    from models.dataset import targets
    from models.gate import changed
    from models.metrics import Counter
    from models.splits import read_split, take
    from models.training import decisions
    from pipelines.labelled import read_gold

    opened = open_bundle(bundle)
    examples = take(read_gold(None, None, opened.codebook).examples, read_split(bundle / "split.json"), "test")
    passages, y = [e.passage for e in examples], targets(examples, opened.codebook)
    counter = Counter(len(opened.codebook.stances), len(opened.codebook.concerns), (), ())
    torch_scores = Predictor(opened, graph=False).scores(passages)
    base = decisions(torch_scores, y, opened.calibration)
    figures = counter.metrics(counter.counts(base).sum(0))
    found: dict[str, float] = {"statements": len(passages)}
    for name in ("fp32", "int8"):
        scores = Predictor(opened, precision=name).scores(passages)
        other = counter.metrics(counter.counts(decisions(scores, y, opened.calibration)).sum(0))
        found[f"{name}: decisions changed"] = float(
            changed(scores, opened.calibration, torch_scores, opened.calibration).mean()
        )
        for key in ("stance_macro_f1", "concern_macro_f1"):
            found[f"{name}: {key}, difference"] = float(other[key, None] - figures[key, None])
    cascade = Predictor(opened, precision="int8", cascade=True).judge(passages)
    plain = Predictor(opened, graph=False).judge(passages)
    flips = [(a.stance, a.concerns) != (b.stance, b.concerns) for a, b in zip(cascade, plain, strict=True)]
    found["int8 and cascade: decisions changed"] = float(np.mean(flips))
    holders = [(a.holder_start, a.holder_end) != (b.holder_start, b.holder_end) for a, b in zip(cascade, plain, strict=True)]
    found["int8 and cascade: holders changed"] = float(np.mean(holders))
    return found


def _write_rows(path: Path, rows: int, texts: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for i in range(rows):
            row = {"id": f"r{i}", "text": texts[i % len(texts)], "url": f"https://news.example/{i // 20}"}
            stream.write(json.dumps(row) + "\n")


def start(bundle: Path, texts: list[str], repeats: int) -> dict[str, float]:
    """Measure seconds from the command to its first shard, on an input of ten thousand rows."""
    times = []
    with tempfile.TemporaryDirectory() as folder:
        _write_rows(Path(folder) / "rows.jsonl", 10_000, texts)
        for i in range(repeats):
            output = Path(folder) / f"out{i}"
            begun = time.perf_counter()
            job = subprocess.Popen(_command(Path(folder) / "rows.jsonl", bundle, output))  # noqa: S603  # our own
            while not (output / "labels-00000.parquet").exists() and job.poll() is None:
                time.sleep(0.005)
            times.append(time.perf_counter() - begun)
            job.kill()
            job.wait()
    return {"seconds to the first shard": statistics.median(times)}


def _command(rows: Path, bundle: Path, output: Path) -> list[str]:
    code = "from pipelines.cli import main; main()"
    return [sys.executable, "-c", code, "label", str(rows), "--model", str(bundle), "--output", str(output), "--quiet"]


def memory(bundle: Path, texts: list[str], sizes: Sequence[int]) -> dict[str, float]:
    """Measure the peak memory of a job, in megabytes, and its rows a second, for inputs of several lengths."""
    found = {}
    for rows in sizes:
        with tempfile.TemporaryDirectory() as folder:
            _write_rows(Path(folder) / "rows.jsonl", rows, texts)
            begun = time.perf_counter()
            command = _command(Path(folder) / "rows.jsonl", bundle, Path(folder) / "out")
            subprocess.run(command, check=True)  # noqa: S603  # our own
            seconds = time.perf_counter() - begun
        # the children's peak is that of the largest so far, so sizes go upwards
        found[f"{rows:,} rows: peak MB"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        found[f"{rows:,} rows: rows a second"] = rows / seconds
    return found


def ray(bundle: Path, texts: list[str], repeats: int) -> dict[str, float]:
    """Measure statements a second of one and of two actors with one core each, once they have their models."""
    from functools import partial

    from pipelines.cli_label import actor_judge
    from pipelines.ray_engine import RayEngine

    predictor = Predictor.load(bundle, precision="auto")
    load = partial(actor_judge, bundle, dict(predictor.settings), cascade=False, threads=1)
    found = {}
    size = 256
    shards = [[Passage(f"{t} {lap}") for t in texts[i : i + size]] for lap in range(3) for i in range(0, len(texts), size)]
    for actors in (1, 2):
        rates = []
        for _ in range(max(1, repeats // 2)):
            verdicts = RayEngine(load, actors=actors, rows=64).judged(shards)
            next(verdicts)
            begun = time.perf_counter()
            rest = sum(len(v) for v in verdicts)
            rates.append(rest / (time.perf_counter() - begun))
        found[f"{actors} actor{'s' if actors > 1 else ''}, statements a second"] = statistics.median(rates)
    found["ratio"] = found["2 actors, statements a second"] / found["1 actor, statements a second"]
    return found


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="made by `train` or `demo`")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--statements", type=int, default=1655, help="statements timed")
    parser.add_argument("--documents", type=int, default=60, help="pages of the coverage")
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 1_000_000], help="lengths for the memory")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    polar, silent = reference_texts()
    texts = polar + silent
    random.Random(0).shuffle(texts)  # noqa: S311  # an order of texts
    timed = texts[: args.statements]
    bundle = open_bundle(args.bundle)
    encoded: list[Encoded] = encode(
        bundle.tokenizer, [Passage(t) for t in timed], context="none", max_length=bundle.recipe.max_length
    )
    lengths = [len(e.ids) for e in encoded]
    versions = {n: metadata.version(n) for n in ("torch", "transformers", "onnxruntime", "tokenizers")}
    row: dict[str, Any] = {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": args.threads,
            "python": platform.python_version(),
        },
        "versions": versions,
        "model_id": bundle.model_id,
        "repeats": args.repeats,
        "tokens": {"mean": statistics.fmean(lengths), "median": statistics.median(lengths), "longest": max(lengths)},
    }
    print(json.dumps(row, indent=1))
    measured: dict[str, Callable[[], dict[str, float]]] = {
        "speed": lambda: speed(args.bundle, timed, args.repeats, args.threads),
        "gemm": lambda: gemm(args.bundle, encoded, bundle.sizes, args.repeats, args.threads),
        "coverage": lambda: coverage(args.bundle, args.documents, args.repeats, args.threads),
        "parity": lambda: parity(args.bundle),
        "start": lambda: start(args.bundle, texts, args.repeats),
        "memory": lambda: memory(args.bundle, texts, sorted(args.rows)),
        "ray": lambda: ray(args.bundle, timed, args.repeats),
    }
    for part in (p for p in PARTS if p in args.only):
        row[part] = measured[part]()
        print(f"\n{part}")
        slowest = next(iter(row[part].values())) if part == "speed" else None
        for name, value in row[part].items():
            print(f"  {name:52} {value:10.4g}" + (f"  x {value / slowest:.2f}" if slowest else ""), flush=True)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with args.output.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")


def gemm(
    bundle: Path, encoded: Sequence[Encoded], sizes: tuple[int, int, int], repeats: int, threads: int
) -> dict[str, float]:
    """Measure the machine's rate and the 32-bit graph's, turn about, and return both with their ratio."""
    config = read_json(bundle / "encoder.json")
    work = flops([len(e.ids) for e in encoded], config)
    runner = GraphRunner(bundle / "model.onnx", sizes, threads=threads)
    machine, graph = [], []
    for _ in range(repeats):
        machine.append(gemm_rate(threads))
        graph.append(rate(lambda: runner.scores(encoded), 1, 1) * work)
    best, ours = statistics.median(machine), statistics.median(graph)
    return {"machine, GFLOP/s": best / 1e9, "graph, GFLOP/s": ours / 1e9, "share": ours / best}


if __name__ == "__main__":
    main()
