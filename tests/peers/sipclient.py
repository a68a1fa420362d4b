"""A small SIP peer for tests: it sends what it is told to, well-formed or not, and shows what came back.

Not a phone: it keeps no dialog by itself. `Phone` knows digest (RFC 7616, MD5, qop=auth); `Endpoint` only moves
messages over UDP, TCP or TLS.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Message:
    """One SIP message as received."""

    start: str
    headers: list[tuple[str, str]]
    body: bytes = b""

    @property
    def code(self) -> int:
        """Status of a reply, 0 for a request."""
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0 ") else 0

    @property
    def method(self) -> str:
        """Method of a request, of the CSeq for a reply."""
        return self["CSeq"].split()[1] if self.code else self.start.split()[0]

    @property
    def uri(self) -> str:
        return self.start.split()[1]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def __getitem__(self, name: str) -> str:
        return next(iter(self.all(name)), "")

    def text(self) -> str:
        return "\r\n".join(
            [self.start, *(f"{k}: {v}" for k, v in self.headers), "", self.body.decode("utf-8", "replace")]
        )


def parse(data: bytes) -> Message:
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "replace").split("\r\n")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:])]
    return Message(lines[0], headers, body)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, inbox: asyncio.Queue[Message]) -> None:
        self.inbox = inbox

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if data.strip():
            self.inbox.put_nowait(parse(data))

    def error_received(self, exc: Exception) -> None:
        pass


class Endpoint:
    """One transport to the edge."""

    def __init__(self, proto: str) -> None:
        self.proto = proto
        self.inbox: asyncio.Queue[Message] = asyncio.Queue()
        self.local = ("", 0)
        self.closed = asyncio.Event()
        self._send: Callable[[bytes], None] = lambda data: None
        self._close: Callable[[], None] = lambda: None
        self._reader_task: asyncio.Task[None] | None = None

    @classmethod
    async def connect(cls, proto: str, server: tuple[str, int], local: tuple[str, int] = ("127.0.0.1", 0)) -> Endpoint:
        self = cls(proto)
        if proto == "udp":
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(self.inbox), local_addr=local)
            self._send = lambda data: transport.sendto(data, server)
            self._close = transport.close
            self.local = transport.get_extra_info("sockname")[:2]
            return self
        context = None
        if proto == "tls":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        reader, writer = await asyncio.open_connection(*server, ssl=context, local_addr=local)
        self._send = writer.write
        self._close = writer.transport.abort
        self.local = writer.get_extra_info("sockname")[:2]
        self._reader_task = asyncio.get_running_loop().create_task(self._read(reader))  # noqa: TID251
        return self

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lstrip()
                if not head:
                    continue
                length = re.search(rb"^(?:content-length|l)\s*:\s*(\d+)", head, re.I | re.M)
                body = await reader.readexactly(int(length[1])) if length else b""
                self.inbox.put_nowait(parse(head + body))
        except (asyncio.IncompleteReadError, OSError):
            self.closed.set()

    def send(self, data: str | bytes) -> None:
        self._send(data.encode() if isinstance(data, str) else data)

    async def receive(self, timeout_s: float = 3.0) -> Message:
        async with asyncio.timeout(timeout_s):
            return await self.inbox.get()

    async def silent(self, for_s: float = 0.4) -> bool:
        """True when nothing arrives for so long."""
        try:
            await self.receive(for_s)
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        self._close()
        if self._reader_task is not None:
            self._reader_task.cancel()


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - what SIP digest is made of


def ha1(user: str, realm: str, password: str) -> str:
    return md5(f"{user}:{realm}:{password}")


def credentials(challenge: str, user: str, password: str, method: str, uri: str, nc: int = 1) -> str:
    """The value of Authorization for this challenge (RFC 7616 section 3.4)."""
    values = dict(re.findall(r'(\w+)="?([^",]+)"?', challenge))
    cnonce, count = secrets.token_hex(4), f"{nc:08x}"
    secret = ha1(user, values["realm"], password)
    response = md5(f"{secret}:{values['nonce']}:{count}:{cnonce}:auth:{md5(f'{method}:{uri}')}")
    return (
        f'Digest username="{user}", realm="{values["realm"]}", nonce="{values["nonce"]}", uri="{uri}", '
        f'response="{response}", algorithm=MD5, cnonce="{cnonce}", qop=auth, nc={count}'
        + (f', opaque="{values["opaque"]}"' if "opaque" in values else "")
    )


@dataclass
class Phone:
    """Signs on and sends requests as a device. Fields may be bent at will between requests."""

    endpoint: Endpoint
    domain: str
    user: str  # what stands in From, To and Contact
    auth_user: str
    password: str
    contact: str = ""  # "" is where the endpoint really is
    cseq: int = 0
    call_id: str = field(default_factory=lambda: secrets.token_hex(8))
    tag: str = field(default_factory=lambda: secrets.token_hex(4))

    def contact_uri(self) -> str:
        host, port = self.endpoint.local
        return self.contact or f"sip:{self.user}@{host}:{port};transport={self.endpoint.proto}"

    def request(
        self,
        method: str,
        uri: str,
        *,
        to: str = "",
        headers: tuple[str, ...] = (),
        body: str = "",
        cseq: int | None = None,
        branch: str = "",
        call_id: str = "",
        from_uri: str = "",
        top: tuple[str, ...] = (),
    ) -> str:
        """The text of one request. `headers` are whole lines, `top` go before From."""
        if cseq is None:
            self.cseq += 1
            cseq = self.cseq
        host, port = self.endpoint.local
        payload = body.encode()
        branch = branch or "z9hG4bK" + secrets.token_hex(8)
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/{self.endpoint.proto.upper()} {host}:{port};branch={branch};rport",
            *top,
            f"From: <{from_uri or f'sip:{self.user}@{self.domain}'}>;tag={self.tag}",
            f"To: {to or f'<{uri}>'}",
            f"Call-ID: {call_id or self.call_id}",
            f"CSeq: {cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <{self.contact_uri()}>",
            *headers,
            f"Content-Length: {len(payload)}",
            "",
            body,
        ]
        return "\r\n".join(lines)

    async def final(self, timeout_s: float = 6.0) -> Message:
        """The next final reply."""
        while True:
            message = await self.endpoint.receive(timeout_s)
            if message.code >= 200:
                return message

    async def authenticated(self, method: str, uri: str, *, headers: tuple[str, ...] = (), **bent: object) -> Message:
        """Sends, answers the challenge, returns the final reply to the second request."""
        self.endpoint.send(self.request(method, uri, headers=headers, **bent))  # type: ignore[arg-type]
        reply = await self.final()
        if reply.code not in (401, 407):
            return reply
        if method == "INVITE":
            self.endpoint.send(self.ack(uri, reply))
        name = "WWW-Authenticate" if reply.code == 401 else "Proxy-Authenticate"
        answer = "Authorization" if reply.code == 401 else "Proxy-Authorization"
        value = credentials(reply[name], self.auth_user, self.password, method, uri)
        self.endpoint.send(self.request(method, uri, headers=(*headers, f"{answer}: {value}"), **bent))  # type: ignore[arg-type]
        return await self.final()

    def ack(self, uri: str, reply: Message) -> str:
        """ACK to a final reply that is no 2xx: same branch (RFC 3261 section 17.1.1.3)."""
        return "\r\n".join(
            [
                f"ACK {uri} SIP/2.0",
                f"Via: {reply['Via']}",
                f"From: {reply['From']}",
                f"To: {reply['To']}",
                f"Call-ID: {reply['Call-ID']}",
                f"CSeq: {reply['CSeq'].split()[0]} ACK",
                "Max-Forwards: 70",
                "Content-Length: 0",
                "",
                "",
            ]
        )

    async def register(self, expires_s: int = 120, to_user: str = "") -> Message:
        uri = f"sip:{self.domain}"
        to = f"<sip:{to_user or self.user}@{self.domain}>"
        return await self.authenticated("REGISTER", uri, to=to, headers=(f"Expires: {expires_s}",))


def answer(request: Message, code: int, reason: str, *, contact: str = "", tag: str = "", body: str = "") -> str:
    """A reply to a received request."""
    to = (
        request["To"]
        if ";tag=" in request["To"] or code == 100
        else f"{request['To']};tag={tag or 'uas' + secrets.token_hex(3)}"
    )
    lines = [f"SIP/2.0 {code} {reason}", *(f"Via: {via}" for via in request.all("Via"))]
    lines += [f"Record-Route: {route}" for route in request.all("Record-Route")]
    lines += [f"From: {request['From']}", f"To: {to}", f"Call-ID: {request['Call-ID']}", f"CSeq: {request['CSeq']}"]
    if contact:
        lines.append(f"Contact: <{contact}>")
    if body:
        lines.append("Content-Type: application/sdp")
    return "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", body])
