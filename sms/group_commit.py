"""Work of many that shares a transaction: each hands in what it wants written and waits until it is durable.

A commit costs a sync of the disk, however much is in it. So whoever comes while one is under way waits for the next,
and that takes all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from storage.database import Database
from storage.errors import StorageError
from storage.tx import Tx

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class GroupCommit(Generic[_T]):
    """`apply` writes all that is handed in, in the order in which it came; `run` has to be running."""

    def __init__(
        self,
        database: Database,
        apply: Callable[[Tx, Sequence[_T]], Awaitable[None]],
        *,
        linger_s: float = 0.005,
        at_most: int = 256,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        """`linger_s`: how long the first waits for others. `at_most`: in one transaction. `committed`: told after each
        commit, and never of what was rolled back."""
        self._database = database
        self._apply = apply
        self._linger_s = linger_s
        self._at_most = at_most
        self._committed = committed
        self._waiting: list[tuple[_T, asyncio.Future[None]]] = []
        self._there = asyncio.Event()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def put(self, item: _T) -> asyncio.Future[None]:
        """Done once it is committed; holds what the database raised where it was not."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, done))
        self._there.set()
        return done

    async def run(self) -> None:
        """For as long as anybody may hand something in. Ended: whoever waits is told."""
        try:
            while True:
                await self._there.wait()
                if len(self._waiting) < self._at_most:
                    await asyncio.sleep(self._linger_s)
                some, self._waiting = self._waiting[: self._at_most], self._waiting[self._at_most :]
                if not self._waiting:
                    self._there.clear()
                await self._commit(some)
        finally:
            for _, done in self._waiting:
                done.cancel()

    async def _commit(self, some: Sequence[tuple[_T, asyncio.Future[None]]]) -> None:
        try:
            async with self._database.transaction() as tx:
                await self._apply(tx, [item for item, _ in some])
        except asyncio.CancelledError:
            for _, done in some:
                done.cancel()
            raise
        except Exception as error:  # whoever waits has to know, and the others go on
            if len(some) > 1:  # one of them may be at fault: the others are not to suffer for it
                try:
                    for one in some:
                        await self._commit([one])
                finally:  # ended in between: those that were not tried are told
                    for _, done in some:
                        done.cancel()
                return
            if not isinstance(error, StorageError):  # ours
                log.exception("what was to be written was not")
            _settle(some[0][1], error)
        else:
            for _, done in some:
                _settle(done, None)
            self._committed()


def _settle(done: asyncio.Future[None], error: Exception | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
        done.exception()  # nobody may be waiting: a carrier that has hung up
