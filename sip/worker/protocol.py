"""What the daemon says to a conversation worker, and what the worker says back.

One message is one JSON object in one packet of a SOCK_SEQPACKET socket pair: ``{"t": <class name>, ...fields}``.
File descriptors (the two memfds of a capture) travel beside it as SCM_RIGHTS. The worker decides nothing: each
command names one act on one leg, each event one fact about one leg. The engine behind this seam may be replaced
without call control noticing.

Legs are named by call control: ``a`` is the caller, ``b0``, ``b1`` are what was dialled for the callee.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field

MAX_PACKET_BYTES = 65536


class ProtocolError(Exception):
    """A packet that is not a message of this protocol."""


# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expect:
    """Accept the one INVITE that carries this token as ``leg``; every other INVITE is refused with 403.

    ``ipv6``: its audio goes over IPv6 (RFC 4291), from the media address of that family.
    """

    token: str
    leg: str = "a"
    ipv6: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Send a final or provisional answer on an incoming leg (RFC 3261 section 13.3.1)."""

    leg: str
    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Dial:
    """Send an INVITE to the edge for this leg."""

    leg: str
    user: str  # user part of the request URI and To
    token: str  # tells the edge, and through it call control, which leg this is
    from_user: str
    from_display: str
    srtp: bool  # offer RTP/SAVP (SDES, RFC 4568) and nothing else; False: RTP/AVP and nothing else
    ipv6: bool = False  # its audio goes over IPv6, if there is an address for that; else over IPv4
    headers: dict[str, str] = field(default_factory=dict)  # more headers of the INVITE: Diversion, Privacy ...


@dataclass(frozen=True, slots=True)
class Hangup:
    """End a leg: CANCEL, final answer ``code`` or BYE, whichever fits its state. ``cause`` goes into a
    Reason header (RFC 3326) of the BYE; 0 sends none. ``phrase`` is that of a final answer; "": the usual one."""

    leg: str
    code: int = 0
    cause: int = 0
    text: str = ""
    phrase: str = ""


@dataclass(frozen=True, slots=True)
class Play:
    """Play a WAV file to a leg once, from the moment that its media is up and that it is known where its audio comes
    from, or half a second later. Ends with PlayEnded or PlayFailed."""

    leg: str
    play_id: int
    path: str


@dataclass(frozen=True, slots=True)
class StopPlay:
    leg: str


@dataclass(frozen=True, slots=True)
class Ringback:
    """Start or stop the local ringing tone on an answered leg."""

    leg: str
    on: bool


@dataclass(frozen=True, slots=True)
class Music:
    """Start or stop a WAV file played to a leg again and again, for somebody who waits. ``path`` "" when it stops."""

    leg: str
    on: bool
    path: str = ""


@dataclass(frozen=True, slots=True)
class Tone:
    """A short signal to one leg; nobody else hears it. ``name``: "done", "refused", "warning"."""

    leg: str
    name: str


@dataclass(frozen=True, slots=True)
class Bridge:
    """Connect (or part) the audio of two legs, both ways."""

    a: str
    b: str
    on: bool = True


@dataclass(frozen=True, slots=True)
class Echo:
    """Send a leg's own audio back to it."""

    leg: str
    on: bool


@dataclass(frozen=True, slots=True)
class SendDigit:
    """Send one digit on a leg as RFC 4733 event; else as INFO (application/dtmf-relay)."""

    leg: str
    digit: str


@dataclass(frozen=True, slots=True)
class Capture:
    """Write what is heard *from* the named legs into the two descriptors that travel with this packet, as 16 bit
    mono WAV on one common time line. An empty name leaves its channel silent."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class PauseCapture:
    """Let silence flow into both channels of the running capture, so that time is kept; or end that."""

    on: bool


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell a leg how the transfer that it asked for goes: NOTIFY with message/sipfrag (RFC 3515 section 2.4.5).
    ``final`` ends the implicit subscription."""

    leg: str
    code: int
    reason: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """Ask for a leg's figures now; answered by LegQuality."""

    leg: str


@dataclass(frozen=True, slots=True)
class StopCapture:
    """Flush and close both files; answered by CaptureStopped."""


@dataclass(frozen=True, slots=True)
class Leave:
    """Hang up whatever is left and end the process."""


# --- events ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    port: int  # UDP port on 127.0.0.1 where the worker speaks SIP
    pid: int


@dataclass(frozen=True, slots=True)
class Incoming:
    """The expected INVITE has arrived, as the leg that Expect named."""

    leg: str
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class LegRinging:
    """A provisional answer came on a dialled leg; ``media`` says whether early media flows (183 with SDP)."""

    leg: str
    code: int
    media: bool


@dataclass(frozen=True, slots=True)
class LegUp:
    """200 and ACK have passed: the dialog is confirmed. ``contact``: the other side's Contact URI."""

    leg: str
    contact: str = ""


@dataclass(frozen=True, slots=True)
class LegDown:
    """The leg is over. ``code`` is the SIP status that ended it (200 for a BYE)."""

    leg: str
    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LegDialled:
    """The INVITE of a dialled leg was sent; its Call-ID, for cleaning up after a crash."""

    leg: str
    sip_call_id: str


@dataclass(frozen=True, slots=True)
class LegMedia:
    """Media of a leg came up, changed or was put on hold. ``held``: the other side has put us on hold (sendonly or
    inactive, RFC 3264 section 8.4); ``active`` stays true then."""

    leg: str
    active: bool
    codec: str = ""
    srtp: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class LegNetwork:
    """How a leg's audio travels, in kinds and never in addresses: told once audio has come, and when it changes.

    ``signalled``: kind of the address in the other side's SDP: "loopback", "private", "public", "none" (0.0.0.0).
    ``source``: kind of the address that audio really comes from, "" if none has come. ``moved``: it is not the
    signalled one. ``locked``: audio from anywhere else is not heard any more.
    """

    leg: str
    signalled: str
    source: str
    moved: bool
    locked: bool


@dataclass(frozen=True, slots=True)
class PlayEnded:
    """A file was played to its last sample. ``heard`` is False if the leg's media was not up all the while."""

    leg: str
    play_id: int
    media_ms: int  # time since the leg's media first came up
    heard: bool


@dataclass(frozen=True, slots=True)
class PlayFailed:
    leg: str
    play_id: int
    why: str


@dataclass(frozen=True, slots=True)
class Digit:
    leg: str
    digit: str
    media_ms: int


@dataclass(frozen=True, slots=True)
class Captured:
    """The capture has begun."""


@dataclass(frozen=True, slots=True)
class CaptureFailed:
    why: str


@dataclass(frozen=True, slots=True)
class CaptureStopped:
    """Both files are complete up to the last sample."""


@dataclass(frozen=True, slots=True)
class LegQuality:
    """RTP figures of a leg (RFC 3550 section 6.4), at its end or when Measure asked. tx_lost and tx_jitter_us are what
    the other side reports in RTCP, 0 while it reports nothing. ``level``: the loudest that was heard from it so far, 0
    to 255, as far as was looked; -1 while nobody listens."""

    leg: str
    rx_packets: int
    rx_lost: int
    rx_jitter_us: int
    tx_packets: int
    rtt_us: int
    tx_lost: int = 0
    tx_jitter_us: int = 0
    codec: str = ""
    final: bool = True
    level: int = -1


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that the media engine refused to do; the conversation goes on as far as it can."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """The last word of a worker that ends as it should."""

    cpu_ms: int


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """Made by the pool, never sent: the process ended without ``Left``."""


Command = (
    Expect
    | Answer
    | Dial
    | Hangup
    | Play
    | StopPlay
    | Ringback
    | Music
    | Tone
    | Bridge
    | Echo
    | SendDigit
    | Capture
    | PauseCapture
    | StopCapture
    | Notify
    | Measure
    | Leave
)
Event = (
    Ready
    | Incoming
    | LegRinging
    | LegUp
    | LegDown
    | LegDialled
    | LegMedia
    | LegNetwork
    | PlayEnded
    | PlayFailed
    | Digit
    | Captured
    | CaptureFailed
    | CaptureStopped
    | LegQuality
    | Trouble
    | Left
)

_BY_NAME: dict[str, type[Command] | type[Event]] = {cls.__name__: cls for cls in (*Command.__args__, *Event.__args__)}


def encode(message: Command | Event) -> bytes:
    """One packet."""
    fields = {f.name: getattr(message, f.name) for f in dataclasses.fields(message)}
    return json.dumps({"t": type(message).__name__, **fields}).encode()


def decode(packet: bytes) -> Command | Event:
    """The message of one packet; ProtocolError if it is none."""
    try:
        fields = json.loads(packet)
        return _BY_NAME[fields.pop("t")](**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(f"not a worker message ({type(error).__name__})") from error
