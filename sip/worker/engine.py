"""The media engine of one conversation: this module and its parts (``engine_*``) alone know pjsua2.

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
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import pjsua2 as pj

from sip.worker import ipv6_media
from sip.worker import protocol as p
from sip.worker.engine_audio import Audio
from sip.worker.engine_calls import (
    KEYS,
    SAVP,
    Account,
    Call,
    EngineConfig,
    Figures,
    Leg,
    call_parameters,
    header,
    headers,
    quoted,
    sipfrag,
    user_part,
)
from sip.worker.ipv6_media import Ipv6Media
from sip.worker.source_lock import SourceLock, bound_ports

# pjsip hands a key over when a poll begins, so these bound how late one is noticed.
POLL_MS = 250  # in conversation
POLL_ASKING_MS = 50  # before anybody talks: somebody may be asked something
POLL_WATCHING_MS = 20  # while it is not known yet whose audio a leg hears
WATCHING_S = 3.0  # as long as it is looked for so often
FIRST_AUDIO_S = 0.5  # for a leg's first audio, before it is spoken to all the same
LINGER_S = 0.3  # pjsip still answers retransmissions of the last BYE
INFO_DIGIT_MS = 160
HANGS_S = 30  # a loop that has stood still so long is ended by the kernel, and the daemon ends its calls
WAKE = b"\r\n\r\n"
_LEG_HEADER = "X-Beffroi-Leg: "

_MEDIA_UP = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
_NARROWBAND = {"PCMA/8000/1": 255, "PCMU/8000/1": 250}
_WIDEBAND = {"G722/16000/1": 255, "PCMA/8000/1": 250, "PCMU/8000/1": 245}
WIDEBAND_HZ = 16000


class Engine:
    """One conversation. ``run`` returns when it is over."""

    def __init__(self, control: socket.socket, config: EngineConfig) -> None:
        self._control = control
        self._config = config
        self.codecs: Mapping[str, int] = _WIDEBAND if config.clock_hz >= WIDEBAND_HZ else _NARROWBAND
        self._legs: dict[str, Leg] = {}
        self._todo: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._expected: dict[str, p.Expect] = {}  # by token
        self._taken = False  # a conversation has begun: a command has come
        self._audio = Audio(self._legs, config.clock_hz, config.run_dir, self._send)
        self._quit_at: float | None = None
        self._port = 0
        self._ipv6: Ipv6Media | None = None
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
        media.clockRate = media.sndClockRate = self._config.clock_hz
        media.noVad = True
        media.ecTailLen = 0
        media.threadCnt = 1
        endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.port = 0
        transport.boundAddress = "127.0.0.1"
        self._transport = endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
        self._port = int(endpoint.transportGetInfo(self._transport).localName.rsplit(":", 1)[1])
        if self._config.media_address6:
            try:
                self._ipv6 = Ipv6Media(self._config.edge_port, self._config.media_address, self._config.media_address6)
                self._ipv6.start(self._port)
            except OSError as error:  # calls over IPv4 go on
                os.write(2, f"worker: no audio over IPv6: {error.strerror}\n".encode())
        endpoint.audDevManager().setNullDev()
        endpoint.libStart()
        for codec in endpoint.codecEnum2():
            endpoint.codecSetPriority(codec.codecId, self.codecs.get(codec.codecId, 0))
        # Incoming offers choose for themselves (call control has looked at them); outgoing legs are one or the other.
        self._incoming = Account(self)
        self._incoming.create(self._account_config(pj.PJMEDIA_SRTP_OPTIONAL), True)
        self._secure, self._plain = Account(self), Account(self)
        self._secure.create(self._account_config(pj.PJMEDIA_SRTP_MANDATORY))
        self._plain.create(self._account_config(pj.PJMEDIA_SRTP_DISABLED))
        signal.setitimer(signal.ITIMER_REAL, 0)  # before the daemon may stop this process: the timer would run on
        self._send(p.Ready(port=self._port if self._ipv6 is None else self._ipv6.port, pid=os.getpid()))

    def _account_config(self, srtp: int) -> Any:
        config = pj.AccountConfig()
        config.idUri = f"sip:worker@{self._config.domain}"
        config.sipConfig.transportId = self._transport
        edge_port = self._config.edge_port if self._ipv6 is None else self._ipv6.engine_port
        config.sipConfig.proxies.append(f"sip:127.0.0.1:{edge_port};lr")
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
        return config

    def run(self) -> None:
        """Until Leave, the daemon's end of file, or the last leg's end followed by Leave."""
        self._control.setblocking(False)
        gc.disable()  # pjsua2 objects must die where we say, not in a collection
        while self._quit_at is None or time.monotonic() < self._quit_at:
            self._still_alive()
            self._endpoint.libHandleEvents(self._poll_ms())
            self._read_commands()
            while self._todo:
                act, arguments = self._todo.pop(0)
                self._do(act, *arguments)
            self._do(self._look_around)
        self._audio.stop_capture()
        for leg in self._legs.values():
            self._tell_figures(leg)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        self._send(p.Left(cpu_ms=int((usage.ru_utime + usage.ru_stime) * 1000)))

    def _still_alive(self) -> None:
        """Put off the end of a process that hangs. One that waits has no such timer: it is stopped."""
        if self._taken:
            signal.setitimer(signal.ITIMER_REAL, HANGS_S)

    def _poll_ms(self) -> int:
        if self._quit_at is not None:
            return 20
        now_s = time.monotonic()
        if any(leg.watched_since is not None and now_s - leg.watched_since < WATCHING_S for leg in self._legs.values()):
            return POLL_WATCHING_MS
        return POLL_MS if self._audio.in_conversation else POLL_ASKING_MS

    def _look_around(self) -> None:
        """What no callback tells."""
        now_s = time.monotonic()
        self._audio.end_tones(now_s)
        self._audio.listen()
        for leg in self._legs.values():
            if leg.watched_since is not None:
                self._watch(leg, now_s)
            self._play_what_waits(leg)

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
            self._taken = True
            self._still_alive()
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

    def _command(self, packet: bytes, descriptors: list[int]) -> None:  # noqa: C901 - one line a message
        match command := p.decode(packet):
            case p.Expect():
                self._expect(command)
            case p.Answer():
                self._answer(command)
            case p.Dial():
                self._dial(command)
            case p.Hangup():
                self._hangup(command)
            case p.Play():
                self._play(command)
            case p.StopPlay(leg=name):
                self._audio.stop_play(self._legs[name])
            case p.Ringback(leg=name, on=on):
                self._legs[name].ringback = on
                self._audio.rewire()
            case p.Echo(leg=name, on=on):
                self._legs[name].echo = on
                self._audio.rewire()
            case p.Music(leg=name, on=on, path=path):
                self._audio.music(self._legs[name], path if on else "")
            case p.Tone(leg=name, name=tone):
                self._audio.tone(self._legs[name], tone, time.monotonic())
            case p.Bridge(a=a, b=b, on=on):
                self._audio.bridge(a, b, on=on)
            case p.SendDigit():
                self._send_digit(command)
            case p.Notify():
                self._notify(command)
            case p.Measure(leg=name):
                self._send(_quality(self._legs[name], final=False))
            case p.Capture():
                self._audio.capture(command, descriptors)
            case p.PauseCapture(on=on):
                self._audio.pause_capture(on=on)
            case p.StopCapture():
                self._audio.stop_capture()
                self._send(p.CaptureStopped())
            case p.Leave():
                self._leave()

    def _expect(self, command: p.Expect) -> None:
        if command.ipv6 and self._ipv6 is None:
            raise ValueError("no address for audio over IPv6")  # pjsip refuses the INVITE by itself
        if command.leg in self._legs or any(e.leg == command.leg for e in self._expected.values()):
            self._expected = {token: e for token, e in self._expected.items() if e.leg != command.leg}
        self._expected[command.token] = command

    def _answer(self, command: p.Answer) -> None:
        leg = self._legs[command.leg]
        if leg.call is None:
            return
        if leg.lock is not None and leg.lock.signalled is None:
            leg.lock.forget_early(strangers=True)  # they cannot know the port from the answer that goes out now
        parameters = call_parameters()
        parameters.statusCode = command.code
        parameters.reason = command.reason
        leg.call.answer(parameters)

    def _dial(self, command: p.Dial) -> None:
        if command.leg in self._legs:
            raise ValueError("a leg is dialled once")
        ipv6 = (
            command.ipv6 and self._ipv6 is not None
        )  # without an address of ours a phone that has both may still talk
        call = Call(self, self._secure if command.srtp else self._plain, command.leg, srtp=command.srtp)
        parameters = call_parameters()
        ours = {"X-Beffroi-Leg": command.token, **({ipv6_media.MARK: "1"} if ipv6 else {})}
        for made in headers({**command.headers, **ours}):
            parameters.txOption.headers.append(made)
        parameters.txOption.localUri = (
            f"{quoted(command.from_display)} <sip:{user_part(command.from_user)}@{self._config.domain}>"
        )
        leg = self._legs[command.leg] = Leg(command.leg, call, dialled=True)
        try:
            call.makeCall(f"sip:{user_part(command.user)}@{self._config.domain}", parameters)
        except pj.Error as error:
            leg.call, leg.state, leg.told = None, "down", True
            self._send(p.LegDown(command.leg, 500, f"engine: {error.reason}"))
            return
        self._do(self._guard, leg)
        self._send(p.LegDialled(command.leg, call.sip_call_id()))

    def _hangup(self, command: p.Hangup) -> None:
        leg = self._legs.get(command.leg)
        if leg is None or leg.call is None:
            return
        leg.hung_up = True
        parameters = pj.CallOpParam()
        parameters.statusCode = command.code
        parameters.reason = "".join(c for c in command.phrase if c.isprintable())
        if command.cause:
            text = "".join(c for c in command.text if c.isprintable()).replace('"', "'")
            parameters.txOption.headers.append(header("Reason", f'SIP;cause={command.cause};text="{text}"'))
        leg.call.hangup(parameters)

    def _send_digit(self, command: p.SendDigit) -> None:
        call = self._legs[command.leg].call
        if len(command.digit) != 1 or command.digit not in KEYS:
            raise ValueError("not a key")
        if call is None:
            return
        try:
            call.dialDtmf(command.digit)
        except pj.Error:  # the other side has not offered telephone-event
            parameters = pj.CallSendDtmfParam()
            parameters.method = pj.PJSUA_DTMF_METHOD_SIP_INFO
            parameters.duration = INFO_DIGIT_MS
            parameters.digits = command.digit
            call.sendDtmf(parameters)

    def _notify(self, command: p.Notify) -> None:
        """To nobody if the phone has hung up meanwhile: most do as soon as the transfer is accepted."""
        leg = self._legs[command.leg]
        if leg.call is not None and not leg.hung_up:
            with contextlib.suppress(pj.Error):  # its BYE has come, the loop has not acted on it
                leg.call.sendRequest(sipfrag(command))

    def _leave(self) -> None:
        for leg in self._legs.values():
            if leg.call is not None:
                self._do(self._hangup, p.Hangup(leg.name))
        self._quit_at = time.monotonic() + LINGER_S

    # --- playing ------------------------------------------------------------------------------

    def _play(self, command: p.Play) -> None:
        leg = self._legs[command.leg]
        self._audio.stop_play(leg)
        if leg.call is None or leg.state == "down":
            self._send(p.PlayFailed(leg.name, command.play_id, "the leg is down"))
        else:
            leg.pending_play = command
            self._play_what_waits(leg)

    def _begin_play(self, leg: Leg, command: p.Play) -> None:
        def ended() -> None:
            self.defer_from_thread(self._on_play_end, leg.name, command.play_id)

        self._audio.begin_play(leg, command, ended)

    def _play_what_waits(self, leg: Leg) -> None:
        if leg.pending_play is not None and leg.can_be_played() and not _undecided(leg):
            command, leg.pending_play = leg.pending_play, None
            self._begin_play(leg, command)

    def _on_play_end(self, name: str, play_id: int) -> None:
        leg = self._legs[name]
        if leg.player is None or leg.player.play_id != play_id:
            return  # stopped meanwhile
        heard = leg.hears and not leg.missed
        self._audio.stop_play(leg)
        self._send(p.PlayEnded(name, play_id, _media_ms(leg), heard))

    # --- what pjsip tells ---------------------------------------------------------------------

    def take(self, account: Account, call_id: int, message: str) -> None:
        """Runs inside the poll: the call object must exist before this returns. Nothing may be raised into pjsip."""
        self._do(self._on_incoming, account, call_id, message)

    def _on_incoming(self, account: Account, call_id: int, message: str) -> None:
        self._read_commands()  # Expect was sent before the INVITE, but the poll may have seen the INVITE first
        said = [
            line.partition(": ")[2]
            for line in message.split("\r\n\r\n")[0].split("\r\n")
            if line.startswith(_LEG_HEADER)
        ]
        expected = self._expected.pop(said[0], None) if said else None
        call = Call(self, account, "stray" if expected is None else expected.leg, call_id, srtp=SAVP in message)
        if expected is None or expected.leg in self._legs:
            parameters = pj.CallOpParam()
            parameters.statusCode = pj.PJSIP_SC_FORBIDDEN
            self._stray = call  # kept alive until the next one
            call.hangup(parameters)
            return
        leg = self._legs[expected.leg] = Leg(expected.leg, call)
        self._do(self._guard, leg)
        self._send(p.Incoming(leg.name, call.sip_call_id()))

    def on_call_state(self, name: str, state: int, code: int, reason: str, audio: bool) -> None:
        """``audio``: the two sides have agreed on some, be it on hold (RFC 3264 section 6)."""
        leg = self._legs.get(name)
        if leg is None or leg.state == "down":
            return
        if state == pj.PJSIP_INV_STATE_EARLY and leg.dialled:
            leg.state = "early"
            self._send(p.LegRinging(name, code, leg.media_up))
        elif state == pj.PJSIP_INV_STATE_CONFIRMED and leg.state != "up":
            # An answer in which there is nothing that we can speak is none: pjsip ends the leg by itself then.
            leg.state = "up" if audio or not leg.dialled else "refused"
            if leg.state == "up":
                self._send(p.LegUp(name, "" if leg.call is None else leg.call.contact()))
        elif state == pj.PJSIP_INV_STATE_DISCONNECTED:
            refused = leg.state == "refused"
            self._leg_down(leg, pj.PJSIP_SC_NOT_ACCEPTABLE_HERE if refused else code, reason)

    def _leg_down(self, leg: Leg, code: int, reason: str) -> None:
        self._audio.stop_play(leg)  # who waits for its end is told of the leg's: nothing failed, somebody has hung up
        self._tell_figures(leg)
        leg.state, leg.call, leg.media_up, leg.hears, leg.held = "down", None, False, False, False
        leg.watched_since = None
        if leg.lock is not None:
            leg.lock.close()
        self._audio.stop_sources(leg)
        self._audio.rewire()
        self._send(p.LegDown(leg.name, code, reason))

    def on_media_state(self, name: str, status: int | None) -> None:
        leg = self._legs.get(name)
        if leg is None or leg.call is None:
            return
        up = status in _MEDIA_UP
        came_up, leg.media_up = up and not leg.media_up, up
        was_held, leg.held = leg.held, status == pj.PJSUA_CALL_MEDIA_REMOTE_HOLD
        leg.hears = status == pj.PJSUA_CALL_MEDIA_ACTIVE
        leg.missed = leg.missed or not leg.hears
        if came_up and leg.media_since is None:
            leg.media_since = time.monotonic()
        if up:
            self._do(self._expect_audio, leg, was_held)
        self._audio.forget_connections(leg)
        self._audio.rewire()
        codec, srtp = leg.call.codec() if up else ("", False)
        self._send(p.LegMedia(name, up, codec, srtp, leg.held))
        code = leg.call.last_status()
        if came_up and leg.dialled and code < pj.PJSIP_SC_OK:
            self._send(p.LegRinging(name, code, True))
        if up:
            self._audio.go_on_playing(leg)
        self._play_what_waits(leg)

    def on_digit(self, name: str, digit: str) -> None:
        leg = self._legs.get(name)
        if leg is not None and digit and digit in KEYS:
            self._send(p.Digit(name, digit, _media_ms(leg)))

    # --- whose audio, and how good ------------------------------------------------------------

    def _guard(self, leg: Leg) -> None:
        """Until the other side has said where its audio comes from, nobody's is heard."""
        known = {other.lock.local for other in self._legs.values() if other.lock is not None and other.state != "down"}
        # pjsua tells where a call's socket is only once its media has begun: it is the one that is new.
        fresh = bound_ports(self._config.rtp_port_first, self._config.rtp_port_count) - known
        if len(fresh) == 1:
            leg.lock = SourceLock(fresh.pop())
            leg.lock.shut()

    def _expect_audio(self, leg: Leg, was_held: bool) -> None:
        if leg.call is None or (signalled := leg.call.signalled()) is None:
            return
        if (local := leg.call.rtp_socket()) is not None and (leg.lock is None or leg.lock.local != local):
            if leg.lock is not None:
                leg.lock.close()
            leg.lock = SourceLock(local)
        if leg.lock is None:
            return
        now_s = time.monotonic()
        if leg.lock.expect(signalled, leg.figures().rx_packets, now_s, again=was_held and not leg.held):
            leg.watched_since = leg.silent_since = now_s

    def _watch(self, leg: Leg, now_s: float) -> None:
        if leg.lock is None or leg.call is None:
            return
        try:
            locked = leg.lock.tick(now_s, leg.figures().rx_packets)
        except OSError:  # an offer that pjsip could not follow has closed the socket: until the next there is no audio
            leg.watched_since = None
            return
        if locked:
            leg.watched_since = None
        elif leg.silent_since is None or now_s - leg.silent_since < WATCHING_S:
            return
        leg.silent_since = None
        through = None if self._ipv6 is None else self._ipv6.network(leg.call.sip_call_id())
        network = through or leg.lock.network()
        self._send(p.LegNetwork(leg.name, network.signalled, network.source, network.moved, network.locked))

    def on_stream_destroyed(self, name: str, figures: Figures) -> None:
        """Inside the callback. Each new offer may begin another stream: the leg's figures are those of all."""
        if (leg := self._legs.get(name)) is not None:
            leg.past = leg.past.plus(figures)

    def _tell_figures(self, leg: Leg) -> None:
        if not leg.told:
            leg.told = True
            self._send(_quality(leg, final=True))


def _quality(leg: Leg, *, final: bool) -> p.LegQuality:
    now = leg.figures()
    return p.LegQuality(
        leg.name,
        now.rx_packets,
        now.rx_lost,
        now.rx_jitter_us,
        now.tx_packets,
        now.rtt_us,
        now.tx_lost,
        now.tx_jitter_us,
        now.codec,
        final,
        leg.peak,
    )


def _undecided(leg: Leg) -> bool:
    """Whether it is not known yet where its audio goes: a phone behind a router would miss the first words."""
    return leg.hears and leg.watched_since is not None and time.monotonic() - leg.watched_since < FIRST_AUDIO_S


def _media_ms(leg: Leg) -> int:
    return 0 if leg.media_since is None else int((time.monotonic() - leg.media_since) * 1000)


def run(control: socket.socket, config: EngineConfig) -> None:
    """The life of a worker process, from fork to exit; never returns."""
    try:
        signal.setitimer(signal.ITIMER_REAL, HANGS_S)
        engine = Engine(control, config)
        engine.start()
        engine.run()
    except Exception as error:  # the boundary of the process: it says what failed, never on whose call
        why = f"{error.title}: {error.reason}" if isinstance(error, pj.Error) else type(error).__name__
        os.write(2, f"worker: {why}\n".encode())
        os._exit(1)
    # pjsua2's own tear-down has crashed on exit; nothing is left to save.
    os._exit(0)
