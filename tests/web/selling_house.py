"""A running portal that sends texts: a supervisor writes for `sales`, over a message centre that is another program."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.services import consents, inboxes
from server.services.actor import Actor
from server.services.context import open_services
from tests.peers.product import Product
from tests.web.portal import Portal, Somebody

ROOT = Path(__file__).resolve().parents[2]
SENDER = "+33162000001"
AGREED = [f"+3361234{n:04d}" for n in range(1, 6)]
NOBODY = "+33698765432"  # has agreed to nothing
ME = Actor("os:1000", "desk-7")


class Selling(Portal):
    """The supervisor writes for `sales` and sees what was sent; five people have agreed to advertising of telecom."""

    def __init__(self, directory: Path, seed: tuple[Path, dict[str, Any]], port: int) -> None:
        self.centre_port = port
        super().__init__(directory, seed)
        _carrier(self.product, port)

    async def _house(self) -> dict[str, Somebody]:
        made = await super()._house()
        async with open_services(self.product.data) as services:
            await inboxes.add(services, ME, name="sales")
            await inboxes.member(services, ME, inbox="sales", login=made["supervisor"].login, sending=True)
            await inboxes.add_sender(
                services, ME, inbox="sales", address=SENDER, classes=["conversation", "marketing"],
                approved_by=made["dpo"].login,
            )  # fmt: skip
            for number in AGREED:  # an express consent for any hour: tests run on Sundays too
                await consents.add(
                    services, ME, number=number, purpose="telecom", channel="sms", act="checkbox", collector="us",
                    source="form", text_id="offers", text_version="1", text_sha256="ab" * 32, out_of_hours=True,
                )  # fmt: skip
        return made


def _carrier(product: Product, port: int) -> None:
    with (product.data / "beffroi.toml").open("a") as file:
        file.write(f'\n[sms.carriers.main]\nhost = "127.0.0.1"\nport = {port}\nsystem_id = "us"\ntls = false\n')
    secret = product.data / "keys" / "smpp.main.password"
    secret.touch(0o600)
    secret.write_text("secret")


class Centre:
    """What the network is given, and what it brings."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.peers.smsc", "0", "--journal", str(journal), "--receipts"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._program.stdout is not None
        self.port = int(self._program.stdout.readline().split()[1])

    def given(self) -> dict[str, list[bytes]]:
        """By recipient."""
        found: dict[str, list[bytes]] = {}
        for line in self._journal.read_text().splitlines() if self._journal.exists() else ():
            one = json.loads(line)
            if one["event"] == "submit":
                found.setdefault(f"+{one['to']}", []).append(bytes.fromhex(one["data"]))
        return found

    def brings(self, name: str, source: str, words: str) -> None:
        assert self._program.stdin is not None
        said = {"id": name, "from": source.lstrip("+"), "to": SENDER.lstrip("+"), "text": words}
        self._program.stdin.write(json.dumps(said) + "\n")
        self._program.stdin.flush()

    def end(self) -> None:
        self._program.kill()
        self._program.wait()


@contextmanager
def selling(directory: Path, seed: tuple[Path, dict[str, Any]]) -> Iterator[tuple[Selling, Centre]]:
    centre = Centre(directory / "journal")
    try:
        made = Selling(directory / "product", seed, centre.port)
        with made.product:
            made.wait_served()
            yield made, centre
    finally:
        centre.end()
