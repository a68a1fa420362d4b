"""The reading of a text that came in: stop, what sets it apart, what it asks, put together for `sms.inbound`."""

from __future__ import annotations

from typing import get_args

from sms.reading import Reading, Request, Stop
from sms.words import replies, stop
from sms.words.replies import Category
from sms.words.stop import Kind, Scope

_STOPS: dict[Kind, Stop] = {
    Kind.STOP: "stop",
    Kind.START: "start",
    Kind.HELP: "help",
    Kind.AMBIGUOUS: "ambiguous",
    Kind.NONE: "none",
}
# The first that is found is the reason: what may hurt a reader before what a reader must not see.
_ASIDE = (Category.UNWANTED, Category.SENSITIVE)


def read(text: str) -> Reading:
    """Whatever the text holds, a reading comes. What a machine wrote is a stop or nothing: it is not answered."""
    verdict, sorting = stop.read(text), replies.sort(text)
    machine = Category.MACHINE in sorting.categories
    kind = verdict.kind if verdict.kind is Kind.STOP or not machine else Kind.NONE
    asked = {each.request for each in sorting.found} | ({"erasure"} if verdict.erase else set())
    rules = [f"{verdict.kind}: {verdict.rule}"] if verdict.rule else []
    rules += [f"{each.category}: {each.rule}" for each in sorting.found]
    return Reading(
        stop=_STOPS[kind],
        calls_too=verdict.scope in (Scope.CALLS, Scope.EVERYTHING),
        aside=next((str(each) for each in _ASIDE if each in sorting.categories), ""),
        requests=tuple(each for each in get_args(Request) if each in asked),
        machine=machine,
        rule="; ".join(rules),
    )
