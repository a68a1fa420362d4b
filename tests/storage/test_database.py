import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import Connection, text

import storage
from storage import accounts, call_records, keys, ledger, ledger_verify, lines, people, schema, tables
from storage.database import Database, sqlite_url
from storage.errors import (
    Conflict,
    Duplicate,
    Full,
    Invalid,
    NotFound,
    ReadOnly,
    SchemaTooNew,
    Unavailable,
    WrongFieldKey,
)
from storage.field_crypto import FieldKeys
from storage.keys import Kek
from tests.peers import postgres
from tests.storage.conftest import create_database

# What the second migration left and none has made anew; everything else came later.
OLD_TABLES = frozenset(
    {
        "access_reasons",
        "accounts",
        "call_peers",
        "call_records",
        "call_totals",
        "devices",
        "dialled",
        "escrow_key",
        "kek_wraps",
        "keks",
        "ledger_entries",
        "ledger_logs",
        "ledger_segments",
        "line_members",
        "lines",
        "meta",
        "people",
        "reader_keys",
        "reader_rights",
        "reader_totp",
        "receipts",
        "recording_peers",
        "recordings",
    }
)


@asynccontextmanager
async def opened(url: str, keys: FieldKeys) -> AsyncIterator[Database]:
    database = await Database.open(url, keys)
    try:
        yield database
    finally:
        await database.close()


async def test_the_migrations_make_exactly_the_tables(url: str, field_keys: FieldKeys) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, tables.metadata))

    async with opened(url, field_keys) as database, database.transaction() as tx:
        assert await tx.conn.run_sync(differences) == []
        assert await tx.conn.run_sync(schema.version) == schema.HEAD


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(storage.__file__)).with_name("migrations")))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.HEAD


async def test_what_an_older_schema_held_gets_the_defaults(url: str, field_keys: FieldKeys, now: datetime) -> None:
    wraps = {f"{n:032x}": bytes([n % 251]) * 1169 for n in range(1200)}
    blob = "BLOB" if url.startswith("sqlite") else "BYTEA"
    newer = [table for table in reversed(tables.metadata.sorted_tables) if table.name not in OLD_TABLES]
    async with opened(url, field_keys) as database, database.transaction() as tx:
        await lines.add(tx, "sales", "200", datetime.fromisoformat("2026-11-21T00:00:00+00:00"))
        for statement in (
            "UPDATE alembic_version SET version_num = '0002'",
            *(f"DROP TABLE {table.name}" for table in newer),
            "ALTER TABLE lines DROP COLUMN strategy",
            "ALTER TABLE lines DROP COLUMN member_ring_s",
            "ALTER TABLE recordings DROP COLUMN gaps",
            "DROP INDEX ix_recordings_line_id",
            "ALTER TABLE recordings DROP COLUMN line_id",
            "ALTER TABLE lines DROP COLUMN canvassing",
            "ALTER TABLE lines DROP COLUMN canvassing_target",
            "DROP INDEX ix_call_records_ages_at_expires_at",
            "ALTER TABLE call_records DROP COLUMN ages_at",
            f"CREATE TABLE rec_keys (rec_id TEXT, kek_id TEXT, alg TEXT, wrap {blob})",
            "ALTER TABLE recordings DROP COLUMN policy_version",
            "ALTER TABLE recordings DROP COLUMN kept_for",
            "ALTER TABLE recordings DROP COLUMN event_at",
            "ALTER TABLE recordings DROP COLUMN objected_at",
            "DROP INDEX ix_recordings_state_expires_at",
            "DROP INDEX ix_recordings_state_started_at",
            "CREATE INDEX ix_recordings_state ON recordings (state)",
            "CREATE INDEX ix_recordings_expires_at ON recordings (expires_at)",
            "DROP INDEX ix_call_peers_digest_call_id",
            "CREATE INDEX ix_call_peers_digest ON call_peers (digest)",
            "ALTER TABLE accounts DROP COLUMN given_at",
        ):
            await tx.conn.execute(text(statement))
        kek = Kek("k" * 32, "REC_QUALITY", "2026-W47.1", "X", b"p", b"s", now, now)
        await keys.add_kek(tx, kek, ())
        for rec_id, wrap in wraps.items():
            row = {"rec_id": rec_id, "kek_id": kek.id, "wrap": wrap}
            await tx.conn.execute(text("INSERT INTO rec_keys VALUES (:rec_id, :kek_id, 'X', :wrap)"), row)
    async with opened(url, field_keys) as database, database.read() as tx:
        line = await lines.by_name(tx, "sales")
        assert (line.strategy, line.member_ring_s, line.canvassing) == ("simultaneous", 20, None)
        assert {key.rec_id: key.wrap for key in await keys.list_rec_keys(tx, "k" * 32)} == wraps


async def test_postgresql_a_migration_may_take_longer_than_a_statement_of_ours(
    postgres_dir: Path, field_keys: FieldKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.url(postgres_dir, await create_database(postgres_dir))
    async with opened(url, field_keys):
        pass
    monkeypatch.setattr("storage.database.STATEMENT_S", 1)
    monkeypatch.setattr("storage.schema.HEAD", "9999")
    slow = []

    def migrate(connection: Connection) -> None:
        if not slow:
            slow.append(connection.execute(text("SELECT pg_sleep(2)")))
            connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    monkeypatch.setattr("storage.schema.bring_up_to_date", migrate)
    async with opened(url, field_keys) as database:
        assert slow
        with pytest.raises(Unavailable):
            async with database.read() as tx:
                await tx.row(text("SELECT pg_sleep(2)"))


async def test_two_that_open_an_empty_database_at_once_both_succeed(url: str, field_keys: FieldKeys) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(Database.open(url, field_keys)) for _ in range(2)]
    one, two = (task.result() for task in tasks)
    try:
        async with one.transaction() as tx:
            await people.add(tx, "alice", "Alice", datetime.fromisoformat("2026-11-21T00:00:00+00:00"))
        async with two.read() as tx:
            assert (await people.by_login(tx, "alice")).display_name == "Alice"
    finally:
        await one.close()
        await two.close()


async def test_the_callers_own_errors_pass_unchanged(db: Database) -> None:
    for error in (ConnectionResetError("phone"), TimeoutError("phone"), FileNotFoundError("file")):
        with pytest.raises(type(error)):
            async with db.transaction():
                raise error


async def test_a_newer_schema_is_refused_and_left_alone(url: str, field_keys: FieldKeys) -> None:
    async with opened(url, field_keys) as database, database.transaction() as tx:
        await tx.conn.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaTooNew, match="9999"):
        await Database.open(url, field_keys)


async def test_another_field_key_is_refused_at_open(fresh_url: str) -> None:
    with pytest.raises(WrongFieldKey):
        await Database.open(fresh_url, FieldKeys.generate())


async def test_a_rotated_field_key_opens(fresh_url: str, field_keys: FieldKeys) -> None:
    async with opened(fresh_url, field_keys.rotated()) as database, database.read() as tx:
        assert await people.list_all(tx) == ()


@pytest.mark.parametrize("bad", ["sqlite://", "sqlite:///:memory:", "mysql://localhost/x", "file.db", ""])
async def test_a_url_that_cannot_serve_is_refused(bad: str, field_keys: FieldKeys) -> None:
    with pytest.raises(Invalid, match=r"storage\.url"):
        await Database.open(bad, field_keys)


@pytest.mark.parametrize(
    "absent",
    ["sqlite:////nonexistent/dir/x.sqlite3", "postgresql://beffroi@127.0.0.1:1/x", "postgresql:///x?host=/nowhere"],
)
async def test_a_database_out_of_reach_is_unavailable(absent: str, field_keys: FieldKeys) -> None:
    with pytest.raises(Unavailable):
        await Database.open(absent, field_keys)


async def test_what_raises_is_rolled_back(db: Database, now: datetime) -> None:
    with pytest.raises(NotFound):
        async with db.transaction() as tx:
            await people.add(tx, "alice", "Alice", now)
            await people.by_login(tx, "bob")
    async with db.read() as tx:
        assert await people.list_all(tx) == ()


async def test_a_task_cancelled_inside_a_transaction_keeps_nothing_and_frees_the_writer(
    db: Database, now: datetime
) -> None:
    inside = asyncio.Event()

    async def dawdle() -> None:
        async with db.transaction() as tx:
            await people.add(tx, "alice", "Alice", now)
            inside.set()
            await asyncio.sleep(60)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(dawdle())
        await inside.wait()
        task.cancel()
    async with asyncio.timeout(5), db.transaction() as tx:
        assert await people.list_all(tx) == ()


async def test_writers_queue_and_readers_do_not_wait(db: Database, now: datetime) -> None:
    async def add(number: int) -> None:
        async with db.transaction() as tx:
            await accounts.add(tx, f"a{number}", str(100 + number), "", now)

    async with asyncio.timeout(20):
        async with asyncio.TaskGroup() as group:
            for number in range(30):
                group.create_task(add(number))
        async with db.transaction() as writer:
            await accounts.add(writer, "uncommitted", "999", "", now)
            async with db.read() as reader:
                assert len(await accounts.list_all(reader)) == 30


async def test_reading_transactions_do_not_write(db: Database, now: datetime) -> None:
    with pytest.raises(ReadOnly):
        async with db.read() as tx:
            await people.add(tx, "alice", "Alice", now)


async def test_a_read_sees_one_moment(db: Database, now: datetime) -> None:
    async with db.read() as early:
        assert await people.list_all(early) == ()
        async with db.transaction() as tx:
            await people.add(tx, "alice", "Alice", now)
        assert await people.list_all(early) == ()


async def test_errors_name_the_field_and_never_the_value(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        await people.add(tx, "alice", "Alice", now)
    with pytest.raises(Duplicate) as taken:
        async with db.transaction() as tx:
            await people.add(tx, "alice", "Alice", now)
    assert taken.value.field == "login"
    assert "alice" not in str(taken.value)
    with pytest.raises(Conflict):
        async with db.transaction() as tx:
            await accounts.add(tx, "bob", "101", "Bob", now, person_id="00" * 16)


async def test_a_moment_without_zone_is_refused(db: Database) -> None:
    with pytest.raises(Invalid, match="zone"):
        async with db.transaction() as tx:
            await people.add(tx, "alice", "Alice", datetime(2026, 11, 21))  # noqa: DTZ001


async def test_no_name_stands_in_clear_in_any_byte(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    async with db.transaction() as tx:
        person = await people.add(tx, "login-in-clear", "Zoe Quetzal", now)
        await accounts.add(tx, "zoe", "101", "Zoe Quetzal", now, person_id=person.id)
    written = await raw(db)
    assert b"login-in-clear" in written
    assert b"Quetzal" not in written and b"Quetzal".hex().encode() not in written


# --- SQLite alone ----------------------------------------------------------------------------------------------------


async def test_sqlite_is_set_up_for_durability_and_forgetting(tmp_path: Path, field_keys: FieldKeys) -> None:
    async with opened(sqlite_url(tmp_path / "b.sqlite3"), field_keys) as database:
        for mode in (database.transaction, database.read):
            async with mode() as tx:
                answers = {
                    name: (await tx.conn.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
                    for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete", "temp_store")
                }
            assert answers == {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": 1,
                "secure_delete": 1,
                "temp_store": 2,
            }


async def test_sqlite_files_are_private_whatever_the_umask(
    tmp_path: Path, field_keys: FieldKeys, now: datetime
) -> None:
    before = os.umask(0)
    try:
        async with opened(sqlite_url(tmp_path / "b.sqlite3"), field_keys) as database:
            async with database.transaction() as tx:
                await people.add(tx, "alice", "Alice", now)
            modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in os.scandir(tmp_path)}
    finally:
        os.umask(before)
    assert modes == {"b.sqlite3": 0o600, "b.sqlite3-wal": 0o600, "b.sqlite3-shm": 0o600}


async def test_sqlite_checkpoint_empties_the_log(tmp_path: Path, field_keys: FieldKeys, now: datetime) -> None:
    async with opened(sqlite_url(tmp_path / "b.sqlite3"), field_keys) as database:
        async with database.transaction() as tx:
            await people.add(tx, "alice", "Alice", now)
        log = tmp_path / "b.sqlite3-wal"
        assert os.stat(log).st_size > 0
        await database.checkpoint_truncate()
        assert os.stat(log).st_size == 0


async def test_sqlite_a_second_process_waits_its_turn(tmp_path: Path, field_keys: FieldKeys, now: datetime) -> None:
    url = sqlite_url(tmp_path / "b.sqlite3")
    async with opened(url, field_keys) as one, opened(url, field_keys) as two:

        async def add(database: Database, login: str) -> None:
            async with database.transaction() as tx:
                await people.add(tx, login, "", now)
                await asyncio.sleep(0.05)

        async with asyncio.TaskGroup() as group:
            group.create_task(add(one, "alice"))
            group.create_task(add(two, "bob"))
        async with one.read() as tx:
            assert [person.login for person in await people.list_all(tx)] == ["alice", "bob"]


async def test_sqlite_a_reader_that_stays_holds_back_the_checkpoint_and_it_says_so(
    tmp_path: Path, field_keys: FieldKeys, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.CHECKPOINT_TIMEOUT_MS", 50)
    async with opened(sqlite_url(tmp_path / "b.sqlite3"), field_keys) as database:
        async with database.read() as reader:
            await people.list_all(reader)
            async with database.transaction() as tx:
                await people.add(tx, "alice", "Alice", now)
            with pytest.raises(Unavailable):
                await database.checkpoint_truncate()
        await database.checkpoint_truncate()


async def test_sqlite_locked_for_too_long_by_another_process_is_unavailable(
    tmp_path: Path, field_keys: FieldKeys, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.database.BUSY_TIMEOUT_MS", 50)
    url = sqlite_url(tmp_path / "b.sqlite3")
    async with opened(url, field_keys) as one, opened(url, field_keys) as two, one.transaction() as tx:
        await people.add(tx, "alice", "Alice", now)
        with pytest.raises(Unavailable):
            async with two.transaction() as other:
                await people.add(other, "bob", "Bob", now)


async def test_sqlite_a_full_disk_says_so_and_is_usable_again(
    tmp_path: Path, field_keys: FieldKeys, now: datetime
) -> None:
    async with opened(sqlite_url(tmp_path / "b.sqlite3"), field_keys) as database:
        with pytest.raises(Full):
            async with database.transaction() as tx:
                pages = (await tx.conn.exec_driver_sql("PRAGMA page_count")).scalar_one()
                await tx.conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
                for number in range(1000):
                    await people.add(tx, f"a{number}", "x" * 500, now)
        async with database.transaction() as tx:
            await tx.conn.exec_driver_sql("PRAGMA max_page_count = 1000000")
            assert await people.list_all(tx) == ()
            await people.add(tx, "alice", "Alice", now)


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from storage import ledger
from storage.database import Database
from storage.field_crypto import FieldKeys

async def main():
    keys, key = sys.stdin.buffer.readline(), bytes.fromhex(sys.stdin.readline())
    key = Ed25519PrivateKey.from_private_bytes(key)
    database = await Database.open(sys.argv[1], FieldKeys.from_json(keys), key)
    while True:
        async with database.transaction() as tx:
            entry = await ledger.append(tx, "consent", {"act": "key1"}, datetime.now(UTC))
        print(entry.seq, flush=True)

asyncio.run(main())
"""


async def test_sqlite_what_was_committed_survives_kill_9(
    tmp_path: Path, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey
) -> None:
    url = sqlite_url(tmp_path / "b.sqlite3")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, url, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(field_keys.to_json() + b"\n" + ledger_key.private_bytes_raw().hex().encode() + b"\n")
    said = 0
    async with asyncio.timeout(30):
        while said < 25:
            said = int(await process.stdout.readline())
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
    said = max([said, *(int(line) for line in rest.split(b"\n")[:-1])])
    database = await Database.open(url, field_keys, ledger_key)
    async with database.transaction() as tx:
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []
        assert (await ledger_verify.size(tx))["consent"] in {said, said + 1}
    await database.close()


# --- PostgreSQL alone ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fresh_url", ["postgresql"], indirect=True)
async def test_postgresql_connections_that_the_server_closed_are_replaced(
    fresh_url: str, field_keys: FieldKeys, now: datetime
) -> None:
    async with opened(fresh_url, field_keys) as one, opened(fresh_url, field_keys) as two:
        async with one.transaction() as tx:
            await people.add(tx, "alice", "Alice", now)
        with pytest.raises(Unavailable):
            async with one.transaction() as tx:
                await people.add(tx, "bob", "Bob", now)
                async with two.read() as other:
                    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    await other.conn.exec_driver_sql(f"{others} AND pid <> pg_backend_pid()")
                await people.list_all(tx)
        async with one.read() as tx:
            assert [person.login for person in await people.list_all(tx)] == ["alice"]


@pytest.mark.parametrize("fresh_url", ["postgresql"], indirect=True)
async def test_postgresql_writers_that_append_crosswise_do_not_lock_each_other_out(
    fresh_url: str, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey, now: datetime
) -> None:
    database = await Database.open(fresh_url, field_keys, ledger_key)

    async def write(*logs: str) -> None:
        for _ in range(5):
            async with database.transaction() as tx:
                for log in logs:
                    await ledger.append(tx, log, {"action": "open"}, now)
                    await asyncio.sleep(0.01)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(write("access", "erasure"))
        group.create_task(write("erasure", "access"))
    async with database.read() as tx:
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []
    await database.close()


@pytest.mark.parametrize("fresh_url", ["postgresql"], indirect=True)
async def test_postgresql_two_nodes_count_the_same_day(fresh_url: str, field_keys: FieldKeys) -> None:
    async with opened(fresh_url, field_keys) as one, opened(fresh_url, field_keys) as two:

        async def count(database: Database) -> None:
            async with database.transaction() as tx:
                await call_records.count(tx, "2026-11-21", "inbound", 2)

        async with asyncio.TaskGroup() as group:
            for database in (one, two, one, two):
                group.create_task(count(database))
        async with one.read() as tx:
            assert [(t.calls, t.minutes) for t in await call_records.totals(tx)] == [(4, 8)]
