import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from datetime import datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import access, evidence, ledger, ledger_verify, log_days
from storage.database import Database
from storage.errors import Invalid, LedgerRefused, NotFound
from storage.evidence import ConsentEvidence
from storage.ids import new_id

PRESSED = ConsentEvidence(
    call_id=new_id(),
    leg_id=new_id(),
    purpose="quality",
    act="key1",
    rule="country.FR",
    media_ms=5120,
    prompt_id="PROMPT_QUALITY",
    prompt_version="2026-11-21",
    prompt_sha256="ab" * 32,
    language="fr",
)


@pytest.mark.promise("1.2")
async def test_a_key_pressed_is_in_the_ledger_with_what_was_heard(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        entry = await evidence.record(tx, PRESSED, now)
        stored = await ledger.get(tx, "consent", entry.seq)
    assert json.loads(stored.body) == {
        "act": "key1",
        "at": "2026-11-21T22:00:00.000000Z",
        "call_id": PRESSED.call_id,
        "key": "1",
        "language": "fr",
        "leg_id": PRESSED.leg_id,
        "log": "consent",
        "media_ms": 5120,
        "prompt_id": "PROMPT_QUALITY",
        "prompt_sha256": "ab" * 32,
        "prompt_version": "2026-11-21",
        "purpose": "quality",
        "rule": "country.FR",
        "seq": 1,
    }


@pytest.mark.parametrize("missing", ["prompt_id", "prompt_version", "prompt_sha256", "language"])
@pytest.mark.parametrize("act", ["heard", "key1", "key2", "timeout"])
def test_an_answer_without_its_question_is_no_evidence(act: str, missing: str) -> None:
    with pytest.raises(Invalid):
        ConsentEvidence(**(asdict(PRESSED) | {"act": act, missing: None})).payload()


@pytest.mark.parametrize("wrong", [{"act": "nodded"}, {"act": "key2", "key": "1"}])
def test_evidence_that_contradicts_itself_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(Invalid):
        ConsentEvidence(**(asdict(PRESSED) | wrong)).payload()


@pytest.mark.parametrize("act", ["objection", "hangup", "withdrawn", "statute", "prompt_failed"])
async def test_other_acts_need_no_hash(db: Database, now: datetime, act: str) -> None:
    async with db.transaction() as tx:
        bare = replace(PRESSED, act=act, prompt_sha256=None, prompt_version=None)
        assert (await evidence.record(tx, bare, now)).seq == 1


async def test_evidence_never_names_the_person(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        with pytest.raises(LedgerRefused):
            await evidence.record(tx, replace(PRESSED, leg_id="sip:alice@example.net"), now)


async def test_a_look_is_recorded_with_its_reason_sealed(
    db: Database, now: datetime, ledger_key: Ed25519PrivateKey, raw: Callable[[Database], Awaitable[bytes]]
) -> None:
    typed = "Complaint of Mrs Quetzal, 06 12 34 56 78"
    alice, rec_id = new_id(), new_id()
    async with db.transaction() as tx:
        entry = await access.record(
            tx, actor_id=alice, action="open", now=now, reason=typed, details={"rec_id": rec_id, "purpose": "quality"}
        )
        said = json.loads(entry.body)
        assert (said["actor_id"], said["action"], said["rec_id"], said["purpose"]) == (alice, "open", rec_id, "quality")
        assert await access.reason(tx, said["reason_id"]) == typed
        assert access.reason_matches(tx, said["reason_id"], typed, said["reason_digest"])
        assert not access.reason_matches(tx, said["reason_id"], typed + "!", said["reason_digest"])
    written = await raw(db)
    assert b"Quetzal" not in written and b"12 34 56" not in written
    async with db.transaction() as tx:
        await access.record(tx, actor_id="system", action="list", now=now + timedelta(days=1))
        await log_days.prune(tx, "access_day", said["at"][:10], now + timedelta(days=400))
        with pytest.raises(NotFound):
            await access.reason(tx, said["reason_id"])
        assert await ledger_verify.verify(tx, ledger_key.public_key()) == []


async def test_details_cannot_replace_who_and_what(db: Database, now: datetime) -> None:
    async with db.transaction() as tx:
        entry = await access.record(
            tx, actor_id="system", action="open", now=now, details={"actor_id": new_id(), "action": "show"}
        )
    assert json.loads(entry.body)["actor_id"] == "system" and json.loads(entry.body)["action"] == "open"
