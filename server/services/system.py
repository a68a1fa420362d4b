"""The instance as a whole: how it is, and its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from config import packs as pack_data
from config import settings as configuration
from config.packs import Pack
from config.settings import Change
from retention.policy_versions import altered_since, in_force, suspended
from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.policy_house import known
from sip.edge.rpc import RpcError
from storage import accounts, alerts, devices, readers, recordings
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class Status:
    """Fields: see `server.commands.system.STATUS_FIELDS`."""

    running: bool
    edge: str
    accounts: int
    devices: int
    registered: int | None
    recordings: Mapping[str, int]
    policy: str
    alerts: Mapping[str, int]
    live: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload changed, and what waits for the next start."""

    applied: tuple[str, ...]
    need_restart: tuple[str, ...]


async def status(services: Services, actor: Actor) -> Status:
    """Counts only: no number, no name, no address; so no ledger entry."""
    async with services.db.read() as tx:
        owned = [one for one in await accounts.list_all(tx) if one.disabled_at is None]
        phones = [one for one in await devices.list_all(tx) if one.revoked_at is None]
        states: dict[str, int] = {}
        for row in await recordings.list_all(tx):
            states[row.state] = states.get(row.state, 0) + 1
        policy = await _policy(services, tx)
        opened = await alerts.open_by_severity(tx)
    edge, registered = await _edge(services)
    live = await services.live.status() if services.live is not None else {}
    return Status(
        services.live is not None, edge, len(owned), len(phones), registered, states, policy, opened, dict(live)
    )


async def _policy(services: Services, tx: Tx) -> str:
    found, now = await known(services, tx), services.clock()
    packs = pack_data.load()
    holds = in_force(found.versions, packs, found.entries, now)
    if (altered := altered_since(found.versions, holds)) is not None:
        return f"version {altered} was altered after it had been approved: nothing is recorded (beffroi policy verify)"
    if holds is None:
        return "none in force: each line's own settings hold (make one: beffroi policy draft --from-lines)"
    off = suspended(holds.policy, packs, found.entries, now)
    waiting = f"; not recorded for want of preconditions: {', '.join(sorted(off))}" if off else ""
    bound = {rule.pack for rule in holds.policy.rules if _records(packs.get(rule.pack))}
    deaf = [pack for pack in sorted(bound) if not await readers.for_purpose(tx, pack)]
    nobody = f"; not recorded, because nobody may listen (person grant): {', '.join(deaf)}" if deaf else ""
    return f"version {holds.policy.number} is in force{waiting}{nobody}"


def _records(pack: Pack | None) -> bool:
    return pack is not None and pack.kind == "recording" and not pack.never_records


async def reload(services: Services, actor: Actor) -> Reloaded:
    """Read the configuration anew; a bad one is refused as a whole and the old stays. Raises Failure, ConfigError."""
    if services.live is None:
        raise Failure("the daemon is not running", "It reads its configuration when it starts", "not_running")
    fresh = configuration.load(services.paths.config)
    changes = configuration.diff(services.settings, fresh)
    now, later = [c for c in changes if not c.restart], [c for c in changes if c.restart]
    kept = _with(services.settings, now)
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "reload", "configuration", count=len(now))
    await services.live.apply(kept, now)
    services.settings = kept
    if services.alerts is not None:
        services.alerts.applied()
    return Reloaded(tuple(c.key for c in now), tuple(c.key for c in later))


def _with(old: configuration.Settings, changes: list[Change]) -> configuration.Settings:
    """The old settings with these changes: keys that need a restart stay as they were."""
    sections: dict[str, dict[str, object]] = {}
    for change in changes:
        section, _, key = change.key.partition(".")
        sections.setdefault(section, {})[key] = change.new
    updates = {name: getattr(old, name).model_copy(update=values) for name, values in sections.items()}
    return old.model_copy(update=updates)


async def _edge(services: Services) -> tuple[str, int | None]:
    if services.edge is None:
        return "unknown", None
    if not services.edge.attached.is_set():
        return "away", None
    try:
        return "attached", len(await services.edge.registrations())
    except RpcError:
        return "silent", None
