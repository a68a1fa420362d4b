"""Somebody asks to be forgotten: each thing by its pack, evidence kept and said, the rest through the gate."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from config import packs
from retention import receipt as receipts_of
from server import erasables, ordered
from server.failure import Failure
from server.services import number_requests as service
from server.services.actor import Actor
from storage import (
    call_records,
    consents,
    contact_attempts,
    contact_references,
    ledger,
    lines,
    month_keys,
    receipts,
    recordings,
    suppressions,
    sweeps,
    tables,
)
from storage.call_records import CallRecord
from storage.tx import Tx
from tests.server.test_orders import ME, contract, one_receipt
from tests.server.test_sweeper import DAY, NOW, NUMBER, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("L3", "2.12")]
OTHER = "+33187654321"


async def asked(house: House, number: str = NUMBER, **said: Any) -> Any:
    return await service.erase(house.services, ME, number=number, **said)


async def minimal(house: House, call_id: str) -> None:
    """A record that names nobody; its recording does."""
    known = packs.load()["CDR_MINIMAL"]
    record = CallRecord(
        id=call_id, line_id=None, metadata_class="minimal", purpose="p", legal_basis=known.legal_basis, at=NOW - DAY,
        expires_at=NOW + DAY, fields={}, recording_id=None,
    )  # fmt: skip
    async with house.services.db.transaction() as tx:
        await call_records.add(tx, record, {})


async def contacts(tx: Tx, number: str) -> None:
    """One of each that the law wants proven or counted."""
    ends = NOW + 900 * DAY
    line = await lines.add(tx, "canvassing", "399", NOW)
    await consents.add(
        tx, NOW, number=number, channel="voice", purpose="telecom", act="checkbox", given_at=NOW - DAY,
        expires_at=ends, legal_basis="6(1)(a)", kept_until=ends, collector="us", source="form",
    )  # fmt: skip
    await contact_references.add(
        tx, number=number, kind="contract", purpose="telecom", reference="C-1", since=NOW - DAY, until=ends,
        legal_basis="6(1)(b)", kept_until=ends,
    )  # fmt: skip
    await contact_attempts.add(
        tx, number, line_id=line.id, channel="voice", at=NOW - DAY, evidence="", purpose="telecom",
        legal_basis="6(1)(c)", kept_until=NOW + DAY,
    )  # fmt: skip
    await suppressions.add(
        tx, number, NOW, channel="*", reason="objection", source="call", since=NOW - DAY, until=None,
        purpose="objections", legal_basis="6(1)(c)", kept_until=ends,
    )  # fmt: skip


async def known(house: House) -> dict[str, str]:
    """Of everything something: kind or pack -> id."""
    quality_call = "c" * 32
    found = {"quality": await house.recording(60 * DAY, call_id=quality_call)}
    await minimal(house, quality_call)
    found["contract"] = await contract(house)
    found["law"] = await contract(house, "REC_MIFID")
    found["record"], found["minimal"] = await house.call(20 * DAY), quality_call
    async with house.services.db.transaction() as tx:
        await contacts(tx, NUMBER)
    found["other"] = await house.recording(60 * DAY, number=OTHER)
    found["other_record"] = await house.call(20 * DAY, number=OTHER)
    return found


def by_kind(said: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for one in said.items:
        found.setdefault(one.kind, []).append(one.answer)
    return {kind: sorted(answers) for kind, answers in found.items()}


async def test_each_thing_is_decided_and_what_goes_is_what_was_foretold(house: House) -> None:
    there = await known(house)
    foretold = await asked(house, dry_run=True)
    assert by_kind(foretold) == {
        "recording": ["decide", "erase", "keep"],
        "call_record": ["decide", "erase"],
        "diagnosis": ["decide"],
        "contact_consent": ["keep"],
        "contact_reference": ["keep"],
        "contact_attempt": ["erase"],
        "suppression": ["keep"],
    }
    assert (foretold.done, foretold.receipts) == (False, ())
    assert [await house.there(there[name]) for name in ("quality", "contract", "law", "other")] == [True] * 4
    done = await asked(house, number="06 12 34 56 78")
    assert [(one.id, one.answer, one.article) for one in done.items] == [
        (one.id, one.answer, one.article) for one in foretold.items
    ]
    assert {one.id for one in done.items if one.gone} == {one.id for one in foretold.items if one.answer == "erase"}
    assert (done.erased, done.kept, done.to_decide, done.waiting) == (3, 4, 3, 0)
    assert [await house.there(there[name]) for name in ("quality", "contract", "law", "other")] == [
        False, True, True, True,
    ]  # fmt: skip
    assert await house.calls() == {there["record"], there["other_record"]}
    async with house.services.db.read() as tx:
        assert not await contact_attempts.of_number(tx, NUMBER)
        assert await consents.of_number(tx, NUMBER) and await contact_references.of_number(tx, NUMBER)
        assert await suppressions.of_number(tx, NUMBER) and not await sweeps.under_way(tx)


async def test_the_receipts_say_what_went_why_and_what_was_kept(house: House) -> None:
    there = await known(house)
    done = await asked(house)
    assert {(one.kind, one.count) for one in done.receipts} == {
        ("recording", 1), ("call_record", 1), ("contact_attempt", 1),
    }  # fmt: skip
    entries = {one["object"]: one for one in await house.entries() if one["complete"]}
    for proof in done.receipts:
        async with house.services.db.read() as tx:
            body = (await receipts.get(tx, proof.receipt)).body
        receipt = receipts_of.parse(body)
        receipts_of.verify(receipt, house.services.keys.ledger.public_key())
        assert receipt.trigger == "art17_request" and receipt.request_ref.startswith("access:")
        assert {"contact_consent", "contact_reference", "suppression"} <= set(receipt.exceptions_kept)
        assert receipt.live_erased_at < receipt.backup_effective_at
        for secret in (NUMBER, NUMBER[3:], *there.values()):
            assert secret not in body
    assert {one["cause"] for one in entries.values()} == {"request"} and len(entries) == 3
    async with house.services.db.read() as tx:
        accessed = [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]
    assert [(one["action"], one["object"], one["count"]) for one in accessed] == [("erase", "number", 3)]


async def test_what_was_weighed_goes_too(house: House) -> None:
    there = await known(house)
    done = await asked(house, no_overriding_ground=True)
    assert by_kind(done)["call_record"] == ["erase", "erase"] and by_kind(done)["diagnosis"] == ["erase"]
    assert await house.calls() == {there["other_record"]}
    assert await house.there(there["contract"]), "claims are another question: recordings destroy"


async def test_a_hold_keeps_all_of_the_number_and_says_so(house: House) -> None:
    there = await known(house)
    hold_id = await house.hold("number", NUMBER)
    done = await asked(house, no_overriding_ground=True)
    kept = [one for one in done.items if one.kind in ("call_record", "diagnosis", "contact_attempt")]
    assert {one.answer for one in kept} == {"keep"} and {one.article for one in kept} == {"17(3)(e)"}
    assert all(hold_id in one.rule for one in kept)
    assert done.erased == 0 and not done.receipts and await house.there(there["quality"])


async def test_what_is_in_use_waits(house: House) -> None:
    there = await known(house)
    house.services.open_rooms[there["quality"]] += 1
    running = await house.recording(60 * DAY)
    async with house.services.db.transaction() as tx:
        t = tables.recordings
        await tx.write(t.update().where(t.c.id == running).values(state="recording"))
    done = await asked(house)
    waiting = {one.id: one.rule for one in done.items if one.answer == "wait"}
    assert waiting == {there["quality"]: "somebody listens to it now", running: "it is still being recorded"}
    assert await house.there(there["quality"]) and done.waiting == 2


async def test_a_record_whose_number_is_a_hash_by_now_is_found(house: House) -> None:
    call_id = await house.call(20 * DAY)
    async with house.services.db.transaction() as tx:
        await tx.write(tables.call_peers.delete().where(tables.call_peers.c.call_id == call_id))
        hashed = await month_keys.digest(tx, "2026-11", NUMBER, NOW)
        await tx.write(tables.call_month_peers.insert().values(call_id=call_id, role="caller", digest=hashed))
    done = await asked(house, no_overriding_ground=True)
    assert {(one.kind, one.id) for one in done.items if one.gone} == {("call_record", call_id), ("diagnosis", call_id)}
    assert await house.calls() == set()


async def test_of_whom_nothing_is_kept_nothing_is_said_to_be_gone(house: House) -> None:
    await known(house)
    done = await asked(house, number="+33199999999")
    assert (done.done, done.items, done.receipts) == (True, (), ())
    with pytest.raises(Failure, match="case and a reason"):
        await service.erase(house.services, Actor("os:0", "here", "they asked"), number=NUMBER)
    with pytest.raises(Failure, match="no telephone number"):
        await asked(house, number="everybody")


Step = Callable[..., Awaitable[Any]]


@pytest.mark.promise("2.5")
@pytest.mark.parametrize(
    "step", ["begun", "after recordings", "before rows", "after rows", "before looking", "before proof"]
)
async def test_killed_at_any_step_it_is_finished_once(house: House, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    there = await known(house)
    foretold = {(one.kind, one.id) for one in (await asked(house, dry_run=True)).items if one.answer == "erase"}

    def killing(original: Step, *, after: bool) -> Step:
        async def run(*args: Any, **more: Any) -> Any:
            if after:
                await original(*args, **more)
            raise Killed

        return run

    whose, name, after = {
        "begun": (ordered, "carry_out", False),
        "after recordings": (erasables.Recordings, "destroy_keys", True),
        "before rows": (erasables.Rows, "destroy_keys", False),
        "after rows": (erasables.Rows, "destroy_keys", True),
        "before looking": (erasables.Rows, "remains", False),
        "before proof": (ordered, "prove_all", False),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(whose, name, killing(getattr(whose, name), after=after))
        with pytest.raises(Killed):
            await asked(house)
    await house.desk().recover()
    await ordered.resume(house.services)
    assert not await house.there(there["quality"]) and await house.there(there["contract"])
    assert await house.calls() == {there["record"], there["other_record"]}
    assert (await one_receipt(house, there["quality"])).trigger == "art17_request"
    proven = [one for one in await house.entries() if one["complete"]]
    assert {(one["object"], one["count"]) for one in proven} == {("recording", 1), ("call", 1), ("contact", 1)}
    assert len(proven) == len(foretold) == 3
    assert not (await asked(house, dry_run=True)).erased
    async with house.services.db.read() as tx:
        assert not await sweeps.under_way(tx)


async def test_a_sweep_finishes_what_a_request_began(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says why: nothing of it had expired."""
    there = await known(house)

    async def dies(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(ordered, "carry_out", dies)
        with pytest.raises(Killed):
            await asked(house)
    house.later(timedelta(minutes=15))
    said = await house.sweeper.sweep()
    assert said is not None and (said.due, said.destroyed, said.problem) == ({}, {}, "")
    assert (await one_receipt(house, there["quality"])).trigger == "art17_request"
    async with house.services.db.read() as tx:
        assert (await recordings.get(tx, there["quality"])).state == "destroyed"
