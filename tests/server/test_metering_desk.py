"""What outside calls use up: written down while they go on, shared between those of one account, and told before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from server.metering_desk import Alert, MeteringDesk
from server.services.context import Services
from sip.calls.duty import OutsideLeg
from sip.calls.permission import Defaults
from sip.calls.plan import Ceiling, TrunkTarget
from storage import limits, usage
from storage.database import Database
from storage.errors import Unavailable
from storage.limits import Limits
from storage.usage import Usage
from tests.server.duty_house import NOW

pytestmark = pytest.mark.promise("P13")

ALICE, TRUNK = "a" * 32, "7" * 32
CENTS_A_MINUTE = 60_000


@dataclass
class House:
    """Calls that go on, on a clock that the test moves."""

    db: Database
    now_s: float = 1000.0
    legs: list[OutsideLeg] = field(default_factory=list)
    told: list[tuple[str, Ceiling | None]] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.desk = self.another()

    def another(self) -> MeteringDesk:
        return MeteringDesk(
            self.db,
            outside=lambda: self.legs,
            set_ceiling=lambda call_id, ceiling: self.told.append((call_id, ceiling)),
            alert=self.alerts.append,
            defaults=lambda: Defaults(warn_before_s=60.0, alert_at_percent=80),
            clock=lambda: NOW,
            monotonic=lambda: self.now_s,
        )

    def talks(self, call_id: str, payer: str | None = ALICE, price: int = CENTS_A_MINUTE) -> OutsideLeg:
        target = TrunkTarget(
            "b0", TRUNK, "+33123456789", "+33100000001", "", False, payer=payer, microeuros_per_minute=price
        )
        leg = OutsideLeg(call_id, "b0", TRUNK, target, answered_s=self.now_s)
        self.legs.append(leg)
        return leg

    def ends(self, leg: OutsideLeg) -> None:
        self.legs.remove(leg)
        self.desk.leg_ended(leg, leg.talk_s(self.now_s))

    async def limit(self, **values: int) -> None:
        async with self.db.transaction() as tx:
            await limits.save(tx, Limits(limits.of_account(ALICE), **values))  # type: ignore[arg-type]

    async def used(self, owner: str = f"account:{ALICE}") -> Usage:
        async with self.db.read() as tx:
            return await usage.of_day(tx, owner, NOW.date())


@pytest.fixture
def house(services: Services) -> House:
    return House(services.db)


async def test_a_call_is_written_down_while_it_goes_on_and_whole_at_its_end(house: House) -> None:
    leg = house.talks("one")
    house.now_s += 30
    await house.desk.look()
    assert await house.used() == Usage(30, CENTS_A_MINUTE, 1)
    house.now_s += 31.2
    await house.desk.look()
    assert await house.used() == Usage(61, 2 * CENTS_A_MINUTE, 1)
    house.ends(leg)
    await house.desk.look()
    assert await house.used() == await house.used(f"trunk:{TRUNK}") == Usage(62, 2 * CENTS_A_MINUTE, 1)
    await house.desk.look()
    assert await house.used() == Usage(62, 2 * CENTS_A_MINUTE, 1), "nothing twice"


async def test_what_was_not_answered_or_came_in_costs_nobody(house: House) -> None:
    unanswered = house.talks("one")
    unanswered.answered_s = None
    came = OutsideLeg("two", "a", TRUNK, None, answered_s=house.now_s)
    house.legs.append(came)
    house.now_s += 100
    await house.desk.look()
    house.ends(unanswered)
    house.ends(came)
    await house.desk.look()
    assert await house.used() == await house.used(f"trunk:{TRUNK}") == Usage()


async def test_a_crash_costs_half_a_minute_at_most(house: House) -> None:
    house.talks("one")
    for _ in range(4):
        house.now_s += 30
        await house.desk.look()
    house.now_s += 29
    running = house.desk.running(f"account:{ALICE}")
    assert (running.calls, running.seconds, running.microeuros) == (1, 29.0, CENTS_A_MINUTE)
    # here the daemon dies
    assert (await house.used()).seconds == 120


async def test_a_database_that_does_not_answer_loses_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def locked() -> AsyncIterator[None]:
        raise Unavailable("locked")
        yield

    leg = house.talks("one")
    house.now_s += 45
    with monkeypatch.context() as patched:
        patched.setattr(house.db, "transaction", locked)
        await house.desk.look()
        house.ends(leg)
        assert house.desk.running(f"account:{ALICE}").seconds == 45, "the next call is decided with it all the same"
        await house.desk.look()
    await house.desk.look()
    assert await house.used() == Usage(45, CENTS_A_MINUTE, 1)
    assert house.desk.running(f"account:{ALICE}").seconds == 0


async def test_parallel_calls_share_what_is_left(house: House) -> None:
    await house.limit(minutes_per_day=10)
    first = house.talks("one")
    await house.desk.look()
    assert house.told == [("one", Ceiling(600.0, (60.0,)))]
    house.now_s += 100
    second = house.talks("two")
    await house.desk.look()
    assert dict(house.told[1:]) == {"one": Ceiling(250.0, (60.0,)), "two": Ceiling(250.0, (60.0,))}
    house.told.clear()
    await house.desk.look()
    assert house.told == [], "nothing has changed"
    house.now_s += 50
    house.ends(second)
    await house.desk.look()
    assert house.told == [("one", Ceiling(400.0, (60.0,)))], "what the other leaves comes back"
    house.ends(first)
    await house.desk.look()


async def test_money_is_shared_in_whole_minutes_that_can_be_paid(house: House) -> None:
    await house.limit(cents_per_day=18)  # three minutes at six cents
    house.talks("one")
    house.talks("two")
    house.now_s += 1
    await house.desk.look()  # two minutes are begun; the third pays for neither alone to go on beside the other
    assert dict(house.told) == {"one": Ceiling(59.0, ()), "two": Ceiling(59.0, ())}


async def test_a_limit_that_is_lifted_lets_the_call_go_on(house: House) -> None:
    await house.limit(minutes_per_day=1)
    house.talks("one")
    await house.desk.look()
    await house.limit()
    house.now_s += 5
    await house.desk.look()
    assert house.told == [("one", Ceiling(60.0, ())), ("one", None)]


async def test_a_help_call_has_no_ceiling(house: House) -> None:
    await house.limit(minutes_per_day=1)
    house.talks("one", payer=None, price=0)
    house.now_s += 3600
    await house.desk.look()
    assert house.told == [] and await house.used() == Usage()


async def test_somebody_is_told_before_the_limit_is_reached_once(house: House) -> None:
    await house.limit(minutes_per_day=10, minutes_per_month=1000)
    house.talks("one")
    house.now_s += 479
    await house.desk.look()
    assert house.alerts == []
    house.now_s += 2
    house.ends(house.legs[0])
    await house.desk.look()
    await house.desk.look()
    assert house.alerts == [Alert(f"account:{ALICE}", "minutes_per_day", 80)]
