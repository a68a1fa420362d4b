"""A message centre that is another program (`tests.peers.smsc`), and how an instance is told of it.

with MessageCentre(journal) as centre:
    connect(product, centre)  # before the instance starts
    ...
    centre.given()            # what the network has
    centre.brings("r1", "+33612345001", "+33162000001", "oui")
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.product import Product

ROOT = Path(__file__).resolve().parents[2]


class MessageCentre:
    """`port`: where it listens on loopback. `journal`: as `tests.peers.smsc` writes it. It gives a receipt for each
    part."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.port = 0

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, "-m", "tests.peers.smsc", "0", "--journal", str(self.journal), "--receipts"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._program.stdout is not None
        said = self._program.stdout.readline().split()
        if len(said) != 2:
            self._end()
            raise AssertionError("the message centre did not start: what it said stands above")
        self.port = int(said[1])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._program.kill()
        self._program.communicate()

    def given(self) -> dict[str, list[bytes]]:
        """The parts that the network was given, by recipient; those of one are in their order."""
        found: dict[str, list[bytes]] = {}
        for line in self.journal.read_text().splitlines() if self.journal.exists() else ():
            one = json.loads(line)
            if one["event"] == "submit":
                found.setdefault(f"+{one['to']}", []).append(bytes.fromhex(one["data"]))
        return found

    def brings(self, name: str, source: str, to: str, words: str) -> None:
        """Somebody's text to one of our numbers; 70 characters at most. `name`: each has its own."""
        assert self._program.stdin is not None
        said = {"id": name, "from": source.lstrip("+"), "to": to.lstrip("+"), "text": words}
        self._program.stdin.write(json.dumps(said) + "\n")
        self._program.stdin.flush()


def connect(product: Product, centre: MessageCentre) -> None:
    """The carrier `main` of an instance that has not started."""
    with (product.data / "beffroi.toml").open("a") as file:
        file.write(f'\n[sms.carriers.main]\nhost = "127.0.0.1"\nport = {centre.port}\nsystem_id = "us"\ntls = false\n')
    secret = product.data / "keys" / "smpp.main.password"
    secret.touch(0o600)
    secret.write_text("secret")
