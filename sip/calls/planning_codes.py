"""Does what a code asks for (do not disturb, forwards), and finds the call to be picked up."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from sip.calls import emergency, planning_contact
from sip.calls.codes import Code
from sip.calls.forwarding import MAX_HOPS
from sip.calls.plan import Refusal
from sip.calls.planning_bench import Bench, Called
from storage import accounts, call_settings, lines
from storage.accounts import Account
from storage.errors import Invalid
from storage.tx import Tx

NOTHING_TO_PICK_UP = "PROMPT_PICKUP_FAILED"


async def do(bench: Bench, caller: Account, code: Code, now: datetime) -> str:
    """Set what the code says for the caller's account; id of the prompt that says how it went."""
    if code.deed == "dnd":
        async with bench.database.transaction() as tx:
            settings = await call_settings.get(tx, caller.id)
            await call_settings.save(tx, replace(settings, dnd=code.on))
        return "PROMPT_DND_ON" if code.on else "PROMPT_DND_OFF"
    to = code.argument if code.on else None
    async with bench.database.transaction() as tx:
        settings = await call_settings.get(tx, caller.id)
        change: dict[str, Any] = {code.field: to}
        if to is not None and not await _may_forward(bench, tx, caller, to, now):
            return "PROMPT_FORWARD_REFUSED"
        try:
            await call_settings.save(tx, replace(settings, **change))
        except Invalid:
            return "PROMPT_FORWARD_REFUSED"
    return "PROMPT_FORWARD_ON" if code.on else "PROMPT_FORWARD_OFF"


async def _may_forward(bench: Bench, tx: Tx, caller: Account, to: str, now: datetime) -> bool:
    """To somewhere that there is, that the account itself may call, and that does not come back to it at once."""
    if emergency.recognise(to, bench.site) is not None or emergency.drill(to, bench.site) is not None:
        return False
    there = await bench.destination(tx, caller, to, now)
    if isinstance(there, Refusal):
        # Whether it may be called at all is what counts: a trunk that is busy now is no reason, and a forward
        # canvasses nobody.
        return there.cause in ("trunk-failed", "limit", planning_contact.CAUSE)
    if not isinstance(there, Called):
        return True
    return there.line is not None or not await _comes_back(tx, caller, there.members[0])


async def _comes_back(tx: Tx, caller: Account, to: Account) -> bool:
    at: Account | None = to
    for _ in range(MAX_HOPS + 1):
        if at is None:
            return False
        if at.id == caller.id:
            return True
        always = (await call_settings.get(tx, at.id)).forward_always
        at = await accounts.by_dialled(tx, always) if always is not None else None
    return True


async def to_pick_up(bench: Bench, caller: Account, extension: str) -> str | None:
    """Id of the call that rings there; None where there is none, or it is none of the caller's business: only members
    of a common line pick up each other's calls, and those of the line itself."""
    async with bench.database.read() as tx:
        called = await bench.inside(tx, extension)
        if called is None:
            return None
        every = [line for line in await lines.list_all(tx) if line.disabled_at is None]
    mine = [line for line in every if caller.id in line.members]
    if called.line is not None:
        concerned = {member.id for member in called.members} if called.line.id in {line.id for line in mine} else set()
    else:
        colleagues = {member for line in mine for member in line.members}
        concerned = {member.id for member in called.members} & colleagues
    concerned.discard(caller.id)
    return bench.house.ringing(concerned) if concerned else None
