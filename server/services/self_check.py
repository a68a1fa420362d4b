"""What `beffroi doctor` finds, for somebody who is not on the machine."""

from __future__ import annotations

import asyncio

from server import doctor
from server.checks import instance
from server.checks.finding import Finding
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services

_LOOKING = asyncio.Lock()


async def check(services: Services, actor: Actor) -> list[Finding]:
    """Everything that is looked at, good or not; it takes seconds, and one at a time. The daemon is asked as by the
    command, which writes its own entries beside that of whoever asks. Raises Failure: busy, or where no daemon runs."""
    data = services.paths.data
    if not await asyncio.to_thread(instance.is_running, data):
        raise Failure("the daemon is not running: it cannot look at itself", "Type: beffroi doctor", "not_running")
    if _LOOKING.locked():
        raise Failure("somebody looks just now", "Try again in a few seconds", "busy")
    async with _LOOKING:
        async with services.db.transaction() as tx:
            await note(services, tx, actor, "list", "system")
        return await asyncio.to_thread(doctor.examine, data)
