"""The model card: what a bundle is, in words, written from what the manifest knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from annotation.codebook import Codebook

if TYPE_CHECKING:
    from models.training import Recipe


def model_card(codebook: Codebook, recipe: Recipe, history: Sequence[Mapping[str, float]], facts: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
        codebook: What the labels mean.
        recipe: How the network was trained.
        history: One row an epoch, with the development figures.
        facts: The manifest's own: ``corpus``, ``versions``. The date stays out: the same training gives the same card.
    """
    best = max(history, key=lambda row: row["score"])
    parts = facts.get("corpus", {}).get("parts", {})
    sizes = ", ".join(f"{n} {name}" for name, n in parts.items())
    stances = "\n".join(f"- `{s.id}` ({s.name}): {s.definition}" for s in codebook.stances)
    concerns = "\n".join(f"- `{c.id}` ({c.name}): {c.definition}" for c in codebook.concerns)
    return f"""# Stance on: {codebook.target.name}

A classifier of statements: which stance their holder takes towards the target, which concerns they raise, and who the
holder is. Encoder `{recipe.encoder}`, codebook `{codebook.id}`, made with treaty-stance
{facts.get("versions", {}).get("treaty-stance", "")} (when, and with which versions of what else: `manifest.json`).

## Data

Statements by part: {sizes or "unknown"}. Documents, their addresses and near-copies stay in one part (`split.json`).

## Development figures

Best epoch {int(best["epoch"])} of {len(history)}: stance macro-F1 {best["stance_macro_f1"]:.3f}, concern macro-F1
{best["concern_macro_f1"]:.3f}, log loss of the calibrated stance {best["log_loss"]:.3f}. These figures chose the epoch, the
temperature and the thresholds, so they flatter the model; `treaty-stance evaluate` measures it on the test part.

## Stances

{stances}

## Concerns

{concerns}

## Limits

Labels are a model's reading of single statements, not facts about the persons and bodies named in them. Shares counted
from them are biased until they are corrected with hand-coded statements. Other targets, languages and kinds of text than
those of the training data are outside what was measured.
"""
