"""Mistakes that only show when keys are seen together: clashing ports, too few, an unreachable address.

Each check yields the keys involved and the problem; where one of these keys is wrong by itself already, the
problem is left out of the report.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from config import alerts
from config.addresses import Endpoint
from config.alert_section import is_loopback
from config.periods import Period
from config.problems import SECRET_REMEDY, Problem

if TYPE_CHECKING:
    from config.settings import Settings

PORTS_PER_CALL = 16  # four legs, each with a port for RTP and one for RTCP, and as many for legs that move

_LOOPBACK = ipaddress.ip_address("127.0.0.1")
_Found = Iterator[tuple[frozenset[str], Problem]]


def cross_problems(settings: Settings) -> _Found:
    """Yield (keys involved, problem) for everything wrong between keys that are each well formed."""
    yield from _listening(settings)
    yield from _clashes(settings)
    yield from _media(settings)
    yield from _addresses(settings)
    yield from _bounds(settings)
    yield from _storage(settings)
    yield from _secrets(settings)
    yield from _access_log(settings)
    yield from _alerts(settings)
    yield from _texts(settings)
    yield from _webhooks(settings)


def _one(key: str, value: object, message: str, remedy: str, *others: str) -> tuple[frozenset[str], Problem]:
    return frozenset((key, *others)), Problem(key, str(value), message, remedy)


def _webhooks(s: Settings) -> _Found:
    for name, one in s.web.webhooks.items():
        key = f"web.webhooks.{name}"
        if not one.url:
            remedy = "write https://host/path, or take the section out"
            yield _one(f"{key}.url", '""', "is missing: nobody is told", remedy, key)
        if not one.login:
            remedy = "write the login of a person whose rights say what it is told"
            yield _one(f"{key}.login", '""', "is missing: it would be told nothing", remedy, key)


def _access_log(s: Settings) -> _Found:
    """CNIL délib. 2021-122: six months to a year; up to three years against a documented risk of misuse."""
    kept, shortest, usual, longest = (Period.parse(text) for text in (s.retention.access_log, "P6M", "P1Y", "P3Y"))
    because = s.retention.access_log_reason.strip()
    ceiling = longest if because else usual
    if not kept.at_least_as_long_as(shortest):
        yield _one("retention.access_log", f'"{kept}"', "is shorter than six months", "write P6M to P1Y")
    elif not ceiling.at_least_as_long_as(kept):
        remedy = "write at most P3Y" if because else "write at most P1Y, or say why in retention.access_log_reason"
        yield _one("retention.access_log", f'"{kept}"', f"is longer than {ceiling}", remedy)


def _listening(s: Settings) -> _Found:
    if not (s.sip.tls_listen or s.sip.tcp_listen or s.sip.udp_listen):
        yield _one(
            "sip.tls_listen",
            "[]",
            "no phone could ever register",
            "name an ip:port, best for TLS",
            "sip.tcp_listen",
            "sip.udp_listen",
        )
    for key, listed in (("sip.tcp_listen", s.sip.tcp_listen), ("sip.udp_listen", s.sip.udp_listen)):
        for text in listed:
            if Endpoint.parse(text).is_wildcard:
                yield _one(
                    key,
                    f'"{text}"',
                    "would offer SIP in clear on every address of this machine",
                    "name each address that must have it, or use sip.tls_listen",
                )
    if not Endpoint.parse(s.http.listen).is_loopback:
        yield _one(
            "http.listen",
            f'"{s.http.listen}"',
            "would show health and metrics to outsiders",
            "listen on 127.0.0.1 and put a proxy with sign-in before it",
        )
    if bool(s.web.certificate) != bool(s.web.key):
        yield _one(
            "web.certificate",
            f'"{s.web.certificate}"',
            "and web.key belong together",
            "name both files, or neither",
            "web.key",
        )


def _clashes(s: Settings) -> _Found:
    """Two listeners of one transport protocol on one port."""
    tcp = [
        *(("sip.tls_listen", Endpoint.parse(e)) for e in s.sip.tls_listen),
        *(("sip.tcp_listen", Endpoint.parse(e)) for e in s.sip.tcp_listen),
        ("sip.control_port", Endpoint(_LOOPBACK, s.sip.control_port)),
        ("http.listen", Endpoint.parse(s.http.listen)),
        *(("web.listen", Endpoint.parse(s.web.listen)) for _ in range(bool(s.web.listen))),
    ]
    udp = [
        *(("sip.udp_listen", Endpoint.parse(e)) for e in s.sip.udp_listen),
        ("sip.worker_port", Endpoint(_LOOPBACK, s.sip.worker_port)),
    ]
    for listeners in (tcp, udp):
        for (key, one), (other_key, other) in itertools.combinations(listeners, 2):
            if one.overlaps(other):
                yield _one(other_key, other, f"takes the same port as {key}", "choose another port", key)
    for key, endpoint in udp:
        if s.media.rtp_port_first <= endpoint.port <= s.media.rtp_port_last:
            yield _one(
                key,
                endpoint,
                "lies within the ports of audio",
                "choose a port outside media.rtp_port_*",
                "media.rtp_port_first",
                "media.rtp_port_last",
            )


def _media(s: Settings) -> _Found:
    first, last = s.media.rtp_port_first, s.media.rtp_port_last
    needed = (s.calls.max_concurrent + s.calls.emergency_reserve) * PORTS_PER_CALL
    if first % 2:
        yield _one(
            "media.rtp_port_first",
            first,
            "is odd",
            f"RTP takes even ports (RFC 3550 section 11), such as {first + 1}",
        )
    if last - first + 1 < needed:
        yield _one(
            "media.rtp_port_last",
            last,
            f"leaves {max(last - first + 1, 0)} ports for audio",
            f"{s.calls.max_concurrent} calls and {s.calls.emergency_reserve} kept for emergencies need {needed}: "
            "widen the range or lower calls.max_concurrent",
            "media.rtp_port_first",
            "calls.max_concurrent",
            "calls.emergency_reserve",
        )
    outside = [
        text
        for text in (*s.sip.tls_listen, *s.sip.tcp_listen, *s.sip.udp_listen)
        if not Endpoint.parse(text).is_loopback
    ]
    if outside and ipaddress.ip_address(s.media.address).is_loopback:
        yield _one(
            "media.address",
            f'"{s.media.address}"',
            f"cannot be reached by phones that come to {outside[0]}",
            "write the address that phones reach this machine by",
            "sip.tls_listen",
            "sip.tcp_listen",
            "sip.udp_listen",
        )


def _addresses(s: Settings) -> _Found:
    if s.media.address6 and ipaddress.ip_address(s.media.address).version == 6:
        yield _one(
            "media.address6",
            f'"{s.media.address6}"',
            "stands beside media.address, which is IPv6 already",
            "write the IPv4 address into media.address, or leave media.address6 empty",
            "media.address",
        )
    if not s.media.public_address:
        return
    public, own = ipaddress.ip_address(s.media.public_address), ipaddress.ip_address(s.media.address)
    if public.version != own.version:
        yield _one(
            "media.public_address",
            f'"{s.media.public_address}"',
            "is not of the same kind as media.address",
            f"write an IPv{own.version} address",
            "media.address",
        )
    elif not s.media.local_networks:
        yield _one(
            "media.local_networks",
            "[]",
            "leaves no phone that may be told media.address",
            "name the networks of the house, or leave media.public_address empty",
            "media.public_address",
        )


def _bounds(s: Settings) -> _Found:
    if s.sip.registration_min_s > s.sip.registration_max_s:
        yield _one(
            "sip.registration_min_s",
            s.sip.registration_min_s,
            "is above sip.registration_max_s",
            f"give at most {s.sip.registration_max_s}",
            "sip.registration_max_s",
        )
    if s.calls.max_per_account > s.calls.max_concurrent:
        yield _one(
            "calls.max_per_account",
            s.calls.max_per_account,
            "is above calls.max_concurrent",
            f"give at most {s.calls.max_concurrent}",
            "calls.max_concurrent",
        )
    if s.numbering.outside_prefix.startswith("1"):
        yield _one(
            "numbering.outside_prefix",
            f'"{s.numbering.outside_prefix}"',
            "begins as emergency numbers do",
            "choose another, such as 0 or 9",
        )
    if len(set(s.company.languages)) != len(s.company.languages):
        yield _one("company.languages", list(s.company.languages), "names a language twice", "name each once")


def _storage(s: Settings) -> _Found:
    url = s.storage.url
    if not url:
        return
    scheme, _, rest = url.partition("://")
    login = rest.partition("/")[0].rpartition("@")[0]
    if ":" in login or "password=" in rest:
        yield _one(
            "storage.url",
            f"{scheme}://***",
            "holds a password",
            SECRET_REMEDY + ", as database.password",
        )
    elif scheme not in {"postgresql", "postgres"}:
        yield _one(
            "storage.url",
            f'"{url}"',
            "is no database that is supported",
            "leave it empty for SQLite, or write postgresql://user@host/name",
        )


def _secrets(s: Settings) -> _Found:
    if s.secrets.source != "pkcs11":
        return
    for key in ("pkcs11_module", "pkcs11_token_label", "pkcs11_key_label"):
        if not getattr(s.secrets, key):
            yield _one(
                f"secrets.{key}",
                '""',
                "is needed with secrets.source 'pkcs11'",
                "fill it in",
                "secrets.source",
            )


def _alerts(s: Settings) -> _Found:
    chosen = s.alerts
    if chosen.mail_relay and not chosen.mail_from:
        yield _one(
            "alerts.mail_from", '""', "is needed with alerts.mail_relay", "write the sender's address",
            "alerts.mail_relay",
        )  # fmt: skip
    if chosen.mail_relay and not any(chosen.mail_to.values()):
        yield _one(
            "alerts.mail_to", "{}", "names nobody, so no mail is ever sent",
            'write { admin = ["it@example.org"] }, or leave alerts.mail_relay empty', "alerts.mail_relay",
        )  # fmt: skip
    if chosen.mail_tls == "none" and chosen.mail_relay and not is_loopback(chosen.mail_relay.rpartition(":")[0]):
        yield _one(
            "alerts.mail_tls", '"none"', "would send mail and password in clear over the network",
            "write 'starttls' or 'tls'; 'none' is for a relay on this machine", "alerts.mail_relay",
        )  # fmt: skip
    for name in alerts.unknown(alerts.load(), chosen.thresholds):
        yield _one(
            "alerts.thresholds", f'"{name}"', "is no threshold of an alert", "see them: beffroi alert rules"
        )  # fmt: skip


_NEEDED = {"smpp": ("host", "system_id"), "modem": ("device", "number"), "trunk": ("trunk",)}


def _texts(s: Settings) -> _Found:
    for name, carrier in s.sms.carriers.items():
        for key in _NEEDED[carrier.kind]:
            if not getattr(carrier, key):
                yield _one(
                    "sms.carriers", f"{name}.{key}", f"is needed for a carrier of kind {carrier.kind}", "fill it in"
                )
        if carrier.kind == "smpp" and not carrier.tls and not _is_near(carrier.host):
            yield _one(
                "sms.carriers", f"{name}.tls = false", "sends texts and the password in clear over the network",
                "let the centre talk TLS, or reach it by a tunnel, under a private address",
            )  # fmt: skip
        if bool(carrier.certificate_file) != bool(carrier.key_file):
            yield _one("sms.carriers", name, "has a certificate or a key, but not both", "name both files, or none")
    if s.mail.listen and not s.mail.domain:
        yield _one(
            "mail.domain", '""', "is needed with mail.listen", "write the domain of addresses that mean a telephone",
            "mail.listen",
        )  # fmt: skip


def _is_near(host: str) -> bool:
    """This machine, or a private address: the end of a tunnel, a gateway in the house."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_private
    except ValueError:
        return is_loopback(host)
