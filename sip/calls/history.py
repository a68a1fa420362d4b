"""What is remembered of one call to tell how it went: kinds, counts and times. Never a number, a name or an address."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["", "loopback", "private", "public", "none"]  # of an address; "" where it is not known
Side = Literal["", "phone", "us"]


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts of RTP (RFC 3550 section 6.4). ``tx_lost`` and ``tx_jitter_us`` are what the other side reports."""

    rx_packets: int = 0
    rx_lost: int = 0
    rx_jitter_us: int = 0
    tx_packets: int = 0
    tx_lost: int = 0
    tx_jitter_us: int = 0
    rtt_us: int = 0

    @property
    def reported(self) -> bool:
        """The other side sends RTCP that tells what it receives."""
        return bool(self.rtt_us or self.tx_lost or self.tx_jitter_us)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A leg's audio from one change to the next: an answer, a hold, a resume, a transfer."""

    since: str  # "start", "hold", "resume", "transfer", "change"
    length_ms: int
    figures: Figures = Figures()
    held: bool = False  # the phone held: nothing needs to come
    quiet_ms: int = 0  # at its end nothing has come for about so long
    peak: int = -1  # loudest that was heard, 0 to 255; -1 where nobody has listened


@dataclass(frozen=True, slots=True)
class LegHistory:
    """One leg."""

    leg: str
    inward: bool = False  # it called us; else we have dialled it
    trunk: bool = False  # a provider, not a telephone of ours
    transport: str = ""  # of its signalling: "tls", "tcp", "udp"; "" where it is not known
    signalling: Kind = ""  # kind of the address that its signalling comes from
    srtp_asked: bool | None = None  # the offer, its own or ours, was RTP/SAVP
    srtp: bool = False  # agreed
    codec: str = ""  # agreed
    signalled: Kind = ""  # kind of the address in its SDP
    source: Kind = ""  # kind of the address that its audio comes from
    moved: bool = False  # and that is another than the one in its SDP
    asked_ms: int = 0
    rang_ms: int | None = None
    up_ms: int | None = None
    down_ms: int | None = None
    status: int = 0  # that ended it; 0 while it goes on
    ended_by: Side = ""
    stretches: tuple[Stretch, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One rung of the ladder: something that a leg and we have said to each other."""

    at_ms: int | None  # since the call began; None where the record's class keeps no such time
    leg: str
    inward: bool  # from the leg to us
    what: str  # "INVITE", "180", "BYE" ...


@dataclass(frozen=True, slots=True)
class CallHistory:
    """One call."""

    kind: str  # "ring", "echo", "service", "drill"
    cause: str  # of Outcome or Refusal; "" while it goes on
    code: int
    length_ms: int
    legs: tuple[LegHistory, ...] = ()
    ladder: tuple[Step, ...] = ()
    troubles: tuple[tuple[str, str], ...] = ()  # (where, pjsip's own name of the error), what the engine refused
    transfers: int = 0
    reached: bool = True  # the caller's INVITE has come as far as the engine
    answered: bool = False  # the caller's leg was answered, be it by a prompt
    talked: bool = False
    crashed: bool = False  # the worker died
    left_out: int = field(default=0)  # steps that the ladder has no room for
