"""What a bundle tells people and other tools: the model card in words, and the labels in the form of ``config.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from annotation.codebook import Codebook

if TYPE_CHECKING:
    from models.recipe import Recipe

MODEL_TYPE = "treaty-stance"  # of config.json: tools that do not know it refuse the folder, and fill in no random heads

_BASE = {"packaged-minilm": "sentence-transformers/all-MiniLM-L6-v2"}  # encoders whose name on the Hub is known for sure
_FIGURES = {
    "stance_macro_f1": "stance, macro-F1",
    "concern_macro_f1": "concerns, macro-F1",
    "log_loss": "log loss of the calibrated stance",
    "holder_exact": "holder, share found to the letter",
    "holder_type_accuracy": "holder type, accuracy",
}


def hub_config(codebook: Codebook, thresholds: Sequence[float], *, max_tokens: int) -> dict[str, Any]:
    """Return a bundle's ``config.json``: model type, stances as the labels, concerns with their thresholds.

    Args:
        codebook: Its stances and concerns, in its order.
        thresholds: One a concern, on the calibrated probability.
        max_tokens: The longest passage, special tokens included.
    """
    return {
        "model_type": MODEL_TYPE,
        "architectures": ["StanceForSequenceClassification"],
        "id2label": {str(i): stance for i, stance in enumerate(codebook.stance_ids)},
        "label2id": {stance: i for i, stance in enumerate(codebook.stance_ids)},
        "concern_labels": list(codebook.concern_ids),
        "concern_thresholds": list(thresholds),
        "max_tokens": max_tokens,
    }


def model_card(codebook: Codebook, recipe: Recipe, history: Sequence[Mapping[str, float]], facts: Mapping[str, Any]) -> str:
    """Return the card as Markdown under YAML front matter in the Hub's form.

    It says nothing that was not given: no licence, and a language only where the corpus names one.

    Args:
        codebook: What the labels mean.
        recipe: How the network was trained.
        history: One row an epoch, with the development figures.
        facts: The manifest's own: ``corpus``, ``versions``. The date stays out: the same training gives the same card.
    """
    best = max(history, key=lambda row: row["score"])
    corpus = facts.get("corpus", {})
    sizes = ", ".join(f"{n} {name}" for name, n in corpus.get("parts", {}).items())
    figures = [(title, f"{best[key]:.3f}") for key, title in _FIGURES.items() if key in best]
    front = yaml.safe_dump(_front_matter(codebook, recipe, corpus), sort_keys=False, allow_unicode=True)
    return f"""---
{front}---

# Stance on: {codebook.target.name}

A classifier of statements: which stance their holder takes towards the target, which concerns they raise, and who the
holder is. Encoder `{recipe.encoder}`, codebook `{codebook.id}`, made with treaty-stance
{facts.get("versions", {}).get("treaty-stance", "")} (when, and with which versions of what else: `manifest.json`).

## Intended use

Reading one statement of one to three sentences at a time, from coverage of this target, to describe who takes which
position in a body of texts. Single labels need a person's eye before anything is said about the person or body named. It is
not made for other targets, for judging people, or for texts in other languages than those of its data.

## Data

Corpus: {_corpus_name(corpus) or "unknown"}. Statements by part: {sizes or "unknown"}. Documents, their addresses and
near-copies stay in one part; `split.json` names the statements of each part, with a hash of texts and labels.

## Recipe

{_way(facts)}{_table(("field", "value"), _flat(msgspec.to_builtins(recipe)))}

## Development figures

{_table(("figure", "development part"), figures)}

Best epoch {int(best["epoch"])} of {len(history)} (`history.json` has all). These figures chose the epoch, the calibration
and the thresholds, so they flatter the model. The test part is measured by `treaty-stance evaluate BUNDLE`, with intervals,
the linear baseline and the annotators beside each figure; its figures are not in this card, since they come after the
bundle is sealed.

## Calibration and abstention

Probabilities are calibrated on the development part (`calibration.json`): stance probabilities sum to one, each concern has
a probability of its own, and a concern counts as raised from its own threshold on. The confidence of a row is the calibrated
probability of its stance. Calibration holds for texts like those of the data, and only on average over many. `treaty-stance
label --target-accuracy 0.9` abstains where the model is less sure than that asks for; the rows come with a queue for people.

## Limits

Labels are a model's reading of single statements, not facts about the persons and bodies named in them. Shares counted
from them are biased until they are corrected with hand-coded statements. Other targets, languages and kinds of text than
those of the training data are outside what was measured.

## How to load it

On the command line:

```
treaty-stance label articles.jsonl --model BUNDLE --output labels
```

In Python, with concerns and holder, title and preceding text as context:

```python
from pathlib import Path
from models.passage import Passage
from models.predictor import Predictor

print(Predictor.load(Path("BUNDLE")).judge([Passage("The ministry will sign the treaty.")]))
```

With transformers:

```python
from transformers import AutoTokenizer, pipeline
from models.huggingface import StanceForSequenceClassification, register

register()  # tells transformers, in this process, what a bundle is
model = StanceForSequenceClassification.from_pretrained("BUNDLE")
tokenizer = AutoTokenizer.from_pretrained("BUNDLE")
classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True, max_length={recipe.max_length})
print(classify("The ministry will sign the treaty.", top_k=None))
```

Each way checks the SHA-256 of all files first; nothing is fetched or executed.

## Stances

{_list(codebook.stances)}

## Concerns

{_list(codebook.concerns)}

## Holder types

{_list(codebook.holder_types)}

The rules that decide between them are in `codebook.json`.
"""


def _front_matter(codebook: Codebook, recipe: Recipe, corpus: Mapping[str, Any]) -> dict[str, Any]:
    given = {
        "language": list(corpus.get("languages", ())),
        "library_name": "treaty-stance",
        "pipeline_tag": "text-classification",
        "tags": ["stance-detection", "treaty-stance", codebook.name],
        "base_model": _BASE.get(recipe.encoder),
        "datasets": [name] if (name := _corpus_name(corpus)) else [],
        "metrics": ["f1", "accuracy"],
    }
    return {key: value for key, value in given.items() if value}


def _corpus_name(corpus: Mapping[str, Any]) -> str:
    """Return the corpus's name; of a path only its last part, since folders of one machine mean nothing elsewhere."""
    return PurePath(str(corpus.get("name") or "")).name


def _way(facts: Mapping[str, Any]) -> str:
    """Return what the table of the recipe does not say: the way of training that was chosen, and a warm start's files."""
    lines = []
    if selection := facts.get("selection"):
        lines.append(f"Way of training: {selection['chosen']} ({selection['why']}).")
    if warm := facts.get("warm_start"):
        names = ", ".join(f"{PurePath(str(w['name'])).name} (SHA-256 {w['sha256'][:12]}…)" for w in warm)
        lines.append(f"The encoder was fine-tuned first on other data: {names}.")
    if device := facts.get("device"):
        lines.append(f"It was fine-tuned on {device}.")
    return "".join(f"{line}\n\n" for line in lines)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for name, value in fields.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"`{prefix}{name}`", str(value)))
    return rows


def _table(heading: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"| {a} | {b.replace('|', chr(92) + '|')} |" for a, b in (heading, ("---", "---"), *rows))


def _list(labels: Iterable[Any]) -> str:
    lines = []
    for label in labels:
        definition = " ".join(label.definition.split())
        lines.append(f"- `{label.id}` ({label.name})" + (f": {definition}" if definition else ""))
    return "\n".join(lines)
