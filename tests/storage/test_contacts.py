"""Consents, references, suppressions, attempts: kept with purpose, basis and end, found without being readable."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import (
    consents,
    contact_attempts,
    contact_keys,
    contact_references,
    expiry,
    holds,
    ledger,
    lines,
    suppressions,
    tables,
)
from storage.database import Database
from storage.errors import Conflict, Invalid, NotFound, SealBroken
from storage.field_crypto import FieldKeys
from storage.holds import About
from storage.tx import Tx

DORIS, OTHER = "+33142123456", "+33142123457"
YEAR = timedelta(days=365)
ABOUT = About("A-1", "court", "DPO", "claim", "somebody")


async def consent(tx: Tx, now: datetime, number: str = DORIS, **more: Any) -> consents.Consent:
    said: dict[str, Any] = {
        "channel": "voice",
        "purpose": "telecom",
        "act": "checkbox",
        "given_at": now,
        "expires_at": now + 3 * YEAR,
        "legal_basis": "GDPR 6(1)(a)",
        "kept_until": now + 8 * YEAR,
        "collector": "Shop of Lyon",
        "source": "form 12, question 3",
        "text_id": "offers",
        "text_version": "2",
        "text_sha256": "ab" * 32,
        "language": "fr",
    }
    return await consents.add(tx, now, number=number, **(said | more))


async def due(tx: Tx, kind: str, before: datetime) -> list[str]:
    assert await expiry.count(tx, kind, before) == len(await expiry.until(tx, kind, before, limit=99))
    return [one.item_id for one in await expiry.until(tx, kind, before, limit=99)]


async def suppress(tx: Tx, now: datetime, number: str = DORIS, **more: Any) -> suppressions.Suppression:
    said: dict[str, Any] = {
        "channel": "*",
        "reason": "objection",
        "source": "cli",
        "since": now,
        "until": None,
        "purpose": "objections are respected",
        "legal_basis": "GDPR 21(3)",
        "kept_until": now + 3 * YEAR,
    }
    return await suppressions.add(tx, number, now, **(said | more))


async def attempt(tx: Tx, line_id: str, at: datetime, number: str = DORIS) -> contact_attempts.Attempt:
    return await contact_attempts.add(
        tx, number, line_id=line_id, channel="voice", at=at, evidence="", purpose="counted",
        legal_basis="C. conso. D223-9", kept_until=at + timedelta(days=31),
    )  # fmt: skip


@pytest.mark.promise("1.2", "2.16")
async def test_a_consent_keeps_what_was_agreed_to(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        made = await consent(tx, now)
        older = await consent(tx, now, given_at=now - YEAR, expires_at=now + YEAR, out_of_hours=True)
        await consent(tx, now, OTHER)
        assert await consents.get(tx, made.id) == made
        assert await consents.of_number(tx, DORIS) == (made, older)
        assert len(await consents.list_all(tx)) == 3
        with pytest.raises(NotFound):
            await consents.get(tx, "00" * 16)


@pytest.mark.promise("1.3", "2.15")
async def test_a_consent_is_withdrawn_in_one_step_and_the_proof_of_it_stays(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        made = await consent(tx, now)
        back = await consents.withdraw(tx, made.id, "agent", now + YEAR, now + 6 * YEAR)
        assert back == replace(made, withdrawn_at=now + YEAR, withdrawn_by="agent", kept_until=now + 6 * YEAR)
        assert await due(tx, "contact_consent", now + 6 * YEAR) == [made.id]
        assert await due(tx, "contact_consent", now + 5 * YEAR) == []
    async with db.transaction() as tx:
        with pytest.raises(Conflict):
            await consents.withdraw(tx, made.id, "agent", now + YEAR, now + 6 * YEAR)
        with pytest.raises(Invalid):
            await consents.withdraw(tx, made.id, "thought", now + YEAR, now + 6 * YEAR)
        with pytest.raises(NotFound):
            await consents.withdraw(tx, "00" * 16, "agent", now, now)
        entries = [json.loads(entry.body) for entry in await ledger.entries(tx, "consent")]
        await expiry.remove(tx, "contact_consent", [made.id])
        assert await consents.of_number(tx, DORIS) == () and await expiry.left(tx, "contact_consent", [made.id]) == {}
    assert [(e["act"], e["by"], e["medium"], e["purpose"]) for e in entries] == [
        ("given", "checkbox", "voice", "telecom"),
        ("withdrawn", "agent", "voice", "telecom"),
    ]
    assert {e["consent_id"] for e in entries} == {made.id}
    assert DORIS[1:] not in json.dumps(entries) and "Lyon" not in json.dumps(entries)


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": "0142123456"},
        {"channel": "fax"},
        {"purpose": "Anything"},
        {"act": "silence"},
        {"text_sha256": "ab"},
        {"language": "French"},
        {"collector": ""},
        {"source": "x" * 301},
        {"expires_at": datetime.fromisoformat("2020-01-01T00:00Z")},
    ],
)
async def test_a_consent_that_proves_nothing_is_refused(db: Database, now: datetime, wrong: dict[str, Any]) -> None:
    async with db.transaction() as tx:
        with pytest.raises(Invalid):
            await consent(tx, now, **wrong)


async def test_proof_is_kept_from_each_use_on(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        made = await consent(tx, now)
        await consents.used(tx, made.id, now + 9 * YEAR)
        await consents.used(tx, made.id, now + 7 * YEAR)
        assert (await consents.get(tx, made.id)).kept_until == now + 9 * YEAR


async def test_contracts_and_professionals(db: Database, now: datetime) -> None:
    common = {
        "number": DORIS,
        "since": now,
        "until": now + YEAR,
        "legal_basis": "6(1)(b)",
        "kept_until": now + 6 * YEAR,
    }
    async with db.transaction() as tx:
        made = await contact_references.add(tx, kind="contract", purpose="telecom", reference="C-1", **common)
        firm = await contact_references.add(tx, kind="professional", purpose="", reference="SIREN 123", **common)
        assert {one.id for one in await contact_references.of_number(tx, DORIS)} == {made.id, firm.id}
        assert await contact_references.of_number(tx, OTHER) == ()
        ended = await contact_references.end(tx, made.id, now + timedelta(days=1), now + 5 * YEAR)
        assert (ended.until, ended.kept_until) == (now + timedelta(days=1), now + 5 * YEAR)
        assert await contact_references.end(tx, made.id, now + YEAR, now + 9 * YEAR) == ended  # it had ended
        for wrong in ({"kind": "contract", "purpose": ""}, {"kind": "professional", "purpose": "telecom"}):
            with pytest.raises(Invalid):
                await contact_references.add(tx, reference="C-1", **wrong, **common)
        assert await due(tx, "contact_reference", now + 5 * YEAR) == [made.id]
        await expiry.remove(tx, "contact_reference", [made.id])
        assert await contact_references.list_all(tx) == (firm,)
        with pytest.raises(NotFound):
            await contact_references.get(tx, made.id)


@pytest.mark.promise("2.7", "2.15")
async def test_suppressions_hold_for_their_channel(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        every = await suppress(tx, now)
        texts = await suppress(tx, now + timedelta(hours=1), channel="sms", reason="refusal", source="sms")
        assert await suppressions.of_number(tx, DORIS) == (every, texts)
        assert await suppressions.of_number(tx, DORIS, "voice") == (every,)
        assert await suppressions.of_number(tx, DORIS, "sms") == (every, texts)
        assert await suppressions.of_number(tx, OTHER) == ()
        assert await suppressions.list_all(tx) == (texts, every)
        await suppressions.remove(tx, every.id)
        assert await suppressions.of_number(tx, DORIS, "voice") == ()
        with pytest.raises(NotFound):
            await suppressions.remove(tx, every.id)
        for wrong in ({"reason": "why"}, {"source": "a friend"}, {"channel": "fax"}, {"until": now}):
            with pytest.raises(Invalid):
                await suppress(tx, now, **wrong)


@pytest.mark.promise("2.7")
async def test_the_list_of_objections_outlives_the_field_keys_of_all_else(
    fresh_url: str, field_keys: FieldKeys, ledger_key: Ed25519PrivateKey, now: datetime
) -> None:
    database = await Database.open(fresh_url, field_keys, ledger_key)
    async with database.transaction() as tx:
        await suppress(tx, now)
        made = await consent(tx, now)
    await database.close()
    newer = field_keys.rotated()
    database = await Database.open(fresh_url, newer, ledger_key)
    async with database.transaction() as tx:
        assert await contact_keys.reseal(tx) == 1
        assert await contact_keys.rotate(tx, now) == 2
        await suppress(tx, now, OTHER)
        # The older field key goes, and with it whatever it alone could open or find.
        alone = replace(tx, keys=FieldKeys({newer.current: newer.masters[newer.current]}))
        assert len(await suppressions.of_number(alone, DORIS)) == len(await suppressions.of_number(alone, OTHER)) == 1
        with pytest.raises(SealBroken):
            await consents.of_number(alone, DORIS)
        with pytest.raises(SealBroken):
            await consents.get(alone, made.id)
    await database.close()


@pytest.mark.promise("0.1", "L4")
async def test_neither_numbers_nor_who_collected_stand_in_clear(
    db: Database, now: datetime, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    async with db.transaction() as tx:
        await consent(tx, now)
        await suppress(tx, now)
        line = await lines.add(tx, "sales", "300", now)
        await attempt(tx, line.id, now)
        await contact_references.add(
            tx, number=DORIS, kind="contract", purpose="telecom", reference="C-4711", since=now, until=now + YEAR,
            legal_basis="6(1)(b)", kept_until=now + YEAR,
        )  # fmt: skip
    written = await raw(db)
    assert DORIS[1:].encode() not in written and b"Lyon" not in written and b"C-4711" not in written


async def test_every_row_says_why_it_is_kept_and_until_when() -> None:
    for table in (tables.contact_consents, tables.contact_references, tables.contact_suppressions,
                  tables.contact_attempts):  # fmt: skip
        for column in ("purpose", "legal_basis", "kept_until"):
            assert not table.c[column].nullable


async def test_attempts_of_all_lines_count_and_go(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        one, two = await lines.add(tx, "sales", "300", now), await lines.add(tx, "care", "301", now)
        first = await attempt(tx, one.id, now)
        second = await attempt(tx, two.id, now + timedelta(days=1))
        await attempt(tx, two.id, now, OTHER)
        assert [a.id for a in await contact_attempts.of_number(tx, DORIS, "voice")] == [first.id, second.id]
        assert await contact_attempts.of_number(tx, DORIS, "sms") == ()
        await contact_attempts.ended(tx, first.id, "answered")
        assert (await contact_attempts.of_number(tx, DORIS))[0].outcome == "answered"
        with pytest.raises(Invalid):
            await contact_attempts.ended(tx, first.id, "sold")
        gone = await due(tx, "contact_attempt", now + timedelta(days=31))
        assert len(gone) == 2 and second.id not in gone
        assert await expiry.left(tx, "contact_attempt", gone) == dict.fromkeys(gone, 1)
        held = await holds.add(tx, "e" * 32, "number", ABOUT, numbers=[DORIS], now=now, review_at=now + YEAR)
        assert dict(await holds.on(tx, "contact_attempt", gone)) == {first.id: (held.id,)}
        await expiry.remove(tx, "contact_attempt", gone)
        assert [a.id for a in await contact_attempts.of_number(tx, DORIS)] == [second.id]


@pytest.mark.promise("L4")
async def test_two_that_call_at_once_are_counted_one_after_the_other(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        line = await lines.add(tx, "sales", "300", now)

    async def count_and_add() -> int:
        async with db.transaction() as tx:
            await contact_attempts.lock(tx, DORIS)
            before = len(await contact_attempts.of_number(tx, DORIS))
            await asyncio.sleep(0)
            await attempt(tx, line.id, now)
            return before

    async with asyncio.TaskGroup() as group:
        counting = [group.create_task(count_and_add()) for _ in range(5)]
    assert sorted(task.result() for task in counting) == [0, 1, 2, 3, 4]


async def test_a_line_that_canvasses(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        quiet = await lines.add(tx, "sales", "300", now)
        assert (quiet.canvassing, quiet.canvassing_target) == (None, None)
        loud = await lines.save(tx, replace(quiet, canvassing="telecom"))
        loud = await lines.get(tx, loud.id)
        assert (loud.canvassing, loud.canvassing_target) == ("telecom", "ask")
        await lines.save(tx, replace(loud, canvassing_target="professional"))
        assert (await lines.get(tx, quiet.id)).canvassing_target == "professional"
        await lines.save(tx, replace(loud, canvassing=None))
        assert (await lines.get(tx, quiet.id)).canvassing_target is None
        for wrong in ({"canvassing": "Energy 1"}, {"canvassing_target": "everybody"}):
            with pytest.raises(Invalid):
                await lines.save(tx, replace(loud, **wrong))
