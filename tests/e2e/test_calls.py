"""Calls between accounts, as their phones live them: every way to begin, to go on and to end."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.rawphone import RawPhone, raw_phone
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ
from tests.peers import sipp, tones
from tests.peers.baresip import Phone
from tests.peers.product import Product
from tests.peers.sipp import Caller, Sipp

pytestmark = [pytest.mark.e2e]

RING_S = 5
OPT_IN, OPT_OUT = {"pack": "REC_QUALITY", "consent": "opt-in"}, {"pack": "REC_QUALITY"}

_numbers = itertools.count(800)


@dataclass
class House:
    """An instance with two phones that all tests use: Anna calls by UDP, Ben is called and has TLS."""

    product: Product
    anna: Phone
    ben: Phone

    def line(self, **options: str) -> str:
        """A new line that rings Ben; its number."""
        number = str(next(_numbers))
        self.product.add_line(f"line{number}", number, members=["ben"], **options)
        return number

    def anna_dials(self, number: str) -> Talk:
        talk = Talk(
            self, len(self.anna.events), len(self.ben.events), len(self.anna.recordings()), len(self.ben.recordings())
        )
        self.anna.dial(number)
        return talk


@dataclass
class Talk:
    """One call of Anna's; events and audio of earlier calls do not count."""

    house: House
    anna_from: int
    ben_from: int
    anna_heard: int
    ben_heard: int

    def anna(self, kind: str, **options: Any) -> dict[str, Any]:
        return self.house.anna.wait(kind, since=self.anna_from, **options)

    def ben(self, kind: str, **options: Any) -> dict[str, Any]:
        return self.house.ben.wait(kind, since=self.ben_from, **options)

    def ben_answers(self) -> None:
        self.ben("CALL_INCOMING", timeout=20)
        self.house.ben.answer()
        self.ben("CALL_ESTABLISHED")
        self.anna("CALL_ESTABLISHED")

    def anna_closed(self) -> str:
        return str(self.anna("CALL_CLOSED", timeout=20).get("param", ""))

    def ben_closed(self) -> str:
        return str(self.ben("CALL_CLOSED").get("param", ""))

    def digits(self, phone: Phone) -> list[str]:
        since = self.anna_from if phone is self.house.anna else self.ben_from
        return [e["param"] for e in phone.events[since:] if e["type"] == "CALL_DTMF_START"]

    def story(self, phone: Phone) -> list[str]:
        """What one of them heard, once the call is over."""
        time.sleep(0.2)  # the phone closes its file
        before = self.anna_heard if phone is self.house.anna else self.ben_heard
        return [name for path in phone.recordings()[before:] for name in scene.story(tones.read_wav(path)[0][:, 0])]


@pytest.fixture(scope="module")
def house(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    product = Product(tmp_path_factory.mktemp("calls") / "product", *product_seed)
    product.configure(calls__ring_timeout_s=RING_S)
    scene.speak_in_tones(product)
    with product:
        product.add_account("anna", "701", language="fr")
        product.add_account("ben", "702", language="fr")
        quiet = {"amplitude": 2500}  # so that a prompt over it stays the louder one
        anna = product.phone("anna", "anna", "udp", says=tones.tone(CALLER_HZ, 120, **quiet))
        ben = product.phone("ben", "ben", "tls", says=tones.tone(CALLEE_HZ, 120, **quiet))
        with anna, ben:
            scene.registered(anna, ben)
            yield House(product, anna, ben)


# --- beginning and ending ---------------------------------------------------------------------------------------------


@pytest.mark.promise("3.1")
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_answer_and_hang_up(house: House, who: str):
    talk = house.anna_dials("702")
    talk.ben("CALL_INCOMING")
    talk.anna("CALL_RINGING")
    talk.ben_answers()
    scene.talk(1)
    (house.anna if who == "caller" else house.ben).hang_up()
    talk.anna_closed()
    talk.ben_closed()
    assert talk.story(house.anna) == ["callee"]
    assert talk.story(house.ben) == ["caller"]


@pytest.mark.promise("3.1")
@pytest.mark.parametrize("dialled", ["ben", "702"])
def test_an_account_is_reached_by_name_and_by_extension(house: House, dialled: str):
    talk = house.anna_dials(dialled)
    assert talk.ben("CALL_INCOMING")["peeruri"] == f"sip:701@{house.product.domain}"
    house.anna.hang_up()
    talk.ben_closed()


def test_cancel(house: House):
    talk = house.anna_dials("702")
    talk.ben("CALL_INCOMING")
    talk.anna("CALL_RINGING")
    house.anna.hang_up()
    talk.anna_closed()
    talk.ben_closed()
    assert len(house.ben.events[talk.ben_from :]) and talk.story(house.ben) == []


def test_busy(house: House):
    talk = house.anna_dials("702")
    talk.ben("CALL_INCOMING")
    house.ben.hang_up()
    assert talk.anna_closed() == "486 Busy Here"


async def test_declined(house: House):
    house.product.add_account("carl", "703")
    async with raw_phone(house.product, "carl") as carl:
        await carl.register()
        talk = house.anna_dials("703")
        invited = await carl.invited()
        carl.reply(invited, 603, "Decline")
        assert await asyncio.to_thread(talk.anna_closed) == "603 Decline"


def test_no_answer(house: House):
    talk = house.anna_dials("702")
    rang_at = talk.ben("CALL_INCOMING")["at"]
    assert talk.anna_closed().startswith("480 ")
    ended_at = talk.anna("CALL_CLOSED")["at"]
    talk.ben_closed()
    assert RING_S - 0.5 < ended_at - rang_at < RING_S + 2


def test_not_registered_and_unknown(house: House):
    house.product.add_account("dora", "704")
    assert house.anna_dials("704").anna_closed() == "480 Not Registered"
    assert house.anna_dials("799").anna_closed() == "404 Not Found"
    assert house.anna_dials("nobody").anna_closed() == "404 Not Found"


def test_nobody_calls_himself(house: House):
    assert house.anna_dials("701").anna_closed().startswith("404 ")


@pytest.mark.promise("3.3")
async def test_who_wants_to_be_unknown_is_unknown(house: House):
    """RFC 3323: the phone that rings is told nothing; call control knows all the same."""
    async with raw_phone(house.product, "anna") as hidden:
        since = len(house.ben.events)
        sent = await hidden.dial("702", from_uri="sip:anonymous@anonymous.invalid")
        rung = await asyncio.to_thread(house.ben.wait, "CALL_INCOMING", since=since)
        assert "anonymous" in rung["peeruri"].lower()
        said = str({name: value for name, value in rung.items() if name != "at"})  # which is a time
        assert "701" not in said and "anna" not in said.lower()
        await cancelled(hidden, sent)


@pytest.mark.promise("P1")
async def test_a_challenge_of_a_phone_never_reaches_the_caller(house: House):
    """Else the caller's phone would answer it with its own password, again and again."""
    house.product.add_account("evil", "705")
    async with raw_phone(house.product, "evil") as evil:
        await evil.register()
        talk = house.anna_dials("705")
        invited = await evil.invited()
        evil.reply(invited, 407, "Proxy Authentication Required")
        assert (await asyncio.to_thread(talk.anna_closed)).startswith("502 ")
        assert (await evil.request("ACK"))["Call-ID"] == invited.request["Call-ID"]
        assert await evil.endpoint.silent()


# --- media ------------------------------------------------------------------------------------------------------------

EARLY = sipp.HEAD.format(name="early") + "".join(
    [
        '<recv request="INVITE" rrs="true"/>\n',
        sipp.send(sipp.reply("183 Session Progress", body=sipp.SDP), attributes=""),
        "{stream}",
        '<pause milliseconds="2500"/>\n',
        sipp.send(sipp.reply("480 Temporarily Unavailable")),
        '<recv request="ACK"/>\n</scenario>\n',
    ]
)


@pytest.mark.promise("3.1")
def test_early_media_is_heard_before_any_answer(house: House, tmp_path: Path):
    product = house.product
    product.add_account("announcer", "706")
    login = product.login("announcer")
    me = Caller(login.user, login.domain, login.user, login.password, "")
    with Sipp(tmp_path / "register", product.ports, sipp.register(), product.server("udp"), callers=[me]) as sign_on:
        sign_on.finish()
    audio = sipp.write_audio(tmp_path / "800.alaw", 800)
    scenario = EARLY.replace("{stream}", sipp.stream(audio))
    with Sipp(tmp_path / "early", product.ports, scenario, sip_port=sign_on.sip_port) as announcer:
        talk = house.anna_dials("706")
        talk.anna("CALL_PROGRESS")
        assert talk.anna_closed().startswith("480")
        announcer.finish()
    assert not [e for e in house.anna.events[talk.anna_from :] if e["type"] == "CALL_ESTABLISHED"]
    time.sleep(0.2)
    heard = tones.read_wav(house.anna.recordings()[-1])[0][:, 0]
    assert tones.shares(heard, (CALLER_HZ, 800), skip=0.3)[800] > 0.9


def test_digits_reach_the_other_side_both_ways_and_only_once(house: House):
    talk = house.anna_dials("702")
    talk.ben_answers()
    house.anna.press("12#9")
    house.ben.press("5*20")
    scene.until(lambda: len(talk.digits(house.ben)) >= 4 and len(talk.digits(house.anna)) >= 4, "all digits")
    time.sleep(0.3)
    house.anna.hang_up()
    talk.ben_closed()
    assert talk.digits(house.ben) == ["1", "2", "#", "9"]
    assert talk.digits(house.anna) == ["5", "*", "2", "0"]


@pytest.mark.promise("P4")
@pytest.mark.parametrize("who", ["caller", "callee"])
def test_hold_and_resume_while_recording(house: House, who: str, tmp_path: Path):
    before = scene.rec_ids(house.product)
    recorded = house.product.metric("beffroi_calls_recorded_total")
    talk = house.anna_dials(house.line(**OPT_IN))
    talk.anna("CALL_ESTABLISHED")
    house.anna.press("1")
    talk.ben_answers()
    scene.until(lambda: house.product.metric("beffroi_calls_recorded_total") > recorded, "the recording begins")
    began = time.monotonic()
    holder = house.anna if who == "caller" else house.ben
    scene.talk(1.5)
    holder.command("hold")
    held_from = time.monotonic() - began
    scene.talk(2.5)
    held_to = time.monotonic() - began
    holder.command("resume")
    scene.talk(2.5)
    house.anna.hang_up()
    ended = time.monotonic() - began
    talk.ben_closed()
    recording = scene.one_recording(house.product, but=before)
    channels = scene.by_escrow(house.product, recording["id"], tmp_path)
    assert abs(recording["duration_ms"] / 1000 - ended) < 0.7  # the time on hold is in it
    # Whoever holds is not heard meanwhile; afterwards both are, at their own time.
    side, hz = (0, CALLER_HZ) if who == "caller" else (1, CALLEE_HZ)
    for start, end, sounds in ((0.3, held_from - 0.3, True), (held_to + 0.7, ended - 0.7, True)):
        for channel, tone in ((0, CALLER_HZ), (1, CALLEE_HZ)):
            part = channels[round(start * 8000) : round(end * 8000), channel]
            assert (tones.shares(part, (tone,))[tone] > 0.9) is sounds
    quiet = channels[round((held_from + 0.7) * 8000) : round((held_to - 0.3) * 8000), side]
    assert tones.shares(quiet, (hz,))[hz] < 0.2


@pytest.mark.promise("3.1", "L13")
def test_the_echo_test_asks_and_gives_back_what_it_hears(house: House, tmp_path: Path):
    before = scene.rec_ids(house.product)
    recorded = house.product.metric("beffroi_calls_recorded_total")
    talk = house.anna_dials("*43")
    talk.anna("CALL_ESTABLISHED")
    time.sleep(2 * scene.PROMPT_S)
    house.anna.press("1")
    scene.until(lambda: house.product.metric("beffroi_calls_recorded_total") > recorded, "the recording begins")
    scene.talk(2)
    house.anna.hang_up()
    talk.anna_closed()
    assert talk.story(house.anna) == ["echo", "optin", "caller"]
    recording = scene.one_recording(house.product, but=before)
    channels = scene.by_escrow(house.product, recording["id"], tmp_path)
    assert scene.heard_in(channels[:, 0]) == {"caller"}
    assert scene.heard_in(channels[:, 1]) == set()


@pytest.mark.promise("3.1")
def test_sipp_calls_a_real_phone(house: House, tmp_path: Path):
    product = house.product
    login = product.login("anna")
    audio = sipp.write_audio(tmp_path / "800.alaw", 800)
    me = Caller("anna", login.domain, login.user, login.password, "702")
    since, heard = len(house.ben.events), len(house.ben.recordings())
    with Sipp(
        tmp_path / "sipp", product.ports, sipp.caller(audio, talk_ms=2000), product.server("udp"), callers=[me]
    ) as load:
        house.ben.wait("CALL_INCOMING", since=since)
        house.ben.answer()
        assert load.finish().succeeded == 1
    house.ben.wait("CALL_CLOSED", since=since)
    time.sleep(0.2)
    [path] = house.ben.recordings()[heard:]
    assert tones.shares(tones.read_wav(path)[0][:, 0], (800,), skip=0.3)[800] > 0.9


# --- after an answered prompt -----------------------------------------------------------------------------------------


@pytest.mark.promise("2.2")
@pytest.mark.parametrize(
    ("answer", "said", "reason"),
    [("busy", "busy", "cause=486"), ("nothing", "no_answer", "cause=480"), ("decline", "declined", "cause=603")],
)
async def test_a_failure_after_the_question_is_spoken_and_has_a_reason(
    house: House, answer: str, said: str, reason: str, tmp_path: Path
):
    """The caller is a phone whose every header is seen, beside Anna who hears what is said."""
    product = house.product
    name = f"eve-{answer}"
    number = str(next(_numbers))
    product.add_account(name, str(next(_numbers)))
    product.add_line(name, number, members=[name], **OPT_OUT)
    async with raw_phone(product, name) as eve, raw_phone(product, "anna") as seen:
        await eve.register()

        async def eve_answers() -> None:
            invited = await eve.invited(20)
            eve.reply(invited, 180, "Ringing")
            if answer == "nothing":
                await eve.ended("CANCEL")
                eve.reply(invited, 487, "Request Terminated")
            else:
                eve.reply(invited, *((486, "Busy Here") if answer == "busy" else (603, "Decline")))

        ok = await seen.call(number)
        assert ok.code == 200
        await eve_answers()
        bye = await seen.ended()
        assert bye["Reason"].startswith("SIP;") and reason in bye["Reason"] and "text=" in bye["Reason"]
        talk = house.anna_dials(number)
        await asyncio.to_thread(talk.anna, "CALL_ESTABLISHED")
        await asyncio.sleep(scene.PROMPT_S / 2)
        house.anna.press("1")
        await eve_answers()
        await asyncio.to_thread(talk.anna_closed)
    story = [name for name in talk.story(house.anna) if name != "ringback"]
    assert story == ["optout_quality", said]


def test_while_it_rings_after_the_question_the_caller_hears_it_ring(house: House):
    talk = house.anna_dials(house.line(**OPT_IN))
    talk.anna("CALL_ESTABLISHED")
    time.sleep(scene.PROMPT_S / 2)
    house.anna.press("1")
    talk.ben("CALL_INCOMING")
    scene.talk(2)
    house.anna.hang_up()
    talk.ben_closed()
    assert talk.story(house.anna) == ["optin", "ringback"]


@pytest.mark.full
@pytest.mark.timeout(150)
@pytest.mark.promise("P13")
async def test_a_call_that_lasts_too_long_is_ended_with_a_reason(house: House):
    house.product.configure(calls__max_duration_s=60)
    house.product.cli("reload")
    try:
        async with raw_phone(house.product, "anna") as phone:
            since = len(house.ben.events)
            await phone.dial("702")
            await asyncio.to_thread(house.ben.wait, "CALL_INCOMING", since=since)
            house.ben.answer()
            ok = await phone.phone.final()
            phone.endpoint.send(phone.sequel("ACK", ok))
            began = time.monotonic()
            bye = await phone.ended(timeout_s=90)
            assert 55 < time.monotonic() - began < 70
            assert "Maximum duration" in bye["Reason"]
            await asyncio.to_thread(house.ben.wait, "CALL_CLOSED", since=since)
    finally:
        house.product.configure(calls__max_duration_s=14400)
        house.product.cli("reload")


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def limits(house: House) -> Iterator[Any]:
    """Changes limits of calls in the running instance; afterwards they are as before."""

    def change(**values: int) -> None:
        house.product.configure(**{f"calls__{key}": value for key, value in values.items()})
        house.product.cli("reload")

    yield change
    change(max_concurrent=10, max_per_account=4)


@pytest.mark.promise("P13")
async def test_a_full_house_says_so_and_goes_on_afterwards(house: House, limits: Any):
    limits(max_concurrent=1, max_per_account=1)
    async with raw_phone(house.product, "bob") as bob:
        talk = house.anna_dials("702")
        await asyncio.to_thread(talk.ben_answers)
        refused = await bob.call("702")
        assert refused.start == "SIP/2.0 503 All 1 Lines Are In Use"
        house.anna.hang_up()
        await asyncio.to_thread(talk.ben_closed)
        await asyncio.to_thread(scene.until, lambda: not scene.live_calls(house.product), "the line is free again")
        again = house.anna_dials("702")
        await asyncio.to_thread(again.ben, "CALL_INCOMING")
        house.anna.hang_up()
        await asyncio.to_thread(again.ben_closed)


@pytest.mark.promise("P13")
async def test_an_account_has_its_limit_over_all_its_phones(house: House, limits: Any):
    limits(max_per_account=1)
    async with raw_phone(house.product, "anna") as second, raw_phone(house.product, "bob") as bob:
        talk = house.anna_dials("702")
        await asyncio.to_thread(talk.ben_answers)
        refused = await second.call("702")
        assert refused.start == "SIP/2.0 486 Limit Of 1 Calls Reached"
        await another_account_still_calls(bob, house)
        house.anna.hang_up()
        await asyncio.to_thread(talk.ben_closed)


async def another_account_still_calls(phone: RawPhone, house: House) -> None:
    since = len(house.ben.events)
    sent = await phone.dial("702")
    await asyncio.to_thread(house.ben.wait, "CALL_INCOMING", since=since)
    await cancelled(phone, sent)


async def cancelled(phone: RawPhone, sent: Any) -> None:
    """Gives up a call that was not answered."""
    phone.endpoint.send(cancel(sent))
    replies = [await phone.phone.final(), await phone.phone.final()]
    assert sorted((reply.method, reply.code) for reply in replies) == [("CANCEL", 200), ("INVITE", 487)]
    phone.endpoint.send(phone.phone.ack(sent.uri, next(r for r in replies if r.method == "INVITE")))


def cancel(sent: Any) -> str:
    """CANCEL of an INVITE that was sent (RFC 3261 section 9.1)."""
    lines = [f"CANCEL {sent.uri} SIP/2.0", f"Via: {sent['Via']}", f"From: {sent['From']}", f"To: {sent['To']}"]
    lines += [f"Call-ID: {sent['Call-ID']}", f"CSeq: {sent['CSeq'].split()[0]} CANCEL", "Max-Forwards: 70"]
    return "\r\n".join([*lines, "Content-Length: 0", "", ""])
