"""Work that blocks, in a thread of its own, which neither the program's end nor anybody else waits for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def aside(work: Callable[[], _T], patience_s: float, name: str) -> _T:
    """What `work` returns. Raises TimeoutError after `patience_s` (the thread may go on), and what `work` raises."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def settle(error: Exception | None, result: Callable[[], _T]) -> None:
        if done.done():
            return  # nobody waits any more
        if error is None:
            done.set_result(result())
        else:
            done.set_exception(error)

    def run() -> None:
        error: Exception | None = None
        results: list[_T] = []
        try:
            results.append(work())
        except Exception as failed:  # carried to whoever waits
            error = failed
        with contextlib.suppress(RuntimeError):  # the program has ended
            loop.call_soon_threadsafe(settle, error, lambda: results[0])

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(patience_s):
        return await done
