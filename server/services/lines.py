"""Lines: numbers with a purpose, and what follows from the purpose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from config import packs
from config.settings import Settings
from retention.consent import ConsentMode
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.consents import known_sector
from server.services.context import Services
from server.services.directory import account_by_name, line_by_name
from server.services.phone_numbers import not_emergency
from server.services.policy_house import refuse_loosening
from storage import accounts, lines, numbers_owned, readers
from storage.lines import NO_RECORDING, Line
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class LineView:
    """Fields: see `server.commands.lines.FIELDS`."""

    id: str
    name: str
    number: str
    kind: str
    pack: str
    consent: str | None
    metadata_class: str
    language: str | None
    statute: str | None
    members: tuple[str, ...]
    ask_staff: bool
    strategy: str
    member_ring_s: int
    canvassing: str | None
    canvassing_target: str | None
    created_at: datetime
    disabled_at: datetime | None
    warning: str | None


async def add(
    services: Services,
    actor: Actor,
    *,
    name: str,
    number: str,
    kind: str = "ring",
    pack: str = NO_RECORDING,
    consent: str | None = None,
    metadata_class: str = "minimal",
    language: str | None = None,
    statute: str | None = None,
    members: Sequence[str] = (),
    ask_staff: bool = False,
    strategy: str = "simultaneous",
    member_ring_s: int = 20,
) -> LineView:
    """`members`: account names, in ringing order. Raises Duplicate, Invalid, Failure."""
    not_emergency(services.settings, number)
    _check(services, kind, pack, consent, statute, members)
    async with services.db.transaction() as tx:
        if pack != NO_RECORDING or metadata_class == "standard":
            await refuse_loosening(services, tx, "a pack or class of the line's own")
        line = await lines.add(
            tx,
            name,
            number,
            services.clock(),
            kind=kind,
            pack=pack,
            consent_mode=_stored(consent),
            metadata_class=metadata_class,
            language=language,
            statute=statute,
            members=[(await account_by_name(tx, member)).id for member in members],
            ask_staff=ask_staff,
            strategy=strategy,
            member_ring_s=member_ring_s,
        )
        await note(services, tx, actor, "add", "line", line_id=line.id, pack=pack)
        view = await _view(tx, line, services.settings)
    await _tell(services)
    return view


async def list_(services: Services, actor: Actor) -> list[LineView]:
    """By name."""
    async with services.db.transaction() as tx:
        found = [await _view(tx, line, services.settings) for line in await lines.list_all(tx)]
        await note(services, tx, actor, "list", "line", count=len(found))
    return found


async def set_(
    services: Services,
    actor: Actor,
    *,
    line: str,
    name: str | None = None,
    number: str | None = None,
    pack: str | None = None,
    consent: str | None = None,
    metadata_class: str | None = None,
    language: str | None = None,
    statute: str | None = None,
    members: Sequence[str] | None = None,
    ask_staff: bool | None = None,
    strategy: str | None = None,
    member_ring_s: int | None = None,
    canvassing: str | None = None,
    target: Literal["consumer", "professional", "ask"] | None = None,
    disabled: bool | None = None,
) -> LineView:
    """Change what is given; an empty text takes consent, language or statute back. `canvassing`: a
    sector of contact_rules.toml, or "off". Raises NotFound, Duplicate..."""
    if number is not None:
        not_emergency(services.settings, number)
    async with services.db.transaction() as tx:
        before = await line_by_name(tx, line)
        if any(chosen is not None for chosen in (pack, statute)) or metadata_class not in (None, "none"):
            await refuse_loosening(services, tx, "a pack, statute or class of the line's own")
        after = replace(
            before,
            name=before.name if name is None else name,
            number=before.number if number is None else number,
            pack=before.pack if pack is None else pack,
            consent_mode=before.consent_mode if consent is None else _stored(consent),
            metadata_class=before.metadata_class if metadata_class is None else metadata_class,
            language=before.language if language is None else language or None,
            statute=before.statute if statute is None else statute or None,
            members=before.members if members is None else await _ids(tx, members),
            ask_staff=before.ask_staff if ask_staff is None else ask_staff,
            strategy=before.strategy if strategy is None else strategy,
            member_ring_s=before.member_ring_s if member_ring_s is None else member_ring_s,
            canvassing=before.canvassing if canvassing is None else _canvassed(canvassing),
            canvassing_target=before.canvassing_target if target is None else target,
            disabled_at=before.disabled_at if disabled is None else (services.clock() if disabled else None),
        )
        _check_canvassing(after, target)
        whom = after.canvassing_target or "ask"
        after = replace(after, canvassing_target=whom if after.canvassing else None)
        _check(services, after.kind, after.pack, after.consent_mode, after.statute, after.members)
        saved = await lines.save(tx, after)
        await note(services, tx, actor, "change", "line", line_id=saved.id, pack=saved.pack)
        view = await _view(tx, saved, services.settings)
    await _tell(services)
    return view


async def _tell(services: Services) -> None:
    if services.live is not None:
        await services.live.lines_changed()


async def _ids(tx: Tx, members: Sequence[str]) -> tuple[str, ...]:
    return tuple([(await account_by_name(tx, member)).id for member in members])


def _check(
    services: Services, kind: str, pack: str, consent: str | None, statute: str | None, members: Sequence[str]
) -> None:
    """What a line may be. Raises Failure."""
    known = packs.load()
    chosen = known.get(pack)
    if chosen is None or chosen.kind != "recording":
        ids = ", ".join(sorted(one.id for one in known.values() if one.kind == "recording"))
        raise Failure(f"pack {pack} is no purpose of recording", f"Choose one of {ids}", "invalid")
    if problem := chosen.problem(statute or "", services.clock().date()):
        raise Failure(f"pack {pack}: {problem}", "Give it with --statute, or choose another pack", "invalid")
    if consent:
        try:
            asked = ConsentMode.parse(consent)
        except ValueError as error:
            raise Failure(f"consent: {error}", "Choose one of these", "invalid") from None
        if asked < ConsentMode.parse(chosen.consent):
            raise Failure(
                f"consent {asked} is laxer than pack {pack}, which asks for {chosen.consent}",
                "A line may only be stricter than its pack",
                "invalid",
            )
    if kind == "echo" and members:
        raise Failure("an echo line rings nobody", "Leave the members out", "invalid")


def _canvassed(sector: str) -> str | None:
    return None if sector in ("", "off") else known_sector(sector)


def _check_canvassing(line: Line, target: str | None) -> None:
    """Raises Failure."""
    if line.canvassing is None:
        if target is not None:
            raise Failure(f"line {line.name} canvasses nobody", "Say for which sector with --canvassing", "misuse")
        return
    pack = packs.load().get(line.pack)
    if pack is not None and "outbound_canvassing" in pack.forbidden_triggers:
        raise Failure(
            f"pack {pack.id} does not record canvassing calls: whoever is canvassed is bound by a signature alone",
            "Choose another pack with --pack",
            "invalid",
        )


def _stored(consent: str | None) -> str | None:
    return consent.replace("-", "_") if consent else None


async def _view(tx: Tx, line: Line, settings: Settings) -> LineView:
    return LineView(
        id=line.id,
        name=line.name,
        number=line.number,
        kind=line.kind,
        pack=line.pack,
        consent=line.consent_mode.replace("_", "-") if line.consent_mode else None,
        metadata_class=line.metadata_class,
        language=line.language,
        statute=line.statute,
        members=tuple([(await accounts.get(tx, member)).name for member in line.members]),
        ask_staff=line.ask_staff,
        strategy=line.strategy,
        member_ring_s=line.member_ring_s,
        canvassing=line.canvassing,
        canvassing_target=line.canvassing_target,
        created_at=line.created_at,
        disabled_at=line.disabled_at,
        warning=await _warning(tx, line, settings),
    )


async def _warning(tx: Tx, line: Line, settings: Settings) -> str | None:
    """Why this line may not do what its owner expects; None where it will."""
    if line.canvassing and not any(one.line_id == line.id for one in await numbers_owned.list_all(tx)):
        return "no number leads to this line, so no call is made on its behalf and the law is asked about none"
    pack = packs.load().get(line.pack)
    if pack is None or pack.never_records:
        return None
    if not await readers.for_purpose(tx, line.pack):
        return f"nobody may listen to {line.pack}: its calls are not recorded until somebody may (person grant)"
    if line.language and line.language not in settings.company.languages:
        return f"no prompts in {line.language}"
    return None
