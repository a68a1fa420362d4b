"""What is chosen for an account: forwards, do not disturb, the number that is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from config.settings import Settings
from server.company import site_numbering
from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import account_by_name
from server.services.forgetting import forget
from server.services.phone_numbers import e164
from sip.calls import emergency, numbers
from storage import call_settings, dialplan, lines, numbers_owned
from storage.accounts import Account
from storage.call_settings import CallSettings
from storage.numbers_owned import OwnedNumber
from storage.tx import Tx

Which = Literal["always", "busy", "no-answer", "unregistered", "all"]
_FIELDS: dict[str, str] = {
    "always": "forward_always",
    "busy": "forward_busy",
    "no-answer": "forward_no_answer",
    "unregistered": "forward_unregistered",
}


@dataclass(frozen=True, slots=True)
class SettingsView:
    """Fields: see `server.commands.call_settings.FIELDS`."""

    account: str
    always: str | None
    busy: str | None
    no_answer: str | None
    unregistered: str | None
    no_answer_s: int
    dnd: bool
    call_waiting: bool
    hidden: bool
    presented: str | None


async def forward(
    services: Services,
    actor: Actor,
    *,
    name: str,
    always: str | None = None,
    busy: str | None = None,
    no_answer: str | None = None,
    unregistered: str | None = None,
    off: Sequence[Which] = (),
    no_answer_s: int | None = None,
) -> SettingsView:
    """Change what is given, or show what there is. Raises Failure."""
    targets = {"always": always, "busy": busy, "no-answer": no_answer, "unregistered": unregistered}
    given = {which: target for which, target in targets.items() if target is not None}
    ended = set(_FIELDS) if "all" in off else set(off)
    if both := sorted(ended & given.keys()):
        raise Failure(f"{', '.join(both)}: to be set and taken off at once", "Say one of them", "misuse")
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        changes: dict[str, object] = dict.fromkeys((_FIELDS[which] for which in ended), None)
        for which, target in given.items():
            changes[_FIELDS[which]] = await _target(tx, services.settings, account, target)
        if no_answer_s is not None:
            changes["no_answer_s"] = no_answer_s
        view = await _change(services, tx, actor, account, changes)
    await _tell(services, changed=bool(changes))
    return view


async def dnd(services: Services, actor: Actor, *, name: str, on: bool) -> SettingsView:
    """Whether its phones stay silent. Raises Failure."""
    return await _set(services, actor, name, {"dnd": on})


async def call_waiting(services: Services, actor: Actor, *, name: str, on: bool) -> SettingsView:
    """Whether it is called while it talks already. Raises Failure."""
    return await _set(services, actor, name, {"call_waiting": on})


async def present(
    services: Services, actor: Actor, *, name: str, number: str | None = None, hidden: bool = False
) -> SettingsView:
    """What is shown to whom it calls: a number of its own or a shared one, none, or (nothing given) the default.

    Raises Failure for a number that is somebody else's.
    """
    if number and hidden:
        raise Failure("a number cannot be shown and hidden at once", "Say one of them", "misuse")
    async with services.db.transaction() as tx:
        account = await account_by_name(tx, name)
        shown = await _presentable(tx, services.settings, account, number) if number else None
        changes: dict[str, object] = {"hide_number": True} if hidden else {"hide_number": False, "presented": shown}
        view = await _change(services, tx, actor, account, changes)
    await _tell(services, changed=True)
    return view


async def view(tx: Tx, account: Account, *, masked: bool) -> SettingsView:
    """As they are now."""
    one = await call_settings.get(tx, account.id)

    def shown(text: str | None) -> str | None:
        return text and (masking.number(text) if masked else text)

    return SettingsView(
        account=account.name,
        always=shown(one.forward_always),
        busy=shown(one.forward_busy),
        no_answer=shown(one.forward_no_answer),
        unregistered=shown(one.forward_unregistered),
        no_answer_s=one.no_answer_s,
        dnd=one.dnd,
        call_waiting=one.call_waiting,
        hidden=one.hide_number,
        presented=shown(one.presented),
    )


async def _set(services: Services, actor: Actor, name: str, changes: dict[str, object]) -> SettingsView:
    async with services.db.transaction() as tx:
        shown = await _change(services, tx, actor, await account_by_name(tx, name), changes)
    await _tell(services, changed=True)
    return shown


async def _change(
    services: Services, tx: Tx, actor: Actor, account: Account, changes: dict[str, object]
) -> SettingsView:
    if changes:
        before: CallSettings = await call_settings.get(tx, account.id)
        await call_settings.save(tx, replace(before, **changes))  # type: ignore[arg-type]
    await note(services, tx, actor, "change" if changes else "show", "account", account_id=account.id)
    return await view(tx, account, masked=actor.masks(account.name))


async def _tell(services: Services, *, changed: bool) -> None:
    if not changed:
        return
    await forget(services)
    if services.live is not None:
        await services.live.settings_changed()


async def _target(tx: Tx, settings: Settings, account: Account, text: str) -> str:
    """What the call is to be dialled to. Raises Failure; it does not repeat a number."""
    dialled = text.strip()
    where = site_numbering(settings)
    owner = await dialplan.owner(tx, dialled)
    if owner is not None:
        if owner.account_id == account.id:
            raise Failure(f"{account.name} cannot be forwarded to itself", "Name another account, line or number",
                          "invalid")  # fmt: skip
        return dialled
    if emergency.recognise(dialled, where) or emergency.drill(dialled, where):
        raise Failure("calls are not forwarded to an emergency service", "Name another number", "invalid")
    found = numbers.parse(dialled, where)
    if found is None:
        raise Failure("nobody is reached by what was given", "Name an account or line that there is (beffroi account "
                      "list, beffroi line list), or a number such as +33 6 12 34 56 78", "invalid")  # fmt: skip
    return found.number


async def _presentable(tx: Tx, settings: Settings, account: Account, text: str) -> str:
    number = e164(settings, text)
    owned = await numbers_owned.by_number(tx, number)
    if owned is None or not (owned.shared or owned.account_id == account.id or await _of_its_line(tx, owned, account)):
        raise Failure(
            f"{account.name} may not show this number: it is neither its own, nor its line's, nor a shared one",
            "Type: beffroi number list; a number is given with number add --account, or shared with --shared",
            "denied",
        )
    if not numbers.is_presentable(number):
        raise Failure("a mobile's number may not be shown by a server like this one", "Choose a number of a fixed line",
                      "denied")  # fmt: skip
    return number


async def _of_its_line(tx: Tx, owned: OwnedNumber, account: Account) -> bool:
    """Who shows a line's number calls on the line's behalf: its members may."""
    return owned.line_id is not None and account.id in (await lines.get(tx, owned.line_id)).members
