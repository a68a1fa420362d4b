"""What stands beside consent: contracts that run, customers, and numbers of professionals."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from config.periods import Period
from retention.contact_case import EVIDENCE_PACK, kept_until
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.consents import sector
from server.services.contact_check import person
from server.services.contact_times import moment
from server.services.context import Services
from storage import contact_references
from storage.contact_references import NO_PURPOSE, ContactReference

LONGEST = Period.parse("P5Y")  # nothing is believed for ever: then somebody enters it again
LONGEST_CUSTOMER = Period.parse("P3Y")  # from the last purchase, as long as a consent counts (CNIL)
_BASIS = {
    "contract": "GDPR 6(1)(b); C. conso. L223-1",
    "customer": "GDPR 6(1)(f); CPCE L34-5",
    "professional": "GDPR 6(1)(f)",
}


@dataclass(frozen=True, slots=True)
class ContractView:
    """Fields: see `server.commands.contacts.CONTRACT_FIELDS`."""

    id: str
    number: str
    kind: str
    purpose: str | None
    reference: str | None
    since: datetime
    until: datetime
    running: bool
    legal_basis: str
    kept_until: datetime


async def add(
    services: Services,
    actor: Actor,
    *,
    number: str,
    reference: str,
    line: str | None = None,
    purpose: str | None = None,
    professional: bool = False,
    customer: bool = False,
    since: str | None = None,
    until: str | None = None,
) -> ContractView:
    """A contract about a sector; or that somebody has bought something of it, was told at that moment that texts would
    come and could object (CPCE L34-5); or that the number is a professional's. Raises Failure."""
    if professional and customer:
        raise Failure("a customer or a professional?", "Give one of --customer and --professional", "misuse")
    if professional and (line or purpose):
        raise Failure("a professional's number is one for every sector", "Leave --line and --purpose out", "misuse")
    now = services.clock()
    begins = moment(since) if since else now
    longest, years = (LONGEST_CUSTOMER, "three") if customer else (LONGEST, "five")
    ends = moment(until) if until else longest.after(begins)
    if ends > longest.after(begins):
        raise Failure(
            f"nothing is believed for more than {years} years", "Enter it again when they are over", "invalid"
        )
    kind = "professional" if professional else "customer" if customer else "contract"
    async with services.db.transaction() as tx:
        made = await contact_references.add(
            tx,
            number=person(services.settings, number),
            kind=kind,
            purpose=NO_PURPOSE if professional else await sector(tx, line, purpose),
            reference=reference,
            since=begins,
            until=ends,
            legal_basis=_BASIS[kind],
            kept_until=kept_until(EVIDENCE_PACK, ends),
        )
        await note(services, tx, actor, "add", "contract", contract_id=made.id)
    return _view(made, actor, now)


async def end(services: Services, actor: Actor, *, contract: str) -> ContractView:
    """It runs no more. `contract`: its id. Raises Failure."""
    async with services.db.transaction() as tx:
        same = [one for one in await contact_references.list_all(tx)
                if len(contract) >= 8 and one.id.startswith(contract)]  # fmt: skip
        if len(same) != 1:
            raise Failure("no contract with that id", "Type: beffroi contact contract list", "not_found")
        now = services.clock()
        # One that would have begun later never does.
        at = max(now, same[0].since + timedelta(microseconds=1))
        ended = await contact_references.end(tx, same[0].id, at, kept_until(EVIDENCE_PACK, at))
        await note(services, tx, actor, "stop", "contract", contract_id=ended.id)
    return _view(ended, actor, now)


async def list_(
    services: Services, actor: Actor, *, number: str | None = None, before: str | None = None, limit: int = 50
) -> list[ContractView]:
    """The newest first, or those that come after the one with the id `before`; masked unless the actor gives a reason.
    Raises Failure."""
    limit = max(0, limit)
    async with services.db.transaction() as tx:
        if number is None:
            place = None
            if before is not None:
                last = await contact_references.get(tx, before)
                place = (last.since, last.id)
            found = await contact_references.list_all(tx, limit=limit, before=place)
        else:
            found = (await contact_references.of_number(tx, person(services.settings, number)))[:limit]
        now = services.clock()
        views = [_view(one, actor, now) for one in found]
        await note(services, tx, actor, "list", "contract", count=len(views))
    return views


def _view(one: ContactReference, actor: Actor, now: datetime) -> ContractView:
    return ContractView(
        id=one.id,
        number=masking.number(one.number) if actor.masked else one.number,
        kind=one.kind,
        purpose=one.purpose or None,
        reference=None if actor.masked else one.reference,
        since=one.since,
        until=one.until,
        running=one.since <= now < one.until,
        legal_basis=one.legal_basis,
        kept_until=one.kept_until,
    )
