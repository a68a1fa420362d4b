"""What a conversation is lived with: hold and resume, music, signals, transfers told, a paused capture, figures."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from sip.calls.diagnosis import SILENCE_PEAK
from sip.worker import protocol as p
from tests.peers import tones
from tests.sip.worker.conftest import A_HZ, B_HZ, PROMPT_HZ, Bench, Capture, talking
from tests.sip.worker.phones import Dialog, loudness
from tests.sip.worker.rig import Rig, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEARD = 3  # windows of a tone
NOWHERE = "0.0.0.0"  # noqa: S104 - nothing is bound to it


def windows(dialog: Dialog, hz: float) -> int:
    """How many windows of what a phone has heard hold this tone."""
    return int((tones.labels(dialog.rtp.samples(), (hz,)) == hz).sum())


async def hears(dialog: Dialog, hz: float) -> None:
    await until(lambda: windows(dialog, hz) >= HEARD, 10)


async def both_hear(a: Dialog, b: Dialog) -> None:
    """Each says something; the other hears it."""
    for speaker, listener, hz in ((a, b, A_HZ), (b, a, B_HZ)):
        listener.rtp.heard.clear()
        speaker.rtp.say(tones.tone(hz, 0.4))
    await hears(b, A_HZ)
    await hears(a, B_HZ)


# --- hold ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["a", "b0"])
@pytest.mark.parametrize("hold", ["sendonly", "inactive"])
async def test_hold_is_told_and_audio_comes_back_both_ways(rig: Rig, who: str, hold: str) -> None:
    a, b = await talking(rig)
    holder = a if who == "a" else b
    assert (await holder.reinvite(hold)).code == 200
    media = await rig.event(p.LegMedia, leg=who, held=True)
    assert media.active
    assert (await holder.reinvite("sendrecv")).code == 200
    media = await rig.event(p.LegMedia, leg=who, held=False)
    assert media.active and media.codec == "PCMA"
    await both_hear(a, b)


@pytest.mark.parametrize("who", ["a", "b0"])
async def test_hold_with_the_address_of_nowhere(rig: Rig, who: str) -> None:
    """c=0.0.0.0 (RFC 2543 section B.5): old phones and trunks still say it."""
    a, b = await talking(rig)
    holder = a if who == "a" else b
    assert (await holder.reinvite(sdp=holder.sdp(address=NOWHERE))).code == 200
    await rig.event(p.LegMedia, leg=who, held=True)
    assert (await holder.reinvite("sendrecv")).code == 200
    await rig.event(p.LegMedia, leg=who, held=False)
    await both_hear(a, b)


@pytest.mark.parametrize("who", ["a", "b0"])
async def test_resume_without_an_offer_brings_audio_back(rig: Rig, who: str) -> None:
    a, b = await talking(rig)
    holder = a if who == "a" else b
    offer = await holder.reinvite_without_offer("sendonly")
    assert offer.code == 200 and b"a=sendrecv" in offer.body
    await rig.event(p.LegMedia, leg=who, held=True)
    offer = await holder.reinvite_without_offer()
    assert b"a=sendrecv" in offer.body, "what is offered is the whole conversation, not what was left of it"
    await rig.event(p.LegMedia, leg=who, held=False)
    await both_hear(a, b)


async def test_both_hold_and_resume_in_either_order(rig: Rig) -> None:
    a, b = await talking(rig)
    await a.reinvite("sendonly")
    await b.reinvite("sendonly")
    await a.reinvite("sendrecv")
    await b.reinvite("sendrecv")
    await rig.event(p.LegMedia, leg="b0", held=False)
    await both_hear(a, b)


async def test_hold_right_after_the_answer(rig: Rig) -> None:
    a = await rig.caller()
    rig.dial()
    b = await rig.edge.called()
    await b.pick_up()
    await b.reinvite("sendonly")
    rig.send(p.Bridge("a", "b0"))
    await b.reinvite("sendrecv")
    await rig.event(p.LegMedia, leg="b0", held=False)
    await both_hear(a, b)


@pytest.mark.parametrize("hold", ["inactive", "sendonly"])
async def test_a_call_that_begins_on_hold(rig: Rig, bench: Bench, hold: str) -> None:
    a = await rig.caller(sdp=lambda dialog: dialog.sdp(direction=hold))
    assert (await rig.told(p.LegMedia, leg="a")).held
    rig.send(p.Play("a", 1, bench.prompt()))
    b = await rig.callee()
    rig.send(p.Bridge("a", "b0"))
    await asyncio.sleep(0.2)
    assert (await a.reinvite()).code == 200
    assert (await rig.event(p.LegMedia, leg="a", held=False)).codec == "PCMA"
    await rig.told(p.PlayEnded, play_id=1)
    await both_hear(a, b)
    assert rig.none_of(p.Trouble)


@pytest.mark.parametrize("unusable", ["c=IN IP4 nowhere.invalid", "c=IN IP4 127.0.0.1\r\na=rtcp:1 IN IP6 ::1"])
async def test_an_offer_that_leads_nowhere_is_over_with_the_next(rig: Rig, unusable: str) -> None:
    a, b = await talking(rig)
    await a.reinvite(sdp=a.sdp().replace("c=IN IP4 127.0.0.1", unusable))
    await asyncio.sleep(0.4)
    assert sum(isinstance(event, p.Trouble) for event in rig.said) <= 2
    if rig.none_of(p.LegDown):
        a._hear(await a.reinvite())  # perhaps on another port
        await both_hear(a, b)


async def test_an_offer_that_changes_nothing_parts_nobody(rig: Rig) -> None:
    a, b = await talking(rig)
    said = a.sdp()
    for _ in range(3):
        assert (await a.reinvite(sdp=said)).code == 200
    a.send("UPDATE", body=said)
    assert (await a.reply("UPDATE")).code == 200
    await both_hear(a, b)


async def test_an_invite_without_an_offer_gets_ours(rig: Rig) -> None:
    token = secrets.token_hex(16)
    rig.send(p.Expect(token))
    a = await rig.edge.caller(rig.worker.port)
    a.uri = f"sip:200@127.0.0.1:{rig.worker.port}"
    a.send("INVITE", headers=[f"X-Beffroi-Leg: {token}"])
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200), p.Echo("a", True))
    ours = await a.reply("INVITE")
    a._hear(ours)
    a.send("ACK", cseq=a.cseq, body=a.sdp())
    await rig.event(p.LegMedia, active=True)
    a.rtp.say(tones.tone(A_HZ, 0.4))
    await hears(a, A_HZ)


# --- music and signals --------------------------------------------------------------------------------------------


async def test_music_goes_on_and_on_to_who_waits_and_to_nobody_else(rig: Rig, bench: Bench) -> None:
    a, b = await talking(rig)
    await a.reinvite("sendonly")
    rig.send(p.Bridge("a", "b0", False), p.Music("b0", True, bench.prompt()))  # 0.3 s of it
    await hears(b, PROMPT_HZ)
    b.rtp.heard.clear()
    await until(lambda: len(b.rtp.heard) > 8000, 10)
    assert windows(b, PROMPT_HZ) >= 8, "without a gap"
    assert (await b.reinvite("sendrecv")).code == 200  # the phone that waits refreshes its session
    b.rtp.heard.clear()
    await hears(b, PROMPT_HZ)
    rig.send(p.Music("b0", False))
    await a.reinvite("sendrecv")
    rig.send(p.Bridge("a", "b0"))
    await rig.event(p.LegMedia, leg="a", held=False)
    await both_hear(a, b)
    b.rtp.heard.clear()
    await until(lambda: len(b.rtp.heard) > 2400)
    assert windows(b, PROMPT_HZ) == windows(a, PROMPT_HZ) == 0


async def test_music_for_a_leg_that_has_no_audio_yet_begins_with_it(rig: Rig, bench: Bench) -> None:
    token = secrets.token_hex(16)
    a = await rig.edge.caller(rig.worker.port)
    rig.send(p.Expect(token))
    a.send_invite(token)
    await rig.event(p.Incoming)
    rig.send(p.Music("a", True, bench.prompt()), p.Answer("a", 200))
    await a.established()
    await hears(a, PROMPT_HZ)


async def test_music_that_cannot_be_played_costs_only_itself(rig: Rig, bench: Bench) -> None:
    a, b = await talking(rig)
    rig.send(p.Music("b0", True, str(bench.directory / "missing.wav")))
    assert (await rig.event(p.Trouble)).where == "command"
    rig.send(p.Music("b0", False), p.Tone("b0", "no such signal"))
    await rig.event(p.Trouble)
    await both_hear(a, b)


@pytest.mark.parametrize(("name", "hz"), [("done", 880), ("refused", 330), ("warning", 1000)])
async def test_a_signal_is_heard_by_one_side_and_is_over(rig: Rig, name: str, hz: float) -> None:
    a, b = await talking(rig)
    a.rtp.heard.clear()
    b.rtp.heard.clear()
    rig.send(p.Tone("a", name))
    await until(lambda: loudness(a.rtp.samples()[-400:]) > 1000)
    await until(lambda: len(a.rtp.heard) > 8000, 10)
    heard = a.rtp.samples()
    assert tones.shares(heard, (hz,))[hz] > 0.05
    assert loudness(heard[-800:]) < 100, "it is short"
    assert loudness(b.rtp.samples()) < 100
    await both_hear(a, b)


# --- a transfer is told -------------------------------------------------------------------------------------------


async def test_how_a_transfer_goes_is_told_in_the_dialog(rig: Rig) -> None:
    a = await rig.caller()
    rig.send(p.Notify("a", 100, "Trying"), p.Notify("a", 200, "OK\r\nEvil: 1", final=True))
    for code, state in ((b"100 Trying", "active"), (b"200 OKEvil: 1", "terminated;reason=noresource")):
        notify = await a.request("NOTIFY")
        assert notify.body == b"SIP/2.0 " + code + b"\r\n"  # RFC 3420
        assert notify["Content-Type"] == "message/sipfrag;version=2.0"
        assert notify["Event"] == "refer" and notify["Subscription-State"].startswith(state)


async def test_nobody_is_told_who_has_hung_up(rig: Rig) -> None:
    a, b = await talking(rig)
    await b.hang_up()
    rig.send(p.Notify("b0", 200, "OK", final=True))
    await rig.event(p.LegDown, leg="b0")
    rig.send(p.Notify("b0", 200, "OK", final=True), p.Measure("a"))
    await rig.event(p.LegQuality, leg="a")
    assert rig.none_of(p.Trouble) and rig.none_of(p.WorkerGone)
    a.rtp.say(tones.tone(A_HZ, 0.1))


async def test_a_phone_that_refuses_to_be_told_keeps_its_call(rig: Rig) -> None:
    a, b = await talking(rig)
    rig.send(p.Notify("a", 180, "Ringing"))
    while (notify := await a.inbox.get()).method != "NOTIFY" or notify.code:
        pass
    a._reply(notify, 481, "Subscription does not exist")
    await asyncio.sleep(0.1)
    assert rig.none_of(p.LegDown)
    await both_hear(a, b)


# --- capture ------------------------------------------------------------------------------------------------------


async def test_a_paused_capture_keeps_time_and_hears_nothing(rig: Rig, capture: Capture) -> None:
    a, b = await talking(rig)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    a.rtp.say(tones.tone(A_HZ, 0.6))
    await hears(b, A_HZ)
    rig.send(p.PauseCapture(True))
    await asyncio.sleep(0.3)
    b.rtp.heard.clear()
    a.rtp.say(tones.tone(B_HZ, 0.6))
    b.rtp.say(tones.tone(B_HZ, 0.6))
    await hears(b, B_HZ)  # the conversation goes on
    await asyncio.sleep(0.4)
    assert (await a.reinvite("sendrecv")).code == 200  # what is wired anew stays paused
    a.rtp.say(tones.tone(B_HZ, 0.2))
    await asyncio.sleep(0.5)
    rig.send(p.PauseCapture(False))
    await asyncio.sleep(0.2)
    a.rtp.say(tones.tone(A_HZ, 0.6))
    await asyncio.sleep(0.9)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    left, right = capture.samples(0), capture.samples(1)
    assert abs(len(left) - len(right)) <= 320
    assert len(tones.onsets(left, A_HZ)) == 2, "before the pause and after it"
    first, second = tones.onsets(left, A_HZ)
    assert second - first > 1.7, "the time of the pause is there"
    assert B_HZ not in tones.tones_in(left, (A_HZ, B_HZ)) and B_HZ not in tones.tones_in(right, (A_HZ, B_HZ))


async def test_a_new_capture_is_not_paused(rig: Rig, capture: Capture) -> None:
    a, _ = await talking(rig)
    rig.send(p.PauseCapture(True))
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    a.rtp.say(tones.tone(A_HZ, 0.3))
    await asyncio.sleep(0.6)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    assert A_HZ in tones.tones_in(capture.samples(0), (A_HZ,))


# --- more legs ----------------------------------------------------------------------------------------------------


async def test_a_second_incoming_leg_comes_in_under_its_own_name(rig: Rig) -> None:
    """Whoever picks up a call that rings elsewhere, or another conversation's leg."""
    a = await rig.caller()
    rig.dial()
    b = await rig.edge.called()
    b.ring()
    picks_up = await rig.caller("p0")
    rig.send(p.Hangup("b0"))
    await b.request("CANCEL")
    rig.send(p.Bridge("p0", "a"))
    await both_hear(a, picks_up)
    await picks_up.hang_up()
    await rig.event(p.LegDown, leg="p0")


async def test_two_are_expected_at_once_each_with_its_token(rig: Rig) -> None:
    rig.send(p.Expect("one", "a"), p.Expect("two", "j0"))
    for token, leg in (("two", "j0"), ("one", "a")):
        dialog = await rig.edge.caller(rig.worker.port)
        dialog.send_invite(token)
        assert (await rig.event(p.Incoming)).leg == leg
        rig.send(p.Answer(leg, 200))
        await dialog.established()
    stranger = await rig.edge.caller(rig.worker.port)
    stranger.send_invite("two")
    assert (await stranger.reply("INVITE")).code == 403


async def test_a_newer_token_for_a_leg_takes_the_older_ones_place(rig: Rig) -> None:
    rig.send(p.Expect("old", "p0"), p.Expect("new", "p0"))
    late = await rig.edge.caller(rig.worker.port)
    late.send_invite("old")
    assert (await late.reply("INVITE")).code == 403
    await rig.edge.caller(rig.worker.port)
    right = await rig.edge.caller(rig.worker.port)
    right.send_invite("new")
    assert (await rig.event(p.Incoming)).leg == "p0"


async def test_more_headers_of_a_dialled_leg(rig: Rig) -> None:
    more = {"Diversion": "<sip:101@test.lan>;reason=no-answer", "Privacy": "id", "P-Asserted-Identity": "<sip:1@x>"}
    rig.send(p.Dial("b0", "200", "t", "101", "Alice", False, False, more))
    b = await rig.edge.called()
    assert b.invite is not None
    assert {name: b.invite[name] for name in more} == more and b.invite["X-Beffroi-Leg"] == "t"
    rig.send(p.Dial("b1", "200", "t", "101", "Alice", False, False, {"X": "1\r\nEvil: 1"}))
    await rig.event(p.Trouble)
    assert rig.edge.dialled.empty()


# --- figures ------------------------------------------------------------------------------------------------------


async def test_figures_when_asked_and_at_the_end_over_all_streams(rig: Rig) -> None:
    a = await rig.caller()
    await asyncio.sleep(0.3)
    rig.send(p.Measure("a"))
    first = await rig.event(p.LegQuality, leg="a")
    assert not first.final and first.rx_packets >= 5 and first.codec == "PCMA" and first.rx_lost == 0
    await a.reinvite("sendonly")
    await a.reinvite("sendrecv")
    await asyncio.sleep(0.3)
    rig.send(p.Measure("a"))
    second = await rig.event(p.LegQuality, leg="a")
    assert second.rx_packets > first.rx_packets, "another offer is no new call"
    await a.hang_up()
    last = await rig.event(p.LegQuality, leg="a", final=True)
    await rig.event(p.LegDown, leg="a")
    assert last.rx_packets >= second.rx_packets and last.tx_packets > 0 and last.codec == "PCMA"
    assert sum(isinstance(event, p.LegQuality) and event.final for event in rig.said) == 1


async def test_figures_are_told_also_when_we_leave(rig: Rig) -> None:
    await talking(rig)
    rig.send(p.Leave())
    for _ in range(2):
        await rig.event(p.LegQuality, final=True)
    await rig.event(p.Left)
    told = [event.leg for event in rig.said if isinstance(event, p.LegQuality)]
    assert sorted(told) == ["a", "b0"]


async def test_how_loud_a_leg_is_while_somebody_listens(rig: Rig) -> None:
    async def level(leg: str) -> int:
        rig.send(p.Measure(leg))
        return (await rig.event(p.LegQuality, leg=leg)).level

    a = await rig.caller()
    assert await level("a") == -1, "nobody listens yet"
    rig.send(p.Echo("a", True))
    await asyncio.sleep(0.6)
    assert 0 <= await level("a") < SILENCE_PEAK
    a.rtp.say(tones.tone(A_HZ, 3, amplitude=600))  # somebody who speaks low
    found = [await level("a")]
    for _ in range(40):
        if found[-1] >= SILENCE_PEAK:
            return
        await asyncio.sleep(0.1)
        found.append(await level("a"))
    pytest.fail(f"not louder than silence: {found}")
