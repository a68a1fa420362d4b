"""A GSM modem on a pty that answers AT commands (3GPP 27.005, 27.007) as libgammu asks them. It can be told to fail.

What it answers is its own: it shares no code with libgammu or with the product. Two of them can be put into one cell.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import threading
import tty
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.peers.pdu import tpdu_length

_FIXED = {
    "AT+CGMI": "EMU",
    "AT+CGMM": "EMU4G",
    "AT+CGMR": "1.0",
    "AT+CGSN": "490154203237518",
    "AT+CIMI": "208011234567890",
    "AT+CSCA?": '+CSCA: "+33609001390",145',
    "AT+CMGF=?": "+CMGF: (0,1)",
    "AT+CPMS=?": '+CPMS: ("SM"),("SM"),("SM")',
    "AT+CREG?": '+CREG: 2,1,"1234","00ABCDEF"',
    "AT+CSMS?": "+CSMS: 0,1,1,1",
    "AT+CSCS=?": '+CSCS: ("IRA","GSM","UCS2")',
    "AT+CSCS?": '+CSCS: "GSM"',
    "AT+CMEE=?": "+CMEE: (0-2)",
    "AT+CSQ": "+CSQ: 20,0",
    "AT+CBC": "+CBC: 0,80",
    "AT+CGATT?": "+CGATT: 1",
    "AT+CGREG?": "+CGREG: 0,1",
}
_SETTINGS = ("CFUN", "CMEE", "CMGF", "CSCS", "CNMI", "CREG", "CGREG", "COPS", "CSMS")
_JUST_OK = ("ATZ", "ATE", *(f"AT+{name}=" for name in _SETTINGS))


@dataclass
class ModemEmulator:
    """`path`: where the device is, a link that stays the same when it is plugged in again.

    `cms_errors`: what the next sendings are answered with. `silent`: "prompt" keeps quiet when it is asked to send,
    "sent" once it has the PDU. `on_submit`: told the PDU and its reference, before the answer.
    """

    path: Path
    pin: str | None = None
    capacity: int = 10
    direct_reports: bool = False  # status reports come as +CDS and are not stored
    silent: str = ""
    deaf_after: str = ""  # a command that closes the line: "unplugged" at that moment
    cms_errors: list[int | None] = field(default_factory=list)
    submitted: list[str] = field(default_factory=list)
    pins_tried: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    stored: dict[int, str] = field(default_factory=dict)
    deleted: list[int] = field(default_factory=list)
    on_submit: Callable[[str, int], None] = lambda _pdu, _reference: None
    on_command: Callable[[str], None] = lambda _command: None
    first_reference: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._master: int | None = None
        self._ready = self.pin is None
        self._reads_pdu = False
        self._waiting: list[str] = []
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._reference = self.first_reference

    def plug(self) -> None:
        """A new device under the same name, as when a stick is put in."""
        self.unplug()
        master, slave = pty.openpty()
        tty.setraw(slave)
        self._slave = slave  # kept open: closing the last one would hang up each time that libgammu closes it
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(slave))
        self._ready, self._reads_pdu = self.pin is None, False
        self._stop = threading.Event()
        with self._lock:
            self._master = master
        self._thread = threading.Thread(target=self._serve, args=(master, self._stop), daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        with self._lock:
            master, self._master = self._master, None
        if master is None:
            return
        self._stop.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.path.unlink(missing_ok=True)
        os.close(master)
        os.close(self._slave)

    def receive(self, pdu: str) -> int | None:
        """A text or report comes from the network. The slot; None: the SIM is full."""
        with self._lock:
            free = [slot for slot in range(1, self.capacity + 1) if slot not in self.stored]
            if not free:
                return None
            self.stored[free[0]] = pdu
            self._say(f'+CMTI: "SM",{free[0]}')
            return free[0]

    def report(self, pdu: str) -> None:
        if not self.direct_reports:
            self.receive(pdu)
            return
        with self._lock:
            self._say(f"+CDS: {tpdu_length(pdu)}\r\n{pdu}")

    def _say(self, line: str) -> None:
        if self._master is None:
            return
        if self._reads_pdu:  # a modem does not speak into a PDU
            self._waiting.append(line)
            return
        self._write(f"\r\n{line}\r\n".encode())

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            if self._master is not None:
                os.write(self._master, data)

    def _serve(self, master: int, stop: threading.Event) -> None:
        buffer = b""
        while not stop.is_set():
            readable, _, _ = select.select([master], [], [], 0.02)
            if not readable:
                continue
            try:
                buffer += os.read(master, 4096)
            except OSError:
                return
            while True:
                end = b"\x1a" if self._reads_pdu else b"\r"
                if self._reads_pdu and b"\x1b" in buffer:
                    buffer = buffer.split(b"\x1b", 1)[1]
                    self._reads_pdu = False
                    continue
                if end not in buffer:
                    break
                line, buffer = buffer.split(end, 1)
                with self._lock:
                    self._take(line)

    def _take(self, line: bytes) -> None:
        if self._reads_pdu:
            self._reads_pdu = False
            self._sent(line.decode().strip())
            return
        command = line.strip(b"\n\x1b\x1a ").decode(errors="replace")
        if not command:
            return
        self.commands.append(command)
        self._write(command.encode() + b"\r")
        self.on_command(command)
        if self.deaf_after and command.startswith(self.deaf_after):
            self.deaf_after = ""
            threading.Thread(target=self.unplug, daemon=True).start()
            return
        for answer in self._answers(command):
            self._write(f"\r\n{answer}\r\n".encode())

    def _answers(self, command: str) -> Iterator[str]:
        if command == "AT+CPIN?":
            yield "+CPIN: READY" if self._ready else "+CPIN: SIM PIN"
        elif command.startswith("AT+CPIN="):
            self.pins_tried.append(command.split('"')[1])
            self._ready = self.pins_tried[-1] == self.pin
            if not self._ready:
                yield "+CME ERROR: 16"
                return
        elif not self._ready and command.startswith(("AT+CM", "AT+CSCA", "AT+CPMS", "AT+CNMI")):
            yield "+CMS ERROR: 311"
            return
        elif command in _FIXED:
            yield _FIXED[command]
        elif command == "AT+COPS?":
            yield '+COPS: 0,0,"Emu Mobile",2' if "AT+COPS=3,0" in self.commands[-6:] else '+COPS: 0,2,"20801",2'
        elif command == "AT+CNMI=?":
            yield "+CNMI: (0-2),(0,1),(0,2),(0,1)" + (",(0,1)" if self.direct_reports else "")
        elif command == "AT+CPMS?":
            yield f'+CPMS: "SM",{len(self.stored)},{self.capacity},"SM",{len(self.stored)},{self.capacity}'
        elif command.startswith("AT+CPMS="):
            yield f"+CPMS: {len(self.stored)},{self.capacity},{len(self.stored)},{self.capacity}"
        elif command.startswith("AT+CMGL="):
            for slot, pdu in sorted(self.stored.items()):
                yield f"+CMGL: {slot},1,,{tpdu_length(pdu)}\r\n{pdu}"
        elif command.startswith("AT+CMGR="):
            pdu = self.stored.get(int(command[8:]), "")
            if not pdu:
                yield "+CMS ERROR: 321"
                return
            yield f"+CMGR: 1,,{tpdu_length(pdu)}\r\n{pdu}"
        elif command.startswith("AT+CMGD="):
            slot = int(command[8:].split(",")[0])
            if self.stored.pop(slot, None) is not None:
                self.deleted.append(slot)
        elif command.startswith("AT+CMGS="):
            if self.silent != "prompt":
                self._reads_pdu = True
                self._write(b"\r\n> ")
            return
        elif command != "AT" and not command.startswith(_JUST_OK):
            yield "ERROR"  # what it does not know, it does not nod at
            return
        yield "OK"

    def _sent(self, pdu: str) -> None:
        error = self.cms_errors.pop(0) if self.cms_errors else 0
        if error is None:
            self._write(b"\r\nERROR\r\n")
        elif error:
            self._write(f"\r\n+CMS ERROR: {error}\r\n".encode())
        else:
            self._reference = (self._reference + 1) % 256
            self.submitted.append(pdu)
            self.on_submit(pdu, self._reference)
            if self.silent != "sent":
                self._write(f"\r\n+CMGS: {self._reference}\r\n\r\nOK\r\n".encode())
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            self._say(line)


@contextlib.contextmanager
def plugged(modem: ModemEmulator) -> Iterator[ModemEmulator]:
    modem.plug()
    try:
        yield modem
    finally:
        modem.unplug()
