"""Real receivers on loopback: a mail relay (aiosmtpd), a webhook (aiohttp, with TLS), a syslog."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from server.tls import new_authority, new_server


@dataclass(frozen=True)
class Trust:
    """A private authority and a server's certificate for 127.0.0.1."""

    ca: Path
    context: ssl.SSLContext


def trust(place: Path, name: str = "127.0.0.1") -> Trust:
    now = datetime.datetime.now(datetime.UTC)
    authority = new_authority("test", now)
    pair = new_server(authority, (name,), now)
    ca, certificate, key = place / "ca.pem", place / "server.pem", place / "server.key"
    ca.write_bytes(authority.certificate)
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return Trust(ca, context)


@dataclass
class Post:
    """One request to the webhook."""

    headers: dict[str, str]
    body: bytes


@dataclass
class Hook:
    """A webhook. `status`: what it answers; `location`: where it sends on to."""

    url: str = ""
    status: int = 204
    location: str = ""
    posts: list[Post] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    hang: bool = False

    async def handle(self, request: web.Request) -> web.Response:
        self.posts.append(Post(dict(request.headers), await request.read()))
        self.arrived.set()
        if self.hang:
            await asyncio.Event().wait()
        return web.Response(status=self.status, headers={"Location": self.location} if self.location else None)

    async def elsewhere(self, request: web.Request) -> web.Response:
        self.others.append(request.path)
        return web.Response()


@asynccontextmanager
async def webhook(tls: Trust | None = None) -> AsyncIterator[Hook]:
    hook = Hook()
    app = web.Application()
    app.router.add_post("/alerts", hook.handle)
    app.router.add_route("*", "/{rest:.*}", hook.elsewhere)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context if tls else None)
    await site.start()
    port = runner.addresses[0][1]
    hook.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}/alerts"
    try:
        yield hook
    finally:
        await runner.cleanup()


@dataclass
class Mailbox:
    """What a relay has taken: sender, recipients, message."""

    place: str = ""
    mails: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refuse: set[str] = field(default_factory=set)
    over_tls: list[bool] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.content
        assert isinstance(content, bytes)
        parsed: Any = message_from_bytes(content, policy=policy.default)
        self.mails.append((envelope.mail_from or "", list(envelope.rcpt_tos), parsed))
        self.over_tls.append(session.ssl is not None)
        return "250 OK"

    def login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        if isinstance(data, LoginPassword):
            self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=self.logins[-1:] == [("beffroi", "relay word")])


@asynccontextmanager
async def relay(tls: Trust | None = None, *, login: bool = False) -> AsyncIterator[Mailbox]:
    """With `tls` it offers STARTTLS and takes mail over it alone."""
    box = Mailbox()
    options: dict[str, Any] = {"tls_context": tls.context, "require_starttls": True} if tls else {}
    if login:
        options |= {"authenticator": box.login, "auth_required": True}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=port, **options)
    await asyncio.to_thread(controller.start)
    box.place = f"127.0.0.1:{port}"
    try:
        yield box
    finally:
        await asyncio.to_thread(controller.stop)


@asynccontextmanager
async def syslog(kind: str, place: Path) -> AsyncIterator[tuple[str, socket.socket]]:
    """(what to configure, the listening socket) of a syslog by "unix", "udp" or "tcp"."""
    family = socket.AF_UNIX if kind == "unix" else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    listener.settimeout(20)
    path = place / "log"
    listener.bind(str(path) if kind == "unix" else ("127.0.0.1", 0))
    if kind == "tcp":
        listener.listen()
    with listener:
        yield (f"unix:{path}" if kind == "unix" else f"{kind}://127.0.0.1:{listener.getsockname()[1]}"), listener
