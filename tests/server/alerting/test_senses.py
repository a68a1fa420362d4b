"""What the desk is told of a real instance: its disk, its certificate, its ledger, holds and rules that are overdue."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Mapping
from datetime import timedelta

import pytest

from server import tls
from server.alerting.conditions import Conditions
from server.alerting.desk import AlertDesk
from server.alerting.senses import SELDOM_S, Parts, Senses
from server.services.actor import Actor
from server.services.context import Services
from server.services.holds import add as add_hold
from storage import alerts, people

ME = Actor("os:0", "here", "a case", "A-1")


class Told:
    """What the daemon would say of its parts."""

    def __init__(self) -> None:
        self.edge, self.recorder, self.swept = False, True, ""
        self.trunks: Mapping[str, bool | None] = {}

    def parts(self) -> Parts:
        return Parts(
            edge=lambda: self.edge, recorder=lambda: self.recorder, trunks=lambda: self.trunks,
            sweep=lambda: self.swept, orphans=lambda: 2, counts=lambda: {"bans": 3}, near=lambda: (),
        )  # fmt: skip


@pytest.fixture
def told() -> Told:
    return Told()


async def test_a_fresh_instance_is_well(services: Services, told: Told):
    told.edge = True
    senses = Senses(services, told.parts())
    await senses.verify_once()
    sensed = await senses.sense()
    assert sensed.ledger_sound and sensed.free_mb is not None and sensed.needed_mb == 500
    expires = tls.expires_at(services.paths.tls_certificate.read_bytes())
    assert sensed.certificate_until == expires and sensed.holds_overdue == frozenset()
    assert sensed.orphans == 2
    assert Conditions(AlertDesk(services, senses.sense)._kinds).look(sensed, services.clock(), 0).over == ()


async def test_trunks_are_not_spoken_of_before_the_edge_was_there(services: Services, told: Told):
    senses = Senses(services, told.parts())
    assert (await senses.sense()).trunks is None
    told.edge = True
    assert (await senses.sense()).trunks == {}
    told.edge = False
    assert (await senses.sense()).trunks == {}


async def test_what_is_slow_is_looked_at_seldom(services: Services, told: Told):
    clock_s = 0.0
    senses = Senses(services, told.parts(), monotonic=lambda: clock_s)
    until = (await senses.sense()).certificate_until
    services.paths.tls_certificate.unlink()
    assert (await senses.sense()).certificate_until == until is not None
    clock_s = SELDOM_S
    assert (await senses.sense()).certificate_until is None, "cannot be told, which is no alert"


@pytest.mark.promise("2.22")
async def test_a_hold_past_its_day_is_sensed(services: Services, told: Told):
    now = services.clock()
    async with services.db.transaction() as tx:
        await people.add(tx, "dora", "Dora", now, roles=("dpo",))
    made = await add_hold(services, ME, scope="account", named="alice", requested_by="court", approved_by="dora",
                          review=(now + timedelta(days=2)).date())  # fmt: skip
    assert (await Senses(services, told.parts()).sense()).holds_overdue == frozenset()
    services.clock = lambda: now + timedelta(days=3)
    assert (await Senses(services, told.parts()).sense()).holds_overdue == {made.id}


@pytest.mark.promise("2.22")
async def test_a_ledger_that_was_written_into_is_an_alert(services: Services, told: Told):
    """With somebody's own hand in the file of the database."""
    senses = Senses(services, told.parts())
    desk = AlertDesk(services, senses.sense)
    with contextlib.closing(sqlite3.connect(services.paths.database)) as raw, raw:
        newest = raw.execute("SELECT max(seq) FROM ledger_entries WHERE log = 'access'").fetchone()[0]
        raw.execute(
            "UPDATE ledger_entries SET body = CAST(replace(CAST(body AS TEXT), 'done', 'deny') AS BLOB) "
            "WHERE log = 'access' AND seq = ?",
            (newest,),
        )
    await senses.verify_once()
    await desk.look()
    await desk.write_down()
    async with services.db.read() as tx:
        assert ("ledger-broken", True) in {(one.kind, one.lasts) for one in await alerts.list_all(tx)}
