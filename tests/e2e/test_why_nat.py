"""`beffroi calls why` of a phone at home, behind a router that translates addresses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.talker import Talker
from tests.peers import netns
from tests.peers.netns import Internet
from tests.peers.product import Product
from tests.peers.sipclient import Endpoint

pytestmark = [pytest.mark.e2e, pytest.mark.promise("P14", "P15", "L13")]

ECHO = "299"


@dataclass
class Place:
    """A product on the internet, and a home."""

    net: Internet
    product: Product
    port: int

    @asynccontextmanager
    async def phone(self) -> AsyncIterator[Talker]:
        with self.net.home.inside():
            there, here = (self.net.server.address, self.port), (self.net.home.address, 0)
            endpoint = await Endpoint.connect("udp", there, here)
            phone = Talker(endpoint, self.product.login("alice"), self.net.home.address)
        try:
            yield phone
        finally:
            phone.audio.close()
            endpoint.close()

    def why(self, call_id: str) -> dict[str, Any]:
        """Once the call is over."""
        known = lambda: [one for one in self.product.json("calls", "why", "--limit", "1000") if one["id"] == call_id]  # noqa: E731
        scene.until(known, "it is written down", 20, every_s=0.2)
        return dict(self.product.json("calls", "why", call_id, "--language", "en"))


@pytest.fixture(scope="module")
def place(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if reason := netns.why_not():
        pytest.skip(reason)
    with Internet() as net:
        product = Product(tmp_path_factory.mktemp("why-nat") / "product", *product_seed)
        port = int(product.server("udp").rpartition(":")[2])
        outside = [f"{net.server.address}:{port}"]
        product.configure(sip__udp_listen=outside, sip__tcp_listen=outside, media__address=net.server.address)
        scene.speak_in_tones(product)
        with net.server.inside(), product:
            product.add_line("listen", ECHO, kind="echo", language="fr")
            yield Place(net, product, port)


async def call(place: Place) -> dict[str, Any]:
    """Calls the echo test, talks for a while, hangs up."""
    async with place.phone() as phone:
        ok = await phone.call(ECHO)
        assert ok.code == 200, ok.start
        [live] = await asyncio.to_thread(scene.until, lambda: scene.live_calls(place.product), "a call goes on")
        with phone.talking(ok):
            await asyncio.sleep(scene.PROMPT_S + 4)
        await phone.hang_up(ok)
    return await asyncio.to_thread(place.why, str(live["call_id"]))


async def test_a_phone_behind_a_router_is_followed_and_that_is_said(place: Place):
    said = await call(place)
    verdicts = [(verdict["id"], verdict["leg"]) for verdict in said["verdicts"]]
    assert ("private-address", "a") in verdicts
    assert not {name for name, _ in verdicts} & {"no-packets", "no-packets-private", "loss-in", "vanished"}
    [leg] = said["legs"]
    assert leg["rx_packets"] > 50 and leg["mos_in"] > 3.8


@contextmanager
def no_audio_out(place: Place) -> Iterator[None]:
    """The router drops what goes to ports above those of signalling."""
    rules = (
        "add table ip wall; add chain ip wall through { type filter hook forward priority 0 ; }; "
        f'add rule ip wall through iifname "lan0" udp dport > {place.port + 10} drop'
    )
    place.net.router.run("nft", rules)
    try:
        yield
    finally:
        place.net.router.run("nft", "delete table ip wall")


async def test_a_router_that_lets_no_audio_out(place: Place):
    with no_audio_out(place):
        said = await call(place)
    assert [(verdict["id"], verdict["leg"]) for verdict in said["verdicts"]] == [("no-packets-private", "a")]
    assert "behind a router" in said["says"] and "media.rtp_port" in said["remedy"]
