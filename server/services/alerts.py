"""Alerts: what is open, what it means, and what somebody made of it. Opaque ids; a note is shown with its alert."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from config import alerts as alert_data
from config.alerts import Kind
from server.alerting import writing
from server.alerting.channels import configured
from server.alerting.raised import Raised
from server.failure import Failure
from server.services.actor import Actor, ledger_id
from server.services.audit import note as note_access
from server.services.context import Services
from storage import accounts, alerts, people, trunks
from storage.alerts import Alert
from storage.errors import NotFound
from storage.tx import Tx

Verdict = Literal["false_alarm", "real_danger", "misuse"]
Language = Literal["fr", "en"]


@dataclass(frozen=True, slots=True)
class AlertView:
    """Fields: see `server.commands.alerts.FIELDS`."""

    id: str
    kind: str
    severity: str
    state: str
    count: int
    first_at: datetime
    last_at: datetime
    lasts: bool
    subject: str | None
    verdict: str | None
    waiting: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AlertDetail:
    """Fields: see `server.commands.alerts.DETAIL_FIELDS`."""

    id: str
    kind: str
    severity: str
    state: str
    says: str
    count: int
    first_at: datetime
    last_at: datetime
    lasts: bool
    again: int
    about: str
    subject: str | None
    named: str | None
    verdict: str | None
    judged_by: str | None
    judged_at: datetime | None
    note: str | None
    waiting: tuple[str, ...]
    kept_until: datetime


@dataclass(frozen=True, slots=True)
class RunbookView:
    """Fields: see `server.commands.alerts.RUNBOOK_FIELDS`."""

    kind: str
    severity: str
    says: str
    means: str
    steps: tuple[str, ...]
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RuleView:
    """Fields: see `server.commands.alerts.RULE_FIELDS`."""

    kind: str
    severity: str
    tell: tuple[str, ...]
    thresholds: Mapping[str, int]
    says: str


@dataclass(frozen=True, slots=True)
class Tested:
    """Fields: see `server.commands.alerts.TEST_FIELDS`."""

    id: str
    channels: tuple[str, ...]
    running: bool


async def list_(services: Services, actor: Actor, *, all: bool = False, limit: int = 100) -> list[AlertView]:  # noqa: A002
    """What happened last comes first: those that are open, or all. Opaque ids only: no entry."""
    async with services.db.read() as tx:
        found = await alerts.list_all(tx, open_only=not all, limit=limit)
    return [
        AlertView(one.id, one.kind, one.severity, one.state, one.count, one.first_at, one.last_at, one.lasts,
                  one.subject or None, one.verdict, one.waiting)
        for one in found
    ]  # fmt: skip


async def show(services: Services, actor: Actor, *, alert: str, language: Language | None = None) -> AlertDetail:
    """With the internal name of what it is about, and the note. Raises Failure."""
    async with services.db.transaction() as tx:
        one = await _found(tx, alert)
        await note_access(services, tx, actor, "show", "alert", alert_id=one.id)
        return await _detail(services, tx, one, language)


async def ack(
    services: Services,
    actor: Actor,
    *,
    alert: str,
    verdict: Verdict,
    note: str | None = None,
    language: Language | None = None,
) -> AlertDetail:
    """Say what it was; once more to correct that. When it happens again it is open again. Raises Failure."""
    async with services.db.transaction() as tx:
        one = await _found(tx, alert)
        who = ledger_id(actor.who, services.keys.ledger)
        judged = await alerts.judge(tx, one.id, verdict, who, note, services.clock())
        await note_access(services, tx, actor, "acknowledge", "alert", alert_id=one.id, verdict=verdict)
        view = await _detail(services, tx, judged, language)
    if services.alerts is not None:
        services.alerts.teller.look_soon()
    return view


async def test(services: Services, actor: Actor) -> Tested:
    """An alert that goes all its ways, to see that it arrives. Raises StorageError."""
    async with services.db.transaction() as tx:
        one = await writing.write(services, tx, Raised("test"))
        if one.episode == 1 and one.count > 1:  # nobody has judged the last one: it goes out all the same
            await alerts.judge(tx, one.id, "false_alarm", ledger_id(actor.who, services.keys.ledger), None, one.last_at)
            one = await writing.write(services, tx, Raised("test"))
        await note_access(services, tx, actor, "test", "alert", alert_id=one.id)
    if services.alerts is not None:
        services.alerts.teller.look_soon()
    return Tested(one.id, configured(services.settings.alerts), services.alerts is not None)


async def rules(services: Services, actor: Actor, *, language: Language | None = None) -> list[RuleView]:
    """Every kind with the thresholds that hold now. Nothing of anybody: no entry."""
    chosen = alert_data.with_limits(alert_data.load(), services.settings.alerts.thresholds)
    spoken = _language(services, language)
    return [RuleView(one.id, one.severity, one.tell, one.limits, one.says[spoken]) for one in chosen.values()]


async def runbook(services: Services, actor: Actor, *, kind: str, language: Language | None = None) -> RunbookView:
    """What to do. Nothing of anybody: no entry. Raises Failure."""
    known = alert_data.load()
    if kind not in known:
        raise Failure(f"no alert is called {kind[:40]}", "Type: beffroi alert rules", "not_found")
    one, spoken = known[kind], _language(services, language)
    book = one.runbook
    return RunbookView(
        one.id, one.severity, one.says[spoken], book.means[spoken], book.steps[spoken], book.commands
    )  # fmt: skip


def _language(services: Services, language: Language | None) -> str:
    return language or services.settings.company.languages[0]


async def _found(tx: Tx, alert: str) -> Alert:
    """By the beginning of its id. Raises Failure."""
    found = [one for one in await alerts.list_all(tx) if alert and one.id.startswith(alert)]
    if len(found) != 1:
        which = "no alert has that id" if not found else "several alerts begin so"
        raise Failure(which, "Type: beffroi alert list --all", "not_found" if not found else "ambiguous")
    return found[0]


async def _detail(services: Services, tx: Tx, one: Alert, language: Language | None) -> AlertDetail:
    kind: Kind | None = alert_data.load().get(one.kind)
    return AlertDetail(
        id=one.id,
        kind=one.kind,
        severity=one.severity,
        state=one.state,
        says=kind.says[_language(services, language)] if kind is not None else "",
        count=one.count,
        first_at=one.first_at,
        last_at=one.last_at,
        lasts=one.lasts,
        again=one.episode - 1,
        about=kind.about if kind is not None else "none",
        subject=one.subject or None,
        named=await _named(tx, one.subject),
        verdict=one.verdict,
        judged_by=one.judged_by,
        judged_at=one.judged_at,
        note=one.note,
        waiting=one.waiting,
        kept_until=one.kept_until,
    )


async def _named(tx: Tx, subject: str) -> str | None:
    """Login, account or trunk: internal names, which may be said. None: somebody on this machine, or gone."""
    if not subject:
        return None
    try:
        return (await people.get(tx, subject)).login
    except NotFound:
        pass
    try:
        return (await accounts.get(tx, subject)).name
    except NotFound:
        pass
    return next((one.name for one in await trunks.list_all(tx) if one.id == subject), None)
