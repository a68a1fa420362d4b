"""Who is sent anything by this server: by the configuration and the directory, nobody else (GDPR Art. 30(1)(d))."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from config.alert_section import is_loopback
from config.settings import Settings
from server.services.context import Services
from storage import trunks
from storage.trunks import Trunk
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class ReceiverView:
    """`kind`: trunk, text_carrier, mail_relay, webhook, alert_webhook, syslog or database. `here`: what is sent there
    does not leave the machine. Fields: see `server.commands.register.RECEIVER_FIELDS`."""

    kind: str
    name: str
    host: str
    port: int
    gets: str
    encrypted: bool
    enabled: bool
    here: bool


async def receivers(services: Services, tx: Tx) -> list[ReceiverView]:
    """Trunks first. Raises StorageError."""
    known = await trunks.list_all(tx)
    return [*(_trunk(one) for one in known), *_carriers(services.settings, known), *_places(services.settings)]


def _trunk(one: Trunk) -> ReceiverView:
    what = "numbers, times and voices of calls that go by it"
    return ReceiverView(
        "trunk", one.name, one.host, one.port, what, one.transport == "tls" and one.srtp, one.enabled,
        is_loopback(one.host),
    )  # fmt: skip


def _carriers(settings: Settings, known: Sequence[Trunk]) -> list[ReceiverView]:
    what, by_name, found = "numbers and words of texts that go by it", {one.name: one for one in known}, []
    for name, one in settings.sms.carriers.items():
        host, port, tls = one.host, one.port, one.tls
        if one.kind == "modem":
            host, port, tls = one.device, 0, False
        elif one.kind == "trunk" and one.trunk in by_name:
            trunk = by_name[one.trunk]
            host, port, tls = trunk.host, trunk.port, trunk.transport == "tls"
        found.append(ReceiverView("text_carrier", name, host, port, what, tls, True, is_loopback(host)))
    return found


def _places(settings: Settings) -> list[ReceiverView]:
    alerts, found = settings.alerts, []
    if alerts.mail_relay:
        host, _, port = alerts.mail_relay.rpartition(":")
        what = "kind, time and id of alerts, and that a text is there; no number, no word"
        found.append(_place("mail_relay", "mail", host, int(port), what, encrypted=alerts.mail_tls != "none"))
    if alerts.syslog and not alerts.syslog.startswith("unix:"):
        parts = urlsplit(alerts.syslog)
        what = "kind, time and id of alerts"
        found.append(_place("syslog", "syslog", parts.hostname or "", parts.port or 514, what, encrypted=False))
    hooks = {name: hook.url for name, hook in settings.web.webhooks.items()}
    for name, url in hooks.items():
        numbers = settings.web.webhooks[name].numbers
        what = "kind, time and id of calls and texts" + (", and numbers of calls that have ended" if numbers else "")
        found.append(_hook("webhook", name, url, what))
    if alerts.webhook:
        found.append(_hook("alert_webhook", "alerts", alerts.webhook, "kind, time and id of alerts"))
    parts = urlsplit(settings.storage.url)
    if parts.hostname:
        what = "all that is stored but recordings; what is sealed stays sealed"
        encrypted = "sslmode=verify" in parts.query or "sslmode=require" in parts.query
        found.append(_place("database", "database", parts.hostname, parts.port or 5432, what, encrypted=encrypted))
    return found


def _hook(kind: str, name: str, url: str, what: str) -> ReceiverView:
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    return _place(kind, name, parts.hostname or "", parts.port or (443 if secure else 80), what, encrypted=secure)


def _place(kind: str, name: str, host: str, port: int, what: str, *, encrypted: bool) -> ReceiverView:
    return ReceiverView(kind, name, host, port, what, encrypted, enabled=True, here=is_loopback(host))
