"""A company with a trunk: Anna (a desk phone) and Ben (baresip over TLS) inside, Doris behind the provider."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e import office, scene
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.deskphone import DeskPhone
from tests.peers.ports import Ports
from tests.peers.product import Product
from tests.peers.provider import DOMAIN, PASSWORD, REALM, USER, Provider

MAIN, BENS = "+33170000000", "+33170000002"
DORIS, DORIS_DIALLED = "+33612345678", "0612345678"
DORIS_HZ = 650
BY_ADDRESS = "127.0.0.5"


def add_trunk(
    product: Product, name: str, provider: Provider, *more: str, transport: str = "udp", register: bool = True
) -> Any:
    """`beffroi trunk add` for this provider; `more` are further options."""
    port = provider.port("tls" if transport == "tls" else "udp")
    options = ["--host", provider.address, "--port", str(port), "--transport", transport, "--domain", DOMAIN]
    options += ["--main-number", MAIN]
    secrets = {}
    if register:
        options += ["--register", "--user", USER, "--realm", REALM]
        secrets = {"--password-fd": PASSWORD}
    else:
        options += ["--no-register", "--source", provider.address]
    return product.json("trunk", "add", name, *options, *more, secrets=secrets)


@dataclass
class Outside:
    """An instance with Anna (desk phone) and Ben (TLS), a provider, and Doris behind it."""

    product: Product
    provider: Provider
    anna: DeskPhone
    ben: Phone
    doris: Phone

    def quiet(self) -> None:
        scene.until(lambda: not scene.live_calls(self.product), "no call is left", timeout_s=15, every_s=0.2)

    def doris_heard(self, before: int) -> list[str]:
        """Her phone completes its file a moment after the call."""
        until_s = time.monotonic() + 4
        while True:
            time.sleep(0.3)
            pieces = [tones.read_wav(path)[0][:, 0] for path in self.doris.recordings()[before:]]
            story = [name for piece in pieces for name in office.story(piece)]
            if story or time.monotonic() > until_s:
                return story


@contextmanager
def outside(
    directory: Path,
    seed: Any,
    *trunk: str,
    transport: str = "udp",
    register: bool = True,
    trusted: tuple[Path, ...] = (),
    **settings: Any,
) -> Iterator[Outside]:
    """`trusted`: certificates of other providers that are authorities as well."""
    product = Product(directory / "product", *seed, ports=600)
    product.configure(**{"calls__ring_timeout_s": 15, "company__country": "FR", **settings})
    scene.speak_in_tones(product)
    ports = Ports(200)
    # One that is known by its address has one of its own: who calls from there is the provider, whatever he says.
    address = "127.0.0.1" if register else BY_ADDRESS
    with Provider(directory / "provider", ports, digest=register, address=address) as provider:
        if transport == "tls":
            vouching = b"".join(path.read_bytes() for path in (provider.ca, *trusted))
            (product.data / "tls" / "providers.pem").write_bytes(vouching)
        with product, _people(product, provider, *trunk, transport=transport, register=register) as made:
            yield made
    ports.close()


@contextmanager
def _people(product: Product, provider: Provider, *trunk: str, transport: str, register: bool) -> Iterator[Outside]:
    for name, number in (("anna", "701"), ("ben", "702")):
        product.add_account(name, number, language="fr", display_name=name.title())
    add_trunk(product, "main", provider, *trunk, transport=transport, register=register)
    product.cli("number", "add", MAIN, "--account", "anna", "--shared")
    product.cli("number", "add", BENS, "--account", "ben")
    anna = product.desk("anna", "anna", says=office.voice(office.HZ["anna"]))
    ben = product.phone("ben", "ben", "tls", says=office.voice(office.HZ["ben"]))
    others, says = ("0033612345678", DORIS_DIALLED), office.voice(DORIS_HZ)
    doris = provider.phone("doris", DORIS, also=others, says=says, srtp=transport == "tls")
    if not register:
        secure = transport == "tls"
        provider.calls_by_address(product.server("tls" if secure else "udp"), "tls" if secure else "udp")
    with anna, ben, doris:
        anna.registered()
        ben.registered()
        if register:
            provider.wait_registered()
        yield Outside(product, provider, anna, ben, doris)


def to_doris(out: Outside, number: str = DORIS_DIALLED, talk_s: float = 1.0) -> tuple[int, int]:
    """Anna calls Doris, they talk, Anna hangs up: (her call, where Doris' recordings began)."""
    before, since = len(out.doris.recordings()), len(out.doris.events)
    call = out.anna.dial(number)
    out.doris.wait("CALL_INCOMING", since=since, timeout=20)
    out.doris.answer()
    out.anna.established(call)
    scene.talk(talk_s)
    out.anna.hang_up(call)
    out.doris.wait("CALL_CLOSED", since=since)
    return call, before


def from_doris(out: Outside, number: str = BENS, talk_s: float = 1.0) -> list[str]:
    """Doris calls Ben from outside, they talk, she hangs up; what she heard."""
    before, since, at = len(out.doris.recordings()), len(out.ben.events), len(out.doris.events)
    out.doris.dial(number)
    out.ben.wait("CALL_INCOMING", since=since, timeout=20)
    out.ben.answer()
    out.doris.wait("CALL_ESTABLISHED", since=at)
    scene.talk(talk_s)
    out.doris.hang_up()
    out.ben.wait("CALL_CLOSED", since=since)
    return out.doris_heard(before)
