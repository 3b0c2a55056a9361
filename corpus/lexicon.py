"""English words that tell names apart: titles and roles, words for bodies, words that are no part of a person's name."""

from __future__ import annotations

from collections.abc import Iterable


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Roles by the family in which one word may stand for another: the ambassador of one sentence is the envoy of the next.
_FAMILIES = {
    "diplomat": "ambassador envoy diplomat delegate representative negotiator consul",
    "jurist": "lawyer attorney counsel jurist solicitor barrister prosecutor judge justice advocate",
    "scholar": "professor academic scholar lecturer researcher scientist expert analyst specialist historian economist"
    " fellow",
    "politician": "minister politician lawmaker mp mep senator deputy congressman congresswoman legislator parliamentarian"
    " councillor chancellor premier president secretary treasurer governor mayor",
    "head": "director chief head executive chair chairman chairwoman chairperson leader founder co-founder manager"
    " officer coordinator commissioner president vice-president secretary secretary-general undersecretary boss ceo",
    "speaker": "spokesman spokeswoman spokesperson",
    "activist": "activist campaigner advocate defender organiser organizer dissident",
    "press": "journalist reporter editor columnist novelist author writer blogger broadcaster",
    "officer": "general colonel major captain lieutenant admiral inspector superintendent",
    "official": "official adviser advisor rapporteur commissioner supervisor member engineer entrepreneur",
}
ROLES: dict[str, frozenset[str]] = {
    role: frozenset(family for family, members in _FAMILIES.items() if role in members.split())
    for role in " ".join(_FAMILIES.values()).split()
}
"""Words for what a person is, with the families that each belongs to."""

TEXTS_OWN = _set(_FAMILIES["press"])
"""Words for whoever wrote the text itself: "the columnist" is seldom a person whom the column names."""

_GENDERS = dict.fromkeys(
    ["mr", "sir", "lord", "chairman", "spokesman", "congressman", "king", "prince", "father", "baron"], "he"
) | dict.fromkeys(
    ["mrs", "ms", "miss", "dame", "lady", "chairwoman", "spokeswoman", "congresswoman", "queen", "princess", "baroness"],
    "she",
)
HONORIFICS = _set(
    "mr sir lord mrs ms miss dame lady dr prof mx baroness baron king queen prince princess sheikh hon excellency rev father"
    " gen col sen rep gov amb st"
)
TITLES = frozenset(ROLES) | HONORIFICS
"""Words that may stand before a person's name."""

BODIES = _set(
    "academy accord agency alliance assembly association authority bank board body bureau cabinet campaign center"
    " centre chamber charity coalition collective college commission committee community company confederation"
    " congress consortium consultancy corporation council court department directorate embassy federation firm forum"
    " foundation fund government group house initiative institut institute institution kingdom league ministry mission"
    " movement network ngo observatory office organisation organization parliament party platform programme project"
    " republic secretariat senate service society syndicate tank team tribunal trust union university watchdog"
)
"""Words for bodies, which are also the last words of their names."""

GENERIC = _set(
    "agency body campaign community company corporation firm group institution movement network ngo organisation"
    " organization service team"
)
"""Words for a body of any name: "the group" need not be the one that has Group in its name."""

IMPERSONAL = BODIES | _set(
    "act affairs agreement article bill charter conference convention crime cyber cybercrime cybersecurity day"
    " declaration digital europe federal foreign global governments human international internet law media member"
    " members national nations news online pact parties police policy press protocol report resolution rights round"
    " security session state states street summit times treaty watch world access"
    # words of countries', cities' and peoples' names
    " new north south east west northern southern eastern western central united latin great saudi papua sri lanka"
    " san costa rica sierra leone hong kong el burkina faso viet equatorial democratic islamic middle american"
    " european african asian russian chinese czech korea zealand arabia islands coast city cabo timor sao kuala buenos"
    " addis phnom dhabi aviv ivory trinidad bosnia"
)
"""Words that no person's name has in it."""

DATES = _set(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august september"
    " october november december"
)
OPENERS = _set(
    "a about above according across add added after again against all also although among an and another any as asked at"
    " because before behind besides between both but by called calls can despite during each earlier either even every few"
    " finally first following for former from given had has have he her here his how however i if in including indeed"
    " instead into is it its last late later like many meanwhile more moreover most much nevertheless no nor not now of"
    " on once one only or other others our over perhaps quoted said says second several she should similarly since so some"
    " speaking still such tell that the their then there these they this those though through throughout thus to today"
    " together told tomorrow under unless unlike until upon was we were what when where whereas whether which while who"
    " why will with within without would writes yes yesterday yet you your"
)
"""Words that begin a sentence, and so have a capital without being a name."""

PARTICLES = _set("al bin bint da de del della den der di dos du ibn la le ten ter van von y")
"""Small words inside persons' names."""

COMPLEMENTS = _set("of for on against")
"""Small words behind which a body's name goes on."""

JOINTS = COMPLEMENTS | _set("and in the to a an with from at by about over into de des")
"""Small words that stand inside longer names and headlines."""


def families(words: Iterable[str]) -> set[str]:
    """Return the families of roles that the words belong to."""
    return {family for word in words for family in ROLES.get(word, ())}


def gender(words: Iterable[str]) -> str | None:
    """Return ``he`` or ``she`` where a title or role among the words says so, and no other contradicts it."""
    found = {_GENDERS[word] for word in words if word in _GENDERS}
    return found.pop() if len(found) == 1 else None
