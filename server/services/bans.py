"""Sources that the edge does not listen to for now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.edge import required
from sip.edge.rpc import RpcError
from sip.edge.state import Ban


@dataclass(frozen=True, slots=True)
class BanView:
    """Fields: see `server.commands.bans.FIELDS`."""

    source: str
    why: str
    until: datetime


async def list_(services: Services, actor: Actor) -> list[BanView]:
    """The first to end comes first. Addresses are shown: they are what is lifted. Raises Failure."""
    bans = await _bans(services)
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "list", "system", count=len(bans))
    return [BanView(ban.source, ban.why, ban.until) for ban in bans]


async def lift(services: Services, actor: Actor, *, source: str) -> BanView:
    """Listen to this source again, and forget what led to the ban. Raises Failure."""
    ban = next((one for one in await _bans(services) if one.source == source), None)
    if ban is None:
        raise Failure("that source is not banned", "Type: beffroi ban list", "not_found")
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "remove", "system")
        try:
            await required(services).lift_ban(source)
        except RpcError:
            raise _silent() from None
    return BanView(ban.source, ban.why, ban.until)


async def _bans(services: Services) -> list[Ban]:
    try:
        return await required(services).bans()
    except RpcError:
        raise _silent() from None


def _silent() -> Failure:
    return Failure("the edge does not answer", "Type: beffroi status; see that beffroi edge runs", "unavailable")
