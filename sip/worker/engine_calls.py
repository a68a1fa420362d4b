"""The objects of pjsua2 that stand for a leg: calls, the accounts they belong to, and what is known of each leg.

Callbacks only hand things over to the engine's loop: most run inside the poll, some on a thread of pjmedia's.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote

import pjsua2 as pj

from sip.worker import protocol as p
from sip.worker.source_lock import Address, SourceLock, parse

SAVP = " RTP/SAVP "  # in the line m=audio of an offer (RFC 4568)
STATIC_PAYLOADS = {"0": "PCMU", "8": "PCMA", "9": "G722"}  # RFC 3551 section 6
KEYS = "0123456789*#ABCD"
PLAIN_KEYS = {"10": "*", "11": "#"}  # some send the event's number (RFC 4733 section 3.2)
TOKEN_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a worker is told at its birth."""

    domain: str
    edge_port: int  # the edge's loopback socket for workers
    media_address: str  # local address of RTP sockets, also written into SDP
    rtp_port_first: int
    rtp_port_count: int
    run_dir: str  # private directory; holds a name for a capture while it is opened, never audio
    media_address6: str = ""  # the same for legs over IPv6; "": none can be had
    clock_hz: int = 8000  # of the conference: 16000 for conversations that may be wideband


@dataclass
class Figures:
    """RTP figures of the streams that a leg has had: each new offer may begin another one."""

    rx_packets: int = 0
    rx_lost: int = 0
    rx_jitter_us: int = 0  # mean, weighted by packets
    tx_packets: int = 0
    tx_lost: int = 0
    tx_jitter_us: int = 0
    rtt_us: int = 0
    codec: str = ""

    def plus(self, other: Figures) -> Figures:
        packets = self.rx_packets + other.rx_packets
        jitter = self.rx_jitter_us * self.rx_packets + other.rx_jitter_us * other.rx_packets
        return Figures(
            packets,
            self.rx_lost + other.rx_lost,
            jitter // packets if packets else 0,
            self.tx_packets + other.tx_packets,
            self.tx_lost + other.tx_lost,
            other.tx_jitter_us or self.tx_jitter_us,
            other.rtt_us or self.rtt_us,
            other.codec or self.codec,
        )


@dataclass
class Leg:
    """What is known of one leg; ``call`` is None once it is down."""

    name: str
    call: Call | None
    state: str = "new"  # new, early, up, down
    dialled: bool = False
    hung_up: bool = False  # we ended it ourselves
    media_up: bool = False
    media_since: float | None = None  # monotonic, when media first came up
    hears: bool = False  # audio goes to it: media is up, and it does not hold
    held: bool = False  # it holds: it has put us on hold
    # what it is played
    missed: bool = False  # has not heard all of what is being played
    player: Any = None
    pending_play: p.Play | None = None
    ringback: bool = False
    echo: bool = False
    music: Any = None
    tone: Any = None
    tone_until: float = 0.0  # monotonic
    slot: int = -1  # in the conference, when it was last looked at
    # its figures and whom it hears
    past: Figures = field(default_factory=Figures)  # of streams that are over
    told: bool = False  # its last figures
    peak: int = -1  # the loudest that was heard from it, 0 to 255, while somebody listened
    lock: SourceLock | None = None
    watched_since: float | None = None  # monotonic: whom it hears is looked for; None when that is known
    silent_since: float | None = None  # the same; None once it was told that nothing comes

    def port(self) -> Any:
        """Its port in the conference; None while it has none. Raises pj.Error."""
        if self.call is None or not self.media_up or self.call.conference_slot() < 0:
            return None
        return self.call.getAudioMedia(-1)

    def can_be_played(self) -> bool:
        """Not while its audio is inactive from the start: then it has no stream yet."""
        with contextlib.suppress(pj.Error):
            return self.port() is not None
        return False

    def figures(self) -> Figures:
        """Of all its streams, the running one included."""
        with contextlib.suppress(pj.Error):
            if self.call is not None and self.media_up:
                return self.past.plus(self.call.figures(0))
        return self.past


class Host(Protocol):
    """What callbacks need of the engine."""

    codecs: Mapping[str, int]  # pjsua's ids

    def defer(self, act: Callable[..., None], *arguments: Any) -> None: ...
    def defer_from_thread(self, act: Callable[..., None], *arguments: Any) -> None: ...
    def take(self, account: Account, call_id: int, message: str) -> None: ...
    def on_call_state(self, name: str, state: int, code: int, reason: str, audio: bool) -> None: ...
    def on_media_state(self, name: str, status: int | None) -> None: ...
    def on_digit(self, name: str, digit: str) -> None: ...
    def on_stream_destroyed(self, name: str, figures: Figures) -> None: ...


class Call(pj.Call):  # type: ignore[misc]
    """Hands every callback to the loop."""

    def __init__(self, engine: Host, account: Any, name: str, call_id: int = -1, *, srtp: bool) -> None:
        super().__init__(account, call_id)
        self.engine = engine
        self.name = name
        self.srtp = srtp

    # --- what can be asked: whatever pjsua2 returns must live while its members are read ---------

    def conference_slot(self) -> int:
        """-1 while its audio is in no conference: inactive, or not there yet."""
        info = self.getInfo()
        slots = [media.audioConfSlot for media in info.media if media.type == pj.PJMEDIA_TYPE_AUDIO]
        return int(slots[0]) if slots else -1

    def sip_call_id(self) -> str:
        info = self.getInfo()
        return str(info.callIdString)

    def last_status(self) -> int:
        info = self.getInfo()
        return int(info.lastStatusCode)

    def contact(self) -> str:
        with contextlib.suppress(pj.Error):  # it has ended in the same moment
            info = self.getInfo()
            return str(info.remoteContact)
        return ""

    def codec(self) -> tuple[str, bool]:
        """Name of the codec, and whether its stream is encrypted; "" while there is no stream."""
        if self.conference_slot() < 0:
            return "", False
        stream = self.getStreamInfo(0)
        return str(stream.codecName), stream.proto & pj.PJMEDIA_TP_PROFILE_SRTP == pj.PJMEDIA_TP_PROFILE_SRTP

    def signalled(self) -> Address | None:
        """Where the other side's SDP wants audio to go; None while there is no stream."""
        if self.conference_slot() < 0:
            return None
        stream = self.getStreamInfo(0)
        return parse(str(stream.remoteRtpAddress))

    def rtp_socket(self) -> Address | None:
        transport = self.getMedTransportInfo(0)
        return parse(str(transport.localRtpName))

    def figures(self, index: int) -> Figures:
        statistics, stream = self.getStreamStat(index), self.getStreamInfo(index)
        rtcp = statistics.rtcp
        return Figures(
            rtcp.rxStat.pkt,
            rtcp.rxStat.loss,
            rtcp.rxStat.jitterUsec.mean,
            rtcp.txStat.pkt,
            rtcp.txStat.loss,
            rtcp.txStat.jitterUsec.mean,
            rtcp.rttUsec.mean,
            str(stream.codecName),
        )

    # --- callbacks --------------------------------------------------------------------------------

    def onCallState(self, _prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        # Looked at now: until the loop acts on it the call may be gone.
        nothing = (pj.PJSUA_CALL_MEDIA_NONE, pj.PJSUA_CALL_MEDIA_ERROR)
        audio = any(m.type == pj.PJMEDIA_TYPE_AUDIO and m.status not in nothing for m in info.media)
        told = (info.state, info.lastStatusCode, info.lastReason, audio)
        self.engine.defer(self.engine.on_call_state, self.name, *told)

    def onCallMediaState(self, _prm: Any) -> None:  # noqa: N802
        # What holds now: until the loop acts on it, the next offer may have changed it again.
        info = self.getInfo()
        status = [media.status for media in info.media if media.type == pj.PJMEDIA_TYPE_AUDIO]
        self.engine.defer(self.engine.on_media_state, self.name, status[0] if status else None)

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        # From inside the poll, which would go on: wake it, or the key waits for the next one.
        self.engine.defer_from_thread(self.engine.on_digit, self.name, str(prm.digit)[:1])

    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802
        # pjsua reads application/dtmf-relay itself; of application/dtmf it answers 500, yet the key was pressed.
        event = prm.e
        if event.type != pj.PJSIP_EVENT_TSX_STATE or event.body.tsxState.type != pj.PJSIP_EVENT_RX_MSG:
            return
        state = event.body.tsxState
        if state.tsx.method == "INFO" and state.tsx.state == pj.PJSIP_TSX_STATE_TRYING:
            self.engine.defer_from_thread(self.engine.on_digit, self.name, plain_digit(state.src.rdata.wholeMsg))

    def onStreamDestroyed(self, prm: Any) -> None:  # noqa: N802
        with contextlib.suppress(pj.Error):  # the stream is still there to be asked
            self.engine.on_stream_destroyed(self.name, self.figures(prm.streamIdx))

    def onCallRxOffer(self, prm: Any) -> None:  # noqa: N802
        offer = prm.offer.wholeSdp
        # What began encrypted goes on encrypted; and without a codec of ours pjsip would answer 500.
        if (self.srtp and SAVP not in offer) or not offers_codec(offer, self.engine.codecs):
            prm.statusCode = pj.PJSIP_SC_NOT_ACCEPTABLE_HERE

    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802
        # The edge asks the daemon about a REFER and never relays one: what comes here is not ours.
        prm.statusCode = pj.PJSIP_SC_NOT_IMPLEMENTED


class Account(pj.Account):  # type: ignore[misc]
    def __init__(self, engine: Host) -> None:
        super().__init__()
        self.engine = engine

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        self.engine.take(self, prm.callId, prm.rdata.wholeMsg)


def offers_codec(sdp: str, codecs: Mapping[str, int]) -> bool:
    """Whether there is audio in this offer that one of these codecs fits (RFC 3264 section 6.1)."""
    found = re.search(r"(?m)^m=audio \d+ \S+((?: \d+)+)", sdp)
    if found is None:
        return False
    payloads = set(found[1].split())
    named = {(payload, name.upper()) for payload, name in re.findall(r"(?m)^a=rtpmap:(\d+) ([^/\s]+)/", sdp)}
    ours = {codec.split("/")[0] for codec in codecs}
    mapped = {payload for payload, _name in named}
    return any(payload in payloads and name in ours for payload, name in named) or any(
        payload in payloads - mapped and name in ours for payload, name in STATIC_PAYLOADS.items()
    )


def plain_digit(message: str) -> str:
    """The key of an INFO whose body is nothing else; "" if it is another one."""
    head, _, body = message.partition("\r\n\r\n")
    if re.search(r"(?im)^(?:content-type|c)[ \t]*:[ \t]*application/dtmf[ \t]*(?:;|\r?$)", head) is None:
        return ""
    key = body.strip().upper()
    return PLAIN_KEYS.get(key, key if len(key) == 1 else "")


def call_parameters() -> Any:
    parameters = pj.CallOpParam(True)
    parameters.opt.audioCount = 1
    parameters.opt.videoCount = 0
    return parameters


def header(name: str, value: str) -> Any:
    made = pj.SipHeader()
    made.hName, made.hValue = name, value
    return made


def headers(wanted: Mapping[str, str]) -> list[Any]:
    """Only what is one header of one line (RFC 3261 section 25.1); ValueError for the rest."""
    for name, value in wanted.items():
        if not name or not TOKEN_CHARACTERS.issuperset(name) or not value.isprintable():
            raise ValueError("not a header")
    return [header(name, value) for name, value in wanted.items()]


def user_part(user: str) -> str:
    """The user part of a SIP URI (RFC 3261 section 25.1): what may not stand there, such as #, is escaped."""
    return quote(user, safe="-_.!~*'()&=+$,;?/")


def quoted(display: str) -> str:
    """A display name as quoted-string (RFC 3261 section 25.1); control characters do not pass."""
    clean = "".join(c for c in display if c.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def sipfrag(command: p.Notify) -> Any:
    """NOTIFY of an implicit subscription to a transfer (RFC 3515 section 2.4.5, RFC 3420)."""
    request = pj.CallSendRequestParam()
    request.method = "NOTIFY"
    state = "terminated;reason=noresource" if command.final else "active;expires=60"
    reason = "".join(c for c in command.reason if c.isprintable())
    for made in (header("Event", "refer"), header("Subscription-State", state)):
        request.txOption.headers.append(made)
    request.txOption.contentType = "message/sipfrag;version=2.0"
    request.txOption.msgBody = f"SIP/2.0 {command.code} {reason}\r\n"
    return request
