"""Tells each receiver of [web.webhooks] what the person may know whose rights it has.

In order, one at a time, again until it is taken: a receiver that does not answer holds up nobody but itself, and after
too many that wait the oldest are given up. Of what is lost `missed` says that it was. What waits is in memory: a
restart forgets it. How it is sent: `server.signed_posts`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp

from config.web_section import Webhook
from server import signed_posts
from server.failure import Failure
from server.happenings import listening
from server.happenings.hub import Happening, Hub
from server.happenings.sight import Sight, read_sight
from server.rights import Identity
from server.services import identities, permitted
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.failures import told
from server.signed_posts import Means, NotTaken, Place
from storage.tx import Tx

log = logging.getLogger(__name__)

FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 300.0
GIVE_UP = timedelta(hours=24)
MAX_WAITING = 1000
LOOK_S = 30.0  # between two looks at what the person may know, and at the secret
RECORD_S = 3.0  # for the record of a call that has just ended
DATABASE_S = 2.0  # before a database that was away is asked again
WORKSTATION = "webhook"

COUNTS = ("told", "failures", "given_up")


@dataclass(slots=True, eq=False)
class _Waiting:
    """`happening`: None says that some are missing. `body`: as it was told last, to `who`."""

    happening: Happening | None
    at: datetime
    due_s: float  # not before; of the loop's clock
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    body: bytes = b""
    who: Identity | None = None

    @property
    def kind(self) -> str:
        return self.happening.kind if self.happening else "missed"

    @property
    def says_enough(self) -> bool:
        """It says that some are missing, and nobody can have taken it yet: it speaks of what is lost now as well."""
        return self.happening is None and not self.body


@dataclass(slots=True)
class _Receiver:
    name: str
    chosen: Webhook
    waiting: deque[_Waiting] = field(default_factory=deque)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    tries: int = 0
    who: Identity | None = None  # None: nobody is there, so it is told nothing
    sight: Sight = field(default_factory=Sight)
    looked_s: float = float("-inf")
    means: Means | None = None
    means_s: float = float("-inf")
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def place(self) -> Place:
        return Place(self.chosen.url, f"webhook.{self.name}.password", self.chosen.ca_file)


class Teller:
    """One for the daemon."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._receivers = [_Receiver(name, chosen) for name, chosen in services.settings.web.webhooks.items()]
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTS, 0))

    def parts(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What has to run, by name."""
        found: dict[str, Callable[[], Awaitable[None]]] = {}
        for one in self._receivers:
            found[f"webhook {one.name} hears"] = _bound(self._hear, one)
            found[f"webhook {one.name}"] = _bound(self._send, one)
        return found

    def counters(self) -> dict[str, float]:
        return {f"webhooks_{name}": float(count) for name, count in self.counts.items()}

    def well(self) -> Mapping[str, bool | None]:
        """By name: whether it may be told something, and took what was sent last; None where that is not known yet."""
        return {
            one.name: one.who is not None and not one.tries if one.looked_s > float("-inf") else None
            for one in self._receivers
        }

    # --- what it may know ---------------------------------------------------------------------------------------------

    async def _hear(self, one: _Receiver) -> None:
        """Waits for the database alone, never for the receiver."""
        with self._hub.listening() as listener:
            await self._known(one)
            while True:
                happening = await listener.next()
                if happening is None:  # it stands where the gap is, so whoever asks anew on it finds what is missing
                    self._add(one, None)
                    continue
                await self._known(one)
                if one.chosen.kinds and happening.kind not in one.chosen.kinds:
                    continue
                if one.who is not None and one.sight.sees(happening):
                    self._add(one, happening)

    async def _known(self, one: _Receiver) -> None:
        """What that person may know is not older than LOOK_S."""
        while True:
            try:
                return await self._look(one)
            except Failure as failure:
                log.warning("webhook %s waits: what it may know is not known (%s)", one.name, failure.code)
                await asyncio.sleep(DATABASE_S)

    async def _look(self, one: _Receiver) -> None:
        """Raises Failure."""
        async with one.looking:
            if asyncio.get_running_loop().time() - one.looked_s >= LOOK_S:
                await self._look_now(one)

    async def _look_now(self, one: _Receiver) -> None:
        now_s = asyncio.get_running_loop().time()
        services, first = self._services, one.looked_s == float("-inf")
        with told():
            async with services.db.read() as tx:
                who = await _identity(tx, one.chosen.login)
                sight = await read_sight(tx, who) if who else Sight()
        if who is not None and not who.same_as(one.who):
            actor = permitted.acting(who, workstation=WORKSTATION, reason=f"webhook {one.name}")
            sight = await listening.begin(services, who, actor, one.chosen.kinds)
            log.info("webhook %s is told what %s may know", one.name, who.person_id)
        elif who is None and (first or one.who is not None):
            log.error(
                "webhook %s is told nothing: the person of web.webhooks.%s.login is not there", one.name, one.name
            )
        one.who, one.sight, one.looked_s = who, sight, now_s

    def _add(self, one: _Receiver, happening: Happening | None) -> None:
        if happening is None and one.waiting and one.waiting[-1].says_enough:
            return
        now_s = asyncio.get_running_loop().time()
        numbered = one.chosen.numbers and happening is not None and happening.kind == "call.ended"
        one.waiting.append(_Waiting(happening, self._services.clock(), now_s + (RECORD_S if numbered else 0.0)))
        while len(one.waiting) > MAX_WAITING:
            self._give_up(one, next(each for each in one.waiting if each.happening is not None))
        one.something.set()

    def _give_up(self, one: _Receiver, given: _Waiting) -> None:
        """In its place it is told that something is missing."""
        waiting = one.waiting
        place = waiting.index(given)
        del waiting[place]
        while place < len(waiting) and waiting[place].happening is None:
            del waiting[place]
        if not place or not waiting[place - 1].says_enough:
            waiting.insert(place, _Waiting(None, self._services.clock(), 0.0))
        self.counts["given_up"] += 1
        log.error("webhook %s is told %s no more (delivery %s)", one.name, given.kind, given.id)

    # --- telling it ---------------------------------------------------------------------------------------------------

    async def _send(self, one: _Receiver) -> None:
        async with signed_posts.session() as session:
            while True:
                first = await self._due(one)
                try:
                    if await self._write(one, first):
                        await self._post(session, one, first)
                        self.counts["told"] += 1
                        log.info("webhook %s was told %s (delivery %s)", one.name, first.kind, first.id)
                    else:
                        log.info("webhook %s may not know %s any more (delivery %s)", one.name, first.kind, first.id)
                    one.tries = 0
                    if first in one.waiting:  # it may have been given up meanwhile
                        one.waiting.remove(first)
                    continue
                except NotTaken as why:
                    log.warning("webhook %s did not take %s (delivery %s): %s", one.name, first.kind, first.id, why)
                except Failure as failure:
                    log.warning("webhook %s waits for %s (delivery %s): %s", one.name, first.kind, first.id,
                                failure.code)  # fmt: skip
                self.counts["failures"] += 1
                one.means = None
                if self._services.clock() - first.at > GIVE_UP and first.happening and first in one.waiting:
                    self._give_up(one, first)
                await asyncio.sleep(min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** min(one.tries, 16)))
                one.tries += 1

    async def _due(self, one: _Receiver) -> _Waiting:
        """The first that waits, once it may be told."""
        loop = asyncio.get_running_loop()
        while True:
            if not one.waiting:
                one.something.clear()
                await one.something.wait()
            wait_s = one.waiting[0].due_s - loop.time()
            if wait_s <= 0:
                return one.waiting[0]
            await asyncio.sleep(wait_s)

    async def _write(self, one: _Receiver, first: _Waiting) -> bool:
        """Its body, by what that person may know now; False where it may not be told any more. Raises Failure."""
        await self._look(one)
        happening, said = first.happening, dict[str, object]()
        if one.who is None:
            return False
        if happening is None:
            said = {"kind": first.kind, "at": first.at.isoformat(timespec="milliseconds")}
        elif not one.sight.sees(happening):
            return False
        elif first.body and one.who.same_as(first.who):
            return True
        else:
            said = one.sight.told(happening)
            if one.chosen.numbers and happening.kind == "call.ended":
                said |= await self._numbers(one, one.who, happening)
        first.who = one.who
        first.body = json.dumps({"v": 1, "id": first.id, **said}, ensure_ascii=False, separators=(",", ":")).encode()
        return True

    async def _numbers(self, one: _Receiver, who: Identity, happening: Happening) -> Mapping[str, object]:
        """Those of the record, as that person is shown them; each look is written down. Raises Failure."""
        try:
            found = await permitted.call(
                self._services, who, "calls.show", {"call_id": happening.subject}, workstation=WORKSTATION,
                reason=f"webhook {one.name}",
            )  # fmt: skip
        except Failure as failure:
            if failure.code not in ("not_found", "denied"):
                raise
            log.warning("webhook %s is not told the numbers of a call: %s", one.name, failure.code)
            return {}
        return {"numbers": found["numbers"]} if isinstance(found, dict) else {}

    async def _post(self, session: aiohttp.ClientSession, one: _Receiver, first: _Waiting) -> None:
        """Raises NotTaken."""
        now_s = asyncio.get_running_loop().time()
        if one.means is None or now_s - one.means_s >= LOOK_S:
            one.means = await signed_posts.means(self._services.settings, self._services.paths, one.place)
            one.means_s = now_s
        headers = {"Beffroi-Event": first.kind, "Beffroi-Delivery": first.id}
        await signed_posts.post(session, one.place, one.means, first.body, self._services.clock(), headers)


async def _identity(tx: Tx, login: str) -> Identity | None:
    """None where that person is not there, or not any more. Raises StorageError."""
    try:
        person = await person_by_login(tx, login)
    except Failure:
        return None
    return None if person.disabled_at is not None else await identities.read(tx, person)


def _bound(part: Callable[[_Receiver], Awaitable[None]], one: _Receiver) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await part(one)

    return run
