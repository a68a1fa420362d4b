"""A GSM modem with a SIM as a carrier: one text at a time, a few a minute, and no advertising.

The modem is driven by libgammu in a process of its own (`modem_process`), which is started again when it ends. A text
that came in is deleted from the SIM once it is committed, and not before: `gammu-smsd` deletes it when it has put it
into its spool, whatever becomes of it then, which is why it is not used (docs/modems.md).

Sending adverts from 06 and 07 numbers is forbidden in France (ARCEP decision 2018-0881): see `carries`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sms.addresses import Number
from sms.carriers import modem_words
from sms.carriers.carrier import (
    Because,
    Health,
    NotSent,
    OutboundPart,
    Receiver,
    Refused,
    State,
    Submitted,
    Throttled,
)
from sms.carriers.modem_link import Link, Words

logger = logging.getLogger(__name__)

CARRIES: Final = frozenset({"transactional", "conversation", "internal"})
_BACK_OFF_S: Final = 60.0
_UP_FOR_S: Final = 60.0  # as long as that, and the next failure is the first again
_IN_A_NETWORK: Final = frozenset({"HomeNetwork", "RoamingNetwork", ""})


@dataclass(frozen=True, slots=True)
class ModemSettings:
    """`number`: the SIM's own. `directory`: ours alone; what is remembered of a refused PIN lies there.

    `connection` and `model` are libgammu's: "at115200" and "at" for a modem, "none" and "dummy" for its dummy.
    Raises ValueError where a value is out of bounds.
    """

    name: str
    number: Number
    device: str
    directory: Path
    connection: str = "at115200"
    model: str = "at"
    pin: str | None = field(default=None, repr=False)
    service_centre: str = ""  # "": what the SIM says
    country: str = "FR"  # of numbers without a prefix and of short codes
    poll_s: float = 10.0  # how often the SIM is looked at besides: 1 to 600
    answer_s: float = 60.0  # for the network to take a text: 1 to 300
    pause_s: float = 1.0  # between two texts: 0 to 600
    retry_s: float = 1.0  # before it is tried again, doubled up to a minute: 0.05 to 60

    def __post_init__(self) -> None:
        for name, low, high in (("poll_s", 1, 600), ("answer_s", 1, 300), ("pause_s", 0, 600), ("retry_s", 0.05, 60)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}: {low} to {high}")
        if self.pin is not None and not (self.pin.isdigit() and 4 <= len(self.pin) <= 8):
            raise ValueError("pin: four to eight digits")
        if not self.device or "\n" in self.device:
            raise ValueError("device: a path")


class Modem:
    """A carrier (`sms.carriers.carrier.Carrier`). `now` gives an aware time, for what people read."""

    def __init__(
        self, settings: ModemSettings, receiver: Receiver, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._settings, self._receiver, self._now = settings, receiver, now
        self._state = State(Health.OFF, now())
        self._link: Link | None = None  # while it is up
        self._centre = ""
        self._one = asyncio.Lock()
        self._ready_at = 0.0
        self._lives = 0
        self._locked = ""  # why nobody but a person can go on

    @property
    def name(self) -> str:
        return self._settings.name

    @property
    def window(self) -> int:
        return 1

    @property
    def carries(self) -> frozenset[str]:
        """The classes of messages (sms.messages) that may go this way: never advertising."""
        return CARRIES

    def state(self) -> State:
        return State(self._state.health, self._state.since, self._state.why, int(self._one.locked()))

    async def run(self) -> None:
        """Keeps the process up until cancelled. To be called in the main thread."""
        loop, wait_s = asyncio.get_running_loop(), self._settings.retry_s
        self._settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            while True:
                self._lives += 1
                began = loop.time()
                await self._live()
                if loop.time() - began >= _UP_FOR_S:
                    wait_s = self._settings.retry_s
                await asyncio.sleep(wait_s * random.uniform(0.8, 1.2))  # noqa: S311  (jitter)
                wait_s = min(wait_s * 2, _BACK_OFF_S)
        finally:
            self._say(Health.OFF, "")

    async def submit(self, part: OutboundPart) -> Submitted:
        async with self._one:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._ready_at - loop.time()))
            link, words = self._link, modem_words.order(part, self._centre)
            if words is None:
                return Refused(Because.ADDRESS, permanent=True, code="no telephone")
            waits = link.begin(words) if link is not None else None
            if link is None or waits is None:
                return NotSent()
            try:
                async with asyncio.timeout(self._settings.answer_s):
                    outcome = await asyncio.shield(waits)
            except TimeoutError:
                link.kill()
                outcome = await waits
            self._ready_at = loop.time() + (
                outcome.after_s if isinstance(outcome, Throttled) else self._settings.pause_s
            )
            return outcome

    async def _live(self) -> None:
        settings = self._settings
        self._locked = ""
        if self._state.health is not Health.REFUSED:  # until it is seen not to be
            self._say(Health.CONNECTING, self._state.why)
        link = Link(self._take_in, lambda words: self._heard(link, words))
        try:
            await link.run(
                {
                    "device": settings.device,
                    "connection": settings.connection,
                    "model": settings.model,
                    "service_centre": settings.service_centre,
                    "poll_s": settings.poll_s,
                }
            )
        except OSError as error:
            self._say(Health.CONNECTING, f"its process does not start: {error.strerror}")
        finally:
            self._link = None
        if self._locked:
            self._say(Health.REFUSED, self._locked)
        elif self._state.health is Health.UP:
            self._say(Health.CONNECTING, "its process ended")

    def _heard(self, link: Link, words: Words) -> None:
        match words["is"]:
            case "locked":
                link.tell({"pin": self._pin_for(words["wants"])})
            case "pin refused":
                self._locked = "the SIM refuses the PIN. It is not typed again: correct it in the configuration"
            case "unlocked":
                self._mark.unlink(missing_ok=True)
            case "up":
                self._centre, self._link = words["service_centre"], link
                self._say(Health.UP, "" if self._centre else "the SIM names no service centre: give service_centre")
                if not self._centre:
                    self._link = None
            case "status":
                if self._link is not None:
                    self._say(*_standing(words))
            case "broken":
                self._link = None
                self._say(Health.CONNECTING, f"the modem does not answer ({words['error']})")
            case "unreadable":
                logger.warning("carrier %s: %d slots of the SIM cannot be read", self.name, words["slots"])

    async def _take_in(self, words: Words) -> None:
        country, said = self._settings.country, words["words"]
        if modem_words.is_receipt(said):
            await self._receiver.receipt(self.name, modem_words.receipt(said, country))
            return
        part = modem_words.inbound(
            said,
            slot=words["slot"],
            link=f"{self.name}.{self._lives}",
            recipient=self._settings.number,
            country=country,
        )
        await self._receiver.received(self.name, part)

    def _pin_for(self, wanted: str) -> str | None:
        """The PIN, if it is wanted and has not been refused. None: a person has to look.

        That it is tried is written down before it is: three wrong ones lock a SIM, and we may be killed in between.
        """
        if wanted != "PIN":
            self._locked = f"the SIM wants its {wanted}: put it into a telephone and enter it there"
            return None
        if self._settings.pin is None:
            self._locked = "the SIM wants a PIN, and none is configured"
            return None
        with contextlib.suppress(FileNotFoundError):
            salt, digest = self._mark.read_bytes()[:16], self._mark.read_bytes()[16:]
            if hmac.compare_digest(digest, _digest(self._settings.pin, salt)):
                self._locked = (
                    "this PIN was refused before, or nobody knows how that ended. It is not typed again: "
                    f"correct it, or remove {self._mark} if it is right"
                )
                return None
        salt = os.urandom(16)
        with os.fdopen(os.open(self._mark, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(salt + _digest(self._settings.pin, salt))
            file.flush()
            os.fsync(file.fileno())
        return self._settings.pin

    @property
    def _mark(self) -> Path:
        return self._settings.directory / f"{self.name}.pin-tried"

    def _say(self, health: Health, why: str) -> None:
        same = health is self._state.health
        self._state = State(health, self._state.since if same else self._now(), why)


def _standing(words: dict[str, Any]) -> tuple[Health, str]:
    """What a modem that answers says of itself, for people."""
    told = [f"signal {words['signal']} %"] if "signal" in words else []
    told += [words["operator"]] if words.get("operator") else []
    if words.get("network", "") not in _IN_A_NETWORK:
        told.insert(0, "it is in no network")
    if words.get("size") and words.get("used", 0) >= words["size"]:
        told.insert(0, "the SIM is full: no text comes in")
    return Health.UP, ", ".join(told)


def _digest(pin: str, salt: bytes) -> bytes:
    """So slow that a PIN that was nearly right is not read off at once; it was wrong, and only we can read the file."""
    return hashlib.scrypt(pin.encode(), salt=salt, n=1 << 14, r=8, p=1)
