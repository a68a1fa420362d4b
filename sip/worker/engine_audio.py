"""What sounds where: the conference bridge of one conversation, its prompts, music and signals, and its capture."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pjsua2 as pj

from sip.worker import protocol as p
from sip.worker.engine_calls import Leg

FLUSH_S = 0.5  # for pjmedia to write the last samples of a capture
RINGBACK_HZ = 440  # France: 440 Hz, 1.5 s on, 3.5 s off (ITU-T E.180 supplement 2)
RINGBACK_ON_MS = 1500
RINGBACK_OFF_MS = 3500
TONES: dict[str, tuple[tuple[int, int, int], ...]] = {  # Hz, ms on, ms off
    "done": ((880, 120, 40), (1320, 160, 0)),
    "refused": ((330, 150, 80), (330, 150, 80), (330, 150, 0)),
    "warning": ((1000, 200, 200), (1000, 200, 0)),
}
TONE_TAIL_S = 0.1  # what the bridge still has to send when a signal is over


class Player(pj.AudioMediaPlayer):  # type: ignore[misc]
    """Plays one file once. The end comes on a media thread."""

    def __init__(self, play_id: int, ended: Callable[[], None]) -> None:
        super().__init__()
        self.play_id = play_id
        self._ended = ended

    def onEof2(self) -> None:  # noqa: N802
        self._ended()


@dataclass
class Channel:
    """One captured leg: the recorder writes to ``descriptor`` whatever the leg's media port sends it."""

    leg: str
    descriptor: int
    recorder: Any


class Audio:
    """The conference of one conversation. Objects of pjsua2 must outlive their use in C: they are all held here or in
    their leg."""

    def __init__(self, legs: dict[str, Leg], clock_hz: int, run_dir: str, send: Callable[[p.Event], None]) -> None:
        self._legs = legs
        self._clock_hz = clock_hz
        self._run_dir = Path(run_dir)
        self._send = send
        self._silence_source: Any = None
        self._ringback: Any = None
        self._bridges: set[tuple[str, str]] = set()
        self._connected: dict[tuple[int, int], tuple[Any, Any]] = {}
        self._channels: list[Channel] = []
        self._paused = False

    @property
    def in_conversation(self) -> bool:
        return bool(self._bridges)

    # --- wiring -------------------------------------------------------------------------------

    def bridge(self, a: str, b: str, *, on: bool) -> None:
        pair = (min(a, b), max(a, b))
        (self._bridges.add if on else self._bridges.discard)(pair)
        self.rewire()

    def rewire(self) -> None:
        """Make the conference match bridges, echo, ringback, music, signals and capture.

        A re-INVITE may move a leg to another slot of the conference, so the wanted connections are worked out anew
        each time and only the difference is made.
        """
        media = {name: port for name, leg in self._legs.items() if (port := self._media_of(leg)) is not None}
        wanted = {(a.getPortId(), b.getPortId()): (a, b) for a, b in self._wanted(media)}
        live = {port.getPortId() for port in (*media.values(), *self._own())}
        for pair in self._connected.keys() - wanted.keys():
            source, sink = self._connected.pop(pair)
            if live.issuperset(pair):  # slots that vanished took their connections with them
                with contextlib.suppress(pj.Error):
                    source.stopTransmit(sink)
        for pair in wanted.keys() - self._connected.keys():
            source, sink = wanted[pair]
            with self._reported("connect"):
                source.startTransmit(sink)
                self._connected[pair] = (source, sink)

    def listen(self) -> None:
        """How loud is it just now? Of a leg that nobody listens to the conference does not know."""
        heard = {source for source, _ in self._connected}
        for leg in self._legs.values():
            with contextlib.suppress(pj.Error):  # it has just ended
                port = leg.port()
                if port is not None and port.getPortId() in heard:
                    leg.peak = max(leg.peak, port.getRxLevel())

    def _wanted(self, media: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
        """(source, sink)."""
        for a, b in self._bridges:
            if a in media and b in media:
                yield media[a], media[b]
                yield media[b], media[a]
        for name, port in media.items():
            leg = self._legs[name]
            if leg.echo:
                yield port, port
            if leg.ringback:
                yield self._ringback_tone(), port
            for source in (leg.music, leg.tone):
                if source is not None:
                    yield source, port
        for channel in self._channels:
            yield self._silence(), channel.recorder
            if channel.leg in media and not self._paused:
                yield media[channel.leg], channel.recorder

    def _own(self) -> Iterator[Any]:
        """Sources and sinks that are no legs."""
        for leg in self._legs.values():
            yield from (source for source in (leg.music, leg.tone) if source is not None)
        yield from (source for source in (self._silence_source, self._ringback) if source is not None)
        yield from (channel.recorder for channel in self._channels)

    def forget_connections(self, leg: Leg) -> None:
        """A new offer may have put the leg's stream into a new slot, or anew into the old one; either way pjsua has
        parted it from everything, so all of it is connected again."""
        port = self._media_of(leg)
        slots = {leg.slot, -1 if port is None else port.getPortId()}
        leg.slot = -1 if port is None else port.getPortId()
        self._forget(slots)

    def _forget(self, slots: set[int]) -> None:
        self._connected = {pair: ends for pair, ends in self._connected.items() if slots.isdisjoint(pair)}

    def _media_of(self, leg: Leg) -> Any:
        with contextlib.suppress(pj.Error):  # it has just ended: that is told by itself
            return leg.port()
        return None

    @contextlib.contextmanager
    def _reported(self, where: str) -> Iterator[None]:
        """What pjsip refuses is told to the daemon, and the rest goes on."""
        try:
            yield
        except pj.Error as error:
            self._send(p.Trouble(where, str(error.reason)))

    # --- sources ------------------------------------------------------------------------------

    def _silence(self) -> Any:
        """A source that never stops, so that a recorder keeps time while its leg sends nothing."""
        if self._silence_source is None:
            self._silence_source = self._generator()
        return self._silence_source

    def _ringback_tone(self) -> Any:
        if self._ringback is None:
            self._ringback = self._generator()
            self._ringback.play(_tones((RINGBACK_HZ, RINGBACK_ON_MS, RINGBACK_OFF_MS)), True)
        return self._ringback

    def _generator(self) -> Any:
        made = pj.ToneGenerator()
        made.createToneGenerator(self._clock_hz, 1)
        return made

    def music(self, leg: Leg, path: str) -> None:
        """Again and again, from now on; "" ends it. Raises pj.Error for a file that cannot be played."""
        player = None
        if path and leg.state != "down":
            player = pj.AudioMediaPlayer()
            player.createPlayer(path, 0)
        self._replace(leg, "music", player)

    def tone(self, leg: Leg, name: str, now_s: float) -> None:
        """A short signal. Raises KeyError for one that is not known."""
        notes = TONES[name]
        if leg.state == "down":
            return
        generator = self._generator()
        generator.play(_tones(*notes), False)
        leg.tone_until = now_s + sum(on + off for _hz, on, off in notes) / 1000 + TONE_TAIL_S
        self._replace(leg, "tone", generator)

    def end_tones(self, now_s: float) -> None:
        for leg in self._legs.values():
            if leg.tone is not None and now_s >= leg.tone_until:
                self._replace(leg, "tone", None)

    def stop_sources(self, leg: Leg) -> None:
        """For a leg that is over."""
        leg.echo = leg.ringback = False
        for what in ("music", "tone"):
            if getattr(leg, what) is not None:
                self._replace(leg, what, None)

    def _replace(self, leg: Leg, what: str, source: Any) -> None:
        old = getattr(leg, what)
        setattr(leg, what, None)
        if old is not None:  # parted by name before it dies: another port may be given its slot
            with contextlib.suppress(pj.Error):
                port = leg.port()
                if port is not None:
                    old.stopTransmit(port)
            self._forget({old.getPortId()})
        setattr(leg, what, source)
        self.rewire()

    # --- prompts ------------------------------------------------------------------------------

    def begin_play(self, leg: Leg, command: p.Play, ended: Callable[[], None]) -> None:
        player = Player(command.play_id, ended)
        try:
            player.createPlayer(command.path, pj.PJMEDIA_FILE_NO_LOOP)
            if (port := leg.port()) is not None:
                player.startTransmit(port)
        except pj.Error as error:
            self._send(p.PlayFailed(leg.name, command.play_id, error.reason))
            return
        if port is None:
            self._send(p.PlayFailed(leg.name, command.play_id, "the leg is inactive"))
            return
        leg.player = player
        leg.missed = not leg.hears

    def go_on_playing(self, leg: Leg) -> None:
        """A new offer has parted a prompt from its leg, also one that changes nothing."""
        if leg.player is not None and (port := leg.port()) is not None:
            leg.player.startTransmit(port)

    def stop_play(self, leg: Leg) -> None:
        leg.pending_play = None
        if leg.player is None:
            return
        player, leg.player = leg.player, None
        with contextlib.suppress(pj.Error):
            if (port := leg.port()) is not None:
                player.stopTransmit(port)

    # --- capture ------------------------------------------------------------------------------

    def capture(self, command: p.Capture, descriptors: list[int]) -> None:
        """Takes the descriptors out of the list if it keeps them."""
        if self._channels or len(descriptors) != 2:
            self._send(p.CaptureFailed("already capturing" if self._channels else "two descriptors are needed"))
            return
        try:
            self._channels = [
                Channel(leg, descriptor, self._recorder_on(descriptor))
                for leg, descriptor in zip((command.first, command.second), descriptors, strict=True)
            ]
        except (pj.Error, OSError) as error:
            self._send(p.CaptureFailed(str(getattr(error, "reason", type(error).__name__))))
            return
        descriptors.clear()
        self._paused = False
        self.rewire()
        self._send(p.Captured())

    def pause_capture(self, *, on: bool) -> None:
        self._paused = on and bool(self._channels)
        self.rewire()

    def _recorder_on(self, descriptor: int) -> Any:
        """pjmedia writes WAV to a *name* ending in .wav: give it one for the moment of opening."""
        name = self._run_dir / f"{secrets.token_hex(16)}.wav"
        name.symlink_to(f"/proc/self/fd/{descriptor}")
        recorder = pj.AudioMediaRecorder()
        try:
            recorder.createRecorder(str(name))
        finally:
            name.unlink()
        return recorder

    def stop_capture(self) -> None:
        channels, self._channels = self._channels, []
        self._forget({c.recorder.getPortId() for c in channels})
        for channel in channels:
            channel.recorder = None  # closes the file, but the conference does it when its next frame is due
        give_up_s = time.monotonic() + FLUSH_S
        for channel in channels:
            while not _is_flushed(channel.descriptor) and time.monotonic() < give_up_s:
                time.sleep(0.002)
            os.close(channel.descriptor)


def _tones(*notes: tuple[int, int, int]) -> Any:
    """Hz, ms on, ms off."""
    tones = pj.ToneDescVector()
    for hz, on_ms, off_ms in notes:
        tone = pj.ToneDesc()
        tone.freq1, tone.freq2 = hz, 0
        tone.on_msec, tone.off_msec = on_ms, off_ms
        tones.append(tone)
    return tones


def _is_flushed(descriptor: int) -> bool:
    """Whether pjmedia has closed this WAV file: the length of its data, at byte 40, is written last of all."""
    size = int.from_bytes(os.pread(descriptor, 4, 40), "little")
    return 0 < size == os.fstat(descriptor).st_size - 44
