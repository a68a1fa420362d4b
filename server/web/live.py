"""Regions of pages that are kept up to date while somebody looks (`server.web.routes.Topic`).

A region is made once for all who may see the same, by whichever of them is the first to want it anew; so many viewers
cost little more than one. Nothing runs while nobody looks. A stream ends with the session, and when rights change.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from aiohttp import web

from server.failure import Failure
from server.operation_rules import RULES
from server.rights import Identity, Reach
from server.web.event_stream import HEARTBEAT_S, LOOK_S, EventStream, Gone, Identify, Looks, Turns
from server.web.routes import OPEN, SIGNED_IN, Topic
from server.web.visit import Visit

log = logging.getLogger(__name__)

PATH = "/events"
MAX_VIEWERS = 250
MAX_OF_ONE = 10  # streams of one person: tabs
MAX_TOPICS = 12
SHORTEST_S = 0.25
RENDER_S = 10.0
AGAIN_S = 5.0  # before a region is made anew that could not be made
SAY_S = 60.0  # between two lines of the log about the same

PERSONAL = frozenset(rule.right for rule in RULES.values() if rule.login)
"""What is done with these rights hangs on who does it, however far they reach."""

_OF = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(slots=True)
class _Region:
    """What all who may see the same are shown."""

    html: str = ""
    made_s: float = float("-inf")
    number: int = 0  # of the version
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    viewers: int = 0


class Live:
    """One for the portal. `monotonic`: seconds that never go back."""

    def __init__(self, topics: Mapping[str, Topic], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._topics = topics
        self._monotonic = monotonic
        self._regions: dict[Hashable, _Region] = {}
        self._viewers: Counter[str] = Counter()  # by person
        self._closing = asyncio.Event()
        self._looks = Looks()
        self._turns = Turns()
        self._said: dict[str, tuple[float, int]] = {}  # when last, and how often it was not said since
        self.made = 0  # regions, since the start

    def close(self) -> None:
        """The daemon stops: streams end, and browsers come again."""
        self._closing.set()

    async def serve(self, visit: Visit, identify: Identify, headers: Mapping[str, str]) -> web.StreamResponse:
        """Until the viewer leaves. `identify`: who it is now."""
        who = visit.person
        topics = self._asked(visit, who)
        if not topics:
            return web.Response(status=404)
        if self._viewers.total() >= MAX_VIEWERS or self._viewers[who.person_id] >= MAX_OF_ONE or self._closing.is_set():
            return web.Response(status=503, headers={"Retry-After": "30"})
        keys = {topic.name: region_key(topic, visit, who) for topic in topics}
        self._viewers[who.person_id] += 1
        for key in keys.values():
            self._regions.setdefault(key, _Region()).viewers += 1
        try:
            stream = await EventStream.open(visit.request, headers)
            try:
                await self._show(stream, visit, topics, keys, identify)
            except Gone:
                pass
            except Failure as failure:  # its answer has begun; the browser comes again
                self._say(logging.WARNING, f"a live page ends: {failure.code}")
            return stream.answer
        except Gone:
            return web.Response(status=499)
        finally:
            self._viewers[who.person_id] -= 1
            self._viewers += Counter()  # those at nothing go
            for key in keys.values():
                region = self._regions[key]
                region.viewers -= 1
                if not region.viewers:
                    del self._regions[key]

    def _asked(self, visit: Visit, who: Identity) -> Sequence[Topic]:
        """Those of the query that there are and that this person may see."""
        names = list(dict.fromkeys(visit.request.query.getall("topic", [])))[:MAX_TOPICS]
        found = [topic for topic in (self._topic(name) for name in names) if topic is not None]
        return [topic for topic in found if topic.right in (OPEN, SIGNED_IN) or who.may(topic.right)]

    def _topic(self, name: str) -> Topic | None:
        """`campaign:summer` is the region `campaign` of what is called summer."""
        kind, apart, of = name.partition(":")
        topic = self._topics.get(kind)
        if topic is None or (topic.render_of is None) == bool(apart) or (apart and not _OF.fullmatch(of)):
            return None
        return topic if topic.render_of is None else replace(topic, name=name, render=partial(topic.render_of, of=of))

    async def _show(
        self,
        stream: EventStream,
        visit: Visit,
        topics: Sequence[Topic],
        keys: Mapping[str, Hashable],
        identify: Identify,
    ) -> None:
        """Raises Gone."""
        who = visit.person
        shown: dict[str, int] = {}
        beat_s = self._monotonic()
        look_s = beat_s - LOOK_S * self._looks.early()
        while not self._closing.is_set():
            for topic in topics:
                region = self._regions[keys[topic.name]]
                await self._make(topic, region, visit)
                if region.number and shown.get(topic.name) != region.number:
                    shown[topic.name] = region.number
                    await self._turns.mine()
                    await stream.send(topic.name, region.html)
                    beat_s = self._monotonic()
            now_s = self._monotonic()
            if now_s - beat_s >= HEARTBEAT_S:
                await stream.beat()
                beat_s = now_s
            if now_s - look_s >= LOOK_S:
                look_s = now_s
                async with self._looks.room:
                    same = who.same_as(await identify())
                if not same:
                    await stream.send("end", "")
                    return
            await self._pause(self._due_s(topics, keys))

    def _say(self, level: int, what: str, *, exc_info: bool = False) -> None:
        """Once for all streams, which fail together and come again together."""
        now_s = self._monotonic()
        last_s, unsaid = self._said.get(what, (float("-inf"), 0))
        if now_s - last_s < SAY_S:
            self._said[what] = last_s, unsaid + 1
            return
        self._said[what] = now_s, 0
        log.log(level, "%s%s", what, f" (and {unsaid} times before)" if unsaid else "", exc_info=exc_info)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return

    def _due_s(self, topics: Sequence[Topic], keys: Mapping[str, Hashable]) -> float:
        now_s = self._monotonic()
        due = (self._regions[keys[topic.name]].made_s + max(SHORTEST_S, topic.every_s) - now_s for topic in topics)
        return min(HEARTBEAT_S, max(0.05, min(due)))

    async def _make(self, topic: Topic, region: _Region, visit: Visit) -> None:
        """Make it anew where it is old; whoever comes meanwhile waits for the same."""
        async with region.turn:
            if self._monotonic() - region.made_s < max(SHORTEST_S, topic.every_s):
                return
            try:
                async with asyncio.timeout(RENDER_S):
                    html = await topic.render(visit)
            except (Failure, TimeoutError) as error:
                self._say(logging.WARNING, f"the region {_kind(topic)} is not made anew: {type(error).__name__}")
                region.made_s = self._monotonic() + AGAIN_S
                return
            except Exception:  # the boundary of a region: the others of the page go on
                self._say(logging.ERROR, f"the region {_kind(topic)} failed", exc_info=True)
                region.made_s = self._monotonic() + AGAIN_S
                return
            self.made += 1
            region.made_s = self._monotonic()
            if html != region.html or not region.number:
                region.html = html
                region.number += 1


def _kind(topic: Topic) -> str:
    """Its name without what it is of: the log names nobody's campaign."""
    return topic.name.partition(":")[0]


def region_key(topic: Topic, visit: Visit, who: Identity) -> Hashable:
    """Alike for those who see the same: rights, how far they reach and over whose things, language, zone."""
    reach = who.reach(topic.right)
    shared = reach is Reach.ALL and topic.right not in PERSONAL
    whose = None if shared else (who.person_id, who.own, who.team)
    return topic.name, visit.language, visit.zone, frozenset(who.grants.items()), whose
