"""What `beffroi doctor` finds, for somebody who is not on the machine."""

from __future__ import annotations

import asyncio

from server import doctor
from server.checks import instance
from server.checks.finding import Finding
from server.failure import Failure
from server.services.actor import Actor
from server.services.context import Services


async def check(services: Services, actor: Actor) -> list[Finding]:
    """Everything that is looked at, good or not; it takes seconds. The daemon is asked as by the command, which writes
    its own entries. Raises Failure where no daemon runs."""
    data = services.paths.data
    if not await asyncio.to_thread(instance.is_running, data):
        raise Failure("the daemon is not running: it cannot look at itself", "Type: beffroi doctor", "not_running")
    return await asyncio.to_thread(doctor.examine, data)
