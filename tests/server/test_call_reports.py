"""Statistics name nobody, before and after records have aged; who calls whom is a right of its own."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from server.failure import Failure
from server.services import call_statistics, circle
from server.services import calls as call_service
from storage import accounts, call_records, ledger, lines, numbers_owned, people, tables
from storage.call_records import CallRecord
from tests.server.conftest import Ran
from tests.server.test_sweeper import DPO, NOW, House, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("L11", "0.13")]
WEEK = datetime(2026, 11, 16, 9, tzinfo=UTC)  # the last that is over
ALICE, BOB = "101", "102"


async def call(house: House, caller: str, callee: str, *, at: datetime = WEEK, line_id: str | None = None) -> str:
    call_id = secrets.token_hex(16)
    direction = "outbound" if callee.startswith("+") else "inbound" if caller.startswith("+") else "internal"
    fields: dict[str, Any] = {"call_id": call_id, "direction": direction, "start": at.isoformat(), "duration_s": 60}
    if line_id is not None:
        fields["line_id"] = line_id
    record = CallRecord(
        call_id, line_id, "standard", "p", "GDPR 6(1)(f)", at, at + timedelta(days=180), fields, None
    )  # fmt: skip
    async with house.services.db.transaction() as tx:
        await call_records.add(tx, record, {"caller": caller, "callee": callee})
    return call_id


async def told(house: House, by: Any, **when: date) -> dict[str, int]:
    return {one.group: one.calls for one in await call_statistics.stats(house.services, DPO, by=by, **when)}


async def entries(house: House) -> list[dict[str, Any]]:
    async with house.services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]


@pytest.mark.promise("4.5")
async def test_statistics_are_the_same_before_and_after_numbers_have_aged(house: House) -> None:
    for n in range(6):
        await call(house, f"10{n}", f"+33612{n:06}")
        await call(house, f"10{n}", f"+4930{n:07}", at=WEEK + timedelta(days=1))
    for _ in range(30):
        await call(house, ALICE, "+34911234567")  # one person's, however often
    dimensions = ("country", "day", "direction", "hour")
    before = {by: await told(house, by) for by in dimensions}
    assert before["country"] == {"FR": 6, "others": 36}, "one person's calls hide among the next smallest group"
    assert before["direction"] == {"outbound": 42}
    assert before["day"] == {"2026-11-16": 36, "2026-11-17": 6}
    house.later(timedelta(days=31))
    await house.sweeper.sweep(clock_is_right=True)
    async with house.services.db.read() as tx:
        assert not [one for one in await call_records.list_all(tx) if await call_records.numbers(tx, one.id)]
    assert {by: await told(house, by) for by in dimensions} == before
    house.later(timedelta(days=70))
    await house.sweeper.sweep(clock_is_right=True)
    assert await told(house, "country") == {}, "persons cannot be told apart any more, so nothing is told"


@pytest.mark.promise("4.5")
async def test_too_small_a_week_is_no_part_of_any_answer(house: House) -> None:
    for n in range(8):
        await call(house, f"10{n}", f"+33612{n:06}")
    for n in range(3):
        await call(house, f"10{n}", f"+33612{n:06}", at=WEEK - timedelta(days=7))
    everything = await told(house, "country")
    assert everything == await told(house, "country", since=date(2026, 11, 16)) == {"FR": 8}
    assert await told(house, "country", until=date(2026, 11, 15)) == {}
    house.services.settings = house.services.settings.model_copy(
        update={"retention": house.services.settings.retention.model_copy(update={"min_group": 9})}
    )
    assert await told(house, "country") == {}
    (entry,) = (await entries(house))[-1:]
    assert (entry["action"], entry["object"], entry["count"]) == ("list", "report", 0)
    with pytest.raises(Failure, match="lies before"):
        await told(house, "country", since=date(2026, 11, 16), until=date(2026, 11, 1))


async def furnished(house: House) -> None:
    async with house.services.db.transaction() as tx:
        alice = await accounts.add(tx, "alice", ALICE, "Alice", NOW)
        await accounts.add(tx, "bob", BOB, "Bob", NOW)
        await accounts.add(tx, "union", "109", "Union", NOW)
        await numbers_owned.add(tx, "+33142000001", account_id=alice.id)
        council = await lines.add(tx, "council", "300", NOW)
        await people.add(tx, "clio", "Clio", NOW, roles=("dpo", "circle"))
        await people.add(tx, "ada", "Ada", NOW, roles=("admin", "dpo", "auditor", "reader"))
    await call(house, ALICE, "+33612345678")
    await call(house, "+33612345678", "+33142000001")
    await call(house, BOB, ALICE)
    await call(house, BOB, "+4930123456")  # none of alice's business
    await call(house, ALICE, "109")
    await call(house, "+33699999999", ALICE, line_id=council.id)
    async with house.services.db.transaction() as tx:  # protected since
        for table, name in ((tables.accounts, "union"), (tables.lines, "council")):
            await tx.write(update(table).where(table.c.name == name).values(metadata_class="none"))


@pytest.mark.promise("4.6", "L5")
async def test_who_calls_whom_is_shown_to_who_may_and_masked(house: House) -> None:
    await furnished(house)
    found = await circle.circle(house.services, DPO, account="alice", login="clio")
    assert [(one.other, one.calls, one.inbound, one.outbound) for one in found] == [
        ("+33•••••••••", 2, 1, 1),
        ("•••", 1, 1, 0),
    ], "no protected account, nothing by a protected line"
    clear = await circle.circle(house.services, DPO, account=ALICE, login="clio", full=True)
    assert [one.other for one in clear] == ["+33612345678", BOB]
    entry = (await entries(house))[-1]
    assert (entry["action"], entry["purpose"], entry["outcome"], entry["count"]) == ("search", "circle", "done", 2)
    assert entry["reason_id"] and entry["person_id"] and entry["account_id"]


@pytest.mark.promise("4.6", "L5")
@pytest.mark.parametrize(
    ("login", "account", "actor", "words"),
    [
        ("ada", "alice", DPO, "may not ask who calls whom"),
        ("clio", "union", DPO, "is protected"),
        ("clio", "alice", replace(DPO, case=None), "a reason and a case"),
        ("clio", "alice", replace(DPO, reason=" "), "a reason and a case"),
    ],
)
async def test_nobody_else_is_and_each_refusal_is_written_down(
    house: House, login: str, account: str, actor: Any, words: str
) -> None:
    await furnished(house)
    before = len(await entries(house))
    with pytest.raises(Failure, match=words) as refused:
        await circle.circle(house.services, actor, account=account, login=login)
    assert refused.value.code == "denied" and "+33" not in str(refused.value)
    fresh = (await entries(house))[before:]
    assert [one["outcome"] for one in fresh] == (["denied"] if actor is DPO else []), (
        "without a reason nobody is looked at"
    )


@pytest.mark.promise("4.6")
async def test_who_left_may_ask_no_more(house: House) -> None:
    await furnished(house)
    async with house.services.db.transaction() as tx:
        await people.disable(tx, (await people.by_login(tx, "clio")).id, NOW)
    with pytest.raises(Failure, match="may not ask"):
        await circle.circle(house.services, DPO, account="alice", login="clio")


@pytest.mark.promise("2.19", "3.3")
async def test_a_record_says_why_it_still_shows_what_it_shows(house: House) -> None:
    call_id = await call(house, ALICE, "+33612345678")
    said = {one.field: one for one in (await call_service.show(house.services, DPO, call_id=call_id)).ages}
    assert said["number"].form == "full" and said["number"].then == "keyed"
    assert said["number"].rule.startswith("standard.number.full@") and said["number"].until == datetime(
        2026, 12, 16, 9, tzinfo=UTC
    )
    assert await call_service.list_(house.services, DPO)  # a list says it of none


def test_that_no_figure_is_told_says_why(beffroi: Callable[..., Ran]) -> None:
    told = beffroi("calls", "stats", "--by", "day")
    assert (told.status, told.out.strip()) == (0, "(none)") and "retention.min_group" in told.err
    assert beffroi("calls", "stats", "--by", "day", "--json").json == []
