"""A Linphone that is given a link and nothing else: it fetches its configuration, registers, calls, and is recorded."""

from __future__ import annotations

import re
import shutil
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.e2e import scene
from tests.peers.linphone import Linphone, is_here
from tests.peers.product import Product

pytestmark = pytest.mark.skipif(not is_here(), reason="no linphone-daemon here: apt-get install linphone-cli")


@pytest.fixture(scope="module")
def house(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    product = Product(tmp_path_factory.mktemp("linphone") / "product", *product_seed)
    product.configure(web__host="localhost")
    scene.speak_in_tones(product)
    with product:
        product.add_account("lina", "701", language="fr")
        yield product


@pytest.mark.promise("P1", "P10", "L14")
def test_a_linphone_sets_itself_up_by_the_link_and_is_recorded_after_a_yes(house: Product, tmp_path: Path) -> None:
    """The server is named by its address, in the configuration and in its certificate."""
    offered = house.json("device", "offer", "lina", "--label", "linphone")
    user, place = offered["device"]["user"], tmp_path / "phone"
    trusting = ssl.create_default_context(cafile=str(house.ca))
    assert re.fullmatch(r"127\.0\.0\.1:\d+", offered["server"])

    def registered() -> bool:
        (device,) = [one for one in house.json("device", "list", "lina") if one["user"] == user]
        return bool(device["registered"])

    with Linphone(place, house.ports, offered["link"], ca=house.ca) as phone:
        scene.until(registered, "it registers", 30, 0.5)
        with pytest.raises(HTTPError) as again:
            urllib.request.urlopen(offered["link"], context=trusting)  # noqa: S310 - our own server
        assert again.value.code == 404, "the link is good once"
        phone.command(f"call sip:*43@{house.domain}")
        scene.until(lambda: "LinphoneCallStreamsRunning" in phone.said, "it is connected, encrypted", 20)
        scene.until(lambda: house.json("calls", "live"), "the call goes on", 10)
        scene.talk(3)  # the question, in tones
        phone.command("dtmf 1")
        scene.until(lambda: house.json("recordings", "list"), "it is recorded", 20, 0.3)
        scene.talk(3)
        phone.command("terminate")
        scene.until(lambda: not registered() or "LinphoneCallEnd" in phone.said, "it has hung up", 10, 0.3)
    (recording,) = scene.until(
        lambda: [one for one in house.json("recordings", "list") if one["state"] == "whole"], "it is whole", 20, 0.3
    )
    assert recording["purpose"] == "REC_QUALITY"
    call = house.json("calls", "show", recording["call_id"])
    assert call["id"] == recording["call_id"]
    shutil.rmtree(place)  # it wrote down what it registers with
