"""Trunks: the providers that calls go out by and come in from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from server.checks.finding import Finding
from server.failure import Failure
from server.services import masking, trunk_test
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.credentials import ha1
from server.services.directory import trunk_by_name
from server.services.edge import trunk_states
from server.services.forgetting import forget
from server.services.phone_numbers import e164
from storage import trunks
from storage.trunks import Trunk

_PORTS = {"udp": 5060, "tcp": 5060, "tls": 5061}
_PASSWORD = "Type the command again; the password is asked for, or read with --password-fd"  # noqa: S105 - a remedy


@dataclass(frozen=True, slots=True)
class TrunkView:
    """Fields: see `server.commands.trunks.FIELDS`."""

    id: str
    name: str
    enabled: bool
    state: str | None
    host: str
    port: int
    transport: str
    srtp: bool
    ipv6: bool
    domain: str
    register: bool
    user: str
    realm: str
    password: bool
    sources: tuple[str, ...]
    preference: int
    weight: int
    channels: int
    main_number: str | None
    format: str
    created_at: datetime
    warning: str | None
    ended: int | None = None


@dataclass(frozen=True, slots=True)
class TrunkTest:
    """`sound`: nothing was found that keeps calls from passing."""

    name: str
    sound: bool
    findings: tuple[Finding, ...]


async def add(
    services: Services,
    actor: Actor,
    *,
    name: str,
    host: str,
    port: int | None = None,
    transport: str = "tls",
    srtp: bool | None = None,
    ipv6: bool = False,
    domain: str | None = None,
    register: bool | None = None,
    user: str = "",
    realm: str | None = None,
    password: str | None = None,
    sources: Sequence[str] = (),
    preference: int = 10,
    weight: int = 100,
    channels: int = 30,
    main_number: str | None = None,
    format: str = "plus",
) -> TrunkView:
    """`register` None: where there is a user. `password` is turned into its digest at once and kept nowhere. Raises
    Duplicate, Invalid, Failure."""
    registers = bool(user) if register is None else register
    _check_register(register=registers, user=user, password=bool(password))
    kept_realm = realm or domain or host
    async with services.db.transaction() as tx:
        trunk = await trunks.add(
            tx,
            name,
            host,
            services.clock(),
            port=port or _PORTS.get(transport, 5060),
            transport=transport,
            domain=domain or host,
            srtp=transport == "tls" if srtp is None else srtp,
            ipv6=ipv6,
            register=registers,
            user=user,
            realm=kept_realm,
            ha1=ha1(user, kept_realm, password) if password else None,
            sources=tuple(sources),
            preference=preference,
            weight=weight,
            max_channels=channels,
            main_number=e164(services.settings, main_number) if main_number else None,
            international_format=format,
        )
        await note(services, tx, actor, "add", "trunk", trunk_id=trunk.id)
    await _tell(services)
    return await _view(services, trunk, masked=False)


async def list_(services: Services, actor: Actor) -> list[TrunkView]:
    """The preferred first. User and main number are masked unless the actor gives a reason."""
    async with services.db.transaction() as tx:
        found = await trunks.list_all(tx)
        await note(services, tx, actor, "list", "trunk", count=len(found))
    states = await trunk_states(services)
    return [_shown(trunk, states, masked=actor.masked) for trunk in found]


async def set_(
    services: Services,
    actor: Actor,
    *,
    trunk: str,
    name: str | None = None,
    host: str | None = None,
    port: int | None = None,
    transport: str | None = None,
    srtp: bool | None = None,
    ipv6: bool | None = None,
    domain: str | None = None,
    register: bool | None = None,
    user: str | None = None,
    realm: str | None = None,
    password: str | None = None,
    sources: Sequence[str] | None = None,
    preference: int | None = None,
    weight: int | None = None,
    channels: int | None = None,
    main_number: str | None = None,
    format: str | None = None,
) -> TrunkView:
    """Change what is given; an empty text takes user or main number back. Raises NotFound, Duplicate, Failure."""
    async with services.db.transaction() as tx:
        before = await trunk_by_name(tx, trunk)
        changes: dict[str, object] = {
            "name": name,
            "host": host,
            "port": port,
            "transport": transport,
            "srtp": srtp,
            "ipv6": ipv6,
            "domain": domain,
            "register": register,
            "user": user,
            "realm": realm,
            "preference": preference,
            "weight": weight,
            "max_channels": channels,
            "international_format": format,
            "sources": None if sources is None else tuple(sources),
        }
        after = replace(before, **{field: value for field, value in changes.items() if value is not None})  # type: ignore[arg-type]
        if main_number is not None:
            after = replace(after, main_number=e164(services.settings, main_number) if main_number else None)
        after = _with_password(before, after, password)
        _check_register(register=after.register, user=after.user, password=after.ha1 is not None)
        saved = await trunks.save(tx, after)
        await note(services, tx, actor, "change", "trunk", trunk_id=saved.id)
    if before.ha1 != saved.ha1:
        await forget(services)
    await _tell(services)
    return await _view(services, saved, masked=actor.masked)


async def enable(services: Services, actor: Actor, *, trunk: str) -> TrunkView:
    """Calls go out by it and come in from it again. Raises Failure."""
    return await _switch(services, actor, trunk, on=True)


async def disable(services: Services, actor: Actor, *, trunk: str, hang_up: bool = False) -> TrunkView:
    """No new call goes out by it or comes in from it; running ones go on, or end (never an emergency call). Says where
    it was the last way for emergency calls. Raises Failure."""
    view = await _switch(services, actor, trunk, on=False)
    async with services.db.read() as tx:
        left = {one.name for one in await trunks.list_all(tx, enabled_only=True)}
    named = set(services.settings.emergency.trunks)
    if not (left & named if named else left):
        view = replace(view, warning="no emergency call leaves any more: it was the last way out for them")
    return replace(view, ended=_hang_up(services, view.id)) if hang_up else view


def _hang_up(services: Services, trunk_id: str) -> int:
    """How many calls end: all of this trunk, but for emergency calls."""
    if services.calls is None:
        return 0
    helping = {call.call_id for call in services.calls.live() if call.emergency}
    concerned = {leg.call_id for leg in services.calls.outside() if leg.trunk_id == trunk_id} - helping
    return sum(services.calls.hang_up(call_id, 503, "The trunk was cut") for call_id in sorted(concerned))


async def remove(services: Services, actor: Actor, *, trunk: str) -> TrunkView:
    """With its credential, limits and sums; its numbers stay. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await trunk_by_name(tx, trunk)
        await trunks.remove(tx, found.id)
        await note(services, tx, actor, "remove", "trunk", trunk_id=found.id)
    await forget(services)
    await _tell(services)
    return _shown(found, None, masked=actor.masked)


async def test(services: Services, actor: Actor, *, trunk: str) -> TrunkTest:
    """Ask the provider itself, and the edge how it stands with it. Changes nothing anywhere. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await trunk_by_name(tx, trunk)
        await note(services, tx, actor, "test", "trunk", trunk_id=found.id)
    states = await trunk_states(services)
    state = None if states is None else states.get(found.id)
    findings = await trunk_test.examine(
        found, state, running=services.live is not None, authorities=services.paths.trunk_ca
    )
    return TrunkTest(found.name, all(one.verdict != "wrong" for one in findings), findings)


async def _switch(services: Services, actor: Actor, name: str, *, on: bool) -> TrunkView:
    async with services.db.transaction() as tx:
        found = await trunk_by_name(tx, name)
        saved = await trunks.save(tx, replace(found, enabled=on))
        await note(services, tx, actor, "enable" if on else "disable", "trunk", trunk_id=saved.id)
    await _tell(services)
    return await _view(services, saved, masked=actor.masked)


def _with_password(before: Trunk, after: Trunk, password: str | None) -> Trunk:
    """The digest is of user, realm and password: where one of them is new, all must be said again. Raises Failure."""
    if not after.user:
        return replace(after, ha1=None)
    if password:
        return replace(after, ha1=ha1(after.user, after.realm, password))
    if before.ha1 is not None and (before.user, before.realm) != (after.user, after.realm):
        raise Failure(
            f"trunk {before.name}: with another user or realm the password has to be said again", _PASSWORD, "invalid"
        )
    return after


def _check_register(*, register: bool, user: str, password: bool) -> None:
    if register and not user:
        raise Failure("a trunk cannot register without a user", "Give it with --user, or --no-register", "invalid")
    if register and not password:
        raise Failure("a trunk cannot register without a password", _PASSWORD, "invalid")


async def _tell(services: Services) -> None:
    if services.live is not None:
        await services.live.trunks_changed()


async def _view(services: Services, trunk: Trunk, *, masked: bool) -> TrunkView:
    return _shown(trunk, await trunk_states(services), masked=masked)


def _shown(trunk: Trunk, states: trunk_test.States | None, *, masked: bool) -> TrunkView:
    number = trunk.main_number
    return TrunkView(
        id=trunk.id,
        name=trunk.name,
        enabled=trunk.enabled,
        state=trunk_test.words(trunk, None if states is None else states.get(trunk.id)),
        host=trunk.host,
        port=trunk.port,
        transport=trunk.transport,
        srtp=trunk.srtp,
        ipv6=trunk.ipv6,
        domain=trunk.domain,
        register=trunk.register,
        user=masking.number(trunk.user) if masked else trunk.user,
        realm=trunk.realm,
        password=trunk.ha1 is not None,
        sources=trunk.sources,
        preference=trunk.preference,
        weight=trunk.weight,
        channels=trunk.max_channels,
        main_number=number and (masking.number(number) if masked else number),
        format=trunk.international_format,
        created_at=trunk.created_at,
        warning=trunk_test.warning(trunk),
    )
