"""Holds that re-wrap: a flag until a reader unlocks, then a key of their own; week keys go, what is held stays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from recording import keys as key_tools
from recording.keys import DEK_WRAP_BYTES
from server.services import held_keys as module
from server.services import holds as hold_service
from server.services.context import open_services
from server.services.held_keys import HeldKeys, flagged
from storage import keys, ledger_verify, lines, people, readers, recordings, tables
from storage.errors import NotFound
from storage.keys import KekWrap
from storage.readers import EscrowKey, ReaderKey
from tests.peers.product import run_cli
from tests.server.conftest import Ran
from tests.server.test_listening import code, keep, kept, ogg_stream, running
from tests.server.test_sweeper import DAY, DPO, NOW, House, Killed, house
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir

__all__ = ["db", "field_keys", "fresh_url", "house", "kept", "ledger_key", "made_once", "postgres_dir"]
pytestmark = [pytest.mark.promise("3.9", "L3")]
WRAP = b"\x01" + bytes(DEK_WRAP_BYTES - 1)
ENDED = NOW - timedelta(days=80)  # the week of what expired yesterday


async def reader(house: House) -> str:
    """A person who listens, and escrow."""
    public, _ = key_tools.generate_reader()
    escrow, _ = key_tools.escrow_pair(key_tools.new_escrow_seed())
    async with house.services.db.transaction() as tx:
        person = await people.add(tx, "rita", "Rita", NOW, roles=("reader",))
        alg = key_tools.algorithm(public)
        await readers.set_key(tx, ReaderKey(person.id, alg, public, b"sealed", NOW))
        await readers.grant(tx, person.id, "REC_QUALITY", "quickstart", NOW)
        await readers.set_escrow(tx, EscrowKey(alg, escrow, NOW))
    return person.id


async def wrapped(house: House, rec_id: str, person_id: str) -> str:
    """The week's key of a recording, given to a reader; its id."""
    async with house.services.db.transaction() as tx:
        kek_id = (await keys.rec_key(tx, rec_id)).kek_id
        await keys.add_kek_wrap(tx, KekWrap(kek_id, person_id, "X", secrets.token_bytes(1234)))
    return kek_id


async def secure(house: House, person_id: str, hold_id: str | None = None) -> int:
    """What the daemon does while a room wraps."""
    held = HeldKeys(house.services, person_id, hold_id, None)
    while some := await held.batch():
        await held.keep({(one.rec_id, one.hold_id): WRAP for one in some})
    return held.secured


async def state(house: House, hold_id: str) -> str:
    return (await hold_service.show(house.services, DPO, hold=hold_id)).state


async def destroyed(house: House, kek_id: str) -> bool:
    async with house.services.db.read() as tx:
        gone = (await keys.get_kek(tx, kek_id)).destroyed_at is not None
        assert not gone or await keys.kek_remains(tx, kek_id) == 0
    return gone


async def is_kept(house: House, rec_id: str) -> bool:
    """File, row and at least one key; or nothing of it."""
    async with house.services.db.read() as tx:
        wraps, row = await keys.wraps(tx, rec_id), await recordings.get(tx, rec_id)
    there = house.file(rec_id).exists()
    assert there == (wraps > 0) == (row.state != "destroyed")
    return there


async def test_a_flag_blocks_the_weeks_key_and_a_secured_hold_lets_it_go(house: House) -> None:
    person_id = await reader(house)
    rec_id = await house.recording(-DAY, week_ends=ENDED)
    kek_id = await wrapped(house, rec_id, person_id)
    hold_id = await house.hold("recording", rec_id)
    assert await state(house, hold_id) == "flag"
    await house.sweeper.sweep()
    assert await is_kept(house, rec_id) and not await destroyed(house, kek_id), "a flag keeps the week's key"
    assert await secure(house, person_id, hold_id) == 1
    assert await state(house, hold_id) == "secured"
    house.later(timedelta(minutes=15))
    said = await house.sweeper.sweep()
    assert said is not None and said.destroyed == {"kek": 1} and said.problem == ""
    assert await is_kept(house, rec_id) and await destroyed(house, kek_id)
    async with house.services.db.read() as tx:
        way = await keys.opening(tx, rec_id, person_id)
        assert (await keys.get_kek(tx, way.kek_id)).period == f"hold.{hold_id}" and way.dek_wrap == WRAP
        hold_kek = way.kek_id
        assert {wrap.reader_id for wrap in await keys.kek_wraps(tx, hold_kek)} == {person_id, readers.ESCROW}
    await hold_service.lift(house.services, DPO, hold=hold_id)
    house.later(timedelta(minutes=15))
    said = await house.sweeper.sweep()
    assert said is not None and said.destroyed == {"recording": 1, "kek": 1} and said.problem == ""
    assert not await is_kept(house, rec_id) and await destroyed(house, hold_kek)
    by_object = {entry["object"]: entry for entry in await house.entries()}
    assert by_object["kek"]["kek_id"] == hold_kek and by_object["recording"]["rec_id"] == rec_id
    async with house.services.db.read() as tx:
        assert await ledger_verify.verify(tx, house.services.keys.ledger.public_key()) == []


async def test_before_it_expires_a_lifted_hold_leaves_all_as_it_was(house: House) -> None:
    person_id = await reader(house)
    rec_id = await house.recording(30 * DAY, week_ends=ENDED)
    kek_id = await wrapped(house, rec_id, person_id)
    hold_id = await house.hold("number", "0612345678")
    await secure(house, person_id)
    await house.sweeper.sweep()
    assert not await destroyed(house, kek_id), "it has not expired: its week's readers open it still"
    await hold_service.lift(house.services, DPO, hold=hold_id)
    await house.sweeper.sweep()
    async with house.services.db.read() as tx:
        assert (await keys.opening(tx, rec_id, person_id)).kek_id == kek_id
        assert await keys.held_keys(tx) == ()
    assert await is_kept(house, rec_id) and not await destroyed(house, kek_id)


async def test_one_that_is_only_a_flag_keeps_the_key_of_the_whole_week(house: House) -> None:
    person_id = await reader(house)
    rec_id, late = await house.recording(-DAY, week_ends=ENDED), await house.recording(-DAY, week_ends=ENDED)
    kek_id = await wrapped(house, rec_id, person_id)
    async with house.services.db.transaction() as tx:  # both of the same week
        await tx.write(tables.rec_keys.update().where(tables.rec_keys.c.rec_id == late).values(kek_id=kek_id))
    one = await house.hold("recording", rec_id)
    await secure(house, person_id, one)
    await house.hold("recording", late)
    await house.sweeper.sweep()
    assert await is_kept(house, rec_id) and await is_kept(house, late) and not await destroyed(house, kek_id)


async def test_two_holds_on_one_recording(house: House) -> None:
    person_id = await reader(house)
    rec_id = await house.recording(-DAY, week_ends=ENDED)
    kek_id = await wrapped(house, rec_id, person_id)
    first, second = await house.hold("recording", rec_id), await house.hold("number", "0612345678")
    await secure(house, person_id, first)
    await house.sweeper.sweep()
    assert await destroyed(house, kek_id)
    # The first is lifted while the second is a flag yet: its key is the last, so it stays.
    await hold_service.lift(house.services, DPO, hold=first)
    house.later(timedelta(minutes=15))
    await house.sweeper.sweep()
    assert await is_kept(house, rec_id)
    async with house.services.db.transaction() as tx:
        hold_kek = (await keys.opening(tx, rec_id, person_id)).kek_id
    assert await secure(house, person_id, second) == 1, "by the key of the first"
    house.later(timedelta(minutes=15))
    await house.sweeper.sweep()
    assert await is_kept(house, rec_id) and await destroyed(house, hold_kek)


async def test_a_reader_secures_what_they_have_the_right_to_and_no_more(house: House) -> None:
    person_id = await reader(house)
    never_given = await house.recording(-DAY)
    given = await house.recording(-DAY)
    await wrapped(house, given, person_id)
    other = await house.recording(-DAY)
    await wrapped(house, other, person_id)
    async with house.services.db.transaction() as tx:
        await tx.write(tables.recordings.update().where(tables.recordings.c.id == other).values(purpose="REC_MIFID"))
    hold_id = await house.hold("number", "0612345678")
    assert await secure(house, person_id, hold_id) == 1
    async with house.services.db.read() as tx:
        assert [one.rec_id for one in await keys.held_keys(tx)] == [given]
        assert set(await flagged(tx, hold_id)) == {never_given, other}
    view = await hold_service.show(house.services, DPO, hold=hold_id)
    assert (view.state, view.recordings, view.secured) == ("partly", 3, 1)


@pytest.mark.parametrize("where", ["kek", "keep", "within", "after"])
async def test_killed_at_any_step_it_is_flag_or_secured(
    house: House, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    person_id = await reader(house)
    rec_id = await house.recording(-DAY, week_ends=ENDED)
    kek_id = await wrapped(house, rec_id, person_id)
    hold_id = await house.hold("recording", rec_id)

    async def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    async def kept_and_killed(self: HeldKeys, wraps: Any) -> None:
        await keep_(self, wraps)
        raise Killed

    keep_ = HeldKeys.keep
    target: tuple[Any, str, Any] = {
        "kek": (keys, "add_kek", killed),
        "keep": (HeldKeys, "keep", killed),
        "within": (keys, "add_held_key", killed),
        "after": (HeldKeys, "keep", kept_and_killed),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(*target)
        with pytest.raises(Killed):
            await secure(house, person_id, hold_id)
    assert await state(house, hold_id) == ("secured" if where == "after" else "flag")
    await house.sweeper.sweep()
    assert await is_kept(house, rec_id) and await destroyed(house, kek_id) is (where == "after")
    await secure(house, person_id, hold_id)
    house.later(timedelta(minutes=15))
    await house.sweeper.sweep()
    assert await state(house, hold_id) == "secured" and await is_kept(house, rec_id) and await destroyed(house, kek_id)
    async with house.services.db.read() as tx:
        made = [kek for kek in await keys.list_keks(tx) if kek.period.startswith("hold.")]
    assert len(made) == 1, "the key of a hold is made once"


async def test_what_is_lifted_or_destroyed_meanwhile_is_not_secured(house: House) -> None:
    person_id = await reader(house)
    rec_id, other = await house.recording(DAY), await house.recording(DAY)
    for one in (rec_id, other):
        await wrapped(house, one, person_id)
    first, second = await house.hold("recording", rec_id), await house.hold("recording", other)
    held = HeldKeys(house.services, person_id, None, None)
    some = await held.batch()
    assert len(some) == 2
    await hold_service.lift(house.services, DPO, hold=first)
    async with house.services.db.transaction() as tx:
        await recordings.destroy(tx, other, NOW)
    await held.keep({(one.rec_id, one.hold_id): WRAP for one in some} | {("f" * 32, second): WRAP})
    async with house.services.db.read() as tx:
        assert held.secured == 0 and await keys.held_keys(tx) == ()


@pytest.mark.parametrize("wrap", [b"", b"\x01short", b"\x07" + bytes(DEK_WRAP_BYTES - 1)])
async def test_what_is_no_wrap_is_not_kept(house: House, wrap: bytes) -> None:
    person_id = await reader(house)
    rec_id = await house.recording(DAY)
    await wrapped(house, rec_id, person_id)
    hold_id = await house.hold("recording", rec_id)
    held = HeldKeys(house.services, person_id, hold_id, None)
    [one] = await held.batch()
    await held.keep({(one.rec_id, one.hold_id): wrap})
    assert await state(house, hold_id) == "flag"


async def test_many_go_a_few_at_a_time(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    person_id = await reader(house)
    for _ in range(5):
        await wrapped(house, await house.recording(DAY), person_id)
    hold_id = await house.hold("number", "0612345678")
    assert await secure(house, person_id) == 5 and await state(house, hold_id) == "secured"


@pytest.mark.promise("3.9")
async def test_a_hold_on_a_line_for_a_period(house: House) -> None:
    async with house.services.db.transaction() as tx:
        line = await lines.add(tx, "sales", "300", NOW)
    inside, outside = await house.call(-DAY), await house.call(-20 * DAY)  # began 31 and 50 days ago
    noted, by_record = await house.recording(-DAY), await house.recording(-DAY, call_id=inside)
    elsewhere = await house.recording(-DAY)
    began = NOW - timedelta(days=31)
    async with house.services.db.transaction() as tx:
        for call_id in (inside, outside):
            await tx.write(tables.call_records.update().where(tables.call_records.c.id == call_id)
                           .values(line_id=line.id))  # fmt: skip
        recording = tables.recordings.update()
        await tx.write(recording.values(started_at=began))
        await tx.write(recording.where(tables.recordings.c.id == noted).values(line_id=line.id))
    laid = await hold_service.add(
        house.services, DPO, scope="line", named="sales", requested_by="court", approved_by="dora",
        review=date(2027, 6, 1), since=(NOW - timedelta(days=35)).date(), until=(NOW - timedelta(days=30)).date(),
    )  # fmt: skip
    assert (laid.recordings, laid.state) == (2, "flag")
    said = await house.sweeper.sweep()
    assert said is not None and said.held == {"recording": 2, "call_record": 1, "diagnosis": 1}
    assert await house.calls() == {inside}
    assert await house.there(noted) and await house.there(by_record) and not await house.there(elsewhere)
    await hold_service.lift(house.services, DPO, hold=laid.id)
    await house.sweeper.sweep()
    assert await house.calls() == set() and not await house.there(noted) and not await house.there(by_record)


async def test_a_lifted_hold_is_forgotten_after_five_years(house: House) -> None:
    rec_id = await house.recording(4000 * DAY)
    hold_id = await house.hold("recording", rec_id)
    await hold_service.lift(house.services, DPO, hold=hold_id)
    house.later(timedelta(days=1700))
    await house.sweeper.sweep(clock_is_right=True)
    assert len(await hold_service.list_(house.services, DPO, all=True)) == 1
    house.later(timedelta(days=200))
    said = await house.sweeper.sweep(clock_is_right=True)
    assert said is not None and said.destroyed["hold"] == 1
    assert await hold_service.list_(house.services, DPO, all=True) == [] and await is_kept(house, rec_id)


# --- a real reader, a real room -------------------------------------------------------------------


def hold(beffroi: Callable[..., Ran], rec_id: str) -> str:
    assert beffroi("person", "add", "dora", "Dora", "--roles", "dpo").status == 0
    laid = beffroi("hold", "add", "recording", rec_id, "--requested-by", "court", "--approved-by", "dora",
                   "--review", "2099-01-01", "--case", "A-17", "--reason", "claim", "--json").json  # fmt: skip
    return str(laid["id"])


async def overdue(data: Path, rec_id: str) -> str:
    """The recording has expired and its week is long over; the id of the week's key."""
    past = datetime.now(UTC) - timedelta(days=3)
    async with open_services(data) as services, services.db.transaction() as tx:
        kek_id = (await keys.rec_key(tx, rec_id)).kek_id
        await tx.write(tables.recordings.update().where(tables.recordings.c.id == rec_id).values(expires_at=past))
        await tx.write(tables.keks.update().where(tables.keks.c.id == kek_id).values(not_after=past))
    return kek_id


@pytest.mark.parametrize("daemon", [True, False], ids=["daemon", "alone"])
def test_a_reader_secures_and_opens_by_the_key_of_the_hold(
    data: Path, beffroi: Callable[..., Ran], shown: dict[str, Any], tmp_path: Path, daemon: bool
) -> None:
    async def made() -> Any:
        async with open_services(data) as services:
            return await keep(services, ogg_stream())

    sealed = asyncio.run(made())
    hold_id = hold(beffroi, sealed.rec_id)
    secrets_ = {"--secrets-fd": f"{shown['reader']['passphrase']}\n{code(shown)}"}

    async def secured() -> Any:
        async with running(data, daemon=daemon):
            return await asyncio.to_thread(
                run_cli, data, "hold", "secure", hold_id[:8], "--as", "reader", "--reason", "as the court asks",
                secrets=secrets_,
            )  # fmt: skip

    done = asyncio.run(secured())
    assert done.returncode == 0 and done.stdout.startswith("1 recordings secured"), done.stderr
    assert beffroi("hold", "show", hold_id, "--json").json["state"] == "secured"
    kek_id = asyncio.run(overdue(data, sealed.rec_id))
    swept = beffroi("retention", "sweep", "--clock-is-right", "--json").json
    assert (swept["destroyed"], swept["held"]) == ({"kek": 1}, {"recording": 1})

    async def week_is_gone() -> None:
        async with open_services(data) as services, services.db.read() as tx:
            assert await keys.kek_remains(tx, kek_id) == 0
            with pytest.raises(NotFound):
                await keys.rec_key(tx, sealed.rec_id)

    asyncio.run(week_is_gone())
    assert beffroi("recordings", "verify", "--json").json[0]["sound"] and beffroi("vault", "check").status == 0
    out = tmp_path / "copy.ogg"
    later = datetime.now(UTC) + timedelta(seconds=30)  # a code counts once; the next one is tolerated
    totp = pyotp.TOTP(shown["reader"]["totp_secret"]).at(later)
    secrets_ = {"--secrets-fd": f"{shown['reader']['passphrase']}\n{totp}"}
    opened = run_cli(data, "recordings", "export", sealed.rec_id, "--as", "reader", "--reason", "for the court",
                     "--out", str(out), secrets=secrets_)  # fmt: skip
    assert opened.returncode == 0, opened.stderr
    assert out.read_bytes() == sealed.ogg
    assert beffroi("hold", "lift", hold_id, "--reason", "judgment").status == 0
    assert beffroi("retention", "sweep", "--json").json["destroyed"] == {"recording": 1, "kek": 1}
    assert beffroi("recordings", "list", "--json").json == [] and beffroi("vault", "check").status == 0


def test_whoever_listens_secures_what_is_held_of_the_same_purpose(
    data: Path, beffroi: Callable[..., Ran], shown: dict[str, Any], tmp_path: Path
) -> None:
    async def made() -> Any:
        async with open_services(data) as services:
            return [await keep(services, ogg_stream()) for _ in range(2)]

    held, other = asyncio.run(made())
    hold_id = hold(beffroi, held.rec_id)
    secrets_ = {"--secrets-fd": f"{shown['reader']['passphrase']}\n{code(shown)}"}
    out = tmp_path / "copy.ogg"
    done = run_cli(data, "recordings", "export", other.rec_id, "--as", "reader", "--reason", "something else",
                   "--out", str(out), secrets=secrets_)  # fmt: skip
    assert done.returncode == 0 and out.read_bytes() == other.ogg, done.stderr
    shown_hold = beffroi("hold", "show", hold_id, "--json").json
    assert (shown_hold["state"], shown_hold["recordings"], shown_hold["secured"]) == ("secured", 1, 1)
    again = run_cli(data, "hold", "secure", hold_id, "--as", "reader", "--reason", "as the court asks",
                    secrets={"--secrets-fd": "x\n1"})  # fmt: skip
    assert again.returncode == 1 and "nothing of that hold waits" in again.stderr


def test_a_wrong_passphrase_secures_nothing(data: Path, beffroi: Callable[..., Ran], shown: dict[str, Any]) -> None:
    async def made() -> Any:
        async with open_services(data) as services:
            return await keep(services, ogg_stream())

    hold_id = hold(beffroi, asyncio.run(made()).rec_id)
    wrong = run_cli(data, "hold", "secure", hold_id, "--as", "reader", "--reason", "as the court asks",
                    secrets={"--secrets-fd": f"not that one\n{code(shown)}"})  # fmt: skip
    assert wrong.returncode == 1 and "passphrase or code is wrong" in wrong.stderr
    assert beffroi("hold", "show", hold_id, "--json").json["state"] == "flag"
