"""The instance that end-to-end tests take: it starts, answers, carries a call, and stops when asked."""

from __future__ import annotations

import stat
import time

import pytest

from tests.peers import tones
from tests.peers.product import Product

pytestmark = pytest.mark.e2e


@pytest.mark.promise("3.1", "P2")
def test_two_phones_of_a_fresh_instance_talk(product: Product):
    alice = product.phone("alice", "alice", says=tones.tone(400, 30))
    bob = product.phone("bob", "bob", says=tones.tone(1000, 30))
    with alice, bob:
        alice.registered()
        bob.registered()
        alice.dial("102")
        bob.wait("CALL_INCOMING")
        bob.answer()
        alice.established()
        time.sleep(2)
        alice.hang_up()
        bob.closed()
    by_alice, by_bob = (tones.shares(phone.heard(), (400, 1000), skip=0.5) for phone in (alice, bob))
    if not (by_alice[1000] > 0.9 and by_bob[400] > 0.9):
        heard = [(file, file.stat().st_size) for phone in (alice, bob) for file in phone.recordings()]
        events = [(e["type"], e.get("param", "")) for phone in (alice, bob) for e in phone.events]
        pytest.fail(f"{by_alice} {by_bob}\n{heard}\n{events}\n{product.logs()}")


@pytest.mark.promise("3.6")
def test_all_state_is_the_owners_alone(product: Product):
    open_to_others = [p for p in product.data.rglob("*") if not p.is_symlink() and p.stat().st_mode & 0o007]
    assert [p for p in open_to_others if not stat.S_ISSOCK(p.stat().st_mode)] == []


def test_an_instance_stops_when_asked(product: Product):
    assert product.stop_daemon() == 0
    assert product.health()[0] == 0


def test_changed_keys_stand_in_their_section(product_files: Product):
    product_files.configure(calls__max_concurrent=7, sip__domain="sip.example.test", log__level="debug")
    product_files.cli("check")
    text = (product_files.data / "beffroi.toml").read_text()
    assert text.count("\nmax_concurrent = 7\n") == 1
    assert product_files.domain == "sip.example.test"
