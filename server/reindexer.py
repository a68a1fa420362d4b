"""Numbers go over to a new key of the index while everything runs: a little at a time, taken up again after a crash.

`beffroi keys rotate number` makes the key; what is written from then on is under it, and whatever is searched for is
searched under every key that lives. This part moves the rest. The old key goes with the sweep, through the deletion
gate, once nothing is found by it any more (`server.index_keys`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from server.services.context import Services
from storage import holds, index_keys, reindex
from storage.errors import StorageError

log = logging.getLogger(__name__)

FIRST_S = 90.0  # after the start: phones first
EVERY_S = 900.0
ROWS_AT_ONCE = 100  # in one transaction: some milliseconds in which no call can write
PAUSE_S = 0.02
_ONE_NODE = 0x6265666A  # PostgreSQL advisory lock: nodes that share a database take turns


class Reindexer:
    """One for the daemon; a command that finds no daemon makes its own."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.asked = asyncio.Event()  # set when there is a new key: at once, not at the next turn
        self.moved = 0  # since the start

    async def run(self) -> None:
        """For as long as the daemon lives. A database that does not answer is asked again at the next turn."""
        await self._wait(FIRST_S)
        while True:
            try:
                await self.move()
            except (StorageError, OSError) as error:
                log.error("numbers are still under an older key of the index, to be moved later: %s", error)
            await self._wait(EVERY_S)

    async def move(self, progress: Callable[[int], None] | None = None) -> int:
        """Move what lies under an older key; how many went over. Raises StorageError: what is left is moved later."""
        db, moved = self._services.db, 0
        async with db.alone(_ONE_NODE) as alone:
            if not alone or not await self._waiting():
                return 0
            async with db.transaction() as tx:
                await index_keys.barrier(tx)
            # Holds first: one that did not follow would let go of what it lies on.
            async with db.transaction() as tx:
                await holds.follow_keys(tx)
            for place in reindex.MOVED:
                stay = 0
                while True:
                    async with db.transaction() as tx:
                        seen, staying = await reindex.step(
                            tx, place, self._services.clock(), limit=ROWS_AT_ONCE, skip=stay
                        )
                    stay += staying
                    moved += seen - staying
                    if not seen:
                        break
                    if progress is not None:
                        progress(moved)
                    await asyncio.sleep(PAUSE_S)
                if stay:
                    log.warning("%d of %s stay under an older key of the index until they expire", stay, place)
        self.moved += moved
        if moved:
            log.info("%d numbers went over to the newest key of the index", moved)
        return moved

    async def _waiting(self) -> bool:
        async with self._services.db.read() as tx:
            return any(place in reindex.MOVED for place in await reindex.left(tx))

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.asked.wait()
        except TimeoutError:
            return
        self.asked.clear()
