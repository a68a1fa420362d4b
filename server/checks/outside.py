"""The way out: trunks, emergency calls, numbers and what calls cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config import rates
from config.paths import Paths
from config.settings import Settings
from config.shipped import DataError
from server.checks.finding import Finding, note, ok, wrong
from server.client import Asking, ask
from server.failure import Failure
from sip.calls.trunk_choice import emergency_way

Trunk = Mapping[str, Any]
DRILL_DAYS = 365
_DOWN = ("not registered", "does not answer")


def examine(data: Path, settings: Settings) -> Iterator[Finding]:
    """Changes nothing; asks the daemon, or the database where none runs."""
    try:
        trunks: list[dict[str, Any]] = ask(Asking(data), "trunk.list")
        numbers: list[dict[str, Any]] = ask(Asking(data), "number.list")
    except Failure:  # the database's own finding says so
        return
    yield _emergency(settings.emergency.trunks, trunks)
    if settings.emergency.drill:
        yield wrong("emergency drill", "EVERY EMERGENCY CALL IS ONLY PLAYED: emergency.drill is set",
                    "Take it out once the exercise is over, then type: beffroi reload")  # fmt: skip
    if not trunks:
        return
    yield from _readiness(data, settings)
    yield from _trunks(trunks)
    if not numbers:
        yield note("numbers", "no number of ours leads anywhere: calls from outside reach nobody",
                   "Type: beffroi number add +NUMBER --line NAME, or --account NAME")  # fmt: skip
    yield _rates(Paths(data))


def _emergency(named: Sequence[str], trunks: Sequence[Trunk]) -> Finding:
    """Can somebody who dials for help be heard by anybody?"""
    way, names = emergency_way([(one["name"], one["enabled"], one["state"] not in _DOWN) for one in trunks], named)
    match way:
        case "none":
            return note("emergency", "NO EMERGENCY CALL LEAVES THIS HOUSE: there is no trunk",
                        "Keep another telephone at hand until there is one: beffroi trunk add")  # fmt: skip
        case "strange":
            return wrong("emergency", f"emergency.trunks names {', '.join(names)}: there is no such trunk in use",
                         "Correct emergency.trunks, or type: beffroi trunk enable NAME")  # fmt: skip
        case "disabled":
            return wrong("emergency", "NO EMERGENCY CALL LEAVES THIS HOUSE: every trunk is disabled",
                         "Type: beffroi trunk enable NAME")  # fmt: skip
        case "down" | "unknown":
            return wrong("emergency", "NO EMERGENCY CALL LEAVES THIS HOUSE NOW: no trunk for it is up",
                         f"Type: beffroi trunk test {names[0]}; keep another telephone at hand")  # fmt: skip
        case "any":
            return note("emergency", "no trunk is named for emergency calls: they leave by any, the preferred first",
                        "Name those whose provider routes them, in order: emergency.trunks")  # fmt: skip
        case "named":
            return ok("emergency", f"calls leave by {', then '.join(names)}")


def _readiness(data: Path, settings: Settings) -> Iterator[Finding]:
    """Who hears of an emergency call, and when it was last tried."""
    try:
        checked: list[dict[str, Any]] = ask(Asking(data), "emergency.check")
    except Failure:
        return
    named, told = settings.emergency.notify, checked[0]["told"] if checked else []
    if checked and (strange := [name for name in named if name not in told]):
        yield wrong("emergency report", f"emergency.notify names {', '.join(strange)}: there is no such account",
                    "Correct emergency.notify")  # fmt: skip
    elif not named:
        yield note("emergency report", "nobody in the house is told of an emergency call",
                   "Name the accounts that are to get a message: emergency.notify")  # fmt: skip
    if mute := [one["account"] for one in checked if not one["presented"]]:
        yield note("emergency call-back", f"no number is presented for {', '.join(mute[:3])}: nobody can call back",
                   "Type: beffroi trunk set NAME --main-number +NUMBER")  # fmt: skip
    drills = [datetime.fromisoformat(one["last_drill"]) for one in checked if one["last_drill"]]
    if not drills or (datetime.now(UTC) - max(drills)).days > DRILL_DAYS:
        yield note("emergency exercise", "no drill within a year",
                   "Dial * and the emergency number, or type: beffroi emergency drill NAME")  # fmt: skip


def _trunks(trunks: Sequence[Trunk]) -> Iterator[Finding]:
    for one in trunks:
        name, state = one["name"], one["state"]
        if state in _DOWN:
            yield wrong("trunks", f"{name} is down: {state}", f"Type: beffroi trunk test {name}")
        elif one["warning"]:
            remedy = f"Ask the provider, then type: beffroi trunk set {name} --transport tls --srtp"
            yield note("trunks", f"{name}: {one['warning']}", remedy)
        else:
            yield ok("trunks", f"{name}: {state or 'not asked, the daemon does not run'}")


def _rates(paths: Paths) -> Finding:
    own = paths.rates
    try:
        found = rates.load(own)
    except DataError as error:
        return wrong("rates", str(error), "Correct the file, or take it away: then the shipped examples count")
    if found.examples:
        return note("rates", "calls are reckoned by shipped examples: limits of money are no more than a guess",
                    f"Enter your provider's prices in {own}")  # fmt: skip
    return ok("rates", "entered")
