"""Out through the company's relay: one mail, and what became of it. All mail that leaves goes this way.

Nothing goes in clear where TLS is asked for, and a certificate that does not hold ends it.
"""

from __future__ import annotations

import contextlib
import enum
import re
import smtplib
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.message import Message
from email.policy import SMTP
from typing import Literal

from sms.mail.aside import aside

PATIENCE = 3  # times the timeout, for a talk of several steps
_DOT = re.compile(rb"(?m)^\.")


@dataclass(frozen=True, slots=True)
class Access:
    """`place`: host:port. `tls`: by STARTTLS, from the first byte, or none. `timeout_s`: for one step.

    `ca_file`: certificates (PEM) that vouch for it; empty: those that this machine trusts.
    """

    place: str
    tls: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    timeout_s: float = 10.0


class Outcome(enum.StrEnum):
    SENT = "sent"
    TEMPORARY = "temporary"  # the relay has not taken it: again later
    PERMANENT = "permanent"  # it never will
    UNKNOWN = "unknown"  # all was said, and no answer came: it may have it


@dataclass(frozen=True, slots=True)
class Handed:
    """`refused`: recipients of a mail that the others have. `why`: without an address, and not in the relay's words."""

    outcome: Outcome
    why: str = ""
    refused: tuple[str, ...] = field(default=(), repr=False)


class _Moment:
    """The instant after which nobody knows: the thread passes it, or whoever waits has given up before."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._passed = self._given_up = False

    def pass_(self) -> bool:
        with self._lock:
            self._passed = not self._given_up
            return self._passed

    def give_up(self) -> bool:
        """Whether it had been passed."""
        with self._lock:
            self._given_up = True
            return self._passed


async def send(access: Access, message: Message, mail_from: str, recipients: Sequence[str]) -> Handed:
    """Hand it over. `mail_from` "": the null sender of RFC 5321 section 4.5.5. Raises nothing."""
    moment = _Moment()
    try:
        return await aside(
            lambda: hand_over(access, message, mail_from, recipients, moment), PATIENCE * access.timeout_s, "mail"
        )
    except TimeoutError:
        return Handed(Outcome.UNKNOWN if moment.give_up() else Outcome.TEMPORARY, "no answer in time")


def hand_over(
    access: Access, message: Message, mail_from: str, recipients: Sequence[str], moment: _Moment | None = None
) -> Handed:
    """As `send`, in the thread that it is called in."""
    moment = moment or _Moment()
    try:
        relay = _connected(access)
        try:
            if access.user:
                relay.login(access.user, access.password)
            return _talk(relay, message, mail_from, recipients, moment)
        finally:  # whatever comes of the goodbye, what was answered before it holds
            with contextlib.suppress(smtplib.SMTPException, OSError):
                relay.docmd("QUIT")
            relay.close()
    except UnicodeError:
        return Handed(Outcome.PERMANENT, "an address beyond ASCII")
    except (smtplib.SMTPException, OSError, ValueError) as error:
        # Its own text repeats addresses and what the relay said.
        return Handed(Outcome.UNKNOWN if moment.give_up() else Outcome.TEMPORARY, type(error).__name__)


def _talk(relay: smtplib.SMTP, message: Message, mail_from: str, recipients: Sequence[str], moment: _Moment) -> Handed:
    relay.ehlo_or_helo_if_needed()
    raw = message.as_bytes(policy=SMTP)
    code, _ = relay.mail(mail_from)
    if code != 250:
        return _by(code, "MAIL")
    codes = {recipient: relay.rcpt(recipient)[0] for recipient in recipients}
    refused = tuple(recipient for recipient, code in codes.items() if code not in (250, 251))
    if len(refused) == len(codes):
        return _by(min(codes.values(), default=550), "RCPT", refused)
    code, _ = relay.docmd("DATA")
    if code != 354:
        return _by(code, "DATA")
    if not moment.pass_():
        raise TimeoutError
    relay.send(_DOT.sub(b"..", raw if raw.endswith(b"\r\n") else raw + b"\r\n") + b".\r\n")
    code, _ = relay.getreply()
    if code == 250:
        return Handed(Outcome.SENT, "", refused)
    if code < 400:
        return Handed(Outcome.UNKNOWN, f"DATA {code}")
    return _by(code, "end of DATA")


def _by(code: int, step: str, refused: tuple[str, ...] = ()) -> Handed:
    """A refusal. -1 is smtplib's word for an answer that is none."""
    return Handed(Outcome.PERMANENT if code >= 500 else Outcome.TEMPORARY, f"{step} {code}", refused)


def _connected(access: Access) -> smtplib.SMTP:
    host, _, port = access.place.rpartition(":")
    host = host.strip("[]")
    if access.tls == "tls":
        return smtplib.SMTP_SSL(host, int(port), timeout=access.timeout_s, context=_trust(access.ca_file))
    relay = smtplib.SMTP(host, int(port), timeout=access.timeout_s)
    if access.tls == "starttls":
        try:
            relay.starttls(context=_trust(access.ca_file))  # raises where the relay has none: nothing goes in clear
        except BaseException:
            relay.close()
            raise
    return relay


def _trust(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)
