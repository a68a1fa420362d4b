"""How calls went, kept for some days."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from storage import diagnoses
from storage.database import Database
from storage.diagnoses import CallDiagnosis
from storage.errors import Duplicate, Invalid, NotFound

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)
WEEK = timedelta(days=7)
FACTS = {"verdicts": [{"id": "loss-in", "leg": "a", "values": {"percent": 10}}], "ladder": [[0, "a", True, "INVITE"]]}


def diagnosis(call_id: str = "a" * 32, at: datetime = NOW, mos_centi: int | None = 340) -> CallDiagnosis:
    return CallDiagnosis(call_id, at, at + WEEK, "loss-in", mos_centi, FACTS)


@pytest.mark.promise("P15")
async def test_what_is_kept_is_found_again_until_it_expires(db: Database) -> None:
    async with db.transaction() as tx:
        await diagnoses.add(tx, diagnosis())
    async with db.read() as tx:
        assert await diagnoses.get(tx, "a" * 32, NOW) == diagnosis()
        assert await diagnoses.scores(tx, ["a" * 32, "b" * 32], NOW) == {"a" * 32: 340}
        assert await diagnoses.beginning_with(tx, "aaaa", NOW) == ("a" * 32,)
        for late in (NOW + WEEK, NOW + 2 * WEEK):
            with pytest.raises(NotFound):
                await diagnoses.get(tx, "a" * 32, late)
            assert await diagnoses.list_all(tx, late) == ()
            assert await diagnoses.scores(tx, ["a" * 32], late) == {}
            assert await diagnoses.beginning_with(tx, "a", late) == ()


async def test_newest_first(db: Database) -> None:
    async with db.transaction() as tx:
        for n in range(3):
            await diagnoses.add(tx, diagnosis(str(n) * 32, NOW - timedelta(hours=n)))
    async with db.read() as tx:
        assert [d.call_id[0] for d in await diagnoses.list_all(tx, NOW)] == ["0", "1", "2"]
        assert [d.call_id[0] for d in await diagnoses.list_all(tx, NOW, limit=1)] == ["0"]


async def test_what_has_expired_can_be_swept_away(db: Database) -> None:
    async with db.transaction() as tx:
        await diagnoses.add(tx, diagnosis())
        await diagnoses.add(tx, diagnosis("b" * 32, NOW + WEEK))
        assert await diagnoses.expired(tx, NOW + WEEK) == ("a" * 32,)
        assert await diagnoses.remove(tx, "a" * 32) and not await diagnoses.remove(tx, "a" * 32)
        assert await diagnoses.expired(tx, NOW + WEEK) == ()


async def test_one_a_call_and_a_verdict_is_a_word(db: Database) -> None:
    async with db.transaction() as tx:
        await diagnoses.add(tx, diagnosis(mos_centi=None))
        assert await diagnoses.scores(tx, ["a" * 32], NOW) == {}
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await diagnoses.add(tx, diagnosis())
    with pytest.raises(Invalid):
        async with db.transaction() as tx:
            await diagnoses.add(tx, replace(diagnosis("b" * 32), verdict="Alice was mute"))


async def test_facts_lie_sealed(db: Database, raw: Callable[[Database], Awaitable[bytes]]) -> None:
    async with db.transaction() as tx:
        await diagnoses.add(tx, diagnosis())
    assert b"INVITE" not in await raw(db)
