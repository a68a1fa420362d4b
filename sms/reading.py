"""What a text that came in says, as far as it concerns us before anybody reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sms.words import replies, stop
from sms.words.replies import Category
from sms.words.stop import Scope

Stop = Literal["stop", "start", "help", "ambiguous", "none"]
Request = Literal["rectification", "erasure", "rights"]


@dataclass(frozen=True, slots=True)
class Reading:
    """`calls_too`: they want no calls either. `aside`: why it is set aside, or "". `machine`: no person wrote it."""

    stop: Stop = "none"
    calls_too: bool = False
    aside: str = ""
    requests: tuple[Request, ...] = ()
    machine: bool = False
    rule: str = ""


Read = Callable[[str], Reading]


def read(text: str) -> Reading:
    """All that is known of it without anybody reading it; in doubt it is set apart, or left to a person."""
    verdict, sorting = stop.read(text), replies.sort(text)
    asked: dict[Request, None] = {}
    if Category.CORRECTION in sorting.categories:
        asked["rectification"] = None
    if Category.RIGHTS in sorting.categories:
        asked["rights"] = None
    if verdict.erase:
        asked["erasure"] = None
    machine = Category.MACHINE in sorting.categories
    apart = [each.category for each in sorting.found if each.category in (Category.UNWANTED, Category.SENSITIVE)]
    rules = [verdict.rule, *(each.rule for each in sorting.found)]
    return Reading(
        stop="none" if machine else _STOPS[verdict.kind],
        calls_too=verdict.scope in (Scope.CALLS, Scope.EVERYTHING),
        aside=str(apart[0]) if apart else "",
        requests=() if machine else tuple(asked),
        machine=machine,
        rule=next((rule for rule in rules if rule), ""),
    )


_STOPS: dict[stop.Kind, Stop] = {
    stop.Kind.STOP: "stop",
    stop.Kind.START: "start",
    stop.Kind.HELP: "help",
    stop.Kind.AMBIGUOUS: "ambiguous",
    stop.Kind.NONE: "none",
}
