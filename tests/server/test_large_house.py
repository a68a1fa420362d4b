"""What the pages of a large house ask of the database: nothing looks through a table that grows with every call and
text, nobody who writes waits for whoever looks, and more days ahead take no more statements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from server.services import kept_about as service
from server.services import people, retention
from server.services.actor import Actor
from server.sweeper import item_of
from storage import expiry, owned_calls, recordings
from storage.database import Database
from storage.owned_calls import OwnedCalls, Owners
from storage.recordings import Wanted
from tests.server.test_kept_about import teams
from tests.server.two_teams import TwoTeams
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir", "teams"]
ME = Actor("os:0", "here", "a look")
GROW = (
    "call_records", "call_peers", "call_month_peers", "call_diagnoses", "recordings", "recording_peers",
    "recording_notes", "sms_sent", "sms_parts", "sms_events", "sms_received", "conversations", "ledger_entries",
)  # fmt: skip


@contextmanager
def statements(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """What is asked meanwhile, with its values."""
    said: list[tuple[str, Any]] = []

    def heard(_conn: Any, _cursor: Any, statement: str, values: Any, *_more: Any) -> None:
        said.append((statement, values))

    engine = database._engine.sync_engine
    event.listen(engine, "before_cursor_execute", heard)
    try:
        yield said
    finally:
        event.remove(engine, "before_cursor_execute", heard)


async def plans(database: Database, said: list[tuple[str, Any]]) -> list[tuple[str, str]]:
    """How SQLite goes about each question: step and statement."""
    found = []
    async with database.read() as tx:
        for statement, values in said:
            if statement.startswith(("SELECT", "WITH")):
                rows = await tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                found += [(row[3], statement) for row in rows]
    return found


PAGES: dict[str, Callable[[TwoTeams], Coroutine[Any, Any, Any]]] = {
    "kept": lambda teams: service.kept(teams.services, ME, login="alice"),
    "due": lambda teams: retention.due(teams.services, ME),
    "forecast": lambda teams: retention.forecast(teams.services, ME, days=30),
}


@pytest.mark.parametrize("page", PAGES)
async def test_nothing_that_grows_is_looked_through(teams: TwoTeams, page: str) -> None:  # noqa: F811
    database = teams.services.db
    with statements(database) as said:
        await PAGES[page](teams)
    assert not [one for one, _ in said if "count(*)" in one and "FROM call_peers" in one and "digest >=" in one], page
    if not database.is_sqlite:
        return
    steps = await plans(database, said)
    assert len(steps) > 20
    scanned = [step for step in steps if step[0].partition(" USING ")[0] in {f"SCAN {name}" for name in GROW}]
    assert scanned == []


async def test_what_is_due_is_found_past_all_that_is_destroyed(teams: TwoTeams) -> None:  # noqa: F811
    database = teams.services.db
    if not database.is_sqlite:
        pytest.skip("SQLite says how it goes about a question")
    now = teams.services.clock()
    with statements(database) as said:
        async with database.read() as tx:
            await expiry.until(tx, "recording", now, limit=9)
            await expiry.by_day(tx, ("recording",), now, 30)
            await recordings.newest(tx, Wanted(), limit=9)
    due, ahead, newest = [[step for step, _ in await plans(database, [one])] for one in said if "recordings" in one[0]]
    assert due[0].endswith("(state=? AND expires_at<?)")
    assert any(step.endswith("(state=? AND expires_at>? AND expires_at<?)") and "COVERING" in step for step in ahead)
    ways = [step for step in newest if "ix_recordings_state_started_at" in step]
    assert len(ways) == len(recordings.KEPT) and all(step.endswith("(state=?)") for step in ways), newest


@pytest.mark.parametrize("few", [0, 5_000])
async def test_the_next_page_of_ones_calls_is_found_from_where_the_last_ended(
    teams: TwoTeams,  # noqa: F811
    few: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also with a line of one's own, and names that were somebody else's before: what is older is not gathered."""
    monkeypatch.setattr(owned_calls, "FEW", few)
    database, since = teams.services.db, teams.services.clock() - timedelta(days=300)
    owners = Owners({"101": since, "102": since - timedelta(days=9)}, {teams.lines["sales"]: since})
    async with database.read() as tx:
        calls = await OwnedCalls.of(tx, owners)
        first = await calls.newest(limit=2)
    with statements(database) as said:
        async with database.read() as tx:
            found = await (await OwnedCalls.of(tx, owners)).newest(limit=2, before=(first[-1].at, first[-1].id))
    assert len(found) == 2 and found[0].at <= first[-1].at and not {one.id for one in found} & {one.id for one in first}
    if not database.is_sqlite:
        return
    steps = await plans(database, said)
    assert steps and not [step for step, _ in steps if "MULTI-INDEX OR" in step]
    if not few:  # else all of a few are fetched and sorted
        step = next(step for step, asked in steps if "ORDER BY call_records.at" in asked)
        assert step == "SEARCH call_records USING INDEX ix_call_records_at (at>? AND at<?)"
        assert not [step for step, _ in steps if "TEMP B-TREE FOR ORDER BY" in step]


@pytest.mark.parametrize("page", ["kept", "due"])
async def test_whoever_writes_waits_for_nobody_who_looks(
    teams: TwoTeams,  # noqa: F811
    page: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, name = {"kept": (service, "_recordings"), "due": (retention, "plans_for")}[page]
    look, written = getattr(where, name), []

    async def meanwhile(*args: Any, **more: Any) -> Any:
        if not written:
            async with asyncio.timeout(10):
                written.append(await people.add(teams.services, ME, login="newcomer", name="New Comer", roles=[]))
        return await look(*args, **more)

    monkeypatch.setattr(where, name, meanwhile)
    await PAGES[page](teams)
    assert len(written) == 1


async def test_more_days_ahead_take_no_more_statements(teams: TwoTeams) -> None:  # noqa: F811
    asked = []
    for days in (1, 400):
        with statements(teams.services.db) as said:
            await retention.forecast(teams.services, ME, days=days)
        asked.append([one for one, _ in said if "count(" in one and "GROUP BY" not in one])
    assert len(asked[0]) == len(asked[1]) == 2, "what expires, and what ages"


async def test_each_kind_is_counted_as_it_would_be_found(teams: TwoTeams) -> None:  # noqa: F811
    """Recordings, records, diagnoses: the others are counted in the same way."""
    now, kinds = teams.services.clock(), set[str]()
    async with teams.services.db.transaction() as tx:
        ended = {"state": "whole", "ended_at": now, "duration_ms": 1, "size_bytes": 1, "sha256": "0"}
        await recordings.finish(tx, teams.recordings["alice"], **ended)
    for days in (0, 30, 399, 400):
        end = now + timedelta(days=days)
        async with teams.services.db.read() as tx:
            counted = await expiry.by_day(tx, retention.COUNTED, now, days)
            for kind in retention.COUNTED:
                found = [item_of(row) for row in await expiry.until(tx, kind, end, limit=999)]
                by_day: dict[str, int] = {}
                for item in found:
                    day = max(item.expires_at, now).date().isoformat()
                    by_day[day] = by_day.get(day, 0) + 1
                assert {day: one[kind] for day, one in counted.items() if kind in one} == by_day, (kind, days)
                kinds |= {kind} if found else set()
    assert {"call_record", "recording", "diagnosis"} <= kinds
