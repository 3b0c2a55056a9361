"""Voice and holder: what quotation and verbs of attribution make plain, and what they do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpus.identity import document_id, normalise
from corpus.quotations import find_quotations
from corpus.records import Document, Statement
from corpus.reference_corpus import load_reference
from corpus.segment import Segmentation, paragraphs, segment
from corpus.voice import attribute

CODED = Path(__file__).parent / "data" / "voice.jsonl"


def attributed(text: str, **fields: str | None) -> tuple[Statement, ...]:
    fields = {"language": "en", **fields}
    document = Document(id=document_id("https://x.test/a", text), url="https://x.test/a", text=text, **fields)  # type: ignore[arg-type]
    return attribute(segment(document))


def holders(text: str, **fields: str | None) -> list[str | None]:
    return [s.holder for s in attributed(text, **fields)]


def voices(text: str, **fields: str | None) -> list[str | None]:
    return [s.voice for s in attributed(text, **fields)]


@pytest.mark.parametrize(
    ("text", "holder"),
    [
        ("The Harbour League warned on Monday that the draft is too vague.", "The Harbour League"),
        ("Nothing in the draft protects sailors, the Harbour League warned.", "the Harbour League"),
        ("Nothing in the draft protects sailors, says the Ministry of Ports.", "the Ministry of Ports"),
        ("According to the Office on Ports and Tides, the draft is sound.", "the Office on Ports and Tides"),
        ("The draft is sound, in the Commission's view.", "the Commission"),
        ("The draft is sound, in the opinion of the harbour union.", "the harbour union"),
        ("Critics have warned that the draft is vague.", "Critics"),
        ("Olivia Marsh, who leads the union's legal team, argued that the draft is vague.", "Olivia Marsh"),
        ("Olivia Marsh, director of the union, on Tuesday warned that the draft is vague.", "Olivia Marsh"),
        ("The head of the union, Olivia Marsh, told reporters that it is vague.", "Olivia Marsh"),
        ("The draft is vague, says the lawyer Olivia Marsh.", "Olivia Marsh"),
        ("The draft, said Olivia Marsh of Port University, is vague.", "Olivia Marsh"),
        ("The draft has been criticised by shipping companies and lawyers.", "shipping companies and lawyers"),
        ("Beijing insists that the draft is sound.", "Beijing"),
        ("Norland would like to see a shorter draft.", "Norland"),
        ("Norland does not support the draft.", "Norland"),
        ("Norland, Sudland and Estland called on members to wait.", "Norland, Sudland and Estland"),
        ("Norland, for its part, welcomed the draft.", "Norland"),
        ("The members, Norland and Sudland Union for instance, wait. Norland warned that it is vague.", "Norland"),
        ("In principle the supervisor backs the draft.", "the supervisor"),
        ("US Attorney Martin Sand said fraud costs a lot.", "US Attorney Martin Sand"),
        ("The Tech Accord, which includes Norsoft, has dubbed the draft a trap.", "The Tech Accord"),
    ],
)
def test_a_plain_attribution_names_the_holder_as_the_text_does(text: str, holder: str) -> None:
    (statement,) = attributed(text)
    assert (statement.holder, statement.voice) == (holder, "reported")


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("Each state writes the rules into its own law.", "editorial"),  # writes, but nobody in particular
        ("Member states meet again in Vienna next week.", "editorial"),  # a noun, not a verb
        ("The ministers called a vote on the last day.", "editorial"),
        ("Seventy-nine delegations backed the text on Friday.", "reported"),  # a count of votes names nobody
        ("Deputies were told that the draft is sound.", "reported"),
        ("The report warns that the draft is vague.", "reported"),  # whose report, the words do not tell
        ("Their letter says that the draft is vague.", "reported"),
        ("The text reflects what governments want from each other.", "editorial"),
        ("A second text had been proposed by Norland years before.", "editorial"),
        ("Norland did not say why.", "editorial"),
        ("Missions in New York handle such questions daily.", "editorial"),
        ("The draft is sound, we think.", "editorial"),
        ("It acknowledges that ports matter.", None),
    ],
)
def test_what_is_not_plain_names_nobody(text: str, voice: str | None) -> None:
    (statement,) = attributed(text)
    assert (statement.holder, statement.voice) == (None, voice)


@pytest.mark.parametrize(
    "text",
    [
        '"The draft is vague and should not be signed by anyone," said Olivia Marsh.',
        "“The draft is vague and should not be signed by anyone,” Olivia Marsh said.",
        "«The draft is vague and should not be signed by anyone», Olivia Marsh said.",
        "‘The draft’s text is vague and should not be signed by anyone,’ said Olivia Marsh.",
        "According to Olivia Marsh, “the draft is vague and should not be signed”.",
    ],
)
def test_a_quotation_is_the_holders_own_voice(text: str) -> None:
    (statement,) = attributed(text)
    assert (statement.voice, statement.holder) == ("own", "Olivia Marsh")


def test_a_few_quoted_words_are_not_a_quotation() -> None:
    (statement,) = attributed("The union dubbed the draft a “trap”, saying that it would cost sailors their livelihood.")
    assert (statement.voice, statement.holder) == ("reported", "The union")


def test_verbs_inside_a_quotation_attribute_nothing() -> None:
    (statement,) = attributed("“The minister said that Norland supports it,” Olivia Marsh wrote.")
    assert statement.holder == "Olivia Marsh"


def test_a_quotation_that_goes_on_in_the_next_paragraph_keeps_its_speaker() -> None:
    text = "Olivia Marsh said: “The draft is vague, and it ought to be shorter.\n\n“It puts sailors at risk.”"
    assert [(s.voice, s.holder) for s in attributed(text)] == [("own", "Olivia Marsh"), ("own", "Olivia Marsh")]


def test_a_closed_quotation_gives_its_speaker_to_no_other_paragraph() -> None:
    text = "“The draft is vague, and it ought to be shorter,” said Olivia Marsh.\n\n“It puts sailors at risk.”"
    assert [(s.voice, s.holder) for s in attributed(text)] == [("own", "Olivia Marsh"), ("own", None)]


def test_a_pronoun_stands_for_the_one_person_it_can_mean() -> None:
    text = (
        "Olivia Marsh, spokeswoman of the union, warned that the draft is vague.\n\n"
        "Ports deserve a better text, she wrote, and they deserve it before the winter comes."
    )
    assert holders(text) == ["Olivia Marsh", "Olivia Marsh"]


def test_a_pronoun_that_may_mean_two_persons_stands_for_nobody() -> None:
    text = (
        "Olivia Marsh, spokeswoman of the union, and Ann Reed, spokeswoman of the port, met in Vienna.\n\n"
        "Ports deserve a better text, she wrote."
    )
    assert [(s.voice, s.holder) for s in attributed(text)][-1] == ("reported", None)


def test_what_a_lead_in_introduces_is_the_words_of_whom_it_names() -> None:
    text = (
        "According to the United Ports:\n\n"
        "The new convention is the first of its kind and makes every harbour safer.\n\n"
        "According to the Office on Tides, nothing like it existed before."
    )
    assert [(s.voice, s.holder) for s in attributed(text)] == [
        ("own", "the United Ports"),
        ("reported", "the Office on Tides"),
    ]


STATEMENT = "We call on all members to reject the draft.\n\nIt would harm every sailor. The Harbour League stands ready."


def test_a_statement_in_the_first_person_is_its_publishers_own_voice() -> None:
    found = attributed(STATEMENT, kind="statement", publisher="Harbour League")
    assert {(s.voice, s.holder) for s in found} == {("own", "Harbour League")}


def test_a_publisher_whom_the_text_does_not_name_is_no_holder() -> None:
    assert holders(STATEMENT, kind="statement", publisher="Port Union") == [None] * len(attributed(STATEMENT))


@pytest.mark.parametrize("kind", ["news", None])
def test_the_first_person_of_other_documents_is_their_authors(kind: str | None) -> None:
    assert set(voices(STATEMENT, kind=kind, publisher="Harbour League")) == {"editorial"}


def test_a_statement_document_without_a_first_person_is_not_taken_for_a_speech() -> None:
    assert voices("The ceremony takes place in March.", kind="statement") == ["editorial"]


def test_other_languages_are_left_alone() -> None:
    found = attributed("Le ministre said: «Non».", language="fr")
    assert {(s.voice, s.holder) for s in found} == {(None, None)}


@pytest.mark.parametrize("language", ["en-GB", "EN", "eng", None])
def test_english_is_known_by_its_many_names(language: str | None) -> None:
    assert holders("The Harbour League warned that it is vague.", language=language) == ["The Harbour League"]


def test_statements_keep_their_identity_and_text() -> None:
    text = "The Harbour League warned that it is vague.\n\nThe ceremony takes place in March."
    document = Document(id=document_id("u", text), url="u", text=text, language="en")
    segmentation = segment(document)
    bare = [(s.id, s.start, s.end, s.text, s.before, s.after) for s in segmentation.statements]
    assert [(s.id, s.start, s.end, s.text, s.before, s.after) for s in attribute(segmentation)] == bare


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ('He said "a b" and "c".', ['"a b"', '"c"']),
        ("He said “a ‘b’ c” again.", ["“a ‘b’ c”"]),
        ("Er sagte „a b“ dann.", ["„a b“"]),
        ("It’s the ports’ draft.", []),
        ("‘It’s vague,’ he said.", ["‘It’s vague,’"]),
        ("a ” b » c", []),
        ("“open to the end", ["“open to the end"]),
        ("“one\n\n“two”", ["“one", "“two”"]),
        ('a 6" pipe', []),
    ],
)
def test_quotations_are_found_by_their_marks(text: str, spans: list[str]) -> None:
    found = find_quotations(text, paragraphs(text)).found
    assert [text[q.start : q.end] for q in found] == spans
    assert [q.closed for q in found] == [not span.startswith("“o") for span in spans]


_MARKS = '“”"‘’«»„,.:() ǅİ\n\u2028'
_WORDS = [
    "said",
    "She",
    "it",
    "who",
    "and",
    "the",
    "US",
    "Ann",
    "Bird",
    "Norland",
    "Union",
    "minister",
    "warned",
    "by",
    "states",
]
_PHRASES = [
    "according to",
    "in the view of",
    "’s view",
    "of the",
    "would like",
    "criticised by",
    ", head of the union, ",
    "\n\n",
]
_PIECES = st.sampled_from([*_MARKS, *_WORDS, *_PHRASES])


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES | st.text(max_size=4), max_size=40), st.sampled_from(["news", "statement", None]))
def test_on_any_text_a_holder_is_a_slice_of_it_and_a_voice_one_of_three(pieces: list[str], kind: str | None) -> None:
    text = normalise(" ".join(pieces))
    for statement in attributed(text, kind=kind, title="Ann Bird speaks", publisher="Union"):
        assert statement.holder is None or (statement.holder in text and statement.holder.strip() == statement.holder)
        assert statement.voice in ("own", "reported", "editorial", None)
        assert statement.holder is None or statement.voice in ("own", "reported")


@pytest.mark.parametrize("piece", ['"It fails," she said. ', "“", "Ann, ", "said ", "who ", "according to the view of the "])
def test_a_long_text_of_nothing_but_marks_and_verbs_is_read_to_its_end(piece: str) -> None:
    text = piece * (1_000_000 // 4 // len(piece))
    document = Document(id=document_id("u", text), url="u", text=text, language="en")
    statements = segment(document).statements[:50]  # what the statements are is not in question here
    assert len(attribute(Segmentation(document, statements, (), {}))) == len(statements)


def test_figures_on_the_reference_corpus_stay() -> None:
    """Floors a little below docs/voice.md, on the documents of the coded statements, which are of the development part."""
    reference = load_reference()
    coded = {o["statement"]: o["voice"] for o in map(json.loads, CODED.read_text(encoding="utf-8").splitlines())}
    gold = {g.statement: g.holder for g in reference.gold}
    wanted = {s.document for s in reference.statements if reference.reference_id[s.id] in coded}
    right = both = same = 0
    for document in reference.documents:
        if document.id not in wanted:
            continue
        own = tuple(s for s in reference.statements if s.document == document.id)
        for s in attribute(Segmentation(document, own, (), {})):
            right += coded.get(reference.reference_id[s.id]) == s.voice
            if s.holder is not None and s.holder in s.text and (expected := gold[s.id]) is not None:
                both += 1
                same += s.holder in expected or expected in s.holder
    assert len(coded) == 100
    assert right >= 72
    assert both >= 40
    assert same / both >= 0.85
