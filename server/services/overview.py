"""At a glance: whether all is well, and what is not. Counts, states and internal names; no number, nobody."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from config import alerts as alert_data
from config.sections import Emergency
from server.alerting.conditions import Sensed
from server.services.actor import Actor
from server.services.context import Services
from server.services.retention import SweepView
from server.services.retention import status as swept
from sip.calls.trunk_choice import emergency_way
from sip.edge.rpc import RpcError
from storage import alerts, trunks
from storage.trunks import Trunk

State = Literal["good", "note", "bad", "unknown"]
_WORST: Mapping[State, int] = {"bad": 3, "note": 2, "unknown": 1, "good": 0}


@dataclass(frozen=True, slots=True)
class Part:
    """`says`: what was found, as a word of a short list; `count` and `of`: how much; `names`: of trunks or carriers."""

    part: str
    state: State
    says: str
    count: int | None = None
    of: int | None = None
    at: datetime | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """`state`: that of the worst part. Where the daemon does not run, what only it knows is unknown."""

    state: State
    running: bool
    parts: tuple[Part, ...]
    calls: int
    capacity: int
    registered: int | None
    texts_waiting: int
    alerts: Mapping[str, int]
    looked_at: datetime


async def overview(services: Services, actor: Actor) -> Overview:
    """How each part is now. Raises StorageError."""
    began_s = time.perf_counter()
    async with services.db.read() as tx:
        opened = await alerts.open_by_severity(tx)
        every = await trunks.list_all(tx)
    answered_ms = int((time.perf_counter() - began_s) * 1000)
    live: Mapping[str, object] = await services.live.status() if services.live is not None else {}
    sensed = (services.alerts.sensed if services.alerts is not None else None) or Sensed()
    limits = alert_data.with_limits(alert_data.load(), services.settings.alerts.thresholds)
    now = services.clock()
    parts = (
        _alerts(opened),
        _emergency(every, sensed, services.settings.emergency),
        *_processes(services, live),
        Part("database", "good", "answers", answered_ms),
        _trunks([one for one in every if one.enabled], sensed),
        _carriers(services, sensed),
        _disk(sensed, limits["disk-low"].limits["times"]),
        _certificate(
            sensed, now, limits["certificate-soon"].limits["days"], limits["certificate-urgent"].limits["days"]
        ),
        _sweep(await swept(services, actor)),
        _ledger(sensed),
        *_overdue(sensed),
    )
    calls, texts = live.get("calls"), live.get("texts")
    return Overview(
        state=max((one.state for one in parts), key=_WORST.__getitem__),
        running=services.live is not None,
        parts=parts,
        calls=len(calls) if isinstance(calls, list) else 0,
        capacity=_whole(live.get("capacity")),
        registered=await _registered(services),
        texts_waiting=_whole(texts.get("waiting")) if isinstance(texts, Mapping) else 0,
        alerts=opened,
        looked_at=now,
    )


def _alerts(opened: Mapping[str, int]) -> Part:
    """What is only worth knowing is no reason to look up."""
    state: State = "bad" if opened.get("critical") else "note" if opened.get("warning") else "good"
    count = sum(opened.values())
    return Part("alerts", state, "open" if count else "none", count)


def _emergency(every: Sequence[Trunk], sensed: Sensed, said: Emergency) -> Part:
    """Can somebody who dials for help be heard by anybody? A house without a trunk may be meant so."""
    if said.drill:
        return Part("emergency", "bad", "drilled")
    sensed_up = sensed.trunks or {}
    way, names = emergency_way([(one.name, one.enabled, sensed_up.get(one.id)) for one in every], said.trunks)
    match way:
        case "none":
            return Part("emergency", "note", "none")
        case "strange":
            return Part("emergency", "bad", "strange", len(names), names=names)
        case "disabled":
            return Part("emergency", "bad", "disabled")
        case "unknown":
            return Part("emergency", "unknown", "unknown")
        case "down":
            return Part("emergency", "bad", "down")
        case "named":
            return Part("emergency", "good", "named", names=names)
        case "any":
            return Part("emergency", "good", "any", names=names)


def _processes(services: Services, live: Mapping[str, object]) -> Iterator[Part]:
    if services.live is None:
        yield Part("daemon", "bad", "stopped")
        return
    running = live.get("processes")
    here: Mapping[str, object] = running if isinstance(running, Mapping) else {}
    edge = services.edge is not None and services.edge.attached.is_set()
    yield Part("edge", "good" if edge else "bad", "attached" if edge else "away")
    workers = here.get("workers")
    count = len(workers) if isinstance(workers, list | tuple) else 0
    yield Part("workers", "good" if count else "bad", "ready" if count else "none", count)
    yield Part("recorder", "good", "runs") if here.get("recorder") else Part("recorder", "bad", "stopped")


def _trunks(every: Sequence[Trunk], sensed: Sensed) -> Part:
    """Those that are enabled; the others are meant to be away."""
    if not every:
        return Part("trunks", "good", "none")
    if sensed.trunks is None:
        return Part("trunks", "unknown", "unknown", of=len(every))
    up = sensed.trunks
    down = tuple(one.name for one in every if up.get(one.id) is False)
    well = sum(up.get(one.id) is True for one in every)
    if down:
        return Part("trunks", "bad", "down", len(down), len(every), names=down)
    return Part("trunks", "good" if well == len(every) else "unknown", "up", well, len(every))


def _carriers(services: Services, sensed: Sensed) -> Part:
    chosen = services.settings.sms.carriers
    if not chosen:
        return Part("carriers", "good", "none")
    if sensed.carriers is None:
        return Part("carriers", "unknown", "unknown", of=len(chosen))
    down = tuple(sorted(name for name, up in sensed.carriers.items() if not up))
    well = sum(sensed.carriers.values())
    if down:
        return Part("carriers", "bad", "down", len(down), len(chosen), names=down)
    if not well:  # nobody has asked any of them yet
        return Part("carriers", "unknown", "unknown", of=len(chosen))
    return Part("carriers", "good" if well == len(chosen) else "unknown", "up", well, len(chosen))


def _disk(sensed: Sensed, times: int) -> Part:
    if sensed.free_mb is None:
        return Part("disk", "unknown", "unknown")
    if sensed.free_mb < sensed.needed_mb:
        return Part("disk", "bad", "full", sensed.free_mb, sensed.needed_mb)
    low = sensed.free_mb < times * sensed.needed_mb
    return Part("disk", "note" if low else "good", "low" if low else "free", sensed.free_mb, sensed.needed_mb)


def _certificate(sensed: Sensed, now: datetime, soon: int, urgent: int) -> Part:
    if sensed.certificate_until is None:
        return Part("certificate", "unknown", "unknown")
    left = sensed.certificate_until - now
    if left <= timedelta(0):
        return Part("certificate", "bad", "expired", at=sensed.certificate_until)
    if left <= timedelta(days=soon):
        state: State = "bad" if left <= timedelta(days=urgent) else "note"
        return Part("certificate", state, "soon", left.days, at=sensed.certificate_until)
    return Part("certificate", "good", "valid", left.days, at=sensed.certificate_until)


def _sweep(last: SweepView) -> Part:
    if last.ended_at is None:
        return Part("sweep", "unknown", "never")
    if last.problem:
        return Part("sweep", "bad", "failed", at=last.ended_at)
    return Part("sweep", "good", "done", sum(last.destroyed.values()), at=last.ended_at)


def _ledger(sensed: Sensed) -> Part:
    if sensed.ledger_sound is None:
        return Part("ledger", "unknown", "unknown")
    return Part("ledger", "good", "sound") if sensed.ledger_sound else Part("ledger", "bad", "broken")


def _overdue(sensed: Sensed) -> Iterator[Part]:
    if sensed.holds_overdue:
        yield Part("holds", "note", "overdue", len(sensed.holds_overdue))
    if sensed.orphans:
        yield Part("orphans", "note", "found", sensed.orphans)


async def _registered(services: Services) -> int | None:
    """Phones that are registered now; None: nobody knows."""
    if services.edge is None or not services.edge.attached.is_set():
        return None
    try:
        return len(await services.edge.registrations())
    except RpcError:
        return None


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
