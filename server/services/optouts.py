"""Who wants no texts: the list of objections, as it is asked about texts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from server.services import suppressions as suppression_service
from server.services.actor import Actor
from server.services.audit import note
from server.services.contact_check import person
from server.services.context import Services
from server.services.suppressions import Source, SuppressionView
from storage import sms_received, suppressions
from storage.numbers import digests

Scope = Literal["sms", "all"]


@dataclass(frozen=True, slots=True)
class OptOutView:
    """Fields: see `server.commands.texts.OPTOUT_FIELDS`."""

    advertising: bool
    conversations: bool
    doubtful: bool
    since: datetime | None
    source: str
    reason: str


async def add(
    services: Services, actor: Actor, *, number: str, scope: Scope = "sms", source: Source = "cli"
) -> SuppressionView:
    """No more advertising by text from now on; `all`: no calls either. Raises Failure."""
    return await suppression_service.add(services, actor, number=number, channel=scope, source=source)


async def list_(services: Services, actor: Actor, *, limit: int = 50) -> list[SuppressionView]:
    """Those that hold for texts, the newest first; the list holds no number. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await suppressions.list_all(tx, limit=max(0, limit), channels=("sms", "*"))
        await note(services, tx, actor, "list", "suppression", count=len(found))
    return [suppression_service.view(one) for one in found]


async def check(services: Services, actor: Actor, *, number: str) -> OptOutView:
    """May they be texted? Raises Failure."""
    called = person(services.settings, number)
    async with services.db.transaction() as tx:
        listed = await suppressions.of_number(tx, called, "sms")
        doubtful = bool(await sms_received.undecided(tx, await digests(tx, called)))
        await note(services, tx, actor, "search", "suppression", count=len(listed))
    first = min(listed, key=lambda one: one.since, default=None)
    return OptOutView(
        advertising=not listed and not doubtful,
        conversations=not any(one.channel == "*" and one.reason in ("objection", "order") for one in listed),
        doubtful=doubtful,
        since=None if first is None else first.since,
        source="" if first is None else first.source,
        reason="" if first is None else first.reason,
    )
