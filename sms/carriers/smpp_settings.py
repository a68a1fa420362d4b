"""What a carrier by SMPP is told. Bounds are checked where it is made: ValueError names what lies outside."""

from __future__ import annotations

import enum
import ssl
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path

from sms.carriers.smpp_texts import DefaultAlphabet, LongTexts


class Binds(enum.StrEnum):
    """One session for both directions, or one for each (SMPP 3.4 §2.1)."""

    TRANSCEIVER = "transceiver"
    PAIR = "pair"


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca`: the only authorities that are believed; None: those of the machine. `certificate`, `key`: our own.

    `server_name`: what the centre's certificate must say; empty: the host.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = field(default=None, repr=False)
    server_name: str = ""

    def context(self) -> ssl.SSLContext:
        """TLS 1.2 or newer. Raises OSError (ssl.SSLError is one) where a file cannot be used."""
        context = ssl.create_default_context(cafile=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            context.load_cert_chain(self.certificate, self.key)
        return context


@dataclass(frozen=True, slots=True)
class SmppSettings:
    """Seconds everywhere. `country` (ISO 3166): whose national numbers and short codes come in.

    `window`: parts on their way at a time. `per_s`: parts a second; None: as fast as the centre takes them.
    `response_s`: after which a part's fate is unknown. `refused_retry_s`: after a wrong password, which locks accounts.
    `retry_s` to `retry_most_s`: between tries to connect. `zone`: of the dates in receipts.
    `inbound_most`: what waits to be committed before the centre is told to wait; `inbound_at_a_time` are committed.
    """

    name: str
    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    country: str
    system_type: str = ""
    binds: Binds = Binds.TRANSCEIVER
    tls: Tls | None = None
    window: int = 10
    per_s: float | None = None
    long_texts: LongTexts = LongTexts.UDH8
    default_alphabet: DefaultAlphabet = DefaultAlphabet.GSM
    short_code_ton: int = 3
    short_code_npi: int = 0
    service_type: str = ""
    no_credit: frozenset[int] = frozenset()
    zone: tzinfo = UTC
    connect_s: float = 10.0
    response_s: float = 30.0
    enquire_s: float = 30.0
    retry_s: float = 1.0
    retry_most_s: float = 60.0
    refused_retry_s: float = 300.0
    goodbye_s: float = 3.0
    inbound_most: int = 1000
    inbound_at_a_time: int = 200

    def __post_init__(self) -> None:
        for what, room in (("system_id", 15), ("password", 64), ("system_type", 12), ("service_type", 5)):
            value = getattr(self, what)
            if len(value) > room or not value.isascii() or (value and not value.isprintable()):
                raise ValueError(f"{what}: at most {room} printable ASCII characters")
        for what, least, most in _BOUNDS:
            value = getattr(self, what)
            if value is not None and not least <= value <= most:
                raise ValueError(f"{what}: between {least:g} and {most:g}")
        if not self.host or not self.system_id:
            raise ValueError("host and system_id: not empty")
        if self.retry_most_s < self.retry_s:
            raise ValueError("retry_most_s: not less than retry_s")


_BOUNDS = (
    ("port", 1, 65_535),
    ("window", 1, 1000),
    ("per_s", 0.1, 10_000),
    ("short_code_ton", 0, 6),
    ("short_code_npi", 0, 18),
    ("connect_s", 0.1, 120),
    ("response_s", 0.1, 300),
    ("enquire_s", 0.1, 3600),
    ("retry_s", 0.01, 60),
    ("retry_most_s", 0.01, 3600),
    ("refused_retry_s", 0.1, 86_400),
    ("goodbye_s", 0.1, 60),
    ("inbound_most", 1, 100_000),
    ("inbound_at_a_time", 1, 1000),
)
