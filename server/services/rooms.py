"""Listening rooms of a person, of the command line and of the portal: they end when their person may listen no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.services.context import Services


@asynccontextmanager
async def closable(services: Services, person_id: str) -> AsyncIterator[None]:
    """A listening room of this person: the block ends, without an error, when `close_rooms` is called."""
    try:
        async with asyncio.timeout(None) as cutter:
            services.rooms_of.setdefault(person_id, set()).add(cutter)
            try:
                yield
            finally:
                services.rooms_of[person_id].discard(cutter)
                if not services.rooms_of[person_id]:
                    del services.rooms_of[person_id]
    except TimeoutError:
        if not cutter.expired():
            raise


def close_rooms(services: Services, person_id: str) -> int:
    """Every room in which this person listens now ends at once; how many."""
    cutters = services.rooms_of.get(person_id, set())
    for cutter in cutters:
        cutter.reschedule(asyncio.get_running_loop().time())
    return len(cutters) + services.reader_rooms.cut(person_id)
