"""Campaigns and their lists: sealed, in order, one of each, and held still while somebody is taken from them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import pytest

from storage import campaigns, inboxes
from storage.campaigns import Campaign, Recipient, Wording
from storage.database import Database
from storage.errors import Conflict, Duplicate, Invalid, NotFound
from storage.tx import Tx

MANY = [Recipient(line, f"+3361234{line:04d}", {"name": f"Doris{line}"}) for line in range(2, 252)]


async def make(tx: Tx, now: datetime, name: str = "summer-2026") -> Campaign:
    try:
        inbox = await inboxes.by_name(tx, "sales")
        sender = (await inboxes.senders(tx))[0]
    except NotFound:
        inbox = await inboxes.add(tx, "sales", "team", now)
        sender = await inboxes.add_sender(
            tx, inbox.id, "'Beffroi", "name", now, classes=("marketing",), approved_by="somebody"
        )
    return await campaigns.add(
        tx, now, Wording("Hello {name}", True), name=name, inbox_id=inbox.id, sender_id=sender.id,
        message_class="marketing", sector="telecom", target="ask", language="fr", per_minute=60, starts_at=now,
        ends_at=now + timedelta(days=7), created_by="somebody", expires_at=now + timedelta(days=365),
    )  # fmt: skip


@pytest.mark.promise("P22")
async def test_a_campaign_and_its_list_are_kept_sealed(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    async with db.transaction() as tx:
        made = await make(tx, now)
        await campaigns.add_recipients(tx, made.id, MANY, now)
    async with db.read() as tx:
        assert await campaigns.by_name(tx, "summer-2026") == await campaigns.get(tx, made.id) == made
        assert await campaigns.wording(tx, made.id) == Wording("Hello {name}", True)
        found = [one async for some in campaigns.every_recipient(tx, made.id) for one in some]
        assert found == MANY
        (fate,) = await campaigns.fates(tx, made.id, number=MANY[7].number)
        assert (fate.line, fate.state) == (MANY[7].line, "waiting")
    kept = await raw(db)
    for secret in (b"Hello", b"Doris9", b"+336", MANY[3].number.encode()):
        assert secret not in kept


@pytest.mark.promise("1.7")
async def test_a_number_stands_in_a_list_once(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        made, other = await make(tx, now), await make(tx, now, "winter")
        await campaigns.add_recipients(tx, made.id, MANY[:1], now)
        await campaigns.add_recipients(tx, other.id, MANY[:1], now)
    with pytest.raises((Duplicate, Conflict)):
        async with db.transaction() as tx:
            await campaigns.add_recipients(tx, made.id, [Recipient(99, MANY[0].number)], now)
    for name, error in (("summer-2026", Duplicate), ("Summer", Invalid), ("n-612345678", Invalid)):
        with pytest.raises(error):
            async with db.transaction() as tx:
                await make(tx, now, name)


async def test_whose_turn_it_is(db: Database, now: datetime) -> None:
    later = now + timedelta(hours=3)
    async with db.transaction() as tx:
        made = await make(tx, now)
        await campaigns.add_recipients(tx, made.id, MANY[:10], now)
        first = await campaigns.due(tx, made.id, now, limit=4)
        assert [one.line for one in first] == [2, 3, 4, 5] and first[0] == MANY[0]
        await campaigns.take(tx, made.id, [(2, "a" * 32)])
        await campaigns.refuse(tx, made.id, [(3, "no_consent"), (4, "suppressed")])
        await campaigns.put_off(tx, made.id, [(5, "hours", later)])
        assert [one.line for one in await campaigns.due(tx, made.id, now, limit=99)] == list(range(6, 12))
        assert await campaigns.next_due(tx, made.id) == now
        assert await campaigns.counts(tx, made.id) == {"taken": 1, "refused": 2, "later": 1, "waiting": 6}
        assert await campaigns.grounds(tx, made.id) == {"no_consent": 1, "suppressed": 1, "hours": 1}
        assert [one.line for one in await campaigns.due(tx, made.id, later, limit=99)] == [*range(6, 12), 5]
        assert await campaigns.end_recipients(tx, made.id, "cancelled", "") == 7
        assert await campaigns.next_due(tx, made.id) is None
        assert [one.line for one in await campaigns.fates(tx, made.id, states=("refused",))] == [3, 4]


@pytest.mark.promise("P22")
async def test_who_pauses_waits_for_whoever_takes_recipients(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        made = await make(tx, now)
        await campaigns.move(tx, made.id, "draft", "running", now, approved_by="boss", approved_sha256="0" * 64)
        await campaigns.add_recipients(tx, made.id, MANY[:2], now)
    held, asked = asyncio.Event(), asyncio.Event()

    async def take() -> None:
        async with db.transaction() as tx:
            assert await campaigns.hold_still(tx, made.id, "running", now)
            held.set()
            await asked.wait()
            await campaigns.take(tx, made.id, [(2, "a" * 32)])

    async def cancel() -> int:
        await held.wait()
        asked.set()
        async with db.transaction() as tx:
            await campaigns.move(tx, made.id, "running", "cancelled", now)
            return await campaigns.end_recipients(tx, made.id, "cancelled", "")

    async with asyncio.TaskGroup() as group:
        group.create_task(take())
        cancelled = group.create_task(cancel())
    assert cancelled.result() == 1
    async with db.transaction() as tx:
        assert not await campaigns.hold_still(tx, made.id, "running", now)
        with pytest.raises(Conflict):
            await campaigns.move(tx, made.id, "running", "paused", now)
    async with db.read() as tx:
        assert await campaigns.counts(tx, made.id) == {"taken": 1, "cancelled": 1}
        assert (await campaigns.get(tx, made.id)).approved_by == "boss"
