"""The list of a campaign: looked through first, as a whole; then written, some lines at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.company import site_numbering
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.campaigns import find, move, replaced, worked_on
from server.services.context import Services
from sms import address_rules
from sms.addresses import Number
from sms.campaigns import Act, State
from storage import campaigns as stored
from storage.campaigns import Recipient

MOST_AT_ONCE = 5000  # lines of one request
# Numbers that were found good, as this process hashes them: written, they are not read a second time.
_looked_through: set[int] = set()
_MOST_REMEMBERED = 500_000


@dataclass(frozen=True, slots=True)
class LineErrorView:
    """A line that cannot be used. Never holds the number."""

    line: int
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class LookedView:
    """`numbers`: line and number in international form, of lines that can be used."""

    numbers: tuple[tuple[int, str], ...]
    errors: tuple[LineErrorView, ...]


@dataclass(frozen=True, slots=True)
class WrittenView:
    name: str
    state: str
    written: int


async def look(
    services: Services, actor: Actor, *, login: str, name: str, numbers: Sequence[tuple[int, str]]
) -> LookedView:
    """`numbers`: line of the list, and what stands there. Writes nothing. Raises Failure."""
    _bounded(numbers)
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to="change")
        await note(services, tx, actor, "test", "campaign", campaign_id=found.campaign.id, count=len(numbers),
                   person_id=found.person.id)  # fmt: skip
    return await _looked(services, numbers)


async def write(
    services: Services,
    actor: Actor,
    *,
    login: str,
    name: str,
    rows: Sequence[tuple[int, str, Mapping[str, str]]],
    first: bool,
    last: bool,
) -> WrittenView:
    """`rows`: line, number and fields, of lines that were looked through; the `first` request begins the list, the
    `last` one ends it. Raises Failure: then nothing of this request is written."""
    _bounded(rows)
    looked = await _looked(services, [(line, said) for line, said, _ in rows])
    if looked.errors:
        wrong = looked.errors[0]
        raise Failure(f"line {wrong.line}: {wrong.problem}", wrong.remedy, "invalid")
    numbers = dict(looked.numbers)
    some = [Recipient(line, numbers[line], dict(fields)) for line, _, fields in rows]
    now = services.clock()
    async with services.db.transaction() as tx:
        found = await find(tx, login, name, to="change")
        if not first and found.campaign.state != State.IMPORTING:
            raise Failure(f"{name}: no list is being imported", "Begin with its first lines", "conflict")
        if first:
            await move(tx, found.campaign, Act.IMPORT, now)
            if await stored.counts(tx, found.campaign.id):
                raise Failure(f"{name} has a list", "One list for each campaign: make another one", "conflict")
        await stored.add_recipients(tx, found.campaign.id, some, max(now, found.campaign.starts_at))
        state = State.IMPORTING
        if last:
            state = await move(tx, replaced(found.campaign, State.IMPORTING), Act.IMPORTED, now)
        await worked_on(tx, found, "import", now)
        await note(services, tx, actor, "add", "campaign", campaign_id=found.campaign.id, count=len(some),
                   person_id=found.person.id)  # fmt: skip
    return WrittenView(name, str(state), len(some))


def _bounded(rows: Sequence[object]) -> None:
    if len(rows) > MOST_AT_ONCE:
        raise Failure(f"more than {MOST_AT_ONCE} lines at once", "Send them in pieces", "misuse")


async def _looked(services: Services, numbers: Sequence[tuple[int, str]]) -> LookedView:
    country, regions = site_numbering(services.settings).country, services.settings.sms.overseas
    return await asyncio.to_thread(_read, numbers, country, regions)


def _read(numbers: Sequence[tuple[int, str]], country: str, regions: Sequence[str]) -> LookedView:
    good, errors = list[tuple[int, str]](), list[LineErrorView]()
    for line, said in numbers:
        if hash((country, said)) in _looked_through:
            good.append((line, said))
            continue
        try:
            found = address_rules.recipient(said, country, regions=regions)
        except address_rules.AddressError as error:
            errors.append(LineErrorView(line, str(error), "Correct it, or take the line out"))
            continue
        if isinstance(found, Number):
            good.append((line, found.e164))
            if len(_looked_through) >= _MOST_REMEMBERED:
                _looked_through.clear()
            _looked_through.add(hash((country, found.e164)))
        else:
            errors.append(LineErrorView(line, "a short code is no person", "Take the line out"))
    return LookedView(tuple(good), tuple(errors))
