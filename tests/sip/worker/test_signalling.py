"""SIP around a conversation: keys in every form, refreshes, reliable ringing, offers that cross or cannot be met."""

from __future__ import annotations

import asyncio
import re
import secrets

import pytest

from sip.worker import protocol as p
from sip.worker.engine_calls import plain_digit
from tests.peers import tones
from tests.sip.worker.conftest import A_HZ, talking
from tests.sip.worker.phones import Dialog
from tests.sip.worker.rig import Rig, alive, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

G729 = ("a=rtpmap:8 PCMA/8000", "a=rtpmap:18 G729/8000")


async def hears(dialog: Dialog, hz: float) -> None:
    await until(lambda: (tones.labels(dialog.rtp.samples(), (hz,)) == hz).sum() >= 3, 10)


async def goes_on(a: Dialog, b: Dialog) -> None:
    b.rtp.heard.clear()
    a.rtp.say(tones.tone(A_HZ, 0.4))
    await hears(b, A_HZ)


async def next_request(dialog: Dialog, *methods: str, patience_s: float = 5.0) -> str:
    """The method of the next request of one of these kinds; it stays unanswered in ``dialog.pending``."""
    async with asyncio.timeout(patience_s):
        while True:
            message = await dialog.inbox.get()
            if not message.code and message.method in methods:
                dialog.pending = message
                return message.method


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "key"),
    [
        ("application/dtmf-relay", "Signal=5\r\nDuration=160", "5"),
        ("application/dtmf-relay", "Signal= *\r\nDuration= 250\r\n", "*"),
        ("application/dtmf", "7", "7"),
        ("application/dtmf", "#\r\n", "#"),
    ],
)
async def test_keys_by_info(rig: Rig, kind: str, body: str, key: str) -> None:
    a = await rig.caller()
    a.send("INFO", body=body, ctype=kind)
    assert (await rig.event(p.Digit)).digit == key
    await a.reply("INFO")
    a.rtp.press("3")
    assert (await rig.event(p.Digit)).digit == "3"
    assert sum(isinstance(event, p.Digit) for event in rig.said) == 2, "one key is told once"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", "5"),
        ("application/dtmf", ""),
        ("application/dtmf", "call me"),
        ("application/dtmf-relay", ""),
        ("application/dtmf-relay", "Duration=5\r\nNothing=6\r\n"),
        ("application/media_control+xml", "<media_control/>"),
    ],
)
async def test_other_infos_press_nothing(rig: Rig, kind: str, body: str) -> None:
    a = await rig.caller()
    a.send("INFO", body=body, ctype=kind)
    await a.reply("INFO")
    a.rtp.press("1")
    assert (await rig.event(p.Digit)).digit == "1"
    assert rig.none_of(p.LegDown)


@pytest.mark.parametrize(
    ("message", "key"),
    [
        ("INFO x SIP/2.0\r\nc: application/dtmf\r\n\r\na", "A"),
        ("INFO x SIP/2.0\r\nContent-Type : APPLICATION/DTMF;x=1\r\n\r\n 9 ", "9"),
        ("INFO x SIP/2.0\r\nContent-Type: application/dtmf\r\n\r\n11", "#"),
        ("INFO x SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=1", ""),
        ("INFO x SIP/2.0\r\nX: application/dtmf\r\n\r\n1", ""),
        ("", ""),
    ],
)
async def test_a_body_that_is_a_key(message: str, key: str) -> None:
    assert plain_digit(message) == key


async def test_who_has_no_telephone_events_is_sent_keys_by_info(rig: Rig) -> None:
    await rig.caller()
    rig.dial()
    b = await rig.edge.called()
    assert b.invite is not None
    plain = b.sdp().replace(" 8 101", " 8").replace("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n", "")
    b._reply(b.invite, 200, "OK", body=plain)
    b._hear(b.invite)
    await b.request("ACK")
    await rig.event(p.LegMedia, leg="b0", active=True)
    rig.send(p.SendDigit("b0", "9"), p.SendDigit("b0", "#"))
    for key in (b"9", b"#"):
        info = await b.request("INFO")
        assert info["Content-Type"] == "application/dtmf-relay" and b"Signal=" + key in info.body


async def test_a_key_that_is_none_is_not_sent(rig: Rig) -> None:
    await rig.caller()
    rig.send(p.SendDigit("a", "12"), p.SendDigit("a", "x"), p.SendDigit("a", ""))
    for _ in range(3):
        assert (await rig.event(p.Trouble)).why == "ValueError"


# --- refreshes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("refresher", ["uac", "uas"])
async def test_a_session_timer_is_agreed_on(rig: Rig, refresher: str) -> None:
    """RFC 4028 section 9."""
    token = secrets.token_hex(16)
    rig.send(p.Expect(token))
    a = await rig.edge.caller(rig.worker.port)
    a.uri = f"sip:200@127.0.0.1:{rig.worker.port}"
    timer = ["Supported: timer", f"Session-Expires: 120;refresher={refresher}", "Min-SE: 90"]
    a.send("INVITE", headers=[f"X-Beffroi-Leg: {token}", *timer], body=a.sdp())
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200))
    ok = await a.established()
    assert ok["Session-Expires"] == f"120;refresher={refresher}"
    a.send("UPDATE", headers=["Supported: timer", f"Session-Expires: 120;refresher={refresher}"])
    refreshed = await a.reply("UPDATE")
    assert refreshed.code == 200 and refreshed["Session-Expires"].startswith("120")


async def test_a_session_that_would_have_to_be_refreshed_all_the_time_is_refused(rig: Rig) -> None:
    token = secrets.token_hex(16)
    rig.send(p.Expect(token))
    a = await rig.edge.caller(rig.worker.port)
    a.uri = f"sip:200@127.0.0.1:{rig.worker.port}"
    a.send("INVITE", headers=[f"X-Beffroi-Leg: {token}", "Supported: timer", "Session-Expires: 20"], body=a.sdp())
    refused = await a.reply("INVITE")
    assert refused.code == 422 and int(refused["Min-SE"]) >= 90


@pytest.mark.parametrize("offer", [True, False], ids=["with an offer", "without"])
async def test_update_of_a_conversation(rig: Rig, offer: bool) -> None:
    """RFC 3311: hold by UPDATE, refresh by UPDATE."""
    a, b = await talking(rig)
    a.send("UPDATE", body=a.sdp(direction="sendonly") if offer else "")
    assert (await a.reply("UPDATE")).code == 200
    if offer:
        await rig.event(p.LegMedia, leg="a", held=True)
        a.send("UPDATE", body=a.sdp())
        assert (await a.reply("UPDATE")).code == 200
        await rig.event(p.LegMedia, leg="a", held=False)
    await goes_on(a, b)
    await goes_on(b, a)


@pytest.mark.full
@pytest.mark.timeout(200)
@pytest.mark.parametrize("refresher", ["uas", "uac"])
async def test_the_shortest_session_is_refreshed_or_ends(rig: Rig, refresher: str) -> None:
    """90 s is the shortest that there is. We refresh after half of it; where the phone should and does not, the call
    ends a third before the end (RFC 4028 section 10)."""
    token = secrets.token_hex(16)
    rig.send(p.Expect(token))
    a = await rig.edge.caller(rig.worker.port)
    a.uri = f"sip:200@127.0.0.1:{rig.worker.port}"
    timer = ["Supported: timer", f"Session-Expires: 90;refresher={refresher}"]
    a.send("INVITE", headers=[f"X-Beffroi-Leg: {token}", *timer], body=a.sdp())
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 200))
    await a.established()
    if refresher == "uas":
        method = await next_request(a, "UPDATE", "INVITE", patience_s=80)
        assert a.pending["Session-Expires"].startswith("90")
        a._reply(a.pending, 200, "OK", body=a.sdp() if method == "INVITE" or a.pending.body else "")
        await asyncio.sleep(0.2)
        assert rig.none_of(p.LegDown)
    else:
        await a.request("BYE", 100)
        await rig.event(p.LegDown, leg="a")


# --- reliable provisional answers ---------------------------------------------------------------------------------


async def test_ringing_is_reliable_for_who_asks(rig: Rig) -> None:
    """RFC 3262 section 3."""
    token = secrets.token_hex(16)
    rig.send(p.Expect(token))
    a = await rig.edge.caller(rig.worker.port)
    a.uri = f"sip:200@127.0.0.1:{rig.worker.port}"
    a.send("INVITE", headers=[f"X-Beffroi-Leg: {token}", "Require: 100rel", "Supported: 100rel"], body=a.sdp())
    await rig.event(p.Incoming)
    rig.send(p.Answer("a", 180, "Ringing"))
    ringing = await a.provisional(180)
    assert "100rel" in ringing["Require"]
    invite_cseq = a.cseq
    a._learn(ringing["To"])
    a.uri = re.sub(r"[<>]", "", ringing["Contact"])
    a.send("PRACK", headers=[f"RAck: {ringing['RSeq']} {invite_cseq} INVITE"])
    assert (await a.reply("PRACK")).code == 200
    rig.send(p.Answer("a", 200))
    ok = await a.reply("INVITE")
    assert ok.code == 200
    a.send("ACK", cseq=invite_cseq)
    await rig.event(p.LegUp, leg="a")


async def test_a_phone_that_rings_reliably_is_acknowledged(rig: Rig) -> None:
    rig.dial()
    b = await rig.edge.called()
    assert b.invite is not None and "100rel" in b.invite["Supported"]
    host, port = rig.edge.address
    sdp = b.sdp()
    via, to = b.invite["Via"], f"{b.invite['To']};tag={b.tag}"
    lines = ["SIP/2.0 183 Session Progress", f"Via: {via}", f"From: {b.invite['From']}", f"To: {to}"]
    lines += [f"Call-ID: {b.call_id}", f"CSeq: {b.invite['CSeq']}", f"Contact: <sip:phone@{host}:{port}>"]
    lines += ["Require: 100rel", "RSeq: 7", "Content-Type: application/sdp", f"Content-Length: {len(sdp)}", "", sdp]
    rig.edge.send("\r\n".join(lines), b.worker)
    prack = await b.request("PRACK")
    assert prack["RAck"] == f"7 {b.invite['CSeq']}"
    await rig.event(p.LegRinging, media=True)
    b._reply(b.invite, 200, "OK")
    await b.request("ACK")
    await rig.event(p.LegUp, leg="b0")


# --- offers that cross --------------------------------------------------------------------------------------------


async def answered_with_two_codecs(rig: Rig) -> tuple[Dialog, Dialog]:
    """Then the worker offers anew, so that one is left: the only offer that it makes by itself."""
    a = await rig.caller()
    rig.dial()
    b = await rig.edge.called()
    assert b.invite is not None
    two = b.sdp().replace(" 8 101", " 8 0 101").replace("a=rtpmap:101", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:101", 1)
    b._reply(b.invite, 200, "OK", body=two)
    b._hear(b.invite)
    rig.send(p.Bridge("a", "b0"))
    return a, b


async def test_our_offer_that_meets_another_is_put_off(rig: Rig) -> None:
    a, b = await answered_with_two_codecs(rig)
    await next_request(b, "INVITE", "UPDATE")
    b._reply(b.pending, 491, "Request Pending")
    await goes_on(a, b)
    await goes_on(b, a)
    assert rig.none_of(p.LegDown)


async def test_an_offer_that_meets_ours_is_put_off(rig: Rig) -> None:
    """RFC 3261 section 14.2."""
    a, b = await answered_with_two_codecs(rig)
    method = await next_request(b, "INVITE", "UPDATE")
    ours = b.pending
    b.send("INVITE", body=b.sdp(direction="sendonly"))
    crossed = await b.reply("INVITE")
    assert crossed.code in (491, 500), crossed.start  # 500 with Retry-After where ours is an UPDATE (RFC 3311)
    b.send("ACK", cseq=b.cseq)
    b._reply(ours, 200, "OK", body=b.sdp())
    if method == "INVITE":
        await b.request("ACK")
    assert (await b.reinvite("sendrecv")).code == 200, "and once ours is done it is taken"
    await goes_on(a, b)


async def test_a_second_offer_before_the_first_is_acknowledged_is_put_off(rig: Rig) -> None:
    a, b = await talking(rig)
    a.send("INVITE", body=a.sdp())
    a.send("INVITE", body=a.sdp(direction="sendonly"))
    replies = {(await a.reply("INVITE")).code for _ in range(2)}
    assert 200 in replies and replies & {491, 500}
    a.send("ACK", cseq=a.cseq - 1)
    a.send("ACK", cseq=a.cseq)
    assert (await a.reinvite()).code == 200
    await goes_on(a, b)


# --- offers that cannot be met, or only in part -------------------------------------------------------------------


async def test_no_common_codec_is_refused_and_the_next_is_taken(rig: Rig) -> None:
    rig.send(p.Expect("one"))
    a = await rig.edge.caller(rig.worker.port)
    a.send_invite("one", sdp=a.sdp().replace(" 8 101", " 18 101").replace(*G729))
    assert (await a.reply("INVITE")).code == 488
    again = await rig.edge.caller(rig.worker.port)
    again.send_invite("one")
    await rig.event(p.Incoming)


async def test_a_later_offer_without_a_common_codec_changes_nothing(rig: Rig) -> None:
    a, b = await talking(rig)
    refused = await a.reinvite(sdp=a.sdp().replace(" 8 101", " 18 101").replace(*G729))
    assert refused.code == 488
    await goes_on(a, b)
    await goes_on(b, a)


async def test_video_that_is_added_is_declined_and_audio_goes_on(rig: Rig) -> None:
    a, b = await talking(rig)
    video = "m=video 40002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=sendrecv\r\n"
    ok = await a.reinvite(sdp=a.sdp() + video)
    assert ok.code == 200 and re.search(rb"m=video 0 ", ok.body)
    await goes_on(a, b)
    await goes_on(b, a)


async def test_an_offer_that_changes_the_codec(rig: Rig) -> None:
    a, b = await talking(rig)
    mu_law = a.sdp().replace(" 8 101", " 0 101").replace("a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000")
    kinds: list[int] = []
    a.rtp.other = lambda kind, _payload: kinds.append(kind)
    assert (await a.reinvite(sdp=mu_law)).code == 200
    assert (await rig.event(p.LegMedia, leg="a", codec="PCMU")).active
    await until(lambda: 0 in kinds)
    assert (await a.reinvite()).code == 200
    assert (await rig.event(p.LegMedia, leg="a", codec="PCMA")).active
    await goes_on(a, b)
    await goes_on(b, a)


@pytest.mark.parametrize("lines", [100, 700])
async def test_a_huge_offer_costs_at_most_itself(rig: Rig, lines: int) -> None:
    rig.send(p.Expect("huge", "p0"))
    big = await rig.edge.caller(rig.worker.port)
    big.send_invite("huge", sdp=big.sdp() + "".join(f"a=x-{number}:{'z' * 60}\r\n" for number in range(lines)))
    a, b = await talking(rig)
    await goes_on(a, b)
    assert alive(rig.worker.pid)


async def test_a_leg_whose_bye_is_lost_is_over_for_us(rig: Rig) -> None:
    """pjsip sends it again by itself (RFC 3261 section 17.1.2); nobody waits for that, and the other leg talks on."""
    a, b = await talking(rig)
    del rig.edge.dialogs[b.call_id]  # it answers nothing any more
    rig.send(p.Hangup("b0"))
    rig.send(p.Echo("a", True))
    await goes_on(a, a)
    down = await rig.event(p.LegDown, leg="b0", timeout_s=40)
    assert down.code in (200, 408)
    await goes_on(a, a)


async def test_who_ends_while_nobody_answers_is_not_waited_for(rig: Rig) -> None:
    """BYE is lost: the worker leaves all the same, and says so."""
    await talking(rig)
    rig.edge.dialogs.clear()  # nobody answers any more
    rig.send(p.Leave())
    await rig.event(p.Left)
    await until(lambda: not alive(rig.worker.pid))
