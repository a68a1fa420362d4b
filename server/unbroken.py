"""Let what was begun with the database come to its end, also when whoever waits for it is told to stop.

A driver that is interrupted in the middle may keep its connection, and with it the end of the program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

T = TypeVar("T")

PATIENCE_S = 5.0


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, or what it raises. When cancelled it waits for ``work`` first, at most PATIENCE_S."""
    failure: Exception | None = None

    async def done() -> T | None:
        nonlocal failure
        try:
            return await work
        except Exception as error:  # handed on below, as it is
            failure = error
            return None

    async with asyncio.TaskGroup() as group:
        task = group.create_task(done())
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            await asyncio.wait({task}, timeout=PATIENCE_S)
            raise
    if failure is not None:
        raise failure
    return cast(T, task.result())
