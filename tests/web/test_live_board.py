"""The live board: whose calls one sees and how much of them; what is done to a call; none, some and many."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import timedelta

import pytest

from server.rights import Reach
from server.services import live_board
from sip.calls.control import LiveCall
from sip.calls.conversation import Side
from storage import call_records, ledger
from storage.call_records import CallRecord
from tests.server.two_teams import NOW, NUMBERS, OUTSIDE
from tests.web.mine_house import House

MASKED = OUTSIDE[:3] + "•••••••" + OUTSIDE[-2:]
LANGUAGES = ["en", "fr"]


def going(house: House, calls: list[LiveCall]) -> None:
    """These, and no others."""
    house.services.calls.live = lambda: calls  # type: ignore[union-attr, method-assign]


def a_call(house: House, of: str, **more: object) -> LiveCall:
    """From outside to one of ours, who talks."""
    account = house.teams.accounts[of]
    values: dict[str, object] = {
        "call_id": secrets.token_hex(16), "line_id": None, "began_at": NOW - timedelta(minutes=3), "recording": False,
        "worker_pid": 1, "account_id": account, "direction": "inbound", "accounts": frozenset({account}),
        "state_since": NOW - timedelta(seconds=42), "sides": (Side(None, OUTSIDE), Side(account, "101")),
    }  # fmt: skip
    return LiveCall(**{**values, **more})  # type: ignore[arg-type]


@pytest.mark.promise("0.4", "1.9", "P7")
@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_supervisor_sees_the_calls_of_the_team_alone(house: House, language: str) -> None:
    ours, theirs = a_call(house, "bob"), a_call(house, "carol")
    going(house, [ours, theirs])
    who = house.sign_in("alice", "supervisor")
    page = await house.get("/live", who, language)
    assert page.status == 200
    assert ours.call_id in page.html and theirs.call_id not in page.html
    assert f"{MASKED} →" in page.text and "bob" in page.text and "carol" not in page.text
    assert OUTSIDE not in page.html and page.headers["Cache-Control"] == "no-store"
    assert {"en": "1 call now, 0 wait", "fr": "1 appel en cours, 0 attend"}[language] in page.text
    assert (await house.get(f"/live/{ours.call_id}", who, language)).status == 200


@pytest.mark.promise("0.4", "1.9")
async def test_nothing_is_done_to_a_call_of_another_team(house: House) -> None:
    theirs = a_call(house, "carol", recording=True)
    going(house, [theirs])
    who = house.sign_in("alice", "supervisor")
    nowhere = secrets.token_hex(16)
    absent = await house.get(f"/live/{nowhere}", who)
    there = await house.get(f"/live/{theirs.call_id}", who)
    assert (absent.status, there.status) == (404, 404)
    assert there.text.replace(theirs.call_id, "ID") == absent.text.replace(nowhere, "ID")
    for act, fields in (("end", {}), ("pause", {"on": "yes"}), ("transfer", {"to": "102", "leaves": "a"})):
        assert (await house.post(f"/live/{theirs.call_id}/{act}", who, fields)).status == 404, act
    assert house.services.calls.touched == []  # type: ignore[union-attr]


@pytest.mark.promise("P4", "P7")
async def test_a_call_is_ended_paused_and_passed_on(house: House) -> None:
    ours = a_call(house, "bob", recording=True)
    going(house, [ours])
    who, path = house.sign_in("alice", "supervisor"), f"/live/{ours.call_id}"
    page = await house.get(path, who)
    assert "Pause the recording" in page.text and "End the call" in page.text and f"{MASKED} stays" in page.text
    assert (await house.post(path + "/pause", who, {"on": "yes"})).went == path
    assert (await house.post(path + "/transfer", who, {"to": "", "leaves": "a"})).status == 422
    assert (await house.post(path + "/transfer", who, {"to": "202", "leaves": "b"})).went == "/live"
    assert (await house.post(path + "/end", who)).went == "/live"
    assert house.services.calls.touched == [ours.call_id] * 3  # type: ignore[union-attr]


@pytest.mark.promise("L5", "P12")
async def test_what_is_private_is_there_for_whoever_takes_part_alone(house: House) -> None:
    """Made private, or of a class that leaves no record: as if there were none, also to whoever sees all."""
    private, own = a_call(house, "bob", private=True), a_call(house, "alice", private=True)
    going(house, [private, own])
    page = await house.get("/live", house.sign_in("alice", "supervisor"))
    assert own.call_id in page.html and private.call_id not in page.html and "bob" not in page.text
    assert "1 call now" in page.text
    everything = await house.get("/live", house.sign_in("dave", "admin"))
    assert own.call_id not in everything.html and private.call_id not in everything.html
    assert (await house.post(f"/live/{private.call_id}/end", house.sign_in("dave", "admin"))).status == 404


@pytest.mark.promise("L11")
async def test_a_number_is_shown_as_far_as_its_record_will_keep_it(house: House) -> None:
    """Class minimal keeps none; whoever takes part has seen it on the telephone; whoever sees all sees none."""
    minimal, own = a_call(house, "bob", metadata_class="minimal"), a_call(house, "alice")
    going(house, [minimal, own])
    page = await house.get("/live", house.sign_in("alice", "supervisor"))
    assert "somebody → calls bob" in page.text and f"{OUTSIDE} → calls alice" in page.text
    everything = await house.get("/live", house.sign_in("dave", "admin"))
    assert OUTSIDE[-2:] + " →" not in everything.text and OUTSIDE not in everything.html
    assert "somebody → calls alice" in everything.text


async def test_who_waits_comes_first_and_a_line_says_at_whom_it_rings(house: House) -> None:
    accounts, line = house.teams.accounts, house.teams.lines["sales"]
    rung = frozenset({accounts["alice"], accounts["bob"]})
    ringing = a_call(
        house, "bob", line_id=line, account_id=None, accounts=rung, rung=rung, state="ringing", began_at=NOW,
        sides=(Side(None, OUTSIDE), Side(None, NUMBERS["sales"])),
    )  # fmt: skip
    held = a_call(house, "bob", held=True, recording=True, paused=True)
    helped = a_call(house, "bob", emergency=True, began_at=NOW - timedelta(seconds=5))
    answered = a_call(house, "bob", state="connecting", began_at=NOW - timedelta(seconds=4))
    going(house, [held, ringing, helped, answered])
    page = await house.get("/live", house.sign_in("alice", "supervisor"))
    assert page.html.index(ringing.call_id) < page.html.index(held.call_id)
    assert "→ calls sales rings at alice, bob" in page.text and "1 waits" in page.text
    assert "Connecting" in page.text and page.html.index(ringing.call_id) < page.html.index(answered.call_id)
    assert "On hold" in page.text and "recording paused" in page.text and "emergency" in page.text
    assert helped.call_id not in page.html, "nothing is done to it"


@pytest.mark.parametrize("many", [0, 1, 30, 200, 260])
async def test_none_and_many(house: House, many: int) -> None:
    going(house, [a_call(house, "bob", began_at=NOW - timedelta(seconds=n)) for n in range(many)])
    page = await house.get("/live", house.sign_in("alice", "supervisor"), "fr")
    assert page.status == 200 and page.html.count("data-since") == min(many, 200)
    assert ("Personne n’appelle" in page.text) is (many == 0)
    assert ("60 autres ne sont pas affichés." in page.text) is (many == 260)


async def test_hours_count_what_is_the_teams(house: House) -> None:
    hour = NOW.replace(minute=0)
    async with house.services.db.transaction() as tx:
        for number, (callee, direction, talked, back) in enumerate(
            [("102", "inbound", 30, 0), ("102", "inbound", 0, 0), ("102", "outbound", 0, 0), ("201", "inbound", 30, 0),
             ("101", "inbound", 60, 2), ("101", "inbound", 60, 7)]
        ):  # fmt: skip
            at = hour - timedelta(hours=back) + timedelta(minutes=1)
            record = CallRecord(
                f"{number:032x}", None, "standard", "CDR_STANDARD", "6(1)(f)", at, NOW + timedelta(days=300),
                {"direction": direction, "duration_s": talked, "cause": "x"}, None,
            )  # fmt: skip
            await call_records.add(tx, record, {"caller": OUTSIDE, "callee": callee})
    alice = house.teams.identity("alice", Reach.TEAM, ("calls.live", "calls.read"))
    found = await live_board.hours(house.services, alice, workstation="here")
    assert found is not None and [one.began_at.hour for one in found] == [7, 8, 9, 10, 11, 12]
    assert (found[-1].answered, found[-1].missed) == (1, 1), "the other team's is not counted, nor what left"
    assert found[-3].answered == 1
    going(house, [])
    assert "Missed since" in (await house.get("/live", house.sign_in("alice", "supervisor"))).text
    admin = await house.get("/live", house.sign_in("dave", "admin"))
    assert admin.status == 200 and "Missed since" not in admin.text, "whose right does not cover records"


@pytest.mark.parametrize("reach", [Reach.ALL, Reach.TEAM])
async def test_hours_count_every_call_of_a_busy_house(house: House, reach: Reach) -> None:
    """More than are read at once, many of them of the same second, in two hours."""
    began = {NOW.replace(minute=5): 2000, NOW.replace(minute=5) - timedelta(hours=1): 1777}
    async with house.services.db.transaction() as tx:
        for number, at in enumerate(at for at, many in began.items() for _ in range(many)):
            talked, until = 30 if number % 2 else 0, NOW + timedelta(days=300)
            fields = {"direction": "inbound", "duration_s": talked, "cause": "x"}
            record = CallRecord(f"{number:032x}", None, "standard", "CDR_STANDARD", "6(1)(f)", at, until, fields, None)
            await call_records.add(tx, record, {"caller": OUTSIDE, "callee": "102"})
    who = house.teams.identity("alice", reach, ("calls.live", "calls.read"))
    found = await live_board.hours(house.services, who, workstation="here")
    assert found is not None
    assert [(one.answered, one.missed) for one in found] == [(0, 0)] * 4 + [(888, 889), (1000, 1000)]


@pytest.mark.promise("0.6")
async def test_streams_that_begin_anew_leave_one_entry_and_an_empty_board_none(house: House) -> None:
    going(house, [])
    who = house.teams.identity("alice", Reach.TEAM, ("calls.live",))
    await live_board.board(house.services, who, workstation="here")
    assert await looks(house) == 0, "nothing was shown"
    going(house, [a_call(house, "bob")])
    async with asyncio.TaskGroup() as tasks:
        for _ in range(20):
            tasks.create_task(live_board.board(house.services, who, workstation="here"))
    assert await looks(house) == 1


@pytest.mark.promise("0.6")
async def test_a_look_is_one_entry_every_five_minutes(house: House) -> None:
    going(house, [a_call(house, "bob")])
    who = house.sign_in("alice", "supervisor")
    moment = NOW
    house.services.clock = lambda: moment
    for _ in range(3):
        await house.get("/live", who)
    assert await looks(house) == 1
    moment = NOW + timedelta(minutes=5)
    await house.get("/live", who)
    assert await looks(house) == 2


async def looks(house: House) -> int:
    async with house.services.db.read() as tx:
        entries = [json.loads(one.body) for one in await ledger.entries(tx, "access")]
    return sum((one["action"], one["object"]) == ("list", "call") for one in entries)
