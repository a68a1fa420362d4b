"""What is known of many numbers at once is what is known of each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from config import contact_rules
from retention.contact import may_contact
from retention.contact_facts import ContactFacts
from sms.permission import About, Person, facts_of
from storage import consents, contact_attempts, contact_many, contact_references, inboxes, sms_sent, suppressions
from storage.database import Database
from storage.sms_sent import NewText

MANY = [f"+3361234{n:04d}" for n in range(1200)]


async def fill(db: Database, now: datetime) -> None:
    proof: dict[str, Any] = {"legal_basis": "GDPR", "kept_until": now + timedelta(days=900)}
    async with db.transaction() as tx:
        for number in MANY[:700:7]:
            for channel in ("sms", "voice"):
                await consents.add(
                    tx, now, number=number, channel=channel, purpose="telecom", act="checkbox",
                    given_at=now - timedelta(days=9), expires_at=now + timedelta(days=300), collector="us",
                    source="form", **proof,
                )  # fmt: skip
        for number in MANY[:700:11]:
            await contact_references.add(
                tx, number=number, kind="customer", purpose="telecom", reference="order 7",
                since=now - timedelta(days=5), until=now + timedelta(days=300), **proof,
            )  # fmt: skip
        for number, channel in zip(MANY[:700:5], ("sms", "*", "voice", "recording") * 40, strict=False):
            await suppressions.add(
                tx, number, now, channel=channel, reason="objection", source="sms", since=now - timedelta(days=1),
                until=None, purpose="x", **proof,
            )  # fmt: skip
        inbox = await inboxes.add(tx, "sales", "team", now)
        sender = await inboxes.add_sender(
            tx, inbox.id, "'Beffroi", "name", now, classes=("marketing",), approved_by="somebody"
        )
        texts = [
            NewText(
                inbox.id, sender.id, "somebody", number, ("hello",), "GSM7", 1, message_class, "SMS_MARKETING", "x",
                now, now + timedelta(days=1), None, now + timedelta(days=365), state=state,
            )
            for number in MANY[600:800]
            for message_class, state in
            (("marketing", "queued"), ("marketing", "cancelled"), ("marketing", "delivered"), ("conversation", "sent"))
        ]  # fmt: skip
        await sms_sent.add_all(tx, texts, now - timedelta(days=2))


@pytest.mark.promise("1.1")
async def test_many_are_known_as_each(db: Database, now: datetime) -> None:
    await fill(db, now)
    async with db.read() as tx:
        known = await contact_many.known(tx, MANY, "sms", now - timedelta(days=30))
        for number in MANY[::3]:
            one = known.get(number, contact_many.Known())
            own = [c for c in await consents.of_number(tx, number) if c.channel == "sms"]
            assert [row[0] for row in one.consents] == [c.id for c in own]
            assert [row[0] for row in one.references] == [r.id for r in await contact_references.of_number(tx, number)]
            entries = await suppressions.of_number(tx, number, "sms")
            assert [row[0] for row in one.suppressions] == [s.channel for s in entries]
            assert len(one.attempts) == (2 if 600 <= MANY.index(number) < 800 else 0)
        later = await contact_many.known(tx, MANY, "sms", now)
        assert not any(one.attempts for one in later.values())


@pytest.mark.promise("1.1", "1.3")
async def test_facts_are_put_before_the_decision(db: Database, now: datetime) -> None:
    await fill(db, now)
    rules, tuesday = contact_rules.load(), now + timedelta(days=3)
    people = [Person(number, "FR") for number in MANY]
    async with db.read() as tx:
        facts = await facts_of(tx, people, About("telecom", "consumer", "'Beffroi"), rules, tuesday)
    assert len(facts) == len(MANY) and all(isinstance(one, ContactFacts) for one in facts)
    decided = [may_contact(one, rules, tuesday.replace(hour=10)) for one in facts]
    assert decided[7].allowed and decided[7].evidence == facts[7].consents[0].consent_id
    assert decided[11].allowed and decided[11].evidence == facts[11].references[0].reference_id
    assert decided[1].ground == "no_consent"
    assert decided[0].ground == "suppressed"


async def test_a_purchase_says_what_was_bought(db: Database, now: datetime) -> None:
    said: dict[str, Any] = {"number": MANY[0], "kind": "customer", "purpose": "", "reference": "1", "since": now,
                            "until": now + timedelta(days=1), "legal_basis": "x", "kept_until": now}  # fmt: skip
    async with db.transaction() as tx:
        with pytest.raises(Exception, match="purpose"):
            await contact_references.add(tx, **said)


async def test_proofs_that_were_used_are_kept_longer(db: Database, now: datetime) -> None:
    await fill(db, now)
    until = now + timedelta(days=1800)
    async with db.transaction() as tx:
        ids = [one.id for one in await consents.list_all(tx)]
        references = [one.id for one in await contact_references.list_all(tx)]
        await consents.used_many(tx, ids[:150], until)
        await contact_references.used_many(tx, [*references[:20], *ids], until)
        await contact_attempts.lock_many(tx, MANY)
    async with db.read() as tx:
        assert sum(one.kept_until == until for one in await consents.list_all(tx)) == 150
        assert sum(one.kept_until == until for one in await contact_references.list_all(tx)) == 20
