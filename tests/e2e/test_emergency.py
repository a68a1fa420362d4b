"""The ambulance comes: an emergency call reaches the trunk whatever else is forbidden, busy, banned or dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import office, scene
from tests.e2e.outside import DORIS_DIALLED, MAIN, Outside, outside
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.deskphone import DeskPhone
from tests.peers.product import Product
from tests.peers.sipclient import Endpoint
from tests.peers.sipclient import Phone as Stranger

pytestmark = [pytest.mark.e2e, pytest.mark.promise("P1")]

CENTRE_HZ = office.HZ["carl"]


@pytest.fixture(scope="module")
def out(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    settings: dict[str, Any] = {
        "calls__max_concurrent": 2,
        "calls__warm_workers": 1,
        "calls__emergency_reserve": 1,
        "calls__max_per_account": 2,
    }
    settings |= {"limits__auth_failures_per_source": 5, "emergency__notify": ["ben"]}
    directory = tmp_path_factory.mktemp("emergency")
    with outside(directory, product_seed, "--channels", "1", **settings) as made:
        yield made


@pytest.fixture(scope="module")
def centre(out: Outside) -> Iterator[Phone]:
    """Who answers 112; takes calls by itself."""
    phone = out.provider.phone("centre", "112", also=("15", "+33112"), says=office.voice(CENTRE_HZ), answer="auto")
    with phone:
        yield phone


@pytest.fixture(autouse=True)
def nothing_is_left(out: Outside) -> Iterator[None]:
    yield
    out.anna.ask("hang_up_all")
    for phone in (out.ben, out.doris):
        while scene.live_calls(out.product) and phone.command("listcalls").count("sip:"):
            phone.hang_up()
    if out.product.daemon is not None and out.product.daemon.poll() is None:
        out.quiet()


def help_is_reached(phone: DeskPhone, centre: Phone, number: str = "112") -> int:
    """They hear each other; the caller hangs up."""
    since, before = len(centre.events), len(centre.recordings())
    call = phone.dial(number)
    phone.established(call, timeout=20)
    scene.talk(1.0)
    phone.hang_up(call)
    centre.wait("CALL_CLOSED", since=since)
    time.sleep(0.3)
    assert office.story(phone.heard(call)) == ["carl"]
    assert [name for path in centre.recordings()[before:] for name in office.story(tones.read_wav(path)[0][:, 0])] == [
        "anna"
    ]
    return call


def test_it_is_reached_shown_and_not_recorded(out: Outside, centre: Phone):
    before = scene.rec_ids(out.product)
    help_is_reached(out.anna, centre)
    sent = out.provider.seen("INVITE", number="112")[-1]
    assert MAIN in sent["From"] + sent["P-Asserted-Identity"]
    assert scene.rec_ids(out.product) == before
    [*_, listed] = reversed(out.product.json("emergency", "list"))
    assert listed["number"] == "112" and listed["account"] == "anna" and not listed["drill"]


def test_account_disabled(out: Outside, centre: Phone):
    product = out.product
    product.add_account("gone", "721", language="fr")
    phone = product.desk("gone", "gone", says=office.voice(400))
    with phone:
        phone.registered()
        product.cli("account", "disable", "gone")
        call = phone.dial("702")
        assert phone.closed(call).startswith("403")
        help_is_reached(phone, centre)


def test_source_banned(out: Outside, centre: Phone):
    """Somebody guesses passwords at this address until it is banned; a phone there that is nobody's yet still calls."""
    product, address = out.product, "127.0.0.9"

    async def guess() -> None:
        host, _, port = product.server("udp").rpartition(":")
        for _ in range(12):
            endpoint = await Endpoint.connect("udp", (host, int(port)), (address, 0))
            stranger = Stranger(endpoint, product.domain, "anna", "anna", "wrong")
            try:
                await stranger.register()
            except TimeoutError:
                return  # nobody answers any more
            finally:
                endpoint.close()

    login = product.login("anna")
    asyncio.run(guess())
    scene.until(lambda: address in product.cli("ban", "list"), "a ban")
    phone = product.desk("banned", login, says=office.voice(400), address=address, registers=False)
    with phone:
        refused = phone.dial("702")
        scene.talk(2)
        phone.hang_up(refused)
        help_is_reached(phone, centre)


def test_over_its_limits(out: Outside, centre: Phone):
    """May not call outside at all any more, but for help."""
    out.product.cli("limits", "set", "--minutes-per-day", "1")
    out.product.cli("account", "limits", "anna", "--minutes-per-day", "1", "--max-calls", "1")
    try:
        help_is_reached(out.anna, centre, "15")
    finally:
        out.product.cli("account", "limits", "anna", "--inherit", "minutes-per-day,max-calls")
        out.product.cli("limits", "set", "--inherit", "minutes-per-day")


def test_all_workers_busy(out: Outside, centre: Phone):
    """Two calls are all that go on at once here."""
    product = out.product
    product.add_account("echo", "731", language="fr")
    others = product.desk("others", "echo", says=office.voice(600))
    with others:
        others.registered()
        calls = [others.dial("*43") for _ in range(2)]
        for call in calls:
            others.established(call)
        call = out.anna.dial("*43")
        assert not out.anna.closed(call).startswith("200")
        help_is_reached(out.anna, centre)
        for call in calls:
            others.hang_up(call)
            others.closed(call)


def test_all_channels_of_the_trunk_busy(out: Outside, centre: Phone):
    """The newest ordinary call gives way."""
    since, at = len(out.doris.events), len(out.ben.events)
    out.ben.dial(DORIS_DIALLED)
    out.doris.wait("CALL_INCOMING", since=since, timeout=20)
    out.doris.answer()
    out.ben.wait("CALL_ESTABLISHED", since=at)
    scene.talk(0.5)
    help_is_reached(out.anna, centre)
    out.ben.wait("CALL_CLOSED", since=at)
    out.doris.wait("CALL_CLOSED", since=since)


def test_they_call_back_past_do_not_disturb(out: Outside, centre: Phone):
    product = out.product
    help_is_reached(out.anna, centre)
    product.cli("account", "dnd", "anna", "on")
    mine, since = len(out.anna.events), len(centre.events)
    try:
        centre.dial(MAIN)
        call = out.anna.rung(since=mine)
        out.anna.answer(call)
        centre.wait("CALL_ESTABLISHED", since=since)
        scene.talk(0.8)
        out.anna.hang_up(call)
        centre.wait("CALL_CLOSED", since=since)
    finally:
        product.cli("account", "dnd", "anna", "off")
    assert office.story(out.anna.heard(call)) == ["carl"]


def test_a_drill_leaves_nothing(out: Outside, centre: Phone):
    before = len(out.provider.seen("INVITE"))
    call = out.anna.dial("*112")
    out.anna.closed(call, timeout=30)
    assert "drill" in office.story(out.anna.heard(call))
    assert len(out.provider.seen("INVITE")) == before
    [newest, *_] = out.product.json("emergency", "list")
    assert newest["drill"]


def told(product: Product) -> int:
    """Calls of which somebody has heard; each that is listed must be among them."""
    listed = product.json("emergency", "list")
    return len(listed) if all(one["told"] for one in listed) else 0


def test_daemon_killed(product_seed: Any, tmp_path: Path):
    """The edge alone relays; the phone and the centre hear each other. The daemon that comes back writes it down and
    tells who is named, once, also when it is killed again."""
    with outside(tmp_path, product_seed, emergency__notify=["ben"]) as out:
        product = out.product
        also = {"also": ("119",)}
        centre = out.provider.phone("centre", "112", says=office.voice(CENTRE_HZ), answer="auto", **also)
        with centre:
            product.kill_daemon()
            help_is_reached(out.anna, centre)
            time.sleep(1.5)
            help_is_reached(out.anna, centre, "119")  # discreet
            for calls in (1, 2):
                product.start_daemon()
                scene.until(lambda calls=calls: told(product) == calls, "a report", 30)
                assert product.metric("beffroi_messages_delivered_total") == 1
                product.kill_daemon()
                if calls == 1:
                    help_is_reached(out.anna, centre)
        product.start_daemon()
        for listed in product.json("emergency", "list"):
            assert (listed["account"], listed["number"], listed["outcome"]) == ("anna", "112", "relayed")
            assert (listed["told"], listed["trunk"], listed["drill"]) == (["ben"], "main", False)
        assert told(product) == 2
