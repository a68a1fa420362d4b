"""Connections that this server's own processes have opened to other machines, and whether they are expected."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services


@dataclass(frozen=True, slots=True)
class GoingOutView:
    """Fields: see `server.commands.going_out.FIELDS`."""

    address: str
    port: int
    protocol: str
    process: str
    kind: str
    name: str
    host: str
    expected: bool
    open: bool
    first_seen_at: datetime
    last_seen_at: datetime


async def list_(services: Services, actor: Actor) -> list[GoingOutView]:
    """What nothing expects first. Since the daemon was started. Raises Failure."""
    if services.going_out is None:
        raise Failure("the daemon is not running", "Type: beffroi serve", "not_running")
    seen = services.going_out.seen()
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "list", "system", count=len(seen))
    return [
        GoingOutView(
            address=one.going.address,
            port=one.going.port,
            protocol=one.going.protocol,
            process=one.going.process,
            kind=one.kind,
            name=one.name,
            host=one.host,
            expected=one.expected,
            open=one.open,
            first_seen_at=one.first_seen_at,
            last_seen_at=one.last_seen_at,
        )
        for one in seen
    ]
