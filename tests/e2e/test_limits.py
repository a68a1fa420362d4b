"""What may be called: numbers that are closed until somebody opens them, dialled or as the target of a transfer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import DORIS, Outside, outside

pytestmark = [pytest.mark.e2e]


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("limits"), product_seed, limits__warn_before_s=10) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_is_left(out: Outside) -> Iterator[None]:
    yield
    out.anna.ask("hang_up_all")
    out.quiet()


@pytest.mark.parametrize("number", ["00493012345678", "0899123456"], ids=["abroad", "raised tariff"])
def test_what_is_closed_is_refused_and_never_leaves(out: Outside, number: str):
    before = len(out.provider.seen("INVITE"))
    call = out.anna.dial(number)
    status = out.anna.closed(call, timeout=25)
    assert status.startswith("403") or "not_permitted" in office.story(out.anna.heard(call))
    assert len(out.provider.seen("INVITE")) == before


def test_what_has_been_opened_is_called(out: Outside):
    out.provider.route("+493012345678", out_uri(out))
    out.product.cli("account", "limits", "anna", "--countries", "DE")
    try:
        since = len(out.doris.events)
        call = out.anna.dial("00493012345678")
        out.doris.wait("CALL_INCOMING", since=since, timeout=20)
        out.anna.hang_up(call)
        out.anna.closed(call)
    finally:
        out.product.cli("account", "limits", "anna", "--inherit", "countries")


def out_uri(out: Outside) -> str:
    return f"sip:{DORIS}@{out.doris.sip_address}"


def test_a_transfer_to_a_closed_number_is_refused(out: Outside):
    """Ben would send Anna to a number at a raised tariff: refused, and they talk on."""
    before, since = len(out.provider.seen("INVITE")), len(out.ben.events)
    call = out.anna.dial("702")
    out.ben.wait("CALL_INCOMING", since=since)
    out.ben.answer()
    out.anna.established(call)
    at = len(out.anna.events)
    out.anna.refer(call, "0899123456")

    def refused() -> bool:
        return any(
            (e["type"] == "TSX" and e["method"] == "REFER" and e["code"] >= 400)
            or (e["type"] == "TRANSFER" and e["final"] and not e["param"].startswith("2"))
            for e in out.anna.events[at:]
        )

    scene.until(refused, "a refusal")
    scene.talk(1.0)
    out.anna.hang_up(call)
    out.anna.closed(call)
    assert office.story(out.anna.heard(call)) == ["ben"]
    assert len(out.provider.seen("INVITE")) == before
