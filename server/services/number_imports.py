"""A file of numbers that are not to be contacted, sent through the portal: looked through as a whole, then entered."""

from __future__ import annotations

import csv
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from server.failure import Failure
from server.services.work import watch
from sms.lists import column_of_numbers

MOST_BYTES = 4 << 20
MOST_LINES = 100_000
AT_ONCE = 250  # lines of one request: nobody waits for longer than those take
MOST_ERRORS = 100

Ask = Callable[..., Awaitable[Any]]
"""Does an operation in somebody's name, as `Visit.call`."""


def read(body: bytes, column: int) -> list[tuple[int, str]]:
    """Line and what stands there. Raises Failure."""
    if b"\0" in body:
        raise Failure("the file is no text", "Send one number a line, or CSV", "invalid")
    try:
        numbers = list(column_of_numbers(body.decode("utf-8-sig", errors="replace"), column))
    except csv.Error:
        raise Failure("the file is no CSV", "Send one number a line, or CSV", "invalid") from None
    if not numbers:
        raise Failure("the list has no lines", "Export it again", "invalid")
    if len(numbers) > MOST_LINES:
        raise Failure(f"the list has more than {MOST_LINES} lines", "Divide it", "invalid")
    return numbers


async def enter(numbers: Sequence[tuple[int, str]], channel: str, *, partial: bool, ask: Ask) -> dict[str, Any]:
    """All are entered, or none; with `partial` those that can be used. How many, and which lines cannot be used: never
    what stands there. Raises Failure."""
    pieces = [numbers[at : at + AT_ONCE] for at in range(0, len(numbers), AT_ONCE)]
    total = 2 * len(numbers)
    sums: dict[str, Any] = {"added": 0, "known": 0, "wrong": 0, "errors": []}
    done = 0
    for write in (False, True):
        if write and sums["wrong"] and not partial:
            return {**sums, "added": 0}
        sums = {"added": 0, "known": 0, "wrong": 0, "errors": []}
        for some in pieces:
            said = await ask("contact.suppress.import", numbers=some, channel=channel, write=write)
            sums = {name: sums[name] + (list(said[name]) if name == "errors" else said[name]) for name in sums}
            sums["errors"] = sums["errors"][:MOST_ERRORS]
            done += len(some)
            telling = watch.get()
            if telling is not None:
                telling(done, total)
    return sums
