"""What the pages' charts share: colours that follow from the polarity and that colour-blind readers can tell apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from annotation.codebook import Codebook, load_codebook, parse_codebook
from pipelines.charts import stance_colours


def test_a_colour_follows_from_the_polarity_and_not_from_the_name(bypass: Codebook) -> None:
    shipped = {c.name: c for c in stance_colours(load_codebook())}
    invented = {c.id: c for c in stance_colours(bypass)}
    for one, other in (("In favour", "welcome"), ("Against", "refuse"), ("No position", "silent")):
        assert (shipped[one].light, shipped[one].dark) == (invented[other].light, invented[other].dark)


def test_two_stances_of_one_polarity_have_two_colours(bypass_text: str) -> None:
    codebook = parse_codebook(bypass_text.replace("polarity: neutral", "polarity: negative"), where="bypass.yaml")
    drawn = stance_colours(codebook)
    assert [colour.id for colour in drawn] == ["welcome", "refuse", "silent"]
    assert len({colour.light for colour in drawn}) == len({colour.dark for colour in drawn}) == 3


# Machado, Oliveira and Fernandes (2009), severity 1.0: linear RGB as red-blind, green-blind and blue-blind readers see it.
MACHADO = {
    "nobody": np.eye(3),
    "protan": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deutan": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritan": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("reader", list(MACHADO))
def test_every_two_stances_can_be_told_apart_by_colour_blind_readers(theme: str, reader: str) -> None:
    def lab(colour: str) -> np.ndarray[Any, Any]:
        srgb = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8) / 255
        linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
        seen = np.clip(MACHADO[reader] @ linear, 0, 1)
        matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
        ratio = np.array(matrix) @ seen / np.array([0.95047, 1.0, 1.08883])
        f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
        return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])

    colours = [lab(getattr(colour, theme)) for colour in stance_colours(load_codebook())]
    distances = [np.linalg.norm(a - b) for i, a in enumerate(colours) for b in colours[i + 1 :]]
    assert min(distances) > 20  # CIE 1976; about 2.3 is just noticeable
