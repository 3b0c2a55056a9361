"""The card says what the manifest knows and invents nothing; the configuration names labels for other tools."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from huggingface_hub import ModelCard

from annotation.codebook import Codebook, load_codebook
from models.card import hub_config, model_card
from models.recipe import Recipe

pytestmark = pytest.mark.slow  # trains, draws or starts programs: together a minute

if TYPE_CHECKING:
    from tests.conftest import Small

HISTORY = [
    {"epoch": 1.0, "loss": 2.0, "stance_macro_f1": 0.5, "concern_macro_f1": 0.4, "log_loss": 1.0, "score": 0.45},
    {"epoch": 2.0, "loss": 1.0, "stance_macro_f1": 0.7124, "concern_macro_f1": 0.6, "log_loss": 0.8, "score": 0.6562},
    {"epoch": 3.0, "loss": 0.5, "stance_macro_f1": 0.6, "concern_macro_f1": 0.6, "log_loss": 0.9, "score": 0.6},
]
FACTS: dict[str, Any] = {
    "created": "2025-01-01",
    "versions": {"treaty-stance": "1.2.3"},
    "corpus": {"name": "reference corpus", "parts": {"train": 70, "development": 20, "test": 10}, "languages": ["en", "fr"]},
}


@pytest.fixture
def card(invented: Codebook) -> str:
    return model_card(invented, Recipe(), HISTORY, FACTS)


def test_the_front_matter_is_what_the_hub_expects(card: str) -> None:
    data = ModelCard(card).data.to_dict()
    assert data == {
        "language": ["en", "fr"],
        "library_name": "treaty-stance",
        "pipeline_tag": "text-classification",
        "tags": ["stance-detection", "treaty-stance", "river-pact"],
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "datasets": ["reference corpus"],
        "metrics": ["f1", "accuracy"],
    }


def test_nothing_is_invented_where_nothing_is_known(invented: Codebook) -> None:
    card = model_card(invented, Recipe(encoder="somewhere/encoder"), HISTORY, {})
    data = ModelCard(card).data.to_dict()
    assert set(data) == {"library_name", "pipeline_tag", "tags", "metrics"}
    assert "license" not in card
    assert "Corpus: unknown. Statements by part: unknown." in card


def test_a_corpus_is_named_without_the_folders_of_the_machine_that_trained(invented: Codebook) -> None:
    facts = {**FACTS, "corpus": {**FACTS["corpus"], "name": "/home/someone/secret/gold.jsonl"}}
    card = model_card(invented, Recipe(), HISTORY, facts)
    assert "secret" not in card
    assert ModelCard(card).data.to_dict()["datasets"] == ["gold.jsonl"]


def test_it_gives_the_best_epochs_figures_with_their_caveat_and_no_date(card: str) -> None:
    assert "| stance, macro-F1 | 0.712 |" in card
    assert "| concerns, macro-F1 | 0.600 |" in card
    assert "Best epoch 2 of 3" in card
    assert "flatter the model" in card
    assert "70 train, 20 development, 10 test" in card
    assert "1.2.3" in card
    assert "2025-01-01" not in card


def test_each_label_and_each_field_of_the_recipe_stands_in_it(card: str, invented: Codebook) -> None:
    for label in (*invented.stances, *invented.concerns, *invented.holder_types):
        assert f"- `{label.id}` ({label.name})" in card
        assert label.definition in card
    for name, value in msgspec.to_builtins(Recipe()).items():
        assert name == "weights" or f"| `{name}` | {value} |" in card
    assert "| `weights.concerns` | 1.0 |" in card


def test_the_way_of_training_and_a_warm_start_are_told(card: str, invented: Codebook) -> None:
    assert "Way of training" not in card
    assert "fine-tuned first" not in card
    assert "fine-tuned on" not in card
    warm = [{"name": "/home/someone/tweets.jsonl", "sha256": "0123456789abcdef" * 4}]
    facts = {**FACTS, "selection": {"chosen": "frozen", "why": "few labels"}, "warm_start": warm, "device": "A big GPU"}
    told = model_card(invented, Recipe(), HISTORY, facts)
    assert "Way of training: frozen (few labels)." in told
    assert "fine-tuned first on other data: tweets.jsonl (SHA-256 0123456789ab…)." in told
    assert "It was fine-tuned on A big GPU." in told
    assert "someone" not in told


def test_an_awkward_codebook_and_recipe_stay_in_their_lines(invented: Codebook) -> None:
    concern = msgspec.structs.replace(invented.concerns[0], definition="First line.\n\n# Not a heading\n---")
    odd = msgspec.structs.replace(invented, name="it's: [odd]", concerns=(concern,))
    card = model_card(odd, Recipe(encoder="a|b"), HISTORY, FACTS)
    assert ModelCard(card).data.to_dict()["tags"][-1] == "it's: [odd]"
    assert "First line. # Not a heading ---" in card
    assert "| `encoder` | a\\|b |" in card


def test_three_ways_to_load_it_are_shown_and_their_python_is_python(card: str) -> None:
    assert "treaty-stance label" in card
    blocks = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        compile(block, "card", "exec")


@pytest.mark.slow
def test_the_python_of_the_card_runs_on_the_bundle(
    small_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import models.huggingface

    monkeypatch.setattr(models.huggingface, "register", lambda: None)  # tests leave the library as they found it
    card = (small_bundle / "README.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL):
        exec(block.replace('"BUNDLE"', repr(str(small_bundle))), {})  # noqa: S102  # our own text
    printed = capsys.readouterr().out
    assert "Judgement(stance=" in printed
    assert "'score':" in printed


def test_the_card_in_a_bundle_is_made_from_its_own_facts(small_bundle: Path, small: Small) -> None:
    card = (small_bundle / "README.md").read_text(encoding="utf-8")
    facts = json.loads((small_bundle / "manifest.json").read_text(encoding="utf-8"))
    assert card == model_card(small.codebook, small.trained.recipe, small.trained.history, facts)


def test_the_configuration_names_the_labels_in_the_codebooks_order() -> None:
    codebook = load_codebook()
    config = hub_config(codebook, [0.25] * len(codebook.concerns), max_tokens=128)
    assert config["id2label"] == {"0": "favor", "1": "against", "2": "mixed", "3": "none"}
    assert config["label2id"] == {"favor": 0, "against": 1, "mixed": 2, "none": 3}
    assert config["concern_labels"] == list(codebook.concern_ids)
    assert len(config["concern_thresholds"]) == len(config["concern_labels"])
    assert config["model_type"] == "treaty-stance"
    json.dumps(config)
