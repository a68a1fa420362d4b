"""Debian's gammu-smsd as another telephone: a program that is not ours sends, and reads what it gets.

It holds an emulated modem, and shares a cell with the one that the product holds.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from tests.peers import pdu
from tests.peers.modem_emulator import ModemEmulator

_RC = """[gammu]
device = {device}
connection = at115200
model = at
[smsd]
service = files
logfile = {directory}/log
inboxpath = {directory}/in/
outboxpath = {directory}/out/
sentsmspath = {directory}/sent/
errorsmspath = {directory}/err/
inboxformat = unicode
receivefrequency = 1
commtimeout = 1
statusfrequency = 0
checkbattery = 0
"""


@dataclass(frozen=True)
class Telephone:
    directory: Path

    def send(self, number: str, text: str) -> None:
        """Any text: it is sent as UCS-2, in as many parts as it takes."""
        subprocess.run(
            ["gammu-smsd-inject", "-c", self.directory / "rc", "TEXT", number]
            + ["-unicode", "-len", str(len(text)), "-text", text],
            check=True, capture_output=True, timeout=30,
        )  # fmt: skip

    def received(self) -> str:
        """All that has come in, its parts in their order. 1.42 writes more than there is, after a zero."""
        files = sorted((self.directory / "in").iterdir())
        read = [file.read_bytes().decode("utf-16") for file in files]
        return "".join(text.partition("\0")[0] for text in read)


@contextlib.contextmanager
def telephone(directory: Path, modem: ModemEmulator) -> Iterator[Telephone]:
    """gammu-smsd with this modem, which is plugged in."""
    for name in ("in", "out", "sent", "err"):
        (directory / name).mkdir(parents=True)
    (directory / "rc").write_text(_RC.format(device=modem.path, directory=directory))
    process = subprocess.Popen(
        ["gammu-smsd", "-c", directory / "rc"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield Telephone(directory)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def one_cell(first: tuple[ModemEmulator, str], second: tuple[ModemEmulator, str]) -> None:
    """What one of them sends arrives at the other, from its number."""
    for (sender, number), (other, _its) in ((first, second), (second, first)):
        sender.on_submit = lambda sent, _reference, other=other, number=number: (  # type: ignore[misc]
            other.receive(pdu.of_submit(sent, number, datetime.now(UTC).replace(microsecond=0))),
            None,
        )[1]
