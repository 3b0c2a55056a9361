"""The language of a text is told where its letters tell it, and left open elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import corpus
from corpus.language import choose_language, count_words, detect_language

SENTENCES = {
    "en": "The committee will vote on the convention on Friday, its chair said.",
    "fr": "Le ministre a signé la convention hier et promet un débat au parlement.",
    "es": "Los delegados firmaron el tratado ayer en la antigua aduana del puerto.",
    "de": "Die Minister unterzeichneten das Abkommen gestern im alten Zollhaus.",
    "pt": "Os ministros assinaram a convenção ontem e prometem um debate.",
    "ru": "Министры подписали договор вчера, и теперь его должен утвердить парламент.",
    "ar": "وقعت الدول على الاتفاقية أمس في هانوي",
    "zh": "各国代表昨日在河内签署了公约，记者协会对此表示担忧。",
    "vi": "Các nước đã ký công ước tại Hà Nội hôm qua.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_a_sentence_tells_its_language(language: str) -> None:
    assert detect_language(SENTENCES[language]) == language


@pytest.mark.parametrize(
    "text", ["", "La convention", "2025-10-25 14:00 404 12,000 77", "Ambel, Orla, Brandt", "\n" * 5_000]
)
def test_a_scrap_tells_none(text: str) -> None:
    assert detect_language(text) is None


def test_every_document_of_the_reference_corpus_is_english() -> None:
    lines = (Path(corpus.__file__).parent / "reference" / "documents.jsonl").read_text("utf-8").splitlines()
    texts = ["\n\n".join(s["text"] for s in json.loads(line)["statements"]) for line in lines]
    assert len(texts) > 400
    assert {detect_language(text) for text in texts} == {"en"}


def test_where_a_paragraph_leaves_doubt_the_page_is_read() -> None:
    numbers = "12 45 78 " * 40  # more than the first sample, without a letter
    assert detect_language(numbers) is None
    assert detect_language(numbers + SENTENCES["vi"]) == "vi"


@pytest.mark.parametrize(
    ("text", "declared", "chosen"),
    [
        (SENTENCES["fr"], "en-gb", "fr"),
        (SENTENCES["fr"], None, "fr"),
        (SENTENCES["en"], "en-gb", "en-gb"),
        ("Ambel", "pt-br", "pt-br"),
        ("Ambel", None, None),
    ],
)
def test_sure_detection_wins_over_a_declaration_and_agreement_keeps_the_region(
    text: str, declared: str | None, chosen: str | None
) -> None:
    assert choose_language(text, declared) == chosen


def test_words_are_counted_in_scripts_with_and_without_spaces() -> None:
    assert count_words("The café owner’s Wi-Fi, 2 of them.") == 7
    assert count_words("公约签署了") == 3  # five characters: three pairs, the last a half
    assert count_words("") == 0
