"""The sections of the configuration file: every key with its type, its limits, its default and what it means.

The annotated sample (`config.settings.sample`) is generated from these descriptions. A field marked RESTART
takes effect at the next start only; all others follow a reload.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from config.addresses import Endpoint, is_domain
from config.iso import country_problem
from config.periods import Period

RESTART: dict[str, Any] = {"restart": True}


def wrong(message: str, remedy: str) -> PydanticCustomError:
    """What a check of a key raises."""
    return PydanticCustomError("beffroi", "{message}", {"message": message, "remedy": remedy})


def _endpoint(text: str) -> str:
    try:
        return str(Endpoint.parse(text))
    except ValueError as error:
        raise wrong(str(error), "write ip:port, such as 192.0.2.1:5061 or [2001:db8::1]:5061") from None


def _country(code: str) -> str:
    if remedy := country_problem(code):
        raise wrong("is not a country code", remedy)
    return code


def _domain(text: str) -> str:
    if not is_domain(text):
        raise wrong("is not a domain", "write a host name such as sip.example.org, or an IP address")
    return text.lower().removesuffix(".")


def is_domain_or_empty(text: str) -> str:
    """For a key that may name a domain."""
    return _domain(text) if text else text


def _address(text: str) -> str:
    try:
        parsed = ipaddress.ip_address(text)
    except ValueError:
        raise wrong("is not an IP address", "write an address such as 192.0.2.1") from None
    if parsed.is_unspecified:
        raise wrong("names no address", "write the one address that phones can send their audio to")
    return str(parsed)


def _address6(text: str) -> str:
    if not text:
        return text
    checked = _address(text)
    if ipaddress.ip_address(checked).version != 6:
        raise wrong("is not an IPv6 address", "write an address such as 2001:db8::7, or leave it empty")
    return checked


def _public_address(text: str) -> str:
    return _address(text) if text else text


def network(text: str) -> str:
    """For a key that names a network."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        remedy = "write a network such as 192.168.0.0/16 or 2001:db8::/32"
        if "host bits" in str(error):
            remedy = f"write {ipaddress.ip_network(text, strict=False)}"
        raise wrong("is not a network", remedy) from None


def _country_or_empty(code: str) -> str:
    return _country(code) if code else code


def _digits(text: str) -> str:
    if text and not (text.isascii() and text.isdigit()):
        raise wrong("is not made of digits", "write digits only, or leave it empty")
    return text


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise wrong("is not a name", "write the name as `beffroi trunk list` or `beffroi account list` shows it")
    return text


def _location(text: str) -> str:
    if not _LOCATION.fullmatch(text):
        remedy = "write an address between < and >, such as <https://example.org/site.xml> (RFC 6442 section 4.1)"
        raise wrong("is not a Geolocation header", remedy)
    return text


def _link(text: str) -> str:
    if text and not text.startswith(("https://", "http://")):
        raise wrong("is not a web address", "start it with https://, or leave it empty")
    return text


def _pkcs11_module(text: str) -> str:
    if text and not text.startswith("/"):
        raise wrong("is not a full path", "write a path such as /usr/lib/softhsm/libsofthsm2.so")
    return text


def _period(text: str) -> str:
    try:
        return str(Period.parse(text))
    except ValueError as error:
        raise wrong(str(error), "write it as P1Y, P6M or P400D") from None


_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_LOCATION = re.compile(r"<[a-z][a-z0-9+.-]*:[!-;=?-~]{1,400}>(;[!-;=?-~]{1,100})?")

Listen = Annotated[str, AfterValidator(_endpoint)]
Port = Annotated[int, Field(ge=1024, le=65535)]


class Section(BaseModel):
    """Frozen, strict (a number in quotes is a mistake), and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Company(Section):
    """Who runs this server: the controller named in every question to a caller (GDPR Art. 13)."""

    name: str = Field(
        default="Example company",
        min_length=1,
        max_length=80,
        description=("The company's name as callers hear it at the start of the question."),
    )
    country: Annotated[str, AfterValidator(_country)] = Field(
        default="FR",
        description=(
            "Where the company is: two letters (ISO 3166). Its rule on recording is always among those applied."
        ),
    )
    languages: tuple[Literal["fr", "en"], ...] = Field(
        default=("fr", "en"),
        strict=False,
        min_length=1,
        max_length=2,
        description="Languages of the prompts; the first is spoken where the other party's is not known.",
    )
    rights_url: Annotated[str, AfterValidator(_link)] = Field(
        default="",
        description=("Page where people read about their rights, named in announcements."),
    )
    dpo_contact: str = Field(
        default="",
        max_length=120,
        description=("How to reach the data protection officer, as it is spoken in the long notice (key 0)."),
    )
    operator_status: Literal["none", "public_operator"] = Field(
        default="none",
        json_schema_extra=RESTART,
        description=("'public_operator' only if lines are offered to the public (CPCE L34-1)."),
    )


class Sip(Section):
    """The edge: where phones register."""

    domain: Annotated[str, AfterValidator(_domain)] = Field(
        default="beffroi.internal",
        json_schema_extra=RESTART,
        description=("The SIP domain: what stands after the @ in sip:alice@..., and what phones authenticate to."),
    )
    tls_listen: tuple[Listen, ...] = Field(
        default=("127.0.0.1:5061",),
        strict=False,
        json_schema_extra=RESTART,
        description="Where SIP over TLS is served. 0.0.0.0 stands for every address of this machine.",
    )
    tcp_listen: tuple[Listen, ...] = Field(
        default=(),
        strict=False,
        json_schema_extra=RESTART,
        description=("Where plain SIP over TCP is served; name each outside address."),
    )
    udp_listen: tuple[Listen, ...] = Field(
        default=(),
        strict=False,
        json_schema_extra=RESTART,
        description=("Where plain SIP over UDP is served; name each outside address."),
    )
    worker_port: Port = Field(
        default=5070,
        json_schema_extra=RESTART,
        description=("UDP port on loopback between the edge and the conversation workers."),
    )
    control_port: Port = Field(
        default=5071,
        json_schema_extra=RESTART,
        description=("TCP port on loopback on which the edge asks the daemon."),
    )
    max_contacts_per_device: int = Field(
        default=3,
        ge=1,
        le=20,
        json_schema_extra=RESTART,
        description=("How many places one device may register from at once."),
    )
    registration_max_s: int = Field(
        default=600,
        ge=60,
        le=86400,
        json_schema_extra=RESTART,
        description=("Longest time a registration is kept without being renewed, in seconds."),
    )
    registration_min_s: int = Field(
        default=60,
        ge=10,
        le=3600,
        json_schema_extra=RESTART,
        description=("Shortest time a phone may ask for, in seconds."),
    )


class Limits(Section):
    """Floods and scanners (a source is an address; a whole office may stand behind one), and what an account may
    spend on calls outside unless it has limits of its own."""

    auth_failures_per_source: int = Field(
        default=20,
        ge=3,
        le=10000,
        json_schema_extra=RESTART,
        description=("Wrong passwords or unknown users from one address within the window before it is banned."),
    )
    auth_failure_window_s: int = Field(
        default=60,
        ge=5,
        le=3600,
        json_schema_extra=RESTART,
        description=("The window over which failures are counted, in seconds."),
    )
    ban_s: int = Field(
        default=600,
        ge=5,
        le=86400,
        json_schema_extra=RESTART,
        description=("How long a banned address stays banned, in seconds."),
    )
    requests_per_user_per_s: int = Field(
        default=20,
        ge=1,
        le=1000,
        json_schema_extra=RESTART,
        description=("Requests that one authenticated user may send in a second."),
    )
    requests_per_connection_per_s: int = Field(
        default=50,
        ge=1,
        le=10000,
        json_schema_extra=RESTART,
        description=("Requests that one connection may send in a second."),
    )
    requests_per_source_per_s: int = Field(
        default=100,
        ge=1,
        le=100000,
        json_schema_extra=RESTART,
        description=("Requests without proof of identity that one address may send in a second."),
    )
    connections_max: int = Field(
        default=2000,
        ge=10,
        le=100000,
        json_schema_extra=RESTART,
        description=("TCP and TLS connections that the edge keeps open at once."),
    )
    international: bool = Field(
        default=False,
        description="Whether accounts may call abroad unless they have limits of their own; opened for each is safer.",
    )
    premium: bool = Field(
        default=False,
        description="Whether accounts may call numbers at a raised tariff, satellites and prefixes nobody knows.",
    )
    minutes_per_day: int = Field(
        default=0,
        ge=0,
        le=100000,
        description="Minutes that one account may talk to numbers outside in a day; 0 sets no limit.",
    )
    money_per_day_cents: int = Field(
        default=0,
        ge=0,
        le=10000000,
        description="What one account may spend in a day by the rates entered, in cents; 0 sets no limit.",
    )
    warn_before_s: int = Field(
        default=60,
        ge=10,
        le=600,
        description="How long before its limit a call is told aloud that it will end, in seconds.",
    )
    alert_at_percent: int = Field(
        default=80,
        ge=1,
        le=100,
        description="At which part of a limit an alert is raised, in percent.",
    )


class Media(Section):
    """Where audio travels."""

    address: Annotated[str, AfterValidator(_address)] = Field(
        default="127.0.0.1",
        json_schema_extra=RESTART,
        description=("The address of this machine that phones are told to send their audio to."),
    )
    address6: Annotated[str, AfterValidator(_address6)] = Field(
        default="",
        json_schema_extra=RESTART,
        description="The same for phones that speak IPv6; empty: they are offered no audio by IPv6.",
    )
    public_address: Annotated[str, AfterValidator(_public_address)] = Field(
        default="",
        json_schema_extra=RESTART,
        description=(
            "Where a router forwards audio from outside to this machine: what phones and providers beyond "
            "media.local_networks are told instead of media.address. Empty: nothing stands between."
        ),
    )
    local_networks: tuple[Annotated[str, AfterValidator(network)], ...] = Field(
        default=("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "127.0.0.0/8", "::1/128"),
        strict=False,
        json_schema_extra=RESTART,
        description="Networks that reach media.address itself; only with media.public_address.",
    )
    rtp_port_first: Port = Field(
        default=20000, json_schema_extra=RESTART, description=("First UDP port for audio (even).")
    )
    rtp_port_last: Port = Field(
        default=20999,
        json_schema_extra=RESTART,
        description=("Last UDP port for audio. A conversation takes sixteen ports."),
    )


class Calls(Section):
    """Calls and the processes that carry them."""

    max_concurrent: int = Field(
        default=20,
        ge=1,
        le=500,
        description=("Conversations at once on this machine; the next caller is told that all lines are busy."),
    )
    max_per_account: int = Field(default=4, ge=1, le=100, description="Conversations at once of one account.")
    ring_timeout_s: int = Field(
        default=60, ge=5, le=600, description=("How long a called person's devices ring, in seconds.")
    )
    max_duration_s: int = Field(
        default=14400, ge=60, le=86400, description=("Longest conversation, in seconds; it is ended then.")
    )
    warm_workers: int = Field(
        default=3,
        ge=1,
        le=50,
        description=("Conversation workers kept ready, so that a call is answered at once."),
    )
    emergency_reserve: int = Field(
        default=1,
        ge=0,
        le=20,
        description="Workers beyond calls.max_concurrent that only an emergency call may take.",
    )
    diagnosis_days: int = Field(
        default=7,
        ge=0,
        le=90,
        description="Days for which beffroi calls why explains a call that is over. 0: nothing is kept of any.",
    )


class Emergency(Section):
    """Calls to the ambulance, the police, the fire brigade: they pass whatever else is forbidden or busy."""

    trunks: tuple[Annotated[str, AfterValidator(_name)], ...] = Field(
        default=(),
        strict=False,
        max_length=16,
        description="Names of the trunks that emergency calls leave by, in order. Empty: every trunk, preferred first.",
    )
    notify: tuple[Annotated[str, AfterValidator(_name)], ...] = Field(
        default=(),
        strict=False,
        max_length=50,
        description="Names of the accounts whose phones are sent a message about each emergency call.",
    )
    callback_min: int = Field(
        default=60,
        ge=0,
        le=1440,
        description=(
            "For how many minutes a call to the number that was presented rings who called for help, past do not "
            "disturb and forwards; 0: never."
        ),
    )
    location: dict[str, Annotated[str, AfterValidator(_location)]] = Field(
        default={},
        description=(
            "The Geolocation header sent along (RFC 6442), by account name; 'default' for all others. "
            'Such as { default = "<https://example.org/site.xml>" }.'
        ),
    )
    drill: bool = Field(
        default=False,
        description="For an exercise: every emergency call is only played, nothing leaves this machine.",
    )


class Numbering(Section):
    """How the numbers that people dial are read."""

    country: Annotated[str, AfterValidator(_country_or_empty)] = Field(
        default="",
        description="The country whose habits apply to what is dialled: two letters. Empty: company.country.",
    )
    area_code: Annotated[str, AfterValidator(_digits)] = Field(
        default="",
        max_length=6,
        description=(
            "Put before a number that is only complete with it, where local numbers are dialled without (not in FR)."
        ),
    )
    outside_prefix: Annotated[str, AfterValidator(_digits)] = Field(
        default="",
        max_length=3,
        description="What is dialled to leave the house, such as 0. Emergency numbers pass with and without it.",
    )


class Recording(Section):
    """Recordings of every line; what is recorded at all is decided by each line's purpose."""

    bitrate_bps: int = Field(
        default=48000,
        ge=24000,
        le=128000,
        description=("Bits per second of a two-channel recording (Opus). Below 48000 speech suffers."),
    )
    min_free_mb: int = Field(
        default=500,
        ge=10,
        le=1000000,
        description=("Megabytes that must be free on the disk; below it no recording begins."),
    )
    pause_max_s: int = Field(
        default=120,
        ge=10,
        le=3600,
        description="After how long a recording that staff has paused goes on by itself, in seconds.",
    )


class Retention(Section):
    """For how long what no pack of a line decides is kept, and what is told of many calls at once."""

    access_log: Annotated[str, AfterValidator(_period)] = Field(
        default="P1Y",
        description=(
            "Who looked at what and why: from P6M to P1Y (CNIL), up to P3Y with access_log_reason. "
            "Whole days are dropped, their signed heads stay."
        ),
    )
    access_log_reason: str = Field(
        default="",
        max_length=300,
        description="Which documented risk of misuse needs an access log of more than a year.",
    )
    min_group: int = Field(
        default=5,
        ge=3,
        le=100,
        description=(
            "Statistics show no group of fewer calls or persons than this. Lowering it tells more of the same calls."
        ),
    )


class Policy(Section):
    """The company's policy: what may be recorded and kept (`beffroi policy`)."""

    approvals: int = Field(
        default=1,
        ge=1,
        le=2,
        description=(
            "How many persons with the role dpo have to approve a version. With 2, whoever wrote it is none of them."
        ),
    )


class Storage(Section):
    """The database."""

    url: str = Field(
        default="",
        json_schema_extra=RESTART,
        description=("Empty: SQLite in the data directory. Or postgresql://user@host/name, without a password."),
    )


class Http(Section):
    """Health and metrics."""

    listen: Listen = Field(
        default="127.0.0.1:9464",
        json_schema_extra=RESTART,
        description=("Where /healthz and /metrics are served; loopback only."),
    )


class Log(Section):
    """Logs go to standard error and hold no number, name, message or password."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description=("How much is told: debug, info, warning or error.")
    )
    format: Literal["json", "text"] = Field(default="json", description="One JSON object a line, or text for people.")


class Secrets(Section):
    """Where secrets come from; they never stand in this file."""

    source: Literal["files", "systemd", "pkcs11"] = Field(
        default="files",
        json_schema_extra=RESTART,
        description=(
            "'files': keys/ with checked permissions; 'systemd': $CREDENTIALS_DIRECTORY; 'pkcs11': keys/*.p11, "
            "each sealed by a key that never leaves the token."
        ),
    )
    pkcs11_module: Annotated[str, AfterValidator(_pkcs11_module)] = Field(
        default="",
        json_schema_extra=RESTART,
        description="Path of the token's PKCS#11 library; needed with source 'pkcs11'.",
    )
    pkcs11_token_label: str = Field(
        default="",
        max_length=32,
        json_schema_extra=RESTART,
        description=("Label of the token; needed with source 'pkcs11'. Its PIN is read from keys/pkcs11.pin."),
    )
    pkcs11_key_label: str = Field(
        default="beffroi",
        max_length=64,
        json_schema_extra=RESTART,
        description=("Label of the AES-256 key in the token that seals the secrets."),
    )
