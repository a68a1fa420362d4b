"""The media engine of one conversation: the only module that knows pjsua2.

It runs in a process of its own, forked from the zygote. It answers, plays, listens for keys, dials, bridges and
captures as it is told (``sip.worker.protocol``); it decides nothing, knows no database and holds no key.

Threads: pjsip is polled by this module's loop alone (threadCnt 0, mainThreadOnly), media runs in pjmedia's own two
threads. Callbacks only append to ``_todo``; everything is done in the loop. The loop sleeps inside pjsip until a SIP
packet comes: whoever has something for it (the daemon with a command, a callback on a media thread) also sends a
CRLF keep-alive (RFC 5626 section 4.4.1) to the worker's SIP port, so the poll may be long and an idle call cheap.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pjsua2 as pj

from sip.worker import protocol as p

# pjsip hands a key over when a poll begins, so these bound how late one is noticed.
POLL_MS = 250  # in conversation
POLL_ASKING_MS = 50  # before anybody talks: somebody may be asked something
CLOCK_HZ = 8000
FLUSH_S = 0.5  # for pjmedia to write the last samples of a capture
LINGER_S = 0.3  # pjsip still answers retransmissions of the last BYE
WAKE = b"\r\n\r\n"
RINGBACK_HZ = 440  # France: 440 Hz, 1.5 s on, 3.5 s off (ITU-T E.180 supplement 2)
RINGBACK_ON_MS = 1500
RINGBACK_OFF_MS = 3500

_MEDIA_UP = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
_SAVP = " RTP/SAVP "  # in the line m=audio of an offer (RFC 4568)
_CODEC_PRIORITY = {"PCMA/8000/1": 255, "PCMU/8000/1": 250}


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What a worker is told at its birth."""

    domain: str
    edge_port: int  # the edge's loopback socket for workers
    media_address: str  # local address of RTP sockets, also written into SDP
    rtp_port_first: int
    rtp_port_count: int
    run_dir: str  # private directory; holds a name for a capture while it is opened, never audio


@dataclass
class _Leg:
    """What is known of one leg; ``call`` is None once it is down."""

    name: str
    call: _Call | None
    state: str = "new"  # new, early, up, down
    media_up: bool = False
    media_since: float | None = None  # monotonic, when media first came up
    hears: bool = False  # audio goes to it: media is up, and it does not hold
    missed: bool = False  # has not heard all of what is being played
    player: _Player | None = None
    pending_play: p.Play | None = None
    ringback: bool = False
    echo: bool = False
    dialled: bool = False
    slot: int = -1  # in the conference, when it was last looked at
    hung_up: bool = False  # we ended it ourselves


class _Call(pj.Call):  # type: ignore[misc]
    """Hands every callback to the loop."""

    def __init__(self, engine: Engine, account: Any, name: str, call_id: int = -1, *, srtp: bool) -> None:
        super().__init__(account, call_id)
        self.engine = engine
        self.name = name
        self.srtp = srtp

    def onCallState(self, _prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        self.engine.defer(self.engine.on_call_state, self.name, info.state, info.lastStatusCode, info.lastReason)

    def onCallMediaState(self, _prm: Any) -> None:  # noqa: N802
        # What holds now: until the loop acts on it, the next offer may have changed it again.
        info = self.getInfo()  # must live while its members are read
        status = [media.status for media in info.media if media.type == pj.PJMEDIA_TYPE_AUDIO]
        self.engine.defer(self.engine.on_media_state, self.name, status[0] if status else None)

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        # From inside the poll, which would go on: wake it, or the key waits for the next one.
        self.engine.defer_from_thread(self.engine.on_digit, self.name, str(prm.digit)[:1])

    def onStreamDestroyed(self, prm: Any) -> None:  # noqa: N802
        with contextlib.suppress(pj.Error):
            self.engine.on_stream_destroyed(self.name, self, prm.streamIdx)

    def onCallRxOffer(self, prm: Any) -> None:  # noqa: N802
        if self.srtp and _SAVP not in prm.offer.wholeSdp:
            prm.statusCode = pj.PJSIP_SC_NOT_ACCEPTABLE_HERE  # what began encrypted goes on encrypted

    def onCallTransferRequest(self, prm: Any) -> None:  # noqa: N802
        # The edge asks the daemon about a REFER and never relays one: what comes here is not ours.
        prm.statusCode = pj.PJSIP_SC_NOT_IMPLEMENTED


class _Account(pj.Account):  # type: ignore[misc]
    def __init__(self, engine: Engine) -> None:
        super().__init__()
        self.engine = engine

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        self.engine.take(self, prm.callId, prm.rdata.wholeMsg)


class _Player(pj.AudioMediaPlayer):  # type: ignore[misc]
    """Plays one file once. The end comes on a media thread, hence ``defer_from_thread``."""

    def __init__(self, engine: Engine, leg: str, play_id: int) -> None:
        super().__init__()
        self.engine = engine
        self.leg = leg
        self.play_id = play_id

    def onEof2(self) -> None:  # noqa: N802
        self.engine.defer_from_thread(self.engine.on_play_end, self.leg, self.play_id)


@dataclass
class _Channel:
    """One captured leg: the recorder writes to ``descriptor`` whatever the leg's media port sends it."""

    leg: str
    descriptor: int
    recorder: Any


@dataclass
class _Audio:
    """Objects that must outlive their C++ use."""

    silence: Any = None
    ringback: Any = None
    channels: list[_Channel] = field(default_factory=list)
    bridges: set[tuple[str, str]] = field(default_factory=set)
    connected: set[tuple[int, int]] = field(default_factory=set)


class Engine:
    """One conversation. ``run`` returns when it is over."""

    def __init__(self, control: socket.socket, config: EngineConfig) -> None:
        self._control = control
        self._config = config
        self._legs: dict[str, _Leg] = {}
        self._todo: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._token: str | None = None
        self._audio = _Audio()
        self._quit_at: float | None = None
        self._port = 0
        self._waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Bring pjsip up, open the SIP socket, report Ready. Raises pj.Error."""
        self._endpoint = endpoint = pj.Endpoint()
        endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.maxCalls = 4
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = "beffroi"
        config.logConfig.level = 0
        config.logConfig.consoleLevel = 0
        media = config.medConfig
        media.clockRate = media.sndClockRate = CLOCK_HZ
        media.noVad = True
        media.ecTailLen = 0
        media.threadCnt = 1
        endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port = 0
        transport.boundAddress = "127.0.0.1"
        self._transport = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self._port = int(endpoint.transportGetInfo(self._transport).localName.rsplit(":", 1)[1])
        endpoint.audDevManager().setNullDev()
        endpoint.libStart()
        for codec in endpoint.codecEnum2():
            endpoint.codecSetPriority(codec.codecId, _CODEC_PRIORITY.get(codec.codecId, 0))
        # Incoming offers choose for themselves (call control has looked at them); outgoing legs are one or the other.
        self._incoming = self._account(pj.PJMEDIA_SRTP_OPTIONAL, default=True)
        self._secure = self._account(pj.PJMEDIA_SRTP_MANDATORY)
        self._plain = self._account(pj.PJMEDIA_SRTP_DISABLED)
        self._send(p.Ready(port=self._port, pid=os.getpid()))

    def _account(self, srtp: int, *, default: bool = False) -> _Account:
        config = pj.AccountConfig()
        config.idUri = f"sip:worker@{self._config.domain}"
        config.sipConfig.transportId = self._transport
        config.sipConfig.proxies.append(f"sip:127.0.0.1:{self._config.edge_port};lr")
        config.callConfig.timerUse = pj.PJSUA_SIP_TIMER_OPTIONAL
        media = config.mediaConfig
        media.transportConfig.port = self._config.rtp_port_first
        media.transportConfig.portRange = self._config.rtp_port_count
        media.transportConfig.boundAddress = self._config.media_address
        media.srtpUse = srtp
        media.srtpSecureSignaling = 0  # TLS ends in the edge, which the daemon has checked
        config.natConfig.contactRewriteUse = 0
        config.natConfig.viaRewriteUse = 0
        config.natConfig.sdpNatRewriteUse = 0
        account = _Account(self)
        account.create(config, default)
        return account

    def run(self) -> None:
        """Until Leave, the daemon's end of file, or the last leg's end followed by Leave."""
        self._control.setblocking(False)
        gc.disable()  # pjsua2 objects must die where we say, not in a collection
        while self._quit_at is None or time.monotonic() < self._quit_at:
            self._endpoint.libHandleEvents(self._poll_ms())
            self._read_commands()
            while self._todo:
                act, arguments = self._todo.pop(0)
                self._do(act, *arguments)
        self._stop_capture()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._send(p.Left(cpu_ms=int((usage.ru_utime + usage.ru_stime) * 1000)))

    def _poll_ms(self) -> int:
        if self._quit_at is not None:
            return 20
        return POLL_MS if self._audio.bridges else POLL_ASKING_MS

    def _read_commands(self) -> None:
        while True:
            try:
                packet, descriptors, _flags, _address = socket.recv_fds(self._control, p.MAX_PACKET_BYTES, 2)
            except BlockingIOError:
                return
            except OSError:
                packet, descriptors = b"", []
            if not packet:  # the daemon is gone: so are we
                os._exit(0)
            self._do(self._command, packet, descriptors)
            for descriptor in descriptors:  # what a capture keeps was taken out of the list
                os.close(descriptor)

    def _do(self, act: Callable[..., None], *arguments: Any) -> None:
        try:
            act(*arguments)
        except pj.Error as error:
            # A leg may end between an event and our act on it; what matters is told by the leg's own events.
            self._send(p.Trouble(act.__name__.strip("_"), str(error.reason)))
        except Exception as error:  # the boundary of one act: what makes no sense costs itself, not the call
            self._send(p.Trouble(act.__name__.strip("_"), type(error).__name__))

    def defer(self, act: Callable[..., None], *arguments: Any) -> None:
        self._todo.append((act, arguments))

    def defer_from_thread(self, act: Callable[..., None], *arguments: Any) -> None:
        self._todo.append((act, arguments))
        self._waker.sendto(WAKE, ("127.0.0.1", self._port))

    def _send(self, event: p.Event) -> None:
        try:
            self._control.send(p.encode(event))
        except BlockingIOError:
            os._exit(3)  # the daemon has not read for hundreds of events: end rather than go on unheard
        except OSError:
            os._exit(0)

    # --- commands -----------------------------------------------------------------------------

    def _command(self, packet: bytes, descriptors: list[int]) -> None:
        match command := p.decode(packet):
            case p.Expect(token=token):
                self._token = token
            case p.Answer():
                self._answer(command)
            case p.Dial():
                self._dial(command)
            case p.Hangup():
                self._hangup(command)
            case p.Play():
                self._play(command)
            case p.StopPlay(leg=name):
                self._stop_play(self._legs[name])
            case p.Ringback(leg=name, on=on):
                self._legs[name].ringback = on
                self._rewire()
            case p.Echo(leg=name, on=on):
                self._legs[name].echo = on
                self._rewire()
            case p.Bridge(a=a, b=b, on=on):
                (self._audio.bridges.add if on else self._audio.bridges.discard)((a, b))
                self._rewire()
            case p.SendDigit(leg=name, digit=digit):
                if (call := self._legs[name].call) is not None:
                    call.dialDtmf(digit)
            case p.Capture():
                self._capture(command, descriptors)
            case p.StopCapture():
                self._stop_capture()
                self._send(p.CaptureStopped())
            case p.Leave():
                self._leave()

    def _answer(self, command: p.Answer) -> None:
        leg = self._legs[command.leg]
        if leg.call is None:
            return
        parameters = pj.CallOpParam(True)
        parameters.statusCode = command.code
        parameters.reason = command.reason
        parameters.opt.audioCount = 1
        parameters.opt.videoCount = 0
        leg.call.answer(parameters)

    def _dial(self, command: p.Dial) -> None:
        if command.leg in self._legs:
            raise ValueError("a leg is dialled once")
        call = _Call(self, self._secure if command.srtp else self._plain, command.leg, srtp=command.srtp)
        leg = self._legs[command.leg] = _Leg(command.leg, call, dialled=True)
        parameters = pj.CallOpParam(True)
        parameters.opt.audioCount = 1
        parameters.opt.videoCount = 0
        parameters.txOption.headers.append(_header("X-Beffroi-Leg", command.token))
        parameters.txOption.localUri = (
            f"{_quoted(command.from_display)} <sip:{_user(command.from_user)}@{self._config.domain}>"
        )
        try:
            call.makeCall(f"sip:{_user(command.user)}@{self._config.domain}", parameters)
        except pj.Error as error:
            leg.call, leg.state = None, "down"
            self._send(p.LegDown(command.leg, 500, f"engine: {error.reason}"))
            return
        self._send(p.LegDialled(command.leg, call.getInfo().callIdString))

    def _hangup(self, command: p.Hangup) -> None:
        leg = self._legs.get(command.leg)
        if leg is None or leg.call is None:
            return
        leg.hung_up = True
        parameters = pj.CallOpParam()
        parameters.statusCode = command.code
        if command.cause:
            text = "".join(c for c in command.text if c.isprintable()).replace('"', "'")
            parameters.txOption.headers.append(_header("Reason", f'SIP;cause={command.cause};text="{text}"'))
        leg.call.hangup(parameters)

    def _leave(self) -> None:
        for leg in self._legs.values():
            if leg.call is not None:
                self._do(self._hangup, p.Hangup(leg.name))
        self._quit_at = time.monotonic() + LINGER_S

    # --- playing ------------------------------------------------------------------------------

    def _play(self, command: p.Play) -> None:
        leg = self._legs[command.leg]
        self._stop_play(leg)
        if leg.call is None or leg.state == "down":
            self._send(p.PlayFailed(leg.name, command.play_id, "the leg is down"))
        elif not leg.media_up:
            leg.pending_play = command
        else:
            self._begin_play(leg, command)

    def _begin_play(self, leg: _Leg, command: p.Play) -> None:
        player = _Player(self, leg.name, command.play_id)
        try:
            player.createPlayer(command.path, pj.PJMEDIA_FILE_NO_LOOP)
            assert leg.call is not None
            player.startTransmit(leg.call.getAudioMedia(-1))
        except pj.Error as error:
            self._send(p.PlayFailed(leg.name, command.play_id, error.reason))
            return
        leg.player = player
        leg.missed = not leg.hears

    def _stop_play(self, leg: _Leg) -> None:
        leg.pending_play = None
        if leg.player is None:
            return
        player, leg.player = leg.player, None
        if leg.call is not None and leg.media_up:
            with contextlib.suppress(pj.Error):
                player.stopTransmit(leg.call.getAudioMedia(-1))

    def on_play_end(self, name: str, play_id: int) -> None:
        leg = self._legs[name]
        if leg.player is None or leg.player.play_id != play_id:
            return  # stopped meanwhile
        heard = leg.hears and not leg.missed
        self._stop_play(leg)
        self._send(p.PlayEnded(name, play_id, self._media_ms(leg), heard))

    def _media_ms(self, leg: _Leg) -> int:
        return 0 if leg.media_since is None else int((time.monotonic() - leg.media_since) * 1000)

    # --- what pjsip tells ---------------------------------------------------------------------

    def take(self, account: _Account, call_id: int, message: str) -> None:
        """Runs inside the poll: the call object must exist before this returns. Nothing may be raised into pjsip."""
        self._do(self._on_incoming, account, call_id, message)

    def _on_incoming(self, account: _Account, call_id: int, message: str) -> None:
        self._read_commands()  # Expect was sent before the INVITE, but the poll may have seen the INVITE first
        expected = self._token is not None and f"X-Beffroi-Leg: {self._token}" in message.split("\r\n")
        call = _Call(self, account, "a" if expected else "stray", call_id, srtp=_SAVP in message)
        if not expected:
            parameters = pj.CallOpParam()
            parameters.statusCode = pj.PJSIP_SC_FORBIDDEN
            self._stray = call  # kept alive until the next one
            call.hangup(parameters)
            return
        self._token = None
        self._legs["a"] = _Leg("a", call)
        self._send(p.Incoming("a", call.getInfo().callIdString))

    def on_call_state(self, name: str, state: int, code: int, reason: str) -> None:
        leg = self._legs.get(name)
        if leg is None or leg.state == "down":
            return
        if state == pj.PJSIP_INV_STATE_EARLY and leg.dialled:
            leg.state = "early"
            self._send(p.LegRinging(name, code, leg.media_up))
        elif state == pj.PJSIP_INV_STATE_CONFIRMED and leg.state != "up":
            leg.state = "up"
            self._send(p.LegUp(name, self._contact(leg)))
        elif state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self._leg_down(leg, code, reason)

    def _contact(self, leg: _Leg) -> str:
        return "" if leg.call is None else str(leg.call.getInfo().remoteContact)

    def _leg_down(self, leg: _Leg, code: int, reason: str) -> None:
        self._stop_play(leg)  # who waits for its end is told of the leg's: nothing failed, somebody has hung up
        leg.state, leg.call, leg.media_up, leg.hears = "down", None, False, False
        self._rewire()
        self._send(p.LegDown(leg.name, code, reason))

    def on_media_state(self, name: str, status: int | None) -> None:
        leg = self._legs.get(name)
        if leg is None or leg.call is None:
            return
        up = status in _MEDIA_UP
        came_up, leg.media_up = up and not leg.media_up, up
        leg.hears = status == pj.PJSUA_CALL_MEDIA_ACTIVE
        leg.missed = leg.missed or not leg.hears
        if came_up and leg.media_since is None:
            leg.media_since = time.monotonic()
        self._forget_connections(leg)
        self._rewire()
        self._send(p.LegMedia(name, up, *self._codec(leg)))
        code = leg.call.getInfo().lastStatusCode
        if came_up and leg.dialled and code < pj.PJSIP_SC_OK:
            self._send(p.LegRinging(name, code, True))
        if came_up and leg.pending_play is not None:
            command, leg.pending_play = leg.pending_play, None
            self._begin_play(leg, command)
        elif up and leg.player is not None:  # a new offer has parted it, also one that changes nothing
            leg.player.startTransmit(leg.call.getAudioMedia(-1))

    def _codec(self, leg: _Leg) -> tuple[str, bool]:
        if leg.call is None or not leg.media_up:
            return "", False
        stream = leg.call.getStreamInfo(0)
        return str(stream.codecName), stream.proto & pj.PJMEDIA_TP_PROFILE_SRTP == pj.PJMEDIA_TP_PROFILE_SRTP

    def on_digit(self, name: str, digit: str) -> None:
        leg = self._legs.get(name)
        if leg is not None and digit and digit in "0123456789*#ABCD":
            self._send(p.Digit(name, digit, self._media_ms(leg)))

    def on_stream_destroyed(self, name: str, call: _Call, index: int) -> None:
        """Inside the callback: the stream is still there to be asked."""
        statistics = call.getStreamStat(index)  # must live while its members are read
        rtcp = statistics.rtcp
        self._send(
            p.LegQuality(
                name,
                rtcp.rxStat.pkt,
                rtcp.rxStat.loss,
                rtcp.rxStat.jitterUsec.mean,
                rtcp.txStat.pkt,
                rtcp.rttUsec.mean,
            )
        )

    # --- wiring -------------------------------------------------------------------------------

    def _rewire(self) -> None:
        """Make the conference bridge match bridges, echo, ringback and capture.

        A re-INVITE may move a leg to another slot of the conference, so the wanted connections are worked out anew
        each time and only the difference is made.
        """
        media = {name: port for name, leg in self._legs.items() if (port := self._media_of(leg)) is not None}
        wanted: dict[tuple[int, int], tuple[Any, Any]] = {}

        def want(source: Any, sink: Any) -> None:
            wanted[source.getPortId(), sink.getPortId()] = (source, sink)

        for a, b in self._audio.bridges:
            if a in media and b in media:
                want(media[a], media[b])
                want(media[b], media[a])
        for name, leg in self._legs.items():
            if name in media and leg.echo:
                want(media[name], media[name])
            if name in media and leg.ringback:
                want(self._ringback_tone(), media[name])
        for channel in self._audio.channels:
            want(self._silence(), channel.recorder)
            if channel.leg in media:
                want(media[channel.leg], channel.recorder)
        for pair in self._audio.connected - set(wanted):
            self._part(pair)
        self._audio.connected &= set(wanted)
        for pair in set(wanted) - self._audio.connected:
            source, sink = wanted[pair]
            with self._reported("connect"):
                source.startTransmit(sink)
                self._audio.connected.add(pair)

    def _part(self, pair: tuple[int, int]) -> None:
        """Disconnect two slots by number; slots that vanished took their connections with them."""
        fixed = {
            m.getPortId(): m
            for m in (self._audio.silence, self._audio.ringback, *(c.recorder for c in self._audio.channels))
            if m is not None
        }
        ports = (self._media_of(leg) for leg in self._legs.values())
        live = {port.getPortId(): port for port in ports if port is not None}
        source, sink = ({**fixed, **live}.get(slot) for slot in pair)
        if source is not None and sink is not None:
            with contextlib.suppress(pj.Error):
                source.stopTransmit(sink)

    def _forget_connections(self, leg: _Leg) -> None:
        """A new offer may have put the leg's stream into a new slot, or anew into the old one; either way pjsua has
        parted it from everything, so all of it is connected again."""
        port = self._media_of(leg)
        slots = {leg.slot, -1 if port is None else port.getPortId()}
        leg.slot = -1 if port is None else port.getPortId()
        self._audio.connected = {pair for pair in self._audio.connected if slots.isdisjoint(pair)}

    def _media_of(self, leg: _Leg) -> Any:
        """The leg's port in the conference; None while it has none."""
        if leg.call is None or not leg.media_up:
            return None
        with self._reported("media"):
            return leg.call.getAudioMedia(-1)
        return None

    @contextlib.contextmanager
    def _reported(self, where: str) -> Iterator[None]:
        """What pjsip refuses is told to the daemon, and the rest goes on."""
        try:
            yield
        except pj.Error as error:
            self._send(p.Trouble(where, str(error.reason)))

    def _silence(self) -> Any:
        """A source that never stops, so that a recorder keeps time while its leg sends nothing."""
        if self._audio.silence is None:
            self._audio.silence = pj.ToneGenerator()
            self._audio.silence.createToneGenerator(CLOCK_HZ, 1)
        return self._audio.silence

    def _ringback_tone(self) -> Any:
        if self._audio.ringback is None:
            tone = pj.ToneDesc()
            tone.freq1, tone.freq2 = RINGBACK_HZ, 0
            tone.on_msec, tone.off_msec = RINGBACK_ON_MS, RINGBACK_OFF_MS
            tones = pj.ToneDescVector()
            tones.append(tone)
            self._audio.ringback = pj.ToneGenerator()
            self._audio.ringback.createToneGenerator(CLOCK_HZ, 1)
            self._audio.ringback.play(tones, True)
        return self._audio.ringback

    # --- capture ------------------------------------------------------------------------------

    def _capture(self, command: p.Capture, descriptors: list[int]) -> None:
        if self._audio.channels or len(descriptors) != 2:
            self._send(p.CaptureFailed("already capturing" if self._audio.channels else "two descriptors are needed"))
            return
        try:
            self._audio.channels = [
                _Channel(leg, descriptor, self._recorder_on(descriptor))
                for leg, descriptor in zip((command.first, command.second), descriptors, strict=True)
            ]
        except (pj.Error, OSError) as error:
            self._send(p.CaptureFailed(str(getattr(error, "reason", type(error).__name__))))
            return
        descriptors.clear()  # the channels' from now on
        self._rewire()
        self._send(p.Captured())

    def _recorder_on(self, descriptor: int) -> Any:
        """pjmedia writes WAV to a *name* ending in .wav: give it one for the moment of opening."""
        name = Path(self._config.run_dir) / f"{secrets.token_hex(16)}.wav"
        name.symlink_to(f"/proc/self/fd/{descriptor}")
        recorder = pj.AudioMediaRecorder()
        try:
            recorder.createRecorder(str(name))
        finally:
            name.unlink()
        return recorder

    def _stop_capture(self) -> None:
        channels, self._audio.channels = self._audio.channels, []
        slots = {c.recorder.getPortId() for c in channels}
        self._audio.connected = {pair for pair in self._audio.connected if pair[1] not in slots}
        for channel in channels:
            channel.recorder = None  # closes the file, but the conference does it when its next frame is due
        give_up_s = time.monotonic() + FLUSH_S
        for channel in channels:
            while not _is_flushed(channel.descriptor) and time.monotonic() < give_up_s:
                time.sleep(0.002)
            os.close(channel.descriptor)


def _is_flushed(descriptor: int) -> bool:
    """Whether pjmedia has closed this WAV file: the length of its data, at byte 40, is written last of all."""
    size = int.from_bytes(os.pread(descriptor, 4, 40), "little")
    return 0 < size == os.fstat(descriptor).st_size - 44


def _header(name: str, value: str) -> Any:
    header = pj.SipHeader()
    header.hName, header.hValue = name, value
    return header


def _user(user: str) -> str:
    """The user part of a SIP URI (RFC 3261 section 25.1): what may not stand there, such as #, is escaped."""
    return quote(user, safe="-_.!~*'()&=+$,;?/")


def _quoted(display: str) -> str:
    """A display name as quoted-string (RFC 3261 section 25.1); control characters do not pass."""
    clean = "".join(c for c in display if c.isprintable()).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{clean}"'


def run(control: socket.socket, config: EngineConfig) -> None:
    """The life of a worker process, from fork to exit; never returns."""
    try:
        engine = Engine(control, config)
        engine.start()
        engine.run()
    except Exception as error:  # the boundary of the process: it says what failed, never on whose call
        why = f"{error.title}: {error.reason}" if isinstance(error, pj.Error) else type(error).__name__
        os.write(2, f"worker: {why}\n".encode())
        os._exit(1)
    # pjsua2's own tear-down has crashed on exit; nothing is left to save.
    os._exit(0)
