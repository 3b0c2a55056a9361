"""The benchmark on public stance sets: figures as their papers define them, on invented rows, and one run of the script."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from corpus.errors import RecordError, UsageError
from models.pairs import Pair

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def load(name: str) -> ModuleType:
    """Import a script's module without running it; the folder of scripts is no package."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # a dataclass looks its module up, and the second script imports the first
    spec.loader.exec_module(module)
    return module


public_sets = load("public_sets")
stance_sets = load("stance_sets")
STANCES = public_sets.STANCES


def items(golds: str, groups: list[str]) -> list[Any]:
    """Make items of gold stances given by their first letters."""
    names = {name[0]: name for name in STANCES}
    pairs = [Pair("text", "target", (names[letter],)) for letter in golds]
    return [public_sets.Item(pair, group) for pair, group in zip(pairs, groups, strict=True)]


def decided(letters: str) -> np.ndarray[Any, Any]:
    return np.array(["afn".index(letter) for letter in letters])


def test_tweeteval_pools_the_tweets_of_all_targets_before_it_takes_f1() -> None:
    groups = ["climate"] * 3 + ["hillary"] * 4 + ["trump"] * 2
    figures = public_sets.tweeteval_figures(items("fannaafaa", groups), decided("fafaafffa"))
    # Pooled, the first seven: gold fannaaf, decided fafaaff. Favor has 2 hits of 2 gold and 4 decided, against 2 of 3 and 3.
    assert figures["f_avg_pooled"] == pytest.approx(2 / 3)
    # climate: gold fan, decided faf: favor 2/3, against 1; hillary: gold naaf, decided aaff: favor 2/3, against 1/2
    assert figures["f_avg_climate"] == pytest.approx((2 / 3 + 1) / 2)
    assert figures["f_avg_hillary"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert figures["f_avg_mean_of_targets"] == pytest.approx((5 / 6 + 7 / 12) / 2)
    assert figures["f_avg_mean_without_climate"] == figures["f_avg_hillary"]
    # the unseen target: gold a a, decided f a: favor 0, against 2/3
    assert figures["f_avg_trump_unseen"] == pytest.approx(1 / 3)
    assert figures["macro_f1_pooled"] == pytest.approx((2 / 3 + 2 / 3 + 0) / 3)


def test_vast_takes_macro_f1_over_all_rows_and_over_each_shot() -> None:
    groups = ["zero-shot"] * 3 + ["few-shot"] * 3
    figures = public_sets.vast_figures(items("afnafn", groups), decided("afnann"))
    assert figures["macro_f1_zero_shot"] == 1
    # few-shot: gold a f n, decided a n n: against 1, favor 0, none 2/3
    assert figures["macro_f1_few_shot"] == pytest.approx((1 + 0 + 2 / 3) / 3)
    # all: against 1, favor hits 1 of gold 2, decided 1: 2/3; none hits 2 of gold 2, decided 3: 4/5
    assert figures["macro_f1_all"] == pytest.approx((1 + 2 / 3 + 4 / 5) / 3)
    assert [figures[f"f1_{name}"] for name in ("against", "favor", "none")] == pytest.approx([1, 2 / 3, 4 / 5])


def test_gwsd_takes_accuracy_and_macro_f1() -> None:
    figures = public_sets.gwsd_figures(items("aafn", [""] * 4), decided("afff"))
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)


def test_the_tasks_f1_is_taken_from_mean_precision_and_mean_recall() -> None:
    gold = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=bool)
    guess = np.array([[1, 1], [0, 1], [0, 1], [0, 0]], dtype=bool)
    # precision 1 and 1/3, recall 1/2 and 1: means 2/3 and 3/4
    assert public_sets.task_f1(gold, guess) == pytest.approx(2 * (2 / 3) * (3 / 4) / (2 / 3 + 3 / 4))
    assert public_sets.task_f1(gold, guess) != pytest.approx(f1_score(gold, guess, average="macro"))
    assert public_sets.task_f1(gold, np.zeros_like(gold)) == 0
    everything = public_sets.task_f1(gold, np.ones_like(gold))
    share = gold.mean(0).mean()
    assert everything == pytest.approx(2 * share / (1 + share)), "recall is one, precision the mean share of positives"


def test_one_threshold_or_one_a_value_whichever_development_rows_like_better() -> None:
    task = public_sets.TASKS["valueeval"]
    rng = np.random.default_rng(0)
    rows = [public_sets.Item(Pair("t", "x", tuple(v for v in public_sets.VALUES if rng.random() < 0.3))) for _ in range(80)]
    gold = task.gold(rows)
    scores = np.clip(0.25 * gold + rng.random(gold.shape) * 0.5, 0, 1)
    rule = stance_sets.decision_rule(task, scores, rows)
    best = task.figures(rows, rule(scores))["task_f1"]
    assert all(best >= task.figures(rows, scores >= t)["task_f1"] for t in np.linspace(0.05, 0.95, 37))
    assert rule(np.ones_like(scores)).all()
    assert not rule(np.zeros_like(scores)).any()


def write_sets(folder: Path) -> Path:
    """Write invented sets in the form of the real ones: words give the label away."""
    rng = random.Random(0)  # noqa: S311  # invented text, not a secret
    words = {"against": "refuses", "favor": "welcomes", "none": "counted"}

    def row(i: int, target: str, **more: object) -> dict[str, object]:
        label = STANCES[i % 3]
        return {"id": i, "text": f"Upperton {words[label]} it {rng.random()}", "target": target, "label": label, **more}

    def likely(i: int) -> dict[str, float]:
        return {**dict.fromkeys(STANCES, 0.0), STANCES[i % 3]: 0.7501, STANCES[(i + 1) % 3]: 0.25}

    def put(path: str, rows: list[dict[str, object]]) -> None:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")

    targets = {"climate": "Climate is a concern", "hillary": "Hillary"}
    for part in ("train", "dev", "test"):
        tweets = [row(i, targets[s], subset=s) for i in range(18) for s in targets]
        put(f"tweeteval_stance/{part}.jsonl", tweets)
        shots = [row(i, "pact sign", shot=("zero-shot", "few-shot")[i % 2], target_raw="not to sign") for i in range(18)]
        put(f"vast/{part}.jsonl", [{k: v for k, v in r.items() if part != "dev" or k != "target_raw"} for r in shots])
    put("tweeteval_stance/taskB_trump_test.jsonl", [row(i, "Donald Trump", subset="trump") for i in range(6)])
    put("gwsd/train.jsonl", [row(i, "warming", probs=likely(i)) for i in range(100)])
    put("gwsd/test.jsonl", [row(i, "warming") for i in range(10)])
    values = public_sets.VALUES
    for part in ("train", "dev", "test"):
        rows = [
            {**row(i, "We should fish"), "label": [values[i % 20], values[(i + 1) % 20]], "stance": "favor"}
            for i in range(40)
        ]
        put(f"valueeval23/{part}.jsonl", rows)
    return folder


def test_the_target_that_all_parts_have_is_read_though_some_have_a_raw_one(tmp_path: Path) -> None:
    parts = public_sets.read_parts(public_sets.TASKS["vast"], write_sets(tmp_path))
    assert {i.pair.target for i in parts.train + parts.dev + parts.test} == {"pact sign"}
    assert {i.group for i in parts.test} == {"zero-shot", "few-shot"}
    path = tmp_path / "vast" / "dev.jsonl"
    assert parts.files["vast/dev.jsonl"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_gwsds_development_rows_are_a_stratified_share_of_its_training_rows(tmp_path: Path) -> None:
    task = public_sets.TASKS["gwsd"]
    one, two = (public_sets.read_parts(task, write_sets(tmp_path)) for _ in range(2))
    assert one.dev == two.dev
    assert (len(one.train), len(one.dev)) == (85, 15)
    texts = [{i.pair.text for i in part} for part in (one.train, one.dev)]
    assert texts[0].isdisjoint(texts[1])
    assert sorted(np.bincount(task.gold(one.dev))) == [5, 5, 5]


def test_gwsd_is_learned_from_probabilities_and_scored_by_the_most_probable_label(tmp_path: Path) -> None:
    task = public_sets.TASKS["gwsd"]
    parts = public_sets.read_parts(task, write_sets(tmp_path))
    for item in parts.train:
        label = STANCES.index(item.pair.labels[0])
        assert dict(item.pair.shares) == pytest.approx({STANCES[label]: 0.75, STANCES[(label + 1) % 3]: 0.25}, abs=1e-4)
    assert not any(item.pair.shares for item in parts.test)
    one = {"text": "a", "target": "b", "label": "favor", "id": "x7"}
    with pytest.raises(RecordError, match="gwsd, x7: probabilities do not sum to one; restore the set"):
        task.item({**one, "probs": {"favor": 0.5}})
    with pytest.raises(RecordError, match="label 'maybe' is none of against, favor, none"):
        task.gold([task.item({**one, "probs": {"favor": 0.5, "maybe": 0.5}})])


def test_the_unseen_target_is_in_the_test_rows_and_the_stance_in_the_values_target(tmp_path: Path) -> None:
    write_sets(tmp_path)
    tweets = public_sets.read_parts(public_sets.TASKS["tweeteval"], tmp_path)
    assert [len(part) for part in (tweets.train, tweets.dev, tweets.test)] == [36, 36, 42]
    assert sum(i.group == "trump" for i in tweets.test) == 6
    values = public_sets.read_parts(public_sets.TASKS["valueeval"], tmp_path)
    assert values.train[0].pair == Pair(values.train[0].pair.text, "favor: We should fish", public_sets.VALUES[:2])


def test_a_missing_file_field_or_label_is_named(tmp_path: Path) -> None:
    write_sets(tmp_path)
    task = public_sets.TASKS["vast"]
    (tmp_path / "vast" / "dev.jsonl").write_text('{"text": "a", "target": "b", "label": "favor"}\n', encoding="utf-8")
    with pytest.raises(RecordError, match=r"dev\.jsonl, line 1: no field 'shot'"):
        public_sets.read_parts(task, tmp_path)
    (tmp_path / "vast" / "dev.jsonl").unlink()
    with pytest.raises(UsageError, match=r"dev\.jsonl: no such file, packed or not"):
        public_sets.read_parts(task, tmp_path)
    odd = public_sets.Item(Pair("a", "b", ("maybe",)))
    with pytest.raises(RecordError, match="label 'maybe' is none of against, favor, none"):
        task.gold([odd])


@pytest.mark.parametrize("name", ["tweeteval", "vast", "gwsd", "valueeval"])
def test_the_floor_finds_words_that_give_the_label_away(tmp_path: Path, name: str) -> None:
    task = public_sets.TASKS[name]
    figures, chosen = stance_sets.linear_floor(task, public_sets.read_parts(task, write_sets(tmp_path)))
    assert "C=" in chosen
    if not task.multiple:  # the invented values have nothing to do with the texts
        assert figures[task.headline] == 1
    published = json.loads((BENCHMARKS / "stance_sets_published.json").read_text(encoding="utf-8"))[name]
    assert all(set(p["figures"]) <= set(figures) for p in published), "a published figure has the name of a measured one"
    assert {p["source"] for p in published} <= {"read", "from memory", "measured on the raw labels"}


def test_spread_is_the_standard_deviation_over_seeds() -> None:
    assert stance_sets.spread([0.5, 0.7]) == {
        "mean": pytest.approx(0.6),
        "sd": pytest.approx(0.2 / 2**0.5),
        "values": [0.5, 0.7],
    }
    assert stance_sets.spread([0.5])["sd"] is None


@pytest.mark.slow
def test_the_script_keeps_a_row_of_a_full_run_and_none_of_a_trial(tmp_path: Path, tiny_encoder: str) -> None:
    write_sets(tmp_path / "sets")
    output = tmp_path / "rows.jsonl"
    script = [sys.executable, str(BENCHMARKS / "stance_sets.py"), str(tmp_path / "sets"), "--encoder", tiny_encoder]
    options = ["--output", str(output), "--epochs", "2", "--rates", "2e-3", "--threads", "1"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*script, *options, *more], capture_output=True, text=True, check=False)

    trial = run("--sets", "gwsd", "--limit", "20", "--seeds", "0", "--poolings", "text")
    assert trial.returncode == 0, trial.stderr
    assert not output.exists()
    outside = str(tmp_path / "sets" / "gwsd" / "train.jsonl")
    warm = run("--sets", "gwsd", "--seeds", "0", "1", "--poolings", "text", "--warm-start", outside, "--warm-epochs", "1")
    assert warm.returncode == 0, warm.stderr
    row = json.loads(output.read_text(encoding="utf-8"))
    output.unlink()
    assert (row["learned_from"], row["warm_start_recipe"]["epochs"]) == ("probabilities", 1)
    assert [(s["name"], s["pairs"]) for s in row["warm_start"]] == [("train.jsonl", 100)]
    full = run("--sets", "tweeteval", "valueeval", "--seeds", "0", "1")
    assert full.returncode == 0, full.stderr
    tweets, values = (json.loads(line) for line in output.read_text(encoding="utf-8").splitlines())
    assert (tweets["set"], values["set"], tweets["seeds"]) == ("tweeteval", "valueeval", [0, 1])
    assert (tweets["learned_from"], tweets["warm_start"], tweets["warm_start_recipe"]) == ("labels", [], None)
    assert tweets["rows"] == {"train": 36, "dev": 36, "test": 42}
    assert {t["pooling"] for t in tweets["tried"]} == {"text", "both"}
    best = max(tweets["tried"], key=lambda t: t["dev"])
    assert tweets["dev"][0] == best["dev"], "the first seed's run on all rows is not done twice"
    assert tweets["figures"]["f_avg_pooled"]["mean"] == pytest.approx(
        sum(tweets["figures"]["f_avg_pooled"]["values"]) / 2, abs=1e-4
    )
    assert set(tweets["figures"]) == set(tweets["floor"])
    assert set(tweets["files"]) == {
        f"tweeteval_stance/{name}.jsonl" for name in ("train", "dev", "test", "taskB_trump_test")
    }
    assert "f_avg_mean_of_targets" in full.stdout
    assert "unknown" in full.stdout
    missing = run("--sets", "vast", "--encoder", "./nowhere")
    assert missing.returncode == 2
    assert "no such folder" in missing.stderr
