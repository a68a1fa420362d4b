"""A phone of which every header can be seen: registers, is rung, calls, and shows how a call was ended.

It sends no audio (the other side hears nothing of it); baresip and SIPp do. Built on tests.peers.sipclient.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.peers.baresip import Login, Transport
from tests.peers.product import Product
from tests.peers.sipclient import Endpoint, Message, Phone, answer, credentials, parse

SDP_KIND = "Content-Type: application/sdp"


NOWHERE = 9
"""The port of "discard" (RFC 863), where nobody listens: what our SDP names."""
_SUITE = "AES_CM_128_HMAC_SHA1_80"
_KEY = "inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj"


def sdp(*, secure: bool, crypto_tag: str = "1", direction: str = "sendrecv") -> str:
    """PCMA and RFC 4733; with SDES keys where `secure`. An answer repeats the tag that it accepts (RFC 4568 5.1.2)."""
    lines = [
        "v=0",
        "o=- 1 1 IN IP4 127.0.0.1",
        "s=-",
        "c=IN IP4 127.0.0.1",
        "t=0 0",
        f"m=audio {NOWHERE} RTP/{'SAVP' if secure else 'AVP'} 8 101",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        f"a={direction}",
    ]
    if secure:
        lines.append(f"a=crypto:{crypto_tag} {_SUITE} {_KEY}")
    return "\r\n".join([*lines, ""])


@dataclass
class Invited:
    """An INVITE that this phone received."""

    request: Message
    tag: str

    @property
    def offered(self) -> str:
        """Its SDP."""
        return self.request.body.decode()


class RawPhone:
    """One device, deaf and mute."""

    def __init__(self, endpoint: Endpoint, login: Login) -> None:
        self.endpoint, self.login = endpoint, login
        self.secure = endpoint.proto == "tls"
        self.phone = self.fresh()

    def fresh(self) -> Phone:
        """The same device with a Call-ID and a tag that were never used."""
        login = self.login
        return Phone(self.endpoint, login.domain, login.user, login.auth_user or login.user, login.password)

    def sdp(self, **options: str) -> str:
        return sdp(secure=self.secure, **options)

    async def register(self, expires_s: int = 120) -> None:
        reply = await self.fresh().register(expires_s)
        assert reply.code == 200, reply.start

    # --- being called -------------------------------------------------------------------------------------------------

    async def request(self, method: str, timeout_s: float = 5.0) -> Message:
        """The next request of this method. OPTIONS are answered meanwhile, replies and the rest passed over."""
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.endpoint.receive(timeout_s)
                if not message.code and message.method == "OPTIONS":
                    self.endpoint.send(answer(message, 200, "OK"))
                elif not message.code and message.method == method:
                    return message

    async def invited(self, timeout_s: float = 5.0) -> Invited:
        return Invited(await self.request("INVITE", timeout_s), secrets.token_hex(4))

    def reply(self, invited: Invited, code: int, reason: str, *, body: str = "") -> None:
        contact = self.phone.contact_uri()
        self.endpoint.send(answer(invited.request, code, reason, contact=contact, tag=invited.tag, body=body))

    def accept(self, invited: Invited) -> None:
        tag = re.search(rf"a=crypto:(\d+) {_SUITE} ", invited.offered)
        self.reply(invited, 200, "OK", body=self.sdp(crypto_tag=tag[1] if tag else ""))

    async def ended(self, method: str = "BYE", timeout_s: float = 10.0) -> Message:
        """Waits for BYE or CANCEL, says yes to it, and gives it with all its headers."""
        message = await self.request(method, timeout_s)
        self.endpoint.send(answer(message, 200, "OK"))
        return message

    # --- calling ------------------------------------------------------------------------------------------------------

    async def challenge(self, phone: Phone, uri: str, **bent: str) -> str:
        """What the edge wants to be answered (the value of Proxy-Authenticate)."""
        self.endpoint.send(phone.request("INVITE", uri, headers=(SDP_KIND,), body=self.sdp(), **bent))  # type: ignore[arg-type]
        reply = await phone.final()
        assert reply.code == 407, reply.start
        self.endpoint.send(phone.ack(uri, reply))
        return reply["Proxy-Authenticate"]

    async def dial(self, user: str, **bent: str) -> Message:
        """Sends an INVITE that holds good credentials; gives it as it was sent. Replies are still to come."""
        phone = self.phone = self.fresh()
        uri = f"sip:{user}@{self.login.domain}"
        value = credentials(
            await self.challenge(phone, uri, **bent), phone.auth_user, self.login.password, "INVITE", uri
        )
        text = phone.request(
            "INVITE",
            uri,
            headers=(SDP_KIND, f"Proxy-Authorization: {value}"),
            body=self.sdp(),
            **bent,  # type: ignore[arg-type]
        )
        self.endpoint.send(text)
        return parse(text.encode())

    async def call(self, user: str, timeout_s: float = 10.0) -> Message:
        """Dials and gives the final reply; a 200 has been acknowledged."""
        sent = await self.dial(user)
        reply = await self.phone.final(timeout_s)
        if reply.code == 200:
            self.endpoint.send(self.sequel("ACK", reply))
        else:
            self.endpoint.send(self.phone.ack(sent.uri, reply))
        return reply

    def sequel(self, method: str, ok: Message, *, headers: tuple[str, ...] = (), body: str = "") -> str:
        """A request inside the dialog that the 200 to our INVITE has made."""
        routes = tuple(f"Route: {route}" for route in reversed(ok.all("Record-Route")))
        cseq = int(ok["CSeq"].split()[0]) if method == "ACK" else None
        target = ok["Contact"].strip("<>")
        return self.phone.request(method, target, to=ok["To"], headers=(*routes, *headers), cseq=cseq, body=body)

    async def hang_up(self, ok: Message) -> None:
        self.endpoint.send(self.sequel("BYE", ok))
        reply = await self.phone.final()
        assert reply.code == 200, reply.start


@asynccontextmanager
async def raw_phone(
    product: Product, account: str | Login, transport: Transport = "udp", *, address: str = "127.0.0.1"
) -> AsyncIterator[RawPhone]:
    """A device of this account (a new one, or this login), from this loopback address."""
    login = product.login(account) if isinstance(account, str) else account
    host, _, port = product.server(transport).rpartition(":")
    endpoint = await Endpoint.connect(transport, (host, int(port)), (address, 0))
    try:
        yield RawPhone(endpoint, login)
    finally:
        endpoint.close()
