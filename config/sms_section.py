"""The section of the configuration file that is about texts: carriers, hours, how long, who is told of replies."""

from __future__ import annotations

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints

from config.addresses import Endpoint
from config.alert_section import Address
from config.iso import country_problem
from config.sections import RESTART, Section, is_domain_or_empty, network, wrong

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,31}$")]
Prefix = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{0,9}$")]
Class = Literal["transactional", "marketing", "conversation", "internal"]


def _path(text: str) -> str:
    if text and not text.startswith("/"):
        raise wrong("is not a full path", "write a path such as /etc/beffroi/centre-ca.pem")
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError):
        raise wrong("is no time zone", "write a name such as Europe/Paris, or UTC") from None
    return text


def _region(code: str) -> str:
    if remedy := country_problem(code):
        raise wrong("is not a country code", remedy)
    return code


Path = Annotated[str, AfterValidator(_path)]


class Carrier(Section):
    """One way by which texts leave and come in. Its password or PIN lies with the other secrets:
    smpp.NAME.password, modem.NAME.pin."""

    kind: Literal["smpp", "modem", "trunk"] = Field(
        default="smpp",
        description="'smpp': a message centre; 'modem': a SIM in this machine; 'trunk': a SIP trunk.",
        json_schema_extra=RESTART,
    )
    host: str = Field(
        default="", max_length=255, description="Of the message centre (smpp).", json_schema_extra=RESTART
    )
    port: int = Field(default=2775, ge=1, le=65535, description="Of the message centre.", json_schema_extra=RESTART)
    system_id: str = Field(
        default="", max_length=15, description="Who we are to the message centre.", json_schema_extra=RESTART
    )
    system_type: str = Field(
        default="", max_length=12, description="Where the centre asks for one.", json_schema_extra=RESTART
    )
    pair: bool = Field(
        default=False,
        description="Two sessions, one out and one in, instead of one for both.",
        json_schema_extra=RESTART,
    )
    tls: bool = Field(default=True, description="Talk to the centre by TLS.", json_schema_extra=RESTART)
    ca_file: Path = Field(
        default="",
        description="Certificates (PEM) that vouch for the centre; empty: those that this machine trusts.",
        json_schema_extra=RESTART,
    )
    certificate_file: Path = Field(
        default="", description="Our own certificate, where the centre wants one.", json_schema_extra=RESTART
    )
    key_file: Path = Field(default="", description="Its key.", json_schema_extra=RESTART)
    server_name: str = Field(
        default="",
        max_length=255,
        description="What the centre's certificate says; empty: the host.",
        json_schema_extra=RESTART,
    )
    window: int = Field(
        default=10, ge=1, le=1000, description="Parts on their way at a time.", json_schema_extra=RESTART
    )
    per_s: float = Field(
        default=0,
        ge=0,
        le=10000,
        description="Parts a second at most; 0: as the centre takes.",
        json_schema_extra=RESTART,
    )
    long_texts: Literal["udh8", "sar", "payload"] = Field(
        default="udh8",
        description="How parts of a long text are marked: as the centre wants it.",
        json_schema_extra=RESTART,
    )
    alphabet: Literal["gsm", "latin1"] = Field(
        default="gsm",
        description="What the centre takes data coding 0 for.",
        json_schema_extra=RESTART,
    )
    response_s: float = Field(
        default=30,
        ge=1,
        le=300,
        description="Without an answer after so many seconds nobody knows what became of a part.",
        json_schema_extra=RESTART,
    )
    zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="Time zone of the centre's receipts.", json_schema_extra=RESTART
    )
    device: str = Field(
        default="", max_length=255, description="Of the modem, such as /dev/ttyUSB0.", json_schema_extra=RESTART
    )
    number: str = Field(
        default="", max_length=20, description="Of the SIM, with + and its country.", json_schema_extra=RESTART
    )
    trunk: str = Field(default="", max_length=64, description="Name of the SIP trunk.", json_schema_extra=RESTART)
    prefixes: Annotated[tuple[Prefix, ...], Field(strict=False)] = Field(
        default=(),
        description='Only numbers that begin so, such as ["+262", "+590"]; the longest counts. None: all.',
        json_schema_extra=RESTART,
    )
    classes: Annotated[tuple[Class, ...], Field(strict=False)] = Field(
        default=("transactional", "marketing", "conversation", "internal"),
        description="What it carries. A modem never carries marketing (Arcep 2018-0881).",
        json_schema_extra=RESTART,
    )
    short_codes: bool = Field(
        default=False, description="Whether it takes texts to short codes.", json_schema_extra=RESTART
    )
    part_cost_microeuros: int = Field(
        default=0,
        ge=0,
        le=10_000_000,
        description="Price of a part, in millionths of a euro: 45000 is 4.5 cents.",
        json_schema_extra=RESTART,
    )
    preference: int = Field(
        default=0, ge=-1000, le=1000, description="The higher goes first, before the price.", json_schema_extra=RESTART
    )


class Sms(Section):
    """Texts in and out. Without a carrier there are none but between employees."""

    carriers: dict[Name, Carrier] = Field(
        default={},
        description="Ways in and out, each under a name: [sms.carriers.NAME].",
        json_schema_extra=RESTART,
    )
    hours_profile: Literal["prudent", "af2m-2024", "af2m-2026"] = Field(
        default="prudent",
        description="When advertising may be sent, where its recipient is. 'prudent' is the strictest.",
    )
    campaign_approval: Literal["one", "two"] = Field(
        default="two", description="How many persons a campaign needs: whoever made it, or somebody else besides."
    )
    max_parts: int = Field(default=10, ge=1, le=255, description="Parts of a text at most.")
    transliterate: bool = Field(
        default=False,
        description="Replace what the GSM alphabet lacks (ç, ê, quotes) where a text becomes cheaper by it.",
    )
    overseas: Annotated[tuple[Annotated[str, AfterValidator(_region)], ...], Field(strict=False)] = Field(
        default=(),
        description='Other regions whose national numbers are understood, such as ["RE", "GP"].',
    )
    phone_copy_h: int = Field(
        default=72,
        ge=0,
        le=168,
        description="How many hours a text waits for a person's phones, openable by this machine. 0: it does not.",
    )
    identity: str = Field(
        default="",
        max_length=300,
        description="What HELP is answered with; empty: the company's name and its data protection contact.",
    )
    console: str = Field(
        default="", max_length=200, description="Where notices send people to look. Empty: they are told what to type."
    )
    notices: dict[Name, Annotated[tuple[Address, ...], Field(strict=False)]] = Field(
        default={},
        strict=False,
        description=(
            "Who is told by mail that something came in, by inbox, without a word or a number of it. "
            'Such as { support = ["team@example.org"] }. Sent through alerts.mail_relay.'
        ),
    )


def _listen(text: str) -> str:
    if not text:
        return text
    try:
        return str(Endpoint.parse(text))
    except ValueError as error:
        raise wrong(str(error), "write ip:port, such as 192.0.2.1:587, or leave it empty") from None


class Mail(Section):
    """Texts by mail: a mail to NUMBER@DOMAIN becomes a text (docs/mail.md)."""

    listen: Annotated[str, AfterValidator(_listen)] = Field(
        default="",
        description="Where mails are taken, ip:port. Empty: nowhere. STARTTLS with the certificate that phones see.",
        json_schema_extra=RESTART,
    )
    domain: Annotated[str, AfterValidator(is_domain_or_empty)] = Field(
        default="", description="Of the addresses that mean a telephone.", json_schema_extra=RESTART
    )
    hostname: Annotated[str, AfterValidator(is_domain_or_empty)] = Field(
        default="", description="What the listener calls itself; empty: the domain.", json_schema_extra=RESTART
    )
    relays: Annotated[tuple[Annotated[str, AfterValidator(network)], ...], Field(strict=False)] = Field(
        default=(),
        description="Mail servers of the company that may hand mails in without a password: networks, such as"
        ' ["192.0.2.25/32"].',
        json_schema_extra=RESTART,
    )
    burst: int = Field(
        default=20, ge=1, le=100000, description="Texts that a login may order at once.", json_schema_extra=RESTART
    )
    every_s: float = Field(
        default=3, ge=0.001, le=86400, description="Then one in so many seconds.", json_schema_extra=RESTART
    )
