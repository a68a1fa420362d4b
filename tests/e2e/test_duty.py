"""What goes on beside the calls, with a provider that is not ours: emergency calls past everything and told to whom it
concerns, ceilings of minutes, calls begun and ended by command."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from server.services.context import open_services
from storage import accounts, limits, usage
from storage.limits import Limits
from tests.e2e import scene
from tests.e2e.scene import until
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.ports import Ports
from tests.peers.product import Product, run_cli
from tests.peers.provider import DOMAIN, PASSWORD, USER, Provider

pytestmark = [pytest.mark.e2e]

MAIN = "+33140000000"
DORIS = "+33612345678"  # a number outside
HELP_HZ, DORIS_HZ, ANNA_HZ = 1000, 1200, 400
USED_S = 45  # of anna's single minute outside, before the product starts


@dataclass
class Site:
    """Anna calls; Ben is told of emergencies. Outside: Doris, and whoever answers 112."""

    product: Product
    provider: Provider
    anna: Phone
    ben: Phone
    doris: Phone
    help: Phone

    def calls(self) -> list[dict[str, object]]:
        return list(self.product.json("calls", "live"))

    def nothing_goes_on(self) -> None:
        until(lambda: not self.calls(), "every call has ended", 20)

    def meets(self, phone: Phone, since: int) -> None:
        """Anna and this phone are connected."""
        phone.wait("CALL_ESTABLISHED", since=since, timeout=20)
        self.anna.wait("CALL_ESTABLISHED", since=self.said, timeout=20)

    def dials(self, number: str) -> None:
        self.said = len(self.anna.events)
        self.anna.dial(number)

    said = 0


async def _spend(product: Product) -> None:
    """Anna has one minute a day, of which most is used already."""
    async with open_services(product.data) as services, services.db.transaction() as tx:
        anna = next(one for one in await accounts.list_all(tx) if one.name == "anna")
        owner = limits.of_account(anna.id)
        await limits.save(tx, Limits(owner, minutes_per_day=1))
        await usage.add(tx, owner, datetime.now(UTC).date(), USED_S, 0)


@pytest.fixture(scope="module")
def site(product_seed: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    here = tmp_path_factory.mktemp("duty")
    with Provider(here / "provider", Ports()) as provider:
        doris = provider.phone("doris", DORIS, says=tones.tone(DORIS_HZ, 120), answer="auto")
        helper = provider.phone("help", "112", says=tones.tone(HELP_HZ, 120), answer="auto")
        product = Product(here / "product", *product_seed)  # type: ignore[misc]
        product.configure(emergency__notify=["ben"], limits__warn_before_s=10)
        scene.speak_in_tones(product)
        product.add_account("anna", "701", language="fr")
        product.add_account("ben", "702", language="fr")
        place = ("--host", provider.address, "--port", str(provider.port("udp")), "--transport", "udp")
        product.cli("trunk", "add", "north", *place, "--domain", DOMAIN, "--user", USER, "--channels", "1",
                    "--main-number", MAIN, secrets={"--password-fd": PASSWORD})  # fmt: skip
        asyncio.run(_spend(product))
        with product, doris, helper:
            anna = product.phone("anna", "anna", "udp", says=tones.tone(ANNA_HZ, 120))
            ben = product.phone("ben", "ben", "udp")
            with anna, ben:
                scene.registered(anna, ben)
                yield Site(product, provider, anna, ben, doris, helper)


@pytest.mark.promise("P13")
def test_a_call_is_cut_at_the_ceiling_and_the_next_refused(site: Site):
    since = len(site.doris.events)
    site.dials(DORIS)
    site.meets(site.doris, since)
    (call,) = until(site.calls, "the call is listed")
    assert (call["account"], call["direction"], call["emergency"]) == ("anna", "outbound", False)
    site.anna.wait("CALL_CLOSED", since=site.said, timeout=60)
    site.nothing_goes_on()
    assert until(lambda: site.product.json("calls", "list")[0]["fields"].get("cause") == "ceiling", "its record")
    used = until(
        lambda: (found := site.product.json("account", "limits", "anna"))["minutes_today"] >= 1 and found,
        "what it used",
    )
    assert used["minutes_per_day"] == 1
    assert site.product.metric("beffroi_limit_alerts_total") >= 1
    site.dials(DORIS)
    assert "403" in str(site.anna.wait("CALL_CLOSED", since=site.said, timeout=20))


@pytest.mark.promise("P12")
def test_help_is_reached_over_the_ceiling_with_every_channel_taken_and_told(site: Site):
    site.nothing_goes_on()
    site.product.cli("account", "limits", "ben", "--minutes-per-day", "0")
    begun = len(site.doris.events)
    site.ben.dial(DORIS)
    site.doris.wait("CALL_ESTABLISHED", since=begun, timeout=20)
    gone = len(site.ben.events)
    since = len(site.help.events)
    site.dials("112")
    site.meets(site.help, since)
    site.ben.wait("CALL_CLOSED", since=gone, timeout=10)
    invite = site.provider.seen("INVITE", number="112")[-1]
    assert MAIN in invite["P-Asserted-Identity"]
    (call,) = until(lambda: [one for one in site.calls() if one["emergency"]], "the call for help goes on")
    refused = run_cli(site.product.data, "calls", "hangup", str(call["id"]))
    assert refused.returncode == 1 and "emergency" in refused.stderr
    told = until(
        lambda: [one for one in site.product.json("emergency", "list") if one["told"]], "Ben's phone has been told", 30
    )
    assert (told[0]["account"], told[0]["number"], told[0]["told"], told[0]["drill"]) == ("anna", "112", ["ben"], False)
    site.anna.hang_up()
    site.nothing_goes_on()
    until(lambda: site.product.json("emergency", "list")[0]["outcome"] == "caller-hung-up", "its end is written down")
    listed = site.product.json("emergency", "list")[0]
    assert listed["trunk"] == "north" and site.product.metric("beffroi_calls_preempted_total") == 1
    log = site.product.logs(last=10**6)
    assert DORIS not in log and MAIN not in log


@pytest.mark.promise("P12")
def test_a_drill_stays_in_the_house(site: Site):
    site.nothing_goes_on()
    before = len(site.provider.seen("INVITE"))
    site.dials("*112")
    site.anna.wait("CALL_ESTABLISHED", since=site.said, timeout=20)
    site.anna.wait("CALL_CLOSED", since=site.said, timeout=40)
    listed = until(lambda: [one for one in site.product.json("emergency", "list") if one["drill"]], "the drill")
    assert listed[0]["account"] == "anna" and len(site.provider.seen("INVITE")) == before
    (checked,) = site.product.json("emergency", "check", "--account", "anna")
    assert checked["sound"] and checked["last_drill"] and checked["told"] == ["ben"], checked


def test_a_call_is_begun_and_ended_by_command(site: Site):
    site.nothing_goes_on()
    rings, since = len(site.ben.events), len(site.doris.events)
    said = site.product.json("calls", "originate", "ben", DORIS)
    site.ben.wait("CALL_INCOMING", since=rings, timeout=20)
    site.ben.answer()
    site.doris.wait("CALL_ESTABLISHED", since=since, timeout=20)
    (call,) = until(lambda: [one for one in site.calls() if one["state"] == "talking"], "they talk")
    assert call["id"] == said["call"] and call["account"] == "ben"
    site.product.cli("calls", "hangup", str(call["id"])[:8])
    site.doris.wait("CALL_CLOSED", since=since, timeout=20)
    site.nothing_goes_on()
    refused = run_cli(site.product.data, "calls", "originate", "anna", DORIS)
    assert refused.returncode == 1 and "limit" in refused.stderr.lower(), refused


@pytest.mark.promise("P12")
def test_a_locked_database_and_a_stopping_daemon_do_not_keep_help_away(site: Site):
    site.nothing_goes_on()
    since = len(site.help.events)
    with closing(sqlite3.connect(site.product.data / "beffroi.sqlite3", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # nobody else can write
        site.dials("112")
        site.meets(site.help, since)
        other.execute("ROLLBACK")
    daemon = site.product.daemon
    assert daemon is not None
    daemon.terminate()
    until(lambda: "the server waits for them" in site.product.logs(last=10**6), "it is told that it waits", 20)
    assert daemon.poll() is None and site.help.events[since:][-1]["type"] != "CALL_CLOSED"
    site.anna.hang_up()
    assert daemon.wait(30) == 0
    site.product.start_daemon()
    ended = until(lambda: [one for one in site.product.json("emergency", "list") if not one["drill"]], "it is listed")
    assert ended[0]["outcome"] == "caller-hung-up"


@pytest.mark.promise("P12")
def test_with_the_daemon_killed_help_is_reached_all_the_same(site: Site):
    site.nothing_goes_on()
    site.product.kill_daemon()
    since = len(site.help.events)
    site.dials("112")
    site.meets(site.help, since)
    site.anna.hang_up()
    site.product.start_daemon()
