"""Whom the law lets be contacted for canvassing, and when (data/contact_rules.toml), checked when it is read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, TypeVar

from config.contact_kinds import (
    ANYWHERE,
    CHANNELS,
    TARGETS,
    AttemptsRule,
    CallerRule,
    ConsentRule,
    HoursProfile,
    HoursRule,
    RefusalRule,
    Rule,
    read_rule,
)
from config.contact_places import Place, places
from config.packs import LANGUAGES
from config.shipped import DataError, check_keys, read

_R = TypeVar("_R", bound=Rule)
_A = TypeVar("_A")
_MOST_ANSWERS = 20_000


@dataclass(frozen=True, slots=True)
class ContactRules:
    """Everything in the file."""

    version: str
    sectors: Mapping[str, Mapping[str, str]]  # id -> language -> words
    rules: tuple[Rule, ...]
    places: tuple[Place, ...]
    # Answers that these rules have led to: a campaign asks the same a hundred thousand times.
    _found: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def every(self, kind: type[_R], country: str | None, channel: str, target: str, sector: str,
              on: date) -> tuple[_R, ...]:  # fmt: skip
        """All rules of a kind that hold on that day: the country's where it has any, else those for anywhere. Newest
        first. `country` None: where it is not known."""

        def look() -> tuple[_R, ...]:
            found = [
                r for r in self.rules if isinstance(r, kind) and r.concerns(channel, target, sector) and r.in_force(on)
            ]
            own = [r for r in found if country is not None and country in r.countries]
            chosen = own or [r for r in found if ANYWHERE in r.countries]
            return tuple(sorted(chosen, key=lambda rule: rule.valid_from, reverse=True))

        return self.remembered((kind, country, channel, target, sector, on), look)

    def one(self, kind: type[_R], country: str | None, channel: str, target: str, sector: str, on: date) -> _R:
        """The newest of `every`. Raises LookupError where none holds (before the first was in force)."""
        found = self.every(kind, country, channel, target, sector, on)
        if not found:
            raise LookupError(f"no {kind.__name__} was in force on {on}")
        return found[0]

    def profile(self, name: str, country: str | None, channel: str, target: str, sector: str,
                on: date) -> HoursProfile | None:  # fmt: skip
        """The hours that a company has bound itself to there, the newest of that name; None: there are none."""
        return next(
            (p for p in self.every(HoursProfile, country, channel, target, sector, on) if p.profile == name), None
        )

    def profiles(self, channel: str) -> tuple[str, ...]:
        """Names that there are."""
        return tuple(sorted({r.profile for r in self.rules if isinstance(r, HoursProfile) and channel in r.channels}))

    def changes(self, after: date) -> tuple[date, ...]:
        """Days later than `after` on which some rule begins or no longer holds."""
        begin = {rule.valid_from for rule in self.rules}
        end = {date.fromordinal(rule.valid_to.toordinal() + 1) for rule in self.rules if rule.valid_to is not None}
        return tuple(sorted(day for day in begin | end if day > after))

    def remembered(self, asked: Hashable, look: Callable[[], _A]) -> _A:
        """What `look` says, looked up once. `asked` has to name everything but the rules that the answer depends on."""
        if asked not in self._found:
            if len(self._found) >= _MOST_ANSWERS:
                self._found.clear()
            self._found[asked] = look()
        answer: _A = self._found[asked]
        return answer


@functools.cache
def load() -> ContactRules:
    """The shipped rules. Raises DataError."""
    return build(read("contact_rules.toml"))


def build(data: Mapping[str, Any]) -> ContactRules:
    """Check the file's content. Raises DataError."""
    check_keys("contact_rules", data, {"version", "checked", "sectors", "rule", "place"}, ())
    for name, words in data["sectors"].items():
        check_keys(f"contact_rules.sectors.{name}", words, LANGUAGES, ())
    rules = tuple(read_rule(entry, data["sectors"]) for entry in data["rule"])
    if len({rule.id for rule in rules}) != len(rules):
        raise DataError("contact_rules: an id stands twice")
    for kind in (ConsentRule, RefusalRule, HoursRule, AttemptsRule, CallerRule):
        _somewhere_else(kind, rules)
    return ContactRules(data["version"], data["sectors"], rules, places(data["place"]))


def _somewhere_else(kind: type[Rule], rules: Sequence[Rule]) -> None:
    """Where a country says nothing, something has to hold."""
    fallbacks = [rule for rule in rules if isinstance(rule, kind) and ANYWHERE in rule.countries]
    for rule in fallbacks:
        if isinstance(rule, ConsentRule) and (not rule.opt_in or rule.contract):
            raise DataError(f"contact_rules.{rule.id}: where no rule is known, consent alone is enough")
    covered = {(c, t) for rule in fallbacks if not rule.sectors for c in rule.channels for t in rule.targets}
    if covered != {(c, t) for c in CHANNELS for t in TARGETS}:
        raise DataError(f"contact_rules: no {kind.__name__} for anywhere")
