"""The commands for trunks, phones and accounts, typed while the product runs: what they say becomes true at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e import scene
from tests.peers import tones
from tests.peers.ports import Ports
from tests.peers.product import Product, run_cli
from tests.peers.provider import DOMAIN, PASSWORD, USER, Provider

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with Provider(tmp_path_factory.mktemp("company") / "provider", Ports()) as running:
        yield running


def trunk(product: Product, name: str) -> dict[str, object]:
    return next(one for one in product.json("trunk", "list") if one["name"] == name)


def state(product: Product, name: str, wanted: str) -> None:
    end = time.monotonic() + 40
    while (found := trunk(product, name)["state"]) != wanted:
        assert time.monotonic() < end, f"{found}, not {wanted}"
        time.sleep(0.3)


@pytest.mark.promise("P3")
def test_a_trunk_registers_as_soon_as_it_is_added_and_goes_as_soon_as_it_is_removed(
    shared_product: Product, provider: Provider
):
    product = shared_product
    place = ("--host", provider.address, "--port", str(provider.port("udp")), "--transport", "udp")
    product.cli("trunk", "add", "north", *place, "--domain", DOMAIN, "--user", USER, "--register",
                secrets={"--password-fd": PASSWORD})  # fmt: skip
    provider.wait_registered(40)
    state(product, "north", "registered")
    said = product.json("trunk", "test", "north")
    assert said["sound"], said
    assert {one["check"]: one["verdict"] for one in said["findings"]} == {
        "answer": "ok", "password": "ok", "edge": "ok", "trunk": "note"}  # fmt: skip
    product.cli("trunk", "disable", "north")
    state(product, "north", "disabled")
    product.cli("trunk", "enable", "north")
    state(product, "north", "registered")
    product.cli("trunk", "set", "north", "--user", USER, secrets={"--password-fd": "not-that"})
    provider.forget_registrations()
    wrong = run_cli(product.data, "trunk", "test", "north")
    assert wrong.returncode == 1 and "the password is wrong" in " ".join(wrong.stdout.split())
    product.cli("trunk", "remove", "north")
    assert product.json("trunk", "list") == []


@pytest.mark.promise("P1")
def test_a_revoked_phone_is_out_of_its_call_and_the_persons_other_goes_on(shared_product: Product):
    product = shared_product
    product.add_account("carol", "310")
    login = product.login("carol")
    with (
        product.phone("carol-1", login, says=tones.tone(400, 60)) as lost,
        product.phone("carol-2", "carol", says=tones.tone(400, 60)) as kept,
        product.phone("alice", "alice", says=tones.tone(1000, 60), answer="auto") as alice,
        product.phone("bob", "bob", says=tones.tone(1000, 60), answer="auto") as bob,
    ):
        scene.registered(lost, kept, alice, bob)
        lost.dial("101")
        lost.established()
        kept.dial("102")
        kept.established()
        since = len(lost.events)
        product.cli("device", "revoke", login.user)
        lost.wait("CALL_CLOSED", since=since)
        scene.talk(1.5)
        assert len(scene.live_calls(product)) == 1
        kept.hang_up()
        kept.closed()


@pytest.mark.promise("P12")
def test_a_disabled_account_is_out_of_its_call_and_calls_nobody_until_it_is_enabled(shared_product: Product):
    product = shared_product
    product.add_account("dora", "311")
    with (
        product.phone("dora", "dora", says=tones.tone(400, 60)) as dora,
        product.phone("alice-2", "alice", says=tones.tone(1000, 60), answer="auto") as alice,
    ):
        scene.registered(dora, alice)
        dora.dial("101")
        dora.established()
        since = len(dora.events)
        product.cli("account", "disable", "dora")
        dora.wait("CALL_CLOSED", since=since)
        since = len(dora.events)
        dora.dial("101")
        dora.wait("CALL_CLOSED", since=since)
        assert scene.live_calls(product) == []
        product.cli("account", "enable", "dora")
        since = len(dora.events)
        dora.dial("101")
        dora.wait("CALL_ESTABLISHED", since=since)
        dora.hang_up()
        dora.closed()


@pytest.mark.promise("L3")
def test_an_account_that_is_removed_while_it_talks_is_gone_with_a_receipt(shared_product: Product):
    product = shared_product
    product.add_account("erna", "312")
    login = product.login("erna")
    with (
        product.phone("erna", login, says=tones.tone(400, 60)) as erna,
        product.phone("alice-3", "alice", says=tones.tone(1000, 60), answer="auto") as alice,
    ):
        scene.registered(erna, alice)
        erna.dial("101")
        erna.established()
        since = len(erna.events)
        removed = product.json("account", "remove", "erna")
        erna.wait("CALL_CLOSED", since=since)
    assert product.json("ledger", "receipt", removed["receipt"])["genuine"]
    assert not any(login.user.encode() in path.read_bytes() for path in product.data.glob("beffroi.sqlite3*"))
