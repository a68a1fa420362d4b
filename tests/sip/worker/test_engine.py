"""A real worker, spoken to as the edge would: SIP and RTP on loopback, and what is heard is looked at."""

from __future__ import annotations

import asyncio
import os
import re
import socket

import numpy as np
import pytest

from sip.worker import protocol as p
from tests.peers import tones
from tests.sip.worker.conftest import A_HZ, B_HZ, PROMPT_HZ, Bench, Capture, talking
from tests.sip.worker.phones import loudness
from tests.sip.worker.rig import Rig, alive, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALIGNED_S = 0.04
CRYPTO = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


# --- who may come in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong", "right-"], ids=["missing", "empty", "wrong", "longer"])
async def test_an_invite_without_the_expected_token_is_refused(rig: Rig, token: str | None) -> None:
    expected = "right"
    rig.send(p.Expect(expected))
    stranger = await rig.edge.caller(rig.worker.port)
    stranger.send_invite(token)
    assert (await stranger.reply("INVITE")).code == 403
    caller = await rig.edge.caller(rig.worker.port)
    caller.send_invite(expected)  # the one that is expected still comes in
    assert (await rig.event(p.Incoming)).sip_call_id == caller.call_id
    rig.send(p.Hangup("a", 486))
    assert (await caller.reply("INVITE")).code == 486


async def test_a_token_is_good_for_one_invite(rig: Rig) -> None:
    rig.send(p.Expect("once"))
    first, second = [await rig.edge.caller(rig.worker.port) for _ in range(2)]
    first.send_invite("once")
    await rig.event(p.Incoming)
    second.send_invite("once")
    assert (await second.reply("INVITE")).code == 403


async def test_nobody_comes_in_before_anybody_is_expected(rig: Rig) -> None:
    stranger = await rig.edge.caller(rig.worker.port)
    stranger.send_invite("anything")
    assert (await stranger.reply("INVITE")).code == 403
    assert rig.none_of(p.Incoming)


async def test_the_token_in_another_header_is_none(rig: Rig) -> None:
    rig.send(p.Expect("right"))
    other = await rig.edge.caller(rig.worker.port)
    other.uri = f"sip:200@127.0.0.1:{rig.worker.port}"
    other.send("INVITE", headers=["X-Other: X-Beffroi-Leg: right"], body=other.sdp())
    assert (await other.reply("INVITE")).code == 403


async def test_many_strangers_do_not_keep_the_caller_out(rig: Rig) -> None:
    """Four calls is all that the engine has: what is refused must not use them up."""
    rig.send(p.Expect("right"))
    for _ in range(12):
        stranger = await rig.edge.caller(rig.worker.port)
        stranger.send_invite("wrong")
        assert (await stranger.reply("INVITE")).code == 403
        stranger.send("ACK", cseq=stranger.cseq)
    caller = await rig.edge.caller(rig.worker.port)
    caller.send_invite("right")
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200))
    await caller.established()


# --- playing ------------------------------------------------------------------------------------------------------


async def test_a_prompt_is_heard_to_its_end(rig: Rig, bench: Bench) -> None:
    a = await rig.caller()
    a.rtp.heard.clear()
    rig.send(p.Play("a", 7, bench.prompt()))
    ended = await rig.event(p.PlayEnded, leg="a", play_id=7)
    assert ended.heard and 300 <= ended.media_ms < 2500
    assert 2 <= (tones.labels(a.rtp.samples(), (PROMPT_HZ,)) == PROMPT_HZ).sum() <= 4


async def test_a_prompt_begun_before_the_answer_waits_for_media(rig: Rig, bench: Bench) -> None:
    rig.send(p.Expect("x"))
    a = await rig.edge.caller(rig.worker.port)
    a.send_invite("x")
    await rig.event(p.Incoming)
    rig.send(p.Play("a", 1, bench.prompt()))
    await asyncio.sleep(0.4)
    assert rig.none_of(p.PlayEnded)
    rig.send(p.Answer("a", 200))
    await a.established()
    assert (await rig.event(p.PlayEnded)).heard
    assert PROMPT_HZ in tones.tones_in(a.rtp.samples(), (PROMPT_HZ,))


@pytest.mark.promise("L1")
@pytest.mark.parametrize("hold", ["sendonly", "inactive"])
@pytest.mark.parametrize("when", ["before", "during"])
async def test_a_prompt_played_to_a_leg_on_hold_was_not_heard(rig: Rig, bench: Bench, hold: str, when: str) -> None:
    a = await rig.caller()
    if when == "before":
        assert (await a.reinvite(hold)).code == 200
        rig.send(p.Play("a", 1, bench.prompt()))
    else:
        rig.send(p.Play("a", 1, bench.prompt()))
        await asyncio.sleep(0.1)
        await a.reinvite(hold)
    assert not (await rig.event(p.PlayEnded)).heard
    await a.reinvite("sendrecv")
    await asyncio.sleep(0.1)
    rig.send(p.Play("a", 2, bench.prompt()))
    assert (await rig.event(p.PlayEnded, play_id=2)).heard, "who has come back from hold hears again"


@pytest.mark.promise("L1")
async def test_hold_and_return_during_a_prompt_is_not_hearing_it(rig: Rig, bench: Bench) -> None:
    a = await rig.caller()
    rig.send(p.Play("a", 1, bench.prompt()))
    await a.reinvite("sendonly")
    await a.reinvite("sendrecv")
    assert not (await rig.event(p.PlayEnded)).heard


async def test_a_prompt_goes_on_through_an_offer_that_changes_nothing(rig: Rig, bench: Bench) -> None:
    """Phones send one to settle on a codec, or to refresh the session (RFC 4028)."""
    a = await rig.caller()
    a.rtp.heard.clear()
    rig.send(p.Play("a", 1, bench.prompt(1.0)))
    await asyncio.sleep(0.2)
    assert (await a.reinvite("sendrecv")).code == 200
    assert (await rig.event(p.PlayEnded)).heard
    assert (tones.labels(a.rtp.samples(), (PROMPT_HZ,)) == PROMPT_HZ).sum() >= 8


async def test_stopped_and_replaced_prompts_say_nothing_more(rig: Rig, bench: Bench) -> None:
    await rig.caller()
    rig.send(p.Play("a", 1, bench.prompt()), p.StopPlay("a"))
    rig.send(p.Play("a", 2, bench.prompt()), p.Play("a", 3, bench.prompt()))
    assert (await rig.event(p.PlayEnded)).play_id == 3
    await asyncio.sleep(0.2)
    assert [event.play_id for event in rig.said if isinstance(event, p.PlayEnded)] == [3]


async def test_a_prompt_that_cannot_be_played_says_so(rig: Rig, bench: Bench) -> None:
    await rig.caller()
    rig.send(p.Play("a", 1, str(bench.directory / "missing.wav")))
    assert (await rig.event(p.PlayFailed)).play_id == 1
    noise = bench.directory / "noise.wav"
    noise.write_bytes(b"no audio at all")
    rig.send(p.Play("a", 2, str(noise)))
    assert (await rig.event(p.PlayFailed)).play_id == 2


async def test_a_prompt_to_a_leg_that_is_down_fails(rig: Rig, bench: Bench) -> None:
    a = await rig.caller()
    await a.hang_up()
    await rig.event(p.LegDown)
    rig.send(p.Play("a", 1, bench.prompt()))
    assert (await rig.event(p.PlayFailed)).play_id == 1


async def test_ringback_is_the_french_one(rig: Rig) -> None:
    a = await rig.caller()
    a.rtp.heard.clear()
    rig.send(p.Ringback("a", True))
    await asyncio.sleep(0.4)
    rig.send(p.Ringback("a", False))
    await asyncio.sleep(0.1)
    assert tones.shares(a.rtp.samples(), (440,))[440] > 0.5
    a.rtp.heard.clear()
    await asyncio.sleep(0.2)
    assert loudness(a.rtp.samples()) < 100


async def test_echo_sends_back_what_was_said(rig: Rig) -> None:
    a = await rig.caller()
    rig.send(p.Echo("a", True))
    a.rtp.heard.clear()
    a.rtp.say(tones.tone(A_HZ, 0.4))
    await asyncio.sleep(0.6)
    rig.send(p.Echo("a", False))
    assert (tones.labels(a.rtp.samples(), (A_HZ,)) == A_HZ).sum() >= 3
    await asyncio.sleep(0.1)
    a.rtp.heard.clear()
    a.rtp.say(tones.tone(A_HZ, 0.2))
    await asyncio.sleep(0.35)
    assert A_HZ not in tones.tones_in(a.rtp.samples(), (A_HZ,))


# --- keys ---------------------------------------------------------------------------------------------------------


async def test_keys_are_told_once_each_and_in_order(rig: Rig) -> None:
    a = await rig.caller()
    for digit in "120*#":
        a.rtp.press(digit)
    told = [await rig.event(p.Digit) for _ in range(5)]
    assert "".join(event.digit for event in told) == "120*#"
    assert [event.media_ms for event in told] == sorted(event.media_ms for event in told)
    await asyncio.sleep(0.2)
    assert sum(isinstance(event, p.Digit) for event in rig.said) == 5, "the end of a key is sent three times"


async def test_a_key_is_sent_on_to_the_other_leg(rig: Rig) -> None:
    await rig.caller()
    b = await rig.callee()
    events: list[int] = []
    payload = re.search(rb"a=rtpmap:(\d+) telephone-event", b.invite.body if b.invite else b"")
    assert payload
    b.rtp.other = lambda kind, data: events.append(data[0]) if kind == 101 and data[1] & 0x80 else None
    rig.send(p.SendDigit("b0", "7"))
    await until(lambda: 7 in events)


# --- two legs -----------------------------------------------------------------------------------------------------


async def test_each_side_hears_the_other_and_not_itself(rig: Rig) -> None:
    a, b = await talking(rig)
    for dialog, hz in ((a, A_HZ), (b, B_HZ)):
        dialog.rtp.heard.clear()
        dialog.rtp.say(tones.tone(hz, 0.4))
    await asyncio.sleep(0.6)
    assert tones.tones_in(a.rtp.samples(), (A_HZ, B_HZ)) == {B_HZ}
    assert tones.tones_in(b.rtp.samples(), (A_HZ, B_HZ)) == {A_HZ}
    rig.send(p.Bridge("a", "b0", False))
    await asyncio.sleep(0.1)
    for dialog, hz in ((a, A_HZ), (b, B_HZ)):
        dialog.rtp.heard.clear()
        dialog.rtp.say(tones.tone(hz, 0.2))
    await asyncio.sleep(0.35)
    assert not tones.tones_in(a.rtp.samples(), (A_HZ, B_HZ)) and not tones.tones_in(b.rtp.samples(), (A_HZ, B_HZ))


async def test_a_dialled_leg_says_what_it_is_and_from_whom(rig: Rig) -> None:
    rig.send(p.Dial("b0", "200", "token-1", "101", 'Zoé "x" \\ \r\nEvil: 1', False))
    b = await rig.edge.called()
    assert b.invite is not None
    assert b.invite["X-Beffroi-Leg"] == "token-1"
    assert b.invite["From"].startswith('"Zoé \\"x\\" \\\\ Evil: 1" <sip:101@test.lan>'), b.invite["From"]
    assert not b.invite.all("Evil")
    assert (await rig.event(p.LegDialled)).sip_call_id == b.call_id
    b.ring()
    ringing = await rig.event(p.LegRinging)
    assert (ringing.code, ringing.media) == (180, False)
    b.refuse(486, "Busy Here")
    assert (await rig.event(p.LegDown)).code == 486


async def test_early_media_is_told_and_bridged(rig: Rig) -> None:
    a = await rig.caller()
    rig.dial()
    b = await rig.edge.called()
    b.ring(early_media=True)
    await rig.event(p.LegRinging, media=True)
    rig.send(p.Bridge("a", "b0"))
    a.rtp.heard.clear()
    b.rtp.say(tones.tone(B_HZ, 0.4))
    await asyncio.sleep(0.7)
    assert B_HZ in tones.tones_in(a.rtp.samples(), (B_HZ,))


async def test_a_number_with_a_hash_is_dialled_as_sip_writes_it(rig: Rig) -> None:
    rig.send(p.Dial("b0", "#31*21", "t", "#1", "", False))
    b = await rig.edge.called()
    assert b.invite is not None
    assert b.invite.uri == "sip:%2331*21@test.lan" and "<sip:%231@test.lan>" in b.invite["From"]
    b.refuse(404, "Not Found")
    await rig.event(p.LegDown)


@pytest.mark.parametrize("srtp", [True, False])
async def test_srtp_is_offered_when_asked_and_only_then(rig: Rig, srtp: bool) -> None:
    rig.dial(srtp=srtp)
    b = await rig.edge.called()
    assert b.invite is not None
    profiles = re.findall(rb"m=audio \d+ (\S+)", b.invite.body)
    assert profiles == [b"RTP/SAVP" if srtp else b"RTP/AVP"]
    assert (b"a=crypto:" in b.invite.body) is srtp
    b.refuse(603, "Decline")
    await rig.event(p.LegDown, code=603)


async def test_a_leg_that_must_be_encrypted_is_not_answered_in_clear(rig: Rig) -> None:
    rig.dial(srtp=True)
    b = await rig.edge.called()
    await b.pick_up()  # 200 with RTP/AVP and no key
    await b.request("BYE")
    await rig.event(p.LegDown)
    assert not any(event.active for event in rig.said if isinstance(event, p.LegMedia))


async def test_an_encrypted_offer_is_answered_encrypted(rig: Rig) -> None:
    rig.send(p.Expect("x"))
    a = await rig.edge.caller(rig.worker.port)
    a.send_invite("x", sdp=a.sdp(profile="RTP/SAVP", extra=CRYPTO))
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200))
    ok = await a.established()
    assert b"RTP/SAVP" in ok.body and b"a=crypto:1" in ok.body
    assert (await rig.event(p.LegMedia)).srtp


@pytest.mark.promise("P2")
async def test_what_began_encrypted_goes_on_encrypted(rig: Rig) -> None:
    """Whatever a phone offers later: the keys have passed by TLS, and the audio does not go back into the clear."""
    rig.send(p.Expect("x"))
    a = await rig.edge.caller(rig.worker.port)
    encrypted = a.sdp(profile="RTP/SAVP", extra=CRYPTO)
    a.send_invite("x", sdp=encrypted)
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200))
    await a.established()
    assert (await a.reinvite()).code == 488
    a.send("UPDATE", body=a.sdp())
    assert (await a.reply("UPDATE")).code == 488
    held = await a.reinvite(sdp=encrypted.replace("a=sendrecv", "a=sendonly"))
    assert held.code == 200 and b"RTP/SAVP" in held.body
    a.send("INVITE")  # without an offer: the worker makes it (RFC 3264 section 5)
    ours = await a.reply("INVITE")
    assert ours.code == 200 and b"RTP/SAVP" in ours.body
    a.send("ACK", cseq=a.cseq, body=encrypted)
    await asyncio.sleep(0.1)
    assert rig.none_of(p.LegDown)


async def test_hanging_up_says_why(rig: Rig) -> None:
    a = await rig.caller()
    rig.send(p.Hangup("a", 480, 486, 'Busy "here"\r\nEvil: 1'))
    bye = await a.request("BYE")
    assert bye["Reason"].startswith('SIP;cause=486;text="Busy')  # RFC 3326
    assert not bye.all("Evil")
    await rig.event(p.LegDown)


async def test_hanging_up_a_ringing_leg_cancels_it(rig: Rig) -> None:
    rig.dial()
    b = await rig.edge.called()
    b.ring()
    await rig.event(p.LegRinging)
    rig.send(p.Hangup("b0"))
    await b.request("CANCEL")
    b.refuse(487, "Request Terminated")
    assert (await rig.event(p.LegDown)).code == 487


async def test_a_caller_who_cancels_is_down(rig: Rig) -> None:
    rig.send(p.Expect("x"))
    a = await rig.edge.caller(rig.worker.port)
    a.send_invite("x")
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 180, "Ringing"))
    ringing = await a.provisional(180)
    branch = ringing["Via"].split("branch=")[1].split(";")[0]
    a.remote_tag = ""
    a.send_cancel(branch)
    assert (await a.reply("INVITE")).code == 487
    assert (await rig.event(p.LegDown)).code == 487


async def test_nobody_there_to_dial_is_a_failure_not_a_hang(rig: Rig, bench: Bench) -> None:
    """The edge answers for phones that are away; a worker that cannot even reach the edge ends by its own timers."""
    rig.send(p.Dial("b0", "", "t", "101", "x", False))
    down = await rig.event(p.LegDown)
    assert down.code >= 400


async def test_a_fifth_leg_fails_and_the_others_go_on(rig: Rig) -> None:
    """The engine was compiled for four calls a process."""
    await rig.caller()
    legs = [await rig.callee(f"b{number}") for number in range(3)]
    rig.dial("b3")
    assert (await rig.event(p.LegDown)).leg == "b3"
    rig.send(p.Bridge("a", "b2"))
    legs[2].rtp.heard.clear()
    (a,) = [dialog for dialog in rig.edge.dialogs.values() if dialog.worker[1] == rig.worker.port and not dialog.invite]
    a.rtp.say(tones.tone(A_HZ, 0.3))
    await asyncio.sleep(0.6)
    assert A_HZ in tones.tones_in(legs[2].rtp.samples(), (A_HZ,))
    await legs[0].hang_up()
    await rig.event(p.LegDown, leg="b0")
    rig.dial("b4")  # there is room again
    await rig.edge.called()


async def test_leaving_hangs_everybody_up(rig: Rig) -> None:
    a, b = await talking(rig)
    rig.send(p.Leave())
    await asyncio.gather(a.request("BYE"), b.request("BYE"))
    await rig.event(p.Left)
    await until(lambda: not alive(rig.worker.pid))


# --- capture ------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.1")
async def test_each_leg_is_captured_alone_and_aligned(rig: Rig, capture: Capture) -> None:
    a, b = await talking(rig)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    for _ in range(2):
        a.rtp.say(np.concatenate([tones.silence(0.3), tones.tone(A_HZ, 0.2)]))
        b.rtp.say(np.concatenate([tones.silence(0.3), tones.tone(B_HZ, 0.2)]))
    await asyncio.sleep(1.25)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    left, right = capture.samples(0), capture.samples(1)
    assert tones.tones_in(left, (A_HZ, B_HZ)) == {A_HZ} and tones.tones_in(right, (A_HZ, B_HZ)) == {B_HZ}
    skews = tones.drift(left, A_HZ, right, B_HZ)
    assert len(skews) == 2 and max(abs(skew) for skew in skews) <= ALIGNED_S, skews
    assert abs(len(left) - len(right)) <= ALIGNED_S * 8000
    assert capture.wav(0)[:4] == b"RIFF"


async def test_nothing_said_before_the_capture_is_in_it(rig: Rig, capture: Capture) -> None:
    a, b = await talking(rig)
    a.rtp.say(tones.tone(A_HZ, 0.2))
    b.rtp.say(tones.tone(A_HZ, 0.2))
    await asyncio.sleep(0.5)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    a.rtp.say(tones.tone(B_HZ, 0.2))
    await asyncio.sleep(0.4)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    for channel in (0, 1):
        assert A_HZ not in tones.tones_in(capture.samples(channel), (A_HZ, B_HZ))
    a.rtp.say(tones.tone(A_HZ, 0.3))
    before = os.fstat(capture.fds[0]).st_size
    await asyncio.sleep(0.4)
    assert os.fstat(capture.fds[0]).st_size == before, "nor after it"


async def test_stopping_flushes_the_last_sample(rig: Rig, capture: Capture) -> None:
    """pjmedia writes 4000 bytes at a time: without the flush up to a quarter of a second would be missing."""
    a, _ = await talking(rig)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    began = asyncio.get_running_loop().time()
    a.rtp.say(tones.tone(A_HZ, 2))
    await asyncio.sleep(0.7)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    lasted = asyncio.get_running_loop().time() - began
    for channel in (0, 1):
        assert len(capture.samples(channel)) / 8000 == pytest.approx(lasted, abs=0.12)
    assert tones.labels(capture.samples(0), (A_HZ,))[-1] == A_HZ


@pytest.mark.parametrize("who", ["a", "b0"])
async def test_hold_and_resume_keep_the_time_line(rig: Rig, capture: Capture, who: str) -> None:
    a, b = await talking(rig)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    holder, other = (a, b) if who == "a" else (b, a)
    holder_hz, other_hz = (A_HZ, B_HZ) if who == "a" else (B_HZ, A_HZ)
    await holder.reinvite("inactive")
    await asyncio.sleep(0.4)
    await holder.reinvite("sendrecv")
    await asyncio.sleep(0.1)
    holder.rtp.heard.clear()
    holder.rtp.say(tones.tone(holder_hz, 0.3))
    other.rtp.say(tones.tone(other_hz, 0.3))
    await asyncio.sleep(0.6)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    left, right = capture.samples(0), capture.samples(1)
    assert abs(len(left) - len(right)) <= ALIGNED_S * 8000
    (skew,) = tones.drift(left, A_HZ, right, B_HZ)
    assert abs(skew) <= 2 * ALIGNED_S
    assert tones.onsets(left, A_HZ)[0] > 0.4, "the time on hold is in both channels"
    assert other_hz in tones.tones_in(holder.rtp.samples(), (other_hz,)), "the bridge is whole again"


async def test_one_leg_is_captured_with_silence_beside_it(rig: Rig, capture: Capture) -> None:
    a = await rig.caller()
    rig.worker.send(p.Capture("a", ""), capture.fds)
    await rig.event(p.Captured)
    a.rtp.say(tones.tone(A_HZ, 0.3))
    await asyncio.sleep(0.5)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    assert A_HZ in tones.tones_in(capture.samples(0), (A_HZ,))
    assert loudness(capture.samples(1)) == 0 and len(capture.samples(1)) >= 0.4 * 8000


async def test_a_prompt_is_in_no_capture(rig: Rig, bench: Bench, capture: Capture) -> None:
    """What we say to a leg is not what is heard from it."""
    await talking(rig)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    rig.send(p.Play("a", 1, bench.prompt()))
    await rig.event(p.PlayEnded)
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    assert loudness(capture.samples(0)) < 50 and loudness(capture.samples(1)) < 50


async def test_a_capture_that_cannot_be_is_told_and_leaves_nothing_open(
    rig: Rig, bench: Bench, capture: Capture
) -> None:
    await rig.caller()
    await rig.event(p.LegNetwork)  # until then strangers are watched for
    before = len(os.listdir(f"/proc/{rig.worker.pid}/fd"))
    rig.worker.send(p.Capture("a", ""))  # no descriptors
    assert "two descriptors" in (await rig.event(p.CaptureFailed)).why
    place = os.open(bench.directory, os.O_RDONLY)
    rig.worker.send(p.Capture("a", ""), (place, place))
    await rig.event(p.CaptureFailed)
    rig.worker.send(p.Capture("a", ""), capture.fds)
    await rig.event(p.Captured)
    rig.worker.send(p.Capture("a", ""), capture.fds)
    assert "already" in (await rig.event(p.CaptureFailed)).why
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    os.close(place)
    assert len(os.listdir(f"/proc/{rig.worker.pid}/fd")) == before
    assert not list(bench.directory.glob("*.wav.tmp")) and not [
        path for path in bench.directory.iterdir() if path.is_symlink()
    ]


async def test_the_last_blocks_are_there_when_a_leg_ends_first(rig: Rig, capture: Capture) -> None:
    a, b = await talking(rig)
    rig.worker.send(p.Capture("a", "b0"), capture.fds)
    await rig.event(p.Captured)
    a.rtp.say(tones.tone(A_HZ, 0.5))
    await asyncio.sleep(0.7)
    await b.hang_up()
    await rig.event(p.LegDown, leg="b0")
    rig.send(p.StopCapture())
    await rig.event(p.CaptureStopped)
    assert (tones.labels(capture.samples(0), (A_HZ,)) == A_HZ).sum() >= 4


# --- whatever it is told ------------------------------------------------------------------------------------------


NONSENSE = [
    p.Answer("zz", 200),
    p.Hangup("zz"),
    p.Play("zz", 1, "/nowhere.wav"),
    p.StopPlay("zz"),
    p.Ringback("zz", True),
    p.Bridge("zz", "yy"),
    p.Bridge("a", "a"),
    p.Echo("zz", True),
    p.SendDigit("zz", "1"),
    p.SendDigit("a", "no digit"),
    p.Capture("zz", "yy"),
    p.StopCapture(),
    p.Answer("a", 0),
    p.Answer("a", 99999, "x" * 500),
    p.Dial("a", "200", "t", "101", "twice the same leg", False),
    p.Dial("b9", "", "", "", "", False),
    p.Dial("b9", "\r\n", "\r\n", "\r\n", "\0", True),
]


async def test_a_worker_survives_any_command(rig: Rig) -> None:
    """Whatever makes no sense costs itself; the conversation goes on."""
    a = await rig.caller()
    for command in NONSENSE:
        rig.send(command, p.SendDigit("zz", "?"))
        await rig.event(p.Trouble)
        assert alive(rig.worker.pid), command
    rig.send(p.Bridge("a", "a", False), p.Echo("a", True))
    a.rtp.say(tones.tone(A_HZ, 0.2))
    await until(lambda: A_HZ in tones.tones_in(a.rtp.samples(), (A_HZ,)), 2)
    rig.send(p.Hangup("a", 99999))
    await a.request("BYE")
    await rig.event(p.LegDown)


async def test_a_worker_survives_what_is_no_command_at_all(rig: Rig) -> None:
    for packet in (b"\xff", b"{}", b'{"t": "Ready", "port": 1, "pid": 1}', b"x" * 60000):
        rig.worker.control.send(packet)
    null = os.open("/dev/null", os.O_RDONLY)
    before = len(os.listdir(f"/proc/{rig.worker.pid}/fd"))
    for _ in range(5):
        socket.send_fds(rig.worker.control, [p.encode(p.StopPlay("a"))], [null, null])
    os.close(null)
    await rig.caller()
    await until(lambda: len(os.listdir(f"/proc/{rig.worker.pid}/fd")) <= before + 4)  # RTP, RTCP, and what pjmedia has


async def test_stray_sip_is_answered_or_ignored(rig: Rig) -> None:
    a = await rig.caller()
    stranger = await rig.edge.caller(rig.worker.port)
    stranger.uri = f"sip:x@127.0.0.1:{rig.worker.port}"
    for method in ("OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE", "REFER", "BYE", "CANCEL", "NOTIFY", "WHATEVER"):
        stranger.send(method)
    for junk in ("", "\r\n\r\n", "INVITE", "INVITE sip:x SIP/2.0\r\n\r\n", "\0" * 1000, "A" * 4000):
        rig.edge.send(junk, ("127.0.0.1", rig.worker.port))
    await asyncio.sleep(0.2)
    assert rig.none_of(p.LegDown) and alive(rig.worker.pid)
    rig.send(p.Echo("a", True))
    a.rtp.say(tones.tone(A_HZ, 0.2))
    await until(lambda: A_HZ in tones.tones_in(a.rtp.samples(), (A_HZ,)), 2)


async def test_a_refer_is_not_the_workers_affair(rig: Rig) -> None:
    a = await rig.caller()
    a.send("REFER", headers=["Refer-To: <sip:evil@example.org>"])
    assert (await a.reply("REFER")).code == 501
    await asyncio.sleep(0.1)
    assert rig.edge.dialled.empty() and rig.none_of(p.LegDown)


async def test_quality_is_told_at_the_end(rig: Rig) -> None:
    a = await rig.caller()
    await asyncio.sleep(0.5)
    await a.hang_up()
    quality = await rig.event(p.LegQuality)
    assert quality.rx_packets >= 20 and quality.tx_packets >= 20 and quality.rx_lost == 0
