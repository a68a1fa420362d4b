"""Own numbers: where a call from outside leads, and which may be shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name, line_by_name, trunk_by_name
from server.services.forgetting import forget
from server.services.phone_numbers import e164
from sip.calls.numbers import is_presentable
from storage import accounts, call_settings, lines, numbers_owned, trunks
from storage.errors import Duplicate
from storage.numbers_owned import OwnedNumber
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class NumberView:
    """Fields: see `server.commands.numbers.FIELDS`."""

    id: str
    number: str
    account: str | None
    line: str | None
    trunk: str | None
    shared: bool
    warning: str | None


async def add(
    services: Services,
    actor: Actor,
    *,
    number: str,
    account: str | None = None,
    line: str | None = None,
    trunk: str | None = None,
    shared: bool = False,
) -> NumberView:
    """Raises Failure."""
    if account and line:
        raise Failure("a number leads to an account or to a line, not to both", "Name one of them", "misuse")
    if not (account or line or shared):
        raise Failure("it is not said where the number leads", "Give --account or --line; --shared alone is for a "
                      "number that is only shown", "misuse")  # fmt: skip
    async with services.db.transaction() as tx:
        try:
            added = await numbers_owned.add(
                tx,
                e164(services.settings, number),
                account_id=(await account_by_name(tx, account)).id if account else None,
                line_id=(await line_by_name(tx, line)).id if line else None,
                trunk_id=(await trunk_by_name(tx, trunk)).id if trunk else None,
                shared=shared,
            )
        except Duplicate:
            raise Failure("this number leads somewhere already", "Type: beffroi number list", "taken") from None
        await note(services, tx, actor, "add", "number", number_id=added.id)
        view = await _view(tx, added, masked=False)
    await _tell(services)
    return view


async def list_(services: Services, actor: Actor) -> list[NumberView]:
    """By number; masked unless the actor gives a reason."""
    async with services.db.transaction() as tx:
        found = [await _view(tx, one, masked=actor.masked) for one in await numbers_owned.list_all(tx)]
        await note(services, tx, actor, "list", "number", count=len(found))
    return found


async def remove(services: Services, actor: Actor, *, number: str) -> NumberView:
    """Leads nowhere any more, and nobody shows it. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await numbers_owned.by_number(tx, e164(services.settings, number))
        if found is None:
            raise Failure("this is no number of ours", "Type: beffroi number list --reason TEXT", "not_found")
        view = await _view(tx, found, masked=actor.masked)
        for one in await call_settings.list_all(tx):
            if one.presented == found.number:
                await call_settings.save(tx, replace(one, presented=None))
        await numbers_owned.remove(tx, found.id)
        await note(services, tx, actor, "remove", "number", number_id=found.id)
    await forget(services)
    await _tell(services)
    return view


async def _tell(services: Services) -> None:
    if services.live is not None:
        await services.live.trunks_changed()
        await services.live.settings_changed()


async def _view(tx: Tx, one: OwnedNumber, *, masked: bool) -> NumberView:
    return NumberView(
        id=one.id,
        number=masking.number(one.number) if masked else one.number,
        account=(await accounts.get(tx, one.account_id)).name if one.account_id else None,
        line=(await lines.get(tx, one.line_id)).name if one.line_id else None,
        trunk=(await trunks.get(tx, one.trunk_id)).name if one.trunk_id else None,
        shared=one.shared,
        warning=None if is_presentable(one.number) else "may be called, but not shown: no server may show a mobile's",
    )
