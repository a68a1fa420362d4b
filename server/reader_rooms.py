"""Readers' rooms: a process for each session that has unlocked (`recording.reader_room`), a few at a time.

One ends when its session does, when its person locks it or is locked, when its time is over, and with the daemon.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from server.services.actor import Actor
from storage.errors import StorageError

if TYPE_CHECKING:
    from recording.reader_room_client import ReaderRoomClient

log = logging.getLogger(__name__)

MOST = 8  # each holds some 60 MB while somebody looks at a waveform
LOOK_S = 2.0  # between two looks whether one is over
Lives = Callable[[str, str], Awaitable[bool]]


@dataclass(slots=True)
class Listened:
    """A recording that is open in a room. `webm_bytes` 0: it has no such form. `spans`: bytes of its stream that were
    given out; `webm_spans`: of the form with an index, which a player takes in its stead."""

    rec_id: str
    purpose: str
    state: str
    size_bytes: int
    duration_ms: int
    actor: Actor = field(repr=False)
    webm_bytes: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    webm_spans: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class ReaderRoom:
    """`on_closed` writes down how much of a recording was heard."""

    session_id: str
    person_id: str
    until: datetime
    client: ReaderRoomClient
    on_closed: Callable[[Listened], Awaitable[None]]
    opened: dict[str, Listened] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # one recording is opened after the other
    ended: bool = False
    reason: str = field(default="", repr=False)  # for which texts are read in it; "": none are
    shown: set[str] = field(default_factory=set)  # ids of texts that were, and stand in the access log

    async def close_recording(self, rec_id: str) -> None:
        """Whether or not it is open."""
        listened = self.opened.pop(rec_id, None)
        if listened is not None:
            await self._tell(listened)

    async def end(self) -> None:
        """The process first, then what is left to be written down."""
        self.ended = True
        await self.client.close()
        for rec_id in list(self.opened):
            await self.close_recording(rec_id)

    async def _tell(self, listened: Listened) -> None:
        try:
            await self.on_closed(listened)
        except StorageError as error:
            log.error("how much of a recording was heard could not be written down: %s", error)


class ReaderRooms:
    """All that are open, by session."""

    def __init__(self) -> None:
        self.turn = asyncio.Lock()  # one unlocking after the other: each takes 64 MB, and a try has to be counted
        self._rooms: dict[str, ReaderRoom] = {}

    def of(self, session_id: str | None, now: datetime) -> ReaderRoom | None:
        """The session's, if it is unlocked."""
        room = self._rooms.get(session_id or "")
        return room if room is not None and now < room.until and not room.client.ended else None

    @property
    def is_full(self) -> bool:
        return len(self._rooms) >= MOST

    async def add(self, room: ReaderRoom) -> None:
        """In place of one that the session had."""
        await self.end(room.session_id)
        self._rooms[room.session_id] = room

    async def end(self, session_id: str) -> None:
        """The session is over, or locks. It is no error if it had none."""
        room = self._rooms.pop(session_id, None)
        if room is not None:
            await room.end()

    def cut(self, person_id: str) -> int:
        """Every room of this person ends now; how many. What was heard is written down at the next look."""
        theirs = [room for room in self._rooms.values() if room.person_id == person_id]
        for room in theirs:
            room.client.kill()
        return len(theirs)

    async def run(self, clock: Callable[[], datetime], lives: Lives) -> None:
        """Until cancelled: then all of them end. `lives`: whether a session is still there, by person and id; it may
        have been ended in many ways."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                await self.end_those_over(clock())
                for room in list(self._rooms.values()):
                    if not await lives(room.person_id, room.session_id):
                        await self.end(room.session_id)
        finally:
            for session_id in list(self._rooms):
                await self.end(session_id)

    async def end_those_over(self, now: datetime) -> None:
        for session_id in [key for key in self._rooms if self.of(key, now) is None]:
            await self.end(session_id)
