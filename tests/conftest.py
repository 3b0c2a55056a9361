"""Shared by all rooms' tests: seeds, an invented codebook and corpus, and a tiny encoder made on the spot."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# Networks as small as those of the tests run slower on two threads than on one. Read when torch is first imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# No test asks a hub for anything. Read when the hub's library is first imported, so a fixture would come too late.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"  # as the command line has it
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from hypothesis import settings

from annotation.codebook import Codebook, parse_codebook

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from models.dataset import Example
    from models.splits import Split
    from models.training import Recipe, Trained

# A shared two-core machine is no place to judge how long an example takes.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

INVENTED = """
format: 1
name: river-pact
version: 1
target: {name: The River Pact, aliases: [river treaty]}
stances:
  - {id: yes_please, name: Wants it, polarity: positive, hotkey: "1", definition: The holder wants the pact.}
  - {id: no_thanks, name: Does not want it, polarity: negative, hotkey: "2", definition: The holder refuses the pact.}
  - {id: silent, name: Says nothing, polarity: neutral, hotkey: "3", definition: No position.}
concerns:
  - {id: fish, name: Fish, hotkey: f, definition: Fish and other animals.}
  - {id: money, name: Money, hotkey: m, definition: Cost and price.}
holder_types:
  - {id: town, name: Town}
  - {id: angler, name: Angler}
  - {id: nobody, name: Nobody, nobody: true}
rules: [Judge the words.]
"""


@pytest.fixture(scope="session")
def invented() -> Codebook:
    """A codebook with three stances and two concerns that has nothing to do with the shipped one."""
    return parse_codebook(INVENTED, where="river-pact.yaml")


@pytest.fixture(scope="session")
def invented_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The invented codebook as a file."""
    path = tmp_path_factory.mktemp("codebook") / "river-pact.yaml"
    path.write_text(INVENTED, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def make_lines() -> Callable[[int, int], list[dict[str, object]]]:
    """Make labelled statements on the invented pact: (documents, seed) to JSON Lines rows, three to a document."""

    def lines(documents: int, seed: int) -> list[dict[str, object]]:
        rng = random.Random(seed)  # noqa: S311  # invented text, not a secret
        syllables = ["ba", "ke", "li", "mo", "nu", "ra", "se", "ti"]
        verbs = {
            "yes_please": ["welcomes the pact", "signs the pact gladly", "praises the pact"],
            "no_thanks": ["rejects the pact", "warns against the pact", "refuses the pact"],
            "silent": ["read the pact", "counted the pages", "met on a Monday"],
        }
        out: list[dict[str, object]] = []
        for d in range(documents):
            for _ in range(3):
                stance = rng.choice(sorted(verbs))
                holder = rng.choice(["Upperton", "Lowerton", "Ann Gler", "Tom Trout"])
                kind = "town" if holder.endswith("ton") else "angler"
                concerns = [c for c in ("fish", "money") if rng.random() < 0.5]
                tail = "".join({"fish": " Salmon and fish matter.", "money": " The price is high."}[c] for c in concerns)
                # names that no other statement has keep the invented statements from being near-copies of one another
                places = " ".join("".join(rng.choices(syllables, k=3)) for _ in range(5))
                out.append(
                    {
                        "text": f"{holder} {rng.choice(verbs[stance])} at {places}.{tail}",
                        "stance": stance,
                        "concerns": concerns,
                        "holder": holder,
                        "holder_type": kind,
                        "url": f"https://river.example/{seed}/{d}",
                        "title": f"River news {d}",
                        "published": f"2025-{1 + d % 12:02d}-01",
                        "publisher": "River Gazette",
                    }
                )
        return out

    return lines


@pytest.fixture(scope="session")
def lines_path(make_lines: Callable[[int, int], list[dict[str, object]]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled statements of a hundred and sixty invented documents as a JSON Lines file."""
    path = tmp_path_factory.mktemp("lines") / "gold.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in make_lines(160, 1)), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_encoder(make_lines: Callable[[int, int], list[dict[str, object]]], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BERT of two narrow layers with random weights and a tokenizer of its own, in Hugging Face form."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    words = BertWordPieceTokenizer(lowercase=True)
    words.train_from_iterator([str(row["text"]) for row in make_lines(160, 1)], vocab_size=400, show_progress=False)
    words.save(str(folder / "tokenizer.json"))
    BertTokenizerFast(tokenizer_file=str(folder / "tokenizer.json")).save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        config = BertConfig(
            vocab_size=words.get_vocab_size(),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
        )
        BertModel(config).save_pretrained(folder)
    return str(folder)


@dataclass(frozen=True)
class Small:
    """A trained network with the data that it was trained on."""

    trained: Trained
    examples: tuple[Example, ...]
    split: Split
    codebook: Codebook
    recipe: Recipe


@pytest.fixture(scope="session")
def small(lines_path: Path, invented: Codebook, tiny_encoder: str) -> Small:
    """The tiny encoder, trained on the invented statements until it knows the words that give a label away."""
    from models.splits import make_split, take
    from models.training import Recipe, fine_tune
    from pipelines.labelled import read_labelled

    examples = read_labelled(lines_path, invented).examples
    split = make_split(examples, seed=0)
    recipe = Recipe(
        encoder=tiny_encoder,
        epochs=12,
        learning_rate=2e-3,
        head_learning_rate=1e-2,
        freeze_word_embeddings=False,
        patience=12,
    )
    trained = fine_tune(take(examples, split, "train"), take(examples, split, "development"), invented, recipe)
    return Small(trained, examples, split, invented, recipe)


@pytest.fixture(scope="session")
def small_bundle(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network as a bundle."""
    from models.bundle import save_bundle

    folder = tmp_path_factory.mktemp("bundles") / "small"
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    save_bundle(folder, small.trained, small.codebook, small.split, facts=facts)
    return folder


@pytest.fixture(scope="session")
def fast_bundle(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small network as a bundle with the graphs for fast labelling, measured on its development part."""
    from models.bundle import save_bundle
    from models.splits import take

    folder = tmp_path_factory.mktemp("bundles") / "fast"
    facts = {"created": "2025-01-01", "corpus": {"parts": {"train": 1}}, "versions": {"treaty-stance": "0"}}
    development = take(small.examples, small.split, "development")
    save_bundle(folder, small.trained, small.codebook, small.split, facts=facts, development=development)
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium: the one that ``CHROMIUM`` names, the first on the path, or Playwright's own. One for all rooms:
    a second one in the same process would not start.
    """
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path  # where `playwright install chromium` puts it
        found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, (*names, own))), None)
        if found is None:
            pytest.fail(
                f"browser tests need Chromium: set CHROMIUM to its path, install one of {', '.join(names)}, or run "
                "`playwright install chromium`"
            )
        browser = playwright.chromium.launch(
            executable_path=found,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()
