"""Let what was begun with the database come to its end, also when whoever waits for it is told to stop.

A driver that is interrupted in the middle may keep its connection, and with it the end of the program.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE_S = 5.0


async def unbroken(work: Coroutine[Any, Any, T]) -> T:
    """The result of ``work``, or what it raises. When cancelled it waits for ``work`` first, at most PATIENCE_S."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task}, timeout=PATIENCE_S)
        task.cancel()
        raise
