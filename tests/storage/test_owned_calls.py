"""Whose calls: the same by every way of finding them, and the same as opening each record and looking."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import ageing, call_records, lines, owned_calls
from storage.call_records import CallRecord
from storage.database import Database
from storage.owned_calls import OwnedCalls, Owners
from storage.tx import Tx

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = ("101", "102", "201", "alice", "+33612345678")
LINES = ("sales", "support")
CALL = st.tuples(
    st.lists(st.sampled_from(NAMES), max_size=2),  # its numbers
    st.sampled_from([None, *LINES]),
    st.integers(0, 60),  # days ago
    st.booleans(),  # aged: only hashes of its numbers are left
)
MY_LINES = st.dictionaries(st.sampled_from(LINES), st.integers(0, 60))  # since how many days ago
MINE = st.dictionaries(st.sampled_from(NAMES[:4]), st.integers(0, 60))  # since how many days ago


async def written(tx: Tx, call: tuple[list[str], str | None, int, bool], line_ids: dict[str, str]) -> str:
    numbers, line, days, aged = call
    call_id, at = secrets.token_hex(16), NOW - days * DAY
    roles = dict(zip(("caller", "callee"), numbers, strict=False))
    record = CallRecord(
        call_id, line_ids[line] if line else None, "standard", "p", "6", at, NOW + 99 * DAY, {}, None
    )  # fmt: skip
    await call_records.add(tx, record, roles)
    if aged:
        await ageing.become(
            tx, call_id, at=at, expires_at=NOW + 99 * DAY, fields={}, numbers={}, to_key=roles, keyed=True,
            ages_at=None, month=f"{at:%Y-%m}", now=NOW,
        )  # fmt: skip
    return call_id


@pytest.mark.promise("1.9")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    calls=st.lists(CALL, max_size=12), mine=MINE, my_lines=MY_LINES,
    limit=st.integers(1, 14), of=st.sampled_from([None, *LINES]), few=st.sampled_from([0, 10_000]),
    page=st.sampled_from([1, 3, 500]),
)  # fmt: skip
async def test_the_same_by_every_way(  # noqa: PLR0913
    db: Database, monkeypatch: pytest.MonkeyPatch, calls: list[tuple[list[str], str | None, int, bool]],
    mine: dict[str, int], my_lines: dict[str, int], limit: int, of: str | None, few: int, page: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(owned_calls, "FEW", few)
    monkeypatch.setattr(owned_calls, "_PAGE", page)
    async with db.transaction() as tx:
        there = {one.name: one.id for one in await lines.list_all(tx)}
        line_ids = there or {name: (await lines.add(tx, name, f"30{n}", NOW)).id for n, name in enumerate(LINES)}
        for old in await call_records.list_all(tx):
            await call_records.remove(tx, old.id)
        ids = [await written(tx, call, line_ids) for call in calls]
        since = {name: NOW - days * DAY for name, days in mine.items()}
        lines_since = {line_ids[one]: NOW - days * DAY for one, days in my_lines.items()}
        owned = await OwnedCalls.of(tx, Owners(since, lines_since))
        theirs = {
            call_id: (-(NOW - days * DAY).timestamp(), call_id)
            for call_id, (numbers, line, days, _) in zip(ids, calls, strict=True)
            if my_lines.get(line or "", -1) >= days or any(mine.get(number, -1) >= days for number in numbers)
        }
        assert sum(one.count for one in await owned.counted()) == len(theirs)
        assert await owned.among([*ids, "f" * 32]) == theirs.keys()
        lined = {one for one, (_, line, *_) in zip(ids, calls, strict=True) if of in (None, line)}
        wanted = sorted(theirs.keys() & lined, key=lambda one: theirs[one])
        found = await owned.newest(limit=limit, line_id=line_ids[of] if of else None)
        assert [one.id for one in found] == wanted[:limit]
        if len(found) == limit:
            more = await owned.newest(
                limit=99, line_id=line_ids[of] if of else None, before=(found[-1].at, found[-1].id)
            )
            assert [one.id for one in more] == wanted[limit:]
