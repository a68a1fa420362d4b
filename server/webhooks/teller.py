"""Tells each receiver of [web.webhooks] what the person may know whose rights it has.

In order, one at a time, again until it is taken: a receiver that does not answer holds up nobody but itself, and after
too many that wait the oldest are given up. What waits is in memory: a restart forgets it. Nothing follows a
redirection, nothing waits longer than TIMEOUT_S, and a certificate that does not hold ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import ssl
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import aiohttp

from config.web_section import Webhook
from server.alerting.notices import SIGNATURE, signature
from server.failure import Failure
from server.happenings.hub import Happening, Hub
from server.happenings.sight import Sight, sight_of
from server.rights import Identity
from server.services import permitted, secret_sources, sign_in
from server.services.context import Services
from server.services.directory import person_by_login
from storage.errors import StorageError

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
FIRST_BACK_OFF_S, LONGEST_BACK_OFF_S = 1.0, 300.0
GIVE_UP = timedelta(hours=24)
MAX_WAITING = 1000
LOOK_S = 30.0  # between two looks at what the person may know
RECORD_S = 3.0  # for the record of a call that has just ended
WORKSTATION = "webhook"

COUNTS = ("told", "failures", "given_up")


@dataclass(frozen=True, slots=True)
class _Waiting:
    id: str
    kind: str
    body: bytes
    at: datetime


@dataclass(slots=True)
class _Receiver:
    name: str
    chosen: Webhook
    waiting: deque[_Waiting] = field(default_factory=deque)
    something: asyncio.Event = field(default_factory=asyncio.Event)
    tries: int = 0


class Teller:
    """One for the daemon."""

    def __init__(self, services: Services, hub: Hub) -> None:
        self._services, self._hub = services, hub
        self._receivers = [
            _Receiver(name, chosen) for name, chosen in services.settings.web.webhooks.items() if chosen.url
        ]
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

    # --- what it may know ---------------------------------------------------------------------------------------------

    async def _hear(self, one: _Receiver) -> None:
        loop = asyncio.get_running_loop()
        with self._hub.listening() as listener:
            who, sight, look_s = None, Sight(), float("-inf")
            while True:
                happening = await listener.queue.get()
                if loop.time() - look_s >= LOOK_S:
                    who, sight = await self._sight(one)
                    look_s = loop.time()
                if one.chosen.kinds and happening.kind not in one.chosen.kinds:
                    continue
                if who is None or not sight.sees(happening):
                    continue
                told = sight.told(happening)
                if one.chosen.numbers and happening.kind == "call.ended":
                    told |= await self._numbers(one, who, happening)
                self._add(one, happening, told)

    async def _sight(self, one: _Receiver) -> tuple[Identity | None, Sight]:
        """Nothing, where the person is not there any more."""
        services, login = self._services, one.chosen.login
        try:
            async with services.db.read() as tx:
                if (await person_by_login(tx, login)).disabled_at is not None:
                    return None, Sight()
            who = await sign_in.identity_of(services, login=login)
            return who, await sight_of(services, who)
        except (Failure, StorageError) as error:
            log.warning("webhook %s is told nothing: %s", one.name, type(error).__name__)
            return None, Sight()

    async def _numbers(self, one: _Receiver, who: Identity, happening: Happening) -> Mapping[str, object]:
        """Those of the record, as that person is shown them; each look is written down."""
        await asyncio.sleep(RECORD_S)
        try:
            found = await permitted.call(
                self._services, who, "calls.show", {"call_id": happening.subject}, workstation=WORKSTATION,
                reason=f"webhook {one.name}",
            )  # fmt: skip
        except Failure:
            return {}
        return {"numbers": found["numbers"]} if isinstance(found, dict) else {}

    def _add(self, one: _Receiver, happening: Happening, told: Mapping[str, object]) -> None:
        delivery = secrets.token_hex(16)
        said = {"v": 1, "id": delivery, **told}
        body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        one.waiting.append(_Waiting(delivery, happening.kind, body, self._services.clock()))
        while len(one.waiting) > MAX_WAITING:
            self._give_up(one, one.waiting.popleft())
        one.something.set()

    # --- telling it ---------------------------------------------------------------------------------------------------

    async def _send(self, one: _Receiver) -> None:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S), trust_env=False, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            while True:
                if not one.waiting:
                    one.something.clear()
                    await one.something.wait()
                first = one.waiting[0]
                why = await self._post(session, one, first)
                if not why:
                    self._done(one, first)
                    self.counts["told"] += 1
                    log.info("webhook %s was told %s (delivery %s)", one.name, first.kind, first.id)
                    one.tries = 0
                    continue
                self.counts["failures"] += 1
                log.warning("webhook %s did not take %s (delivery %s): %s", one.name, first.kind, first.id, why)
                if self._services.clock() - first.at > GIVE_UP and self._done(one, first):
                    self._give_up(one, first)
                await asyncio.sleep(min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2 ** min(one.tries, 16)))
                one.tries += 1

    def _done(self, one: _Receiver, first: _Waiting) -> bool:
        """It waits no more; it may have been given up meanwhile."""
        with contextlib.suppress(ValueError):
            one.waiting.remove(first)
            return True
        return False

    def _give_up(self, one: _Receiver, given: _Waiting) -> None:
        self.counts["given_up"] += 1
        log.error("webhook %s is told %s no more (delivery %s)", one.name, given.kind, given.id)

    async def _post(self, session: aiohttp.ClientSession, one: _Receiver, first: _Waiting) -> str:
        """Why it was not taken; "" where it was."""
        chosen = one.chosen
        try:
            headers = {
                "Content-Type": "application/json",
                "Beffroi-Event": first.kind,
                "Beffroi-Delivery": first.id,
                SIGNATURE: signature(self._secret(one), first.body, self._services.clock()),
            }
            tls = ssl.create_default_context(cafile=chosen.ca_file or None) if chosen.url.startswith("https:") else True
            async with session.post(
                chosen.url, data=first.body, headers=headers, allow_redirects=False, ssl=tls
            ) as answer:
                return "" if 200 <= answer.status < 300 else f"it answered {answer.status}"
        except Failure as failure:
            return failure.what
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__

    def _secret(self, one: _Receiver) -> bytes:
        """Raises Failure."""
        with secret_sources.source(self._services.settings, self._services.paths) as get:
            return get(f"webhook.{one.name}.password").rstrip(b"\n")


def _bound(part: Callable[[_Receiver], Awaitable[None]], one: _Receiver) -> Callable[[], Awaitable[None]]:
    async def run() -> None:
        await part(one)

    return run
