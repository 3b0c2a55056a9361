"""English words of attribution: verbs of saying and of position, and nouns for those who hold positions."""

from __future__ import annotations

import re

from corpus.lexicon import BODIES, ROLES


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_SAYING = (
    "say tell write warn add argue claim note stress insist declare announce maintain suggest explain observe recall"
    " acknowledge concede admit contend assert conclude caution complain comment remark reply respond emphasise"
    " emphasize underline underscore highlight reiterate reaffirm tweet predict describe call dub allege remind ask urge"
    " demand propose recommend advise request appeal plead mock inform accuse object"
)
_HOLDING = (
    "believe think consider regard deem doubt hope expect fear worry want support back endorse praise welcome applaud"
    " hail greet criticise criticize condemn denounce deplore regret oppose reject defend favour favor advocate promise"
    " pledge vow question see like prefer hold judge agree grant allow reason disclose accept estimate reckon foresee"
    " feel relate wonder report"
)
_IRREGULAR = {
    "say": "says said saying",
    "tell": "tells told telling",
    "write": "writes wrote writing",
    "think": "thinks thought thinking",
    "see": "sees saw seeing",
    "hold": "holds held holding",
    "feel": "feels felt feeling",
    "foresee": "foresees foresaw foreseeing",
    "admit": "admits admitted admitting",
    "regret": "regrets regretted regretting",
    "prefer": "prefers preferred preferring",
    "dub": "dubs dubbed dubbing",
    "agree": "agrees agreed agreeing",
}


def forms(lemmas: str) -> dict[str, str]:
    """Return the forms of verbs, each with its name: ``base``, ``s``, ``past`` or ``ing``."""
    found: dict[str, str] = {}
    for lemma in lemmas.split():
        stem = lemma.removesuffix("e")
        s, past, ing = lemma + ("es" if lemma.endswith(("ch", "sh", "ss")) else "s"), stem + "ed", stem + "ing"
        if lemma.endswith("y"):
            s, past = lemma[:-1] + "ies", lemma[:-1] + "ied"
        if lemma in _IRREGULAR:
            s, past, ing = _IRREGULAR[lemma].split()
        found |= {lemma: "base", s: "s", past: "past", ing: "ing"}
    return found


# "States" and "reports" are nouns more often than not, "pointed" and "found" need what follows them.
VERBS = forms(f"{_SAYING} {_HOLDING}") | {
    "stated": "past",
    "points": "s",
    "pointed": "past",
    "finds": "s",
    "found": "past",
}
"""Verbs whose subject says or holds something, in all their forms."""

SAYS = forms(_SAYING).keys() | _set("stated pointed believes believe believed thinks fears feared hopes finds")
"""Verbs with which one speaks, rather than votes or acts."""

ONLY_BEFORE: dict[str, frozenset[str]] = {
    **dict.fromkeys(("points", "pointed"), _set("out to")),
    **dict.fromkeys(forms("see"), _set("it")),
    **dict.fromkeys(("like", "prefer"), _set("to")),
    **dict.fromkeys((*forms("observe add write"), "finds", "found"), _set("that . in to on")),
    **dict.fromkeys(
        forms("hold judge grant allow reason disclose accept estimate reckon foresee feel relate report"), _set("that .")
    ),
    **dict.fromkeys(forms("agree"), _set(".")),
    **dict.fromkeys(forms("wonder"), _set("whether why how .")),
    **dict.fromkeys(forms("propose"), _set("that to .")),
}
"""Verbs that attribute only before some words, or before punctuation ("."), and mean something else otherwise."""

NEVER_BEFORE = {
    **dict.fromkeys(("call", "calls", "called"), "a"),
    **dict.fromkeys(("said", "expect", "expects", "expected"), "to"),
    **dict.fromkeys(("describe", "describes"), "itself"),
}
"""Verbs with the word before which they attribute nothing: who "called a vote" said nothing of it."""

REPORTING = forms("report")
"""Verbs whose subject reports the position of others."""

PLAIN = {
    verb
    for verb, form in forms("say tell warn argue insist claim contend stress complain caution predict allege").items()
    if form in ("s", "past")
}
"""Verbs that report somebody's words wherever they stand."""

AGENTS = re.compile(r"critici[sz]ed|welcomed|opposed|praised|condemned|rejected|endorsed|denounced|hailed")
"""Participles behind which "by" names a holder."""

VIEWS = _set(
    "view opinion eyes words reading judgement judgment assessment account telling estimation belief mind verdict analysis"
    " hope alarm experience estimate"
)
"""Nouns for what a holder has: "in the Commission's view"."""

BE = _set("is are was were be been being am")
HAVE = _set("has have had")
DO = _set("do does did")
NEGATIONS = _set("not never hardly scarcely")
NO_REPORT = _set("to not never our my we i")
"""Words behind which a plain verb reports nothing."""

ADVERBS = _set(
    "nonetheless nevertheless likewise further therefore thus also then now still already once again even since later too"
    " yesterday today recently openly repeatedly long"
)
NO_ADVERBS = _set("daily weekly monthly family ally assembly")
"""Words that end as adverbs do."""

PREPOSITIONS = _set(
    "of for at from in on against within behind to with by about as into over under between among after before"
)
BORDERS = _set(
    "that as but and while because although though whereas when since so or yet if what however why where how than"
)
"""Words behind which a clause begins."""

CLAUSES = _set("and but while although though whereas so or yet as")
"""Those of them behind which it may report; behind the others it describes something: "what governments want"."""

NUMBERS = _set(
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
    " nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred dozens hundreds"
)
DETERMINERS = NUMBERS | _set(
    "the a an this these those some many several other most both all its his her their our another one few more numerous"
    " various certain"
)
NOBODY = _set("no neither each every any another one those whoever nobody everybody everyone anyone someone nothing")
"""Words with which a subject names nobody."""

VAGUE = _set("his her its their these")
"""Words with which no name begins."""

FIRST = _set("my My our Our")
"""Words with which the text speaks of itself. "US" is none of them."""

PRONOUNS = _set("he she it they")
NOT_IN_NAMES = (
    BE
    | HAVE
    | DO
    | NEGATIONS
    | (BORDERS - {"and", "or"})
    | PRONOUNS
    | _set("will would can could may might must should shall we i you who which whom whose there here to by")
)
"""Words that no name has inside."""

TEXTS = _set(
    "article essay report study paper blog post portal site website newspaper magazine daily weekly outlet guide book"
    " abstract document text brief briefing broadcaster"
)
"""Nouns for texts and outlets, which report positions; whose they are, the words do not tell."""

HEADS = (
    TEXTS
    | BODIES
    | ROLES.keys()
    | _set(
        "critic supporter opponent proponent campaigner signatory delegate delegation participant organizer observer"
        " commentator student senior sceptic skeptic veteran practitioner country state nation leader stakeholder industry"
        " administration presidency bloc voice author commentary letter statement declaration submission communique"
        " business provider vendor bar scholar economist player partner regulator capital mission person man woman authority"
        " chamber lobby correspondent reviewer"
    )
)
"""Nouns for those who hold positions, in the singular."""

COMMON = re.compile(
    r"(?:(?<!^beij)ing|tion|sion|ment|ity|ism|ness|ence|ance|ics|s)$|^(?:everybody|everyone|law|logic|history|data|article)$"
)
"""Words that stand before "suggests" or "says" where a sentence opens, and are no names."""
