"""A file of numbers that are not to be contacted, sent through the portal: looked through as a whole, then entered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from server.failure import Failure
from server.services.work import watch
from sms import list_check, lists

MOST_BYTES = 4 << 20
MOST_LINES = 100_000
AT_ONCE = 250  # lines of one request: nobody waits for longer than those take

Ask = Callable[..., Awaitable[Any]]
"""Does an operation in somebody's name, as `Visit.call`."""


async def read(body: bytes, column: int) -> list[tuple[int, str]]:
    """Line and what stands there. Raises Failure."""
    try:
        return await asyncio.to_thread(lists.read_numbers, body, column=column, most_rows=MOST_LINES)
    except lists.ListError as error:
        raise Failure(error.what, error.remedy, "invalid") from None


async def enter(numbers: Sequence[tuple[int, str]], channel: str, *, partial: bool, ask: Ask) -> dict[str, Any]:
    """As `sms.list_check.entering`. Raises Failure."""
    steps = list_check.entering(numbers, AT_ONCE, partial=partial)
    telling, done = watch.get(), 0
    said: Mapping[str, Any] | None = None
    while True:
        try:
            some, write = steps.send(said)
        except StopIteration as end:
            sums: dict[str, Any] = end.value
            return sums
        said = await ask("contact.suppress.import", numbers=some, channel=channel, write=write)
        done += len(some)
        if telling is not None:
            telling(done, 2 * len(numbers))
