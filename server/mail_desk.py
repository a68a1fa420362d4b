"""The mail listener of the daemon: who may order texts by mail, and where an order goes."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
import time

from config.paths import Paths
from config.settings import Settings
from server.failure import Failure
from server.services import mail_logins
from server.services.context import Services
from server.services.failures import told
from server.text_entry import hand_in, may_go
from sms.mail import gate
from sms.mail.allowance import Rate
from sms.mail.answers import Order, Rejection
from sms.mail.bans import BanRule, Bans
from sms.mail.desk import Relay, Sender
from sms.mail.gate import Gate, GateSettings
from sms.mail.reading import Bounds
from sms.text import segments
from sms.text.segments import TooLongError
from storage import accounts
from storage import mail_logins as logins
from storage.accounts import Account
from storage.mail_orders import Ordered

log = logging.getLogger(__name__)

AGAIN = Rejection(451, "4.3.0", "not taken, try again later")
_NO_SUCH = Rejection(550, "5.1.1", "no text can go there: write a number with its country before the @")


class MailDesk:
    """Fills ``sms.mail.desk.Desk``; `run` listens."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._bans = Bans(BanRule())
        self._gate: Gate | None = None
        self.forgeries = 0  # for the metrics and the alert

    @property
    def port(self) -> int:
        """Where it listens; 0 while it does not."""
        return 0 if self._gate is None else self._gate.port

    async def run(self) -> None:
        """Until cancelled. Raises OSError where the address cannot be had."""
        settings = self._services.settings
        context = _tls(self._services.paths)
        async with gate.serve(gate_settings(settings), self, context) as opened:
            self._gate = opened
            log.info("texts are taken by mail on port %d", opened.port)
            try:
                await asyncio.Event().wait()
            finally:
                self._gate = None

    def counters(self) -> dict[str, float]:
        counts = {} if self._gate is None else self._gate.counts
        return {
            **{f"mail_{name.replace(' ', '_')}": float(n) for name, n in counts.items()},
            "mail_forged": float(self.forgeries),
        }

    # --- what the listener asks -----------------------------------------------------------------------------------

    def is_banned(self, peer: str) -> bool:
        return self._bans.is_banned(peer, time.monotonic())

    def wrong_password(self, peer: str) -> None:
        self._bans.wrong(peer, time.monotonic())

    def forged(self, sender: Sender | None, peer: str) -> None:
        """Refused already; counted here, and told by the alert."""
        self.forgeries += 1
        log.warning("a mail with somebody else's sender was refused (login %s)", sender.id if sender else "of a relay")

    async def authenticate(self, login: str, password: str, peer: str) -> Sender | None:
        found = await mail_logins.authenticate(self._services, login, password)
        if found is not None:
            self._bans.right(peer)
        return found

    async def relayed(self, relay: str, mail_from: str) -> Sender | None:
        return await mail_logins.relayed(self._services, mail_from)

    async def may_send_as(self, sender: Sender, address: str) -> bool:
        return await mail_logins.may_send_as(self._services, sender, address)

    async def recipient(self, sender: Sender, number: str) -> Rejection | None:
        try:
            with told():
                await may_go(self._services, await self._account(sender), number)
        except Failure as failure:
            return _rejection(failure)
        return None

    async def accept(self, order: Order) -> Rejection | None:
        account, taken = await self._account(Sender(order.sender_id)), 0
        try:
            with told():
                for number in order.recipients:
                    await may_go(self._services, account, number)
                for number in order.recipients:
                    ordered = Ordered(order.sender_id, order.mail_from, order.message_id, number)
                    await hand_in(self._services, account, number, order.text, order.key(number), ordered=ordered)
                    taken += 1
        except Failure as failure:
            refused = _rejection(failure)
            if taken and refused.permanent:  # somebody said STOP just now: who sends it to all again sends it twice
                words = f"{taken} of {len(order.recipients)} have it and are not to get it again: {refused.words}"
                return Rejection(refused.code, refused.status, words)
            return refused
        return None

    async def _account(self, sender: Sender) -> Account:
        async with self._services.db.read() as tx:
            return await accounts.get(tx, (await logins.get(tx, sender.id)).account_id)


def gate_settings(settings: Settings) -> GateSettings:
    """Raises ValueError where something lies out of bounds."""
    chosen = settings.mail
    host, _, port = chosen.listen.rpartition(":")
    return GateSettings(
        host=host.strip("[]"),
        port=int(port),
        hostname=chosen.hostname or chosen.domain,
        domain=chosen.domain,
        bounds=Bounds(settings.sms.max_parts, _parts),
        relays=tuple(
            Relay(f"relay {number}", (ipaddress.ip_network(text),), tls=not ipaddress.ip_network(text).is_loopback)
            for number, text in enumerate(chosen.relays, 1)
        ),
        rate=Rate(chosen.burst, chosen.every_s),
    )


def _parts(text: str) -> int:
    try:
        return len(segments.plan(text, limit=segments.PARTS_MAX).parts)
    except TooLongError as error:
        return error.parts


def _rejection(failure: Failure) -> Rejection:
    """In ASCII, and without a number or a name: such lines end in other people's logs."""
    if failure.code in ("unavailable", "full", "failed"):
        return AGAIN
    if failure.code == "invalid":
        return _NO_SUCH
    words = failure.what.encode("ascii", errors="replace").decode()
    return Rejection(550, "5.7.1", words[:200])


def _tls(paths: Paths) -> ssl.SSLContext:
    """The certificate that phones see. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(paths.tls_certificate, paths.tls_key)
    return context
