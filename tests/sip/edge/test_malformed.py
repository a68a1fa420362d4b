"""Messages that no phone sends. Whatever comes, the edge stands, and the next phone is served."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.sip.edge.conftest import DOMAIN, Edge

GOOD = (
    "{method} sip:{user}@" + DOMAIN + " SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK1;rport\r\n"
    "From: <sip:a@" + DOMAIN + ">;tag=1\r\nTo: <sip:b@" + DOMAIN + ">\r\nCall-ID: {call_id}\r\n"
    "CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:a@127.0.0.1>\r\nContent-Length: 0\r\n\r\n"
)

# In the spirit of RFC 4475, section by section where one is named
TORTURE = {
    "empty": b"",
    "noise": bytes(range(256)) * 4,
    "only newlines": b"\r\n" * 100,
    "no headers": b"INVITE sip:b@test.lan SIP/2.0\r\n\r\n",
    "no via": GOOD.replace("Via:", "X:").encode(),
    "no from (3.3.1)": GOOD.replace("From:", "X:").encode(),
    "no call-id (3.3.1)": GOOD.replace("Call-ID:", "X:").encode(),
    "no cseq": GOOD.replace("CSeq:", "X:").encode(),
    "unknown version (3.1.2.16)": GOOD.replace("sip:b SIP/2.0", "x")
    .replace(" SIP/2.0\r\nVia", " SIP/7.0\r\nVia")
    .encode(),
    "huge cseq (3.1.2.4)": GOOD.replace("CSeq: 1 ", "CSeq: 36893488147419103232 ").encode(),
    "cseq of another method (3.1.2.17)": GOOD.replace("CSeq: 1 {method}", "CSeq: 1 NOTIFY").encode(),
    "negative length (3.1.2.3)": GOOD.replace("Content-Length: 0", "Content-Length: -999").encode(),
    "length beyond the end (3.1.2.2)": GOOD.replace("Content-Length: 0", "Content-Length: 9999").encode(),
    "unterminated quote (3.1.2.6)": GOOD.replace("From: <", 'From: "Mr. J. User <').encode(),
    "spaces in the uri (3.1.2.8)": GOOD.replace("sip:{user}@", "sip:{user}; lr@").encode(),
    "no scheme": GOOD.replace("sip:{user}@test.lan", "{user}").encode(),
    "unknown scheme (3.3.2)": GOOD.replace("sip:{user}@", "nobodyknows:{user}@").encode(),
    "empty user": GOOD.replace("sip:{user}@", "sip:@").encode(),
    "long uri": GOOD.replace("sip:{user}@", "sip:" + "u" * 9000 + "@").encode(),
    "many headers": GOOD.replace("Max-Forwards", "X-Y: z\r\n" * 2000 + "Max-Forwards").encode(),
    "many vias": GOOD.replace("From", "Via: SIP/2.0/UDP 127.0.0.1;branch=z9hG4bK2\r\n" * 400 + "From", 1).encode(),
    "double from (3.3.8)": GOOD.replace("To:", "From: <sip:x@y>;tag=2\r\nTo:").encode(),
    "folded lines": GOOD.replace("Max-Forwards: 70", "Max-Forwards:\r\n 70\r\n\t").encode(),
    "nul bytes": GOOD.replace("sip:a@", "sip:a\0\0@").encode(),
    "invalid utf-8": GOOD.replace("sip:a@", "sip:a@").encode().replace(b"<sip:a@", b'"\xff\xfe\xc0" <sip:\xff@', 1),
    "digest without values": GOOD.replace("Contact", "Authorization: Digest\r\nContact").encode(),
    "digest of garbage": GOOD.replace("Contact", 'Authorization: Digest username="\\",,,=="";;\r\nContact').encode(),
    "zero hops (RFC 3261 16.3)": GOOD.replace("Max-Forwards: 70", "Max-Forwards: 0").encode(),
    "hops of text": GOOD.replace("Max-Forwards: 70", "Max-Forwards: many").encode(),
    "reply to nothing": b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nCSeq: 1 INVITE\r\nCall-ID: x\r\n\r\n",
    "reply of code 9999": b"SIP/2.0 9999 OK\r\nVia: SIP/2.0/UDP 127.0.0.1\r\nCSeq: 1 INVITE\r\nCall-ID: x\r\n\r\n",
}


async def stands(edge: Edge) -> bool:
    """Another phone, from an address of its own, is served; nothing of the edge has died."""
    phone = await edge.phone("udp", "x", local_ip="127.0.0.9")
    for _ in range(3):
        phone.endpoint.send(phone.request("OPTIONS", f"sip:{DOMAIN}"))
        try:
            return (await phone.final(1.0)).code == 200
        except TimeoutError:
            continue
    return False


def bent_messages() -> dict[str, bytes]:
    made = {}
    for name, message in TORTURE.items():
        for method in ("INVITE", "REGISTER"):
            text = message.replace(b"{method}", method.encode()).replace(b"{user}", b"b")
            made[f"{name}, {method}"] = text.replace(b"{call_id}", f"{abs(hash((name, method)))}".encode())
    return made


@pytest.mark.parametrize("proto", ["udp", "tcp", "tls"])
async def test_no_message_breaks_the_edge(edge: Edge, proto: str) -> None:
    for n, message in enumerate(bent_messages().values()):
        endpoint = await edge.endpoint(proto, f"127.0.1.{n % 250 + 1}")
        endpoint.send(message)
    await asyncio.sleep(0.3)
    assert await stands(edge)


async def test_no_message_of_a_worker_breaks_the_edge(edge: Edge) -> None:
    for message in bent_messages().values():
        (await edge.worker()).send(message)
    await asyncio.sleep(0.2)
    assert await stands(edge)


async def test_cut_and_flipped_messages_do_not_break_the_edge(edge: Edge) -> None:
    chance = random.Random(4475)  # noqa: S311 - the same rubbish every time
    good = GOOD.format(method="INVITE", user="b", call_id="c").encode()
    for n in range(300):
        endpoint = await edge.endpoint("udp", f"127.0.2.{n % 250 + 1}")
        message = bytearray(good[: chance.randrange(1, len(good))] if n % 2 else good)
        for _ in range(chance.randrange(6)):
            message[chance.randrange(len(message))] = chance.randrange(256)
        endpoint.send(bytes(message))
    await asyncio.sleep(0.3)
    assert await stands(edge)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("huge cseq (3.1.2.4)", 400),
        ("cseq of another method (3.1.2.17)", 400),
        ("zero hops (RFC 3261 16.3)", 483),
        ("unknown scheme (3.3.2)", 400),
    ],
)
async def test_what_can_be_answered_is_answered(edge: Edge, name: str, code: int) -> None:
    endpoint = await edge.endpoint("udp")
    endpoint.send(bent_messages()[f"{name}, INVITE"].replace(b"127.0.0.1:5060", b"127.0.0.1:%d" % endpoint.local[1]))
    assert (await endpoint.receive()).code == code


async def test_who_sends_nothing_but_rubbish_is_banned(edge: Edge) -> None:
    endpoint = await edge.endpoint("udp")
    for n in range(20):
        endpoint.send(TORTURE["no from (3.3.1)"].replace(b"{method}", b"INVITE").replace(b"{call_id}", b"%d" % n))
        endpoint.send(TORTURE["noise"])
    await asyncio.sleep(0.3)
    [ban] = await edge.daemon.control.bans()
    assert (ban.source, ban.why) == (f"udp:127.0.0.1:{endpoint.local[1]}", "malformed")


async def test_text_that_json_cannot_carry_is_refused(edge: Edge) -> None:
    await edge.daemon.add("alice-k3f9", "alice")
    phone = await edge.phone("udp", "alice-k3f9")
    reply = await phone.authenticated("MESSAGE", f"sip:b%22%5C@{DOMAIN}", body='{"op":"ban"}"\\')
    assert reply.code == 404
    assert edge.daemon.asked[0].body == b'{"op":"ban"}"\\'
    assert edge.daemon.events == []
