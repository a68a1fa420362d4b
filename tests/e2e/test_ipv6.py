"""A phone that speaks IPv6 alone, on ::1, and one that speaks IPv4: they reach and hear each other by this server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e]

SIX_HZ, FOUR_HZ = 400, 1000


@pytest.mark.promise("3.1")
@pytest.mark.parametrize("by", ["six", "four"], ids=["called by IPv6", "called by IPv4"])
def test_a_phone_by_ipv6_and_one_by_ipv4(product_seed: Any, tmp_path: Path, by: str):
    product = Product(tmp_path / "product", *product_seed)
    port = product.server("udp").rsplit(":", 1)[1]
    product.configure(sip__udp_listen=[f"127.0.0.1:{port}", f"[::1]:{port}"], media__address6="::1")
    said = {hz: tones.tone(hz, 40) for hz in (SIX_HZ, FOUR_HZ)}
    try:
        product.start()
        six = Phone(
            tmp_path / "six", product.ports, product.login("alice"), f"[::1]:{port}", "udp",
            says=said[SIX_HZ], address="::1",
        )  # fmt: skip
        four = product.phone("four", "bob", "udp", says=said[FOUR_HZ])
        with six, four:
            six.registered()
            four.registered()
            caller, callee, number = (six, four, "102") if by == "six" else (four, six, "101")
            caller.dial(number)
            callee.wait("CALL_INCOMING", timeout=20)
            callee.answer()
            caller.established()
            scene.talk(2.5)
            caller.hang_up()
            callee.closed()
        assert tones.shares(six.heard(), (SIX_HZ, FOUR_HZ), skip=0.5)[FOUR_HZ] > 0.9
        assert tones.shares(four.heard(), (SIX_HZ, FOUR_HZ), skip=0.5)[SIX_HZ] > 0.9
    finally:
        product.stop()
