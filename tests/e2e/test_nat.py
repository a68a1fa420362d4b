"""A phone behind the router of a home: it hears, is heard, and is reached after its router would have forgotten it.

Server, router and home are network namespaces of this machine (tests.peers.netns); making them needs root.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.peers import netns, tones
from tests.peers.baresip import Phone, Transport
from tests.peers.product import Product, make_seed

pytestmark = [pytest.mark.e2e, pytest.mark.promise("P1")]

MAPPING_S = 30
"""For how long the router remembers a UDP mapping: what many do (RFC 4787 asks for two minutes)."""


@pytest.fixture(scope="module")
def net() -> Iterator[netns.Internet]:
    if reason := netns.why_not():
        pytest.skip(reason)
    with netns.Internet(mapping_s=MAPPING_S) as made:
        yield made


@pytest.fixture(scope="module")
def product(net: netns.Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    directory, address = tmp_path_factory.mktemp("nat"), net.server.address
    made = Product(directory / "product", *make_seed(directory / "seed", address), address=address)
    scene.speak_in_tones(made)
    with net.server.inside(), made:
        made.add_account("home", "711", language="fr")
        made.add_account("work", "712", language="fr")
        yield made


@pytest.fixture(scope="module")
def work(net: netns.Internet, product: Product) -> Iterator[Phone]:
    """A phone that nothing hides."""
    says = office.voice(office.HZ["ben"], 150)
    with product.phone("work", "work", "udp", says=says, address=net.server.address, host=net.server) as phone:
        phone.registered()
        yield phone


def at_home(net: netns.Internet, product: Product, transport: Transport, name: str = "home") -> Phone:
    says = office.voice(office.HZ["anna"], 150)
    options: dict[str, Any] = {"address": net.home.address, "host": net.home, "refresh_s": 600}
    return product.phone(f"{name}-{transport}", "home", transport, says=says, **options)


def both_hear(work: Phone, home: Phone, before: tuple[int, int]) -> bool:
    scene.talk(0.3)
    by_work, by_home = (
        [name for path in phone.recordings()[first:] for name in office.story(tones.read_wav(path)[0][:, 0])]
        for phone, first in zip((work, home), before, strict=True)
    )
    return (by_work, by_home) == (["anna"], ["ben"])


@pytest.mark.parametrize("transport", ["tls", "udp"])
def test_a_phone_behind_nat_hears_and_is_heard(
    net: netns.Internet, product: Product, work: Phone, transport: Transport
):
    with at_home(net, product, transport) as home:
        home.registered()
        for caller, callee, number in ((home, work, "712"), (work, home, "711")):
            before = (len(work.recordings()), len(home.recordings()))
            mine, since = len(caller.events), len(callee.events)
            caller.dial(number)
            callee.wait("CALL_INCOMING", since=since)
            callee.answer()
            caller.wait("CALL_ESTABLISHED", since=mine)
            scene.talk(1.5)
            caller.hang_up()
            callee.wait("CALL_CLOSED", since=since)
            assert both_hear(work, home, before)


@pytest.mark.parametrize("transport", ["tls", "udp"])
def test_a_phone_behind_nat_hears_why_it_is_refused(net: netns.Internet, product: Product, transport: Transport):
    """In early media: nothing is answered, and the phone's own audio says where it is."""
    with at_home(net, product, transport, "refused") as home:
        home.registered()
        home.dial("799")
        assert "404" in str(home.wait("CALL_CLOSED", timeout=25)["param"])
        assert not home.count("CALL_ESTABLISHED")
        scene.talk(0.3)
        assert [name for path in home.recordings() for name in office.story(tones.read_wav(path)[0][:, 0])] == [
            "unknown"
        ]


@pytest.mark.full
def test_it_is_reached_after_its_router_would_have_forgotten_it(net: netns.Internet, product: Product, work: Phone):
    """Nothing but keep-alives of ours passes meanwhile: the phone registers anew every ten minutes only."""
    with at_home(net, product, "udp", "patient") as home:
        home.registered()
        scene.talk(MAPPING_S + 15)
        since = len(home.events)
        work.dial("711")
        home.wait("CALL_INCOMING", since=since)
        work.hang_up()
        home.wait("CALL_CLOSED", since=since)
