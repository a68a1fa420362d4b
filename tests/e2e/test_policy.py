"""A policy comes into force while the product runs: what the next call is asked, and what is kept of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ
from tests.e2e.test_opening import record_one
from tests.peers import tones
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400), pytest.mark.promise("2.1", "2.18", "2.19", "3.3", "3.5", "L5")]

QUALITY = ("cse_consulted", "staff_informed", "dpia_signed", "unrecorded_line_available")
HEALTH = ("dpia_signed", "professional_secrecy_ack")


def enter(product: Product, pack: str, *kinds: str) -> None:
    today = datetime.now(UTC).date().isoformat()
    for kind in kinds:
        product.cli("policy", "enter", kind, "--pack", pack, "--evidence", "minutes 7", "--by", "Dora", "--on", today)


def calls(product: Product) -> set[str]:
    return {one["id"] for one in product.json("calls", "list")}


def record_both(product: Product) -> str:
    """REC_HEALTH asks staff as anybody else: both press 1."""
    before, recorded = scene.rec_ids(product), product.metric("beffroi_calls_recorded_total")
    caller = product.phone("alice9", "alice", "udp", says=tones.tone(CALLER_HZ, 60))
    callee = product.phone("bob9", "bob", "tls", says=tones.tone(CALLEE_HZ, 60), answer="auto")
    with caller, callee:
        scene.registered(caller, callee)
        caller.dial("200")
        caller.established()
        caller.press("1")
        callee.established()
        callee.press("1")
        scene.until(lambda: product.metric("beffroi_calls_recorded_total") > recorded, "it is recorded", 30)
        scene.talk(1.5)
        caller.hang_up()
        callee.closed()
    return str(scene.one_recording(product, but=before)["id"])


def call_unasked(product: Product) -> list[str]:
    """A call to 200 in which nobody presses anything; what the caller heard."""
    caller = product.phone(f"alice{len(product._phones)}", "alice", "udp", says=tones.tone(CALLER_HZ, 30))
    callee = product.phone(f"bob{len(product._phones)}", "bob", "tls", says=tones.tone(CALLEE_HZ, 30), answer="auto")
    with caller, callee:
        scene.registered(caller, callee)
        caller.dial("200")
        caller.established()
        callee.established()
        scene.talk(1.5)
        caller.hang_up()
        callee.closed()
    return scene.story(caller.heard())


def test_it_governs_the_next_call_without_a_restart(product_seed: Any, tmp_path: Path) -> None:
    product = Product(tmp_path / "product", *product_seed)
    scene.speak_in_tones(product)
    with product:
        product.cli("person", "add", "dora", "Dora", "--roles", "dpo")
        assert "none in force" in product.json("status")["policy"]
        drafted = product.json("policy", "draft", "--from-lines")
        assert [one["key"] for one in drafted["problems"]] == ["valid_from", *("precondition",) * len(QUALITY)]
        product.cli("policy", "set", "1", "--from", "approval")
        enter(product, "REC_QUALITY", *QUALITY[1:])
        assert QUALITY[0] in scene.refused(product, "policy", "approve", "1", "--as", "dora")
        first = record_one(product)  # a precondition is missing, so lines still speak for themselves

        enter(product, "REC_QUALITY", QUALITY[0])
        soon = (datetime.now(UTC) + timedelta(seconds=20)).isoformat(timespec="seconds")
        product.cli("policy", "set", "1", "--from", soon)
        approved = product.json("policy", "approve", "1", "--as", "dora")
        assert (approved["state"], approved["in_force_since"]) == ("approved", None)
        scene.until(lambda: product.metric("beffroi_policy_version") == 1, "its moment comes", 60)

        # Sampled now, at most one of ten: the first conversation is not drawn, and nobody is asked.
        known = calls(product)
        before, evidence = scene.rec_ids(product), len(scene.entries(product, "consent"))
        heard = call_unasked(product)
        assert "callee" in heard and "optin" not in heard, heard
        assert scene.rec_ids(product) == before and len(scene.entries(product, "consent")) == evidence
        fresh = scene.until(lambda: calls(product) - known, "the call is written down")
        assert [product.json("calls", "show", one)["fields"]["policy"] for one in fresh] == [1]
        assert "is in force" in scene.refused(product, "line", "set", "recorded", "--pack", "REC_NONE")

        product.cli("person", "grant", "reader", "REC_HEALTH")
        enter(product, "REC_HEALTH", *HEALTH)
        product.cli("policy", "draft", "--copy", "1")
        product.cli("policy", "set", "2", "--rule", "recorded", "--pack", "REC_HEALTH", "--from", "approval")
        assert product.json("policy", "approve", "2", "--as", "dora")["state"] == "in force"
        second = record_both(product)
        shown = {one["id"]: one for one in scene.recordings(product)}
        assert [(shown[one]["purpose"], shown[one]["policy"]) for one in (first, second)] == [
            ("REC_QUALITY", None), ("REC_HEALTH", 2),
        ]  # fmt: skip
        asked = [one for one in scene.entries(product, "consent") if one["purpose"] == "REC_HEALTH"]
        assert asked and all(one["policy_version"] == 2 for one in asked)
        assert [one["sound"] for one in product.json("policy", "verify")] == [True, True]
        scene.assert_in_order(product)
