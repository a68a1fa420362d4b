"""Does somebody who answers a text want no more of them? In any usual words (promise L17; CPCE L34-5).

Three kinds of answers: yes, with how far it reaches; no; and doubt, which is for a person, with no marketing until
then. A yes is a clause of nothing but the words of stop, or a pattern that names what is to end. All words are data
(config/data/sms_words.toml); here is the order in which they count, and every verdict names what it rests on.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from config import sms_words
from config.sms_words import StopWords
from sms.words import folding


class Kind(enum.StrEnum):
    STOP = "stop"
    START = "start"  # wants them again
    HELP = "help"  # asks who writes
    AMBIGUOUS = "ambiguous"  # for a person; no marketing until then
    NONE = "none"


class Scope(enum.StrEnum):
    """How far a stop reaches, the widest last."""

    TEXTS = "texts"
    CALLS = "calls"  # calls and texts
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`scope`: of a stop. `erase`: it also asks for erasure, which a person looks at. `rule`: what it rests on."""

    kind: Kind
    rule: str = ""
    scope: Scope | None = None
    erase: bool = False


# What our own texts end with; whoever forwards one, or asks about it, quotes it.
_MENTION = re.compile(
    r"\b(?:(?:repondez|reply|envoyez|send|text|txt) )?stop(?: (?:sms|pub))? (?:(?:au|a|to|at|an|al|naar) )?[0-9]{4,6}\b"
    r"(?: (?:to|pour) (?:opt out|unsubscribe|end|stop|ne plus recevoir|se desabonner|vous desabonner)(?: \w+)?)?"
    r"|\b(?:reply|repondez|text|send|antworten sie|responda|rispondi|antwoord) stop (?:to|pour|zum|para|per|om)"
    r"(?: te)? \w+(?: (?:out|plus recevoir|de baja|desabonner))?"
)
_SIGNATURE = re.compile(
    r"(?<=\S)\s*(?:\n|\b)(?:envoye de(?:puis)? mon|sent from my|cordialement|cdlt|bien a vous|(?:best |kind )?regards|"
    r"sinceres salutations|mit freundlichen)\b.*",
    re.DOTALL,
)
_NUMBER = re.compile(r"\b[0-9]+\b")
_QUESTION = re.compile(r"\?|\b(?:si|if|est ce que|pourquoi|why|quoi)\b")
_ENDS_WITH_STOP = re.compile(r"(?:^|(?P<before>\w+) )stop$")
_BEGINS_WITH_STOP = re.compile(
    r"(?:stop|arretez|arrete|cessez)(?: (?:svp|merci|please|pls|stp))* "
    r"(?:je|j|i|im|et|and|vous|you|ne|c|ca|sinon|or i|ou je|nom|prenom|car|because|pas|sans|jai|this is|it s)\b"
)
_BY_TEXT = re.compile(r"contact\w* (?:plus |jamais |me )*(?:par|via|by) (?:sms|textos?|texts?|messages?)\b")
_NO_END = frozenset(
    ["bus", "pit", "next", "last", "the", "a", "this", "un", "le", "au", "du", "ce", "mon", "ma", "my", "quoi", "ecrit"]
    + [
        "second",
        "third",
        "which",
        "what",
        "quel",
        "your",
        "mot",
        "word",
        "panneau",
        "feu",
        "fais",
        "faire",
        "fait",
        "ou",
        "or",
    ]
)


def read(text: str) -> Verdict:
    """What the text asks. Whatever it holds, an answer comes, and in time that grows with its length alone."""
    known = sms_words.load()
    folded = _SIGNATURE.sub("", folding.folded(text))
    return _whole(folded, known) or _quoted(folded, known) or _within(folded, known) or Verdict(Kind.NONE)


def _whole(folded: str, known: StopWords) -> Verdict | None:
    """The text has nothing else, politeness apart."""
    if folding.words(folded) == "non stop":
        return Verdict(Kind.NONE if "-" in folded else Kind.AMBIGUOUS, "non stop")
    bare = _without(folding.words(folded), known)
    if verdict := _only_stop(bare, known, "alone"):
        return verdict
    spaceless = folding.words(folded).replace(" ", "")
    if len(spaceless) <= 12 and (spaceless in known.alone or spaceless in ("stopsvp", "stopmerci", "unsubscribeme")):
        return Verdict(Kind.STOP, "alone:spaced", Scope.TEXTS)
    asked = [word for word in bare if word not in known.with_]
    if asked and set(asked) <= known.start:
        return Verdict(Kind.START, "start")
    if bare and set(bare) <= known.help_:
        return Verdict(Kind.HELP, "help")
    return None


def _quoted(folded: str, known: StopWords) -> Verdict | None:
    """Our own mention, with more around it: forwarded, or asked about. What remains is read by itself."""
    flat = folding.words(folded)
    rest = _MENTION.sub(" ", flat)
    if rest == flat or not _without(" ".join(rest.split()), known):
        return None
    verdict = _within(" ".join(rest.split()), known)
    return verdict if verdict and verdict.kind is Kind.STOP else Verdict(Kind.AMBIGUOUS, "quotes the mention")


def _within(folded: str, known: StopWords) -> Verdict | None:
    flat = folding.words(folded)
    parts = folding.clauses(folded)
    for rule in known.firm:
        if rule.pattern.search(flat):
            return _widest(rule, (flat, *parts), known)
    cleared = [" ".join(known.elsewhere.sub(" ~ ", part).split()) for part in parts]
    whole = " ".join(known.elsewhere.sub(" ~ ", flat).split())
    begun = [rest for part in cleared if (rest := _begun(part, known))]
    looked_at = (*begun, _begun(whole, known)) if len(begun) > 1 else tuple(begun)
    business = known.matters & set(flat.split())
    for rule in known.patterns:
        if any(map(rule.pattern.search, looked_at)):
            if business and not known.texts.search(flat):
                return Verdict(Kind.AMBIGUOUS, f"{rule.id}, and a matter of business")
            return _widest(rule, looked_at, known)
    if verdict := _clause(folded, cleared, known):
        return Verdict(Kind.AMBIGUOUS, f"{verdict.rule}, and a matter of business") if business else verdict
    if any(map(known.help_patterns.search, (flat, *parts))):
        return Verdict(Kind.HELP, "help")
    if any(map(known.doubtful.search, looked_at)):
        return Verdict(Kind.AMBIGUOUS, "doubtful")
    return None


def _clause(folded: str, clauses: list[str], known: StopWords) -> Verdict | None:
    """A clause that is a stop by itself, or begins or ends with one."""
    question = _QUESTION.search(folded) is not None
    for clause in clauses:
        if verdict := _only_stop(_without(clause, known), known, "clause"):
            if len(clauses) == 1 or not question or clause == clauses[0] and "stop" in clause.split():
                return verdict
            return None
        if _BEGINS_WITH_STOP.match(clause):
            return Verdict(Kind.STOP, "begins", Scope.TEXTS)
        bare = " ".join(_without(clause, known))
        end = _ENDS_WITH_STOP.search(bare)
        if end and not question and "~" not in bare and end["before"] not in _NO_END:
            return Verdict(Kind.STOP, "ends", Scope.TEXTS)
    return None


def _only_stop(bare: list[str], known: StopWords, rule: str) -> Verdict | None:
    """Nothing but words of stop and those that go with them."""
    stops = []
    for word in bare:
        if word in known.alone or (word not in known.with_ and _slip(word, known)):
            stops.append(word)
        elif word not in known.with_:
            return None
    if not stops:
        return None
    found = set(bare)
    scope = Scope.TEXTS
    if found & known.calls:
        scope = Scope.CALLS
    if found & known.everything:
        scope = Scope.EVERYTHING
    return Verdict(Kind.STOP, f"{rule}:{stops[0] if stops[0] in known.alone else 'slip'}", scope)


def _slip(word: str, known: StopWords) -> bool:
    return len(word) >= 3 and word not in known.not_near and any(folding.near(word, each) for each in known.near)


def _begun(clause: str, known: StopWords) -> str:
    """From the first word that is not politeness."""
    found = clause.split()
    while found and len(found[0]) > 1 and found[0] in known.polite and found[0] not in known.alone:
        del found[0]
    return " ".join(found)


def _without(flat: str, known: StopWords) -> list[str]:
    """Politeness and numbers taken away."""
    flat = _NUMBER.sub(" ", flat).replace("tout de suite", " ")
    return [word for word in flat.split() if word not in known.polite or word in known.alone]


def _widest(rule: sms_words.Pattern, looked_at: tuple[str, ...], known: StopWords) -> Verdict:
    """The rule that was found, and how far all that match reach; by text alone where that is said."""
    matching = [each for each in known.patterns if any(map(each.pattern.search, looked_at))]
    scopes = list(Scope)
    scope = max((Scope(each.scope) for each in (rule, *matching)), key=scopes.index)
    if scope is Scope.EVERYTHING and any(map(_BY_TEXT.search, looked_at)):
        scope = Scope.TEXTS
    return Verdict(Kind.STOP, rule.id, scope, any(each.erase for each in matching))
