"""Receipts of destruction are kept as they were signed."""

from datetime import UTC, datetime

import pytest

from storage import receipts
from storage.database import Database
from storage.errors import Duplicate, NotFound

NOW = datetime(2026, 11, 22, 1, tzinfo=UTC)


@pytest.mark.promise("2.12")
async def test_a_receipt_is_kept_and_never_replaced(db: Database) -> None:
    async with db.transaction() as tx:
        await receipts.add(tx, "a" * 32, '{"signed": true}', NOW)
    with pytest.raises(Duplicate):
        async with db.transaction() as tx:
            await receipts.add(tx, "a" * 32, '{"signed": false}', NOW)
    async with db.read() as tx:
        assert (await receipts.get(tx, "a" * 32)).body == '{"signed": true}'
        assert [one.id for one in await receipts.list_all(tx)] == ["a" * 32]
        with pytest.raises(NotFound):
            await receipts.get(tx, "b" * 32)
