"""A campaign and its replies through the whole product, with a message centre that is another program: who gets it, who
stops it, and that nothing of it lies anywhere in clear."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest

from tests.e2e import scene
from tests.peers.message_centre import MessageCentre, connect
from tests.peers.product import Product, run_cli

pytestmark = [pytest.mark.e2e]
SENDER = "+33162000001"
PEOPLE = {f"+3361234{n:04d}": f"Zéphyrine{n}" for n in range(1, 6)}
NOBODY = "+33698765432"  # on the list without a consent
OFFER, ANSWER = "Xylophonquartett", "Quetzalcoatlus"


@dataclass
class House:
    product: Product
    centre: MessageCentre

    def ask(self, *args: str, stdin: str | None = None) -> Any:
        done = run_cli(self.product.data, *args, "--json", stdin=stdin)
        assert done.returncode == 0, f"{args}: {done.stderr}"
        return json.loads(done.stdout)


@pytest.fixture
def house(product_files: Product, tmp_path: Path) -> Iterator[House]:
    product = product_files
    with MessageCentre(tmp_path / "journal") as centre:
        product.configure(sms__campaign_approval="one")
        connect(product, centre)
        with product:
            yield House(product, centre)


@pytest.mark.promise("0.1", "1.1", "1.3", "1.4", "1.7", "1.15", "P22")
def test_a_campaign_and_its_replies_leave_nothing_in_clear(house: House, tmp_path: Path) -> None:
    product = house.product
    scene.until(lambda: house.ask("carrier", "list")[0]["health"] == "up", "the carrier is up")
    house.ask("person", "role", "reader", "reader,dpo")
    house.ask("inbox", "add", "sales")
    house.ask("inbox", "member", "sales", "reader", "--read", "--send", "--sent")
    house.ask("inbox", "sender", "add", "sales", SENDER, "--classes", "conversation,marketing", "--approved-by",
              "reader")  # fmt: skip
    for number in PEOPLE:  # an express consent for any hour: the test runs on Sundays too
        house.ask(
            "contact", "consent", "add", number, "--purpose", "telecom", "--channel", "sms", "--act", "checkbox",
            "--collector", "us", "--source", "form", "--text-id", "T1", "--text-version", "1",
            "--text-sha256", "0" * 64, "--out-of-hours",
        )  # fmt: skip
    listed = tmp_path / "list.csv"
    rows = [*PEOPLE.items(), (NOBODY, "Nobody")]
    listed.write_text("numéro;prénom\n" + "".join(f"{number};{name}\n" for number, name in rows))
    house.ask("campaign", "add", "summer", "--as", "reader", "--inbox", "sales", "--sector", "telecom", "--per-minute",
              "6000", stdin=f"Bonjour {{prénom}}, {OFFER} ce soir.")  # fmt: skip
    house.ask("campaign", "import", str(listed), "summer", "--as", "reader")
    listed.unlink()
    said = house.ask("campaign", "simulate", "summer", "--as", "reader")
    assert (said["recipients"], said["at_once"], said["never"]) == (6, 5, 1)
    house.ask("campaign", "submit", "summer", "--as", "reader")
    house.ask("campaign", "start", "summer", "--as", "reader")
    scene.until(lambda: len(house.centre.given()) == len(PEOPLE), "the network has all of them", timeout_s=60)
    assert set(house.centre.given()) == set(PEOPLE) and all(len(texts) == 1 for texts in house.centre.given().values())
    assert all(b"STOP" in texts[0] for texts in house.centre.given().values())

    first, second, *_ = PEOPLE
    house.centre.brings("r1", first, SENDER, f"oui, {ANSWER}")
    house.centre.brings("r2", second, SENDER, "ARRÊTEZ svp")
    scene.until(lambda: len(house.ask("inbox", "show", "sales", "--as", "reader")) == 2, "both replies are there")
    assert house.ask("optout", "check", second)["advertising"] is False
    scene.until(lambda: len(house.centre.given()[second]) == 2, "STOP is confirmed")
    assert len(house.centre.given()[first]) == 1

    reader = product.shown["reader"]
    secrets = f"{reader['passphrase']}\n{pyotp.TOTP(reader['totp_secret']).now()}"
    words = product.cli("inbox", "read", "sales", "--as", "reader", "--reason", "a test of reading",
                        secrets={"--secrets-fd": secrets})  # fmt: skip
    assert ANSWER in words and "ARRÊTEZ svp" in words

    wanted = {"the offer": OFFER.encode(), "an answer": ANSWER.encode(), "a name": "Zéphyrine1".encode()}
    wanted |= {f"number {n}": number[4:].encode() for n, number in enumerate((*PEOPLE, NOBODY))}
    wanted |= {f"{name} in UTF-16": text.decode().encode("utf-16-be") for name, text in list(wanted.items())}
    wanted |= {"the offer in base64": base64.b64encode(OFFER.encode())[:-4]}
    house.centre.journal.unlink()  # of the centre, which is the outside world
    assert product.traces(wanted) == {}
    product.stop()
    assert product.traces(wanted) == {}
