"""Ordered destructions and events: through the gate, with a receipt each, whatever happens; both databases."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from config import packs
from recording import vault
from retention import receipt as receipts_of
from retention.gate import DestructionRefused
from server import erasables, ordered
from server.destruction import RecordingDestruction
from server.failure import Failure
from server.services import holds as hold_service
from server.services import recording_orders as service
from server.services import retention as retention_service
from server.services.actor import Actor
from server.sweeper import plans_for
from storage import call_records, evidence, keys, ledger, receipts, recordings, sweeps, tables
from storage.evidence import ConsentEvidence
from tests.server.test_sweeper import DAY, NOW, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "house", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("L3", "2.12")]
ME = Actor("os:0", "here", "the person said so", "B-2")
TODAY = NOW.date()


async def under(house: House, pack: str, rec_id: str, *, kept_for: str | None = None, days_ago: int = 1) -> str:
    """As if it had been recorded some days ago for that purpose."""
    began, known = NOW - days_ago * DAY, packs.load()[pack]
    wait = (known.provisional or known.retention) if known.start_event != "recording_end" else known.retention
    assert wait is not None
    async with house.services.db.transaction() as tx:
        t = tables.recordings
        await tx.write(
            update(t).where(t.c.id == rec_id).values(
                purpose=pack, pack_version=known.version, kept_for=kept_for, started_at=began, ended_at=began,
                expires_at=wait.after(began),
            )
        )  # fmt: skip
    return rec_id


async def contract(house: House, pack: str = "REC_CONTRACT", **said: Any) -> str:
    return await under(house, pack, await house.recording(DAY), **said)


async def destroy(house: House, rec_id: str, because: service.Because = "order", *, dry: bool = False) -> Any:
    return await service.destroy(house.services, ME, rec_id=rec_id, because=because, dry_run=dry)


async def happened(house: House, rec_id: str, event: service.Event, on: date = TODAY, **said: Any) -> Any:
    return await service.event(house.services, ME, rec_id=rec_id, event=event, on=on, **said)


async def log(house: House, name: str, **about: object) -> list[dict[str, Any]]:
    async with house.services.db.read() as tx:
        every = [json.loads(entry.body) for entry in await ledger.entries(tx, name)]
    return [one for one in every if all(one.get(key) == value for key, value in about.items())]


async def row(house: House, rec_id: str) -> recordings.Recording:
    async with house.services.db.read() as tx:
        return await recordings.get(tx, rec_id)


async def one_receipt(house: House, rec_id: str) -> receipts_of.Receipt:
    """The erasure log names one, and it is genuine."""
    (said,) = await log(house, "erasure", rec_id=rec_id, action="destroy")
    async with house.services.db.read() as tx:
        receipt = receipts_of.parse((await receipts.get(tx, said["receipt_id"])).body)
    receipts_of.verify(receipt, house.services.keys.ledger.public_key())
    return receipt


# --- destroy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("because", "pack", "trigger", "cause"),
    [
        ("withdrawal", "REC_QUALITY", "consent_withdrawn", "withdrawal"),
        ("no-contract", "REC_INSURANCE_FR", "no_contract", "no_contract"),
        ("order", "REC_QUALITY", "admin_order", "admin"),
    ],
)
async def test_an_order_destroys_and_is_proven(
    house: House, because: service.Because, pack: str, trigger: str, cause: str
) -> None:
    stays = await house.recording(DAY)
    call_id = await house.call(60 * DAY)
    rec_id = await under(house, pack, await house.recording(60 * DAY, call_id=call_id))
    async with house.services.db.transaction() as tx:
        await call_records.set_recording(tx, call_id, rec_id)
    foretold = await destroy(house, rec_id, because, dry=True)
    assert foretold.goes and not foretold.done and foretold.receipt is None
    assert (await row(house, rec_id)).state == "whole" and house.file(rec_id).exists()
    done = await destroy(house, rec_id, because)
    assert done.done and done.also == foretold.also and "the reference of its call's record" in done.also
    receipt = await one_receipt(house, rec_id)
    accessed = await log(house, "access", rec_id=rec_id)
    assert [one["action"] for one in accessed] == ["test", "destroy"]
    assert (receipt.trigger, receipt.request_ref) == (trigger, f"access:{accessed[1]['seq']}")
    assert receipt.receipt_id == done.receipt and receipt.objects == {"recording": 1}
    assert (receipt.live_erased_at, receipt.backup_effective_at) == ("2026-11-28T12:00:00Z", "2026-12-05T12:00:00Z")
    assert [one["complete"] for one in await log(house, "erasure", rec_id=rec_id, cause=cause)] == [False, True]
    assert {one["actor_id"] for one in await log(house, "erasure")} == {accessed[1]["actor_id"]}
    async with house.services.db.read() as tx:
        assert not await keys.wraps(tx, rec_id)
        assert (await call_records.get(tx, call_id)).recording_id is None
        assert not await sweeps.under_way(tx)
    assert not house.file(rec_id).exists() and await house.there(stays)
    with pytest.raises(Failure, match="destroyed already"):
        await destroy(house, rec_id, because)


async def test_a_hold_refuses_is_named_and_stops_until_it_is_lifted(house: House) -> None:
    rec_id = await house.recording(60 * DAY)
    laid = await hold_service.add(
        house.services, ME, scope="recording", named=rec_id, requested_by="court", approved_by="dora",
        review=date(2027, 3, 1),
    )  # fmt: skip
    foretold = await destroy(house, rec_id, dry=True)
    assert not foretold.goes and foretold.rule == f"legal hold {laid.id}"
    with pytest.raises(Failure, match=laid.id) as refused:
        await destroy(house, rec_id)
    assert f"beffroi hold show {laid.id[:12]}" in refused.value.remedy
    assert [one["outcome"] for one in await log(house, "access", rec_id=rec_id, action="destroy")] == ["refused"]
    assert not await log(house, "erasure") and await house.there(rec_id)
    await hold_service.lift(house.services, ME, hold=laid.id)
    assert (await destroy(house, rec_id)).done


async def test_a_hold_laid_between_order_and_destruction_wins(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    rec_id = await house.recording(60 * DAY)
    carry_out = ordered.carry_out

    async def after_a_hold(services: Any, under_way: str) -> Any:
        await hold_service.add(
            house.services, ME, scope="recording", named=rec_id, requested_by="court", approved_by="dora",
            review=date(2027, 3, 1),
        )  # fmt: skip
        return await carry_out(services, under_way)

    monkeypatch.setattr(ordered, "carry_out", after_a_hold)
    with pytest.raises(Failure, match="legal hold"):
        await destroy(house, rec_id)
    assert await house.there(rec_id)
    said = await log(house, "erasure", rec_id=rec_id)
    assert [one.get("outcome") for one in said] == [None, "refused"]
    async with house.services.db.read() as tx:
        assert not await sweeps.under_way(tx)  # nobody tries it again


@pytest.mark.parametrize(
    ("pack", "because", "rule"),
    [
        ("REC_MIFID", "order", "minimum period of REC_MIFID"),
        ("REC_MIFID", "withdrawal", "minimum period of REC_MIFID"),
        ("REC_MIFID", "no-contract", "not kept for a contract"),
        ("REC_INSURANCE_FR", "order", "may still come"),
        ("REC_INSURANCE_FR", "withdrawal", "legal duty"),
    ],
)
async def test_what_the_law_keeps_no_order_destroys(
    house: House, pack: str, because: service.Because, rule: str
) -> None:
    rec_id = await contract(house, pack)
    assert not (await destroy(house, rec_id, because, dry=True)).goes
    with pytest.raises(Failure, match=rule):
        await destroy(house, rec_id, because)
    assert await house.there(rec_id)


async def test_after_the_signature_the_minimum_holds_against_everything(house: House) -> None:
    """R112-7: two years from the signature, though the pack's provisional period was a month."""
    rec_id = await contract(house, "REC_INSURANCE_FR", days_ago=20)
    await happened(house, rec_id, "contract_signed")
    for because in ("order", "no-contract", "withdrawal"):
        with pytest.raises(Failure):
            await destroy(house, rec_id, because)
    house.later(90 * DAY)
    assert await house.sweeper.sweep(clock_is_right=True) and await house.there(rec_id)
    async with house.services.db.transaction() as tx:  # what no code of ours would do
        t = tables.recordings
        await tx.write(update(t).where(t.c.id == rec_id).values(expires_at=house.moment - DAY))
    async with house.services.db.read() as tx:
        (plan,) = await plans_for(tx, "recording", house.moment, limit=9)
    assert not plan.destroy and "minimum period" in plan.rule
    house.later(timedelta(days=660))
    assert await house.sweeper.sweep(clock_is_right=True) and not await house.there(rec_id)


@pytest.mark.promise("2.5")
async def test_an_objection_that_a_hold_delays_outlives_the_minimum_of_a_signature(house: House) -> None:
    """Without the hold it would have gone at once: that lifted, the next sweep takes it, and not two years on."""
    rec_id = await contract(house, "REC_INSURANCE_FR", days_ago=20)
    await happened(house, rec_id, "contract_signed")
    laid = await hold_service.add(
        house.services, ME, scope="recording", named=rec_id, requested_by="court", approved_by="dora",
        review=date(2027, 3, 1),
    )  # fmt: skip
    services = house.services
    destruction = RecordingDestruction(services.db, services.paths.vault, services.keys.ledger, services.clock)
    with pytest.raises(DestructionRefused, match="legal hold"):
        await destruction.on_objection(rec_id, None, services.clock())
    house.later(DAY)
    assert await house.sweeper.sweep() and await house.there(rec_id)
    assert (await row(house, rec_id)).objected_at is not None
    await hold_service.lift(services, ME, hold=laid.id)
    assert await house.sweeper.sweep() and not await house.there(rec_id)


async def test_whoever_listens_is_not_cut_off(house: House) -> None:
    rec_id = await house.recording(60 * DAY)
    house.services.open_rooms[rec_id] += 1
    with pytest.raises(Failure, match="listens"):
        await destroy(house, rec_id)
    assert await house.there(rec_id)
    del house.services.open_rooms[rec_id]
    assert (await destroy(house, rec_id)).done


async def test_what_runs_what_is_unknown_and_what_has_no_reason_is_refused(house: House) -> None:
    rec_id = await house.recording(60 * DAY)
    with pytest.raises(Failure, match="needs a reason"):
        await service.destroy(house.services, Actor("os:0", "here"), rec_id=rec_id, because="order")
    with pytest.raises(Failure, match="no recording"):
        await destroy(house, "f" * 32)
    async with house.services.db.transaction() as tx:
        t = tables.recordings
        await tx.write(update(t).where(t.c.id == rec_id).values(state="recording"))
    with pytest.raises(Failure, match="still being recorded"):
        await destroy(house, rec_id)
    assert await house.there(rec_id)


Step = Callable[..., Awaitable[Any]]


@pytest.mark.promise("2.5")
@pytest.mark.parametrize(
    "step", ["begun", "before keys", "after keys", "before files", "after files", "before looking", "before proof"]
)
async def test_killed_at_any_step_it_is_finished_once(house: House, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    call_id = await house.call(60 * DAY)
    rec_id = await house.recording(60 * DAY, call_id=call_id)
    async with house.services.db.transaction() as tx:
        await call_records.set_recording(tx, call_id, rec_id)

    def killing(original: Step, *, after: bool) -> Step:
        async def run(*args: Any, **more: Any) -> Any:
            if after:
                await original(*args, **more)
            raise Killed

        return run

    whose, name, after = {
        "begun": (ordered, "carry_out", False),
        "before keys": (erasables.Recordings, "destroy_keys", False),
        "after keys": (erasables.Recordings, "destroy_keys", True),
        "before files": (erasables.Recordings, "remove_bytes", False),
        "after files": (erasables.Recordings, "remove_bytes", True),
        "before looking": (erasables.Recordings, "remains", False),
        "before proof": (ordered, "prove_all", False),
    }[step]
    with monkeypatch.context() as patch:
        patch.setattr(whose, name, killing(getattr(whose, name), after=after))
        with pytest.raises(Killed):
            await destroy(house, rec_id)
    await house.desk().recover()  # as the daemon does when it starts: nobody has objected
    await ordered.resume(house.services)
    assert not await house.there(rec_id) and not house.file(rec_id).exists()
    assert (await one_receipt(house, rec_id)).trigger == "admin_order"
    async with house.services.db.read() as tx:
        assert (await call_records.get(tx, call_id)).recording_id is None
        assert not await sweeps.under_way(tx)
    assert await ordered.resume(house.services) == 0
    assert len(await log(house, "erasure", rec_id=rec_id, action="destroy")) == 1


async def test_two_that_finish_the_same_order_give_one_receipt(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """As two nodes of one database might."""
    rec_id = await house.recording(60 * DAY)
    prove = ordered._prove

    async def after_another(services: Any, one: Any, *args: Any) -> Any:
        monkeypatch.setattr(ordered, "_prove", prove)
        assert await ordered.resume(services) == 1
        return await prove(services, one, *args)

    monkeypatch.setattr(ordered, "_prove", after_another)
    with pytest.raises(Failure, match="another node"):
        await destroy(house, rec_id)
    assert (await one_receipt(house, rec_id)).objects == {"recording": 1}


async def test_what_a_disk_keeps_is_said_and_finished_by_the_next_sweep(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    rec_id = await house.recording(60 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(vault, "remove", lambda *_: None)
        with pytest.raises(Failure, match="something of it is left"):
            await destroy(house, rec_id)
        assert await ordered.resume(house.services) == 0
        with pytest.raises(Failure, match="not finished"):
            await destroy(house, rec_id)
    assert not await log(house, "erasure", action="destroy") and house.file(rec_id).exists()
    assert (await retention_service.status(house.services, ME)).unfinished == 1
    assert await house.sweeper.sweep(clock_is_right=True)
    assert not house.file(rec_id).exists()
    assert (await one_receipt(house, rec_id)).trigger == "admin_order"


async def test_an_order_that_was_refused_hides_no_objection(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The erasure log names it: ordered, refused. Of an objection it still gets its receipt after a crash."""
    rec_id = await house.recording(60 * DAY)
    async with house.services.db.transaction() as tx:
        entry = {"actor_id": "system", "action": "erase", "object": "recording", "cause": "admin", "rec_id": rec_id}
        await ledger.append(tx, "erasure", {**entry, "complete": False}, NOW)
        await ledger.append(tx, "erasure", {**entry, "complete": False, "outcome": "refused"}, NOW)
        await recordings.destroy(tx, rec_id, NOW)
    services = house.services
    destruction = RecordingDestruction(services.db, services.paths.vault, services.keys.ledger, services.clock)
    assert (await destruction.on_objection(rec_id, 1, NOW)) is not None
    assert (await one_receipt(house, rec_id)).trigger == "objection"


# --- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("3.3")
async def test_an_event_gives_the_recording_the_period_of_its_pack(house: House) -> None:
    rec_id = await contract(house)
    gone = await contract(house)
    before = (await row(house, rec_id)).expires_at
    said = await happened(house, rec_id, "contract_concluded")
    assert (said.expired_before, said.corrected, said.due) == (before, False, False)
    assert said.expires_at == datetime(2031, 11, 29, tzinfo=UTC) == (await row(house, rec_id)).expires_at
    house.later(30 * DAY)
    assert await house.sweeper.sweep(clock_is_right=True)
    assert await house.there(rec_id) and not await house.there(gone)
    (entry,) = await log(house, "access", rec_id=rec_id, object="recording")
    assert (entry["action"], entry["rule"], entry["day"]) == ("add", "contract_concluded", "2026-11-28")
    assert entry["expires_at"] == "2031-11-29T00:00:00.000000Z" and "reason_id" in entry


@pytest.mark.promise("3.3")
async def test_the_companys_own_period_counts_where_it_was_kept(house: House) -> None:
    rec_id = await contract(house, kept_for="P1Y")
    assert (await happened(house, rec_id, "contract_concluded")).expires_at == datetime(2027, 11, 29, tzinfo=UTC)


@pytest.mark.promise("3.3")
async def test_it_is_entered_once_and_corrected_with_a_reason(house: House) -> None:
    rec_id = await contract(house, days_ago=9)
    with pytest.raises(Failure, match="nothing to correct"):
        await happened(house, rec_id, "contract_concluded", correct=True)
    await happened(house, rec_id, "contract_concluded")
    for on in (TODAY, TODAY - DAY):
        with pytest.raises(Failure, match="on 2026-11-28"):
            await happened(house, rec_id, "contract_concluded", on)
    with pytest.raises(Failure, match="needs a reason"):
        await service.event(
            house.services,
            Actor("os:0", "here"),
            rec_id=rec_id,
            event="contract_concluded",
            on=TODAY - DAY,
            correct=True,
        )
    said = await happened(house, rec_id, "contract_concluded", TODAY - DAY, correct=True)
    assert said.corrected and said.expires_at == datetime(2031, 11, 28, tzinfo=UTC)
    assert [one["action"] for one in await log(house, "access", rec_id=rec_id)] == ["add", "change"]


@pytest.mark.promise("3.3")
async def test_what_cannot_be_is_not_entered(house: House) -> None:
    rec_id, quality = await contract(house), await under(house, "REC_QUALITY", await house.recording(DAY))
    cases: tuple[tuple[service.Event, date, str], ...] = (
        ("contract_concluded", TODAY + DAY, "future"),
        ("contract_concluded", TODAY - 2 * DAY, "before the recording"),
        ("contract_signed", TODAY, "runs from contract_concluded"),
    )
    for event, on, why in cases:
        with pytest.raises(Failure, match=why):
            await happened(house, rec_id, event, on)
    with pytest.raises(Failure, match="end of the recording"):
        await happened(house, quality, "case_closed")
    assert (await row(house, rec_id)).event_at is None
    await destroy(house, rec_id)
    with pytest.raises(Failure, match="destroyed already"):
        await happened(house, rec_id, "contract_concluded")


@pytest.mark.promise("3.3")
async def test_a_late_event_may_end_it_at_once_and_says_so(house: House) -> None:
    rec_id = await contract(house, "REC_WHISTLEBLOW", days_ago=100)
    said = await happened(house, rec_id, "case_closed", TODAY - 90 * DAY)
    assert said.due and said.expires_at <= NOW
    assert await house.sweeper.sweep(clock_is_right=True) and not await house.there(rec_id)


@pytest.mark.promise("3.3", "2.5")
async def test_an_event_does_not_undo_an_objection_that_a_hold_delays(house: House) -> None:
    rec_id = await contract(house)
    call_id = (await row(house, rec_id)).call_id
    assert call_id is not None
    async with house.services.db.transaction() as tx:
        for leg in ("1" * 32, "2" * 32):  # the first is what the recording rests on
            act = ConsentEvidence(call_id, leg, "REC_CONTRACT", "objection", "line", 1, rec_id=rec_id)
            await evidence.record(tx, act, NOW)
        await recordings.overdue(tx, rec_id, NOW - DAY)
    with pytest.raises(Failure, match="objected"):
        await happened(house, rec_id, "contract_concluded")
    assert (await row(house, rec_id)).expires_at < NOW


async def test_the_forecast_knows_the_event(house: House) -> None:
    rec_id = await contract(house, "REC_WHISTLEBLOW", days_ago=1)
    await happened(house, rec_id, "case_closed")
    days = await retention_service.forecast(house.services, ME, days=70)
    assert [(one.day, one.recording) for one in days if one.recording] == [("2027-01-29", 1)]


async def test_nothing_of_a_destroyed_one_is_left_in_the_database(house: House) -> None:
    """The event and the period of its own go with the rest."""
    rec_id = await contract(house, kept_for="P1Y")
    await happened(house, rec_id, "contract_concluded")
    await destroy(house, rec_id)
    async with house.services.db.read() as tx:
        t = tables.recordings
        (found,) = await tx.rows(
            select(t.c.kept_for, t.c.event_at, t.c.objected_at, t.c.purpose).where(t.c.id == rec_id)
        )
    assert set(dict(found).values()) == {None}
