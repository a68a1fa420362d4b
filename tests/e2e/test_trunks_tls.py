"""Calls to and from outside by TLS with SRTP, over a provider that is another program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import (
    DORIS,
    add_trunk,
    from_doris,
    outside,
    to_doris,
)
from tests.peers.ports import Ports
from tests.peers.product import Product, run_cli
from tests.peers.provider import Provider

pytestmark = [pytest.mark.e2e]


@pytest.mark.promise("P1")
@pytest.mark.parametrize("register", [True, False], ids=["by registration", "by address"])
def test_out_and_in_over_tls_with_srtp(product_seed: Any, tmp_path: Path, register: bool):
    """The provider's certificate is checked: it is vouched for by the authority that was put into tls/providers.pem."""
    with outside(tmp_path, product_seed, transport="tls", register=register) as out:
        call, before = to_doris(out)
        assert office.story(out.anna.heard(call)) == ["dora"] and out.doris_heard(before) == ["anna"]
        [*_, sent] = out.provider.seen("INVITE", number=DORIS)
        assert sent["Via"].startswith("SIP/2.0/TLS") and b"RTP/SAVP" in sent.body
        assert from_doris(out) == ["ben"]
        out.quiet()


@pytest.mark.promise("P1")
def test_a_certificate_of_another_name_is_told_nothing_and_said_aloud(product_seed: Any, tmp_path: Path, ports: Ports):
    """Its authority is trusted; it is just not for whom we want to reach. Calls go by the other trunk."""
    with (
        Provider(tmp_path / "crooked", ports, certified=("sip.somebody-else.example",)) as crooked,
        outside(tmp_path / "o", product_seed, "--preference", "9", transport="tls", trusted=(crooked.ca,)) as out,
    ):
        product = out.product
        add_trunk(product, "crooked", crooked, "--preference", "1", transport="tls")
        scene.until(lambda: state_of(product, "crooked") == "shows a certificate of another name", "the reason", 30)
        assert state_of(product, "main") == "registered"
        tested = run_cli(product.data, "trunk", "test", "crooked")
        assert tested.returncode == 1 and "certificate of another name" in tested.stdout
        assert "is not trusted: IP address mismatch" in tested.stdout
        call, before = to_doris(out)
        assert office.story(out.anna.heard(call)) == ["dora"] and out.doris_heard(before) == ["anna"]
        assert crooked.seen("REGISTER") == crooked.seen("INVITE") == []
        out.quiet()


def state_of(product: Product, name: str) -> str | None:
    return next(one["state"] for one in product.json("trunk", "list") if one["name"] == name)
