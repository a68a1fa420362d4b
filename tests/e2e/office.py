"""An office for end-to-end tests: four people with phones of two makes, each with a tone of their own.

Anna and Carl have desk phones (tests.peers.deskphone: several calls, attended transfer), Ben has baresip over TLS with
SRTP, Dora baresip over UDP. What somebody heard is told as a story: ["anna", "music", "anna", "carl"].
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.e2e import scene
from tests.peers import tones
from tests.peers.baresip import Phone, PhoneError
from tests.peers.deskphone import DeskPhone
from tests.peers.product import Product

HZ = {"anna": 400, "ben": 500, "carl": 600, "dora": 650}
NUMBERS = {"anna": "701", "ben": "702", "carl": "703", "dora": "704"}
QUIET = 2500
"""Amplitude of who talks, so that a prompt over it stays the louder one."""
NAMES = {**{hz: name for name, hz in HZ.items()}, **{hz: scene.NAMES[hz] for hz in scene.PROMPT_HZ.values()}}
SOUND = "sound"
"""In a story: something that is no tone of anybody, such as music."""

_numbers = itertools.count(800)


def voice(hz: int, seconds: float = 90) -> tones.Samples:
    return tones.tone(hz, seconds, amplitude=QUIET)


def runs(samples: tones.Samples, names: dict[int, str] = NAMES, *, step: float = 0.05) -> list[tuple[str, float]]:
    """(who or what, seconds), one after the other; "" is silence, SOUND what no single known tone dominates."""
    found = tones.labels(samples, tuple(names), window=step)
    told: list[tuple[str, float]] = []
    for run in np.split(found, np.flatnonzero(np.diff(found)) + 1):
        if len(run):
            kind = {tones.SILENCE: "", tones.UNCLEAR: SOUND}.get(int(run[0]), names.get(int(run[0]), SOUND))
            told.append((kind, len(run) * step))
    return told


def story(samples: tones.Samples, names: dict[int, str] = NAMES, *, at_least_s: float = 0.25) -> list[str]:
    """Who was heard, one after the other; ringback, silence and what is shorter are left out."""
    told: list[str] = []
    for name, seconds in runs(samples, names):
        if name not in ("", SOUND) and seconds >= at_least_s and told[-1:] != [name]:
            told.append(name)
    return told


def sound_between(samples: tones.Samples, name: str) -> float:
    """The longest gap between two stretches of `name`'s tone, as seconds of any other sound in it (music, mostly)."""
    best = here = 0.0
    begun = False
    for who, seconds in runs(samples):
        if who == name and seconds >= 0.2:
            best, here, begun = max(best, here if begun else 0.0), 0.0, True
        elif who:
            here += seconds
    return best


@dataclass
class Office:
    """One running instance with these phones, all registered."""

    product: Product
    anna: DeskPhone
    ben: Phone
    carl: DeskPhone
    dora: Phone

    def line(self, *members: str, **options: str) -> str:
        """A new line that rings these; its number."""
        number = str(next(_numbers))
        self.product.add_line(f"line{number}", number, members=list(members), **options)
        return number

    def quiet(self) -> None:
        """Until no call is left, so that the next test begins with nothing of this one."""
        scene.until(lambda: not scene.live_calls(self.product), "no call is left", timeout_s=10, every_s=0.2)

    def clear(self) -> None:
        """`quiet`, by force if need be: a test that failed must not spoil the next."""
        try:
            self.quiet()
        except AssertionError:
            for desk in (self.anna, self.carl):
                desk.ask("hang_up_all")
            for phone in (self.ben, self.dora):
                for _ in range(4):
                    with suppress(PhoneError):
                        phone.hang_up()
            self.quiet()
            raise

    @contextmanager
    def listening(self, *phones: Phone) -> Iterator[Heard]:
        """What these baresips hear meanwhile; complete once the calls have ended."""
        yield Heard({phone.name: len(phone.recordings()) for phone in phones})


@dataclass
class Heard:
    """Where a baresip's files began."""

    before: dict[str, int]

    def by(self, phone: Phone) -> list[str]:
        time.sleep(0.3)  # the phone closes its file
        pieces = [tones.read_wav(path)[0][:, 0] for path in phone.recordings()[self.before[phone.name] :]]
        return [name for piece in pieces for name in story(piece)]

    def samples(self, phone: Phone) -> tones.Samples:
        time.sleep(0.3)
        pieces = [tones.read_wav(path)[0][:, 0] for path in phone.recordings()[self.before[phone.name] :]]
        return np.concatenate(pieces) if pieces else tones.silence(0)


@contextmanager
def office(directory: Path, seed: Any, **settings: Any) -> Iterator[Office]:
    product = Product(directory / "product", *seed, ports=1000)
    product.configure(**{"calls__ring_timeout_s": 8, **settings})
    scene.speak_in_tones(product)
    with product, ExitStack() as stack:
        for name, number in NUMBERS.items():
            product.add_account(name, number, language="fr", display_name=name.title())
        made = Office(
            product,
            product.desk("anna", "anna", says=voice(HZ["anna"])),
            product.phone("ben", "ben", "tls", says=voice(HZ["ben"])),
            product.desk("carl", "carl", says=voice(HZ["carl"])),
            product.phone("dora", "dora", "udp", says=voice(HZ["dora"])),
        )
        for phone in (made.anna, made.ben, made.carl, made.dora):
            stack.enter_context(phone)
        for phone in (made.anna, made.ben, made.carl, made.dora):
            phone.registered()
        yield made


def anna_calls_ben(crew: Office) -> tuple[int, int]:
    """(Anna's call, where Ben's events begin)."""
    since = len(crew.ben.events)
    call = crew.anna.dial("702")
    crew.ben.wait("CALL_INCOMING", since=since)
    crew.ben.answer()
    crew.anna.established(call)
    crew.ben.wait("CALL_ESTABLISHED", since=since)
    return call, since


def rings_carl(crew: Office, since: int) -> int:
    """Carl answers what rings; his call."""
    call = crew.carl.rung(since=since)
    crew.carl.answer(call)
    crew.carl.established(call)
    return call
