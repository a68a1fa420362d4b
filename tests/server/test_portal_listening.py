"""Listening through the portal: one room for a session, real sealed recordings, every opening written down."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import json
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyotp
import pytest

from recording import keys as key_tools
from recording import reader_room_client
from recording.reader_bundle import ReaderSecret, seal_reader
from server.failure import Failure
from server.rights import Identity, NotFresh, Reach
from server.services import (
    containment,
    listening,
    listening_requests,
    permitted,
    recording_openings,
    recording_orders,
    recordings,
    sign_in,
)
from server.services import portal_listening as portal
from server.services.actor import Actor
from server.services.context import Services
from storage import ledger, people, readers, role_rights
from tests.server.test_listening import Kept, keep, ogg_stream

ME = Actor("os:0", "here", reason="a test")
WHY: dict[str, str] = {"workstation": "192.0.2.7", "reason": "a complaint", "case": "2026-17"}
PASSPHRASE = "correct horse battery"
TWO = "REC_WHISTLEBLOW"
_numbers = itertools.count()


class Person:
    """A reader with a session of their own."""

    def __init__(self, identity: Identity, passphrase: str, totp: str) -> None:
        self.identity, self.passphrase, self.totp = identity, passphrase, totp

    def code(self) -> str:
        return pyotp.TOTP(self.totp).at(datetime.now(UTC))

    async def unlock(self, services: Services) -> portal.RoomView:
        return await portal.unlock(
            services, self.identity, workstation="192.0.2.7", passphrase=self.passphrase, code=self.code()
        )


def identity(person: people.Person, **more: Any) -> Identity:
    grants = {"recordings.read": more.pop("reach", Reach.ALL)}
    session = f"{next(_numbers):032x}"
    return Identity(person.id, person.login, "en", grants, session_id=session, **more)


async def reader(services: Services, shown: dict[str, Any]) -> Person:
    """The one that quickstart has made."""
    async with services.db.read() as tx:
        person = await people.by_login(tx, "reader")
    return Person(identity(person), shown["reader"]["passphrase"], shown["reader"]["totp_secret"])


async def another(services: Services, login: str, *purposes: str) -> Person:
    public, secret = key_tools.generate_kek()
    totp = pyotp.random_base32()
    async with services.db.transaction() as tx:
        person = await people.add(tx, login, login, services.clock(), roles=["reader"])
        bundle = seal_reader(ReaderSecret(person.id, secret, totp), PASSPHRASE)
        key = readers.ReaderKey(person.id, key_tools.algorithm(public), public, bundle, services.clock())
        await readers.set_key(tx, key)
        await readers.set_totp(tx, person.id, b"")
        for purpose in purposes:
            await readers.grant(tx, person.id, purpose, "system", services.clock())
    return Person(identity(person), PASSPHRASE, totp)


@pytest.fixture
async def open_services_(services: Services) -> AsyncIterator[Services]:
    """With no room left behind."""
    yield services
    for session in list(services.reader_rooms._rooms):
        await services.reader_rooms.end(session)


@pytest.fixture
async def house(open_services_: Services) -> Services:
    return open_services_


async def entries(services: Services, rec_id: str = "") -> list[dict[str, Any]]:
    async with services.db.read() as tx:
        found = [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]
    return [one for one in found if not rec_id or one.get("rec_id") == rec_id]


def what(some: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["action"], one["object"], one["outcome"]) for one in some]


async def whole(services: Services, who: Identity, rec_id: str) -> bytes:
    found, size = b"", await portal.size(services, who, rec_id=rec_id)
    while len(found) < size:
        found += await portal.read(services, who, rec_id=rec_id, start=len(found), end=size)
    return found


def everything(data: Path) -> bytes:
    return b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


def runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@contextlib.contextmanager
def refused(code: str) -> Any:
    with pytest.raises(Failure) as failure:
        yield failure
    assert failure.value.code == code, str(failure.value)


@pytest.mark.promise("2.9", "2.10", "L9")
async def test_one_unlocking_opens_several_and_each_is_written_down(
    house: Services, shown: dict[str, Any], data: Path
) -> None:
    kept = [await keep(house, ogg_stream()) for _ in range(2)]
    me = await reader(house, shown)
    assert await portal.room(house, me.identity) is None
    with refused("conflict"):
        await portal.listen(house, me.identity, rec_id=kept[0].rec_id, **WHY)
    view = await me.unlock(house)
    assert "REC_QUALITY" in view.purposes and timedelta(0) < view.until - house.clock() <= timedelta(minutes=15)
    for one in kept:
        opened = await portal.listen(house, me.identity, rec_id=one.rec_id, **WHY)
        assert (opened.state, opened.size_bytes, opened.duration_ms) == ("whole", len(one.ogg), 2000)
        said = await entries(house, one.rec_id)
        assert what(said) == [("open", "recording", "done")], "written down before a byte is given out"
        assert await whole(house, me.identity, one.rec_id) == one.ogg
        assert await portal.read(house, me.identity, rec_id=one.rec_id, start=100, end=200) == one.ogg[100:200]
        assert opened.webm_bytes == await portal.size(house, me.identity, rec_id=one.rec_id, form="webm") > 0
    assert house.open_rooms[kept[0].rec_id] == 1, "nothing destroys it meanwhile"
    on_disk = everything(data)
    assert b"OpusHead" not in on_disk and kept[0].ogg[:64] not in on_disk
    pid = house.reader_rooms._rooms[str(me.identity.session_id)].client.pid
    await portal.lock(house, me.identity)
    assert not runs(pid) and house.open_rooms == {}
    for one in kept:
        said = await entries(house, one.rec_id)
        assert what(said) == [("open", "recording", "done"), ("listen", "recording", "done")]
        assert said[-1]["size_bytes"] == len(one.ogg)
        for entry in said:  # who, on what, from where, when, why
            assert (
                entry["person_id"] == entry["actor_id"] == me.identity.person_id and entry["purpose"] == "REC_QUALITY"
            )
            assert entry["workstation"] and entry["at"] and entry["reason_id"]
    told = await permitted.call(
        house, me.identity, "recordings.openings", {"rec_id": kept[0].rec_id}, workstation="192.0.2.7"
    )
    assert isinstance(told, list)
    assert [(one["action"], one["who"], one["reason"]) for one in told] == [
        ("listen", "reader", "a complaint [case 2026-17]"),
        ("open", "reader", "a complaint [case 2026-17]"),
    ]


@pytest.mark.promise("2.9", "0.6")
async def test_without_reason_case_right_or_reach_it_stays_closed(house: Services, shown: dict[str, Any]) -> None:
    kept, contract = await keep(house, ogg_stream()), await keep(house, ogg_stream(), "REC_CONTRACT")
    me = await reader(house, shown)
    await me.unlock(house)
    for missing in ("reason", "case"):
        with refused("invalid"):
            await portal.listen(house, me.identity, rec_id=kept.rec_id, **{**WHY, missing: " "})
    with refused("denied"):
        await portal.listen(house, me.identity, rec_id=contract.rec_id, **WHY)
    assert what(await entries(house, contract.rec_id)) == [("open", "recording", "denied")]
    with refused("not_found"):
        await portal.listen(house, me.identity, rec_id="0" * 32, **WHY)
    async with house.db.read() as tx:
        person = await people.by_login(tx, "reader")
    other = identity(person)  # the same person in another browser
    with refused("conflict"):
        await portal.listen(house, other, rec_id=kept.rec_id, **WHY)
    session = {"session_id": me.identity.session_id}
    narrow = Identity(person.id, "reader", "en", {"recordings.read": Reach.TEAM}, **session)
    with refused("not_found"):
        await portal.listen(house, narrow, rec_id=kept.rec_id, **WHY)
    with refused("denied"):
        await portal.listen(house, Identity(person.id, "reader", "en", {}, **session), rec_id=kept.rec_id, **WHY)
    token = Identity(person.id, "reader", "en", {"recordings.read": Reach.ALL}, token_id="t", session_id="s")
    with refused("denied"):
        await portal.unlock(house, token, workstation="x", passphrase=me.passphrase, code=me.code())
    for rec_id in (kept.rec_id, contract.rec_id):
        with refused("not_found"):
            await portal.size(house, me.identity, rec_id=rec_id)
        with refused("not_found"):
            await portal.read(house, me.identity, rec_id=rec_id, start=0, end=10)


@pytest.mark.promise("0.6")
async def test_what_is_wrong_is_counted_and_a_code_unlocks_once(house: Services, shown: dict[str, Any]) -> None:
    me = await reader(house, shown)
    code = me.code()
    wrong = f"{(int(code) + 1) % 1000000:06}"
    said = []
    for passphrase, typed in ((me.passphrase + "x", code), (me.passphrase, wrong)):
        with refused("invalid") as failure:
            await portal.unlock(house, me.identity, workstation="x", passphrase=passphrase, code=typed)
        said.append(str(failure.value))
    assert said[0] == said[1], "nobody is told which of the two was wrong"
    assert what(await entries(house))[-2:] == [("unlock", "reader", "wrong")] * 2
    await portal.unlock(house, me.identity, workstation="x", passphrase=me.passphrase, code=code)
    with refused("invalid"):
        await portal.unlock(house, me.identity, workstation="x", passphrase=me.passphrase, code=code)
    assert what(await entries(house))[-1] == ("unlock", "reader", "replayed")
    assert await portal.room(house, me.identity) is not None, "the one that is open stays so"
    for _ in range(readers.FREE_FAILURES - 1):
        with refused("invalid"):
            await portal.unlock(house, me.identity, workstation="x", passphrase="wrong", code=wrong)
    with refused("locked"):
        await portal.unlock(house, me.identity, workstation="x", passphrase=me.passphrase, code=code)


@pytest.mark.promise("0.6", "L9")
@pytest.mark.parametrize("way", ["sign-out", "revoked", "person", "time", "daemon", "killed", "right"])
async def test_a_room_ends_with_what_it_hangs_on(house: Services, shown: dict[str, Any], way: str) -> None:
    kept, me, ended = await keep(house, ogg_stream()), await reader(house, shown), set[str]()

    async def lives(person_id: str, session_id: str) -> bool:
        assert person_id == me.identity.person_id
        return session_id not in ended

    running = asyncio.get_running_loop().create_task(house.reader_rooms.run(house.clock, lives))  # noqa: TID251 - ended below
    await me.unlock(house)
    await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    assert len(await portal.read(house, me.identity, rec_id=kept.rec_id, start=0, end=64)) == 64
    room = house.reader_rooms._rooms[str(me.identity.session_id)]
    match way:
        case "sign-out":
            await sign_in.sign_out(house, me.identity)
        case "revoked":
            ended.add(str(me.identity.session_id))
        case "person":
            assert (await containment.lock(house, ME, login="reader")).rooms == 1
        case "time":
            room.until = house.clock()
        case "killed":
            os.kill(room.client.pid, 9)
        case "right":
            async with house.db.transaction() as tx:
                await readers.revoke(tx, me.identity.person_id, "REC_QUALITY")
        case _:
            running.cancel()
    if way == "right":
        with refused("not_found"):
            await portal.size(house, me.identity, rec_id=kept.rec_id)
    for _ in range(100):
        if (await entries(house, kept.rec_id))[-1]["action"] == "listen":
            break
        await asyncio.sleep(0.1)
    said = (await entries(house, kept.rec_id))[-1]
    assert (said["action"], said["size_bytes"], house.open_rooms) == ("listen", 64, {})
    with refused("not_found" if way == "right" else "conflict"):
        await portal.read(house, me.identity, rec_id=kept.rec_id, start=0, end=64)
    assert runs(room.client.pid) == (way == "right")
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.promise("L9")
async def test_the_room_ends_by_itself_should_the_daemon_hang(house: Services, shown: dict[str, Any]) -> None:
    me = await reader(house, shown)
    async with house.db.read() as tx:
        key = await readers.get_key(tx, me.identity.person_id)
    unlock = reader_room_client.Unlock(key.person_id, key.sealed_secret, me.passphrase, me.code(), 0, open_s=0.5)
    client = await reader_room_client.ReaderRoomClient.start(unlock)
    for _ in range(50):
        if client.ended:
            break
        await asyncio.sleep(0.1)
    assert client.ended
    with pytest.raises(reader_room_client.RoomGone):
        await client.waveform("0" * 32)
    await client.close()


@pytest.mark.promise("0.4", "0.6")
async def test_a_reach_that_is_taken_ends_what_is_open(house: Services, shown: dict[str, Any]) -> None:
    """Of a role, while the right to the purpose stays: asked as it is now, however long ago the stream began."""
    kept, me = await keep(house, ogg_stream()), await reader(house, shown)
    await me.unlock(house)
    await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    assert await portal.size(house, me.identity, rec_id=kept.rec_id) == len(kept.ogg)
    async with house.db.transaction() as tx:
        await role_rights.put(tx, "reader", "recordings.read", "team", house.clock())
    with refused("not_found"):
        await portal.size(house, me.identity, rec_id=kept.rec_id)
    assert what(await entries(house, kept.rec_id))[-1] == ("listen", "recording", "done"), "closed"
    async with house.db.transaction() as tx:
        await role_rights.take(tx, "reader")
    with refused("not_found"):
        await portal.size(house, me.identity, rec_id=kept.rec_id)
    await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    async with house.db.transaction() as tx:
        await people.set_roles(tx, me.identity.person_id, ["employee"])
    with refused("not_found"):
        await portal.waveform(house, me.identity, rec_id=kept.rec_id)


async def _client(house: Services, me: Person) -> reader_room_client.ReaderRoomClient:
    async with house.db.read() as tx:
        key = await readers.get_key(tx, me.identity.person_id)
    return await reader_room_client.ReaderRoomClient.start(
        reader_room_client.Unlock(key.person_id, key.sealed_secret, me.passphrase, me.code(), 0, open_s=30)
    )


async def test_two_requests_in_one_piece_are_both_answered(house: Services, shown: dict[str, Any]) -> None:
    """Whoever asks next does not wait for whoever gave up: both lines may be read at once."""
    client = await _client(house, await reader(house, shown))
    asked = [{"do": "close", "rec_id": "0" * 32, "n": number} for number in (101, 102, 103)]
    client._writer.write(b"".join(json.dumps(one).encode() + b"\n" for one in asked))
    async with asyncio.timeout(10):
        said = [(await client._answer())[0]["n"] for _ in asked]
    assert said == [101, 102, 103]
    await client.close()


@pytest.mark.parametrize("said", [b"x" * 70_000 + b"\n", b"no JSON\n"])
async def test_an_answer_that_cannot_be_read_ends_the_room(house: Services, shown: dict[str, Any], said: bytes) -> None:
    kept, me = await keep(house, ogg_stream()), await reader(house, shown)
    await me.unlock(house)
    await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    room = house.reader_rooms._rooms[str(me.identity.session_id)]
    room.client._reader = asyncio.StreamReader(limit=reader_room_client.MAX_LINE_BYTES)
    room.client._reader.feed_data(said)
    with refused("conflict") as failure:
        await portal.waveform(house, me.identity, rec_id=kept.rec_id)
    assert "locked" in str(failure.value) and not runs(room.client.pid)
    assert what(await entries(house, kept.rec_id))[-1] == ("listen", "recording", "done")
    assert await portal.room(house, me.identity) is None and house.open_rooms == {}


@pytest.mark.promise("0.6", "L9")
async def test_opened_twice_at_once_it_is_closed_as_often(house: Services, shown: dict[str, Any]) -> None:
    """Two tabs; and a room that ends while something is opened in it: what was opened is closed, and written down."""
    kept, me = await keep(house, ogg_stream()), await reader(house, shown)
    await me.unlock(house)
    await asyncio.gather(*(portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY) for _ in range(3)))
    assert house.open_rooms == {kept.rec_id: 1}
    opened, _ = await asyncio.gather(
        portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY),
        portal.lock(house, me.identity),
        return_exceptions=True,
    )
    assert isinstance(opened, Failure)
    assert house.open_rooms == {}, "it may be destroyed again"
    said = what(await entries(house, kept.rec_id))
    done = [one for one in said if one[2] == "done"]
    assert done.count(("open", "recording", "done")) == done.count(("listen", "recording", "done")) >= 3


@pytest.mark.promise("L9")
async def test_a_sensitive_recording_is_opened_by_two_and_once(house: Services, shown: dict[str, Any]) -> None:
    me, you = await another(house, "anna", TWO), await another(house, "berta", TWO)
    third = await another(house, "carl", "REC_QUALITY")
    kept = await keep(house, ogg_stream(), TWO)
    await me.unlock(house)
    with refused("denied"):
        await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)

    async def ask(who: Person, name: str, **arguments: object) -> Any:
        return await permitted.call(house, who.identity, name, arguments, **WHY)

    wanted = await ask(me, "recordings.request", rec_id=kept.rec_id)
    assert (wanted["state"], wanted["by"], wanted["reason"], wanted["case"]) == (
        "open",
        "anna",
        "a complaint",
        "2026-17",
    )
    with refused("denied"):
        await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    assert [one["id"] for one in await ask(you, "recordings.requests")] == [wanted["id"]]
    assert await ask(third, "recordings.requests") == [], "only who may listen to it themselves is asked"
    with pytest.raises(NotFresh):
        await ask(you, "recordings.decide", request=wanted["id"])
    for one in (me, you, third):
        soon = house.clock() + timedelta(minutes=5)
        one.identity = Identity(**{**{f: getattr(one.identity, f) for f in Identity.__slots__}, "fresh_until": soon})
    with refused("not_found"):
        await ask(third, "recordings.decide", request=wanted["id"])
    with refused("denied"):
        await ask(me, "recordings.decide", request=wanted["id"])
    agreed = await ask(you, "recordings.decide", request=wanted["id"])
    assert (agreed["state"], agreed["decided_by"]) == ("approved", "berta")
    await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    assert await whole(house, me.identity, kept.rec_id) == kept.ogg
    entry = [one for one in await entries(house, kept.rec_id) if what([one]) == [("open", "recording", "done")]]
    assert [(one["person_id"], one["reader_id"], one["request_id"]) for one in entry] == [
        (me.identity.person_id, you.identity.person_id, wanted["id"])
    ]
    with refused("denied"):
        await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    told = await ask(me, "recordings.openings", rec_id=kept.rec_id)
    assert {(one["who"], one["approved_by"]) for one in told if one["action"] == "open"} == {("anna", "berta")}


@pytest.mark.promise("L9", "0.6")
async def test_whoever_types_a_login_on_the_machine_agrees_to_nothing(house: Services) -> None:
    """One person at the socket would ask as one reader and agree as another. The attempt is written down."""
    me, you = await another(house, "anna", TWO), await another(house, "berta", TWO)
    kept = await keep(house, ogg_stream(), TWO)
    at_socket = Actor("os:1000", "here", "a complaint", "2026-17")
    made = await listening_requests.ask(house, at_socket, rec_id=kept.rec_id, login="anna")
    by_token = permitted.acting(replace(you.identity, session_id=None, token_id="a" * 32), workstation="here")
    assert by_token.who == you.identity.person_id
    for actor in (at_socket, Actor(me.identity.person_id, "here"), Actor("system", "here"), by_token):
        with refused("denied"):
            await listening_requests.decide(house, actor, request=made.id, login="berta")
        last = (await entries(house, kept.rec_id))[-1]
        assert what([last]) == [("approve", "request", "denied")]
        assert (last["reader_id"], last["request_id"]) == (you.identity.person_id, made.id)
    (still,) = await listening_requests.list_(house, at_socket)
    assert (still.state, still.decided_by) == ("open", None)


@pytest.mark.promise("L9", "0.6")
async def test_what_two_open_is_not_exported(house: Services) -> None:
    """Who agreed, agreed that it is heard once. The agreement is not used up by the attempt."""
    me, you = await another(house, "anna", TWO), await another(house, "berta", TWO)
    kept = await keep(house, ogg_stream(), TWO)
    here = Actor(me.identity.person_id, "here", "a complaint", "2026-17")
    made = await listening_requests.ask(house, here, rec_id=kept.rec_id, login="anna")
    signed_in = permitted.acting(you.identity, workstation="here")
    await listening_requests.decide(house, signed_in, request=made.id, login="berta", approve=True)
    with refused("denied") as failure:
        await listening.permit(house, here, login="anna", rec_id=kept.rec_id, mode="export")
    assert "not exported" in str(failure.value)
    assert what(await entries(house, kept.rec_id))[-1] == ("unlock", "recording", "denied")
    assert (await listening.permit(house, here, login="anna", rec_id=kept.rec_id, mode="open")).purpose == TWO


@pytest.mark.promise("2.9", "0.6")
async def test_why_somebody_listened_is_read_by_listeners_and_audit_alone(
    house: Services, shown: dict[str, Any]
) -> None:
    """That somebody did, and who, is seen by all who see the recording. The words may tell what is heard in it."""
    kept, me = await keep(house, ogg_stream()), await reader(house, shown)
    await me.unlock(house)
    await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)
    other = (await another(house, "olga", "REC_CONTRACT")).identity

    async def told(who: Identity, reason: str | None = None) -> tuple[str, str | None, bool]:
        (one,) = await permitted.call(  # type: ignore[misc]
            house, who, "recordings.openings", {"rec_id": kept.rec_id}, workstation="192.0.2.7", reason=reason
        )
        return one["who"], one["reason"], one["reason_hidden"]

    said = ("reader", "a complaint [case 2026-17]", False)
    hidden = ("reader", None, True)
    assert await told(me.identity) == said
    assert await told(other) == hidden and await told(other, "to know") == hidden
    audit = replace(other, grants={**other.grants, "ledger.read": Reach.ALL})
    assert await told(audit) == hidden, "as in the ledger itself: with a reason of their own"
    assert await told(audit, "audit of November") == said
    at_machine = Actor("os:1000", "here")
    (one,) = await recording_openings.openings(house, at_machine, rec_id=kept.rec_id)
    assert one.reason is None and one.reason_hidden
    (one,) = await recording_openings.openings(house, replace(at_machine, reason="audit"), rec_id=kept.rec_id)
    assert one.reason == said[1]


@pytest.mark.promise("L9", "2.12")
async def test_notes_are_read_by_listeners_alone_and_go_with_the_recording(
    house: Services, shown: dict[str, Any], data: Path
) -> None:
    kept, other, me = await keep(house, ogg_stream()), await keep(house, ogg_stream()), await reader(house, shown)
    words = "She mentions Monsieur Dubois  <script>"
    with refused("conflict"):
        await portal.add_note(house, me.identity, rec_id=kept.rec_id, at_ms=0, words=words)
    await me.unlock(house)
    with refused("not_found"):
        await portal.add_note(house, me.identity, rec_id=kept.rec_id, at_ms=0, words=words)
    for rec_id in (kept.rec_id, other.rec_id):
        await portal.listen(house, me.identity, rec_id=rec_id, **WHY)
    for at_ms, text in ((-1, words), (2001, words), (0, "  "), (0, "x" * 2001)):
        with refused("invalid"):
            await portal.add_note(house, me.identity, rec_id=kept.rec_id, at_ms=at_ms, words=text)
    note_id = await portal.add_note(house, me.identity, rec_id=kept.rec_id, at_ms=1500, words=words)
    [note] = await portal.notes(house, me.identity, rec_id=kept.rec_id)
    assert (note.id, note.at_ms, note.author, note.words) == (note_id, 1500, "reader", words)
    assert note.kept_until - note.written_at == timedelta(days=365)
    assert await portal.notes(house, me.identity, rec_id=other.rec_id) == []
    assert what(await entries(house, kept.rec_id))[-1] == ("add", "note", "done")
    assert b"Dubois" not in everything(data)

    with sqlite3.connect(data / "beffroi.sqlite3") as connection:  # moved to another recording it does not open
        connection.execute("UPDATE recording_notes SET recording_id = ?", (other.rec_id,))
    [moved] = await portal.notes(house, me.identity, rec_id=other.rec_id)
    assert moved.words is None
    with sqlite3.connect(data / "beffroi.sqlite3") as connection:
        connection.execute("UPDATE recording_notes SET recording_id = ?", (kept.rec_id,))
    await portal.lock(house, me.identity)
    done = await recording_orders.destroy(house, ME, rec_id=kept.rec_id, because="order", dry_run=False)
    assert done.done
    with sqlite3.connect(data / "beffroi.sqlite3") as connection:
        for table in ("recording_notes", "listening_requests", "recording_openings"):
            counted = connection.execute(f"SELECT count(*) FROM {table} WHERE recording_id = ?", (kept.rec_id,))  # noqa: S608
            assert counted.fetchone() == (0,)


def an_hour() -> bytes:
    """Of two voices that take turns: ten seconds that are encoded once, and written 360 times."""
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=48000, layout="stereo")
        stream.bit_rate = 48000
        second = np.zeros((48000, 2), np.int16)
        second[:24000, 0] = (8000 * np.sin(np.arange(24000) * 2 * np.pi * 440 / 48000)).astype(np.int16)
        second[24000:, 1] = second[:24000, 0] // 2
        packets = []
        for _ in range(10):
            frame = av.AudioFrame.from_ndarray(second.reshape(1, -1), format="s16", layout="stereo")
            frame.sample_rate = 48000
            packets += stream.encode(frame)
        for number in range(360 * len(packets)):
            packet = av.Packet(bytes(packets[number % len(packets)]))
            packet.stream, packet.time_base = stream, packets[0].time_base
            packet.pts = packet.dts = number * 960
            packet.duration = 960
            container.mux(packet)
    return out.getvalue()


async def test_players_take_it_with_an_index_and_that_is_heard_too(house: Services, shown: dict[str, Any]) -> None:
    kept, me = await keep(house, ogg_stream()), await reader(house, shown)
    await me.unlock(house)
    size = (await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)).webm_bytes
    found = b""
    while block := await portal.read(house, me.identity, rec_id=kept.rec_id, start=len(found), end=size, form="webm"):
        found += block
    assert len(found) == size
    with av.open(io.BytesIO(found)) as made, av.open(io.BytesIO(kept.ogg)) as sealed:
        assert [bytes(one) for one in made.demux(audio=0)] == [bytes(one) for one in sealed.demux(audio=0)]
    await portal.close(house, me.identity, rec_id=kept.rec_id)
    said = (await entries(house, kept.rec_id))[-1]
    assert (said["action"], said["size_bytes"]) == ("listen", size)


async def test_seeking_in_an_hour_waits_for_nothing_and_the_waveform_is_of_both_sides(
    house: Services, shown: dict[str, Any]
) -> None:
    """Issue 6: under 150 ms, here also while the waveform is being made."""
    kept, me = await keep(house, an_hour()), await reader(house, shown)
    with sqlite3.connect(house.paths.database) as connection:
        connection.execute("UPDATE recordings SET duration_ms = 3600000 WHERE id = ?", (kept.rec_id,))
    await me.unlock(house)
    size = (await portal.listen(house, me.identity, rec_id=kept.rec_id, **WHY)).size_bytes
    await portal.waveform(house, me.identity, rec_id=kept.rec_id)
    took = []
    for place in range(40):
        at, began = (place * 7919) % 40 * size // 40, time.perf_counter()
        assert await portal.size(house, me.identity, rec_id=kept.rec_id) == size
        block = await portal.read(house, me.identity, rec_id=kept.rec_id, start=at, end=size)
        took.append(time.perf_counter() - began)
        assert block == kept.ogg[at : at + len(block)] and block
    assert sorted(took)[len(took) // 2] < 0.150, took
    for _ in range(600):
        wave = await portal.waveform(house, me.identity, rec_id=kept.rec_id)
        if wave["complete"]:
            break
        await asyncio.sleep(0.1)
    assert wave["complete"] and wave["piece_ms"] == 1800
    assert abs(len(wave["left"]) - 2000) <= 1 and len(wave["left"]) == len(wave["right"])
    assert 45 < max(wave["left"]) < 90 and 20 < max(wave["right"]) < 45


async def test_a_list_has_no_last_day(house: Services) -> None:
    kept = await keep(house, b"x" * 50)
    found = await recordings.list_(house, ME, until=date.max)
    assert [one.id for one in found] == [kept.rec_id]


async def test_the_list_goes_on_by_purpose_and_day(house: Services) -> None:
    kept: list[Kept] = [await keep(house, b"x" * 50, purpose) for purpose in ("REC_QUALITY", "REC_CONTRACT") * 3]

    async def ids(**wanted: Any) -> list[str]:
        return [one.id for one in await recordings.list_(house, ME, **wanted)]

    everything = await ids()
    assert everything == [one.rec_id for one in reversed(kept)]
    paged: list[str] = []
    while page := await ids(limit=4, older_than=paged[-1] if paged else None):
        paged += page
    assert paged == everything
    assert await ids(purpose="REC_CONTRACT") == [one.rec_id for one in reversed(kept[1::2])]
    today = house.clock().date()
    assert await ids(since=today, until=today) == everything
    assert await ids(until=today - timedelta(days=1)) == await ids(since=today + timedelta(days=1)) == []
