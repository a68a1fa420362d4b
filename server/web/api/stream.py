"""The API's stream of what happens: calls and texts that the token may know of, as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence

from aiohttp import web

from config.happenings import KINDS
from server.failure import Failure
from server.happenings import listening
from server.happenings.hub import Full, Happening, Listener
from server.happenings.sight import Sight, sight_of
from server.rights import Identity
from server.services.actor import Actor
from server.services.context import Services
from server.services.failures import told
from server.web.api.problems import Refused
from server.web.event_stream import HEARTBEAT_S, LOOK_S, EventStream, Gone, Identify, Looks, Turns

log = logging.getLogger(__name__)

MAX_OF_ONE = 5  # streams of one person, by however many tokens
AT_MOST = 50  # that are told in one piece
_LAST = "Last-Event-ID"

TAKES: tuple[Mapping[str, object], ...] = (
    {
        "name": "kind",
        "in": "query",
        "description": "Only these; all where none is named.",
        "style": "form",
        "explode": True,
        "schema": {"type": "array", "maxItems": len(KINDS), "items": {"enum": list(KINDS)}},
    },
    {
        "name": _LAST,
        "in": "header",
        "description": "The last that was heard: what came after it follows, or an event `missed`.",
        "schema": {"type": "string", "pattern": "^[0-9a-f-]{1,40}$"},
    },
)


class Streams:
    """All that listen by the API."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._of: Counter[str] = Counter()  # by person
        self._turns = Turns()
        self._looks = Looks()
        self._closing = asyncio.Event()

    def close(self) -> None:
        """The daemon stops."""
        self._closing.set()

    async def serve(
        self, request: web.Request, who: Identity, actor: Actor, identify: Identify, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Until the program leaves. Raises Failure."""
        kinds = frozenset(request.query.getall("kind", []))
        if kinds - frozenset(KINDS) or request.query.keys() - {"kind"}:
            raise Refused("kind is none of those that there are", f"Take: {', '.join(KINDS)}", "misuse")
        hub = self._services.happenings
        if hub is None or self._closing.is_set():
            raise Failure("the daemon is not running: nothing happens", "Type: beffroi serve", "not_running")
        if self._of[who.person_id] >= MAX_OF_ONE:
            raise Refused("that is too many streams", "End one", "too_many", headers={"Retry-After": "30"})
        self._of[who.person_id] += 1
        try:
            with hub.listening(request.headers.get(_LAST, "")[:40]) as listener:
                sight = await listening.begin(self._services, who, actor, kinds)
                stream = await EventStream.open(request, headers)
                try:
                    await self._tell(stream, listener, who, sight, kinds, identify)
                except Gone:
                    pass
                except Failure as failure:  # its answer has begun; the program comes again
                    log.warning("a stream of what happens ends: %s", failure.code)
                return stream.answer
        except Full:
            raise Refused(
                "so many listen already", "Come again later", "too_many", headers={"Retry-After": "30"}
            ) from None
        except Gone:
            return web.Response(status=499)
        finally:
            self._of[who.person_id] -= 1
            self._of += Counter()

    async def _tell(
        self,
        stream: EventStream,
        listener: Listener,
        who: Identity,
        sight: Sight,
        kinds: frozenset[str],
        identify: Identify,
    ) -> None:
        """Raises Gone, Failure."""
        loop = asyncio.get_running_loop()
        beat_s = loop.time()
        look_s = beat_s - LOOK_S * self._looks.early()
        while not self._closing.is_set():
            happened = await self._next(listener)
            if loop.time() - look_s >= LOOK_S:
                look_s = loop.time()
                async with self._looks.room:
                    now = await identify()
                    if now is not None and who.same_as(now):
                        with told():
                            sight = await sight_of(self._services, now)
                if now is None or not who.same_as(now):
                    await stream.send("end", {})
                    return
            seen = [one for one in happened if one is None or ((not kinds or one.kind in kinds) and sight.sees(one))]
            if seen:
                await stream.send_all(
                    ("missed", {}, "") if one is None else (one.kind, sight.told(one), one.id) for one in seen
                )
                beat_s = loop.time()
            elif loop.time() - beat_s >= HEARTBEAT_S:
                await stream.beat()
                beat_s = loop.time()

    async def _next(self, listener: Listener) -> Sequence[Happening | None]:
        """All that has happened, once it is this stream's turn; nothing, where nothing has for a while. None: here it
        has missed some."""
        try:
            async with asyncio.timeout(1.0):
                first = await listener.next()
        except TimeoutError:
            return ()
        await self._turns.mine()
        return [first, *(listener.queue.get_nowait() for _ in range(min(AT_MOST, listener.queue.qsize())))]
