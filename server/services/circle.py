"""Who calls whom: the circle of somebody's relations, which needs a right of its own, a reason and a case.

Protected lines and accounts are never in it: not asked about, not as the other side, not by records from before they
were protected.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from retention.metadata import MetadataClass
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name, person_by_login
from storage import accounts, call_records, lines, numbers_owned
from storage.accounts import Account
from storage.call_records import CallRecord
from storage.people import Person
from storage.tx import Tx

ROLE = "circle"
_PROTECTED = str(MetadataClass.NONE)


@dataclass(frozen=True, slots=True)
class RelationView:
    """Fields: see `server.commands.call_reports.CIRCLE`."""

    other: str
    calls: int
    inbound: int
    outbound: int
    last_at: datetime


async def circle(
    services: Services, actor: Actor, *, account: str, login: str, full: bool = False
) -> list[RelationView]:
    """With whom an account has had calls, of records that still hold their numbers; whom most first. Masked unless
    `full`. Who was refused is written down too. Raises Failure."""
    if not actor.says_why or not (actor.case or "").strip():
        raise Failure("who calls whom needs a reason and a case", "Give them with --reason and --case", "denied")
    found = list[RelationView]()
    async with services.db.transaction() as tx:
        person, asked = await person_by_login(tx, login), await account_by_name(tx, account)
        refusal = _refusal(person, asked)
        if refusal is None:
            found = await _relations(tx, asked, full=full)
        await note(services, tx, actor, "search", "call", outcome="done" if refusal is None else "denied",
                   purpose=ROLE, person_id=person.id, account_id=asked.id, count=len(found))  # fmt: skip
    if refusal is not None:
        raise refusal
    return found


def _refusal(person: Person, asked: Account) -> Failure | None:
    if person.disabled_at is not None or ROLE not in person.roles:
        roles = ",".join(sorted(person.roles | {ROLE}))
        remedy = f"It is a right of its own: beffroi person role {person.login} {roles}"
        return Failure(f"{person.login} may not ask who calls whom", remedy, "denied")
    if asked.metadata_class == _PROTECTED:
        return Failure(
            f"{asked.name} is protected: nobody may ask whom they call", "There is no way around it", "denied"
        )
    return None


async def _relations(tx: Tx, asked: Account, *, full: bool) -> list[RelationView]:
    own = {asked.name, asked.extension} | {one.number for one in await numbers_owned.of_account(tx, asked.id)}
    protected = await _protected(tx)
    records = {one.id: one for number in own for one in await call_records.with_number(tx, number)}
    calls, inbound, outbound = Counter[str](), Counter[str](), Counter[str]()
    last: dict[str, datetime] = {}
    for record in records.values():
        numbers = await call_records.numbers(tx, record.id)
        others = [number for number in numbers.values() if number not in own]
        if protected.intersection(others) or _lines_of(record) & protected:
            continue
        for other in others:
            calls[other] += 1
            (outbound if numbers.get("caller") in own else inbound)[other] += 1
            last[other] = max(last.get(other, record.at), record.at)
    return [
        RelationView(other if full else masked(other), calls[other], inbound[other], outbound[other], last[other])
        for other in sorted(calls, key=lambda other: (-calls[other], other))
    ]


def masked(other: str) -> str:
    """Of an outside number the first three characters; of a colleague nothing: an extension names a person here."""
    head = other[:3] if other.startswith("+") else ""
    return head + masking.DOT * (len(other) - len(head))


async def _protected(tx: Tx) -> set[str]:
    """Whatever leads to somebody who is protected now: ids, names, extensions, numbers of their own."""
    owners = [one for one in await accounts.list_all(tx) if one.metadata_class == _PROTECTED]
    theirs = [one for one in await lines.list_all(tx) if one.metadata_class == _PROTECTED]
    ids = {one.id for one in owners} | {one.id for one in theirs}
    owned = {n.number for n in await numbers_owned.list_all(tx) if {n.account_id, n.line_id} & ids}
    return (
        ids
        | owned
        | {text for one in owners for text in (one.name, one.extension)}
        | {text for one in theirs for text in (one.name, one.number)}
    )


def _lines_of(record: CallRecord) -> set[str]:
    return {str(one) for one in (record.line_id, record.fields.get("line_id"), record.fields.get("line_pseudonym"))}
