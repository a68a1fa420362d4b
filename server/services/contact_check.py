"""May this number be contacted on behalf of that line: asked by hand, by the same decision as calls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config import contact_rules
from config.settings import Settings
from retention import contact_case
from retention.contact_case import Contact
from retention.whereabouts import whereabouts
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.contact_times import moment
from server.services.context import Services
from server.services.directory import line_by_name
from server.services.phone_numbers import e164
from sip.calls.numbers import country_of, is_canvassing, is_presentable
from storage import numbers_owned
from storage.lines import Line
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class CheckView:
    """Fields: see `server.commands.contacts.CHECK_FIELDS`."""

    number: str
    line: str
    channel: str
    at: datetime
    allowed: bool
    ground: str
    rule: str
    why: str
    again_at: datetime | None
    evidence: str | None
    basis: str
    confidence: str
    zones: tuple[str, ...]
    holidays: tuple[str, ...]
    shown: str | None
    warning: str | None


async def check(
    services: Services,
    actor: Actor,
    *,
    number: str,
    line: str,
    at: str | None = None,
    channel: Literal["voice", "sms"] = "voice",
) -> CheckView:
    """`at` without an offset is the time where the person is. Counts nothing. Raises Failure."""
    called = person(services.settings, number)
    country = country_of(called)
    where = whereabouts(called, country, contact_rules.load())
    now = moment(at, where.zones[0] if where.zones else "UTC") if at else services.clock()
    async with services.db.transaction() as tx:
        found = await canvassing_line(tx, line)
        shown = await _shown(tx, found)
        decision = await contact_case.decide(tx, Contact(found, called, country, channel, shown or ""), now)
        outcome = "done" if decision.allowed else "refused"
        await note(services, tx, actor, "test", "contact", outcome=outcome, line_id=found.id, rule=decision.rule)
    return CheckView(
        number=masking.number(called) if actor.masked else called,
        line=found.name,
        channel=channel,
        at=now,
        allowed=decision.allowed,
        ground=decision.ground,
        rule=decision.rule,
        why=decision.why,
        again_at=decision.again_at,
        evidence=decision.evidence or None,
        basis=decision.basis,
        confidence=decision.confidence,
        zones=where.zones,
        holidays=where.holidays,
        shown=shown and (masking.number(shown) if actor.masked else shown),
        warning=_warning(shown),
    )


def person(settings: Settings, text: str) -> str:
    """The number of somebody who can be contacted, in international form. Raises Failure, without the number."""
    return e164(settings, text)


async def canvassing_line(tx: Tx, name: str) -> Line:
    """By name or number. Raises Failure where it canvasses nobody."""
    line = await line_by_name(tx, name)
    if line.canvassing is None:
        raise Failure(
            f"line {line.name} canvasses nobody: its calls are ordinary ones",
            "If they are not, type: beffroi line set LINE --canvassing SECTOR",
            "conflict",
        )
    return line


async def _shown(tx: Tx, line: Line) -> str | None:
    """What calls on its behalf show: a number that leads to it."""
    owned = [one.number for one in await numbers_owned.list_all(tx) if one.line_id == line.id]
    return next((number for number in owned if is_presentable(number)), owned[0] if owned else None)


def _warning(shown: str | None) -> str | None:
    if shown is None:
        return "no number leads to this line, so no call is made on its behalf: beffroi number add"
    if shown.startswith("+33") and not is_canvassing(shown):
        return "the number that is shown lies in no range for canvassing: automatic systems have to show such a one"
    return None
