"""Who hears whom: the two parties of a conversation joined, or one of them waiting with music.

A phone on hold sends nothing that is meant for the other side (RFC 3264 section 8.4), so whoever waits hears our own
music, and silence flows into a recording.
"""

from __future__ import annotations

from sip.calls.acts import Happening
from sip.calls.captures import Captures
from sip.calls.core import Core, Step
from sip.worker import protocol as p


class Floor:
    """The audio between two legs."""

    def __init__(self, core: Core, captures: Captures) -> None:
        self._core = core
        self._captures = captures
        self.parties: tuple[str, str] | None = None  # who talk with each other
        self.paused = False  # staff let silence flow into the recording
        self.relay = False  # what is heard here is kept, and held, in another conversation
        self._bridged = False
        self._music: set[str] = set()  # legs that hear it
        core.hooks.append(self._note)

    def join(self, first: str, second: str) -> Step[None]:
        self.parties = (first, second)
        yield from self.arrange()

    def part(self) -> Step[None]:
        """Nobody hears the other; the recording, if one runs, waits."""
        if self.parties is None:
            return
        parties, self.parties = self.parties, None
        yield from self._set(parties, bridged=False, music=set())
        yield from self._captures.silence("hold")

    def arrange(self) -> Step[None]:
        """Make it so as the parties want it now."""
        if self.parties is None:
            return
        held = {leg for leg in self.parties if leg in self._core.held}
        if self.relay:
            held = set()
        wait = {leg for leg in self.parties if leg not in held} if held and self._core.plan.music is not None else set()
        yield from self._set(self.parties, bridged=not held, music=wait)
        yield from self._captures.silence("hold" if held else "pause" if self.paused else "")

    @property
    def held(self) -> bool:
        """Whether somebody has put the other on hold."""
        return self.parties is not None and any(leg in self._core.held for leg in self.parties)

    def _set(self, parties: tuple[str, str], *, bridged: bool, music: set[str]) -> Step[None]:
        for leg in sorted(self._music - music):
            if not self._core.down(leg):
                yield p.Music(leg, False)
        if bridged != self._bridged:
            self._bridged = bridged
            if bridged or not any(self._core.down(leg) for leg in parties):
                yield p.Bridge(*parties, bridged)
        for leg in sorted(music - self._music):
            yield p.Music(leg, True, str(self._core.plan.music))
        self._music = music

    def _note(self, event: Happening) -> Step[None]:
        if isinstance(event, p.LegMedia):
            yield from self.arrange()
