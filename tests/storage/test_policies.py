"""Versions of the policy and their approvals, the register of preconditions, counts of samples; on both databases."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import text

from storage import ledger, lines, people, policies, policy_samples
from storage.database import Database
from storage.errors import Conflict, Duplicate, NotFound
from storage.ids import new_id
from storage.policies import StoredApproval, StoredPrecondition
from storage.tx import Tx

BODY = b'{"format":"beffroi-policy/1"}'


async def person(tx: Tx, login: str, now: datetime) -> str:
    return (await people.add(tx, login, login.title(), now, roles=("dpo",))).id


def approval(person_id: str, now: datetime, sha256: str = "0" * 64) -> StoredApproval:
    return StoredApproval(person_id, now, sha256, 1, b"signed", 7)


async def test_a_draft_is_changed_until_somebody_has_approved_it(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        assert await policies.next_number(tx) == 1
        made = await policies.add(tx, 1, BODY, now)
        assert (made.number, made.body, made.approvals) == (1, BODY, ())
        assert (await policies.set_body(tx, 1, b"{}")).body == b"{}"
        with pytest.raises(Duplicate):
            await policies.add(tx, 1, BODY, now)
        approved = await policies.approve(tx, 1, approval(await person(tx, "dora", now), now))
        assert [one.sha256 for one in approved.approvals] == ["0" * 64]
        for change in (policies.set_body(tx, 1, BODY), policies.discard(tx, 1, now)):
            with pytest.raises(Conflict, match="superseded, never changed"):
                await change
        assert (await policies.get(tx, 1)).body == b"{}" and await policies.next_number(tx) == 2


async def test_one_person_approves_once_and_a_discarded_draft_is_nobodys(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        dora = await person(tx, "dora", now)
        await policies.add(tx, 1, BODY, now)
        await policies.approve(tx, 1, approval(dora, now))
        with pytest.raises(Duplicate, match="person"):
            await policies.approve(tx, 1, approval(dora, now + timedelta(days=1)))
        await policies.add(tx, 2, BODY, now)
        assert (await policies.discard(tx, 2, now)).discarded_at == now
        for change in (policies.set_body(tx, 2, BODY), policies.approve(tx, 2, approval(dora, now))):
            with pytest.raises(Conflict, match="discarded"):
                await change
        with pytest.raises(NotFound):
            await policies.get(tx, 3)
        assert [one.number for one in await policies.list_all(tx)] == [1, 2]


async def test_an_approval_and_its_ledger_entry_are_there_together_or_not_at_all(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        dora = await person(tx, "dora", now)
        await policies.add(tx, 1, BODY, now)

    async def approve(*, dies: bool) -> None:
        async with db.transaction() as tx:
            said = {"actor_id": dora, "action": "approve", "object": "policy", "policy_sha256": "0" * 64}
            seq = (await ledger.append(tx, "access", said, now)).seq
            await policies.approve(tx, 1, replace(approval(dora, now), ledger_seq=seq))
            if dies:
                raise RuntimeError("killed before the commit")

    with pytest.raises(RuntimeError):
        await approve(dies=True)
    async with db.read() as tx:
        assert (await policies.get(tx, 1)).approvals == () and await ledger.entries(tx, "access") == ()
    await approve(dies=False)
    async with db.read() as tx:
        assert len((await policies.get(tx, 1)).approvals) == len(await ledger.entries(tx, "access")) == 1


async def test_an_entry_is_sealed_and_withdrawn_never_changed(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        line = await lines.add(tx, "sales", "300", now)
        entry = StoredPrecondition(
            id=new_id(),
            kind="dpia_signed",
            pack="REC_QUALITY",
            line_id=line.id,
            evidence="minutes of Ms Durand",
            done_by="Dora Durand",
            done_on=date(2026, 11, 1),
            entered_at=now,
            entered_by="e" * 32,
        )
        await policies.enter(tx, entry)
        assert await policies.preconditions(tx) == (entry,)
        sealed = await tx.row(text("SELECT about_sealed FROM policy_preconditions"))  # type: ignore[arg-type]
        assert sealed is not None and b"Durand" not in bytes(sealed["about_sealed"])
        assert "Durand" not in repr(entry)
        gone = await policies.withdraw(tx, entry.id, "f" * 32, now + timedelta(days=1))
        assert (gone.withdrawn_by, gone.withdrawn_at) == ("f" * 32, now + timedelta(days=1))
        with pytest.raises(Conflict):
            await policies.withdraw(tx, entry.id, "f" * 32, now)
        with pytest.raises(NotFound):
            await policies.withdraw(tx, new_id(), "f" * 32, now)


async def test_counts_of_a_line_are_added_by_day_and_never_fall_below_zero(db: Database) -> None:
    first, second = date(2026, 12, 1), date(2026, 12, 2)
    async with db.transaction() as tx:
        for day in (first, second, second):
            await policy_samples.add(tx, "line", day, held=1)
        await policy_samples.add(tx, "line", second, taken=1)
        await policy_samples.add(tx, "other", second, taken=-1)
        assert await policy_samples.counts(tx, "line", first) == (3, 1)
        assert await policy_samples.counts(tx, "line", second) == (2, 1)
        assert await policy_samples.counts(tx, "other", first) == (0, 0)


async def test_two_calls_at_once_do_not_take_the_same_place(db: Database) -> None:
    day = date(2026, 12, 1)
    earlier = day - timedelta(days=1)
    async with db.transaction() as tx:
        await policy_samples.add(tx, "line", earlier, held=1)

    async def take() -> bool:
        async with db.transaction() as tx:
            await policy_samples.lock(tx, "line", day)  # the first of that day, all at once
            held, taken = await policy_samples.counts(tx, "line", earlier)
            free = taken < held
            if free:
                await policy_samples.add(tx, "line", day, taken=1)
            return free

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(take()) for _ in range(8)]
    assert sum(task.result() for task in tasks) == 1
