"""Language: what a text is written in, where its letters tell, and how its words are counted."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

SURE = 0.7  # probability; below it a page's own declaration is as good a witness
SHORTEST = 20  # letters: a headline of three words
_SAMPLES = (200, 4_000)  # characters: a paragraph tells nearly always, and costs little; where it does not, a page is read

# Scripts that set no spaces between words: Thai, Lao, Burmese, Khmer, kana, ideographs. Two characters count as one word.
UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
WORD = re.compile(rf"[{UNSPACED}]{{1,2}}|[^\W{UNSPACED}]+(?:['’-][^\W{UNSPACED}]+)*")


def count_words(text: str) -> int:
    """Return the number of words; in scripts without spaces, of pairs of characters."""
    return len(WORD.findall(text))


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of a text's language; None where it is short or the probability is below ``SURE``.

    The model is py3langid's; its scores are normalised to probabilities.
    """
    for length in _SAMPLES:
        sample = text[:length]
        if sum(map(str.isalpha, sample)) >= SHORTEST:
            code, probability = _identifier().classify(sample)
            if probability >= SURE:
                return str(code)
        if len(text) <= length:
            break
    return None


def choose_language(text: str, declared: str | None) -> str | None:
    """Return a document's language: the detected one where detection is sure, else the declared one.

    Where both agree the declared tag stays, since it may name the region (``en-gb``).
    """
    detected = detect_language(text)
    if detected is None or (declared is not None and declared.split("-")[0] == detected):
        return declared
    return detected


@lru_cache(maxsize=1)
def _identifier() -> Any:
    import numpy as np
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # ISO 639-1 only: dialects that have no such code would take probability from the languages that they are written in.
    identifier.set_languages([code for code in identifier.labels if len(code) == 2])
    identifier.nb_ptc = np.ascontiguousarray(identifier.nb_ptc)  # rows are looked up; the selection leaves them scattered
    return identifier
