"""Days of the ledger go when their period is over: leaves and typed reasons, through the gate; the heads prove on."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from config import settings as configuration
from config.settings import ConfigError
from retention import receipt as receipts_of
from server import erasables
from server.services import holds as hold_service
from server.services import ledger as service
from server.services import retention as retention_service
from storage import access, consents, ledger, ledger_verify, log_days, month_keys, receipts, recordings, tables
from storage.database import Database
from tests.server.test_sweeper import DAY, DPO, NOW, NUMBER, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("L3", "2.5", "2.11")]
OLD = NOW - timedelta(days=400)
SECRET = "Mrs Quetzal complained"
CALL, OTHER_CALL = "c" * 32, "d" * 32


async def look(house: House, at: datetime, reason: str = SECRET, **details: Any) -> int:
    async with house.services.db.transaction() as tx:
        entry = await access.record(tx, actor_id="system", action="show", now=at, reason=reason, details=details)
    return entry.seq


async def consent(house: House, at: datetime, call_id: str = CALL) -> int:
    said = {"call_id": call_id, "leg_id": "e" * 32, "act": "statute", "purpose": "REC_QUALITY"}
    async with house.services.db.transaction() as tx:
        return (await ledger.append(tx, "consent", said, at)).seq


async def erased(house: House, at: datetime, rec_id: str, receipt_id: str) -> None:
    said = {"actor_id": "system", "action": "destroy", "object": "recording", "rec_id": rec_id,
            "receipt_id": receipt_id, "complete": True}  # fmt: skip
    async with house.services.db.transaction() as tx:
        await receipts.add(tx, receipt_id, "{}", at)
        await ledger.append(tx, "erasure", said, at)


async def days(house: House, log: str) -> set[str]:
    async with house.services.db.read() as tx:
        return {entry.day for entry in await ledger.entries(tx, log)}


async def reasons(database: Database) -> int:
    async with database.read() as tx:
        row = await tx.row(select(func.count().label("n")).select_from(tables.access_reasons))
    return int(row["n"]) if row is not None else -1


async def sound(house: House, anchors: Any = ()) -> bool:
    async with house.services.db.read() as tx:
        return await ledger_verify.verify(tx, house.services.keys.ledger.public_key(), anchors) == []


async def test_the_access_log_goes_after_a_year_with_its_reasons_and_its_heads_stay(house: House) -> None:
    for n in range(3):
        await look(house, OLD + n * timedelta(minutes=1))
    await look(house, NOW - timedelta(days=300))
    await look(house, NOW - DAY)
    async with house.services.db.read() as tx:
        anchors = await ledger.heads(tx)
    assert await reasons(house.services.db) == 5
    due = [(one.id, one.kind, one.goes) for one in await retention_service.due(house.services, DPO)]
    assert due == [(OLD.date().isoformat(), "access_day", True)]
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and (said.destroyed, said.problem) == ({"access_day": 1}, "")
    assert OLD.date().isoformat() not in await days(house, "access")
    assert await reasons(house.services.db) == 3, "one of them is that of the look at what is due"
    assert await sound(house, anchors)
    verified = await service.verify(house.services, DPO)
    assert verified.sound
    [pruned] = verified.pruned
    assert (pruned.log, pruned.days, pruned.entries, pruned.last_day) == ("access", 1, 3, OLD.date().isoformat())
    [entry] = await house.entries()
    assert (entry["object"], entry["cause"], entry["count"]) == ("ledger", "expiry", 1)
    async with house.services.db.read() as tx:
        receipt = receipts_of.parse((await receipts.get(tx, entry["receipt_id"])).body)
    assert receipt.pack.startswith("AUDIT_LOG@") and receipt.method == ("leaves_deleted", "heads_kept")


async def test_no_byte_of_a_reason_is_left_in_the_files(house: House, tmp_path: Path) -> None:
    for n in range(40):
        await look(house, OLD + n * timedelta(minutes=1))
    await look(house, NOW - DAY)
    async with house.services.db.read() as tx:
        rows = await tx.rows(select(tables.access_reasons).where(tables.access_reasons.c.at < NOW - 2 * DAY))
    marks = [bytes(row["reason_sealed"])[-20:] for row in rows]
    await house.sweeper.sweep(clock_is_right=True)
    files = b"".join(path.read_bytes() for path in tmp_path.glob("beffroi.sqlite3*"))  # noqa: ASYNC240
    assert len(marks) == 40 and not any(mark in files for mark in marks)


async def test_proofs_of_what_is_not_pruned_hold(house: House) -> None:
    await look(house, OLD)
    seqs = [await look(house, NOW - timedelta(days=20) + n * timedelta(minutes=1)) for n in range(5)]
    await look(house, NOW - DAY)
    async with house.services.db.read() as tx:
        before = [await ledger.prove(tx, "access", seq) for seq in seqs]
    await house.sweeper.sweep(clock_is_right=True)
    async with house.services.db.read() as tx:
        assert [await ledger.prove(tx, "access", seq) for seq in seqs] == before


@pytest.mark.parametrize(("kept", "gone"), [("P6M", True), ("P1Y", False), ("P2Y", False)])
async def test_the_period_of_the_access_log_is_chosen_within_the_law(house: House, kept: str, gone: bool) -> None:
    await look(house, NOW - timedelta(days=200))
    await look(house, NOW - DAY)
    chosen = house.services.settings.retention.model_copy(update={"access_log": kept})
    house.services.settings = house.services.settings.model_copy(update={"retention": chosen})
    await house.sweeper.sweep(clock_is_right=True)
    assert (len(await days(house, "access")) == 1) is gone


def with_section(file: str, text: str) -> str:
    """The file with another section [retention]."""
    head, _, rest = file.partition("[retention]\n")
    return f"{head}[retention]\n{text}\n\n[" + rest.partition("\n[")[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('access_log = "P5M"', "shorter than six months"),
        ('access_log = "P13M"', "longer than P1Y"),
        ('access_log = "P4Y"\naccess_log_reason = "misuse of 2025"', "longer than P3Y"),
        ('access_log = "a year"', "ISO 8601"),
    ],
)
async def test_a_period_outside_the_law_is_refused(data: Path, text: str, said: str) -> None:
    path = data / "beffroi.toml"
    path.write_text(with_section(path.read_text(), text))
    with pytest.raises(ConfigError, match=said):
        configuration.load(path)


def test_three_years_with_a_reason_are_accepted(data: Path) -> None:
    path = data / "beffroi.toml"
    path.write_text(with_section(path.read_text(), 'access_log = "P3Y"\naccess_log_reason = "misuse of 2025"'))
    assert configuration.load(path).retention.access_log == "P3Y"


@pytest.mark.promise("2.3")
async def test_evidence_of_consent_outlives_what_rests_on_it(house: House) -> None:
    long_ago = NOW - timedelta(days=365 * 6)
    seq = await consent(house, long_ago)
    await consent(house, NOW - timedelta(days=365 * 4))
    await consent(house, NOW - DAY)
    rec_id = await house.recording(DAY)
    async with house.services.db.transaction() as tx:
        values = {"started_at": long_ago, "consent_refs": [seq]}
        await tx.write(tables.recordings.update().where(tables.recordings.c.id == rec_id).values(**values))
    await house.sweeper.sweep(clock_is_right=True)
    assert len(await days(house, "consent")) == 3, "a recording rests on it"
    house.later(2 * DAY)
    await house.sweeper.sweep(clock_is_right=True)
    assert not await house.there(rec_id)
    house.later(timedelta(minutes=15))
    await house.sweeper.sweep(clock_is_right=True)
    assert len(await days(house, "consent")) == 2 and await sound(house)


async def test_evidence_of_a_consent_to_be_contacted_stays_as_long_as_the_consent(house: House) -> None:
    long_ago = NOW - timedelta(days=365 * 6)
    async with house.services.db.transaction() as tx:
        made = await consents.add(
            tx, long_ago, number="+33142123456", channel="voice", purpose="telecom", act="checkbox", given_at=long_ago,
            expires_at=NOW - DAY, legal_basis="law", kept_until=NOW + DAY, collector="us", source="form",
        )  # fmt: skip
        said = {"consent_id": made.id, "act": "given", "by": "checkbox"}
        await ledger.append(tx, "consent", said, long_ago)
        await ledger.append(tx, "consent", said, NOW - DAY)
    await house.sweeper.sweep(clock_is_right=True)
    assert len(await days(house, "consent")) == 2
    house.later(2 * DAY)
    await house.sweeper.sweep(clock_is_right=True)
    assert len(await days(house, "consent")) == 1


async def test_the_erasure_log_takes_receipts_and_what_is_left_of_recordings_along(house: House) -> None:
    rec_id, fresh = await house.recording(-DAY), await house.recording(-2 * DAY)
    long_ago = NOW - timedelta(days=365 * 5 + 3)
    async with house.services.db.transaction() as tx:
        await recordings.destroy(tx, rec_id, long_ago)
    for one, receipt_id in ((rec_id, "a" * 32), (fresh, "b" * 32)):
        await erased(house, long_ago, one, receipt_id)
    await erased(house, NOW - DAY, "2" * 32, "c" * 32)
    await house.sweeper.sweep(clock_is_right=True)
    async with house.services.db.read() as tx:
        left = [(one.id, one.state) for one in await recordings.list_all(tx)]
        assert left == [(fresh, "destroyed")], "that one was destroyed just now: its row stays"
        kept = {one.id for one in await receipts.list_all(tx)}
    assert not kept & {"a" * 32, "b" * 32} and "c" * 32 in kept
    assert await sound(house)


async def test_the_erasure_log_outlives_every_backup(house: House) -> None:
    """Five years against ninety days; and no setting shortens it."""
    await erased(house, NOW - timedelta(days=1800), "1" * 32, "a" * 32)
    await erased(house, NOW - DAY, "2" * 32, "b" * 32)
    await house.sweeper.sweep(clock_is_right=True)
    assert len(await days(house, "erasure")) == 2


@pytest.mark.promise("3.9")
@pytest.mark.parametrize("scope", ["call", "number", "account"])
async def test_a_hold_keeps_the_days_that_name_what_it_lies_on(house: House, scope: str) -> None:
    call_id = await house.call(30 * DAY)
    rec_id = await house.recording(30 * DAY, call_id=call_id)
    account_id = "f" * 32
    await look(house, OLD, rec_id=rec_id, account_id=account_id)
    await look(house, OLD + DAY, rec_id="9" * 32)
    await look(house, NOW - 2 * DAY)
    hold_id = await house.hold("call" if scope == "account" else scope, {"number": "0612345678"}.get(scope, call_id))
    if scope == "account":
        async with house.services.db.transaction() as tx:
            await tx.write(tables.hold_targets.update().values(target=account_id.encode()))
    found = {one.id: one for one in await retention_service.due(house.services, DPO)}
    assert not found[OLD.date().isoformat()].goes and hold_id in found[OLD.date().isoformat()].rule
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and (said.destroyed, said.held) == ({"access_day": 1}, {"access_day": 1})
    assert OLD.date().isoformat() in await days(house, "access")
    await hold_service.lift(house.services, DPO, hold=hold_id)
    await house.sweeper.sweep()
    assert OLD.date().isoformat() not in await days(house, "access")


@pytest.mark.promise("3.9")
async def test_a_hold_on_a_number_that_had_aged_to_a_hash_keeps_the_days_that_name_its_calls(house: House) -> None:
    call_id = await house.call(30 * DAY)
    async with house.services.db.transaction() as tx:
        month = (NOW - timedelta(days=90)).strftime("%Y-%m")
        digest = await month_keys.digest(tx, month, NUMBER, NOW)
        await tx.write(tables.call_peers.delete())
        await tx.write(tables.call_month_peers.insert().values(call_id=call_id, role="caller", digest=digest))
    await look(house, OLD, call_id=call_id)
    hold_id = await house.hold("number", "0612345678")
    await house.sweeper.sweep(clock_is_right=True)
    assert OLD.date().isoformat() in await days(house, "access")
    await hold_service.lift(house.services, DPO, hold=hold_id)
    await house.sweeper.sweep()
    assert OLD.date().isoformat() not in await days(house, "access")


@pytest.mark.parametrize("where", ["before", "within", "bytes", "remains", "prove"])
async def test_killed_at_any_step_a_day_is_whole_or_pruned(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    for n in range(4):
        await look(house, OLD + n * timedelta(minutes=1))
    await look(house, NOW - DAY)

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    target: tuple[Any, str] = {
        "before": (erasables.LogDays, "destroy_keys"),
        "within": (ledger, "prune_segment"),
        "bytes": (erasables.LogDays, "remove_bytes"),
        "remains": (erasables.LogDays, "remains"),
        "prove": (receipts, "add_all"),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(*target, killed)
        with pytest.raises(Killed):
            await house.sweeper.sweep(clock_is_right=True)
    assert await sound(house), "at every moment"
    left = OLD.date().isoformat() in await days(house, "access")
    assert await reasons(house.services.db) == (5 if left else 1)
    assert left == (where in ("before", "within"))
    house.restart()
    await house.sweeper.sweep(clock_is_right=True)
    assert OLD.date().isoformat() not in await days(house, "access") and await sound(house)
    proven = [entry for entry in await house.entries() if entry["object"] == "ledger"]
    assert len(proven) == 1, "one receipt, not two"


async def test_whoever_drops_leaves_without_the_key_is_found(house: House) -> None:
    await look(house, OLD)
    await look(house, NOW - DAY)
    await house.sweeper.sweep(clock_is_right=True)
    async with house.services.db.transaction() as tx:
        row = await tx.row(select(tables.ledger_segments.c.pruned).where(tables.ledger_segments.c.pruned.is_not(None)))
        assert row is not None
        forged = row["pruned"].replace("20", "21", 1)
        await tx.write(tables.ledger_segments.update().where(tables.ledger_segments.c.day == OLD.date().isoformat())
                       .values(pruned=forged))  # fmt: skip
    assert not await sound(house)


async def test_what_names_what_is_found_in_batches(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_days, "_AT_ONCE", 3)
    for n in range(10):
        await look(house, OLD + n * timedelta(minutes=1), rec_id=f"{n:032x}")
    async with house.services.db.read() as tx:
        wanted = frozenset({f"{3:032x}", f"{9:032x}", "7" * 32})
        assert await log_days.names(tx, "access_day", OLD.date().isoformat(), wanted) == wanted - {"7" * 32}
