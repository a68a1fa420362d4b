"""Calls that go on, and emergency calls, by command: plain words where something is refused, nobody's number shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from server.duty_desk import DutyDesk
from server.failure import Failure
from server.services import operations
from server.services.actor import Actor
from server.services.context import Services
from sip.calls.control import LiveCall
from sip.calls.plan import Refusal
from storage import accounts
from tests.server.duty_house import MAIN_NUMBER, Edge, add_trunk
from tests.server.test_ledger_entries import FakeCalls

ME = Actor("os:1000", "desk-7")
ONE, HELP = "1" * 32, "2" * 32


class Calls(FakeCalls):
    """One ordinary call, and one for help; everything else is refused."""

    def __init__(self, account_id: str) -> None:
        self.ended: list[str] = []
        self.account_id = account_id

    def live(self) -> list[LiveCall]:
        began = datetime.now(UTC) - timedelta(seconds=65)
        return [
            LiveCall(HELP, None, began, False, 2, emergency=True),
            LiveCall(ONE, None, began - timedelta(hours=1), False, 1, self.account_id, "talking", "outbound"),
        ]

    def hang_up(self, call_id: str) -> bool:
        self.ended.append(call_id)
        return True

    def pause(self, call_id: str, on: bool) -> bool:
        return False

    async def transfer(self, call_id: str, side: str, number: str) -> Refusal | None:  # type: ignore[override]
        return Refusal(403, "Premium Numbers Are Not Permitted", "not-permitted")

    async def originate(self, account_name: str, number: str) -> Refusal:  # type: ignore[override]
        return Refusal(480, "Not Registered", "not-registered")


@pytest.fixture
async def calls(services: Services) -> Calls:
    async with services.db.read() as tx:
        account = (await accounts.list_all(tx))[0]
    services.calls = calls = Calls(account.id)  # type: ignore[assignment]
    return calls


async def call(services: Services, op: str, **words: object) -> Any:
    return await operations.call(op, services, ME, words)


async def test_live_calls_show_who_of_ours_and_no_number(services: Services, calls: Calls) -> None:
    first, second = await call(services, "calls.live")
    assert (first["id"], first["account"], first["direction"]) == (ONE, "alice", "outbound")
    assert 3600 < first["seconds"] < 3800 and second["emergency"]
    assert "number" not in first


async def test_a_call_is_ended_by_the_beginning_of_its_id(services: Services, calls: Calls) -> None:
    assert await call(services, "calls.hangup", call_id="111111") == {"call": ONE}
    assert calls.ended == [ONE]


@pytest.mark.parametrize(
    ("op", "words", "code"),
    [
        ("calls.hangup", {"call_id": "3333333"}, "not_found"),
        ("calls.hangup", {"call_id": "1"}, "invalid"),
        ("calls.hangup", {"call_id": HELP}, "denied"),
        ("calls.transfer", {"call_id": HELP, "to": "102"}, "denied"),
        ("calls.transfer", {"call_id": ONE, "to": "0899000000"}, "denied"),
        ("calls.transfer", {"call_id": ONE, "to": "102", "leaves": "c"}, "misuse"),
        ("calls.pause", {"call_id": ONE}, "conflict"),
        ("calls.originate", {"account": "alice", "number": "102"}, "denied"),
        ("calls.originate", {"account": "nobody", "number": "102"}, "not_found"),
    ],
)
async def test_what_cannot_be_done_is_said_in_plain_words(
    services: Services, calls: Calls, op: str, words: dict[str, object], code: str
) -> None:
    with pytest.raises(Failure) as failure:
        await call(services, op, **words)
    assert failure.value.code == code and failure.value.remedy
    assert calls.ended == []


@pytest.mark.parametrize("op", ["calls.live", "emergency.drill"])
async def test_without_a_daemon_it_is_said(services: Services, op: str) -> None:
    with pytest.raises(Failure) as failure:
        await call(services, op, **({"account": "alice"} if op == "emergency.drill" else {}))
    assert failure.value.code == "not_running"


# --- emergency ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("P12")
async def test_a_check_says_what_stands_in_the_way(services: Services) -> None:
    (alice, *_others) = await call(services, "emergency.check")
    assert not alice["sound"] and "there is no trunk that is enabled" in alice["problems"]
    assert any("drill" in problem for problem in alice["problems"])
    await add_trunk(services.db)
    (alice,) = await call(services, "emergency.check", account="alice")
    assert alice["sound"] and alice["trunks"] == ["provider (not known)"] and alice["reserve"] == 1
    assert MAIN_NUMBER not in alice["presented"], "masked without a reason"


@pytest.mark.promise("P12")
async def test_a_drill_is_listed_and_counts_as_one(services: Services, beffroi: Callable[..., Any]) -> None:
    services.duty = duty = DutyDesk(services.db, Edge(), None, lambda: services.settings, lambda: datetime.now(UTC))  # type: ignore[arg-type]
    await add_trunk(services.db)
    made = await call(services, "emergency.drill", account="alice")
    (case,) = duty.reports._cases.values()
    assert await duty.reports._written(case)
    (listed,) = await call(services, "emergency.list")
    assert (listed["id"], listed["account"], listed["drill"]) == (made["id"], "alice", True)
    assert listed["outcome"] == "rehearsed" and listed["told"] == []
    (alice,) = await call(services, "emergency.check", account="alice")
    assert alice["last_drill"] and not any("drill" in problem for problem in alice["problems"])


def test_the_commands_say_it(beffroi: Callable[..., Any]) -> None:
    assert "NO" in beffroi("emergency", "check").out.upper()
    assert beffroi("emergency", "list", "--json").json == []
    ran = beffroi("calls", "live")
    assert ran.status == 1 and "daemon" in ran.err


def test_doctor_says_who_is_told_and_when_it_was_tried(beffroi: Callable[..., Any], data: Path) -> None:
    place = ("--host", "192.0.2.50", "--transport", "udp")
    assert beffroi("trunk", "add", "north", *place).status == 0
    found = {one["check"]: one for one in beffroi_doctor(beffroi)}
    assert found["emergency report"]["verdict"] == found["emergency exercise"]["verdict"] == "note"
    assert "call back" in found["emergency call-back"]["what"]
    path = data / "beffroi.toml"
    path.write_text(path.read_text() + '\n[emergency]\nnotify = ["nobody"]\n' * ("[emergency]" not in path.read_text()))
    path.write_text(path.read_text().replace("notify = []", 'notify = ["nobody"]'))
    found = {one["check"]: one for one in beffroi_doctor(beffroi)}
    assert found["emergency report"]["verdict"] == "wrong"


def beffroi_doctor(beffroi: Callable[..., Any]) -> list[dict[str, Any]]:
    return list(json.loads(beffroi("doctor", "--json").out))
