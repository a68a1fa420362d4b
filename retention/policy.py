"""A company's policy: which pack binds which calls, with the company's own values. Data only; nothing is decided here.

A policy is a set of rules. A rule binds one pack (its purpose, `config.packs`) to a scope, and may be stricter than the
pack or choose within its limits. One version of a policy is one canonical body of JSON: what is hashed, approved,
exported and kept. It is never edited once somebody has approved it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

from config.iso import country_problem
from config.periods import Period
from retention.consent import ConsentMode
from retention.metadata import Direction
from storage.types import canonical_json

T = TypeVar("T")
FORMAT = "beffroi-policy/1"
DIRECTIONS = ("internal", "inbound", "outbound")
MOST_RULES = 500
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_RATE = re.compile(r"(\d{1,3})(?:\.(\d))?\s*%")


class PolicyError(Exception):
    """What somebody wrote is no policy. `where`: the rule's name, or the key."""

    def __init__(self, where: str, what: str, remedy: str) -> None:
        self.where, self.what, self.remedy = where, what, remedy
        super().__init__(f"{where}: {what}. {remedy}")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which calls. Everything that is set has to hold; nothing set: every call.

    `line`: the call comes by it or is made on its behalf. `account`: that account takes part. `group`: somebody takes
    part who is a member of that line, by whatever line. `country`: of the other party, ISO 3166.
    """

    line: str | None = None
    account: str | None = None
    group: str | None = None
    direction: Direction | None = None
    country: str | None = None

    @property
    def weight(self) -> int:
        """Who counts before where: account, line, group, then country, then direction. A larger one is more narrow."""
        named = (self.account, self.line, self.group, self.country, self.direction)
        return sum(weight for weight, value in zip((16, 8, 4, 2, 1), named, strict=True) if value is not None)

    def holds(self, other: Scope) -> bool:
        """Whether every call of `other` is one of this scope, as far as the two say it themselves."""
        return all(getattr(self, key) in (None, getattr(other, key)) for key in SCOPE_KEYS)


SCOPE_KEYS = ("line", "account", "group", "direction", "country")


@dataclass(frozen=True, slots=True)
class Rule:
    """One pack for one scope. What is None is as the pack says it.

    `consent`, `refuse_silence`, `ask_staff`: only ever stricter. `per_mille`: share of the calls that is recorded, and
    `window` over which that is counted, for packs that are sampled. `statute`: the text that imposes recording.
    """

    name: str
    pack: str
    scope: Scope = Scope()
    retention: Period | None = None
    consent: ConsentMode | None = None
    refuse_silence: bool = False
    ask_staff: bool = False
    per_mille: int | None = None
    window: Period | None = None
    statute: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """One version. `author`: person's id, or what the ledger calls whoever wrote it. `valid_from` None: no date yet;
    with `at_approval` it is the moment of the last approval."""

    number: int
    author: str
    created_at: datetime
    rules: tuple[Rule, ...] = ()
    valid_from: datetime | None = None
    at_approval: bool = False

    def rule(self, name: str) -> Rule | None:
        return next((rule for rule in self.rules if rule.name == name), None)


# --- as JSON ----------------------------------------------------------------------------------------------------


def body(policy: Policy) -> bytes:
    """The canonical bytes of a version: the same for the same policy, whatever the order in which it was written."""
    return canonical_json(
        {
            "format": FORMAT,
            "number": policy.number,
            "author": policy.author,
            "created_at": policy.created_at.astimezone(UTC).isoformat(),
            "valid_from": _valid_from(policy),
            "rules": [plain_rule(rule) for rule in sorted(policy.rules, key=lambda rule: rule.name)],
        }
    )


def sha256(content: bytes) -> str:
    """Of a body: what an approval is about. 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def _valid_from(policy: Policy) -> str | None:
    if policy.at_approval:
        return "approval"
    return policy.valid_from.astimezone(UTC).isoformat() if policy.valid_from is not None else None


def plain_rule(rule: Rule) -> dict[str, Any]:
    """Only what is said: keys that are as the pack has them are left out."""
    said: dict[str, Any] = {key: getattr(rule.scope, key) for key in SCOPE_KEYS}
    said |= {
        "name": rule.name,
        "pack": rule.pack,
        "retention": str(rule.retention) if rule.retention is not None else None,
        "consent": str(rule.consent) if rule.consent is not None else None,
        "silence": "do_not_record" if rule.refuse_silence else None,
        "ask_staff": rule.ask_staff or None,
        "per_mille": rule.per_mille,
        "window": str(rule.window) if rule.window is not None else None,
        "statute": rule.statute or None,
    }
    return {key: value for key, value in said.items() if value is not None}


def decode(content: bytes) -> Policy:
    """A version out of its bytes. Raises PolicyError."""
    try:
        said = json.loads(content)
    except ValueError:
        raise PolicyError("body", "is no JSON", "Restore it from a backup") from None
    if not isinstance(said, dict):
        raise PolicyError("body", "is no object", "Restore it from a backup")
    return read(said)


def read(said: Mapping[str, Any]) -> Policy:
    """A version out of its body. Raises PolicyError."""
    if said.get("format") != FORMAT:
        raise PolicyError("format", "this is no policy", f"It begins with format {FORMAT}")
    known = {"format", "number", "author", "created_at", "valid_from", "rules"}
    if strange := sorted(said.keys() - known):
        raise PolicyError(str(strange[0]), "is no key of a policy", f"Its keys are {', '.join(sorted(known))}")
    valid_from = said.get("valid_from")
    at_approval = valid_from == "approval"
    return Policy(
        number=_whole("number", said.get("number"), 1, 10**6),
        author=str(said.get("author", "")),
        created_at=moment("created_at", said.get("created_at")),
        rules=read_rules(said.get("rules", ())),
        valid_from=None if valid_from is None or at_approval else moment("valid_from", valid_from),
        at_approval=at_approval,
    )


def read_rules(said: Sequence[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """By name. Raises PolicyError."""
    if not isinstance(said, list | tuple) or len(said) > MOST_RULES:
        raise PolicyError("rules", f"are not a list of at most {MOST_RULES}", "Write each as an object")
    rules = tuple(sorted((read_rule(one) for one in said), key=lambda rule: rule.name))
    for one, two in zip(rules, rules[1:], strict=False):
        if one.name == two.name:
            raise PolicyError(one.name, "two rules have this name", "Give each a name of its own")
    return rules


def read_rule(said: Mapping[str, Any]) -> Rule:
    """Shapes only: whether the values are allowed is `retention.policy_check`'s affair. Raises PolicyError."""
    if not isinstance(said, Mapping):
        raise PolicyError("rules", "one of them is no object", "Write name, pack and what else it says")
    name = said.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PolicyError("name", f"{name!r} is no name of a rule", "Write small letters, digits, dots, dashes")
    if strange := sorted(said.keys() - _KEYS):
        raise PolicyError(name, f"{strange[0]} is no key of a rule", f"Its keys are {', '.join(sorted(_KEYS))}")
    if not isinstance(said.get("pack"), str):
        raise PolicyError(name, "names no pack", "Such as REC_QUALITY or CDR_STANDARD")
    texts = {key: said.get(key) for key in SCOPE_KEYS}
    if any(value is not None and not isinstance(value, str) for value in texts.values()):
        raise PolicyError(name, "its scope is not made of names", f"Give {', '.join(SCOPE_KEYS)} as texts")
    if texts["direction"] is not None and texts["direction"] not in DIRECTIONS:
        raise PolicyError(name, f"direction {texts['direction']!r}", f"Choose one of {', '.join(DIRECTIONS)}")
    if texts["country"] is not None and (remedy := country_problem(texts["country"])):
        raise PolicyError(name, f"country {texts['country']!r}", remedy)
    if said.get("silence") not in (None, "do_not_record"):
        raise PolicyError(name, "silence may only be do_not_record", "Leave it out for what pack and country say")
    return Rule(
        name=name,
        pack=str(said["pack"]),
        scope=Scope(**cast(dict[str, Any], texts)),
        retention=_parsed(name, "retention", said, Period.parse),
        consent=_parsed(name, "consent", said, ConsentMode.parse),
        refuse_silence=said.get("silence") == "do_not_record",
        ask_staff=said.get("ask_staff") is True,
        per_mille=None if said.get("per_mille") is None else _whole(name, said["per_mille"], 0, 1000),
        window=_parsed(name, "window", said, Period.parse),
        statute=str(said.get("statute", "")).strip(),
    )


_KEYS = frozenset(
    {"name", "pack", *SCOPE_KEYS, "retention", "consent", "silence", "ask_staff", "per_mille", "window", "statute"}
)


def rate(text: str) -> int:
    """A share as people write it, `3%` or `2.5 %`, in thousandths. Raises PolicyError."""
    found = _RATE.fullmatch(text.strip())
    value = int(found[1]) * 10 + int(found[2] or 0) if found else -1
    if not 0 <= value <= 1000:
        raise PolicyError("rate", f"{text!r} is no share", "Write it as 3% or 2.5%")
    return value


def share(per_mille: int) -> str:
    """`3 %`, `2.5 %`."""
    whole, tenth = divmod(per_mille, 10)
    return f"{whole}.{tenth} %" if tenth else f"{whole} %"


def moment(where: str, text: object) -> datetime:
    """A moment with its zone; a day is its beginning in UTC. Raises PolicyError."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        raise PolicyError(where, f"{text!r} is no date", "Write 2027-01-01, or 2027-01-01T08:00+01:00") from None
    if found.tzinfo is None and len(str(text)) > len("2027-01-01"):
        raise PolicyError(where, f"{text!r} has no zone", "Write it as 2027-01-01T08:00+01:00")
    return found.replace(tzinfo=found.tzinfo or UTC).astimezone(UTC)


def _parsed(name: str, key: str, said: Mapping[str, Any], parse: Callable[[str], T]) -> T | None:
    if said.get(key) is None:
        return None
    try:
        return parse(said[key])
    except (ValueError, TypeError, AttributeError) as error:
        raise PolicyError(name, f"{key}: {error}", "Correct it") from None


def _whole(where: str, value: object, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise PolicyError(where, f"{value!r} is no whole number from {least} to {most}", "Correct it")
    return value
