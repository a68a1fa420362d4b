"""One SMTP connection (RFC 5321), on aiosmtpd: what this adds is bounds, silence in the logs, and a check of the
password that does not hold up the loop.

aiosmtpd writes every line that it reads or writes into the log `mail.log`, addresses and texts among them: it is shut.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import ssl
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from sms.mail.desk import Sender
from sms.mail.talk import Talk

if TYPE_CHECKING:
    from sms.mail.gate import House

log = logging.getLogger(__name__)
logging.getLogger("mail.log").addFilter(lambda _: False)

CLOSING_S = 2.0  # for the last words to go out
WRONG_MAX = 3  # passwords in one connection
_LOGIN_CHARS, _PASSWORD_CHARS = 64, 256
_AUTH = re.compile(r"(?i)[ \t]+AUTH=\S+")
_CALLS = {"*": 20, "NOOP": 50, "RSET": 200, "MAIL": 200, "DATA": 200, "RCPT": 1000}
TOO_BUSY = "421 4.7.0 too many connections: try again later"
BANNED = "554 5.7.1 not from there, for a while"


class Connection(SMTP):
    """From the greeting to the end."""

    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"

    def __init__(self, house: House, tls: ssl.SSLContext) -> None:
        loop = asyncio.get_running_loop()
        self._house = house
        self._talk = Talk(house)
        self._entered = False
        self._bytes = self._wrong = 0
        self._ends: asyncio.TimerHandle | None = None
        super().__init__(
            self._talk,
            loop=loop,
            hostname=house.settings.hostname,
            ident="ready",
            tls_context=tls,
            require_starttls=True,
            auth_required=True,
            authenticator=lambda server, session, envelope, mechanism, data: AuthResult(
                success=False, handled=True, auth_data=data
            ),
            data_size_limit=house.settings.max_bytes,
            enable_SMTPUTF8=True,
            timeout=house.settings.timeout_s,
            command_call_limit=dict(_CALLS),
        )

    @property
    def task(self) -> asyncio.Task[None] | None:
        return self._handler_coroutine

    # --- its life -----------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._original_transport is not None:
            super().connection_made(transport)  # STARTTLS: all that was said before counts no more
            return
        assert isinstance(transport, asyncio.Transport)
        peer = address_of(transport)
        if self._house.desk.is_banned(peer) or not self._house.places.enter(peer):
            self._house.counts["turned away"] += 1
            transport.write((BANNED if self._house.desk.is_banned(peer) else TOO_BUSY).encode() + b"\r\n")
            transport.close()
            return
        self._entered = True
        relay = self._house.settings.relay_at(peer)
        self._talk.meet(peer, relay)
        self._auth_required = relay is None
        self.require_starttls = relay is None or relay.tls
        self._ends = self.loop.call_later(self._house.settings.lifetime_s, self._timeout_cb)
        super().connection_made(transport)
        self._house.open.add(self)
        task = self._handler_coroutine
        assert task is not None
        task.add_done_callback(lambda done: done.cancelled() or done.exception())  # a peer that is gone is no news

    def connection_lost(self, error: Exception | None) -> None:
        if not self._entered:
            return
        self._entered = False
        if self._ends is not None:
            self._ends.cancel()
        self._house.open.discard(self)
        self._house.places.leave(self._talk.peer)
        super().connection_lost(error)

    def eof_received(self) -> bool | None:
        return super().eof_received() if self._entered else False

    def data_received(self, data: bytes) -> None:
        if not self._entered:
            return
        self._bytes += len(data)
        if self._bytes > 2 * self._house.settings.max_bytes + 65536:
            # Whoever goes on after the limit is not read to the end.
            self.farewell("552 5.3.4 too large")
            return
        super().data_received(data)

    def farewell(self, line: str) -> None:
        """Last words; then it closes, whether they are read or not."""
        transport: Any = self.transport
        if transport is None:
            return
        if transport.is_closing():
            self.abort()
            return
        transport.write(line.encode() + b"\r\n")
        transport.close()
        self._reset_timeout(CLOSING_S)

    def leave(self) -> None:
        """The daemon ends: at once where nothing goes on, else when the mail that is being taken is answered."""
        self._talk.leaving = True
        if not self._talk.busy:
            self.farewell("421 4.3.2 this server ends: try again later")

    def abort(self) -> None:
        """The socket itself: a TLS transport that is closing answers to nothing any more, and one whose handshake has
        not ended tells nobody that it is lost."""
        transport: Any = self._original_transport or self.transport
        if transport is not None:
            transport.abort()
            self.loop.call_soon(self.connection_lost, None)

    def _timeout_cb(self) -> None:
        self.farewell("421 4.4.2 too slow")

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802 - aiosmtpd's name
        self._bytes = 0
        if arg is not None:  # RFC 4954 section 5: AUTH= has to be taken, and says nothing that we would trust
            address, end, rest = arg.partition(">")
            arg = address + end + _AUTH.sub("", rest)
        await super().smtp_MAIL(arg)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        self._talk.busy = True
        try:
            await super().smtp_DATA(arg)
        finally:
            self._talk.busy = False
            if self._talk.leaving:
                self.leave()

    # --- who it is ----------------------------------------------------------------------------------------------------

    async def auth_PLAIN(self, _: Any, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._proven(await super().auth_PLAIN(_, args))

    async def auth_LOGIN(self, _: Any, args: list[str]) -> AuthResult:  # noqa: N802
        return await self._proven(await super().auth_LOGIN(_, args))

    async def _proven(self, given: AuthResult) -> AuthResult:
        data = given.auth_data
        if not isinstance(data, LoginPassword):
            return given  # it has been answered
        try:
            found = await self._house.asked(lambda: self._check(data))
        except Exception as failure:  # whatever it is, the client tries again
            log.warning("a login could not be checked: %s", type(failure).__name__)
            return AuthResult(success=False, handled=False, message="454 4.7.0 try again later")
        if found is not None:
            return AuthResult(success=True, auth_data=found)
        self._house.counts["wrong password"] += 1
        self._house.desk.wrong_password(self._talk.peer)
        self._wrong += 1
        if self._wrong >= WRONG_MAX:
            self.loop.call_soon(self.farewell, "421 4.7.0 too many wrong passwords")
        return AuthResult(success=False, handled=False, message="535 5.7.8 wrong user or password")

    async def _check(self, data: LoginPassword) -> Sender | None:
        try:
            login, password = data.login.decode(), data.password.decode()
        except UnicodeDecodeError:
            return None
        if not 0 < len(login) <= _LOGIN_CHARS or not 0 < len(password) <= _PASSWORD_CHARS:
            return None
        async with self._house.proving:
            return await self._house.desk.authenticate(login, password, self._talk.peer)


def address_of(transport: asyncio.BaseTransport) -> str:
    """Of the other side; an IPv4 address within IPv6 as what it is."""
    name = transport.get_extra_info("peername") or ("0.0.0.0", 0)  # noqa: S104 - it is gone already
    address = ipaddress.ip_address(str(name[0]).partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
