"""Somebody leaves: what can be done in their name ends, what others need is handed over, what has to stay is named.

What is still to be done is read from what there is, so the same command typed again does the rest: after a crash, after
a half, or nothing at all. Each act is a transaction with an entry of its own. What lets somebody in goes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retention.gate import DestructionIncomplete
from server.failure import Failure
from server.services import erasure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name, person_by_login
from server.services.edge import drop_devices
from server.services.forgetting import forget
from server.services.leaving_plan import Act, Kept, Leaver, acts_for, kept_of, warnings_for
from server.services.leaving_plan import read as read_leaver
from server.services.rooms import close_rooms
from storage import (
    accounts,
    call_settings,
    devices,
    inboxes,
    lines,
    mail_logins,
    numbers_owned,
    people,
    person_locks,
    readers,
    sign_in_factors,
)
from storage.accounts import Account
from storage.call_settings import FORWARDS, CallSettings
from storage.errors import Unavailable
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class LeaveView:
    """Fields: see `server.commands.containment.LEAVE_FIELDS`."""

    id: str
    login: str
    done: bool
    handed_to: str | None
    acts: tuple[Act, ...]
    kept: tuple[Kept, ...]
    warnings: tuple[str, ...]


async def leave(
    services: Services,
    actor: Actor,
    *,
    login: str,
    hand_over: str | None = None,
    keep: bool = False,
    dry_run: bool = False,
) -> LeaveView:
    """`hand_over`: account that takes over; `keep`: accounts stay, disabled. Running emergency calls go on. Once more
    for what was left. Raises Failure."""
    if (hand_over is None) != keep:
        raise Failure("either somebody takes over or nobody does", "Give --hand-over ACCOUNT, or --keep", "misuse")
    async with services.db.transaction() as tx:
        leaver = await _leaver(tx, login, hand_over)
        kept = await kept_of(tx, leaver, services.clock())
        if dry_run:
            await note(services, tx, actor, "show", "person", person_id=leaver.person.id)
    planned, warnings = acts_for(leaver), list(warnings_for(leaver, services.settings.emergency.notify))
    if not dry_run:
        warnings += await _carry_out(services, actor, leaver, planned)
    to = leaver.to.name if leaver.to is not None else None
    return LeaveView(leaver.person.id, leaver.person.login, not dry_run, to, tuple(planned), kept, tuple(warnings))


async def _leaver(tx: Tx, login: str, hand_over: str | None) -> Leaver:
    """Raises Failure."""
    person = await person_by_login(tx, login)
    to = await account_by_name(tx, hand_over) if hand_over is not None else None
    if to is not None and to.person_id == person.id:
        raise Failure(f"{to.name} is {login}'s own account", "Name somebody else's: beffroi account list", "invalid")
    if to is not None and to.disabled_at is not None:
        raise Failure(f"{to.name} is disabled", "Name another: beffroi account list", "invalid")
    return await read_leaver(tx, person, to)


async def _carry_out(services: Services, actor: Actor, leaver: Leaver, planned: Sequence[Act]) -> list[str]:
    """What could not be done just now, in words."""
    troubles: list[str] = []
    entering = [act for act in planned if act.first]
    for act in entering:
        await _do(services, actor, leaver, act)
    await forget(services)
    close_rooms(services, leaver.person.id)
    try:
        await drop_devices(services, leaver.auth_users)
    except Failure as failure:
        troubles.append(failure.what)
    for act in planned:
        if act.what == "reader key":
            troubles += await _drop_key(services, actor, leaver)
        elif not act.first:
            await _do(services, actor, leaver, act)
    await forget(services)
    if services.live is not None:
        await services.live.readers_changed()
        await services.live.lines_changed()
        await services.live.settings_changed()
        await services.live.trunks_changed()
    if services.texts is not None:
        services.texts.changed()
    return troubles


async def _drop_key(services: Services, actor: Actor, leaver: Leaver) -> list[str]:
    """Through the deletion gate, with a receipt."""
    async with services.erasing:
        try:
            await erasure.resume(services)
            async with services.db.transaction() as tx:
                await erasure.order(services, tx, actor, erasure.READER, leaver.person.id)
                await note(services, tx, actor, "erase", "reader", person_id=leaver.person.id)
            await erasure.carry_out(services, actor, erasure.READER, leaver.person.id)
        except (DestructionIncomplete, Unavailable) as error:
            return [f"the reader key is not gone for good yet: {error}; it is finished by the same command"]
    return []


async def _do(services: Services, actor: Actor, leaver: Leaver, act: Act) -> None:
    """One act, with its entry."""
    now, person, to = services.clock(), leaver.person, leaver.to
    async with services.db.transaction() as tx:
        match act.what:
            case "person":
                await people.disable(tx, person.id, now)
                await person_locks.forget(tx, person.id)
                await sign_in_factors.drop_all(tx, person.id)
                await note(services, tx, actor, "disable", "person", person_id=person.id)
            case "roles":
                await people.set_roles(tx, person.id, ())
                await note(services, tx, actor, "change", "role", person_id=person.id)
            case "device":
                await devices.revoke(tx, act.id, now)
                await note(services, tx, actor, "revoke", "device", device_id=act.id)
            case "mail login":
                await mail_logins.revoke(tx, act.id, now)
                await note(services, tx, actor, "revoke", "mail_login", login_id=act.id)
            case "right":
                await readers.revoke(tx, person.id, act.id)
                await note(services, tx, actor, "revoke", "right", person_id=person.id, purpose=act.id)
            case "inbox left":
                await inboxes.set_member(tx, act.id, person.id, sends=False, sees_sent=False, now=now)
                await note(services, tx, actor, "revoke", "inbox", inbox_id=act.id, person_id=person.id)
            case "inbox closed":
                await inboxes.disable(tx, act.id, now)
                await note(services, tx, actor, "disable", "inbox", inbox_id=act.id)
            case "line":
                line = await lines.get(tx, act.id)
                members = _instead(line.members, leaver.account_ids, to)
                await lines.save(tx, replace(line, members=members))
                await note(services, tx, actor, "change", "line", line_id=line.id)
            case "forward to them":
                held = await call_settings.get(tx, act.id)
                await call_settings.save(tx, _redirected(held, leaver, to))
                await note(services, tx, actor, "change", "account", account_id=act.id)
            case "number":
                assert to is not None
                await numbers_owned.lead_to(tx, act.id, to.id)
                await note(services, tx, actor, "change", "number", number_id=act.id, account_id=to.id)
            case "own settings":
                always = to.extension if to is not None else None
                await call_settings.save(tx, CallSettings(act.id, forward_always=always))
                await note(services, tx, actor, "change", "account", account_id=act.id)
            case "account handed over":
                assert to is not None
                await accounts.enable(tx, act.id)
                await accounts.give(tx, act.id, to.person_id, to.display_name, now)
                await note(services, tx, actor, "change", "account", account_id=act.id)
            case "account kept":
                await accounts.disable(tx, act.id, now)
                await note(services, tx, actor, "disable", "account", account_id=act.id)


def _instead(members: tuple[str, ...], leaving: frozenset[str], to: Account | None) -> tuple[str, ...]:
    """Who takes over rings in the same place, once."""
    found = [to.id if one in leaving and to is not None else one for one in members]
    return tuple(dict.fromkeys(one for one in found if one not in leaving))


def _redirected(held: CallSettings, leaver: Leaver, to: Account | None) -> CallSettings:
    """Forwards to whoever leaves go to whoever takes over, or nowhere; never to their own account."""
    target = to.extension if to is not None and to.id != held.account_id else None
    changed = {name: target for name in FORWARDS if getattr(held, name) in leaver.dialled}
    return replace(held, **changed)  # type: ignore[arg-type]
