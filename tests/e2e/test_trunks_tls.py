"""Calls to and from outside by TLS with SRTP, over a provider that is another program."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office
from tests.e2e.outside import (
    DORIS,
    from_doris,
    outside,
    to_doris,
)

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
