"""The ways out: log, syslog, mail, webhook. Each sends one notice to the one place that the configuration names.

What cannot be sent raises NotSent, with a reason that names no secret and no recipient. Nothing follows a redirection,
nothing waits longer than TIMEOUT_S, and a certificate that does not hold ends it.
"""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from typing import Protocol
from urllib.parse import urlsplit

from config.alert_section import Alerts
from config.paths import Paths
from config.settings import Settings
from server import signed_posts
from server.alerting import notices
from server.alerting.notices import Notice
from server.signed_posts import TIMEOUT_S, NotTaken, Place
from sms.mail import relay
from sms.mail.aside import aside

log = logging.getLogger(__name__)

PATIENCE = 3  # times that, for a talk of several steps
MAIL_SECRET, WEBHOOK_SECRET = "mail.password", "webhook.secret"  # noqa: S105 - their names


class NotSent(Exception):
    """It was not taken; it is tried again."""


class Channel(Protocol):
    """One way out."""

    async def send(self, one: Notice, now: datetime) -> None:
        """Raises NotSent."""


def configured(chosen: Alerts) -> tuple[str, ...]:
    """Names of the channels that the configuration opens; the log always."""
    more = {"syslog": chosen.syslog, "mail": chosen.mail_relay, "webhook": chosen.webhook}
    return ("log", *(name for name, place in more.items() if place))


class Channels:
    """All of them, by the settings that hold now."""

    def __init__(self, settings: Callable[[], Settings], paths: Paths) -> None:
        self._settings, self._paths = settings, paths

    async def send(self, name: str, one: Notice, now: datetime) -> None:
        """By one channel; one that is not configured any more counts as done. Raises NotSent."""
        chosen = self._settings().alerts
        if name not in configured(chosen):
            return
        match name:
            case "log":
                _log(one)
            case "syslog":
                await _aside(functools.partial(_syslog, chosen.syslog, notices.syslog(one, now)))
            case "mail":
                await self._mail(chosen, one)
            case "webhook":
                await self._webhook(chosen, one, now)

    async def _mail(self, chosen: Alerts, one: Notice) -> None:
        recipients = sorted({address for role in one.tell for address in chosen.mail_to.get(role, ())})  # type: ignore[call-overload]
        if not recipients:
            return  # nobody of these roles is to be written to
        access = await mail_access(self._settings(), self._paths)
        message = notices.mail(one, chosen.mail_from, recipients)
        await _aside(functools.partial(_mail, access, chosen.mail_from, message, recipients))

    async def _webhook(self, chosen: Alerts, one: Notice, now: datetime) -> None:
        place = Place(chosen.webhook, WEBHOOK_SECRET, chosen.ca_file)
        try:
            means = await signed_posts.means(self._settings(), self._paths, place)
            async with signed_posts.session() as session:
                await signed_posts.post(session, place, means, notices.webhook(one), now)
        except NotTaken as why:
            raise NotSent(f"the webhook: {why}") from None


def _log(one: Notice) -> None:
    level = {"critical": logging.CRITICAL, "warning": logging.WARNING}.get(one.severity, logging.INFO)
    log.log(level, "%s", notices.line(one))


async def _aside(work: Callable[[], None]) -> None:
    """Raises NotSent, and what `work` raises."""
    try:
        await aside(work, PATIENCE * TIMEOUT_S, "alert")
    except TimeoutError:
        raise NotSent("no answer in time") from None


def _syslog(place: str, message: bytes) -> None:
    """RFC 5426 over UDP, RFC 6587 section 3.4.1 over TCP. Raises NotSent."""
    try:
        if place.startswith("unix:"):
            _to_unix(place.removeprefix("unix:"), message)
            return
        parts = urlsplit(place)
        host, port = parts.hostname or "", parts.port or 514
        if parts.scheme == "tcp":
            with socket.create_connection((host, port), timeout=TIMEOUT_S) as connection:
                connection.sendall(b"%d %s" % (len(message), message))
            return
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind, protocol) as sender:
            sender.sendto(message, address)
    except (OSError, ValueError) as error:
        raise NotSent(f"syslog: {type(error).__name__}") from None


def _to_unix(path: str, message: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(TIMEOUT_S)
        sender.sendto(message, path)


async def mail_access(settings: Settings, paths: Paths) -> relay.Access:
    """The company's relay, with its password where it wants one, which is read in a thread. Raises NotSent."""
    chosen = settings.alerts
    password = b""
    if chosen.mail_user:
        try:
            password = await aside(functools.partial(_secret, settings, paths, MAIL_SECRET), TIMEOUT_S, "alert")
        except TimeoutError:
            raise NotSent(f"secret {MAIL_SECRET}: no answer in time") from None
    return relay.Access(
        chosen.mail_relay, chosen.mail_tls, chosen.mail_user, password.decode(), chosen.ca_file, timeout_s=TIMEOUT_S
    )


def _secret(settings: Settings, paths: Paths, name: str) -> bytes:
    """Raises NotSent."""
    try:
        return signed_posts.secret(settings, paths, name)
    except NotTaken as why:
        raise NotSent(str(why)) from None


def _mail(access: relay.Access, mail_from: str, message: EmailMessage, recipients: list[str]) -> None:
    """In a thread. Raises NotSent."""
    handed = relay.hand_over(access, message, mail_from, recipients)
    if handed.outcome is not relay.Outcome.SENT:
        raise NotSent(f"the mail relay: {handed.why}")
    if handed.refused:  # the others have it; once more would give it to them twice
        log.warning("the mail relay refused %d of %d recipients of an alert", len(handed.refused), len(recipients))
