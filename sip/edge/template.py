"""Renders the edge's configuration: a plan goes in, the text of Kamailio's files comes out. No file is touched.

Tokens are replaced here and not by Kamailio's own ``substdef``, which is textual and hits anything that looks alike.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

_TOKEN = re.compile(r"@@([A-Z0-9_]+)@@")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_./+=,-]*")  # what may stand unquoted in Kamailio's configuration
_SECRET = re.compile(r"[0-9a-f]{32,}")
_TCP_SPARE_S = 60  # a connection outlives the longest registration made over it
_EMERGENCY_PER_SOURCE_PER_S = 20
_REMEMBERED_S = 86400  # emergency calls that were relayed without the daemon
_REMEMBERED_ENTRIES = 600  # three a call: what one answer over RPC holds with room to spare
_REMEMBERED_OF_DEVICE = 16
_PARTS = (
    "kamailio.cfg.in",
    "asking.cfg.in",
    "trunks.cfg.in",
    "messages.cfg.in",
    "emergency.cfg.in",
    "network.cfg.in",
    "events.cfg.in",
)
_WITH_TLS, _WITHOUT_TLS = "certificates.cfg.in", "plain.cfg.in"
_SYSTEM_CAS = "/etc/ssl/certs"  # of the package ca-certificates; looked into as needed: each process would read a list


class PlanError(ValueError):
    """The plan holds a value that the edge's configuration cannot carry. Says which, never a secret."""


@dataclass(frozen=True, slots=True)
class Listen:
    """One outside socket of the edge."""

    proto: Literal["tls", "tcp", "udp"]
    ip: str  # IPv4 or IPv6 address, without brackets
    port: int

    def __str__(self) -> str:
        """As Kamailio writes it: ``tls:192.0.2.1:5061``, ``udp:[2001:db8::1]:5060``."""
        return f"{self.proto}:[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.proto}:{self.ip}:{self.port}"


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Floods and scanners. A source is an address; a whole office may stand behind one."""

    auth_failures_per_source: int = 20  # bad credentials or suspicious requests in a window before a ban
    auth_failure_window_s: int = 60
    ban_s: int = 600
    requests_per_user_per_s: int = 20
    requests_per_connection_per_s: int = 50
    requests_per_source_per_s: int = 100  # requests without credentials
    connections_max: int = 2000
    texts_per_user_per_min: int = 60  # MESSAGE from one device, in the minute that its first one began
    text_max_bytes: int = 8000  # of a MESSAGE, without its headers
    text_max_bytes_udp: int = 1300  # from a phone over UDP (RFC 3428 section 8)


@dataclass(frozen=True, slots=True)
class EdgeTimers:
    """How long the edge waits for whom."""

    answer_ms: int = 3000  # the daemon's answer to a suspended request; then 503
    control_silence_s: int = 3  # without a beat of the daemon for so long, requests are refused at once
    worker_silence_ms: int = 3000  # a worker's first answer
    caller_waits_ms: int = 120000  # a worker's final answer
    device_silence_ms: int = 5000  # a phone's first answer
    trunk_silence_ms: int = 5000  # a provider's first answer
    emergency_answer_ms: int = 1000  # the daemon's answer to an emergency call; then the edge relays it alone
    emergency_trunk_silence_ms: int = 3000  # a provider's first answer to that; then the next provider
    nat_ping_s: int = 25  # between keep-alives to a phone behind a router, over UDP
    trunk_retry_s: int = 10  # after a registration with a provider has failed
    call_max_s: int = 14400  # then the edge itself ends the dialog


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """Everything the edge is told before it starts."""

    domain: str  # SIP domain and digest realm
    listens: tuple[Listen, ...]
    worker_port: int  # UDP on 127.0.0.1, between edge and workers
    control_port: int  # TCP on 127.0.0.1, events to and answers from the daemon
    control_secret: str = field(repr=False)  # hexadecimal, at least 128 bit
    run_dir: Path  # 0700: generated files, RPC socket
    rpc_socket: Path
    tls_certificate: Path
    tls_key: Path
    trunk_ca: Path | None = None  # who vouches for providers reached by TLS; None: the authorities of this machine
    media_address: str = ""  # where workers say that audio goes
    public_address: str = ""  # what peers outside `local_networks` are told instead; "" when nothing stands between
    local_networks: tuple[str, ...] = ()
    max_contacts_per_device: int = 3
    registration_min_s: int = 60
    registration_max_s: int = 600
    limits: EdgeLimits = EdgeLimits()
    timers: EdgeTimers = EdgeTimers()


@dataclass(frozen=True, slots=True)
class Rendered:
    """The two files of Kamailio."""

    kamailio_cfg: str = field(repr=False)
    tls_cfg: str


def render(plan: EdgePlan) -> Rendered:
    """The text of kamailio.cfg and tls.cfg for this plan. Raises PlanError."""
    _check(plan)
    here = resources.files(__package__)
    tls = any(listen.proto == "tls" for listen in plan.listens)
    parts = (*_PARTS, _WITH_TLS if tls else _WITHOUT_TLS)
    template = "\n".join(here.joinpath(part).read_text(encoding="utf-8") for part in parts)
    tokens = _tokens(plan)
    unknown = set(_TOKEN.findall(template)) - set(tokens)
    if unknown:
        raise PlanError(f"the template names unknown tokens: {', '.join(sorted(unknown))}")
    return Rendered(_TOKEN.sub(lambda match: tokens[match[1]], template), _tls(plan))


def tls_path(plan: EdgePlan) -> Path:
    """Where kamailio.cfg expects tls.cfg."""
    return plan.run_dir / "kamailio-tls.cfg"


def registrations_dir(plan: EdgePlan) -> Path:
    """Where the module that signs on with providers expects its (empty) tables: without them it knows no command."""
    return plan.run_dir / "registrations"


def _alias(domain: str) -> str:
    """An address as domain is no alias: without a port it would cover every port there, and a phone on that machine
    would be taken for the edge itself (its ACK then goes nowhere)."""
    try:
        ipaddress.ip_address(domain)
    except ValueError:
        return f'alias="{domain}"'
    return ""


def _public(plan: EdgePlan) -> dict[str, str]:
    own = sorted({listen.ip for listen in plan.listens if ":" not in listen.ip} | {plan.media_address} - {""})
    aliases = [f'alias="{plan.public_address}:{port}"' for port in sorted({listen.port for listen in plan.listens})]
    return {
        "PUBLIC_ALIASES": "\n".join(["#!define WITH_PUBLIC_ADDRESS", *aliases]) if plan.public_address else "",
        "PUBLIC_ADDRESS": plan.public_address,
        "LOCAL_NETWORKS": ",".join(plan.local_networks),
        "MEDIA_ADDRESS_RE": re.escape(plan.media_address),
        "OWN_ADDRESSES_RE": "|".join(re.escape(ip) for ip in own),
    }


def _tokens(plan: EdgePlan) -> dict[str, str]:
    limits, timers = plan.limits, plan.timers
    tls = any(listen.proto == "tls" for listen in plan.listens)
    return {
        "ALIAS": _alias(plan.domain),
        "DOMAIN": plan.domain,
        "LISTENS": "\n".join(f'listen={listen} name "outside{n}"' for n, listen in enumerate(plan.listens)),
        "TLS_ENABLE": "enable_tls=yes" if tls else "",
        "TLS_MODULE": _tls_module(plan) if tls else "",
        "WORKER_PORT": str(plan.worker_port),
        "CONTROL_PORT": str(plan.control_port),
        "CONTROL_SECRET": plan.control_secret,
        "NOBODYS_HA1": hashlib.sha256(f"nobody:{plan.control_secret}".encode()).hexdigest()[:32],
        "OPAQUE_SECRET": hashlib.sha256(f"opaque:{plan.control_secret}".encode()).hexdigest()[:32],
        **_public(plan),
        "NAT_PING_S": str(timers.nat_ping_s),
        "OWN_ROUTE": "own=" + hashlib.sha256(f"route:{plan.control_secret}".encode()).hexdigest()[:8],
        "REGISTRATIONS_DIR": str(registrations_dir(plan)),
        "EMERGENCY_TIMEOUT_MS": str(timers.emergency_answer_ms),
        "EMERGENCY_TRUNK_SILENCE_MS": str(timers.emergency_trunk_silence_ms),
        "EMERGENCY_PER_SOURCE": str(_EMERGENCY_PER_SOURCE_PER_S),
        "REMEMBERED_S": str(_REMEMBERED_S),
        "REMEMBERED_ENTRIES": str(_REMEMBERED_ENTRIES),
        "REMEMBERED_OF_DEVICE": str(_REMEMBERED_OF_DEVICE),
        "TRUNK_RETRY_S": str(timers.trunk_retry_s),
        "TRUNK_SILENCE_MS": str(timers.trunk_silence_ms),
        "CONTROL_SILENCE_S": str(timers.control_silence_s),
        "RPC_SOCKET": str(plan.rpc_socket),
        "MAX_CONTACTS": str(plan.max_contacts_per_device),
        "REGISTRATION_MIN_S": str(plan.registration_min_s),
        "REGISTRATION_MAX_S": str(plan.registration_max_s),
        "CONNECTION_LIFETIME_S": str(plan.registration_max_s + _TCP_SPARE_S),
        "CONNECTIONS_MAX": str(limits.connections_max),
        "BAN_S": str(limits.ban_s),
        "FAILURES": str(limits.auth_failures_per_source),
        "FAILURE_WINDOW_S": str(limits.auth_failure_window_s),
        "REQUESTS_PER_USER": str(limits.requests_per_user_per_s),
        "TEXTS_PER_USER": str(limits.texts_per_user_per_min),
        "TEXT_BYTES": str(limits.text_max_bytes),
        "TEXT_BYTES_UDP": str(limits.text_max_bytes_udp),
        "REQUESTS_PER_CONNECTION": str(limits.requests_per_connection_per_s),
        "REQUESTS_PER_SOURCE": str(limits.requests_per_source_per_s),
        "CONNECTION_FLOOD": str(5 * limits.requests_per_connection_per_s),
        "WALL_PER_2S": str(max(2000, 40 * limits.requests_per_source_per_s)),
        "ANSWER_TIMEOUT_MS": str(timers.answer_ms),
        "CALLER_WAITS_MS": str(timers.caller_waits_ms),
        "WORKER_SILENCE_MS": str(timers.worker_silence_ms),
        "DEVICE_SILENCE_MS": str(timers.device_silence_ms),
        "CALL_MAX_S": str(timers.call_max_s),
    }


def _tls_module(plan: EdgePlan) -> str:
    release = 'modparam("tls", "ssl_release_buffers", 1)'  # a connection is silent nearly all of the time
    return f'loadmodule "tls.so"\nmodparam("tls", "config", "{tls_path(plan)}")\n{release}'


def _tls(plan: EdgePlan) -> str:
    return (
        "[server:default]\n"
        "method = TLSv1.2+\n"
        "verify_certificate = no\n"
        "require_certificate = no\n"
        f"private_key = {plan.tls_key}\n"
        f"certificate = {plan.tls_certificate}\n"
        "\n[client:default]\n"
        "method = TLSv1.2+\n"
        "verify_certificate = yes\n"
        "require_certificate = yes\n"
        + (f"ca_list = {plan.trunk_ca}\n" if plan.trunk_ca else f"ca_path = {_SYSTEM_CAS}\n")
    )


def _check(plan: EdgePlan) -> None:
    if not _DOMAIN.fullmatch(plan.domain):
        raise PlanError(f"{plan.domain!r} is no SIP domain (lower case letters, digits, dots, hyphens)")
    if not plan.listens:
        raise PlanError("the edge listens nowhere")
    if not _SECRET.fullmatch(plan.control_secret):
        raise PlanError("the control secret must be at least 32 hexadecimal digits")
    for path in (plan.run_dir, plan.rpc_socket, plan.tls_certificate, plan.tls_key, plan.trunk_ca or plan.tls_key):
        if not _PLAIN_PATH.fullmatch(str(path)):
            raise PlanError(f"the path {str(path)!r} must be absolute and hold only letters, digits and . _ - + = , /")
    for listen in plan.listens:
        _check_address(listen)
    _check_networks(plan)
    for port in (plan.worker_port, plan.control_port, *(listen.port for listen in plan.listens)):
        if not 0 < port < 65536:
            raise PlanError(f"{port} is no port")


def _check_networks(plan: EdgePlan) -> None:
    try:
        for address in (plan.media_address, plan.public_address):
            if address:
                ipaddress.ip_address(address)
        for network in plan.local_networks:
            ipaddress.ip_network(network)
    except ValueError as error:
        raise PlanError(f"{error}: media.address, media.public_address or media.local_networks") from None
    if plan.public_address and (":" in plan.public_address or ":" in plan.media_address or not plan.media_address):
        raise PlanError("a public address stands for media.address, and both are IPv4")


def _check_address(listen: Listen) -> None:
    try:
        ipaddress.ip_address(listen.ip)
    except ValueError:
        raise PlanError(f"{listen.ip!r} is no address to listen on") from None
