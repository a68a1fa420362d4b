"""The section of the configuration file that says where alerts go: to nobody whom it does not name."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from config.sections import Section, wrong

_MAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])"
_RELAY = re.compile(rf"({_HOST}):([0-9]{{1,5}})")
_SYSLOG = re.compile(rf"unix:/.{{1,100}}|(?:udp|tcp)://{_HOST}:[0-9]{{1,5}}")


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_mail(text: str) -> bool:
    """Whether this is one mail address, of letters that every server knows."""
    return _MAIL.fullmatch(text) is not None


def _mail(text: str) -> str:
    if not is_mail(text):
        raise wrong("is not a mail address", "write one address, such as alerts@example.org")
    return text


def _mail_or_empty(text: str) -> str:
    return _mail(text) if text else text


def _relay(text: str) -> str:
    found = _RELAY.fullmatch(text)
    if text and (found is None or not 0 < int(found[2]) < 65536):
        raise wrong("is not host:port", "write the company's mail relay, such as mail.example.org:587")
    return text


def _syslog(text: str) -> str:
    if text and not _SYSLOG.fullmatch(text):
        raise wrong("is no place of a syslog", "write unix:/dev/log, udp://192.0.2.7:514 or tcp://192.0.2.7:601")
    return text


def webhook_address(text: str) -> str:
    """An address that is sent to; checked where it is read."""
    if not text:
        return text
    parts = urlsplit(text)
    if not parts.hostname or parts.username or parts.password or parts.fragment:
        raise wrong("is no address of a webhook", "write https://host/path, without a user or a password")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname)):
        raise wrong("would be sent in clear", "start it with https://; http:// is for this machine alone")
    return text


def _path(text: str) -> str:
    if text and not text.startswith("/"):
        raise wrong("is not a full path", "write a path such as /etc/ssl/company-ca.pem")
    return text


def _threshold(name: str) -> str:
    if not re.fullmatch(r"[a-z-]{1,40}\.[a-z_]{1,20}", name):
        raise wrong("is no threshold", 'write KIND.NAME as `beffroi alert rules` shows them, "bulk-listening.count"')
    return name


Address = Annotated[str, AfterValidator(_mail)]


class Alerts(Section):
    """Where alerts go: kind, severity, time and an opaque id, never a name or a number. Secrets lie with the others:
    mail.password, webhook.secret."""

    syslog: Annotated[str, AfterValidator(_syslog)] = Field(
        default="",
        description="A syslog (RFC 5424): unix:/dev/log, udp://host:514 or tcp://host:601. Empty: none.",
    )
    mail_relay: Annotated[str, AfterValidator(_relay)] = Field(
        default="", description="The company's mail relay, host:port. Empty: no mail is sent."
    )
    mail_tls: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="'starttls', 'tls' from the first byte, or 'none', which is for a relay on this machine alone.",
    )
    mail_from: Annotated[str, AfterValidator(_mail_or_empty)] = Field(
        default="", max_length=254, description="The sender's address; needed with mail_relay."
    )
    mail_user: str = Field(
        default="", max_length=128, description="User at the relay, where it wants one; its password: mail.password."
    )
    mail_to: dict[Literal["admin", "dpo"], Annotated[tuple[Address, ...], Field(strict=False)]] = Field(
        default={},
        strict=False,
        description=(
            "Who is written to, by role; nobody else ever is. "
            'Such as { admin = ["it@example.org"], dpo = ["dpo@example.org"] }.'
        ),
    )
    webhook: Annotated[str, AfterValidator(webhook_address)] = Field(
        default="",
        max_length=500,
        description="A web address that is told of each alert (POST, signed by webhook.secret). Empty: none.",
    )
    ca_file: Annotated[str, AfterValidator(_path)] = Field(
        default="",
        description="Certificates (PEM) that vouch for relay and webhook; empty: those that this machine trusts.",
    )
    machine: str = Field(
        default="",
        max_length=64,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="What this machine is called in alerts. Empty: its host name.",
    )
    thresholds: dict[Annotated[str, AfterValidator(_threshold)], Annotated[int, Field(ge=1, le=1000000)]] = Field(
        default={},
        description=(
            "Thresholds in place of the shipped ones, as beffroi alert rules shows them. "
            'Such as { "bulk-listening.count" = 30 }.'
        ),
    )
    clear_per_day: int = Field(
        default=1000,
        ge=0,
        le=1000000,
        description=(
            "Numbers and names that one person may be shown in clear in a day (UTC); beyond, they are refused. "
            "0 sets no limit."
        ),
    )
