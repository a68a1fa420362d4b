"""What each country asks for before a call is recorded (data/recording_countries.toml, data/us_states.toml)."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from config.iso import COUNTRIES
from config.shipped import DataError, check_keys, one_of, read

MODES = ("none", "announce", "opt-out", "opt-in", "forbidden")
Silence = Literal["record", "do_not_record"]
_SILENCE: dict[str, Silence] = {"record_after_prompt": "record", "do_not_record": "do_not_record"}


@dataclass(frozen=True, slots=True)
class CountryRule:
    """The least that is asked in one country. `key` tells which row was applied: FR, US-CA, US-?, unknown."""

    key: str
    mode: str
    silence: Silence
    basis: str
    note: str
    confidence: str
    sources: tuple[str, ...]
    version: str


@dataclass(frozen=True, slots=True)
class CountryRules:
    """All rows. Look up with `for_party`."""

    version: str
    unknown: CountryRule
    countries: Mapping[str, CountryRule]
    us_all_party: frozenset[str]

    def for_party(self, country: str | None, us_state: str | None = None) -> CountryRule:
        """The rule for somebody in `country`; whatever is not known counts as unknown (opt-in)."""
        rule = self.countries.get(country or "")
        if rule is None:
            return self.unknown
        if country != "US":
            return rule
        if us_state is None or us_state in self.us_all_party or us_state not in US_STATES:
            key = f"US-{us_state or '?'}"
            why = "all parties must agree" if us_state in self.us_all_party else "State not known"
            return CountryRule(key, self.unknown.mode, self.unknown.silence, why, "", rule.confidence,
                               rule.sources, rule.version)  # fmt: skip
        return rule


US_STATES = frozenset(
    (  # noqa: SIM905 - fifty quoted words read worse
        "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC "
        "ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY"
    ).split()
)


@functools.cache
def load() -> CountryRules:
    """The shipped rules, checked. Raises DataError."""
    return build(read("recording_countries.toml"), read("us_states.toml"))


def build(countries: Mapping[str, Any], states: Mapping[str, Any]) -> CountryRules:
    """Check the two files' content and make the rules of it. Raises DataError."""
    check_keys("recording_countries", countries, {"version", "checked", "unknown", "countries"}, ())
    check_keys("us_states", states, {"version", "checked", "all_party", "mixed", "confidence", "sources"}, ())
    version = countries["version"]
    all_party = frozenset(states["all_party"]) | frozenset(states["mixed"])
    if strange := all_party - US_STATES:
        raise DataError(f"us_states: no such State {', '.join(sorted(strange))}")
    if strange := countries["countries"].keys() - COUNTRIES:
        raise DataError(f"recording_countries: no such country {', '.join(sorted(strange))}")
    unknown = _rule("unknown", {"basis": "not known where", "confidence": "D", **countries["unknown"]}, version)
    if unknown.mode not in {"opt-in", "forbidden"}:
        raise DataError("recording_countries.unknown: must ask (opt-in)")
    rules = {code: _rule(code, entry, version) for code, entry in countries["countries"].items()}
    return CountryRules(version, unknown, rules, all_party)


def _rule(key: str, entry: Mapping[str, Any], version: str) -> CountryRule:
    where = f"recording_countries.{key}"
    check_keys(where, entry, {"mode", "no_answer", "basis", "confidence"}, {"note", "sources"})
    mode = one_of(where, entry["mode"], MODES)
    silence = _SILENCE[one_of(where, entry["no_answer"], _SILENCE)]
    if mode == "opt-in" and silence != "do_not_record":
        raise DataError(f"{where}: silence is no opt-in (GDPR Art. 4(11), recital 32)")
    one_of(where, entry["confidence"], {"V1", "V2", "K", "D"})
    return CountryRule(key, mode, silence, entry["basis"], entry.get("note", ""), entry["confidence"],
                       tuple(entry.get("sources", ())), version)  # fmt: skip
