"""The controls of the form in Label Studio: their names, which answers carry, and the keys of what can be chosen there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, get_args

from annotation.campaign import Cause
from annotation.codebook import Codebook
from corpus.errors import CodebookError
from corpus.records import VOICES

STANCE, CONCERNS, HOLDER, HOLDER_TYPE, UNJUDGED, COMMENT = (
    "stance", "concerns", "holder", "holder_type", "cannot_judge", "comment",
)  # fmt: skip
HOLDER_WORDS, VOICE, CAUSE = "holder_words", "voice", "cause"
CAUSES: tuple[str, ...] = get_args(Cause)

Answers: TypeAlias = Sequence[tuple[str, str, str]]
"""Id, name and definition of each answer to a question."""

VOICE_ANSWERS: Answers = [
    (VOICES[0], "Holder's own words", "Quoted, or written by the holder itself."),
    (VOICES[1], "Report of them", "What the holder says or wants, told in somebody else's words."),
    (VOICES[2], "Writer's account", "News without a speaker, background, procedure: the text's own voice."),
]
CAUSE_ANSWERS: Answers = [
    (CAUSES[0], "Ambiguous text", "The words permit more than one of these readings."),
    (CAUSES[1], "Gap in the codebook", "The codebook does not say, or says two things."),
    (CAUSES[2], "Slip", "The codebook is plain; somebody misread it or pressed a wrong key."),
]
# Keys that are easy to remember, taken where the codebook leaves them free.
_WISHED = {
    HOLDER: "h", HOLDER_WORDS: "n", HOLDER_TYPE: "567890", VOICE: "jkl", UNJUDGED: "b", COMMENT: "m", CAUSE: "iop",
}  # fmt: skip
# Keys for the rest: first those a right hand reaches without moving, then with shift.
_POOL = [prefix + key for prefix in ("", "shift+") for key in "hyiopjklbnm567890123qwertasdfgzxcv4"]
# Label Studio 1.23 listens to these while a text is coded: unselect, undo, redo, duplicate, hide, relation, lock, note.
_RESERVED = frozenset(
    frozenset(key.split("+"))
    for key in ["u", "ctrl+z", "ctrl+shift+z", "ctrl+d", "ctrl+h", "alt+h", "alt+r", "alt+l", "alt+m", "ctrl+shift+a"]
)


def hotkeys(codebook: Codebook) -> dict[tuple[str, str], str]:
    """Return the key of every answer, by control and id: the codebook's own, and free ones for the rest.

    The keys of ``HOLDER_WORDS`` and ``COMMENT`` lead to the two text fields; those of ``CAUSE`` are for adjudicators, whose
    other keys are thereby the coders'.

    Raises:
        CodebookError: when a label's key is one that Label Studio keeps for itself, or when no key is left.
    """
    given = {(STANCE, s.id): s.hotkey for s in codebook.stances}
    given |= {(CONCERNS, c.id): c.hotkey for c in codebook.concerns}
    given |= {(control, control): None for control in (HOLDER, HOLDER_WORDS)}
    given |= {(HOLDER_TYPE, t): None for t in codebook.holder_type_ids}
    given |= {(VOICE, v): None for v in VOICES}
    given |= {(control, control): None for control in (UNJUDGED, COMMENT)}
    given |= {(CAUSE, c): None for c in CAUSES}
    taken: dict[frozenset[str], str] = {}
    for (control, label), key in given.items():
        if key is None:
            continue
        owner = "Label Studio itself" if _combination(key) in _RESERVED else taken.get(_combination(key))
        if owner is not None:
            raise CodebookError(
                f"codebook {codebook.name}: hotkey {key!r} of {control} {label!r} belongs to {owner}; give it another key"
            )
        taken[_combination(key)] = f"{control} {label!r}"
    keys: dict[tuple[str, str], str] = {answer: key for answer, key in given.items() if key is not None}
    # Wishes first, all of them: else an answer without a wish would take a key that a later one is known by.
    for pool in (lambda control: _WISHED.get(control, ""), lambda _: _POOL):
        for answer in given:
            found = next((k for k in pool(answer[0]) if _combination(k) not in taken), None)
            if answer not in keys and found is not None:
                keys[answer] = found
                taken[_combination(found)] = answer[1]
    if len(keys) < len(given):
        raise CodebookError(
            f"codebook {codebook.name}: {len(given)} answers need more keys than there are; use fewer labels"
        )
    return {answer: keys[answer] for answer in given}


def _combination(key: str) -> frozenset[str]:
    """A key with its modifiers, in whatever order they are written."""
    return frozenset(key.split("+"))
